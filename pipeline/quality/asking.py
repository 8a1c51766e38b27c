"""One case, asked of one endpoint: what it said, and how long that took.

What passes by itself (a container that starts, one with its hands full) is raised, for whoever owns the time. A refusal
is what the endpoint has to say to the case.
"""

from __future__ import annotations

from time import perf_counter
from typing import TYPE_CHECKING

from pipeline.aws import service_errors
from pipeline.client import calls, replies
from pipeline.errors import EndpointFailed, RequestRejected
from pipeline.gguf import questions
from pipeline.quality.expectations import Answered
from pipeline.rollout import answers, embeddings
from pipeline.state_data.quality_types import CaseReply

if TYPE_CHECKING:
    from pipeline.aws.clients import Clients
    from pipeline.client.replies import Reply
    from pipeline.quality.cases import Case


def ask(clients: Clients, endpoint: str, case: Case, suits: str, *, component: bool = False) -> Answered:
    """Return what an endpoint says to a case.

    Args:
        clients: of the account.
        endpoint: its name.
        case: the question.
        suits: the form that suits the model.
        component: whether the endpoint hosts an inference component, which answers.

    Raises:
        ModelNotReady, Throttled, ServiceUnavailable, NotYetVisible: it may pass later.
        AccessDenied: whoever asks may not.
    """
    begun = perf_counter()
    try:
        with service_errors.translated():
            body = calls.encoded(case.body(suits))
            said = calls.invoke(clients, endpoint, body, component=component)
        seconds = perf_counter() - begun
        if case.form(suits) == questions.INPUT:
            return _embedded(said, round(seconds, 3))
        reply = replies.whole(said)
    except (EndpointFailed, RequestRejected, answers.NotAnAnswer) as error:
        return Answered(CaseReply("", error=str(error), seconds=round(perf_counter() - begun, 3)))
    return Answered(
        CaseReply(
            reply.text,
            seconds=round(seconds, 3),
            completion_tokens=reply.completion_tokens,
            tokens_per_second=_rate(reply, seconds),
            finish_reason=reply.finish_reason,
        )
    )


def _embedded(said: bytes, seconds: float) -> Answered:
    found = embeddings.parse(said)
    if wrong := embeddings.shortcomings(found, questions.TEXTS, None):
        return Answered(CaseReply(found.text, error="; ".join(wrong), seconds=seconds))
    return Answered(CaseReply(found.text, seconds=seconds), found.vectors[0])


def _rate(reply: Reply, seconds: float) -> float | None:
    """Return tokens of the answer in a second: the server's, else by the caller's clock, in which all else is too."""
    if (told := reply.tokens_per_second) is not None:
        return round(told, 3)
    if reply.completion_tokens is None or seconds <= 0:
        return None
    return round(reply.completion_tokens / seconds, 3)
