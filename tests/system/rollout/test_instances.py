"""Endpoints on instances, on the local cloud: from an upload to an endpoint that answers, and what is left when not."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from local_cloud.cloud import LocalCloud
from local_cloud.faults import Fault
from pipeline.operations import service_status
from pipeline.sizing import hourly_costs, instance_types
from tests.system.conftest import BEFORE, NOTHING, WAIT_S, Deployments
from tests.system.workflow.test_deployment import settings

CHEAPEST = "ml.c5.large"
"""It holds the small model."""
STREAM = ("sagemaker-runtime", "InvokeEndpointWithResponseStream")


def on_instances(**more: Any) -> dict[str, Any]:
    """Return the settings of a small deployment on an instance."""
    return {name: value for name, value in settings().items() if name != "max_concurrency"} | {
        "hosting": "instance",
        **more,
    }


@pytest.fixture
def allowed(cloud: LocalCloud) -> Iterator[Callable[[dict[str, int]], None]]:
    """Return a function that says how many instances of which type the account may have."""
    before = cloud.hosting.quotas

    def allow(of_types: dict[str, int]) -> None:
        cloud.hosting.quotas = replace(before, instances=of_types)

    yield allow
    cloud.hosting.quotas = before


def test_a_bare_model_becomes_an_endpoint_that_answers(deployments: Deployments, model: Path) -> None:
    """The GGUF as it is, code and runtime beside it: nothing is packed, extracted or copied by a Lambda."""
    ended = deployments.upload(model, "mole", on_instances(container="pytorch"), name="harbour.gguf")

    assert ended.status == "SUCCEEDED", ended.cause
    plan = ended.results["plan_deployment"]
    name = plan["names"]["endpoint"]
    assert deployments.resources() == {"endpoints": [name], "configs": [name], "models": [name]}
    assert deployments.consumer_variables() == {**BEFORE, "ENDPOINT_NAME": name}
    assert "cargo" in ended.results["smoke_test"]["transcript"][0]["answer"].lower()
    assert plan["instances"]["type"] == CHEAPEST
    sagemaker = deployments.cloud.clients.sagemaker
    container: Any = sagemaker.describe_model(ModelName=name)["PrimaryContainer"]
    source = container["ModelDataSource"]["S3DataSource"]
    assert (source["S3DataType"], source["CompressionType"]) == ("S3Prefix", "None")
    configured = sagemaker.describe_endpoint_config(EndpointConfigName=name)["ProductionVariants"]
    described = sagemaker.describe_endpoint(EndpointName=name)["ProductionVariants"]
    cost = hourly_costs.per_hour(described, configured)
    found = instance_types.find(CHEAPEST)
    assert found is not None
    assert cost.usd_per_hour == found.usd_per_hour
    alarms = deployments.cloud.clients.cloudwatch.describe_alarms()["MetricAlarms"]
    assert {one["AlarmName"].removeprefix(f"sealift-{name}-") for one in alarms} == {
        "5xx",
        "latency",
        "memory",
        "cpu",
        "disk",
        "ttft",
    }


def test_one_file_for_an_image_with_code_of_its_own_is_pinned(deployments: Deployments, model: Path) -> None:
    """The model names the ETag of the copy, the server finds the file by its name; streams that go wrong are undone."""
    asked = on_instances(container="llama-cpp", inference={"n_ctx": 256})
    ended = deployments.upload(model, "pinned", asked, name="harbour.gguf")

    assert ended.status == "SUCCEEDED", ended.cause
    name = ended.results["plan_deployment"]["names"]["model"]
    container: Any = deployments.cloud.clients.sagemaker.describe_model(ModelName=name)["PrimaryContainer"]
    source = container["ModelDataSource"]["S3DataSource"]
    assert source["S3DataType"] == "S3Object"
    assert source["ETag"] == ended.results["assemble_archive"]["etag"]
    assert source["S3Uri"].endswith("/harbour.gguf")
    # Two CPUs, and much more memory than a small model takes: as many slots as CPUs can use.
    assert ended.results["plan_deployment"]["instances"]["slots"] == 4
    told = container["Environment"]
    assert (told["SM_LLAMA_CPP_PARALLEL"], told["SM_LLAMA_CPP_CTX_SIZE"]) == ("4", "1024")
    config = ended.results["plan_deployment"]["names"]["endpoint_config"]
    described: Any = deployments.cloud.clients.sagemaker.describe_endpoint_config(EndpointConfigName=config)
    assert described["MetricsConfig"] == {"EnableDetailedObservability": True}
    assert ended.results["smoke_test"]["speed"]["first_token_s"] > 0
    _goes_back(deployments, model, name)


def _goes_back(deployments: Deployments, model: Path, before: str) -> None:
    """See that a deployment whose streamed answer is wrong, or whose stream breaks, is undone."""
    there, variables = deployments.resources(), deployments.consumer_variables()
    test = {"prompts": ["What?"], "expect": {"contains": "submarine"}}
    asked = on_instances(container="llama-cpp", inference={"n_ctx": 512})
    wrong = deployments.upload(model, "pinned", {**asked, "smoke_test": test}, name="harbour.gguf")
    smoke_test = deployments.cloud.physical_id("SmokeTest")
    deployments.cloud.faults.replace([Fault(*STREAM, "ModelStreamError", caller=smoke_test)])
    broken = deployments.upload(model, "pinned", asked, name="harbour.gguf")

    assert (wrong.status, wrong.error) == ("FAILED", "SmokeTestFailed"), wrong.cause
    assert "submarine" in str(wrong.cause)
    assert (broken.status, broken.error) == ("FAILED", "SmokeTestFailed"), broken.cause
    assert "stream" in str(broken.cause)
    for one in (wrong, broken):
        new = one.results["plan_deployment"]["names"]["endpoint"]
        assert new != before
        assert f"endpoint {new}" in one.results["roll_back"]["gone"]
    assert (deployments.resources(), deployments.consumer_variables()) == (there, variables)
    streams = [one for one in deployments.cloud.recorded if (one.call.service, one.call.operation) == STREAM]
    assert streams
    assert {one.caller for one in streams} == {smoke_test}


def test_an_archive_goes_to_an_instance_too(deployments: Deployments, archive: Path) -> None:
    """As it goes to serverless; and the next deployment retires it at once, since it costs money, with its scaling."""
    scaling: Any = deployments.cloud.clients.autoscaling
    asked = {"max": 3, "concurrent_requests_per_instance": 2}
    first = deployments.upload(archive, "pier", on_instances(auto_scaling=asked))
    assert first.status == "SUCCEEDED", first.cause
    endpoint = first.results["plan_deployment"]["names"]["endpoint"]
    its = f"endpoint/{endpoint}/variant/AllTraffic"
    (target,) = scaling.describe_scalable_targets(ServiceNamespace="sagemaker", ResourceIds=[its])[
        "ScalableTargets"
    ]
    assert (target["MinCapacity"], target["MaxCapacity"]) == (1, 3)
    assert first.results["restore_capacity"]["steps"] == [
        "scales between 1 and 3 instances, for 2 requests at the same time in each"
    ]
    (policy,) = scaling.describe_scaling_policies(ServiceNamespace="sagemaker", ResourceId=its)[
        "ScalingPolicies"
    ]
    tracked = policy["TargetTrackingScalingPolicyConfiguration"]
    assert (tracked["TargetValue"], tracked["PredefinedMetricSpecification"]["PredefinedMetricType"]) == (
        2.0,
        "SageMakerVariantConcurrentRequestsPerModelHighResolution",
    )
    second = deployments.upload(archive, "pier", on_instances(inference={"n_ctx": 256}))

    assert second.status == "SUCCEEDED", second.cause
    old, new = (one.results["plan_deployment"]["names"]["endpoint"] for one in (first, second))
    assert second.results["retire_previous"]["retired"] == [old]
    left = scaling.describe_scalable_targets(ServiceNamespace="sagemaker", ResourceIds=[its])
    assert left["ScalableTargets"] == []
    assert deployments.resources() == {"endpoints": [new], "configs": [new], "models": [new]}


def test_the_shards_of_a_model_make_one_deployment(deployments: Deployments, shards: list[Path]) -> None:
    """In whatever order they come; the last one starts it, and the first one is what the server is given."""
    cloud = deployments.cloud
    body = json.dumps(on_instances()).encode()
    cloud.clients.s3.put_object(Bucket=deployments.bucket, Key="models/split/deployment.json", Body=body)
    known = set(deployments.executions())
    for path in reversed(shards):
        assert set(deployments.executions()) == known
        key = f"models/split/{path.name}"
        cloud.clients.s3.put_object(Bucket=deployments.bucket, Key=key, Body=path.read_bytes())
    deadline = time.monotonic() + WAIT_S
    while not (new := [arn for arn in deployments.executions() if arn not in known]):
        assert time.monotonic() < deadline
        time.sleep(0.05)

    (only,) = new
    ended = deployments.ended(only)
    assert ended.status == "SUCCEEDED", ended.cause
    assert ended.results["check_archive"]["model"]["shards_read"] == len(shards)
    assert "cargo" in ended.results["smoke_test"]["transcript"][0]["answer"].lower()


@pytest.fixture(scope="module")
def shards(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """The small model, split by its tensors."""
    from tiny_gguf import write_tiny_gguf

    folder = tmp_path_factory.mktemp("shards")
    write_tiny_gguf(folder / "harbour.gguf", shard_tensors=8)
    return sorted(folder.glob("*-of-*.gguf"))


def test_auto_refuses_an_instance_that_is_not_allowed(deployments: Deployments, model: Path) -> None:
    """With its price; nothing is made."""
    asked = on_instances(hosting="auto")
    ended = deployments.upload(model, "careful", asked, name="harbour.gguf")

    assert (ended.status, ended.error) == ("FAILED", "ModelDoesNotFit")
    assert f"set allow_instances to true for 1 x {CHEAPEST}, $0.102 an hour" in str(ended.cause)
    assert deployments.resources() == NOTHING


def test_auto_is_serverless_where_the_model_fits(deployments: Deployments, archive: Path) -> None:
    """An instance is allowed, and not taken."""
    ended = deployments.upload(archive, "auto", settings(hosting="auto", allow_instances=True))

    assert ended.status == "SUCCEEDED", ended.cause
    assert ended.results["plan_deployment"]["hosting"] == "serverless"


def test_a_quota_leads_to_the_next_type(
    deployments: Deployments, model: Path, allowed: Callable[[dict[str, int]], None]
) -> None:
    """AWS's own text is read, the type leaves the pool, the next is its first, and the output says so."""
    allowed({CHEAPEST: 0})

    ended = deployments.upload(model, "ladder", on_instances(), name="harbour.gguf")

    assert ended.status == "SUCCEEDED", ended.cause
    plan = ended.results["plan_deployment"]
    assert plan["instances"]["type"] != CHEAPEST
    (step,) = plan["steps"]
    assert f"'{CHEAPEST} for endpoint usage' is 0" in step["said"]
    names = plan["names"]
    assert deployments.resources()["configs"] == [names["endpoint_config"]]
    assert names["endpoint_config"] != names["endpoint"]


