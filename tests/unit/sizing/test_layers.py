"""Layers: which keep keys and values, which a state, which an index; and what each kind computes with, by hand."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.gguf import architectures
from pipeline.gguf.header import MEMORY_KEYS
from pipeline.sizing import layers, llama_memory
from pipeline.sizing.layers import Header, layers_of
from pipeline.sizing.llama_memory import Shape
from tests.unit.sizing.test_llama_memory import line, model

MAMBA = {"ssm.conv_kernel": 4, "ssm.inner_size": 1024, "ssm.state_size": 16}
MAMBA2 = {**MAMBA, "ssm.group_count": 2, "ssm.state_size": 128, "ssm.time_step_rank": 16}
MIXED = {"head_counts": [8, 0, 8, 0], "head_counts_kv": [2, 0, 2, 0]}


def kinds(facts: dict[str, Any]) -> str:
    """Return a letter for each layer: A attends, S keeps a state, B does both, - neither."""
    letters = {(True, False): "A", (False, True): "S", (True, True): "B", (False, False): "-"}
    _, found = layers_of(Header(facts))
    return "".join(letters[layer.kv_heads > 0, layer.state > 0] for layer in found)


@pytest.mark.parametrize(
    ("facts", "expected"),
    [
        pytest.param({"architecture": "llama", "memory_keys": MAMBA}, "AAAA", id="keys of another kind are ignored"),
        pytest.param({"architecture": "mamba", "memory_keys": MAMBA}, "SSSS", id="mamba"),
        pytest.param({"architecture": "rwkv7", "memory_keys": {"wkv.head_size": 64}}, "SSSS", id="rwkv7"),
        pytest.param({"architecture": "jamba", "memory_keys": MAMBA, **MIXED}, "ASAS", id="jamba: no KV heads"),
        pytest.param({"architecture": "lfm2", "memory_keys": {"shortconv.l_cache": 3}, **MIXED}, "ASAS", id="lfm2"),
        pytest.param({"architecture": "falcon-h1", "memory_keys": MAMBA2}, "BBBB", id="falcon-h1: both in each"),
        pytest.param({"architecture": "nemotron_h", "memory_keys": MAMBA2, "feed_forward_length": [0, 0, 0, 9],
                      **MIXED}, "ASA-", id="nemotron_h: a layer that feeds has nothing else"),
        pytest.param({"architecture": "qwen35", "memory_keys": MAMBA2}, "SSSA", id="qwen35: every fourth attends"),
        pytest.param({"architecture": "qwen3next", "memory_keys": {**MAMBA2, "full_attention_interval": 2}}, "SASA",
                     id="the header's own interval"),
        pytest.param({"architecture": "qwen35", "memory_keys": {**MAMBA2, "attention.recurrent_layers": [0, 1, 1, 0]}},
                     "ASSA", id="the header's own list"),
        pytest.param({"architecture": "minimax-01", "block_count": 8}, "SSSSSSSA", id="minimax-01: every eighth"),
    ],
)  # fmt: skip
def test_which_layers_attend_and_which_keep_a_state(facts: dict[str, Any], expected: str) -> None:
    """By llama.cpp's rule for the architecture: recurrent layers have no keys and values."""
    assert kinds(model(**facts)) == expected


@pytest.mark.parametrize(
    ("facts", "numbers"),
    [
        pytest.param({"architecture": "mamba", "memory_keys": MAMBA}, 4 * (3 * 1024 + 16 * 1024), id="mamba"),
        pytest.param({"architecture": "mamba2", "memory_keys": MAMBA2}, 4 * (3 * (1024 + 2 * 2 * 128) + 128 * 1024),
                     id="mamba2: its groups are convolved too"),
        pytest.param({"architecture": "rwkv6", "memory_keys": {"wkv.head_size": 64}}, 4 * (2 * 512 + 512 * 64),
                     id="rwkv6: two tokens before"),
        pytest.param({"architecture": "arwkv7", "memory_keys": {"wkv.head_size": 64, "token_shift_count": 1}},
                     4 * (512 + 512 * 64), id="arwkv7: one token before"),
        pytest.param({"architecture": "lfm2", "memory_keys": {"shortconv.l_cache": 3}, **MIXED}, 2 * 2 * 512,
                     id="lfm2"),
        pytest.param({"architecture": "kimi-linear", **MIXED,
                      "memory_keys": {"kda.head_dim": 128, "ssm.conv_kernel": 4}},
                     2 * (3 * 3 * 8 * 128 + 128 * 128 * 8), id="kimi-linear"),
        pytest.param({"architecture": "minimax-01"}, 4 * 64 * 64 * 8, id="minimax-01"),
    ],
)  # fmt: skip
def test_the_state_of_recurrent_layers(facts: dict[str, Any], numbers: int) -> None:
    """Four bytes a number, whatever the context."""
    read = model(**facts)

    assert line("state", read, n_ctx=512) == line("state", read, n_ctx=8192) == 4 * numbers


