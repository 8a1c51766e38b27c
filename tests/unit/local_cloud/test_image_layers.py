"""Layers on top of each other, none of them trusted."""

from __future__ import annotations

import os
import random
import tarfile
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from local_cloud.hosting.containers.image_layers import (
    BadLayerError,
    LayersCancelledError,
    apply_image,
    apply_layer,
    resolve,
)
from local_cloud.hosting.containers.image_models import model_folder
from tests.ways import ImageHere, Member, layer

if TYPE_CHECKING:
    from collections.abc import Sequence

DIR, LINK, SYM = tarfile.DIRTYPE, tarfile.LNKTYPE, tarfile.SYMTYPE


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Return an empty root; its layers lie beside it."""
    made = tmp_path / "root"
    made.mkdir()
    return made


def image(root: Path, *layers: Sequence[Member], **config: Any) -> ImageHere:
    """Return an image of layers that are written beside the root."""
    paths = [root.parent / f"layer-{number}" for number in range(len(layers))]
    diff_ids = [layer(path, *members) for path, members in zip(paths, layers, strict=True)]
    return ImageHere({"rootfs": {"diff_ids": diff_ids}, **config}, tuple(paths), "sha256:1")


def put(root: Path, *layers: Sequence[Member], below: str | None = "") -> int:
    """Apply layers without owners, which only root can give."""
    return apply_image(image(root, *layers), root, below=below)


def tree(root: Path) -> dict[str, str]:
    """Return every file's content, and where every link leads, by path; folders as a slash."""
    found = {}
    for path in sorted(root.rglob("*")):
        name = path.relative_to(root).as_posix()
        if path.is_symlink():
            found[name] = f"-> {path.readlink()}"
        else:
            found[name] = "/" if path.is_dir() else path.read_text()
    return found


def test_a_later_layer_replaces_and_adds(root: Path) -> None:
    """Files by files, links by files, folders by files; a folder over a folder keeps what is in it."""
    first = [
        Member("d/kept", b"1"),
        Member("d/file", b"1"),
        Member("link", kind=SYM, link="d/file"),
        Member("gone/x", b"1"),
    ]
    second = [
        Member("./d", kind=DIR, mode=0o755),
        Member("d/file", b"2"),
        Member("link", b"2"),
        Member("gone", b"2"),
    ]

    written = put(root, first, second)

    assert written == 6
    assert tree(root) == {"d": "/", "d/file": "2", "d/kept": "1", "gone": "2", "link": "2"}


def test_whiteouts_take_away_what_lower_layers_have(root: Path) -> None:
    """A file, a folder with all that is in it, one that is not there; not what the same layer brings."""
    first = [Member("a", b"1"), Member("d/x", b"1"), Member("d/y", b"1"), Member("e/z", b"1")]
    second = [
        Member(".wh.a"),
        Member("d/.wh.x"),
        Member(".wh.e"),
        Member("e/new", b"2"),
        Member("new", b"2"),
        Member(".wh.new"),
        Member(".wh.never"),
    ]

    put(root, first, second)

    assert tree(root) == {"d": "/", "d/y": "1", "e": "/", "e/new": "2", "new": "2"}


@pytest.mark.parametrize("first_of_all", [True, False])
def test_an_opaque_folder_hides_what_lower_layers_have_in_it(root: Path, first_of_all: bool) -> None:
    """Wherever in the layer that stands, what the layer itself brings stays, however deep."""
    marker = Member("d/.wh..wh..opq")
    own = [Member("d/own", b"2"), Member("d/sub/own", b"2")]

    put(
        root,
        [Member("d/old", b"1"), Member("d/sub/old", b"1"), Member("other", b"1")],
        [marker, *own] if first_of_all else [*own, marker],
    )

    assert tree(root) == {"d": "/", "d/own": "2", "d/sub": "/", "d/sub/own": "2", "other": "1"}


def test_an_engines_own_notes_are_left_out(root: Path) -> None:
    """AUFS's, of which some layers still have traces."""
    put(root, [Member(".wh..wh.plnk/x", b"1"), Member(".wh..wh.aufs", b"1"), Member("a", b"1")])

    assert "a" in tree(root)
    assert ".wh..wh.aufs" not in tree(root)


