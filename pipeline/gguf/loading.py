"""What llama.cpp wants of a model's metadata before it reads a tensor.

Owns the rules by which llama_model_base::load_hparams and llama_vocab::impl::load refuse a file, or abort: keys that
must be there, types, counts, and a few values. Which keys they are stands in `hyperparameters`. Refuses to say
anything of an architecture that the runtime does not know, and to look at tensors: whether an architecture's own are
all there is known to its code alone.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from pipeline.errors import Problem
from pipeline.gguf.header import Unread
from pipeline.gguf.hyperparameters import (
    BY_ARCHITECTURE,
    COMMON,
    PRE_TOKENIZERS,
    ROPE_SCALINGS,
    TOKEN_IDS,
    TOKENIZERS,
    VOCABULARY,
    Key,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from pipeline.gguf.header import GGUFHeader

MAX_LAYERS: Final = 512
"""LLAMA_MAX_LAYERS."""
MAX_EXPERTS: Final = 1024
"""LLAMA_MAX_EXPERTS."""
SHOWN: Final = 6
"""Keys that a message names before it only counts the rest."""

_CONVERT_AGAIN: Final = "convert the model again with llama.cpp's current convert_hf_to_gguf.py"

_LOADER: Final = (
    Key("general.architecture", "string"),
    Key("general.file_type", "uint32"),
    Key("split.count", "uint16"),
)
_SHARD: Final = (Key("split.no", "uint16"), Key("split.tensors.count", "int32"))
"""Whether they are there is judged with the other shards (`pipeline.archive.checks.members`)."""
_BY_HEADS: Final = (
    Key("%s.attention.key_length", "uint32"),
    Key("%s.attention.value_length", "uint32"),
    Key("%s.rope.dimension_count", "uint32"),
)
"""Looked at where the first layer has attention heads."""
_DEEPSEEK2: Final = frozenset({"deepseek2", "mistral4"})
_LITE_LAYERS: Final = (26, 27)
_LITE_BY_VOCABULARY: Final = (48, 128_256)
"""Layers and tokens: deepseek2 without a low rank for its queries, as these have none either."""
_ONLY_FOR: Final[Mapping[str, tuple[Key, ...]]] = {
    "ernie4_5-moe": (
        Key(
            "%s.expert_feed_forward_length",
            "uint32",
            ("bool", "int32", "uint32"),
            "block_count",
            required=True,
        ),
        Key("%s.expert_shared_feed_forward_length", "uint32"),
        Key("%s.interleave_moe_layer_step", "uint32", required=True),
        Key("%s.leading_dense_block_count", "uint32"),
    ),
    "eagle3": (Key("%s.target_layers", "", ("int32", "uint32"), "3", required=True),),
    "dflash": (Key("%s.target_layers", "", ("int32", "uint32"), required=True),),
    "wavtokenizer-dec": tuple(
        Key(f"%s.{name}", "uint32", required=True)
        for name in (
            "features_length",
            "posnet.embedding_length",
            "posnet.block_count",
            "convnext.embedding_length",
            "convnext.block_count",
        )
    ),
}
"""Keys that stand behind a condition in llama.cpp's source, which the architecture alone decides."""
_EITHER_NORM: Final = ("attention.layer_norm_epsilon", "attention.layer_norm_rms_epsilon")
"""Of which cohere2moe wants one."""
_ROTATED_WHOLE: Final = frozenset({"llama", "deci", "falcon", "llama-embed"})
"""Whose rotary dimensions must be those of a head."""
_DENSE_WITH_ONE: Final = frozenset({"hunyuan_vl", "hunyuan-dense"})
"""To which one expert is none."""

_BPE: Final = frozenset({"gpt2", "hybriddna", "whitespace"})
_NO_TOKENIZER: Final = frozenset({"no_vocab", "none"})
_READ_FIRST: Final = frozenset(
    {"tokenizer.ggml.model", "tokenizer.ggml.pre", "tokenizer.ggml.token_type_count"}
)
"""All that is read of a vocabulary where there is none."""
_TOKENS: Final = Key("tokenizer.ggml.tokens", "", ("string",), required=True)
_MERGES: Final = "tokenizer.ggml.merges"
_OF_TOKENS: Final = (
    Key("tokenizer.ggml.scores", "", ("float32", "int32")),
    Key("tokenizer.ggml.token_type", "", ("int32",)),
)
"""One item for each token, or more."""
_SUPPRESSED: Final = Key("tokenizer.ggml.suppress_tokens", "", ("int32",))
_CHARACTER_MAP: Final = Key("tokenizer.ggml.precompiled_charsmap", "", ("int8", "uint8"))


