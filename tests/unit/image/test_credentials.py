"""What `docker login` writes down, and what it does not."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.errors import InvalidInput
from pipeline.image import credentials
from pipeline.image.credentials import Login


def encoded(text: str) -> str:
    """Return a text as config.json has it."""
    return base64.b64encode(text.encode()).decode()


def login(folder: Path, document: Any, host: str = "registry.example") -> Login:
    """Return what a config.json says of a host."""
    path = folder / "config.json"
    path.write_text(json.dumps(document), encoding="utf-8")
    return credentials.login_of(host, path)


SOMEBODY = Login("somebody", "pass:word")


@pytest.mark.parametrize(
    ("document", "host"),
    [
        pytest.param({"auths": {"registry.example": {"auth": encoded("somebody:pass:word")}}}, "", id="auth"),
        pytest.param(
            {"auths": {"registry.example": {"auth": encoded("somebody:pass:word\x00")}}}, "", id="NUL"
        ),
        pytest.param(
            {"auths": {"registry.example": {"username": "somebody", "password": "pass:word"}}}, "", id="apart"
        ),
        pytest.param(
            {"auths": {"https://registry.example/v1/": {"auth": encoded("somebody:pass:word")}}}, "", id="URL"
        ),
        pytest.param(
            {"auths": {"https://index.docker.io/v1/": {"auth": encoded("somebody:pass:word")}}},
            "docker.io",
            id="Docker Hub",
        ),
        pytest.param(
            {"auths": {"localhost:5000": {"auth": encoded("somebody:pass:word")}}},
            "localhost:5000",
            id="port",
        ),
    ],
)
def test_a_login_is_read(tmp_path: Path, document: Any, host: str) -> None:
    """In each form that is about."""
    assert login(tmp_path, document, host or "registry.example") == SOMEBODY


def test_another_hosts_login_is_not_taken(tmp_path: Path) -> None:
    """Not even a host's that ends alike."""
    document = {
        "auths": {"registry.example": {"auth": encoded("a:b")}, "docker.io": {"auth": encoded("a:b")}}
    }

    assert login(tmp_path, document, "my-registry.example") == Login()
    assert login(tmp_path, document, "registry.example:5000") == Login()
    assert Login().basic is None


@pytest.mark.parametrize(
    ("document", "says"),
    [
        pytest.param(
            {"credHelpers": {"registry.example": "ecr-login"}}, "docker-credential-ecr-login", id="own"
        ),
        pytest.param(
            {"credsStore": "desktop", "auths": {"registry.example": {}}},
            "docker-credential-desktop",
            id="store",
        ),
        pytest.param(
            {"auths": {"registry.example": {"auth": encoded("a:"), "identitytoken": "x"}}},
            "identity token",
            id="token",
        ),
    ],
)
def test_what_a_helper_keeps_is_said(tmp_path: Path, document: Any, says: str) -> None:
    """Nothing is run."""
    found = login(tmp_path, document)

    assert says in found.missing
    assert found.basic is None


def test_a_store_that_has_nothing_of_the_host_is_not_told_of(tmp_path: Path) -> None:
    """Most people with Docker's own program have a store; a public registry needs none."""
    assert login(tmp_path, {"credsStore": "desktop", "auths": {}}) == Login()


def test_nobody_logged_in_is_nobody(tmp_path: Path) -> None:
    """No file, no entry."""
    assert credentials.login_of("registry.example", tmp_path / "none" / "config.json") == Login()
    assert login(tmp_path, {}) == Login()


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"[]",
        b"\xff",
        b"[" * 100_000,
        b" " * (1 << 20) + b"{}",
        json.dumps({"auths": {"registry.example": {"auth": "!"}}}).encode(),
        json.dumps({"auths": {"registry.example": {"auth": encoded("no colon")}}}).encode(),
        json.dumps({"auths": {"registry.example": {"username": "x"}}}).encode(),
        json.dumps({"auths": {"registry.example": []}}).encode(),
        b'{"auths": {"registry.example": {"username": "x", "password": "\\ud800"}}}',
    ],
)
def test_a_file_that_is_damaged_is_told_of(tmp_path: Path, content: bytes) -> None:
    """By its name, and how to write it anew; nothing of what is in it."""
    path = tmp_path / "config.json"
    path.write_bytes(content)

    with pytest.raises(InvalidInput, match=r"docker login registry\.example"):
        credentials.login_of("registry.example", path)


def test_a_password_is_not_shown() -> None:
    """Not by accident either."""
    assert "pass:word" not in repr(SOMEBODY)


@given(
    st.text(st.characters(codec="utf-8", exclude_characters=":\x00"), min_size=1),
    st.text(st.characters(codec="utf-8", exclude_characters="\x00")),
)
def test_any_name_and_password_make_a_header(name: str, password: str) -> None:
    """Which is one line, whatever is in them."""
    header = Login(name, password).basic

    assert header is not None
    assert base64.b64decode(header.removeprefix("Basic ")).decode() == f"{name}:{password}"
    assert header.isprintable()
