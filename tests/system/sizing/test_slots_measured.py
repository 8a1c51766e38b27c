"""Slots as planned and as llama-server really lays them out; `benchmarks/bench_slots.py` has the whole table."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from benchmarks import architectures, bench_slots
from pipeline.limits import MiB

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.skipif(
    not bench_slots.PROGRAM.exists(), reason="no llama-server here; `make llama-server` builds it"
)


@pytest.mark.parametrize(
    "architecture",
    [
        pytest.param("llama", id="plain"),
        pytest.param("gemma3", id="windows"),
        pytest.param("mamba2", id="recurrent"),
        pytest.param("qwen35", id="recurrent, and attention"),
        pytest.param("deepseek2", id="one latent key for all heads"),
    ],
)
def test_llama_server_lays_out_what_was_predicted(architecture: str, tmp_path: Path) -> None:
    """Caches and states of three slots to the hundredth of a MiB, started with the environment that a plan gives."""
    model = architectures.write(architecture, tmp_path / f"{architecture}.gguf", "narrow")

    row = bench_slots.memory(model, 3, full=False)

    for name in ("kv cache", "state"):
        assert row[name] == pytest.approx(row["lines"].get(name, 0), abs=bench_slots.ROUGH)
    assert row["kv cache"] + row["state"] > MiB


def test_slots_that_are_full_stay_within_the_sum(tmp_path: Path) -> None:
    """Each with a prompt of its own that fills its context; of a model with windows its checkpoints are there too."""
    model = architectures.write("gemma3", tmp_path / "gemma3.gguf", "narrow")

    row = bench_slots.memory(model, 3)

    assert bench_slots.too_little(row) == []
    assert row["lines"]["checkpoints"] > 0
    log = model.with_suffix(".3.log").read_text(errors="replace")
    assert "created context checkpoint 1 of 1" in log


def test_every_slot_has_the_context_that_was_asked_for(tmp_path: Path) -> None:
    """Not a share of it: a prompt that fills it is answered whole by each."""
    model = architectures.write("llama", tmp_path / "llama.gguf", "narrow")

    with bench_slots.running(model, 2, n_ctx=512) as server:
        answers = [server.complete([5 + slot, *[7] * 490], 8, id_slot=slot) for slot in range(2)]
        with pytest.raises(RuntimeError, match="exceed_context_size_error"):
            server.complete([7] * 513, 1)

    assert [(one["id_slot"], one["tokens_evaluated"], one["tokens_predicted"]) for one in answers] == [
        (0, 491, 8),
        (1, 491, 8),
    ]
