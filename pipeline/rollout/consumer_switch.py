"""Moving a consumer Lambda to another endpoint, and back: the calls behind the decisions of `consumer`.

Each function does one thing and may be called again after any failure. Lambda needs a moment after an update;
that is told with ConsumerBusy, by `clients` where Lambda itself refuses, and the state machine comes back.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypedDict

from pipeline.errors import ConsumerBusy, ConsumerFailed, ConsumerMoved
from pipeline.planning import consumer
from pipeline.rollout import consumer_references
from pipeline.state_data import switch_types

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mypy_boto3_lambda import LambdaClient


class _Place(TypedDict):
    """What names an alias in a request."""

    FunctionName: str
    Name: str


def set_all(
    client: LambdaClient,
    befores: Sequence[switch_types.Before],
    endpoint_name: str,
    *,
    but: Sequence[bool] = (),
) -> None:
    """Bring the variables of all consumers to a new endpoint, unless somebody moved one: then none is changed.

    Lambda applies the updates side by side, so one that is busy does not hold up the next.

    Args:
        client: of Lambda.
        befores: all consumers, as they were read.
        endpoint_name: the new endpoint.
        but: which of them are only checked; none when empty.

    Raises:
        ConsumerBusy: while an update is in progress.
        ConsumerMoved: when a variable was changed by somebody since it was read.
    """
    check_only = [*but] or [False] * len(befores)
    # Switching the first one checks it too.
    for n, before in enumerate(befores):
        if n or check_only[n]:
            _check_unmoved(client, before, endpoint_name)
    busy: ConsumerBusy | None = None
    for before, only_checked in zip(befores, check_only, strict=True):
        if only_checked:
            continue
        name, variable, was = before.function_name, before.variable, before.value
        try:
            step = set_variable(client, name, variable, wanted=endpoint_name, expected=was)
        except ConsumerBusy as still:
            busy = still
        else:
            if step is consumer.SwitchStep.FOREIGN:
                raise _moved(before, endpoint_name)
    if busy is not None:
        raise busy


def _check_unmoved(client: LambdaClient, before: switch_types.Before, endpoint_name: str) -> None:
    now = _read(client, before.function_name)
    if now.variables.get(before.variable) not in (before.value, endpoint_name):
        raise _moved(before, endpoint_name)


def _moved(before: switch_types.Before, endpoint_name: str) -> ConsumerMoved:
    return ConsumerMoved(
        f"{before.variable} of {before.function_name} is neither {before.value!r}, as it was read, nor "
        f"{endpoint_name!r}; wanted nobody else to change it during the switch; it is read again"
    )


def set_variable(
    client: LambdaClient, function_name: str, variable: str, *, wanted: str | None, expected: str | None
) -> consumer.SwitchStep:
    """Bring one environment variable from `expected` to `wanted`; return DONE, or FOREIGN with nothing changed.

    Raises:
        ConsumerBusy: while an update, ours or somebody's, is in progress.
        ClientError: PreconditionFailedException when the configuration changed between our reading and our
            writing, which `pipeline.aws.clients` calls ConsumerChanged.
    """
    now = _read(client, function_name)
    step = consumer.next_step(now, variable, wanted=wanted, expected=expected)
    if step is consumer.SwitchStep.UPDATE:
        _write(client, now, consumer.merged(now.variables, variable, wanted))
        now = _read(client, function_name)
        step = consumer.next_step(now, variable, wanted=wanted, expected=expected)
    if step in (consumer.SwitchStep.WAIT, consumer.SwitchStep.UPDATE):
        raise ConsumerBusy(f"{function_name}: an update is in progress; wanted none")
    return step


def publish(client: LambdaClient, function_name: str, endpoint_name: str) -> str:
    """Publish $LATEST, marked with the endpoint that it calls; return the version.

    Publishing what is published changes nothing.
    """
    return client.publish_version(FunctionName=function_name, Description=consumer.mark(endpoint_name))[
        "Version"
    ]


def move(client: LambdaClient, function_name: str, alias: str, version: str) -> None:
    """Move all of an alias' calls to a version."""
    now = routes(client, function_name, alias)
    if (now.version, now.weights) != (version, {}):
        # Weights that are not mentioned stay, and would go on sending calls to another version.
        _route(client, _of(function_name, alias), now, consumer.Alias(version, {}))


def shift(client: LambdaClient, function_name: str, alias: str, version: str, weight: float) -> None:
    """Send a part of an alias' calls to a version; all others go where most of them went.

    Raises:
        ConsumerFailed: when the alias points to $LATEST, whose calls AWS does not divide.
    """
    now = routes(client, function_name, alias)
    if now.version == "$LATEST":
        raise ConsumerFailed(
            f"alias {alias} of {function_name} points to $LATEST; wanted a version, since AWS divides the calls of "
            "versions alone; publish one and point the alias to it, or leave consumer.canary out"
        )
    if version != now.version and now.weights != {version: weight}:
        _route(client, _of(function_name, alias), now, consumer.Alias(now.version, {version: weight}))


def restore_alias(client: LambdaClient, before: switch_types.Before, endpoint_name: str) -> bool:
    """Put the alias back if it sends calls to a version that calls `endpoint_name`; return whether it did.

    Its description was never touched.
    """
    alias, version = before.alias, before.alias_version
    if alias is None or version is None:
        return False
    name, weights = before.function_name, before.alias_routing or {}
    now = routes(client, name, alias)
    if (now.version, now.weights) == (version, weights):
        return False
    if not any(
        _calls(client, name, one, before.variable) == endpoint_name
        for one in sorted(now.versions - {version, *weights})
    ):
        return False
    _route(client, _of(name, alias), now, consumer.Alias(version, weights))
    return True


def published(client: LambdaClient, before: switch_types.Before, endpoint_name: str) -> list[str]:
    """Return the versions that were published for an endpoint and that no alias refers to."""
    name = before.function_name
    versions, aliases = consumer_references.versions(client, name), consumer_references.aliases(client, name)
    return consumer.deletable(versions, aliases, before.variable, endpoint_name)


def routes(client: LambdaClient, function_name: str, alias: str) -> consumer.Alias:
    """Return where an alias sends its calls."""
    return consumer.Alias.from_response(client.get_alias(**_of(function_name, alias)))


def _of(function_name: str, alias: str) -> _Place:
    return _Place(FunctionName=function_name, Name=alias)


def _route(client: LambdaClient, where: _Place, read: consumer.Alias, to: consumer.Alias) -> None:
    guard: dict[str, Any] = {"RevisionId": read.revision_id} if read.revision_id else {}
    client.update_alias(
        **where, FunctionVersion=to.version, RoutingConfig={"AdditionalVersionWeights": to.weights}, **guard
    )


def _calls(client: LambdaClient, function_name: str, version: str, variable: str) -> str | None:
    found = client.get_function_configuration(FunctionName=function_name, Qualifier=version)
    return consumer.Configuration.from_response(found).variables.get(variable)


def _read(client: LambdaClient, function_name: str) -> consumer.Configuration:
    return consumer.Configuration.from_response(client.get_function_configuration(FunctionName=function_name))


def _write(client: LambdaClient, read: consumer.Configuration, variables: dict[str, str]) -> None:
    guard: dict[str, Any] = {"RevisionId": read.revision_id} if read.revision_id else {}
    client.update_function_configuration(
        FunctionName=read.function_name, Environment={"Variables": variables}, **guard
    )