@pytest.fixture
def short(cloud: LocalCloud) -> Iterator[Callable[[set[str]], None]]:
    """Return a function that says of which types there is no capacity."""

    def say(types: set[str]) -> None:
        cloud.hosting.short_of = frozenset(types)

    yield say
    say(set())


def test_sagemaker_takes_the_next_type_where_it_has_none_of_the_first(
    deployments: Deployments, model: Path, short: Callable[[set[str]], None]
) -> None:
    """No step of ours: the endpoint comes into service on another type, which is what is told, watched and charged."""
    short({CHEAPEST})

    ended = deployments.upload(model, "scarce", on_instances(), name="harbour.gguf")

    assert ended.status == "SUCCEEDED", ended.cause
    plan = ended.results["plan_deployment"]
    first, second, *_ = plan["instances"]["offers"]
    assert (first["name"], plan["steps"]) == (CHEAPEST, [])
    assert ended.results["poll_endpoint"]["running"] == {second["name"]: 1}
    assert ended.results["restore_capacity"]["steps"] == [
        f"runs on 1 x {second['name']} instead of 1 x {CHEAPEST}, since SageMaker had no capacity of {CHEAPEST}"
    ]
    alarms = {one["name"]: one["threshold"] for one in ended.results["monitor_endpoint"]["alarms"]}
    name = plan["names"]["endpoint"]
    assert alarms[f"sealift-{name}-cpu"] == 95 * second["vcpus"]
    (found,) = service_status.overview(deployments.cloud.clients, stack=None, service="scarce").services
    (deployment,) = found.deployments
    assert deployment.endpoint.instance_type == second["name"]
    assert deployment.endpoint.cost is not None
    assert deployment.endpoint.cost.usd_per_hour == second["usd_per_hour"]


