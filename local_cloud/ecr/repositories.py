"""What repositories hold: layers, uploads, images and tags, and what becomes of each.

Owns ECR's rules for them. The repositories themselves are moto's, with their settings; what one holds hangs on moto's
own record of it, so it goes when that goes, whichever way. Refuses to read requests and to write answers (`service`).
"""

from __future__ import annotations

import threading
from contextlib import contextmanager
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any, Final

from moto.ecr.exceptions import RepositoryNotEmptyException
from moto.ecr.models import ECRBackend, Repository, ecr_backends

from local_cloud.ecr import texts
from local_cloud.ecr.refusals import EcrRefused
from pipeline.limits import LAYER_PART, LAYER_PARTS, LEAST_LAYER_PART

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from moto.core.exceptions import ServiceException

    from local_cloud.ecr.blobs import Blob, Blobs, LayerInParts
    from local_cloud.ecr.manifests import StoredManifest

_HELD: Final = "sealift_contents"
"""Where moto's record of a repository keeps what it holds."""
PART_BYTES: Final = LAYER_PART.value
"""That ECR asks for, and the most that its quota allows, though the API's model takes twice as much
(https://docs.aws.amazon.com/AmazonECR/latest/userguide/service-quotas.html)."""
LEAST_PART_BYTES: Final = LEAST_LAYER_PART.value
"""Of all parts but the last."""
KEPT_S: Final = 86_400.0
"""Seconds that an upload lasts, and a layer that no image has. ECR says no more than that such layers may be cleaned
up at any time; a day is assumed."""


@dataclass(frozen=True, slots=True)
class EcrQuotas:
    """What an account may have (the user guide's service quotas)."""

    layer_parts: int = LAYER_PARTS.value
    images: int = 100_000
    """Of a repository."""
    tags: int = 1_000
    """Of an image."""


@dataclass(frozen=True, slots=True)
class StoredLayer:
    """A blob in a repository."""

    blob: Blob
    since: float


@dataclass(slots=True)
class RepositoryImage:
    """An image in a repository."""

    manifest: StoredManifest
    pushed: float
    pulled: float | None = None
    scanned: float | None = None