def test_links_are_followed_from_the_root_and_never_out_of_it(root: Path, tmp_path: Path) -> None:
    """`/bin` leads elsewhere, as in every Debian; `/` and `..` stop at the root."""
    outside = tmp_path / "outside"
    outside.mkdir()
    put(
        root,
        [
            Member("all/bin/old", b"1"),
            # Not /usr/bin: an extraction that went wrong would change this machine's.
            Member("bin", kind=SYM, link="/all/bin"),
            Member("up", kind=SYM, link="../../../outside"),
            Member("deep/up", kind=SYM, link=str(outside)),
        ],
        [Member("bin/new", b"2"), Member("up/a", b"2"), Member("deep/up/b", b"2")],
    )

    assert (root / "all/bin/new").read_text() == "2"
    assert (root / "outside/a").read_text() == "2"
    assert resolve(root, "deep/up/b") == root.joinpath(*outside.parts[1:], "b")
    assert list(outside.iterdir()) == []


def test_a_file_never_goes_through_a_link_or_into_another_name(root: Path, tmp_path: Path) -> None:
    """Over a link to a file, the link is replaced; over one of two hard links, the other keeps its content."""
    target = tmp_path / "target"
    target.write_text("safe")
    put(
        root,
        [
            Member("link", kind=SYM, link=str(target)),
            Member("one", b"1"),
            Member("two", kind=LINK, link="./one"),
        ],
        [Member("link", b"2"), Member("one", b"2")],
    )

    assert target.read_text() == "safe"
    assert tree(root) == {"link": "2", "one": "2", "two": "1"}


def test_hard_links_share_their_bytes(root: Path) -> None:
    """As in the image; also to a link, and to oneself, which does nothing."""
    put(
        root,
        [
            Member("one", b"1"),
            Member("two", kind=LINK, link="one"),
            Member("link", kind=SYM, link="one"),
            Member("too", kind=LINK, link="link"),
            Member("one", kind=LINK, link="one"),
        ],
    )

    assert (root / "one").stat().st_ino == (root / "two").stat().st_ino
    assert tree(root)["too"] == "-> one"


@pytest.mark.parametrize(
    ("members", "said"),
    [
        ([Member("/nowhere/passwd", b"x")], "points outside"),
        ([Member("a/../../b", b"x")], "points outside"),
        ([Member("a", kind=LINK, link="../../nowhere/passwd")], "points outside"),
        ([Member("a", kind=LINK, link="/nowhere/passwd")], "points outside"),
        ([Member("a", kind=LINK, link="nothing")], "no file"),
        ([Member("d", kind=DIR), Member("a", kind=LINK, link="d")], "no file"),
        ([Member("s", kind=SYM, link="/nowhere"), Member("a", kind=LINK, link="s/passwd")], "no file"),
        ([Member("f", b"x"), Member("f/a", b"x")], "no folder"),
        ([Member("l", kind=SYM, link="l"), Member("l/a", b"x")], "more than 40 links"),
        ([Member("d/.wh...", b"")], "whiteout of"),
        ([Member("d/.wh.", b"")], "whiteout of"),
    ],
)
def test_what_no_layer_may_is_refused(root: Path, members: list[Member], said: str) -> None:
    """By name, and nothing lies outside the root."""
    with pytest.raises(BadLayerError, match=said):
        put(root, members)

    assert {one.name for one in root.parent.iterdir()} == {"root", "layer-0"}


def test_devices_and_pipes_are_left_out(root: Path) -> None:
    """A container has a /dev of its own."""
    put(
        root, [Member("pipe", kind=tarfile.FIFOTYPE), Member("null", kind=tarfile.CHRTYPE), Member("a", b"1")]
    )

    assert tree(root) == {"a": "1"}


def test_a_layer_that_unpacks_to_something_else_is_refused(root: Path) -> None:
    """The configuration has each layer's digest, and as many as there are layers."""
    made = image(root, [Member("a", b"1")])
    other = ImageHere({"rootfs": {"diff_ids": ["sha256:other"]}}, made.layers, made.digest)
    fewer = ImageHere({}, made.layers, made.digest)

    with pytest.raises(BadLayerError, match="its image says sha256:other"):
        apply_image(other, root, below="")
    with pytest.raises(BadLayerError, match="1 layers and 0 diff IDs"):
        apply_image(fewer, root, below="")


def test_layers_may_be_tar_without_gzip(root: Path, tmp_path: Path) -> None:
    """OCI has a media type for it."""
    diff_id = layer(tmp_path / "plain", Member("a", b"1"), compress=False)

    assert apply_layer(tmp_path / "plain", root, diff_id=diff_id, below="") == 1


