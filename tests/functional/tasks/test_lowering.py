"""Changing a serving endpoint's concurrency, where AWS takes the short way and where it refuses it.

Against the local cloud's own hosting, in this process and without servers: strict about requests, names and quotas.
"""

from __future__ import annotations

import re
import threading
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
from botocore.exceptions import ClientError

from local_cloud.hosting import AwsError, Hosting, HostingSettings, Quotas, Timing
from local_cloud.hosting.platform.lifecycle import ContainerCondition
from pipeline.aws import service_errors
from pipeline.errors import EndpointBusy, RequestRejected
from pipeline.rollout import endpoint_concurrency, release_store, releases
from tests.functional.tasks.conftest import serverless
from tests.paginated import Paginated
from tests.plans import a_plan

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.functional.tasks.conftest import Script, Task

NAME = "harbour-0123456789ab"
SERVICE = "harbour"
EXECUTION = "arn:aws:states:us-east-1:123456789012:execution:sealift-deployment:harbour-1"
TAGS = {
    "sealift:service": SERVICE,
    "sealift:execution": EXECUTION,
    "sealift:uploaded-at": "2026-01-02T03:04:05Z",
    "sealift:deployed-at": "2026-01-02T03:10:00.000Z",
    "sealift:endpoint": NAME,
    "sealift:keep-previous": "1",
}


class Stub:
    """A container that is there at once."""

    def ping(self) -> bool:
        """Say that all is well."""
        return True

    def condition(self) -> ContainerCondition:
        """Say that it runs."""
        return ContainerCondition.RUNNING

    def call(self, call: Any, timeout_s: float) -> Any:
        """Is not called here."""
        raise NotImplementedError

    def stop(self) -> None:
        """End."""

    def kill(self) -> None:
        """End."""

    def pids(self) -> list[int]:
        """Have no process."""
        return []


class AtOnce:
    """Does in the background what it is told, before it returns."""

    def run(self, name: str, job: Callable[[], None]) -> None:
        """Do it."""
        del name
        job()

    def join(self, seconds: float) -> None:
        """Have nothing to wait for."""


class SageMaker(Paginated):
    """A boto3 client of a hosting: its answers and its refusals, without HTTP; every change is written down."""

    def __init__(self, hosting: Hosting) -> None:
        self.hosting = hosting
        self.changes: list[str] = []

    def __getattr__(self, name: str) -> Any:
        operation = "".join(part.capitalize() for part in name.split("_"))

        def call(**request: Any) -> dict[str, Any]:
            if not operation.startswith(("Describe", "List")):
                self.changes.append(operation)
            try:
                answer = self.hosting.handle(operation, request)
            except AwsError as error:
                told = {"Error": {"Code": error.code, "Message": error.message}}
                raise ClientError(told, operation) from error  # type: ignore[arg-type]
            return _dated(answer)

        return call


def _dated(value: Any) -> Any:
    if isinstance(value, list):
        return [_dated(one) for one in value]
    if isinstance(value, dict):
        return {
            key: datetime.fromtimestamp(one, UTC) if re.search("Time$", key) else _dated(one)
            for key, one in value.items()
        }
    return value


def _tagged(tags: dict[str, str]) -> list[dict[str, str]]:
    return [{"Key": key, "Value": value} for key, value in tags.items()]


def _no_objects(*_: Any) -> None:
    raise NotImplementedError


def _hosting(*, rescaling: bool) -> Iterator[Hosting]:
    seconds = iter(range(10**6))
    hosting = Hosting(
        region="us-east-1",
        account_id="123456789012",
        fetch=_no_objects,
        exists=lambda _role, _bucket, _key: True,
        log=_no_objects,
        quotas=Quotas(total_concurrency=20),
        settings=HostingSettings(creating_s=0, rescaling_s=0, deleting_s=0, rescaling=rescaling),
        timing=Timing(
            clock=lambda: 1767323045.0 + next(seconds),
            monotonic=lambda: 0.0,
            pause=threading.Event().wait,
        ),
        background=AtOnce(),
        launch=lambda _name, _deployment, *, cancelled: Stub(),
    )
    yield hosting
    hosting.close()


