"""Statuses of an endpoint: one total table, equal to SageMaker's own."""

from __future__ import annotations

import botocore.session
import pytest

from pipeline import endpoint_status
from pipeline.endpoint_status import STATUSES, EndpointVerdict, verdict


def test_the_table_knows_every_status_that_sagemaker_has() -> None:
    """A status that AWS adds fails here first."""
    model = botocore.session.get_session().get_service_model("sagemaker")

    assert set(STATUSES) == set(model.shape_for("EndpointStatus").enum)


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        pytest.param("InService", EndpointVerdict.READY, id="InService"),
        pytest.param("Creating", EndpointVerdict.WAIT, id="Creating"),
        pytest.param("Updating", EndpointVerdict.WAIT, id="Updating"),
        pytest.param("SystemUpdating", EndpointVerdict.WAIT, id="SystemUpdating"),
        pytest.param("RollingBack", EndpointVerdict.WAIT, id="RollingBack"),
        pytest.param("Failed", EndpointVerdict.FAILED, id="Failed"),
        pytest.param("Deleting", EndpointVerdict.FAILED, id="Deleting"),
        pytest.param("OutOfService", EndpointVerdict.FAILED, id="OutOfService"),
        pytest.param("UpdateRollbackFailed", EndpointVerdict.FAILED, id="UpdateRollbackFailed"),
    ],
)
def test_a_status_says_what_comes_next(status: str, expected: EndpointVerdict) -> None:
    """Only InService is ready; what passes by itself waits; all else has failed."""
    assert verdict(status, "wanted", "wanted") is expected


@pytest.mark.parametrize("status", [pytest.param(status, id=status) for status in STATUSES])
def test_no_status_is_ready_on_another_configuration(status: str) -> None:
    """InService on the old configuration is how an update that did not take looks."""
    found = verdict(status, "old", "wanted")

    assert found is not EndpointVerdict.READY
    assert (found is EndpointVerdict.FAILED) == (STATUSES[status].verdict is not EndpointVerdict.WAIT)


def test_an_unknown_status_is_an_error() -> None:
    """There is no default: a guess here would wait for ever or delete what serves."""
    with pytest.raises(KeyError, match="Hibernating"):
        verdict("Hibernating", "a", "a")


def test_what_cannot_be_deleted_is_what_passes_by_itself() -> None:
    """DeleteEndpoint is refused exactly while SageMaker works on the endpoint."""
    waiting = {status for status, meaning in STATUSES.items() if meaning.verdict is EndpointVerdict.WAIT}

    assert waiting == endpoint_status.UNDELETABLE


@pytest.mark.parametrize(
    ("column", "statuses"),
    [
        pytest.param(
            endpoint_status.ALIVE,
            "Creating Updating SystemUpdating RollingBack InService",
            id="serves, or may again",
        ),
        pytest.param(
            endpoint_status.USABLE, "Creating Updating SystemUpdating InService", id="may be taken over"
        ),
        pytest.param(
            endpoint_status.MOVING, "Updating SystemUpdating RollingBack Deleting", id="may give room"
        ),
        pytest.param(
            endpoint_status.UNDELETABLE,
            "Creating Updating SystemUpdating RollingBack",
            id="cannot be deleted",
        ),
    ],
)
def test_each_question_has_its_statuses(column: frozenset[str], statuses: str) -> None:
    """What is being created gives no room; what rolls back is no place for an update; what is deleted serves nobody."""
    assert column == set(statuses.split())
