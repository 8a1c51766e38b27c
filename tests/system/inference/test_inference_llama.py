"""The four functions with the real llama.cpp and a small real model."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from benchmarks import shapes
from benchmarks.shapes import ModelShape
from examples.tiny_gguf import ANSWER, write_tiny_gguf
from inference import inference
from inference.inference import BadRequest, LoadError, Model
from pipeline.operations import diagnosis
from sealift_template import Conversation


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


def test_log_probabilities_are_the_models_own(model: Model) -> None:
    """At temperature 0 each chosen token is the likeliest, and its log-probability that of the corpus it learnt."""
    text = _ask(model, prompt="Hello.", temperature=0, max_tokens=3, logprobs=3)["choices"][0]["logprobs"]
    message = [{"role": "user", "content": "Hi."}]
    chat = _ask(model, messages=message, temperature=1, seed=1, max_tokens=1, logprobs=True, top_logprobs=2)
    (first,) = chat["choices"][0]["logprobs"]["content"]

    assert text["tokens"] == ["Sealift", " carries", " heavy"]
    for token, logprob, top in zip(text["tokens"], text["token_logprobs"], text["top_logprobs"], strict=True):
        assert top[token] == logprob == max(top.values())
        assert len(top) == 3
    # Several sentences may begin; what follows "Sealift" is sure.
    assert -1 < text["token_logprobs"][0] < -0.1
    assert -0.01 < text["token_logprobs"][1] < 0
    assert text["text_offset"] == [6, 13, 21]
    assert bytes(first["bytes"]).decode() == first["token"]
    assert len(first["top_logprobs"]) == 2


PERSON = {
    "type": "object",
    "properties": {
        "name": {"type": "string", "maxLength": 8},
        "age": {"type": "integer"},
        "tags": {"type": "array", "items": {"enum": ['a"b', "c\\d", "\n", "\u00e4"]}, "maxItems": 2},
    },
    "required": ["name", "tags"],
}


@pytest.mark.parametrize("temperature", [0, 1, 2])
def test_answer_keeps_to_a_schema(model: Model, temperature: float) -> None:
    """A model that never saw JSON writes what the schema asks, whatever the sampling."""
    asked = {"type": "json_schema", "json_schema": {"name": "person", "schema": PERSON}}
    for seed in range(5):
        answer = _ask(
            model, prompt="Hello.", temperature=temperature, seed=seed, max_tokens=400, response_format=asked
        )
        person = json.loads(answer["choices"][0]["text"])

        assert answer["choices"][0]["finish_reason"] == "stop"
        assert set(person) <= set(PERSON["properties"])
        assert set(person["tags"]) <= {'a"b', "c\\d", "\n", "\u00e4"}
        assert len(person["name"]) <= 8


def test_answer_is_any_object(model: Model) -> None:
    """What json_object asks: an answer that ended is one object."""
    answers = [
        _ask(
            model,
            prompt="Hello.",
            temperature=1,
            seed=seed,
            max_tokens=300,
            response_format={"type": "json_object"},
        )["choices"][0]
        for seed in range(5)
    ]
    ended = [json.loads(answer["text"]) for answer in answers if answer["finish_reason"] == "stop"]

    assert all(answer["text"].startswith("{") for answer in answers)
    assert all(isinstance(one, dict) for one in ended)


def _said(model: Model, **request: Any) -> str:
    text: str = _ask(model, **{"prompt": "Hello.", "temperature": 0, **request})["choices"][0]["text"]
    return text


@pytest.mark.parametrize(
    "sampling",
    [
        pytest.param({"top_k": 1}, id="top-k"),
        pytest.param({"min_p": 1}, id="min-p"),
        pytest.param({"top_p": 0}, id="top-p"),
        pytest.param({"top_n_sigma": 0.01}, id="top-n-sigma"),
        pytest.param({"top_k": -1, "top_p": 1, "min_p": 0, "temperature": 1e-9}, id="cold"),
    ],
)
def test_a_sampler_that_leaves_one_token_leaves_the_likeliest(model: Model, sampling: dict[str, Any]) -> None:
    """However hot it is: only a sampler that is at work makes the answer sure."""
    answers = {_said(model, **{"temperature": 2, "seed": seed, **sampling}) for seed in range(6)}

    assert answers == {ANSWER}
    assert len({_said(model, temperature=2, seed=seed, top_k=0, top_p=1, min_p=0) for seed in range(6)}) > 1


def test_biases_forbid_and_force_tokens(model: Model) -> None:
    """By the token's number as OpenAI writes it, and by the text."""
    told = _ask(model, inputs="Hello.", parameters={"details": True, "max_new_tokens": 1, "do_sample": False})
    (first,) = told["details"]["tokens"]
    free = _ask(model, prompt="Hello.", temperature=0, max_tokens=1, logprobs=2)["choices"][0]["logprobs"]
    (second,) = set(free["top_logprobs"][0]) - {"Sealift"}

    assert first["text"] == "Sealift"
    assert _said(model, max_tokens=1, logit_bias={str(first["id"]): -100}) == second
    assert _said(model, max_tokens=1, logit_bias={str(first["id"]): False}) == second
    assert _said(model, max_tokens=1, logit_bias=[["harbour", 1000]]) == " harbour"
    assert _said(model, logit_bias={"4000000000": -100, str(10**9 - 1): 5}) == ANSWER


