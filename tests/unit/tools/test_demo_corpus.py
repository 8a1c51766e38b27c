"""The demo model's corpus and tokenizer: what a file means, what it refuses, and that chance comes from the seed."""

from __future__ import annotations

from random import Random
from typing import TYPE_CHECKING

import pytest

from examples.demo_model import corpus
from examples.demo_model.corpus import CorpusError
from examples.demo_model.tokenizer import BOS, EOS, USER, Tokenizer

if TYPE_CHECKING:
    from pathlib import Path

SMALL = """\
# a comment
DEFINE: [What is|Explain] {}
N: banana|poker

== tug
A: A tug is a small,
  strong boat.
T: a [tug|
  tugboat]
Q: Who pulls ships
H: Explain a tug.
P: Tugs wait for the tide.
"""


def _read(tmp_path: Path, text: str) -> corpus.Corpus:
    path = tmp_path / "corpus.txt"
    path.write_text(text, encoding="utf-8")
    return corpus.read(path)


def test_patterns_are_written_out(tmp_path: Path) -> None:
    """Things go into the phrases, choices are all made, lines are joined, and held-out questions are left out."""
    read = _read(tmp_path, SMALL)

    (tug,) = read.intents
    assert tug.answer == "A tug is a small, strong boat."
    assert tug.questions == ["What is a tug?", "What is a tugboat?", "Explain a tugboat.", "Who pulls ships?"]
    assert tug.held_out == ["Explain a tug."]
    assert (read.passages, read.things) == (["Tugs wait for the tide."], ["banana", "poker"])


@pytest.mark.parametrize(
    ("more", "words"),
    [
        pytest.param("== pilot\nA: No.\nQ: Who pulls ships\nH: Who?\n", "'tug' and 'pilot'", id="two-owners"),
        pytest.param(
            "== pilot\nA: No.\nQ: Who guides ships\n", "'pilot' lacks A:, Q: or H:", id="no-held-out"
        ),
        pytest.param("Z: what\n", "line 13: 'Z:'; wanted ==", id="kind"),
    ],
)
def test_a_corpus_that_contradicts_itself_is_refused(tmp_path: Path, more: str, words: str) -> None:
    """One question has one answer, and every line has a meaning."""
    with pytest.raises(CorpusError, match=words):
        _read(tmp_path, SMALL + more)


def test_the_corpus_is_large_enough() -> None:
    """More than thirty intents, each with several questions and with at least two that are held out."""
    read = corpus.read()

    assert len(read.intents) >= 70
    assert min(len(intent.questions) for intent in read.intents) >= 8
    assert min(len(intent.held_out) for intent in read.intents) >= 2


def test_variations_come_from_the_seed_and_never_meet_what_is_held_out() -> None:
    """The same seed draws the same conversations, another one others; no drawn question is a held-out one."""
    read = corpus.read()

    first, again, other = (corpus.conversation(read, Random(seed), 3000) for seed in (1, 1, 2))

    held_out = {corpus.plain(question) for intent in read.intents for question in intent.held_out}
    assert first == again != other
    assert held_out.isdisjoint(corpus.plain(question) for question, _ in first)


@pytest.mark.parametrize("text", ["What is a tug?", "Grüße, 船!", "two  spaces\nand a line", "3072 MB", ""])
def test_tokens_give_the_text_again(text: str) -> None:
    """Whatever is encoded is decoded to the same text; what has no token is spelt in bytes."""
    tokenizer = Tokenizer.of(corpus.read(), 600)

    assert tokenizer.decode(tokenizer.encode(text)) == text


def test_frequent_words_are_one_token() -> None:
    """The most frequent pairs are merged first, never across a space; a message ends in its own token."""
    tokenizer = Tokenizer.learnt(["the tug the tug the tide"], 276)

    assert [tokenizer.vocabulary[number] for number in tokenizer.encode("a the")][-1] == "\u2581the"
    assert len(tokenizer.vocabulary) == 276
    assert tokenizer.chat([(USER, " the ")]) == [BOS, USER, *tokenizer.encode("the"), EOS]


def test_a_text_that_gives_too_few_tokens_is_refused() -> None:
    """The model has a row for each token, so a vocabulary that falls short is not passed over."""
    with pytest.raises(ValueError, match="gives 273 tokens; wanted 300"):
        Tokenizer.learnt(["the tug"], 300)
