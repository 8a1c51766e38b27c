"""Install what the test of the image needs of Debian, or say what is missing and why it cannot be had.

Owns the list of those packages, and whether this machine lets a container be made at all. Refuses to fail where they
cannot be had: then the tests are skipped with the same words.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Final

from local_cloud.hosting.containers import oci_runtime

if TYPE_CHECKING:
    from collections.abc import Callable

PACKAGES: Final = ("umoci", "skopeo", "docker-registry", "debootstrap")
"""Each has a program of its own name, as the runtimes have; of those one suffices."""

RUNTIME_VARIABLE: Final = "OCI_RUNTIME"
"""Names the one runtime that tests run containers by."""

SERVICES: Final = frozenset({"docker-registry"})
"""Of those, what Debian would start as a service once it is installed: only its program is taken, into `PROGRAMS`."""

CACHE: Final = Path(__file__).resolve().parents[2] / ".cache" / "image-test"
PROGRAMS: Final = CACHE / "programs"

KEYRING: Final = Path("/usr/share/keyrings/debian-archive-keyring.gpg")
"""What debootstrap checks Debian's packages with; another distribution has it as a package."""

SBIN: Final = "/usr/local/sbin:/usr/sbin:/sbin"
"""Where some of them lie, which not every PATH has."""


def search_path(environ_path: str | None) -> str:
    """Return where to look for programs: PATH, where those of the superuser lie, and what was extracted here."""
    return f"{environ_path or os.defpath}:{SBIN}:{PROGRAMS / 'usr' / 'bin'}"


def find(program: str) -> Path:
    """Return where a program lies.

    Raises:
        FileNotFoundError: when it lies nowhere.
    """
    found = _which(program)
    if found is None:
        raise FileNotFoundError(f"no {program!r} on this machine; `make image-test` installs it")
    return Path(found)


def runtimes(named: str | None = os.environ.get(RUNTIME_VARIABLE)) -> tuple[str, ...]:
    """Return the runtimes that tests may take, in the order of preference: one that is named, or any that is known."""
    return (named,) if named else oci_runtime.PROGRAMS


def runtime() -> str:
    """Return the runtime that tests take: the first that is installed, or the one to install."""
    return next((one for one in runtimes() if _which(one)), runtimes()[0])


def missing(
    which: Callable[[str], str | None], keyring: Path = KEYRING, among: tuple[str, ...] | None = None
) -> list[str]:
    """Return the packages that are not installed, in the order of the list; a runtime only where none is."""
    among = among or runtimes()
    absent = [] if any(map(which, among)) else [among[0]]
    absent += [package for package in PACKAGES if which(package) is None]
    return absent if keyring.exists() else [*absent, "debian-archive-keyring"]


def obstacle() -> str | None:
    """Return why no image can be built and run here, in one sentence; None where it can."""
    if sys.platform != "linux":
        return "containers need Linux"
    if os.geteuid() != 0:
        return "containers are made by the superuser, and this is another user"
    if absent := missing(_which):
        return f"{', '.join(absent)} not installed (`make image-test` does that where root and apt-get are)"
    return _refused()


def _refused() -> str | None:
    # What a runtime does first, and debootstrap: a machine that is a container itself often may do neither.
    kinds = ["--mount", "--pid", "--net", "--ipc", "--uts", "--fork", "--mount-proc"]
    said = subprocess.run([find("unshare"), *kinds, "true"], capture_output=True, text=True, check=False)
    if said.returncode:
        return f"this machine makes no namespaces: {said.stderr.strip()}"
    return None


def _which(program: str) -> str | None:
    return shutil.which(program, path=search_path(os.environ.get("PATH")))


def install(absent: list[str], log: Path) -> None:
    """Have apt-get install these packages, and extract those that would start as a service.

    Args:
        absent: the packages.
        log: gets what apt-get says.
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("wb") as said, tempfile.TemporaryDirectory() as folder:

        def call(*command: str | Path) -> None:
            environ = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
            subprocess.run(command, cwd=folder, env=environ, stdout=said, stderr=said, check=False)

        apt = find("apt-get")
        call(apt, "update")
        if plain := [package for package in absent if package not in SERVICES]:
            call(apt, "install", "--yes", "--no-install-recommends", *plain)
        if services := SERVICES.intersection(absent):
            call(apt, "download", *services)
        for found in Path(folder).glob("*.deb"):
            PROGRAMS.mkdir(parents=True, exist_ok=True)
            call(find("dpkg-deb"), "--extract", found, PROGRAMS)


def installed() -> bool:
    """Return whether all packages are here, after they were installed where that can be."""
    absent = missing(_which)
    if absent and os.geteuid() == 0 and _which("apt-get"):
        log = CACHE.parent / "log" / "image-tools.log"
        print(f"installing {', '.join(absent)}; log in {log.relative_to(CACHE.parents[1])}", flush=True)
        install(absent, log)
        absent = missing(_which)
    return not absent
