"""AWS calls that fail on purpose: which, how often, and with which of AWS's own answers.

A fault is written `SERVICE.Operation=ErrorCode[:times]`, for instance
`sagemaker.CreateEndpoint=ResourceLimitExceeded:2`; without `times` it lasts for ever. Instead of an error code of AWS's
there may be one of `Accident`, which leave no answer at all: `sagemaker.CreateEndpoint=KilledAfter:1`. An error of
`IN_STREAM` comes after the first piece of the answer, as it does on AWS:
`sagemaker-runtime.InvokeEndpointWithResponseStream=ModelStreamError:1`.
"""

from __future__ import annotations

import json
import re
import threading
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import TYPE_CHECKING
from xml.sax.saxutils import escape

from botocore.exceptions import UnknownServiceError

from local_cloud.calls import AwsCall, service_model
from local_cloud.hosting.platform.refusals import AwsError
from pipeline.errors import InvalidInput, Problem
from pipeline.spelling import did_you_mean

if TYPE_CHECKING:
    from local_cloud.hosting.platform.event_stream import Coming
    from local_cloud.s3.contents import ObjectContent

MESSAGES = {
    "ResourceLimitExceeded": (
        "The account-level service limit 'Maximum total concurrency that can be allocated across all serverless "
        "endpoints' is 10, with current utilization of 10 and a request delta of 10. Please use AWS Service Quotas to "
        "request an increase for this quota. If AWS Service Quotas is not available, contact AWS support to request "
        "an increase for this quota."
    ),
    "ThrottlingException": "Rate exceeded",
    "AccessDeniedException": (
        "User: arn:aws:sts::123456789012:assumed-role/fault/fault is not authorized to perform: "
        "{action} because no identity-based policy allows the {action} action"
    ),
    "AccessDenied": "Access Denied",
    "InternalFailure": "The request processing has failed because of an unknown error, exception or failure.",
    "ServiceUnavailable": "The request has failed due to a temporary failure of the server.",
    "ModelStreamError": "An error occurred while streaming the response body.",
    "InternalStreamFailure": "The stream processing failed because of an unknown error, exception or failure.",
}
"""AWS's own texts where one is known, a quota's with the figures of a busy account; `{action}` is the IAM action."""

STATUSES = {
    "InternalFailure": 500,
    "InternalError": 500,
    "InternalServerError": 500,
    "ServiceException": 500,
    "ServerException": 500,
    "ServiceUnavailable": 503,
    "ServiceUnavailableException": 503,
    "SlowDown": 503,
    "AccessDenied": 403,
    "NoSuchKey": 404,
    "InvalidRange": 416,
    "ModelNotReadyException": 429,
    "TooManyRequestsException": 429,
    "ModelError": 424,
}
"""HTTP statuses other than 400."""

IN_STREAM = {"ModelStreamError": {"ErrorCode": "StreamBroken"}, "InternalStreamFailure": {}}
"""Errors that come in the middle of a streamed answer, each with its members beside the message (botocore's model)."""

REQUEST_ID = "00000000-0000-0000-0000-000000000000"
"""Of every answer that was made up: SDKs, moto's interpreter among them, expect one."""

IAM_PREFIXES = {"monitoring": "cloudwatch"}
"""Services whose actions have another prefix in IAM than their name in a signature."""


class Accident(StrEnum):
    """How a call ends without an answer; whoever is not a function of the local cloud only loses the answer."""

    ANSWER_LOST = "AnswerLost"
    """The call is carried out, and the connection is cut before its answer."""
    KILLED_BEFORE = "KilledBefore"
    """The calling function's process is killed, and the call is not carried out."""
    KILLED_AFTER = "KilledAfter"
    """The call is carried out, and the calling function's process is killed."""
    TIMED_OUT = "TimedOut"
    """The call is carried out and never answered, until the calling function is out of time; nobody waits for that."""

    @property
    def takes_effect(self) -> bool:
        """Whether the call is carried out."""
        return self is not Accident.KILLED_BEFORE

    @property
    def ends_function(self) -> bool:
        """Whether the calling function's process is killed."""
        return self is not Accident.ANSWER_LOST


_ACCIDENTS = {accident.value: accident for accident in Accident}

_SPEC = re.compile(r"(?P<service>[a-z0-9-]+)\.(?P<operation>[A-Z]\w+)=(?P<code>\w+)(?::(?P<times>\d+))?")


