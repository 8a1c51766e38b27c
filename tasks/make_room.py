"""MakeRoom: lowers the concurrency of the service's own older endpoints, as the plan says, so that a new one fits.

The plan holds what each had before, so it is in the execution's data before the first change: RollBack puts it back.
"""

from __future__ import annotations

import operator
from typing import TYPE_CHECKING, TypedDict

from pipeline import payload, quota_usage
from pipeline.aws import lambda_handler
from pipeline.aws.permissions import (
    ENDPOINT_CONFIGS,
    ENDPOINTS,
    MADE_BY_SEALIFT,
    SETS_CONCURRENCY,
    allow,
)
from pipeline.errors import EndpointBusy
from pipeline.quota_usage import Lowered
from pipeline.rollout import endpoint_concurrency

if TYPE_CHECKING:
    from pipeline.aws.clients import Clients


class Event(TypedDict):
    """What the plan says of the room that it needs."""

    room: list[Lowered]
    service: str


class Result(TypedDict):
    """What was done."""

    lowered: list[str]
    """In words, one per endpoint."""


def run(event: Event, clients: Clients) -> Result:
    """Lower what the plan says.

    Raises:
        EndpointBusy: until every endpoint is in service with its new concurrency.
    """
    lowered = []
    waiting = []
    for one in event["room"]:
        # One that is gone has made all the room it could; one that somebody lowered further has made enough.
        come = endpoint_concurrency.set_concurrency(
            clients.sagemaker, event["service"], one.endpoint, to=one.to, unless=operator.le
        )
        if come.waiting:
            waiting.append(come.waiting)
        lowered.append(quota_usage.describe(one))
    if waiting:
        reason = "; ".join(waiting)
        raise EndpointBusy(reason, waiting=reason)
    return {"lowered": payload.cut_all(lowered)}


handler = lambda_handler.Task(
    run,
    errors=(EndpointBusy,),
    may=(
        allow("sagemaker:DescribeEndpoint", "sagemaker:ListTags", on=ENDPOINTS),
        SETS_CONCURRENCY,
        allow(
            "sagemaker:DescribeEndpointConfig",
            "sagemaker:CreateEndpointConfig",
            "sagemaker:AddTags",
            "sagemaker:ListTags",
            on=ENDPOINT_CONFIGS,
            why="Where AWS refuses that: a configuration of another concurrency, with the tags of "
            "the present one.",
        ),
        allow("sagemaker:UpdateEndpoint", on=(ENDPOINTS, ENDPOINT_CONFIGS), when=MADE_BY_SEALIFT),
    ),
)
