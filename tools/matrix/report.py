"""The failure matrix as a document: a pure function of its results."""

from __future__ import annotations

from collections import Counter, defaultdict
from typing import TYPE_CHECKING

from tools.matrix import cases, invariants, races

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from tools.matrix.cases import Step
    from tools.matrix.races import Raced
    from tools.matrix.world import Result

INTRODUCTION = """\
# The failure matrix

Written by `make matrix`. Each run is a whole deployment on the local cloud in which one call of one task meets one kind
of fault (or two do). The calls are recorded from runs without a fault; model servers are stubs that answer at once, and
waits take next to no time. After each run these must hold:

| rule | what must hold |
|---|---|
| ended | the execution ended, and with a named error when it failed |
| consumer | the consumer calls an endpoint that is `InService` and answers, or is exactly as before |
| parameter | the service's parameter names what was deployed, or is as before; else what serves, and it is told |
| tidy | what was made is in use or gone; what could not be deleted is named in the notification |
| earlier | the earlier deployment is untouched unless a good one replaced it |
| repeated | the same upload without the fault ends well: tried after all that failed and a fourth of the rest |

In the scenarios `pause`, `resume` and `expiry` that is done to a service which is deployed on an instance and scales,
by the command (a fault that kills a task interrupts it, as Ctrl-C does) or by the schedule. Each call that changes
something meets every kind of fault, and each that only reads meets one. Then the rules hold like this: consumers are
as before; the parameter too, and after an end it names nothing that is gone; what brings a paused service back is
there; what was begun and runs is named with the command that goes on; and the same again without the fault ends well,
after which a paused service is brought back as it was.
"""


RACES = """\
## Two uploads at once

Each race tells the trigger of two uploads of one service, at times and in an order drawn from its seed, some of them
twice, and holds up calls for a time drawn from it too; the model of one or both may answer wrongly. Then these must
hold:

| rule | what must hold |
|---|---|
| ended | both executions ended, and with a named error when they failed |
| once | each upload had one execution |
| newest | the newest upload that answers rightly was deployed, and serves the consumer |
| tidy | what was made is in use, a rollback target, or deleted |
| earlier | where no upload was any good, everything is as it was |
| repeated | the newest good upload, told of again, ends well |
"""


def render(
    results: Sequence[Result],
    recordings: Mapping[str, Sequence[Step]],
    *,
    planned: int,
    seconds: float,
    jobs: int,
    raced: Sequence[Raced] = (),
) -> str:
    """Return the report as Markdown."""
    passed = sum(not result.broken for result in results)
    missed = planned - len(results)
    left_out = f" {missed} more were planned, for which no time was left." if missed else ""
    per_run = sum(result.seconds for result in results) / max(1, len(results))
    lines = [
        INTRODUCTION,
        (
            f"{len(results)} runs, {passed} passed, {len(results) - passed} broke a rule.{left_out} "
            f"{seconds / 60:.0f} minutes with the races below, {jobs} local clouds at a time, {per_run:.1f} s per run."
        ),
        "",
        "## By kind of fault",
        "",
        *_table("fault", results, _kinds),
        "",
        "## By task",
        "",
        *_table("task", results, _tasks),
        "",
        "## By scenario",
        "",
        *_table("scenario", results, lambda result: result.case.scenario),
        "",
        "Calls recorded without a fault: "
        + ", ".join(f"{name} {len(steps)}" for name, steps in recordings.items())
        + f". Of one operation in one task the first {cases.MOST} calls are tried, the first of those that only read; "
        "killed before or after it only read is one case. On instances, beside other services and in the other "
        "scenarios that repeat the same calls, each call meets one kind of fault, and the kinds take turns.",
        *(_races(raced) if raced else ()),
    ]
    bad = sorted((result for result in results if result.broken), key=lambda result: result.case)
    if bad:
        lines += ["", "## What broke a rule", "", "| run | rule | seen |", "|---|---|---|"]
        lines += [
            f"| {result.case} | {one.rule} | {_cell(one.seen)} |" for result in bad for one in result.broken
        ]
    return "\n".join(lines) + "\n"


def _races(raced: Sequence[Raced]) -> list[str]:
    passed = sum(not one.broken for one in raced)
    bad = [one for one in raced if one.broken]
    rows: dict[str, list[Raced]] = defaultdict(list)
    for one in raced:
        rows[f"{one.race.scenario}, {one.race.kind}"].append(one)
    columns = [
        "runs",
        "passed",
        "both good",
        "the older superseded",
        *(f"not {rule}" for rule in races.RULES),
    ]
    return [
        "",
        RACES,
        f"{len(raced)} races, {passed} passed, {len(bad)} broke a rule.",
        "",
        "| race | " + " | ".join(columns) + " |",
        "|---" * (len(columns) + 1) + "|",
        *(f"| {name} | " + " | ".join(map(str, _counted(rows[name]))) + " |" for name in sorted(rows)),
        *(["", "| race | rule | seen |", "|---|---|---|"] if bad else []),
        *(f"| {one.race} | {broken.rule} | {_cell(broken.seen)} |" for one in bad for broken in one.broken),
    ]


def _counted(raced: Sequence[Raced]) -> list[int]:
    return [
        len(raced),
        sum(not one.broken for one in raced),
        sum(all(outcome.good for outcome in one.outcomes.values()) for one in raced),
        sum(any(outcome.error == "Superseded" for outcome in one.outcomes.values()) for one in raced),
        *(sum(any(broken.rule == rule for broken in one.broken) for one in raced) for rule in races.RULES),
    ]


def _table(title: str, results: Iterable[Result], group: object) -> list[str]:
    rows: dict[str, Counter[str]] = defaultdict(Counter)
    for result in results:
        row = rows[group(result)]  # type: ignore[operator]
        row["runs"] += 1
        row["passed"] += not result.broken
        row["succeeded"] += result.outcome.good
        row["failed"] += result.outcome.status == "FAILED"
        for rule in {one.rule for one in result.broken}:
            row[rule] += 1
    head = ["runs", "passed", "succeeded", "failed", *invariants.RULES]
    names = [
        title,
        "runs",
        "passed",
        "deployed all the same",
        "failed by name",
        *(f"not {rule}" for rule in invariants.RULES),
    ]
    lines = ["| " + " | ".join(names) + " |", "|---" * len(names) + "|"]
    return lines + [
        f"| {name} | " + " | ".join(str(row[column]) for column in head) + " |"
        for name, row in sorted(rows.items())
    ]


def _kinds(result: Result) -> str:
    return "two faults" if len(result.case.faults) > 1 else result.case.faults[0][1]


def _tasks(result: Result) -> str:
    return "two faults" if len(result.case.faults) > 1 else result.case.faults[0][0].task


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")[:300]
