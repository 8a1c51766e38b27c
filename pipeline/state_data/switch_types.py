"""The consumers and the service's parameter as they were before the switch, for the states after ReadConsumer."""

from __future__ import annotations

from dataclasses import dataclass

from pipeline.state_data.request_types import RequestedConsumer


@dataclass(frozen=True, slots=True)
class Before:
    """How the consumer was before the switch: enough to put it back exactly."""

    function_name: str
    variable: str
    value: str | None
    """None: the variable did not exist."""
    alias: str | None
    alias_version: str | None
    alias_routing: dict[str, float] | None


@dataclass(frozen=True, slots=True)
class ParameterBefore:
    """How the parameter was that names the service's endpoint: enough to put it back exactly."""

    name: str
    value: str | None
    """None: there was none."""
    tags: dict[str, str]
    """Those that Sealift sets."""


@dataclass(frozen=True, slots=True)
class Instead:
    """What of a plan is otherwise when its consumer stays with the service that has it."""

    consumers: tuple[RequestedConsumer, ...]
    switch: str
    callers: str
    notes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Read:
    """The result of ReadConsumer."""

    consumers: tuple[Before, ...]
    """In the plan's order; empty when none is to be switched after all."""
    reads: int
    """How often they were read: again each time that another deployment came first."""
    instead: Instead | None
    """None: the plan stands."""
    parameter: ParameterBefore | None = None
    """None of a release that knew of none."""
