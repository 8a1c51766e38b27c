"""GGUF files of true shapes: real architectures and quantisations around random weights, or around no weights.

Owns what a model looks like to a loader: metadata, a vocabulary of the right size, tensor infos, and blocks that
decode to small finite numbers. Refuses to be a model: what it generates means nothing. `sparse` writes the same
header and leaves the weights a hole in the file, so that a model of any size costs its header.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product
from math import prod
from typing import TYPE_CHECKING, Any, Final

import gguf
import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import numpy.typing as npt

Type = gguf.GGMLQuantizationType

_FLOATS: Final = {Type.F32: np.float32, Type.F16: np.float16}
_SCALES: Final = {Type.Q8_0: (0,), Type.Q4_0: (0,), Type.Q4_K: (0, 2), Type.Q6_K: (208,)}
"""Where the half-precision scales stand in a block (ggml-common.h); the rest of it may be any bytes."""
_FILE_TYPES: Final = {
    "F16": gguf.LlamaFileType.MOSTLY_F16,
    "Q8_0": gguf.LlamaFileType.MOSTLY_Q8_0,
    "Q4_0": gguf.LlamaFileType.MOSTLY_Q4_0,
    "Q4_K_M": gguf.LlamaFileType.MOSTLY_Q4_K_M,
}
_ALPHABET: Final = "bcdfghjkmnpqrstvwxz"
_PIECE: Final = 1 << 15
"""Random blocks made; a tensor repeats them."""
CHARACTER: Final = "7"
"""A text of n of these is n tokens in every vocabulary here."""


@dataclass(frozen=True, slots=True)
class ModelShape:
    """The figures of a model."""

    architecture: str
    layers: int
    embedding: int
    heads: int
    kv_heads: int
    head: int
    """Width of a key and of a value."""
    feed_forward: int
    vocabulary: int
    merges: int = 0
    """Of a BPE vocabulary; 0 makes a SentencePiece one."""
    quantization: str = "Q4_K_M"
    window: int = 0
    tied: bool = True
    """Whether the output matrix is the token embedding."""
    embedding_type: str = ""
    """Of the token embedding, where it is not what llama-quantize would choose."""
    context: int = 131_072
    pre_tokenizer: str = ""
    """Of a BPE vocabulary, where it is not the architecture's."""
    shards: int = 1
    """Into how many files the model says it is split; this one is the first."""

    def tensors(self) -> Iterator[tuple[str, Type, tuple[int, ...]]]:
        """Yield each tensor's name, type and shape, slowest dimension first."""
        embedding = (self.vocabulary, self.embedding)
        yield "token_embd.weight", self._embedding_type(output=self.tied), embedding
        if not self.tied:
            yield "output.weight", self._embedding_type(output=True), embedding
        yield "output_norm.weight", Type.F32, (self.embedding,)
        for layer in range(self.layers):
            for name, kind, shape in self._layer(layer):
                yield f"blk.{layer}.{name}", kind, shape

    def _layer(self, layer: int) -> Iterator[tuple[str, Type, tuple[int, ...]]]:
        plain = Type.Q4_K if self.quantization == "Q4_K_M" else Type[self.quantization]
        # llama-quant.cpp, use_more_bits: what Q4_K_M keeps in 6 bits.
        eighth = self.layers // 8
        finer = layer < eighth or layer >= 7 * self.layers // 8 or (layer - eighth) % 3 == 2
        fine = Type.Q6_K if self.quantization == "Q4_K_M" and finer else plain
        queries, keys = self.heads * self.head, self.kv_heads * self.head
        norms = {"attn_norm": self.embedding, "ffn_norm": self.embedding}
        if self.architecture == "gemma3":
            norms |= {"post_attention_norm": self.embedding, "post_ffw_norm": self.embedding}
            norms |= {"attn_q_norm": self.head, "attn_k_norm": self.head}
        for name, width in norms.items():
            yield f"{name}.weight", Type.F32, (width,)
        if self.architecture == "qwen2":
            for name, width in {"attn_q": queries, "attn_k": keys, "attn_v": keys}.items():
                yield f"{name}.bias", Type.F32, (width,)
        yield "attn_q.weight", plain, (queries, self.embedding)
        yield "attn_k.weight", plain, (keys, self.embedding)
        yield "attn_v.weight", fine, (keys, self.embedding)
        yield "attn_output.weight", plain, (self.embedding, queries)
        yield "ffn_gate.weight", plain, (self.feed_forward, self.embedding)
        yield "ffn_up.weight", plain, (self.feed_forward, self.embedding)
        yield "ffn_down.weight", fine, (self.embedding, self.feed_forward)

    def _embedding_type(self, *, output: bool) -> Type:
        if self.embedding_type:
            return Type[self.embedding_type]
        if self.quantization in ("F16", "Q8_0"):
            return Type[self.quantization]
        return Type.Q6_K if output else Type[self.quantization.removesuffix("_M")]


