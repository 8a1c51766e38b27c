"""Layers as they are read: whiteouts, and what would leave the tree."""

from __future__ import annotations

import gzip
import hashlib
import io
import tarfile
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.errors import InvalidInput, SealiftError, WrongDigest
from pipeline.image import entries, layers
from pipeline.image.entries import LayerEntry
from pipeline.image.layers import TreeFile

Member = tuple[str, dict[str, Any]]


def layer(*members: Member, form: int = tarfile.PAX_FORMAT) -> bytes:
    """Return a layer of members, each a name and its fields of tarfile's."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=form) as tar:
        for name, given in members:
            member = tarfile.TarInfo(name)
            content = given.get("content", b"")
            member.size = len(content)
            for field, value in given.items():
                if field != "content":
                    setattr(member, field, value)
            tar.addfile(member, io.BytesIO(content))
    return gzip.compress(out.getvalue())


def directory(name: str) -> Member:
    """Return a folder."""
    return name, {"type": tarfile.DIRTYPE, "mode": 0o755}


def file(name: str, content: bytes = b"") -> Member:
    """Return a file."""
    return name, {"content": content}


def link(name: str, target: str, kind: bytes = tarfile.SYMTYPE) -> Member:
    """Return a link."""
    return name, {"type": kind, "linkname": target}


def walked(content: bytes, **how: Any) -> list[LayerEntry]:
    """Return all that a layer says."""
    return list(entries.walk(io.BytesIO(content), "sha256:it", **how))


def merged(*contents: bytes) -> list[str]:
    """Return the paths of the tree of some layers."""
    return sorted(entries.merge(entries.walk(io.BytesIO(one), "it") for one in contents))


def test_what_was_written_is_read() -> None:
    """With modes, links and contents; the tar's digest is held against what was said."""
    out = io.BytesIO()
    files = {
        "a/run": TreeFile(b"#!", layers.RUNNABLE),
        "a/link": TreeFile("run"),
        "b": TreeFile(bytes(100_000)),
    }
    made = layers.write(layers.tree(files), out.write)

    found = {}
    for one in entries.walk(io.BytesIO(out.getvalue()), "it", diff_id=made.diff_id):
        content = one.content().read() if one.content else None
        found[one.path] = (one.kind, one.mode, one.target, content)

    assert found == {
        "a": ("directory", 0o555, "", None),
        "a/link": ("symlink", 0o777, "run", None),
        "a/run": ("file", 0o555, "", b"#!"),
        "b": ("file", 0o444, "", bytes(100_000)),
    }


