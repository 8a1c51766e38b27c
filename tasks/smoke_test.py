"""SmokeTest: asks the new endpoint and looks at its answers. InService alone proves nothing.

A model that chats is asked with messages, a base model with the beginning of a text, one for embeddings for those,
and a reranker to rank. Where the endpoint streams, for streams; then how fast it answers is measured.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypedDict

from pipeline import naming
from pipeline.aws import lambda_handler
from pipeline.aws.permissions import ENDPOINTS, allow
from pipeline.client import smoke_test, ways_in
from pipeline.errors import ModelNotReady, NotYetVisible
from pipeline.gguf import questions
from pipeline.hosting import SERVERLESS
from pipeline.rollout import answer_speed
from pipeline.state_data.plan_types import PlannedSmokeTest

if TYPE_CHECKING:
    from pipeline.aws.clients import Clients


class Event(TypedDict):
    """Which endpoint, how it is tried, and what it will be known by."""

    endpoint_name: str
    smoke_test: PlannedSmokeTest
    """The plan's."""
    service: str
    hosting: str
    execution: str
    """An ARN, which tells stack and region."""


class Result(smoke_test.SmokeTested):
    """An endpoint that answers as expected, how fast it does, and how anybody else asks it."""

    told: str
    """How fast it answers, in words."""
    ways_in: str
    """Lines for the notification, each behind a line end."""


def run(event: Event, clients: Clients) -> Result:
    """Ask each prompt.

    Raises:
        SmokeTestFailed: when the container fails, or an answer is not what was expected.
    """
    tested = smoke_test.ask(clients, event["endpoint_name"], event["smoke_test"])
    region = event["execution"].split(":")[3]
    ways = ways_in.of(
        event["service"],
        event["endpoint_name"],
        event["smoke_test"].ask_with or questions.MESSAGES,
        region=region,
        runtime=ways_in.aws_runtime(region),
        streams=event["hosting"] != SERVERLESS,
        stack=naming.stack_of(event["execution"]),
        elsewhere=True,
        component=event["smoke_test"].component,
    )
    return {
        **tested,
        "told": answer_speed.told(tested["speed"]),
        "ways_in": "".join(f"\n{line}" for line in ways.lines()),
    }


handler = lambda_handler.Task(
    run,
    errors=(ModelNotReady, NotYetVisible),
    # AWS wants the first for streams as well.
    may=(allow("sagemaker:InvokeEndpoint", "sagemaker:InvokeEndpointWithResponseStream", on=ENDPOINTS),),
    timeout_s=890,
)
