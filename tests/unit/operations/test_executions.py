"""Names of executions, and which one an upload has started."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from pipeline import error_codec, naming
from pipeline.errors import EndpointBusy
from pipeline.operations import executions

MACHINE = "arn:aws:states:eu-west-1:123456789012:stateMachine:sealift-deployment"


def arn_of(name: str) -> str:
    """Return an execution's ARN."""
    return f"arn:aws:states:eu-west-1:123456789012:execution:sealift-deployment:{name}"


@pytest.mark.parametrize(
    ("name", "service"),
    [
        pytest.param("harbour-0123456789abcdef", "harbour", id="by an upload"),
        pytest.param("harbour-east-0123456789abcdef", "harbour-east", id="hyphens"),
        pytest.param("harbour-by-hand-20260102-030405", "harbour", id="by hand"),
        pytest.param("upload-0123456789abcdef", None, id="a key without a service"),
        pytest.param("5bd0d9c8-4ec5-44ae-8a8e-6b7a4d4ed6f0", None, id="the console's"),
        pytest.param("harbour", None, id="a person's own"),
    ],
)
def test_a_name_tells_its_service_if_we_gave_it(name: str, service: str | None) -> None:
    """Any other name tells nothing, and the input has to."""
    assert executions.named_service(name) == service


def test_the_names_that_are_given_are_the_names_that_are_read() -> None:
    """The trigger's and our own."""
    moment = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
    by_upload = naming.execution_name("uploads", "models/harbour/model.tar.gz", "v", "s")

    assert executions.named_service(by_upload) == "harbour"
    assert executions.named_service(executions.by_hand_name("harbour", moment)) == "harbour"
    assert executions.by_hand_name("harbour", moment) == "harbour-by-hand-20260102-030405"
    assert len(executions.by_hand_name("a" * 40, moment)) <= 80


def test_a_failure_is_told_by_what_happened_and_why() -> None:
    """Two of the three lines; an error of ours in them by its sentence. What fails without a cause tells none."""
    text = error_codec.encode(EndpointBusy("it is Updating", waiting="for it"))
    raw = json.dumps({"errorMessage": text, "errorType": "EndpointBusy", "stackTrace": []})
    row = {
        "executionArn": arn_of("harbour"),
        "name": "harbour",
        "status": "FAILED",
        "startDate": datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC),
    }

    assert executions.read({**row, "cause": f"what happened: {raw}\nwhy: y\nwhat to do: z"}).cause == (
        "what happened: it is Updating; why: y"
    )
    assert executions.read({**row, "cause": "one line"}).cause == "one line"
    assert executions.read(row).cause is None


class Known:
    """Stands for Step Functions: executions by name, newest first, with their inputs."""

    def __init__(self, *named: tuple[str, dict[str, Any]]) -> None:
        self.inputs = {arn_of(name): document for name, document in named}
        self.described: list[str] = []

    def get_paginator(self, name: str) -> Known:
        """Return the pages."""
        assert name == "list_executions"
        return self

    def paginate(self, *, stateMachineArn: str, **_: Any) -> list[dict[str, Any]]:  # noqa: N803 AWS's name
        """Return them two by two."""
        assert stateMachineArn == MACHINE
        listed = [{"executionArn": arn, "name": arn.rpartition(":")[2]} for arn in self.inputs]
        return [{"executions": listed[start : start + 2]} for start in range(0, len(listed), 2)]

    def describe_execution(self, *, executionArn: str) -> dict[str, Any]:  # noqa: N803 AWS's name
        """Return the input."""
        self.described.append(executionArn.rpartition(":")[2])
        return {"input": json.dumps(self.inputs[executionArn])}


def upload(version: str, service: str = "harbour") -> dict[str, Any]:
    """Return an input as the trigger makes it."""
    return {"archive": {"bucket": "uploads", "key": f"models/{service}/model.tar.gz", "version_id": version}}


def test_an_uploads_execution_is_the_one_with_its_version() -> None:
    """Not the one before of the same key; nobody is asked twice."""
    known = Known(
        ("reports-0123456789abcdef", upload("2", "reports")), ("harbour-0123456789abcdef", upload("1"))
    )
    seen: set[str] = set()
    wanted = upload("2")["archive"]
    found = [executions.of_upload(known, MACHINE, wanted, seen) for _ in range(2)]  # type: ignore[arg-type]
    known.inputs = {arn_of("harbour-fedcba9876543210"): upload("2"), **known.inputs}

    assert found == [None, None]
    assert executions.of_upload(known, MACHINE, wanted, seen) == arn_of("harbour-fedcba9876543210")  # type: ignore[arg-type]
    assert known.described == ["harbour-0123456789abcdef", "harbour-fedcba9876543210"]
