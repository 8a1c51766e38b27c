"""RetirePrevious against a SageMaker that keeps state: what stays, what goes, and what is left to be told."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
from botocore.exceptions import ClientError

from pipeline.errors import EndpointBusy
from pipeline.planning import alarms, metrics
from pipeline.rollout import alarms_api, metric_filters_api
from tests.foreign import HOSTILE, unfit
from tests.paginated import Paginated
from tests.plans import a_consumer, a_plan

if TYPE_CHECKING:
    from tests.functional.tasks.conftest import MotoConsumer, Task

BEGAN = datetime(2026, 1, 2, 3, 4, 0, tzinfo=UTC)
EXECUTION = "arn:aws:states:us-east-1:123456789012:execution:sealift-deployment:"
NOW = "2026-01-02T04:00:00.000Z"


class SageMaker(Paginated):
    """Endpoints, configurations, models and their tags; an endpoint that is deleted is gone at the second look."""

    def __init__(self) -> None:
        self.endpoints: dict[str, dict[str, Any]] = {}
        self.configs: dict[str, dict[str, Any]] = {}
        self.models: dict[str, dict[str, Any]] = {}
        self.tags: dict[str, dict[str, str]] = {}
        self.denied: set[str] = set()
        self.words = ""
        """Behind what is said of a denial."""
        self.deleted: list[str] = []

    def deploy(self, number: int, *, good: bool = True, model: str | None = None) -> str:
        """Make a deployment of the service, the number being its age; return its name."""
        name = f"harbour-{number}"
        when = BEGAN + timedelta(seconds=number)
        tags = {
            "sealift:service": "harbour",
            "sealift:execution": f"{EXECUTION}{number}",
            "sealift:uploaded-at": when.strftime("%Y-%m-%dT%H:%M:%SZ"),
        }
        variants = [{"VariantName": "AllTraffic", "ModelName": model or name}]
        self.models[name] = {"ModelName": name, "ModelArn": f"arn:model/{name}"}
        self.configs[name] = {
            "EndpointConfigName": name,
            "EndpointConfigArn": f"arn:config/{name}",
            "CreationTime": when,
            "ProductionVariants": variants,
        }
        self.endpoints[name] = {
            "EndpointName": name,
            "EndpointArn": f"arn:endpoint/{name}",
            "EndpointConfigName": name,
            "EndpointStatus": "InService",
        }
        deployed = {"sealift:deployed-at": tags["sealift:uploaded-at"], "sealift:endpoint": name}
        self.tags |= {f"arn:model/{name}": dict(tags), f"arn:endpoint/{name}": dict(tags)}
        self.tags[f"arn:config/{name}"] = tags | (deployed if good else {})
        return name

    def _find(self, rows: dict[str, dict[str, Any]], name: str) -> dict[str, Any]:
        if name not in rows:
            told = {"Error": {"Code": "ValidationException", "Message": f'Could not find "{name}".'}}
            raise ClientError(told, "Describe")  # type: ignore[arg-type]
        return rows[name]

    def _allow(self, operation: str) -> None:
        if operation in self.denied:
            told = {"Error": {"Code": "AccessDeniedException", "Message": f"no {operation}{self.words}"}}
            raise ClientError(told, operation)  # type: ignore[arg-type]

    def list_endpoints(self, **_: Any) -> dict[str, Any]:
        """Return all of them, and let what is being deleted be gone."""
        rows = list(self.endpoints.values())
        for row in rows:
            if row["EndpointStatus"] == "Deleting":
                del self.endpoints[row["EndpointName"]]
        return {"Endpoints": [row for row in rows if row["EndpointName"] in self.endpoints]}

    def list_endpoint_configs(self, **_: Any) -> dict[str, Any]:
        """Return all of them."""
        return {"EndpointConfigs": list(self.configs.values())}

    def describe_endpoint(self, *, EndpointName: str) -> dict[str, Any]:  # noqa: N803 boto3's name
        """Return one."""
        return self._find(self.endpoints, EndpointName)

    def describe_endpoint_config(self, *, EndpointConfigName: str) -> dict[str, Any]:  # noqa: N803 boto3's name
        """Return one."""
        return self._find(self.configs, EndpointConfigName)

    def describe_model(self, *, ModelName: str) -> dict[str, Any]:  # noqa: N803 boto3's name
        """Return one."""
        return self._find(self.models, ModelName)

    def list_tags(self, *, ResourceArn: str) -> dict[str, Any]:  # noqa: N803 boto3's name
        """Return the tags of one."""
        self._allow("ListTags")
        return {"Tags": [{"Key": key, "Value": value} for key, value in self.tags[ResourceArn].items()]}

    def add_tags(self, *, ResourceArn: str, Tags: list[dict[str, str]]) -> None:  # noqa: N803 boto3's names
        """Add tags."""
        self._allow("AddTags")
        self.tags[ResourceArn] |= {tag["Key"]: tag["Value"] for tag in Tags}

    def delete_endpoint(self, *, EndpointName: str) -> None:  # noqa: N803 boto3's name
        """Begin to delete."""
        self._allow("DeleteEndpoint")
        self.deleted.append(f"endpoint {EndpointName}")
        self.endpoints[EndpointName]["EndpointStatus"] = "Deleting"

    def delete_endpoint_config(self, *, EndpointConfigName: str) -> None:  # noqa: N803 boto3's name
        """Delete."""
        assert all(row["EndpointConfigName"] != EndpointConfigName for row in self.endpoints.values())
        del self.configs[EndpointConfigName]

    def delete_model(self, *, ModelName: str) -> None:  # noqa: N803 boto3's name
        """Delete."""
        del self.models[ModelName]


class AutoScaling:
    """Scalable targets; what is deregistered is noted among what SageMaker deletes."""

    def __init__(self, sagemaker: SageMaker) -> None:
        self._sagemaker = sagemaker
        self.there: set[str] = set()

    def scale(self, name: str) -> None:
        """Let an endpoint be scaled, and its deployment's tags say so."""
        self.there.add(f"endpoint/{name}/variant/AllTraffic")
        for kind in ("config", "endpoint"):
            self._sagemaker.tags[f"arn:{kind}/{name}"]["sealift:auto-scaling"] = "1-4"

    def deregister_scalable_target(self, **request: str) -> None:
        """Deregister one that is there."""
        self._sagemaker.deleted.append(f"target {request['ResourceId'].split('/')[1]}")
        if request["ResourceId"] not in self.there:
            told = {"Error": {"Code": "ObjectNotFoundException", "Message": "No scalable target found"}}
            raise ClientError(told, "DeregisterScalableTarget")  # type: ignore[arg-type]
        self.there.remove(request["ResourceId"])


