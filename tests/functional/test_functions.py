"""Lambda's invocations on this machine: a zip's own code, run in a process of its own."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Any

import pytest

from pipeline import package
from pipeline.local.functions import Function, Functions
from pipeline.local.journals import Journal

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def functions() -> Iterator[Functions]:
    """Runs functions; their logs go nowhere."""
    running = Functions(
        environment={},
        credentials=lambda function: {"AWS_ACCESS_KEY_ID": function.name},
        log=lambda *_line: None,
    )
    yield running
    running.close()


def function(name: str, source: str) -> Function:
    """Return a function with one module."""
    code = package.code_of({"handler.py": source.encode(), "name.txt": name.encode()}).body
    return Function(
        name=name,
        arn=f"arn:aws:lambda:us-east-1:123456789012:function:{name}",
        version="$LATEST",
        handler="handler.handler",
        code_sha256=hashlib.sha256(code).hexdigest(),
        code=code,
        environment={},
        role_arn="arn:aws:iam::123456789012:role/none",
        timeout_s=30,
        memory_mb=128,
        journal=Journal.usual(name),
    )


def answered(functions: Functions, asked: Function) -> Any:
    """Return what an invocation answers."""
    return json.loads(functions.invoke(asked, b'{"n": 1}').payload)


def test_two_functions_with_the_same_module_run_their_own_zips(functions: Functions) -> None:
    """Its bytecode is made once; what it says of itself is each one's."""
    source = "def handler(event, context):\n    return [__file__, handler.__code__.co_filename, context.function_name]"
    told = [answered(functions, function(name, source)) for name in ("one", "other")]

    assert [name for _, _, name in told] == ["one", "other"]
    assert all(file == code for file, code, _ in told)
    assert told[0][0] != told[1][0]


@pytest.mark.parametrize(
    ("source", "error", "message"),
    [
        pytest.param(
            "def handler(:", "Runtime.UserCodeSyntaxError", "Syntax error in module 'handler'", id="syntax"
        ),
        pytest.param(
            "import nowhere_to_be_found",
            "Runtime.ImportModuleError",
            "Unable to import module 'handler'",
            id="import",
        ),
        pytest.param(
            "x = 1",
            "Runtime.HandlerNotFound",
            "Handler 'handler' missing on module 'handler'",
            id="no handler",
        ),
    ],
)
def test_code_that_cannot_be_loaded_is_an_error_by_name(
    functions: Functions, source: str, error: str, message: str
) -> None:
    """As Lambda's runtime calls it."""
    told = answered(functions, function("broken", source))

    assert told["errorType"] == error
    assert message in told["errorMessage"]
