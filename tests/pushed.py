"""Small images, and how they come into a repository of the local cloud: by ECR's own API."""

from __future__ import annotations

import contextlib
import gzip
import hashlib
import io
import json
import tarfile
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pipeline.image.manifest import (
    DOCKER_CONFIG,
    DOCKER_LAYER,
    DOCKER_MANIFEST,
    Descriptor,
    Manifest,
    digest_of,
)

if TYPE_CHECKING:
    from mypy_boto3_ecr import ECRClient

PART = 10 << 20


@dataclass(frozen=True)
class Image:
    """An image in memory."""

    config: bytes
    layers: tuple[bytes, ...]
    media_type: str = DOCKER_MANIFEST

    @property
    def manifest(self) -> str:
        """Return its manifest."""
        config = Descriptor(DOCKER_CONFIG, digest_of(self.config), len(self.config))
        layers = tuple(Descriptor(DOCKER_LAYER, digest_of(one), len(one)) for one in self.layers)
        return Manifest(config, layers, self.media_type).render().decode()

    @property
    def digest(self) -> str:
        """Return the digest of its manifest."""
        return digest_of(self.manifest.encode())


def layer(**files: bytes) -> bytes:
    """Return a layer with these files, the same bytes for the same files."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as tar:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    return gzip.compress(packed.getvalue(), mtime=0)


def image(*layers: bytes, architecture: str = "amd64", media_type: str = DOCKER_MANIFEST) -> Image:
    """Return an image of layers; of a small one when there is none."""
    held = layers or (layer(serve=b"#!/bin/sh\n"),)
    ids = [f"sha256:{hashlib.sha256(gzip.decompress(one)).hexdigest()}" for one in held]
    config = {
        "architecture": architecture,
        "os": "linux",
        "config": {"Entrypoint": ["/serve"]},
        "rootfs": {"type": "layers", "diff_ids": ids},
    }
    return Image(json.dumps(config).encode(), held, media_type)


def upload(ecr: ECRClient, repository: str, blob: bytes, *, part: int = PART) -> str:
    """Upload a blob by parts; return its digest."""
    begun = ecr.initiate_layer_upload(repositoryName=repository)["uploadId"]
    for first in range(0, len(blob), part):
        piece = blob[first : first + part]
        ecr.upload_layer_part(
            repositoryName=repository,
            uploadId=begun,
            partFirstByte=first,
            partLastByte=first + len(piece) - 1,
            layerPartBlob=piece,
        )
    return ecr.complete_layer_upload(
        repositoryName=repository, uploadId=begun, layerDigests=[digest_of(blob)]
    )["layerDigest"]


def push(ecr: ECRClient, repository: str, tag: str, pushed: Image | None = None) -> str:
    """Push an image into a repository, which is made when it is not there; return the image's digest."""
    pushed = pushed or image()
    with contextlib.suppress(ecr.exceptions.RepositoryAlreadyExistsException):
        ecr.create_repository(repositoryName=repository)
    blobs = {digest_of(one): one for one in (pushed.config, *pushed.layers)}
    found = ecr.batch_check_layer_availability(repositoryName=repository, layerDigests=list(blobs))["layers"]
    there = {one["layerDigest"] for one in found if one["layerAvailability"] == "AVAILABLE"}
    for digest, blob in blobs.items():
        if digest not in there:
            upload(ecr, repository, blob)
    with contextlib.suppress(ecr.exceptions.ImageAlreadyExistsException):
        ecr.put_image(
            repositoryName=repository,
            imageManifest=pushed.manifest,
            imageTag=tag,
            imageManifestMediaType=pushed.media_type,
        )
    return pushed.digest
