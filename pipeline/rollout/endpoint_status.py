"""What an endpoint's status means to a deployment: one total table.

The statuses are SageMaker's EndpointStatus; a test compares the table with botocore's enum, so that a status
that AWS adds fails a test here before it surprises anybody at night.
"""

from __future__ import annotations

from enum import StrEnum

from pipeline.naming import deployment_of


class EndpointVerdict(StrEnum):
    """What the workflow does next; `EndpointReady` in the state machine chooses by these words."""

    READY = "ready"
    WAIT = "wait"
    FAILED = "failed"


VERDICTS: dict[str, EndpointVerdict] = {
    "Creating": EndpointVerdict.WAIT,
    "Updating": EndpointVerdict.WAIT,
    "SystemUpdating": EndpointVerdict.WAIT,
    "RollingBack": EndpointVerdict.WAIT,
    "InService": EndpointVerdict.READY,
    "OutOfService": EndpointVerdict.FAILED,
    "Deleting": EndpointVerdict.FAILED,
    "Failed": EndpointVerdict.FAILED,
    "UpdateRollbackFailed": EndpointVerdict.FAILED,
}

UNDELETABLE = frozenset({"Creating", "Updating", "SystemUpdating", "RollingBack"})
"""DeleteEndpoint is refused with "Cannot update in-progress endpoint" while these last."""


def verdict(status: str, config_name: str, wanted_config_name: str) -> EndpointVerdict:
    """Return what an endpoint's status means for the deployment that wants `wanted_config_name` in service.

    InService on another deployment's configuration is a failure: that is how an update that did not take looks. One
    of the same deployment has another concurrency, which somebody has given it meanwhile.

    Raises:
        KeyError: for a status that the table does not know.
    """
    meaning = VERDICTS[status]
    if meaning is EndpointVerdict.READY and deployment_of(config_name) != deployment_of(wanted_config_name):
        return EndpointVerdict.FAILED
    return meaning
