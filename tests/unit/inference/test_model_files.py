"""Which file of a model folder is the model."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inference import sealift_models as models
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
        pytest.param(
            ["m.gguf", "mmproj-f16.gguf"], ["mmproj-f16.gguf", "projector", "custom"], id="projector"
        ),
        pytest.param(["m.gguf", "lora.gguf"], ["lora.gguf", "LoRA", "llama-cpp"], id="adapter"),
        pytest.param(["draft-0.5b.gguf"], ["draft-0.5b.gguf", "rename it"], id="a-draft-alone"),
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


# -- what lies beside a model

BESIDE = st.sampled_from(["mmproj.gguf", "lora-a.gguf", "lora-b.gguf", "draft-1.gguf"])


@given(st.lists(NAMES | BESIDE, unique=True, max_size=5))
def test_what_the_check_accepts_is_what_llama_server_is_given(names: list[str]) -> None:
    """The same with something beside the model, where that is loaded."""
    with TemporaryDirectory() as folder:
        try:
            found = find_model(_folder(Path(folder), names), alone=False).name
        except LoadError:
            found = None

    assert _checked(names) == (None if "x/m.gguf" in names else found)


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("mmproj.gguf", "mmproj"),
        ("mmproj-model-f16.gguf", "mmproj"),
        ("folder/mmproj_F16.gguf", "mmproj"),
        ("lora.gguf", "lora"),
        ("lora-support.v2.gguf", "lora"),
        ("lora2.gguf", "lora"),
        ("draft-Qwen 0.5B.gguf", "draft"),
        ("drafter-7b.gguf", None),
        ("lorax.gguf", None),
        ("LORA.gguf", None),
        ("my-mmproj.gguf", None),
        ("mmproj.gguf.part", None),
        ("mmproj/model.gguf", None),
        ("mmproj", None),
        ("model.gguf", None),
    ],
)
def test_a_companion_is_known_by_how_its_name_begins(name: str, kind: str | None) -> None:
    """The whole first word of the file's own name counts."""
    assert models.companion_kind(name) == kind


@pytest.mark.parametrize(
    ("general_type", "architecture", "kind"),
    [
        ("mmproj", "clip", "mmproj"),
        ("model", "clip", "mmproj"),
        ("", "CLIP", "mmproj"),
        ("clip-vision", "", "mmproj"),
        ("adapter", "llama", "lora"),
        ("Adapter", "qwen2", "lora"),
        ("model", "llama", None),
        ("", "", None),
        ("imatrix", "", None),
    ],
)
def test_what_a_header_states(general_type: str, architecture: str, kind: str | None) -> None:
    """A draft model's header is a model's."""
    assert models.stated_kind(general_type, architecture) == kind


def test_a_folder_is_parted_and_given_to_llama_server() -> None:
    """One option for all adapters: of the same one twice llama-server takes the last."""
    names = ["m.gguf", "lora-b.gguf", "lora-a,1.gguf", "draft.gguf", "mmproj.gguf"]

    model, companions = models.parted(names)

    assert model == ["m.gguf"]
    assert companions.files == ("mmproj.gguf", "lora-a,1.gguf", "lora-b.gguf", "draft.gguf")
    assert companions.options() == {
        "mmproj": "mmproj.gguf",
        "lora": '"lora-a,1.gguf",lora-b.gguf',
        "model-draft": "draft.gguf",
        "spec-type": "draft-simple",
    }


def test_nothing_beside_a_model_gives_no_option() -> None:
    """Shards are the model's own."""
    model, companions = models.parted(["m-00001-of-00002.gguf", "m-00002-of-00002.gguf"])

    assert len(model) == 2
    assert not companions
    assert companions.options() == {}


@pytest.mark.parametrize("kind", ["mmproj", "draft"])
def test_llama_server_takes_one_projector_and_one_draft(kind: str) -> None:
    """Which of two would be served is not ours to guess."""
    with pytest.raises(models.CompanionsWrong, match=rf"2 files {kind}\*\.gguf.*{kind}-1.*{kind}-2"):
        models.parted(["m.gguf", f"{kind}-1.gguf", f"{kind}-2.gguf"])


@given(
    st.lists(st.sampled_from(["m", "n", "lora", "lora-1", "lora,2", 'lora"3', "draft", "mmproj", "loras"]))
)
def test_every_file_is_of_the_model_or_beside_it(stems: list[str]) -> None:
    """Parting loses none, and the model's files are what no name says is beside it."""
    paths = sorted({f"/opt/ml/model/{stem}.gguf" for stem in stems})
    model, companions = models.parted(paths)

    assert sorted((*model, *companions.files)) == paths
    assert all(models.companion_kind(path) is None for path in model)
