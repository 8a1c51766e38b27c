"""Throws changed templates, conversations, schemas and answers at llama.cpp's chat layer, for as long as it is told to.

    python -m tests.fuzz.fuzz_chat --seconds 600 --seed 1

Each case is an operation of `libsealift_chat.so`; a child works through them until it ends or stops moving. What must
hold: every case is an answer or a `ChatError`, and none ends the child or takes longer than `PATIENCE_S`.
"""

from __future__ import annotations

import json
import multiprocessing
import random
import sys
import time
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "inference"))

from pipeline import package_files
from sealift_chat import ChatError, Library, Prompt, Templates, find_library
from tests.fuzz import command

if TYPE_CHECKING:
    from multiprocessing.connection import Connection

PATIENCE_S: Final = 60.0
"""Above the library's own limit, which a busy machine stretches."""
COLLECTION: Final = sorted(package_files.runtime().with_name("templates").glob("*.jinja"))
SNIPPETS: Final = (
    *(
        "{% macro f(x) %}{{ f(x) }}{% endmacro %}{{ f(1) }}",
        "{{ range(10**9) }}",
        "{% for i in range(99999) %}a{% endfor %}",
    ),
    *(
        "{% set n = namespace(a=[]) %}{% set n.a = [n.a, n.a] %}{{ n.a }}",
        "{{ [[[[1]]]] | tojson }}",
        "{{ '%s' % 1 }}",
    ),
    *(
        "{{ messages | tojson(indent=99999999) }}",
        "{{ 'a' * 99999999 }}",
        "{{ messages[-99] }}",
        "{{ messages[1:0:-1] }}",
    ),
    *(
        "{{ 1 // 0 }}",
        "{{ 1 % 0 }}",
        "{{ -9223372036854775808 // -1 }}",
        "{{ 'é'[0] }}",
        "{{ strftime_now('%Q' * 999) }}",
    ),
    *(
        "{% break %}",
        "{% call f() %}{% endcall %}",
        "{{ x.y.z }}",
        "{{ none.x }}",
        "{{ [3, 'a'] | sort }}",
        "{{ '' | first }}",
    ),
    *(
        "{{ tools[0].function.parameters }}",
        "{{ messages | map(attribute='x') | list }}",
        "{{ 'a' | int | string * -1 }}",
    ),
    *(
        "<tool_call>",
        "<think>",
        "{%- if tools %}",
        "{{",
        "}}",
        "{%",
        "%}",
        "{#",
        "#}",
        "[TOOL_CALLS]",
        "<|channel|>",
    ),
)
TEXTS: Final = (
    *(
        "<tool_call>",
        "</tool_call>",
        "<think>",
        "</think>",
        '{"name": "f", "arguments": {',
        "}",
        "[",
        "]",
        '"',
        "\\u12",
    ),
    *(
        "<function=f>",
        "<parameter=a>",
        "</parameter>",
        "<|channel|>analysis<|message|>",
        "<|end|>",
        " to=functions.f",
    ),
    *(
        "[TOOL_CALLS]",
        "[ARGS]",
        "<\uff5ctool\u2581calls\u2581begin\uff5c>",
        "\x00",
        "é",
        "🚢",
        "\n",
        " ",
        "null",
        "1e999",
        "a" * 300,
    ),
)


