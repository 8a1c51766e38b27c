"""The adapter's translation without llama-server: what is asked of it, and what becomes of what it said once."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from adapter.translation import Translation, at_once, translate
from adapter.upstream import ModelFacts, UpstreamCall, UpstreamReply, learn
from hypothesis import given
from hypothesis import strategies as st

import sealift_fields as fields
from sealift_request import MOST_SEED, MOST_TRIES, BadRequest
from sealift_settings import Settings

RECORDED: dict[str, Any] = json.loads(
    (Path(__file__).parent / "llama_server_replies.json").read_text(encoding="utf-8")
)
SETTINGS = Settings(n_ctx=2048, max_tokens=8, temperature=0.0)
FACTS = ModelFacts("demo", 2048, slots=2, vocabulary_size=500, bos="<s>")
USER = {"role": "user", "content": "Hi."}
NATIVE = {
    "stop": True,
    "stop_type": "eos",
    "tokens_evaluated": 3,
    "timings": {"prompt_n": 3, "predicted_n": 2},
}


def asked(body: dict[str, Any], facts: ModelFacts = FACTS, settings: Settings = SETTINGS) -> Translation:
    """Return the translation of a body."""
    return translate(json.dumps(body).encode(), None, facts, settings, identity="0" * 32, created=1)


def calls_of(translation: Translation) -> tuple[UpstreamCall, ...]:
    """Return what is asked first."""
    return (translation.first,) if translation.streams else next(translation.steps())


def answered(translation: Translation, *replies: Any) -> Any:
    """Return the answer to a request whose calls get these replies, one after the other."""
    left = iter(replies)
    steps = translation.steps()
    calls = next(steps)
    try:
        while True:
            said = [next(left) for _ in calls]
            calls = steps.send(
                [one if isinstance(one, UpstreamReply) else UpstreamReply(200, one) for one in said]
            )
    except StopIteration as done:
        return json.loads(done.value.body)


def text(content: str, **more: Any) -> dict[str, Any]:
    """Return llama-server's answer to a text."""
    return {**NATIVE, "content": content, **more}


def events_in(sent: bytes) -> list[Any]:
    """Return the data of server-sent events."""
    lines = [line.removeprefix("data: ") for line in sent.decode().splitlines() if line.startswith("data: ")]
    return [one if one == "[DONE]" else json.loads(one) for one in lines]


def streamed(translation: Translation, events: list[Any], reason: str | None = None) -> list[Any]:
    """Return what a caller gets of events."""
    translation.begin()
    pieces = [piece for event in events for piece in translation.events(event)]
    return events_in(b"".join([*pieces, *translation.ended(reason)]))


def said_in(events: list[Any], name: str = "content", index: int = 0) -> str:
    """Return what the events of one choice add up to."""
    found = ""
    for event in events:
        for choice in event["choices"] if isinstance(event, dict) else []:
            if choice["index"] == index:
                delta = choice.get("delta", {"content": choice.get("text")})
                found += delta.get(name) or ""
    return found


# Recordings -------------------------------------------------------------------------------------------------

WHOLE = [name for name, one in RECORDED.items() if "events" not in one["said"][0]]
STREAMS = [name for name in RECORDED if name not in WHOLE]


def recorded(name: str) -> tuple[Translation, dict[str, Any]]:
    """Return the translation of a recorded question, and the recording."""
    one = RECORDED[name]
    fill_in = one["facts"].pop("fill_in", None)
    one["facts"]["fill_in"] = fill_in
    return asked(one["body"], ModelFacts(**one["facts"])), one


@pytest.mark.parametrize("name", WHOLE)
def test_llama_server_is_asked_what_it_was_asked_when_it_was_recorded(name: str) -> None:
    """And its replies become an answer, or the refusal that they became."""
    translation, one = recorded(name)
    said = [exchange for exchange in one["said"] if "call" in exchange]
    refused = [exchange["refused"] for exchange in one["said"] if "refused" in exchange]
    answer, asked_for, reason = replayed(translation, said)

    assert asked_for == [exchange["call"] for exchange in said]
    assert ([reason] if reason else []) == refused
    if answer is not None:
        assert json.loads(answer.body)
        assert {"id", "source"} <= set(answer.figures)


def replayed(translation: Translation, said: list[dict[str, Any]]) -> tuple[Any, list[Any], str | None]:
    """Return the answer, what was asked for it, and why there is none."""
    left, asked_for = iter(said), []
    steps = translation.steps()
    try:
        calls = next(steps)
        while True:
            asked_for += [[call.path, call.body] for call in calls]
            replies = [next(left) for _ in calls]
            calls = steps.send([UpstreamReply(one["status"], one["document"]) for one in replies])
    except StopIteration as done:
        return done.value, asked_for, None
    except BadRequest as error:
        return None, asked_for, error.reason


