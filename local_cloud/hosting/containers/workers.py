"""The one container behind an endpoint: brought up, called, lost, brought up again.

Owns the shell around `lifecycle.CONTAINER`: it reports what happens, does what the table says, and turns what
comes back into the runtime's errors. Refuses to know the endpoint's status: that is `fleet`.
"""

from __future__ import annotations

import contextlib
import logging
import threading
from dataclasses import replace
from typing import TYPE_CHECKING

from local_cloud.hosting.containers.container import (
    AnswerTooLargeError,
    CallBrokenError,
    CallTimedOutError,
    LaunchFailedError,
)
from local_cloud.hosting.platform import texts
from local_cloud.hosting.platform.lifecycle import (
    CONTAINER,
    ContainerCondition,
    Occurrence,
    Step,
    Verdict,
    Warmth,
    judge,
)
from local_cloud.hosting.platform.refusals import AwsError
from local_cloud.hosting.platform.resources import Capacity

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from local_cloud.hosting.containers.container import (
        AnswerPieces,
        Container,
        ContainerAnswer,
        ContainerCall,
        Launch,
    )
    from local_cloud.hosting.platform.resources import (
        AwsAccount,
        Deployment,
    )
    from local_cloud.hosting.platform.settings import HostingSettings
    from local_cloud.hosting.platform.timing import (
        Background,
        Timing,
    )

_LOGGER = logging.getLogger(__name__)
_DRAIN_INTERVAL_S = 0.05


