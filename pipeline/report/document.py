"""The report as data: all that the page says, made of what AWS tells of an execution.

Pure. An execution may be of any age and may have ended anywhere, so every part may be missing; what another version
of Sealift has written in another shape is left out, and said to be. Refuses to draw and to ask.
"""

from __future__ import annotations

import dataclasses
import json
import re
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final, TypeVar

from pipeline import error_codec, inference_component, naming
from pipeline.client import snippets, ways_in
from pipeline.client.endpoint import ServiceEndpoint
from pipeline.hosting import SERVERLESS
from pipeline.limits import MiB
from pipeline.operations import checklist, execution_history
from pipeline.planning import set_apart
from pipeline.report import costs, gpus, memory, quality, state_graph, timeline, transcript
from pipeline.report.links import Console

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from pipeline.client.snippets import Snippet
    from pipeline.client.ways_in import WaysIn
    from pipeline.operations.checklist import ChecklistLine
    from pipeline.operations.execution_history import Execution
    from pipeline.report.costs import Costs
    from pipeline.report.gpus import GpuPicture
    from pipeline.report.memory import MemoryPicture
    from pipeline.report.quality import QualitySection
    from pipeline.report.state_graph import Graph
    from pipeline.report.timeline import Timeline
    from pipeline.report.transcript import Transcript
    from pipeline.sizing.pricing import Prices
    from pipeline.state_data.quality_types import QualityRecord

    R = TypeVar("R")

FOLDER: Final = "reports"
"""Of the artifact bucket."""
UNKNOWN_SERVICE: Final = "unknown"
"""Stands for the service of an execution whose input names none."""

MOST_EVIDENCE: Final = 60
"""Lines of a failure's evidence."""


@dataclass(frozen=True, slots=True)
class ReportFacts:
    """What AWS tells of an execution."""

    description: Mapping[str, Any]
    """As DescribeExecution answers."""
    events: Sequence[Mapping[str, Any]]
    """The whole history, oldest first."""
    definition: Mapping[str, Any] | None
    """Of the state machine as it was then; None when it is not known."""
    gate: QualityRecord | None = None
    """What both deployments answered; None where nobody asked, or it may not be read."""


@dataclass(frozen=True, slots=True)
class Fact:
    """One thing that is known."""

    name: str
    value: str


@dataclass(frozen=True, slots=True)
class Failure:
    """Why it did not go well, and what became of what had been made."""

    error: str
    what: str
    why: str
    fix: str
    evidence: tuple[str, ...] = ()
    gone: tuple[str, ...] = ()
    restored: tuple[str, ...] = ()
    kept: tuple[str, ...] = ()
    not_undone: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ResourceRow:
    """One thing that the deployment made or used."""

    kind: str
    name: str
    url: str
    state: str
    """In words: made, was there already, removed again, and so on."""


@dataclass(frozen=True, slots=True)
class SwitchedRow:
    """One consumer that calls the new endpoint."""

    function: str
    variable: str
    before: str
    now: str
    answer: str


@dataclass(frozen=True, slots=True)
class AskedBy:
    """How the service is asked, in short and by the code of each client."""

    ways: WaysIn
    snippets: tuple[Snippet, ...]


@dataclass(frozen=True, slots=True)
class Document:
    """All that the page says."""

    name: str
    """The execution's."""
    arn: str
    url: str
    service: str
    region: str
    status: str
    headline: str
    started: datetime | None
    ended: datetime | None
    seconds: float | None
    failure: Failure | None
    steps: tuple[str, ...]
    """What differs from what was requested."""
    checklist: tuple[ChecklistLine, ...]
    graph: Graph | None
    timeline: Timeline
    fit: MemoryPicture | None
    gpus: tuple[GpuPicture, ...]
    """Of each type with GPUs that runs; empty of a deployment without."""
    archive: tuple[Fact, ...]
    transcript: Transcript | None
    quality: QualitySection | None
    """None of a deployment without a quality gate."""
    switched: tuple[SwitchedRow, ...]
    asked_by: AskedBy | None
    """None of a deployment that does not serve."""
    resources: tuple[ResourceRow, ...]
    set_apart: tuple[Fact, ...]
    """Of network, key and tags what is set."""
    costs: Costs
    costs_now: str
    """What its endpoint costs while nobody calls, as it was deployed; empty of one that does not serve."""
    expires_at: str | None
    """When it is taken down by itself."""
    unread: tuple[str, ...]
    """The parts that are missing because their data has another shape than this version knows."""

    def to_json(self) -> dict[str, Any]:
        """Return it as a JSON object; the places of the graph are left out, they are for drawing."""
        plain: dict[str, Any] = _plain(dataclasses.asdict(dataclasses.replace(self, graph=None)))
        del plain["graph"]
        plain["transitions"] = self.timeline.transitions
        plain["costs"]["usd_per_1000_requests"] = self.costs.per_thousand
        return plain


