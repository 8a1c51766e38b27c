"""`sealift bench` before its first call: what is wrong is told while nothing has been paid for."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipeline import cli
from pipeline.cli import program
from pipeline.cli.commands import bench
from pipeline.errors import InvalidInput


@pytest.mark.parametrize(
    ("words", "told", "status"),
    [
        pytest.param(
            [], "wanted a yes before anything is changed or paid for", cli.FAILED, id="nobody to ask"
        ),
        pytest.param(
            ["--json"], "wanted a yes before anything is changed or paid for", cli.FAILED, id="a program"
        ),
        pytest.param(
            ["--yes", "--against", "b", "--concurrency", "2", "--requests", "11"],
            "at least 12",
            cli.FAILED,
            id="too few calls to compare",
        ),
        pytest.param(["--concurrency", "1,0"], "0", cli.USAGE, id="no caller"),
        pytest.param(["--concurrency", "1,257"], "257", cli.USAGE, id="too many callers"),
        pytest.param(["--concurrency", "1,,2"], "''", cli.USAGE, id="no number"),
        pytest.param(["--seconds", "0"], "0", cli.USAGE, id="no time"),
        pytest.param(["--yes", "--prices", "/nowhere.json"], "/nowhere.json", cli.FAILED, id="no prices"),
    ],
)
def test_what_is_wrong_is_told_before_anything_is_called(
    words: list[str],
    told: str,
    status: int,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Nothing listens at that port, and nothing is asked there."""
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")

    assert cli.main(["bench", "demo", *words]) == status
    printed = capsys.readouterr()
    assert told in printed.err
    assert printed.out == ""


def test_numbers_stand_with_commas_between_them() -> None:
    """And the defaults are some."""
    found = program.read(["bench", "demo", "--concurrency", "1, 8"]).options

    assert found.concurrency == (1, 8)
    assert found.prompt_tokens == (64, 512)


def test_a_page_that_cannot_be_written_is_told_before_anything_is_paid_for(tmp_path: Path) -> None:
    """What is there already stays as it is until there is another."""
    there = tmp_path / "page.html"
    there.write_text("earlier")
    bench._check_writable(there)
    bench._check_writable(None)
    bench._check_writable(tmp_path / "new.html")

    assert there.read_text() == "earlier"
    assert not (tmp_path / "new.html").exists()
    with pytest.raises(InvalidInput, match="No such file"):
        bench._check_writable(tmp_path / "nowhere" / "page.html")
