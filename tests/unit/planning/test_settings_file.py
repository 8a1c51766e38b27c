"""The files that `sealift init` writes: what the schema accepts is what the request's own checks do."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from pipeline.gguf import questions
from pipeline.planning import deployment_request, settings_file

SCHEMA = settings_file.schema()
EXAMPLES = Path(__file__).parents[3] / "examples"


def accepted(document: Any) -> bool:
    """Return whether the schema takes a document."""
    return not list(jsonschema.Draft7Validator(SCHEMA).iter_errors(document))


def taken(document: Any) -> bool:
    """Return whether a deployment would."""
    return deployment_request.mistakes(document, "a.json") == []


def full() -> dict[str, Any]:
    """Return an example with every field."""
    document = json.loads((EXAMPLES / "execution_inputs" / "full.json").read_text(encoding="utf-8"))
    del document["archive"]
    settings: dict[str, Any] = document
    return settings


def test_it_is_a_schema() -> None:
    """Of the dialect that it names."""
    jsonschema.Draft7Validator.check_schema(SCHEMA)


def test_every_field_is_explained() -> None:
    """With what it means, and what it may be."""

    def fields(node: Any) -> list[dict[str, Any]]:
        if isinstance(node, list):
            return [found for one in node for found in fields(one)]
        if not isinstance(node, dict):
            return []
        own = [one for name, one in node.get("properties", {}).items() if name != "$schema"]
        return own + [found for one in node.values() for found in fields(one)]

    found = fields(SCHEMA)
    assert len(found) > 60
    assert all(one["description"] for one in found)
    assert SCHEMA["properties"]["memory_mb"]["multipleOf"] == 1024
    assert "MemorySizeInMB" in SCHEMA["properties"]["memory_mb"]["description"]


def test_what_a_deployment_takes_the_schema_accepts() -> None:
    """The example with every field, each field as null, one consumer or several, and nothing at all."""
    one = full()
    assert one["consumer"]
    several = {**one, "consumer": [one["consumer"]] if isinstance(one["consumer"], dict) else one["consumer"]}
    for document in (
        one,
        several,
        {},
        dict.fromkeys(one),
        {"$schema": "./deployment.schema.json"},
        {"mend": True},
    ):
        assert taken(document)
        assert accepted(document), document


WRONG: list[Any] = [
    [],
    {"memory": 1},
    {"memory_mb": 1000},
    {"memory_mb": 1500},
    {"memory_mb": "1024"},
    {"memory_mb": 7168},
    {"max_concurrency": 0},
    {"hosting": "serverles"},
    {"allow_instances": "yes"},
    {"inference": {"temperature": 3}},
    {"inference": {"n_ctx": 1.5}},
    {"inference": []},
    {"smoke_test": {"prompts": []}},
    {"smoke_test": {"prompts": ["a"] * 21}},
    {"smoke_test": {"prompts": [1]}},
    {"smoke_test": {"expect": {"contains": ""}}},
    {"smoke_test": {"expect": {"contain": "a"}}},
    {"service": "A_B"},
    {"service": "a" * 41},
    {"instance_type": "r5.large"},
    {"auto_scaling": {"max": 21}},
    {"consumer": "f"},
    {"consumer": {"variable": "A B"}},
]


@pytest.mark.parametrize("document", WRONG, ids=json.dumps)
def test_what_a_deployment_refuses_the_schema_refuses(document: Any) -> None:
    """So an editor shows it before anything is run."""
    assert not taken(document)
    assert not accepted(document)


@pytest.mark.parametrize("hosting", ["serverless", "instance"])
def test_the_first_settings_are_right(hosting: str) -> None:
    """By both, and every one of them is explained."""
    document = settings_file.first(hosting=hosting, instance_type="ml.m5.large", context=512)
    before = copy.deepcopy(document)

    assert taken(document)
    assert accepted(document)
    explained = dict(settings_file.explained(document))
    assert "instance_type" in explained if hosting == "instance" else "memory_mb" in explained
    assert explained["inference.n_ctx"] == "context length in tokens"
    assert document == before


@pytest.mark.parametrize(
    ("context", "n_ctx"),
    [pytest.param(512, 512, id="short"), pytest.param(131072, 2048, id="long"), (None, 2048)],
)
def test_a_context_is_no_longer_than_the_models(context: int | None, n_ctx: int) -> None:
    """What is not asked for costs no memory."""
    assert settings_file.first(context=context)["inference"]["n_ctx"] == n_ctx


def test_a_base_model_is_asked_to_go_on() -> None:
    """In the form that suits it."""
    assert settings_file.first(form=questions.PROMPT)["smoke_test"]["prompts"] == [questions.BEGINNING]
    assert settings_file.first()["smoke_test"]["prompts"] == [questions.DEFAULT]
