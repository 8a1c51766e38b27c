"""`sealift image build` against a registry over HTTP, and what skopeo and umoci make of its folder."""

from __future__ import annotations

import gzip
import hashlib
import json
import os
import shutil
import stat
import subprocess
import tarfile
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pipeline import __version__
from pipeline.cli.commands import image
from pipeline.cli.options import ImageBuildOptions
from pipeline.errors import ImageNotFound, InvalidInput, SealiftError
from pipeline.image import contents, layers, layout, registries
from pipeline.image.contents import ImageContents, ImagePart
from pipeline.image.layers import TreeFile
from tests.fake_registry import FakeRegistry, running
from tests.unit.image.images import MemoryRegistry

REPOSITORY = "docker/library/python"
CONTENTS = ImageContents(
    "x86_64",
    (
        ImagePart("libraries", {"opt/sealift/lib/a.py": TreeFile(bytes(300_000))}),
        ImagePart(
            "code",
            {
                "opt/sealift/adapter/__main__.py": TreeFile(b"print('here')\n"),
                "opt/sealift/run": TreeFile(b"#!/bin/sh\n", layers.RUNNABLE),
            },
        ),
    ),
    {"foo": "1.2.3"},
)


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


@pytest.fixture
def registry() -> Iterator[FakeRegistry]:
    """Return a registry that has a base for two machines, as an index."""
    made = MemoryRegistry()
    machines = {"linux/amd64": made.put_image(), "linux/arm64": made.put_image(architecture="arm64")}
    made.put_index(machines, "latest")
    with running(FakeRegistry(auth="token")) as registry:
        registry.blobs[REPOSITORY] = dict(made.blobs)
        registry.manifests |= {(REPOSITORY, name): found for name, found in made.manifests.items()}
        yield registry


def build(registry: FakeRegistry, base: str = REPOSITORY, **given: Any) -> int:
    """Run the command."""
    options = ImageBuildOptions(base=f"{registry.host}/{base}", json=True, **given)
    return image.run_build(options, registries.connect, lambda _: CONTENTS)


def test_only_names_are_fetched_for_a_build(
    registry: FakeRegistry, capsys: pytest.CaptureFixture[str]
) -> None:
    """An index, a manifest and a configuration; a second build makes the same image."""
    assert build(registry) == 0
    first = json.loads(capsys.readouterr().out)
    assert build(registry) == 0
    second = json.loads(capsys.readouterr().out)

    assert second == first
    assert (first["tag"], first["output"]) == (f"sealift-{__version__}-x86_64", None)
    assert [one["of"] for one in first["layers"]] == ["base", "sealift", "sealift"]
    base_layer = first["layers"][0]["digest"]
    assert not registry.asked("GET", base_layer)
    assert len(registry.asked("GET", "/blobs/")) == 2
    assert first["bytes"] > sum(one["bytes"] for one in first["layers"])


def test_a_folder_has_the_base_too(registry: FakeRegistry, tmp_path: Path) -> None:
    """Each layer of it under its digest, and the digest of its tar in the configuration."""
    assert build(registry, output=tmp_path / "image") == 0

    found = layout.read(tmp_path / "image", f"sealift-{__version__}-x86_64")
    assert len(found.layers) == 3
    for layer in found.layers:
        with layer.open() as opened:
            content = opened.read()
        assert f"sha256:{hashlib.sha256(content).hexdigest()}" == layer.descriptor.digest
        assert f"sha256:{hashlib.sha256(gzip.decompress(content)).hexdigest()}" == layer.diff_id


def test_another_build_fetches_no_layer_again(registry: FakeRegistry, tmp_path: Path) -> None:
    """The base's layers stay in the cache."""
    for name in ("one", "two"):
        assert build(registry, output=tmp_path / name) == 0

    layer = layout.read(tmp_path / "two").layers[0].descriptor.digest
    assert len(registry.asked("GET", layer)) == 1


X86_64_ELF, ARM64_ELF = 62, 183
"""How ELF names machines."""


def elf(machine: int) -> bytes:
    """Return the head of a program for a machine."""
    return b"\x7fELF" + bytes(14) + machine.to_bytes(2, "little") + bytes(44)


def parts(folder: Path, **machines: int) -> Any:
    """Write a runtime and a server whose programs are for arm64, but those named; return what gathers them."""
    programs = {"runtime/llama_cpp/lib/libllama.so": "library", "llama-server/llama-server-neon": "server"}
    files = {path: elf(machines.get(name, ARM64_ELF)) for path, name in programs.items()}
    files |= {
        "runtime/llama_cpp/__init__.py": b'__version__ = "1"\n',
        "llama-server/llama-server": b"#!/bin/sh\n",
    }
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    wheel = folder / "foo-1.2.3-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr("foo/__init__.py", "1")
    lock = folder / "image.lock"
    lock.write_text(f"foo==1.2.3 --hash=sha256:{hashlib.sha256(wheel.read_bytes()).hexdigest()}\n")
    return lambda architecture: contents.gather(
        architecture, folder, built_for=lambda name, _: folder / name, lock=lock
    )


