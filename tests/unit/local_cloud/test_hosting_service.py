"""Hosting as a client sees it, with containers, time and threads that the test holds in its hand."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pytest
from botocore.model import ListShape, MapShape, StructureShape

from local_cloud.hosting import (
    AlarmsUnseen,
    AwsError,
    Hosting,
    HostingSettings,
    ObjectMissing,
    Quotas,
    Timing,
)
from local_cloud.hosting.containers.container import (
    AnswerTooLargeError,
    CallBrokenError,
    CallTimedOutError,
    ContainerAnswer,
    ContainerCall,
    LaunchFailedError,
)
from local_cloud.hosting.control_plane.requests import (
    OPERATIONS,
    service,
)
from local_cloud.hosting.platform.lifecycle import ContainerCondition

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from botocore.model import Shape

    from local_cloud.hosting.platform.resources import Deployment

REGION = "ap-southeast-1"
ACCOUNT = "123456789012"
ARN = f"arn:aws:sagemaker:{REGION}:{ACCOUNT}:"
ROLE = f"arn:aws:iam::{ACCOUNT}:role/endpoint"
URL = "s3://models/demo/model.tar.gz"
HINT = (
    f"See https://{REGION}.console.aws.amazon.com/cloudwatch/home?region={REGION}"
    f"#logEventViewer:group=/aws/sagemaker/Endpoints/e in account {ACCOUNT} for more information."
)


@dataclass
class FakeTime:
    """Time that passes only in pauses."""

    now: float = 1_000_000.0
    paused: list[float] = field(default_factory=list)

    def pause(self, seconds: float) -> bool:
        """Let the time pass at once."""
        self.now += seconds
        self.paused.append(seconds)
        return False

    def timing(self) -> Timing:
        """Return this time as hosting takes it."""
        return Timing(clock=lambda: self.now, monotonic=lambda: self.now, pause=self.pause)


@dataclass
class Jobs:
    """A background that waits to be told."""

    waiting: list[tuple[str, Callable[[], None]]] = field(default_factory=list)

    def run(self, name: str, job: Callable[[], None]) -> None:
        """Keep the job."""
        self.waiting.append((name, job))

    def join(self, seconds: float) -> None:
        """Wait for nothing: jobs run when the test says so."""

    def finish(self) -> None:
        """Run every job that waits, and those that they start."""
        while self.waiting:
            _, job = self.waiting.pop(0)
            job()


@dataclass
class FakeContainer:
    """A container that does what its fields say."""

    deployment: Deployment
    healthy_after_pings: float = 0
    state: ContainerCondition = ContainerCondition.RUNNING
    behaviour: Callable[[ContainerCall], ContainerAnswer] = lambda call: ContainerAnswer(
        200, b"echo " + call.body, "text/plain"
    )
    pings: int = 0
    ended: list[str] = field(default_factory=list)
    timeouts: list[float] = field(default_factory=list)

    def ping(self) -> bool:
        """Answer from the n-th ping on."""
        self.pings += 1
        return self.state is ContainerCondition.RUNNING and self.pings > self.healthy_after_pings

    def condition(self) -> ContainerCondition:
        """Return the state that the test set."""
        return self.state

    def call(self, call: ContainerCall, timeout_s: float) -> ContainerAnswer:
        """Behave, or fail as a dead process does."""
        self.timeouts.append(timeout_s)
        if self.state is not ContainerCondition.RUNNING:
            raise CallBrokenError
        return self.behaviour(call)

    def stop(self) -> None:
        """Remember to have been asked to end."""
        self.ended.append("stop")

    def kill(self) -> None:
        """Remember to have been ended."""
        self.ended.append("kill")

    def pids(self) -> list[int]:
        """Return a made-up process id."""
        return [4711]


class World:
    """Hosting with everything around it replaced."""

    def __init__(
        self, *, quotas: Quotas | None = None, objects: set[str] | None = None, **beside: Any
    ) -> None:
        self.time = FakeTime()
        self.jobs = Jobs()
        self.containers: list[FakeContainer] = []
        self.alarms_in_alarm: set[str] = set()
        self.blind: set[str] = set()
        """Roles that may not look at alarms."""
        self.prepare: Callable[[FakeContainer], None] = lambda _container: None
        self.objects = {"models/demo/model.tar.gz"} if objects is None else objects
        self.hosting = Hosting(
            region=REGION,
            account_id=ACCOUNT,
            fetch=self.fetch,
            log=lambda *_line: None,
            exists=lambda _role, bucket, key: f"{bucket}/{key}" in self.objects,
            objects=self,
            alarms_in_alarm=self.look_at_alarms,
            quotas=quotas,
            settings=HostingSettings(startup_deadline_s=180.0),
            timing=self.time.timing(),
            background=self.jobs,
            launch=self.launch,
            **beside,
        )

    def look_at_alarms(self, role: str, names: Sequence[str]) -> list[str]:
        """Return which of them ring, unless the role may not look."""
        if role in self.blind:
            raise AlarmsUnseen(f"{role} may not")
        return [name for name in names if name in self.alarms_in_alarm]

    def etag(self, role: str, bucket: str, key: str) -> str | None:
        """Return an ETag made of the name."""
        assert role
        return f"etag-{key}" if f"{bucket}/{key}" in self.objects else None

    def keys(self, role: str, bucket: str, prefix: str) -> list[str]:
        """Return what lies below a prefix."""
        assert role
        names = [name.partition("/")[2] for name in sorted(self.objects) if name.startswith(f"{bucket}/")]
        return [name for name in names if name.startswith(prefix)]

    def fetch(self, role: str, bucket: str, key: str, destination: Path) -> None:
        """Never be called: the fake launch downloads nothing."""
        raise ObjectMissing(f"{role}: {bucket}/{key} -> {destination}")

    def launch(
        self, endpoint_name: str, deployment: Deployment, *, cancelled: Callable[[], bool]
    ) -> FakeContainer:
        """Return a container as the test prepares it."""
        assert endpoint_name
        assert not cancelled()
        container = FakeContainer(deployment)
        self.prepare(container)
        self.containers.append(container)
        return container

    def ask(self, operation: str, **parameters: Any) -> dict[str, Any]:
        """Call an operation, and hold its answer against the service model."""
        answer = self.hosting.handle(operation, parameters)
        conforms(service().operation_model(operation).output_shape, answer, operation)
        return answer

    def refused(self, operation: str, **parameters: Any) -> AwsError:
        """Call an operation that must be refused."""
        with pytest.raises(AwsError) as caught:
            self.hosting.handle(operation, parameters)
        return caught.value

    def model(self, name: str = "m", **container: Any) -> dict[str, Any]:
        """Create a model."""
        return self.ask("CreateModel", **model_request(name, **container))

    def config(self, name: str = "c", **variant: Any) -> dict[str, Any]:
        """Create an endpoint configuration."""
        return self.ask("CreateEndpointConfig", **config_request(name, **variant))

    def endpoint(self, name: str = "e", config: str = "c") -> None:
        """Create an endpoint."""
        self.ask("CreateEndpoint", EndpointName=name, EndpointConfigName=config)

    def status(self, name: str = "e") -> str:
        """Return an endpoint's status."""
        found: str = self.ask("DescribeEndpoint", EndpointName=name)["EndpointStatus"]
        return found

    def serve(self, **serverless: int) -> FakeContainer:
        """Bring endpoint `e` into service; return its container."""
        self.model()
        self.config(ServerlessConfig=capacity(**serverless))
        self.endpoint()
        self.jobs.finish()
        assert self.status() == "InService"
        return self.containers[-1]

    def invoke(self, body: bytes = b"hello", **headers: str) -> bytes:
        """Invoke endpoint `e`."""
        named = {f"X-Amzn-SageMaker-{key.replace('_', '-')}": value for key, value in headers.items()}
        return self.hosting.invoke_endpoint("e", body, "text/plain", None, named).body

    def fails(self, body: bytes = b"hello", **headers: str) -> AwsError:
        """Invoke endpoint `e`, which must fail."""
        with pytest.raises(AwsError) as caught:
            self.invoke(body, **headers)
        return caught.value


