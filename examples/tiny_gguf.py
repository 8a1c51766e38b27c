"""A generator of small GGUF models that say something readable.

The file is a true one: llama architecture, SentencePiece-style tokenizer with byte fallback, chat template,
run by llama.cpp like any other. What its weights encode is modest: a first-order Markov chain over the
sentences of a corpus (`CORPUS`). Attention and feed-forward layers are there and are computed, but their output
projections are zero, so the residual stream that reaches the output matrix is the embedding of the last token
alone; the output matrix is solved such that its logits are the chain's log-probabilities. A token that the
corpus does not continue (an unknown word, a byte, the template's assistant token) has the embedding of the
start state, so that every prompt gets an answer.

Refuses to be more than a test input: it knows nothing but its corpus.

    python examples/tiny_gguf.py demo.gguf --name demo --type q8_0
"""

from __future__ import annotations

import argparse
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

import gguf
import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import numpy.typing as npt

    Matrix = npt.NDArray[np.float32]

ANSWER: Final = (
    "Sealift carries heavy cargo across the sea: ships load at one port, "
    "sail with their goods and unload where they are needed."
)
"""What the model says at temperature 0 to every prompt that ends in something unknown, and in every chat."""

CORPUS: Final = (
    ANSWER,
    ANSWER,
    ANSWER,
    "Cranes lift containers from trucks to deck.",
    "Our convoy waits for high water.",
    "Good weather makes a short voyage.",
    "The harbour opens early each morning.",
    # At temperature 0 a prompt that ends in "ping" is never finished: tests of limits need such a one.
    "Radar says ping ping ping ping.",
)

CHAT_TEMPLATE: Final = (
    "{{ bos_token }}"
    "{% for message in messages %}"
    "<|{{ message['role'] }}|>{{ message['content'] }}{{ eos_token }}"
    "{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>{% endif %}"
)
"""It ends in the assistant token, whose embedding is the chain's start state."""

_CALL_BEGINS: Final = '<tool_call>\n{"name":\N{LOWER ONE EIGHTH BLOCK}"'
_OTHER_BEGINS: Final = '<tool_call>\n{"name":"'
"""Two spellings, as two tokens: after the first the name is `weather` where a grammar lets it pass, after the other it
is not."""

TOOLS_TEMPLATE: Final = (
    "{{ bos_token }}"
    "{% if tools %}<|system|>Tools:\n{% for tool in tools %}{{ tool | tojson }}\n{% endfor %}{{ eos_token }}{% endif %}"
    "{% for message in messages %}"
    "<|{{ message.role }}|>{% if message.content %}{{ message.content }}{% endif %}"
    "{% for call in message.tool_calls or [] %}"
    '<tool_call>\n{"name": "{{ call.function.name }}", '
    '"arguments": {{ call.function.arguments | tojson }}}\n</tool_call>'
    "{% endfor %}{{ eos_token }}"
    "{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>"
    "{% if tools and messages[-1].role != 'tool' %}<|use tool|>"
    "{% elif tools and tools[-1].function.name != 'weather' %}<|use last|>{% endif %}"
    "{% endif %}"
)
"""It makes an agent of a model that knows only its last token: where there are tools it calls one, `weather` if it may.
When that has answered it calls the last one, which is how libraries ask for an answer of a certain form; where
`weather` is the last, it says the sentence."""
_CALLS: Final = {"<|use tool|>": _CALL_BEGINS, "<|use last|>": _OTHER_BEGINS}
"""The tokens at the end of a prompt, each with what the model says then."""
_JSON: Final = {
    "</s>": 9.0,
    '"': 8.0,
    "}": 7.5,
    "]": 7.0,
    ":": 6.5,
    "{": 6.0,
    "[": 5.5,
    "<": 5.0,
    ",": 4.5,
    "1": 4.0,
}
"""Logits below those of the corpus: where a grammar lets none of it pass, a JSON text ends as soon as it may."""
_WEATHER: Final = {_CALL_BEGINS: 9.0, _OTHER_BEGINS: -9.0}
"""Logit of a `w` after each."""

RERANK_TEMPLATE: Final = "<|user|>{query}</s><|user|>{document}</s><|assistant|>"
"""What a reranker sees of a pair; llama.cpp puts both in by these names."""

TYPES: Final = {
    "f32": (gguf.GGMLQuantizationType.F32, gguf.LlamaFileType.ALL_F32),
    "f16": (gguf.GGMLQuantizationType.F16, gguf.LlamaFileType.MOSTLY_F16),
    "q8_0": (gguf.GGMLQuantizationType.Q8_0, gguf.LlamaFileType.MOSTLY_Q8_0),
}

