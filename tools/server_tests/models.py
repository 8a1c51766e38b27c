"""The GGUFs that llama.cpp's own server tests are given in the place of those that they would download.

Owns what these models say. Refuses to be those that they stand for: an assertion on a text of theirs, or on how many tokens theirs make of one, does not apply.
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
from tools.server_tests.servers import ENCODER, SPLIT

DRAFT: Final = "stories15M-q4_0.gguf"
LORA: Final = "moe_shakespeare15M.gguf"
BESIDE: Final = {DRAFT, LORA}
"""Files that the tests download themselves, for options of llama-server."""

_ANY: Final = (
    *("Anna", "Whiskers", "Jimmy", "Daddy", "little", "girl", "small", "shiny"),
    *("princesses", "everyone", "kids", "forest", "wise", "owl", "eye", "sun"),
)
_EMBEDDING: Final = 128


def story() -> tuple[str, ...]:
    """Return sentences that never come to an end in practice, of words that the tests look for in what they get.

    So an assertion on a text says little, as it must here, and what is asserted after it counts. Every third word has
    sixteen possible ones after it: seeds and temperatures make a difference, and there are ten likeliest tokens.
    """
    chance = random.Random(0)
    sentences = []
    for first in _ANY:
        words = [first]
        for _ in range(60):
            words += [chance.choice(("going", "bed")), "Suddenly", chance.choice(_ANY)]
        sentences.append(" ".join(words))
    return tuple(sentences)


def write(folder: Path, name: str, template: str | None = None) -> None:
    """Write a model's file, or its shards, to a folder of its own, whole or not at all.

    Args:
        folder: the folder to make; another process may be making it as well.
        name: STORIES, SPLIT or ENCODER.
        template: the chat template that the model is to have in the place of its own.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent) as beside:
        new = Path(beside) / "new"
        new.mkdir()
        if name == ENCODER:
            write_tiny_encoder(new / "model.gguf", ctx=1024)
        else:
            write_tiny_gguf(
                new / "model.gguf",
                embd=_EMBEDDING,
                ctx=8192,
                corpus=story(),
                template=True if template is None else template,
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
