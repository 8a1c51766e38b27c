"""The settings: read in one place, with a fixed precedence, each with its source."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import pytest

from pipeline import settings
from pipeline.errors import InvalidInput

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture(autouse=True)
def nothing_said(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    """No flag, and a folder without a sealift.toml in it or above."""
    monkeypatch.chdir(tmp_path)
    settings.say({})
    yield
    settings.say({})


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


@pytest.mark.parametrize(
    ("flags", "environment", "file", "value", "source"),
    [
        pytest.param({"stack": "a"}, {"SEALIFT_STACK": "b"}, {"stack": "c"}, "a", "flag", id="flag"),
        pytest.param({}, {"SEALIFT_STACK": "b"}, {"stack": "c"}, "b", "environment SEALIFT_STACK", id="env"),
        pytest.param({}, {"SEALIFT_STACK": ""}, {"stack": "c"}, "c", "/x/sealift.toml", id="file"),
        pytest.param({}, {}, {}, None, "default", id="default"),
    ],
)
def test_a_flag_wins_over_the_environment_and_that_over_the_file(
    flags: dict[str, Any], environment: dict[str, str], file: dict[str, Any], value: str | None, source: str
) -> None:
    """And each tells where it comes from."""
    found = settings.resolve(flags, environment, ("/x/sealift.toml", file))["stack"]

    assert (found.value, found.source) == (value, source)


def test_everything_that_is_wrong_is_told_at_once() -> None:
    """Unknown names and wrong values, each with where it stands and what is wanted."""
    file = {"stak": "x", "compress": True, "region": 3, "container": "lama-cpp"}

    with pytest.raises(InvalidInput) as refusal:
        settings.resolve({}, {"SEALIFT_COLOUR": "mauve"}, ("/x/sealift.toml", file))

    assert [(one.where, one.seen, one.fix) for one in refusal.value.problems] == [
        ("/x/sealift.toml", "unknown setting 'stak'", "did you mean 'stack'?"),
        ("/x/sealift.toml", "region = 3", "correct it or remove it"),
        ("environment SEALIFT_COLOUR", "color = 'mauve'", "correct it or remove it"),
        ("/x/sealift.toml", "container = 'lama-cpp'", "did you mean 'llama-cpp'?"),
        ("/x/sealift.toml", "compress = True", "correct it or remove it"),
    ]


def test_a_number_may_come_as_text_from_the_environment() -> None:
    """A variable is always text."""
    assert settings.resolve({}, {"SEALIFT_COMPRESS": "9"}, None)["compress"].value == 9


def test_the_nearest_file_counts(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """In this folder, else in the next above that has one."""
    (tmp_path / "sealift.toml").write_text('stack = "outer"\ncolour = "always"\n')
    inner = tmp_path / "a" / "b"
    inner.mkdir(parents=True)
    (tmp_path / "a" / "sealift.toml").write_text('stack = "inner"\n')
    monkeypatch.chdir(inner)

    found = settings.current()

    assert (settings.stack(), found["stack"].source) == ("inner", str(tmp_path / "a" / "sealift.toml"))
    assert settings.color() == "auto"


def test_a_file_that_is_no_toml_is_refused_by_its_name(tmp_path: Path) -> None:
    """With what the parser found."""
    (tmp_path / "sealift.toml").write_text("stack: harbour\n")

    with pytest.raises(InvalidInput, match=r"sealift\.toml: .*line 1"):
        settings.current()


def test_the_region_that_aws_configure_wrote_down_counts(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """For the profile in use, behind the environment and sealift.toml."""
    path = tmp_path / "config"
    path.write_text("[default]\nregion = eu-south-1\n[profile work]\nregion = ca-west-1\n")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(path))
    monkeypatch.delenv("AWS_DEFAULT_REGION")

    assert settings.region() == "eu-south-1"
    settings.say({"profile": "work"})
    assert settings.region() == "ca-west-1"
    (tmp_path / "sealift.toml").write_text('region = "eu-west-1"\n')
    assert settings.region() == "eu-west-1"


def test_a_profile_of_the_environment_is_the_sdks_own_business(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only one that is named to Sealift is handed over."""
    monkeypatch.setenv("AWS_PROFILE", "outside")

    assert settings.current()["profile"].value == "outside"
    assert settings.profile() is None
    settings.say({"profile": "inside"})
    assert settings.profile() == "inside"


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
    ("value", "expected"), [pytest.param("1", "never", id="set"), pytest.param("", "always", id="empty")]
)
def test_no_color_counts_when_it_is_not_empty(
    monkeypatch: pytest.MonkeyPatch, value: str, expected: str
) -> None:
    """As https://no-color.org has it; a flag wins over it."""
    monkeypatch.setenv("NO_COLOR", value)
    monkeypatch.setenv("SEALIFT_COLOUR", "always")

    assert settings.color() == expected
    settings.say({"color": "auto"})
    assert settings.color() == "auto"


@pytest.mark.parametrize(
    ("environment", "file", "value", "source"),
    [
        pytest.param({}, {"colour": "never"}, "never", "/x/sealift.toml", id="the file's older name"),
        pytest.param({}, {"color": "never"}, "never", "/x/sealift.toml", id="the file's name"),
        pytest.param(
            {"FORCE_COLOR": "1"},
            {"color": "never"},
            "always",
            "environment FORCE_COLOR",
            id="before the file",
        ),
        pytest.param({"FORCE_COLOR": ""}, {"color": "never"}, "never", "/x/sealift.toml", id="empty"),
        pytest.param(
            {"SEALIFT_COLOR": "never", "SEALIFT_COLOUR": "always"},
            {},
            "never",
            "environment SEALIFT_COLOR",
            id="the variable's name first",
        ),
    ],
)
def test_color_has_an_older_spelling_and_variables_of_others(
    environment: dict[str, str], file: dict[str, Any], value: str, source: str
) -> None:
    """Each tells where it comes from."""
    found = settings.resolve({}, environment, ("/x/sealift.toml", file))["color"]

    assert (found.value, found.source) == (value, source)


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


@pytest.mark.parametrize(
    ("environment", "url", "expected"),
    [
        pytest.param({}, "https://registry.example/v2/", None, id="none"),
        pytest.param(
            {"HTTPS_PROXY": "http://p:3128"}, "https://registry.example/", "http://p:3128", id="set"
        ),
        pytest.param({"https_proxy": "p:3128"}, "https://registry.example/", "http://p:3128", id="no scheme"),
        pytest.param(
            {"HTTP_PROXY": "http://p:3128"}, "https://registry.example/", None, id="of the other scheme"
        ),
        pytest.param(
            {"HTTPS_PROXY": "http://p:3128", "NO_PROXY": ".example"},
            "https://registry.example/",
            None,
            id="but",
        ),
        pytest.param({"HTTP_PROXY": "http://p:3128"}, "http://127.0.0.1:5000/", None, id="this machine"),
    ],
)
def test_a_proxy_is_the_environments(
    environment: dict[str, str], url: str, expected: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As every program reads it; never for this machine."""
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)

    assert settings.proxy(url) == expected


def test_logins_lie_where_docker_keeps_them(monkeypatch: pytest.MonkeyPatch) -> None:
    """In DOCKER_CONFIG, else at home."""
    monkeypatch.setenv("DOCKER_CONFIG", "/somewhere")
    assert str(settings.docker_config()) == "/somewhere/config.json"
    monkeypatch.delenv("DOCKER_CONFIG")
    monkeypatch.setenv("HOME", "/home/somebody")
    assert str(settings.docker_config()) == "/home/somebody/.docker/config.json"
