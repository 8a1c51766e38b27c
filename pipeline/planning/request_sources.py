"""The sources of a deployment's request, and which of them a field comes from.

A request comes from three places, the first that says something wins: the execution's input, a
`deployment.json` beside the archive, the stack's defaults.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pipeline.planning import stack_settings

if TYPE_CHECKING:
    from pipeline.state_data.request_types import StackDefaults

SIDECAR_LIMIT = 64 * 1024
"""Bytes of a `deployment.json`; settings are a few hundred."""

SIDECAR = "deployment.json"
"""The optional file beside an archive that gives a service its own settings."""

EXECUTION = "the execution's input"
"""What the first source is called, unless whoever started the execution knows it by another name."""


@dataclass(frozen=True, slots=True)
class PlannedNames:
    """What the sources of a request are called, in the terms of whoever wrote them."""

    document: str = EXECUTION
    sidecar: str = SIDECAR
    stack: str = "the stack's parameters"


@dataclass(frozen=True, slots=True)
class Said:
    """What each source says, by its name; the one that wins comes first."""

    sources: tuple[tuple[str, Any], ...]

    @classmethod
    def of(cls, document: Any, sidecar: Any, defaults: StackDefaults, names: PlannedNames) -> Said:
        """Return what the three sources of a request say."""
        stack = {
            **defaults,
            "consumer": defaults["consumer_function_name"] or None,
            **stack_settings.settings(defaults),
        }
        return cls(((names.document, document), (names.sidecar, sidecar), (names.stack, stack)))

    def where(self, *path: str) -> str:
        """Return which source a field's value comes from; the first one where none says anything of it."""
        return next((name for name, said in self.sources if _says(said, path)), self.sources[0][0])


def _says(said: Any, path: tuple[str, ...]) -> bool:
    for name in path:
        said = said.get(name) if isinstance(said, dict) else None
    return said is not None


def sidecar_key(archive_key: str) -> str:
    """Return the key of the `deployment.json` beside an archive."""
    folder, _, _ = archive_key.rpartition("/")
    return f"{folder}/{SIDECAR}" if folder else SIDECAR