@dataclass(frozen=True, slots=True)
class Fault:
    """One kind of call that is to fail."""

    service: str
    operation: str
    code: str
    """Of AWS, or an `Accident`."""
    times: int | None = None
    """How often; None for ever."""
    caller: str | None = None
    """The function whose calls are to fail; None for everybody's."""
    after: int = 0
    """So many such calls go well first."""

    @property
    def accident(self) -> Accident | None:
        """The accident that the code names, if it does."""
        return _ACCIDENTS.get(self.code)

    def fits(self, call: AwsCall, caller: str) -> bool:
        """Return whether it is about such calls."""
        same = (self.service, self.operation) == (call.service, call.operation)
        return same and self.caller in (None, caller)

    @classmethod
    def parse(cls, spec: str) -> Fault:
        """Read a fault as people write it.

        Raises:
            InvalidInput: when it is not of the form, or no AWS service has such an operation.
        """
        match = _SPEC.fullmatch(spec)
        form = "SERVICE.Operation=ErrorCode[:times]"
        example = "sagemaker.CreateEndpoint=ResourceLimitExceeded:2"
        if match is None:
            raise InvalidInput(
                "fault", [Problem("WrongValue", repr(spec), form, f"write for instance {example}")]
            )
        try:
            operations = service_model(match["service"]).operation_names
        except UnknownServiceError:
            operations = []
        if match["operation"] not in operations:
            seen = f"{match['service']}.{match['operation']}"
            raise InvalidInput(
                "fault",
                [
                    Problem(
                        "UnknownOperation",
                        repr(seen),
                        "an operation of an AWS service",
                        did_you_mean(match["operation"], operations, f"write for instance {example}"),
                    )
                ],
            )
        return cls(
            match["service"],
            match["operation"],
            match["code"],
            int(match["times"]) if match["times"] else None,
        )


@dataclass(frozen=True, slots=True)
class Response:
    """An HTTP response."""

    status: int
    headers: dict[str, str]
    body: bytes
    stream: ObjectContent | None = None
    """What the body is when it is too much for the memory."""
    coming: Coming | None = None
    """What the body is when it goes out as it comes."""


@dataclass(slots=True)
class Faults:
    """The faults in force, and how often each has struck."""

    faults: list[Fault] = field(default_factory=list)
    _seen: dict[Fault, int] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def strike(self, call: AwsCall, caller: str = "") -> Fault | None:
        """Return the fault that a call meets now, and count the call; None when nothing happens to it."""
        with self._lock:
            for fault in self.faults:
                if not fault.fits(call, caller):
                    continue
                seen = self._seen[fault] = self._seen.get(fault, 0) + 1
                if seen > fault.after and (fault.times is None or seen <= fault.after + fault.times):
                    return fault
        return None

    def struck(self, fault: Fault) -> int:
        """Return how often a fault in force has struck."""
        with self._lock:
            counted = max(0, self._seen.get(fault, 0) - fault.after)
        return counted if fault.times is None else min(counted, fault.times)

    def replace(self, faults: list[Fault]) -> None:
        """Put other faults in force and forget the count."""
        with self._lock:
            self.faults = list(faults)
            self._seen.clear()


def break_off(response: Response, code: str) -> Response:
    """Return an answer that ends in its middle with an error of `IN_STREAM`; what does not stream stays as it is."""
    if response.coming is None:
        return response
    error = AwsError(code, MESSAGES[code], 424, IN_STREAM[code])
    return replace(response, coming=response.coming.ended_by(error))


def render(call: AwsCall, code: str, message: str | None = None) -> Response:
    """Return an error as the service's protocol gives it, so that an SDK makes the right exception of it."""
    model = service_model(call.service)
    action = f"{IAM_PREFIXES.get(model.signing_name, model.signing_name)}:{call.operation}"
    text = message or MESSAGES.get(code, f"made to fail by --fault {call}={code}").replace("{action}", action)
    status = STATUSES.get(code, 400)
    # CloudWatch's model names CBOR first, and boto3 speaks JSON with it where CBOR is not asked for.
    spoken = {model.protocol, *model.metadata.get("protocols", ())}
    if spoken & {"json", "rest-json"}:
        body = json.dumps({"__type": code, "message": text, "Message": text})
        return Response(
            status,
            {
                "Content-Type": "application/x-amz-json-1.1",
                "x-amzn-ErrorType": code,
                "x-amzn-RequestId": REQUEST_ID,
            },
            body.encode(),
        )
    error = f"<Code>{escape(code)}</Code><Message>{escape(text)}</Message>"
    if call.service == "s3":
        body = f"<Error>{error}<RequestId>{REQUEST_ID}</RequestId></Error>"
    else:
        error_response = f"<Error><Type>Sender</Type>{error}</Error><RequestId>{REQUEST_ID}</RequestId>"
        body = f"<ErrorResponse>{error_response}</ErrorResponse>"
    return Response(status, {"Content-Type": "text/xml"}, body.encode())
