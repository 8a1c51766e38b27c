"""The failure matrix: which runs there are, and what is said of one."""

from __future__ import annotations

from dataclasses import replace

import pytest

from local_cloud.faults import STATUSES
from tools.matrix import acts, cases, invariants, races, report
from tools.matrix.acts import Act, Subject
from tools.matrix.cases import Case, Step
from tools.matrix.invariants import Broken, Endpoint, Outcome, Parameter, Snapshot
from tools.matrix.races import NEW, OLD, Race, Raced
from tools.matrix.world import Result

CREATE = Step("CreateEndpoint", "sagemaker", "CreateEndpoint", 0)
POLL = Step("PollEndpoint", "sagemaker", "DescribeEndpoint", 0)
DELETE = Step("RollBack", "sagemaker", "DeleteModel", 0)
RECORDINGS = {"first": [CREATE, POLL], "next": [CREATE, POLL], "wrong": [CREATE, DELETE]}

OLD_ENDPOINT, NEW_ENDPOINT = Endpoint("InService", "old", 10), Endpoint("InService", "new", 10)
BEFORE = Snapshot(
    {"old": OLD_ENDPOINT},
    frozenset({"old"}),
    frozenset({"old"}),
    {"ENDPOINT_NAME": "old"},
    "1",
    answered_by="old",
)
ANYWHERE = {name for name, kind in cases.KINDS.items() if not kind.streams}
DEPLOYED = Snapshot(
    {"old": replace(OLD_ENDPOINT, concurrency=1), "new": NEW_ENDPOINT},
    frozenset({"old", "new"}),
    frozenset({"old", "new"}),
    {"ENDPOINT_NAME": "new"},
    "1",
    answered_by="new",
)
GOOD = Outcome(
    "SUCCEEDED", made=frozenset({"endpoint new", "configuration new", "model new"}), endpoint="new"
)
FAILED = Outcome("FAILED", "AccessDenied", "denied", endpoint="new")


def rules(
    outcome: Outcome, after: Snapshot, *, before: Snapshot = BEFORE, lasting: bool = False
) -> list[str]:
    """Return the names of the rules that are broken."""
    found = invariants.broken(before, outcome, after, lasting=lasting, trigger_failed=False)
    return [one.rule for one in found]


def test_steps_are_counted_for_each_operation_of_each_task() -> None:
    """The same operation in another task counts anew."""
    calls = [("A", "s3", "GetObject"), ("A", "s3", "GetObject"), ("B", "s3", "GetObject")]

    assert [(step.task, step.nth) for step in cases.steps(calls)] == [("A", 0), ("A", 1), ("B", 0)]


def test_every_step_meets_every_kind_of_fault() -> None:
    """In whole scenarios all steps, in the others those that are new; who only reads is killed once."""
    found = cases.matrix(RECORDINGS, ["first", "next"])
    reads = sum(step.reads for _, step in {(case.scenario, case.faults[0][0]) for case in found})

    assert len(found) == len(set(found)) == 5 * len(ANYWHERE) - reads
    assert reads
    assert {case.faults[0][0] for case in found if case.scenario == "wrong"} == {DELETE}


def test_in_a_thinned_scenario_every_step_meets_one_kind_of_fault() -> None:
    """Whatever was tried before; the kinds take turns, and who only reads is not killed after it."""
    steps = [replace(CREATE, task=f"Task{n}") for n in range(15)] + [
        replace(POLL, task=f"Task{n}") for n in range(5)
    ]
    found = cases.matrix({"first": steps, "thin": steps}, ["first"], ["thin"])
    thin = [case.faults[0] for case in found if case.scenario == "thin"]

    assert [step for step, _ in thin] == steps
    assert {kind for _, kind in thin} == ANYWHERE
    assert not any(step.reads and kind == cases.KILLED_AFTER for step, kind in thin)


