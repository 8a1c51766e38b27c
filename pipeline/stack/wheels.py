"""The libraries that travel with the Lambdas, as wheels for Lambda's Python and machine and not for this one's.

Owns which of a wheel's files travel, and what the functions run on. `pipeline.wheels` fetches and checks them.
"""

from __future__ import annotations

import zipfile
from typing import TYPE_CHECKING, Any

from pipeline import wheels
from pipeline.errors import InvalidInput, Problem
from pipeline.stack import bundles
from pipeline.wheels import Platform

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from pipeline.wheels import Run


def platform(template: Mapping[str, Any]) -> Platform:
    """Return what the template's functions run on.

    Raises:
        InvalidInput: for functions that do not all run on the same.
    """
    found = {
        (properties["Runtime"], *properties["Architectures"])
        for properties in bundles.functions(template).values()
    }
    if len(found) != 1:
        seen = f"functions on {sorted(found)}"
        raise InvalidInput(
            "template", [Problem("SeveralPlatforms", seen, "one", "keep Runtime in the Globals")]
        )
    runtime, machine = found.pop()
    return Platform(runtime.removeprefix("python"), machine)


def libraries(lock: Path, target: Platform, cache: Path, *, run: Run | None = None) -> dict[str, bytes]:
    """Return the files of the locked libraries for a platform, by their names.

    Args:
        lock: requirements/lambda.lock.
        target: what they are to run on.
        cache: the folder in which wheels are kept.
        run: runs a command and returns how it ended.

    Raises:
        InvalidInput: there is no pip, or what it fetched is not in the lock.
        ServiceUnavailable: pip could not fetch them.
    """
    files: dict[str, bytes] = {}
    for wheel in wheels.fetch(lock, target, cache, run=run).values():
        with zipfile.ZipFile(wheel) as archive:
            files |= {name: archive.read(name) for name in archive.namelist() if _travels(name)}
    return files


def _travels(name: str) -> bool:
    """Return whether a wheel's file is of any use where it runs: metadata is none."""
    return bundles.travels(name) and not (".dist-info/" in name or ".data/" in name or name.endswith("/"))
