"""The deployment checklist, line by line, each with the state that does it and the evidence that it was done.

Pure: takes an execution as `execution_history` reads it, returns lines. Drawing them is the command line's.
"""

from __future__ import annotations

import functools
import json
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from pipeline import error_codec, errors, package_files
from pipeline.hosting import NOBODY
from pipeline.limits import MiB
from pipeline.operations import waits
from pipeline.rollout import answer_speed
from pipeline.state_data.plan_types import Asked, adapts

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from pipeline.operations.execution_history import Execution, State
    from pipeline.operations.waits import Clock


class Mark(StrEnum):
    """How a line stands."""

    PENDING = "pending"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"
    SKIPPED = "skipped"


@dataclass(frozen=True, slots=True)
class ChecklistItem:
    """One line of the checklist as it is written down."""

    group: str
    text: str
    states: tuple[str, ...]
    """The states that do it; the last one completes it."""
    evidence: Callable[[Any], str]
    """What shows that it was done; empty where the states were entered for something else."""
    otherwise: str = ""
    """Why a deployment that went well may not have done it."""
    instead: tuple[str, ...] = ()
    """The states that do it when the workflow goes the other way."""
    refusals: frozenset[str] = frozenset()
    """The errors, and causes of a denial, by which an earlier state already refuses this and nothing else."""
    part: str = ""
    """The plan's field without which a deployment has no such line; empty for a line that each has."""


@dataclass(frozen=True, slots=True)
class ChecklistLine:
    """One line of the checklist as it stands."""

    group: str
    text: str
    mark: Mark
    seconds: float | None = None
    evidence: str = ""
    """What shows that it was done; why it was not; what it waits for."""
    measure: str = ""
    """Of a wait: how long it lasts, which changes with every look."""

    @property
    def details(self) -> str:
        """Return evidence and measure for people."""
        return ", ".join(part for part in (self.evidence, self.measure) if part)

    @property
    def settled(self) -> bool:
        """Return whether it will stay as it is."""
        return self.mark not in {Mark.PENDING, Mark.RUNNING}


def _archive(results: Mapping[str, Any]) -> str:
    checked = results["check_archive"]
    archive, evidence = checked["archive"], checked["evidence"]
    size = f"{archive['format']}, {archive['size'] / MiB:,.1f} MiB"
    if evidence["method"] == "inspect":
        shards = f"{evidence['members']} shards, " if evidence["members"] > 1 else ""
        return f"{size}, {shards}as it is: no archive is needed"
    how = {"verify": "every byte verified", "checksum": "verified by S3 checksum"}[evidence["method"]]
    return "; ".join([f"{size}, {evidence['members']} members, {how}", *evidence.get("notes", ())])


def _uploaded(results: Mapping[str, Any]) -> str:
    archive = results["check_archive"]["archive"]
    version = archive.get("version_id")
    return f"s3://{archive['bucket']}/{archive['key']}" + (f", version {version[:8]}" if version else "")


def _model(results: Mapping[str, Any]) -> str:
    model = results["check_archive"]["model"]
    return f"{model['path']}: {model['architecture']}, {model['quantization']}, GGUF v{model['gguf_version']}"


def _code(results: Mapping[str, Any]) -> str:
    assembled = results.get("assemble_archive") or results["assemble_image"]
    if assembled.get("more"):
        return f"{assembled['reason']}: {assembled['received'] / MiB:,.0f} MiB of {assembled['image']} so far"
    moved = (
        f"{assembled['bytes_moved'] / MiB:,.1f} MiB moved" if assembled["written"] else "it was there already"
    )
    if assembled.get("image"):
        # The digest tells what a model was made of, whatever the tag names later.
        return f"{assembled['reason']}: {assembled['image']}, {str(assembled['digest'])[:19]}; {moved}"
    return f"{assembled['way']}: {assembled['reason']}; {moved}"


def _role(results: Mapping[str, Any]) -> str:
    arn = str(results["plan_deployment"]["requests"]["create_model"]["ExecutionRoleArn"])
    return arn.rpartition("/")[2]


