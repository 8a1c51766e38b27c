"""`sealift plan`: what PlanDeployment will decide, before anything is uploaded.

Reads the archive as far as its model's header goes, within a bound, and nothing else, takes the same request, the same
fit and the same decision as the workflow, and shows the arithmetic. Refuses to create anything, and to know the digest
in the names: that covers what the stack adds.
"""

from __future__ import annotations

import json
import sys
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath
from time import monotonic
from typing import TYPE_CHECKING, Any, Final

from inference import sealift_models
from pipeline import json_codec, limits, naming, settings
from pipeline.archive.build import packed_source
from pipeline.archive.checks import checksum
from pipeline.archive.checks.inspect import inspect
from pipeline.archive.s3 import bare, split_models
from pipeline.archive.s3.sources import FileSource, S3Source
from pipeline.aws.clients import Clients
from pipeline.aws.service_errors import translated
from pipeline.cli import deployment_flags, preflight, reading
from pipeline.cli.commands.archives import named
from pipeline.cli.endings import Misuse
from pipeline.cli.screen import Screen
from pipeline.errors import InvalidInput, Problem, SealiftError
from pipeline.hosting import ARCHIVE_ARTIFACT, IMAGE_ARTIFACT, IN_PLACE, INSTANCE, SERVERLESS
from pipeline.limits import MiB
from pipeline.operations import price_list
from pipeline.planning import (
    archive_rules,
    artifact_choice,
    container_choice,
    container_needs,
    deployment_request,
    network,
    plan_notes,
    quotas,
    request_sources,
)
from pipeline.planning import plan as planned
from pipeline.planning.container_choice import ContainerChoice
from pipeline.planning.request_fields import DEPLOYMENT_JSON
from pipeline.rollout import own_image, sidecars
from pipeline.sizing import fit, images, instance_choice, instance_types, running_cost

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import date

    from pipeline.archive.checks.report import ArchiveReport
    from pipeline.archive.checks.rules import Rules
    from pipeline.archive.s3.sources import Source
    from pipeline.cli.options import PlanOptions
    from pipeline.gguf.header import GGUFHeader
    from pipeline.planning.container_needs import ContainerNeed
    from pipeline.sizing.instance_types import ListedPrice
    from pipeline.state_data.plan_types import CapacityStep, Offer
    from pipeline.state_data.request_types import Request, StackDefaults

DIGEST: Final = "<digest>"
"""Stands for twelve digits that the archive's version and the stack's settings give."""

BARE: Final = "BareGGUF"

_NO_STACK: Final[StackDefaults] = {
    "execution_role_arn": "arn:aws:iam::000000000000:role/sealift-endpoint",
    "endpoint_role_arns": "",
    "account_id": "000000000000",
    "region": "us-east-1",
    "container": images.DEFAULT.name,
    "image_uri": "",
    "consumer_function_name": "",
    "consumer_function_pattern": "*",
    "artifact_bucket": "artifacts",
    "allow_archive_code": "true",
}
"""What the sizes do not depend on."""
_OWN_IMAGE: Final = "000000000000.dkr.ecr.{}.amazonaws.com/image:tag"
"""Stands for the image of the stack, which the sizes do not depend on either."""


