"""How llama-server is started."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from adapter.command import CHECKPOINTS, NO_BACKTRACE, NOT_HANDED_ON, Command, environment, find_program
from adapter.header import Header

from sealift_models import Companions
from sealift_settings import Settings


def command(settings: Settings | None = None, header: Header | None = None, **more: Any) -> Command:
    """Return a command that differs from the plain one as told."""
    return Command(
        Path("/llama-server"), Path("/m/x.gguf"), settings or Settings(), header or Header("llama"), 2, **more
    )


def options(given: Command) -> dict[str, str | None]:
    """Return the arguments by name; None for one without a value."""
    words = given.arguments("s.sock")[1:]
    found: dict[str, str | None] = {}
    for word, after in zip(words, [*words[1:], "--"], strict=True):
        if word.startswith("--"):
            assert word not in found
            found[word[2:]] = None if after.startswith("--") else after
    return found


def test_the_settings_become_options() -> None:
    """A context for each slot, and the bound of a request beside it, since llama.cpp rounds up."""
    settings = Settings(n_ctx=1000, n_batch=256, prefix_cache_mb=7, n_parallel=3, use_mmap=True)
    found = options(command(settings))

    assert found["model"] == "/m/x.gguf"
    assert found["host"] == "s.sock"
    assert (found["ctx-size"], found["parallel"], found["kv-unified-per-slot"]) == ("3000", "3", "1000")
    assert (found["batch-size"], found["cache-ram"], found["load-mode"]) == ("256", "7", "mmap")
    assert found["threads"] == found["threads-batch"] == "2"
    assert "no-kv-unified" in found
    assert not {"embeddings", "reranking", "ubatch-size", "pooling", "mmproj"} & set(found)
    assert options(command())["load-mode"] == "none"


@pytest.mark.parametrize(("slots", "batch", "given"), [(1, 1, "32"), (64, 40, "64"), (8, 48, "48")])
def test_there_is_room_for_a_token_of_each_slot_at_a_time(slots: int, batch: int, given: str) -> None:
    """And for what a draft model guesses ahead; llama-server ends itself otherwise."""
    assert options(command(Settings(n_batch=batch, n_parallel=slots)))["batch-size"] == given


def test_no_context_is_longer_than_the_model_was_trained_for() -> None:
    """It would take memory for tokens that no request may have."""
    header = Header("llama", trained_for=512)

    assert options(command(Settings(n_ctx=2048, n_parallel=2), header))["ctx-size"] == "1024"
    assert options(command(Settings(n_ctx=256, n_parallel=2), header))["ctx-size"] == "512"
    assert options(command(Settings(n_ctx=2048), Header("llama")))["ctx-size"] == "2048"


@pytest.mark.parametrize(
    ("header", "batch", "more"),
    [
        pytest.param(Header("bert", pooling=1), "2048", {"embeddings"}, id="evaluated at once"),
        pytest.param(Header("bert", pooling=None), "2048", {"embeddings", "pooling"}, id="no pooling told"),
        pytest.param(Header("bert", pooling=0), "2048", {"embeddings", "pooling"}, id="none of them"),
        pytest.param(Header("qwen3", pooling=3), "512", {"embeddings"}, id="in parts"),
        pytest.param(Header("bert", pooling=4), "2048", {"reranking"}, id="a reranker"),
    ],
)
def test_a_text_to_embed_or_rank_is_evaluated_at_once_where_it_has_to_be(
    header: Header, batch: str, more: set[str]
) -> None:
    """llama.cpp ends the process otherwise."""
    found = options(command(header=header))

    assert found["batch-size"] == found["ubatch-size"] == batch
    assert {"embeddings", "reranking", "pooling"} & set(found) == more
    assert found.get("pooling", "mean") == "mean"


def test_what_lies_beside_the_model_is_handed_over() -> None:
    """In llama-server's own options for it."""
    beside = Companions("/m/mmproj.gguf", ("/m/lora.gguf",), "/m/draft.gguf")
    found = options(command(companions=beside))

    assert found["mmproj"] == "/m/mmproj.gguf"
    assert found["lora"] == "/m/lora.gguf"
    assert found["model-draft"] == "/m/draft.gguf"


def test_the_environment_sets_what_the_options_do_not() -> None:
    """But nothing that would shut the adapter out, or have llama-server do other things."""
    given = {
        **dict.fromkeys(NOT_HANDED_ON, "x"),
        "LLAMA_ARG_FLASH_ATTN": "off",
        "PATH": "/bin",
    }

    ours = {CHECKPOINTS: "1", NO_BACKTRACE: "1"}
    assert environment(given) == {**ours, "LLAMA_ARG_FLASH_ATTN": "off", "PATH": "/bin"}
    assert environment({CHECKPOINTS: "5"}) == {**ours, CHECKPOINTS: "5"}


def test_the_program_is_that_of_the_image_or_of_the_checkout(tmp_path: Path) -> None:
    """Or the one that the environment names, and then no other."""
    own = tmp_path / "inference"
    built, copied, named = (
        tmp_path / ".build/llama-server/llama-server",
        own / "llama-server/llama-server",
        tmp_path / "named",
    )
    assert find_program({}, own) is None
    for expected in (built, copied):
        expected.parent.mkdir(parents=True)
        expected.touch()
        assert find_program({}, own) == expected
    assert find_program({"SEALIFT_LLAMA_SERVER": str(named)}, own) is None
    named.touch()
    assert find_program({"SEALIFT_LLAMA_SERVER": str(named)}, own) == named
