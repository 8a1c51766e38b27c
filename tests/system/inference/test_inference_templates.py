"""Every template of llama.cpp's own collection answers: calls in its own form, held by its grammar, read back.

The form of a template's calls is taken from itself: it writes a conversation's past calls as the model is to write new
ones. A small real model whose vocabulary spells anything stands for the model.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

import pytest

from examples.tiny_gguf import write_tiny_gguf
from pipeline import package_files
from sealift_chat import ChatError, Library, Prompt, Templates, find_library
from sealift_engine import Sampling
from sealift_native import Native, load
from sealift_settings import Settings

if TYPE_CHECKING:
    from collections.abc import Iterator

COLLECTION = sorted(package_files.runtime().with_name("templates").glob("*.jinja"))
USER = {"role": "user", "content": "Hey there!"}
WEATHER: dict[str, Any] = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "Tell the weather.",
        "parameters": {
            "type": "object",
            "properties": {
                "days": {"type": "integer", "minimum": 1, "maximum": 9},
                "nights": {"type": "integer", "minimum": 1, "maximum": 9},
            },
            "required": ["days", "nights"],
        },
    },
}
ARGUMENTS = {"days": 3, "nights": 2}
CALL = {
    "role": "assistant",
    "content": "",
    "tool_calls": [
        {
            "id": "call12345",
            "type": "function",
            "function": {"name": "get_weather", "arguments": json.dumps(ARGUMENTS)},
        }
    ],
}
WITHOUT = {
    **dict.fromkeys(
        (
            *("HuggingFaceTB-SmolLM3-3B", "deepseek-ai-DeepSeek-R1-Distill-Llama-8B", "google-gemma-2-2b-it"),
            *(
                "ibm-granite-granite-3.3-2B-Instruct",
                "llama-cpp-rwkv-world",
                "microsoft-Phi-3.5-mini-instruct",
            ),
        ),
        "it has no form for calls, and a required one is refused",
    ),
    **dict.fromkeys(("LFM2-8B-A1B", "LFM2.5-Instruct"), "it leaves past calls out"),
    **dict.fromkeys(
        (
            *("CohereForAI-c4ai-command-r-plus-tool_use", "Mistral-Small-3.2-24B-Instruct-2506"),
            *("fireworks-ai-llama-3-firefunction-v2", "upstage-Solar-Open-100B"),
        ),
        "it writes past calls otherwise than llama.cpp lets the model write new ones",
    ),
}
"""Templates whose own form of a call is not to be had from them."""
LOOSE = {
    *("GLM-4.6", "GLM-4.7-Flash", "Spark2.5", "Kimi-K3", "muse-glimmer"),
    *("google-gemma-4-31B-it", "google-gemma-4-31B-it-interleaved"),
}
"""Templates whose grammar leaves spaces or names of arguments open, so that a model that has learned nothing of them
writes what is not the call."""
_END = re.compile(r"\s*(?:</s>|<\|[^<>|]+\|>|<[^<>\s]{1,30}>|<\uff5c[^<>]+\uff5c>|\[e~\[)\s*$")


@pytest.fixture(scope="module")
def library() -> Library:
    """Return llama.cpp's chat layer."""
    return Library(find_library())


@pytest.fixture(scope="module")
def native(tmp_path_factory: pytest.TempPathFactory) -> Native:
    """Load a small model, which has evaluated one token."""
    path = write_tiny_gguf(tmp_path_factory.mktemp("model") / "m.gguf")
    return load(path, Settings(n_ctx=1024), 1)