def _policies(results: Mapping[str, Any]) -> str:
    what = (
        "the image could be pulled"
        if results["assemble_archive"].get("image")
        else "the archive could be read"
    )
    return f"CreateModel took the role, and {what} with it"


def _plan(results: Mapping[str, Any]) -> str:
    plan = results["plan_deployment"]
    # Where nobody named the container, the first note says which it is; it is about memory.
    checked = results["check_archive"]["evidence"].get("container")
    chosen = checked and next(iter(plan.get("notes", ())), checked)
    return f"{_size(plan)} for {plan['arithmetic']}" + (f"; {chosen}" if chosen else "")


def _size(plan: Mapping[str, Any]) -> str:
    on = plan.get("instances")
    if on:
        return f"{on['count']} x {on['type']}, ${on['usd_per_hour']:g} an hour,"
    return f"{plan['memory_mb']} MB"


def _made(path: str) -> Callable[[Mapping[str, Any]], str]:
    def evidence(results: Mapping[str, Any]) -> str:
        made = results[path]
        return str(made["name"]) + ("" if made["created"] else " (was there already, just as requested)")

    return evidence


def _models(results: Mapping[str, Any]) -> str:
    # An execution of an older release made one.
    others = results["create_model"].get("others") or ()
    names = ", ".join(one["name"] for one in others)
    return _made("create_model")(results) + (f"; for other instance types {names}" if names else "")


_SHARE = "its share as none were requested"


def _room(results: Mapping[str, Any]) -> str:
    plan = results["plan_deployment"]
    if not plan["steps"]:
        if plan.get("instances"):
            return f"{plan['instances']['count']} x {plan['instances']['type']}, as planned"
        sizes = f"{plan['memory_mb']} MB and {plan['max_concurrency']} concurrent invocations"
        return f"{sizes}, {_SHARE if _adapts(plan) else 'as requested'}"
    return "; then ".join(
        f"{step['asked']} asked for: {step['said']}: {step['did']}" for step in plan["steps"]
    )


def _adapts(plan: Mapping[str, Any]) -> bool:
    asked = plan.get("asked")
    # The plan of any release: no field is read but these two.
    return adapts(Asked(asked["memory_mb"], asked["max_concurrency"]) if asked else None)


def _deployed(results: Mapping[str, Any]) -> str:
    plan = results["plan_deployment"]
    if plan["updates"] is None:
        where = "" if not plan.get("instances") else ", on instances instead"
        return _made("create_endpoint")(results) + where
    names, before = plan["names"], plan["updates"]["endpoint_config"]
    return f"{names['endpoint']} updated in place: {before} -> {names['endpoint_config']}"


def _restored(results: Mapping[str, Any]) -> str:
    restored = results["restore_capacity"]
    if restored["steps"]:
        return error_codec.readable("; ".join(restored["steps"]))
    if restored["max_concurrency"] is None:
        return "the requested instances"
    return str(restored.get("told") or f"{restored['max_concurrency']} concurrent invocations, as requested")


def _retired(results: Mapping[str, Any]) -> str:
    return error_codec.readable(str(results["retire_previous"]["told"]))


def _tested(results: Mapping[str, Any]) -> str:
    tested = results["smoke_test"]
    first = tested["transcript"][0]
    answered = f"{first['prompt']!r} -> {_short(first['answer'])!r} in {first['seconds']:.2f} s"
    speed = answer_speed.read(tested)
    if speed is None:
        return answered
    return f"{answered}; {answer_speed.told(speed, answer_speed.computed(results))}"


def _monitored(results: Mapping[str, Any]) -> str:
    monitored = results["monitor_endpoint"]
    metrics = ", ".join(alarm["metric"] for alarm in monitored["alarms"])
    unmeasured = f"; its log is not measured: {why}" if (why := monitored.get("unmeasured")) else ""
    return f"{len(monitored['alarms'])} alarms on {monitored['endpoint_name']}: {metrics}{unmeasured}"


def _gate(results: Mapping[str, Any]) -> str:
    return str(results["evaluate_quality"]["told"])


