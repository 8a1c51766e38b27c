"""What llama.cpp wants of a model's metadata: each rule, told once, and at its very border."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.gguf import loading
from pipeline.gguf.header import GGUFHeader, Unread
from pipeline.gguf.hyperparameters import BY_ARCHITECTURE, COMMON, TOKEN_IDS

Typed = tuple[str, Any]
GOOD: dict[str, Typed] = {
    "general.architecture": ("string", "llama"),
    "llama.context_length": ("uint32", 64),
    "llama.embedding_length": ("uint32", 32),
    "llama.block_count": ("uint32", 2),
    "llama.attention.head_count": ("uint32", 2),
    "llama.attention.layer_norm_rms_epsilon": ("float32", 1e-6),
    "tokenizer.ggml.model": ("string", "llama"),
    "tokenizer.ggml.tokens": ("array of string", Unread("string", 70)),
}
FLOATS, NUMBERS = "array of float32", "array of uint32"


def told(
    changes: dict[str, Typed | None], base: dict[str, Typed] | None = None
) -> list[tuple[str, str, str]]:
    """Return error, seen and wanted of each problem of a good header that is changed; None takes a key away."""
    entries = {**(GOOD if base is None else base), **changes}
    kept = {key: entry for key, entry in entries.items() if entry is not None}
    header = GGUFHeader(
        version=3,
        metadata={key: value for key, (_, value) in kept.items()},
        tensors=(),
        alignment=32,
        data_offset=0,
        types={key: kind for key, (kind, _) in kept.items()},
    )
    return [(problem.error, problem.seen, problem.wanted) for problem in loading.problems(header)]


def of(architecture: str, **changes: Typed) -> dict[str, Typed]:
    """Return a good header's entries for another architecture, with all that it needs."""
    values: dict[str, Typed] = {"uint32": ("uint32", 2), "float32": ("float32", 1.0), "bool": ("bool", True)}
    keys = [key for key in (*COMMON, *BY_ARCHITECTURE[architecture]) if key.required]
    entries = {
        key.name.replace("%s", architecture): values.get(key.kind) or (f"array of {key.items[0]}", (2, 2))
        for key in keys
    }
    entries["general.architecture"] = ("string", architecture)
    vocabulary = {key: entry for key, entry in GOOD.items() if key.startswith("tokenizer.")}
    return {**entries, **vocabulary, **{f"{architecture}.{key}": value for key, value in changes.items()}}


def test_a_good_model_has_no_problem() -> None:
    """Else the tests below would show nothing."""
    assert told({}) == []


@pytest.mark.parametrize(
    "key",
    [key for key in GOOD if key not in ("general.architecture", "llama.attention.head_count")],
)
def test_a_key_that_is_needed_and_missing_is_named(key: str) -> None:
    """With what it is needed for."""
    ((error, seen, wanted),) = told({key: None})

    assert (error, seen) == ("GGUFKeyMissing", f"no {key} in the metadata")
    assert "'llama'" in wanted


def test_many_missing_keys_are_one_problem() -> None:
    """Six by name, the others as a number."""
    bare: dict[str, Typed] = {"general.architecture": ("string", "mamba")}

    ((error, seen, _),) = told({}, bare)
    ((_, six, _),) = told({}, {"general.architecture": ("string", "llama")})

    assert error == "GGUFKeyMissing"
    assert seen.startswith("no mamba.context_length, mamba.embedding_length, mamba.block_count, ")
    assert seen.endswith(" and 4 more in the metadata")
    assert seen.count(",") == six.count(",") == 5
    assert six.endswith("tokenizer.ggml.tokens in the metadata")


