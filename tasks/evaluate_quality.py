"""EvaluateQuality: asks the new endpoint, and the one before it, each case of a suite; a worse one is not switched to.

A call asks as many cases as there is time for, and what is left is asked by another call; the record of it all lies
in the artifact bucket and is written after each case, so nothing is asked twice but what was cut off. An earlier
deployment that does not answer is no reason to hold the new one back: it is done without, and that is said.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from time import monotonic
from typing import TYPE_CHECKING, Final, TypedDict

from pipeline import inference_component, payload
from pipeline.aws import lambda_handler, service_errors
from pipeline.aws.permissions import (
    ARTIFACT_BUCKET,
    ENDPOINT_CONFIGS,
    ENDPOINTS,
    EVERYTHING,
    RECORDS,
    allow,
)
from pipeline.errors import (
    AccessDenied,
    ModelNotReady,
    NotYetVisible,
    QualityGateFailed,
    SealiftError,
    ServiceUnavailable,
    Throttled,
)
from pipeline.quality import asking, expectations, gate, gate_store
from pipeline.quality.expectations import Answered
from pipeline.rollout import release_store, releases
from pipeline.state_data.plan_types import Plan
from pipeline.state_data.quality_types import CaseReply, PlannedGate, QualityRecord

if TYPE_CHECKING:
    from collections.abc import Callable

    from pipeline.aws.clients import Clients
    from pipeline.quality.cases import Case

TIMEOUT_S: Final = 890
ASKS_S: Final = 380
"""How long one call begins further cases: the last one may have to wait for both endpoints' longest answers."""
PATIENCE: Final = {ModelNotReady: 16, Throttled: 4, ServiceUnavailable: 4}
"""How often the earlier deployment may say "not now", each time with the pauses of the state's retries between: fewer
than these have, so that it is given up before the execution is. A container's start may take three minutes of them."""


class Event(TypedDict):
    """The plan, whose gate it is."""

    plan: Plan


class Result(TypedDict):
    """How far it is; the answers are in the record."""

    asked: int
    """Cases so far."""
    cases: int
    passed: int
    worse: int
    failed: int
    """The worse ones among them."""
    against: str | None
    """The earlier deployment's endpoint; None where there was nobody to ask."""
    told: str
    more: bool
    """Whether the state is to come again."""


def run(event: Event, clients: Clients) -> Result:
    """Ask all cases, or as many as there is time for.

    Raises:
        QualityGateFailed: the new endpoint is worse than the gate allows.
        ModelNotReady, NotYetVisible, Throttled, ServiceUnavailable: one of both endpoints says "not now".
        InvalidInput: the cases are gone since they were checked.
    """
    return evaluate(event, clients, monotonic, lambda: datetime.now(UTC))


def evaluate(
    event: Event, clients: Clients, clock: Callable[[], float], now: Callable[[], datetime]
) -> Result:
    """Do what `run` does, by a clock that tells seconds and one that tells the time."""
    planned = event["plan"].quality
    if planned is None:  # the workflow comes here with a gate alone; this is for the type checker
        raise AssertionError("no quality gate in the plan")
    return _Evaluation(event["plan"], planned, clients, now).result(clock, until=clock() + ASKS_S)


