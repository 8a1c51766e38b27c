"""What a model occupies inside llama.cpp, computed from its header: weights, cache, buffers, vocabulary.

Owns llama.cpp's own rules, as llama-cpp-python 0.3.36 ships it, for a CPU. They hold for the settings that
`inference/inference.py` loads with, and for no others:

    use_mmap=False      weights are read into memory once. Mapped, those that are repacked would count twice.
    swa_full=False      a sliding-window layer keeps its window and one batch, not the whole context.
    flash_attn=False    llama-cpp-python's default. With it the attention matrix goes, and the decoding of long
                        contexts takes half as long again.
    n_ubatch=512        llama-cpp-python's default: a larger n_batch does not need more. A model for embeddings
                        evaluates a text at once, so there it is n_ctx, unless parts give the same
                        (`purpose.whole`).
    kv_unified=False    what llama-server does where its slots are counted out (`--parallel N`). Each slot is a sequence
                        with caches and recurrent states of its own, and `--ctx-size` is of all of them together: the
                        context of one is its share, rounded up to whole cells (llama-context.cpp, n_ctx_seq).

What counts is memory that is touched. llama.cpp reserves logits for every token of a batch, which a large vocabulary
turns into half a gigabyte of addresses; one row of it is ever written. `benchmarks/bench_fit.py` measures all of this.
Refuses to know any limit: `pipeline.sizing.fit` compares.
"""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from pipeline.gguf.architectures import DIFFUSION, WITHOUT_CACHE
from pipeline.gguf.purpose import EVALUATES
from pipeline.limits import MiB
from pipeline.sizing.cache_types import CACHE_TYPES, F16
from pipeline.sizing.layers import BATCH_ONLY, Header, Layer, Work, count, layers_of, work_of
from pipeline.sizing.serving import MemoryLine

if TYPE_CHECKING:
    from collections.abc import Mapping

UBATCH: Final = 512
"""Tokens computed at a time (llama.h: n_ubatch)."""
CELL_PADDING: Final = 256
"""A cache has a multiple of so many cells (llama-context.cpp, llama-kv-cache-iswa.cpp)."""

LLAMA_CPP: Final = "llama.cpp"
"""The line of what a process has once, however many models it loads."""
LLAMA_CPP_BYTES: Final = 24 * MiB
"""The libraries, the Python package without numpy, and llama.cpp's own tables: measured."""
TOKEN_BYTES: Final = 170
"""A token in both directions, its piece, score and type: measured 126 to 168, by the length of the tokens."""
MERGE_BYTES: Final = 112
"""A merge of a BPE vocabulary: measured."""
SAMPLING_BYTES: Final = 45
"""For each token of the vocabulary, once an answer is generated: logits and candidates; measured. Of each slot."""
DECODING_BYTES: Final = 3 * MiB
"""Inputs and heap of a call, beside its tensors and their graph: measured 1 to 4 MiB."""
NODE_BYTES: Final = 2 * 424
"""Of a graph, for each node that it may have: a tensor's description and places in its tables (ggml.c,
ggml_tensor_overhead and ggml_graph_overhead_custom). They are cleared, so all of them are there, and there are two
graphs: the one reserved for, and the last one computed (llama-context.cpp: gf_res_reserve, gf_res_prev)."""
LEAST_NODES: Final = 1024
"""llama-context.cpp, graph_max_nodes."""

