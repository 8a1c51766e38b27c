"""How many calls the commands that read the account make, of an account that is not Sealift's alone."""

from __future__ import annotations

import json
from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from botocore.exceptions import ClientError
from moto import mock_aws

from pipeline.aws.clients import Clients
from pipeline.operations import account_scan, service_status, sweeping, teardown
from pipeline.operations.account import MadeKind
from pipeline.operations.account_scan import Scope
from pipeline.planning import alarms
from pipeline.stack.bundles import code_of

if TYPE_CHECKING:
    from collections.abc import Iterator

MACHINE = "arn:aws:states:us-east-1:123456789012:stateMachine:sealift-deployment"
ROLE = "arn:aws:iam::123456789012:role/workflow"
FOREIGN = 20
"""Endpoints of somebody else's, each with a configuration and a model of its own."""
DEPLOYMENTS = {"harbour": ("00000000000a", "00000000000b"), "quay": ("00000000000c",)}


def _tagged(tags: dict[str, str]) -> list[dict[str, str]]:
    return [{"Key": key, "Value": value} for key, value in tags.items()]


def _make(clients: Clients, name: str, tags: dict[str, str], marks: dict[str, str]) -> None:
    sagemaker: Any = clients.sagemaker
    container = {"Image": "i", "ModelDataUrl": f"s3://artifacts/archives/{name}/model.tar.gz"}
    sagemaker.create_model(
        ModelName=name, PrimaryContainer=container, ExecutionRoleArn=ROLE, Tags=_tagged(tags)
    )
    variant = {"VariantName": "AllTraffic", "ModelName": name}
    sagemaker.create_endpoint_config(
        EndpointConfigName=name,
        ProductionVariants=[{**variant, "InstanceType": "ml.m5.large", "InitialInstanceCount": 1}],
        Tags=_tagged(tags | marks),
    )
    sagemaker.create_endpoint(EndpointName=name, EndpointConfigName=name, Tags=_tagged(tags))


def _deploy(clients: Clients, service: str, identity: str) -> None:
    """Make what a good deployment leaves: its execution, model, configuration, endpoint and alarms."""
    name = f"{service}-{identity}"
    archive = {"archive": {"bucket": "uploads", "key": f"models/{service}/model.tar.gz", "version_id": "v"}}
    execution = clients.stepfunctions.start_execution(
        stateMachineArn=MACHINE, name=name, input=json.dumps(archive)
    )["executionArn"]
    clients.stepfunctions.stop_execution(executionArn=execution)
    tags = {
        "sealift:service": service,
        "sealift:execution": execution,
        "sealift:archive": f"uploads/models/{service}/model.tar.gz",
        "sealift:uploaded-at": "2026-01-02T03:04:05Z",
        "sealift:consumer": "assistant ENDPOINT_NAME",
        "sealift:consumers": "1",
    }
    marks = {"sealift:deployed-at": "2026-01-02T03:14:05Z", "sealift:endpoint": name}
    _make(clients, name, tags, {**marks, "sealift:keep-previous": "1"})
    for alarm in alarms.names(name):
        clients.cloudwatch.put_metric_alarm(
            AlarmName=alarm,
            MetricName="Errors",
            Namespace="AWS/SageMaker",
            Statistic="Sum",
            Period=60,
            EvaluationPeriods=1,
            Threshold=1,
            ComparisonOperator="GreaterThanThreshold",
            Tags=_tagged(tags),
        )


@pytest.fixture
def clients() -> Iterator[Clients]:
    """An account with two services of Sealift's, one of them deployed twice, among what is somebody else's."""
    with mock_aws():
        own = Clients(region="us-east-1")
        own.stepfunctions.create_state_machine(
            name="sealift-deployment",
            definition=json.dumps({"StartAt": "Done", "States": {"Done": {"Type": "Succeed"}}}),
            roleArn=ROLE,
        )
        for bucket in ("uploads", "artifacts"):
            own.s3.create_bucket(Bucket=bucket)
        role = own.iam.create_role(RoleName="consumer", AssumeRolePolicyDocument="{}")["Role"]["Arn"]
        own.lambda_.create_function(
            FunctionName="assistant",
            Runtime="python3.13",
            Role=role,
            Handler="consumer.handler",
            Code={"ZipFile": code_of({"consumer.py": b""}).body},
            Environment={"Variables": {"ENDPOINT_NAME": "quay-00000000000c"}},
        )
        for service, identities in DEPLOYMENTS.items():
            for identity in identities:
                _deploy(own, service, identity)
        for number in range(FOREIGN):
            _make(own, f"theirs{number}", {}, {})
        yield own