def write(shape: ModelShape, path: Path) -> Path:
    """Write a GGUF of this shape with random weights that llama.cpp loads and runs."""
    writer = _header(shape, path)
    random = np.random.default_rng(0)
    for _, kind, dimensions in shape.tensors():
        writer.write_tensor_data(_weights(random, kind, prod(dimensions)))
    writer.close()
    return path


def sparse(shape: ModelShape, path: Path) -> Path:
    """Write the same header, and a hole where the weights would be."""
    writer = _header(shape, path)
    writer.close()
    size = path.stat().st_size  # not aligned yet: the writer pads when data follows
    for _, kind, dimensions in shape.tensors():
        size = _padded(size) + _bytes(kind, prod(dimensions))
    with path.open("r+b") as file:
        file.truncate(_padded(size))
    return path


class _Writer(gguf.GGUFWriter):
    """Writes a vocabulary's lists at once: one by one they take seconds for each header."""

    def _pack_val(
        self,
        val: Any,
        vtype: Any,
        add_vtype: bool,
        sub_type: Any = None,
    ) -> bytes:
        if vtype is not gguf.GGUFValueType.ARRAY or not isinstance(val, list):
            return super()._pack_val(val, vtype, add_vtype, sub_type)
        first = super()._pack_val(val[:1], vtype, add_vtype, sub_type)
        if isinstance(val[0], str):
            rest = b"".join(len(one).to_bytes(8, "little") + one for one in map(str.encode, val))
            head = len(first) - 8 - len(val[0].encode())
        else:
            rest = np.array(val, "<f4" if isinstance(val[0], float) else "<i4").tobytes()
            head = len(first) - 4
        # The number of items stands last before them.
        return first[: head - 8] + len(val).to_bytes(8, "little") + rest