def test_a_loop_is_not_tried_for_ever() -> None:
    """Only the first calls of one operation in one task."""
    polls = [replace(POLL, nth=nth) for nth in range(50)]
    creates = [replace(CREATE, nth=nth) for nth in range(50)]

    assert len(cases.matrix({"first": polls}, ["first"])) == len(ANYWHERE) - 1
    assert len(cases.matrix({"first": creates}, ["first"])) == cases.MOST * len(ANYWHERE)


def test_what_breaks_a_stream_meets_streams_alone() -> None:
    """Which meet everything else as well."""
    stream = replace(CREATE, service="sagemaker-runtime", operation="InvokeEndpointWithResponseStream")

    found = cases.matrix({"first": [CREATE, stream]}, ["first"])

    assert {kind for case in found for step, kind in case.faults if step == stream} == set(cases.KINDS)
    assert {kind for case in found for step, kind in case.faults if step == CREATE} == ANYWHERE
    assert set(cases.KINDS) - ANYWHERE == {"broken off", "5xx in a stream"}


def test_a_sample_has_some_of_everything() -> None:
    """Every kind, every task, every scenario; the same for the same seed."""
    every = cases.matrix(RECORDINGS, ["first", "next"])
    chosen = cases.sample(every, seed=1)

    assert {kind for case in chosen for _, kind in case.faults} == ANYWHERE
    assert {step.task for case in chosen for step, _ in case.faults} == {
        "CreateEndpoint",
        "PollEndpoint",
        "RollBack",
    }
    assert {case.scenario for case in chosen} == set(RECORDINGS)
    assert chosen == cases.sample(every, seed=1)


def test_pairs_are_of_two_steps_of_one_scenario() -> None:
    """Two faults at the same step would be one."""
    found = cases.pairs(cases.matrix(RECORDINGS, ["first", "next"]), 30, seed=2)

    assert found
    assert all(len({step for step, _ in case.faults}) == 2 for case in found)


def test_a_fault_is_what_the_service_calls_it() -> None:
    """S3 throttles in words of its own, and a killed function is nobody's error code."""
    get = Step("CheckArchive", "s3", "GetObject", 2)
    (slow,) = Case("first", ((get, "throttled always"),)).of({"CheckArchive": "sealift-CheckArchive-1"})
    (killed,) = Case("first", ((get, "killed after"),)).of({"CheckArchive": "sealift-CheckArchive-1"})

    assert (slow.code, slow.times, slow.after, slow.caller) == ("SlowDown", None, 2, "sealift-CheckArchive-1")
    assert (killed.code, killed.times) == ("KilledAfter", 1)


@pytest.mark.parametrize("code", sorted(set(cases.BROKEN.values())))
def test_an_outage_is_told_with_a_status_of_an_outage(code: str) -> None:
    """Whoever answers 400 refuses the request itself, which is another thing."""
    assert STATUSES[code] >= 500


def test_a_good_deployment_breaks_no_rule() -> None:
    """The older endpoint may have been lowered."""
    assert rules(GOOD, DEPLOYED) == []


def test_a_failure_that_leaves_everything_as_it_was_breaks_no_rule() -> None:
    """By name."""
    assert rules(FAILED, BEFORE) == []


@pytest.mark.parametrize(
    ("outcome", "after", "rule"),
    [
        pytest.param(replace(FAILED, error="States.Timeout"), BEFORE, "ended", id="no name of ours"),
        pytest.param(Outcome("STUCK"), BEFORE, "ended", id="not ended"),
        pytest.param(Outcome("NOT_STARTED"), BEFORE, "ended", id="not started"),
        pytest.param(GOOD, replace(DEPLOYED, answered_by=None), "consumer", id="consumer fails"),
        pytest.param(FAILED, replace(BEFORE, answered_by=None), "consumer", id="what it calls is gone"),
        pytest.param(FAILED, replace(BEFORE, models=frozenset({"old", "new"})), "tidy", id="left behind"),
        pytest.param(GOOD, replace(DEPLOYED, models=frozenset({"new", "x"})), "tidy", id="left beside it"),
        pytest.param(
            FAILED,
            replace(BEFORE, endpoints={"old": replace(OLD_ENDPOINT, concurrency=1)}),
            "earlier",
            id="lowered",
        ),
        pytest.param(FAILED, replace(BEFORE, configs=frozenset()), "earlier", id="taken away"),
    ],
)
def test_what_is_wrong_breaks_its_rule(outcome: Outcome, after: Snapshot, rule: str) -> None:
    """One thing at a time."""
    assert rules(outcome, after) == [rule]


