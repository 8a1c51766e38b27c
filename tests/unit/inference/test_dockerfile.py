"""The image of our own container, as far as its text tells; hadolint, in `make linters`, reads it too."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from pipeline import package_files

TOP = Path(__file__).resolve().parents[3]
BUILT_BEFORE = {".build/runtime/", ".build/llama-server/"}
"""What `make runtime llama-server` makes."""
ADAPTER = "inference/adapter/"


@pytest.fixture(scope="module")
def instructions() -> list[tuple[str, str]]:
    """Read the instructions, each with its arguments on one line."""
    text = (TOP / "inference" / "Dockerfile").read_text(encoding="utf-8")
    lines = [line for line in text.splitlines() if line.strip() and not line.lstrip().startswith("#")]
    joined = re.sub(r"\\\n\s*", " ", "\n".join(lines)).splitlines()
    return [(name, rest.strip()) for name, _, rest in (line.partition(" ") for line in joined)]


def _all(instructions: list[tuple[str, str]], name: str) -> list[str]:
    return [rest for one, rest in instructions if one == name]


def _copied(instructions: list[tuple[str, str]]) -> list[str]:
    """Return what is copied from the repository."""
    return [
        source
        for rest in _all(instructions, "COPY")
        if not rest.startswith("--from")
        for source in rest.split()[:-1]
    ]


def test_base_is_one_exact_release_of_python(instructions: list[tuple[str, str]]) -> None:
    """What moves would make another image of the same commit; both stages have the same base."""
    bases = {rest.split()[0] for rest in _all(instructions, "FROM")}

    assert len(bases) == 1
    assert re.fullmatch(r"python:3\.\d+\.\d+-slim-[a-z]+@sha256:[0-9a-f]{64}", bases.pop())


def test_what_is_copied_is_there_and_is_all_that_is_needed(instructions: list[tuple[str, str]]) -> None:
    """The servers, what an archive carries in code/, the packages' lock, and what other targets make."""
    copied = _copied(instructions)
    files = [source for source in copied if source not in BUILT_BEFORE and source != ADAPTER]
    names = {Path(source).name for source in files if source.startswith("inference/")}

    assert [source for source in files if not (TOP / source).is_file()] == []
    assert names == {"server.py", "sealift_contract.py", *package_files.CODE}
    assert set(copied) >= BUILT_BEFORE | {ADAPTER}
    assert (TOP / ADAPTER / "__main__.py").is_file()
    assert not _all(instructions, "ADD")


def test_what_is_copied_reaches_the_builder(instructions: list[tuple[str, str]]) -> None:
    """The context leaves out everything but what is named."""
    rules = (TOP / ".dockerignore").read_text(encoding="utf-8").split("\n")
    kept = [rule[1:] for rule in rules if rule.startswith("!")]

    assert "*" in rules
    for source in _copied(instructions):
        assert any(Path(source).match(rule) or source.rstrip("/") == rule for rule in kept), source


def test_server_is_started_as_sagemaker_starts_it(instructions: list[tuple[str, str]]) -> None:
    """No shell in between, so that SIGTERM reaches the server; one argument, which SageMaker gives as well."""
    (entry,), (command,), (port,) = (_all(instructions, name) for name in ("ENTRYPOINT", "CMD", "EXPOSE"))

    assert json.loads(entry) == ["python", "/opt/sealift/adapter"]
    assert json.loads(command) == ["serve"]
    assert port == "8080"


def test_user_is_a_number_that_is_not_root(instructions: list[tuple[str, str]]) -> None:
    """A name would have to be looked up, and SageMaker may choose another user anyway."""
    (user,) = _all(instructions, "USER")

    assert re.fullmatch(r"[1-9]\d*:[1-9]\d*", user)


def test_nothing_is_writable_compiled_or_fetched_by_name(instructions: list[tuple[str, str]]) -> None:
    """Files are for all to read; packages come by hash, as wheels; no package lists stay behind."""
    runs = " ".join(_all(instructions, "RUN"))

    assert "chmod -R a+rX,a-w /opt/sealift" in runs
    assert "--require-hashes --only-binary :all:" in runs
    assert "--no-cache-dir" in runs
    assert not re.search(r"\b(apt|apt-get|curl|wget|gcc|cmake|git)\b", runs)


def test_lock_holds_what_the_runtimes_tree_does_not() -> None:
    """Of the container's needs, each in its version: all but llama-cpp-python and diskcache, which travel unpacked."""
    wanted = (TOP / "inference" / "requirements.txt").read_text(encoding="utf-8")
    pins = {pin.lower().replace("_", "-") for pin in re.findall(r"^(\w\S*==\S+)", wanted, re.MULTILINE)}
    locked = (TOP / "requirements" / "image.lock").read_text(encoding="utf-8")
    found = set(re.findall(r"^(\S+==\S+) \\$", locked, re.MULTILINE))
    travelling = {pin for pin in pins if pin.split("==")[0] in ("llama-cpp-python", "diskcache")}

    assert pins - travelling <= found
    assert not travelling & found
    assert locked.count("--hash=sha256:") >= len(found)
