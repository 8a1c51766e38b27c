"""The GGUF header: metadata, tensor infos and what follows from them.

Owns the wire format of GGUF 2 and 3, little endian, and the facts that the rest of Sealift derives from it:
architecture, quantisation, shapes, sizes. It refuses to read tensor data: sizes are computed from the tensor
infos. It does no I/O of its own: bytes are fed in as they arrive, and a header that claims 2^63 entries costs
no more than the bytes that are really there.

The checks follow those of llama.cpp (ggml/src/gguf.cpp), so that what is accepted here also loads there.
"""

from __future__ import annotations

import math
import struct
from collections import Counter
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Final, NamedTuple

from inference import sealift_models
from pipeline.errors import Problem
from pipeline.gguf import purpose
from pipeline.plain import plain

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Mapping

MAGIC: Final = b"GGUF"
VERSIONS: Final = (2, 3)
"""What llama.cpp reads: version 1 is "no longer supported", newer than 3 is unknown (gguf.cpp)."""
DEFAULT_ALIGNMENT: Final = 32
MAX_DIMENSIONS: Final = 4
"""GGML_MAX_DIMS."""
MAX_TENSOR_NAME: Final = 63
"""GGML_MAX_NAME without its NUL, in bytes."""

SHARD_NAME: Final = sealift_models.SHARD_NAME


class TensorType(NamedTuple):
    """One ggml type: how many weights share a block, and how many bytes a block takes."""

    name: str
    block: int
    size: int


# ggml.h (enum ggml_type) and ggml-common.h (the block structs).
TENSOR_TYPES: Final[Mapping[int, TensorType]] = {
    0: TensorType("F32", 1, 4),
    1: TensorType("F16", 1, 2),
    2: TensorType("Q4_0", 32, 18),
    3: TensorType("Q4_1", 32, 20),
    6: TensorType("Q5_0", 32, 22),
    7: TensorType("Q5_1", 32, 24),
    8: TensorType("Q8_0", 32, 34),
    9: TensorType("Q8_1", 32, 36),
    10: TensorType("Q2_K", 256, 84),
    11: TensorType("Q3_K", 256, 110),
    12: TensorType("Q4_K", 256, 144),
    13: TensorType("Q5_K", 256, 176),
    14: TensorType("Q6_K", 256, 210),
    15: TensorType("Q8_K", 256, 292),
    16: TensorType("IQ2_XXS", 256, 66),
    17: TensorType("IQ2_XS", 256, 74),
    18: TensorType("IQ3_XXS", 256, 98),
    19: TensorType("IQ1_S", 256, 50),
    20: TensorType("IQ4_NL", 32, 18),
    21: TensorType("IQ3_S", 256, 110),
    22: TensorType("IQ2_S", 256, 82),
    23: TensorType("IQ4_XS", 256, 136),
    24: TensorType("I8", 1, 1),
    25: TensorType("I16", 1, 2),
    26: TensorType("I32", 1, 4),
    27: TensorType("I64", 1, 8),
    28: TensorType("F64", 1, 8),
    29: TensorType("IQ1_M", 256, 56),
    30: TensorType("BF16", 1, 2),
    34: TensorType("TQ1_0", 256, 54),
    35: TensorType("TQ2_0", 256, 66),
    39: TensorType("MXFP4", 32, 17),
    40: TensorType("NVFP4", 64, 36),
    41: TensorType("Q1_0", 128, 18),
    42: TensorType("Q2_0", 64, 18),
}

# Types that ggml once wrote and no longer reads: naming them makes the fix obvious.
RETIRED_TENSOR_TYPES: Final[Mapping[int, str]] = {
    4: "Q4_2",
    5: "Q4_3",
    31: "Q4_0_4_4",
    32: "Q4_0_4_8",
    33: "Q4_0_8_8",
    36: "IQ4_NL_4_4",
    37: "IQ4_NL_4_8",
    38: "IQ4_NL_8_8",
}