def assemble(facts: ReportFacts, prices: Prices) -> Document:
    """Return the report of an execution."""
    ran = _with_last_words(execution_history.read(facts.description, facts.events), facts.events)
    results = ran.results
    line = timeline.read(facts.events, ended=not ran.running)
    arn = ran.arn
    partition, region = _fields(arn)
    console = Console(partition, region)
    service = service_of(results, _input(facts.description))
    unread: list[str] = []

    def part(what: str, read: Callable[[], R], otherwise: R) -> R:
        try:
            return read()
        except (KeyError, IndexError, TypeError, ValueError, AttributeError):
            # Written by another version: the rest of the report is worth having all the same.
            unread.append(what)
            return otherwise

    plan = _object(results, "plan_deployment")
    definition = facts.definition
    drawn = (
        part("the state graph", lambda: state_graph.layout(definition, line), None)
        if definition is not None
        else None
    )
    fit = part("the fit", lambda: memory.read(plan), None)
    talk = part("the smoke test", lambda: transcript.read(results), None)
    alarms = part("the alarms", lambda: _alarms(results), _NONE)
    serverless = plan.get("hosting", SERVERLESS) == SERVERLESS
    good = ran.status == "SUCCEEDED"
    return Document(
        name=arn.rpartition(":")[2],
        arn=arn,
        url=console.execution(arn),
        service=service,
        region=region,
        status=ran.status,
        headline=_headline(ran, service, plan),
        started=ran.started,
        ended=ran.ended,
        seconds=ran.seconds,
        failure=part("the diagnosis", lambda: _failure(ran, line), _bare(ran)),
        steps=part("the steps away from what was requested", lambda: _steps(plan), _NONE),
        checklist=part("the checklist", lambda: tuple(checklist.lines(ran)), ()),
        graph=drawn,
        timeline=line,
        fit=fit,
        gpus=part("the GPUs", lambda: gpus.read(results), ()),
        archive=part("the archive", lambda: tuple(_archive(results)), ()),
        transcript=talk,
        quality=part("the quality gate", lambda: quality.section(plan, facts.gate), None),
        switched=part("the consumers", lambda: tuple(_switched(results)), ()),
        asked_by=part("how it is asked", lambda: _asked_by(ran, service, region), None),
        resources=part("the resources", lambda: tuple(_resources(ran, console, alarms)), ()),
        set_apart=part("the network, the key and the tags", lambda: tuple(_set_apart(plan)), ()),
        costs=costs.reckon(
            prices,
            region,
            memory_mb=fit.memory_mb if fit and serverless else None,
            provisioned=_object(plan, "asked").get("provisioned") or 0,
            transcript=talk,
            transitions=line.transitions,
            archive_bytes=None if plan.get("image") else _object(results, "assemble_archive").get("size"),
            # Those of a deployment that was undone are gone with its endpoint, which costs nothing then.
            alarms=len(alarms) if good else 0,
            image=part("the image's size", lambda: _stored_image(results, plan), None),
            usd_per_hour=_object(plan, "instances").get("usd_per_hour") if good else None,
            to_zero=inference_component.of_plan(plan),
        ),
        costs_now=str(plan.get("costs") or "") if good else "",
        expires_at=_object(results, "retire_previous").get("expires_at") if good else None,
        unread=tuple(unread),
    )


def key(name: str, service: str) -> str:
    """Return where the report of an execution lies in the artifact bucket."""
    return f"{FOLDER}/{service}/{name}.html"


