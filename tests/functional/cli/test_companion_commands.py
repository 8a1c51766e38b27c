"""`sealift pack`, `check` and `plan` of a model with something beside it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from examples.tiny_companions import write_tiny_lora, write_tiny_projector
from examples.tiny_gguf import write_tiny_gguf
from pipeline import cli

if TYPE_CHECKING:
    from pathlib import Path

LINES = ("projector", "adapters", "draft model")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with a model and one of each kind, two of them by other names."""
    write_tiny_gguf(tmp_path / "harbour.gguf")
    write_tiny_gguf(tmp_path / "small.gguf", layers=1, seed=1)
    write_tiny_lora(tmp_path / "lora-tone.gguf")
    write_tiny_projector(tmp_path / "tower.gguf")
    return tmp_path


def packed(folder: Path) -> Path:
    """Pack all of them, as a person does."""
    options = {"--mmproj": "tower.gguf", "--lora": "lora-tone.gguf", "--draft": "small.gguf"}
    given = [word for flag, name in options.items() for word in (flag, str(folder / name))]
    path = folder / "model.tar.gz"
    assert cli.main(["pack", str(folder / "harbour.gguf"), *given, "--output", str(path)]) == 0
    return path


@pytest.fixture
def archive(folder: Path) -> Path:
    """An archive of all of them."""
    return packed(folder)


def told(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, dict[str, Any]]:
    """Return the exit status and the document of a command."""
    capsys.readouterr()
    status = cli.main([*words, "--json"])
    return status, json.loads(capsys.readouterr().out)


def test_pack_names_what_it_took(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """By the names that it has in the archive."""
    path = packed(folder)

    said = capsys.readouterr().err
    assert str(path) in said
    assert "harbour.gguf, draft-small.gguf, lora-tone.gguf, mmproj-tower.gguf and code/" in said


def test_check_accepts_it_and_says_who_loads_it(archive: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Which container it is for is a deployment's to say."""
    capsys.readouterr()
    assert cli.main(["check", str(archive)]) == 0

    said = capsys.readouterr().out
    assert (
        "mmproj-tower.gguf: a projector, by which a model sees or hears; in container llama-cpp or custom"
        in said
    )


@pytest.mark.parametrize("container", ["llama-cpp", "custom"])
def test_plan_counts_each(archive: Path, capsys: pytest.CaptureFixture[str], container: str) -> None:
    """From the archive's first bytes."""
    status, document = told(capsys, "plan", str(archive), "--container", container)

    assert status == 0
    lines = {line["name"]: line["bytes"] for line in document["fit"]["lines"]}
    assert all(lines[name] > 0 for name in LINES)
    assert any(note.startswith("draft-small.gguf is loaded beside the model") for note in document["notes"])


def test_plan_refuses_them_where_nothing_loads_them(
    archive: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """With the containers that do."""
    status, document = told(capsys, "plan", str(archive), "--container", "pytorch")

    assert status == 1
    problems = [one for one in document["problems"] if one["error"] == "CompanionNotServed"]
    assert len(problems) == 3
    assert '"llama-cpp"' in problems[0]["fix"]


def test_hosting_auto_takes_what_can_see(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The prebuilt image loads nothing beside a model: an instance does, and the plan says why, and what it costs."""
    (folder / "tower.gguf").rename(folder / "mmproj-tower.gguf")
    files = [str(folder / name) for name in ("harbour.gguf", "mmproj-tower.gguf")]
    asked = ("plan", *files, "--hosting", "auto")

    refused, document = told(capsys, *asked)
    taken, plan = told(capsys, *asked, "--allow-instances")

    (problem,) = document["problems"]
    assert (refused, problem["error"]) == (1, "InstanceNotAllowed")
    assert problem["seen"].startswith(
        "serverless will not do: 'mmproj-tower.gguf' lies beside the model, and "
    )
    assert problem["fix"].startswith("set allow_instances to true for 1 x ml.")
    assert taken == 0
    assert any(
        note.startswith("on an instance, since serverless will not do: 'mmproj-") for note in plan["notes"]
    )
    assert any(note.startswith("container 'llama-cpp' is chosen: on instances") for note in plan["notes"])
    named, document = told(capsys, *asked, "--allow-instances", "--container", "pytorch")
    assert (named, {one["error"] for one in document["problems"]}) == (1, {"CompanionNotServed"})


@pytest.mark.parametrize("hosting", ["serverless", "instance"])
def test_files_are_planned_together(folder: Path, capsys: pytest.CaptureFixture[str], hosting: str) -> None:
    """Named beside the model, in any order."""
    files = [str(folder / name) for name in ("lora-tone.gguf", "harbour.gguf")]

    _, document = told(capsys, "plan", *files, "--container", "custom", "--hosting", hosting)

    assert [line["name"] for line in document["fit"]["lines"] if line["name"] in LINES] == ["adapters"]
    assert document["model"]["path"] == "harbour.gguf"


def test_a_folder_is_a_model_and_what_lies_beside_it(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """By the names in it; two models in it are none."""
    (folder / "small.gguf").rename(folder / "draft.gguf")
    (folder / "tower.gguf").unlink()

    _, document = told(capsys, "plan", str(folder), "--container", "custom", "--hosting", "instance")

    assert [line["name"] for line in document["fit"]["lines"] if line["name"] in LINES] == list(LINES[1:])


def test_another_model_is_still_another_archive(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The refusal says by which names there may be more."""
    capsys.readouterr()
    status = cli.main(["plan", str(folder / "harbour.gguf"), str(folder / "small.gguf")])

    assert status != 0
    assert "mmproj*.gguf, lora*.gguf, draft*.gguf" in capsys.readouterr().err


def test_one_alone_is_told_to_be_none(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Whether it is checked, packed or planned."""
    for command in ("check", "pack", "plan"):
        capsys.readouterr()
        assert cli.main([command, str(folder / "lora-tone.gguf")]) != 0

        said = "".join(capsys.readouterr())
        assert "'lora-tone.gguf' alone, which is named like a LoRA adapter" in said, command
