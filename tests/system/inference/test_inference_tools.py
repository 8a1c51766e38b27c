"""Tools, thoughts and lazy grammars with the real llama.cpp and a small real model."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from examples.tiny_gguf import ANSWER, write_tiny_gguf
from inference import inference
from inference.inference import Model
from pipeline import package_files
from sealift_chat import ChatError, Constraint, Library, Templates, Trigger, find_library
from sealift_engine import Ask, Limits, Sampling
from sealift_native import Native, load
from sealift_settings import Settings
from sealift_template import Conversation, Template

COLLECTION = package_files.runtime().with_name("templates")
TOOL: dict[str, Any] = {
    "type": "function",
    "function": {
        "name": "weather",
        "parameters": {
            "type": "object",
            "properties": {
                "city": {"enum": ["Bern", "Rome"]},
                "days": {"type": "integer", "minimum": 1, "maximum": 9},
            },
            "required": ["city", "days"],
            "additionalProperties": False,
        },
    },
}
OTHER: dict[str, Any] = {"type": "function", "function": {"name": "noon", "parameters": {"type": "object"}}}
USER = {"role": "user", "content": "Hi."}


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Model:
    """Load a model once, with one thread."""
    folder = tmp_path_factory.mktemp("model")
    write_tiny_gguf(folder / "demo.gguf")
    patched = pytest.MonkeyPatch()
    patched.setenv("SEALIFT_N_THREADS", "1")
    try:
        return inference.model_fn(str(folder))
    finally:
        patched.undo()


@pytest.fixture(scope="module")
def native(tmp_path_factory: pytest.TempPathFactory) -> Native:
    """Load the model with nothing around it."""
    loaded = load(write_tiny_gguf(tmp_path_factory.mktemp("native") / "demo.gguf"), Settings(n_ctx=64), 1)
    loaded.decode(loaded.tokenize("Hello."))
    return loaded


def _ask(model: Model, **request: Any) -> dict[str, Any]:
    data = inference.input_fn(
        json.dumps({"messages": [USER], "temperature": 0, **request}), "application/json"
    )
    body, _ = inference.output_fn(inference.predict_fn(data, model), "application/json")
    choice: dict[str, Any] = json.loads(body)["choices"][0]
    return choice


def with_template(model: Model, name: str) -> Model:
    """Return the model with a template of llama.cpp's collection."""
    source = (COLLECTION / f"{name}.jinja").read_text()
    return replace(model, chat=Template(Templates(Library(find_library()), source)))


@pytest.mark.parametrize("path", sorted(COLLECTION.glob("*.jinja")), ids=lambda path: path.stem)
def test_llama_cpp_takes_every_grammar(native: Native, path: Path) -> None:
    """Of each template of its collection; and each reads what the prompt ends with."""
    template = Template(Templates(Library(find_library()), path.read_text()))
    taken = 0
    for more in (
        {"tool_choice": "auto"},
        {"tool_choice": "required"},
        {"tool_choice": "=weather"},
        {"tools": ()},
    ):
        try:
            found = template.render(Conversation([USER], **{"tools": (TOOL, OTHER), "schema": None, **more}))
        except ChatError:  # there is no form for calls
            continue
        if found.constraint is not None:
            with native.sampler(Sampling(0.0, 1.0, 0), found.constraint, []):
                taken += 1
    schema = template.render(Conversation([USER], schema=TOOL["function"]["parameters"])).constraint

    assert taken in (0, 2, 3)  # Llama 3 writes a call as bare JSON, which nothing triggers
    with native.sampler(Sampling(0.0, 1.0, 0), schema, []) as choose:
        assert choose() is not None


@pytest.mark.parametrize(
    ("arguments", "allowed"),
    [
        ('{"city": "Bern", "days": 3}', True),
        ('{"city": "Paris", "days": 3}', False),
        ('{"city": "Bern", "days": 33}', False),
        ('{"city": "Bern"}', False),
        ("[]", False),
    ],
)
def test_arguments_of_a_call_conform(native: Native, arguments: str, allowed: bool) -> None:
    """The grammar lets no others pass, also of a model that knows nothing of tools."""
    template = Template(
        Templates(Library(find_library()), (COLLECTION / "Qwen-Qwen3-0.6B.jinja").read_text())
    )
    found = template.render(Conversation([USER], tools=(TOOL, OTHER), tool_choice="=weather"))
    call = f'<tool_call>\n{{"name": "weather", "arguments": {arguments}}}\n</tool_call>'

    with native.sampler(Sampling(0.0, 1.0, 0), found.constraint, []) as choose:
        assert choose._read(native.spell(call.encode())) == allowed


