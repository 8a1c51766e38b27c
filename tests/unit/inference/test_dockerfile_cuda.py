"""The image for NVIDIA's GPUs, as far as its text tells: nobody has built it yet."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from pipeline.image import base
from pipeline.sizing import images, instance_data
from tools.image_test.dockerfile import Instruction, parse

TOP = Path(__file__).resolve().parents[3]


@pytest.fixture(scope="module")
def instructions() -> list[Instruction]:
    """Read the instructions."""
    return parse((TOP / "inference" / "Dockerfile.cuda").read_text(encoding="utf-8"))


def arguments(instructions: list[Instruction], name: str) -> list[str]:
    """Return the arguments of each instruction of a name."""
    return [one.arguments for one in instructions if one.name == name]


def options(instructions: list[Instruction]) -> dict[str, str]:
    """Return CMake's definitions."""
    (configured,) = (one for one in arguments(instructions, "RUN") if " -S /src " in one)
    return dict(re.findall(r"-D(\w+)=\"?([^\s\"]+)", configured))


def test_it_is_compiled_for_every_gpu_of_the_table(instructions: list[Instruction]) -> None:
    """One architecture for each compute capability: a GPU without its own runs nothing."""
    wanted = {found.replace(".", "") for found in instance_data.COMPUTE_CAPABILITIES.values()}

    assert instance_data.COMPUTE_CAPABILITIES.keys() == instance_data.GPUS.keys()
    built = options(instructions)["CMAKE_CUDA_ARCHITECTURES"].split(";")
    assert sorted(built) == sorted(f"{one}-real" for one in wanted)


def test_each_base_is_pinned(instructions: list[Instruction]) -> None:
    """Python's by the digest that ours is laid on, NVIDIA's by the exact tag, and the last is our own image."""
    python, cuda, ours = arguments(instructions, "FROM")

    assert python == f"python:{base.TAG}@{base.DIGEST} AS tools"
    assert re.fullmatch(r"nvidia/cuda:\d+\.\d+\.\d+-devel-ubuntu22\.04 AS cuda", cuda)
    assert ours == "${SEALIFT_IMAGE}"


def test_its_cuda_is_what_the_machines_driver_runs(instructions: list[Instruction]) -> None:
    """The same as of AWS's image, which the machine's own image is named for; libraries have its number."""
    major = re.search(r"nvidia/cuda:(\d+)\.", arguments(instructions, "FROM")[1])
    assert major is not None
    (copied,) = (one for one in arguments(instructions, "RUN") if "libcudart.so." in one)

    assert major[1] == "13"
    assert images.CUDA_AMI.endswith("gpu-4-1")
    assert set(re.findall(r"lib(cudart|cublas|cublasLt)\.so\.(\d+)", copied)) == {
        (library, major[1]) for library in ("cudart", "cublas", "cublasLt")
    }


def test_it_is_the_servers_recipe_but_for_cuda(instructions: list[Instruction]) -> None:
    """What the server for CPUs leaves out, this one does too; its CPU backend is the AVX2 variant."""
    found = options(instructions)
    recipe = (TOP / "tools" / "runtime" / "server_recipe.py").read_text(encoding="utf-8")

    for name, value in re.findall(r'"((?:LLAMA|GGML)_\w+|BUILD_SHARED_LIBS)": "(ON|OFF)"', recipe):
        if name not in {"GGML_BACKEND_DL", "GGML_CPU_ALL_VARIANTS"}:  # off unless asked for
            assert found[name] == value, name
    assert found["GGML_CUDA"] == "ON"
    assert found["GGML_NATIVE"] == found["GGML_OPENMP"] == found["LLAMA_OPENSSL"] == "OFF"
    assert found["GGML_AVX2"] == "ON"
    assert "GGML_AVX512" not in found


def test_the_source_is_the_pinned_one_and_cmake_the_locked_one(instructions: list[Instruction]) -> None:
    """Both are made or locked here; nothing else is fetched by a name."""
    copied = " ".join(arguments(instructions, "COPY"))
    runs = " ".join(arguments(instructions, "RUN"))

    assert ".build/llama-source/ /src/" in copied
    assert "requirements/build.lock /tmp/build.lock" in copied
    assert "cmake==" in (TOP / "requirements" / "build.lock").read_text(encoding="utf-8")
    assert "--require-hashes --only-binary :all:" in runs
    assert not re.search(r"\b(apt|apt-get|curl|wget|git clone)\b", runs)
    kept = (TOP / ".dockerignore").read_text(encoding="utf-8").splitlines()
    assert {"!.build/llama-source", "!requirements/build.lock"} <= set(kept)


def test_tree_and_entry_point_are_the_image_belows(instructions: list[Instruction]) -> None:
    """The last stage puts a server in the place of the other, and says nothing of how it is started."""
    last = instructions[[one.name for one in instructions].index("FROM", 0) :]
    last = last[max(number for number, one in enumerate(last) if one.name == "FROM") + 1 :]

    assert [one.name for one in last] == ["COPY", "ENV", "LABEL"]
    assert last[0].arguments == "--from=cuda /opt/sealift/llama-server/ /opt/sealift/llama-server/"
    assert "NVIDIA_DRIVER_CAPABILITIES=compute,utility" in last[1].arguments
    assert last[2].arguments == 'sealift.platform="cuda"'
