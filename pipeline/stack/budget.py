"""The stack's budget alarm: what SageMaker costs the account in a month, told to the topic when it becomes too much.

Owns the resource, which is in what `sealift deploy` sends only where an amount is given: CloudFormation knows the type
in part of the regions, and in the others refuses a whole template that has it, whatever its condition. It counts all of
SageMaker in the account, Sealift's or not: a budget by tag would need each tag activated by hand as a cost allocation
tag, and sees no cost before that (https://docs.aws.amazon.com/awsaccountbilling/latest/aboutv2/activating-tags.html).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

PARAMETER: Final = "BudgetUsdPerMonth"
RESOURCE: Final = "Budget"
FORECAST_PERCENT: Final = 80
"""Of the amount: told when the month's forecast is above it."""
ACTUAL_PERCENT: Final = 100


def amount(values: Mapping[str, str]) -> float:
    """Return the USD a month that a stack's parameters say; 0 for none."""
    return float(values.get(PARAMETER) or 0)


def in_force(
    template: dict[str, Any], before: Mapping[str, str], values: Mapping[str, str]
) -> dict[str, Any]:
    """Return a template with the budget, if there is to be one.

    Args:
        template: as loaded.
        before: the parameters of the deployment before, which hold where nothing is said.
        values: those that are given now.
    """
    return added(template) if amount({**before, **values}) else template


def added(template: dict[str, Any]) -> dict[str, Any]:
    """Return a template with the budget."""
    resource = {
        "Type": "AWS::Budgets::Budget",
        "Condition": "HasBudget",
        "DependsOn": "NotificationsPolicy",
        "Properties": {
            "Budget": {
                # A budget's name is the account's, whatever the region.
                "BudgetName": {"Fn::Sub": "${AWS::StackName}-${AWS::Region}"},
                "BudgetType": "COST",
                "TimeUnit": "MONTHLY",
                "BudgetLimit": {"Amount": {"Ref": PARAMETER}, "Unit": "USD"},
                "CostFilters": {"Service": ["Amazon SageMaker"]},
            },
            "NotificationsWithSubscribers": [
                _told("FORECASTED", FORECAST_PERCENT),
                _told("ACTUAL", ACTUAL_PERCENT),
            ],
        },
    }
    return {**template, "Resources": {**template["Resources"], RESOURCE: resource}}


def _told(kind: str, percent: int) -> dict[str, Any]:
    return {
        "Notification": {
            "NotificationType": kind,
            "ComparisonOperator": "GREATER_THAN",
            "Threshold": percent,
            "ThresholdType": "PERCENTAGE",
        },
        "Subscribers": [{"SubscriptionType": "SNS", "Address": {"Ref": "Notifications"}}],
    }


def words(usd: float) -> str:
    """Return in words what a budget does."""
    return (
        f"${usd:g} a month for all of SageMaker in this account: the topic is told when the forecast is above "
        f"{FORECAST_PERCENT} % of it, and when {ACTUAL_PERCENT} % is spent"
    )
