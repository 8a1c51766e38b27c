"""Sweep against a SageMaker, an S3 and a Lambda that keep state: what is seen, what is done, what is not to be seen."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
from botocore.exceptions import ClientError

from pipeline import inference_component
from pipeline.archive.s3.multipart import target_for
from pipeline.aws import service_errors
from pipeline.cli.commands import sweep as sweep_command
from pipeline.operations import account_scan, removal, sweeping, teardown
from pipeline.operations.account import MadeKind
from pipeline.operations.account_scan import Scope
from pipeline.planning import alarms, metrics
from pipeline.planning.consumer import mark
from pipeline.rollout import metric_filters_api
from tasks import sweep
from tests.foreign import HOSTILE, unfit
from tests.functional.tasks.test_retire_previous import AutoScaling, SageMaker
from tests.paginated import Paginated

if TYPE_CHECKING:
    from tests.functional.tasks.conftest import MotoConsumer, Script

NOW = datetime(2026, 1, 10, 12, 0, 0, tzinfo=UTC)
LONG_AGO = NOW - timedelta(days=5)
EXECUTION = "arn:aws:states:us-east-1:123456789012:execution:sealift-deployment:"
LEFT, SERVING = "harbour-00000000000a", "harbour-00000000000b"


class Account(SageMaker):
    """The lists that the sweeper reads beside; all of one age."""

    def denied_for(self, operation: str) -> None:
        """Refuse when the operation is denied."""
        self._allow(operation)

    def make(self, name: str, *, good: bool = False, stack: str = "sealift") -> str:
        """Make a deployment."""
        execution = EXECUTION.replace("sealift", stack) + name
        tags = {
            "sealift:service": "harbour",
            "sealift:execution": execution,
            "sealift:archive": f"uploads/{name}",
            "sealift:uploaded-at": "2026-01-02T03:04:05Z",
            "sealift:consumer": "reports ENDPOINT_NAME live",
            "sealift:consumer-2": "assistant ENDPOINT_NAME",
            "sealift:consumers": "2",
        }
        self.models[name] = {
            "ModelName": name,
            "ModelArn": f"arn:model/{name}",
            "CreationTime": LONG_AGO,
            "PrimaryContainer": {"ModelDataUrl": f"s3://artifacts/archives/{name}/model.tar.gz"},
        }
        self.configs[name] = {
            "EndpointConfigName": name,
            "EndpointConfigArn": f"arn:config/{name}",
            "CreationTime": LONG_AGO,
            "ProductionVariants": [{"ModelName": name}],
        }
        self.endpoints[name] = {
            "EndpointName": name,
            "EndpointArn": f"arn:endpoint/{name}",
            "EndpointConfigName": name,
            "EndpointStatus": "InService",
            "CreationTime": LONG_AGO,
            "LastModifiedTime": LONG_AGO,
        }
        self.tags |= {f"arn:{kind}/{name}": dict(tags) for kind in ("model", "config", "endpoint")}
        if good:
            self.tags[f"arn:config/{name}"] |= {
                "sealift:deployed-at": "2026-01-03T00:00:00Z",
                "sealift:endpoint": name,
                "sealift:keep-previous": "1",
            }
        return name

    def list_endpoints(self, **request: Any) -> dict[str, Any]:
        """Return all of them, unless that is denied."""
        self._allow("ListEndpoints")
        return super().list_endpoints(**request)

    def list_models(self, **_: Any) -> dict[str, Any]:
        """Return all of them."""
        self._allow("ListModels")
        return {"Models": list(self.models.values())}

    def delete_endpoint_config(self, **request: Any) -> None:
        """Delete."""
        self._allow("DeleteEndpointConfig")
        super().delete_endpoint_config(**request)


class Executions(Paginated):
    """Step Functions."""

    def __init__(self) -> None:
        self.running: dict[str, str] = {}
        """Input by ARN."""
        self.denied: set[str] = set()

    def _allow(self, operation: str) -> None:
        if operation in self.denied:
            told = {"Error": {"Code": "AccessDeniedException", "Message": f"no {operation}"}}
            raise ClientError(told, operation)  # type: ignore[arg-type]

    def list_executions(self, *, stateMachineArn: str, **_: Any) -> dict[str, Any]:  # noqa: N803 boto3's name
        """Return those that are running."""
        self._allow("ListExecutions")
        assert stateMachineArn.endswith(":stateMachine:sealift-deployment")
        return {"executions": [{"executionArn": arn} for arn in self.running]}

    def describe_execution(self, *, executionArn: str) -> dict[str, Any]:  # noqa: N803 boto3's name
        """Return one."""
        self._allow("DescribeExecution")
        if executionArn in self.running:
            known = {"executionArn": executionArn, "name": executionArn.rpartition(":")[2], "startDate": NOW}
            return {**known, "status": "RUNNING", "input": self.running[executionArn]}
        return {"status": "FAILED", "stopDate": LONG_AGO}


class World:
    """All that the task sees."""

    def __init__(self, consumer: MotoConsumer, s3: Any) -> None:
        self.sagemaker, self.executions, self.consumer = Account(), Executions(), consumer
        self.published: list[str] = []
        self.cloudwatch = Alarms()
        self.parameters = Parameters()
        self.logs = consumer.clients.logs
        self.scaling = AutoScaling(self.sagemaker)
        self.clients: Any = SimpleNamespace(
            sagemaker=self.sagemaker,
            stepfunctions=self.executions,
            lambda_=consumer,
            cloudwatch=self.cloudwatch,
            logs=self.logs,
            autoscaling=self.scaling,
            s3=s3,
            ssm=self.parameters,
            sns=SimpleNamespace(publish=lambda **request: self.published.append(request["Message"])),
        )

    def sweep(self, **changed: Any) -> dict[str, Any]:
        """Run the task once."""
        event = {
            "now": NOW.isoformat(),
            "delete": "true",
            "grace_hours": "24",
            "stack": "sealift",
            "artifact_bucket": None,
            "topic": "arn:topic",
        }
        with service_errors.translated():
            return sweep.run({**event, **changed}, self.clients)

    def once(self, *, now: datetime) -> dict[str, Any]:
        """Sweep once, as the command line does."""
        grace = timedelta(hours=24)
        return sweeping.once(self.clients, now=now, grace=grace, delete=True, stack=None, bucket=None)

    def names(self) -> dict[str, set[str]]:
        """Return what there is in SageMaker."""
        rows = {"endpoints": self.sagemaker.endpoints, "configs": self.sagemaker.configs}
        return {kind: set(found) for kind, found in {**rows, "models": self.sagemaker.models}.items()}


class Alarms(Paginated):
    """CloudWatch's alarms with their tags."""

    def __init__(self) -> None:
        self.tags: dict[str, dict[str, str]] = {}

    def describe_alarms(self, **request: Any) -> dict[str, Any]:
        """Return those with a prefix."""
        names = [name for name in self.tags if name.startswith(request["AlarmNamePrefix"])]
        moment = {"AlarmConfigurationUpdatedTimestamp": LONG_AGO}
        return {"MetricAlarms": [{"AlarmName": name, "AlarmArn": name, **moment} for name in names]}

    def list_tags_for_resource(self, **request: Any) -> dict[str, Any]:
        """Return the tags of one."""
        return {
            "Tags": [{"Key": key, "Value": value} for key, value in self.tags[request["ResourceARN"]].items()]
        }

    def delete_alarms(self, **request: Any) -> None:
        """Delete."""
        for name in request["AlarmNames"]:
            del self.tags[name]