@dataclass(frozen=True, slots=True)
class PlanShown:
    """The answer to "does it fit?", with its evidence."""

    report: ArchiveReport
    request: Request
    choice: planned.HostingChoice | None
    """None when the archive does not show its model's header."""
    notes: tuple[str, ...]
    containers: tuple[ContainerNeed, ...] = ()
    """What it would need in each container on serverless, the smallest first."""
    set_aside: tuple[Problem, ...] = ()
    """Of the archive's problems, that it is none yet: a note here, and in the way of an upload."""

    @property
    def hosting(self) -> str:
        """Where it would run."""
        return self.choice.hosting if self.choice else SERVERLESS

    @property
    def container_note(self) -> str:
        """Why it would be served otherwise than serverless; empty where it would not."""
        return self.choice.container_note if self.choice else ""

    @property
    def artifact(self) -> str:
        """In what the model would reach the endpoint."""
        return IMAGE_ARTIFACT if self.choice and self.choice.in_image else ARCHIVE_ARTIFACT

    @property
    def needed(self) -> fit.Fit | None:
        """What the model needs."""
        return self.choice.needed if self.choice else None

    @property
    def decision(self) -> fit.FitDecision:
        """The memory size, or why there is none."""
        return self.choice.decision if self.choice else fit.FitDecision(None)

    @property
    def offers(self) -> tuple[Offer, ...]:
        """On instances: the type that would be taken, and those to step to."""
        return self.choice.offers if self.choice else ()

    @property
    def set_apart(self) -> tuple[tuple[str, str], ...]:
        """Of network, key and tags what would be set, each with a word for what it is about."""
        return network.planned(self.request, [one.name for one in self.offers[:1]])

    @property
    def problems(self) -> tuple[Problem, ...]:
        """The archive's problems first, then the fit's."""
        found = self.report.problems + self.decision.problems
        unread = self.report.unreached if self.needed is None and not found else None
        return (unread,) if unread else found

    @property
    def fits(self) -> bool:
        """Whether the archive can be deployed as it is."""
        return not self.problems and (self.decision.memory_mb is not None or bool(self.offers))

    @property
    def steps(self) -> tuple[CapacityStep, ...]:
        """What an ordinary account's quotas will make of the sizes."""
        if self.decision.memory_mb is None or self.needed is None:
            return ()
        concurrency = self.request.max_concurrency
        return quotas.forecast(self.decision.memory_mb, concurrency, self.needed.sizes_mb)

    @property
    def size(self) -> str:
        """What it would run on, in words."""
        return self.offers[0].name if self.offers else f"{self.decision.memory_mb} MB"

    @property
    def name(self) -> str:
        """The name of the model, its endpoint configuration and its endpoint."""
        return f"{self.request.service}-{DIGEST}"

    @property
    def endpoint(self) -> str:
        """The name of the endpoint; with `in_place`, of a service's first one."""
        return self.request.service if self.request.strategy == IN_PLACE else self.name

    @property
    def usd_per_hour(self) -> float | None:
        """What it would cost while nobody calls; None of serverless containers that are kept started."""
        if self.offers:
            return round(self.request.instance_count * self.offers[0].usd_per_hour, 6)
        return None if self.request.provisioned_concurrency else 0.0

    @property
    def instances(self) -> dict[str, Any] | None:
        """What an instance endpoint would run on; None on serverless."""
        if not self.offers or self.needed is None:
            return None
        count = self.request.instance_count
        return {
            "count": count,
            "usd_per_hour": self.usd_per_hour,
            "slots": self.needed.demand.n_parallel,
            "auto_scaling": json_codec.encode(self.request.auto_scaling),
            "offers": json_codec.encode(self.offers),
            **asdict(instance_choice.settings(self.needed)),
        }

    def to_json(self) -> dict[str, Any]:
        """Return the plan as a JSON object."""
        return {
            "verdict": "fits" if self.fits else "refused",
            "name": self.report.name,
            "size": self.report.size,
            "format": self.report.format,
            "model": self.report.model.to_json() if self.report.model else None,
            "hosting": self.hosting,
            "artifact": self.artifact,
            "memory_mb": self.decision.memory_mb,
            "max_concurrency": self.request.max_concurrency if self.hosting == SERVERLESS else None,
            "provisioned_concurrency": self.request.provisioned_concurrency
            if self.hosting == SERVERLESS
            else None,
            "instances": self.instances,
            "usd_per_hour": self.usd_per_hour,
            "expires_after_h": self.request.expires_after_h,
            "names": {"model": self.name, "endpoint_config": self.name, "endpoint": self.endpoint},
            "fit": self.needed.to_json() if self.needed else None,
            "arithmetic": self.choice.arithmetic if self.choice else None,
            "problems": [problem.to_json() for problem in self.problems],
            "container": self.request.container,
            "containers": [{**asdict(one), "within_quota": one.within_quota} for one in self.containers],
            "alternatives": [asdict(alternative) for alternative in self.decision.alternatives],
            "steps": json_codec.encode(self.steps),
            "set_apart": dict(self.set_apart),
            "notes": list(self.notes),
            "bytes_read": self.report.bytes_read,
        }


def plan(arguments: PlanOptions) -> int:
    """Say whether the model in an archive fits a serverless endpoint."""
    begun = monotonic()
    flags = deployment_flags.said(arguments)
    try:
        made = plan_files(
            arguments.files,
            flags,
            container=arguments.container or images.AUTO,
            place=deployment_flags.COMMAND,
            stack=arguments.stack,
        )
    except InvalidInput as refusal:
        wrong = (
            Misuse if all(one.where == deployment_flags.COMMAND for one in refusal.problems) else InvalidInput
        )
        problems = [deployment_flags.by_flag(one) for one in refusal.problems]
        raise wrong(refusal.subject, problems) from refusal
    seconds = monotonic() - begun
    if arguments.json:
        print(json.dumps({**made.to_json(), "seconds": round(seconds, 3)}, indent=2))
    else:
        tell(made, seconds, Screen(sys.stdout))
    return 0 if made.fits else 1


