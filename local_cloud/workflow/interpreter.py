"""moto's state machine interpreter, set up for the local cloud: where it is, and how fast time passes.

moto runs the Amazon States Language well; ten things are adjusted, all here:

* A state machine made by CloudFormation lands in the backend that does not execute. Both are made one.
* Calls to Lambda and SNS go to a port taken from the environment. They go to the gateway.
* `Wait` and the intervals of Retry really sleep. They sleep for `scale` times as long.
* Choice takes a timestamp only in whole seconds and finds any other, its own `$$.State.EnteredTime` among
  them, silently unequal. It takes what the language specifies, which is RFC 3339.
* Every task's call made a client of its own, which costs more than the call, and had credentials of nobody. Clients
  are kept, and call as the role of their state machine.
* Every execution parsed its definition anew, a third of all that an execution costs. Programs are kept, pickled:
  each execution gets one of its own, since a program may keep what it has seen.
* Every use of a path parsed it anew, another seventh. Parsed paths are kept: they keep nothing of what they find.
* An execution's data are copied at every step, a fifth. They are copied by pickling, which is several times as quick.
* Nobody was notified when an execution ended. A callback is called, however it ended.
* Whoever stopped an execution could not say why, nor right after its start. DescribeExecution and the history tell,
  as AWS's do.

What an execution's data and its history may hold is `bounds`'.
"""

from __future__ import annotations

import functools
import logging
import pickle
import sys
import threading
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import moto.stepfunctions.models as plain
import moto.stepfunctions.parser.asl.component.common.retry.retrier_decl as retrier
from botocore.config import Config
from moto.core.config import default_user_config
from moto.core.exceptions import AWSError
from moto.core.responses import ActionResult
from moto.stepfunctions.parser.asl.component.common.path import result_path
from moto.stepfunctions.parser.asl.component.common.string import string_expression
from moto.stepfunctions.parser.asl.component.common.timeouts.timeout import TimeoutSeconds
from moto.stepfunctions.parser.asl.component.state.choice.comparison.operator.implementations.is_operator import (
    IsTimestamp,
)
from moto.stepfunctions.parser.asl.component.state.exec import execute_state
from moto.stepfunctions.parser.asl.component.state.exec.state_task.service import state_task_service
from moto.stepfunctions.parser.asl.component.state.wait.wait_function.wait_function import WaitFunction
from moto.stepfunctions.parser.asl.eval import states
from moto.stepfunctions.parser.asl.eval.event import event_manager
from moto.stepfunctions.parser.asl.eval.program_state import ProgramStopped
from moto.stepfunctions.parser.asl.parse.asl_parser import AmazonStateLanguageParser
from moto.stepfunctions.parser.asl.parse.preprocessor import Preprocessor
from moto.stepfunctions.parser.asl.utils import boto_client, json_path
from moto.stepfunctions.parser.backend.execution import BaseExecutionWorkerCommunication
from moto.stepfunctions.parser.backend.execution_worker import ExecutionWorker
from moto.stepfunctions.parser.models import stepfunctions_parser_backends
from moto.stepfunctions.responses import StepFunctionResponse

from local_cloud.workflow import bounds

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from moto.stepfunctions.parser.asl.component.eval_component import EvalComponent

_START_S = 10.0
"""That an execution's thread is given to come to its first state, which takes milliseconds."""
_make_client = boto_client.boto3.client
_CALLERS = tuple(
    module
    for name, module in sys.modules.items()
    if name.startswith("moto.stepfunctions.") and hasattr(module, "boto_client_for")
)
"""The modules of the interpreter that call AWS; each has the name of what makes their clients."""
_parse = functools.cache(json_path.parse)
_parse_plain = functools.cache(result_path.parse)
_note_the_end = BaseExecutionWorkerCommunication.terminated


class _ScaledTime:
    """Stands in for the `time` module where the interpreter sleeps between retries."""

    def __init__(self, scale: float) -> None:
        self._scale = scale

    def sleep(self, seconds: float) -> None:
        time.sleep(seconds * self._scale)  # noqa: TID251 the interpreter is what owns time


class _KeptClients:
    """Stands in for `boto_client_for`: one client for each service and role, which calls the gateway as that role."""

    def __init__(self, url: str, credentials: Callable[[str], Mapping[str, str]]) -> None:
        self._url = url
        self._credentials = credentials
        self._made: dict[tuple[str, str, str], Any] = {}
        self._lock = threading.Lock()

    def __call__(self, region: str, service: str, state_credentials: Any) -> Any:
        role = state_credentials.role_arn
        with self._lock:
            key = (service, region, role)
            if key not in self._made:
                self._made[key] = _make_client(
                    service,
                    region_name=region,
                    endpoint_url=self._url,
                    config=_AS_MOTO_DOES,
                    **self._credentials(role),
                )
            return self._made[key]


