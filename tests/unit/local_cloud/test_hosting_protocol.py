"""The wire protocols of hosting, over WSGI."""

from __future__ import annotations

import io
import json
from typing import TYPE_CHECKING, Any

import pytest
from botocore.eventstream import EventStreamBuffer
from hypothesis import given
from hypothesis import strategies as st

from local_cloud.hosting import AwsError, InvocationResponse
from local_cloud.hosting.platform import event_stream
from local_cloud.hosting.protocol import Protocol
from local_cloud.hosting.runtime import InvocationRequest

if TYPE_CHECKING:
    from collections.abc import Mapping

LIMIT = 100_000


class Planes:
    """Both planes, remembering what they were asked."""

    def __init__(self) -> None:
        self.asked: list[Any] = []
        self.failure: Exception | None = None

    def handle(self, operation: str, parameters: Mapping[str, Any]) -> dict[str, Any]:
        """Answer any operation."""
        self.asked.append((operation, parameters))
        if self.failure is not None:
            raise self.failure
        return {"Done": True}

    def invoke(self, invocation: InvocationRequest) -> InvocationResponse:
        """Answer any invocation."""
        self.asked.append(invocation)
        if self.failure is not None:
            raise self.failure
        return InvocationResponse(200, {"Content-Type": "text/plain"}, b"answer")


class Reply:
    """What came back over WSGI."""

    def __init__(self, planes: Planes, body: bytes = b"", **environ: Any) -> None:
        self.input = io.BytesIO(body)
        request = {
            "REQUEST_METHOD": "POST",
            "PATH_INFO": "/",
            "CONTENT_LENGTH": str(len(body)),
            "wsgi.input": self.input,
            **environ,
        }
        protocol = Protocol(planes.handle, planes.invoke, payload_bytes=LIMIT)
        self.body = b"".join(protocol(request, self.start))

    def start(self, status: str, headers: list[tuple[str, str]], _info: object = None) -> Any:
        """Take status and headers."""
        self.status = int(status.split(maxsplit=1)[0])
        self.headers = {name.lower(): value for name, value in headers}

    @property
    def json(self) -> Any:
        """Return the body as JSON."""
        return json.loads(self.body)


@pytest.fixture
def planes() -> Planes:
    """Return planes that answer."""
    return Planes()


def test_a_control_request_goes_by_its_target(planes: Planes) -> None:
    """The operation is the end of X-Amz-Target; body and answer are JSON 1.1."""
    reply = Reply(planes, b'{"ModelName": "m"}', HTTP_X_AMZ_TARGET="SageMaker.DeleteModel")

    assert planes.asked == [("DeleteModel", {"ModelName": "m"})]
    assert (reply.status, reply.json) == (200, {"Done": True})
    assert reply.headers["content-type"] == "application/x-amz-json-1.1"
    assert reply.headers["x-amzn-requestid"]


def test_an_invocation_goes_by_its_path(planes: Planes) -> None:
    """Name, body, types and headers reach the runtime."""
    reply = Reply(
        planes,
        b"in",
        PATH_INFO="/endpoints/my-endpoint/invocations",
        CONTENT_TYPE="text/csv",
        HTTP_ACCEPT="text/plain",
        HTTP_X_AMZN_SAGEMAKER_TARGET_VARIANT="v",
    )

    (asked,) = planes.asked
    assert (asked.name, asked.body, asked.content_type, asked.accept) == (
        "my-endpoint",
        b"in",
        "text/csv",
        "text/plain",
    )
    assert (asked.headers["X-AMZN-SAGEMAKER-TARGET-VARIANT"], asked.kind) == ("v", "invocations")
    assert (reply.status, reply.body, reply.headers["content-type"]) == (200, b"answer", "text/plain")


def test_an_error_has_the_form_of_its_protocol(planes: Planes) -> None:
    """JSON 1.1 has the code in the body, REST-JSON in a header; fields come along in both."""
    planes.failure = AwsError("ModelError", None, 424, {"OriginalStatusCode": 500})

    control = Reply(planes, HTTP_X_AMZ_TARGET="SageMaker.DeleteModel")
    runtime = Reply(planes, PATH_INFO="/endpoints/e/invocations")

    assert (control.status, runtime.status) == (424, 424)
    assert control.json == {"__type": "ModelError", "message": None, "OriginalStatusCode": 500}
    assert runtime.headers["x-amzn-errortype"] == "ModelError"
    assert runtime.json == {"message": None, "OriginalStatusCode": 500}


@pytest.mark.parametrize("environ", [{"HTTP_X_AMZ_TARGET": "S.X"}, {"PATH_INFO": "/endpoints/e/invocations"}])
def test_a_fault_of_the_emulation_is_an_internal_failure(planes: Planes, environ: dict[str, str]) -> None:
    """The caller gets a 500 in the right protocol, and no traceback."""
    planes.failure = ZeroDivisionError("secret")

    reply = Reply(planes, b"", **environ)

    assert reply.status == 500
    assert b"secret" not in reply.body
    assert "InternalFailure" in (reply.json.get("__type"), reply.headers.get("x-amzn-errortype"))


