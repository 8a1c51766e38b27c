"""The generation loop, with a model that is only a script."""

from __future__ import annotations

import contextlib
import threading
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sealift_chat import Constraint
from sealift_engine import (
    WATCHED,
    WORTH,
    Ask,
    Choice,
    Engine,
    Limits,
    Sampling,
    Transcript,
    _continues,
    shared_length,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

END = 99
FOR_EVER = Limits(lambda: float("inf"))
CHOSEN = Sampling(temperature=0.0, top_p=1.0, seed=0)


class _Script:
    """A stand-in for llama.cpp: tokens whose bytes are given, and a script of the ones that are chosen."""

    def __init__(self, *pieces: bytes, batch: int = 4, window: int = 0, forgets: bool = True) -> None:
        self.pieces = pieces
        self.batch = batch
        self.window = window
        self.forgets = forgets
        self.cache: list[int] = []
        self.decoded: list[list[int]] = []
        self.interrupted = threading.Event()
        self.on_decode: Callable[[], bool] = lambda: True
        self.slid = 0
        self.told: list[int] = []
        self.sampled: list[tuple[Sampling, Constraint | None, list[int]]] = []
        self.tokens: Iterator[int | None] = iter(())

    def piece(self, token: int, *, special: bool = False) -> bytes:
        return self.pieces[token] if special or not self.pieces[token].startswith(b"<|") else b""

    def ends(self, token: int) -> bool:
        return token == END

    def decode(self, tokens: Sequence[int], *, told: bool = False) -> bool:
        assert len(tokens) <= self.batch
        self.told = list(tokens) if told else []
        self.decoded.append(list(tokens))
        self.cache += tokens
        return self.on_decode()

    def interrupt(self) -> None:
        self.interrupted.set()

    def resume(self) -> None:
        self.interrupted.clear()

    def keep(self, count: int) -> bool:
        if self.forgets:
            del self.cache[count:]
        return self.forgets

    def clear(self) -> None:
        self.cache.clear()

    def oldest(self) -> int:
        return self.slid

    def state_size(self) -> int:
        return len(self.cache)

    def save(self) -> list[int]:
        return list(self.cache)

    def restore(self, buffer: list[int]) -> bool:
        self.cache = list(buffer)
        return True

    def logprobs(self, token: int, top: int, place: int = -1) -> tuple[float, list[tuple[int, float]]]:
        assert place == -1 or self.told[place] in (token - 1, 0)
        return -0.5, [(token, -0.5), (0, -1.5)][:top]

    @contextlib.contextmanager
    def sampler(
        self, sampling: Sampling, constraint: Constraint | None, prompt: Sequence[int]
    ) -> Iterator[Callable[[], int | None]]:
        self.sampled.append((sampling, constraint, list(prompt)))
        self.tokens = iter([*range(len(self.pieces)), END])
        yield lambda: next(self.tokens)


def _ask(script: _Script, tokens: Sequence[int] = (7,), limits: Limits = FOR_EVER, **changes: Any) -> Any:
    ask = Ask(**{"max_tokens": 50, "sampling": CHOSEN, **changes})
    return Engine(script).generate(list(tokens), ask, limits)


def test_answer_ends_with_the_models_own_token() -> None:
    """The token that ends an answer counts and is no text."""
    answer = _ask(_Script(b"well", b" said"))

    assert (answer.text, answer.finish_reason) == ("well said", "stop")
    assert (answer.prompt_tokens, answer.completion_tokens) == (1, 3)


def test_answer_ends_at_its_length() -> None:
    """The last token is not evaluated: nothing would come of it."""
    script = _Script(b"well", b" said")

    answer = _ask(script, max_tokens=2)

    assert (answer.text, answer.finish_reason, answer.completion_tokens) == ("well said", "length", 2)
    assert script.decoded == [[7], [0]]


def test_prompt_is_evaluated_in_batches() -> None:
    """No batch is larger than the context's."""
    script = _Script()

    _ask(script, range(10))

    assert script.decoded == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9]]