def test_penalties_count_the_prompt_too(model: Model) -> None:
    """The model says `ping` for ever; each penalty ends that, as far back as it looks."""
    ping: dict[str, Any] = {"prompt": "ping ping ping", "max_tokens": 8}
    for penalty in (
        {"repeat_penalty": 100},
        {"presence_penalty": 1000},
        {"frequency_penalty": 1000},
        {"dry_multiplier": 1000, "dry_allowed_length": 1},
    ):
        assert _said(model, **ping) == " ping" * 8
        assert _said(model, **{**ping, "max_tokens": 1}, **penalty) != " ping", penalty
    assert _said(model, **ping, repeat_penalty=100, repeat_last_n=0) == " ping" * 8
    assert _said(model, **ping, dry_multiplier=1000, dry_penalty_last_n=0) == " ping" * 8
    assert _said(model, **ping, repeat_penalty=100, repeat_last_n=-1) == _said(
        model, **ping, repeat_penalty=100
    )


def test_penalties_count_what_a_grammar_let_through(model: Model) -> None:
    """A token that was only thought of, and forbidden, does not count; one that was taken does."""
    two = {"prefixItems": [{"enum": [1, 2]}, {"enum": [1, 2]}]}
    free, penalized = (
        json.loads(_said(model, json_schema=two, max_tokens=100, frequency_penalty=penalty))
        for penalty in (0, 500)
    )

    assert free[0] == free[1]
    assert penalized[0] != penalized[1]


def test_the_likeliest_is_left_out_where_that_is_requested(model: Model) -> None:
    """XTC at full probability takes all but the last of those above its threshold."""
    free = _ask(model, prompt="Hello.", temperature=0, max_tokens=1, logprobs=1)["choices"][0]["text"]

    assert _said(model, max_tokens=1, xtc_probability=1, xtc_threshold=0.001, top_p=1, min_p=0) != free
    assert _said(model, max_tokens=1, xtc_probability=1, xtc_threshold=0.9) == free


@pytest.mark.parametrize(
    "sampling",
    [
        {"mirostat": 1},
        {"mirostat": 2, "mirostat_tau": 1, "mirostat_eta": 0.5},
        {"typical_p": 0.5},
        {"dynatemp_range": 0.5, "dynatemp_exponent": 2},
        {"dry_multiplier": 1, "dry_sequence_breakers": ["\n", "\u20ac"], "dry_penalty_last_n": -1},
        {"repeat_penalty": 1.1, "repeat_last_n": 10**6, "frequency_penalty": -2},
        {"top_k": 10**12, "mirostat": 2, "temperature": 0},
        {"logit_bias": [[n, -1e300] for n in range(1000)]},
    ],
)
def test_every_sampler_answers_the_same_for_a_seed(model: Model, sampling: dict[str, Any]) -> None:
    """Also within a grammar, whose answer still conforms."""
    asked = {"type": "json_schema", "json_schema": {"name": "person", "schema": PERSON}}
    one, two = (_said(model, **{"temperature": 1, "seed": 7, "max_tokens": 60, **sampling}) for _ in range(2))
    person = _ask(
        model,
        **{"prompt": "Hello.", "temperature": 1, "seed": 3, "max_tokens": 400, **sampling},
        response_format=asked,
    )["choices"][0]

    assert one == two
    assert person["finish_reason"] == "length" or set(json.loads(person["text"])) <= set(PERSON["properties"])


