"""The inference component of an endpoint that scales to zero: made, looked at, scaled, and taken away first."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest

from pipeline.errors import EndpointBusy, EndpointFailed
from pipeline.planning import alarms
from pipeline.rollout import component_api, retirement
from pipeline.rollout.releases import Release
from tests.functional.tasks.test_errors import COMPONENT
from tests.functional.tasks.test_poll_endpoint import EVENT, described
from tests.plans import EXECUTION, a_plan

if TYPE_CHECKING:
    from tests.functional.tasks.conftest import Script, Task

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
ARN = "arn:aws:sagemaker:us-east-1:123456789012:inference-component/harbour-0"
TARGET = {
    "ServiceNamespace": "sagemaker",
    "ResourceId": "inference-component/harbour-0",
    "ScalableDimension": "sagemaker:inference-component:DesiredCopyCount",
}
NAMED = {"InferenceComponentName": "harbour-0"}


def component(status: str, reason: str | None = None) -> dict[str, Any]:
    """Return a DescribeInferenceComponent response."""
    return {
        **NAMED,
        "InferenceComponentArn": ARN,
        "EndpointName": "harbour-0",
        "EndpointArn": "arn:aws:sagemaker:us-east-1:123456789012:endpoint/harbour-0",
        "InferenceComponentStatus": status,
        "CreationTime": NOW,
        "LastModifiedTime": NOW,
        **({"FailureReason": reason} if reason else {}),
    }


@pytest.mark.parametrize(
    ("status", "verdict"),
    [
        pytest.param(None, "hollow", id="not made yet"),
        pytest.param("Creating", "wait", id="being made"),
        pytest.param("Updating", "wait", id="changing"),
        pytest.param("InService", "ready", id="there"),
    ],
)
def test_an_endpoint_is_ready_with_its_component(
    do: Task, script: Script, status: str | None, verdict: str
) -> None:
    """In service alone it answers nobody."""
    script.answers("sagemaker", "describe_endpoint", described("InService"))
    if status is None:
        script.missing("describe_inference_component", "inference component")
    else:
        script.answers("sagemaker", "describe_inference_component", component(status), NAMED)

    assert do("PollEndpoint", script.clients, **{**EVENT, "component": COMPONENT})["verdict"] == verdict


def test_a_component_is_looked_at_only_when_its_endpoint_is_in_service(do: Task, script: Script) -> None:
    """Before that there can be none."""
    script.answers("sagemaker", "describe_endpoint", described("Creating"))

    assert do("PollEndpoint", script.clients, **{**EVENT, "component": COMPONENT})["verdict"] == "wait"


@pytest.mark.parametrize("status", ["Failed", "Deleting"])
def test_a_component_that_failed_says_why(do: Task, script: Script, status: str) -> None:
    """With SageMaker's words, which the diagnosis reads."""
    script.answers("sagemaker", "describe_endpoint", described("InService"))
    script.answers("sagemaker", "describe_inference_component", component(status, "not enough hardware"))

    with pytest.raises(EndpointFailed, match=rf"is {status}.*not enough hardware"):
        do("PollEndpoint", script.clients, **{**EVENT, "component": COMPONENT})


def test_a_component_is_made_once(do: Task, script: Script) -> None:
    """A second try finds the first one's."""
    script.answers("sagemaker", "create_inference_component", {"InferenceComponentArn": ARN}, COMPONENT)
    script.answers("sagemaker", "describe_inference_component", component("Creating"), NAMED)

    assert do("CreateComponent", script.clients, request=COMPONENT) == {
        "name": "harbour-0",
        "arn": ARN,
        "created": True,
    }