@pytest.mark.parametrize(
    ("pieces", "stops", "text", "reason"),
    [
        pytest.param([b"a", b"bc", b"d"], ["cd"], "ab", "stop", id="across-tokens"),
        pytest.param([b"a.b,c"], [",", "."], "a", "stop", id="the-first-in-the-text"),
        pytest.param([b".a"], ["."], "", "stop", id="at-once"),
        pytest.param([b"a\xc3", b"\xa4b"], ["\xe4"], "a", "stop", id="a-character-in-two-tokens"),
        pytest.param([b"ab", b"cab", b"cd"], ["abcd"], "abc", "stop", id="after-a-false-start"),
        pytest.param([b"abc"], ["x"], "abc", "stop", id="not-there"),
        pytest.param([b"\xf0\x9f\x9a", b"\xa2!"], [], "\N{SHIP}!", "stop", id="bytes-become-a-character"),
        pytest.param([b"a\xf0\x9f"], [], "a", "stop", id="a-character-without-its-end-is-left-out"),
        pytest.param([b"a\xffb"], [], "a\N{REPLACEMENT CHARACTER}b", "stop", id="a-byte-that-is-none"),
    ],
)
def test_text_ends_before_the_first_stop(
    pieces: list[bytes], stops: list[str], text: str, reason: str
) -> None:
    """Neither stops nor characters need to end where a token does."""
    answer = _ask(_Script(*pieces), stops=tuple(stops))

    assert (answer.text, answer.finish_reason) == (text, reason)


@given(
    st.text(alphabet="ab\xe4", max_size=30),
    st.lists(st.text(alphabet="ab\xe4", min_size=1, max_size=4), max_size=3),
    st.data(),
)
def test_stops_are_found_however_the_text_is_cut(text: str, stops: list[str], data: st.DataObject) -> None:
    """The result is that of looking at the whole text after each token."""
    raw = text.encode()
    transcript = Transcript(stops)
    done, seen = 0, b""
    while done < len(raw) and not transcript.stopped:
        step = data.draw(st.integers(1, 5))
        transcript.add(raw[done : done + step])
        seen += raw[done : done + step]
        done += step

    found = [seen.index(stop.encode()) for stop in stops if stop.encode() in seen]

    assert transcript.stopped == bool(found)
    assert len(transcript) == (min(found) if found else len(seen))


def test_grammar_and_sampling_reach_the_sampler() -> None:
    """What a request asks is what the sampler gets."""
    script = _Script()
    sampling = Sampling(0.3, 0.4, 5)

    _ask(script, sampling=sampling, constraint=Constraint("root ::= [a]"))

    assert script.sampled == [(sampling, Constraint("root ::= [a]"), [7])]


def test_special_tokens_are_no_text_but_those_that_are_preserved() -> None:
    """What an answer cannot be read without stays in it."""
    script = _Script(b"<|call|>", b"a", b"<|end|>")

    answer = _ask(script, preserved=frozenset({0}))

    assert answer.text == "<|call|>a"


def test_dead_end_of_a_grammar_is_told() -> None:
    """Where no token is allowed, the answer ends and says so."""
    script = _Script(b"{")

    @contextlib.contextmanager
    def sampler(*_: Any) -> Iterator[Callable[[], int | None]]:
        tokens = iter([0, None])
        yield lambda: next(tokens)

    vars(script)["sampler"] = sampler

    answer = _ask(script)

    assert (answer.text, answer.finish_reason) == ("{", "dead_end")


def test_log_probabilities_are_those_of_the_text() -> None:
    """Each token of the text has one, with the likeliest beside it; a token that is all stop has none."""
    answer = _ask(_Script(b"a", b"b.", b"c"), logprobs=2, stops=(".",))
    bare = _ask(_Script(b"a", b"."), logprobs=0, stops=(".",))

    assert answer.choices == [
        Choice(b"a", -0.5, ((b"a", -0.5), (b"a", -1.5))),
        Choice(b"b.", -0.5, ((b"b.", -0.5), (b"a", -1.5))),
    ]
    assert bare.choices == [Choice(b"a", -0.5)]


