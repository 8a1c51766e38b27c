"""Who may ask the proxy."""

from __future__ import annotations

import pytest

from pipeline.client.proxy.access import ProxyAccess, is_loopback
from pipeline.errors import InvalidInput

HERE = "127.0.0.1:5056"
EVERYWHERE = "0.0.0.0"  # noqa: S104 it is refused without a key


def code(
    access: ProxyAccess,
    *,
    host: str = HERE,
    origin: str | None = None,
    authorization: str = "",
    page: bool = False,
) -> str | None:
    """Return the code of a refusal, None for who is let in."""
    found = access.refusal(host=host, origin=origin, authorization=authorization, open_to_all=page)
    return None if found is None else found.body.decode().rpartition('"code": "')[2].rstrip('"}')


@pytest.mark.parametrize(
    ("host", "here"),
    [
        ("localhost", True),
        ("LOCALHOST.", True),
        ("127.0.0.1", True),
        ("127.3.2.1", True),
        ("::1", True),
        (EVERYWHERE, False),
        ("::", False),
        ("192.168.1.2", False),
        ("localhost.evil.example", False),
        ("evil.example", False),
        ("", False),
    ],
)
def test_this_machine_alone_has_few_names(host: str, *, here: bool) -> None:
    """Addresses of it and `localhost`; no name that a resolver is asked for."""
    assert is_loopback(host) is here


@pytest.mark.parametrize("host", [EVERYWHERE, "::", "192.168.1.2", "harbor.example"])
def test_who_lets_others_in_wants_a_key(host: str) -> None:
    """With one it is anybody's host."""
    with pytest.raises(InvalidInput, match="SEALIFT_PROXY_KEY"):
        ProxyAccess(host)
    assert ProxyAccess(host, "secret").key == "secret"


@pytest.mark.parametrize(
    ("host", "wanted"),
    [
        (HERE, None),
        ("localhost:5056", None),
        ("[::1]:5056", None),
        ("localhost", None),
        ("evil.example:5056", "wrong_host"),
        ("evil.example@127.0.0.1.evil.example", "wrong_host"),
        ("[::1", "wrong_host"),
        ("", "wrong_host"),
    ],
)
def test_a_request_is_addressed_to_this_machine(host: str, wanted: str | None) -> None:
    """A name that somebody makes point here is not this machine's; the page is not shown under it either."""
    assert code(ProxyAccess("127.0.0.1"), host=host) == wanted
    assert code(ProxyAccess("127.0.0.1", "k"), host=host, authorization="Bearer k") == wanted
    assert code(ProxyAccess("127.0.0.1"), host=host, page=True) == wanted


def test_behind_a_key_any_name_will_do() -> None:
    """Who listens for others cannot know what they call it, and no page of a stranger's has the key."""
    assert code(ProxyAccess(EVERYWHERE, "k"), host="harbor.example", authorization="Bearer k") is None
    assert code(ProxyAccess(EVERYWHERE, "k"), host="harbor.example") == "invalid_api_key"


@pytest.mark.parametrize(
    ("origin", "wanted"),
    [
        (None, None),
        (f"http://{HERE}", None),
        (f"https://{HERE}", None),
        ("http://127.0.0.1:5057", "wrong_origin"),
        ("http://localhost:5056", "wrong_origin"),
        ("https://evil.example", "wrong_origin"),
        ("null", "wrong_origin"),
        ("", "wrong_origin"),
        ("http://[", "wrong_origin"),
    ],
)
def test_of_pages_only_this_servers_own_asks(origin: str | None, wanted: str | None) -> None:
    """With a key too: it may be in a browser's form."""
    assert code(ProxyAccess("127.0.0.1"), origin=origin) == wanted
    assert code(ProxyAccess(EVERYWHERE, "k"), origin=origin, authorization="Bearer k") == wanted


@pytest.mark.parametrize(
    ("authorization", "wanted"),
    [
        ("Bearer harbor", None),
        ("bearer  harbor ", None),
        ("harbor", "invalid_api_key"),
        ("Basic harbor", "invalid_api_key"),
        ("Bearer harbo", "invalid_api_key"),
        ("Bearer harborr", "invalid_api_key"),
        ("Bearer h\xe4rbor", "invalid_api_key"),
        ("Bearer", "invalid_api_key"),
        ("", "invalid_api_key"),
    ],
)
def test_a_key_is_compared_whole(authorization: str, wanted: str | None) -> None:
    """What is no bearer token is no key; the page needs none."""
    access = ProxyAccess("127.0.0.1", "harbor")
    assert code(access, authorization=authorization) == wanted
    assert code(access, authorization=authorization, page=True) is None


def test_without_a_key_any_will_do() -> None:
    """Clients of OpenAI's always send one."""
    assert code(ProxyAccess("127.0.0.1"), authorization="Bearer whatever") is None
