"""Which endpoints consumer functions name: in $LATEST, and in every version that an alias sends calls to.

Every variable counts, whatever its name: what is named there may be called. Refuses to change a function.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from pipeline.aws import service_errors
from pipeline.planning.consumer import Alias, Configuration

if TYPE_CHECKING:
    from collections.abc import Iterable

    from mypy_boto3_lambda import LambdaClient


def referred(client: LambdaClient, functions: Iterable[str]) -> dict[str, str]:
    """Return who names what, by the value of the variable.

    Raises:
        ClientError: when a function cannot be read: then nobody knows what it names. One that is gone names nothing.
    """
    found: dict[str, str] = {}
    for name in sorted(functions):
        try:
            for qualifier, whose in _qualifiers(client, name).items():
                now = client.get_function_configuration(FunctionName=name, Qualifier=qualifier)
                for variable, value in Configuration.from_response(now).variables.items():
                    found.setdefault(value, f"{variable} of {whose} names it")
        except ClientError as error:
            if not service_errors.is_missing(error):
                raise
    return found


def _qualifiers(client: LambdaClient, name: str) -> dict[str, str]:
    """Return the versions that calls may reach, each with its name for people."""
    found = {"$LATEST": name}
    for alias in aliases(client, name):
        routes = Alias.from_response(alias)
        for version in (routes.version, *routes.weights):
            found.setdefault(version, f"{name}:{alias['Name']} (version {version})")
    return found


def aliases(client: LambdaClient, name: str) -> list[Any]:
    """Return all aliases of a function, as ListAliases has them."""
    pages = client.get_paginator("list_aliases").paginate(FunctionName=name)
    return [alias for page in pages for alias in page["Aliases"]]


def versions(client: LambdaClient, name: str) -> list[Any]:
    """Return all versions of a function, $LATEST among them, as ListVersionsByFunction has them."""
    pages = client.get_paginator("list_versions_by_function").paginate(FunctionName=name)
    return [version for page in pages for version in page["Versions"]]