def _switched(results: Mapping[str, Any]) -> str:
    consumers = ", ".join(
        f"{one['variable']} of {one['function_name']}: {one['previous'] or 'not set'} -> {one['endpoint_name']}"
        for one in results["update_consumer"]["consumers"]
    )
    if not consumers:
        return ""
    parameter = results["update_consumer"].get("parameter")
    named = f"; parameter {parameter} names it" if parameter else ""
    shifted = results.get("shift_consumer")
    if shifted is None:
        return f"{consumers}{named}"
    seconds = shifted["looks"] * shifted["interval_s"]
    return f"{consumers}; {_parts(shifted)} first, quiet for {seconds} s{named}"


def _parts(shifted: Mapping[str, Any], *, versions: bool = False) -> str:
    """Return which part of the calls goes to new versions; whose calls those are, where there are several."""
    several = len(shifted["consumers"]) > 1
    return ", ".join(
        f"{one['weight']:.0%} of the calls"
        + (f" of {one['function_name']}:{one['alias']}" if several else "")
        + (f" on version {one['version']}" if versions else "")
        for one in shifted["consumers"]
    )


def _end_to_end(results: Mapping[str, Any]) -> str:
    switched = results["update_consumer"]["consumers"]
    return ", ".join(
        f"{'the consumer' if len(switched) == 1 else one['function_name']} answered {_short(_answer(one))!r}"
        for one in switched
    )


def _answer(switched: Mapping[str, Any]) -> str:
    answer = switched["answer"]
    return str(answer.get("answer", answer) if isinstance(answer, dict) else answer)


NO_CONSUMER = "no consumer was named"

CONSUMER_REFUSALS = frozenset(
    {
        errors.ConsumerNotAllowed.__name__,
        errors.ConsumerNotFound.__name__,
        errors.ConsumerTaken.__name__,
        errors.ConsumerUnreadable.__name__,
        errors.CONSUMER_DENIED,
    }
)
"""What PlanDeployment refuses a deployment for on account of its consumers."""

ITEMS: tuple[ChecklistItem, ...] = (
    ChecklistItem("before", "model compressed as tar.gz or zip", ("CheckArchive",), _archive),
    ChecklistItem("before", "model uploaded to S3", ("CheckArchive",), _uploaded),
    ChecklistItem("before", "model is a GGUF at the root", ("CheckArchive",), _model),
    ChecklistItem("before", "model fits the endpoint", ("PlanDeployment",), _plan),
    ChecklistItem(
        "before",
        "inference code uploaded to S3",
        ("AssembleArchive",),
        _code,
        instead=("AssembleImage",),
    ),
    ChecklistItem("before", "execution role created", ("CreateModel",), _role),
    ChecklistItem("before", "policies attached", ("CreateModel",), _policies),
    ChecklistItem("during", "model created", ("CreateModel",), _models),
    ChecklistItem(
        "during", "endpoint configuration created", ("CreateEndpointConfig",), _made("create_endpoint_config")
    ),
    ChecklistItem(
        "during",
        "room within the account's quotas",
        ("MakeRoom",),
        _room,
        refusals=frozenset({errors.QuotaUsedUp.__name__}),
    ),
    ChecklistItem(
        "during",
        "serverless endpoint deployed",
        ("CreateEndpoint",),
        _deployed,
        instead=("UpdateEndpoint",),
    ),
    ChecklistItem(
        "during",
        "endpoint status InService",
        ("WaitForEndpoint", "PollEndpoint", "EndpointReady"),
        lambda results: str(results["poll_endpoint"]["status"]),
    ),
    ChecklistItem("after", "inference tested with a request", ("SmokeTest",), _tested),
    ChecklistItem("after", "endpoint metrics monitored", ("MonitorEndpoint",), _monitored),
    ChecklistItem(
        "after", "quality gate passed", ("EvaluateQuality", "QualityEvaluated"), _gate, part="quality"
    ),
    ChecklistItem(
        "after",
        "consumer Lambda updated",
        ("ReadConsumer", "ShiftConsumer", "BakeConsumer", "WatchConsumer", "UpdateConsumer"),
        _switched,
        NO_CONSUMER,
        refusals=CONSUMER_REFUSALS,
    ),
    ChecklistItem("after", "end-to-end functionality tested", ("UpdateConsumer",), _end_to_end, NO_CONSUMER),
    ChecklistItem("after", "earlier deployments retired", ("RetirePrevious",), _retired),
    ChecklistItem("after", "concurrency given to the endpoint", ("RestoreCapacity",), _restored),
)
"""The deployment checklist; the lines on the GGUF's place, on the fit and on the quotas are Sealift's own."""

