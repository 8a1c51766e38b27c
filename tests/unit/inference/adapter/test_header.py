"""What is read of a GGUF before llama-server loads it."""

from __future__ import annotations

import random
import struct
from pathlib import Path
from typing import Any

import gguf
import pytest
from adapter import header
from adapter.header import Header, read_header

from examples.tiny_gguf import write_tiny_gguf
from pipeline.gguf import architectures


def written(path: Path, architecture: str, **more: Any) -> Path:
    """Write a header without tensors."""
    writer = gguf.GGUFWriter(path, architecture)
    writer.add_token_list(["<s>", "long " * 2000, "c"])
    writer.add_array("some.numbers", [1, 2, 3])
    for name, value in more.items():
        getattr(writer, f"add_{name}")(value)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.close()
    return path


def test_a_generator(tmp_path: Path) -> None:
    """Its name and the context that it was trained for, behind lists of numbers and of texts."""
    found = read_header(written(tmp_path / "m.gguf", "llama", name="A model", context_length=4096))

    assert found == Header("llama", "A model", None, True, 4096)
    assert not found.embeds
    assert not found.ranks


@pytest.mark.parametrize(
    ("architecture", "more", "expected"),
    [
        pytest.param("bert", {}, (True, False, True), id="an encoder"),
        pytest.param("bert", {"pooling_type": gguf.PoolingType.MEAN}, (True, False, True), id="with pooling"),
        pytest.param("qwen3", {"pooling_type": gguf.PoolingType.LAST}, (True, False, False), id="last token"),
        pytest.param(
            "qwen3", {"causal_attention": False}, (True, False, True), id="all tokens see each other"
        ),
        pytest.param("bert", {"pooling_type": gguf.PoolingType.RANK}, (False, True, True), id="a reranker"),
        pytest.param(
            "llama", {"pooling_type": gguf.PoolingType.RANK}, (False, False, False), id="none of ours"
        ),
        pytest.param("dream", {"causal_attention": False}, (False, False, True), id="diffusion"),
    ],
)
def test_what_a_model_is_for(
    architecture: str, more: dict[str, Any], expected: tuple[bool, ...], tmp_path: Path
) -> None:
    """Whether it embeds, ranks, and evaluates texts at once: by a header, and the four functions' own rule."""
    found = read_header(written(tmp_path / "m.gguf", architecture, **more))

    assert (found.embeds, found.ranks, found.whole) == expected
    reranker_without_a_head = architecture == "llama"
    assert (found.unserved is not None) == reranker_without_a_head


def test_the_architectures_are_those_of_the_pinned_source() -> None:
    """The pipeline's tables are read off llama.cpp; the image has no pipeline, so it has a copy."""
    assert header.WITHOUT_CACHE == architectures.WITHOUT_CACHE
    assert header.DIFFUSION == architectures.DIFFUSION


def test_a_damaged_file_tells_nothing(tmp_path: Path) -> None:
    """Whatever the damage: what is wrong with it is llama-server's to say."""
    whole = write_tiny_gguf(tmp_path / "m.gguf").read_bytes()[:4096]
    path = tmp_path / "damaged.gguf"
    chance = random.Random(0)
    for _ in range(300):
        content = bytearray(whole[: chance.randrange(len(whole))])
        for _ in range(chance.randrange(4)):
            if content:
                content[chance.randrange(len(content))] = chance.randrange(256)
        path.write_bytes(content)
        read_header(path)

    assert read_header(tmp_path / "nothing") == Header()
    path.write_bytes(b"GGUF" + struct.pack("<IQQ", 3, 0, 2**63))
    assert read_header(path) == Header()
