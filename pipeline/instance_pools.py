"""What a variant on instances says of their types: the one that is named, or a pool of several, and what of it runs.

Owns the form of InstancePools in requests and answers
(https://docs.aws.amazon.com/sagemaker/latest/dg/realtime-endpoints-heterogeneous.html): a configuration has types in an
order of priority, each with a model of its own where the variant's is not for it (ModelNameOverride); DescribeEndpoint
has how many of each type run. Refuses to choose a type.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

MOST_TYPES: Final = 5
"""Of one pool, and the lowest priority (service model, InstancePoolList and InstancePoolPriority)."""


def members(types: Sequence[str], provision_s: int, own: Mapping[str, str] | None = None) -> dict[str, Any]:
    """Return what a configuration's variant asks for: one type, or a pool where there are several.

    Args:
        types: the one to take first, then those that SageMaker takes where it has no capacity of those before.
        provision_s: seconds that it may look for capacity, in all types of a pool together.
        own: the models of those types that do not run the variant's, by type.
    """
    first, *others = types
    if not others:
        return {"InstanceType": first}
    return {
        "InstancePools": [
            {
                "InstanceType": one,
                "Priority": priority,
                **({"ModelNameOverride": own[one]} if own and one in own else {}),
            }
            for priority, one in enumerate(types, start=1)
        ],
        "VariantInstanceProvisionTimeoutInSeconds": provision_s,
    }


def single(variant: Mapping[str, Any]) -> dict[str, Any]:
    """Return a configuration's variant with the first type of its pool alone; one without a pool as it is."""
    if "InstancePools" not in variant:
        return dict(variant)
    pooled = {"InstancePools", "VariantInstanceProvisionTimeoutInSeconds"}
    kept = {name: value for name, value in variant.items() if name not in pooled}
    return {**kept, "InstanceType": types(variant)[0]}


def types(variant: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the types of a configuration's variant, the first to take first; none on serverless."""
    if pools := variant.get("InstancePools"):
        return tuple(one["InstanceType"] for one in sorted(pools, key=lambda one: one.get("Priority", 1)))
    name = variant.get("InstanceType")
    return (name,) if name else ()


def own_models(variant: Mapping[str, Any]) -> dict[str, str]:
    """Return the models of those types in a configuration's variant that do not run the variant's, by type."""
    return {
        one["InstanceType"]: one["ModelNameOverride"]
        for one in variant.get("InstancePools", ())
        if one.get("ModelNameOverride")
    }


def models(variants: Iterable[Mapping[str, Any]]) -> tuple[str, ...]:
    """Return the models that a configuration's variants name: each variant's, and those of its pool's types."""
    named = (name for one in variants for name in (one.get("ModelName"), *own_models(one).values()) if name)
    return tuple(dict.fromkeys(named))


def running(variant: Mapping[str, Any]) -> dict[str, int]:
    """Return how many instances of each type run, of DescribeEndpoint's variant; nothing where it tells of no pool."""
    return {
        one["InstanceType"]: one["CurrentInstanceCount"]
        for one in variant.get("InstancePools", ())
        if one.get("CurrentInstanceCount")
    }


def describe(instances: Mapping[str, int]) -> str:
    """Return instances in words, as `1 x ml.g5.xlarge + 1 x ml.g6.xlarge`."""
    return " + ".join(f"{count} x {name}" for name, count in instances.items())
