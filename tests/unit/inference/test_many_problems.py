"""A request with more wrong in it than anybody reads."""

from __future__ import annotations

import json
from typing import Any

import pytest

from inference.sealift_messages import MOST_PROBLEMS
from inference.sealift_request import BadRequest, parse_request

NAMES = {f"field_{number}": 1 for number in range(100_000)}


@pytest.mark.parametrize(
    "body",
    [
        pytest.param({"prompt": "hi", **NAMES}, id="fields"),
        pytest.param({"inputs": "hi", "parameters": NAMES}, id="parameters"),
        pytest.param({"messages": [{"role": "user", "content": "hi", **NAMES}]}, id="of a message"),
        pytest.param({"messages": [1] * 100_000}, id="messages"),
        pytest.param({"input": [1] * 100_000, "instructions": "x"}, id="items"),
    ],
)
def test_no_more_is_looked_for_than_is_told(body: Any) -> None:
    """Each takes a millisecond, in which nobody else is answered."""
    with pytest.raises(BadRequest) as caught:
        parse_request(body)

    said = caught.value.reason
    assert said.startswith(f"{MOST_PROBLEMS} problems: (1) ")
    assert said.endswith("; more was not looked for")
    assert len(json.dumps(said)) < 200_000


def test_what_is_told_is_all_there_is_where_it_is_less() -> None:
    """Nothing hints at more then."""
    with pytest.raises(BadRequest) as caught:
        parse_request({"prompt": "hi", **dict(list(NAMES.items())[: MOST_PROBLEMS - 1])})

    assert caught.value.reason.startswith(f"{MOST_PROBLEMS - 1} problems: ")
    assert "looked for" not in caught.value.reason
