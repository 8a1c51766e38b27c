"""SmokeTest: asks the new endpoint and looks at its answers. InService alone proves nothing.

A model that chats is asked with messages, a base model with the beginning of a text, one for embeddings for those,
and a reranker to rank.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias, TypedDict

from pipeline.aws import lambda_handler
from pipeline.aws.permissions import ENDPOINTS, allow
from pipeline.errors import ModelNotReady, NotYetVisible
from pipeline.rollout import smoke_test
from pipeline.state_data.plan_types import PlannedSmokeTest

if TYPE_CHECKING:
    from pipeline.aws.clients import Clients


class Event(TypedDict):
    """Which endpoint, and how it is tried."""

    endpoint_name: str
    smoke_test: PlannedSmokeTest
    """The plan's."""


Result: TypeAlias = smoke_test.SmokeTested


def run(event: Event, clients: Clients) -> Result:
    """Ask each prompt.

    Raises:
        SmokeTestFailed: when the container fails, or an answer is not what was expected.
    """
    return smoke_test.ask(clients, event["endpoint_name"], event["smoke_test"])


handler = lambda_handler.Task(
    run,
    errors=(ModelNotReady, NotYetVisible),
    may=(allow("sagemaker:InvokeEndpoint", on=ENDPOINTS),),
    timeout_s=890,
)
