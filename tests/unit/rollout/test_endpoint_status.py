"""Statuses of an endpoint: one total table, equal to SageMaker's own."""

from __future__ import annotations

import botocore.session
import pytest

from pipeline.rollout import endpoint_status
from pipeline.rollout.endpoint_status import VERDICTS, EndpointVerdict, verdict


def test_the_table_knows_every_status_that_sagemaker_has() -> None:
    """A status that AWS adds fails here first."""
    model = botocore.session.get_session().get_service_model("sagemaker")

    assert set(VERDICTS) == set(model.shape_for("EndpointStatus").enum)


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


@pytest.mark.parametrize("status", [pytest.param(status, id=status) for status in VERDICTS])
def test_no_status_is_ready_on_another_configuration(status: str) -> None:
    """InService on the old configuration is how an update that did not take looks."""
    found = verdict(status, "old", "wanted")

    assert found is not EndpointVerdict.READY
    assert (found is EndpointVerdict.FAILED) == (VERDICTS[status] is not EndpointVerdict.WAIT)


def test_an_unknown_status_is_an_error() -> None:
    """There is no default: a guess here would wait for ever or delete what serves."""
    with pytest.raises(KeyError, match="Hibernating"):
        verdict("Hibernating", "a", "a")


def test_what_cannot_be_deleted_is_what_passes_by_itself() -> None:
    """DeleteEndpoint is refused exactly while SageMaker works on the endpoint."""
    waiting = {status for status, meaning in VERDICTS.items() if meaning is EndpointVerdict.WAIT}

    assert waiting == endpoint_status.UNDELETABLE
