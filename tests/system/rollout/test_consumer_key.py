"""A consumer whose variables a customer's own KMS key encrypts, on the local cloud: refused by name, then let in."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from local_cloud.cloud import CONSUMER, STACK, LocalCloud
from pipeline import package_files
from pipeline.settings import KMS_KEYS
from pipeline.stack import bundles, change_sets, template
from tests.system.conftest import BEFORE, NOTHING, Deployments
from tests.system.rollout.test_capacity import endpoint_of
from tests.system.workflow.test_deployment import settings

SECRET = f"{CONSUMER}-secret"
KEY = "arn:aws:kms:us-east-1:123456789012:key/0123abcd-01ab-23cd-45ef-0123456789ab"


def give(cloud: LocalCloud, keys: str) -> None:
    """Change the stack's parameter, as `sealift deploy --parameter` does."""
    staged = change_sets.stage(
        cloud.clients,
        name=STACK,
        source=template.load(package_files.template()),
        libraries=bundles.libraries_here,
        values={KMS_KEYS: keys},
        progress=lambda _sent, _total: None,
        every_s=0.05,
        level=bundles.QUICKEST,
    )
    ended = change_sets.execute(
        cloud.clients, staged, on_event=lambda _event: None, sleep=lambda _seconds: None
    )
    assert ended.good, ended.reasons


@pytest.fixture
def secret(deployments: Deployments) -> Iterator[str]:
    """A consumer like the other one, with a key; at the end neither it nor the stack's parameter is there."""
    functions = deployments.cloud.clients.lambda_
    handler = (package_files.consumer() / "handler.py").read_bytes()
    functions.create_function(
        FunctionName=SECRET,
        Runtime="python3.13",
        Role=functions.get_function_configuration(FunctionName=CONSUMER)["Role"],
        Handler="handler.handler",
        Code={"ZipFile": bundles.code_of({"handler.py": handler}).body},
        Timeout=120,
        MemorySize=256,
        Environment={"Variables": BEFORE},
        KMSKeyArn=KEY,
    )
    yield SECRET
    functions.delete_function(FunctionName=SECRET)


def variables(deployments: Deployments) -> dict[str, str]:
    """Return the consumer's variables as the account's administrator sees them."""
    found = deployments.cloud.clients.lambda_.get_function_configuration(FunctionName=SECRET)
    return dict(found["Environment"]["Variables"])


def asked(**more: Any) -> dict[str, Any]:
    """Return the settings of a deployment with that consumer."""
    return settings(consumer={**settings()["consumer"], "function_name": SECRET, **more})


def test_a_consumer_with_a_key_is_refused_until_the_stack_may_use_it(
    deployments: Deployments, archive: Path, secret: str
) -> None:
    """Before: nothing is made, and no variable is lost. After: one variable changes, and all others stay."""
    refused = deployments.upload(archive, "locked", asked())

    assert (refused.status, refused.error) == ("FAILED", "ConsumerUnreadable")
    assert f"'{secret}' cannot be read with the KMS key {KEY}" in str(refused.cause)
    assert f"sealift deploy --parameter ConsumerKmsKeyArns={KEY}" in str(refused.cause)
    assert deployments.resources() == NOTHING
    assert variables(deployments) == BEFORE

    give(deployments.cloud, KEY)
    try:
        ended = deployments.upload(archive, "locked", asked())
        assert ended.status == "SUCCEEDED", ended.cause
        assert variables(deployments) == {**BEFORE, "ENDPOINT_NAME": endpoint_of(ended)}
        undone = deployments.upload(archive, "locked", asked(expect={"contains": "submarine"}))
        assert (undone.status, undone.error) == ("FAILED", "ConsumerFailed")
        assert variables(deployments) == {**BEFORE, "ENDPOINT_NAME": endpoint_of(ended)}
    finally:
        give(deployments.cloud, "")
