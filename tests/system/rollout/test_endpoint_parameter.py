"""The name that stays, on the local cloud: who finds a service by its parameter follows it wherever it goes."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from local_cloud.cloud import CONSUMER, STACK
from pipeline import cli, naming
from tests.system.rollout.test_capacity import WRONG, endpoint_of
from tests.system.rollout.test_releases import put
from tests.system.workflow.test_deployment import PROMPT, settings

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from local_cloud.cloud import LocalCloud
    from pipeline.operations.execution_history import Execution
    from tests.system.conftest import Deployments

    Run = Callable[..., tuple[int, Any, str]]


@pytest.fixture
def sealift(cloud: LocalCloud, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Returns a function that runs a command on the cloud: its exit status, its document, its text."""
    monkeypatch.setenv("AWS_ENDPOINT_URL", cloud.url)

    def run(*arguments: str) -> tuple[int, Any, str]:
        capsys.readouterr()
        status = cli.main([*arguments, "--yes"] if arguments[0] == "delete" else [*arguments])
        out = capsys.readouterr().out
        return status, json.loads(out) if "--json" in arguments and out else None, out

    return run


def named(deployments: Deployments, service: str) -> str | None:
    """Return the endpoint that the service's parameter names."""
    ssm: Any = deployments.cloud.clients.ssm
    name = naming.endpoint_parameter(STACK, service)
    found = ssm.get_parameters(Names=[name])["Parameters"]
    return str(found[0]["Value"]) if found else None


def tags(deployments: Deployments, service: str) -> dict[str, str]:
    """Return the tags of the service's parameter."""
    name = naming.endpoint_parameter(STACK, service)
    listed = deployments.cloud.clients.ssm.list_tags_for_resource(ResourceType="Parameter", ResourceId=name)
    return {tag["Key"]: tag["Value"] for tag in listed["TagList"]}


def good(ended: Execution) -> str:
    """Return the endpoint of a deployment that went well."""
    assert ended.status == "SUCCEEDED", ended.cause
    return endpoint_of(ended)


def test_it_follows_deployments_and_rollbacks_without_a_consumer(
    deployments: Deployments, archive: Path, sealift: Run
) -> None:
    """Set by each that is good, as before after one that is not, back with a rollback, gone with the service."""
    asked = settings(consumer=None)
    first = good(deployments.upload(archive, "buoy", asked))
    assert named(deployments, "buoy") == first
    ended = deployments.upload(archive, "buoy", asked)
    second = good(ended)
    assert named(deployments, "buoy") == second
    assert ended.results["update_consumer"] == {
        "consumers": [],
        "parameter": naming.endpoint_parameter(STACK, "buoy"),
    }
    marked = tags(deployments, "buoy")
    assert (marked["sealift:service"], marked["sealift:execution"]) == ("buoy", ended.arn)

    bad = deployments.upload(archive, "buoy", settings(consumer=None, smoke_test=WRONG))
    assert bad.status == "FAILED"
    assert (named(deployments, "buoy"), tags(deployments, "buoy")) == (second, marked)

    status, document, _ = sealift("rollback", "buoy", "--json")
    assert (status, document["parameters"]) == (
        cli.OK,
        [f"parameter {naming.endpoint_parameter(STACK, 'buoy')}"],
    )
    assert named(deployments, "buoy") == first
    status, document, _ = sealift("status", "buoy", "--json")
    (service,) = document["services"]
    assert [one["serves"] for one in service["parameters"]] == [True]

    sealift("delete", "buoy", "--json")
    assert named(deployments, "buoy") is None


def test_the_newest_upload_wins_without_a_consumer_too(deployments: Deployments, archive: Path) -> None:
    """An older one that comes later finds the newer one named, and leaves nothing."""
    older = put(deployments, archive, "tide")
    newer = good(deployments.upload(archive, "tide", settings(consumer=None)))

    ended = deployments.start({**older, "consumer": None})

    assert (ended.status, ended.error) == ("FAILED", "Superseded")
    assert named(deployments, "tide") == newer
    assert deployments.resources()["endpoints"] == [newer]


def test_the_example_consumer_finds_the_service_by_it(deployments: Deployments, archive: Path) -> None:
    """Without being switched, with what its role may."""
    functions = deployments.cloud.clients.lambda_
    endpoint = good(deployments.upload(archive, "reef", settings(consumer=None)))
    name = naming.endpoint_parameter(STACK, "reef")
    functions.update_function_configuration(
        FunctionName=CONSUMER, Environment={"Variables": {"ENDPOINT_PARAMETER": name}}
    )
    functions.get_waiter("function_updated_v2").wait(FunctionName=CONSUMER, WaiterConfig={"Delay": 1})

    answer = functions.invoke(FunctionName=CONSUMER, Payload=json.dumps({"prompt": PROMPT}).encode())

    assert "FunctionError" not in answer, json.load(answer["Payload"])
    assert json.load(answer["Payload"])["endpoint_name"] == endpoint


def test_one_that_names_another_endpoint_is_told(
    deployments: Deployments, archive: Path, sealift: Run
) -> None:
    """By `status` in words, by `ls` with a hint; a rollback does not overrule it, and a service without one is well."""
    ssm, name = deployments.cloud.clients.ssm, naming.endpoint_parameter(STACK, "mole")
    first = good(deployments.upload(archive, "mole", settings()))
    good(deployments.upload(archive, "mole", settings()))
    ssm.put_parameter(Name=name, Value="somebodys", Overwrite=True)

    assert f"named by   {name} -> somebodys, which does not serve" in sealift("status", "mole")[2]
    assert "InService, see status" in sealift("ls")[2]
    status, document, _ = sealift("rollback", "mole", "--json")
    assert (status, document["to"], document["parameters"]) == (1, first, [])
    assert "it names 'somebodys'" in document["not_moved"][0]

    ssm.delete_parameter(Name=name)
    assert "named by" not in sealift("status", "mole")[2]


def test_updated_in_place_its_value_stays(deployments: Deployments, archive: Path) -> None:
    """The endpoint's name does; the tags tell who deployed what it has."""
    asked = settings(consumer=None, strategy="in_place")
    endpoint = good(deployments.upload(archive, "quay", asked))
    ended = deployments.upload(archive, "quay", asked)

    assert good(ended) == endpoint == named(deployments, "quay")
    assert tags(deployments, "quay")["sealift:execution"] == ended.arn
