"""What of AWS's price list is the price of an instance, and what a file of prices says."""

from __future__ import annotations

import copy
import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.errors import InvalidInput
from pipeline.sizing import instance_types, live_prices
from pipeline.sizing.live_prices import PriceFile

NOW = datetime(2026, 11, 30, 4, 0, tzinfo=UTC)


def product(
    name: str = "ml.g6.xlarge",
    usd: str = "1.1267000000",
    *,
    component: str = "Hosting",
    region: str = "us-east-2",
    usage: str | None = None,
) -> dict[str, Any]:
    """Return a product as GetProducts has it."""
    return {
        "product": {
            "productFamily": "ML Instance",
            "attributes": {
                "instanceType": f"{name}-Hosting",
                "instanceName": name,
                "component": component,
                "regionCode": region,
                "location": "US East (Ohio)",
                "usagetype": f"USE2-Host:{name}" if usage is None else usage,
                "servicecode": "AmazonSageMaker",
                "operation": "RunInstance",
            },
            "sku": "8GXQ4JQ8W7XG2BDZ",
        },
        "serviceCode": "AmazonSageMaker",
        "terms": {
            "OnDemand": {
                "8GXQ4JQ8W7XG2BDZ.JRTCKXETXF": {
                    "priceDimensions": {
                        "8GXQ4JQ8W7XG2BDZ.JRTCKXETXF.6YS6EN2CT7": {
                            "unit": "Hrs",
                            "endRange": "Inf",
                            "description": f"${usd} per Hosting {name} hour in US East (Ohio)",
                            "appliesTo": [],
                            "beginRange": "0",
                            "pricePerUnit": {"USD": usd},
                        }
                    },
                    "effectiveDate": "2026-09-01T00:00:00Z",
                    "offerTermCode": "JRTCKXETXF",
                    "termAttributes": {},
                }
            }
        },
        "version": "20260920025606",
        "publicationDate": "2026-09-20T02:56:06Z",
    }


def read(*products: dict[str, Any] | str) -> live_prices.Products:
    """Read products of a page."""
    texts = (one if isinstance(one, str) else json.dumps(one) for one in products)
    return live_prices.read_products(texts, "us-east-2")


def dimension(document: dict[str, Any]) -> dict[str, Any]:
    """Return the one price of a product, to change it."""
    (term,) = document["terms"]["OnDemand"].values()
    (found,) = term["priceDimensions"].values()
    assert isinstance(found, dict)
    return found


def test_the_price_of_real_time_inference_is_read() -> None:
    """By the usage type's own name of the instance."""
    found = read(product(), product("ml.c5.xlarge", "0.2040000000", usage="Host:ml.c5.xlarge"))

    assert found.usd_per_hour == {"ml.g6.xlarge": 1.1267, "ml.c5.xlarge": 0.204}
    assert found.skipped == ()


@pytest.mark.parametrize(
    "other",
    [
        pytest.param(product(component="studio-jupyterlab"), id="a notebook's"),
        pytest.param(product(region="us-east-1"), id="another region's"),
        pytest.param(product(usage="USE2-AsyncInf:ml.g6.xlarge"), id="asynchronous inference"),
        pytest.param(product(usage="USE2-Host:VolumeUsage.gp2"), id="a volume's"),
        pytest.param(product(usage=""), id="no usage type"),
    ],
)
def test_what_is_something_else_is_no_word_worth(other: dict[str, Any]) -> None:
    """A filter may let it through, and it is neither a price of ours nor wrong."""
    assert read(other) == live_prices.Products({}, ())


def changed(**fields: Any) -> dict[str, Any]:
    """Return a product whose one price says something else."""
    made = product()
    dimension(made).update(fields)
    return made


def without_terms() -> dict[str, Any]:
    """Return a product without a price of any kind."""
    made = product()
    made["terms"] = {"OnDemand": {}}
    return made


def twice() -> dict[str, Any]:
    """Return a product with two prices."""
    made = product()
    (term,) = made["terms"]["OnDemand"].values()
    term["priceDimensions"]["second"] = copy.deepcopy(dimension(made))
    return made


