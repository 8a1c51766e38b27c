"""The four functions with the real llama.cpp and a small real model."""

from __future__ import annotations

import json
import shutil
from typing import TYPE_CHECKING, Any

import pytest

from examples.tiny_gguf import ANSWER, write_tiny_gguf
from inference import inference
from inference.inference import BadRequest, LoadError, Model

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(autouse=True)
def one_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two llama.cpp threads on contended cores wait for each other in loops."""
    for name in ("N_CTX", "N_BATCH", "MAX_TOKENS", "TEMPERATURE", "TOP_P", "MODEL_NAME"):
        monkeypatch.delenv(f"SEALIFT_{name}", raising=False)
    monkeypatch.setenv("SEALIFT_N_THREADS", "1")


@pytest.fixture(scope="module")
def model_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write a model once."""
    return write_tiny_gguf(tmp_path_factory.mktemp("model") / "demo.gguf")


@pytest.fixture
def model(model_file: Path) -> Model:
    """Load that model."""
    return inference.model_fn(str(model_file.parent))


def _ask(model: Model, **request: Any) -> dict[str, Any]:
    data = inference.input_fn(json.dumps(request), "application/json")
    body, _ = inference.output_fn(inference.predict_fn(data, model), "application/json")
    answer: dict[str, Any] = json.loads(body)
    return answer


def test_chat_answers_with_the_models_sentence(model: Model) -> None:
    """The GGUF's own chat template leads to the sentence's beginning, its end-of-text token ends it."""
    answer = _ask(model, messages=[{"role": "user", "content": "What does a sealift do?"}], temperature=0)

    assert answer["object"] == "chat.completion"
    assert answer["model"] == "demo"
    assert answer["choices"][0]["message"] == {"role": "assistant", "content": ANSWER}
    assert answer["choices"][0]["finish_reason"] == "stop"
    usage = answer["usage"]
    assert usage["total_tokens"] == usage["prompt_tokens"] + usage["completion_tokens"]


@pytest.mark.parametrize(
    ("prompt", "text"),
    [
        pytest.param("Hello.", ANSWER, id="punctuation"),
        pytest.param("Grüße 🚢", ANSWER, id="bytes"),
        pytest.param("Where does our convoy", " waits for high water.", id="last-word-leads"),
        pytest.param("The harbour", " opens early each morning.", id="two-words"),
    ],
)
def test_prompt_is_continued(model: Model, prompt: str, text: str) -> None:
    """A bare prompt is continued from its last token."""
    for source in ("prompt", "inputs"):
        answer = _ask(model, **{source: prompt}, temperature=0)

        assert answer["object"] == "text_completion"
        assert answer["choices"][0]["text"] == text


@pytest.mark.parametrize("tensor_type", ["f32", "q8_0"])
def test_other_tensor_types_answer_alike(tmp_path: Path, tensor_type: str) -> None:
    """Quantised weights say the same, also on CPUs where llama.cpp's AMX kernels would end the process."""
    write_tiny_gguf(tmp_path / "demo.gguf", tensor_type=tensor_type)

    answer = _ask(inference.model_fn(str(tmp_path)), prompt="Hello.", temperature=0)

    assert answer["choices"][0]["text"] == ANSWER


def test_length_and_stop_end_an_answer(model: Model) -> None:
    """The token limit says "length"; a stop sequence ends the text before itself and says "stop"."""
    limited = _ask(model, prompt="Hello.", temperature=0, max_tokens=2)
    stopped = _ask(model, prompt="Hello.", temperature=0, stop=["sail", "the sea"])

    assert limited["choices"][0] == {
        "index": 0,
        "text": "Sealift carries",
        "logprobs": None,
        "finish_reason": "length",
    }
    assert limited["usage"]["completion_tokens"] == 2
    assert stopped["choices"][0]["text"] == "Sealift carries heavy cargo across "
    assert stopped["choices"][0]["finish_reason"] == "stop"


