"""The runtime: InvokeEndpoint, InvokeEndpointWithResponseStream, and OpenAI's route to an endpoint.

Owns the checks in front of the container and the form of the answer; what happens behind is `workers`.
"""

from __future__ import annotations

import contextlib
import secrets
import uuid
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from local_cloud.hosting.containers.container import ContainerCall
from local_cloud.hosting.platform import event_stream, texts
from local_cloud.hosting.platform.refusals import AwsError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from local_cloud.hosting.components import Components
    from local_cloud.hosting.containers.container import AnswerPieces, ContainerAnswer
    from local_cloud.hosting.containers.workers import Worker
    from local_cloud.hosting.fleet import Fleet
    from local_cloud.hosting.platform.resources import Endpoint

INVOKE, STREAM, OPENAI = "invocations", "invocations-response-stream", "openai/v1/chat/completions"
"""The ends of the paths below an endpoint's name."""
_EVENTS = "text/event-stream"
_PREFIX = "x-amzn-sagemaker-"
_OF_OTHER_ENDPOINTS = {
    f"{_PREFIX}target-model": "TargetModel",
    f"{_PREFIX}target-container-hostname": "TargetContainerHostname",
}
"""What a call may have where an endpoint has several models, or several containers."""
_NOT_EMULATED = {
    f"{_PREFIX}session-id": "SessionId",
    f"{_PREFIX}enable-explanations": "EnableExplanations",
}


@dataclass(frozen=True, slots=True)
class InvocationRequest:
    """One request to an endpoint."""

    name: str
    body: bytes
    content_type: str | None = None
    accept: str | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    kind: str = INVOKE
    """INVOKE, STREAM or OPENAI."""


@dataclass(frozen=True, slots=True)
class InvocationResponse:
    """A successful InvokeEndpoint, ready for HTTP."""

    status: int
    headers: dict[str, str]
    body: bytes
    stream: event_stream.Coming | None = None
    """The body where it goes out as it comes."""


def new_request_id() -> str:
    """Return an identifier in the form that AWS gives its requests."""
    return str(uuid.UUID(bytes=secrets.token_bytes(16), version=4))


def _check_headers(given: Mapping[str, str], variant: str, *, serverless: bool) -> None:
    """Raise AwsError for what a call's headers want of an endpoint that has one variant with one container."""
    for header, member in _OF_OTHER_ENDPOINTS.items():
        if header in given:
            told = texts.unsupported_on_serverless if serverless else texts.unsupported_by_the_endpoint
            raise AwsError("ValidationError", told(member))
    for header, member in _NOT_EMULATED.items():
        if header in given:
            told = texts.unsupported_on_serverless if serverless else texts.not_emulated
            raise AwsError("ValidationError", told(member))
    target = given.get(f"{_PREFIX}target-variant", variant)
    if target != variant:
        raise AwsError("ValidationError", texts.unknown_target_variant(target))


def _told(answer: ContainerAnswer, kind: str, variant: str, most: int) -> InvocationResponse:
    """Return a container's answer as the caller gets it."""
    answered_as = answer.content_type or "application/octet-stream"
    answered = {"Content-Type": answered_as, "x-Amzn-Invoked-Production-Variant": variant}
    if answer.custom_attributes is not None:
        answered["X-Amzn-SageMaker-Custom-Attributes"] = answer.custom_attributes
    if kind == STREAM:
        source = answer.pieces or event_stream.Whole(answer.body)
        answered |= {"Content-Type": event_stream.MEDIA_TYPE, "X-Amzn-SageMaker-Content-Type": answered_as}
        return InvocationResponse(200, answered, b"", event_stream.Framed(source))
    status = answer.status if kind == OPENAI else 200
    if answer.pieces is None:
        return InvocationResponse(status, answered, answer.body)
    if answered_as.partition(";")[0].strip() == _EVENTS:
        return InvocationResponse(status, answered, b"", event_stream.Coming(answer.pieces))
    return InvocationResponse(status, answered, _whole(answer.pieces, most))


def _whole(pieces: AnswerPieces, most: int) -> bytes:
    """Return an answer that is no stream of events; raise AwsError where it is too large, or breaks off."""
    with contextlib.closing(pieces):
        body = bytearray()
        for piece in pieces:
            body += piece
            if len(body) > most:
                raise AwsError("ModelError", texts.oversize_response(most), 424)
        return bytes(body)


class Runtime:
    """Answers invocations from the endpoints of a fleet."""

    def __init__(self, fleet: Fleet, components: Components) -> None:
        self._fleet = fleet
        self._components = components

    def invoke(self, invocation: InvocationRequest) -> InvocationResponse:
        """Return the endpoint's answer; raise AwsError.

        OpenAI's route answers "directly from the container" (developer guide), so its errors too are the container's.
        Which path of a container SageMaker's OpenAI route calls is written nowhere; here it is `/invocations`, since
        every container has that one.
        """
        endpoint, worker = self._fleet.serving(invocation.name)
        kind, accept = invocation.kind, invocation.accept
        given = {key.lower(): value for key, value in invocation.headers.items()}
        worker = self._answering(endpoint, worker, given.get(f"{_PREFIX}inference-component"))
        if kind == STREAM and worker.serverless:
            raise AwsError("ValidationError", texts.unsupported_on_serverless("Response streaming"))
        if len(invocation.body) > worker.payload_bytes:
            raise AwsError("ValidationError", texts.oversize_body(new_request_id()))
        variant = endpoint.current.variant_name if endpoint.current is not None else ""
        _check_headers(given, variant, serverless=worker.serverless)
        streams = kind != INVOKE and not worker.serverless
        answer = worker.invoke(
            ContainerCall(
                invocation.body,
                invocation.content_type,
                given.get(f"{_PREFIX}accept") if kind == STREAM else accept,
                given.get(f"{_PREFIX}custom-attributes"),
                streams=streams,
            ),
            streams=streams,
            verbatim=kind == OPENAI,
        )
        return _told(answer, kind, variant, worker.payload_bytes)

    def _answering(self, endpoint: Endpoint, worker: Worker, component: str | None) -> Worker:
        """Return what answers: the endpoint's own container, or the component's that the call names."""
        if endpoint.current is not None and endpoint.current.hosts:
            return self._components.serving(endpoint, component)
        if component is not None and worker.serverless:
            raise AwsError("ValidationError", texts.unsupported_on_serverless("InferenceComponentName"))
        if component is not None:
            raise AwsError("ValidationError", texts.COMPONENT_NOT_ALLOWED)
        return worker
