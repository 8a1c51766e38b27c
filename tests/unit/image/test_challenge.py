"""What a registry writes into WWW-Authenticate, whoever keeps it."""

from __future__ import annotations

from hypothesis import example, given
from hypothesis import strategies as st

from pipeline.image.distribution import read_challenge

QUOTABLE = st.text(st.characters(min_codepoint=32, max_codepoint=126), min_size=1, max_size=60)


def quoted(text: str) -> str:
    """Return a text as HTTP quotes it."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


@given(QUOTABLE, QUOTABLE, QUOTABLE)
def test_what_is_quoted_is_read_as_it_was(realm: str, service: str, scope: str) -> None:
    """Whatever quotes, commas and backslashes are in it."""
    header = f"Bearer realm={quoted(realm)}, service={quoted(service)},scope={quoted(scope)}"

    found = read_challenge(header)

    assert found is not None
    assert (found.scheme, found.realm, found.service, found.scope) == ("bearer", realm, service, scope)


@given(st.text(max_size=200))
@example('Bearer realm="' + '\\"' * 4000)
@example("Bearer " + 'a="",' * 2000)
def test_anything_else_is_read_or_is_none(text: str) -> None:
    """Without an exception, and a bearer without a realm is none."""
    for header in (text, f"Bearer {text}", f"Basic {text}"):
        found = read_challenge(header)

        assert found is None or found.scheme == "basic" or found.realm
