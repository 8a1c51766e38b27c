"""Hosting on instances: what is otherwise than on serverless."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from botocore.eventstream import EventStreamBuffer

from local_cloud.hosting import AwsError, HostingSettings, Quotas
from local_cloud.hosting.containers.container import CallBrokenError, CallTimedOutError, ContainerAnswer
from local_cloud.hosting.platform import event_stream
from local_cloud.hosting.platform.lifecycle import ContainerCondition
from local_cloud.hosting.runtime import InvocationRequest
from tests.unit.local_cloud.test_hosting_service import ARN, World, capacity, config_request, model_request

if TYPE_CHECKING:
    from collections.abc import Iterator

    from local_cloud.hosting import InvocationResponse
    from tests.unit.local_cloud.test_hosting_service import FakeContainer

TYPE = "ml.r5.xlarge"
OBJECT = {
    "S3Uri": "s3://models/demo/m.gguf",
    "S3DataType": "S3Object",
    "CompressionType": "None",
    "ETag": "etag-demo/m.gguf",
}


def on_instances(**changed: Any) -> dict[str, Any]:
    """Return a variant on instances."""
    return {
        "VariantName": "AllTraffic",
        "ModelName": "m",
        "InstanceType": TYPE,
        "InitialInstanceCount": 1,
        "VolumeSizeInGB": 20,
        "ModelDataDownloadTimeoutInSeconds": 600,
        "ContainerStartupHealthCheckTimeoutInSeconds": 900,
        **changed,
    }


def config(world: World, name: str = "c", **changed: Any) -> None:
    """Create a configuration on instances."""
    variants = [on_instances(**changed)]
    world.ask("CreateEndpointConfig", EndpointConfigName=name, ProductionVariants=variants)


def source(**changed: Any) -> dict[str, Any]:
    """Return a CreateModel request whose model is no archive."""
    data = {"S3DataSource": {**OBJECT, **changed}}
    return {**model_request(), "PrimaryContainer": {"Image": "image:1", "ModelDataSource": data}}


def serve(world: World, **changed: Any) -> FakeContainer:
    """Bring endpoint `e` into service on instances."""
    world.model()
    config(world, **changed)
    world.endpoint()
    world.jobs.finish()
    assert world.status() == "InService"
    return world.containers[-1]


@pytest.fixture
def world() -> World:
    """Return an account that may have two instances of each type."""
    return World(
        quotas=Quotas(instances_of_a_type=2), objects={"models/demo/model.tar.gz", "models/demo/m.gguf"}
    )


def test_it_serves_and_tells_its_instances(world: World) -> None:
    """No concurrency is counted, and the number of instances is shown where serverless shows its sizes."""
    serve(world, InitialInstanceCount=2)

    (variant,) = world.ask("DescribeEndpoint", EndpointName="e")["ProductionVariants"]
    assert (variant["CurrentInstanceCount"], variant["DesiredInstanceCount"]) == (2, 2)
    assert "CurrentServerlessConfig" not in variant
    assert world.invoke() == b"echo hello"


def test_the_quota_is_that_of_the_type(world: World) -> None:
    """Each type has its own; the text is AWS's, and it speaks when the endpoint is created."""
    serve(world, InitialInstanceCount=2)

    error = world.refused("CreateEndpoint", EndpointName="f", EndpointConfigName="c")

    assert error.code == "ResourceLimitExceeded"
    assert (error.message or "").startswith(
        "The account-level service limit 'ml.r5.xlarge for endpoint usage' is 2 Instances, with current "
        "utilization of 2 Instances and a request delta of 2 Instances."
    )
    config(world, "other", InstanceType="ml.m5.2xlarge")
    world.endpoint("f", "other")


def test_a_new_account_has_no_gpus(world: World) -> None:
    """Until its quota of the type is raised; types without GPUs are there."""
    world.model()
    variant = on_instances(InstanceType="ml.g5.xlarge")
    del variant["VolumeSizeInGB"]
    world.ask("CreateEndpointConfig", EndpointConfigName="c", ProductionVariants=[variant])

    error = world.refused("CreateEndpoint", EndpointName="e", EndpointConfigName="c")

    assert error.code == "ResourceLimitExceeded"
    assert (error.message or "").startswith(
        "The account-level service limit 'ml.g5.xlarge for endpoint usage' is 0 Instances, with current "
        "utilization of 0 Instances and a request delta of 1 Instances."
    )


