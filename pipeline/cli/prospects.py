"""What of a deployment's consumers can be known before anything is sent, and whether its service is a new one.

The rules are PlanDeployment's own. What the person may not look at is said, and left for the workflow to judge.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from pipeline import naming
from pipeline.aws import service_errors
from pipeline.errors import AccessDenied, ConsumerUnreadable, PermanentError, SealiftError
from pipeline.operations import consumer_candidates
from pipeline.planning import consumer_claims
from pipeline.rollout import endpoint_usage

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pipeline.aws.clients import Clients
    from pipeline.cli.preflight import Preflight
    from pipeline.planning.function_names import Reach
    from pipeline.state_data.request_types import Request


def notes(clients: Clients, asked: Preflight, within: Reach) -> Iterator[str]:
    """Yield what a person should know before a deployment is started.

    Args:
        clients: of the account.
        asked: the deployment's request.
        within: which functions the stack may switch.

    Raises, each under the source that names the consumer:
        ConsumerNotAllowed: when the stack may not switch a consumer.
        ConsumerNotFound: when one is missing.
        ConsumerTaken: when another service has one, and nobody says to take it over.
    """
    if new := _introduction(clients, asked.request.service):
        yield new
    where = asked.said.where("consumer")
    try:
        yield from _of_consumers(clients, asked.request, within)
    except PermanentError as refusal:
        raise type(refusal)(
            where, [replace(one, where=f"{where}: consumer") for one in refusal.problems]
        ) from refusal


def _of_consumers(clients: Clients, request: Request, within: Reach) -> Iterator[str]:
    consumer_candidates.require_allowed(request.consumers, within)
    try:
        with service_errors.translated():
            values = consumer_candidates.read_variables(clients, request.consumers)
            others = consumer_candidates.claimed_by_others(clients, request, values)
    except (AccessDenied, ConsumerUnreadable) as error:
        yield f"the consumer could not be looked at from here, and the workflow will: {error}"
        return
    yield from (
        one.note for one in consumer_claims.left(others, request.consumers, default=request.default_consumer)
    )


def _introduction(clients: Clients, service: str) -> str:
    try:
        with service_errors.translated():
            names, _ = endpoint_usage.listed(clients.sagemaker)
    except SealiftError:
        return ""  # Nothing hangs on it.
    return naming.introduction(service, names)
