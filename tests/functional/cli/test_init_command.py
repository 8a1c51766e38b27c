"""`sealift init`: what it writes, what it reads off a model, and that it writes over nothing."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from benchmarks import shapes
from examples.tiny_encoder import write_tiny_encoder
from examples.tiny_gguf import write_tiny_gguf
from pipeline import cli
from pipeline.planning import settings_file

if TYPE_CHECKING:
    from pathlib import Path


def settings(folder: Path) -> dict[str, Any]:
    """Return what was written."""
    document: dict[str, Any] = json.loads((folder / "deployment.json").read_text(encoding="utf-8"))
    return document


def test_without_a_model_the_usual_is_written_here(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Two files, and each field explained on the terminal."""
    monkeypatch.chdir(tmp_path)

    assert cli.main(["init"]) == 0

    assert settings(tmp_path) == settings_file.first()
    schema = json.loads((tmp_path / "deployment.schema.json").read_text(encoding="utf-8"))
    assert schema == settings_file.schema()
    assert (tmp_path / settings(tmp_path)["$schema"]).is_file()
    told = capsys.readouterr().out
    assert "memory_mb" in told
    assert "MemorySizeInMB on serverless" in told


def test_what_suits_a_model_is_read_off_its_header(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Beside it, where plan and push look; and plan takes it."""
    model = write_tiny_gguf(tmp_path / "m.gguf", layers=1, ctx=512, template=False)

    assert cli.main(["init", str(model), "--json"]) == 0

    document = json.loads(capsys.readouterr().out)
    assert document["settings"] == str(tmp_path / "deployment.json")
    assert document["written"] == settings(tmp_path)
    assert settings(tmp_path)["inference"]["n_ctx"] == 512
    assert settings(tmp_path)["smoke_test"]["prompts"] == ["Once upon a time, there was a"]
    assert cli.main(["plan", str(model)]) == 0


def test_a_model_too_large_for_serverless_gets_the_instance_that_it_takes(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """With its price, since it costs money whether anybody calls or not."""
    shapes.sparse(shapes.GEMMA_27B, tmp_path / "m.gguf")

    assert cli.main(["init", str(tmp_path)]) == 0

    assert settings(tmp_path)["hosting"] == "instance"
    assert settings(tmp_path)["instance_type"] == "ml.g6.xlarge"
    assert "$1.1267 an hour" in capsys.readouterr().out
    assert cli.main(["plan", str(tmp_path)]) == 0


@pytest.mark.parametrize("there", ["deployment.json", "deployment.schema.json"])
def test_what_is_there_is_never_written_over(
    there: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """And then the other is not written either."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / there).write_text("mine", encoding="utf-8")

    assert cli.main(["init"]) == 1

    assert (tmp_path / there).read_text(encoding="utf-8") == "mine"
    assert [one.name for one in tmp_path.iterdir()] == [there]
    assert f"{there}: it is there already" in capsys.readouterr().err


def test_the_same_schema_is_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever removed the settings alone begins anew."""
    monkeypatch.chdir(tmp_path)
    assert cli.main(["init"]) == 0
    (tmp_path / "deployment.json").unlink()

    assert cli.main(["init"]) == 0


def test_what_is_no_model_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """In one message, with nothing written."""
    path = tmp_path / "model.tar.gz"
    path.write_bytes(b"no archive")

    assert cli.main(["init", str(path)]) == 1
    assert "is no GGUF on this machine" in capsys.readouterr().err
    assert [one.name for one in tmp_path.iterdir()] == ["model.tar.gz"]


def test_a_model_that_nothing_serves_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """By the plan's own words."""
    path = tmp_path / "m.gguf"
    write_tiny_encoder(path)
    path.write_bytes(path.read_bytes()[:200])

    assert cli.main(["init", str(path)]) == 1
    assert "refused" in capsys.readouterr().out
    assert [one.name for one in tmp_path.iterdir()] == ["m.gguf"]