@pytest.mark.parametrize(
    ("version", "type_", "refusal"),
    [
        pytest.param("al2023-ami-sagemaker-inference-gpu-4-1", "ml.g5.xlarge", None, id="a GPU's"),
        pytest.param(
            "al2023-ami-sagemaker-inference-gpu-4-1", "ml.m5.xlarge", "is not supported", id="no GPU"
        ),
        pytest.param(
            "al2-ami-sagemaker-inference-neuron-2", "ml.g5.xlarge", "is not supported", id="another's"
        ),
        pytest.param("al2023-gpu", "ml.g5.xlarge", "Member must satisfy enum value set", id="none of AWS's"),
    ],
)
def test_a_machines_image_is_for_its_accelerator(
    world: World, version: str, type_: str, refusal: str | None
) -> None:
    """One of those that AWS names, where the type has what it is for."""
    world.model()
    variant = on_instances(InstanceType=type_, InferenceAmiVersion=version)
    if type_.startswith("ml.g"):
        del variant["VolumeSizeInGB"]
    request = {"EndpointConfigName": "c", "ProductionVariants": [variant]}

    if refusal is None:
        world.ask("CreateEndpointConfig", **request)
    else:
        assert refusal in str(world.refused("CreateEndpointConfig", **request))


def test_what_is_deleted_gives_its_instances_back(world: World) -> None:
    """When it is gone, not before."""
    serve(world, InitialInstanceCount=2)
    world.ask("DeleteEndpoint", EndpointName="e")
    assert world.refused("CreateEndpoint", EndpointName="f", EndpointConfigName="c").code == (
        "ResourceLimitExceeded"
    )

    world.jobs.finish()

    world.endpoint("f")


def test_serverless_quotas_do_not_count_instances() -> None:
    """And the other way round."""
    world = World(quotas=Quotas(endpoints=1, total_concurrency=5))
    serve(world)
    world.ask("CreateEndpointConfig", **config_request("s", ServerlessConfig=capacity(2048, 5)))

    world.endpoint("serverless", "s")


def test_an_update_runs_both_until_the_new_ones_serve(world: World) -> None:
    """SageMaker brings the new instances up beside the old ones, and the quota counts both."""
    serve(world)
    config(world, "d")
    world.ask("UpdateEndpoint", EndpointName="e", EndpointConfigName="d")
    assert world.refused("CreateEndpoint", EndpointName="f", EndpointConfigName="c").code == (
        "ResourceLimitExceeded"
    )

    world.jobs.finish()

    assert world.ask("DescribeEndpoint", EndpointName="e")["EndpointConfigName"] == "d"
    world.endpoint("f")


def test_an_update_that_fails_leaves_the_old_ones(world: World) -> None:
    """Back in service on the old configuration, with the reason: nothing else tells."""
    serve(world)
    config(world, "d")

    def broken(container: FakeContainer) -> None:
        container.state = ContainerCondition.EXITED

    world.prepare = broken
    world.ask("UpdateEndpoint", EndpointName="e", EndpointConfigName="d")
    world.jobs.finish()

    found = world.ask("DescribeEndpoint", EndpointName="e")
    assert (found["EndpointStatus"], found["EndpointConfigName"]) == ("InService", "c")
    assert found["FailureReason"] == (
        "The primary container for production variant AllTraffic did not pass the ping health check. "
        "Please check CloudWatch logs for this endpoint."
    )


def test_an_endpoint_does_not_become_serverless_again(world: World) -> None:
    """AWS takes an update from serverless to instances, and none back."""
    serve(world)
    world.ask("CreateEndpointConfig", **config_request("s"))

    error = world.refused("UpdateEndpoint", EndpointName="e", EndpointConfigName="s")

    assert error.code == "ValidationException"
    assert f"{ARN}endpoint/e" in (error.message or "")


def test_the_number_of_instances_is_changed_in_place(world: World) -> None:
    """Only what is added needs the quota; a serverless change means nothing there."""
    serve(world)
    change = {"VariantName": "AllTraffic", "DesiredInstanceCount": 2}
    world.ask("UpdateEndpointWeightsAndCapacities", EndpointName="e", DesiredWeightsAndCapacities=[change])
    world.jobs.finish()

    (variant,) = world.ask("DescribeEndpoint", EndpointName="e")["ProductionVariants"]
    assert variant["CurrentInstanceCount"] == 2
    more = {**change, "DesiredInstanceCount": 3}
    refused = {"EndpointName": "e", "DesiredWeightsAndCapacities": [more]}
    assert world.refused("UpdateEndpointWeightsAndCapacities", **refused).code == "ResourceLimitExceeded"
    serverless = {"VariantName": "AllTraffic", "ServerlessUpdateConfig": {"MaxConcurrency": 2}}
    refused = {"EndpointName": "e", "DesiredWeightsAndCapacities": [serverless]}
    assert "on instances" in (world.refused("UpdateEndpointWeightsAndCapacities", **refused).message or "")


