"""`sealift completion SHELL`: a script that lets bash, zsh or fish complete commands, options and file names.

The script is made of the parser once, so completing starts no Python.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Final

from pipeline import cli

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator

    from pipeline.cli import Arguments

FILES: Final = frozenset({"ARCHIVE", "FILE", "MODEL.gguf"})
"""What stands in the usage for the name of a file."""


def completion(arguments: Arguments) -> int:
    """Print the script of a shell."""
    import shtab

    parser = cli.parser()
    for action in _actions(parser):
        if action.metavar in FILES:
            action.complete = shtab.FILE  # type: ignore[attr-defined]
    sys.stdout.write(shtab.complete(parser, shell=arguments.shell))
    return 0


def _actions(parser: argparse.ArgumentParser) -> Iterator[argparse.Action]:
    """Yield the options and arguments of a parser, and of its commands."""
    for action in parser._actions:  # noqa: SLF001 argparse has no public way to list them
        yield action
        if isinstance(action.choices, dict):
            for command in action.choices.values():
                yield from _actions(command)
