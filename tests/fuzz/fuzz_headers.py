"""Compares our reader of GGUF headers with llama.cpp's own loader, on changed headers, for as long as it is told to.

    python tests/fuzz/fuzz_headers.py --seconds 600 --seed 1

Each case is a good header of an architecture that the runtime knows, changed in a value, a type, a name, a place or a
byte. What must hold: our reader and `pipeline.gguf.loading` take it when llama.cpp reads header, hyperparameters and
vocabulary of it, and refuse it when llama.cpp does not, but for what is listed here with its reason.
"""

from __future__ import annotations

import argparse
import json
import random
import re
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

sys.path.insert(0, str(Path(__file__).parent))

import headers
from fuzz_archive import INTERESTING, changed
from headers import Entry, Header, Tensor, good
from referee import Outcome, Referee

from pipeline.gguf import loading
from pipeline.gguf.header import GGUFProblem, read_header
from pipeline.gguf.hyperparameters import BY_ARCHITECTURE, COMMON, PRE_TOKENIZERS, TOKENIZERS, VOCABULARY

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

OURS_ALONE: Final = {
    "GGUFName": "llama.cpp ends a name at a NUL, so that two keys become one, or a key another",
    "GGUFCountTooLarge": "more keys, tensors or bytes of a key than any model has are not waited for",
    "GGUFNoTensors": "a vocabulary alone: llama.cpp finds out at the first tensor",
    "GGUFNotALanguageModel": "what no server answers from is not asked of llama.cpp",
    "ModelCutShort": "llama.cpp finds out when it comes to the tensor",
}
"""What we refuse and llama.cpp's metadata reader takes, by our name for it."""
THEIRS_ALONE: Final = {
    r"unknown model architecture|unsupported model architecture": "told elsewhere: another runtime may know it",
    r"split": "whether a shard has its name and the others beside it is judged by the archive, not by the header",
    r"id_to_token\.size\(\) == token_to_id\.size\(\)": "a token that stands twice: vocabularies are not held",
    r"Byte token for|^basic_string|^stoi|llama-vocab\.cpp:\d+: fatal error": "what single tokens are: not held",
    r"precompiled.charsmap": "what the bytes of a character map mean: they are not held",
    r"models/[\w-]+\.cpp:\d+: GGML_ASSERT": "a value that one architecture asserts, beyond types and counts",
    r"DFlash hidden activation|adapter token id|deepstack index|bad indexer|ple\.layers|PLE": "the same, with words",
    r"^dflash\.|key not found in model: dflash\.|array key not found in model: dflash\.": "a draft model's backbone",
}
"""What llama.cpp refuses and we take, by its words."""


def ours(data: bytes) -> str | None:
    """Return our name for what is wrong with a file; None when nothing is."""
    try:
        header = read_header(lambda start, length: data[start : start + length])
    except GGUFProblem as error:
        return error.problem.error
    if header.expected_size > len(data):
        return "ModelCutShort"
    found = loading.problems(header)
    return found[0].error if found else None


def disagreement(verdict: str | None, outcome: Outcome) -> str | None:
    """Return how two verdicts differ; None when they agree, or differ as is listed."""
    if outcome.took_metadata == (verdict is None):
        return None
    if verdict is not None:
        return (
            None if verdict in OURS_ALONE else f"we refuse with {verdict}, llama.cpp comes to {outcome.stage}"
        )
    if any(re.search(words, outcome.said) for words in THEIRS_ALONE):
        return None
    return f"we take it, llama.cpp refuses its {outcome.stage}: {outcome.said}"


# ------------------------------------------------------------------------------ cases


def systematic(chance: random.Random, architectures: list[str], per_key: int) -> Iterator[tuple[str, bytes]]:
    """Yield each architecture's good header, then without each key that it needs, and with keys of other types."""
    kinds = [*headers.KINDS, *(f"array of {kind}" for kind in headers.KINDS)]
    for architecture in architectures:
        base = good(architecture)
        yield architecture, base.pack()
        keys = [*BY_ARCHITECTURE[architecture], *COMMON, *VOCABULARY]
        own = len(BY_ARCHITECTURE[architecture])
        for number, key in enumerate(keys):
            name = key.name.replace("%s", architecture)
            if name == "general.architecture":
                continue
            if key.required and (number < own or chance.random() < 0.05):
                yield f"{architecture} without {name}", base.having(name, None).pack()
            # The common ones are the same code for all: a few of them for each.
            for kind in chance.sample(kinds, per_key) if number < own or chance.random() < 0.03 else ():
                yield f"{name} of {kind}", base.having(name, headers.entry(key, kind)).pack()


