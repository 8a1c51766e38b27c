"""AWS's own commands, `sam` and `aws`, on a local cloud in a process of its own: `make clients`."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from tests.system.conftest import archive, model, running_cloud, url  # noqa: F401 fixtures
from tools import pages

CLIENTS = pages.TOP / ".cache" / "clients" / "bin"
CODE = pages.TOP / ".build" / "lambda-archive" / "tasks"


class Desk:
    """A folder with what the documents speak of, and a shell in it that has AWS's commands."""

    def __init__(self, folder: Path, endpoint: str) -> None:
        self.folder = folder
        self._environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith("PYTHON")},
            "AWS_ENDPOINT_URL": endpoint,
            "HOME": str(folder),
            "PATH": f"{CLIENTS}:/usr/local/bin:/usr/bin:/bin",
            "SAM_CLI_TELEMETRY": "0",
        }

    def runs(self, script: str, typed: str = "") -> str:
        """Return what a script writes, which ends with 0; what is typed answers its questions."""
        status, said = self.tries(script, typed)
        assert status == 0, f"{script}\n{said}"
        return said

    def tries(self, script: str, typed: str = "") -> tuple[int, str]:
        """Return the exit status of a script, and what it writes."""
        done = subprocess.run(
            ["/bin/bash", "-euo", "pipefail", "-c", script],
            cwd=self.folder,
            env=self._environment,
            input=typed,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=900,
            check=False,
        )
        return done.returncode, done.stdout


@pytest.fixture
def desk(tmp_path: Path, url: str, archive: Path) -> Desk:  # noqa: F811 the fixtures from above
    """Return a desk at the local cloud, with a checkout as `make package` leaves it."""
    assert (CLIENTS / "sam").is_file(), "no `sam`; wanted it in .cache/clients: run `make clients`"
    assert CODE.is_dir(), "no code of the functions; wanted it in .build: run `make package`"
    for name in ("template.yaml", "state_machine", ".build"):
        (tmp_path / name).symlink_to(pages.TOP / name)
    (tmp_path / "model.tar.gz").symlink_to(archive)
    return Desk(tmp_path, url)
