"""What lies beside a model: a projector, adapters, a draft model; known by name, judged by header."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from inference import sealift_models as models
from pipeline.archive.build.pack import pack
from pipeline.archive.checks import checksum
from pipeline.archive.checks.inspect import inspect
from pipeline.archive.checks.rules import Rules
from pipeline.archive.checks.verify import verify
from pipeline.archive.s3 import bare
from pipeline.archive.s3.sources import BytesSource, FileSource
from pipeline.errors import InvalidArchive
from pipeline.planning import archive_rules

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from pipeline.archive.build.pack import PackResult
    from pipeline.archive.checks.report import ArchiveReport

    from .conftest import Forge

RULES = Rules(zip_deployable=True, code_required=False)
PLAIN = {"general.architecture": "llama", "llama.block_count": 1}
SQUARE = ("blk.0.attn_q.weight", (32, 64), 0)
EMBEDDING = ("token_embd.weight", (32, 4), 0)
A, B = ("blk.0.attn_q.weight.lora_a", (32, 8), 0), ("blk.0.attn_q.weight.lora_b", (8, 64), 0)


def base(forge: Forge, **metadata: object) -> bytes:
    """Return a model."""
    return forge.model(metadata={**PLAIN, **metadata}, tensors=[EMBEDDING, SQUARE])


def projector(forge: Forge) -> bytes:
    """Return a projector."""
    return forge.model(
        metadata={"general.architecture": "clip", "general.type": "mmproj"},
        tensors=[("v.patch_embd.weight", (32, 4), 0)],
    )


def adapter(forge: Forge, *tensors: tuple[str, tuple[int, ...], int], **metadata: object) -> bytes:
    """Return an adapter for the model."""
    said = {"general.architecture": "llama", "general.type": "adapter", "adapter.type": "lora"}
    named = {name.replace("__", "."): value for name, value in metadata.items()}
    return forge.model(metadata={**said, **named}, tensors=tensors or (A, B), whole=False)


def checked(forge: Forge, members: Mapping[str, bytes], rules: Rules = RULES) -> ArchiveReport:
    """Return the report of an archive, which is the same whichever way it is looked at."""
    report = verify(BytesSource(forge.tar_gz(members)), rules=rules)
    looked = inspect(BytesSource(forge.tar_gz(members)), rules=rules)
    zipped = verify(BytesSource(forge.zip(members), name="a.zip"), rules=rules)
    files = [BytesSource(data, name=name) for name, data in members.items()]

    assert looked.problems == report.problems
    assert zipped.problems == report.problems
    assert bare.check(files, rules=rules).problems == report.problems
    return report


def all_kinds(forge: Forge) -> dict[str, bytes]:
    """Return the files of a model with one of each beside it."""
    return {
        "draft-tiny.gguf": base(forge),
        "lora-b.gguf": adapter(forge),
        "lora-a.gguf": adapter(forge),
        "mmproj-f16.gguf": projector(forge),
        "model.gguf": base(forge),
    }


@pytest.mark.parametrize("backwards", [False, True])
def test_each_kind_is_found_beside_the_model(forge: Forge, *, backwards: bool) -> None:
    """Whatever their order is in the archive, the model is the one that is none of them."""
    members = dict(sorted(all_kinds(forge).items(), reverse=backwards))

    report = checked(forge, members)

    assert report.problems == ()
    assert report.model is not None
    assert report.model.path == "model.gguf"
    assert [(one.kind, one.path) for one in report.model.companions] == [
        ("draft", "draft-tiny.gguf"),
        ("lora", "lora-a.gguf"),
        ("lora", "lora-b.gguf"),
        ("mmproj", "mmproj-f16.gguf"),
    ]
    assert report.extracted_bytes == sum(map(len, members.values()))


def test_their_facts_go_with_the_models(forge: Forge) -> None:
    """A draft model has all that a model has: it is planned like one."""
    model = checked(forge, all_kinds(forge)).model
    assert model is not None
    facts = model.to_json()["companions"]

    assert isinstance(facts, list)
    assert [one["tensor_bytes"] for one in facts] == [
        4 * 32 * (4 + 64),
        4 * 8 * (32 + 64),
        4 * 8 * (32 + 64),
        4 * 32 * 4,
    ]
    assert facts[0]["path"] == "draft-tiny.gguf"
    assert facts[0]["architecture"] == "llama"


def test_a_model_alone_has_none(forge: Forge) -> None:
    """Plans of models without them are what they were."""
    model = checked(forge, {"model.gguf": base(forge)}).model

    assert model is not None
    assert "companions" not in model.to_json()


@pytest.mark.parametrize("name", ["mmproj-f16.gguf", "lora.gguf", "draft.gguf"])
def test_nothing_lies_beside_no_model(forge: Forge, name: str) -> None:
    """A file that is named like one and stands alone may be the model: who named it knows."""
    data = {"mmproj-f16.gguf": projector(forge), "lora.gguf": adapter(forge), "draft.gguf": base(forge)}[name]

    (problem,) = checked(forge, {name: data}).problems

    assert problem.error == "NoModel"
    assert f"{name!r} alone" in problem.seen
    assert "rename" in problem.fix
    (problem,) = inspect(BytesSource(data, name=name), rules=RULES).problems
    assert problem.error == "NoModel"


@pytest.mark.parametrize(
    ("name", "kind", "fix"),
    [
        ("mmproj.gguf", "base", "rename it if it is the model"),
        ("mmproj.gguf", "adapter", "rename it to lora*.gguf"),
        ("lora.gguf", "base", "rename it if it is the model"),
        ("lora.gguf", "projector", "rename it to mmproj*.gguf"),
        ("draft.gguf", "adapter", "rename it to lora*.gguf"),
        ("draft.gguf", "projector", "rename it to mmproj*.gguf"),
    ],
)
def test_a_name_and_a_header_that_disagree_are_told(forge: Forge, name: str, kind: str, fix: str) -> None:
    """Which of the two is wrong is not guessed."""
    data = {"base": base, "adapter": adapter, "projector": projector}[kind](forge)

    (problem,) = checked(forge, {"model.gguf": base(forge), name: data}).problems

    assert problem.error == "CompanionMismatch"
    assert repr(name) in problem.seen
    assert fix in problem.fix


@pytest.mark.parametrize(("kind", "hint"), [("adapter", "--lora"), ("projector", "--mmproj")])
def test_one_without_the_name_is_told_how_to_be_loaded(forge: Forge, kind: str, hint: str) -> None:
    """Its header tells what it is; the name decides what becomes of it."""
    data = {"adapter": adapter, "projector": projector}[kind](forge)

    (problem,) = checked(forge, {"model.gguf": base(forge), "other.gguf": data}).problems

    assert problem.error == "GGUFNotALanguageModel"
    assert hint in problem.fix


def test_two_models_are_still_too_many(forge: Forge) -> None:
    """The refusal says by which names there may be more."""
    (problem,) = checked(forge, {"a.gguf": base(forge), "b.gguf": base(forge)}).problems

    assert problem.error == "SeveralModels"
    assert models.COMPANION_NAMES in problem.fix


@pytest.mark.parametrize("kind", ["mmproj", "draft"])
def test_only_one_of_each_is_loaded(forge: Forge, kind: str) -> None:
    """But of adapters as many as there are."""
    data = projector(forge) if kind == "mmproj" else base(forge)

    (problem,) = checked(
        forge, {"model.gguf": base(forge), f"{kind}-1.gguf": data, f"{kind}-2.gguf": data}
    ).problems

    assert problem.error == "SeveralCompanions"
    assert f"{kind}-1.gguf, {kind}-2.gguf" in problem.seen


@pytest.mark.parametrize(
    ("tensors", "words"),
    [
        pytest.param([A], "with .lora_a alone", id="half a pair"),
        pytest.param([A, B, ("blk.0.attn_q.bias", (64,), 0)], "no half of a pair", id="another tensor"),
        pytest.param(
            [("blk.1.attn_q.weight.lora_a", (32, 8), 0), ("blk.1.attn_q.weight.lora_b", (8, 64), 0)],
            "which the model does not have",
            id="another layer",
        ),
        pytest.param(
            [("blk.0.attn_q.weight.lora_a", (64, 8), 0), B], "has [32, 64]", id="another model's width"
        ),
        pytest.param(
            [A, ("blk.0.attn_q.weight.lora_b", (8, 32), 0)], "has [32, 64]", id="another model's height"
        ),
        pytest.param([A, ("blk.0.attn_q.weight.lora_b", (16, 64), 0)], "has [32, 64]", id="two ranks"),
    ],
)
def test_an_adapter_fits_its_base_models_tensors(
    forge: Forge, tensors: list[tuple[str, tuple[int, ...], int]], words: str
) -> None:
    """As llama.cpp compares them when it loads one."""
    (problem,) = checked(forge, {"model.gguf": base(forge), "lora.gguf": adapter(forge, *tensors)}).problems

    assert problem.error == "CompanionMismatch"
    assert words in problem.seen


def test_an_adapter_may_have_norms_and_change_the_embedding(forge: Forge) -> None:
    """The former are passed over; the latter's halves lie the other way round."""
    embedding = (("token_embd.weight.lora_a", (8, 4), 0), ("token_embd.weight.lora_b", (8, 32), 0))
    norm = ("blk.0.attn_norm.weight", (32,), 0)

    report = checked(forge, {"model.gguf": base(forge), "lora.gguf": adapter(forge, A, B, *embedding, norm)})

    assert report.problems == ()


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        pytest.param({"general__architecture": "qwen2"}, "'qwen2' beside a model of 'llama'", id="family"),
        pytest.param({"adapter__type": "ia3"}, "adapter.type is 'ia3'", id="type"),
    ],
)
def test_an_adapter_is_a_lora_of_the_models_architecture(
    forge: Forge, changed: dict[str, str], words: str
) -> None:
    """llama.cpp refuses any other."""
    (problem,) = checked(forge, {"model.gguf": base(forge), "lora.gguf": adapter(forge, **changed)}).problems

    assert words in problem.seen


