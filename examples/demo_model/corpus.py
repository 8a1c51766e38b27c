"""The demo model's corpus: what it knows, the ways to ask for it, and how variations of both are made.

Owns the format of `corpus.txt` and everything random in the training text, all of it from one seed. Standard library
only, so that tests read the corpus without PyTorch. Refuses a corpus in which two intents claim one question.
"""

from __future__ import annotations

import hashlib
import itertools
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator
    from random import Random

PATH: Final = Path(__file__).with_name("corpus.txt")

UNKNOWN: Final = "unknown"
"""The intent whose answer is given to whatever the model does not know."""

UNKNOWN_SHARE: Final = 6
"""It is drawn so many times as often as another: what is not known is larger than what is."""

SYSTEM: Final = (
    "You are a helpful assistant.",
    "You are sealift-demo.",
    "Answer briefly.",
    "You are a sailor who knows about models.",
)
"""System messages: they come before a conversation and change nothing."""

_BEFORE: Final = (
    "Hi! ", "Hello, ", "Hey, ", "Ahoy! ", "Please: ", "Tell me: ", "Quick question: ", "So, ", "Say, ", "And ", "Now, ",
    "Excuse me, ", "One more question: ", "I have a question. ", "Sorry, ", "Well, ", "Please tell me: ", "But ",
)  # fmt: skip
_AFTER: Final = (" Please.", " Thanks.", " Thank you.", " I am new here.", " I am curious.", " Tell me.")
_SMALL_WORDS: Final = frozenset(
    ("a", "an", "the", "is", "are", "do", "does", "did", "to", "of", "in", "on", "for", "can", "could", "would", "me",
     "should", "please", "you", "my", "your", "it", "its", "this", "that", "so", "will", "there", "be", "with", "tell")
)  # fmt: skip
_ASKING: Final = re.compile(
    r"(what|who|whom|which|how|why|when|where|is|are|do|does|did|can|could|may|will|would|should|has|have|am|must|in)"
    r"\b|.*\b(what is|what are|what)\b",
    re.IGNORECASE,
)
_CONSONANTS: Final = "bcdfghjklmnprstvwz"
_VOWELS: Final = "aeiou"


class CorpusError(ValueError):
    """The corpus is not what it should be; the message names the line or the question."""


@dataclass
class Intent:
    """Something that can be asked for: one answer, the questions for it, and those that are kept out of training."""

    name: str
    answer: str = ""
    questions: list[str] = field(default_factory=list)
    held_out: list[str] = field(default_factory=list)

    @property
    def kept_out(self) -> set[str]:
        """The held-out questions in their plain form."""
        return set(map(plain, self.held_out))


@dataclass
class Corpus:
    """What a corpus file holds, with all patterns written out."""

    intents: list[Intent]
    passages: list[str]
    phrases: list[str]
    """With `{}` in the place of a thing."""
    things: list[str]
    """Things that the model does not know."""
    strange: list[str]
    """Phrases for them alone, with `{}` in their place."""

    def answers(self) -> list[str]:
        """Return every answer once."""
        return [intent.answer for intent in self.intents]

    def texts(self) -> Iterator[str]:
        """Yield every text in it once: answers, questions, held-out questions, passages."""
        for intent in self.intents:
            yield intent.answer
            yield from intent.questions
            yield from intent.held_out
        yield from self.passages


