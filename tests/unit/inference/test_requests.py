"""What is a right request, and what a wrong one is told."""

from __future__ import annotations

import contextlib
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inference.inference import input_fn
from sealift_request import BadRequest, Request, parse_body, parse_request, suited

USER = {"role": "user", "content": "Hi."}


@pytest.mark.parametrize(
    ("document", "expected"),
    [
        pytest.param({"prompt": "Hi."}, Request("prompt", prompt="Hi."), id="prompt"),
        pytest.param({"inputs": "Hi."}, Request("inputs", prompt="Hi."), id="inputs"),
        pytest.param({"messages": [USER]}, Request("messages", messages=(USER,)), id="messages"),
        pytest.param({"input": "Hi."}, Request("input", texts=("Hi.",)), id="input"),
        pytest.param({"input": ["a"] * 2048}, Request("input", texts=("a",) * 2048), id="as-many-as-can-be"),
        pytest.param(
            {
                "input": ["Hi.", "Ho."],
                "model": "m",
                "encoding_format": "base64",
                "dimensions": 64,
                "user": "u",
            },
            Request("input", texts=("Hi.", "Ho."), encoding="base64", dimensions=64),
            id="all-options-of-input",
        ),
        pytest.param(
            {"prompt": "Hi.", "max_tokens": 9, "temperature": 0, "top_p": 0.5, "stop": "\n", "seed": 0},
            Request("prompt", prompt="Hi.", max_tokens=9, temperature=0, top_p=0.5, stop=("\n",), seed=0),
            id="all-options",
        ),
        pytest.param(
            {"inputs": "Hi.", "parameters": {"max_new_tokens": 9, "stop": ["a", "b"]}},
            Request("inputs", prompt="Hi.", max_tokens=9, stop=("a", "b")),
            id="parameters",
        ),
        pytest.param(
            {"prompt": "Hi.", "model": "m", "user": "u", "stream": False, "n": 1},
            Request("prompt", prompt="Hi."),
            id="harmless-fields",
        ),
        pytest.param(
            {"prompt": "Hi.", "messages": None, "seed": None, "stop": None},
            Request("prompt", prompt="Hi."),
            id="null-is-absent",
        ),
        pytest.param(
            {
                "messages": [
                    {
                        "role": "user",
                        "content": [{"type": "text", "text": "H"}, {"type": "text", "text": "i."}],
                    }
                ]
            },
            Request("messages", messages=(USER,)),
            id="text-parts-are-joined",
        ),
        pytest.param(
            {"messages": [{**USER, "name": "ann"}]},
            Request("messages", messages=({**USER, "name": "ann"},)),
            id="name-is-kept",
        ),
    ],
)
def test_right_request_is_taken(document: dict[str, Any], expected: Request) -> None:
    """All three styles give the same kind of request."""
    assert parse_request(document) == expected