class Parameters(Paginated):
    """Parameters that were set long ago, and what each names."""

    def __init__(self) -> None:
        self.named: dict[str, str] = {}
        self.denied = False
        self.meanwhile: dict[str, str] = {}
        """What somebody lets them name after they were listed."""

    def get_parameters_by_path(self, **request: Any) -> dict[str, Any]:
        """Return those below a path."""
        if self.denied:
            told = {"Error": {"Code": "AccessDeniedException", "Message": "no listing"}}
            raise ClientError(told, "GetParametersByPath")  # type: ignore[arg-type]
        assert request["Recursive"]
        found = [name for name in self.named if name.startswith(f"{request['Path']}/")]
        moment = {"LastModifiedDate": LONG_AGO}
        return {
            "Parameters": [
                {"Name": name, "Value": self.named[name], "ARN": f"arn:{name}", **moment} for name in found
            ]
        }

    def get_parameter(self, **request: Any) -> dict[str, Any]:
        """Return one."""
        self.named |= self.meanwhile
        if request["Name"] not in self.named:
            told = {"Error": {"Code": "ParameterNotFound", "Message": "no such parameter"}}
            raise ClientError(told, "GetParameter")  # type: ignore[arg-type]
        return {"Parameter": {"Value": self.named[request["Name"]], "Version": 1}}

    def delete_parameter(self, **request: Any) -> None:
        """Delete one."""
        del self.named[request["Name"]]