def test_copies_are_scaled_to_none_and_back(do: Task, script: Script) -> None:
    """Target, both policies, and the alarm that starts the second."""
    script.answers(
        "autoscaling", "register_scalable_target", {}, {**TARGET, "MinCapacity": 0, "MaxCapacity": 1}
    )
    script.answers("autoscaling", "put_scaling_policy", {"PolicyARN": "arn:follows"})
    script.answers("autoscaling", "put_scaling_policy", {"PolicyARN": "arn:wakes"})

    found = do("RestoreCapacity", script.clients, plan=to_zero(), running={})

    assert found["steps"] == ["scales between 0 and 1 instances, for 1 request at the same time in each"]
    alarm = script.cloudwatch.alarms[alarms.waking("harbour-0")]
    assert alarm["AlarmActions"] == ["arn:wakes"]


def to_zero() -> dict[str, Any]:
    """Return a plan on an instance that scales to zero."""
    plan = a_plan(
        hosting="instance",
        memory_mb=None,
        max_concurrency=None,
        asked=None,
        instances={
            "type": "ml.m5.xlarge",
            "count": 1,
            "asked": {"type": "ml.m5.xlarge", "count": 1},
            "offers": [],
            "usd_per_hour": 0.23,
            "busy_cpus": 4,
            "volume_gb": 10,
            "download_s": 600,
            "startup_s": 600,
            "bake_s": 300,
            "auto_scaling": {
                "min": 0,
                "max": 1,
                "invocations_per_instance": None,
                "concurrent_requests_per_instance": 1.0,
            },
            "to_zero": True,
        },
    )
    return {**plan, "requests": {**plan["requests"], "create_inference_component": COMPONENT}}


@pytest.mark.parametrize(
    ("status", "deleted"),
    [
        pytest.param("InService", True, id="there"),
        pytest.param("Failed", True, id="failed"),
        pytest.param("Creating", False, id="being made"),
        pytest.param("Updating", False, id="changing"),
        pytest.param("Deleting", False, id="going"),
    ],
)
def test_a_component_goes_before_its_endpoint(script: Script, status: str, *, deleted: bool) -> None:
    """Its target first; what AWS would refuse now is not asked for, and waited for."""
    script.answers("autoscaling", "deregister_scalable_target", {}, TARGET)
    script.answers("sagemaker", "describe_inference_component", component(status), NAMED)
    if deleted:
        script.answers("sagemaker", "delete_inference_component", {}, NAMED)
    release = Release(
        config="harbour-0",
        config_arn="arn:c",
        created="2026",
        execution="arn:e",
        uploaded_at="",
        version="",
        deployed_at=None,
        withdrawn_at=None,
        endpoint="harbour-0",
        status="InService",
        serves=True,
        scales=True,
        to_zero=True,
    )

    assert retirement.delete_endpoint(script.clients, release) == (
        f"inference component 'harbour-0' is {status}; wanted it to be gone"
    )


def test_a_component_that_is_gone_is_not_waited_for(script: Script) -> None:
    """Its target may be left all the same."""
    script.refuses(
        "autoscaling", "deregister_scalable_target", "ObjectNotFoundException", "No scalable target found"
    )
    script.missing("describe_inference_component", "inference component")

    assert component_api.take_away(script.clients, "harbour-0") == ""


def test_a_rollback_waits_for_the_component(do: Task, script: Script) -> None:
    """Before it asks for the endpoint's deletion."""
    script.answers("sagemaker", "describe_endpoint", described("InService"))
    script.answers("sagemaker", "list_tags", {"Tags": [{"Key": "sealift:execution", "Value": EXECUTION}]})
    script.answers("autoscaling", "deregister_scalable_target", {}, TARGET)
    script.answers("sagemaker", "describe_inference_component", component("InService"), NAMED)
    script.answers("sagemaker", "delete_inference_component", {}, NAMED)
    diagnosed = {"error": "SmokeTestFailed", "what": "x", "why": "y", "fix": "z", "cause": "because"}

    with pytest.raises(EndpointBusy, match="inference component 'harbour-0' is InService"):
        do("RollBack", script.clients, results={"plan_deployment": to_zero(), "diagnose": diagnosed})
