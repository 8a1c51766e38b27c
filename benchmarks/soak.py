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
    from collections.abc import Sequence

    from benchmarks.serving import Side

CALLERS: Final = 8
SAMPLES: Final = 24
"""Moments at which the server is looked at, with no request under way."""
GROWTH: Final = 0.01
"""Of the memory in the run's middle: what its second half may bring. The first half fills what is kept on purpose: the
cache of prompts, a thread for each connection, an allocator's first heaps."""


@dataclass
class Soaked:
    """What was asked, and what the server held."""

    answers: dict[str, int] = field(default_factory=dict)
    """How many requests ended in which way, by kind and status."""
    asked: list[int] = field(default_factory=list)
    """How many requests had been answered at each moment."""
    resident: list[int] = field(default_factory=list)
    """Bytes of all processes that they share with nobody."""
    processes: dict[str, list[int]] = field(default_factory=dict)
    """The same, for each process by its name."""
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
        found.asked.append(sum(found.answers.values()))
        found.resident.append(sum(usage.own.values()))
        for name, held in usage.own.items():
            found.processes.setdefault(name, []).append(held)
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


def slope(values: Sequence[float]) -> float:
    """Return how much values rise from one to the next: the median over all pairs (Theil, Sen), deaf to outliers."""
    return median(
        (values[later] - values[earlier]) / (later - earlier)
        for earlier in range(len(values))
        for later in range(earlier + 1, len(values))
    )


def rise(values: Sequence[float]) -> float:
    """Return by how much values rise in their second half."""
    half = values[len(values) // 2 :]
    return slope(half) * (len(half) - 1)


def growth(found: Soaked) -> list[str]:
    """Return what the run's second half brought more than it may; the first one is the warm-up."""
    middle = len(found.resident) // 2
    more = []
    risen = rise(found.resident)
    if risen > GROWTH * median(found.resident[middle - 1 : middle + 2]):
        each = ", ".join(f"{name} {rise(held) / MiB:+.1f}" for name, held in found.processes.items())
        more.append(f"memory by {risen / MiB:.1f} MiB in the second half ({each})")
    early, late = slice(middle // 2, middle), slice(-(middle // 2), None)
    for name, values in (("files", found.files), ("threads", found.threads)):
        if median(values[late]) > max(values[early]):
            more.append(f"{name} from {max(values[early])} to {median(values[late]):.0f}")
    return more


def line(name: str, found: Soaked) -> str:
    """Return what was asked and held, in one line: memory, files and threads in the middle and at the end."""
    middle = len(found.resident) // 2

    def change(values: Sequence[float], unit: float = 1) -> str:
        return f"{median(values[middle - 1 : middle + 2]) / unit:.1f} -> {median(values[-3:]) / unit:.1f}"

    held = [f"MiB {change(found.resident, MiB)} ({rise(found.resident) / MiB:+.2f} in the second half)"]
    held += [f"{name} {change(values, MiB)}" for name, values in found.processes.items()]
    held += [f"files {change(found.files)}", f"threads {change(found.threads)}"]
    kinds = ", ".join(f"{kind} {number}" for kind, number in sorted(found.answers.items()))
    return f"{name}: {sum(found.answers.values())} requests; {', '.join(held)}; {kinds}"
