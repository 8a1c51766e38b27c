"""What an extra of Sealift's needs that is not installed, as the installation's own metadata has it."""

from __future__ import annotations

import re
from importlib import metadata
from typing import TYPE_CHECKING

from pipeline.errors import InvalidInput, Problem

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable


def lacking(extra: str, requirements: Iterable[str], installed: Callable[[str], bool]) -> list[str]:
    """Return the packages that an extra names and that are not there.

    Args:
        extra: its name.
        requirements: of the distribution, each as ``moto[server]<6; extra == 'local'``.
        installed: tells whether a package is there.
    """
    marked = (re.split(r"\s*;\s*", one, maxsplit=1) for one in requirements)
    names = [re.split(r"[^A-Za-z0-9._-]", one[0], maxsplit=1)[0] for one in marked if _of(extra, one[1:])]
    return [name for name in names if not installed(name)]


def _of(extra: str, marker: list[str]) -> bool:
    return bool(marker) and re.search(rf"extra == ['\"]{re.escape(extra)}['\"]", marker[0]) is not None


def check_installed(extra: str, command: str) -> None:
    """Refuse a command whose extra was not installed.

    Raises:
        InvalidInput: with what is not there, and what installs it.
    """
    try:
        requirements = metadata.requires("sealift") or []
    except metadata.PackageNotFoundError:
        # A checkout that nobody installed; what it lacks is met when it is imported.
        return
    if absent := lacking(extra, requirements, _is_installed):
        seen = f"{command} needs {', '.join(absent)}, not installed here"
        wanted, fix = f"Sealift with its extra [{extra}]", f"run `pip install 'sealift[{extra}]'`"
        raise InvalidInput("this installation", [Problem("MissingExtra", seen, wanted, fix)])


def _is_installed(name: str) -> bool:
    try:
        metadata.version(name)
    except metadata.PackageNotFoundError:
        return False
    return True
