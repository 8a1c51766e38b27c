"""What AWS charges, as dated data with its source; no other module holds a price of what an endpoint costs.

A price that is not listed for a region is not guessed: the one of us-east-1 stands in, and whoever shows it says so.
A JSON file replaces any item with all its regions (`sealift report --prices FILE`):

    {"as_of": "2026-11-01", "source": "our contract",
     "prices": {"serverless_gb_second": {"eu-central-1": 0.000021}}}

Refuses to multiply: what something costs is `pipeline.report.costs`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final, Literal

from pipeline.errors import InvalidInput, Problem
from pipeline.spelling import did_you_mean

if TYPE_CHECKING:
    from collections.abc import Mapping

Confidence = Literal["sure", "likely", "not found"]
"""sure: read in AWS's own price list or page; likely: read where somebody else quotes them; not found: in neither."""

HOME: Final = "us-east-1"
"""The region whose price stands in for one that is not listed."""


@dataclass(frozen=True, slots=True)
class PricedItem:
    """One thing that AWS charges for."""

    name: str
    meaning: str
    unit: str
    usd: Mapping[str, float]
    """By region; none at all where no source was found."""
    as_of: str
    source: str
    confidence: Confidence


@dataclass(frozen=True, slots=True)
class Price:
    """What one thing costs in one region."""

    item: PricedItem
    region: str
    """The region that was requested."""
    usd: float
    exact: bool
    """Whether it is the price of that region, and not the one of us-east-1 in its place."""


@dataclass(frozen=True, slots=True)
class Prices:
    """A price list."""

    items: Mapping[str, PricedItem]

    def of(self, name: str, region: str) -> Price | None:
        """Return the price of an item in a region; None when neither that region nor us-east-1 has one."""
        item = self.items[name]
        usd = item.usd.get(region, item.usd.get(HOME))
        return None if usd is None else Price(item, region, usd, region in item.usd)


def _same(regions: str, usd: float) -> dict[str, float]:
    return dict.fromkeys(regions.split(), usd)


_ITEMS: Final = (
    PricedItem(
        "serverless_gb_second",
        "a serverless endpoint's memory while it answers",
        "GB of memory and second",
        {HOME: 0.000020},
        "2026-09-01",
        "AWS Price List, USE1-ServerlessInf:Mem-3GB, 0.00006 USD a second (SKU PUE6HBQ8KFHBUN5T), as others quote it; "
        "all sizes at the same price for a GB",
        "likely",
    ),
    PricedItem(
        "provisioned_gb_second",
        "a serverless endpoint's memory in containers that are kept started (ProvisionedConcurrency)",
        "GB of memory and second",
        {},
        "2026-11-30",
        "https://aws.amazon.com/sagemaker/pricing/, Provisioned Concurrency Usage (USE1-ProvisionedConcurrency:"
        "Usage-3GB and so on): charged by memory, time and concurrency, as AWS's guide says. One list alone quotes it, "
        "0.00001 USD a second for 2 GB, and 0.0000233 for 2 GB that answer (a test of infracost, 2026-02, us-east-1), "
        "so that no price is entered",
        "not found",
    ),
    PricedItem(
        "data_gb",
        "data into and out of an endpoint",
        "GB",
        {HOME: 0.016, "eu-west-1": 0.016},
        "2023-12-31",
        "a bill: 0.016 USD per GB for Endpoint Data IN and OUT (github.com/aws-samples/sagemaker-ssh-helper, "
        "Sample_Costs.md)",
        "likely",
    ),
    PricedItem(
        "state_transition",
        "a state transition of a standard workflow; a retry counts as one",
        "transition",
        {
            **_same(
                "us-east-1 us-east-2 us-west-2 ca-central-1 eu-west-1 eu-central-1 eu-west-2 eu-north-1 "
                "ap-southeast-1 ap-northeast-1 ap-southeast-2",
                0.0000250,
            ),
            "us-west-1": 0.0000279,
            "sa-east-1": 0.0000375,
            "eu-west-3": 0.0000297,
            "ap-northeast-2": 0.0000271,
            "ap-south-1": 0.0000285,
            "us-gov-east-1": 0.0000300,
            "us-gov-west-1": 0.0000300,
        },
        "2020-07-28",
        "https://aws.amazon.com/step-functions/pricing/, an archived copy; the price of us-east-1 was the same in 2026",
        "sure",
    ),
    PricedItem(
        "storage_gb_month",
        "an archive in S3 Standard",
        "GB and month",
        {HOME: 0.023},
        "2026-11-28",
        "https://aws.amazon.com/s3/pricing/, first 50 TB, as others quote it",
        "likely",
    ),
    PricedItem(
        "image_gb_month",
        "an image in ECR, as it is stored; pulls within the region cost nothing",
        "GB and month",
        {HOME: 0.10},
        "2026-11-30",
        "https://aws.amazon.com/ecr/pricing/, private repositories, as four others quote it in 2026, one of them with "
        "compressed layers as what counts",
        "likely",
    ),
    PricedItem(
        "alarm_month",
        "an alarm on one metric; the first ten of an account are free",
        "alarm and month",
        {HOME: 0.10},
        "2026-11-28",
        "https://aws.amazon.com/cloudwatch/pricing/, US East, as others quote it",
        "likely",
    ),
    PricedItem(
        "metric_month",
        "a metric of an endpoint's log, for the hours in which it has values; the first ten of an account are free",
        "metric and month",
        {HOME: 0.30},
        "2026-11-29",
        "https://aws.amazon.com/cloudwatch/pricing/, custom metrics, the first 10,000, as others quote it",
        "likely",
    ),
)

