"""The image as the platform runs it: as nobody, with a root that nothing can write, and little memory.

Run is what skopeo pulled, by the code with which the local cloud hosts endpoints.
"""

from __future__ import annotations

import json
import tarfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

import psutil
import pytest

from examples.tiny_gguf import write_tiny_gguf
from local_cloud.hosting.containers.container import CallBrokenError, ContainerCall
from local_cloud.hosting.platform.lifecycle import ContainerCondition
from local_cloud.hosting.platform.settings import HostingSettings
from tools.image_test import trees
from tools.image_test.host import PATIENCE_S, Host

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.image.conftest import Pulled

SMALLEST_MB = 1024
"""Of serverless."""
DYING_MB = (192, 96, 48, 24)
"""Less and less, until the server cannot live in it: it takes 72 MiB beside the model."""
QUESTION = ContainerCall(
    json.dumps(
        {
            "messages": [{"role": "user", "content": "What does Sealift do?"}],
            "max_tokens": 16,
            "temperature": 0,
        }
    ).encode(),
    "application/json",
)


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return an archive with a small model and no code: the image brings its own."""
    folder = tmp_path_factory.mktemp("archive")
    write_tiny_gguf(folder / "harbour.gguf")
    with tarfile.open(folder / "model.tar.gz", "w:gz") as packed:
        packed.add(folder / "harbour.gguf", "harbour.gguf")
    return folder / "model.tar.gz"


@pytest.fixture(scope="module")
def roots(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return where the image's root is kept once it is unpacked."""
    return tmp_path_factory.mktemp("roots")


@pytest.fixture
def host(pulled: Pulled, archive: Path, roots: Path, tmp_path: Path) -> Iterator[Host]:
    """Return what starts containers; none is left of them."""
    environment = {"SEALIFT_N_CTX": "512", "SEALIFT_N_THREADS": "1"}
    with Host(pulled, tmp_path, roots, archive=archive, environment=environment) as made:
        yield made
    assert made.leftovers() == []


def test_answers(host: Host) -> None:
    """A chat, in the smallest memory that there is."""
    container = host.start(SMALLEST_MB)

    assert host.until_up(container) is ContainerCondition.RUNNING
    answer = container.call(QUESTION, PATIENCE_S)
    assert answer.status == 200, answer.body
    assert "Sealift" in json.loads(answer.body)["choices"][0]["message"]["content"]


def test_runs_as_nobody_who_may_write_nothing(host: Host) -> None:
    """As 65534 and without a capability; the root is read-only, /tmp alone is not; no network but its own loopback."""
    container = host.start(SMALLEST_MB)
    host.until_up(container)

    assert container.pids()
    for pid in container.pids():
        status = dict(
            line.split(":", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines() if ":" in line
        )
        assert set(status["Uid"].split()) == {"65534"}
        assert int(status["CapEff"], 16) == 0
        mounts = [line.split() for line in Path(f"/proc/{pid}/mounts").read_text().splitlines()]
        written = {mount[1] for mount in mounts if "rw" in mount[3].split(",")}
        assert "/" not in written
        assert "/opt/ml/model" not in written
        assert {one for one in written if not one.startswith(("/proc", "/dev", "/sys"))} == {"/tmp"}  # noqa: S108
        links = Path(f"/proc/{pid}/net/dev").read_text().splitlines()[2:]
        assert [line.split(":")[0].strip() for line in links] == ["lo"]


def test_dies_of_too_little_memory_and_says_so(host: Host) -> None:
    """With less and less: in the end the kernel kills it, and that is told from any other end."""
    for memory_mb in DYING_MB:
        container = host.start(memory_mb)
        condition = host.until_up(container)
        if condition is ContainerCondition.RUNNING:
            try:
                container.call(QUESTION, PATIENCE_S)
            except CallBrokenError:
                condition = host.until_up(container)
        if condition is not ContainerCondition.RUNNING:
            assert condition is ContainerCondition.OUT_OF_MEMORY
            return
    raise AssertionError(f"it lives in {DYING_MB[-1]} MiB")


def test_ends_when_it_is_asked_to(host: Host) -> None:
    """By SIGTERM and by itself, long before it would be killed; nothing is left, which the fixture looks at."""
    container = host.start(SMALLEST_MB)
    host.until_up(container)
    processes = [psutil.Process(pid) for pid in container.pids()]
    begun = time.monotonic()
    container.stop()

    assert time.monotonic() - begun < HostingSettings().stop_grace_s
    assert not any(process.is_running() for process in processes)


def test_takes_its_file_system_from_umoci_alike(host: Host, unpacked: Path, roots: Path) -> None:
    """What the local cloud unpacks of the layers is what umoci does, but for the folders that are mounted over."""
    host.start(SMALLEST_MB)
    (root,) = roots.iterdir()
    ours, theirs = trees.read(root), trees.read(unpacked / "rootfs")

    added = {path for path in ours if path not in theirs}
    assert added <= {"opt/ml", "opt/ml/model", "etc/hosts", "etc/hostname", "etc/resolv.conf"}
    assert trees.differences(theirs, {path: ours[path] for path in ours if path not in added}) == []
