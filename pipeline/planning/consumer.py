"""The consumer Lambda's switch, as decisions on what was read; no call is made here.

A switch changes one environment variable. All other variables stay as they are, because Lambda's
UpdateFunctionConfiguration replaces the whole map and this module merges into the map that was read.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Final

from pipeline import payload
from pipeline.errors import ConsumerUnreadable, Problem
from pipeline.planning import function_names
from pipeline.settings import KMS_KEYS, STACK
from pipeline.state_data.request_types import Canary, RequestedConsumer

if TYPE_CHECKING:
    from collections.abc import Sequence


class SwitchStep(StrEnum):
    """What to do next with a consumer that was read."""

    WAIT = "wait"
    """Somebody's update is still in progress."""
    UPDATE = "update"
    DONE = "done"
    """The variable has the wanted value already."""
    FOREIGN = "foreign"
    """The variable holds a value that neither this execution nor its snapshot knows."""


VARIABLE: Final = "ENDPOINT_NAME"
"""The variable that holds the endpoint's name unless a request says otherwise."""

LOOK_S = 30
"""Seconds between two looks at alarms: an alarm's state lasts at least a minute, so no state is missed."""


def bake(bake_s: int) -> tuple[int, int]:
    """Return how often to look at a canary's alarms, and after how many seconds each; together at least `bake_s`."""
    looks = math.ceil(bake_s / LOOK_S)
    return looks, math.ceil(bake_s / looks)


def longest_bake(consumers: Sequence[RequestedConsumer]) -> int:
    """Return the seconds that canaries are watched together: as long as the most careful one asks for."""
    return max(canary.bake_s for _, canary in in_steps(consumers))


def in_steps(consumers: Sequence[RequestedConsumer]) -> list[tuple[RequestedConsumer, Canary]]:
    """Return those that get the new endpoint in two steps, each with how."""
    return [(one, one.canary) for one in consumers if one.canary is not None]


def known_as(asked: RequestedConsumer) -> tuple[str, str]:
    """Return what a consumer is: a function and the variable of it that names the endpoint."""
    return function_names.name_of(asked.function_name), asked.variable


def mark(endpoint: str) -> str:
    """Return the description of the versions that are published for an endpoint; it tells ours from others'."""
    return f"Sealift: {endpoint}"


def marked(description: str | None) -> str | None:
    """Return the endpoint that a version was published for, by its description; None when it is none of ours."""
    text = description or ""
    return text.removeprefix(mark("")) or None if text.startswith(mark("")) else None


@dataclass(frozen=True, slots=True)
class Alias:
    """Where an alias sends its calls."""

    version: str
    weights: dict[str, float]
    """The parts of the calls that other versions get."""
    revision_id: str | None = None

    @classmethod
    def from_response(cls, response: Any) -> Alias:
        """Read a GetAlias response, or an alias of ListAliases."""
        weights = (response.get("RoutingConfig") or {}).get("AdditionalVersionWeights") or {}
        return cls(response["FunctionVersion"], dict(weights), response.get("RevisionId"))

    @property
    def versions(self) -> set[str]:
        """All versions that get calls."""
        return {self.version, *self.weights}


def deletable(versions: Sequence[Any], aliases: Sequence[Any], variable: str, endpoint: str) -> list[str]:
    """Return the versions that were published for an endpoint and that no alias refers to.

    Args:
        versions: of ListVersionsByFunction.
        aliases: of ListAliases.
        variable: the one that holds the endpoint's name.
        endpoint: the endpoint that is undone.
    """
    used = {version for alias in aliases for version in Alias.from_response(alias).versions}
    return [
        one["Version"]
        for one in versions
        if one["Version"].isdigit()
        and one["Version"] not in used
        and one.get("Description") == mark(endpoint)
        and Configuration.from_response(one).variables.get(variable) == endpoint
    ]


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
        """Read a GetFunctionConfiguration response, or a version of ListVersionsByFunction.

        Raises:
            ConsumerUnreadable: when Lambda could not decrypt the variables for the caller: AWS leaves them out then,
                and they look like none.
        """
        environment = response.get("Environment") or {}
        if environment.get("Error"):
            raise _unreadable(response, environment["Error"])
        return cls(
            function_name=response["FunctionName"],
            variables=dict(environment.get("Variables") or {}),
            revision_id=response.get("RevisionId"),
            updating=response.get("LastUpdateStatus") == "InProgress" or response.get("State") == "Pending",
            version=response.get("Version", "$LATEST"),
        )