@pytest.mark.parametrize("name", STREAMS)
def test_a_recorded_stream_is_asked_and_handed_on(name: str) -> None:
    """All that llama-server told is told, the end comes once, and the log has its figures."""
    translation, one = recorded(name)
    (said,) = one["said"]
    first = translation.first

    assert [first.path, first.body] == said["call"]
    got = streamed(translation, said["events"])
    assert got[-1] == "[DONE]"
    assert got.count("[DONE]") == 1
    assert list(translation.ended()) == []
    assert list(translation.events(said["events"][0])) == []
    assert translation.over
    assert translation.figures["predicted_n"] > 0
    told = ["", ""]
    for event in said["events"]:
        told[0] += event.get("content") or ""
        for choice in event.get("choices") or []:
            told[choice["index"]] += choice["delta"].get("content") or ""
    if name == "response":
        deltas = [event["delta"] for event in got[:-1] if event["type"] == "response.output_text.delta"]
        assert "".join(deltas) == told[0]
        assert [event["sequence_number"] for event in got[:-1]] == list(range(len(got) - 1))
        assert got[-2]["response"]["output"][0]["content"][0]["text"] == told[0]
    else:
        assert [said_in(got, index=index) for index in range(2)] == told


def test_a_whole_answer_and_its_stream_say_the_same() -> None:
    """Of a text that a stop ends: text, tokens, log-probabilities, reason and usage."""
    (translation, one), (stream, other) = recorded("text"), recorded("streamed text")
    answer = answered(translation, one["said"][0]["document"])
    got = streamed(stream, other["said"][0]["events"])

    choice = answer["choices"][0]
    assert said_in(got) == choice["text"] == " weather makes a short "
    assert got[-2]["choices"][0]["finish_reason"] == choice["finish_reason"] == "stop"
    noted = [part["choices"][0]["logprobs"] for part in got[:-2]]
    tokens = [token for logprobs in noted for token in logprobs["tokens"]]
    assert tokens == choice["logprobs"]["tokens"]
    assert [at for logprobs in noted for at in logprobs["text_offset"]] == choice["logprobs"]["text_offset"]


def test_thoughts_and_calls_come_in_their_own_deltas() -> None:
    """A thought is no content, and a call has its id and name once and its arguments in parts."""
    stream, one = recorded("streamed thought")
    got = streamed(stream, one["said"][0]["events"])

    assert said_in(got, "reasoning_content").strip() == "ships"
    assert said_in(got).strip() == "cargo"

    stream, one = recorded("streamed call")
    got = streamed(stream, one["said"][0]["events"])
    parts = [
        call
        for event in got[:-1]
        for choice in event["choices"]
        for call in choice["delta"].get("tool_calls", [])
    ]
    assert [part["function"].get("name") for part in parts if part.get("id")] == ["weather"]
    assert json.loads("".join(part["function"].get("arguments", "") for part in parts)) == {"city": "Bern"}
    assert got[-2]["choices"][0]["finish_reason"] == "tool_calls"


def test_an_older_client_gets_one_function_call() -> None:
    """By OpenAI's older name, and a reason of that name."""
    stream, one = recorded("streamed function")
    got = streamed(stream, one["said"][0]["events"])
    parts = [event["choices"][0]["delta"].get("function_call") for event in got[:-1] if event["choices"]]

    assert json.loads("".join(part["arguments"] for part in parts if part)) == {"city": "Bern"}
    assert not any("tool_calls" in event["choices"][0]["delta"] for event in got[:-1])
    assert got[-2]["choices"][0]["finish_reason"] == "function_call"


@pytest.mark.parametrize(
    ("stop_type", "kept"), [("limit", '"日'), ("eos", '"日'), ("timeout", '"日'), ("word", '"日\ufffd')]
)
def test_half_a_character_is_left_out(stop_type: str, kept: str) -> None:
    """llama-server marks the bytes of a character that its answer ends within; before a stop none can be cut."""
    answer = answered(asked({"prompt": "a"}), text('"日\ufffd', stop_type=stop_type))
    assert answer["choices"][0]["text"] == kept

    message = {"content": "日\ufffd", "reasoning_content": "\ufffd"}
    document = {"choices": [{"index": 0, "message": message, "finish_reason": "length"}]}
    told = answered(asked({"messages": [USER]}), document)["choices"][0]["message"]
    assert told == {"role": "assistant", "content": "日", "reasoning_content": "\ufffd"}


