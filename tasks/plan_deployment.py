"""PlanDeployment: what will be created, under which names and of which size; nothing is created here.

Looks at the consumers, at the account's serverless endpoints and at the quota, since a plan depends on them.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from pipeline import aws, occupancy, plan
from pipeline.consumer import Configuration, unfit
from pipeline.errors import ConsumerNotFound, Problem

if TYPE_CHECKING:
    from pipeline.aws import Clients


def run(event: dict[str, Any], clients: Clients) -> dict[str, Any]:
    """Return the plan (`pipeline.plan.Plan`).

    Raises:
        ModelDoesNotFit: when no allowed size holds the model.
        ConsumerNotFound: when a consumer is missing; better now than after the endpoint was made.
    """
    checked = event["results"]["check_archive"]
    request = checked["request"]
    called = _see_consumers(request["consumers"], clients)
    facts = plan.Facts(
        request=request,
        archive=checked["archive"],
        model=checked["model"],
        assembly=checked["assembly"],
        execution=event["execution"],
        region=event["defaults"]["region"],
        today=date.fromisoformat(event["started"][:10]),
        serving=next(filter(None, called), None),
        earlier=event["results"].get("plan_deployment"),
    )
    plan.plan(facts)  # What fits nowhere is refused before the account is looked at.
    return dict(plan.plan(replace(facts, situation=occupancy.look(clients, request["service"]))))


def _see_consumers(consumers: list[dict[str, Any]], clients: Clients) -> list[str | None]:
    """Return the endpoint that each consumer calls now; refuse with all that are missing."""
    problems: list[Problem] = []
    called = [_called(one, clients, problems) for one in consumers]
    if problems:
        raise ConsumerNotFound("consumer", problems)
    return called


def _called(consumer: dict[str, Any], clients: Clients, problems: list[Problem]) -> str | None:
    name, alias = consumer["function_name"], consumer["alias"]
    try:
        found = clients.lambda_.get_function_configuration(
            FunctionName=name, **({"Qualifier": alias} if alias else {})
        )
    except ClientError as error:
        if not aws.is_missing(error):
            raise
        seen = f"no function {name!r}" + (f" with an alias {alias!r}" if alias else "")
        wanted, fix = "the Lambda that calls the endpoint", "correct consumer in the input"
        problems.append(Problem("ConsumerNotFound", seen, wanted, fix))
        return None
    value = Configuration.from_response(found).variables.get(consumer["variable"])
    problem = unfit(consumer["variable"], name, value)
    problems.extend([problem] if problem else [])
    return value


handler = aws.task(run)
