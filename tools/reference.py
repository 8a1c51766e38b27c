"""The reference parts of the documents: every field, parameter, error, cause and limit, read off the code.

Owns how each is told as a table. Refuses to know any of it: a figure that is not in the code is not in a table.
"""

from __future__ import annotations

import ast
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

from benchmarks import shapes
from pipeline import limits, package_files, schema
from pipeline.aws import service_errors
from pipeline.cli import deployment_flags
from pipeline.client import smoke_test
from pipeline.gguf.header import read_header
from pipeline.limits import GB, MiB
from pipeline.operations import checklist, diagnosis
from pipeline.planning import plan, request_fields
from pipeline.quality import suite
from pipeline.rollout import answers, embeddings, rankings
from pipeline.sizing import fit, gpu_fit, images, instance_choice, instance_types
from pipeline.sizing import pricing as price_list
from pipeline.sizing.llama_memory import Shape
from pipeline.stack import template

TOP = Path(__file__).resolve().parents[1]
N_CTX, N_BATCH = 2048, 512
UNKNOWN = "…"
"""What is filled in when the code runs."""
CODE_BYTES: Final = 8 * MiB
"""What `code/` adds to an archive, at most; a fit hardly depends on it."""

MODELS: Final[tuple[tuple[str, shapes.ModelShape, tuple[str, ...]], ...]] = (
    ("Qwen2.5 0.5B", shapes.QWEN_05B, ("Q8_0",)),
    ("Gemma 3 1B", shapes.GEMMA_1B, ("Q8_0",)),
    ("Llama 3.2 1B", shapes.LLAMA_1B, ("Q4_K_M", "Q8_0")),
    ("Llama 3.2 3B", shapes.LLAMA_3B, ("Q4_K_M", "Q8_0")),
    ("Gemma 3 4B", shapes.GEMMA_4B, ("Q4_K_M", "Q8_0")),
    ("Llama 3.1 8B", shapes.LLAMA_8B, ("Q4_K_M", "Q8_0")),
    ("Gemma 3 27B, and so Gemma-SEA-LION-v4-27B-IT", shapes.GEMMA_27B, ("Q4_0", "Q4_K_M", "Q8_0")),
)
"""What people ask about. K-quants want rows of a multiple of 256, which the first two have not."""


def _table(columns: str, rows: Iterable[tuple[object, ...]]) -> str:
    names = columns.split("|")
    lines = [f"| {' | '.join(names)} |", f"|{'---|' * len(names)}"]
    return "\n".join([*lines, *(f"| {' | '.join(map(_cell, row))} |" for row in rows)])


def _cell(value: object) -> str:
    return str(value).replace("|", "\\|").replace("\n", " ")


# ------------------------------------------------------------------------------ the workflow in short


def path() -> str:
    """Draw the tasks of the state machine and the ways between them; what only waits or chooses is left out."""
    states = json.loads(package_files.definition().read_text())["States"]
    lines = ["```mermaid", "flowchart TD"]
    for name in filter(lambda one: _works(states[one]), states):
        # A task that looks again is one box.
        lines += [f"    {name} --> {target}" for target in _next_tasks(states, name) if target != name]
    failing = [name for name in states if _catches(states[name], "Diagnose")]
    lines.append(f"    failure([any of {len(failing)} tasks fails]) -.-> Diagnose")
    if _catches_quota(states):
        lines.append("    quota([a quota refuses]) -.-> StepDown")
    return "\n".join([*lines, "```"])


def _works(state: Mapping[str, Any]) -> bool:
    return bool(state["Type"] == "Task")


def _targets(state: Mapping[str, Any]) -> list[str]:
    if state["Type"] == "Choice":
        return [*(choice["Next"] for choice in state["Choices"]), state["Default"]]
    return [state["Next"]] if "Next" in state else []


