"""The consumer Lambda's switch, as decisions on what was read; no call is made here.

A switch changes one environment variable. All other variables stay as they are, because Lambda's
UpdateFunctionConfiguration replaces the whole map and this module merges into the map that was read.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, TypedDict


class Before(TypedDict):
    """How the consumer was before the switch: enough to put it back exactly."""

    function_name: str
    variable: str
    value: str | None
    """None: the variable did not exist."""
    alias: str | None
    alias_version: str | None
    alias_routing: dict[str, float] | None
    reads: int
    """How often it was read: again each time that another deployment came first."""


class Step(StrEnum):
    """What to do next with a consumer that was read."""

    WAIT = "wait"
    """Somebody's update is still in progress."""
    UPDATE = "update"
    DONE = "done"
    """The variable has the wanted value already."""
    FOREIGN = "foreign"
    """The variable holds a value that neither this execution nor its snapshot knows."""


@dataclass(frozen=True, slots=True)
class Configuration:
    """What GetFunctionConfiguration said, as far as the switch needs it."""

    function_name: str
    variables: dict[str, str]
    revision_id: str | None
    updating: bool
    version: str

    @classmethod
    def from_response(cls, response: Any) -> Configuration:
        """Read a GetFunctionConfiguration response."""
        return cls(
            function_name=response["FunctionName"],
            variables=dict((response.get("Environment") or {}).get("Variables") or {}),
            revision_id=response.get("RevisionId"),
            updating=response.get("LastUpdateStatus") == "InProgress" or response.get("State") == "Pending",
            version=response.get("Version", "$LATEST"),
        )


def next_step(now: Configuration, variable: str, *, wanted: str | None, expected: str | None) -> Step:
    """Return what brings `variable` from `expected` to `wanted`; None stands for "not there".

    A retry after a crash finds the wanted value in place and has nothing to do; a value that is neither the
    expected nor the wanted one belongs to somebody else, and is not overwritten.
    """
    if now.updating:
        return Step.WAIT
    value = now.variables.get(variable)
    if value == wanted:
        return Step.DONE
    return Step.UPDATE if value == expected else Step.FOREIGN


def merged(variables: dict[str, str], variable: str, value: str | None) -> dict[str, str]:
    """Return the whole map with one variable set, or removed for None."""
    others = {name: kept for name, kept in variables.items() if name != variable}
    return others if value is None else {**others, variable: value}


def said(answer: Any) -> str:
    """Return the text of a consumer's answer: its `answer`, its `body`, or the whole of it as JSON."""
    if isinstance(answer, str):
        return answer
    if isinstance(answer, dict):
        for name in ("answer", "body"):
            if isinstance(answer.get(name), str):
                return str(answer[name])
    return json.dumps(answer)


def refusal(answer: Any) -> str | None:
    """Return why an answer is a refusal although the function itself did not fail: an HTTP status of 400 or more."""
    status = answer.get("statusCode") if isinstance(answer, dict) else None
    return f"its statusCode is {status}" if isinstance(status, int) and status >= 400 else None
