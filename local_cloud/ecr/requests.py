"""Does a request of ECR's have the shape that the service model demands?

Owns the check of types, required members, lengths, ranges, patterns and enums. Refuses to know what members mean, and
to look at blobs, which are decoded first (`service`).
"""

from __future__ import annotations

import json
import re
from functools import cache
from typing import TYPE_CHECKING, Any

from botocore.model import ListShape, StringShape, StructureShape

from local_cloud.calls import service_model
from local_cloud.ecr import texts
from local_cloud.ecr.refusals import EcrRefused, invalid

if TYPE_CHECKING:
    from collections.abc import Iterator

    from botocore.model import Shape

_TYPES: dict[str, tuple[type, ...]] = {
    "structure": (dict,),
    "map": (dict,),
    "list": (list,),
    "string": (str,),
    "blob": (str,),
    "boolean": (bool,),
    "integer": (int,),
    "long": (int,),
    "timestamp": (int, float, str),
}


def read(operation: str, body: bytes) -> dict[str, Any]:
    """Return the parameters of a request.

    Raises:
        EcrRefused: SerializationException for what is no JSON object, InvalidParameterException for what the service
            model does not allow. Unknown members are left alone, as AWS does.
    """
    try:
        parameters = json.loads(body or b"{}")
    except ValueError as error:
        raise EcrRefused("SerializationException", f"the body is not JSON: {error}") from error
    if not isinstance(parameters, dict):
        raise EcrRefused("SerializationException", "the body is not a JSON object")
    given = {name: value for name, value in parameters.items() if value is not None}
    shape = service_model("ecr").operation_model(operation).input_shape
    for parameter, rule in _violations(shape, given, "") if shape is not None else ():
        raise invalid(texts.constraint(parameter, rule))
    return given


def _violations(shape: Shape, value: Any, path: str) -> Iterator[tuple[str, str]]:
    wrong_bool = isinstance(value, bool) and shape.type_name != "boolean"
    if wrong_bool or not isinstance(value, _TYPES[shape.type_name]):
        raise EcrRefused("SerializationException", f"{type(value).__name__} is no {shape.name} at {path!r}")
    if shape.type_name != "blob":
        yield from ((path, rule) for rule in _broken(shape, value))
    content: Any = value
    if isinstance(shape, StructureShape):
        for name, member in shape.members.items():
            inner = f"{path}.{name}" if path else name
            found = content.get(name)
            if found is not None:
                yield from _violations(member, found, inner)
            elif name in shape.required_members:
                yield inner, "Member must not be null"
    elif isinstance(shape, ListShape):
        for number, item in enumerate(content, 1):
            yield from _violations(shape.member, item, f"{path}.{number}.member")


def _broken(shape: Shape, value: Any) -> Iterator[str]:
    rules = shape.metadata
    sized = isinstance(value, str | list | dict)
    measure, amount = ("length", len(value)) if sized else ("value", value)
    if "min" in rules and amount < rules["min"]:
        yield f"Member must have {measure} greater than or equal to {rules['min']}"
    if "max" in rules and amount > rules["max"]:
        yield f"Member must have {measure} less than or equal to {rules['max']}"
    if "pattern" in rules and not _pattern(rules["pattern"]).fullmatch(value):
        yield f"must satisfy regular expression '{rules['pattern']}'"
    if isinstance(shape, StringShape) and shape.enum and value not in shape.enum:
        yield f"Member must satisfy enum value set: [{', '.join(shape.enum)}]"


@cache
def _pattern(text: str) -> re.Pattern[str]:
    # In Python a hyphen between two ranges needs to be escaped.
    return re.compile(text.replace("0-9-_", r"0-9\-_"))
