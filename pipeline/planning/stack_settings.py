"""What a stack's parameters say of the endpoints' network, their volumes' key and their tags, as a deployment would.

CloudFormation hands lists on as one text with commas between. Owns reading those. Refuses to judge what they say.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pipeline.aws import resource_tags

if TYPE_CHECKING:
    from pipeline.state_data.request_types import StackDefaults


def listed(text: str) -> list[str]:
    """Return the items of a parameter that is a list."""
    return [one for each in text.split(",") if (one := each.strip())]


def subnets(defaults: StackDefaults) -> list[str]:
    """Return the subnets that the stack's endpoints are in; empty for none."""
    # An execution that began before the stack was updated tells of none, as below.
    return listed(defaults.get("subnets", ""))


def security_groups(defaults: StackDefaults) -> list[str]:
    """Return the security groups of the stack's endpoints; empty for none."""
    return listed(defaults.get("security_groups", ""))


def isolates(defaults: StackDefaults) -> bool:
    """Return whether no container of the stack's endpoints has a network."""
    return defaults.get("network_isolation", "") == "true"


def volume_keys(defaults: StackDefaults) -> list[str]:
    """Return the keys that may encrypt volumes, the default first."""
    return listed(defaults.get("volume_kms_key_arns", ""))


def tags(defaults: StackDefaults) -> dict[str, str]:
    """Return the tags of all that the stack's deployments make."""
    return resource_tags.pairs(defaults.get("resource_tags", ""))


def settings(defaults: StackDefaults) -> dict[str, Any]:
    """Return the fields of a request that the parameters stand for; those that say nothing are not there."""
    network = {
        "subnets": subnets(defaults),
        "security_groups": security_groups(defaults),
        "isolated": isolates(defaults),
    }
    said = {
        "network": {name: value for name, value in network.items() if value},
        "volume_kms_key_arn": next(iter(volume_keys(defaults)), None),
        "tags": tags(defaults),
    }
    return {name: value for name, value in said.items() if value}
