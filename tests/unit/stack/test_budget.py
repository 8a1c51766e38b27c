"""The budget alarm: in the template only where somebody wants it, and told to the topic that takes it."""

from __future__ import annotations

import json
from typing import Any

import pytest
from botocore.exceptions import ClientError

from pipeline import package_files
from pipeline.stack import budget, template
from pipeline.stack.budget import BudgetStatus

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


STACK = {
    "StackName": "harbour",
    "StackId": "arn:aws:cloudformation:eu-west-1:123456789012:stack/harbour/0a",
    "Parameters": [{"ParameterKey": "BudgetUsdPerMonth", "ParameterValue": "100"}],
}
NOTIFIED = [
    {"NotificationType": "FORECASTED", "Threshold": 80.0, "NotificationState": "ALARM"},
    {"NotificationType": "ACTUAL", "Threshold": 100.0, "NotificationState": "OK"},
    {"NotificationType": "ACTUAL", "Threshold": 50.0},
]


class Budgets:
    """AWS Budgets, which has one or refuses to tell."""

    def __init__(self, spend: dict[str, Any] | None = None, refuses: str = "") -> None:
        self.asked: list[dict[str, Any]] = []
        self._spend, self._refuses = spend, refuses

    def describe_budget(self, **request: Any) -> dict[str, Any]:
        """Return the budget."""
        self.asked.append(request)
        if self._refuses:
            raise ClientError({"Error": {"Code": self._refuses, "Message": "no"}}, "DescribeBudget")
        return {"Budget": {"CalculatedSpend": self._spend} if self._spend else {}}

    def describe_notifications_for_budget(self, **request: Any) -> dict[str, Any]:
        """Return what it tells when."""
        self.asked.append(request)
        return {"Notifications": NOTIFIED}


def test_a_budget_is_told_as_aws_tells_it() -> None:
    """What is spent, what is forecast, and which of its two words the topic was told."""
    spend = {
        "ActualSpend": {"Amount": "12.3", "Unit": "USD"},
        "ForecastedSpend": {"Amount": "95", "Unit": "USD"},
    }
    client = Budgets(spend)

    found = budget.read(client, STACK)

    assert found == BudgetStatus(100.0, 12.3, 95.0, ("more than 80 % of it is forecast",))
    assert client.asked == [{"AccountId": "123456789012", "BudgetName": "harbour-eu-west-1"}] * 2
    assert "$12.30 spent, $95.00 forecast" in str(found)
    assert str(found).endswith("ALARM: more than 80 % of it is forecast")
    assert found.to_json()["alarms"] == ["more than 80 % of it is forecast"]


def test_what_aws_does_not_tell_of_a_budget_yet_is_said() -> None:
    """In the first weeks there is no forecast."""
    found = budget.read(Budgets({"ActualSpend": {"Amount": "0", "Unit": "USD"}}), STACK)

    assert "$0.00 spent, no forecast yet" in str(found)
    assert "not known what is spent" in str(budget.read(Budgets(), STACK))
    assert str(BudgetStatus(5.0)).endswith("; no alarm")


@pytest.mark.parametrize(
    ("code", "why"),
    [
        pytest.param("AccessDeniedException", "it could not be looked at: ", id="denied"),
        pytest.param("NotFoundException", "`sealift deploy` makes it", id="gone"),
        pytest.param("ThrottlingException", "it could not be looked at: ", id="throttled"),
    ],
)
def test_a_budget_that_cannot_be_seen_breaks_nothing(code: str, why: str) -> None:
    """It is told why, beside what the stack says."""
    found = budget.read(Budgets(refuses=code), STACK)

    assert found is not None
    assert why in found.unseen
    assert str(found).startswith("$100 a month for all of SageMaker; ")
    assert found.to_json()["unseen"] == found.unseen


@pytest.mark.parametrize("parameters", [[], [{"ParameterKey": "BudgetUsdPerMonth", "ParameterValue": "0"}]])
def test_without_a_budget_nobody_is_asked(parameters: list[dict[str, str]]) -> None:
    """Nor where it was taken back."""
    client = Budgets()

    assert budget.read(client, {**STACK, "Parameters": parameters}) is None
    assert client.asked == []
