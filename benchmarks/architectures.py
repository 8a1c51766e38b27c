"""A small model of each architecture that llama.cpp runs, with the tensors that llama.cpp itself asks for.

    python benchmarks/architectures.py FOLDER [--only TEXT]

The figures of a model are `metadata`'s: one shape for all, with what an architecture insists on, after llama.cpp's own
tests/test-llama-archs.cpp. Its tensors are not written down anywhere here: llama.cpp makes a model of the metadata
(`llama_model_init_from_user`) and is asked what it made, each in a process of its own, since it aborts where figures
do not suit it. The file has the header and a hole where the weights would be: all of them are 0, which costs nothing
to write, and memory and time to compute with like any others.
"""

from __future__ import annotations

import argparse
import ctypes
import json
import subprocess
import sys
from dataclasses import dataclass, replace
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import gguf
import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.shapes import words
from pipeline.gguf.architectures import DIFFUSION
from pipeline.sizing.layers import BATCH_ONLY

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

VOCABULARY: Final = 32_000
WINDOW: Final = 512
STATE: Final = 128
CONTEXT: Final = 32_768


@dataclass(frozen=True, slots=True)
class Figures:
    """The figures that all architectures share, as far as one does not insist on others."""

    layers: int = 4
    embedding: int = 1024
    heads: int = 16
    kv_heads: int = 4
    head: int = 64
    feed_forward: int = 2816
    expert_feed_forward: int = 704
    experts: int = 8
    used_experts: int = 2


FIGURES: Final[Mapping[str, Figures]] = {
    "usual": Figures(),
    # Few heads and many experts: what attention does not need shows.
    "narrow": Figures(layers=8, embedding=512, heads=4, kv_heads=2, head=128, feed_forward=3072,
                      expert_feed_forward=512, used_experts=6),
}  # fmt: skip

EXPERTS_ALWAYS: Final = frozenset((
    "llama4", "cohere2moe", "grok", "qwen2moe", "qwen3moe", "qwen3next", "qwen3vlmoe", "qwen35moe", "qwen4exp",
    "phimoe", "dbrx", "olmoe", "arctic", "deepseek", "deepseek2", "deepseek32", "dots3note", "deepseek4",
    "glm4moe", "glm-dsa", "exaone-moe", "bailingmoe", "bailingmoe2", "bailingmoe3", "dots1", "afmoe",
    "ernie4_5-moe", "hunyuan-moe", "hy_v3", "hy_v4", "gpt-oss", "lfm2moe", "smallthinker", "llada-moe",
    "grovemoe", "minimax-01", "minimax-m2", "minimax-m3", "rnd1", "paddleocr", "mimo2", "kimi-linear",
    "kimi-k3", "glm5-next", "step35", "mistral4", "mellum", "laguna", "maple", "nomic-bert-moe", "granitemoe",
    "deepseek2-ocr", "nemotron_h_moe",
))  # fmt: skip
COMPRESSED: Final = frozenset((
    "deepseek2", "deepseek32", "glm-dsa", "dots3note", "kimi-linear", "bailingmoe3", "kimi-k3", "glm5-next",
    "mistral4", "hy_v4",
))  # fmt: skip
"""Those with one latent key for all heads (MLA)."""
HYBRID: Final = frozenset((
    "plamo2", "jamba", "nemotron_h", "nemotron_h_moe", "granitehybrid", "lfm2", "lfm2moe", "kimi-linear",
    "bailingmoe3", "kimi-k3", "glm5-next",
))  # fmt: skip
"""Those whose layers without attention are the ones without heads."""
PATTERNED: Final = frozenset((
    "cohere2moe", "mimo2", "step35", "spark2_5", "muse-glimmer", "granite_swa", "dots3note", "maple", "gemma4",
))  # fmt: skip
"""Those that want to be told which layers slide, one by one."""
DELTA: Final = frozenset(["qwen3next", "qwen35", "qwen35moe", "qwen4exp"])
OMITTED: Final = {"rwkv6qwen2": "time_mix_first"}
"""Tensors that may be there, and change what llama.cpp takes the model for."""
LEFT_OUT: Final = {
    "t5": "an encoder and a decoder: nothing here serves both",
    "clip": "what sees for another model",
    "gptj": "llama.cpp loads none",
    "chameleon": "half done in llama.cpp",
    "wavtokenizer-dec": "decodes sound, not text",
    "gemma4-assistant": "drafts for another model, whose context it needs",
    "eagle3": "drafts for another model",
    "dflash": "drafts for another model",
    "pockettts": "speaks",
    "qwen3tts": "speaks",
    "graniteswitch": "wants adapters of its own",
}


