"""The consumers of a request before anything is made: whether each may be switched, exists and can be read.

Thin: looks at each once, and tells all that is wrong. PlanDeployment asks here, and the command line before it uploads.
Refuses to change a function.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from botocore.exceptions import ClientError

from pipeline import naming
from pipeline.aws import service_errors
from pipeline.errors import ConsumerNotAllowed, ConsumerNotFound, ConsumerUnreadable, Problem
from pipeline.planning import consumer_claims
from pipeline.planning.consumer import Configuration, unfit
from pipeline.planning.function_names import Reach
from pipeline.rollout import release_store

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pipeline.aws.clients import Clients
    from pipeline.state_data.request_types import Request, RequestedConsumer, StackDefaults

ANY: Final = "*"


def reach(defaults: StackDefaults, execution: str) -> Reach:
    """Return which functions the stack of an execution may switch.

    Args:
        defaults: of the stack. An execution that an older stack started, and that is entered again, has no pattern.
        execution: its ARN.
    """
    machine = execution.split(":")[-2]
    return Reach(
        pattern=defaults.get("consumer_function_pattern") or ANY,
        account_id=defaults["account_id"],
        region=defaults["region"],
        stack=machine.removesuffix(naming.MACHINE_SUFFIX),
    )


def require_allowed(consumers: Sequence[RequestedConsumer], within: Reach) -> None:
    """Refuse functions that the stack may not switch; no call is made.

    Raises:
        ConsumerNotAllowed: with every one of them.
    """
    found = [within.problem(one.function_name) for one in consumers]
    if problems := [problem for problem in found if problem is not None]:
        raise ConsumerNotAllowed("consumer", problems)


def read_variables(clients: Clients, consumers: Sequence[RequestedConsumer]) -> list[str | None]:
    """Return what the variable of each consumer holds now.

    Raises:
        ConsumerNotFound: with all that are missing, and those that cannot be read.
        ConsumerUnreadable: with those that cannot be read, when none is missing.
    """
    missing: list[Problem] = []
    unreadable: list[Problem] = []
    values = []
    for one in consumers:
        try:
            values.append(_called(clients, one, missing))
        except ConsumerUnreadable as refusal:
            unreadable.extend(refusal.problems)
    if missing:
        raise ConsumerNotFound("consumer", [*missing, *unreadable])
    if unreadable:
        raise ConsumerUnreadable("consumer", unreadable)
    return values


def claimed_by_others(
    clients: Clients, request: Request, values: Sequence[str | None]
) -> list[consumer_claims.Claim]:
    """Return which consumers of a request other services have now.

    Args:
        clients: of SageMaker.
        request: the deployment's.
        values: what the variable of each consumer holds.
    """
    named = [value for value in dict.fromkeys(values) if value]
    found = {value: release_store.owner(clients.sagemaker, value) for value in named}
    owners = {value: service for value, service in found.items() if service}
    return consumer_claims.of_others(request.consumers, values, owners, request.service)


def _called(clients: Clients, one: RequestedConsumer, missing: list[Problem]) -> str | None:
    name, alias = one.function_name, one.alias
    try:
        found = clients.lambda_.get_function_configuration(
            FunctionName=name, **({"Qualifier": alias} if alias else {})
        )
    except ClientError as error:
        if not service_errors.is_missing(error):
            raise
        seen = f"no function {name!r}" + (f" with an alias {alias!r}" if alias else "")
        wanted, fix = "the Lambda that calls the endpoint", "correct consumer.function_name"
        missing.append(Problem("ConsumerNotFound", seen, wanted, fix))
        return None
    value = Configuration.from_response(found).variables.get(one.variable)
    problem = unfit(one.variable, name, value)
    missing.extend([problem] if problem else [])
    return value
