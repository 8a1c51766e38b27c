"""The extraction of a model archive."""

from __future__ import annotations

import contextlib
import gzip
import io
import os
import tarfile
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from local_cloud.hosting.containers.unpacking import (
    ArchiveTooLargeError,
    UnpackingCancelledError,
    UnreadableArchiveError,
    unpack,
)

if TYPE_CHECKING:
    from collections.abc import Callable

GIB = 1024**3


def member(
    name: str, kind: bytes = tarfile.REGTYPE, *, linkname: str = "", mode: int = 0o644
) -> tarfile.TarInfo:
    """Return a tar member without content."""
    info = tarfile.TarInfo(name)
    info.type = kind
    info.linkname = linkname
    info.mode = mode
    return info


def sparse(name: str) -> tarfile.TarInfo:
    """Return a member of which one byte of five is stored."""
    info = member(name)
    info.pax_headers = {"GNU.sparse.map": "0,1", "GNU.sparse.size": "5", "GNU.sparse.name": name}
    return info


def tar(*members: tuple[tarfile.TarInfo, bytes]) -> bytes:
    """Return a tar of the members."""
    sink = io.BytesIO()
    with tarfile.open(fileobj=sink, mode="w") as out:
        for info, content in members:
            info.size = len(content)
            out.addfile(info, io.BytesIO(content))
    return sink.getvalue()


def extract(
    folder: Path, archive: bytes, *, disk_bytes: int = GIB, cancelled: Callable[[], bool] = bool
) -> Path:
    """Write `archive` beside a new folder and extract it there."""
    source = folder / "model.tar.gz"
    source.write_bytes(archive)
    target = folder / "model"
    target.mkdir()
    unpack(source, target, disk_bytes=disk_bytes, cancelled=cancelled)
    return target


def test_files_and_folders_arrive_as_they_were(tmp_path: Path) -> None:
    """Content, nesting and the executable bit survive; other mode bits do not."""
    target = extract(
        tmp_path,
        gzip.compress(
            tar(
                (member("./code", tarfile.DIRTYPE), b""),
                (member("./code/run.sh", mode=0o6700), b"#!"),
                (member("model.gguf"), b"GGUF"),
            )
        ),
    )

    assert {str(p.relative_to(target)) for p in target.rglob("*")} == {"code", "code/run.sh", "model.gguf"}
    assert (target / "model.gguf").read_bytes() == b"GGUF"
    assert (target / "code/run.sh").stat().st_mode & 0o7777 == 0o755


@pytest.mark.parametrize(
    "archive",
    [
        pytest.param(b"", id="empty"),
        pytest.param(b"PK\x03\x04" + bytes(100), id="zip"),
        pytest.param(tar((member("a"), b"x")), id="tar without gzip"),
        pytest.param(gzip.compress(b"not a tar" * 1000), id="gzip of something else"),
        pytest.param(gzip.compress(tar((member("a"), os.urandom(9000))))[:4000], id="cut in a member"),
        pytest.param(gzip.compress(tar((member("a"), b"x")))[:-8], id="checksum missing"),
        pytest.param(gzip.compress(tar((member("a"), b"x")))[:-8] + bytes(8), id="checksum wrong"),
        pytest.param(gzip.compress(tar((member("a"), b"x" * 5000))[:2048]), id="tar cut inside a whole gzip"),
        pytest.param(gzip.compress(tar((member("a"), b"x"))) + b"garbage", id="trailing garbage"),
        pytest.param(gzip.compress(tar((member("a", tarfile.SYMTYPE, linkname="b"), b""))), id="symlink"),
        pytest.param(
            gzip.compress(tar((member("b"), b"x"), (member("a", tarfile.LNKTYPE, linkname="b"), b""))),
            id="hard link",
        ),
        pytest.param(gzip.compress(tar((sparse("a"), b"x"))), id="sparse"),
        pytest.param(gzip.compress(tar((member("a", tarfile.FIFOTYPE), b""))), id="pipe"),
        pytest.param(gzip.compress(tar((member("a", tarfile.CHRTYPE), b""))), id="device"),
        pytest.param(gzip.compress(tar((member("/etc/a"), b"x"))), id="absolute"),
        pytest.param(gzip.compress(tar((member("../a"), b"x"))), id="parent"),
        pytest.param(gzip.compress(tar((member("a/../../b"), b"x"))), id="parent inside"),
        pytest.param(gzip.compress(tar((member("a"), b"x"), (member("a/b"), b"x"))), id="file as folder"),
    ],
)
def test_what_is_not_a_safe_archive_is_refused(tmp_path: Path, archive: bytes) -> None:
    """Nothing is accepted that is damaged, links elsewhere, or points outside."""
    with pytest.raises(UnreadableArchiveError):
        extract(tmp_path, archive)

    assert {p.name for p in tmp_path.iterdir()} == {"model.tar.gz", "model"}


def test_archive_and_content_share_the_disk(tmp_path: Path) -> None:
    """Both exist at once, so both count; one byte more than the disk is too many."""
    content = os.urandom(10_000)
    archive = gzip.compress(tar((member("a"), content)))
    room = len(archive) + len(content)
    (tmp_path / "fits").mkdir()
    (tmp_path / "short").mkdir()

    extract(tmp_path / "fits", archive, disk_bytes=room)
    with pytest.raises(ArchiveTooLargeError):
        extract(tmp_path / "short", archive, disk_bytes=room - 1)


def test_a_bomb_stops_at_the_disk(tmp_path: Path) -> None:
    """A small archive of a large file writes no more than the disk holds."""
    archive = gzip.compress(tar((member("a"), bytes(20_000_000))))

    with pytest.raises(ArchiveTooLargeError):
        extract(tmp_path, archive, disk_bytes=2_000_000)

    assert (tmp_path / "model/a").stat().st_size <= 2_000_000


def test_extraction_stops_when_nobody_wants_it(tmp_path: Path) -> None:
    """Closing the local cloud does not wait for gigabytes."""
    with pytest.raises(UnpackingCancelledError):
        extract(tmp_path, gzip.compress(tar((member("a"), b"x"))), cancelled=lambda: True)


@given(st.lists(st.tuples(st.text("a./\\-", max_size=12), st.binary(max_size=4)), max_size=4))
def test_no_name_escapes_the_folder(files: list[tuple[str, bytes]]) -> None:
    """Whatever the members are called, everything written lies inside the target."""
    archive = gzip.compress(tar(*((member(name), content) for name, content in files)))
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        with contextlib.suppress(UnreadableArchiveError):
            extract(folder, archive)
        inside = {p.name for p in folder.iterdir()}

    assert inside == {"model.tar.gz", "model"}


@given(st.data())
def test_damage_is_always_named(data: st.DataObject) -> None:
    """Flipped bytes are either harmless to the content or an UnreadableArchiveError, never another error."""
    archive = bytearray(gzip.compress(tar((member("a"), b"abc" * 100)), mtime=0))
    position = data.draw(st.integers(0, len(archive) - 1))
    archive[position] ^= data.draw(st.integers(1, 255))
    with tempfile.TemporaryDirectory() as name:
        try:
            target = extract(Path(name), bytes(archive))
        except UnreadableArchiveError:
            return
        content = (target / "a").read_bytes()

    assert content == b"abc" * 100
