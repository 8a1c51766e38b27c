"""The Lambdas' zips: what each function's handler needs, and nothing else."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import sysconfig
import zipfile
from importlib import metadata
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline import package_files, wheels
from pipeline.errors import InvalidInput
from pipeline.stack import bundles, change_sets, template

if TYPE_CHECKING:
    from collections.abc import Iterator

TEMPLATE = template.load(package_files.template())
FUNCTIONS = bundles.functions(TEMPLATE)
CARRYING = {name for name, one in FUNCTIONS.items() if one["CodeUri"] == bundles.WITH_CODE}


def contents(code: bundles.Code) -> dict[str, bytes]:
    """Return a zip's content by name."""
    with zipfile.ZipFile(BytesIO(code.body)) as archive:
        return {entry.filename: archive.read(entry) for entry in archive.infolist()}


@pytest.fixture(scope="module")
def packages() -> dict[str, bundles.Code]:
    """The zips by function."""
    return bundles.packages(TEMPLATE, bundles.libraries_here())


@pytest.fixture(scope="module")
def files(packages: dict[str, bundles.Code]) -> dict[str, dict[str, bytes]]:
    """The content of each zip, by function and by name."""
    return {name: contents(code) for name, code in packages.items()}


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
        elif isinstance(node, ast.ImportFrom):
            module = "." * node.level + (node.module or "")
            yield module
            yield from (f"{module}.{alias.name}" for alias in node.names)
        waiting.extend(ast.iter_child_nodes(node))


def test_imports_are_read_as_pythons_own_parser_reads_them(top: Path) -> None:
    """Of every module of ours, whatever the lay-out: no import is missed, and none is made up."""
    modules = [*(top / "pipeline").rglob("*.py"), *(top / "tasks").glob("*.py")]

    wrong = {
        path.name
        for path in modules
        if set(bundles.imported(path.read_text(encoding="utf-8"))) != set(imports(path.read_bytes()))
    }

    assert len(modules) > 100
    assert not wrong


@pytest.mark.parametrize(
    ("text", "names"),
    [
        pytest.param("import json, os.path as p\n", {"json", "os.path"}, id="several"),
        pytest.param("from a import (\n    b,  # why (c)\n    d as e,\n)\n", {"a", "a.b", "a.d"}, id="lines"),
        pytest.param("def f():\n    from a.b import c  # noqa\n", {"a.b", "a.b.c"}, id="in a function"),
        pytest.param(
            "if TYPE_CHECKING:\n    from a import b\n\n    from c import d\n\nimport e\n",
            {"e"},
            id="types only",
        ),
    ],
)
def test_an_import_is_found_in_each_form(text: str, names: set[str]) -> None:
    """Each is a statement that the formatter lets stand."""
    assert set(bundles.imported(text)) == names


def test_every_zip_can_import_its_handler_by_itself(
    packages: dict[str, bundles.Code], tmp_path: Path
) -> None:
    """With nothing beside it but the standard library and what Lambda has: no module was forgotten."""
    for name, code in packages.items():
        with zipfile.ZipFile(BytesIO(code.body)) as archive:
            archive.extractall(tmp_path / name)
    # boto3 is no part of the question, and takes most of the time: it stands there once for all of them.
    script = """
import importlib, sys
import boto3, botocore.session, boto3.exceptions, botocore.exceptions
known, path = set(sys.modules), list(sys.path)
for folder, handler in zip(sys.argv[1::2], sys.argv[2::2]):
    sys.path[:] = [folder, *path]
    module = importlib.import_module(handler.rpartition(".")[0])
    assert callable(module.handler) and module.__file__.startswith(folder), handler
    for name in set(sys.modules) - known:
        if name.partition(".")[0] in ("pipeline", "tasks", "inference", "isal", "jinja2", "markupsafe"):
            assert sys.modules.pop(name).__file__.startswith(folder), name
"""
    arguments = [part for name, one in FUNCTIONS.items() for part in (str(tmp_path / name), one["Handler"])]
    done = subprocess.run(
        [sys.executable, "-I", "-c", script, *arguments], capture_output=True, text=True, check=False
    )

    assert done.returncode == 0, done.stderr