def test_a_lost_container_is_started_again_by_itself(world: World) -> None:
    """The call that finds it gone fails, as do those until it is back; there is no ModelNotReady on instances."""
    container = serve(world)
    container.state = ContainerCondition.EXITED

    assert world.fails().code == "ModelError"
    assert world.fails().code == "ModelError"
    world.jobs.finish()

    assert world.invoke() == b"echo hello"


def test_the_time_outs_are_those_of_the_variant(world: World) -> None:
    """The 180 s of serverless do not hold: download and start-up have what the variant asks for, together."""

    def slow(container: FakeContainer) -> None:
        container.healthy_after_pings = float("inf")

    world.prepare = slow
    world.model()
    config(world)
    world.endpoint()
    began = world.time.now
    world.jobs.finish()

    assert world.status() == "Failed"
    assert 1500 < world.time.now - began < 1510


def test_memory_and_disk_are_those_of_the_instance(world: World) -> None:
    """And without bound for a type that is not known, which is no reason to refuse it."""
    settings = HostingSettings()
    deployment = serve(world).deployment
    assert settings.memory_bytes(deployment) == 32 * 1024**3
    assert settings.disk_bytes_of(deployment) == 20 * 10**9

    config(world, "d", InstanceType="ml.t2.medium")
    world.endpoint("f", "d")
    world.jobs.finish()
    assert settings.memory_bytes(world.containers[-1].deployment) > 10**15


def _asked(world: World, kind: str, body: bytes = b"in", **headers: str) -> InvocationResponse:
    named = {f"X-Amzn-SageMaker-{key}": value for key, value in headers.items()}
    return world.hosting._runtime.invoke(InvocationRequest("e", body, "text/plain", None, named, kind))


def test_a_response_stream_is_for_instances(world: World) -> None:
    """In AWS's framing, with the container's type beside it; an answer has 8 minutes."""
    container = serve(world)

    response = _asked(world, "invocations-response-stream", Accept="text/event-stream")
    reader = EventStreamBuffer()
    reader.add_data(b"".join(response.stream or ()))

    assert [event.payload for event in reader] == [b"echo in"]
    assert response.headers["Content-Type"] == "application/vnd.amazon.eventstream"
    assert response.headers["X-Amzn-SageMaker-Content-Type"] == "text/plain"
    assert container.timeouts == [480.0]


class Coming:
    """The body of an answer that is still coming, and ends as it is told."""

    def __init__(self, *said: bytes | Exception) -> None:
        self._said = said
        self.closed = 0

    def __iter__(self) -> Iterator[bytes]:
        """Yield it."""
        for one in self._said:
            if isinstance(one, Exception):
                raise one
            yield one

    def close(self) -> None:
        """Count it."""
        self.closed += 1


def _messages(response: InvocationResponse) -> list[Any]:
    reader = EventStreamBuffer()
    reader.add_data(b"".join(response.stream or ()))
    return list(reader)


@pytest.mark.parametrize(
    ("error", "code", "told"),
    [
        pytest.param(
            CallTimedOutError(), "ModelInvocationTimeExceeded", "invocation timed out", id="too long"
        ),
        pytest.param(CallBrokenError(), "StreamBroken", "could not get a response", id="hung up"),
    ],
)
def test_a_stream_tells_in_its_middle_what_breaks_it(
    world: World, error: Exception, code: str, told: str
) -> None:
    """By the error that the service model has for it, with one of its codes."""
    coming = Coming(b"one", error)
    serve(world).behaviour = lambda _call: ContainerAnswer(200, b"", "text/event-stream", pieces=coming)

    first, last = _messages(_asked(world, "invocations-response-stream"))

    assert first.payload == b"one"
    assert (last.headers[":message-type"], last.headers[":exception-type"]) == (
        "exception",
        "ModelStreamError",
    )
    said = json.loads(last.payload)
    assert said["ErrorCode"] == code
    assert told in said["Message"]
    assert coming.closed


def test_a_stream_is_a_call_until_its_end(world: World) -> None:
    """Its container is not taken away before, and not kept by one that nobody reads to the end."""
    coming = [Coming(b"one"), Coming(b"one")]
    answers = iter(coming)
    serve(world).behaviour = lambda call: ContainerAnswer(200, b"", None, pieces=next(answers))
    (worker,) = [world.hosting._fleet.serving("e")[1]]

    read, left = (_asked(world, "invocations-response-stream") for _ in range(2))
    assert worker._busy()
    _messages(read)
    assert worker._busy()
    assert left.stream is not None
    left.stream.close()
    left.stream.close()
    assert not worker._busy()
    assert worker._in_flight == 0


