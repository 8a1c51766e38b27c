"""What is wrong with a request's network, key and tags: what SageMaker refuses late, or the stack's roles may not do.

What the stack's parameters name is a rule: a deployment may narrow it, and does not get out of it. Pure: a request and
what the stack gives in, problems out.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from pipeline import payload
from pipeline.errors import Problem
from pipeline.hosting import SERVERLESS
from pipeline.limits import KiB
from pipeline.planning import network, stack_settings
from pipeline.sizing import instance_types

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from pipeline.planning.request_sources import Said
    from pipeline.state_data.request_types import Request, StackDefaults

MOST_TAG_BYTES: Final = 2 * KiB
"""Bytes of JSON of all own tags: the plan has them three times, since three calls send them."""


def problems(request: Request, asked: dict[str, Any], defaults: StackDefaults, said: Said) -> list[Problem]:
    """Return all that is wrong with them.

    Args:
        request: merged, with every default.
        asked: the fields that somebody wrote, without the stack's.
        defaults: what the stack gives.
        said: what each source says, by its name.
    """
    return [
        *_on_serverless(request, said),
        *_incomplete(request, said),
        *_elsewhere(request, defaults, said),
        *_opened(asked, defaults, said),
        *_key(request, asked, defaults, said),
        *_tags(request, said),
    ]


def _on_serverless(request: Request, said: Said) -> Iterator[Problem]:
    if request.hosting == SERVERLESS and request.network:
        yield Problem(
            "NetworkOnServerless",
            f"hosting is 'serverless', with {_asked(request)}",
            f"hosting 'instance' or 'auto': {network.NO_SERVERLESS}",
            'say "hosting": "instance"; or leave \'network\' out, and where it is the stack\'s, use another stack',
            said.where("network"),
        )


def _asked(request: Request) -> str:
    wanted = request.network
    parts = [
        f"subnets {', '.join(wanted.subnets)}" if wanted.subnets else "",
        f"security groups {', '.join(wanted.security_groups)}" if wanted.security_groups else "",
        "network isolation" if wanted.isolated else "",
    ]
    return " and ".join(filter(None, parts))


def _incomplete(request: Request, said: Said) -> Iterator[Problem]:
    wanted = request.network
    if bool(wanted.subnets) != bool(wanted.security_groups):
        has, lacks = ("subnets", "security_groups") if wanted.subnets else ("security_groups", "subnets")
        yield Problem(
            "NetworkIncomplete",
            f"network.{has} without network.{lacks}",
            "both: SageMaker makes a network interface of a subnet with a security group",
            f"add network.{lacks}, or the stack's parameter {_PARAMETERS[lacks]}",
            said.where("network", has),
        )


_PARAMETERS: Final = {"subnets": "Subnets", "security_groups": "SecurityGroups"}


def _elsewhere(request: Request, defaults: StackDefaults, said: Said) -> Iterator[Problem]:
    """Yield what a deployment names that the stack does not: its role may make no network interface there."""
    stacks = {
        "subnets": stack_settings.subnets(defaults),
        "security_groups": stack_settings.security_groups(defaults),
    }
    # A role of somebody's own may have what the stack's role has not, where the stack names no network.
    if not any(stacks.values()) and request.execution_role_arn != defaults["execution_role_arn"]:
        return
    named: dict[str, Sequence[str]] = {
        "subnets": request.network.subnets,
        "security_groups": request.network.security_groups,
    }
    for field, values in named.items():
        known, parameter = stacks[field], _PARAMETERS[field]
        if others := [one for one in values if one not in known]:
            yield Problem(
                "NetworkNotAllowed",
                f"network.{field} names {', '.join(others)}",
                f"of the stack's {parameter}: {', '.join(known)}"
                if known
                else f"none: the stack names no {parameter}, so its role may make no network interface",
                f"change it, or run `sealift deploy --parameter {parameter}={','.join([*known, *others])}`",
                said.where("network", field),
            )


def _opened(asked: dict[str, Any], defaults: StackDefaults, said: Said) -> Iterator[Problem]:
    if stack_settings.isolates(defaults) and (asked.get("network") or {}).get("isolated") is False:
        yield Problem(
            "IsolationRequired",
            "network.isolated is false",
            "true: the stack's NetworkIsolation holds for all its deployments",
            "leave it out, or run `sealift deploy --parameter NetworkIsolation=false`",
            said.where("network", "isolated"),
        )


def _key(request: Request, asked: dict[str, Any], defaults: StackDefaults, said: Said) -> Iterator[Problem]:
    key, known, region = request.volume_kms_key_arn, stack_settings.volume_keys(defaults), defaults["region"]
    if key is None:
        return
    if key.split(":")[3] != region:
        yield Problem(
            "WrongRegion",
            f"volume_kms_key_arn is {key!r}",
            f"a key in {region}, the endpoint's region",
            "name a key of that region",
            said.where("volume_kms_key_arn"),
        )
    elif key not in known:
        yield Problem(
            "KeyNotAllowed",
            f"volume_kms_key_arn is {key!r}",
            f"one of the stack's VolumeKmsKeyArns: {', '.join(known)}"
            if known
            else "none: the stack names no VolumeKmsKeyArns",
            "leave 'volume_kms_key_arn' out, or let the stack's roles grant its use: "
            f"`sealift deploy --parameter VolumeKmsKeyArns={','.join([*known, key])}`",
            said.where("volume_kms_key_arn"),
        )
    type_ = request.instance_type
    if asked.get("volume_kms_key_arn") and type_ and instance_types.has_own_disk(type_):
        yield Problem(
            "KeyOnOwnDisk",
            f"volume_kms_key_arn with instance_type {type_!r}",
            "a type whose disk is a volume: one with an NVMe disk of its own encrypts it by its hardware, and "
            "SageMaker uses no key there",
            "leave 'volume_kms_key_arn' out, or change 'instance_type'",
            said.where("volume_kms_key_arn"),
        )


def _tags(request: Request, said: Said) -> Iterator[Problem]:
    size = payload.size(request.tags or {})
    if size > MOST_TAG_BYTES:
        yield Problem(
            "TagsTooLarge",
            f"tags of {size:,} bytes of JSON",
            f"at most {MOST_TAG_BYTES:,}, those of the stack's ResourceTags among them: the execution's data have "
            "them three times",
            "shorten 'tags'",
            said.where("tags"),
        )
