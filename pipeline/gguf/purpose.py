"""What a GGUF is for: to chat, to complete, to embed, to rank, or nothing that an endpoint of Sealift's could do.

Owns the names of what is no model for an endpoint, and what to do with each; and which container serves what. Pure: a
header in, data out. Refuses to read one, and to judge whether a header is whole: that is `pipeline.gguf.header`.

Sources: llama.cpp's gguf-py/gguf/constants.py (GGUFType, MODEL_ARCH) and tools/ (imatrix, cvector-generator,
export-lora); the architectures of other programs by what these write into general.architecture (ComfyUI-GGUF's
loader.py, TTS.cpp's and whisper.cpp's converters).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Final

from inference import sealift_models, sealift_purpose
from pipeline.errors import Problem
from pipeline.gguf import architectures

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from pipeline.gguf.header import GGUFHeader

NOT_A_LANGUAGE_MODEL: Final = "GGUFNotALanguageModel"
COMPANION_MISMATCH: Final = "CompanionMismatch"


class Purpose(StrEnum):
    """What a model is for."""

    CHAT = "chat"
    """It has a chat template: it answers messages."""
    COMPLETION = "completion"
    """A base model: it continues a text."""
    EMBEDDING = "embedding"
    """It turns a text into numbers."""
    RERANK = "rerank"
    """It scores texts for a query."""


EVALUATES: Final = (Purpose.EMBEDDING, Purpose.RERANK)
"""What is for texts that are read and not gone on with: it is loaded otherwise, and not every container asks for it."""


@dataclass(frozen=True, slots=True)
class Stranger:
    """A kind of GGUF that nothing here serves."""

    what: str
    fix: str


_ADAPTER: Final = Stranger(
    "an adapter (LoRA), which changes another model and is none",
    "name it lora*.gguf and deploy it beside its base model, which 'custom' and 'llama-cpp' load it with (sealift pack "
    "BASE.gguf --lora ADAPTER.gguf); or merge it, llama-export-lora -m BASE.gguf --lora ADAPTER.gguf -o MERGED.gguf",
)
_IMATRIX: Final = Stranger(
    "an importance matrix: it is for quantizing, and answers nothing",
    "deploy the model itself; llama-quantize --imatrix THIS.gguf uses the matrix when it makes one",
)
_PROJECTOR: Final = Stranger(
    "a projector of images or sound (mmproj), one part of a multimodal model",
    "name it mmproj*.gguf and deploy it beside the language model's own GGUF, which 'custom' and 'llama-cpp' load it "
    "with: sealift pack MODEL.gguf --mmproj PROJECTOR.gguf",
)
_CONTROL: Final = Stranger(
    "a control vector, which steers another model and is none",
    "deploy the model that it was made for, without it: nothing here applies one",
)
_T5_ENCODER: Final = Stranger(
    "a text encoder (T5 without its decoder), one part of an image generator",
    "deploy a language model; the image generator loads this file itself",
)
_T5: Final = Stranger(
    "an encoder-decoder (T5), and nothing here runs an encoder before the answer",
    "deploy a decoder-only model",
)
_VOCODER: Final = Stranger(
    "an audio codec, which makes sound of another model's tokens",
    "nothing here makes sound: llama-tts and the speech model's own tools use it",
)
_SPEAKER: Final = Stranger(
    "a text-to-speech model, and nothing here makes sound",
    "deploy a language model; use llama-tts, or the program that this file was made for",
)
_LISTENER: Final = Stranger(
    "a speech recognition model, and nothing here takes sound",
    "serve it with whisper.cpp or the program that it was made for, or deploy a language model",
)
_DRAFT: Final = Stranger(
    "a draft model, which guesses ahead for another one and does not answer by itself",
    "deploy the model that it drafts for, without it",
)
_IMAGE: Final = Stranger(
    "one part of an image or video generator, and nothing here makes images",
    "serve it with stable-diffusion.cpp or ComfyUI, or deploy a language model",
)
_HEADLESS: Final = Stranger(
    "a reranker (pooling_type 4) without a classifier that llama.cpp loads, so that its scores would mean nothing",
    "convert a reranker of architecture "
    + ", ".join(sorted(sealift_purpose.RANKERS))
    + ", which llama.cpp ranks with",
)

_BY_TYPE: Final[Mapping[str, Stranger]] = {
    "adapter": _ADAPTER,
    "imatrix": _IMATRIX,
    "mmproj": _PROJECTOR,
    "clip-vision": _PROJECTOR,
}
"""``general.type``."""

_BY_ARCHITECTURE: Final[Mapping[str, Stranger]] = {
    # Of llama.cpp's own.
    "clip": _PROJECTOR,
    "controlvector": _CONTROL,
    "t5encoder": _T5_ENCODER,
    "t5": _T5,
    "wavtokenizer-dec": _VOCODER,
    **dict.fromkeys(("qwen3tts", "pockettts"), _SPEAKER),
    **dict.fromkeys(("eagle3", "dflash", "gemma4-assistant"), _DRAFT),
    # Of other programs'.
    "whisper": _LISTENER,
    **dict.fromkeys(("kokoro", "parler-tts", "dia"), _SPEAKER),
    **dict.fromkeys(("snac", "encodec"), _VOCODER),
    **dict.fromkeys(
        (
            *(
                "flux",
                "flux2",
                "sd1",
                "sd2",
                "sd3",
                "sdxl",
                "aura",
                "hidream",
                "cosmos",
                "ltxv",
                "ltx2",
                "hyvid",
            ),
            *("wan", "lumina2", "z_image", "qwen_image", "qwen_image21", "ideogram", "ideogram4", "krea2"),
            *("minimax_h3", "chroma", "pig", "cow"),
        ),
        _IMAGE,
    ),
}
"""``general.architecture``, as far as it is no model's that serves. What is in neither list is known by its tensors."""

