"""The GGUF header: what is read from good ones, and what is said about bad ones."""

from __future__ import annotations

import io
import struct
import tempfile
import tracemalloc
from contextlib import suppress
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import pytest
from gguf.constants import GGML_QUANT_SIZES, LlamaFileType
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.gguf.header import (
    FILE_TYPE_GUESSED,
    FILE_TYPES,
    TENSOR_TYPES,
    GGUFHeader,
    GGUFParser,
    GGUFProblem,
    HeaderBounds,
    Unread,
    read_header,
)

U32, STRING, ARRAY, BOOL, F32 = 4, 8, 9, 7, 6


def string(text: str) -> bytes:
    """Return a GGUF string."""
    raw = text.encode()
    return struct.pack("<Q", len(raw)) + raw


def entry(key: str, kind: int, value: bytes) -> bytes:
    """Return a metadata entry."""
    return string(key) + struct.pack("<I", kind) + value


def array(kind: int, count: int, items: bytes) -> bytes:
    """Return an array's value, its count a claim."""
    return struct.pack("<IQ", kind, count) + items


def tensor(name: str, shape: tuple[int, ...], kind: int, offset: int) -> bytes:
    """Return a tensor info."""
    return string(name) + struct.pack(f"<I{len(shape)}QIQ", len(shape), *shape, kind, offset)


ARCHITECTURE = entry("general.architecture", STRING, string("llama"))
WEIGHT = tensor("w", (32, 2), 0, 0)


def header(
    *entries: bytes,
    tensors: tuple[bytes, ...] = (WEIGHT,),
    version: int = 3,
    counts: tuple[int, int] | None = None,
) -> bytes:
    """Return a header of ready entries and tensor infos, its counts a claim if given."""
    n_tensors, n_entries = counts or (len(tensors), len(entries))
    return (
        b"GGUF" + struct.pack("<IQQ", version, n_tensors, n_entries) + b"".join(entries) + b"".join(tensors)
    )


def parse(data: bytes, step: int = 1 << 20, bounds: HeaderBounds | None = None) -> GGUFHeader:
    """Return the header that comes of feeding `data` in steps."""
    parser = GGUFParser(bounds or HeaderBounds())
    for start in range(0, len(data), step):
        parser.feed(data[start : start + step])
    parser.finish()
    assert parser.header is not None
    return parser.header


