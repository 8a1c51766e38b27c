"""How a command ends that something went wrong in: the words for a person, and the exit status.

The one boundary between an exception and whoever typed the command. Pure: takes the exception, returns the lines.
What a person did or a network does has a message of its own, which says what was seen, what was wanted and what to
do; whatever is left is a mistake of Sealift's, has a status of its own, and is told as one.
"""

from __future__ import annotations

import errno
import os
import sys
import traceback
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from pipeline import error_codec
from pipeline.errors import InvalidInput, PermanentError, SealiftError
from pipeline.plain import one_line, plain

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from pipeline.errors import Problem

OK, FAILED, USAGE, BUG, INTERRUPTED, UNREAD, TERMINATED = 0, 1, 2, 70, 130, 141, 143
STATUSES: Final = {
    OK: "done, and all is well",
    FAILED: "it was tried and failed, something was refused, or what was checked is unhealthy",
    USAGE: "the command line is wrong",
    BUG: "a mistake of Sealift's own, which --debug shows whole",
    INTERRUPTED: "interrupted, as by Ctrl-C",
    UNREAD: "whoever read the output went away, as in `| head`",
    TERMINATED: "terminated",
}
"""Exit statuses, with what they mean."""

LOCAL_EXTRA: Final = "pip install 'sealift[local]'"
OURS: Final = frozenset({"inference", "local_cloud", "pipeline", "sealift", "state_machine", "tasks"})

_FOLDERS: Final = tuple(f"{Path(__file__).parents[2] / name}{os.sep}" for name in OURS)
_OTHER: Final = ("that the system does it", "see the message")
_SYSTEM: Final[dict[int, tuple[str, str]]] = {
    errno.ENOENT: ("a file or folder that is there", "make it, or name another one"),
    errno.ENOTDIR: ("a folder", "name another one"),
    errno.EISDIR: ("a file", "name a file, not a folder"),
    errno.EACCES: ("permission", "change who may use it, or name another one"),
    errno.EPERM: ("permission", "change who may use it, or name another one"),
    errno.EROFS: ("a place that can be written", "name another one"),
    errno.ENOSPC: ("space on the disk", "free some, or write elsewhere, then try again"),
    errno.EDQUOT: ("space within your quota", "free some, or write elsewhere, then try again"),
    errno.EFBIG: ("a file system that takes so large a file", "write elsewhere"),
    errno.EMFILE: ("more open files", "raise the limit with `ulimit -n 4096`, then try again"),
    errno.ENFILE: ("more open files", "end other programs, then try again"),
    errno.ENOMEM: ("more memory", "end other programs, then try again"),
    errno.EADDRINUSE: ("a port that is free", "end what uses it, or name another with --port"),
}
"""What is wanted and what to do, for what the system refuses."""


class Misuse(Exception):
    """The command line is wrong, whatever is in the files and the account that it names.

    None of `pipeline.errors`: no task raises it, so it has no name that a state machine could catch.
    """

    def __init__(self, subject: str, problems: Iterable[Problem]) -> None:
        self.subject = subject
        self.problems = tuple(problems)
        super().__init__("; ".join(f"{one.where or subject}: {one.seen}" for one in self.problems))


@contextmanager
def misuse() -> Iterator[None]:
    """Tell of what is refused as of a wrong command line.

    Raises:
        Misuse: for InvalidInput.
    """
    try:
        yield
    except InvalidInput as refusal:
        raise Misuse(refusal.subject, refusal.problems) from refusal


@dataclass(frozen=True, slots=True)
class Ending:
    """What is printed, and the exit status."""

    status: int
    lines: tuple[str, ...] = ()


def ending(error: BaseException, *, again: str = "sealift --debug ...") -> Ending:
    """Return how a command ends with an exception.

    Args:
        error: what came out of it.
        again: the command that shows a mistake of ours whole.
    """
    if isinstance(error, KeyboardInterrupt):
        return Ending(INTERRUPTED, ("ERROR  interrupted",))
    if isinstance(error, BrokenPipeError):
        return Ending(UNREAD)
    known = _known(error)
    if isinstance(known, PermanentError | Misuse):
        status = USAGE if isinstance(known, Misuse) else FAILED
        return Ending(status, (*_refused(known), *_notes(known)))
    if isinstance(known, SealiftError):
        return Ending(FAILED, (*_tried(known), *_notes(known)))
    if described := _of_the_system(known) or _of_the_installation(known):
        return Ending(FAILED, (*_error(*described), *_notes(known)))
    return Ending(BUG, (*_bug(known, again), *_notes(known)))


def _known(error: BaseException) -> BaseException:
    """Return an error of ours where the SDK's can be told in its words."""
    # Without the SDK there is none of its errors; `sealift --help` has not imported it.
    if "botocore" in sys.modules and isinstance(error, Exception):
        from pipeline.aws import service_errors

        raised = error.__traceback__
        found = service_errors.translation(error)
        return found if found is not error else error.with_traceback(raised)
    return error


def _refused(refusal: PermanentError | Misuse) -> Iterator[str]:
    for problem in refusal.problems:
        where = problem.where or refusal.subject
        yield from _error(where, problem.seen, problem.wanted, problem.fix)


def _tried(error: SealiftError) -> Iterator[str]:
    fix = error.given.get("fix", "")
    yield f"ERROR  {error_codec.without(str(error), fix)}"
    if fix:
        yield f"TIP    {fix}"


def _of_the_system(error: BaseException) -> tuple[str, str, str, str] | None:
    if isinstance(error, MemoryError):
        return "this machine", "no memory is left", "more of it", "end other programs, then try again"
    if not isinstance(error, OSError):
        return None
    number = error.errno or 0
    wanted, fix = _SYSTEM.get(number, _OTHER)
    names = [str(name) for name in (error.filename, error.filename2) if name is not None]
    return " -> ".join(names) or "this machine", error.strerror or str(error) or "no answer", wanted, fix


def _of_the_installation(error: BaseException) -> tuple[str, str, str, str] | None:
    """Return what is said of a package that is not there; None for a name that we ourselves misspelt."""
    if not isinstance(error, ImportError) or (error.name or "").partition(".")[0] in OURS:
        return None
    fix = f"run `{LOCAL_EXTRA}` for `sealift local`, else `pip install --force-reinstall sealift`"
    return "this installation", one_line(str(error)), "the packages that Sealift needs", fix


def _bug(error: BaseException, again: str) -> Iterator[str]:
    frames = traceback.extract_tb(error.__traceback__)
    ours = [one for one in frames if one.filename.startswith(_FOLDERS)] or frames
    place = f" ({Path(ours[-1].filename).name}:{ours[-1].lineno})" if ours else ""
    described = one_line(f"{type(error).__name__}: {error}".rstrip(": "))
    yield f"ERROR  a mistake of Sealift's own: {described}{place}; wanted an end that it has words for"
    yield f"TIP    `{plain(again)}` shows it whole: report that, with what `sealift --version` says"


def _error(where: str, seen: str, wanted: str, fix: str) -> Iterator[str]:
    yield f"ERROR  {one_line(where)}: {one_line(seen)}; wanted {one_line(wanted)}"
    if fix:
        yield f"TIP    {one_line(fix)}"


def _notes(error: BaseException) -> Iterator[str]:
    for note in getattr(error, "__notes__", ()):
        yield f"NOTE   {one_line(note)}"