_ALL_TENSORS: Final[tuple[tuple[re.Pattern[str], Stranger], ...]] = (
    (re.compile(r".+\.lora_[ab](?:\.weight)?"), _ADAPTER),
    (re.compile(r".+\.(?:in_sum2|counts)"), _IMATRIX),
    (re.compile(r"direction\.\d+"), _CONTROL),
)
"""What a file is whose tensors' names all match."""

_ANY_TENSOR: Final[tuple[tuple[re.Pattern[str], Stranger], ...]] = (
    (
        re.compile(
            r"(?:model\.diffusion_model|diffusion_model|double_blocks|single_blocks|joint_blocks|transformer_blocks"
            r"|first_stage_model|cond_stage_model|input_blocks|down_blocks|double_layers|joint_transformer_blocks)\."
        ),
        _IMAGE,
    ),
    (re.compile(r"(?:v|a)\.(?:blk\.\d+|patch_embd|conv1d)\.|mm\.\d"), _PROJECTOR),
    (re.compile(r"(?:model\.)?encoder\.(?:conv1|layers\.\d+|blocks\.\d+)\."), _LISTENER),
)
"""What a file without a token embedding is when a tensor's name begins so: other programs keep PyTorch's names."""

_EMBEDDING_TENSOR: Final = "token_embd.weight"
"""Every language model of llama.cpp has it (src/models/*.cpp)."""


def refusal(header: GGUFHeader) -> Problem | None:
    """Return why nothing here serves what a header describes; None when something may.

    What it says of itself comes first, then the names of its tensors. A shard is judged by what it says alone, since
    the others have the rest.
    """
    stranger = _said(header)
    if stranger is None and header.shard_count <= 1:
        stranger = _by_tensors(header)
    if stranger is None:
        return None
    seen = f"{stranger.what} (general.type {header.kind!r}, architecture {header.architecture!r})"
    return Problem(
        NOT_A_LANGUAGE_MODEL,
        seen,
        "a language model that generates text, or one for embeddings",
        stranger.fix,
    )


