"""A state machine run by the local cloud's interpreter in this process, with functions that are Python's."""

from __future__ import annotations

import json
import time
import uuid
from dataclasses import dataclass, field
from functools import cache
from io import BytesIO
from typing import TYPE_CHECKING, Any

from moto.stepfunctions.parser.models import stepfunctions_parser_backends

from local_cloud.workflow import interpreter

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

ACCOUNT, REGION = "123456789012", "eu-central-1"
LONGEST_S = 120


class Failure(Exception):
    """A function's failure: its error's name, and its message."""

    def __init__(self, error: str, message: str) -> None:
        super().__init__(message)
        self.error = error


@dataclass(frozen=True, slots=True)
class Run:
    """An execution that has ended."""

    status: str
    error: str | None
    cause: str | None
    output: Any
    events: list[dict[str, Any]] = field(repr=False)

    @property
    def states(self) -> list[str]:
        """The states that were entered, in their order."""
        return [
            event["stateEnteredEventDetails"]["name"]
            for event in self.events
            if event["type"].endswith("StateEntered")
        ]


class _Functions:
    """Stands in for the interpreter's clients: its functions are Python's."""

    def __init__(self, functions: Mapping[str, Callable[[Any], Any]]) -> None:
        self._functions = functions

    def invoke(self, *, FunctionName: str, Payload: bytes) -> dict[str, Any]:  # noqa: N803 boto3's names
        """Call a function, and answer as Lambda does."""
        told = {"StatusCode": 200, "ExecutedVersion": "$LATEST"}
        try:
            result = self._functions[FunctionName](json.loads(Payload))
        except Failure as failure:
            # As Lambda's runtime writes it.
            result = {
                "errorMessage": str(failure),
                "errorType": failure.error,
                "requestId": str(uuid.UUID(int=0)),
                "stackTrace": [
                    '  File "/var/task/pipeline/aws/clients.py", line 246, in handler\n    return run()\n'
                ]
                * 8,
            }
            told["FunctionError"] = "Unhandled"
        return {**told, "Payload": BytesIO(json.dumps(result).encode())}

    def publish(self, **message: Any) -> dict[str, Any]:
        """Take a notification, of the size that SNS takes."""
        assert len(message["Message"].encode()) <= 262_144
        assert len(message["Subject"]) <= 100
        return {"MessageId": str(uuid.UUID(int=0))}


@cache
def _machine(definition: str) -> str:
    """Return the ARN of a state machine; to parse its definition takes longer than to run it."""
    backend = stepfunctions_parser_backends[ACCOUNT][REGION]
    role, name = f"arn:aws:iam::{ACCOUNT}:role/workflow", f"machine-{uuid.uuid4()}"
    # What stands within a text the template has filled in; the others are whole values, by which functions are found.
    definition = definition.replace("${StackName}", "stack")
    arn: str = backend.create_state_machine(name=name, definition=definition, roleArn=role, tags=[]).arn
    return arn


def run(definition: Mapping[str, Any], document: Any, functions: Mapping[str, Callable[[Any], Any]]) -> Run:
    """Run a definition to its end.

    Args:
        definition: in the Amazon States Language.
        document: the input.
        functions: what each function does with its event, by the name that the definition calls it by.
    """
    ended: list[dict[str, Any]] = []
    interpreter.install(
        url="http://127.0.0.1:1", credentials=lambda _role: {}, time_scale=0.0, ended=ended.append
    )
    for module in interpreter._CALLERS:
        module.boto_client_for = lambda **_arguments: _Functions(functions)  # type: ignore[attr-defined]
    backend = stepfunctions_parser_backends[ACCOUNT][REGION]
    machine = _machine(json.dumps(definition))
    started = backend.start_execution(machine, str(uuid.uuid4()), json.dumps(document))
    deadline = time.monotonic() + LONGEST_S
    while not ended:
        assert time.monotonic() < deadline, "the execution does not end"
        time.sleep(0.005)
    told = ended[0]
    events = interpreter.history(ACCOUNT, REGION, started.exec_arn) or []
    output = json.loads(told["output"]) if "output" in told else None
    return Run(told["status"], told.get("error"), told.get("cause"), output, events)
