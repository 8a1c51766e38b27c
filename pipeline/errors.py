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
    │   ├── Superseded                a newer upload of the service serves already
    │   ├── ImageNotFound             there is no such image or layer, or no repository to push it to
    │   ├── RegistryRefused           a registry does not let in whoever asks, or does not take the request
    │   ├── ImageTooLarge             no endpoint of the kind that was asked for takes so large an image
    │   ├── StackChanged              the stack was updated while the execution ran, or before it was redriven
    │   └── RequestRejected           AWS called the request itself wrong
    ├── Failed                      it was tried, and the answer was no
    │   ├── EndpointFailed            SageMaker gave up on the endpoint
    │   ├── EndpointTimedOut          neither InService nor Failed before the deadline
    │   ├── EndpointMoved             the service's one endpoint came or went since the plan; it is planned again
    │   ├── SmokeTestFailed           the endpoint is up and does not answer as expected
    │   ├── QualityGateFailed         it answers worse than the suite, and the earlier deployment, ask for
    │   ├── ConsumerFailed            the consumer does not work with the new endpoint
    │   ├── ConsumerMoved             the consumer calls another endpoint than was read; it is read again
    │   ├── ImageNotAssembled         the model's layer does not come to an end, however often it goes on
    │   ├── WrongDigest               the bytes of an image are not those that their digest names
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
from typing import TYPE_CHECKING, Final, TypedDict, cast

from pipeline.plain import one_line, plain

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from typing import Unpack

    from pipeline.quota_refusal import QuotaRefusal


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
        return f"{self.why}; {self.fix}"

    @property
    def why(self) -> str:
        """What is wrong, without what to do."""
        return f"{self.seen}; wanted {self.wanted}"

    def to_json(self) -> dict[str, str]:
        """Return the four parts as a JSON object, and the place where one is known."""
        return {name: value for name, value in asdict(self).items() if value or name != "where"}


CONSUMER_DENIED: Final = "ConsumerDenied"
"""The cause's name where a role was denied a call about a consumer."""


class ErrorFields(TypedDict, total=False):
    """What an error knows beside its sentence: given where it is raised, read where it is told (`error_codec`)."""

    cause: str
    """A stable name of the cause in CamelCase, where that says more than the error's name."""
    why: str
    """What the cause is, in one sentence."""
    fix: str
    """What to do next."""
    waiting: str
    """What is waited for; empty where waiting does not help."""
    refusal: QuotaRefusal
    """What AWS said of a quota."""


class SealiftError(Exception):
    """Base of all deliberate failures; ``str()`` is one message written for a person, in one line and plain.

    `why`, `fix` and `waiting` of a class are what is known of the error by its name alone; whoever raises one and knows
    more says so.
    """

    cause: str = ""
    why: str = ""
    fix: str = ""
    waiting: str = ""
    refusal: QuotaRefusal | None = None

    def __init__(self, message: str, **fields: Unpack[ErrorFields]) -> None:
        super().__init__(message)
        for name, value in fields.items():
            if value:
                setattr(self, name, one_line(value) if isinstance(value, str) else value)

    def __str__(self) -> str:
        return one_line(super().__str__())

    @property
    def given(self) -> ErrorFields:
        """The fields that are this very error's, not its class's."""
        own = vars(self)
        return cast("ErrorFields", {name: own[name] for name in ErrorFields.__annotations__ if name in own})


class PermanentError(SealiftError):
    """Somebody must change something: carries every problem that was found, not just the first.

    `why` and `fix` are those of the problem, where it is one; of several each has its own, in the sentence.
    """

    def __init__(self, subject: str, problems: Iterable[Problem], **fields: Unpack[ErrorFields]) -> None:
        self.subject = plain(subject)
        self.problems = tuple(problems)
        if not self.problems:
            raise ValueError(f"{type(self).__name__} about {subject!r} needs at least one problem")
        if len(self.problems) == 1:
            (only,) = self.problems
            fields = {"why": only.why, "fix": only.fix, **fields}
        super().__init__(sentence(self.subject, self.problems), **fields)


class InvalidInput(PermanentError):
    """The execution input, the settings or a command line is wrong."""

    why = "the execution's input is not a deployment request"
    fix = "correct the input and start again"


class InvalidArchive(PermanentError):
    """What was uploaded cannot become an endpoint."""

    why = "the archive cannot become an endpoint"
    fix = "make it with `sealift pack` and upload it again"


