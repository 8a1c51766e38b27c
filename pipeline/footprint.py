"""What a model occupies inside llama.cpp, computed from its header: weights, cache, buffers, vocabulary.

Owns llama.cpp's own rules, as llama-cpp-python 0.3.36 ships it, for a CPU. They hold for the settings that
`inference/inference.py` loads with, and for no others:

    use_mmap=False      weights are read into memory once. Mapped, those that are repacked would count twice.
    swa_full=False      a sliding-window layer keeps its window and one batch, not the whole context.
    flash_attn=False    llama-cpp-python's default. With it the attention matrix goes, and the decoding of long
                        contexts takes half as long again.
    n_ubatch=512        llama-cpp-python's default: a larger n_batch does not need more. A model for embeddings
                        evaluates a text at once, so there it is n_ctx.

What counts is memory that is touched. llama.cpp reserves logits for every token of a batch, which a large vocabulary
turns into half a gigabyte of addresses; one row of it is ever written. `benchmarks/bench_fit.py` measures all of this.
Refuses to know any limit: `pipeline.fit` compares.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from pipeline.architectures import WITHOUT_CACHE
from pipeline.limits import MiB
from pipeline.purpose import Purpose

if TYPE_CHECKING:
    from collections.abc import Mapping

UBATCH: Final = 512
"""Tokens computed at a time (llama.h: n_ubatch)."""
CELL_PADDING: Final = 256
"""A cache has a multiple of so many cells (llama-context.cpp, llama-kv-cache-iswa.cpp)."""
MOST_LAYERS: Final = 4096
"""A header's layer count is a claim; llama.cpp itself has 512 at most (LLAMA_MAX_LAYERS)."""

LLAMA_CPP_BYTES: Final = 24 * MiB
"""The libraries, the Python package without numpy, and llama.cpp's own tables: measured."""
TOKEN_BYTES: Final = 170
"""A token in both directions, its piece, score and type: measured 126 to 168, by the length of the tokens."""
MERGE_BYTES: Final = 112
"""A merge of a BPE vocabulary: measured."""
SAMPLING_BYTES: Final = 45
"""For each token of the vocabulary, once an answer is generated: logits and candidates; measured."""
DECODING_BYTES: Final = 4 * MiB
"""Inputs, graph and heap of a call, beside its tensors: measured 2 to 5 MiB."""

REPACKED: Final = frozenset({"Q4_0", "Q4_K", "IQ4_NL", "MXFP4"})
"""Types that x86 CPUs with AVX2 get in another layout, which the token embedding cannot be read from
(ggml-cpu/repack.cpp); Q2_K joins them with AVX-512."""
REPACKED_ROWS: Final = 8
STAGING_MOST: Final = 32 * MiB
"""A matrix is read into a buffer of its own before it is repacked. Above this size glibc returns the buffer at once
(DEFAULT_MMAP_THRESHOLD_MAX); below, the heap keeps one."""

# Every n-th layer looks at everything, the others slide; and the window where the header gives none.
# src/models/*.cpp, load_swa_pattern(). Architectures that are not here keep the whole context in every layer, which is
# never too little: llama.cpp ignores a window in the header of some (qwen2, phi3, mistral's "llama").
_SLIDING: Final[Mapping[str, tuple[int, int]]] = {
    "gemma2": (2, 4096),
    "gemma3": (6, 0),
    "gemma3n": (5, 0),
    "gemma4": (0, 0),  # only by the pattern in the header
    "cohere2": (4, 0),
    "olmo2": (4, 0),
    "gpt-oss": (2, 0),
}
_GEMMA3N_KV_LAYERS: Final = 20
"""src/models/gemma3n.cpp: later layers use the cache of these."""


@dataclass(frozen=True, slots=True)
class Line:
    """One line of the arithmetic."""

    name: str
    bytes: int
    how: str


@dataclass(frozen=True, slots=True)
class Layer:
    """What the cache and the attention of one layer depend on."""

    heads: int
    kv_heads: int
    """0 for a layer that has no cache of its own."""
    key: int
    """Width of one key."""
    value: int
    """Width of one value; 0 where values are computed from the keys."""
    slides: bool = False


