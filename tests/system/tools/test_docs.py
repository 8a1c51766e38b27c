"""The commands of the documents, as a reader types them: in a shell, page by page, on one local cloud."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from examples.tiny_companions import write_tiny_lora, write_tiny_projector
from examples.tiny_gguf import write_tiny_gguf
from tools import pages

RUN = {path: [block.body for block in pages.blocks(path.read_text()) if block.run] for path in pages.pages()}


@pytest.fixture
def desk(tmp_path: Path, model: Path, archive: Path) -> Path:
    """Return a folder with what the pages speak of: `sealift`, a model and an archive."""
    program = tmp_path / ".venv" / "bin" / "sealift"
    program.parent.mkdir(parents=True)
    program.write_text(f'#!/bin/sh\nexec {sys.executable} -m sealift "$@"\n')
    program.chmod(0o755)
    shutil.copy(model, tmp_path / "MODEL.gguf")
    write_tiny_projector(tmp_path / "PROJECTOR.gguf")
    write_tiny_lora(tmp_path / "TONE.gguf")
    write_tiny_gguf(tmp_path / "SMALL.gguf", layers=1)
    shutil.copy(archive, tmp_path / "model.tar.gz")
    demo = tmp_path / ".cache" / "demo"
    demo.mkdir(parents=True)
    shutil.copy(archive, demo / "model.tar.gz")
    return tmp_path


@pytest.mark.parametrize(
    "path",
    [pytest.param(path, id=str(path.relative_to(pages.TOP))) for path, blocks in RUN.items() if blocks],
)
def test_the_commands_of_a_page_work(path: Path, url: str, desk: Path) -> None:
    """Each marked block, in order, ends with 0."""
    environment = {
        **os.environ,
        "AWS_ENDPOINT_URL": url,
        "HOME": str(desk),
        # What was downloaded once with its hash is not downloaded again.
        "XDG_CACHE_HOME": os.environ.get("XDG_CACHE_HOME", str(Path.home() / ".cache")),
        "PATH": f"{desk / '.venv' / 'bin'}:{os.environ['PATH']}",
        "PYTHONPATH": str(pages.TOP),
    }

    for block in RUN[path]:
        done = subprocess.run(
            ["/bin/bash", "-euo", "pipefail", "-c", block],
            cwd=desk,
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )

        assert done.returncode == 0, f"{block}\n{done.stdout}\n{done.stderr}"


def test_every_page_of_commands_is_run() -> None:
    """The pages that lead a reader are among them."""
    run = {path.name for path, blocks in RUN.items() if blocks}

    assert {"get-started.md", "models.md", "deployments.md"} <= run
