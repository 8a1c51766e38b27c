"""The Lambda handler of a task: its clients, its log, and AWS's errors as errors of ours.

Owns what surrounds every task alike. Refuses to know any of them: what a task reads and returns is its own.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any, TypeVar

from pipeline import error_codec
from pipeline.aws import clients, service_errors, task_log
from pipeline.errors import SealiftError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

Event = TypeVar("Event", bound="Mapping[str, Any]")
Result = TypeVar("Result", bound="Mapping[str, Any]")


def task(run: Callable[[Event, clients.Clients], Result]) -> Callable[[Event, object], Result]:
    """Return the Lambda handler of a task: `run` with AWS's clients, every AWS error translated, its log begun.

    The definition adds `log` to every event, which is read here and is in no task's Event.
    A warm process keeps its clients: making one takes longer than most of their calls.
    """
    name = run.__module__.rpartition(".")[2]
    kept = cache(clients.Clients)

    def handler(event: Event, context: object) -> Result:
        del context  # a task reads only its event
        clients.log_calls()
        try:
            with task_log.of(name, event), service_errors.translated():
                return run(event, kept())
        except SealiftError as error:
            # Lambda reports an exception's text, and of its class the name alone.
            error.args = (error_codec.encode(error),)
            raise

    return handler
