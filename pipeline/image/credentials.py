"""Who somebody is to a registry, as `docker login` and its like have written it down.

Owns reading config.json, whose form is Docker's. Refuses to run a credential helper, which may be any program: it says
that one would be needed.

Source: docs.docker.com/reference/cli/docker/login, github.com/docker/cli, cli/config/configfile/file.go.
"""

from __future__ import annotations

import base64
import binascii
import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from pipeline.errors import InvalidInput, Problem
from pipeline.limits import MiB

if TYPE_CHECKING:
    from pathlib import Path

_MOST: Final = MiB
_DOCKER_HUB: Final = ("https://index.docker.io/v1/", "index.docker.io", "docker.io")
_HUB_HOSTS: Final = frozenset({"docker.io", "index.docker.io", "registry-1.docker.io"})


@dataclass(frozen=True, slots=True)
class Login:
    """A name and a password; where both are empty, nobody's."""

    name: str = ""
    password: str = field(default="", repr=False)
    missing: str = ""
    """Why there is none, where somebody has one all the same; for the message of a registry that wants one."""

    @property
    def basic(self) -> str | None:
        """Return the header's value of Basic authentication; None for nobody."""
        if not self.name:
            return None
        return f"Basic {base64.b64encode(f'{self.name}:{self.password}'.encode()).decode()}"


def login_of(host: str, path: Path) -> Login:
    """Return what config.json says of a registry's host; nobody where it says nothing or is not there.

    Raises:
        InvalidInput: the file is not what it should be.
    """
    try:
        with path.open("rb") as file:
            content = file.read(_MOST + 1)
    except OSError:
        return Login()
    try:
        document: Any = json.loads(content) if len(content) <= _MOST else None
        return _sayable(_found(host, document))
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError, binascii.Error) as error:
        problem = Problem(
            "WrongLogins",
            f"{type(error).__name__} while reading the entry of {host}",
            "a file as `docker login` writes it",
            f"log in anew, with `docker login {host}` or `skopeo login {host}`, or remove it",
        )
        raise InvalidInput(str(path), [problem]) from error


def _sayable(login: Login) -> Login:
    """Return a login that a header can say; half a character, which JSON can write, is a ValueError."""
    _ = login.basic
    return login


def _found(host: str, document: dict[str, Any]) -> Login:
    names = [host, *(f"https://{host}{path}" for path in ("", "/", "/v1/", "/v2/"))]
    names += _DOCKER_HUB if host in _HUB_HOSTS else ()
    helpers = document.get("credHelpers") or {}
    auths = document.get("auths") or {}
    for name in names:
        if helper := helpers.get(name):
            return Login(missing=_helper(helper))
        if name in auths and (login := _written(auths[name])) is not None:
            return login
    store = document.get("credsStore")
    # A store's entries stand in `auths` too, empty.
    return Login(missing=_helper(store)) if store and any(name in auths for name in names) else Login()


def _written(entry: dict[str, Any]) -> Login | None:
    if entry.get("identitytoken"):
        return Login(missing="config.json has an identity token for it, which Sealift does not use")
    if text := entry.get("auth"):
        name, colon, password = base64.b64decode(text, validate=True).decode().partition(":")
        if not colon:
            raise ValueError("no colon between name and password")
        # Docker ends some with a NUL.
        return Login(name, password.rstrip("\x00"))
    if entry.get("username"):
        return Login(str(entry["username"]), str(entry["password"]))
    return None


def _helper(name: Any) -> str:
    return f"the credential helper docker-credential-{str(name)[:80]} keeps it, which Sealift does not run"
