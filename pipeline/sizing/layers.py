"""What each layer of a model keeps between tokens, and what llama.cpp computes it with, by architecture.

Owns the rules by which llama.cpp tells layers apart: which look back a window only, which are recurrent and keep a
state instead of keys and values, which keep one latent key for all heads, and which keep an index besides. They are
those of its sources as llama-cpp-python 0.3.36 ships them (src/models/*.cpp, llama-model.cpp: create_memory,
llama-hparams.cpp: n_embd_r and n_embd_s). `benchmarks/bench_architectures.py` compares them with what llama.cpp
allocates, for every architecture that it knows.
Refuses to add up: `pipeline.sizing.llama_memory` does.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from pipeline.gguf.architectures import RECURRENT, WITHOUT_CACHE

if TYPE_CHECKING:
    from collections.abc import Mapping

MOST_LAYERS: Final = 4096
"""A header's layer count is a claim; llama.cpp itself has 512 at most (LLAMA_MAX_LAYERS)."""


@dataclass(frozen=True, slots=True)
class Layer:
    """What the cache and the attention of one layer depend on; counts of numbers, not of bytes."""

    heads: int
    kv_heads: int
    """0 for a layer that has no cache of its own."""
    key: int
    """Width of one key."""
    value: int
    """Width of one value; 0 where values are computed from the keys."""
    slides: bool = False
    state: int = 0
    """Numbers that a recurrent layer keeps, whatever the context."""
    index: int = 0
    """Numbers that are kept for each token of the context to choose by, besides keys and values."""
    every: int = 0
    """Of the tokens before the window, one in so many is kept; 0 for none."""


@dataclass(frozen=True, slots=True)
class Work:
    """Numbers that are there at once while a batch is computed, for each of its tokens, beyond plain attention."""

    mixing: int = 0
    """In a recurrent layer."""
    attention: int = 0
    """In an attention layer, beside scores, queries and keys."""
    chosen: int = 0
    """In an attention layer, for each token of the context: scores of the index."""
    lasting: int = 0
    """From the first layer to the last."""
    lasting_squares: int = 0
    """The same, for each other token of the batch."""
    mixing_squares: int = 0
    """In a recurrent layer, for each other token of the batch."""
    scores: int = 1
    """How many matrices of scores there are at once."""
    nodes_per_token: int = 0
    nodes_per_tensor: int = 8
    """What bounds the nodes of a graph, whichever is more: the tokens of a batch, or the model's tensors."""


@dataclass(frozen=True, slots=True)
class _Sliding:
    """Which layers slide where the header does not say it layer by layer: all but every n-th."""

    period: int | None
    """None for an architecture whose header has to say it; 0 for one all of whose layers slide."""
    window: int = 0
    """Where the header gives none."""
    whole_first: bool = False
    """Whether the first layer of each n sees everything, not the last."""
    always: int = 0
    """A window that holds whatever the header says."""


# src/models/*.cpp: load_swa_pattern, set_swa_pattern, n_swa. Architectures that are not here keep the whole context in
# every layer: llama.cpp ignores a window in the header of some (qwen2, phi3, mistral's "llama").
_SLIDING: Final[Mapping[str, _Sliding]] = {
    "afmoe": _Sliding(4),
    "cohere2": _Sliding(4),
    "cohere2moe": _Sliding(4, whole_first=True),
    "deepseek4": _Sliding(0),
    "dots3note": _Sliding(None),
    "exaone-moe": _Sliding(4, 128),
    "exaone4": _Sliding(4, 4096),
    "gemma-embedding": _Sliding(6),
    "gemma2": _Sliding(2, 4096),
    "gemma3": _Sliding(6),
    "gemma3n": _Sliding(5),
    "gemma4": _Sliding(None),
    "gpt-oss": _Sliding(2),
    "granite_swa": _Sliding(None),
    "laguna": _Sliding(4, whole_first=True),
    "lfm2": _Sliding(0),
    "lfm2moe": _Sliding(0),
    "llama4": _Sliding(4, 8192, always=8192),
    "maple": _Sliding(None),
    "mellum": _Sliding(4),
    "mimo2": _Sliding(None),
    "modern-bert": _Sliding(3, whole_first=True),
    "muse-glimmer": _Sliding(4),
    "olmo2": _Sliding(4),
    "plamo3": _Sliding(8),
    "smallthinker": _Sliding(4, whole_first=True, always=4096),
    "spark2_5": _Sliding(None),
    "step35": _Sliding(None),
}
_EXAONE4_SLIDES_AT: Final = 64
"""src/models/exaone4.cpp: only the model of so many layers has windows."""