@pytest.mark.parametrize(
    ("document", "param", "code", "words"),
    [
        pytest.param([], None, "invalid_json", "[]; wanted a JSON object", id="list"),
        pytest.param({}, None, "missing_field", "'messages', 'input' and 'query'", id="nothing-asked"),
        pytest.param(
            {"prompt": "a", "messages": [USER]},
            None,
            "missing_field",
            "'prompt' and 'messages'",
            id="two-asked",
        ),
        pytest.param({"prompt": ""}, "prompt", "invalid_value", "'prompt' is ''", id="empty-prompt"),
        pytest.param({"prompt": ["a", {}]}, "prompt[1]", "invalid_value", "wanted a text", id="prompt-list"),
        pytest.param({"prompt": [1, None]}, "prompt", "invalid_value", "a list of tokens", id="token-list"),
        pytest.param(
            {"prompt": [[]]}, "prompt[0]", "invalid_value", "a list of tokens", id="no-tokens-at-all"
        ),
        pytest.param({"inputs": {"a": 1}}, "inputs", "invalid_value", "'inputs' is {", id="inputs-object"),
        pytest.param({"prompt": "\ud83d"}, "prompt", "invalid_value", "surrogate", id="half-a-character"),
        pytest.param(
            {"prompt": "a", "temprature": 1},
            "temprature",
            "unknown_parameter",
            "'temperature'?",
            id="misspelt",
        ),
        pytest.param(
            {"prompt": "a", "max_tokens": 0},
            "max_tokens",
            "invalid_value",
            "at least 1, or -1",
            id="no-tokens",
        ),
        pytest.param(
            {"prompt": "a", "max_tokens": "9"}, "max_tokens", "invalid_value", "is '9'", id="text-number"
        ),
        pytest.param(
            {"prompt": "a", "max_tokens": True}, "max_tokens", "invalid_value", "is True", id="true"
        ),
        pytest.param(
            {"prompt": "a", "max_tokens": 1.5}, "max_tokens", "invalid_value", "is 1.5", id="fraction"
        ),
        pytest.param(
            {"prompt": "a", "temperature": -0.1}, "temperature", "invalid_value", "0 to 2", id="cold"
        ),
        pytest.param({"prompt": "a", "top_p": 1.01}, "top_p", "invalid_value", "0 to 1", id="top-p"),
        pytest.param({"prompt": "a", "seed": 1.5}, "seed", "invalid_value", "a whole number", id="seed"),
        pytest.param(
            {"prompt": "a", "stop": ["x"] * 129}, "stop", "invalid_value", "up to 128", id="many-stops"
        ),
        pytest.param({"prompt": "a", "stop": {}}, "stop", "invalid_value", "is {}", id="stop-object"),
        pytest.param({"prompt": "a", "stream": 1}, "stream", "invalid_value", "true or false", id="stream"),
        pytest.param({"prompt": "a", "n": 129}, "n", "invalid_value", "1 to 128", id="many-choices"),
        pytest.param({"prompt": "a", "n": True}, "n", "invalid_value", "1 to 128", id="true-is-not-one"),
        pytest.param(
            {"prompt": ["a"] * 65, "n": 2}, "n", "invalid_value", "asks for 130 answers", id="many-answers"
        ),
        pytest.param(
            {"prompt": "a", "n": 3, "best_of": 2}, "best_of", "invalid_value", "at least", id="best-of"
        ),
        pytest.param(
            {"prompt": "a", "model": 3}, "model", "invalid_value", "wanted a text", id="model-number"
        ),
        pytest.param(
            {"prompt": "a", "parameters": {}},
            "parameters",
            "unknown_parameter",
            "'inputs' only",
            id="parameters",
        ),
        pytest.param(
            {"inputs": "a", "parameters": 1},
            "parameters",
            "invalid_value",
            "wanted an object",
            id="no-object",
        ),
        pytest.param(
            {"inputs": "a", "seed": 1, "parameters": {"seed": 2}},
            "seed",
            "invalid_value",
            "twice",
            id="twice",
        ),
        pytest.param(
            {"inputs": "a", "parameters": {"max_tokens": 1, "max_new_tokens": 2}},
            "max_new_tokens",
            "invalid_value",
            "another name",
            id="two-names",
        ),
        pytest.param({"messages": []}, "messages", "invalid_value", "at least one", id="no-messages"),
        pytest.param({"messages": "Hi."}, "messages", "invalid_value", "wanted a list", id="messages-text"),
        pytest.param(
            {"messages": ["Hi."]}, "messages[0]", "invalid_value", "wanted an object", id="bare-text"
        ),
        pytest.param(
            {"messages": [USER, {"role": "wizard", "content": "x"}]},
            "messages[1].role",
            "invalid_value",
            "system, developer, user, assistant, tool, function",
            id="role",
        ),
        pytest.param(
            {"messages": [{"role": "user"}]},
            "messages[0].content",
            "invalid_value",
            "wanted a text",
            id="no-content",
        ),
        pytest.param(
            {"messages": [{"role": "user", "content": [{"type": "image_url"}]}]},
            "messages[0].content",
            "invalid_value",
            "type 'text'",
            id="image",
        ),
        pytest.param(
            {"messages": [{**USER, "tool_calls": []}]},
            "messages[0].tool_calls",
            "unknown_parameter",
            "unknown field",
            id="tools",
        ),
        pytest.param({"input": []}, "input", "invalid_value", "1 to 2048 texts", id="no-inputs"),
        pytest.param({"input": ["a"] * 2049}, "input", "invalid_value", "1 to 2048", id="many-inputs"),
        pytest.param({"input": ["a", ""]}, "input[1]", "invalid_value", "not empty", id="empty-input"),
        pytest.param({"input": ""}, "input", "invalid_value", "not empty", id="empty-text"),
        pytest.param({"input": {"a": 1}}, "input", "invalid_value", "wanted a text", id="input-object"),
        pytest.param({"input": [1, 2]}, "input", "invalid_value", "numbers of tokens", id="tokens"),
        pytest.param({"input": [[1], [2]]}, "input", "invalid_value", "numbers of tokens", id="token-lists"),
        pytest.param(
            {"input": "a", "encoding_format": "int8"},
            "encoding_format",
            "invalid_value",
            "'float' or 'base64'",
            id="encoding",
        ),
        pytest.param(
            {"input": "a", "dimensions": 0}, "dimensions", "invalid_value", "from 1", id="dimensions"
        ),
        pytest.param(
            {"input": "a", "dimensions": 3, "max_completion_tokens": 3},
            "max_completion_tokens",
            "unknown_parameter",
            "goes with 'messages', 'prompt', 'inputs' and 'input' only",
            id="generating-with-input",
        ),
        pytest.param(
            {"prompt": "a", "dimensions": 64},
            "dimensions",
            "unknown_parameter",
            "'input' only",
            id="embedding-with-prompt",
        ),
        pytest.param({"input": "a", "prompt": "b"}, None, "missing_field", "'prompt' and 'input'", id="both"),
    ],
)
def test_wrong_request_is_told_why(document: Any, param: str | None, code: str, words: str) -> None:
    """Each mistake has a status, a message with what was seen and wanted, and names its field."""
    with pytest.raises(BadRequest) as caught:
        parse_request(document)

    error = json.loads(caught.value.message)["error"]
    assert caught.value.status_code == 400
    assert caught.value.phrase == "Bad Request"
    assert error == {
        "message": str(caught.value),
        "type": "invalid_request_error",
        "param": param,
        "code": code,
    }
    assert words in error["message"]


def test_all_mistakes_come_in_one_message() -> None:
    """A client learns of everything at once."""
    with pytest.raises(BadRequest) as caught:
        parse_request({"prompt": 1, "max_tokens": 0, "colour": "red", "stop": 3})

    message = str(caught.value)
    assert message.startswith("4 problems: ")
    assert all(f"'{name}'" in message for name in ("prompt", "max_tokens", "colour", "stop"))


def test_long_values_are_not_echoed_whole() -> None:
    """A wrong megabyte does not come back as a megabyte."""
    with pytest.raises(BadRequest) as caught:
        parse_request({"prompt": [["x" * 10_000, None]]})

    assert len(caught.value.message) < 400


