"""`sealift report`: what is wrong on the command line is said before anybody is asked."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.cli import USAGE, main
from pipeline.cli.commands import report
from pipeline.errors import InvalidInput


@pytest.mark.parametrize(
    "arn",
    [
        pytest.param(
            "arn:aws:states:us-east-1:123456789012:stateMachine:sealift-deployment", id="no execution"
        ),
        pytest.param("arn:aws:s3:::bucket", id="another service"),
        pytest.param("arn:", id="cut short"),
    ],
)
def test_an_arn_of_something_else_is_refused(arn: str, capsys: pytest.CaptureFixture[str]) -> None:
    """With what an execution's looks like."""
    assert main(["report", arn]) == USAGE

    told = capsys.readouterr().err
    assert "wanted the ARN of an execution" in told
    assert "TIP    copy it from the console" in told


def test_prices_that_cannot_be_read_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Before anything is asked of AWS: with the file's name."""
    assert main(["report", "harbour-0", "--prices", str(tmp_path / "none.json")]) == 1

    assert "none.json" in capsys.readouterr().err


def test_a_place_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    """A report that nobody can find is no report."""
    with pytest.raises(InvalidInput, match="No such file or directory"):
        report.write(tmp_path / "no" / "report.html", b"page")