def mismatch(header: GGUFHeader, kind: str) -> Problem | None:
    """Return why a file is not what its name says that it is beside a model; None when it is.

    Args:
        header: the file's.
        kind: one of `sealift_models.COMPANIONS`, by its name.
    """
    stated = sealift_models.stated_kind(header.kind, header.architecture)
    if kind == sealift_models.DRAFT:
        # A model like any other.
        other = refusal(header)
        if other is None:
            return None
        what = other.seen
    elif stated == kind:
        return None
    else:
        what = f"of general.type {header.kind!r} and architecture {header.architecture!r}"
    named = f"named {kind}*.gguf, like {sealift_models.COMPANIONS[kind]}, and its header is "
    instead = f"rename it to {stated}*.gguf" if stated else "rename it if it is the model"
    return Problem(
        COMPANION_MISMATCH,
        named + what,
        "a name and a header that say the same",
        f"{instead}, or leave it out; what lies beside a model is named {sealift_models.COMPANION_NAMES}",
    )


def _said(header: GGUFHeader) -> Stranger | None:
    kind, architecture = header.kind.lower(), header.architecture.lower()
    known = _BY_TYPE.get(kind) or _BY_ARCHITECTURE.get(architecture)
    if known is not None:
        return known
    if header.kind not in {"model", "finetune"}:
        return Stranger(
            f"a GGUF of type {header.kind!r}, which is no model",
            "deploy the model's own GGUF, whose general.type is 'model'",
        )
    if _pooling(header) != sealift_purpose.RANK:
        return None
    names = {tensor.name for tensor in header.tensors}
    headless = header.shard_count <= 1 and not names & sealift_purpose.HEADS
    return _HEADLESS if headless or header.architecture not in sealift_purpose.RANKERS else None


def _by_tensors(header: GGUFHeader) -> Stranger | None:
    names = [tensor.name for tensor in header.tensors]
    if not names or _EMBEDDING_TENSOR in names:
        return None
    for pattern, stranger in _ALL_TENSORS:
        if all(pattern.fullmatch(name) for name in names):
            return stranger
    for pattern, stranger in _ANY_TENSOR:
        if any(pattern.match(name) for name in names):
            return stranger
    if header.architecture and header.architecture not in architectures.KNOWN:
        return Stranger(
            f"a model of another program than llama.cpp: it has no tensor {_EMBEDDING_TENSOR!r}",
            "serve it with the program that it was made for, or deploy a language model",
        )
    return None


# -- what serves


def of(header: GGUFHeader) -> Purpose:
    """Return what a model that `refusal` does not name is for."""
    architecture = header.architecture
    if sealift_purpose.ranks(architecture, _pooling(header)):
        return Purpose.RERANK
    if sealift_purpose.embeds(
        architecture,
        _pooling(header),
        causal=_causal(header),
        remembers=architecture not in architectures.WITHOUT_CACHE,
        diffuses=architecture in architectures.DIFFUSION,
    ):
        return Purpose.EMBEDDING
    # A template that is too long to be held is there all the same; an empty one is none to llama.cpp.
    return Purpose.CHAT if header.metadata.get("tokenizer.chat_template", "") != "" else Purpose.COMPLETION


def whole(header: GGUFHeader) -> bool:
    """Tell whether a model for embeddings, or one that ranks, evaluates a text at once."""
    remembers = header.architecture not in architectures.WITHOUT_CACHE
    return sealift_purpose.whole(_pooling(header), causal=_causal(header), remembers=remembers)


def _pooling(header: GGUFHeader) -> int | None:
    return header.integer(f"{header.architecture}.pooling_type")


def _causal(header: GGUFHeader) -> bool:
    return header.metadata.get(f"{header.architecture}.attention.causal") is not False