def capacity(memory: int = 2048, concurrency: int = 5, provisioned: int | None = None) -> dict[str, int]:
    """Return a ServerlessConfig."""
    config = {"MemorySizeInMB": memory, "MaxConcurrency": concurrency}
    return config if provisioned is None else {**config, "ProvisionedConcurrency": provisioned}


def model_request(name: str = "m", **container: Any) -> dict[str, Any]:
    """Return a CreateModel request."""
    return {
        "ModelName": name,
        "ExecutionRoleArn": ROLE,
        "PrimaryContainer": {"Image": "image:1", "ModelDataUrl": URL, **container},
    }


def config_request(name: str = "c", **variant: Any) -> dict[str, Any]:
    """Return a CreateEndpointConfig request."""
    whole = {"VariantName": "AllTraffic", "ModelName": "m", "ServerlessConfig": capacity(), **variant}
    return {"EndpointConfigName": name, "ProductionVariants": [whole]}


def conforms(shape: Shape | None, value: Any, path: str) -> None:
    """Fail unless an answer has the shape of the service model."""
    if isinstance(shape, StructureShape):
        assert value.keys() <= shape.members.keys(), path
        assert set(shape.required_members) <= value.keys(), path
        for name, item in value.items():
            conforms(shape.members[name], item, f"{path}.{name}")
    elif isinstance(shape, ListShape):
        for item in value:
            conforms(shape.member, item, f"{path}[]")
    elif isinstance(shape, MapShape):
        for item in value.values():
            conforms(shape.value, item, f"{path}{{}}")
    elif shape is None:
        assert value == {}, path
    else:
        kinds = {"string": str, "integer": int, "boolean": bool, "timestamp": float, "float": float}
        assert isinstance(value, kinds[shape.type_name]), path
        assert value in shape.metadata.get("enum", [value]), path


@pytest.fixture
def world() -> World:
    """Return a fresh account."""
    return World()


# The control plane


@pytest.mark.parametrize("operation", [name for name in OPERATIONS if not name.startswith("List")])
def test_every_operation_is_known(world: World, operation: str) -> None:
    """An operation that is listed is refused for its parameters, never as unknown."""
    assert world.refused(operation).code == "ValidationException"


def test_an_unknown_operation_is_named(world: World) -> None:
    """What is not emulated is refused by name."""
    assert world.refused("CreateTrainingJob").code == "UnknownOperationException"


def test_describe_returns_what_create_was_given(world: World) -> None:
    """A client can compare what exists with what it would have made."""
    world.model(Environment={"A": "1"})
    world.config(ServerlessConfig=capacity(3072, 7, 2))

    model = world.ask("DescribeModel", ModelName="m")
    config = world.ask("DescribeEndpointConfig", EndpointConfigName="c")

    assert model["PrimaryContainer"] == {
        "Image": "image:1",
        "ModelDataUrl": URL,
        "Environment": {"A": "1"},
        "Mode": "SingleModel",
    }
    assert model["ExecutionRoleArn"] == ROLE
    assert config["ProductionVariants"][0]["ServerlessConfig"] == capacity(3072, 7, 2)


def test_names_differ_only_by_more_than_case(world: World) -> None:
    """ARNs are in lower case, so a name in another case is the same name, but keeps its spelling."""
    world.model("MyModel")

    error = world.refused("CreateModel", **model_request("mymodel"))

    assert error.message == f'Cannot create already existing model "{ARN}model/mymodel".'
    assert world.ask("DescribeModel", ModelName="MYMODEL")["ModelName"] == "MyModel"


