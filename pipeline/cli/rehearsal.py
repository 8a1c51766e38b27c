"""What a push would make, change and cost, before anything of it is done.

`gather` looks at what the new deployment meets, `lines` says it; between them is data. Refuses to change anything, and
to know what only the upload gives: the digits of a name, and what others do meanwhile.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Final

from botocore.exceptions import ClientError

from pipeline import inference_component, limits, naming
from pipeline.aws import service_errors
from pipeline.errors import AccessDenied, ConsumerUnreadable, SealiftError
from pipeline.hosting import SERVERLESS, kept
from pipeline.limits import MiB
from pipeline.operations import consumer_candidates
from pipeline.planning import alarms, consumer_claims, metrics, quotas
from pipeline.report import costs
from pipeline.rollout import consumer_references, endpoint_parameter, release_store, releases
from pipeline.rollout.releases import Release
from pipeline.sizing import hourly_costs, images, pricing, running_cost

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from collections.abc import Set as AbstractSet

    from pipeline.aws.clients import Clients
    from pipeline.cli.commands.plan import PlanShown
    from pipeline.cli.preflight import Stack
    from pipeline.rollout.releases import Retirement
    from pipeline.state_data.request_types import Request

_NEWEST: Final = "9999"
"""Stands for a moment after all others, in a release that is yet to be made."""


@dataclass(frozen=True, slots=True)
class PlannedUpload:
    """One object that would be written."""

    bytes: int
    place: str


@dataclass(frozen=True, slots=True)
class Switch:
    """A consumer that would call the new endpoint."""

    function_name: str
    variable: str
    now: str | None
    """What it calls; None for nothing."""


@dataclass(frozen=True, slots=True)
class NamedAnew:
    """The service's parameter, which would name the new endpoint."""

    name: str
    now: str | None
    """What it names; None for nothing."""


@dataclass(frozen=True, slots=True)
class Rehearsal:
    """What a push would do."""

    account_id: str
    region: str
    stack: str
    stack_is_new: bool
    uploads: tuple[PlannedUpload, ...]
    endpoint: str
    names: tuple[str, ...]
    """Of what would be created for it: model, endpoint configuration, endpoint."""
    updates: bool
    """Whether the endpoint is there, and would be updated in place."""
    size: str
    set_apart: tuple[tuple[str, str], ...]
    """Of network, key and tags what would be set, each with a word for what it is about."""
    alarms: tuple[str, ...]
    besides: tuple[str, ...]
    """What else would be created with the endpoint, in words: metric filters, what scales it."""
    gate: str
    """Whom a quality gate would ask what before the switch, in words; empty without one."""
    switches: tuple[Switch, ...]
    parameter: NamedAnew
    kept: tuple[str, ...]
    """The endpoints that would stay as rollback targets, newest first."""
    retired: tuple[str, ...]
    spared: tuple[str, ...]
    """What would be retired but for the reason that stands with it."""
    usd_per_hour: float | None
    """While nobody calls; None where that is reckoned by the month alone."""
    usd_per_month: float | None
    """The same with storage and alarms; None where a price is not known."""
    cost: tuple[str, ...]
    """How that is reckoned."""
    expires_after_h: float | None = None
    """Hours after its success in which it would be taken down by itself."""
    notes: tuple[str, ...] = ()
    """Of the plan."""
    unseen: tuple[str, ...] = ()
    """What could not be looked at, and is left to the workflow."""

    def to_json(self) -> dict[str, Any]:
        """Return it as a JSON object."""
        return asdict(self)


