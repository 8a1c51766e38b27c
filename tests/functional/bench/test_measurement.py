"""The measurement in its threads, against a runtime of the process: who asks what, and what becomes of refusals."""

from __future__ import annotations

import threading
from collections import Counter
from itertools import count, repeat
from typing import TYPE_CHECKING, Any, cast

import pytest

from pipeline.aws.clients import Clients
from pipeline.bench import load
from pipeline.bench.measurement import Measurement
from pipeline.bench.samples import Round, Sample
from pipeline.bench.sweep import LoadStage
from pipeline.bench.targets import LoadTarget
from pipeline.errors import AccessDenied, EndpointFailed, Throttled
from tests.functional.bench.fake_runtime import FakeRuntime, refused
from tests.unit.bench.measured import INSTANCE, SERVERLESS, VECTORS

if TYPE_CHECKING:
    from collections.abc import Callable


class Ticking:
    """A clock that goes on by a hundredth with every look, and by what is slept."""

    def __init__(self) -> None:
        self._ticks = count()
        self.slept = 0.0

    def now(self) -> float:
        """Return the time."""
        return next(self._ticks) / 100 + self.slept

    def sleep(self, seconds: float) -> None:
        """Let it pass."""
        self.slept += seconds


def measurement(
    runtime: FakeRuntime,
    *targets: LoadTarget,
    stages: tuple[LoadStage, ...],
    clock: Ticking | None = None,
    **more: Any,
) -> Measurement:
    """Return a measurement of what the runtime has."""
    time = clock or Ticking()
    return Measurement(
        cast("Clients", runtime),
        targets,
        stages,
        16,
        "seed",
        now=time.now,
        sleep=time.sleep,
        look=more.pop("look", lambda _: None),
        pause_s=0,
    )


LONG = 1e6
KEYS = {"aws_access_key_id": "a", "aws_secret_access_key": "b"}
_REJECTED = refused("ModelError", OriginalStatusCode=400, OriginalMessage="no")
ONE = LoadStage(3, 64, 1, 12, LONG)


def test_every_call_is_made_and_warm_up_left_out() -> None:
    """Two to find the lengths, one of each caller, and those that are measured; all prompts differ and fit."""
    runtime = FakeRuntime()
    work = measurement(runtime, SERVERLESS, stages=(ONE,))
    work.run()
    ((measured,),) = work.results.stages

    assert len(runtime.asked) == 2 + 3 + 12
    assert len(measured.warm_up.samples) == 3
    (whole,) = measured.rounds
    assert (len(whole.samples), whole.failures, whole.whole) == (12, [], True)
    bodies = [body for _, body in runtime.asked]
    assert [one["max_tokens"] for one in bodies] == [1, 1, *repeat(16, 15)]
    assert all(one["ignore_eos"] and "stream" not in one for one in bodies)
    texts = [one["messages"][0]["content"] for one in bodies]
    assert len(set(texts)) == len(texts)
    # 10 tokens and two for each word.
    assert {one.prompt_tokens for one in whole.samples} == {64}
    assert work.results.lengths.measured


def test_callers_ask_at_once() -> None:
    """As many as the stage says: each call waits until all of them are there."""
    runtime = FakeRuntime()
    work = measurement(runtime, SERVERLESS, stages=(LoadStage(5, 64, 1, 10, LONG),))
    probes = threading.Barrier(5)
    runtime._error = lambda number: setattr(runtime, "_gate", probes if number > 2 else None)  # type: ignore[method-assign, func-returns-value, assignment]
    work.run()

    assert runtime.at_once == 5


def test_a_stream_tells_its_first_token() -> None:
    """Before its end, at the first event that has a text, not at an empty one; and is closed."""
    clock = Ticking()
    runtime = FakeRuntime(tick=lambda: clock.sleep(1))
    work = measurement(runtime, INSTANCE, stages=(LoadStage(1, 64, 1, 2, LONG),), clock=clock)
    work.run()
    samples = work.results.stages[0][0].rounds[0].samples

    assert [one.first_s and round(one.first_s) for one in samples] == [2, 2]
    assert [round(one.seconds) for one in samples] == [4, 4]
    assert {(one.completion_tokens, one.prompt_tokens, one.server_s) for one in samples} == {(16, 64, 0.5)}
    assert all(body["stream"] for _, body in runtime.asked)
    assert runtime.closed == len(runtime.asked)


def test_vectors_are_asked_for_as_they_are() -> None:
    """With a text and nothing else."""
    runtime = FakeRuntime()
    work = measurement(runtime, VECTORS, stages=(LoadStage(1, 64, 1, 2, LONG),))
    work.run()

    assert all(set(body) == {"input"} for _, body in runtime.asked)
    assert len(work.results.stages[0][0].rounds[0].samples) == 2


