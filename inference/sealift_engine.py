"""From the tokens of a prompt to the text of an answer: the generation loop, and what ends it.

Owns what is evaluated and what is not evaluated again, where an answer ends, and how long everything took. Refuses to
know llama.cpp, which is behind `Native`, and HTTP: what a client sees is made in `inference.py`.
"""

from __future__ import annotations

import codecs
import contextlib
import threading
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from sealift_chat import Constraint

WORTH = 32
"""Tokens that must be saved from being evaluated again before a prompt is kept or fetched: a copy costs about one."""
WATCHED = 8
"""Tokens from which the evaluation of a prompt is watched by a thread; fewer are evaluated within a moment."""
WATCH_S = 0.05
TOLD = 16
"""Tokens of a prompt that are evaluated at a time where their log-probabilities are told: each keeps its logits."""


@dataclass(frozen=True)
class Sampling:
    """How a token is chosen: llama.cpp's samplers with its own defaults (common/common.h), but for the first three."""

    temperature: float
    """0 takes the likeliest."""
    top_p: float
    seed: int
    top_k: int = 40
    """0 and less for all."""
    min_p: float = 0.05
    typical_p: float = 1.0
    top_n_sigma: float = -1.0
    """0 and less for no bound."""
    xtc_probability: float = 0.0
    xtc_threshold: float = 0.1
    dynatemp_range: float = 0.0
    dynatemp_exponent: float = 1.0
    repeat_penalty: float = 1.0
    repeat_last_n: int = 64
    """Tokens of prompt and answer that the three penalties look back; -1 for all."""
    frequency_penalty: float = 0.0
    presence_penalty: float = 0.0
    dry_multiplier: float = 0.0
    dry_base: float = 1.75
    dry_allowed_length: int = 2
    dry_penalty_last_n: int = 64
    """Tokens that DRY looks back; -1 for all."""
    dry_sequence_breakers: tuple[str, ...] = ("\n", ":", '"', "*")
    mirostat: int = 0
    """1 or 2 for Mirostat, which takes the place of all but temperature and logit_bias."""
    mirostat_tau: float = 5.0
    mirostat_eta: float = 0.1
    logit_bias: tuple[tuple[int, float], ...] = ()
    """What is added to the logits of tokens."""
    ignore_eos: bool = False
    """Whether no token ends the answer."""
    min_tokens: int = 0
    """Tokens before which none ends it."""
    stop_tokens: tuple[int, ...] = ()
    """Tokens that end it, beside the vocabulary's own."""

    @property
    def penalizes(self) -> bool:
        """Tell whether tokens count that were there before."""
        return self.repeat_last_n != 0 and (
            self.repeat_penalty != 1 or self.frequency_penalty != 0 or self.presence_penalty != 0
        )

    @property
    def dries(self) -> bool:
        """Tell whether what goes on as it went before is penalized."""
        return self.dry_multiplier != 0 and self.dry_penalty_last_n != 0

    @property
    def remembers(self) -> bool:
        """Tell whether the choice depends on the tokens before."""
        return not self.mirostat and (self.penalizes or self.dries)


class Interruptible(Protocol):
    """What can be told to end soon."""

    def interrupt(self) -> None:
        """Let evaluations end soon; for another thread."""

    def resume(self) -> None:
        """Let evaluations run again."""


class Native(Interruptible, Protocol):
    """What is used of llama.cpp."""

    batch: int
    """Tokens that are evaluated at a time."""
    window: int
    """Tokens that a sliding-window layer looks back; 0 when no layer slides."""

    def piece(self, token: int, *, special: bool = False) -> bytes:
        """Return the bytes of a token; none of a special one but where that is wanted."""

    def ends(self, token: int) -> bool:
        """Return whether a token ends an answer."""

    def decode(self, tokens: Sequence[int], *, told: bool = False) -> bool:
        """Evaluate tokens behind those that are there, `told` for the logits of each; False when interrupted."""

    def keep(self, count: int) -> bool:
        """Forget all but the first tokens; return False when that cannot be done."""

    def clear(self) -> None:
        """Forget all tokens."""

    def oldest(self) -> int:
        """Return the first position that the cache of every layer still holds, or -1."""

    def state_size(self) -> int:
        """Return how many bytes `save` would return."""

    def save(self) -> Any:
        """Return what was evaluated."""

    def restore(self, buffer: Any) -> bool:
        """Put back what `save` returned; False, with nothing evaluated, when that cannot be done."""

    def logprobs(self, token: int, top: int, place: int = -1) -> tuple[float, list[tuple[int, float]]]:
        """Return the log-probability of a token behind a place evaluated, and the likeliest with theirs."""

    def sampler(
        self, sampling: Sampling, constraint: Constraint | None, prompt: Sequence[int]
    ) -> contextlib.AbstractContextManager[Callable[[], int | None]]:
        """Give a function that chooses the next token behind a prompt, or None where the grammar allows none."""