class Worker:
    """A variant's compute; on the platform it scales out, or has several instances, here it is one process."""

    def __init__(
        self,
        endpoint_name: str,
        deployment: Deployment,
        *,
        account: AwsAccount,
        launch: Launch,
        settings: HostingSettings,
        timing: Timing,
        background: Background,
    ) -> None:
        self._name = endpoint_name
        self._deployment = deployment
        self._account = account
        self._launch = launch
        self._settings = settings
        self._timing = timing
        self._background = background
        self._lock = threading.Lock()
        self._warmth = Warmth.STARTING
        self._container: Container | None = None
        self._failure = ""
        self._in_flight = 0
        capacity = deployment.capacity
        self._serverless = isinstance(capacity, Capacity)
        # An instance starts its container again by itself; so does what is provisioned, of which one stands for all.
        self._kept_started = not isinstance(capacity, Capacity) or bool(capacity.provisioned)
        # Nobody counts the calls of an instance: those that it cannot answer yet wait for it.
        self._max_concurrency = capacity.max_concurrency if isinstance(capacity, Capacity) else None
        self._deadline_s = settings.deadline_s(deployment)
        self._killed = False

    def start(self) -> str | None:
        """Bring a container up, however long it takes; return the FailureReason, or None when it is warm."""
        try:
            container = self._bring_up()
        except LaunchFailedError as error:
            failure = str(error)
        except Exception:
            # A fault of the emulation: the endpoint must not stay in Creating for it.
            _LOGGER.exception("start of a container of %s broke", self._name)
            failure = texts.INTERNAL
        else:
            self._happened(Occurrence.STARTED, container=container)
            return None
        self._happened(Occurrence.START_FAILED, failure=failure)
        return failure

    @property
    def serverless(self) -> bool:
        """Tell whether nobody keeps an instance for it."""
        return self._serverless

    @property
    def payload_bytes(self) -> int:
        """Return the bytes of the largest request, and of the largest response."""
        return self._settings.payload_bytes_of(self._deployment)

    def invoke(
        self, call: ContainerCall, *, streams: bool = False, verbatim: bool = False
    ) -> ContainerAnswer:
        """Return the container's answer, if it is a success or wanted as it is; raise the runtime's error otherwise."""
        container = self._admit()
        with contextlib.ExitStack() as admitted:
            admitted.callback(self._leave)
            answer = self._call(container, call, streams=streams)
            if answer.pieces is not None:
                # It counts as a call until its end.
                coming = _OnItsWay(
                    answer.pieces, ended=admitted.pop_all().close, broken=lambda: self._broken(container)
                )
                return replace(answer, pieces=coming)
        if verbatim or 200 <= answer.status < 300:
            return answer
        side = "client" if 400 <= answer.status < 500 else "server"
        raise self._model_error(side, answer.status, "primary", answer.body.decode("utf-8", "replace"))

    def _call(self, container: Container, call: ContainerCall, *, streams: bool) -> ContainerAnswer:
        settings = self._settings
        try:
            return container.call(
                call, settings.streaming_timeout_s if streams else settings.invocation_timeout_s
            )
        except CallTimedOutError as error:
            raise self._model_error("server", 0, "primary", texts.invocation_timed_out()) from error
        except AnswerTooLargeError as error:
            message = texts.oversize_response(self.payload_bytes)
            raise self._model_error("server", 0, "primary", message) from error
        except CallBrokenError as error:
            raise self._broken(container) from error

    def _leave(self) -> None:
        with self._lock:
            self._in_flight -= 1

    @property
    def answers(self) -> bool:
        """Whether a call is being answered now."""
        return self._busy()

    def resize(self, max_concurrency: int) -> None:
        """Allow so many calls at once from now on."""
        with self._lock:
            self._max_concurrency = max_concurrency

    def retire(self) -> None:
        """End the container, after the calls that it is answering."""
        deadline = self._timing.monotonic() + self._settings.invocation_timeout_s
        while self._busy() and self._timing.monotonic() < deadline:
            if self._timing.pause(_DRAIN_INTERVAL_S):
                break
        container = self._abandon()
        if container is not None:
            container.stop()

    def kill(self) -> None:
        """End the container at once, and any start that is under way."""
        container = self._abandon()
        if container is not None:
            container.kill()

    def pids(self) -> list[int]:
        """Return the process ids of the server."""
        with self._lock:
            container = self._container
        return [] if container is None else container.pids()

    def _abandon(self) -> Container | None:
        with self._lock:
            self._killed = True
            container, self._container = self._container, None
            return container

    def _busy(self) -> bool:
        with self._lock:
            return self._in_flight > 0

    def _admit(self) -> Container:
        with self._lock:
            if self._max_concurrency is not None and self._in_flight >= self._max_concurrency:
                # SEEN: the runtime throttles with status 400 and a null message.
                raise AwsError("ThrottlingException", None)
            self._warmth, step = CONTAINER[self._warmth, Occurrence.CALLED]
            container = self._container
            if step is Step.FORWARD and container is not None:
                self._in_flight += 1
                return container
        if step is Step.REPORT:
            raise self._model_error("server", 0, "model", self._failure)
        if step is Step.LAUNCH:
            self._background.run(f"cold start of {self._name}", self._start_again)
        if not self._serverless:
            raise self._model_error("server", 0, "primary", texts.no_response(self._name))
        raise AwsError("ModelNotReadyException", texts.not_ready(self._name), 429)

    def _start_again(self) -> None:
        self.start()

    def _happened(
        self, occurrence: Occurrence, *, container: Container | None = None, failure: str = ""
    ) -> None:
        with self._lock:
            self._warmth, _ = CONTAINER[self._warmth, occurrence]
            self._failure = failure
            unwanted = container if self._killed else None
            self._container = None if self._killed else container
        if unwanted is not None:
            unwanted.kill()

    def _bring_up(self) -> Container:
        started = self._timing.monotonic()
        container = self._launch(self._name, self._deployment, cancelled=lambda: self._killed)
        try:
            self._await_health(container, started)
        except BaseException:
            container.kill()
            raise
        return container

    def _await_health(self, container: Container, started: float) -> None:
        while True:
            verdict = judge(
                container.condition(),
                pinged=container.ping(),
                elapsed_s=self._timing.monotonic() - started,
                deadline_s=self._deadline_s,
            )
            if verdict is Verdict.READY:
                return
            if verdict is not Verdict.WAIT:
                raise LaunchFailedError(self._reason(verdict))
            if self._killed or self._timing.pause(self._settings.ping_interval_s):
                raise LaunchFailedError(texts.INTERNAL)

    def _reason(self, verdict: Verdict) -> str:
        if not self._serverless:
            return texts.ping_failed(self._deployment.variant_name)
        return {
            Verdict.EXITED: texts.process_exited(
                self._account.log_hint(self._name, self._deployment.component)
            ),
            Verdict.OUT_OF_MEMORY: texts.OUT_OF_MEMORY,
            Verdict.TOO_LATE: texts.start_too_slow(self._deadline_s),
        }[verdict]

    def _broken(self, container: Container) -> AwsError:
        condition = container.condition()
        if condition is not ContainerCondition.RUNNING:
            self._lost(container)
        if condition is ContainerCondition.EXITED:
            return self._model_error("server", 0, "model", texts.EXITED)
        return self._model_error("server", 0, "primary", texts.no_response(self._name))

    def _lost(self, container: Container) -> None:
        with self._lock:
            # Of several calls that were cut off together, the first one reports the loss.
            if self._container is not container:
                return
            self._warmth, _ = CONTAINER[self._warmth, Occurrence.LOST]
            self._container = None
            if self._kept_started:
                self._warmth, _ = CONTAINER[self._warmth, Occurrence.CALLED]
                self._background.run(f"restart of {self._name}", self._start_again)
        with contextlib.suppress(OSError):
            container.kill()

    def _model_error(self, side: str, status: int, container: str, message: str) -> AwsError:
        return AwsError(
            "ModelError",
            texts.model_error(
                side,
                status,
                container,
                message,
                self._account.log_hint(self._name, self._deployment.component),
            ),
            424,
            {
                "OriginalStatusCode": status,
                "OriginalMessage": message,
                "LogStreamArn": self._account.log_group_arn(self._name, self._deployment.component),
            },
        )


class _OnItsWay:
    """An answer that is handed on as it comes; what goes wrong with it is told in its middle."""

    def __init__(
        self, pieces: AnswerPieces, *, ended: Callable[[], None], broken: Callable[[], AwsError]
    ) -> None:
        self._pieces = pieces
        self._ended = ended
        self._broken = broken

    def __iter__(self) -> Iterator[bytes]:
        """Yield the bytes as they come; raise AwsError."""
        try:
            yield from self._pieces
        except CallTimedOutError as error:
            raise _stream_error("ModelInvocationTimeExceeded", texts.invocation_timed_out()) from error
        except CallBrokenError as error:
            raise _stream_error("StreamBroken", self._broken().message) from error
        finally:
            self.close()

    def close(self) -> None:
        """End the answer."""
        self._pieces.close()
        self._ended()


def _stream_error(code: str, message: str | None) -> AwsError:
    """Return what an answer ends with in its middle; `code` is one of the two that botocore's service model has."""
    return AwsError("ModelStreamError", message, 424, {"ErrorCode": code})
