"""Filter patterns, held against the examples of AWS's guide."""

from __future__ import annotations

import contextlib
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from local_cloud.logs import patterns

TRAIL: dict[str, Any] = {
    "eventType": "UpdateTrail",
    "sourceIPAddress": "111.111.111.111",
    "arrayKey": ["value", "another value"],
    "objectList": [{"name": "a", "id": 1}, {"name": "b", "id": 2}],
    "SomeObject": None,
    "ThisFlag": True,
}
USERS: dict[str, Any] = {
    "user": {"id": 1, "email": "John.Stiles@example.com"},
    "users": [{"id": 2, "email": "John.Doe@example.com"}, {"id": 3, "email": "Jane.Doe@example.com"}],
    "actions": ["GET", "PUT", "DELETE"],
    "coordinates": [[0, 1, 2], [4, 5, 6], [7, 8, 9]],
}
TIMES: dict[str, Any] = {"latency": 500, "numbers": [0.001], "errorCode": 400, "text": "abc", "digits": "500"}
ACCESS = '127.0.0.1 - frank [10/Oct/2000:13:25:15 -0700] "GET /index.html HTTP/1.0" 404 1534'


@pytest.mark.parametrize(
    ("event", "pattern", "matches"),
    [
        (TRAIL, '{ $.eventType = "UpdateTrail" }', True),
        (TRAIL, "{ $.eventType = UpdateTrail }", True),
        (TRAIL, "{ $.eventType = Update* }", True),
        (TRAIL, "{ $.eventType = *Trail }", True),
        (TRAIL, "{ $.eventType = *dateT* }", True),
        (TRAIL, "{ $.eventType = Upd*Trail }", False),
        (TRAIL, "{ $.eventType = * }", True),
        (TRAIL, "{ $.nothing = * }", False),
        (TRAIL, "{ $.sourceIPAddress != 123.123.* }", True),
        (TRAIL, "{ $.sourceIPAddress != 111.111.* }", False),
        (TRAIL, '{ $.arrayKey[0] = "value" }', True),
        (TRAIL, "{ $.objectList[1].id = 2 }", True),
        (TRAIL, "{ $.objectList[2].id = 2 }", False),
        (TRAIL, "{ $.SomeObject IS NULL }", True),
        (TRAIL, "{ $.eventType IS NULL }", False),
        (TRAIL, "{ $.nothing IS NULL }", False),
        (TRAIL, "{ $.SomeOtherObject NOT EXISTS }", True),
        (TRAIL, "{ $.SomeObject NOT EXISTS }", False),
        (TRAIL, "{ $.ThisFlag IS TRUE }", True),
        (TRAIL, "{ $.ThisFlag IS FALSE }", False),
        (USERS, '{ ($.user.id = 1) && ($.users[0].email = "John.Doe@example.com") }', True),
        (
            USERS,
            '{ ($.user.id = 2 && $.users[0].email = "nonmatch") || $.actions[2] = "GET" }',
            False,
        ),
        (
            USERS,
            '{ $.user.email = "John.Stiles@example.com" || $.coordinates[0][1] = nonmatch && $.actions[2] = nomatch }',
            True,
        ),
        (
            USERS,
            '{ ($.user.email = "John.Stiles@example.com" || $.coordinates[0][1] = no) && $.actions[2] = no }',
            False,
        ),
        # A list is nothing that can be compared, whatever is asked of it.
        (USERS, "{ $.users = 1 }", False),
        (USERS, "{ $.users != 1 }", False),
        (TIMES, "{ $.latency >= 500 }", True),
        (TIMES, "{ $.latency > 500 }", False),
        (TIMES, "{ $.latency <= 500 }", True),
        (TIMES, "{ $.latency < 500 }", False),
        (TIMES, "{ $.latency = 500 }", True),
        (TIMES, "{ $.latency > +100 }", True),
        (TIMES, "{ $.latency > -1e3 }", True),
        (TIMES, "{ $.numbers[0] < 10e-3 }", True),
        (TIMES, "{ $.numbers[0] < 10e-5 }", False),
        (TIMES, "{ $.errorCode != 500 }", True),
        (TIMES, "{ $.text >= 0 }", False),
        (TIMES, "{ $.nothing >= 0 }", False),
    ],
)
def test_events_of_json(event: dict[str, Any], pattern: str, matches: bool) -> None:
    """As the guide has them, and the other side of each bound."""
    assert (patterns.parse(pattern).match(json.dumps(event)) is not None) == matches


