"""What the adapter has to know of a GGUF before llama-server loads it: what the model is for.

Owns the way through a GGUF's header (docs/gguf.md of ggml). Refuses to judge the file: llama-server says what is wrong
with it. What is not read leaves its field empty.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING, Any

from sealift_purpose import RANK, embeds, ranks, whole

if TYPE_CHECKING:
    from pathlib import Path

WITHOUT_CACHE = frozenset(
    {
        *("bert", "eurobert", "gemma-embedding", "jina-bert-v2", "jina-bert-v3", "modern-bert", "neo-bert"),
        *("nomic-bert", "nomic-bert-moe", "dream", "llada", "llada-moe", "rnd1", "wavtokenizer-dec"),
    }
)
"""Architectures that llama.cpp keeps no cache for: encoders, diffusion, a vocoder (create_memory)."""
DIFFUSION = frozenset({"dream", "llada", "llada-moe", "rnd1"})
"""Those of them that fill in masked text (llama_model_is_diffusion)."""

_SIZES = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}
_STRING, _ARRAY = 8, 9
_MOST_KEY = 65_535
_MOST_TEXT = 1 << 20
"""Bytes of a text that is read; a longer one is passed over."""


@dataclass(frozen=True)
class Header:
    """What of a header decides how llama-server is started."""

    architecture: str = ""
    name: str = ""
    pooling: int | None = None
    causal: bool = True
    trained_for: int = 0
    """Tokens of context; 0 when it is not told."""

    @property
    def _remembers(self) -> bool:
        return self.architecture not in WITHOUT_CACHE

    @property
    def embeds(self) -> bool:
        """Tell whether it is for embeddings."""
        return embeds(
            self.architecture,
            self.pooling,
            causal=self.causal,
            remembers=self._remembers,
            diffuses=self.architecture in DIFFUSION,
        )

    @property
    def ranks(self) -> bool:
        """Tell whether it scores documents for a query."""
        return ranks(self.architecture, self.pooling)

    @property
    def unserved(self) -> str | None:
        """Return what it is, when nothing here asks it for what it does; None for any other."""
        if self.pooling == RANK and not self.ranks:
            return (
                f"a reranker (pooling_type 4) of architecture {self.architecture!r}, of which llama.cpp knows no "
                "classifier; deploy one that it can rank with"
            )
        return None

    @property
    def whole(self) -> bool:
        """Tell whether a text to embed or to rank has to be evaluated at once."""
        return whole(self.pooling, causal=self.causal, remembers=self._remembers)


def read_header(path: Path) -> Header:
    """Return what a file's header tells; of one that cannot be read, nothing."""
    try:
        with path.open("rb") as file:
            return _header(dict(_fields(file)))
    except (OSError, struct.error, ValueError, OverflowError, MemoryError):
        return Header()


def _header(values: dict[str, Any]) -> Header:
    architecture = values.get("general.architecture")
    if not isinstance(architecture, str):
        return Header()
    name, pooling, trained = (
        values.get(key)
        for key in (
            "general.name",
            f"{architecture}.pooling_type",
            f"{architecture}.context_length",
        )
    )
    return Header(
        architecture,
        name if isinstance(name, str) else "",
        pooling if isinstance(pooling, int) else None,
        values.get(f"{architecture}.attention.causal") is not False,
        trained if isinstance(trained, int) else 0,
    )


def _fields(file: IO[bytes]) -> Any:
    magic, version = _read(file, 4), _number(file, "I")
    if magic != b"GGUF" or version not in (2, 3):
        raise ValueError
    _tensors, count = _number(file, "Q"), _number(file, "Q")
    for _ in range(count):
        key = _read(file, _bounded(_number(file, "Q"), _MOST_KEY)).decode("utf-8", errors="replace")
        yield key, _value(file, _number(file, "I"))


def _value(file: IO[bytes], kind: int) -> Any:
    """Return a value; None for a list and for a text that is too long, which are passed over."""
    if kind in _SIZES:
        return _number(file, _SIZES[kind])
    if kind == _STRING:
        length = _number(file, "Q")
        if length <= _MOST_TEXT:
            return _read(file, length).decode("utf-8", errors="replace")
        _skip(file, length)
        return None
    if kind != _ARRAY:
        raise ValueError
    of, count = _number(file, "I"), _number(file, "Q")
    if of in _SIZES:
        _skip(file, count * struct.calcsize(f"<{_SIZES[of]}"))
    elif of == _STRING:
        for _ in range(count):
            _skip(file, _number(file, "Q"))
    else:
        raise ValueError
    return None


def _bounded(number: int, most: int) -> int:
    if number > most:
        raise ValueError
    return number


def _number(file: IO[bytes], form: str) -> Any:
    (value,) = struct.unpack(f"<{form}", _read(file, struct.calcsize(f"<{form}")))
    return value


def _read(file: IO[bytes], length: int) -> bytes:
    content = file.read(length)
    if len(content) < length:
        raise ValueError
    return content


def _skip(file: IO[bytes], length: int) -> None:
    if length < 1 << 12:
        _read(file, length)
    else:
        file.seek(length, 1)
