"""The tags that Sealift puts on what it makes, and whose a thing is by them.

Owns the keys, what a value may be, and the reading of them. Refuses to decide what is done with a thing.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from mypy_boto3_sagemaker import SageMakerClient


TAG_SERVICE = "sealift:service"
TAG_EXECUTION = "sealift:execution"
TAG_ARCHIVE = "sealift:archive"
TAG_VERSION = "sealift:archive-version"
TAG_UPLOADED = "sealift:uploaded-at"
TAG_CONSUMER = "sealift:consumer"
"""Function, variable and, where there is one, alias, with spaces between them; `sealift:consumer-2` and so on has the
next one, since all of them are too long for one tag."""
TAG_CONSUMERS = "sealift:consumers"
"""How many there are: a record that is marked again with fewer has tags of those that were."""
TAG_SINCE = "sealift:serving-since"
"""When the endpoint was switched to that a service's parameter names; ISO 8601."""
TAG_SCALING = "sealift:auto-scaling"
"""Between how many instances it scales; only what scales has it."""

MOST_TAG = 256
"""Characters of a tag's value (service model, TagValue)."""
MOST_KEY = 128
"""Characters of a tag's key (service model, TagKey)."""
MOST_OWN = 20
"""Tags of somebody's own: a resource has 50 at most, and Sealift's are fewer than 30, with ten consumers among them."""
OURS = "sealift:"
"""What the keys of Sealift's tags begin with."""


class Caller(Protocol):
    """A consumer, as far as tags name it."""

    @property
    def function_name(self) -> str:
        """A name or an ARN."""

    @property
    def variable(self) -> str:
        """The environment variable that names the endpoint."""

    @property
    def alias(self) -> str | None:
        """What callers use; None for the function itself."""


def consumer_tags(consumers: Sequence[Caller]) -> dict[str, str]:
    """Return the tags that tell who may call what bears them."""
    tags = {TAG_CONSUMERS: str(len(consumers))}
    for number, one in enumerate(consumers, 1):
        text = " ".join([one.function_name, one.variable, *filter(None, [one.alias])])
        # A name that was cut would be another function's; whose variable it is can then not be told.
        tags[consumer_tag(number)] = text if len(text) <= MOST_TAG else one.function_name
    return tags


def consumer_tag(number: int) -> str:
    """Return the key of the tag of a consumer, the first one being 1."""
    return TAG_CONSUMER if number == 1 else f"{TAG_CONSUMER}-{number}"


def tag_value(value: str) -> str:
    """Return a value within what SageMaker takes: letters, digits, spaces and ``_.:/=+-@``, at most 256."""
    return re.sub(r"[^\w .:/=+@-]", "_", value)[:MOST_TAG]


def pairs(text: str) -> dict[str, str]:
    """Return the tags that a parameter of CloudFormation names as key=value, with commas between."""
    split = (one.strip().partition("=") for one in text.split(",") if one.strip())
    return {key.strip(): value.strip() for key, _, value in split}


def own(tags: Mapping[str, str]) -> dict[str, str]:
    """Return those of some tags that are somebody's own: neither Sealift's nor AWS's."""
    return {key: value for key, value in tags.items() if not key.startswith((OURS, "aws:"))}


def read(client: SageMakerClient, arn: str) -> dict[str, str]:
    """Return the tags of a resource."""
    pages = client.get_paginator("list_tags").paginate(ResourceArn=arn)
    return {tag["Key"]: tag["Value"] for page in pages for tag in page["Tags"]}


def owner(client: SageMakerClient, arn: str) -> str | None:
    """Return the execution that a resource is tagged with; None for one that Sealift did not make."""
    return read(client, arn).get(TAG_EXECUTION)


def is_of_service(client: SageMakerClient, arn: str, service: str) -> bool:
    """Return whether Sealift made a resource for this service."""
    return are_of_service(read(client, arn), service)


def are_of_service(found: Mapping[str, str], service: str) -> bool:
    """Return whether tags are those of what Sealift made for this service."""
    return TAG_EXECUTION in found and found.get(TAG_SERVICE) == tag_value(service)


def scales_to_none(tags: Mapping[str, str]) -> bool:
    """Return whether an endpoint scales to none, and so hosts an inference component (`autoscaling.tag`)."""
    return tags.get(TAG_SCALING, "").startswith("0-")
