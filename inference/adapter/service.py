"""The adapter: SageMaker's contract in front of llama-server.

Owns the waiting, the statuses and the limits of time and size. What a request means and what an answer looks like is
`translation`'s, whose turn it is `turns`'s, whether llama-server runs `life`'s, and the process is `serving`'s.

    GET  /ping          503 while the model loads and generates its first token, 200 from then on, 500 with the reason
                        when it did not, or when llama-server has ended and is not back
    POST /invocations   as many at once as there are slots, some more wait, the others get 429
    POST /v1/...        the same under OpenAI's own paths, also below /openai
    GET  /v1/models     the one model
    GET  /metrics       llama-server's own figures, and the adapter's, for Prometheus

The log is JSON lines on stdout, one for each request as `sealift_log` has it, and never holds a prompt or an answer.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import json
import time
import uuid
from dataclasses import dataclass, field
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING, Any

from adapter.collected import TIMEOUT, Collected, collectable, is_progress, streamed
from adapter.counts import Counts
from adapter.denials import ClientGone, Denied, loading, no_such_path, other_method, too_large
from adapter.events import END, Events
from adapter.process import BROKEN
from adapter.replies import is_unread
from adapter.translation import translate
from adapter.turns import Refused, Ticket, Turns
from adapter.upstream import UpstreamCall, UpstreamReply, driven
from aiohttp import web

from sealift_answers import EVENTS
from sealift_contract import (
    ASKED_AT,
    DRAIN_S,
    HURRY_S,
    MAX_BODY,
    Options,
)
from sealift_log import CLIENT_CLOSED_REQUEST, FAILED, event_of, trace_of
from sealift_request import BadRequest
from sealift_settings import answering_s

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Mapping, Sequence

    from adapter.life import Life, Loaded
    from adapter.process import LlamaServer
    from adapter.translation import Answer, Translation

MAX_WAITING = 64
"""Requests that may wait, unless SEALIFT_MAX_WAITING says otherwise."""
MAX_HELD = 4 * MAX_BODY
"""Bytes of all requests together that are kept at once."""
STREAM_S = 480
"""Seconds of a stream: SageMaker cuts it after 8 minutes."""
EVENTS_HEADERS = {"Content-Type": EVENTS, "Cache-Control": "no-cache", "X-Accel-Buffering": "no"}
PIECE = 65_536
SCRAPE_S = 2.0
"""Seconds that llama-server has to tell its figures: it does so between two evaluations. Ours are told in any case."""


@dataclass
class Exchange:
    """What is known of one request and its answer."""

    arrived: float
    deadline: float
    """When its answer has to end, by time.monotonic."""
    caller: str | None = None
    queued_s: float = 0.0
    first_token: float | None = None
    """When it was there."""
    status: int = CLIENT_CLOSED_REQUEST
    """Until there is another one, nobody has been answered."""
    bytes_out: int = 0
    told: dict[str, Any] = field(default_factory=dict)
    """What the log says besides."""
    broken: bool = False
    """Whether an answer that had begun came to no end of its own, whatever its status was."""

    def token(self, now: float) -> None:
        """Note that there is a token."""
        if self.first_token is None:
            self.first_token = now


class Service:
    """The model, the queue in front of it, and what is being answered."""

    def __init__(
        self,
        options: Options,
        life: Life,
        log: Callable[..., None],
        *,
        where: Mapping[str, str],
        stream_s: float = STREAM_S,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._options, self._life = options, life
        self._log, self._clock = log, clock
        self._stream_s = stream_s
        self._where = where
        self._turns = Turns(slots=1, max_waiting=options.max_waiting)
        self._grants: dict[Ticket, asyncio.Future[None]] = {}
        self._pinged = 0
        self._held = 0
        self._counts = Counts()
        self._stop_by = float("inf")
        self._timeouts: set[asyncio.Timeout] = set()
        self._active = 0
        self._idle = asyncio.Event()
        self._idle.set()

    def begin(self, loaded: Loaded) -> None:
        """Take as many requests at once as a llama-server that has been started has slots."""
        self._turns.slots = loaded.facts.slots

    # ------------------------------------------------------------------------------ the end

    async def stop(self) -> bool:
        """Let what is under way end, soon; return whether it did."""
        self._life.stopping = True
        self._stop_by = self._clock() + HURRY_S
        for timeout in self._timeouts:
            when = timeout.when()
            by = asyncio.get_running_loop().time() + HURRY_S
            if when is None or when > by:
                timeout.reschedule(by)
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._idle.wait(), DRAIN_S)
        return self._active == 0

    # ------------------------------------------------------------------------------ requests

    async def route(self, request: web.Request) -> web.StreamResponse:
        """Answer whatever is asked."""
        path, method = request.path, request.method
        if path == "/ping":
            return self._only("GET", request) or self._ping()
        if path == "/metrics":
            return self._only("GET", request) or await self._metrics()
        if path in MODELS_AT:
            return self._only("GET", request) or self._models()
        self._active += 1
        self._idle.clear()
        now = self._clock()
        exchange = Exchange(now, now + answering_s(self._options.timeout_s))
        try:
            response: web.StreamResponse
            if path not in ASKED_AT:
                response = self._denial(exchange, no_such_path(path))
            elif method != "POST":
                response = self._denial(exchange, other_method(method, path, "POST"))
            else:
                response = await self._invoke(request, exchange)
        finally:
            self._tell(request, exchange)
            self._active -= 1
            if self._active == 0:
                self._idle.set()
        return response

    def _only(self, method: str, request: web.Request) -> web.Response | None:
        if request.method in (method, "HEAD"):
            return None
        return _response(other_method(request.method, request.path, method))

    def _ping(self) -> web.Response:
        denied = self._not_ready()
        status = denied.status if denied else int(HTTPStatus.OK)
        if status != self._pinged:
            self._pinged = status
            self._log("health", status=status)
        body = denied.body if denied else b'{"status": "ready"}'
        return web.Response(status=status, body=body, content_type="application/json")

    async def _metrics(self) -> web.Response:
        text = self._counts.text(
            waiting=self._turns.waiting,
            running=self._turns.running,
            slots=self._turns.slots,
            restarts=self._life.restarts,
        )
        if self._life.loaded is not None:
            with contextlib.suppress(*BROKEN, OSError):  # a TimeoutError is an OSError
                async with asyncio.timeout(SCRAPE_S):
                    text = await self._life.loaded.server.text("/metrics") + text
        return web.Response(body=text.encode(), headers={"Content-Type": "text/plain; version=0.0.4"})

    def _models(self) -> web.Response:
        denied = self._not_ready()
        if denied is not None or self._life.loaded is None:
            denied = denied or loading()
            return web.Response(status=denied.status, body=denied.body, content_type="application/json")
        one = {"id": self._life.loaded.facts.name, "object": "model", "created": 0, "owned_by": "sealift"}
        return web.json_response({"object": "list", "data": [one]})

    def _not_ready(self) -> Denied | None:
        if self._life.failure is not None:
            return Denied(HTTPStatus.INTERNAL_SERVER_ERROR, self._life.failure, "load_failed")
        return None if self._life.loaded is not None else loading()

    def _tell(self, request: web.Request, exchange: Exchange) -> None:
        """Write the request's line, and count it."""
        event = FAILED if exchange.broken else event_of(exchange.status)
        self._counts.requests[event] += 1
        told = exchange.told
        if exchange.first_token is not None:
            seconds = exchange.first_token - exchange.arrived
            self._counts.first_token.add(seconds)
            told["ttft_ms"] = round(seconds * 1e3, 3)
        self._log(
            event,
            method=request.method,
            path=request.path[:200],
            status=int(exchange.status),
            seconds=round(self._clock() - exchange.arrived, 3),
            bytes_out=exchange.bytes_out,
            **self._where,
            **trace_of(request.headers.items()),
            **({"queue_ms": round(exchange.queued_s * 1e3, 3)} | told),
        )

    async def _invoke(self, request: web.Request, exchange: Exchange) -> web.StreamResponse:
        try:
            self._check()
            async with self._body(request) as body:
                return await self._answer(request, body, exchange)
        except Denied as denied:
            return self._denial(exchange, denied)
        except BadRequest as error:
            return self._refusal(exchange, error)
        except BROKEN as error:
            return self._denial(exchange, self._broken(error))
        except ClientGone:
            return web.Response()  # to nobody
        except Exception as error:  # noqa: BLE001 the boundary: every failure becomes an answer
            return self._denial(exchange, self._unexpected(error))

    def _denial(self, exchange: Exchange, denied: Denied) -> web.Response:
        exchange.status, exchange.bytes_out = denied.status, len(denied.body)
        exchange.told["code"] = denied.code
        return _response(denied)

    def _refusal(self, exchange: Exchange, error: BadRequest) -> web.Response:
        body = str(error.message).encode()
        exchange.status, exchange.bytes_out = error.status_code, len(body)
        exchange.told["code"] = error.code
        return web.Response(status=error.status_code, body=body, content_type="application/json")

    def _check(self) -> None:
        """Raise Denied where nothing is answered now."""
        if denied := self._not_ready():
            raise denied
        if self._stop_by < float("inf"):
            message = "the server is stopping; try again later"
            raise Denied(
                HTTPStatus.SERVICE_UNAVAILABLE, message, "stopping", Retry_After="1", Connection="close"
            )

    def _broken(self, error: Exception) -> Denied:
        self._log("broken", error=type(error).__name__)
        message = "llama-server ended while it answered; it is being started again, try later"
        return Denied(HTTPStatus.INTERNAL_SERVER_ERROR, message, "llama_server_ended")

    def _unexpected(self, error: Exception) -> Denied:
        self._log("error", error=type(error).__name__, where=_where(error))
        message = f"{type(error).__name__}; the log tells where"
        return Denied(HTTPStatus.INTERNAL_SERVER_ERROR, message, "internal_error")

    @contextlib.asynccontextmanager
    async def _body(self, request: web.Request) -> AsyncIterator[bytes]:
        """Read the body, and count it among those that are kept for the length of the block."""
        length = request.content_length or 0
        if length > MAX_BODY:
            raise too_large(length)
        if self._held + length > MAX_HELD:
            message = f"the requests that are inside have {self._held} bytes; with this one too many; try again later"
            raise Denied(
                HTTPStatus.TOO_MANY_REQUESTS,
                message,
                "queue_full",
                Retry_After=str(self._turns.retry_after_s()),
            )
        body = bytearray()
        try:
            async for piece in request.content.iter_chunked(PIECE):
                body += piece
                self._held += len(piece)
                if len(body) > MAX_BODY:
                    raise too_large(len(body))
            yield bytes(body)
        finally:
            self._held -= len(body)

    async def _answer(self, request: web.Request, body: bytes, exchange: Exchange) -> web.StreamResponse:
        loaded = self._life.loaded
        if loaded is None:
            raise loading()
        translation = translate(
            body,
            request.headers.get("Content-Type"),
            loaded.facts,
            loaded.settings,
            identity=uuid.uuid4().hex,
            created=int(time.time()),
        )
        exchange.caller = translation.caller
        if translation.request.max_time is not None:
            exchange.deadline = min(exchange.deadline, exchange.arrived + translation.request.max_time)
        async with self._turn(exchange):
            if translation.streams:
                return await self._streamed(request, translation, exchange, loaded.server)
            answer = await self._whole(translation, exchange, loaded.server)
            exchange.told |= answer.figures
            exchange.status, exchange.bytes_out = answer.status, len(answer.body)
            return web.Response(
                status=answer.status, body=answer.body, headers={"Content-Type": answer.content_type}
            )

    # ------------------------------------------------------------------------------ turns

    @contextlib.asynccontextmanager
    async def _turn(self, exchange: Exchange) -> AsyncIterator[None]:
        """Wait for a turn, and have it for the length of the block."""
        place = self._turns.enter(exchange.caller, self._clock())
        if isinstance(place, Refused):
            message = f"{place.inside} requests are being answered or wait already; try again later"
            raise Denied(
                HTTPStatus.TOO_MANY_REQUESTS, message, "queue_full", Retry_After=str(place.retry_after_s)
            )
        try:
            await self._granted(place, exchange)
            exchange.queued_s = self._clock() - exchange.arrived
            self._counts.queued.add(exchange.queued_s)
            self._check()
            yield
        finally:
            self._leave(place)

    async def _granted(self, ticket: Ticket, exchange: Exchange) -> None:
        if ticket.granted_at is not None:
            return
        patience = self._options.patience
        future = self._grants[ticket] = asyncio.get_running_loop().create_future()
        try:
            await asyncio.wait_for(future, max(0.0, exchange.arrived + patience - self._clock()))
        except TimeoutError:
            raise Denied(
                HTTPStatus.SERVICE_UNAVAILABLE,
                f"no turn came within {patience:g} s; try again later",
                "queue_timeout",
                Retry_After=str(self._turns.retry_after_s()),
            ) from None
        finally:
            self._grants.pop(ticket, None)

    def _leave(self, ticket: Ticket) -> None:
        for granted in self._turns.leave(ticket, self._clock()):
            future = self._grants.get(granted)
            if future is not None and not future.done():
                future.set_result(None)

    def _left(self, ticket: Ticket, _task: asyncio.Task[None]) -> None:
        self._leave(ticket)

    # ------------------------------------------------------------------------------ whole answers

    async def _whole(self, translation: Translation, exchange: Exchange, server: LlamaServer) -> Answer:
        steps = translation.steps(exchange.queued_s)
        return await driven(steps, lambda calls: self._all(calls, exchange, server))

    async def _all(
        self, calls: Sequence[UpstreamCall], exchange: Exchange, server: LlamaServer
    ) -> list[UpstreamReply]:
        """Send calls, one after the other, or beside each other in slots that nobody waits for."""
        replies: list[UpstreamReply] = [UpstreamReply(0, None)] * len(calls)
        left = iter(enumerate(calls))

        async def work() -> None:
            for index, call in left:
                replies[index] = await self._one(call, exchange, server)

        tasks = [asyncio.create_task(work())]
        while len(tasks) < len(calls):
            ticket = self._turns.spare(exchange.caller, self._clock())
            if ticket is None:
                break
            tasks.append(asyncio.create_task(work()))
            tasks[-1].add_done_callback(functools.partial(self._left, ticket))
        try:
            await asyncio.gather(*tasks)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        return replies

    async def _one(self, call: UpstreamCall, exchange: Exchange, server: LlamaServer) -> UpstreamReply:
        """Send one call; when its time is over, what there is of the answer is the answer."""
        collected = Collected(call)
        try:
            async with self._until(exchange):
                if not collectable(call):
                    return await server.ask(call)
                if reply := await self._collect(call, collected, exchange, server):
                    return reply
                # A chat's parts may contradict each other where the whole does not: then it is asked whole.
                reply = collected.reply()
                return reply if collected.right or is_unread(reply) else await server.ask(call)
        except TimeoutError:
            if collectable(call):
                return collected.reply(TIMEOUT)
            message = "the time of the call was over before the answer was there; ask for less at a time"
            raise Denied(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, message, "timeout") from None

    async def _collect(
        self, call: UpstreamCall, collected: Collected, exchange: Exchange, server: LlamaServer
    ) -> UpstreamReply | None:
        """Take a stream until its end; return the reply instead when it is none."""
        async with server.stream(streamed(call)) as answer:
            if answer.status != HTTPStatus.OK:
                return UpstreamReply(answer.status, _parsed(await answer.read()))
            async for events in _events_of(answer):
                collected.add(events)
                if collected.begun:
                    exchange.token(self._clock())
        if not collected.ended:
            raise ConnectionError("the stream broke off")
        return None

    @contextlib.asynccontextmanager
    async def _until(self, exchange: Exchange, deadline: float | None = None) -> AsyncIterator[None]:
        """Raise TimeoutError when the exchange's time is over; SIGTERM brings that nearer."""
        by = min(exchange.deadline if deadline is None else deadline, self._stop_by)
        async with asyncio.timeout(max(0.0, by - self._clock())) as timeout:
            self._timeouts.add(timeout)
            try:
                yield
            finally:
                self._timeouts.discard(timeout)

    # ------------------------------------------------------------------------------ streams

    async def _streamed(
        self, request: web.Request, translation: Translation, exchange: Exchange, server: LlamaServer
    ) -> web.StreamResponse:
        out = _Out(request, exchange)
        wanted, most = translation.request.max_time, answering_s(self._stream_s)
        sooner = wanted is not None and wanted < most
        try:
            async with (
                self._until(exchange, exchange.arrived + (wanted if wanted is not None and sooner else most)),
                server.stream(translation.first) as answer,
            ):
                await self._pass_on(answer, translation, exchange, out)
                if translation.unread:
                    send = functools.partial(self._all, exchange=exchange, server=server)
                    await out.write(translation.events(await driven(translation.reread(), send)))
                if not translation.over:
                    await out.write(translation.ended())
        except TimeoutError:
            await out.begin()
            stopping = self._stop_by < float("inf")
            if sooner and not stopping:  # as the request has it
                await out.write(translation.ended("timeout"))
            else:
                await out.write(translation.failed(self._cut()))
                exchange.told["code"] = "stopping" if stopping else "stream_timeout"
        except ClientGone:
            raise
        except Exception as error:
            # A stream that has begun ends with an event, whatever happened: a second status would stand in its midst.
            if not out.begun:
                raise
            denied = self._broken(error) if isinstance(error, BROKEN) else self._unexpected(error)
            exchange.told["code"], exchange.broken = denied.code, True
            await out.write(translation.failed(BadRequest(denied.status, str(denied), code=denied.code)))
        with contextlib.suppress(Exception):  # an answer that broke off has no figures
            exchange.told = translation.figures | exchange.told
        return await out.end()

    async def _pass_on(self, answer: Any, translation: Translation, exchange: Exchange, out: _Out) -> None:
        if answer.status != HTTPStatus.OK:
            reply = UpstreamReply(answer.status, _parsed(await answer.read()))
            if not is_unread(reply):
                raise translation.refusal(reply)
            translation.begin(exchange.queued_s)
            await out.begin()
            await out.write(translation.events(reply.document))
            return
        translation.begin(exchange.queued_s)
        await out.begin()
        async for events in _events_of(answer):
            if not all(map(is_progress, events)):
                exchange.token(self._clock())
            await out.write(translation.events(events))

    def _cut(self) -> BadRequest:
        if self._stop_by < float("inf"):
            return BadRequest(
                HTTPStatus.SERVICE_UNAVAILABLE,
                "the server is stopping, so the answer ends here; ask again",
                code="stopping",
            )
        return BadRequest(
            HTTPStatus.GATEWAY_TIMEOUT,
            f"the answer was cut: a stream has {self._stream_s:g} s, and they are over; ask for fewer tokens",
            code="stream_timeout",
        )


