"""The two state machines of hosting, as total tables: an endpoint's status and a serverless container's.

Owns what follows what. Refuses to know about processes, threads or time: the shell reports events and obeys.
"""

from __future__ import annotations

from enum import Enum, auto

from local_cloud.hosting.platform import texts
from local_cloud.hosting.platform.refusals import (
    AwsError,
    invalid,
)


class Status(Enum):
    """The endpoint statuses that occur here, a subset of the service model's EndpointStatus."""

    CREATING = "Creating"
    UPDATING = "Updating"
    IN_SERVICE = "InService"
    DELETING = "Deleting"
    FAILED = "Failed"


class ComponentStatus(Enum):
    """The statuses of an inference component (service model, InferenceComponentStatus)."""

    CREATING = "Creating"
    UPDATING = "Updating"
    IN_SERVICE = "InService"
    DELETING = "Deleting"
    FAILED = "Failed"


INTERNAL_STATE: dict[ComponentStatus, str] = {
    ComponentStatus.CREATING: "CREATE_IN_PROGRESS",
    ComponentStatus.UPDATING: "UPDATE_RC_IN_PROGRESS",
    ComponentStatus.DELETING: "DELETE_IN_PROGRESS",
}
"""In which a component is neither changed nor deleted, with the name that refusals have for it."""


class EndpointChange(Enum):
    """What can happen to an endpoint: three requests, and the two ends of a job."""

    UPDATE = auto()
    RESCALE = auto()
    DELETE = auto()
    READY = auto()
    UNFIT = auto()


class Refusal(Enum):
    """Why a request is refused in a status."""

    IN_PROGRESS = auto()
    ONLY_DELETE = auto()


ENDPOINT: dict[tuple[Status, EndpointChange], Status | Refusal] = {
    (Status.CREATING, EndpointChange.READY): Status.IN_SERVICE,
    (Status.CREATING, EndpointChange.UNFIT): Status.FAILED,
    (Status.CREATING, EndpointChange.UPDATE): Refusal.IN_PROGRESS,
    (Status.CREATING, EndpointChange.RESCALE): Refusal.IN_PROGRESS,
    (Status.CREATING, EndpointChange.DELETE): Refusal.IN_PROGRESS,
    (Status.IN_SERVICE, EndpointChange.UPDATE): Status.UPDATING,
    (Status.IN_SERVICE, EndpointChange.RESCALE): Status.UPDATING,
    (Status.IN_SERVICE, EndpointChange.DELETE): Status.DELETING,
    (Status.UPDATING, EndpointChange.READY): Status.IN_SERVICE,
    # A failed update leaves the endpoint in service on its old configuration, with a FailureReason.
    (Status.UPDATING, EndpointChange.UNFIT): Status.IN_SERVICE,
    (Status.UPDATING, EndpointChange.UPDATE): Refusal.IN_PROGRESS,
    (Status.UPDATING, EndpointChange.RESCALE): Refusal.IN_PROGRESS,
    (Status.UPDATING, EndpointChange.DELETE): Refusal.IN_PROGRESS,
    (Status.DELETING, EndpointChange.UPDATE): Refusal.IN_PROGRESS,
    (Status.DELETING, EndpointChange.RESCALE): Refusal.IN_PROGRESS,
    (Status.DELETING, EndpointChange.DELETE): Refusal.IN_PROGRESS,
    (Status.FAILED, EndpointChange.UPDATE): Refusal.ONLY_DELETE,
    (Status.FAILED, EndpointChange.RESCALE): Refusal.ONLY_DELETE,
    (Status.FAILED, EndpointChange.DELETE): Status.DELETING,
}
"""Status and change -> next status, or why not. A pair that is missing cannot happen: KeyError."""

SERVING = frozenset({Status.IN_SERVICE, Status.UPDATING})
"""The statuses in which the runtime answers."""


def next_status(status: Status, change: EndpointChange, arn: str) -> Status:
    """Return the status that follows; raise the ValidationException that refuses the request."""
    outcome = ENDPOINT[status, change]
    if outcome is Refusal.IN_PROGRESS:
        raise invalid(texts.in_progress(arn))
    if outcome is Refusal.ONLY_DELETE:
        raise invalid(texts.only_delete(arn))
    return outcome


class Warmth(Enum):
    """The states of the one container behind a serverless endpoint."""

    STARTING = auto()
    WARM = auto()
    COLD = auto()
    BROKEN = auto()
    """The last start failed, and no call has had the error yet."""


class Occurrence(Enum):
    """What can happen to the container."""

    CALLED = auto()
    STARTED = auto()
    START_FAILED = auto()
    LOST = auto()
    """A call found the process gone."""


class Step(Enum):
    """What the shell does next."""

    NOTHING = auto()
    FORWARD = auto()
    LAUNCH = auto()
    """Start a container in the background, and tell the caller to come back."""
    COME_BACK = auto()
    REPORT = auto()
    """Tell the caller why the last start failed."""


CONTAINER: dict[tuple[Warmth, Occurrence], tuple[Warmth, Step]] = {
    (Warmth.STARTING, Occurrence.CALLED): (Warmth.STARTING, Step.COME_BACK),
    (Warmth.STARTING, Occurrence.STARTED): (Warmth.WARM, Step.NOTHING),
    (Warmth.STARTING, Occurrence.START_FAILED): (Warmth.BROKEN, Step.NOTHING),
    (Warmth.WARM, Occurrence.CALLED): (Warmth.WARM, Step.FORWARD),
    (Warmth.WARM, Occurrence.LOST): (Warmth.COLD, Step.NOTHING),
    (Warmth.COLD, Occurrence.CALLED): (Warmth.STARTING, Step.LAUNCH),
    (Warmth.BROKEN, Occurrence.CALLED): (Warmth.COLD, Step.REPORT),
}
"""State and occurrence -> next state and what to do. A pair that is missing cannot happen: KeyError.

The call that finds the process gone fails with ModelError; the next one starts a new container and gets
ModelNotReadyException, as does every further one until the container answers its health check.
"""


class ContainerCondition(Enum):
    """How a container's process is."""

    RUNNING = auto()
    EXITED = auto()
    OUT_OF_MEMORY = auto()


class Verdict(Enum):
    """What one look at a starting container says."""

    WAIT = auto()
    READY = auto()
    EXITED = auto()
    OUT_OF_MEMORY = auto()
    TOO_LATE = auto()


def judge(condition: ContainerCondition, *, pinged: bool, elapsed_s: float, deadline_s: float) -> Verdict:
    """Return the verdict on a starting container; a dead process outweighs an answered ping."""
    if condition is ContainerCondition.OUT_OF_MEMORY:
        return Verdict.OUT_OF_MEMORY
    if condition is ContainerCondition.EXITED:
        return Verdict.EXITED
    if elapsed_s > deadline_s:
        return Verdict.TOO_LATE
    return Verdict.READY if pinged else Verdict.WAIT


def not_serving(name: str, account_id: str) -> AwsError:
    """Return the runtime's answer for an endpoint that is unknown, or not in `SERVING`."""
    return AwsError("ValidationError", texts.endpoint_not_found(name, account_id))
