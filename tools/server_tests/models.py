"""The GGUFs that llama.cpp's own server tests are given in the place of those that they would download.

Owns what these models say. Refuses to be those that they stand for: an assertion on a text of theirs, or on how many
tokens theirs make of one, does not apply.
"""

from __future__ import annotations

import contextlib
import random
import tempfile
from pathlib import Path
from typing import Final

import gguf
import numpy as np

from examples.tiny_encoder import write_tiny_encoder
from examples.tiny_gguf import write_tiny_gguf
from tools.server_tests.servers import ENCODER, RERANKER, SPLIT

DRAFT: Final = "stories15M-q4_0.gguf"
LORA: Final = "moe_shakespeare15M.gguf"
BESIDE: Final = {DRAFT, LORA}
"""Files that the tests download themselves, for options of llama-server."""

_LIKELIEST: Final = "little-eye-bright-special-far-wise"
_ANY: Final = (
    *(_LIKELIEST, "Anna", "Whiskers", "Jimmy", "Daddy", "girl", "small", "shiny"),
    *("princesses", "everyone", "kids", "forest", "kind", "owl", "love", "sun"),
)
_BEGINNINGS: Final = ("Hello Hello", "I believe the meaning of life is")
"""Of prompts: these words are tokens, as in their vocabularies."""
_WORDS: Final = tuple(f"word{number}" for number in range(100))
"""Of the encoder, so that its vocabulary has the tokens by number that they send."""
_EMBEDDING: Final = 128


def story() -> tuple[str, ...]:
    """Return sentences that never come to an end in practice, of words that the tests look for in what they get.

    So an assertion on a text says little, as it must here, and what is asserted after it counts. Every third word has
    sixteen possible ones after it: seeds and temperatures make a difference, and there are ten likeliest tokens.
    """
    chance = random.Random(0)
    sentences = []
    for number in range(3 * len(_ANY)):
        words = [_ANY[number % len(_ANY)]] if number >= len(_BEGINNINGS) else _BEGINNINGS[number].split()
        for _ in range(60):
            weights = [2.0] + [1.0] * (len(_ANY) - 1)
            words += [chance.choice(("going", "bed")), "Suddenly", chance.choices(_ANY, weights)[0]]
        sentences.append(" ".join(words))
    return tuple(sentences)


def write(folder: Path, name: str, *, template: str | None = None, pooling: str | None = None) -> None:
    """Write a model's file, or its shards, to a folder of its own, whole or not at all.

    Args:
        folder: the folder to make; another process may be making it as well.
        name: STORIES, SPLIT, ENCODER or RERANKER.
        template: the chat template that the model is to have in the place of its own.
        pooling: of ENCODER, by llama-server's name of it.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent) as beside:
        new = Path(beside) / "new"
        new.mkdir()
        if name == ENCODER:
            kind = gguf.PoolingType[(pooling or "mean").upper()]
            write_tiny_encoder(new / "model.gguf", ctx=1024, pooling=kind, more_words=_WORDS)
        elif name == RERANKER:
            write_tiny_gguf(new / "model.gguf", reranks=True)
        else:
            write_tiny_gguf(
                new / "model.gguf",
                embd=_EMBEDDING,
                ctx=8192,
                corpus=story(),
                template=False if template is None else template,
                shard_tensors=8 if name == SPLIT else 0,
            )
        with contextlib.suppress(OSError):  # another process was faster
            new.rename(folder)


def write_beside(folder: Path, name: str) -> Path:
    """Return a file of `BESIDE`; write it if it is not there."""
    path = folder / name
    if not path.exists():
        folder.mkdir(parents=True, exist_ok=True)
        if name == DRAFT:
            write_tiny_gguf(path, embd=_EMBEDDING, ctx=8192, corpus=story(), layers=1)
        else:
            _write_adapter(path)
    return path


def _write_adapter(path: Path) -> None:
    """Write a LoRA adapter of one matrix; the matrix has no effect on what the model says, so neither has this."""
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_type("adapter")
    writer.add_string("adapter.type", "lora")
    writer.add_float32("adapter.lora.alpha", 4.0)
    chance = np.random.default_rng(0)
    for part, shape in (("a", (4, _EMBEDDING)), ("b", (_EMBEDDING, 4))):
        values = chance.normal(0, 0.02, shape).astype(np.float32)
        writer.add_tensor(f"blk.0.attn_q.weight.lora_{part}", values)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