def written(templates: Templates, *, thinks: bool) -> tuple[Prompt, list[str]]:
    """Return a prompt that requires a call, and what its answer may be, by what the template writes of a past one.

    Raises:
        ChatError: the template refuses one of them.
    """
    prompt = templates.apply(
        [USER], tools=[WEATHER], tool_choice="required", parallel_tool_calls=False, enable_thinking=thinks
    )
    past = templates.apply(
        [USER, CALL], tools=[WEATHER], enable_thinking=thinks, add_generation_prompt=False
    ).text
    base = prompt.text
    both = zip(base, past, strict=False)
    shared = next((n for n, (one, other) in enumerate(both) if one != other), min(len(base), len(past)))
    begin = base.rfind("<", 0, shared)
    if shared < len(base) and begin >= 0 and ">" not in base[begin:shared]:
        shared = begin  # both part within a tag
    text, found = past[shared:], []
    for _ in range(4):  # the tokens that end it are no part of it
        found.append(text)
        text = _END.sub("", text)
    if shared < len(base):
        # The prompt goes on into a thought, which the past has forgotten: it is over at once.
        ends = prompt.constraint.thinking_ends if prompt.constraint else ()
        found += [
            f"{end}{space}{one.lstrip()}"
            for end in (ends or ("</think>",))
            for space in ("", "\n", "\n\n")
            for one in found
        ]
    return prompt, found


def forms(templates: Templates) -> Iterator[tuple[Prompt, str]]:
    """Give prompts with texts that the chat layer reads as the call."""
    for thinks in (False, True):
        try:
            prompt, found = written(templates, thinks=thinks)
        except ChatError:
            continue
        for text in found:
            if "get_weather" in text and calls(templates, text, prompt) == [ARGUMENTS]:
                yield prompt, text


def calls(templates: Templates, text: str, prompt: Prompt) -> list[Any]:
    """Return the arguments of the calls in an answer."""
    try:
        message = templates.parse(text, prompt.syntax)
        return [json.loads(call.arguments) for call in message.tool_calls if call.name == "get_weather"]
    except (ChatError, ValueError):
        return []


def allowed(native: Native, prompt: Prompt, text: str) -> bool:
    """Return whether a prompt's grammar allows a text, and that it ends there."""
    with native.sampler(Sampling(0.0, 1.0, 0), prompt.constraint, [1]) as choose:
        return choose._read(native.spell(text.encode())) and choose._allows(2)  # type: ignore[attr-defined]


def continued(native: Native, prompt: Prompt, text: str) -> str:
    """Return a text with what the model writes behind it, held by the prompt's grammar."""
    with native.sampler(Sampling(1.0, 1.0, 7, top_k=0, min_p=0.0), prompt.constraint, [1]) as choose:
        assert choose._read(native.spell(text.encode()))  # type: ignore[attr-defined]
        native.clear()
        native.decode([1])
        said = text.encode()
        for _ in range(600):
            token = choose()
            if token is None or native.ends(token):
                break
            said += native.piece(token, special=True)
            native.decode([token])
    return said.decode("utf-8", errors="replace")


@pytest.mark.parametrize("path", COLLECTION, ids=[path.stem for path in COLLECTION])
def test_a_call_in_a_templates_own_form_is_allowed_read_and_written(
    library: Library, native: Native, path: Any
) -> None:
    """What a model of the family writes passes the grammar of a required call; its arguments always parse."""
    templates = Templates(library, path.read_text(), bos="<s>", eos="</s>")
    native.clear()
    native.decode([1])

    prompt, text = next(
        ((prompt, text) for prompt, text in forms(templates) if allowed(native, prompt, text)), (None, "")
    )

    assert (prompt is None) == (path.stem in WITHOUT)
    if prompt is not None and path.stem not in LOOSE:
        begun = text[: text.index("get_weather") + len("get_weather")]
        (made,) = calls(templates, continued(native, prompt, begun), prompt)[:1]
        assert set(made) <= {"days", "nights"}
        assert set(made.values()) <= set(range(1, 10))
    templates.close()


@pytest.mark.parametrize("path", COLLECTION, ids=[path.stem for path in COLLECTION])
def test_an_answer_in_words_is_its_content(library: Library, path: Any) -> None:
    """With and without tools, by every template; a thought that the prompt has begun is told apart from it."""
    templates = Templates(library, path.read_text(), bos="<s>", eos="</s>")
    for more in ({}, {"tools": [WEATHER]}):
        prompt = templates.apply([USER], enable_thinking=False, **more)
        try:
            found = templates.parse("The harbour opens early.", prompt.syntax)
        except ChatError:
            continue  # its answers always say what they are
        assert "The harbour opens early." in found.content + found.reasoning
        assert found.tool_calls == ()
    templates.close()
