"""CreateModel: the SageMaker model, which is the archive, the image and the environment under one name."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pipeline import model_source
from pipeline.aws import lambda_handler
from pipeline.rollout import idempotent_create

if TYPE_CHECKING:
    from pipeline.aws.clients import Clients


def run(event: dict[str, Any], clients: Clients) -> dict[str, Any]:
    """Create the model; return `name`, `arn` and whether it was `created` now."""
    request = model_source.pinned(event["request"], event["assembled"])
    found, created = idempotent_create.create(
        clients.sagemaker.create_model,
        clients.sagemaker.describe_model,
        request,
        name_field="ModelName",
        compared=("PrimaryContainer", "ExecutionRoleArn"),
    )
    return {"name": request["ModelName"], "arn": found["ModelArn"], "created": created}


handler = lambda_handler.task(run)
