"""Failures as OpenAI's clients hear them."""

from __future__ import annotations

import json

import pytest

from pipeline.client import calls
from pipeline.client.proxy import openai_errors
from pipeline.errors import (
    AccessDenied,
    EndpointFailed,
    InvalidInput,
    ModelNotReady,
    NotYetVisible,
    Problem,
    RequestRejected,
    SealiftError,
    ServiceUnavailable,
    Throttled,
)
from tests.unit.client.test_calls import by_container, refused

PROBLEM = [Problem("Any", "seen", "wanted", "fix")]
OPENAIS = '{"error": {"message": "too long", "type": "x", "param": null, "code": 422}}'


def raised(error: Exception) -> SealiftError:
    """Return what a call raises for what the SDK says."""
    try:
        with calls.told("harbor-1"):
            raise error
    except SealiftError as found:
        return found


@pytest.mark.parametrize(
    ("error", "status", "code"),
    [
        (InvalidInput("x", [Problem("NoDeployment", "a", "b", "c")]), 404, "model_not_found"),
        (InvalidInput("x", [Problem("NothingServes", "a", "b", "c")]), 503, "model_not_serving"),
        (AccessDenied("x", PROBLEM), 403, "aws_access_denied"),
        (RequestRejected("x", PROBLEM), 400, "aws_refused"),
        (Throttled("x"), 429, "rate_limit_exceeded"),
        (ModelNotReady("x"), 503, "model_not_ready"),
        (NotYetVisible("x"), 503, "endpoint_not_found"),
        (ServiceUnavailable("x"), 503, "aws_unavailable"),
        (EndpointFailed("x"), 502, "endpoint_failed"),
        (raised(refused("ValidationError", "no")), 400, "aws_refused"),
        (raised(by_container(0, "timed out")), 502, "endpoint_failed"),
        (raised(by_container(399, "odd")), 502, "endpoint_failed"),
        (raised(by_container(400, "bad")), 400, "container_refused"),
        (raised(by_container(599, "bad")), 599, "container_refused"),
        (raised(by_container(600, "bad")), 502, "endpoint_failed"),
    ],
)
def test_each_failure_has_its_status(error: SealiftError, status: int, code: str) -> None:
    """Those that pass are told when to come again."""
    answer = openai_errors.of(error)

    assert answer.status == status
    document = json.loads(answer.body)["error"]
    assert document["code"] == code
    assert document["message"]
    assert ("Retry-After" in answer.headers) is (status in {429, 503})


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, openai_errors.REQUEST),
        (429, openai_errors.RATE),
        (499, openai_errors.REQUEST),
        (500, openai_errors.SERVER),
    ],
)
def test_a_containers_words_are_told_by_their_status(status: int, kind: str) -> None:
    """Those that are in OpenAI's form already pass byte for byte."""
    assert json.loads(openai_errors.of(raised(by_container(status, "words"))).body)["error"] == {
        "message": "words",
        "type": kind,
        "param": None,
        "code": "container_refused",
    }
    assert openai_errors.of(raised(by_container(status, OPENAIS))).body == OPENAIS.encode()


@pytest.mark.parametrize(
    "message", ['{"error": "x"}', '{"error": {"message": 7}}', "[1]", '{"message": "x"}', ""]
)
def test_what_only_looks_like_openais_form_is_put_into_it(message: str) -> None:
    """Every client finds a message in an object `error`."""
    document = json.loads(openai_errors.of(raised(by_container(400, message))).body)
    assert isinstance(document["error"]["message"], str)
    assert document["error"]["message"]


def test_an_event_ends_a_stream() -> None:
    """One event in the form of an answer's, and nothing behind it."""
    event = openai_errors.event(EndpointFailed("it died"))
    assert event.startswith(b"data: {")
    assert event.endswith(b"}\n\n")
    assert event.count(b"\n") == 2