def test_a_layer_without_attention_has_no_share_in_the_cache() -> None:
    """Three of qwen35's four layers grow with the context by nothing."""
    assert line("kv cache", model(architecture="qwen35", memory_keys=MAMBA2)) == 2048 * 2 * 2 * 128


def test_what_reads_a_text_whole_keeps_nothing_of_it() -> None:
    """Encoders and diffusion models have no cache, and compute as much in a long context as in a short one."""
    bert = model(architecture="bert")

    assert line("kv cache", bert) == 0
    assert line("compute", bert, n_ctx=8192) == line("compute", bert, n_ctx=512)
    assert line("compute", bert) < line("compute", model())


@pytest.mark.parametrize(
    ("architecture", "said", "sliding"),
    [
        pytest.param("cohere2moe", None, "wsssws", id="the first of four sees everything"),
        pytest.param("cohere2moe", 3, "wsswss", id="the first of the header's three"),
        pytest.param("plamo3", None, "ssssss", id="every eighth"),
        pytest.param("deepseek4", None, "ssssss", id="all slide"),
        pytest.param("mimo2", [0, 1, 0, 1, 0, 1], "wswsws", id="only by the header's list"),
        pytest.param("mimo2", 2, "wwwwww", id="which has to be one"),
        pytest.param("exaone4", None, "wwwwww", id="only its largest model"),
    ],
)
def test_which_layers_slide(architecture: str, said: Any, sliding: str) -> None:
    """By llama.cpp's rule for the architecture."""
    facts = model(architecture=architecture, block_count=6, sliding_window=128, sliding_window_pattern=said)
    _, found = layers_of(Header(facts))

    assert "".join("s" if layer.slides else "w" for layer in found) == sliding


@pytest.mark.parametrize(
    ("architecture", "window"), [("llama4", 8192), ("smallthinker", 4096), ("gemma3", 512)]
)
def test_some_windows_are_not_the_header_s(architecture: str, window: int) -> None:
    """Two architectures have one of their own, whatever the header says."""
    assert layers_of(Header(model(architecture=architecture, sliding_window=512)))[0] == window


def test_layers_that_draft_are_not_loaded() -> None:
    """Neither their weights nor a cache for them."""
    whole = model(block_count=5, unloaded_bytes=7)
    drafting = model(block_count=5, unloaded_bytes=7, memory_keys={"nextn_predict_layers": 1})

    assert line("weights", drafting) == whole["tensor_bytes"] - 7
    assert line("kv cache", drafting) * 5 == line("kv cache", whole) * 4


def test_a_file_of_nothing_but_layers_that_draft_is_loaded_whole() -> None:
    """llama.cpp takes it for a model."""
    assert kinds(model(memory_keys={"nextn_predict_layers": 4})) == "AAAA"


@pytest.mark.parametrize(
    ("facts", "numbers"),
    [
        pytest.param({"architecture": "deepseek32"}, 4 * 128, id="all layers"),
        pytest.param({"architecture": "glm-dsa", "memory_keys": {"attention.indexer.types": [1, 0, 1, 0]}}, 2 * 128,
                     id="those that the header lists"),
        pytest.param({"architecture": "minimax-m3", "memory_keys": {"leading_dense_block_count": 1}}, 3 * (128 + 64),
                     id="behind the dense ones, with values"),
        pytest.param({"architecture": "hy_v4"}, 0, id="hy_v4 without a number of tokens to choose"),
        pytest.param({"architecture": "deepseek2"}, 0, id="an architecture that has none"),
    ],
)  # fmt: skip
def test_an_index_is_kept_for_each_token(facts: dict[str, Any], numbers: int) -> None:
    """Two bytes a number and token, beside keys and values."""
    keys = {"attention.indexer.key_length": 128, **facts.get("memory_keys", {})}
    plain = {name: value for name, value in keys.items() if name != "attention.indexer.key_length"}

    with_index, without = (line("kv cache", model(**{**facts, "memory_keys": one})) for one in (keys, plain))

    assert with_index - without == numbers * 2 * 2048


def test_embeddings_of_each_layer_last_from_the_first_to_the_last() -> None:
    """gemma4 has them there twice, for all layers at once."""
    plain = model(architecture="gemma4")
    rich = model(architecture="gemma4", memory_keys={"embedding_length_per_layer_input": 256})

    assert line("compute", rich) - line("compute", plain) == 512 * 4 * 2 * 256 * 4


def test_a_latent_key_is_computed_in_three_forms() -> None:
    """As projected, absorbed into the latent space, and with its rotation."""
    facts = model(head_counts_kv=1, key_length=576, value_length=512, key_length_mla=192)
    latent = model(**{**facts, "memory_keys": {"attention.kv_lora_rank": 512}})

    assert line("compute", latent) - line("compute", facts) == 512 * 4 * 8 * 512