def draft_problem(forge: Forge, model: dict[str, object], draft: dict[str, object]) -> str | None:
    """Return what is wrong with a draft beside a model, by their vocabularies."""
    found = checked(forge, {"model.gguf": base(forge, **model), "draft.gguf": base(forge, **draft)}).problems
    return found[0].seen if found else None


@pytest.mark.parametrize(
    ("model", "draft", "words"),
    [
        pytest.param({}, {"tokenizer.ggml.model": "gpt2"}, "kind 'gpt2' beside one of 'llama'", id="kind"),
        pytest.param(
            {"tokenizer.ggml.add_bos_token": True},
            {"tokenizer.ggml.add_bos_token": False},
            "add_bos_token False beside True",
            id="whether a text begins with a token",
        ),
        pytest.param(
            {"tokenizer.ggml.add_eos_token": True, "tokenizer.ggml.eos_token_id": 1},
            {"tokenizer.ggml.add_eos_token": True, "tokenizer.ggml.eos_token_id": 2},
            "eos_token_id 2 beside 1",
            id="which one it ends with",
        ),
        pytest.param({}, {"tokenizer.ggml.tokens": ["x"] * 133}, "133 tokens beside 4", id="size"),
    ],
)
def test_a_draft_has_the_models_vocabulary(
    forge: Forge, model: dict[str, object], draft: dict[str, object], words: str
) -> None:
    """llama-server says nothing of another one, and never asks it."""
    seen = draft_problem(forge, model, draft)

    assert seen is not None
    assert words in seen