def _next_tasks(states: Mapping[str, Any], name: str) -> list[str]:
    found: dict[str, None] = {}
    left, seen = _targets(states[name]), {name}
    while left:
        one = left.pop(0)
        if _works(states[one]):
            found[one] = None
        elif one not in seen:
            seen.add(one)
            left = [*_targets(states[one]), *left]
    return list(found)


def _catches(state: Mapping[str, Any], target: str) -> bool:
    return any(catch["Next"] == target for catch in state.get("Catch", ()))


def _catches_quota(states: Mapping[str, Any]) -> bool:
    return any(_catches(state, "StepDown") for state in states.values())


# ------------------------------------------------------------------------------ what may be said


def inputs() -> str:
    """List every field of an execution's input, those of objects by their path."""
    return _table("field|what it is|what is accepted|default", _fields(request_fields.EXECUTION_INPUT, ""))


def cases() -> str:
    """List every field of a suite's case."""
    return _table("field|what it is|what is accepted|default", _fields(suite.CASE, ""))


def _fields(where: schema.Object, path: str) -> Iterator[tuple[object, ...]]:
    for name, known in where.fields.items():
        here = f"{path}{name}"
        below, many = _below(known.check)
        wanted = "an object, or a list" if isinstance(known.check, schema.OneOrMore) else known.check.wanted
        older = f"; `{path}{known.alias}` in older releases, which is still taken" if known.alias else ""
        yield f"`{here}`", f"{known.meaning}{older}", wanted, _default(known)
        if below is not None:
            yield from _fields(below, f"{here}{'[]' if many else ''}.")


def _below(check: schema.Check) -> tuple[schema.Object | None, bool]:
    if isinstance(check, schema.Object):
        return check, False
    if isinstance(check, schema.ListOf | schema.OneOrMore) and isinstance(check.item, schema.Object):
        return check.item, isinstance(check, schema.ListOf)
    return None, False


def _default(known: schema.Field) -> str:
    if known.required:
        return "must be given"
    return "" if known.default in (None, {}, []) else f"`{json.dumps(known.default)}`"


def flags() -> str:
    """List the options that set a field of a deployment, with the field."""
    return _table(
        "option|field", ((f"`{flag}`", f"`{path}`") for path, flag in deployment_flags.FLAGS.items())
    )


def parameters() -> str:
    """List the parameters of the template."""
    found = template.load(package_files.template())["Parameters"]
    return _table("parameter|what it is|what is accepted|default", _parameters(found))


def _parameters(found: Mapping[str, Any]) -> Iterator[tuple[object, ...]]:
    for name, parameter in found.items():
        default = parameter.get("Default", "")
        yield (
            f"`{name}`",
            parameter.get("Description", ""),
            _accepted(parameter),
            "empty" if default == "" else f"`{default}`",
        )


def _accepted(parameter: Mapping[str, Any]) -> str:
    if "AllowedValues" in parameter:
        return ", ".join(f"`{one}`" for one in parameter["AllowedValues"])
    if "AllowedPattern" in parameter:
        each = "each " if parameter["Type"] == "CommaDelimitedList" else ""
        return f"{each}`{parameter['AllowedPattern']}`"
    kind = {"Number": "a number", "String": "a text"}[parameter["Type"]]
    bounds = [
        f"{word} {parameter[key]}"
        for word, key in (("at least", "MinValue"), ("at most", "MaxValue"))
        if key in parameter
    ]
    return " ".join([kind, *bounds])


def outputs() -> str:
    """List the outputs of the stack."""
    found = template.load(package_files.template())["Outputs"]
    return _table("output|what it is", ((f"`{name}`", one["Description"]) for name, one in found.items()))


def bounds() -> str:
    """List what the platform allows, each with its source."""
    known = (
        (f"{one.value:,}", one.unit, one.source)
        for one in vars(limits).values()
        if isinstance(one, limits.Limit)
    )
    return _table("at most|of what|source", known)


# ------------------------------------------------------------------------------ what may go wrong


