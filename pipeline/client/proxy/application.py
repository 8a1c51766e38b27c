"""The server's application: who may ask, which endpoint is asked, and the answer as it comes.

Owns how often is tried and how many ask at once. Refuses to keep anything of a request or an answer.
"""

from __future__ import annotations

import asyncio
import logging
from contextlib import suppress
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING, Final

from aiohttp import web
from botocore.exceptions import ClientError

from pipeline import payload
from pipeline.aws import service_errors
from pipeline.client import calls, replies
from pipeline.client.proxy import asking, openai_errors
from pipeline.client.proxy.openai_errors import Refused
from pipeline.errors import NotYetVisible, RequestRejected, SealiftError
from pipeline.plain import one_line

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from pipeline.client.endpoint import ServiceEndpoint
    from pipeline.client.proxy.access import ProxyAccess
    from pipeline.client.proxy.asking import AskedService
    from pipeline.client.proxy.directory import ServiceDirectory
    from pipeline.client.proxy.openai_errors import ErrorAnswer
    from pipeline.client.proxy.upstream import BegunAnswer, Upstream

    Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

AT_ONCE: Final = 128
"""Calls that are under way; more wait until one of them has ended, so that memory has a bound."""
_SHOWN: Final = 80
"""Bytes of what a client calls a service."""
PAGE: Final = Path(__file__).resolve().parent / "page"
_PAGE_FILES: Final = {
    "/": ("page.html", "text/html"),
    "/page.css": ("page.css", "text/css"),
    "/page.js": ("page.js", "text/javascript"),
    "/page.svg": ("page.svg", "image/svg+xml"),
}
_PAGE_HEADERS: Final = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-cache",
}
_LOGGER: Final = logging.getLogger(__name__)