def problems(header: GGUFHeader) -> tuple[Problem, ...]:
    """Return why llama.cpp would not load a model with this metadata; hardly anything of an unknown architecture.

    The header is a whole model's or a first shard's: later ones have no metadata of a model.
    """
    loader = [*_LOADER, *(_SHARD if header.shard_count > 1 else ())]
    if header.architecture not in BY_ARCHITECTURE:
        return tuple(_mistyped(header, loader))
    keys = [*loader, *_hyperparameters(header), *_vocabulary(header)]
    found = [*_missing(header, keys), *_mistyped(header, keys)]
    # Values are looked at when their types are what they should be.
    return tuple(found or (*_values(header), *_vocabulary_values(header)))


# ------------------------------------------------------------------------------ keys


def _hyperparameters(header: GGUFHeader) -> list[Key]:
    keys = [*COMMON, *BY_ARCHITECTURE[header.architecture], *_ONLY_FOR.get(header.architecture, ())]
    if header.architecture in _DEEPSEEK2:
        keys.append(Key("%s.attention.q_lora_rank", "uint32", required=not _is_lite(header)))
    if header.architecture == "cohere2moe" and not any(_has(header, name) for name in _EITHER_NORM):
        keys.append(Key(f"%s.{_EITHER_NORM[0]}", "float32", required=True))
    if _heads(header):
        keys += _BY_HEADS
    return keys


def _has(header: GGUFHeader, suffix: str) -> bool:
    return f"{header.architecture}.{suffix}" in header.types


def _numbers(header: GGUFHeader, suffix: str) -> tuple[int, ...]:
    """Return a number or an array of them, in which llama.cpp takes flags for 0 and 1; nothing when it is neither."""
    value = header.metadata.get(f"{header.architecture}.{suffix}")
    items = value if isinstance(value, tuple) else (value,)
    return tuple(int(item) for item in items if isinstance(item, int))


def _heads(header: GGUFHeader) -> int:
    return (_numbers(header, "attention.head_count") or (0,))[0]


def _is_lite(header: GGUFHeader) -> bool:
    layers = (header.block_count or 0) - (header.integer(f"{header.architecture}.nextn_predict_layers") or 0)
    tokens = header.integer(f"{header.architecture}.vocab_size")
    tokens = _length(header, _TOKENS.name) if tokens is None else tokens
    return layers in _LITE_LAYERS or (layers, tokens) == _LITE_BY_VOCABULARY


def _vocabulary(header: GGUFHeader) -> list[Key]:
    model = header.text("tokenizer.ggml.model")
    if model in _NO_TOKENIZER:
        return [*(key for key in VOCABULARY if key.name in _READ_FIRST), Key("%s.vocab_size", "uint32")]
    keys = [*VOCABULARY, _TOKENS, *_OF_TOKENS, _SUPPRESSED, *(Key(name, "uint32") for name in TOKEN_IDS)]
    if model in _BPE or model == "gemma4":
        # Kimi K2's tokens are ranked without any.
        needed = model == "gemma4" or header.text("tokenizer.ggml.pre") != "kimi-k2"
        keys.append(Key(_MERGES, "", ("string",), required=needed))
    if model == "t5":
        keys.append(_CHARACTER_MAP)
    return keys


def _missing(header: GGUFHeader, keys: Iterable[Key]) -> Iterator[Problem]:
    names = {_name(header, key): None for key in keys if key.required}
    missing = [name for name in names if name not in header.types]
    if missing:
        yield Problem(
            "GGUFKeyMissing",
            f"no {_listed(missing)} in the metadata",
            f"what llama.cpp loads a model of architecture {header.architecture!r} by",
            _CONVERT_AGAIN,
        )


def _mistyped(header: GGUFHeader, keys: Iterable[Key]) -> Iterator[Problem]:
    seen: dict[str, str] = {}
    for key in keys:
        name = _name(header, key)
        kind = header.types.get(name)
        if kind is not None and not _is_taken(kind, key):
            seen.setdefault(f"{name} of type {kind}", _wanted(key))
    if seen:
        yield Problem(
            "GGUFKeyType", _listed(list(seen)), " and ".join(dict.fromkeys(seen.values())), _CONVERT_AGAIN
        )
        return
    for key in keys:
        yield from _miscounted(header, key)


def _miscounted(header: GGUFHeader, key: Key) -> Iterator[Problem]:
    name = _name(header, key)
    value = header.metadata.get(name)
    length = value.length if isinstance(value, Unread) else len(value) if isinstance(value, tuple) else None
    if length is None or not header.types[name].startswith("array of "):
        return
    bound, at_most = _count(header, key)
    if bound is not None and (length > bound or (length != bound and not at_most)):
        yield Problem(
            "GGUFKeyType",
            f"{name} has {length} items",
            f"{'at most ' if at_most else ''}{bound}"
            + (", one for each layer" if key.length == "block_count" else ""),
            _CONVERT_AGAIN,
        )


def _count(header: GGUFHeader, key: Key) -> tuple[int | None, bool]:
    """Return how many items an array of this key must have, None when any will do, and whether fewer will do too."""
    at_most, _, number = key.length.rpartition(" ")
    if number.isdecimal():
        return int(number), bool(at_most)
    layers = header.block_count or 0
    if key.length == "layers":
        layers -= header.integer(f"{header.architecture}.nextn_predict_layers") or 0
    return (layers if key.length else None), False


