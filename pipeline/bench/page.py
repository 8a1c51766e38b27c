"""The measurement as one HTML page in the style of the report: no script, nothing loaded, every text escaped."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final

from pipeline.bench import plot, table
from pipeline.report import page

if TYPE_CHECKING:
    from pipeline.bench.results import BenchDocument

TEMPLATES: Final = Path(__file__).resolve().parent / "templates"


def render(document: BenchDocument) -> bytes:
    """Return the page."""
    template = page.environment(TEMPLATES).get_template("bench.html.j2")
    return template.render(document=document, plot=plot, table=table).encode()
