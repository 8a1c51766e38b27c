"""What the SDK at hand knows, by its service model."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from botocore.model import ServiceModel

from pipeline.aws import sdk_models


def client(members: dict[str, Any]) -> Any:
    """Return a client of an SDK whose one operation takes these parameters."""
    model = ServiceModel(
        {
            "metadata": {"protocol": "json"},
            "operations": {
                "Make": {"name": "Make", "http": {}, "input": {"shape": "Input"}},
                "Look": {"name": "Look", "http": {}},
            },
            "shapes": {
                "Input": {"type": "structure", "members": members},
                "Config": {"type": "structure", "members": {"Detailed": {"shape": "Flag"}}},
                "Flag": {"type": "boolean"},
                "Configs": {"type": "list", "member": {"shape": "Config"}},
            },
        }
    )
    return SimpleNamespace(meta=SimpleNamespace(service_model=model))


@pytest.mark.parametrize(
    ("path", "known"),
    [
        pytest.param(["Config"], True, id="a parameter"),
        pytest.param(["Config", "Detailed"], True, id="a member of it"),
        pytest.param(["Other"], False, id="none of that name"),
        pytest.param(["Config", "Enhanced"], False, id="no member of that name"),
        pytest.param(["Config", "Detailed", "Deeper"], False, id="no structure"),
    ],
)
def test_a_parameter_is_known_or_not(path: list[str], known: bool) -> None:
    """Down to the member, since an SDK may know the parameter and be older than a part of it."""
    assert sdk_models.takes(client({"Config": {"shape": "Config"}}), "Make", *path) is known


@pytest.mark.parametrize(("name", "known"), [("Detailed", True), ("Enhanced", False)])
def test_a_list_is_looked_into(name: str, known: bool) -> None:
    """What is in it has members of its own."""
    made = client({"Configs": {"shape": "Configs"}})

    assert sdk_models.takes(made, "Make", "Configs", sdk_models.ANY, name) is known


def test_an_operation_without_parameters_takes_none() -> None:
    """Its model has no input at all."""
    assert not sdk_models.takes(client({}), "Look", "Config")
