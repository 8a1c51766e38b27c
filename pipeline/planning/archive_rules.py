"""What an archive must be like for a deployment: by whose code runs, where, and in which container."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from pipeline import limits, naming
from pipeline.archive.checks.rules import Rules
from pipeline.gguf import architectures
from pipeline.hosting import INSTANCE, SERVERLESS
from pipeline.sizing import images

if TYPE_CHECKING:
    from pipeline.state_data.request_types import Request


def archive_rules(
    code: str, *, relocate_model: bool = False, hosting: str = SERVERLESS, container: str | None = None
) -> Rules:
    """Return what an archive must be like: only one that runs its own code must bring any.

    Args:
        code: whose code the endpoint runs, as in a request, or what `code/` will hold.
        relocate_model: whether a model in a directory is moved to the root.
        hosting: where the endpoint runs; what may go to an instance may be larger.
        container: what serves the model; None when it has been judged for that, or need not be.
    """
    rules = Rules(
        code_required=code == images.ARCHIVE_CODE, zip_deployable=True, relocate_model=relocate_model
    )
    if hosting != SERVERLESS:
        rules = replace(rules, max_archive_bytes=limits.VOLUME_GB.value * limits.GB)
    # What an archive's own code can do is for it to say.
    if container is None or code == images.ARCHIVE_CODE:
        return rules
    profile = images.PROFILES[container]
    # The runtime that travels in the archive is the one that is known; an image has its own.
    return replace(
        rules,
        embeddings=profile.embeds,
        companions=profile.companions,
        container=container,
        runtime=architectures.KNOWN if profile.carries_code else None,
    )


def of(request: Request) -> Rules:
    """Return what the archive of a request must be like.

    On instances a container that nobody named may yet become AWS's llama.cpp image, which takes more of what lies in
    an archive, and the model's header tells: what that image serves is right then. With hosting `auto` the plan tells;
    what lies beside a model leads to where it is loaded.
    """
    rules = archive_rules(
        request.code,
        relocate_model=request.relocate_model,
        hosting=request.hosting,
        container=request.container,
    )
    if not request.container_chosen or request.hosting == SERVERLESS:
        return rules
    rules = replace(rules, companions=True)
    if request.hosting != INSTANCE:
        return rules
    return replace(rules, container=images.LLAMA_CPP.name, runtime=None)


def is_bare(name: str, hosting: str) -> bool:
    """Return whether a file of this name is judged as a model that is no archive: only an instance takes one."""
    return hosting != SERVERLESS and name.endswith(naming.MODEL_SUFFIX)
