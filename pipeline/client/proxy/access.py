"""Who may ask this server. Pure: what a request says of where it comes from in, a refusal out.

Any page that a browser on this machine shows can send requests to 127.0.0.1, and whoever asks here asks with the
caller's AWS credentials, at the caller's cost. So a request must be addressed to this machine by its own name (else a
page could make a name of its own point here: DNS rebinding), and what a page sends must be sent by the page of this
very server. Whoever listens for other machines as well wants a key.
"""

from __future__ import annotations

import hmac
import ipaddress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from pipeline.client.proxy import openai_errors
from pipeline.errors import InvalidInput, Problem

if TYPE_CHECKING:
    from pipeline.client.proxy.openai_errors import ErrorAnswer

_BEARER: Final = "bearer "


def is_loopback(host: str) -> bool:
    """Return whether a name or an address is this machine's alone."""
    if host.lower().rstrip(".") == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


@dataclass(frozen=True, slots=True)
class ProxyAccess:
    """The rules of one server."""

    host: str
    """What it listens on."""
    key: str | None = None
    """What a client must have; None: everybody on this machine may ask."""

    def __post_init__(self) -> None:
        if self.key is None and not is_loopback(self.host):
            problem = Problem(
                "NoKey",
                f"--host {self.host} lets other machines ask, with your AWS credentials and at your cost",
                "a key that clients must have, or an address of this machine alone",
                "set SEALIFT_PROXY_KEY, or leave --host out",
            )
            raise InvalidInput("--host", [problem])

    def refusal(
        self, *, host: str, origin: str | None, authorization: str, open_to_all: bool
    ) -> ErrorAnswer | None:
        """Return why a request is not answered; None for one that is.

        Args:
            host: its header of that name.
            origin: the page that sent it, as a browser says; None for programs.
            authorization: its header of that name; empty without one.
            open_to_all: whether it asks for what needs no key: the page itself.
        """
        if is_loopback(self.host) and not is_loopback(_name(host)):
            return openai_errors.told(
                403,
                f"the request is addressed to {host!r}; wanted localhost or 127.0.0.1: a name of somebody else's that "
                "points to this machine is not answered (DNS rebinding)",
                kind=openai_errors.PERMISSION,
                code="wrong_host",
            )
        if origin is not None and _place(origin) != host.lower():
            return openai_errors.told(
                403,
                f"the page {origin!r} asks; wanted this server's own page, or a program: other pages may not ask with "
                "your AWS credentials",
                kind=openai_errors.PERMISSION,
                code="wrong_origin",
            )
        if self.key is None or open_to_all:
            return None
        given = (
            authorization[len(_BEARER) :].strip() if authorization[: len(_BEARER)].lower() == _BEARER else ""
        )
        if hmac.compare_digest(given.encode(errors="surrogateescape"), self.key.encode()):
            return None
        seen = "another key than this server's" if given else "no key"
        return openai_errors.told(
            401, f"{seen}; wanted the one of SEALIFT_PROXY_KEY as a bearer token", code="invalid_api_key"
        )


def _name(host: str) -> str:
    """Return the name in a Host header, without its port."""
    try:
        return urlsplit(f"//{host}").hostname or ""
    except ValueError:
        return ""


def _place(origin: str) -> str:
    try:
        return urlsplit(origin).netloc.lower()
    except ValueError:
        return ""
