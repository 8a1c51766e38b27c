"""AWS's lists, page by page, by answers that are written down: how many are read, and whether that is all."""

from __future__ import annotations

from typing import Any

import pytest
from botocore.stub import Stubber

from pipeline.aws import paging
from pipeline.aws.clients import Clients


def rows(count: int) -> list[dict[str, Any]]:
    """Return rows of ListStateMachines."""
    arn = "arn:aws:states:us-east-1:123456789012:stateMachine:one"
    return [
        {"stateMachineArn": arn, "name": str(number), "type": "STANDARD", "creationDate": 0}
        for number in range(count)
    ]


@pytest.mark.parametrize(
    ("pages", "most", "found", "complete", "asked"),
    [
        pytest.param([2], 4, 2, True, 1, id="all of them on one page"),
        pytest.param([2, 2, 1], 5, 5, True, 3, id="as many as the bound"),
        pytest.param([2, 2, 0], 4, 4, False, 2, id="at the bound there are pages that are not asked for"),
        pytest.param([2, 2, 2], 5, 5, False, 3, id="more than the bound on the last page"),
        pytest.param([0, 1], 4, 1, True, 2, id="an empty page before the last"),
        pytest.param([0, 0, 0, 0], 4, 0, False, 3, id="nothing but empty pages"),
    ],
)
def test_a_list_is_read_as_far_as_its_bound(
    pages: list[int], most: int, found: int, complete: bool, asked: int
) -> None:
    """Rows, and pages too: AWS may leave any of them empty."""
    client, calls = Clients(region="us-east-1").stepfunctions, []
    client.meta.events.register("provide-client-params", lambda params, **_: calls.append(params))
    with Stubber(client) as stubber:
        for number, count in enumerate(pages):
            expected = {"maxResults": 2} | ({"nextToken": str(number)} if number else {})
            more = {"nextToken": str(number + 1)} if number + 1 < len(pages) else {}
            stubber.add_response("list_state_machines", {"stateMachines": rows(count), **more}, expected)

        read = paging.read(client, "list_state_machines", "stateMachines", most=most, page_size=2)

    assert (len(read.rows), read.complete, len(calls)) == (found, complete, asked)
