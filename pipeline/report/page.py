"""The report as one HTML page: no script, nothing loaded, every text escaped, the same bytes for the same document.

What it says and how it looks is in `templates/`: `report.html.j2` is the page, `sections/` has a file for each of its
parts, `style.css` is the sheet. Owns how times, amounts and sums are spelled, and that no text becomes markup: names
of archives, answers of models and error texts are whatever somebody wrote, so each value that a template shows is made
plain (`pipeline.plain`) and escaped, whatever the template says.
"""

from __future__ import annotations

import base64
import functools
import hashlib
import math
from datetime import UTC
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from pipeline import __version__
from pipeline.limits import MiB
from pipeline.plain import lines
from pipeline.report.timeline import Loop
from pipeline.rollout import answer_speed

if TYPE_CHECKING:
    from datetime import datetime

    from jinja2 import Environment

    from pipeline.report.document import Document

TEMPLATES: Final = Path(__file__).resolve().parent / "templates"


def render(document: Document) -> bytes:
    """Return the page."""
    return environment().get_template("report.html.j2").render(document=document).encode()


@functools.cache
def environment(folder: Path = TEMPLATES) -> Environment:
    """Return what knows the templates of a folder, and the report's; an unknown name in one is an error.

    Args:
        folder: of a page in the report's style; its own `style.css` follows the report's.
    """
    # Here, since whoever only asks the command line for help would wait for it.
    from jinja2 import Environment, FileSystemLoader, StrictUndefined
    from markupsafe import Markup

    folders = tuple(dict.fromkeys((TEMPLATES, folder)))
    css = "\n".join((one / "style.css").read_text(encoding="utf-8") for one in folders)
    made = Environment(
        loader=FileSystemLoader(folders[::-1]),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=shown,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        auto_reload=False,
    )
    made.globals |= {"css": Markup(css), "policy": policy(css), "version": __version__}  # noqa: S704 - a file of ours
    filters = (duration, moment, counted, mib, percent, usd, decimal, answer_speed.rate)
    made.filters |= {spell.__name__: spell for spell in filters}
    made.tests["folded"] = lambda row: isinstance(row, Loop)
    return made


def policy(css: str) -> str:
    """Return what the page may load, which is nothing: not even a mistake in it could make a browser ask for anything.

    Args:
        css: the one sheet that applies, by its hash.
    """
    digest = base64.b64encode(hashlib.sha256(css.encode()).digest()).decode()
    return (
        f"default-src 'none'; img-src data:; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"
    )


def shown(value: Any) -> Any:
    """Return a value as a template shows it: its lines plain, None as nothing; what is markup already stays."""
    if value is None:
        return ""
    return value if hasattr(value, "__html__") else "\n".join(lines(str(value)))


# ------------------------------------------------------------------- how values are spelled


def duration(seconds: float | None) -> str:
    """Return how long something took; nothing for None, which the template has words for."""
    if seconds is None:
        return ""
    if seconds < 60:
        return f"{seconds:.2f} s" if seconds < 10 else f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {rest} s"


def moment(at: datetime | None) -> str:
    """Return a moment in UTC; nothing for None."""
    return "" if at is None else at.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def counted(number: int, one: str, many: str = "") -> str:
    """Return a number of things."""
    return f"{number} {one if number == 1 else many or one + 's'}"


def mib(count: float) -> str:
    """Return bytes as MiB, without the unit."""
    return f"{count / MiB:,.1f}" if count < 10 * MiB else f"{count / MiB:,.0f}"


def percent(part: float, whole: float, digits: int = 1) -> str:
    """Return a share; nothing of nothing."""
    return f"{part / whole:.{digits}%}" if whole else ""


def usd(amount: float | None) -> str:
    """Return an amount with two digits that say something, never fewer than cents; nothing for None."""
    if amount is None:
        return ""
    if amount == 0:
        return "0 USD"
    digits = 2 if amount >= 0.1 else 1 - math.floor(math.log10(amount))
    return f"{amount:,.{digits}f} USD"


def decimal(number: float) -> str:
    """Return a number with as many digits as it has, ten at most behind the point."""
    return f"{number:.10f}".rstrip("0").rstrip(".")
