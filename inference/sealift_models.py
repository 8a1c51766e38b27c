"""Which files of a folder are its model: the one rule, for the endpoint that looks and for the check that comes before.

Owns the names: of a model, of a split one's shards, and which of them belong together. Refuses to open a file.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

SUFFIX = ".gguf"
SHARD_NAME = re.compile(r"(?P<prefix>.+)-(?P<number>[0-9]{5})-of-(?P<count>[0-9]{5})\.gguf\Z", re.DOTALL)
"""How llama.cpp names the files of a split model (llama_split_path)."""


def is_model(path: str) -> bool:
    """Tell whether a file is a model, or a shard of one, by the last part of its path.

    A hidden one is not: names that begin with a dot are those of desktops, editors and downloads.
    """
    name = path.rpartition("/")[2]
    return name.endswith(SUFFIX) and not name.startswith(".")


def shard_names(path: str) -> tuple[str, ...]:
    """Return the paths of all files of a model, in their order, by the path of one of them."""
    match = SHARD_NAME.match(path)
    if match is None:
        return (path,)
    prefix, count = match["prefix"], match["count"]
    return tuple(f"{prefix}-{number:05}-of-{count}{SUFFIX}" for number in range(1, int(count) + 1))


def models(paths: Iterable[str]) -> list[list[str]]:
    """Return the files of each model among `paths`, in their order."""
    found: dict[tuple[str, str], list[str]] = {}
    for path in sorted(paths):
        match = SHARD_NAME.match(path)
        found.setdefault((match["prefix"], match["count"]) if match else (path, ""), []).append(path)
    return list(found.values())