def gather(
    clients: Clients,
    request: Request,
    made: PlanShown,
    uploads: Sequence[PlannedUpload],
    found: Stack,
    *,
    cases: int = 0,
) -> Rehearsal:
    """Return what a push would do, as far as the person may look.

    Args:
        clients: of the account.
        request: the deployment's.
        made: its plan, which fits.
        uploads: what would be written.
        found: the stack.
        cases: of the quality gate's suite; 0 of one that was not read.
    """
    unseen: list[str] = []
    switches = _switches(clients, request, unseen)
    named = naming.endpoint_parameter(found.name, request.service)
    parameter = NamedAnew(named, _named_now(clients, named, unseen))
    there, kept, retired, spared = _earlier(clients, request, made, switches, unseen)
    endpoint, profile = made.endpoint, images.PROFILES[made.request.container]
    offer = made.offers[0] if made.offers else None
    cpus = offer.vcpus if offer else None
    log_form = profile.log_lines(request.code)
    watched = [one["name"] for one in alarms.summaries(endpoint, request.timeout_s, cpus, log_form)]
    watched += [alarms.waking(endpoint)] if made.request.scale_to_zero else []
    hourly = made.usd_per_hour or 0.0
    idle = _idle(made, found.defaults["region"], len(watched))
    known = [one.usd for one in idle if one.usd is not None]
    monthly = sum(known) + hourly * running_cost.HOURS_A_MONTH if len(known) == len(idle) else None
    return Rehearsal(
        account_id=found.defaults["account_id"],
        region=found.defaults["region"],
        stack=found.name,
        stack_is_new=found.is_new,
        uploads=tuple(uploads),
        endpoint=endpoint,
        names=tuple(dict.fromkeys((made.name, endpoint))),
        updates=endpoint in there,
        size=_size(made),
        set_apart=made.set_apart,
        alarms=tuple(watched),
        besides=tuple(_besides(made, log_form)),
        gate=_gate(request, cases, endpoint, parameter.now),
        switches=switches,
        parameter=parameter,
        kept=kept,
        retired=retired,
        spared=spared,
        usd_per_hour=made.usd_per_hour,
        usd_per_month=None if monthly is None else round(monthly, 2),
        cost=tuple(f"{one.what}: {one.how}" for one in idle),
        expires_after_h=request.expires_after_h,
        notes=made.notes,
        unseen=tuple(unseen),
    )


def _size(made: PlanShown) -> str:
    if made.offers:
        count, offer = made.request.instance_count, made.offers[0]
        return hourly_costs.price(offer.name, count, offer.usd_per_hour)
    usual = quotas.target(limits.CONCURRENCY_QUOTA.value)
    calls = made.request.max_concurrency or f"what is free of {usual}"
    kept = made.request.provisioned_concurrency
    started = f", {kept} of them in containers that are kept started" if kept else ""
    return f"{made.decision.memory_mb} MB, serverless, concurrent calls: {calls}{started}"


def _besides(made: PlanShown, log_form: str | None) -> Iterator[str]:
    """Yield what is created with an endpoint beside its alarms."""
    request = made.request
    if filters := len(metrics.of_form(log_form)):
        yield f"{filters} metric filters of its log"
    if request.scale_to_zero:
        component = inference_component.name_of(made.endpoint)
        yield f"inference component {component}, scaled from none to {request.instance_count} copies by 2 policies"
    elif request.auto_scaling and made.offers:
        scaling = request.auto_scaling
        yield f"a scalable target, from {scaling.min} to {scaling.max} instances, and its policy"


def _gate(request: Request, cases: int, endpoint: str, earlier: str | None) -> str:
    if request.quality is None:
        return ""
    gate = request.quality
    # Of a suite that lies beside the upload only the name is known here.
    number = f"{cases} case{'s' * (cases != 1)}" if cases else "the cases"
    asked = f"{endpoint} and {earlier}" if earlier else endpoint
    return f"{number} of {gate.suite}: {asked}, before the switch; {gate.allow_worse} may be worse"


def _named_now(clients: Clients, name: str, unseen: list[str]) -> str | None:
    try:
        with service_errors.translated():
            return endpoint_parameter.value(clients.ssm, name)
    except AccessDenied as error:
        unseen.append(str(error))
        return None


def _idle(made: PlanShown, region: str, watched: int) -> tuple[costs.CostLine, ...]:
    """Return what the deployment costs in a month without a call, but for instances."""
    memory_mb = made.decision.memory_mb if made.hosting == SERVERLESS else None
    reckoned = costs.reckon(
        pricing.LISTED,
        region,
        memory_mb=memory_mb,
        provisioned=made.request.provisioned_concurrency or 0,
        transcript=None,
        transitions=0,
        # As it was uploaded, and as it is deployed.
        archive_bytes=2 * made.report.size,
        alarms=watched,
    )
    return reckoned.idle


def _switches(clients: Clients, request: Request, unseen: list[str]) -> tuple[Switch, ...]:
    try:
        with service_errors.translated():
            values = consumer_candidates.read_variables(clients, request.consumers)
            others = consumer_candidates.claimed_by_others(clients, request, values)
    except (AccessDenied, ConsumerUnreadable) as error:
        unseen.append(str(error))
        values, others = [None] * len(request.consumers), []
    if consumer_claims.left(others, request.consumers, default=request.default_consumer):
        return ()
    return tuple(
        Switch(one.function_name + (f":{one.alias}" if one.alias else ""), one.variable, value)
        for one, value in zip(request.consumers, values, strict=True)
    )