class Executions:
    """Step Functions, which knows of some executions that they are running, and of one nothing."""

    def __init__(self) -> None:
        self.running: set[str] = set()
        self.denied = False

    def describe_execution(self, *, executionArn: str) -> dict[str, str]:  # noqa: N803 boto3's name
        """Return the status."""
        if self.denied:
            raise ClientError({"Error": {"Code": "AccessDeniedException", "Message": "no"}}, "Describe")
        if executionArn == f"{EXECUTION}0":
            raise ClientError({"Error": {"Code": "ExecutionDoesNotExist", "Message": "gone"}}, "Describe")
        return {"status": "RUNNING" if executionArn in self.running else "SUCCEEDED"}


class Account:
    """All that the task sees."""

    def __init__(self, do: Task, consumer: MotoConsumer) -> None:
        self.sagemaker, self.executions, self.consumer = SageMaker(), Executions(), consumer
        self.cloudwatch, self.logs = consumer.clients.cloudwatch, consumer.clients.logs
        self.scaling = AutoScaling(self.sagemaker)
        self._do = do
        self.clients: Any = SimpleNamespace(
            sagemaker=self.sagemaker,
            stepfunctions=self.executions,
            lambda_=consumer,
            cloudwatch=self.cloudwatch,
            logs=self.logs,
            autoscaling=self.scaling,
            ssm=consumer.clients.ssm,
        )

    def retire(self, own: str, keep: int = 1, **more: Any) -> dict[str, Any]:
        """Run the task until it has nothing to wait for."""
        plan = a_plan(
            execution=self.sagemaker.tags[f"arn:config/{own}"]["sealift:execution"],
            names={"endpoint": own, "endpoint_config": own, "model": own},
            consumers=[a_consumer()],
            keep_previous=keep,
            **more,
        )
        for _ in range(5):
            try:
                return self._do("RetirePrevious", self.clients, plan=plan, now=NOW)
            except EndpointBusy:
                continue
        raise AssertionError("never done")


