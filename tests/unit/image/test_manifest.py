"""Manifests, indexes and configurations as they are read: of both kinds, and hostile ones."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.errors import InvalidInput, SealiftError
from pipeline.image import configuration, manifest
from pipeline.image.configuration import Added
from pipeline.image.manifest import Descriptor, Index, Manifest
from tests.unit.image.images import config_of

DIGEST = "sha256:" + "a" * 64
OTHER = "sha256:" + "b" * 64


def described(media_type: str, digest: str = DIGEST, size: int = 7) -> Descriptor:
    """Return a blob."""
    return Descriptor(media_type, digest, size)


IMAGE = Manifest(
    described(manifest.DOCKER_CONFIG),
    (described(manifest.DOCKER_LAYER, OTHER, 5), described(manifest.DOCKER_LAYER)),
)


@pytest.mark.parametrize("image", [IMAGE, IMAGE.as_oci()], ids=["docker", "oci"])
def test_a_manifest_is_read_as_it_was_rendered(image: Manifest) -> None:
    """Of both kinds; its size is that of all it names."""
    assert manifest.read(image.render(), image.media_type, "it") == image
    assert image.size == 19
    assert image.digest == manifest.digest_of(image.render())


def test_one_kind_becomes_the_other_and_back() -> None:
    """The blobs stay what they are, only their types change."""
    oci = IMAGE.as_oci()

    assert oci.as_docker() == IMAGE
    assert (oci.media_type, oci.config.media_type) == (manifest.OCI_MANIFEST, manifest.OCI_CONFIG)
    assert {one.media_type for one in oci.layers} == {manifest.OCI_LAYER}
    assert [one.digest for one in oci.layers] == [one.digest for one in IMAGE.layers]


def changed(**fields: Any) -> dict[str, Any]:
    """Return a manifest's document with some fields changed."""
    return json.loads(IMAGE.render()) | fields


LAYER = IMAGE.layers[0].document()


@pytest.mark.parametrize(
    ("document", "said"),
    [
        pytest.param([], "JSON that is a list", id="no object"),
        pytest.param(changed(config=None), "config", id="no configuration"),
        pytest.param(changed(layers={}), "layers", id="layers that are no list"),
        pytest.param(
            changed(layers=[LAYER | {"digest": "sha256:../../x"}]), "the digest", id="a digest that is a way"
        ),
        pytest.param(changed(layers=[LAYER | {"digest": DIGEST.upper()}]), "the digest", id="capitals"),
        pytest.param(
            changed(layers=[LAYER | {"digest": "sha512:" + "a" * 128}]), "the digest", id="another hash"
        ),
        pytest.param(changed(layers=[LAYER | {"size": -1}]), "the size -1", id="a negative size"),
        pytest.param(changed(layers=[LAYER | {"size": "7"}]), "size", id="a size in words"),
        pytest.param(
            changed(layers=[LAYER | {"mediaType": "application/vnd.oci.image.layer.v1.tar+zstd"}]),
            "zstd",
            id="zstd",
        ),
        pytest.param(
            changed(
                layers=[LAYER | {"mediaType": "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip"}]
            ),
            "foreign",
            id="a layer that is elsewhere",
        ),
        pytest.param(changed(config=LAYER), "a configuration of the type", id="an artifact"),
    ],
)
def test_a_manifest_that_cannot_be_is_refused(document: Any, said: str) -> None:
    """With what was seen, before anything of it is fetched."""
    with pytest.raises(InvalidInput, match=f"it: .*{said}"):
        manifest.read(json.dumps(document).encode(), manifest.DOCKER_MANIFEST, "it")


@pytest.mark.parametrize(
    ("content", "media_type", "said"),
    [
        pytest.param(b"<html>", manifest.DOCKER_MANIFEST, "no JSON", id="a page"),
        pytest.param(b"\xff", manifest.DOCKER_MANIFEST, "no JSON", id="no text"),
        pytest.param(b"[" * 100_000, manifest.DOCKER_MANIFEST, "no JSON", id="nested"),
        pytest.param(b" " * (4 << 20) + b"{}", manifest.OCI_INDEX, "bytes", id="large"),
        pytest.param(
            b"{}", "application/vnd.docker.distribution.manifest.v1+prettyjws", "media type", id="schema 1"
        ),
    ],
)
def test_what_is_no_manifest_is_refused(content: bytes, media_type: str, said: str) -> None:
    """Whatever a server sends in its place."""
    with pytest.raises(InvalidInput, match=said):
        manifest.read(content, media_type, "it")


