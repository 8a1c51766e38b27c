"""The token of SageMaker's OpenAI route: its form, its time and its signature."""

from __future__ import annotations

import base64
import re
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import quote

import pytest
from botocore.auth import SigV4QueryAuth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials, ReadOnlyCredentials
from hypothesis import given
from hypothesis import strategies as st

from local_cloud import bearer_tokens, calls
from local_cloud.bearer_tokens import SecretKey, TokenRefused
from pipeline.aws import bearer_token
from pipeline.aws.bearer_token import LONGEST_S

NOW = time.time()
HOST = "sagemaker.amazonaws.com"
SECRET = SecretKey("secret")
OPENAI = "/endpoints/e/openai/v1/chat/completions"


def presigned(
    key: tuple[str, str, str | None] = ("AKID", "secret", None),
    *,
    action: str = "CallWithBearerToken",
    service: str = "sagemaker",
    region: str = "eu-west-1",
    expires: int = 3600,
    host: str = HOST,
) -> str:
    """Return what AWS's own SDK signs, as sagemaker-core's generator has it sign."""
    request = AWSRequest("POST", f"https://{host}/", headers={"host": host}, params={"Action": action})
    SigV4QueryAuth(Credentials(*key), service, region, expires=expires).add_auth(request)
    return f"{request.url.removeprefix('https://')}&Version=1"


def bearer(url: str) -> str:
    """Return the header with a token."""
    return "Bearer sagemaker-api-key-" + base64.b64encode(url.encode()).decode()


def changed(parameter: str, value: str) -> Callable[[str], str]:
    """Return a function that gives one parameter of a URL another value."""
    return lambda url: re.sub(rf"{parameter}=[^&]*", f"{parameter}={quote(value, safe='')}", url)


def refused(authorization: str, key: SecretKey | None = SECRET, **more: Any) -> tuple[str, str]:
    """Return the code and the message of a token's refusal; empty ones when it is good."""
    try:
        bearer_tokens.check(
            bearer_tokens.read(authorization), key=key, **{"now": NOW, "region": "eu-west-1", **more}
        )
    except TokenRefused as error:
        return error.code, str(error)
    return "", ""


@pytest.mark.parametrize("session", [None, "a+/=b"])
def test_our_own_token_is_sagemaker_cores(session: str | None) -> None:
    """`sealift token` makes what AWS's generator makes, whichever credentials it has."""
    credentials = ReadOnlyCredentials("AKID", "secret", session)

    made = bearer_token.make(credentials, "eu-west-1", expires_s=600)

    assert refused(f"Bearer {made}", SecretKey("secret", session)) == ("", "")
    ends = bearer_tokens.read(f"Bearer {made}").ends.timestamp()
    assert NOW + 595 < ends < time.time() + 605


@pytest.mark.parametrize(
    ("url", "key"),
    [
        pytest.param(presigned(), SECRET, id="of a user"),
        pytest.param(presigned(expires=LONGEST_S), SECRET, id="for as long as may be"),
        pytest.param(presigned(expires=1), SECRET, id="for a second"),
        pytest.param(
            presigned(host="sagemaker.eu-west-1.amazonaws.com"), SECRET, id="signed for a region's host"
        ),
        pytest.param(
            presigned(("ASIA", "secret", "a+/=b")), SecretKey("secret", "a+/=b"), id="of a role's session"
        ),
        pytest.param(presigned(("AKID", "another", None)), None, id="of a key that is not known"),
    ],
)
def test_a_token_as_the_sdk_makes_it_is_good(url: str, key: SecretKey | None) -> None:
    """The call is its owner's, in the region that it is for."""
    call = calls.identify({"HTTP_AUTHORIZATION": bearer(url), "PATH_INFO": OPENAI}, b"")

    assert refused(bearer(url), key, now=bearer_tokens.read(bearer(url)).begins.timestamp()) == ("", "")
    assert (call.service, call.operation, call.region) == (
        "sagemaker-runtime",
        "CallWithBearerToken",
        "eu-west-1",
    )
    assert call.access_key in {"AKID", "ASIA"}


@pytest.mark.parametrize(
    "environ",
    [
        pytest.param({}, id="nothing"),
        pytest.param({"HTTP_AUTHORIZATION": "Bearer sk-1"}, id="another token"),
        pytest.param(
            {"HTTP_AUTHORIZATION": "AWS4-HMAC-SHA256 Credential=A/20260921/us-east-1/sagemaker/aws4_request"},
            id="a signature",
        ),
    ],
)
def test_the_route_is_one_call_whoever_calls(environ: dict[str, str]) -> None:
    """Else a call without a token would be taken for one of S3."""
    call = calls.identify({**environ, "PATH_INFO": OPENAI, "REQUEST_METHOD": "POST"}, b"")

    assert (call.service, call.operation, call.access_key) == ("sagemaker-runtime", "CallWithBearerToken", "")


