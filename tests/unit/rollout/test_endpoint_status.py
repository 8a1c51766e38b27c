"""Statuses of an endpoint: one total table, equal to SageMaker's own."""

from __future__ import annotations

import botocore.session
import pytest

from pipeline.rollout import endpoint_status
from pipeline.rollout.endpoint_status import VERDICTS, Verdict, verdict


def test_the_table_knows_every_status_that_sagemaker_has() -> None:
    """A status that AWS adds fails here first."""
    model = botocore.session.get_session().get_service_model("sagemaker")

    assert set(VERDICTS) == set(model.shape_for("EndpointStatus").enum)


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        pytest.param("InService", Verdict.READY, id="InService"),
        pytest.param("Creating", Verdict.WAIT, id="Creating"),
        pytest.param("Updating", Verdict.WAIT, id="Updating"),
        pytest.param("SystemUpdating", Verdict.WAIT, id="SystemUpdating"),
        pytest.param("RollingBack", Verdict.WAIT, id="RollingBack"),
        pytest.param("Failed", Verdict.FAILED, id="Failed"),
        pytest.param("Deleting", Verdict.FAILED, id="Deleting"),
        pytest.param("OutOfService", Verdict.FAILED, id="OutOfService"),
        pytest.param("UpdateRollbackFailed", Verdict.FAILED, id="UpdateRollbackFailed"),
    ],
)
def test_a_status_says_what_comes_next(status: str, expected: Verdict) -> None:
    """Only InService is ready; what passes by itself waits; all else has failed."""
    assert verdict(status, "wanted", "wanted") is expected


@pytest.mark.parametrize("status", [pytest.param(status, id=status) for status in VERDICTS])
def test_no_status_is_ready_on_another_configuration(status: str) -> None:
    """InService on the old configuration is how an update that did not take looks."""
    found = verdict(status, "old", "wanted")

    assert found is not Verdict.READY
    assert (found is Verdict.FAILED) == (VERDICTS[status] is not Verdict.WAIT)


def test_an_unknown_status_is_an_error() -> None:
    """There is no default: a guess here would wait for ever or delete what serves."""
    with pytest.raises(KeyError, match="Hibernating"):
        verdict("Hibernating", "a", "a")


def test_what_cannot_be_deleted_is_what_passes_by_itself() -> None:
    """DeleteEndpoint is refused exactly while SageMaker works on the endpoint."""
    waiting = {status for status, meaning in VERDICTS.items() if meaning is Verdict.WAIT}

    assert waiting == endpoint_status.UNDELETABLE