def test_the_width_of_experts_is_that_of_their_tensors() -> None:
    """Architectures have it under different keys; what a token's experts give out together may be the widest."""
    said = model(expert_used_count=8, expert_feed_forward_length=12_500, feed_forward_length=1)

    assert line("compute", model(expert_used_count=8, expert_width=12_500)) == line("compute", said)
    assert line("compute", model(expert_used_count=200, expert_width=1)) > line("compute", model())


def test_a_network_without_a_gate_computes_less() -> None:
    """What goes up and what becomes of it, without a third."""
    wide = {"feed_forward_length": 100_000}

    assert line("compute", model(**wide)) - line("compute", model(**wide, gated=False)) == 512 * 4 * 100_000


@pytest.mark.parametrize(
    ("facts", "batch", "nodes"),
    [
        pytest.param({"n_tensors": 100}, 512, 1024, id="at least"),
        pytest.param({"n_tensors": 500}, 512, 4000, id="eight for each tensor"),
        pytest.param(
            {"n_tensors": 500, "architecture": "qwen35"}, 512, 20_480, id="qwen35: 40 for each token"
        ),
        pytest.param({"n_tensors": 500, "architecture": "qwen35"}, 32, 16_000, id="or 32 for each tensor"),
        pytest.param(
            {"n_tensors": 100, "architecture": "kimi-k3"}, 512, 81_920, id="kimi-k3: 160 for each token"
        ),
    ],
)
def test_graphs_are_described_node_by_node(facts: dict[str, Any], batch: int, nodes: int) -> None:
    """Some architectures make room for many: two graphs of 40 nodes for each of 512 tokens take 17 MiB."""
    few = line("compute", model(**{**facts, "n_tensors": 0, "architecture": "llama"}), n_batch=batch)

    found = line("compute", model(**facts), n_batch=batch)

    assert found - few == llama_memory.NODE_BYTES * (nodes - llama_memory.LEAST_NODES)


def test_recurrent_layers_compute_too() -> None:
    """Without attention they are what is tallest."""
    less, more = (
        line("compute", model(architecture="mamba", head_counts=0, memory_keys={**MAMBA, "ssm.inner_size": size}))
        for size in (4096, 8192)
    )  # fmt: skip

    assert more - less == 512 * 4 * 5 * 4096 + 4 * (3 + 16) * 4096


@given(
    architecture=st.sampled_from(sorted({*layers._SLIDING, *layers.BATCH_ONLY, *architectures.RECURRENT,
                                         *layers._INDEXED, *layers._WITHOUT_KV_HEADS, *layers._INTERVALS,
                                         *layers._NODES, "falcon-h1", "nemotron_h", "llama"})),
    keys=st.dictionaries(st.sampled_from(MEMORY_KEYS), st.integers(-(2**31), 2**32 - 1)
                         | st.lists(st.integers(-(2**31), 2**32 - 1), max_size=6)),
    block_count=st.integers(0, 8),
)  # fmt: skip
def test_no_claim_of_a_header_breaks_the_arithmetic(
    architecture: str, keys: dict[str, Any], block_count: int
) -> None:
    """Whatever stands in the keys, there are as many layers as the header says at most, and a number for each line."""
    facts = model(architecture=architecture, block_count=block_count, memory_keys=keys, sliding_window=64)
    lines = llama_memory.footprint(Shape.from_json(facts), n_ctx=2048, n_batch=512)

    assert len(layers_of(Header(facts))[1]) <= block_count
    assert all(isinstance(one.bytes, int) for one in lines)


def test_every_key_that_the_rules_ask_for_is_read() -> None:
    """One list, in the reader of headers; the rules name no key that it has not."""
    asked: set[str] = set()

    class Watched(dict[str, Any]):
        def get(self, key: str, default: Any = None) -> Any:
            asked.add(key)
            return super().get(key, default)

    for architecture in ("mamba2", "rwkv7", "lfm2", "kimi-linear", "minimax-01", "qwen35", "qwen4exp", "glm5-next",
                         "minimax-m3", "hy_v4", "deepseek4", "gemma4"):  # fmt: skip
        facts = model(architecture=architecture, key_length_mla=1)
        given = {"attention.indexer.key_length": 1, "wkv.head_size": int(architecture == "rwkv7")}
        facts["memory_keys"] = Watched(given)
        llama_memory.footprint(Shape.from_json(facts), n_ctx=512, n_batch=512)

    assert asked <= set(MEMORY_KEYS)
    assert asked == set(MEMORY_KEYS), "a key that nothing asks for"


