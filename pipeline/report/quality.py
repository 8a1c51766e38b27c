"""The quality gate as it was: each case with both answers side by side, and every expectation of it.

Pure. An answer that was cut says so itself.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pipeline.quality import gate

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pipeline.state_data.quality_types import Compared, QualityRecord


@dataclass(frozen=True, slots=True)
class QualitySection:
    """All of it."""

    suite: str
    """The name of its file."""
    record: str
    """The URL of what both answered, which goes after some days."""
    allowed: str
    """What the gate allows, in words."""
    told: str
    """What came of it so far, in words."""
    against: str | None
    notes: tuple[str, ...]
    cases: tuple[Compared, ...]


def section(plan: Mapping[str, Any], record: QualityRecord | None) -> QualitySection | None:
    """Return the section of a plan's gate; None where there is none."""
    planned = plan.get("quality")
    if planned is None:
        return None
    at_all = planned["allow_failed"]
    allowed = f"{planned['allow_worse']} may be worse than before"
    allowed += "" if at_all is None else f", {at_all} may fail at all"
    cases = record.cases if record else ()
    unread = "what both deployments answered is not there, or may not be read"
    told = gate.weigh(cases).told if record else unread
    left = planned["cases"] - len(cases)
    return QualitySection(
        suite=planned["suite"],
        record=f"s3://{planned['bucket']}/{planned['record_key']}",
        allowed=allowed,
        told=f"{told}; {left} not asked" if record and left > 0 else told,
        against=record.against if record else None,
        notes=record.notes if record else (),
        cases=cases,
    )
