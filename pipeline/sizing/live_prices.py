"""Prices of instances as AWS's own list has them: read off its products, and kept as a JSON file.

Owns what of a product is the price of real-time inference, and the file's form. Pure: who asks AWS is
`pipeline.operations.price_list`. Refuses to guess: a product that says it otherwise than it is known to be said is left
out with a word, and no price is ever 0.

    {"region": "us-east-1", "read_at": "2026-11-30T04:00:00Z", "usd_per_hour": {"ml.r5.xlarge": 0.302}}
"""

from __future__ import annotations

import json
import math
import re
from collections import defaultdict
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

from pipeline.errors import InvalidInput, Problem
from pipeline.plain import plain
from pipeline.sizing.instance_types import ListedPrice
from pipeline.time_format import span

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

KEY: Final = "prices/hosting.json"
"""Of the file in the artifact bucket of a stack, whose region is the stack's."""
MOST_BYTES: Final = 256 * 1024
"""Of such a file: there are a few hundred types."""
OLD: Final = timedelta(days=90)
"""From when on a list says that it is to be read again."""

SERVICE: Final = "AmazonSageMaker"
COMPONENT: Final = "Hosting"
"""Real-time inference; training, notebooks and asynchronous inference have prices of their own."""
_USAGE: Final = re.compile(r"(?:[A-Z0-9]+-)?Host:(?P<type>ml\.[a-z0-9-]+\.[a-z0-9]+)")
_TYPE: Final = re.compile(r"ml\.[a-z0-9-]+\.[a-z0-9]+")
_DEAREST: Final = 10_000
"""USD an hour above which no instance is: what is more was read wrong."""


@dataclass(frozen=True, slots=True)
class PriceFile:
    """A list of prices as it was read."""

    region: str
    read_at: datetime
    usd_per_hour: Mapping[str, float]
    """By instance type."""

    @property
    def listed(self) -> dict[str, ListedPrice]:
        """The prices with their source."""
        source = f"AWS's price list for {self.region}, read {self.read_at:%Y-%m-%d}"
        return {name: ListedPrice(usd, source) for name, usd in self.usd_per_hour.items()}

    def age(self, now: datetime) -> str:
        """Return its age in words."""
        return span((now - self.read_at).total_seconds())

    def is_old(self, now: datetime) -> bool:
        """Tell whether it should be read again."""
        return now - self.read_at > OLD

    def to_json(self) -> dict[str, Any]:
        """Return it as a JSON object."""
        return {
            "region": self.region,
            "read_at": self.read_at.strftime("%Y-%m-%dT%H:%M:%SZ"),
            "usd_per_hour": dict(sorted(self.usd_per_hour.items())),
        }


@dataclass(frozen=True, slots=True)
class Products:
    """What was found among products."""

    usd_per_hour: Mapping[str, float]
    """By instance type."""
    skipped: tuple[str, ...]
    """What was left out, and why."""


def read_products(documents: Iterable[str], region: str) -> Products:
    """Return the prices that products of AWS's list tell.

    Args:
        documents: each a product as GetProducts has it: a JSON text.
        region: whose prices are wanted.
    """
    found: dict[str, set[float]] = defaultdict(set)
    skipped = []
    for document in documents:
        price = _price(document, region)
        if isinstance(price, str):
            skipped.append(price)
        elif price is not None:
            name, usd = price
            found[name].add(usd)
    skipped += [
        f"{name} has {len(prices)} prices: {', '.join(f'{usd:g}' for usd in sorted(prices))}"
        for name, prices in found.items()
        if len(prices) > 1
    ]
    usd_per_hour = {name: next(iter(prices)) for name, prices in found.items() if len(prices) == 1}
    return Products(usd_per_hour, tuple(skipped))


def _price(document: str, region: str) -> tuple[str, float] | str | None:
    """Return a product's type and price, why it has none that can be taken, or None where it is something else."""
    try:
        product = json.loads(document)
        attributes = product["product"]["attributes"]
        usage = attributes.get("usagetype", "")
        if attributes.get("component") != COMPONENT or attributes.get("regionCode", region) != region:
            return None
        match = _USAGE.fullmatch(usage)
        if match is None:
            return None  # Storage, data, or asynchronous inference.
        terms = product["terms"]["OnDemand"].values()
        dimensions = [one for term in terms for one in term["priceDimensions"].values()]
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        return f"a product that is not as AWS's products are ({type(error).__name__}): {plain(document[:60])}"
    name = match["type"]
    if len(dimensions) != 1:
        return f"{name} has {len(dimensions)} on-demand prices in one product"
    return _usd(name, dimensions[0])


def _usd(name: str, dimension: Any) -> tuple[str, float] | str:
    try:
        unit, text = dimension["unit"], dimension["pricePerUnit"]["USD"]
        usd = float(text)
    except (ValueError, KeyError, TypeError) as error:
        return f"{name} has no price in USD ({type(error).__name__})"
    if unit != "Hrs":
        return f"{name} is priced by {plain(str(unit))!r}, not by the hour"
    if not math.isfinite(usd) or not 0 < usd < _DEAREST:
        return f"{name} costs {plain(str(text))!r}, which is no price"
    return name, usd


def read_file(text: str | bytes, name: str) -> PriceFile:
    """Return a file's list.

    Args:
        text: its content.
        name: what to call it in an error.

    Raises:
        InvalidInput: it is no such file.
    """
    try:
        said = json.loads(text)
        region, read_at = said["region"], datetime.fromisoformat(said["read_at"])
        prices = {str(name): float(usd) for name, usd in said["usd_per_hour"].items()}
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise _wrong(name, f"no list of prices ({type(error).__name__})") from error
    if not isinstance(region, str) or read_at.tzinfo is None:
        raise _wrong(name, "no region as a text, or a time without its zone")
    for type_, usd in prices.items():
        if not _TYPE.fullmatch(type_) or not math.isfinite(usd) or not 0 < usd < _DEAREST:
            raise _wrong(name, f"{plain(type_)!r} costs {usd!r}")
    return PriceFile(region, read_at, prices)


def unreadable(name: str, why: str) -> InvalidInput:
    """Return the error for a file that cannot be read."""
    return _wrong(name, plain(why))


def _wrong(name: str, seen: str) -> InvalidInput:
    fix = "`sealift prices --refresh` writes it anew"
    return InvalidInput(
        name, [Problem("WrongPriceFile", seen, "a file that `sealift prices` has written", fix)]
    )
