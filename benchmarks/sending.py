"""The way of large layers into a registry: seconds, and the memory that it takes whoever sends them.

Owns the two ways, HTTP to Debian's registry and ECR's API to the local cloud. `bench_image` has the table.
"""

from __future__ import annotations

import contextlib
import subprocess
import sys
from typing import TYPE_CHECKING, Final

from benchmarks.bench_archive import ROOT, run

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tools.image_test.registry import LocalRegistry

ECR: Final = "123456789012.dkr.ecr.us-east-1.amazonaws.com"
SEND: Final = """
import hashlib, os, sys, time
from functools import partial
from pipeline.aws.clients import Clients
from pipeline.image import manifest, push, registries
from pipeline.image.base import parse
from pipeline.image.blobs import Image, LayerBlob
from pipeline.image.manifest import Descriptor, Manifest
reference, url, *paths = sys.argv[1:]
layers = []
for path in paths:
    with open(path, "rb") as file:
        digest = "sha256:" + hashlib.file_digest(file, "sha256").hexdigest()
    blob = Descriptor(manifest.DOCKER_LAYER, digest, os.path.getsize(path))
    layers.append(LayerBlob(blob, digest, partial(open, path, "rb")))
config = b"{}"
blob = Descriptor(manifest.DOCKER_CONFIG, manifest.digest_of(config), len(config))
image = Image(Manifest(blob, tuple(one.descriptor for one in layers)), config, tuple(layers))
client = None
if url:
    given = {"aws_access_key_id": "local", "aws_secret_access_key": "local"}
    client = Clients(endpoint_url=url, region="us-east-1", credentials=given).registry
    client.create_repository(repositoryName=parse(reference).repository)
push.push(image, registries.connect(parse(reference), sleep=time.sleep, client=client), "one")
"""
"""The digests of the layers are reckoned on the way, as whoever builds an image has done before."""


def over_http(folder: Path, registry: LocalRegistry, layers: tuple[Path, ...]) -> tuple[float, float]:
    """Return the seconds and the MiB at the peak of a push of these files as layers into Debian's registry."""
    return run([sys.executable, "-c", SEND, f"{registry.address}/sent", "", *map(str, layers)], folder)


def into_ecr(folder: Path, layers: tuple[Path, ...]) -> tuple[float, float]:
    """Return the same of a push into the local cloud's ECR, by ECR's API, in a process of its own."""
    with _local_cloud() as url:
        return run([sys.executable, "-c", SEND, f"{ECR}/sent", url, *map(str, layers)], folder)


@contextlib.contextmanager
def _local_cloud() -> Iterator[str]:
    command = [sys.executable, "-u", "-m", "sealift", "local", "up", "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT) as process:
        try:
            url = ""
            for line in process.stdout or ():
                if line.startswith("endpoint URL"):
                    url = line.split()[-1]
                if "ends it" in line:
                    break
            yield url
        finally:
            process.terminate()
            process.communicate(timeout=120)
