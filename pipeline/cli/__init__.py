"""The command line `sealift`: reads a line, calls one command, and is the one place that turns errors into words."""

from __future__ import annotations

import contextlib
import io
import os
import shlex
import signal
import sys
import traceback
from dataclasses import fields, replace
from typing import TYPE_CHECKING, NoReturn, TextIO, TypeVar

from pipeline.cli.endings import (
    BUG,
    FAILED,
    INTERRUPTED,
    OK,
    STATUSES,
    TERMINATED,
    UNREAD,
    USAGE,
    Misuse,
    ending,
)
from pipeline.errors import InvalidInput

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pipeline.cli.options import CommonOptions

__all__ = (
    "BUG",
    "FAILED",
    "INTERRUPTED",
    "OK",
    "STATUSES",
    "TERMINATED",
    "UNREAD",
    "USAGE",
    "complete",
    "entry",
    "main",
)

T = TypeVar("T", bound="CommonOptions")


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit status; whatever comes out of it is told, and nothing raised.

    Raises:
        SystemExit: of a signal to end.
    """
    words = list(sys.argv[1:] if argv is None else argv)
    try:
        status = _run(words)
        # What is not written now would fail when Python ends, where nobody can tell of it.
        sys.stdout.flush()
    except (Exception, KeyboardInterrupt) as error:  # noqa: BLE001 the one place that nothing passes
        return _end(error, words)
    return status


def _run(words: Sequence[str]) -> int:
    from pipeline import settings
    from pipeline.cli import program

    if asked := settings.completing(program.COMPLETE):
        return program.complete(asked)
    try:
        call = program.read(words)
    except program.HelpShown as ended:
        return ended.status
    return replace(call, options=complete(call.options)).run()


def _end(error: BaseException, argv: Sequence[str]) -> int:
    """Tell of an error, as far as anybody reads it, and return the exit status."""
    from pipeline import settings
    from pipeline.plain import lines

    debug = "--debug" in argv or settings.debug()
    try:
        if debug and not isinstance(error, KeyboardInterrupt | BrokenPipeError):
            for line in lines("".join(traceback.format_exception(error)).rstrip("\n")):
                print(line, file=sys.stderr)
        ended = ending(error, again=shlex.join(["sealift", "--debug", *argv]))
        for line in ended.lines:
            print(line, file=sys.stderr, flush=True)
    except OSError:
        ended = ending(error)
        _let_go(sys.stderr)
    if isinstance(error, OSError):
        _let_go(sys.stdout)
    return ended.status


def _let_go(stream: TextIO) -> None:
    """Write what is left in a stream nowhere: Python would try again when it ends, and complain."""
    with contextlib.suppress(OSError, ValueError):
        stream.flush()
        return
    with contextlib.suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def complete(options: T) -> T:
    """Return the options with what the command line leaves to the settings; an empty --stack is any.

    Raises:
        InvalidInput: a setting is wrong; Misuse where it is a flag that says so.
    """
    from pipeline import settings

    given = {one.name: getattr(options, one.name) for one in fields(options)}
    settings.say(given)
    try:
        made = settings.current()
    except InvalidInput as refusal:
        if all(one.where.startswith("--") for one in refusal.problems):
            raise Misuse(refusal.subject, refusal.problems) from refusal
        raise
    found = {name: one.value for name, one in made.items() if given.get(name, "") is None}
    if given.get("stack") == "":
        found["stack"] = None
    return replace(options, **found)


def entry() -> NoReturn:
    """Run as a program; being asked to end is not an end in the middle: what was started is stopped first."""
    signal.signal(signal.SIGTERM, lambda _number, _frame: sys.exit(TERMINATED))
    # A shell starts a job in the background with this signal ignored, and `kill -INT` would do nothing.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    _make_streams_safe()
    try:
        status = main()
    finally:
        # Nothing is left to be stopped: from here on a signal ends the process without a word of Python's.
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
    sys.exit(status)


def _make_streams_safe() -> None:
    """Let every text be written: to a terminal without its characters with escapes, to a closed stream nowhere."""
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        stream = getattr(sys, name)
        if stream is None:
            setattr(sys, name, open(os.devnull, mode, encoding="utf-8"))  # noqa: SIM115, PTH123 as long as the process
        elif isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="surrogateescape" if mode == "r" else "backslashreplace")
