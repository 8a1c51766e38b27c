"""The demo model says what it should, word for word, through llama.cpp and through a whole deployment."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import gguf
import llama_cpp
import numpy as np
import pytest

from examples.demo_model import corpus
from examples.demo_model.tokenizer import ASSISTANT, USER, Tokenizer
from inference import inference
from pipeline import package_files
from pipeline.archive.build.pack import pack

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.system.conftest import Deployments

MODEL = corpus.PATH.with_name("sealift-demo.gguf")
SETTINGS = json.loads((corpus.PATH.parents[1] / "demo.json").read_text(encoding="utf-8"))
LEAST_ACCURACY = 0.9
LEAST_OF_UNSEEN = 0.85
ANSWERS = {intent.name: intent.answer for intent in corpus.read().intents}


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Iterator[inference.Model]:
    """Load the model as a container does, with one thread: two on contended cores wait for each other."""
    folder = tmp_path_factory.mktemp("model")
    (folder / MODEL.name).symlink_to(MODEL)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SEALIFT_N_THREADS", "1")
        patch.setenv("SEALIFT_N_CTX", "512")
        yield inference.model_fn(str(folder))


def _said(model: inference.Model, **request: Any) -> str:
    data = inference.input_fn(json.dumps({"temperature": 0, **request}), "application/json")
    body, _ = inference.output_fn(inference.predict_fn(data, model), "application/json")
    choice = json.loads(body)["choices"][0]
    return str(choice["message"]["content"] if "message" in choice else choice["text"])


def _asked(model: inference.Model, question: str) -> str:
    return _said(model, messages=[{"role": "user", "content": question}])


@pytest.mark.parametrize(
    ("question", "intent"),
    [
        ("What does a sealift do?", "sealift"),
        ("Why is my first request slow?", "coldstart"),
        ("How large is the disk of an endpoint?", "disk"),
        ("Could I have a GPU?", "gpu"),
        ("tell me a joke", "joke"),
        ("What is the capital of Sweden?", "unknown"),
    ],
)
def test_a_known_question_gets_the_known_answer(model: inference.Model, question: str, intent: str) -> None:
    """At temperature 0 the answer is the corpus's, word for word, also to questions that were not trained."""
    assert _asked(model, question) == ANSWERS[intent]


def test_questions_that_were_kept_out_of_training_are_understood(model: inference.Model) -> None:
    """Nine in ten of the held-out questions get exactly their answer, and no fewer than the manifest says."""
    manifest = json.loads(MODEL.with_suffix(".json").read_text(encoding="utf-8"))
    asked = [(question, intent) for intent in corpus.read().intents for question in intent.held_out]

    wrong = [question for question, intent in asked if _asked(model, question) != intent.answer]

    accuracy = 1 - len(wrong) / len(asked)
    assert accuracy >= LEAST_ACCURACY, wrong
    # A question in a hundred may tip over: kernels of another CPU round otherwise than PyTorch.
    assert accuracy == pytest.approx(manifest["held_out_accuracy"], abs=0.02), wrong


def test_questions_that_nothing_was_chosen_by_are_understood(model: inference.Model) -> None:
    """Of questions that the corpus was not written with in mind, most get exactly their answer."""
    lines = corpus.PATH.with_name("unseen.txt").read_text(encoding="utf-8").splitlines()
    asked = [line.split(": ", 1) for line in lines if not line.startswith("#")]

    wrong = [question for intent, question in asked if _asked(model, question) != ANSWERS[intent]]

    assert len(asked) > 50
    assert 1 - len(wrong) / len(asked) >= LEAST_OF_UNSEEN, wrong


def test_every_answer_is_known_by_a_trained_question(model: inference.Model) -> None:
    """The first question of each intent gets the intent's answer."""
    wrong = [
        intent.name for intent in corpus.read().intents if _asked(model, intent.questions[0]) != intent.answer
    ]

    assert len(wrong) <= 1, wrong