BATCH_ONLY: Final = WITHOUT_CACHE | {"llama-embed", "t5encoder"}
"""Those whose attention looks at no more than one batch; the last two have a cache that is not read."""

_WITHOUT_KV_HEADS: Final = frozenset((
    "jamba", "plamo2", "granitehybrid", "lfm2", "lfm2moe", "kimi-linear", "bailingmoe3", "kimi-k3",
    "glm5-next",
))  # fmt: skip
"""src/models/*.cpp: a layer is recurrent where the header gives it no key/value heads."""
_NEMOTRON: Final = frozenset({"nemotron_h", "nemotron_h_moe"})
"""The same, where it has no feed-forward network either; a layer that has one has nothing else."""
_INTERVALS: Final[Mapping[str, int]] = {
    "qwen3next": 4, "qwen35": 4, "qwen35moe": 4, "qwen4exp": 4, "minimax-01": 8
}  # fmt: skip
"""src/models/*.cpp: all but every n-th layer is recurrent, where the header gives no other n and no list."""
_BOTH: Final = frozenset({"falcon-h1"})
"""Each layer is recurrent and has attention."""

_INDEXED: Final = frozenset((
    "deepseek4", "deepseek32", "glm-dsa", "dots3note", "hy_v4", "glm5-next", "qwen4exp", "minimax-m3",
))  # fmt: skip
"""llama-kv-cache-dsa.cpp, -msa.cpp, llama-memory-hybrid-idx.cpp: those that keep an index of what they attend to."""

_INDEXED_RATIO: Final = 4
"""llama-kv-cache-dsv4.cpp, DSV4_CSA_RATIO: layers of deepseek4 that keep one token in so many have the index."""
_GEMMA3N_KV_LAYERS: Final = 20
"""src/models/gemma3n.cpp: later layers use the cache of these."""
_GEMMA3N_PER_LAYER: Final = 256
_GEMMA3N_STREAMS: Final = 4
"""llama-hparams.h: n_embd_altup and n_altup, which no header sets."""


_NODES: Final[Mapping[str, tuple[int, int]]] = {
    **dict.fromkeys(("kimi-k3", "glm5-next"), (160, 64)),
    "hrm_text": (80, 64),
    **dict.fromkeys(
        ("qwen3next", "kimi-linear", "bailingmoe3", "qwen35", "qwen35moe", "qwen4exp", "deepseek4", "nanbeige",
         "minimax-01", "minimax-m3", "hy_v4"), (40, 32)
    ),
}  # fmt: skip
"""llama-context.cpp, graph_max_nodes: for each token of a batch, for each tensor of the model."""


class Header:
    """The figures of a model that the rules ask for: those of an archive report, absent ones 0."""

    def __init__(self, model: Mapping[str, Any]) -> None:
        self._model = model
        self._memory: Mapping[str, Any] = model.get("memory_keys") or {}
        self.architecture: str = model.get("architecture") or ""
        self.all_layers = min(count(model["block_count"]), MOST_LAYERS)
        drafting = self.key("nextn_predict_layers")
        # llama-model.cpp: a file of nothing but layers that draft is loaded as one of layers that do not.
        self.layers = self.all_layers - drafting if 0 < drafting < self.all_layers else self.all_layers
        """Without those that draft tokens ahead: llama.cpp does not load them."""
        self.embedding = count(model["embedding_length"])
        self.heads = each(model["head_counts"], self.layers)
        self.kv_heads = each(model["head_counts_kv"] or model["head_counts"], self.layers)
        self.key_length, self.value_length = count(model["key_length"]), count(model["value_length"])
        self.compressed = bool(model.get("key_length_mla"))
        """llama-kv-cache.cpp: one latent key for all heads, and no values."""

    def get(self, name: str) -> Any:
        """Return a figure of the report; None when it has none."""
        return self._model.get(name)

    def key(self, name: str) -> int:
        """Return one number of the architecture's own keys."""
        value = self._memory.get(name)
        return 0 if isinstance(value, list) else count(value)

    def listed(self, name: str) -> list[int] | None:
        """Return the architecture's own key as a list of numbers; None when it is none."""
        value = self._memory.get(name)
        return [count(one) for one in value] if isinstance(value, list) else None