def test_a_zip_holds_no_module_that_its_handler_does_not_import(
    files: dict[str, dict[str, bytes]],
) -> None:
    """A small task is small: the one that only polls knows no archives, and has no library."""
    poll = set(files["PollEndpoint"])

    assert {"tasks/poll_endpoint.py", "pipeline/errors.py", "pipeline/aws/clients.py"} <= poll
    assert not [name for name in poll if name.startswith(("pipeline/archive", *bundles.LIBRARIES))]
    assert sorted(name for name in poll if name.startswith("tasks/")) == [
        "tasks/__init__.py",
        "tasks/poll_endpoint.py",
    ]
    assert "isal/__init__.py" in files["CheckArchive"]


WITHOUT_PLANNING = (
    *("CreateModel", "CreateEndpointConfig", "CreateEndpoint", "MakeRoom", "PollEndpoint", "SmokeTest"),
    *("StartDeployment", "EvaluateQuality", "Diagnose"),
)
"""The functions that carry out what was planned, look at it, or come before any plan."""
PLANNING_WITHOUT_SIZING = (
    *(
        "UpdateEndpoint",
        "MonitorEndpoint",
        "ReadConsumer",
        "ShiftConsumer",
        "WatchConsumer",
        "UpdateConsumer",
    ),
    *("RetirePrevious", "RestoreCapacity", "RollBack", "Sweep"),
)
"""Those that need a few modules of planning, none of which needs to know how large a model is."""


@pytest.mark.parametrize("name", WITHOUT_PLANNING)
def test_what_carries_out_a_plan_does_not_ship_what_makes_one(
    files: dict[str, dict[str, bytes]], name: str
) -> None:
    """A name, a type or a word that both need stands in a room below planning."""
    rooms = ("pipeline/planning/", "pipeline/sizing/")

    assert not [path for path in files[name] if path.startswith(rooms)]


@pytest.mark.parametrize("name", PLANNING_WITHOUT_SIZING)
def test_what_only_looks_at_a_plan_does_not_ship_the_arithmetic(
    files: dict[str, dict[str, bytes]], name: str
) -> None:
    """The plan itself, and what a model needs of memory, are for the states before an endpoint is made."""
    mistaken = [path for path in files[name] if path.startswith("pipeline/sizing/")]

    assert not mistaken
    assert "pipeline/planning/plan.py" not in files[name]


@pytest.mark.parametrize(
    ("name", "sizing"),
    [
        pytest.param("StepDown", {"instance_types", "instance_data"}, id="which types take a volume"),
        pytest.param(
            "CheckArchive",
            {
                *("images", "serving", "instance_types", "instance_data", "hourly_costs", "pricing"),
                *("preference", "cache_types"),
            },
            id="what an image takes and costs, for which CPUs, and what may be preferred",
        ),
        pytest.param(
            "AssembleArchive",
            {"images", "serving", "instance_types", "instance_data"},
            id="what an image takes, and for which types it is",
        ),
        pytest.param("WriteReport", {"pricing"}, id="prices"),
    ],
)
def test_what_needs_a_table_of_sizing_ships_that_table(
    files: dict[str, dict[str, bytes]], name: str, sizing: set[str]
) -> None:
    """And not the arithmetic: only PlanDeployment makes a plan."""
    found = {Path(path).stem for path in files[name] if path.startswith("pipeline/sizing/")}

    assert found == {"__init__", *sizing}
    assert {one for one, content in files.items() if "pipeline/planning/plan.py" in content} == {
        "PlanDeployment"
    }


def test_only_what_reads_a_request_has_what_checks_one(files: dict[str, dict[str, bytes]]) -> None:
    """That a setting's name is misspelled can be said without the checks of a JSON document."""
    assert {name for name, content in files.items() if "pipeline/schema.py" in content} == {"CheckArchive"}


