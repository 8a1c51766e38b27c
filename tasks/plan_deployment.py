"""PlanDeployment: what will be created, under which names and of which size; nothing is created here.

Looks at the consumers, at the account's serverless endpoints and at the quota, since a plan depends on them; at the
stack's own image, where it may have to hold the model; and at the prices that somebody has read, where it may need
instances.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from typing import TYPE_CHECKING, Any, NotRequired, TypeAlias, TypedDict

from pipeline import naming, settings
from pipeline.aws import lambda_handler
from pipeline.aws.permissions import (
    ARTIFACT_BUCKET,
    CONSUMER_VERSIONS,
    CONSUMERS,
    COUNTS_USAGE,
    ENDPOINT_CONFIGS,
    ENDPOINTS,
    FINDS_IMAGE,
    IMAGE_REPOSITORY_URI,
    PRICES,
    allow,
)
from pipeline.errors import QuotaUsedUp
from pipeline.hosting import SERVERLESS
from pipeline.operations import consumer_candidates, price_list
from pipeline.planning import consumer_claims, plan
from pipeline.rollout import base_image, endpoint_usage
from pipeline.state_data import plan_types
from pipeline.state_data.checked_types import CheckedAssembly, CheckEvidence, UploadedArchive
from pipeline.state_data.quality_types import CheckedSuite
from pipeline.state_data.request_types import Request, StackDefaults

if TYPE_CHECKING:
    from pipeline.aws.clients import Clients


class CheckedUpload(TypedDict):
    """CheckArchive's result."""

    request: Request
    archive: UploadedArchive
    model: dict[str, Any]
    """The model part of the archive report: as many facts of its header as it has."""
    evidence: CheckEvidence
    assembly: CheckedAssembly
    quality: NotRequired[CheckedSuite | None]
    """One that an older release checked has none."""


class PlanningResults(TypedDict):
    """The execution's data, as far as a plan depends on them."""

    check_archive: CheckedUpload
    plan_deployment: NotRequired[plan_types.Plan]
    """The plan that is replaced, when the endpoint was made or deleted by another deployment since."""


class Event(TypedDict):
    """What is known before anything is created."""

    results: PlanningResults
    execution: str
    started: str
    """ISO 8601."""
    defaults: StackDefaults


Result: TypeAlias = plan_types.Plan


def run(event: Event, clients: Clients) -> Result:
    """Return the plan.

    Raises:
        ModelDoesNotFit: when no allowed size holds the model.
        ImageNotFound: when the image is to hold the model, and there is none to lay it on.
        ConsumerNotAllowed: when the stack may not switch a consumer; better now than after the endpoint was made.
        ConsumerNotFound: when a consumer is missing.
        ConsumerUnreadable: when the variables of one cannot be read.
        ConsumerTaken: when another service has one, and the request does not say to take it over.
    """
    checked = event["results"]["check_archive"]
    request = checked["request"]
    consumer_candidates.require_allowed(
        request.consumers, consumer_candidates.reach(event["defaults"], event["execution"])
    )
    called = consumer_candidates.read_variables(clients, request.consumers)
    others = consumer_candidates.claimed_by_others(clients, request, called)
    stay = consumer_claims.left(others, request.consumers, default=request.default_consumer)
    if stay:
        # Nobody named it: the deployment goes on without it.
        request, called = replace(request, consumers=()), []
    archive, model = checked["archive"], checked["model"]
    base = None
    if plan.wants_image(request, archive, model):
        base = base_image.find(clients.registry, request.image_uri, settings.image_repository())
    prices = {}
    if request.hosting != SERVERLESS:
        bucket, region = event["defaults"]["artifact_bucket"], event["defaults"]["region"]
        listed = price_list.published(clients.s3, bucket, region)
        prices = listed.listed if listed else {}
    facts = plan.PlanFacts(
        request=request,
        archive=archive,
        model=model,
        base=base,
        assembly=checked["assembly"],
        execution=event["execution"],
        region=event["defaults"]["region"],
        today=date.fromisoformat(event["started"][:10]),
        serving=next(filter(None, called), None),
        taken_from=next((one.endpoint for one in others if not stay), None),
        earlier=event["results"].get("plan_deployment"),
        prices=prices,
        suite=checked.get("quality"),
        # One that was checked before the stack's update has none.
        container_note=checked["evidence"].get("container", ""),
    )
    plan.plan(facts)  # What fits nowhere is refused before the account is looked at.
    situation = endpoint_usage.read_usage(clients, request.service)
    new = naming.introduction(request.service, situation.names)
    remarks = (*filter(None, (*checked["evidence"].get("notes", ()), new)),)
    made = _planned(replace(facts, situation=situation, remarks=remarks), clients)
    if not stay:
        return made
    instead = consumer_claims.without(stay, made.notes)
    return replace(
        made,
        consumers=instead.consumers,
        switch=instead.switch,
        callers=instead.callers,
        notes=instead.notes,
    )


def _planned(facts: plan.PlanFacts, clients: Clients) -> plan_types.Plan:
    try:
        return plan.plan(facts)
    except QuotaUsedUp:
        # Whose endpoints hold it is looked at only when it is to be said.
        named = endpoint_usage.name_owners(clients.sagemaker, facts.situation)
        return plan.plan(replace(facts, situation=named))


handler = lambda_handler.Task(
    run,
    may=(
        allow(
            "lambda:GetFunctionConfiguration",
            on=(CONSUMERS, CONSUMER_VERSIONS),
            why="Versions and aliases have ARNs of their own.",
        ),
        COUNTS_USAGE,
        allow("sagemaker:DescribeEndpoint", "sagemaker:ListTags", on=ENDPOINTS),
        allow(
            "sagemaker:DescribeEndpointConfig",
            "sagemaker:ListTags",
            on=ENDPOINT_CONFIGS,
            why="Whose consumer it is that calls an endpoint which is gone.",
        ),
        FINDS_IMAGE,
        allow("s3:GetObject", on=PRICES, why="What `sealift prices --refresh` has put there, if anything."),
        allow(
            "s3:ListBucket",
            on=ARTIFACT_BUCKET,
            why='Without ListBucket, prices that nobody has read are "access denied" instead of "not found".',
        ),
    ),
    environment=((settings.IMAGE_REPOSITORY, IMAGE_REPOSITORY_URI),),
)
