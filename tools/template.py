"""Write what the tasks state into `template.yaml`: functions, roles' policies, and the lists that name them all.

    python -m tools.template           write it
    python -m tools.template --check   exit with 1 when it differs

A part stands between two lines, `# begin NAME` and `# end NAME`, and is made by the function of that name in `parts`,
or of the task of that name. All else in the template is written by hand: buckets, the endpoints' role, what calls the
functions that are no states.
"""

import importlib
import json
import re
import sys
import textwrap
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from types import ModuleType
from typing import Any

from pipeline import package_files
from pipeline.aws.lambda_handler import Task
from pipeline.aws.permissions import Allow
from pipeline.stack import bundles
from state_machine import definition

WIDTH = 120
"""Characters of a line, where a line can be broken."""
KEY_READ = frozenset({"s3:GetObject", "s3:GetObjectVersion"})
KEY_WRITE = frozenset({"s3:PutObject", "sns:Publish"})
"""What S3 and SNS use a stack's own key for in the caller's name: to decrypt, and to encrypt for whoever writes."""
STARTS_INSTANCES = frozenset({"sagemaker:CreateEndpoint", "sagemaker:UpdateEndpoint"})
"""What SageMaker makes a grant for in the caller's name, where a key of one's own encrypts the volumes."""
READS_CONSUMER, WRITES_CONSUMER = "lambda:GetFunctionConfiguration", "lambda:UpdateFunctionConfiguration"
"""What Lambda uses a consumer's key for in the caller's name."""


def functions() -> dict[str, ModuleType]:
    """Return the module of each task by its function's logical id: the states in their order, then the others."""
    files = sorted(path.stem for path in package_files.tasks().glob("*.py") if path.stem != "__init__")
    modules = [importlib.import_module(f"tasks.{name}") for name in files]
    named = {definition.name_of(module): module for module in modules}
    return {name: named[name] for name in dict.fromkeys([*definition.tasks(), *named])}


def parts() -> dict[str, Callable[[], list[str]]]:
    """Return what makes the lines of each part, without their indentation, by the part's name."""
    tasks, states = functions(), definition.tasks()
    return {
        "defaults": _defaults,
        "states": lambda: _joined(_function(name, tasks[name]) for name in states),
        **{name: partial(_function, name, tasks[name]) for name in tasks if name not in states},
        "substitutions": lambda: [f"{name}Arn: !GetAtt {name}.Arn" for name in states],
        "invoked": lambda: [f"- !GetAtt {name}.Arn" for name in states],
        "key users": lambda: _roles(tasks, KEY_WRITE),
        "key readers": lambda: [
            role for role in _roles(tasks, KEY_READ) if role not in _roles(tasks, KEY_WRITE)
        ],
        "volume key users": lambda: _roles(tasks, STARTS_INSTANCES),
        "consumer readers": lambda: _roles(tasks, {READS_CONSUMER}),
        "consumer writers": lambda: _roles(tasks, {WRITES_CONSUMER}),
    }


def rendered(text: str) -> str:
    """Return a template with its parts as the tasks state them now.

    Raises:
        ValueError: for a part that is not there, so that a task's function would be missing, or one that nothing makes.
    """
    made = parts()
    seen = re.findall(r"^ *# begin (.+)$", text, re.MULTILINE)
    if sorted(seen) != sorted(made):
        lacking, unmade = sorted(set(made) - set(seen)), sorted(set(seen) - set(made))
        raise ValueError(
            f"the template lacks {lacking}, and nobody makes its {unmade}, or has one part twice; "
            "wanted `# begin NAME` and `# end NAME` once for each task that is no state; add or remove the two lines"
        )

    def replace(match: re.Match[str]) -> str:
        indent, name = match[1], match[2]
        lines = [f"{indent}{line}" if line else "" for line in made[name]()]
        return "\n".join([f"{indent}# begin {name}", *lines, f"{indent}# end {name}"])

    new, replaced = re.subn(r"^( *)# begin (.+)\n(?:.*\n)*?\1# end \2$", replace, text, flags=re.MULTILINE)
    if replaced != len(made):
        ended = re.findall(r"^ *# end (.+)$", text, re.MULTILINE)
        raise ValueError(
            f"parts {sorted(set(made) - set(ended))} of the template have no end; wanted `# end NAME` below each "
            "`# begin NAME`, as far to the right and not within another part; add the line"
        )
    return new


