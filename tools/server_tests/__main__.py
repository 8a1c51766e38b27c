"""llama.cpp's own server tests, unmodified, against our servers: `make server-tests`.

    python -m tools.server_tests [SERVER ...] [--pytest ARGUMENT ...]

Owns how they are run: taken out of the pinned source (never committed), in an environment of their own, with `plugin`
and the list `left_out.toml`. A server that is not built here is passed over, and said so.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from tools.server_tests import models, servers
from tools.server_tests.servers import CACHE, TOP

sys.path.insert(0, str(TOP / "tools" / "runtime"))

import recipe
import workshop

SOURCE: Final = CACHE / "llama.cpp"
WANTED: Final = ("tools/server/tests/", "models/templates/", "tools/mtmd/test-1.jpeg")
"""What the tests need of llama.cpp's source, the tests among it."""
TESTS: Final = SOURCE / "tools" / "server" / "tests"
PORTS: Final = TOP / "local_cloud" / "hosting" / "containers"
"""Where `free_ports` is, which the tests' plugin imports as well."""
PYTHON: Final = CACHE / "venv" / "bin" / "python"
_LLAMA: Final = "vendor/llama.cpp/"


def fetch() -> None:
    """Bring the tests of the pinned source here, unless they are."""
    pin = recipe.pins(workshop.REQUIREMENTS.read_text())["llama-cpp-python"]
    stamp = CACHE / "source.txt"
    if stamp.exists() and stamp.read_text() == pin.line:
        return
    stamp.unlink(missing_ok=True)
    shutil.rmtree(SOURCE, ignore_errors=True)
    with tempfile.TemporaryDirectory(dir=CACHE) as folder:
        downloads = workshop.download(Path(folder), [pin])
        wanted = tuple(_LLAMA + path for path in WANTED)
        found = workshop.extract(Path(folder), downloads, lambda path: path.startswith(wanted))
        (found / _LLAMA).rename(SOURCE)
    stamp.write_text(pin.line)


def run(server: str, arguments: Sequence[str]) -> int:
    """Run the tests against one server; return pytest's exit status."""
    launcher = CACHE / f"launch-{server}"
    launcher.write_text(
        f'#!/bin/sh\ncd "{SOURCE}/tools/server/tests"\n'
        f'PYTHONPATH="{TOP}" exec "{sys.executable}" -m tools.server_tests.servers {server} "$@"\n'
    )
    launcher.chmod(0o755)
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST")}
    environment |= {
        "PYTHONPATH": os.pathsep.join(str(folder) for folder in (Path(__file__).parent, PORTS)),
        "LLAMA_SERVER_BIN_PATH": str(launcher),
        "SERVER_TESTS_SERVER": server,
        "SERVER_TESTS_DOWNLOADS": str(CACHE / "downloads"),
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    if not arguments:
        environment["SERVER_TESTS_WHOLE"] = "1"
    command = [str(PYTHON), "-m", "pytest", "-p", "plugin", "-p", "no:cacheprovider", "--tb=short", "-q"]
    together = ["--numprocesses", "4", "--dist", "worksteal"]
    print(f"llama.cpp's server tests: {server}", flush=True)
    return subprocess.run(
        [*command, *together, *arguments], cwd=TESTS, env=environment, check=False
    ).returncode


def main() -> int:
    """Run what is asked; return 0 if every test does as the list says."""
    parser = argparse.ArgumentParser(prog="python -m tools.server_tests")
    parser.add_argument("server", nargs="*", help=f"{', '.join(servers.PROGRAMS)}; all by default")
    parser.add_argument("--pytest", nargs=argparse.REMAINDER, default=[], help="arguments of pytest")
    given = parser.parse_args()
    strange = sorted(set(given.server).difference(servers.PROGRAMS))
    if strange:
        parser.error(f"no server {', '.join(strange)}; wanted some of {', '.join(servers.PROGRAMS)}")
    CACHE.mkdir(parents=True, exist_ok=True)
    fetch()
    # Written anew, so that they are what `models` says now; the tests keep what they have downloaded in `tmp`.
    for folder in (servers.MODELS, CACHE / "downloads", TESTS / "tmp"):
        shutil.rmtree(folder, ignore_errors=True)
    for name in sorted(models.BESIDE):
        models.write_beside(CACHE / "downloads", name)
    statuses = []
    for server in given.server or servers.PROGRAMS:
        if server != servers.FUNCTIONS and not servers.LLAMA_SERVER.exists():
            print(f"{server}: passed over, since llama-server is not built here (make llama-server)")
            continue
        statuses.append(run(server, given.pytest))
    return max(statuses, default=0)


if __name__ == "__main__":
    sys.exit(main())
