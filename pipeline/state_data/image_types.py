"""An image that is being made, as the record of it has it: its upload, its layer, and for which execution it is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

RECORD_VERSION: Final = 1


@dataclass(frozen=True, slots=True)
class BegunUpload:
    """An upload of a layer that ECR has begun."""

    upload_id: str
    part_bytes: int
    """Of each part but the last."""
    received: int = 0
    """Bytes that ECR is known to have."""


@dataclass(frozen=True, slots=True)
class MadeLayer:
    """A layer whose bytes have all been seen."""

    digest: str
    diff_id: str
    """The name of the tar in it."""
    size: int
    """As it is stored."""


@dataclass(frozen=True, slots=True)
class ImageRecord:
    """One image's."""

    execution: str
    """The ARN of the execution that claimed it last."""
    version: int = RECORD_VERSION
    maker: str = ""
    """The one that has put the tag; empty while nobody has."""
    upload: BegunUpload | None = None
    """The layer's, while it is not complete."""
    layer: MadeLayer | None = None
    """Once all of its bytes have been sent."""
    calls: int = 0
    """How often a function has worked on it since it was begun."""
