"""What the SDK raises when AWS did not answer, or something else did, as errors of ours.

Owns the words for a network, a proxy, credentials and a configuration that are not as they must be: who reads them has
to change something on this machine or wait, never in a deployment. Refuses to take for AWS's an answer that AWS cannot
have given. Errors that AWS itself answers with are `pipeline.aws.service_errors`'s.
"""

from __future__ import annotations

import re
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final

from botocore.eventstream import ParserError
from botocore.exceptions import (
    BotoCoreError,
    ChecksumError,
    ConfigNotFound,
    ConfigParseError,
    ConnectionError,  # noqa: A004 botocore's own name
    CredentialRetrievalError,
    EndpointConnectionError,
    FlexibleChecksumError,
    HTTPClientError,
    IncompleteReadError,
    InvalidConfigError,
    InvalidProxiesConfigError,
    InvalidRegionError,
    LoginError,
    MetadataRetrievalError,
    NoAuthTokenError,
    NoCredentialsError,
    PartialCredentialsError,
    ProfileNotFound,
    ProxyConnectionError,
    RefreshWithMFAUnsupportedError,
    SSLError,
    SSOError,
    TokenRetrievalError,
    UnknownCredentialError,
)
from botocore.parsers import ResponseParserError
from urllib3.exceptions import HTTPError

from pipeline.errors import AccessDenied, InvalidInput, Problem, RequestRejected, ServiceUnavailable
from pipeline.plain import one_line

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pipeline.errors import SealiftError

LOG_IN: Final = "set AWS_PROFILE, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or log in again"
NETWORK: Final = "look at the network, at AWS_ENDPOINT_URL and at the region (`sealift settings`)"
PROXY: Final = "look for a proxy or a login page: HTTPS_PROXY, NO_PROXY and AWS_ENDPOINT_URL"

_CREDENTIALS: Final = (
    NoCredentialsError,
    PartialCredentialsError,
    ProfileNotFound,
    CredentialRetrievalError,
    LoginError,
    MetadataRetrievalError,
    NoAuthTokenError,
    RefreshWithMFAUnsupportedError,
    SSOError,
    TokenRetrievalError,
    UnknownCredentialError,
)
_CONFIGURATION: Final = (ConfigNotFound, ConfigParseError, InvalidConfigError, InvalidProxiesConfigError)
_DAMAGED: Final = (ChecksumError, FlexibleChecksumError, IncompleteReadError)
_UNKNOWN_NAME: Final = re.compile(r"resolve|getaddrinfo|Name or service not known|nodename", re.IGNORECASE)
_SHOWN: Final = 120
"""Characters that are shown of an answer that is not AWS's."""
MARKS: Final = frozenset({"x-amzn-requestid", "x-amz-request-id", "x-amz-id-2"})
"""Headers of which every answer of AWS has one."""


def translate(error: Exception) -> SealiftError | None:
    """Return Sealift's error for what the SDK raises without an answer of AWS's; None for any other error."""
    if isinstance(error, ResponseParserError):
        return not_aws(_shown(str(error)))
    if isinstance(error, BotoCoreError):
        return _of_the_network(error) or _of_this_machine(error)
    # While a stream is read the SDK hands on what the connection says.
    return _cut_off(error) if isinstance(error, HTTPError | ParserError) else None


def _of_this_machine(error: BotoCoreError) -> SealiftError:
    if isinstance(error, _CREDENTIALS):
        return no_credentials(str(error))
    if isinstance(error, _CONFIGURATION):
        problem = Problem(
            "WrongConfiguration",
            _sentence(error),
            "a configuration that the AWS SDK can read",
            "correct the file or the variable that the message names",
        )
        return InvalidInput("AWS's configuration", [problem])
    if isinstance(error, InvalidRegionError):
        fix = "correct --region, AWS_REGION or sealift.toml (`sealift settings` shows which one counts)"
        return InvalidInput(
            "settings", [Problem("WrongValue", _sentence(error), "a region such as us-east-1", fix)]
        )
    # Whatever else it is, it did not leave this machine.
    problem = Problem(
        type(error).__name__, _sentence(error), "a request that the AWS SDK takes", "see the message"
    )
    return RequestRejected("AWS", [problem])


