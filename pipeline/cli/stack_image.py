"""Sealift's own image of this version in a stack's repository, after the stack was deployed: there, pushed, or not.

Owns what a person is told of it. Refuses to let a deployed stack fail over its image: without it deployments take AWS's
prebuilt one, and the command that pushes can be run at any time.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from pipeline.aws import service_errors
from pipeline.errors import SealiftError
from pipeline.limits import MiB
from pipeline.rollout import own_image
from pipeline.sizing import images

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from pipeline.aws.clients import Clients
    from pipeline.image.push import Pushed

THERE: Final = "there"
PUSHED: Final = "pushed"
FAILED: Final = "failed"


@dataclass(frozen=True, slots=True)
class StackImage:
    """What became of it."""

    status: str
    """THERE, PUSHED or FAILED."""
    tag: str
    digest: str | None
    text: str
    """For a person; of a failure with what to do."""

    @property
    def there(self) -> bool:
        """Whether the repository has it."""
        return self.status != FAILED

    def to_json(self) -> dict[str, Any]:
        """Return it as a JSON object."""
        return {
            "status": self.status,
            "tag": self.tag,
            "digest": self.digest,
            "reason": None if self.there else self.text,
        }


def see_to(clients: Clients, repository: str, push: Callable[[], Pushed], command: str) -> StackImage:
    """Return what became of the image: nothing is built and sent where its tag is there already.

    Args:
        clients: of the account.
        repository: the URI of the stack's, without a tag.
        push: builds the image and sends it.
        command: what a person runs to try it again.
    """
    wanted = own_image.wanted(repository)
    try:
        with service_errors.translated():
            found = own_image.find(clients.ecr, wanted)
            if found.digest is not None:
                size = f"{found.bytes / MiB:,.1f} MiB"
                return StackImage(
                    THERE, wanted.tag, found.digest, f"image {wanted.tag} is in the repository: {size}"
                )
            done = push()
    except (SealiftError, OSError) as error:
        text = (
            f"the stack stands, but image {wanted.tag} is not in its repository: {error}\n"
            f"until `{command}` has put it there, deployments take AWS's prebuilt image, which leaves a model less "
            "memory; `--no-image` does without"
        )
        return StackImage(FAILED, wanted.tag, None, text)
    sent = f"{done.plan.size / MiB:,.1f} MiB sent, {done.plan.present / MiB:,.1f} MiB were there"
    return StackImage(
        PUSHED, wanted.tag, done.plan.digest, f"image {wanted.tag} is pushed to the repository: {sent}"
    )


def idle(parameters: Iterable[Mapping[str, str]]) -> str:
    """Return why deployments of a stack take another image unless they say otherwise; empty where they take ours.

    Args:
        parameters: of the stack, as DescribeStacks has them.
    """
    values = {one["ParameterKey"]: one.get("ParameterValue", "") for one in parameters}
    container = values.get("Container", images.AUTO)
    if values.get("ImageUri"):
        return f"deployments take {values['ImageUri']}, as the stack's parameter ImageUri says"
    if container in {images.AUTO, images.CUSTOM.name}:
        return ""
    return (
        f"deployments take {container!r}, as the stack's parameter Container says: `sealift deploy --parameter "
        f"Container={images.AUTO}` lets them take this image"
    )