def test_only_what_reads_archives_has_their_decoders(files: dict[str, dict[str, bytes]]) -> None:
    """ISA-L is most of a zip: the event that starts a deployment is answered by names alone."""
    reading = {"CheckArchive", "AssembleArchive", "AssembleImage"}

    assert {name for name, content in files.items() if "isal/__init__.py" in content} == reading


def test_only_the_task_that_writes_the_page_has_its_templates_and_what_reads_them(
    files: dict[str, dict[str, bytes]], top: Path
) -> None:
    """No other function gets bigger by it; what an editor leaves beside a template stays here."""
    folder = top / "pipeline" / "report" / "templates"
    lying = {path.relative_to(top).as_posix() for path in folder.rglob("*") if path.is_file()}
    page = re.compile(r"jinja2/|markupsafe/|pipeline/report/templates/")

    having = {name: {path for path in content if page.match(path)} for name, content in files.items()}

    assert {name for name, paths in having.items() if paths} == {"WriteReport"}
    assert {path for path in having["WriteReport"] if path.startswith("pipeline")} == lying
    assert {"jinja2/__init__.py", "markupsafe/__init__.py"} <= having["WriteReport"]


def test_what_a_module_reads_goes_with_it(tmp_path: Path) -> None:
    """Into each zip that has the module, and its backups do not."""
    (folder := tmp_path / "pipeline" / "report" / "templates" / "sections").mkdir(parents=True)
    (tmp_path / "pipeline" / "report" / "page.py").write_text("")
    (tmp_path / "one.py").write_text("")
    for name in ("one.html.j2", "style.css", "one.html.j2~", ".one.html.j2.swp"):
        (folder / name).write_text("")
    found = bundles.Imports(tmp_path)

    assert found.needs("pipeline.report.page").modules == {
        "pipeline/report/page.py",
        "pipeline/report/templates/sections/one.html.j2",
        "pipeline/report/templates/sections/style.css",
    }
    assert found.needs("pipeline.report").modules == set()


def test_a_library_brings_those_that_it_imports() -> None:
    """As its own metadata says; and each module that reads files is there, as the folder is."""
    for name, brought in bundles.LIBRARIES.items():
        required = [
            re.match(r"[\w.-]+", one) for one in metadata.requires(name) or () if "extra ==" not in one
        ]
        assert {one[0].lower() for one in required if one} == set(brought)
        assert set(brought) <= set(bundles.LIBRARIES)
    for module, folder in bundles.BESIDE.items():
        assert (package_files.tasks().parent / module).is_file()
        assert (package_files.tasks().parent / folder).is_dir()


def test_the_page_that_the_zip_draws_is_the_one_that_is_drawn_here(
    packages: dict[str, bundles.Code], tmp_path: Path, top: Path
) -> None:
    """Templates, sheet and libraries are those of the zip, and nothing else is on the path."""
    with zipfile.ZipFile(BytesIO(packages["WriteReport"].body)) as archive:
        archive.extractall(tmp_path)
    script = """
import datetime, sys
sys.path[:0] = sys.argv[1:]
from pipeline.report import document, page
from pipeline.sizing import pricing
began = datetime.datetime(2026, 1, 2, tzinfo=datetime.timezone.utc)
told = {"executionArn": "arn:aws:states:eu-west-1:123456789012:execution:a:b", "status": "RUNNING", "startDate": began}
sys.stdout.buffer.write(page.render(document.assemble(document.ReportFacts(told, [], None), pricing.LISTED)))
import jinja2, markupsafe
assert jinja2.__file__.startswith(sys.argv[-1]) and markupsafe.__file__.startswith(sys.argv[-1])
"""

    def drawn(*path: Path | str) -> bytes:
        command = [sys.executable, "-S", "-I", "-c", script, *map(str, path)]
        done = subprocess.run(command, capture_output=True, check=False)
        assert done.returncode == 0, done.stderr.decode()
        return done.stdout

    assert b"is being deployed" in drawn(tmp_path)
    assert drawn(tmp_path) == drawn(top, sysconfig.get_path("purelib"))


