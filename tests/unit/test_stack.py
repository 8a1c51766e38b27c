"""The Lambdas' zip, and the template with its local paths filled in."""

from __future__ import annotations

import ast
import re
import subprocess
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


def contents(code: stack.Code) -> dict[str, bytes]:
    """Return a zip's content by name."""
    with zipfile.ZipFile(BytesIO(code.body)) as archive:
        return {entry.filename: archive.read(entry) for entry in archive.infolist()}


@pytest.fixture(scope="module")
def packages() -> dict[str, stack.Code]:
    """The zips by their place."""
    return stack.packages({})


@pytest.fixture(scope="module")
def files(packages: dict[str, stack.Code]) -> dict[str, bytes]:
    """The content of the zip that most tasks have, by name."""
    return contents(packages[stack.PLAIN])


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


def test_the_code_of_archives_travels_with_the_tasks_that_put_it_there(
    packages: dict[str, stack.Code], files: dict[str, bytes]
) -> None:
    """Just the files that an archive's code/ gets, as they are here; the other tasks are Python alone."""
    carrying = contents(packages[stack.WITH_CODE])
    data = {name: carrying[name] for name in set(carrying) - set(files)}
    places = {name.removeprefix("inference/").removeprefix(f"{stack.RUNTIME}/"): name for name in data}

    assert {name: carrying[name] for name in files} == files
    assert all(name.endswith(".py") for name in files)
    assert {f"code/{name}": data[place] for name, place in places.items()} == resources.code_contents()


def test_the_tasks_that_read_the_code_of_archives_get_it(top: Path) -> None:
    """Whatever task asks for it has the CodeUri of the zip that holds it, and no other task has."""
    asking = {
        path.stem
        for path in (top / "tasks").glob("*.py")
        if "resources.code" in path.read_text(encoding="utf-8")
    }
    functions = re.findall(
        r"Handler: tasks\.(\w+)\.handler\n +CodeUri: (\S+)",
        (top / "template.yaml").read_text(encoding="utf-8"),
    )

    assert dict(functions) == dict.fromkeys(asking, stack.WITH_CODE)


def test_the_runtime_is_found_where_the_zip_has_it(packages: dict[str, stack.Code], tmp_path: Path) -> None:
    """In a Lambda as in an installed wheel: below pipeline/data, by the module that asks for it."""
    with zipfile.ZipFile(BytesIO(packages[stack.WITH_CODE].body)) as archive:
        archive.extractall(tmp_path)
    script = "from pipeline import resources; print(len(resources.code()), resources.runtime())"
    done = subprocess.run(
        [sys.executable, "-S", "-I", "-c", f"import sys; sys.path[:0] = [{str(tmp_path)!r}]; {script}"],
        capture_output=True,
        text=True,
        check=True,
    )

    assert done.stdout.split() == [str(len(resources.code())), str(tmp_path / "pipeline/data/runtime")]


def test_the_same_code_gives_the_same_zip() -> None:
    """CloudFormation sees no change where there is none."""
    first, second = stack.packages({}), stack.packages({})

    assert first == second
    assert len({code.key for code in first.values()}) == 2
    assert all(code.key.startswith("lambda/") and code.key.endswith(".zip") for code in first.values())


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
            "Other": {
                "Type": "AWS::Serverless::Function",
                "Properties": {"Handler": "a.c", "CodeUri": ".build/lambda-archive"},
            },
            "Machine": {
                "Type": "AWS::Serverless::StateMachine",
                "Properties": {"DefinitionUri": "x.json", "Name": "m"},
            },
        },
    }
    keys = {".build/lambda": "lambda/1.zip", ".build/lambda-archive": "lambda/2.zip"}
    resolved = stack.resolve(template, bucket="code", keys=keys, definition={"StartAt": "A"})

    assert resolved["Globals"]["Function"] == {
        "Runtime": "python3.13",
        "CodeUri": {"Bucket": "code", "Key": "lambda/1.zip"},
    }
    assert resolved["Resources"]["Machine"]["Properties"] == {"Name": "m", "Definition": {"StartAt": "A"}}
    assert resolved["Resources"]["Task"] == template["Resources"]["Task"]
    assert resolved["Resources"]["Other"]["Properties"] == {
        "Handler": "a.c",
        "CodeUri": {"Bucket": "code", "Key": "lambda/2.zip"},
    }
    assert template["Resources"]["Other"]["Properties"]["CodeUri"] == ".build/lambda-archive"
    assert template["Globals"]["Function"]["CodeUri"] == ".build/lambda"
    assert "Definition" not in template["Resources"]["Machine"]["Properties"]