def causes() -> str:
    """List every cause: what errors know of themselves, then what texts tell, in the order in which they are tried."""
    itself = (
        answers.DEGENERATE,
        smoke_test.TOO_SLOW,
        embeddings.BROKEN,
        rankings.BROKEN,
        *service_errors.CONSUMER_CAUSES.values(),
    )
    return _table(
        "cause|why|what to do|known by",
        [
            *((f"`{known['cause']}`", known["why"], known["fix"], "the error itself") for known in itself),
            *((f"`{rule.cause}`", rule.why, rule.fix, f"`{rule.pattern}`") for rule in diagnosis.RULES),
        ],
    )


def fallbacks() -> str:
    """List what is said of an error of which no text is known, where it is no class of ours."""
    return _table("error|why|what to do", ((f"`{name}`", *row) for name, row in diagnosis.FALLBACK.items()))


def problems() -> str:
    """List every problem that a refusal may carry, as the code words it; `…` is what it saw."""
    found: dict[str, tuple[str, str]] = {}
    trees = {file: ast.parse(file.read_text()) for file in sorted((TOP / "pipeline").rglob("*.py"))}
    modules = {
        ".".join(file.relative_to(TOP).with_suffix("").parts): _constants(tree.body, {})
        for file, tree in trees.items()
    }
    for tree in trees.values():
        for name, wanted, fix in _problems(tree, modules):
            found.setdefault(name, (wanted, fix))
    return _table(
        "problem|what is wanted|what to do", ((f"`{name}`", *found[name]) for name in sorted(found))
    )


def _problems(tree: ast.Module, modules: Mapping[str, Mapping[str, str]]) -> Iterator[tuple[str, str, str]]:
    known = _constants(tree.body, _imported(tree, modules))
    functions = [one for one in ast.walk(tree) if isinstance(one, ast.FunctionDef)]
    for function in functions:
        local = _constants(list(ast.walk(function)), known)
        for node in ast.walk(function):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "Problem":
                given = dict(zip(("error", "seen", "wanted", "fix"), node.args, strict=False))
                given |= {str(one.arg): one.value for one in node.keywords}
                name = _words(given["error"], local)
                if UNKNOWN not in name:
                    yield name, _words(given["wanted"], local), _words(given["fix"], local)


def _imported(tree: ast.Module, modules: Mapping[str, Mapping[str, str]]) -> dict[str, str]:
    """Return the texts of other modules that have a name here, as `NAME` or as `module.NAME`."""
    found: dict[str, str] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module:
            for one in node.names:
                called, theirs = one.asname or one.name, modules.get(f"{node.module}.{one.name}", {})
                found |= {f"{called}.{name}": text for name, text in theirs.items()}
                if one.name in (own := modules.get(node.module, {})):
                    found[called] = own[one.name]
    return found


def _constants(nodes: Sequence[ast.AST], known: Mapping[str, str]) -> dict[str, str]:
    """Return the texts that have a name here; one that is given twice may be either, and is not known."""
    found: dict[str, list[str]] = {}
    for node in nodes:
        if isinstance(node, ast.Assign | ast.AnnAssign) and node.value is not None:
            for target in node.targets if isinstance(node, ast.Assign) else [node.target]:
                if isinstance(target, ast.Name):
                    found.setdefault(target.id, []).append(_words(node.value, known))
    return {**known, **{name: texts[0] if len(texts) == 1 else UNKNOWN for name, texts in found.items()}}


def _words(node: ast.expr, constants: Mapping[str, str]) -> str:
    """Return a text of the code as a person reads it, `…` where it is filled in."""
    if isinstance(node, ast.Constant):
        return str(node.value)
    if isinstance(node, ast.Name):
        return constants.get(node.id, UNKNOWN)
    if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
        return constants.get(f"{node.value.id}.{node.attr}", UNKNOWN)
    if isinstance(node, ast.JoinedStr):
        return "".join(_words(one, constants) for one in node.values)
    if isinstance(node, ast.FormattedValue):
        return _words(node.value, constants)
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
        return _words(node.left, constants) + _words(node.right, constants)
    if isinstance(node, ast.IfExp):
        either = (_words(one, constants) for one in (node.body, node.orelse))
        return " / ".join(dict.fromkeys(one for one in either if one != UNKNOWN)) or UNKNOWN
    return UNKNOWN