def test_an_image_for_arm64_is_assembled_of_parts_for_it(registry: FakeRegistry, tmp_path: Path) -> None:
    """On the base of that machine, and its configuration says so: SageMaker goes by that."""
    options = ImageBuildOptions(
        base=f"{registry.host}/{REPOSITORY}", architecture="arm64", output=tmp_path / "image", json=True
    )
    (tmp_path / "parts").mkdir()
    assert image.run_build(options, registries.connect, parts(tmp_path / "parts")) == 0

    tag = f"sealift-{__version__}-arm64"
    found = layout.read(tmp_path / "image", tag)
    config = json.loads(found.config)
    assert (config["architecture"], config["os"]) == ("arm64", "linux")
    index = json.loads((tmp_path / "image" / "index.json").read_text())
    assert [one.get("platform", {}).get("architecture") for one in index["manifests"]] == ["arm64"]
    base = next(content for content in registry.blobs[REPOSITORY].values() if b'"arm64"' in content)
    below = json.loads(base)["rootfs"]["diff_ids"]
    assert config["rootfs"]["diff_ids"][: len(below)] == below
    with tarfile.open(fileobj=found.layers[-2].open(), mode="r:gz") as layer:
        program = layer.extractfile("opt/sealift/llama-server/llama-server-neon")
        assert program is not None
        assert program.read() == elf(ARM64_ELF)


@pytest.mark.parametrize("wrong", ["library", "server"])
def test_no_program_for_x86_64_gets_into_an_image_for_arm64(
    registry: FakeRegistry, tmp_path: Path, wrong: str
) -> None:
    """Nor is anything asked of the base's registry."""
    options = ImageBuildOptions(base=f"{registry.host}/{REPOSITORY}", architecture="arm64", json=True)

    with pytest.raises(InvalidInput, match="which is for x86_64; wanted one for arm64"):
        image.run_build(options, registries.connect, parts(tmp_path, **{wrong: X86_64_ELF}))
    assert not registry.asked("GET", "/blobs/")


def test_a_base_that_is_not_there_is_told(registry: FakeRegistry, tmp_path: Path) -> None:
    """By its name, and nothing is laid out."""
    with pytest.raises(ImageNotFound, match=f"{REPOSITORY}:gone"):
        build(registry, f"{REPOSITORY}:gone", output=tmp_path / "image")
    assert not (tmp_path / "image").exists()


def test_a_layer_that_vanished_leaves_no_folder(registry: FakeRegistry, tmp_path: Path) -> None:
    """The base was read, and its layer is gone when it is laid out."""
    build(registry)
    digest = next(
        digest for digest, content in registry.blobs[REPOSITORY].items() if content[:2] == b"\x1f\x8b"
    )
    for one in [one for one in registry.blobs[REPOSITORY] if one != digest]:
        if registry.blobs[REPOSITORY][one][:2] == b"\x1f\x8b":
            del registry.blobs[REPOSITORY][one]
    del registry.blobs[REPOSITORY][digest]

    with pytest.raises(SealiftError):
        build(registry, output=tmp_path / "image")
    assert not (tmp_path / "image").exists()
    assert not list((tmp_path / "cache").rglob("*.part"))


def test_parts_that_were_not_built_stop_it_before_anything_is_asked(registry: FakeRegistry) -> None:
    """The network would be in vain."""

    def nothing(_: str) -> ImageContents:
        raise InvalidInput("image", [image.contents.Problem("LlamaServerMissing", "no", "one", "build it")])

    options = ImageBuildOptions(base=f"{registry.host}/{REPOSITORY}")
    with pytest.raises(InvalidInput):
        image.run_build(options, registries.connect, nothing)
    assert not registry.seen


@pytest.mark.skipif(shutil.which("skopeo") is None, reason="no skopeo here: apt-get install skopeo")
def test_skopeo_computes_the_same_digests(
    registry: FakeRegistry, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """And can copy it on, into another layout and into Docker's own archive."""
    build(registry, output=tmp_path / "image")
    made = json.loads(capsys.readouterr().out)
    name = f"oci:{tmp_path}/image:{made['tag']}"

    seen = json.loads(run("skopeo", "inspect", name))

    assert seen["Layers"] == [one["digest"] for one in made["layers"]]
    assert (seen["Architecture"], seen["Os"]) == ("amd64", "linux")
    assert seen["Labels"]["org.opencontainers.image.version"] == __version__
    run("skopeo", "--insecure-policy", "copy", name, f"oci:{tmp_path}/copy:1")
    assert layout.read(tmp_path / "copy", "1").manifest == layout.read(tmp_path / "image").manifest
    run("skopeo", "--insecure-policy", "copy", name, f"docker-archive:{tmp_path}/archive.tar:a:1")


@pytest.mark.skipif(
    shutil.which("umoci") is None or os.getuid() != 0,
    reason="no umoci here, or not root: apt-get install umoci",
)
def test_umoci_unpacks_the_tree(registry: FakeRegistry, tmp_path: Path) -> None:
    """Readable by all, writable by nobody, root's; the container starts as the configuration says."""
    build(registry, output=tmp_path / "image")
    run("umoci", "unpack", "--image", f"{tmp_path}/image:sealift-{__version__}-x86_64", f"{tmp_path}/bundle")

    root = tmp_path / "bundle" / "rootfs"
    ours = {path.relative_to(root).as_posix(): path.lstat() for path in (root / "opt" / "sealift").rglob("*")}
    modes = {path: stat.S_IMODE(found.st_mode) for path, found in ours.items() if stat.S_ISREG(found.st_mode)}
    assert modes == {
        "opt/sealift/adapter/__main__.py": 0o444,
        "opt/sealift/lib/a.py": 0o444,
        "opt/sealift/run": 0o555,
    }
    assert {(found.st_uid, found.st_gid) for found in ours.values()} == {(0, 0)}
    assert (root / "opt/sealift/lib/a.py").read_bytes() == bytes(300_000)
    process = json.loads((tmp_path / "bundle" / "config.json").read_text())["process"]
    assert process["args"] == ["python", "/opt/sealift/adapter", "serve"]
    assert (process["user"]["uid"], process["cwd"]) == (65534, "/tmp")  # noqa: S108 - the container's


def run(*command: str) -> str:
    """Run a command that must succeed."""
    done = subprocess.run(
        [str(shutil.which(command[0])), *command[1:]], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout
