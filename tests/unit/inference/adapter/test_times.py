"""What the adapter takes for SageMaker's own figures, since it imports nothing of ours."""

from __future__ import annotations

from adapter.service import STREAM_S

from pipeline import limits


def test_a_stream_ends_when_sagemaker_ends_it() -> None:
    """Neither before, nor as a surprise."""
    assert limits.STREAM_S.value == STREAM_S
