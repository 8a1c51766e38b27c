"""A SageMaker runtime in the process: answers as told, and remembers what it was asked and by how many at once."""

from __future__ import annotations

import io
import json
import threading
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


def refused(code: str, message: str = "no", **response: Any) -> ClientError:
    """Return what the SDK raises."""
    return ClientError({"Error": {"Code": code, "Message": message}, **response}, "InvokeEndpoint")  # type: ignore[typeddict-item]


class FakeRuntime:
    """Takes the place of the clients, of which nothing but the runtime is asked.

    Args:
        most: calls at once that an endpoint takes; more are throttled.
        error: returns what a call of this number is refused with; None for none.
        gate: what each call waits at before it is answered.
        tick: lets the time of an event of a stream pass.
        tokens: how many a prompt of so many words has; None for an endpoint that does not tell.
    """

    def __init__(
        self,
        *,
        most: int = 1000,
        error: Callable[[int], Exception | None] = lambda _: None,
        tokens: Callable[[int], int | None] = lambda words: 10 + 2 * words,
        gate: threading.Barrier | None = None,
        tick: Callable[[], None] = lambda: None,
    ) -> None:
        self.tick = tick
        self.asked: list[tuple[str, dict[str, Any]]] = []
        self.at_once = 0
        self.closed = 0
        self._busy = 0
        self._most = most
        self._error = error
        self._tokens = tokens
        self._gate = gate
        self._lock = threading.Lock()

    @property
    def sagemaker_runtime(self) -> FakeRuntime:
        """Return the client."""
        return self

    def invoke_endpoint(self, **request: Any) -> dict[str, Any]:
        """Answer."""
        return {"Body": io.BytesIO(json.dumps(self._answer(request)).encode())}

    def invoke_endpoint_with_response_stream(self, **request: Any) -> dict[str, Any]:
        """Answer in three events."""
        answer = self._answer(request)
        usage = {"usage": answer["usage"], "timings": answer["timings"], "choices": []}
        events = [{"choices": [{"delta": {"content": one}}]} for one in ("", "a", "b")]
        return {"Body": FakeStream([*events, usage], self)}

    def _answer(self, request: dict[str, Any]) -> dict[str, Any]:
        body = json.loads(request["Body"])
        with self._lock:
            self.asked.append((request["EndpointName"], body))
            number = len(self.asked)
            self._busy += 1
            self.at_once = max(self.at_once, self._busy)
            full = self._busy > self._most
        try:
            if full:
                raise refused("ThrottlingException")
            if (error := self._error(number)) is not None:
                raise error
            if self._gate is not None:
                self._gate.wait(20)
        finally:
            with self._lock:
                self._busy -= 1
        text = body.get("input") or body["messages"][-1]["content"]
        words = len(str(text).partition(".")[0].split())
        told = self._tokens(words)
        if "input" in body:
            return {"data": [{"embedding": [0.5]}], "usage": {"prompt_tokens": told}}
        return {
            "choices": [{"message": {"content": "ab"}, "finish_reason": "length"}],
            "usage": {"prompt_tokens": told, "completion_tokens": body["max_tokens"]},
            "timings": {"prompt_n": told or 1, "prompt_ms": 100.0, "predicted_ms": 400.0},
        }


class FakeStream:
    """A stream of events of the SDK's."""

    def __init__(self, events: list[dict[str, Any]], owner: FakeRuntime) -> None:
        self._events = events
        self._owner = owner

    def __iter__(self) -> Iterator[dict[str, Any]]:
        for one in self._events:
            self._owner.tick()
            yield {"PayloadPart": {"Bytes": f"data: {json.dumps(one)}\n\n".encode()}}

    def close(self) -> None:
        """Count it."""
        self._owner.closed += 1
