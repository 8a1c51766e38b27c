"""The question before something is changed or paid for. Refuses to take silence for a yes."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from pipeline.errors import InvalidInput, Problem
from pipeline.plain import plain

if TYPE_CHECKING:
    from typing import TextIO


def can_be_asked(*, yes: bool, json: bool, stdin: TextIO | None = None) -> bool:
    """Tell whether a yes is there already, or a person who could say it."""
    return yes or (not json and (stdin or sys.stdin).isatty())


def must_be_asked(command: str, *, yes: bool, json: bool, stdin: TextIO | None = None) -> None:
    """Make sure that a person can be asked, before anything is done.

    Raises:
        InvalidInput: nobody is there, or only a program.
    """
    if can_be_asked(yes=yes, json=json, stdin=stdin):
        return
    seen = "--json" if json else "no terminal to ask at"
    fix = "look with --dry-run, then say --yes"
    wanted = "a yes before anything is changed or paid for"
    raise InvalidInput(command, [Problem("NobodyToAsk", seen, wanted, fix)])


def agreed(question: str, *, yes: bool, stdin: TextIO | None = None) -> bool:
    """Ask, unless the answer was given already; return whether it is yes. The end of the input is a no."""
    if yes:
        return True
    print(f"{plain(question)} [y/N] ", end="", file=sys.stderr, flush=True)
    return (stdin or sys.stdin).readline().strip().lower() in {"y", "yes"}