@given(st.lists(st.text(max_size=3), max_size=8), st.data())
def test_any_split_of_a_stream_gives_the_same_text(pieces: list[str], data: st.DataObject) -> None:
    """Text and chat alike, whatever llama-server puts into one event."""
    whole = "".join(pieces)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(whole)), max_size=6)))
    parts = [whole[begin:end] for begin, end in zip([0, *cuts], [*cuts, len(whole)], strict=True)]

    texts = [{"index": 0, "content": part, "tokens": [1], "stop": False} for part in parts]
    got = streamed(asked({"prompt": "Good", "stream": True}), [*texts, text("")])
    assert said_in(got) == whole

    chunks = [
        {"choices": [{"index": 0, "delta": {"content": part}, "finish_reason": None}]} for part in parts
    ]
    end = {"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}
    got = streamed(asked({"messages": [USER], "stream": True}), [*chunks, end])
    assert said_in(got) == whole
    got = streamed(asked({"input": [USER], "stream": True}), [*chunks, end])
    assert got[-2]["response"]["output"][0]["content"][0]["text"] == whole


# What is asked ----------------------------------------------------------------------------------------------

ASKED: dict[str, dict[str, Any]] = {
    fields.CHAT: {"messages": [USER]},
    fields.COMPLETION: {"prompt": "a"},
    fields.INPUTS: {"inputs": "a"},
    fields.RESPONSES: {"input": [USER]},
}
SAMPLES: dict[str, Any] = {
    "stop": ["x"],
    "logit_bias": {"5": 1},
    "stream_options": {"include_usage": True},
    "response_format": {"type": "json_object"},
    "json_schema": {"type": "string"},
    "text": {"format": {"type": "json_object"}},
    "tools": [{"type": "function", "function": {"name": "a"}}],
    "functions": [{"name": "a"}],
    "reasoning": {"effort": "low"},
    "chat_template_kwargs": {"a": 1},
    "reasoning_format": "none",
    "enable_thinking": False,
    "temperature": 1.5,
    "top_p": 0.5,
    "do_sample": False,
    "samplers": ["top_k"],
    "lora": [{"id": 0, "scale": 0.5}],
    "dry_sequence_breakers": ["x"],
    "adaptive_target": 0.5,
    "logprobs": 2,
    "max_length": 9,
    "grammar": 'root ::= "a"',
    "guided_choice": ["a"],
    "guided_regex": "a",
    "structured_outputs": {"json": {"type": "string"}},
}
SHAPE = {
    "n",
    "best_of",
    "stream",
    "stream_options",
    "echo",
    "details",
    "suffix",
    "timings_per_token",
    "return_progress",
    "include_stop_str_in_output",
    "max_time",
    "mode",
}
"""What changes how often is asked, or what the answer looks like; it is tried elsewhere."""
TOGETHER = {"tool_choice", "parallel_tool_calls", "function_call", "top_logprobs", "continue_final_message"}
"""What means nothing without another field."""


def sample(field: fields.Field) -> Any:
    """Return a value of a field that is not its default."""
    if field.name in SAMPLES:
        return SAMPLES[field.name]
    takes = field.takes_by(adapted=True)
    return next(value for value in (True, 3, 1, 0.75, "low", "x", {"a": 1}, [1]) if takes.accepts(value))


@pytest.mark.parametrize(
    ("form", "field"),
    [
        pytest.param(form, field, id=f"{form}-{field.name}")
        for form in ASKED
        for field in fields.FIELDS
        if form in field.forms
        and field.place_by(adapted=True) == fields.HONORED
        and field.name not in SHAPE | TOGETHER
        and field.name != "return_text"  # of a ranking; of inputs it is the usual
    ],
)
def test_every_honored_field_reaches_llama_server(form: str, field: fields.Field) -> None:
    """What it is asked differs from what a request without the field asks."""
    value = True if (form, field.name) == (fields.CHAT, "logprobs") else sample(field)
    settings = Settings(n_ctx=2048, max_tokens=8, temperature=0.7)
    plain = calls_of(asked({**ASKED[form], "seed": 7}, settings=settings))
    with_it = calls_of(asked({**ASKED[form], "seed": 7, field.name: value}, settings=settings))

    assert with_it != plain


@pytest.mark.parametrize("name", sorted(TOGETHER))
def test_fields_that_belong_to_others_reach_llama_server_with_them(name: str) -> None:
    """Which tool is to be called, and how many of the likeliest tokens are told."""
    tool = {"type": "function", "function": {"name": "a"}}
    begun = [USER, {"role": "assistant", "content": "a"}]
    beside: dict[str, Any] = {
        "top_logprobs": {"logprobs": True},
        "continue_final_message": {"messages": begun},
    }.get(name, {"tools": [tool]})
    value: Any = {
        "tool_choice": "required",
        "parallel_tool_calls": True,
        "function_call": {"name": "a"},
        "continue_final_message": "content",
    }.get(name, 3)
    body = {**ASKED[fields.CHAT], **beside, "seed": 7}

    assert calls_of(asked({**body, name: value})) != calls_of(asked(body))


@pytest.mark.parametrize(
    "field", [pytest.param(field, id=field.name) for field in fields.FIELDS if field.without]
)
def test_what_llama_server_cannot_do_is_refused_with_a_way_out(field: fields.Field) -> None:
    """The four functions honor it; here the message says so."""
    form = next(form for form in field.forms if form in ASKED)
    with pytest.raises(BadRequest) as caught:
        asked({**ASKED[form], field.name: sample_here(field)})

    assert field.without in caught.value.reason


def sample_here(field: fields.Field) -> Any:
    """Return a value that the four functions honor."""
    return next(value for value in (True, 3, "a", [1], ["a"], {"a": 1}) if field.takes.accepts(value))


def test_a_window_of_all_tokens_is_as_long_as_the_context() -> None:
    """llama-server has no word for "all", and takes no number below 0."""
    (call,) = calls_of(asked({"messages": [USER], "repeat_last_n": -1, "dry_penalty_last_n": 5, "top_k": -1}))

    assert call.body["repeat_last_n"] == 2048
    assert call.body["dry_penalty_last_n"] == 5
    assert call.body["top_k"] == -1


@pytest.mark.parametrize(
    ("given", "asked_for"),
    [pytest.param(None, 8), pytest.param(-1, -1), pytest.param(5, 5), pytest.param(32_000, 2048)],
)
def test_the_length_is_the_settings_or_as_many_as_fit(given: int | None, asked_for: int) -> None:
    """A field that is left out is the settings'; -1 is llama-server's own "as many as fit"."""
    body = {"prompt": "a"} if given is None else {"prompt": "a", "max_tokens": given}

    assert calls_of(asked(body))[0].body["n_predict"] == asked_for


def test_a_text_begins_with_its_first_token_once() -> None:
    """llama-server puts it there; a text that has it would have it twice."""
    assert calls_of(asked({"prompt": "<s>Good"}))[0].body["prompt"] == "Good"
    assert calls_of(asked({"prompt": ["<s>Good", 5]}))[0].body["prompt"] == ["Good", 5]
    assert calls_of(asked({"prompt": [5, "<s>"]}))[0].body["prompt"] == [5, "<s>"]


def test_a_suffix_is_set_by_the_models_own_tokens() -> None:
    """And refused where the model has none."""
    facts = ModelFacts("coder", 2048, fill_in=("<PRE>", "<SUF>", "<MID>"))

    assert calls_of(asked({"prompt": "a", "suffix": "b"}, facts))[0].body["prompt"] == "<PRE>a<SUF>b<MID>"
    with pytest.raises(BadRequest, match="fills nothing in"):
        calls_of(asked({"prompt": "a", "suffix": "b"}))


def test_a_tool_of_a_name_is_the_only_one_and_required() -> None:
    """llama-server takes no name; its schema keeps what a model reads and loses what no grammar holds."""
    pattern = {"type": "string", "pattern": "^a$", "description": "the a"}
    tools = [
        {"type": "function", "function": {"name": "a", "parameters": {"properties": {"x": pattern}}}},
        {"type": "function", "function": {"name": "b"}},
    ]
    choice = {"type": "function", "function": {"name": "a"}}
    (call,) = calls_of(asked({"messages": [USER], "tools": tools, "tool_choice": choice}))

    assert call.body["tool_choice"] == "required"
    assert [tool["function"]["name"] for tool in call.body["tools"]] == ["a"]
    shown = call.body["tools"][0]["function"]["parameters"]["properties"]["x"]
    assert shown == {"type": "string", "description": "the a"}


def test_who_asks_is_told_for_fairness() -> None:
    """OpenAI's newer name for it before the older one."""
    assert asked({"messages": [USER]}).caller is None
    assert asked({"messages": [USER], "user": "ann"}).caller == "ann"
    assert asked({"messages": [USER], "user": "ann", "safety_identifier": "bob"}).caller == "bob"


_JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-3, 300)
    | st.sampled_from([0.5, "", "a", "user", "assistant", "<s>"]),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["role", "content", "a"]), inner)
    ),
    max_leaves=6,
)
_MESSAGE = st.fixed_dictionaries(
    {"role": st.sampled_from(["user", "assistant", "system"]), "content": st.text(max_size=2)}
)
_SOURCES = st.one_of(
    st.builds(lambda one: {"messages": one}, st.lists(_MESSAGE, min_size=1, max_size=3)),
    st.builds(lambda one: {"prompt": one}, _JSON),
    st.builds(lambda one: {"inputs": one}, _JSON),
    st.builds(lambda one: {"input": one}, _JSON),
    st.builds(lambda one: {"query": "a", "documents": one}, _JSON),
)
_MODELS = st.sampled_from(
    [
        FACTS,
        ModelFacts("one", 64),
        ModelFacts("coder", 64, fill_in=("<a>", "<b>", "<c>")),
        ModelFacts("encoder", 64, embeds=True),
        ModelFacts("ranker", 64, reranks=True),
    ]
)


