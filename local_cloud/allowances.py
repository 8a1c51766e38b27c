"""Service Quotas for the local cloud: the one figure of SageMaker's that has a known code, from the hosting's quotas.

Every other quota is unknown, as the memory and the endpoint quota are in AWS; moto knows none of SageMaker's.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from local_cloud.faults import Response, render
from pipeline import limits

if TYPE_CHECKING:
    from collections.abc import Callable

    from local_cloud.calls import AwsCall
    from local_cloud.hosting import Quotas

NAME = "Maximum total concurrency that can be allocated across all serverless endpoints"


def answer(call: AwsCall, body: bytes, quotas: Callable[[], Quotas]) -> Response:
    """Return the answer to GetServiceQuota; NoSuchResourceException for what is not known."""
    asked = json.loads(body or b"{}")
    wanted = (asked.get("ServiceCode"), asked.get("QuotaCode"))
    if call.operation != "GetServiceQuota" or wanted != ("sagemaker", limits.CONCURRENCY_QUOTA_CODE):
        return render(
            call,
            "NoSuchResourceException",
            "The request failed because the specified service quota does not exist.",
        )
    quota = {
        "ServiceCode": "sagemaker",
        "ServiceName": "Amazon SageMaker",
        "QuotaCode": limits.CONCURRENCY_QUOTA_CODE,
        "QuotaName": NAME,
        "Value": float(quotas().total_concurrency),
        "Unit": "None",
        "Adjustable": True,
        "GlobalQuota": False,
    }
    headers = {"Content-Type": "application/x-amz-json-1.1"}
    return Response(200, headers, json.dumps({"Quota": quota}).encode())
