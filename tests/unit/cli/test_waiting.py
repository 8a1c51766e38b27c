"""What is shown while an answer is waited for."""

from __future__ import annotations

import io

import pytest

from pipeline.cli.commands import ask
from pipeline.cli.screen import Screen
from pipeline.cli.waiting import WaitingClock, said
from pipeline.client.endpoint import ServiceEndpoint


@pytest.mark.parametrize(("cold", "told"), [("it is cold", "waiting ... 5 s (it is cold)\n"), ("", "")])
def test_without_a_terminal_a_long_wait_is_told_once(cold: str, told: str) -> None:
    """A log has a line for what a terminal has a clock for, and no more."""
    written = io.StringIO()
    clock = WaitingClock(Screen(written), "waiting", cold)

    for seconds in (0.0, 4.0, 5.0, 6.0, 90.0):
        clock.show(seconds)

    assert written.getvalue() == told


@pytest.mark.parametrize(
    ("streams", "component", "why"),
    [
        pytest.param(False, False, "a container may be starting", id="serverless"),
        pytest.param(True, True, "coming back from no instance", id="scaled to none"),
        pytest.param(True, False, "", id="instances, which run all the time"),
    ],
)
def test_a_long_wait_is_explained_by_what_may_have_to_start(
    *, streams: bool, component: bool, why: str
) -> None:
    """In a line of an ordinary terminal."""
    found = ask.cold_start(ServiceEndpoint("demo", "demo-1", streams, component=component))

    assert why in found
    assert bool(found) is bool(why)
    assert len(said(ask.WAITING, 100.0, found)) < 80