MODELS_AT = frozenset({"/v1/models", "/openai/v1/models"})


def _response(denied: Denied) -> web.Response:
    return web.Response(
        status=denied.status, body=denied.body, content_type="application/json", headers=denied.headers
    )


class _Out:
    """A stream to the caller."""

    def __init__(self, request: web.Request, exchange: Exchange) -> None:
        self._request, self._exchange = request, exchange
        self._response = web.StreamResponse(headers=EVENTS_HEADERS)

    @property
    def begun(self) -> bool:
        """Tell whether the caller has got the status."""
        return self._response.prepared

    async def begin(self) -> None:
        """Send the status."""
        if not self.begun:
            try:
                await self._response.prepare(self._request)
            except ConnectionError as error:
                raise ClientGone from error

    async def write(self, pieces: Any) -> None:
        """Send what there is, as one piece."""
        text = b"".join(pieces)
        if not text:
            return
        try:
            await self._response.write(text)
        except ConnectionError as error:
            raise ClientGone from error
        self._exchange.bytes_out += len(text)

    async def end(self) -> web.StreamResponse:
        """Send the end."""
        try:
            await self._response.write_eof()
        except ConnectionError as error:
            raise ClientGone from error
        self._exchange.status = HTTPStatus.OK
        return self._response


async def _events_of(answer: Any) -> AsyncIterator[list[Any]]:
    """Give the events as they come, those together that came together."""
    events = Events()
    async for piece in answer.content.iter_any():
        come: list[Any] = []
        try:
            come.extend(event for event in events.feed(piece) if event is not END)
        except ValueError:  # what came before it is told nevertheless
            yield come
            raise
        if come:
            yield come


def _parsed(body: bytes) -> Any:
    try:
        return json.loads(body)
    except ValueError:
        return body.decode("utf-8", errors="replace")


def _where(error: BaseException) -> list[str]:
    """Return where an error was raised, without its message: that may hold a text of somebody's."""
    found, trace = [], error.__traceback__
    while trace is not None:
        code = trace.tb_frame.f_code
        found.append(f"{Path(code.co_filename).name}:{trace.tb_lineno} {code.co_name}")
        trace = trace.tb_next
    return found[-6:]
