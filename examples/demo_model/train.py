"""Train the demo model from `corpus.txt` and write it as a GGUF, with a manifest beside it.

    make demo-model

A llama of a million parameters: RMS norms, rotary positions, SwiGLU, input and output embedding shared, so
that llama.cpp runs it like any other. It learns questions and answers in the chat template's form, several to a
conversation, and some without it; the loss counts what it shall say, not what it is asked. One thread of a CPU takes
a few minutes. The same seed on the same machine gives the same file; another CPU or another PyTorch may round
differently. Needs PyTorch, which nothing else here does, so it has an environment of its own.

Refuses to write a model that fails its own corpus: see `LEAST_ACCURACY`.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import math
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Final

import gguf
import torch
from torch import Tensor, nn
from torch.nn import functional

from examples.demo_model import corpus as text
from examples.demo_model.tokenizer import ASSISTANT, BOS, CHAT_TEMPLATE, EOS, SPECIAL, SYSTEM, USER, Tokenizer

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from examples.demo_model.corpus import Corpus

OUT: Final = Path(__file__).with_name("sealift-demo.gguf")
EPSILON: Final = 1e-5
ROPE_BASE: Final = 10_000.0
IGNORED: Final = -100
"""The target of a token that the loss does not count."""
BEGINNING: Final = 3
BEGINNING_WEIGHS: Final = 5.0
"""The first tokens of an answer choose it, the others follow from them; so the first weigh more in the loss."""
LEAST_ACCURACY: Final = 0.9
"""Of the held-out questions, below which nothing is written."""
LONGEST_ANSWER: Final = 64


@dataclass(frozen=True)
class Settings:
    """Everything that decides what comes out."""

    seed: int = 4
    vocabulary: int = 1920
    context: int = 512
    layers: int = 4
    width: int = 128
    heads: int = 4
    feed_forward: int = 320
    dropout: float = 0.12
    steps: int = 1900
    batch_tokens: int = 2400
    learning_rate: float = 4e-3
    weight_decay: float = 0.1
    threads: int = 1


class Norm(nn.Module):
    """Scale to a root mean square of 1, then by a weight for each value."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))

    def forward(self, x: Tensor) -> Tensor:  # noqa: D102 the class says it
        return functional.rms_norm(x, self.weight.shape, self.weight, EPSILON)


class Block(nn.Module):
    """One layer: attention over what came before, then a gated feed-forward; both are added to the stream."""

    def __init__(self, settings: Settings) -> None:
        super().__init__()
        width, inner = settings.width, settings.feed_forward
        self.heads, self.dropout = settings.heads, settings.dropout
        self.attn_norm, self.ffn_norm = Norm(width), Norm(width)
        self.attn_q, self.attn_k, self.attn_v, self.attn_output = (
            nn.Linear(width, width, bias=False) for _ in range(4)
        )
        self.ffn_gate, self.ffn_up = (nn.Linear(width, inner, bias=False) for _ in range(2))
        self.ffn_down = nn.Linear(inner, width, bias=False)

    def forward(self, x: Tensor, turn: Tensor) -> Tensor:  # noqa: D102 the class says it
        batch, length, width = x.shape
        normed = self.attn_norm(x)

        def split(values: Tensor) -> Tensor:
            return values.view(batch, length, self.heads, -1).transpose(1, 2)

        query, key = (rotated(split(part(normed)), turn) for part in (self.attn_q, self.attn_k))
        seen = functional.scaled_dot_product_attention(query, key, split(self.attn_v(normed)), is_causal=True)
        x = x + self._dropped(self.attn_output(seen.transpose(1, 2).reshape(batch, length, width)))
        normed = self.ffn_norm(x)
        return x + self._dropped(self.ffn_down(functional.silu(self.ffn_gate(normed)) * self.ffn_up(normed)))

    def _dropped(self, x: Tensor) -> Tensor:
        return functional.dropout(x, self.dropout, training=self.training)


