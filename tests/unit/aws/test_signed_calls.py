"""Calls that are signed here and sent elsewhere: the same as the SDK's, and read as the SDK reads them."""

from __future__ import annotations

import contextlib
from typing import Any

import boto3
import pytest
from botocore.awsrequest import AWSResponse
from botocore.credentials import ReadOnlyCredentials
from botocore.eventstream import ParserError
from botocore.exceptions import ClientError, EventStreamError
from multidict import CIMultiDict

from local_cloud.hosting.platform import event_stream
from pipeline.aws import signed_calls
from pipeline.aws.signed_calls import STREAMED, WHOLE, StreamReader
from pipeline.errors import ServiceUnavailable
from tests.fake_runtime import REGION, failed, framed, reader


def by_the_sdk(operation: str) -> Any:
    """Return the request that the SDK would send."""
    client = boto3.client(
        "sagemaker-runtime",
        region_name=REGION,
        aws_access_key_id="AKIA",
        aws_secret_access_key="secret",
        aws_session_token="token",
    )
    sent: list[Any] = []

    def keep(request: Any, **_more: Any) -> AWSResponse:
        sent.append(request)
        return AWSResponse(request.url, 500, {}, None)

    client.meta.events.register("before-send", keep)
    call: Any = client.invoke_endpoint if operation == WHOLE else client.invoke_endpoint_with_response_stream
    accept = "application/json" if operation == WHOLE else "text/event-stream"
    with contextlib.suppress(Exception):  # nothing is answered
        call(EndpointName="demo-1", ContentType="application/json", Accept=accept, Body=b"{}")
    return sent[0]


@pytest.mark.parametrize("operation", [WHOLE, STREAMED])
def test_a_request_is_the_sdks(operation: str) -> None:
    """The same place, the same headers, the same ones of them signed."""
    theirs = by_the_sdk(operation)
    ours = signed_calls.sign(
        f"https://runtime.sagemaker.{REGION}.amazonaws.com",
        REGION,
        ReadOnlyCredentials("AKIA", "secret", "token", None),
        "demo-1",
        b"{}",
        operation=operation,
    )

    def meant(headers: Any) -> dict[str, str]:
        text = {name.lower(): value for name, value in headers.items()}
        kept = {name: value if isinstance(value, str) else value.decode() for name, value in text.items()}
        for name in (
            "user-agent",
            "amz-sdk-invocation-id",
            "amz-sdk-request",
            "content-length",
            "x-amz-date",
        ):
            kept.pop(name, None)
        kept["authorization"] = kept["authorization"].partition("Signature=")[0].replace("amz-sdk-", "")
        return kept

    assert ours.url == theirs.url
    their_headers, our_headers = meant(theirs.headers), meant(ours.headers)
    their_signed, our_signed = (one.pop("authorization") for one in (their_headers, our_headers))
    assert our_headers == their_headers
    assert our_signed.partition("SignedHeaders")[0] == their_signed.partition("SignedHeaders")[0]


@pytest.mark.parametrize("status", [200, 300])
def test_a_good_answer_passes(status: int) -> None:
    """Whatever it says."""
    reader().check(WHOLE, status, CIMultiDict({"X-Amzn-RequestId": "1"}), b"anything")


@pytest.mark.parametrize("status", [301, 424])
def test_a_refusal_has_the_members_of_its_shape(status: int) -> None:
    """As the SDK's client adds them."""
    headers = CIMultiDict({"x-amzn-errortype": "ModelError", "x-amzn-requestid": "1"})
    with pytest.raises(ClientError) as refused:
        reader().check(STREAMED, status, headers, b'{"OriginalStatusCode": 400, "OriginalMessage": "no"}')
    found: Any = refused.value.response
    assert (found["Error"]["Code"], found["OriginalStatusCode"], found["OriginalMessage"]) == (
        "ModelError",
        400,
        "no",
    )
    assert refused.value.operation_name == STREAMED


def test_an_answer_of_somebody_elses_is_none() -> None:
    """Each of AWS's has an identifier."""
    with pytest.raises(ServiceUnavailable):
        reader().check(WHOLE, 200, CIMultiDict({"Content-Type": "text/html"}), b"<html>")


@pytest.mark.parametrize("size", [1, 7, 1000])
def test_a_stream_is_read_however_it_is_cut(size: int) -> None:
    """The payloads come out whole, in order."""
    payloads = [b"data: a\n\n", b"", b"data: [DONE]\n\n"]
    content = b"".join(framed(one) for one in payloads)
    stream = StreamReader()

    found = [one for at in range(0, len(content), size) for one in stream.feed(content[at : at + size])]

    assert found == payloads


def test_a_stream_tells_of_its_failure_after_what_came_before() -> None:
    """With the service's own words."""
    stream = StreamReader()
    found = stream.feed(framed(b"a") + failed("out of memory"))
    assert next(found) == b"a"
    with pytest.raises(EventStreamError, match=r"ModelStreamError.*out of memory"):
        next(found)

    unmodeled = event_stream.message(
        {":message-type": "error", ":error-code": "InternalFailure", ":error-message": "sorry"}, b""
    )
    with pytest.raises(EventStreamError, match=r"InternalFailure.*sorry"):
        list(StreamReader().feed(unmodeled))


def test_what_is_not_framed_is_told() -> None:
    """A page of a proxy's."""
    with pytest.raises(ParserError):
        list(StreamReader().feed(b"<html>" * 10))