def test_as_large_as_registries_take_is_read() -> None:
    """One byte more is not."""
    rendered = IMAGE.render()
    padded = rendered + b" " * (manifest.MANIFEST_BYTES_MAX - len(rendered))

    assert manifest.read(padded, manifest.DOCKER_MANIFEST, "it") == IMAGE
    with pytest.raises(InvalidInput, match="a manifest of 4194305 bytes"):
        manifest.read(padded + b" ", manifest.DOCKER_MANIFEST, "it")


@given(st.binary(max_size=200), st.sampled_from(manifest.ACCEPTED))
def test_nothing_but_a_refusal_comes_of_junk(content: bytes, media_type: str) -> None:
    """No traceback."""
    with pytest.raises(SealiftError):
        manifest.read(content, media_type, "it")


def test_an_index_says_which_image_is_for_a_machine() -> None:
    """Of Linux; attestations have no machine, and an index of other things none at all."""
    unknown = {"os": "unknown", "architecture": "unknown"}
    entries = [
        described(manifest.OCI_MANIFEST).document() | {"platform": unknown},
        described(manifest.OCI_MANIFEST).document(),
        described(manifest.OCI_MANIFEST).document()
        | {"platform": {"os": "windows", "architecture": "amd64"}},
        described(manifest.OCI_MANIFEST, OTHER).document()
        | {"platform": {"os": "linux", "architecture": "amd64"}},
    ]
    index = manifest.read(json.dumps({"manifests": entries}).encode(), manifest.OCI_INDEX, "it")

    assert isinstance(index, Index)
    assert index.image_for("x86_64").digest == OTHER
    with pytest.raises(InvalidInput, match=r"an index of .*linux/amd64.*; wanted linux/arm64"):
        index.image_for("arm64")


def test_a_configuration_says_how_its_container_starts() -> None:
    """Fields that are not there, or null, are empty."""
    found = configuration.read(config_of([DIGEST], User="1:2", Entrypoint=None, Labels={"a": "b"}), "it")

    assert found.diff_ids == (DIGEST,)
    assert found.environment == {"PATH": "/usr/bin", "PYTHON_VERSION": "3.11.13"}
    assert (found.command, found.entry_point, found.user) == (("python3",), (), "1:2")
    assert (found.labels, found.working_directory, found.architecture) == ({"a": "b"}, "", "amd64")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"os": "windows"}, "'windows'"),
        ({"rootfs": {"type": "layers", "diff_ids": ["md5:1"]}}, "diff_id"),
        ({"rootfs": None}, "rootfs"),
        ({"config": {"Env": "PATH=/"}}, "Env"),
    ],
)
def test_a_configuration_that_cannot_be_is_refused(change: dict[str, Any], said: str) -> None:
    """With what was seen."""
    with pytest.raises(InvalidInput, match=said):
        configuration.read(json.dumps(json.loads(config_of([DIGEST])) | change).encode(), "it")


def test_what_is_laid_on_an_image_is_in_its_configuration() -> None:
    """What a base says and nobody changes stays; what its own build left does not; times are fixed."""
    document = json.loads(config_of([DIGEST], StopSignal="SIGINT", Labels={"old": "1"}))
    base = configuration.read(json.dumps(document | {"container": "abc", "variant": "v8"}).encode(), "it")

    made = configuration.extend(
        base,
        (Added(OTHER, "something"),),
        environment={"PATH": "/own", "NEW": "1"},
        labels={"new": "2"},
        container={"User": "65534"},
    )

    assert made.diff_ids == (DIGEST, OTHER)
    assert list(made.environment.items()) == [("PATH", "/own"), ("PYTHON_VERSION", "3.11.13"), ("NEW", "1")]
    assert (made.labels, made.user, made.command) == ({"old": "1", "new": "2"}, "65534", ("python3",))
    found = made.document
    assert (found["config"]["StopSignal"], found["variant"], found["created"]) == (
        "SIGINT",
        "v8",
        configuration.CREATED,
    )
    assert "container" not in found
    assert [one["created_by"] for one in found["history"]] == ["debian", "something"]


def test_an_image_without_a_history_gets_an_entry_for_each_layer() -> None:
    """Some readers count."""
    document = json.loads(config_of([DIGEST, OTHER]))
    del document["history"]
    base = configuration.read(json.dumps(document).encode(), "it")

    made = configuration.extend(base, (Added(OTHER, "more"),), environment={}, labels={})

    assert len(made.document["history"]) == 3
