"""One upload after another on the local cloud: the newest serves, one stays to roll back to, older ones are retired."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pytest

from local_cloud.cloud import CONSUMER
from pipeline.operations.execution_history import Execution
from tests.system.cli.test_command_line import sealift
from tests.system.conftest import WAIT_S, Deployments
from tests.system.rollout.test_capacity import concurrency, endpoint_of, ten
from tests.system.workflow.test_deployment import PROMPT, settings


def where(ended: Execution) -> dict[str, Any]:
    """Return where the archive of a deployment lies, for a start by hand."""
    archive = ended.results["check_archive"]["archive"]
    return {name: archive[name] for name in ("bucket", "key", "version_id")}


def asked(deployments: Deployments) -> dict[str, Any]:
    """Return what the consumer answers now."""
    payload = json.dumps({"prompt": PROMPT, "temperature": 0}).encode()
    answer = deployments.cloud.clients.lambda_.invoke(FunctionName=CONSUMER, Payload=payload)
    assert "FunctionError" not in answer
    document: dict[str, Any] = json.load(answer["Payload"])
    return document


def test_two_uploads_leave_two_deployments_and_three_leave_two(
    deployments: Deployments, archive: Path
) -> None:
    """The last one stays as the rollback target, whole; what was before it goes with configuration and model."""
    first, second = (deployments.upload(archive, "series", settings()) for _ in range(2))

    assert second.status == "SUCCEEDED", second.cause
    assert second.results["retire_previous"]["kept"] == [endpoint_of(first)]
    both = sorted([endpoint_of(first), endpoint_of(second)])
    assert {kind: sorted(names) for kind, names in deployments.resources().items()} == {
        "endpoints": both,
        "configs": both,
        "models": both,
    }

    third = deployments.upload(archive, "series", settings())

    assert third.status == "SUCCEEDED", third.cause
    assert third.results["retire_previous"] == {
        "retired": [endpoint_of(first)],
        "kept": [endpoint_of(second)],
        "not_retired": [],
        "expires_at": None,
        "told": f"retired {endpoint_of(first)}; kept {endpoint_of(second)} as a rollback target",
    }
    left = sorted([endpoint_of(second), endpoint_of(third)])
    assert {kind: sorted(names) for kind, names in deployments.resources().items()} == {
        "endpoints": left,
        "configs": left,
        "models": left,
    }
    assert asked(deployments)["endpoint_name"] == endpoint_of(third)


def test_what_is_retired_frees_its_concurrency(deployments: Deployments, archive: Path) -> None:
    """Retiring comes before the giving back: the new one gets what the retired one held."""
    first, second = (deployments.upload(archive, "frugal", ten()) for _ in range(2))
    third = deployments.upload(archive, "frugal", ten(keep_previous=0))

    assert third.status == "SUCCEEDED", third.cause
    former = [one.results["plan_deployment"]["names"]["endpoint_config"] for one in (first, second)]
    assert sorted(third.results["retire_previous"]["retired"]) == sorted(former)
    assert deployments.resources()["endpoints"] == [endpoint_of(third)]
    assert concurrency(deployments, endpoint_of(third)) == 10


def test_what_an_alias_still_sends_calls_to_is_not_retired(deployments: Deployments, archive: Path) -> None:
    """Another alias of the consumer is pinned to an old version, whose variable names the old endpoint."""
    functions = deployments.cloud.clients.lambda_
    first = deployments.upload(archive, "pinned", settings())
    version = functions.publish_version(FunctionName=CONSUMER)["Version"]
    functions.create_alias(FunctionName=CONSUMER, Name="pinned", FunctionVersion=version)
    try:
        deployments.upload(archive, "pinned", settings())
        third = deployments.upload(archive, "pinned", settings())
    finally:
        functions.delete_alias(FunctionName=CONSUMER, Name="pinned")

    assert third.status == "SUCCEEDED", third.cause
    assert third.results["retire_previous"]["retired"] == []
    (why,) = third.results["retire_previous"]["not_retired"]
    assert f"ENDPOINT_NAME of {CONSUMER}:pinned (version {version}) names it" in why
    assert endpoint_of(first) in deployments.resources()["endpoints"]


def test_a_deployment_is_not_undone_because_nothing_could_be_retired(
    deployments: Deployments, archive: Path
) -> None:
    """The deletion is denied: the deployment is good all the same, and its output says what is left."""
    first, _ = (deployments.upload(archive, "sticky", settings()) for _ in range(2))
    deployments.fail("sagemaker.DeleteEndpoint=AccessDeniedException")

    third = deployments.upload(archive, "sticky", settings())

    assert third.status == "SUCCEEDED", third.cause
    (why,) = third.results["retire_previous"]["not_retired"]
    assert why.startswith(f"{endpoint_of(first)}: ")
    assert "sagemaker:DeleteEndpoint" in why
    assert asked(deployments)["endpoint_name"] == endpoint_of(third)


def test_retiring_that_fails_altogether_is_told(deployments: Deployments, archive: Path) -> None:
    """Not even the lists can be read."""
    deployments.fail("sagemaker.ListEndpointConfigs=AccessDeniedException")

    ended = deployments.upload(archive, "blind", settings())

    assert ended.status == "SUCCEEDED", ended.cause
    assert ended.state("NotRetired") is not None
    assert "AccessDenied" in ended.results["retire_previous"]["told"]


def test_in_place_keeps_the_last_configuration_and_retires_older_ones(
    deployments: Deployments, archive: Path
) -> None:
    """The one endpoint stays; of its former configurations and models only the last is kept."""
    made = [deployments.upload(archive, "single", settings(strategy="in_place")) for _ in range(3)]

    assert [one.status for one in made] == ["SUCCEEDED"] * 3, made[-1].cause
    configs = [one.results["plan_deployment"]["names"]["endpoint_config"] for one in made]
    assert made[2].results["retire_previous"]["retired"] == [configs[0]]
    assert deployments.resources()["endpoints"] == ["single"]
    assert sorted(deployments.resources()["configs"]) == sorted(configs[1:])
    assert sorted(deployments.resources()["models"]) == sorted(configs[1:])


# ----------------------------------------------------------------- the order of uploads


def put(deployments: Deployments, archive: Path, service: str) -> dict[str, Any]:
    """Upload an archive where no event starts anything; return the input of its deployment, in a later second."""
    key = f"by-hand/{service}/model.tar.gz"
    s3 = deployments.cloud.clients.s3
    made = s3.put_object(Bucket=deployments.bucket, Key=key, Body=archive.read_bytes())
    time.sleep(1.1)  # S3 tells when an object was uploaded in whole seconds
    where = {"bucket": deployments.bucket, "key": key, "version_id": made["VersionId"]}
    return {**settings(), "archive": where, "service": service}


def begin(deployments: Deployments, document: dict[str, Any]) -> str:
    """Start an execution by hand."""
    machine = deployments.cloud.outputs["StateMachineArn"]
    started = deployments.cloud.clients.stepfunctions.start_execution(
        stateMachineArn=machine, input=json.dumps(document)
    )
    return str(started["executionArn"])


def test_an_older_upload_that_comes_later_stands_down(deployments: Deployments, archive: Path) -> None:
    """Its endpoint is removed, the newer one serves on, and the execution ends as what it is."""
    older = put(deployments, archive, "late")
    newer = deployments.upload(archive, "late", settings())

    ended = deployments.start(older)

    assert newer.status == "SUCCEEDED", newer.cause
    assert (ended.status, ended.error) == ("FAILED", "Superseded")
    assert ended.state("UpdateConsumer") is None
    assert "nothing need be done" in str(ended.cause)
    mine = endpoint_of(newer)
    assert deployments.resources() == {"endpoints": [mine], "configs": [mine], "models": [mine]}
    assert asked(deployments)["endpoint_name"] == mine


def test_of_two_at_once_the_newer_serves(deployments: Deployments, archive: Path) -> None:
    """Whichever comes to the switch first; the other one is either the rollback target, or deleted."""
    older = begin(deployments, put(deployments, archive, "race"))
    deadline = time.monotonic() + WAIT_S
    while "CreateModel" not in deployments.calls("sagemaker"):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    newer = deployments.upload(archive, "race", settings())
    ended = deployments.ended(older)

    assert newer.status == "SUCCEEDED", newer.cause
    assert ended.error in {None, "Superseded"}
    left = {endpoint_of(newer)} | ({endpoint_of(ended)} if ended.error is None else set())
    assert set(deployments.resources()["endpoints"]) == left
    assert asked(deployments)["endpoint_name"] == endpoint_of(newer)


def test_the_same_input_again_makes_nothing_and_ends_well(deployments: Deployments, archive: Path) -> None:
    """A finished execution, repeated: it finds its own endpoint in service and the consumer switched."""
    first = deployments.upload(archive, "again", settings())
    there = deployments.resources()
    deployments.cloud.recorded.clear()

    again = deployments.start({**settings(), "archive": where(first)})

    assert again.status == "SUCCEEDED", again.cause
    assert endpoint_of(again) == endpoint_of(first)
    assert deployments.resources() == there
    assert "UpdateFunctionConfiguration" not in deployments.calls("lambda")


@pytest.mark.parametrize("name", ["ReadConsumer", "UpdateConsumer", "RetirePrevious", "RestoreCapacity"])
def test_a_state_that_is_entered_again_with_the_same_data_comes_to_the_same(
    deployments: Deployments, archive: Path, name: str
) -> None:
    """As when an execution is redriven: the result of the task is as it was, and nothing is made or deleted."""
    ended = deployments.upload(archive, "redriven", settings())
    there = deployments.resources()
    results, plan = ended.results, ended.results["plan_deployment"]
    before = {key: value for key, value in results.items() if key != "read_consumer"}
    events: dict[str, dict[str, Any]] = {
        "ReadConsumer": {"consumers": plan["consumers"], "results": before},
        "UpdateConsumer": {
            "consumers": plan["consumers"],
            "before": results["read_consumer"],
            "endpoint_name": plan["names"]["endpoint"],
            "prompt": PROMPT,
            "serving": {
                "service": plan["service"],
                "execution": plan["execution"],
                "since": "2026-01-02T03:04:05Z",
            },
        },
        "RetirePrevious": {"plan": plan, "now": "2026-01-02T03:04:05.000Z"},
        "RestoreCapacity": {"plan": plan},
    }

    answer = deployments.cloud.clients.lambda_.invoke(
        FunctionName=deployments.cloud.physical_id(name), Payload=json.dumps(events[name]).encode()
    )

    assert "FunctionError" not in answer, answer["Payload"].read()
    result = json.load(answer["Payload"])
    if name == "ReadConsumer":
        assert result["consumers"][0]["value"] == endpoint_of(ended)
    else:
        path = {"UpdateConsumer": "update_consumer", "RetirePrevious": "retire_previous"}
        for told in (result, results["update_consumer"]):
            for answered in told.get("consumers", ()):
                # How much of a prompt is in the cache depends on who asked last.
                answered["answer"]["usage"].pop("prompt_tokens_details", None)
        assert result == results[path.get(name, "restore_capacity")]
    assert deployments.resources() == there


# ------------------------------------------------------------------------- going back


def test_rollback_goes_back_and_the_consumer_answers(
    deployments: Deployments, archive: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Asked first, switched in one call; the next deployment keeps what served, and not what was gone back from."""
    monkeypatch.setenv("AWS_ENDPOINT_URL", deployments.cloud.url)
    first, second = (deployments.upload(archive, "return", settings()) for _ in range(2))

    done = sealift("rollback", "return", "--json")

    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout)
    assert (document["from"], document["to"]) == (endpoint_of(second), endpoint_of(first))
    assert "cargo" in document["smoke_test"]["transcript"][0]["answer"].lower()
    assert document["switch_seconds"] >= 0
    assert asked(deployments)["endpoint_name"] == endpoint_of(first)

    again = sealift("rollback", "return")

    assert again.returncode == 1
    assert "no good deployment before" in again.stderr
    assert asked(deployments)["endpoint_name"] == endpoint_of(first)

    third = deployments.upload(archive, "return", settings())

    assert third.results["retire_previous"]["kept"] == [endpoint_of(first)]
    assert third.results["retire_previous"]["retired"] == [endpoint_of(second)]


def test_rollback_does_not_go_back_to_what_does_not_answer(
    deployments: Deployments, archive: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The consumer stays where it is."""
    monkeypatch.setenv("AWS_ENDPOINT_URL", deployments.cloud.url)
    _, second = (deployments.upload(archive, "mute", settings()) for _ in range(2))
    deployments.fail("sagemaker-runtime.InvokeEndpoint=ModelError")

    done = sealift("rollback", "mute")

    assert done.returncode == 1
    assert "made to fail" in done.stderr
    assert deployments.consumer_variables()["ENDPOINT_NAME"] == endpoint_of(second)


def test_rollback_of_a_service_that_is_not_there_says_so(
    deployments: Deployments, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One line of what was seen, one of what to do."""
    monkeypatch.setenv("AWS_ENDPOINT_URL", deployments.cloud.url)

    done = sealift("rollback", "nowhere", "--stack", "sealift")

    assert done.returncode == 1
    assert "no deployment of 'nowhere' of the stack 'sealift'" in done.stderr
    assert "TIP" in done.stderr