ALIKE: Final = frozenset((
    "bloom", "gpt2", "starcoder", "mpt", "gptneox", "phi2", "jais", "codeshell", "qwen", "baichuan", "refact",
    "openelm", "olmo", "plamo", "bert", "nomic-bert", "nomic-bert-moe", "jina-bert-v2", "jina-bert-v3", "neo-bert",
    "modern-bert", "t5encoder", "cogvlm", "bitnet", "minicpm3", "plm", "rwkv6qwen2", "talkie", "grok", "olmoe",
    "dots1", "deepseek2-ocr",
))  # fmt: skip
"""Those that have as many key/value heads as heads."""
SLIDE: Final = frozenset((
    "afmoe", "cohere2", "exaone-moe", "exaone4", "gemma-embedding", "gemma2", "gemma3", "gemma3n", "laguna",
    "llama4", "mellum", "modern-bert", "olmo2", "gpt-oss", "phi3", "phimoe", "plamo3", "smallthinker",
    "deepseek4", "muse-glimmer", "qwen2", "llama",
))  # fmt: skip
"""Those whose headers have a window, whether llama.cpp heeds it or not."""
INDEXED: Final = frozenset((
    "minimax-m3", "qwen4exp", "deepseek4", "deepseek32", "glm-dsa", "dots3note", "hy_v4", "glm5-next",
))  # fmt: skip
"""Those that choose the tokens that they attend to by an index."""
LOW_RANK: Final = COMPRESSED | {"minicpm3", "plm", "deepseek4", "deepseek2-ocr"}
CHANGED: Final[Mapping[str, Mapping[str, Any]]] = {
    "gemma3n": {"layers": 22},
    "gemma4": {"layers": 10},
    "gemma-embedding": {"layers": 6},
    "hrm_text": {"layers": 6},
    "mamba": {"heads": 0, "kv_heads": 0, "feed_forward": 0},
    "mamba2": {"heads": 0, "kv_heads": 0, "feed_forward": 0},
    "nemotron_h": {"layers": 6},
    "nemotron_h_moe": {"layers": 6},
    "rwkv6": {"heads": 0, "kv_heads": 0},
    "rwkv7": {"heads": 0, "kv_heads": 0},
    "arwkv7": {"heads": 0, "kv_heads": 0},
}
"""Figures that an architecture insists on, or has in every file."""