# ------------------------------------------------------------------------------ the checklist


def checked() -> str:
    """List the lines of the deployment checklist with the states that do them."""
    return _table(
        "when|line|done by",
        (
            (one.group, one.text, ", ".join(f"`{state}`" for state in (*one.states, *one.instead)))
            for one in checklist.ITEMS
        ),
    )


# ------------------------------------------------------------------------------ models


def fits() -> str:
    """List well-known models with what they need and the smallest size that holds them, by `pipeline.sizing.fit`."""
    rows = (
        (name, quantization, *_fit(replace(shape, quantization=quantization)))
        for name, shape, quantizations in MODELS
        for quantization in quantizations
    )
    return _table("model|quantisation|weights|memory with `pytorch`|size|memory with `custom`|size", rows)


def _fit(model: shapes.ModelShape) -> tuple[str, ...]:
    shape = _shape(model)
    size = shape.tensor_bytes + CODE_BYTES
    row = [f"{shape.tensor_bytes / GB:.2f} GB"]
    for profile in (images.PYTORCH, images.CUSTOM):
        needed = fit.fit(
            shape,
            archive_bytes=size,
            extracted_bytes=size,
            n_ctx=N_CTX,
            n_batch=N_BATCH,
            serving=profile.serving,
        )
        needed, _ = plan.serverless_size(needed, None, ())
        row += [f"{needed.memory_bytes / MiB:,.0f} MiB", _smallest(needed)]
    return tuple(row)


def _smallest(needed: fit.Fit) -> str:
    if needed.problems:
        what = {"TooMuchMemory": "memory", "TooMuchDisk": "disk", "TooSlowToStart": "time to start"}
        return "none: " + ", ".join(what[one.error] for one in needed.problems)
    if not needed.sizes_mb:
        return "none: memory"
    size = needed.sizes_mb[0]
    return f"{size} MB" + (", above an ordinary quota" if size > limits.MEMORY_QUOTA_MB.value else "")


def _shape(model: shapes.ModelShape) -> Shape:
    with TemporaryDirectory() as folder:
        file = shapes.sparse(model, Path(folder) / "model.gguf").open("rb")
        with file:

            def read(start: int, length: int) -> bytes:
                file.seek(start)
                return file.read(length)

            return Shape.from_json(read_header(read).to_json())


# ------------------------------------------------------------------------------ costs


def prices() -> str:
    """List what AWS charges for, each price with its day, its source, and how sure it is."""
    known = (
        (
            one.meaning,
            f"{one.usd[price_list.HOME]:.7f}".rstrip("0") if one.usd else "not found",
            one.unit,
            one.as_of,
            _sure(one),
            one.source,
        )
        for one in price_list.LISTED.items.values()
    )
    return _table(f"what|USD in {price_list.HOME}|for each|as of|confirmed|source", known)


def _sure(item: price_list.PricedItem) -> str:
    if not item.usd:
        return "no"
    return "yes" if item.confidence == "sure" else "no: quoted by others"


