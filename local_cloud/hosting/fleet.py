"""The endpoints and what runs behind them.

Owns the endpoint records, the quota count, and the jobs that take an endpoint from one lasting status to the
next; what may follow what is `lifecycle.ENDPOINT`. Refuses to read requests: that is `control`.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, TypeVar

from local_cloud.hosting.containers.workers import Worker
from local_cloud.hosting.platform import quotas as limits
from local_cloud.hosting.platform import texts
from local_cloud.hosting.platform.lifecycle import (
    SERVING,
    EndpointChange,
    Status,
    next_status,
    not_serving,
)
from local_cloud.hosting.platform.refusals import invalid
from local_cloud.hosting.platform.resources import (
    Capacity,
    Endpoint,
    Instances,
    ResourceKind,
    Shelf,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from local_cloud.hosting.containers.container import Launch
    from local_cloud.hosting.platform.quotas import Quotas
    from local_cloud.hosting.platform.resources import (
        AwsAccount,
        Deployment,
    )
    from local_cloud.hosting.platform.settings import HostingSettings
    from local_cloud.hosting.platform.timing import (
        Background,
        Timing,
    )

_JOIN_S = 10.0

C = TypeVar("C", Capacity, Instances)

AlarmsInAlarm = Callable[[str, Sequence[str]], list[str]]
"""Returns, as a role (its ARN), those of the named alarms that are in ALARM; AlarmsUnseen when it may not look."""


class AlarmsUnseen(Exception):
    """A role may not describe alarms: what `AlarmsInAlarm` raises."""


class Fleet:
    """All endpoints of the account in its region."""

    def __init__(
        self,
        *,
        account: AwsAccount,
        quotas: Quotas,
        settings: HostingSettings,
        launch: Launch,
        timing: Timing,
        background: Background,
        alarms_in_alarm: AlarmsInAlarm,
    ) -> None:
        self._account = account
        self.quotas = quotas
        self.short_of: frozenset[str] = settings.short_of
        """Instance types that SageMaker has no capacity of."""
        self.rescaling = settings.rescaling
        self.startup_deadline_s = settings.startup_deadline_s
        self.gpu_gib: float | None = None
        """Of each GPU; None for what CUDA says that one of its kind has."""
        self._settings = settings
        self._launch = launch
        self._timing = timing
        self._background = background
        self._lock = threading.RLock()
        self._shelf: Shelf[Endpoint] = Shelf(ResourceKind.ENDPOINT, account)
        self._serving: dict[str, Worker] = {}
        self._starting: dict[str, Worker] = {}
        self._outgoing: dict[str, Worker] = {}
        """What served before a blue/green deployment that is still watched."""
        self._alarms_in_alarm = alarms_in_alarm
        self._closed = False

    def endpoints(self) -> tuple[Endpoint, ...]:
        """Return every endpoint as it is now."""
        with self._lock:
            return tuple(self._shelf)

    def get(self, name: str) -> Endpoint:
        """Return an endpoint; raise ValidationException when there is none."""
        with self._lock:
            return self._shelf.get(name)

    def require_free(self, name: str) -> None:
        """Raise ValidationException when the name is taken."""
        with self._lock:
            self._shelf.require_free(name)

    def create(self, name: str, deployment: Deployment) -> Endpoint:
        """Register an endpoint in Creating and start to bring it up; raise for a taken name or a quota."""
        with self._lock:
            arn = self._shelf.require_free(name)
            self._check_quotas(deployment.capacity, held=0, new_endpoints=1)
            now = self._timing.clock()
            deployment, lacking = self._provision(deployment)
            endpoint = Endpoint(name, arn, now, now, Status.CREATING, current=None, pending=deployment)
            self._shelf.put(endpoint)
            self._bring_up(endpoint, deployment, lacking)
            return endpoint

    def update(
        self, name: str, deployment: Deployment, guardrails: Mapping[str, Any] | None = None
    ) -> Endpoint:
        """Bring up `deployment` beside what serves, to take its place, watched as `guardrails` say."""
        with self._lock:
            there = self._shelf.get(name)
            if not there.serverless and isinstance(deployment.capacity, Capacity):
                raise invalid(texts.serverless_from_instances(there.arn))
            changed = self._change(name, EndpointChange.UPDATE, deployment)
            deployment, lacking = self._provision(deployment)
            endpoint = replace(changed, pending=deployment, last_deployment=guardrails)
            self._shelf.put(endpoint)
            self._bring_up(endpoint, deployment, lacking)
            return endpoint

    def rescale(
        self, name: str, variant: str, max_concurrency: int | None, provisioned: int | None
    ) -> Endpoint:
        """Change the concurrency of what serves, for a moment in Updating."""
        with self._lock:
            current, now = self._rescalable(name, variant, Capacity)
            if not self.rescaling:
                raise invalid(texts.rescaling_refused(self._shelf.get(name).arn))
            capacity = Capacity(
                now.memory_mb, max_concurrency or now.max_concurrency, provisioned or now.provisioned
            )
            if capacity.provisioned is not None and capacity.provisioned > capacity.max_concurrency:
                raise invalid(texts.provisioned_above_maximum(capacity.provisioned, capacity.max_concurrency))
            changed = self._change(name, EndpointChange.RESCALE, replace(current, capacity=capacity))
            self._background.run(f"rescaling of {name}", lambda: self._finish_rescaling(name, capacity))
            return changed

    def recount(self, name: str, variant: str, count: int | None) -> Endpoint:
        """Change the number of instances, for a moment in Updating; one server stands for all of them."""
        with self._lock:
            current, now = self._rescalable(name, variant, Instances)
            capacity = replace(now, count=now.count if count is None else count)
            changed = self._change(name, EndpointChange.RESCALE, replace(current, capacity=capacity))
            self._background.run(f"recounting of {name}", lambda: self._finish_rescaling(name, None))
            return changed

    def _rescalable(self, name: str, variant: str, kind: type[C]) -> tuple[Deployment, C]:
        """Return what serves and its capacity, where the variant is that one and of that kind."""
        endpoint = self._shelf.get(name)
        next_status(endpoint.status, EndpointChange.RESCALE, endpoint.arn)
        current = endpoint.current
        if current is None or current.variant_name != variant or not isinstance(current.capacity, kind):
            raise invalid(texts.unknown_variant(variant, endpoint.arn))
        return current, current.capacity

    def delete(self, name: str) -> None:
        """Put an endpoint into Deleting; it is gone a little later."""
        with self._lock:
            endpoint = self._shelf.get(name)
            status = next_status(endpoint.status, EndpointChange.DELETE, endpoint.arn)
            self._shelf.put(replace(endpoint, status=status, modified=self._timing.clock()))
            self._background.run(f"deletion of {name}", lambda: self._finish_deletion(endpoint))

    def serving(self, name: str) -> tuple[Endpoint, Worker]:
        """Return an endpoint that answers, by its name in the right case; raise ValidationError."""
        with self._lock:
            arn = self._account.arn(ResourceKind.ENDPOINT, name)
            worker = self._serving.get(arn)
            endpoint = self._shelf.get(name) if arn in self._shelf else None
            if worker is None or endpoint is None or endpoint.name != name or endpoint.status not in SERVING:
                raise not_serving(name, self._account.account_id)
            return endpoint, worker

    def count_instances(self, name: str, count: int) -> None:
        """Note how many instances an endpoint has now, which SageMaker itself has added or taken away."""
        with self._lock:
            endpoint = self._shelf.get(name)
            current = endpoint.current
            if current is not None and isinstance(current.capacity, Instances):
                capacity = replace(current.capacity, count=count)
                self._shelf.put(replace(endpoint, current=replace(current, capacity=capacity)))

    def pids(self, name: str) -> list[int]:
        """Return the process ids of the server that serves an endpoint."""
        _, worker = self.serving(name)
        return worker.pids()

    def close(self) -> None:
        """End every container at once, and wait for the jobs."""
        with self._lock:
            self._closed = True
            workers = (*self._serving.values(), *self._starting.values(), *self._outgoing.values())
        for worker in workers:
            worker.kill()
        self._background.join(_JOIN_S)

    def _change(self, name: str, change: EndpointChange, pending: Deployment) -> Endpoint:
        endpoint = self._shelf.get(name)
        status = next_status(endpoint.status, change, endpoint.arn)
        asked, held = pending.capacity, endpoint.concurrency
        if change is EndpointChange.RESCALE and isinstance(asked, Capacity):
            # A change of concurrency asks for no memory: what the endpoint has was granted once.
            asked = replace(asked, memory_mb=0)
        elif isinstance(asked, Instances):
            # New ones run beside the old ones until they serve; more of what runs are of the type that runs.
            rescales = change is EndpointChange.RESCALE
            held = endpoint.instances(asked.type) if rescales else 0
            asked = replace(asked, pool=()) if rescales else asked
        self._check_quotas(asked, held=held, new_endpoints=0)
        # The reason of an earlier failed update goes away when the next one begins.
        changed = replace(
            endpoint, status=status, pending=pending, failure_reason=None, modified=self._timing.clock()
        )
        self._shelf.put(changed)
        return changed

    def _check_quotas(self, capacity: Capacity | Instances, *, held: int, new_endpoints: int) -> None:
        if isinstance(capacity, Instances):
            # SEEN (a vendor's guide to its images): the quota of every type in a pool is looked at.
            for one in capacity.types:
                used = sum(endpoint.instances(one) for endpoint in self._shelf)
                limits.check_instances(self.quotas, one, used, capacity.count - held)
            return
        demand = limits.QuotaDemand(
            memory_mb=capacity.memory_mb,
            used_concurrency=sum(endpoint.concurrency for endpoint in self._shelf),
            concurrency_delta=capacity.max_concurrency - held,
            used_endpoints=sum(endpoint.serverless for endpoint in self._shelf),
            endpoints_delta=new_endpoints,
        )
        limits.check(self.quotas, demand)

    def _provision(self, deployment: Deployment) -> tuple[Deployment, str | None]:
        """Return a deployment on the type that there is capacity of, and the reason where there is of none."""
        capacity = deployment.capacity
        if isinstance(capacity, Capacity):
            return deployment, None
        found = capacity.provisioned(self.short_of)
        if found is None:
            return deployment, texts.no_capacity(pooled=bool(capacity.pool))
        return replace(deployment.on(found), gpu_gib=self.gpu_gib), None

    def _bring_up(self, endpoint: Endpoint, deployment: Deployment, lacking: str | None) -> None:
        worker = Worker(
            endpoint.name,
            deployment,
            account=self._account,
            launch=self._launch,
            settings=replace(self._settings, startup_deadline_s=self.startup_deadline_s),
            timing=self._timing,
            background=self._background,
        )
        self._starting[endpoint.arn] = worker
        # Instances for components have no container of their own.
        launch = worker.start if lacking is None and not deployment.hosts else lambda: lacking
        self._background.run(
            f"launch of {endpoint.name}", lambda: self._finish_launch(endpoint, worker, launch)
        )

    def _finish_launch(self, endpoint: Endpoint, worker: Worker, launch: Callable[[], str | None]) -> None:
        began = self._timing.monotonic()
        failure = launch()
        self._take_at_least(began, self._settings.creating_s)
        if failure is None and endpoint.last_deployment is not None:
            failure = self._bake(endpoint, worker, endpoint.last_deployment)
        with self._lock:
            if self._closed:
                return
            del self._starting[endpoint.arn]
            now = self._timing.clock()
            change = EndpointChange.READY if failure is None else EndpointChange.UNFIT
            settled = replace(
                endpoint,
                status=next_status(endpoint.status, change, endpoint.arn),
                modified=now,
                failure_reason=failure,
            )
            outgoing: Worker | None = worker
            if failure is None:
                outgoing = self._outgoing.pop(endpoint.arn, self._serving.get(endpoint.arn))
                self._serving[endpoint.arn] = worker
                settled = replace(settled, current=endpoint.pending, pending=None)
            elif endpoint.current is not None:
                settled = replace(settled, pending=None)
            self._shelf.put(settled)
        if outgoing is not None:
            outgoing.retire()

    def _bake(self, endpoint: Endpoint, worker: Worker, guardrails: Mapping[str, Any]) -> str | None:
        """Let the new instances answer for the time that was requested; return why they are taken back, if they are."""
        policy = guardrails.get("BlueGreenUpdatePolicy") or {}
        routing = policy.get("TrafficRoutingConfiguration") or {}
        # One server stands for all instances, so a canary of them is a wait of its own and the calls go at once.
        steps = 2 if routing.get("Type") == "CANARY" else 1
        wait_s = steps * routing.get("WaitIntervalInSeconds", 0) * self._settings.baking_scale
        names = [
            one["AlarmName"] for one in (guardrails.get("AutoRollbackConfiguration") or {}).get("Alarms", ())
        ]
        with self._lock:
            old = self._serving.get(endpoint.arn)
            if old is not None:
                self._outgoing[endpoint.arn] = old
            self._serving[endpoint.arn] = worker
            self._shelf.put(replace(endpoint, stage="Baking", modified=self._timing.clock()))
        until = self._timing.monotonic() + wait_s
        while True:
            against = self._against(endpoint, names) if names else None
            if against and old is not None:
                with self._lock:
                    self._serving[endpoint.arn] = self._outgoing.pop(endpoint.arn)
                return against
            left = until - self._timing.monotonic()
            if left <= 0 or self._timing.pause(min(left, self._settings.baking_interval_s)):
                return None

    def _against(self, endpoint: Endpoint, names: Sequence[str]) -> str | None:
        """Return what alarms say against what is being launched, looked at in the name of its role."""
        launched = endpoint.pending or endpoint.current
        role = launched.role_arn if launched is not None else ""
        try:
            firing = self._alarms_in_alarm(role, names)
        except AlarmsUnseen as denied:
            return texts.alarms_denied(role, str(denied))
        return texts.alarms_in_alarm(firing) if firing else None

    def _finish_rescaling(self, name: str, capacity: Capacity | None) -> None:
        self._timing.pause(self._settings.rescaling_s)
        with self._lock:
            endpoint = self._shelf.get(name)
            if capacity is not None:
                self._serving[endpoint.arn].resize(capacity.max_concurrency)
            self._shelf.put(
                replace(
                    endpoint,
                    status=next_status(endpoint.status, EndpointChange.READY, endpoint.arn),
                    current=endpoint.pending,
                    pending=None,
                    modified=self._timing.clock(),
                )
            )

    def _finish_deletion(self, endpoint: Endpoint) -> None:
        began = self._timing.monotonic()
        with self._lock:
            worker = self._serving.get(endpoint.arn)
        if worker is not None:
            worker.retire()
        self._take_at_least(began, self._settings.deleting_s)
        with self._lock:
            self._serving.pop(endpoint.arn, None)
            self._shelf.remove(endpoint.name)

    def _take_at_least(self, began: float, seconds: float) -> None:
        remaining = seconds - (self._timing.monotonic() - began)
        if remaining > 0:
            self._timing.pause(remaining)
