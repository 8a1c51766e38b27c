"""What is in archives and no harm: what desktops leave, members that others may not read, zeros after the end."""

from __future__ import annotations

import gzip
import tarfile
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.archive.build.assembly import choose
from pipeline.archive.build.parts import code_part
from pipeline.archive.build.splice import plan_splice, read_trailer
from pipeline.archive.build.transcode import kept
from pipeline.archive.checks.inspect import inspect
from pipeline.archive.checks.rules import JUNK_NAMES, Rules
from pipeline.archive.checks.verify import verify
from pipeline.archive.s3.sources import BytesSource

if TYPE_CHECKING:
    from .conftest import Forge

ZIP = Rules(zip_deployable=True)
APPLE_DOUBLE = b"\0\5\x16\7\0\2\0\0Mac OS X        "
FOLDERS = st.sampled_from(["", "code/", "code/lib/", "a/b/", "./", "../", "/abs/"])
JUNK = st.one_of(
    st.sampled_from(sorted(JUNK_NAMES)),
    st.sampled_from(["__MACOSX/._model.gguf", "__MACOSX/x/y.gguf", "._model.gguf", "._code", "._.DS_Store"]),
)


@given(folder=FOLDERS, junk=JUNK)
def test_what_desktops_leave_is_left_out_with_a_note_wherever_it_is(
    forge: Forge, folder: str, junk: str
) -> None:
    """It is never a model: the archive is accepted, and what is deployed does not have it."""
    members = {f"{folder}{junk}": APPLE_DOUBLE, **forge.good()}

    for source in (
        BytesSource(forge.tar_gz(members)),
        BytesSource(forge.zip(members), "m.zip"),
    ):
        quick, report = inspect(source, rules=ZIP), verify(source, rules=ZIP)

        assert [problem.error for problem in (*quick.problems, *report.problems)] == []
        assert report.model is not None
        assert report.model.path == "model.gguf"
        (note,) = report.notes
        assert "left out" in note
        assert report.extracted_bytes == sum(map(len, forge.good().values()))
        assert list(kept(report, code=True)) == ["code/inference.py", "model.gguf"]
        assert choose(report, forge.code).way == choose(report, None).way == "transcode"


@pytest.mark.parametrize("name", ["DS_Store", "_model.gguf.txt", "MACOSX", "x._y", "thumbs"])
def test_what_only_looks_alike_stays(forge: Forge, name: str) -> None:
    """Names are compared whole."""
    report = verify(BytesSource(forge.tar_gz({name: b"", **forge.good()})))

    assert report.notes == ()
    assert name in kept(report)


def test_what_a_desktop_left_alone_is_no_model(forge: Forge) -> None:
    """Then the model is what is missing."""
    report = verify(BytesSource(forge.tar_gz({"._model.gguf": APPLE_DOUBLE, **forge.code})))

    assert [problem.error for problem in report.problems] == ["NoModel"]


# -- permissions


def with_mode(forge: Forge, name: str, mode: int) -> bytes:
    """Return an archive one of whose members has this mode."""
    pairs = [
        forge.link("./", "", tarfile.DIRTYPE),
        *(forge.file(path, data) for path, data in forge.good().items()),
    ]
    for info, _ in pairs:
        info.mode = mode if info.name.rstrip("/") == name.rstrip("/") else 0o755 if info.isdir() else 0o644
    return forge.tar_gz(pairs)


@pytest.mark.parametrize(
    ("name", "mode", "noted"),
    [
        pytest.param("model.gguf", 0o600, True, id="the owner alone"),
        pytest.param("model.gguf", 0o000, True, id="nobody"),
        pytest.param("model.gguf", 0o640, True, id="owner and group"),
        pytest.param("model.gguf", 0o444, False, id="all"),
        pytest.param("model.gguf", 0o4755, False, id="all, and set-uid"),
        pytest.param(".", 0o700, True, id="a folder of the owner's"),
        pytest.param(".", 0o754, True, id="a folder that others may list only"),
        pytest.param(".", 0o751, True, id="a folder that others may enter only"),
        pytest.param(".", 0o555, False, id="a folder that all may enter"),
    ],
)
def test_what_others_may_not_read_is_noted(forge: Forge, name: str, mode: int, *, noted: bool) -> None:
    """SageMaker unpacks as root; a container may serve as somebody else."""
    data = with_mode(forge, name, mode)

    for look in (inspect, verify):
        report = look(BytesSource(data))
        assert report.problems == ()
        assert [f"(mode {mode:04o})" in note for note in report.notes] == [True] * noted


def test_a_zip_needs_no_such_note(forge: Forge) -> None:
    """It is always written anew, with modes that let all read."""
    assert verify(BytesSource(forge.zip(forge.good()), "m.zip"), rules=ZIP).notes == ()


# -- zeros after the end


@given(zeros=st.integers(1, 3000), members=st.sampled_from([1, 2]))
def test_zeros_after_a_gzip_stream_are_counted_and_left_out(forge: Forge, zeros: int, members: int) -> None:
    """Gzip and Python pass over them; what is deployed has none, since nobody knows what SageMaker does."""
    plain = forge.tar(forge.good())
    pieces = [plain] if members == 1 else [plain[:700], plain[700:]]
    data = b"".join(map(gzip.compress, pieces)) + bytes(zeros)
    assert gzip.decompress(data) == plain

    report = verify(BytesSource(data))

    assert report.problems == ()
    assert report.padding == zeros
    assert choose(report, forge.code).way in {"splice", "transcode"}
    assert choose(report, None).way == "transcode"


def test_code_is_spliced_in_before_the_zeros(forge: Forge) -> None:
    """The trailer is where the stream ends, not where the object does."""
    data = forge.tar_gz({"model.gguf": forge.model()}) + bytes(100)
    rules = Rules(code_required=False)
    source = BytesSource(data)
    report = verify(source, rules=rules)

    plan = plan_splice(report, read_trailer(source, report.padding), code_part(forge.code))

    result = verify(BytesSource(plan.head + data[plan.start : plan.end] + plan.tail))
    assert result.problems == ()
    assert result.padding == 0
