"""Taking one deployment of a service away: auto scaling where there is any, endpoint, alarms, models, configuration.

In this order, and each call may be made again: the configuration bears the tags, so what was cut short goes on where it
ended. Refuses to decide who goes (`releases` and `expiry` do), and to wait: whoever calls comes again.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from botocore.exceptions import ClientError

from pipeline import inference_component
from pipeline.aws import resource_tags, service_errors
from pipeline.endpoint_status import UNDELETABLE
from pipeline.rollout import alarms_api, autoscaling_api, component_api, metric_filters_api, release_store

if TYPE_CHECKING:
    from mypy_boto3_sagemaker import SageMakerClient

    from pipeline.aws.clients import Clients
    from pipeline.rollout.release_store import AccountReleases
    from pipeline.rollout.releases import Release
    from pipeline.state_data.plan_types import Plan


def delete_endpoint(clients: Clients, one: Release) -> str:
    """Bring an endpoint nearer to its end; return what is to be waited for, empty when the release has none left."""
    if not one.serves or one.endpoint is None:
        return ""
    if waits := delete_component(clients, one):
        return waits
    if one.scales and not one.to_zero and one.status != "Deleting":
        # While it scales it is Updating, and cannot be deleted.
        autoscaling_api.deregister(clients.autoscaling, one.endpoint)
    if one.status not in UNDELETABLE and one.status != "Deleting":
        clients.sagemaker.delete_endpoint(EndpointName=one.endpoint)
    return f"endpoint {one.endpoint!r} is {one.status}; wanted it to be gone"


def delete_component(clients: Clients, one: Release) -> str:
    """Bring the inference component of a release's endpoint nearer to its end; return what is to be waited for."""
    return component_api.take_away(clients, one.endpoint) if one.to_zero and one.endpoint else ""


def delete_rest(clients: Clients, one: Release, service: str, account: AccountReleases) -> None:
    """Delete what a release without an endpoint leaves."""
    client = clients.sagemaker
    if one.endpoint is not None and one.status is None:
        metric_filters_api.delete(clients.logs, one.endpoint)
        alarms_api.delete(clients.cloudwatch, one.endpoint)
    found = client.describe_endpoint_config(EndpointConfigName=one.config)
    for name in sorted(inference_component.models(found)):
        if name not in release_store.models_in_use(client, account, without=one):
            _delete_model(name, service, client)
    # The one that is looked at first goes last, so that a try that is cut short goes on where it ended.
    for config in reversed(one.configs):
        client.delete_endpoint_config(EndpointConfigName=config)


def delete_spare_models(client: SageMakerClient, plan: Plan) -> None:
    """Delete the models that a deployment made for types that its configuration does not name."""
    named = inference_component.models(plan.requests.create_endpoint_config)
    for request in plan.requests.create_models:
        if request["ModelName"] not in named:
            _delete_model(request["ModelName"], plan.service, client)


def _delete_model(name: str, service: str, client: SageMakerClient) -> None:
    """Delete a model that Sealift made for the service; it may be gone by now, which is success too."""
    try:
        arn = client.describe_model(ModelName=name)["ModelArn"]
        if resource_tags.is_of_service(client, arn, service):
            client.delete_model(ModelName=name)
    except ClientError as error:
        if not service_errors.is_missing(error):
            raise
