"""`sealift completion SHELL`: a script that lets bash, zsh or fish complete commands, options and file names."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING

from pipeline.cli import program

if TYPE_CHECKING:
    from pipeline.cli.options import CompletionOptions


def completion(arguments: CompletionOptions) -> int:
    """Print the script of a shell."""
    script = program.completion_script(arguments.shell)
    if arguments.json:
        print(json.dumps({"shell": arguments.shell, "script": script}, indent=2))
    else:
        sys.stdout.write(f"{script}\n")
    return 0
