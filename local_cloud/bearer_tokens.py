"""The token of SageMaker's OpenAI route: a presigned URL in base64, and what is wrong with one.

Owns its form, as sagemaker-core's token_generator makes it. Refuses to check its signature: the local cloud has no
secret keys of its callers, and checks none.
"""

from __future__ import annotations

import base64
import binascii
import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from urllib.parse import parse_qs

PREFIX = "sagemaker-api-key-"
LONGEST_S = 43_200
"""Seconds that a token is good for at most."""


class TokenRefused(Exception):
    """A token that opens nothing; the message says why. OURS: AWS's own words are not known."""


@dataclass(frozen=True, slots=True)
class BearerToken:
    """Whose token it is, for which region, and until when."""

    access_key: str
    region: str
    ends: datetime


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
    except (binascii.Error, UnicodeDecodeError) as error:
        raise TokenRefused("The token is not base64.") from error
    query = {name: values[0] for name, values in parse_qs(url.partition("?")[2]).items()}
    scope = re.fullmatch(r"([^/]+)/\d{8}/([^/]+)/sagemaker/aws4_request", query.get("X-Amz-Credential", ""))
    expires = query.get("X-Amz-Expires", "")
    if query.get("Action") != "CallWithBearerToken" or scope is None or not query.get("X-Amz-Signature"):
        raise TokenRefused("The token is no presigned CallWithBearerToken of SageMaker.")
    if not expires.isdecimal() or not 0 < int(expires[:9]) <= LONGEST_S:
        raise TokenRefused(f"The token's X-Amz-Expires is {expires!r}; wanted 1 to {LONGEST_S} seconds.")
    try:
        begins = datetime.strptime(query.get("X-Amz-Date", ""), "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
    except ValueError as error:
        raise TokenRefused("The token has no X-Amz-Date.") from error
    return BearerToken(scope[1], scope[2], begins + timedelta(seconds=int(expires)))


def usable(authorization: str, now: float) -> BearerToken:
    """Return the token in an Authorization header that is good at a time in seconds since 1970.

    Raises:
        TokenRefused: when it is none, or is over.
    """
    token = read(authorization)
    if token.ends.timestamp() <= now:
        raise TokenRefused(f"The token expired at {token.ends:%Y-%m-%dT%H:%M:%SZ}.")
    return token
