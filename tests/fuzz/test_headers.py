"""Our reader of headers and llama.cpp's own loader say the same, or differ as is listed: a long run's short form."""

from __future__ import annotations

import random
import sys
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

import fuzz_headers
from headers import Entry, good
from referee import Outcome, Referee, outcome

from pipeline.gguf import architectures

LOADABLE = sorted(architectures.KNOWN - {"clip"})


@pytest.fixture(scope="module")
def referee() -> Iterator[Referee]:
    """llama.cpp's loader, in a process of its own."""
    with Referee() as process:
        yield process


def test_a_good_header_of_each_architecture_is_taken_by_both(referee: Referee, tmp_path: Path) -> None:
    """So the list of architectures is the library's, and no key is asked for that llama.cpp does without."""
    tally = fuzz_headers.Tally()
    for name in LOADABLE:
        tally.compare(referee, tmp_path / "m.gguf", good(name).pack(), name)

    assert [reason for reason, _ in tally.findings] == []
    assert set(tally.verdicts) <= {"taken", "GGUFNotALanguageModel"}
    assert tally.verdicts["taken"] > len(LOADABLE) * 0.9


@pytest.mark.parametrize("name", [*sorted(architectures.NAMED_ONLY), "clip", "llama5", "Llama"])
def test_other_architectures_are_refused_by_llama_cpp(referee: Referee, tmp_path: Path, name: str) -> None:
    """A name alone is no model."""
    path = tmp_path / "m.gguf"
    path.write_bytes(good("llama").having("general.architecture", Entry("string", name)).pack())

    assert referee.load(path).stage == "architecture"


def test_keys_that_are_missing_or_of_another_type_are_judged_alike(referee: Referee, tmp_path: Path) -> None:
    """A sample of those of all architectures; `make fuzz` tries them all."""
    chance = random.Random(14)
    cases = fuzz_headers.systematic(chance, chance.sample(LOADABLE, len(LOADABLE)), 1)
    tally = fuzz_headers.Tally()
    for what, data in islice(cases, 300):
        tally.compare(referee, tmp_path / "m.gguf", data, what)

    assert [reason for reason, _ in tally.findings] == []
    assert {"taken", "GGUFKeyMissing", "GGUFKeyType"} <= set(tally.verdicts)


def test_changed_headers_are_judged_alike() -> None:
    """Values, names, places and bytes; each stage of llama.cpp's loader is reached."""
    tally = fuzz_headers.run(14, lambda cases: cases < 300)

    assert [reason for reason, _ in tally.findings] == []
    assert {"header", "hyperparameters", "vocabulary", "tensors"} <= set(tally.stages)


@pytest.mark.parametrize(
    ("verdict", "met", "differ"),
    [
        pytest.param(None, Outcome("loaded", ""), False, id="both take it"),
        pytest.param(None, Outcome("tensors", "missing tensor"), False, id="both take the metadata"),
        pytest.param("GGUFKeyType", Outcome("vocabulary", "wrong type"), False, id="both refuse it"),
        pytest.param("GGUFKeyType", Outcome("tensors", "missing tensor"), True, id="we alone refuse it"),
        pytest.param("GGUFName", Outcome("tensors", "missing tensor"), False, id="we alone, as listed"),
        pytest.param(None, Outcome("header", "failed"), True, id="llama.cpp alone refuses it"),
        pytest.param(
            None,
            Outcome("architecture", "unknown model architecture: 'x'"),
            False,
            id="llama.cpp alone, as listed",
        ),
    ],
)
def test_a_disagreement_is_one_in_either_direction(verdict: str | None, met: Outcome, differ: bool) -> None:
    """But for what is listed."""
    assert (fuzz_headers.disagreement(verdict, met) is not None) is differ


@pytest.mark.parametrize(
    ("log", "stage", "said"),
    [
        pytest.param(
            "gguf_init_from_reader: key 0 is empty, invalid\n"
            "llama_model_load: error loading model: llama_model_loader: failed to load model from m.gguf\n",
            "header",
            "gguf_init_from_reader: key 0 is empty, invalid",
            id="gguf.cpp refuses",
        ),
        pytest.param(
            "llama_model_load: error loading model: unknown model architecture: 'x'\n",
            "architecture",
            "unknown model architecture: 'x'",
            id="an architecture",
        ),
        pytest.param(
            "llama_model_load: error loading model: error loading model vocabulary: unknown tokenizer: 'x'\n",
            "vocabulary",
            "unknown tokenizer: 'x'",
            id="a vocabulary",
        ),
        pytest.param(
            "loaded meta data with 3 key-value pairs\nllama-model.cpp:1328: GGML_ASSERT(n_layer) failed\n",
            "hyperparameters",
            "llama-model.cpp:1328: GGML_ASSERT(n_layer) failed",
            id="an assertion",
        ),
        pytest.param(
            "print_info: arch                  = llama\n"
            "llama_model_load: error loading model: missing tensor 'output_norm.weight'\n",
            "tensors",
            "missing tensor 'output_norm.weight'",
            id="a tensor",
        ),
        pytest.param("", "header", "status -9", id="nothing said"),
    ],
)
def test_the_stage_is_read_off_the_log(log: str, stage: str, said: str) -> None:
    """In llama.cpp's own words."""
    assert outcome(log, -9, loaded=False) == Outcome(stage, said)
