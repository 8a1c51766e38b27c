"""What stays and what goes: never what is referred to, never what is young, never what could not be looked at."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.operations import sweep
from pipeline.operations.account import Account, ExecutionEnd, Made, MadeKind
from pipeline.operations.sweep import Action, SweepDecision, decide
from pipeline.rollout.releases import Release

NOW = datetime(2026, 1, 10, 12, 0, 0, tzinfo=UTC)
GRACE = timedelta(hours=24)
LONG_AGO = NOW - timedelta(days=5)
ARCHIVE = Made(
    MadeKind.ARCHIVE, "archives/a/model.tar.gz", LONG_AGO, uses=("s3://b/archives/a/model.tar.gz",)
)


def deployment(number: int, *, good: bool = False, keep: int | None = 1, **release: Any) -> Account:
    """Return the facts of one deployment of `harbour`: endpoint, configuration, model; the number is its age."""
    name, execution = f"harbour-{number}", f"arn:{number}"
    common = {"service": "harbour", "execution": execution, "archive": f"b/upload-{number}"}
    moment = f"2026-01-0{number}T00:00:00+00:00"
    one = Release(
        config=name,
        config_arn=f"arn:config/{name}",
        created=moment,
        execution=execution,
        uploaded_at=moment,
        deployed_at=moment if good else None,
        endpoint=name,
        status="InService",
        serves=True,
        keep_previous=keep if good else None,
    )
    return Account(
        made=(
            Made(MadeKind.ENDPOINT, name, LONG_AGO, uses=(name,), status="InService", **common),
            Made(MadeKind.CONFIG, name, LONG_AGO, uses=(name,), **common),
            Made(MadeKind.MODEL, name, LONG_AGO, **common),
        ),
        releases={"harbour": (replace(one, **release),)},
        endpoints={name: name},
        configs={name: frozenset({name})},
        models=frozenset({name}),
        executions={execution: ExecutionEnd(ended=LONG_AGO)},
    )


def together(*facts: Account, **changed: Any) -> Account:
    """Return the facts of several deployments, some of them changed."""
    return replace(
        Account(
            made=tuple(one for each in facts for one in each.made),
            releases={"harbour": tuple(one for each in facts for one in each.releases["harbour"])},
            endpoints={name: config for each in facts for name, config in each.endpoints.items()},
            configs={name: models for each in facts for name, models in each.configs.items()},
            models=frozenset().union(*(each.models for each in facts)),
            executions={arn: one for each in facts for arn, one in each.executions.items()},
        ),
        **changed,
    )


def judged(facts: Account, **changed: Any) -> dict[str, SweepDecision]:
    """Return the decisions by the things' keys."""
    return {one.made.key: one for one in decide(facts, **{"now": NOW, "grace": GRACE, **changed})}


def going(facts: Account, **changed: Any) -> set[str]:
    """Return the names of what does not stay."""
    return {one.made.name for one in judged(facts, **changed).values() if one.action is not Action.KEEP}


# ------------------------------------------------------------------ a deployment


def test_a_leftover_goes_whole_and_in_order() -> None:
    """The endpoint first; the configuration once it is gone, the model once that is gone."""
    found = judged(deployment(1))

    assert [one.action for one in found.values()] == [Action.DELETE] * 3
    assert found["endpoint harbour-1"].after == ()
    assert found["endpoint configuration harbour-1"].after == ("endpoint harbour-1",)
    assert found["model harbour-1"].after == ("endpoint configuration harbour-1",)
    assert "its execution has ended, nothing refers to it" in found["model harbour-1"].reason


KEPT = (
    pytest.param({"executions": {"arn:1": ExecutionEnd(running=True)}}, "arn:1 is running", id="running"),
    pytest.param({"executions": {}}, "was not looked at", id="unknown execution"),
    pytest.param(
        {"executions": {"arn:1": ExecutionEnd(unreadable="denied")}},
        "could not be looked at: denied",
        id="denied",
    ),
    pytest.param({"running": {"arn:9": "b/upload-1"}}, "arn:9 is at work on its archive", id="started again"),
    pytest.param({"named": {"harbour-1": "URL of f names it"}}, "URL of f names it", id="consumer"),
    pytest.param(
        {"named": {"https://host/endpoints/harbour-1/invocations": "URL of f names it"}},
        "URL of f",
        id="a URL",
    ),
    pytest.param({"unclear": {"harbour": "assistant could not be read"}}, "could not be read", id="unclear"),
    pytest.param(
        {"unseen": {MadeKind.ENDPOINT: "not every one seen"}}, "not every one seen", id="unseen endpoints"
    ),
    pytest.param(
        {"executions": {"arn:1": ExecutionEnd(ended=NOW - timedelta(hours=3))}},
        "3 h ago; grace is 24 h",
        id="young",
    ),
)


