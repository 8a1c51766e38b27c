"""Whose turn it is, who stays as a rollback target, and who may go: by what the tags tell."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline import json_codec
from pipeline.rollout import releases
from pipeline.rollout.releases import Precedence, Release
from pipeline.state_data.request_types import RequestedConsumer
from tests.plans import a_consumer

MADE = {"sealift:execution": "arn:e", "sealift:service": "harbour"}
CONSUMER = {"function_name": "assistant", "variable": "ENDPOINT_NAME", "alias": None}


def release(number: int, **changed: Any) -> Release:
    """Return a good deployment, the number being its age."""
    moment = f"2026-01-02T03:04:{number:02}Z"
    made = Release(
        config=f"harbour-{number}",
        config_arn=f"arn:config/harbour-{number}",
        created=moment,
        execution=f"arn:{number}",
        uploaded_at=moment,
        deployed_at=moment,
        endpoint=f"harbour-{number}",
        status="InService",
        serves=True,
    )
    return replace(made, **changed)


def names(found: Any) -> list[str]:
    """Return the configurations' names."""
    return [one.config for one in found]


# ------------------------------------------------------------------------- tags


@pytest.mark.parametrize("alias", [pytest.param(None, id="no alias"), pytest.param("live", id="alias")])
def test_what_is_marked_is_what_is_read(alias: str | None) -> None:
    """The tags of a good deployment tell when, where, and who calls it."""
    tags = {
        "sealift:execution": "arn:e",
        "sealift:service": "harbour",
        "sealift:uploaded-at": "2026-01-02T03:04:05Z",
        **releases.marks("harbour-0", [who(alias=alias)], "2026-01-02T03:05:00.000Z", 2),
    }
    found = releases.read("harbour-0", "arn:c", "2026", tags, {"harbour-0": ("InService", "harbour-0")})

    assert found is not None
    assert (found.endpoint, found.status, found.serves) == ("harbour-0", "InService", True)
    assert found.good
    assert found.consumers == ({**CONSUMER, "alias": alias},)
    assert found.keep_previous == 2


LETTERS = st.text("abcXYZ019-_", min_size=1, max_size=40)


def who(**changed: Any) -> RequestedConsumer:
    """Return a consumer as a plan has it."""
    return json_codec.decode(RequestedConsumer, a_consumer(**changed))


CONSUMERS = st.lists(
    st.fixed_dictionaries(
        {
            "function_name": st.one_of(
                LETTERS, LETTERS.map("arn:aws:lambda:us-east-1:123456789012:function:{}".format)
            ),
            "variable": LETTERS,
            "alias": st.none() | LETTERS,
        }
    ),
    max_size=10,
)


@given(CONSUMERS, CONSUMERS)
def test_all_consumers_that_are_marked_are_read(before: list[Any], now: list[Any]) -> None:
    """Also where the same record was marked with others before: tags are added and never taken away."""
    tags = {
        "sealift:execution": "arn:e",
        "sealift:service": "harbour",
        **releases.marks("harbour-0", [who(**one) for one in before], "2026", 1),
        **releases.marks("harbour-0", [who(**one) for one in now], "2027", 1),
    }
    found = releases.read("harbour-0", "arn:c", "2026", tags, {})

    assert found is not None
    assert list(found.consumers) == now
    assert all(re.fullmatch(r"[A-Za-z0-9 +\-=._:/@]{0,256}", value) for value in tags.values())


@pytest.mark.parametrize(
    ("told", "count"), [(None, 1), ("0", 0), ("1", 1), ("2", 2), ("many", 1), ("999999999", 2)]
)
def test_a_count_that_somebody_changed_does_no_harm(told: str | None, count: int) -> None:
    """One is what a record without a count has."""
    tags = {
        "sealift:execution": "arn:e",
        "sealift:service": "harbour",
        "sealift:consumer": "f ENDPOINT_NAME",
        "sealift:consumer-2": "g ENDPOINT_NAME live",
        **({} if told is None else {"sealift:consumers": told}),
    }
    found = releases.read("harbour-0", "arn:c", "2026", tags, {})

    assert found is not None
    assert [one["function_name"] for one in found.consumers] == ["f", "g"][:count]


def test_what_sealift_did_not_make_is_no_release() -> None:
    """A name that looks like ours is not enough."""
    assert releases.read("harbour-0", "arn:c", "2026", {"sealift:service": "harbour"}, {}) is None


def test_a_consumer_that_does_not_fit_a_tag_is_left_out() -> None:
    """A name that was cut would be another function's."""
    long = who(variable="V" * 250)

    found = releases.read("h", "arn:c", "2026", {**MADE, **releases.marks("h", [long], "2026", 1)}, {})

    assert found is not None
    assert found.consumers == ()