# llama.h (enum llama_ftype): the name people know, and the tensor types of which at least one must be there.
FILE_TYPES: Final[Mapping[int, tuple[str, tuple[str, ...]]]] = {
    0: ("F32", ("F32",)),
    1: ("F16", ("F16",)),
    2: ("Q4_0", ("Q4_0",)),
    3: ("Q4_1", ("Q4_1",)),
    7: ("Q8_0", ("Q8_0",)),
    8: ("Q5_0", ("Q5_0",)),
    9: ("Q5_1", ("Q5_1",)),
    10: ("Q2_K", ("Q2_K",)),
    11: ("Q3_K_S", ("Q3_K",)),
    12: ("Q3_K_M", ("Q3_K",)),
    13: ("Q3_K_L", ("Q3_K",)),
    14: ("Q4_K_S", ("Q4_K",)),
    15: ("Q4_K_M", ("Q4_K",)),
    16: ("Q5_K_S", ("Q5_K",)),
    17: ("Q5_K_M", ("Q5_K",)),
    18: ("Q6_K", ("Q6_K",)),
    19: ("IQ2_XXS", ("IQ2_XXS",)),
    20: ("IQ2_XS", ("IQ2_XS",)),
    21: ("Q2_K_S", ("Q2_K",)),
    22: ("IQ3_XS", ("IQ3_S", "IQ3_XXS")),
    23: ("IQ3_XXS", ("IQ3_XXS",)),
    24: ("IQ1_S", ("IQ1_S",)),
    25: ("IQ4_NL", ("IQ4_NL",)),
    26: ("IQ3_S", ("IQ3_S",)),
    27: ("IQ3_M", ("IQ3_S",)),
    28: ("IQ2_S", ("IQ2_S", "IQ2_XS")),
    29: ("IQ2_M", ("IQ2_S",)),
    30: ("IQ4_XS", ("IQ4_XS",)),
    31: ("IQ1_M", ("IQ1_M",)),
    32: ("BF16", ("BF16",)),
    36: ("TQ1_0", ("TQ1_0",)),
    37: ("TQ2_0", ("TQ2_0",)),
    38: ("MXFP4_MOE", ("MXFP4",)),
    39: ("NVFP4", ("NVFP4",)),
    40: ("Q1_0", ("Q1_0",)),
    41: ("Q2_0", ("Q2_0",)),
}
FILE_TYPE_GUESSED: Final = 1024
"""LLAMA_FTYPE_GUESSED: a flag beside the type, not a type."""

MEMORY_KEYS: Final = (
    *("ssm.conv_kernel", "ssm.inner_size", "ssm.state_size", "ssm.time_step_rank", "ssm.group_count"),
    *("wkv.head_size", "token_shift_count", "shortconv.l_cache", "kda.head_dim"),
    *(
        "full_attention_interval",
        "attention.recurrent_layers",
        "nextn_predict_layers",
        "leading_dense_block_count",
    ),
    *("attention.kv_lora_rank", "attention.compress_ratios", "hyper_connection.count"),
    *("attention.indexer.head_count", "attention.indexer.key_length", "attention.indexer.top_k"),
    *("attention.indexer.kpool", "attention.indexer.types", "embedding_length_per_layer_input"),
)
"""An architecture's own keys on which its memory depends, besides those that most have (`pipeline.sizing.layers`)."""

LOOKED_UP: Final = ("token_embd.weight", "per_layer_token_embd.weight")
"""Tables whose rows are looked up by token: llama.cpp gives them no other layout."""
MOST_LISTED: Final = 512
"""LLAMA_MAX_LAYERS: llama.cpp refuses a model of more layers, and an execution's data, reports among them, are
bounded."""

_SCALARS: Final[Mapping[int, struct.Struct]] = {
    0: struct.Struct("<B"),
    1: struct.Struct("<b"),
    2: struct.Struct("<H"),
    3: struct.Struct("<h"),
    4: struct.Struct("<I"),
    5: struct.Struct("<i"),
    6: struct.Struct("<f"),
    7: struct.Struct("<?"),
    10: struct.Struct("<Q"),
    11: struct.Struct("<q"),
    12: struct.Struct("<d"),
}
_STRING: Final = 8
_ARRAY: Final = 9
_VALUE_TYPES: Final[Mapping[int, str]] = {
    0: "uint8",
    1: "int8",
    2: "uint16",
    3: "int16",
    4: "uint32",
    5: "int32",
    6: "float32",
    7: "bool",
    8: "string",
    9: "array",
    10: "uint64",
    11: "int64",
    12: "float64",
}
_U32: Final = struct.Struct("<I")
_U64: Final = struct.Struct("<Q")
_I64_MAX: Final = 2**63 - 1
_U64_MAX: Final = 2**64 - 1

_CONVERT_AGAIN: Final = "convert the model again with llama.cpp's current convert_hf_to_gguf.py"
_COPY_AGAIN: Final = "copy or download the GGUF again and compare its checksum with the publisher's"


@dataclass(frozen=True, slots=True)
class HeaderBounds:
    """How much of a header is believed and held; real headers stay far below each."""

    metadata: int = 1 << 16
    """Entries; real models have 20 to 60."""
    tensors: int = 1 << 17
    """Real models have 100 to 3000."""
    key_bytes: int = (1 << 16) - 1
    """The GGUF specification's own limit."""
    string_bytes: int = 1 << 30
    """gguf.cpp: GGUF_MAX_STRING_LENGTH."""
    array_items: int = 1 << 30
    """gguf.cpp: GGUF_MAX_ARRAY_ELEMENTS."""
    header_bytes: int = 256 << 20
    """A vocabulary of 500,000 tokens with its merges takes about 20 MiB."""
    held_string_bytes: int = 1 << 16
    """Longer strings are counted and dropped; chat templates have 1 to 20 KiB."""
    held_array_items: int = 4096
    """Longer arrays are counted and dropped; per-layer arrays have as many items as there are layers."""
    held_strings: int = 64
    """Longer arrays of strings are counted and dropped: vocabularies and merges."""


