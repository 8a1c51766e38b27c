"""Write the generated parts of the documents, or check that they are true.

    python tools/docs.py           write them
    python tools/docs.py --check   exit with 1 when one differs

A part stands between `<!-- begin NAME -->` and `<!-- end NAME -->`. The demo's output is run anew when it is
written; the check compares it with numbers, names and times taken out.
"""

import json
import re
import subprocess
import sys
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import click

from pipeline import cli, errors, limits, package_files, settings
from pipeline.cli import options, program
from pipeline.sizing import images

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from tools import pages, permissions, reference, rooms

# As in an archive, its modules are flat.
sys.path.append(str(package_files.inference()))
import sealift_fields  # type: ignore[import-not-found]

TOP = Path(__file__).resolve().parents[1]
DEMO = [
    sys.executable,
    "-m",
    "sealift",
    "local",
    "run",
    ".cache/demo/model.tar.gz",
    "--input",
    "examples/demo.json",
]
WIDTH = {"COLUMNS": "120"}
"""Wide enough that no generated name is broken in two."""


def workflow() -> str:
    """Draw the state machine as Mermaid: every state, and every way out of one, those after a failure too.

    Most tasks go to Diagnose after any failure that has no arrow of its own. One arrow for each would hide all others,
    so those are listed in a note there.
    """
    definition = json.loads(package_files.definition().read_text())
    drawn, failing = arrows(definition["States"])
    lines = ["```mermaid", "stateDiagram-v2", f"    [*] --> {definition['StartAt']}"]
    lines += [
        f"    {name} --> {target}{f': {label}' if label else ''}" for (name, target), label in drawn.items()
    ]
    lines += [f"    note right of {NOTED}", "        any failure that has no arrow, of"]
    lines += [
        f"        {', '.join(row)}" for row in (failing[at : at + 4] for at in range(0, len(failing), 4))
    ]
    return "\n".join([*lines, "    end note", "```"])


NOTED: Final = "Diagnose"
"""The state to which failures lead without an arrow."""
ANY_FAILURE: Final = "any failure"


def arrows(states: Mapping[str, Mapping[str, Any]]) -> tuple[dict[tuple[str, str], str], list[str]]:
    """Return the label of each arrow by its two ends, and the states whose failures lead to `NOTED` without one.

    Two ways with the same ends are one arrow with both labels. `[*]` is Mermaid's word for the end.
    """
    drawn: dict[tuple[str, str], list[str]] = {}
    failing = []
    for name, state in states.items():
        for target, label in _ways(state):
            if (target, label) == (NOTED, ANY_FAILURE):
                failing.append(name)
            else:
                drawn.setdefault((name, target), []).append(label)
    return {ends: _joined(labels) for ends, labels in drawn.items()}, failing


def _joined(labels: list[str]) -> str:
    return labels[0] if len(labels) == 1 else ", or ".join(label or "done" for label in labels)


def _ways(state: Mapping[str, Any]) -> dict[tuple[str, str], None]:
    """Return target and label of each way out of a state, once."""
    if state["Type"] == "Choice":
        ways = [(choice["Next"], _condition(choice)) for choice in state["Choices"]]
        ways.append((state["Default"], "otherwise"))
    else:
        ways = [(state.get("Next", "[*]"), "")]
    ways += [(catch["Next"], _caught(catch["ErrorEquals"])) for catch in state.get("Catch", ())]
    return dict.fromkeys(ways)


def _condition(choice: Mapping[str, Any]) -> str:
    """Return in words what a choice asks; raise KeyError for a comparison that has none here."""
    (comparison,) = choice.keys() - {"Variable", "Next"}
    field = choice["Variable"].rpartition(".")[2]
    words = {
        "StringEquals": f"{field} is {choice[comparison]}",
        "IsNull": f"{field} is empty" if choice[comparison] else f"{field} is given",
        "IsPresent": f"{field} is there" if choice[comparison] else f"{field} is not there",
        "BooleanEquals": f"{field}" if choice[comparison] else f"not {field}",
        "NumericGreaterThan": f"{field} above {choice[comparison]}",
        "TimestampGreaterThanEqualsPath": "the deadline is over",
    }
    return words[comparison]


