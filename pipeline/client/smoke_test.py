"""The smoke test: an endpoint is asked, and what it answers is judged.

The prebuilt image's /ping says 200 even when the model could not be loaded; an answer is the first proof. Where the
endpoint streams it is asked for streams, which tell when the first token was there and may take eight minutes. When all
is as expected, the last question is asked once more in other words: how fast a warm endpoint answers. That is only a
measurement, and one that fails is no failure.

Owns how long all of it may take. Refuses to retry: the state machine does.
"""

from __future__ import annotations

import json
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import chain
from time import perf_counter
from typing import TYPE_CHECKING, Final, TypedDict

from botocore.exceptions import ClientError

from pipeline import inference_component, limits, payload
from pipeline.aws import service_errors
from pipeline.client import replies
from pipeline.errors import EndpointFailed, ErrorFields, NotYetVisible, SealiftError, SmokeTestFailed
from pipeline.gguf import questions
from pipeline.rollout import answer_speed, answers, embeddings, rankings

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping
    from typing import Any

    from pipeline.aws.clients import Clients
    from pipeline.rollout.answer_speed import AnswerSpeed
    from pipeline.state_data.plan_types import PlannedSmokeTest
    from pipeline.state_data.request_types import Expectation

LONGEST_S: Final = 600
"""Seconds after which no answer is begun, and none goes on as a stream. One that came to a stop by then is given up
after another 250 (`pipeline.aws.clients`), before the task's function ends."""
MEASURED_TOKENS: Final = 32
"""Of the answer that is measured: enough for a rate, and half a minute where a model makes one in a second."""
AGAIN: Final = "Once more: "
"""What the measured question begins with: of one that was asked before, the server may have kept what it read."""
TOO_SLOW: Final[ErrorFields] = {
    "cause": "SmokeTestTooLong",
    "why": f"all answers of a smoke test together have {LONGEST_S} s",
    "fix": "ask fewer prompts, set smoke_test.max_tokens lower, or take a faster instance type",
}
"""What is known of a smoke test that does not end."""
_SHOWN: Final = 500
"""Bytes of a prompt or an answer in a failure's message, which has to hold the reason too."""


class AskedPrompt(TypedDict):
    """A prompt that was asked, and what came of it."""

    prompt: str
    answer: str
    """Of a long one, as of a long prompt, the beginning (`pipeline.payload`)."""
    completion_tokens: int | None
    finish_reason: str | None
    seconds: float
    first_token_s: float | None
    """From the question to the first token; None of an answer that came whole."""
    bytes_in: int
    bytes_out: int
    timings: dict[str, float]
    """The server's own."""


class SmokeTested(TypedDict):
    """An endpoint that answers as expected."""

    transcript: list[AskedPrompt]
    speed: AnswerSpeed | None
    """Of the last prompt, asked once more in other words; None when that failed."""


@dataclass(frozen=True, slots=True)
class _Said:
    """What came back, before it is judged."""

    seconds: float
    bytes_in: int
    bytes_out: int
    whole: bytes = b""
    """The body of a whole answer; empty of one that was streamed."""
    streamed: answers.Answer | None = None
    first_token_s: float | None = None


@dataclass(frozen=True, slots=True)
class _Call:
    """One question that was answered."""

    answer: answers.Answer
    wrong: list[str]
    """In what it is not as expected."""
    known: ErrorFields
    """What that tells of the cause."""
    said: _Said


def ask(
    clients: Clients, endpoint: str, test: PlannedSmokeTest, *, now: Callable[[], float] = perf_counter
) -> SmokeTested:
    """Ask what the test asks; return each answer, and how fast a warm endpoint gives one.

    Args:
        clients: AWS's.
        endpoint: its name.
        test: the plan's `smoke_test`.
        now: tells the time, in seconds.

    Raises:
        SmokeTestFailed: when the container fails, an answer is not what was expected, or they take too long.
    """
    asker = _Asker(clients, endpoint, now, component=test.component)
    most = payload.share(len(test.prompts))
    transcript: list[AskedPrompt] = []
    for prompt in test.prompts:
        if asker.left_s <= 0:
            raise SmokeTestFailed(
                f"endpoint {endpoint!r} answered {len(transcript)} of {len(test.prompts)} prompts in {LONGEST_S} s; "
                "wanted all of them",
                **TOO_SLOW,
            )
        call = asker.ask(test, prompt)
        answer, seconds, wrong = call.answer, call.said.seconds, call.wrong
        # The first answer may pay for a cold start; the limit on an answer is judged from the second on.
        if transcript and seconds > (longest := _longest_s(test)):
            wrong.append(f"it took {seconds:.1f} s, wanted at most {longest} s")
        if wrong:
            raise SmokeTestFailed(
                f"endpoint {endpoint!r} answered {_brief(prompt)} with {_brief(answer.text)}: {'; '.join(wrong)}",
                **call.known,
            )
        transcript.append(
            {
                "prompt": payload.cut(prompt, most),
                "answer": payload.cut(answer.text, most),
                "completion_tokens": answer.completion_tokens,
                "finish_reason": answer.finish_reason,
                "seconds": seconds,
                "first_token_s": call.said.first_token_s,
                "bytes_in": call.said.bytes_in,
                "bytes_out": call.said.bytes_out,
                "timings": dict(answer.timings),
            }
        )
    return {"transcript": transcript, "speed": _speed(asker, test)}


