"""A customer's own KMS key on a function: Lambda decrypts and encrypts its variables in the caller's name.

Whoever may read the function and not use the key gets `Environment.Error` in the place of the variables; whoever may
change it and not use the key changes nothing. moto knows no keys of functions beyond what they were created with.

Sources: Environment's shapes in Lambda's service model; which action is for what,
https://docs.aws.amazon.com/lambda/latest/dg/configuration-envvars-encryption.html. The texts are assumed.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

from moto.awslambda.models import LambdaFunction

from local_cloud.faults import Response
from local_cloud.functions.configurations import function_name
from local_cloud.iam.policies import PolicyRequest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from local_cloud.iam.authorizations import NeededPermission

UNREADABLE: Final = (
    "Lambda was unable to decrypt your environment variables because the KMS access was denied. Please check your KMS "
    "permissions. KMS Exception: AccessDeniedException KMS Message: {}"
)
UNWRITABLE: Final = (
    "Lambda was unable to configure access to your environment variables because the KMS access was denied. Please "
    "check your KMS permissions. KMS Exception: AccessDeniedException KMS Message: {}"
)

_update = LambdaFunction.update_configuration


def install() -> None:
    """Let a function's key be changed after it was made."""
    LambdaFunction.update_configuration = _updated


def _updated(function: LambdaFunction, updates: dict[str, Any]) -> dict[str, Any]:
    if "KMSKeyArn" in updates:
        function.kms_key_arn = updates["KMSKeyArn"] or None
    updated: dict[str, Any] = _update(function, updates)
    return updated


def to_write(asked: NeededPermission, key_of: Callable[[str], str | None]) -> Iterator[PolicyRequest]:
    """Yield what a caller needs of a function's key to write its variables.

    Args:
        asked: a call of Lambda.
        key_of: returns the key of a function by its name, None when it has none of its own.
    """
    if asked.call.operation != "UpdateFunctionConfiguration":
        return
    given = asked.parameters
    name = function_name(asked.path)
    key = given.get("KMSKeyArn") or key_of(name)
    if key and ("Environment" in given or given.get("KMSKeyArn")):
        arn = asked.arn("lambda", f"function:{name}")
        for action in ("kms:Encrypt", "kms:CreateGrant"):
            yield _request(action, key, arn)


def hidden(response: Response, refused: Callable[[PolicyRequest], str]) -> Response:
    """Return Lambda's answer as its caller may see it.

    Args:
        response: the answer to a call of Lambda.
        refused: returns the words of a refusal, empty for what the caller may do.
    """
    if response.status >= 300 or b"KMSKeyArn" not in response.body:
        return response
    document = json.loads(response.body)
    for one in _configurations(document):
        key = one.get("KMSKeyArn")
        if not key or "Variables" not in (one.get("Environment") or {}):
            continue
        arn = ":".join(one["FunctionArn"].split(":")[:7])
        if refusal := refused(_request("kms:Decrypt", key, arn)):
            error = {"ErrorCode": "AccessDeniedException", "Message": UNREADABLE.format(refusal)}
            one["Environment"] = {"Error": error}
    return Response(response.status, response.headers, json.dumps(document).encode())


def _configurations(document: Any) -> Iterator[dict[str, Any]]:
    """Yield the configurations of functions and versions in an answer."""
    if isinstance(document, dict):
        if "FunctionArn" in document and "FunctionName" in document:
            yield document
        for name in ("Configuration", "Versions", "Functions"):
            yield from _configurations(document.get(name))
    elif isinstance(document, list):
        for one in document:
            yield from _configurations(one)


def _request(action: str, key: str, function_arn: str) -> PolicyRequest:
    region = function_arn.split(":")[3]
    context = (
        ("kms:ViaService", (f"lambda.{region}.amazonaws.com",)),
        ("kms:EncryptionContext:aws:lambda:FunctionArn", (function_arn,)),
    )
    return PolicyRequest(action, key, context)