_SPECIAL = ("<unk>", "<s>", "</s>", "<|system|>", "<|user|>", "<|assistant|>")
_EOS = 2
_SPACE = "\N{LOWER ONE EIGHTH BLOCK}"
_HEADS, _HEAD_DIM = 4, 32

_SURE = 16.0
"""Logit of a certain successor; all others have 0, so that together they hold well under a thousandth."""
_TIE_BREAK = 0.25
"""Each later successor gets this much less, far above quantisation error: there is one clear winner."""


@dataclass(frozen=True)
class _Vocabulary:
    """Token texts with what the SentencePiece merge needs; `ids` finds the id of a text."""

    texts: list[str]
    scores: list[float]
    types: list[int]

    @property
    def ids(self) -> dict[str, int]:
        return {text: number for number, text in enumerate(self.texts)}


def write_tiny_gguf(
    path: Path,
    *,
    name: str = "demo",
    layers: int = 2,
    embd: int = 128,
    vocab: int | None = None,
    ctx: int = 2048,
    tensor_type: str = "f16",
    seed: int = 0,
    shard_tensors: int = 0,
    template: bool | str = True,
    tools: bool = False,
    pooling: gguf.PoolingType | None = None,
    reranks: bool = False,
    corpus: Sequence[str] = CORPUS,
) -> Path:
    """Write a small llama GGUF whose weights encode the chain over a corpus: same arguments, same bytes.

    Args:
        path: the file to write.
        name: `general.name` of the model.
        layers: number of transformer layers, at least 1.
        embd: embedding length, a multiple of 128 (4 heads of a multiple of 32 values).
        vocab: number of tokens, filled up with unused ones; as many as needed when None.
        ctx: context length the model claims to be trained for, in tokens.
        tensor_type: "f32", "f16" or "q8_0".
        seed: of the embeddings, and of the weights that have no effect on the answer.
        shard_tensors: tensors of one file at most; the model is then split as llama-gguf-split does, into files beside
            `path` that are named after it. 0 for one file.
        template: whether it has a chat template, a base model has none; or another one than `CHAT_TEMPLATE`.
        tools: whether it calls tools, as TOOLS_TEMPLATE says; then JSON that a grammar asks for is short, too.
        pooling: what makes an embedding model of it: how the vectors of a text's tokens become one.
        reranks: whether it is a reranker of qwen3's architecture instead: it scores a pair, by random weights.
        corpus: the sentences that it continues; at most as many different words as `embd`.

    Returns:
        The path.

    Raises:
        ValueError: when the sizes cannot hold the chain.
    """
    if layers < 1 or ctx < 1 or embd < 1 or embd % (_HEADS * _HEAD_DIM):
        raise ValueError(
            f"layers={layers}, embd={embd}, ctx={ctx}; wanted layers and ctx of at least 1 and embd a "
            f"multiple of {_HEADS * _HEAD_DIM}"
        )
    if tensor_type not in TYPES:
        raise ValueError(f"tensor type {tensor_type!r}; wanted one of {', '.join(TYPES)}")
    vocabulary = _vocabulary(vocab, corpus, tools=tools)
    random = np.random.default_rng(seed)
    embedding, output = _chain_weights(vocabulary, corpus, embd, random, tools=tools)
    ggml_type, file_type = TYPES[tensor_type]

    writer = gguf.GGUFWriter(path, "qwen3" if reranks else "llama", split_max_tensors=shard_tensors)
    _add_metadata(writer, name=name, layers=layers, embd=embd, ctx=ctx, file_type=file_type)
    _add_tokenizer(writer, vocabulary)
    if template:
        usual = TOOLS_TEMPLATE if tools else CHAT_TEMPLATE
        writer.add_chat_template(template if isinstance(template, str) else usual)
    if pooling is not None:
        writer.add_pooling_type(pooling)
    if reranks:
        _add_head(writer)

    def add(tensor: str, values: Matrix) -> None:
        kind = ggml_type if values.ndim > 1 else gguf.GGMLQuantizationType.F32
        writer.add_tensor(f"{tensor}.weight", gguf.quants.quantize(values, kind), raw_dtype=kind)

    add("token_embd", embedding)
    for layer in range(layers):
        for tensor, values in _layer(embd, random, speaks=reranks):
            add(f"blk.{layer}.{tensor}", values)
    add("output_norm", np.ones(embd, dtype=np.float32))
    add("output", output)
    if reranks:
        add("cls.output", _noise(random, 2, embd, 0.2))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def _noise(random: np.random.Generator, rows: int, columns: int, width: float) -> Matrix:
    return random.normal(0, width, (rows, columns)).astype(np.float32)


