"""The stack's budget alarm: what SageMaker costs the account in a month, told to the topic when it becomes too much.

Owns the resource, which is in what `sealift deploy` sends only where an amount is given: CloudFormation knows the type
in part of the regions, and in the others refuses a whole template that has it, whatever its condition. It counts all of
SageMaker in the account, Sealift's or not: a budget by tag would need each tag activated by hand as a cost allocation
tag, and sees no cost before that (https://docs.aws.amazon.com/awsaccountbilling/latest/aboutv2/activating-tags.html).
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Final

from botocore.exceptions import ClientError

from pipeline.aws import service_errors
from pipeline.errors import SealiftError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from pipeline.aws.clients import BudgetsClient

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


# ----------------------------------------------------------------------- how it stands


@dataclass(frozen=True, slots=True)
class BudgetStatus:
    """A stack's budget as AWS tells of it, hours late."""

    usd_per_month: float
    """The amount that the stack's parameters say."""
    spent_usd: float | None = None
    """In this month so far; None where AWS does not tell."""
    forecast_usd: float | None = None
    """Of the whole month; None where AWS does not tell, as in the first weeks."""
    alarms: tuple[str, ...] = ()
    """What the topic was told, in words."""
    unseen: str = ""
    """Why nothing is known of it."""

    def __str__(self) -> str:
        """Return it in words."""
        limit = f"${self.usd_per_month:g} a month for all of SageMaker"
        if self.unseen:
            return f"{limit}; {self.unseen}"
        forecast = "no forecast yet" if self.forecast_usd is None else f"${self.forecast_usd:,.2f} forecast"
        spent = "not known what is spent" if self.spent_usd is None else f"${self.spent_usd:,.2f} spent"
        alarms = f"ALARM: {'; '.join(self.alarms)}" if self.alarms else "no alarm"
        return f"{limit}: {spent}, {forecast} (AWS tells it hours late); {alarms}"

    def to_json(self) -> dict[str, Any]:
        """Return it as a JSON object."""
        return {**asdict(self), "alarms": list(self.alarms), "unseen": self.unseen or None}


def read(client: BudgetsClient, found: Mapping[str, Any]) -> BudgetStatus | None:
    """Return how a stack's budget stands; None where it has none.

    Args:
        client: of AWS Budgets.
        found: the stack, as DescribeStacks has it.
    """
    usd = amount({one["ParameterKey"]: one.get("ParameterValue", "") for one in found.get("Parameters", ())})
    if not usd:
        return None
    _, _, _, region, account, *_ = str(found["StackId"]).split(":")
    named = {"AccountId": account, "BudgetName": f"{found['StackName']}-{region}"}
    try:
        with service_errors.translated():
            there = _ask(client, **named)
    except SealiftError as error:
        return BudgetStatus(usd, unseen=f"it could not be looked at: {error}")
    if there is None:
        return BudgetStatus(usd, unseen="AWS has none of that name: `sealift deploy` makes it")
    spend, notifications = there
    alarms = tuple(_alarms(notifications))
    return BudgetStatus(usd, _usd(spend.get("ActualSpend")), _usd(spend.get("ForecastedSpend")), alarms)


def _ask(client: BudgetsClient, **named: str) -> tuple[Mapping[str, Any], list[Mapping[str, Any]]] | None:
    """Return what is spent of a budget, and its notifications; None where there is no such budget."""
    try:
        spend = client.describe_budget(**named)["Budget"].get("CalculatedSpend", {})
        return spend, client.describe_notifications_for_budget(**named).get("Notifications", [])
    except ClientError as error:
        if service_errors.is_no_such_budget(error):
            return None
        raise


def _usd(spend: Mapping[str, Any] | None) -> float | None:
    return float(spend["Amount"]) if spend else None


def _alarms(notifications: Iterable[Mapping[str, Any]]) -> Iterator[str]:
    for one in notifications:
        if one.get("NotificationState") == "ALARM":
            what = "forecast" if one["NotificationType"] == "FORECASTED" else "spent"
            yield f"more than {one['Threshold']:g} % of it is {what}"
