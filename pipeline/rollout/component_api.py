"""Making an endpoint's inference component, letting it scale to none, and taking it away: calls, each safe to repeat.

A component is deleted before its endpoint, and waited for: one that is left behind goes on being listed, keeps its name
taken and its scalable target alive. While it is being made, or its copies change, AWS refuses to delete it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from botocore.exceptions import ClientError

from pipeline import inference_component
from pipeline.aws import service_errors
from pipeline.planning import copy_scaling
from pipeline.rollout import alarms_api, autoscaling_api, idempotent_create

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pipeline.aws.clients import AutoScalingClient, Clients
    from pipeline.state_data.request_types import Scaling

BUSY: Final = frozenset({"Creating", "Updating", "Deleting"})
"""The statuses in which AWS refuses to delete a component."""


def create(clients: Clients, request: Mapping[str, Any]) -> idempotent_create.Created:
    """Ask for a component, or find that it is there already.

    Raises:
        NameConflict: one of that name is another endpoint's.
    """
    found, created = idempotent_create.create(
        clients.sagemaker.create_inference_component,
        clients.sagemaker.describe_inference_component,
        dict(request),
        name_field=inference_component.PARAMETER,
        compared=("EndpointName",),
    )
    return {
        "name": request[inference_component.PARAMETER],
        "arn": found["InferenceComponentArn"],
        "created": created,
    }


def describe(clients: Clients, endpoint: str) -> Mapping[str, Any] | None:
    """Return an endpoint's component as DescribeInferenceComponent has it; None when there is none."""
    return service_errors.or_none(
        clients.sagemaker.describe_inference_component,
        InferenceComponentName=inference_component.name_of(endpoint),
    )


def scale(clients: Clients, endpoint: str, wanted: Scaling, tags: list[dict[str, str]]) -> None:
    """Let a component scale between none and as many copies as are wanted, and a refused call bring it back."""
    client = clients.autoscaling
    client.register_scalable_target(**copy_scaling.registration(endpoint, wanted))
    client.put_scaling_policy(**copy_scaling.following(endpoint, wanted))
    arn = client.put_scaling_policy(**copy_scaling.waking(endpoint))["PolicyARN"]
    alarms_api.put(clients.cloudwatch, [copy_scaling.alarm(endpoint, arn, tags)])


def read_scaling(client: AutoScalingClient, endpoint: str) -> tuple[list[Any], list[Any]]:
    """Return the scalable target of an endpoint's component, and its policies, as AWS has them; empty for none."""
    return autoscaling_api.described(client, copy_scaling.target(endpoint))


def take_away(clients: Clients, endpoint: str) -> str:
    """Bring an endpoint's component nearer to its end; return what is to be waited for, empty when there is none.

    Its alarm goes with the endpoint's other alarms.
    """
    autoscaling_api.stop(clients.autoscaling, copy_scaling.target(endpoint))
    found = describe(clients, endpoint)
    if found is None:
        return ""
    name, status = found[inference_component.PARAMETER], found["InferenceComponentStatus"]
    if status not in BUSY:
        try:
            clients.sagemaker.delete_inference_component(InferenceComponentName=name)
        except ClientError as error:
            if not (service_errors.is_in_progress(error) or service_errors.is_missing(error)):
                raise
    return f"inference component {name!r} is {status}; wanted it to be gone"
