"""Asking a service: who is asked, how long is waited, and what becomes of a service whose endpoint has changed."""

from __future__ import annotations

import json
from io import BytesIO
from typing import Any

import pytest
from botocore.exceptions import ClientError

from pipeline.client import asking
from pipeline.client.asking import Asker, FollowedEndpoint
from pipeline.client.endpoint import ServiceEndpoint
from pipeline.client.requests import Conversation, Sampling, Turn
from pipeline.errors import EndpointFailed, InvalidInput, ModelNotReady, Problem, RequestRejected
from pipeline.gguf import questions

ASKED = Conversation((Turn("user", "What?"),))
ANSWER = {"choices": [{"message": {"content": "Cargo."}, "finish_reason": "stop"}]}


def endpoint(
    name: str = "harbor-1", *, streams: bool = False, form: str = questions.MESSAGES
) -> ServiceEndpoint:
    """Return an endpoint."""
    return ServiceEndpoint("harbor", name, streams, form)


def refused(code: str, message: str = "") -> ClientError:
    """Return what the SDK raises."""
    return ClientError({"Error": {"Code": code, "Message": message}}, "InvokeEndpoint")


GONE = refused("ValidationError", "Endpoint harbor-1 of account 1 not found.")
STARTING = refused("ModelNotReadyException")


class Clock:
    """A clock that only sleeping moves."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        """Return the time."""
        return self.now

    def sleep(self, seconds: float) -> None:
        """Let time pass."""
        self.now += seconds


class Runtime:
    """SageMaker's runtime: each call gets the next answer."""

    def __init__(self, *answers: Any) -> None:
        self._answers = list(answers)
        self.asked: list[tuple[str, dict[str, Any]]] = []
        self.closed = 0
        self.sagemaker_runtime = self

    def invoke_endpoint(self, **request: Any) -> Any:
        """Answer whole."""
        return {"Body": BytesIO(json.dumps(self._next(request)).encode())}

    def invoke_endpoint_with_response_stream(self, **request: Any) -> Any:
        """Answer in pieces: each of the texts one, and an error at its place."""
        told = self._next(request)

        def pieces() -> Any:
            for text in told:
                if isinstance(text, Exception):
                    raise text
                event = {"choices": [{"delta": {"content": text}}]}
                yield {"PayloadPart": {"Bytes": f"data: {json.dumps(event)}\n\n".encode()}}

        return {"Body": _Body(pieces(), self._close)}

    def _next(self, request: Any) -> Any:
        self.asked.append((request["EndpointName"], json.loads(request["Body"])))
        answer = self._answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    def _close(self) -> None:
        self.closed += 1


class _Body:
    def __init__(self, pieces: Any, close: Any) -> None:
        self._pieces, self.close = pieces, close

    def __iter__(self) -> Any:
        return self._pieces


def asker(runtime: Runtime, *found: ServiceEndpoint, clock: Clock | None = None) -> Asker:
    """Return what asks the endpoints, found one after the other."""
    clock, following = clock or Clock(), iter(found or (endpoint(),))
    followed = FollowedEndpoint(lambda: next(following), now=clock)
    return Asker(runtime, followed, sleep=clock.sleep, now=clock)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("passed", "looks"), [(0.0, 1), (59.9, 1), (60.0, 2)], ids=["at once", "just fresh", "old"]
)
def test_an_endpoint_is_looked_for_when_it_is_old(passed: float, looks: int) -> None:
    """And not before."""
    clock, found = Clock(), []

    def find() -> ServiceEndpoint:
        found.append(endpoint(f"harbor-{len(found)}"))
        return found[-1]

    followed = FollowedEndpoint(find, now=clock, fresh_s=60.0)
    followed.get()
    clock.sleep(passed)

    assert followed.get() is found[-1]
    assert len(found) == looks


def test_an_endpoint_is_lost_once_by_all_who_miss_it() -> None:
    """Who lost an older one takes the one that was found since."""
    found = iter([endpoint("old"), endpoint("new"), endpoint("never")])
    followed = FollowedEndpoint(lambda: next(found), now=Clock())
    old = followed.get()

    followed.lose(old)
    assert followed.get().name == "new"
    followed.lose(old)
    assert followed.get().name == "new"


def test_a_cold_start_is_waited_for_and_counted() -> None:
    """The reply says who answered, and how long it took as the caller saw it."""
    clock = Clock()
    runtime = Runtime(STARTING, STARTING, ANSWER)

    reply = asker(runtime, clock=clock).ask(ASKED, Sampling(max_tokens=3))

    assert (str(reply), reply.endpoint_name, reply.seconds) == ("Cargo.", "harbor-1", 2.0)
    assert runtime.asked[2] == (
        "harbor-1",
        {"messages": [{"role": "user", "content": "What?"}], "max_tokens": 3},
    )


def test_a_container_that_does_not_come_is_told_of() -> None:
    """After four minutes."""
    runtime, clock = Runtime(*[STARTING] * 500), Clock()

    with pytest.raises(ModelNotReady):
        asker(runtime, clock=clock).ask(ASKED, Sampling())

    assert 240 < clock.now - 1000 < 243


