"""Mixed traffic on one server, for a while, and what the server holds as it goes.

Owns the kinds of requests (short and long answers, streams, clients that hang up, chats, JSON, wrong bodies), and what
counts as growth. Refuses to measure speed.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import random
import threading
import time
from dataclasses import dataclass, field
from statistics import median
from typing import TYPE_CHECKING, Any, Final

from pipeline.limits import MiB

if TYPE_CHECKING:
    from benchmarks.serving import Side

CALLERS: Final = 8
SAMPLES: Final = 24
"""Moments at which the server is looked at, with no request under way."""
GROWTH: Final = 0.02
"""Of the memory in the run's second quarter: what its last quarter may have more, as an allocator wanders by that."""
SMALL: Final = 2 * MiB
"""What it may have more in any case."""


@dataclass
class Soaked:
    """What was asked, and what the server held."""

    answers: dict[str, int] = field(default_factory=dict)
    """How many requests ended in which way, by kind and status."""
    resident: list[int] = field(default_factory=list)
    files: list[int] = field(default_factory=list)
    threads: list[int] = field(default_factory=list)


def run(side: Side, seconds: float, lock: threading.Lock) -> Soaked:
    """Send mixed traffic for so long; look at the server every now and then, when it has answered everything."""
    found = Soaked()
    for _ in range(SAMPLES):
        until = time.monotonic() + seconds / SAMPLES
        callers = [
            threading.Thread(target=_traffic, args=(side, until, found, lock, random.random()))
            for _ in range(CALLERS)
        ]
        for one in callers:
            one.start()
        for one in callers:
            one.join()
        _settle(side)
        usage = side.usage()
        found.resident.append(usage.resident)
        found.files.append(usage.files)
        found.threads.append(usage.threads)
    return found


def _settle(side: Side) -> None:
    """Wait until what hung-up clients left behind is over: one answer comes, and then a moment passes."""
    side.sends({"prompt": "a", "max_tokens": 1})
    time.sleep(0.5)


def _traffic(side: Side, until: float, found: Soaked, lock: threading.Lock, seed: float) -> None:
    chance = random.Random(seed)
    while time.monotonic() < until:
        kind, body = _request(chance)
        try:
            ended = _hang_up(side, body) if kind == "hangs up" else str(_whole(side, body))
        except (OSError, http.client.HTTPException) as error:
            ended = type(error).__name__
        with lock:
            name = f"{kind}: {ended}"
            found.answers[name] = found.answers.get(name, 0) + 1


def _request(chance: random.Random) -> tuple[str, bytes]:
    """Return a kind of request and its body."""
    words = " ".join(
        chance.choice(("harbour", "convoy", "ping", "crane", "7")) for _ in range(chance.randrange(1, 40))
    )
    chat: dict[str, Any] = {"messages": [{"role": "user", "content": words}], "max_tokens": 24}
    text: dict[str, Any] = {"prompt": words, "max_tokens": chance.randrange(1, 64), "ignore_eos": True}
    kinds: tuple[tuple[str, Any], ...] = (
        ("short", {**text, "max_tokens": 1}),
        ("text", text),
        ("stream", {**text, "stream": True}),
        ("chat", chat),
        ("chat stream", {**chat, "stream": True, "stream_options": {"include_usage": True}}),
        ("hangs up", {**text, "max_tokens": 300, "stream": True}),
        ("json", {**chat, "response_format": {"type": "json_object"}, "max_tokens": 12}),
        ("too long", {"prompt": words * 80}),
        ("wrong", {"prompt": 7}),
        ("no json", None),
    )
    kind, body = chance.choice(kinds)
    return kind, b"{" if body is None else json.dumps(body).encode()


def _path(body: bytes) -> str:
    return "/v1/chat/completions" if b'"messages"' in body else "/invocations"


def _whole(side: Side, body: bytes) -> int:
    connection = http.client.HTTPConnection("127.0.0.1", side.port, timeout=120)
    try:
        connection.request("POST", _path(body), body, {"Content-Type": "application/json"})
        response = connection.getresponse()
        response.read()
        return response.status
    finally:
        connection.close()


def _hang_up(side: Side, body: bytes) -> str:
    connection = http.client.HTTPConnection("127.0.0.1", side.port, timeout=120)
    connection.request("POST", _path(body), body, {"Content-Type": "application/json"})
    if connection.sock is not None:
        connection.sock.settimeout(0.05)
    with contextlib.suppress(TimeoutError):
        connection.getresponse().read(64)
    connection.close()
    return "gone"


def growth(found: Soaked) -> list[str]:
    """Return what is more in the run's last quarter than in its second; the first one is the warm-up."""
    quarter = len(found.resident) // 4
    early, late = slice(quarter, 2 * quarter), slice(-quarter, None)
    before, after = median(found.resident[early]), median(found.resident[late])
    more = []
    if after > before + max(SMALL, GROWTH * before):
        more.append(f"memory from {before / MiB:.1f} to {after / MiB:.1f} MiB")
    for name, values in (("files", found.files), ("threads", found.threads)):
        if median(values[late]) > max(values[early]):
            more.append(f"{name} from {max(values[early])} to {median(values[late]):.0f}")
    return more


def line(name: str, found: Soaked) -> str:
    """Return what was asked and held, in one line."""
    quarter = len(found.resident) // 4
    held = ", ".join(
        f"{what} {median(values[quarter : 2 * quarter]) / unit:.1f} -> {median(values[-quarter:]) / unit:.1f}"
        for what, values, unit in (
            ("MiB", found.resident, MiB),
            ("files", found.files, 1),
            ("threads", found.threads, 1),
        )
    )
    asked = ", ".join(f"{kind} {number}" for kind, number in sorted(found.answers.items()))
    return f"{name}: {sum(found.answers.values())} requests; {held}; {asked}"
