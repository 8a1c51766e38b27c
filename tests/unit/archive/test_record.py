"""What a report leaves behind for the state that assembles the archive."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from pathlib import Path

import pytest

from pipeline.archive.build import record
from pipeline.archive.build.pack import pack
from pipeline.archive.build.seams import Seam
from pipeline.archive.checks.report import ArchiveReport
from pipeline.archive.checks.rules import Rules
from pipeline.archive.checks.verify import verify
from pipeline.archive.s3.sources import BytesSource, FileSource

from .conftest import CODE, Forge


@pytest.fixture
def accepted(tmp_path: Path, forge: Forge) -> ArchiveReport:
    """The report of an archive of ours."""
    (tmp_path / "m.gguf").write_bytes(forge.model())
    pack(tmp_path / "m.gguf", tmp_path / "m.tar.gz", code=CODE)
    with FileSource(tmp_path / "m.tar.gz") as source:
        return verify(source)


def test_a_record_gives_the_report_back(accepted: ArchiveReport) -> None:
    """By way of JSON, and but for the GGUF headers."""
    report = replace(accepted, padding=7, notes=("left out",))

    again = record.read(json.loads(json.dumps(record.write(report))))

    assert again == replace(report, model=None, notes=())
    assert again.seam is not None


def test_a_record_from_before_an_update_is_read(accepted: ArchiveReport) -> None:
    """An execution may be between the two states when the stack is updated; then no archive had padding."""
    document = {**record.write(accepted), "version": 1}
    del document["padding"]

    assert record.read(document) == replace(accepted, model=None, notes=())


def test_a_record_from_before_code_lay_last_is_read(accepted: ArchiveReport) -> None:
    """Its seam says nothing of the order, and the code came first."""
    document = {**record.write(accepted), "version": 2, "seam": asdict(Seam(60, 1024, 5, 4096))}
    del document["seam"]["code_last"]

    assert record.read(document).seam == Seam(60, 1024, 5, 4096)


def test_what_was_refused_is_not_recorded() -> None:
    """Nobody works on a refused archive."""
    report = verify(BytesSource(b"no archive"), rules=Rules())

    with pytest.raises(ValueError, match="was refused"):
        record.write(report)


@pytest.mark.parametrize("version", [None, 0, 4])
def test_a_record_of_another_version_is_refused(accepted: ArchiveReport, version: int | None) -> None:
    """A report that is misread would splice an archive wrongly."""
    document = {**record.write(accepted), "version": version}

    with pytest.raises(ValueError, match=r"record of version .*; wanted 3"):
        record.read(document)