@given(_SOURCES, st.dictionaries(st.sampled_from(sorted(fields.BY_NAME)), _JSON, max_size=3), _MODELS)
def test_any_object_is_asked_or_refused(
    source: dict[str, Any], more: dict[str, Any], facts: ModelFacts
) -> None:
    """Nothing of a request can do anything but make calls that are JSON, or a refusal."""
    calls: tuple[UpstreamCall, ...] = ()
    status = 0
    try:
        calls = calls_of(asked({**more, **source}, facts))
    except BadRequest as error:
        status = error.status_code

    assert calls or 400 <= status < 500
    assert all(json.dumps(call.body, allow_nan=False) for call in calls)


# What is asked again ----------------------------------------------------------------------------------------

CHECKED = {"prompt": "a", "json_schema": {"type": "string", "pattern": "^b$"}, "temperature": 1, "seed": 5}


def test_an_answer_that_does_not_conform_is_generated_again_with_another_seed() -> None:
    """Three times in all; the tokens of all of them are counted."""
    translation = asked(CHECKED)
    steps = translation.steps()
    seeds = [call.body["seed"] for call in next(steps)]
    for said in ('"a"', "no JSON"):
        seeds += [call.body["seed"] for call in steps.send([UpstreamReply(200, text(said))])]
    with pytest.raises(StopIteration) as done:
        steps.send([UpstreamReply(200, text('"b"'))])

    assert seeds == [5, 6, 7]
    answer = json.loads(done.value.value.body)
    assert answer["choices"][0]["text"] == '"b"'
    assert answer["usage"]["completion_tokens"] == 6


