"""Every deliberate failure of Sealift, sorted by who has to act.

Lambda reports an exception as ``errorType`` = the bare class name, and Step Functions matches Retry and Catch
on that name. So a class name here is a public contract: `state_machine/definition.py` refers to these classes,
and a test fails when a class has no place there.

    SealiftError
    ├── PermanentError              somebody must change something; a retry can never help
    │   ├── InvalidInput              the execution input, the settings or a command line
    │   ├── InvalidArchive            what was uploaded cannot become an endpoint
    │   ├── ArchiveNotFound           there is no object where the input points
    │   ├── AccessDenied              a role lacks a permission
    │   ├── ModelDoesNotFit           memory, disk or start-up time
    │   ├── QuotaTooSmall             what was requested alone exceeds an account quota
    │   ├── QuotaUsedUp               others hold all of an account quota, and nobody waits for them
    │   ├── NameConflict              the name is taken by something that was not asked for
    │   ├── ConsumerNotFound          there is no such function, alias or variable to switch
    │   ├── ConsumerNotAllowed        the stack may not switch that function
    │   ├── ConsumerUnreadable        its environment variables cannot be decrypted
    │   ├── ConsumerTaken             another service of Sealift serves it
    │   ├── Superseded                a newer upload of the service serves already; this one stood down
    │   ├── StackChanged              the stack was updated while the execution ran, or before it was redriven
    │   └── RequestRejected           AWS called the request itself wrong
    ├── Failed                      it was tried, and the answer was no
    │   ├── EndpointFailed            SageMaker gave up on the endpoint
    │   ├── EndpointTimedOut          neither InService nor Failed before the deadline
    │   ├── EndpointMoved             the service's one endpoint came or went since the plan; it is planned again
    │   ├── SmokeTestFailed           the endpoint is up and does not answer as expected
    │   ├── ConsumerFailed            the consumer does not work with the new endpoint
    │   ├── ConsumerMoved             the consumer calls another endpoint than was read; it is read again
    │   └── Undiagnosed               the failure could not even be looked into; the cause has its own words
    └── TransientError              may pass later; the state machine retries by class
        ├── ResourceLimitExceeded     an account quota that is used up
        ├── Throttled                 too many requests
        ├── ServiceUnavailable        AWS answered 5xx, or not at all
        ├── NotYetVisible             made a moment ago, not seen everywhere yet
        ├── EndpointBusy              Creating, Updating or Deleting: AWS refuses until that is over
        ├── ModelNotReady             the serverless container is still being provisioned
        ├── ConsumerBusy              the consumer function is being updated
        └── ConsumerChanged           somebody updated the consumer since it was read
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from pipeline.plain import one_line, plain

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong, in the four parts that a person needs to act on it."""

    error: str
    """A stable name in CamelCase, for machines: ``NoModel``, ``MemberIsLink``, ``UnknownField``."""
    seen: str
    wanted: str
    fix: str
    where: str = ""
    """The file or option that it stands in, as its author calls it; empty where the refusal's subject says it."""

    def __post_init__(self) -> None:
        # What was seen is whatever somebody wrote into a file or called an object.
        for name in ("seen", "wanted", "fix", "where"):
            object.__setattr__(self, name, plain(getattr(self, name)))

    def __str__(self) -> str:
        return f"{self.seen}; wanted {self.wanted}; {self.fix}"

    def to_json(self) -> dict[str, str]:
        """Return the four parts as a JSON object, and the place where one is known."""
        return {name: value for name, value in asdict(self).items() if value or name != "where"}


class SealiftError(Exception):
    """Base of all deliberate failures; ``str()`` is one message written for a person, in one line and plain."""

    def __str__(self) -> str:
        return one_line(super().__str__())


class PermanentError(SealiftError):
    """Somebody must change something: carries every problem that was found, not just the first."""

    def __init__(self, subject: str, problems: Iterable[Problem]) -> None:
        self.subject = plain(subject)
        self.problems = tuple(problems)
        if not self.problems:
            raise ValueError(f"{type(self).__name__} about {subject!r} needs at least one problem")
        super().__init__(sentence(self.subject, self.problems))


class InvalidInput(PermanentError):
    """The execution input, the settings or a command line is wrong."""


class InvalidArchive(PermanentError):
    """What was uploaded cannot become an endpoint."""


