"""Making, reading and deleting alarms: the calls behind `pipeline.planning.alarms`.

Each may be called again after any failure. Whoever deletes an endpoint deletes its alarms with `delete`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from pipeline.planning import alarms

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from pipeline.aws.clients import CloudWatchClient

AT_ONCE = 100
"""Names that DescribeAlarms and DeleteAlarms take."""


def put(client: CloudWatchClient, requests: Iterable[Mapping[str, Any]]) -> None:
    """Make alarms; one that exists is brought to what the request says, its tags and its state stay."""
    for request in requests:
        client.put_metric_alarm(**request)


def found(
    client: CloudWatchClient, names: Sequence[str], *, composite: bool = False
) -> list[Mapping[str, Any]]:
    """Return those of the named alarms that exist, as DescribeAlarms has them.

    Args:
        client: of CloudWatch.
        names: of alarms.
        composite: whether some may be composite alarms. An endpoint's own never are, and who asks for composite ones
            must be allowed to look at all alarms (`*`), whatever the names are
            (https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/API_DescribeAlarms.html).
    """
    types: list[Literal["MetricAlarm", "CompositeAlarm"]] = ["MetricAlarm"]
    if composite:
        types.append("CompositeAlarm")
    seen: list[Mapping[str, Any]] = []
    for n in range(0, len(names), AT_ONCE):
        response = client.describe_alarms(
            AlarmNames=list(names[n : n + AT_ONCE]),
            AlarmTypes=types,
            MaxRecords=AT_ONCE,
        )
        seen += [*response.get("MetricAlarms", ()), *response.get("CompositeAlarms", ())]
    return seen


def delete(client: CloudWatchClient, endpoint: str) -> list[str]:
    """Delete the alarms of an endpoint, and return the names of those that were there.

    Only those that exist are named: with one unknown name DeleteAlarms deletes none.
    """
    there = [str(alarm["AlarmName"]) for alarm in found(client, alarms.names(endpoint))]
    if there:
        client.delete_alarms(AlarmNames=there)
    return there
