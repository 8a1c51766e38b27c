"""What a refused call means to whoever asks, and how long is waited for a container."""

from __future__ import annotations

from typing import Any

import pytest
from botocore.exceptions import ClientError

from pipeline.client import calls
from pipeline.errors import (
    AccessDenied,
    EndpointFailed,
    ModelNotReady,
    NotYetVisible,
    RequestRejected,
    SealiftError,
    Throttled,
)


def refused(code: str, message: str = "", **response: Any) -> ClientError:
    """Return what the SDK raises."""
    return ClientError({"Error": {"Code": code, "Message": message}, **response}, "InvokeEndpoint")  # type: ignore[typeddict-item]


def by_container(status: int, message: str = "no") -> ClientError:
    """Return the refusal of a container."""
    return refused("ModelError", "see the log", OriginalStatusCode=status, OriginalMessage=message)


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        pytest.param(by_container(399), EndpointFailed, id="399"),
        pytest.param(by_container(400), RequestRejected, id="400"),
        pytest.param(by_container(429), Throttled, id="429"),
        pytest.param(by_container(499), RequestRejected, id="499"),
        pytest.param(by_container(500), EndpointFailed, id="500"),
        pytest.param(by_container(503), Throttled, id="503"),
        pytest.param(refused("ModelNotReadyException"), ModelNotReady, id="starting"),
        pytest.param(refused("ThrottlingException"), Throttled, id="throttled"),
        pytest.param(refused("AccessDeniedException"), AccessDenied, id="denied"),
        pytest.param(
            refused("ValidationError", "Endpoint x of account 1 not found."), NotYetVisible, id="gone"
        ),
    ],
)
def test_a_refusal_is_told_by_who_has_to_act(error: ClientError, kind: type[SealiftError]) -> None:
    """Whoever asked, the container, or time."""
    assert type(calls.refusal("harbor", error)) is kind


@pytest.mark.parametrize(
    ("message", "words"),
    [
        ('{"error": {"message": "too long", "code": 400}}', "too long"),
        ('{"error": "too long"}', "too long"),
        ('{"message": "too long"}', "too long"),
        ("too long", "too long"),
        ('{"error": {"message": ""}}', '{"error": {"message": ""}}'),
        ("[1]", "[1]"),
        ("", ""),
    ],
)
def test_a_containers_words_are_told_without_their_json(message: str, words: str) -> None:
    """In whichever form its server has them."""
    assert calls.container_words(message) == words


class Time:
    """A clock that only sleeping moves."""

    def __init__(self) -> None:
        self.at = 0.0

    def now(self) -> float:
        """Return the time."""
        return self.at

    def sleep(self, seconds: float) -> None:
        """Let it pass."""
        self.at += seconds


@pytest.mark.parametrize("passing", [ModelNotReady("x"), Throttled("x"), NotYetVisible("x")])
def test_what_passes_is_waited_for(passing: SealiftError) -> None:
    """Until it has passed."""
    time, tries = Time(), iter([passing, passing, None])

    def step() -> str:
        if (error := next(tries)) is not None:
            raise error
        return "there"

    assert calls.patiently(step, sleep=time.sleep, now=time.now) == "there"
    assert time.at == 2 * calls.LOOK_S


def test_nobody_waits_for_ever() -> None:
    """A container that has not come up by then does not."""
    time = Time()

    def step() -> None:
        raise ModelNotReady("x")

    with pytest.raises(ModelNotReady):
        calls.patiently(step, sleep=time.sleep, now=time.now)
    assert calls.PATIENCE_S <= time.at <= calls.PATIENCE_S + 2 * calls.LOOK_S


@pytest.mark.parametrize(
    ("message", "most_s"),
    [
        ("Inference Component has no capacity to process this request.", calls.WAKING_S),
        ("Another reason.", None),
    ],
)
def test_what_scaled_to_none_is_waited_for_longer(message: str, most_s: float | None) -> None:
    """As long as it takes to come back; any other refusal of that code is told at once."""
    time = Time()

    def step() -> None:
        with calls.told("harbor-1"):
            raise ClientError({"Error": {"Code": "ValidationError", "Message": message}}, "InvokeEndpoint")

    with pytest.raises(RequestRejected if most_s is None else ModelNotReady):
        calls.patiently(step, sleep=time.sleep, now=time.now)
    assert time.at == 0 if most_s is None else most_s <= time.at <= most_s + 2 * calls.LOOK_S


def test_what_does_not_pass_is_told_at_once() -> None:
    """A wrong question is wrong the second time too."""
    time = Time()

    def step() -> None:
        raise EndpointFailed("x")

    with pytest.raises(EndpointFailed):
        calls.patiently(step, sleep=time.sleep, now=time.now)
    assert time.at == 0