@pytest.fixture
def account(do: Task, moto_consumer: MotoConsumer) -> Account:
    """An account with a consumer."""
    return Account(do, moto_consumer)


def test_the_deployment_is_marked_as_good(account: Account) -> None:
    """When, where, and by whom it is called."""
    own = account.sagemaker.deploy(3, good=False)

    assert account.retire(own)["told"] == "nothing to retire"
    tags = account.sagemaker.tags[f"arn:config/{own}"]
    assert tags["sealift:deployed-at"] == NOW
    assert tags["sealift:endpoint"] == own
    assert tags["sealift:consumer"] == "assistant ENDPOINT_NAME"


@pytest.mark.parametrize(
    ("hours", "at"),
    [
        pytest.param(None, None, id="for good"),
        pytest.param(8, "2026-01-02T12:00:00.000Z", id="hours"),
        pytest.param(0.25, "2026-01-02T04:15:00.000Z", id="a quarter of one"),
    ],
)
def test_the_record_says_when_the_deployment_goes(
    account: Account, hours: float | None, at: str | None
) -> None:
    """From its success on; the output and the notification say it too."""
    own = account.sagemaker.deploy(3, good=False)

    result = account.retire(own, expires_after_h=hours)

    assert result["expires_at"] == at
    assert account.sagemaker.tags[f"arn:config/{own}"]["sealift:expires-at"] == (at or "never")
    assert (f"taken down by itself at {at}" in result["told"]) is (at is not None)


def test_what_goes_goes_whole(account: Account) -> None:
    """Endpoint, alarms, metric filters, model and configuration; the last one stays."""
    oldest, last, own = (account.sagemaker.deploy(n) for n in (1, 2, 3))
    for name in (oldest, last):
        requests = alarms.requests(name, "AllTraffic", timeout_s=60, topic="arn:aws:sns:t", tags=[])
        alarms_api.put(account.cloudwatch, requests)
        metric_filters_api.put(account.logs, metrics.requests(name, "columns"))

    result = account.retire(own)

    assert (result["retired"], result["kept"], result["not_retired"]) == ([oldest], [last], [])
    for rows in (account.sagemaker.endpoints, account.sagemaker.configs, account.sagemaker.models):
        assert sorted(rows) == [last, own]
    assert set(account.cloudwatch.alarms) == {one["name"] for one in alarms.summaries(last, 60)}
    assert {group for group, _ in account.logs.filters} == {f"/aws/sagemaker/Endpoints/{last}"}


