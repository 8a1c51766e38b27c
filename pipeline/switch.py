"""Moving a consumer Lambda to another endpoint, and back: the calls behind the decisions of `pipeline.consumer`.

Each function does one thing and may be called again after any failure. Lambda needs a moment after an update;
that is told with ConsumerBusy, by `pipeline.aws` where Lambda itself refuses, and the state machine comes back.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pipeline import consumer
from pipeline.errors import ConsumerBusy

if TYPE_CHECKING:
    from mypy_boto3_lambda import LambdaClient


def set_variable(
    client: LambdaClient, function_name: str, variable: str, *, wanted: str | None, expected: str | None
) -> consumer.Step:
    """Bring one environment variable from `expected` to `wanted`; return DONE, or FOREIGN with nothing changed.

    Raises:
        ConsumerBusy: while an update, ours or somebody's, is in progress.
        ClientError: PreconditionFailedException when the configuration changed between our reading and our
            writing, which `pipeline.aws` calls ConsumerChanged.
    """
    now = _read(client, function_name)
    step = consumer.next_step(now, variable, wanted=wanted, expected=expected)
    if step is consumer.Step.UPDATE:
        _write(client, now, consumer.merged(now.variables, variable, wanted))
        now = _read(client, function_name)
        step = consumer.next_step(now, variable, wanted=wanted, expected=expected)
    if step in (consumer.Step.WAIT, consumer.Step.UPDATE):
        raise ConsumerBusy(f"{function_name}: an update is in progress; wanted none")
    return step


def publish(client: LambdaClient, function_name: str, alias: str) -> str:
    """Publish $LATEST and move all of the alias to it; return the version.

    Publishing what is published changes nothing.
    """
    version = client.publish_version(FunctionName=function_name)["Version"]
    if client.get_alias(FunctionName=function_name, Name=alias)["FunctionVersion"] != version:
        # Weights that are not mentioned stay, and would go on sending calls to another version.
        client.update_alias(
            FunctionName=function_name,
            Name=alias,
            FunctionVersion=version,
            RoutingConfig={"AdditionalVersionWeights": {}},
        )
    return version


def restore_alias(client: LambdaClient, before: consumer.Before, endpoint_name: str) -> bool:
    """Put the alias back if it points to a version that calls `endpoint_name`; return whether it did."""
    alias, version = before["alias"], before["alias_version"]
    if alias is None or version is None:
        return False
    name = before["function_name"]
    now = consumer.Configuration.from_response(
        client.get_function_configuration(FunctionName=name, Qualifier=alias)
    )
    if now.variables.get(before["variable"]) != endpoint_name or now.version == version:
        return False
    client.update_alias(
        FunctionName=name,
        Name=alias,
        FunctionVersion=version,
        RoutingConfig={"AdditionalVersionWeights": before["alias_routing"] or {}},
    )
    return True


def _read(client: LambdaClient, function_name: str) -> consumer.Configuration:
    return consumer.Configuration.from_response(client.get_function_configuration(FunctionName=function_name))


def _write(client: LambdaClient, read: consumer.Configuration, variables: dict[str, str]) -> None:
    guard: dict[str, Any] = {"RevisionId": read.revision_id} if read.revision_id else {}
    client.update_function_configuration(
        FunctionName=read.function_name, Environment={"Variables": variables}, **guard
    )
