"""The wheel's build hook: one package, `sealift`, made of those that lie side by side in the repository.

Owns what the modules are called once they are installed: `pipeline.errors` is `sealift.pipeline.errors` there, in all
that imports it. Refuses an import that it cannot rewrite. What goes into Lambdas and archives keeps the repository's
names and bytes: pyproject.toml puts it below `sealift/pipeline/data` as it is (`pipeline.package_files`).
"""

from __future__ import annotations

import ast
import re
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

if TYPE_CHECKING:
    from collections.abc import Iterator

NAME: Final = "sealift"
INSIDE: Final = ("inference", "local_cloud", "pipeline")
"""Packages that go below `NAME`, and are imported by that name; `tasks` run in Lambda alone."""
STAGED: Final = Path(".build/wheel")
SERVER: Final = Path(".build/llama-server")
"""llama.cpp's own server, which the image holds; it travels where `make llama-server` has built it."""

_FROM = re.compile(rb"from\s+")


class OnePackage(BuildHookInterface[Any]):
    """What hatchling calls while it builds."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Lay out the package and name it to hatchling; an editable installation is the checkout itself."""
        if version != "editable":
            folder = Path(self.root) / STAGED
            lay_out(Path(self.root), folder)
            build_data["force_include"][str(folder)] = NAME
            if (server := Path(self.root) / SERVER).is_dir():
                # Nobody must wait for it to be built: without it, only `sealift image build` has less to work with.
                build_data["force_include"][str(server)] = f"{NAME}/pipeline/data/{SERVER.name}"

    def finalize(self, version: str, build_data: dict[str, Any], artifact_path: str) -> None:  # noqa: ARG002
        """Leave nothing behind that a search for a name would find a second time."""
        shutil.rmtree(Path(self.root) / STAGED, ignore_errors=True)


def lay_out(top: Path, folder: Path) -> None:
    """Write the package that a checkout makes into a folder, instead of what was there.

    Args:
        top: of the checkout.
        folder: what becomes `sealift`.

    Raises:
        ValueError: a module imports in a way that cannot be rewritten.
    """
    shutil.rmtree(folder, ignore_errors=True)
    for package in (NAME, *INSIDE):
        place = folder if package == NAME else folder / package
        shutil.copytree(top / package, place, ignore=shutil.ignore_patterns("__pycache__", ".*"))
    for path in folder.rglob("*.py"):
        path.write_bytes(renamed(path.read_bytes(), str(path.relative_to(folder))))


def renamed(source: bytes, name: str) -> bytes:
    """Return a module's source with its imports of ours by their names in the wheel; all else stays, line by line.

    Args:
        source: the module, in UTF-8.
        name: what a refusal calls it.

    Raises:
        ValueError: it imports one of ours without `from` and without `as`, and so by a name that there is not.
    """
    lines = source.splitlines(keepends=True)
    # From the end, so that no place moves before its turn.
    for line, column in sorted(_places(source, lines, name), reverse=True):
        lines[line] = lines[line][:column] + f"{NAME}.".encode() + lines[line][column:]
    return b"".join(lines)


def _places(source: bytes, lines: list[bytes], name: str) -> Iterator[tuple[int, int]]:
    """Yield line and column, from 0 and in bytes, of each name of a module of ours."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.ImportFrom) and node.level == 0 and _is_ours(node.module or ""):
            found = _FROM.match(lines[node.lineno - 1], node.col_offset)
            if found is None:
                raise ValueError(f"{name}:{node.lineno}: `from` stands alone; wanted the module on its line")
            yield node.lineno - 1, found.end()
        elif isinstance(node, ast.Import):
            for alias in node.names:
                if not _is_ours(alias.name):
                    continue
                if alias.asname is None:
                    wanted = f"wanted `from` or `as`, since in the wheel it is {NAME}.{alias.name}"
                    raise ValueError(f"{name}:{alias.lineno}: `import {alias.name}`; {wanted}")
                yield alias.lineno - 1, alias.col_offset


def _is_ours(module: str) -> bool:
    return module.partition(".")[0] in INSIDE
