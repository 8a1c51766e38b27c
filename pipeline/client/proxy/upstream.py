"""Asks endpoints for many callers at once: signed as the SDK signs, sent by aiohttp on one event loop.

Closing a call closes its connection, so a client that hangs up ends it. Owns how long is waited for AWS. Refuses to try
again: `application` does.
"""

from __future__ import annotations

import asyncio
import ssl
from contextlib import contextmanager
from dataclasses import dataclass
from io import BytesIO
from typing import TYPE_CHECKING, Final

import aiohttp
from botocore.eventstream import ParserError
from botocore.httpsession import get_cert_path

from pipeline import settings
from pipeline.aws import clients as aws
from pipeline.aws import sdk_errors, signed_calls
from pipeline.aws.signed_calls import STREAMED, WHOLE, AnswerReader, StreamReader
from pipeline.client import calls
from pipeline.errors import EndpointFailed, ServiceUnavailable
from pipeline.limits import MiB

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Iterator

    from botocore.credentials import ReadOnlyCredentials

    from pipeline.aws.clients import Clients

CONNECT_S: Final = 5
SILENCE_S: Final = 250
"""A cold start (180 s) and an answer (60 s) fit, as in the SDK's client."""
KEPT_S: Final = 30.0
"""How long credentials are used before they are asked for again: the SDK renews them minutes before they end."""
_CONTENT: Final = "Content-Type"
_STREAM_CONTENT: Final = "X-Amzn-SageMaker-Content-Type"
_REQUEST_ID: Final = "x-amzn-RequestId"


@dataclass(slots=True)
class BegunAnswer:
    """An answer that has begun, or is there."""

    content_type: str
    request_id: str
    first: bytes
    """All of a whole answer; of a stream what came first."""
    rest: AsyncGenerator[bytes] | None = None
    """What comes after; None for a whole answer."""

    async def close(self) -> None:
        """End the call, if it has not ended."""
        if self.rest is not None:
            await self.rest.aclose()


class Upstream:
    """SageMaker's runtime in one region.

    Args:
        session: sends; whoever made it closes it.
        runtime: the runtime's URL.
        region: it is in.
        reader: of its answers.
        credentials: returns the caller's; may block.
        now: tells the time, in seconds.
    """

    def __init__(
        self,
        session: aiohttp.ClientSession,
        *,
        runtime: str,
        region: str,
        reader: AnswerReader,
        credentials: Callable[[], ReadOnlyCredentials],
        now: Callable[[], float],
    ) -> None:
        self._session = session
        self._runtime = runtime
        self._region = region
        self._reader = reader
        self._ask_for_credentials = credentials
        self._now = now
        self._credentials: ReadOnlyCredentials | None = None
        self._asked_at = 0.0
        self._asking = asyncio.Lock()
        self._proxy = settings.proxy(runtime)

    @classmethod
    def of(cls, session: aiohttp.ClientSession, clients: Clients, now: Callable[[], float]) -> Upstream:
        """Return the one that the SDK's client would call."""
        meta = clients.sagemaker_runtime.meta
        return cls(
            session,
            runtime=meta.endpoint_url,
            region=meta.region_name,
            reader=AnswerReader(meta.service_model),
            credentials=aws.credentials,
            now=now,
        )

    async def whole(self, endpoint: str, body: bytes, *, component: bool = False) -> BegunAnswer:
        """Return the answer to a request.

        Raises:
            SealiftError: as `calls.invoke` does.
        """
        async with await self._post(endpoint, body, WHOLE, component=component) as response:
            with calls.told(endpoint), _answered(endpoint):
                answer = await response.read()
                self._reader.check(WHOLE, response.status, response.headers, answer)
            headers = response.headers
            return BegunAnswer(
                headers.get(_CONTENT, "application/json"), headers.get(_REQUEST_ID, ""), answer
            )

    async def stream(self, endpoint: str, body: bytes, *, component: bool = False) -> BegunAnswer:
        """Return an answer that has begun: what refuses, refuses before that.

        Raises:
            SealiftError: as `calls.stream` does; so does what comes after the beginning.
        """
        response = await self._post(endpoint, body, STREAMED, component=component)
        pieces = self._pieces(endpoint, response)
        try:
            with calls.told(endpoint), _answered(endpoint):
                refusal = await response.read() if signed_calls.is_refusal(response.status) else None
                self._reader.check(STREAMED, response.status, response.headers, refusal)
            first = await anext(pieces, b"")
        except BaseException:
            await pieces.aclose()
            response.close()
            raise
        headers = response.headers
        return BegunAnswer(
            headers.get(_STREAM_CONTENT, "text/event-stream"), headers.get(_REQUEST_ID, ""), first, pieces
        )

    async def _pieces(self, endpoint: str, response: aiohttp.ClientResponse) -> AsyncGenerator[bytes]:
        reader = StreamReader()
        try:
            with calls.told(endpoint), _answered(endpoint):
                async for chunk in response.content.iter_any():
                    for payload in reader.feed(chunk):
                        yield payload
        finally:
            # Of one that was read to its end the connection is kept.
            response.close()

    async def _post(
        self, endpoint: str, body: bytes, operation: str, *, component: bool
    ) -> aiohttp.ClientResponse:
        """Send a request and return the response, whose body is not read yet."""
        signed = signed_calls.sign(
            self._runtime,
            self._region,
            await self._known(),
            endpoint,
            body,
            operation=operation,
            component=component,
        )
        with _answered(endpoint):
            return await self._session.post(
                signed.url,
                data=_sendable(body),
                headers=signed.headers,
                proxy=self._proxy,
                allow_redirects=False,
            )

    async def _known(self) -> ReadOnlyCredentials:
        async with self._asking:
            if self._credentials is None or self._now() - self._asked_at >= KEPT_S:
                self._credentials = await asyncio.to_thread(self._ask_for_credentials)
                self._asked_at = self._now()
            return self._credentials


def session() -> aiohttp.ClientSession:
    """Return what sends: a connection for each call, kept for the next, TLS as the SDK has it."""
    trusted = ssl.create_default_context(cafile=settings.certificates() or get_cert_path(verify=True))
    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=0, ssl=trusted),
        timeout=aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_S, sock_read=SILENCE_S),
        # The container's answer passes as it is.
        auto_decompress=False,
        skip_auto_headers=("Accept-Encoding",),
        cookie_jar=aiohttp.DummyCookieJar(),
    )


def _sendable(body: bytes) -> bytes | BytesIO:
    """Return a body as aiohttp wants it: of a long one it sends pieces and lets others go on, if it is a file."""
    return body if len(body) <= MiB else BytesIO(body)


@contextmanager
def _answered(endpoint: str) -> Iterator[None]:
    """Raise what happened on the way to AWS and back as errors of ours."""
    try:
        yield
    except TimeoutError as error:
        raise EndpointFailed(
            f"endpoint {endpoint!r} was silent for {SILENCE_S} s; wanted an answer; ask again",
            fix="`sealift logs` has what the container wrote",
        ) from error
    except (aiohttp.ClientError, OSError) as error:
        raise ServiceUnavailable(
            f"no answer from AWS: {str(error) or type(error).__name__}; wanted one; try again, and {sdk_errors.NETWORK}"
        ) from error
    except ParserError as error:
        raise sdk_errors.not_aws(f"a stream that is not AWS's: {error}") from error
