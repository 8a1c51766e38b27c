"""The smoke test of an endpoint that streams: the bytes are AWS's framing, read by the SDK's own reader."""

from __future__ import annotations

import io
import json
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
from botocore.eventstream import EventStream
from botocore.exceptions import ClientError
from botocore.parsers import EventStreamJSONParser
from urllib3.exceptions import ReadTimeoutError

from local_cloud.calls import service_model
from local_cloud.hosting.platform import event_stream
from local_cloud.hosting.platform.refusals import AwsError
from pipeline import limits
from pipeline.aws import service_errors
from pipeline.client import smoke_test
from pipeline.errors import ServiceUnavailable, SmokeTestFailed
from pipeline.rollout.answer_speed import AnswerSpeed
from pipeline.state_data.plan_types import PlannedSmokeTest
from pipeline.state_data.request_types import Expectation
from tasks import smoke_test as task

if TYPE_CHECKING:
    from collections.abc import Iterator

STREAM = "InvokeEndpointWithResponseStream"


def a_test(
    *prompts: str, timeout_s: int = 60, max_tokens: int = 48, streams: bool = True
) -> PlannedSmokeTest:
    """Return a plan's smoke test."""
    return PlannedSmokeTest(
        prompts=prompts or ("What?",),
        ask_with="messages",
        expect=Expectation(min_completion_tokens=1),
        max_tokens=max_tokens,
        timeout_s=timeout_s,
        streams=streams,
    )


class Clock:
    """Time that passes when it is told to."""

    def __init__(self) -> None:
        self.at = 100.0

    def __call__(self) -> float:
        """Return what it is."""
        return self.at

    def passes(self, seconds: float) -> bytes:
        """Let it pass, in which nothing comes."""
        self.at += seconds
        return b""


def event(content: str = "", **more: Any) -> bytes:
    """Return an event of an answer."""
    choices = [{"index": 0, "delta": {"content": content}}] if content else []
    return f"data: {json.dumps({'choices': choices, **more})}\n\n".encode()


END = event(usage={"completion_tokens": 3}, timings={"predicted_per_second": 12.34567}) + b"data: [DONE]\n\n"
SAID = (1.0, event("Heavy"), 0.5, event(" cargo."), 0.5, END)
"""An answer: what passes in seconds, and what comes then."""


class Runtime:
    """Answers one call after the other, by a tuple as `SAID` is, whole or as a stream; an error is a refusal."""

    def __init__(self, clock: Clock, *said: Any, for_ever: bool = False) -> None:
        self._clock = clock
        self._said = list(said)
        self._for_ever = for_ever
        self.asked: list[tuple[str, dict[str, Any]]] = []
        self.closed = 0

    def invoke_endpoint(self, **request: Any) -> dict[str, Any]:
        """Answer whole."""
        said = self._next("whole", request)
        body = b"".join(self._clock.passes(one) if isinstance(one, float) else one for one in said)
        return {"Body": io.BytesIO(body)}

    def invoke_endpoint_with_response_stream(self, **request: Any) -> dict[str, Any]:
        """Answer as a stream."""
        said = self._next("stream", request)
        raw: Any = SimpleNamespace(stream=lambda: self._framed(said), close=self._close)
        shape: Any = service_model("sagemaker-runtime").operation_model(STREAM).output_shape
        return {"Body": EventStream(raw, shape.members["Body"], EventStreamJSONParser(), STREAM)}

    def _next(self, how: str, request: dict[str, Any]) -> Any:
        self.asked.append((how, json.loads(request["Body"])))
        said = self._said[0] if self._for_ever else self._said.pop(0)
        if isinstance(said, ClientError):
            raise said
        return said

    def _framed(self, said: tuple[Any, ...]) -> Iterator[bytes]:
        for one in said:
            if isinstance(one, float):
                self._clock.passes(one)
            elif isinstance(one, AwsError):
                yield event_stream.failure(one)
            elif isinstance(one, Exception):
                raise one
            else:
                yield from event_stream.parts(one)

    def _close(self) -> None:
        self.closed += 1


@pytest.fixture
def clock() -> Clock:
    """Return a time of the test's own."""
    return Clock()


def asked(runtime: Runtime, clock: Clock, test: PlannedSmokeTest) -> smoke_test.SmokeTested:
    """Run the smoke test, AWS's errors translated as around every task."""
    clients: Any = SimpleNamespace(sagemaker_runtime=runtime)
    with service_errors.translated():
        return smoke_test.ask(clients, "harbour-0", test, now=clock)