@pytest.fixture
def world(moto_consumer: MotoConsumer, buckets: Any) -> World:
    """An account with a deployment that serves, and one that was left."""
    found = World(moto_consumer, buckets.s3)
    found.sagemaker.make(LEFT)
    found.sagemaker.make(SERVING, good=True)
    moto_consumer.set({"ENDPOINT_NAME": SERVING})
    return found


def outcomes(result: dict[str, Any], name: str) -> dict[str, str]:
    """Return what became of the things of a name, by kind."""
    return {one["kind"]: one["outcome"] for one in result["found"] if one["name"] == name}


def reasons(result: dict[str, Any], name: str) -> str:
    """Return the reasons for the things of a name."""
    return "; ".join(one["reason"] for one in result["found"] if one["name"] == name)


@pytest.mark.parametrize("named", [pytest.param(True, id="of a pool"), pytest.param(False, id="of none")])
def test_a_model_that_a_type_of_a_pool_runs_is_used(world: World, *, named: bool) -> None:
    """The configuration of what serves names it for a type that may yet run."""
    own = f"{SERVING}-0a1b2c"
    world.sagemaker.make(own)
    del world.sagemaker.endpoints[own], world.sagemaker.configs[own]
    if named:
        (variant,) = world.sagemaker.configs[SERVING]["ProductionVariants"]
        pool = {"InstanceType": "ml.c5.large", "Priority": 1, "ModelNameOverride": own}
        variant["InstancePools"] = [pool]

    world.sweep()

    assert (own in world.sagemaker.models) is named


ALL_LEFT = {"endpoint": "deleting", "endpoint configuration": "waiting", "model": "waiting"}


def test_a_dry_run_changes_nothing_and_tells(world: World) -> None:
    """What was found is published, with how to delete it."""
    before = world.names()

    result = world.sweep(delete="false")

    assert world.names() == before
    assert set(outcomes(result, LEFT).values()) == {"found"}
    assert set(outcomes(result, SERVING).values()) == {"kept"}
    assert result["counts"] == {"found": 3, "kept": 3}
    (told,) = world.published
    assert f"endpoint {LEFT}" in told
    assert SERVING not in told
    assert "SweepDelete" in told


def test_two_runs_delete_the_leftover_and_a_third_finds_nothing(world: World) -> None:
    """The endpoint in the first, what it used in the second; silence when there is nothing to tell."""
    assert outcomes(world.sweep(), LEFT) == ALL_LEFT
    assert outcomes(world.sweep(), LEFT) == {"endpoint configuration": "deleted", "model": "deleted"}
    assert world.names() == {kind: {SERVING} for kind in world.names()}

    world.published.clear()
    world.sweep()

    assert world.published == []


def test_what_scales_is_deregistered_before_it_is_deleted(world: World) -> None:
    """Once, by its endpoint's tags; nothing is asked for one that does not scale."""
    other = world.sagemaker.make("harbour-00000000000c")
    world.scaling.scale(LEFT)

    world.sweep()
    world.sweep()

    assert world.sagemaker.deleted == [f"target {LEFT}", f"endpoint {LEFT}", f"endpoint {other}"]
    assert world.scaling.there == set()


def test_the_end_of_a_stack_is_the_end_of_its_scaling(world: World) -> None:
    """`sealift destroy` deletes endpoints by the same call."""
    world.scaling.scale(LEFT)
    facts = account_scan.scan(world.clients, Scope(stack="sealift"))

    for one in teardown.ours(facts):
        if one.kind is MadeKind.ENDPOINT:
            removal.delete(world.clients, one)

    assert world.sagemaker.deleted == [f"target {LEFT}", f"endpoint {LEFT}", f"endpoint {SERVING}"]


def test_the_command_line_waits_for_the_endpoint(world: World) -> None:
    """It sweeps again when that has gone, until everything has, and tells each thing once, as it ended."""
    waited: list[tuple[str, float]] = []

    def wait(name: str, most_s: float) -> bool:
        waited.append((name, most_s))
        return True

    result = sweep_command.sweep_until_deleted(world.once, wait=wait, clock=lambda: 0.0)

    assert set(outcomes(result, LEFT).values()) == {"deleted"}
    assert result["counts"] == {"deleted": 3, "kept": 3}
    assert waited == [(LEFT, sweep_command.PATIENCE_S)]


def test_the_command_line_ends_though_the_endpoint_does_not(world: World) -> None:
    """Its patience is bounded; what is not gone is told."""
    result = sweep_command.sweep_until_deleted(
        world.once, wait=lambda _name, _most_s: False, clock=lambda: 0.0
    )

    assert outcomes(result, LEFT) == ALL_LEFT