def test_a_pool_of_which_there_is_nothing_leaves_nothing(
    deployments: Deployments, model: Path, short: Callable[[set[str]], None]
) -> None:
    """The endpoint fails with SageMaker's reason, and the cause is named."""
    short({one.name for one in instance_types.TYPES})

    ended = deployments.upload(model, "dry", on_instances(), name="harbour.gguf")

    assert (ended.status, ended.error) == ("FAILED", "EndpointFailed")
    assert "InsufficientInstanceCapacity" in str(ended.cause)
    assert ended.results["diagnose"]["cause_name"] == "NoCapacity"
    assert deployments.resources() == NOTHING


def test_the_end_of_the_ladder_leaves_nothing(
    deployments: Deployments, model: Path, allowed: Callable[[dict[str, int]], None]
) -> None:
    """A type that was requested is not changed for another."""
    allowed({CHEAPEST: 0})

    ended = deployments.upload(model, "none", on_instances(instance_type=CHEAPEST), name="harbour.gguf")

    assert (ended.status, ended.error) == ("FAILED", "QuotaTooSmall")
    assert f"'{CHEAPEST} for endpoint usage'" in str(ended.cause)
    assert deployments.resources() == NOTHING


def test_a_model_that_cannot_be_loaded_leaves_nothing(
    deployments: Deployments, with_code: Callable[[str], Path]
) -> None:
    """The endpoint fails with SageMaker's reason for instances, and everything is undone."""
    own = with_code("import os\nos._exit(3)\n")
    ended = deployments.upload(own, "wreck", on_instances(code="archive"))

    assert (ended.status, ended.error) == ("FAILED", "EndpointFailed")
    assert "did not pass the ping health check" in str(ended.cause)
    assert deployments.resources() == NOTHING
    assert deployments.consumer_variables() == BEFORE


