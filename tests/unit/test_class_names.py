"""A class name says which room it is in, since no other room has it."""

from __future__ import annotations

import ast
from collections import defaultdict
from collections.abc import Iterable, Iterator
from pathlib import Path

TOP = Path(__file__).resolve().parents[2]
PACKAGES = ("sealift", "pipeline", "tasks", "state_machine", "local_cloud")


def classes(package: Path) -> Iterator[tuple[str, str]]:
    """Yield each class of a package, wherever it stands in a file, with its room: the folder."""
    for path in package.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ClassDef):
                yield node.name, path.parent.relative_to(package.parent).as_posix()


def shared(packages: Iterable[Path]) -> dict[str, set[str]]:
    """Return the names that classes of more than one room have, with the rooms."""
    rooms = defaultdict(set)
    for package in packages:
        for name, room in classes(package):
            rooms[name].add(room)
    return {name: found for name, found in rooms.items() if len(found) > 1}


def test_no_class_name_is_in_two_rooms() -> None:
    """Private ones too: an error shows the name without its module."""
    assert shared(TOP / name for name in PACKAGES) == {}


def test_two_rooms_are_told_from_one(tmp_path: Path) -> None:
    """A class in a function counts, another file of the same folder does not."""
    for name, text in {
        "a.py": "class A: pass",
        "b.py": "class A: pass",
        "c/d.py": "def f():\n class B: pass",
    }.items():
        (path := tmp_path / "p" / name).parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    assert shared([tmp_path / "p"]) == {}

    (tmp_path / "p" / "e.py").write_text("class B: pass")

    assert shared([tmp_path / "p"]) == {"B": {"p", "p/c"}}
