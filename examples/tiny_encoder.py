"""A generator of small GGUF models that embed: a BERT with a vocabulary of a few words.

The file is a true one, run by llama.cpp like any other. Its weights are random, so what its numbers mean is nothing;
but equal texts have equal embeddings, and texts of other words have others. Refuses to write a model that generates:
that is `tiny_gguf`.
"""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

import gguf
import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

_SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
_WORDS = ("hello", "harbour", "crane", "tide", "ship", "cargo", "night", "pilot", ".", "?")
_HEADS = 4


def write_tiny_encoder(
    path: Path,
    *,
    name: str = "demo-encoder",
    layers: int = 2,
    embd: int = 64,
    ctx: int = 128,
    pooling: gguf.PoolingType | None = gguf.PoolingType.MEAN,
    spoiled: str = "",
    seed: int = 0,
    more_words: Sequence[str] = (),
) -> Path:
    """Write a small bert GGUF: same arguments, same bytes.

    Args:
        path: the file to write.
        name: `general.name` of the model.
        layers: number of transformer layers.
        embd: width of an embedding, a multiple of 4.
        ctx: tokens of a text at most.
        pooling: how the vectors of a text's tokens become one; None leaves it out of the header. RANK makes a reranker
            of it, with a head that scores a pair.
        spoiled: "nan" or "zero" for weights that make such embeddings, whatever the text is.
        seed: of the weights.
        more_words: what the vocabulary has beside its own.

    Returns:
        The path.
    """
    random = np.random.default_rng(seed)
    writer = gguf.GGUFWriter(path, "bert")
    writer.add_name(name)
    writer.add_context_length(ctx)
    writer.add_embedding_length(embd)
    writer.add_block_count(layers)
    writer.add_feed_forward_length(2 * embd)
    writer.add_head_count(_HEADS)
    writer.add_layer_norm_eps(1e-12)
    writer.add_causal_attention(False)
    if pooling is not None:
        writer.add_pooling_type(pooling)
    if pooling == gguf.PoolingType.RANK:
        writer.add_classifier_output_labels(["LABEL_0"])
    writer.add_file_type(gguf.LlamaFileType.ALL_F32)
    tokens = _add_tokenizer(writer, more_words)

    def add(tensor: str, *shape: int, value: float | None = None) -> None:
        values = random.normal(0, 0.5, shape) if value is None else np.full(shape, value)
        writer.add_tensor(tensor, values.astype(np.float32))

    def norm(tensor: str, scale: float = 1.0) -> None:
        add(f"{tensor}.weight", embd, value=scale)
        add(f"{tensor}.bias", embd, value=0.0)

    def linear(tensor: str, rows: int, columns: int) -> None:
        add(f"{tensor}.weight", rows, columns)
        add(f"{tensor}.bias", rows, value=0.0)

    add("token_embd.weight", len(tokens), embd)
    add("token_types.weight", 2, embd)
    add("position_embd.weight", ctx, embd)
    norm("token_embd_norm")
    last = {"nan": float("nan"), "zero": 0.0}.get(spoiled, 1.0)
    for layer in range(layers):
        block = f"blk.{layer}."
        for projection in ("attn_q", "attn_k", "attn_v", "attn_output"):
            linear(block + projection, embd, embd)
        norm(f"{block}attn_output_norm")
        linear(f"{block}ffn_up", 2 * embd, embd)
        linear(f"{block}ffn_down", embd, 2 * embd)
        norm(f"{block}layer_output_norm", last if layer == layers - 1 else 1.0)
    if pooling == gguf.PoolingType.RANK:
        linear("cls", embd, embd)
        linear("cls.output", 1, embd)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def _add_tokenizer(writer: gguf.GGUFWriter, more: Sequence[str]) -> list[str]:
    """Write the vocabulary; return its tokens."""
    # llama.cpp's spelling of a WordPiece vocabulary: a word begins with U+2581.
    tokens = [*_SPECIAL, *(f"\u2581{word}" for word in _WORDS), *(f"\u2581{letter}" for letter in "abcdefgh")]
    tokens += [f"\u2581{word}" for word in more]
    writer.add_tokenizer_model("bert")
    writer.add_token_type_count(2)
    writer.add_token_list(tokens)
    writer.add_token_types(
        [int(gguf.TokenType.CONTROL)] * len(_SPECIAL)
        + [int(gguf.TokenType.NORMAL)] * (len(tokens) - len(_SPECIAL))
    )
    writer.add_pad_token_id(0)
    writer.add_unk_token_id(1)
    writer.add_bos_token_id(2)
    writer.add_sep_token_id(3)
    writer.add_eos_token_id(3)
    writer.add_mask_token_id(4)
    return tokens


def main(arguments: Sequence[str] | None = None) -> None:
    """Write the file that the command line asks for, and say what it is."""
    parser = argparse.ArgumentParser(description="Write a small GGUF model that embeds.")
    parser.add_argument("out", help="the file to write")
    parser.add_argument("--embd", type=int, default=64, help="width of an embedding (default: %(default)s)")
    parser.add_argument("--ctx", type=int, default=128, help="tokens of a text (default: %(default)s)")
    options = parser.parse_args(arguments)
    write_tiny_encoder(options.out, embd=options.embd, ctx=options.ctx)
    print(f"{options.out}: bert architecture, embeddings of {options.embd} numbers")


if __name__ == "__main__":
    main()
