"""A task: its Lambda handler, with AWS's clients, its log and AWS's errors as ours, and what it states of itself.

Owns what surrounds every task alike. Refuses to know any of them: what a task reads, returns and needs is its own.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from pipeline import error_codec
from pipeline.aws import clients, service_errors, task_log
from pipeline.errors import SealiftError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from pipeline.aws.permissions import Allow

Event = TypeVar("Event", bound="Mapping[str, Any]")
Result = TypeVar("Result", bound="Mapping[str, Any]")


@dataclass(frozen=True)
class Task(Generic[Event, Result]):
    """The Lambda handler of a task: `run` with AWS's clients, every AWS error translated, its log begun.

    Beside `run` it has what the task states of itself. `state_machine/definition.py` makes the state's retries, catches
    and time-out of it, `make template` the function and its role. What all tasks have in common is the default.

    The definition adds `log` to every event, which is read here and is in no task's Event.
    """

    run: Callable[[Event, clients.Clients], Result]
    errors: tuple[type[SealiftError], ...] = ()
    """What it may raise that the workflow does something about: retries it if it is a TransientError, else goes on with
    another state. In the order in which the retries stand. Throttled and ServiceUnavailable are every task's."""
    may: tuple[Allow, ...] = ()
    """The policy of its role: all calls that it makes."""
    timeout_s: int = 60
    """Of the function, 900 at the most; the state has a little longer."""
    memory_mb: int = 256
    """Lambda gives CPU in proportion: 1,769 MB is one whole vCPU
    (https://docs.aws.amazon.com/lambda/latest/dg/configuration-memory.html)."""
    carries_runtime: bool = False
    """Whether it needs what archives carry in `code/`."""

    @cached_property
    def _clients(self) -> clients.Clients:
        """A warm process keeps its clients: making one takes longer than most of their calls."""
        return clients.Clients()

    def __call__(self, event: Event, _context: object) -> Result:
        """Run the task; called by Lambda."""
        clients.log_calls()
        try:
            with (
                task_log.of(self.run.__module__.rpartition(".")[2], event),
                service_errors.translated(),
            ):
                return self.run(event, self._clients)
        except SealiftError as error:
            # Lambda reports an exception's text, and of its class the name alone.
            error.args = (error_codec.encode(error),)
            raise
