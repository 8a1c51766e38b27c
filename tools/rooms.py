"""The rooms of the code and who imports whom, for the drawing in DESIGN.md.

Owns the drawing. Refuses to say which arrows are allowed: `[tool.importlinter]` in pyproject.toml does.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from collections.abc import Set as AbstractSet
from pathlib import Path
from typing import Final

from pipeline.stack import bundles

TOP: Final = Path(__file__).resolve().parents[1]
PACKAGE: Final = "pipeline"
ROOT: Final = "root"
"""The modules that lie in `pipeline/` itself."""
OTHERS: Final = ("tasks", "state_machine", "local_cloud")


def picture() -> str:
    """Draw the rooms as Mermaid: an arrow goes to a room that is imported, unless a longer way leads there as well."""
    arrows = reduced(imports(TOP))
    lines = [f"    {room} --> {other}" for room, others in arrows.items() for other in sorted(others)]
    modules = sorted(path.stem for path in (TOP / PACKAGE).glob("*.py") if not path.stem.startswith("__"))
    return "\n".join(
        ["```mermaid", "flowchart TD", f'    {ROOT}["{", ".join(modules)}"]', *sorted(lines), "```"]
    )


def imports(top: Path) -> dict[str, set[str]]:
    """Return the rooms that each room imports when it runs, itself left out.

    Args:
        top: the folder that holds the packages.
    """
    found: dict[str, set[str]] = {}
    for package in (PACKAGE, *OTHERS):
        for path in sorted((top / package).rglob("*.py")):
            room = room_of(path.relative_to(top).with_suffix("").parts, top)
            if room is None:
                continue
            named = bundles.imported(path.read_text(encoding="utf-8"))
            others = {room_of(tuple(name.split(".")), top) for name in named}
            found.setdefault(room, set()).update(other for other in others if other not in {None, room})
    return found


def room_of(parts: tuple[str, ...], top: Path) -> str | None:
    """Return the room of a dotted name; None for what is in none, as a library or the package's own beginning."""
    if parts[0] in OTHERS:
        return parts[0]
    if parts[0] != PACKAGE or len(parts) == 1 or parts[1].startswith("__"):
        return None
    return parts[1] if (top / PACKAGE / parts[1]).is_dir() else ROOT


def reduced(arrows: Mapping[str, AbstractSet[str]]) -> dict[str, set[str]]:
    """Return the arrows without those to what is reached by a longer way too.

    Raises:
        ValueError: when a way leads back to where it began.
    """
    far = {room: _reached(arrows, others) for room, others in arrows.items()}
    if turning := sorted(room for room, reached in far.items() if room in reached):
        raise ValueError(
            f"rooms that import each other: {', '.join(turning)}; wanted arrows in one direction"
        )
    return {
        room: {
            other
            for other in others
            if not any(other in far.get(between, ()) for between in set(others) - {other})
        }
        for room, others in arrows.items()
    }


def _reached(arrows: Mapping[str, AbstractSet[str]], beginnings: Iterable[str]) -> set[str]:
    reached: set[str] = set()
    left = list(beginnings)
    while left:
        room = left.pop()
        if room not in reached:
            reached.add(room)
            left.extend(arrows.get(room, ()))
    return reached
