"""CreateModel: the SageMaker model, which is the archive, the image and the environment under one name.

On instances there are as many as the types of the plan have different images and environments.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NotRequired, TypedDict

from pipeline import model_source
from pipeline.aws import lambda_handler
from pipeline.aws.permissions import ENDPOINT_ROLE, MODELS, PASSED_TO_SAGEMAKER, allow
from pipeline.errors import NotYetVisible, ResourceLimitExceeded
from pipeline.rollout import idempotent_create

if TYPE_CHECKING:
    from pipeline.aws.clients import Clients


class Event(TypedDict):
    """What the plan says of the model, and what was assembled for it."""

    request: dict[str, Any]
    """CreateModel's parameters."""
    others: NotRequired[list[dict[str, Any]]]
    """ModelName and PrimaryContainer of the models that other instance types need, which are alike in all else. An
    execution of an older release has none."""
    assembled: model_source.AssembledModel


class Result(idempotent_create.Created):
    """What was created."""

    others: list[idempotent_create.Created]


def run(event: Event, clients: Clients) -> Result:
    """Create the models, or find that they are there already, just as requested."""
    request = event["request"]
    others = [{**request, **one} for one in event.get("others", ())]
    made, *more = [_create(one, event, clients) for one in (request, *others)]
    return {**made, "others": more}


def _create(request: dict[str, Any], event: Event, clients: Clients) -> idempotent_create.Created:
    request = model_source.pinned(request, event["assembled"])
    found, created = idempotent_create.create(
        clients.sagemaker.create_model,
        clients.sagemaker.describe_model,
        request,
        name_field="ModelName",
        compared=("PrimaryContainer", "ExecutionRoleArn"),
    )
    return {"name": request["ModelName"], "arn": found["ModelArn"], "created": created}


handler = lambda_handler.Task(
    run,
    errors=(ResourceLimitExceeded, NotYetVisible),
    may=(
        allow("sagemaker:CreateModel", "sagemaker:DescribeModel", "sagemaker:AddTags", on=MODELS),
        allow("iam:PassRole", on=ENDPOINT_ROLE, when=PASSED_TO_SAGEMAKER),
    ),
)