@pytest.mark.parametrize(("changed", "why"), KEPT)
def test_what_anything_speaks_for_stays(changed: dict[str, Any], why: str) -> None:
    """All three stay; the endpoint says why, and the others why, or that they are in use."""
    found = judged(replace(deployment(1), **changed))

    assert {one.action for one in found.values()} == {Action.KEEP}
    assert why in found["endpoint harbour-1"].reason
    config = found["endpoint configuration harbour-1"].reason
    assert why in config or config == "endpoint harbour-1 has it"


def test_while_an_execution_of_a_service_runs_nothing_of_the_service_goes() -> None:
    """It may yet take over, lower, or go back to, what lies about."""
    running = replace(deployment(2), executions={"arn:2": ExecutionEnd(running=True)})

    assert going(together(deployment(1), running)) == set()


def test_what_sealift_did_not_make_keeps_what_it_uses() -> None:
    """Somebody's endpoint has our configuration, somebody's configuration our model."""
    mine = deployment(1)
    by_endpoint = judged(replace(mine, endpoints={**mine.endpoints, "theirs": "harbour-1"}))
    by_config = judged(replace(mine, configs={**mine.configs, "theirs": frozenset({"harbour-1"})}))

    assert by_endpoint["endpoint configuration harbour-1"].reason == "endpoint theirs has it"
    assert by_config["model harbour-1"].reason == "endpoint configuration theirs has it"
    assert by_config["endpoint configuration harbour-1"].action is Action.DELETE


def test_an_endpoint_with_somebodys_configuration_stays() -> None:
    """It was updated by hand: who knows what for."""
    mine = deployment(1)
    endpoint = replace(mine.made[0], uses=("theirs",))

    found = judged(replace(mine, made=(endpoint, *mine.made[1:]), endpoints={"harbour-1": "theirs"}))

    assert "which Sealift did not make" in found["endpoint harbour-1"].reason
    assert found["endpoint configuration harbour-1"].action is Action.DELETE


@pytest.mark.parametrize("status", ["Creating", "Updating", "SystemUpdating", "RollingBack", "Deleting"])
def test_an_endpoint_that_cannot_be_deleted_now_waits_for_the_next_run(status: str) -> None:
    """AWS would refuse; what it uses waits for it, or stays with it."""
    mine = deployment(1)
    endpoint = replace(mine.made[0], status=status)
    found = judged(replace(mine, made=(endpoint, *mine.made[1:])))

    assert found["endpoint harbour-1"].action is Action.KEEP
    config = found["endpoint configuration harbour-1"]
    assert config.action is Action.KEEP or config.after == ("endpoint harbour-1",)


def test_what_bears_tags_that_cannot_be_read_stays() -> None:
    """It may be anybody's."""
    hidden = Made(MadeKind.MODEL, "harbour-1", LONG_AGO, unreadable="its tags could not be read: denied")

    assert judged(Account((hidden,)))["model harbour-1"].reason == "its tags could not be read: denied"


# --------------------------------------------------------------- good deployments


def test_the_newest_good_one_and_its_ways_back_stay() -> None:
    """As many as RetirePrevious was told to keep; what it could not retire then goes now."""
    facts = together(*(deployment(number, good=True) for number in (1, 2, 3)))

    assert going(facts) == {"harbour-1"}
    assert judged(facts)["endpoint configuration harbour-2"].reason == "it is a rollback target"


def test_how_many_stay_is_what_the_newest_says() -> None:
    """The tag of the newest good one counts; where there is none, all of them stay."""
    older = (deployment(1, good=True, keep=0), deployment(2, good=True, keep=0))

    assert going(together(*older, deployment(3, good=True, keep=2))) == set()
    assert going(together(*older, deployment(3, good=True, keep=None))) == set()
    assert going(together(*older, deployment(3, good=True, keep=0))) == {"harbour-1", "harbour-2"}


