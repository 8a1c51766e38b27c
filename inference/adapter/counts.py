"""What the adapter tells of itself at /metrics, in Prometheus's text form.

Owns names and buckets. Refuses labels that a caller chooses: their number would have no bound.
"""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from sealift_log import ANSWERED, FAILED, GONE, REFUSED

if TYPE_CHECKING:
    from collections.abc import Iterator

EVENTS = (ANSWERED, REFUSED, FAILED, GONE)
"""What comes of requests, in the log's words."""
BUCKETS_S = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)


@dataclass
class Histogram:
    """Counts of seconds."""

    name: str
    about: str
    _counts: list[int] = field(default_factory=lambda: [0] * (len(BUCKETS_S) + 1))
    _sum: float = 0.0

    def add(self, seconds: float) -> None:
        """Count one."""
        self._counts[bisect_left(BUCKETS_S, seconds)] += 1
        self._sum += seconds

    def lines(self) -> Iterator[str]:
        """Give the text form."""
        yield from _head(self.name, self.about, "histogram")
        total = 0
        for bound, count in zip((*map(str, BUCKETS_S), "+Inf"), self._counts, strict=True):
            total += count
            yield f'{self.name}_bucket{{le="{bound}"}} {total}'
        yield f"{self.name}_sum {round(self._sum, 6)}"
        yield f"{self.name}_count {total}"


@dataclass
class Counts:
    """Everything that is counted."""

    requests: dict[str, int] = field(default_factory=lambda: dict.fromkeys(EVENTS, 0))
    """By what came of them, in the log's words."""
    first_token: Histogram = field(
        default_factory=lambda: Histogram(
            "sealift_time_to_first_token_seconds",
            "From a request's arrival to its first token, the queue among it.",
        )
    )
    queued: Histogram = field(
        default_factory=lambda: Histogram("sealift_queue_seconds", "How long requests waited for their turn.")
    )

    def text(self, *, waiting: int, running: int, slots: int, restarts: int) -> str:
        """Return all of it, and what is going on now.

        Args:
            waiting: requests that wait for their turn.
            running: requests that have it.
            slots: how many may.
            restarts: how often llama-server was started again.
        """
        lines = [*_head("sealift_requests_total", "Requests by what came of them.", "counter")]
        lines += [
            f'sealift_requests_total{{event="{event}"}} {count}' for event, count in self.requests.items()
        ]
        for name, about, kind, value in (
            (
                "sealift_llama_server_restarts_total",
                "Starts of llama-server after its end.",
                "counter",
                restarts,
            ),
            ("sealift_requests_waiting", "Requests that wait for their turn.", "gauge", waiting),
            ("sealift_requests_running", "Requests that have their turn.", "gauge", running),
            ("sealift_slots", "Requests that are answered at once at most.", "gauge", slots),
        ):
            lines += [*_head(name, about, kind), f"{name} {value}"]
        return "\n".join([*lines, *self.first_token.lines(), *self.queued.lines(), ""])


def _head(name: str, about: str, kind: str) -> Iterator[str]:
    yield f"# HELP {name} {about}"
    yield f"# TYPE {name} {kind}"