def test_time_that_is_up_ends_the_answer_with_what_there_is() -> None:
    """Between two tokens the clock is looked at."""
    times = iter([0.0, 0.0, 1.0, 2.0])
    limits = Limits(lambda: 2.0, clock=lambda: next(times))

    answer = _ask(_Script(b"a", b"b", b"c", b"d"), limits=limits)

    assert (answer.text, answer.finish_reason) == ("ab", "timeout")


def test_nobody_who_waits_ends_the_answer() -> None:
    """That the client has gone is a reason of its own, and stays one."""
    looks = iter([False, False, True])
    limits = Limits(lambda: float("inf"), gone=lambda: next(looks))

    answer = _ask(_Script(b"a", b"b", b"c"), limits=limits)

    assert (answer.text, answer.finish_reason) == ("a", "cancelled")
    assert limits.reason() == "cancelled"


def test_time_that_was_up_before_evaluates_nothing() -> None:
    """A request that has waited too long costs no evaluation."""
    script = _Script(b"a")

    answer = _ask(script, limits=Limits(lambda: 0.0, clock=lambda: 1.0))

    assert (answer.text, answer.finish_reason, answer.completion_tokens) == ("", "timeout", 0)
    assert script.decoded == []


def test_long_prompt_is_interrupted_while_it_is_evaluated() -> None:
    """A thread looks on, and what the interrupted batch left is forgotten: the next prompt continues the rest."""
    script = _Script(b"a")
    over = threading.Event()

    def interrupted() -> bool:
        if len(script.decoded) < 2:
            return True
        over.set()
        return not script.interrupted.wait(10)

    script.on_decode = interrupted
    engine = Engine(script)
    limits = Limits(lambda: float("inf"), gone=over.is_set)

    answer = engine.generate(list(range(4 * WATCHED)), Ask(5, CHOSEN), limits)

    assert (answer.finish_reason, answer.text, answer.completion_tokens) == ("cancelled", "", 0)
    assert not script.interrupted.is_set()
    assert script.cache == [0, 1, 2, 3]
    assert answer.evaluated_tokens == 4

    script.on_decode = lambda: True
    again = engine.generate(list(range(6)), Ask(5, CHOSEN), FOR_EVER)

    assert (again.cached_tokens, again.text) == (4, "a")


def test_failure_forgets_what_was_evaluated() -> None:
    """The next prompt does not build on half an evaluation."""
    script = _Script(b"a")
    engine = Engine(script)
    engine.generate([1, 2], Ask(1, CHOSEN), FOR_EVER)

    def fail() -> bool:
        raise RuntimeError("llama_decode returned -3")

    script.on_decode = fail
    with pytest.raises(RuntimeError, match="llama_decode"):
        engine.generate([1, 2, 3], Ask(1, CHOSEN), FOR_EVER)
    script.on_decode = lambda: True

    assert script.cache == []
    assert engine.generate([1, 2, 3], Ask(1, CHOSEN), FOR_EVER).cached_tokens == 0


@pytest.mark.parametrize(
    ("before", "now", "cached"),
    [
        pytest.param([1, 2, 3], [1, 2, 9, 9], 2, id="parts"),
        pytest.param([1, 2, 3], [1, 2, 3], 2, id="the same: its last token gives the logits"),
        pytest.param([1, 2, 3], [1, 2], 1, id="shorter"),
        pytest.param([1, 2, 3], [9], 0, id="nothing in common"),
        pytest.param([1, 2, 3], [1, 2, 3, 0, 5], 4, id="the answer goes on"),
    ],
)
def test_what_two_prompts_have_in_common_is_evaluated_once(
    before: list[int], now: list[int], cached: int
) -> None:
    """Prompt and answer of the last request are there; the rest is evaluated, and what is held is what was asked."""
    script = _Script(b"a", b"b")
    engine = Engine(script)
    engine.generate(before, Ask(2, CHOSEN), FOR_EVER)

    answer = engine.generate(now, Ask(1, CHOSEN), FOR_EVER)

    assert answer.cached_tokens == cached
    assert script.cache == now


