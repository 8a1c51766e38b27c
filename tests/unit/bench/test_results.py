"""What is said of a measurement: rows, ratios, notes, JSON."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from pipeline.bench import results, table
from pipeline.bench.comparison import Ratio
from pipeline.bench.measurement import Measured, Results, Started
from pipeline.bench.prompts import Lengths
from pipeline.bench.samples import FailedCall, Round
from pipeline.bench.sweep import LoadStage, Sweep
from tests.unit.bench.measured import INSTANCE, SERVERLESS, STREAMED, VECTORS, WHOLE, a_document, a_round


def said(*words: str, notes: tuple[str, ...]) -> list[str]:
    """Return the notes that have all of the words."""
    return [one for one in notes if all(word in one for word in words)]


def test_a_row_has_every_figure() -> None:
    """Under the heads that name them."""
    document = a_document(INSTANCE, sample=STREAMED)

    assert dict(zip(table.head(document), table.rows(document)[1], strict=True)) == {
        "at once": "4",
        "prompt": "100",
        "answers": "100",
        "first": "500 ms",
        "p50": "2.00 s",
        "p95": "2.00 s",
        "p99": "2.00 s",
        "tok/s each": "10.0",
        "tok/s all": "200",
        "errors": "0",
        "USD/1,000": "0.010",
    }


def test_vectors_have_no_tokens() -> None:
    """Their rate is that of the texts."""
    document = a_document(VECTORS, sample=replace(WHOLE, completion_tokens=None))

    assert table.head(document)[-3:] == ("texts/s", "errors", "USD/1,000")
    assert table.rows(document)[0][-3] == "10.0"
    assert document.to_json()["max_tokens"] is None
    assert not said("first token", notes=document.notes)


def test_nothing_answered_is_dashes() -> None:
    """No figure is made up."""
    document = a_document(SERVERLESS, refused="the prompt is too long")

    assert table.rows(document)[0] == ("1", "64", "0", "-", "-", "-", "-", "-", "-", "0", "-")
    assert not document.answered
    assert said(
        "demo-1, 1 at once, 64 tokens", "it was refused: the prompt is too long", notes=document.notes
    )
    assert not said("was over before", notes=document.notes)


def test_two_endpoints_stand_side_by_side() -> None:
    """A and B in turn, and how they compare."""
    document = a_document(SERVERLESS, INSTANCE, faster=2.0)

    assert [row[0] for row in table.rows(document)] == ["A", "B", "A", "B"]
    assert table.comparisons(document)[0] == (
        "1",
        "64",
        "0.50 (0.50 to 0.50), differs",
        "2.00 (2.00 to 2.00), differs",
    )
    found = json.loads(json.dumps(document.to_json()))["stages"][0]["compared"]
    assert found["latency_p50"] == {"ratio": 0.5, "low": 0.5, "high": 0.5, "rounds": 10, "differs": True}
    assert found["first_token_p50"] is None


def test_only_whole_rounds_of_both_are_compared() -> None:
    """A round that was interrupted, and one that nothing answered in, have no fellow."""
    stage = LoadStage(1, 64, 8, 1, 10)
    one, other = Measured(stage, SERVERLESS), Measured(stage, INSTANCE)
    one.rounds = [a_round([WHOLE]) for _ in range(8)]
    other.rounds = [a_round([WHOLE]) for _ in range(7)]
    other.rounds[5] = a_round([])
    cut = Round([WHOLE])
    cut.close(3, whole=False)
    other.rounds.append(cut)
    found = results._compared(one, other)

    assert found.latency is not None
    assert found.latency.rounds == 6
    turned = results._compared(other, one)
    assert turned.latency is not None
    assert turned.latency.rounds == 6


def test_first_tokens_are_compared_where_both_stream() -> None:
    """In a column of their own."""
    document = a_document(INSTANCE, INSTANCE, sample=STREAMED)

    assert table.comparison_head(document)[-1] == "first token, B to A"
    assert table.comparisons(document)[0][-1] == "1.00 (1.00 to 1.00), within noise"


@pytest.mark.parametrize(
    ("ratio", "words"),
    [
        (None, "-"),
        (Ratio(1.5, 3), "1.50, too few rounds"),
        (Ratio(1.5, 10, 1.2, 1.9), "1.50 (1.20 to 1.90), differs"),
        (Ratio(1.05, 10, 0.9, 1.2), "1.05 (0.90 to 1.20), within noise"),
    ],
)
def test_a_ratio_says_what_it_is_worth(ratio: Ratio | None, words: str) -> None:
    """With its interval."""
    assert table.compared(ratio) == words


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (None, "-"),
        (0.0456, "46 ms"),
        (0.9994, "999 ms"),
        (0.9996, "1.00 s"),
        (9.994, "9.99 s"),
        (9.996, "10.0 s"),
    ],
)
def test_times_have_three_digits(value: float | None, words: str) -> None:
    """Whatever their size."""
    assert table.seconds(value) == words


@pytest.mark.parametrize(
    ("value", "words"), [(None, "-"), (1.234, "1.23"), (9.996, "10.0"), (99.96, "100"), (1234.5, "1,234")]
)
def test_rates_have_three_digits(value: float | None, words: str) -> None:
    """The same."""
    assert table.rate(value) == words


# ------------------------------------------------------------------------------ notes


def test_serverless_says_why_there_is_no_first_token() -> None:
    """And what is known in its place."""
    document = a_document(SERVERLESS)

    assert said("streams nothing from a serverless endpoint", "0.40 s of 64 tokens", notes=document.notes)
    assert table.rows(document)[0][3] == "-"
    assert not said("first token", notes=a_document(INSTANCE, sample=STREAMED).notes)


def test_a_stream_that_came_at_once_is_told() -> None:
    """Its first token is the last one too."""
    document = a_document(INSTANCE, sample=replace(STREAMED, first_s=1.95))

    assert said("tug-1, every stage: the stream came in one piece", notes=document.notes)
    assert not said("one piece", notes=a_document(INSTANCE, sample=replace(STREAMED, first_s=1.85)).notes)


def test_a_container_that_had_to_start_is_told() -> None:
    """By the first call, which took longer than the second."""
    cold = Started(9.5, 0.5)

    assert said("first call took 9.5 s", "in about 9.0 s", notes=a_document(SERVERLESS, started=cold).notes)
    assert not said("first call", notes=a_document(INSTANCE, started=cold, sample=STREAMED).notes)
    assert not said("first call", notes=a_document(SERVERLESS, started=Started(1.5, 0.6)).notes)
    assert said(
        "after 20 min alone",
        "still up",
        notes=a_document(SERVERLESS, started=Started(0.5, 0.6), alone_s=1200).notes,
    )
    assert said("after 20 min alone", "9.0 s", notes=a_document(SERVERLESS, started=cold, alone_s=1200).notes)


def test_containers_that_more_callers_started_are_told() -> None:
    """Not where as many had called before, and not on instances."""
    twice = Sweep((1, 4), (64, 128), 20, 100, 60)
    found = said("containers may have started", notes=a_document(SERVERLESS, warm_up=8.0, wanted=twice).notes)

    assert [one.partition(":")[0] for one in found] == [
        "demo-1, 1 at once, 64 tokens",
        "demo-1, 4 at once, 64 tokens",
    ]
    assert not said("containers may have started", notes=a_document(SERVERLESS, warm_up=4.9).notes)
    assert not said("containers may have started", notes=a_document(INSTANCE, warm_up=8.0).notes)


def test_throttling_is_told_with_what_the_endpoint_takes() -> None:
    """Or, where it takes as many, in its own words."""
    document = a_document(SERVERLESS, failures=[FailedCall("Throttled", "slow down")] * 3)

    assert said("1 at once", "3 calls were throttled: slow down", notes=document.notes)
    assert said("4 at once", "3 calls were throttled: it takes 2 at once", notes=document.notes)
    assert table.rows(document)[0][-2] == "3"


@pytest.mark.parametrize(
    ("started", "measured", "guessed"),
    [(True, False, True), (True, True, False), (False, False, False)],
)
def test_lengths_that_nobody_told_are_guesses(*, started: bool, measured: bool, guessed: bool) -> None:
    """Of an endpoint that was asked; where none was, nothing is said of lengths."""
    document = a_document(SERVERLESS)
    first = {"demo-1": Started(0.2, 0.3)} if started else {}
    found = results.assemble(
        Results(started=first, lengths=Lengths(20, 2, measured=measured)),
        [SERVERLESS],
        document.sweep,
        document.bound,
        began=document.began,
        price=None,
    )

    assert bool(said("their lengths are guesses", notes=found.notes)) is guessed


def test_one_call_that_was_throttled_is_one() -> None:
    """In words too."""
    document = a_document(SERVERLESS, failures=[FailedCall("Throttled", "slow down")])

    assert said("1 call was throttled: slow down", notes=document.notes)


@pytest.mark.parametrize(("tokens", "told"), [(19, True), (20, False)])
def test_answers_that_ended_early_are_told(*, tokens: int, told: bool) -> None:
    """Their figures are not those of the answers that were asked for."""
    notes = a_document(SERVERLESS, sample=replace(WHOLE, completion_tokens=tokens)).notes

    assert bool(said("answers had 19 tokens on average and not 20", notes=notes)) is told
    assert not said(
        "on average", notes=a_document(VECTORS, sample=replace(WHOLE, completion_tokens=19)).notes
    )


def test_errors_are_told_with_the_first_of_their_words() -> None:
    """One of each kind."""
    failures = [FailedCall("EndpointFailed", "out of memory"), FailedCall("EndpointFailed", "again")]
    document = a_document(SERVERLESS, failures=failures)

    assert said("2 x EndpointFailed: out of memory", notes=document.notes)


def test_what_lay_in_a_cache_is_told() -> None:
    """A template is no more than a tenth."""
    for evaluated, words in ((89, "11%"), (90, "")):
        document = a_document(SERVERLESS, sample=replace(WHOLE, evaluated_tokens=evaluated))
        found = said("lay in the server's cache", notes=document.notes)
        assert bool(found) is bool(words)
        assert words in "".join(found)


def test_a_stage_that_was_over_early_is_told() -> None:
    """Unless all of it was interrupted."""
    assert said("every stage", "1 min was over", notes=a_document(SERVERLESS, calls=99).notes)
    assert not said("was over before", notes=a_document(SERVERLESS).notes)
    stopped = a_document(SERVERLESS, calls=99, stopped="interrupted")
    assert not said("was over before", notes=stopped.notes)
    assert stopped.notes[0] == "interrupted: these are the results so far"
    assert (stopped.to_json()["complete"], stopped.to_json()["stopped"]) == (False, "interrupted")


def test_few_answers_have_no_p99() -> None:
    """It is the slowest."""
    assert said("p99", notes=a_document(SERVERLESS, calls=99).notes)
    assert not said("p99", notes=a_document(SERVERLESS).notes)


def test_costs_are_told_with_their_reckoning() -> None:
    """And with what is not in them."""
    assert said("1000 x 1.500 s", "data is left out", "2026", notes=a_document(SERVERLESS).notes)
    assert said("an hour x", "nobody asks", notes=a_document(INSTANCE, sample=STREAMED).notes)
    assert said("no costs", "nothing was answered", notes=a_document(SERVERLESS, refused="no").notes)
