"""A folder as OCI lays it out: written, read, and damaged."""

from __future__ import annotations

import json
from io import BytesIO
from pathlib import Path

import pytest

from pipeline.errors import ImageNotFound, InvalidInput, WrongDigest
from pipeline.image import layout, manifest
from pipeline.image.blobs import Image, LayerBlob
from pipeline.image.manifest import Descriptor, Manifest, digest_of
from tests.unit.image.images import config_of, layer_bytes


def image(*names: str) -> Image:
    """Return an image of one layer for each name."""
    blobs = []
    for name in names:
        content, layer = layer_bytes({name: name.encode()})
        blobs.append(LayerBlob(layer.descriptor, layer.diff_id, lambda content=content: BytesIO(content)))
    config = config_of([one.diff_id for one in blobs])
    descriptor = Descriptor(manifest.DOCKER_CONFIG, digest_of(config), len(config))
    return Image(Manifest(descriptor, tuple(one.descriptor for one in blobs)), config, tuple(blobs))


def contents(made: Image) -> list[bytes]:
    """Return the bytes of all layers."""
    found = []
    for layer in made.layers:
        with layer.open() as opened:
            found.append(opened.read())
    return found


def test_an_image_is_read_as_it_was_written(tmp_path: Path) -> None:
    """By its tag or without; every blob lies under its digest."""
    made = image("a", "b")
    progress: list[int] = []

    digest = layout.write(made, tmp_path / "image", "1", "x86_64", progress=progress.append)

    for tag in ("1", None):
        found = layout.read(tmp_path / "image", tag)
        assert (found.manifest, found.config) == (made.manifest, made.config)
        assert contents(found) == contents(made)
    blobs = sorted((tmp_path / "image" / "blobs" / "sha256").iterdir())
    assert all(digest_of(path.read_bytes()) == f"sha256:{path.name}" for path in blobs)
    assert len(blobs) == 4
    assert digest == made.manifest.as_oci().digest
    assert progress == [made.layers[0].descriptor.size, sum(one.descriptor.size for one in made.layers)]


def test_a_layout_holds_several_and_a_tag_moves(tmp_path: Path) -> None:
    """The last one that was called so is it; without a tag somebody must choose."""
    first, second = image("a"), image("b")
    layout.write(first, tmp_path, "1", "x86_64")
    layout.write(second, tmp_path, "2", "arm64")

    assert layout.read(tmp_path, "1").config == first.config
    with pytest.raises(ImageNotFound, match=r"the tags '1', '2'; wanted one image"):
        layout.read(tmp_path)
    with pytest.raises(ImageNotFound, match=r"the tags '1', '2'; wanted one '3'"):
        layout.read(tmp_path, "3")
    layout.write(second, tmp_path, "1", "x86_64")
    assert layout.read(tmp_path, "1").config == second.config


def test_a_layer_that_is_there_is_not_opened_again(tmp_path: Path) -> None:
    """A base's would be fetched."""
    made = image("a")
    opened: list[None] = []

    def counted() -> BytesIO:
        opened.append(None)
        return BytesIO(contents(made)[0])

    blob = LayerBlob(made.layers[0].descriptor, made.layers[0].diff_id, counted)
    for tag in ("1", "2"):
        layout.write(Image(made.manifest, made.config, (blob,)), tmp_path, tag, "x86_64")
    assert len(opened) == 1


def test_a_folder_with_something_else_stays_as_it_is(tmp_path: Path) -> None:
    """Nobody's files are mixed with an image's."""
    (tmp_path / "mine").write_text("x")

    with pytest.raises(InvalidInput, match="something else in it; wanted an image layout"):
        layout.write(image("a"), tmp_path, "1", "x86_64")
    assert [path.name for path in tmp_path.iterdir()] == ["mine"]
    with pytest.raises(InvalidInput, match="no oci-layout in it"):
        layout.read(tmp_path)


@pytest.mark.parametrize("there", [False, True], ids=["a new folder", "a layout"])
def test_a_layer_that_is_damaged_leaves_nothing_half(tmp_path: Path, there: bool) -> None:
    """A new folder goes; a layout names what it named before, and has no part of a file."""
    folder = tmp_path / "image"
    if there:
        layout.write(image("a"), folder, "1", "x86_64")
    before = sorted(folder.rglob("*"))
    good = image("b")
    bad = Image(
        good.manifest,
        good.config,
        (LayerBlob(good.layers[0].descriptor, good.layers[0].diff_id, lambda: BytesIO(b"x")),),
    )

    with pytest.raises(WrongDigest, match="a layer has the digest"):
        layout.write(bad, folder, "2", "x86_64")
    assert sorted(folder.rglob("*")) == before
    assert folder.exists() is there


def damage_index(folder: Path) -> None:
    """Let the index be no JSON."""
    (folder / "index.json").write_text("{")


def damage_manifest(folder: Path) -> None:
    """Change a byte of the manifest."""
    index = json.loads((folder / "index.json").read_text())
    path = folder / "blobs" / index["manifests"][0]["digest"].replace(":", "/")
    path.write_bytes(path.read_bytes().replace(b"schemaVersion", b"schemaversion"))


def cut_layer(folder: Path) -> None:
    """Take a layer's last byte."""
    largest = max((folder / "blobs" / "sha256").iterdir(), key=lambda path: path.stat().st_size)
    largest.write_bytes(largest.read_bytes()[:-1])


def lose_layer(folder: Path) -> None:
    """Take a layer away."""
    max((folder / "blobs" / "sha256").iterdir(), key=lambda path: path.stat().st_size).unlink()


def lead_out(folder: Path) -> None:
    """Let the index name a file outside."""
    index = json.loads((folder / "index.json").read_text())
    index["manifests"][0]["digest"] = "sha256:../../../etc/passwd"
    (folder / "index.json").write_text(json.dumps(index))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (damage_index, "no JSON"),
        (damage_manifest, "other bytes as sha256"),
        (cut_layer, "bytes of sha256"),
        (lose_layer, "no blob sha256"),
        (lead_out, "the digest 'sha256:../"),
    ],
)
def test_a_damaged_layout_is_refused(tmp_path: Path, change: object, said: str) -> None:
    """When it is read, not in the middle of a push."""
    layout.write(image("a"), tmp_path, "1", "x86_64")
    change(tmp_path)  # type: ignore[operator]

    with pytest.raises(InvalidInput, match=said):
        layout.read(tmp_path, "1")