LADDER = "StepDown"
"""The state that a failure at a quota leads to; what failed there is requested again."""


UNDONE = "what was made is undone"
"""The line that a failed deployment has besides; it belongs to no group of the checklist."""


def lines(execution: Execution, clock: Clock | None = None) -> list[ChecklistLine]:
    """Return the checklist as the execution stands.

    Args:
        execution: as it stands.
        clock: of the look; without it, lines that run have no time and waits no measure.
    """
    plan = execution.results.get("plan_deployment") or {}
    items = [item for item in ITEMS if not item.part or plan.get(item.part) is not None]
    drawn = [_line(item, execution, clock) for item in items]
    reached = max((n for n, line in enumerate(drawn) if line.mark is not Mark.PENDING), default=-1)
    drawn = [
        # The workflow went past it: it has no part in this deployment.
        replace(line, mark=Mark.SKIPPED, evidence=_otherwise(item, execution))
        if line.mark is Mark.PENDING and n < reached
        else line
        for n, (item, line) in enumerate(zip(items, drawn, strict=True))
    ]
    return _explained(drawn, execution.results.get("diagnose"))


def undoing(execution: Execution, clock: Clock | None = None) -> ChecklistLine | None:
    """Return the line of a failed deployment's undoing; None for one that has not failed."""
    diagnosing, rolling = execution.state("Diagnose"), execution.state("RollBack")
    first = diagnosing or rolling
    if first is None:
        return None
    seconds = sum(state.seconds for state in (diagnosing, rolling) if state)
    undone = execution.results.get("roll_back") or {}
    if rolling is not None and rolling.status == "succeeded":
        left = undone.get("not_undone") or []
        gone, restored = undone.get("gone") or [], undone.get("restored") or []
        details = [f"gone: {', '.join(gone)}"] if gone else []
        details += [f"restored: {'; '.join(restored)}"] if restored else []
        details = [f"NOT undone: {'; '.join(left)}", *details] if left else details
        return ChecklistLine(
            "after",
            UNDONE,
            Mark.FAILED if left else Mark.DONE,
            seconds or None,
            "; ".join(details) or "nothing had been made",
        )
    if (rolling is not None and rolling.status == "failed") or not execution.running:
        return ChecklistLine(
            "after", UNDONE, Mark.FAILED, seconds or None, str(undone.get("cause") or "not finished")
        )
    wait = waits.waiting(rolling, execution, _definition(), clock) if rolling else None
    what = wait or waits.Wait("undoing" if rolling else "looking for the cause")
    running = clock.since(first.began) if clock else None
    return ChecklistLine("after", UNDONE, Mark.RUNNING, running, what.reason, what.measure)


def _explained(drawn: list[ChecklistLine], diagnosed: Mapping[str, Any] | None) -> list[ChecklistLine]:
    """Let the first line that failed tell cause and fix, as soon as they are known."""
    first = next((n for n, line in enumerate(drawn) if line.mark is Mark.FAILED), None)
    if first is None or not diagnosed:
        return drawn
    cause = f"{diagnosed['error']}: {diagnosed['why']}; {diagnosed['fix']}"
    return [replace(line, evidence=cause) if n == first else line for n, line in enumerate(drawn)]


@functools.cache
def _definition() -> dict[str, Any]:
    """Return the workflow, whose Retry rules tell how long a pause may last."""
    definition: dict[str, Any] = json.loads(package_files.definition().read_text(encoding="utf-8"))
    return definition