def _caught(names: Sequence[str]) -> str:
    """Return in words what a catcher takes."""
    if errors.QuotaTooSmall.__name__ in names:
        return "quota"
    # What is caught by the second name is a failure that the first one leaves out.
    everything = {"States.ALL", "States.DataLimitExceeded"}
    return ANY_FAILURE if set(names) <= everything else ", ".join(names)


def failures() -> str:
    """List every error with what it means and what to do."""
    rows = ["| error | what it means | what to do |", "|---|---|---|"]
    for error in filter(None, map(errors.by_name, errors.names())):
        meaning = (error.__doc__ or "").splitlines()[0]
        rows.append(f"| `{error.__name__}` | {meaning} | {error.fix} |")
    return "\n".join(rows)


def profiles() -> str:
    """List the containers with what tells them apart."""
    rows = [
        "| `container` | image | the archive holds | `/ping` | beside the model | support |",
        "|---|---|---|---|---|---|",
    ]
    for profile in images.PROFILES.values():
        image = (
            f"`{profile.repository}:{profile.tag}`"
            if profile.repository
            else "Sealift's own, or yours: `image_uri`"
        )
        holds = "the model and `code/`" if profile.carries_code else "the model"
        ping = "honest" if profile.honest_ping else "200 even without a model"
        memory = f"{profile.serving.memory.bytes // limits.MiB} MiB, {profile.serving.startup_s:g} s"
        until = f"until {profile.end_of_support}" if profile.end_of_support else "your own"
        rows.append(f"| `{profile.name}` | {image} | {holds} | {ping} | {memory} | {until} |")
    return "\n".join(rows)


def request_fields() -> str:
    """List every field that clients send, with what becomes of it in each container."""
    rows = ["| field | with | takes | `pytorch` | `custom` | `llama-cpp` |", "|---|---|---|---|---|---|"]
    for field in sealift_fields.FIELDS:
        names = ", ".join(f"`{name}`" for name in (field.name, *field.aliases))
        forms = ", ".join(f"`{form}`" for form in field.forms)
        takes = "" if field.takes is sealift_fields.ANY else f"{field.takes}".replace("|", "\\|")
        here, custom = (_place_of_field(field, adapted=adapted) for adapted in (False, True))
        if field.beyond is not None:
            custom += f": {field.beyond}".replace("|", "\\|")
        there = field.there if sealift_fields.CHAT in field.forms else "-"
        rows.append(f"| {names} | {forms} | {takes} | {here} | {custom} | {there} |")
    return "\n".join(rows)


def _place_of_field(field: sealift_fields.Field, *, adapted: bool) -> str:
    place = field.place_by(adapted=adapted)
    instead = field.instead_by(adapted=adapted)
    return f"{place}: {instead}" if place == sealift_fields.REFUSED else place


def commands() -> str:
    """List every command with its arguments, options and examples, and what all of them can be told."""
    top = program.program()
    everywhere = "Every command takes these, before its name or behind it:"
    both = {one.name for one in options.common(options.CommonOptions)}
    general = "\n".join([everywhere, "", *_table(one for one in top.params)])
    return "\n\n".join(
        [general, *(_command(name, verb, both) for name, verb in _leaves(top, top.name or ""))]
    )


def _leaves(group: program.CommandGroup, path: str) -> Iterator[tuple[str, program.LeafCommand]]:
    for name, one in group.commands.items():
        if isinstance(one, program.CommandGroup):
            yield from _leaves(one, f"{path} {name}")
        elif isinstance(one, program.LeafCommand):
            yield f"{path} {name}", one