def test_serverless_refuses_a_response_stream() -> None:
    """As the SDK's users were told by AWS; the container hears nothing of it."""
    world = World()
    container = world.serve()

    with pytest.raises(AwsError, match="Response streaming is not supported for serverless") as caught:
        _asked(world, "invocations-response-stream")

    assert (caught.value.code, container.timeouts) == ("ValidationError", [])


def test_the_route_of_openai_answers_what_the_container_does(world: World) -> None:
    """On both kinds of endpoints, as it is; where it can stream it has the time for that."""
    serverless = World()
    containers = serverless.serve(), serve(world)

    for one in (serverless, world):
        response = _asked(one, "openai/v1/chat/completions")
        assert (response.body, response.headers["Content-Type"]) == (b"echo in", "text/plain")
    assert [container.timeouts for container in containers] == [[60.0], [480.0]]


def test_the_route_of_openai_hands_on_a_stream_of_events_as_it_comes(world: World) -> None:
    """And whole what is none."""
    container = serve(world)
    for kind, comes in (("text/event-stream", True), ("application/json", False)):
        pieces = event_stream.Whole(b"data: 1")
        container.behaviour = lambda _call, kind=kind, pieces=pieces: ContainerAnswer(
            200, b"", kind, pieces=pieces
        )
        response = _asked(world, "openai/v1/chat/completions")
        assert (response.stream is not None) is comes
        assert b"".join(response.stream or (response.body,)) == b"data: 1"
        assert response.headers["Content-Type"] == kind


def test_the_route_of_openai_hands_on_the_containers_errors(world: World) -> None:
    """With its own status and body, which OpenAI's clients know; InvokeEndpoint wraps them."""
    serve(world).behaviour = lambda _call: ContainerAnswer(422, b"{}", "application/json")

    response = _asked(world, "openai/v1/chat/completions")

    assert (response.status, response.body) == (422, b"{}")
    assert world.fails().code == "ModelError"


@pytest.mark.parametrize(
    ("header", "text"),
    [
        ("Target_Model", "TargetModel is not supported for an endpoint that has one model in one container."),
        ("Session_Id", "SessionId is valid in AWS, but the local cloud does not emulate it."),
    ],
)
def test_what_an_endpoint_on_instances_lacks_is_not_said_of_serverless(
    world: World, header: str, text: str
) -> None:
    """What another endpoint on instances would take, and what AWS takes there."""
    serve(world)

    error = world.fails(b"", **{header: "a"})

    assert (error.code, error.message) == ("ValidationError", text)


def test_instances_take_larger_bodies(world: World) -> None:
    """25 MB where serverless takes 4."""
    serverless = World()
    serverless.serve()
    serve(world)
    small, large = 4 * 1024**2, 25 * 1024**2

    assert len(world.invoke(bytes(large))) == large + len(b"echo ")
    assert (world.fails(bytes(large + 1)).message or "").endswith("has oversize body.")
    assert len(serverless.invoke(bytes(small))) == small + len(b"echo ")
    assert (serverless.fails(bytes(small + 1)).message or "").endswith("has oversize body.")


@pytest.mark.parametrize(
    ("changed", "text"),
    [
        pytest.param({"S3Uri": "s3://models/demo/other.gguf"}, "Could not find model data at", id="missing"),
        pytest.param({"ETag": "another"}, "does not have the ETag another", id="another ETag"),
        pytest.param(
            {"S3Uri": "s3://models/demo", "S3DataType": "S3Prefix"}, "end with a forward slash", id="no slash"
        ),
        pytest.param(
            {"S3Uri": "s3://models/none/", "S3DataType": "S3Prefix", "ETag": None},
            "Could not find model data at",
            id="empty prefix",
        ),
        pytest.param(
            {"S3Uri": "s3://models/demo/", "S3DataType": "S3Prefix", "CompressionType": "Gzip"},
            "needs S3DataType S3Object",
            id="archives below a prefix",
        ),
        pytest.param(
            {"S3Uri": "s3://models/demo/", "S3DataType": "S3Prefix"},
            "does not emulate",
            id="ETag of a prefix",
        ),
    ],
)
def test_model_data_that_is_no_archive_is_looked_at(world: World, changed: dict[str, Any], text: str) -> None:
    """CreateModel refuses what is not there, or is another object than the one that was checked."""
    request = source(**changed)
    data = request["PrimaryContainer"]["ModelDataSource"]["S3DataSource"]
    request["PrimaryContainer"]["ModelDataSource"]["S3DataSource"] = {
        name: value for name, value in data.items() if value is not None
    }

    error = world.refused("CreateModel", **request)

    assert error.code == "ValidationException"
    assert text in (error.message or "")