def test_a_withdrawn_deployment_is_good_again_when_it_is_deployed_again() -> None:
    """The later of the two times tells."""
    withdrawn = release(3, withdrawn_at="2026-01-02T03:04:30Z")

    assert not withdrawn.good
    assert replace(withdrawn, deployed_at="2026-01-02T03:04:40Z").good


# ------------------------------------------------------------------------- turn


@pytest.mark.parametrize(
    ("there", "running", "expected"),
    [
        pytest.param(release(6, deployed_at=None), True, Precedence.SUPERSEDED, id="newer, being tried"),
        pytest.param(release(4, deployed_at=None), True, Precedence.WAIT, id="older, being tried"),
        pytest.param(release(6, deployed_at=None), False, Precedence.SUPERSEDED, id="newer, never finished"),
        pytest.param(release(6), False, Precedence.SUPERSEDED, id="newer, and good"),
        pytest.param(release(4), False, Precedence.GO, id="older, and good"),
    ],
)
def test_who_holds_a_consumer_does_not_wait_for_a_newer_one(
    there: Release | None, running: bool, expected: Precedence
) -> None:
    """The newer one may be waiting for what the older one holds; so the older one lets go."""
    assert (
        releases.precedence("2026-01-02T03:04:05Z", "arn:mine", there, running=running, holding=True)
        is expected
    )


def test_of_two_of_the_same_second_that_hold_a_consumer_each_just_one_lets_go() -> None:
    """Whichever it is: if both waited, neither would come to its end."""
    same = "2026-01-02T03:04:05Z"
    turns = [
        releases.precedence(
            same, mine, release(5, deployed_at=None, execution=theirs), running=True, holding=True
        )
        for mine, theirs in (("arn:a", "arn:b"), ("arn:b", "arn:a"))
    ]

    assert sorted(turns) == sorted([Precedence.SUPERSEDED, Precedence.WAIT])


@pytest.mark.parametrize(
    ("there", "running", "expected"),
    [
        pytest.param(None, False, Precedence.GO, id="nothing there"),
        pytest.param(release(4), False, Precedence.GO, id="older"),
        pytest.param(release(5), False, Precedence.GO, id="of the same second"),
        pytest.param(release(6), False, Precedence.SUPERSEDED, id="newer"),
        pytest.param(release(6, status="Failed"), False, Precedence.GO, id="newer, and failed since"),
        pytest.param(release(6, status=None), False, Precedence.GO, id="newer, and gone"),
        pytest.param(release(6, deployed_at=None), True, Precedence.WAIT, id="newer, being tried"),
        pytest.param(release(4, deployed_at=None), True, Precedence.WAIT, id="older, being tried"),
        pytest.param(release(4, deployed_at=None), False, Precedence.GO, id="older, never finished"),
        pytest.param(release(6, deployed_at=None), False, Precedence.SUPERSEDED, id="newer, never finished"),
        pytest.param(release(6, execution="arn:mine"), True, Precedence.GO, id="our own"),
        pytest.param(release(6), True, Precedence.SUPERSEDED, id="newer, good, its execution still busy"),
    ],
)
def test_the_newer_upload_serves(there: Release | None, running: bool, expected: Precedence) -> None:
    """What is being tried is waited for, whichever is newer."""
    assert releases.precedence("2026-01-02T03:04:05Z", "arn:mine", there, running=running) is expected


# ----------------------------------------------------------------------- retire


@pytest.mark.parametrize(
    ("keep", "kept", "going"),
    [
        pytest.param(1, ["harbour-2"], ["harbour-1", "harbour-0"], id="one"),
        pytest.param(0, [], ["harbour-2", "harbour-1", "harbour-0"], id="none"),
        pytest.param(5, ["harbour-2", "harbour-1", "harbour-0"], [], id="all"),
    ],
)
def test_the_newest_stay(keep: int, kept: list[str], going: list[str]) -> None:
    """In the order of uploads, however AWS lists them."""
    found = releases.retire([release(n) for n in (1, 3, 0, 2)], own="harbour-3", keep=keep)

    assert (names(found.kept), names(found.going)) == (kept, going)


@pytest.mark.parametrize(
    "changed",
    [
        pytest.param({"withdrawn_at": "2026-01-02T03:04:59Z"}, id="rolled back"),
        pytest.param({"status": "Failed"}, id="failed since"),
        pytest.param({"status": None, "serves": False}, id="its endpoint is gone"),
    ],
)
def test_what_cannot_serve_again_is_no_way_back(changed: dict[str, Any]) -> None:
    """It goes, and the one before it stays."""
    found = releases.retire([release(0), release(1, **changed), release(2)], own="harbour-2", keep=1)

    assert (names(found.kept), names(found.going)) == (["harbour-0"], ["harbour-1"])


