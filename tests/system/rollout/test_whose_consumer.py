"""Two services and one consumer on the local cloud: whose it is, how it is taken over, and the rollback of both."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from local_cloud.cloud import CONSUMER
from tests.system.cli.test_command_line import sealift
from tests.system.conftest import BEFORE, Deployments
from tests.system.rollout.test_capacity import endpoint_of
from tests.system.workflow.test_deployment import settings


def plain(**more: Any) -> dict[str, Any]:
    """Return the settings of a small deployment that names no consumer: the stack's own is meant."""
    return {name: value for name, value in settings(**more).items() if name != "consumer" or more.get(name)}


def named(**more: Any) -> dict[str, Any]:
    """Return the settings of one that names the consumer."""
    return settings(consumer={**settings()["consumer"], **more})


def test_a_second_service_leaves_the_stacks_consumer_to_the_first_and_both_go_back(
    deployments: Deployments, archive: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody asked for the consumer: it stays with the service that had it first, and each can roll back."""
    monkeypatch.setenv("AWS_ENDPOINT_URL", deployments.cloud.url)
    alpha = [deployments.upload(archive, "alpha", plain()) for _ in range(2)]
    beta = [deployments.upload(archive, "beta", plain()) for _ in range(2)]

    assert [one.status for one in (*alpha, *beta)] == ["SUCCEEDED"] * 4, beta[-1].cause
    assert deployments.consumer_variables() == {**BEFORE, "ENDPOINT_NAME": endpoint_of(alpha[1])}
    output = beta[0].results
    assert output["called_by"] == f"no consumer (ENDPOINT_NAME of {CONSUMER} stays with service 'alpha')"
    (note,) = [one for one in output["notes"] if "take_over" in one]
    assert f"(endpoint '{endpoint_of(alpha[1])}')" in note

    back = sealift("rollback", "alpha", "--json")

    assert back.returncode == 0, back.stderr
    assert deployments.consumer_variables()["ENDPOINT_NAME"] == endpoint_of(alpha[0])

    back = sealift("rollback", "beta", "--json")

    assert back.returncode == 0, back.stderr
    told = json.loads(back.stdout)
    assert (told["from"], told["to"], told["consumers"]) == (endpoint_of(beta[1]), endpoint_of(beta[0]), [])
    assert deployments.consumer_variables()["ENDPOINT_NAME"] == endpoint_of(alpha[0])


def test_a_named_consumer_of_another_service_is_refused_and_can_be_taken_over(
    deployments: Deployments, archive: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Refused before anything is made; with take_over it moves, and both services say who has it since."""
    monkeypatch.setenv("AWS_ENDPOINT_URL", deployments.cloud.url)
    alpha = deployments.upload(archive, "alpha", plain())
    assert alpha.status == "SUCCEEDED", alpha.cause

    refused = deployments.upload(archive, "beta", named())

    assert (refused.status, refused.error) == ("FAILED", "ConsumerTaken")
    assert "the service 'alpha'" in str(refused.cause)
    assert endpoint_of(alpha) in str(refused.cause)
    assert '"take_over": true' in str(refused.cause)
    assert deployments.resources()["endpoints"] == [endpoint_of(alpha)]

    beta = deployments.upload(archive, "beta", named(take_over=True))

    assert beta.status == "SUCCEEDED", beta.cause
    assert deployments.consumer_variables()["ENDPOINT_NAME"] == endpoint_of(beta)
    # The service that had it goes on without it, and neither breaks nor takes it back.
    again = deployments.upload(archive, "alpha", plain())
    assert again.status == "SUCCEEDED", again.cause
    assert deployments.consumer_variables()["ENDPOINT_NAME"] == endpoint_of(beta)

    back = sealift("rollback", "beta")

    assert back.returncode == 1
    assert f"was service alpha's before (endpoint {endpoint_of(alpha)})" in " ".join(back.stderr.split())
    status = sealift("status", "alpha")
    assert f"{endpoint_of(beta)} (of service beta)" in status.stdout
