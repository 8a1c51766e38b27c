"""Which endpoint serves a service now, and how it wants to be asked.

Reads what a rollback reads: the service's releases, and what its consumers call. `choose` decides, facts in, a release
out. Refuses to wait for one that is not there yet, and to call it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, TypeAlias

from botocore.exceptions import ClientError

from pipeline import inference_component, naming
from pipeline.aws import service_errors
from pipeline.client.endpoint import ServiceEndpoint
from pipeline.errors import ConsumerUnreadable, InvalidInput, Problem
from pipeline.gguf import questions
from pipeline.operations import executions, service_status
from pipeline.planning import consumer
from pipeline.rollout import release_store, releases

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from pipeline.aws.clients import Clients
    from pipeline.rollout.releases import Consumer, Release

    Output: TypeAlias = Callable[[str], Mapping[str, Any]]

_GOOD: Final = "one that has turned out good"
SERVING: Final = frozenset({"InService", "Updating"})
"""In which an endpoint answers: one that is updated does so with what it had."""


def find(
    clients: Clients, service: str, stack: str | None, *, output: Output | None = None
) -> ServiceEndpoint:
    """Return the endpoint that serves a service.

    Args:
        clients: of the account.
        service: its name.
        stack: whose deployments count; None for any.
        output: returns what an execution left, by its ARN; None: AWS is asked.

    Raises:
        InvalidInput: nothing of it was deployed, or nothing of it serves now.
    """
    account = release_store.read_releases(clients.sagemaker, service)
    found = [one for one in account.releases if stack is None or f":{stack}-deployment:" in one.execution]
    if not found:
        whose = f" of the stack {stack!r}" if stack else " in this account and region"
        tried = executions.tried(clients.stepfunctions, stack)
        if service in tried:
            raise _refused(
                service, "NothingServes", f"nothing of {service!r} is deployed{whose}", _GOOD, _look(service)
            )
        raise _refused(
            service,
            "NoDeployment",
            f"no deployment of {service!r}{whose}",
            "a service that was deployed",
            f"`sealift status` lists them{naming.slip(service, tried)}",
        )
    called = {called_by(clients, one) for one in service_status.callers(found)}
    now = releases.choose(found, {one for one in called if one})
    paused = max((one for one in found if one.is_paused), key=lambda one: one.age, default=None)
    if paused is not None and (now is None or not now.endpoint):
        raise _refused(
            service,
            "Paused",
            f"{service!r} is paused since {paused.paused_at}",
            "one that runs",
            f"`sealift resume {service}` brings it back",
        )
    if now is None or not now.endpoint:
        raise _refused(
            service,
            "NothingServes",
            f"{service!r} has {len(found)} deployment{'s' * (len(found) > 1)}, and none of them serves",
            _GOOD,
            _look(service),
        )
    if now.status not in SERVING:
        raise _refused(
            service,
            "NotInService",
            f"endpoint {now.endpoint!r} of {service!r} is {now.status}",
            "one that is InService",
            f"`sealift status {service}` tells more; `sealift rollback {service}` goes back to the one before",
        )
    return of(clients, service, now, now.endpoint, output)


def find_deployment(clients: Clients, service: str, endpoint: str) -> ServiceEndpoint:
    """Return a deployment of a service by its endpoint, whether it serves or not.

    Raises:
        InvalidInput: the service has no such endpoint, or it is not in service.
    """
    found = release_store.release_at(clients.sagemaker, endpoint, service)
    if found is None:
        raise _refused(
            service,
            "NoDeployment",
            f"{service!r} has no endpoint {endpoint!r}",
            "the endpoint of one of its deployments",
            f"`sealift status {service}` lists them",
        )
    if found.status not in SERVING:
        raise _refused(
            service,
            "NotInService",
            f"endpoint {endpoint!r} of {service!r} is {found.status}",
            "one that is InService",
            f"`sealift status {service}` lists the others",
        )
    return of(clients, service, found, endpoint)


def of(
    clients: Clients, service: str, release: Release, endpoint: str, output: Output | None = None
) -> ServiceEndpoint:
    """Return how the endpoint of a release is asked; `output` is that of `find`."""
    config = clients.sagemaker.describe_endpoint_config(EndpointConfigName=release.config)
    variants = config["ProductionVariants"]
    serverless = any("ServerlessConfig" in one for one in variants)
    parameter = naming.endpoint_parameter(naming.stack_of(release.execution), service)
    component = inference_component.is_hosted(config)
    left = output or (lambda arn: executions.output(clients.stepfunctions, arn))
    form = _form(left(release.execution))
    return ServiceEndpoint(service, endpoint, not serverless, form, component=component, parameter=parameter)


def called_by(clients: Clients, who: Consumer) -> str:
    """Return the endpoint that a consumer calls; empty where that cannot be told."""
    qualifier: Mapping[str, str] = {"Qualifier": who["alias"]} if who["alias"] else {}
    try:
        now = clients.lambda_.get_function_configuration(FunctionName=who["function_name"], **qualifier)
        return consumer.Configuration.from_response(now).variables.get(who["variable"]) or ""
    except ConsumerUnreadable:
        return ""
    except ClientError as error:
        if service_errors.is_missing(error) or service_errors.is_access_denied(error):
            return ""
        raise


def _look(service: str) -> str:
    return (
        f"`sealift watch {service}` follows one that is under way, `sealift history {service}` tells how the "
        "others ended"
    )


def _form(left: Mapping[str, Any]) -> str:
    """Return the field to ask with; messages where its execution is not known any more."""
    try:
        asked = left["plan_deployment"]["smoke_test"]["ask_with"]
    except (KeyError, TypeError):
        return questions.MESSAGES
    return asked if asked in questions.FORMS else questions.MESSAGES


def _refused(service: str, error: str, seen: str, wanted: str, fix: str) -> InvalidInput:
    return InvalidInput(f"service {service}", [Problem(error, seen, wanted, fix)])
