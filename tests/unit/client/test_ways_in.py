"""How a service is asked, in short: what can be typed and pasted as it stands, wherever the service is."""

from __future__ import annotations

import ast
import json
import shlex

import pytest

from pipeline.client import ways_in
from pipeline.client.ways_in import WaysIn
from pipeline.gguf import questions


def ways(form: str = questions.MESSAGES, **more: object) -> WaysIn:
    """Return the ways into a service."""
    given: dict[str, object] = {
        "region": "eu-west-1",
        "runtime": ways_in.aws_runtime("eu-west-1"),
        "streams": True,
        "stack": None,
        **more,
    }
    return ways_in.of("harbor", "harbor-1", form, **given)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("more", "options"),
    [
        pytest.param({}, [], id="any stack"),
        pytest.param({"stack": "sealift"}, [], id="the usual stack"),
        pytest.param({"stack": "pier"}, ["--stack", "pier"], id="another stack"),
        pytest.param({"elsewhere": True}, ["--region", "eu-west-1"], id="for somebody elsewhere"),
        pytest.param(
            {"elsewhere": True, "stack": "pier"},
            ["--region", "eu-west-1", "--stack", "pier"],
            id="both",
        ),
    ],
)
def test_the_commands_name_what_is_not_usual(more: dict[str, object], options: list[str]) -> None:
    """So that they mean the same service wherever they are typed."""
    made = ways(**more)

    assert shlex.split(made.ask) == ["sealift", "ask", "harbor", ways_in.QUESTION, *options]
    assert shlex.split(made.connect) == ["sealift", "connect", "harbor", *options]


@pytest.mark.parametrize("form", questions.FORMS)
def test_the_statement_sends_a_request_of_the_models_form(form: str) -> None:
    """Python parses it; the body is JSON. A reranker has no command that asks it."""
    made = ways(form)
    call = ast.parse(made.boto3, mode="eval")
    (body,) = (one.value for one in ast.walk(call) if isinstance(one, ast.keyword) and one.arg == "Body")

    assert isinstance(body, ast.Constant)
    assert form in json.loads(str(body.value))
    assert bool(made.ask) is (form != questions.QUERY)
    assert [one.partition(":")[0] for one in made.lines()] == [
        *(["ask it"] if made.ask else []),
        "endpoint",
        "boto3",
    ]


@pytest.mark.parametrize(
    ("form", "streams", "end"),
    [
        (questions.MESSAGES, True, "openai/v1"),
        (questions.MESSAGES, False, "invocations"),
        (questions.PROMPT, True, "invocations"),
    ],
)
def test_the_openai_route_is_named_where_it_is(form: str, streams: bool, end: str) -> None:
    """For chats, on instances."""
    url = ways(form, streams=streams).url

    assert url == f"https://runtime.sagemaker.eu-west-1.amazonaws.com/endpoints/harbor-1/{end}"


@pytest.mark.parametrize(
    ("region", "host"),
    [
        ("eu-west-1", "runtime.sagemaker.eu-west-1.amazonaws.com"),
        ("us-gov-west-1", "runtime.sagemaker.us-gov-west-1.amazonaws.com"),
        ("cn-north-1", "runtime.sagemaker.cn-north-1.amazonaws.com.cn"),
    ],
)
def test_the_runtime_has_its_regions_url(region: str, host: str) -> None:
    """China's has a domain of its own."""
    assert ways_in.aws_runtime(region) == f"https://{host}"


@pytest.mark.parametrize("name", ["", 'a"b', "a b", "a$(b)", "a\nb", "a'b", "ä"])
def test_what_is_no_name_gets_into_no_code(name: str) -> None:
    """Whatever wrote it."""
    with pytest.raises(ValueError, match="is no name"):
        ways_in.must_be_names("harbor", name)


def test_a_stack_that_is_none_gets_into_no_command() -> None:
    """Nor a region."""
    for wrong in ({"stack": "a b"}, {"region": "a b"}):
        with pytest.raises(ValueError, match="is no name"):
            ways(**wrong)
