"""The wheel's build hook: which names it rewrites, which it leaves alone, and what it refuses."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from tools.wheel import INSIDE, NAME, lay_out, renamed

TOP = Path(__file__).resolve().parents[3]
SOURCES = sorted(path for package in (NAME, *INSIDE) for path in (TOP / package).rglob("*.py"))


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("from pipeline import errors\n", "from sealift.pipeline import errors\n"),
        ("from pipeline.aws.clients import Clients\n", "from sealift.pipeline.aws.clients import Clients\n"),
        (
            "from  local_cloud.a import (\n    b,\n    c,\n)\n",
            "from  sealift.local_cloud.a import (\n    b,\n    c,\n)\n",
        ),
        ("def f():\n    from pipeline import plain\n", "def f():\n    from sealift.pipeline import plain\n"),
        ("import inference as own\n", "import sealift.inference as own\n"),
        ("import json, pipeline.plain as p\n", "import json, sealift.pipeline.plain as p\n"),
        ("é = 1; from pipeline import a\n", "é = 1; from sealift.pipeline import a\n"),
        (
            "from pipeline import a; from pipeline import b\r\n",
            "from sealift.pipeline import a; from sealift.pipeline import b\r\n",
        ),
    ],
)
def test_an_import_of_ours_is_renamed(before: str, after: str) -> None:
    """Wherever it stands, and nothing else of its line."""
    assert renamed(before.encode(), "x.py") == after.encode()


@pytest.mark.parametrize(
    "source",
    [
        "from pipelines import a\n",
        "from .pipeline import a\n",
        "from os.path import pipeline\n",
        "import sealift_engine\n",
        "text = 'from pipeline import a'\n",
        "# from pipeline import a\n",
        "from tasks import check_archive\n",
    ],
)
def test_all_else_stays(source: str) -> None:
    """What another package, a neighbor, a text or a comment says; and tasks, which are in Lambda alone."""
    assert renamed(source.encode(), "x.py") == source.encode()


@pytest.mark.parametrize("source", ["import pipeline\n", "import os\nimport pipeline.errors\n"])
def test_what_cannot_be_renamed_is_refused(source: str) -> None:
    """`import pipeline.errors` makes a name `pipeline`, which the code below it uses."""
    line = source.count("\n")

    with pytest.raises(ValueError, match=rf"x\.py:{line}: `import pipeline.*wanted `from` or `as`"):
        renamed(source.encode(), "x.py")


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(TOP)))
def test_no_string_names_a_module(path: Path) -> None:
    """`import_module("pipeline.errors")` would fail in the wheel; docstrings may say what they like."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    prose = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    found = [
        f"{node.lineno}: {node.value}"
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in prose
        if re.fullmatch(rf"({'|'.join(INSIDE)})(\.\w+)*\.?", node.value) and "." in node.value
        if is_module(node.value.strip("."))
    ]

    assert found == []


def is_module(name: str) -> bool:
    """Return whether the repository has a module or a package of this name."""
    path = TOP.joinpath(*name.split("."))
    return path.is_dir() or path.with_suffix(".py").is_file()


def test_the_check_of_strings_knows_a_module() -> None:
    """And tells it from a field of the execution's input, and from a file."""
    assert is_module("pipeline.cli.commands")
    assert is_module("pipeline.errors")
    assert not is_module("inference.n_ctx")


def test_the_package_is_laid_out_anew(tmp_path: Path) -> None:
    """With what modules read beside them, and without what an earlier build or a run left there."""
    (folder := tmp_path / "built").mkdir()
    (folder / "older.py").touch()

    lay_out(TOP, folder)

    files = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    assert {"__init__.py", "py.typed", "pipeline/errors.py", "pipeline/report/templates/style.css"} <= files
    assert "older.py" not in files
    assert not [name for name in files if "__pycache__" in name]
    assert "from sealift.pipeline import __version__" in (folder / "__init__.py").read_text(encoding="utf-8")
