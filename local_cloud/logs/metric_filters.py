"""Metric filters that refuse what AWS refuses, and make metrics of what is logged; moto only keeps them.

Sources: https://docs.aws.amazon.com/AmazonCloudWatchLogs/latest/APIReference/API_PutMetricFilter.html for the bounds: a
group that is there, 100 filters in each, one of a name, three dimensions, no default value beside them. The texts are
OURS where moto has none.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from moto.cloudwatch.models import cloudwatch_backends
from moto.logs.exceptions import (
    InvalidParameterException,
    LimitExceededException,
    ResourceNotFoundException,
)
from moto.logs.models import LogsBackend

from local_cloud.logs import patterns

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

MOST: Final = 100
"""Filters of a log group."""
MOST_DIMENSIONS: Final = 3


def install() -> None:
    """Let moto's logs refuse what AWS refuses of metric filters."""
    LogsBackend.put_metric_filter = _put
    LogsBackend.delete_metric_filter = _delete
    LogsBackend.describe_metric_filters = _describe


def publish(backend: LogsBackend, group: str, timestamp_ms: int, message: str) -> None:
    """Publish what the filters of a group make of an event."""
    moment = datetime.fromtimestamp(timestamp_ms / 1000, UTC).replace(tzinfo=None)
    metrics = cloudwatch_backends[backend.account_id][backend.region_name]
    for namespace, datum in made_of(_of(backend, group), message):
        metrics.put_metric_data(namespace, [{**datum, "Timestamp": moment}])


def made_of(filters: list[Mapping[str, Any]], message: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Give what filters make of an event: namespaces, each with a datum as PutMetricData takes it.

    An event whose value is no number, or that lacks one of the dimensions, makes none.
    """
    for one in filters:
        fields = patterns.parse(one["filterPattern"]).match(message)
        if fields is None:
            continue
        for wanted in one["metricTransformations"]:
            value = wanted["metricValue"]
            number = _number(fields.value(value) if value.startswith("$") else value)
            named = {name: fields.value(selector) for name, selector in wanted.get("dimensions", {}).items()}
            if number is None or None in named.values():
                continue
            yield (
                wanted["metricNamespace"],
                {
                    "MetricName": wanted["metricName"],
                    "Value": number,
                    "Unit": wanted.get("unit", "None"),
                    "Dimensions": [{"Name": name, "Value": text} for name, text in named.items()],
                },
            )


def _number(text: str | None) -> float | None:
    try:
        return None if text is None else float(text)
    except ValueError:
        return None


def _of(backend: LogsBackend, group: str) -> list[Mapping[str, Any]]:
    return [one for one in backend.filters.metric_filters if one["logGroupName"] == group]


def _require_group(backend: LogsBackend, group: str | None) -> None:
    if group is not None and group not in backend.groups:
        raise ResourceNotFoundException


def _put(
    backend: LogsBackend,
    filter_name: str,
    filter_pattern: str,
    log_group_name: str,
    metric_transformations: Any,
) -> None:
    """Make a filter, or change the one of the name."""
    _require_group(backend, log_group_name)
    try:
        patterns.parse(filter_pattern)
    except patterns.PatternRefused as refusal:
        raise InvalidParameterException(f"Invalid metric filter pattern: {refusal}") from refusal
    for wanted in metric_transformations:
        dimensions = wanted.get("dimensions") or {}
        if len(dimensions) > MOST_DIMENSIONS:
            raise InvalidParameterException(f"A metric filter has at most {MOST_DIMENSIONS} dimensions")
        if dimensions and wanted.get("defaultValue") is not None:
            raise InvalidParameterException("A metric filter with dimensions has no default value")
    others = [one for one in _of(backend, log_group_name) if one["filterName"] != filter_name]
    if len(others) >= MOST:
        raise LimitExceededException
    backend.filters.delete_filter(filter_name, log_group_name)
    backend.filters.add_filter(filter_name, filter_pattern, log_group_name, metric_transformations)


def _delete(backend: LogsBackend, filter_name: str | None = None, log_group_name: str | None = None) -> None:
    """Delete a filter that is there."""
    _require_group(backend, log_group_name)
    if all(one["filterName"] != filter_name for one in _of(backend, log_group_name or "")):
        raise ResourceNotFoundException("The specified metric filter does not exist.")
    backend.filters.delete_filter(filter_name, log_group_name)


def _describe(
    backend: LogsBackend,
    prefix: str | None = None,
    log_group_name: str | None = None,
    metric_name: str | None = None,
    metric_namespace: str | None = None,
) -> list[dict[str, Any]]:
    """Return the filters of a group that is there; a prefix counts only with a group."""
    _require_group(backend, log_group_name)
    narrowed = prefix if log_group_name else None
    found: list[dict[str, Any]] = backend.filters.get_matching_filters(
        narrowed, log_group_name, metric_name, metric_namespace
    )
    return found