def test_a_bare_prompt_is_answered_too(model: inference.Model) -> None:
    """A question without the chat template is continued with its answer."""
    assert _said(model, prompt="What does a sealift do?") == ANSWERS["sealift"]


def test_a_conversation_goes_on(model: inference.Model) -> None:
    """The last question counts, whatever was said before."""
    said = _said(
        model,
        messages=[
            {"role": "system", "content": "You are a helpful assistant."},
            {"role": "user", "content": "Hello!"},
            {"role": "assistant", "content": ANSWERS["hello"]},
            {"role": "user", "content": "What is a cold start?"},
        ],
    )

    assert said == ANSWERS["coldstart"]


def test_llama_cpp_cuts_text_into_the_tokens_that_were_trained() -> None:
    """Every text of the corpus, a whole chat, and text that the tokens do not cover get the same ids on both sides."""
    tokens = gguf.GGUFReader(MODEL).get_field("tokenizer.ggml.tokens")
    assert tokens is not None
    ours = Tokenizer(tokens.contents())
    theirs = llama_cpp.Llama(str(MODEL), vocab_only=True, verbose=False)
    template = theirs.metadata["tokenizer.chat_template"]
    strange = [
        "Grüße, 船!",
        "two  spaces\nand\ta line",
        "3072 MB, 1.5 km",
        "",
        " ",
        "x",
        "it's <what> 'tis",
        "\u2581",
    ]

    different = [
        text
        for text in (*corpus.read().texts(), *strange)
        if theirs.tokenize(text.encode(), add_bos=False, special=False) != ours.encode(text)
    ]
    formatter = llama_cpp.llama_chat_format.Jinja2ChatFormatter(
        template=template, bos_token="<s>", eos_token="</s>"
    )
    prompt = formatter(messages=[{"role": "user", "content": "What is a tide?"}]).prompt

    assert different == []
    chat = [*ours.chat([(USER, "What is a tide?")]), ASSISTANT]
    assert theirs.tokenize(prompt.encode(), add_bos=False, special=True) == chat


def test_the_demo_passes_its_own_smoke_test(deployments: Deployments, tmp_path: Path) -> None:
    """What `make demo` deploys gets the whole expected answer from the endpoint and from the consumer."""
    pack(MODEL, tmp_path / "model.tar.gz", code=package_files.code())

    ended = deployments.upload(tmp_path / "model.tar.gz", "demo", SETTINGS)

    assert ended.status == "SUCCEEDED", ended.cause
    assert ended.results["smoke_test"]["transcript"][0]["answer"] == ANSWERS["sealift"]


def test_a_broken_model_does_not(deployments: Deployments, tmp_path: Path) -> None:
    """The same file with its weights in disorder loads, gets InService, talks, and is caught by the smoke test."""
    pack(_shuffled(tmp_path / MODEL.name), tmp_path / "model.tar.gz", code=package_files.code())

    ended = deployments.upload(tmp_path / "model.tar.gz", "broken", SETTINGS)

    assert (ended.status, ended.error) == ("FAILED", "SmokeTestFailed")
    assert "nothing in it matches" in (ended.cause or "")
    assert deployments.resources() == {"endpoints": [], "configs": [], "models": []}


def _shuffled(path: Path) -> Path:
    """Write the model with the blocks of each quantised tensor in random order; every header stays true."""
    whole = np.fromfile(MODEL, dtype=np.uint8)
    random = np.random.default_rng(0)
    for tensor in gguf.GGUFReader(MODEL).tensors:
        if tensor.tensor_type == gguf.GGMLQuantizationType.Q8_0:
            _, block = gguf.GGML_QUANT_SIZES[tensor.tensor_type]
            where = slice(int(tensor.data_offset), int(tensor.data_offset + tensor.n_bytes))
            whole[where] = random.permutation(whole[where].reshape(-1, block)).ravel()
    whole.tofile(path)
    return path
