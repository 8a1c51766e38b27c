"""What is told of an endpoint's network, its volume's key and its own tags, wherever AWS or a plan has them.

Pure. Refuses to decide any of it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pipeline.aws import resource_tags

if TYPE_CHECKING:
    from collections.abc import Mapping


def describe(
    model: Mapping[str, Any], config: Mapping[str, Any], tags: Mapping[str, str]
) -> tuple[tuple[str, str], ...]:
    """Return what is set of network, key and tags, each with a word for what it is about; nothing where nothing is.

    Args:
        model: CreateModel's parameters, or DescribeModel's answer.
        config: the same of an endpoint configuration.
        tags: of any of both; Sealift's own are left out.
    """
    vpc, isolated = model.get("VpcConfig") or {}, bool(model.get("EnableNetworkIsolation"))
    where = f"{', '.join(vpc['Subnets'])} with {', '.join(vpc['SecurityGroupIds'])}" if vpc else ""
    cut_off = "isolated: the container has no network" if isolated else ""
    own = resource_tags.own(tags)
    found = (
        ("network", "; ".join(filter(None, (where, cut_off)))),
        ("key", f"{config['KmsKeyId']} encrypts the volume" if config.get("KmsKeyId") else ""),
        ("tags", ", ".join(f"{key}={value}" for key, value in own.items())),
    )
    return tuple((word, text) for word, text in found if text)
