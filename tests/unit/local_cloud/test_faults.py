"""Which call a fault strikes, and how often."""

from __future__ import annotations

import pytest

from local_cloud.calls import AwsCall
from local_cloud.faults import Accident, Fault, Faults
from pipeline.errors import InvalidInput

CREATE = AwsCall("sagemaker", "CreateEndpoint", "us-east-1")
DESCRIBE = AwsCall("sagemaker", "DescribeEndpoint", "us-east-1")


def strikes(fault: Fault, calls: int, *, caller: str = "") -> list[bool]:
    """Return which of so many equal calls the fault strikes."""
    faults = Faults([fault])
    return [faults.strike(CREATE, caller) is not None for _ in range(calls)]


@pytest.mark.parametrize(
    ("times", "after", "struck"),
    [
        pytest.param(None, 0, [True, True, True, True], id="for ever"),
        pytest.param(1, 0, [True, False, False, False], id="once"),
        pytest.param(1, 2, [False, False, True, False], id="the third"),
        pytest.param(None, 2, [False, False, True, True], id="from the third on"),
    ],
)
def test_a_fault_strikes_the_calls_that_it_names(times: int | None, after: int, struck: list[bool]) -> None:
    """`after` calls go well, `times` fail, and all others go well again."""
    fault = Fault("sagemaker", "CreateEndpoint", "InternalFailure", times=times, after=after)

    assert strikes(fault, 4) == struck


def test_a_fault_of_one_caller_leaves_the_others_alone() -> None:
    """Neither does it strike another's calls, nor does it count them."""
    fault = Fault("sagemaker", "CreateEndpoint", "InternalFailure", times=1, after=1, caller="CreateEndpoint")
    faults = Faults([fault])

    assert [faults.strike(CREATE, name) for name in ("RollBack", "CreateEndpoint", "RollBack")] == [None] * 3
    assert faults.strike(CREATE, "CreateEndpoint") == fault


def test_other_operations_are_not_counted() -> None:
    """The n-th call is the n-th of its operation."""
    fault = Fault("sagemaker", "CreateEndpoint", "InternalFailure", times=1, after=1)
    faults = Faults([fault])

    assert [faults.strike(call) for call in (CREATE, DESCRIBE)] == [None, None]
    assert faults.strike(CREATE) == fault


@pytest.mark.parametrize(("times", "struck"), [(1, 1), (None, 3)])
def test_how_often_a_fault_struck_is_known(times: int | None, struck: int) -> None:
    """Of five calls, the first two go well."""
    fault = Fault("sagemaker", "CreateEndpoint", "InternalFailure", times=times, after=2)
    faults = Faults([fault])
    for _ in range(5):
        faults.strike(CREATE)

    assert faults.struck(fault) == struck


def test_an_accident_is_written_like_an_error_code() -> None:
    """`--fault` takes accidents too."""
    fault = Fault.parse("sagemaker.CreateEndpoint=KilledAfter:1")

    assert fault.accident is Accident.KILLED_AFTER
    assert Fault.parse("sagemaker.CreateEndpoint=InternalFailure").accident is None


def test_a_fault_without_an_operation_is_refused() -> None:
    """The refusal shows how to write one."""
    with pytest.raises(InvalidInput, match=r"SERVICE\.Operation=ErrorCode"):
        Fault.parse("sagemaker=InternalFailure")