def test_what_scales_is_deregistered_before_it_goes(account: Account) -> None:
    """Even while it scales, when it cannot be deleted yet; nothing is asked for one that does not scale."""
    plain, scaled, own = (account.sagemaker.deploy(n) for n in (1, 2, 3))
    account.scaling.scale(scaled)
    account.scaling.scale(own)
    account.sagemaker.endpoints[scaled]["EndpointStatus"] = "Updating"

    with pytest.raises(AssertionError, match="never done"):
        account.retire(own, keep=0)
    assert account.scaling.there == {f"endpoint/{own}/variant/AllTraffic"}
    account.sagemaker.endpoints[scaled]["EndpointStatus"] = "InService"

    assert account.retire(own, keep=0)["retired"] == [scaled, plain]
    deleted = account.sagemaker.deleted
    assert [one for one in deleted if one.startswith("endpoint")] == [
        f"endpoint {plain}",
        f"endpoint {scaled}",
    ]
    assert {one for one in deleted if one.startswith("target")} == {f"target {scaled}"}
    assert deleted.index(f"target {scaled}") < deleted.index(f"endpoint {scaled}")


def test_what_has_no_endpoint_is_told_after_a_wait_too(account: Account) -> None:
    """One retired deployment shares its endpoint with a later one, whose end takes a second try."""
    shared, last, own = (account.sagemaker.deploy(n) for n in (1, 2, 3))
    del account.sagemaker.endpoints[shared]
    account.sagemaker.tags[f"arn:config/{shared}"]["sealift:endpoint"] = last

    assert sorted(account.retire(own, keep=0)["retired"]) == [shared, last]


def test_a_try_that_was_cut_short_goes_on(account: Account) -> None:
    """The endpoint and the model are gone already; the configuration, which bears the tags, is not."""
    oldest, _, own = (account.sagemaker.deploy(n) for n in (0, 2, 3))
    del account.sagemaker.endpoints[oldest], account.sagemaker.models[oldest]

    assert account.retire(own)["retired"] == [oldest]
    assert oldest not in account.sagemaker.configs


@pytest.mark.parametrize("where", ["$LATEST", "another variable", "an alias"])
def test_what_the_consumer_names_stays(account: Account, where: str) -> None:
    """In whatever variable, of whatever version that calls may reach."""
    oldest, _, own = (account.sagemaker.deploy(n) for n in (1, 2, 3))
    name = "FALLBACK" if where == "another variable" else "ENDPOINT_NAME"
    account.consumer.set({name: oldest})
    if where == "an alias":
        version = account.consumer.publish_version(FunctionName="assistant")["Version"]
        account.consumer.update_alias(FunctionName="assistant", Name="live", FunctionVersion=version)
        account.consumer.set({name: own})

    (told,) = account.retire(own)["not_retired"]

    assert told.startswith(f"{oldest}: {name} of assistant")
    assert oldest in account.sagemaker.endpoints


@pytest.mark.parametrize(
    "denied", [pytest.param(False, id="running"), pytest.param(True, id="not to be seen")]
)
def test_what_an_execution_is_still_at_work_on_stays(account: Account, denied: bool) -> None:
    """And what nobody can tell of."""
    oldest, _, own = (account.sagemaker.deploy(n) for n in (1, 2, 3))
    account.executions.running, account.executions.denied = {f"{EXECUTION}1"}, denied

    (told,) = account.retire(own)["not_retired"]

    assert told.startswith(f"{oldest}: execution {EXECUTION}1 ")
    assert oldest in account.sagemaker.endpoints


def test_a_configuration_that_another_endpoint_has_stays(account: Account) -> None:
    """Somebody made an endpoint of their own with it."""
    oldest, _, own = (account.sagemaker.deploy(n) for n in (1, 2, 3))
    account.sagemaker.endpoints["theirs"] = {
        "EndpointName": "theirs",
        "EndpointConfigName": oldest,
        "EndpointStatus": "InService",
    }

    assert account.retire(own)["not_retired"] == [f"{oldest}: endpoint theirs has it"]


def test_a_model_that_another_configuration_names_stays(account: Account) -> None:
    """The rest of the deployment goes."""
    oldest, last = account.sagemaker.deploy(1), account.sagemaker.deploy(2, model="harbour-1")
    own = account.sagemaker.deploy(3)

    assert account.retire(own)["retired"] == [oldest]
    assert sorted(account.sagemaker.models) == [oldest, last, own]