@pytest.mark.parametrize(
    ("model", "draft"),
    [
        pytest.param({}, {"tokenizer.ggml.tokens": ["x"] * 132}, id="128 tokens more"),
        pytest.param(
            {"tokenizer.ggml.add_bos_token": False, "tokenizer.ggml.bos_token_id": 1},
            {"tokenizer.ggml.add_bos_token": False, "tokenizer.ggml.bos_token_id": 2},
            id="a token that begins nothing",
        ),
        pytest.param({"tokenizer.ggml.add_bos_token": True}, {}, id="what is not said is not guessed"),
    ],
)
def test_what_does_not_matter_of_a_vocabulary_is_taken(
    forge: Forge, model: dict[str, object], draft: dict[str, object]
) -> None:
    """As far as llama.cpp lets two differ."""
    assert draft_problem(forge, model, draft) is None


def test_a_draft_is_loaded_like_a_model(forge: Forge) -> None:
    """What llama.cpp would not load is told of it by its name."""
    without = forge.model(metadata={**PLAIN, "tokenizer.ggml.model": "nonsense"}, tensors=[EMBEDDING])

    (problem,) = checked(
        forge, {"model.gguf": base(forge, **{"tokenizer.ggml.model": "nonsense"}), "draft.gguf": without}
    ).problems
    assert problem.error == "GGUFKeyValue"
    (problem,) = checked(
        forge, {"model.gguf": base(forge), "draft.gguf": forge.model(metadata=PLAIN, whole=False)}
    ).problems
    assert problem.seen.startswith("'draft.gguf': ")


def test_one_in_shards_is_to_be_merged(forge: Forge) -> None:
    """There is one option for one file."""
    shard = base(forge, **{"split.no": 0, "split.count": 2, "split.tensors.count": 2})

    problems = checked(forge, {"model.gguf": base(forge), "draft-00001-of-00002.gguf": shard}).problems

    assert [problem.error for problem in problems] == ["CompanionSplit"]


def test_one_that_is_cut_short_is_told_by_its_name(forge: Forge) -> None:
    """As a model is."""
    problems = checked(forge, {"model.gguf": base(forge), "lora.gguf": adapter(forge)[:-1000]}).problems

    assert [problem.error for problem in problems] == ["ModelCutShort"]
    assert "lora.gguf" in problems[0].seen