def test_memory_that_cannot_forget_in_part_starts_anew() -> None:
    """A recurrent model's state goes on or is dropped as a whole."""
    script = _Script(b"a", forgets=False)
    engine = Engine(script)
    engine.generate([1, 2, 3], Ask(1, CHOSEN), FOR_EVER)

    longer = engine.generate([1, 2, 3, 4], Ask(1, CHOSEN), FOR_EVER)
    other = engine.generate([1, 2, 9], Ask(1, CHOSEN), FOR_EVER)

    assert (longer.cached_tokens, other.cached_tokens) == (3, 0)
    assert script.cache == [1, 2, 9]


def _prompt(system: int, question: int) -> list[int]:
    return [system] * (2 * WORTH) + [question]


def test_prompts_that_alternate_are_not_evaluated_again() -> None:
    """A prompt that made room for another is fetched back when it is asked again."""
    script = _Script(b"a")
    engine = Engine(script, prefix_bytes=1000)

    cached = [
        engine.generate(_prompt(system, question), Ask(1, CHOSEN), FOR_EVER).cached_tokens
        for question, system in enumerate([1, 2, 1, 2, 1, 1, 2])
    ]

    assert cached == [0, 0, *[2 * WORTH] * 5]


def test_prompts_are_kept_within_their_bytes() -> None:
    """The oldest goes first, and one that is larger than all is not kept."""
    size = 2 * WORTH + 1
    script = _Script(b"a")
    two = Engine(script, prefix_bytes=2 * size)
    none = Engine(_Script(b"a"), prefix_bytes=size - 1)

    def cached(engine: Engine, systems: list[int]) -> list[bool]:
        return [
            engine.generate(_prompt(system, 50 + n), Ask(1, CHOSEN), FOR_EVER).cached_tokens > 0
            for n, system in enumerate(systems)
        ]

    assert cached(two, [1, 2, 3, 4, 1, 4]) == [False, False, False, False, False, True]
    assert sum(len(one.state) for one in two._prefixes._saved) <= 2 * size
    assert cached(none, [1, 2, 1, 2]) == [False] * 4


def test_another_question_is_no_loss() -> None:
    """A prompt that only ends otherwise is continued where it is; nothing is copied."""
    script = _Script(b"a")
    engine = Engine(script, prefix_bytes=1000)

    engine.generate(_prompt(1, 5), Ask(1, CHOSEN), FOR_EVER)
    engine.generate(_prompt(1, 6), Ask(1, CHOSEN), FOR_EVER)

    assert engine._prefixes._saved == []


@pytest.mark.parametrize(
    ("oldest", "count", "window", "continues"),
    [
        pytest.param(10, 20, 0, True, id="no-window"),
        pytest.param(-1, 0, 4, True, id="nothing-evaluated"),
        pytest.param(0, 3, 4, True, id="nothing-dropped"),
        pytest.param(10, 20, 4, True, id="at-the-end"),
        pytest.param(10, 14, 4, True, id="the-window-still-there"),
        pytest.param(10, 13, 4, False, id="part-of-the-window-gone"),
        pytest.param(10, 3, 4, False, id="all-gone"),
    ],
)
def test_prompt_continues_where_its_window_is_whole(
    oldest: int, count: int, window: int, continues: bool
) -> None:
    """What is evaluated next needs the tokens of its window, and llama.cpp does not notice when they are missing."""
    assert _continues(oldest, count, window) == continues


def test_prompt_whose_window_is_gone_is_evaluated_anew() -> None:
    """Nothing is continued that a sliding layer has dropped."""
    script = _Script(b"a", window=4)
    engine = Engine(script)
    engine.generate(list(range(20)), Ask(1, CHOSEN), FOR_EVER)
    script.slid = 12

    parted = engine.generate([*range(14), 50], Ask(1, CHOSEN), FOR_EVER)

    assert parted.cached_tokens == 0
    assert script.cache == [*range(14), 50]


