"""The token of SageMaker's OpenAI route: a presigned request in base64, and what is wrong with one.

Owns its form, as sagemaker-core's token_generator makes it (`sagemaker-api-key-` and a presigned POST of the action
CallWithBearerToken, without `https://` and with `&Version=1` behind what was signed), and its signature. Refuses to
know anybody's secret key: that is an argument.

Sources: what is wrong with a signature, in which words,
https://docs.aws.amazon.com/IAM/latest/UserGuide/signature-v4-troubleshooting.html; the codes,
https://docs.aws.amazon.com/sagemaker/latest/APIReference/CommonErrors.html. Which of them SageMaker's OpenAI route
gives, and what it says of a text that is no token, is written nowhere: assumed.
"""

from __future__ import annotations

import base64
import hmac
import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final
from urllib.parse import parse_qsl

from botocore.auth import SIGV4_TIMESTAMP, SigV4QueryAuth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from pipeline.aws.bearer_token import LONGEST_S, PREFIX

_SERVICE: Final = "sagemaker"
_HOST: Final = re.compile(rf"{_SERVICE}(\.[a-z0-9-]+)?\.amazonaws\.com(\.cn)?")
_SCOPE: Final = re.compile(r"([^/]+)/(\d{8})/([^/]+)/([^/]+)/aws4_request")
_SKEW: Final = timedelta(minutes=5)
"""How far a caller's clock may be ahead, as AWS's texts have it."""

_DENIED: Final = "AccessDeniedException"
_WRONG: Final = "InvalidSignatureException"
UNKNOWN_KEY: Final = "UnrecognizedClientException"
"""The code for credentials of nobody, with UNKNOWN_KEY_TEXT."""
UNKNOWN_KEY_TEXT: Final = "The security token included in the request is invalid."


class TokenRefused(Exception):
    """A token that opens nothing; the message says why.

    Attributes:
        code: of the error, as AWS has it.
    """

    def __init__(self, message: str, code: str = _DENIED) -> None:
        super().__init__(message)
        self.code = code


@dataclass(frozen=True, slots=True)
class SecretKey:
    """The secret side of an access key."""

    secret: str
    session_token: str | None = None
    """Of temporary credentials, which are good with it alone."""
    ends: datetime | None = None
    """When temporary credentials are over."""
    active: bool = True


@dataclass(frozen=True, slots=True)
class BearerToken:
    """Whose token it is, for what, and until when."""

    access_key: str
    region: str
    service: str
    day: str
    """Of the credential's scope, as YYYYMMDD."""
    begins: datetime
    ends: datetime
    host: str
    query: str
    """What was signed of the query."""
    signature: str
    session_token: str | None


def read(authorization: str) -> BearerToken:
    """Return the token in an Authorization header.

    Raises:
        TokenRefused: when it is none.
    """
    kind, _, text = authorization.partition(" ")
    if kind.lower() != "bearer" or not text.strip().startswith(PREFIX):
        raise TokenRefused(f"The Authorization header has no token; wanted 'Bearer {PREFIX}...'.")
    try:
        url = base64.b64decode(text.strip().removeprefix(PREFIX), validate=True).decode("ascii")
    except ValueError as error:  # of base64, of what is not ASCII in it, or in the header
        raise TokenRefused("The token is not base64.") from error
    host, _, whole = url.partition("/?")
    pairs = [one for one in whole.split("&") if one != "Version=1"]
    query = dict(parse_qsl("&".join(pairs)))
    scope = _SCOPE.fullmatch(query.get("X-Amz-Credential", ""))
    if query.get("Action") != "CallWithBearerToken" or scope is None or not _HOST.fullmatch(host):
        raise TokenRefused("The token is no presigned CallWithBearerToken of SageMaker.")
    if query.get("X-Amz-SignedHeaders") != "host" or not query.get("X-Amz-Signature"):
        raise TokenRefused(
            "The token is not signed, or more than its host is.", "IncompleteSignatureException"
        )
    expires = query.get("X-Amz-Expires", "")
    if not expires.isdecimal() or not 0 < int(expires[:9]) <= LONGEST_S:
        raise TokenRefused(f"The token's X-Amz-Expires is {expires!r}; wanted 1 to {LONGEST_S} seconds.")
    try:
        begins = datetime.strptime(query.get("X-Amz-Date", ""), SIGV4_TIMESTAMP).replace(tzinfo=UTC)
    except ValueError as error:
        raise TokenRefused("The token has no X-Amz-Date.") from error
    return BearerToken(
        access_key=scope[1],
        day=scope[2],
        region=scope[3],
        service=scope[4],
        begins=begins,
        ends=begins + timedelta(seconds=int(expires)),
        host=host,
        query="&".join(one for one in pairs if not one.startswith("X-Amz-Signature=")),
        signature=query["X-Amz-Signature"],
        session_token=query.get("X-Amz-Security-Token"),
    )


def check(token: BearerToken, *, now: float, region: str, key: SecretKey | None) -> None:
    """Raise TokenRefused for a token that is not good.

    Args:
        token: the token.
        now: the time, in seconds since 1970.
        region: the one that is called.
        key: the secret side of its access key; None where it is not known, and the signature cannot be checked.
    """
    if token.service != _SERVICE:
        raise TokenRefused(f"Credential should be scoped to correct service: '{_SERVICE}'. ", _WRONG)
    if token.region != region:
        raise TokenRefused(f"Credential should be scoped to a valid region, not '{token.region}'. ", _WRONG)
    begins, today = f"{token.begins:{SIGV4_TIMESTAMP}}", datetime.fromtimestamp(now, UTC)
    if not begins.startswith(token.day):
        text = "Date in Credential scope does not match YYYYMMDD from ISO-8601 version of date from HTTP"
        raise TokenRefused(f"{text}: '{token.day}' != '{begins[:8]}', from '{begins}'.", _WRONG)
    if token.begins > today + _SKEW:
        late = f"{today + _SKEW:{SIGV4_TIMESTAMP}} ({today:{SIGV4_TIMESTAMP}} + 5 min.)"
        raise TokenRefused(f"Signature not yet current: {begins} is still later than {late}", _WRONG)
    if token.ends <= today:
        ends = f"{token.ends:{SIGV4_TIMESTAMP}}"
        raise TokenRefused(f"Signature expired: {ends} is now earlier than {today:{SIGV4_TIMESTAMP}}", _WRONG)
    if key is not None:
        _check_signature(token, key, today)


def _check_signature(token: BearerToken, key: SecretKey, now: datetime) -> None:
    if not key.active or token.session_token != key.session_token:
        raise TokenRefused(UNKNOWN_KEY_TEXT, UNKNOWN_KEY)
    if key.ends is not None and key.ends <= now:
        raise TokenRefused("The security token included in the request is expired", "ExpiredTokenException")
    if not hmac.compare_digest(signature(token, key.secret).encode(), token.signature.encode()):
        raise TokenRefused(
            "The request signature we calculated does not match the signature you provided. Check your AWS Secret "
            "Access Key and signing method. Consult the service documentation for details.",
            _WRONG,
        )


def signature(token: BearerToken, secret: str) -> str:
    """Return the signature that a token has to have, by the SDK's own rules."""
    signer = SigV4QueryAuth(Credentials(token.access_key, secret), token.service, token.region)
    request = AWSRequest("POST", f"https://{token.host}/?{token.query}", headers={"host": token.host})
    request.context["timestamp"] = f"{token.begins:{SIGV4_TIMESTAMP}}"
    signed: str = signer.signature(signer.string_to_sign(request, signer.canonical_request(request)), request)
    return signed