def test_what_is_left_behind_may_be_named_instead() -> None:
    """In the cause, which is the notification too."""
    told = replace(FAILED, cause="NOT undone, remove by hand: model new")

    assert rules(told, replace(BEFORE, models=frozenset({"old", "new"}))) == []


@pytest.mark.parametrize(("lasting", "broken"), [(True, []), (False, ["consumer"])])
def test_an_update_that_cannot_be_taken_back_is_named(*, lasting: bool, broken: list[str]) -> None:
    """In place there is one endpoint, and a fault for good may keep it from its old configuration."""
    told = replace(FAILED, cause="NOT undone: endpoint old")

    assert rules(told, replace(BEFORE, answered_by=None), lasting=lasting) == broken


def test_a_trigger_that_is_denied_for_good_may_start_nothing() -> None:
    """There is no execution that could end."""
    found = invariants.broken(BEFORE, Outcome("NOT_STARTED"), BEFORE, lasting=True, trigger_failed=True)

    assert found == []


@pytest.mark.parametrize(
    ("outcome", "after", "holds"),
    [
        pytest.param(GOOD, DEPLOYED, True, id="good"),
        pytest.param(FAILED, BEFORE, False, id="failed"),
        pytest.param(GOOD, replace(DEPLOYED, answered_by="old"), False, id="consumer calls the old one"),
        pytest.param(GOOD, replace(BEFORE, answered_by="new"), False, id="no endpoint"),
    ],
)
def test_the_repetition_has_to_end_well(outcome: Outcome, after: Snapshot, *, holds: bool) -> None:
    """It succeeds, and the consumer calls its endpoint."""
    assert (invariants.not_repeated(outcome, after) == []) is holds


def test_the_report_counts_and_names() -> None:
    """Runs, passes, and each run that broke a rule."""
    results = [
        Result(Case("first", ((CREATE, "throttled once"),)), GOOD, (), 1, 2.0),
        Result(Case("first", ((POLL, "access denied"),)), FAILED, (Broken("tidy", "model | new"),), 1, 2.0),
    ]

    text = report.render(results, {"first": [CREATE, POLL]}, planned=3, seconds=60, jobs=2)

    assert "2 runs, 1 passed, 1 broke a rule. 1 more were planned" in text
    assert "| throttled once | 1 | 1 | 1 | 0 | 0 | 0 | 0 | 0 | 0 |" in text
    assert f"| first: {POLL} access denied | tidy | model \\| new |" in text


# ------------------------------------------------------------------------- races

RACE = Race(1, "race", earlier=True, events=((0.0, NEW), (0.3, OLD), (0.0, NEW)), wrong=(), pause_s=0.02)
NAME = "/sealift/s/x/endpoint"
THEN = {NAME: Parameter("old", (("sealift:service", "x"),))}
NOW = {NAME: Parameter("new", (("sealift:service", "x"),))}