@pytest.mark.parametrize(
    "content_type",
    [
        pytest.param(None, id="none"),
        pytest.param("", id="empty"),
        pytest.param("application/json", id="plain"),
        pytest.param("Application/JSON; charset=UTF-8", id="charset"),
        pytest.param('application/json;charset="utf-8"', id="quoted-charset"),
    ],
)
@pytest.mark.parametrize(
    "body",
    [
        pytest.param('{"prompt": "Grüße"}', id="str"),
        pytest.param('{"prompt": "Grüße"}'.encode(), id="bytes"),
        pytest.param(bytearray('{"prompt": "Grüße"}'.encode()), id="bytearray"),
        pytest.param(b"\xef\xbb\xbf" + '{"prompt": "Grüße"}'.encode(), id="byte-order-mark"),
    ],
)
def test_bodies_arrive_in_every_form(body: str | bytes | bytearray, content_type: str | None) -> None:
    """The serving stacks hand over text, bytes or a bytearray, with the content type as it was sent."""
    assert input_fn(body, content_type) == Request("prompt", prompt="Grüße")


@pytest.mark.parametrize(
    ("body", "content_type", "status", "code"),
    [
        pytest.param(b"a,b", "text/csv", 415, "unsupported_media_type", id="csv"),
        pytest.param(b"{}", "application/json; charset=latin-1", 415, "unsupported_media_type", id="latin-1"),
        pytest.param(b"", None, 400, "invalid_json", id="empty"),
        pytest.param(b"{", None, 400, "invalid_json", id="cut"),
        pytest.param(b'{"prompt": "\xff"}', None, 400, "invalid_json", id="not-utf-8"),
        pytest.param(b'{"prompt": "a", "top_p": NaN}', None, 400, "invalid_json", id="nan"),
        pytest.param(b"[" * 100_000, None, 400, "invalid_json", id="deep"),
    ],
)
def test_body_that_is_no_json_is_refused(
    body: bytes, content_type: str | None, status: int, code: str
) -> None:
    """Whatever arrives, the answer is a status and a reason."""
    with pytest.raises(BadRequest) as caught:
        parse_body(body, content_type)

    assert caught.value.status_code == status
    assert json.loads(caught.value.message)["error"]["code"] == code


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=12), inner, max_size=4),
    max_leaves=12,
)
_FIELDS = st.sampled_from(
    [
        "prompt",
        "inputs",
        "messages",
        "parameters",
        "max_tokens",
        "temperature",
        "top_p",
        "stop",
        "seed",
        "n",
        "model",
    ]
)
_MESSAGES = st.lists(
    st.dictionaries(st.sampled_from(["role", "content", "name", "x"]), _JSON | st.sampled_from(["user"])),
    max_size=3,
)


@given(st.dictionaries(_FIELDS, _JSON | _MESSAGES, max_size=5))
def test_any_object_is_taken_or_refused(document: dict[str, Any]) -> None:
    """No JSON object can do anything but give a request or a `BadRequest` with a JSON body."""
    outcome = _taken_or_refused(document)

    if isinstance(outcome, Request):
        assert outcome.prompt.encode() or outcome.messages or outcome.batch or outcome.texts
    else:
        assert json.loads(outcome.message)["error"]["message"]


def _taken_or_refused(document: Any) -> Request | BadRequest:
    try:
        return parse_request(document)
    except BadRequest as error:
        return error


@given(st.binary(max_size=60))
def test_any_bytes_are_refused_or_taken(body: bytes) -> None:
    """No body ends in anything but a request or a `BadRequest`."""
    with contextlib.suppress(BadRequest):
        assert isinstance(parse_body(body, None), Request)


def _asked(**document: Any) -> Request:
    return parse_request({"prompt": "Hi.", **document})


def _refusal(**document: Any) -> dict[str, Any]:
    with pytest.raises(BadRequest) as caught:
        parse_request({"prompt": "Hi.", **document})
    error: dict[str, Any] = json.loads(caught.value.message)["error"]
    return error


def test_response_format_is_a_schema() -> None:
    """Both kinds of JSON are held to; plain text is the default, said aloud."""
    schema = {"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"]}
    described = {"name": "n", "strict": True, "schema": schema}

    assert not _asked(response_format={"type": "text"}).constrained
    assert _asked(response_format={"type": "json_object"}).schema == {"type": "object"}
    assert _asked(response_format={"type": "json_schema", "json_schema": described}).schema == schema


@pytest.mark.parametrize(
    ("response_format", "code", "words"),
    [
        pytest.param("json", "invalid_value", "'response_format' is 'json'", id="text"),
        pytest.param({"type": "xml"}, "invalid_value", "wanted {'type': 'text'}", id="other-type"),
        pytest.param({"type": "grammar", "grammar": "root ::= x"}, "invalid_value", "wanted", id="grammar"),
        pytest.param({"type": "json_schema"}, "invalid_value", "wanted", id="no-schema"),
        pytest.param(
            {"type": "json_schema", "json_schema": {"schema": {}, "grammar": "x"}},
            "invalid_value",
            "has 'grammar'",
            id="further-field",
        ),
        pytest.param(
            {"type": "json_schema", "json_schema": {"schema": {"type": "strin"}}},
            "invalid_schema",
            "schema.type is 'strin'",
            id="wrong-schema",
        ),
    ],
)
def test_wrong_response_format_is_refused(response_format: Any, code: str, words: str) -> None:
    """Grammars are never taken, and a schema's problem is told."""
    error = _refusal(response_format=response_format)

    assert (error["code"], error["param"]) == (code, "response_format")
    assert words in error["message"]


def test_log_probabilities_have_two_forms() -> None:
    """A number with a prompt, two fields with messages; zero is a wish, too."""
    chat = {"messages": [USER]}

    assert _asked().logprobs is None
    assert _asked(logprobs=0).logprobs == 0
    assert _asked(logprobs=20).logprobs == 20
    assert parse_request({**chat, "logprobs": False}).logprobs is None
    assert parse_request({**chat, "logprobs": True}).logprobs == 0
    assert parse_request({**chat, "logprobs": True, "top_logprobs": 5}).logprobs == 5