@pytest.mark.parametrize(
    ("operation", "request_", "message"),
    [
        pytest.param(
            "CreateModel",
            model_request(),
            f'Cannot create already existing model "{ARN}model/m".',
            id="model",
        ),
        pytest.param(
            "CreateEndpointConfig",
            config_request(),
            f'Cannot create already existing endpoint configuration "{ARN}endpoint-config/c".',
            id="config",
        ),
        pytest.param(
            "CreateEndpoint",
            {"EndpointName": "e", "EndpointConfigName": "missing"},
            f'Cannot create already existing endpoint "{ARN}endpoint/e".',
            id="endpoint, before its configuration is looked at",
        ),
    ],
)
def test_a_duplicate_is_refused(world: World, operation: str, request_: dict[str, Any], message: str) -> None:
    """A second create is a ValidationException with the ARN."""
    world.serve()

    error = world.refused(operation, **request_)

    assert (error.code, error.message) == ("ValidationException", message)


@pytest.mark.parametrize(
    ("operation", "request_", "message"),
    [
        *(
            pytest.param(
                f"{verb}{noun}",
                {f"{noun}Name": "x"},
                f'Could not find {spoken} "{ARN}{kind}/x".',
                id=f"{verb} {spoken}",
            )
            for verb in ("Describe", "Delete")
            for noun, kind, spoken in (
                ("Model", "model", "model"),
                ("EndpointConfig", "endpoint-config", "endpoint configuration"),
                ("Endpoint", "endpoint", "endpoint"),
            )
        ),
        pytest.param(
            "CreateEndpointConfig",
            config_request(),
            f'Could not find model "{ARN}model/m".',
            id="configuration of an unknown model",
        ),
        pytest.param(
            "CreateEndpoint",
            {"EndpointName": "e", "EndpointConfigName": "c"},
            f'Could not find endpoint configuration "{ARN}endpoint-config/c".',
            id="endpoint of an unknown configuration",
        ),
        pytest.param(
            "UpdateEndpoint",
            {"EndpointName": "e", "EndpointConfigName": "c"},
            f'Could not find endpoint "{ARN}endpoint/e".',
            id="update of an unknown endpoint",
        ),
        pytest.param(
            "ListTags",
            {"ResourceArn": f"{ARN}endpoint/e"},
            f'Could not find endpoint "{ARN}endpoint/e".',
            id="tags of an unknown endpoint",
        ),
    ],
)
def test_an_unknown_name_is_refused(
    world: World, operation: str, request_: dict[str, Any], message: str
) -> None:
    """What does not exist is a ValidationException that begins with "Could not find"."""
    error = world.refused(operation, **request_)

    assert (error.code, error.message) == ("ValidationException", message)


@pytest.mark.parametrize(
    ("request_", "text"),
    [
        pytest.param(
            model_request(ModelDataUrl="s3://models/gone.tar.gz"),
            "Could not find model data at s3://models/gone.tar.gz.",
            id="missing object",
        ),
        pytest.param(
            model_request(ModelDataUrl="s3://models/demo/model.zip"), "(.tar.gz suffix)", id="zip by name"
        ),
        pytest.param(model_request(ModelDataUrl="https://x/model.tar.gz"), "not emulate", id="https"),
        pytest.param(
            {"ModelName": "m", "ExecutionRoleArn": ROLE}, "exactly one container", id="no container"
        ),
        pytest.param(
            {**model_request(), "Containers": [{"Image": "i"}]}, "exactly one container", id="two containers"
        ),
        pytest.param(
            {"ModelName": "m", "PrimaryContainer": {"Image": "i"}}, "'executionRoleArn'", id="no role"
        ),
        pytest.param(
            {**model_request(), "PrimaryContainer": {"ModelDataUrl": URL}}, "neither Image", id="no image"
        ),
        pytest.param(
            model_request(Environment={f"K{n}": "v" * 1000 for n in range(40)}), "32768", id="environment"
        ),
        pytest.param(
            {**model_request(), "Tags": [{"Key": "a", "Value": "1"}, {"Key": "a", "Value": "2"}]},
            "Duplicate tag keys",
            id="tag twice",
        ),
        pytest.param(model_request(InferenceSpecificationName="x"), "does not emulate", id="not emulated"),
    ],
)
def test_a_wrong_model_is_refused(world: World, request_: dict[str, Any], text: str) -> None:
    """CreateModel looks at the object, the suffix and the members, and makes nothing when one is wrong."""
    error = world.refused("CreateModel", **request_)

    assert error.code == "ValidationException"
    assert text in (error.message or "")
    assert world.ask("ListModels") == {"Models": []}


def test_model_data_that_may_not_be_read_is_refused() -> None:
    """An error of the look at S3 is a lack of access, in AWS' words."""

    def denied(role: str, bucket: str, key: str) -> bool:
        raise PermissionError(role, bucket, key)

    hosting = Hosting(
        region=REGION,
        account_id=ACCOUNT,
        fetch=lambda *_args: None,
        log=lambda *_line: None,
        exists=denied,
        launch=World().launch,
    )

    with pytest.raises(AwsError, match=f'Could not access model data at {URL}. Please .* role "{ROLE}"'):
        hosting.handle("CreateModel", model_request())