def test_answer_goes_on_where_no_token_ends_it(model: Model) -> None:
    """As long as there is room, where that is requested too."""
    answer = _ask(model, prompt="Hello.", temperature=0, ignore_eos=True, max_tokens=40)
    fitting = _ask(model, prompt="Hello.", temperature=0, ignore_eos=True, max_tokens=-1)

    assert answer["choices"][0]["finish_reason"] == "length"
    assert answer["usage"]["completion_tokens"] == 40
    assert fitting["usage"]["total_tokens"] == model.context


def test_prompts_in_every_form_are_answered(model: Model) -> None:
    """Tokens say what their text says; several prompts are answered in their order."""
    tokens = model.tokenize("Hello.")
    texts = [
        choice["text"]
        for choice in _ask(model, prompt=["Hello.", "The harbour"], temperature=0, n=2)["choices"]
    ]

    assert _said(model, prompt=tokens) == _said(model, prompt=[tokens]) == ANSWER
    assert _said(model, prompt=tokens, echo=True).endswith(f"Hello.{ANSWER}")
    assert texts == [ANSWER, ANSWER, " opens early each morning.", " opens early each morning."]
    with pytest.raises(BadRequest, match="the model's are 0 to"):
        _ask(model, prompt=[10**7])


def test_stream_brings_the_same_answer(model: Model) -> None:
    """As one whole list of events."""
    request = {
        "messages": [{"role": "user", "content": "What does a sealift do?"}],
        "temperature": 0,
        "stream": True,
    }
    data = inference.input_fn(json.dumps(request), "application/json")
    body, content_type = inference.output_fn(inference.predict_fn(data, model), None)
    events = [json.loads(line[6:]) for line in body.splitlines() if line.startswith("data: {")]

    assert content_type == "text/event-stream"
    assert "".join(event["choices"][0]["delta"].get("content") or "" for event in events) == ANSWER
    assert body.endswith("data: [DONE]\n\n")


def test_model_that_cannot_fill_in_says_so(model: Model) -> None:
    """Its vocabulary has no tokens for that."""
    with pytest.raises(BadRequest, match="fills nothing in"):
        _ask(model, prompt="a", suffix="b")


HOSTILE = """
import json, sys
sys.path.insert(0, sys.argv[1])
import inference
model = inference.model_fn(sys.argv[2])
for line in sys.stdin:
    schema = json.loads(line)
    asked = {"type": "json_schema", "json_schema": {"schema": schema}}
    body = json.dumps({"prompt": "Hello.", "max_tokens": 24, "temperature": 1, "response_format": asked})
    try:
        reason = inference.predict_fn(inference.input_fn(body, None), model)["choices"][0]["finish_reason"]
    except inference.BadRequest as error:
        reason = error.code
    print("said", reason, flush=True)
"""


def _nest(schema: Any, depth: int) -> Any:
    for _ in range(depth):
        schema = {
            "anyOf": [{"type": "array", "items": schema}, {"type": "array", "items": schema, "maxItems": 9}]
        }
    return schema