def described(status: str) -> dict[str, Any]:
    """Return a DescribeEndpoint response."""
    arn = "arn:aws:sagemaker:us-east-1:123456789012:endpoint/"
    times = {"CreationTime": NOW, "LastModifiedTime": NOW}
    return {"EndpointName": LEFT, "EndpointArn": arn + LEFT, "EndpointStatus": status, **times}


def test_an_endpoint_is_waited_for_until_it_is_gone(script: Script) -> None:
    """SageMaker does not know it any more."""
    script.answers("sagemaker", "describe_endpoint", described("Deleting"), {"EndpointName": LEFT})
    script.answers("sagemaker", "describe_endpoint", described("Deleting"), {"EndpointName": LEFT})
    script.missing("describe_endpoint")

    assert removal.wait_until_deleted(script.clients.sagemaker, LEFT, 1.0, every_s=0.01)


def test_the_wait_for_an_endpoint_has_an_end(script: Script) -> None:
    """As many looks as fit in its time."""
    for _ in range(3):
        script.answers("sagemaker", "describe_endpoint", described("Deleting"))

    assert not removal.wait_until_deleted(script.clients.sagemaker, LEFT, 0.03, every_s=0.01)


def test_an_endpoint_that_may_not_be_looked_at_is_not_waited_for(script: Script) -> None:
    """What AWS says is raised, as of any other call."""
    script.refuses("sagemaker", "describe_endpoint", "AccessDeniedException", "no DescribeEndpoint")

    with pytest.raises(ClientError, match="no DescribeEndpoint"):
        removal.wait_until_deleted(script.clients.sagemaker, LEFT, 1.0, every_s=0.01)


def test_what_may_not_be_deleted_keeps_what_it_uses(world: World) -> None:
    """Denied for the endpoint, then for the configuration: nothing below it goes."""
    world.sagemaker.denied = {"DeleteEndpoint"}
    denied = world.sweep()

    assert outcomes(denied, LEFT) == {**ALL_LEFT, "endpoint": "failed"}
    assert "no DeleteEndpoint" in reasons(denied, LEFT)
    assert LEFT in world.sagemaker.endpoints

    world.sagemaker.denied = {"DeleteEndpointConfig"}
    world.sweep()
    assert outcomes(world.sweep(), LEFT) == {"endpoint configuration": "failed", "model": "waiting"}


@pytest.mark.parametrize(
    ("deny", "why"),
    [
        pytest.param(
            lambda world: world.sagemaker.denied.add("ListEndpoints"), "no ListEndpoints", id="endpoints"
        ),
        pytest.param(
            lambda world: world.executions.denied.add("ListExecutions"), "no ListExecutions", id="running"
        ),
        pytest.param(
            lambda world: world.executions.denied.add("DescribeExecution"),
            "no DescribeExecution",
            id="execution",
        ),
    ],
)
def test_what_cannot_be_seen_is_not_deleted(world: World, deny: Any, why: str) -> None:
    """AccessDenied on looking is a reason to keep, and is said."""
    deny(world)

    result = world.sweep()

    assert set(result["counts"]) == {"kept"}
    assert any(why in one["reason"] for one in result["found"])


def test_a_consumer_that_cannot_be_read_keeps_its_service(world: World) -> None:
    """It may call anything."""

    def denied(**_: Any) -> Any:
        told = {"Error": {"Code": "AccessDeniedException", "Message": "no reading"}}
        raise ClientError(told, "GetFunctionConfiguration")  # type: ignore[arg-type]

    world.consumer.get_function_configuration = denied  # type: ignore[attr-defined]

    assert "assistant, which may call it, could not be read: no reading" in reasons(world.sweep(), LEFT)
    assert LEFT in world.sagemaker.endpoints


@pytest.mark.parametrize("where", ["$LATEST", "an alias"])
def test_what_a_consumer_names_stays(world: World, where: str) -> None:
    """In any variable, of any version that calls may reach: also of a deployment that never turned out good."""
    world.consumer.set({"FALLBACK": LEFT})
    if where == "an alias":
        version = world.consumer.publish_version(FunctionName="assistant")["Version"]
        world.consumer.update_alias(FunctionName="assistant", Name="live", FunctionVersion=version)
        world.consumer.set({})

    assert "FALLBACK of assistant" in reasons(world.sweep(), LEFT)


PARAMETER = "/sealift/sealift/harbour/endpoint"


