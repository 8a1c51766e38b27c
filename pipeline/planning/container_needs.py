"""What one model needs in each container on serverless, and whether Sealift's own image saves anything.

Owns the comparison and its words. Pure. Refuses to choose a container: `container_choice` does, by what is there, and
not by what would be smallest.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from pipeline import limits
from pipeline.gguf import purpose
from pipeline.limits import MiB
from pipeline.planning import artifact_choice, model_settings
from pipeline.sizing import images
from pipeline.sizing.serving import OtherServing

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from pipeline.state_data.request_types import Request


@dataclass(frozen=True, slots=True)
class ContainerNeed:
    """What a model needs in a container."""

    container: str
    memory_bytes: int
    memory_mb: int | None
    """The smallest serverless size that holds it; None where none does."""
    problem: str = ""
    """Why none does."""
    in_image: bool = False
    """Whether the image holds the model, since its archive breaks a limit that an image has not."""

    @property
    def within_quota(self) -> bool:
        """Whether an ordinary account may have that size."""
        return self.memory_mb is not None and self.memory_mb <= limits.MEMORY_QUOTA_MB.value

    def __str__(self) -> str:
        needed = f"{self.memory_bytes / MiB:,.0f} MiB"
        if self.memory_mb is None:
            return f"{needed}; {self.problem}"
        above = (
            "" if self.within_quota else f", above the {limits.MEMORY_QUOTA_MB.value} of an ordinary account"
        )
        image = ", with the model in the image" if self.in_image else ""
        return f"{needed}, so {self.memory_mb} MB{above}{image}"


def compare(request: Request, archive: Mapping[str, Any], model: dict[str, Any]) -> tuple[ContainerNeed, ...]:
    """Return what a model needs in each container that can serve it, the smallest first.

    Args:
        request: the deployment's; which container it names does not matter.
        archive: its size and extracted_bytes.
        model: the model part of the archive report.
    """
    found = []
    for profile in images.PROFILES.values():
        if model.get("purpose") in purpose.EVALUATES and not profile.embeds:
            continue
        if model.get("companions") and not profile.companions:
            continue
        asked = replace(request, container=profile.name)
        needed = model_settings.needs(asked, archive, model).without_checkpoints()
        below = artifact_choice.assumed_below(asked)
        if below is not None and artifact_choice.breaks_a_limit(needed):
            imaged = model_settings.needs(asked, archive, model, below).without_checkpoints()
            needed = needed if imaged.problems else imaged
        size = next(iter(needed.sizes_mb), None)
        why = next((f"{one.seen}, wanted {one.wanted}" for one in needed.problems), "")
        found.append(ContainerNeed(profile.name, needed.memory_bytes, size, why, bool(needed.image)))
    return tuple(sorted(found, key=lambda one: one.memory_bytes))


def saving(needs: Sequence[ContainerNeed]) -> str:
    """Return what Sealift's own image saves against AWS's prebuilt one; empty where that is nothing."""
    by_name = {one.container: one for one in needs}
    ours, theirs = (by_name.get(one.name) for one in (images.CUSTOM, images.DEFAULT))
    if ours is None or theirs is None or ours.memory_mb is None or ours.memory_mb == theirs.memory_mb:
        return ""
    if theirs.memory_mb is None:
        what = "it is what makes it fit at all"
    elif ours.within_quota and not theirs.within_quota:
        what = f"it saves raising the quota to {theirs.memory_mb} MB"
    else:
        what = f"it saves {theirs.memory_mb - ours.memory_mb} MB of each container"
    how = f"`sealift deploy` and `{images.PUSH}` put it into the stack"
    return f"take {ours.container!r}, Sealift's own image: {what}; {how}"


def lighter(request: Request) -> tuple[OtherServing, ...]:
    """Return what else could serve the model with less memory.

    Only for Sealift's own code in AWS's prebuilt image: code of an archive's own may need what that has.
    """
    if request.container != images.DEFAULT.name or request.code == images.ARCHIVE_CODE or request.image_uri:
        return ()
    ours = images.CUSTOM
    how = f'set container to "{ours.name}", Sealift\'s own image, which `{images.PUSH}` puts into the stack'
    return (OtherServing(ours.name, how, ours.serving),)