def written(**facts: Any) -> bytes:
    """Return a GGUF written by the reference writer."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "m.gguf"
        writer = gguf.GGUFWriter(path, "llama")
        for name, value in facts.items():
            getattr(writer, name)(value)
        writer.add_tensor("token_embd.weight", np.zeros((8, 64), np.float32))
        writer.add_tensor("blk.0.attn_q.weight", np.zeros((64, 64), np.float16))
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_tensors_to_file()
        writer.close()
        return path.read_bytes()


def test_facts_of_a_model_written_by_the_reference_writer_are_read_back() -> None:
    """What the `gguf` package writes is read with the same meaning, to the last byte of the file."""
    data = written(
        add_name="Small",
        add_block_count=2,
        add_context_length=2048,
        add_embedding_length=64,
        add_head_count=4,
        add_head_count_kv=2,
        add_file_type=1,
        add_sliding_window=512,
        add_token_list=[f"t{n}" for n in range(300)],
        add_chat_template="{{ messages }}",
    )

    read = read_header(lambda start, length: data[start : start + length])

    assert read.architecture == "llama"
    assert read.name == "Small"
    assert (read.context_length, read.block_count, read.embedding_length) == (2048, 2, 64)
    assert (read.head_counts, read.head_counts_kv) == ((4, 4), (2, 2))
    assert (read.key_length, read.value_length) == (16, 16)
    assert read.sliding_window == 512
    assert read.vocabulary_size == 300
    assert read.has_chat_template
    assert read.quantization == "F16"
    assert read.parameter_count == 8 * 64 + 64 * 64
    assert read.tensor_bytes == 8 * 64 * 4 + 64 * 64 * 2
    assert read.expected_size == len(data)


values = st.one_of(
    st.integers(0, 2**32 - 1).map(lambda v: ("add_uint32", v)),
    st.integers(-(2**31), 2**31 - 1).map(lambda v: ("add_int32", v)),
    st.integers(0, 2**64 - 1).map(lambda v: ("add_uint64", v)),
    st.integers(-(2**63), 2**63 - 1).map(lambda v: ("add_int64", v)),
    st.integers(0, 255).map(lambda v: ("add_uint8", v)),
    st.integers(-128, 127).map(lambda v: ("add_int8", v)),
    st.integers(0, 2**16 - 1).map(lambda v: ("add_uint16", v)),
    st.integers(-(2**15), 2**15 - 1).map(lambda v: ("add_int16", v)),
    st.booleans().map(lambda v: ("add_bool", v)),
    st.floats(width=32, allow_nan=False).map(lambda v: ("add_float32", v)),
    st.floats(allow_nan=False).map(lambda v: ("add_float64", v)),
    st.text(min_size=1, max_size=40).map(lambda v: ("add_string", v)),
    st.lists(st.integers(0, 2**31 - 1), min_size=1, max_size=20).map(lambda v: ("add_array", v)),
    st.lists(st.text(max_size=9), min_size=1, max_size=20).map(lambda v: ("add_array", v)),
    st.lists(st.booleans(), min_size=1, max_size=20).map(lambda v: ("add_array", v)),
)


@settings(max_examples=60, deadline=None)
@given(st.dictionaries(st.text("abc.", min_size=1, max_size=12), values, max_size=8), st.integers(1, 70))
def test_every_metadata_type_is_read_in_pieces_of_any_size(
    entries: dict[str, tuple[str, Any]], step: int
) -> None:
    """Whatever the reference writer can write is read back equal, however the bytes arrive."""
    writer = gguf.GGUFWriter(None, "llama")
    for key, (method, value) in entries.items():
        getattr(writer, method)(key, value)
    writer.add_tensor_info("w", (2, 32), np.dtype(np.float32), 256)
    out = io.BytesIO()
    writer.fout = [out]  # type: ignore[list-item]
    writer.state = gguf.gguf_writer.WriterState.EMPTY
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_ti_data_to_file()

    read = parse(out.getvalue(), step)

    for key, (_, value) in entries.items():
        assert read.metadata[key] == (tuple(value) if isinstance(value, list) else value)


@pytest.mark.parametrize("version", [2, 3])
def test_versions_that_llama_cpp_reads_are_read(version: int) -> None:
    """Versions 2 and 3 have one layout, and both are read."""
    assert parse(header(ARCHITECTURE, version=version)).version == version


def test_tensor_types_are_those_of_ggml() -> None:
    """Block and type sizes agree with the `gguf` package, type by type."""
    # Q8_1 exists only while computing; ggml_type_size says 36, the package 40.
    theirs = {int(kind): sizes for kind, sizes in GGML_QUANT_SIZES.items() if kind.name != "Q8_1"}

    ours = {kind: (TENSOR_TYPES[kind].block, TENSOR_TYPES[kind].size) for kind in theirs}

    assert ours == theirs
    assert {kind.name for kind in GGML_QUANT_SIZES} <= {kind.name for kind in TENSOR_TYPES.values()}


def test_file_types_are_those_of_llama_cpp() -> None:
    """Every file type that the `gguf` package knows has the name that people use for it."""
    theirs = {
        int(kind): kind.name.removeprefix("ALL_").removeprefix("MOSTLY_")
        for kind in LlamaFileType
        if kind != LlamaFileType.GUESSED
    }

    assert {kind: FILE_TYPES[kind][0] for kind in theirs} == theirs


@pytest.mark.parametrize(
    ("file_type", "kinds", "name"),
    [
        pytest.param(15, (12, 14), "Q4_K_M", id="named, and borne out by a tensor"),
        pytest.param(15 | FILE_TYPE_GUESSED, (12,), "Q4_K_M", id="guessed by the converter"),
        pytest.param(15, (8,), "Q8_0", id="named otherwise than the tensors are"),
        pytest.param(None, (14, 14, 12), "Q6_K", id="unnamed: the type with most bytes"),
        pytest.param(999, (12,), "Q4_K", id="a name newer than us"),
    ],
)
def test_quantisation_is_named_by_the_file_where_its_tensors_agree(
    file_type: int | None, kinds: tuple[int, ...], name: str
) -> None:
    """general.file_type gives the usual name, and tensors are believed over it."""
    entries = [ARCHITECTURE]
    if file_type is not None:
        entries.append(entry("general.file_type", U32, struct.pack("<I", file_type)))
    infos = []
    offset = 0
    for number, kind in enumerate(kinds):
        infos.append(tensor(f"w{number}", (256,), kind, offset))
        offset += -(-TENSOR_TYPES[kind].size * 256 // TENSOR_TYPES[kind].block // 32) * 32

    assert parse(header(*entries, tensors=tuple(infos))).quantization == name


def test_head_counts_may_differ_from_layer_to_layer() -> None:
    """Per-layer arrays are kept, so that the cache of such a model can be computed."""
    counts = array(U32, 3, struct.pack("<3I", 8, 0, 8))

    read = parse(header(ARCHITECTURE, entry("llama.attention.head_count_kv", ARRAY, counts)))

    assert read.head_counts_kv == (8, 0, 8)
    assert read.to_json()["head_counts_kv"] == [8, 0, 8]


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        pytest.param((U32, struct.pack("<I", 6)), 6, id="a period"),
        pytest.param((ARRAY, array(BOOL, 3, b"\1\1\0")), [1, 1, 0], id="flags"),
        pytest.param((ARRAY, array(U32, 2, struct.pack("<2I", 1, 1))), [1, 1], id="numbers, all alike"),
        pytest.param((STRING, string("x")), None, id="something else"),
    ],
)
def test_a_sliding_window_pattern_is_a_period_or_one_flag_a_layer(
    value: tuple[int, bytes], expected: int | list[int] | None
) -> None:
    """Both are in use, and a list stays a list: all layers may slide."""
    read = parse(header(ARCHITECTURE, entry("llama.attention.sliding_window_pattern", *value)))

    assert read.to_json()["sliding_window_pattern"] == expected


@pytest.mark.parametrize(
    ("count", "expected"), [pytest.param(3, 3, id="held"), pytest.param(70, 70, id="walked over")]
)
def test_merges_are_counted(count: int, expected: int) -> None:
    """However many there are."""
    merges = entry("tokenizer.ggml.merges", ARRAY, array(STRING, count, string("a b") * count))

    assert parse(header(ARCHITECTURE, merges)).to_json()["merge_count"] == expected
    assert parse(header(ARCHITECTURE)).to_json()["merge_count"] == 0


@pytest.mark.parametrize(
    ("output", "tied"),
    [pytest.param("output.weight", False, id="untied"), pytest.param("other", True, id="tied")],
)
def test_the_token_embedding_and_the_largest_matrices_are_told(output: str, tied: bool) -> None:
    """Q4_0 of 4 x 64 and F16 of 2 x 64 and 3 x 64, the embedding not among the matrices."""
    tensors = (
        tensor("token_embd.weight", (64, 4), 2, 0),
        tensor(output, (64, 2), 1, 160),
        tensor("blk.0.attn_q.weight", (64, 3), 1, 416),
        tensor("blk.0.attn_norm.weight", (64,), 0, 800),
    )
    told = parse(header(ARCHITECTURE, tensors=tensors)).to_json()

    assert told["token_embedding"] == {"type": "Q4_0", "rows": 4, "bytes": 144, "tied": tied}
    assert told["largest_matrices"] == {"F16": 384}
    assert parse(header(ARCHITECTURE)).to_json()["token_embedding"] is None


def matrices(*names: tuple[str, tuple[int, ...]]) -> tuple[bytes, ...]:
    """Return tensor infos of these names and shapes in 32 bits, one behind the other."""
    infos, offset = [], 0
    for name, shape in names:
        infos.append(tensor(name, shape, 0, offset))
        offset += -(-4 * int(np.prod(shape)) // 32) * 32
    return tuple(infos)


def test_keys_that_memory_depends_on_are_told_as_a_number_or_one_for_each_layer() -> None:
    """Only those that are there and are whole numbers; flags count as 0 and 1."""
    read = parse(
        header(
            ARCHITECTURE,
            entry("llama.ssm.inner_size", U32, struct.pack("<I", 1024)),
            entry("llama.attention.compress_ratios", ARRAY, array(U32, 2, struct.pack("<II", 0, 4))),
            entry("llama.attention.recurrent_layers", ARRAY, array(BOOL, 2, b"\0\1")),
            entry("llama.ssm.state_size", STRING, string("many")),
            entry("mamba.ssm.conv_kernel", U32, struct.pack("<I", 4)),
        )
    )

    assert read.to_json()["memory_keys"] == {
        "ssm.inner_size": 1024,
        "attention.compress_ratios": [0, 4],
        "attention.recurrent_layers": [0, 1],
    }


@pytest.mark.parametrize(
    ("drafting", "expected"),
    [pytest.param(None, 0, id="not said"), pytest.param(1, 256, id="the last layer"),
     pytest.param(2, 0, id="a file of nothing else"), pytest.param(3, 0, id="more than there are")],
)  # fmt: skip
def test_layers_that_draft_are_told_from_those_that_are_loaded(drafting: int | None, expected: int) -> None:
    """Tensors of the last layers count as not loaded, those whose name only begins alike do not."""
    keys = [entry("llama.block_count", U32, struct.pack("<I", 2))]
    if drafting is not None:
        keys.append(entry("llama.nextn_predict_layers", U32, struct.pack("<I", drafting)))
    tensors = matrices(("blk.0.w", (32, 2)), ("blk.1.w", (32, 2)), ("blk.11.w", (32, 2)), ("blk.x", (32, 2)))

    assert parse(header(ARCHITECTURE, *keys, tensors=tensors)).unloaded_bytes == expected


@pytest.mark.parametrize(
    ("tensors", "gated", "width"),
    [
        pytest.param((("blk.0.ffn_up.weight", (32, 64)), ("blk.0.ffn_down.weight", (64, 32))), False, None,
                     id="up and down"),
        pytest.param((("blk.0.ffn_up.weight", (32, 128)), ("blk.0.ffn_down.weight", (64, 32))), True, None,
                     id="a gate in the same matrix"),
        pytest.param((("blk.0.ffn_gate.weight", (32, 64)), ("blk.0.ffn_up.weight", (32, 64))), True, None,
                     id="a gate of its own"),
        pytest.param((("blk.0.ffn_gate_inp.weight", (32, 4)), ("blk.0.ffn_up_exps.weight", (32, 64, 4)),
                      ("blk.0.ffn_down_exps.weight", (64, 32, 4))), False, 64, id="experts without, and a router"),
        pytest.param((("blk.0.ffn_gate_up_exps.weight", (32, 128, 4)), ("blk.0.ffn_down_exps.weight", (64, 32, 4)),
                      ("blk.1.ffn_down_exps.weight", (96, 32, 4))), True, 96, id="experts of several widths"),
        pytest.param((("w", (32, 2)),), True, None, id="not seen"),
    ],
)  # fmt: skip
def test_a_network_s_gate_and_an_expert_s_width_are_seen_in_its_tensors(
    tensors: tuple[tuple[str, tuple[int, ...]], ...], gated: bool, width: int | None
) -> None:
    """Architectures have them under different keys, or in none."""
    read = parse(header(ARCHITECTURE, tensors=matrices(*tensors)))

    assert (read.gated, read.expert_width) == (gated, width)


def test_tables_that_are_looked_up_are_no_matrices() -> None:
    """The embeddings of tokens, those of each layer among them, get no other layout."""
    tensors = matrices(
        ("token_embd.weight", (32, 9)), ("per_layer_token_embd.weight", (32, 8)), ("blk.0.w", (32, 2))
    )

    assert parse(header(ARCHITECTURE, tensors=tensors)).largest_matrices == {"F32": 256}


def test_a_large_vocabulary_is_walked_over_and_not_held() -> None:
    """Half a million strings cost bytes at hand, not objects."""
    count = 500_000
    tokens = array(STRING, count, string("token") * count)
    data = header(ARCHITECTURE, entry("tokenizer.ggml.tokens", ARRAY, tokens))
    pieces = [data[start : start + 65536] for start in range(0, len(data), 65536)]
    parser = GGUFParser()

    tracemalloc.start()
    for piece in pieces:
        parser.feed(piece)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert parser.header is not None
    assert parser.header.metadata["tokenizer.ggml.tokens"] == Unread("string", count)
    assert parser.header.vocabulary_size == count
    assert peak < 1 << 20


def test_long_strings_are_counted_and_not_held() -> None:
    """A string beyond any template's length leaves its length."""
    text = entry("tokenizer.chat_template", STRING, string("x" * 70_000))

    read = parse(header(ARCHITECTURE, text), 4096)

    assert read.metadata["tokenizer.chat_template"] == Unread("string", 70_000)
    assert read.has_chat_template