def test_what_a_parameter_names_stays_and_the_parameter_with_it(world: World) -> None:
    """Somebody finds the endpoint by it, also that of a deployment that never turned out good."""
    world.parameters.named = {PARAMETER: LEFT}

    result = world.sweep()

    assert f"parameter {PARAMETER} names it" in reasons(result, LEFT)
    assert outcomes(result, PARAMETER) == {"parameter": "kept"}
    assert f"endpoint {LEFT} is there" in reasons(result, PARAMETER)
    assert LEFT in world.sagemaker.endpoints


def test_a_parameter_that_names_what_is_gone_is_deleted(world: World) -> None:
    """Of this stack, and of this form: another stack's and somebody's own stay."""
    others = ["/sealift/other/harbour/endpoint", "/sealift/sealift/harbour/prompt", "/sealift/sealift/x"]
    world.parameters.named = dict.fromkeys([PARAMETER, *others], "harbour-00000000000f")

    result = world.sweep()

    assert outcomes(result, PARAMETER) == {"parameter": "deleted"}
    assert list(world.parameters.named) == others


def test_while_a_deployment_runs_no_parameter_is_deleted(world: World) -> None:
    """It may be about to let it name its endpoint."""
    world.parameters.named = {PARAMETER: "harbour-00000000000f"}
    world.executions.running = {f"{EXECUTION}other": "{}"}

    assert outcomes(world.sweep(), PARAMETER) == {"parameter": "kept"}


def test_a_parameter_that_was_moved_since_it_was_seen_is_left(world: World) -> None:
    """It names what serves by now."""
    world.parameters.named = {PARAMETER: "harbour-00000000000f"}
    world.parameters.meanwhile = {PARAMETER: SERVING}

    assert outcomes(world.sweep(), PARAMETER) == {"parameter": "failed"}
    assert world.parameters.named == {PARAMETER: SERVING}


def test_where_parameters_cannot_be_seen_no_endpoint_is_deleted(world: World) -> None:
    """One may name it."""
    world.parameters.denied = True

    result = world.sweep()

    assert set(result["counts"]) == {"kept"}
    assert "not every parameter could be looked at: no listing" in reasons(result, LEFT)


def test_what_a_deployment_is_being_started_again_from_stays(world: World) -> None:
    """The running execution has made nothing yet; its input names the archive."""
    world.executions.running = {
        f"{EXECUTION}again": f'{{"archive": {{"bucket": "uploads", "key": "{LEFT}"}}}}'
    }

    assert f"{EXECUTION}again is at work on its archive" in reasons(world.sweep(), LEFT)


def test_another_stacks_things_are_not_judged(world: World) -> None:
    """Nor what is not Sealift's at all, though its name looks like it."""
    theirs = world.sagemaker.make("harbour-00000000000c", stack="other")
    tags = [{}, {"sealift:service": "harbour"}, {"sealift:execution": f"{EXECUTION}one"}]
    foreign = [world.sagemaker.make(f"harbour-00000000000{digit}") for digit in "def"]
    for name, has in zip(foreign, tags, strict=True):
        for kind in ("model", "config", "endpoint"):
            world.sagemaker.tags[f"arn:{kind}/{name}"] = dict(has)

    result = world.sweep()

    assert {one["name"] for one in result["found"]} & {theirs, *foreign} == set()


def test_metric_filters_of_endpoints_that_are_gone_go_with_their_alarms(world: World) -> None:
    """They have no tags: the alarm on what they make tells whose they are."""
    for endpoint in ("harbour-00000000000e", SERVING):
        metric_filters_api.put(world.logs, metrics.requests(endpoint, "json"))
        name = alarms.name_of(endpoint, next(rule for rule in alarms.RULES if rule.suffix == "ttft"))
        world.cloudwatch.tags[name] = dict(world.sagemaker.tags[f"arn:model/{LEFT}"])

    world.sweep()

    assert {group for group, _ in world.logs.filters} == {
        inference_component.log_group(SERVING, component=False)
    }


def test_alarms_of_endpoints_that_are_gone_go(world: World) -> None:
    """Those of one that is there stay, and so does every alarm that is not an endpoint's."""
    tags = dict(world.sagemaker.tags[f"arn:model/{LEFT}"])
    gone, there = alarms.names("harbour-00000000000e")[0], alarms.names(SERVING)[0]
    world.cloudwatch.tags = {gone: tags, there: tags, "sealift-UploadsLost-1ABC": tags, "sealift-x-5xx": {}}

    world.sweep()

    assert set(world.cloudwatch.tags) == {there, "sealift-UploadsLost-1ABC", "sealift-x-5xx"}


