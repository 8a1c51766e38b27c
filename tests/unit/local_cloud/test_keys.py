"""A customer's own key on a function: who sees its variables, and what writing them takes."""

from __future__ import annotations

import json
from typing import Any

import pytest

from local_cloud.calls import AwsCall
from local_cloud.faults import Response
from local_cloud.iam import keys
from local_cloud.iam.authorizations import NeededPermission
from local_cloud.iam.policies import PolicyRequest

KEY = "arn:aws:kms:us-east-1:123456789012:key/1"
ARN = "arn:aws:lambda:us-east-1:123456789012:function:assistant"
CONTEXT = (
    ("kms:ViaService", ("lambda.us-east-1.amazonaws.com",)),
    ("kms:EncryptionContext:aws:lambda:FunctionArn", (ARN,)),
)


def configuration(key: str | None = KEY, arn: str = ARN) -> dict[str, Any]:
    """Return a function's configuration."""
    return {
        "FunctionName": "assistant",
        "FunctionArn": arn,
        "KMSKeyArn": key,
        "Environment": {"Variables": {"OWNER": "me"}},
    }


def answered(document: dict[str, Any], status: int = 200) -> Response:
    """Return Lambda's answer."""
    return Response(status, {}, json.dumps(document).encode())


def denied(_request: PolicyRequest) -> str:
    """Refuse everything."""
    return "User: x is not authorized to perform: kms:Decrypt"


@pytest.mark.parametrize(
    ("document", "path"),
    [
        pytest.param(configuration(), (), id="GetFunctionConfiguration"),
        pytest.param({"Configuration": configuration()}, ("Configuration",), id="GetFunction"),
        pytest.param({"Versions": [configuration(arn=f"{ARN}:1")]}, ("Versions", 0), id="versions"),
    ],
)
def test_who_may_not_use_the_key_sees_no_variables(document: dict[str, Any], path: tuple[Any, ...]) -> None:
    """Wherever a configuration stands in an answer; the error is in their place."""
    found = json.loads(keys.hidden(answered(document), denied).body)
    for part in path:
        found = found[part]

    assert set(found["Environment"]) == {"Error"}
    assert found["Environment"]["Error"]["ErrorCode"] == "AccessDeniedException"
    assert "kms:Decrypt" in found["Environment"]["Error"]["Message"]


def test_who_may_use_the_key_sees_them() -> None:
    """The function itself stands in the context, also where a version is read."""
    seen: list[PolicyRequest] = []

    def allowed(request: PolicyRequest) -> str:
        seen.append(request)
        return ""

    response = answered(configuration(arn=f"{ARN}:7"))

    assert json.loads(keys.hidden(response, allowed).body) == json.loads(response.body)
    assert seen == [PolicyRequest("kms:Decrypt", KEY, CONTEXT)]


@pytest.mark.parametrize(
    "response",
    [
        pytest.param(answered(configuration(key=None)), id="no key of its own"),
        pytest.param(answered({**configuration(), "Environment": {}}), id="no variables"),
        pytest.param(answered({"Message": f"KMSKeyArn {KEY}"}, 400), id="a refusal"),
    ],
)
def test_where_nothing_is_encrypted_nothing_is_hidden(response: Response) -> None:
    """Nobody asks for a key there."""
    assert json.loads(keys.hidden(response, denied).body) == json.loads(response.body)


@pytest.mark.parametrize(
    ("operation", "body", "key", "actions"),
    [
        pytest.param(
            "UpdateFunctionConfiguration",
            {"Environment": {"Variables": {}}},
            KEY,
            ["kms:Encrypt", "kms:CreateGrant"],
            id="variables of a function with a key",
        ),
        pytest.param(
            "UpdateFunctionConfiguration",
            {"KMSKeyArn": KEY},
            None,
            ["kms:Encrypt", "kms:CreateGrant"],
            id="a key",
        ),
        pytest.param(
            "UpdateFunctionConfiguration", {"Environment": {"Variables": {}}}, None, [], id="without a key"
        ),
        pytest.param("UpdateFunctionConfiguration", {"Timeout": 3}, KEY, [], id="no variables"),
        pytest.param("PublishVersion", {}, KEY, [], id="another operation"),
    ],
)
def test_writing_variables_takes_the_key(
    operation: str, body: dict[str, Any], key: str | None, actions: list[str]
) -> None:
    """To encrypt them, and to let the function's own role decrypt them."""
    call = AwsCall("lambda", operation, "us-east-1", "key")
    path = "/2015-03-31/functions/assistant/configuration"
    asked = NeededPermission(call, "123456789012", path, body=json.dumps(body).encode())

    found = list(keys.to_write(asked, lambda name: key if name == "assistant" else None))

    assert found == [PolicyRequest(action, KEY, CONTEXT) for action in actions]