HUGE = struct.pack("<Q", 2**63)


@pytest.mark.parametrize(
    ("data", "error"),
    [
        pytest.param(b"GGML" + bytes(20), "GGUFMagic", id="another magic"),
        pytest.param(b"", "GGUFCutShort", id="nothing"),
        pytest.param(b"GGUF\x03\0", "GGUFCutShort", id="six bytes"),
        pytest.param(header(ARCHITECTURE)[:-1], "GGUFCutShort", id="one byte short"),
        pytest.param(header(ARCHITECTURE, version=1), "GGUFVersion", id="version 1"),
        pytest.param(header(ARCHITECTURE, version=4), "GGUFVersion", id="version 4"),
        pytest.param(header(ARCHITECTURE, version=0), "GGUFVersion", id="version 0"),
        pytest.param(b"GGUF" + struct.pack(">IQQ", 3, 0, 0), "GGUFBigEndian", id="big endian"),
        pytest.param(header(counts=(2**63, 0)), "GGUFCountTooLarge", id="2^63 tensors"),
        pytest.param(header(counts=(1, 2**63)), "GGUFCountTooLarge", id="2^63 entries"),
        pytest.param(header(HUGE), "GGUFCountTooLarge", id="a key of 2^63 bytes"),
        pytest.param(header(entry("k", STRING, HUGE)), "GGUFCountTooLarge", id="a string of 2^63 bytes"),
        pytest.param(
            header(entry("k", ARRAY, array(U32, 2**63, b""))), "GGUFCountTooLarge", id="2^63 numbers"
        ),
        pytest.param(
            header(entry("k", ARRAY, array(STRING, 100, HUGE))),
            "GGUFCountTooLarge",
            id="2^63 bytes in an array",
        ),
        pytest.param(
            header(entry("k", ARRAY, array(STRING, 1 << 30, string("x"))), tensors=()),
            "GGUFCutShort",
            id="2^30 strings, one there",
        ),
        pytest.param(header(entry("k", 13, b"")), "GGUFValueType", id="unknown value type"),
        pytest.param(header(entry("k", ARRAY, array(ARRAY, 1, b""))), "GGUFArrayType", id="array of arrays"),
        pytest.param(header(entry("k", ARRAY, array(99, 1, b""))), "GGUFArrayType", id="array of unknowns"),
        pytest.param(header(ARCHITECTURE, ARCHITECTURE), "GGUFDuplicateKey", id="a key twice"),
        pytest.param(
            header(ARCHITECTURE, entry("general.alignment", U32, struct.pack("<I", 24))),
            "GGUFAlignment",
            id="24",
        ),
        pytest.param(
            header(ARCHITECTURE, entry("general.alignment", U32, struct.pack("<I", 0))),
            "GGUFAlignment",
            id="0",
        ),
        *(
            pytest.param(
                header(ARCHITECTURE, entry("general.alignment", kind, value)),
                "GGUFAlignment",
                id=f"alignment of type {kind}",
            )
            for kind, value in (
                (0, b"\x40"),
                (1, b"\x40"),
                (2, b"\x40\0"),
                (5, b"\x40\0\0\0"),
                (BOOL, b"\1"),
                (10, struct.pack("<Q", 64)),
                (11, struct.pack("<Q", 64)),
                (STRING, string("64")),
                (ARRAY, array(U32, 1, struct.pack("<I", 64))),
                (ARRAY, array(STRING, 100, string("") * 100)),
            )
        ),
        pytest.param(header(entry("", U32, bytes(4))), "GGUFName", id="an empty key"),
        pytest.param(header(entry("a\0b", U32, bytes(4))), "GGUFName", id="a key with a NUL"),
        pytest.param(
            header(ARCHITECTURE, tensors=(tensor("w\0v", (32,), 0, 0),)),
            "GGUFName",
            id="a tensor's name with a NUL",
        ),
        pytest.param(
            header(ARCHITECTURE, tensors=(tensor("w", (2**62, 2**62, 0), 0, 0),)),
            "GGUFTensorShape",
            id="2^124 elements, and then none",
        ),
        pytest.param(
            header(ARCHITECTURE, tensors=(tensor("w", (2**63, 0), 0, 0),)),
            "GGUFTensorShape",
            id="rows of 2^63",
        ),
        pytest.param(
            header(ARCHITECTURE, tensors=(tensor("w", (2**62,), 0, 0),)),
            "GGUFTensorShape",
            id="2^64 bytes",
        ),
        pytest.param(
            header(ARCHITECTURE, tensors=(tensor("w", (2**61,), 0, 0), tensor("v", (2**61,), 0, 2**63))),
            "GGUFTensorShape",
            id="2^64 bytes in two tensors",
        ),
        pytest.param(
            header(ARCHITECTURE, tensors=(tensor("w", (32,) * 5, 0, 0),)),
            "GGUFCountTooLarge",
            id="five dimensions",
        ),
        pytest.param(
            header(ARCHITECTURE, tensors=(tensor("w" * 64, (32,), 0, 0),)),
            "GGUFCountTooLarge",
            id="a long name",
        ),
        pytest.param(
            header(ARCHITECTURE, tensors=(tensor("w", (32,), 31, 0),)), "GGUFTensorType", id="a retired type"
        ),
        pytest.param(
            header(ARCHITECTURE, tensors=(tensor("w", (32,), 77, 0),)), "GGUFTensorType", id="an unknown type"
        ),
        pytest.param(
            header(ARCHITECTURE, tensors=(tensor("w", (2**62, 2**62), 0, 0),)),
            "GGUFTensorShape",
            id="2^124 elements",
        ),
        pytest.param(
            header(ARCHITECTURE, tensors=(tensor("w", (), 8, 0),)), "GGUFTensorShape", id="no dimensions"
        ),
        pytest.param(
            header(ARCHITECTURE, tensors=(tensor("w", (100,), 12, 0),)),
            "GGUFTensorShape",
            id="rows of broken blocks",
        ),
        pytest.param(
            header(ARCHITECTURE, tensors=(WEIGHT, tensor("v", (32,), 0, 128))),
            "GGUFTensorOffset",
            id="overlap",
        ),
        pytest.param(
            header(ARCHITECTURE, tensors=(WEIGHT, tensor("w", (32,), 0, 256))),
            "GGUFDuplicateTensor",
            id="a name twice",
        ),
        pytest.param(header(), "GGUFNoArchitecture", id="no architecture"),
        pytest.param(
            header(entry("general.architecture", U32, b"\1\0\0\0")),
            "GGUFNoArchitecture",
            id="a number for it",
        ),
        pytest.param(header(ARCHITECTURE, tensors=()), "GGUFNoTensors", id="a vocabulary only"),
        pytest.param(
            header(ARCHITECTURE, entry("general.type", STRING, string("adapter"))),
            "GGUFNotALanguageModel",
            id="an adapter",
        ),
        pytest.param(
            header(entry("general.architecture", STRING, string("clip"))),
            "GGUFNotALanguageModel",
            id="a projector",
        ),
    ],
)
@pytest.mark.parametrize("step", [1, 1 << 20])
def test_a_bad_header_is_refused_by_name(data: bytes, error: str, step: int) -> None:
    """Each mistake has its own name, whether the bytes come one by one or at once."""
    with pytest.raises(GGUFProblem) as refusal:
        parse(data, step)

    assert refusal.value.problem.error == error
    assert all(refusal.value.problem.to_json().values())