@pytest.mark.parametrize(
    "event", ["", "no JSON", "[1]", '2026 {"eventType": "UpdateTrail"}', '{"eventType": "UpdateT']
)
def test_what_is_no_object_from_its_first_character_on_is_no_event_of_json(event: str) -> None:
    """So a line behind a time and a level matches nothing."""
    assert patterns.parse("{ $.eventType = * }").match(event) is None


@pytest.mark.parametrize(
    ("pattern", "fields"),
    [
        (
            "[ip, user, username, timestamp, request, status_code, bytes]",
            {"ip": "127.0.0.1", "timestamp": "10/Oct/2000:13:25:15 -0700", "bytes": "1534"},
        ),
        ("[..., status_code, bytes]", {"status_code": "404", "bytes": "1534"}),
        ("[ip, user, ..., status_code, bytes]", {"ip": "127.0.0.1", "user": "-", "status_code": "404"}),
        ("[ip, user, ...]", {"user": "-"}),
        ("[ip, user, username, timestamp, request, status_code, bytes > 1000]", {"bytes": "1534"}),
        ("[ip, user, username, timestamp, request, status_code, bytes > 1534]", None),
        ("[ip, user, username, timestamp, request, status_code = 4*, bytes]", {"status_code": "404"}),
        ("[ip, user, username, timestamp, request, status_code = 200, bytes]", None),
        ("[ip, user, username, timestamp, request = *html*, status_code = 4*, bytes]", {"request": None}),
        ("[..., status_code = 4* && status_code != 403, bytes]", {"status_code": "404"}),
        ("[..., status_code = 4* && status_code != 404, bytes]", None),
        ("[..., status_code = 5* || status_code = 404, bytes]", {"status_code": "404"}),
        ("[..., request=*.html*, status_code=4*,]", {"status_code": "404"}),
        ("[ip, user]", None),
        ("[a, b, c, d, e, f, g, h]", None),
    ],
)
def test_events_of_fields(pattern: str, fields: dict[str, str | None] | None) -> None:
    """What is between brackets or quotes is one field, and an ellipsis stands for any number of them."""
    found = patterns.parse(pattern).match(ACCESS)

    assert (found is None) == (fields is None)
    for name, value in (fields or {}).items():
        assert found is not None
        assert found.value(f"${name}") == (value or "GET /index.html HTTP/1.0")


@pytest.mark.parametrize(
    ("pattern", "event", "matches"),
    [
        ("ERROR", "[ERROR] A fatal exception has occurred", True),
        ("ERROR", "Exiting with ERRORCODE: -1", True),
        ('"ERROR" -"Exiting"', "Exiting with ERRORCODE: -1", False),
        ("ERROR Exception", "[ERROR] Unhandled Exception", True),
        ("ERROR Exception", "[ERROR] Unhandled", False),
        ('"Failed to process the request"', "[WARN] Failed to process the request", True),
        ("?ERROR ?WARN", "WARN message", True),
        ("?ERROR ?WARN", "INFO message", False),
        ("ERROR -WARN", "ERROR WARN message", False),
        ("", "anything", True),
    ],
)
def test_any_event(pattern: str, event: str, matches: bool) -> None:
    """Terms that have to be in it, that must not, and of which one has to."""
    assert (patterns.parse(pattern).match(event) is not None) == matches


@pytest.mark.parametrize(
    "pattern",
    [
        "{ $.a = 1",
        "{ $.a }",
        "{ $.a = 1 && }",
        "{ ($.a = 1 }",
        "{ a = 1 }",
        "{ $.a > text }",
        "{ $.a = 1 } more",
        "[a, b",
        "[a, ..., b, ..., c]",
        "[a b]",
        "[a > text]",
        "[a = 1 && b = 2]",
        "no; term",
        "x" * 1025,
    ],
)
def test_what_is_no_pattern_is_refused(pattern: str) -> None:
    """As PutMetricFilter refuses it."""
    with pytest.raises(patterns.PatternRefused):
        patterns.parse(pattern).match("{}")


@given(st.text(max_size=80), st.text(max_size=80))
def test_any_text_is_a_pattern_or_refused(pattern: str, event: str) -> None:
    """And matches or does not."""
    with contextlib.suppress(patterns.PatternRefused):
        patterns.parse(pattern).match(event)
