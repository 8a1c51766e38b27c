"""The endpoints that are measured: which, on what they run, and what that costs. Refuses to ask them anything."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from pipeline.client import service_endpoint
from pipeline.errors import InvalidInput, Problem
from pipeline.gguf import questions
from pipeline.rollout import release_store
from pipeline.sizing import hourly_costs

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from pipeline.aws.clients import Clients
    from pipeline.client.endpoint import ServiceEndpoint
    from pipeline.sizing.running_cost import Cost


@dataclass(frozen=True, slots=True)
class LoadTarget:
    """An endpoint that is measured."""

    endpoint: ServiceEndpoint
    cost: Cost
    """Of an hour in which nobody calls it."""
    memory_mb: int | None = None
    """Of a serverless endpoint."""
    max_concurrency: int | None = None
    """The same."""

    @property
    def name(self) -> str:
        """The endpoint's."""
        return self.endpoint.name

    @property
    def generates(self) -> bool:
        """Whether its answers are texts."""
        return self.endpoint.form in (questions.MESSAGES, questions.PROMPT)

    @property
    def runs_on(self) -> str:
        """For people."""
        if self.memory_mb is not None:
            return f"serverless, {self.memory_mb} MB, {self.max_concurrency} at once"
        return self.cost.how


def find(clients: Clients, service: str, deployment: str | None, stack: str | None) -> LoadTarget:
    """Return the endpoint of a service that is to be measured.

    Args:
        clients: of the account.
        service: its name.
        deployment: the endpoint of one of its deployments; None for the one that serves.
        stack: whose deployments count; None for any.

    Raises:
        InvalidInput: there is none, or its model answers in no way that is measured.
    """
    if deployment is None:
        found = service_endpoint.find(clients, service, stack)
    else:
        found = service_endpoint.find_deployment(clients, service, deployment)
    if found.form == questions.QUERY:
        raise InvalidInput(
            f"service {service}",
            [
                Problem(
                    "NotMeasured",
                    "its model ranks documents by a query",
                    "one that answers, goes on with a text, or embeds one",
                    "measure it with documents of your own: how long a ranking takes depends on nothing else",
                )
            ],
        )
    described = clients.sagemaker.describe_endpoint(EndpointName=found.name)
    config = clients.sagemaker.describe_endpoint_config(EndpointConfigName=described["EndpointConfigName"])
    return target(found, described, config)


def find_other(clients: Clients, name: str, stack: str | None) -> LoadTarget:
    """Return what is compared with: a service, or the endpoint of any deployment of Sealift's.

    Raises:
        InvalidInput: there is neither of that name.
    """
    service = release_store.owner(clients.sagemaker, name)
    return find(clients, service, name, stack) if service else find(clients, name, None, stack)


def target(endpoint: ServiceEndpoint, described: Mapping[str, Any], config: Mapping[str, Any]) -> LoadTarget:
    """Return an endpoint with what it runs on, as DescribeEndpoint and DescribeEndpointConfig have it."""
    variants = described.get("ProductionVariants", ())
    cost = hourly_costs.per_hour(variants, config["ProductionVariants"])
    first: Mapping[str, Any] = next(iter(variants), {})
    sizes = first.get("CurrentServerlessConfig") or {}
    return LoadTarget(endpoint, cost, sizes.get("MemorySizeInMB"), sizes.get("MaxConcurrency"))