def test_an_answer_that_streams_tells_its_first_token(clock: Clock) -> None:
    """By the caller's clock; its tokens and their rate by the server's, from the last event."""
    runtime = Runtime(clock, SAID, (0.25, *SAID[1:]))

    tested = asked(runtime, clock, a_test())

    (line,) = tested["transcript"]
    assert (line["answer"], line["completion_tokens"]) == ("Heavy cargo.", 3)
    assert (line["first_token_s"], line["seconds"]) == (1.0, 2.0)
    assert line["bytes_out"] == sum(len(one) for one in SAID if isinstance(one, bytes))
    assert tested["speed"] == AnswerSpeed(1.25, 0.25, 3, 12.346)
    assert runtime.closed == 2


def test_the_speed_is_that_of_another_question(clock: Clock) -> None:
    """The last prompt in other words: a first answer may pay for a start, and what a server was asked it knows."""
    runtime = Runtime(clock, SAID, for_ever=True)

    asked(runtime, clock, a_test("What?", "And?"))

    assert [
        (how, body["messages"][0]["content"], body["max_tokens"], body["stream"])
        for how, body in runtime.asked
    ] == [
        ("stream", "What?", 48, True),
        ("stream", "And?", 48, True),
        ("stream", "Once more: And?", smoke_test.MEASURED_TOKENS, True),
    ]
    assert runtime.asked[0][1]["stream_options"] == {"include_usage": True}
    assert json.dumps(runtime.asked[0][1]).count("What?") == 1


def test_what_a_model_thinks_is_its_first_token(clock: Clock) -> None:
    """A reasoning model begins with that, and a caller who streams sees it."""
    thought = json.dumps({"choices": [{"index": 0, "delta": {"reasoning_content": "Hm."}}]})
    runtime = Runtime(clock, (0.5, f"data: {thought}\n\n".encode(), *SAID), for_ever=True)

    (line,) = asked(runtime, clock, a_test())["transcript"]

    assert (line["answer"], line["first_token_s"]) == ("Heavy cargo.", 0.5)


WHOLE = json.dumps(
    {"choices": [{"message": {"content": "Heavy cargo."}}], "usage": {"completion_tokens": 4}}
).encode()


def test_an_answer_that_comes_whole_on_a_stream_counts(clock: Clock) -> None:
    """An image of the user's own may take no notice of `stream`; then nobody saw a first token."""
    runtime = Runtime(clock, (2.0, WHOLE[:20], 2.0, WHOLE[20:]), for_ever=True)

    tested = asked(runtime, clock, a_test())

    (line,) = tested["transcript"]
    assert (line["answer"], line["first_token_s"], line["seconds"]) == ("Heavy cargo.", None, 4.0)
    assert tested["speed"] == AnswerSpeed(4.0, None, 4, 1.0)


def refusal(code: str, **response: Any) -> ClientError:
    """Return what the SDK raises of a call that was refused."""
    told: Any = {"Error": {"Code": code, "Message": "because"}, **response}
    return ClientError(told, STREAM)


@pytest.mark.parametrize("status", [400, 422, 499])
def test_who_calls_a_stream_wrong_is_asked_whole(clock: Clock, status: int) -> None:
    """With the request that it was asked before there were streams."""
    no = refusal("ModelError", OriginalStatusCode=status, OriginalMessage="stream: unknown field")
    runtime = Runtime(clock, no, (WHOLE,), no, (WHOLE,))

    tested = asked(runtime, clock, a_test())

    assert [how for how, _ in runtime.asked] == ["stream", "whole"] * 2
    assert "stream" not in runtime.asked[1][1]
    assert tested["transcript"][0]["answer"] == "Heavy cargo."


@pytest.mark.parametrize("status", [399, 500, 503])
def test_one_that_fails_is_not(clock: Clock, status: int) -> None:
    """It would fail whole as well, and take its time."""
    no = refusal("ModelError", OriginalStatusCode=status, OriginalMessage="no model")

    with pytest.raises(SmokeTestFailed, match=rf"answered 'What\?' with status {status}: no model; because"):
        asked(Runtime(clock, no), clock, a_test())