class Application:
    """The routes, over what knows the endpoints and what asks them.

    Args:
        directory: which endpoint serves.
        upstream: what asks it.
        access: who may ask.
        now: tells the time, in seconds.
        sleep: waits so many seconds.
        log: takes a line for each call that has ended.
    """

    def __init__(
        self,
        directory: ServiceDirectory,
        upstream: Upstream,
        access: ProxyAccess,
        *,
        now: Callable[[], float],
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        log: Callable[[str], None] = lambda _line: None,
    ) -> None:
        self._directory = directory
        self._upstream = upstream
        self._access = access
        self._now = now
        self._sleep = sleep
        self._log = log
        self._places = asyncio.Semaphore(AT_ONCE)
        self._page = {path: (PAGE / name).read_bytes() for path, (name, _) in _PAGE_FILES.items()}
        self.answering = 0
        """Calls that are under way."""

    def routes(self) -> web.Application:
        """Return them as aiohttp runs them."""
        made = web.Application(middlewares=[self._guard], client_max_size=asking.LARGEST)
        for path in _PAGE_FILES:
            made.router.add_get(path, self._show)
        made.router.add_get("/v1/models", self._models)
        made.router.add_get("/v1/models/{name}", self._model)
        for path in asking.ROUTES:
            made.router.add_post(path, self._call)
        return made

    @web.middleware
    async def _guard(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Answer whoever may ask, and tell every failure in OpenAI's form."""
        refusal = self._access.refusal(
            host=request.headers.get("Host", ""),
            origin=request.headers.get("Origin"),
            authorization=request.headers.get("Authorization", ""),
            open_to_all=request.path in _PAGE_FILES,
        )
        if refusal is not None:
            return _refusal(refusal)
        try:
            return await handler(request)
        except ConnectionError:
            raise
        except Exception as error:  # noqa: BLE001 each is told
            return _refusal(_told(request, error))

    async def _show(self, request: web.Request) -> web.Response:
        kind = _PAGE_FILES[request.path][1]
        return web.Response(
            body=self._page[request.path], content_type=kind, charset="utf-8", headers=_PAGE_HEADERS
        )

    async def _models(self, _request: web.Request) -> web.Response:
        found = await self._directory.services()
        return web.json_response(
            {"object": "list", "data": [_described(one.name, one.since) for one in found]}
        )

    async def _model(self, request: web.Request) -> web.Response:
        name = request.match_info["name"]
        for one in await self._directory.services():
            if one.name == name:
                return web.json_response(_described(one.name, one.since))
        message = f"no service {name!r} serves; GET /v1/models lists those that do"
        raise Refused(openai_errors.told(404, message, code="model_not_found", param="model"))

    async def _call(self, request: web.Request) -> web.StreamResponse:
        begun_at = self._now()
        async with self._places:
            self.answering += 1
            service, status = "-", "hung up"
            try:
                asked = asking.read(await request.read(), asking.ROUTES[request.path])
                service = asked.service
                response = await self._answer(request, asked)
                status = str(response.status)
            except Refused as refused:
                status = str(refused.answer.status)
                raise
            except web.HTTPException as error:
                status = str(error.status)
                raise
            except SealiftError as error:
                status = f"{openai_errors.of(error).status} {type(error).__name__}"
                raise
            finally:
                self.answering -= 1
                self._log(
                    f"{request.path}  {payload.cut(service, _SHOWN)}  {status}  {self._now() - begun_at:.2f} s"
                )
        return response

    async def _answer(self, request: web.Request, asked: AskedService) -> web.StreamResponse:
        endpoint, begun = await self._patiently(asked)
        headers = {"Content-Type": begun.content_type, "x-sealift-endpoint": endpoint.name}
        if begun.request_id:
            headers["x-request-id"] = begun.request_id
        if begun.rest is None:
            if other := replies.other_task(request.path, begun.first):
                raise Refused(
                    openai_errors.told(400, f"service {asked.service!r}: {other}", code="wrong_task")
                )
            return web.Response(body=begun.first, headers=headers)
        response = web.StreamResponse(headers={**headers, "Cache-Control": "no-cache"})
        try:
            await response.prepare(request)
            await response.write(begun.first)
            try:
                async for piece in begun.rest:
                    await response.write(piece)
            except SealiftError as error:
                await response.write(openai_errors.event(error))
            await response.write_eof()
        finally:
            with suppress(SealiftError):
                await begun.close()
        return response

    async def _patiently(self, asked: AskedService) -> tuple[ServiceEndpoint, BegunAnswer]:
        """Return the endpoint that answers, and its answer; wait for a container, and follow the service."""
        deadline = self._now() + calls.PATIENCE_S
        endpoint = await self._directory.endpoint(asked.service)
        while True:
            try:
                return endpoint, await self._begun(endpoint, asked)
            except calls.PASSING as error:
                if self._now() > deadline:
                    raise
                if not isinstance(error, NotYetVisible):
                    await self._sleep(calls.LOOK_S)
                    endpoint = await self._directory.endpoint(asked.service)
                    continue
                found = await self._directory.endpoint(asked.service, but=endpoint)
                if found == endpoint:
                    await self._sleep(calls.LOOK_S)
                endpoint = found
            except RequestRejected as error:
                # What AWS itself refuses may be what the endpoint that was known cannot do, or is no more.
                found = endpoint
                if _is_awss(error):
                    found = await self._directory.endpoint(asked.service, but=endpoint)
                if found == endpoint or self._now() > deadline:
                    raise
                endpoint = found

    async def _begun(self, endpoint: ServiceEndpoint, asked: AskedService) -> BegunAnswer:
        if refusal := asking.too_large(len(asked.body), on_instances=endpoint.streams):
            raise Refused(refusal)
        # A serverless endpoint answers "stream": true with all events at once.
        if asked.stream and endpoint.streams:
            return await self._upstream.stream(endpoint.name, asked.body, component=endpoint.component)
        return await self._upstream.whole(endpoint.name, asked.body, component=endpoint.component)


def _told(request: web.Request, error: Exception) -> ErrorAnswer:
    """Return what a client is told of what broke its call."""
    found = service_errors.translation(error)
    if isinstance(found, SealiftError):
        return openai_errors.of(found)
    match error:
        case Refused():
            return error.answer
        case web.HTTPRequestEntityTooLarge():
            return asking.too_large(asking.LARGEST + 1, on_instances=True) or openai_errors.told(
                413, error.reason
            )
        case web.HTTPException():
            known = ", ".join(["/v1/models", *asking.ROUTES])
            message = f"{request.method} {request.path}: {error.reason}; wanted one of {known}"
            return openai_errors.told(error.status, message, code="unknown_url")
        case web.RequestPayloadError():
            why = one_line(str(error.__cause__ or error))
            return openai_errors.told(
                400, f"the body cannot be read: {why}; wanted one that is encoded as its headers say"
            )
    _LOGGER.error("a call broke", exc_info=error)
    message = f"a mistake of Sealift's own: {type(error).__name__}; its log has more"
    return openai_errors.told(500, message, kind=openai_errors.SERVER, code="internal_error")


def _is_awss(error: SealiftError) -> bool:
    """Return whether AWS refused, and not the container."""
    cause = error.__cause__
    return isinstance(cause, ClientError) and service_errors.code(cause) != "ModelError"


def _described(name: str, since: int) -> dict[str, object]:
    return {"id": name, "object": "model", "created": since, "owned_by": "sealift"}


def _refusal(answer: ErrorAnswer) -> web.Response:
    return web.Response(
        status=answer.status,
        body=answer.body,
        headers=answer.headers,
        content_type="application/json",
        reason=HTTPStatus(answer.status).phrase if answer.status in set(HTTPStatus) else None,
    )
