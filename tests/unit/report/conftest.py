"""Executions as AWS tells of them, written down event by event, for reports to be made of."""

from __future__ import annotations

import copy
import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from pipeline import json_codec, package_files
from pipeline.operations import diagnosis
from pipeline.planning import plan
from pipeline.report.document import ReportFacts
from tests.unit.conftest import ARCHIVE, LLAMA_1B, FactsMaker

START = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
ARN = "arn:aws:states:eu-central-1:123456789012:execution:sealift-deployment:harbour-0123456789abcdef"
DEFINITION: dict[str, Any] = json.loads(package_files.definition().read_text(encoding="utf-8"))


class Story:
    """What an execution did; `at` is the time of the next event in seconds."""

    def __init__(self, results: dict[str, Any]) -> None:
        self.at = 0.0
        self.data: dict[str, Any] = {"archive": {"bucket": "uploads", "key": ARCHIVE["key"]}}
        self.events: list[dict[str, Any]] = []
        self._results = results
        self._happened("ExecutionStarted")

    def _happened(self, kind: str, **details: Any) -> None:
        stamp = START + timedelta(seconds=self.at)
        self.events.append({"id": len(self.events) + 1, "type": kind, "timestamp": stamp, **details})

    def state(
        self, name: str, *, took: float = 0.5, failing: tuple[str, ...] = (), caught: bool = False
    ) -> Story:
        """Enter a state, try it, leave it.

        Args:
            name: of the state.
            took: seconds of an attempt, or of the whole visit when it is no task.
            failing: the errors of the attempts that fail, before one that does not.
            caught: whether the last of them is the end of it.
        """
        kind = DEFINITION["States"][name]["Type"]
        self._happened(
            f"{kind}StateEntered", stateEnteredEventDetails={"name": name, "input": json.dumps(self.data)}
        )
        if kind == "Task":
            for error in failing:
                self._tried(took, error)
            if not caught:
                self._tried(took, None)
        else:
            self.at += took
        if not caught and (result := self._results.get(name)) is not None:
            self.data = {**self.data, **result}
        if kind != "Fail":
            self._happened(
                f"{kind}StateExited", stateExitedEventDetails={"name": name, "output": json.dumps(self.data)}
            )
        return self

    def _tried(self, took: float, error: str | None) -> None:
        self._happened("TaskScheduled", taskScheduledEventDetails={"resource": "invoke"})
        self.at += took
        if error is None:
            self._happened("TaskSucceeded", taskSucceededEventDetails={"output": "{}"})
            return
        cause = json.dumps({"errorMessage": f"CreateEndpoint: {error}: not now", "stackTrace": ["line"]})
        self._happened("TaskFailed", taskFailedEventDetails={"error": error, "cause": cause})
        self.at += 2 * took

    def states(self, *names: str) -> Story:
        """Pass through states."""
        for name in names:
            self.state(name, took=0.0 if DEFINITION["States"][name]["Type"] in ("Choice", "Pass") else 0.5)
        return self

    def ended(self, status: str, **description: Any) -> ReportFacts:
        """Return the facts of the execution."""
        kinds = {
            "SUCCEEDED": "ExecutionSucceeded",
            "FAILED": "ExecutionFailed",
            "ABORTED": "ExecutionAborted",
        }
        if status != "RUNNING":
            kind = kinds.get(status, "ExecutionTimedOut")
            words = {name: description[name] for name in ("error", "cause") if name in description}
            self._happened(kind, **({f"{kind[0].lower()}{kind[1:]}EventDetails": words} if words else {}))
        if status == "ABORTED":
            # Only its history tells why.
            description = {}
        output = {"output": json.dumps(self.data)} if status == "SUCCEEDED" else {}
        stop = {} if status == "RUNNING" else {"stopDate": START + timedelta(seconds=self.at)}
        told = {"executionArn": ARN, "status": status, "startDate": START, **stop, **output, **description}
        first = {"archive": {"bucket": "uploads", "key": ARCHIVE["key"]}}
        return ReportFacts({**told, "input": json.dumps(first)}, self.events, DEFINITION)