@pytest.mark.parametrize(
    ("authorization", "code", "words"),
    [
        pytest.param("", "AccessDeniedException", "has no token", id="none"),
        pytest.param("Bearer sk-123", "AccessDeniedException", "has no token", id="of another"),
        pytest.param("Bearer sagemaker-api-key-*", "AccessDeniedException", "not base64", id="no base64"),
        pytest.param(
            bearer(presigned(action="InvokeEndpoint")),
            "AccessDeniedException",
            "no presigned Call",
            id="action",
        ),
        pytest.param(
            bearer(presigned(host="sts.amazonaws.com")),
            "AccessDeniedException",
            "no presigned Call",
            id="host",
        ),
        pytest.param(
            bearer(presigned(host="sagemaker.amazonaws.com.example.org")),
            "AccessDeniedException",
            "no presigned Call",
            id="host of another",
        ),
        pytest.param(bearer(HOST), "AccessDeniedException", "no presigned Call", id="no query"),
        pytest.param(
            bearer(presigned().partition("&X-Amz-Signature")[0]),
            "IncompleteSignatureException",
            "not signed",
            id="unsigned",
        ),
        pytest.param(
            bearer(changed("X-Amz-SignedHeaders", "host;x-a")(presigned())),
            "IncompleteSignatureException",
            "more than its host",
            id="more headers",
        ),
        pytest.param(
            bearer(presigned(expires=LONGEST_S + 1)),
            "AccessDeniedException",
            "wanted 1 to 43200",
            id="too long",
        ),
        pytest.param(
            bearer(presigned(expires=0)), "AccessDeniedException", "wanted 1 to 43200", id="no time"
        ),
        pytest.param(
            bearer(changed("X-Amz-Date", "yesterday")(presigned())),
            "AccessDeniedException",
            "no X-Amz-Date",
            id="no date",
        ),
        pytest.param(
            bearer(presigned(service="s3")),
            "InvalidSignatureException",
            "Credential should be scoped to correct service: 'sagemaker'",
            id="service",
        ),
        pytest.param(
            bearer(presigned(region="us-east-1")),
            "InvalidSignatureException",
            "Credential should be scoped to a valid region, not 'us-east-1'",
            id="region",
        ),
        pytest.param(
            bearer(
                changed("X-Amz-Credential", "AKID/20200101/eu-west-1/sagemaker/aws4_request")(presigned())
            ),
            "InvalidSignatureException",
            "Date in Credential scope does not match",
            id="day",
        ),
        pytest.param(
            bearer(presigned(("AKID", "another", None))),
            "InvalidSignatureException",
            "The request signature we calculated does not match",
            id="secret",
        ),
    ],
)
def test_a_token_that_opens_nothing_is_refused(authorization: str, code: str, words: str) -> None:
    """With AWS's code and words, where they are known."""
    found = refused(authorization)

    assert found[0] == code
    assert words in found[1]


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(changed("X-Amz-Expires", "43200"), id="a longer time"),
        pytest.param(changed("X-Amz-Signature", "0" * 64), id="another signature"),
        pytest.param(changed("X-Amz-Signature", "é"), id="no signature"),
        pytest.param(
            changed("X-Amz-Credential", f"OTHER/{datetime.now(UTC):%Y%m%d}/eu-west-1/sagemaker/aws4_request"),
            id="another key",
        ),
        pytest.param(lambda url: f"{url}&Action=CallWithBearerToken", id="a parameter twice"),
        pytest.param(lambda url: f"{url}&More=1", id="one more parameter"),
        pytest.param(lambda url: url.replace(HOST, "sagemaker.us-east-1.amazonaws.com"), id="another host"),
    ],
)
def test_a_token_that_was_changed_is_refused(change: Callable[[str], str]) -> None:
    """Whatever of it: all of it but the version behind it is signed."""
    authorization = bearer(change(presigned()))

    assert authorization != bearer(presigned())
    assert refused(authorization)[0] == "InvalidSignatureException"
    assert refused(authorization, None)[0] == ""


@pytest.mark.parametrize(
    ("after", "words"),
    [
        pytest.param(-301, "Signature not yet current", id="more than five minutes early"),
        pytest.param(-300, "", id="five minutes early"),
        pytest.param(3599, "", id="its last second"),
        pytest.param(3600, "Signature expired", id="over"),
    ],
)
def test_a_token_is_good_for_its_time(after: float, words: str) -> None:
    """A caller's clock may be some minutes ahead."""
    authorization = bearer(presigned())
    begins = bearer_tokens.read(authorization).begins.timestamp()

    assert refused(authorization, now=begins + after)[1].startswith(words)
    assert bool(refused(authorization, now=begins + after)[0]) == bool(words)


@pytest.mark.parametrize(
    ("key", "code"),
    [
        pytest.param(SecretKey("secret", "token"), "", id="good"),
        pytest.param(
            SecretKey("secret", "token", datetime.fromtimestamp(NOW, UTC) + timedelta(1)), "", id="a day more"
        ),
        pytest.param(
            SecretKey("secret", "token", datetime.fromtimestamp(NOW, UTC)),
            "ExpiredTokenException",
            id="just over",
        ),
        pytest.param(SecretKey("secret", "other"), "UnrecognizedClientException", id="another session's"),
        pytest.param(SecretKey("secret"), "UnrecognizedClientException", id="a user's with a session token"),
        pytest.param(
            SecretKey("secret", "token", active=False), "UnrecognizedClientException", id="switched off"
        ),
    ],
)
def test_credentials_that_are_not_good_make_no_good_token(key: SecretKey, code: str) -> None:
    """However well they sign."""
    assert refused(bearer(presigned(("ASIA", "secret", "token"))), key)[0] == code


@given(st.text(max_size=60) | st.binary(max_size=90).map(lambda raw: bearer(raw.decode("latin-1"))))
def test_any_text_is_a_token_or_refused(text: str) -> None:
    """Nothing else is raised, whatever arrives."""
    refused(text)
    refused(f"Bearer sagemaker-api-key-{text}")


@given(
    st.dictionaries(
        st.sampled_from(["X-Amz-Expires", "X-Amz-Date", "X-Amz-Credential", "X-Amz-Signature", "Action"]),
        st.text(max_size=20),
        min_size=1,
    )
)
def test_any_value_is_good_or_refused(values: dict[str, str]) -> None:
    """The same of what is nearly a token."""
    url = presigned()
    for name, value in values.items():
        url = changed(name, value)(url)

    refused(bearer(url))
