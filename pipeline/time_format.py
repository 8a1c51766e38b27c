"""Points in time as the state machine compares them, and spans of it in words; no clock is read here."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta


def later(moment: datetime, seconds: float) -> str:
    """Return the time `seconds` after another as ISO 8601, in the form that the state machine compares."""
    then = moment.astimezone(UTC) + timedelta(seconds=seconds)
    return then.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def span(seconds: float) -> str:
    """Return a span of time for people, in its two largest units at most: 12 s, 3 min 5 s, 2 h 10 min, 4 d 3 h."""
    whole = max(0, round(seconds))
    parts = [
        (whole // 86400, "d"),
        (whole % 86400 // 3600, "h"),
        (whole % 3600 // 60, "min"),
        (whole % 60, "s"),
    ]
    first = next((n for n, (count, _) in enumerate(parts) if count), 3)
    words = [f"{count} {unit}" for count, unit in parts[first : first + 2] if count]
    return " ".join(words) or "0 s"
