"""`sealift local run`: what it uploads under which name."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.cli.commands.local import object_name


@pytest.mark.parametrize(
    ("file", "name"),
    [
        pytest.param("out/m.tar.gz", "model.tar.gz", id="tar.gz"),
        pytest.param("out/m.zip", "model.zip", id="zip"),
        pytest.param("out/harbour.gguf", "harbour.gguf", id="bare"),
    ],
)
def test_an_upload_is_named_by_its_format(file: str, name: str) -> None:
    """A bare GGUF under an archive's name would be refused as an archive that is none."""
    assert object_name(Path(file)) == name
