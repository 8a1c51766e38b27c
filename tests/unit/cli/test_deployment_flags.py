"""What the command line's options say of a deployment, in both directions: one table, and the file's own names."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

import click
import pytest

from pipeline import schema
from pipeline.cli import deployment_flags, options, program
from pipeline.errors import Problem
from pipeline.planning import deployment_request
from pipeline.planning.request_fields import DEPLOYMENT_JSON

PUSH = ("push", "m.gguf", "--service", "s")
SAID: list[tuple[list[str], dict[str, Any]]] = [
    (["--prompt", "a", "--prompt", "b"], {"smoke_test": {"prompts": ["a", "b"]}}),
    (["--expect", "a"], {"smoke_test": {"expect": {"contains": "a"}}}),
    (["--hosting", "auto"], {"hosting": "auto"}),
    (["--memory", "2048"], {"memory_mb": 2048}),
    (["--memory-mb", "2048"], {"memory_mb": 2048}),
    (["--max-concurrency", "2"], {"max_concurrency": 2}),
    (["--instance-type", "ml.m5.large"], {"instance_type": "ml.m5.large"}),
    (["--prefer", "fastest"], {"prefer": "fastest"}),
    (["--min-tokens-per-s", "10"], {"min_tokens_per_s": 10}),
    (["--answer-within-s", "20"], {"answer_within_s": 20}),
    (["--allow-instances"], {"allow_instances": True}),
    (["--no-allow-instances"], {"allow_instances": False}),
    (["--container", "custom"], {"container": "custom"}),
    (["--artifact", "image"], {"artifact": "image"}),
    (["--n-ctx", "512"], {"inference": {"n_ctx": 512}}),
    (["--expires-after-h", "8"], {"expires_after_h": 8}),
]


@pytest.mark.parametrize(
    ("words", "settings"), SAID, ids=lambda one: " ".join(one) if isinstance(one, list) else ""
)
@pytest.mark.parametrize(
    "command", [PUSH, ("plan", "m.gguf"), ("local", "run", "m.tar.gz")], ids=lambda one: one[0]
)
def test_an_option_is_the_field_of_its_name(
    command: tuple[str, ...], words: list[str], settings: dict[str, Any]
) -> None:
    """The same for every command that has them, and a field that the file may have."""
    said = deployment_flags.said(program.read([*command, *words]).options)

    assert said == settings
    assert deployment_request.mistakes(said, "flags") == []


def test_every_option_is_tried_above() -> None:
    """One that is added is added there."""
    tried = {words[0] for words, _ in SAID}
    assert tried >= set(deployment_flags.FLAGS.values())


def test_nothing_is_said_unless_it_is_given() -> None:
    """Defaults are the request's."""
    assert deployment_flags.said(program.read(PUSH).options) == {}


def _at(path: str) -> schema.Check:
    check: schema.Check = DEPLOYMENT_JSON
    for name in path.split("."):
        assert isinstance(check, schema.Object)
        check = check.fields[name].check
    return check


KINDS = {schema.Integer: click.types.IntParamType, schema.OneOf: click.Choice}


@pytest.mark.parametrize("path", list(deployment_flags.FLAGS))
def test_an_options_type_is_its_fields(path: str) -> None:
    """A number is one, and a choice has the very words."""
    check = _at(path)
    field = next(one for one in fields(options.DeploymentOptions) if one.metadata[options.SETS] == path)
    (parameter,) = field.metadata["make"](field.name)

    assert isinstance(parameter.type, KINDS.get(type(check), click.ParamType))
    if isinstance(check, schema.OneOf):
        assert set(parameter.type.choices) == set(check.values)
    assert parameter.is_flag == isinstance(check, schema.Boolean)
    assert parameter.multiple == isinstance(check, schema.ListOf)


def test_an_option_wins_and_the_rest_stays() -> None:
    """Field by field; without options the file's document is as it was."""
    settings = {"memory_mb": 1024, "inference": {"n_ctx": 256, "top_p": 0.5}, "consumer": None}

    assert deployment_flags.over({}, settings) == settings
    assert deployment_flags.over({"inference": {"n_ctx": 512}}, settings) == {
        "memory_mb": 1024,
        "inference": {"n_ctx": 512, "top_p": 0.5},
        # None at all, also of the stack's: it may not get lost.
        "consumer": [],
    }


@pytest.mark.parametrize(
    ("flags", "settings", "told"),
    [
        ({"memory_mb": 2048}, {"memory_mb": 1024}, ["--memory wins over memory_mb = 1024 of a.json"]),
        ({"memory_mb": 2048}, {"memory_mb": 2048}, []),
        ({"memory_mb": 2048}, {"memory_mb": None}, []),
        ({"memory_mb": 2048}, {}, []),
        ({}, {"memory_mb": 1024}, []),
        (
            {"allow_instances": False},
            {"allow_instances": True},
            ["--allow-instances wins over allow_instances = True of a.json"],
        ),
        (
            {"inference": {"n_ctx": 512}},
            {"inference": {"n_ctx": 256}},
            ["--n-ctx wins over inference.n_ctx = 256 of a.json"],
        ),
        ({"inference": {"n_ctx": 512}}, {"inference": 3}, []),
    ],
)
def test_what_an_option_overrules_is_told(
    flags: dict[str, Any], settings: dict[str, Any], told: list[str]
) -> None:
    """Only where both say something, and not the same."""
    assert list(deployment_flags.overruled(flags, settings, "a.json")) == told


def test_only_problems_of_the_command_line_are_told_by_its_options() -> None:
    """Whoever wrote a file finds the field's name in it."""
    problem = Problem("WrongValue", "memory_mb is 1, 'inference.n_ctx' is 2", "more", "change 'memory_mb'")

    told = deployment_flags.by_flag(Problem(*_parts(problem), "command line"))
    assert (told.seen, told.fix) == ("--memory is 1, --n-ctx is 2", "change --memory")
    assert deployment_flags.by_flag(Problem(*_parts(problem), "a.json")).seen == problem.seen


def _parts(problem: Problem) -> tuple[str, str, str, str]:
    return problem.error, problem.seen, problem.wanted, problem.fix