def _name(header: GGUFHeader, key: Key) -> str:
    return key.name.replace("%s", header.architecture, 1)


def _is_taken(kind: str, key: Key) -> bool:
    items = kind.removeprefix("array of ")
    if items != kind:
        return items in key.items or "any" in key.items
    return key.kind in (kind, "any")


def _wanted(key: Key) -> str:
    kinds = [key.kind] if key.kind else []
    kinds += [f"array of {items}" for items in key.items]
    return " or ".join(kinds)


def _listed(names: list[str]) -> str:
    rest = len(names) - SHOWN
    return ", ".join(names[:SHOWN]) + (f" and {rest} more" if rest > 0 else "")


# ------------------------------------------------------------------------------ values


def _values(header: GGUFHeader) -> Iterator[Problem]:
    def number(suffix: str) -> int:
        return header.integer(f"{header.architecture}.{suffix}") or 0

    layers, predicting = number("block_count"), number("nextn_predict_layers")
    yield from _unless(0 < layers <= MAX_LAYERS, header, "block_count", layers, f"1 to {MAX_LAYERS}")
    yield from _unless(
        predicting <= layers,
        header,
        "nextn_predict_layers",
        predicting,
        f"at most the {layers} of block_count",
    )
    yield from _expert_values(
        header, number("expert_count"), number("expert_group_count"), number("expert_group_used_count")
    )
    scaling = header.text(f"{header.architecture}.rope.scaling.type")
    yield from _unless(
        scaling is None or scaling in ROPE_SCALINGS,
        header,
        "rope.scaling.type",
        repr(scaling),
        _any_of(ROPE_SCALINGS),
    )
    heads = _heads(header)
    if heads and header.architecture in _ROTATED_WHOLE:
        width = header.integer(f"{header.architecture}.attention.key_length")
        width = number("embedding_length") // heads if width is None else width
        rotated = header.integer(f"{header.architecture}.rope.dimension_count")
        yield from _unless(
            rotated in (None, width), header, "rope.dimension_count", rotated, f"{width}, as a head has"
        )


def _expert_values(header: GGUFHeader, experts: int, groups: int, groups_used: int) -> Iterator[Problem]:
    used = max(_numbers(header, "expert_used_count") or (0,))
    if header.architecture in _DENSE_WITH_ONE and experts <= 1:
        experts = used = 0
    yield from _unless(experts <= MAX_EXPERTS, header, "expert_count", experts, f"at most {MAX_EXPERTS}")
    if experts:
        yield from _unless(
            0 < used <= experts, header, "expert_used_count", used, f"1 to {experts}, as many as there are"
        )
        yield from _unless(
            groups < experts, header, "expert_group_count", groups, f"fewer than the {experts} experts"
        )
        if 1 < groups < experts:
            yield from _unless(
                experts % groups == 0,
                header,
                "expert_group_count",
                groups,
                f"groups that the {experts} experts fill",
            )
            yield from _unless(
                0 < groups_used < groups, header, "expert_group_used_count", groups_used, f"1 to {groups - 1}"
            )
    else:
        yield from _unless(not used, header, "expert_used_count", used, "0, as many as there are experts")
        yield from _unless(not groups, header, "expert_group_count", groups, "0, since there are no experts")


def _vocabulary_values(header: GGUFHeader) -> Iterator[Problem]:
    model = header.text("tokenizer.ggml.model") or ""
    if model not in TOKENIZERS:
        yield _value("tokenizer.ggml.model", repr(model), _any_of(TOKENIZERS))
    if model in _NO_TOKENIZER:
        return
    pre = header.text("tokenizer.ggml.pre")
    if pre and model in _BPE and pre not in PRE_TOKENIZERS:
        yield _value(
            "tokenizer.ggml.pre",
            repr(pre),
            f"one of the {len(PRE_TOKENIZERS)} pre-tokenizers that the runtime's llama.cpp has",
        )
    tokens = _length(header, _TOKENS.name)
    for key in _OF_TOKENS:
        length = _length(header, key.name)
        if length is not None and length < (tokens or 0):
            yield _value(key.name, f"{length} items", f"{tokens}, one for each token")


def _length(header: GGUFHeader, name: str) -> int | None:
    value = header.metadata.get(name)
    return value.length if isinstance(value, Unread) else len(value) if isinstance(value, tuple) else None


def _unless(held: bool, header: GGUFHeader, suffix: str, seen: object, wanted: str) -> Iterator[Problem]:
    if not held:
        yield _value(f"{header.architecture}.{suffix}", str(seen), wanted)


def _value(name: str, seen: str, wanted: str) -> Problem:
    return Problem("GGUFKeyValue", f"{name} is {seen}", wanted, _CONVERT_AGAIN)


def _any_of(names: Iterable[str]) -> str:
    return " or ".join(map(repr, names))