@pytest.mark.parametrize(
    ("outcome", "before", "after", "broken"),
    [
        pytest.param(replace(GOOD, parameter=NAME), THEN, NOW, [], id="moved"),
        pytest.param(replace(GOOD, parameter=NAME), {}, NOW, [], id="made"),
        pytest.param(replace(GOOD, parameter=NAME), THEN, THEN, ["parameter"], id="not moved"),
        pytest.param(replace(GOOD, parameter=NAME), {}, {}, ["parameter"], id="not made"),
        pytest.param(FAILED, THEN, THEN, [], id="as before"),
        pytest.param(FAILED, {}, {}, [], id="none as before"),
        pytest.param(FAILED, THEN, {NAME: Parameter("old", ())}, ["parameter"], id="other tags, untold"),
        pytest.param(FAILED, THEN, NOW, ["parameter"], id="names what is gone"),
        pytest.param(FAILED, THEN, {}, ["parameter"], id="gone"),
        pytest.param(
            replace(FAILED, cause=f"parameter {NAME} stays"),
            THEN,
            {NAME: Parameter("old", ())},
            [],
            id="other tags, told",
        ),
        pytest.param(
            replace(FAILED, cause=f"parameter {NAME} stays"), THEN, NOW, ["parameter"], id="told, and gone"
        ),
    ],
)
def test_the_parameter_names_what_serves_or_is_as_before(
    outcome: Outcome, before: dict[str, Parameter], after: dict[str, Parameter], broken: list[str]
) -> None:
    """Whatever failed; and what is told of it must serve."""
    there = DEPLOYED if outcome.good else BEFORE

    found = rules(outcome, replace(there, parameters=after), before=replace(BEFORE, parameters=before))

    assert found == broken


def test_a_repetition_lets_the_parameter_name_it() -> None:
    """As a deployment does that goes well at once."""
    outcome = replace(GOOD, parameter=NAME)

    assert invariants.not_repeated(outcome, replace(DEPLOYED, parameters=NOW)) == []
    assert len(invariants.not_repeated(outcome, replace(DEPLOYED, parameters=THEN))) == 1


STOOD_DOWN = Outcome("FAILED", "Superseded", "a newer upload serves", endpoint="old-0")


def judged(race: Race, outcomes: dict[str, Outcome], after: Snapshot, executions: int = 2) -> list[str]:
    """Return the names of the rules that a race broke."""
    return [one.rule for one in races.judge(race, BEFORE, outcomes, after, executions)]


def test_a_race_follows_from_its_seed() -> None:
    """Both uploads are told of, and among many seeds there is every order, with and without duplicates."""
    drawn = [races.draw(seed, ("race", "race in place")) for seed in range(100)]

    assert drawn == [races.draw(seed, ("race", "race in place")) for seed in range(100)]
    assert all({upload for _, upload in race.events} == {OLD, NEW} for race in drawn)
    assert {race.kind for race in drawn} == {
        "in order",
        "reordered",
        "in order, with duplicates",
        "reordered, with duplicates",
    }


def test_a_call_is_held_up_for_the_same_time_each_time() -> None:
    """Which follows from the seed, the task, the operation and how often that was called."""
    held = RACE.hold_up("CreateModel", "CreateModel", 0)

    assert 0 <= held <= RACE.pause_s
    assert (
        held == RACE.hold_up("CreateModel", "CreateModel", 0) != RACE.hold_up("CreateModel", "CreateModel", 1)
    )


