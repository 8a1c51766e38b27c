"""What moto's CloudFormation leaves out of a bucket and a deployment depends on: versioning, and its events."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

    from pipeline.aws import Clients


def complete(
    template: dict[str, Any],
    *,
    clients: Clients,
    name_of: Callable[[str], str],
    send_events: Callable[[str], None],
) -> None:
    """Give every bucket of the template what it asks for.

    Args:
        template: as loaded, with the buckets' properties.
        clients: of the local cloud.
        name_of: returns a bucket's name by its logical id.
        send_events: takes the name of a bucket whose events go to EventBridge.
    """
    for logical_id, resource in template["Resources"].items():
        if resource["Type"] != "AWS::S3::Bucket":
            continue
        name, properties = name_of(logical_id), resource["Properties"]
        versioning = properties.get("VersioningConfiguration")
        if versioning:
            clients.s3.put_bucket_versioning(Bucket=name, VersioningConfiguration=versioning)
        if properties.get("NotificationConfiguration", {}).get("EventBridgeConfiguration"):
            send_events(name)