def _cut_off(error: Exception) -> SealiftError:
    return ServiceUnavailable(
        f"no answer from AWS that is whole: {_sentence(error)}; wanted all of it; try again"
    )


def _of_the_network(error: BotoCoreError) -> SealiftError | None:
    if isinstance(error, SSLError):
        return ServiceUnavailable(
            f"no trusted connection to AWS: {_sentence(error)}; wanted a certificate that this machine trusts; "
            "behind a proxy that opens TLS name its certificates in AWS_CA_BUNDLE"
        )
    if isinstance(error, ProxyConnectionError):
        return ServiceUnavailable(
            f"no answer from the proxy: {_sentence(error)}; wanted it to pass the call on to AWS; {PROXY}"
        )
    if isinstance(error, EndpointConnectionError) and _UNKNOWN_NAME.search(str(error.kwargs.get("error"))):
        return ServiceUnavailable(
            f"no answer from AWS: {_sentence(error)}, its name is not known here; wanted DNS to know it; {NETWORK}"
        )
    if isinstance(error, _DAMAGED):
        return _cut_off(error)
    if isinstance(error, HTTPClientError | ConnectionError):
        return ServiceUnavailable(
            f"no answer from AWS: {_sentence(error)}; wanted an HTTP response; try again, and {NETWORK}"
        )
    return None


def no_credentials(seen: str) -> AccessDenied:
    """Return the error for credentials that are not there, or not good (any more)."""
    wanted = "credentials of an AWS account that are valid now"
    return AccessDenied("AWS", [Problem("NoCredentials", _shown(seen, 300).rstrip("."), wanted, LOG_IN)])


def not_aws(seen: str) -> ServiceUnavailable:
    """Return the error for an answer that is somebody else's."""
    return ServiceUnavailable(f"what answered is not AWS: {seen}; wanted an answer of AWS's; {PROXY}")


def unusable_endpoint(error: ValueError) -> InvalidInput:
    """Return the error for an endpoint's URL that the SDK does not take."""
    problem = Problem(
        "WrongEndpoint",
        _sentence(error),
        "a URL with its scheme, such as http://127.0.0.1:5055",
        "correct AWS_ENDPOINT_URL, or endpoint_url in AWS's configuration",
    )
    return InvalidInput("AWS_ENDPOINT_URL", [problem])


def check_answered_by_aws(operation_model: Any, response_dict: Mapping[str, Any], **_more: Any) -> None:
    """Raise for an answer that AWS cannot have given; a handler of botocore's event ``before-parse``.

    Each answer of AWS has an identifier. A proxy's page may be a success to HTTP, and its lack of everything that was
    asked for would be met much later, as a mistake of ours or of the SDK's.

    Raises:
        ServiceUnavailable: with what answered.
    """
    headers, status = response_dict["headers"], response_dict["status_code"]
    if any(map(headers.get, MARKS)) or status == HTTPStatus.NO_CONTENT:
        return
    body = response_dict.get("body")
    text = body.decode("utf-8", "replace") if isinstance(body, bytes) else ""
    if status >= 300 and not re.match(r"\s*<(!doctype|html)", text, re.IGNORECASE):
        return  # An error has words of its own.
    kind = headers.get("content-type") or "of no type"
    what = f"{operation_model.name}: HTTP {status}, {kind}"
    raise not_aws(f"{what}: {_shown(text)}" if text.strip() else what)


def _sentence(error: Exception) -> str:
    return _shown(str(error), 500).rstrip(".")


def _shown(text: str, most: int = _SHOWN) -> str:
    """Return a text of somebody else's in one line, plain, and not too long of it."""
    line = one_line(text)
    return line if len(line) <= most else line[: most - 3] + "..."