def test_model_data_that_is_no_archive_serves_on_instances_only(world: World) -> None:
    """The service model says so: a serverless configuration refuses it."""
    world.ask("CreateModel", **source())

    assert "not supported for serverless" in (
        world.refused("CreateEndpointConfig", **config_request()).message or ""
    )
    config(world)


@pytest.mark.parametrize("member", ["InstanceType", "InitialInstanceCount"])
def test_type_and_number_belong_together(world: World, member: str) -> None:
    """Neither is guessed."""
    world.model()
    variant = {name: value for name, value in on_instances().items() if name != member}

    error = world.refused("CreateEndpointConfig", EndpointConfigName="c", ProductionVariants=[variant])

    assert f"{member[0].lower()}{member[1:]}" in (error.message or "")


def test_an_unknown_type_is_no_type(world: World) -> None:
    """The service model lists them."""
    world.model()

    error = world.refused(
        "CreateEndpointConfig", EndpointConfigName="c", ProductionVariants=[on_instances(InstanceType="ml.x")]
    )

    assert "enum value set" in (error.message or "")


# ------------------------------------------------------------------ guardrails


def guardrails(**routing: Any) -> dict[str, Any]:
    """Return a DeploymentConfig that watches one alarm for five minutes."""
    return {
        "BlueGreenUpdatePolicy": {
            "TrafficRoutingConfiguration": {"Type": "ALL_AT_ONCE", "WaitIntervalInSeconds": 300, **routing},
            "TerminationWaitInSeconds": 0,
            "MaximumExecutionTimeoutInSeconds": 3600,
        },
        "AutoRollbackConfiguration": {"Alarms": [{"AlarmName": "sealift-e-5xx"}]},
    }


def update(world: World, **routing: Any) -> None:
    """Bring `e` to another configuration, guarded."""
    serve(world)
    config(world, "d")
    world.ask(
        "UpdateEndpoint", EndpointName="e", EndpointConfigName="d", DeploymentConfig=guardrails(**routing)
    )


@pytest.mark.parametrize(
    ("routing", "seconds"),
    [
        pytest.param({}, 300, id="all at once"),
        pytest.param(
            {"Type": "CANARY", "CanarySize": {"Type": "INSTANCE_COUNT", "Value": 1}}, 600, id="one first"
        ),
    ],
)
def test_new_instances_are_watched_before_the_old_ones_go(
    world: World, routing: dict[str, Any], seconds: int
) -> None:
    """They answer already, DescribeEndpoint says Baking, and the old configuration is shown until it is over."""
    update(world, **routing)
    seen = []

    def look(_role: str, _names: Any) -> list[str]:
        found = world.ask("DescribeEndpoint", EndpointName="e")
        (variant,) = found["PendingDeploymentSummary"]["ProductionVariants"]
        seen.append(
            (found["EndpointStatus"], found["EndpointConfigName"], variant["VariantStatus"][0]["Status"])
        )
        assert world.invoke() == b"echo hello"
        assert world.containers[0].ended == []
        return []

    world.hosting._fleet._alarms_in_alarm = look
    began = world.time.now
    world.jobs.finish()

    assert set(seen) == {("Updating", "c", "Baking")}
    assert world.time.now - began >= seconds
    found = world.ask("DescribeEndpoint", EndpointName="e")
    assert (found["EndpointStatus"], found["EndpointConfigName"]) == ("InService", "d")
    assert found["LastDeploymentConfig"] == guardrails(**routing)
    assert world.containers[0].ended == ["stop"]


def test_an_alarm_takes_the_update_back(world: World) -> None:
    """Silently: InService on the old configuration, which the old instances go on serving; the reason tells why."""
    update(world)
    world.alarms_in_alarm = {"sealift-e-5xx"}
    world.jobs.finish()

    found = world.ask("DescribeEndpoint", EndpointName="e")
    assert (found["EndpointStatus"], found["EndpointConfigName"]) == ("InService", "c")
    assert "sealift-e-5xx" in found["FailureReason"]
    assert world.invoke() == b"echo hello"
    assert [container.ended for container in world.containers] == [[], ["stop"]]


