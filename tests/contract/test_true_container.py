"""The prebuilt image's replica in a true container, as serverless is assumed to run it: what it may not write shows.

Skipped where this machine has no runtime that works, or no debootstrap, which says so.
"""

from __future__ import annotations

import json
import shutil
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from local_cloud.hosting.containers.container import ContainerCall
from local_cloud.hosting.containers.model_files import ModelFiles, NoObjects
from local_cloud.hosting.containers.places import Places
from local_cloud.hosting.containers.runc_container import RuncLauncher
from local_cloud.hosting.platform.lifecycle import ContainerCondition
from local_cloud.hosting.platform.resources import Capacity, Deployment
from local_cloud.hosting.platform.settings import HostingSettings
from tests import ways
from tests.contract.conftest import ENVIRONMENT
from tools.contract import replica

if TYPE_CHECKING:
    from local_cloud.hosting.containers.container import Container
    from tools.contract.container import Stack

PATIENCE_S = 180.0
IN_TMP = {"TEMP": "/tmp"}  # noqa: S108 the container's
TMP = "/tmp"  # noqa: S108 the container's
LINK = {"etc/sagemaker-ts.properties": f"{TMP}/sagemaker-ts.properties"}
"""Its configuration's fixed place, as a link: so an image of one's own makes it writable."""


class Host:
    """Runs images of the stack in containers, and has what they wrote."""

    def __init__(self, folder: Path, archive: Path, stack: Stack) -> None:
        self.lines: list[str] = []
        self._folder = folder
        self._stack = stack
        settings = HostingSettings()
        models = ModelFiles(
            fetch=lambda _role, _bucket, _key, path: shutil.copyfile(archive, path),
            objects=NoObjects(),
            settings=settings,
        )
        root = folder / "hosting"
        root.mkdir()
        self._launcher = RuncLauncher(
            runtime=ways.runtime(), models=models, settings=settings, root=root, roots=None
        )
        self._places = Places(
            root,
            log=lambda _role, _group, _stream, _ms, line: self.lines.append(line),
            log_group=lambda name, _component: name,
            clock=time.time,
        )
        self._started: list[Container] = []

    def start(self, environment: dict[str, str], **image: Any) -> Container:
        """Start a container of the replica, or of an image derived of it, with 1024 MB."""
        self.lines.clear()
        deployment = Deployment(
            config_name="harbour",
            variant_name="AllTraffic",
            weight=1.0,
            capacity=Capacity(1024, 1),
            image="prebuilt",
            role_arn="arn:aws:iam::123456789012:role/endpoint",
            model_data_url="s3://models/model.tar.gz",
            model_source=None,
            environment={**ENVIRONMENT, **environment},
        )
        try:
            made = replica.build(self._stack, self._folder, **image)
        except replica.NoReplicaError as error:
            pytest.skip(str(error))
        place = self._places.make("harbour", deployment)
        container = self._launcher.launch(deployment, place, image=made, cancelled=lambda: False)
        self._started.append(container)
        return container

    def ended(self, container: Container) -> str:
        """Return what a container wrote, when it has ended."""
        deadline = time.monotonic() + PATIENCE_S
        while container.condition() is ContainerCondition.RUNNING:
            assert time.monotonic() < deadline, f"it goes on: {self.lines}"
            time.sleep(0.05)
        container.kill()
        return "\n".join(self.lines)

    def close(self) -> None:
        """End everything."""
        for container in self._started:
            container.kill()
        self._launcher.close()


@pytest.fixture(scope="module")
def host(archive: Path, stack: Stack) -> Iterator[Host]:
    """Yield a host; its containers and the images go with it."""
    ways.runtime()
    with tempfile.TemporaryDirectory(prefix="sealift-") as folder:
        host = Host(Path(folder), archive, stack)
        yield host
        host.close()


def test_it_cannot_write_beside_its_working_directory(host: Host) -> None:
    """The toolkit's first folder is `.sagemaker` in `/`, where only root may make one, and here nobody."""
    said = host.ended(host.start({}))

    assert "'/.sagemaker" in said
    assert "Read-only file system" in said or "Permission denied" in said


def test_from_tmp_it_cannot_write_its_configuration(host: Host) -> None:
    """Its path is TorchServe's configuration in /etc, whatever the environment says."""
    said = host.ended(host.start(IN_TMP, cwd=TMP))

    assert "'/etc/sagemaker-ts.properties'" in said
    assert "Read-only file system" in said or "Permission denied" in said


def test_with_its_configuration_in_tmp_too_it_serves(host: Host) -> None:
    """That is all it needs: an image derived of it answers as nobody, with a read-only root and 1024 MB."""
    container = host.start(IN_TMP, cwd=TMP, links=LINK)
    deadline = time.monotonic() + PATIENCE_S
    while not container.ping():
        assert container.condition() is ContainerCondition.RUNNING, "\n".join(host.lines)
        assert time.monotonic() < deadline, host.lines
        time.sleep(0.1)

    body = {"messages": [{"role": "user", "content": "What does a sealift do?"}], "max_tokens": 8}
    answer = container.call(ContainerCall(json.dumps(body).encode(), "application/json"), PATIENCE_S)
    assert answer.status == 200, (answer.body, host.lines)
    assert json.loads(answer.body)["choices"][0]["message"]["content"]
    assert {Path(f"/proc/{pid}").stat().st_uid for pid in container.pids()} == {65534}
