"""CreateModel: the SageMaker model, which is the archive, the image and the environment under one name."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeAlias, TypedDict

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
    assembled: model_source.AssembledModel


Result: TypeAlias = idempotent_create.Created


def run(event: Event, clients: Clients) -> Result:
    """Create the model, or find that it is there already, just as requested."""
    request = model_source.pinned(event["request"], event["assembled"])
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
