"""The bearer token of SageMaker's OpenAI route: a presigned request in base64, made without a call to AWS.

Owns its form, as sagemaker-core's token_generator makes it. Refuses to read one (`local_cloud.bearer_tokens` does).
"""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, Final

from botocore.auth import SigV4QueryAuth
from botocore.awsrequest import AWSRequest

if TYPE_CHECKING:
    from botocore.credentials import Credentials, ReadOnlyCredentials

PREFIX: Final = "sagemaker-api-key-"
LONGEST_S: Final = 43_200
"""Seconds that a token is good for at most."""
_SERVICE: Final = "sagemaker"


def make(credentials: Credentials | ReadOnlyCredentials, region: str, *, expires_s: int) -> str:
    """Return a token, which opens what these credentials may call.

    Args:
        credentials: whoever calls; of temporary ones the token ends with them.
        region: of the endpoints.
        expires_s: seconds that it is good for, at most `LONGEST_S`.
    """
    host = f"{_SERVICE}.amazonaws.com"
    request = AWSRequest(
        "POST", f"https://{host}/", params={"Action": "CallWithBearerToken"}, headers={"host": host}
    )
    SigV4QueryAuth(credentials, _SERVICE, region, expires=expires_s).add_auth(request)
    signed = f"{str(request.url).removeprefix('https://')}&Version=1"
    return PREFIX + base64.b64encode(signed.encode()).decode()