def test_what_is_newer_or_unfinished_is_not_touched() -> None:
    """It belongs to an execution that is running, or to the undoing of one."""
    others = [release(0, deployed_at=None), release(4), release(5, deployed_at=None)]

    assert releases.retire([*others, release(3)], own="harbour-3", keep=0) == releases.Retirement()


def test_without_a_record_of_ones_own_nobody_goes() -> None:
    """Who is newest cannot be told then."""
    assert releases.retire([release(0), release(1)], own="harbour-9", keep=0) == releases.Retirement()


RELEASES = st.lists(
    st.builds(
        release,
        st.integers(0, 59),
        deployed_at=st.sampled_from([None, "2026-01-02T03:05:00Z"]),
        withdrawn_at=st.sampled_from([None, "2026-01-02T03:06:00Z"]),
        status=st.sampled_from([None, "InService", "Updating", "Creating", "Failed", "Deleting"]),
        serves=st.booleans(),
    ),
    unique_by=lambda one: one.config,
    min_size=1,
    max_size=8,
)


@given(st.data(), RELEASES, st.integers(0, 3))
def test_what_is_referred_to_never_goes(data: st.DataObject, found: list[Release], keep: int) -> None:
    """Nor the deployment itself, nor a rollback target; and everybody is accounted for once."""
    own = data.draw(st.sampled_from(found)).config
    referred = dict.fromkeys(data.draw(st.sets(st.sampled_from(names(found)))), "somebody")
    needed = dict.fromkeys(data.draw(st.sets(st.sampled_from(names(found)))), "somebody")
    retirement = releases.retire(found, own=own, keep=keep, referred=referred, needed=needed)
    going = set(names(retirement.going))

    assert own not in going
    assert not going & set(needed)
    assert not any(one.serves and one.endpoint in referred for one in retirement.going)
    assert not any(one.serves and one.status == "Creating" for one in retirement.going)
    assert all(one.deployed_at for one in retirement.going)
    assert len(retirement.kept) <= keep
    assert all(one.is_rollback_target for one in retirement.kept)
    spared = [one.config for one, _ in retirement.spared]
    everybody = [*names(retirement.kept), *going, *spared]
    assert len(everybody) == len(set(everybody))
    able = [one for one in found if one.is_rollback_target and one.age < release_of(found, own).age]
    assert len(retirement.kept) == min(keep, len(able))


def release_of(found: list[Release], config: str) -> Release:
    """Return a release by its configuration."""
    return next(one for one in found if one.config == config)


# ----------------------------------------------------------------- the rollback target


def test_the_way_back_is_the_newest_good_one_before() -> None:
    """Neither a newer one nor one that cannot answer."""
    found = [release(0), release(1), release(2, status="Failed"), release(3), release(4)]
    now = releases.serving(found, "harbour-3")

    assert now is not None
    before = releases.previous(found, now)
    assert before is not None
    assert before.config == "harbour-1"


def test_there_is_no_way_back_from_the_first() -> None:
    """Nor to a configuration whose endpoint has another one by now."""
    former = release(0, serves=False)

    assert releases.previous([former, release(1)], release(1)) is None


# ---------------------------------------------------- a deployment of several sizes


def test_configurations_of_one_deployment_are_one_release() -> None:
    """Where its endpoint is, as old as the first of them, and marked when any is; another deployment is another one."""
    first = release(
        1, config="harbour-0123456789ab", serves=False, deployed_at=None, endpoint=None, status=None
    )
    second = release(
        2, config="harbour-0123456789ab-1024-5", serves=True, withdrawn_at="2026-01-03", keep_previous=3
    )
    third = release(3, config="harbour-0123456789ab-1024-1", serves=False, deployed_at="2026-01-01")
    other = release(4)

    one, left = releases.together([third, first, other, second])

    assert left is other
    assert (one.config, one.serves, one.endpoint) == (second.config, True, "harbour-2")
    assert set(one.configs) == {first.config, second.config, third.config}
    assert (one.created, one.deployed_at, one.withdrawn_at) == (
        first.created,
        second.deployed_at,
        "2026-01-03",
    )
    assert one.keep_previous == 3


def test_without_an_endpoint_the_newest_configuration_stands_for_all() -> None:
    """Its endpoint is another deployment's by now, or gone."""
    names_ = ["harbour-0123456789ab", "harbour-0123456789ab-1024-1"]
    made = [release(n, config=name, serves=False) for n, name in enumerate(names_)]

    (one,) = releases.together(made)

    assert one.config == names_[1]
    assert one.deployed_at == made[1].deployed_at


