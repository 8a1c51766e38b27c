"""Layers as they are written: the same bytes for the same files, and what Python's and GNU's tar read of them."""

from __future__ import annotations

import gzip
import hashlib
import io
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.archive.formats.deflate import STORED_MAX
from pipeline.errors import InvalidInput
from pipeline.image import layers
from pipeline.image.layers import LayerOutput, Opened, TreeFile, WrittenLayer
from pipeline.limits import GiB

NAMES = st.text(st.characters(exclude_characters="/\0", exclude_categories=["Cs"]), min_size=1, max_size=120)
PARTS = NAMES.filter(lambda name: name not in {".", ".."} and not name.startswith(".wh."))
PATHS = st.lists(PARTS, min_size=1, max_size=4).map("/".join)


def written(files: dict[str, TreeFile]) -> tuple[bytes, WrittenLayer]:
    """Return a layer's bytes and what was said of them."""
    out = io.BytesIO()
    layer = layers.write(layers.tree(files), out.write)
    return out.getvalue(), layer


def trees() -> st.SearchStrategy[dict[str, TreeFile]]:
    """Return files of which none is another's folder."""
    contents = st.one_of(st.binary(max_size=2000), st.integers(0, 3 * STORED_MAX).map(bytes))
    return st.dictionaries(PATHS, contents.map(TreeFile), max_size=8).filter(
        lambda files: not any(a != b and b.startswith(f"{a}/") for a in files for b in files)
    )


@given(trees())
def test_pythons_tar_reads_what_was_written(files: dict[str, TreeFile]) -> None:
    """Every file with its bytes, every folder above it before it, root's, of no time; both digests are right."""
    content, layer = written(files)

    plain = gzip.decompress(content)
    assert layer.descriptor.digest == f"sha256:{hashlib.sha256(content).hexdigest()}"
    assert layer.descriptor.size == len(content) == layers.compressed_size(len(plain))
    assert (layer.diff_id, layer.plain_size) == (f"sha256:{hashlib.sha256(plain).hexdigest()}", len(plain))
    with tarfile.open(fileobj=io.BytesIO(plain)) as tar:
        members = tar.getmembers()
        found = {one.name: tar.extractfile(one).read() for one in members if one.isfile()}  # type: ignore[union-attr]
    assert found == {path: file.content for path, file in files.items()}
    names = [one.name for one in members]
    assert names == sorted(set(names))
    assert all(one.rpartition("/")[0] in {"", *names[:place]} for place, one in enumerate(names))
    assert {(one.uid, one.gid, one.uname, one.gname, one.mtime) for one in members} <= {(0, 0, "", "", 0)}
    assert not any(one.mode & 0o222 for one in members if one.name != "opt")


@given(trees(), st.randoms(use_true_random=False))
def test_no_order_of_the_files_shows(files: dict[str, TreeFile], random: object) -> None:
    """A folder is read in whatever order its file system has."""
    shuffled = list(files.items())
    random.shuffle(shuffled)  # type: ignore[attr-defined]

    assert written(dict(shuffled)) == written(files)


@given(st.binary(max_size=200_000), st.integers(1, 70_000), st.integers(1, 70_000))
def test_no_size_of_the_pieces_shows(content: bytes, first: int, second: int) -> None:
    """S3 and a disk give other pieces of the same file."""

    def cut(size: int) -> WrittenLayer:
        pieces = [content[at : at + size] for at in range(0, len(content), size)]
        return layers.write(pieces, lambda _: None)

    assert cut(first) == cut(second)