def test_two_endpoints_take_turns_and_get_the_same_prompts() -> None:
    """Whoever came first comes second in the next round."""
    runtime = FakeRuntime()
    work = measurement(runtime, SERVERLESS, INSTANCE, stages=(LoadStage(1, 64, 4, 2, LONG),))
    work.run()
    first, second = work.results.stages[0]
    names = [name for name, _ in runtime.asked[6:]]

    assert names == ["demo-1"] * 2 + ["tug-1"] * 4 + ["demo-1"] * 4 + ["tug-1"] * 4 + ["demo-1"] * 2
    assert [len(one.rounds) for one in (first, second)] == [4, 4]
    asked = {
        name: Counter(body["messages"][0]["content"] for whose, body in runtime.asked if whose == name)
        for name in ("demo-1", "tug-1")
    }
    assert asked["demo-1"] == asked["tug-1"]
    assert set(asked["demo-1"].values()) == {1}


def test_a_container_that_starts_is_waited_for_in_the_first_call_alone() -> None:
    """Its start is in the first call's seconds, and in no figure."""
    clock = Ticking()
    runtime = FakeRuntime(error=lambda number: refused("ModelNotReadyException") if number <= 5 else None)
    work = measurement(runtime, SERVERLESS, stages=(ONE,), clock=clock)
    work.run()
    started = work.results.started["demo-1"]

    assert clock.slept == 5
    assert started.first_s > 5
    assert started.second_s < 1
    assert max(one.seconds for one in work.results.stages[0][0].rounds[0].samples) < 1


def test_what_is_throttled_is_counted_and_not_repeated() -> None:
    """An endpoint for one that four ask: what it refuses is an error of its kind, and the calls stay bounded."""
    barrier = threading.Barrier(4)
    runtime = FakeRuntime()

    def all_there(number: int) -> Exception | None:
        if number <= 2 or number > 2 + 8:
            return None
        # All four are in the runtime before any of them is answered.
        barrier.wait(20)
        return refused("ThrottlingException") if number % 4 else None

    runtime._error = all_there  # type: ignore[method-assign]
    work = measurement(runtime, SERVERLESS, stages=(LoadStage(4, 64, 1, 12, LONG),))
    work.run()
    ((measured,),) = work.results.stages
    (found,) = measured.rounds

    assert {one.kind for one in found.failures} == {"Throttled"}
    assert (len(found.samples) + len(found.failures), found.done) == (12, 12)
    assert len(measured.warm_up.failures) == 3
    assert len(runtime.asked) == 2 + 4 + 12


def test_a_stage_that_is_refused_is_left_out_and_the_next_is_measured() -> None:
    """A prompt that is too long for the model is no reason to end."""
    too_long = refused("ModelError", OriginalStatusCode=400, OriginalMessage='{"error": "too long"}')
    runtime = FakeRuntime(error=lambda number: too_long if 2 < number <= 5 else None)
    work = measurement(runtime, SERVERLESS, stages=(ONE, LoadStage(1, 32, 1, 2, LONG)))
    work.run()
    (first,), (second,) = work.results.stages

    assert "too long" in first.refused
    assert first.rounds == []
    assert len(second.rounds[0].samples) == 2


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        pytest.param(refused("ThrottlingException"), "Throttled", id="throttled"),
        pytest.param(refused("ModelNotReadyException"), "ModelNotReady", id="a start"),
        pytest.param(
            refused("ModelError", OriginalStatusCode=500, OriginalMessage="x"), "EndpointFailed", id="failed"
        ),
        pytest.param(
            refused("ModelError", OriginalStatusCode=400, OriginalMessage="x"),
            "RequestRejected",
            id="rejected",
        ),
        pytest.param(
            refused("InternalFailure", ResponseMetadata={"HTTPStatusCode": 500}),
            "ServiceUnavailable",
            id="AWS",
        ),
        pytest.param(ValueError("not JSON"), None, id="a mistake of ours"),
        pytest.param(refused("AccessDeniedException"), None, id="denied"),
        pytest.param(refused("ValidationError", "Endpoint demo-1 of account 1 not found."), None, id="gone"),
    ],
)
def test_errors_are_counted_by_kind_or_end_it(error: Exception, kind: str | None) -> None:
    """What no other call would survive is an end; all else is a figure."""
    runtime = FakeRuntime(error=lambda number: error if number > 5 else None)
    work = measurement(runtime, SERVERLESS, stages=(ONE,))
    if kind is None:
        with pytest.raises(Exception, match=r"no|not JSON|not found"):
            work.run()
        assert not work.results.stages[0][0].rounds[0].whole
        assert len(runtime.asked) <= 5 + 3
        return
    work.run()

    assert Counter(one.kind for one in work.results.stages[0][0].rounds[0].failures) == {kind: 12}