def test_a_header_without_end_is_given_up() -> None:
    """Skipped items count towards the header's length."""
    data = header(entry("k", ARRAY, array(8, 1 << 20, string("") * (1 << 16))))

    with pytest.raises(GGUFProblem, match="header longer than"):
        parse(data, 1024, HeaderBounds(header_bytes=100_000))


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=400))
def test_any_bytes_become_a_header_or_a_named_problem(data: bytes) -> None:
    """Nothing but GGUFProblem ever comes out of arbitrary bytes."""
    for candidate in (data, b"GGUF" + data, b"GGUF\x03\0\0\0" + data):
        with suppress(GGUFProblem):
            parse(candidate, 7)


GOOD = header(
    ARCHITECTURE,
    entry("llama.attention.head_count", ARRAY, array(U32, 2, struct.pack("<2I", 4, 4))),
    entry("flags", ARRAY, array(BOOL, 2, b"\1\0")),
    entry("tokenizer.ggml.tokens", ARRAY, array(STRING, 70, string("ab") * 70)),
    entry("f", F32, struct.pack("<f", 1.5)),
)


@settings(max_examples=300, deadline=None)
@given(st.integers(0, len(GOOD) - 1), st.binary(min_size=1, max_size=9))
def test_a_damaged_header_becomes_a_header_or_a_named_problem(at: int, patch: bytes) -> None:
    """Damage in one place never crashes, and every fact can still be asked for."""
    data = GOOD[:at] + patch + GOOD[at + len(patch) :]

    try:
        read = parse(data)
    except GGUFProblem:
        return
    assert read.to_json()["n_tensors"] == 1
    assert read.expected_size >= 0


