"""The shapes of answers, with a model that is only a script."""

from __future__ import annotations

import json
import threading
from dataclasses import replace
from typing import Any

import pytest

from inference.inference import Model, complete, output_fn, predict_fn
from sealift_answers import figures, timings_of
from sealift_chat import ChatError, Constraint
from sealift_engine import Ask, Choice, Generation, Limits
from sealift_request import BadRequest, Request
from sealift_settings import Settings
from sealift_template import Conversation, Rendered

BOS = 1
USER = {"role": "user", "content": "Hi."}
FOR_EVER = Limits(lambda: float("inf"))


class _Scripted:
    """A stand-in for the engine: an answer known beforehand, and what it was asked."""

    def __init__(self, **answer: Any) -> None:
        self.answer = {"text": " well said", "finish_reason": "stop", "completion_tokens": 2, **answer}
        self.asked: list[tuple[list[int], Ask]] = []
        self.limits: list[Limits] = []
        self.rendered: list[str] = []

    def generate(self, tokens: list[int], ask: Ask, limits: Limits) -> Generation:
        self.asked.append((tokens, ask))
        self.limits.append(limits)
        return Generation(prompt_tokens=len(tokens), **self.answer)

    def tokenize(self, text: str) -> list[int]:
        """One token per word."""
        self.rendered.append(text)
        return [BOS, *(BOS if word == "<s>" else 10 + n for n, word in enumerate(text.split()))]


class _Chat:
    """A chat template that writes roles and contents, and what else it was given."""

    def __init__(self, stops: tuple[str, ...] = ()) -> None:
        self.stops = stops

    def render(self, conversation: Conversation) -> Rendered:
        text = "".join(f"<{message['role']}> {message['content']}" for message in conversation.messages)
        given = "".join(f" {name}={value}" for name, value in conversation.variables.items())
        return Rendered(text + given, stops=self.stops)

    def grammar(self, schema: Any) -> str:
        return f"root ::= {schema}"


def _model(engine: _Scripted, settings: Settings | None = None, **changes: Any) -> Model:
    settings = settings or Settings()
    fields = {"name": "harbour", "context": settings.n_ctx, "chat": _Chat(), "bos": BOS, **changes}
    return Model(engine=engine, settings=settings, tokenize=engine.tokenize, **fields)


def _ask(
    engine: _Scripted, request: Request, settings: Settings | None = None, **changes: Any
) -> dict[str, Any]:
    model = _model(engine, settings, **changes)
    return complete(model, request, FOR_EVER, created=1234, identity="x", queued_s=0.25)


def test_prompt_gives_a_text_completion() -> None:
    """The answer to a prompt has OpenAI's fields, all of them, and llama-server's timings."""
    engine = _Scripted(cached_tokens=1, evaluated_tokens=3, prompt_s=0.5, predicted_s=0.1)

    answer = _ask(engine, Request("prompt", prompt="How are you"))

    assert answer == {
        "id": "cmpl-x",
        "object": "text_completion",
        "created": 1234,
        "model": "harbour",
        "choices": [{"index": 0, "text": " well said", "logprobs": None, "finish_reason": "stop"}],
        "usage": {
            "prompt_tokens": 4,
            "completion_tokens": 2,
            "total_tokens": 6,
            "prompt_tokens_details": {"cached_tokens": 1},
        },
        "timings": {
            "queue_ms": 250.0,
            "cache_n": 1,
            "prompt_n": 3,
            "prompt_ms": 500.0,
            "prompt_per_second": 6.0,
            "predicted_n": 2,
            "predicted_ms": 100.0,
            "predicted_per_second": 20.0,
        },
    }


def test_messages_give_a_chat_completion() -> None:
    """The answer to messages is a message, and the model's own template made the prompt."""
    engine = _Scripted()

    answer = _ask(engine, Request("messages", messages=(USER,)))

    assert answer["id"] == "chatcmpl-x"
    assert answer["object"] == "chat.completion"
    assert answer["choices"] == [
        {
            "index": 0,
            "message": {"role": "assistant", "content": " well said"},
            "logprobs": None,
            "finish_reason": "stop",
        }
    ]
    assert engine.rendered == ["<user> Hi."]


