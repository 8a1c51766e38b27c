"""The small files that stand for large models: what is written at once is what the library writes one by one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import gguf
import pytest

from benchmarks import shapes


def header(writer: Any, path: Path, items: list[Any]) -> bytes:
    """Return the file that a writer makes of one list, between two other values."""
    made = writer(path, "llama")
    made.add_name("before")
    made.add_array("items", items)
    made.add_context_length(7)
    made.write_header_to_file()
    made.write_kv_data_to_file()
    made.close()
    return path.read_bytes()


@pytest.mark.parametrize(
    "items",
    [
        pytest.param(["a", "", "\u2581word", "\u0120" * 300], id="texts"),
        pytest.param([-1.0, 0.5, -262143.0], id="scores"),
        pytest.param([gguf.TokenType.UNKNOWN, gguf.TokenType.BYTE, gguf.TokenType.NORMAL], id="kinds"),
        pytest.param([-5], id="one number"),
    ],
)
def test_lists_are_written_as_the_library_does(items: list[Any], tmp_path: Path) -> None:
    """Byte for byte."""
    wanted = header(gguf.GGUFWriter, tmp_path / "one-by-one.gguf", items)

    assert header(shapes._Writer, tmp_path / "at-once.gguf", items) == wanted