@pytest.mark.parametrize("type_", ["ml.g4dn.xlarge", "ml.g5.xlarge", "ml.g6e.xlarge", "ml.m5d.large"])
def test_a_volume_is_refused_for_a_type_with_a_disk_of_its_own(world: World, type_: str) -> None:
    """Without one the type is taken."""
    world.model()
    variant = on_instances(InstanceType=type_)

    told = world.refused("CreateEndpointConfig", EndpointConfigName="c", ProductionVariants=[variant])

    assert "VolumeSize parameter is not allowed for the selected Instance type" in str(told)
    del variant["VolumeSizeInGB"]
    world.ask("CreateEndpointConfig", EndpointConfigName="c", ProductionVariants=[variant])


def test_alarms_that_the_role_may_not_see_take_the_update_back(world: World) -> None:
    """SageMaker looks in the name of the new model's role; an update that nobody can judge does not go through."""
    update(world)
    world.blind = {world.ask("DescribeModel", ModelName="m")["ExecutionRoleArn"]}
    world.jobs.finish()

    found = world.ask("DescribeEndpoint", EndpointName="e")
    assert (found["EndpointStatus"], found["EndpointConfigName"]) == ("InService", "c")
    assert "may not" in found["FailureReason"]
    assert "cloudwatch:DescribeAlarms" in found["FailureReason"]


@pytest.mark.parametrize(
    ("routing", "text"),
    [
        pytest.param({"Type": "LINEAR"}, "does not emulate", id="linear"),
        pytest.param({"Type": "CANARY"}, "CanarySize is required", id="canary without a size"),
    ],
)
def test_other_guardrails_are_refused(world: World, routing: dict[str, Any], text: str) -> None:
    """What is not emulated is never ignored."""
    serve(world)
    config(world, "d")

    error = world.refused(
        "UpdateEndpoint", EndpointName="e", EndpointConfigName="d", DeploymentConfig=guardrails(**routing)
    )

    assert text in (error.message or "")


def test_serverless_endpoints_have_no_guardrails(world: World) -> None:
    """Nothing says that they do."""
    world.serve()
    world.ask("CreateEndpointConfig", **config_request("s"))

    error = world.refused(
        "UpdateEndpoint", EndpointName="e", EndpointConfigName="s", DeploymentConfig=guardrails()
    )

    assert "not supported for serverless" in (error.message or "")


# ------------------------------------------------------------------- what is published


def observed(world: World, name: str, **metrics: Any) -> dict[str, Any]:
    """Return the MetricsConfig that a configuration made with one has."""
    world.ask(
        "CreateEndpointConfig",
        EndpointConfigName=name,
        ProductionVariants=[on_instances()],
        MetricsConfig=metrics,
    )
    described: dict[str, Any] = world.ask("DescribeEndpointConfig", EndpointConfigName=name)["MetricsConfig"]
    return described


def test_a_configuration_tells_what_is_published(world: World) -> None:
    """As requested; detailed observability is on where nothing is said, as in AWS."""
    world.model()
    config(world, "plain")

    assert observed(world, "off", EnableDetailedObservability=False) == {"EnableDetailedObservability": False}
    assert observed(world, "often", MetricPublishFrequencyInSeconds=10) == {
        "EnableDetailedObservability": True,
        "MetricPublishFrequencyInSeconds": 10,
    }
    described = world.ask("DescribeEndpointConfig", EndpointConfigName="plain")
    assert described["MetricsConfig"] == {"EnableDetailedObservability": True}


@pytest.mark.parametrize("seconds", [1, 9, 11, 59, 301])
def test_a_frequency_is_one_of_those_that_there_are(world: World, seconds: int) -> None:
    """The service model names them."""
    world.model()
    told = world.refused(
        "CreateEndpointConfig",
        EndpointConfigName="c",
        ProductionVariants=[on_instances()],
        MetricsConfig={"MetricPublishFrequencyInSeconds": seconds},
    )

    assert "[10, 30, 60, 120, 180, 240, 300]" in str(told)


def test_of_serverless_a_metrics_config_is_not_emulated(world: World) -> None:
    """AWS says neither that there is one nor that it is refused; nothing is ignored in silence."""
    world.model()
    told = world.refused(
        "CreateEndpointConfig", **config_request(), MetricsConfig={"EnableDetailedObservability": True}
    )

    assert "MetricsConfig" in str(told)
    world.ask("CreateEndpointConfig", **config_request())
    name = config_request()["EndpointConfigName"]
    assert "MetricsConfig" not in world.ask("DescribeEndpointConfig", EndpointConfigName=name)


# ------------------------------------------------------------------ pools

