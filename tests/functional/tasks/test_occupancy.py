"""A look at the account: who holds what, in a bounded number of calls."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from pipeline.rollout import endpoint_usage
from tests.functional.tasks.conftest import serverless

if TYPE_CHECKING:
    from tests.functional.tasks.conftest import Script


def test_the_services_own_endpoints_are_known_by_their_tags(script: Script) -> None:
    """A name alone is nobody's; one that is named otherwise is not even asked for its tags."""
    named, tagged, other = (
        serverless("harbour-9", 3, service="pier"),
        serverless("harbour-1", 4, service="harbour"),
        serverless("pier-1", 2),
    )
    script.account(named, tagged, other, quota=20)

    found = endpoint_usage.read_usage(script.clients, "harbour")

    assert [(one.name, one.concurrency, one.ours) for one in found.holders] == [
        ("harbour-9", 3, False),
        ("harbour-1", 4, True),
        ("pier-1", 2, False),
    ]
    assert (found.quota, found.read, found.used, found.free, found.complete) == (20, True, 9, 11, True)


def test_our_own_are_looked_at_first(script: Script) -> None:
    """So that the bound never hides them."""
    own = serverless("harbour-1", 4, service="harbour")
    others = [serverless(f"a-{n:02}", 1) for n in range(60)]
    fields = ("EndpointName", "EndpointArn", "EndpointStatus", "CreationTime", "LastModifiedTime")
    rows = [{name: one[name] for name in fields} for one in (*others, own)]
    script.answers("sagemaker", "list_endpoints", {"Endpoints": rows})
    for one in (own, *others[: endpoint_usage.MOST_ENDPOINTS - 1]):
        script.endpoint(one)
    script.refuses("service_quotas", "get_service_quota", "NoSuchResourceException")

    found = endpoint_usage.read_usage(script.clients, "harbour")

    assert len(found.holders) == endpoint_usage.MOST_ENDPOINTS
    assert found.holders[0].name == "harbour-1"
    assert not found.complete
    assert "not looked at" in str(found)


def test_pages_are_bounded(script: Script) -> None:
    """An account with thousands of endpoints costs no more calls; nor does one whose pages are empty."""
    script.answers("sagemaker", "list_endpoints", {"Endpoints": [], "NextToken": "1"}, {"MaxResults": 100})
    for page in range(1, endpoint_usage.LISTED // 100 + 1):
        expected = {"MaxResults": 100, "NextToken": str(page)}
        script.answers("sagemaker", "list_endpoints", {"Endpoints": [], "NextToken": str(page + 1)}, expected)
    script.refuses("service_quotas", "get_service_quota", "NoSuchResourceException")

    assert not endpoint_usage.read_usage(script.clients, "harbour").complete


@pytest.mark.parametrize(
    ("code", "status"),
    [
        pytest.param("AccessDeniedException", 403, id="denied"),
        pytest.param("NoSuchResourceException", 400, id="absent"),
        pytest.param("ServiceException", 500, id="outage"),
    ],
)
def test_a_quota_that_cannot_be_read_is_assumed_and_said_so(script: Script, code: str, status: int) -> None:
    """An ordinary account's ten; no reason to fail."""
    script.answers("sagemaker", "list_endpoints", {"Endpoints": []})
    script.refuses("service_quotas", "get_service_quota", code, status=status)

    found = endpoint_usage.read_usage(script.clients, "harbour")

    assert (found.quota, found.read) == (10, False)
    assert "assumed" in str(found)


@pytest.mark.parametrize(
    ("changes", "concurrency"),
    [
        pytest.param({}, 4, id="in service"),
        pytest.param(
            {
                "EndpointStatus": "Creating",
                "ProductionVariants": None,
                "PendingDeploymentSummary": {
                    "EndpointConfigName": "harbour-1",
                    "ProductionVariants": [
                        {
                            "VariantName": "AllTraffic",
                            "DesiredServerlessConfig": {"MemorySizeInMB": 1024, "MaxConcurrency": 7},
                        }
                    ],
                },
            },
            7,
            id="creating",
        ),
        pytest.param({"EndpointStatus": "Failed", "ProductionVariants": None}, 0, id="failed"),
        pytest.param({"ProductionVariants": [{"VariantName": "AllTraffic"}]}, None, id="on instances"),
    ],
)
def test_what_an_endpoint_holds(script: Script, changes: dict[str, Any], concurrency: int | None) -> None:
    """The larger of what is in force and what is coming; an endpoint on instances holds none of this quota."""
    one = {**serverless("a-1", 4), **changes}
    script.endpoint({name: value for name, value in one.items() if name == "service" or value is not None})

    found = endpoint_usage.holder(script.clients.sagemaker, "a-1", "harbour")

    assert (found.concurrency if found else None) == concurrency


@pytest.mark.parametrize("service", [pytest.param("harbour", id="ours"), pytest.param(None, id="theirs")])
def test_what_scales_is_known_by_its_tags(script: Script, service: str | None) -> None:
    """Only of the service's own, whose tags are read anyway."""
    one = serverless("harbour-1", 4)
    one["ProductionVariants"] = [{"VariantName": "AllTraffic", "CurrentInstanceCount": 1}]
    script.answers("sagemaker", "describe_endpoint", {name: one[name] for name in one if name != "service"})
    tags = {"sealift:auto-scaling": "1-4"}
    if service:
        tags |= {"sealift:execution": "earlier", "sealift:service": service}
    script.answers("sagemaker", "list_tags", {"Tags": [{"Key": k, "Value": v} for k, v in tags.items()]})

    found = endpoint_usage.holder(script.clients.sagemaker, "harbour-1", "harbour")

    assert (found.scales if found else None) is (True if service else None)


def test_one_that_went_away_holds_nothing(script: Script) -> None:
    """Between the list and the look."""
    script.missing("describe_endpoint")

    assert endpoint_usage.holder(script.clients.sagemaker, "a-1", "harbour") is None
