"""Texts with long runs are tokenised in parts, and come out as if they had not been."""

from __future__ import annotations

import ctypes
from typing import Any

import pytest

from sealift_native import Native

BOS, EOS = 1, 2


class _Vocabulary:
    """A stand-in for llama.cpp's tokeniser: a token for each byte, between those that begin and end a text."""

    llama_token = ctypes.c_int32

    def __init__(self, *, adds_eos: bool) -> None:
        self.adds_eos = adds_eos
        self.parts: list[int] = []

    def llama_vocab_get_add_eos(self, _vocabulary: object) -> bool:
        return self.adds_eos

    def llama_tokenize(
        self, _vocabulary: object, text: bytes, size: int, tokens: Any, room: int, *flags: bool
    ) -> int:
        begins, _special = flags
        self.parts.append(size)
        found = [byte + 10 for byte in text[:size]]
        if begins:
            found = [BOS, *found, *([EOS] if self.adds_eos else [])]
        if len(found) > room:
            return -len(found)
        tokens[: len(found)] = found
        return len(found)


def native(vocabulary: _Vocabulary) -> Native:
    """Return a model of which nothing is there but its vocabulary."""
    made = object.__new__(Native)
    made.api = vocabulary
    made._vocabulary = None
    made._splits_words = True
    return made


@pytest.mark.parametrize("adds_eos", [True, False])
@pytest.mark.parametrize("length", [1, 8191, 8192, 8193, 20_000])
def test_what_ends_a_text_is_at_its_end_and_once(*, adds_eos: bool, length: int) -> None:
    """An embedding is often the last token's: one that stood in the middle would make another text of it."""
    vocabulary = _Vocabulary(adds_eos=adds_eos)

    tokens = native(vocabulary).tokenize("7" * length)

    assert tokens == [BOS, *[ord("7") + 10] * length, *([EOS] if adds_eos else [])]
    assert max(vocabulary.parts) <= 8192
