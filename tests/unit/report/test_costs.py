"""What it costs: measured seconds times listed prices, and nothing where either is missing."""

from __future__ import annotations

import json
from typing import Any

import pytest

from pipeline.errors import InvalidInput
from pipeline.report import costs, transcript
from pipeline.report.costs import Costs
from pipeline.sizing import pricing


def talk(*exchanges: dict[str, Any]) -> transcript.Transcript | None:
    """Return a transcript of these exchanges."""
    return transcript.read({"transcript": [{"prompt": "?", "answer": "!", **one} for one in exchanges]})


def reckon(found: transcript.Transcript | None, *, region: str = "us-east-1", **changed: Any) -> Costs:
    """Return the costs of a 3072 MB endpoint."""
    given: dict[str, Any] = {"memory_mb": 3072, "transitions": 40, "archive_bytes": 10**9, "alarms": 4}
    return costs.reckon(pricing.LISTED, region, transcript=found, **{**given, **changed})


TIMED = {
    "seconds": 9.0,
    "timings": {"prompt_ms": 500, "predicted_ms": 1500},
    "bytes_in": 400,
    "bytes_out": 600,
}


def test_a_thousand_requests_are_seconds_times_memory_times_price() -> None:
    """By the endpoint's own clock where it tells: the first call's cold start is not every request's."""
    found = reckon(talk(TIMED))
    compute, data = found.requests

    assert compute.usd == pytest.approx(1000 * 2.0 * 3 * 0.00002)
    assert data.usd == pytest.approx(1000 * 1000 / 1e9 * 0.016)
    assert found.per_thousand == pytest.approx(0.12 + 0.000016)
    assert "by the endpoint's own clock" in compute.how


@pytest.mark.parametrize(
    ("exchanges", "seconds"),
    [
        pytest.param([{"seconds": 9.0}, {"seconds": 2.0}, {"seconds": 4.0}], 3.0, id="without the first"),
        pytest.param([{"seconds": 9.0}], 9.0, id="the only one"),
    ],
)
def test_without_its_clock_the_callers_counts(exchanges: list[dict[str, Any]], seconds: float) -> None:
    """The first answer may pay for a cold start, so it counts only when there is no other."""
    found = reckon(talk(*exchanges))

    assert found.requests[0].usd == pytest.approx(1000 * seconds * 3 * 0.00002)
    assert found.requests[1].usd is None
    assert found.per_thousand is None


def test_nothing_is_invented() -> None:
    """No answer, no price of a thousand of them."""
    found = reckon(None)

    assert [line.usd for line in found.requests] == [None, None]
    assert "not measured" in found.requests[0].how


def test_an_idle_endpoint_costs_nothing_but_its_archive_and_its_alarms() -> None:
    """Serverless: nothing while nobody asks; what else is there is not hidden."""
    endpoint, archive, alarms = reckon(None).idle

    assert endpoint.usd == 0
    assert archive.usd == pytest.approx(0.023)
    assert alarms.usd == pytest.approx(0.4)


@pytest.mark.parametrize(
    ("holds_model", "what"),
    [(True, "its image in ECR, which holds the model"), (False, costs.IMAGE_OF_ALL)],
)
def test_an_image_in_the_stacks_repository_is_paid_for_by_the_month(holds_model: bool, what: str) -> None:
    """At what it is stored in; one that all deployments share says so."""
    image = costs.StoredImage(5 * 10**9, holds_model)
    _, line = reckon(None, archive_bytes=None, alarms=0, image=image).idle

    assert (line.what, line.usd) == (what, pytest.approx(0.5))
    assert line.how == "5.000 GB x 0.1 USD"


def test_what_is_no_serverless_endpoint_has_no_price_of_one() -> None:
    """Nothing is said of requests and of idle time where the memory size says nothing of them."""
    found = reckon(talk(TIMED), memory_mb=None, archive_bytes=None, alarms=0)

    assert found.requests == found.idle == ()


