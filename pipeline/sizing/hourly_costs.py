"""What an endpoint costs while nobody calls it: a pure function of what DescribeEndpoint says and of its configuration.

Owns that sum and the words for it, and for what an image costs. Refuses to guess: a type without a known price has none
here. Storage volumes, data and the calls of a serverless endpoint are not in it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pipeline import instance_pools
from pipeline.limits import GB
from pipeline.sizing import instance_types, pricing, running_cost
from pipeline.sizing.running_cost import Cost

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from pipeline.sizing.instance_types import ListedPrice


def per_hour(
    variants: Iterable[Mapping[str, Any]],
    configured: Iterable[Mapping[str, Any]] = (),
    prices: Mapping[str, ListedPrice] = instance_types.LISTED,
) -> Cost:
    """Return what an endpoint's variants cost an hour.

    Args:
        variants: ProductionVariants of DescribeEndpoint, which say how many instances run now, or of
            DescribeEndpointConfig, which say of which type.
        configured: ProductionVariants of DescribeEndpointConfig, where `variants` are DescribeEndpoint's.
        prices: of one instance and hour, by type.
    """
    types = {one["VariantName"]: one for one in configured}
    total: float | None = 0.0
    words = []
    for variant in variants:
        details = {**types.get(variant["VariantName"], {}), **variant}
        instances = _instances(types.get(variant["VariantName"], {}), details)
        if not instances:
            provisioned = _provisioned(details)
            words.append(
                f"{provisioned} provisioned invocations, price not known"
                if provisioned
                else "serverless, nothing while nobody calls"
            )
            total = None if provisioned else total
            continue
        for name, count in instances.items():
            found = prices.get(name)
            if found is None:
                total = None
                words.append(f"{count} x {name}, price not known")
            else:
                total = None if total is None else total + count * found.usd_per_hour
                words.append(f"{count} x {name} at ${found.usd_per_hour:g}")
    return Cost(None if total is None else round(total, 6), " + ".join(words) or "nothing runs yet")


def _instances(configured: Mapping[str, Any], details: Mapping[str, Any]) -> Mapping[str, int]:
    """Return a variant's instances by type: what runs of its pool, else all as its first type; none on serverless."""
    if found := instance_pools.running(details):
        return found
    types = instance_pools.types(configured or details)
    count = details.get("CurrentInstanceCount", details.get("InitialInstanceCount", 0))
    return {types[0]: count} if types else {}


def price(instance_type: str, count: int, usd_per_hour: float) -> str:
    """Return in words what instances cost."""
    return f"{count} x {instance_type}, {running_cost.words(count * usd_per_hour)}"


def image_a_month(stored_bytes: int) -> str:
    """Return in words what an image costs in ECR, at the price of us-east-1.

    Args:
        stored_bytes: of its layers, compressed.
    """
    price = pricing.LISTED.items["image_gb_month"].usd[pricing.HOME]
    return f"{stored_bytes / GB:.3g} GB in ECR, ${stored_bytes / GB * price:.2g} a month"


def _provisioned(variant: Mapping[str, Any]) -> int:
    found = variant.get("CurrentServerlessConfig") or variant.get("ServerlessConfig") or {}
    return int(found.get("ProvisionedConcurrency") or 0)