def plan_files(
    names: Sequence[str], fields: dict[str, Any], *, container: str, place: str, stack: str | None = None
) -> PlanShown:
    """Return the plan for an archive or a model's files, as an execution's input has the other fields.

    Args:
        names: as `named` takes them.
        fields: of the execution's input, all but `archive`.
        container: the stack's; `auto` is what the stack has, or would do by itself.
        place: where the fields stand, for whoever corrects them.
        stack: whose parameters and whose images count; None for no account at all.

    Raises:
        SealiftError: a field is wrong, a file could not be read, or AWS refused.
    """
    with translated():
        files = named(names)
        clients = Clients(region=settings.region()) if stack else None
        found, unseen = _stack(clients, stack) if clients and stack else (None, "")
        defaults = _defaults(container, found)
        where, beside = _beside(files[0])
        asked = _request({"archive": _location(files[0]), **fields}, beside, defaults, (place, where))
        if clients and found:
            served = preflight.served(clients, asked, found.outputs)
        elif asked.container == images.AUTO:
            served = container_choice.choose(asked, own_image.wanted("", asked.instance_type))
        else:
            served = ContainerChoice(asked)
        made = judge(files, served.request, datetime.now(UTC).date(), known_prices())
        packed = _PACKED if is_packed(files, made.hosting) else ""
        won = deployment_flags.overruled(fields, beside if isinstance(beside, dict) else {}, where)
        container = made.container_note or served.note
        return replace(made, notes=tuple(filter(None, (packed, *made.notes, unseen, container, *won))))


def without_stack(
    files: Sequence[Source], fields: dict[str, Any], beside: Any, names: tuple[str, str]
) -> PlanShown:
    """Return the plan that a stack would make that is yet to be deployed, and that has Sealift's own image then.

    Args:
        files: the archive, or the model's.
        fields: of the execution's input, all but `archive`.
        beside: the settings beside the archive, or None.
        names: what both are called.

    Raises:
        InvalidInput: with every mistake in them.
    """
    asked = _request({"archive": _location(files[0]), **fields}, beside, _defaults(images.AUTO, None), names)
    return judge(files, preflight.assumed(asked).request, datetime.now(UTC).date(), known_prices())


def known_prices() -> Mapping[str, ListedPrice]:
    """Return the prices that `sealift prices --refresh` has kept of the region."""
    return price_list.known(settings.cache(), settings.region())


def _stack(clients: Clients, name: str) -> tuple[preflight.Stack | None, str]:
    """Return the stack that deployments would be made with; or None, and why it could not be looked at."""
    try:
        with translated():
            return preflight.find_stack(clients, name), ""
    except SealiftError as error:
        return None, f"stack {name} could not be looked at, and a plan needs none: {error}"


def _defaults(container: str, found: preflight.Stack | None) -> StackDefaults:
    """Return what the stack says where a deployment does not; without one, what it would if it named the container."""
    if found is not None:
        own = found.defaults
        return {
            **_NO_STACK,
            "container": own["container"],
            "image_uri": own["image_uri"],
            "region": own["region"],
            "subnets": own.get("subnets", ""),
            "security_groups": own.get("security_groups", ""),
            "network_isolation": own.get("network_isolation", ""),
            "volume_kms_key_arns": own.get("volume_kms_key_arns", ""),
            "resource_tags": own.get("resource_tags", ""),
        }
    region = settings.region()
    return {
        **_NO_STACK,
        "region": region,
        "container": container,
        "image_uri": "" if container == images.AUTO else _OWN_IMAGE.format(region),
    }


def judge(
    files: Sequence[Source],
    request: Request,
    today: date,
    prices: Mapping[str, ListedPrice] | None = None,
) -> PlanShown:
    """Return the plan for an archive or a model's files, from the model's header; `prices` as `decide` takes them.

    A model on this machine is planned as `sealift push` sends it: packed, but to an instance, which takes it as it is.
    """
    made = decide(inspect_sources(files, request), request, today, prices)
    if is_packed(files, request.hosting) and made.hosting == INSTANCE and made.fits:
        # Only the plan tells with hosting `auto`, and nothing is unpacked there that need not be.
        return decide(_inspect_model(files, archive_rules.of(request)), request, today, prices)
    return made