class Limits:
    """What ends an answer from outside: a point in time, or that nobody waits for it any more."""

    def __init__(
        self,
        deadline: Callable[[], float],
        gone: Callable[[], bool] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._deadline = deadline
        self._gone = gone
        self._clock = clock
        self._reason: str | None = None

    def reason(self) -> str | None:
        """Return why to end now, as a finish reason; None when there is no reason. It stays what it was once."""
        if self._reason is None:
            if self._gone is not None and self._gone():
                self._reason = "cancelled"
            elif self._clock() >= self._deadline():
                self._reason = "timeout"
        return self._reason

    @contextlib.contextmanager
    def watched(self, native: Interruptible) -> Iterator[None]:
        """Interrupt the evaluation in the block when there is a reason to end."""
        done = threading.Event()

        def watch() -> None:
            while not done.wait(WATCH_S):
                if self.reason():
                    native.interrupt()
                    return

        watcher = threading.Thread(target=watch, name="watch", daemon=True)
        watcher.start()
        try:
            yield
        finally:
            done.set()
            watcher.join()
            native.resume()


@dataclass(frozen=True)
class Ask:
    """What is wanted of an answer."""

    max_tokens: int
    sampling: Sampling
    stops: tuple[str, ...] = ()
    told_stops: frozenset[str] = frozenset()
    """Those of them that belong to the answer's text when one ends it."""
    constraint: Constraint | None = None
    preserved: frozenset[int] = frozenset()
    """Special tokens that belong to the answer's text."""
    logprobs: int | None = None
    """How many of the likeliest tokens to note at each place; None to note nothing."""
    tells_prompt: bool = False
    """Whether to note them of the prompt's tokens as well, which are all evaluated then."""


@dataclass(frozen=True)
class Choice:
    """A token of the answer with its log-probability, and the likeliest ones in its place with theirs."""

    piece: bytes
    logprob: float | None
    """None of the first of all: nothing is before it."""
    top: tuple[tuple[bytes, float], ...] = ()
    token: int = field(default=-1, compare=False)


@dataclass
class Generation:
    """An answer, and what it took."""

    text: str = ""
    finish_reason: str = "length"
    """stop, length, timeout, cancelled, or dead_end when the grammar allowed no token of the vocabulary."""
    prompt_tokens: int = 0
    cached_tokens: int = 0
    """Tokens of the prompt that were there already."""
    evaluated_tokens: int = 0
    """Tokens of the prompt that were evaluated for this answer."""
    completion_tokens: int = 0
    prompt_s: float = 0.0
    """Until the first token could be chosen."""
    predicted_s: float = 0.0
    first_token_at: float | None = None
    """When its first token was chosen, by the engine's clock; None without one."""
    choices: list[Choice] = field(default_factory=list)
    prompt_choices: list[Choice] = field(default_factory=list)
    """The prompt's tokens, where they are told."""
    stopped: bool = False
    """Whether one of the stops ended it, not the model's own token."""
    guessed_tokens: int = 0
    """Of a draft model."""
    guesses_held: int = 0
    """How many of those the model would have chosen itself."""


class Transcript:
    """The text of an answer as its pieces come: whole characters, up to the first stop.

    Stops are looked for in bytes, so neither they nor characters need to end where a token does.
    """

    def __init__(self, stops: Sequence[str], told: frozenset[str] = frozenset()) -> None:
        self._stops = [stop.encode() for stop in stops]
        self._told = {stop.encode() for stop in told}
        self._overlap = max(map(len, self._stops), default=1) - 1
        self._bytes = bytearray()
        self.stopped = False

    def add(self, piece: bytes) -> bool:
        """Add a piece; return whether a stop ends the answer."""
        begin = max(0, len(self._bytes) - self._overlap)
        self._bytes += piece
        # Where the text's first stop begins, whatever the order in the list.
        found = [(at, stop) for stop in self._stops if (at := self._bytes.find(stop, begin)) >= 0]
        if found:
            at, stop = min(found, key=lambda one: one[0])
            del self._bytes[at + (len(stop) if stop in self._told else 0) :]
            self.stopped = True
        return self.stopped

    def __len__(self) -> int:
        return len(self._bytes)

    @property
    def text(self) -> str:
        """The text; a character whose end is missing is left out, bytes that are none are marked."""
        return codecs.getincrementaldecoder("utf-8")("replace").decode(bytes(self._bytes))


@dataclass(frozen=True)
class _Saved:
    tokens: list[int]
    state: Any
    oldest: int


class Prefixes:
    """Evaluated prompts that made room for another one, the latest last, in a bounded number of bytes."""

    def __init__(self, budget: int) -> None:
        self.budget = budget
        self._saved: list[_Saved] = []

    def put(self, tokens: list[int], native: Native, taken: int = 0) -> None:
        """Save what `native` holds, in the place of the oldest where there is no room beside `taken` bytes."""
        size = native.state_size()
        if size + taken > self.budget:
            return
        while self._saved and sum(len(one.state) for one in self._saved) + taken + size > self.budget:
            del self._saved[0]
        self._saved.append(_Saved(tokens, native.save(), native.oldest()))

    def best(self, tokens: Sequence[int], window: int) -> tuple[int, _Saved | None]:
        """Return the one that begins most alike and still has all that is needed, with the length of that."""
        found: tuple[int, _Saved | None] = (0, None)
        for one in self._saved:
            shared = shared_length(one.tokens, tokens)
            if shared > found[0] and _continues(one.oldest, _kept(shared, tokens), window):
                found = (shared, one)
        return found

    def take(self, one: _Saved) -> None:
        """Remove one: from now on it is the context's own."""
        self._saved.remove(one)


class Engine:
    """A model that answers one prompt after the other; for one thread at a time."""

    def __init__(
        self, native: Native, prefix_bytes: int = 0, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._native = native
        self._prefixes = Prefixes(prefix_bytes)
        self._clock = clock
        self._held: list[int] = []
        """The tokens that are evaluated."""

    def generate(self, tokens: list[int], ask: Ask, limits: Limits) -> Generation:
        """Return the answer to a prompt that leaves room for it in the context."""
        try:
            with self._native.sampler(ask.sampling, ask.constraint, tokens) as choose:
                return self._generate(tokens, ask, limits, choose)
        except BaseException:
            # What was evaluated so far and what is recorded of it may differ now.
            self._clear()
            raise

    def warm_up(self, tokens: list[int]) -> None:
        """Generate one token, which pages everything in and shows that it works; forget it again."""
        self.generate(tokens, Ask(1, Sampling(0.0, 1.0, 0)), Limits(lambda: float("inf")))
        self._clear()

    def _generate(
        self, tokens: list[int], ask: Ask, limits: Limits, choose: Callable[[], int | None]
    ) -> Generation:
        begun = self._clock()
        if ask.tells_prompt:
            self._clear()
        reused = 0 if ask.tells_prompt else self._reuse(tokens)
        answer = Generation(prompt_tokens=len(tokens), cached_tokens=reused)
        transcript = Transcript(ask.stops, ask.told_stops)
        done = (
            self._evaluate_told(tokens, answer, ask.logprobs or 0, limits)
            if ask.tells_prompt
            else self._evaluate(tokens[reused:], limits)
        )
        evaluated = self._clock()
        answer.evaluated_tokens = max(0, len(self._held) - reused)
        if done:
            answer.finish_reason = self._continue(answer, transcript, ask, limits, choose)
        else:
            answer.finish_reason = limits.reason() or "timeout"
        answer.prompt_s, answer.predicted_s = evaluated - begun, self._clock() - evaluated
        answer.text, answer.stopped = transcript.text, transcript.stopped
        return answer

    def _continue(
        self,
        answer: Generation,
        transcript: Transcript,
        ask: Ask,
        limits: Limits,
        choose: Callable[[], int | None],
    ) -> str:
        """Choose tokens until something ends the answer; return what did."""
        native, held = self._native, self._held
        while True:
            token = choose()
            if token is None:
                return "dead_end"
            if not answer.completion_tokens:
                answer.first_token_at = self._clock()
            answer.completion_tokens += 1
            if native.ends(token) or token in ask.sampling.stop_tokens:
                return "stop"
            piece = native.piece(token, special=token in ask.preserved)
            begins = len(transcript)
            stopped = transcript.add(piece)
            if ask.logprobs is not None and (not stopped or len(transcript) > begins):
                answer.choices.append(self._choice(token, piece, ask.logprobs))
            if stopped:
                return "stop"
            if answer.completion_tokens >= ask.max_tokens:
                return "length"
            reason = limits.reason()
            if reason:
                return reason
            native.decode((token,))
            held.append(token)

    def _choice(self, token: int, piece: bytes, top: int) -> Choice:
        logprob, likeliest = self._native.logprobs(token, top)
        top_pieces = tuple((self._native.piece(one), value) for one, value in likeliest)
        return Choice(piece, logprob, top_pieces, token)

    def _evaluate_told(self, tokens: list[int], answer: Generation, top: int, limits: Limits) -> bool:
        """Evaluate a whole prompt, and note each of its tokens' log-probability; False when something ended that."""
        native = self._native
        answer.prompt_choices.append(Choice(native.piece(tokens[0]), None, (), tokens[0]))
        size = min(TOLD, native.batch)
        for begin in range(0, len(tokens), size):
            some = tokens[begin : begin + size]
            if limits.reason() or not native.decode(some, told=True):
                return False
            self._held += some
            for place, token in enumerate(tokens[begin + 1 : begin + 1 + len(some)]):
                logprob, likeliest = native.logprobs(token, top, place)
                pieces = tuple((native.piece(one), value) for one, value in likeliest)
                answer.prompt_choices.append(Choice(native.piece(token), logprob, pieces, token))
        return True

    def _evaluate(self, tokens: list[int], limits: Limits) -> bool:
        """Evaluate the rest of a prompt; return False when something ended that first."""
        if limits.reason():
            return False
        native = self._native
        watched = limits.watched(native) if len(tokens) >= WATCHED else contextlib.nullcontext()
        with watched:
            for begin in range(0, len(tokens), native.batch):
                some = tokens[begin : begin + native.batch]
                if limits.reason() or not native.decode(some):
                    # An interrupted batch may have left its first part.
                    if not native.keep(len(self._held)):
                        self._clear()
                    return False
                self._held += some
        return True

    def _reuse(self, tokens: list[int]) -> int:
        """Prepare the context for a prompt; return how many of its tokens are evaluated already.

        A sliding layer has dropped the tokens that left its window, so where two prompts part, part of the window may
        be gone, and llama.cpp does not notice.
        """
        native = self._native
        shared = shared_length(self._held, tokens)
        if self._prefixes.budget:
            shared = self._exchange(tokens, shared)
        # The last token is evaluated again when nothing follows it: only that gives its logits.
        keep = _kept(shared, tokens)
        if keep < len(self._held):
            if not _continues(native.oldest(), keep, native.window) or not native.keep(keep):
                self._clear()
            else:
                del self._held[keep:]
        return len(self._held)

    def _exchange(self, tokens: list[int], shared: int) -> int:
        """Save what this prompt would push out, and fetch what it can continue instead, where that is worth it."""
        native = self._native
        saved_shared, saved = self._prefixes.best(tokens, native.window)
        if saved is not None and saved_shared >= shared + WORTH:
            self._prefixes.take(saved)
        else:
            saved = None
        # A prompt that only ends otherwise than the last one (another question) is the usual case, and no loss.
        if len(self._held) - shared >= max(WORTH, shared):
            self._prefixes.put(list(self._held), native, 0 if saved is None else len(saved.state))
        if saved is None:
            return shared
        self._held = list(saved.tokens) if native.restore(saved.state) else []
        return shared_length(self._held, tokens)

    def _clear(self) -> None:
        self._native.clear()
        self._held.clear()


def shared_length(one: Sequence[int], other: Sequence[int]) -> int:
    """Return how many tokens two lists begin with in common."""
    low, high = 0, min(len(one), len(other))
    if one[:high] == other[:high]:
        return high
    while high - low > 1:
        middle = (low + high) // 2
        if one[low:middle] == other[low:middle]:
            low = middle
        else:
            high = middle
    return low


def _kept(shared: int, tokens: Sequence[int]) -> int:
    return min(shared, len(tokens) - 1)


def _continues(oldest: int, count: int, window: int) -> bool:
    """Return whether tokens behind the first `count` find all that their windows reach back to."""
    return not window or oldest <= max(0, count - window)
