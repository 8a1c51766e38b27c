"""The inference components, what runs of them, and how they scale to none and back.

Owns their records and the jobs that change them. One server stands for all copies of a component. Refuses to read
requests: that is `control`; and to know who asked for the scaling: `scaling_of` tells.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from local_cloud.hosting.containers.workers import Worker
from local_cloud.hosting.control_plane import rules
from local_cloud.hosting.platform import texts
from local_cloud.hosting.platform.lifecycle import INTERNAL_STATE, ComponentStatus, Status
from local_cloud.hosting.platform.refusals import AwsError, invalid
from local_cloud.hosting.platform.resources import Capacity, InferenceComponent, ResourceKind, Shelf

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Any

    from local_cloud.hosting.containers.container import Launch
    from local_cloud.hosting.fleet import Fleet
    from local_cloud.hosting.platform.resources import AwsAccount, Endpoint, Model
    from local_cloud.hosting.platform.settings import HostingSettings
    from local_cloud.hosting.platform.timing import Background, Timing


@dataclass(frozen=True, slots=True)
class CopyScaling:
    """How a component is scaled: between how many copies, and by what."""

    least: int
    most: int
    follows: bool
    """Whether a policy of target tracking takes copies away that nobody calls."""
    wakes: bool
    """Whether an alarm on NoCapacityInvocationFailures starts a policy that adds one."""


def goes_to_none(scaling: CopyScaling | None, *, quiet_s: float, after_s: float) -> bool:
    """Return whether the copies go: a policy says so, none is the least, and it was quiet for as long as it takes."""
    return scaling is not None and scaling.follows and scaling.least == 0 and quiet_s >= after_s


def wakes(scaling: CopyScaling | None) -> bool:
    """Return whether a call that found no copy brings one."""
    return scaling is not None and scaling.wakes and scaling.most > 0


class Components:
    """All inference components of the account in its region."""

    def __init__(
        self,
        *,
        account: AwsAccount,
        fleet: Fleet,
        settings: HostingSettings,
        launch: Launch,
        timing: Timing,
        background: Background,
        scaling_of: Callable[[str], CopyScaling | None] | None,
    ) -> None:
        self._account = account
        self._fleet = fleet
        self._settings = settings
        self._launch = launch
        self._timing = timing
        self._background = background
        self._scaling_of = scaling_of
        self._lock = threading.RLock()
        self._shelf: Shelf[InferenceComponent] = Shelf(ResourceKind.INFERENCE_COMPONENT, account)
        self._workers: dict[str, Worker] = {}
        self._quiet_since: dict[str, float] = {}
        """When the last call came, or the copies, by ARN; by the monotonic clock."""
        self._waking: set[str] = set()
        self._closed = False

    def all(self) -> tuple[InferenceComponent, ...]:
        """Return every component as it is now."""
        with self._lock:
            return tuple(self._shelf)

    def get(self, name: str) -> InferenceComponent:
        """Return a component; raise ValidationException when there is none."""
        with self._lock:
            return self._shelf.get(name)

    def endpoint_arn(self, component: InferenceComponent) -> str:
        """Return the ARN of a component's endpoint, whether it is still there or not."""
        return self._account.arn(ResourceKind.ENDPOINT, component.request["EndpointName"])

    def create(self, request: Mapping[str, Any], model: Model) -> InferenceComponent:
        """Register a component in Creating and start its copies; raise ValidationException."""
        name, copies = request["InferenceComponentName"], request["RuntimeConfig"]["CopyCount"]
        with self._lock:
            arn = self._shelf.require_free(name)
            endpoint = self._fleet.get(request["EndpointName"])
            current = endpoint.current or endpoint.pending
            if current is None or not current.hosts:
                raise invalid(texts.not_hosting(endpoint.arn))
            if endpoint.status is not Status.IN_SERVICE:
                raise invalid(texts.endpoint_not_in_service(endpoint.arn, endpoint.status.value))
            if request["VariantName"] != current.variant_name:
                raise invalid(texts.unknown_variant(request["VariantName"], endpoint.arn))
            specification, now = request["Specification"], self._timing.clock()
            deployment = current.with_component(name, model, specification.get("StartupParameters", {}))
            component = InferenceComponent(
                name, arn, now, now, ComponentStatus.CREATING, request, deployment, copies
            )
            self._shelf.put(component)
            self._start(component)
            return component

    def set_copies(self, name: str, count: int) -> InferenceComponent:
        """Bring a component to so many copies, for a while in Updating; raise ValidationException."""
        with self._lock:
            component = self._settled(name, "update")
            changed = replace(
                component, status=ComponentStatus.UPDATING, desired=count, modified=self._timing.clock()
            )
            self._shelf.put(changed)
            if component.current == 0 and count > 0:
                self._start(changed)
            else:
                self._background.run(f"recounting of {name}", lambda: self._finish_recounting(changed))
            return changed

    def delete(self, name: str) -> None:
        """Put a component into Deleting; it is gone a little later."""
        with self._lock:
            component = self._settled(name, "delete")
            self._shelf.put(
                replace(component, status=ComponentStatus.DELETING, modified=self._timing.clock())
            )
            self._background.run(f"deletion of {name}", lambda: self._finish_deletion(component))

    def serving(self, endpoint: Endpoint, name: str | None) -> Worker:
        """Return what answers a call of an endpoint that hosts components; raise ValidationError."""
        if not name:
            error = {"ErrorCode": "INFERENCE_COMPONENT_NAME_MISSING"}
            raise AwsError("ValidationError", texts.COMPONENT_NOT_NAMED, 400, error)
        with self._lock:
            arn = self._account.arn(ResourceKind.INFERENCE_COMPONENT, name)
            component = self._shelf.get(name) if arn in self._shelf else None
            if component is None or component.request["EndpointName"] != endpoint.name:
                raise AwsError("ValidationError", texts.component_not_found(name, endpoint.name))
            worker = self._workers.get(arn)
            self._quiet_since[arn] = self._timing.monotonic()
            if worker is not None and component.current > 0:
                return worker
            self._wake(component)
        raise AwsError("ValidationError", texts.NO_COPY)

    def close(self) -> None:
        """End every container at once; the jobs are the background's."""
        with self._lock:
            self._closed = True
            workers = tuple(self._workers.values())
        for worker in workers:
            worker.kill()

    def _now(self, component: InferenceComponent) -> InferenceComponent | None:
        """Return a component as it is now; None when it is gone."""
        return self._shelf.get(component.name) if component.arn in self._shelf else None

    def _settled(self, name: str, verb: str) -> InferenceComponent:
        component = self._shelf.get(name)
        if state := INTERNAL_STATE.get(component.status):
            raise invalid(texts.component_busy(verb, component.arn, state))
        return component

    def _start(self, component: InferenceComponent) -> None:
        worker = Worker(
            component.request["EndpointName"],
            component.deployment,
            account=self._account,
            launch=self._launch,
            settings=self._settings,
            timing=self._timing,
            background=self._background,
        )
        self._workers[component.arn] = worker
        self._background.run(
            f"launch of component {component.name}", lambda: self._finish_launch(component, worker)
        )

    def _finish_launch(self, component: InferenceComponent, worker: Worker) -> None:
        capacity, required = (
            component.deployment.capacity,
            component.request["Specification"]["ComputeResourceRequirements"],
        )
        if not isinstance(capacity, Capacity) and rules.is_too_large(required, capacity.type):
            failure: str | None = texts.NOT_ENOUGH_HARDWARE
        else:
            failure = worker.start()
        with self._lock:
            if self._closed:
                return
            now = self._timing.clock()
            if failure is None:
                settled = replace(
                    component,
                    status=ComponentStatus.IN_SERVICE,
                    modified=now,
                    current=component.desired,
                    failure_reason=None,
                )
                self._fleet.count_instances(component.request["EndpointName"], component.desired)
                self._quiet_since[component.arn] = self._timing.monotonic()
                self._watch(settled)
            else:
                del self._workers[component.arn]
                settled = replace(
                    component, status=ComponentStatus.FAILED, modified=now, failure_reason=failure
                )
            self._shelf.put(settled)
        if failure is not None:
            worker.retire()

    def _finish_recounting(self, component: InferenceComponent) -> None:
        outgoing = None
        if component.desired == 0:
            with self._lock:
                outgoing = self._workers.pop(component.arn, None)
        if outgoing is not None:
            outgoing.retire()
        self._timing.pause(self._settings.rescaling_s)
        with self._lock:
            self._shelf.put(
                replace(
                    component,
                    status=ComponentStatus.IN_SERVICE,
                    current=component.desired,
                    modified=self._timing.clock(),
                )
            )
        endpoint = component.request["EndpointName"]
        if component.desired == 0:
            self._timing.pause(self._settings.returning_s * self._settings.scaling_scale)
        self._return_instances(component, endpoint)

    def _return_instances(self, component: InferenceComponent, endpoint: str) -> None:
        """Let an endpoint have as many instances as its component has copies, if that is still so."""
        with self._lock:
            found = self._now(component)
            if found is not None and found.current == component.desired:
                try:
                    self._fleet.count_instances(endpoint, component.desired)
                except AwsError:
                    return  # The endpoint is gone.

    def _finish_deletion(self, component: InferenceComponent) -> None:
        with self._lock:
            worker = self._workers.pop(component.arn, None)
        if worker is not None:
            worker.retire()
        self._timing.pause(self._settings.deleting_s)
        with self._lock:
            self._shelf.remove(component.name)
            self._quiet_since.pop(component.arn, None)

    # Scaling

    def _watch(self, component: InferenceComponent) -> None:
        if self._scaling_of is not None:
            self._background.run(f"scaling of {component.name}", lambda: self._await_quiet(component))

    def _await_quiet(self, component: InferenceComponent) -> None:
        """Take the copies away when nobody has called for long enough; ends with them."""
        after_s = self._settings.quiet_s * self._settings.scaling_scale
        while not self._timing.pause(self._settings.scaling_interval_s):
            with self._lock:
                found = self._now(component)
                if self._closed or found is None or found.created != component.created or found.current == 0:
                    return
                worker = self._workers.get(component.arn)
                if found.status is not ComponentStatus.IN_SERVICE or worker is None:
                    continue
                if worker.answers:
                    self._quiet_since[component.arn] = self._timing.monotonic()
                quiet_s = self._timing.monotonic() - self._quiet_since[component.arn]
                if goes_to_none(self._scaling(component.name), quiet_s=quiet_s, after_s=after_s):
                    self.set_copies(component.name, 0)
                    return

    def _wake(self, component: InferenceComponent) -> None:
        """Bring the first copy a while after a call that found none, as an alarm does."""
        if component.status is not ComponentStatus.IN_SERVICE or component.arn in self._waking:
            return
        if wakes(self._scaling(component.name)):
            self._waking.add(component.arn)
            self._background.run(f"waking of {component.name}", lambda: self._finish_waking(component))

    def _finish_waking(self, component: InferenceComponent) -> None:
        self._timing.pause(self._settings.waking_s * self._settings.scaling_scale)
        with self._lock:
            self._waking.discard(component.arn)
            found = self._now(component)
            if found is None or found.current > 0 or found.status is not ComponentStatus.IN_SERVICE:
                return
            self.set_copies(component.name, 1)

    def _scaling(self, name: str) -> CopyScaling | None:
        return self._scaling_of(name) if self._scaling_of is not None else None