def test_an_alarm_takes_an_update_in_place_back(deployments: Deployments, archive: Path) -> None:
    """SageMaker says so only by the old configuration's being in service; the deployment fails with its reason."""
    cloudwatch: Any = deployments.cloud.clients.cloudwatch
    first = deployments.upload(archive, "watched", on_instances(strategy="in_place", bake_s=1))
    assert first.status == "SUCCEEDED", first.cause
    cloudwatch.set_alarm_state(AlarmName="sealift-watched-5xx", StateValue="ALARM", StateReason="a test")
    again = on_instances(strategy="in_place", bake_s=60, inference={"n_ctx": 256})
    second = deployments.upload(archive, "watched", again)

    assert (second.status, second.error) == ("FAILED", "EndpointFailed")
    assert "sealift-watched-5xx" in str(second.cause)
    found = deployments.cloud.clients.sagemaker.describe_endpoint(EndpointName="watched")
    before = first.results["plan_deployment"]["names"]["endpoint_config"]
    assert (found["EndpointStatus"], found["EndpointConfigName"]) == ("InService", before)
    assert deployments.resources()["configs"] == [before]


def test_an_update_in_place_that_fails_comes_back(deployments: Deployments, archive: Path) -> None:
    """A wrong answer puts the old configuration back into service."""
    first = deployments.upload(archive, "steady", on_instances(strategy="in_place", bake_s=1))
    assert first.status == "SUCCEEDED", first.cause
    wrong = on_instances(
        strategy="in_place",
        bake_s=1,
        inference={"n_ctx": 256},
        smoke_test={"prompts": ["What?"], "expect": {"contains": "submarine"}},
    )
    second = deployments.upload(archive, "steady", wrong)

    assert (second.status, second.error) == ("FAILED", "SmokeTestFailed"), second.cause
    found = deployments.cloud.clients.sagemaker.describe_endpoint(EndpointName="steady")
    before = first.results["plan_deployment"]["names"]["endpoint_config"]
    assert (found["EndpointStatus"], found["EndpointConfigName"]) == ("InService", before)
    assert deployments.resources()["configs"] == [before]
