"""PlanDeployment: what will be created, under which names and of which size; nothing is created here."""

from __future__ import annotations

from datetime import date
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from pipeline import aws, plan
from pipeline.errors import ConsumerNotFound, Problem

if TYPE_CHECKING:
    from pipeline.aws import Clients


def run(event: dict[str, Any], clients: Clients) -> dict[str, Any]:
    """Return the plan (`pipeline.plan.Plan`).

    Raises:
        ModelDoesNotFit: when no allowed size holds the model.
        ConsumerNotFound: when the consumer is missing; better now than after the endpoint was made.
    """
    checked = event["check_archive"]
    facts = plan.Facts(
        request=checked["request"],
        archive=checked["archive"],
        model=checked["model"],
        assembly=checked["assembly"],
        execution=event["execution"],
        region=event["defaults"]["region"],
        today=date.fromisoformat(event["started"][:10]),
    )
    if facts.request["consumer"] is not None:
        _see_consumer(facts.request["consumer"], clients)
    return dict(plan.plan(facts))


def _see_consumer(consumer: dict[str, Any], clients: Clients) -> None:
    name, alias = consumer["function_name"], consumer["alias"]
    try:
        clients.lambda_.get_function_configuration(
            FunctionName=name, **({"Qualifier": alias} if alias else {})
        )
    except ClientError as error:
        if not aws.is_missing(error):
            raise
        seen = f"no function {name!r}" + (f" with an alias {alias!r}" if alias else "")
        raise ConsumerNotFound(
            "consumer",
            [
                Problem(
                    "ConsumerNotFound",
                    seen,
                    "the Lambda that calls the endpoint",
                    "correct consumer in the input",
                )
            ],
        ) from error


handler = aws.task(run)
