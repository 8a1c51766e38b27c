"""Stand for PyTorch where the prebuilt image is played: just the names that its serving stack looks up.

The stack imports torch in two places: TorchServe's message handler asks of each part of an answer whether it is a
`torch.Tensor`, and the toolkit's default handlers, which Sealift's four functions replace, compute with it. No function
of Sealift's uses torch, so a type that no value has makes the same answers as the true package. What it does not tell
is the memory and the time that importing the true one takes. Everything else is refused by its absence: whatever uses
more of torch fails with AttributeError.
"""

from __future__ import annotations

__version__ = "2.0.0+stub"


class Tensor:
    """No value is one."""