def test_what_was_outdone_a_moment_ago_stays_for_the_grace() -> None:
    """An old deployment is unused only since the newest one turned out good."""
    newest = deployment(3, good=True, keep=0, deployed_at="2026-01-10T09:00:00.000Z")

    found = judged(together(deployment(1, good=True), newest))

    assert "3 h ago" in found["endpoint harbour-1"].reason
    assert found["model harbour-1"].reason == "endpoint configuration harbour-1 has it"


def test_what_somebody_went_back_from_stays() -> None:
    """Until the next good deployment, which retires it."""
    back = deployment(3, good=True, withdrawn_at="2026-01-04T00:00:00+00:00")

    assert going(together(deployment(2, good=True), back)) == set()
    assert going(together(back)) == set()
    assert going(together(back, deployment(4, good=True, keep=1))) == {"harbour-3"}


def test_what_is_left_of_a_good_one_without_its_endpoint_goes() -> None:
    """Somebody deleted the endpoint by hand."""
    gone = deployment(1, good=True, status=None, serves=False)
    facts = replace(gone, made=gone.made[1:], endpoints={})

    assert {one.made.kind for one in judged(facts).values() if one.action is Action.DELETE} == {
        MadeKind.CONFIG,
        MadeKind.MODEL,
    }


# ------------------------------------------------------------- alarms and versions


@pytest.mark.parametrize("kind", [MadeKind.ALARM, MadeKind.VERSION])
def test_what_is_about_an_endpoint_goes_after_it(kind: MadeKind) -> None:
    """With the endpoint, or when it is gone; never while it stays."""
    about = Made(kind, "one", LONG_AGO, service="harbour", uses=("harbour-1",))
    mine = deployment(1)

    assert judged(Account((about,)))[about.key].action is Action.DELETE
    assert judged(replace(mine, made=(*mine.made, about)))[about.key].after == ("endpoint harbour-1",)
    assert judged(replace(mine, made=(about,)))[about.key].reason == "endpoint harbour-1 is there"


def test_a_version_that_an_alias_calls_stays() -> None:
    """And any, as long as an execution runs: it may have published it."""
    version = Made(MadeKind.VERSION, "7 of assistant", LONG_AGO, uses=("gone",))

    assert (
        judged(Account((replace(version, aliased=True),)))[version.key].reason == "an alias sends calls to it"
    )
    assert "is running" in judged(Account((version,), running={"arn:9": ""}))[version.key].reason
    assert judged(Account((version,)))[version.key].action is Action.DELETE


# ----------------------------------------------------------------------- archives


@pytest.mark.parametrize(
    ("marked_h", "grace_h", "action"),
    [
        pytest.param(None, 24, Action.MARK, id="not marked"),
        pytest.param(23, 24, Action.KEEP, id="marked not long ago"),
        pytest.param(25, 24, Action.DELETE, id="marked long ago"),
        pytest.param(9, 0, Action.KEEP, id="an execution may still be using it"),
        pytest.param(11, 0, Action.DELETE, id="no execution lasts so long"),
    ],
)
def test_an_archive_is_marked_and_deleted_much_later(
    marked_h: float | None, grace_h: float, action: Action
) -> None:
    """Between the two lies more than an execution may last, whatever the grace is."""
    marked = None if marked_h is None else NOW - timedelta(hours=marked_h)
    facts = Account((replace(ARCHIVE, marked=marked),))

    assert judged(facts, grace=timedelta(hours=grace_h))[ARCHIVE.key].action is action


def test_the_wait_of_an_archive_is_longer_than_an_execution() -> None:
    """That is what makes it safe: whoever found it unmarked has made its model by then, or has ended."""
    from state_machine.definition import EXECUTION_TIMEOUT_S

    assert timedelta(seconds=EXECUTION_TIMEOUT_S) < sweep.SETTLED


