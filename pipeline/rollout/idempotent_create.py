"""Creating a SageMaker resource so that doing it twice is doing it once.

SageMaker's creates have no client token. Names are derived from content, so "already existing" means either
that this very call took effect before (a retry), or that an earlier execution asked for the same: success
both times, provided that what exists is what was requested.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypedDict

from botocore.exceptions import ClientError

from pipeline.aws import service_errors
from pipeline.errors import NameConflict, NotYetVisible, Problem

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping


class Created(TypedDict):
    """What was created, as a task's result."""

    name: str
    arn: str
    created: bool
    """Whether this execution's call made it; False when it was there already, just as requested."""


def create(
    make: Callable[..., Any],
    describe: Callable[..., Any],
    request: Mapping[str, Any],
    *,
    name_field: str,
    compared: tuple[str, ...],
    alike: Callable[[Any, Any], bool] | None = None,
) -> tuple[Mapping[str, Any], bool]:
    """Create what `request` asks for, or find that it exists already.

    Args:
        make: the client's create method.
        describe: the client's describe method, taking the name alone.
        request: the parameters of `make`.
        name_field: the parameter that holds the name.
        compared: the fields in which an existing resource must equal the request.
        alike: of what such a field is and what is wanted, whether they are equal; as far as was requested when None.

    Returns:
        The describe response, and whether this call created it.

    Raises:
        NotYetVisible: when something that the request refers to, or the resource itself, is not seen yet.
        NameConflict: when the name is taken by something that differs from the request.
    """
    name = request[name_field]
    created = True
    try:
        make(**request)
    except ClientError as error:
        if service_errors.is_missing_dependency(error):
            raise NotYetVisible(f"{error.operation_name}: {service_errors.text(error)}") from error
        if service_errors.is_over_quota(error):
            # After a lost answer the quota may be used up by this very resource: AWS looks at names or at quotas first.
            _check_existence(describe, name_field, name, error)
        elif not service_errors.is_already_existing(error):
            raise
        created = False
    try:
        found = describe(**{name_field: name})
    except ClientError as error:
        if service_errors.is_missing(error):
            raise NotYetVisible(
                f"{name}: created and not described yet: {service_errors.text(error)}"
            ) from error
        raise
    if not created:
        _same(name, request, found, compared, alike or _includes)
    return found, created


def _check_existence(describe: Callable[..., Any], name_field: str, name: str, refusal: ClientError) -> None:
    try:
        describe(**{name_field: name})
    except ClientError as error:
        if service_errors.is_missing(error):
            raise refusal from None
        raise


def _same(
    name: str,
    request: Mapping[str, Any],
    found: Mapping[str, Any],
    compared: tuple[str, ...],
    alike: Callable[[Any, Any], bool],
) -> None:
    problems = [
        Problem(
            "NameConflict",
            f"{field} of the existing {name!r} is {found.get(field)!r}",
            repr(request[field]),
            f"delete {name!r} if nobody needs it, or give the service another name",
        )
        for field in compared
        if not alike(found.get(field), request[field])
    ]
    if problems:
        raise NameConflict(name, problems)


def _includes(found: Any, wanted: Any) -> bool:
    """Return whether `found` says all that `wanted` says; AWS's answers have more fields than were requested."""
    if isinstance(wanted, dict):
        return isinstance(found, dict) and all(
            _includes(found.get(key), value) for key, value in wanted.items()
        )
    if isinstance(wanted, list):
        return (
            isinstance(found, list)
            and len(found) == len(wanted)
            and all(_includes(one, other) for one, other in zip(found, wanted, strict=True))
        )
    return bool(found == wanted)
