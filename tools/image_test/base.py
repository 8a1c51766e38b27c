"""A base image that stands for Docker's `python:3.11-slim-bookworm`, made of Debian's packages on this machine.

Owns its recipe: the packages, what is left out, its one layer and its configuration. It lies as an OCI layout below
`.cache/image-test`, and is made again only when the recipe changes. The same root gives the same bytes, but Debian's
own updates change the root. Refuses to be the true one: its Python is Debian's 3.11, found as `/usr/local/bin/python`.
"""

from __future__ import annotations

import fcntl
import gzip
import hashlib
import json
import os
import shutil
import stat
import subprocess
import sys
import tarfile
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Final, cast

from tools.image_test import tools

if TYPE_CHECKING:
    from collections.abc import Iterator

ARCHITECTURES: Final = {"x86_64": ("amd64", "amd64"), "aarch64": ("arm64", "arm64")}
"""What Debian and what OCI call the machine's."""

LEFT_OUT: Final = (
    "var/cache/apt",
    "var/cache/debconf",
    "var/lib/apt/lists",
    "var/log",
    "usr/share/doc",
    "usr/share/man",
    "usr/share/info",
    "usr/share/locale",
    "usr/share/lintian",
)
"""Folders that stay empty in the layer: what installing leaves, and what nobody reads in a container."""

EPOCH: Final = 1_577_836_800
"""The time of every file in the layer, and of the image: 2020-01-01, so that the same root gives the same bytes."""


@dataclass(frozen=True, slots=True)
class Recipe:
    """What is bootstrapped."""

    suite: str = "bookworm"
    packages: tuple[str, ...] = ("python3", "ca-certificates")
    python: str = "3.11"
    revision: int = 1
    """Goes up when this file makes something else of the same packages."""

    def key(self, architecture: str) -> str:
        """Return the name of the folder that it is kept in."""
        text = json.dumps([self.suite, self.packages, self.python, self.revision, architecture])
        return f"{self.suite}-{hashlib.sha256(text.encode()).hexdigest()[:12]}"


PYTHON: Final = Recipe()
"""What stands for `python:3.11-slim-bookworm`."""

TAG: Final = "3.11-slim-bookworm"
"""Of the image in its layout, as the true one is called."""


def made(recipe: Recipe = PYTHON, cache: Path = tools.CACHE) -> bool:
    """Return whether `layout` has it already."""
    return (cache / recipe.key(os.uname().machine)).exists()


