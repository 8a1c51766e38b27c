"""What the state machines need of a container, whatever runs it.

Owns the words between those who start and call containers and those who are them: a call, its answer, how either
fails. Refuses to know what runs one: `server_process` and `runc_container` do.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterator

    from local_cloud.hosting.platform.lifecycle import ContainerCondition
    from local_cloud.hosting.platform.resources import Deployment

Log = Callable[[str, str, str, int, str], None]
"""Takes one log line: the role that writes it (its ARN), group, stream, milliseconds since 1970, text."""


@dataclass(frozen=True, slots=True)
class ContainerCall:
    """One invocation, as far as the container sees it: other headers are stripped on the platform."""

    body: bytes
    content_type: str | None = None
    accept: str | None = None
    custom_attributes: str | None = None
    streams: bool = False
    """Whether the answer is handed on as it comes."""


class AnswerPieces(Protocol):
    """The body of an answer that is still coming; whoever has it closes it, and so ends the answer."""

    def __iter__(self) -> Iterator[bytes]:
        """Yield the bytes as they come; raise CallTimedOutError or CallBrokenError."""

    def close(self) -> None:
        """Let go of the answer, wherever it is; more than once does nothing more."""


@dataclass(frozen=True, slots=True)
class ContainerAnswer:
    """What the container answered."""

    status: int
    body: bytes
    content_type: str | None = None
    custom_attributes: str | None = None
    pieces: AnswerPieces | None = None
    """The body where it is handed on as it comes; None where `body` has all of it."""


class CallTimedOutError(Exception):
    """The container took longer than the limit."""


class CallBrokenError(Exception):
    """The connection was refused or cut, or what came back was not HTTP."""


class AnswerTooLargeError(Exception):
    """The container's answer is over the limit."""


class LaunchFailedError(Exception):
    """There will be no container; the message is the FailureReason."""


class Container(Protocol):
    """What the state machines need of a container; tests bring their own."""

    def ping(self) -> bool:
        """Return whether /ping answered 200 in time."""

    def condition(self) -> ContainerCondition:
        """Return how the process is."""

    def call(self, call: ContainerCall, timeout_s: float) -> ContainerAnswer:
        """Return the answer; raise CallTimedOutError, CallBrokenError or AnswerTooLargeError."""

    def stop(self) -> None:
        """Ask the process to end, insist after the grace period, and clear up."""

    def kill(self) -> None:
        """End the process at once, and clear up."""

    def pids(self) -> list[int]:
        """Return the process ids of the server, without what this package runs around it."""


class Launch(Protocol):
    """Starts a container, up to the moment its process runs."""

    def __call__(
        self, endpoint_name: str, deployment: Deployment, *, cancelled: Callable[[], bool]
    ) -> Container:
        """Return the running container; raise LaunchFailedError."""
