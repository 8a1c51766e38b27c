"""What stands for the CUDA build of llama-server: the memory of GPUs by rule, and llama.cpp's own last words."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks import shapes
from local_cloud.hosting.containers import cuda_server
from pipeline.limits import GiB
from pipeline.sizing import gpu_fit, instance_types
from pipeline.sizing.gpu_fit import GpuSettings
from pipeline.sizing.instance_types import InstanceFacts
from tests.unit.sizing.test_fit import shape_of

GEMMA = shape_of(shapes.GEMMA_27B)


def facts(name: str) -> InstanceFacts:
    """Return a type of the data."""
    found = instance_types.facts(name)
    assert found is not None
    return found


def told(**options: object) -> dict[str, str]:
    """Return options of llama-server, by their names in Python."""
    return {name.replace("_", "-"): str(value) for name, value in options.items()}


@pytest.mark.parametrize(
    ("arguments", "options"),
    [
        pytest.param(["--model", "m", "--metrics", "--host", "s"], {"model": "m", "metrics": "", "host": "s"}),
        pytest.param(["stray", "--temp", "-1"], {"temp": "-1"}),
    ],
)  # fmt: skip
def test_options_are_read_by_name(arguments: list[str], options: dict[str, str]) -> None:
    """One without a value has none."""
    assert cuda_server.options(arguments) == options


@pytest.mark.parametrize(
    ("kind", "options", "words"),
    [
        pytest.param("ml.g5.xlarge", told(n_gpu_layers=63, ctx_size=2048), None, id="it fits"),
        pytest.param(
            "ml.g4dn.xlarge", told(n_gpu_layers=63, ctx_size=2048), "unable to allocate CUDA0", id="weights"
        ),
        pytest.param("ml.g4dn.xlarge", told(n_gpu_layers=40, ctx_size=2048), None, id="a part of it fits"),
        pytest.param("ml.g4dn.xlarge", told(ctx_size=2048), None, id="left to llama.cpp"),
        pytest.param("ml.g5.xlarge", told(n_gpu_layers=0, ctx_size=2048), None, id="none"),
        pytest.param(
            "ml.g5.xlarge", told(n_gpu_layers=99, ctx_size=131072, parallel=1), "for kv cache", id="cache"
        ),
        pytest.param(
            "ml.g5.xlarge",
            told(n_gpu_layers=99, ctx_size=65536, parallel=1, cache_type_k="q4_0"),
            None,
            id="a smaller cache",
        ),
    ],
)
def test_what_does_not_fit_ends_with_llama_cpps_words(
    kind: str, options: dict[str, str], words: str | None
) -> None:
    """In the order in which it asks for memory; the first line is CUDA's."""
    lines = cuda_server.refusal(GEMMA, facts(kind), options)

    assert bool(lines) is (words is not None)
    if words:
        assert lines[0].startswith("ggml_backend_cuda_buffer_type_alloc_buffer: allocating ")
        assert lines[0].endswith(" MiB on device 0: cudaMalloc failed: out of memory")
        assert any(words in line for line in lines)


def test_the_buffers_are_asked_for_one_after_the_other() -> None:
    """Each by the byte: what just fits is refused with one byte less, and by the buffer that it lacks for."""
    instance = facts("ml.g5.xlarge")
    assert instance.gpu is not None
    laid = gpu_fit.lay(GEMMA, instance, GpuSettings(2048), 63)
    assert laid is not None
    sizes = {line.name: line.bytes for line in laid.lines}
    expected = sizes["CUDA"]
    for name in ("weights", "kv cache", "compute"):
        expected += sizes[name]
        short = cuda_server.overflow(laid, expected - 1, "m.gguf")
        assert str(sizes[name]) in " ".join(short)
        assert short[-1] == "srv    load_model: failed to load model, 'm.gguf'"
        assert str(sizes[name]) not in " ".join(cuda_server.overflow(laid, expected, "m.gguf"))
    assert cuda_server.overflow(laid, expected, "m.gguf") == ()
    assert expected < laid.gpu_bytes <= laid.usable_bytes < 24 * GiB


def test_without_a_gpu_there_is_no_driver() -> None:
    """The loader says so, and llama-server never runs."""
    for instance in (None, facts("ml.c5.xlarge")):
        assert cuda_server.verdict(instance, {}) == (127, (cuda_server.NO_DRIVER,))
    assert cuda_server.verdict(facts("ml.g5.xlarge"), {"model": "/nowhere.gguf"}) == (0, ())


def test_a_models_header_decides(tmp_path: Path) -> None:
    """Of a file as it lies there."""
    model = str(shapes.sparse(shapes.GEMMA_27B, tmp_path / "gemma.gguf"))
    asked = told(model=model, n_gpu_layers=99, ctx_size=2048)

    assert cuda_server.verdict(facts("ml.g5.xlarge"), asked) == (0, ())
    status, lines = cuda_server.verdict(facts("ml.g4dn.xlarge"), asked)
    assert status == 1
    assert model in lines[-1]


def test_the_program_becomes_the_real_server_or_says_why_not(tmp_path: Path) -> None:
    """With that one's arguments as they are; else its last words and its exit status."""

    def run(kind: str, *arguments: str, gpu_gib: str = "") -> subprocess.CompletedProcess[str]:
        command = [sys.executable, cuda_server.__file__, kind, gpu_gib, "/bin/echo", *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=False)

    served = run("ml.g5.xlarge", "--metrics", "--n-gpu-layers", "9")
    refused = run("ml.c5.xlarge", "--metrics")
    model = str(shapes.sparse(shapes.GEMMA_27B, tmp_path / "gemma.gguf"))
    full = run("ml.g4dn.xlarge", "--model", model, "--n-gpu-layers", "63")
    held = run("ml.g5.xlarge", "--model", model, "--n-gpu-layers", "63")
    less = run("ml.g5.xlarge", "--model", model, "--n-gpu-layers", "63", gpu_gib="15.5")

    assert (served.returncode, served.stdout) == (0, "--metrics --n-gpu-layers 9\n")
    assert (refused.returncode, refused.stdout) == (127, "")
    assert refused.stderr == f"{cuda_server.NO_DRIVER}\n"
    assert (full.returncode, held.returncode, less.returncode) == (1, 0, 1)
    for one in (full, less):
        assert "cudaMalloc failed: out of memory" in one.stderr