@pytest.mark.parametrize(
    ("document", "param"),
    [
        pytest.param({"logprobs": True}, "logprobs", id="switch-with-a-prompt"),
        pytest.param({"logprobs": 21}, "logprobs", id="too-many"),
        pytest.param({"top_logprobs": 2}, "top_logprobs", id="a-chats-field-with-a-prompt"),
        pytest.param(
            {"prompt": None, "messages": [USER], "logprobs": 2}, "logprobs", id="number-with-messages"
        ),
        pytest.param(
            {"prompt": None, "messages": [USER], "top_logprobs": 2},
            "top_logprobs",
            id="top-without-the-switch",
        ),
        pytest.param(
            {"prompt": None, "messages": [USER], "logprobs": True, "top_logprobs": -1},
            "top_logprobs",
            id="negative",
        ),
    ],
)
def test_log_probabilities_in_the_wrong_form_are_refused(document: dict[str, Any], param: str) -> None:
    """The message says which form belongs to what was asked."""
    assert _refusal(**document)["param"] == param


def test_penalties_and_samplers_reach_the_request_by_llama_cpps_names() -> None:
    """Whoever names them, and whatever is around them."""
    parameters = {
        "top_k": 50,
        "repetition_penalty": 1.03,
        "typical_p": 0.9,
        "do_sample": True,
        "details": True,
    }

    request = parse_request({"inputs": "A", "parameters": {**parameters, "return_full_text": False}})

    assert request == Request(
        "inputs",
        prompt="A",
        details=True,
        sampling={"top_k": 50, "repeat_penalty": 1.03, "typical_p": 0.9},
        echo=False,
    )
    assert _asked(do_sample=False, temperature=1).temperature == 0
    assert _asked(do_sample=True).temperature is None


@pytest.mark.parametrize(
    ("document", "tokens"),
    [
        pytest.param({"max_tokens": -1}, -1, id="as-many-as-fit"),
        pytest.param({"max_tokens": None}, -1, id="null"),
        pytest.param({"max_tokens": None, "max_completion_tokens": 7}, 7, id="null-beside-a-number"),
        pytest.param({"max_tokens": 10**9}, 10**9, id="more-than-any-context"),
        pytest.param({"max_tokens": 7, "max_completion_tokens": 7}, 7, id="said-twice"),
        pytest.param({"n_predict": 7}, 7, id="llama.cpp"),
        pytest.param({}, None, id="as-the-settings-say"),
    ],
)
def test_length_of_an_answer_has_many_names_and_no_upper_bound(
    document: dict[str, Any], tokens: int | None
) -> None:
    """What a client means by it: a number, or all that there is room for."""
    assert _asked(**document).max_tokens == tokens


@pytest.mark.parametrize(
    ("seed", "expected"),
    [
        (0, 0),
        (2**32 - 2, 2**32 - 2),
        (2**32 - 1, 0),
        (-2, 2**32 - 3),
        (10**30, 10**30 % (2**32 - 1)),
        (-1, None),
    ],
)
def test_any_whole_number_is_a_seed(seed: int, expected: int | None) -> None:
    """But -1, which is llama.cpp's "any"."""
    assert _asked(seed=seed).seed == expected


def test_biases_come_as_tokens_and_texts() -> None:
    """OpenAI's keys are texts with numbers in them; false forbids a token."""
    never = float("-inf")

    assert _asked(logit_bias={"15": -100, "x": False}).logit_bias == ((15, -100.0), ("x", never))
    assert _asked(logit_bias=[[15, 1e300], ["x", 0.5]]).logit_bias == ((15, 10_000.0), ("x", 0.5))
    assert _asked(logit_bias={}).logit_bias == ()
    for wrong in ({"1": "x"}, {"": 1}, [[1]], [1], [[True, 1]], {"1": True}):
        assert _refusal(logit_bias=wrong)["param"] == "logit_bias"


def test_as_many_answers_as_can_be_are_taken() -> None:
    """The bound is inclusive, of all prompts together."""
    assert parse_request({"prompt": ["a"] * 64, "n": 2}).best_of == 2
    assert _asked(n=128).choices == 128


def test_prompts_come_as_texts_and_as_tokens() -> None:
    """One or many; a list that has numbers in it is one prompt, as llama-server reads it."""
    assert parse_request({"prompt": ["a", "b"]}).subjects == ("a", "b")
    assert parse_request({"prompt": [1, 2]}).subjects == ((1, 2),)
    assert parse_request({"prompt": [[1], [2, 3]]}).subjects == ((1,), (2, 3))
    assert parse_request({"prompt": [1, "b"]}).subjects == ((1, "b"),)


def test_inputs_come_as_texts_and_as_conversations() -> None:
    """JumpStart's lists; their answers are lists, and one conversation's is not."""
    texts, dialogs, one = (
        parse_request({"inputs": value}) for value in (["a", "b"], [[USER], [USER]], [USER])
    )

    assert (texts.subjects, texts.listed) == (("a", "b"), True)
    assert (dialogs.subjects, dialogs.listed) == (((USER,), (USER,)), True)
    assert (one.subjects, one.listed, one.messages) == (((USER,),), False, (USER,))
    assert parse_request({"text_inputs": "a", "top_k": 3}).jumpstart


