"""Generators of what lies beside a small GGUF model: a LoRA adapter and a projector.

The files are true ones, loaded and run by llama-server like any other. Their weights are random: with the adapter a
model of `tiny_gguf` says something else, and what it makes of an image is nothing. A draft model is a model:
`tiny_gguf` with fewer layers has the same vocabulary and guesses the same words.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import gguf
import numpy as np

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    import numpy.typing as npt

    Matrix = npt.NDArray[np.float32]

TINY_LORA = {"blk.0.ffn_down.weight": (256, 128)}
"""The tensor of a tiny model that its adapter changes: how wide what goes in is, and what comes out."""


def write_tiny_lora(
    path: Path,
    *,
    architecture: str = "llama",
    tensors: Mapping[str, tuple[int, int]] = TINY_LORA,
    rank: int = 4,
    strength: float = 20.0,
    seed: int = 0,
) -> Path:
    """Write a LoRA adapter: same arguments, same bytes.

    Args:
        path: the file to write.
        architecture: of the base model.
        tensors: what it changes: the base model's tensors with their widths, of what goes in and what comes out.
        rank: of the change.
        strength: standard deviation of its weights.
        seed: of its weights.

    Returns:
        The path.
    """
    random = np.random.default_rng(seed)
    writer = gguf.GGUFWriter(path, architecture)
    writer.add_type(gguf.GGUFType.ADAPTER)
    writer.add_name("tiny-lora")
    writer.add_string(gguf.Keys.Adapter.TYPE, "lora")
    writer.add_float32(gguf.Keys.Adapter.LORA_ALPHA, float(rank))
    for name, (into, out) in tensors.items():
        writer.add_tensor(f"{name}.lora_a", _noise(random, (rank, into), strength))
        writer.add_tensor(f"{name}.lora_b", _noise(random, (out, rank), strength))
    return _written(writer, path)


def write_tiny_projector(
    path: Path,
    *,
    text_width: int = 128,
    width: int = 32,
    layers: int = 1,
    heads: int = 2,
    feed_forward: int = 64,
    image: int = 64,
    patch: int = 8,
    half: bool = False,
    seed: int = 0,
) -> Path:
    """Write a projector of Gemma 3's kind, which looks at one square image: same arguments, same bytes.

    Args:
        path: the file to write.
        text_width: the language model's embedding length.
        width: its own.
        layers: of its transformer.
        heads: of each layer; they share `width`.
        feed_forward: width between.
        image: pixels of a side, to which every image is brought; 4 x `patch` go into one token of a side.
        patch: pixels of a side of a patch.
        half: whether its matrices have 16 bits.
        seed: of its weights.

    Returns:
        The path.
    """
    random = np.random.default_rng(seed)
    writer = gguf.GGUFWriter(path, "clip")
    writer.add_type(gguf.GGUFType.MMPROJ)
    writer.add_name("tiny-projector")
    writer.add_clip_has_vision_encoder(True)
    writer.add_clip_projector_type("gemma3")
    writer.add_vision_image_size(image)
    writer.add_vision_patch_size(patch)
    writer.add_vision_embedding_length(width)
    writer.add_vision_feed_forward_length(feed_forward)
    writer.add_vision_block_count(layers)
    writer.add_vision_head_count(heads)
    writer.add_vision_projection_dim(text_width)
    writer.add_vision_attention_layernorm_eps(1e-6)
    writer.add_vision_image_mean([0.5, 0.5, 0.5])
    writer.add_vision_image_std([0.5, 0.5, 0.5])
    writer.add_vision_use_gelu(True)

    def matrix(name: str, *shape: int) -> None:
        values = _noise(random, shape, 0.02)
        writer.add_tensor(f"{name}.weight", values.astype(np.float16) if half else values)

    def vector(name: str, value: float = 0.0) -> None:
        writer.add_tensor(name, np.full(width, value, dtype=np.float32))

    matrix("v.patch_embd", width, 3, patch, patch)
    vector("v.patch_embd.bias")
    writer.add_tensor("v.position_embd.weight", _noise(random, ((image // patch) ** 2, width), 0.02))
    for layer in range(layers):
        block = f"v.blk.{layer}."
        for norm in ("ln1", "ln2"):
            vector(f"{block}{norm}.weight", 1.0)
            vector(f"{block}{norm}.bias")
        for name in ("attn_q", "attn_k", "attn_v", "attn_out"):
            matrix(block + name, width, width)
        matrix(f"{block}ffn_up", feed_forward, width)
        matrix(f"{block}ffn_down", width, feed_forward)
    vector("v.post_ln.weight", 1.0)
    vector("v.post_ln.bias")
    vector("mm.soft_emb_norm.weight", 1.0)
    matrix("mm.input_projection", width, text_width)
    return _written(writer, path)


def _noise(random: np.random.Generator, shape: tuple[int, ...], deviation: float) -> Matrix:
    return random.normal(0, deviation, shape).astype(np.float32)


def _written(writer: gguf.GGUFWriter, path: Path) -> Path:
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path
