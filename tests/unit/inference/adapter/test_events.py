"""Server-sent events out of pieces."""

from __future__ import annotations

import json
from itertools import pairwise
from typing import Any

import pytest
from adapter.events import END, Events
from hypothesis import given
from hypothesis import strategies as st

JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=6,
)


@given(st.lists(JSON_VALUES, max_size=6), st.lists(st.integers(0, 200), max_size=8), st.booleans())
def test_events_come_whole_however_they_are_cut(values: list[Any], cuts: list[int], ascii_only: bool) -> None:
    """In the middle of a character, of a line, between a line and its end."""
    text = "".join(f"data: {json.dumps(value, ensure_ascii=ascii_only)}\n\n" for value in values)
    stream = f"{text}:\n\ndata: [DONE]\n\n".encode("utf-8", errors="surrogatepass")
    places = sorted({0, len(stream), *(cut for cut in cuts if cut < len(stream))})
    events = Events()
    found = [one for start, end in pairwise(places) for one in events.feed(stream[start:end])]

    assert found == [*json.loads(json.dumps(values)), END]


def test_what_is_no_data_is_passed_over() -> None:
    """llama-server's ping is a comment; a line that has not ended is no event yet."""
    events = Events()

    assert list(events.feed(b": ping\n\nevent: x\nid: 1\ndata: {}")) == []
    assert list(events.feed(b"\n")) == [{}]


def test_what_is_no_json_is_an_error() -> None:
    """So that a broken stream is none that has merely ended."""
    with pytest.raises(ValueError, match="Expecting"):
        list(Events().feed(b"data: nothing\n"))