CALL = {"id": "1", "type": "function", "function": {"name": "w", "arguments": "{}"}}


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        pytest.param(
            {"role": "developer", "content": "x"}, {"role": "developer", "content": "x"}, id="developer"
        ),
        pytest.param(
            {"role": "assistant", "content": None, "tool_calls": [CALL]},
            {"role": "assistant", "content": "", "tool_calls": [CALL]},
            id="calls-and-no-content",
        ),
        pytest.param(
            {"role": "assistant", "tool_calls": [{"function": {"name": "w", "arguments": {"a": 1}}}]},
            {
                "role": "assistant",
                "content": "",
                "tool_calls": [{"type": "function", "function": {"name": "w", "arguments": '{"a": 1}'}}],
            },
            id="arguments-as-an-object",
        ),
        pytest.param(
            {"role": "assistant", "function_call": {"name": "w", "arguments": "{}"}},
            {
                "role": "assistant",
                "content": "",
                "tool_calls": [{k: v for k, v in CALL.items() if k != "id"}],
            },
            id="the-older-form",
        ),
        pytest.param(
            {"role": "tool", "tool_call_id": "1", "content": [{"type": "text", "text": "sun"}]},
            {"role": "tool", "tool_call_id": "1", "content": "sun"},
            id="tool",
        ),
        pytest.param(
            {"role": "function", "name": "w", "content": "sun"},
            {"role": "tool", "name": "w", "content": "sun"},
            id="function",
        ),
        pytest.param(
            {
                "role": "assistant",
                "content": "x",
                "refusal": None,
                "annotations": [],
                "audio": None,
                "tool_calls": [],
            },
            {"role": "assistant", "content": "x"},
            id="an-answer-sent-back",
        ),
        pytest.param(
            {"role": "assistant", "content": [{"type": "refusal", "refusal": "no"}, "!"]},
            {"role": "assistant", "content": "no!"},
            id="refusal",
        ),
        pytest.param({"role": "user", "content": None}, {"role": "user", "content": ""}, id="null"),
        pytest.param(
            {"role": "assistant", "content": "4", "reasoning_content": "2+2"},
            {"role": "assistant", "content": "4", "reasoning_content": "2+2"},
            id="reasoning",
        ),
    ],
)
def test_messages_of_every_role_are_taken(message: dict[str, Any], expected: dict[str, Any]) -> None:
    """As clients send them back from an earlier turn."""
    assert parse_request({"messages": [USER, message]}).messages == (USER, expected)


@pytest.mark.parametrize(
    ("message", "param"),
    [
        pytest.param({"role": "assistant", "tool_calls": "x"}, "messages[0].tool_calls", id="no-list"),
        pytest.param(
            {"role": "assistant", "tool_calls": [{"id": "1"}]}, "messages[0].tool_calls[0]", id="no-function"
        ),
        pytest.param(
            {"role": "tool", "content": "x", "tool_call_id": 3}, "messages[0].tool_call_id", id="number"
        ),
        pytest.param({"role": "assistant"}, "messages[0].content", id="nothing-said"),
    ],
)
def test_wrong_message_is_told_why(message: dict[str, Any], param: str) -> None:
    """With its place."""
    with pytest.raises(BadRequest) as caught:
        parse_request({"messages": [message]})

    assert json.loads(caught.value.message)["error"]["param"] == param


TOOL = {"type": "function", "function": {"name": "w", "parameters": {"type": "object", "properties": {}}}}


@pytest.mark.parametrize(
    ("said", "choice"),
    [
        pytest.param({}, "auto", id="default"),
        pytest.param({"tool_choice": "auto"}, "auto", id="auto"),
        pytest.param({"tool_choice": "required"}, "required", id="required"),
        pytest.param({"tool_choice": "any"}, "required", id="any"),
        pytest.param({"tool_choice": {"type": "function", "function": {"name": "w"}}}, "=w", id="named"),
        pytest.param({"tool_choice": {"type": "function", "name": "w"}}, "=w", id="named-as-in-responses"),
        pytest.param({"function_call": {"name": "w"}}, "=w", id="older"),
    ],
)
def test_tools_and_which_is_called(said: dict[str, Any], choice: str) -> None:
    """In each form that clients have for it."""
    request = parse_request({"messages": [USER], "tools": [TOOL], **said})

    assert (request.tools, request.tool_choice, request.legacy_functions) == ((TOOL,), choice, False)


def test_functions_are_tools_and_none_means_none() -> None:
    """OpenAI's older form, and tools that are not to be called."""
    older = parse_request({"messages": [USER], "functions": [TOOL["function"]], "function_call": "auto"})
    none = parse_request({"messages": [USER], "tools": [TOOL], "tool_choice": "none"})

    assert (older.tools, older.legacy_functions) == ((TOOL,), True)
    assert none.tools == ()


@pytest.mark.parametrize(
    ("said", "param"),
    [
        pytest.param({"tools": [{"type": "web_search"}]}, "tools[0]", id="other-type"),
        pytest.param({"tools": [{"type": "function", "function": {}}]}, "tools[0]", id="no-name"),
        pytest.param({"tools": [3]}, "tools[0]", id="number"),
        pytest.param({"tools": [TOOL] * 129}, "tools", id="many"),
        pytest.param(
            {"tools": [TOOL], "tool_choice": {"function": {"name": "v"}}}, "tool_choice", id="unknown"
        ),
        pytest.param({"tools": [{"function": {"name": "w", "parameters": 3}}]}, "tools[0]", id="no-schema"),
    ],
)
def test_wrong_tools_are_told(said: dict[str, Any], param: str) -> None:
    """With the place of each."""
    assert _refusal(prompt=None, messages=[USER], **said)["param"] == param