def _joined(blocks: Iterable[list[str]]) -> list[str]:
    """Return blocks of lines as one, with an empty line between two."""
    return [line for block in blocks for line in ["", *block]][1:]


def _defaults() -> list[str]:
    fields = Task.__dataclass_fields__
    return [f"MemorySize: {fields['memory_mb'].default}", f"Timeout: {fields['timeout_s'].default}"]


def _roles(tasks: dict[str, ModuleType], actions: Iterable[str]) -> list[str]:
    """List the roles of the tasks that may do one of these actions."""
    wanted = set(actions)
    using = {
        name
        for name, task in tasks.items()
        if any(wanted & set(statement.actions) for statement in task.handler.may)
    }
    return [f"- !Ref {name}Role" for name in tasks if name in using]


def _function(name: str, task: ModuleType) -> list[str]:
    """Return the resource of a task's function, as far as the task states it."""
    stated: Task[Any, Any] = task.handler
    fields = Task.__dataclass_fields__
    lines = [
        f"{name}:",
        "  Type: AWS::Serverless::Function",
        "  Properties:",
        *_description(task),
        f"    Handler: {task.__name__}.handler",
    ]
    if stated.carries_runtime:
        lines.append(
            f"    CodeUri: {bundles.WITH_CODE} # the tasks, and the runtime that archives carry in code/"
        )
    if stated.memory_mb != fields["memory_mb"].default:
        lines.append(f"    MemorySize: {stated.memory_mb}")
    if stated.timeout_s != fields["timeout_s"].default:
        lines.append(f"    Timeout: {stated.timeout_s}")
    if stated.environment:
        variables = [f"        {variable}: {_value(value)}" for variable, value in stated.environment]
        lines += ["    Environment:", "      Variables:", *variables]
    lines += ["    Policies:", '      - Version: "2012-10-17"', "        Statement:"]
    return lines + [f"{' ' * 10}{line}" for statement in stated.may for line in _statement(statement)]


def _description(task: ModuleType) -> list[str]:
    """Return what the console shows: the first paragraph of a task's docstring, behind the task's name."""
    first = " ".join((task.__doc__ or "").partition("\n\n")[0].split())
    text = first.partition(": ")[2]
    whole = f"{text[:1].upper()}{text[1:]}"
    line = f"    Description: {whole}"
    if len(line) <= WIDTH - 2 and not re.search(r"[:#]", whole):
        return [line]
    return ["    Description: >-", *(f"      {line}" for line in textwrap.wrap(whole, WIDTH - 8))]


def _statement(statement: Allow) -> list[str]:
    """Return a statement, two columns to the right of its comment's sign, which stands above it."""
    lines = [f"# {line}" for line in textwrap.wrap(statement.why, WIDTH - 16)]
    lines += ["- Effect: Allow", *_listed("Action", statement.actions)]
    lines += _listed("Resource", [_value(one) for one in statement.resources])
    if statement.when:
        operator, key, value = statement.when
        name = '"Null"' if operator == "Null" else operator
        lines += ["  Condition:", f'    {name}: {{ "{key}": {_value(value)} }}']
    return lines


def _listed(name: str, values: Sequence[str]) -> list[str]:
    """Return one value as it is, several in one line where they fit into it."""
    if len(values) == 1:
        return [f"  {name}: {values[0]}"]
    line = f"  {name}: [{', '.join(values)}]"
    return [line] if len(line) <= WIDTH - 14 else [f"  {name}:", *(f"    - {value}" for value in values)]


def _value(text: str) -> str:
    """Return a text with `${...}` in CloudFormation's shortest form."""
    if attribute := re.fullmatch(r"\$\{(\w+\.\w+)\}", text):
        return f"!GetAtt {attribute[1]}"
    if name := re.fullmatch(r"\$\{(\w+)\}", text):
        return f"!Ref {name[1]}"
    return f"!Sub {json.dumps(text)}" if "${" in text else json.dumps(text)


def main() -> int:
    """Write or check."""
    path = package_files.template()
    text = path.read_text(encoding="utf-8")
    new = rendered(text)
    if new == text:
        return 0
    if "--check" in sys.argv:
        print(f"{path.name} is not what the tasks state; run `make template`", file=sys.stderr)
        return 1
    path.write_text(new, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