REPACKED: Final = frozenset({"Q4_0", "Q4_K", "IQ4_NL", "MXFP4"})
"""Types that x86 CPUs with AVX2 get in another layout, which the token embedding cannot be read from
(ggml-cpu/repack.cpp); Q2_K joins them with AVX-512."""
REPACKED_ROWS: Final = 8
STAGING_MOST: Final = 32 * MiB
"""A matrix is read into a buffer of its own before it is repacked. Above this size glibc returns the buffer at once
(DEFAULT_MMAP_THRESHOLD_MAX); below, the heap keeps one."""


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
    table_bytes: int = 0
    """Of the token embedding, which no GPU is given."""
    tied: bool = True
    """Whether it is the output matrix too."""
    staging_bytes: int = 0
    """Of the largest matrix that is repacked when it is read."""
    tensor_count: int = 0
    parameter_count: int = 0
    quantization: str = ""
    embeds: bool = False
    """Whether it is loaded for embeddings, or to rank."""
    whole: bool = False
    """Whether a text to embed is evaluated at once."""
    work: Work = field(default_factory=Work)
    """What the layers compute with beside plain attention."""
    gated: bool = True
    """Whether a feed-forward network has a gate."""
    experts_used: int = 0
    """Of a mixture of experts, by one token."""
    cacheless: bool = False
    """Whether nothing is kept between batches."""
    all_logits: bool = False
    """Whether logits are computed for every token of a batch, not for the last one."""
    batch_only: bool = False
    """Whether attention looks at one batch and no further."""

    @classmethod
    def from_json(cls, model: Mapping[str, Any]) -> Shape:
        """Read the shape from the model part of an archive report.

        A header that leaves a figure out counts as 0 there: the model server will say what it misses.
        """
        used = _widest(model.get("expert_used_count"))
        experts = used * (
            count(model.get("expert_width")) or _widest(model.get("expert_feed_forward_length"))
        )
        header = Header(model)
        embeds = model.get("purpose") in EVALUATES
        window, layers = layers_of(header)
        return cls(
            tensor_bytes=count(model["tensor_bytes"]) - count(model.get("unloaded_bytes")),
            layers=layers,
            window=window,
            embedding_length=count(model["embedding_length"]),
            feed_forward_length=max(_widest(model.get("feed_forward_length")), experts),
            vocabulary_size=count(model["vocabulary_size"]),
            merge_count=count(model.get("merge_count")),
            table_bytes=count((model.get("token_embedding") or {}).get("bytes")),
            tied=(model.get("token_embedding") or {}).get("tied") is not False,
            embedding_copy_bytes=_copied(model.get("token_embedding") or {}),
            staging_bytes=_staged(model.get("largest_matrices") or {}),
            tensor_count=count(model.get("n_tensors")),
            parameter_count=count(model.get("parameter_count")),
            quantization=model.get("quantization") or "",
            work=work_of(header),
            gated=model.get("gated") is not False,
            experts_used=used,
            cacheless=header.architecture in WITHOUT_CACHE,
            embeds=embeds,
            whole=embeds and model.get("evaluated_whole") is not False,
            all_logits=header.architecture in DIFFUSION or (embeds and header.architecture not in BATCH_ONLY),
            batch_only=header.architecture in BATCH_ONLY,
        )


def footprint(
    shape: Shape,
    *,
    n_ctx: int,
    n_batch: int,
    n_parallel: int = 1,
    checkpoints: int = 0,
    cache_type: str = F16,
) -> tuple[MemoryLine, ...]:
    """Return what llama.cpp takes at most, line by line: a prompt and its answer fill the context of every slot.

    Args:
        shape: the model's figures.
        n_ctx: tokens of the context of one slot.
        n_batch: tokens of prompts that are evaluated at a time.
        n_parallel: slots, which is how many requests are answered at once.
        checkpoints: copies that llama-server keeps for each slot of what cannot be rolled back (`--ctx-checkpoints`).
        cache_type: of keys and values, one of `cache_types.CACHE_TYPES`.
    """
    cells = Cells.of(shape, n_ctx, n_batch, n_parallel)
    copy = "the token embedding once more: as output matrix it is repacked for the CPU"
    staging = "the heap's buffer for the largest matrix that is repacked"
    return (
        MemoryLine("weights", shape.tensor_bytes, "bytes of all tensors, read into memory once"),
        *_unless_empty(MemoryLine("output matrix", shape.embedding_copy_bytes, copy)),
        _cache(shape, cells, CACHE_TYPES[cache_type]),
        *_unless_empty(_state(shape, n_parallel)),
        *_unless_empty(_checkpoints(shape, cells, checkpoints)),
        _compute(shape, cells),
        *_unless_empty(MemoryLine("repacking", shape.staging_bytes, staging)),
        _vocabulary(shape),
        MemoryLine(LLAMA_CPP, LLAMA_CPP_BYTES, "measured: its libraries and tables"),
    )