@dataclass(frozen=True, slots=True)
class Shape:
    """The figures of a GGUF header that memory depends on."""

    tensor_bytes: int
    layers: tuple[Layer, ...] = ()
    window: int = 0
    """Tokens that a sliding layer looks back."""
    embedding_length: int = 0
    feed_forward_length: int = 0
    """The widest layer's; for a mixture of experts, of all that one token uses."""
    vocabulary_size: int = 0
    merge_count: int = 0
    embedding_copy_bytes: int = 0
    """Of a token embedding that is needed in two layouts: as table of rows and, repacked, as output matrix."""
    staging_bytes: int = 0
    """Of the largest matrix that is repacked when it is read."""
    parameter_count: int = 0
    quantization: str = ""
    embeds: bool = False
    """Whether it is loaded for embeddings."""
    whole: bool = False
    """Whether a text to embed is evaluated at once."""
    output_matrix: bool = True
    """Whether its graph ends in logits."""

    @classmethod
    def from_json(cls, model: Mapping[str, Any]) -> Shape:
        """Read the shape from the model part of an archive report.

        A header that leaves a figure out counts as 0 there: the model server will say what it misses.
        """
        used = _count(model.get("expert_used_count"))
        experts = used * _count(model.get("expert_feed_forward_length")) if used else 0
        window, layers = _layers(model)
        return cls(
            tensor_bytes=_count(model["tensor_bytes"]),
            layers=layers,
            window=window,
            embedding_length=_count(model["embedding_length"]),
            feed_forward_length=max(_widest(model.get("feed_forward_length")), experts),
            vocabulary_size=_count(model["vocabulary_size"]),
            merge_count=_count(model.get("merge_count")),
            embedding_copy_bytes=_copied(model.get("token_embedding") or {}),
            staging_bytes=_staged(model.get("largest_matrices") or {}),
            parameter_count=_count(model.get("parameter_count")),
            quantization=model.get("quantization") or "",
            embeds=model.get("purpose") == Purpose.EMBEDDING,
            whole=model.get("purpose") == Purpose.EMBEDDING and model.get("evaluated_whole") is not False,
            output_matrix=model.get("architecture") not in {*WITHOUT_CACHE, "llama-embed"},
        )


def footprint(shape: Shape, *, n_ctx: int, n_batch: int) -> tuple[Line, ...]:
    """Return what llama.cpp takes at most, line by line: a prompt and its answer fill the context."""
    cells = Cells.of(shape, n_ctx, n_batch)
    copy = "the token embedding once more: as output matrix it is repacked for the CPU"
    staging = "the heap's buffer for the largest matrix that is repacked"
    return (
        Line("weights", shape.tensor_bytes, "bytes of all tensors, read into memory once"),
        *_unless_empty(Line("output matrix", shape.embedding_copy_bytes, copy)),
        _cache(shape, cells),
        _compute(shape, cells),
        *_unless_empty(Line("repacking", shape.staging_bytes, staging)),
        _vocabulary(shape),
        Line("llama.cpp", LLAMA_CPP_BYTES, "measured: its libraries and tables"),
    )


@dataclass(frozen=True, slots=True)
class Cells:
    """How many tokens the caches hold, and how many are computed at a time."""

    whole: int
    sliding: int
    batch: int

    @classmethod
    def of(cls, shape: Shape, n_ctx: int, n_batch: int) -> Cells:
        """Return what llama.cpp makes of the settings."""
        batch = n_ctx if shape.whole else min(n_batch, n_ctx, UBATCH)
        whole = _padded(n_ctx)
        return cls(whole, _padded(min(whole, shape.window + batch)), batch)

    def of_layer(self, layer: Layer) -> int:
        """Return the cells of one layer's cache."""
        return self.sliding if layer.slides else self.whole


def _unless_empty(line: Line) -> tuple[Line, ...]:
    return (line,) if line.bytes else ()


def _cache(shape: Shape, cells: Cells) -> Line:
    # Without flash attention values lie transposed, and all layers get the widest one's (TAG_V_CACHE_VARIABLE).
    values = max((layer.kv_heads * layer.value for layer in shape.layers), default=0)
    kinds = Counter(
        (layer.kv_heads * layer.key, cells.of_layer(layer)) for layer in shape.layers if layer.kv_heads
    )
    total = sum(count * (keys + values) * 2 * held for (keys, held), count in kinds.items())
    terms = [
        f"{count} layers x ({keys} + {values}) x 2 bytes x {held} tokens"
        for (keys, held), count in sorted(kinds.items(), key=lambda kind: -kind[0][1])
    ]
    return Line(
        "kv cache", total, " + ".join(terms[:3]) + (" + ..." if terms[3:] else "") or "no attention layers"
    )


