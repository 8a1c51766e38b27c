"""An endpoint that scales to none, on the local cloud: deployed, asked, at none, woken by a question, taken away."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from pipeline import cli
from pipeline.planning import alarms
from tests.system.conftest import BEFORE
from tests.system.rollout.test_instances import on_instances

if TYPE_CHECKING:
    from pathlib import Path

    from tests.system.conftest import Deployments, DocumentOf


def test_an_endpoint_goes_to_none_and_a_question_brings_it_back(
    deployments: Deployments, archive: Path, document_of: DocumentOf
) -> None:
    """Component, policies and alarm are there; the consumer and the command find it; nothing is left at the end."""
    sagemaker = deployments.cloud.clients.sagemaker
    scaling: Any = deployments.cloud.clients.autoscaling

    ended = deployments.upload(archive, "tern", on_instances(scale_to_zero=True))

    assert ended.status == "SUCCEEDED", ended.cause
    name = ended.results["plan_deployment"]["names"]["endpoint"]
    # The consumer was asked by the switch, and found the component by itself.
    assert deployments.consumer_variables() == {**BEFORE, "ENDPOINT_NAME": name}
    found = sagemaker.describe_inference_component(InferenceComponentName=name)
    assert (found["InferenceComponentStatus"], found["RuntimeConfig"]["CurrentCopyCount"]) == ("InService", 1)
    (target,) = scaling.describe_scalable_targets(ServiceNamespace="sagemaker")["ScalableTargets"]
    assert (target["ResourceId"], target["MinCapacity"], target["MaxCapacity"]) == (
        f"inference-component/{name}",
        0,
        1,
    )
    policies = scaling.describe_scaling_policies(ServiceNamespace="sagemaker")["ScalingPolicies"]
    wakes = next(one["PolicyARN"] for one in policies if one["PolicyType"] == "StepScaling")
    (alarm,) = deployments.cloud.clients.cloudwatch.describe_alarms(AlarmNames=[alarms.waking(name)])[
        "MetricAlarms"
    ]
    assert alarm["AlarmActions"] == [wakes]

    sagemaker.update_inference_component_runtime_config(
        InferenceComponentName=name, DesiredRuntimeConfig={"CopyCount": 0}
    )
    status, answer = document_of("ask", "tern", "What does a sealift do?", "--temperature", "0")

    assert status == cli.OK, answer
    assert "cargo" in answer["answer"].lower()
    found = sagemaker.describe_inference_component(InferenceComponentName=name)
    assert found["RuntimeConfig"]["CurrentCopyCount"] == 1

    assert document_of("pause", "tern", "--yes")[0] == cli.OK
    assert sagemaker.list_inference_components()["InferenceComponents"] == []
    assert deployments.resources()["endpoints"] == []
    status, resumed = document_of("resume", "tern", "--yes")
    assert (status, resumed["status"]) == (cli.OK, "resumed"), resumed
    assert "cargo" in resumed["back"][0]["answer"].lower()
    (again,) = scaling.describe_scalable_targets(ServiceNamespace="sagemaker")["ScalableTargets"]
    assert [again[key] for key in ("ResourceId", "MinCapacity", "MaxCapacity")] == [
        f"inference-component/{name}",
        0,
        1,
    ]

    # Somebody deletes the endpoint by hand, which leaves the component behind.
    sagemaker.delete_endpoint(EndpointName=name)
    while deployments.resources()["endpoints"]:
        time.sleep(0.05)
    assert len(sagemaker.list_inference_components()["InferenceComponents"]) == 1

    status, _ = document_of("delete", "tern", "--yes")

    assert status == cli.OK
    assert sagemaker.list_inference_components()["InferenceComponents"] == []
    assert deployments.resources() == {"endpoints": [], "configs": [], "models": []}
    assert scaling.describe_scalable_targets(ServiceNamespace="sagemaker")["ScalableTargets"] == []
    assert (
        deployments.cloud.clients.cloudwatch.describe_alarms(AlarmNames=[alarms.waking(name)])["MetricAlarms"]
        == []
    )