def metadata(architecture: str, figures: Figures) -> dict[str, Any]:
    """Return the metadata of a model: architecture's keys without their prefix, others with a leading dot."""
    a, wide = architecture, figures.embedding
    f = replace(figures, **CHANGED.get(a, {}))
    if a in COMPRESSED or a == "deepseek4":
        f = replace(f, kv_heads=1)
    elif a in ALIKE:
        f = replace(f, kv_heads=f.heads)
    elif a == "gemma3n":
        f = replace(f, feed_forward=wide)
    return {
        ".general.name": a,
        ".general.type": "model",
        "vocab_size": VOCABULARY,
        "context_length": CONTEXT,
        "embedding_length": wide,
        "features_length": wide,
        "block_count": f.layers,
        "leading_dense_block_count": 1,
        "feed_forward_length": f.feed_forward,
        "use_parallel_residual": False,
        "logit_scale": 1.0,
        "attention.head_count": f.heads,
        "attention.head_count_kv": f.kv_heads,
        "attention.max_alibi_bias": 8.0,
        "attention.clamp_kqv": 1.0,
        "attention.layer_norm_epsilon": 1e-5,
        "attention.layer_norm_rms_epsilon": 1e-5,
        "attention.group_norm_epsilon": 1e-5,
        "attention.group_norm_groups": 8,
        "attention.relative_buckets_count": 8,
        "rope.dimension_sections": [f.head // 4] * 4,
        "residual_scale": 3.5,
        "activation.situ_beta": 4.0,
        "activation.situ_linear_beta": 25.0,
        "attn_res.block_size": 12,
        ".xielu.alpha_n": 1.0,
        ".xielu.alpha_p": 1.0,
        ".xielu.beta": 1.0,
        ".xielu.eps": 1e-7,
        **_layered(a, f),
        **_latent(a),
        **_windows(a, f),
        **_index(a, f),
        **_experts(a, f),
        **_recurrent(a, wide, figures.heads),
        **_streams(a, f),
        **_own(a, f),
    }


def _layered(a: str, f: Figures) -> dict[str, Any]:
    """Return what differs from layer to layer: which have attention, which a feed-forward network."""
    if a not in HYBRID:
        return {}
    nemotron = a.startswith("nemotron")
    attends = [n % (3 if nemotron else 2) == 0 for n in range(f.layers)]
    found: dict[str, Any] = {"attention.head_count_kv": [f.kv_heads * one for one in attends]}
    if a != "glm5-next":
        found["attention.head_count"] = [f.heads * one for one in attends]
    if nemotron:
        found["feed_forward_length"] = [f.feed_forward * (n % 3 == 2) for n in range(f.layers)]
    return found


def _latent(a: str) -> dict[str, Any]:
    found: dict[str, Any] = {}
    if a in LOW_RANK:
        found |= {"attention.q_lora_rank": 512, "attention.kv_lora_rank": 512}
    if a in ("plm", "minicpm3"):
        found |= {"attention.key_length": 96, "attention.value_length": 64, "rope.dimension_count": 32}
    if a in COMPRESSED:
        found |= {
            "attention.key_length": 512 if a == "glm5-next" else 576,
            "attention.value_length": 512,
            "rope.dimension_count": 0 if a == "glm5-next" else 64,
            "attention.key_length_mla": 192,
            "attention.value_length_mla": 128,
        }
    if a == "dots3note":
        found |= {
            "attention.kv_lora_rank_swa": 512,
            "attention.key_length_swa": 576,
            "attention.value_length_swa": 512,
            "attention.key_length_mla_swa": 192,
            "attention.value_length_mla_swa": 128,
            "rope.freq_base_swa": 10_000.0,
        }
    return found


def _windows(a: str, f: Figures) -> dict[str, Any]:
    found: dict[str, Any] = {"attention.sliding_window": WINDOW} if a in SLIDE | PATTERNED else {}
    if a in PATTERNED:
        period = 5 if a == "gemma4" else 2
        slides = [n % period != period - 1 if a == "gemma4" else n % 2 == 1 for n in range(f.layers)]
        found["attention.sliding_window_pattern"] = slides
    if a in DELTA or a == "minimax-01":
        found["full_attention_interval"] = 4
    return found


def _index(a: str, f: Figures) -> dict[str, Any]:
    if a not in INDEXED:
        return {}
    found = {
        "attention.indexer.head_count": f.kv_heads if a == "minimax-m3" else 64,
        "attention.indexer.key_length": f.head if a == "qwen4exp" else 128,
        "attention.indexer.top_k": 2048,
        "attention.indexer.block_size": 4,
        "attention.indexer.kpool": 4,
        "attention.indexer.kpool_select_tail": True,
        "attention.indexer.local_blocks": 1,
    }
    if a in ("dots3note", "hy_v4"):
        found["attention.indexer.types"] = [int(n % 2 == 0) for n in range(f.layers)]
    return found


def _experts(a: str, f: Figures) -> dict[str, Any]:
    if a not in EXPERTS_ALWAYS:
        return {}
    return {
        "expert_feed_forward_length": f.expert_feed_forward,
        "expert_shared_feed_forward_length": f.expert_feed_forward // 2,
        "expert_latent_length": f.expert_feed_forward,
        "interleave_moe_layer_step": 2,
        "expert_count": f.experts,
        "expert_used_count": f.used_experts,
        "expert_shared_count": 1,
        "expert_gating_func": 4 if a == "deepseek4" else 2,
        "expert_group_scale": 1.0,
        "experts_per_group": 1,
        "moe_every_n_layers": 2,
    }


def _streams(a: str, f: Figures) -> dict[str, Any]:
    if a in ("qwen4exp", "glm5-next"):
        return _per_layer_embedding(f.layers, f.embedding)
    if a not in ("hy_v4", "deepseek4"):
        return {}
    return {
        "hyper_connection.count": 4,
        "hyper_connection.sinkhorn_iterations": 2,
        "hyper_connection.epsilon": 1e-6,
        "hyper_connection.magnitude": 2.0,
        "swiglu_clamp_exp": 10.0,
        "expert_weights_scale": 1.0,
        "expert_weights_norm": True,
    }


def _own(a: str, f: Figures) -> dict[str, Any]:
    """Return what one architecture has and no other."""
    if a in BATCH_ONLY - DIFFUSION - {"t5encoder"}:
        return {"attention.causal": False, "pooling_type": 1, ".tokenizer.ggml.token_type_count": 2,
                "hidden_activation": "gelu"}  # fmt: skip
    own: Mapping[str, Mapping[str, Any]] = {
        "bailingmoe3": {
            "rope.dimension_sections": [8, 12, 12, 0],
            "swiglu_clamp_exp": [0.0, *[4.0] * (f.layers - 1)],
            "swiglu_clamp_shexp": [0.0, *[5.0] * (f.layers - 1)],
        },
        "deepseek4": {
            "attention.key_length": f.head,
            "attention.value_length": f.head,
            "rope.dimension_count": f.head // 2,
            "attention.output_group_count": 4,
            "attention.output_lora_rank": 32,
            "attention.compress_ratios": [0, 0, 4, 128] * (f.layers // 4),
            "attention.compress_rope_freq_base": 160_000.0,
            "hash_layer_count": 0,
        },
        "gemma4": {
            "embedding_length_per_layer_input": 256,
            "attention.shared_kv_layers": 0,
            "attention.key_length": 2 * f.head,
            "attention.value_length": 2 * f.head,
            "attention.key_length_swa": f.head,
            "attention.value_length_swa": f.head,
            "rope.dimension_count_swa": f.head,
            "rope.freq_base_swa": 10_000.0,
        },
        "hrm_text": {"hrm.layers_per_stack": 1, "hrm.h_cycles": 2, "hrm.l_cycles": 2},
        "maple": {"swiglu_clamp_exp": 7.0},
        "minimax-m3": {"rope.dimension_count": 64},
        "t5encoder": {"decoder_start_token_id": 0},
    }
    return dict(own.get(a, {}))


def _recurrent(a: str, embedding: int, heads: int) -> dict[str, Any]:
    inner = 2 * embedding
    if a in ("kimi-linear", "bailingmoe3", "kimi-k3", "glm5-next"):
        return {
            "kda.head_dim": 128,
            "kda.safe_gate": True,
            "kda.gate_lower_bound": -5.0,
            "ssm.conv_kernel": 4,
        }
    if a in ("rwkv6", "rwkv7", "arwkv7", "rwkv6qwen2"):
        ranks = ("decay", "iclr", "value_residual_mix", "gate")
        found: dict[str, Any] = {f"attention.{rank}_lora_rank": 64 for rank in ranks}
        return found | {"wkv.head_size": 64, "time_mix_extra_dim": 64, "time_decay_extra_dim": 128,
                        "rescale_every_n_layers": 6,
                        "token_shift_count": 1 if a in ("arwkv7", "rwkv6qwen2") else 2}  # fmt: skip
    if a in ("lfm2", "lfm2moe"):
        return {"shortconv.l_cache": 3}
    if a in (
        "mamba",
        "mamba2",
        "jamba",
        "falcon-h1",
        "plamo2",
        "granitehybrid",
        "nemotron_h",
        "nemotron_h_moe",
    ):
        state = 16 if a in ("mamba", "jamba") else STATE
        rank = embedding // 16 if a in ("mamba", "jamba") else inner // 64
        return {"ssm.inner_size": inner, "ssm.conv_kernel": 4, "ssm.state_size": state, "ssm.time_step_rank": rank,
                "ssm.group_count": 0 if a in ("plamo2", "mamba", "jamba") else 2}  # fmt: skip
    if a in DELTA:
        return {"ssm.inner_size": STATE * heads, "ssm.conv_kernel": 4, "ssm.state_size": STATE,
                "ssm.time_step_rank": heads, "ssm.group_count": heads // 2}  # fmt: skip
    return {}


def _per_layer_embedding(layers: int, embedding: int) -> dict[str, Any]:
    size, each = 3, 2
    heads = (size - 1) * each
    return {
        "hyper_connection.count": 4,
        "hyper_connection.sinkhorn_iterations": 2,
        "hyper_connection.epsilon": 1e-6,
        "hyper_connection.low_rank": 8,
        "attention.compress_ratios": [4] * layers,
        "ple.layers": [0],
        "ple.ngram_size": size,
        "ple.heads_per_ngram": each,
        "ple.conv_kernel": 4,
        "ple.eos_token_id": 0,
        "embedding_length_per_layer_input": embedding // heads,
        "ple.layer_multipliers": np.array([1, 3, 5], np.uint64),
        "ple.head_offsets": np.array([n * VOCABULARY for n in range(heads)], np.uint64),
        "ple.head_vocab_sizes": np.array([VOCABULARY] * heads, np.uint64),
    }


def keys(architecture: str, figures: Figures) -> dict[str, Any]:
    """Return the metadata with its full keys."""
    return {
        key[1:] if key.startswith(".") else f"{architecture}.{key}": value
        for key, value in metadata(architecture, figures).items()
    }


SPECIAL: Final = {"bos": 1, "eos": 2, "unknown": 0, "padding": 0}


def vocabulary() -> tuple[list[str], list[float], list[int]]:
    """Return the tokens of a SentencePiece vocabulary, their scores and types."""
    tokens = ["<unk>", "<s>", "</s>", *(f"<0x{byte:02X}>" for byte in range(256)), "\u2581"]
    tokens.append("<|endoftext|>")  # phi3 looks it up
    kinds = [gguf.TokenType.UNKNOWN] + [gguf.TokenType.CONTROL] * 2 + [gguf.TokenType.BYTE] * 256
    more = words()
    tokens += ["\u2581" + next(more) for _ in range(VOCABULARY - len(tokens))]
    kinds += [gguf.TokenType.NORMAL] * (VOCABULARY - len(kinds))
    return tokens, [-float(n) for n in range(VOCABULARY)], [int(kind) for kind in kinds]


# -- what llama.cpp makes of it


class Tensor(ctypes.Structure):
    """ggml.h, struct ggml_tensor, as far as it is looked at."""

    _fields_ = (
        ("type", ctypes.c_int),
        ("buffer", ctypes.c_void_p),
        ("ne", ctypes.c_int64 * 4),
        ("nb", ctypes.c_size_t * 4),
        ("op", ctypes.c_int),
        ("op_params", ctypes.c_int32 * 16),
        ("flags", ctypes.c_int32),
        ("src", ctypes.c_void_p * 10),
        ("view_src", ctypes.c_void_p),
        ("view_offs", ctypes.c_size_t),
        ("data", ctypes.c_void_p),
        ("name", ctypes.c_char * 64),
        ("extra", ctypes.c_void_p),
        ("padding", ctypes.c_char * 8),
    )


_ARRAYS: Final = {np.dtype(np.uint32): 4, np.dtype(np.int32): 5, np.dtype(np.float32): 6, np.dtype(np.bool_): 7,
                  np.dtype(np.uint64): 10}  # fmt: skip


def _array(value: Any) -> np.ndarray[Any, Any]:
    if isinstance(value, np.ndarray):
        return value
    kind = {bool: np.bool_, int: np.uint32, float: np.float32}[type(value[0])]
    return np.array(value, kind)


def _put(base: ctypes.CDLL, meta: ctypes.c_void_p, key: str, value: Any) -> None:
    """Set one metadata value by ggml's own functions."""
    name = key.encode()
    if isinstance(value, bool):
        base.gguf_set_val_bool(meta, name, ctypes.c_bool(value))
    elif isinstance(value, int):
        base.gguf_set_val_u32(meta, name, ctypes.c_uint32(value))
    elif isinstance(value, float):
        base.gguf_set_val_f32(meta, name, ctypes.c_float(value))
    elif isinstance(value, str):
        base.gguf_set_val_str(meta, name, value.encode())
    elif isinstance(value, list) and isinstance(value[0], str):
        texts = (ctypes.c_char_p * len(value))(*(text.encode() for text in value))
        base.gguf_set_arr_str(meta, name, texts, ctypes.c_size_t(len(value)))
    else:
        items = _array(value)
        base.gguf_set_arr_data(meta, name, _ARRAYS[items.dtype], ctypes.c_void_p(items.ctypes.data),
                               ctypes.c_size_t(len(items)))  # fmt: skip


def _asked_for(architecture: str, figures: Figures) -> list[tuple[str, list[int]]]:
    """Return name and shape, fastest dimension first, of each tensor of the model that llama.cpp makes."""
    import llama_cpp

    base = ctypes.CDLL(str(Path(llama_cpp.__file__).parent / "lib" / "libggml-base.so"))
    base.gguf_init_empty.restype = ctypes.c_void_p
    meta = ctypes.c_void_p(base.gguf_init_empty())

    tokens, scores, kinds = vocabulary()
    everything = {
        "general.architecture": architecture,
        **keys(architecture, figures),
        "tokenizer.ggml.model": "llama",
        "tokenizer.ggml.tokens": tokens,
        "tokenizer.ggml.scores": scores,
        "tokenizer.ggml.token_type": np.array(kinds, np.int32),
        **{f"tokenizer.ggml.{name}_token_id": number for name, number in SPECIAL.items()},
    }
    for key, value in everything.items():
        _put(base, meta, key, value)
    found: list[tuple[str, list[int]]] = []

    def set_data(tensor: int, _: int) -> None:
        one = Tensor.from_address(tensor)
        found.append((one.name.decode(), list(one.ne)))

    llama_cpp.llama_backend_init()
    parameters = llama_cpp.llama_model_default_params()
    callback = llama_cpp.llama_cpp.llama_model_set_tensor_data_t(set_data)
    if not llama_cpp.llama_model_init_from_user(meta, callback, None, parameters):
        raise RuntimeError(f"{architecture}: llama.cpp makes no model of this metadata")
    return found


def asked_for(architecture: str, figures: str) -> list[tuple[str, tuple[int, ...]]]:
    """Return name and shape, slowest dimension first, of each tensor that llama.cpp wants of the architecture.

    Raises:
        RuntimeError: with what llama.cpp said, where the metadata does not suit it.
    """
    child = subprocess.run(
        [sys.executable, __file__, "--child", architecture, "--figures", figures],
        capture_output=True,
        text=True,
        check=False,
    )
    if child.returncode:
        said = [
            line for line in child.stderr.splitlines() if "error" in line.lower() or "assert" in line.lower()
        ]
        raise RuntimeError(f"{architecture}: {' '.join(said[-3:]) or child.stderr[-300:]}")
    found: dict[str, tuple[int, ...]] = {}  # some are asked for again, where layers share them
    for name, dimensions in json.loads(child.stdout.splitlines()[-1]):
        if architecture in OMITTED and OMITTED[architecture] in name:
            continue
        while len(dimensions) > 1 and dimensions[-1] == 1:
            dimensions.pop()
        found.setdefault(name, tuple(reversed(dimensions)))
    return list(found.items())


_KEPT: Final = (
    *(
        "_norm.weight",
        "ffn_gate_inp.weight",
        "altup",
        "laurel",
        "per_layer_model_proj",
        "position_embd",
        "token_types",
    ),
    *(
        "ssm_conv1d",
        "shortconv.conv.weight",
        "indexer.k_proj",
        "indexer.q_proj",
        "time_mix_",
        "attn_rel_b",
        "hc_",
    ),
    *("ssm_a", "ssm_d", "tid2eid", "ple_conv", "ple_norm", "indexer_compressor"),
)
"""llama-quant.cpp, tensor_allows_quantization: what stays in 32 bits, by a part of its name."""


def kind_of(name: str, shape: tuple[int, ...]) -> gguf.GGMLQuantizationType:
    """Return the type that a tensor of an F16 file has."""
    if len(shape) > 1 and name.endswith(".weight") and not any(part in name for part in _KEPT):
        return gguf.GGMLQuantizationType.F16
    if "tid2eid" in name:
        return gguf.GGMLQuantizationType.I32
    return gguf.GGMLQuantizationType.F32


_WIDTHS: Final = {gguf.GGMLQuantizationType.F16: np.float16, gguf.GGMLQuantizationType.F32: np.float32,
                  gguf.GGMLQuantizationType.I32: np.int32}  # fmt: skip


def write(architecture: str, path: Path, figures: str = "usual") -> Path:
    """Write a model of the architecture, F16, its weights a hole.

    Raises:
        RuntimeError: as `asked_for`.
    """
    tensors = asked_for(architecture, figures)
    writer = gguf.GGUFWriter(path, architecture)
    for key, value in keys(architecture, FIGURES[figures]).items():
        _add(writer, key, value)
    writer.add_file_type(gguf.LlamaFileType.MOSTLY_F16)
    tokens, scores, kinds = vocabulary()
    writer.add_tokenizer_model("llama")
    writer.add_token_list(tokens)
    writer.add_token_scores(scores)
    writer.add_token_types(kinds)
    for name, number in SPECIAL.items():
        writer.add_uint32(f"tokenizer.ggml.{name}_token_id", number)
    size = 0
    for name, shape in tensors:
        width = np.dtype(_WIDTHS[kind_of(name, shape)])
        bytes_ = prod(shape) * width.itemsize
        writer.add_tensor_info(name, shape, width, bytes_)
        size += -(-bytes_ // 32) * 32
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_ti_data_to_file()
    writer.close()
    with path.open("r+b") as file:
        file.truncate(-(-path.stat().st_size // 32) * 32 + size)
    return path


def _add(writer: gguf.GGUFWriter, key: str, value: Any) -> None:
    if isinstance(value, bool):
        writer.add_bool(key, value)
    elif isinstance(value, int):
        writer.add_uint32(key, value)
    elif isinstance(value, float):
        writer.add_float32(key, value)
    elif isinstance(value, str):
        writer.add_string(key, value)
    else:
        items = _array(value)
        kinds = {4: gguf.GGUFValueType.UINT32, 5: gguf.GGUFValueType.INT32, 6: gguf.GGUFValueType.FLOAT32,
                 7: gguf.GGUFValueType.BOOL, 10: gguf.GGUFValueType.UINT64}  # fmt: skip
        kind = kinds[_ARRAYS[items.dtype]]
        writer.add_key_value(key, items.tolist(), gguf.GGUFValueType.ARRAY, sub_type=kind)


def names() -> Iterator[str]:
    """Yield the architectures that the installed llama.cpp knows, less `LEFT_OUT`."""
    import llama_cpp

    library = ctypes.CDLL(str(Path(llama_cpp.__file__).parent / "lib" / "libllama.so"))
    name_of = library["_Z13llm_arch_name8llm_arch"]
    name_of.restype = ctypes.c_char_p
    for number in range(1000):
        name = name_of(number).decode()
        if name == "(unknown)":
            return
        if name not in LEFT_OUT:
            yield name


def main() -> int:
    """Write a model of each architecture into a folder; say which llama.cpp does not make."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("folder", type=Path, nargs="?")
    parser.add_argument("--only", default="", metavar="TEXT")
    parser.add_argument("--figures", choices=FIGURES, default="usual")
    parser.add_argument("--child", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.child:
        found = _asked_for(arguments.child, FIGURES[arguments.figures])
        print(json.dumps(found))
        return 0
    for name in names():
        if arguments.only in name:
            try:
                path = write(name, arguments.folder / f"{name}.gguf", arguments.figures)
            except RuntimeError as error:
                print(error)
            else:
                print(f"{name}: {path.stat().st_size / 1e6:.0f} MB")
    return 0


if __name__ == "__main__":
    sys.exit(main())
