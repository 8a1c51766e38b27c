"""The parameters of Systems Manager: what AWS refuses of them that moto takes.

Pure but for `kind`, which tells the type of a parameter that is there. moto keeps the parameters themselves, their
versions and tags.

Source: PutParameter and AddTagsToResource of the API reference
(https://docs.aws.amazon.com/systems-manager/latest/APIReference/API_PutParameter.html) for the rules and the error
names; the messages are assumed where it has none.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any, Final

from moto.ssm.models import ssm_backends

from local_cloud.faults import Response, render

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from local_cloud.calls import AwsCall

MOST_LEVELS: Final = 15
MOST_NAME: Final = 1011
"""Characters of a name with the ARN before it."""
MOST_VALUE: Final = 4096
"""Of the standard tier."""
MOST_TAGS: Final = 50

_NAME: Final = re.compile(r"[a-zA-Z0-9_.-]+|(/[a-zA-Z0-9_.-]+)+")
_WRONG_NAME: Final = (
    'Parameter name: can\'t be prefixed with "ssm" (case-insensitive). If formed as a path, it can consist of '
    "sub-paths divided by slash symbol; each sub-path can be formed as a mix of letters, numbers and the "
    "following 3 symbols .-_"
)
_TAG: Final = re.compile(r"[\w\s.:/=+@-]*")
"""Characters of a tag's key and value (service model)."""


def kind(account_id: str, region: str) -> Callable[[str], str | None]:
    """Return what tells the type of a parameter by its name; None for one that is not there."""

    def of(name: str) -> str | None:
        found = ssm_backends[account_id][region].get_parameter(name)
        return str(found.parameter_type) if found is not None else None

    return of


def refuse(call: AwsCall, body: bytes, type_of: Callable[[str], str | None]) -> Response | None:
    """Return AWS's refusal of a call, None for one that moto may answer.

    Args:
        call: of SSM.
        body: its parameters.
        type_of: tells the type of a parameter that is there.
    """
    if call.operation not in {"PutParameter", "AddTagsToResource"}:
        return None
    given: dict[str, Any] = json.loads(body or b"{}")
    refusal = _refused_tags(given) or (_refused(given, call.region, type_of) if "Name" in given else None)
    return render(call, *refusal) if refusal else None


def _refused(
    given: Mapping[str, Any], region: str, type_of: Callable[[str], str | None]
) -> tuple[str, str] | None:
    name, value = str(given["Name"]).strip(), str(given.get("Value", ""))
    there = type_of(name)
    if not _NAME.fullmatch(name) or len(f"arn:aws:ssm:{region}:{'0' * 12}:parameter{name}") > MOST_NAME:
        return "ValidationException", _WRONG_NAME
    if name.count("/") > MOST_LEVELS:
        most = f"Parameter name must have a hierarchy of at most {MOST_LEVELS} levels."
        return "HierarchyLevelLimitExceededException", most
    if there is None and not given.get("Type"):
        return "ValidationException", "A parameter type is required when you create a parameter."
    if there is not None and given.get("Overwrite") and given.get("Type", there) != there:
        told = "Parameter Store does not support changing a parameter type in a hierarchy."
        return "HierarchyTypeMismatchException", told
    if len(value.encode()) > MOST_VALUE and given.get("Tier", "Standard") == "Standard":
        told = f"Standard tier parameters support a maximum parameter value of {MOST_VALUE} characters."
        return "ValidationException", told
    if "{{" in value:
        return "ValidationException", "Parameter value: references to other parameters are not supported."
    return None


def _refused_tags(given: Mapping[str, Any]) -> tuple[str, str] | None:
    tags = given.get("Tags") or []
    if len(tags) > MOST_TAGS:
        return "TooManyTagsError", ""
    for tag in tags:
        key, value = str(tag["Key"]), str(tag["Value"])
        good = 1 <= len(key) <= 128 and len(value) <= 256 and _TAG.fullmatch(key) and _TAG.fullmatch(value)
        if not good or key.startswith("aws:"):
            return "ValidationException", f"The tag {key!r} is not valid."
    return None
