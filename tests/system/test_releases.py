"""One upload after another on the local cloud: the newest serves, one stays as the way back, older ones are retired."""

from __future__ import annotations

import json
import threading
import time
from pathlib import Path
from typing import Any

from pipeline.execution import Execution
from pipeline.local.cloud import CONSUMER
from tests.system.conftest import WAIT_S, Deployments
from tests.system.test_capacity import concurrency, endpoint_of, ten
from tests.system.test_deployment import EXPECT, PROMPT, settings


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
    """The last one stays as the way back, whole; what was before it goes with configuration and model."""
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
        "told": f"retired {endpoint_of(first)}; kept {endpoint_of(second)} as a way back",
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
    assert sorted(third.results["retire_previous"]["retired"]) == sorted(
        [endpoint_of(first), endpoint_of(second)]
    )
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
