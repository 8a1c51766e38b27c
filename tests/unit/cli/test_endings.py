"""How a command ends: what is printed, and the status, for every kind of exception."""

from __future__ import annotations

import errno

import pytest

from pipeline import errors
from pipeline.cli import endings, extras
from pipeline.errors import InvalidInput, Problem

PROBLEM = Problem("Wrong", "a is 3", "a to be 4", "write 4")


def noted(error: BaseException, note: str) -> BaseException:
    """Return an error with a note."""
    error.add_note(note)
    return error


@pytest.mark.parametrize(
    ("error", "status", "lines"),
    [
        pytest.param(
            InvalidInput("my.json", [PROBLEM, Problem("B", "b\nis\x1b[31m 3", "4", "", "--b")]),
            endings.FAILED,
            [
                "ERROR  my.json: a is 3; wanted a to be 4",
                "TIP    write 4",
                "ERROR  --b: b\\nis\\x1b[31m 3; wanted 4",
            ],
            id="refused, each problem where it is",
        ),
        pytest.param(
            noted(errors.ServiceUnavailable("no answer"), "go on"),
            endings.FAILED,
            ["ERROR  no answer", "NOTE   go on"],
            id="failed, with what was noted",
        ),
        pytest.param(
            noted(errors.ServiceUnavailable("no answer; wanted one; ask again", fix="ask again"), "go on"),
            endings.FAILED,
            ["ERROR  no answer; wanted one", "TIP    ask again", "NOTE   go on"],
            id="failed, with what to do",
        ),
        pytest.param(
            errors.EndpointBusy("it is Updating"), endings.FAILED, ["ERROR  it is Updating"], id="not now"
        ),
        pytest.param(
            OSError(errno.ENOSPC, "No space left on device", "/a/b"),
            endings.FAILED,
            [
                "ERROR  /a/b: No space left on device; wanted space on the disk",
                "TIP    free some, or write elsewhere, then try again",
            ],
            id="the system, by the file",
        ),
        pytest.param(
            OSError("cannot read from timed out object"),
            endings.FAILED,
            [
                "ERROR  this machine: cannot read from timed out object; wanted that the system does it",
                "TIP    see the message",
            ],
            id="the system, without a number",
        ),
        pytest.param(
            OSError(errno.EXDEV, "Invalid cross-device link", "a", None, "b"),
            endings.FAILED,
            [
                "ERROR  a -> b: Invalid cross-device link; wanted that the system does it",
                "TIP    see the message",
            ],
            id="the system, by two files",
        ),
        pytest.param(
            MemoryError(),
            endings.FAILED,
            [
                "ERROR  this machine: no memory is left; wanted more of it",
                "TIP    end other programs, then try again",
            ],
            id="memory",
        ),
        pytest.param(KeyboardInterrupt(), endings.INTERRUPTED, ["ERROR  interrupted"], id="Ctrl-C"),
        pytest.param(BrokenPipeError(), endings.UNREAD, [], id="nobody reads"),
        pytest.param(
            KeyError("a"),
            endings.BUG,
            [
                "ERROR  a mistake of Sealift's own: KeyError: 'a'; wanted an end that it has words for",
                "TIP    `sealift --debug status` shows it whole: report that, with what `sealift --version` says",
            ],
            id="ours",
        ),
    ],
)
def test_an_exception_has_lines_and_a_status(error: BaseException, status: int, lines: list[str]) -> None:
    """In words for whoever typed the command; each in one line, without what moves a cursor."""
    ended = endings.ending(error, again="sealift --debug status")

    assert (ended.status, list(ended.lines)) == (status, lines)
    assert ended.status in endings.STATUSES


@pytest.mark.parametrize(
    ("name", "status"),
    [
        pytest.param("moto.core", endings.FAILED, id="another's package"),
        pytest.param(None, endings.FAILED, id="nobody's"),
        pytest.param("pipeline.nothing", endings.BUG, id="ours"),
        pytest.param("pipelines", endings.FAILED, id="not quite ours"),
    ],
)
def test_a_package_that_is_missing_is_the_installations(name: str | None, status: int) -> None:
    """What we ourselves misspell is not."""
    assert endings.ending(ImportError("no", name=name)).status == status


def test_a_mistake_of_ours_is_told_with_its_place() -> None:
    """The last line of Sealift's own that it passed."""
    try:
        extras.lacking("local", ["moto; extra == 'local'"], lambda _name: 1 // 0)  # type: ignore[arg-type]
    except ZeroDivisionError as error:
        ended = endings.ending(error)

    assert "ZeroDivisionError" in ended.lines[0]
    assert "(extras.py:" in ended.lines[0]


@pytest.mark.parametrize(
    ("installed", "absent"),
    [
        pytest.param({"moto", "psutil"}, [], id="all there"),
        pytest.param({"psutil", "boto3"}, ["moto"], id="one missing"),
        pytest.param(set(), ["moto", "psutil"], id="none there"),
    ],
)
def test_what_an_extra_needs_is_read_off_the_metadata(installed: set[str], absent: list[str]) -> None:
    """Neither what everybody needs nor what another extra does."""
    requirements = [
        "boto3>=1.40",
        "moto[server]<6,>=5.2.5; extra == 'local'",
        'psutil>=6 ; extra == "local"',
        "pytest>=9; extra == 'dev'",
        "locale; extra == 'localed'",
    ]

    assert extras.lacking("local", requirements, installed.__contains__) == absent