class ArchiveNotFound(PermanentError):
    """There is no object where the input points."""

    why = "there is no such object"
    fix = "check bucket, key and version_id"


class AccessDenied(PermanentError):
    """A role lacks a permission."""

    why = "a role lacks a permission"
    fix = "add the action that the message names to the role's policy"


class ModelDoesNotFit(PermanentError):
    """The model exceeds memory, disk or start-up time of every size that is allowed."""

    why = "no allowed size holds the model"
    fix = "use a smaller quantisation or n_ctx"


class QuotaTooSmall(PermanentError):
    """What was requested alone exceeds an account quota, and nothing less will do."""

    why = "an account quota is smaller than what the deployment needs"
    fix = "lower n_ctx or max_concurrency, use a smaller quantisation, or ask AWS for the quota that the message names"


class QuotaUsedUp(PermanentError):
    """Others hold all of an account quota; a request that asks for no number of its own waits for nobody."""

    why = (
        "others hold all that the account may have, and a deployment that asks for no number waits for nobody"
    )
    fix = "make room by one of the commands in the message, or say max_concurrency, which is waited for"


class NameConflict(PermanentError):
    """The name is taken by something other than what was requested."""

    why = "the name is taken by something else"
    fix = "delete what has the name, or change the service's name"


class ConsumerNotFound(PermanentError):
    """There is no such consumer function or alias."""

    why = "there is no such consumer"
    fix = "check consumer.function_name and consumer.alias"


class ConsumerNotAllowed(PermanentError):
    """The consumer is a function that the stack may not switch: outside its pattern, its account or its region."""

    why = "the consumer is not a function that the stack may switch"
    fix = "do what the message says: widen the stack's pattern, or name another function"


class ConsumerUnreadable(PermanentError):
    """The consumer's environment variables cannot be read, so a change of one would write away the others."""

    why = "the consumer's environment variables are encrypted with a key that the stack's roles may not use"
    fix = "give the stack the key, as the message says, and start again"


class ConsumerTaken(PermanentError):
    """The consumer calls another service of Sealift, and nobody said that it is to be taken over."""

    why = "another service of Sealift serves the consumer"
    fix = 'say "take_over": true in its entry to take it over, name another one, or say "consumer": null'


class Superseded(PermanentError):
    """A newer upload of the service serves already; this deployment stopped and removed what it had created."""

    why = "a newer upload of the service serves already, and the newest wins"
    fix = "nothing need be done; to deploy the older archive all the same, upload it again"


class ImageNotFound(PermanentError):
    """There is no such image or layer in a registry, or no repository to push it to."""

    why = "the registry has no such image, layer or repository"
    fix = "check the name, as the message has it; a base that was deleted needs another --base"


class RegistryRefused(PermanentError):
    """A registry does not let in whoever asks, or does not take the request."""

    why = "the registry refuses"
    fix = "log in to it, or ask whoever keeps it; the message has its own words"


class ImageTooLarge(PermanentError):
    """An image is larger than the endpoints that it is for take."""

    why = "the image is larger than AWS takes"
    fix = "use a smaller quantisation, or host it on an instance"


class StackChanged(PermanentError):
    """The stack was updated between two states of the execution, and what one decided the other would do otherwise."""

    why = "the stack was updated while the execution ran, or before it was redriven"
    fix = "start the deployment again, with `sealift start`: a redrive would meet the same"


class RequestRejected(PermanentError):
    """AWS called the request itself wrong (a ValidationException with no name of its own here)."""

    why = "AWS does not take the request"
    fix = "correct what the message names in the execution input, and start again"


class Failed(SealiftError):
    """It was tried, and the answer was no."""


class EndpointFailed(Failed):
    """SageMaker gave up on the endpoint; the message carries its FailureReason."""

    why = "SageMaker gave up on the endpoint, and its reason is not one that Sealift knows by name"
    fix = "read the reason above and the log group /aws/sagemaker/Endpoints/<endpoint>"


class EndpointTimedOut(Failed):
    """The endpoint was neither InService nor Failed before the deadline."""

    why = "SageMaker neither started the endpoint nor gave up before the deadline"
    fix = "look at the endpoint in the SageMaker console; raise deadline_s if it is only slow"


class EndpointMoved(Failed):
    """The service's one endpoint came or went since it was planned what to do with it; the workflow plans again."""

    why = "another deployment of the service made or deleted its one endpoint meanwhile"
    fix = "start the execution again"