@pytest.mark.parametrize(
    ("fails", "measured"),
    [
        pytest.param({1, 2, 4}, True, id="now-and-then"),
        pytest.param({1, 2, 3}, False, id="always"),
        pytest.param({2, 3, 4}, False, id="at-long-prompts"),
    ],
)
def test_a_first_call_that_fails_is_made_again(*, fails: set[int], measured: bool) -> None:
    """Three times in all: else one that fails half of its calls would mostly not be measured."""
    failed = refused("ModelError", OriginalStatusCode=500, OriginalMessage="boom")
    gone = refused("ServiceUnavailable", ResponseMetadata={"HTTPStatusCode": 503})
    errors = {number: gone if number == 2 else failed for number in fails}
    runtime = FakeRuntime(error=errors.get)
    work = measurement(runtime, SERVERLESS, stages=(ONE,))
    if not measured:
        with pytest.raises(EndpointFailed, match="boom"):
            work.run()
        assert len(runtime.asked) == max(fails)
        return
    work.run()

    assert len(work.results.stages[0][0].rounds[0].samples) == 12
    assert len(runtime.asked) == 5 + 3 + 12


def test_what_is_no_answer_is_an_error_too() -> None:
    """Whoever answered with something else."""
    runtime = FakeRuntime()
    work = measurement(runtime, SERVERLESS, stages=(LoadStage(1, 64, 1, 1, LONG),))
    answer = runtime._answer
    runtime._answer = lambda request: {} if len(runtime.asked) > 2 else answer(request)  # type: ignore[method-assign]
    work.run()

    assert [one.kind for one in work.results.stages[0][0].rounds[0].failures] == ["NotAnAnswer"]


@pytest.mark.parametrize(
    "error",
    [
        pytest.param(lambda number: _REJECTED if number == 3 else None, id="one was refused"),
        pytest.param(
            lambda number: refused("ThrottlingException") if number in {3, 4, 5} else None, id="throttled"
        ),
    ],
)
def test_a_warm_up_that_went_wrong_in_part_is_no_refusal(error: Callable[[int], Exception | None]) -> None:
    """Only where the endpoint takes none of such requests nothing is measured."""
    work = measurement(FakeRuntime(error=error), SERVERLESS, stages=(ONE,))
    work.run()
    ((measured,),) = work.results.stages

    assert measured.refused == ""
    assert measured.warm_up.failures
    assert len(measured.rounds[0].samples) == 12


def test_a_probe_that_is_too_long_is_no_end() -> None:
    """The lengths are guesses then."""
    too_long = refused("ModelError", OriginalStatusCode=400, OriginalMessage="too long")
    work = measurement(
        FakeRuntime(error=lambda number: too_long if number == 2 else None), SERVERLESS, stages=(ONE,)
    )
    work.run()

    assert not work.results.lengths.measured
    assert len(work.results.stages[0][0].rounds[0].samples) == 12


def test_who_may_not_call_hears_it() -> None:
    """At the first call."""
    work = measurement(
        FakeRuntime(error=lambda _: refused("AccessDeniedException")), SERVERLESS, stages=(ONE,)
    )

    with pytest.raises(AccessDenied):
        work._probe(SERVERLESS)


def test_an_interruption_leaves_what_there_is() -> None:
    """And ends what asks: no call begins after it."""
    runtime = FakeRuntime()

    def look(what: str) -> None:
        if "calls of" in what and runtime.asked[8:]:
            raise KeyboardInterrupt

    work = measurement(runtime, SERVERLESS, stages=(LoadStage(1, 64, 1, 10**9, LONG),), look=look)
    with pytest.raises(KeyboardInterrupt):
        work.run()
    (found,) = work.results.stages[0][0].rounds
    there = len(found.samples)

    assert there > 0
    assert not found.whole
    assert found.seconds > 0
    found.add(Sample(1.0))
    assert len(found.samples) == there


def test_time_ends_a_round() -> None:
    """No call begins after it, and those under way are waited for."""
    clock, into = Ticking(), Round()

    def ask(_: str) -> Sample:
        clock.sleep(4)
        return Sample(4.0)

    load.run(ask, repeat("x"), into, callers=1, seconds=10, now=clock.now, look=lambda _: None)

    assert len(into.samples) == 3
    assert into.whole
    assert 12 <= into.seconds < 13


def test_a_caller_that_was_refused_pauses() -> None:
    """Unless all is over: what halts a round ends the pause."""
    into, asked = Round(), []

    def ask(prompt: str) -> Sample:
        asked.append(prompt)
        raise Throttled("x")

    def look(_: int) -> None:
        if asked:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        load.run(ask, repeat("x"), into, callers=1, seconds=LONG, now=Ticking().now, look=look, pause_s=3600)
    assert len(asked) == 1


def test_each_caller_has_a_connection() -> None:
    """And other services keep the SDK's own number; its patience is what it was."""
    many = Clients(region="us-east-1", connections=33, credentials=KEYS)
    usual = Clients(region="us-east-1", credentials=KEYS)

    assert many.sagemaker_runtime.meta.config.max_pool_connections == 33
    assert many.sagemaker_runtime.meta.config.read_timeout == usual.sagemaker_runtime.meta.config.read_timeout
    assert (
        many.sagemaker.meta.config.max_pool_connections
        == usual.sagemaker.meta.config.max_pool_connections
        == 10
    )
