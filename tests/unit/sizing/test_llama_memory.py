"""Footprint: llama.cpp's rules for weights, caches, buffers and vocabularies, on figures for checking by hand."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from pipeline.limits import MiB
from pipeline.sizing import layers, llama_memory
from pipeline.sizing.layers import Layer
from pipeline.sizing.llama_memory import Shape

KiB = 1024


def model(**changes: Any) -> dict[str, Any]:
    """Return the model part of an archive report: four layers of 8 heads on 2, 64 wide."""
    return {
        "architecture": "llama",
        "quantization": "Q4_K_M",
        "tensor_bytes": 100 * MiB,
        "parameter_count": 160_000_000,
        "block_count": 4,
        "embedding_length": 512,
        "feed_forward_length": 1024,
        "head_counts": 8,
        "head_counts_kv": 2,
        "key_length": 64,
        "value_length": 64,
        "vocabulary_size": 1000,
        **changes,
    }


def line(name: str, facts: dict[str, Any], *, n_ctx: int = 2048, n_batch: int = 512) -> int:
    """Return the bytes of one line; 0 when there is none."""
    lines = llama_memory.footprint(Shape.from_json(facts), n_ctx=n_ctx, n_batch=n_batch)
    return sum(one.bytes for one in lines if one.name == name)


@pytest.mark.parametrize(
    ("facts", "per_token"),
    [
        pytest.param({"block_count": 16, "head_counts_kv": 8, "key_length": 64}, 32 * KiB, id="Llama 3.2 1B"),
        pytest.param(
            {"block_count": 28, "head_counts_kv": 8, "key_length": 128, "value_length": 128},
            112 * KiB,
            id="Llama 3.2 3B",
        ),
        pytest.param({"head_counts_kv": None}, 4 * 8 * 128 * 2, id="as many KV heads as heads"),
        pytest.param({"head_counts": None, "head_counts_kv": None}, 0, id="no attention"),
        pytest.param({"shared_kv_layers": 1}, 3 * 2 * 128 * 2, id="a layer that uses another's"),
        pytest.param({"key_length": 576, "value_length": 512, "head_counts_kv": 1, "key_length_mla": 192},
                     4 * 576 * 2, id="compressed: no values"),
    ],
)  # fmt: skip
def test_the_cache_of_a_token(facts: dict[str, Any], per_token: int) -> None:
    """Two bytes for each number of each key and value of each layer."""
    assert line("kv cache", model(**facts), n_ctx=2048) == per_token * 2048


@pytest.mark.parametrize(
    ("n_ctx", "cells"),
    [pytest.param(64, 256, id="at least one step"), pytest.param(2048, 2048, id="whole steps"),
     pytest.param(2049, 2304, id="rounded up")],
)  # fmt: skip
def test_a_cache_is_padded(n_ctx: int, cells: int) -> None:
    """llama.cpp rounds a context up to a multiple of 256 cells."""
    assert line("kv cache", model(), n_ctx=n_ctx) == 4 * 2 * 128 * 2 * cells


@pytest.mark.parametrize(
    ("facts", "whole", "sliding"),
    [
        pytest.param({"architecture": "gemma3", "block_count": 62}, 10, 52, id="gemma3: every sixth sees all"),
        pytest.param({"architecture": "gemma3", "block_count": 5}, 0, 5, id="gemma3: none that sees all"),
        pytest.param({"architecture": "gemma2", "block_count": 26}, 13, 13, id="gemma2: every second"),
        pytest.param({"architecture": "cohere2", "block_count": 32}, 8, 24, id="cohere2: every fourth"),
        pytest.param({"architecture": "gemma3", "block_count": 8, "sliding_window_pattern": 4}, 2, 6,
                     id="the header's own period"),
        pytest.param({"architecture": "gemma4", "block_count": 3, "sliding_window_pattern": [1, 0, 1]}, 1, 2,
                     id="the header's own pattern"),
        pytest.param({"architecture": "gemma3", "sliding_window": None}, 4, 0, id="gemma3 without a window"),
        pytest.param({"architecture": "qwen2"}, 4, 0, id="a window that llama.cpp ignores"),
        pytest.param({"architecture": "llama"}, 4, 0, id="another that it ignores"),
    ],
)  # fmt: skip
def test_sliding_layers_keep_their_window_and_one_batch(
    facts: dict[str, Any], whole: int, sliding: int
) -> None:
    """Which layers slide is llama.cpp's rule for the architecture; the others keep the whole context."""
    read = model(**{"sliding_window": 1000, **facts})
    cells = whole * 8192 + sliding * 1536  # 1000 + 512 tokens, in steps of 256

    assert line("kv cache", read, n_ctx=8192) == 2 * 128 * 2 * cells