@pytest.mark.parametrize(
    ("request_", "text"),
    [
        pytest.param(
            config_request(ServerlessConfig=capacity(1500)),
            "Value '1500' at 'productionVariants.1.member.serverlessConfig.memorySizeInMB' failed to satisfy "
            "constraint: Member must satisfy enum value set: [1024, 2048, 3072, 4096, 5120, 6144]",
            id="memory between the steps",
        ),
        pytest.param(
            config_request(ServerlessConfig=capacity(1024, 2, 3)), "ProvisionedConcurrency 3", id="p"
        ),
        pytest.param(
            config_request(InstanceType="ml.m5.large"), "InstanceType is not supported", id="instance as well"
        ),
        pytest.param(
            config_request(ContainerStartupHealthCheckTimeoutInSeconds=600),
            "ContainerStartupHealthCheckTimeoutInSeconds is not supported",
            id="start-up time-out",
        ),
        pytest.param(
            {
                "EndpointConfigName": "c",
                "ProductionVariants": [
                    {"VariantName": v, "ModelName": "m", "ServerlessConfig": capacity()} for v in "ab"
                ],
            },
            "More than one production variant",
            id="two variants",
        ),
        pytest.param({**config_request(), "KmsKeyId": "key"}, "A KMS key is not supported", id="key"),
        pytest.param(
            {**config_request(), "EnableNetworkIsolation": True},
            "Network isolation is not supported",
            id="isolation",
        ),
        pytest.param(
            {**config_request(), "ExecutionRoleArn": "arn:aws:iam::123456789012:role/r"},
            "ExecutionRoleArn is valid in AWS",
            id="not emulated",
        ),
        pytest.param(
            {**config_request(), "VpcConfig": {"SecurityGroupIds": ["s"], "Subnets": ["n"]}},
            "VPC configuration is not supported",
            id="vpc",
        ),
    ],
)
def test_a_wrong_configuration_is_refused(world: World, request_: dict[str, Any], text: str) -> None:
    """What serverless endpoints cannot have is refused by name, and nothing is made."""
    world.model()

    error = world.refused("CreateEndpointConfig", **request_)

    assert error.code == "ValidationException"
    assert text in (error.message or "")
    assert world.ask("ListEndpointConfigs") == {"EndpointConfigs": []}


@pytest.mark.parametrize(
    ("extra", "text"),
    [
        pytest.param({"EnableNetworkIsolation": True}, "Network isolation", id="isolation"),
        pytest.param(
            {
                "PrimaryContainer": {
                    "Image": "i",
                    "ModelDataSource": {
                        "S3DataSource": {
                            "S3Uri": "s3://models/demo/",
                            "S3DataType": "S3Prefix",
                            "CompressionType": "None",
                        }
                    },
                }
            },
            "ModelDataSource",
            id="uncompressed data",
        ),
        pytest.param(
            {"PrimaryContainer": {"Image": "i", "ModelDataUrl": URL, "Mode": "MultiModel"}},
            "multi-model",
            id="multi-model",
        ),
    ],
)
def test_a_model_that_is_not_for_serverless_is_refused_by_the_configuration(
    world: World, extra: dict[str, Any], text: str
) -> None:
    """Such a model is valid in itself: only its serverless configuration is not."""
    world.ask("CreateModel", **{**model_request(), **extra})

    error = world.refused("CreateEndpointConfig", **config_request())

    assert f"{text}" in (error.message or "")
    assert "not supported for serverless endpoints" in (error.message or "")


def test_tags_follow_their_resource(world: World) -> None:
    """Tags are given at creation or later, listed, removed, and go with the resource."""
    for noun, request_, arn in (
        ("Model", model_request(), f"{ARN}model/m"),
        ("EndpointConfig", config_request(), f"{ARN}endpoint-config/c"),
        ("Endpoint", {"EndpointName": "e", "EndpointConfigName": "c"}, f"{ARN}endpoint/e"),
    ):
        world.ask(f"Create{noun}", **{**request_, "Tags": [{"Key": "a", "Value": "1"}]})
        world.ask("AddTags", ResourceArn=arn, Tags=[{"Key": "b", "Value": "2"}, {"Key": "a", "Value": "3"}])
        world.ask("DeleteTags", ResourceArn=arn, TagKeys=["b", "never"])

        assert world.ask("ListTags", ResourceArn=arn) == {"Tags": [{"Key": "a", "Value": "3"}]}

    world.ask("DeleteModel", ModelName="m")
    world.ask("CreateModel", **model_request())

    assert world.ask("ListTags", ResourceArn=f"{ARN}model/m") == {"Tags": []}


def test_a_resource_holds_fifty_tags(world: World) -> None:
    """The fifty-first is refused, and none of its request is kept."""
    world.model()
    arn = f"{ARN}model/m"
    world.ask("AddTags", ResourceArn=arn, Tags=[{"Key": f"k{n}", "Value": ""} for n in range(50)])

    world.ask("AddTags", ResourceArn=arn, Tags=[{"Key": "k0", "Value": "again"}])
    error = world.refused("AddTags", ResourceArn=arn, Tags=[{"Key": "one more", "Value": ""}])

    assert error.code == "ValidationException"
    assert len(world.ask("ListTags", ResourceArn=arn)["Tags"]) == 50


# An endpoint over time


def test_an_endpoint_is_creating_until_its_container_is_healthy(world: World) -> None:
    """Creating shows what is pending; InService shows the variant that serves."""
    world.model()
    world.config()
    world.endpoint()

    creating = world.ask("DescribeEndpoint", EndpointName="e")
    world.jobs.finish()
    in_service = world.ask("DescribeEndpoint", EndpointName="e")

    assert creating["EndpointStatus"] == "Creating"
    assert creating["EndpointConfigName"] == "c"
    assert "ProductionVariants" not in creating
    assert in_service["EndpointStatus"] == "InService"
    assert in_service["ProductionVariants"][0]["CurrentServerlessConfig"] == capacity()
    assert in_service["LastModifiedTime"] == pytest.approx(creating["CreationTime"] + 2.0)
    assert "FailureReason" not in in_service


def silent(container: FakeContainer) -> None:
    """Make a container that never answers its health check."""
    container.healthy_after_pings = float("inf")


def exited(container: FakeContainer) -> None:
    """Make a container whose process ends at once."""
    container.state = ContainerCondition.EXITED


def greedy(container: FakeContainer) -> None:
    """Make a container that takes more memory than it has."""
    container.state = ContainerCondition.OUT_OF_MEMORY


