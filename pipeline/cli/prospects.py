"""What of a deployment's consumers can be known before anything is sent, and whether its service is a new one.

The rules are PlanDeployment's own. What the person may not look at is said, and left for the workflow to judge.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from pipeline import aws, candidates, claims, documents, functions, naming, occupancy
from pipeline import stack as stacks
from pipeline.errors import AccessDenied, ConsumerUnreadable, SealiftError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from pipeline.aws import Clients


def told(
    clients: Clients, *, service: str, document: Mapping[str, Any], place: tuple[str, str], stack: str
) -> Iterator[str]:
    """Yield what a person should know before a deployment is started.

    Args:
        clients: of the account.
        service: that is deployed unless the settings say another one; empty where only they could tell.
        document: the settings that are given with it.
        place: bucket and key of the archive; a `deployment.json` beside it counts too.
        stack: the name of the stack.

    Raises:
        ConsumerNotAllowed: when the stack may not switch a consumer.
        ConsumerNotFound: when one is missing.
        ConsumerTaken: when another service has one, and nobody says to take it over.
    """
    beside = _beside(clients, place)
    sources = [one for one in (beside, document) if isinstance(one, dict)]
    service = next((str(one["service"]) for one in reversed(sources) if one.get("service")), service)
    if service and (new := _introduction(clients, service)):
        yield new
    found = stacks.ask(clients.cloudformation, stack)
    if found is None:
        return
    parameters = {one["ParameterKey"]: one.get("ParameterValue", "") for one in found.get("Parameters", ())}
    consumers, default = documents.consumers(sources, parameters.get("ConsumerFunctionName", ""))
    region, account = found["StackId"].split(":")[3:5]
    pattern = parameters.get(functions.PARAMETER) or candidates.ANY
    candidates.see_allowed(consumers, functions.Reach(pattern, account, region, stack))
    if not service:
        return
    request = {"service": service, "consumers": consumers, "default_consumer": default}
    try:
        with aws.translated():
            values = candidates.called(clients, consumers)
            others = candidates.of_others(clients, request, values)
    except (AccessDenied, ConsumerUnreadable) as error:
        yield f"the consumer could not be looked at from here, and the workflow will: {error}"
        return
    yield from (one.note for one in claims.left(others, request))


def _introduction(clients: Clients, service: str) -> str:
    try:
        with aws.translated():
            names, _ = occupancy.listed(clients.sagemaker)
    except SealiftError:
        return ""  # Nothing hangs on it.
    return naming.introduction(service, names)


def _beside(clients: Clients, place: tuple[str, str]) -> Any:
    """Return the settings beside an archive; None when there are none, or none that can be read."""
    bucket, key = place
    try:
        found = clients.s3.get_object(Bucket=bucket, Key=documents.sidecar_key(key))
        return json.loads(found["Body"].read(documents.SIDECAR_LIMIT))
    except (ClientError, ValueError):
        return None