def _longest_s(test: PlannedSmokeTest) -> int:
    """Return the seconds that an answer may take: a stream as many as it has, unless the request says less than 60."""
    unbounded = test.streams and test.timeout_s >= limits.INVOCATION_S.value
    return limits.STREAM_S.value if unbounded else test.timeout_s


def _brief(text: str) -> str:
    return repr(payload.cut(text, _SHOWN))


def _speed(asker: _Asker, test: PlannedSmokeTest) -> AnswerSpeed | None:
    """Return how fast the endpoint answers now; None when it could not be measured."""
    if asker.left_s <= 0:
        return None
    try:
        with service_errors.translated():
            asked = replace(test, max_tokens=min(test.max_tokens, MEASURED_TOKENS))
            call = asker.ask(asked, AGAIN + test.prompts[-1])
    except SealiftError:
        return None
    said, answer = call.said, call.answer
    return answer_speed.measured(said.seconds, said.first_token_s, answer.completion_tokens, answer.timings)


class _Asker:
    """Asks one endpoint, whole or for a stream, as long as there is time."""

    def __init__(self, clients: Clients, endpoint: str, now: Callable[[], float], *, component: bool) -> None:
        self._runtime = clients.sagemaker_runtime
        self._component = component
        self._endpoint = endpoint
        self._now = now
        self._begun = now()

    @property
    def left_s(self) -> float:
        """How long there is time to ask."""
        return LONGEST_S - (self._now() - self._begun)

    def ask(self, test: PlannedSmokeTest, prompt: str) -> _Call:
        """Ask once, and judge the answer.

        Raises:
            SmokeTestFailed, NotYetVisible, ClientError.
        """
        form = test.ask_with or questions.MESSAGES
        question = questions.body(form, prompt, test.max_tokens)
        try:
            with self._refusals(prompt):
                said = self._either(question) if test.streams else self._whole(question)
            answer, wrong, known = (
                judge(form, said.whole, test.expect, prompt=prompt, size=test.embedding_size)
                if said.streamed is None
                else judge_text(said.streamed, test.expect, prompt)
            )
        except answers.NotAnAnswer as error:
            raise SmokeTestFailed(f"endpoint {self._endpoint!r}: {error}") from error
        return _Call(answer, wrong, known, said)

    def _either(self, question: Mapping[str, Any]) -> _Said:
        try:
            return self._streamed(question)
        except ClientError as error:
            if not _calls_it_wrong(error):
                raise
        # An image of the user's own may know no streams.
        return self._whole(question)

    def _whole(self, question: Mapping[str, Any]) -> _Said:
        body, begun = json.dumps(question).encode(), self._now()
        response = self._runtime.invoke_endpoint(**self._request(body, "application/json"))
        said = response["Body"].read()
        return _Said(self._since(begun), len(body), len(said), said)

    def _streamed(self, question: Mapping[str, Any]) -> _Said:
        body, begun = json.dumps({**question, **questions.STREAMED}).encode(), self._now()
        response = self._runtime.invoke_endpoint_with_response_stream(
            **self._request(body, "text/event-stream")
        )
        taken: list[bytes] = []
        stream = response["Body"]
        try:
            pieces = self._pieces(stream, taken)
            head = next(pieces, b"")
            if head.lstrip().startswith(b"{"):
                # It came whole: no stream, and an answer all the same.
                whole = head + b"".join(pieces)
                return _Said(self._since(begun), len(body), len(whole), whole)
            reply, first = replies.Reply(), None
            for event in replies.events(chain([head], pieces)):
                replies.take(reply, event)
                if first is None and (reply.text or reply.reasoning):
                    first = self._since(begun)
        finally:
            stream.close()
        answer = answers.told(reply.text, reply.completion_tokens, reply.finish_reason, dict(reply.timings))
        size = sum(map(len, taken))
        return _Said(self._since(begun), len(body), size, streamed=answer, first_token_s=first)

    def _pieces(self, stream: Iterable[Mapping[str, Any]], taken: list[bytes]) -> Iterator[bytes]:
        for event in stream:
            if self.left_s <= 0:
                raise SmokeTestFailed(
                    f"endpoint {self._endpoint!r} was still answering after {LONGEST_S} s; wanted the answer's end",
                    **TOO_SLOW,
                )
            if "PayloadPart" in event:
                taken.append(event["PayloadPart"]["Bytes"])
                yield taken[-1]

    def _request(self, body: bytes, accept: str) -> dict[str, Any]:
        return {
            **inference_component.parameters(self._endpoint, component=self._component),
            "ContentType": "application/json",
            "Accept": accept,
            "Body": body,
        }

    def _since(self, begun: float) -> float:
        return round(self._now() - begun, 3)

    @contextmanager
    def _refusals(self, prompt: str) -> Iterator[None]:
        """Raise what AWS and the container refuse in the block as what a smoke test comes to."""
        asked = f"endpoint {self._endpoint!r} answered {_brief(prompt)}"
        try:
            yield
        except EndpointFailed as error:
            raise SmokeTestFailed(f"{asked} with an error: {payload.cut(str(error))}") from error
        except ClientError as error:
            text = service_errors.text(error)
            if service_errors.is_unknown_to_runtime(error):
                raise NotYetVisible(f"endpoint {self._endpoint!r} cannot be invoked yet: {text}") from error
            if service_errors.code(error) == "ModelStreamError":
                raise SmokeTestFailed(f"{asked} and broke off in its middle: {payload.cut(text)}") from error
            if service_errors.code(error) != "ModelError":
                raise
            reason = str(error.response.get("OriginalMessage") or text)
            status = error.response.get("OriginalStatusCode", "no")
            raise SmokeTestFailed(
                f"{asked} with status {status}: {payload.cut(reason)}; {payload.cut(text)}"
            ) from error