def test_a_layer_that_feeds_has_no_cache() -> None:
    """nemotron_h's feed-forward layers keep nothing, whatever heads the header gives them."""
    facts = model(
        architecture="nemotron_h", memory_keys=MAMBA2, feed_forward_length=[0, 9, 0, 9], head_counts_kv=2
    )

    assert kinds(facts) == "A-A-"


def test_gemma3n_s_later_layers_use_the_cache_of_its_first_twenty() -> None:
    """And it computes 256 numbers for each layer, and four streams, from the first to the last."""
    deep = model(architecture="gemma3n", block_count=22)

    assert kinds(deep) == "A" * 20 + "--"
    more = line("compute", deep) - line("compute", model(architecture="llama", block_count=22))
    assert more == 512 * 4 * (2 * 256 * 22 + 4 * 512)


def deepseek4(**keys: Any) -> dict[str, Any]:
    """Return a model whose layers slide, and two of which keep one token in 4 and one in 128 besides."""
    return model(
        architecture="deepseek4",
        sliding_window=128,
        head_counts_kv=1,
        memory_keys={"attention.compress_ratios": [0, 0, 4, 128], **keys},
    )


def test_tokens_before_the_window_are_kept_one_in_so_many() -> None:
    """In whole steps of 256; where it is one in four, an index of as many besides. There are no values."""
    cells = 4 * 768 + 2048 + 256  # 128 + 512 in steps of 256

    assert line("kv cache", deepseek4(), n_ctx=8192) == 2 * 64 * cells
    indexed = deepseek4(**{"attention.indexer.key_length": 128})
    assert line("kv cache", indexed, n_ctx=8192) == 2 * (64 * cells + 128 * 2048)


def test_choosing_tokens_computes_with_their_queries_and_scores() -> None:
    """Queries in three forms, and two numbers for each token of the context."""
    keys = {"attention.indexer.head_count": 64, "attention.indexer.key_length": 128}
    plain, choosing = model(architecture="deepseek32"), model(architecture="deepseek32", memory_keys=keys)

    for n_ctx in (2048, 8192):
        more = line("compute", choosing, n_ctx=n_ctx) - line("compute", plain, n_ctx=n_ctx)
        assert more == 512 * 4 * (3 * 64 * 128 + 2 * n_ctx)


def test_qwen4exp_scores_blocks_of_tokens_for_each_head_of_its_index() -> None:
    """Before and after their activation: 2 x 64 heads for each 4 tokens."""
    keys = {
        "attention.indexer.head_count": 64,
        "attention.indexer.key_length": 128,
        "full_attention_interval": 1,
    }
    blocks = {**keys, "attention.compress_ratios": [4] * 4}
    few, many = (
        line("compute", model(architecture="qwen4exp", memory_keys=one), n_ctx=8192)
        for one in ({**blocks, "attention.indexer.head_count": 0}, blocks)
    )

    assert many - few == 512 * 4 * (3 * 64 * 128 + 32 * 8192)


def test_what_experts_give_out_is_as_wide_as_the_model_for_each_of_them() -> None:
    """Twice: as it is, and weighted."""
    one, two = (
        line("compute", model(expert_used_count=used, expert_width=1)) for used in (200, 201)
    )  # fmt: skip

    assert two - one == 512 * 4 * 2 * 512


def test_minimax_01_s_linear_attention_computes_with_every_two_tokens_of_a_batch() -> None:
    """A decay for each pair and head lasts; two more are there in a recurrent layer."""
    facts = model(architecture="minimax-01", head_counts=64, memory_keys={"full_attention_interval": 100})
    small, large = (line("compute", facts, n_batch=batch) for batch in (256, 512))

    mixing = 3 * 512 + 4 * 64 * 64
    converted = 2 * 1024  # activations of the feed-forward network
    assert large - small == 4 * (mixing * 256 + 3 * 64 * (512**2 - 256**2)) + converted * 256 + (
        llama_memory.NODE_BYTES * 40 * 256
    )


def test_what_encodes_gives_logits_and_an_embedding_for_each_token() -> None:
    """The buffer for them is cleared, so all of it is there."""
    few, many = (line("compute", model(architecture="bert", vocabulary_size=size)) for size in (1000, 2000))

    assert many - few == 1000 * (llama_memory.SAMPLING_BYTES + 4 * 512)


def test_diffusion_computes_logits_for_each_token() -> None:
    """Where they are more than all that is computed before."""
    few, many = (
        line("compute", model(architecture="dream", vocabulary_size=size)) for size in (100_000, 200_000)
    )

    assert many - few == 100_000 * (llama_memory.SAMPLING_BYTES + 2 * 4 * 512)


def test_t5_adds_a_matrix_to_its_scores() -> None:
    """Where tokens stand is a matrix of its own, and it is laid out anew."""
    plain, biased = (line("compute", model(architecture=name)) for name in ("llama-embed", "t5encoder"))

    assert biased - plain == 512 * 4 * 2 * 8 * 512
