"""Layers that lie here already: none of their files is read again, and none that has changed is overlooked."""

from __future__ import annotations

import io
import os
from pathlib import Path
from typing import BinaryIO

import pytest

from pipeline.image import layers
from pipeline.image.cache import BlobCache
from pipeline.image.layers import Opened, TreeFile, WrittenLayer

OLD = 1_000_000_000
NOW = 4_000_000_000.0
"""Later than any file is changed in this test: by the machine's clock its status is of today."""


class Counted:
    """A file's bytes, and how often they were asked for."""

    def __init__(self) -> None:
        self.opened = 0

    def open(self) -> BinaryIO:
        """Open them."""
        self.opened += 1
        return io.BytesIO(b"wheel")

    def file(self, identity: str = "wheel 1") -> TreeFile:
        """Return them as a file of a layer."""
        return TreeFile(Opened(5, self.open, identity))


def added(cache: BlobCache, files: dict[str, TreeFile], now: float = NOW) -> WrittenLayer:
    """Write a layer of files."""
    return cache.add(layers.tree(files), layers.fingerprint(files, now))


@pytest.fixture
def cache(tmp_path: Path) -> BlobCache:
    """Return an empty one."""
    return BlobCache(tmp_path / "cache")


def test_what_has_not_changed_is_not_read(cache: BlobCache) -> None:
    """The second time the layer is known by its files' identities; it is the same, whoever asks."""
    counted = Counted()
    first = added(cache, {"a": counted.file()})
    again = added(BlobCache(cache.folder), {"a": counted.file()})

    assert again == first
    assert counted.opened == 1
    assert cache.built(again)().read() == cache.path(first.descriptor.digest).read_bytes()


def test_a_file_that_changes_makes_another_layer(cache: BlobCache, tmp_path: Path) -> None:
    """Though it has as many bytes and the same name: its time tells."""
    path = tmp_path / "file"
    path.write_bytes(b"one")
    os.utime(path, (OLD, OLD))
    first = added(cache, {"a": TreeFile(path)})
    path.write_bytes(b"two")
    os.utime(path, (OLD + 1, OLD + 1))

    assert added(cache, {"a": TreeFile(path)}).diff_id != first.diff_id


def test_a_change_that_hides_its_time_makes_another_layer(tmp_path: Path) -> None:
    """Who sets a file's time back cannot set back when its status was changed."""
    path = tmp_path / "file"
    path.write_bytes(b"one")
    os.utime(path, (OLD, OLD))
    known = layers.fingerprint({"a": TreeFile(path)}, NOW)
    before = path.stat().st_ctime_ns
    while path.stat().st_ctime_ns == before:
        path.write_bytes(b"two")
        os.utime(path, (OLD, OLD))

    assert layers.fingerprint({"a": TreeFile(path)}, NOW) != known


@pytest.mark.parametrize(("age_s", "known"), [(2.1, True), (1.9, False), (-60.0, False)])
def test_what_was_changed_just_now_is_read(tmp_path: Path, age_s: float, known: bool) -> None:
    """Another change within the same tick of the clock would have the same time; neither is one of the future known."""
    path = tmp_path / "file"
    path.write_bytes(b"one")
    changed = path.stat().st_ctime
    os.utime(path, (OLD, OLD))

    assert bool(layers.fingerprint({"a": TreeFile(path)}, path.stat().st_ctime + age_s)) is known
    assert path.stat().st_ctime >= changed


@pytest.mark.parametrize(
    "other",
    [
        {"b": TreeFile(b"x")},
        {"a": TreeFile(b"y")},
        {"a": TreeFile(b"x", layers.RUNNABLE)},
        {"a": TreeFile("x")},
        {"a": TreeFile(b"x"), "b": TreeFile(b"")},
    ],
    ids=["name", "content", "mode", "link", "more"],
)
def test_whatever_stands_in_a_layer_is_in_its_fingerprint(other: dict[str, TreeFile]) -> None:
    """Names, contents, modes, kinds."""
    assert layers.fingerprint({"a": TreeFile(b"x")}, NOW) != layers.fingerprint(other, NOW)


def test_what_nobody_knows_is_read_each_time(cache: BlobCache) -> None:
    """Bytes without an identity may be any."""
    counted = Counted()
    for _ in range(2):
        added(cache, {"a": counted.file("")})

    assert counted.opened == 2


@pytest.mark.parametrize("damage", ["blob gone", "blob cut", "note cut", "note of something else"])
def test_what_is_not_there_whole_is_written_again(cache: BlobCache, damage: str) -> None:
    """A note without its layer, and one that says nothing, are none."""
    counted = Counted()
    layer = added(cache, {"a": counted.file()})
    blob, (note,) = cache.path(layer.descriptor.digest), (cache.folder / "written").iterdir()
    match damage:
        case "blob gone":
            blob.unlink()
        case "blob cut":
            os.truncate(blob, 10)
        case "note cut":
            os.truncate(note, 10)
        case _:
            note.write_text("[]")

    assert added(cache, {"a": counted.file()}) == layer
    assert counted.opened == 2
    assert blob.stat().st_size == layer.descriptor.size


def test_notes_go_with_what_nobody_uses(cache: BlobCache) -> None:
    """After the same time; what is used again is kept."""
    layer = added(cache, {"a": Counted().file()})
    blob, (note,) = cache.path(layer.descriptor.digest), (cache.folder / "written").iterdir()
    for path in (blob, note):
        os.utime(path, (OLD, OLD))
    added(cache, {"a": Counted().file()})
    cache.prune(max(blob.stat().st_mtime, note.stat().st_mtime) + 1)

    assert blob.exists()
    assert note.exists()
    cache.prune(NOW)
    assert not blob.exists()
    assert not note.exists()