def test_a_service_whose_endpoint_is_gone_is_asked_at_its_new_one() -> None:
    """In the form of that one: another model may serve."""
    runtime = Runtime(GONE, {"choices": [{"text": " cargo", "finish_reason": "stop"}]})
    two = (endpoint("harbor-1"), endpoint("harbor-2", form=questions.PROMPT))

    reply = asker(runtime, *two).ask(ASKED, Sampling())

    assert (reply.text, reply.endpoint_name) == (" cargo", "harbor-2")
    assert runtime.asked[1] == ("harbor-2", {"prompt": "What?"})


def test_a_service_that_nothing_serves_any_more_is_told_of_at_once() -> None:
    """Nobody waits for what does not come."""
    clock = Clock()

    def find() -> ServiceEndpoint:
        raise InvalidInput("service harbor", [Problem("NothingServes", "a", "b", "c")])

    followed = FollowedEndpoint(find, now=clock)
    with pytest.raises(InvalidInput):
        Asker(Runtime(), followed, sleep=clock.sleep, now=clock).ask(ASKED, Sampling())  # type: ignore[arg-type]

    assert clock.now == 1000


@pytest.mark.parametrize(
    ("streams", "form", "able"),
    [
        (True, questions.MESSAGES, True),
        (True, questions.PROMPT, True),
        (True, questions.INPUT, False),
        (True, questions.QUERY, False),
        (False, questions.MESSAGES, False),
    ],
)
def test_what_streams_is_on_an_instance_and_says_a_text(streams: bool, form: str, able: bool) -> None:
    """Both."""
    assert asking.streams(endpoint(streams=streams, form=form)) is able


def test_a_stream_comes_piece_by_piece_and_is_closed() -> None:
    """Through a cold start; what it is so far is in its reply."""
    runtime = Runtime(STARTING, ["Heavy ", "", "cargo."])

    with asker(runtime, endpoint(streams=True)).stream(ASKED, Sampling()) as answer:
        assert answer.reply.text == ""
        assert list(answer) == ["Heavy ", "cargo."]

    assert (answer.reply.text, answer.reply.endpoint_name) == ("Heavy cargo.", "harbor-1")
    assert answer.reply.seconds == 1.0
    assert runtime.asked[1][1]["stream"] is True
    assert runtime.closed == 1


def test_a_stream_that_is_left_is_closed() -> None:
    """The endpoint stops generating."""
    runtime = Runtime(["Heavy ", "cargo."])

    with asker(runtime, endpoint(streams=True)).stream(ASKED, Sampling()) as answer:
        assert next(iter(answer)) == "Heavy "

    assert (answer.reply.text, runtime.closed) == ("Heavy ", 1)


def test_a_stream_from_where_none_comes_is_one_piece() -> None:
    """With all that a whole answer tells."""
    answer = asker(Runtime(ANSWER)).stream(ASKED, Sampling())

    assert list(answer) == ["Cargo."]
    assert (answer.reply.text, answer.reply.finish_reason) == ("Cargo.", "stop")
    answer.close()


def test_a_stream_that_ends_in_its_middle_says_so() -> None:
    """By an error of ours, whatever the SDK raised."""
    runtime = Runtime(["Heavy ", refused("ModelError", "crashed")])
    answer = asker(runtime, endpoint(streams=True)).stream(ASKED, Sampling())

    with pytest.raises(EndpointFailed):
        list(answer)

    assert answer.reply.text == "Heavy "


@pytest.mark.parametrize("streams", [False, True])
def test_a_request_that_asks_for_a_stream_gets_bytes(streams: bool) -> None:
    """As they come from an instance, whole from elsewhere; the request is what was given."""
    runtime = Runtime(["Cargo."] if streams else ANSWER)
    body = {"messages": [], "stream": True}

    pieces = asker(runtime, endpoint(streams=streams)).send_streamed(body)

    assert b"Cargo." in b"".join(pieces)
    assert runtime.asked == [("harbor-1", body)]
    assert runtime.closed == streams


@pytest.mark.parametrize(("streams", "limit"), [(False, "4 MiB"), (True, "25 MiB")])
@pytest.mark.parametrize("how", ["ask", "stream", "send", "send_streamed"])
def test_what_is_too_large_for_the_endpoint_is_told_with_its_limit(
    how: str, streams: bool, limit: str
) -> None:
    """Before anything is sent: AWS's own refusal names neither the size nor what would do."""
    runtime = Runtime()
    text = "x" * 25 * 2**20
    asked: Any = {"prompt": text} if how.startswith("send") else Conversation((Turn("user", text),))
    more = () if how.startswith("send") else (Sampling(),)

    with pytest.raises(RequestRejected, match=f"at most {limit}"):
        getattr(asker(runtime, endpoint(streams=streams)), how)(asked, *more)
    assert runtime.asked == []