class Calls:
    """The calls of clients from now on; some of them are denied."""

    def __init__(self, clients: Clients, denied: str = "") -> None:
        self.made: Counter[str] = Counter()
        self._denied = denied
        for name in ("sagemaker", "lambda_", "cloudwatch", "stepfunctions", "s3", "sts", "cloudformation"):
            events = getattr(clients, name).meta.events
            events.register("provide-client-params", self._count)
            events.register("before-call", self._deny)

    def _count(self, params: dict[str, Any], model: Any, **_more: Any) -> None:
        self.made[f"{model.name} {json.dumps(params, sort_keys=True)}"] += 1

    def _deny(self, model: Any, **_more: Any) -> None:
        if model.name == self._denied:
            told = {"Error": {"Code": "AccessDeniedException", "Message": f"no {model.name}"}}
            raise ClientError(told, model.name)  # type: ignore[arg-type]

    def of(self, operation: str = "") -> int:
        """Return how many of one operation there were, or of all."""
        return sum(count for call, count in self.made.items() if call.startswith(operation))


def status(clients: Clients) -> None:
    """Read what `sealift status` shows."""
    service_status.read(clients, stack=None, service=None)


def status_of_one(clients: Clients) -> None:
    """Read what `sealift status harbour` shows."""
    service_status.read(clients, stack="sealift", service="harbour")


def sweep(clients: Clients) -> None:
    """Read what `sealift sweep --stack sealift` judges."""
    sweeping.once(
        clients,
        now=datetime.now(UTC),
        grace=timedelta(hours=24),
        delete=False,
        stack="sealift",
        bucket="artifacts",
    )


def destroy(clients: Clients) -> None:
    """Read what `sealift destroy` would take away."""
    teardown.plan_teardown(clients, "sealift", archives=False)


@pytest.mark.parametrize("command", [status, status_of_one, sweep, destroy])
def test_no_request_is_made_twice(clients: Clients, command: Any) -> None:
    """Whatever is known already is not asked for again."""
    calls = Calls(clients)

    command(clients)

    assert calls.made
    assert {call: count for call, count in calls.made.items() if count > 1} == {}


@pytest.mark.parametrize("command", [status, status_of_one, destroy])
def test_what_is_not_sealifts_costs_no_call(clients: Clients, command: Any) -> None:
    """It is known by its name; only its lists are read."""
    calls = Calls(clients)
    command(clients)
    before = calls.of()
    for number in range(FOREIGN):
        _make(clients, f"more{number}", {}, {})
    calls.made.clear()
    command(clients)

    assert calls.of() == before > 0


def test_the_sweeper_describes_all_that_may_use_what_is_sealifts(clients: Clients) -> None:
    """Somebody else's endpoint may have a configuration of ours, and theirs a model, and that an archive."""
    calls = Calls(clients)

    sweep(clients)

    ours = sum(map(len, DEPLOYMENTS.values()))
    described = [calls.of(f"Describe{kind} ") for kind in ("Endpoint", "EndpointConfig", "Model")]
    assert described == [ours + FOREIGN] * 3
    assert calls.of("ListTags ") == 3 * ours
    # The alarms of an endpoint that is there go with it, whosever they are.
    assert calls.of("ListTagsForResource ") == 0


@pytest.mark.parametrize(
    "operation",
    [
        "ListEndpoints",
        "ListTags",
        "DescribeEndpoint",
        "ListEndpointConfigs",
        "DescribeEndpointConfig",
        "ListStateMachines",
        "ListExecutions",
        "DescribeAlarms",
        "GetFunctionConfiguration",
    ],
)
def test_a_status_tells_what_may_not_be_read(clients: Clients, operation: str) -> None:
    """And shows the rest of it."""
    Calls(clients, denied=operation)

    facts = service_status.read(clients, stack=None, service=None)
    calls = [call for each in facts.calls.values() for call in each]

    told = [*facts.unseen, *(call.unread for call in calls)]
    assert any(f"no {operation}" in one for one in told), told
    assert facts.endpoints or operation in {"ListEndpoints", "ListTags", "DescribeEndpoint"}