@dataclass(frozen=True, slots=True)
class Cells:
    """How many tokens the caches of one slot hold, and how many are computed at a time, of all slots together."""

    whole: int
    sliding: int
    batch: int
    slots: int = 1

    @classmethod
    def of(cls, shape: Shape, n_ctx: int, n_batch: int, n_parallel: int = 1) -> Cells:
        """Return what llama.cpp makes of the settings."""
        batch = n_ctx if shape.whole else min(n_batch, n_ctx * n_parallel, UBATCH)
        whole = _padded(n_ctx)
        return cls(whole, _padded(min(whole, shape.window + batch)), batch, n_parallel)

    def of_layer(self, layer: Layer) -> int:
        """Return the cells of one layer's cache."""
        return (self.sliding if layer.slides else self.whole) + (self.kept_by(layer) if layer.every else 0)

    def kept_by(self, layer: Layer) -> int:
        """Return the cells of a layer that keeps one token in so many, and of its index."""
        return _padded(-(-self.whole // layer.every)) if layer.every else self.whole

    def seen_by(self, layer: Layer, shape: Shape) -> int:
        """Return the tokens that one layer's attention looks at."""
        return self.batch if shape.batch_only else self.of_layer(layer)


def _unless_empty(line: MemoryLine) -> tuple[MemoryLine, ...]:
    return (line,) if line.bytes else ()


def _cache(shape: Shape, cells: Cells, number: float) -> MemoryLine:
    # Without flash attention values lie transposed, and all layers get the widest one's (TAG_V_CACHE_VARIABLE).
    values = max((layer.kv_heads * layer.value for layer in shape.layers), default=0)
    cached = [] if shape.cacheless else [layer for layer in shape.layers if layer.kv_heads]
    kinds = Counter((layer.kv_heads * layer.key + values, cells.of_layer(layer)) for layer in cached)
    kinds.update(Counter((layer.index, cells.kept_by(layer)) for layer in cached if layer.index))
    total = math.ceil(sum(layers * numbers * number * held for (numbers, held), layers in kinds.items()))
    terms = [
        f"{layers} layers x {numbers} x {number:g} bytes x {held} tokens"
        for (numbers, held), layers in sorted(kinds.items(), key=lambda kind: -kind[0][1])
    ]
    nothing = "nothing is kept of a text" if shape.cacheless else "no attention layers"
    how = " + ".join(terms[:3]) + (" + ..." if terms[3:] else "") or nothing
    return MemoryLine("kv cache", total * cells.slots, _of_each(how, cells.slots) if terms else how)


def _of_each(how: str, slots: int) -> str:
    """Return the arithmetic of one slot as that of all of them."""
    if slots == 1:
        return how
    return f"{slots} slots x ({how})" if " + " in how else f"{slots} slots x {how}"


def _state(shape: Shape, slots: int) -> MemoryLine:
    kinds = Counter(layer.state for layer in shape.layers if layer.state)
    terms = [
        f"{layers} layers x {numbers} x 4 bytes, whatever the context" for numbers, layers in kinds.items()
    ]
    total = sum(4 * numbers * layers for numbers, layers in kinds.items())
    return MemoryLine("state", total * slots, _of_each(" + ".join(terms), slots))


def _checkpoints(shape: Shape, cells: Cells, each: int) -> MemoryLine:
    """Return what llama-server copies for each slot: states, and the windows of layers that slide."""
    # A layer that keeps the whole context rolls back by forgetting its last cells, and needs no copy.
    cached = [] if shape.cacheless else [layer for layer in shape.layers if layer.kv_heads and layer.slides]
    # Of a window's cells those are written that a token yet to come sees (llama-kv-cache.cpp, state_write).
    seen = min(shape.window, cells.whole)
    windows = sum(2 * layer.kv_heads * (layer.key + layer.value) * seen for layer in cached)
    one = windows + sum(4 * layer.state for layer in shape.layers)
    return MemoryLine(
        "checkpoints",
        one * each * cells.slots,
        _of_each(
            f"{each} x {one / MiB:,.1f} MiB of states and windows, which cannot be rolled back", cells.slots
        ),
    )


def _compute(shape: Shape, cells: Cells) -> MemoryLine:
    """Return llama.cpp's scratch memory while it computes one batch of a prompt at the context's end."""
    looking = [layer for layer in shape.layers if layer.heads]
    seen = {layer: cells.seen_by(layer, shape) for layer in looking}
    # A mask for each kind of layer, also where both kinds hold as much (llama-graph.cpp, build_attn_inp_kv_iswa).
    masks = sum({layer.slides: held for layer, held in seen.items()}.values())
    heads = max((layer.heads for layer in looking), default=0)
    scores = max((layer.heads * held for layer, held in seen.items()), default=0)
    if shape.embeds:
        # Opened with flash attention, which never has all scores at once, and takes masks of half the width.
        scores, masks = 0, masks // 2
    queries = max((layer.heads * layer.key for layer in looking), default=0)
    keys = max((layer.kv_heads * (layer.key + layer.value) for layer in looking), default=0)
    wide, work = shape.embedding_length, shape.work
    chosen = work.chosen * max((held for layer, held in seen.items() if layer.index), default=0)
    networks = 3 if shape.gated else 2  # what goes up, its gate, and their product
    # The tallest of what is there at once in each kind of block, for each token of the batch.
    blocks = {
        "attention": work.scores * scores + 3 * wide + queries + keys + work.attention + chosen,
        "feeding": max(networks * shape.feed_forward_length, 2 * wide * shape.experts_used) + 3 * wide,
        "mixing": work.mixing + work.mixing_squares * cells.batch,
        "giving out": shape.vocabulary_size + 2 * wide if shape.all_logits else 0,
    }
    # What a product's right side is converted to: scores to f16 for the values, which lie in f16 in a cache and in f32
    # where there is none; activations for ffn_down.
    converted = 2 * max(0 if shape.batch_only else scores, shape.feed_forward_length, queries, wide)
    lasting = work.lasting + work.lasting_squares * cells.batch + masks
    total = cells.batch * (4 * (max(blocks.values()) + lasting) + converted)
    total += cells.slots * 4 * max((layer.state for layer in shape.layers), default=0)
    total += cells.slots * SAMPLING_BYTES * shape.vocabulary_size + DECODING_BYTES
    total += NODE_BYTES * max(
        LEAST_NODES, work.nodes_per_token * cells.batch, work.nodes_per_tensor * shape.tensor_count
    )
    if shape.batch_only or shape.embeds:
        # What sees a text whole gives something out for each token of it, and the buffer for that is cleared first
        # (llama-context.cpp, output_reserve): logits and an embedding.
        total += 4 * cells.batch * (shape.vocabulary_size + wide)
    widest = {
        "attention": f"scores of {heads} heads x {cells.batch if shape.batch_only else cells.whole} tokens",
        "feeding": f"{networks} x {shape.feed_forward_length} activations",
        "mixing": f"{work.mixing} activations of a recurrent layer",
        "giving out": f"logits of {shape.vocabulary_size} tokens",
    }[max(blocks, key=lambda name: blocks[name])]
    return MemoryLine(
        "compute", total, f"{cells.batch} tokens at a time: {widest}, masks, conversions, logits, graphs"
    )


def _vocabulary(shape: Shape) -> MemoryLine:
    size = TOKEN_BYTES * shape.vocabulary_size + MERGE_BYTES * shape.merge_count
    merges = f" + {shape.merge_count} merges x {MERGE_BYTES} bytes" if shape.merge_count else ""
    return MemoryLine("vocabulary", size, f"{shape.vocabulary_size} tokens x {TOKEN_BYTES} bytes{merges}")


def _copied(embedding: Mapping[str, Any]) -> int:
    repacked = embedding.get("type") in REPACKED and not count(embedding.get("rows")) % REPACKED_ROWS
    return count(embedding.get("bytes")) if embedding.get("tied") and repacked else 0


def _staged(largest: Mapping[str, Any]) -> int:
    return min(
        max((count(size) for name, size in largest.items() if name in REPACKED), default=0), STAGING_MOST
    )


def _widest(value: Any) -> int:
    return max((count(one) for one in value), default=0) if isinstance(value, list) else count(value)


def _padded(cells: int) -> int:
    return -(-cells // CELL_PADDING) * CELL_PADDING
