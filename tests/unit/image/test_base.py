"""The base: how it is written, what is fetched of it, and what it must be."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest

from pipeline.errors import ImageNotFound, InvalidInput, WrongDigest
from pipeline.image import base, manifest
from pipeline.image.cache import BlobCache
from pipeline.image.manifest import Descriptor
from tests.unit.image.images import MemoryRegistry

DOCKERFILE = Path(__file__).resolve().parents[3] / "inference" / "Dockerfile"
DIGEST = "sha256:" + "a" * 64


@pytest.mark.parametrize(
    ("text", "host", "repository", "wanted"),
    [
        ("public.ecr.aws/docker/library/python", "public.ecr.aws", "docker/library/python", "latest"),
        ("127.0.0.1:5000/a:1", "127.0.0.1:5000", "a", "1"),
        ("localhost/a_b/c-d.e:v1_2-3", "localhost", "a_b/c-d.e", "v1_2-3"),
        (f"example.com/a@{DIGEST}", "example.com", "a", DIGEST),
        (f"example.com/a:1@{DIGEST}", "example.com", "a", DIGEST),
    ],
)
def test_a_reference_is_read_as_it_is_written(text: str, host: str, repository: str, wanted: str) -> None:
    """The digest counts where both are there."""
    found = base.parse(text)

    assert (found.host, found.repository, found.wanted, str(found)) == (host, repository, wanted, text)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "python",
        "python:3.11",
        "docker/library/python",
        "example.com/",
        "example.com/A",
        "example.com/a:",
        "example.com/a@sha256:abc",
        "https://example.com/a",
        "example.com/../a",
        "example.com/a b",
        "example.com//a",
        "example.com/a:1\n",
        "user@example.com/a",
    ],
)
def test_what_is_no_reference_is_refused_with_an_example(text: str) -> None:
    """Above all a name without a registry: whose it would be is a guess."""
    with pytest.raises(InvalidInput, match=r"--base: .*; wanted HOST/REPOSITORY.*public\.ecr\.aws"):
        base.parse(text)


def test_where_to_push_is_explained_by_a_repository_of_ones_own() -> None:
    """Not by the base, which is nobody's to push to."""
    with pytest.raises(InvalidInput, match=r"REPOSITORY: .*as in \d+\.dkr\.ecr\."):
        base.parse("sealift", "REPOSITORY")


def test_the_default_is_the_dockerfiles() -> None:
    """One tag and one digest, in both places."""
    wanted = set(re.findall(r"^FROM python:(\S+)", DOCKERFILE.read_text(encoding="utf-8"), re.MULTILINE))

    assert wanted == {f"{base.TAG}@{base.DIGEST}"}
    assert base.parse(base.DEFAULT).wanted == base.DIGEST


@pytest.mark.parametrize("oci", [True, False], ids=["oci", "docker"])
def test_the_image_of_the_machine_is_taken_from_an_index(tmp_path: Path, oci: bool) -> None:
    """Its manifest and its configuration are fetched, no layer before somebody opens it."""
    registry = MemoryRegistry()
    intel, arm = registry.put_image(oci=oci), registry.put_image(architecture="arm64", oci=oci)
    registry.put_index({"linux/amd64": intel, "linux/arm64": arm}, "latest", oci=oci)
    cache = BlobCache(tmp_path)

    found = base.read(registry, base.parse("registry.test/python"), "arm64", cache.fetched)

    assert (found.digest, found.configuration.architecture) == (arm.digest, "arm64")
    assert registry.read_digests == [found.manifest.config.digest]
    (layer,) = found.layers
    assert (layer.origin, layer.descriptor.media_type) == (registry.name, manifest.DOCKER_LAYER)
    for _ in range(2):
        with layer.open() as opened:
            assert opened.read() == registry.blobs[layer.descriptor.digest]
    assert registry.read_digests[1:] == [layer.descriptor.digest]


def test_a_manifest_without_an_index_will_do() -> None:
    """As a registry of one's own has it."""
    registry = MemoryRegistry()
    image = registry.put_image("1")

    assert base.read(registry, base.parse("registry.test/python:1"), "x86_64", never).digest == image.digest


def never(*_: object) -> None:
    """Open no layer."""


def test_a_base_that_is_not_there_is_told_by_its_name() -> None:
    """The tag, or what an index names."""
    registry = MemoryRegistry()
    with pytest.raises(ImageNotFound, match=r"registry\.test/python:gone: nothing at gone"):
        base.read(registry, base.parse("registry.test/python:gone"), "x86_64", never)

    registry.put_index({"linux/amd64": Descriptor(manifest.OCI_MANIFEST, DIGEST, 1)}, "half")
    with pytest.raises(ImageNotFound, match=f"nothing at {DIGEST}"):
        base.read(registry, base.parse("registry.test/python:half"), "x86_64", never)


