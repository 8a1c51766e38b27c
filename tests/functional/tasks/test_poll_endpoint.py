"""PollEndpoint: one look, one word for the state machine."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest

from pipeline.endpoint_status import STATUSES, EndpointVerdict
from pipeline.errors import EndpointFailed, EndpointMoved, NotYetVisible

if TYPE_CHECKING:
    from tests.functional.tasks.conftest import Script, Task

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
EVENT = {
    "endpoint_name": "harbour-0",
    "endpoint_config_name": "harbour-0",
    "updates": None,
    "component": None,
}


def described(status: str, config: str = "harbour-0", reason: str | None = None) -> dict[str, Any]:
    """Return a DescribeEndpoint response."""
    return {
        "EndpointName": "harbour-0",
        "EndpointArn": "arn:aws:sagemaker:us-east-1:123456789012:endpoint/harbour-0",
        "EndpointConfigName": config,
        "EndpointStatus": status,
        "CreationTime": NOW,
        "LastModifiedTime": NOW,
        **({"FailureReason": reason} if reason else {}),
    }


@pytest.mark.parametrize(
    ("status", "verdict"),
    [pytest.param(status, meaning.verdict, id=status) for status, meaning in STATUSES.items()],
)
def test_each_status_has_its_outcome(do: Task, script: Script, status: str, verdict: EndpointVerdict) -> None:
    """Ready and wait are words for the state machine; failed is an error."""
    script.answers("sagemaker", "describe_endpoint", described(status), {"EndpointName": "harbour-0"})

    if verdict is EndpointVerdict.FAILED:
        with pytest.raises(EndpointFailed, match=f"'harbour-0' is {status} .* SageMaker gave no reason"):
            do("PollEndpoint", script.clients, **EVENT)
    else:
        found = do("PollEndpoint", script.clients, **EVENT)
        assert found == {"status": status, "verdict": verdict.value, "running": {}}


def test_what_runs_of_a_pool_is_handed_on(do: Task, script: Script) -> None:
    """Only DescribeEndpoint tells which of the types SageMaker had; those of which none runs are left out."""
    pools = [
        {"InstanceType": "ml.c5.large", "CurrentInstanceCount": 0},
        {"InstanceType": "ml.m5.large", "CurrentInstanceCount": 1},
        {"InstanceType": "ml.c5.xlarge", "CurrentInstanceCount": 2},
    ]
    variant = {"VariantName": "AllTraffic", "CurrentInstanceCount": 3, "InstancePools": pools}
    script.answers(
        "sagemaker", "describe_endpoint", {**described("InService"), "ProductionVariants": [variant]}
    )

    found = do("PollEndpoint", script.clients, **EVENT)

    assert found["running"] == {"ml.m5.large": 1, "ml.c5.xlarge": 2}


@pytest.mark.parametrize(
    ("config", "error"),
    [
        pytest.param("harbour-7", EndpointMoved, id="another deployment's"),
        pytest.param("harbour-before", EndpointFailed, id="the one before: the update was taken back"),
    ],
)
def test_an_update_that_another_deployment_replaced_is_planned_again(
    do: Task, script: Script, config: str, error: type[Exception]
) -> None:
    """It is no failure of the model: whose turn it is is decided anew."""
    script.answers("sagemaker", "describe_endpoint", described("InService", config))
    updates = {"endpoint_config": "harbour-before", "max_concurrency": 10}

    with pytest.raises(error, match=config):
        do("PollEndpoint", script.clients, **{**EVENT, "updates": updates})


def test_a_failure_carries_its_reason(do: Task, script: Script) -> None:
    """SageMaker's FailureReason is in the message, for the diagnosis to read."""
    script.answers(
        "sagemaker",
        "describe_endpoint",
        described("Failed", reason="Ping failed due to insufficient memory."),
    )

    with pytest.raises(EndpointFailed, match="insufficient memory"):
        do("PollEndpoint", script.clients, **EVENT)


def test_in_service_on_another_configuration_has_failed(do: Task, script: Script) -> None:
    """An update that did not take looks just like success; both configurations are named."""
    script.answers("sagemaker", "describe_endpoint", described("InService", config="old-1"))

    with pytest.raises(
        EndpointFailed, match="InService on configuration 'old-1', wanted InService on 'harbour-0'"
    ):
        do("PollEndpoint", script.clients, **EVENT)


def test_an_endpoint_that_is_not_visible_yet_is_looked_at_again(do: Task, script: Script) -> None:
    """It was created a moment ago."""
    script.missing("describe_endpoint")

    with pytest.raises(NotYetVisible, match="harbour-0"):
        do("PollEndpoint", script.clients, **EVENT)


def test_a_status_that_nobody_knows_is_not_guessed_at(do: Task, script: Script) -> None:
    """The table is total over what AWS has today; anything else ends in the diagnosis."""
    script.answers("sagemaker", "describe_endpoint", described("Hibernating"))

    with pytest.raises(KeyError, match="Hibernating"):
        do("PollEndpoint", script.clients, **EVENT)