def test_a_schema_that_no_answer_meets_is_an_error() -> None:
    """With what was wrong; where the likeliest token is taken, the same answer would only come again."""
    with pytest.raises(BadRequest) as caught:
        answered(asked(CHECKED), *[text('"a"')] * MOST_TRIES)
    assert (caught.value.status_code, caught.value.code) == (422, "schema_not_met")

    with pytest.raises(BadRequest, match="1 of 1"):
        answered(asked({**CHECKED, "temperature": 0}), text('"a"'))


@pytest.mark.parametrize("stop_type", ["limit", "word"])
def test_what_is_cut_is_not_checked(stop_type: str) -> None:
    """An answer that its length or a stop has ended is no whole one."""
    answer = answered(asked(CHECKED), text('"a', stop_type=stop_type))

    assert answer["choices"][0]["text"] == '"a'


def test_choices_have_seeds_of_their_own() -> None:
    """As the four functions number them; the highest seed is followed by the lowest."""
    calls = calls_of(asked({"prompt": ["a", "b"], "n": 2, "seed": MOST_SEED}))

    assert [call.body["seed"] for call in calls] == [MOST_SEED, MOST_TRIES - 1] * 2
    assert [call.body["prompt"] for call in calls] == ["a", "a", "b", "b"]


def test_the_likeliest_of_several_is_told() -> None:
    """By the mean of its tokens' log-probabilities; all count in what it took."""

    def place(logprob: float) -> dict[str, Any]:
        return {"id": 5, "token": "a", "bytes": [97], "logprob": logprob, "top_logprobs": []}

    said = [
        text("worse", completion_probabilities=[place(-1.0), place(-3.0)]),
        text("best", completion_probabilities=[place(-1.5)]),
        text("worst", completion_probabilities=[place(-2.5)]),
    ]
    answer = answered(asked({"prompt": "a", "best_of": 3}), *said)

    assert [choice["text"] for choice in answer["choices"]] == ["best"]
    assert answer["choices"][0]["logprobs"] is None
    assert answer["usage"]["completion_tokens"] == 6
    assert answer["usage"]["prompt_tokens"] == 3


