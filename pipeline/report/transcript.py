"""The smoke test as it was: what was asked and answered, how long it took, and how fast the model is.

Pure. What the endpoint did not tell and nobody measured is None, and stays so.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pipeline.rollout import answer_speed

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pipeline.rollout.answer_speed import AnswerSpeed, ComputedSpeed


@dataclass(frozen=True, slots=True)
class Exchange:
    """One question and its answer."""

    prompt: str
    answer: str
    finish_reason: str | None
    seconds: float | None
    """As the caller saw it."""
    first_token_s: float | None
    """The same until its first token; None of an answer that came whole."""
    prompt_tokens: int | None
    """Those that were evaluated; what the endpoint had in its cache is not among them."""
    completion_tokens: int | None
    model_seconds: float | None
    """What the endpoint itself says that the prompt and the answer took."""
    tokens_per_second: float | None
    """Of the answer, by the endpoint's own clock."""
    bytes_in: int | None
    bytes_out: int | None


@dataclass(frozen=True, slots=True)
class Transcript:
    """All of them."""

    exchanges: tuple[Exchange, ...]
    speed: AnswerSpeed | None
    """Of one more answer, when the container was up; None where it was not measured."""
    planned: ComputedSpeed | None = None
    """What the plan computed for its instance type; None on serverless."""

    @property
    def first_seconds(self) -> float | None:
        """The first answer's, which may pay for the start of a container."""
        return self.exchanges[0].seconds if self.exchanges else None

    @property
    def start_seconds(self) -> float | None:
        """What the first call took beside the model's own work."""
        first = self.exchanges[0] if self.exchanges else None
        if first is None or first.seconds is None or first.model_seconds is None:
            return None
        return max(0.0, first.seconds - first.model_seconds)

    @property
    def billed(self) -> tuple[float, str] | None:
        """Seconds of one answer for the reckoning of its price, and how they were measured; None when they were not."""
        modelled = [one.model_seconds for one in self.exchanges if one.model_seconds is not None]
        if modelled:
            return sum(modelled) / len(modelled), "by the endpoint's own clock"
        later = [one.seconds for one in self.exchanges[1:] if one.seconds is not None]
        if later:
            return sum(later) / len(later), "as the caller saw it, the first answer left out"
        if self.first_seconds is not None:
            return self.first_seconds, "as the caller saw it; a start of the container may be in it"
        return None


def read(results: Mapping[str, Any]) -> Transcript | None:
    """Return the transcript of SmokeTest's result, beside what the plan computed; None when there is none."""
    tested = results.get("smoke_test")
    if not isinstance(tested, dict) or not tested.get("transcript"):
        return None
    exchanges = tuple(_exchange(one) for one in tested["transcript"])
    return Transcript(exchanges, answer_speed.read(tested), answer_speed.computed(results))


def _exchange(one: Mapping[str, Any]) -> Exchange:
    timings = one.get("timings")
    said: Mapping[str, Any] = timings if isinstance(timings, dict) else {}
    prompt_ms, predicted_ms = _number(said.get("prompt_ms")), _number(said.get("predicted_ms"))
    model = None if prompt_ms is None or predicted_ms is None else (prompt_ms + predicted_ms) / 1000
    return Exchange(
        prompt=str(one.get("prompt", "")),
        answer=str(one.get("answer", "")),
        finish_reason=one.get("finish_reason"),
        seconds=_number(one.get("seconds")),
        first_token_s=_number(one.get("first_token_s")),
        prompt_tokens=_count(said.get("prompt_n")),
        completion_tokens=_count(one.get("completion_tokens")),
        model_seconds=model,
        tokens_per_second=_number(said.get("predicted_per_second")) or None,
        bytes_in=_count(one.get("bytes_in")),
        bytes_out=_count(one.get("bytes_out")),
    )


def _number(value: Any) -> float | None:
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None


def _count(value: Any) -> int | None:
    number = _number(value)
    return None if number is None else int(number)