@pytest.fixture
def results(facts_with: FactsMaker) -> dict[str, Any]:
    """What each state adds to the execution's data."""
    made = plan.plan(facts_with())
    names = made.names
    created = {"arn": "arn", "created": True}
    endpoint = names.endpoint
    return {
        "CheckArchive": {
            "check_archive": {
                "request": {"service": "harbour"},
                "archive": ARCHIVE,
                "model": LLAMA_1B,
                "evidence": {"method": "verify", "members": 56, "bytes_read": 808_000_000},
            }
        },
        "PlanDeployment": {"plan_deployment": json_codec.encode(made)},
        "AssembleArchive": {
            "assemble_archive": {
                "way": "splice",
                "reason": "it holds no code",
                "bucket": "artifacts",
                "key": "archives/0a1b/model.tar.gz",
                "size": 812_000_000,
                "bytes_moved": 4 << 20,
                "written": True,
            }
        },
        "CreateModel": {"create_model": {"name": names.model, **created}},
        "CreateEndpointConfig": {"create_endpoint_config": {"name": names.endpoint_config, **created}},
        "MakeRoom": {"make_room": {"lowered": []}},
        "CreateEndpoint": {
            "create_endpoint": {"name": endpoint, "deadline_at": "2026-01-02T03:34:05Z", **created}
        },
        "PollEndpoint": {"poll_endpoint": {"status": "InService", "verdict": "ready"}},
        "SmokeTest": {
            "smoke_test": {
                "transcript": [
                    {
                        "prompt": "Why is the first request slow?",
                        "answer": "The container has to start first.",
                        "completion_tokens": 40,
                        "finish_reason": "stop",
                        "seconds": 12.5,
                        "bytes_in": 140,
                        "bytes_out": 860,
                        "timings": {
                            "prompt_n": 12,
                            "prompt_ms": 500.0,
                            "predicted_n": 40,
                            "predicted_ms": 2000.0,
                            "predicted_per_second": 20.0,
                        },
                    }
                ],
                "speed": {
                    "seconds": 1.675,
                    "first_token_s": 0.075,
                    "tokens": 32,
                    "tokens_per_s": 20.0,
                },
            }
        },
        "MonitorEndpoint": {
            "monitor_endpoint": {
                "endpoint_name": endpoint,
                "alarms": [{"name": f"sealift-{endpoint}-5xx", "metric": "Invocation5XXErrors"}],
            }
        },
        "UpdateConsumer": {
            "update_consumer": {
                "consumers": [
                    {
                        "function_name": "harbour-assistant",
                        "variable": "ENDPOINT_NAME",
                        "endpoint_name": endpoint,
                        "previous": None,
                        "version": None,
                        "answer": {"answer": "Because of the cold start.", "endpoint_name": endpoint},
                    }
                ]
            }
        },
        "RetirePrevious": {"retire_previous": {"told": "nothing to retire"}},
        "RestoreCapacity": {"restore_capacity": {"max_concurrency": 10, "steps": []}},
        "Diagnose": {
            "diagnose": {
                "error": "SmokeTestFailed",
                "state": "smoke_test",
                "cause_name": "OutOfMemory",
                "what": "smoke_test failed with SmokeTestFailed: status 500",
                "why": "the model and its server need more memory than memory_mb gives",
                "fix": "raise memory_mb, lower n_ctx, or use a smaller quantisation",
                "evidence": ["MemoryError", "worker died"],
                "cause": "three lines",
            }
        },
        "RollBack": {
            "roll_back": {
                "gone": [f"endpoint {endpoint}", f"model {names.model}"],
                "restored": [],
                "kept": [],
                "not_undone": [f"endpoint configuration {names.endpoint_config}: access denied"],
                "error": "SmokeTestFailed",
                "cause": "three lines",
            }
        },
    }


def _begun(results: dict[str, Any]) -> Story:
    story = Story(copy.deepcopy(results))
    story.state("CheckArchive", took=4.0)
    story.states(
        "PlanDeployment", "AssembleArchive", "CreateModel", "CreateEndpointConfig", "MakeRoom", "InPlace"
    )
    story.state("CreateEndpoint", failing=("Throttled", "Throttled"))
    for _ in range(5):
        story.state("WaitForEndpoint", took=15.0).states("PollEndpoint", "EndpointReady")
    return story


@pytest.fixture
def story(results: dict[str, Any]) -> Story:
    """An execution that is about to try its endpoint."""
    return _begun(results)


@pytest.fixture
def succeeded(story: Story) -> ReportFacts:
    """A deployment that went well, after two retries and five looks."""
    story.state("SmokeTest", took=13.0)
    story.states("MonitorEndpoint", "ReadConsumer", "HasCanary", "UpdateConsumer")
    story.states("RetirePrevious", "RestoreCapacity", "NotifySuccess")
    return story.states("DeploymentSucceeded").ended("SUCCEEDED")


@pytest.fixture
def failed(story: Story) -> ReportFacts:
    """A deployment whose model did not answer, and which was undone but for one thing."""
    story.state("SmokeTest", took=20.0, failing=("SmokeTestFailed",), caught=True)
    story.states("Diagnose", "RollBack", "NotifyFailure").state("DeploymentFailed", took=0.0)
    cause = diagnosis.lines("it failed", "because", "do this")
    return story.ended("FAILED", error="SmokeTestFailed", cause=cause)


@pytest.fixture
def stopped(results: dict[str, Any]) -> ReportFacts:
    """A deployment that somebody stopped while its endpoint was being created."""
    story = _begun(results)
    story.state("WaitForEndpoint", took=3.0)
    story.events.pop()
    return story.ended("ABORTED", error="Operator", cause="wrong model")
