"""Memory as planned and as llama.cpp really takes it; the whole table is `benchmarks/bench_fit.py`'s."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import llama_cpp
import pytest

from benchmarks import architectures, bench_architectures, bench_fit, shapes
from benchmarks.bench_fit import Case
from benchmarks.shapes import ModelShape
from inference import inference
from inference.inference import Model
from pipeline.sizing import llama_memory

if TYPE_CHECKING:
    from pathlib import Path

SLIDING = ModelShape("gemma3", 6, 256, 4, 2, 64, 512, 2000, quantization="F16", window=64)
"""Every layer but the sixth sees 64 tokens back."""


def load(folder: Path, monkeypatch: pytest.MonkeyPatch, **settings: int) -> Model:
    """Load the model in a folder with one thread."""
    for name, value in {"n_threads": 1, **settings}.items():
        monkeypatch.setenv(f"SEALIFT_{name.upper()}", str(value))
    return inference.model_fn(str(folder))


def ask(model: Model, prompt: str) -> str:
    """Return what the model says to a prompt, nothing left to chance."""
    request = inference.input_fn(
        json.dumps({"prompt": prompt, "max_tokens": 12, "temperature": 0}), "application/json"
    )
    answer: Any = inference.predict_fn(request, model)
    return str(answer["choices"][0]["text"])


@pytest.mark.parametrize(
    "case",
    [
        pytest.param(bench_fit.CASES[0], id="50 MB of Q4_K_M"),
        pytest.param(
            Case("tied and repacked",
                 ModelShape("gemma3", 6, 768, 4, 2, 64, 2048, 32_000, quantization="Q4_0", window=256,
                            embedding_type="Q4_0"), 1024),
            id="an embedding that is there twice",
        ),
    ],
)  # fmt: skip
def test_memory_is_what_was_predicted(case: Case) -> None:
    """Within 10 % either way: here the interpreter, which differs from machine to machine, is a third of it."""
    row = bench_fit.run(case, rounds=1)

    assert row["prompt_tokens"] > case.n_ctx - 2 * bench_fit.SPARE
    assert 0.9 < row["ratio"] < 1.1, row


@pytest.mark.parametrize(
    "architecture",
    [
        "llama",
        "gemma4",
        "qwen35",
        "mamba2",
        "rwkv7",
        "lfm2",
        "falcon-h1",
        "deepseek2",
        "olmoe",
        "cohere2moe",
        "bert",
    ],
)
def test_what_llama_cpp_lays_out_is_what_was_predicted(architecture: str, tmp_path: Path) -> None:
    """One architecture of each kind, by the buffers and the graph of llama.cpp itself; the benchmark has them all."""
    model = architectures.write(architecture, tmp_path / f"{architecture}.gguf", "narrow")

    for n_ctx in bench_architectures.N_CTX:
        row = bench_architectures.row(model, n_ctx, run=False)

        assert bench_fit.UNDER <= row["ratio"] <= bench_fit.OVER, row


def test_the_model_is_loaded_with_the_settings_that_the_footprint_assumes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not mapped, windows only, no flash attention, 512 tokens at a time whatever the batch."""
    shapes.write(SLIDING, tmp_path / "model.gguf")
    model: Any = load(tmp_path, monkeypatch, n_ctx=2048, n_batch=1024)
    llama = model.engine._native.llama

    assert llama.model_params.load_mode == llama_cpp.LLAMA_LOAD_MODE_NONE
    assert llama.context_params.swa_full is False
    assert llama.context_params.flash_attn_type == llama_cpp.LLAMA_FLASH_ATTN_TYPE_DISABLED
    assert llama.context_params.n_ubatch == llama_memory.UBATCH


def test_prompts_in_a_row_are_answered_as_if_each_were_the_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A prompt that parts from the last one where the windows have moved on starts anew; others continue it."""
    shapes.write(SLIDING, tmp_path / "model.gguf")
    settings = {"n_ctx": 1024, "n_batch": 64}
    long = "7" * 900
    prompts = [long, long + "8", long[:400] + "9", long[:400] + "98", long[:20], "6" * 30]
    alone = [ask(load(tmp_path, monkeypatch, **settings), prompt) for prompt in prompts]

    model: Any = load(tmp_path, monkeypatch, **settings)

    assert model.engine._native.window == 64
    assert [ask(model, prompt) for prompt in prompts] == alone
