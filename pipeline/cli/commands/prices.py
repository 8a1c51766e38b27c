"""`sealift prices`: the instance types with what they cost, of which day and by whom; `--refresh` asks AWS's list.

What was read lies in the cache of this machine, where `plan`, `push`, `status` and `ls` take it from, and in the
stack's artifact bucket, where the workflow does. Refuses to choose a type.
"""

from __future__ import annotations

import json
import math
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from pipeline import settings
from pipeline.aws.clients import Clients
from pipeline.aws.service_errors import translated
from pipeline.cli.screen import Screen
from pipeline.errors import InvalidInput, Problem
from pipeline.operations import price_list
from pipeline.sizing import instance_types, live_prices, running_cost
from pipeline.sizing.live_prices import PriceFile
from pipeline.stack import change_sets

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from pipeline.aws.clients import PricingClient
    from pipeline.cli.options import PricesOptions
    from pipeline.sizing.instance_types import InstanceFacts, ListedPrice

HEAD = ("TYPE", "CPUS", "MEMORY", "GPUS", "READS", "DISK", "USD/H", "USD/MONTH")
_MOST_SKIPPED = 10


def prices(arguments: PricesOptions) -> int:
    """Show the prices, after reading them anew where that is requested."""
    screen = Screen.of(arguments)
    region, now = settings.region(), datetime.now(UTC)
    kept: PriceFile | None
    skipped: tuple[str, ...] = ()
    where = ""
    if arguments.refresh:
        screen.hint("asking AWS's price list ...")
        with translated():
            asked = Clients(region=price_list.ENDPOINT_REGION).pricing
            kept, skipped = refresh(asked, settings.cache(), region, now)
        where = _publish(kept, arguments.stack)
    else:
        kept = price_list.kept(settings.cache(), region)
    known = {**instance_types.LISTED, **(kept.listed if kept else {})}
    if arguments.json:
        print(json.dumps(document(known, kept, region, now, skipped), indent=2))
        return 0
    for line in lines(known):
        screen.say(line)
    for line in said(kept, region, now):
        screen.say(line)
    for why in skipped[:_MOST_SKIPPED]:
        screen.say(f"left out   {why}")
    if len(skipped) > _MOST_SKIPPED:
        screen.say(f"left out   {len(skipped) - _MOST_SKIPPED} more; --json has all")
    if where:
        screen.say(where)
    return 0


def refresh(
    client: PricingClient, cache: Path, region: str, now: datetime
) -> tuple[PriceFile, tuple[str, ...]]:
    """Ask AWS, and keep what it answers; return that, and what was left out.

    Raises:
        ClientError: AWS refuses.
        InvalidInput: there is no price in its answer; what was kept before stays.
    """
    found = live_prices.read_products(price_list.products(client, region), region)
    if not found.usd_per_hour:
        seen = "; ".join(found.skipped[:3]) or "no product of real-time inference"
        fix = "say another --region; without --refresh the listed prices are shown"
        problem = Problem("NoPrices", seen, f"prices of instances in {region}", fix)
        raise InvalidInput("AWS's price list", [problem])
    kept = PriceFile(region, now, found.usd_per_hour)
    price_list.write(price_list.place(cache, region), kept)
    return kept, found.skipped


def _publish(kept: PriceFile, stack: str | None) -> str:
    """Put the list into the stack's bucket; return what is said of it."""
    name = stack or settings.STACK
    clients = Clients(region=kept.region)
    with translated():
        found = change_sets.ask(clients.cloudformation, name)
        if found is None:
            return f"kept       on this machine; no stack {name!r} is in {kept.region} to have it"
        bucket = change_sets.outputs_of(found).get("ArtifactBucketName", "")
        if not bucket:
            return f"kept       on this machine; the stack {name!r} is none of Sealift's"
        price_list.publish(clients.s3, bucket, kept)
    return f"kept       on this machine, and in s3://{bucket}/{live_prices.KEY} for the workflow of {name!r}"


def said(kept: PriceFile | None, region: str, now: datetime) -> Iterator[str]:
    """Yield where the prices are from, and how old they are."""
    if kept is None:
        yield (
            f"prices     of {instance_types.PRICED_IN}, listed with Sealift; `sealift prices --refresh` asks AWS for "
            f"those of {region}"
        )
        return
    yield f"prices     of {len(kept.usd_per_hour)} types by AWS's price list for {region}, read {kept.age(now)} ago"
    if kept.is_old(now):
        yield "old        `sealift prices --refresh` reads them again"


def lines(known: Mapping[str, ListedPrice]) -> Iterator[str]:
    """Yield the table of the types with a price, cheapest first."""
    rows = [HEAD, *(row(one, known[one.name]) for one in ordered(known) if one.name in known)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for first, *rest in rows:
        cells = (cell.rjust(width) for cell, width in zip(rest, widths[1:], strict=True))
        yield "  ".join((first.ljust(widths[0]), *cells))
    if others := [one for one in instance_types.TYPES if one.name not in known]:
        yield f"not known  the prices of {len(others)} more types, which are never chosen by price; --json has them"


def ordered(known: Mapping[str, ListedPrice]) -> list[InstanceFacts]:
    """Return the types, cheapest first, those without a price last."""
    return sorted(
        instance_types.TYPES,
        key=lambda one: (known[one.name].usd_per_hour if one.name in known else math.inf, one.name),
    )


def row(one: InstanceFacts, price: ListedPrice) -> tuple[str, ...]:
    """Return one type's cells."""
    gpus = f"{one.gpus} x {one.gpu.name} {one.gpu.memory_gib:g} GB" if one.gpu else "-"
    reads = one.gpu.bandwidth_gb_s if one.gpu else one.bandwidth_gb_s
    return (
        one.name,
        f"{one.vcpus}{' arm64' if one.architecture == instance_types.ARM64 else ''}",
        f"{one.memory_gib:g} GiB",
        gpus,
        f"{reads:g} GB/s",
        "volume" if one.disk_gb is None else f"{one.disk_gb:g} GB",
        f"{price.usd_per_hour:g}",
        f"{price.usd_per_hour * running_cost.HOURS_A_MONTH:,.0f}",
    )


def document(
    known: Mapping[str, ListedPrice],
    kept: PriceFile | None,
    region: str,
    now: datetime,
    skipped: tuple[str, ...],
) -> dict[str, Any]:
    """Return the same for machines."""
    return {
        "region": region,
        "read_at": kept.to_json()["read_at"] if kept else None,
        "old": kept.is_old(now) if kept else None,
        "types": [
            {
                "name": one.name,
                "vcpus": one.vcpus,
                "memory_gib": one.memory_gib,
                "architecture": one.architecture,
                "gpus": one.gpus,
                "gpu": one.gpu.name if one.gpu else None,
                "gpu_memory_gib": one.gpu.memory_gib if one.gpu else None,
                "gpu_usable_gib": one.gpu.usable_gib if one.gpu else None,
                "bandwidth_gb_s": one.gpu.bandwidth_gb_s if one.gpu else one.bandwidth_gb_s,
                "disk_gb": one.disk_gb,
                "usd_per_hour": known[one.name].usd_per_hour if one.name in known else None,
                "source": known[one.name].source if one.name in known else None,
            }
            for one in ordered(known)
        ],
        "skipped": list(skipped),
    }
