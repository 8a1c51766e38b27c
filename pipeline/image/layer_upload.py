"""A layer's way into ECR while it is made: parts in their order, one being sent while the next is filled.

Owns the order, and that what ECR says of how far it has come counts, whatever was written down. Refuses to know what
the bytes are (`model_layer` does) and ECR's words (`ecr` does). ECR knows no call that gives an upload up: what nobody
completes it forgets by itself.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Protocol, Self

if TYPE_CHECKING:
    from concurrent.futures import Future
    from types import TracebackType

    from pipeline.image.model_layer import LayerPart


class Parts(Protocol):
    """Who takes the parts of a layer: `ecr.EcrRepository`."""

    def send_part(self, upload_id: str, at: int, body: bytes | bytearray) -> int | None:
        """Send a part; return how many bytes have arrived by now, None when the upload is not known any more."""


class UploadLost(Exception):
    """ECR does not know the upload any more, or has less of it than it had: it begins again."""


class LayerUpload:
    """Sends parts in their order; leaving the block waits for the one that is under way, and completes nothing.

    Args:
        parts: who takes them.
        upload_id: of the upload that was begun.
        received: bytes that are known to have arrived.
    """

    def __init__(self, parts: Parts, upload_id: str, received: int) -> None:
        self.received = received
        """Bytes that have arrived; all of them after `settle`."""
        self.sent = 0
        """Bytes that were sent by this object."""
        self._parts = parts
        self._upload_id = upload_id
        self._worker = ThreadPoolExecutor(1, "layer-upload")
        self._under_way: Future[None] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._worker.shutdown(wait=True)

    def send(self, part: LayerPart) -> None:
        """Send the next part, after the one before it has arrived.

        Raises:
            UploadLost: the upload is not known any more.
            SealiftError: the part before was refused.
        """
        self.settle()
        self._under_way = self._worker.submit(self._send, part)

    def settle(self) -> None:
        """Wait until all that was given has arrived; raises what `send` does."""
        pending, self._under_way = self._under_way, None
        if pending is not None:
            pending.result()

    def _send(self, part: LayerPart) -> None:
        # More than was known may be there already: the answer to an earlier try was lost, or somebody sends the same.
        while self.received < part.end:
            at = max(self.received, part.first)
            has = self._parts.send_part(self._upload_id, at, part.data[at - part.first :])
            if has is None or has <= at:
                raise UploadLost
            if has >= part.end:
                self.sent += part.end - at
            self.received = has