def _earlier(
    clients: Clients, request: Request, made: PlanShown, switches: Iterable[Switch], unseen: list[str]
) -> tuple[tuple[str, ...], tuple[str, ...], tuple[str, ...], tuple[str, ...]]:
    """Return the service's endpoints; of its earlier deployments those that would stay, go, and stay for a reason."""
    try:
        with service_errors.translated():
            there = release_store.read_releases(clients.sagemaker, request.service).releases
            callers = {one["function_name"] for each in there for one in each.consumers}
            referred = consumer_references.referred(clients.lambda_, callers)
    except (SealiftError, ClientError) as error:
        unseen.append(str(error))
        return (), (), (), ()
    keep = kept(made.hosting, request.keep_previous, provisioned=request.provisioned_concurrency)
    leaving = {one.now for one in switches if one.now}
    chosen = forecast(there, keep=keep, referred=referred, leaving=leaving)

    def name(one: Release) -> str:
        # Of one that is updated in place the endpoint stays: its configuration goes, with its model.
        return one.endpoint if one.endpoint and one.endpoint != made.endpoint else one.config

    return (
        tuple(one.endpoint for one in there if one.endpoint and not one.is_paused),
        tuple(map(name, chosen.kept)),
        tuple(map(name, chosen.going)),
        tuple(f"{name(one)}: {why}" for one, why in chosen.spared),
    )


def forecast(
    there: Iterable[Release], *, keep: int, referred: Mapping[str, str], leaving: AbstractSet[str]
) -> Retirement:
    """Return who goes once a deployment that is yet to be made has turned out good.

    Args:
        there: the service's releases.
        keep: how many earlier good ones stay as rollback targets.
        referred: who refers to an endpoint now, by its name.
        leaving: the endpoints that consumers call now and will not after their switch, which comes first.
    """
    mine = Release("", "", _NEWEST, "", uploaded_at=_NEWEST, deployed_at=_NEWEST)
    still = {name: why for name, why in referred.items() if name not in leaving}
    return releases.retire([*there, mine], own=mine.config, keep=keep, referred=still)


def lines(facts: Rehearsal) -> Iterator[tuple[str, str]]:
    """Yield what a person is told: a word for what it is about, and the text."""
    yield "account", f"{facts.account_id}, {facts.region}, stack {facts.stack}"
    if facts.stack_is_new:
        yield (
            "deploy",
            f"the stack {facts.stack}, which is not there yet: `sealift deploy --dry-run` shows what of",
        )
    for one in facts.uploads:
        size = f"{one.bytes / MiB:,.1f} MiB" if one.bytes >= MiB / 10 else f"{one.bytes:,} bytes"
        yield "upload", f"{size} to {one.place}"
    yield from _made(facts)
    yield from _switched(facts)
    if facts.kept:
        yield "keep", f"{', '.join(facts.kept)}, to roll back to"
    yield "retire", ", ".join(facts.retired) or "nothing"
    for text in facts.spared:
        yield "stays", text
    month = "a price is not known" if facts.usd_per_month is None else f"${facts.usd_per_month:,.2f} a month"
    yield "cost", f"{running_cost.Cost(facts.usd_per_hour).now}; with storage and alarms {month}"
    if facts.expires_after_h is not None:
        yield "goes", f"by itself, {facts.expires_after_h:g} h after its success"
    for text in facts.notes:
        yield "note", text
    for text in facts.unseen:
        yield "unseen", text


def _made(facts: Rehearsal) -> Iterator[tuple[str, str]]:
    """Yield what would be created, or updated."""
    if facts.updates:
        yield "create", f"model and endpoint configuration {facts.names[0]}"
        yield "update", f"endpoint {facts.endpoint}, in place"
    else:
        yield "create", f"model, endpoint configuration and endpoint {' and '.join(facts.names)}"
    yield "", f"{facts.size}"
    yield from facts.set_apart
    yield "", f"{len(facts.alarms)} alarms: {', '.join(facts.alarms)}"
    for text in facts.besides:
        yield "", text
    if facts.gate:
        yield "ask", facts.gate


def _switched(facts: Rehearsal) -> Iterator[tuple[str, str]]:
    """Yield what would name the new endpoint."""
    for switch in facts.switches:
        before = switch.now or "not set"
        yield "switch", f"{switch.variable} of {switch.function_name}: {before} -> {facts.endpoint}"
    if not facts.switches:
        yield "switch", "no consumer"
    before = facts.parameter.now or "not set"
    anew = "stays" if before == facts.endpoint else f"{before} ->"
    yield "", f"parameter {facts.parameter.name}: {anew} {facts.endpoint}"
