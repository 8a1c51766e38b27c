"""Which way an endpoint's container runs: from its image, in a true container, or as a process of this machine.

Owns the choice, and what becomes of a launch's folder when it fails. Refuses to run anything: `server_process` and
`runc_container` do.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from typing import TYPE_CHECKING

from local_cloud.hosting.containers.image_layers import ImageFiles

if TYPE_CHECKING:
    from local_cloud.hosting.containers.container import Container
    from local_cloud.hosting.containers.places import Places
    from local_cloud.hosting.containers.runc_container import RuncLauncher
    from local_cloud.hosting.containers.server_process import ProcessLauncher
    from local_cloud.hosting.platform.resources import Deployment

Pull = Callable[[str], ImageFiles | None]
"""Returns the files of an image, by its URI; None when nobody here has them."""


def no_image(_uri: str) -> ImageFiles | None:
    """Return None: for a hosting without a registry."""
    return None


class Launcher:
    """Starts containers, each in the truest way there is."""

    def __init__(
        self,
        *,
        places: Places,
        pull: Pull,
        processes: ProcessLauncher,
        containers: RuncLauncher | None,
    ) -> None:
        """Wire it.

        Args:
            places: where containers are.
            pull: finds an image's files.
            processes: the one way, which is always there.
            containers: the other; None where no runtime works, or none is wanted.
        """
        self._places = places
        self._pull = pull
        self._processes = processes
        self._containers = containers
        self._kept: dict[int, tuple[Deployment, ImageFiles | None]] = {}
        """The image of each deployment, by its identity: SageMaker has a copy, whatever becomes of the tag."""

    def __call__(
        self, endpoint_name: str, deployment: Deployment, *, cancelled: Callable[[], bool]
    ) -> Container:
        """Return the running container; raise LaunchFailedError."""
        image = self._image(deployment)
        place = self._places.make(endpoint_name, deployment)
        try:
            # Of an image of AWS's own nothing is here but that it exists.
            if image is None or not image.layers:
                return self._processes.launch(deployment, place, image=None, cancelled=cancelled)
            if self._containers is None:
                return self._processes.launch(deployment, place, image=image, cancelled=cancelled)
            return self._containers.launch(deployment, place, image=image, cancelled=cancelled)
        except BaseException:
            shutil.rmtree(place.folder, ignore_errors=True)
            raise

    def _image(self, deployment: Deployment) -> ImageFiles | None:
        if id(deployment) not in self._kept:
            self._kept[id(deployment)] = (deployment, self._pull(deployment.image))
        return self._kept[id(deployment)][1]
