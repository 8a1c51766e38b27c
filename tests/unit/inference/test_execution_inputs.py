"""The inputs to paste in the console are ones that the workflow takes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from examples.consumer import handler
from pipeline.planning import deployment_request, request_fields
from tests.stack_defaults import DEFAULTS

if TYPE_CHECKING:
    from pipeline.errors import Problem

INPUTS = Path(handler.__file__).parents[1] / "execution_inputs"


def _read(name: str) -> Any:
    return json.loads((INPUTS / name).read_text(encoding="utf-8"))


@pytest.mark.parametrize("name", ["minimal.json", "full.json"])
def test_example_input_is_accepted(name: str) -> None:
    """Each example passes the check that the first state makes."""
    request = deployment_request.request(_read(name), None, DEFAULTS)

    assert request.service == "harbour"


def test_full_example_shows_every_field() -> None:
    """Whoever looks for a field finds it in the full example; the two polling figures are the stack's."""
    problems: list[Problem] = []
    known = request_fields.EXECUTION_INPUT.parse(_read("full.json"), "", problems)

    assert problems == []
    assert set(known or {}) - set(_read("full.json")) == {"deadline_s", "poll_interval_s"}


def test_minimal_example_is_minimal() -> None:
    """One field is all that a person has to fill in."""
    assert set(_read("minimal.json")) == {"archive"}