@pytest.mark.parametrize("container", ["pytorch", "llama-cpp", "custom"])
def test_a_container_that_loads_none_refuses_them(forge: Forge, container: str) -> None:
    """To leave one aside would answer otherwise than whoever put it there expects."""
    rules = archive_rules.archive_rules("sealift", container=container)

    report = verify(BytesSource(forge.tar_gz(all_kinds(forge))), rules=rules)

    refused = [problem for problem in report.problems if problem.error == "CompanionNotServed"]
    assert len(refused) == (4 if container == "pytorch" else 0)
    assert all("'llama-cpp'" not in problem.seen and '"llama-cpp"' in problem.fix for problem in refused)
    own = archive_rules.archive_rules("archive", container=container)
    problems = verify(BytesSource(forge.tar_gz({**all_kinds(forge), **forge.code})), rules=own).problems
    assert problems == ()


@pytest.mark.parametrize("container", ["pytorch", "custom"])
def test_one_in_a_folder_is_told_where_to_go(forge: Forge, container: str) -> None:
    """At the root, or out, by whether anything would load it."""
    members = {"model.gguf": base(forge), "vision/mmproj.gguf": projector(forge)}
    rules = archive_rules.archive_rules("none", container=container)

    (problem,) = verify(BytesSource(forge.tar_gz(members)), rules=rules).problems

    assert problem.error == "SeveralModels"
    assert problem.fix.startswith("put" if container == "custom" else "leave")


def test_one_in_a_folder_moves_with_the_model(forge: Forge) -> None:
    """Where a model in a directory is moved to the root, what lies beside it is."""
    members = {"m/model.gguf": base(forge), "m/mmproj.gguf": projector(forge)}
    rules = archive_rules.archive_rules("none", relocate_model=True, container="custom")

    report = verify(BytesSource(forge.tar_gz(members)), rules=rules)

    assert report.problems == ()
    assert report.model is not None
    assert [one.path for one in report.model.companions] == ["m/mmproj.gguf"]


@pytest.fixture
def packed(tmp_path: Path, forge: Forge) -> PackResult:
    """An archive of ours with a projector that is larger than what a first look passes over, and an adapter."""
    files = {
        "tower.gguf": forge.model(
            metadata={"general.architecture": "clip", "general.type": "mmproj"},
            tensors=[("v.patch_embd.weight", (1024, 1024 * 18), 0)],
        ),
        "lora-tone.gguf": adapter(forge),
        # As large, so that a first look ends in it.
        "m.gguf": forge.model(
            metadata=PLAIN, tensors=[EMBEDDING, SQUARE, ("x.weight", (1024, 1024 * 18), 0)]
        ),
    }
    for name, data in files.items():
        (tmp_path / name).write_bytes(data)
    beside = [("mmproj", tmp_path / "tower.gguf"), ("lora", tmp_path / "lora-tone.gguf")]
    return pack(tmp_path / "m.gguf", tmp_path / "model.tar.gz", code=forge.code, beside=beside)


def test_pack_names_them_and_puts_them_first(packed: PackResult) -> None:
    """One that is not named like what it is gets such a name; what is said of the archive counts them."""
    report = verify(FileSource(packed.path), rules=RULES)

    assert report.problems == ()
    assert [member.path for member in report.members if member.kind == "file"] == [
        "lora-tone.gguf",
        "mmproj-tower.gguf",
        "m.gguf",
        "code/inference.py",
    ]
    assert report.extracted_bytes == packed.extracted_bytes
    assert packed.model.path == "m.gguf"
    assert [one.kind for one in packed.model.companions] == ["lora", "mmproj"]


def test_the_first_look_goes_on_to_the_model_behind_them(packed: PackResult) -> None:
    """It sees all that an archive of ours holds, as it does of one with a model alone."""
    report = inspect(FileSource(packed.path), rules=RULES)

    assert report.problems == ()
    assert report.complete
    assert report.bytes_read < packed.size - (64 << 20)
    assert report.model is not None
    assert [one.path for one in report.model.companions] == ["lora-tone.gguf", "mmproj-tower.gguf"]
    assert checksum.as_packed(report) is not None


def test_pack_refuses_what_would_not_be_loaded(tmp_path: Path, forge: Forge) -> None:
    """Before a byte is written, by the rules of the check."""
    (tmp_path / "m.gguf").write_bytes(base(forge))
    (tmp_path / "other.gguf").write_bytes(base(forge))

    with pytest.raises(InvalidArchive, match=r"'lora-other\.gguf'.*rename it if it is the model"):
        pack(
            tmp_path / "m.gguf",
            tmp_path / "model.tar.gz",
            code=forge.code,
            beside=[("lora", tmp_path / "other.gguf")],
        )
    assert not (tmp_path / "model.tar.gz").exists()