def layout(recipe: Recipe = PYTHON, cache: Path = tools.CACHE) -> Path:
    """Return the OCI layout of a recipe, bootstrapped on the first call (under a minute); its tag is `TAG`.

    Two processes that ask at once wait for each other.

    Raises:
        subprocess.CalledProcessError: when debootstrap ends with an error; its words are on standard error.
    """
    machine = os.uname().machine
    folder = cache / recipe.key(machine)
    cache.mkdir(parents=True, exist_ok=True)
    with (cache / f"{folder.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not folder.exists():
            # On the disk of the cache, which is renamed when it is whole; debootstrap refuses a mount without devices.
            with tempfile.TemporaryDirectory(dir=cache, prefix=f"{folder.name}.") as scratch:
                root, made = Path(scratch) / "root", Path(scratch) / "layout"
                _bootstrap(recipe, ARCHITECTURES[machine][0], root)
                _write(recipe, ARCHITECTURES[machine][1], root, made)
                made.rename(folder)
    return folder


def _bootstrap(recipe: Recipe, architecture: str, root: Path) -> None:
    command = [
        str(tools.find("debootstrap")),
        "--variant=minbase",
        f"--arch={architecture}",
        f"--keyring={tools.KEYRING}",
        f"--include={','.join(recipe.packages)}",
        recipe.suite,
        str(root),
    ]
    # Its many lines are wanted only when it fails. What it mounts goes with this process's own mounts.
    unshared = [str(tools.find("unshare")), "--mount", "--propagation", "private", *command]
    done = subprocess.run(unshared, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
    if done.returncode:
        sys.stderr.write(done.stdout.decode(errors="replace")[-4000:])
        done.check_returncode()
    for name in LEFT_OUT:
        shutil.rmtree(root / name, ignore_errors=True)
        (root / name).mkdir(parents=True)
    for cached in root.rglob("__pycache__"):
        shutil.rmtree(cached)
    local = root / "usr" / "local" / "bin"
    # As Docker's image has them, where they are programs of their own.
    (local / f"python{recipe.python}").symlink_to(f"../../bin/python{recipe.python}")
    (local / "python3").symlink_to(f"python{recipe.python}")
    (local / "python").symlink_to("python3")
    # Of this machine and of this minute.
    (root / "etc" / "hostname").write_text("localhost\n", encoding="ascii")
    (root / "etc" / "resolv.conf").unlink(missing_ok=True)
    (root / "etc" / "machine-id").unlink(missing_ok=True)
    shadow = root / "etc" / "shadow"
    lines = (line.split(":") for line in shadow.read_text(encoding="ascii").splitlines())
    dated = "".join(":".join([*fields[:2], str(EPOCH // 86400), *fields[3:]]) + "\n" for fields in lines)
    shadow.write_text(dated, encoding="ascii")


def _write(recipe: Recipe, architecture: str, root: Path, folder: Path) -> None:
    blobs = folder / "blobs" / "sha256"
    blobs.mkdir(parents=True)
    packed = folder / "layer"
    with packed.open("wb") as file:
        diff_id = pack(root, file)
    with packed.open("rb") as file:
        layer = hashlib.file_digest(file, "sha256").hexdigest()
    size = packed.stat().st_size
    packed.rename(blobs / layer)
    config = {
        "created": "2020-01-01T00:00:00Z",
        "architecture": architecture,
        "os": "linux",
        "config": {
            "Env": [
                "PATH=/usr/local/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
                "LANG=C.UTF-8",
                f"PYTHON_VERSION={recipe.python}",
            ],
            "Cmd": ["python3"],
        },
        "rootfs": {"type": "layers", "diff_ids": [f"sha256:{diff_id}"]},
        "history": [{"created": "2020-01-01T00:00:00Z", "created_by": f"debootstrap {recipe.suite}"}],
    }
    manifest = {
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": _blob(blobs, config, "application/vnd.oci.image.config.v1+json"),
        "layers": [
            {
                "mediaType": "application/vnd.oci.image.layer.v1.tar+gzip",
                "digest": f"sha256:{layer}",
                "size": size,
            }
        ],
    }
    named = _blob(blobs, manifest, manifest["mediaType"])
    named["annotations"] = {"org.opencontainers.image.ref.name": TAG}
    index = {"schemaVersion": 2, "manifests": [named]}
    (folder / "index.json").write_text(json.dumps(index), encoding="utf-8")
    (folder / "oci-layout").write_text('{"imageLayoutVersion": "1.0.0"}', encoding="utf-8")


def _blob(blobs: Path, document: Any, media_type: Any) -> dict[str, Any]:
    content = json.dumps(document).encode()
    digest = hashlib.sha256(content).hexdigest()
    (blobs / digest).write_bytes(content)
    return {"mediaType": media_type, "digest": f"sha256:{digest}", "size": len(content)}


def pack(root: Path, file: BinaryIO) -> str:
    """Write a folder as a layer, and return the SHA-256 of its tar.

    Members are in the order of names and have one time, so that the same files are the same bytes. By Python's own
    tar and gzip, so that the base owes nothing to what is tested.
    """
    hashed = _Hashing(gzip.GzipFile(filename="", mode="wb", fileobj=file, compresslevel=6, mtime=0))
    with tarfile.open(fileobj=cast("BinaryIO", hashed), mode="w|", format=tarfile.GNU_FORMAT) as archive:
        for path in walk(root):
            member = archive.gettarinfo(path, arcname=str(path.relative_to(root)))
            member.mtime = EPOCH
            member.uname = member.gname = ""
            if member.isreg():
                with path.open("rb") as content:
                    archive.addfile(member, content)
            else:
                archive.addfile(member)
    hashed.file.close()
    return hashed.digest.hexdigest()


def walk(root: Path) -> Iterator[Path]:
    """Yield all that a layer holds, in the order of names, a folder before what is in it.

    Devices and sockets are left out: whoever runs a container makes its own.
    """
    for path in sorted(root.iterdir()):
        mode = path.lstat().st_mode
        if stat.S_ISDIR(mode) or stat.S_ISREG(mode) or stat.S_ISLNK(mode):
            yield path
        if stat.S_ISDIR(mode):
            yield from walk(path)


class _Hashing:
    """A file that is written, and summed up on the way."""

    def __init__(self, file: gzip.GzipFile) -> None:
        self.file = file
        self.digest = hashlib.sha256()

    def write(self, content: bytes) -> int:
        self.digest.update(content)
        return self.file.write(content)
