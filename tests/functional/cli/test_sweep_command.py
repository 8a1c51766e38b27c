"""The command line's part of the sweeper: what it refuses, and what it shows."""

from __future__ import annotations

from io import StringIO
from typing import TYPE_CHECKING, Any

import pytest
from moto import mock_aws

from pipeline import cli
from pipeline.cli.commands import sweep
from pipeline.cli.options import SweepOptions
from pipeline.cli.screen import Screen

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(autouse=True)
def account() -> Iterator[None]:
    """An account in this process."""
    with mock_aws():
        yield


@pytest.mark.parametrize(
    ("options", "seen", "tip", "status"),
    [
        pytest.param(
            ["--grace", "-1"], "--grace -1; wanted hours", "leave it out for 24", cli.USAGE, id="in the past"
        ),
        pytest.param(
            ["--grace", "nan"], "--grace nan; wanted hours", "leave it out for 24", cli.USAGE, id="no number"
        ),
        pytest.param(["--stack", "nope"], "no stack 'nope'", "check --stack", cli.FAILED, id="no such stack"),
    ],
)
def test_what_is_wrong_is_said_once(
    options: list[str], seen: str, tip: str, status: int, capsys: pytest.CaptureFixture[str]
) -> None:
    """What was seen, what was wanted, what to do."""
    assert cli.main(["sweep", *options]) == status

    told = capsys.readouterr().err
    assert seen in told
    assert tip in told


def test_an_account_without_anything_of_ours_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    """And that archives were not looked at."""
    assert cli.main(["sweep"]) == cli.OK

    told = capsys.readouterr().out
    assert "nothing of Sealift's" in told
    assert "archives were not looked at: name their stack with --stack" in told


def test_each_thing_is_shown_with_its_reason() -> None:
    """One line for what, one for why; what could not be seen; how many; and how to delete."""
    line = {"kind": "endpoint", "name": "harbour-1", "outcome": "found", "reason": "nothing refers to it"}
    result: dict[str, Any] = {"found": [line], "unseen": ["no ListModels"], "counts": {"found": 1}}
    stream = StringIO()

    sweep._show(result, Screen(stream), SweepOptions(stack="sealift"))

    assert stream.getvalue().splitlines() == [
        "found     endpoint harbour-1",
        "          nothing refers to it",
        "unseen    no ListModels",
        "1 found",
        "nothing was deleted; `sealift sweep --delete` deletes the 1 that were found",
    ]