def case(chance: random.Random, bases: list[Header]) -> bytes:
    """Return the bytes of one changed header."""
    header = chance.choice(bases)
    for _ in range(chance.choice((1, 1, 1, 2, 3))):
        header = chance.choice(WAYS)(header, chance)
    data = header.pack()
    if chance.random() < 0.25:
        end = len(data) - sum(tensor.bytes for tensor in header.tensors)
        data = changed(data[:end], chance) + data[end:]
    return data


def bases() -> list[Header]:
    """Return good headers of several kinds of architectures and vocabularies."""
    texts = ["<s>", "a", "b", "ab", "\u0120", "\u010a", "c", "d"]
    bpe = {
        "tokenizer.ggml.model": Entry("string", "gpt2"),
        "tokenizer.ggml.pre": Entry("string", "qwen2"),
        "tokenizer.ggml.tokens": Entry("string", texts),
        "tokenizer.ggml.merges": Entry("string", ["a b"]),
        "tokenizer.ggml.token_type": Entry("int32", [3, 1, 1, 1, 1, 1, 1, 1]),
        "tokenizer.ggml.bos_token_id": Entry("uint32", 0),
        "tokenizer.ggml.add_bos_token": Entry("bool", value=True),
    }
    names = (
        "llama",
        "gemma3",
        "gemma4",
        "qwen3moe",
        "mamba",
        "qwen35",
        "deepseek2",
        "bert",
        "t5",
        "hunyuan-dense",
    )
    found = [good(name) for name in names]
    return [*found, *(replace(header, entries=header.entries | bpe) for header in found[:6])]


def _without_key(header: Header, chance: random.Random) -> Header:
    return header.having(chance.choice(list(header.entries) or ["x"]), None)


def _another_number(header: Header, chance: random.Random) -> Header:
    numeric = [name for name, entry in header.entries.items() if entry.kind in ("uint32", "int32", "uint16")]
    suffixes = (
        "block_count",
        "nextn_predict_layers",
        "expert_count",
        "expert_used_count",
        "expert_group_count",
    )
    architecture = header.entries.get("general.architecture", Entry("string", "llama")).value
    name = chance.choice([*numeric, *(f"{architecture}.{suffix}" for suffix in suffixes)])
    number = chance.choice((0, 1, 2, 3, 4, 5, 511, 512, 513, 1024, 1025, 2**31, 2**32 - 1))
    return header.having(name, Entry("uint32", number))


def _another_type(header: Header, chance: random.Random) -> Header:
    name = chance.choice(list(header.entries) or ["x"])
    kind = chance.choice(list(headers.KINDS))
    value: object = {"string": "x", "bool": True}.get(kind, 1)
    if chance.random() < 0.5:
        value = [value] * chance.choice((0, 1, 2, 3, 8, 70, 513))
    return header.having(name, Entry(kind, value))


def _another_text(header: Header, chance: random.Random) -> Header:
    name = chance.choice(
        ("tokenizer.ggml.model", "tokenizer.ggml.pre", "general.architecture", "general.name")
    )
    texts = {
        "tokenizer.ggml.model": [*TOKENIZERS, "sentencepiece", ""],
        "tokenizer.ggml.pre": [*PRE_TOKENIZERS, "kimi-k2", "odd", "", "llama-bpe\0x"],
        "general.architecture": ["llama\0x", "LLAMA", "", "gptj"],
        "general.name": ["", "x\0y", "\udcff".encode("utf-8", "surrogateescape").decode("latin-1")],
    }
    return header.having(name, Entry("string", chance.choice(texts[name])))


def _another_key(header: Header, chance: random.Random) -> Header:
    architecture = header.entries.get("general.architecture", Entry("string", "llama")).value
    names = ["", "x", "x\0y", "general.alignment\0x", "x" * 65_535, "general.file_type", "general.alignment"]
    names += [f"{architecture}.rope.scaling.type", f"{architecture}.rope.dimension_count", "split.count"]
    kind = chance.choice(("uint32", "string", "uint64", "uint16"))
    return header.having(
        chance.choice(names), Entry(kind, "yarn" if kind == "string" else chance.choice((1, 32, 64)))
    )


def _another_tensor(header: Header, chance: random.Random) -> Header:
    tensors = list(header.tensors)
    name = chance.choice(("x", "", "x" * 63, "x" * 64, "x\0y", "token_embd.weight", "output_norm.weight"))
    sizes = [*INTERESTING, 31, 32, 64, 256]
    shape = tuple(chance.choice(sizes) for _ in range(chance.choice((0, 1, 1, 2, 3, 4, 5))))
    tensors.insert(
        chance.randrange(len(tensors) + 1),
        Tensor(name, shape, chance.choice((0, 1, 2, 4, 8, 12, 31, 42, 43))),
    )
    if chance.random() < 0.1:
        tensors = []
    small = [tensor for tensor in tensors if tensor.bytes < 1 << 20]
    return replace(header, tensors=tuple(small if chance.random() < 0.7 else tensors[:3]))