@pytest.mark.parametrize(
    "facts",
    [
        pytest.param(Account((ARCHIVE,), archives={ARCHIVE.uses[0]: "m"}), id="a model reads it"),
        pytest.param(Account((ARCHIVE,), unseen={MadeKind.MODEL: "denied"}), id="models not seen"),
        pytest.param(Account((ARCHIVE,), unseen={MadeKind.CONFIG: "denied"}), id="configurations not seen"),
        pytest.param(Account((ARCHIVE,), unseen={MadeKind.ENDPOINT: "denied"}), id="endpoints not seen"),
        pytest.param(Account((ARCHIVE,), endpoints={"e": "c"}), id="an endpoint's configuration is gone"),
        pytest.param(
            Account((ARCHIVE,), endpoints={"e": "c"}, configs={"c": frozenset({"m"})}),
            id="an endpoint's model is gone",
        ),
    ],
)
@pytest.mark.parametrize("marked", [None, LONG_AGO])
def test_an_archive_that_an_endpoint_may_read_stays(facts: Account, marked: datetime | None) -> None:
    """A serverless endpoint downloads it at every cold start, whoever deleted its model."""
    told = replace(facts, made=(replace(ARCHIVE, marked=marked),))

    assert judged(told)[ARCHIVE.key].action is Action.KEEP


IMAGE = Made(
    MadeKind.IMAGE,
    "model-0a",
    LONG_AGO,
    uses=("repository@sha256:0a", "repository:model-0a"),
    version="sha256:0a",
    bucket="artifacts",
)


@pytest.mark.parametrize(
    ("claimed_h", "grace_h", "action"),
    [
        pytest.param(9.9, 1, Action.KEEP, id="an execution may still be at work on it"),
        pytest.param(10, 1, Action.DELETE, id="any that claimed it has ended"),
        pytest.param(23.9, 24, Action.KEEP, id="within the grace"),
        pytest.param(24, 24, Action.DELETE, id="after the grace"),
    ],
)
def test_an_image_goes_when_nobody_has_claimed_it_for_long_enough(
    claimed_h: float, grace_h: float, action: Action
) -> None:
    """A deployment claims it before it looks whether it is there."""
    facts = Account((replace(IMAGE, changed=NOW - timedelta(hours=claimed_h)),))

    assert judged(facts, grace=timedelta(hours=grace_h))[IMAGE.key].action is action


@pytest.mark.parametrize(
    "facts",
    [
        pytest.param(Account((IMAGE,), images={IMAGE.uses[0]: "m"}), id="a model has it by digest"),
        pytest.param(Account((IMAGE,), images={IMAGE.uses[1]: "m"}), id="a model has it by tag"),
        pytest.param(Account((IMAGE,), unseen={MadeKind.MODEL: "denied"}), id="models not seen"),
        pytest.param(Account((IMAGE,), endpoints={"e": "c"}), id="an endpoint's configuration is gone"),
    ],
)
def test_an_image_that_an_endpoint_may_start_from_stays(facts: Account) -> None:
    """Whatever its age."""
    assert judged(facts)[IMAGE.key].action is Action.KEEP


def test_a_model_that_reads_an_archive_keeps_no_image() -> None:
    """Each is kept by what names it."""
    facts = Account((IMAGE,), archives={IMAGE.uses[0]: "m"})

    assert judged(facts)[IMAGE.key].action is Action.DELETE


# ------------------------------------------------------------------- for all cases

AGES = st.integers(min_value=0, max_value=100).map(lambda hours: NOW - timedelta(hours=hours))


@st.composite
def worlds(draw: st.DrawFn) -> Account:
    """Draw several deployments with any mixture of ages, executions, marks and references."""
    facts = []
    for number in draw(st.lists(st.integers(1, 9), unique=True, min_size=1, max_size=5)):
        one = deployment(
            number,
            good=draw(st.booleans()),
            keep=draw(st.sampled_from([0, 1, 2, None])),
            status=draw(st.sampled_from(["InService", "Failed"])),
        )
        made = tuple(replace(thing, changed=draw(AGES)) for thing in one.made)
        known = draw(
            st.one_of(
                st.just(ExecutionEnd(running=True)),
                st.just(ExecutionEnd(unreadable="denied")),
                AGES.map(lambda ended: ExecutionEnd(ended=ended)),
            )
        )
        facts.append(replace(one, made=made, executions={f"arn:{number}": known}))
    names = [name for one in facts for name in one.endpoints]
    named = draw(st.lists(st.sampled_from(names), unique=True, max_size=2))
    whole = together(*facts, named=dict.fromkeys(named, "V of f names it"))
    foreign = draw(st.sampled_from([None, *names]))
    return replace(whole, endpoints={**whole.endpoints, **({"theirs": foreign} if foreign else {})})


