"""Archives as the pipeline makes them, extracted as SageMaker does, in the prebuilt image's true serving stack."""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from examples.tiny_gguf import write_tiny_gguf
from local_cloud.hosting.containers.unpacking import unpack
from pipeline import package_files
from pipeline.archive.build.pack import pack
from pipeline.planning import metrics
from pipeline.sizing import images
from tools.contract.container import Container, Stack

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    Start = Callable[..., Container]

ENDPOINT = "harbour-0123456789ab"
ENVIRONMENT = {
    **images.environment(images.PYTORCH, {"n_ctx": 512, "n_threads": 1}),
    **metrics.environment(ENDPOINT),
}
"""Of the container, as the plan gives it to CreateModel."""

DISK_BYTES = 5_000_000_000


@pytest.fixture(scope="session")
def stack() -> Stack:
    """Return the installed serving stack."""
    return Stack.installed(os.environ)


@pytest.fixture(scope="session")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a small GGUF that answers with a sentence."""
    path = tmp_path_factory.mktemp("model") / "harbour.gguf"
    write_tiny_gguf(path)
    return path


@pytest.fixture(scope="session")
def archive(model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return what `sealift pack` makes of it."""
    path = tmp_path_factory.mktemp("archive") / "model.tar.gz"
    pack(model, path, code=package_files.code())
    return path


def extracted(archive: Path, base: Path) -> Path:
    """Extract an archive to `base`/model, which stands for /opt/ml/model, and return `base`."""
    folder = base / "model"
    folder.mkdir(parents=True)
    unpack(archive, folder, disk_bytes=DISK_BYTES, cancelled=lambda: False)
    return base


@contextlib.contextmanager
def running(stack: Stack, base: Path, environment: Mapping[str, str]) -> Iterator[Container]:
    """Run a container, with a scratch folder that goes with it: Unix sockets in it want a short path."""
    with (
        tempfile.TemporaryDirectory(prefix="sealift-") as scratch,
        Container(stack, base, Path(scratch), environment) as container,
    ):
        yield container


@pytest.fixture(scope="session")
def served(stack: Stack, archive: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Container]:
    """Return a container with the packed archive, for all tests that only ask it."""
    base = extracted(archive, tmp_path_factory.mktemp("ml"))
    with running(stack, base, ENVIRONMENT) as container:
        container.until_up()
        yield container


@pytest.fixture
def start(stack: Stack) -> Iterator[Start]:
    """Return a function that starts a container of the test's own."""
    with contextlib.ExitStack() as running_ones:

        def started(base: Path, environment: Mapping[str, str] = ENVIRONMENT) -> Container:
            return running_ones.enter_context(running(stack, base, environment))

        yield started


@pytest.fixture
def wrapped(archive: Path, tmp_path: Path) -> Callable[[str], Path]:
    """Return a function that extracts the archive and puts an inference.py of the test's own before Sealift's."""

    def make(source: str) -> Path:
        base = extracted(archive, tmp_path / "ml")
        code = base / "model" / "code"
        shutil.move(code / "inference.py", code / "sealift_inference.py")
        (code / "inference.py").write_text(source)
        return base

    return make
