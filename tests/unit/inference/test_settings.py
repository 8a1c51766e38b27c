"""The settings of the model server: config.json, SEALIFT_* variables, defaults."""

from __future__ import annotations

import json
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest

from inference import inference
from inference.inference import read_config
from pipeline.planning import request_fields
from pipeline.sizing import fit
from sealift_settings import LoadError, Settings, settings_from


def test_defaults_are_the_checklists() -> None:
    """Without a file and without variables, the checklist's figures hold."""
    settings = settings_from({}, {})

    assert settings == Settings(
        model_name=None,
        max_tokens=150,
        temperature=0.7,
        top_p=0.9,
        n_ctx=2048,
        n_batch=512,
        n_threads=4,
        timeout_s=60,
        prefix_cache_mb=32,
        use_mmap=False,
    )


def test_shipped_config_says_the_defaults() -> None:
    """The config.json that is packed changes nothing by itself, so there is one truth about defaults."""
    shipped = json.loads((Path(inference.__file__).with_name("config.json")).read_text(encoding="utf-8"))

    assert shipped.pop("model_type") == "gguf"
    assert settings_from(shipped, {}) == Settings()
    assert set(shipped) == {one.name for one in fields(Settings)} - {"model_name"}


def test_fit_knows_what_is_kept_of_prompts() -> None:
    """The memory that evaluated prompts may take is part of the deployment's arithmetic."""
    assert (
        fit.SAVED_MB
        == Settings().prefix_cache_mb
        == request_fields.INFERENCE.fields["prefix_cache_mb"].default
    )


def test_environment_wins_over_the_file() -> None:
    """A variable of the endpoint beats config.json, which beats the default."""
    settings = settings_from(
        {"n_ctx": 512, "top_p": 0.5, "model_name": "filed"},
        {
            "SEALIFT_N_CTX": "1024",
            "SEALIFT_TEMPERATURE": "0",
            "SEALIFT_MODEL_NAME": "7",
            "SEALIFT_USE_MMAP": "True",
        },
    )

    assert (settings.n_ctx, settings.top_p, settings.temperature) == (1024, 0.5, 0)
    assert settings.model_name == "7"
    assert settings.use_mmap is True


def test_empty_variable_counts_as_not_set() -> None:
    """An empty value is how a template says nothing."""
    assert settings_from({}, {"SEALIFT_N_CTX": ""}) == Settings()


@pytest.mark.parametrize(
    ("document", "environ", "words"),
    [
        pytest.param({"max_token": 3}, {}, ["'max_token'", "did you mean 'max_tokens'"], id="misspelt"),
        pytest.param({"model_type": "onnx"}, {}, ["model_type is 'onnx'", "'gguf'"], id="other-type"),
        pytest.param({"model_name": ""}, {}, ["model_name is ''"], id="empty-name"),
        pytest.param({"n_threads": True}, {}, ["n_threads is True", "1 to 64"], id="true-is-no-number"),
        pytest.param({"n_ctx": 2048.0}, {}, ["n_ctx is 2048.0", "whole number"], id="not-whole"),
        pytest.param({"n_ctx": 63}, {}, ["n_ctx is 63", "64 to 131072"], id="below"),
        pytest.param({"temperature": 2.1}, {}, ["temperature is 2.1", "0 to 2"], id="above"),
        pytest.param({"top_p": "0.9"}, {}, ["top_p is '0.9'"], id="text-for-number"),
        pytest.param({}, {"SEALIFT_N_BATCH": "many"}, ["SEALIFT_N_BATCH is 'many'"], id="variable-text"),
        pytest.param({}, {"SEALIFT_TOP_P": "nan"}, ["SEALIFT_TOP_P is nan"], id="variable-nan"),
        pytest.param({}, {"SEALIFT_N_CTX": "1e3"}, ["SEALIFT_N_CTX is 1000.0"], id="variable-not-whole"),
        pytest.param({"use_mmap": 1}, {}, ["use_mmap is 1", "true or false"], id="number-for-switch"),
        pytest.param({}, {"SEALIFT_USE_MMAP": "yes"}, ["SEALIFT_USE_MMAP is 'yes'"], id="variable-switch"),
        pytest.param({"timeout_s": 0}, {}, ["timeout_s is 0", "1 to 3600"], id="no-time"),
        pytest.param([], {}, ["config.json is []", "JSON object"], id="no-object"),
    ],
)
def test_wrong_setting_is_refused(document: Any, environ: dict[str, str], words: list[str]) -> None:
    """A refusal names the setting, what it is, and what it should be."""
    with pytest.raises(LoadError) as caught:
        settings_from(document, environ)

    for word in words:
        assert word in str(caught.value)


def test_all_problems_come_in_one_message() -> None:
    """Somebody who mends the file once is done."""
    with pytest.raises(LoadError) as caught:
        settings_from({"top_p": 7, "colour": 1}, {"SEALIFT_N_CTX": "1"})

    message = str(caught.value)
    assert message.startswith("3 problems: ")
    assert all(word in message for word in ("top_p", "'colour'", "SEALIFT_N_CTX"))


def test_first_config_that_exists_is_read(tmp_path: Path) -> None:
    """The archive's config.json beats the one beside the code."""
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "config.json").write_text('{"n_ctx": 64}', encoding="utf-8")

    assert read_config([tmp_path / "a", tmp_path / "b"]) == {"n_ctx": 64}
    assert read_config([tmp_path / "a"]) == {}


@pytest.mark.parametrize(
    "content",
    [pytest.param(b"{", id="cut"), pytest.param(b"\xff{}", id="bytes"), pytest.param(b"", id="empty")],
)
def test_config_that_is_no_json_is_named(tmp_path: Path, content: bytes) -> None:
    """The message leads to the file."""
    (tmp_path / "config.json").write_bytes(content)

    with pytest.raises(LoadError, match=r"config\.json' cannot be read as JSON"):
        read_config([tmp_path])