def test_gemma2_has_its_window_although_the_header_says_none() -> None:
    """4096 is llama.cpp's own figure."""
    facts = model(architecture="gemma2", block_count=2)

    assert line("kv cache", facts, n_ctx=16_384) == 2 * 128 * 2 * (16_384 + 4096 + 512)


def test_a_window_longer_than_the_context_saves_nothing() -> None:
    """No layer keeps more than the context."""
    sliding = model(architecture="gemma3", sliding_window=4096)

    assert line("kv cache", sliding) == line("kv cache", model())


def test_values_are_as_wide_in_every_layer_as_in_the_widest() -> None:
    """Without flash attention values lie transposed, and llama.cpp pads them; layers without KV heads have none."""
    facts = model(head_counts_kv=[2, 0, 0, 4], value_length=32)

    assert line("kv cache", facts, n_ctx=256) == 256 * 2 * ((2 + 4) * 64 + 2 * 4 * 32)


def test_attention_scores_are_what_compute_needs_most() -> None:
    """One number for each head, token of the context and token of the batch, and half as much for its conversion."""
    one, two = (line("compute", model(), n_ctx=n_ctx) for n_ctx in (4096, 8192))

    assert two - one == 512 * 4096 * (8 * 4 + 8 * 2 + 4)


@pytest.mark.parametrize(
    ("smaller", "larger"),
    [
        pytest.param({"n_batch": 128}, {"n_batch": 512}, id="a larger batch"),
        pytest.param({"n_ctx": 256}, {"n_ctx": 512}, id="a batch is never longer than the context"),
    ],
)
def test_compute_grows_with_the_batch(smaller: dict[str, int], larger: dict[str, int]) -> None:
    """As many tokens at a time as the batch has, in as long a context."""
    assert line("compute", model(), **smaller) < line("compute", model(), **larger)


def test_a_batch_above_what_is_computed_at_a_time_needs_no_more() -> None:
    """n_ubatch stays 512."""
    assert line("compute", model(), n_batch=8192) == line("compute", model(), n_batch=512)


def test_the_widest_feed_forward_layer_counts() -> None:
    """One number for all layers, one for each, or a mixture of experts."""
    wide = line("compute", model(feed_forward_length=100_000))

    assert line("compute", model(feed_forward_length=[10, 100_000, 20])) == wide
    assert line("compute", model(expert_used_count=8, expert_feed_forward_length=12_500)) == wide
    assert wide > line("compute", model())


@pytest.mark.parametrize(
    ("embedding", "copied"),
    [
        pytest.param({"type": "Q4_0", "rows": 1000, "bytes": 7, "tied": True}, 7, id="repacked"),
        pytest.param({"type": "Q6_K", "rows": 1000, "bytes": 7, "tied": True}, 0, id="not repacked: shared"),
        pytest.param({"type": "Q4_K", "rows": 1000, "bytes": 7, "tied": False}, 0, id="has an output matrix"),
        pytest.param({"type": "Q4_K", "rows": 1001, "bytes": 7, "tied": True}, 0, id="rows that cannot be"),
        pytest.param(None, 0, id="not seen"),
    ],
)
def test_a_tied_embedding_that_is_repacked_is_there_twice(
    embedding: dict[str, Any] | None, copied: int
) -> None:
    """Rows are looked up in one layout and multiplied with in another."""
    assert line("output matrix", model(token_embedding=embedding)) == copied


@pytest.mark.parametrize(
    ("largest", "kept"),
    [
        pytest.param({"Q4_K": 9 * MiB, "Q6_K": 20 * MiB}, 9 * MiB, id="only what is repacked"),
        pytest.param({"Q4_0": 90 * MiB}, 32 * MiB, id="above this it is returned"),
        pytest.param({"Q8_0": 9 * MiB, "F16": 9 * MiB}, 0, id="nothing is repacked"),
    ],
)
def test_repacking_leaves_a_buffer(largest: dict[str, int], kept: int) -> None:
    """The heap keeps the buffer that the largest repacked matrix was read into."""
    assert line("repacking", model(largest_matrices=largest)) == kept


def test_a_vocabulary_costs_by_token_and_merge() -> None:
    """Tables in both directions, and the ranks of the merges."""
    facts = model(vocabulary_size=128_256, merge_count=280_147)

    assert (
        line("vocabulary", facts) == 128_256 * llama_memory.TOKEN_BYTES + 280_147 * llama_memory.MERGE_BYTES
    )


