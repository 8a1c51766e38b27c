"""Cases that the fuzz target has kept get the verdict that they were kept for."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.archive.checks.inspect import inspect
from pipeline.archive.checks.rules import Rules
from pipeline.archive.checks.verify import verify
from pipeline.archive.s3.sources import BytesSource

RULES = Rules(zip_deployable=True)
CORPUS = sorted((Path(__file__).parent / "corpus").iterdir())


@pytest.mark.parametrize("path", CORPUS, ids=lambda path: path.name)
def test_a_kept_case_is_refused_by_the_name_it_is_kept_under(path: Path) -> None:
    """The whole pass names the problem; the first sight neither crashes nor accepts."""
    error, _, name = path.name.partition(".")
    data = path.read_bytes()

    assert error in {problem.error for problem in verify(BytesSource(data, name), rules=RULES).problems}
    assert inspect(BytesSource(data, name), rules=RULES).verdict == "refused"


def test_there_is_a_corpus() -> None:
    """An empty folder would make the test above pass."""
    assert len(CORPUS) > 30
