"""Which way an endpoint's container runs, with launchers that only note what they get."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import pytest

from local_cloud.hosting.containers.container import LaunchFailedError
from local_cloud.hosting.containers.launches import Launcher, no_image
from local_cloud.hosting.containers.places import Place, Places
from local_cloud.hosting.platform.resources import Capacity, Deployment
from tests.ways import ImageHere

OURS = ImageHere({}, (Path("layer"),), "sha256:ours")
NAME_ALONE = ImageHere({}, (), "sha256:aws")


@dataclass
class Way:
    """Stands for either launcher."""

    fails: bool = False
    got: list[Any] = field(default_factory=list)

    def launch(self, deployment: Deployment, place: Place, *, image: Any, cancelled: Any) -> str:
        """Note the image."""
        del deployment, cancelled
        self.got.append(image)
        (place.folder / "file").touch()
        if self.fails:
            raise LaunchFailedError("no")
        return "container"


def deployment(image: str = "image:1") -> Deployment:
    """Return a deployment."""
    return Deployment("c", "v", 1.0, Capacity(1024, 1), image, "role", None, None, {})


def launcher(folder: Path, pull: Any, processes: Way, containers: Way | None) -> Launcher:
    """Return a launcher of the two ways."""
    places = Places(folder, log=lambda *_: None, log_group=lambda name, _component: name, clock=lambda: 0.0)
    return Launcher(
        places=places, pull=pull, processes=cast("Any", processes), containers=cast("Any", containers)
    )


@pytest.mark.parametrize(
    ("image", "works", "process", "container"),
    [
        (OURS, True, [], [OURS]),
        (OURS, False, [OURS], []),
        (None, True, [None], []),
        (NAME_ALONE, True, [None], []),
        (NAME_ALONE, False, [None], []),
    ],
)
def test_true_containers_are_taken_where_image_and_runtime_are_there(
    tmp_path: Path, image: ImageHere | None, works: bool, process: list[Any], container: list[Any]
) -> None:
    """A process gets an image for the model in it; of an image that is a name alone it gets none."""
    processes, containers = Way(), Way()
    launch = launcher(tmp_path, lambda _uri: image, processes, containers if works else None)

    launch("e", deployment(), cancelled=lambda: False)

    assert (processes.got, containers.got) == (process, container)


def test_a_deployment_keeps_its_image(tmp_path: Path) -> None:
    """Whatever its tag says later, or if it is gone: SageMaker has a copy; another deployment gets the new one."""
    there: list[ImageHere | None] = [OURS, None]
    containers, processes = Way(), Way()
    launch = launcher(tmp_path, lambda _uri: there.pop(0), processes, containers)
    first, second = deployment(), deployment()

    for one in (first, first, second):
        launch("e", one, cancelled=lambda: False)

    assert containers.got == [OURS, OURS]
    assert processes.got == [None]


def test_a_launch_that_fails_leaves_no_folder(tmp_path: Path) -> None:
    """Whichever way it went."""
    launch = launcher(tmp_path, no_image, Way(fails=True), None)

    with pytest.raises(LaunchFailedError):
        launch("e", deployment(), cancelled=lambda: False)
    assert list(tmp_path.iterdir()) == []