def test_versions_that_were_published_for_endpoints_that_are_gone_go(world: World) -> None:
    """Those that we described so, that still name it, and that no alias calls."""
    world.consumer.set({"ENDPOINT_NAME": "gone"})
    ours = world.consumer.publish_version(FunctionName="assistant", Description=mark("gone"))["Version"]
    world.consumer.set({"ENDPOINT_NAME": "gone", "MORE": "1"})
    theirs = world.consumer.publish_version(FunctionName="assistant", Description="by hand")["Version"]
    world.consumer.set({"ENDPOINT_NAME": SERVING})

    # moto dates versions by the clock of this machine.
    late = (datetime.now(UTC) + timedelta(days=3)).isoformat()
    assert outcomes(world.sweep(now=late), f"{ours} of assistant") == {"version": "deleted"}
    assert theirs in world.consumer.versions()
    assert ours not in world.consumer.versions()


# ----------------------------------------------------------------------- archives


def archive_of(world: World, name: str = "orphan") -> dict[str, str]:
    """Write an archive that no model reads; return its place."""
    place = {"Bucket": "artifacts", "Key": f"archives/{name}/model.tar.gz"}
    world.clients.s3.put_object(**place, Body=b"x")
    return place


def test_an_archive_is_marked_first_and_deleted_in_a_later_run(world: World) -> None:
    """One that a model reads is neither."""
    orphan, read = archive_of(world), archive_of(world, SERVING)
    begin = datetime.now(UTC) + timedelta(days=2)

    marked = world.sweep(artifact_bucket="artifacts", now=begin.isoformat())
    again = world.sweep(artifact_bucket="artifacts", now=(begin + timedelta(hours=3)).isoformat())
    deleted = world.sweep(artifact_bucket="artifacts", now=(begin + timedelta(days=1)).isoformat())

    found = [outcomes(one, orphan["Key"]) for one in (marked, again, deleted)]
    assert [one["archive"] for one in found] == ["marked", "kept", "deleted"]
    assert {outcomes(one, read["Key"])["archive"] for one in (marked, again, deleted)} == {"kept"}
    versions = world.clients.s3.list_object_versions(Bucket="artifacts")
    assert [one["Key"] for one in versions["Versions"]] == [read["Key"]]
    assert "DeleteMarkers" not in versions


def test_only_the_newest_version_of_an_archive_is_judged(world: World) -> None:
    """An older one goes by the rule of the bucket."""
    orphan = archive_of(world)
    archive_of(world)
    late = (datetime.now(UTC) + timedelta(days=2)).isoformat()

    swept = world.sweep(artifact_bucket="artifacts", now=late)

    assert [one["outcome"] for one in swept["found"] if one["name"] == orphan["Key"]] == ["marked"]


def test_the_files_below_a_prefix_that_a_model_reads_stay(world: World) -> None:
    """A model that is no archive names its folder, not each file; those of another folder go as archives do."""
    container = {
        "ModelDataSource": {
            "S3DataSource": {"S3Uri": "s3://artifacts/archives/bare/", "S3DataType": "S3Prefix"}
        }
    }
    world.sagemaker.models[SERVING]["PrimaryContainer"] = container
    for key in ("archives/bare/m.gguf", "archives/bare/code/inference.py", "archives/barely/m.gguf"):
        world.clients.s3.put_object(Bucket="artifacts", Key=key, Body=b"x")
    late = (datetime.now(UTC) + timedelta(days=2)).isoformat()

    swept = world.sweep(artifact_bucket="artifacts", now=late)

    assert outcomes(swept, "archives/bare/m.gguf")["archive"] == "kept"
    assert outcomes(swept, "archives/bare/code/inference.py")["archive"] == "kept"
    assert outcomes(swept, "archives/barely/m.gguf")["archive"] == "marked"


def test_an_archive_that_is_marked_is_written_again(world: World) -> None:
    """AssembleArchive does not find it; the sweeper that looked before deletes only what it saw."""
    target = target_for("artifacts", "archives/", "origin", "code")
    target.put(world.clients.s3, b"archive")
    assert target.holds(world.clients.s3, 7)
    begin = datetime.now(UTC) + timedelta(days=2)
    world.sweep(artifact_bucket="artifacts", now=begin.isoformat())
    assert not target.holds(world.clients.s3, 7)
    facts = account_scan.scan(world.clients, Scope(bucket="artifacts"))
    (seen,) = [one for one in facts.made if one.name == target.key]
    assert seen.marked is not None

    target.put(world.clients.s3, b"archive")
    assert target.holds(world.clients.s3, 7)
    removal.delete(world.clients, seen)

    assert target.holds(world.clients.s3, 7)


