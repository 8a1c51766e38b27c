"""Name the Python that the serving stack is installed for: 3.10 as in the image where there is one, else this one.

python tools/contract/python.py [PYTHON]
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator


def candidates(home: Path) -> Iterator[str]:
    """Yield where a Python 3.10 may be: on PATH, or among pyenv's, whose commands on PATH need not work."""
    if found := shutil.which("python3.10"):
        yield found
    yield from sorted(map(str, home.glob(".pyenv/versions/3.10.*/bin/python3.10")))


def works(python: str) -> bool:
    """Return whether it runs and can make virtual environments."""
    try:
        return not subprocess.run(
            [python, "-c", "import ensurepip"], capture_output=True, check=False
        ).returncode
    except OSError:
        return False


if __name__ == "__main__":
    wanted = sys.argv[1] if len(sys.argv) > 1 else ""
    print(wanted or next(filter(works, candidates(Path.home())), sys.executable))
