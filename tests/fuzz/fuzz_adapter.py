"""Throws requests that are taken at the real llama-server through the translation, for as long as it is told to.

    python -m tests.fuzz.fuzz_adapter --seconds 300 --seed 1

Each has some of the fields that `custom` honors, with values that the table takes, beside tools, schemas, choices, and
messages that hold special tokens. What must hold: llama-server lives, and answers each of them, or the request is told
what is wrong with it; nothing is an error of the server's.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any, Final

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "inference"))

from adapter.translation import translate
from adapter.upstream import learn

import sealift_fields as fields
from examples.tiny_gguf import write_tiny_gguf
from sealift_request import BadRequest
from sealift_settings import Settings
from tests.llama_server import CONTEXT, LlamaServer

TEXTS: Final = ("Good", "Our convoy", "日本 é", "a\n\nb", "<s>Good", "</s>", "<|user|>x", '{"a":')
POOL: Final[tuple[Any, ...]] = (
    *(0, 1, 2, 3, 7, 64, 1000, 100_000, -1, -5, 0.0, 0.01, 0.5, 0.99, 1.5, 999.0, 1e6, 1e-9, True, False),
    *(
        "auto",
        "none",
        "low",
        "kfypmxt",
        "nope",
        ["top_k"],
        ["penalties", "dry", "xtc", "temperature"],
        ["no"],
    ),
    *(["a"], ["\n", "sea"], [" "], {"1": 5}, {"5": -100, "6": 100}, [[5, False]], [["sea", False]], {"a": 1}),
    *([{"id": 0, "scale": 1}], [{"id": 5, "scale": -2}], [], {}),
)
APART: Final = {
    "response_format",
    "json_schema",
    "tools",
    "functions",
    "text",
    "stream",
    "echo",
    "suffix",
    "max_tokens",
}
SCHEMAS: Final[tuple[Any, ...]] = (
    {"const": "x"},
    {"type": "object", "properties": {"a": {"type": "integer", "minimum": 1}}, "required": ["a"]},
    {"type": "string", "pattern": "^a"},
    {"$ref": "#/$defs/a", "$defs": {"a": {"type": "array", "items": {"$ref": "#/$defs/a"}}}},
)


class Maker:
    """Makes requests."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self._fields = [
            field
            for field in fields.FIELDS
            if field.place_by(adapted=True) == fields.HONORED and field.name not in APART
        ]

    def request(self) -> dict[str, Any]:
        """Return the next one."""
        choose = self.random.choice
        form = choose((fields.CHAT, fields.COMPLETION, fields.INPUTS, fields.RESPONSES))
        body: dict[str, Any] = {"input" if form == fields.RESPONSES else form: self._asked(form)}
        fitting = [field for field in self._fields if form in field.forms]
        for field in self.random.sample(fitting, self.random.randint(0, 5)):
            takes = field.takes_by(adapted=True)
            values = [value for value in POOL if takes.accepts(value)]
            if values:
                value = choose(values)
                body[field.name] = min(value, 3) if field.name in ("n", "best_of") else value
        body["max_tokens"] = choose((1, 3, 9))
        body["stream"] = choose((True, False))
        if form in (fields.CHAT, fields.RESPONSES) and self.random.random() < 0.3:
            parameters = choose((*SCHEMAS, {"type": "object"}))
            body["tools"] = [{"type": "function", "function": {"name": "w", "parameters": parameters}}]
        elif form != fields.RESPONSES and self.random.random() < 0.3:
            body["json_schema"] = choose(SCHEMAS)
        return body

    def _asked(self, form: str) -> Any:
        choose = self.random.choice
        if form in (fields.CHAT, fields.RESPONSES) or self.random.random() < 0.2:
            roles = choose(
                (["user"], ["system", "user"], ["user", "assistant"], ["user", "assistant", "user"])
            )
            messages = [{"role": role, "content": choose(TEXTS)} for role in roles]
            return messages if form != fields.COMPLETION else [1, 300]
        if form == fields.COMPLETION:
            return choose(
                (choose(TEXTS), [choose(TEXTS), choose(TEXTS)], [1, 300], [choose(TEXTS), 5], [[1, 5], [7]])
            )
        return choose((choose(TEXTS), [choose(TEXTS)]))


def main() -> int:
    """Throw them; return 1 when something did not hold."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    maker, seen = Maker(given.seed), Counter[str]()
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        path = write_tiny_gguf(folder / "m.gguf", tools=True)
        server = LlamaServer(path, folder)
        facts = server.run(learn("m"))
        settings = Settings(n_ctx=CONTEXT, temperature=0.5)
        ends = time.monotonic() + given.seconds
        while time.monotonic() < ends:
            body = maker.request()
            outcome = asked(server, facts, settings, body)
            seen[outcome] += 1
            if outcome not in ("answered", "refused"):
                sys.stdout.write(f"{outcome}: {json.dumps(body, ensure_ascii=False)}\n")
            if server.process.poll() is not None:
                server = LlamaServer(path, folder)
        server.end()
    sys.stdout.write(f"seed {given.seed}: {dict(seen)}\n")
    return 0 if set(seen) <= {"answered", "refused"} else 1


def asked(server: LlamaServer, facts: Any, settings: Settings, body: dict[str, Any]) -> str:
    """Return what came of a request."""
    try:
        translation = translate(
            json.dumps(body).encode(), None, facts, settings, identity="0" * 32, created=1
        )
        if not translation.streams:
            server.run(translation.steps())
        elif b'"error"' in server.stream(translation)[-300:]:
            return "an error in the stream"
    except BadRequest as error:
        return "refused" if error.status_code < 500 else f"{error.status_code}, {error.reason}"
    except OSError as error:
        return f"llama-server is gone ({error})" if server.process.poll() is not None else repr(error)
    return "answered"


if __name__ == "__main__":
    sys.exit(main())
