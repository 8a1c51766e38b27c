"""What a push would do, decided and told without a call."""

from __future__ import annotations

from dataclasses import replace

import pytest

from pipeline.cli import rehearsal
from pipeline.cli.rehearsal import NamedAnew, PlannedUpload, Rehearsal, Switch
from pipeline.rollout.releases import Release


def release(number: int, *, good: bool = True) -> Release:
    """Return a deployment; higher numbers are newer."""
    when = f"2026-01-0{number}T00:00:00+00:00"
    return Release(
        f"demo-{number}",
        "",
        when,
        "",
        uploaded_at=when,
        deployed_at=when if good else None,
        endpoint=f"demo-{number}",
        status="InService",
        serves=True,
    )


FIRST, SECOND, THIRD, TRIED = release(1), release(2), release(3), release(4, good=False)


@pytest.mark.parametrize(
    ("keep", "referred", "leaving", "kept", "going", "spared"),
    [
        pytest.param(1, {}, set(), ["demo-3"], ["demo-2", "demo-1"], [], id="the newest stays"),
        pytest.param(0, {}, set(), [], ["demo-3", "demo-2", "demo-1"], [], id="none stays"),
        pytest.param(
            0,
            {"demo-3": "X of f names it"},
            {"demo-3"},
            [],
            ["demo-3", "demo-2", "demo-1"],
            [],
            id="it is left",
        ),
        pytest.param(
            1,
            {"demo-1": "X of f names it"},
            {"demo-3"},
            ["demo-3"],
            ["demo-2"],
            ["demo-1"],
            id="it is not left",
        ),
    ],
)
def test_who_goes_is_told_as_it_will_be_decided(
    *,
    keep: int,
    referred: dict[str, str],
    leaving: set[str],
    kept: list[str],
    going: list[str],
    spared: list[str],
) -> None:
    """As if one more had turned out good; what never did is not touched."""
    chosen = rehearsal.forecast([FIRST, THIRD, TRIED, SECOND], keep=keep, referred=referred, leaving=leaving)

    assert [one.config for one in chosen.kept] == kept
    assert [one.config for one in chosen.going] == going
    assert [one.config for one, _ in chosen.spared] == spared


FACTS = Rehearsal(
    account_id="123456789012",
    region="eu-west-1",
    stack="sealift",
    stack_is_new=False,
    uploads=(PlannedUpload(300, "s3://b/deployment.json"), PlannedUpload(3 << 20, "s3://b/model.tar.gz")),
    endpoint="demo-<digest>",
    names=("demo-<digest>",),
    updates=False,
    set_apart=(("key", "arn:aws:kms:us-east-1:123456789012:key/1 encrypts the volume"),),
    size="1024 MB, serverless",
    alarms=("a", "b"),
    besides=("6 metric filters of its log",),
    gate="2 cases of suite.jsonl: demo-<digest> and demo-3, before the switch; 0 may be worse",
    switches=(Switch("f:live", "ENDPOINT_NAME", "demo-3"), Switch("g", "OTHER", None)),
    parameter=NamedAnew("/sealift/sealift/demo/endpoint", "demo-3"),
    kept=("demo-3",),
    retired=("demo-2",),
    spared=("demo-1: X of f names it",),
    usd_per_hour=0.0,
    usd_per_month=0.5,
    cost=("its alarms: 5",),
)


def told(facts: Rehearsal) -> dict[str, list[str]]:
    """Return what is told, by its first word."""
    found: dict[str, list[str]] = {}
    head = ""
    for word, text in rehearsal.lines(facts):
        head = word or head
        found.setdefault(head, []).append(text)
    return found


def test_each_change_is_a_line() -> None:
    """From what to what, where, and for how much."""
    said = told(FACTS)

    assert said["upload"] == ["300 bytes to s3://b/deployment.json", "3.0 MiB to s3://b/model.tar.gz"]
    assert said["switch"] == [
        "ENDPOINT_NAME of f:live: demo-3 -> demo-<digest>",
        "OTHER of g: not set -> demo-<digest>",
        "parameter /sealift/sealift/demo/endpoint: demo-3 -> demo-<digest>",
    ]
    assert said["create"] == [
        "model, endpoint configuration and endpoint demo-<digest>",
        "1024 MB, serverless",
    ]
    assert "6 metric filters of its log" in said["key"]
    assert said["ask"] == [FACTS.gate]
    assert said["key"][0].endswith("key/1 encrypts the volume")
    assert said["keep"] == ["demo-3, to roll back to"]
    assert said["retire"] == ["demo-2"]
    assert said["stays"] == ["demo-1: X of f names it"]
    assert said["cost"] == ["nothing while nobody calls; with storage and alarms $0.50 a month"]
    assert "deploy" not in said


def test_what_does_not_happen_is_said_too() -> None:
    """Or left out where it says nothing."""
    said = told(
        replace(
            FACTS,
            stack_is_new=True,
            gate="",
            switches=(),
            parameter=NamedAnew("/p", None),
            kept=(),
            retired=(),
            usd_per_month=None,
            unseen=("x",),
        )
    )

    assert said["switch"] == ["no consumer", "parameter /p: not set -> demo-<digest>"]
    assert (said["retire"], said["unseen"]) == (["nothing"], ["x"])
    assert not {"keep", "ask", "update"} & said.keys()
    assert "which is not there yet" in said["deploy"][0]
    assert said["cost"][0].endswith("a price is not known")


def test_an_endpoint_that_is_there_is_updated() -> None:
    """In place: nothing is created under its name."""
    said = told(replace(FACTS, updates=True, names=("demo-<digest>", "demo"), endpoint="demo"))

    assert said["create"] == ["model and endpoint configuration demo-<digest>"]
    assert said["update"][0] == "endpoint demo, in place"
    parameter = replace(FACTS.parameter, now="demo")
    assert told(replace(FACTS, endpoint="demo", parameter=parameter))["switch"][-1].endswith(": stays demo")
