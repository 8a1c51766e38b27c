"""In which numbers llama.cpp keeps keys and values of a context, and how many bytes each takes.

Owns that table, so that what checks a request ships no arithmetic. Refuses to add anything up: `llama_memory` and
`gpu_fit` do.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

F16: Final = "f16"
CACHE_TYPES: Final[Mapping[str, float]] = {F16: 2.0, "q8_0": 34 / 32, "q4_0": 18 / 32}
"""Bytes of a number (ggml-common.h: a block has 32 of them and a scale)."""