def test_what_a_notification_says_is_plain(world: World) -> None:
    """A line for each thing, whatever AWS's words are."""
    world.sagemaker.denied, world.sagemaker.words = {"DeleteEndpoint"}, HOSTILE

    world.sweep()

    (told,) = world.published
    assert "no DeleteEndpointa\\x1b" in told
    assert unfit(told) == set()
    assert len(told.split("\n")) == 3


# ------------------------------------------------------------------------- for a time


def look(world: World, now: datetime = NOW) -> list[tuple[str, str]]:
    """Run the task as its frequent schedule does; return what became of what has expired, and why."""
    result = world.sweep(only="expired", now=now.isoformat())
    assert result["found"] == []
    return [(one["outcome"], one["reason"]) for one in result["expired"]]


@pytest.fixture
def expiring(world: World) -> World:
    """What serves is over in a moment, and a parameter names it."""
    world.sagemaker.tags[f"arn:config/{SERVING}"]["sealift:expires-at"] = NOW.isoformat()
    world.parameters.named["/sealift/sealift/harbour/endpoint"] = SERVING
    world.cloudwatch.describe_alarms = lambda **_: {"MetricAlarms": []}  # type: ignore[method-assign]
    return world


def test_what_has_expired_goes_in_two_looks(expiring: World) -> None:
    """Endpoint and parameter, with a word to the topic; then model and configuration. A leftover stays."""
    expiring.scaling.scale(SERVING)

    assert look(expiring) == [("taken down", "")]
    assert expiring.sagemaker.deleted == [f"target {SERVING}", f"endpoint {SERVING}"]
    assert expiring.parameters.named == {}
    # Its record goes next, and needs no word of what was told.
    assert "sealift:expiry-told" not in expiring.sagemaker.tags[f"arn:config/{SERVING}"]
    (told,) = expiring.published
    assert f"endpoint {SERVING} was taken down" in told
    assert "ENDPOINT_NAME of" in told
    # The fake's list lets it be gone.
    expiring.sagemaker.endpoints.pop(SERVING)
    assert look(expiring) == [("gone", "")]
    assert expiring.names() == {kind: {LEFT} for kind in expiring.names()}
    assert look(expiring) == []
    assert len(expiring.published) == 1


def test_the_end_is_told_once_beforehand_and_what_keeps_it_keeps_it(expiring: World) -> None:
    """An hour before, with who calls it; nothing is deleted. The tag that the notice names ends it."""
    assert look(expiring, NOW - timedelta(hours=1, seconds=1)) == []
    assert look(expiring, NOW - timedelta(hours=1)) == [("soon", "")]
    assert look(expiring, NOW - timedelta(minutes=1)) == []

    (told,) = expiring.published
    assert f"endpoint {SERVING} is taken down in 1 h" in told
    assert "ENDPOINT_NAME of" in told
    keep = f"--resource-arn arn:config/{SERVING} --tags Key=sealift:expires-at,Value=never"
    assert keep in told
    assert expiring.sagemaker.deleted == []
    expiring.sagemaker.tags[f"arn:config/{SERVING}"]["sealift:expires-at"] = "never"
    assert look(expiring) == []


def test_an_end_that_was_moved_is_told_anew(expiring: World) -> None:
    """As where it was deployed again, for longer or for shorter."""
    assert look(expiring, NOW - timedelta(minutes=30)) == [("soon", "")]
    sooner = NOW - timedelta(minutes=10)
    expiring.sagemaker.tags[f"arn:config/{SERVING}"]["sealift:expires-at"] = sooner.isoformat()

    assert look(expiring, NOW - timedelta(minutes=20)) == [("soon", "")]
    assert len(expiring.published) == 2


def test_without_a_topic_nobody_is_told_and_nothing_is_written_down(expiring: World) -> None:
    """A topic that comes later is told then."""
    result = expiring.sweep(only="expired", now=(NOW - timedelta(minutes=30)).isoformat(), topic=None)

    assert [one["outcome"] for one in result["expired"]] == ["soon"]
    assert look(expiring, NOW - timedelta(minutes=15)) == [("soon", "")]


