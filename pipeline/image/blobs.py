"""An image as it is held before it is sent: its manifest, its configuration, and how each layer's bytes are opened.

Owns the two nouns that building, pushing and layouts share. Refuses to know where the bytes lie.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pipeline.image.manifest import Descriptor, Manifest
    from pipeline.image.registry import Content


@dataclass(frozen=True, slots=True)
class LayerBlob:
    """A layer, compressed as it is stored and sent."""

    descriptor: Descriptor
    diff_id: str
    """The digest of its tar, not compressed."""
    open: Content
    """Opens the compressed bytes, which can be sought in. Of a base's layer the first call may fetch it."""
    origin: str = ""
    """Of a base's layer: `Registry.name` of where it lies, so that one who pushes there may mount it. Else empty."""


@dataclass(frozen=True, slots=True)
class Image:
    """An image of one architecture, whole."""

    manifest: Manifest
    """By Docker's media types; `manifest.render()` is what is stored, `manifest.digest` its name."""
    config: bytes
    """What `manifest.config` names."""
    layers: tuple[LayerBlob, ...]
    """All of `manifest.layers`, in their order: the base's first."""
