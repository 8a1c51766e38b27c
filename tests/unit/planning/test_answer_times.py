"""What fits into the 60 s of a whole answer, and the 8 minutes of a streamed one."""

from __future__ import annotations

from dataclasses import replace

import pytest

from pipeline.limits import GiB
from pipeline.planning import answer_times
from pipeline.sizing import instance_choice, instance_types
from pipeline.state_data.plan_types import Offer
from tests.unit.sizing.test_slots import PLAIN, needs

LARGE = needs(replace(PLAIN, tensor_bytes=3 * GiB))


def offer(tokens_per_s: float, name: str = "ml.slow") -> Offer:
    """Return a type of such a speed."""
    return Offer(name, 4, 16, 1.5, tokens_per_s, "", "", "", "")


@pytest.mark.parametrize(
    ("speed", "tokens", "told"),
    [
        pytest.param(2.5, 150, None, id="a usual answer just fits"),
        pytest.param(
            2.4,
            150,
            "about 144 tokens fit into the 60 s of a whole answer there, 1152 into the 8 minutes of a streamed one; "
            "an answer of max_tokens 150 takes about 62 s, and a whole one ends unfinished: stream it; or set "
            "max_tokens to 144 or less",
            id="it just does not",
        ),
        pytest.param(
            1.0,
            32,
            "about 60 tokens fit into the 60 s of a whole answer there, 480 into the 8 minutes of a streamed one",
            id="max_tokens fits, a usual answer does not",
        ),
        pytest.param(
            1.0,
            60,
            "about 60 tokens fit into the 60 s of a whole answer there, 480 into the 8 minutes of a streamed one",
            id="max_tokens just fits",
        ),
        pytest.param(
            1.0,
            480,
            "about 60 tokens fit into the 60 s of a whole answer there, 480 into the 8 minutes of a streamed one; an "
            "answer of max_tokens 480 takes about 480 s, and a whole one ends unfinished: stream it; or set "
            "max_tokens to 60 or less",
            id="a stream just fits",
        ),
        pytest.param(
            1.0,
            481,
            "about 60 tokens fit into the 60 s of a whole answer there, 480 into the 8 minutes of a streamed one; an "
            "answer of max_tokens 481 takes about 481 s, and a whole one ends unfinished: set max_tokens to 60 or less",
            id="not even a stream does",
        ),
    ],
)
def test_what_fits_on_a_type_is_told_where_it_is_little(speed: float, tokens: int, told: str | None) -> None:
    """A type that gives a usual answer, and one of max_tokens, needs no word."""
    assert answer_times.on_instances([offer(speed)], tokens, 60, streams=True) == ((told,) if told else ())


def test_a_type_that_answers_in_time_is_named_and_no_stream_where_there_is_none() -> None:
    """The first that does."""
    (told,) = answer_times.on_instances(
        [offer(1.0), offer(4.9, "ml.no"), offer(5.0, "ml.fast"), offer(9.0, "ml.faster")],
        300,
        60,
        streams=False,
    )

    assert told == (
        "about 60 tokens fit into the 60 s of a whole answer there; an answer of max_tokens 300 takes about 300 s, and "
        "a whole one ends unfinished: ml.fast at $1.5 an hour answers in time; or set max_tokens to 60 or less"
    )


def test_of_serverless_the_slowest_type_stands_for_it() -> None:
    """AWS says nothing of its speed; whoever asks for no more than that is told nothing."""
    slowest = min(instance_types.TABLE, key=lambda one: (one.bandwidth_gb_s, one.name))
    most = int(60 * instance_choice.tokens_per_s(LARGE, slowest))

    assert answer_times.on_serverless(LARGE, most, 60) == ()
    (told,) = answer_times.on_serverless(LARGE, most + 1, 60)
    assert told.startswith(
        f"about {most} tokens would fit into the 60 s of an answer on {slowest.name}, and max_"
    )


def test_a_model_that_embeds_has_no_tokens_to_count() -> None:
    """Its answers are vectors."""
    embedder = needs(replace(PLAIN, tensor_bytes=3 * GiB, embeds=True))

    assert answer_times.on_serverless(embedder, 10**6, 60) == ()
