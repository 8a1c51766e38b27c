"""What stands at the top of the repository for its people: hooks, editors, continuous integration, security."""

from __future__ import annotations

import re
import shutil
import sys
import tomllib
from configparser import ConfigParser
from pathlib import Path
from typing import Any

import pytest
import yaml

from tools import pages, wheel

TOP = pages.TOP
PROJECT: dict[str, Any] = tomllib.loads((TOP / "pyproject.toml").read_text(encoding="utf-8"))
MAKEFILE = (TOP / "Makefile").read_text(encoding="utf-8")
HOOKS: list[dict[str, Any]] = [
    hook
    for repo in yaml.safe_load((TOP / ".pre-commit-config.yaml").read_text(encoding="utf-8"))["repos"]
    for hook in repo["hooks"]
]
# YAML 1.1 takes the key `on` for a truth.
WORKFLOW: dict[Any, Any] = yaml.safe_load((TOP / ".github" / "workflows" / "check.yml").read_text("utf-8"))
JOBS: dict[str, dict[str, Any]] = WORKFLOW["jobs"]
STEPS: list[dict[str, Any]] = [step for job in JOBS.values() for step in job["steps"]]


def prerequisites(target: str) -> set[str]:
    """Return what a rule of the Makefile waits for, but what must only be there; a wildcard is its pattern."""
    found = re.search(rf"^{re.escape(target)}:([^|\n]*)", MAKEFILE, re.MULTILINE)
    assert found is not None
    return set(re.sub(r"\$\(wildcard ([^)]*)\)", r"\1", found[1].partition("##")[0]).split())


def recipe(target: str) -> str:
    """Return the commands of a rule of the Makefile."""
    found = re.search(rf"^{re.escape(target)}:.*\n((?:\t.*\n)+)", MAKEFILE, re.MULTILINE)
    assert found is not None
    return found[1]


# ------------------------------------------------------------------------------ tests


def test_every_tier_is_run() -> None:
    """Those that are measured and those that are not are all that pytest finds by itself."""
    measured, others = (re.findall(r"\btests/\w+", recipe(target)) for target in ("coverage", "test"))

    assert sorted([*measured, *others]) == sorted(PROJECT["tool"]["pytest"]["ini_options"]["testpaths"])
    assert "coverage" in prerequisites("test")
    assert "test" in prerequisites("check")


