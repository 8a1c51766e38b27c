"""A report written down for the state that works on the archive later: what assembling needs, as JSON.

The GGUF headers stay behind: they can be megabytes, and who plans with them has them already. It refuses a record
of another version, since a report that is misread would splice an archive wrongly.
"""

from __future__ import annotations

from dataclasses import asdict
from typing import Any, Final

from pipeline.archive.build.seams import Seam
from pipeline.archive.checks.report import ArchiveReport, Member

VERSION: Final = 3
"""2 has `padding`, 3 a seam with `code_last`. Older records are read as well."""
_PLAIN: Final = (
    "name",
    "size",
    "format",
    "method",
    "code",
    "extracted_bytes",
    "complete",
    "bytes_read",
    "sha256",
    "gzip_members",
    "plain_bytes",
    "header_bytes",
    "padding",
    "identity",
)


def write(report: ArchiveReport) -> dict[str, Any]:
    """Return the record of an accepted report.

    Raises:
        ValueError: the report has problems; what was refused is not worked on.
    """
    if report.problems:
        raise ValueError(f"{report.name} was refused")
    return {
        "version": VERSION,
        **{name: getattr(report, name) for name in _PLAIN},
        "members": [asdict(member) for member in report.members],
        "seam": asdict(report.seam) if report.seam else None,
    }


def read(document: Any) -> ArchiveReport:
    """Return the report of a record, without its model.

    Raises:
        ValueError: the record is of another version.
    """
    if document.get("version") not in {1, 2, VERSION}:
        raise ValueError(f"record of version {document.get('version')!r}; wanted {VERSION}")
    known = {"padding": 0, **document} if document["version"] == 1 else document
    return ArchiveReport(
        **{name: known[name] for name in _PLAIN},
        members=tuple(Member(**member) for member in document["members"]),
        seam=Seam(**document["seam"]) if document["seam"] else None,
        model=None,
        problems=(),
    )