FIRST, SECOND = "ml.c5.large", "ml.m5.large"
NO_CAPACITY = (
    "Unable to provision requested ML compute capacity due to InsufficientInstanceCapacity error. Please retry using a "
    "different ML instance type or after some time."
)


def pooled(*types: str, **changed: Any) -> dict[str, Any]:
    """Return a variant with a pool in the place of its type."""
    variant = {name: value for name, value in on_instances().items() if name != "InstanceType"}
    pools = [{"InstanceType": one, "Priority": priority} for priority, one in enumerate(types, start=1)]
    return {**variant, "InstancePools": pools, **changed}


def serve_pool(world: World, *types: str, **changed: Any) -> None:
    """Create endpoint `e` with a pool, and wait for what becomes of it."""
    world.model()
    variants = [pooled(*types, **changed)]
    world.ask("CreateEndpointConfig", EndpointConfigName="c", ProductionVariants=variants)
    world.endpoint()
    world.jobs.finish()


def pool_of(world: World) -> list[tuple[str, int]]:
    """Return what DescribeEndpoint tells of the pool."""
    (variant,) = world.ask("DescribeEndpoint", EndpointName="e")["ProductionVariants"]
    return [(one["InstanceType"], one["CurrentInstanceCount"]) for one in variant["InstancePools"]]


@pytest.mark.parametrize(
    ("short_of", "counts"),
    [
        pytest.param(frozenset(), [(FIRST, 2), (SECOND, 0)], id="the first"),
        pytest.param(frozenset({SECOND}), [(FIRST, 2), (SECOND, 0)], id="of the other there is none"),
        pytest.param(frozenset({FIRST}), [(FIRST, 0), (SECOND, 2)], id="the next"),
    ],
)
def test_a_pool_runs_the_first_type_there_is(
    world: World, short_of: frozenset[str], counts: list[tuple[str, int]]
) -> None:
    """DescribeEndpoint tells which; the quota counts what runs, and nothing else."""
    world.hosting.short_of = short_of
    serve_pool(world, FIRST, SECOND, InitialInstanceCount=2)

    assert world.status() == "InService"
    assert pool_of(world) == counts
    described = world.ask("DescribeEndpointConfig", EndpointConfigName="c")["ProductionVariants"]
    assert described[0]["InstancePools"] == pooled(FIRST, SECOND)["InstancePools"]
    ((running, _),) = [one for one in counts if one[1]]
    (other,) = {FIRST, SECOND} - {running}
    for name in (running, other):
        config(world, name.replace(".", "-"), InstanceType=name)
    world.hosting.short_of = frozenset()
    refused = world.refused("CreateEndpoint", EndpointName="f", EndpointConfigName=running.replace(".", "-"))
    assert f"'{running} for endpoint usage'" in (refused.message or "")
    world.endpoint("f", other.replace(".", "-"))


@pytest.mark.parametrize(
    ("short_of", "image", "environment"),
    [
        pytest.param(frozenset(), "image:1", {}, id="the variant's"),
        pytest.param(frozenset({FIRST}), "image:2", {"SLOTS": "2"}, id="its own"),
    ],
)
def test_a_type_runs_the_model_that_it_has(
    world: World, short_of: frozenset[str], image: str, environment: dict[str, str]
) -> None:
    """With its image and environment, and DescribeEndpoint tells the image; more instances run the same."""
    world.hosting.short_of = short_of
    world.model("own", Image="image:2", Environment={"SLOTS": "2"})
    own = {"InstanceType": SECOND, "Priority": 2, "ModelNameOverride": "own"}
    serve_pool(world, InstancePools=[{"InstanceType": FIRST, "Priority": 1}, own])

    deployment = world.containers[-1].deployment
    assert (deployment.image, deployment.environment) == (image, environment)
    (variant,) = world.ask("DescribeEndpoint", EndpointName="e")["ProductionVariants"]
    assert variant["DeployedImages"][0]["SpecifiedImage"] == image
    (configured,) = world.ask("DescribeEndpointConfig", EndpointConfigName="c")["ProductionVariants"]
    assert configured["InstancePools"][1] == own


def test_the_order_is_that_of_the_priorities(world: World) -> None:
    """Not that of the list."""
    pools = [{"InstanceType": SECOND, "Priority": 5}, {"InstanceType": FIRST, "Priority": 2}]
    serve_pool(world, InstancePools=pools)

    assert pool_of(world) == [(FIRST, 1), (SECOND, 0)]


