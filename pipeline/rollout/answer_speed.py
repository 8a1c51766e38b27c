"""How fast a warm endpoint answers one caller: what a smoke test measured, and its words.

Pure. The server's own clock tells the rate where it tells one; when the first token was there only the caller's can
tell. What nobody told is None. Refuses to compute a speed: `pipeline.sizing` does, and beside a plan's figure this one
is called measured.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Final

from pipeline import json_codec
from pipeline.state_data.plan_types import PROMPT_TOKENS

if TYPE_CHECKING:
    from collections.abc import Mapping

NOT_MEASURED: Final = "how fast it answers was not measured"


@dataclass(frozen=True, slots=True)
class AnswerSpeed:
    """Of one answer to a warm endpoint that knew nothing of the question and had no other caller."""

    seconds: float
    """From the question to the answer's end, as the caller saw it."""
    first_token_s: float | None
    """From the question to the first token; None where the answer came whole."""
    tokens: int | None
    tokens_per_s: float | None
    """By the server's clock, its prompt left out; else by the caller's: of a stream from its first token on, of a whole
    answer with the prompt and the way there in it."""

    def __str__(self) -> str:
        """Return it in words."""
        first = (
            f"{self.seconds:.2f} s for an answer"
            if self.first_token_s is None
            else f"first token after {self.first_token_s:.2f} s"
        )
        return first if self.tokens_per_s is None else f"{first}, {rate(self.tokens_per_s)} tokens/s"


def rate(tokens_per_s: float) -> str:
    """Return tokens a second with as many digits as mean something."""
    return f"{tokens_per_s:.3g}" if tokens_per_s < 999.5 else f"{tokens_per_s:.0f}"


def measured(
    seconds: float, first_token_s: float | None, tokens: int | None, timings: Mapping[str, float]
) -> AnswerSpeed:
    """Return the speed of an answer.

    Args:
        seconds: that it took.
        first_token_s: after which its first token was there; None of a whole one.
        tokens: of the answer, by its usage.
        timings: the server's own, by llama.cpp's names.
    """
    if tokens is None and (counted := timings.get("predicted_n")) is not None:
        tokens = int(counted)
    return AnswerSpeed(seconds, first_token_s, tokens, _rate(seconds, first_token_s, tokens, timings))


def _rate(
    seconds: float, first_token_s: float | None, tokens: int | None, timings: Mapping[str, float]
) -> float | None:
    if (told := timings.get("predicted_per_second", 0.0)) > 0:
        return round(told, 3)
    # The first token took what came before it, so it is no part of the rate.
    made, took = (
        (tokens or 0, seconds) if first_token_s is None else ((tokens or 0) - 1, seconds - first_token_s)
    )
    return round(made / took, 3) if made > 0 and took > 0 else None


def read(tested: object) -> AnswerSpeed | None:
    """Return the speed in a smoke test's result, as JSON; None where it has none, as an older release's."""
    found = tested.get("speed") if isinstance(tested, dict) else None
    try:
        return None if found is None else json_codec.decode(AnswerSpeed, found)
    except json_codec.Mismatch:
        return None


@dataclass(frozen=True, slots=True)
class ComputedSpeed:
    """What a plan computed for the type that runs: one caller, after a prompt of `PROMPT_TOKENS`."""

    tokens_per_s: float
    first_token_s: float | None = None
    """None where it was not computed."""

    @property
    def prompt_tokens(self) -> int:
        """Of the prompt that the first token comes after."""
        return PROMPT_TOKENS


@dataclass(frozen=True, slots=True)
class SpeedComparison:
    """A speed, and what the plan had computed."""

    measured: AnswerSpeed
    planned: ComputedSpeed | None

    def __str__(self) -> str:
        """Return both in words."""
        return told(self.measured, self.planned)

    def to_json(self) -> dict[str, Any]:
        """Return it as a JSON object."""
        return {
            **asdict(self.measured),
            "planned_first_token_s": self.planned.first_token_s if self.planned else None,
            "planned_tokens_per_s": self.planned.tokens_per_s if self.planned else None,
        }


def running_offers(results: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Return what the plan says of each type that runs, as JSON: of one unless a pool came to several.

    Args:
        results: an execution's, as JSON.
    """
    on = (results.get("plan_deployment") or {}).get("instances") or {}
    running = _running(results, on)
    return [one for one in on.get("offers", ()) if one.get("name") in running]


def _running(results: Mapping[str, Any], on: Mapping[str, Any]) -> set[Any]:
    counted = (results.get("poll_endpoint") or {}).get("running") or {}
    return {name for name, count in counted.items() if count} or {on.get("type")}


def computed(results: Mapping[str, Any]) -> ComputedSpeed | None:
    """Return what a plan computed for the type that runs; None on serverless, and of several types.

    Args:
        results: an execution's, as JSON.
    """
    on = (results.get("plan_deployment") or {}).get("instances") or {}
    offers = running_offers(results)
    if len(_running(results, on)) != 1 or not offers or offers[0].get("tokens_per_s") is None:
        return None
    return ComputedSpeed(offers[0]["tokens_per_s"], offers[0].get("first_token_s"))


def told(speed: AnswerSpeed | None, planned: ComputedSpeed | None = None) -> str:
    """Return a speed in words, beside what a plan computed where it did; of either only what the other has too."""
    if speed is None:
        return NOT_MEASURED
    if planned is None:
        return f"measured warm with one caller: {speed}"
    beside = []
    if speed.first_token_s is not None and planned.first_token_s is not None:
        beside.append(
            f"first token after {planned.first_token_s:.2f} s of a prompt of {PROMPT_TOKENS} tokens"
        )
    if speed.tokens_per_s is not None:
        beside.append(f"about {rate(planned.tokens_per_s)} tokens/s")
    more = f"; the plan computed {', '.join(beside)}" if beside else ""
    return f"measured warm with one caller: {speed}{more}"