@pytest.fixture(params=[True, False], ids=["taken", "refused"])
def sagemaker(request: pytest.FixtureRequest) -> Iterator[SageMaker]:
    """Return an account's SageMaker that takes the change of a concurrency, and one that refuses it."""
    for hosting in _hosting(rescaling=request.param):
        yield SageMaker(hosting)


@pytest.fixture
def refusing() -> Iterator[SageMaker]:
    """Return one that refuses it."""
    for hosting in _hosting(rescaling=False):
        yield SageMaker(hosting)


def deploy(client: SageMaker, name: str = NAME, tags: dict[str, str] = TAGS, *, to: int = 10) -> None:
    """Make a deployment as the workflow makes it, on a configuration of its own name."""
    client.create_model(
        ModelName=name,
        ExecutionRoleArn="arn:aws:iam::123456789012:role/endpoint",
        PrimaryContainer={"Image": "image", "ModelDataUrl": "s3://bucket/model.tar.gz"},
        Tags=_tagged(tags),
    )
    sizes = {"MemorySizeInMB": 1024, "MaxConcurrency": to}
    client.create_endpoint_config(
        EndpointConfigName=name,
        ProductionVariants=[{"VariantName": "AllTraffic", "ModelName": name, "ServerlessConfig": sizes}],
        Tags=_tagged(tags),
    )
    client.create_endpoint(EndpointName=name, EndpointConfigName=name, Tags=_tagged(tags))
    client.changes.clear()


def bring(client: Any, to: int) -> int | None:
    """Bring the endpoint there, as a state does that is tried again; return what it has then."""
    for _ in range(5):
        come = endpoint_concurrency.set_concurrency(client, SERVICE, NAME, to=to)
        if not come.waiting:
            return come.concurrency
    pytest.fail(come.waiting)


def config_of(client: SageMaker, endpoint: str = NAME) -> str:
    """Return the configuration that an endpoint has."""
    return str(client.describe_endpoint(EndpointName=endpoint)["EndpointConfigName"])


def test_an_endpoint_is_lowered_and_raised_again_either_way(sagemaker: SageMaker) -> None:
    """It has what was requested, and is where it was at the end."""
    deploy(sagemaker)

    assert [bring(sagemaker, to) for to in (5, 1, 5, 10)] == [5, 1, 5, 10]
    assert config_of(sagemaker) == NAME


def test_the_short_way_makes_nothing() -> None:
    """Where AWS takes it there is no other configuration."""
    for hosting in _hosting(rescaling=True):
        client = SageMaker(hosting)
        deploy(client)
        bring(client, 5)

        assert client.changes == ["UpdateEndpointWeightsAndCapacities"]


def test_the_long_way_changes_the_concurrency_alone(refusing: SageMaker) -> None:
    """A configuration named after its sizes, otherwise equal, with the same tags; made once."""
    deploy(refusing)
    bring(refusing, 5)
    bring(refusing, 10)
    bring(refusing, 5)

    config = refusing.describe_endpoint_config(EndpointConfigName=config_of(refusing))
    assert config["EndpointConfigName"] == f"{NAME}-1024-5"
    before = refusing.describe_endpoint_config(EndpointConfigName=NAME)["ProductionVariants"][0]
    sizes = {"MemorySizeInMB": 1024, "MaxConcurrency": 5}
    assert config["ProductionVariants"] == [{**before, "ServerlessConfig": sizes}]
    tags = refusing.list_tags(ResourceArn=config["EndpointConfigArn"])["Tags"]
    assert {tag["Key"]: tag["Value"] for tag in tags} == TAGS
    assert refusing.changes.count("UpdateEndpoint") == 3
    assert len(refusing.list_endpoint_configs()["EndpointConfigs"]) == 2


