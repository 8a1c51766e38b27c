"""The suite that settings of a deployment name, on this machine: beside their file, and brought beside the archive.

Owns where it is looked for. Refuses one that the workflow would refuse, before anything is uploaded.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pipeline.errors import InvalidInput, Problem
from pipeline.quality import suite, suite_files

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from mypy_boto3_s3 import S3Client


@dataclass(frozen=True, slots=True)
class SuiteHere:
    """A suite that was read here, and is right by itself."""

    name: str
    content: bytes
    cases: int


def find(
    deployment: Mapping[str, Any], settings: Path | None, folder: Path | None = None
) -> SuiteHere | None:
    """Return the suite of the quality gate; None where the settings ask for none.

    Args:
        deployment: the settings, right by themselves.
        settings: the file that they were read from; None where there was none, `-` for standard input.
        folder: where the suite lies; None for beside that file.

    Raises:
        InvalidInput: it is not there, or with every mistake in it.
    """
    gate = deployment.get("quality")
    if settings is None or not isinstance(gate, dict) or not isinstance(gate.get("suite"), str):
        return None
    path = (folder or settings.parent) / gate["suite"]
    found = content(path, fix=f"put it there, or correct 'quality.suite' in {settings}")
    return SuiteHere(gate["suite"], found, len(suite.parse(found, str(path)).cases))


def content(path: Path, *, fix: str = "name a file that you may read") -> bytes:
    """Return what a suite holds, one byte more than it may have at the most.

    Args:
        path: the file; `-` for standard input.
        fix: what to do when it cannot be read, for an error.

    Raises:
        InvalidInput: it cannot be read.
    """
    try:
        if str(path) == "-":
            return sys.stdin.buffer.read(suite.LARGEST + 1)
        with path.open("rb") as file:
            return file.read(suite.LARGEST + 1)
    except OSError as error:
        problem = Problem("NoSuite", error.strerror or str(error), "a suite of cases", fix)
        raise InvalidInput(str(path), [problem]) from error


def send(client: S3Client, bucket: str, archive_key: str, found: SuiteHere | None) -> None:
    """Bring a suite, where there is one, beside its archive: before the archive, whose event starts the deployment."""
    if found is None:
        return
    client.put_object(Bucket=bucket, Key=suite_files.key(archive_key, found.name), Body=found.content)