BOUNDS: Final = HeaderBounds()


class GGUFProblem(Exception):
    """What is wrong with a GGUF header."""

    def __init__(self, problem: Problem) -> None:
        self.problem = problem
        super().__init__(str(problem))


@dataclass(frozen=True, slots=True)
class Unread:
    """A value that was walked over and not held: its type and its length in items (string: bytes)."""

    type: str
    length: int


Scalar = bool | int | float | str
Value = Scalar | tuple[Scalar, ...] | Unread


@dataclass(frozen=True, slots=True)
class TensorInfo:
    """One tensor's name, shape (fastest dimension first), type and place in the data section."""

    name: str
    shape: tuple[int, ...]
    type: TensorType
    offset: int

    @property
    def elements(self) -> int:
        """Return the number of weights."""
        return math.prod(self.shape)

    @property
    def bytes(self) -> int:
        """Return the bytes that the tensor's data takes, without padding."""
        return self.elements // self.type.block * self.type.size


@dataclass(frozen=True)
class GGUFHeader:
    """Everything that stands before the tensor data, and what follows from it."""

    version: int
    metadata: Mapping[str, Value]
    tensors: tuple[TensorInfo, ...]
    alignment: int
    data_offset: int
    """Where the data section begins, in bytes from the start of the file."""
    types: Mapping[str, str] = field(default_factory=dict)
    """Of each metadata value, as the GGUF specification names it: "uint32", or "array of uint32"."""

    # -- what the metadata says

    def integer(self, key: str) -> int | None:
        """Return the metadata integer `key`; None when absent or of another type."""
        value = self.metadata.get(key)
        return value if isinstance(value, int) and not isinstance(value, bool) else None

    def number(self, key: str) -> float | None:
        """Return the metadata number `key`; None when absent or of another type."""
        value = self.metadata.get(key)
        return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None

    def text(self, key: str) -> str | None:
        """Return the metadata string `key`; None when absent, of another type or too long to be held.

        It ends at a NUL, as it does for llama.cpp.
        """
        value = self.metadata.get(key)
        return value.partition("\0")[0] if isinstance(value, str) else None

    def integers(self, key: str) -> tuple[int, ...] | None:
        """Return the metadata integer or array of integers `key` as a tuple; None when it is neither."""
        value = self.metadata.get(key)
        items = value if isinstance(value, tuple) else (value,)
        kept = tuple(item for item in items if isinstance(item, int) and not isinstance(item, bool))
        return kept if kept and len(kept) == len(items) else None

    def flags(self, key: str) -> tuple[bool, ...] | None:
        """Return the metadata array of booleans `key`; None when it is something else."""
        value = self.metadata.get(key)
        if not isinstance(value, tuple):
            return None
        kept = tuple(item for item in value if isinstance(item, bool))
        return kept if len(kept) == len(value) else None

    def _of(self, suffix: str) -> str:
        return f"{self.architecture}.{suffix}"

    @property
    def architecture(self) -> str:
        """Return the model's architecture as llama.cpp names it; empty for a later shard."""
        return self.text("general.architecture") or ""

    @property
    def name(self) -> str | None:
        """Return the model's own name, if it has one."""
        return self.text("general.name")

    @property
    def kind(self) -> str:
        """Return ``general.type``: "model" unless the file says otherwise ("adapter", "mmproj", ...)."""
        return self.text("general.type") or "model"

    @property
    def context_length(self) -> int | None:
        """Return the number of tokens that the model was trained for."""
        return self.integer(self._of("context_length"))

    @property
    def block_count(self) -> int | None:
        """Return the number of layers."""
        return self.integer(self._of("block_count"))

    @property
    def embedding_length(self) -> int | None:
        """Return the width of the residual stream."""
        return self.integer(self._of("embedding_length"))

    @property
    def feed_forward_length(self) -> tuple[int, ...] | None:
        """Return the width of the feed-forward network, one number or one per layer."""
        return self.integers(self._of("feed_forward_length"))

    @property
    def head_counts(self) -> tuple[int, ...] | None:
        """Return the number of attention heads of each layer."""
        return self._per_layer(self.integers(self._of("attention.head_count")))

    @property
    def head_counts_kv(self) -> tuple[int, ...] | None:
        """Return the number of key/value heads of each layer; as many as there are heads unless said."""
        return self._per_layer(self.integers(self._of("attention.head_count_kv"))) or self.head_counts

    @property
    def key_length(self) -> int | None:
        """Return the width of one key; the embedding shared out over the heads unless said."""
        return self.integer(self._of("attention.key_length")) or self._head_width()

    @property
    def value_length(self) -> int | None:
        """Return the width of one value; the embedding shared out over the heads unless said."""
        return self.integer(self._of("attention.value_length")) or self._head_width()

    @property
    def sliding_window(self) -> int | None:
        """Return the tokens that a sliding-window layer looks back; None when no layer slides."""
        return self.integer(self._of("attention.sliding_window")) or None

    @property
    def sliding_window_pattern(self) -> int | list[int] | None:
        """Return which layers slide: every n-th does not (one number), or 1 and 0 for each layer; None unless said."""
        flags = self.flags(self._of("attention.sliding_window_pattern"))
        if flags is not None:
            return [int(flag) for flag in flags]
        numbers = self.integers(self._of("attention.sliding_window_pattern"))
        return _unrepeated(numbers) if numbers is None or len(numbers) == 1 else list(numbers)

    @property
    def merge_count(self) -> int:
        """Return the number of merges of a BPE vocabulary; 0 for other ones."""
        merges = self.metadata.get("tokenizer.ggml.merges")
        if isinstance(merges, Unread):
            return merges.length
        return len(merges) if isinstance(merges, tuple) else 0

    @cached_property
    def largest_matrices(self) -> dict[str, int]:
        """Return the bytes of the largest tensor of each type, tables aside whose rows are looked up."""
        largest: dict[str, int] = {}
        for tensor in self.tensors:
            if tensor.name not in LOOKED_UP and len(tensor.shape) > 1:
                largest[tensor.type.name] = max(tensor.bytes, largest.get(tensor.type.name, 0))
        return largest

    @property
    def token_embedding(self) -> dict[str, object] | None:
        """Return type, rows and bytes of the token embedding, and whether it is the output matrix too."""
        tied = all(tensor.name != "output.weight" for tensor in self.tensors)
        for tensor in self.tensors:
            if tensor.name == "token_embd.weight" and len(tensor.shape) > 1:
                facts = {"type": tensor.type.name, "rows": tensor.shape[1], "bytes": tensor.bytes}
                return {**facts, "tied": tied}
        return None

    @property
    def vocabulary_size(self) -> int | None:
        """Return the number of tokens, from the metadata, the token list or the embedding's shape."""
        said = self.integer(self._of("vocab_size"))
        if said:
            return said
        tokens = self.metadata.get("tokenizer.ggml.tokens")
        if isinstance(tokens, Unread):
            return tokens.length
        if isinstance(tokens, tuple):
            return len(tokens)
        shapes = [t.shape for t in self.tensors if t.name == "token_embd.weight" and len(t.shape) > 1]
        return shapes[0][1] if shapes else None

    @property
    def has_chat_template(self) -> bool:
        """Tell whether the model brings its own chat template."""
        return "tokenizer.chat_template" in self.metadata

    @property
    def shard_count(self) -> int:
        """Return how many files the model says it is split into; 1 when it is whole."""
        return self.integer("split.count") or 1

    # -- what the tensor infos say

    @cached_property
    def parameter_count(self) -> int:
        """Return the number of weights in this file."""
        return sum(tensor.elements for tensor in self.tensors)

    @cached_property
    def tensor_bytes(self) -> int:
        """Return the bytes of all tensors in this file, without padding."""
        return sum(tensor.bytes for tensor in self.tensors)

    @cached_property
    def bytes_by_type(self) -> dict[str, int]:
        """Return the bytes of tensors for each type, largest first."""
        totals: Counter[str] = Counter()
        for tensor in self.tensors:
            totals[tensor.type.name] += tensor.bytes
        return dict(totals.most_common())

    @cached_property
    def expected_size(self) -> int:
        """Return the bytes that the file must at least have; shorter means it was cut."""
        return self.data_offset + max((tensor.offset + tensor.bytes for tensor in self.tensors), default=0)

    @property
    def memory_keys(self) -> dict[str, int | list[int]]:
        """Return those of `MEMORY_KEYS` that the architecture has here: a number, or one for each layer."""
        found: dict[str, int | list[int]] = {}
        for key in MEMORY_KEYS:
            numbers = self.flags(self._of(key)) or self.integers(self._of(key))
            if numbers:
                listed = isinstance(self.metadata.get(self._of(key)), tuple)
                found[key] = [int(one) for one in numbers[:MOST_LISTED]] if listed else int(numbers[0])
        return found

    @cached_property
    def expert_width(self) -> int | None:
        """Return the width of an expert's network, as its tensors have it; None for a model without experts.

        The keys do not tell: some architectures have it in feed_forward_length, others ignore what stands there.
        """
        widths = (tensor.shape[0] for tensor in self.tensors if tensor.name.endswith("ffn_down_exps.weight"))
        return max(widths, default=None)

    @cached_property
    def gated(self) -> bool:
        """Tell whether feed-forward networks have a gate beside what goes up, in a matrix of its own or in the same."""
        shapes = {tensor.name.split(".", 2)[-1]: tensor.shape for tensor in self.tensors}
        if any(name.startswith("ffn_gate") and not name.startswith("ffn_gate_inp") for name in shapes):
            return True
        up, down = shapes.get("ffn_up.weight", ()), shapes.get("ffn_down.weight", ())
        if len(up) > 1 and down:
            return up[1] > down[0]
        return "ffn_up_exps.weight" not in shapes

    @cached_property
    def unloaded_bytes(self) -> int:
        """Return the bytes of layers that draft tokens ahead: llama.cpp leaves them in the file (TENSOR_SKIP)."""
        layers, drafting = self.block_count or 0, self.integer(self._of("nextn_predict_layers")) or 0
        if not 0 < drafting < layers:
            return 0
        first = layers - drafting
        total = 0
        for tensor in self.tensors:
            prefix, _, rest = tensor.name.partition(".")
            number = rest.partition(".")[0]
            if prefix == "blk" and number.isdecimal() and first <= int(number) < layers:
                total += tensor.bytes
        return total

    @property
    def quantization(self) -> str:
        """Return the quantisation's usual name: the file's own word if its tensors bear it out."""
        types = self.bytes_by_type
        said = self.integer("general.file_type")
        if said is not None:
            name, base = FILE_TYPES.get(said & ~FILE_TYPE_GUESSED, ("", ()))
            if not types or any(kind in types for kind in base):
                return name or "unknown"
        return next(iter(types), "unknown")

    def to_json(self) -> dict[str, object]:
        """Return the facts that a plan is made of, without metadata and tensors."""
        return {
            "gguf_version": self.version,
            "architecture": plain(self.architecture),
            "name": plain(self.name) if self.name else None,
            "quantization": self.quantization,
            "parameter_count": self.parameter_count,
            "n_tensors": len(self.tensors),
            "tensor_bytes": self.tensor_bytes,
            "bytes_by_type": self.bytes_by_type,
            "data_offset": self.data_offset,
            "context_length": self.context_length,
            "block_count": self.block_count,
            "embedding_length": self.embedding_length,
            "head_counts": _unrepeated(self.head_counts),
            "head_counts_kv": _unrepeated(self.head_counts_kv),
            "key_length": self.key_length,
            "value_length": self.value_length,
            "sliding_window": self.sliding_window,
            "sliding_window_pattern": self.sliding_window_pattern,
            "key_length_swa": self.integer(self._of("attention.key_length_swa")),
            "value_length_swa": self.integer(self._of("attention.value_length_swa")),
            "key_length_mla": self.integer(self._of("attention.key_length_mla")),
            "shared_kv_layers": self.integer(self._of("attention.shared_kv_layers")),
            "feed_forward_length": _unrepeated(self.feed_forward_length),
            "expert_feed_forward_length": _unrepeated(self.integers(self._of("expert_feed_forward_length"))),
            "expert_used_count": _unrepeated(self.integers(self._of("expert_used_count"))),
            "expert_width": self.expert_width,
            "gated": self.gated,
            "memory_keys": self.memory_keys,
            "unloaded_bytes": self.unloaded_bytes,
            "largest_matrices": self.largest_matrices,
            "token_embedding": self.token_embedding,
            "merge_count": self.merge_count,
            "vocabulary_size": self.vocabulary_size,
            "chat_template": self.has_chat_template,
            "purpose": purpose.of(self).value,
            "embedding_size": purpose.width(self),
            "evaluated_whole": purpose.whole(self),
        }

    def _head_width(self) -> int | None:
        heads = max(self.head_counts or (0,))
        return self.embedding_length // heads if self.embedding_length and heads else None

    def _per_layer(self, values: tuple[int, ...] | None) -> tuple[int, ...] | None:
        if values is None or len(values) > 1:
            return values
        # A layer count is a claim: nobody has more than some hundreds, and 2^31 must not become a tuple.
        return values * min(self.block_count or 1, BOUNDS.held_array_items)