def test_a_deployment_of_several_sizes_goes_as_a_whole() -> None:
    """Whichever of them is needed keeps all of them."""
    sizes = [f"harbour-0123456789ab{end}" for end in ("", "-1024-5")]
    old = releases.together(release(1, config=name, serves=name == sizes[1]) for name in sizes)
    new = release(2)

    gone = releases.retire([*old, new], own=new.config, keep=0)
    spared = releases.retire(
        [*old, new], own=new.config, keep=0, needed={sizes[0]: "another endpoint has it"}
    )

    assert names(gone.going) == [sizes[1]]
    assert spared.going == ()
    assert spared.spared[0][1] == "another endpoint has it"
    mine = releases.retire([*old, release(0)], own=sizes[0], keep=0)
    assert names(mine.going) == ["harbour-0"]


# ---------------------------------------------------------------- paused, and for a time


def gone(number: int, **changed: Any) -> Release:
    """Return a good deployment that was paused."""
    return release(
        number, **{"status": None, "serves": False, "paused_at": "2026-01-02T04:00:00.000Z", **changed}
    )


@pytest.mark.parametrize(
    ("changed", "to_resume", "paused"),
    [
        pytest.param({}, True, True, id="paused"),
        pytest.param({"status": "Deleting", "serves": True}, True, True, id="its endpoint goes"),
        pytest.param({"status": "Creating", "serves": True}, True, False, id="its endpoint comes"),
        pytest.param({"status": "InService", "serves": True}, True, False, id="not finished"),
        pytest.param({"status": "InService", "serves": False}, False, False, id="another has its endpoint"),
        pytest.param(
            {"resumed_at": "2026-01-02T05:00:00.000Z"}, False, False, id="resumed, and deleted since"
        ),
        pytest.param({"resumed_at": "2026-01-02T03:30:00.000Z"}, True, True, id="resumed, and paused again"),
        pytest.param({"deployed_at": "2026-01-02T05:00:00.000Z"}, False, False, id="deployed again since"),
        pytest.param({"endpoint": None}, False, False, id="nobody knows its name"),
        pytest.param({"paused_at": None}, False, False, id="deleted by hand"),
    ],
)
def test_the_last_thing_that_was_said_counts(changed: dict[str, Any], to_resume: bool, paused: bool) -> None:
    """And whether there is an endpoint that could have been brought back."""
    one = gone(1, **changed)

    assert (one.is_to_resume, one.is_paused) == (to_resume, paused)


def test_what_is_paused_may_serve_again_unless_it_was_rolled_back() -> None:
    """So it is kept and retired as if it ran; but nobody goes back to it as it is."""
    withdrawn = gone(1, withdrawn_at="2026-01-02T03:30:00.000Z")

    assert gone(1).may_serve_again
    assert not gone(1).is_rollback_target
    assert not withdrawn.may_serve_again
    assert not release(1, status=None).may_serve_again
    assert release(1).may_serve_again
    kept = releases.retire([gone(1), release(2)], own="harbour-2", keep=1)
    retired = releases.retire([gone(1), release(2)], own="harbour-2", keep=0)
    assert (names(kept.kept), names(kept.going)) == (["harbour-1"], [])
    assert (names(retired.kept), names(retired.going)) == ([], ["harbour-1"])


def test_of_several_configurations_the_one_that_was_paused_comes_back() -> None:
    """Whatever its size; the others go with it one day."""
    sizes = ["harbour-4e0ca7a42f18-1024-5", "harbour-4e0ca7a42f18"]
    first, second = (
        gone(n, config=config, endpoint="harbour-4e0ca7a42f18") for n, config in enumerate(sizes)
    )
    (one,) = releases.together([first, replace(second, paused_at=None)])

    assert (one.config, one.others) == (sizes[0], (sizes[1],))
    assert one.is_paused


@pytest.mark.parametrize("at", [None, "2026-01-02T11:05:00.000Z"])
def test_a_new_life_takes_the_place_of_the_one_before(at: str | None) -> None:
    """Also one without an end: the tag of the one before would stay otherwise."""
    before = releases.marks(
        "harbour-0", [], "2026-01-01T03:05:00.000Z", 2, expires_at="2026-01-01T11:05:00.000Z"
    )
    now = releases.marks("harbour-0", [], "2026-01-02T03:05:00.000Z", 2, expires_at=at)
    found = releases.read("harbour-0", "arn:c", "2026", {**MADE, **before, **now}, {})

    assert found is not None
    assert found.expires_at == at