def transitions() -> str:
    """Count the state transitions of a deployment that goes well, by how long its endpoint is Creating."""
    states = json.loads(package_files.definition().read_text())["States"]
    price = price_list.LISTED.items["state_transition"].usd[price_list.HOME]
    interval = request_fields.EXECUTION_INPUT.fields["poll_interval_s"].default
    once, loop = straight(states), len(shortest(states, "WaitForEndpoint", "WaitForEndpoint"))
    rows = (
        (
            f"{minutes} min",
            looks := max(-(-minutes * 60 // interval), 1),
            n := once + (looks - 1) * loop,
            f"{n * price:.5f}",
        )
        for minutes in (0, 2, 5, 10, 30)
    )
    return _table(f"Creating for|looks, one every {interval} s|state transitions|USD", rows)


def straight(states: Mapping[str, Any]) -> int:
    """Return how many states a deployment enters that goes well, has a consumer, and looks at its endpoint once."""
    start = next(iter(states))
    (end,) = (name for name, state in states.items() if state["Type"] == "Succeed")
    return 1 + len(shortest(states, start, "UpdateConsumer")) + len(shortest(states, "UpdateConsumer", end))


def shortest(states: Mapping[str, Any], start: str, end: str) -> list[str]:
    """Return the states entered on the shortest way from one state to another, errors aside; the first is left out."""
    ways = [[start]]
    for way in ways:
        for target in _targets(states[way[-1]]):
            if target == end:
                return [*way[1:], target]
            if target not in way:
                ways.append([*way, target])
    raise ValueError(f"no way from {start} to {end}")


def thousand() -> str:
    """Reckon what a thousand answers cost, by memory size and by seconds of an answer."""
    price = price_list.LISTED.items["serverless_gb_second"].usd[price_list.HOME]
    seconds = (1, 5, 20, 60)
    rows = (
        (f"{size} MB", *(f"{1000 * one * size / 1024 * price:.2f}" for one in seconds))
        for size in limits.MEMORY_SIZES_MB
    )
    return _table("size|" + "|".join(f"{one} s an answer" for one in seconds), rows)


def instances() -> str:
    """List the instance types with their prices."""
    return _table(
        "type|CPUs|memory|GPUs|USD an hour|USD a month of 730 hours",
        (
            (
                f"`{one.name}`",
                one.vcpus,
                f"{one.memory_gib:g} GiB",
                f"{one.gpus} x {one.gpu.name}" if one.gpu else "",
                f"{one.usd_per_hour:g}",
                _monthly(one),
            )
            for one in instance_types.table(platforms=instance_types.PLATFORMS)
        ),
    )


def gpus() -> str:
    """Reckon the 27B model on every type with GPUs whose price is known."""
    shape = _shape(shapes.GEMMA_27B)
    known = instance_types.LISTED
    types = [one for one in instance_types.TYPES if one.gpu and one.name in known]
    rows = []
    for one in sorted(types, key=lambda one: known[one.name].usd_per_hour):
        found = gpu_fit.place(
            shape, one, gpu_fit.GpuSettings(N_CTX), host_reserve=instance_choice.HOST_RESERVE
        )
        if one.gpu is None or found is None:
            continue
        first = "" if found.first_token_s is None else f"{found.first_token_s:g} s"
        rows.append(
            (
                f"`{one.name}`",
                f"{one.gpus} x {one.gpu.name}",
                f"{found.layers} of {found.of_layers}",
                f"{found.gpu_bytes / MiB:,.0f} of {found.usable_bytes / MiB:,.0f} MiB",
                f"{found.tokens_per_s:g}",
                first,
                f"{known[one.name].usd_per_hour:g}",
            )
        )
    head = "type|GPUs|layers on them|fullest one|tokens a second|first of 512 tokens|USD an hour"
    return _table(head, rows)


def _monthly(instance: instance_types.Instance) -> str:
    return f"{instance.usd_per_hour * 730:,.0f}"


PARTS: Final[Mapping[str, Callable[[], str]]] = {
    "path": path,
    "inputs": inputs,
    "cases": cases,
    "flags": flags,
    "parameters": parameters,
    "outputs": outputs,
    "bounds": bounds,
    "causes": causes,
    "fallbacks": fallbacks,
    "problems": problems,
    "checked": checked,
    "fits": fits,
    "prices": prices,
    "transitions": transitions,
    "thousand": thousand,
    "instances": instances,
    "gpus": gpus,
}