def read_header(read: Callable[[int, int], bytes], *, bounds: HeaderBounds = BOUNDS) -> GGUFHeader:
    """Return the header of the GGUF behind `read(start, length)`; raise GGUFProblem when it is not one."""
    parser = GGUFParser(bounds)
    step = 1 << 20
    start = 0
    while parser.header is None:
        piece = read(start, step)
        if not piece:
            parser.finish()
        parser.feed(piece)
        start += len(piece)
    return parser.header


class GGUFParser:
    """Reads a header from pieces of any size, holding little more than the piece at hand.

    Feed bytes from the start of the file until `header` is there; call `finish` when the bytes have ended.

    Args:
        bounds: what a header may claim.
        companion: what the file is beside a model, by its name (`sealift_models.COMPANIONS`); None for a model.
    """

    def __init__(self, bounds: HeaderBounds = BOUNDS, *, companion: str | None = None) -> None:
        self.header: GGUFHeader | None = None
        self._bounds = bounds
        self._companion = companion
        self._buffer = bytearray()
        self._at = 0
        self._dropped = 0
        self._doing = "the magic"
        self._steps = self._parse()
        next(self._steps)

    def feed(self, piece: bytes | bytearray | memoryview) -> None:
        """Take the next bytes of the file; raise GGUFProblem as soon as they cannot become a header."""
        if self.header is not None or not piece:
            return
        del self._buffer[: self._at]
        self._dropped += self._at
        self._at = 0
        self._buffer += piece
        try:
            next(self._steps)
        except StopIteration as stop:
            self.header = stop.value
            self._buffer.clear()
            return
        if self._dropped + self._at > self._bounds.header_bytes:
            raise _problem(
                "GGUFHeaderTooLong",
                f"a header longer than {self._bounds.header_bytes} bytes",
                "a header that ends within that",
                _CONVERT_AGAIN,
            )

    def finish(self) -> None:
        """Raise GGUFProblem when the file ended before its header did."""
        if self.header is None:
            seen = self._dropped + len(self._buffer)
            raise _problem(
                "GGUFCutShort",
                f"the file ends after {seen} bytes, inside {self._doing}",
                "a complete GGUF header",
                _COPY_AGAIN,
            )

    # -- primitives: each is a generator that yields once for every piece it has to wait for

    def _take(self, count: int) -> Generator[None, None, bytes]:
        while len(self._buffer) - self._at < count:
            yield
        piece = bytes(self._buffer[self._at : self._at + count])
        self._at += count
        return piece

    def _skip(self, count: int) -> Generator[None, None, None]:
        while True:
            there = min(count, len(self._buffer) - self._at)
            self._at += there
            count -= there
            if not count:
                return
            yield

    def _u32(self) -> Generator[None, None, int]:
        value: int = _U32.unpack((yield from self._take(4)))[0]
        return value

    def _u64(self) -> Generator[None, None, int]:
        value: int = _U64.unpack((yield from self._take(8)))[0]
        return value

    def _name(self, limit: int) -> Generator[None, None, bytes]:
        length = yield from self._u64()
        self._check("bytes", length, limit)
        name = yield from self._take(length)
        if b"\0" in name:
            raise _problem(
                "GGUFName",
                f"{self._doing} is named {str(name, 'utf-8', 'replace')!r}",
                "a name without NUL, at which llama.cpp would end it",
                f"the header is damaged, or was written wrongly: {_COPY_AGAIN}",
            )
        return name

    def _check(self, what: str, count: int, limit: int) -> None:
        if count > limit:
            raise _problem(
                "GGUFCountTooLarge",
                f"{self._doing} claims {count} {what}",
                f"at most {limit}",
                f"the header is damaged or not a GGUF's: {_COPY_AGAIN}",
            )

    # -- the format, top to bottom

    def _parse(self) -> Generator[None, None, GGUFHeader]:
        _check_magic((yield from self._take(4)))
        self._doing = "the version"
        version = yield from self._u32()
        _check_version(version)
        self._doing = "the header"
        n_tensors = yield from self._u64()
        self._check("tensors", n_tensors, self._bounds.tensors)
        n_metadata = yield from self._u64()
        self._check("metadata entries", n_metadata, self._bounds.metadata)
        metadata: dict[str, Value] = {}
        types: dict[str, str] = {}
        seen: set[bytes] = set()
        for number in range(1, n_metadata + 1):
            self._doing = f"metadata entry {number} of {n_metadata}"
            yield from self._read_entry(metadata, types, seen)
        alignment = _alignment(metadata, types)
        tensors: dict[bytes, TensorInfo] = {}
        expected = 0
        for number in range(1, n_tensors + 1):
            self._doing = f"tensor info {number} of {n_tensors}"
            expected = yield from self._read_tensor(tensors, expected, alignment)
        end = self._dropped + self._at
        header = GGUFHeader(
            version=version,
            metadata=metadata,
            tensors=tuple(tensors.values()),
            alignment=alignment,
            data_offset=_padded(end, alignment),
            types=types,
        )
        _check_meaning(header, self._companion)
        return header

    def _read_entry(
        self, metadata: dict[str, Value], types: dict[str, str], seen: set[bytes]
    ) -> Generator[None, None, None]:
        name = yield from self._name(self._bounds.key_bytes)
        if not name:
            raise _problem("GGUFName", f"{self._doing} has an empty key", "a key", _CONVERT_AGAIN)
        # Keys that are no UTF-8 may look alike once they are text, and are not the same to llama.cpp.
        key = str(name, "utf-8", "replace")
        self._doing = f"metadata {key!r}"
        if name in seen:
            raise _problem("GGUFDuplicateKey", f"metadata {key!r} twice", "each key once", _CONVERT_AGAIN)
        seen.add(name)
        kind = yield from self._u32()
        metadata[key], types[key] = yield from self._read_value(kind)

    def _read_value(self, kind: int) -> Generator[None, None, tuple[Value, str]]:
        scalar = _SCALARS.get(kind)
        if scalar is not None:
            value: Scalar = scalar.unpack((yield from self._take(scalar.size)))[0]
            return value, _VALUE_TYPES[kind]
        if kind == _STRING:
            return (yield from self._read_text()), _VALUE_TYPES[kind]
        if kind == _ARRAY:
            return (yield from self._read_array())
        raise _problem(
            "GGUFValueType",
            f"{self._doing} has value type {kind}",
            f"0 ({_VALUE_TYPES[0]}) to 12 ({_VALUE_TYPES[12]})",
            f"the header is damaged or newer than this reader: {_CONVERT_AGAIN}",
        )

    def _read_text(self) -> Generator[None, None, str | Unread]:
        length = yield from self._u64()
        self._check("bytes", length, self._bounds.string_bytes)
        if length > self._bounds.held_string_bytes:
            yield from self._skip(length)
            return Unread("string", length)
        return str((yield from self._take(length)), "utf-8", "replace")

    def _read_array(self) -> Generator[None, None, tuple[tuple[Scalar, ...] | Unread, str]]:
        kind = yield from self._u32()
        count = yield from self._u64()
        self._check("items", count, self._bounds.array_items)
        named = f"array of {_VALUE_TYPES.get(kind, f'type {kind}')}"
        scalar = _SCALARS.get(kind)
        if scalar is not None:
            if count > self._bounds.held_array_items:
                yield from self._skip(count * scalar.size)
                return Unread(_VALUE_TYPES[kind], count), named
            piece = yield from self._take(count * scalar.size)
            return tuple(item for (item,) in scalar.iter_unpack(piece)), named
        if kind == _STRING:
            if count > self._bounds.held_strings:
                yield from self._skip_strings(count)
                return Unread("string", count), named
            return (yield from self._read_strings(count)), named
        # llama.cpp refuses arrays of arrays as well.
        raise _problem(
            "GGUFArrayType",
            f"{self._doing} is an {named}",
            "an array of numbers, booleans or strings",
            _CONVERT_AGAIN,
        )

    def _read_strings(self, count: int) -> Generator[None, None, tuple[str, ...] | Unread]:
        texts: list[str] = []
        for _ in range(count):
            text = yield from self._read_text()
            if isinstance(text, str):
                texts.append(text)
        return tuple(texts) if len(texts) == count else Unread("string", count)

    def _skip_strings(self, count: int) -> Generator[None, None, None]:
        # Half a million strings are usual: the loop over what is at hand must not call generators.
        unpack = _U64.unpack_from
        while count:
            buffer, at, end = self._buffer, self._at, len(self._buffer)
            while count and end - at >= 8:
                after = at + 8 + unpack(buffer, at)[0]
                if after > end:
                    break
                at = after
                count -= 1
            self._at = at
            if not count:
                return
            length = yield from self._u64()
            self._check("bytes", length, self._bounds.string_bytes)
            yield from self._skip(length)
            count -= 1

    def _read_tensor(
        self, tensors: dict[bytes, TensorInfo], expected: int, alignment: int
    ) -> Generator[None, None, int]:
        raw = yield from self._name(MAX_TENSOR_NAME)
        name = str(raw, "utf-8", "replace")
        self._doing = f"tensor info {name!r}"
        dimensions = yield from self._u32()
        self._check("dimensions", dimensions, MAX_DIMENSIONS)
        shape = struct.unpack(f"<{dimensions}Q", (yield from self._take(8 * dimensions)))
        kind = yield from self._u32()
        offset = yield from self._u64()
        tensor = TensorInfo(name, shape, _tensor_type(name, kind), offset)
        _check_tensor(tensor, expected)
        if raw in tensors:
            raise _problem(
                "GGUFDuplicateTensor", f"tensor {name!r} twice", "each tensor once", _CONVERT_AGAIN
            )
        tensors[raw] = tensor
        after = _padded(offset + tensor.bytes, alignment)
        if after > _U64_MAX:
            raise _problem(
                "GGUFTensorShape",
                f"{tensor.bytes} bytes of tensor {name!r} at {offset} in the data",
                "fewer than 2^64 bytes of tensors",
                _COPY_AGAIN,
            )
        return after