@pytest.mark.parametrize(
    ("said", "error", "told"),
    [
        pytest.param(
            (event("Heavy"), AwsError("ModelStreamError", "timed out", 424, {"ErrorCode": "StreamBroken"})),
            SmokeTestFailed,
            r"answered 'What\?' and broke off in its middle: timed out",
            id="the container",
        ),
        pytest.param(
            (event("Heavy"), AwsError("InternalStreamFailure", "unknown")),
            ServiceUnavailable,
            "InternalStreamFailure: unknown",
            id="SageMaker",
        ),
        pytest.param(
            (event("Heavy"), ReadTimeoutError(None, "", "Read timed out.")),  # type: ignore[arg-type]
            ServiceUnavailable,
            "no answer from AWS that is whole",
            id="the connection",
        ),
        pytest.param(
            (event("Heavy"), b'data: {"error": {"message": "no memory"}}\n\n'),
            SmokeTestFailed,
            "answered 'What.' with an error: .*no memory",
            id="the model",
        ),
        pytest.param((b'{"error": {"message": "no"}}',), SmokeTestFailed, "is no OpenAI-style", id="at once"),
        pytest.param((b"data: pong\n\n",), SmokeTestFailed, "is no event of an answer", id="no JSON"),
        pytest.param((b"data: [DONE]\n\n",), SmokeTestFailed, "0 completion tokens", id="nothing"),
        pytest.param((), SmokeTestFailed, "0 completion tokens", id="not even an end"),
    ],
)
def test_what_goes_wrong_in_a_stream_is_what_it_is_in_a_whole_answer(
    clock: Clock, said: tuple[Any, ...], error: type[Exception], told: str
) -> None:
    """A failure of the container's is one; what is AWS's own is tried again by the state machine."""
    runtime = Runtime(clock, said)

    with pytest.raises(error, match=told):
        asked(runtime, clock, a_test())

    assert runtime.closed == 1


def test_a_measurement_that_breaks_off_is_no_failure(clock: Clock) -> None:
    """All answers were as expected by then."""
    runtime = Runtime(clock, SAID, (event("Heavy"), AwsError("ModelStreamError", "broken")))

    tested = asked(runtime, clock, a_test())

    assert (len(tested["transcript"]), tested["speed"]) == (1, None)


@pytest.mark.parametrize(
    ("timeout_s", "streams", "longest"),
    [(60, True, 480), (300, True, 480), (59, True, 59), (60, False, 60), (5, False, 5)],
)
def test_a_stream_has_its_eight_minutes_unless_less_was_requested(
    clock: Clock, timeout_s: int, streams: bool, longest: int
) -> None:
    """Of a whole answer SageMaker's end is 60 s; who asks for less means it. Judged from the second answer on."""

    def said(*seconds: float) -> list[tuple[Any, ...]]:
        return [(each, event("Cargo."), END) if streams else (each, WHOLE) for each in seconds]

    test = a_test("What?", "And?", timeout_s=timeout_s, streams=streams)
    tested = asked(Runtime(clock, *said(longest + 0.5, 1.0, 1.0)), clock, test)
    assert len(tested["transcript"]) == 2
    tested = asked(Runtime(clock, *said(1.0, float(longest), 1.0)), clock, test)
    assert len(tested["transcript"]) == 2

    with pytest.raises(SmokeTestFailed, match=f"it took {longest + 0.5:.1f} s, wanted at most {longest} s"):
        asked(Runtime(clock, *said(1.0, longest + 0.5)), clock, test)


def test_all_of_it_ends_before_the_tasks_function(clock: Clock) -> None:
    """A prompt that there is no time for is not asked; a stream that goes on and on is left."""
    runtime = Runtime(clock, (60.0, WHOLE), for_ever=True)
    prompts = [f"{n}?" for n in range(20)]
    with pytest.raises(
        SmokeTestFailed, match=r"answered 10 of 20 prompts in 600 s; wanted all of them"
    ) as late:
        asked(runtime, clock, a_test(*prompts, streams=False))
    assert (len(runtime.asked), late.value.given) == (10, smoke_test.TOO_SLOW)

    endless = Runtime(clock, (event("a"), 300.0) * 9)
    with pytest.raises(SmokeTestFailed, match="was still answering after 600 s"):
        asked(endless, clock, a_test())
    assert endless.closed == 1


def test_no_time_left_is_no_measurement(clock: Clock) -> None:
    """The answers are what it is about."""
    runtime = Runtime(clock, (600.0, WHOLE))

    tested = asked(runtime, clock, a_test(streams=False))

    assert (len(tested["transcript"]), tested["speed"]) == (1, None)


def test_the_times_fit_into_one_another() -> None:
    """What has begun by the end is given up 250 s later, in the client; then there is a moment to say so."""
    assert limits.STREAM_S.value + limits.INVOCATION_S.value <= smoke_test.LONGEST_S
    assert smoke_test.LONGEST_S + 250 < task.handler.timeout_s < 900