@pytest.mark.parametrize(
    ("key", "entry", "wanted"),
    [
        pytest.param("llama.block_count", ("int32", 2), "uint32", id="another integer"),
        pytest.param("llama.block_count", ("array of uint32", (2,)), "uint32", id="an array for a number"),
        pytest.param("llama.context_length", ("uint64", 64), "uint32", id="a wider integer"),
        pytest.param("llama.rope.freq_base", ("float64", 1.0), "float32", id="a wider float, and not needed"),
        pytest.param("general.name", ("uint32", 1), "string", id="a number for a name"),
        pytest.param("general.file_type", ("int32", 1), "uint32", id="the file type"),
        pytest.param(
            "llama.attention.key_length", ("int32", 16), "uint32", id="looked at where there are heads"
        ),
        pytest.param(
            "llama.attention.head_count",
            (FLOATS, (2.0, 2.0)),
            "uint32 or array of bool or array of int32 or array of uint32",
            id="an array of the wrong items",
        ),
        pytest.param("tokenizer.ggml.model", ("uint32", 1), "string", id="the tokenizer"),
        pytest.param("tokenizer.ggml.tokens", (NUMBERS, (1,)), "array of string", id="numbers for tokens"),
        pytest.param("tokenizer.ggml.tokens", ("string", "a"), "array of string", id="one token"),
        pytest.param(
            "tokenizer.ggml.scores",
            ("array of float64", Unread("float64", 70)),
            "array of float32 or array of int32",
            id="scores of doubles",
        ),
        pytest.param("tokenizer.ggml.token_type", (NUMBERS, (1,) * 70), "array of int32", id="token types"),
        pytest.param(
            "tokenizer.ggml.suppress_tokens", ("int32", 1), "array of int32", id="a suppressed token"
        ),
        pytest.param("tokenizer.ggml.add_bos_token", ("uint32", 1), "bool", id="a number for a flag"),
        *(pytest.param(key, ("int32", 1), "uint32", id=key) for key in TOKEN_IDS),
    ],
)
def test_a_key_of_another_type_is_named(key: str, entry: Typed, wanted: str) -> None:
    """With its type, and those that llama.cpp takes."""
    assert told({key: entry}) == [("GGUFKeyType", f"{key} of type {entry[0]}", wanted)]


def test_flags_and_other_integers_do_in_arrays() -> None:
    """As llama_model_loader::get_arr has it; not as single values."""
    for kind, value in (("array of bool", (True, True)), ("array of int32", (2, 2)), (NUMBERS, (2, 2))):
        assert told({"llama.attention.head_count_kv": (kind, value)}) == []
    assert told({"llama.attention.head_count_kv": ("int32", 2)}) != []


def test_lengths_of_heads_are_not_looked_at_without_heads() -> None:
    """Mamba has none, and llama.cpp passes them over."""
    odd: dict[str, Typed | None] = {"mamba.attention.key_length": ("string", "x")}

    assert told(odd, of("mamba")) == []
    assert told({**odd, "mamba.attention.head_count": ("uint32", 0)}, of("mamba")) == []
    assert told({**odd, "mamba.attention.head_count": ("uint32", 1)}, of("mamba")) != []
    assert told({**odd, "mamba.attention.head_count": (NUMBERS, (1, 0))}, of("mamba")) != []


@pytest.mark.parametrize(
    ("key", "count", "wanted"),
    [
        pytest.param("llama.attention.head_count", 1, "2, one for each layer", id="one fewer"),
        pytest.param("llama.attention.head_count", 3, "2, one for each layer", id="one more"),
        pytest.param("llama.feed_forward_length", 5000, "2, one for each layer", id="more than are held"),
    ],
)
def test_an_array_has_an_item_for_each_layer(key: str, count: int, wanted: str) -> None:
    """No more and no fewer."""
    value = Unread("uint32", count) if count > 4096 else (2,) * count

    assert told({key: (NUMBERS, value)}) == [("GGUFKeyType", f"{key} has {count} items", wanted)]


@pytest.mark.parametrize(("count", "held"), [(2, False), (3, True), (4, False), (5, False)])
def test_an_array_of_layers_that_do_not_predict_leaves_out_those_that_do(count: int, held: bool) -> None:
    """Four layers, of which one predicts."""
    entries = of("apertus", block_count=("uint32", 4), nextn_predict_layers=("uint32", 1))
    entries |= {f"xielu.{name}": (FLOATS, (1.0,) * count) for name in ("alpha_n", "alpha_p", "beta", "eps")}

    assert (told({}, entries) == []) is held


def test_of_layers_that_do_not_predict_all_are_meant_where_none_does() -> None:
    """As in every model but a few."""
    entries = of("apertus", block_count=("uint32", 3))
    entries |= {f"xielu.{name}": (FLOATS, (1.0,) * 3) for name in ("alpha_n", "alpha_p", "beta", "eps")}

    assert told({}, entries) == []


