"""What a task's statement refuses."""

from __future__ import annotations

import pytest

from pipeline.aws.permissions import ENDPOINTS, EVERYTHING, allow


def test_a_wildcard_among_the_actions_is_refused() -> None:
    """Each is named in full, all that are not are told."""
    with pytest.raises(
        ValueError, match=r"^a task may sagemaker:\*, s3:Get\*; wanted each action by its name"
    ):
        allow("sagemaker:*", "sagemaker:CreateModel", "s3:Get*", on=ENDPOINTS)


def test_everything_as_a_resource_needs_a_reason() -> None:
    """Also as one of several."""
    for on in (EVERYTHING, (ENDPOINTS, EVERYTHING)):
        with pytest.raises(
            ValueError, match=r"^a task may sagemaker:ListEndpoints on everything, and nothing"
        ):
            allow("sagemaker:ListEndpoints", on=on)

    assert allow("sagemaker:ListEndpoints", on=EVERYTHING, why="it knows none").resources == ("*",)
