"""Making and deleting metric filters of an endpoint's log: the calls behind `pipeline.planning.metrics`.

Each may be called again after any failure. Whoever deletes an endpoint deletes its filters with `delete`: its log
stays, and with it would they.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from pipeline import inference_component
from pipeline.aws import service_errors
from pipeline.planning import metrics

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from mypy_boto3_logs import CloudWatchLogsClient


def put(client: CloudWatchLogsClient, requests: Iterable[Mapping[str, Any]]) -> None:
    """Make filters; one that exists is brought to what the request says.

    The log group is SageMaker's to make, with the first line of a container. One that is not there yet is made.
    """
    for request in requests:
        try:
            client.put_metric_filter(**request)
        except ClientError as error:
            if not service_errors.is_missing(error):
                raise
            _make_group(client, request["logGroupName"])
            client.put_metric_filter(**request)


def delete(client: CloudWatchLogsClient, endpoint: str) -> list[str]:
    """Delete the filters of an endpoint's log, and return the names of those that were there.

    Whoever deletes what is left of an endpoint that is gone cannot tell whether it hosted an inference component.
    """
    groups = (inference_component.log_group(endpoint, component=one) for one in (False, True))
    return [name for group in groups for name in _delete(client, group)]


def _delete(client: CloudWatchLogsClient, group: str) -> list[str]:
    # One page holds 50, which is more than there are. A group that is gone, or never was, has none.
    found = service_errors.or_none(
        client.describe_metric_filters, logGroupName=group, filterNamePrefix=metrics.PREFIX
    )
    there = [str(one["filterName"]) for one in found["metricFilters"]] if found else []
    for name in there:
        # It may be deleted meanwhile, by another try of the same.
        service_errors.or_none(client.delete_metric_filter, logGroupName=group, filterName=name)
    return there


def _make_group(client: CloudWatchLogsClient, group: str) -> None:
    try:
        client.create_log_group(logGroupName=group)
    except ClientError as error:
        if not service_errors.is_already_existing(error):
            raise
