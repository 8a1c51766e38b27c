"""What a measurement may cost, and what a thousand answers do."""

from __future__ import annotations

from dataclasses import replace

import pytest

from pipeline.bench import figures, spending, sweep
from pipeline.bench.sweep import Sweep
from pipeline.sizing.running_cost import Cost
from tests.unit.bench.measured import INSTANCE, PRICE, SERVERLESS, VECTORS, WANTED, WHOLE, a_round


def test_the_bound_counts_every_call() -> None:
    """Those of warm-up and the first two, which may fail twice each, among them, for each endpoint."""
    stages = sweep.stages(WANTED, compared=False)
    found = spending.bound(stages, WANTED, [SERVERLESS], PRICE)

    assert found.calls == 6 + (100 + 1) + (100 + 4)
    assert found.seconds == 2 * (60 + 60)
    assert found.prompt_tokens == 205 * 64
    assert found.completion_tokens == 211 * 20
    # One caller for 120 s, four for 120 s each, and six calls: 960 s of 2 GB.
    assert found.usd == pytest.approx(960 * 2 * 0.00002)


def test_few_calls_bound_it_before_the_time_does() -> None:
    """An answer takes SageMaker's 60 s at most."""
    few = Sweep((8,), (64,), 20, 1, 3600)
    found = spending.bound(sweep.stages(few, compared=False), few, [SERVERLESS], PRICE)

    assert found.usd == pytest.approx((6 + 9) * 60 * 2 * 0.00002)


def test_two_endpoints_are_paid_for_both() -> None:
    """What an instance costs, it costs anyway."""
    stages = sweep.stages(WANTED, compared=True)
    alone = spending.bound(stages, WANTED, [SERVERLESS], PRICE)
    both = spending.bound(stages, WANTED, [SERVERLESS, SERVERLESS], PRICE)
    other = spending.bound(stages, WANTED, [SERVERLESS, INSTANCE], PRICE)

    assert (both.calls, both.seconds) == (2 * alone.calls, 2 * alone.seconds)
    assert both.prompt_tokens == 2 * alone.prompt_tokens
    assert both.completion_tokens == 2 * alone.completion_tokens
    assert both.usd == pytest.approx(2 * (alone.usd or 0))
    assert other.usd == pytest.approx(alone.usd)
    assert "0.36 USD an hour" in other.how


def test_a_machine_gets_the_bound_as_well() -> None:
    """A price that is not known is null, not nothing."""
    few = Sweep((8,), (64,), 20, 1, 3600)
    found = spending.bound(sweep.stages(few, compared=False), few, [SERVERLESS], PRICE)

    assert found.to_json()["usd"] == pytest.approx((6 + 9) * 60 * 2 * 0.00002)
    assert replace(found, usd=None).to_json()["usd"] is None


def test_what_has_no_price_has_no_bound() -> None:
    """It is not half of one."""
    stages = sweep.stages(WANTED, compared=True)

    assert spending.bound(stages, WANTED, [SERVERLESS, INSTANCE], None).usd is None
    assert spending.bound(stages, WANTED, [INSTANCE], None).usd == 0
    assert spending.bound(stages, WANTED, [VECTORS], PRICE).completion_tokens == 0


def test_a_serverless_answer_costs_its_time() -> None:
    """By the endpoint's own clock, as the report reckons."""
    found = spending.per_thousand(SERVERLESS, figures.of([a_round([WHOLE])]), PRICE)

    assert found.usd == pytest.approx(1000 * 1.5 * 2 * 0.00002)
    assert found.how == "1000 x 1.500 s (by the endpoint's own clock) x 2 GB x 0.0000200 USD"


def test_an_instances_answer_costs_its_share_of_an_hour() -> None:
    """The more are answered, the less each costs."""
    found = spending.per_thousand(INSTANCE, figures.of([a_round([WHOLE] * 5)]), PRICE)

    assert found.usd == pytest.approx(1000 * 0.36 / 1800)
    assert found.how == "1000 answers at 1,800 an hour x 0.36 USD an hour"


@pytest.mark.parametrize(
    ("target", "rounds", "price", "why"),
    [
        (SERVERLESS, [], PRICE, "nothing was answered"),
        (INSTANCE, [], PRICE, "nothing was answered"),
        (SERVERLESS, [a_round([WHOLE])], None, "no price is listed"),
        (replace(INSTANCE, cost=Cost(None, "1 x ml.x, price not known")), [a_round([WHOLE])], PRICE, "ml.x"),
        (replace(SERVERLESS, cost=Cost(None, "2 provisioned")), [a_round([WHOLE])], PRICE, "2 provisioned"),
    ],
)
def test_what_is_not_known_is_not_reckoned(target, rounds, price, why) -> None:  # type: ignore[no-untyped-def] # noqa: ANN001
    """And the reason is told."""
    found = spending.per_thousand(target, figures.of(rounds), price)

    assert found.usd is None
    assert why in found.how
