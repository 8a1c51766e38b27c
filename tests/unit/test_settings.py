"""The environment: read in one place, with a fixed precedence."""

from __future__ import annotations

import os

import pytest

from pipeline import settings


@pytest.mark.parametrize(
    ("variables", "region"),
    [
        pytest.param(
            {"AWS_REGION": "eu-west-1", "AWS_DEFAULT_REGION": "eu-north-1"}, "eu-west-1", id="Lambda's own"
        ),
        pytest.param({"AWS_DEFAULT_REGION": "eu-north-1"}, "eu-north-1", id="the command line's"),
        pytest.param({"AWS_REGION": "", "AWS_DEFAULT_REGION": ""}, "us-east-1", id="empty is not said"),
        pytest.param({}, "us-east-1", id="neither"),
    ],
)
def test_the_region_is_the_first_that_is_said(
    monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], region: str
) -> None:
    """AWS_REGION, AWS_DEFAULT_REGION, us-east-1."""
    for name in ("AWS_REGION", "AWS_DEFAULT_REGION"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)

    assert settings.region() == region


@pytest.mark.parametrize("value", [pytest.param(None, id="missing"), pytest.param("", id="empty")])
def test_a_setting_that_the_template_makes_must_be_there(
    monkeypatch: pytest.MonkeyPatch, value: str | None
) -> None:
    """The message names the variable and who sets it."""
    monkeypatch.delenv("STATE_MACHINE_ARN", raising=False)
    if value is not None:
        monkeypatch.setenv("STATE_MACHINE_ARN", value)

    with pytest.raises(settings.MissingSetting, match=r"STATE_MACHINE_ARN is not set; template\.yaml"):
        settings.state_machine_arn()


@pytest.mark.parametrize(
    ("value", "expected"), [pytest.param("1", True, id="set"), pytest.param("", False, id="empty")]
)
def test_no_color_counts_when_it_is_not_empty(
    monkeypatch: pytest.MonkeyPatch, value: str, *, expected: bool
) -> None:
    """As https://no-color.org has it."""
    monkeypatch.setenv("NO_COLOR", value)

    assert settings.no_color() is expected


def test_the_environment_for_children_is_a_copy() -> None:
    """Changing it changes nothing here."""
    copy = settings.process_environment()
    copy["SEALIFT_TEST"] = "1"

    assert "SEALIFT_TEST" not in os.environ


def test_the_tests_have_no_account() -> None:
    """What holds for all tests: fakes, and nothing that leads to a real endpoint."""
    aws = {name: value for name, value in os.environ.items() if name.startswith("AWS_")}

    assert (aws["AWS_ACCESS_KEY_ID"], aws["AWS_EC2_METADATA_DISABLED"]) == ("testing", "true")
    assert not [name for name in aws if name.startswith(("AWS_ENDPOINT_URL", "AWS_PROFILE"))]
    assert "NO_COLOR" not in os.environ