@dataclass(slots=True)
class RepositoryContents:
    """What one repository holds."""

    name: str
    registry: str
    layers: dict[str, StoredLayer] = field(default_factory=dict)
    """By digest."""
    uploads: dict[str, LayerInParts] = field(default_factory=dict)
    images: dict[str, RepositoryImage] = field(default_factory=dict)
    """By digest, oldest first."""
    tags: dict[str, str] = field(default_factory=dict)
    """The digest that each tag is of."""
    lock: threading.RLock = field(default_factory=threading.RLock)

    def tags_of(self, digest: str) -> list[str]:
        """Return the tags of an image."""
        return [tag for tag, of in self.tags.items() if of == digest]

    def size(self, image: RepositoryImage) -> int:
        """Return an image's bytes as DescribeImages tells them: of a list, those of its largest image."""
        listed = (self.images.get(one.digest) for one in image.manifest.images)
        return max((self.size(one) for one in listed if one is not None), default=image.manifest.size)

    def find(self, digest: str | None, tag: str | None) -> RepositoryImage | None:
        """Return the image with a digest or a tag, or both; None when there is none."""
        if tag is not None:
            of = self.tags.get(tag)
            return None if of is None or digest not in (None, of) else self.images[of]
        return self.images.get(digest or "")

    def upload(self, identity: str) -> LayerInParts:
        """Return an upload in progress; raise UploadNotFoundException."""
        found = self.uploads.get(identity)
        if found is None:
            raise EcrRefused("UploadNotFoundException", texts.no_upload(identity, self.name, self.registry))
        return found

    @contextmanager
    def _changing(self, identity: str) -> Iterator[LayerInParts]:
        """Give an upload that nobody else changes meanwhile, and that nobody has completed while this waited."""
        upload = self.upload(identity)
        with upload.lock:
            self.upload(identity)
            yield upload

    def expire(self, now: float) -> None:
        """Drop the uploads and the layers without an image whose time is over."""
        with self.lock:
            for identity in [key for key, one in self.uploads.items() if now - one.began >= KEPT_S]:
                self.uploads.pop(identity).discard()
            used = set(self._used())
            for digest in [key for key, one in self.layers.items() if now - one.since >= KEPT_S]:
                if digest not in used:
                    del self.layers[digest]

    def append(self, blobs: Blobs, identity: str, first: int, last: int, data: bytes, *, most: int) -> int:
        """Take a part of an upload; return the position of the last byte that is there.

        Raises:
            EcrRefused: there is no such upload, the part does not follow the last one or has no good size.
            NoRoom: the disk is full.
        """
        with self._changing(identity) as upload:
            why = None
            if first != upload.size:
                why = f"it begins at {first}, wanted {upload.size}"
            elif last - first + 1 != len(data):
                why = f"it has {len(data)} bytes, wanted {last - first + 1}"
            elif not data or len(data) > PART_BYTES:
                why = f"it has {len(data)} bytes, wanted 1 to {PART_BYTES}"
            if why is not None:
                raise EcrRefused(
                    "InvalidLayerPartException",
                    texts.invalid_part(identity, self.name, self.registry, why),
                    {
                        "registryId": self.registry,
                        "repositoryName": self.name,
                        "uploadId": identity,
                        "lastValidByteReceived": upload.size - 1,
                    },
                )
            if upload.parts >= most:
                raise EcrRefused("LimitExceededException", texts.too_many_parts(identity, most))
            blobs.append(upload, data)
            return upload.size - 1

    def complete(self, blobs: Blobs, identity: str, digests: list[str], now: float) -> str:
        """Make a layer of an upload; return its digest. A refusal leaves the upload as it is."""
        with self._changing(identity) as upload, self.lock:
            if not upload.parts:
                raise EcrRefused("EmptyUploadException", texts.no_parts(identity, self.name, self.registry))
            if upload.smallest_before_last is not None and upload.smallest_before_last < LEAST_PART_BYTES:
                raise EcrRefused("LayerPartTooSmallException", texts.PART_TOO_SMALL)
            digest = upload.digest
            if digest not in digests:
                raise EcrRefused("InvalidLayerException", texts.wrong_layer(digests, digest))
            if digest in self.layers:
                raise EcrRefused(
                    "LayerAlreadyExistsException", texts.layer_exists(digest, self.name, self.registry)
                )
            del self.uploads[identity]
            self.layers[digest] = StoredLayer(blobs.finish(upload), now)
            return digest

    def used(self, digest: str) -> bool:
        """Return whether an image has a layer, or has it as its configuration."""
        return digest in self._used()

    def put(
        self, manifest: StoredManifest, tag: str | None, now: float, quotas: EcrQuotas, *, fixed: bool
    ) -> RepositoryImage:
        """Store an image and let a tag name it; return it.

        Args:
            manifest: of the image.
            tag: None for none; another image loses it.
            now: seconds since 1970.
            quotas: of the account.
            fixed: whether the tag, once it is there, stays where it is.

        Raises:
            EcrRefused: something that it names is missing, it is there already, or too much is.
        """
        with self.lock:
            self._require(manifest)
            digest = manifest.digest
            there = self.images.get(digest)
            if there is not None and (tag is None or self.tags.get(tag) == digest):
                raise EcrRefused(
                    "ImageAlreadyExistsException",
                    texts.image_exists(digest, tag, self.name, self.registry),
                )
            if tag in self.tags and fixed:
                raise EcrRefused("ImageTagAlreadyExistsException", texts.tag_exists(str(tag), self.name))
            if there is None and len(self.images) >= quotas.images:
                raise EcrRefused("LimitExceededException", texts.too_many("images", self.name, quotas.images))
            if tag is not None and len(self.tags_of(digest)) >= quotas.tags:
                raise EcrRefused(
                    "LimitExceededException", texts.too_many("tags of an image", self.name, quotas.tags)
                )
            if tag is not None:
                self.tags.pop(tag, None)
                self.tags[tag] = digest
            if there is None:
                there = self.images[digest] = RepositoryImage(manifest, now)
            return there

    def _require(self, manifest: StoredManifest) -> None:
        for kind, code, there, wanted in (
            ("Layers", "LayersNotFoundException", self.layers, manifest.blobs),
            (
                "Images",
                "ReferencedImagesNotFoundException",
                self.images,
                tuple(one.digest for one in manifest.images),
            ),
        ):
            missing = [digest for digest in wanted if digest not in there]
            if missing:
                raise EcrRefused(code, texts.required(kind, missing, self.name, self.registry))

    def listed_by(self, digest: str) -> str | None:
        """Return the digest of a list of manifests that names an image; None when none does."""
        return next(
            (
                own
                for own, image in self.images.items()
                if digest in {one.digest for one in image.manifest.images}
            ),
            None,
        )

    def untag(self, tag: str) -> None:
        """Take a tag away, and the image with its last one."""
        with self.lock:
            digest = self.tags.pop(tag)
            if not self.tags_of(digest):
                self.remove(digest)

    def remove(self, digest: str) -> None:
        """Take an image away, its tags, and the layers that no other image has."""
        with self.lock:
            for tag in self.tags_of(digest):
                del self.tags[tag]
            blobs = self.images.pop(digest).manifest.blobs
            used = set(self._used())
            for one in blobs:
                if one not in used:
                    self.layers.pop(one, None)

    def clear(self) -> None:
        """Drop everything."""
        with self.lock:
            for upload in self.uploads.values():
                upload.discard()
            for held in (self.layers, self.uploads, self.images, self.tags):
                held.clear()

    def _used(self) -> Iterator[str]:
        for image in self.images.values():
            yield from image.manifest.blobs


