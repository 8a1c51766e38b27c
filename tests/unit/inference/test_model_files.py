"""Which file of a model folder is the model."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from inference.inference import LoadError, find_model

if TYPE_CHECKING:
    from pathlib import Path


def _folder(root: Path, names: list[str]) -> Path:
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    return root


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        pytest.param(["m.gguf", "code/inference.py", "README.md"], "m.gguf", id="one"),
        pytest.param(["m.gguf", "._m.gguf"], "m.gguf", id="beside-apple-double"),
        pytest.param(["m-00001-of-00001.gguf"], "m-00001-of-00001.gguf", id="split-into-one"),
        pytest.param(
            ["m-00002-of-00002.gguf", "m-00001-of-00002.gguf"], "m-00001-of-00002.gguf", id="shards"
        ),
    ],
)
def test_model_is_found(tmp_path: Path, names: list[str], expected: str) -> None:
    """One GGUF at the root is the model; of a split one, the first shard."""
    assert find_model(_folder(tmp_path, names)).name == expected


@pytest.mark.parametrize(
    ("names", "words"),
    [
        pytest.param([], ["no model", "none"], id="empty"),
        pytest.param(["sub/deep/m.gguf"], ["no model", "sub/deep/m.gguf", "at the root"], id="nested"),
        pytest.param(["a.gguf", "b.gguf"], ["2 models", "a.gguf, b.gguf"], id="two"),
        pytest.param(["a.gguf", "m-00001-of-00001.gguf"], ["2 models"], id="model-and-shard"),
        pytest.param(
            ["m-00001-of-00003.gguf", "m-00003-of-00003.gguf"],
            ["1 of 3 shards", "m-00002-of-00003.gguf"],
            id="shard-missing",
        ),
        pytest.param(["a-00001-of-00001.gguf", "b-00001-of-00001.gguf"], ["2 models"], id="two-split-models"),
    ],
)
def test_other_folders_are_refused(tmp_path: Path, names: list[str], words: list[str]) -> None:
    """A refusal names what was found."""
    with pytest.raises(LoadError) as caught:
        find_model(_folder(tmp_path, names))

    for word in words:
        assert word in str(caught.value)
