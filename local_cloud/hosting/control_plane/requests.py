"""Does a control-plane request have the shape that the service model demands?

Owns the list of operations that are emulated and the check of types, required members, lengths, ranges,
patterns and enums, in AWS' words. Refuses to know what the members mean: that is `rules`.
"""

from __future__ import annotations

import re
from functools import cache
from typing import TYPE_CHECKING, Any

from botocore.loaders import Loader
from botocore.model import ListShape, MapShape, ServiceModel, StringShape, StructureShape

from local_cloud.hosting.platform import texts
from local_cloud.hosting.platform.refusals import (
    AwsError,
    invalid,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from botocore.model import Shape

OPERATIONS = (
    "AddTags",
    "CreateEndpoint",
    "CreateEndpointConfig",
    "CreateInferenceComponent",
    "CreateModel",
    "DeleteEndpoint",
    "DeleteEndpointConfig",
    "DeleteInferenceComponent",
    "DeleteModel",
    "DeleteTags",
    "DescribeEndpoint",
    "DescribeEndpointConfig",
    "DescribeInferenceComponent",
    "DescribeModel",
    "ListEndpointConfigs",
    "ListEndpoints",
    "ListInferenceComponents",
    "ListModels",
    "ListTags",
    "UpdateEndpoint",
    "UpdateEndpointWeightsAndCapacities",
    "UpdateInferenceComponent",
    "UpdateInferenceComponentRuntimeConfig",
)

_TYPES: dict[str, tuple[type, ...]] = {
    "structure": (dict,),
    "map": (dict,),
    "list": (list,),
    "string": (str,),
    "boolean": (bool,),
    "integer": (int,),
    "long": (int,),
    "float": (int, float),
    "double": (int, float),
    "timestamp": (int, float),
}

# Python has no \p{..}: \w is letters, digits and underscore; the separators are Unicode's category Z.
_CLASSES = {
    r"\p{L}": r"\w",
    r"\p{N}": r"\d",
    r"\p{Z}": " \u00a0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000",
}


@cache
def service() -> ServiceModel:
    """Return SageMaker's service model as the installed SDK has it."""
    return ServiceModel(Loader().load_service_model("sagemaker", "service-2"))


def check(operation: str, parameters: Mapping[str, Any]) -> None:
    """Raise what AWS raises for a request of the wrong shape; unknown members are ignored, as there."""
    shape = service().operation_model(operation).input_shape
    problems = list(_violations(shape, parameters, "")) if shape is not None else []
    if problems:
        raise invalid(texts.constraints(problems))


def pattern(text: str) -> re.Pattern[str]:
    """Return a pattern of the service model as Python's `re` understands it."""
    for theirs, ours in _CLASSES.items():
        text = text.replace(theirs, ours)
    return re.compile(text)


def _violations(shape: Shape, value: Any, path: str) -> Iterator[str]:
    if not isinstance(value, _TYPES[shape.type_name]) or (
        isinstance(value, bool) and shape.type_name != "boolean"
    ):
        raise AwsError(
            "SerializationException",
            f"{type(value).__name__} cannot be converted to {shape.name} at {path!r}",
        )
    yield from (texts.constraint(_shown(value), path, rule) for rule in _broken_rules(shape, value))
    content: Any = value
    if isinstance(shape, StructureShape):
        yield from _member_violations(shape, content, path)
    elif isinstance(shape, ListShape):
        yield from _item_violations(shape, content, path)
    elif isinstance(shape, MapShape):
        yield from _entry_violations(shape, content, path)


def _member_violations(shape: StructureShape, value: Mapping[str, Any], path: str) -> Iterator[str]:
    for name, member in shape.members.items():
        inner = f"{path}.{_camel(name)}" if path else _camel(name)
        found = value.get(name)
        if found is not None:
            yield from _violations(member, found, inner)
        elif name in shape.required_members:
            yield texts.constraint(None, inner, "Member must not be null")


def _item_violations(shape: ListShape, value: list[Any], path: str) -> Iterator[str]:
    for number, item in enumerate(value, 1):
        yield from _violations(shape.member, item, f"{path}.{number}.member")


def _entry_violations(shape: MapShape, value: Mapping[str, Any], path: str) -> Iterator[str]:
    for key, item in value.items():
        keys = list(_violations(shape.key, key, path))
        values = list(_violations(shape.value, item, path))
        # Coral names the map, not the entry, and puts the entry's rules in brackets.
        if keys:
            rules = ", ".join(_broken_rules(shape.key, key))
            yield texts.constraint(_shown(value), path, f"Map keys must satisfy constraint: [{rules}]")
        if values:
            rules = ", ".join(_broken_rules(shape.value, item))
            yield texts.constraint(_shown(value), path, f"Map value must satisfy constraint: [{rules}]")


def _broken_rules(shape: Shape, value: Any) -> Iterator[str]:
    rules = shape.metadata
    sized = isinstance(value, str | list | dict)
    measure = "length" if sized else "value"
    amount = len(value) if sized else value
    if "min" in rules and amount < rules["min"]:
        yield f"Member must have {measure} greater than or equal to {rules['min']}"
    if "max" in rules and amount > rules["max"]:
        yield f"Member must have {measure} less than or equal to {rules['max']}"
    if "pattern" in rules and not pattern(rules["pattern"]).fullmatch(value):
        yield f"Member must satisfy regular expression pattern: {rules['pattern']}"
    if isinstance(shape, StringShape) and shape.enum and value not in shape.enum:
        yield f"Member must satisfy enum value set: [{', '.join(shape.enum)}]"


def _shown(value: Any) -> str:
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key}={_shown(item)}" for key, item in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(_shown(item) for item in value) + "]"
    return str(value)


def _camel(name: str) -> str:
    return name[:1].lower() + name[1:]
