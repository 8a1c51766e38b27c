"""Which endpoints consumer functions name: in $LATEST, and in every version that an alias sends calls to.

Every variable counts, whatever its name: what is named there may be called. Refuses to change a function.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from botocore.exceptions import ClientError

from pipeline.aws import service_errors
from pipeline.planning.consumer import Alias, Configuration

if TYPE_CHECKING:
    from collections.abc import Iterable

    from mypy_boto3_lambda import LambdaClient


class References(NamedTuple):
    """What one function names."""

    named: dict[str, str]
    """Who names what, by the value of the variable."""
    aliased: frozenset[str]
    """The versions that aliases send calls to."""


def referred(client: LambdaClient, functions: Iterable[str]) -> dict[str, str]:
    """Return who names what, by the value of the variable.

    Raises:
        ClientError: when a function cannot be read: then nobody knows what it names. One that is gone names nothing.
    """
    found: dict[str, str] = {}
    for name in sorted(functions):
        found = read(client, name).named | found
    return found


def read(client: LambdaClient, name: str) -> References:
    """Return what a function names.

    Raises:
        ClientError: when it cannot be read. One that is gone names nothing.
    """
    named: dict[str, str] = {}
    whose = {"$LATEST": name}
    try:
        for alias in aliases(client, name):
            routes = Alias.from_response(alias)
            for version in (routes.version, *routes.weights):
                whose.setdefault(version, f"{name}:{alias['Name']} (version {version})")
        for qualifier, who in whose.items():
            now = client.get_function_configuration(FunctionName=name, Qualifier=qualifier)
            for variable, value in Configuration.from_response(now).variables.items():
                named.setdefault(value, f"{variable} of {who} names it")
    except ClientError as error:
        if not service_errors.is_missing(error):
            raise
    return References(named, frozenset(whose) - {"$LATEST"})


def aliases(client: LambdaClient, name: str) -> list[Any]:
    """Return all aliases of a function, as ListAliases has them."""
    pages = client.get_paginator("list_aliases").paginate(FunctionName=name)
    return [alias for page in pages for alias in page["Aliases"]]


def versions(client: LambdaClient, name: str) -> list[Any]:
    """Return all versions of a function, $LATEST among them, as ListVersionsByFunction has them."""
    pages = client.get_paginator("list_versions_by_function").paginate(FunctionName=name)
    return [version for page in pages for version in page["Versions"]]