@pytest.mark.parametrize(
    ("wrong", "outcomes", "after", "executions", "rules"),
    [
        pytest.param((), {OLD: STOOD_DOWN, NEW: GOOD}, DEPLOYED, 2, [], id="the older one superseded"),
        pytest.param((NEW,), {OLD: GOOD, NEW: FAILED}, DEPLOYED, 2, [], id="the newer one is wrong"),
        pytest.param((OLD, NEW), {OLD: FAILED, NEW: FAILED}, BEFORE, 2, [], id="neither is any good"),
        pytest.param((), {OLD: GOOD, NEW: STOOD_DOWN}, DEPLOYED, 2, ["newest"], id="the older one serves"),
        pytest.param(
            (), {OLD: STOOD_DOWN, NEW: GOOD}, BEFORE, 2, ["newest"], id="the consumer was not moved"
        ),
        pytest.param((), {OLD: STOOD_DOWN, NEW: GOOD}, DEPLOYED, 3, ["once"], id="deployed twice"),
        pytest.param((), {OLD: Outcome("STUCK"), NEW: GOOD}, DEPLOYED, 2, ["ended"], id="not ended"),
        pytest.param(
            (OLD, NEW),
            {OLD: FAILED, NEW: FAILED},
            replace(BEFORE, answered_by=None),
            2,
            ["earlier"],
            id="the earlier one does not serve any more",
        ),
        pytest.param(
            (),
            {OLD: STOOD_DOWN, NEW: GOOD},
            replace(DEPLOYED, models=frozenset({"old", "new", "x"})),
            2,
            ["tidy"],
            id="left behind",
        ),
    ],
)
def test_a_race_is_judged_by_what_is_left(
    *,
    wrong: tuple[str, ...],
    outcomes: dict[str, Outcome],
    after: Snapshot,
    executions: int,
    rules: list[str],
) -> None:
    """The newest upload that is any good serves, whoever came first; nothing else is left."""
    assert judged(replace(RACE, wrong=wrong), outcomes, after, executions) == rules


def test_the_report_counts_races() -> None:
    """By scenario and by how the events came."""
    raced = Raced(RACE, {OLD: STOOD_DOWN, NEW: GOOD}, (), 2.0)

    text = report.render([], {}, planned=0, seconds=60, jobs=2, raced=[raced])

    assert "1 races, 1 passed, 0 broke a rule." in text
    assert "| race, reordered, with duplicates | 1 | 1 | 0 | 1 |" in text


# -------------------------------------------------------------------------- acts

SUBJECT = Subject("harbour", "old", "min=1 max=3")
MARKED = {"sealift:paused-at": "2026-01-02", "sealift:resumed-at": "2026-01-01"}
RUNS = replace(
    BEFORE,
    parameters=THEN,
    scaled={"old": "min=1 max=3"},
    records={"old": {"sealift:paused-at": "2026-01-01"}},
)
AWAY = replace(RUNS, endpoints={}, answered_by=None, scaled={}, records={"old": MARKED})
BACK = replace(RUNS, records={"old": {**MARKED, "sealift:resumed-at": "2026-01-03"}})
NOTHING = replace(AWAY, configs=frozenset(), models=frozenset(), parameters={}, records={})
DONE, REFUSED = Outcome("SUCCEEDED"), Outcome("FAILED", cause="ERROR denied\nTIP    add a policy")
GOES_ON = replace(REFUSED, cause="stays endpoint old; `sealift pause harbour` goes on\nTIP    add a policy")


def acted(
    act: Act, before: Snapshot, outcome: Outcome, after: Snapshot, *, killed: bool = False
) -> list[str]:
    """Return the names of the rules that an act broke."""
    return [one.rule for one in acts.broken(act, SUBJECT, before, outcome, after, killed=killed)]