@given(st.lists(st.integers(0, 3), max_size=5))
def test_what_runs_at_once_gets_its_own_replies(lengths: list[int]) -> None:
    """Each of several asks as often as it likes; none gets another's reply."""

    def asks(number: int, times: int) -> Any:
        heard = []
        for turn in range(times):
            replies = yield (UpstreamCall(f"{number}/{turn}"),) * (turn % 2 + 1)
            heard += [reply.document for reply in replies]
        return heard

    steps = at_once([asks(number, times) for number, times in enumerate(lengths)])
    got: Any = None
    try:
        calls = next(steps)
        while True:
            calls = steps.send([UpstreamReply(200, call.path) for call in calls])
    except StopIteration as done:
        got = done.value

    wanted = [
        [f"{number}/{turn}" for turn in range(times) for _ in range(turn % 2 + 1)]
        for number, times in enumerate(lengths)
    ]
    assert got == wanted


# What goes wrong --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "error", "code", "told"),
    [
        pytest.param(
            400,
            {"type": "exceed_context_size_error", "n_prompt_tokens": 9, "n_ctx": 8, "message": "x"},
            "context_length_exceeded",
            400,
            id="too long",
        ),
        pytest.param(
            400, {"type": "invalid_request_error", "message": "bad thing"}, "invalid_value", 400, id="bad"
        ),
        pytest.param(
            501, {"type": "not_supported_error", "message": "none"}, "unsupported_value", 400, id="cannot"
        ),
        pytest.param(
            503, {"type": "unavailable_error", "message": "loading"}, "unavailable", 503, id="loading"
        ),
        pytest.param(500, {"type": "server_error", "message": "broken"}, "server_error", 500, id="broken"),
        pytest.param(500, None, "server_error", 500, id="no error in it"),
    ],
)
def test_an_error_of_llama_server_is_told_as_ours(status: int, error: Any, code: str, told: int) -> None:
    """In OpenAI's form, with its own words where they say it."""
    with pytest.raises(BadRequest) as caught:
        answered(asked({"prompt": "a"}), UpstreamReply(status, {"error": error}))

    assert (caught.value.status_code, caught.value.code) == (told, code)
    if error and code != "context_length_exceeded":
        assert error["message"] in caught.value.reason
    assert (
        asked({"prompt": "a", "stream": True}).refusal(UpstreamReply(status, {"error": error})).code == code
    )


@pytest.mark.parametrize("form", [{"prompt": "a"}, {"messages": [USER]}, {"inputs": "a"}, {"input": [USER]}])
def test_an_error_in_mid_stream_is_an_event_and_the_end(form: dict[str, Any]) -> None:
    """In OpenAI's form; no text that came after it, and no [DONE] that would make it a success."""
    translation = asked({**form, "stream": True})
    event = text("Goo", stop=False) if form.keys() & {"prompt", "inputs"} else chunk("Goo")
    got = streamed(translation, [event, {"error": {"code": 500, "message": "broken"}}, event])

    last = got[-1]
    assert "broken" in (last["message"] if last.get("type") == "error" else last["error"]["message"])
    assert "[DONE]" not in got
    assert translation.over
    assert translation.figures["code"] == "server_error"


def chunk(content: str, index: int = 0, reason: str | None = None) -> dict[str, Any]:
    """Return llama-server's chunk of a chat."""
    return {"choices": [{"index": index, "delta": {"content": content}, "finish_reason": reason}]}


def test_a_stream_that_breaks_off_is_an_error_and_one_whose_time_is_over_is_not() -> None:
    """The first has no end; the second ends with what there is."""
    got = streamed(asked({"messages": [USER], "stream": True}), [chunk("Goo")])
    assert got[-1]["error"]["code"] == "server_error"

    translation = asked({"messages": [USER], "stream": True})
    got = streamed(translation, [chunk("Goo")], "timeout")
    assert said_in(got) == "Goo"
    assert got[-2]["choices"][0]["finish_reason"] == "timeout"
    assert got[-1] == "[DONE]"
    assert translation.figures["finish_reason"] == "timeout"