def _problem(error: str, seen: str, wanted: str, fix: str) -> GGUFProblem:
    return GGUFProblem(Problem(error, seen, wanted, fix))


def _check_magic(magic: bytes) -> None:
    if magic != MAGIC:
        raise _problem(
            "GGUFMagic",
            f"the file begins with {magic!r}",
            f"{MAGIC!r}",
            "give a GGUF file; other formats are converted with llama.cpp's convert_hf_to_gguf.py",
        )


def _check_version(version: int) -> None:
    if version in VERSIONS:
        return
    # Versions are small numbers: with the bytes the other way round they fill the upper half only.
    if version and version & 0xFFFF == 0:
        raise _problem(
            "GGUFBigEndian",
            f"a big-endian GGUF (version {int.from_bytes(_U32.pack(version), 'big')})",
            "little endian, as every SageMaker host is",
            "convert it with llama.cpp's gguf_convert_endian.py",
        )
    raise _problem(
        "GGUFVersion",
        f"GGUF version {version}",
        " or ".join(map(str, VERSIONS)),
        _CONVERT_AGAIN if version < VERSIONS[0] else "use a file written for version 3",
    )


def _alignment(metadata: Mapping[str, Value], types: Mapping[str, str]) -> int:
    key = "general.alignment"
    value = metadata.get(key, DEFAULT_ALIGNMENT)
    kind = types.get(key, "uint32")
    if kind == "uint32" and isinstance(value, int) and value > 0 and value & (value - 1) == 0:
        return value
    raise _problem(
        "GGUFAlignment",
        f"{key} is {_described(value)}" + ("" if kind == "uint32" else f", of type {kind}"),
        "a power of two of type uint32, usually 32",
        _CONVERT_AGAIN,
    )