@pytest.mark.parametrize(
    "size", [0, 1, STORED_MAX, 16 * STORED_MAX - 1, 16 * STORED_MAX, 16 * STORED_MAX + 1, 33 * STORED_MAX]
)
def test_a_stream_of_any_length_ends_in_a_final_block(size: int) -> None:
    """At the bounds of a block and of a batch too; the size was known before."""
    data = bytes(range(251)) * (size // 251 + 1)
    pieces = list(map(bytes, stream := LayerOutput([data[:size]])))

    assert gzip.decompress(b"".join(pieces)) == data[:size]
    assert stream.layer.descriptor.size == layers.compressed_size(size) == sum(map(len, pieces))


def test_the_bytes_are_these_for_ever() -> None:
    """Another Python or another zlib must not make another layer: the digest of one was written down."""
    files = {
        "opt/sealift/lib/" + "long/" * 30 + "name.py": TreeFile(b"print()\n"),
        "opt/sealift/program": TreeFile(bytes(70_000), layers.RUNNABLE),
        "opt/link": TreeFile("sealift/program"),
    }

    _, layer = written(files)
    assert layer.descriptor.digest == GOLDEN
    assert layer.diff_id == GOLDEN_TAR


GOLDEN = "sha256:78f4c5fa74b49a2ccc17748fa77dabc726e461b4fd44607961e8fe5d9402887b"
GOLDEN_TAR = "sha256:078efe4d927a6ee7bdedaf70b91c1430c5ba893d2a2359eebb38ea53c05e36e6"


def test_another_process_makes_the_same() -> None:
    """Nothing of the order of a set, of the time or of the user gets in."""
    script = (
        "import io; from pipeline.image import layers\n"
        "files = {f'a/{n}/{n * 7 % 13}': layers.TreeFile(bytes(n)) for n in range(40)}\n"
        "print(layers.write(layers.tree(files), lambda _: None).descriptor.digest)"
    )
    top = Path(__file__).resolve().parents[3]
    digests = {
        subprocess.run(
            [sys.executable, "-c", script],
            capture_output=True,
            text=True,
            check=True,
            cwd=top,
            env={"PYTHONHASHSEED": seed, "PYTHONPATH": str(top), "TZ": zone},
        ).stdout
        for seed, zone in (("1", "UTC"), ("2", "Asia/Tokyo"))
    }

    assert len(digests) == 1


@pytest.mark.skipif(shutil.which("tar") is None, reason="no tar here")
def test_gnu_tar_unpacks_it(tmp_path: Path) -> None:
    """Modes, links and long names, as it understands them."""
    long = "opt/" + "folder/" * 20 + "file"
    content, _ = written(
        {
            long: TreeFile(b"long"),
            "opt/run": TreeFile(b"#!/bin/sh\n", layers.RUNNABLE),
            "opt/link": TreeFile("run"),
        }
    )
    (tmp_path / "layer.tar.gz").write_bytes(content)
    subprocess.run([str(shutil.which("tar")), "xzf", "layer.tar.gz"], cwd=tmp_path, check=True)

    assert (tmp_path / long).read_bytes() == b"long"
    assert (tmp_path / "opt/run").stat().st_mode & 0o777 == 0o555
    assert (tmp_path / long).stat().st_mode & 0o777 == 0o444
    assert (tmp_path / "opt/link").readlink() == Path("run")
    assert (tmp_path / "opt").stat().st_mode & 0o777 == 0o755
    for folder in (one for one in sorted((tmp_path / "opt").rglob("*")) if one.is_dir()):
        folder.chmod(0o755)  # so that pytest can remove it


@pytest.mark.parametrize(
    "path",
    ["/etc/passwd", "../up", "a/../../b", "a//b", "a/", "./a", ".", "", "a/.wh.b", ".wh..wh..opq", "a\0b"],
)
def test_a_path_that_is_not_below_the_root_is_refused(path: str) -> None:
    """Nor one that would remove a file of the base."""
    with pytest.raises(InvalidInput, match="a path below the root"):
        written({path: TreeFile(b"")})


def test_a_file_is_no_folder() -> None:
    """An unpacker would take one of both."""
    with pytest.raises(InvalidInput, match="as a file and as a folder"):
        written({"a": TreeFile(b""), "a/b": TreeFile(b"")})


def test_a_file_that_shrinks_is_refused() -> None:
    """Somebody writes to it while it is packed."""
    file = TreeFile(Opened(1000, lambda: io.BytesIO(b"short")))

    output = LayerOutput(layers.tree({"a/b": file}))
    with pytest.raises(InvalidInput, match=r"5 bytes of 'a/b'; wanted 1000"):
        list(output)
    with pytest.raises(RuntimeError):
        _ = output.layer


def test_a_file_that_grows_is_taken_as_long_as_it_was() -> None:
    """Its header said so."""
    grown = TreeFile(Opened(5, lambda: io.BytesIO(b"short and more")))

    assert written({"a": grown}) == written({"a": TreeFile(b"short")})


def test_a_file_on_disk_is_as_its_bytes(tmp_path: Path) -> None:
    """However it is given."""
    content = bytes(range(256)) * 9000
    (tmp_path / "file").write_bytes(content)
    given = (
        TreeFile(content),
        TreeFile(tmp_path / "file"),
        TreeFile(Opened(len(content), lambda: io.BytesIO(content))),
    )

    assert len({written({"a/b": one})[1].descriptor.digest for one in given}) == 1


def test_a_file_of_more_than_8_gib_has_its_size_in_pax() -> None:
    """Ustar has no room for it; only the header is made here."""
    with tarfile.open(fileobj=io.BytesIO(layers.header("m", size=9 * GiB) + bytes(1024))) as tar:
        assert tar.next().size == 9 * GiB  # type: ignore[union-attr]


def test_memory_does_not_grow_with_the_file() -> None:
    """Buffers are few and used again: what a piece shows is another one's soon after."""
    pieces = LayerOutput(bytes(1 << 20) for _ in range(64))
    seen = {id(piece.obj) for piece in pieces}

    assert len(seen) <= 8
