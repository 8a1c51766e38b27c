"""A service with two consumers on the local cloud: one by its alias and in two steps, the other one plain."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from local_cloud.cloud import CONSUMER
from pipeline import package_files
from pipeline.stack import bundles
from tests.system.cli.test_command_line import sealift
from tests.system.conftest import BEFORE, NOTHING, Deployments
from tests.system.rollout.test_canary import Live
from tests.system.rollout.test_capacity import endpoint_of
from tests.system.workflow.test_deployment import settings

SECOND = f"{CONSUMER}-reports"


class Two:
    """Both consumers."""

    def __init__(self, deployments: Deployments) -> None:
        self._functions = deployments.cloud.clients.lambda_
        self.live = Live(deployments)
        found = self._functions.get_function_configuration(FunctionName=CONSUMER)
        handler = (package_files.consumer() / "handler.py").read_bytes()
        self._functions.create_function(
            FunctionName=SECOND,
            Runtime="python3.13",
            Role=found["Role"],
            Handler="handler.handler",
            Code={"ZipFile": bundles.code_of({"handler.py": handler}).body},
            Timeout=120,
            MemorySize=256,
            Environment={"Variables": BEFORE},
        )

    def variables(self) -> list[dict[str, str]]:
        """Return those of both."""
        found = (self._functions.get_function_configuration(FunctionName=one) for one in (CONSUMER, SECOND))
        return [dict(one["Environment"]["Variables"]) for one in found]

    def change(self, endpoint: str) -> None:
        """Switch the second one by hand."""
        self._functions.update_function_configuration(
            FunctionName=SECOND, Environment={"Variables": {**BEFORE, "ENDPOINT_NAME": endpoint}}
        )

    def remove(self) -> None:
        """Delete what was made."""
        self.live.remove()
        self._functions.delete_function(FunctionName=SECOND)


@pytest.fixture
def two(deployments: Deployments) -> Iterator[Two]:
    """The consumers of a service."""
    both = Two(deployments)
    yield both
    both.remove()


def asked(**second: Any) -> dict[str, Any]:
    """Return settings that name both."""
    one = settings()["consumer"]
    canary = {"weight": 0.1, "bake_s": 60}
    first = {**one, "alias": "live", "canary": canary}
    return settings(consumer=[first, {**one, "function_name": SECOND, **second}])


def test_both_are_switched_and_go_back_together(
    deployments: Deployments, archive: Path, two: Two, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each was asked; `sealift rollback` moves both, and names the one that somebody's hand has moved."""
    monkeypatch.setenv("AWS_ENDPOINT_URL", deployments.cloud.url)
    first = deployments.upload(archive, "pair", asked())

    assert first.status == "SUCCEEDED", first.cause
    switched = first.results["update_consumer"]["consumers"]
    assert [one["function_name"] for one in switched] == [CONSUMER, SECOND]
    assert {one["answer"]["endpoint_name"] for one in switched} == {endpoint_of(first)}
    assert two.variables() == [{**BEFORE, "ENDPOINT_NAME": endpoint_of(first)}] * 2
    assert two.live.routes() == {"version": switched[0]["version"], "weights": {}}

    second = deployments.upload(archive, "pair", asked())
    done = sealift("rollback", "pair", "--json")

    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout)
    assert document["consumers"] == [f"ENDPOINT_NAME of {CONSUMER}", f"ENDPOINT_NAME of {SECOND}"]
    assert (document["to"], document["not_moved"]) == (endpoint_of(first), [])
    assert two.variables() == [{**BEFORE, "ENDPOINT_NAME": endpoint_of(first)}] * 2

    third = deployments.upload(archive, "pair", asked())
    assert third.results["retire_previous"]["retired"] == [endpoint_of(second)]
    two.change("by-hand")
    half = sealift("rollback", "pair")

    assert half.returncode == 1
    assert (
        f"switched  ENDPOINT_NAME of {CONSUMER}: {endpoint_of(third)} -> {endpoint_of(first)}" in half.stdout
    )
    assert f"NOT moved ENDPOINT_NAME of {SECOND}: " in half.stdout
    assert [one["ENDPOINT_NAME"] for one in two.variables()] == [endpoint_of(first), "by-hand"]


def test_a_second_one_that_fails_puts_the_first_back(
    deployments: Deployments, archive: Path, two: Two
) -> None:
    """The first one had been tried, baked and moved; alias, versions and variables are as they were."""
    before, versions = two.live.routes(), two.live.versions()

    ended = deployments.upload(archive, "unequal", asked(expect={"contains": "submarine"}))

    assert (ended.status, ended.error) == ("FAILED", "ConsumerFailed")
    assert SECOND in str(ended.cause)
    assert ended.state("WatchConsumer") is not None
    assert two.variables() == [BEFORE, BEFORE]
    assert (two.live.routes(), two.live.versions()) == (before, versions)
    assert deployments.resources() == NOTHING


def test_null_takes_the_stacks_consumer_away(deployments: Deployments, archive: Path) -> None:
    """The stack names one, and the deployment ends well without touching it; the service's parameter is set."""
    ended = deployments.upload(archive, "alone", settings(consumer=None))

    assert ended.status == "SUCCEEDED", ended.cause
    assert ended.results["update_consumer"]["consumers"] == []
    assert ended.results["update_consumer"]["parameter"] == "/sealift/sealift/alone/endpoint"
    assert deployments.consumer_variables() == BEFORE