class SmokeTestFailed(Failed):
    """The endpoint is InService and does not answer as expected."""

    why = "the endpoint's answer is not what was expected"
    fix = "correct smoke_test.expect, or the model"


class QualityGateFailed(Failed):
    """The new endpoint is worse than what the suite, and the earlier deployment, ask of it."""

    why = "the new endpoint's answers are worse than the quality gate allows"
    fix = "compare both answers in the report; correct the model, or the suite's expectations"


class ConsumerFailed(Failed):
    """The consumer does not work with the new endpoint."""

    why = "the consumer does not work with the new endpoint"
    fix = "read the consumer's log; its own code or its permission to call the endpoint"


class ConsumerMoved(Failed):
    """The consumer was switched by somebody else since it was read; the workflow reads it again."""

    why = "another deployment of the service switched the consumer meanwhile"
    fix = "start the execution again"


class ImageNotAssembled(Failed):
    """The model's layer of an image does not come to an end, however often it goes on."""

    why = "S3 or ECR is too slow for a model of this size, or ECR loses what it was sent"
    fix = "start the deployment again later, or deploy the model as an archive or on an instance"


class WrongDigest(Failed):
    """The bytes of an image, as a registry gave or got them, are not those that their digest names."""

    why = "bytes of an image were damaged on their way or where they are stored"
    fix = "try again; if it stays so, the registry's copy is damaged: build or push that image anew"


class Undiagnosed(Failed):
    """The failure could not even be looked into; the cause carries what the failed state said."""

    why = "the failure could not be looked into"
    fix = "read the message above and the state's log"


class TransientError(SealiftError):
    """May pass later; the state machine decides when to try again."""


class ResourceLimitExceeded(TransientError):
    """An account quota is used up."""

    why = "an account quota is used up"
    fix = "lower max_concurrency or delete endpoints that are no longer used, or ask for a higher quota"
    waiting = "waiting for quota"


class Throttled(TransientError):
    """AWS asked for fewer requests."""

    why = "AWS kept asking for fewer requests"
    fix = "start the execution again later"
    waiting = "AWS asks for fewer requests"


class ServiceUnavailable(TransientError):
    """AWS answered 5xx, or did not answer."""

    why = "AWS kept failing"
    fix = "start the execution again later"
    waiting = "AWS service error (5xx)"


class NotYetVisible(TransientError):
    """Something made a moment ago is not seen everywhere yet."""

    why = "what was made a moment ago could not be seen in time"
    fix = "start the execution again; if it stays so, look for somebody who deletes it"
    waiting = "waiting until what was made is seen everywhere"


class EndpointBusy(TransientError):
    """The endpoint is Creating, Updating or Deleting, and AWS refuses changes until that is over."""

    why = "the endpoint's previous change did not finish"
    fix = "wait for it, then start again"
    waiting = "waiting for the endpoint update to finish"


class ModelNotReady(TransientError):
    """The serverless container is still being provisioned (HTTP 429 ModelNotReadyException)."""

    why = "the serverless container was not provisioned in time"
    fix = "start the execution again; read the container's log if it stays so"
    waiting = "waiting for the container to start"


class ConsumerBusy(TransientError):
    """The consumer function is being updated by somebody."""

    why = "the consumer's update did not finish"
    fix = "look at the consumer function, then start again"
    waiting = "waiting for another change of the consumer to end"


class ConsumerChanged(TransientError):
    """The consumer's configuration is no longer the one that was read."""

    why = "somebody else changed the consumer meanwhile"
    fix = "start the execution again"
    waiting = "somebody changed the consumer, reading it again"


def walk(root: type[SealiftError] = SealiftError) -> Iterator[type[SealiftError]]:
    """Yield every class below `root`, leaves and branches, in the order of definition."""
    for child in root.__subclasses__():
        yield child
        yield from walk(child)


def names(root: type[SealiftError] = SealiftError) -> list[str]:
    """Return the names of the leaves below `root`: the error names that the state machine may see."""
    return [cls.__name__ for cls in walk(root) if not cls.__subclasses__()]


def by_name(name: str) -> type[SealiftError] | None:
    """Return the error of a name that the state machine may see; None for anybody else's."""
    return next((cls for cls in walk() if cls.__name__ == name and not cls.__subclasses__()), None)


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
