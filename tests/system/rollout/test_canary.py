"""A switch in two steps on the local cloud: the weights while it bakes, and an alarm that puts everything back."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from local_cloud.cloud import CONSUMER
from pipeline.operations.execution_history import Execution
from tests.system.conftest import BEFORE, NOTHING, WAIT_S, Deployments
from tests.system.workflow.test_deployment import settings

BAKE_S = 300


class Live:
    """The consumer's alias, which points to the version that was there before."""

    def __init__(self, deployments: Deployments) -> None:
        self._functions = deployments.cloud.clients.lambda_
        self.version = self._functions.publish_version(FunctionName=CONSUMER)["Version"]
        self._functions.create_alias(FunctionName=CONSUMER, Name="live", FunctionVersion=self.version)

    def routes(self) -> dict[str, Any]:
        """Return where it sends its calls."""
        found = self._functions.get_alias(FunctionName=CONSUMER, Name="live")
        weights = (found.get("RoutingConfig") or {}).get("AdditionalVersionWeights") or {}
        return {"version": found["FunctionVersion"], "weights": weights}

    def versions(self) -> list[str]:
        """Return all versions of the function."""
        listed = self._functions.list_versions_by_function(FunctionName=CONSUMER)["Versions"]
        return [one["Version"] for one in listed]

    def remove(self) -> None:
        """Delete the alias."""
        self._functions.delete_alias(FunctionName=CONSUMER, Name="live")


@pytest.fixture
def live(deployments: Deployments) -> Iterator[Live]:
    """The alias that callers use."""
    alias = Live(deployments)
    yield alias
    alias.remove()


def baked(
    deployments: Deployments, archive: Path, service: str, meanwhile: Callable[[Execution], None]
) -> Execution:
    """Deploy with a canary, do something while it bakes, and return the ended execution."""
    cloud = deployments.cloud
    canary = {"weight": 0.1, "bake_s": BAKE_S}
    document = settings(consumer={**settings()["consumer"], "alias": "live", "canary": canary})
    key = f"models/{service}/model.tar.gz"
    cloud.clients.s3.put_object(
        Bucket=deployments.bucket,
        Key=f"models/{service}/deployment.json",
        Body=json.dumps(document).encode(),
    )
    known = set(deployments.executions())
    cloud.clients.s3.put_object(Bucket=deployments.bucket, Key=key, Body=archive.read_bytes())
    deadline = time.monotonic() + WAIT_S
    while True:
        assert time.monotonic() < deadline, "the canary never began"
        new = [arn for arn in deployments.executions() if arn not in known]
        if new:
            events = cloud.clients.stepfunctions.get_execution_history(executionArn=new[0])["events"]
            names = {
                event["stateEnteredEventDetails"]["name"]: event
                for event in events
                if "stateEnteredEventDetails" in event
            }
            if "BakeConsumer" in names or "DeploymentFailed" in names:
                break
        time.sleep(0.05)
    data = json.loads(names["BakeConsumer"]["stateEnteredEventDetails"]["input"])
    meanwhile(Execution(new[0], "RUNNING", (), data))
    return deployments.ended(new[0])


def test_a_canary_has_its_weight_while_it_bakes(deployments: Deployments, archive: Path, live: Live) -> None:
    """A tenth of the calls first, all of them when no alarm fired; then one version gets everything."""
    seen: list[dict[str, Any]] = []

    ended = baked(deployments, archive, "canary", lambda _execution: seen.append(live.routes()))

    assert ended.status == "SUCCEEDED", ended.cause
    new = ended.results["update_consumer"]["consumers"][0]["version"]
    assert seen == [{"version": live.version, "weights": {new: 0.1}}]
    assert live.routes() == {"version": new, "weights": {}}
    assert ended.results["shift_consumer"]["consumers"][0]["version"] == new
    looks = ended.state("WatchConsumer")
    assert looks is not None
    assert looks.visits == ended.results["shift_consumer"]["looks"] == BAKE_S / 30


def test_an_alarm_while_it_bakes_puts_everything_back(
    deployments: Deployments, archive: Path, live: Live
) -> None:
    """Alias, variable and versions are as they were, and neither the endpoint nor its alarms are left."""
    before, versions = live.routes(), live.versions()

    def ring(execution: Execution) -> None:
        endpoint = execution.results["plan_deployment"]["names"]["endpoint"]
        cloudwatch: Any = deployments.cloud.clients.cloudwatch
        cloudwatch.set_alarm_state(
            AlarmName=f"sealift-{endpoint}-5xx", StateValue="ALARM", StateReason="7 errors in a minute"
        )

    ended = baked(deployments, archive, "ringing", ring)

    assert (ended.status, ended.error) == ("FAILED", "ConsumerFailed")
    assert "7 errors in a minute" in str(ended.cause)
    assert "watch consumer failed" in str(ended.cause)
    assert live.routes() == before
    assert live.versions() == versions
    assert deployments.consumer_variables() == BEFORE
    assert deployments.resources() == NOTHING
    assert deployments.cloud.clients.cloudwatch.describe_alarms()["MetricAlarms"] == []


def test_a_canary_without_an_alias_is_refused_at_once(deployments: Deployments, archive: Path) -> None:
    """The first state says that only an alias divides calls; nothing was made."""
    consumer = {**settings()["consumer"], "canary": {"weight": 0.5}}

    ended = deployments.upload(archive, "no-alias", settings(consumer=consumer))

    assert (ended.status, ended.error) == ("FAILED", "InvalidInput")
    assert "consumer.canary without consumer.alias" in str(ended.cause)
    assert ended.state("PlanDeployment") is None