def test_a_region_without_a_price_has_that_of_us_east_1_and_says_so() -> None:
    """Where the list has one, it is used: Step Functions is dearer in Paris."""
    found = reckon(talk(TIMED), region="eu-west-3")
    exact = {price.item.name: price.exact for price in found.prices}

    assert exact == {
        "serverless_gb_second": False,
        "data_gb": False,
        "storage_gb_month": False,
        "alarm_month": False,
        "state_transition": True,
    }
    assert found.deployment[0].usd == pytest.approx(40 * 0.0000297)


def test_every_price_has_a_date_and_a_source() -> None:
    """And one for us-east-1, which stands in for regions that are not listed; but for what was not found."""
    for item in pricing.LISTED.items.values():
        assert item.source
        assert item.as_of[:2] == "20"
        if item.confidence == "not found":
            assert item.usd == {}
        else:
            assert item.usd[pricing.HOME] > 0


def test_what_is_kept_started_costs_by_the_second() -> None:
    """Without a price no sum; a list of one's own gives it."""
    unknown = reckon(None, provisioned=2).idle[0]
    said = {
        "as_of": "2026-11-01",
        "source": "us",
        "prices": {"provisioned_gb_second": {"us-east-1": 0.00001}},
    }
    prices = pricing.changed(pricing.LISTED, said, "prices.json")
    given: dict[str, Any] = {"memory_mb": 3072, "transitions": 40, "archive_bytes": None, "alarms": 0}
    known = costs.reckon(prices, "us-east-1", transcript=None, provisioned=2, **given).idle[0]

    assert (unknown.usd, unknown.how) == (
        None,
        "2 containers kept started x 3 GB x 2,628,000 s: no price is listed",
    )
    assert known.usd == pytest.approx(2 * 3 * 2_628_000 * 0.00001)


def test_a_file_replaces_prices() -> None:
    """With its own date and source; what it does not name stays."""
    text = {"as_of": "2026-11-01", "source": "our contract", "prices": {"data_gb": {"eu-central-1": 0.5}}}
    changed = pricing.changed(pricing.LISTED, text, "prices.json")

    price = changed.of("data_gb", "eu-central-1")
    assert price is not None
    assert (price.usd, price.exact, price.item.source) == (0.5, True, "our contract")
    assert changed.of("data_gb", "us-east-1") is None
    assert changed.of("alarm_month", "us-east-1") == pricing.LISTED.of("alarm_month", "us-east-1")


@pytest.mark.parametrize(
    ("text", "told"),
    [
        pytest.param("{}", "no object 'prices'", id="nothing"),
        pytest.param('{"prices": {}, "as_of": "x"}', "no text 'source'", id="no source"),
        pytest.param(
            '{"prices": {"gold": {}}, "as_of": "x", "source": "y"}', "unknown item 'gold'", id="unknown item"
        ),
        pytest.param(
            '{"prices": {"data_gb": {"a": "1"}}, "as_of": "x", "source": "y"}', "costs '1' in 'a'", id="text"
        ),
        pytest.param(
            '{"prices": {"data_gb": {"a": NaN}}, "as_of": "x", "source": "y"}', "costs nan in 'a'", id="NaN"
        ),
        pytest.param(
            '{"prices": {"data_gb": {"a": -1}}, "as_of": "x", "source": "y"}',
            "costs -1 in 'a'",
            id="negative",
        ),
        pytest.param('{"prices": {"data_gb": 3}, "as_of": "x", "source": "y"}', "is 3", id="no regions"),
    ],
)
def test_prices_that_are_none_are_refused(text: str, told: str) -> None:
    """With what was seen and what is wanted, every problem at once."""
    with pytest.raises(InvalidInput) as refusal:
        pricing.changed(pricing.LISTED, json.loads(text), "prices.json")

    assert told in " ".join(str(one) for one in refusal.value.problems)
