"""What an execution's data and its history may hold, kept to in moto's interpreter as Step Functions keeps to it.

moto looks at a task's result and a state's output, counts an escape for every letter beyond ASCII, and lets
`States.ALL` catch what has become too large. Here, as AWS documents it:

* The input of a state after `Parameters` is looked at too, and all three are counted as UTF-8.
* `States.ALL` catches neither `States.DataLimitExceeded` nor `States.Runtime`; a catcher that names the first does. A
  recording of AWS's from 2024 shows `States.ALL` catch a result that is too large
  (localstack, tests/aws/services/stepfunctions/v2/error_handling/test_states_errors.snapshot.json): whoever does
  without that is safe either way.
* Event 25,000 of a history is the execution's failure, with AWS's own text
  (https://github.com/floci-io/floci/issues/2734 tells how AWS's history ends).
* An input of more than 262,144 bytes starts nothing. AWS's model counts characters; what it says to an input between
  the two is not known, and here it is refused.

Sources: https://docs.aws.amazon.com/step-functions/latest/dg/concepts-error-handling.html and service-quotas.html.
"""

from __future__ import annotations

import functools
import json
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, Final

from botocore.exceptions import ConnectionError as NoConnection
from botocore.exceptions import HTTPClientError
from moto.stepfunctions.parser.api import HistoryEventType, TaskFailedEventDetails
from moto.stepfunctions.parser.asl.component.common.error_name import error_equals_decl
from moto.stepfunctions.parser.asl.component.common.error_name.custom_error_name import CustomErrorName
from moto.stepfunctions.parser.asl.component.common.error_name.failure_event import (
    FailureEvent,
    FailureEventException,
)
from moto.stepfunctions.parser.asl.component.common.error_name.states_error_name import StatesErrorName
from moto.stepfunctions.parser.asl.component.common.error_name.states_error_name_type import (
    StatesErrorNameType,
)
from moto.stepfunctions.parser.asl.component.common.parargs import Parargs
from moto.stepfunctions.parser.asl.component.state import state
from moto.stepfunctions.parser.asl.component.state.exec.execute_state import ExecutionState
from moto.stepfunctions.parser.asl.component.state.exec.state_task import state_task_lambda
from moto.stepfunctions.parser.asl.component.state.exec.state_task.service import state_task_service
from moto.stepfunctions.parser.asl.eval.event.event_detail import EventDetails
from moto.stepfunctions.parser.asl.eval.event.event_manager import EventManager

from local_cloud.faults import Response, render
from pipeline import limits, payload

if TYPE_CHECKING:
    from local_cloud.calls import AwsCall

ENDS: Final = frozenset({"ExecutionSucceeded", "ExecutionFailed", "ExecutionTimedOut", "ExecutionAborted"})
"""What may be the last event of all."""

_TERMINAL: Final = tuple(
    StatesErrorName(typ=kind)
    for kind in (StatesErrorNameType.StatesStatesDataLimitExceeded, StatesErrorNameType.StatesRuntime)
)
_ALL: Final = StatesErrorName(typ=StatesErrorNameType.StatesALL)


class _HistoryFull(FailureEventException):  # type: ignore[misc]  # moto tells no types
    """The history has no room but for its end."""

    def __init__(self) -> None:
        error = StatesErrorNameType.StatesRuntime.to_name()
        cause = f"The execution reached the maximum number of history events ({limits.HISTORY_EVENTS.value})."
        self._details = {"error": error, "cause": cause}
        details = EventDetails(taskFailedEventDetails=TaskFailedEventDetails(**self._details))
        name = StatesErrorName(typ=StatesErrorNameType.StatesRuntime)
        super().__init__(
            SimpleNamespace(error_name=name, event_type=HistoryEventType.TaskFailed, event_details=details)
        )

    def get_execution_failed_event_details(self) -> Any:
        """Return AWS's words as they are; moto puts the state's name before them."""
        return dict(self._details)


def refusal(call: AwsCall, body: bytes) -> Response | None:
    """Return what StartExecution answers to an input that is too long; None to any other.

    Args:
        call: the call.
        body: its parameters.
    """
    given = str(json.loads(body).get("input") or "")
    most = limits.STATE_PAYLOAD.value
    if len(given.encode(errors="backslashreplace")) <= most:
        return None
    text = (
        "1 validation error detected: Value at 'input' failed to satisfy constraint: "
        f"Member must have length less than or equal to {most}"
    )
    return render(call, "ValidationException", text)


def install() -> None:
    """Let moto's interpreter keep to all of it."""
    for module in (state, state_task_service, state_task_lambda):
        module.is_within_size_quota = _is_within
    error_equals_decl.ErrorEqualsDecl._eval_body = _equals  # noqa: SLF001 the one place where names are compared
    Parargs._eval_body = _evaluated  # noqa: SLF001 the one place where Parameters are evaluated
    EventManager.add_event = _added
    ExecutionState._from_error = _from_error  # noqa: SLF001 where an exception gets its error name


def _is_within(value: Any) -> bool:
    return payload.size(value) <= limits.STATE_PAYLOAD.value


def _equals(self: error_equals_decl.ErrorEqualsDecl, env: Any) -> None:
    if _ALL in self.error_names and env.stack[-1] in _TERMINAL:
        env.stack[-1] = False
        return
    _compare(self, env)


_compare = error_equals_decl.ErrorEqualsDecl._eval_body  # noqa: SLF001 as moto has it


def _evaluated(self: Parargs, env: Any) -> None:
    _evaluate(self, env)
    if _is_within(env.stack[-1]):
        return
    error = StatesErrorNameType.StatesStatesDataLimitExceeded
    cause = (
        f"The input of state '{env.next_state_name}', after Parameters, has a size exceeding the maximum number of "
        "bytes service limit."
    )
    details = EventDetails(taskFailedEventDetails=TaskFailedEventDetails(error=error.to_name(), cause=cause))
    raise FailureEventException(
        FailureEvent(
            env=env,
            error_name=StatesErrorName(typ=error),
            event_type=HistoryEventType.TaskFailed,
            event_details=details,
        )
    )


_evaluate = Parargs._eval_body  # noqa: SLF001 as moto has it


@functools.wraps(EventManager.add_event)
def _added(self: EventManager, context: Any, event_type: HistoryEventType, *given: Any, **named: Any) -> int:
    # One event is kept for the end.
    full = len(self._history_event_list) + 1 >= limits.HISTORY_EVENTS.value
    if full and event_type not in ENDS:
        raise _HistoryFull
    number: int = _add(self, context, event_type, *given, **named)
    return number


_add = EventManager.add_event


def _from_error(self: ExecutionState, env: Any, ex: Exception) -> FailureEvent:
    """Return the error of an exception: one of the SDK that had no answer is AWS's SdkClientException, no Runtime."""
    if not isinstance(ex, HTTPClientError | NoConnection):
        return _name_error(self, env, ex)
    service = getattr(getattr(self, "resource", None), "service_name", "sdk")
    error = f"{str(service).capitalize()}.SdkClientException"
    details = EventDetails(taskFailedEventDetails=TaskFailedEventDetails(error=error, cause=str(ex)))
    return FailureEvent(
        env=env,
        error_name=CustomErrorName(error),
        event_type=HistoryEventType.TaskFailed,
        event_details=details,
    )


_name_error = ExecutionState._from_error  # noqa: SLF001 as moto has it