@given(at=st.integers(0, 3000), cut=st.booleans())
@example(at=0, cut=False)
def test_a_layer_that_is_cut_or_changed_is_refused(at: int, cut: bool) -> None:
    """Wherever it is: gzip's checksum and the diff ID see what tar does not."""
    with tempfile.TemporaryDirectory() as folder:
        path, root = Path(folder, "layer"), Path(folder, "root")
        root.mkdir()
        diff_id = layer(path, Member("a", random.Random(1).randbytes(2000)), Member("b", b"1"))
        whole = path.read_bytes()
        # Behind gzip's header, some of which means nothing.
        at = 10 + at % (len(whole) - 10)
        path.write_bytes(whole[:at] + (b"" if cut else bytes([whole[at] ^ 0xFF]) + whole[at + 1 :]))

        with pytest.raises(BadLayerError):
            apply_layer(path, root, diff_id=diff_id, below="")


def test_it_can_be_cancelled(root: Path) -> None:
    """An endpoint that is deleted waits for no image."""
    made = image(root, [Member("a", b"1")])

    with pytest.raises(LayersCancelledError):
        apply_image(made, root, below="", cancelled=lambda: True)


@pytest.mark.skipif(os.geteuid() != 0, reason="owners are given by root alone")
def test_a_whole_image_keeps_owners_modes_and_times(root: Path) -> None:
    """Also the mode of the root itself, a set-user bit, and the time that Python's bytecode goes by."""
    made = image(
        root,
        [
            Member("./", kind=DIR, mode=0o755),
            Member("tool", b"1", mode=0o4755, uid=1000),
            Member("link", kind=SYM, link="tool", uid=1000),
        ],
    )

    apply_image(made, root)

    assert (root.stat().st_mode & 0o7777, (root / "tool").stat().st_mode & 0o7777) == (0o755, 0o4755)
    assert ((root / "tool").stat().st_uid, (root / "link").lstat().st_uid) == (1000, 1000)
    assert (root / "tool").stat().st_mtime == 0


MODEL = "opt/sealift/model"


def test_only_a_folder_of_an_image_is_taken_where_only_that_is_wanted(root: Path) -> None:
    """With whiteouts of it and of what it lies in; a neighbor whose name begins alike is not it."""
    put(
        root,
        [Member("bin/sh", b"1"), Member(f"{MODEL}/old.gguf", b"1"), Member(f"{MODEL}s/x", b"1")],
        [Member(f"{MODEL}/a.gguf", b"2"), Member(f"{MODEL}/.wh.old.gguf"), Member("opt/.wh.other")],
        [Member("opt/other/x", b"3"), Member(f"{MODEL}/b.gguf", b"3")],
        below=MODEL,
    )

    assert tree(root / MODEL) == {"a.gguf": "2", "b.gguf": "3"}
    assert {one.name for one in (root / "opt/sealift").iterdir()} == {"model"}
    assert (root / MODEL / "a.gguf").stat().st_mode & 0o777 == 0o644


@pytest.mark.parametrize("gone", [".wh.opt", "opt/.wh.sealift", "opt/sealift/.wh.model", "opt/.wh..wh..opq"])
def test_a_folder_that_a_layer_takes_away_is_not_there(root: Path, gone: str) -> None:
    """By its name, or by a folder that it lies in."""
    put(root, [Member(f"{MODEL}/old.gguf", b"1")], [Member(gone)], below=MODEL)

    assert not (root / MODEL / "old.gguf").exists()


def test_a_hard_link_out_of_the_folder_is_refused(root: Path) -> None:
    """Its bytes would lie in what is left out."""
    with pytest.raises(BadLayerError, match="is not taken"):
        put(root, [Member("a", b"1"), Member(f"{MODEL}/b", kind=LINK, link="a")], below=MODEL)


@pytest.mark.parametrize(
    ("labels", "environment", "found"),
    [
        ({"sealift.model": "m.gguf"}, ["SM_MODEL_DIR=/opt/sealift/model"], MODEL),
        ({"sealift.model": "m.gguf"}, ["SM_MODEL_DIR=/"], None),
        ({"sealift.model": "m.gguf"}, ["PATH=/bin"], None),
        ({"sealift.model": ""}, ["SM_MODEL_DIR=/opt/sealift/model"], None),
        ({"other": "x"}, ["SM_MODEL_DIR=/opt/ml/model"], None),
        (None, None, None),
    ],
)
def test_an_image_with_a_model_says_so_and_where(
    labels: dict[str, str] | None, environment: list[str] | None, found: str | None
) -> None:
    """By label and variable together."""
    assert model_folder({"config": {"Labels": labels, "Env": environment}}) == found
    assert model_folder({}) is None
