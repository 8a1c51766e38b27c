"""In what a model reaches its endpoint: an archive in S3, or a layer of the endpoint's own image.

Owns the rule between the two, the words for it, and the name of an image that holds a model: a tag made of the image
below and of the model, so that equal content is found again by whoever deploys it. Pure. Refuses to look into a
repository (`pipeline.rollout.own_image` does) and to make an image (`pipeline.image.model_image` does).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from pipeline import naming
from pipeline.errors import Problem
from pipeline.hosting import ARCHIVE_ARTIFACT, IMAGE_ARTIFACT, INSTANCE, SERVERLESS
from pipeline.sizing import images
from pipeline.state_data.plan_types import PlannedImage

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any

    from pipeline.sizing import fit
    from pipeline.state_data.request_types import Request

TAG_PREFIX: Final = "model-"
"""Of the tags of images that hold a model."""

ASSUMED_BYTES: Final = 150_000_000
"""Of Sealift's own image as it is stored, where no stack was asked: assumed, and little beside a model."""
UNPACKED: Final = 3
"""An image's bytes over those of its layers as they are stored: assumed, and above what Debian's own images have. AWS
counts either, and does not say which."""

_CONTAINERS: Final = (images.AUTO, images.CUSTOM.name)
"""What a request may name where the image is to hold the model: an image of AWS's takes no layer of ours."""

_UNPACKING: Final = frozenset({"TooMuchDisk", "TooSlowToStart"})
"""The problems of a fit that an image has not: it is not unpacked to the disk, and not downloaded as it starts."""


@dataclass(frozen=True, slots=True)
class BaseImage:
    """The image of a stack's repository that a model's layer is laid on."""

    repository: str
    """Its URI, without a tag."""
    digest: str
    bytes: int
    """As it is stored."""

    @property
    def unpacked(self) -> int:
        """Return the bytes that it is counted with."""
        return self.bytes * UNPACKED


def may_be_image(request: Request) -> bool:
    """Tell whether the model may come in the image, as far as the request goes."""
    return (
        request.artifact != ARCHIVE_ARTIFACT
        and request.hosting != INSTANCE
        and request.code != images.ARCHIVE_CODE
        and request.container in _CONTAINERS
    )


def below(request: Request, base: BaseImage | None) -> int | None:
    """Return the bytes below a model's layer; None where the model may not come in the image."""
    return base.unpacked if base is not None and may_be_image(request) else None


def assumed_below(request: Request) -> int | None:
    """Return what `below` does where nobody has looked into a repository: our image is taken to be there."""
    named = request.container == images.CUSTOM.name
    return ASSUMED_BYTES * UNPACKED if named and may_be_image(request) else None


def takes_image(request: Request, packed: fit.Fit | None, imaged: fit.Fit) -> bool:
    """Tell whether an image is taken on serverless where one may be.

    Args:
        request: the deployment's.
        packed: what the model needs as an archive; None for a bare GGUF, which is none.
        imaged: what it needs in the image.
    """
    if request.artifact == IMAGE_ARTIFACT or packed is None:
        return True
    return breaks_a_limit(packed) and not imaged.problems


def breaks_a_limit(packed: fit.Fit) -> bool:
    """Tell whether an archive breaks a limit that an image has not."""
    return any(problem.error in _UNPACKING for problem in packed.problems)


def stored_bytes(needed: fit.Fit) -> int | None:
    """Return the bytes that an image with the model in it takes in ECR; None where an archive holds the model.

    Weights do not compress, and their layer is stored as it is.
    """
    below = needed.demand.below
    return None if below is None else needed.image_bytes - below + below // UNPACKED


def planned(base: BaseImage, assembly: Mapping[str, Any]) -> PlannedImage:
    """Return the image that will hold the model.

    Args:
        base: what it is laid on.
        assembly: CheckArchive's decision, whose `content` names what was uploaded.
    """
    content = naming.digest([base.digest, assembly["content"], bool(assembly.get("relocate_model"))], 32)
    return PlannedImage(
        repository=base.repository,
        tag=f"{TAG_PREFIX}{content}",
        base=base.digest,
        bucket=assembly["bucket"],
    )


def no_base(request: Request) -> Problem:
    """Return the refusal of an image that nothing is there for."""
    return Problem(
        "NoPlainImage",
        f"artifact is {request.artifact!r}, container is {request.container!r}, and the stack's repository has no "
        "image of this version to lay the model on",
        "Sealift's own image in the stack's repository, with container 'auto' or 'custom'",
        f"`{images.PUSH}` puts it there",
    )


def bare_without_image(request: Request) -> Problem:
    """Return the refusal of a bare GGUF on serverless that no image can hold."""
    return Problem(
        "BareOnServerless",
        f"a bare GGUF, hosting is {request.hosting!r}, and the stack's repository has no image of this version to put "
        "it into",
        "a tar.gz, or an image: a serverless endpoint takes nothing else",
        f'`{images.PUSH}`, or let `sealift push` pack it, or say "hosting": "instance"',
    )


def lacks_image(problems: Sequence[Problem]) -> bool:
    """Tell whether a refusal is one of the two above, which a push undoes."""
    return any(problem.error in {"NoPlainImage", "BareOnServerless"} for problem in problems)


def contradictions(request: Request) -> list[Problem]:
    """Return what speaks against an image that was asked for by name."""
    if request.artifact != IMAGE_ARTIFACT:
        return []
    found = []
    if request.hosting == INSTANCE:
        found.append(
            Problem(
                "ImageOnInstance",
                f"artifact is 'image', hosting is {INSTANCE!r}",
                f"hosting {SERVERLESS!r}: an instance takes the model's files as they are, with no limit that an image "
                "would lift",
                "leave 'artifact' out, or change 'hosting'",
            )
        )
    if request.container not in _CONTAINERS:
        found.append(
            Problem(
                "ImageOfAws",
                f"artifact is 'image', container is {request.container!r}",
                "container 'auto' or 'custom': the model is laid on Sealift's own image, and on no image of AWS's",
                "leave 'container' out, or 'artifact'",
            )
        )
    if request.code == images.ARCHIVE_CODE:
        found.append(
            Problem(
                "ImageOfCode",
                "artifact is 'image', code is 'archive'",
                "code 'sealift': an image holds the model's files, and nothing else of an archive",
                "leave 'artifact' or 'code' out",
            )
        )
    return found
