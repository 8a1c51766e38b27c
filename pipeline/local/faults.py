"""AWS calls that fail on purpose: which, how often, and with which of AWS's own answers.

A fault is written `SERVICE.Operation=ErrorCode[:times]`, for instance
`sagemaker.CreateEndpoint=ResourceLimitExceeded:2`; without `times` it lasts for ever.
"""

from __future__ import annotations

import json
import re
import threading
from dataclasses import dataclass, field
from xml.sax.saxutils import escape

from botocore.exceptions import UnknownServiceError

from pipeline.errors import InvalidInput, Problem
from pipeline.local.calls import Call, service_model

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
}
"""AWS's own texts where one is known, a quota's with the figures of a busy account; `{action}` is the IAM action."""

STATUSES = {
    "InternalFailure": 500,
    "InternalError": 500,
    "ServiceUnavailable": 503,
    "SlowDown": 503,
    "AccessDenied": 403,
    "NoSuchKey": 404,
    "ModelNotReadyException": 429,
    "TooManyRequestsException": 429,
    "ModelError": 424,
}
"""HTTP statuses other than 400."""

REQUEST_ID = "00000000-0000-0000-0000-000000000000"
"""Of every answer that was made up: SDKs, moto's interpreter among them, expect one."""

IAM_PREFIXES = {"monitoring": "cloudwatch"}
"""Services whose actions have another prefix in IAM than their name in a signature."""

_SPEC = re.compile(r"(?P<service>[a-z0-9-]+)\.(?P<operation>[A-Z]\w+)=(?P<code>\w+)(?::(?P<times>\d+))?")


@dataclass(frozen=True, slots=True)
class Fault:
    """One kind of call that is to fail."""

    service: str
    operation: str
    code: str
    times: int | None = None
    """How often; None for ever."""

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
            known = match["operation"] in service_model(match["service"]).operation_names
        except UnknownServiceError:
            known = False
        if not known:
            seen = f"{match['service']}.{match['operation']}"
            raise InvalidInput(
                "fault",
                [
                    Problem(
                        "UnknownOperation",
                        repr(seen),
                        "an operation of an AWS service",
                        f"write for instance {example}",
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


@dataclass(slots=True)
class Faults:
    """The faults in force, and how often each has struck."""

    faults: list[Fault] = field(default_factory=list)
    _struck: dict[Fault, int] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def strike(self, call: Call) -> Response | None:
        """Return the failure of a call that is to fail now, else None."""
        with self._lock:
            for fault in self.faults:
                count = self._struck.get(fault, 0)
                same = (fault.service, fault.operation) == (call.service, call.operation)
                if same and (fault.times is None or count < fault.times):
                    self._struck[fault] = count + 1
                    return render(call, fault.code)
        return None

    def replace(self, faults: list[Fault]) -> None:
        """Put other faults in force and forget the count."""
        with self._lock:
            self.faults = list(faults)
            self._struck.clear()


def render(call: Call, code: str, message: str | None = None) -> Response:
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
        told = f"<Error><Type>Sender</Type>{error}</Error><RequestId>{REQUEST_ID}</RequestId>"
        body = f"<ErrorResponse>{told}</ErrorResponse>"
    return Response(status, {"Content-Type": "text/xml"}, body.encode())