def undeployable(_container: FakeContainer) -> None:
    """Fail before there is a process."""
    raise LaunchFailedError(f'Failed to extract model data archive from URL "{URL}".')


def broken(_container: FakeContainer) -> None:
    """Fail as the emulation itself might."""
    raise ZeroDivisionError


@pytest.mark.parametrize(
    ("prepare", "reason"),
    [
        pytest.param(
            silent,
            "Unable to successfully stand up your model within the allotted 180 second timeout",
            id="no answer to ping",
        ),
        pytest.param(
            exited,
            'Received server error (0) from model with message "An error occurred while handling request as '
            f'the model process exited.". {HINT}',
            id="process exited",
        ),
        pytest.param(greedy, "Ping failed due to insufficient memory.", id="out of memory"),
        pytest.param(
            undeployable, f'Failed to extract model data archive from URL "{URL}".', id="bad archive"
        ),
        pytest.param(
            broken,
            "Request to service failed. If failure persists after retry, contact customer support.",
            id="a fault of the emulation",
        ),
    ],
)
def test_a_container_that_does_not_start_fails_the_endpoint(
    world: World, prepare: Callable[[FakeContainer], None], reason: str
) -> None:
    """The endpoint ends in Failed with AWS' reason, its container is ended, and only deletion is left."""
    world.prepare = prepare
    world.model()
    world.config()
    world.endpoint()
    world.jobs.finish()

    described = world.ask("DescribeEndpoint", EndpointName="e")

    assert (described["EndpointStatus"], described["FailureReason"]) == ("Failed", reason)
    assert described["EndpointConfigName"] == "c"
    assert all(container.ended for container in world.containers)
    assert "only be deleted" in str(world.refused("UpdateEndpoint", EndpointName="e", EndpointConfigName="c"))
    assert "already existing" in str(
        world.refused("CreateEndpoint", EndpointName="e", EndpointConfigName="c")
    )
    assert world.fails().message == f"Endpoint e of account {ACCOUNT} not found."

    world.ask("DeleteEndpoint", EndpointName="e")
    world.jobs.finish()

    assert world.ask("ListEndpoints") == {"Endpoints": []}


def test_the_deadline_counts_from_the_start(world: World) -> None:
    """A container is asked until the deadline has passed, and not much longer."""
    world.prepare = silent
    world.model()
    world.config()
    world.endpoint()
    began = world.time.now
    world.jobs.finish()

    assert 180.0 < world.time.now - began < 181.0


@pytest.mark.parametrize(
    "operation", ["DeleteEndpoint", "UpdateEndpoint", "UpdateEndpointWeightsAndCapacities"]
)
def test_nothing_can_be_done_while_creating(world: World, operation: str) -> None:
    """Even deletion is refused until the endpoint has settled."""
    world.model()
    world.config()
    world.endpoint()
    choices: dict[str, dict[str, Any]] = {
        "DeleteEndpoint": {},
        "UpdateEndpoint": {"EndpointConfigName": "c"},
        "UpdateEndpointWeightsAndCapacities": {
            "DesiredWeightsAndCapacities": [{"VariantName": "AllTraffic"}]
        },
    }

    error = world.refused(operation, EndpointName="e", **choices[operation])

    assert error.code == "ValidationException"
    assert error.message == f'Cannot update in-progress endpoint "{ARN}endpoint/e".'


def test_a_deleted_endpoint_is_gone_after_a_while(world: World) -> None:
    """Deleting refuses invocations and a new endpoint of the name; afterwards the name is free."""
    container = world.serve()

    world.ask("DeleteEndpoint", EndpointName="e")

    assert world.status() == "Deleting"
    assert world.fails().code == "ValidationError"
    assert "already existing" in str(
        world.refused("CreateEndpoint", EndpointName="e", EndpointConfigName="c")
    )

    world.jobs.finish()

    assert container.ended == ["stop"]
    assert world.refused("DescribeEndpoint", EndpointName="e").message == (
        f'Could not find endpoint "{ARN}endpoint/e".'
    )
    world.endpoint()


def test_an_endpoint_outlives_its_model_and_configuration(world: World) -> None:
    """Both can be deleted while the endpoint runs; it runs on, and can even start again."""
    container = world.serve()

    world.ask("DeleteModel", ModelName="m")
    world.ask("DeleteEndpointConfig", EndpointConfigName="c")

    assert world.invoke() == b"echo hello"
    container.state = ContainerCondition.EXITED
    world.fails()
    world.fails()
    world.jobs.finish()
    assert world.invoke() == b"echo hello"


def test_an_update_swaps_when_the_new_container_is_healthy(world: World) -> None:
    """The old one serves until then, and the description shows the old configuration until then."""
    old = world.serve()
    old.behaviour = lambda _call: ContainerAnswer(200, b"old")
    world.config("c2", ServerlessConfig=capacity(3072, 8))

    world.ask("UpdateEndpoint", EndpointName="e", EndpointConfigName="c2")

    updating = world.ask("DescribeEndpoint", EndpointName="e")
    assert (updating["EndpointStatus"], updating["EndpointConfigName"]) == ("Updating", "c")
    assert updating["PendingDeploymentSummary"]["EndpointConfigName"] == "c2"
    assert world.invoke() == b"old"

    world.jobs.finish()

    updated = world.ask("DescribeEndpoint", EndpointName="e")
    assert (updated["EndpointStatus"], updated["EndpointConfigName"]) == ("InService", "c2")
    assert "PendingDeploymentSummary" not in updated
    assert old.ended == ["stop"]
    assert world.invoke() == b"echo hello"