class Cases:
    """Cases of a seed, one behind the other."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.sources = [path.read_text(encoding="utf-8") for path in COLLECTION]
        self.library = Library(find_library())

    def run(self) -> str:
        """Do one; return its kind and what came of it."""
        kind = self.random.choice(("template", "conversation", "answer", "schema", "bytes"))
        try:
            getattr(self, f"_{kind}")()
        except ChatError as error:
            return f"{kind}: {'limit' if error.limit else 'refused'}"
        return f"{kind}: answered"

    def _template(self) -> None:
        templates = Templates(
            self.library, self._changed(self.random.choice(self.sources), SNIPPETS), bos="<s>"
        )
        try:
            templates.apply(self._messages(0), tools=self._tools())
        finally:
            templates.close()

    def _conversation(self) -> None:
        templates, _ = self._rendered(wild=1)
        templates.close()

    def _answer(self) -> None:
        templates, prompt = self._rendered(wild=0)
        try:
            text = "".join(self.random.choice(TEXTS) for _ in range(self.random.randrange(40)))
            text *= self.random.choice((1, 1, 1, 50, 2000))
            templates.parse(text, prompt.syntax, partial=self.random.random() < 0.5)
        finally:
            templates.close()

    def _schema(self) -> None:
        self.library.grammar_of(self._schema_of(self.random.randrange(8)))

    def _bytes(self) -> None:
        given = {
            "handle": 1,
            "messages": self._messages(1),
            "text": "x",
            "format": 2,
            "parser": "{}",
            "schema": {},
        }
        data = bytearray(json.dumps(given).encode())
        for _ in range(self.random.randrange(6)):
            data[self.random.randrange(len(data))] = self.random.randrange(1, 256)
        operation = self.random.choice((b"load", b"apply", b"parse", b"grammar", b"unload", b"x"))
        answer = self.library._chat(operation, bytes(data))
        self.library._free(answer)

    def _rendered(self, wild: int) -> tuple[Templates, Prompt]:
        templates = Templates(self.library, self.random.choice(self.sources), bos="<s>", eos="</s>")
        try:
            more: dict[str, Any] = {"tools": self._tools()} if self.random.random() < 0.7 else {}
            if more:
                more["tool_choice"] = self.random.choice(("auto", "required", "none"))
            if wild:
                more |= {"json_schema": self._schema_of(3)} if self.random.random() < 0.3 else {}
                more |= {
                    "template_arguments": {"enable_thinking": self._value(1), "documents": self._value(3)}
                }
            return templates, templates.apply(self._messages(wild), **more)
        except BaseException:
            templates.close()
            raise

    def _changed(self, text: str, pieces: tuple[str, ...]) -> str:
        for _ in range(self.random.randrange(1, 5)):
            begin = self.random.randrange(len(text) + 1)
            end = min(len(text), begin + self.random.choice((0, 0, 1, 3, 40)))
            put = self.random.choice((self.random.choice(pieces), text[begin : begin + 60], "(" * 500, ""))
            text = text[:begin] + put + text[end:]
        return text

    def _messages(self, wild: int) -> list[Any]:
        calls = [{"id": "1", "type": "function", "function": {"name": "f", "arguments": '{"a": 1}'}}]
        messages: list[Any] = [
            {"role": "system", "content": "s"},
            {"role": "user", "content": self._text()},
            {"role": "assistant", "content": self._text(), "reasoning_content": "t", "tool_calls": calls},
            {"role": "tool", "tool_call_id": "1", "name": "f", "content": self._text()},
            {"role": "user", "content": [{"type": "text", "text": self._text()}]},
        ]
        messages = messages[self.random.randrange(2) : self.random.randrange(2, 6)]
        for _ in range(wild * self.random.randrange(3)):
            message = self.random.choice(messages)
            if isinstance(message, dict):
                message[self.random.choice(("role", "content", "tool_calls", "name", "x"))] = self._value(3)
        return messages

    def _tools(self) -> list[Any]:
        parameters = {"type": "object", "properties": {"a": self._schema_of(2)}}
        return [
            {"type": "function", "function": {"name": self._text()[:20] or "f", "parameters": parameters}}
        ]

    def _text(self) -> str:
        return "".join(self.random.choice(TEXTS) for _ in range(self.random.randrange(4)))

    def _value(self, depth: int) -> Any:
        kind = self.random.randrange(8 if depth else 6)
        if kind < 6:
            return self.random.choice((None, True, 0, -1, 1e308, 2**63, self._text(), "\ud800"))
        values = [self._value(depth - 1) for _ in range(self.random.randrange(4))]
        return values if kind == 6 else {self._text(): value for value in values}

    def _schema_of(self, depth: int) -> Any:
        names = ("string", "integer", "number", "object", "array", "boolean", "null", "x")
        schema: dict[str, Any] = {"type": self.random.choice(names)}
        for _ in range(self.random.randrange(4)):
            name = self.random.choice(
                (
                    "minimum",
                    "maximum",
                    "minLength",
                    "maxLength",
                    "minItems",
                    "maxItems",
                    "pattern",
                    "format",
                    "enum",
                    "const",
                )
            )
            schema[name] = self.random.choice(
                (0, 3, -7, 2**40, "^a{2,}(b|c)*$", "[", "(?=a)", "date", [1, "a"], None, {})
            )
        if depth:
            name = self.random.choice(
                ("properties", "items", "prefixItems", "anyOf", "allOf", "oneOf", "$ref", "$defs")
            )
            inner = [self._schema_of(depth - 1) for _ in range(self.random.randrange(1, 3))]
            schema[name] = {
                "properties": {self._text(): one for one in inner},
                "$defs": {"d": inner[0]},
                "items": inner[0],
                "$ref": self.random.choice(("#", "#/$defs/d", "#/properties/a", "http://a", 3)),
            }.get(name, inner)
        return schema


def work(pipe: Connection, seed: int) -> None:
    """Tell of each case, before and after it."""
    cases = Cases(seed)
    while True:
        pipe.send(None)
        pipe.send(cases.run())


def fuzz(seconds: float, seed: int, most: float = float("inf")) -> tuple[Counter[str], list[str]]:
    """Return how many cases of each kind came to what, and what ended a child or did not come back.

    Args:
        seconds: for how long.
        seed: of the first child; each one after it has the next.
        most: cases after which to stop before that.
    """
    context = multiprocessing.get_context("spawn")
    told: Counter[str] = Counter()
    found: list[str] = []
    ends = time.monotonic() + seconds
    while time.monotonic() < ends and told.total() < most:
        here, there = context.Pipe()
        child = context.Process(target=work, args=(there, seed), daemon=True)
        child.start()
        there.close()
        number = 0
        try:
            while time.monotonic() < ends and told.total() < most:
                if not here.poll(PATIENCE_S):
                    found.append(f"seed {seed}, case {number}: no answer within {PATIENCE_S:.0f} s")
                    break
                kind = here.recv()
                if kind is not None:
                    told[kind] += 1
                    number += 1
        except EOFError:
            child.join()
            found.append(f"seed {seed}, case {number}: the child ended with {child.exitcode}")
        child.kill()
        child.join()
        seed += 1
    return told, found


if __name__ == "__main__":
    sys.exit(command.main(fuzz))