def _another_place(header: Header, chance: random.Random) -> Header:
    if not header.tensors:
        return header
    name = chance.choice(header.tensors).name
    return replace(header, placed={name: chance.choice((0, 1, 31, 32, 64, 1024, 2**63))})


def _another_version(header: Header, chance: random.Random) -> Header:
    return replace(header, version=chance.choice((0, 1, 2, 3, 4, 0x03000000, 0x10003, 2**32 - 1)))


def _another_alignment(header: Header, chance: random.Random) -> Header:
    alignment = chance.choice((0, 1, 2, 3, 8, 16, 24, 64, 4096, 1 << 31))
    kind = chance.choice(("uint32", "uint32", "uint32", "uint64", "int32", "uint8", "string"))
    value: object = str(alignment) if kind == "string" else alignment & 0x7F if kind == "uint8" else alignment
    if kind == "int32":
        value = alignment & 0x7FFFFFFF
    placed = alignment if 0 < alignment <= 4096 and alignment & (alignment - 1) == 0 else 32
    return replace(header.having("general.alignment", Entry(kind, value)), alignment=placed)


def _another_vocabulary(header: Header, chance: random.Random) -> Header:
    name = chance.choice(
        ("tokens", "scores", "token_type", "merges", "suppress_tokens", "precompiled_charsmap")
    )
    kind = chance.choice(("string", "int32", "float32", "uint32", "uint8", "int8"))
    count = chance.choice((0, 1, 7, 8, 9, 70))
    items: list[object] = [f"t{n}" if kind == "string" else n % 7 for n in range(count)]
    return header.having(f"tokenizer.ggml.{name}", Entry(kind, items))


WAYS: Final[tuple[Callable[[Header, random.Random], Header], ...]] = (
    _without_key,
    _another_number,
    _another_number,
    _another_type,
    _another_type,
    _another_text,
    _another_key,
    _another_tensor,
    _another_place,
    _another_version,
    _another_alignment,
    _another_vocabulary,
)


# ------------------------------------------------------------------------------ a run


@dataclass
class Tally:
    """What a run has seen."""

    cases: int = 0
    stages: Counter[str] = field(default_factory=Counter)
    verdicts: Counter[str] = field(default_factory=Counter)
    findings: list[tuple[str, bytes]] = field(default_factory=list)

    def compare(self, referee: Referee, path: Path, data: bytes, what: str) -> None:
        """Let both read these bytes."""
        path.write_bytes(data)
        outcome, verdict = referee.load(path), ours(data)
        self.cases += 1
        self.stages[outcome.stage] += 1
        self.verdicts[verdict or "taken"] += 1
        reason = disagreement(verdict, outcome)
        if reason is not None:
            self.findings.append((f"{what}: {reason}", data))


def run(seed: int, going: Callable[[int], bool], tally: Tally | None = None) -> Tally:
    """Compare cases as long as `going` says so of the number of cases compared."""
    chance = random.Random(seed)
    tally = tally or Tally()
    made = bases()
    with tempfile.TemporaryDirectory() as folder, Referee() as referee:
        while going(tally.cases):
            tally.compare(referee, Path(folder) / "m.gguf", case(chance, made), f"case {tally.cases}")
    return tally


def main() -> int:
    """Run, and print what was seen as JSON; return 1 when there is a finding."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else "")
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--keep", type=Path, help="a folder for the files that the two do not agree on")
    given = parser.parse_args()
    tally = Tally()
    with tempfile.TemporaryDirectory() as folder, Referee() as referee:
        architectures = [name for name in sorted(BY_ARCHITECTURE) if name != "clip"]
        end = time.monotonic() + given.seconds
        for what, data in systematic(random.Random(given.seed), architectures, 2):
            if time.monotonic() > end:
                break
            tally.compare(referee, Path(folder) / "m.gguf", data, what)
    run(given.seed, lambda _: time.monotonic() < end, tally)
    if given.keep is not None:
        given.keep.mkdir(parents=True, exist_ok=True)
        for number, (_, data) in enumerate(tally.findings):
            (given.keep / f"finding-{given.seed}-{number}.gguf").write_bytes(data)
    summary = {
        "seed": given.seed,
        "cases": tally.cases,
        "llama.cpp comes to": dict(tally.stages.most_common()),
        "we say": dict(tally.verdicts.most_common()),
        "findings": [reason for reason, _ in tally.findings[:40]],
    }
    sys.stdout.write(json.dumps(summary, indent=2) + "\n")
    return 1 if tally.findings else 0


if __name__ == "__main__":
    sys.exit(main())
