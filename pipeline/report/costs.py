"""What an endpoint costs: a thousand requests, an idle month, and the deployment itself.

Pure: measured durations times listed prices, each line with its reckoning. What was not measured, or has no price,
has no sum either. Refuses to know a price: those are `pipeline.sizing.pricing`'s.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from pipeline.limits import GB
from pipeline.sizing import running_cost
from pipeline.sizing.running_cost import HOURS_A_MONTH

if TYPE_CHECKING:
    from pipeline.report.transcript import Transcript
    from pipeline.sizing.pricing import Price, Prices

REQUESTS: Final = 1000
TIME: Final = "the endpoint's time"
ENDPOINT: Final = "the endpoint"
IMAGE_OF_ALL: Final = "Sealift's own image in ECR, for all deployments"


@dataclass(frozen=True, slots=True)
class CostLine:
    """One thing that costs something."""

    what: str
    usd: float | None
    """None: not known."""
    how: str
    """The reckoning, or why there is none."""


@dataclass(frozen=True, slots=True)
class StoredImage:
    """An image in the stack's repository."""

    bytes: int
    """As it is stored."""
    holds_model: bool


@dataclass(frozen=True, slots=True)
class Costs:
    """The three reckonings."""

    requests: tuple[CostLine, ...]
    """Of a thousand requests like those of the smoke test."""
    idle: tuple[CostLine, ...]
    """Of a month without a request."""
    deployment: tuple[CostLine, ...]
    """Of the execution, once."""
    prices: tuple[Price, ...]
    """The prices that were used."""

    @property
    def per_thousand(self) -> float | None:
        """USD of a thousand requests; None when a part of it is not known."""
        known = [line.usd for line in self.requests if line.usd is not None]
        return sum(known) if known and len(known) == len(self.requests) else None


def reckon(
    prices: Prices,
    region: str,
    *,
    memory_mb: int | None,
    provisioned: int = 0,
    transcript: Transcript | None,
    transitions: int,
    archive_bytes: int | None,
    alarms: int,
    image: StoredImage | None = None,
    usd_per_hour: float | None = None,
    to_zero: bool = False,
) -> Costs:
    """Return what it costs.

    Args:
        prices: the price list.
        region: of the endpoint.
        memory_mb: of the serverless endpoint; None when there is none.
        provisioned: its containers that are kept started.
        transcript: the smoke test's, which the requests are taken to be like.
        transitions: the execution's state transitions.
        archive_bytes: of the deployed archive.
        alarms: how many the endpoint has.
        image: the one in the stack's repository that the endpoint runs; None where it runs another.
        usd_per_hour: of the endpoint's instances, all of them; None on serverless.
        to_zero: whether they go while nobody calls.
    """
    used: list[Price] = []

    def price(name: str) -> Price | None:
        found = prices.of(name, region)
        if found is not None and found not in used:
            used.append(found)
        return found

    requests = (
        ()
        if memory_mb is None
        else _requests(memory_mb, transcript, price("serverless_gb_second"), price("data_gb"))
    )
    idle = []
    if memory_mb is not None and provisioned:
        idle.append(_kept_started(memory_mb, provisioned, price("provisioned_gb_second")))
    elif memory_mb is not None:
        how = "serverless, without provisioned concurrency: nothing while nobody asks"
        idle.append(CostLine(ENDPOINT, 0.0, how))
    if usd_per_hour is not None:
        how = f"{running_cost.Cost(usd_per_hour, to_zero=to_zero).now}, of {HOURS_A_MONTH} hours"
        month = 0.0 if to_zero else usd_per_hour * HOURS_A_MONTH
        idle.append(CostLine("the endpoint's instances", month, how))
    if archive_bytes is not None:
        idle.append(
            _times("its archive in S3", archive_bytes / GB, "GB", price("storage_gb_month"), digits=3)
        )
    if image is not None:
        what = "its image in ECR, which holds the model" if image.holds_model else IMAGE_OF_ALL
        idle.append(_times(what, image.bytes / GB, "GB", price("image_gb_month"), digits=3))
    if alarms:
        idle.append(_times("its alarms", alarms, "alarms", price("alarm_month")))
    deployment = (_times("the workflow", transitions, "state transitions", price("state_transition")),)
    return Costs(requests, tuple(idle), deployment, tuple(used))


def serverless_time(memory_mb: int, seconds: float, how: str, second: Price | None) -> CostLine:
    """Return what a thousand requests to a serverless endpoint cost, data left out.

    Args:
        memory_mb: of the endpoint.
        seconds: of one request.
        how: they were measured.
        second: the price of a GB and second; None when none is listed.
    """
    if second is None:
        return CostLine(TIME, None, "no price is listed")
    gb = memory_mb / 1024
    usd = REQUESTS * seconds * gb * second.usd
    return CostLine(TIME, usd, f"{REQUESTS} x {seconds:.3f} s ({how}) x {gb:g} GB x {second.usd:.7f} USD")


def _kept_started(memory_mb: int, provisioned: int, second: Price | None) -> CostLine:
    """Return what a month of containers costs that are kept started."""
    gb, seconds = memory_mb / 1024, HOURS_A_MONTH * 3600
    amount = f"{provisioned} containers kept started x {gb:g} GB x {seconds:,} s"
    if second is None:
        return CostLine(ENDPOINT, None, f"{amount}: no price is listed")
    return CostLine(ENDPOINT, provisioned * gb * seconds * second.usd, f"{amount} x {second.usd:.7f} USD")


def _requests(
    memory_mb: int, transcript: Transcript | None, second: Price | None, data: Price | None
) -> tuple[CostLine, ...]:
    what, bytes_what = TIME, "data in and out"
    billed = transcript.billed if transcript else None
    if billed is None:
        compute = CostLine(what, None, "not measured: no answer was timed")
    else:
        compute = serverless_time(memory_mb, *billed, second)
    sizes = [
        one.bytes_in + one.bytes_out
        for one in (transcript.exchanges if transcript else ())
        if one.bytes_in is not None and one.bytes_out is not None
    ]
    if not sizes:
        moved = CostLine(bytes_what, None, "not measured")
    elif data is None:
        moved = CostLine(bytes_what, None, "no price is listed")
    else:
        size = sum(sizes) / len(sizes)
        moved = CostLine(
            bytes_what,
            REQUESTS * size / GB * data.usd,
            f"{REQUESTS} x {size:.0f} bytes x {data.usd:g} USD per GB",
        )
    return compute, moved


def _times(what: str, count: float, unit: str, price: Price | None, *, digits: int = 0) -> CostLine:
    if price is None:
        return CostLine(what, None, "no price is listed")
    return CostLine(
        what,
        count * price.usd,
        f"{count:.{digits}f} {unit} x {price.usd:.10f}".rstrip("0").rstrip(".") + " USD",
    )