READERS: Final = (
    "PlanDeployment",
    "ReadConsumer",
    "ShiftConsumer",
    "UpdateConsumer",
    "RetirePrevious",
    "RollBack",
    "Sweep",
)
"""The tasks that read a consumer's variables: they need kms:Decrypt where a key of the account's own encrypts them."""
WRITERS: Final = ("ShiftConsumer", "UpdateConsumer", "RollBack")
"""Those that write them, and so need kms:Encrypt and kms:CreateGrant too."""


def _unreadable(response: Any, error: Any) -> ConsumerUnreadable:
    name, key = response["FunctionName"], response.get("KMSKeyArn")
    text = f"{error.get('ErrorCode', '')}: {error.get('Message', '')}".strip(": ")
    seen = f"the environment variables of {name!r} cannot be read" + (
        f" with the KMS key {key}" if key else ""
    )
    command = function_names.deploy(KMS_KEYS, str(key), STACK)
    way = (
        f"run `{command}` (with the keys that it names already, between commas, and the stack's --stack), which allows "
        f"the key to the roles of {', '.join(READERS)}: kms:Decrypt, and kms:Encrypt and kms:CreateGrant to those that "
        "write; the key's policy must let the account's IAM policies allow it, and a person who runs a command needs "
        "kms:Decrypt too"
    )
    fix = way if key else "look at the function's configuration in the Lambda console"
    problem = Problem(
        ConsumerUnreadable.__name__,
        f"{seen}: {text}" if text else seen,
        "to read all of them, since a change of one writes them all",
        fix,
    )
    return ConsumerUnreadable(f"consumer {name}", [problem])


def next_step(now: Configuration, variable: str, *, wanted: str | None, expected: str | None) -> SwitchStep:
    """Return what brings `variable` from `expected` to `wanted`; None stands for "not there".

    A retry after a crash finds the wanted value in place and has nothing to do; a value that is neither the
    expected nor the wanted one belongs to somebody else, and is not overwritten.
    """
    if now.updating:
        return SwitchStep.WAIT
    value = now.variables.get(variable)
    if value == wanted:
        return SwitchStep.DONE
    return SwitchStep.UPDATE if value == expected else SwitchStep.FOREIGN


MOST_VALUE = 256
"""Bytes of a variable's value that is written down: an endpoint's name has 63 characters."""


def unfit(variable: str, function: str, value: str | None) -> Problem | None:
    """Return what is wrong with a variable whose value is too long to be an endpoint's name, and to be put back."""
    if value is None or payload.size(value) <= MOST_VALUE:
        return None
    return Problem(
        "NotAnEndpointsName",
        f"{variable} of {function} has {len(value):,} characters: {payload.cut(value, 100)}",
        f"an endpoint's name, or at most {MOST_VALUE} bytes to put back",
        "name the variable that holds the endpoint's name in 'consumer.variable'",
    )


def unfit_parameter(name: str, value: str | None) -> Problem | None:
    """Return the same of a service's parameter."""
    problem = unfit("the value", f"parameter {name}", value)
    fix = f"delete it, `aws ssm delete-parameter --name {name}`; the next deployment makes it again"
    return replace(problem, fix=fix) if problem else None


def merged(variables: dict[str, str], variable: str, value: str | None) -> dict[str, str]:
    """Return the whole map with one variable set, or removed for None."""
    others = {name: kept for name, kept in variables.items() if name != variable}
    return others if value is None else {**others, variable: value}


def answer_text(answer: Any) -> str:
    """Return the text of a consumer's answer: its `answer`, its `body`, or the whole of it as JSON."""
    if isinstance(answer, str):
        return answer
    if isinstance(answer, dict):
        for name in ("answer", "body"):
            if isinstance(answer.get(name), str):
                return str(answer[name])
    return json.dumps(answer)


def is_text(answer: Any) -> bool:
    """Return whether what a consumer said is a text, rather than JSON with whatever in it."""
    text = answer_text(answer)
    if not isinstance(answer, str) and text not in (answer.values() if isinstance(answer, dict) else ()):
        return False
    try:
        return not isinstance(json.loads(text), dict | list)
    except (ValueError, RecursionError):
        return True


def refusal(answer: Any) -> str | None:
    """Return why an answer is a refusal although the function itself did not fail: an HTTP status of 400 or more."""
    status = answer.get("statusCode") if isinstance(answer, dict) else None
    return f"its statusCode is {status}" if isinstance(status, int) and status >= 400 else None