def _line(item: ChecklistItem, execution: Execution, clock: Clock | None) -> ChecklistLine:
    names = item.instead if any(execution.state(name) for name in item.instead) else item.states
    visited = [state for name in names if (state := execution.state(name)) is not None]
    if early := _refused_early(execution):
        state, refused = early
        if refused is item:
            return ChecklistLine(
                item.group, item.text, Mark.FAILED, state.seconds or None, _failure([state], execution)
            )
        if state in visited:
            return ChecklistLine(item.group, item.text, Mark.SKIPPED)
    seconds = sum(state.seconds for state in visited) or None
    if _complete(names[-1], execution):
        evidence = item.evidence(execution.results)
        mark, shown = (Mark.DONE, evidence) if evidence else (Mark.SKIPPED, _otherwise(item, execution))
        return ChecklistLine(item.group, item.text, mark, seconds, shown)
    # From Diagnose on, the workflow only undoes: what is not done by then is not done any more.
    over = not execution.running or execution.state("Diagnose") is not None
    ladder = execution.state(LADDER)
    climbing = not over and ladder is not None and ladder.status != "failed"
    if (not climbing and any(state.status == "failed" for state in visited)) or (visited and over):
        return ChecklistLine(item.group, item.text, Mark.FAILED, seconds, _failure(visited, execution))
    if visited:
        wait = _waiting(visited, execution, clock) or waits.Wait("")
        running = clock.since(visited[0].began) if clock else None
        return ChecklistLine(item.group, item.text, Mark.RUNNING, running, wait.reason, wait.measure)
    if over:
        why = _otherwise(item, execution) if execution.status == "SUCCEEDED" else ""
        return ChecklistLine(item.group, item.text, Mark.SKIPPED, evidence=why)
    return ChecklistLine(item.group, item.text, Mark.PENDING)


def _otherwise(item: ChecklistItem, execution: Execution) -> str:
    """Return why a deployment never came to a line; a consumer that stays with another service is named."""
    callers = str((execution.results.get("plan_deployment") or {}).get("callers", ""))
    left = item.otherwise == NO_CONSUMER and callers.startswith(f"{NOBODY} (")
    return callers if left else item.otherwise


def _refused_early(execution: Execution) -> tuple[State, ChecklistItem] | None:
    """Return the state that refused what a later line is about, and that line's item; None for any other failure."""
    state = next((one for one in execution.states if one.status == "failed"), None)
    if state is None:
        return None
    names = {*state.errors[-1:], (execution.results.get("diagnose") or {}).get("cause_name")}
    of_another = (item for item in ITEMS if names & item.refusals and state.name not in item.states)
    item = next(of_another, None)
    return (state, item) if item else None


def _complete(name: str, execution: Execution) -> bool:
    last = execution.state(name)
    if last is None or last.status != "succeeded":
        return False
    if last.name == "EndpointReady":
        return (execution.results.get("poll_endpoint") or {}).get("verdict") == "ready"
    if last.name == "QualityEvaluated":
        return not (execution.results.get("evaluate_quality") or {}).get("more")
    return True


def _failure(visited: list[State], execution: Execution) -> str:
    errors = [error for state in visited for error in state.errors]
    return errors[-1] if errors else str(execution.error or "")


def _waiting(visited: list[State], execution: Execution, clock: Clock | None) -> waits.Wait | None:
    last = max(visited, key=lambda state: state.status == "running")
    if wait := waits.waiting(last, execution, _definition(), clock):
        return wait
    shifted = execution.results.get("shift_consumer")
    if shifted and last.name in waits.BAKING:
        return waits.Wait(f"{_parts(shifted, versions=True)}, no alarm so far", waits.baked(execution, clock))
    if last.status == "failed" and last.errors:
        return waits.Wait(f"{last.errors[-1]}: looking for what the quota allows")
    return None


def _short(text: str, length: int = 60) -> str:
    text = " ".join(text.split())
    return text if len(text) <= length else text[: length - 3] + "..."