def _described(value: Value) -> str:
    if isinstance(value, Unread | tuple):
        return f"{value.length if isinstance(value, Unread) else len(value)} items"
    return repr(value)


def _tensor_type(name: str, kind: int) -> TensorType:
    known = TENSOR_TYPES.get(kind)
    if known is not None:
        return known
    retired = RETIRED_TENSOR_TYPES.get(kind)
    raise _problem(
        "GGUFTensorType",
        f"tensor {name!r} has type {kind} ({retired or 'unknown'})",
        "a type that ggml reads",
        "quantise the model again with llama.cpp's current llama-quantize"
        if retired
        else f"the file is damaged, or newer than this reader: {_COPY_AGAIN}",
    )


def _check_tensor(tensor: TensorInfo, expected: int) -> None:
    if not _is_countable(tensor.shape):
        raise _problem(
            "GGUFTensorShape",
            f"tensor {tensor.name!r} has shape {list(tensor.shape)}",
            "fewer than 2^63 elements",
            _COPY_AGAIN,
        )
    # A tensor without dimensions is a single weight to ggml, and no block of weights.
    row = tensor.shape[0] if tensor.shape else 1
    if row % tensor.type.block:
        raise _problem(
            "GGUFTensorShape",
            f"tensor {tensor.name!r} of type {tensor.type.name} has rows of {row}",
            f"a multiple of the type's block of {tensor.type.block}",
            _CONVERT_AGAIN,
        )
    if tensor.offset != expected:
        raise _problem(
            "GGUFTensorOffset",
            f"tensor {tensor.name!r} lies at {tensor.offset} in the data",
            f"{expected}, right after the tensor before it",
            _CONVERT_AGAIN,
        )