@given(st.lists(st.integers(0, 1), max_size=12), st.lists(st.integers(0, 1), max_size=12))
def test_shared_length_is_that_of_the_common_beginning(one: list[int], other: list[int]) -> None:
    """As counted token by token."""
    expected = next(
        (n for n, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), min(len(one), len(other))
    )

    assert shared_length(one, other) == expected


def test_warm_up_generates_one_token_and_forgets_it() -> None:
    """After it a token can be generated, and the first prompt finds nothing."""
    script = _Script(b"a", b"b")

    Engine(script).warm_up([1, 2])

    assert script.decoded == [[1, 2]]
    assert script.cache == []


def test_times_are_of_the_prompt_and_of_the_answer() -> None:
    """What was there already costs nothing and is counted apart."""
    times = iter([10.0, 13.0, 14.0, 18.0])
    answer = Engine(_Script(b"a"), clock=lambda: next(times)).generate([1, 2], Ask(9, CHOSEN), FOR_EVER)

    assert (answer.prompt_s, answer.predicted_s) == (3.0, 5.0)
    assert answer.first_token_at == 14.0


def test_an_answer_without_a_token_has_no_first_one() -> None:
    """Its time was over before."""
    answer = _ask(_Script(b"a"), limits=Limits(lambda: 0.0, clock=lambda: 1.0))

    assert answer.first_token_at is None


@pytest.mark.parametrize(
    ("told", "text"),
    [((), "a"), (("b",), "ab"), ((",",), "a"), (("b", ","), "ab")],
    ids=["none", "it", "other", "all"],
)
def test_a_stop_is_told_where_that_is_asked(told: tuple[str, ...], text: str) -> None:
    """The one that ends the answer, and nothing behind it; a template's own never is."""
    answer = _ask(_Script(b"a", b"b,c"), stops=("b", ","), told_stops=frozenset(told))

    assert (answer.text, answer.finish_reason, answer.stopped) == (text, "stop", True)


def test_a_token_of_the_requests_ends_an_answer() -> None:
    """As the vocabulary's own does: it counts, and is no text."""
    answer = _ask(_Script(b"a", b"b", b"c"), sampling=replace(CHOSEN, stop_tokens=(1,)))

    assert (answer.text, answer.finish_reason, answer.completion_tokens) == ("a", "stop", 2)


@pytest.mark.parametrize(("batch", "parts"), [(4, [4, 2]), (64, [6])])
def test_a_prompt_is_told_token_by_token(batch: int, parts: list[int]) -> None:
    """All of it is evaluated, also what was there: each token has what was likely behind the one before."""
    script = _Script(*[bytes([65 + n]) for n in range(8)], batch=batch)
    engine = Engine(script)
    ask = Ask(1, CHOSEN, logprobs=1, tells_prompt=True)
    engine.generate([0, 1, 2, 3, 4, 5], ask, FOR_EVER)
    script.decoded.clear()

    answer = engine.generate([0, 1, 2, 3, 4, 5], ask, FOR_EVER)

    assert [len(some) for some in script.decoded] == parts
    assert [(one.piece, one.logprob) for one in answer.prompt_choices] == [
        (b"A", None),
        *((bytes([65 + n]), -0.5) for n in range(1, 6)),
    ]
    assert answer.cached_tokens == 0
    assert answer.prompt_choices[3].top == ((b"D", -0.5),)


def test_a_prompt_that_is_told_can_be_ended() -> None:
    """By whatever ends any other."""
    script = _Script(b"A", b"B", batch=1)
    script.on_decode = lambda: False

    answer = _ask(script, [0, 1], logprobs=0, tells_prompt=True)

    assert (answer.finish_reason, len(answer.prompt_choices)) == ("timeout", 1)