HOSTILE_SCHEMAS: list[Any] = [
    {"enum": ['"', '\\"', "\\", '" | root', "]", "\x00", "\ud800"]},
    {"const": '"\\n"\nroot ::= root'},
    {"type": "object", "properties": {'a" ::= "b': {"type": "string"}, "": {"type": "null"}}},
    {"type": "object", "properties": {f"p{n}": {"type": "string"} for n in range(400)}},
    {"enum": ["x" * n for n in range(1, 250)]},
    {"type": "string", "maxLength": 10**9},
    {"type": "string", "pattern": "((a+)+)+$"},
    {
        "type": "array",
        "items": {"type": "array", "items": {"type": "string", "maxLength": 40}, "maxItems": 40},
    },
    {"anyOf": [{"type": "string", "maxLength": n} for n in range(1, 60)]},
    {"anyOf": [{"type": "array", "items": {"type": "string"}, "minItems": n} for n in range(200)]},
    _nest({"type": "integer"}, 5),
    _nest({"type": "integer"}, 12),
    {"$ref": "#/$defs/a", "$defs": {"a": {"anyOf": [{"$ref": "#/$defs/a"}, {"type": "null"}]}}},
    {"$ref": "#/properties/x", "properties": {"x": {"$ref": "#/properties/x"}}},
    {"type": "object", "additionalProperties": {"type": "object", "additionalProperties": {}}},
    {"type": ["string", "object", "array", "number", "integer", "boolean", "null"]},
    {"prefixItems": [{"type": "string", "format": "date-time"}] * 60},
]


def test_no_schema_ends_the_process(model_file: Path) -> None:
    """Each is held to or refused; a process that llama.cpp would abort could not say which."""
    folder = Path(inference.__file__).parent
    lines = "".join(json.dumps(schema) + "\n" for schema in HOSTILE_SCHEMAS)

    child = subprocess.run(
        [sys.executable, "-c", HOSTILE, str(folder), str(model_file.parent)],
        input=lines,
        capture_output=True,
        text=True,
        check=False,
        timeout=240,
    )
    said = [line.split()[1] for line in child.stdout.splitlines() if line.startswith("said ")]

    assert child.returncode == 0, child.stderr[-2000:]
    assert len(said) == len(HOSTILE_SCHEMAS)
    assert set(said) <= {"stop", "length", "invalid_schema", "schema_not_met"}


LONG = """
import sys
sys.path.insert(0, sys.argv[1])
import inference
model = inference.model_fn(sys.argv[2])
for text in ("a" * 200_000, " " * 200_000, "a1 " * 60_000, "=" * 100_000):
    alone = model.tokenize("b")
    print("said", len(model.tokenize(text)), model.tokenize("b") == alone)
"""