def test_the_deployment_stays_one_record(refusing: SageMaker) -> None:
    """Whichever configuration was marked: there is one release, as old as the first of them, that goes as a whole."""
    deploy(refusing)
    bring(refusing, 5)
    now = refusing.describe_endpoint_config(EndpointConfigName=config_of(refusing))["EndpointConfigArn"]
    release_store.mark(refusing, now, {releases.TAG_WITHDRAWN: "2026-01-02T03:20:00.000Z"})  # type: ignore[arg-type]

    for to, config in ((5, f"{NAME}-1024-5"), (10, NAME)):
        bring(refusing, to)
        (release,) = release_store.read_releases(refusing, SERVICE).releases  # type: ignore[arg-type]
        assert (release.config, release.serves, release.good) == (config, True, False)
        assert set(release.configs) == {NAME, f"{NAME}-1024-5"}
        first = refusing.describe_endpoint_config(EndpointConfigName=NAME)["CreationTime"]
        assert release.created == first.isoformat()
        there = release_store.release_at(refusing, NAME, SERVICE)  # type: ignore[arg-type]
        assert there is not None
        assert there.withdrawn_at == "2026-01-02T03:20:00.000Z"


def test_a_deployment_that_was_lowered_while_it_was_tried_is_in_service(
    do: Task, refusing: SageMaker
) -> None:
    """Another deployment of the service took room from it: it is there, and is no other deployment's."""
    deploy(refusing)
    bring(refusing, 5)
    clients: Any = SimpleNamespace(sagemaker=refusing)

    found = do(
        "PollEndpoint", clients, endpoint_name=NAME, endpoint_config_name=NAME, updates=None, component=None
    )

    assert found == {"status": "InService", "verdict": "ready", "running": {}}
    request = {"EndpointName": NAME, "EndpointConfigName": NAME, "Tags": _tagged(TAGS)}
    assert do("CreateEndpoint", clients, request=request, asked=None, deadline_s=60)["created"] is False


def test_room_is_made_the_long_way(do: Task, refusing: SageMaker) -> None:
    """One try asks, the next one finds it done."""
    deploy(refusing)
    clients: Any = SimpleNamespace(sagemaker=refusing)
    room = [{"endpoint": NAME, "before": 10, "to": 5}]

    with pytest.raises(EndpointBusy, match="goes from a concurrency of 10 to 5"):
        do("MakeRoom", clients, room=room, service=SERVICE)
    assert do("MakeRoom", clients, room=room, service=SERVICE) == {"lowered": [f"lower {NAME} from 10 to 5"]}


def test_a_failed_deployment_leaves_none_of_its_configurations(do: Task, refusing: SageMaker) -> None:
    """Not the one either that another deployment made of it when it lowered it."""
    deploy(refusing)
    deploy(refusing, f"{SERVICE}-aaaaaaaaaaaa", {**TAGS, "sealift:execution": "another"}, to=1)
    bring(refusing, 5)
    names = {"model": NAME, "endpoint_config": NAME, "endpoint": NAME}
    plan = a_plan(service=SERVICE, execution=EXECUTION, names=names)
    diagnosed = {"error": "SmokeTestFailed", "what": "x", "why": "y", "fix": "z", "cause": "because"}
    clients: Any = SimpleNamespace(
        sagemaker=refusing,
        cloudwatch=SimpleNamespace(describe_alarms=lambda **_: {"MetricAlarms": []}),
        logs=SimpleNamespace(describe_metric_filters=lambda **_: {"metricFilters": []}),
    )

    event = {"plan_deployment": plan, "diagnose": diagnosed}
    with pytest.raises(EndpointBusy):
        do("RollBack", clients, results=event)
    report = do("RollBack", clients, results=event)

    assert report["not_undone"] == []
    assert f"endpoint configuration {NAME}-1024-5" in report["gone"]
    left = [one["EndpointConfigName"] for one in refusing.list_endpoint_configs()["EndpointConfigs"]]
    assert left == [f"{SERVICE}-aaaaaaaaaaaa"]