class Llama(nn.Module):
    """The whole model: ids to logits."""

    def __init__(self, settings: Settings) -> None:
        super().__init__()
        self.token_embd = nn.Embedding(settings.vocabulary, settings.width)
        self.blk = nn.ModuleList(Block(settings) for _ in range(settings.layers))
        self.output_norm = Norm(settings.width)
        half = settings.width // settings.heads // 2
        speeds = ROPE_BASE ** (-torch.arange(half, dtype=torch.float32) / half)
        angles = torch.outer(torch.arange(settings.context, dtype=torch.float32), speeds)
        self.register_buffer("turn", torch.polar(torch.ones_like(angles), angles), persistent=False)
        for name, parameter in self.named_parameters():
            if parameter.dim() > 1:
                deep = name.endswith(("attn_output.weight", "ffn_down.weight"))
                nn.init.normal_(parameter, std=0.05 / (math.sqrt(2 * settings.layers) if deep else 1))

    def forward(self, ids: Tensor) -> Tensor:  # noqa: D102 the class says it
        x = self.token_embd(ids)
        for block in self.blk:
            x = block(x, self.turn[: ids.shape[1]])
        return functional.linear(self.output_norm(x), self.token_embd.weight)


def rotated(x: Tensor, turn: Tensor) -> Tensor:
    """Turn each pair of neighbouring values by its position: llama.cpp's order for this architecture."""
    pairs = torch.view_as_complex(x.float().reshape(*x.shape[:-1], -1, 2))
    return torch.view_as_real(pairs * turn).flatten(-2)


# Text to numbers --------------------------------------------------------------------------------------------


def example(corpus: Corpus, tokenizer: Tokenizer, random: Random) -> tuple[list[int], list[bool]]:
    """Return the ids of one piece of training text, and for each whether the loss counts it."""
    kind = random.random()
    if kind < 0.02:
        ids = [BOS, *tokenizer.encode(random.choice(corpus.passages)), EOS]
        return ids, [False] + [True] * (len(ids) - 1)
    if kind < 0.15:
        ((question, answer),) = text.conversation(corpus, random, 1)
        asked, said = [BOS, *tokenizer.encode(question)], [*tokenizer.encode(answer), EOS]
        return asked + said, [False] * len(asked) + [True] * len(said)
    ids, counted = [BOS], [False]
    if random.random() < 0.1:
        system = [SYSTEM, *tokenizer.encode(random.choice(text.SYSTEM)), EOS]
        ids, counted = ids + system, counted + [False] * len(system)
    turns = random.choices((1, 2, 3, 7), (70, 18, 9, 3))[0]
    for question, answer in text.conversation(corpus, random, turns):
        asked = [USER, *tokenizer.encode(question), EOS, ASSISTANT]
        said = [*tokenizer.encode(answer), EOS]
        ids, counted = ids + asked + said, counted + [False] * len(asked) + [True] * len(said)
    return ids, counted