def _calls_it_wrong(error: ClientError) -> bool:
    """Tell whether a container refused a request for what it asks."""
    status = error.response.get("OriginalStatusCode")
    return service_errors.code(error) == "ModelError" and isinstance(status, int) and 400 <= status < 500


def judge(
    form: str, said: bytes, expect: Expectation, *, prompt: str, size: int | None
) -> tuple[answers.Answer, list[str], ErrorFields]:
    """Return the answer in a response, what is wrong with it, and what that tells of the cause.

    Args:
        form: the field that was asked with.
        said: the response's body.
        expect: the request's `smoke_test.expect`; it is about text, so embeddings and rankings are not held to it.
        prompt: what was asked.
        size: numbers of an embedding; None when that is not known.

    Raises:
        NotAnAnswer: when it is none.
    """
    if form == questions.INPUT:
        found = embeddings.parse(said)
        wrong = embeddings.shortcomings(found, questions.TEXTS, size)
        # Too many or too few are the server's matter, not the model's.
        broken = bool(wrong) and len(found.vectors) == questions.TEXTS
        return (
            answers.Answer(found.text, None, None, found.timings),
            wrong,
            embeddings.BROKEN if broken else {},
        )
    if form == questions.QUERY:
        ranked = rankings.parse(said)
        wrong = rankings.shortcomings(ranked, questions.TEXTS)
        broken = bool(wrong) and len(ranked.scores) == questions.TEXTS
        return (
            answers.Answer(ranked.text, None, None, ranked.timings),
            wrong,
            rankings.BROKEN if broken else {},
        )
    return judge_text(answers.parse(said), expect, prompt)


def judge_text(
    answer: answers.Answer, expect: Expectation, prompt: str
) -> tuple[answers.Answer, list[str], ErrorFields]:
    """Return an answer that is a text, what is wrong with it, and what that tells of the cause."""
    wrong = answers.shortcomings(answer.text, answer.completion_tokens, expect, prompt=prompt)
    flaw = answers.unexpected(answer.text, expect, prompt)
    return answer, wrong, answers.DEGENERATE if flaw else {}
