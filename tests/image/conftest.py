"""Our image, built for real: on a base of Debian's packages, in Debian's registry, read and run by others' tools.

Everything here needs Linux, root and what `make image-test` installs; elsewhere all of it is skipped and says why.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from local_cloud.hosting.containers.oci_runtime import find_runtime
from pipeline import package_files
from tools.image_test import base, tools
from tools.image_test.registry import LocalRegistry

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).resolve().parents[2]
REPOSITORY = "sealift"


@pytest.fixture(scope="session", autouse=True)
def able() -> None:
    """Skip everything where no image can be built and run."""
    if why := tools.obstacle():
        pytest.skip(why)
    if (found := find_runtime(tools.runtimes())).runtime is None:
        pytest.skip(found.reason)
    if package_files.llama_server() is None:
        pytest.skip("no llama-server to put into the image: `make llama-server` builds it")


@pytest.fixture(scope="session")
def registry(able: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalRegistry]:
    """Return Debian's registry on this machine, with the base in it."""
    del able
    with LocalRegistry(tmp_path_factory.mktemp("registry")) as running:
        copy(f"oci:{base.layout()}:{base.TAG}", f"docker://{running.address}/python:{base.TAG}")
        yield running


def copy(source: str, target: str) -> None:
    """Have skopeo copy an image from one place to another."""
    plain = ["--src-tls-verify=false", "--dest-tls-verify=false"]
    run(tools.find("skopeo"), "copy", "--quiet", *plain, source, target)


def run(*command: str | Path) -> str:
    """Return what a command wrote; a failure shows all that it said."""
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise AssertionError(f"{command} ended with {done.returncode}:\n{done.stdout}\n{done.stderr}")
    return done.stdout


@dataclass(frozen=True, slots=True)
class Sealift:
    """The command line, with a home and a cache of its own."""

    home: Path

    def __call__(self, *arguments: str | Path) -> dict[str, Any]:
        """Return what a command says with --json."""
        done = self.start(*arguments)
        said, error = done.communicate()
        if done.returncode:
            raise AssertionError(f"{arguments} ended with {done.returncode}:\n{said}\n{error}")
        found: dict[str, Any] = json.loads(said)
        return found

    def start(self, *arguments: str | Path) -> subprocess.Popen[str]:
        """Start a command with --json."""
        environ = {
            **os.environ,
            "HOME": str(self.home),
            "XDG_CACHE_HOME": str(self.home / "cache"),
            "DOCKER_CONFIG": str(self.home / "docker"),
        }
        return subprocess.Popen(
            [sys.executable, "-m", "sealift", *map(str, arguments), "--json"],
            cwd=ROOT,
            env=environ,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )


@pytest.fixture(scope="session")
def sealift(tmp_path_factory: pytest.TempPathFactory) -> Sealift:
    """Return the command line."""
    return Sealift(tmp_path_factory.mktemp("home"))


@dataclass(frozen=True, slots=True)
class Built:
    """An image that was built."""

    said: dict[str, Any]
    layout: Path
    """The OCI layout that it lies in."""


def build(sealift: Sealift, registry: LocalRegistry, layout: Path) -> Built:
    """Build our image on the registry's base, into a layout."""
    reference = f"{registry.address}/python:{base.TAG}"
    return Built(sealift("image", "build", "--base", reference, "--output", layout), layout)


@pytest.fixture(scope="session")
def built(sealift: Sealift, registry: LocalRegistry, tmp_path_factory: pytest.TempPathFactory) -> Built:
    """Return our image as it was built first."""
    return build(sealift, registry, tmp_path_factory.mktemp("built") / "layout")


@dataclass(frozen=True, slots=True)
class Pulled:
    """An image as skopeo pulled it: the files that are in the registry, byte by byte."""

    folder: Path

    @property
    def manifest(self) -> dict[str, Any]:
        """Return its manifest."""
        return self._json("manifest.json")

    @property
    def digest(self) -> str:
        """Return the digest of its manifest."""
        return f"sha256:{sum_of(self.folder / 'manifest.json')}"

    @property
    def config(self) -> dict[str, Any]:
        """Return its configuration."""
        return self._json(self.manifest["config"]["digest"].removeprefix("sha256:"))

    @property
    def layers(self) -> tuple[Path, ...]:
        """Return the files of its layers, lowest first."""
        return tuple(self.blob(layer["digest"]) for layer in self.manifest["layers"])

    def blob(self, digest: str) -> Path:
        """Return the file of a blob."""
        return self.folder / digest.removeprefix("sha256:")

    def _json(self, name: str) -> dict[str, Any]:
        found: dict[str, Any] = json.loads((self.folder / name).read_bytes())
        return found


def sum_of(path: Path) -> str:
    """Return the SHA-256 of a file, as coreutils has it."""
    return run("sha256sum", path).split()[0].lstrip("\\")


@pytest.fixture(scope="session")
def pushed(sealift: Sealift, registry: LocalRegistry, built: Built) -> dict[str, Any]:
    """Return what the first push said."""
    return sealift("image", "push", f"{registry.address}/{REPOSITORY}:one", "--image", built.layout)


@pytest.fixture(scope="session")
def pulled(
    registry: LocalRegistry, pushed: dict[str, Any], tmp_path_factory: pytest.TempPathFactory
) -> Pulled:
    """Return what skopeo pulled of it."""
    del pushed
    folder = tmp_path_factory.mktemp("pulled") / "image"
    copy(f"docker://{registry.address}/{REPOSITORY}:one", f"dir:{folder}")
    return Pulled(folder)


@pytest.fixture(scope="session")
def unpacked(pulled: Pulled, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the bundle that umoci unpacked of it, which checks every digest on the way."""
    folder = tmp_path_factory.mktemp("unpacked")
    copy(f"dir:{pulled.folder}", f"oci:{folder / 'layout'}:one")
    run(tools.find("umoci"), "unpack", "--image", f"{folder / 'layout'}:one", folder / "bundle")
    return folder / "bundle"
