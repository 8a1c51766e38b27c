"""Throws grammars and patterns that are taken at llama.cpp, with tokens chosen at random, for as long as it is told to.

    PYTHONPATH=.build/runtime python -m tests.fuzz.fuzz_grammars --seconds 300 --seed 1

Grammars are made at random, of few rules and few letters, so that many can be read in several ways; those that
`sealift_grammar` takes go to llama.cpp, which generates from a small model as hot as can be. A child works through them
with its memory bounded. What must hold: none ends the child, makes it grow beyond the bound, or takes longer for an
answer than `PATIENCE_S`.
"""

from __future__ import annotations

import json
import multiprocessing
import random
import resource
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "inference"))

from examples.tiny_gguf import write_tiny_gguf
from sealift_grammar import GrammarError, of_pattern, of_text
from tests.fuzz import command

if TYPE_CHECKING:
    from multiprocessing.connection import Connection

PATIENCE_S: Final = 20.0
"""For one case of `TOKENS` tokens, on a machine that does other things too."""
TOKENS: Final = 160
MOST_BYTES: Final = 3 << 30
"""Of the child's addresses: the model, its libraries, and a grammar's stacks."""


class Maker:
    """Makes grammars and patterns."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)

    def case(self) -> tuple[str, str]:
        """Return a kind and a text of it."""
        if self.random.random() < 0.25:
            return "pattern", self._pattern(4)
        count = self.random.randint(1, 6)
        names = ["root", *(f"r{number}" for number in range(1, count))]
        return "grammar", "\n".join(f"{name} ::= {self._choice(names, 3)}" for name in names)

    def _choice(self, names: list[str], depth: int) -> str:
        return " | ".join(self._row(names, depth) for _ in range(self.random.choice((1, 1, 2, 3))))

    def _row(self, names: list[str], depth: int) -> str:
        count = self.random.choice((0, 1, 1, 2, 2, 3, 4))
        return " ".join(self._element(names, depth) for _ in range(count)) or '""'

    def _element(self, names: list[str], depth: int) -> str:
        choose = self.random.random
        if depth and choose() < 0.25:
            text = f"({self._choice(names, depth - 1)})"
        elif choose() < 0.4:
            text = self.random.choice(names)
        elif choose() < 0.5:
            text = self.random.choice(("[a-c]", "[^a]", "[ab]", "[c-z]", ".", "[0-9]"))
        else:
            text = json.dumps("".join(self.random.choices("abcxyz ", k=self.random.randint(1, 3))))
        if choose() < 0.3:
            low = self.random.randint(0, 3)
            high = low + self.random.choice((0, 1, 5, 40, 300))
            text += self.random.choice(("*", "+", "?", f"{{{low},{high}}}", f"{{{low},}}", f"{{{high}}}"))
        return text

    def _pattern(self, depth: int) -> str:
        parts = []
        for _ in range(self.random.randint(1, 4)):
            choose = self.random.random()
            if depth and choose < 0.4:
                inner = "|".join(self._pattern(depth - 1) for _ in range(self.random.randint(1, 3)))
                part = f"({inner})"
            else:
                part = self.random.choice(("a", "b", ".", "[a-c]", r"\d", r"\w", "[^b]", "ab"))
            parts.append(part + self.random.choice(("", "", "", "*", "+", "?", "{2,9}", "{40}", "{0,200}")))
        return "".join(parts)


def taken(kind: str, text: str) -> str | None:
    """Return what llama.cpp is given of a case; None when it is refused."""
    try:
        return of_pattern(text) if kind == "pattern" else of_text(text)
    except GrammarError:
        return None


def work(connection: Connection, model: str) -> None:
    """Generate by each grammar that comes; answer with how it ended."""
    from sealift_chat import Constraint
    from sealift_engine import Ask, Engine, Limits, Sampling
    from sealift_native import load
    from sealift_settings import Settings

    native = load(Path(model), Settings(n_ctx=512), 1)
    engine = Engine(native)
    resource.setrlimit(resource.RLIMIT_AS, (MOST_BYTES, MOST_BYTES))
    limits = Limits(lambda: float("inf"))
    while True:
        number, grammar = connection.recv()
        sampling = Sampling(2.0, 1.0, number, top_k=0, min_p=0.0)
        try:
            found = engine.generate([1], Ask(TOKENS, sampling, constraint=Constraint(grammar)), limits)
            connection.send(found.finish_reason)
        except ValueError as error:
            connection.send(f"refused by llama.cpp: {error}")


def fuzz(seconds: float, seed: int, most: float = float("inf")) -> tuple[Counter[str], list[str]]:
    """Return how often what came of a case, and the cases that did not hold."""
    maker, told, found = Maker(seed), Counter[str](), []
    context = multiprocessing.get_context("spawn")
    with tempfile.TemporaryDirectory(prefix="sealift-fuzz-") as folder:
        model = str(write_tiny_gguf(Path(folder) / "m.gguf"))
        child: Any = None
        ours: Any = None
        end = time.monotonic() + seconds
        number = 0
        while time.monotonic() < end and told.total() < most:
            kind, text = maker.case()
            grammar = taken(kind, text)
            if grammar is None:
                told[f"{kind} not taken"] += 1
                continue
            if child is None:
                ours, theirs = context.Pipe()
                child = context.Process(target=work, args=(theirs, model), daemon=True)
                child.start()
                theirs.close()
                ours.send((0, 'root ::= "a"'))
                ours.poll(120)
                ours.recv()
            number += 1
            ours.send((number, grammar))
            outcome = "no answer in time"
            try:
                if ours.poll(PATIENCE_S):
                    outcome = ours.recv()
            except EOFError:
                outcome = "the child has ended"
            told[f"{kind}: {outcome[:60]}"] += 1
            if outcome in ("no answer in time", "the child has ended") or "refused" in outcome:
                found.append(f"{outcome}: {kind} {text!r}, given as {grammar!r}")
            if outcome in ("no answer in time", "the child has ended"):
                child.kill()
                child.join()
                child = None
        if child is not None:
            child.kill()
            child.join()
    return told, found


if __name__ == "__main__":
    sys.exit(command.main(fuzz))
