"""Which container serves a model where a deployment leaves that open, and which image an own one is.

Owns the rule and the words for it. Pure: a request, and what the stack's repository holds, in; a request that names a
container out, our image by digest, so that a later push changes nothing of what was planned. On instances AWS's
llama.cpp image takes the place of what nobody named, once it is known that the model goes there and how it is asked.
Refuses to look into the repository: `pipeline.rollout.own_image` does.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

from pipeline.errors import InvalidInput, Problem
from pipeline.gguf import purpose, questions
from pipeline.limits import MiB
from pipeline.sizing import hourly_costs, images

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pipeline.sizing.images import Profile
    from pipeline.state_data.request_types import Request


@dataclass(frozen=True, slots=True)
class OwnImage:
    """Sealift's own image in a stack's repository."""

    repository: str
    """Its URI, without a tag; empty where there is none, or no stack is known."""
    tag: str
    """Of this version, for the CPUs that are wanted."""
    digest: str | None = None
    """`sha256:` and its digits; None where it is not there, or was not looked for."""
    bytes: int = 0
    """As they are stored: compressed."""

    @property
    def uri(self) -> str:
        """The image by digest: it stays the same whatever the tag names later."""
        return f"{self.repository}@{self.digest}"

    def holds(self, image_uri: str) -> bool:
        """Tell whether an image is of this repository."""
        return image_uri.startswith((f"{self.repository}:", f"{self.repository}@"))


@dataclass(frozen=True, slots=True)
class ContainerChoice:
    """A request whose container is named."""

    request: Request
    note: str = ""
    """Which it is, and why; empty where somebody has named it with its image."""
    image_bytes: int = 0
    """Of Sealift's own image, as it is stored, where that is the one and was found in the stack's repository."""


def is_settled(request: Request) -> bool:
    """Tell whether a request names a container, and that its image, so that nothing is to be chosen."""
    return request.container != images.AUTO and not asks_repository(request)


def asks_repository(request: Request) -> bool:
    """Tell whether what becomes of a request depends on what the stack's repository holds."""
    if request.image_uri:
        return False
    if request.container == images.AUTO:
        return request.code != images.ARCHIVE_CODE
    return images.PROFILES[request.container].repository is None


def choose(request: Request, own: OwnImage) -> ContainerChoice:
    """Return the request with the container that serves it, and with our image where that is the one.

    With hosting `auto` the container is known before the hosting, since what fits serverless depends on it; where it
    was chosen here and the model goes to an instance, `on_instances` has the last word.

    Args:
        request: with all its defaults.
        own: what the stack's repository holds, where `asks_repository`.

    Raises:
        InvalidInput: it names a container that has no image by itself, and the repository has none either.
    """
    if is_settled(request):
        return ContainerChoice(request)
    if request.container != images.AUTO:
        return _named(request, own)
    if request.image_uri and not own.holds(request.image_uri):
        return ContainerChoice(replace(request, container=images.DEFAULT.name))
    if request.image_uri:
        return _chosen(request, images.CUSTOM, "'image_uri' is an image of the stack's own repository")
    if request.code == images.ARCHIVE_CODE:
        why = "an archive's own code may need what AWS's prebuilt image has"
        return _chosen(request, images.DEFAULT, why)
    theirs, ours = (one.serving.memory.bytes // MiB for one in (images.DEFAULT, images.CUSTOM))
    figures = f"{ours} MiB beside the model in place of {theirs}"
    request = replace(request, container_chosen=True)
    if own.digest is not None:
        why = f"Sealift's own image, {own.tag}, is in the stack's repository; it takes {figures}"
        chosen = _chosen(replace(request, image_uri=own.uri), images.CUSTOM, f"{why}{_price(own)}")
        return replace(chosen, image_bytes=own.bytes)
    if own.repository:
        why = f"the stack's repository has no image {own.tag}, which `{images.PUSH}` puts there; it takes {figures}"
    else:
        why = f"no stack's repository was looked into for Sealift's own image, which takes {figures}"
    return _chosen(request, images.DEFAULT, why)


ON_INSTANCES: Final = images.LLAMA_CPP
"""What serves a model on instances where nobody named a container."""


def on_instances(request: Request, model: Mapping[str, Any]) -> ContainerChoice:
    """Return the request with the container that serves it on instances: AWS's llama.cpp image where nobody named one.

    It has slots, streams, CPUs of either kind and GPUs. But it hands every call to its chat completions: a model that
    embeds or ranks, or that is to be asked otherwise than with messages, stays where it was.

    Args:
        request: as `choose` returns it, for a model that goes to instances.
        model: the model part of an archive report.
    """
    asked_otherwise = request.smoke_test.ask_with not in {None, questions.MESSAGES}
    if not request.container_chosen or asked_otherwise or model.get("purpose") in purpose.EVALUATES:
        return ContainerChoice(request)
    why = "on instances AWS's llama.cpp image serves what no container is named for: slots, streams, GPUs"
    settled = replace(request, image_uri=None, container_chosen=False)
    return _chosen(settled, ON_INSTANCES, why)


def left_out(request: Request, model: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """Return the first of what lies beside a model that the request's container does not load; None where it loads all.

    Args:
        request: as `choose` returns it.
        model: the model part of an archive report.
    """
    if request.code == images.ARCHIVE_CODE or images.PROFILES[request.container].companions:
        return None
    return next(iter(model.get("companions", ())), None)


def _chosen(request: Request, profile: Profile, why: str) -> ContainerChoice:
    return ContainerChoice(
        replace(request, container=profile.name), f"container {profile.name!r} is chosen: {why}"
    )


def _price(own: OwnImage) -> str:
    """Return what our image costs, where its size is known; what holds the model has a price of its own."""
    return f", and {hourly_costs.image_a_month(own.bytes)} for all deployments" if own.bytes else ""


def _named(request: Request, own: OwnImage) -> ContainerChoice:
    """Return a request whose container has no image of AWS's, with the one of the stack's repository."""
    name = repr(request.container)
    if own.digest is not None:
        note = f"container {name}: no 'image_uri' is named, so it is {own.tag} of the stack's repository"
        return ContainerChoice(replace(request, image_uri=own.uri), f"{note}{_price(own)}", own.bytes)
    problem = Problem(
        "NoImage",
        f"container is {name}, no 'image_uri', and no {own.tag} in the stack's repository",
        "the URI of your image, or Sealift's own in the stack's repository",
        f"`{images.PUSH}` puts it there; or name an image of this account's ECR in 'image_uri' or in the stack's "
        "parameter ImageUri",
    )
    raise InvalidInput("the deployment's settings", [problem])
