"""What an endpoint's status means to a deployment: one total table.

The statuses are SageMaker's EndpointStatus; a test compares the table with botocore's enum, so that a status
that AWS adds fails a test here before it surprises anybody at night.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

from pipeline.naming import deployment_of

if TYPE_CHECKING:
    from collections.abc import Mapping


class EndpointVerdict(StrEnum):
    """What the workflow does next; `EndpointReady` in the state machine chooses by these words."""

    READY = "ready"
    WAIT = "wait"
    FAILED = "failed"
    HOLLOW = "hollow"
    """In service, and without the inference component that it is to host."""


@dataclass(frozen=True, slots=True)
class StatusMeaning:
    """What one status means."""

    verdict: EndpointVerdict
    alive: bool = False
    """It serves, or may serve again by itself."""
    usable: bool = False
    """A plan may take it over or update it: it is what was requested, or on its way there."""
    moving: bool = False
    """It holds concurrency that it may soon give back."""
    deletable: bool = True
    """DeleteEndpoint takes it; while others last it is refused with "Cannot update in-progress endpoint"."""


_WAIT, _FAILED = EndpointVerdict.WAIT, EndpointVerdict.FAILED

STATUSES: Final[Mapping[str, StatusMeaning]] = MappingProxyType(
    {
        "Creating": StatusMeaning(_WAIT, alive=True, usable=True, deletable=False),
        "Updating": StatusMeaning(_WAIT, alive=True, usable=True, moving=True, deletable=False),
        "SystemUpdating": StatusMeaning(_WAIT, alive=True, usable=True, moving=True, deletable=False),
        "RollingBack": StatusMeaning(_WAIT, alive=True, moving=True, deletable=False),
        "InService": StatusMeaning(EndpointVerdict.READY, alive=True, usable=True),
        "OutOfService": StatusMeaning(_FAILED),
        "Deleting": StatusMeaning(_FAILED, moving=True),
        "Failed": StatusMeaning(_FAILED),
        "UpdateRollbackFailed": StatusMeaning(_FAILED),
    }
)

ALIVE: Final = frozenset(status for status, meaning in STATUSES.items() if meaning.alive)
USABLE: Final = frozenset(status for status, meaning in STATUSES.items() if meaning.usable)
MOVING: Final = frozenset(status for status, meaning in STATUSES.items() if meaning.moving)
UNDELETABLE: Final = frozenset(status for status, meaning in STATUSES.items() if not meaning.deletable)
"""The table's columns: a status that is not known yet is in none of them."""


def verdict(status: str, config_name: str, wanted_config_name: str) -> EndpointVerdict:
    """Return what an endpoint's status means for the deployment that wants `wanted_config_name` in service.

    InService on another deployment's configuration is a failure: that is how an update that did not take looks. One
    of the same deployment has another concurrency, which somebody has given it meanwhile.

    Raises:
        KeyError: for a status that the table does not know.
    """
    meaning = STATUSES[status].verdict
    if meaning is EndpointVerdict.READY and deployment_of(config_name) != deployment_of(wanted_config_name):
        return EndpointVerdict.FAILED
    return meaning
