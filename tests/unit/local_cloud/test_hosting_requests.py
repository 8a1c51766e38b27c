"""The shape of control-plane requests, against the service model."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from local_cloud.hosting import AwsError
from local_cloud.hosting.control_plane.requests import (
    OPERATIONS,
    check,
    pattern,
    service,
)

NAME_PATTERN = "[a-zA-Z0-9]([\\-a-zA-Z0-9]*[a-zA-Z0-9])?"


def refusal(operation: str, parameters: dict[str, Any]) -> AwsError:
    """Return the refusal of a request."""
    with pytest.raises(AwsError) as caught:
        check(operation, parameters)
    return caught.value


def config(**serverless: Any) -> dict[str, Any]:
    """Return a CreateEndpointConfig request with one variant."""
    return {
        "EndpointConfigName": "c",
        "ProductionVariants": [{"VariantName": "v", "ModelName": "m", "ServerlessConfig": serverless}],
    }


@pytest.mark.parametrize("operation", OPERATIONS)
def test_every_operation_exists_in_the_service_model(operation: str) -> None:
    """An operation that is emulated is one that AWS has."""
    assert operation in service().operation_names


@pytest.mark.parametrize(
    ("operation", "parameters", "message"),
    [
        pytest.param(
            "DescribeEndpoint",
            {},
            "1 validation error detected: Value null at 'endpointName' failed to satisfy constraint: "
            "Member must not be null",
            id="missing member",
        ),
        pytest.param(
            "CreateModel",
            {"ModelName": "gemma-3.1"},
            "1 validation error detected: Value 'gemma-3.1' at 'modelName' failed to satisfy constraint: "
            f"Member must satisfy regular expression pattern: {NAME_PATTERN}",
            id="dot in a name",
        ),
        pytest.param(
            "CreateModel",
            {"ModelName": "m" * 64},
            f"1 validation error detected: Value '{'m' * 64}' at 'modelName' failed to satisfy constraint: "
            "Member must have length less than or equal to 63",
            id="name too long",
        ),
        pytest.param(
            "CreateEndpointConfig",
            config(MemorySizeInMB=512, MaxConcurrency=201),
            "2 validation errors detected: Value '512' at "
            "'productionVariants.1.member.serverlessConfig.memorySizeInMB' failed to satisfy constraint: "
            "Member must have value greater than or equal to 1024; Value '201' at "
            "'productionVariants.1.member.serverlessConfig.maxConcurrency' failed to satisfy constraint: "
            "Member must have value less than or equal to 200",
            id="two numbers out of range",
        ),
        pytest.param(
            "CreateEndpointConfig",
            {"EndpointConfigName": "c", "ProductionVariants": []},
            "1 validation error detected: Value '[]' at 'productionVariants' failed to satisfy constraint: "
            "Member must have length greater than or equal to 1",
            id="empty list",
        ),
        pytest.param(
            "ListEndpoints",
            {"SortOrder": "Sideways"},
            "1 validation error detected: Value 'Sideways' at 'sortOrder' failed to satisfy constraint: "
            "Member must satisfy enum value set: [Ascending, Descending]",
            id="enum",
        ),
        pytest.param(
            "CreateModel",
            {"ModelName": "m", "PrimaryContainer": {"Environment": {"1A": "x"}}},
            "1 validation error detected: Value '{1A=x}' at 'primaryContainer.environment' failed to satisfy "
            "constraint: Map keys must satisfy constraint: "
            "[Member must satisfy regular expression pattern: [a-zA-Z_][a-zA-Z0-9_]*]",
            id="map key",
        ),
    ],
)
def test_a_violated_constraint_is_named_as_aws_names_it(
    operation: str, parameters: dict[str, Any], message: str
) -> None:
    """Value, path and rule stand in the message, and all violations are counted."""
    error = refusal(operation, parameters)

    assert (error.code, error.status, error.message) == ("ValidationException", 400, message)


@pytest.mark.parametrize(
    ("operation", "parameters"),
    [
        pytest.param("DescribeEndpoint", {"EndpointName": 7}, id="number for a string"),
        pytest.param("CreateEndpointConfig", config(MemorySizeInMB="1024", MaxConcurrency=1), id="string"),
        pytest.param("CreateEndpointConfig", config(MemorySizeInMB=True, MaxConcurrency=1), id="boolean"),
        pytest.param("CreateEndpointConfig", {"EndpointConfigName": "c", "ProductionVariants": {}}, id="map"),
        pytest.param("CreateModel", {"ModelName": "m", "PrimaryContainer": []}, id="list"),
    ],
)
def test_a_wrong_type_is_a_serialization_error(operation: str, parameters: dict[str, Any]) -> None:
    """A value of another JSON type is not a violated constraint, but a body that cannot be read."""
    assert refusal(operation, parameters).code == "SerializationException"


def test_unknown_members_are_ignored() -> None:
    """AWS ignores members that its model does not have."""
    check("DescribeEndpoint", {"EndpointName": "e", "Colour": "blue"})


@given(st.from_regex(NAME_PATTERN, fullmatch=True).filter(lambda name: len(name) <= 63))
def test_every_name_of_the_documented_form_passes(name: str) -> None:
    """The pattern is applied to the whole name, and refuses nothing that it matches."""
    check("CreateModel", {"ModelName": name})


@pytest.mark.parametrize(
    ("text", "accepted"),
    [
        pytest.param("sealift:execution/2026-01-01 10.00+00@x=_", True, id="every kind of character"),
        pytest.param("Größe 1", True, id="letters of other scripts"),
        pytest.param("a\tb", False, id="control character"),
        pytest.param("a#b", False, id="punctuation"),
    ],
)
def test_tag_keys_follow_unicode_classes(text: str, accepted: bool) -> None:
    r"""The model's \p{L}, \p{Z} and \p{N} are understood."""
    matched = pattern(r"([\p{L}\p{Z}\p{N}_.:/=+\-@]*)").fullmatch(text)

    assert (matched is not None) == accepted