def test_a_failed_update_keeps_the_old_configuration(world: World) -> None:
    """InService again, on the old configuration, with a FailureReason that the next update clears."""
    old = world.serve()
    world.config("c2")
    world.prepare = exited

    world.ask("UpdateEndpoint", EndpointName="e", EndpointConfigName="c2")
    world.jobs.finish()

    after = world.ask("DescribeEndpoint", EndpointName="e")
    assert (after["EndpointStatus"], after["EndpointConfigName"]) == ("InService", "c")
    assert "model process exited" in after["FailureReason"]
    assert not old.ended
    assert world.invoke() == b"echo hello"

    world.prepare = lambda _container: None
    world.ask("UpdateEndpoint", EndpointName="e", EndpointConfigName="c2")

    assert "FailureReason" not in world.ask("DescribeEndpoint", EndpointName="e")


def test_concurrency_is_changed_in_place(world: World) -> None:
    """A moment in Updating, the same container, the new number; the configuration stays."""
    container = world.serve()

    world.ask(
        "UpdateEndpointWeightsAndCapacities",
        EndpointName="e",
        DesiredWeightsAndCapacities=[
            {"VariantName": "AllTraffic", "ServerlessUpdateConfig": {"MaxConcurrency": 2}}
        ],
    )
    (variant,) = world.ask("DescribeEndpoint", EndpointName="e")["ProductionVariants"]

    assert (world.status(), variant["CurrentServerlessConfig"]) == ("Updating", capacity())
    assert variant["DesiredServerlessConfig"] == capacity(2048, 2)

    world.jobs.finish()
    (variant,) = world.ask("DescribeEndpoint", EndpointName="e")["ProductionVariants"]

    assert (world.status(), variant["CurrentServerlessConfig"]) == ("InService", capacity(2048, 2))
    assert world.containers == [container]
    config = world.ask("DescribeEndpointConfig", EndpointConfigName="c")
    assert config["ProductionVariants"][0]["ServerlessConfig"] == capacity()


@pytest.mark.parametrize(
    ("change", "text"),
    [
        pytest.param({"VariantName": "Other"}, 'Variant "Other" does not exist', id="variant"),
        pytest.param({"VariantName": "AllTraffic", "DesiredInstanceCount": 1}, "DesiredInstance", id="count"),
        pytest.param(
            {"VariantName": "AllTraffic", "ServerlessUpdateConfig": {"ProvisionedConcurrency": 9}},
            "ProvisionedConcurrency 9",
            id="provisioned above maximum",
        ),
    ],
)
def test_a_wrong_change_of_capacity_is_refused(world: World, change: dict[str, Any], text: str) -> None:
    """The endpoint stays in service as it was."""
    world.serve()

    error = world.refused(
        "UpdateEndpointWeightsAndCapacities", EndpointName="e", DesiredWeightsAndCapacities=[change]
    )

    assert (error.code, text in (error.message or "")) == ("ValidationException", True)
    assert world.status() == "InService"


def test_endpoints_are_listed_by_status(world: World) -> None:
    """StatusEquals and NameContains choose; rows carry the status."""
    world.serve(concurrency=1)
    world.endpoint("second")

    rows = world.ask("ListEndpoints", StatusEquals="Creating")["Endpoints"]
    both = world.ask("ListEndpoints", SortBy="Status", SortOrder="Ascending")["Endpoints"]

    assert [row["EndpointName"] for row in rows] == ["second"]
    assert [row["EndpointStatus"] for row in both] == ["Creating", "InService"]
    assert world.ask("ListEndpoints", NameContains="sec", StatusEquals="InService")["Endpoints"] == []


# Quotas


def test_the_configuration_may_exceed_a_quota_and_the_endpoint_may_not(world: World) -> None:
    """The memory quota speaks at CreateEndpoint; nothing is left behind by the refusal."""
    world.model()
    world.config(ServerlessConfig=capacity(4096))

    error = world.refused("CreateEndpoint", EndpointName="e", EndpointConfigName="c")

    assert error.code == "ResourceLimitExceeded"
    assert "is 3072 MBs" in (error.message or "")
    assert world.ask("ListEndpoints") == {"Endpoints": []}


def test_concurrency_is_shared_by_all_endpoints(world: World) -> None:
    """What one endpoint gives up, another can have."""
    world.serve(concurrency=10)

    refused = world.refused("CreateEndpoint", EndpointName="e2", EndpointConfigName="c")
    world.ask("DeleteEndpoint", EndpointName="e")
    still_there = world.refused("CreateEndpoint", EndpointName="e2", EndpointConfigName="c")
    world.jobs.finish()
    world.endpoint("e2")

    assert "current utilization of 10 Units and a request delta of 10 Units" in (refused.message or "")
    assert still_there.code == "ResourceLimitExceeded"


def test_a_failed_endpoint_holds_no_concurrency_but_its_place() -> None:
    """It counts among the endpoints until it is deleted."""
    world = World(quotas=Quotas(total_concurrency=5, endpoints=2))
    world.prepare = exited
    world.model()
    world.config()
    world.endpoint("e1")
    world.jobs.finish()
    world.endpoint("e2")
    world.jobs.finish()

    error = world.refused("CreateEndpoint", EndpointName="e3", EndpointConfigName="c")

    assert "'Maximum number of serverless endpoints' is 2" in (error.message or "")


def test_an_update_needs_only_what_it_adds(world: World) -> None:
    """From 5 to 10 is a delta of 5; from 10 to 11 is too much, and leaves the endpoint in service."""
    world.serve(concurrency=5)
    world.config("ten", ServerlessConfig=capacity(2048, 10))
    world.config("eleven", ServerlessConfig=capacity(2048, 11))

    world.ask("UpdateEndpoint", EndpointName="e", EndpointConfigName="ten")
    world.jobs.finish()
    error = world.refused("UpdateEndpoint", EndpointName="e", EndpointConfigName="eleven")

    assert "current utilization of 10 Units and a request delta of 1 Units" in (error.message or "")
    assert world.status() == "InService"


