"""The entry point of the image: the adapter with llama-server, or the four functions where an archive brings them.

python inference/adapter [serve]
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

OWN = Path(__file__).resolve().parents[1]
sys.path[:] = [str(OWN), *(path for path in sys.path if path != str(Path(__file__).resolve().parent))]

from adapter.command import find_program


def entry(environ: Mapping[str, str]) -> int:
    """Serve what there is to serve; each server is imported only where it runs."""
    functions = Path(environ.get("SM_MODEL_DIR") or "/opt/ml/model") / "code" / "inference.py"
    program = find_program(environ, OWN)
    if functions.is_file() or program is None:
        import server

        return server.main(sys.argv[1:])
    from adapter import serving

    return serving.main(sys.argv[1:], environ, program)


if __name__ == "__main__":
    sys.exit(entry(os.environ))
