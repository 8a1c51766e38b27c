"""The ways in which an endpoint's container can run on this machine, and small images for the truer one.

A way that is not there is skipped, and says why.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import shutil
import tarfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import pytest

from local_cloud.hosting.containers.oci_runtime import OciRuntime, find_runtime
from tools.image_test import base, tools

if TYPE_CHECKING:
    from local_cloud.hosting.containers.oci_runtime import Mode

RUNTIME: Mode = cast("Mode", tools.runtime())
"""The program that runs true containers here, or would: `OCI_RUNTIME` names one."""
MODES: tuple[Mode, ...] = ("process", RUNTIME)
READABLE = 0o644


@dataclass(frozen=True)
class ImageHere:
    """An image whose layers are files."""

    config: Mapping[str, Any]
    layers: tuple[Path, ...]
    digest: str


@dataclass(frozen=True)
class Way:
    """One of `MODES`, with what a hosting needs for it."""

    mode: Mode
    runtime: OciRuntime | None = None
    image: ImageHere | None = None
    roots: Path | None = None
    """Where the image's file system is kept, once it is extracted."""

    @property
    def in_container(self) -> bool:
        """Whether endpoints run in true containers."""
        return self.runtime is not None

    def pull(self, _uri: str) -> ImageHere | None:
        """Return the image, whatever it is called."""
        return self.image


def obstacle() -> str | None:
    """Return why no container with Debian's Python in it can run here; None where one can."""
    found = find_runtime(tools.runtimes())
    if found.runtime is None:
        return found.reason
    return None if shutil.which("debootstrap") else "debootstrap is not installed"


def runtime() -> OciRuntime:
    """Return the runtime; skip the test where there is none."""
    if why := obstacle():
        pytest.skip(f"no true containers here: {why}")
    found = find_runtime(tools.runtimes()).runtime
    assert found is not None
    return found


def way(mode: Mode, folder: Path, server: str, environment: Mapping[str, str]) -> Way:
    """Return a way; skip the test where it is not there.

    Args:
        mode: which.
        folder: for what it needs.
        server: the program that its image runs.
        environment: of the image.
    """
    if mode == "process":
        return Way(mode)
    made = python_image(folder, {"srv/server.py": server.encode()}, environment=environment)
    return Way(mode, runtime(), made, folder / "roots")


@dataclass
class Member:
    """One entry of a layer: a file, unless it says otherwise."""

    name: str
    content: bytes = b""
    kind: bytes = tarfile.REGTYPE
    link: str = ""
    mode: int = READABLE
    uid: int = 0
    pax: dict[str, str] = field(default_factory=dict)


def layer(path: Path, *members: Member, compress: bool = True) -> str:
    """Write a layer; return its diff ID."""
    sink = io.BytesIO()
    with tarfile.open(fileobj=sink, mode="w") as tar:
        for one in members:
            info = tarfile.TarInfo(one.name)
            info.type, info.linkname, info.mode, info.uid = one.kind, one.link, one.mode, one.uid
            info.size = len(one.content)
            tar.addfile(info, io.BytesIO(one.content))
    plain = sink.getvalue()
    path.write_bytes(gzip.compress(plain, mtime=0) if compress else plain)
    return f"sha256:{hashlib.sha256(plain).hexdigest()}"


def python_image(
    folder: Path,
    files: Mapping[str, bytes],
    *,
    environment: Mapping[str, str],
    entrypoint: tuple[str, ...] = ("python3", "-S", "/srv/server.py"),
    user: str = "",
) -> ImageHere:
    """Return an image of Debian's Python and files of one's own; skip the test where there can be none."""
    runtime()
    layout = base.layout()
    index = json.loads((layout / "index.json").read_text())
    manifest = json.loads(blob(layout, index["manifests"][0]["digest"]).read_text())
    below = json.loads(blob(layout, manifest["config"]["digest"]).read_text())
    own = folder / "own.tar.gz"
    diff_id = layer(own, *(Member(name, content) for name, content in files.items()))
    config = {
        **below,
        "config": {
            "Entrypoint": list(entrypoint),
            "Env": [*below["config"]["Env"], *(f"{name}={value}" for name, value in environment.items())],
            "User": user,
        },
        "rootfs": {"type": "layers", "diff_ids": [*below["rootfs"]["diff_ids"], diff_id]},
    }
    digest = f"sha256:{hashlib.sha256(json.dumps(config).encode()).hexdigest()}"
    return ImageHere(config, (*(blob(layout, one["digest"]) for one in manifest["layers"]), own), digest)


def blob(layout: Path, digest: str) -> Path:
    """Return where a blob lies in an OCI layout."""
    return layout / "blobs" / digest.replace(":", "/")
