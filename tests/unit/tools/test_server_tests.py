"""How llama.cpp's own server tests are pointed at our servers: options, models, and the list of what does not apply."""

from __future__ import annotations

import shlex
import tomllib
from pathlib import Path

import pytest

from tools.server_tests import expectations, servers
from tools.server_tests.servers import ADAPTER, FUNCTIONS, IMAGE, NotOffered, Options

LINE = shlex.split(
    "--port 8081 --temp 0.8 --seed 42 --host 127.0.0.1 --hf-repo ggml-org/test-model-stories260K --batch-size 32 "
    "--no-slots --alias tinyllama-2 --ctx-size 512 --parallel 2 -fa on --n-predict 64 --no-jinja"
)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return the folder of a model."""
    (tmp_path / "model.gguf").touch()
    return tmp_path


def test_options_are_read_as_their_harness_writes_them() -> None:
    """Those without a value, those of one letter, and one that is given twice."""
    options = Options.parse([*LINE, "--lora", "/a", "--lora", "/b"])

    assert options.values["parallel"] == "2"
    assert options.values["flash-attn"] == "on"
    assert options.values["no-jinja"] == "true"
    assert options.repeated == ("lora",)


def test_paths_are_those_of_the_folder_that_the_tests_run_in(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The server runs in another one."""
    monkeypatch.chdir(tmp_path)

    assert Options.parse(["--media-path", "tools"]).values["media-path"] == str(tmp_path / "tools")


@pytest.mark.parametrize(
    ("more", "context"), [([], "256"), (["--kv-unified"], "512")], ids=["a part for each slot", "one for all"]
)
@pytest.mark.parametrize("server", [FUNCTIONS, ADAPTER])
def test_a_slots_context_becomes_that_of_a_request(
    folder: Path, server: str, more: list[str], context: str
) -> None:
    """n_ctx is of one request."""
    found = servers.environment_of(server, Options.parse([*LINE, *more]), folder)

    assert found["SEALIFT_N_CTX"] == context
    assert found["SEALIFT_MAX_TOKENS"] == "64"
    assert found["SEALIFT_MODEL_NAME"] == "tinyllama-2"
    assert found.get("SEALIFT_N_PARALLEL") == ("2" if server == ADAPTER else None)


def test_the_image_gets_every_option_as_its_own_variable(folder: Path) -> None:
    """But for those of the place and of a download."""
    found = servers.environment_of(IMAGE, Options.parse(LINE), folder)

    assert found["SM_LLAMA_CPP_CTX_SIZE"] == "512"
    assert found["SM_LLAMA_CPP_FLASH_ATTN"] == "on"
    assert found["SM_LLAMA_CPP_NO_SLOTS"] == "true"
    assert found["SM_LLAMA_CPP_MODEL"] == "/opt/ml/model/model.gguf"
    assert not {"SM_LLAMA_CPP_PORT", "SM_LLAMA_CPP_HOST", "SM_LLAMA_CPP_HF_REPO"} & set(found)


@pytest.mark.parametrize(
    ("server", "more", "told"),
    [
        (FUNCTIONS, ["--api-key", "k"], "--api-key"),
        (ADAPTER, ["--context-shift"], "--context-shift"),
        (IMAGE, ["--lora", "/a", "--lora", "/b"], "--lora only once"),
        (IMAGE, ["--backend_sampling"], "without underscores"),
    ],
)
def test_an_option_without_a_counterpart_is_refused(
    folder: Path, server: str, more: list[str], told: str
) -> None:
    """Its name is told."""
    with pytest.raises(NotOffered, match=told):
        servers.environment_of(server, Options.parse([*LINE, *more]), folder)


def test_a_model_that_nothing_stands_for_is_refused(tmp_path: Path) -> None:
    """A router has none, and a large one is not written."""
    with pytest.raises(NotOffered, match="some/model"):
        servers.model_of(FUNCTIONS, Options.parse(["--hf-repo", "some/model"]), tmp_path)


def test_a_model_is_written_once_for_each_template(tmp_path: Path) -> None:
    """The four functions and the adapter take the template from the model."""
    template = tmp_path / "a.jinja"
    template.write_text("{{ messages[0].content }}")
    options = Options.parse([*LINE, "--chat-template-file", str(template)])

    found = servers.model_of(ADAPTER, options, tmp_path / "models")

    assert found != servers.model_of(ADAPTER, Options.parse(LINE), tmp_path / "models")
    assert found == servers.model_of(FUNCTIONS, options, tmp_path / "models")
    assert servers.model_of(IMAGE, options, tmp_path / "models").name == servers.STORIES
    assert (found / "model.gguf").read_bytes().count(b"messages[0].content") == 1


REASONS = {"a.py::test_one": "all of it", "a.py::test_two[x/[1]-*]": "some"}


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("a.py::test_one", "all of it"),
        ("a.py::test_one[8-http://x]", "all of it"),
        ("a.py::test_one_more", None),
        ("a.py::test_two[x/[1]-y]", "some"),
        ("a.py::test_two[x/[2]-y]", None),
        ("b.py::test_one", None),
    ],
)
def test_a_pattern_means_a_test_with_or_without_parameters(name: str, reason: str | None) -> None:
    """Brackets are those of parameters; only `*` stands for something else."""
    assert expectations.reason_for(name, REASONS) == reason


def test_a_pattern_that_means_no_test_is_told() -> None:
    """Else the list would grow old."""
    assert expectations.unused(REASONS, ["a.py::test_one[1]"]) == ["a.py::test_two[x/[1]-*]"]


def test_an_entry_holds_for_the_servers_that_it_names() -> None:
    """Or for all."""
    table = [{"reason": "r", "tests": ["one"], "servers": [IMAGE]}, {"reason": "s", "tests": ["two"]}]

    assert expectations.applies(table, IMAGE) == {"one": "r", "two": "s"}
    assert expectations.applies(table, ADAPTER) == {"two": "s"}


def test_the_list_names_servers_that_there_are() -> None:
    """An entry for one that is called otherwise would be for none."""
    path = Path(expectations.__file__).with_name("left_out.toml")
    document = tomllib.loads(path.read_text())
    named = {server for table in document.values() for entry in table for server in entry.get("servers", ())}

    assert set(document) == {"not_run", "fails", "wavers"}
    assert named <= set(servers.PROGRAMS) == set(expectations.PATHS)


def test_an_answer_becomes_one_of_llama_cpps_own_form() -> None:
    """A list where there were several prompts."""
    one = {"choices": [{"text": "a"}], "timings": {"prompt_n": 1}}
    two = {"choices": [{"text": "a"}, {"text": "b"}]}

    assert expectations.native_answer(one) == {**one, "content": "a"}
    assert [each["content"] for each in expectations.native_answer(two)] == ["a", "b"]
    assert expectations.native_event({"choices": [{"text": "a", "finish_reason": "stop"}]})["stop"] is True
    assert expectations.native_event({"choices": [], "usage": {}})["content"] == ""
