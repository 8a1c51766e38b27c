"""CreateEndpoint: asked for once, found when it is there, and never confused with a leftover."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any

import pytest

from pipeline.errors import EndpointBusy, EndpointMoved, NameConflict, NotYetVisible, QuotaTooSmall

if TYPE_CHECKING:
    from tests.functional.tasks.conftest import Script, Task

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
ARN = "arn:aws:sagemaker:us-east-1:123456789012:endpoint/harbour-0"
TAGS = [{"Key": "sealift:service", "Value": "harbour"}]
REQUEST: dict[str, Any] = {"EndpointName": "harbour-0", "EndpointConfigName": "harbour-0", "Tags": TAGS}
ASKED = {"memory_mb": 1024, "max_concurrency": 10}
EVENT: dict[str, Any] = {"request": REQUEST, "asked": ASKED, "deadline_s": 90}
EXISTS = f'Cannot create already existing endpoint "{ARN}".'
QUOTA = (
    "The account-level service limit 'Memory size in MB per serverless endpoint' is 3072 MBs, with current "
    "utilization of 0 MBs and a request delta of 4096 MBs."
)


def described(status: str, config: str = "harbour-0") -> dict[str, Any]:
    """Return a DescribeEndpoint response."""
    return {
        "EndpointName": "harbour-0",
        "EndpointArn": ARN,
        "EndpointConfigName": config,
        "EndpointStatus": status,
        "CreationTime": NOW,
        "LastModifiedTime": NOW,
    }


def test_it_is_asked_for_with_a_deadline(do: Task, script: Script) -> None:
    """The deadline is counted from the endpoint's creation, in the form that the state machine compares."""
    script.answers("sagemaker", "create_endpoint", {"EndpointArn": ARN}, REQUEST)
    script.answers("sagemaker", "describe_endpoint", described("Creating"))

    result = do("CreateEndpoint", script.clients, **EVENT)

    assert result == {
        "name": "harbour-0",
        "arn": ARN,
        "created": True,
        "deadline_at": "2026-01-02T03:05:35.000Z",
    }


@pytest.mark.parametrize(("service", "error"), [("harbour", EndpointMoved), ("quay", NameConflict)])
def test_the_services_one_endpoint_that_came_meanwhile_is_planned_with(
    do: Task, script: Script, service: str, error: type[Exception]
) -> None:
    """Where it is updated in place; one that bears the service's name and is not its own is a conflict."""
    name, tags = "harbour", [{"Key": "sealift:execution", "Value": "arn:1"}]
    request = {**REQUEST, "EndpointName": name}
    there = {**described("InService", "harbour-1"), "EndpointName": name}
    script.refuses("sagemaker", "create_endpoint", "ValidationException", EXISTS)
    script.answers("sagemaker", "describe_endpoint", there)
    script.answers("sagemaker", "describe_endpoint", there)
    script.answers("sagemaker", "list_tags", {"Tags": [*tags, {"Key": "sealift:service", "Value": service}]})

    with pytest.raises(error, match="is 'harbour-1'"):
        do("CreateEndpoint", script.clients, **{**EVENT, "request": request})


@pytest.mark.parametrize("at", ["describe_endpoint", "list_tags"])
def test_the_services_one_endpoint_that_came_and_went_meanwhile_is_planned_with(
    do: Task, script: Script, at: str
) -> None:
    """The deployment that made it took it back: there is no conflict any more, and nothing to find."""
    name = "harbour"
    there = {**described("InService", "harbour-1"), "EndpointName": name}
    script.refuses("sagemaker", "create_endpoint", "ValidationException", EXISTS)
    script.answers("sagemaker", "describe_endpoint", there)
    if at == "list_tags":
        script.answers("sagemaker", "describe_endpoint", there)
    script.refuses("sagemaker", at, "ValidationException", f'Could not find endpoint "{ARN}".')

    with pytest.raises(EndpointMoved, match="gone by now"):
        do("CreateEndpoint", script.clients, **{**EVENT, "request": {**REQUEST, "EndpointName": name}})


@pytest.mark.parametrize(
    ("created", "seconds", "deadline"),
    [
        pytest.param(NOW, 60, "2026-01-02T03:05:05.000Z", id="whole seconds"),
        pytest.param(
            datetime(2026, 1, 2, 23, 59, 59, 999_000, tzinfo=UTC),
            7200,
            "2026-01-03T01:59:59.999Z",
            id="over midnight",
        ),
        pytest.param(
            datetime(2026, 1, 2, 5, 4, 5, tzinfo=timezone(timedelta(hours=2))),
            60,
            "2026-01-02T03:05:05.000Z",
            id="zone",
        ),
    ],
)
def test_a_deadline_is_a_time_of_the_same_form(
    do: Task, script: Script, created: datetime, seconds: int, deadline: str
) -> None:
    """UTC with a Z and milliseconds, as the context object has it."""
    script.answers("sagemaker", "create_endpoint", {"EndpointArn": ARN})
    script.answers("sagemaker", "describe_endpoint", {**described("Creating"), "CreationTime": created})

    result = do("CreateEndpoint", script.clients, **{**EVENT, "deadline_s": seconds})

    assert result["deadline_at"] == deadline