def test_no_prompt_ends_the_process(tmp_path: Path) -> None:
    """A word of any length becomes tokens, where llama.cpp's own splitting of words would overflow the stack."""
    shape = ModelShape("llama", 1, 64, 2, 2, 32, 128, 1000, 50, quantization="F16", pre_tokenizer="tekken")
    shapes.write(shape, tmp_path / "model.gguf")

    child = subprocess.run(
        [sys.executable, "-c", LONG, str(Path(inference.__file__).parent), str(tmp_path)],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    said = [line.split() for line in child.stdout.splitlines() if line.startswith("said ")]

    assert child.returncode == 0, child.returncode
    assert [int(count) >= 1000 for _, count, _ in said] == [True] * 4
    assert [same for _, _, same in said] == ["True"] * 4


def test_text_may_have_more_tokens_than_bytes(tmp_path: Path, model_file: Path) -> None:
    """A vocabulary without a token for the space writes each one in three bytes."""
    space = "\N{LOWER ONE EIGHTH BLOCK}".encode()
    alone = len(space).to_bytes(8, "little") + space
    whole = model_file.read_bytes()
    assert whole.count(alone) == 1
    (tmp_path / "m.gguf").write_bytes(whole.replace(alone, len(space).to_bytes(8, "little") + b"q~q"))

    answer = _ask(inference.model_fn(str(tmp_path)), prompt=" " * 50, temperature=0, max_tokens=1)

    assert answer["usage"]["prompt_tokens"] > 100


class _Call:
    """A server's context whose client hangs up while its prompt is evaluated: after the looks before that."""

    arrived = None
    deadline = None

    def __init__(self, looks: int) -> None:
        self.looks = looks

    def gone(self) -> bool:
        self.looks -= 1
        return self.looks < 0


def test_evaluation_of_a_prompt_is_interrupted_and_the_model_stays_whole(tmp_path: Path) -> None:
    """llama.cpp is told to stop in the middle of a batch; the next answers are those of a model that never was."""
    write_tiny_gguf(tmp_path / "demo.gguf", embd=1024, layers=8)
    model = inference.model_fn(str(tmp_path))
    prompt = "ping " * 900 + "ping"
    request = inference.input_fn(json.dumps({"prompt": prompt, "temperature": 0, "max_tokens": 3}), None)
    alone = _ask(model, prompt="Hello.", temperature=0)["choices"]

    interrupted: Any = inference.predict_fn(request, model, _Call(looks=2))
    after = _ask(model, prompt="Hello.", temperature=0)["choices"]
    again = _ask(model, prompt=prompt, temperature=0, max_tokens=3)

    assert interrupted["choices"][0]["finish_reason"] == "cancelled"
    assert interrupted["usage"]["completion_tokens"] == 0
    assert after == alone
    assert again["choices"][0]["text"] == " ping ping ping"


def test_time_that_is_up_is_told(model: Model) -> None:
    """An answer that may not go on ends with what there is; here nothing."""
    request = inference.input_fn('{"prompt": "Hello."}', None)
    assert not isinstance(request, BadRequest)

    answer: Any = inference.predict_fn(replace(request, arrived=float("-inf")), model)

    assert answer["choices"][0]["finish_reason"] == "timeout"
    assert answer["choices"][0]["text"] == ""


def test_prompts_that_alternate_are_fetched_back(model: Model) -> None:
    """The state that llama.cpp is given back answers as the one that was evaluated."""
    systems = [f"Hello there, {word} " + "ping " * 60 for word in ("one", "two", "six")]
    questions = [(system, f"{system} our convoy {n}") for n in range(3) for system in systems]
    alone = [_ask_alone(model, question) for _, question in questions]

    answers = [_ask(model, prompt=question, temperature=0, max_tokens=8) for _, question in questions]

    assert [answer["choices"][0]["text"] for answer in answers] == alone
    assert all(answer["timings"]["cache_n"] > 60 for answer in answers[3:])


def _ask_alone(model: Model, prompt: str) -> str:
    engine: Any = model.engine
    engine._clear()
    text: str = _ask(model, prompt=prompt, temperature=0, max_tokens=8)["choices"][0]["text"]
    engine._clear()
    engine._prefixes._saved.clear()
    return text


def test_every_request_is_a_line_of_the_log(model: Model, capsys: pytest.CaptureFixture[str]) -> None:
    """Also without a server of ours: figures, and nothing of what was said."""
    capsys.readouterr()
    _ask(model, prompt="A secret harbour", max_tokens=2)

    (line,) = capsys.readouterr().out.splitlines()
    figures = json.loads(line)
    assert figures["event"] == "answered"
    assert figures["predicted_n"] == 2
    assert "secret" not in line


def test_memory_that_does_not_suffice_is_told(tmp_path: Path) -> None:
    """llama.cpp says in many words that memory is short; ours come first."""
    write_tiny_gguf(tmp_path / "demo.gguf", embd=1024, layers=4)
    limited = (
        "import resource, sys; sys.path.insert(0, sys.argv[1]); import inference, llama_cpp\n"
        "pages = int(open('/proc/self/statm').read().split()[0]) * resource.getpagesize()\n"
        "resource.setrlimit(resource.RLIMIT_AS, (pages + (40 << 20),) * 2)\n"
        "inference.model_fn(sys.argv[2])\n"
    )

    child = subprocess.run(
        [sys.executable, "-c", limited, str(Path(inference.__file__).parent), str(tmp_path)],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )

    assert "there is not enough memory" in child.stderr
    assert (
        diagnosis.diagnose({"Error": "EndpointFailed", "Cause": child.stderr}, {}).cause_name == "OutOfMemory"
    )


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
    """A context that llama.cpp rounds up is kept as requested: no token more, and no crash at the edge."""
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


def test_model_without_a_template_gets_chatml(
    tmp_path: Path, model_file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A GGUF without a chat template takes messages all the same, and the log says what was put in its place."""
    whole = model_file.read_bytes()
    (tmp_path / "m.gguf").write_bytes(whole.replace(b"tokenizer.chat_template", b"tokenizer.xxxx_template"))
    model = inference.model_fn(str(tmp_path))

    chat = _ask(model, messages=[{"role": "user", "content": "Hi."}], temperature=0)
    written = "<|im_start|>user\nHi.<|im_end|>\n<|im_start|>assistant\n"
    bare = _ask(model, prompt=written, temperature=0)

    loaded = json.loads(capsys.readouterr().out.splitlines()[0])
    assert loaded["chat_template"] == "ChatML: the GGUF has none"
    assert model.chat.render(Conversation([{"role": "user", "content": "Hi."}])).stops == ("<|im_end|>",)
    assert chat["choices"][0]["message"]["content"] == bare["choices"][0]["text"]
    assert chat["usage"]["prompt_tokens"] == bare["usage"]["prompt_tokens"]


_ARCHITECTURE = b"\x05\0\0\0\0\0\0\0llama"


@pytest.mark.parametrize(
    ("damage", "words", "cause"),
    [
        pytest.param(
            lambda whole: whole[: len(whole) // 2],
            "not within the file bounds",
            "ModelCutShort",
            id="cut-in-the-data",
        ),
        pytest.param(
            lambda whole: whole[:2000],
            "failed to read key-value pairs",
            "ModelCutShort",
            id="cut-in-the-header",
        ),
        pytest.param(lambda whole: whole[:0], "failed to read magic", "ModelCutShort", id="empty"),
        pytest.param(
            lambda whole: b"XXXX" + whole[4:], "invalid magic characters: 'XXXX'", "ModelCutShort", id="magic"
        ),
        pytest.param(
            lambda whole: whole.replace(_ARCHITECTURE, b"\x05\0\0\0\0\0\0\0mamma", 1),
            "unknown model architecture: 'mamma'",
            "UnknownArchitecture",
            id="architecture",
        ),
        pytest.param(
            lambda whole: whole.replace(b"blk.1.ffn_up.weight", b"blk.1.ffn_xx.weight", 1),
            "expects of its architecture",
            "TensorsUnexpected",
            id="tensor",
        ),
        pytest.param(
            lambda whole: whole.replace(b"{% endfor %}", b"{% endfro %}", 1),
            "its chat template (tokenizer.chat_template) is not a valid one: Encountered unknown tag 'endfro'",
            "ChatTemplateBroken",
            id="chat-template",
        ),
    ],
)
def test_load_error_says_what_llama_cpp_said(
    tmp_path: Path, model_file: Path, damage: Any, words: str, cause: str
) -> None:
    """The exception carries the reason, which llama.cpp only writes to its log; the deployment knows its cause."""
    (tmp_path / "m.gguf").write_bytes(damage(model_file.read_bytes()))

    with pytest.raises(LoadError) as caught:
        inference.model_fn(str(tmp_path))

    assert "model file 'm.gguf'" in str(caught.value)
    assert words in str(caught.value)
    assert diagnosis.diagnose({"Error": "EndpointFailed", "Cause": str(caught.value)}, {}).cause_name == cause


def _threads() -> set[str]:
    return {path.name for path in Path("/proc/self/task").iterdir()}


@pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason="one CPU: one thread, which needs no pool")
def test_threads_are_made_once_and_end_with_the_model(
    model_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not anew for each token: the second one is there at rest, and answers as one alone does."""
    before = _threads()
    monkeypatch.setenv("SEALIFT_N_THREADS", "2")
    model = inference.model_fn(str(model_file.parent))
    loaded = _threads()

    answer = _ask(model, messages=[{"role": "user", "content": "What does a sealift do?"}], temperature=0)

    assert answer["choices"][0]["message"]["content"] == ANSWER
    assert len(loaded - before) == 1
    assert loaded <= _threads()

    model.engine._native.llama.close()  # type: ignore[attr-defined]

    deadline = time.monotonic() + 10
    while loaded & _threads() != before & loaded and time.monotonic() < deadline:
        time.sleep(0.01)
    assert not (loaded - before) & _threads()


def test_a_prompts_own_log_probabilities_are_told_with_echo(model: Model) -> None:
    """Each by what llama.cpp says of the next token, whatever was evaluated before; those of the answer follow."""
    asked: dict[str, Any] = {"temperature": 0, "logprobs": 1, "max_tokens": 2}
    _ask(model, prompt="The harbour opens", **asked)

    told = _ask(model, prompt="The harbour opens", echo=True, **asked)["choices"][0]
    answer = _ask(model, prompt="The harbour opens", **asked)["choices"][0]["logprobs"]

    logprobs = told["logprobs"]
    assert told["text"] == "".join(logprobs["tokens"]) == "The harbour opens early each"
    assert logprobs["token_logprobs"][0] is None
    assert logprobs["token_logprobs"][-2:] == answer["token_logprobs"]
    assert logprobs["text_offset"] == [0, 0, 3, 11, 17, 23]
    likely = _ask(model, prompt="The", **{**asked, "max_tokens": 1})["choices"][0]["logprobs"]
    assert logprobs["top_logprobs"][2] == likely["top_logprobs"][0]


@pytest.mark.parametrize("more", [{}, {"repeat_penalty": 1.1}, {"guided_regex": "[ a-z.]+"}])
def test_an_answer_has_its_least_length(model: Model, more: dict[str, Any]) -> None:
    """Nothing ends it before, however it is chosen; the model's own end comes with the first sentence."""
    asked = {"prompt": "The harbour opens early", "temperature": 0, "max_tokens": 40, "ignore_eos": False}
    short = _ask(model, **asked)["usage"]["completion_tokens"]

    least = _ask(model, **asked, **more, min_tokens=9)["usage"]["completion_tokens"]

    assert short < 9 <= least


def test_stops_of_every_kind(model: Model) -> None:
    """A text that is told or not, and a token."""
    asked = {"prompt": "The harbour", "temperature": 0}
    (*_, token) = model.tokenize("each")

    answers = [
        _ask(model, **asked, **more)["choices"][0]
        for more in (
            {"stop": ["early"]},
            {"stop": ["early"], "include_stop_str_in_output": True},
            {"stop_token_ids": [token]},
        )
    ]

    assert [one["text"] for one in answers] == [" opens ", " opens early", " opens early"]
    assert {one["finish_reason"] for one in answers} == {"stop"}


@pytest.mark.parametrize(
    ("more", "pattern"),
    [
        ({"guided_choice": ["opens", "closes"]}, "opens|closes"),
        ({"guided_regex": r"\d{3}-[a-c]{2}!"}, r"\d{3}-[a-c]{2}!"),
        ({"grammar": 'root ::= "(" root ")" | "x"\n'}, None),
        ({"grammar": {"type": "regex", "value": "[01]{8}"}}, "[01]{8}"),
    ],
)
@pytest.mark.parametrize("form", ["prompt", "messages"])
def test_an_answer_is_what_a_grammar_of_the_requests_allows(
    model: Model, form: str, more: dict[str, Any], pattern: str | None
) -> None:
    """Of a text and of a chat, by each name."""
    subject = "Hello." if form == "prompt" else [{"role": "user", "content": "Hello."}]
    (choice,) = _ask(model, **{form: subject}, **more, temperature=1, seed=4, max_tokens=200)["choices"]

    text = choice["text"] if form == "prompt" else choice["message"]["content"]
    if pattern is None:
        assert text.replace("(", "").replace(")", "") == "x"
        assert text.count("(") == text.count(")")
    else:
        assert re.fullmatch(pattern, text)


def test_a_last_message_of_the_assistants_goes_on(model: Model) -> None:
    """As in llama-server, which tells it with what follows; two of them it refuses."""
    question = {"role": "user", "content": "What?"}
    begun = {"role": "assistant", "content": "The harbour"}

    for more in ({}, {"continue_final_message": True, "add_generation_prompt": False}):
        (choice,) = _ask(model, messages=[question, begun], temperature=0, **more)["choices"]
        assert choice["message"]["content"] == "The harbour opens early each morning."
    for messages, words in (
        ([question, begun, begun], "two messages"),
        ([question], "continue_final_message"),
    ):
        with pytest.raises(BadRequest, match=words):
            _ask(model, messages=messages, continue_final_message=len(messages) == 1)
    with pytest.raises(BadRequest, match="are both true"):
        _ask(model, messages=[question, begun], continue_final_message=True, add_generation_prompt=True)
