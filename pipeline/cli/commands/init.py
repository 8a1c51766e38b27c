"""`sealift init`: a `deployment.json` to begin with, and beside it what lets an editor explain each of its fields.

With a model, what suits it is read off its header and planned as a new stack would. Writes both files or none, and
never over a file that is there.
"""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from pipeline.aws.service_errors import translated
from pipeline.cli.commands import plan
from pipeline.cli.commands.archives import named
from pipeline.cli.screen import Screen
from pipeline.errors import InvalidInput, Problem
from pipeline.gguf import purpose, questions
from pipeline.hosting import AUTO, INSTANCE
from pipeline.planning import request_sources, settings_file
from pipeline.sizing import hourly_costs, images

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pipeline.cli.options import InitOptions

_ANYWHERE: Final = {"hosting": AUTO, "allow_instances": True}
"""Serverless where the model fits, else the instance that it would take."""


@dataclass(frozen=True, slots=True)
class _Begun:
    """What is written, and where."""

    folder: Path
    settings: dict[str, Any]
    told: str = ""
    """What the model came to."""


def init(arguments: InitOptions) -> int:
    """Write a first deployment.json and its schema."""
    screen = Screen(sys.stderr, quiet=arguments.quiet) if arguments.json else Screen.of(arguments)
    begun = _of_model(arguments.model, screen) if arguments.model else _Begun(Path(), settings_file.first())
    if begun is None:
        return 1
    path, beside = begun.folder / request_sources.SIDECAR, begun.folder / settings_file.SCHEMA_NAME
    _write({path: begun.settings, beside: settings_file.schema()})
    if arguments.json:
        print(json.dumps({"settings": str(path), "schema": str(beside), "written": begun.settings}, indent=2))
        return 0
    if begun.told:
        screen.step(begun.told)
    screen.say(
        f"wrote {path}: `sealift plan` and `sealift push` take it; null stands for what is planned, or the stack's"
    )
    rows = list(settings_file.explained(begun.settings))
    width = max(len(name) for name, _ in rows)
    for name, meaning in rows:
        screen.item(f"  {name:<{width}}  ", meaning)
    screen.say(f"wrote {beside}, by which an editor explains these fields and proposes all others")
    model = arguments.model or "MODEL.gguf"
    screen.say(f"push it with `sealift push {model} --service SERVICE`")
    return 0


def _of_model(name: str, screen: Screen) -> _Begun | None:
    """Return what suits a model; None for one that fits nowhere, which is told.

    Raises:
        InvalidInput: it is no model of this machine.
    """
    with translated():
        files = named([name])
        if not plan.is_packed(files, ""):
            seen = f"{name!r} is no GGUF on this machine"
            fix = "name the model itself, or none"
            raise InvalidInput("command line", [Problem("NoModel", seen, "a GGUF, or its folder", fix)])
        made = plan.without_stack(files, dict(_ANYWHERE), None, ("command line", ""))
    header = made.report.model.header if made.report.model else None
    if not made.fits or header is None:
        plan.tell(made, 0.0, screen)
        return None
    offer = made.offers[0] if made.hosting == INSTANCE else None
    settings = settings_file.first(
        hosting=made.hosting,
        instance_type=offer.name if offer else None,
        context=header.context_length,
        form=questions.form(purpose.of(header), images.PROFILES[made.request.container].requests),
    )
    fits = f"fits {made.size}"
    if offer:
        cost = hourly_costs.price(offer.name, 1, offer.usd_per_hour)
        fits = f"too large for serverless; {cost}, whether anybody calls it or not"
    kind = f"{header.architecture}, {header.quantization}"
    return _Begun(Path(files[0].name).parent, settings, f"{kind}: {fits}")


def _write(documents: Mapping[Path, dict[str, Any]]) -> None:
    """Write files that are not there; a schema that is there already and the same is left.

    Raises:
        InvalidInput: one is there, and nothing was written.
    """
    contents = {path: json.dumps(document, indent=2) + "\n" for path, document in documents.items()}
    there = [path for path in contents if path.exists()]
    problems = [
        Problem(
            "FileThere",
            "it is there already",
            "a folder without one",
            "change it, or move it away",
            str(path),
        )
        for path in there
        if path.name != settings_file.SCHEMA_NAME or path.read_text(encoding="utf-8") != contents[path]
    ]
    if problems:
        raise InvalidInput("command line", problems)
    for path, content in contents.items():
        if path not in there:
            with path.open("x", encoding="utf-8") as file:
                file.write(content)
