"""Fields of today's Amazon States Language that the `stepfunctions` SDK does not know yet.

The SDK refuses a field that is not in its `Field` enum, so each class here adds the fields by their names in
the language. Source: https://states-language.net and
https://docs.aws.amazon.com/step-functions/latest/dg/concepts-error-handling.html
"""

from __future__ import annotations

from typing import Any

from stepfunctions.steps import SnsPublishStep, states

from pipeline import json_codec

INTEGRATIONS = "arn:${Partition}:states:::"
"""What the Resource of a service integration begins with; the SDK would take the partition of this machine."""


class Retry(states.Retry):
    """A retrier with a ceiling on its interval (MaxDelaySeconds) and with jitter (JitterStrategy)."""

    def __init__(
        self, *, max_delay_seconds: int | None = None, jitter_strategy: str | None = None, **fields: Any
    ) -> None:
        super().__init__(**fields)
        self._today = {"MaxDelaySeconds": max_delay_seconds, "JitterStrategy": jitter_strategy}

    def to_dict(self) -> dict[str, Any]:
        """Return the retrier with the fields of today."""
        document: dict[str, Any] = super().to_dict()
        return document | {name: value for name, value in self._today.items() if value is not None}


class Fail(states.Fail):
    """A Fail state that takes its Error and Cause from the state's input (ErrorPath, CausePath)."""

    def __init__(self, state_id: str, *, error_path: str, cause_path: str, **fields: Any) -> None:
        super().__init__(state_id, **fields)
        self._today = {"ErrorPath": error_path, "CausePath": cause_path}

    def to_dict(self) -> dict[str, Any]:
        """Return the state with the fields of today."""
        document: dict[str, Any] = super().to_dict()
        return document | self._today


class SnsPublish(SnsPublishStep):
    """A publication to a topic, in whatever partition the stack is."""

    def to_dict(self) -> dict[str, Any]:
        """Return the state with the Resource of the stack's partition."""
        document: dict[str, Any] = super().to_dict()
        return document | {"Resource": f"{INTEGRATIONS}sns:publish"}


class LambdaTask(states.Task):
    """A task by way of `lambda:invoke`, keeping only the named keys of what the function returned.

    The keys are those of the task's Result, so that the border between two states has one definition: a
    function that leaves a key out fails its own state, not a later one.
    """

    def __init__(
        self,
        state_id: str,
        *,
        function: str,
        payload: dict[str, Any],
        result: type,
        errors: tuple[type[Exception], ...],
        **fields: Any,
    ) -> None:
        super().__init__(
            state_id,
            resource=f"{INTEGRATIONS}lambda:invoke",
            parameters={"FunctionName": function, "Payload": payload},
            **fields,
        )
        self._keys = json_codec.keys(result)
        self.errors = errors

    def to_dict(self) -> dict[str, Any]:
        """Return the state with its ResultSelector."""
        document: dict[str, Any] = super().to_dict()
        return document | {"ResultSelector": {f"{key}.$": f"$.Payload.{key}" for key in self._keys}}
