"""What moto's CloudFormation leaves out of a bucket and a deployment depends on: versioning, its events, its policy."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

    from pipeline.aws import Clients


def complete(
    template: dict[str, Any],
    *,
    clients: Clients,
    name_of: Callable[[str], str],
    account_id: str,
    send_events: Callable[[str], None],
    protect: Callable[[str, str], None],
) -> None:
    """Give every bucket of the template what it asks for.

    Args:
        template: as loaded, with the buckets' properties and their policies.
        clients: of the local cloud.
        name_of: returns a bucket's name by its logical id.
        account_id: of the local cloud.
        send_events: takes the name of a bucket whose events go to EventBridge.
        protect: takes the name of a bucket and its policy document.
    """
    for logical_id, resource in template["Resources"].items():
        properties = resource.get("Properties", {})
        if resource["Type"] == "AWS::S3::BucketPolicy":
            document = spelt_out(properties["PolicyDocument"], name_of=name_of, account_id=account_id)
            protect(name_of(properties["Bucket"]["Ref"]), json.dumps(document))
        if resource["Type"] != "AWS::S3::Bucket":
            continue
        name = name_of(logical_id)
        versioning = properties.get("VersioningConfiguration")
        if versioning:
            clients.s3.put_bucket_versioning(Bucket=name, VersioningConfiguration=versioning)
        if properties.get("NotificationConfiguration", {}).get("EventBridgeConfiguration"):
            send_events(name)


def spelt_out(value: Any, *, name_of: Callable[[str], str], account_id: str) -> Any:
    """Return a part of a template with its references to buckets and to the account spelt out.

    Raises:
        KeyError: for a reference to anything else.
    """

    def attribute(path: str) -> str:
        logical_id, _, name = path.partition(".")
        if name != "Arn":
            raise KeyError(path)
        return f"arn:aws:s3:::{name_of(logical_id)}"

    if isinstance(value, list):
        return [spelt_out(one, name_of=name_of, account_id=account_id) for one in value]
    if not isinstance(value, dict):
        return value
    if "Fn::GetAtt" in value:
        return attribute(".".join(value["Fn::GetAtt"]))
    if "Fn::Sub" in value:
        return re.sub(r"\$\{([^}]+)\}", lambda match: attribute(match[1]), value["Fn::Sub"])
    if "Ref" in value:
        return {"AWS::AccountId": account_id}[value["Ref"]]
    return {key: spelt_out(one, name_of=name_of, account_id=account_id) for key, one in value.items()}