def test_settings_fill_what_a_request_leaves_open() -> None:
    """Defaults come from the settings, and what a request says wins, zero included."""
    settings = Settings(max_tokens=7, temperature=0.3, top_p=0.4)
    engine = _Scripted()

    _ask(engine, Request("prompt", prompt="a"), settings)
    _ask(
        engine,
        Request("prompt", prompt="a", temperature=0, max_tokens=9, top_p=1, seed=0, stop=("x",), grammar="g"),
        settings,
    )

    first, second = (ask for _, ask in engine.asked)
    assert (first.max_tokens, first.sampling.temperature, first.sampling.top_p) == (7, 0.3, 0.4)
    assert (first.stops, first.constraint, first.logprobs) == ((), None, None)
    assert (second.max_tokens, second.stops, second.constraint) == (9, ("x",), Constraint("g"))
    assert (second.sampling.temperature, second.sampling.top_p, second.sampling.seed) == (0.0, 1.0, 0)


def test_requests_without_a_seed_get_different_ones() -> None:
    """Sampling does not repeat itself from container to container."""
    engine = _Scripted()

    for _ in range(4):
        _ask(engine, Request("prompt", prompt="a"))

    assert len({ask.sampling.seed for _, ask in engine.asked}) > 1


def test_template_that_the_model_lacks_brings_its_own_stop() -> None:
    """What ends a message in the stand-in template ends the answer to one, and to nothing else."""
    engine = _Scripted()

    _ask(engine, Request("messages", messages=(USER,), stop=("x",)), chat=_Chat(stops=("<|im_end|>",)))
    _ask(engine, Request("prompt", prompt="a", stop=("x",)), chat=_Chat(stops=("<|im_end|>",)))

    assert [ask.stops for _, ask in engine.asked] == [("x", "<|im_end|>"), ("x",)]


def test_prompt_longer_than_the_context_is_told_both_numbers() -> None:
    """A prompt that leaves no room for an answer is a client's mistake, with the figures to mend it."""
    engine = _Scripted()

    with pytest.raises(BadRequest) as caught:
        _ask(engine, Request("inputs", prompt="w " * 99), Settings(n_ctx=100))

    error = json.loads(caught.value.message)["error"]
    assert caught.value.status_code == 400
    assert (error["code"], error["param"]) == ("context_length_exceeded", "inputs")
    assert "100 tokens" in error["message"]
    assert "holds 100" in error["message"]
    assert engine.asked == []


@pytest.mark.parametrize(
    ("words", "context", "expected"),
    [
        pytest.param(98, 100, 1, id="last-token"),
        pytest.param(59, 100, 40, id="what-is-left"),
        pytest.param(9, 2048, 150, id="plenty"),
    ],
)
def test_answer_is_bounded_by_the_context(words: int, context: int, expected: int) -> None:
    """Prompt and answer together never exceed what was requested."""
    engine = _Scripted()

    _ask(engine, Request("prompt", prompt="w " * words), context=context)

    assert engine.asked[0][1].max_tokens == expected


def test_token_that_begins_a_text_is_there_once() -> None:
    """A template that writes the token itself does not get a second one."""
    engine = _Scripted()

    _ask(engine, Request("prompt", prompt="<s> a"))

    assert engine.asked[0][0] == [BOS, 11]


def test_template_that_refuses_is_quoted() -> None:
    """Templates raise on conversations they do not know; the reason is theirs."""

    class _Strict(_Chat):
        def render(self, _conversation: Conversation) -> Rendered:
            raise ChatError("roles must alternate")

    with pytest.raises(BadRequest, match="refuses these messages: roles must alternate"):
        _ask(_Scripted(), Request("messages", messages=(USER, USER)), chat=_Strict())


CHOICES = [
    Choice(b"a\xc3", -0.25, ((b"a\xc3", -0.25), (b"b", -2.0))),
    Choice(b"\xa4", float("-inf"), ((b"\xa4", float("-inf")), (b"c", -3.0))),
]


