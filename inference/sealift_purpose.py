"""What a model is for, by what llama.cpp knows of it: the one rule, for the endpoint and for the check before it.

Owns the lines between models that generate text, those that embed it, and those that rank it. Refuses to read a model:
who asks has its facts, from a header or from llama.cpp itself.
"""

from __future__ import annotations

MEAN, CLS, LAST, RANK = 1, 2, 3, 4
"""llama.h, enum llama_pooling_type: how the vectors of a text's tokens become one."""
RANKERS = frozenset({"bert", "jina-bert-v2", "modern-bert", "neo-bert", "qwen3", "qwen3vl"})
"""The architectures of which llama.cpp loads a classifier's head (src/models: LLM_TENSOR_CLS, LLM_TENSOR_CLS_OUT)."""
HEADS = frozenset({"cls.weight", "cls.output.weight"})
"""Its tensors: one of them at least."""


def ranks(architecture: str, pooling: int | None) -> bool:
    """Tell whether a model scores texts for a query: without a head, its score is a number without a meaning."""
    return pooling == RANK and architecture in RANKERS


def embeds(
    architecture: str, pooling: int | None, *, causal: bool, remembers: bool, diffuses: bool = False
) -> bool:
    """Tell whether a model is for embeddings: what it would generate is of no use.

    Args:
        architecture: ``general.architecture``.
        pooling: the header's ``pooling_type``, or None. A generator has none.
        causal: whether a token sees only those before it (``attention.causal``; true unless the header says otherwise).
        remembers: whether llama.cpp keeps a cache or a state for this architecture.
        diffuses: whether it fills in masked text: such models look at all of it, and generate all the same.
    """
    if pooling == RANK:
        return False
    if architecture == "llama-embed" or pooling in (MEAN, CLS, LAST):
        return True
    return not diffuses and not (causal and remembers)


def whole(pooling: int | None, *, causal: bool, remembers: bool) -> bool:
    """Tell whether a model for embeddings, or one that ranks, must evaluate a text at once, or may in parts.

    Where a token sees only those before it, which are remembered, and the last one's vector is taken, earlier parts
    give nothing; a head takes the last one's there too (llama-graph.cpp, llm_graph_input_cls). llama.cpp keeps logits
    for every token that it evaluates at once, also where nobody wants any.
    """
    return not (pooling in (LAST, RANK) and causal and remembers)
