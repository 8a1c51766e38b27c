"""The Lambdas' zip, and the template with its local paths filled in."""

from __future__ import annotations

import ast
import sys
import zipfile
from io import BytesIO
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline import resources, stack

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

IN_LAMBDA = {"boto3", "botocore"}
"""What Lambda's Python has beside the standard library."""


@pytest.fixture(scope="module")
def files() -> dict[str, bytes]:
    """The zip's content by name."""
    with zipfile.ZipFile(BytesIO(stack.package({}).body)) as archive:
        return {entry.filename: archive.read(entry) for entry in archive.infolist()}


def imports(source: bytes) -> Iterator[str]:
    """Yield the modules that a file imports when it runs, those for the type checker left out."""
    waiting: list[ast.AST] = [ast.parse(source)]
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.If) and getattr(node.test, "id", "") == "TYPE_CHECKING":
            waiting.extend(node.orelse)
            continue
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
        waiting.extend(ast.iter_child_nodes(node))


def closure(files: dict[str, bytes], top: Path) -> tuple[set[str], set[str]]:
    """Return the files that the tasks need in the end, and the names of foreign packages."""
    needed: set[str] = set()
    foreign: set[str] = set()
    waiting = [name for name in files if name.startswith("tasks/")]
    while waiting:
        name = waiting.pop()
        if name in needed:
            continue
        needed.add(name)
        parent = name.rpartition("/")[0]
        waiting.append(f"{parent}/__init__.py")
        for module in imports((top / name).read_bytes()):
            path = module.replace(".", "/")
            found = [one for one in (f"{path}.py", f"{path}/__init__.py") if (top / one).is_file()]
            waiting.extend(found)
            package = module.partition(".")[0]
            if package not in {"pipeline", "tasks", *sys.stdlib_module_names}:
                foreign.add(package)
    return needed, foreign


def test_the_zip_holds_all_that_a_task_imports(files: dict[str, bytes], top: Path) -> None:
    """Followed from file to file, and nothing of another package is needed but what Lambda has."""
    needed, foreign = closure(files, top)

    assert needed <= set(files)
    assert {"pipeline/errors.py", "pipeline/archive/verify.py", "pipeline/gguf.py"} <= needed
    assert foreign <= IN_LAMBDA | set(stack.LIBRARIES)


def test_the_libraries_that_travel_are_locked_and_found_here(top: Path) -> None:
    """What the local cloud's functions import is what `make package` installs for Lambda, by name."""
    locked = (top / "requirements" / "lambda.lock").read_text()
    files = stack.libraries_here()

    assert {name.partition("/")[0] for name in files} == set(stack.LIBRARIES)
    for name in stack.LIBRARIES:
        assert f"\n{name}==" in f"\n{locked}"
    assert not [name for name in files if "__pycache__" in name]


@pytest.mark.parametrize("part", ["pipeline/local/", "pipeline/cli/", "state_machine/", "tests/"])
def test_what_no_task_needs_stays_out(files: dict[str, bytes], part: str) -> None:
    """The local cloud and the command line need packages that Lambda has not."""
    assert not [name for name in files if name.startswith(part)]


def test_the_inference_code_travels_with_the_task_that_puts_it_into_archives(
    files: dict[str, bytes], top: Path
) -> None:
    """Just the files that an archive's code/ gets, as they are here; beside them there is only Python."""
    data = {name: content for name, content in files.items() if not name.startswith(("pipeline/", "tasks/"))}

    assert data == {name: (top / name).read_bytes() for name in stack.DATA}
    assert {f"code/{name.rpartition('/')[2]}" for name in data} == set(resources.code())
    assert all(name.endswith(".py") for name in set(files) - set(data))


def test_the_same_code_gives_the_same_zip() -> None:
    """CloudFormation sees no change where there is none."""
    first, second = stack.package({}), stack.package({})

    assert first == second
    assert first.key == second.key
    assert first.key.startswith("lambda/")
    assert first.key.endswith(".zip")


@given(
    files=st.dictionaries(st.from_regex(r"[a-z]{1,8}\.py", fullmatch=True), st.binary(), max_size=4),
    data=st.data(),
)
def test_a_zip_depends_on_its_content_alone(files: dict[str, bytes], data: st.DataObject) -> None:
    """Not on the order of the files, and not on the time."""
    body = stack.zip_files(files)
    shuffled = dict(data.draw(st.permutations(list(files.items()))))

    assert stack.zip_files(shuffled) == body
    with zipfile.ZipFile(BytesIO(body)) as archive:
        assert {entry.filename: archive.read(entry) for entry in archive.infolist()} == files
        assert all(entry.external_attr >> 16 & 0o444 == 0o444 for entry in archive.infolist())


def test_another_content_has_another_key() -> None:
    """The key is where CloudFormation looks for changes."""
    keys = {stack.Code(stack.zip_files({"a.py": body})).key for body in (b"", b"1", b"2")}

    assert len(keys) == 3


def test_the_templates_local_paths_are_replaced() -> None:
    """Every function gets the zip, the state machine its definition; the template itself stays as it was."""
    template: dict[str, Any] = {
        "Globals": {"Function": {"Runtime": "python3.13", "CodeUri": ".build/lambda"}},
        "Resources": {
            "Task": {"Type": "AWS::Serverless::Function", "Properties": {"Handler": "a.b"}},
            "Machine": {
                "Type": "AWS::Serverless::StateMachine",
                "Properties": {"DefinitionUri": "x.json", "Name": "m"},
            },
        },
    }
    resolved = stack.resolve(template, bucket="code", key="lambda/1.zip", definition={"StartAt": "A"})

    assert resolved["Globals"]["Function"] == {
        "Runtime": "python3.13",
        "CodeUri": {"Bucket": "code", "Key": "lambda/1.zip"},
    }
    assert resolved["Resources"]["Machine"]["Properties"] == {"Name": "m", "Definition": {"StartAt": "A"}}
    assert resolved["Resources"]["Task"] == template["Resources"]["Task"]
    assert template["Globals"]["Function"]["CodeUri"] == ".build/lambda"
    assert "Definition" not in template["Resources"]["Machine"]["Properties"]