@pytest.mark.parametrize(
    ("body", "text"),
    [
        pytest.param(b"{", "not JSON", id="cut short"),
        pytest.param(b"\xff\xfe", "not JSON", id="not text"),
        pytest.param(b"[]", "not a JSON object", id="a list"),
    ],
)
def test_a_control_body_must_be_a_json_object(planes: Planes, body: bytes, text: str) -> None:
    """Anything else is a SerializationException, and reaches no operation."""
    reply = Reply(planes, body, HTTP_X_AMZ_TARGET="SageMaker.DeleteModel")

    assert (reply.status, reply.json["__type"]) == (400, "SerializationException")
    assert text in reply.json["message"]
    assert planes.asked == []


def test_an_empty_control_body_is_an_empty_object(planes: Planes) -> None:
    """As a request without parameters may be sent."""
    Reply(planes, HTTP_X_AMZ_TARGET="SageMaker.ListModels", CONTENT_LENGTH="")

    assert planes.asked == [("ListModels", {})]


@pytest.mark.parametrize(
    ("environ", "status", "code"),
    [
        pytest.param({"PATH_INFO": "/"}, 404, "UnknownOperationException", id="root"),
        pytest.param(
            {"PATH_INFO": "/endpoints/e/invocations", "REQUEST_METHOD": "GET"},
            404,
            "UnknownOperationException",
            id="method",
        ),
        pytest.param(
            {"PATH_INFO": "/endpoints/e/f/invocations"}, 404, "UnknownOperationException", id="path"
        ),
        pytest.param({"PATH_INFO": "/endpoints/e/other"}, 404, "UnknownOperationException", id="other"),
        pytest.param(
            {"PATH_INFO": "/endpoints/e/openai/v1/embeddings"}, 404, "UnknownOperationException", id="openai"
        ),
        pytest.param({"PATH_INFO": "/endpoints/e/async-invocations"}, 400, "ValidationError", id="async"),
    ],
)
def test_other_paths_are_refused(planes: Planes, environ: dict[str, str], status: int, code: str) -> None:
    """What serverless endpoints lack is a validation error, what nobody has is unknown."""
    reply = Reply(planes, b"", **environ)

    assert (reply.status, reply.headers["x-amzn-errortype"]) == (status, code)
    assert planes.asked == []


def test_an_oversize_body_is_read_to_its_end_and_not_kept(planes: Planes) -> None:
    """A caller that is still sending must get the error, not a reset connection."""
    body = bytes(LIMIT * 3)

    reply = Reply(planes, body, PATH_INFO="/endpoints/e/invocations")

    assert (reply.status, reply.headers["x-amzn-errortype"]) == (400, "ValidationError")
    assert reply.json["message"].endswith("has oversize body.")
    assert reply.input.tell() == len(body)
    assert planes.asked == []


@pytest.mark.parametrize("size", [0, 1, LIMIT])
def test_a_body_may_come_in_chunks(planes: Planes, size: int) -> None:
    """Without Content-Length the server says where the body ends."""
    Reply(
        planes,
        bytes(size),
        PATH_INFO="/endpoints/e/invocations",
        CONTENT_LENGTH="",
        **{"wsgi.input_terminated": True},
    )

    assert [len(asked.body) for asked in planes.asked] == [size]


def test_what_follows_the_body_is_not_read(planes: Planes) -> None:
    """Content-Length bounds the body: a WSGI stream may go on."""
    reply = Reply(planes, b"body and more", PATH_INFO="/endpoints/e/invocations", CONTENT_LENGTH="4")

    assert planes.asked[0].body == b"body"
    assert reply.input.tell() == 4


def test_the_route_of_openai_asks_the_endpoint(planes: Planes) -> None:
    """Whether its token is good was seen to by the gateway."""
    reply = Reply(planes, b"in", PATH_INFO="/endpoints/e/openai/v1/chat/completions")

    assert (reply.status, reply.body) == (200, b"answer")
    assert planes.asked[0].kind == "openai/v1/chat/completions"


@given(st.lists(st.binary(max_size=40) | st.just(b"\n\n") | st.just(b"x" * 20_000), max_size=6))
def test_a_streams_parts_are_what_the_sdk_reads(pieces: list[bytes]) -> None:
    """Whole events where they are short, in AWS's framing, as botocore's own reader has it."""
    body = b"".join(pieces)
    reader = EventStreamBuffer()
    reader.add_data(b"".join(event_stream.parts(body)))

    events = list(reader)

    assert b"".join(event.payload for event in events) == body
    assert all(event.headers[":event-type"] == "PayloadPart" for event in events)
    assert all(event.payload for event in events)
    assert all(b"\n\n" not in event.payload[:-2] for event in events)