def test_an_endpoint_without_a_record_is_still_its_services_own(clients: Clients) -> None:
    """Its configuration is gone; who calls it calls no other service."""
    name = "harbour-00000000000b"
    clients.lambda_.update_function_configuration(
        FunctionName="assistant", Environment={"Variables": {"ENDPOINT_NAME": name}}
    )
    clients.sagemaker.delete_endpoint_config(EndpointConfigName=name)

    facts = service_status.read(clients, stack=None, service=None)

    assert [(call.endpoint, call.other) for call in facts.calls["harbour"]] == [(name, "")]
    assert [call.other for call in facts.calls["quay"]] == ["harbour"]


def test_a_status_of_one_service_reads_no_other(clients: Clients) -> None:
    """Whose name begins alike is told apart by its tags; whose name only has it within is not asked for them."""
    _deploy(clients, "harbour-east", "00000000000d")
    _deploy(clients, "old-harbour", "00000000000e")
    calls = Calls(clients)

    facts = service_status.read(clients, stack=None, service="harbour")

    assert {one.service for one in facts.endpoints} == facts.releases.keys() == {"harbour"}
    asked = [call for call in calls.made if call.startswith("ListTags ")]
    assert any("harbour-east" in call for call in asked)
    assert not any("old-harbour" in call for call in asked)


def test_another_stacks_deployments_are_not_shown(clients: Clients) -> None:
    """Its own has none."""
    client = clients.stepfunctions
    definition = client.describe_state_machine(stateMachineArn=MACHINE)["definition"]
    client.create_state_machine(name="two-deployment", definition=definition, roleArn=ROLE)

    facts = service_status.read(clients, stack="two", service=None)

    assert (facts.endpoints, facts.releases) == ((), {})


@pytest.mark.parametrize(("command", "order"), [(status, "Descending"), (sweep, "Ascending")])
def test_status_begins_with_the_newest_and_the_sweeper_with_the_oldest(
    clients: Clients, command: Any, order: str
) -> None:
    """Where there are more than are read, what serves is among the newest, and what was left among the oldest."""
    calls = Calls(clients)

    command(clients)

    listed = [call for call in calls.made if call.startswith(("ListEndpoint", "ListModels"))]
    assert len(listed) >= 2
    assert all(f'"SortOrder": "{order}"' in call for call in listed)


def test_a_scan_is_bounded_and_says_so(clients: Clients) -> None:
    """Of each kind as many as the scope has, and that there are more."""
    account = account_scan.scan(clients, Scope(most=2))

    assert (len(account.endpoints), len(account.configs), len(account.models)) == (2, 2, 2)
    assert account.unseen[MadeKind.ENDPOINT] == "there are more than 2 of this kind in the account: endpoint"
    assert {MadeKind.ENDPOINT, MadeKind.CONFIG, MadeKind.MODEL} <= account.unseen.keys()
    assert account_scan.scan(clients, Scope()).unseen == {}


def test_what_a_service_is_called_by_is_known_from_the_scan(clients: Clients) -> None:
    """The consumer of `harbour` calls an endpoint of `quay`."""
    facts = service_status.read(clients, stack=None, service=None)

    assert {service: [call.other for call in calls] for service, calls in facts.calls.items()} == {
        "harbour": ["quay"],
        "quay": [""],
    }
    assert {one.name for one in facts.endpoints} == {
        f"{service}-{identity}" for service, identities in DEPLOYMENTS.items() for identity in identities
    }


def test_an_endpoint_that_goes_while_it_is_looked_at_is_gone(clients: Clients) -> None:
    """It was listed, and had no tags a moment later: its deployment has none any more, and its alarms are left."""
    gone = "quay-00000000000c"

    def deleted(params: dict[str, Any], model: Any, **_more: Any) -> None:
        if model.name == "ListTags" and params["ResourceArn"].endswith(f":endpoint/{gone}"):
            told = {"Error": {"Code": "ValidationException", "Message": f'Could not find endpoint "{gone}".'}}
            raise ClientError(told, model.name)  # type: ignore[arg-type]

    clients.sagemaker.meta.events.register("provide-client-params", deleted)

    scope = Scope(kinds=frozenset({MadeKind.ENDPOINT, MadeKind.ALARM}), users=False, described=True)
    account = account_scan.scan(clients, scope)

    (quay,) = account.releases["quay"]
    assert (quay.status, quay.serves) == (None, False)
    assert {one.name for one in account.made if one.kind is MadeKind.ENDPOINT} == {
        "harbour-00000000000a",
        "harbour-00000000000b",
    }
    assert {one.name for one in account.made if one.kind is MadeKind.ALARM} == set(alarms.names(gone))