def test_log_probabilities_of_a_text_have_the_completions_form() -> None:
    """Four lists of one length; offsets count characters from the prompt's beginning."""
    engine = _Scripted(choices=CHOICES)

    answer = _ask(engine, Request("prompt", prompt="Hi.", logprobs=2))

    assert engine.asked[0][1].logprobs == 2
    assert answer["choices"][0]["logprobs"] == {
        "tokens": ["a\N{REPLACEMENT CHARACTER}", "\N{REPLACEMENT CHARACTER}"],
        "token_logprobs": [-0.25, -9999.0],
        "top_logprobs": [
            {"a\N{REPLACEMENT CHARACTER}": -0.25, "b": -2.0},
            {"\N{REPLACEMENT CHARACTER}": -9999.0, "c": -3.0},
        ],
        "text_offset": [3, 5],
    }


def test_log_probabilities_of_a_chat_have_the_chats_form() -> None:
    """Bytes say what a token is when it is no whole character."""
    answer = _ask(_Scripted(choices=CHOICES[:1]), Request("messages", messages=(USER,), logprobs=2))

    assert answer["choices"][0]["logprobs"] == {
        "content": [
            {
                "token": "a\N{REPLACEMENT CHARACTER}",
                "logprob": -0.25,
                "bytes": [97, 195],
                "top_logprobs": [
                    {"token": "a\N{REPLACEMENT CHARACTER}", "logprob": -0.25, "bytes": [97, 195]},
                    {"token": "b", "logprob": -2.0, "bytes": [98]},
                ],
            }
        ],
        "refusal": None,
    }


def test_complete_json_without_a_token_that_ends_it_has_ended() -> None:
    """Where the grammar allows nothing more and the text is JSON, the answer is whole."""
    answer = _ask(
        _Scripted(text='{"a": 1}', finish_reason="dead_end"),
        Request("prompt", prompt="a", schema={"type": "object"}),
    )

    assert answer["choices"][0]["finish_reason"] == "stop"


def test_json_that_the_vocabulary_cannot_write_is_refused() -> None:
    """The client learns where it ended, and that another schema would help."""
    with pytest.raises(BadRequest, match=r"after '\{\"a\": '") as caught:
        _ask(
            _Scripted(text='{"a": ', finish_reason="dead_end"),
            Request("prompt", prompt="a", schema={"type": "object"}),
        )
    with pytest.raises(BadRequest, match="what grammar asks"):
        _ask(_Scripted(text="a", finish_reason="dead_end"), Request("prompt", prompt="a", grammar="g"))

    assert (caught.value.status_code, caught.value.code) == (400, "unsatisfiable_schema")