def test_a_header_without_figures_leaves_only_what_every_model_needs() -> None:
    """The planner does not fail where the model server will say what it misses."""
    lines = llama_memory.footprint(Shape.from_json(dict.fromkeys(model())), n_ctx=2048, n_batch=512)

    graphs = llama_memory.NODE_BYTES * llama_memory.LEAST_NODES
    assert (
        sum(one.bytes for one in lines) == llama_memory.LLAMA_CPP_BYTES + llama_memory.DECODING_BYTES + graphs
    )


def test_a_claimed_number_of_layers_costs_nothing() -> None:
    """2^31 layers do not become a tuple."""
    assert len(Shape.from_json(model(block_count=2**31)).layers) == layers.MOST_LAYERS


@example(
    shape=Shape(0, (*[Layer(0, 0, 0, 0)] * 6, Layer(0, 0, 0, 0, slides=True)), window=499),
    n_ctx=769,
    n_batch=206,
)
@given(
    shape=st.builds(
        Shape,
        tensor_bytes=st.integers(0, 20 * 10**9),
        layers=st.lists(
            st.builds(
                Layer,
                heads=st.integers(0, 128),
                kv_heads=st.integers(0, 128),
                key=st.integers(0, 512),
                value=st.integers(0, 512),
                slides=st.booleans(),
            ),
            max_size=8,
        ).map(tuple),
        window=st.integers(0, 8192),
        embedding_length=st.integers(0, 16_384),
        feed_forward_length=st.integers(0, 65_536),
        vocabulary_size=st.integers(0, 300_000),
    ),
    n_ctx=st.integers(64, 131_072),
    n_batch=st.integers(1, 8192),
)
def test_more_never_needs_less(shape: Shape, n_ctx: int, n_batch: int) -> None:
    """A longer context, a larger batch and a wider window need at least as much, line by line."""

    def needed(shape: Shape, n_ctx: int, n_batch: int) -> list[int]:
        return [one.bytes for one in llama_memory.footprint(shape, n_ctx=n_ctx, n_batch=n_batch)]

    here = needed(shape, n_ctx, n_batch)
    for more in (
        needed(shape, n_ctx + 64, n_batch),
        needed(shape, n_ctx, n_batch + 1),
        needed(replace(shape, window=shape.window + 64), n_ctx, n_batch),
    ):
        assert all(less <= greater for less, greater in zip(here, more, strict=True))


def test_a_model_for_embeddings_evaluates_a_text_at_once() -> None:
    """However small n_batch is: all tokens of a text see each other. Each has room for its logits and its embedding."""
    bert = model(purpose="embedding", architecture="bert")
    assert line("compute", model(purpose="rerank", architecture="bert"), n_ctx=512) == line(
        "compute", bert, n_ctx=512
    )
    short, long = line("compute", bert, n_ctx=1024, n_batch=128), line("compute", bert, n_ctx=2048)
    graphs = llama_memory.NODE_BYTES * llama_memory.LEAST_NODES
    fixed = llama_memory.SAMPLING_BYTES * 1000 + llama_memory.DECODING_BYTES + graphs

    assert short == line("compute", bert, n_ctx=1024)
    # What each token takes for each other one: a mask of half the width; and what it takes whatever the others are.
    each_other = 2
    assert long - fixed - 2 * (short - fixed) == 2 * 1024 * 1024 * each_other
    assert (short - fixed) // 1024 - 1024 * each_other >= 4 * (1000 + 512)


def test_a_generators_body_computes_the_logits_that_nobody_asks_for() -> None:
    """They are in the graph beside what it hands out; in parts where the last token is all that counts."""
    few, many = (
        line("compute", model(purpose="embedding", vocabulary_size=size), n_ctx=512)
        for size in (100_000, 200_000)
    )
    at_once = line("compute", model(purpose="embedding"), n_ctx=2048, n_batch=128)
    in_parts = line("compute", model(purpose="embedding", evaluated_whole=False), n_ctx=2048, n_batch=128)

    assert many - few == 100_000 * (2 * 4 * 512 + llama_memory.SAMPLING_BYTES)
    assert in_parts < at_once / 4


def test_a_cache_that_is_empty_says_why() -> None:
    """An encoder attends, and keeps nothing; a recurrent model does not attend."""
    for facts, why in (
        (model(architecture="bert"), "nothing is kept of a text"),
        (model(head_counts=None, head_counts_kv=None), "no attention layers"),
    ):
        (cache,) = (
            one
            for one in llama_memory.footprint(Shape.from_json(facts), n_ctx=512, n_batch=512)
            if one.name == "kv cache"
        )
        assert (cache.bytes, cache.how) == (0, why)