def test_names_that_are_no_utf8_are_told_apart() -> None:
    """They are bytes to llama.cpp, and two that look alike as text are two."""
    entries = [
        ARCHITECTURE,
        *(struct.pack("<Q", 1) + name + struct.pack("<II", U32, 1) for name in (b"\xfe", b"\xff")),
    ]
    infos = [tensor("@", (32,), 0, 128 * n).replace(b"@", name) for n, name in enumerate((b"\xfe", b"\xff"))]

    assert len(parse(header(*entries, tensors=tuple(infos))).tensors) == 2


def test_a_text_ends_at_a_nul_as_it_does_for_llama_cpp() -> None:
    """Otherwise "llama" and what llama.cpp loads as "llama" would be two architectures."""
    assert parse(header(entry("general.architecture", STRING, string("llama\0x")))).architecture == "llama"


@pytest.mark.parametrize(
    ("kind", "value", "named"),
    [
        pytest.param(U32, bytes(4), "uint32", id="a number"),
        pytest.param(STRING, string("x"), "string", id="a string"),
        pytest.param(ARRAY, array(F32, 1, bytes(4)), "array of float32", id="an array"),
        pytest.param(ARRAY, array(U32, 5000, bytes(20_000)), "array of uint32", id="an array walked over"),
        pytest.param(ARRAY, array(STRING, 2, string("x") * 2), "array of string", id="strings"),
        pytest.param(ARRAY, array(STRING, 70, string("x") * 70), "array of string", id="strings walked over"),
    ],
)
def test_the_type_of_a_value_is_kept(kind: int, value: bytes, named: str) -> None:
    """llama.cpp looks at it, so a check has to."""
    assert parse(header(ARCHITECTURE, entry("k", kind, value))).types["k"] == named