def _is_countable(shape: tuple[int, ...]) -> bool:
    """Tell whether ggml can count the elements.

    gguf.cpp refuses what does not fit 63 bits, whatever comes after; ggml.c (ggml_new_tensor_impl) is stricter, and
    aborts: a dimension of 0 does not help the others, and the product must stay below the last that would fit.
    """
    if max(shape, default=0) > _I64_MAX:
        return False
    elements = shape[0] if shape else 1
    for size in shape[1:]:
        if size > 1:
            if _I64_MAX // size <= elements:
                return False
            elements *= size
    return True


def _check_meaning(header: GGUFHeader, companion: str | None) -> None:
    # Before all else: what is no model lacks what every model has, and that it lacks it says little.
    stranger = purpose.mismatch(header, companion) if companion else purpose.refusal(header)
    if stranger is not None:
        raise GGUFProblem(stranger)
    # Later shards carry tensors and split.* only; the first shard may carry no tensors.
    if header.shard_count > 1:
        return
    if not header.architecture:
        raise _problem(
            "GGUFNoArchitecture",
            f"general.architecture is {header.metadata.get('general.architecture')!r}",
            "the name of an architecture",
            _CONVERT_AGAIN,
        )
    if not header.tensors:
        raise _problem(
            "GGUFNoTensors",
            "a header without tensors: a vocabulary only, which is for trying tokenizers",
            "a whole model",
            "deploy the model's own GGUF; convert_hf_to_gguf.py without --vocab-only makes it",
        )


def _padded(size: int, alignment: int) -> int:
    return -(-size // alignment) * alignment


def _unrepeated(values: tuple[int, ...] | None) -> int | list[int] | None:
    """Return one number where all layers are alike, as GGUF itself does."""
    if not values:
        return None
    return values[0] if len(set(values)) == 1 else list(values)