@pytest.mark.parametrize(
    ("act", "before", "outcome", "after", "rules"),
    [
        pytest.param(Act.PAUSE, RUNS, DONE, AWAY, [], id="paused"),
        pytest.param(Act.RESUME, AWAY, DONE, BACK, [], id="resumed"),
        pytest.param(Act.EXPIRY, RUNS, DONE, NOTHING, [], id="expired"),
        pytest.param(Act.PAUSE, RUNS, DONE, replace(AWAY, endpoints=RUNS.endpoints), ["ended"], id="runs"),
        pytest.param(Act.PAUSE, RUNS, DONE, replace(AWAY, scaled=RUNS.scaled), ["ended"], id="scales"),
        pytest.param(Act.PAUSE, RUNS, DONE, replace(AWAY, records={"old": {}}), ["ended"], id="not marked"),
        pytest.param(Act.PAUSE, RUNS, DONE, replace(AWAY, configs=frozenset()), ["earlier"], id="half gone"),
        pytest.param(Act.PAUSE, RUNS, DONE, replace(AWAY, parameters={}), ["parameter"], id="parameter gone"),
        pytest.param(Act.PAUSE, RUNS, DONE, replace(AWAY, variables={}), ["consumer"], id="consumer changed"),
        pytest.param(Act.RESUME, AWAY, DONE, replace(BACK, scaled={}), ["ended"], id="does not scale"),
        pytest.param(Act.RESUME, AWAY, DONE, replace(BACK, answered_by=None), ["ended"], id="no answer"),
        pytest.param(
            Act.RESUME, AWAY, DONE, replace(BACK, records={"old": MARKED}), ["ended"], id="still marked"
        ),
        pytest.param(
            Act.EXPIRY, RUNS, DONE, replace(NOTHING, models=RUNS.models), ["ended"], id="model left"
        ),
        pytest.param(
            Act.EXPIRY,
            RUNS,
            REFUSED,
            replace(NOTHING, parameters=THEN),
            ["parameter"],
            id="names what is gone",
        ),
        pytest.param(Act.EXPIRY, RUNS, REFUSED, RUNS, [], id="expiry refused"),
        pytest.param(Act.PAUSE, RUNS, REFUSED, RUNS, [], id="refused"),
        pytest.param(
            Act.PAUSE, RUNS, REFUSED, replace(RUNS, scaled={}), ["tidy", "tidy"], id="begun, untold"
        ),
        pytest.param(Act.PAUSE, RUNS, GOES_ON, replace(RUNS, scaled={}), [], id="begun, told"),
        pytest.param(Act.PAUSE, RUNS, replace(REFUSED, cause="no"), RUNS, ["ended"], id="nothing to do"),
        pytest.param(Act.PAUSE, RUNS, Outcome("exit status 70"), RUNS, ["ended"], id="a mistake of ours"),
        pytest.param(Act.PAUSE, RUNS, Outcome(acts.INTERRUPTED), RUNS, ["ended"], id="interrupted by nobody"),
    ],
)
def test_an_act_is_judged_by_what_is_left(
    act: Act, before: Snapshot, outcome: Outcome, after: Snapshot, rules: list[str]
) -> None:
    """What costs money is gone or named, what brings it back is there, and nobody else's things are touched."""
    assert acted(act, before, outcome, after) == rules


def test_a_command_that_was_interrupted_has_told_how_to_go_on() -> None:
    """Where anything was changed by then."""
    interrupted = Outcome(acts.INTERRUPTED)

    assert acted(Act.RESUME, AWAY, interrupted, AWAY, killed=True) == []
    assert acted(Act.RESUME, AWAY, interrupted, replace(BACK, scaled={}), killed=True) == ["tidy", "tidy"]


@pytest.mark.parametrize(
    ("told", "broken"),
    [
        pytest.param(["is taken down in 5 min", "was taken down"], 0, id="both"),
        pytest.param(["was taken down"], 1, id="not beforehand"),
        pytest.param(["is taken down in 5 min"] * 2 + ["was taken down"], 1, id="twice"),
        pytest.param([], 2, id="nothing"),
    ],
)
def test_an_end_is_told_once_beforehand_and_once_when_it_came(told: list[str], broken: int) -> None:
    """Where nothing failed."""
    outcome = replace(DONE, notified="\n".join(f"endpoint old {words}" for words in told))

    assert len(acts.untold(SUBJECT, outcome)) == broken


def test_what_an_act_changes_meets_every_kind_of_fault() -> None:
    """Whatever other scenarios had; what it only reads meets one kind, and the second look too."""
    reads = [replace(POLL, nth=nth) for nth in range(4)]
    found = cases.matrix({"first": [CREATE, POLL], "act": [CREATE, *reads]}, ["first"], acted=["act"])
    faults = [case.faults[0] for case in found if case.scenario == "act"]

    assert {kind for step, kind in faults if step == CREATE} == ANYWHERE
    assert [step.nth for step, _ in faults if step.reads] == [0, 1]
