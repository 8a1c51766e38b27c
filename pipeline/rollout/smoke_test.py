"""The smoke test: an endpoint is asked, and what it answers is judged.

The prebuilt image's /ping says 200 even when the model could not be loaded; an answer is the first proof. When all is
as expected, the first question is asked once more for one token: how long a warm endpoint takes. That is only a
measurement, and one that fails is no failure.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from time import perf_counter
from typing import TYPE_CHECKING, Final, TypedDict

from botocore.exceptions import ClientError

from pipeline import payload
from pipeline.aws import service_errors
from pipeline.errors import NotYetVisible, SealiftError, SmokeTestFailed
from pipeline.gguf import questions
from pipeline.rollout import answers, embeddings, rankings

if TYPE_CHECKING:
    from pipeline.aws.clients import Clients
    from pipeline.errors import ErrorFields
    from pipeline.state_data.plan_types import PlannedSmokeTest
    from pipeline.state_data.request_types import Expectation

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
    bytes_in: int
    bytes_out: int
    timings: dict[str, float]
    """The server's own."""


class WarmCall(TypedDict):
    """What a call takes while the container is up and knows the prompt."""

    seconds: float
    timings: dict[str, float]


class SmokeTested(TypedDict):
    """An endpoint that answers as expected."""

    transcript: list[AskedPrompt]
    warm: WarmCall | None
    """Of the first prompt, asked once more for one token; None when that failed."""


@dataclass(frozen=True, slots=True)
class _Call:
    """One question that was answered."""

    answer: answers.Answer
    wrong: list[str]
    """In what it is not as expected."""
    known: ErrorFields
    """What that tells of the cause."""
    seconds: float
    bytes_in: int
    bytes_out: int


def ask(clients: Clients, endpoint: str, test: PlannedSmokeTest) -> SmokeTested:
    """Ask what the test asks; return each answer, and what a warm call took.

    Args:
        clients: AWS's.
        endpoint: its name.
        test: the plan's `smoke_test`.

    Raises:
        SmokeTestFailed: when the container fails, or an answer is not what was expected.
    """
    most = payload.share(len(test.prompts))
    transcript: list[AskedPrompt] = []
    for prompt in test.prompts:
        call = _ask(clients, endpoint, test, prompt)
        answer, seconds, wrong = call.answer, call.seconds, call.wrong
        # The first answer may pay for a cold start; the limit on an answer is judged from the second on.
        if transcript and seconds > test.timeout_s:
            wrong.append(f"it took {seconds:.1f} s, wanted at most {test.timeout_s} s")
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
                "bytes_in": call.bytes_in,
                "bytes_out": call.bytes_out,
                "timings": dict(answer.timings),
            }
        )
    return {"transcript": transcript, "warm": _warm(clients, endpoint, test)}


def _brief(text: str) -> str:
    return repr(payload.cut(text, _SHOWN))


def _warm(clients: Clients, endpoint: str, test: PlannedSmokeTest) -> WarmCall | None:
    """Return what a call takes now; None when it could not be measured."""
    try:
        with service_errors.translated():
            call = _ask(clients, endpoint, replace(test, max_tokens=1), test.prompts[0])
    except SealiftError:
        return None
    return {"seconds": call.seconds, "timings": dict(call.answer.timings)}


def _ask(clients: Clients, endpoint: str, test: PlannedSmokeTest, prompt: str) -> _Call:
    form = test.ask_with or questions.MESSAGES
    body = json.dumps(questions.body(form, prompt, test.max_tokens)).encode()
    begun = perf_counter()
    try:
        response = clients.sagemaker_runtime.invoke_endpoint(
            EndpointName=endpoint,
            ContentType="application/json",
            Accept="application/json",
            Body=body,
        )
    except ClientError as error:
        if service_errors.is_unknown_to_runtime(error):
            raise NotYetVisible(
                f"endpoint {endpoint!r} cannot be invoked yet: {service_errors.text(error)}"
            ) from error
        if service_errors.code(error) != "ModelError":
            raise
        reason = str(error.response.get("OriginalMessage") or service_errors.text(error))
        status = error.response.get("OriginalStatusCode", "no")
        raise SmokeTestFailed(
            f"endpoint {endpoint!r} answered {_brief(prompt)} with status {status}: {payload.cut(reason)}; "
            f"{payload.cut(service_errors.text(error))}"
        ) from error
    said = response["Body"].read()
    seconds = round(perf_counter() - begun, 3)
    try:
        answer, wrong, known = judge(form, said, test.expect, prompt=prompt, size=test.embedding_size)
    except answers.NotAnAnswer as error:
        raise SmokeTestFailed(f"endpoint {endpoint!r}: {error}") from error
    return _Call(answer, wrong, known, seconds, len(body), len(said))


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
    answer = answers.parse(said)
    wrong = answers.shortcomings(answer.text, answer.completion_tokens, expect, prompt=prompt)
    flaw = answers.unexpected(answer.text, expect, prompt)
    return answer, wrong, answers.DEGENERATE if flaw else {}