@pytest.mark.parametrize(("count", "held"), [(0, True), (1, True), (512, True), (513, False)])
def test_a_pattern_has_at_most_as_many_items_as_llama_cpp_has_layers(count: int, held: bool) -> None:
    """Fewer are filled up."""
    entries = of("gemma4", **{"attention.sliding_window_pattern": ("array of bool", (True,) * count)})

    assert (told({}, entries) == []) is held


def test_rope_sections_are_four() -> None:
    """A number of items that the source names."""
    for count in (3, 4, 5):
        entries = of("qwen2vl", **{"rope.dimension_sections": ("array of int32", (1,) * count)})
        assert (told({}, entries) == []) is (count == 4)


@pytest.mark.parametrize(
    ("changes", "key", "wanted"),
    [
        pytest.param({"block_count": 0}, "block_count is 0", "1 to 512", id="no layer"),
        pytest.param({"block_count": 513}, "block_count is 513", "1 to 512", id="513 layers"),
        pytest.param(
            {"nextn_predict_layers": 3},
            "nextn_predict_layers is 3",
            "at most the 2 of block_count",
            id="more predict than there are",
        ),
        pytest.param(
            {"expert_used_count": 1},
            "expert_used_count is 1",
            "0, as many as there are experts",
            id="no experts",
        ),
        pytest.param(
            {"expert_group_count": 1},
            "expert_group_count is 1",
            "0, since there are no experts",
            id="no groups",
        ),
        pytest.param(
            {"expert_count": 4},
            "expert_used_count is 0",
            "1 to 4, as many as there are",
            id="none of the experts",
        ),
        pytest.param(
            {"expert_count": 4, "expert_used_count": 5},
            "expert_used_count is 5",
            "1 to 4, as many as there are",
            id="more than there are",
        ),
        pytest.param(
            {"expert_count": 1025, "expert_used_count": 1},
            "expert_count is 1025",
            "at most 1024",
            id="1025 experts",
        ),
        pytest.param(
            {"expert_count": 4, "expert_used_count": 1, "expert_group_count": 4},
            "expert_group_count is 4",
            "fewer than the 4 experts",
            id="a group for each expert",
        ),
        pytest.param(
            {
                "expert_count": 4,
                "expert_used_count": 1,
                "expert_group_count": 3,
                "expert_group_used_count": 1,
            },
            "expert_group_count is 3",
            "groups that the 4 experts fill",
            id="groups that are not full",
        ),
        pytest.param(
            {"expert_count": 4, "expert_used_count": 1, "expert_group_count": 2},
            "expert_group_used_count is 0",
            "1 to 1",
            id="no group in use",
        ),
        pytest.param(
            {
                "expert_count": 4,
                "expert_used_count": 1,
                "expert_group_count": 2,
                "expert_group_used_count": 2,
            },
            "expert_group_used_count is 2",
            "1 to 1",
            id="every group in use",
        ),
        pytest.param(
            {"rope.dimension_count": 8},
            "rope.dimension_count is 8",
            "16, as a head has",
            id="half a head is rotated",
        ),
        pytest.param(
            {"rope.dimension_count": 16, "attention.key_length": 8},
            "rope.dimension_count is 16",
            "8, as a head has",
            id="heads of a width of their own",
        ),
    ],
)
def test_a_value_that_llama_cpp_asserts_is_told(changes: dict[str, int], key: str, wanted: str) -> None:
    """An assertion ends the whole server, so it is met here."""
    entries: dict[str, Typed | None] = {f"llama.{name}": ("uint32", value) for name, value in changes.items()}

    assert told(entries) == [("GGUFKeyValue", f"llama.{key}", wanted)]


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({"block_count": 1}, id="one layer"),
        pytest.param({"block_count": 512}, id="512 layers"),
        pytest.param({"nextn_predict_layers": 2}, id="all layers predict"),
        pytest.param({"expert_count": 1, "expert_used_count": 1}, id="one expert"),
        pytest.param({"expert_count": 1024, "expert_used_count": 1024}, id="1024 experts"),
        pytest.param({"expert_count": 4, "expert_used_count": 1, "expert_group_count": 1}, id="one group"),
        pytest.param(
            {
                "expert_count": 4,
                "expert_used_count": 1,
                "expert_group_count": 2,
                "expert_group_used_count": 1,
            },
            id="one of two groups",
        ),
        pytest.param({"rope.dimension_count": 16}, id="a whole head is rotated"),
        pytest.param(
            {"rope.dimension_count": 8, "attention.key_length": 8}, id="heads of a width of their own"
        ),
    ],
)
def test_values_at_the_border_are_taken(changes: dict[str, int]) -> None:
    """What llama.cpp takes is not refused."""
    assert told({f"llama.{name}": ("uint32", value) for name, value in changes.items()}) == []


