"""Lambda's invocations on this machine: a zip's own code, run in a process of its own."""

from __future__ import annotations

import dataclasses
import hashlib
import importlib.metadata
import json
from typing import TYPE_CHECKING, Any

import psutil
import pytest

from local_cloud.functions.invocations import (
    Function,
    Functions,
)
from local_cloud.functions.journals import Journal
from pipeline.stack import bundles

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
    code = bundles.code_of({"handler.py": source.encode(), "name.txt": name.encode()}).body
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


def test_a_boto3_of_the_zips_own_comes_first(functions: Functions) -> None:
    """As in Lambda, though this process was forked from one that had imported the runtime's."""
    source = "import boto3\n\ndef handler(event, context):\n    return boto3.__version__"
    own = function("own", source)
    code = bundles.code_of({"boto3.py": b"__version__ = 'own'", "handler.py": source.encode()}).body
    vendored = dataclasses.replace(own, code=code, code_sha256=hashlib.sha256(code).hexdigest())

    assert answered(functions, vendored) == "own"
    assert answered(functions, own) == importlib.metadata.version("boto3")


def test_a_function_has_its_own_environment_and_nothing_of_another(functions: Functions) -> None:
    """Neither this process's, nor another function's, nor what boto3 was imported with."""
    source = """
import os

import boto3


def handler(event, context):
    session = boto3.client("s3")
    return [dict(os.environ), session.meta.region_name, session._request_signer._credentials.access_key]
"""
    for region in ("eu-west-1", "us-west-2"):
        variables = {"AWS_DEFAULT_REGION": region, "AWS_SECRET_ACCESS_KEY": "x", f"ONLY_{region}": "1"}
        asked = dataclasses.replace(function(region, source), environment=variables)
        environment, found, access_key = answered(functions, asked)

        assert (found, access_key) == (region, region)
        assert {name for name in environment if name.startswith("ONLY_")} == {f"ONLY_{region}"}
        assert "HOME" not in environment


@pytest.mark.parametrize(
    ("way", "message"),
    [
        pytest.param("os._exit(3)", "exit status 3", id="exit"),
        pytest.param("os.kill(os.getpid(), 9)", "signal: 9", id="signal"),
    ],
)
def test_a_process_that_ends_by_itself_is_an_exit_error(functions: Functions, way: str, message: str) -> None:
    """It says how it ended, and the function runs again in a new one."""
    source = f"import os\n\ndef handler(event, context):\n    return {way} if event['n'] == 1 else 'well'"
    asked = function("ending", source)

    told = answered(functions, asked)

    assert told["errorType"] == "Runtime.ExitError"
    assert told["errorMessage"].endswith(f"Runtime exited with error: {message}")
    assert json.loads(functions.invoke(asked, b'{"n": 2}').payload) == "well"


def test_nothing_runs_on_when_the_functions_are_closed() -> None:
    """Neither a warm process nor the one that forked it."""
    before = set(psutil.Process().children(recursive=True))
    running = Functions(
        environment={}, credentials=lambda _: {"AWS_ACCESS_KEY_ID": "k"}, log=lambda *_line: None
    )
    answered(running, function("warm", "def handler(event, context):\n    return 1"))
    started = set(psutil.Process().children(recursive=True)) - before

    running.close()

    assert len(started) == 2
    assert not any(process.is_running() for process in started)
