"""The budget alarm: in the template only where somebody wants it, and told to the topic that takes it."""

from __future__ import annotations

import json
from typing import Any

import pytest

from pipeline import package_files
from pipeline.stack import budget, template

TEMPLATE = template.load(package_files.template())


@pytest.mark.parametrize(
    ("values", "usd"),
    [
        ({}, 0),
        ({"BudgetUsdPerMonth": "0"}, 0),
        ({"BudgetUsdPerMonth": ""}, 0),
        ({"BudgetUsdPerMonth": "12.5"}, 12.5),
    ],
)
def test_the_parameter_says_how_much(values: dict[str, str], usd: float) -> None:
    """Nothing, or 0, is none; which is what the template says by itself."""
    assert budget.amount(values) == usd
    assert TEMPLATE["Parameters"][budget.PARAMETER]["Default"] == 0


def test_the_template_has_no_budget_of_its_own() -> None:
    """CloudFormation refuses a template with a type that a region lacks, whatever the resource's condition."""
    assert "AWS::Budgets::Budget" not in json.dumps(TEMPLATE)


def test_the_budget_tells_the_topic_before_and_when_it_is_spent() -> None:
    """All of SageMaker in the account; and the topic's policy lets it, and alarms as before, publish."""
    added = budget.added(TEMPLATE)
    made: Any = added["Resources"]["Budget"]

    assert set(added["Resources"]) - set(TEMPLATE["Resources"]) == {"Budget"}
    assert made["Condition"] == TEMPLATE["Resources"][made["DependsOn"]]["Condition"] == "HasBudget"
    assert made["Properties"]["Budget"]["BudgetLimit"] == {
        "Amount": {"Ref": "BudgetUsdPerMonth"},
        "Unit": "USD",
    }
    assert made["Properties"]["Budget"]["CostFilters"] == {"Service": ["Amazon SageMaker"]}
    told = {
        (
            one["Notification"]["NotificationType"],
            one["Notification"]["Threshold"],
            one["Subscribers"][0]["Address"]["Ref"],
        )
        for one in made["Properties"]["NotificationsWithSubscribers"]
    }
    assert told == {("FORECASTED", 80, "Notifications"), ("ACTUAL", 100, "Notifications")}
    policy = TEMPLATE["Resources"]["NotificationsPolicy"]["Properties"]["PolicyDocument"]["Statement"]
    services = {json.dumps(one["Principal"]) for one in policy if one["Action"] == "sns:Publish"}
    assert services == {'{"Service": "cloudwatch.amazonaws.com"}', '{"Service": "budgets.amazonaws.com"}'}
    assert "80 %" in budget.words(50)
    assert "$50 a month" in budget.words(50)


@pytest.mark.parametrize(
    ("before", "values", "there"),
    [
        pytest.param({}, {}, False, id="never wanted"),
        pytest.param({}, {"BudgetUsdPerMonth": "50"}, True, id="wanted now"),
        pytest.param({"BudgetUsdPerMonth": "50"}, {"SweepDelete": "true"}, True, id="wanted before"),
        pytest.param({"BudgetUsdPerMonth": "50"}, {"BudgetUsdPerMonth": "0"}, False, id="not any more"),
    ],
)
def test_what_was_said_before_holds_until_something_else_is(
    before: dict[str, str], values: dict[str, str], there: bool
) -> None:
    """As every parameter does: an update that is about something else takes no budget away."""
    made = budget.in_force(TEMPLATE, before, values)

    assert ("Budget" in made["Resources"]) is there
    assert made == (budget.added(TEMPLATE) if there else TEMPLATE)
