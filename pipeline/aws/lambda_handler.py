"""The Lambda handler of a task: its clients, its log, and AWS's errors as errors of ours."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any, TypeVar

from pipeline import payload
from pipeline.aws import task_log
from pipeline.errors import (
    SealiftError,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Protocol

    class ServiceQuotasClient(Protocol):
        """The one call of Service Quotas that is made."""

        def get_service_quota(self, **request: str) -> Mapping[str, Any]:
            """Return the applied value of a quota."""

    class ECRClient(Protocol):
        """The one call of ECR that is made."""

        def describe_images(self, **request: Any) -> Mapping[str, Any]:
            """Return the images of a repository."""

    class CloudWatchClient(Protocol):
        """The calls of CloudWatch that are made."""

        def put_metric_alarm(self, **request: Any) -> Mapping[str, Any]:
            """Make an alarm, or change one."""

        def describe_alarms(self, **request: Any) -> Mapping[str, Any]:
            """Return the alarms that exist."""

        def delete_alarms(self, **request: Any) -> Mapping[str, Any]:
            """Delete alarms."""

        def list_tags_for_resource(self, **request: Any) -> Mapping[str, Any]:
            """Return the tags of an alarm."""

    class AutoScalingClient(Protocol):
        """The calls of Application Auto Scaling that are made."""

        def register_scalable_target(self, **request: Any) -> Mapping[str, Any]:
            """Let something be scaled, or change its bounds."""

        def put_scaling_policy(self, **request: Any) -> Mapping[str, Any]:
            """Make a policy of a target, or change it."""

        def deregister_scalable_target(self, **request: Any) -> Mapping[str, Any]:
            """Delete a target with its policies."""


from pipeline.aws import clients, service_errors

Event = TypeVar("Event", bound="Mapping[str, Any]")
Result = TypeVar("Result", bound="Mapping[str, Any]")


def task(run: Callable[[Event, clients.Clients], Result]) -> Callable[[Event, object], Result]:
    """Return the Lambda handler of a task: `run` with AWS's clients, every AWS error translated, its log begun.

    The definition adds `log` to every event, which is read here and is in no task's Event.
    A warm process keeps its clients: making one takes longer than most of their calls.
    """
    name = run.__module__.rpartition(".")[2]
    kept = cache(clients.Clients)

    def handler(event: Event, context: object) -> Result:
        del context  # a task reads only its event
        clients.log_calls()
        with task_log.of(name, event):
            try:
                with service_errors.translated():
                    return run(event, kept())
            except SealiftError as error:
                # The state machine's data hold the message; the problems themselves are all still there.
                error.args = (payload.message(error),)
                raise

    return handler
