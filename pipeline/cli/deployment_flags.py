"""What the command line's options say of a deployment: settings as `deployment.json` has them, and whose word counts.

Owns the way between an option and its field, in both directions: settings of the options that were given, and problems
of those settings in the options' own names. Which option sets which field stands with the option. An option wins over a
file; where the two differ, that is told. Pure. Refuses to judge a value: the request's own checks do.
"""

from __future__ import annotations

import re
from dataclasses import fields, replace
from typing import TYPE_CHECKING, Any, Final

from pipeline.cli import options
from pipeline.cli.options import FLAG, SETS, DeploymentOptions
from pipeline.planning import deployment_request

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from pipeline.errors import Problem

COMMAND: Final = "command line"
"""What the source of these settings is called in an error."""
FLAGS: Final[Mapping[str, str]] = {
    one.metadata[SETS]: one.metadata[FLAG] for one in fields(DeploymentOptions) if one.metadata[SETS]
}
"""What the command line calls each field that it has an option for, by the field's dotted path."""
_NAMES: Final[Mapping[str, str]] = {**FLAGS, "archive.key": "MODEL"}
_NAMED: Final = "|".join(map(re.escape, _NAMES))


def said(given: DeploymentOptions) -> dict[str, Any]:
    """Return the settings that the options say; empty where none was given."""
    document: dict[str, Any] = {}
    for one in fields(options.DeploymentOptions):
        path, value = one.metadata[SETS], getattr(given, one.name)
        if not path or value is None or value == ():
            continue
        *outer, name = path.split(".")
        place = document
        for step in outer:
            place = place.setdefault(step, {})
        place[name] = list(value) if isinstance(value, tuple) else value
    return document


def over(flags: Mapping[str, Any], settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return settings with what the options say in the place of their own."""
    return deployment_request.merged(settings, flags) if flags else dict(settings)


def overruled(flags: Mapping[str, Any], settings: Mapping[str, Any], name: str) -> Iterator[str]:
    """Yield, for each option that says otherwise than a file, which of the two counts.

    Args:
        flags: as `said` returns it.
        settings: the file's.
        name: the file's.
    """
    for path, flag in FLAGS.items():
        asked, there = _at(flags, path), _at(settings, path)
        if asked is not None and there is not None and asked != there:
            yield f"{flag} wins over {path} = {there!r} of {name}"


def by_flag(problem: Problem) -> Problem:
    """Return a problem of the command line in its own words; any other one as it is."""
    if problem.where != COMMAND:
        return problem

    def spelt(text: str) -> str:
        pattern = rf"'({_NAMED})'|\b({_NAMED})\b"
        return re.sub(pattern, lambda found: _NAMES[found[1] or found[2]], text)

    return replace(problem, seen=spelt(problem.seen), fix=spelt(problem.fix))


def _at(document: Mapping[str, Any], path: str) -> Any:
    value: Any = document
    for name in path.split("."):
        value = value.get(name) if isinstance(value, dict) else None
    return value
