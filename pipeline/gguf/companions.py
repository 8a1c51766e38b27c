"""Whether what lies beside a model goes with it: an adapter with its base model, a draft with its vocabulary.

Owns the rules by which llama.cpp refuses them, or leaves a draft model idle without a word to whoever asks
(src/llama-adapter.cpp, common/speculative.cpp). Pure: headers in, a problem out. Refuses to judge a projector beside
its model: which width it gives out is known to the code of each kind of projector alone, and llama-server tells it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from inference.sealift_models import DRAFT, LORA
from pipeline.errors import Problem
from pipeline.gguf.header import Unread
from pipeline.gguf.purpose import COMPANION_MISMATCH

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from pipeline.gguf.header import GGUFHeader, TensorInfo

MOST_TOKENS_APART: Final = 128
"""By how many tokens two vocabularies may differ (SPEC_VOCAB_MAX_SIZE_DIFFERENCE)."""
_HALVES: Final = (".lora_a", ".lora_b")
_NORM: Final = "_norm.weight"
"""Tensors of an adapter that llama.cpp passes over."""
_TRANSPOSED: Final = "token_embd.weight"
_PATCHES: Final = {
    **dict.fromkeys(
        ("qwen2vl_merger", "qwen2.5vl_merger", "qwen3vl_merger", "ling3vl", "glm4v"), 4096 * 2**2
    ),
    "hunyuanvl": 16_384 * 2**2,
    "muse-glimmer": 4096 * 2**2,
    "gemma4v": 1120 * 3**2,
    "kimivl": 1024 * 2**2,
    "pixtral": 1024 * 2**2,
    "minimax_m3": 576 * 2**2,
    "lfm2": 256 * 2**2,
    # Tiles of one size, as many at once as make 1024 tokens.
    "internvl": 1024 * 2**2,
}
"""Of the largest image that a projector looks at which takes images of any size: its tokens, and the patches of each
(clip.cpp: set_limit_image_tokens, n_merge)."""


def problem(
    kind: str, header: GGUFHeader, model: GGUFHeader, tensors: Mapping[str, TensorInfo] | None
) -> Problem | None:
    """Return why a file does not go with a model; None when nothing speaks against it.

    Args:
        kind: one of `sealift_models.COMPANIONS`.
        header: the file's.
        model: the model's, of its first shard.
        tensors: the model's, of all its shards, by name; None where not all were read.
    """
    if kind == LORA:
        return _adapter(header, model, tensors)
    return _draft(header, model) if kind == DRAFT else None


def image(header: GGUFHeader) -> dict[str, int] | None:
    """Return the figures that a projector's memory depends on; None of one that looks at no images.

    Patches and pixels are those of the largest image, or of the most tiles of one, that it looks at at once.
    """
    side = header.integer("clip.vision.image_size") or 0
    patch = header.integer("clip.vision.patch_size") or 0
    width = header.integer("clip.vision.embedding_length")
    if not side or not patch or not width:
        return None
    kind = header.text("clip.projector_type") or header.text("clip.vision.projector_type") or ""
    patches = max((side // patch) ** 2, _PATCHES.get(kind, 0))
    return {
        "patches": patches,
        "pixels": patches * patch * patch,
        "width": width,
        "feed_forward": header.integer("clip.vision.feed_forward_length") or 0,
    }


def _adapter(
    header: GGUFHeader, model: GGUFHeader, tensors: Mapping[str, TensorInfo] | None
) -> Problem | None:
    fix = "take the adapter of this base model, converted with llama.cpp's convert_lora_to_gguf.py"
    if header.architecture != model.architecture:
        seen = f"an adapter for architecture {header.architecture!r} beside a model of {model.architecture!r}"
        return Problem(COMPANION_MISMATCH, seen, "an adapter of the model's own architecture", fix)
    kind = header.text("adapter.type") or ""
    if kind != "lora":
        return Problem(COMPANION_MISMATCH, f"an adapter whose adapter.type is {kind!r}", "'lora'", fix)
    seen = next(_misfits(header, tensors), "")
    return (
        Problem(COMPANION_MISMATCH, seen, "pairs of tensors that fit the base model's", fix) if seen else None
    )


def _misfits(header: GGUFHeader, tensors: Mapping[str, TensorInfo] | None) -> Iterator[str]:
    """Yield what of an adapter's tensors llama.cpp would refuse."""
    pairs: dict[str, dict[str, TensorInfo]] = {}
    for tensor in header.tensors:
        half = next((half for half in _HALVES if tensor.name.endswith(half)), None)
        if half is not None:
            pairs.setdefault(tensor.name.removesuffix(half), {})[half] = tensor
        elif not tensor.name.endswith(_NORM):
            yield f"tensor {tensor.name!r}, which is no half of a pair (.lora_a, .lora_b)"
    for name, pair in pairs.items():
        if len(pair) < len(_HALVES):
            yield f"tensor {name!r} with {next(iter(pair))} alone"
            continue
        if tensors is None:
            continue
        base = tensors.get(name)
        if base is None:
            yield f"tensors for {name!r}, which the model does not have"
        elif not _fit(name, _sides(base), *(_sides(pair[half]) for half in _HALVES)):
            shapes = " and ".join(str(list(pair[half].shape)) for half in _HALVES)
            yield f"tensors for {name!r} of {shapes}, where the model's has {list(base.shape)}"


def _fit(name: str, base: tuple[int, int], a: tuple[int, int], b: tuple[int, int]) -> bool:
    if name.endswith(_TRANSPOSED):
        return (base[0], base[1]) == (b[1], a[1])
    return (base[0], base[1], a[1]) == (a[0], b[1], b[0])


def _sides(tensor: TensorInfo) -> tuple[int, int]:
    first, second, *_ = (*tensor.shape, 1, 1)
    return first, second


def _draft(header: GGUFHeader, model: GGUFHeader) -> Problem | None:
    seen = next(_differences(header, model), "")
    if not seen:
        return None
    return Problem(
        COMPANION_MISMATCH,
        f"a draft model with {seen}: llama-server would load it and never ask it",
        "the vocabulary of the model that it guesses for",
        "take a smaller model of the same family, or leave it out",
    )


def _differences(header: GGUFHeader, model: GGUFHeader) -> Iterator[str]:
    """Yield in what two vocabularies differ; what a header leaves out is not guessed."""
    own, wanted = header.text("tokenizer.ggml.model"), model.text("tokenizer.ggml.model")
    if own and wanted and own != wanted:
        yield f"a vocabulary of kind {own!r} beside one of {wanted!r}"
    for flag, token in (("add_bos_token", "bos_token_id"), ("add_eos_token", "eos_token_id")):
        flags = [one.metadata.get(f"tokenizer.ggml.{flag}") for one in (header, model)]
        if None not in flags and flags[0] != flags[1]:
            yield f"{flag} {flags[0]} beside {flags[1]}"
        ids = [one.integer(f"tokenizer.ggml.{token}") for one in (header, model)]
        if flags[1] is True and None not in ids and ids[0] != ids[1]:
            yield f"{token} {ids[0]} beside {ids[1]}"
    tokens = [_tokens(one) for one in (header, model)]
    if None not in tokens and abs((tokens[0] or 0) - (tokens[1] or 0)) > MOST_TOKENS_APART:
        yield f"{tokens[0]} tokens beside {tokens[1]}"


def _tokens(header: GGUFHeader) -> int | None:
    value = header.metadata.get("tokenizer.ggml.tokens")
    return value.length if isinstance(value, Unread) else len(value) if isinstance(value, tuple) else None
