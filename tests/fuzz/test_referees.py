"""What is accepted, other readers take out as we do; a short run of what `make fuzz` does for long."""

from __future__ import annotations

import gzip
import io
import random
import tarfile
import zipfile

import pytest

from pipeline.archive.checks.verify import verify
from pipeline.archive.s3.sources import BytesSource
from tests.fuzz import fields, referees
from tests.fuzz.fuzz_archive import CODE, RULES, model, refitted, tar

LEAST, MOST = 8, 60
"""Accepted cases that are compared, and cases that are tried for them."""


def changed_zip(chance: random.Random) -> bytes:
    """Return a zip with a contradiction."""
    return fields.zip_changed(fields.zipped({"model.gguf": model(), **CODE}, chance), chance)


def changed_tar(chance: random.Random) -> bytes:
    """Return a tar.gz with another value in a header."""
    form = chance.choice((tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT))
    return gzip.compress(refitted(fields.tar_changed(tar(form, model()), chance)), 1, mtime=0)


@pytest.mark.parametrize(
    ("name", "make"),
    [pytest.param("m.zip", changed_zip, id="zip"), pytest.param("m.tar.gz", changed_tar, id="tar")],
)
def test_what_is_accepted_is_the_same_to_every_reader(name: str, make: object) -> None:
    """To those that are installed: GNU tar and Python always are."""
    chance = random.Random(14)
    compared = 0
    for _ in range(MOST):
        data = make(chance)  # type: ignore[operator]
        if not verify(BytesSource(data, name), rules=RULES).problems:
            compared += 1
            assert referees.disagreements(name, data, RULES) == {}
        if compared == LEAST:
            break

    assert compared == LEAST


def test_a_referee_that_reads_otherwise_is_heard(monkeypatch: pytest.MonkeyPatch) -> None:
    """Another content of the same size, a file less, and one that does not take the archive."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr("model.gguf", model())
    liars = {
        "zeros": lambda _, folder: (folder / "model.gguf").write_bytes(bytes(len(model()))),
        "less": lambda *_: None,
        "link": lambda _, folder: (folder / "model.gguf").symlink_to("/etc/hostname"),
        "refuses": lambda *_: referees._run(["false"]),
    }
    for name, extract in liars.items():
        monkeypatch.setitem(referees.ZIPS, name, extract)

    found = referees.disagreements("m.zip", out.getvalue(), RULES)

    size = len(model())
    assert found == {
        "zeros": f"files 'model.gguf': {size} and {size}",
        "less": f"files 'model.gguf': none and {size}",
        "link": f"files 'model.gguf': -1 and {size}",
        "refuses": "Refused: 1: ",
    }


def test_an_excuse_is_for_one_reader_one_sign_and_one_kind_of_archive() -> None:
    """So that it hides nothing else."""
    (excuse, *_) = referees.EXCUSED

    assert excuse.fits("Python", "files 'a': 1 and 2", b"..up..")
    assert not excuse.fits("unzip", "files 'a': 1 and 2", b"..up..")
    assert not excuse.fits("Python", "BadZipFile: no", b"..up..")
    assert not excuse.fits("Python", "files 'a': 1 and 2", b"....")
