"""What a manifest that is put into a repository says: its kind, and which blobs or images must be there.

Pure. Owns what ECR takes as a manifest and what it refuses. Refuses to know what is there.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from local_cloud.ecr import texts
from local_cloud.ecr.refusals import EcrRefused, invalid
from pipeline.image.manifest import INDEXES, MANIFESTS, Descriptor, digest_of

if TYPE_CHECKING:
    from collections.abc import Mapping

MOST_LAYERS: Final = 127
"""Of an image; that there is a limit was seen (`texts.TOO_MANY_LAYERS`), that it is Docker's own is assumed."""


@dataclass(frozen=True, slots=True)
class StoredManifest:
    """A manifest that can be stored."""

    text: str
    media_type: str
    digest: str
    config: Descriptor | None
    """None of a list of manifests."""
    layers: tuple[Descriptor, ...] = ()
    images: tuple[Descriptor, ...] = ()
    """The images of a list of manifests."""

    @property
    def blobs(self) -> tuple[str, ...]:
        """Return the digests of all that must be there, each once."""
        config = () if self.config is None else (self.config,)
        return tuple(dict.fromkeys(one.digest for one in (*config, *self.layers)))

    @property
    def size(self) -> int:
        """Return the bytes that are stored for it, the manifest left out; 0 of a list."""
        return (self.config.size if self.config else 0) + sum(layer.size for layer in self.layers)


def read(text: str, stated: str | None) -> StoredManifest:
    """Return what a manifest says.

    Args:
        text: the manifest.
        stated: the media type that the request names.

    Raises:
        EcrRefused: it is no manifest that ECR takes.
    """
    try:
        document = json.loads(text)
    except ValueError:
        raise _wrong(texts.INVALID_JSON) from None
    if not isinstance(document, dict):
        raise _wrong(texts.INVALID_JSON)
    media_type = document.get("mediaType") or stated
    if media_type is None:
        raise _wrong(texts.INVALID_JSON)
    if stated is not None and stated != media_type:
        raise _wrong("The media type of the request is not that of the manifest")
    if document.get("schemaVersion") != 2 or media_type not in (*MANIFESTS, *INDEXES):
        raise _wrong(f"Unsupported manifest media type {media_type}")
    digest = digest_of(text.encode())
    if media_type in INDEXES:
        images = tuple(_descriptor(one) for one in _listed(document, "manifests"))
        return StoredManifest(text, media_type, digest, None, images=images)
    layers = tuple(_descriptor(one) for one in _listed(document, "layers"))
    if len(layers) > MOST_LAYERS:
        raise _wrong(texts.TOO_MANY_LAYERS)
    return StoredManifest(text, media_type, digest, _descriptor(document.get("config")), layers)


def _listed(document: Mapping[str, Any], name: str) -> list[Any]:
    found = document.get(name)
    if not isinstance(found, list):
        raise _wrong(f"{name} is missing or no list")
    return found


def _descriptor(document: Any) -> Descriptor:
    try:
        media_type, digest, size = document["mediaType"], document["digest"], document["size"]
    except (KeyError, TypeError):
        raise _wrong("A descriptor needs mediaType, digest and size") from None
    right = isinstance(media_type, str) and isinstance(digest, str) and type(size) is int and size >= 0
    if not right:
        raise _wrong("A descriptor has a mediaType, a digest or a size of the wrong type")
    return Descriptor(media_type, digest, size)


def _wrong(rule: str) -> EcrRefused:
    return invalid(texts.constraint("ImageManifest", rule))
