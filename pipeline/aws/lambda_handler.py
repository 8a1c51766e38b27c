"""The Lambda handler of a task: its event and result as JSON, its clients, its log, and AWS's errors as errors of ours.

Owns what surrounds every task alike. Refuses to know any of them: what a task reads and returns is its own.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any, TypeVar, get_type_hints

from pipeline import json_codec, payload
from pipeline.aws import clients, service_errors, task_log
from pipeline.errors import Problem, SealiftError, StackChanged

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

Event = TypeVar("Event")
Result = TypeVar("Result")


def task(run: Callable[[Event, clients.Clients], Result]) -> Callable[[Mapping[str, Any], object], Any]:
    """Return the Lambda handler of a task: `run` with AWS's clients, every AWS error translated, its log begun.

    The definition adds `log` to every event, which is read here and is in no task's Event.
    A warm process keeps its clients: making one takes longer than most of their calls.
    """
    name = run.__module__.rpartition(".")[2]
    kept = cache(clients.Clients)

    def handler(event: Mapping[str, Any], context: object) -> Any:
        del context  # a task reads only its event
        clients.log_calls()
        with task_log.of(name, event):
            try:
                with service_errors.translated():
                    return json_codec.encode(run(received(run, event), kept()))
            except SealiftError as error:
                # The state machine's data hold the message; the problems themselves are all still there.
                error.args = (payload.message(error),)
                raise

    return handler


def received(run: Callable[[Event, clients.Clients], Result], event: Mapping[str, Any]) -> Event:
    """Return the event of a task as what its `run` says that it gets.

    Raises:
        StackChanged: when it is something else: a state of another release of the stack has made it.
    """
    # Only for the type checker does a task's module know Clients.
    kind = get_type_hints(run, localns={"Clients": clients.Clients}).get("event", Any)
    try:
        made: Event = json_codec.decode(kind, dict(event))
    except json_codec.Mismatch as mismatch:
        fix = (
            "start the deployment again, or run `sealift deploy` first: all functions are then of one release"
        )
        raise StackChanged(
            f"what {run.__module__.rpartition('.')[2]} was handed",
            [Problem(StackChanged.__name__, seen, wanted, fix) for seen, wanted in mismatch.found],
        ) from mismatch
    return made
