"""InvokeEndpoint without the SDK's own HTTP: a request that is signed, and what an answer to it says.

For whoever sends many at once: the SDK's client holds a thread for each call. The signature, the reading of refusals
and the framing of streams are botocore's all the same. Refuses to send anything.
"""

from __future__ import annotations

from dataclasses import dataclass
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote

from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.eventstream import EventStreamBuffer
from botocore.exceptions import ClientError, EventStreamError
from botocore.parsers import create_parser

from pipeline import __version__, inference_component
from pipeline.aws import sdk_errors

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from botocore.credentials import ReadOnlyCredentials
    from botocore.model import ServiceModel

WHOLE, STREAMED = "InvokeEndpoint", "InvokeEndpointWithResponseStream"
"""The operations, as the service model names them."""
_PATHS: Final = {WHOLE: "invocations", STREAMED: "invocations-response-stream"}
_JSON: Final = "application/json"
_EVENTS: Final = "text/event-stream"


@dataclass(frozen=True, slots=True)
class SignedRequest:
    """A POST that is ready to be sent."""

    url: str
    headers: Mapping[str, str]


def sign(
    runtime: str,
    region: str,
    credentials: ReadOnlyCredentials,
    endpoint: str,
    body: bytes,
    *,
    operation: str = WHOLE,
    component: bool = False,
) -> SignedRequest:
    """Return the request that asks an endpoint.

    Args:
        runtime: the URL of SageMaker's runtime.
        region: it is in.
        credentials: the caller's.
        endpoint: its name.
        body: JSON.
        operation: WHOLE or STREAMED.
        component: whether the endpoint hosts an inference component, which answers.
    """
    accept = {"Accept": _JSON} if operation == WHOLE else {"X-Amzn-SageMaker-Accept": _EVENTS}
    url = f"{runtime}/endpoints/{quote(endpoint, safe='')}/{_PATHS[operation]}"
    request = AWSRequest(
        "POST",
        url,
        data=body,
        headers={"Content-Type": _JSON, "User-Agent": f"sealift/{__version__}", **accept}
        | inference_component.headers(endpoint, component=component),
    )
    SigV4Auth(credentials, "sagemaker", region).add_auth(request)
    return SignedRequest(url, dict(request.headers.items()))


def is_refusal(status: int) -> bool:
    """Return whether the SDK takes an answer of this status for an error."""
    return status >= HTTPStatus.MOVED_PERMANENTLY


class AnswerReader:
    """Reads answers as the SDK's client does, by its service model."""

    def __init__(self, model: ServiceModel) -> None:
        self._model = model
        self._parser: Any = create_parser(model.metadata["protocol"])

    def check(self, operation: str, status: int, headers: Mapping[str, str], body: bytes | None) -> None:
        """Raise for an answer that is a refusal, or not AWS's.

        Args:
            operation: WHOLE or STREAMED.
            status: of HTTP.
            headers: whose names are found in any case.
            body: None where a good answer's is not read yet.

        Raises:
            ClientError: AWS, or the container, refuses; with the members that the service model gives such an error.
            ServiceUnavailable: somebody else answered.
        """
        called: Any = self._model.operation_model(operation)
        answer = {"status_code": status, "headers": headers, "body": body}
        sdk_errors.check_answered_by_aws(called, answer)
        if not is_refusal(status):
            return
        answer["body"] = body or b""
        parsed: dict[str, Any] = dict(self._parser.parse(answer, called.output_shape))
        shape: Any = self._model.shape_for_error_code(parsed.get("Error", {}).get("Code", ""))
        if shape is not None:
            parsed.update(self._parser.parse(answer, shape))
        raise ClientError(parsed, operation)  # type: ignore[arg-type]


class StreamReader:
    """The payload of a response stream, out of AWS's framing, however its bytes were cut."""

    def __init__(self) -> None:
        self._buffer = EventStreamBuffer()

    def feed(self, piece: bytes) -> Iterator[bytes]:
        """Yield the payloads that are whole with this piece.

        Raises:
            EventStreamError: the stream says that it ends with a failure.
            botocore.eventstream.ParserError: it is not framed as AWS does.
        """
        self._buffer.add_data(piece)
        event: Any
        for event in self._buffer:
            if event.headers.get(":message-type") == "event":
                yield event.payload
            else:
                raise EventStreamError(_failure(event), STREAMED)


def _failure(event: Any) -> Any:
    """Return what an event that is none says, in the form of a response."""
    code = event.headers.get(":exception-type") or event.headers.get(":error-code") or "Unknown"
    message = event.headers.get(":error-message") or event.payload.decode("utf-8", "replace")
    return {"Error": {"Code": code, "Message": message}}