def test_a_notice_that_cannot_be_written_down_is_said_to_come_again(expiring: World) -> None:
    """The task does not fail over it: what else is due is done."""
    expiring.sagemaker.denied.add("AddTags")

    result = expiring.sweep(only="expired", now=(NOW - timedelta(minutes=30)).isoformat())

    assert len(expiring.published) == 1
    assert f"that the topic was told of {SERVING} could not be written" in result["unseen"][0]


def test_what_stays_though_its_time_is_long_over_is_told_once(expiring: World) -> None:
    """It costs money, and each look tries again; a first failure may pass."""
    expiring.sagemaker.denied.add("DeleteEndpoint")

    for minutes, times in ((0, 0), (59, 0), (60, 1), (75, 1), (1440, 1)):
        assert [outcome for outcome, _ in look(expiring, NOW + timedelta(minutes=minutes))] == ["failed"]
        assert len(expiring.published) == times

    (told,) = expiring.published
    assert f"{SERVING} is not gone" in told
    assert "no DeleteEndpoint" in told
    assert "`sealift delete harbour`" in told
    expiring.sagemaker.denied.clear()
    assert look(expiring, NOW + timedelta(days=2)) == [("taken down", "")]


def test_a_record_that_cannot_be_read_is_said_to_be_unseen(expiring: World) -> None:
    """It may be one whose time is over."""
    expiring.sagemaker.denied.add("ListTags")

    result = expiring.sweep(only="expired")

    assert result["expired"] == []
    assert any(f"whether endpoint {SERVING} was deployed for a time" in one for one in result["unseen"])


def test_an_endpoint_that_is_updated_in_place_has_an_end_too(expiring: World) -> None:
    """Its name is the service's, which tells nobody that Sealift made it: its tags do."""
    sagemaker = expiring.sagemaker
    there = sagemaker.endpoints.pop(SERVING)
    sagemaker.endpoints["harbour"] = {
        **there,
        "EndpointName": "harbour",
        "EndpointArn": "arn:endpoint/harbour",
    }
    sagemaker.tags["arn:endpoint/harbour"] = sagemaker.tags.pop(f"arn:endpoint/{SERVING}")
    sagemaker.tags[f"arn:config/{SERVING}"]["sealift:endpoint"] = "harbour"

    assert look(expiring, NOW - timedelta(minutes=30)) == [("soon", "")]
    assert look(expiring) == [("taken down", "")]
    assert sagemaker.deleted == ["endpoint harbour"]


@pytest.mark.parametrize("status", ["Creating", "Updating", "Deleting"])
def test_what_cannot_be_deleted_now_waits(expiring: World, status: str) -> None:
    """And nothing of it is touched meanwhile; nobody is told."""
    expiring.sagemaker.endpoints[SERVING]["EndpointStatus"] = status
    expiring.sagemaker.list_endpoints = lambda **_: {  # type: ignore[method-assign]
        "Endpoints": list(expiring.sagemaker.endpoints.values())
    }

    ((outcome, why),) = look(expiring)

    assert outcome == "waiting"
    assert "endpoint is" in why
    assert expiring.parameters.named
    assert expiring.published == []


def test_a_service_that_is_being_deployed_waits(expiring: World) -> None:
    """Its new deployment may be about to retire what has expired, or to go back to it."""
    body = '{"archive": {"bucket": "b", "key": "models/harbour/model.tar.gz"}, "service": "harbour"}'
    expiring.executions.running[f"{EXECUTION}harbour-9"] = body

    assert look(expiring) == []
    assert expiring.names()["endpoints"] == {LEFT, SERVING}


def test_what_is_not_seen_is_not_taken_for_gone(expiring: World) -> None:
    """Without the list of endpoints nothing is done, and that is told."""
    expiring.sagemaker.denied.add("ListEndpoints")

    result = expiring.sweep(only="expired")

    assert result["expired"] == []
    assert "no ListEndpoints" in result["unseen"][0]
    assert expiring.names()["configs"] == {LEFT, SERVING}


def test_a_denied_deletion_is_told_in_the_result(expiring: World) -> None:
    """The next look tries again."""
    expiring.sagemaker.denied.add("DeleteEndpoint")

    ((outcome, why),) = look(expiring)

    assert outcome == "failed"
    assert "no DeleteEndpoint" in why
    assert expiring.published == []


def test_the_daily_run_takes_down_what_has_expired_too(expiring: World) -> None:
    """Whatever it may delete of what is left over."""
    result = expiring.sweep(delete="false")

    assert [one["outcome"] for one in result["expired"]] == ["taken down"]
    assert expiring.sagemaker.deleted == [f"endpoint {SERVING}"]