def test_seed_repeats_an_answer(model: Model) -> None:
    """The same seed gives the same sampling, and the seeds differ among themselves."""

    def texts() -> list[str]:
        answers = (_ask(model, prompt="Hello.", temperature=1, top_p=1, seed=seed) for seed in range(8))
        return [answer["choices"][0]["text"] for answer in answers]

    first = texts()

    assert texts() == first
    assert len(set(first)) > 1


def test_prompt_and_answer_fill_the_context_exactly(
    model_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A context that llama.cpp rounds up is kept as asked for: no token more, and no crash at the edge."""
    monkeypatch.setenv("SEALIFT_N_CTX", "100")
    model = inference.model_fn(str(model_file.parent))

    full = _ask(model, prompt="ping", temperature=0, max_tokens=32_768)
    nearly = _ask(model, prompt="ping " * 97 + "ping", temperature=0)
    with pytest.raises(BadRequest, match="101 tokens and the context holds 100"):
        _ask(model, prompt="ping " * 99 + "ping")

    assert full["usage"]["total_tokens"] == 100
    assert full["choices"][0]["finish_reason"] == "length"
    assert nearly["usage"]["completion_tokens"] == 1


def test_answers_do_not_depend_on_what_was_asked_before(model: Model) -> None:
    """What llama.cpp keeps of the last prompt never changes the next answer."""
    alone = _ask(model, prompt="Hello there, our convoy", temperature=0)["choices"][0]["text"]
    _ask(model, prompt="Hello there, The harbour", temperature=0)
    with pytest.raises(BadRequest):
        _ask(model, prompt="ping " * 3000)

    assert _ask(model, prompt="Hello there, our convoy", temperature=0)["choices"][0]["text"] == alone


def test_settings_of_the_archive_are_used(tmp_path: Path, model_file: Path) -> None:
    """The config.json in the archive's code/ names the model and bounds its answers."""
    shutil.copy(model_file, tmp_path / "m.gguf")
    (tmp_path / "code").mkdir()
    (tmp_path / "code" / "config.json").write_text(
        '{"model_type": "gguf", "model_name": "harbour", "max_tokens": 1, "temperature": 0}', encoding="utf-8"
    )

    answer = _ask(inference.model_fn(str(tmp_path)), prompt="Hello.")

    assert answer["model"] == "harbour"
    assert answer["choices"][0]["text"] == "Sealift"


def test_model_without_a_template_takes_prompts_only(tmp_path: Path, model_file: Path) -> None:
    """A GGUF without a chat template refuses messages and answers prompts."""
    whole = model_file.read_bytes()
    (tmp_path / "m.gguf").write_bytes(whole.replace(b"tokenizer.chat_template", b"tokenizer.xxxx_template"))
    model = inference.model_fn(str(tmp_path))

    with pytest.raises(BadRequest, match="'demo' has no chat template"):
        _ask(model, messages=[{"role": "user", "content": "Hi."}])

    assert _ask(model, prompt="Hello.", temperature=0)["choices"][0]["text"] == ANSWER


_ARCHITECTURE = b"\x05\0\0\0\0\0\0\0llama"


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        pytest.param(
            lambda whole: whole[: len(whole) // 2], "not within the file bounds", id="cut-in-the-data"
        ),
        pytest.param(lambda whole: whole[:2000], "failed to read key-value pairs", id="cut-in-the-header"),
        pytest.param(lambda whole: whole[:0], "failed to read magic", id="empty"),
        pytest.param(lambda whole: b"XXXX" + whole[4:], "invalid magic characters: 'XXXX'", id="magic"),
        pytest.param(
            lambda whole: whole.replace(_ARCHITECTURE, b"\x05\0\0\0\0\0\0\0mamma", 1),
            "unknown model architecture: 'mamma'",
            id="architecture",
        ),
    ],
)
def test_load_error_says_what_llama_cpp_said(
    tmp_path: Path, model_file: Path, damage: Any, words: str
) -> None:
    """The exception carries the reason, which llama.cpp only writes to its log."""
    (tmp_path / "m.gguf").write_bytes(damage(model_file.read_bytes()))

    with pytest.raises(LoadError) as caught:
        inference.model_fn(str(tmp_path))

    assert "model file 'm.gguf' cannot be loaded: " in str(caught.value)
    assert words in str(caught.value)