def test_experts_differ_from_layer_to_layer() -> None:
    """The largest number counts, and flags are numbers."""
    experts: dict[str, Typed | None] = {"llama.expert_count": ("uint32", 4)}

    assert told({**experts, "llama.expert_used_count": (NUMBERS, (0, 4))}) == []
    assert told({**experts, "llama.expert_used_count": ("array of bool", (False, True))}) == []
    assert told({**experts, "llama.expert_used_count": (NUMBERS, (1, 5))}) != []


@pytest.mark.parametrize(("experts", "held"), [(0, True), (1, True), (2, False)])
def test_one_expert_of_hunyuan_is_none(experts: int, held: bool) -> None:
    """Its dense models say that they have one."""
    entries = of("hunyuan-dense", expert_count=("uint32", experts), expert_used_count=("uint32", 3))

    assert (told({}, entries) == []) is held


@pytest.mark.parametrize(
    ("scaling", "held"), [("none", True), ("linear", True), ("yarn", True), ("Yarn", False), ("", False)]
)
def test_a_rope_scaling_is_one_of_llama_cpps(scaling: str, held: bool) -> None:
    """Any other ends it."""
    assert (told({"llama.rope.scaling.type": ("string", scaling)}) == []) is held


# ------------------------------------------------------------------------------ vocabulary


def test_a_tokenizer_that_llama_cpp_has_not_is_named() -> None:
    """With those that it has."""
    ((error, seen, wanted),) = told({"tokenizer.ggml.model": ("string", "sentencepiece")})

    assert (error, seen) == ("GGUFKeyValue", "tokenizer.ggml.model is 'sentencepiece'")
    assert "'gpt2'" in wanted


@pytest.mark.parametrize("model", ["none", "no_vocab"])
def test_a_model_may_have_no_vocabulary(model: str) -> None:
    """Then nothing more is looked at but how large it would be."""
    bare: dict[str, Typed | None] = {"tokenizer.ggml.model": ("string", model), "tokenizer.ggml.tokens": None}

    assert told({**bare, "tokenizer.ggml.add_bos_token": ("uint32", 1)}) == []
    assert told({**bare, "llama.vocab_size": ("int32", 1)}) != []


@pytest.mark.parametrize(
    ("model", "pre", "merges", "held"),
    [
        pytest.param("gpt2", "qwen2", True, True, id="BPE"),
        pytest.param("gpt2", None, True, True, id="no pre-tokenizer"),
        pytest.param("gpt2", "", True, True, id="an empty one"),
        pytest.param("gpt2", "newer-than-us", True, False, id="one that is not known"),
        pytest.param("gpt2", "qwen2", False, False, id="no merges"),
        pytest.param("gpt2", "kimi-k2", False, True, id="Kimi K2 has none"),
        pytest.param("gemma4", "kimi-k2", False, False, id="Gemma 4 has"),
        pytest.param("gemma4", "newer-than-us", True, True, id="and a pre-tokenizer of its own"),
        pytest.param("llama", "newer-than-us", False, True, id="not BPE"),
    ],
)
def test_bpe_wants_merges_and_a_pre_tokenizer_that_is_known(
    model: str, pre: str | None, merges: bool, held: bool
) -> None:
    """Others want neither."""
    changes: dict[str, Typed | None] = {"tokenizer.ggml.model": ("string", model)}
    if pre is not None:
        changes["tokenizer.ggml.pre"] = ("string", pre)
    if merges:
        changes["tokenizer.ggml.merges"] = ("array of string", ("a b",))

    assert (told(changes) == []) is held


