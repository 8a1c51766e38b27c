"""What the container says of a model that does not load leads to a cause with a name."""

from __future__ import annotations

import re
from typing import Any

import pytest

from pipeline.operations.diagnosis import diagnose
from sealift_native import _FAILURES, load_failure

CAUSES = ("OutOfMemory", "UnknownArchitecture", "ModelCutShort", "TensorsUnexpected")
"""Of the rows of the container's own table, in their order."""
RUNTIME = "llama-cpp-python 0.3.36"

# What llama.cpp was seen to say, whole lines.
LINES = (
    ("llama_kv_cache: failed to allocate buffer for kv cache", "OutOfMemory"),
    ("graph_reserve: failed to allocate compute pp buffers", "OutOfMemory"),
    ("alloc_tensor_range: failed to allocate CPU buffer of size 3221225472", "OutOfMemory"),
    ("std::bad_alloc", "OutOfMemory"),
    ("llama_model_load: error loading model: unknown model architecture: 'gemma9'", "UnknownArchitecture"),
    ("error loading model vocabulary: unknown pre-tokenizer type: 'x'", "UnknownArchitecture"),
    (
        "gguf_init_from_file_impl: this GGUF file is version 4 but this software only supports up to version 3",
        "UnknownArchitecture",
    ),
    ("gguf_init_from_file_impl: tensor 'x' has invalid ggml type 99 (NONE)", "UnknownArchitecture"),
    ("gguf_init_from_file_impl: invalid magic characters: 'PK..', expected 'GGUF'", "ModelCutShort"),
    ("gguf_init_from_file_impl: failed to read key-value pairs", "ModelCutShort"),
    (
        "tensor 'blk.1.ffn_up.weight' data is not within the file bounds, model is corrupted or incomplete",
        "ModelCutShort",
    ),
    ("read error: unexpectedly reached end of file", "ModelCutShort"),
    ("done_getting_tensors: wrong number of tensors; expected 201, got 200", "TensorsUnexpected"),
    ("check_tensor_dims: tensor 'output.weight' has wrong shape; expected 64, 512", "TensorsUnexpected"),
    (
        "error loading model hyperparameters: key not found in model: llama.context_length",
        "TensorsUnexpected",
    ),
)


def cause(said: str) -> str:
    """Return the name of the cause of an endpoint that says this."""
    return diagnose({"Error": "SmokeTestFailed", "Cause": said}, {}).cause_name


def alternatives() -> list[Any]:
    """Return every text that the container's table looks for, with its row's cause."""
    rows = zip(_FAILURES, CAUSES, strict=True)
    texts = [(text, name) for (pattern, _, _), name in rows for text in pattern.split("|")]
    plain = [(re.sub(r"\[(\w)\w\]", r"\1", text).replace(".*", "'x'"), name) for text, name in texts]
    return [pytest.param(text, name, id=text) for text, name in plain]


@pytest.mark.parametrize(("text", "name"), alternatives())
def test_what_the_container_knows_the_diagnosis_knows(text: str, name: str) -> None:
    """Each text of the container's own table, as the container tells it."""
    assert cause(f"status 500: model file 'm.gguf' cannot be loaded: {load_failure(text, RUNTIME)}") == name


@pytest.mark.parametrize(("line", "name"), [pytest.param(*row, id=row[0][:50]) for row in LINES])
def test_a_line_of_llama_cpp_has_the_same_cause_in_a_log_and_in_an_answer(line: str, name: str) -> None:
    """With llama.cpp's own last word behind it, which says only that it failed."""
    log = (line, "llama_model_load_from_file_impl: failed to load model")

    assert cause(f"{load_failure(line, RUNTIME)}") == name
    assert diagnose({"Error": "EndpointFailed", "Cause": "it failed"}, {}, log).cause_name == name


def test_what_nobody_has_seen_is_still_a_model_that_was_not_loaded() -> None:
    """An unknown text of llama.cpp's has a name and a next step too."""
    assert cause(f"model file 'm.gguf' cannot be loaded: {load_failure('hm', RUNTIME)}") == "ModelNotLoaded"