def test_responses_are_chats() -> None:
    """OpenAI's newer interface in the same request: instructions, items, its own names of the rest."""
    request = parse_request(
        {
            "model": "m",
            "instructions": "Be brief.",
            "input": [
                {"role": "user", "content": [{"type": "input_text", "text": "Hi."}]},
                {"type": "function_call", "call_id": "1", "name": "w", "arguments": "{}"},
                {"type": "function_call_output", "call_id": "1", "output": "sun"},
                {"type": "reasoning", "summary": []},
            ],
            "max_output_tokens": 9,
            "text": {"format": {"type": "json_schema", "name": "n", "schema": {"type": "integer"}}},
            "reasoning": {"effort": "low"},
            "tools": [{"type": "function", "name": "w", "parameters": {}}],
            "tool_choice": "none",
            "store": False,
        }
    )

    assert (request.source, request.form) == ("input", "responses")
    assert request.messages == (
        {"role": "system", "content": "Be brief."},
        USER,
        {"role": "assistant", "content": "", "tool_calls": [CALL]},
        {"role": "tool", "content": "sun", "tool_call_id": "1"},
    )
    assert (request.max_tokens, request.schema) == (9, {"type": "integer"})
    assert request.template == {"reasoning_effort": "low"}


@pytest.mark.parametrize(
    ("document", "form"),
    [
        pytest.param({"input": "a", "temperature": 0}, "responses", id="a-field-of-generating"),
        pytest.param({"input": [USER]}, "responses", id="messages"),
        pytest.param({"input": "a", "instructions": "b"}, "responses", id="instructions"),
        pytest.param({"input": "a", "model": "m"}, "input", id="the-model-decides"),
        pytest.param({"input": ["a"], "user": "u"}, "input", id="texts"),
        pytest.param({"input": "a", "encoding_format": "float"}, "input", id="embeddings"),
    ],
)
def test_input_means_a_response_or_embeddings_by_what_is_beside_it(
    document: dict[str, Any], form: str
) -> None:
    """One name for two things: a field that only one of them has tells."""
    assert parse_request(document).form == form


def test_schemas_come_under_many_names() -> None:
    """And each is held and checked."""
    schema = {"type": "integer", "minimum": 0}
    for said in (
        {"response_format": {"type": "json_schema", "json_schema": {"name": "n", "schema": schema}}},
        {"response_format": {"type": "json_object", "schema": schema}},
        {"response_format": {"type": "json", "value": schema}},
        {"json_schema": schema},
        {"guided_json": schema},
        {"grammar": {"type": "json", "value": schema}},
    ):
        request = _asked(**said)

        assert request.schema == schema
        assert request.constrained
    assert _refusal(json_schema=schema, response_format={"type": "json_object"})["param"] == "json_schema"


CALLED: dict[str, Any] = {
    "role": "assistant",
    "content": None,
    "tool_calls": [{"id": "a", "type": "function", "function": {"name": "w", "arguments": "{}"}}],
}
RESULT = {"role": "tool", "tool_call_id": "a", "content": "sun"}


@pytest.mark.parametrize(
    "message",
    [
        pytest.param({"role": "assistant", "content": "x", "reasoning_content": ""}, id="no-thoughts"),
        pytest.param({"role": "assistant", "content": "x", "name": ""}, id="no-name"),
        pytest.param({"role": "assistant", "content": "x", "parsed": {"a": 1}}, id="openai-parse"),
        pytest.param({"role": "assistant", "content": "x", "provider_specific_fields": {}}, id="litellm"),
        pytest.param({"role": "assistant", "content": "x", "thinking_blocks": []}, id="thinking-blocks"),
        pytest.param({"role": "assistant", "content": "x", "prefix": False}, id="mistral"),
        pytest.param({"role": "assistant", "content": "x", "phase": "final_answer"}, id="phase"),
    ],
)
def test_what_a_library_adds_to_an_answer_may_come_back_with_it(message: dict[str, Any]) -> None:
    """A conversation is sent as the library keeps it, with empty fields and fields of its own."""
    asked = parse_request({"messages": [USER, message, USER]})

    assert asked == parse_request({"messages": [USER, {"role": "assistant", "content": "x"}, USER]})


@pytest.mark.parametrize("arguments", [None, ""])
def test_a_call_without_arguments_has_an_empty_object(arguments: str | None) -> None:
    """Some send back null or nothing; templates want JSON."""
    call = {"id": "a", "type": "function", "function": {"name": "w", "arguments": arguments}}
    asked = parse_request({"messages": [USER, {**CALLED, "tool_calls": [call]}, {**RESULT}]})

    assert asked == parse_request({"messages": [USER, CALLED, RESULT]})


@pytest.mark.parametrize("arguments", ['{"city": "Be', "NaN", "[" * 100_000])
def test_arguments_that_are_no_json_are_told(arguments: str) -> None:
    """llama.cpp reads them for every template, and fails at them."""
    call = {"id": "a", "type": "function", "function": {"name": "w", "arguments": arguments}}
    with pytest.raises(BadRequest, match=r"messages\[1\]\.tool_calls\[0\]\.function\.arguments is .*no JSON"):
        parse_request({"messages": [USER, {**CALLED, "tool_calls": [call]}]})


def test_null_in_a_tool_counts_as_absent() -> None:
    """The openai package's own types say so of its description, its parameters and `strict`."""
    nothing = {"description": None, "parameters": None, "strict": None}
    plain = {"messages": [USER], "tools": [{"type": "function", "function": {"name": "w"}}]}

    for tool in ({"type": "function", "function": {"name": "w", **nothing}},):
        assert parse_request({**plain, "tools": [tool]}) == parse_request(plain)
    functions = parse_request({"messages": [USER], "functions": [{"name": "w", **nothing}]})
    assert functions.tools == parse_request(plain).tools
    flat = {"input": [USER], "tools": [{"type": "function", "name": "w", **nothing}]}
    assert "description" not in parse_request(flat).tools[0]["function"]


