"""Which file of a model folder is the model."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inference.inference import LoadError, find_model
from pipeline.archive.checks.members import Census
from pipeline.archive.checks.report import Findings
from pipeline.archive.checks.rules import Rules


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
        pytest.param([".model.gguf"], ["no model", ".model.gguf", "hidden"], id="hidden"),
        pytest.param([".gguf"], ["no model"], id="nothing but the suffix"),
        pytest.param(["M.GGUF"], ["no model", "none"], id="upper-case"),
        pytest.param(["m-00000-of-00000.gguf"], ["0 shards"], id="a set of none"),
        pytest.param(["m-00001-of-00001.gguf", "m-00002-of-00001.gguf"], ["1 shards"], id="a shard too many"),
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


def _checked(names: list[str]) -> str | None:
    """Return the model that the check of an archive with these files finds; None when it refuses them."""
    findings = Findings()
    census = Census(Rules(code_required=False), findings)
    for name in names:
        sink = census.enter(name.encode(), 1, "file")
        if sink is not None:
            sink.write(b"GGUF")
    model = census.settle(complete=True)
    wrong = findings.has("NoModel", "SeveralModels", "ShardsIncomplete", "ModelNotAtRoot")
    return None if model is None or wrong else model.path


NAMES = st.sampled_from(
    [
        *(
            "m.gguf",
            "n.gguf",
            ".m.gguf",
            ".gguf",
            "..gguf",
            "M.GGUF",
            "m.gguf.part",
            "-.gguf",
            "m",
            "x/m.gguf",
        ),
        *(f"m-{number:05}-of-{count:05}.gguf" for number in range(4) for count in range(4)),
        *("-00001-of-00001.gguf", ".m-00001-of-00001.gguf", "m-\u0661\u0661\u0661\u0661\u0661-of-00001.gguf"),
    ]
)


@given(st.lists(NAMES, unique=True, max_size=4))
def test_what_the_check_accepts_is_what_the_endpoint_finds(names: list[str]) -> None:
    """One rule for both: no archive is accepted whose model is not found, or another one."""
    with TemporaryDirectory() as folder:
        try:
            found = find_model(_folder(Path(folder), names)).name
        except LoadError:
            found = None

    assert _checked(names) == (None if "x/m.gguf" in names else found)
