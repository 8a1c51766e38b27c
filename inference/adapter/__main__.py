"""The entry point of the image: the adapter with llama-server, or the four functions where an archive brings them.

python inference/adapter [serve]
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

OWN = Path(__file__).resolve().parents[1]
sys.path[:] = [str(OWN), *(path for path in sys.path if path != str(Path(__file__).resolve().parent))]

from adapter.service import find_program, main


def entry() -> int:
    """Serve what there is to serve."""
    functions = Path(os.environ.get("SM_MODEL_DIR") or "/opt/ml/model") / "code" / "inference.py"
    program = find_program(os.environ, OWN)
    if functions.is_file() or program is None:
        import server

        return server.main(sys.argv[1:])
    return main(sys.argv[1:], os.environ, program)


if __name__ == "__main__":
    sys.exit(entry())