def test_an_update_in_place_is_put_back_to_what_it_had(do: Task, refusing: SageMaker) -> None:
    """The old configuration said ten and the endpoint had three: it has three again, by a configuration of its own."""
    deploy(refusing)
    new = f"{SERVICE}-bbbbbbbbbbbb"
    deploy(refusing, new, {**TAGS, "sealift:execution": "arn:new"}, to=1)
    refusing.delete_endpoint(EndpointName=new)
    refusing.update_endpoint(EndpointName=NAME, EndpointConfigName=new)
    plan = a_plan(
        service=SERVICE,
        execution="arn:new",
        names={"model": new, "endpoint_config": new, "endpoint": NAME},
        updates={"endpoint_config": NAME, "max_concurrency": 3},
    )
    diagnosed = {"error": "SmokeTestFailed", "what": "x", "why": "y", "fix": "z", "cause": "because"}
    clients: Any = SimpleNamespace(sagemaker=refusing)

    for _ in range(4):
        try:
            report = do("RollBack", clients, results={"plan_deployment": plan, "diagnose": diagnosed})
        except EndpointBusy:
            continue
        break

    assert report["restored"] == [f"endpoint {NAME}: configuration {NAME} and a concurrency of 3 as before"]
    assert config_of(refusing) == f"{NAME}-1024-3"


def test_a_configuration_that_sealift_did_not_make_is_not_copied(refusing: SageMaker) -> None:
    """Somebody has given the endpoint another one by hand: AWS's refusal is told as it is."""
    deploy(refusing)
    sizes = {"MemorySizeInMB": 1024, "MaxConcurrency": 4}
    variant = {"VariantName": "AllTraffic", "ModelName": NAME, "ServerlessConfig": sizes}
    refusing.create_endpoint_config(EndpointConfigName="by-hand", ProductionVariants=[variant])
    refusing.update_endpoint(EndpointName=NAME, EndpointConfigName="by-hand")

    with (
        pytest.raises(RequestRejected, match="ServerlessUpdateConfig is not supported"),
        service_errors.translated(),
    ):
        endpoint_concurrency.set_concurrency(refusing, SERVICE, NAME, to=1)  # type: ignore[arg-type]
    assert config_of(refusing) == "by-hand"


def test_a_new_configuration_that_is_not_seen_yet_is_waited_for(script: Script) -> None:
    """It was made a moment ago: the next try goes on."""
    arn = f"arn:aws:sagemaker:us-east-1:123456789012:endpoint-config/{NAME}"
    sizes = {"MemorySizeInMB": 1024, "MaxConcurrency": 10}
    variant = {"VariantName": "AllTraffic", "ModelName": NAME, "ServerlessConfig": sizes}
    row = {
        "EndpointConfigName": NAME,
        "EndpointConfigArn": arn,
        "CreationTime": datetime(2026, 1, 2, tzinfo=UTC),
    }
    found = {**row, "ProductionVariants": [variant]}
    lowered = {**variant, "ServerlessConfig": {**sizes, "MaxConcurrency": 5}}
    script.endpoint(serverless(NAME, 10, service=SERVICE))
    script.refuses("sagemaker", "update_endpoint_weights_and_capacities", "ValidationException", "no")
    script.answers("sagemaker", "describe_endpoint_config", found, {"EndpointConfigName": NAME})
    script.answers("sagemaker", "list_tags", {"Tags": _tagged(TAGS)}, {"ResourceArn": arn})
    wanted = {"EndpointConfigName": f"{NAME}-1024-5", "ProductionVariants": [lowered], "Tags": _tagged(TAGS)}
    script.answers("sagemaker", "create_endpoint_config", {"EndpointConfigArn": f"{arn}-1024-5"}, wanted)
    script.answers("sagemaker", "describe_endpoint_config", {**found, "ProductionVariants": [lowered]})
    script.missing("update_endpoint", "endpoint configuration")

    come = endpoint_concurrency.set_concurrency(script.clients.sagemaker, SERVICE, NAME, to=5)

    assert come.concurrency == 10
    assert "goes from a concurrency of 10 to 5" in come.waiting