def _header(shape: ModelShape, path: Path) -> gguf.GGUFWriter:
    writer = _Writer(path, shape.architecture)
    writer.add_name("shape")
    writer.add_file_type(_FILE_TYPES[shape.quantization])
    writer.add_context_length(shape.context)
    writer.add_embedding_length(shape.embedding)
    writer.add_block_count(shape.layers)
    writer.add_feed_forward_length(shape.feed_forward)
    writer.add_head_count(shape.heads)
    writer.add_head_count_kv(shape.kv_heads)
    writer.add_key_length(shape.head)
    writer.add_value_length(shape.head)
    writer.add_layer_norm_rms_eps(1e-6)
    writer.add_rope_freq_base(10_000.0)
    if shape.shards > 1:
        writer.add_uint16("split.count", shape.shards)
        writer.add_uint16("split.no", 0)
        writer.add_int32("split.tensors.count", len(list(shape.tensors())))
    if shape.window:
        writer.add_sliding_window(shape.window)
    (_add_bpe if shape.merges else _add_sentencepiece)(writer, shape)
    for name, kind, dimensions in shape.tensors():
        if kind in _FLOATS:
            writer.add_tensor_info(name, dimensions, np.dtype(_FLOATS[kind]), _bytes(kind, prod(dimensions)))
        else:
            block, size = gguf.GGML_QUANT_SIZES[kind]
            stored = (*dimensions[:-1], dimensions[-1] // block * size)
            writer.add_tensor_info(name, stored, np.dtype(np.uint8), _bytes(kind, prod(dimensions)), kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_ti_data_to_file()
    return writer


def words() -> Iterator[str]:
    """Yield words of the lengths that vocabularies have: two letters to seven, and some with sixteen."""
    for count in range(2, 8):
        for n, letters in enumerate(product(_ALPHABET, repeat=count)):
            word = "".join(letters)
            yield word * 4 if n % 16 == 0 and count > 3 else word


def _add_bpe(writer: gguf.GGUFWriter, shape: ModelShape) -> None:
    # Only ASCII: a lead byte of UTF-8, generated at random, would make llama-cpp-python wait for the rest of it.
    tokens = ["<s>", "</s>", *map(chr, range(33, 127)), "\u0120", "\u010a"]
    kinds = [gguf.TokenType.CONTROL] * 2 + [gguf.TokenType.NORMAL] * (shape.vocabulary - 2)
    more = words()
    tokens += ["\u0120" + next(more) for _ in range(shape.vocabulary - len(tokens))]
    # Each word is merged from two halves, and some in several ways, as in vocabularies of the same size.
    merges = []
    for n in range(shape.merges):
        word = tokens[100 + n % (shape.vocabulary - 100)]
        cut = 1 + n // shape.vocabulary
        merges.append(f"{word[:-cut]} {word[-cut:]}")
    writer.add_tokenizer_model("gpt2")
    usual = "qwen2" if shape.architecture == "qwen2" else "llama-bpe"
    writer.add_tokenizer_pre(shape.pre_tokenizer or usual)
    writer.add_token_list(tokens)
    writer.add_token_types(kinds)
    writer.add_token_merges(merges)
    writer.add_bos_token_id(0)
    writer.add_eos_token_id(1)


def _add_sentencepiece(writer: gguf.GGUFWriter, shape: ModelShape) -> None:
    tokens = ["<unk>", "<s>", "</s>", *(f"<0x{byte:02X}>" for byte in range(128))]
    kinds = [gguf.TokenType.UNKNOWN] + [gguf.TokenType.CONTROL] * 2 + [gguf.TokenType.BYTE] * 128
    kinds += [gguf.TokenType.NORMAL] * (shape.vocabulary - len(kinds))
    more = words()
    tokens += [CHARACTER, "\u2581"]
    tokens += ["\u2581" + next(more) for _ in range(shape.vocabulary - len(tokens))]
    writer.add_tokenizer_model("llama")
    writer.add_tokenizer_pre("default")
    writer.add_token_list(tokens)
    writer.add_token_scores([-float(n) for n in range(shape.vocabulary)])
    writer.add_token_types(kinds)
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    writer.add_unk_token_id(0)


def _weights(random: np.random.Generator, kind: Type, count: int) -> npt.NDArray[np.generic]:
    if kind is Type.F32:
        return np.ones(count, np.float32)
    if kind is Type.F16:
        return np.resize(random.normal(0, 0.02, min(count, 1 << 20)).astype(np.float16), count)
    block, size = gguf.GGML_QUANT_SIZES[kind]
    piece = random.integers(0, 256, (min(count // block, _PIECE), size), dtype=np.uint8)
    for at in _SCALES[kind]:
        piece[:, at : at + 2] = np.frombuffer(np.float16(0.0005).tobytes(), np.uint8)
    return np.resize(piece, (count // block, size))


def _bytes(kind: Type, count: int) -> int:
    block, size = gguf.GGML_QUANT_SIZES[kind]
    return int(count // block * size)


def _padded(size: int) -> int:
    return -(-size // gguf.GGUF_DEFAULT_ALIGNMENT) * gguf.GGUF_DEFAULT_ALIGNMENT


QWEN_05B: Final = ModelShape("qwen2", 24, 896, 14, 2, 64, 4864, 151_936, 151_387)
"""Qwen2.5 0.5B."""
LLAMA_SMALL: Final = ModelShape("llama", 16, 1024, 16, 8, 64, 2816, 32_000, 61_249)
"""A Llama of some 220 million weights: its file has 130 MB, and what is not computing is seen beside it."""
LLAMA_TINY: Final = ModelShape("llama", 2, 256, 4, 2, 64, 512, 4096, 7000)
"""A Llama of two million weights, for trying a benchmark out: what it measures there is not llama.cpp."""
LLAMA_1B: Final = ModelShape("llama", 16, 2048, 32, 8, 64, 8192, 128_256, 280_147)
"""Llama 3.2 1B."""
LLAMA_3B: Final = ModelShape("llama", 28, 3072, 24, 8, 128, 8192, 128_256, 280_147)
"""Llama 3.2 3B."""
LLAMA_8B: Final = ModelShape("llama", 32, 4096, 32, 8, 128, 14_336, 128_256, 280_147, tied=False)
"""Llama 3.1 8B."""
GEMMA_1B: Final = ModelShape("gemma3", 26, 1152, 4, 1, 256, 6912, 262_144, window=512)
"""Gemma 3 1B."""
GEMMA_4B: Final = ModelShape("gemma3", 34, 2560, 8, 4, 256, 10_240, 262_208, window=1024)
"""Gemma 3 4B, without what it sees pictures with."""
GEMMA_27B: Final = ModelShape("gemma3", 62, 5376, 32, 16, 128, 21_504, 262_208, window=1024)
"""Gemma 3 27B: five layers slide, the sixth looks at everything."""