@pytest.mark.parametrize("part", ["local_cloud/", "pipeline/cli/", "state_machine/", "tests/"])
def test_what_no_task_needs_stays_out(files: dict[str, dict[str, bytes]], part: str) -> None:
    """The local cloud and the command line need packages that Lambda has not."""
    assert not [name for names in files.values() for name in names if name.startswith(part)]


def test_an_import_that_a_lambda_could_not_satisfy_is_refused(tmp_path: Path) -> None:
    """Before it is deployed, with the name of the package."""
    (tmp_path / "tasks").mkdir()
    (tmp_path / "tasks" / "one.py").write_text("import json\nimport numpy.linalg\n")

    with pytest.raises(InvalidInput, match=r"tasks.one: an import of 'numpy'; wanted .*; .*LIBRARIES"):
        bundles.Imports(tmp_path).needs("tasks.one")


def test_the_libraries_that_travel_are_locked_and_found_here() -> None:
    """What the local cloud's functions import is what is fetched for Lambda, by name."""
    locked = package_files.lock().read_text()
    files = bundles.libraries_here()

    assert {name.partition("/")[0] for name in files} == set(bundles.LIBRARIES)
    for name in bundles.LIBRARIES:
        assert f"\n{name}==" in f"\n{locked}"
    assert not [name for name in files if "__pycache__" in name]


def test_the_code_of_archives_travels_with_the_tasks_that_put_it_there(
    files: dict[str, dict[str, bytes]],
) -> None:
    """Just the files that an archive's code/ gets, as they are here; the other tasks are Python alone."""
    for name, content in files.items():
        data = {
            path.removeprefix("inference/").removeprefix(f"{bundles.RUNTIME}/"): body
            for path, body in content.items()
            if path.startswith(("inference/", bundles.RUNTIME))
        }
        # A package has this file, and the tasks import the rules which files are models, and which embed, the words of
        # the containers' log, and what is wrong with a value by its schema.
        data.pop("__init__.py", None)
        if name not in CARRYING:
            for rule in (
                "sealift_log.py",
                "sealift_models.py",
                "sealift_purpose.py",
                "sealift_shortcoming.py",
            ):
                data.pop(rule, None)

        expected = package_files.code_contents() if name in CARRYING else {}
        assert {f"code/{path}": body for path, body in data.items()} == expected


def test_the_tasks_that_read_the_code_of_archives_get_it(top: Path) -> None:
    """Whatever task asks for it has the CodeUri of the zip that holds it, and no other task has."""
    asking = {
        path.stem
        for path in (top / "tasks").glob("*.py")
        if "package_files.code" in path.read_text(encoding="utf-8")
    }

    assert {FUNCTIONS[name]["Handler"].split(".")[1] for name in CARRYING} == asking


def test_the_runtime_is_found_where_the_zip_has_it(packages: dict[str, bundles.Code], tmp_path: Path) -> None:
    """In a Lambda as in an installed wheel: below pipeline/data, by the module that asks for it."""
    with zipfile.ZipFile(BytesIO(packages["AssembleArchive"].body)) as archive:
        archive.extractall(tmp_path)
    script = "from pipeline import package_files as files; print(len(files.code()), files.runtime())"
    done = subprocess.run(
        [sys.executable, "-S", "-I", "-c", f"import sys; sys.path[:0] = [{str(tmp_path)!r}]; {script}"],
        capture_output=True,
        text=True,
        check=True,
    )

    assert done.stdout.split() == [str(len(package_files.code())), str(tmp_path / "pipeline/data/runtime")]