def is_packed(files: Sequence[Source], hosting: str) -> bool:
    """Tell whether a model's files are packed on their way, as far as the request says where they go."""
    first = files[0]
    return hosting != INSTANCE and isinstance(first, FileSource) and sealift_models.is_model(first.name)


def inspect_sources(files: Sequence[Source], request: Request) -> ArchiveReport:
    """Return what an archive tells as far as its model's header, or the headers of a model that is none.

    A model that is packed on its way is reported as the archive that it becomes.
    """
    source, rules = files[0], archive_rules.of(request)
    if is_packed(files, request.hosting):
        report = _inspect_model(files, rules)
        return replace(report, format="tar.gz", size=packed_source.of(files).size)
    if archive_rules.is_bare(source.name, request.hosting):
        return _inspect_model(files, rules)
    if len(files) > 1 or split_models.is_shard(source.name):
        return bare.unpacked(files, rules=rules)
    return checksum.misnamed(inspect(source, rules=rules, seek=True))


def _inspect_model(files: Sequence[Source], rules: Rules) -> ArchiveReport:
    return bare.check(files, rules=rules)


def decide(
    report: ArchiveReport,
    request: Request,
    today: date,
    prices: Mapping[str, ListedPrice] | None = None,
) -> PlanShown:
    """Return the plan for what a first look has found; with `prices` of instances, by type, before the listed ones."""
    if report.model is None or report.model.header is None or _in_part(report):
        return PlanShown(report, request, None, ())
    model, extracted, notes = _whole(report, report.model.header)
    bare = report.format == "gguf" and request.hosting != SERVERLESS
    set_aside: tuple[Problem, ...] = ()
    if report.format == "gguf" and not bare:
        # Whether it fits is worth knowing before it is packed.
        set_aside = tuple(problem for problem in report.problems if problem.error == BARE)
        notes += tuple(f"{problem.seen}: {problem.fix}" for problem in set_aside)
        report = replace(report, problems=tuple(one for one in report.problems if one.error != BARE))
    if not report.complete and report.format == "tar.gz" and images.PROFILES[request.container].companions:
        notes += (_BEHIND,)
    archive = {"size": report.size, "extracted_bytes": extracted, "parts": bare}
    choice = planned.choose(request, archive, model, artifact_choice.assumed_below(request), prices or {})
    request = choice.request
    needs = () if _only_instances(request) else container_needs.compare(request, archive, model)
    said = plan_notes.notes(request, model, today, choice.hosting)
    said += [*plan_notes.image_notes(choice.needed), *choice.notes]
    said += plan_notes.instance_notes(request, choice.needed, choice.offers)
    said += plan_notes.serverless_notes(request, choice.needed, choice.hosting)
    return PlanShown(report, request, choice, (*notes, *said), needs, set_aside)


def _only_instances(request: Request) -> bool:
    """Return whether no memory size of serverless matters."""
    return request.hosting == INSTANCE or request.code == images.ARCHIVE_CODE


def _in_part(report: ArchiveReport) -> bool:
    """Return whether shards of the model are missing: what is there says nothing about the size of the whole."""
    return any(problem.error == "ShardsIncomplete" for problem in report.problems)


def _whole(report: ArchiveReport, header: GGUFHeader) -> tuple[dict[str, Any], int, tuple[str, ...]]:
    """Return the model's facts and extracted bytes; what was not read of a split model counts as weights."""
    facts: dict[str, Any] = dict(report.model.to_json()) if report.model else {}
    read = facts.get("shards_read", 1)
    if read >= header.shard_count:
        return facts, report.extracted_bytes, report.notes
    note = f"{read} of {header.shard_count} shards were read; the archive's size is taken for the weights'"
    return (
        {**facts, "tensor_bytes": report.size},
        max(report.extracted_bytes, report.size),
        (*report.notes, note),
    )


def _location(source: Source) -> dict[str, str]:
    """Return the archive's location, as an execution's input has it."""
    if isinstance(source, S3Source):
        # Of a split model the first file stands for all.
        return {"bucket": source.bucket, "key": split_models.shard_names(source.key)[0]}
    # As it would be uploaded: the folder gives the service, as the key's second part does in S3.
    path = Path(source.name).resolve()
    service = naming.service_from_key(f"models/{path.parent.name}/{path.name}") or "model"
    return {"bucket": "uploads", "key": f"models/{service}/model.tar.gz"}


