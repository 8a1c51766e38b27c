"""A task: its Lambda handler, with JSON as typed data, AWS's clients, its log and AWS's errors as ours; what it states.

Owns what surrounds every task alike. Refuses to know any of them: what a task reads, returns and needs is its own.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, Generic, TypeVar, get_type_hints

from pipeline import error_codec, json_codec
from pipeline.aws import clients, service_errors, task_log
from pipeline.errors import Problem, SealiftError, StackChanged

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from pipeline.aws.permissions import Allow

Event = TypeVar("Event")
Result = TypeVar("Result")


@dataclass(frozen=True)
class Task(Generic[Event, Result]):
    """The Lambda handler of a task: `run` with AWS's clients, every AWS error translated, its log begun.

    Beside `run` it has what the task states of itself. `state_machine/definition.py` makes the state's retries, catches
    and time-out of it, `make template` the function and its role. What all tasks have in common is the default.

    The definition adds `log` to every event, which is read here and is in no task's Event.
    """

    run: Callable[[Event, clients.Clients], Result]
    errors: tuple[type[SealiftError], ...] = ()
    """What it may raise that the workflow handles: retries it if it is a TransientError, else goes to
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
    environment: tuple[tuple[str, str], ...] = ()
    """Variables beside those of every function: names, and values as the template's `Fn::Sub` has them."""

    @cached_property
    def _clients(self) -> clients.Clients:
        """A warm process keeps its clients: making one takes longer than most of their calls."""
        return clients.Clients()

    def __call__(self, event: Mapping[str, Any], _context: object) -> Any:
        """Run the task, JSON in and JSON out; called by Lambda."""
        clients.log_calls()
        try:
            with (
                task_log.of(self.run.__module__.rpartition(".")[2], event),
                service_errors.translated(),
            ):
                return json_codec.encode(self.run(received(self.run, event), self._clients))
        except SealiftError as error:
            # Lambda reports an exception's text, and of its class the name alone.
            error.args = (error_codec.encode(error),)
            raise


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
