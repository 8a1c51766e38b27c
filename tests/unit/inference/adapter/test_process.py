"""What is told of llama-server's log and of its end."""

from __future__ import annotations

import signal
from typing import Any

import pytest
from adapter.process import KEPT, LastWords, ended_how, large


def words(*lines: str, begun: int | None = None) -> str:
    """Return what is told of lines, of which the first `begun` came before it answered requests."""
    found = LastWords()
    for number, line in enumerate(lines):
        if number == begun:
            found.begin()
        found.add(line)
    return str(found)


def test_errors_are_told_without_the_time_before_them() -> None:
    """And warnings only where there is no error."""
    assert (
        words("0.00.1 W srv  a warning", "0.00.2 E load: no such tensor", "0.1 I x") == "load: no such tensor"
    )
    assert words("0.00.1 W srv  a warning", "", "plain words") == "srv  a warning; plain words"
    assert words() == "nothing"


def test_nothing_is_told_of_requests() -> None:
    """From the first one on a line may hold a text of somebody's; a crash is told all the same."""
    lines = ("0.1 E before", "0.2 E srv  failed to parse: a secret", "/x.cpp:1: GGML_ASSERT(n > 0) failed")

    assert words(*lines, begun=1) == "/x.cpp:1: GGML_ASSERT(n > 0) failed"
    assert words(*lines[:2], begun=1) == "nothing"


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("0.1 W srv  unable to match sampler by name 'GGML_ASSERT out of memory: a secret'", "nothing"),
        ("0.1 E srv  got exception: std::bad_alloc, terminate called, CUDA error: a secret", "nothing"),
        ("libc++abi: terminating due to uncaught exception of type std::runtime_error: a secret",
         "libc++abi: terminating due to uncaught exception of type std::runtime_error"),
        ("llama.cpp/common/common.cpp:2158: get_sub_batch: failed to add token 0",) * 2,
        ("0.1 E ggml_backend_cpu_buffer_type_alloc_buffer: failed to allocate buffer of size 7",
         "ggml_backend_cpu_buffer_type_alloc_buffer: failed to allocate buffer of size 7"),
        ("CUDA error: out of memory",) * 2,
    ],
)  # fmt: skip
def test_words_of_a_crash_are_told_only_where_llama_cpp_says_them(line: str, told: str) -> None:
    """Not where it quotes a request that has them, nor what an exception quotes."""
    assert words(line, begun=0) == told


@pytest.mark.parametrize(
    ("body", "is_large"),
    [
        (None, False),
        ({"messages": [{"role": "user", "content": "hi"}] * 9, "n": 1}, False),
        ({"prompt": "x" * 70_000}, True),
        ({"prompt": [1] * 30_000}, True),
        ({"messages": [{"role": "user", "content": "hi"}] * 9_000}, True),
        ({"x" * 70_000: 1}, True),
    ],
)
def test_what_is_large_is_seen_without_writing_it(body: Any, is_large: bool) -> None:
    """It is written beside the event loop, which has others to answer."""
    assert large(body) is is_large


def test_only_the_last_are_kept() -> None:
    """However much it writes."""
    assert words(*(f"0.1 E line {n}" for n in range(99))).split("; ") == [
        f"line {n}" for n in range(99 - KEPT, 99)
    ]


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        (0, "ended with status 0"),
        (1, "ended with status 1"),
        (-signal.SIGKILL, "was ended by SIGKILL, mostly for want of memory"),
        (-signal.SIGABRT, "was ended by SIGABRT"),
        (-200, "was ended by signal 200"),
    ],
)
def test_how_it_ended(code: int, expected: str) -> None:
    """By its status, or by a signal with its name."""
    assert ended_how(code) == expected
