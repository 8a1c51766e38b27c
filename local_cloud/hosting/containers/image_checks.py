"""Whether a container can be started of an image: looked at when an endpoint is launched, as SageMaker does it.

Owns what is looked at and the FailureReason of each. SageMaker keeps a copy of an image until no endpoint uses it, so
an endpoint that has been launched starts again whatever has become of its image. Refuses to pull (`launches`).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from local_cloud.hosting.containers.container import LaunchFailedError
from local_cloud.hosting.platform import texts
from local_cloud.hosting.platform.images import ImageReference, architecture_of, llama_cpp_platform
from local_cloud.hosting.platform.resources import Capacity
from pipeline.limits import IMAGE_BYTES
from pipeline.sizing.instance_types import ARM64, CUDA, X86_64

if TYPE_CHECKING:
    from local_cloud.hosting.containers.container import Container, Launch
    from local_cloud.hosting.platform.images import Images
    from local_cloud.hosting.platform.resources import Deployment

_BY_NAME: Final = {X86_64: "amd64", CUDA: "amd64", ARM64: "arm64"}

Note = Callable[[str, "Deployment", str], None]
"""Writes a line into the log of an endpoint's container."""


class CheckedLaunch:
    """A `Launch` that looks at the image first.

    Args:
        launch: what starts containers.
        images: the registry.
        note: writes a line into the log of an endpoint's container.
    """

    def __init__(self, launch: Launch, images: Images, note: Note) -> None:
        self._launch = launch
        self._images = images
        self._note = note
        self._kept: dict[int, Deployment] = {}
        """What was launched, by its identity: SageMaker has a copy of its image."""

    def __call__(
        self, endpoint_name: str, deployment: Deployment, *, cancelled: Callable[[], bool]
    ) -> Container:
        """Return the running container; raise LaunchFailedError."""
        if id(deployment) not in self._kept:
            self._check(endpoint_name, deployment)
        container = self._launch(endpoint_name, deployment, cancelled=cancelled)
        self._kept[id(deployment)] = deployment
        return container

    def _check(self, endpoint_name: str, deployment: Deployment) -> None:
        reference = ImageReference.parse(deployment.image)
        if reference is None or not self._images.may_pull(deployment.role_arn, reference):
            raise LaunchFailedError(texts.images_unavailable(deployment.variant_name))
        found = self._images.find(reference)
        if found is None:
            raise LaunchFailedError(texts.images_unavailable(deployment.variant_name))
        if isinstance(deployment.capacity, Capacity):
            size = found.unpacked_bytes()
            if size > IMAGE_BYTES.value:
                raise LaunchFailedError(texts.image_too_large(size, IMAGE_BYTES.value))
        # Of an image of AWS's own nothing is here but its name, which says it.
        said = found.architecture or _BY_NAME.get(str(llama_cpp_platform(deployment.image)))
        if said not in (None, architecture_of(deployment.capacity)):
            self._note(endpoint_name, deployment, texts.EXEC_FORMAT)
            raise LaunchFailedError(texts.cannot_start(deployment.variant_name))