def contents(repository: Repository) -> RepositoryContents:
    """Return what one of moto's repositories holds."""
    held: RepositoryContents = vars(repository).setdefault(
        _HELD, RepositoryContents(repository.name, str(repository.registry_id))
    )
    return held


def find(registry: str, region: str, name: str) -> RepositoryContents | None:
    """Return what a repository holds; None when there is no such repository."""
    if registry not in ecr_backends or region not in ecr_backends[registry]:
        return None
    found = ecr_backends[registry][region].repositories.get(name)
    return None if found is None else contents(found)


def tags(arn: str) -> Mapping[str, str]:
    """Return the tags of a repository by its ARN; none for one that is not there."""
    region, registry, resource = arn.split(":", 5)[3:]
    name = resource.removeprefix("repository/")
    if find(registry, region, name) is None:
        return {}
    return {
        one["Key"]: one["Value"] for one in ecr_backends[registry][region].list_tags_for_resource(arn)["tags"]
    }


def fixes(settings: Mapping[str, Any], tag: str) -> bool:
    """Return whether a tag, once it is there, may not be moved.

    Args:
        settings: `mutability`, and `filters` of the tags that are excepted from it, with `*` for any characters.
        tag: the tag.

    Source: https://docs.aws.amazon.com/AmazonECR/latest/userguide/image-tag-mutability.html
    """
    fixed = str(settings["mutability"]).startswith("IMMUTABLE")
    excepted = any(fnmatchcase(tag, one) for one in settings["filters"])
    return fixed != excepted


def install() -> None:
    """Let moto refuse to delete what holds images, and drop what a repository held with it."""
    ECRBackend.delete_repository = _delete


_MOTOS_DELETE: Final[Any] = ECRBackend.delete_repository


def _delete(
    self: ECRBackend, repository_name: str, registry_id: str | None = None, force: bool = False
) -> Repository:
    found = self._get_repository(repository_name, registry_id)
    held = contents(found)
    if held.images and not force:
        refusal: ServiceException = RepositoryNotEmptyException(repository_name, str(found.registry_id))
        raise refusal
    gone: Repository = _MOTOS_DELETE(self, repository_name, registry_id, force)
    held.clear()
    return gone
