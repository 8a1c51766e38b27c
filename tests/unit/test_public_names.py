"""What `import sealift` offers: few names, all of which are kept."""

from __future__ import annotations

import inspect
import subprocess
import sys

import pytest

import sealift
from pipeline import __version__, errors


def test_the_public_names_are_these() -> None:
    """A name that is added or taken away is a decision: CHANGELOG.md tells of it."""
    assert sealift.__all__ == ("PermanentError", "SealiftError", "__version__", "check", "pack", "plan")
    assert sealift.__version__ == __version__
    assert (sealift.SealiftError, sealift.PermanentError) == (errors.SealiftError, errors.PermanentError)


@pytest.mark.parametrize("function", [sealift.check, sealift.pack, sealift.plan])
def test_a_function_says_what_it_takes(function: object) -> None:
    """Types of all arguments and of the result, and a docstring that tells of each."""
    assert callable(function)
    signature = inspect.signature(function)
    text = inspect.getdoc(function) or ""

    assert signature.return_annotation is not signature.empty
    for name, parameter in signature.parameters.items():
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