class _Evaluation:
    """One call's work on a gate."""

    def __init__(
        self, plan: Plan, planned: PlannedGate, clients: Clients, now: Callable[[], datetime]
    ) -> None:
        self._plan = plan
        self._gate = planned
        self._clients = clients
        self._now = now
        self._components: dict[str, bool] = {}
        """Which endpoints host one, as far as that was looked at."""
        suite = gate_store.read_cases(clients.s3, planned)
        self._cases, self._suits = suite.cases, suite.suits
        self._record = self._known() or self._begun()

    def result(self, clock: Callable[[], float], *, until: float) -> Result:
        """Ask until the time is over; return how far it is.

        Raises:
            as `run`.
        """
        while len(self._record.cases) < len(self._cases) and clock() < until:
            self._take(self._cases[len(self._record.cases)])
        found, record = gate.weigh(self._record.cases), self._record
        more = len(record.cases) < len(self._cases)
        if not more:
            self._judge()
        than = f"; the earlier deployment is {record.against}" if record.against else ""
        return {
            "asked": found.asked,
            "cases": len(self._cases),
            "passed": found.passed,
            "worse": found.worse,
            "failed": found.failed,
            "against": record.against,
            "told": payload.cut("; ".join([f"{found.told}{than}", *record.notes]), payload.TEXT // 2),
            "more": more,
        }

    def _judge(self) -> None:
        planned = self._gate
        why = gate.refusal(
            self._record.cases, allow_worse=planned.allow_worse, allow_failed=planned.allow_failed
        )
        if why:
            service = self._plan.service
            raise QualityGateFailed(
                f"endpoint {self._plan.names.endpoint!r} is not switched to: {why}",
                why=why,
                fix=f"the report of this execution shows both answers (`sealift history {service}`); correct the "
                f"model or {planned.suite}, or raise quality.allow_worse",
            )

    # -- one case

    def _take(self, case: Case) -> None:
        """Ask one case, and write down what came of it."""
        if self._now() >= datetime.fromisoformat(self._record.began) + timedelta(
            seconds=self._gate.deadline_s
        ):
            late = CaseReply(
                "", error=f"not asked: deadline_s {self._gate.deadline_s} of the quality gate was over"
            )
            compared = expectations.compare(case, Answered(late), None)
        else:
            # First: what passes by itself is raised, and the new endpoint is then not asked for nothing.
            earlier = self._of_earlier(case)
            new = asking.ask(
                self._clients,
                self._plan.names.endpoint,
                case,
                self._suits,
                component=self._plan.smoke_test.component,
            )
            compared = expectations.compare(case, new, earlier)
        self._note(cases=(*self._record.cases, compared))

    def _of_earlier(self, case: Case) -> Answered | None:
        """Return what the earlier deployment says; None when there is none, or it is given up."""
        record = self._record
        if record.against is None or not record.asks_earlier:
            return None
        try:
            component = self._earlier_component(record.against)
            return asking.ask(self._clients, record.against, case, self._suits, component=component)
        except (NotYetVisible, AccessDenied) as error:
            self._give_up(error)
        except (ModelNotReady, Throttled, ServiceUnavailable) as error:
            kind = type(error)
            waited = (*record.waited, kind.__name__)
            if Counter(waited)[kind.__name__] < PATIENCE[kind]:
                self._note(waited=waited)
                raise
            self._give_up(error)
        return None

    def _earlier_component(self, endpoint: str) -> bool:
        """Return whether the earlier deployment's endpoint hosts an inference component."""
        if endpoint not in self._components:
            found = service_errors.or_none(self._clients.sagemaker.describe_endpoint, EndpointName=endpoint)
            self._components[endpoint] = found is not None and inference_component.is_there(found)
        return self._components[endpoint]

    def _give_up(self, error: SealiftError) -> None:
        asked = len(self._record.cases)
        note = (
            f"endpoint {self._record.against!r} could not be compared with from case {asked + 1} on: {error}"
        )
        self._note(asks_earlier=False, notes=(*self._record.notes, payload.cut(note, payload.TEXT // 4)))

    # -- what is remembered

    def _known(self) -> QualityRecord | None:
        """Return what an earlier call has written down of this very endpoint and suite."""
        found = gate_store.read(self._clients.s3, self._gate.bucket, self._gate.record_key)
        same = found and (found.endpoint, found.suite) == (self._plan.names.endpoint, self._gate.key)
        return found if same else None

    def _begun(self) -> QualityRecord:
        against = self._earlier()
        none = "there is no earlier deployment to compare with: what fails counts as worse"
        made = QualityRecord(
            endpoint=self._plan.names.endpoint,
            suite=self._gate.key,
            began=self._now().isoformat(timespec="seconds"),
            against=against,
            asks_earlier=against is not None,
            notes=() if against else (none,),
        )
        gate_store.write(self._clients.s3, self._gate, made)
        return made

    def _earlier(self) -> str | None:
        """Return the endpoint that serves the service now, or that its consumer calls; None where nothing does."""
        plan = self._plan
        with service_errors.translated():
            account = release_store.read_releases(self._clients.sagemaker, plan.service)
        others = [one for one in account.releases if one.endpoint != plan.names.endpoint]
        serving = releases.choose(others, {plan.serving} if plan.serving else set())
        return (serving and serving.endpoint) or plan.taken_from

    def _note(self, **changed: object) -> None:
        """Write down what has changed."""
        self._record = replace(self._record, **changed)  # type: ignore[arg-type]
        gate_store.write(self._clients.s3, self._gate, self._record)


handler = lambda_handler.Task(
    run,
    errors=(ModelNotReady, NotYetVisible),
    may=(
        allow("sagemaker:InvokeEndpoint", "sagemaker:DescribeEndpoint", on=ENDPOINTS),
        allow("s3:GetObject", "s3:PutObject", on=RECORDS),
        allow(
            "s3:ListBucket",
            on=ARTIFACT_BUCKET,
            why='Without ListBucket, what is not there reads as "access denied" instead of "not found".',
        ),
        allow(
            "sagemaker:ListEndpoints",
            "sagemaker:ListEndpointConfigs",
            on=EVERYTHING,
            why="Which deployment serves now; the lists know no resource.",
        ),
        allow("sagemaker:ListTags", on=ENDPOINT_CONFIGS),
    ),
    timeout_s=TIMEOUT_S,
)
