"""What the image is: the same each time, what others' tools make of it, and what the Dockerfile would give."""

from __future__ import annotations

import gzip
import hashlib
import json
import os
import shutil
from typing import TYPE_CHECKING

import pytest

from tests.image.conftest import ROOT, build, run, sum_of
from tools.image_test import base, dockerfile, tools, trees

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.image.conftest import Built, Pulled, Sealift
    from tools.image_test.registry import LocalRegistry

OURS = "opt/sealift"


def blobs(layout: Path) -> set[str]:
    """Return the names of all blobs of a layout."""
    return {path.name for path in (layout / "blobs" / "sha256").iterdir()}


class TestBuild:
    """The image as it is built."""

    @pytest.mark.usefixtures("umask")
    def test_twice_is_the_same(
        self, built: Built, sealift: Sealift, registry: LocalRegistry, tmp_path: Path
    ) -> None:
        """By another who builds, with an empty cache and another umask: every blob has the same digest."""
        (tmp_path / "home").mkdir()
        again = build(type(sealift)(tmp_path / "home"), registry, tmp_path / "layout")

        assert blobs(again.layout) == blobs(built.layout)
        assert again.said["digest"] == built.said["digest"]

    @pytest.fixture
    def umask(self) -> Iterator[None]:
        """Let nobody else read what is made."""
        before = os.umask(0o077)
        yield
        os.umask(before)

    def test_umoci_reads_the_layout(self, built: Built) -> None:
        """The layout is one that others' tools take, and each blob is what its name says."""
        (entry,) = json.loads((built.layout / "index.json").read_bytes())["manifests"]
        tag = entry["annotations"]["org.opencontainers.image.ref.name"]
        told = json.loads(run(tools.find("umoci"), "stat", "--json", "--image", f"{built.layout}:{tag}"))

        manifest = json.loads((built.layout / "blobs" / "sha256" / entry["digest"][7:]).read_bytes())
        layers = [layer["digest"] for layer in manifest["layers"]]
        assert [one["layer"]["digest"] for one in told["history"] if one["layer"]] == layers
        assert all(sum_of(path) == path.name for path in (built.layout / "blobs" / "sha256").iterdir())


class TestPulled:
    """The image as the registry gives it to others."""

    def test_skopeo_gets_what_was_built(self, built: Built, pulled: Pulled) -> None:
        """Manifest, configuration and layers, by their digests."""
        assert pulled.digest == built.said["digest"]
        named = [pulled.manifest["config"], *pulled.manifest["layers"]]
        assert [sum_of(pulled.blob(one["digest"])) for one in named] == [one["digest"][7:] for one in named]
        assert [pulled.blob(one["digest"]).stat().st_size for one in named] == [one["size"] for one in named]

    def test_diff_ids_are_those_of_the_tars(self, pulled: Pulled) -> None:
        """As Python's gzip decodes them."""
        found = []
        for layer in pulled.layers:
            with gzip.open(layer) as tar:
                found.append(f"sha256:{hashlib.file_digest(tar, 'sha256').hexdigest()}")

        assert pulled.config["rootfs"]["diff_ids"] == found

    def test_the_lowest_layer_is_the_base(self, pulled: Pulled) -> None:
        """Untouched: whoever has it need not pull it again."""
        index = json.loads((base.layout() / "index.json").read_bytes())
        manifest = base.layout() / "blobs" / "sha256" / index["manifests"][0]["digest"][7:]

        layers = [one["digest"] for one in json.loads(manifest.read_bytes())["layers"]]
        assert [one["digest"] for one in pulled.manifest["layers"]][: len(layers)] == layers


class TestDockerfile:
    """What `inference/Dockerfile` would give, carried out line by line on the same base."""

    @pytest.fixture(scope="class")
    def stage(self, tmp_path_factory: pytest.TempPathFactory) -> dockerfile.Stage:
        """Return its last stage."""
        folder = tmp_path_factory.mktemp("dockerfile")
        run(tools.find("umoci"), "unpack", "--image", f"{base.layout()}:{base.TAG}", folder / "base")
        count = 0

        def unpack() -> Path:
            nonlocal count
            count += 1
            return shutil.copytree(folder / "base" / "rootfs", folder / f"stage{count}", symlinks=True)

        return dockerfile.build((ROOT / "inference" / "Dockerfile").read_text(encoding="utf-8"), unpack)

    def test_gives_the_same_tree(self, stage: dockerfile.Stage, unpacked: Path) -> None:
        """Paths, modes, owners and contents; but for bytecode, which is Docker's alone."""
        theirs, ours = (
            {path: entry for path, entry in trees.read(root, OURS).items() if "__pycache__" not in path}
            for root in (stage.root, unpacked / "rootfs")
        )

        assert len(theirs) > 1000
        assert trees.differences(theirs, ours) == []

    def test_changes_nothing_else(self, unpacked: Path, tmp_path: Path) -> None:
        """Outside of /opt/sealift the image is its base."""
        run(tools.find("umoci"), "unpack", "--image", f"{base.layout()}:{base.TAG}", tmp_path / "base")
        theirs, ours = trees.read(tmp_path / "base" / "rootfs"), trees.read(unpacked / "rootfs")

        outside = {path: entry for path, entry in ours.items() if not path.startswith(OURS)}
        assert trees.differences(theirs, outside) == []

    def test_starts_containers_alike(self, stage: dockerfile.Stage, pulled: Pulled) -> None:
        """Entry point, command, user, folder, port; the environment over the base's; every label that it has."""
        config = pulled.config["config"]
        variables = dict(one.split("=", 1) for one in config["Env"])
        wanted = dict(stage.configuration)

        assert wanted.pop("Env").items() <= variables.items()
        assert wanted.pop("Labels", {}).items() <= config["Labels"].items()
        assert {name: config.get(name) for name in wanted} == wanted
