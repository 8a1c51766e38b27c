"""The smoke test that a deployment has passed, by what its execution left: whoever brings it back asks the same."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from pipeline import json_codec
from pipeline.operations import executions
from pipeline.state_data.plan_types import PlannedSmokeTest
from pipeline.state_data.request_types import Expectation

if TYPE_CHECKING:
    from pipeline.aws.clients import Clients
    from pipeline.rollout.releases import Release

DEFAULT: Final = PlannedSmokeTest(prompts=("Hello.",), expect=Expectation(), max_tokens=32, timeout_s=60)
"""For a deployment whose execution AWS does not know any more."""


def of(clients: Clients, release: Release) -> tuple[PlannedSmokeTest, str]:
    """Return the smoke test that the deployment has passed, and whose it is."""
    left = executions.output(clients.stepfunctions, release.execution)
    try:
        stored = left["plan_deployment"]["smoke_test"]
        return json_codec.decode(PlannedSmokeTest, stored), "its own smoke test"
    except (KeyError, ValueError):
        return DEFAULT, "a plain question: its execution is not known any more"
