"""Points in time as the state machine compares them; no clock is read here."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta


def later(moment: datetime, seconds: int) -> str:
    """Return the time `seconds` after another as ISO 8601, in the form that the state machine compares."""
    then = moment.astimezone(UTC) + timedelta(seconds=seconds)
    return then.isoformat(timespec="milliseconds").replace("+00:00", "Z")