class ArchiveNotFound(PermanentError):
    """There is no object where the input points."""


class AccessDenied(PermanentError):
    """A role lacks a permission."""


class ModelDoesNotFit(PermanentError):
    """The model exceeds memory, disk or start-up time of every size that is allowed."""


class QuotaTooSmall(PermanentError):
    """What was requested alone exceeds an account quota, and nothing less will do."""


class QuotaUsedUp(PermanentError):
    """Others hold all of an account quota; a request that asks for no number of its own waits for nobody."""


class NameConflict(PermanentError):
    """The name is taken by something other than what was requested."""


class ConsumerNotFound(PermanentError):
    """There is no such consumer function or alias."""


class ConsumerNotAllowed(PermanentError):
    """The consumer is a function that the stack may not switch: outside its pattern, its account or its region."""


class ConsumerUnreadable(PermanentError):
    """The consumer's environment variables cannot be read, so a change of one would write away the others."""


class ConsumerTaken(PermanentError):
    """The consumer calls another service of Sealift, and nobody said that it is to be taken over."""


class Superseded(PermanentError):
    """A newer upload of the service serves already; this deployment stood down and removed what it had made."""


class StackChanged(PermanentError):
    """The stack was updated between two states of the execution, and what one decided the other would do otherwise."""


class RequestRejected(PermanentError):
    """AWS called the request itself wrong (a ValidationException with no name of its own here)."""


class Failed(SealiftError):
    """It was tried, and the answer was no."""


class EndpointFailed(Failed):
    """SageMaker gave up on the endpoint; the message carries its FailureReason."""


class EndpointTimedOut(Failed):
    """The endpoint was neither InService nor Failed before the deadline."""


class EndpointMoved(Failed):
    """The service's one endpoint came or went since it was planned what to do with it; the workflow plans again."""


class SmokeTestFailed(Failed):
    """The endpoint is InService and does not answer as expected."""


class ConsumerFailed(Failed):
    """The consumer does not work with the new endpoint."""


class ConsumerMoved(Failed):
    """The consumer was switched by somebody else since it was read; the workflow reads it again."""


class Undiagnosed(Failed):
    """The failure could not even be looked into; the cause carries what the failed state said."""


class TransientError(SealiftError):
    """May pass later; the state machine decides when to try again."""


class ResourceLimitExceeded(TransientError):
    """An account quota is used up."""


class Throttled(TransientError):
    """AWS asked for fewer requests."""


class ServiceUnavailable(TransientError):
    """AWS answered 5xx, or did not answer."""


class NotYetVisible(TransientError):
    """Something made a moment ago is not seen everywhere yet."""


class EndpointBusy(TransientError):
    """The endpoint is Creating, Updating or Deleting, and AWS refuses changes until that is over."""


class ModelNotReady(TransientError):
    """The serverless container is still being provisioned (HTTP 429 ModelNotReadyException)."""


class ConsumerBusy(TransientError):
    """The consumer function is being updated by somebody."""


class ConsumerChanged(TransientError):
    """The consumer's configuration is no longer the one that was read."""


def walk(root: type[SealiftError] = SealiftError) -> Iterator[type[SealiftError]]:
    """Yield every class below `root`, leaves and branches, in the order of definition."""
    for child in root.__subclasses__():
        yield child
        yield from walk(child)


def names(root: type[SealiftError] = SealiftError) -> list[str]:
    """Return the names of the leaves below `root`: the error names that the state machine may see."""
    return [cls.__name__ for cls in walk(root) if not cls.__subclasses__()]


def sentence(subject: str, problems: tuple[Problem, ...], count: int | None = None) -> str:
    """Return problems as one message.

    Args:
        subject: what they are about.
        problems: all of them, or the first.
        count: how many there are; as many as are given when None.
    """
    count = len(problems) if count is None else count
    places = {problem.where or subject for problem in problems}
    if len(places) == 1:
        (subject,) = places
    if count == 1:
        return f"{subject}: {problems[0]}"
    apart = [f"{problem.where or subject}: " if len(places) > 1 else "" for problem in problems]
    listed = "; ".join(f"({n}) {apart[n - 1]}{problem}" for n, problem in enumerate(problems, 1))
    return f"{subject}: {count} problems: {listed}"
