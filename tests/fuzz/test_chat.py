"""A short run of the fuzzer of llama.cpp's chat layer."""

from __future__ import annotations

from tests.fuzz.fuzz_chat import fuzz


def test_no_case_ends_the_process() -> None:
    """Each is an answer or an error, whatever templates, conversations, schemas and answers hold."""
    told, found = fuzz(float("inf"), seed=7, most=150)

    assert found == []
    assert {kind.partition(":")[0] for kind in told} == {
        "template",
        "conversation",
        "answer",
        "schema",
        "bytes",
    }
    assert {kind.partition(": ")[2] for kind in told} >= {"answered", "refused"}