def test_coverage_is_measured_of_all_that_is_shipped() -> None:
    """Of its branches too, and it has a floor; the exit status of the report is the rule's."""
    settings = PROJECT["tool"]["coverage"]
    shipped = PROJECT["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]
    sources = {*shipped, *wheel.INSIDE, wheel.NAME, "state_machine"}

    assert settings["run"]["branch"]
    assert set(settings["run"]["source"]) == sources
    assert settings["report"]["fail_under"] > 50
    assert "coverage report" in recipe("coverage")
    assert "-o pipefail" in MAKEFILE


# ------------------------------------------------------------------------------ hooks


@pytest.mark.parametrize("hook", HOOKS, ids=lambda hook: hook["id"])
def test_a_hook_runs_what_is_here(hook: dict[str, Any]) -> None:
    """At its locked version: a program of .venv, or a target of the Makefile; pre-commit installs nothing."""
    program, *arguments = hook["entry"].split()

    assert hook["language"] == "system"
    if program == "make":
        assert f"\n{arguments[-1]}:" in MAKEFILE
    else:
        folder, _, name = program.rpartition("/")
        assert folder == ".venv/bin"
        assert shutil.which(name, path=str(Path(sys.executable).parent))


def test_the_hooks_are_of_the_repository_alone() -> None:
    """A hook of another one would be downloaded, at a version that no lock has."""
    repos = yaml.safe_load((TOP / ".pre-commit-config.yaml").read_text(encoding="utf-8"))["repos"]

    assert [repo["repo"] for repo in repos] == ["local"]
    assert {hook["id"] for hook in HOOKS} == {
        "ruff-check",
        "ruff-format",
        "mypy",
        "definition",
        "template",
        "docs-check",
    }


def test_what_takes_all_files_is_given_none() -> None:
    """Mypy would check only those that it is given, and the others take no names at all."""
    assert {hook["id"] for hook in HOOKS if hook.get("pass_filenames", True)} == {"ruff-check", "ruff-format"}


# ------------------------------------------------------------------------------ continuous integration


def test_what_is_hosted_runs_what_everybody_runs() -> None:
    """One command, so nothing holds there that does not hold here; within an hour."""
    assert [step["run"] for step in STEPS if "run" in step] == [".ci/run"]
    assert (TOP / ".ci" / "run").stat().st_mode & 0o111
    assert {job["timeout-minutes"] for job in JOBS.values()} == {60}
    assert set(WORKFLOW[True]) == {"push", "pull_request"}


def test_what_is_hosted_may_read_and_nothing_else() -> None:
    """It has no secret, keeps no credentials, and keeps no file for others."""
    text = (TOP / ".github" / "workflows" / "check.yml").read_text(encoding="utf-8")

    assert WORKFLOW["permissions"] == {"contents": "read"}
    assert [step["with"]["persist-credentials"] for step in STEPS if "checkout" in step.get("uses", "")] == [
        False
    ]
    assert not re.search(r"secrets\.|upload|pull_request_target", text)


def test_every_action_is_pinned_by_its_major_version() -> None:
    """And is one of GitHub's own."""
    used = [step["uses"] for step in STEPS if "uses" in step]

    assert len(used) == 3
    assert [use for use in used if not re.fullmatch(r"actions/[a-z-]+@v\d+", use)] == []


def test_the_least_python_is_the_one_that_is_used() -> None:
    """The last one that is set up is `python3` there."""
    (versions,) = (step["with"]["python-version"] for step in STEPS if "setup-python" in step.get("uses", ""))

    assert f">={versions.split()[-1]}" == PROJECT["project"]["requires-python"]


def test_the_compiled_runtime_is_kept_by_what_it_is_made_of() -> None:
    """The files of the Makefile's rule, whose contents tools/runtime makes its digest of; nothing like it is taken."""
    (cache,) = (step["with"] for step in STEPS if "cache@" in step.get("uses", ""))
    (hashed,) = re.findall(r"hashFiles\(([^)]*)\)", cache["key"])

    assert set(re.findall(r"'([^']*)'", hashed)) == prerequisites("$(RUNTIME).json")
    assert all(list(TOP.glob(pattern)) for pattern in re.findall(r"'([^']*)'", hashed))
    assert "runner.arch" in cache["key"]
    assert cache["path"] == "~/.cache/sealift/runtime"
    assert "restore-keys" not in cache


# ------------------------------------------------------------------------------ editors and pages


def test_an_editor_lays_lines_out_as_ruff_does() -> None:
    """One length for Python, another for sentences; what make reads has tabs."""
    settings = ConfigParser(interpolation=None)
    settings.read_string("[top]\n" + (TOP / ".editorconfig").read_text(encoding="utf-8"))
    ruff = PROJECT["tool"]["ruff"]

    assert settings["top"]["root"] == "true"
    assert settings["*.{py,pyi}"]["max_line_length"] == str(ruff["line-length"])
    assert settings["*"]["max_line_length"] == str(ruff["lint"]["pycodestyle"]["max-line-length"])
    assert settings["Makefile"]["indent_style"] == "tab"


def test_security_names_a_private_way_and_no_address() -> None:
    """GitHub's own; a mailbox would be somebody's."""
    text = (TOP / "SECURITY.md").read_text(encoding="utf-8")

    assert "private vulnerability reporting" in text
    assert not re.search(r"\S+@\S+\.\w+", text)
    assert "docs/iam.md" in {name for name, _ in pages.links(text)}
    assert "SECURITY.md" in {name for name, _ in pages.links((TOP / "README.md").read_text(encoding="utf-8"))}