def _compute(shape: Shape, cells: Cells) -> Line:
    """Return llama.cpp's scratch memory while it computes one batch of a prompt at the context's end."""
    # A mask for each kind of layer, also where both kinds hold as much (llama-graph.cpp, build_attn_inp_kv_iswa).
    held = {layer.slides: cells.of_layer(layer) for layer in shape.layers}
    heads = max((layer.heads for layer in shape.layers), default=0)
    scores = max((layer.heads * cells.of_layer(layer) for layer in shape.layers), default=0)
    queries = max((layer.heads * layer.key for layer in shape.layers), default=0)
    keys = max((layer.kv_heads * (layer.key + layer.value) for layer in shape.layers), default=0)
    attention = 4 * (scores + 3 * shape.embedding_length + queries + keys)
    feeding = 4 * (3 * shape.feed_forward_length + 3 * shape.embedding_length)
    # What a product's right side is converted to: scores to f16 for the values, activations for ffn_down.
    converted = 2 * max(scores, shape.feed_forward_length)
    total = cells.batch * (max(attention, feeding) + converted + 4 * sum(held.values()))
    total += SAMPLING_BYTES * shape.vocabulary_size + DECODING_BYTES
    if shape.embeds:
        # llama-context.cpp, output_reserve: room for an embedding and for logits of every token, cleared first; and the
        # logits themselves are computed for every token where the graph has them.
        logits = (2 if shape.output_matrix else 1) * shape.vocabulary_size
        total += 4 * cells.batch * (logits + shape.embedding_length)
    widest = (
        f"scores of {heads} heads x {cells.whole} tokens"
        if attention > feeding
        else f"3 x {shape.feed_forward_length} activations"
    )
    return Line("compute", total, f"{cells.batch} tokens at a time: {widest}, masks, conversions, logits")


def _vocabulary(shape: Shape) -> Line:
    size = TOKEN_BYTES * shape.vocabulary_size + MERGE_BYTES * shape.merge_count
    merges = f" + {shape.merge_count} merges x {MERGE_BYTES} bytes" if shape.merge_count else ""
    return Line("vocabulary", size, f"{shape.vocabulary_size} tokens x {TOKEN_BYTES} bytes{merges}")


def _layers(model: Mapping[str, Any]) -> tuple[int, tuple[Layer, ...]]:
    count = min(_count(model["block_count"]), MOST_LAYERS)
    heads = _each(model["head_counts"], count)
    kv_heads = _each(model["head_counts_kv"] or model["head_counts"], count)
    own = count - _count(model.get("shared_kv_layers"))
    if model.get("architecture") == "gemma3n":
        own = _GEMMA3N_KV_LAYERS
    window, slides = _slides(model, count)
    key, value = _count(model["key_length"]), _count(model["value_length"])
    if model.get("key_length_mla"):
        value = 0  # llama-kv-cache.cpp: a compressed cache holds no values
    sliding_key = _count(model.get("key_length_swa")) or key
    sliding_value = _count(model.get("value_length_swa")) or value
    return window, tuple(
        Layer(
            heads=heads[n],
            kv_heads=kv_heads[n] if n < own else 0,
            key=sliding_key if slides[n] else key,
            value=sliding_value if slides[n] else value,
            slides=slides[n],
        )
        for n in range(count)
    )


def _slides(model: Mapping[str, Any], count: int) -> tuple[int, list[bool]]:
    """Return the window and, for each layer, whether it has one."""
    period, usual = _SLIDING.get(model.get("architecture") or "", (0, 0))
    window = _count(model.get("sliding_window")) or usual
    pattern = model.get("sliding_window_pattern")
    if model.get("architecture") not in _SLIDING or not window:
        return 0, [False] * count
    if isinstance(pattern, list):
        return window, [n < len(pattern) and bool(pattern[n]) for n in range(count)]
    period = _count(pattern) or period
    return window, [bool(period) and n % period < period - 1 for n in range(count)]


def _copied(embedding: Mapping[str, Any]) -> int:
    repacked = embedding.get("type") in REPACKED and not _count(embedding.get("rows")) % REPACKED_ROWS
    return _count(embedding.get("bytes")) if embedding.get("tied") and repacked else 0


def _staged(largest: Mapping[str, Any]) -> int:
    return min(
        max((_count(size) for name, size in largest.items() if name in REPACKED), default=0), STAGING_MOST
    )


def _each(value: Any, count: int) -> list[int]:
    """Return one number for each layer, of a number for all or a list."""
    if isinstance(value, list):
        return [_count(one) for one in value[:count]] + [0] * (count - len(value))
    return [_count(value)] * count


def _widest(value: Any) -> int:
    return max((_count(one) for one in value), default=0) if isinstance(value, list) else _count(value)


def _count(value: Any) -> int:
    return int(value or 0)


def _padded(cells: int) -> int:
    return -(-cells // CELL_PADDING) * CELL_PADDING