@pytest.mark.parametrize(
    ("key", "kind"), [("tokenizer.ggml.scores", "float32"), ("tokenizer.ggml.token_type", "int32")]
)
@pytest.mark.parametrize(("count", "held"), [(69, False), (70, True), (71, True)])
def test_each_token_has_its_score_and_its_type(key: str, kind: str, count: int, held: bool) -> None:
    """More are passed over."""
    assert (told({key: (f"array of {kind}", (1,) * count)}) == []) is held


def test_a_character_map_is_bytes_where_it_is_read() -> None:
    """T5's tokenizer alone reads it."""
    odd: dict[str, Typed | None] = {"tokenizer.ggml.precompiled_charsmap": (NUMBERS, (1,))}

    assert told(odd) == []
    assert told({**odd, "tokenizer.ggml.model": ("string", "t5")}) != []


# ------------------------------------------------------------------------------ architectures of their own


@pytest.mark.parametrize(
    ("layers", "predicting", "tokens", "held"),
    [
        (26, 0, 70, True),
        (27, 0, 70, True),
        (28, 1, 70, True),
        (28, 0, 70, False),
        (48, 0, 70, False),
        (48, 0, 128_256, True),
    ],
)
def test_deepseek2_needs_a_rank_for_its_queries_unless_it_is_a_lite_one(
    layers: int, predicting: int, tokens: int, held: bool
) -> None:
    """Which is told by layers and vocabulary."""
    entries = of("deepseek2", block_count=("uint32", layers), nextn_predict_layers=("uint32", predicting))
    entries["tokenizer.ggml.tokens"] = ("array of string", Unread("string", tokens))
    entries["deepseek2.expert_feed_forward_length"] = ("uint32", 2)

    assert (told({}, entries) == []) is held
    assert told({"deepseek2.attention.q_lora_rank": ("uint32", 4)}, entries) == []


@pytest.mark.parametrize("norm", ["attention.layer_norm_epsilon", "attention.layer_norm_rms_epsilon"])
def test_cohere2moe_needs_one_norm_of_two(norm: str) -> None:
    """Either will do."""
    assert told({}, of("cohere2moe"))[0][0] == "GGUFKeyMissing"
    assert told({}, of("cohere2moe", **{norm: ("float32", 1.0)})) == []


def test_of_an_unknown_architecture_only_what_the_loader_reads_is_judged() -> None:
    """Another runtime may know it."""
    bare: dict[str, Typed] = {"general.architecture": ("string", "newer-than-us")}

    assert told({}, bare) == []
    assert told({"general.file_type": ("string", "x")}, bare) != []


def test_what_a_first_shard_says_of_itself_has_the_types_that_llama_cpp_reads() -> None:
    """Whether it says so is judged where the other shards are."""
    split: dict[str, Typed | None] = {
        "split.count": ("uint16", 2),
        "split.no": ("uint16", 0),
        "split.tensors.count": ("int32", 9),
    }

    assert told(split) == []
    assert told({**split, "split.no": None, "split.tensors.count": None}) == []
    for key in ("split.no", "split.tensors.count"):
        assert told({**split, key: ("uint32", 0)})[0][:2] == ("GGUFKeyType", f"{key} of type uint32")
    assert told({**split, "split.count": ("uint32", 2)})[0][:2] == (
        "GGUFKeyType",
        "split.count of type uint32",
    )
    assert told({"split.count": ("uint16", 1)}) == []


KINDS = (
    "uint32",
    "int32",
    "float32",
    "string",
    "bool",
    "array of string",
    "array of bool",
    "array of float64",
)


@given(
    st.dictionaries(
        st.sampled_from([*GOOD, *(key.name.replace("%s", "llama") for key in COMMON), *TOKEN_IDS]),
        st.one_of(
            st.none(),
            st.tuples(
                st.sampled_from(KINDS),
                st.one_of(
                    st.integers(0, 2**32),
                    st.floats(),
                    st.text(),
                    st.tuples(st.booleans()),
                    st.just(Unread("string", 9)),
                ),
            ),
        ),
        max_size=4,
    )
)
def test_whatever_the_metadata_says_comes_out_as_problems(changes: dict[str, Typed | None]) -> None:
    """Never as an exception, and never twice the same."""
    found = told({**changes, "general.architecture": ("string", "llama")})

    assert len(set(found)) == len(found)
    assert all(all(problem) for problem in found)