def test_a_required_call_that_does_not_come_is_an_error() -> None:
    """The template has no form for it; before, where that is known, and else when the answer ends."""
    tools = [{"type": "function", "function": {"name": "a"}}]
    body = {"messages": [USER], "tools": tools, "tool_choice": "required"}
    message = {"choices": [{"index": 0, "message": {"content": "no"}, "finish_reason": "stop"}]}

    with pytest.raises(BadRequest, match="no form for tool calls"):
        calls_of(asked(body, ModelFacts("demo", 2048, calls=False)))
    with pytest.raises(BadRequest, match="no form for tool calls"):
        answered(asked(body), message)
    got = streamed(asked({**body, "stream": True}), [chunk("no"), chunk("", reason="stop")])
    assert "no form for tool calls" in got[-1]["error"]["message"]
    cut = {"choices": [{"index": 0, "message": {"content": "no"}, "finish_reason": "length"}]}
    assert answered(asked(body), cut)["choices"][0]["finish_reason"] == "length"


# Streams ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "streams"),
    [
        pytest.param({"messages": [USER]}, True, id="chat"),
        pytest.param({"messages": [USER], "n": 2}, True, id="as many choices as slots"),
        pytest.param({"messages": [USER], "n": 3}, False, id="more choices than begin together"),
        pytest.param({"prompt": ["a", "b"]}, True, id="several texts"),
        pytest.param({"prompt": ["a", "b"], "n": 2}, False, id="several texts and choices"),
        pytest.param({"inputs": ["a"]}, False, id="a list"),
        pytest.param({"inputs": "a", "parameters": {"max_length": 9}}, False, id="the length of both"),
        pytest.param({"prompt": [1], "echo": True}, False, id="tokens told as a text"),
        pytest.param({"prompt": [1]}, True, id="tokens"),
        pytest.param({"messages": [USER], "json_schema": {"type": "integer", "minimum": 3}}, True, id="held"),
        pytest.param(
            {"messages": [USER], "json_schema": {"type": "number", "minimum": 3}}, False, id="checked"
        ),
        pytest.param({"messages": [USER], "return_tokens": True}, False, id="a chat's tokens"),
        pytest.param({"messages": [{"role": "assistant", "content": "a"}]}, False, id="going on"),
        pytest.param({"prompt": "a", "return_tokens": True}, True, id="a text's tokens"),
    ],
)
def test_what_can_be_told_as_it_comes_is(body: dict[str, Any], streams: bool) -> None:
    """The rest is told as events, too, once it is there."""
    facts = ModelFacts("demo", 2048, slots=4)
    assert asked({**body, "stream": True}, facts).streams is streams
    assert not asked(body).streams
    if body.get("n") == 2:
        assert not asked({**body, "stream": True}, ModelFacts("demo", 2048, slots=1)).streams


def test_each_choice_ends_once_and_the_last_tells_what_all_took() -> None:
    """In whatever order they end."""
    body = {"messages": [USER], "n": 2, "stream": True, "stream_options": {"include_usage": True}}
    took = {"cache_n": 1, "prompt_n": 2, "predicted_n": 1, "prompt_ms": 1.0, "predicted_ms": 1.0}
    end = {"choices": [], "timings": took}
    events = [chunk("a", 1), chunk("b"), chunk("", 1, "length"), end, chunk("c"), chunk("", 0, "stop"), end]
    got = streamed(asked(body), events)

    ends = [
        (choice["index"], choice["finish_reason"], "timings" in event)
        for event in got[:-1]
        for choice in event["choices"]
        if choice["finish_reason"]
    ]
    assert ends == [(1, "length", False), (0, "stop", True)]
    assert (said_in(got), said_in(got, index=1)) == ("bc", "a")
    assert got[-2]["usage"] == {
        "prompt_tokens": 3,
        "completion_tokens": 2,
        "total_tokens": 5,
        "prompt_tokens_details": {"cached_tokens": 1},
    }


def test_the_stream_of_inputs_is_read_by_both_of_its_clients() -> None:
    """Text-generation-inference's tokens with their numbers, the whole text at the end, and OpenAI's chunks."""
    stream, one = recorded("streamed inputs")
    got = streamed(stream, one["said"][0]["events"])

    assert [event["token"]["id"] for event in got[:-2]] == [300, 301, 302]
    assert all(isinstance(event["token"]["logprob"], float) for event in got[:-2])
    assert {event["generated_text"] for event in got[:-2]} == {None}
    assert got[-2]["generated_text"] == "".join(event["token"]["text"] for event in got[:-1]) == said_in(got)
    assert got[-2]["details"]["finish_reason"] == "length"
    assert got[-2]["details"]["generated_tokens"] == 3