_BEHIND: Final = (
    "what lies behind the model's weights was not looked at: a projector, adapters or a draft model there are counted "
    "when the archive is checked; `sealift pack` puts them before the model"
)
_PACKED: Final = "a bare GGUF: `sealift push` packs it while it is uploaded"


def _request(document: dict[str, Any], beside: Any, stack: StackDefaults, names: tuple[str, str]) -> Request:
    """Return the request that an input and the settings beside the archive make.

    Args:
        document: the execution's input.
        beside: the settings, or None.
        stack: what it says.
        names: what the input and the settings are called.

    Raises:
        InvalidInput: with every mistake, by the place or the file that it stands in.
    """
    if isinstance(beside, dict) and isinstance(role := beside.get("execution_role_arn"), str):
        # Which roles a stack may hand on is the stack's to say.
        stack = {**stack, "endpoint_role_arns": role}
    if "subnets" not in stack:
        # Without a stack nobody can tell what its parameters allow: what is asked for is taken to be allowed.
        stack = {**stack, **_allowed(beside, document)}
    return deployment_request.request(document, beside, stack, request_sources.PlannedNames(*names))


def _allowed(*sources: Any) -> StackDefaults:
    """Return what a stack says that allows the network and the key that these sources ask for, the last one first."""
    said = deployment_request.merged(*(one for one in sources if isinstance(one, dict)))
    asked = {name: said[name] for name in ("network", "volume_kms_key_arn") if name in said}
    parsed = DEPLOYMENT_JSON.parse(asked, "", []) or {}
    network = parsed["network"] or {}
    return {  # type: ignore[typeddict-item]
        "subnets": ",".join(filter(None, network.get("subnets") or ())),
        "security_groups": ",".join(filter(None, network.get("security_groups") or ())),
        "volume_kms_key_arns": parsed["volume_kms_key_arn"] or "",
    }


def _beside(source: Source) -> tuple[str, Any]:
    """Return the settings beside the archive, which the workflow heeds as well, with their name; None without any."""
    if isinstance(source, S3Source):
        return sidecars.place(source.bucket, source.key), sidecars.read(
            Clients(region=settings.region()).s3, source.bucket, source.key
        )
    path = Path(source.name).with_name(request_sources.SIDECAR)
    if not path.exists():
        return str(path), None
    return str(path), reading.read_object(path, most=request_sources.SIDECAR_LIMIT)


# -- on a terminal


def tell(made: PlanShown, seconds: float, screen: Screen) -> None:
    """Show a plan, line by line."""
    report, needed, decision = made.report, made.needed, made.decision
    verdict = f"fits {made.size}" if made.fits else "refused"
    read = f"{report.bytes_read / MiB:,.1f} of {report.size / MiB:,.1f} MiB read in {seconds:.1f} s"
    screen.say(f"{PurePosixPath(report.name).name}: {verdict} ({read})")
    if report.model and report.model.header and needed:
        header = report.model.header
        kind = f"{header.architecture}, {header.quantization}, {report.model.parameter_count:,} parameters"
        screen.say(f"  model {report.model.path}: {kind}{report.model.pieces}")
        slots = f", n_parallel {needed.demand.n_parallel}" if needed.demand.n_parallel > 1 else ""
        screen.say(f"  n_ctx {needed.demand.n_ctx}, n_batch {needed.demand.n_batch}{slots}")
        if made.hosting == INSTANCE:
            _instance_budgets(made, needed, screen)
        else:
            _budgets(needed, decision.memory_mb, screen)
    _containers(made, screen)
    for problem in made.problems:
        screen.say(f"  {problem.error}")
        _say(screen, "seen", problem.seen)
        _say(screen, "wanted", problem.wanted)
        if problem in report.problems or made.hosting == INSTANCE:
            _say(screen, "fix", problem.fix)
    if decision.alternatives:
        screen.say("  what would fit")
        for alternative in decision.alternatives:
            _say(screen, alternative.kind, alternative.text)
    for note in made.notes:
        _say(screen, "note", note)
    for step in made.steps:
        _say(screen, "step", f"{step.asked} asked for; {step.said}: {step.did}")
    if made.fits:
        _created(made, screen)


