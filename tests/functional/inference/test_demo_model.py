"""The demo model's file, its manifest and its corpus belong together, and the pipeline takes the file."""

from __future__ import annotations

import hashlib
import json
import re
from typing import TYPE_CHECKING, Any

import gguf
import pytest

from examples.demo_model import corpus
from examples.demo_model.tokenizer import CHAT_TEMPLATE, SPECIAL, Tokenizer
from pipeline import cli, package_files
from pipeline.archive.build.pack import pack
from pipeline.planning import request_fields

if TYPE_CHECKING:
    from pathlib import Path

MODEL = corpus.PATH.with_name("sealift-demo.gguf")
MOST_BYTES = 2_500_000


@pytest.fixture(scope="module")
def manifest() -> dict[str, Any]:
    """Return what the training wrote down."""
    document: dict[str, Any] = json.loads(MODEL.with_suffix(".json").read_text(encoding="utf-8"))
    return document


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the model as `make demo` packs it."""
    path = tmp_path_factory.mktemp("demo") / "model.tar.gz"
    pack(MODEL, path, code=package_files.code())
    return path


def test_file_is_the_one_that_was_trained(manifest: dict[str, Any]) -> None:
    """Another file, or a file that git or an editor changed, is noticed."""
    whole = MODEL.read_bytes()

    assert manifest["file"] == MODEL.name
    assert manifest["size"] == len(whole) <= MOST_BYTES
    assert manifest["sha256"] == hashlib.sha256(whole).hexdigest()


def test_corpus_is_the_one_that_was_learnt(manifest: dict[str, Any]) -> None:
    """A corpus that changed without a new training is noticed: run `make demo-model`."""
    assert manifest["corpus_sha256"] == corpus.digest()


def test_manifest_counts_what_is_in_the_file(manifest: dict[str, Any]) -> None:
    """Parameters, sizes, vocabulary and chat template are the file's own."""
    reader = gguf.GGUFReader(MODEL)
    settings = manifest["settings"]

    def field(name: str) -> Any:
        found = reader.get_field(name)
        assert found is not None
        return found.contents()

    assert manifest["parameters"] == sum(int(tensor.n_elements) for tensor in reader.tensors)
    assert field("llama.block_count") == settings["layers"]
    assert field("llama.embedding_length") == settings["width"]
    assert field("llama.context_length") == settings["context"] >= 512
    assert field("general.file_type") == gguf.LlamaFileType.MOSTLY_Q8_0
    assert field("tokenizer.chat_template") == CHAT_TEMPLATE
    assert field("tokenizer.ggml.tokens")[: len(SPECIAL)] == list(SPECIAL)


def test_the_tokenizer_is_what_the_corpus_gives(manifest: dict[str, Any]) -> None:
    """Learning the tokens again from the corpus gives the file's vocabulary and scores."""
    reader = gguf.GGUFReader(MODEL)
    tokens, scores = (reader.get_field(f"tokenizer.ggml.{name}") for name in ("tokens", "scores"))
    assert tokens is not None
    assert scores is not None

    learnt = Tokenizer.of(corpus.read(), manifest["settings"]["vocabulary"])

    assert tokens.contents() == learnt.vocabulary
    assert scores.contents() == learnt.scores


def test_check_accepts_it(archive: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """`sealift check` reads every byte of the archive and has nothing to say against it."""
    status = cli.main(["check", str(archive), "--json"])

    report = json.loads(capsys.readouterr().out)
    assert status == 0
    assert report["verdict"] == "accepted"
    assert (report["model"]["architecture"], report["model"]["quantization"]) == ("llama", "Q8_0")


def test_plan_fits_it_into_the_smallest_size(archive: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """`sealift plan` finds room for it in 1024 MB."""
    status = cli.main(["plan", str(archive), "--json"])

    report = json.loads(capsys.readouterr().out)
    assert status == 0
    assert report["memory_mb"] == 1024


def test_the_demo_expects_what_the_corpus_answers() -> None:
    """The demo's smoke test and its consumer's test want the corpus's whole answer, word for word."""
    document = json.loads((corpus.PATH.parents[1] / "demo.json").read_text(encoding="utf-8"))
    answers = {question: intent.answer for intent in corpus.read().intents for question in intent.questions}
    smoke, consumer = document["smoke_test"], document["consumer"]
    problems: list[Any] = []

    request_fields.DEPLOYMENT_JSON.parse(document, "", problems)

    assert problems == []
    (prompt,) = smoke["prompts"]
    assert prompt == consumer["test_event"]["prompt"]
    assert smoke["expect"]["matches"] == consumer["expect"]["matches"]
    assert smoke["expect"]["matches"].replace("\\", "") == f"^{answers[prompt]}$"
    assert re.search(smoke["expect"]["matches"], answers[prompt])
