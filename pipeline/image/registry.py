"""What any registry can do, whichever way it is spoken to.

Owns the five calls that images need. `distribution` speaks HTTP as registries specify it, `ecr` speaks ECR's own API.
Refuses to know what is in an image.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, BinaryIO, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from pipeline.image.manifest import Descriptor

Content = Callable[[], BinaryIO]
"""Opens a blob's bytes from their beginning; called again when an upload goes on after a break."""
Progress = Callable[[int], None]
"""Told how many bytes of a blob are there."""


class Registry(Protocol):
    """One repository of a registry."""

    name: str
    """As people write it: host and repository, without a tag."""

    def manifest(self, reference: str) -> tuple[str, bytes] | None:
        """Return the media type and the bytes behind a tag or a digest; None where there is none.

        Whoever asks by digest gets those bytes or a WrongDigest.
        """

    def missing(self, digests: Sequence[str]) -> set[str]:
        """Return which of these blobs are not there."""

    def read(self, blob: Descriptor) -> Iterator[bytes]:
        """Give a blob piece by piece; ends with WrongDigest when it was not what its digest says."""

    def mount(self, blob: Descriptor, origin: str) -> bool:
        """Take a blob over from another repository, `origin` as its `name` says, with no byte sent.

        Returns whether it is there now; False where the registry is another one, or does not do that.
        """

    def upload(self, blob: Descriptor, content: Content, progress: Progress) -> None:
        """Send a blob, going on where an earlier upload stopped if the registry still has it; nothing where it is."""

    def put_manifest(self, manifest: bytes, media_type: str, tag: str) -> None:
        """Store a manifest and let the tag name it; all that it names must be there."""