def test_a_base_for_another_machine_is_refused() -> None:
    """Also where no index says so, but the configuration."""
    registry = MemoryRegistry()
    registry.put_image("1", architecture="arm64")

    with pytest.raises(InvalidInput, match="an image for arm64; wanted one for x86_64"):
        base.read(registry, base.parse("registry.test/python:1"), "x86_64", never)


def test_an_index_in_an_index_is_refused() -> None:
    """It could go on for ever."""
    registry = MemoryRegistry()
    inner = registry.put_index({})
    registry.put_index({"linux/amd64": inner}, "1")

    with pytest.raises(InvalidInput, match="an index again"):
        base.read(registry, base.parse("registry.test/python:1"), "x86_64", never)


def test_a_configuration_that_is_no_such_size_is_not_fetched() -> None:
    """It would be held whole."""
    registry = MemoryRegistry()
    image = manifest.Manifest(Descriptor(manifest.OCI_CONFIG, DIGEST, 1 << 40), (), manifest.OCI_MANIFEST)
    registry.name_it(image.render(), image.media_type, "1")

    with pytest.raises(InvalidInput, match="a configuration of 1099511627776 bytes"):
        base.read(registry, base.parse("registry.test/python:1"), "x86_64", never)


def test_layers_and_diff_ids_must_be_as_many() -> None:
    """Else nobody knows which is which."""
    registry = MemoryRegistry()
    registry.put_image("1")
    media_type, content = registry.manifests["1"]
    image = manifest.read(content, media_type, "it")
    image = manifest.Manifest(image.config, (*image.layers, *image.layers), media_type)
    registry.name_it(image.render(), media_type, "1")

    with pytest.raises(InvalidInput, match="2 layers and 1 diff_ids"):
        base.read(registry, base.parse("registry.test/python:1"), "x86_64", never)


def test_a_layer_that_comes_damaged_is_not_kept(tmp_path: Path) -> None:
    """It is fetched again the next time; nothing half stays in the cache."""
    registry = MemoryRegistry()
    registry.put_image("1")
    found = base.read(registry, base.parse("registry.test/python:1"), "x86_64", BlobCache(tmp_path).fetched)
    digest = found.layers[0].descriptor.digest
    whole, registry.blobs[digest] = registry.blobs[digest], b"damaged"

    with pytest.raises(WrongDigest, match=r"registry\.test/python gave 7 bytes"):
        found.layers[0].open()
    assert [one for one in tmp_path.rglob("*") if one.is_file()] == []

    registry.blobs[digest] = whole
    with found.layers[0].open() as opened:
        assert opened.read() == whole


def test_a_layer_that_was_cut_on_disk_is_fetched_again(tmp_path: Path) -> None:
    """A full disk, or a machine that went down."""
    registry = MemoryRegistry()
    registry.put_image("1")
    cache = BlobCache(tmp_path)
    (layer,) = base.read(registry, base.parse("registry.test/python:1"), "x86_64", cache.fetched).layers
    layer.open().close()
    path = cache.path(layer.descriptor.digest)
    path.write_bytes(path.read_bytes()[:-1])

    with layer.open() as opened:
        assert opened.read() == registry.blobs[layer.descriptor.digest]


def test_a_layer_that_is_used_stays_in_the_cache(tmp_path: Path) -> None:
    """A month is counted from the last build, not from the first."""
    registry = MemoryRegistry()
    registry.put_image("1")
    cache = BlobCache(tmp_path)
    (layer,) = base.read(registry, base.parse("registry.test/python:1"), "x86_64", cache.fetched).layers
    layer.open().close()
    path = cache.path(layer.descriptor.digest)
    now = path.stat().st_mtime
    os.utime(path, (now - 40 * 24 * 3600,) * 2)

    layer.open().close()
    cache.prune(now + 1)
    assert path.is_file()


def test_what_nobody_used_for_a_month_leaves_the_cache(tmp_path: Path) -> None:
    """With what a build left that was killed; what was used lately stays."""
    cache = BlobCache(tmp_path)
    layer = cache.add([bytes(100)])
    path = cache.path(layer.descriptor.digest)
    (path.parent / ".left.part").write_bytes(b"half")
    used = path.stat().st_mtime

    cache.prune(used + 29 * 24 * 3600)
    assert path.is_file()

    cache.prune(used + 31 * 24 * 3600)
    assert list(path.parent.iterdir()) == []