def service_of(results: Mapping[str, Any], given: Mapping[str, Any]) -> str:
    """Return the service that an execution is of, however far it came; `unknown` when its input names none.

    Args:
        results: the execution's data as far as it got.
        given: its input.
    """
    asked = _object(given, "archive")
    said = (
        _object(results, "plan_deployment").get("service"),
        _object(_object(results, "check_archive"), "request").get("service"),
        given.get("service"),
        naming.service_from_key(str(asked.get("key", ""))),
    )
    named = (one for one in said if isinstance(one, str) and re.fullmatch(naming.SERVICE_PATTERN, one))
    return next(named, UNKNOWN_SERVICE)


# ------------------------------------------------------------------------------ how it ended


def _with_last_words(ran: Execution, events: Sequence[Mapping[str, Any]]) -> Execution:
    """Return an execution with the error and the cause of its last event where its description has none."""
    last = events[-1] if events else {}
    details = (
        value for name, value in last.items() if name.startswith("execution") and isinstance(value, dict)
    )
    ending: Mapping[str, Any] = next(details, {})
    cause = ran.cause or (error_codec.readable(ending["cause"]) if ending.get("cause") else None)
    return dataclasses.replace(ran, error=ran.error or ending.get("error"), cause=cause)


def _headline(ran: Execution, service: str, plan: Mapping[str, Any]) -> str:
    endpoint = _object(plan, "names").get("endpoint")
    if ran.status == "SUCCEEDED":
        return f"{service} is served by {endpoint}" if endpoint else f"{service} was deployed"
    return {
        "RUNNING": f"{service} is being deployed",
        "TIMED_OUT": f"{service} was not deployed: the workflow ran out of time",
        "ABORTED": f"{service} was not deployed: the execution was stopped",
    }.get(ran.status, f"{service} was not deployed: {ran.error or ran.status}")


def _failure(ran: Execution, line: Timeline) -> Failure | None:
    if ran.running or ran.status == "SUCCEEDED":
        return None
    if ran.status in ("ABORTED", "TIMED_OUT"):
        return _cut_short(ran, line)
    found, undone = _object(ran.results, "diagnose"), _object(ran.results, "roll_back")
    if not found:
        return _bare(ran)
    return Failure(
        error=str(ran.error or found.get("error", "")),
        what=str(found.get("what", "")),
        why=str(found.get("why", "")),
        fix=str(found.get("fix", "")),
        evidence=tuple(str(one) for one in found.get("evidence") or ())[:MOST_EVIDENCE],
        gone=_texts(undone, "gone"),
        restored=_texts(undone, "restored"),
        kept=_texts(undone, "kept"),
        not_undone=_texts(undone, "not_undone"),
    )


def _cut_short(ran: Execution, line: Timeline) -> Failure:
    where = line.visits[-1].state if line.visits else "its beginning"
    stopped = ran.status == "ABORTED"
    return Failure(
        error=ran.error or ran.status,
        what=f"the execution was stopped in {where}"
        if stopped
        else f"the workflow's time ran out in {where}",
        why=ran.cause
        or ("somebody or something called StopExecution" if stopped else "it took longer than it may"),
        fix="nothing was undone: look at the resources below, and run `sealift sweep`, which finds what nobody "
        "uses; starting the same input again continues with what is there",
    )


def _bare(ran: Execution) -> Failure | None:
    """Return what is known of a failure without a diagnosis."""
    if ran.running or ran.status == "SUCCEEDED":
        return None
    lines = [text for text in (ran.cause or "").splitlines() if text.strip()]
    return Failure(
        error=str(ran.error or ran.status),
        what=lines[0] if lines else "no cause was told",
        why=lines[1] if len(lines) > 1 else "the diagnosis did not run",
        fix=lines[2] if len(lines) > 2 else "read the execution's history in the console, and the tasks' log",
    )


def _steps(plan: Mapping[str, Any]) -> tuple[str, ...]:
    return tuple(
        f"{step['asked']} asked for: {step['said']}: {step['did']}" for step in plan.get("steps") or ()
    )


# ---------------------------------------------------------------------------- what came of it


