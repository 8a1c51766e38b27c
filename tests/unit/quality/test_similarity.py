"""How similar two answers are said to be."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as some

from pipeline.quality import similarity


@pytest.mark.parametrize(
    ("one", "other", "found"),
    [
        pytest.param("", "", 1, id="nothing"),
        pytest.param("a", "", 0, id="something and nothing"),
        pytest.param("The sea", "  the\n SEA ", 1, id="white space and letter case"),
        pytest.param("abc", "xyz", 0, id="nothing in common"),
        pytest.param("ab", "ac", 0, id="no trigram in common"),
        # " abc " has 3 trigrams, " abcd " 4, and they share " ab" and "abc".
        pytest.param("abc", "abcd", 4 / 7, id="a letter more"),
        # Each trigram as often as it stands there: " aa", "aaa", "aa " and " aa", "aaa" twice, "aa ".
        pytest.param("aaa", "aaaa", 6 / 7, id="the same again"),
        pytest.param("高い山", "高い川", 1 / 3, id="any script"),
    ],
)
def test_texts_are_compared_by_their_trigrams(one: str, other: str, found: float) -> None:
    """By hand."""
    assert similarity.of_texts(one, other) == pytest.approx(found)


@given(some.text(), some.text())
def test_a_similarity_is_a_part_and_the_same_either_way(one: str, other: str) -> None:
    """1 of a text with itself."""
    found = similarity.of_texts(one, other)

    assert 0 <= found <= 1
    assert found == similarity.of_texts(other, one)
    assert similarity.of_texts(one, one) == 1


@pytest.mark.parametrize(
    ("one", "other", "found"),
    [
        pytest.param((1, 0), (2, 0), 1, id="one direction"),
        pytest.param((1, 0), (0, 1), 0, id="a right angle"),
        pytest.param((1, 0), (-1, 0), 0, id="the other direction"),
        pytest.param((3, 4), (4, 3), 0.96, id="between"),
        pytest.param((1, 0), (1, 0, 0), 0, id="other lengths"),
        pytest.param((0, 0), (0, 0), 0, id="zeros"),
        pytest.param((1e308, 1e308), (1e308, 1e308), 0, id="too large"),
    ],
)
def test_embeddings_are_compared_by_their_cosine(
    one: tuple[float, ...], other: tuple[float, ...], found: float
) -> None:
    """Which is no number where one of them is none."""
    assert similarity.of_vectors(one, other) == pytest.approx(found)
