"""The calls that take one thing away that Sealift made: its deletion, an archive's mark, and the wait for an endpoint.

Each may be made again. Refuses to decide what goes (`sweep` and `teardown` do).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from botocore.exceptions import ClientError

from pipeline.archive.s3.multipart import RETIRED
from pipeline.aws import service_errors, waiting
from pipeline.errors import Problem, RegistryRefused
from pipeline.image import image_record, stored_images
from pipeline.operations.account import MadeKind
from pipeline.planning import alarms
from pipeline.rollout import autoscaling_api, component_api, endpoint_parameter, metric_filters_api

if TYPE_CHECKING:
    from datetime import datetime

    from mypy_boto3_sagemaker import SageMakerClient

    from pipeline.aws.clients import Clients
    from pipeline.operations.account import Made

LOOK_S: Final = 5.0
"""Between two looks at an endpoint that is being deleted."""


def delete(clients: Clients, made: Made) -> bool:
    """Delete a thing; return whether it is gone now. What takes a while is gone in a later run."""
    sagemaker = clients.sagemaker
    try:
        if made.kind is MadeKind.ENDPOINT:
            delete_endpoint(clients, made)
            return False
        if made.kind is MadeKind.CONFIG:
            sagemaker.delete_endpoint_config(EndpointConfigName=made.name)
        elif made.kind is MadeKind.MODEL:
            sagemaker.delete_model(ModelName=made.name)
        elif made.kind is MadeKind.ALARM and _component_stays(clients, made.name):
            return False
        elif made.kind is MadeKind.ALARM:
            # Before the alarm, which is what is found of them: a filter has no tags that tell whose it is.
            if alarms.of_log(made.name) and (endpoint := alarms.endpoint_of(made.name)):
                metric_filters_api.delete(clients.logs, endpoint)
            clients.cloudwatch.delete_alarms(AlarmNames=[made.name])
        elif made.kind in {MadeKind.PARAMETER, MadeKind.VERSION}:
            _delete_reference(clients, made)
        else:
            _delete_artifact(clients, made)
    except ClientError as error:
        if not service_errors.is_missing(error):
            raise
    return True


def _component_stays(clients: Clients, alarm: str) -> bool:
    """Take away the inference component that an alarm wakes, and return whether it is still there.

    Its endpoint is gone: whoever deleted that by hand has left it behind, and the alarm is what is found of it.
    """
    endpoint = alarms.endpoint_of(alarm)
    wakes = endpoint is not None and alarm == alarms.waking(endpoint)
    return wakes and bool(component_api.take_away(clients, str(endpoint)))


def delete_endpoint(clients: Clients, made: Made) -> bool:
    """Ask for an endpoint's deletion; return whether that was done: the component that it hosts goes first.

    Raises:
        ClientError: AWS refuses it.
    """
    if made.to_zero and component_api.take_away(clients, made.name):
        return False
    if made.scales and not made.to_zero:
        autoscaling_api.deregister(clients.autoscaling, made.name)
    clients.sagemaker.delete_endpoint(EndpointName=made.name)
    return True


def _delete_reference(clients: Clients, made: Made) -> None:
    if made.kind is MadeKind.PARAMETER:
        endpoint_parameter.delete(clients.ssm, made.name, *made.uses)
    else:
        clients.lambda_.delete_function(FunctionName=made.function, Qualifier=made.version)


def _delete_artifact(clients: Clients, made: Made) -> None:
    if made.kind is MadeKind.IMAGE:
        claimed = image_record.claimed_at(clients.s3, made.bucket, made.name)
        if claimed is not None and claimed > made.changed:
            seen = "a deployment has claimed it since it was looked at"
            problem = Problem("ImageClaimed", seen, "an image that nobody wants", "nothing need be done")
            raise RegistryRefused(f"image {made.name}", [problem])
        # By the tag: another one of the same bytes may be somebody's. With its last tag the image goes.
        stored_images.delete(clients.registry, made.uses[0].partition("@")[0], made.name)
        return
    place, key = _place(made)
    # This version and no other: what was written since is somebody's who found it marked.
    clients.s3.delete_object(Bucket=place, Key=key, VersionId=made.version)


def wait_until_deleted(
    client: SageMakerClient, endpoint: str, most_s: float, *, every_s: float = LOOK_S
) -> bool:
    """Wait for an endpoint that is being deleted; return whether it is gone."""
    ended = waiting.wait(client, "endpoint_deleted", every_s=every_s, most_s=most_s, EndpointName=endpoint)
    return ended is None


def mark(clients: Clients, made: Made, now: datetime) -> None:
    """Mark an archive that no model reads: a later deployment of it writes it again."""
    place, key = _place(made)
    tags = [{"Key": RETIRED, "Value": now.isoformat(timespec="seconds")}]
    clients.s3.put_object_tagging(
        Bucket=place,
        Key=key,
        VersionId=made.version,
        Tagging={"TagSet": tags},  # type: ignore[typeddict-item]
    )


def _place(made: Made) -> tuple[str, str]:
    bucket, _, key = made.uses[0].removeprefix("s3://").partition("/")
    return bucket, key
