"""Waiting for AWS by botocore's waiters, which know which status means what.

Owns the bound, and what an end means that is none of success. For the command line alone: in the workflow the state
machine owns time.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError, WaiterError

if TYPE_CHECKING:
    from collections.abc import Mapping


def wait(
    client: Any, waiter: str, *, every_s: float, most_s: float, **request: Any
) -> Mapping[str, Any] | None:
    """Wait until a waiter is content; return None then, else the response that it ended with.

    That is one whose status is a failure to the waiter, or the last one when the time was up. One call is made however
    little time there is.

    Args:
        client: of the service; of any, as in `paging`.
        waiter: as botocore's waiters-2.json has it, in snake case.
        every_s: seconds between two calls.
        most_s: seconds in all.
        request: of the waiter's operation.

    Raises:
        ClientError: as AWS answers, but for the error that the waiter waits for.
    """
    times = max(1, math.ceil(most_s / every_s)) if every_s else 1
    try:
        client.get_waiter(waiter).wait(**request, WaiterConfig={"Delay": every_s, "MaxAttempts": times})
    except WaiterError as ended:
        response: Mapping[str, Any] = ended.last_response
        if "Error" in response:
            raise ClientError(response, waiter) from ended  # type: ignore[arg-type]
        return response
    return None
