"""What fits into a call: how many tokens before SageMaker ends a whole answer, and a streamed one.

Owns these sentences, of computed speeds. Pure. Refuses to choose a type by them: `pipeline.sizing.preference` does.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pipeline import limits
from pipeline.sizing import instance_choice, instance_types, preference

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pipeline.sizing.fit import Fit
    from pipeline.state_data.plan_types import Offer

_STREAM_MINUTES = limits.STREAM_S.value // 60


def on_instances(found: Sequence[Offer], tokens: int, whole_s: int, *, streams: bool) -> tuple[str, ...]:
    """Return what does not fit on a type; nothing where max_tokens, and a usual answer, come in time.

    Args:
        found: the type that is taken, and those to step to.
        tokens: max_tokens of an answer.
        whole_s: seconds that a whole answer has.
        streams: whether answers can be streamed.
    """
    offer = found[0]
    seconds, fitting = instance_choice.answer_s(offer, tokens), _fitting(offer.tokens_per_s, whole_s)
    longest = max(tokens, preference.ANSWER_TOKENS)
    if instance_choice.answer_s(offer, longest) <= whole_s:
        return ()
    room = f"about {fitting} tokens fit into the {whole_s} s of a whole answer there"
    if streams:
        streamed = _fitting(offer.tokens_per_s, limits.STREAM_S.value)
        room += f", {streamed} into the {_STREAM_MINUTES} minutes of a streamed one"
    if seconds <= whole_s:
        return (room,)
    faster = next((one for one in found[1:] if instance_choice.answer_s(one, tokens) <= whole_s), None)
    ways = [f"{faster.name} at ${faster.usd_per_hour:g} an hour answers in time"] if faster else []
    ways += ["stream it"] if streams and seconds <= limits.STREAM_S.value else []
    ways += [f"set max_tokens to {fitting} or less"]
    said = f"an answer of max_tokens {tokens} takes about {seconds:.0f} s, and a whole one ends unfinished"
    return (f"{room}; {said}: {'; or '.join(ways)}",)


def on_serverless(needed: Fit, tokens: int, whole_s: int) -> tuple[str, ...]:
    """Return what may not fit on serverless, where nothing streams and whose speed AWS does not publish.

    Args:
        needed: what the model needs.
        tokens: max_tokens of an answer.
        whole_s: seconds that an answer has.
    """
    if needed.demand.shape.embeds:
        return ()
    slowest = min(instance_types.TABLE, key=lambda one: (one.bandwidth_gb_s, one.name))
    fitting = _fitting(instance_choice.tokens_per_s(needed, slowest), whole_s)
    if fitting >= tokens:
        return ()
    said = (
        f"about {fitting} tokens would fit into the {whole_s} s of an answer on {slowest.name}, and max_tokens is "
        f"{tokens}: AWS publishes no speed of serverless, and streams nothing there; the smoke test measures it"
    )
    return (said,)


def _fitting(tokens_per_s: float, seconds: int) -> int:
    return max(int(seconds * tokens_per_s), 1)
