"""CreateComponent: asks for the inference component of an endpoint in service; PollEndpoint sees what becomes of it.

Only where the deployment scales to zero: the endpoint itself has no model then.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeAlias, TypedDict

from pipeline.aws import lambda_handler
from pipeline.aws.permissions import COMPONENTS, ENDPOINTS, LOOKS_AT_COMPONENTS, allow
from pipeline.errors import NotYetVisible, ResourceLimitExceeded
from pipeline.rollout import component_api, idempotent_create

if TYPE_CHECKING:
    from pipeline.aws.clients import Clients

Result: TypeAlias = idempotent_create.Created


class Event(TypedDict):
    """What the plan says of the component."""

    request: dict[str, Any]
    """CreateInferenceComponent's parameters."""


def run(event: Event, clients: Clients) -> Result:
    """Create the component, or find that it is there already.

    Raises:
        NameConflict: when its name is that of another endpoint's component.
    """
    return component_api.create(clients, event["request"])


handler = lambda_handler.Task(
    run,
    errors=(ResourceLimitExceeded, NotYetVisible),
    may=(
        allow(
            "sagemaker:CreateInferenceComponent",
            on=(COMPONENTS, ENDPOINTS),
            why="CreateInferenceComponent is checked against the component and its endpoint.",
        ),
        allow("sagemaker:AddTags", on=COMPONENTS),
        LOOKS_AT_COMPONENTS,
    ),
)
