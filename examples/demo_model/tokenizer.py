"""The demo model's tokenizer: byte-pair encoding, learnt from the corpus, as llama.cpp's `llama` tokenizer does it.

llama.cpp merges neighbours while their union is in the vocabulary, the highest score first, and spells what is left
over in bytes. Here a text is cut into words first, each with the space before it; since no token reaches over such a
cut, both give the same tokens, which a test holds for every text of the corpus. Standard library only.
"""

from __future__ import annotations

import itertools
import re
from collections import Counter
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from examples.demo_model.corpus import Corpus

SPECIAL: Final = ("<unk>", "<s>", "</s>", "<|system|>", "<|user|>", "<|assistant|>")
UNK, BOS, EOS = range(3)
SYSTEM, USER, ASSISTANT = 3, 4, 5

CHAT_TEMPLATE: Final = (
    "{{ bos_token }}"
    "{% for message in messages %}"
    "<|{{ message['role'] }}|>{{ message['content'] | trim }}{{ eos_token }}"
    "{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>{% endif %}"
)
"""What `chat` encodes."""

_SPACE: Final = "\N{LOWER ONE EIGHTH BLOCK}"
_PIECE: Final = re.compile(rf"{_SPACE}?[A-Za-z]+|{_SPACE}?\d|'[a-z]+|.", re.DOTALL)
_BYTES: Final = 256
_ANSWERS_WEIGH: Final = 20


class Tokenizer:
    """Text to token ids and back; `vocabulary` holds the token texts in the order of their ids."""

    def __init__(self, vocabulary: Sequence[str]) -> None:
        self.vocabulary = list(vocabulary)
        self._ids = {
            text: number for number, text in enumerate(vocabulary) if number >= len(SPECIAL) + _BYTES
        }
        self._pieces: dict[str, list[int]] = {}

    @classmethod
    def of(cls, corpus: Corpus, size: int) -> Tokenizer:
        """Return the tokenizer of a corpus, in which answers count more: they are what costs time."""
        return cls.learnt([*corpus.texts(), *corpus.answers() * _ANSWERS_WEIGH], size)

    @classmethod
    def learnt(cls, texts: Iterable[str], size: int) -> Tokenizer:
        """Return a tokenizer of `size` tokens: special ones, bytes, characters, and the most frequent merges.

        Raises:
            ValueError: when the texts do not give so many.
        """
        words = Counter(piece for text in texts for piece in _cut(text))
        symbols = {word: list(word) for word in words}
        found = list(dict.fromkeys(sorted(character for word in words for character in word)))
        first = [*SPECIAL, *(f"<0x{byte:02X}>" for byte in range(_BYTES))]
        merges: list[str] = []
        while len(first) + len(merges) + len(found) < size:
            pairs: Counter[tuple[str, str]] = Counter()
            for word, count in words.items():
                parts = symbols[word]
                for pair in itertools.pairwise(parts):
                    pairs[pair] += count
            if not pairs:
                have = len(first) + len(merges) + len(found)
                raise ValueError(
                    f"the text gives {have} tokens; wanted {size}; ask for fewer, or give more text"
                )
            # The text decides between equals, so that the same corpus gives the same tokens everywhere.
            left, right = max(pairs, key=lambda pair: (pairs[pair], pair))
            if left + right not in merges:
                merges.append(left + right)
            for word, parts in symbols.items():
                if left in parts:
                    symbols[word] = _merged(parts, left, right)
        return cls([*first, *merges, *found])

    @property
    def scores(self) -> list[float]:
        """The score of each token: the sooner it was merged, the higher."""
        plain = len(SPECIAL) + _BYTES
        return [0.0 if number < plain else float(plain - number) for number in range(len(self.vocabulary))]

    def encode(self, text: str) -> list[int]:
        """Return the ids of a text, in which special tokens are text like any other."""
        return [number for piece in _cut(text) for number in self._encoded(piece)]

    def chat(self, messages: Iterable[tuple[int, str]]) -> list[int]:
        """Return the ids of messages, each the token of its role and its text, as the chat template writes them."""
        ids = [BOS]
        for role, text in messages:
            ids += [role, *self.encode(text.strip()), EOS]
        return ids

    def decode(self, ids: Iterable[int]) -> str:
        """Return the text of ids, without special tokens."""
        raw = b""
        for number in ids:
            if number >= len(SPECIAL) + _BYTES:
                raw += self.vocabulary[number].replace(_SPACE, " ").encode()
            elif number >= len(SPECIAL):
                raw += bytes([number - len(SPECIAL)])
        return raw.decode("utf-8", errors="replace")

    def _encoded(self, piece: str) -> list[int]:
        if piece not in self._pieces:
            symbols = list(piece)
            while pairs := [
                (self._ids[left + right], at)
                for at, (left, right) in enumerate(itertools.pairwise(symbols))
                if left + right in self._ids
            ]:
                _, at = min(pairs)
                symbols[at : at + 2] = [symbols[at] + symbols[at + 1]]
            self._pieces[piece] = [number for symbol in symbols for number in self._spelt(symbol)]
        return self._pieces[piece]

    def _spelt(self, symbol: str) -> list[int]:
        if symbol in self._ids:
            return [self._ids[symbol]]
        return [len(SPECIAL) + byte for byte in symbol.replace(_SPACE, " ").encode()]


def _cut(text: str) -> list[str]:
    return _PIECE.findall(text.replace(" ", _SPACE))


def _merged(parts: list[str], left: str, right: str) -> list[str]:
    out: list[str] = []
    for part in parts:
        if out and out[-1] == left and part == right:
            out[-1] = left + right
        else:
            out.append(part)
    return out