@pytest.mark.parametrize("form", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_every_form_of_tar_is_read(form: int) -> None:
    """Others' tools write others; a leading `./` and the root itself are usual."""
    name = "./" + "folder/" * 13 + "f"
    content = layer(directory("./"), file(name, b"x"), link("hard", name, tarfile.LNKTYPE), form=form)

    found = walked(content)

    assert [(one.path, one.kind) for one in found] == [(name[2:], "file"), ("hard", "hardlink")]
    assert found[1].target == name[2:]


def test_a_whiteout_removes_what_lay_below_and_nothing_else() -> None:
    """Also a whole folder; what this layer brings itself stays, wherever the whiteout stands."""
    below = layer(directory("a"), file("a/1"), file("a/2"), directory("b"), file("b/1"), file("c"))
    own = [directory("d"), file("d/.wh.x"), file("d/x"), file("d/y"), file("d/.wh.y")]
    above = layer(file("a/.wh.1"), file("a/3"), file(".wh.b"), *own)

    assert merged(below, above) == ["a", "a/2", "a/3", "c", "d", "d/x", "d/y"]


def test_an_opaque_folder_shows_nothing_of_below() -> None:
    """Its own files stay, also those that stand before the mark."""
    below = layer(directory("a"), file("a/1"), directory("a/b"), file("a/b/1"), file("ab"))
    above = layer(directory("a"), file("a/2"), file("a/.wh..wh..opq"), file("a/3"))

    assert merged(below, above) == ["a", "a/2", "a/3", "ab"]


def test_a_file_in_the_place_of_a_folder_takes_it_all() -> None:
    """And a folder in the place of a file."""
    below = layer(directory("a"), file("a/1"), file("b"))
    above = layer(file("a"), directory("b"), file("b/1"))

    assert merged(below, above) == ["a", "b", "b/1"]


@pytest.mark.parametrize(
    "members",
    [
        pytest.param([file("../up")], id="a way up"),
        pytest.param([file("a/../../up")], id="a way up later"),
        pytest.param([file("/etc/passwd")], id="an absolute path"),
        pytest.param([link("a", "../../etc/shadow", tarfile.LNKTYPE)], id="a hard link out"),
        pytest.param([link("a", "/etc/shadow", tarfile.LNKTYPE)], id="an absolute hard link"),
        pytest.param([file(".wh...")], id="a whiteout of the folder above"),
        pytest.param([file("a/.wh.")], id="a whiteout of nothing"),
        pytest.param([file(".wh..wh.a")], id="a whiteout of a whiteout"),
        pytest.param([("a", {"type": b"S", "content": b""})], id="a sparse file"),
    ],
)
def test_a_layer_that_leads_out_of_the_tree_is_refused(members: list[Member]) -> None:
    """Whoever unpacks it trusts what comes from here."""
    with pytest.raises(InvalidInput, match="sha256:it"):
        walked(layer(*members, form=tarfile.GNU_FORMAT))


@pytest.mark.parametrize("target", ["/etc", "../../etc", "b"])
def test_no_way_leads_through_a_symbolic_link(target: str) -> None:
    """Of this layer or of one below: it would be followed out of the tree."""
    with pytest.raises(InvalidInput, match="a way through the symlink 'a'"):
        merged(layer(link("a", target), file("a/passwd")))
    with pytest.raises(InvalidInput, match="a way through the symlink 'a'"):
        merged(layer(link("a", target)), layer(file("a/passwd")))
    with pytest.raises(InvalidInput, match="a way through the file 'a'"):
        merged(layer(file("a")), layer(file("a/passwd")))


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(lambda content: content[:-30], id="cut"),
        pytest.param(lambda content: content[: len(content) // 2], id="half of it"),
        pytest.param(lambda content: b"", id="empty"),
        pytest.param(lambda content: b"not gzip" + content, id="no gzip"),
        pytest.param(lambda _: gzip.compress(b"no tar at all" * 100), id="no tar"),
        pytest.param(
            lambda content: gzip.compress(gzip.decompress(content)[:-8000] + b"more" * 500), id="more behind"
        ),
        pytest.param(lambda content: content[:-8] + b"\0" * 8, id="a wrong checksum"),
    ],
)
def test_bytes_that_are_no_layer_are_refused(change: Callable[[bytes], bytes]) -> None:
    """With one error of ours, however they are damaged."""
    content = layer(file("a", bytes(range(256)) * 40), file("b", b"x" * 3000))

    with pytest.raises(InvalidInput, match="wanted"):
        walked(change(content))


def test_half_a_tar_is_not_taken_for_a_whole_one() -> None:
    """Python stops at a header that is none; GNU tar does not, and would see more."""
    plain = bytearray(gzip.decompress(layer(file("a"), file("b"))))
    plain[512 + 100] ^= 0xFF

    with pytest.raises(InvalidInput, match="bytes behind its end"):
        walked(gzip.compress(bytes(plain)))


def test_a_single_byte_behind_the_end_is_seen() -> None:
    """The first one there: a reader that goes on over it may find more."""
    plain = bytearray(gzip.decompress(layer(file("a"), file("b"))))
    plain[2 * 512] = 1

    with pytest.raises(InvalidInput, match="bytes behind its end, at 1024"):
        walked(gzip.compress(bytes(plain)))


def test_another_tar_than_was_said_is_refused() -> None:
    """Its gzip has another digest, which the registry looks at; this is the configuration's."""
    content = layer(file("a"))
    right = f"sha256:{hashlib.sha256(gzip.decompress(content)).hexdigest()}"

    assert walked(content, diff_id=right)
    with pytest.raises(WrongDigest, match="sha256:it"):
        walked(content, diff_id="sha256:" + "0" * 64)


def test_a_layer_that_expands_without_end_is_stopped() -> None:
    """A few kB of gzip can be gigabytes."""
    content = layer(file("a", bytes(1 << 20)))

    with pytest.raises(InvalidInput, match="a tar of more than 65536 bytes"):
        walked(content, limit=65_536)
    whole = len(gzip.decompress(content))
    assert walked(content, limit=whole)
    with pytest.raises(InvalidInput, match=f"a tar of more than {whole - 1} bytes"):
        walked(content, limit=whole - 1)


@pytest.mark.parametrize("kind", [b"x", b"g", b"L", b"K", b"X"])
def test_a_header_that_would_fill_memory_is_refused(kind: bytes) -> None:
    """Python holds all of a long name, however long the tar says that it is."""
    with pytest.raises(InvalidInput, match="a header of 1048577 bytes"):
        walked(
            layer(("a", {"type": kind, "content": bytes((1 << 20) + 1)}), file("b"), form=tarfile.GNU_FORMAT)
        )


@given(st.binary(max_size=600), st.integers(0, 3000), st.integers(0, 255))
def test_nothing_but_a_refusal_comes_of_damage(junk: bytes, at: int, value: int) -> None:
    """A changed byte of a tar, or bytes of no meaning: all of it is read, or refused in our words."""
    plain = bytearray(gzip.decompress(layer(directory("a"), file("a/b", b"x"), link("c", "a"))))
    plain[at % len(plain)] = value
    for content in (gzip.compress(bytes(plain)), gzip.compress(junk), junk):
        try:
            found = walked(content)
        except SealiftError:
            continue
        assert all(not one.path.startswith("/") and ".." not in one.path.split("/") for one in found)