def _archive(results: Mapping[str, Any]) -> list[Fact]:
    checked = _object(results, "check_archive")
    archive, model = _object(checked, "archive"), _object(checked, "model")
    evidence, made = _object(checked, "evidence"), _object(results, "assemble_archive")
    facts: list[Fact] = []

    def add(name: str, source: Mapping[str, Any], field: str, shown: Callable[[Any], str] = str) -> None:
        if source.get(field) not in (None, ""):
            facts.append(Fact(name, shown(source[field])))

    if archive:
        facts.append(Fact("uploaded as", f"s3://{archive.get('bucket')}/{archive.get('key')}"))
    add("version", archive, "version_id")
    add("uploaded at", archive, "last_modified")
    add("format", archive, "format")
    add("size", archive, "size", _mib)
    add("unpacked", archive, "extracted_bytes", _mib)
    add("SHA-256", archive, "sha256")
    add("members", evidence, "members")
    add("checked by", evidence, "method", lambda how: _HOW.get(how, str(how)))
    add("bytes read for it", evidence, "bytes_read", _mib)
    add("model", model, "path")
    add("architecture", model, "architecture")
    add("quantisation", model, "quantization")
    add("parameters", model, "parameter_count", lambda count: f"{count:,}")
    add("weights", model, "tensor_bytes", _mib)
    add("trained context", model, "context_length", lambda count: f"{count:,} tokens")
    add("GGUF version", model, "gguf_version")
    if made:
        in_s3 = f"s3://{made.get('bucket')}/{made.get('key')}"
        facts.append(Fact("deployed as", str(made.get("image") or in_s3)))
        add("digest", made, "digest")
        facts.append(Fact("made by", f"{made.get('way')}: {made.get('reason')}"))
    add("moved through the function", made, "bytes_moved", _mib)
    return facts


_HOW: Final = {
    "verify": "reading every byte",
    "checksum": "S3's own checksum",
    "inspect": "reading its header, as no archive is needed",
}


def _mib(count: float) -> str:
    return f"{count / MiB:,.1f} MiB ({count:,} bytes)"


def _switched(results: Mapping[str, Any]) -> list[SwitchedRow]:
    return [
        SwitchedRow(
            function=str(one["function_name"]),
            variable=str(one["variable"]),
            before=str(one["previous"] or "not set"),
            now=str(one["endpoint_name"]),
            answer=_answer_text(one["answer"]),
        )
        for one in _object(results, "update_consumer").get("consumers") or ()
    ]


def _answer_text(answer: Any) -> str:
    found = answer.get("answer", answer) if isinstance(answer, dict) else answer
    return str(found)


def _stored_image(results: Mapping[str, Any], plan: Mapping[str, Any]) -> costs.StoredImage | None:
    """Return the image of the stack's repository that the endpoint runs; None where it is another, or not made."""
    if plan.get("image"):
        size, holds = _object(results, "assemble_archive").get("size"), True
    else:
        size, holds = _object(_object(results, "check_archive"), "evidence").get("image_bytes"), False
    return costs.StoredImage(int(size), holds) if size else None


def _asked_by(ran: Execution, service: str, region: str) -> AskedBy | None:
    if ran.status != "SUCCEEDED":
        return None
    plan = ran.results["plan_deployment"]
    endpoint = ServiceEndpoint(
        service,
        plan["names"]["endpoint"],
        plan["hosting"] != SERVERLESS,
        plan["smoke_test"]["ask_with"],
        component=inference_component.of_plan(plan),
    )
    # As AWS has it, wherever the report is made: it is a function of the history.
    runtime = ways_in.aws_runtime(region)
    ways = ways_in.of(
        service,
        endpoint.name,
        endpoint.form,
        region=region,
        runtime=runtime,
        streams=endpoint.streams,
        stack=naming.stack_of(ran.arn),
        elsewhere=True,
        component=endpoint.component,
    )
    return AskedBy(ways, snippets.of(endpoint, region, runtime))


def _alarms(results: Mapping[str, Any]) -> tuple[str, ...]:
    return tuple(str(one["name"]) for one in _object(results, "monitor_endpoint").get("alarms") or ())


def _set_apart(plan: Mapping[str, Any]) -> Iterator[Fact]:
    requests = _object(plan, "requests")
    model, config = _object(requests, "create_model"), _object(requests, "create_endpoint_config")
    tags = {str(one["Key"]): str(one["Value"]) for one in model.get("Tags") or ()}
    for word, text in set_apart.describe(model, config, tags):
        yield Fact(word, text)