def rescaling(maximum: int) -> dict[str, Any]:
    """Return the parameters that change the concurrency of the endpoint `e`."""
    change = {"VariantName": "AllTraffic", "ServerlessUpdateConfig": {"MaxConcurrency": maximum}}
    return {"EndpointName": "e", "DesiredWeightsAndCapacities": [change]}


def test_lowering_gives_room_when_it_is_done(world: World) -> None:
    """While the endpoint is Updating it still holds what it had."""
    world.serve(concurrency=10)
    world.config("five", ServerlessConfig=capacity(2048, 5))

    world.ask("UpdateEndpointWeightsAndCapacities", **rescaling(5))
    meanwhile = world.refused("CreateEndpoint", EndpointName="e2", EndpointConfigName="five")
    world.jobs.finish()
    world.ask("CreateEndpoint", EndpointName="e2", EndpointConfigName="five")

    assert "current utilization of 10 Units and a request delta of 5 Units" in (meanwhile.message or "")


def test_raising_needs_only_what_it_adds(world: World) -> None:
    """Refused in the quota's words, and the endpoint stays in service as it was."""
    world.serve(concurrency=5)

    error = world.refused("UpdateEndpointWeightsAndCapacities", **rescaling(11))
    world.ask("UpdateEndpointWeightsAndCapacities", **rescaling(10))

    assert error.code == "ResourceLimitExceeded"
    assert "current utilization of 5 Units and a request delta of 6 Units" in (error.message or "")


def test_a_quota_may_change_while_the_account_is_used(world: World) -> None:
    """It holds for the next request; a change of concurrency asks for no memory."""
    world.serve(concurrency=10)
    world.hosting.quotas = Quotas(memory_mb=1024, total_concurrency=12)

    world.ask("UpdateEndpointWeightsAndCapacities", **rescaling(12))
    world.jobs.finish()

    error = world.refused("CreateEndpoint", EndpointName="e2", EndpointConfigName="c")
    assert "is 1024 MBs" in (error.message or "")


# The runtime


def test_an_invocation_reaches_the_container(world: World) -> None:
    """Body, type and custom attributes go in; the answer, its type and the variant come out."""
    container = world.serve()
    seen: list[ContainerCall] = []

    def answer(call: ContainerCall) -> ContainerAnswer:
        seen.append(call)
        return ContainerAnswer(201, b"{}", "application/json", "trace=1")

    container.behaviour = answer

    response = world.hosting.invoke_endpoint(
        "e",
        b"in",
        "text/csv",
        "application/json",
        {"X-Amzn-SageMaker-Custom-Attributes": "a=b", "X-Other": "no"},
    )

    assert seen == [ContainerCall(b"in", "text/csv", "application/json", "a=b")]
    assert container.timeouts == [60.0]
    assert (response.status, response.body) == (200, b"{}")
    assert response.headers == {
        "Content-Type": "application/json",
        "x-Amzn-Invoked-Production-Variant": "AllTraffic",
        "X-Amzn-SageMaker-Custom-Attributes": "trace=1",
    }


@pytest.mark.parametrize("name", ["x", "E", "e/", ""])
def test_only_the_exact_name_answers(world: World, name: str) -> None:
    """The name's case must match at invocation, unlike everywhere else."""
    world.serve()

    with pytest.raises(AwsError) as caught:
        world.hosting.invoke_endpoint(name, b"")

    assert (caught.value.code, caught.value.status) == ("ValidationError", 400)
    assert caught.value.message == f"Endpoint {name} of account {ACCOUNT} not found."


def test_the_body_has_a_limit(world: World) -> None:
    """4 MiB pass, one byte more does not, and the container never sees it."""
    container = world.serve()
    container.behaviour = lambda call: ContainerAnswer(200, str(len(call.body)).encode())

    assert world.invoke(bytes(4 * 1024 * 1024)) == b"4194304"
    error = world.fails(bytes(4 * 1024 * 1024 + 1))

    assert error.code == "ValidationError"
    assert (error.message or "").endswith(" has oversize body.")
    assert len(container.timeouts) == 1


@pytest.mark.parametrize(
    ("status", "side"), [(400, "client"), (429, "client"), (500, "server"), (503, "server"), (302, "server")]
)
def test_an_error_of_the_container_is_a_model_error(world: World, status: int, side: str) -> None:
    """Status and body come through in the fields, and in AWS' sentence."""
    container = world.serve()
    container.behaviour = lambda _call: ContainerAnswer(status, b'{"error": "no"}')

    error = world.fails()

    assert (error.code, error.status) == ("ModelError", 424)
    assert error.message == (
        f'Received {side} error ({status}) from primary with message "{{"error": "no"}}". {HINT}'
    )
    assert error.fields == {
        "OriginalStatusCode": status,
        "OriginalMessage": '{"error": "no"}',
        "LogStreamArn": f"arn:aws:logs:{REGION}:{ACCOUNT}:log-group:/aws/sagemaker/Endpoints/e",
    }


@pytest.mark.parametrize(
    ("failure", "text"),
    [
        pytest.param(
            CallTimedOutError(),
            'Received server error (0) from primary with message "Your invocation timed out while waiting for '
            "a response from container primary. Review the latency metrics for each container in Amazon "
            'CloudWatch, resolve the issue, and try again."',
            id="too slow",
        ),
        pytest.param(AnswerTooLargeError(), "The response is larger than 4194304 bytes.", id="too much"),
        pytest.param(
            CallBrokenError(),
            "Amazon SageMaker could not get a response from the e endpoint. "
            "This can occur when CPU or memory utilization is high.",
            id="hung up but alive",
        ),
    ],
)
def test_a_container_that_fails_to_answer_stays(world: World, failure: Exception, text: str) -> None:
    """One call fails with status 0; the process is alive, so the next call goes to it."""
    container = world.serve()

    def fail(_call: ContainerCall) -> ContainerAnswer:
        raise failure

    container.behaviour = fail
    error = world.fails()
    container.behaviour = lambda _call: ContainerAnswer(200, b"fine")

    assert (error.code, error.fields["OriginalStatusCode"]) == ("ModelError", 0)
    assert text in (error.message or "")
    assert world.invoke() == b"fine"
    assert len(world.containers) == 1


