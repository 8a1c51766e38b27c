"""Which AWS operation an HTTP request asks for, read from the service models that botocore ships.

Needed to make a call fail on purpose, to answer the few that moto cannot, and to tell what was called. Every
protocol is recognised: `X-Amz-Target` (JSON), `Action=` (query), and method, path, query and headers (REST).
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from functools import cache
from typing import Any
from urllib.parse import parse_qs

import botocore.exceptions
import botocore.loaders
from botocore.model import ServiceModel

from local_cloud import bearer_tokens

SIGNING_NAMES = {
    "states": "stepfunctions",
    "monitoring": "cloudwatch",
    "servicequotas": "service-quotas",
}
"""Services whose name in a signature is not their name in botocore."""

RUNTIME = "sagemaker-runtime"
OPENAI_CALL = "CallWithBearerToken"
"""SageMaker's OpenAI route: no operation of the service models, but an action of IAM."""

_OPENAI_ROUTE = re.compile("/endpoints/[^/]+/openai/")
_UNSIGNED = "s3"
"""An unsigned request can only be meant for S3: a presigned URL, or a browser."""


@dataclass(frozen=True, slots=True)
class AwsCall:
    """One API call."""

    service: str
    operation: str
    region: str
    access_key: str = field(default="", compare=False)
    """Whose credentials it was signed with."""

    def __str__(self) -> str:
        return f"{self.service}.{self.operation}"


@dataclass(frozen=True, slots=True)
class _Route:
    operation: str
    method: str
    path: re.Pattern[str]
    query: frozenset[str]
    headers: frozenset[str]


def identify(environ: dict[str, Any], body: bytes) -> AwsCall:
    """Return the call that a WSGI request makes; the operation is "Unknown" when no model has it."""
    authorization = environ.get("HTTP_AUTHORIZATION", "")
    path = str(environ.get("PATH_INFO", "/"))
    if authorization.lower().startswith("bearer ") or _OPENAI_ROUTE.match(path):
        return _with_token(authorization)
    scope = re.search(r"Credential=([^/]+)/\d+/([^/]*)/([^/]*)/aws4_request", authorization)
    key, region, name = (scope[1], scope[2], scope[3]) if scope else ("", "us-east-1", _UNSIGNED)
    service = SIGNING_NAMES.get(name, name)
    if service == "sagemaker" and path.startswith("/endpoints/"):
        service = RUNTIME
    target = environ.get("HTTP_X_AMZ_TARGET", "")
    if target:
        return AwsCall(service, target.rpartition(".")[2], region, key)
    action = parse_qs(body.decode("latin-1")).get("Action") if _is_form(environ) else None
    if action:
        return AwsCall(service, action[0], region, key)
    return AwsCall(service, _rest_operation(service, environ, path), region, key)


def _with_token(authorization: str) -> AwsCall:
    """Return the call that a token is for; whoever answers it says what is wrong with one."""
    try:
        token = bearer_tokens.read(authorization)
    except bearer_tokens.TokenRefused:
        return AwsCall(RUNTIME, OPENAI_CALL, "us-east-1")
    return AwsCall(RUNTIME, OPENAI_CALL, token.region, token.access_key)


@cache
def service_model(service: str) -> ServiceModel:
    """Return botocore's model of a service."""
    return ServiceModel(botocore.loaders.create_loader().load_service_model(service, "service-2"), service)


def _is_form(environ: dict[str, Any]) -> bool:
    return str(environ.get("CONTENT_TYPE", "")).startswith("application/x-www-form-urlencoded")


def _rest_operation(service: str, environ: dict[str, Any], path: str) -> str:
    query = set(parse_qs(environ.get("QUERY_STRING", ""), keep_blank_values=True))
    headers = {name for name in environ if name.startswith("HTTP_")}
    try:
        routes = _routes(service)
    except botocore.exceptions.UnknownServiceError:
        return "Unknown"
    fitting = [
        route
        for route in routes
        if route.method == environ["REQUEST_METHOD"]
        and route.path.fullmatch(path)
        and route.query <= query
        and route.headers <= headers
    ]
    # UploadPart and PutObject share method and path: the one that demands more of the request is meant.
    best = max(
        fitting, key=lambda route: (len(route.query) + len(route.headers), route.path.pattern), default=None
    )
    return best.operation if best else "Unknown"


@cache
def _routes(service: str) -> tuple[_Route, ...]:
    model = service_model(service)
    return tuple(_route(model.operation_model(name)) for name in model.operation_names)


def _route(operation: Any) -> _Route:
    path, _, literal = operation.http["requestUri"].partition("?")
    pattern = re.sub(r"\\\{[^}]*\\\+\\\}", ".+", re.escape(path))
    pattern = re.sub(r"\\\{[^}]*\\\}", "[^/]+", pattern)
    query = set(parse_qs(literal, keep_blank_values=True)) - {"x-id"}
    headers = set()
    shape = operation.input_shape
    for name in shape.required_members if shape else ():
        member = shape.members[name].serialization
        if member.get("location") == "querystring":
            query.add(member["name"])
        if member.get("location") == "header":
            headers.add("HTTP_" + member["name"].upper().replace("-", "_"))
    return _Route(
        operation.name,
        operation.http["method"],
        re.compile(pattern + "/?"),
        frozenset(query),
        frozenset(headers),
    )