def _containers(made: PlanShown, screen: Screen) -> None:
    """Say what each container would need, and what our own saves."""
    if not made.containers or made.hosting == INSTANCE:
        return
    screen.say("  in each container")
    for one in made.containers:
        _say(
            screen,
            one.container,
            f"{one}{', planned here' if one.container == made.request.container else ''}",
        )
    advice = container_needs.saving(made.containers)
    if advice and made.request.container != images.CUSTOM.name:
        _say(screen, "recommended", advice)


def _created(made: PlanShown, screen: Screen) -> None:
    screen.say("  would be created")
    one = f"model, endpoint configuration and endpoint {made.name}"
    in_place = f"model and endpoint configuration {made.name}; endpoint {made.endpoint}, or the one there is"
    _say(screen, "names", one if made.endpoint == made.name else in_place)
    if made.offers:
        _say(screen, "size", f"{made.request.instance_count} x {made.offers[0].name}")
    else:
        ordinary = quotas.target(limits.CONCURRENCY_QUOTA.value)
        concurrency = made.request.max_concurrency or f"{ordinary} on an ordinary account"
        kept = made.request.provisioned_concurrency
        started = f", ProvisionedConcurrency {kept}" if kept else ""
        size = f"MemorySizeInMB {made.decision.memory_mb}, MaxConcurrency {concurrency}{started}"
        _say(screen, "size", size)
    for word, text in made.set_apart:
        _say(screen, word, text)
    _say(screen, "costs", running_cost.Cost(made.usd_per_hour, to_zero=made.request.scale_to_zero).now)
    if made.request.expires_after_h is not None:
        _say(screen, "goes", f"by itself, {made.request.expires_after_h:g} h after its success")


def _budgets(needed: fit.Fit, memory_mb: int | None, screen: Screen) -> None:
    of = f" of {memory_mb:,}" if memory_mb else ""
    screen.say(f"  memory: {needed.memory_bytes / MiB:,.0f} MiB{of}")
    for line in needed.lines:
        _say(screen, line.name, line.how, f"{line.bytes / MiB:,.0f}")
    disk = limits.DISK.value / MiB
    screen.say(
        f"  disk: {needed.certain_disk_bytes / MiB:,.0f} to {needed.disk_bytes / MiB:,.0f} MiB of {disk:,.0f}"
    )
    for line in needed.disk:
        _say(screen, line.name, line.how, f"{line.bytes / MiB:,.0f}")
    screen.say(f"  start-up: {needed.startup_s:.0f} s of {limits.STARTUP_S.value}")
    for stage in needed.startup:
        _say(screen, stage.name, stage.how, f"{stage.seconds:.0f} s")
    if needed.image:
        most = limits.IMAGE_BYTES.value / MiB
        screen.say(f"  image: {needed.image_bytes / MiB:,.0f} MiB of {most:,.0f}, which holds the model")
    for line in needed.image:
        _say(screen, line.name, line.how, f"{line.bytes / MiB:,.0f}")


def _instance_budgets(made: PlanShown, needed: fit.Fit, screen: Screen) -> None:
    if not (made.offers and made.offers[0].gpu_layers):
        # What lies on GPUs has a sum of its own, which each type tells.
        screen.say(f"  memory: {needed.memory_bytes / MiB:,.0f} MiB")
        for line in needed.lines:
            _say(screen, line.name, line.how, f"{line.bytes / MiB:,.0f}")
    for offer in made.offers:
        head = "instance" if offer is made.offers[0] else "or"
        differs = plan_notes.own_model(offer, made.offers[0])
        screen.say(f"  {head}: {instance_choice.describe(offer, made.request.instance_count)}{differs}")
        _say(screen, "memory", offer.memory)
        _say(screen, "speed", offer.speed)
        if instance_types.has_own_disk(offer.name):
            _say(screen, "disk", offer.disk)
    settings = instance_choice.settings(needed)
    own = made.offers and instance_types.has_own_disk(made.offers[0].name)
    screen.say(f"  {'disk' if own else 'volume'}: {settings.volume_gb} GB")
    for line in needed.disk:
        _say(screen, line.name, line.how, f"{line.bytes / MiB:,.0f}")
    screen.say(
        f"  start-up: {needed.startup_s:.0f} s; given up after {settings.download_s} + {settings.startup_s} s"
    )
    for stage in needed.startup:
        _say(screen, stage.name, stage.how, f"{stage.seconds:.0f} s")


def _say(screen: Screen, name: str, text: str, figure: str | None = None) -> None:
    screen.item(f"    {name:<16}" + (f"{figure:>8}  " if figure is not None else ""), text)
