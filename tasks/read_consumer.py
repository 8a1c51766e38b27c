"""ReadConsumer: how the consumers and the service's parameter are before the switch, whose they are, whose turn it is.

They are read again when somebody else switched one between the reading and the switch. Nothing is changed here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NoReturn, NotRequired, TypeAlias, TypedDict

from pipeline import naming
from pipeline.aws import lambda_handler
from pipeline.aws.permissions import CONSUMERS, ENDPOINT_CONFIGS, ENDPOINTS, EXECUTIONS, PARAMETERS, allow
from pipeline.errors import ConsumerBusy, ConsumerChanged, ConsumerNotFound
from pipeline.planning import consumer, consumer_claims
from pipeline.rollout import consumer_switch, endpoint_parameter, release_store
from pipeline.state_data import switch_types
from pipeline.state_data.plan_types import Plan
from pipeline.state_data.request_types import RequestedConsumer

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from pipeline.aws.clients import Clients
    from pipeline.rollout.releases import Release

MOST_READS: Final = 5
"""A switch that comes too late so often is given up; each time another deployment has come first."""


class SwitchRequest(TypedDict):
    """Of CheckArchive's request, what the reading depends on."""

    default_consumer: NotRequired[bool]
    """An execution that was started before the stack was updated does not tell."""


class SwitchArchive(TypedDict):
    """The same of its archive."""

    last_modified: str
    """ISO 8601."""


class SwitchChecked(TypedDict):
    """The same of its result."""

    request: NotRequired[SwitchRequest]
    archive: SwitchArchive


class SwitchResults(TypedDict):
    """The execution's data, as far as the reading depends on them."""

    check_archive: SwitchChecked
    plan_deployment: Plan
    read_consumer: NotRequired[switch_types.Read]
    """What was read before another deployment switched one."""


class Event(TypedDict):
    """Whom to read, and the execution's data."""

    consumers: list[RequestedConsumer]
    results: SwitchResults


Result: TypeAlias = switch_types.Read


def run(event: Event, clients: Clients) -> Result:
    """Return how the consumers and the parameter are now, and how often they were read.

    Raises:
        ConsumerTaken: when another service has one since the plan, and the request does not say to take it over.
        Superseded: when one calls a newer upload of the service, or the parameter names it.
        ConsumerNotFound: when a variable or the parameter holds what is no endpoint's name and too long to put back.
        ConsumerBusy: while the deployment that one calls, or the parameter names, is still being tried.
        ConsumerChanged: when somebody changed one during the switch who is no deployment.
        ConsumerUnreadable: when the variables of one cannot be read.
    """
    asked, results = event["consumers"], event["results"]
    earlier = results.get("read_consumer")
    reads = earlier.reads if earlier is not None else 0
    values = [_value(one, clients) for one in asked]
    plan = results["plan_deployment"]
    endpoint = plan.names.endpoint
    name = naming.endpoint_parameter(naming.stack_of(plan.execution), plan.service)
    parameter = endpoint_parameter.read(clients.ssm, name)
    if problem := consumer.unfit_parameter(name, parameter.value):
        raise ConsumerNotFound("parameter", [problem])
    if earlier is not None and earlier.reads >= MOST_READS:
        _refuse_again(values, parameter, earlier)
    own, others = _served(values, plan, clients)
    if parameter.value is not None and parameter.value not in values:
        there = release_store.release_at(clients.sagemaker, parameter.value, plan.service)
        own |= {parameter.value: there} if there is not None else {}
    # The stack's own consumer, which nobody named, is left to a service that was faster.
    stay = consumer_claims.left(
        consumer_claims.of_others(asked, values, others, plan.service),
        asked,
        default=results["check_archive"].get("request", {}).get("default_consumer", False),
    )
    if earlier is not None:
        for value, before in zip(values, earlier.consumers, strict=True):
            if value not in others:
                whose = f"{before.variable} of {before.function_name}"
                _check_owner(whose, value, before.value, plan.service)
        if earlier.parameter is not None:
            _check_owner(f"parameter {name}", parameter.value, earlier.parameter.value, plan.service)
            # What was switched before another one was found moved is put back to what it was then.
            parameter = earlier.parameter if parameter.value == endpoint else parameter
    _turns(own, results, clients, holding=endpoint in values)
    if stay:
        instead = consumer_claims.without(stay, plan.notes)
        return switch_types.Read(consumers=(), reads=reads + 1, instead=instead, parameter=parameter)
    return switch_types.Read(
        consumers=tuple(
            earlier.consumers[n]
            if earlier is not None and value == endpoint
            else _before(one, value, clients)
            for n, (one, value) in enumerate(zip(asked, values, strict=True))
        ),
        reads=reads + 1,
        instead=None,
        parameter=parameter,
    )


