"""What `import sealift` offers: few names, all of which are kept."""

from __future__ import annotations

import inspect
import subprocess
import sys
from pathlib import Path

import pytest

import sealift
from pipeline import __version__, errors
from sealift.deployed import DeployedService, ServiceChat


def test_the_public_names_are_these() -> None:
    """A name that is added or taken away is a decision: CHANGELOG.md tells of it."""
    assert sealift.__all__ == (
        "AccessDenied",
        "EndpointFailed",
        "Failed",
        "InvalidArchive",
        "InvalidInput",
        "ModelDoesNotFit",
        "ModelNotReady",
        "PermanentError",
        "RequestRejected",
        "SealiftError",
        "ServiceUnavailable",
        "Throttled",
        "TransientError",
        "__version__",
        "check",
        "pack",
        "plan",
        "push",
        "service",
        "services",
    )
    assert sealift.__version__ == __version__
    assert all(hasattr(sealift, name) for name in sealift.__all__)


@pytest.mark.parametrize("name", [one for one in sealift.__all__ if one[0].isupper()])
def test_an_error_is_the_one_that_is_raised(name: str) -> None:
    """Whoever catches it catches that, and every one of them is a SealiftError."""
    assert getattr(sealift, name) is getattr(errors, name)
    assert issubclass(getattr(sealift, name), sealift.SealiftError)


FUNCTIONS = [sealift.check, sealift.pack, sealift.plan, sealift.push, sealift.service, sealift.services]
METHODS = [
    getattr(kind, name)
    for kind in (DeployedService, ServiceChat)
    for name, found in vars(kind).items()
    if name[0] != "_" and inspect.isfunction(found)
]


@pytest.mark.parametrize("function", [*FUNCTIONS, *METHODS])
def test_a_function_says_what_it_takes(function: object) -> None:
    """Types of all arguments and of the result, and a docstring that tells of each."""
    assert callable(function)
    signature = inspect.signature(function)
    text = inspect.getdoc(function) or ""

    assert signature.return_annotation is not signature.empty
    assert "Raises:" in text
    for name, parameter in signature.parameters.items():
        if name == "self":
            continue
        assert parameter.annotation is not parameter.empty
        assert f"    {name}: " in text


def test_a_name_that_there_is_not_is_told_as_python_does() -> None:
    """Errors come when they are asked for; nothing else does."""
    with pytest.raises(AttributeError, match="module 'sealift' has no attribute 'deploy'"):
        _ = sealift.deploy  # type: ignore[attr-defined]


def test_importing_it_imports_next_to_nothing() -> None:
    """`sealift --help` goes through it, and Ctrl-C is not ours before."""
    script = "import sys, sealift; print([n for n in sys.modules if n.partition('.')[0] == 'pipeline'])"
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=60
    )

    assert done.stdout == "['pipeline']\n"


def test_importing_it_takes_no_time_of_the_programs_own() -> None:
    """Ctrl-C has Python's traceback until the program's first line has run, which comes after this import."""
    script = (
        "import sys; before = set(sys.modules); import sealift; "
        "print(sorted(n for n in set(sys.modules) - before if n.partition('.')[0] not in ('sealift', 'pipeline')))"
    )
    # Without site-packages' own start, which may have imported anything.
    done = subprocess.run(
        [sys.executable, "-S", "-c", script],
        cwd=Path(sealift.__file__).parents[1],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )

    assert done.stdout == "['__future__']\n"


def test_a_service_is_made_without_the_command_line() -> None:
    """Nor with what only packing, drawing a page or the local cloud needs; and no client is made before it is asked."""
    script = (
        "import sys, sealift; sealift.service('demo', region='eu-west-1'); "
        "print(sorted({n for n in sys.modules if n.startswith(('pipeline.cli.', 'local_cloud', 'rich', 'click', "
        "'jinja2', 'isal', 'openai', 'yaml')) or n == 'botocore.client.sagemaker'}))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=60
    )

    assert done.stdout == "[]\n"