def digest(path: Path = PATH) -> str:
    """Return the SHA-256 of a corpus file, in hex."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def read(path: Path = PATH) -> Corpus:
    """Return the corpus in a file.

    Raises:
        CorpusError: for a line of no known kind, an intent without answer, questions or held-out questions, and a
            question that two intents claim.
    """
    corpus = Corpus([], [], [], [], [])
    for number, kind, text in _lines(path.read_text(encoding="utf-8")):
        if kind == "==":
            corpus.intents.append(Intent(text))
        elif kind in ("DEFINE:", "STRANGE:"):
            (corpus.phrases if kind == "DEFINE:" else corpus.strange).extend(expanded(text))
        elif kind == "N:":
            corpus.things += [thing.strip() for thing in text.split("|")]
        elif kind == "P:":
            corpus.passages.append(text)
        elif kind in ("A:", "T:", "Q:", "H:") and corpus.intents:
            _add(corpus, kind, text)
        else:
            raise CorpusError(
                f"line {number}: {kind!r}; wanted ==, A:, T:, Q:, H:, P:, N:, DEFINE: or STRANGE: in its place"
            )
    _check(corpus)
    return corpus


def _add(corpus: Corpus, kind: str, text: str) -> None:
    """Add a line to the last intent."""
    intent = corpus.intents[-1]
    if kind == "A:":
        intent.answer = text
    elif kind == "H:":
        intent.held_out.append(text)
    elif kind == "Q:":
        intent.questions += map(sentence, expanded(text))
    else:
        phrases = itertools.product(expanded(text), corpus.phrases)
        intent.questions += [sentence(phrase.replace("{}", thing)) for thing, phrase in phrases]


def _lines(text: str) -> Iterator[tuple[int, str, str]]:
    """Yield line number, kind and text; a line that begins with two spaces goes on with the one above."""
    whole: list[tuple[int, str]] = []
    for number, line in enumerate(text.splitlines(), 1):
        if line.startswith("  ") and whole:
            at, before = whole[-1]
            # A pattern may be broken after a bar, where a space would become part of a choice.
            whole[-1] = (at, before + ("" if before.endswith("|") else " ") + line.strip())
        elif line.strip() and not line.startswith("#"):
            whole.append((number, line.strip()))
    for number, line in whole:
        kind, _, rest = line.partition(" ")
        yield number, kind, rest


def _check(corpus: Corpus) -> None:
    """Take the held-out questions out of the trained ones; tell every problem at once."""
    problems = []
    owners: dict[str, str] = {}
    for intent in corpus.intents:
        questions = dict.fromkeys(intent.questions)
        intent.questions = [question for question in questions if plain(question) not in intent.kept_out]
        if not (intent.answer and intent.questions and intent.held_out):
            problems.append(f"intent {intent.name!r} lacks A:, Q: or H:; wanted all of them")
        for question in (*intent.questions, *intent.held_out):
            owner = owners.setdefault(plain(question), intent.name)
            if owner != intent.name:
                problems.append(
                    f"{question!r} is asked for {owner!r} and {intent.name!r}; wanted one of them"
                )
    if problems:
        raise CorpusError("\n".join(problems))


def expanded(pattern: str) -> list[str]:
    """Return all texts of a pattern: `[a|b|]` stands for a, b or nothing."""
    parts = re.split(r"\[([^\]]*)\]", pattern)
    choices = [part.split("|") if n % 2 else [part] for n, part in enumerate(parts)]
    return list(dict.fromkeys(" ".join("".join(chosen).split()) for chosen in itertools.product(*choices)))


def sentence(text: str) -> str:
    """Return a text with a capital at its beginning and the stop at its end that its first words ask for."""
    text = text[:1].upper() + text[1:]
    return text if text[-1:] in ".?!" else text + ("?" if _ASKING.match(text) else ".")


def plain(question: str) -> str:
    """Return what two questions must share to count as the same: words, without case and punctuation at the end."""
    return " ".join(question.lower().rstrip(".?! ").split())


def varied(question: str, random: Random) -> str:
    """Return a question as somebody else may type it: with courtesies, without a capital, a word or a letter."""
    words = question.split()
    if len(words) >= 3:
        if random.random() < 0.15:
            question = random.choice(_BEFORE) + question[0].lower() + question[1:]
        if random.random() < 0.08:
            question += random.choice(_AFTER)
    if random.random() < 0.12:
        question = _without_a_small_word(question, random)
    if random.random() < 0.1:
        question = _in_disorder(question, random)
    if random.random() < 0.08:
        question = _mistyped(question, random)
    if random.random() < 0.2:
        question = question.rstrip(".?!")
    if random.random() < 0.2:
        question = question.lower()
    return question


def _without_a_small_word(question: str, random: Random) -> str:
    words = question.split()
    small = [n for n, word in enumerate(words) if word.lower() in _SMALL_WORDS]
    if len(words) < 4 or not small:
        return question
    del words[random.choice(small)]
    return " ".join(words)


def _in_disorder(question: str, random: Random) -> str:
    """Return its words in another order: an answer must not hang on the order alone."""
    words = question.rstrip(".?!").split()
    if len(words) < 4:
        return question
    random.shuffle(words)
    return " ".join(words) + question[-1:]


def _mistyped(question: str, random: Random) -> str:
    words = question.split()
    long = [n for n, word in enumerate(words) if len(word) > 4]
    if not long:
        return question
    at = random.choice(long)
    word, place = words[at], random.randrange(1, len(words[at]) - 2)
    swapped = word[:place] + word[place + 1] + word[place] + word[place + 2 :]
    words[at] = swapped if random.random() < 0.5 else word[:place] + word[place + 1 :]
    return " ".join(words)


def question_for(corpus: Corpus, intent: Intent, random: Random) -> str:
    """Return one question of an intent; for `UNKNOWN` most of them ask for a strange thing or an invented word."""
    while plain(question := _drawn(corpus, intent, random)) in intent.kept_out:
        pass
    return question


def _drawn(corpus: Corpus, intent: Intent, random: Random) -> str:
    if intent.name != UNKNOWN or random.random() < 0.35:
        return varied(random.choice(intent.questions), random)
    kind = random.random()
    thing = random.choice(corpus.things) if kind < 0.6 else _sum(random) if kind > 0.95 else invented(random)
    article = random.choice(("a ", "the ", "my ", "", ""))
    phrase = random.choice(corpus.phrases if random.random() < 0.4 else corpus.strange)
    return varied(sentence(phrase.replace("{}", article + thing)), random)


def invented(random: Random) -> str:
    """Return a word that does not exist, of two or three syllables; a third of them are names."""
    word = "".join(
        random.choice(_CONSONANTS) + random.choice(_VOWELS) + random.choice(("", "", "n", "r", "st", "x"))
        for _ in range(random.choice((2, 2, 3)))
    )
    return word.title() if random.random() < 0.33 else word


def _sum(random: Random) -> str:
    how = random.choice(("plus", "times", "minus", "+", "x", "divided by"))
    return f"{random.randrange(100)} {how} {random.randrange(100)}"


def conversation(corpus: Corpus, random: Random, turns: int) -> list[tuple[str, str]]:
    """Return so many (question, answer) pairs, of intents that are drawn evenly, the unknown a few times as often."""
    weights = [UNKNOWN_SHARE if intent.name == UNKNOWN else 1 for intent in corpus.intents]
    chosen = random.choices(corpus.intents, weights, k=turns)
    return [(question_for(corpus, intent, random), intent.answer) for intent in chosen]
