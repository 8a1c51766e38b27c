"""AWS's list of prices asked for what instances cost, and the list kept where commands and the stack find it.

Owns the calls: AWS Price List for real-time inference in one region, a file in the cache of this machine, an object in
a stack's artifact bucket. What the answers mean is `pipeline.sizing.live_prices`'.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

from botocore.exceptions import ClientError

from pipeline.aws import service_errors
from pipeline.errors import InvalidInput
from pipeline.sizing import instance_types, live_prices
from pipeline.sizing.live_prices import COMPONENT, KEY, MOST_BYTES, SERVICE, PriceFile

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from mypy_boto3_s3 import S3Client

    from pipeline.aws.clients import PricingClient
    from pipeline.sizing.instance_types import ListedPrice

ENDPOINT_REGION: Final = "us-east-1"
"""Where AWS answers for all regions; there are three such."""
_PAGE: Final = 100


def products(client: PricingClient, region: str) -> Iterator[str]:
    """Yield the products of real-time inference in a region, each a JSON text.

    Raises:
        ClientError: AWS refuses (`pricing:GetProducts`).
    """
    asked: dict[str, Any] = {
        "ServiceCode": SERVICE,
        "Filters": [
            {"Type": "TERM_MATCH", "Field": "regionCode", "Value": region},
            {"Type": "TERM_MATCH", "Field": "component", "Value": COMPONENT},
        ],
        "FormatVersion": "aws_v1",
        "MaxResults": _PAGE,
    }
    while True:
        page = client.get_products(**asked)
        yield from page.get("PriceList", ())
        if not page.get("NextToken"):
            return
        asked["NextToken"] = page["NextToken"]


def place(cache: Path, region: str) -> Path:
    """Return where this machine keeps the list of a region."""
    return cache / f"prices-{region}.json"


def write(path: Path, prices: PriceFile) -> None:
    """Write a list whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(".partial")
    partial.write_text(json.dumps(prices.to_json(), indent=2) + "\n", encoding="utf-8")
    partial.replace(path)


def kept(cache: Path, region: str) -> PriceFile | None:
    """Return the list of a region that this machine keeps; None where it keeps none.

    Raises:
        InvalidInput: what it keeps is no such list.
    """
    path = place(cache, region)
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return None
    except (OSError, UnicodeDecodeError) as error:
        raise live_prices.unreadable(str(path), str(error)) from error
    return live_prices.read_file(text, str(path))


def known(cache: Path, region: str) -> dict[str, ListedPrice]:
    """Return the prices of instances in a region, by type: those that this machine keeps before the listed ones.

    Who plans or looks is not refused for a list that cannot be read; `sealift prices` says what is wrong with it.
    """
    try:
        found = kept(cache, region)
    except InvalidInput:
        found = None
    return {**instance_types.LISTED, **(found.listed if found else {})}


def publish(client: S3Client, bucket: str, prices: PriceFile) -> None:
    """Put a list where the tasks of a stack read it."""
    body = json.dumps(prices.to_json()).encode()
    client.put_object(Bucket=bucket, Key=KEY, Body=body, ContentType="application/json")


def published(client: S3Client, bucket: str, region: str) -> PriceFile | None:
    """Return the list that a stack has; None where it has none, or one that is of no use to it.

    A deployment is never refused for want of it: the listed prices take its place.
    """
    try:
        body = client.get_object(Bucket=bucket, Key=KEY)["Body"].read(MOST_BYTES + 1)
    except ClientError as error:
        # Who may not list a bucket is told that access is denied to what is not there.
        if service_errors.is_no_such_key(error) or service_errors.is_access_denied(error):
            return None
        raise
    if len(body) > MOST_BYTES:
        return None
    try:
        found = live_prices.read_file(body, KEY)
    except InvalidInput:
        return None
    return found if found.region == region else None