def batches(corpus: Corpus, tokenizer: Tokenizer, settings: Settings) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield ids and targets, rows of similar length together, about `batch_tokens` at a time, without end."""
    random = Random(settings.seed)
    while True:
        pool = sorted((example(corpus, tokenizer, random) for _ in range(2000)), key=lambda one: len(one[0]))
        ready: list[tuple[Tensor, Tensor]] = []
        while pool:
            rows: list[tuple[list[int], list[bool]]] = []
            while (
                pool
                and (len(rows) + 1) * len(pool[-1][0] if not rows else rows[0][0]) <= settings.batch_tokens
            ):
                rows.append(pool.pop())
            ready.append(padded(rows, settings.context))
        random.shuffle(ready)
        yield from ready


def padded(rows: list[tuple[list[int], list[bool]]], most: int) -> tuple[Tensor, Tensor]:
    """Return rows as one batch: what is read, and at each place what shall come next or `IGNORED`."""
    length = min(most + 1, max(len(ids) for ids, _ in rows))
    whole = torch.full((len(rows), length), EOS)
    wanted = torch.full((len(rows), length), IGNORED)
    for row, (ids, counted) in enumerate(rows):
        cut = torch.tensor(ids[:length])
        whole[row, : len(cut)] = cut
        wanted[row, : len(cut)] = torch.where(torch.tensor(counted[:length]), cut, IGNORED)
    return whole[:, :-1], wanted[:, 1:]


# Training ---------------------------------------------------------------------------------------------------


def train(corpus: Corpus, tokenizer: Tokenizer, settings: Settings) -> tuple[Llama, float]:
    """Return the trained model and the mean loss of its last hundred steps, in nats per token."""
    torch.manual_seed(settings.seed)
    torch.set_num_threads(settings.threads)
    torch.use_deterministic_algorithms(mode=True)
    model = Llama(settings).train()
    decayed = [p for p in model.parameters() if p.dim() > 1]
    others = [p for p in model.parameters() if p.dim() < 2]
    optimizer = torch.optim.AdamW(
        [{"params": decayed, "weight_decay": settings.weight_decay}, {"params": others, "weight_decay": 0.0}],
        lr=settings.learning_rate,
        betas=(0.9, 0.98),
    )
    warm = settings.steps // 20
    losses: list[float] = []
    begun = time.monotonic()
    for step, (ids, wanted) in zip(range(settings.steps), batches(corpus, tokenizer, settings), strict=False):
        share = (
            step / warm
            if step < warm
            else 0.5 + 0.5 * math.cos(math.pi * (step - warm) / (settings.steps - warm))
        )
        for group in optimizer.param_groups:
            group["lr"] = settings.learning_rate * max(share, 0.01)
        loss, plain = losses_of(model(ids), wanted)
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        losses.append(plain)
        if step % 100 == 99:
            mean = sum(losses[-100:]) / 100
            print(f"step {step + 1:5d}  loss {mean:.4f}  {time.monotonic() - begun:.0f} s", flush=True)
    return model.eval(), sum(losses[-100:]) / len(losses[-100:])


def losses_of(logits: Tensor, wanted: Tensor) -> tuple[Tensor, float]:
    """Return the loss to descend, in which the tokens that begin an answer weigh more, and the plain mean."""
    each = functional.cross_entropy(
        logits.flatten(0, 1), wanted.flatten(), ignore_index=IGNORED, reduction="none"
    )
    each = each.view_as(wanted)
    counted = (wanted != IGNORED).float()
    # Counts up within an answer: 1 at its first token.
    place = counted.cumsum(1) - torch.where(counted > 0, 0.0, counted.cumsum(1)).cummax(1).values
    weight = torch.where(place <= BEGINNING, BEGINNING_WEIGHS, 1.0) * counted
    return (each * weight).sum() / weight.sum(), float((each.detach() * counted).sum() / counted.sum())


@torch.inference_mode()
def answers(model: Llama, tokenizer: Tokenizer, questions: list[str]) -> list[str]:
    """Return what the model says to each question at temperature 0."""
    said = []
    for question in questions:
        ids = [*tokenizer.chat([(USER, question)]), ASSISTANT]
        begun = len(ids)
        while len(ids) < begun + LONGEST_ANSWER:
            ids.append(int(model(torch.tensor([ids]))[0, -1].argmax()))
            if ids[-1] == EOS:
                break
        said.append(tokenizer.decode(ids[begun:]))
    return said


def judged(model: Llama, tokenizer: Tokenizer, asked: Iterable[tuple[str, str]]) -> tuple[float, list[str]]:
    """Return which share of questions got their answer word for word, and the others with what was said."""
    pairs = list(asked)
    said = answers(model, tokenizer, [question for question, _ in pairs])
    wrong = [f"{q!r} -> {got!r}" for (q, answer), got in zip(pairs, said, strict=True) if got != answer]
    return 1 - len(wrong) / len(pairs), wrong


# The file ---------------------------------------------------------------------------------------------------


def quantised(model: Llama) -> dict[str, tuple[object, gguf.GGMLQuantizationType]]:
    """Return the tensors as the file holds them, matrices in Q8_0, and leave the model with those values."""
    tensors: dict[str, tuple[object, gguf.GGMLQuantizationType]] = {}
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            kind = gguf.GGMLQuantizationType.Q8_0 if parameter.dim() > 1 else gguf.GGMLQuantizationType.F32
            data = gguf.quants.quantize(parameter.numpy(), kind)
            tensors[name] = (data, kind)
            parameter.copy_(torch.from_numpy(gguf.quants.dequantize(data, kind)))
    return tensors


def write(
    path: Path,
    tensors: dict[str, tuple[object, gguf.GGMLQuantizationType]],
    tokenizer: Tokenizer,
    settings: Settings,
) -> None:
    """Write the GGUF; the tensors' names are llama.cpp's already."""
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_name(path.stem)
    writer.add_description("a very small model that talks about Sealift, endpoints, GGUF and ships")
    writer.add_license("apache-2.0")
    writer.add_file_type(gguf.LlamaFileType.MOSTLY_Q8_0)
    writer.add_quantization_version(gguf.GGML_QUANT_VERSION)
    writer.add_context_length(settings.context)
    writer.add_embedding_length(settings.width)
    writer.add_block_count(settings.layers)
    writer.add_feed_forward_length(settings.feed_forward)
    writer.add_head_count(settings.heads)
    writer.add_head_count_kv(settings.heads)
    writer.add_rope_dimension_count(settings.width // settings.heads)
    writer.add_rope_freq_base(ROPE_BASE)
    writer.add_layer_norm_rms_eps(EPSILON)
    count = len(tokenizer.vocabulary)
    kinds = (
        [gguf.TokenType.UNKNOWN] + [gguf.TokenType.CONTROL] * (len(SPECIAL) - 1) + [gguf.TokenType.BYTE] * 256
    )
    writer.add_vocab_size(count)
    writer.add_tokenizer_model("llama")
    writer.add_tokenizer_pre("default")
    writer.add_token_list(tokenizer.vocabulary)
    writer.add_token_scores(tokenizer.scores)
    writer.add_token_types([*kinds, *[gguf.TokenType.NORMAL] * (count - len(kinds))])
    writer.add_unk_token_id(0)
    writer.add_bos_token_id(BOS)
    writer.add_eos_token_id(EOS)
    writer.add_add_bos_token(True)
    writer.add_add_eos_token(False)
    writer.add_add_space_prefix(False)
    writer.add_chat_template(CHAT_TEMPLATE)
    for name, (data, kind) in tensors.items():
        writer.add_tensor(name, data, raw_dtype=kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def main() -> int:
    """Train, judge, write the file and its manifest."""
    parser = argparse.ArgumentParser(description="Train the demo model.")
    parser.add_argument(
        "--out", type=Path, default=OUT, help="the GGUF to write (default: beside this script)"
    )
    parser.add_argument("--steps", type=int, default=Settings.steps, help="default: %(default)s")
    options = parser.parse_args()
    settings = Settings(steps=options.steps)
    corpus = text.read()
    tokenizer = Tokenizer.of(corpus, settings.vocabulary)
    model, loss = train(corpus, tokenizer, settings)
    tensors = quantised(model)
    held_out, wrong = judged(model, tokenizer, ((q, i.answer) for i in corpus.intents for q in i.held_out))
    random = Random(settings.seed)
    sample = [(random.choice(i.questions), i.answer) for i in corpus.intents for _ in range(2)]
    known, wrong_known = judged(model, tokenizer, sample)
    print("\n".join([*wrong, "--- known", *wrong_known]))
    print(f"loss {loss:.4f}, held out {held_out:.3f}, known {known:.3f}")
    if held_out < LEAST_ACCURACY:
        print(
            f"ERROR: {held_out:.1%} of the held-out questions; wanted {LEAST_ACCURACY:.0%}", file=sys.stderr
        )
        return 1
    write(options.out, tensors, tokenizer, settings)
    manifest = {
        "file": options.out.name,
        "size": options.out.stat().st_size,
        "sha256": hashlib.sha256(options.out.read_bytes()).hexdigest(),
        "corpus_sha256": text.digest(),
        "parameters": sum(parameter.numel() for parameter in model.parameters()),
        "intents": len(corpus.intents),
        "held_out_questions": sum(len(intent.held_out) for intent in corpus.intents),
        "held_out_accuracy": round(held_out, 4),
        "known_accuracy": round(known, 4),
        "final_loss": round(loss, 4),
        "torch": torch.__version__,
        "settings": asdict(settings),
    }
    options.out.with_suffix(".json").write_text(json.dumps(manifest, indent=2) + "\n", encoding="utf-8")
    print(f"{options.out}: {manifest['size']} bytes, {manifest['parameters']} parameters")
    return 0


if __name__ == "__main__":
    sys.exit(main())