_AS_MOTO_DOES = Config(
    parameter_validation=False,
    retries={"total_max_attempts": 1},
    connect_timeout=TimeoutSeconds.DEFAULT_TIMEOUT_SECONDS,
    read_timeout=TimeoutSeconds.DEFAULT_TIMEOUT_SECONDS,
)


class _QuickCopies:
    """Stands in for the `copy` module where the interpreter copies JSON."""

    @staticmethod
    def deepcopy(document: Any) -> Any:
        return pickle.loads(pickle.dumps(document, pickle.HIGHEST_PROTOCOL))  # noqa: S301 pickled in this line


def _timestamp(text: str) -> datetime | None:
    try:
        moment = datetime.fromisoformat(text)
    except (TypeError, ValueError):
        return None
    return moment if moment.tzinfo is not None else None


@functools.lru_cache(maxsize=8)
def _pickled(definition: str) -> bytes:
    tree = AmazonStateLanguageParser.parse(definition)[1]
    return pickle.dumps(Preprocessor().visit(tree))


def _program(worker: ExecutionWorker) -> EvalComponent:
    """Return what a worker evaluates."""
    definition = worker._evaluation_details.state_machine_details.definition  # noqa: SLF001 moto has no other way in
    program: EvalComponent = pickle.loads(_pickled(definition))  # noqa: S301 pickled above, in this process
    return program


def history(account_id: str, region: str, arn: str) -> list[Any] | None:
    """Return an execution's events as moto keeps them, oldest first; None when there is no such execution."""
    backend = stepfunctions_parser_backends[account_id][region]
    try:
        events: list[Any] = backend.get_execution_history(arn)["events"]
    except AWSError:
        return None
    return events


def _stop(response: StepFunctionResponse) -> ActionResult:
    """Stop an execution, with the error and the cause that were given."""
    execution = response.stepfunction_backend.describe_execution(response._get_param("executionArn"))  # noqa: SLF001
    _await_start(execution.exec_worker)
    now = datetime.now(UTC)
    said = {name: response._get_param(name) for name in ("error", "cause")}  # noqa: SLF001 it has no other way
    execution.stop(stop_date=now, **said)
    return ActionResult({"stopDate": now})


def _await_start(worker: ExecutionWorker | None) -> None:
    """Wait until an execution's thread has come to its first state: before, moto fails to stop it, or forgets to."""
    deadline = time.monotonic() + _START_S
    while (
        worker and (worker.env is None or worker.env.program_state() is None) and time.monotonic() < deadline
    ):
        time.sleep(0.001)  # noqa: TID251 the interpreter is what owns time


def install(
    *,
    url: str,
    credentials: Callable[[str], Mapping[str, str]],
    time_scale: float,
    ended: Callable[[dict[str, Any]], None],
) -> None:
    """Let the interpreter execute, call the gateway, wait for as long as asked times a factor, and tell of every end.

    Args:
        url: of the gateway.
        credentials: returns a boto3 client's arguments for a session of a role, by the role's ARN.
        time_scale: the factor.
        ended: takes what DescribeExecution says of an execution that has just ended.
    """
    # moto logs every failed execution as its own error; here a failure is a result like any other.
    logging.getLogger("moto").setLevel(logging.CRITICAL)
    default_user_config["stepfunctions"] = {"execute_state_machine": True}
    plain.stepfunctions_backends = stepfunctions_parser_backends
    clients = _KeptClients(url, credentials)
    for module in _CALLERS:
        module.boto_client_for = clients  # type: ignore[attr-defined]
    retrier.time = _ScaledTime(time_scale)
    ExecutionWorker._get_evaluation_entrypoint = _program  # noqa: SLF001
    StepFunctionResponse.stop_execution = _stop
    bounds.install()
    for module in (states, result_path, string_expression, execute_state, state_task_service, event_manager):
        module.copy = _QuickCopies
    json_path.parse = _parse
    result_path.parse = _parse_plain
    IsTimestamp.string_to_timestamp = staticmethod(_timestamp)

    def wait_interval(_self: WaitFunction, env: Any, wait_seconds: float) -> None:
        # The event is set when the execution is stopped, which ends the wait early, but for other reasons too.
        end = time.monotonic() + wait_seconds * time_scale
        while env.is_running() and (left := end - time.monotonic()) > 0:
            env.program_state_event.wait(left)

    WaitFunction._wait_interval = wait_interval  # noqa: SLF001 the one place where a Wait state waits

    def terminated(self: BaseExecutionWorkerCommunication) -> None:
        _note_the_end(self)
        state = self.execution.exec_worker.env.program_state()
        if isinstance(state, ProgramStopped):
            self.execution.error, self.execution.cause = state.error, state.cause
        ended(dict(self.execution.to_describe_output()))

    BaseExecutionWorkerCommunication.terminated = terminated
