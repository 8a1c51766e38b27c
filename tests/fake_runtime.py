"""SageMaker's runtime on 127.0.0.1, whose endpoints answer as a test has them answer."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

import boto3
from aiohttp import web
from botocore.credentials import ReadOnlyCredentials

from local_cloud.hosting.platform import event_stream
from pipeline.aws.signed_calls import STREAMED, WHOLE, AnswerReader

OPERATIONS = {"invocations": WHOLE, "invocations-response-stream": STREAMED}
ANSWER = {"object": "chat.completion", "choices": [{"message": {"role": "assistant", "content": "Ahoy"}}]}
IDENTIFIED = {"x-amzn-RequestId": "request-1"}
"""What each answer of AWS has."""
REGION = "eu-west-1"


@dataclass
class Call:
    """One call that arrived."""

    endpoint: str
    operation: str
    body: bytes
    headers: dict[str, str]
    request: web.Request


Answer = Callable[[Call], Awaitable[web.StreamResponse]]


async def whole(_call: Call) -> web.StreamResponse:
    """Answer a chat."""
    return web.json_response(ANSWER, headers=IDENTIFIED)


def refusing(code: str, status: int, **members: Any) -> Answer:
    """Return what refuses as AWS does."""

    async def answer(_call: Call) -> web.StreamResponse:
        headers = {**IDENTIFIED, "x-amzn-ErrorType": code}
        return web.json_response({"message": "no", **members}, status=status, headers=headers)

    return answer


def container_refusing(status: int, message: str) -> Answer:
    """Return what refuses as a container does."""
    return refusing(
        "ModelError", 424, Message="see the log", OriginalStatusCode=status, OriginalMessage=message
    )


def unknown(name: str) -> Answer:
    """Return what answers for an endpoint that is not there."""
    return refusing("ValidationError", 400, message=f"Endpoint {name} of account 1 not found.")


def in_turn(*answers: Answer) -> Answer:
    """Return what answers by one after the other, and by the last one from then on."""
    left = list(answers)

    async def answer(call: Call) -> web.StreamResponse:
        return await (left.pop(0) if len(left) > 1 else left[0])(call)

    return answer


def event(text: str, **more: Any) -> bytes:
    """Return a server-sent event of a chat."""
    delta = {"content": text}
    return f"data: {json.dumps({'choices': [{'index': 0, 'delta': delta}], **more})}\n\n".encode()


DONE = b"data: [DONE]\n\n"


async def begun(call: Call) -> web.StreamResponse:
    """Begin a response stream."""
    headers = {**IDENTIFIED, "Content-Type": event_stream.MEDIA_TYPE}
    response = web.StreamResponse(
        headers={**headers, "X-Amzn-SageMaker-Content-Type": "text/event-stream; charset=utf-8"}
    )
    await response.prepare(call.request)
    return response


def framed(payload: bytes) -> bytes:
    """Return a part of a response stream."""
    return event_stream.message({":event-type": "PayloadPart", ":message-type": "event"}, payload)


def failed(text: str) -> bytes:
    """Return what ends a response stream in its middle."""
    headers = {":exception-type": "ModelStreamError", ":message-type": "exception"}
    return event_stream.message(headers, json.dumps({"Message": text}).encode())


def streaming(*pieces: bytes) -> Answer:
    """Return what streams pieces at once."""

    async def answer(call: Call) -> web.StreamResponse:
        response = await begun(call)
        for piece in pieces:
            await response.write(piece)
        return response

    return answer


@dataclass
class FakeRuntime:
    """The endpoints, by name."""

    answers: dict[str, Answer] = field(default_factory=dict)
    calls: list[Call] = field(default_factory=list)

    def application(self) -> web.Application:
        """Return what aiohttp runs."""
        made = web.Application(client_max_size=2**26)
        made.router.add_post("/endpoints/{name}/{operation}", self._answer)
        return made

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        name = request.match_info["name"]
        call = Call(
            name,
            OPERATIONS[request.match_info["operation"]],
            await request.read(),
            dict(request.headers),
            request,
        )
        self.calls.append(call)
        return await self.answers.get(name, unknown(name))(call)


def reader() -> AnswerReader:
    """Return what reads answers, by botocore's service model."""
    client = boto3.client(
        "sagemaker-runtime", region_name=REGION, aws_access_key_id="a", aws_secret_access_key="b"
    )
    return AnswerReader(client.meta.service_model)


def credentials() -> ReadOnlyCredentials:
    """Return somebody's."""
    return ReadOnlyCredentials("AKIA", "secret", "token", None)
