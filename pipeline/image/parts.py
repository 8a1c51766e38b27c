"""A blob's bytes in parts: where each begins and ends, and reading any of them.

Owns that a part is read again, not held, when a registry wants it once more. Refuses to know who takes the parts.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, BinaryIO, Final, Self

from pipeline.errors import ImageTooLarge, Problem, WrongDigest
from pipeline.limits import LAYER_PART, LAYER_PARTS, LEAST_LAYER_PART, MiB

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import TracebackType

    from pipeline.image.manifest import Descriptor
    from pipeline.image.registry import Content

_SKIP: Final = MiB


def ecr_part(size: int, proposed: int) -> int:
    """Return the bytes of each part but the last of a layer for ECR.

    Args:
        size: of the layer.
        proposed: what InitiateLayerUpload answers; 0 where it says nothing.

    Raises:
        ImageTooLarge: not even the largest parts are few enough.
    """
    part = min(max(proposed or LAYER_PART.value, LEAST_LAYER_PART.value), LAYER_PART.value)
    while -(-size // part) > LAYER_PARTS.value and part < LAYER_PART.value:
        part = min(2 * part, LAYER_PART.value)
    most = LAYER_PARTS.value * LAYER_PART.value
    if size > most:
        problem = Problem(
            "LayerTooLarge",
            f"a layer of {size} bytes",
            f"at most {most}, {LAYER_PARTS.value} parts of {LAYER_PART.value} bytes",
            ImageTooLarge.fix,
        )
        raise ImageTooLarge("layer", [problem])
    return part


def ranges(size: int, part: int, start: int = 0) -> Iterator[tuple[int, int]]:
    """Yield where each part begins and ends, the end left out, from `start` on: nothing twice, nothing left out."""
    for at in range(start, size, part):
        yield at, min(at + part, size)


class BlobReader:
    """A blob's bytes from any place; opened when it is first read, and anew where it cannot go back."""

    def __init__(self, blob: Descriptor, content: Content) -> None:
        self._blob = blob
        self._content = content
        self._stream: BinaryIO | None = None
        self._at = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._stream is not None:
            self._stream.close()

    def read(self, start: int, end: int) -> bytes:
        """Return the bytes from `start` to `end`, the end left out.

        Raises:
            WrongDigest: the content is shorter than the blob.
        """
        stream = self._seek(start)
        pieces, wanted = [], end - start
        while wanted and (piece := stream.read(wanted)):
            pieces.append(piece)
            wanted -= len(piece)
            self._at += len(piece)
        if wanted:
            raise WrongDigest(
                f"{self._blob.digest}: its content ends after {self._at} of {self._blob.size} bytes; wanted all; "
                "build the image again"
            )
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def _seek(self, start: int) -> BinaryIO:
        if self._stream is not None and self._at != start and self._stream.seekable():
            self._stream.seek(start)
            self._at = start
        if self._stream is None or self._at > start:
            if self._stream is not None:
                self._stream.close()
            self._stream, self._at = self._content(), 0
            if start and self._stream.seekable():
                self._stream.seek(start)
                self._at = start
        while self._at < start:
            piece = self._stream.read(min(_SKIP, start - self._at))
            if not piece:
                break
            self._at += len(piece)
        return self._stream
