"""GGUF headers as values that can be changed one by one: what the differential tests are made of.

Owns the bytes of a header, and a good one for each architecture that the runtime knows. Refuses to judge any.
"""

from __future__ import annotations

import math
import struct
from dataclasses import dataclass, field, replace
from typing import Final

from pipeline.gguf.header import TENSOR_TYPES
from pipeline.gguf.hyperparameters import BY_ARCHITECTURE, COMMON, Key

KINDS: Final = {
    "uint8": 0,
    "int8": 1,
    "uint16": 2,
    "int16": 3,
    "uint32": 4,
    "int32": 5,
    "float32": 6,
    "bool": 7,
    "string": 8,
    "uint64": 10,
    "int64": 11,
    "float64": 12,
}
_CODES: Final = dict(zip(KINDS, "BbHhIif?_Qqd", strict=True))
LAYERS: Final = 2
HEADS: Final = 2
WIDTH: Final = 32


def string(text: str | bytes) -> bytes:
    """Return a GGUF string."""
    raw = text.encode() if isinstance(text, str) else text
    return struct.pack("<Q", len(raw)) + raw


@dataclass(frozen=True)
class Entry:
    """One metadata value; an array where `value` is a list."""

    kind: str
    value: object

    def pack(self) -> bytes:
        """Return type and value as they stand in a file."""
        if isinstance(self.value, list):
            items = b"".join(map(self._one, self.value))
            return struct.pack("<IIQ", 9, KINDS[self.kind], len(self.value)) + items
        return struct.pack("<I", KINDS[self.kind]) + self._one(self.value)

    def _one(self, value: object) -> bytes:
        return string(str(value)) if self.kind == "string" else struct.pack("<" + _CODES[self.kind], value)


@dataclass(frozen=True)
class Tensor:
    """One tensor info, without its place."""

    name: str
    shape: tuple[int, ...]
    kind: int = 0

    @property
    def bytes(self) -> int:
        """Return the bytes of its data; 0 for a type that is not known."""
        known = TENSOR_TYPES.get(self.kind)
        return math.prod(self.shape) // known.block * known.size if known else 0


@dataclass(frozen=True)
class Header:
    """A header that becomes bytes."""

    entries: dict[str, Entry]
    tensors: tuple[Tensor, ...] = (Tensor("token_embd.weight", (WIDTH, 8)),)
    version: int = 3
    alignment: int = 32
    placed: dict[str, int] = field(default_factory=dict)
    """Offsets of tensors that are not where they belong."""

    def pack(self) -> bytes:
        """Return the header and zeros for its data, where that is little."""
        infos, offset = [], 0
        for tensor in self.tensors:
            infos.append(
                string(tensor.name)
                + struct.pack(f"<I{len(tensor.shape)}Q", len(tensor.shape), *tensor.shape)
                + struct.pack("<IQ", tensor.kind, self.placed.get(tensor.name, offset) % (1 << 64))
            )
            offset += -(-tensor.bytes // self.alignment) * self.alignment
        packed = [string(key) + entry.pack() for key, entry in self.entries.items()]
        head = b"GGUF" + struct.pack("<IQQ", self.version, len(infos), len(packed))
        head += b"".join(packed) + b"".join(infos)
        return head + bytes(-len(head) % self.alignment) + bytes(offset if offset < 1 << 23 else 0)

    def having(self, key: str, entry: Entry | None) -> Header:
        """Return this header with another value of a key, or without the key."""
        entries = {name: value for name, value in self.entries.items() if name != key or entry is not None}
        return replace(self, entries=entries | ({key: entry} if entry is not None else {}))


# ------------------------------------------------------------------------------ good ones

_NUMBERS: Final = {
    "%s.block_count": LAYERS,
    "%s.embedding_length": WIDTH,
    "%s.attention.head_count": HEADS,
    "%s.expert_count": 4,
    "%s.expert_used_count": 2,
    "%s.nextn_predict_layers": 0,
    "%s.expert_group_count": 1,
    "%s.rope.dimension_count": WIDTH // HEADS,
    "%s.attention.key_length": WIDTH // HEADS,
    "%s.attention.value_length": WIDTH // HEADS,
}
"""Where another number would be refused."""


def good(architecture: str) -> Header:
    """Return a header that llama.cpp takes for one of this architecture, up to its tensors."""
    keys = [*COMMON, *BY_ARCHITECTURE[architecture]]
    entries = {"general.architecture": Entry("string", architecture)}
    for key in keys:
        if key.required or key.name in ("%s.attention.head_count", "%s.expert_count", "%s.expert_used_count"):
            entries[key.name.replace("%s", architecture)] = entry(key)
    entries |= {
        name.replace("%s", architecture): value for name, value in SPECIAL.get(architecture, {}).items()
    }
    return Header(entries | VOCABULARY)


def entry(key: Key, kind: str | None = None) -> Entry:
    """Return a value of this key; of its own type, or of this one."""
    number = _NUMBERS.get(key.name, 4)
    if kind is None and key.kind not in ("", "any"):
        return Entry(key.kind, _of(key.kind, number))
    if kind is not None and not kind.startswith("array of "):
        return Entry(kind, _of(kind, number))
    items = kind.removeprefix("array of ") if kind else key.items[0] if key.items[0] != "any" else "uint32"
    count = int(key.length) if key.length.isdecimal() else LAYERS
    return Entry(items, [_of(items, number)] * count)


def _of(kind: str, number: int) -> object:
    return {"string": "x", "bool": True}.get(kind, number)


VOCABULARY: Final = {
    "tokenizer.ggml.model": Entry("string", "llama"),
    "tokenizer.ggml.tokens": Entry("string", ["<unk>", "<s>", "</s>", "<0x0A>", "a", "b", "c", "d"]),
    "tokenizer.ggml.scores": Entry("float32", [0.0] * 8),
    "tokenizer.ggml.token_type": Entry("int32", [2, 3, 3, 6, 1, 1, 1, 1]),
}
SPECIAL: Final[dict[str, dict[str, Entry]]] = {
    "bailingmoe3": {"%s.kda.gate_lower_bound": Entry("float32", -4.0)},
    "cohere2moe": {"%s.attention.layer_norm_epsilon": Entry("float32", 1.0)},
    "deepseek2": {"%s.attention.q_lora_rank": Entry("uint32", 4)},
    "mistral4": {"%s.attention.q_lora_rank": Entry("uint32", 4)},
    "dflash": {"%s.target_layers": Entry("int32", [0, 1])},
    "eagle3": {"%s.target_layers": Entry("int32", [0, 1, 0])},
    "ernie4_5-moe": {
        "%s.expert_feed_forward_length": Entry("uint32", 4),
        "%s.interleave_moe_layer_step": Entry("uint32", 1),
    },
    "graniteswitch": {"%s.adapters.count": Entry("uint32", 2)},
    "hrm_text": {
        "%s.hrm.layers_per_stack": Entry("uint32", 1),
        "%s.hrm.h_cycles": Entry("uint32", 1),
        "%s.hrm.l_cycles": Entry("uint32", 1),
    },
    "wavtokenizer-dec": {
        f"%s.{name}": Entry("uint32", 2)
        for name in (
            "features_length",
            "posnet.embedding_length",
            "posnet.block_count",
            "convnext.embedding_length",
            "convnext.block_count",
        )
    },
}
"""What an architecture asks of the values of its keys, beyond their types."""