def test_the_models_of_a_pools_types_go_with_their_deployment(account: Account) -> None:
    """All that the configuration names; one that another configuration names for a type stays."""
    oldest, last, own = (account.sagemaker.deploy(n) for n in (1, 2, 3))
    for name in ("shared", "alone"):
        account.sagemaker.models[name] = {"ModelName": name, "ModelArn": f"arn:model/{name}"}
        account.sagemaker.tags[f"arn:model/{name}"] = dict(account.sagemaker.tags[f"arn:model/{oldest}"])

    def pooled(name: str, *models: str) -> None:
        (variant,) = account.sagemaker.configs[name]["ProductionVariants"]
        variant["InstancePools"] = [
            {"InstanceType": f"ml.c5.{n}xlarge", "Priority": n, "ModelNameOverride": model}
            for n, model in enumerate(models, start=1)
        ]

    pooled(oldest, "shared", "alone")
    pooled(last, "shared")

    assert account.retire(own)["retired"] == [oldest]
    assert sorted(account.sagemaker.models) == [last, own, "shared"]


@pytest.mark.parametrize("theirs", [False, True], ids=["ours", "another service's"])
def test_a_model_that_the_configuration_does_not_name_goes(account: Account, *, theirs: bool) -> None:
    """It was made for a type that a quota might have led to, or that left: nobody would find it later."""
    own = account.sagemaker.deploy(3)
    spare = f"{own}-0a1b2c"
    account.sagemaker.models[spare] = {"ModelName": spare, "ModelArn": f"arn:model/{spare}"}
    account.sagemaker.tags[f"arn:model/{spare}"] = dict(account.sagemaker.tags[f"arn:model/{own}"])
    if theirs:
        account.sagemaker.tags[f"arn:model/{spare}"]["sealift:service"] = "other"
    requests = a_plan(names={"model": own, "endpoint": own, "endpoint_config": own})["requests"]
    pool = [
        {"InstanceType": "ml.c5.large", "Priority": 1},
        {"InstanceType": "ml.m5.large", "Priority": 2, "ModelNameOverride": f"{own}-named"},
    ]
    others = [{"ModelName": name, "PrimaryContainer": {}} for name in (spare, f"{own}-named", f"{own}-gone")]
    account.sagemaker.models[f"{own}-named"] = {}
    config = {"ProductionVariants": [{"ModelName": own, "InstancePools": pool}]}

    account.retire(own, requests={**requests, "other_models": others, "create_endpoint_config": config})

    assert sorted(account.sagemaker.models) == sorted([own, f"{own}-named", *([spare] if theirs else [])])


def test_what_may_not_be_deleted_is_told(account: Account) -> None:
    """A good deployment does not fail over it."""
    oldest, _, own = (account.sagemaker.deploy(n) for n in (1, 2, 3))
    account.sagemaker.denied = {"DeleteEndpoint"}

    result = account.retire(own)

    assert result["not_retired"] == [f"{oldest}: no DeleteEndpoint"]
    assert f"NOT retired: {oldest}" in result["told"]


def test_another_services_deployment_is_not_looked_at_twice(account: Account) -> None:
    """A name that begins the same is not enough."""
    other = account.sagemaker.deploy(1)
    account.sagemaker.tags[f"arn:config/{other}"]["sealift:service"] = "harbour-1"
    own = account.sagemaker.deploy(3)

    assert account.retire(own, keep=0)["retired"] == []
    assert other in account.sagemaker.endpoints


def test_what_a_notification_says_of_it_is_plain(account: Account) -> None:
    """AWS's words are whatever they are; the notification of a success ends with them."""
    for number in (1, 2, 3):
        own = account.sagemaker.deploy(number)
    account.sagemaker.denied, account.sagemaker.words = {"DeleteEndpoint"}, HOSTILE

    told = account.retire(own)["told"]

    assert "no DeleteEndpointa\\x1b" in told
    assert unfit(told) == set()
    assert "\n" not in told
