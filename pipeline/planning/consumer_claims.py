"""Whose a consumer is: what one service may not take from another by accident.

Pure: decides on what the variables hold now, and whose the endpoints there are. A consumer that the request names is
refused when another service has it, unless the entry says `take_over`; the stack's own consumer, which nobody named,
stays with the service that had it first, and the deployment continues without it. What no service of Sealift serves is
a person's, and is switched as it was requested.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from pipeline import payload
from pipeline.errors import ConsumerTaken, Problem
from pipeline.hosting import NO_SWITCH, NOBODY
from pipeline.planning import consumer
from pipeline.state_data import switch_types

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from pipeline.state_data.request_types import RequestedConsumer


@dataclass(frozen=True, slots=True)
class Claim:
    """A consumer that another service has."""

    function_name: str
    variable: str
    service: str
    """The one that has it."""
    endpoint: str
    """Of that service, which the variable names."""

    @property
    def stays(self) -> str:
        """Who keeps it, in a few words."""
        return f"{self.variable} of {self.function_name} stays with service {self.service!r}"

    @property
    def note(self) -> str:
        """Why a deployment continues without it, and how it would be taken over."""
        return (
            f"{self.stays} (endpoint {self.endpoint!r}), which had the stack's consumer first: this deployment "
            f"switches none; to take it over, name it: {entry(self.function_name, self.variable)}"
        )


def entry(function_name: str, variable: str) -> str:
    """Return the part of a request that takes a consumer over, as JSON."""
    where = "" if variable == consumer.VARIABLE else f', "variable": "{variable}"'
    return f'"consumer": {{"function_name": "{function_name}"{where}, "take_over": true}}'


def of_others(
    consumers: Sequence[RequestedConsumer],
    values: Sequence[str | None],
    owners: Mapping[str, str],
    service: str,
) -> list[Claim]:
    """Return the consumers that other services have.

    Args:
        consumers: as the request names them.
        values: what the variable of each holds.
        owners: the service of each endpoint that is one of Sealift's, by its name.
        service: the one that asks.
    """
    found = []
    for one, value in zip(consumers, values, strict=True):
        other = owners.get(value or "")
        if value and other and other != service:
            found.append(Claim(one.function_name, one.variable, other, value))
    return found


def left(claims: Sequence[Claim], consumers: Sequence[RequestedConsumer], *, default: bool) -> list[Claim]:
    """Return the claims because of which a deployment continues without its consumer; none where it may be taken over.

    Args:
        claims: of other services, on the request's consumers.
        consumers: as the request names them.
        default: whether they are the stack's own, which nobody named.

    Raises:
        ConsumerTaken: with every consumer that the request names and does not say to take over.
    """
    taken = [(one.function_name, one.variable) for one in consumers if one.take_over]
    unasked = [one for one in claims if (one.function_name, one.variable) not in taken]
    if not default:
        _refuse(unasked)
    return unasked


def _refuse(claims: Sequence[Claim]) -> None:
    problems = [
        Problem(
            ConsumerTaken.__name__,
            f"{one.variable} of {one.function_name!r} names endpoint {one.endpoint!r} of the service {one.service!r}",
            "a consumer that no other service of Sealift serves",
            "add \"take_over\": true to its entry in 'consumer' to take it from that service, name another function or "
            'variable, or say "consumer": null to deploy without one',
        )
        for one in claims
    ]
    if problems:
        raise ConsumerTaken("consumer", problems)


def without(claims: Sequence[Claim], notes: Sequence[str]) -> switch_types.Instead:
    """Return what of a plan is otherwise when its consumers stay with others.

    Args:
        claims: of the others.
        notes: the plan's.
    """
    return switch_types.Instead(
        consumers=(),
        switch=NO_SWITCH,
        callers=payload.cut(f"{NOBODY} ({', '.join(one.stays for one in claims)})"),
        notes=tuple(payload.cut_all([*(one.note for one in claims), *notes])),
    )