def test_answer_without_a_call_is_text(model: Model) -> None:
    """With tools that the model may call and does not."""
    choice = _ask(with_template(model, "Qwen-Qwen3-0.6B"), tools=[TOOL])

    assert choice["message"].get("tool_calls") is None
    assert choice["message"]["content"]


def test_answer_of_a_schema_follows_the_thought(model: Model) -> None:
    """Where the template lets the model think first."""
    schema = {
        "type": "object",
        "properties": {"a": {"enum": [1, 2]}},
        "required": ["a"],
        "additionalProperties": False,
    }
    form = {"type": "json_schema", "json_schema": {"name": "a", "schema": schema}}

    choice = _ask(with_template(model, "Qwen-Qwen3-0.6B"), response_format=form, max_tokens=400)

    assert json.loads(choice["message"]["content"])["a"] in {1, 2}


def generated(model: Model, constraint: Constraint) -> str:
    """Return what the model says to a text, as far as a grammar lets it."""
    ask = Ask(40, Sampling(0.0, 1.0, 0), constraint=constraint)
    return model.engine.generate(model.tokenize("Hello."), ask, Limits(lambda: float("inf"))).text


@pytest.mark.parametrize("word", ["carries", " carries", "arr"], ids=["a word", "a token", "within a token"])
def test_lazy_grammar_holds_from_its_trigger_on(model: Model, word: str) -> None:
    """What comes before is the model's own, also where the trigger begins within a token."""
    begun = ANSWER.index("carries") + 7
    rest = ANSWER[ANSWER.index(word) : begun]
    lazy = Constraint(f'root ::= "{rest}" " 77."', lazy=True, triggers=(Trigger("word", word),))

    assert generated(model, lazy) == f"{ANSWER[:begun]} 77."


def test_lazy_grammar_that_does_not_suit_its_trigger_lets_the_model_go_on(model: Model) -> None:
    """llama.cpp's own would end the process."""
    lazy = Constraint('root ::= "xyz"', lazy=True, triggers=(Trigger("word", "carries"),))

    assert generated(model, lazy) == ANSWER


def test_grammar_reads_what_the_prompt_ends_with(model: Model) -> None:
    """And holds the answer behind it; one that begins otherwise is an error."""
    assert generated(model, Constraint('root ::= "Hello." " 77"', prefix="Hello.")) == " 77"
    with pytest.raises(ValueError, match="does not begin with"):
        generated(model, Constraint('root ::= "a"', prefix="b"))


@pytest.mark.parametrize("text", ["Hello.", "ü€", "  two", "a\nb", "arries"])
def test_text_is_spelt_by_tokens_of_just_its_bytes(native: Native, text: str) -> None:
    """Without the space that some vocabularies put before a text."""
    assert (
        b"".join(native.piece(token, special=True) for token in native.spell(text.encode())) == text.encode()
    )
    assert native.special(["Hello. How"]) == frozenset()


@pytest.fixture(scope="module")
def agent(tmp_path_factory: pytest.TempPathFactory) -> Model:
    """Load the model that calls tools of its own accord."""
    folder = tmp_path_factory.mktemp("agent")
    write_tiny_gguf(folder / "agent.gguf", tools=True, ctx=4096)
    patched = pytest.MonkeyPatch()
    patched.setenv("SEALIFT_N_THREADS", "1")
    try:
        return inference.model_fn(str(folder))
    finally:
        patched.undo()


@pytest.mark.parametrize("choice", ["auto", "required"])
def test_an_agent_goes_from_the_call_over_the_result_to_the_answer(agent: Model, choice: str) -> None:
    """A tool, then the form of the answer; or the sentence, where there is none and nothing is required."""
    tools = [OTHER, TOOL, {**OTHER, "function": {**OTHER["function"], "name": "final"}}]
    called = _ask(agent, tools=tools, tool_choice=choice)["message"]["tool_calls"][0]
    history = [USER, {"role": "assistant", "content": None, "tool_calls": [called]}]
    history.append({"role": "tool", "tool_call_id": called["id"], "content": "sun"})

    formed = _ask(agent, messages=history, tools=tools, tool_choice=choice)["message"]["tool_calls"][0]
    said = _ask(agent, messages=history, tools=[OTHER, TOOL])["message"]

    assert called["function"]["name"] == "weather"
    assert json.loads(called["function"]["arguments"])["city"] in {"Bern", "Rome"}
    assert formed["function"]["name"] == "final"
    assert said["content"].startswith(ANSWER)
    assert not said.get("tool_calls")