def _value(asked: RequestedConsumer, clients: Clients) -> str | None:
    now = clients.lambda_.get_function_configuration(FunctionName=asked.function_name)
    value = consumer.Configuration.from_response(now).variables.get(asked.variable)
    # Somebody may have changed it since the plan.
    problem = consumer.unfit(asked.variable, asked.function_name, value)
    if problem:
        raise ConsumerNotFound("consumer", [problem])
    return value


def _before(asked: RequestedConsumer, value: str | None, clients: Clients) -> switch_types.Before:
    name, alias_name = asked.function_name, asked.alias
    routes = consumer_switch.routes(clients.lambda_, name, alias_name) if alias_name else None
    return switch_types.Before(
        function_name=name,
        variable=asked.variable,
        value=value,
        alias=alias_name,
        alias_version=routes.version if routes else None,
        alias_routing=(routes.weights or None) if routes else None,
    )


def _served(
    values: Sequence[str | None], plan: Plan, clients: Clients
) -> tuple[dict[str, Release], dict[str, str]]:
    """Return what of the called endpoints is the service's own, with its release, and another's, with its service.

    Raises:
        ConsumerBusy: while another's is being tried: it may yet be undone. Whoever holds another consumer does not
            wait: two that do would wait for each other.
    """
    service = plan.service
    own: dict[str, Release] = {}
    others: dict[str, str] = {}
    waits = []
    for value in dict.fromkeys(filter(None, values)):
        there = release_store.release_at(clients.sagemaker, value, service)
        if there is not None:
            own[value] = there
            continue
        other = None if value == plan.names.endpoint else release_store.owner(clients.sagemaker, value)
        if other is None or other == service:
            continue
        others[value] = other
        execution = release_store.being_tried(clients, value, other)
        if execution and plan.names.endpoint not in values:
            waits.append(f"endpoint {value!r} of service {other!r} is being tried by execution {execution!r}")
    if waits:
        reason = "; ".join(waits)
        raise ConsumerBusy(f"{reason}; wanted it to be settled", waiting=reason)
    return own, others


def _check_owner(whose: str, value: str | None, before: str | None, service: str) -> None:
    """Refuse what a person set during the switch."""
    ours = value is not None and naming.is_named_after(value, service)
    if value != before and not ours:
        raise ConsumerChanged(
            f"{whose} is {value!r} and was {before!r} when it was "
            "read; wanted nobody else to change it during the switch; start the execution again"
        )


def _refuse_again(
    values: Sequence[str | None], parameter: switch_types.ParameterBefore, earlier: switch_types.Read
) -> NoReturn:
    """Refuse to read for ever."""
    seen = [
        f"{before.variable} of {before.function_name} is {value!r}"
        for value, before in zip(values, earlier.consumers, strict=True)
    ]
    now = ", ".join([*seen, f"parameter {parameter.name} is {parameter.value!r}"])
    raise ConsumerChanged(
        f"{now}: changed by others {MOST_READS} times during the switch; wanted it to stay as it was read; start the "
        "execution again"
    )


def _turns(own: Mapping[str, Release], results: SwitchResults, clients: Clients, *, holding: bool) -> None:
    """Check every endpoint that is called: one newer upload supersedes this deployment, before any waiting."""
    plan = results["plan_deployment"]
    waits = []
    for value, there in own.items():
        wait = release_store.upload_precedence(
            clients,
            value,
            seen=there,
            service=plan.service,
            uploaded_at=results["check_archive"]["archive"]["last_modified"],
            execution=plan.execution,
            holding=holding,
        )
        if wait:
            waits.append(wait)
    if waits:
        reason = "; ".join(waits)
        raise ConsumerBusy(f"{reason}; wanted it to be settled", waiting=reason)


handler = lambda_handler.Task(
    run,
    errors=(ConsumerBusy,),
    may=(
        allow("lambda:GetFunctionConfiguration", "lambda:GetAlias", on=CONSUMERS),
        allow(
            "sagemaker:DescribeEndpoint",
            "sagemaker:ListTags",
            on=ENDPOINTS,
            why="Whose endpoint and which upload the consumer calls now, and whether that one is "
            "still being tried.",
        ),
        allow("sagemaker:DescribeEndpointConfig", "sagemaker:ListTags", on=ENDPOINT_CONFIGS),
        allow("states:DescribeExecution", on=EXECUTIONS),
        allow("ssm:GetParameter", "ssm:ListTagsForResource", on=PARAMETERS),
    ),
)