@pytest.mark.parametrize(
    ("malformed", "word"),
    [
        pytest.param(
            "no JSON", "a product that is not as AWS's products are (JSONDecodeError)", id="no JSON"
        ),
        pytest.param("[]", "a product that is not as AWS's products are (TypeError)", id="a list"),
        pytest.param('{"product": {}}', "(KeyError)", id="no attributes"),
        pytest.param(changed(unit="Month"), "priced by 'Month', not by the hour", id="by the month"),
        pytest.param(changed(pricePerUnit={"CNY": "8"}), "no price in USD", id="another currency"),
        pytest.param(changed(pricePerUnit={"USD": "free"}), "no price in USD", id="a word"),
        pytest.param(changed(pricePerUnit={"USD": "0.0000000000"}), "which is no price", id="nothing"),
        pytest.param(changed(pricePerUnit={"USD": "-1"}), "which is no price", id="less than nothing"),
        pytest.param(changed(pricePerUnit={"USD": "NaN"}), "which is no price", id="not a number"),
        pytest.param(changed(pricePerUnit={"USD": "Infinity"}), "which is no price", id="endless"),
        pytest.param(changed(pricePerUnit={"USD": "10000"}), "which is no price", id="too dear"),
        pytest.param(without_terms(), "has 0 on-demand prices", id="no terms"),
        pytest.param(twice(), "has 2 on-demand prices in one product", id="two"),
    ],
)
def test_a_product_that_says_it_otherwise_is_left_out_with_a_word(
    malformed: dict[str, Any] | str, word: str
) -> None:
    """The others count all the same, and nothing ever costs 0."""
    found = read(malformed, product("ml.c5.xlarge", "0.204"))

    assert found.usd_per_hour == {"ml.c5.xlarge": 0.204}
    (said,) = found.skipped
    assert word in said


def test_two_prices_of_one_type_are_none() -> None:
    """Which of them holds is not guessed; the same one twice is one."""
    found = read(
        product(), product(usd="1.2"), product("ml.c5.xlarge", "0.204"), product("ml.c5.xlarge", "0.2040")
    )

    assert found.usd_per_hour == {"ml.c5.xlarge": 0.204}
    assert found.skipped == ("ml.g6.xlarge has 2 prices: 1.1267, 1.2",)


@given(
    st.recursive(
        st.none() | st.booleans() | st.floats() | st.text(),
        lambda one: (
            st.lists(one)
            | st.dictionaries(
                st.sampled_from(["product", "attributes", "terms", "OnDemand", "component", "usagetype"]), one
            )
        ),
    )
)
def test_no_document_ends_the_reading(document: Any) -> None:
    """Whatever AWS may send one day."""
    found = live_prices.read_products([json.dumps(document)], "us-east-1")

    assert found.usd_per_hour == {}


KEPT = PriceFile("us-east-1", NOW, {"ml.r5.xlarge": 0.31, "ml.g6.xlarge": 1.2})


def test_a_file_says_what_was_read() -> None:
    """To the second and the cent."""
    assert live_prices.read_file(json.dumps(KEPT.to_json()), "f") == KEPT


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("", id="empty"),
        pytest.param("[]", id="a list"),
        pytest.param('{"region": "us-east-1"}', id="a part"),
        pytest.param(json.dumps({**KEPT.to_json(), "read_at": "yesterday"}), id="no time"),
        pytest.param(json.dumps({**KEPT.to_json(), "read_at": "2026-11-30T04:00:00"}), id="no zone"),
        pytest.param(json.dumps({**KEPT.to_json(), "region": 1}), id="no region"),
        pytest.param(json.dumps({**KEPT.to_json(), "usd_per_hour": {"ml.r5.xlarge": 0}}), id="nothing"),
        pytest.param(json.dumps({**KEPT.to_json(), "usd_per_hour": {"ml.r5.xlarge": "x"}}), id="a word"),
        pytest.param(json.dumps({**KEPT.to_json(), "usd_per_hour": {"r5": 1}}), id="no type"),
        pytest.param(json.dumps({**KEPT.to_json(), "usd_per_hour": []}), id="a list of prices"),
    ],
)
def test_what_is_no_such_file_is_refused_with_the_command(text: str) -> None:
    """By its name."""
    with pytest.raises(InvalidInput, match=r"prices\.json.*`sealift prices --refresh` writes it anew"):
        live_prices.read_file(text, "prices.json")


def test_a_list_says_whose_it_is_and_when_it_is_old() -> None:
    """Three months, as prices do not change often."""
    assert KEPT.listed["ml.r5.xlarge"] == instance_types.ListedPrice(
        0.31, "AWS's price list for us-east-1, read 2026-11-30"
    )
    assert KEPT.age(NOW + timedelta(days=3, hours=2)) == "3 d 2 h"
    assert not KEPT.is_old(NOW + timedelta(days=90))
    assert KEPT.is_old(NOW + timedelta(days=90, seconds=1))