LISTED: Final = Prices(MappingProxyType({item.name: item for item in _ITEMS}))
"""What is known without asking anybody."""


def changed(prices: Prices, said: Mapping[str, Any], name: str) -> Prices:
    """Return a price list with what a JSON object says in the place of what was listed.

    Args:
        prices: the list to change.
        said: the object.
        name: what to call it in an error.

    Raises:
        InvalidInput: with every problem of the object.
    """
    problems: list[Problem] = []
    given = said.get("prices")
    if not isinstance(given, dict):
        given = {}
        problems.append(_wrong("no object 'prices'", "prices by item and region"))
    problems.extend(
        _wrong(f"no text {field!r}", "the day the prices are of, and where they are from")
        for field in ("as_of", "source")
        if not isinstance(said.get(field), str) or not said[field].strip()
    )
    for item, usd in given.items():
        problems.extend(_faults(prices, item, usd))
    if problems:
        raise InvalidInput(name, problems)
    dated = {
        item: replace(
            prices.items[item],
            usd={region: float(one) for region, one in usd.items()},
            as_of=said["as_of"],
            source=said["source"],
            confidence="sure",
        )
        for item, usd in given.items()
    }
    return Prices(MappingProxyType({**prices.items, **dated}))


def _faults(prices: Prices, item: str, usd: Any) -> list[Problem]:
    if item not in prices.items:
        fix = did_you_mean(item, prices.items, EXAMPLE)
        return [Problem("WrongPrices", f"unknown item {item!r}", "one of " + ", ".join(prices.items), fix)]
    if not isinstance(usd, dict):
        return [_wrong(f"{item!r} is {usd!r}", "an object of USD by region")]
    return [
        _wrong(f"{item!r} costs {one!r} in {region!r}", "a number of USD, 0 or more")
        for region, one in usd.items()
        if not isinstance(one, int | float) or isinstance(one, bool) or not math.isfinite(one) or one < 0
    ]


EXAMPLE: Final = (
    'write {"as_of": "2026-11-01", "source": "our contract", '
    '"prices": {"serverless_gb_second": {"eu-central-1": 0.000021}}}'
)


def _wrong(seen: str, wanted: str) -> Problem:
    return Problem("WrongPrices", seen, wanted, EXAMPLE)
