"""Code to paste: of each endpoint what can ask it, with its names and no placeholder left."""

from __future__ import annotations

import ast

import pytest

from pipeline.client import snippets
from pipeline.client.endpoint import ServiceEndpoint
from pipeline.gguf import questions

AWS = "https://runtime.sagemaker.eu-west-1.amazonaws.com"
LOCAL = "http://127.0.0.1:5055"


@pytest.mark.parametrize("runtime", [AWS, LOCAL])
@pytest.mark.parametrize("streams", [False, True])
@pytest.mark.parametrize("form", questions.FORMS)
def test_each_piece_is_whole(form: str, streams: bool, runtime: str) -> None:
    """Python parses, and names are filled in; a URL is told only where the SDKs would not find it."""
    endpoint = ServiceEndpoint("harbor", "harbor-1", streams, form, parameter="/sealift/s/harbor/endpoint")

    found = {one.name: one for one in snippets.of(endpoint, "eu-west-1", runtime)}

    chats = {"openai", "langchain", "litellm"} if form == questions.MESSAGES else set()
    by_proxy = {"openai-proxy"} if form != questions.QUERY else set()
    assert set(found) == {"boto3", "parameter", "curl", "lambda"} | chats | by_proxy
    by_itself = {"parameter": "/sealift/s/harbor/endpoint", "openai-proxy": "harbor"}
    for one in found.values():
        assert by_itself.get(one.name, "harbor-1") in one.code
        assert ("harbor-1" in one.code) is (one.name not in by_itself)
        if one.language == "python":
            ast.parse(one.code)
            assert "$" not in one.code
    for name in ("boto3", "parameter"):
        assert ("endpoint_url=" in found[name].code) is (runtime == LOCAL)
    if chats:
        assert ("/openai/v1" in found["openai"].code) is streams
        assert ("/openai/v1" in found["langchain"].code) is streams
        assert ("sagemaker_base_url" in found["litellm"].code) is (runtime == LOCAL)


@pytest.mark.parametrize(
    ("store", "told"),
    [
        pytest.param(None, False, id="nobody says"),
        pytest.param("https://ssm.eu-west-1.amazonaws.com", False, id="AWS's own"),
        pytest.param(LOCAL, True, id="another"),
    ],
)
def test_each_service_of_aws_is_told_its_own_url(store: str | None, told: bool) -> None:
    """A private endpoint of SageMaker's runtime knows no parameters."""
    endpoint = ServiceEndpoint("harbor", "harbor-1", streams=False, parameter="/sealift/s/harbor/endpoint")
    private = "https://vpce-1.runtime.sagemaker.eu-west-1.vpce.amazonaws.com"

    found = {one.name: one.code for one in snippets.of(endpoint, "eu-west-1", private, store=store)}

    ssm, runtime = (line for line in found["parameter"].splitlines() if "boto3.client" in line)
    assert f'endpoint_url="{private}"' in runtime
    assert private not in ssm
    assert (f'endpoint_url="{LOCAL}"' in ssm) is told


@pytest.mark.parametrize("component", [False, True])
def test_each_piece_names_the_component_where_there_is_one(component: bool) -> None:
    """In the SDK's word or in HTTP's header; `sealift proxy` finds it by itself."""
    endpoint = ServiceEndpoint(
        "harbor", "harbor-1", streams=True, component=component, parameter="/sealift/s/harbor/endpoint"
    )

    for one in snippets.of(endpoint, "eu-west-1", AWS):
        if one.language == "python":
            ast.parse(one.code)
        named = any(
            word in one.code
            for word in ("InferenceComponentName=", "Inference-Component", "INFERENCE_COMPONENT_NAME")
        )
        assert named is (component and one.name != "openai-proxy"), one.name


def test_a_name_that_is_none_is_refused() -> None:
    """What a report reads may have been written by anybody."""
    with pytest.raises(ValueError, match="is no name"):
        snippets.of(ServiceEndpoint("harbor", 'x"); evil("', streams=False), "eu-west-1", AWS)