@pytest.mark.parametrize(
    ("choice", "expected", "names"),
    [
        pytest.param("b", "=b", ["a", "b", "c"], id="the-bare-name"),
        pytest.param(
            {
                "type": "allowed_tools",
                "allowed_tools": {
                    "mode": "auto",
                    "tools": [{"type": "function", "function": {"name": name}} for name in ("c", "a")],
                },
            },
            "auto",
            ["a", "c"],
            id="allowed-in-a-chat",
        ),
        pytest.param(
            {"type": "allowed_tools", "mode": "required", "tools": [{"type": "function", "name": "b"}]},
            "required",
            ["b"],
            id="allowed-in-a-response",
        ),
    ],
)
def test_a_choice_of_tools_has_many_forms(choice: Any, expected: str, names: list[str]) -> None:
    """text-generation-inference has the bare name; OpenAI's list of allowed tools leaves only these."""
    tools = [{"type": "function", "function": {"name": name}} for name in "abc"]
    asked = parse_request({"messages": [USER], "tools": tools, "tool_choice": choice})

    assert asked.tool_choice == expected
    assert [tool["function"]["name"] for tool in asked.tools] == names


@pytest.mark.parametrize(
    "choice",
    [
        {"type": "allowed_tools", "allowed_tools": {"mode": "auto", "tools": [{"function": {"name": "z"}}]}},
        {"type": "allowed_tools", "allowed_tools": {"mode": "some", "tools": [{"function": {"name": "a"}}]}},
        {"type": "allowed_tools", "allowed_tools": None},
        {"type": "allowed_tools", "mode": "auto", "tools": []},
        {"type": "custom", "custom": {"name": "a"}},
        {},
        "z",
    ],
)
def test_a_choice_of_no_tool_that_there_is_is_refused(choice: Any) -> None:
    """With those that there are."""
    tools = [{"type": "function", "function": {"name": "a"}}]
    with pytest.raises(BadRequest, match=r"'tool_choice' is .*: a|some of a"):
        parse_request({"messages": [USER], "tools": tools, "tool_choice": choice})


@pytest.mark.parametrize(
    ("part", "words"),
    [
        ({"type": "image_url", "image_url": {"url": "x"}}, "images are for the containers 'custom'"),
        ({"type": "input_audio", "input_audio": {}}, "'input_audio' is for no container here"),
        ({"type": "file", "file": {}}, "'file' is for no container here"),
        ({"type": "text", "text": None}, "wanted a text or a list of parts of type 'text'"),
    ],
)
def test_a_part_that_is_no_text_is_told_for_what_it_is(part: dict[str, Any], words: str) -> None:
    """Only an image is for another container."""
    with pytest.raises(BadRequest) as caught:
        parse_request({"messages": [{"role": "user", "content": [{"type": "text", "text": "a"}, part]}]})

    assert words in str(caught.value)
    assert ("images" in str(caught.value)) == (part["type"] == "image_url")


@pytest.mark.parametrize(
    "fields",
    [
        {"tools": [{"type": "function", "function": {"name": "w", "description": "\ud83d"}}]},
        {"chat_template_kwargs": {"a": "\ud83d"}},
        {"chat_template_kwargs": {"\ud83d": 1}},
        {"reasoning_effort": "\ud83d"},
        {"guided_choice": ["\ud83d"]},
        {"logit_bias": {"\ud83d": 1}},
        {"dry_sequence_breakers": ["a\ude00"]},
        {"metadata": {"a": "\ude00"}},
    ],
)
def test_half_a_character_is_told_wherever_it_stands(fields: dict[str, Any]) -> None:
    """A text that was cut within an emoji is written so by JavaScript; neither server takes it."""
    for adapted in (False, True):
        with pytest.raises(BadRequest, match="half of a surrogate pair"):
            parse_body(json.dumps({"messages": [USER], **fields}), None, adapted=adapted)
    assert parse_body(json.dumps({"prompt": "😀"}), None).prompt == "😀"


def test_whether_to_think_is_true_or_false() -> None:
    """Among the template's variables, too, where llama-server takes no other."""
    with pytest.raises(BadRequest, match=r"chat_template_kwargs\.enable_thinking is 'false'"):
        parse_request({"messages": [USER], "chat_template_kwargs": {"enable_thinking": "false"}})


def test_an_empty_stop_ends_nothing() -> None:
    """Forms send what was not filled in."""
    assert parse_request({"prompt": "a", "stop": ""}).stop == ()
    assert parse_request({"prompt": "a", "stop": ["", "b"]}).stop == ("b",)


def test_a_whole_number_may_be_written_as_a_float() -> None:
    """JSON has one kind of numbers, and not every client writes 3 where it means three."""
    numbers = {"max_tokens": 3, "n": 2, "top_k": 40, "seed": 10**20, "mirostat": 1, "logprobs": 2}

    written = {name: float(value) for name, value in numbers.items()}
    assert parse_request({"prompt": "a", **written}) == parse_request({"prompt": "a", **numbers})
    assert parse_request({"prompt": "a", "max_tokens": -1.0}).max_tokens == -1


SCHEMA = {"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"]}


