"""JSON that a person hands to the command line: a file, or standard input for `-`.

Owns how such a file is read: whole or not at all, within a bound, in any of JSON's encodings, with or without the mark
that editors put before it. Refuses what is no object, by the file's own name and the line of the mistake.
"""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Any, Final, NoReturn

from pipeline.errors import InvalidInput, Problem

if TYPE_CHECKING:
    from pathlib import Path

LARGEST: Final = 256 * 1024
"""Bytes of an execution's input, which Step Functions bounds; settings are far smaller."""

OF_SETTINGS: Final = "a JSON object of settings"
SEE_EXAMPLES: Final = 'write for instance {"memory_mb": 3072}; docs/settings.md lists the fields'


def name_of(path: Path) -> str:
    """Return what a file is called in a message."""
    return "standard input" if str(path) == "-" else str(path)


def read_object(
    path: Path, *, wanted: str = OF_SETTINGS, fix: str = SEE_EXAMPLES, most: int = LARGEST
) -> dict[str, Any]:
    """Return the JSON object of a file.

    Args:
        path: the file; `-` for standard input.
        wanted: what it should be, for an error.
        fix: what to do when it is not, for an error.
        most: bytes that it may have.

    Raises:
        InvalidInput: it cannot be read, or is no such object; under its own name.
    """
    name = name_of(path)

    def refuse(error: str, seen: str, cause: Exception | None = None, *, to_do: str = fix) -> NoReturn:
        raise InvalidInput(name, [Problem(error, seen, wanted, to_do)]) from cause

    try:
        content = _bytes(path, most + 1)
    except OSError as error:
        refuse("NotRead", error.strerror or str(error), error, to_do="name a file that you may read")
    if len(content) > most:
        refuse("TooLarge", f"more than {most} bytes", to_do="keep only settings in it")
    if not content.strip():
        refuse("NotJson", "an empty file")
    try:
        document = json.loads(content, parse_constant=_no_number)
    except json.JSONDecodeError as error:
        refuse("NotJson", f"no JSON: line {error.lineno}, column {error.colno}: {error.msg}", error)
    except (ValueError, RecursionError) as error:
        refuse("NotJson", f"no JSON: {error}", error)
    if not isinstance(document, dict):
        refuse("NotAnObject", f"a JSON {_KINDS.get(type(document).__name__, 'value')}")
    return document


_KINDS: Final = {"list": "list", "str": "text", "int": "number", "float": "number", "bool": "true or false"}


def _bytes(path: Path, most: int) -> bytes:
    if str(path) == "-":
        return sys.stdin.buffer.read(most) if hasattr(sys.stdin, "buffer") else sys.stdin.read().encode()
    with path.open("rb") as file:
        return file.read(most)


def _no_number(name: str) -> NoReturn:
    raise ValueError(f"{name} is no number of JSON")
