"""The parameter that names a service's endpoint, whatever deployment it is of: read, moved, and put back.

Each function may be called again after any failure. PutParameter has no condition but that nothing has the name yet, so
each write follows a reading, and the version that it makes tells whether somebody wrote in between; what was written
then is put back, and the reading begins anew. Refuses to decide whose turn it is (`release_store` does).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple

from botocore.exceptions import ClientError

from pipeline.aws import service_errors
from pipeline.aws.resource_tags import TAG_EXECUTION, TAG_SERVICE, TAG_SINCE, tag_value
from pipeline.errors import ConsumerMoved
from pipeline.state_data.switch_types import ParameterBefore

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pipeline.aws.clients import SSMClient

OURS: Final = (TAG_SERVICE, TAG_EXECUTION, TAG_SINCE)
"""The tags that change with the value; others are somebody's, and stay."""
_KIND: Final = {"ResourceType": "Parameter"}


class _Now(NamedTuple):
    value: str
    version: int


def tags(service: str, execution: str, since: str) -> dict[str, str]:
    """Return what the parameter's tags tell.

    Args:
        service: whose endpoint it names.
        execution: the one that deployed that endpoint; the stack is in it.
        since: when it was switched to; ISO 8601.
    """
    told = {TAG_SERVICE: service, TAG_EXECUTION: execution, TAG_SINCE: since}
    return {key: tag_value(value) for key, value in told.items()}


def value(client: SSMClient, name: str) -> str | None:
    """Return the endpoint that a parameter names; None when there is no parameter."""
    now = _now(client, name)
    return now.value if now else None


def read(client: SSMClient, name: str) -> ParameterBefore:
    """Return a parameter as it is: enough to put it back."""
    now = _now(client, name)
    return ParameterBefore(
        name=name, value=now.value if now else None, tags=_tags(client, name) if now else {}
    )


def point(client: SSMClient, before: ParameterBefore, endpoint: str, marked: Mapping[str, str]) -> None:
    """Let a parameter name an endpoint; make it where there was none.

    Args:
        client: of SSM.
        before: the parameter as it was read.
        endpoint: the one to name.
        marked: what its tags tell then.

    Raises:
        ConsumerMoved: when it is neither as it was read nor as it is to be; nothing is changed then.
    """
    now = _now(client, before.name)
    has = now.value if now else None
    if has not in (before.value, endpoint):
        raise _moved(before.name, has, before.value)
    if now is None:
        _create(client, before.name, endpoint, marked)
        return
    if now.value != endpoint:
        _overwrite(client, before.name, endpoint, now.version)
    _mark(client, before.name, marked)


def restore(client: SSMClient, before: ParameterBefore, endpoint: str) -> bool:
    """Put a parameter back as it was read; return False when it names what somebody else set meanwhile.

    Args:
        client: of SSM.
        before: as it was.
        endpoint: what it was made to name.
    """
    now = _now(client, before.name)
    has = now.value if now else None
    if has not in (before.value, endpoint):
        return False
    if now is None:
        return True
    try:
        if before.value is None:
            client.delete_parameter(Name=before.name)
            return True
        if now.value != before.value:
            _overwrite(client, before.name, before.value, now.version)
        _mark(client, before.name, before.tags)
    except ConsumerMoved:
        return False
    except ClientError as error:
        # Somebody deleted it a moment ago: then it is not ours any more.
        if not service_errors.is_missing_parameter(error):
            raise
        return before.value is None
    return True


def delete(client: SSMClient, name: str, endpoint: str) -> None:
    """Delete a parameter that names an endpoint; one that is gone is gone.

    Raises:
        ConsumerMoved: when it names another one by now.
    """
    has = value(client, name)
    if has is None:
        return
    if has != endpoint:
        raise _moved(name, has, endpoint)
    try:
        client.delete_parameter(Name=name)
    except ClientError as error:
        if not service_errors.is_missing_parameter(error):
            raise


def _now(client: SSMClient, name: str) -> _Now | None:
    try:
        found = client.get_parameter(Name=name)["Parameter"]
    except ClientError as error:
        if service_errors.is_missing_parameter(error):
            return None
        raise
    return _Now(str(found["Value"]), int(found["Version"]))


def _tags(client: SSMClient, name: str) -> dict[str, str]:
    try:
        found = client.list_tags_for_resource(ResourceId=name, **_KIND)["TagList"]
    except ClientError as error:
        if service_errors.is_missing_parameter(error):
            return {}
        raise
    return {tag["Key"]: tag["Value"] for tag in found if tag["Key"] in OURS}


def _create(client: SSMClient, name: str, endpoint: str, marked: Mapping[str, str]) -> None:
    try:
        client.put_parameter(
            Name=name,
            Value=endpoint,
            Type="String",
            Description="The endpoint that serves; Sealift sets it at each deployment and rollback.",
            Tags=_pairs(marked),
        )
    except ClientError as error:
        if service_errors.code(error) != "ParameterAlreadyExists":
            raise
        raise _moved(name, "there", None) from error


def _overwrite(client: SSMClient, name: str, wanted: str, version: int) -> None:
    """Write over what was read; put back what came in between, and say so."""
    made = int(client.put_parameter(Name=name, Value=wanted, Type="String", Overwrite=True)["Version"])
    if made == version + 1 or made == 1:
        return
    between = _now(client, f"{name}:{made - 1}")
    if between is None or between.value == wanted:
        return
    client.put_parameter(Name=name, Value=between.value, Type="String", Overwrite=True)
    raise _moved(name, between.value, wanted)


def _mark(client: SSMClient, name: str, marked: Mapping[str, str]) -> None:
    if marked:
        client.add_tags_to_resource(ResourceId=name, Tags=_pairs(marked), **_KIND)
    if gone := [key for key in OURS if key not in marked]:
        client.remove_tags_from_resource(ResourceId=name, TagKeys=gone, **_KIND)


def _pairs(marked: Mapping[str, str]) -> list[dict[str, Any]]:
    return [{"Key": key, "Value": text} for key, text in marked.items()]


def _moved(name: str, has: str | None, was: str | None) -> ConsumerMoved:
    return ConsumerMoved(
        f"parameter {name} is {has!r} and was {was!r} when it was read; wanted nobody else to change it during the "
        "switch; it is read again"
    )
