"""A replica of the prebuilt image, as an image: a Debian root with Java, AWS's toolkit and TorchServe in it.

Owns what it is made of: Debian's packages (`tools/image_test/base.py` bootstraps them), the Python and the packages
that `make contract` installed, and the image's own entry point, environment and folders, as its Dockerfile has them. It
is not AWS's image: Debian's glibc and Java stand for Ubuntu's, and torch may be a stub. Which files the true one lets a
user write who is not root is ASSUMED to be none, as nothing in its Dockerfile says otherwise.

Refuses to be made where the stack's Python is the system's own, which cannot be taken elsewhere.
"""

from __future__ import annotations

import hashlib
import io
import json
import subprocess
import tarfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from pipeline.image import layout
from tools.image_test import base

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tools.contract.container import Stack

RECIPE: Final = base.Recipe(
    packages=(
        "ca-certificates",
        "openjdk-17-jre-headless",
        "libssl3",
        "libffi8",
        "libsqlite3-0",
        "libreadline8",
        "libncursesw6",
        "libbz2-1.0",
        "liblzma5",
        "zlib1g",
        "libuuid1",
        "libexpat1",
        "libgomp1",
    )
)
"""What Python and TorchServe need of the system."""

CONDA: Final = "opt/conda"
"""Where the image has its Python."""
MODEL_SERVER: Final = "home/model-server"
TEMPORARY: Final = f"{MODEL_SERVER}/tmp"  # noqa: S108 the image's own
_STUBS: Final = "opt/stubs"
_ENTRY_POINT: Final = "usr/local/bin/dockerd-entrypoint.py"
_SERVE: Final = b"from sagemaker_pytorch_serving_container import serving\n\nserving.main()\n"
_UNUSED: Final = frozenset({"test", "tests", "idlelib", "tkinter", "turtledemo", "ensurepip", "pip"})
"""Folders that no server imports."""


class NoReplicaError(Exception):
    """The stack cannot be taken into an image; the message says why."""


@dataclass(frozen=True)
class Replica:
    """The image, as its files."""

    config: Mapping[str, Any]
    layers: tuple[Path, ...]
    digest: str


def build(stack: Stack, folder: Path, *, links: Mapping[str, str] | None = None, cwd: str = "/") -> Replica:
    """Return the replica.

    Args:
        stack: what `make contract` installed.
        folder: for the layers that are made here.
        links: paths in the image, and where symbolic links there lead: a derived image.
        cwd: the working directory; the image's is `/`.

    Raises:
        NoReplicaError: the stack's Python cannot be moved.
    """
    below = layout.read(base.layout(RECIPE))
    blobs = base.layout(RECIPE) / "blobs"
    serving, derived = folder / "serving.tar", folder / f"{len(links or ())}-links.tar"
    if not serving.exists():
        _write_stack(stack, serving)
    with tarfile.open(derived, "w") as tar:
        for path, target in (links or {}).items():
            member = tarfile.TarInfo(path)
            member.type, member.linkname = tarfile.SYMTYPE, target
            tar.addfile(member)
    lower = [blobs / one.descriptor.digest.replace(":", "/") for one in below.layers]
    diff_ids = [*(one.diff_id for one in below.layers), _sum(serving), _sum(derived)]
    config = {
        "architecture": json.loads(below.config)["architecture"],
        "os": "linux",
        "config": {
            "Entrypoint": ["python", f"/{_ENTRY_POINT}"],
            "WorkingDir": cwd,
            "Env": [
                f"PATH=/{CONDA}/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
                "LANG=C.UTF-8",
                f"LD_LIBRARY_PATH=/{CONDA}/lib",
                "PYTHONUNBUFFERED=TRUE",
                "PYTHONDONTWRITEBYTECODE=1",
                f"PYTHONPATH=/{_STUBS}",
                f"TEMP=/{TEMPORARY}",
                "SAGEMAKER_SERVING_MODULE=sagemaker_pytorch_serving_container.serving:main",
            ],
        },
        "rootfs": {"type": "layers", "diff_ids": diff_ids},
    }
    digest = f"sha256:{hashlib.sha256(json.dumps(config).encode()).hexdigest()}"
    return Replica(config, (*lower, serving, derived), digest)


def _write_stack(stack: Stack, path: Path) -> None:
    """Write the layer of Python, its packages and the entry point."""
    said = subprocess.run(
        [stack.python, "-c", "import sys; print(sys.base_prefix, '%d.%d' % sys.version_info[:2])"],
        capture_output=True,
        text=True,
        check=True,
    )
    prefix, version = said.stdout.split()
    if prefix in ("/", "/usr"):
        raise NoReplicaError(f"the stack's Python {version} is this system's own, in {prefix}")
    library = f"lib/python{version}"
    with tarfile.open(path, "w") as tar:
        tar.add(Path(prefix) / "bin" / f"python{version}", f"{CONDA}/bin/python{version}", filter=_plain)
        for name in ("python", "python3"):
            link = tarfile.TarInfo(f"{CONDA}/bin/{name}")
            link.type, link.linkname = tarfile.SYMTYPE, f"python{version}"
            tar.addfile(link)
        for shared in sorted((Path(prefix) / "lib").glob("libpython*")):
            tar.add(shared, f"{CONDA}/lib/{shared.name}", filter=_plain)
        tar.add(Path(prefix) / library, f"{CONDA}/{library}", filter=_needed)
        packages = stack.python.parents[1] / library / "site-packages"
        tar.add(packages, f"{CONDA}/{library}/site-packages", filter=_needed)
        # Its programs name the Python of this machine in their first lines.
        torchserve = _text(stack.python.parent / "torchserve", f"/{CONDA}/bin/python")
        _add(tar, f"{CONDA}/bin/torchserve", torchserve, 0o755)
        tar.add(stack.torch, _STUBS, filter=_plain)
        _add(tar, _ENTRY_POINT, _SERVE, 0o644)
        for name in (MODEL_SERVER, TEMPORARY):
            made = tarfile.TarInfo(name)
            made.type, made.mode = tarfile.DIRTYPE, 0o755
            tar.addfile(made)


def _text(script: Path, python: str) -> bytes:
    _, _, rest = script.read_bytes().partition(b"\n")
    return f"#!{python}\n".encode() + rest


def _add(tar: tarfile.TarFile, name: str, content: bytes, mode: int) -> None:
    member = tarfile.TarInfo(name)
    member.size, member.mode = len(content), mode
    tar.addfile(member, io.BytesIO(content))


def _plain(member: tarfile.TarInfo) -> tarfile.TarInfo:
    member.uid = member.gid = 0
    member.uname = member.gname = ""
    return member


def _needed(member: tarfile.TarInfo) -> tarfile.TarInfo | None:
    name = member.name.rpartition("/")[2]
    unused = name in _UNUSED and "site-packages" not in member.name.rpartition("/")[0]
    return None if unused or name.startswith("config-3") else _plain(member)


def _sum(path: Path) -> str:
    with path.open("rb") as file:
        return f"sha256:{hashlib.file_digest(file, 'sha256').hexdigest()}"