def layers_of(header: Header) -> tuple[int, tuple[Layer, ...]]:
    """Return the tokens that a sliding layer looks back, and the layers."""
    window, slides = _slides(header)
    recurrent = _recurrent(header)
    own = header.layers - count(header.get("shared_kv_layers"))
    if header.architecture == "gemma3n":
        own = _GEMMA3N_KV_LAYERS
    state = _state(header)
    key, value = header.key_length, header.value_length
    sliding_key = count(header.get("key_length_swa")) or key
    sliding_value = count(header.get("value_length_swa")) or value
    if header.compressed or header.architecture == "deepseek4":
        value = sliding_value = 0
    attention = _attention(header, recurrent)
    return window, tuple(
        Layer(
            heads=header.heads[n] if attention[n] else 0,
            kv_heads=header.kv_heads[n] if attention[n] and n < own else 0,
            key=sliding_key if slides[n] else key,
            value=sliding_value if slides[n] else value,
            slides=slides[n],
            state=state if recurrent[n] else 0,
            index=_index(header, n) if attention[n] else 0,
            every=_every(header, n),
        )
        for n in range(header.layers)
    )


def work_of(header: Header) -> Work:
    """Return what is there at once while a batch is computed.

    The sums are those of the tensors that live at the same time in the graphs of src/models/*.cpp, by name there.
    """
    a, wide = header.architecture, header.embedding
    attention = chosen = lasting = 0
    if header.compressed:
        # Queries are there in three forms: as projected, absorbed into the latent space, and those with their rotation.
        heads = max(header.heads, default=0)
        latent = header.key("attention.kv_lora_rank")
        projected = count(header.get("key_length_mla"))
        attention = heads * (projected + (latent if latent != header.key_length else 0))
    per_token, per_tensor = _NODES.get(a, (0, 8))
    streams = header.key("hyper_connection.count") * wide
    if any(_index(header, n) for n in range(header.layers)) and a != "minimax-m3":
        heads = header.key("attention.indexer.head_count")
        # Its queries as projected, with their rotation, and transformed; its scores, and those that are chosen.
        attention += 3 * heads * header.key("attention.indexer.key_length")
        chosen = 2
        if a == "qwen4exp":
            # Scores for each head of the index and each block of tokens, before and after their activation.
            ratio = max(header.listed("attention.compress_ratios") or [0]) or 1
            chosen += -(-2 * heads // ratio)
    if a in ("hy_v4", "glm5-next", "qwen4exp", "deepseek4"):
        lasting += streams
    if a == "gemma4":
        lasting += 2 * header.key("embedding_length_per_layer_input") * header.layers
    if a == "gemma3n":
        lasting += 2 * _GEMMA3N_PER_LAYER * header.layers + _GEMMA3N_STREAMS * wide
    return Work(
        mixing=_mixing(header),
        attention=attention,
        chosen=chosen,
        lasting=lasting,
        lasting_squares=max(header.heads, default=0) if a == "minimax-01" else 0,
        mixing_squares=2 * max(header.heads, default=0) if a == "minimax-01" else 0,
        scores=3 if a in ("t5", "t5encoder") else 1,
        nodes_per_token=per_token,
        nodes_per_tensor=per_tensor,
    )


def _slides(header: Header) -> tuple[int, list[bool]]:
    """Return the window and, for each layer, whether it has one."""
    whole = 0, [False] * header.layers
    rule = _SLIDING.get(header.architecture)
    if rule is None or (header.architecture == "exaone4" and header.layers != _EXAONE4_SLIDES_AT):
        return whole
    window = count(header.get("sliding_window")) or rule.window
    if not window:
        return whole
    window = rule.always or window
    pattern = header.get("sliding_window_pattern")
    if isinstance(pattern, list):
        return window, [n < len(pattern) and bool(pattern[n]) for n in range(header.layers)]
    if rule.period is None:
        return whole
    period = (count(pattern) if rule.period else 0) or rule.period
    if not period:
        return window, [True] * header.layers
    seeing = 0 if rule.whole_first else period - 1
    return window, [n % period != seeing for n in range(header.layers)]


def _recurrent(header: Header) -> list[bool]:
    """Return which layers keep a state."""
    a = header.architecture
    if a in RECURRENT or a in _BOTH:
        return [True] * header.layers
    if a in _WITHOUT_KV_HEADS:
        return [heads == 0 for heads in header.kv_heads]
    if a in _NEMOTRON:
        feeds = each(header.get("feed_forward_length"), header.layers)
        return [heads == 0 and feed == 0 for heads, feed in zip(header.kv_heads, feeds, strict=True)]
    if a in _INTERVALS:
        said = header.listed("attention.recurrent_layers")
        if said is not None:
            return [n < len(said) and bool(said[n]) for n in range(header.layers)]
        interval = header.key("full_attention_interval") or _INTERVALS[a]
        return [(n + 1) % interval != 0 for n in range(header.layers)]
    return [False] * header.layers


def _attention(header: Header, recurrent: list[bool]) -> list[bool]:
    """Return which layers have attention."""
    if header.architecture in _BOTH:
        return [True] * header.layers
    if header.architecture in _NEMOTRON:
        feeds = each(header.get("feed_forward_length"), header.layers)
        return [not one and feed == 0 for one, feed in zip(recurrent, feeds, strict=True)]
    return [not one for one in recurrent]


def _state(header: Header) -> int:
    """Return the numbers that a recurrent layer keeps: llama-hparams.cpp, n_embd_r and n_embd_s, in the order there."""
    wide, first = header.embedding, next(iter(header.heads), 0)
    kernel = header.key("ssm.conv_kernel")
    inner, states = header.key("ssm.inner_size"), header.key("ssm.state_size")
    if size := header.key("wkv.head_size"):
        return (header.key("token_shift_count") or 2) * wide + wide * size
    if cached := header.key("shortconv.l_cache"):
        return wide * (cached - 1)
    if size := header.key("kda.head_dim"):
        return 3 * (kernel - 1 if kernel else 3) * first * size + size * size * first
    convolved = max(kernel - 1, 0) * (inner + 2 * header.key("ssm.group_count") * states)
    if header.architecture == "minimax-01":
        return convolved + header.key_length**2 * first
    return convolved + states * inner


def _mixing(header: Header) -> int:
    """Return the numbers for each token that a recurrent layer computes with at its peak."""
    a, wide = header.architecture, header.embedding
    inner, groups = header.key("ssm.inner_size"), header.key("ssm.group_count") * header.key("ssm.state_size")
    if a in ("mamba", "jamba", "plamo2"):
        return 3 * wide + 5 * inner  # input and gate, convolved, its activation, the scan's output
    if a in ("mamba2", "granitehybrid", "falcon-h1", *_NEMOTRON):
        convolved = inner + 2 * groups
        beside = 4 if a in _BOTH else 2
        return beside * wide + inner + convolved + header.key("ssm.time_step_rank") + 2 * convolved + inner
    if a in ("rwkv6", "rwkv6qwen2"):
        return 27 * wide // 2  # five mixtures of each token with the one before, twice
    if a in ("rwkv7", "arwkv7"):
        return 37 * wide // 2  # six
    if a in ("lfm2", "lfm2moe"):
        return 6 * wide
    if header.key("kda.head_dim"):
        return 2 * wide + 8 * header.key("kda.head_dim") * max(header.heads, default=0)
    if a == "minimax-01":
        return 3 * wide + 4 * max(header.heads, default=0) * header.key_length
    if a in _INTERVALS:
        return 2 * wide + 3 * (inner + 2 * groups) + inner
    return 0


def _index(header: Header, layer: int) -> int:
    """Return the numbers that a layer keeps for each token to choose by."""
    a, width = header.architecture, header.key("attention.indexer.key_length")
    if a not in _INDEXED or not width or (a == "hy_v4" and not header.key("attention.indexer.top_k")):
        return 0
    if a == "minimax-m3":
        # llama-kv-cache-msa.cpp: one head, with values that are not used.
        return width + header.value_length if layer >= header.key("leading_dense_block_count") else 0
    if a == "deepseek4":
        return width if _every(header, layer) == _INDEXED_RATIO else 0
    if a == "glm5-next":
        width *= 3 if header.key("attention.indexer.kpool") else 1
    kinds = header.listed("attention.indexer.types") if a not in ("deepseek32", "qwen4exp") else None
    return width if kinds is None or (layer < len(kinds) and kinds[layer]) else 0


def _every(header: Header, layer: int) -> int:
    if header.architecture != "deepseek4":
        return 0
    ratios = header.listed("attention.compress_ratios") or []
    return ratios[layer] if layer < len(ratios) else 0


def each(value: Any, layers: int) -> list[int]:
    """Return one number for each layer, of a number for all or a list."""
    if isinstance(value, list):
        return [count(one) for one in value[:layers]] + [0] * (layers - len(value))
    return [count(value)] * layers


def count(value: Any) -> int:
    """Return a figure of a report as a number; 0 for one that is absent."""
    return int(value or 0)