def _command(name: str, verb: program.LeafCommand, both: Collection[str | None]) -> str:
    lines = [f"## `{name}`", "", verb.help or "", ""]
    own = [one for one in verb.params if one.name not in both]
    return "\n".join([*lines, *_table(own), "", "```", *verb.examples, "```"])


def _table(params: Iterable[click.Parameter]) -> list[str]:
    rows = ["| | |", "|---|---|"]
    for one in params:
        if not getattr(one, "hidden", False):
            option = isinstance(one, click.Option)
            names = ", ".join(one.opts) if option else str(one.metavar)
            value = f" {one.metavar}" if option and one.metavar else ""
            meaning = str(getattr(one, "help", "") or "").replace("|", "\\|")
            rows.append(f"| `{names}{value}` | {meaning} |")
    return rows


def made_settings() -> str:
    """List every setting with its variables and its default."""
    rows = [
        "| in `sealift.toml` | in the environment | what it is | values | default |",
        "|---|---|---|---|---|",
    ]
    for kind in settings.KINDS:
        variables = ", ".join(f"`{name}`" for name in kind.variables)
        default = kind.default_description or f"`{kind.default}`"
        rows.append(f"| `{kind.name}` | {variables} | {kind.meaning} | {kind.wanted} | {default} |")
    return "\n".join(rows)


def statuses() -> str:
    """List the exit statuses."""
    rows = ["| status | |", "|---|---|"]
    return "\n".join([*rows, *(f"| {status} | {meaning} |" for status, meaning in cli.STATUSES.items())])


def demo() -> str:
    """Run the demo and return what it prints."""
    done = subprocess.run(DEMO, cwd=TOP, capture_output=True, text=True, check=True, env=_environment())
    lines = ["```console", "$ make demo"]
    # Whether containers work here is this machine's affair, and the demo's image is in no registry.
    said = [line for line in done.stdout.rstrip().splitlines() if not line.startswith("endpoints ")]
    lines += [f"sealift {' '.join(DEMO[3:])}", *said, "```"]
    return "\n".join(lines)


def _environment() -> dict[str, str]:
    from pipeline.settings import process_environment

    return {**process_environment(), **WIDTH}


def normal(text: str) -> str:
    """Take out what differs from one run to the next: times, ports, sizes, generated names and line breaks."""
    text = re.sub(r"[0-9A-Za-z]{12,}", "ID", text)
    text = re.sub(r"[0-9a-f]{8}", "ID", text)
    text = re.sub(r"\d+(\.\d+)?", "N", text)
    return re.sub(r"\s+", "", text)


PARTS: dict[str, Callable[[], str]] = {
    "workflow": workflow,
    "rooms": rooms.picture,
    "failures": failures,
    "containers": profiles,
    "commands": commands,
    "fields": request_fields,
    "settings": made_settings,
    "statuses": statuses,
    "demo": demo,
    "permissions": permissions.table,
    "reasons": permissions.reasons,
    **reference.PARTS,
}


def rewritten(text: str, made: dict[str, str]) -> str:
    """Return a document with its generated parts as they are made now."""

    def replace(match: re.Match[str]) -> str:
        name = match[1]
        if name not in PARTS:
            return match[0]
        old, new = match[2].strip(), made.setdefault(name, PARTS[name]())
        same = normal(old) == normal(new) if name == "demo" else old == new
        return match[0] if same else f"<!-- begin {name} -->\n{new}\n<!-- end {name} -->"

    return re.sub(r"<!-- begin (\w+) -->\n(.*?)<!-- end \1 -->", replace, text, flags=re.DOTALL)


def main() -> int:
    """Write or check."""
    stale: list[str] = []
    made: dict[str, str] = {}
    for path in pages.pages():
        text = path.read_text()
        new = rewritten(text, made)
        if new != text:
            stale.append(path.name)
            if "--check" not in sys.argv:
                path.write_text(new)
    if stale and "--check" in sys.argv:
        print(f"generated parts differ in {', '.join(stale)}; run `make docs`", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
