"""The image: what the Dockerfile says, and twice the same."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from pipeline.errors import InvalidInput
from pipeline.image import base, build, configuration
from pipeline.image.cache import BlobCache
from pipeline.image.contents import ImageContents, ImagePart
from pipeline.image.layers import TreeFile
from tests.unit.image.images import MemoryRegistry

DOCKERFILE = Path(__file__).resolve().parents[3] / "inference" / "Dockerfile"
REFERENCE = base.parse("registry.test/python:1")
CONTENTS = ImageContents(
    "x86_64",
    (
        ImagePart("libraries", {"opt/sealift/lib/a.py": TreeFile(b"a")}),
        ImagePart("code", {"opt/sealift/adapter/__main__.py": TreeFile(b"b")}),
    ),
    {"foo": "1.2.3"},
)


@pytest.fixture
def registry() -> MemoryRegistry:
    """Return one with a base."""
    registry = MemoryRegistry()
    registry.put_image("1")
    return registry


def made(registry: MemoryRegistry, folder: Path, **given: str) -> build.Image:
    """Return an image."""
    given = {"version": "1.0", "commit": "abc", **given}
    return build.plain(registry, REFERENCE, CONTENTS, cache=BlobCache(folder), **given)


def last_stage() -> list[tuple[str, str]]:
    """Return the instructions of the Dockerfile below its last FROM."""
    text = DOCKERFILE.read_text(encoding="utf-8").rpartition("\nFROM ")[2]
    joined = re.sub(r"\\\n\s*", " ", text).splitlines()[1:]
    return [(name, rest.strip()) for name, _, rest in (line.partition(" ") for line in joined) if name]


def test_the_image_starts_as_the_dockerfile_says(registry: MemoryRegistry, tmp_path: Path) -> None:
    """Every instruction of its last stage; what the base says besides stays."""
    said = last_stage()
    environment = dict(one.split("=", 1) for name, rest in said if name == "ENV" for one in rest.split())
    rest = {name: rest for name, rest in said if name not in {"ENV", "COPY"}}

    found = configuration.read(made(registry, tmp_path).config, "it")

    assert found.environment == {"PATH": "/usr/bin", "PYTHON_VERSION": "3.11.13", **environment}
    assert rest == {
        "USER": found.user,
        "WORKDIR": found.working_directory,
        "EXPOSE": next(iter(found.document["config"]["ExposedPorts"])).removesuffix("/tcp"),
        "ENTRYPOINT": json.dumps(list(found.entry_point)),
        "CMD": json.dumps(list(found.command)),
    }


def test_the_same_parts_make_the_same_image(registry: MemoryRegistry, tmp_path: Path) -> None:
    """Wherever it is built; another commit changes the configuration alone."""
    first, second = made(registry, tmp_path / "a"), made(registry, tmp_path / "b")
    other = made(registry, tmp_path / "a", commit="def")

    assert first.manifest == second.manifest
    assert first.config == second.config
    assert other.manifest.digest != first.manifest.digest
    assert other.manifest.layers == first.manifest.layers


def test_an_image_is_whole(registry: MemoryRegistry, tmp_path: Path) -> None:
    """Layers are those of manifest and configuration, the base's first; each can be opened twice."""
    image = made(registry, tmp_path)
    config = configuration.read(image.config, "it")

    assert image.manifest.layers == tuple(one.descriptor for one in image.layers)
    assert config.diff_ids == tuple(one.diff_id for one in image.layers)
    assert image.manifest.config.digest == config.digest
    assert [one.origin for one in image.layers] == [registry.name, "", ""]
    for layer in (*image.layers, *image.layers):
        with layer.open() as opened:
            assert len(opened.read()) == layer.descriptor.size


def test_labels_say_what_it_is(registry: MemoryRegistry, tmp_path: Path) -> None:
    """Version, commit, base and packages; no commit where nobody knows it."""
    labels = configuration.read(made(registry, tmp_path).config, "it").labels

    assert labels["org.opencontainers.image.version"] == "1.0"
    assert labels["org.opencontainers.image.revision"] == "abc"
    assert labels["org.opencontainers.image.base.name"] == str(REFERENCE)
    assert labels["org.opencontainers.image.base.digest"].startswith("sha256:")
    assert json.loads(labels["sealift.sbom"]) == {"foo": "1.2.3", "sealift": "1.0"}
    unknown = configuration.read(made(registry, tmp_path, commit="").config, "it").labels
    assert "org.opencontainers.image.revision" not in unknown


@pytest.mark.parametrize("version", ["3.12.1", "3.1", "2.7", "3.110.0"])
def test_a_base_with_another_python_is_refused(tmp_path: Path, version: str) -> None:
    """Compiled libraries would not load, in the endpoint alone."""
    registry = MemoryRegistry()
    registry.put_image("1", Env=[f"PYTHON_VERSION={version}"])

    with pytest.raises(InvalidInput, match=rf"a base with Python {version}; wanted Python 3\.11"):
        made(registry, tmp_path)


def test_a_base_that_does_not_say_its_python_is_taken(tmp_path: Path) -> None:
    """Nobody but the official images says it."""
    registry = MemoryRegistry()
    registry.put_image("1", Env=None)

    assert made(registry, tmp_path).layers


@pytest.mark.parametrize(
    ("version", "tag"), [("1.0", "sealift-1.0-arm64"), ("1.0+local.1", "sealift-1.0-local.1-arm64")]
)
def test_the_tag_is_one_that_registries_take(version: str, tag: str) -> None:
    """A version may have a plus, a tag may not."""
    assert build.tag(version, "arm64") == tag