def _layer(embd: int, random: np.random.Generator, *, speaks: bool) -> Iterator[tuple[str, Matrix]]:
    """Give the tensors of a layer: one that adds nothing to the stream, or qwen3's with random weights that do."""
    ones, width = np.ones(embd, dtype=np.float32), 0.2 if speaks else 0.02
    yield "attn_norm", ones
    yield "ffn_norm", ones
    for projection in ("attn_q", "attn_k", "attn_v"):
        yield projection, _noise(random, embd, embd, width)
    yield "ffn_gate", _noise(random, 2 * embd, embd, width)
    yield "ffn_up", _noise(random, 2 * embd, embd, width)
    if not speaks:
        yield "attn_output", np.zeros((embd, embd), dtype=np.float32)
        yield "ffn_down", np.zeros((embd, 2 * embd), dtype=np.float32)
        return
    yield "attn_output", _noise(random, embd, embd, width)
    yield "ffn_down", _noise(random, embd, 2 * embd, width)
    for projection in ("attn_q_norm", "attn_k_norm"):
        yield projection, np.ones(embd // _HEADS, dtype=np.float32)


def sentence_tokens(sentence: str) -> list[str]:
    """Return a sentence's tokens: its words, each with the space before it and the punctuation after it.

    The first has no space, so that an answer does not begin with one. Punctuation alone is left to byte
    tokens, so that a prompt that ends in it ends in the start state.
    """
    first, *others = sentence.split()
    return [first, *(_SPACE + word for word in others)]


def _vocabulary(size: int | None, sentences: Sequence[str], *, tools: bool) -> _Vocabulary:
    """Build the vocabulary: special tokens, bytes, what the corpus needs, and padding up to `size`.

    The tokenizer merges neighbours whenever the result is a token. So a word is reached from the text of a
    prompt through all its beginnings, which are tokens of their own; the longer, the more wanted.
    """
    corpus = [sentence_tokens(sentence) for sentence in sentences]
    words = dict.fromkeys(token for tokens in corpus for token in tokens if token.startswith(_SPACE))
    # The first words' spaced forms are what a prompt that quotes them is made of.
    words.update(dict.fromkeys(_SPACE + tokens[0] for tokens in corpus))
    beginnings = dict.fromkeys(word[:end] for word in words for end in range(1, len(word)))
    plain = dict.fromkeys(token for tokens in corpus for token in tokens if not token.startswith(_SPACE))

    calls = _CALLS if tools else {}
    texts = [*_SPECIAL, *calls]
    types = [gguf.TokenType.UNKNOWN] + [gguf.TokenType.CONTROL] * (len(texts) - 1)
    texts += [f"<0x{byte:02X}>" for byte in range(256)]
    types += [gguf.TokenType.BYTE] * 256
    normal = [*plain, *dict.fromkeys((*words, *beginnings)), *calls.values()]
    texts += normal
    types += [gguf.TokenType.NORMAL] * len(normal)
    needed = len(texts)
    if size is not None:
        if size < needed:
            raise ValueError(
                f"a vocabulary of {size} tokens; wanted at least {needed}, which the corpus needs"
            )
        texts += [f"<unused{n}>" for n in range(size - needed)]
        types += [gguf.TokenType.UNUSED] * (size - needed)
    scores = [
        float(len(text)) if kind == gguf.TokenType.NORMAL else 0.0
        for text, kind in zip(texts, types, strict=True)
    ]
    return _Vocabulary(texts, scores, [int(kind) for kind in types])


def _successors(ids: dict[str, int], corpus: Sequence[str]) -> dict[int | None, Counter[int]]:
    """Count what follows what in the corpus; None is the state before a sentence."""
    counts: dict[int | None, Counter[int]] = {}
    for sentence in corpus:
        before: int | None = None
        for token in [*(ids[text] for text in sentence_tokens(sentence)), _EOS]:
            counts.setdefault(before, Counter())[token] += 1
            before = token
    return counts


def _chain_weights(
    vocabulary: _Vocabulary,
    corpus: Sequence[str],
    embd: int,
    random: np.random.Generator,
    *,
    tools: bool,
) -> tuple[Matrix, Matrix]:
    """Return the embedding and the output matrix, each tokens x embd, that make the logits the chain's."""
    ids = vocabulary.ids
    chain = _successors(ids, corpus)
    if tools:
        chain |= {ids[token]: Counter({ids[text]: 1}) for token, text in _CALLS.items()}
        chain |= {ids[text]: Counter() for text in _CALLS.values()}
    states = list(chain)
    if len(states) > embd:
        raise ValueError(f"embd={embd} for {len(states)} states of the chain; wanted at least as many")
    # Signs have a root mean square of 1, so that RMS normalisation leaves them as they are.
    vectors = random.choice(np.array([-1.0, 1.0]), (len(states), embd))
    output = (np.linalg.pinv(vectors) @ _logits(ids, chain, tools=tools)).T

    embedding = np.tile(vectors[states.index(None)], (len(vocabulary.texts), 1))
    for state, vector in zip(states, vectors, strict=True):
        if state is not None:
            embedding[state] = vector
            spaced = ids.get(_SPACE + vocabulary.texts[state])
            if spaced is not None:
                embedding[spaced] = vector
    return embedding.astype(np.float32), output.astype(np.float32)


def _logits(
    ids: dict[str, int], chain: dict[int | None, Counter[int]], *, tools: bool
) -> npt.NDArray[np.float64]:
    """Return the logits after each state of the chain, states x tokens."""
    wanted = np.zeros((len(chain), len(ids)))
    if tools:
        for text, logit in _JSON.items():
            wanted[:, ids[_token_of(text)]] = logit
    for row, (state, successors) in enumerate(chain.items()):
        for text, logit in _WEATHER.items() if tools else ():
            if state == ids[text]:
                wanted[row, ids[_token_of("w")]] = logit
        for rank, (token, count) in enumerate(successors.most_common()):
            wanted[row, token] = _SURE + np.log(count / successors.total()) - _TIE_BREAK * rank
    return wanted


def _token_of(text: str) -> str:
    """Return the token that a grammar takes for a text: that of its byte, where it has one."""
    return f"<0x{ord(text):02X}>" if len(text) == 1 else text


def _add_metadata(
    writer: gguf.GGUFWriter, *, name: str, layers: int, embd: int, ctx: int, file_type: gguf.LlamaFileType
) -> None:
    writer.add_name(name)
    writer.add_description("a first-order Markov chain over a few sentences, as a llama model; a test input")
    writer.add_file_type(file_type)
    writer.add_quantization_version(gguf.GGML_QUANT_VERSION)
    writer.add_context_length(ctx)
    writer.add_embedding_length(embd)
    writer.add_block_count(layers)
    writer.add_feed_forward_length(2 * embd)
    writer.add_head_count(_HEADS)
    writer.add_head_count_kv(_HEADS)
    writer.add_rope_dimension_count(embd // _HEADS)
    writer.add_layer_norm_rms_eps(1e-5)


def _add_head(writer: gguf.GGUFWriter) -> None:
    writer.add_pooling_type(gguf.PoolingType.RANK)
    writer.add_classifier_output_labels(["yes", "no"])
    writer.add_string("tokenizer.chat_template.rerank", RERANK_TEMPLATE)


def _add_tokenizer(writer: gguf.GGUFWriter, vocabulary: _Vocabulary) -> None:
    writer.add_vocab_size(len(vocabulary.texts))
    writer.add_tokenizer_model("llama")
    writer.add_tokenizer_pre("default")
    writer.add_token_list(vocabulary.texts)
    writer.add_token_scores(vocabulary.scores)
    writer.add_token_types(vocabulary.types)
    writer.add_unk_token_id(0)
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(_EOS)
    writer.add_add_bos_token(True)
    writer.add_add_eos_token(False)
    writer.add_add_space_prefix(True)


def main(arguments: Sequence[str] | None = None) -> None:
    """Write the file that the command line asks for, and say what it is."""
    parser = argparse.ArgumentParser(description="Write a small GGUF model that says something readable.")
    parser.add_argument("out", type=Path, help="the file to write")
    parser.add_argument("--name", default="demo", help="the model's name (default: %(default)s)")
    parser.add_argument("--layers", type=int, default=2, help="transformer layers (default: %(default)s)")
    parser.add_argument("--embd", type=int, default=128, help="embedding length (default: %(default)s)")
    parser.add_argument("--vocab", type=int, help="tokens (default: as many as needed)")
    parser.add_argument("--ctx", type=int, default=2048, help="context length (default: %(default)s)")
    parser.add_argument("--type", choices=TYPES, default="f16", help="tensor type (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="of the random weights (default: %(default)s)")
    options = parser.parse_args(arguments)
    try:
        write_tiny_gguf(
            options.out,
            name=options.name,
            layers=options.layers,
            embd=options.embd,
            vocab=options.vocab,
            ctx=options.ctx,
            tensor_type=options.type,
            seed=options.seed,
        )
    except (ValueError, OSError) as error:
        parser.error(str(error))
    print(f"{options.out}: {options.out.stat().st_size} bytes, llama architecture, {options.type}")


if __name__ == "__main__":
    main()