@pytest.mark.parametrize(
    ("types", "advised"),
    [pytest.param((FIRST, SECOND), False, id="a pool"), pytest.param((), True, id="a type")],
)
def test_where_there_is_no_capacity_the_endpoint_fails(
    world: World, types: tuple[str, ...], *, advised: bool
) -> None:
    """With AWS's reason, which advises a pool to who has none; nothing was started."""
    world.hosting.short_of = frozenset({FIRST, SECOND, TYPE})
    if types:
        serve_pool(world, *types)
    else:
        world.model()
        config(world)
        world.endpoint()
        world.jobs.finish()

    found = world.ask("DescribeEndpoint", EndpointName="e")
    assert found["EndpointStatus"] == "Failed"
    assert found["FailureReason"].startswith(NO_CAPACITY)
    assert ("InstancePools" in found["FailureReason"]) is advised
    assert world.containers == []


def test_an_update_without_capacity_leaves_what_serves(world: World) -> None:
    """In service on the old configuration, with the reason."""
    serve(world)
    world.hosting.short_of = frozenset({FIRST, SECOND})
    variants = [pooled(FIRST, SECOND)]
    world.ask("CreateEndpointConfig", EndpointConfigName="d", ProductionVariants=variants)
    world.ask("UpdateEndpoint", EndpointName="e", EndpointConfigName="d")
    world.jobs.finish()

    found = world.ask("DescribeEndpoint", EndpointName="e")
    assert (found["EndpointStatus"], found["EndpointConfigName"]) == ("InService", "c")
    assert found["FailureReason"] == NO_CAPACITY
    assert world.invoke() == b"echo hello"


@pytest.mark.parametrize("without", [FIRST, SECOND])
def test_the_quota_of_every_type_in_a_pool_is_looked_at(without: str) -> None:
    """Capacity is fallen back for, a quota is not."""
    world = World(quotas=Quotas(instances={without: 0}))
    world.model()
    variants = [pooled(FIRST, SECOND)]
    world.ask("CreateEndpointConfig", EndpointConfigName="c", ProductionVariants=variants)

    error = world.refused("CreateEndpoint", EndpointName="e", EndpointConfigName="c")

    assert error.code == "ResourceLimitExceeded"
    assert f"'{without} for endpoint usage' is 0 Instances" in (error.message or "")


def test_more_instances_of_a_pool_are_of_the_type_that_runs(world: World) -> None:
    """The quota of that one counts."""
    serve_pool(world, FIRST, SECOND)
    world.ask(
        "UpdateEndpointWeightsAndCapacities",
        EndpointName="e",
        DesiredWeightsAndCapacities=[{"VariantName": "AllTraffic", "DesiredInstanceCount": 2}],
    )
    world.jobs.finish()

    assert pool_of(world) == [(FIRST, 2), (SECOND, 0)]


@pytest.mark.parametrize(
    ("variant", "told"),
    [
        pytest.param(pooled(FIRST, InstanceType=SECOND), "cannot both be given", id="a type as well"),
        pytest.param(pooled(FIRST, FIRST), "InstanceType ml.c5.large more than once", id="a type twice"),
        pytest.param(
            pooled(InstancePools=[{"InstanceType": one, "Priority": 1} for one in (FIRST, SECOND)]),
            "Priority 1 more than once",
            id="a priority twice",
        ),
        pytest.param(
            pooled(FIRST, "ml.g5.xlarge"),
            "not allowed for the selected Instance type ml.g5.xlarge",
            id="a disk",
        ),
        pytest.param(
            pooled(InstancePools=[{"InstanceType": FIRST, "Priority": 6}]),
            "priority",
            id="a priority too low",
        ),
        pytest.param(
            pooled(InstancePools=[{"InstanceType": FIRST, "Priority": 1, "ModelNameOverride": "other"}]),
            "Could not find model",
            id="a model that is not there",
        ),
        pytest.param(
            pooled(FIRST, VariantInstanceProvisionTimeoutInSeconds=60),
            "variantInstanceProvisionTimeout",
            id="too soon",
        ),
        pytest.param(
            {
                "VariantName": "AllTraffic",
                "ModelName": "m",
                "ServerlessConfig": capacity(2048, 5),
                "InstancePools": pooled(FIRST)["InstancePools"],
            },
            "not supported for serverless",
            id="serverless",
        ),
    ],
)
def test_a_pool_that_cannot_be_is_refused(world: World, variant: dict[str, Any], told: str) -> None:
    """Some by the service model, some by what AWS's guide says, and what is not emulated as such."""
    world.model()

    error = world.refused("CreateEndpointConfig", EndpointConfigName="c", ProductionVariants=[variant])

    assert told in (error.message or "")