def test_one_generation_at_a_time() -> None:
    """While one caller generates, nobody else is inside the model."""
    inside = threading.Semaphore(1)
    overlaps: list[bool] = []

    class _Slow(_Scripted):
        def generate(self, tokens: list[int], ask: Ask, limits: Limits) -> Generation:
            free = inside.acquire(blocking=False)
            overlaps.append(not free)
            threading.Event().wait(0.01)
            if free:
                inside.release()
            return super().generate(tokens, ask, limits)

    model = _model(_Slow())
    threads = [
        threading.Thread(target=predict_fn, args=(Request("prompt", prompt="a"), model)) for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert overlaps == [False] * 4


class _Call:
    """A server's context."""

    def __init__(self, arrived: float, deadline: float = float("inf")) -> None:
        self.arrived = arrived
        self._deadline = deadline
        self.hung_up = False

    def deadline(self) -> float:
        return self._deadline

    def gone(self) -> bool:
        return self.hung_up


@pytest.mark.parametrize(
    ("arrived", "context", "reason"),
    [
        pytest.param(float("inf"), None, None, id="time-enough"),
        pytest.param(float("-inf"), None, "timeout", id="the-time-of-the-call-is-up"),
        pytest.param(float("inf"), _Call(float("-inf")), "timeout", id="the-server-knows-when-it-arrived"),
        pytest.param(0, _Call(float("inf"), float("-inf")), "timeout", id="the-server-has-less-time"),
        pytest.param(0, _Call(float("inf")), None, id="the-server-has-time"),
    ],
)
def test_answer_has_the_time_of_its_call(arrived: float, context: Any, reason: str | None) -> None:
    """The clock starts when the request arrives; a server may know better, and may have less."""
    engine = _Scripted()

    predict_fn(Request("prompt", prompt="a", arrived=arrived), _model(engine), context)

    assert engine.limits[0].reason() == reason


def test_client_that_has_gone_is_asked_for_while_generating() -> None:
    """The limits see it when it happens."""
    engine, call = _Scripted(), _Call(float("inf"))
    predict_fn(Request("prompt", prompt="a"), _model(engine), call)

    call.hung_up = True

    assert engine.limits[0].reason() == "cancelled"


def test_every_request_is_one_line_of_the_log_without_its_text() -> None:
    """What it took and how it ended; a refusal has its code."""
    lines: list[tuple[str, dict[str, Any]]] = []
    model = _model(_Scripted(text="secret"), log=lambda event, **details: lines.append((event, details)))

    predict_fn(Request("prompt", prompt="secret harbour"), model)
    with pytest.raises(BadRequest):
        predict_fn(Request("prompt", prompt="secret " * 3000), model)

    (answered, figures), (refused, reason) = lines
    assert (answered, refused) == ("answered", "refused")
    assert (figures["finish_reason"], figures["predicted_n"]) == ("stop", 2)
    assert reason["code"] == "context_length_exceeded"
    assert "secret" not in json.dumps(lines)


class _Toolkit(_Call):
    """The toolkit's context: it has the request's headers, by the letters that came."""

    def __init__(self, **headers: str) -> None:
        super().__init__(float("inf"))
        self.headers = {name.replace("_", "-"): value for name, value in headers.items()}

    def get_all_request_header(self, idx: int) -> dict[str, str]:
        assert idx == 0
        return self.headers

    def set_response_status(self, code: int = 200, phrase: str = "", idx: int = 0) -> None:
        """Take what a refusal sets."""


def test_a_line_says_whose_request_it_was_and_where(monkeypatch: pytest.MonkeyPatch) -> None:
    """In the prebuilt image: the endpoint by its environment, the trace by what the caller sent along."""
    monkeypatch.setenv("SEALIFT_ENDPOINT", "harbour-1")
    monkeypatch.setenv("SEALIFT_VARIANT", "AllTraffic")
    lines: list[dict[str, Any]] = []
    model = _model(_Scripted(), log=lambda event, **details: lines.append({"event": event, **details}))
    trace = "4bf92f3577b34da6a3ce929d0e0e4736"
    context = _Toolkit(X_Amzn_SageMaker_Custom_Attributes=f"00-{trace}-00f067aa0ba902b7-01")

    predict_fn(Request("prompt", prompt="a"), model, context)

    (line,) = lines
    place = (line["endpoint"], line["variant"], line["trace_id"])
    assert (line["event"], line["status"], *place) == ("answered", 200, "harbour-1", "AllTraffic", trace)


@pytest.mark.parametrize(
    ("data", "told"),
    [
        pytest.param(BadRequest(413, "too long", code="too_long"), ("refused", 413, "too_long"), id="wrong"),
        pytest.param(Request("input", texts=("a", "b")), ("refused", 400, "wrong_task"), id="unsuited"),
    ],
)
def test_a_request_that_is_refused_has_its_line_too(data: Any, told: tuple[str, int, str]) -> None:
    """Also where no model was asked."""
    lines: list[dict[str, Any]] = []
    model = _model(_Scripted(), log=lambda event, **details: lines.append({"event": event, **details}))

    predict_fn(data, model, _Toolkit())

    assert [(line["event"], line["status"], line["code"]) for line in lines] == [told]


def test_a_failure_has_its_line_and_is_raised() -> None:
    """The toolkit makes the answer of it."""
    lines: list[dict[str, Any]] = []
    model = _model(_Scripted(), log=lambda event, **details: lines.append({"event": event, **details}))
    model = replace(model, tokenize=None)  # type: ignore[arg-type]

    with pytest.raises(TypeError):
        predict_fn(Request("prompt", prompt="a"), model)

    assert [(line["event"], line["status"]) for line in lines] == [("failed", 500)]


def test_a_server_with_a_line_of_its_own_gets_what_is_to_be_said() -> None:
    """One line for a request, not two."""
    lines: list[str] = []
    noted: list[tuple[str, dict[str, Any]]] = []
    model = _model(_Scripted(), log=lambda event, **_: lines.append(event))
    call: Any = _Call(float("inf"))
    call.note = lambda event, **details: noted.append((event, details))

    predict_fn(Request("prompt", prompt="a"), model, call)

    ((event, details),) = noted
    assert (event, details["predicted_n"], lines) == ("answered", 2, [])


def test_the_first_token_is_timed_from_the_arrival() -> None:
    """With the queue, and with what was done since the turn came; of several answers the first one's counts."""
    found = [Generation(first_token_at=12.5), Generation(first_token_at=20.0)]

    assert timings_of(found, 3.0, 12.0)["ttft_ms"] == 3500.0
    assert timings_of(found[1:], 0.0, 12.0)["ttft_ms"] == 8000.0
    assert "ttft_ms" not in timings_of([Generation()], 3.0, 12.0)


def test_a_list_of_answers_is_one_line() -> None:
    """Tokens add up; the time to the first token is the first one's, also where another has none."""
    first = {
        "queue_ms": 1.0,
        "ttft_ms": 5.0,
        "prompt_n": 1,
        "prompt_ms": 2.0,
        "predicted_n": 1,
        "predicted_ms": 0.0,
    }
    second = {**first, "ttft_ms": 9.0, "prompt_n": 4}
    third = {name: value for name, value in first.items() if name != "ttft_ms"}

    told = figures([{"id": "a", "status": "completed", "timings": one} for one in (first, second, third)])

    assert (told["ttft_ms"], told["queue_ms"], told["prompt_n"]) == (5.0, 1.0, 6)


def test_output_is_json_whatever_is_accepted() -> None:
    """The body is readable JSON, and says of itself that it is."""
    for accept in (None, "*/*", "text/csv", "application/json"):
        body, content_type = output_fn({"text": "Grüße"}, accept)

        assert content_type == "application/json"
        assert body == '{"text": "Grüße"}'


class _Series(_Scripted):
    """An engine that says something else each time."""

    def __init__(self, *texts: str, logprobs: tuple[float, ...] = (), **answer: Any) -> None:
        super().__init__(**answer)
        self.texts, self.logprobs = list(texts), list(logprobs)

    def generate(self, tokens: list[int], ask: Ask, limits: Limits) -> Generation:
        self.answer["text"] = self.texts[len(self.asked) % len(self.texts)]
        if self.logprobs and ask.logprobs is not None:
            self.answer["choices"] = [
                Choice(b"x", self.logprobs[len(self.asked) % len(self.logprobs)], token=7)
            ]
        return super().generate(tokens, ask, limits)


def test_several_choices_have_seeds_of_their_own() -> None:
    """Prompt after prompt, each as often as requested; the prompt's tokens count once, the answers' all."""
    engine = _Series("a", "b", "c", "d")

    answer = _ask(engine, Request("prompt", batch=("x y", "z"), choices=2, best_of=2, seed=5))

    assert [(choice["index"], choice["text"]) for choice in answer["choices"]] == list(enumerate("abcd"))
    assert len({ask.sampling.seed for _, ask in engine.asked[:2]}) == 2
    assert engine.asked[0][1].sampling.seed == engine.asked[2][1].sampling.seed == 5
    assert answer["usage"]["prompt_tokens"] == 3 + 2
    assert answer["usage"]["completion_tokens"] == 8
    assert answer["timings"]["predicted_n"] == 8


def test_the_likeliest_of_several_is_told() -> None:
    """By the mean of its tokens' log-probabilities, which nobody requested to see."""
    engine = _Series("bad", "good", "worse", logprobs=(-2.0, -0.5, -3.0))

    answer = _ask(engine, Request("prompt", prompt="a", choices=2, best_of=3))

    assert [choice["text"] for choice in answer["choices"]] == ["good", "bad"]
    assert [choice["logprobs"] for choice in answer["choices"]] == [None, None]
    assert answer["usage"]["completion_tokens"] == 6


def test_inputs_have_what_their_clients_read() -> None:
    """litellm, LangChain's handlers and Hugging Face's predictor read `generated_text`; a list gets a list."""
    one = _ask(_Scripted(text="t"), Request("inputs", prompt="a b", echo=True))
    many = _ask(_Series("t", "u"), Request("inputs", batch=("a", "b"), listed=True))
    dialogs = _ask(_Scripted(text="t"), Request("inputs", batch=((USER,),), listed=True))
    older = _ask(_Scripted(text="t"), Request("inputs", prompt="a", jumpstart=True))

    assert (one["generated_text"], one["choices"][0]["text"]) == ("a bt", "a bt")
    assert [answer["generated_text"] for answer in many] == ["t", "u"]
    assert many[0]["id"] != many[1]["id"]
    assert many[0]["generation"] == "t"
    assert "generation" not in one
    assert dialogs[0]["generation"] == {"role": "assistant", "content": "t"}
    assert older["generated_texts"] == ["t"]
    assert "generated_text" not in _ask(_Scripted(), Request("prompt", prompt="a"))


@pytest.mark.parametrize(
    ("finish_reason", "stopped", "expected"),
    [("stop", False, "eos_token"), ("stop", True, "stop_sequence"), ("length", False, "length")],
)
def test_details_are_those_of_text_generation_inference(
    finish_reason: str, stopped: bool, expected: str
) -> None:
    """Why it ended in its words, and each token with its number."""
    engine = _Series("t", logprobs=(-0.5,), finish_reason=finish_reason, stopped=stopped)

    details = _ask(engine, Request("inputs", prompt="a", details=True, seed=3))["details"]

    assert (details["finish_reason"], details["generated_tokens"], details["seed"]) == (expected, 2, 3)
    assert details["tokens"] == [{"id": 7, "text": "x", "logprob": -0.5, "special": False}]


def test_as_many_tokens_as_fit() -> None:
    """-1, and more than there is room for."""
    engine = _Scripted()

    _ask(engine, Request("prompt", prompt="a b", max_tokens=-1), context=50)
    _ask(engine, Request("prompt", prompt="a b", max_tokens=10**9), context=50)

    assert [ask.max_tokens for _, ask in engine.asked] == [47, 47]


@pytest.mark.parametrize(
    ("asked", "tokens"),
    [({"max_length": 10}, 7), ({"max_length": 2}, 1), ({"max_length": 10, "max_tokens": 2}, 2), ({}, 40)],
)
def test_length_may_count_the_prompt(asked: dict[str, int], tokens: int) -> None:
    """As JumpStart's older models have it; a number of tokens of the answer's own wins."""
    engine = _Scripted()

    _ask(engine, Request("inputs", prompt="a b", **asked), Settings(max_tokens=40))

    assert engine.asked[0][1].max_tokens == tokens


def test_tokens_are_taken_as_they_are() -> None:
    """Nothing is put before them; a text among them begins none, and what the vocabulary lacks is told."""
    engine = _Scripted()

    _ask(engine, Request("prompt", batch=((5, "x y", 6),)), vocabulary_size=20)
    with pytest.raises(BadRequest, match="the token 20, and the model's are 0 to 19"):
        _ask(engine, Request("prompt", batch=((20,),)), vocabulary_size=20)

    assert engine.asked[0][0] == [5, 10, 11, 6]


def test_biases_are_those_of_tokens() -> None:
    """A text's is for each of its tokens; what is no token changes nothing."""
    engine = _Scripted()

    _ask(
        engine,
        Request("prompt", prompt="a", logit_bias=((5, 1.0), ("x y", 2.0), (99, 3.0)), sampling={"top_k": 3}),
        vocabulary_size=20,
    )

    sampling = engine.asked[0][1].sampling
    assert (sampling.logit_bias, sampling.top_k) == (((5, 1.0), (10, 2.0), (11, 2.0)), 3)


def test_text_is_filled_in_by_a_model_that_can() -> None:
    """Its three tokens around both texts, after the one that begins a text."""
    engine = _Scripted()

    _ask(engine, Request("prompt", prompt="x", suffix="y"), fill_in=(91, 92, 93))
    with pytest.raises(BadRequest, match="fills nothing in"):
        _ask(engine, Request("prompt", prompt="x", suffix="y"))

    assert engine.asked[0][0] == [BOS, 91, 10, 92, 10, 93]


NOT_NEGATIVE = {"type": "integer", "minimum": 0}


def test_answer_that_does_not_conform_is_generated_again() -> None:
    """With another seed, a few times; then the reason is told, and no wrong answer."""
    second = _Series("-1", "4")
    never = _Series("-1")

    answer = _ask(second, Request("prompt", prompt="a", schema=NOT_NEGATIVE, grammar="g", seed=3))
    with pytest.raises(BadRequest, match="the answer is -1; minimum is 0") as caught:
        _ask(never, Request("prompt", prompt="a", schema=NOT_NEGATIVE, grammar="g"))
    with pytest.raises(BadRequest):
        _ask(
            cold := _Series("-1"),
            Request("prompt", prompt="a", schema=NOT_NEGATIVE, grammar="g", temperature=0),
        )

    assert answer["choices"][0]["text"] == "4"
    assert [ask.sampling.seed for _, ask in second.asked] == [3, 4]
    assert answer["usage"]["completion_tokens"] == 4
    assert (caught.value.status_code, caught.value.code) == (422, "schema_not_met")
    assert (len(never.asked), len(cold.asked)) == (3, 1)


def test_answer_that_was_cut_is_not_checked() -> None:
    """Its finish_reason says that it is not whole."""
    for changes in ({"finish_reason": "length"}, {"stopped": True}):
        answer = _ask(
            _Scripted(text="[1,", **changes), Request("prompt", prompt="a", schema=NOT_NEGATIVE, grammar="g")
        )

        assert answer["choices"][0]["text"] == "[1,"


class _Caller(_Chat):
    """A chat layer that reads calls of tools."""

    def render(self, conversation: Conversation) -> Rendered:
        self.given = conversation
        call = {"id": "1", "type": "function", "function": {"name": "w", "arguments": "{}"}}

        def message(text: str) -> dict[str, Any]:
            return {"content": None, "reasoning_content": text, "tool_calls": [call]}

        return Rendered("p", Constraint("of the calls"), preserved=("<call>",), message=message)


TOOL = {"type": "function", "function": {"name": "w"}}


def test_calls_of_tools_are_told_in_both_forms() -> None:
    """As OpenAI's `tool_calls` and as its older `function_call`; the chat layer's grammar holds."""
    engine, chat = _Scripted(), _Caller()
    request = Request(
        "messages",
        messages=(USER,),
        tools=(TOOL,),
        tool_choice="=w",
        template={"a": 1},
        reasoning_format="none",
    )

    choice = _ask(engine, request, chat=chat, special=lambda texts: frozenset({len(texts[0]) + 1}))[
        "choices"
    ][0]
    older = _ask(engine, Request(**{**vars(request), "legacy_functions": True}), chat=chat)["choices"][0]

    assert (choice["finish_reason"], older["finish_reason"]) == ("tool_calls", "function_call")
    assert choice["message"]["tool_calls"][0]["function"]["name"] == "w"
    assert older["message"]["function_call"] == {"name": "w", "arguments": "{}"}
    assert "tool_calls" not in older["message"]
    assert engine.asked[0][1].constraint == Constraint("of the calls")
    assert engine.asked[0][1].preserved == {7}
    assert (chat.given.tools, chat.given.tool_choice, chat.given.variables) == ((TOOL,), "=w", {"a": 1})
    assert chat.given.reasoning_format == "none"


def test_call_that_its_grammar_lets_end_is_whole() -> None:
    """Of a vocabulary without a token that ends an answer."""
    request = Request("messages", messages=(USER,), tools=(TOOL,), tool_choice="required")

    choice = _ask(_Scripted(finish_reason="dead_end", text="{}"), request, chat=_Caller())["choices"][0]

    assert choice["finish_reason"] == "tool_calls"


def _streamed(request: Request, engine: _Scripted, **changes: Any) -> list[Any]:
    body, content_type = output_fn(predict_fn(request, _model(engine, **changes)), "*/*")
    lines = [line.removeprefix("data: ") for line in body.split("\n") if line.startswith("data: ")]

    assert content_type == "text/event-stream"
    assert body.endswith("data: [DONE]\n\n")
    assert lines.pop() == "[DONE]"
    return [json.loads(line) for line in lines]


def test_stream_of_a_chat_is_whole() -> None:
    """The role, the text, the end, and what it took where that was requested."""
    request = Request("messages", messages=(USER,), stream=True, usage_in_stream=True, choices=2, best_of=2)

    events = _streamed(request, _Series("a\nb", "c"))

    assert {event["object"] for event in events} == {"chat.completion.chunk"}
    assert [event["choices"][0]["index"] for event in events[:-1]] == [0, 0, 0, 1, 1, 1]
    assert [event["choices"][0]["delta"] for event in events[:3]] == [
        {"role": "assistant", "content": None},
        {"content": "a\nb"},
        {},
    ]
    assert [event["choices"][0]["finish_reason"] for event in events[:3]] == [None, None, "stop"]
    assert events[-1]["choices"] == []
    assert events[-1]["usage"]["completion_tokens"] == 4
    assert all(event["usage"] is None for event in events[:-1])


def test_stream_of_a_text_and_of_inputs() -> None:
    """OpenAI's chunks; beside them what clients of text-generation-inference read."""
    text = _streamed(Request("prompt", prompt="a", stream=True), _Scripted(text="t"))
    inputs = _streamed(Request("inputs", prompt="a", stream=True), _Scripted(text="t"))

    assert "".join(event["choices"][0]["text"] for event in text) == "t"
    assert text[-1]["choices"][0]["finish_reason"] == "stop"
    assert "usage" not in text[0]
    assert "".join(event["token"]["text"] for event in inputs) == "t"
    assert [event["generated_text"] for event in inputs] == [None, "t"]


def test_stream_of_calls_has_their_index() -> None:
    """Clients put the parts of each call together by it."""
    request = Request("messages", messages=(USER,), tools=(TOOL,), stream=True)

    deltas = [event["choices"][0]["delta"] for event in _streamed(request, _Scripted(), chat=_Caller())]

    assert [delta["tool_calls"][0]["index"] for delta in deltas if "tool_calls" in delta] == [0]
    assert [delta for delta in deltas if "reasoning_content" in delta]


RESPONSE = Request("input", messages=(USER,))


def test_a_response_is_a_chats_answer_in_other_words() -> None:
    """Its text, its calls, its usage; what was cut is incomplete."""
    answer = _ask(_Scripted(text="t"), RESPONSE)
    cut = _ask(_Scripted(finish_reason="length"), RESPONSE)
    calls = _ask(_Scripted(), Request(**{**vars(RESPONSE), "tools": (TOOL,)}), chat=_Caller())

    assert (answer["object"], answer["status"], answer["id"]) == ("response", "completed", "resp_x")
    assert answer["output"][0]["content"] == [{"type": "output_text", "text": "t", "annotations": []}]
    assert answer["usage"]["output_tokens"] == 2
    assert (cut["status"], cut["incomplete_details"]) == ("incomplete", {"reason": "max_output_tokens"})
    assert [item["type"] for item in calls["output"]] == ["reasoning", "function_call"]


def test_stream_of_a_response_has_its_events_in_order() -> None:
    """From created to completed, numbered, with the whole text in a delta."""
    events = _streamed(Request(**{**vars(RESPONSE), "stream": True}), _Scripted(text="t"))

    assert [event["type"].removeprefix("response.") for event in events] == [
        "created",
        "in_progress",
        "output_item.added",
        "content_part.added",
        "output_text.delta",
        "output_text.done",
        "content_part.done",
        "output_item.done",
        "completed",
    ]
    assert [event["sequence_number"] for event in events] == list(range(9))
    assert events[-1]["response"]["output"][0]["content"][0]["text"] == "t"


def test_input_alone_means_what_the_model_does() -> None:
    """A model that generates answers it as a response."""
    answer = predict_fn(Request("input", texts=("Hi.",)), _model(_Scripted(text="t")))

    assert (answer["object"], answer["output"][0]["content"][0]["text"]) == ("response", "t")


@pytest.mark.parametrize("guesses", [(0, 0), (9, 4)])
def test_a_drafts_guesses_are_told_where_there_are_any(guesses: tuple[int, int]) -> None:
    """By llama-server's names, of several answers together; without a draft model nothing is said."""
    timings = timings_of(
        [Generation(completion_tokens=3), Generation(guessed_tokens=guesses[0], guesses_held=guesses[1])], 0.0
    )

    told = {name: value for name, value in timings.items() if name.startswith("draft")}
    assert told == ({"draft_n": 9, "draft_n_accepted": 4} if guesses[0] else {})
