"""Run an image as the local cloud does, by itself: in a true container, with an archive or without, and so much memory.

Owns the wiring of what `local_cloud.hosting` has for that, and what may not be left behind. Refuses to be a hosting:
no service, no quotas, no states.
"""

from __future__ import annotations

import contextlib
import shutil
import time
from pathlib import Path
from typing import TYPE_CHECKING, Final, Self

from local_cloud.hosting.containers.model_files import ModelFiles, NoObjects
from local_cloud.hosting.containers.oci_runtime import find_runtime
from local_cloud.hosting.containers.places import Places
from local_cloud.hosting.containers.runc_container import RuncLauncher
from local_cloud.hosting.platform.lifecycle import ContainerCondition
from local_cloud.hosting.platform.resources import Capacity, Deployment
from local_cloud.hosting.platform.settings import HostingSettings
from tools.image_test import tools

if TYPE_CHECKING:
    from local_cloud.hosting.containers.container import Container
    from local_cloud.hosting.containers.image_layers import ImageFiles

PATIENCE_S: Final = 90.0
SHARED: Final = frozenset({"owner", "state", "roots"})
"""What stays in a launcher's folder."""


class Unusable(Exception):
    """No container can be run here, or one did not do in time what was waited for."""


class Host:
    """Starts containers of one image, and has their logs; a context manager that ends them.

    Args:
        image: its files.
        folder: an existing empty folder for the containers.
        roots: where the image's root is kept once it is unpacked.
        archive: what lies at /opt/ml/model, as a tar.gz; None where the image has its model.
        environment: of the containers, as CreateModel gives it.
    """

    def __init__(
        self,
        image: ImageFiles,
        folder: Path,
        roots: Path,
        *,
        archive: Path | None,
        environment: dict[str, str] | None = None,
    ) -> None:
        findings = find_runtime(tools.runtimes())
        if findings.runtime is None:
            raise Unusable(findings.reason)
        self.image = image
        self.folder = folder
        self.archive = archive
        self.environment = environment or {}
        self.lines: list[str] = []
        self.started: list[Container] = []
        self.identities: list[str] = []
        settings = HostingSettings()
        models = ModelFiles(
            fetch=self._fetch,
            objects=NoObjects(),
            settings=settings,
        )
        self.launcher = RuncLauncher(
            runtime=findings.runtime, models=models, settings=settings, root=folder, roots=roots
        )
        self.places = Places(
            folder,
            log=lambda _role, _group, _stream, _ms, line: self.lines.append(line),
            log_group=lambda name, _component: name,
            clock=time.time,
        )

    def _fetch(self, _role: str, _bucket: str, _key: str, path: Path) -> None:
        if self.archive is not None:
            shutil.copyfile(self.archive, path)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for container in self.started:
            container.kill()
        self.launcher.close()

    def start(self, memory_mb: int) -> Container:
        """Start a container with so much memory."""
        deployment = Deployment(
            config_name="harbour",
            variant_name="AllTraffic",
            weight=1.0,
            capacity=Capacity(memory_mb, 1),
            image="sealift",
            role_arn="arn:aws:iam::123456789012:role/endpoint",
            model_data_url="s3://models/model.tar.gz" if self.archive else None,
            model_source=None,
            environment=self.environment,
        )
        place = self.places.make("harbour", deployment)
        self.identities.append(place.identity)
        container = self.launcher.launch(deployment, place, image=self.image, cancelled=lambda: False)
        self.started.append(container)
        return container

    def until_up(self, container: Container) -> ContainerCondition:
        """Wait until it answers health checks, or ended, and return how it is.

        Raises:
            Unusable: it does neither.
        """
        deadline = time.monotonic() + PATIENCE_S
        while container.condition() is ContainerCondition.RUNNING and not container.ping():
            if time.monotonic() > deadline:
                raise Unusable(f"no answer within {PATIENCE_S:g} s: {self.lines[-20:]}")
            time.sleep(0.02)
        return container.condition()

    def leftovers(self) -> list[str]:
        """Return what is left of the containers: folders, notes of the runtime, mounts, control groups, processes."""
        found = [f"folder {path.name}" for path in self.folder.iterdir() if path.name not in SHARED]
        state = self.folder / "state"
        found += [f"container {path.name}" for path in state.iterdir()] if state.is_dir() else []
        mounts = Path("/proc/mounts").read_text(encoding="utf-8").splitlines()
        found += [f"mount {line}" for line in mounts if str(self.folder) in line]
        for identity in self.identities:
            found += [f"group {path}" for path in Path("/sys/fs/cgroup").glob(f"**/*{identity}")]
        for process in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):
                groups = (process / "cgroup").read_text(encoding="utf-8")
                command = (process / "cmdline").read_text(encoding="utf-8", errors="replace")
                if str(self.folder) in command or any(identity in groups for identity in self.identities):
                    found.append(f"process {process.name} {command}")
        return found