def _resources(ran: Execution, console: Console, alarms: Sequence[str]) -> list[ResourceRow]:
    results = ran.results
    plan = _object(results, "plan_deployment")
    names = _object(plan, "names")
    gone = set(_texts(_object(results, "roll_back"), "gone"))
    left = " ".join(_texts(_object(results, "roll_back"), "not_undone", "kept"))
    found = [
        ResourceRow("execution", ran.arn.rpartition(":")[2], console.execution(ran.arn), ran.status.lower())
    ]

    def add(kind: str, name: Any, url: str, result: str) -> None:
        made = _object(results, result)
        if not isinstance(name, str) or not (made or f"{kind} {name}" in gone):
            return
        state = "made" if made.get("created", True) else "was there already"
        if f"{kind} {name}" in gone:
            state = "removed again"
        elif name in left:
            state = "still there: see above"
        found.append(ResourceRow(kind, name, url, state))

    endpoint = str(names.get("endpoint", ""))
    add("endpoint", names.get("endpoint"), console.endpoint(endpoint), "create_endpoint")
    config = names.get("endpoint_config")
    add("endpoint configuration", config, console.endpoint_config(str(config)), "create_endpoint_config")
    requests = _object(plan, "requests")
    models = (_object(requests, "create_model"), *(requests.get("other_models") or ()))
    for model in (one.get("ModelName") for one in models):
        add("model", model, console.model(str(model)), "create_model")
    if _object(results, "create_endpoint"):
        group = inference_component.log_group(endpoint, component=inference_component.of_plan(plan))
        found.append(ResourceRow("container log", group, console.log_group(group), "stays"))
    swept = f"alarms of endpoint {endpoint}" in gone
    found += [
        ResourceRow("alarm", name, console.alarm(name), "removed again" if swept else "made")
        for name in alarms
    ]
    found += _uploads(results, console)
    found += _image(_object(results, "assemble_archive"), console, gone)
    role = str(_object(requests, "create_model").get("ExecutionRoleArn", ""))
    if role:
        name = role.rpartition("/")[2]
        found.append(ResourceRow("the endpoint's role", name, console.role(name), "of the stack"))
    for one in _object(results, "update_consumer").get("consumers") or ():
        name = str(one["function_name"])
        found.append(ResourceRow("consumer", name, console.function(name), "switched"))
    return found


def _uploads(results: Mapping[str, Any], console: Console) -> Iterator[ResourceRow]:
    """Yield the upload and the archive."""
    for kind, where, field in (("upload", "check_archive", "archive"), ("archive", "assemble_archive", "")):
        made = _object(results, where)
        place = _object(made, field) if field else made
        if place.get("bucket") and place.get("key"):
            bucket, name = str(place["bucket"]), str(place["key"])
            state = "was there already" if place.get("written") is False else ""
            yield ResourceRow(kind, f"s3://{bucket}/{name}", console.object(bucket, name), state)


def _image(assembled: Mapping[str, Any], console: Console, gone: set[str]) -> list[ResourceRow]:
    """Return the image that holds the model, where one does."""
    image = str(assembled.get("image") or "")
    state = "was there already" if assembled.get("written") is False else "made"
    state = "removed again" if f"image {image}" in gone else state
    return [ResourceRow("image", image, console.repository(image), state)] if image else []


# -------------------------------------------------------------------------------- small things


def _object(source: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    """Return a member that is an object; an empty one when it is anything else."""
    found = source.get(name)
    return found if isinstance(found, dict) else {}


_NONE: Final[tuple[str, ...]] = ()


def _texts(source: Mapping[str, Any], *names: str) -> tuple[str, ...]:
    return tuple(str(one) for name in names for one in source.get(name) or ())


def _input(description: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return an execution's input, which may be any JSON; an empty object for what is none."""
    try:
        found = json.loads(description.get("input") or "{}")
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def _fields(arn: str) -> tuple[str, str]:
    """Return the partition and the region of an ARN."""
    fields = arn.split(":")
    return (fields[1], fields[3]) if len(fields) > 4 else ("aws", "us-east-1")


def _plain(value: Any) -> Any:
    """Return what JSON can hold of a value."""
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    if isinstance(value, dict):
        return {str(name): _plain(one) for name, one in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(one) for one in value]
    return value