def test_progress_and_timings_are_handed_on_where_they_are_wanted() -> None:
    """And otherwise are no events of ours."""
    progress = {"index": 0, "content": "", "tokens": [0], "prompt_progress": {"total": 9, "processed": 3}}
    said = [progress, text("a", stop=False), text("")]
    body = {"prompt": "a", "stream": True}
    got = streamed(asked({**body, "return_progress": True, "timings_per_token": True}), said)

    assert got[0]["prompt_progress"] == {"total": 9, "processed": 3}
    assert got[1]["timings"] == NATIVE["timings"]
    plain = streamed(asked({**body, "return_tokens": True}), said)
    assert "prompt_progress" not in plain[0]
    assert "timings" not in plain[0]
    assert plain[-2]["choices"][0]["tokens"] == []


def test_a_call_without_an_id_gets_one() -> None:
    """Some formats have none; clients match a tool's answer by it."""
    call = {"index": 0, "id": "", "function": {"name": "a", "arguments": "{}"}}
    event = {"choices": [{"index": 0, "delta": {"tool_calls": [call]}, "finish_reason": None}]}
    more = {"index": 0, "function": {"arguments": " "}}
    later = {"choices": [{"index": 0, "delta": {"tool_calls": [more]}, "finish_reason": None}]}
    tools = [{"type": "function", "function": {"name": "a"}}]
    got = streamed(
        asked({"messages": [USER], "tools": tools, "stream": True}),
        [event, later, chunk("", reason="tool_calls")],
    )
    ids = [
        call.get("id")
        for event in got[:-1]
        for choice in event["choices"]
        for call in choice["delta"].get("tool_calls", [])
    ]

    assert ids[0].startswith("call_0")
    assert ids[1] is None

    whole = {"content": None, "tool_calls": [{"function": {"name": "a", "arguments": "{}"}}]}
    document = {"choices": [{"index": 0, "message": whole, "finish_reason": "tool_calls"}]}
    answer = answered(asked({"messages": [USER], "tools": tools}), document)
    assert answer["choices"][0]["message"]["tool_calls"][0]["id"] == ids[0]


# The model --------------------------------------------------------------------------------------------------


def learned(infill: Any = None, **props: Any) -> ModelFacts:
    """Return what is learned of a model that says this of itself."""
    about = {
        "default_generation_settings": {"n_ctx": 512},
        "total_slots": 3,
        "bos_token": "<s>",
        "modalities": {"vision": True},
        "chat_template_caps": {"supports_tools": True, "supports_tool_calls": False},
        **props,
    }
    steps: Iterator[Any] = learn("demo")
    next(steps)
    said = [about, {"data": [{"meta": {"n_vocab": 9, "n_embd": 4}}]}, {"tokens": [{"id": 1, "piece": "<s>"}]}]
    steps.send([UpstreamReply(200, one) for one in said])  # type: ignore[attr-defined]
    filled = UpstreamReply(501, {"error": {}}) if infill is None else UpstreamReply(200, {"prompt": infill})
    with pytest.raises(StopIteration) as done:
        steps.send([filled])  # type: ignore[attr-defined]
    return done.value.value


def test_what_is_known_of_a_model_is_what_llama_server_says() -> None:
    """Its context, slots, vocabulary, first token, and what its projector and template let it do."""
    assert learned() == ModelFacts(
        "demo", 512, slots=3, calls=True, sees=True, vocabulary_size=9, bos="<s>", fill_in=None
    )
    assert learned(bos_token="<bos>").bos == ""
    assert not learned(chat_template_caps={"supports_tools": False}).calls


def test_what_a_filling_is_asked_with_is_read_off_a_prompt_that_llama_server_made() -> None:
    """Around two digits; the first token is put there by itself."""
    assert learned("<s><PRE> 0<SUF> 1<MID>").fill_in == ("<PRE>", "<SUF>", "<MID>")
    assert learned("something else").fill_in is None


def test_a_model_that_reads_is_asked_for_nothing_else() -> None:
    """And its width, where it is known, bounds an answer before anything is computed."""
    facts = ModelFacts("reader", 512, embeds=True, width=4)

    with pytest.raises(BadRequest, match="have 4 numbers"):
        calls_of(asked({"input": "a", "dimensions": 5}, facts))
    with pytest.raises(BadRequest, match="embeds texts"):
        asked({"messages": [USER]}, facts)
    with pytest.raises(BadRequest, match="ranks texts"):
        asked({"messages": [USER]}, ModelFacts("ranker", 512, reranks=True))
    assert calls_of(asked({"inputs": ["a", "b"]}, facts))[0].body["input"] == ["a", "b"]
