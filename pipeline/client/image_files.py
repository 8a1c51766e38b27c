"""Image files that a question brings along. Owns how large one may be; refuses what llama.cpp does not read."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from pipeline.client import requests
from pipeline.errors import InvalidInput, Problem

if TYPE_CHECKING:
    from pathlib import Path

LARGEST: Final = 4 * 2**20
"""Bytes: SageMaker takes no more in one request (4 MB on serverless)."""


def read(path: Path) -> bytes:
    """Return an image file.

    Raises:
        InvalidInput: it cannot be read, is too large, or is no image that llama.cpp reads.
    """

    def refused(error: str, seen: str, fix: str) -> InvalidInput:
        return InvalidInput(str(path), [Problem(error, seen, requests.AN_IMAGE, fix)])

    try:
        with path.open("rb") as file:
            content = file.read(LARGEST + 1)
    except OSError as error:
        raise refused("NotRead", error.strerror or str(error), "name a file that you may read") from error
    if len(content) > LARGEST:
        raise refused("TooLarge", f"more than {LARGEST} bytes", "scale it down: a request holds no more")
    if requests.image_type(content) is None:
        raise refused("NoImage", f"a file that begins with {content[:8]!r}", "convert it to one of those")
    return content