@given(facts=worlds())
def test_nothing_goes_that_is_referred_to_or_young(facts: Account) -> None:
    """For each thing that goes: nobody names it, its execution has ended, it is old, and its users go before it."""
    found = judged(facts)
    gone = {key for key, one in found.items() if one.action is Action.DELETE}

    for key in gone:
        made = found[key].made
        known = facts.executions[made.execution]
        assert made.name not in facts.named
        assert not known.running
        assert not known.unreadable
        assert NOW - max(made.changed, known.ended or made.changed) >= GRACE
        if made.kind is MadeKind.CONFIG:
            users = {f"endpoint {name}" for name, config in facts.endpoints.items() if config == made.name}
            assert users <= gone
            assert set(found[key].after) == users
        if made.kind is MadeKind.MODEL:
            assert {f"endpoint configuration {made.name}"} <= gone


@given(facts=worlds())
def test_the_newest_good_deployment_in_service_stays(facts: Account) -> None:
    """Whatever else goes, a service that served goes on."""
    good = [one for one in facts.releases["harbour"] if one.is_rollback_target]
    if good:
        newest = max(good, key=lambda one: one.age)
        assert newest.config not in going(facts)


def test_a_service_that_is_asked_for_is_all_that_is_judged() -> None:
    """What another one's things refer to counts all the same."""
    mine = deployment(1)
    other = Made(MadeKind.CONFIG, "other-1", NOW, service="other", uses=("harbour-1",))
    facts = replace(
        mine, made=(*mine.made, other), configs={**mine.configs, "other-1": frozenset({"harbour-1"})}
    )
    found = judged(facts, service="harbour")

    assert "endpoint configuration other-1" not in found
    assert found["model harbour-1"].reason == "endpoint configuration other-1 has it"


@pytest.mark.parametrize("told", ["2026-01-02T03:04:05.678Z", "2026-01-02T03:04:05", "when?", ""])
def test_a_time_of_a_tag_has_a_zone(told: str) -> None:
    """What is no time is long ago."""
    assert sweep.moment(told).tzinfo is not None


# ---------------------------------------------------------------------------- paused


def paused(number: int, *, named: bool = False) -> Account:
    """Return the facts of a deployment that was paused: configuration, model, alarm, and maybe a parameter."""
    found = deployment(number, good=True, status=None, serves=False, paused_at="2026-01-09T00:00:00.000Z")
    name = f"harbour-{number}"
    about = [
        Made(
            MadeKind.ALARM,
            f"sealift-{name}-5xx",
            LONG_AGO,
            service="harbour",
            execution=f"arn:{number}",
            uses=(name,),
        ),
        Made(
            MadeKind.PARAMETER, "/sealift/sealift/harbour/endpoint", LONG_AGO, service="harbour", uses=(name,)
        ),
    ]
    made = tuple(one for one in found.made if one.kind is not MadeKind.ENDPOINT)
    return replace(found, made=(*made, *about[: 1 + named]), endpoints={})


def test_what_is_paused_stays_with_all_that_brings_it_back() -> None:
    """However long ago that was: alarms and the parameter too, which have no endpoint to be about."""
    found = judged(paused(1))
    named = judged(paused(1, named=True))

    assert going(paused(1)) == going(paused(1, named=True)) == set()
    assert "sealift resume" in found["endpoint configuration harbour-1"].reason
    assert "paused" in found["alarm sealift-harbour-1-5xx"].reason
    assert "paused" in named["parameter /sealift/sealift/harbour/endpoint"].reason


def test_what_is_paused_and_was_outdone_goes_as_if_it_ran() -> None:
    """By the number that its service keeps."""
    kept = together(paused(1), deployment(2, good=True, keep=1))
    outdone = together(paused(1), deployment(2, good=True, keep=0))

    assert going(kept) == set()
    assert {"harbour-1", "sealift-harbour-1-5xx"} <= going(outdone)


def test_what_was_deleted_by_hand_is_not_paused() -> None:
    """A mark alone keeps nothing that was resumed since."""
    facts = paused(1)
    (one,) = facts.releases["harbour"]
    resumed = replace(one, resumed_at="2026-01-09T01:00:00.000Z")

    assert "sealift-harbour-1-5xx" in going(replace(facts, releases={"harbour": (resumed,)}))