@pytest.mark.parametrize(
    ("kind", "value", "seen"),
    [
        pytest.param(U32, struct.pack("<I", 24), "general.alignment is 24", id="a value"),
        pytest.param(10, struct.pack("<Q", 64), "general.alignment is 64, of type uint64", id="a type"),
        pytest.param(
            ARRAY,
            array(U32, 1, struct.pack("<I", 64)),
            "general.alignment is 1 items, of type array of uint32",
            id="an array",
        ),
    ],
)
def test_an_alignment_is_told_with_its_type_where_that_is_wrong(kind: int, value: bytes, seen: str) -> None:
    """A power of two may be wrong for its type alone."""
    with pytest.raises(GGUFProblem) as refusal:
        parse(header(ARCHITECTURE, entry("general.alignment", kind, value)))

    assert refusal.value.problem.seen == seen


ALIGNED_TO_BYTES = entry("general.alignment", U32, struct.pack("<I", 1))
MOST = 2**63 - 1
I8 = 24


@pytest.mark.parametrize(
    ("shape", "held"),
    [
        pytest.param((MOST,), True, id="2^63 - 1"),
        pytest.param((MOST, 1, 1, 1), True, id="2^63 - 1 in four dimensions"),
        pytest.param((MOST + 1,), False, id="2^63"),
        pytest.param((MOST // 7 - 1, 7), True, id="seven rows"),
        pytest.param((MOST // 7, 7), False, id="seven rows of one more"),
        pytest.param((0, MOST), True, id="none"),
        pytest.param((MOST, 0), True, id="none in the end"),
        pytest.param((MOST + 1, 0), False, id="none of 2^63"),
        pytest.param((2**40, 0, 2**22), True, id="none in between"),
        pytest.param((2**40, 0, 2**23), False, id="none in between, and too many without"),
    ],
)
def test_as_many_elements_as_ggml_counts_are_taken(shape: tuple[int, ...], held: bool) -> None:
    """It aborts at the border already, and where a dimension of 0 would make them none."""
    data = header(ARCHITECTURE, ALIGNED_TO_BYTES, tensors=(tensor("w", shape, I8, 0),))

    if held:
        assert parse(data).tensors[0].elements <= MOST
    else:
        with pytest.raises(GGUFProblem, match=r"2\^63"):
            parse(data)


@pytest.mark.parametrize(("last", "held"), [(1, True), (2, False)])
def test_as_many_bytes_as_gguf_cpp_adds_up_are_taken(last: int, held: bool) -> None:
    """2^64 - 1 in all."""
    shapes = ((MOST,), (MOST,), (last,))
    infos = tuple(tensor(f"w{n}", shape, I8, n * MOST) for n, shape in enumerate(shapes))
    data = header(ARCHITECTURE, ALIGNED_TO_BYTES, tensors=infos)

    if held:
        assert len(parse(data).tensors) == 3
    else:
        with pytest.raises(GGUFProblem, match=r"2\^64"):
            parse(data)