@pytest.mark.parametrize("status", ["Creating", "InService", "Updating", "SystemUpdating"])
def test_one_that_is_there_as_asked_for_is_taken(do: Task, script: Script, status: str) -> None:
    """A lost answer, or an earlier deployment of the same archive: the poll sees what becomes of it."""
    script.refuses("sagemaker", "create_endpoint", "ValidationException", EXISTS)
    script.answers("sagemaker", "describe_endpoint", described(status))

    assert do("CreateEndpoint", script.clients, **EVENT)["created"] is False


def test_one_of_another_configuration_is_a_conflict(do: Task, script: Script) -> None:
    """It is not touched, whoever made it."""
    script.refuses("sagemaker", "create_endpoint", "ValidationException", EXISTS)
    script.answers("sagemaker", "describe_endpoint", described("InService", "other-1"))

    with pytest.raises(NameConflict, match="EndpointConfigName of the existing 'harbour-0' is 'other-1'"):
        do("CreateEndpoint", script.clients, **EVENT)


@pytest.mark.parametrize("status", ["Failed", "OutOfService", "UpdateRollbackFailed"])
def test_a_dead_leftover_of_ours_is_deleted_first(do: Task, script: Script, status: str) -> None:
    """Nothing else can be done with it; the state machine comes back when it is gone."""
    script.refuses("sagemaker", "create_endpoint", "ValidationException", EXISTS)
    script.answers("sagemaker", "describe_endpoint", described(status))
    script.tags("arn:aws:states:us-east-1:123456789012:execution:m:earlier")
    script.answers("sagemaker", "delete_endpoint", {}, {"EndpointName": "harbour-0"})

    with pytest.raises(EndpointBusy, match=f"'harbour-0' of an earlier deployment is {status}"):
        do("CreateEndpoint", script.clients, **EVENT)


def test_one_that_is_being_deleted_is_waited_for(do: Task, script: Script) -> None:
    """The name is free in a moment; deleting twice would be refused."""
    script.refuses("sagemaker", "create_endpoint", "ValidationException", EXISTS)
    script.answers("sagemaker", "describe_endpoint", described("Deleting"))

    with pytest.raises(EndpointBusy, match="is Deleting"):
        do("CreateEndpoint", script.clients, **EVENT)


def test_the_next_try_after_a_leftover_creates(do: Task, script: Script) -> None:
    """Failed, Deleting, gone: three runs of the same task, and the endpoint is there."""
    script.refuses("sagemaker", "create_endpoint", "ValidationException", EXISTS)
    script.answers("sagemaker", "describe_endpoint", described("Failed")).tags("earlier")
    script.answers("sagemaker", "delete_endpoint", {})
    script.refuses("sagemaker", "create_endpoint", "ValidationException", EXISTS)
    script.answers("sagemaker", "describe_endpoint", described("Deleting"))
    script.answers("sagemaker", "create_endpoint", {"EndpointArn": ARN})
    script.answers("sagemaker", "describe_endpoint", described("Creating"))

    for _ in range(2):
        with pytest.raises(EndpointBusy):
            do("CreateEndpoint", script.clients, **EVENT)

    assert do("CreateEndpoint", script.clients, **EVENT)["created"] is True


def test_a_configuration_that_is_not_visible_yet_is_waited_for(do: Task, script: Script) -> None:
    """It was created a state ago."""
    script.missing("create_endpoint", "endpoint configuration")

    with pytest.raises(NotYetVisible, match="Could not find endpoint configuration"):
        do("CreateEndpoint", script.clients, **EVENT)


def test_a_quota_speaks_here(do: Task, script: Script) -> None:
    """The figures of AWS's message reach the state machine, and that waiting cannot help."""
    script.refuses("sagemaker", "create_endpoint", "ResourceLimitExceeded", QUOTA)
    script.missing("describe_endpoint")

    with pytest.raises(QuotaTooSmall, match=r"is 3072 MBs.*request delta of 4096 MBs"):
        do("CreateEndpoint", script.clients, **EVENT)


def test_a_quota_that_its_own_endpoint_uses_up_is_no_refusal(do: Task, script: Script) -> None:
    """The answer to the first try was lost: AWS may look at the quota before it looks at the name."""
    busy = QUOTA.replace("Memory size in MB per serverless endpoint", "Maximum total concurrency")
    script.refuses("sagemaker", "create_endpoint", "ResourceLimitExceeded", busy.replace("4096", "3000"))
    for _ in range(2):
        script.answers("sagemaker", "describe_endpoint", described("Creating"))

    assert do("CreateEndpoint", script.clients, **EVENT)["created"] is False


@pytest.mark.parametrize("status", ["Failed", "OutOfService"])
def test_a_dead_endpoint_of_somebody_else_is_a_conflict(do: Task, script: Script, status: str) -> None:
    """It is not ours to delete, and no waiting makes the name free."""
    script.refuses("sagemaker", "create_endpoint", "ValidationException", EXISTS)
    script.answers("sagemaker", "describe_endpoint", described(status)).tags(None)

    with pytest.raises(NameConflict, match=f"'harbour-0' is {status}, and Sealift did not make it"):
        do("CreateEndpoint", script.clients, **EVENT)


def test_a_leftover_that_somebody_else_deletes_meanwhile_is_waited_for(do: Task, script: Script) -> None:
    """Two deployments of one archive may both find it; the second must not fail for being second."""
    script.refuses("sagemaker", "create_endpoint", "ValidationException", EXISTS)
    script.answers("sagemaker", "describe_endpoint", described("Failed")).tags("earlier")
    script.missing("delete_endpoint")

    with pytest.raises(EndpointBusy, match="is Failed"):
        do("CreateEndpoint", script.clients, **EVENT)