@pytest.mark.parametrize(
    "fields",
    [
        pytest.param(
            {"response_format": {"type": "json_schema", "json_schema": {"schema": SCHEMA}}}, id="openai"
        ),
        pytest.param({"response_format": {"type": "json_schema", "name": "a", "schema": SCHEMA}}, id="flat"),
        pytest.param(
            {"response_format": {"type": "json_schema", "json_schema": {"schema_definition": SCHEMA}}},
            id="mistral",
        ),
        pytest.param(
            {"response_format": {"type": "json_schema", "value": {"name": "a", "schema": SCHEMA}}}, id="tgi"
        ),
        pytest.param({"response_format": {"type": "json", "value": json.dumps(SCHEMA)}}, id="tgi-text"),
        pytest.param({"response_format": {"type": "json_object", "schema": SCHEMA}}, id="llama-server"),
        pytest.param({"response_format": {"type": "json_object", "response_schema": SCHEMA}}, id="litellm"),
        pytest.param({"grammar": {"type": "json_schema", "value": {"schema": SCHEMA}}}, id="tgi-grammar"),
        pytest.param({"guided_json": json.dumps(SCHEMA)}, id="vllm-text"),
        pytest.param({"structured_outputs": {"json": SCHEMA, "regex": None}}, id="vllm"),
        pytest.param({"response_format": {"type": "text"}, "guided_json": SCHEMA}, id="text-beside-it"),
    ],
)
def test_a_schema_comes_in_many_forms(fields: dict[str, Any]) -> None:
    """As each library writes it."""
    assert parse_request({"messages": [USER], **fields}).schema == SCHEMA


@pytest.mark.parametrize(
    ("form", "alone"),
    [
        ({"structured_outputs": {"choice": ["a"]}}, {"guided_choice": ["a"]}),
        ({"structured_outputs": {"regex": "a+"}}, {"guided_regex": "a+"}),
        ({"structured_outputs": {"grammar": 'root ::= "a"'}}, {"grammar": 'root ::= "a"'}),
        ({"structured_outputs": {"json_object": True}}, {"response_format": {"type": "json_object"}}),
        ({"response_format": {"type": "regex", "value": "a+"}}, {"guided_regex": "a+"}),
        (
            {"response_format": {"type": "json_schema", "json_schema": {"name": "a"}}},
            {"response_format": {"type": "json_object"}},
        ),
    ],
)
def test_other_names_ask_for_the_same(form: dict[str, Any], alone: dict[str, Any]) -> None:
    """The newer field of vLLM, and a response_format without a schema."""
    assert parse_request({"messages": [USER], **form}) == parse_request({"messages": [USER], **alone})


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"response_format": {"type": "json_schema"}}, "wanted {'type': 'text'}"),
        ({"response_format": {"type": "json_schema", "json_schema": {"schema": {}, "x": 1}}}, "has 'x'"),
        ({"guided_json": "{"}, "a text that is no JSON"),
        ({"structured_outputs": {"structural_tag": {}}}, "unknown field 'structural_tag'"),
        ({"structured_outputs": {"choice": []}}, "wanted a list of texts"),
        ({"structured_outputs": {"regex": "a"}, "guided_regex": "b"}, "are both there"),
        ({"structured_outputs": {"regex": "a", "choice": ["b"]}}, "are both there"),
        ({"frobnicate": 1}, "docs/requests.md of Sealift has all that there are"),
    ],
)
def test_a_form_that_is_none_is_told(fields: dict[str, Any], words: str) -> None:
    """In one short sentence."""
    with pytest.raises(BadRequest) as caught:
        parse_request({"messages": [USER], **fields})

    assert words in str(caught.value)
    assert len(str(caught.value)) < 300


def test_a_turn_of_a_response_is_one_message() -> None:
    """What the model has thought, said and called in it, as its answer has it; templates want it so."""
    calls = [
        {"type": "function_call", "id": "fc", "call_id": name, "name": "w", "arguments": "{}"}
        for name in "ab"
    ]
    asked = parse_request(
        {
            "input": [
                USER,
                {"type": "reasoning", "summary": [], "content": [{"type": "reasoning_text", "text": "Hm."}]},
                {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "So."}]},
                *calls,
                *({"type": "function_call_output", "call_id": name, "output": name} for name in "ab"),
            ]
        }
    )

    assert asked.messages is not None
    assert [message["role"] for message in asked.messages] == ["user", "assistant", "tool", "tool"]
    turn = asked.messages[1]
    assert (turn["content"], turn["reasoning_content"]) == ("So.", "Hm.")
    assert [call["id"] for call in turn["tool_calls"]] == ["a", "b"]
    alone = parse_request({"input": [USER, {"type": "reasoning", "summary": []}, calls[0]]}).messages
    assert alone is not None
    assert "reasoning_content" not in alone[1]


@pytest.mark.parametrize(
    "fields",
    [{"stream": False}, {"tools": []}, {"prompt_cache_key": "k"}, {"priority": 0}, {"normalize": True}],
)
def test_what_changes_nothing_makes_no_response_of_embeddings(fields: dict[str, Any]) -> None:
    """Clients of embeddings send it too, and a model that embeds would refuse a response."""
    asked = parse_request({"input": "a", **fields})

    assert suited(asked, "input", "m").texts == ("a",)


def test_a_response_is_one_answer() -> None:
    """Others would be generated, and not told."""
    assert parse_request({"input": [USER], "n": 1}).choices == 1
    with pytest.raises(BadRequest, match="'n' is 2, and a response is one answer"):
        parse_request({"input": [USER], "n": 2})


def test_a_jumpstart_request_has_its_time_and_its_mode() -> None:
    """The fields of its older notebooks."""
    asked = parse_request({"text_inputs": "a", "max_time": 50, "max_length": 100, "eos_token_id": 2})

    assert (asked.max_time, asked.stop_tokens) == (50, (2,))
    embedding = parse_request({"text_inputs": ["a"], "mode": "embedding"})
    assert suited(embedding, "input", "m").texts == ("a",)
    with pytest.raises(BadRequest, match="has 'mode'"):
        suited(embedding, "messages", "m")