@pytest.mark.parametrize(
    ("state", "text"),
    [
        pytest.param(
            ContainerCondition.EXITED,
            'Received server error (0) from model with message "An error occurred while handling request as '
            f'the model process exited.". {HINT}',
            id="exited",
        ),
        pytest.param(
            ContainerCondition.OUT_OF_MEMORY,
            'Received server error (0) from primary with message "Amazon SageMaker could not get a response '
            f'from the e endpoint. This can occur when CPU or memory utilization is high.". {HINT}',
            id="out of memory",
        ),
    ],
)
def test_a_killed_container_fails_one_call_and_is_started_by_the_next(
    world: World, state: ContainerCondition, text: str
) -> None:
    """ModelError, then ModelNotReadyException while a new one starts, then answers; InService throughout."""
    dead = world.serve()
    dead.state = state

    first = world.fails()
    second = world.fails()
    third = world.fails()

    assert (first.code, first.status, first.message) == ("ModelError", 424, text)
    assert (second.code, second.status) == ("ModelNotReadyException", 429)
    assert third.code == "ModelNotReadyException"
    assert len(world.jobs.waiting) == 1
    assert dead.ended == ["kill"]

    world.jobs.finish()

    assert world.invoke() == b"echo hello"
    assert world.status() == "InService"


def test_what_is_provisioned_is_started_again_by_itself(world: World) -> None:
    """No call has to come for it; those that come meanwhile are told to come back."""
    world.model()
    variant = capacity(2048, 5, provisioned=2)
    world.ask("CreateEndpointConfig", **config_request("c", ServerlessConfig=variant))
    world.endpoint()
    world.jobs.finish()
    (variant_now,) = world.ask("DescribeEndpoint", EndpointName="e")["ProductionVariants"]
    assert variant_now["CurrentServerlessConfig"]["ProvisionedConcurrency"] == 2
    world.containers[-1].state = ContainerCondition.EXITED

    assert world.fails().code == "ModelError"
    assert len(world.jobs.waiting) == 1
    assert world.fails().code == "ModelNotReadyException"
    world.jobs.finish()

    assert world.invoke() == b"echo hello"
    assert len(world.containers) == 2


def test_calls_that_are_cut_off_together_lose_one_container(world: World) -> None:
    """Both fail as the process exits; the second one does not take the loss for another."""
    container = world.serve()
    inner: list[AwsError] = []

    def die(_call: ContainerCall) -> ContainerAnswer:
        container.state = ContainerCondition.EXITED
        inner.append(world.fails())
        raise CallBrokenError

    container.behaviour = die
    outer = world.fails()

    assert [error.code for error in (*inner, outer)] == ["ModelError", "ModelError"]
    assert world.fails().code == "ModelNotReadyException"
    assert container.ended == ["kill"]


def test_a_cold_start_that_fails_is_reported_and_tried_again(world: World) -> None:
    """The call after a failed start says why; the one after that starts anew."""
    world.serve().state = ContainerCondition.EXITED
    world.fails()
    world.prepare = greedy
    world.fails()
    world.jobs.finish()

    told = world.fails()
    world.prepare = lambda _container: None
    again = world.fails()
    world.jobs.finish()

    assert told.code == "ModelError"
    assert "Ping failed due to insufficient memory." in (told.message or "")
    assert again.code == "ModelNotReadyException"
    assert world.invoke() == b"echo hello"


def test_more_calls_than_the_concurrency_are_throttled(world: World) -> None:
    """The call beyond MaxConcurrency is refused at once, and counts no longer when the others have ended."""
    container = world.serve(concurrency=2)
    refused: list[AwsError] = []

    def nested(call: ContainerCall) -> ContainerAnswer:
        depth = int(call.body)
        if depth < 2:
            return ContainerAnswer(200, world.invoke(str(depth + 1).encode()))
        refused.append(world.fails(b"3"))
        return ContainerAnswer(200, b"done")

    container.behaviour = nested

    assert world.invoke(b"1") == b"done"
    assert [(error.code, error.status, error.message) for error in refused] == [
        ("ThrottlingException", 400, None)
    ]
    assert world.invoke(b"1") == b"done"


def test_failed_calls_free_their_place(world: World) -> None:
    """An error of any kind ends a call as an answer does."""
    container = world.serve(concurrency=1)
    container.behaviour = lambda _call: ContainerAnswer(500, b"")

    assert [world.fails().code for _ in range(3)] == ["ModelError"] * 3


@pytest.mark.parametrize(
    ("header", "value", "text"),
    [
        ("Target_Model", "m.tar.gz", "TargetModel is not supported"),
        ("Target_Variant", "Other", "Variant Other does not exist."),
        ("Inference_Component", "c", "InferenceComponentName is not supported"),
    ],
)
def test_what_a_serverless_endpoint_lacks_is_refused(
    world: World, header: str, value: str, text: str
) -> None:
    """Headers that ask for other hosting are not ignored."""
    world.serve()

    error = world.fails(b"", **{header: value})

    assert (error.code, text in (error.message or "")) == ("ValidationError", True)
    assert world.invoke(Target_Variant="AllTraffic") == b"echo hello"


def test_closing_ends_every_container(world: World) -> None:
    """Serving and starting containers are killed, and closing again does nothing."""
    serving = world.serve(concurrency=1)
    world.endpoint("e2")
    world.prepare = lambda _starting: world.hosting.close()

    world.jobs.finish()
    world.hosting.close()

    assert serving.ended == ["kill"]
    assert [container.ended for container in world.containers] == [["kill"], ["kill"]]
