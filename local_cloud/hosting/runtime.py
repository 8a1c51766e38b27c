"""The runtime: InvokeEndpoint.

Owns the checks in front of the container and the form of the answer; what happens behind is `workers`.
"""

from __future__ import annotations

import secrets
import uuid
from dataclasses import dataclass
from typing import TYPE_CHECKING

from local_cloud.hosting.containers.server_process import ContainerCall
from local_cloud.hosting.platform import texts
from local_cloud.hosting.platform.refusals import AwsError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from local_cloud.hosting.fleet import Fleet
    from local_cloud.hosting.platform.settings import HostingSettings

_PREFIX = "x-amzn-sagemaker-"
_EXCLUDED_HEADERS = {
    f"{_PREFIX}target-model": "TargetModel",
    f"{_PREFIX}target-container-hostname": "TargetContainerHostname",
    f"{_PREFIX}inference-component": "InferenceComponentName",
    f"{_PREFIX}session-id": "SessionId",
    f"{_PREFIX}enable-explanations": "EnableExplanations",
}


@dataclass(frozen=True, slots=True)
class InvocationResponse:
    """A successful InvokeEndpoint, ready for HTTP."""

    status: int
    headers: dict[str, str]
    body: bytes


def new_request_id() -> str:
    """Return an identifier in the form that AWS gives its requests."""
    return str(uuid.UUID(bytes=secrets.token_bytes(16), version=4))


class Runtime:
    """Answers invocations from the endpoints of a fleet."""

    def __init__(self, fleet: Fleet, settings: HostingSettings) -> None:
        self._fleet = fleet
        self._settings = settings

    def invoke(
        self, name: str, body: bytes, content_type: str | None, accept: str | None, headers: Mapping[str, str]
    ) -> InvocationResponse:
        """Return the endpoint's answer; raise AwsError."""
        endpoint, worker = self._fleet.serving(name)
        if len(body) > self._settings.payload_bytes:
            raise AwsError("ValidationError", texts.oversize_body(new_request_id()))
        given = {key.lower(): value for key, value in headers.items()}
        for header, member in _EXCLUDED_HEADERS.items():
            if header in given:
                raise AwsError("ValidationError", texts.unsupported_on_serverless(member))
        variant = endpoint.current.variant_name if endpoint.current is not None else ""
        target = given.get(f"{_PREFIX}target-variant", variant)
        if target != variant:
            raise AwsError("ValidationError", texts.unknown_target_variant(target))
        answer = worker.invoke(
            ContainerCall(body, content_type, accept, given.get(f"{_PREFIX}custom-attributes"))
        )
        answered = {
            "Content-Type": answer.content_type or "application/octet-stream",
            "x-Amzn-Invoked-Production-Variant": variant,
        }
        if answer.custom_attributes is not None:
            answered["X-Amzn-SageMaker-Custom-Attributes"] = answer.custom_attributes
        return InvocationResponse(200, answered, answer.body)