def width(header: GGUFHeader) -> int | None:
    """Return how many numbers an embedding has (llama_model_n_embd_out); None when the header does not tell."""
    return header.integer(f"{header.architecture}.embedding_length_out") or header.embedding_length


def unserved(header: GGUFHeader, *, embeddings: bool, runtime: Iterable[str] | None) -> Problem | None:
    """Return why a container does not serve a model that others may; None when it does.

    Args:
        header: of the model.
        embeddings: whether the container answers requests for embeddings and for rankings.
        runtime: the architectures that its llama.cpp loads; None when its release is not known.
    """
    if runtime is not None and header.architecture not in runtime:
        return Problem(
            "ArchitectureUnknown",
            f"architecture {header.architecture!r}, which the runtime ({architectures.RUNTIME}) does not load",
            "a model of an architecture that it loads",
            "look at the model's card for the program that it needs; where that is a newer llama.cpp, set "
            '"container" to "llama-cpp" or "custom", with the image_uri of one that has it',
        )
    if not embeddings and of(header) in EVALUATES:
        error, kind, wanted = _NOT_IN_CHAT[of(header)]
        return Problem(
            error,
            f"{kind} (architecture {header.architecture!r}), and AWS's llama.cpp image hands every call to its chat "
            "completions",
            f"a container that answers requests {wanted}",
            'set "container" to "pytorch" or to "custom"',
        )
    return None


_NOT_IN_CHAT: Final[Mapping[Purpose, tuple[str, str, str]]] = {
    Purpose.EMBEDDING: ("EmbeddingsNotServed", "an embedding model", "for embeddings"),
    Purpose.RERANK: ("RankingsNotServed", "a reranker", "to rank"),
}


def unaccompanied(kind: str, container: str) -> Problem:
    """Return that a container does not load what lies beside a model.

    Args:
        kind: one of `sealift_models.COMPANIONS`.
        container: its name.
    """
    return Problem(
        "CompanionNotServed",
        f"{sealift_models.COMPANIONS[kind]}, and container {container!r} loads none",
        "a container that does, or the model alone",
        'set "container" to "custom" or to "llama-cpp", or leave the file out',
    )


def notes(model: Mapping[str, Any], *, messages_only: bool = False) -> list[str]:
    """Return what a person should know of how a model is asked.

    Args:
        model: the model part of an archive report.
        messages_only: whether it is asked with messages, whatever it is for.
    """
    found = []
    purpose, architecture = model.get("purpose", Purpose.CHAT), model.get("architecture")
    if purpose == Purpose.EMBEDDING:
        size = model.get("embedding_size")
        found.append(
            f'an embedding model: it answers {{"input": ...}} with {size or "its"} numbers for each text, and neither '
            "prompts nor messages"
            + (
                ""
                if messages_only
                else "; the smoke test asks for embeddings, and smoke_test.expect is not for them"
            )
        )
    elif purpose == Purpose.RERANK:
        found.append(
            'a reranker: it answers {"query": ..., "documents": [...]} with a score for each document, and neither '
            "prompts nor messages"
            + (
                ""
                if messages_only
                else "; the smoke test ranks two texts, and smoke_test.expect is not for them"
            )
        )
    elif architecture in architectures.DIFFUSION:
        found.append(
            f"architecture {architecture!r} is a diffusion language model: it fills in masked text in several rounds, "
            "and what serves it here asks for one word after the other; expect answers of little use"
        )
    elif purpose == Purpose.COMPLETION:
        asked = (
            "it is asked with messages all the same, which are set in ChatML, and that it may not have learned"
            if messages_only
            else 'ask with {"prompt": ...}, as the smoke test does'
        )
        found.append(f"a base model: it completes, it does not chat, since it has no chat template; {asked}")
    if architecture and architecture not in architectures.KNOWN:
        found.append(
            f"architecture {architecture!r} is not known to {architectures.RUNTIME}, which Sealift was tried with: the "
            "container's llama.cpp must be newer, and the memory is an estimate"
        )
    return found