def test_what_sam_zips_holds_all_that_its_functions_need(
    files: dict[str, dict[str, bytes]], tmp_path: Path
) -> None:
    """`make package` lays out one folder for each CodeUri; the libraries come from pip."""
    change_sets._lay_out(tmp_path)
    change_sets._lay_out(tmp_path)

    for name, content in files.items():
        folder = tmp_path / FUNCTIONS[name]["CodeUri"]
        wanted = {
            path: body for path, body in content.items() if path.partition("/")[0] not in bundles.LIBRARIES
        }
        assert {path: (folder / path).read_bytes() for path in wanted} == wanted
    for folder in {one["CodeUri"] for one in FUNCTIONS.values()}:
        needed = {
            path.partition("/")[0]
            for name, content in files.items()
            for path in content
            if FUNCTIONS[name]["CodeUri"] == folder and path.partition("/")[0] in bundles.LIBRARIES
        }
        lock = wheels.locked((tmp_path / f"{folder}.lock").read_text())
        assert set(lock) == needed
        assert all(lock[one] == wheels.locked(package_files.lock().read_text())[one] for one in needed)
    assert (tmp_path / ".build/lambda-archive.lock").read_text().count("==") == 1


def test_the_same_code_gives_the_same_zip(packages: dict[str, bundles.Code]) -> None:
    """CloudFormation sees no change where there is none, however it was deflated."""
    again = bundles.packages(TEMPLATE, bundles.libraries_here(), level=bundles.SMALLEST)
    smaller = [name for name, code in packages.items() if len(again[name].body) < len(code.body)]

    assert {name: code.key for name, code in again.items()} == {n: code.key for n, code in packages.items()}
    assert len(smaller) == len(packages)
    assert len({code.key for code in packages.values()}) == len(FUNCTIONS)
    assert all(re.fullmatch(r"lambda/[0-9a-f]{32}\.zip", code.key) for code in packages.values())


@given(
    files=st.dictionaries(st.from_regex(r"[a-z]{1,8}\.py", fullmatch=True), st.binary(), max_size=4),
    carried=st.dictionaries(st.from_regex(r"[A-Z]{1,8}", fullmatch=True), st.binary(), max_size=2),
    data=st.data(),
)
def test_a_zip_depends_on_its_content_alone(
    files: dict[str, bytes], carried: dict[str, bytes], data: st.DataObject
) -> None:
    """Not on the order of the files, and not on the time; what it carries is in it."""
    first = bundles.code_of(carried) if carried else None
    made = bundles.code_of(files, carried=first)
    shuffled = dict(data.draw(st.permutations(list(files.items()))))

    assert bundles.code_of(shuffled, carried=first) == made
    assert contents(made) == {**carried, **files}
    with zipfile.ZipFile(BytesIO(made.body)) as archive:
        assert archive.testzip() is None
        assert all(entry.external_attr >> 16 & 0o444 == 0o444 for entry in archive.infolist())


def test_another_content_has_another_key() -> None:
    """The key is where CloudFormation looks for changes; where a name ends and its content begins counts."""
    made = [{"a.py": b""}, {"a.py": b"1"}, {"a.py": b"2"}, {"b.py": b"1"}, {"a": b"b1"}, {"ab": b"1"}]

    assert len({bundles.code_of(files).key for files in made}) == len(made)
    assert bundles.code_of(made[1], carried=bundles.code_of(made[3])).key != bundles.code_of(made[1]).key


def test_all_functions_have_what_the_template_says_of_all() -> None:
    """A function's own settings win."""
    made: dict[str, Any] = {
        "Globals": {"Function": {"Runtime": "python3.13", "CodeUri": "a"}},
        "Resources": {
            "One": {"Type": bundles.FUNCTION, "Properties": {"Handler": "a.b"}},
            "Two": {"Type": bundles.FUNCTION, "Properties": {"Handler": "a.c", "CodeUri": "b"}},
            "Other": {"Type": "AWS::S3::Bucket"},
        },
    }

    assert bundles.functions(made) == {
        "One": {"Runtime": "python3.13", "CodeUri": "a", "Handler": "a.b"},
        "Two": {"Runtime": "python3.13", "CodeUri": "b", "Handler": "a.c"},
    }
