"""The proxy between a client and a stand-in for SageMaker's runtime: what passes, is waited for, is refused."""

from __future__ import annotations

import asyncio
import contextlib
import io
import json
import socket
from collections.abc import AsyncIterator, Callable, Coroutine
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from botocore.credentials import ReadOnlyCredentials

from pipeline.aws.clients import Clients
from pipeline.aws.signed_calls import STREAMED, WHOLE
from pipeline.client import calls
from pipeline.client.endpoint import ServiceEndpoint
from pipeline.client.proxy import asking, running
from pipeline.client.proxy.access import ProxyAccess
from pipeline.client.proxy.application import AT_ONCE, Application
from pipeline.client.proxy.directory import ServiceDirectory
from pipeline.client.proxy.upstream import KEPT_S, Upstream, session
from pipeline.client.services import ServingService
from pipeline.errors import InvalidInput, Problem
from pipeline.limits import SERVERLESS_REQUEST
from tests import fake_runtime
from tests.fake_runtime import (
    ANSWER,
    DONE,
    IDENTIFIED,
    REGION,
    Call,
    FakeRuntime,
    container_refusing,
    event,
    failed,
    framed,
    in_turn,
    refusing,
    streaming,
    whole,
)

CHAT = {"model": "demo", "messages": [{"role": "user", "content": "What?"}]}
CHATS = "/v1/chat/completions"
PATIENCE_S = 20


@dataclass
class Desk:
    """A proxy, the runtime behind it, and a client before it."""

    runtime: FakeRuntime
    client: aiohttp.ClientSession
    url: str
    serving: dict[str, ServiceEndpoint]
    """What the directory finds, by service."""
    looks: list[str] = field(default_factory=list)
    slept: list[float] = field(default_factory=list)
    log: list[str] = field(default_factory=list)
    signers: list[float] = field(default_factory=list)
    """When credentials were asked for."""
    at: float = 0.0

    async def post(
        self, document: Any = CHAT, path: str = CHATS, **headers: str
    ) -> tuple[int, dict[str, Any]]:
        """Return status and JSON of an answer."""
        data = document if isinstance(document, bytes) else json.dumps(document).encode()
        async with self.client.post(f"{self.url}{path}", data=io.BytesIO(data), headers=headers) as response:
            return response.status, json.loads(await response.read())

    def find(self, service: str) -> ServiceEndpoint:
        """Do what `service_endpoint.find` does."""
        self.looks.append(service)
        if service not in self.serving:
            raise InvalidInput(service, [Problem("NoDeployment", "no deployment", "one", "deploy")])
        return self.serving[service]

    def credentials(self) -> ReadOnlyCredentials:
        """Return the caller's credentials."""
        self.signers.append(self.at)
        return fake_runtime.credentials()

    def now(self) -> float:
        """Return the time, which only sleeping moves."""
        return self.at

    async def sleep(self, seconds: float) -> None:
        """Let time pass."""
        self.slept.append(seconds)
        self.at += seconds
        await asyncio.sleep(0)


def on_instances(name: str) -> ServiceEndpoint:
    """Return an endpoint that streams."""
    return ServiceEndpoint("demo", name, streams=True)


def serverless(name: str) -> ServiceEndpoint:
    """Return one that does not."""
    return ServiceEndpoint("demo", name, streams=False)


@contextlib.asynccontextmanager
async def desk(access: ProxyAccess | None = None) -> AsyncIterator[Desk]:
    """Run it all, with service `demo` on endpoint `demo-1`, which is serverless."""
    runtime = FakeRuntime({"demo-1": whole})
    behind = TestServer(runtime.application())
    await behind.start_server()
    async with session() as sending, aiohttp.ClientSession() as client:
        here = Desk(runtime, client, "", {"demo": serverless("demo-1")})
        upstream = Upstream(
            sending,
            runtime=str(behind.make_url("")).rstrip("/"),
            region=REGION,
            reader=fake_runtime.reader(),
            credentials=here.credentials,
            now=here.now,
        )
        known = ServiceDirectory(here.find, lambda: (ServingService("demo", "demo-1", 7),), here.now)
        application = Application(
            known,
            upstream,
            access or ProxyAccess("127.0.0.1"),
            now=here.now,
            sleep=here.sleep,
            log=here.log.append,
        )
        before = TestServer(application.routes())
        await before.start_server()
        here.url = str(before.make_url("")).rstrip("/")
        yield here
        await before.close()
        known.close()
    await behind.close()


def run(test: Callable[[Desk], Coroutine[Any, Any, None]], access: ProxyAccess | None = None) -> None:
    """Run a test on a loop of its own, bounded."""

    async def bounded() -> None:
        async with asyncio.timeout(PATIENCE_S), desk(access) as here:
            await test(here)

    asyncio.run(bounded())


@pytest.mark.parametrize(
    ("path", "body"),
    [
        (CHATS, CHAT),
        ("/v1/completions", {"model": "demo", "prompt": "What"}),
        ("/v1/embeddings", {"model": "demo", "input": ["a"]}),
        ("/v1/responses", {"model": "demo", "input": "What?"}),
        ("/v1/rerank", {"model": "demo", "query": "a", "documents": ["b"]}),
    ],
)
def test_a_request_passes_as_it_came_and_so_does_its_answer(path: str, body: dict[str, Any]) -> None:
    """Byte for byte, signed by the caller's credentials, to the endpoint that serves."""

    async def test(here: Desk) -> None:
        sent = json.dumps(body, indent=3).encode()
        async with here.client.post(f"{here.url}{path}", data=sent) as response:
            answer = await response.read()
            assert (response.status, response.content_type) == (200, "application/json")
            assert response.headers["x-request-id"] == "request-1"
            assert response.headers["x-sealift-endpoint"] == "demo-1"
        (call,) = here.runtime.calls

        assert (call.endpoint, call.operation, call.body) == ("demo-1", WHOLE, sent)
        assert json.loads(answer) == ANSWER
        signed = call.headers["Authorization"]
        assert signed.startswith("AWS4-HMAC-SHA256 Credential=AKIA/")
        assert f"/{REGION}/sagemaker/aws4_request" in signed
        assert call.headers["X-Amz-Security-Token"] == "token"
        assert here.log == [f"{path}  demo  200  0.00 s"]

    run(test)


def test_credentials_are_asked_for_again_after_a_while() -> None:
    """The SDK renews them before they end; many calls together ask once."""

    async def test(here: Desk) -> None:
        for at in (0.0, KEPT_S - 0.1, KEPT_S):
            here.at = at
            await asyncio.gather(here.post(), here.post())
        assert here.signers == [0.0, KEPT_S]

    run(test)


def test_a_stream_passes_piece_by_piece() -> None:
    """The first word is there before the second one is said."""

    async def test(here: Desk) -> None:
        here.serving["demo"] = on_instances("demo-2")
        heard = asyncio.Event()

        async def answer(call: Call) -> web.StreamResponse:
            response = await fake_runtime.begun(call)
            await response.write(framed(event("Heavy")))
            await heard.wait()
            cut = framed(event("cargo") + DONE)
            await response.write(cut[:11])
            await response.write(cut[11:])
            return response

        here.runtime.answers["demo-2"] = answer
        async with here.client.post(f"{here.url}{CHATS}", json={**CHAT, "stream": True}) as response:
            first = await response.content.readuntil(b"\n\n")
            heard.set()
            rest = await response.read()

        assert (first, rest) == (event("Heavy"), event("cargo") + DONE)
        assert response.content_type == "text/event-stream"
        assert here.runtime.calls[0].operation == STREAMED
        assert here.runtime.calls[0].headers["X-Amzn-SageMaker-Accept"] == "text/event-stream"

    run(test)


@pytest.mark.parametrize("stream", [False, "true", 1, None])
def test_only_true_asks_for_a_stream(stream: object) -> None:
    """All else the container judges."""

    async def test(here: Desk) -> None:
        here.serving["demo"] = on_instances("demo-1")
        await here.post({**CHAT, "stream": stream})
        assert here.runtime.calls[0].operation == WHOLE

    run(test)


def test_a_serverless_endpoint_answers_a_stream_with_all_events_at_once() -> None:
    """As its container makes them; the client reads them as any stream."""

    async def test(here: Desk) -> None:
        async def answer(_call: Call) -> web.StreamResponse:
            return web.Response(
                body=event("Ahoy") + DONE, content_type="text/event-stream", headers=fake_runtime.IDENTIFIED
            )

        here.runtime.answers["demo-1"] = answer
        async with here.client.post(f"{here.url}{CHATS}", json={**CHAT, "stream": True}) as response:
            assert (response.content_type, await response.read()) == (
                "text/event-stream",
                event("Ahoy") + DONE,
            )
        assert here.runtime.calls[0].operation == WHOLE

    run(test)


@pytest.mark.parametrize("begun", [False, True])
def test_a_client_that_hangs_up_ends_its_call(*, begun: bool) -> None:
    """Before the answer begins, and in its middle."""

    async def test(here: Desk) -> None:
        here.serving["demo"] = on_instances("demo-2")
        asked, ended = asyncio.Event(), asyncio.Event()

        async def answer(call: Call) -> web.StreamResponse:
            try:
                if begun:
                    response = await fake_runtime.begun(call)
                    await response.write(framed(event("Heavy")))
                asked.set()
                await asyncio.Event().wait()
            finally:
                ended.set()
            raise AssertionError

        here.runtime.answers["demo-2"] = answer

        async def ask() -> None:
            async with here.client.post(f"{here.url}{CHATS}", json={**CHAT, "stream": True}) as response:
                await response.read()

        asking_it = asyncio.create_task(ask())
        await asked.wait()
        if begun:
            await asyncio.sleep(0.05)
        asking_it.cancel()
        await ended.wait()
        while not here.log:  # noqa: ASYNC110 it is a list
            await asyncio.sleep(0.01)

        assert here.log == [f"{CHATS}  demo  hung up  0.00 s"]
        assert (await here.post({**CHAT, "model": "none"}))[0] == 404

    run(test)


@pytest.mark.parametrize(
    "passing",
    [
        pytest.param(refusing("ModelNotReadyException", 429), id="a container that starts"),
        pytest.param(refusing("ThrottlingException", 400), id="throttled"),
        pytest.param(container_refusing(503, "busy"), id="a busy container"),
    ],
)
@pytest.mark.parametrize("stream", [False, True])
def test_what_passes_is_waited_for(passing: fake_runtime.Answer, *, stream: bool) -> None:
    """And the answer comes as if nothing had been."""

    async def test(here: Desk) -> None:
        if stream:
            here.serving["demo"] = on_instances("demo-1")
        good = streaming(framed(DONE)) if stream else whole
        here.runtime.answers["demo-1"] = in_turn(passing, passing, good)
        async with here.client.post(f"{here.url}{CHATS}", json={**CHAT, "stream": stream}) as response:
            await response.read()

        assert response.status == 200
        assert here.slept == [calls.LOOK_S] * 2

    run(test)


def test_nobody_waits_for_ever() -> None:
    """Then the client hears it, in a status at which it tries again by itself."""

    async def test(here: Desk) -> None:
        here.runtime.answers["demo-1"] = refusing("ModelNotReadyException", 429)
        status, document = await here.post()

        assert (status, document["error"]["code"]) == (503, "model_not_ready")
        assert calls.PATIENCE_S <= here.at <= calls.PATIENCE_S + 2 * calls.LOOK_S

    run(test)


def test_a_switch_is_followed_at_once_where_the_endpoint_is_gone() -> None:
    """Callers who come together look together; none of them waits."""

    async def test(here: Desk) -> None:
        assert (await here.post())[0] == 200
        del here.runtime.answers["demo-1"]
        here.runtime.answers["demo-2"] = whole
        here.serving["demo"] = serverless("demo-2")

        found = await asyncio.gather(*(here.post() for _ in range(5)))

        assert [status for status, _ in found] == [200] * 5
        assert here.looks == ["demo", "demo"]
        assert here.slept == []

    run(test)


def test_a_switch_is_followed_after_a_while_where_both_are_there() -> None:
    """What was found is believed for a moment, then looked for behind a call, then before it."""

    async def test(here: Desk) -> None:
        here.runtime.answers["demo-2"] = whole
        await here.post()
        here.serving["demo"] = serverless("demo-2")
        here.at = 60
        await here.post()

        assert [call.endpoint for call in here.runtime.calls] == ["demo-1", "demo-2"]

    run(test)


def test_an_endpoint_that_is_of_another_kind_now_is_asked_in_its_way() -> None:
    """What AWS itself refuses is a reason to look again; what a container refuses is not."""

    async def test(here: Desk) -> None:
        here.serving["demo"] = on_instances("demo-1")
        refused = refusing("ValidationError", 400, message="Response streaming is not supported.")

        async def answer(call: Call) -> web.StreamResponse:
            return await (refused if call.operation == STREAMED else whole)(call)

        here.runtime.answers["demo-1"] = answer
        status, document = await here.post({**CHAT, "stream": True})
        assert (status, document["error"]["code"]) == (400, "aws_refused")
        assert here.looks == ["demo", "demo"]

        here.serving["demo"] = serverless("demo-1")
        assert (await here.post({**CHAT, "stream": True}))[0] == 200
        assert here.looks == ["demo"] * 3

        here.runtime.answers["demo-1"] = container_refusing(400, "too long")
        assert (await here.post())[0] == 400
        assert here.looks == ["demo"] * 3

    run(test)


def test_an_endpoint_that_is_nowhere_is_told_in_the_end() -> None:
    """After as long as a new one may take to be seen."""

    async def test(here: Desk) -> None:
        here.runtime.answers.clear()
        status, document = await here.post()
        assert (status, document["error"]["code"]) == (503, "endpoint_not_found")
        assert here.at >= calls.PATIENCE_S

    run(test)


@pytest.mark.parametrize(
    ("said", "status", "message"),
    [
        ('{"error": {"message": "too long", "type": "x", "code": 422}}', 422, "too long"),
        ("no such field", 400, "no such field"),
        ("Worker died", 500, "Worker died"),
    ],
)
def test_a_containers_refusal_passes_with_its_status(said: str, status: int, message: str) -> None:
    """A stream's too, whose status is known before its first event."""

    async def test(here: Desk) -> None:
        for endpoint in (serverless("demo-1"), on_instances("demo-1")):
            here.serving["demo"], here.at = endpoint, here.at + 60
            here.runtime.answers["demo-1"] = container_refusing(status, said)
            found, document = await here.post({**CHAT, "stream": True})
            assert (found, document["error"]["message"]) == (status, message)

    run(test)


def test_a_failure_in_the_middle_of_a_stream_is_its_last_event() -> None:
    """So that no client takes what came for a whole answer."""

    async def test(here: Desk) -> None:
        here.serving["demo"] = on_instances("demo-1")
        here.runtime.answers["demo-1"] = streaming(framed(event("Heavy")), failed("out of memory"))
        async with here.client.post(f"{here.url}{CHATS}", json={**CHAT, "stream": True}) as response:
            said = (await response.read()).split(b"\n\n")

        assert said[0] + b"\n\n" == event("Heavy")
        assert "out of memory" in json.loads(said[1].removeprefix(b"data: "))["error"]["message"]
        assert said[2:] == [b""]

    run(test)


@pytest.mark.parametrize("begun", [False, True])
def test_a_connection_that_breaks_is_told(*, begun: bool) -> None:
    """As a status before the answer, as an event in its middle."""

    async def test(here: Desk) -> None:
        here.serving["demo"] = on_instances("demo-1")

        async def answer(call: Call) -> web.StreamResponse:
            if begun:
                response = await fake_runtime.begun(call)
                await response.write(framed(event("Heavy")))
            assert call.request.transport is not None
            call.request.transport.abort()
            await asyncio.Event().wait()
            raise AssertionError

        here.runtime.answers["demo-1"] = answer
        async with here.client.post(f"{here.url}{CHATS}", json={**CHAT, "stream": True}) as response:
            said = await response.read()

        assert response.status == (200 if begun else 503)
        assert b"no answer from AWS" in said
        assert DONE not in said

    run(test)


def test_what_is_not_awss_is_told() -> None:
    """A proxy's page with status 200 is no answer."""

    async def test(here: Desk) -> None:
        async def answer(_call: Call) -> web.StreamResponse:
            return web.Response(text="<html>Log in</html>", content_type="text/html")

        here.runtime.answers["demo-1"] = answer
        for endpoint in (serverless("demo-1"), on_instances("demo-1")):
            here.serving["demo"], here.at = endpoint, here.at + 60
            status, document = await here.post({**CHAT, "stream": True})
            assert status == 503
            assert "is not AWS" in document["error"]["message"]

    run(test)


def test_a_request_may_be_as_large_as_the_endpoint_takes() -> None:
    """4 MiB to serverless, 25 to instances; the refusal tells which."""

    async def test(here: Desk) -> None:
        def sized(size: int) -> bytes:
            empty = json.dumps({**CHAT, "user": ""}).encode()
            return json.dumps({**CHAT, "user": "x" * (size - len(empty))}).encode()

        most = SERVERLESS_REQUEST.value
        assert len(sized(most)) == most
        assert (await here.post(sized(most)))[0] == 200
        status, document = await here.post(sized(most + 1))
        assert status == 413
        assert "4 MiB" in document["error"]["message"]
        here.serving["demo"], here.at = on_instances("demo-1"), 60
        assert (await here.post(sized(most + 1)))[0] == 200
        status, document = await here.post(sized(asking.LARGEST + 1))
        assert status == 413
        assert "25 MiB" in document["error"]["message"]
        assert here.log[-1] == f"{CHATS}  -  413  0.00 s"

    run(test)


def test_what_is_no_request_is_refused_in_openais_form() -> None:
    """Paths, methods, services and bodies; nothing of it reaches AWS."""

    async def test(here: Desk) -> None:
        for document, path, status, code in (
            (CHAT, "/v1/images", 404, "unknown_url"),
            ({**CHAT, "model": "dmeo"}, CHATS, 404, "model_not_found"),
            ({"model": "demo"}, CHATS, 400, "missing_required_parameter"),
        ):
            found, told = await here.post(document, path)
            assert (found, told["error"]["code"]) == (status, code)
            assert set(told["error"]) == {"message", "type", "param", "code"}
        async with here.client.get(f"{here.url}{CHATS}") as response:
            assert (response.status, (await response.json())["error"]["code"]) == (405, "unknown_url")
        assert here.runtime.calls == []

    run(test)


@pytest.mark.parametrize(
    ("path", "answer"),
    [
        ("/v1/embeddings", {"object": "response", "output": []}),
        ("/v1/responses", {"object": "list", "data": []}),
    ],
)
def test_an_answer_of_another_task_is_an_error(path: str, answer: dict[str, Any]) -> None:
    """A client would read what is not in it: both are asked with `input`."""

    async def test(here: Desk) -> None:
        async def answering(_call: Call) -> web.StreamResponse:
            return web.json_response(answer, headers=IDENTIFIED)

        here.runtime.answers["demo-1"] = answering
        status, told = await here.post({"model": "demo", "input": "What?"}, path)
        assert (status, told["error"]["code"]) == (400, "wrong_task")

    run(test)


def test_a_body_that_cannot_be_decoded_is_its_senders_mistake() -> None:
    """As its headers say that it is encoded."""

    async def test(here: Desk) -> None:
        headers = {"Content-Encoding": "gzip", "Content-Length": "4"}
        async with here.client.post(
            f"{here.url}{CHATS}", data=b"abcd", headers=headers, compress=None
        ) as response:
            told = await response.json()
        assert response.status == 400
        assert "cannot be read" in told["error"]["message"]

    run(test)


def test_a_service_with_a_long_name_has_a_short_line_in_the_log() -> None:
    """Whoever asks decides what stands there."""

    async def test(here: Desk) -> None:
        status, _ = await here.post({**CHAT, "model": "d" * 100_000})
        assert status == 404
        assert len(here.log[-1]) < 200

    run(test)


@pytest.mark.parametrize(
    "sent",
    [
        pytest.param(b"GET / HTTP/1.1\r\nHost: localhost\r\nHost: evil.example\r\n\r\n", id="two hosts"),
        pytest.param(b"GET / HTTP/1.1\r\n\r\n", id="no host"),
        pytest.param(b"GET /" + b"a" * 20_000 + b" HTTP/1.1\r\nHost: localhost\r\n\r\n", id="long"),
    ],
)
def test_what_is_no_http_is_a_line_in_the_log(
    sent: bytes, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """And no traceback: it is no mistake of ours."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "any")
    lines: list[str] = []

    async def test() -> None:
        ended: Future[None] = Future()
        listening = socket.create_server(("127.0.0.1", 0))
        place = listening.getsockname()
        clients = Clients(region=REGION)
        known = ServiceDirectory(Desk.find, tuple, asyncio.get_running_loop().time)  # type: ignore[arg-type]
        serving = asyncio.create_task(
            running.serve(clients, listening, ProxyAccess("127.0.0.1"), known, log=lines.append, ended=ended)
        )
        reader, writer = await asyncio.open_connection(*place)
        writer.write(sent)
        answer = await reader.read()
        assert answer.startswith(b"HTTP/1.")
        assert b" 400 " in answer.splitlines()[0]
        writer.close()
        await writer.wait_closed()
        ended.set_result(None)
        await serving
        listening.close()

    async def bounded() -> None:
        async with asyncio.timeout(PATIENCE_S):
            await test()

    asyncio.run(bounded())

    (line,) = lines
    assert line.startswith("no HTTP  400  ")
    assert len(line) < 400
    assert caplog.records == []


def test_models_are_the_services_that_serve() -> None:
    """All, and one by its name."""

    async def test(here: Desk) -> None:
        one = {"id": "demo", "object": "model", "created": 7, "owned_by": "sealift"}
        for path, status, wanted in (
            ("/v1/models", 200, {"object": "list", "data": [one]}),
            ("/v1/models/demo", 200, one),
        ):
            async with here.client.get(f"{here.url}{path}") as response:
                assert (response.status, await response.json()) == (status, wanted)
        async with here.client.get(f"{here.url}/v1/models/none") as response:
            assert response.status == 404

    run(test)


def test_a_key_is_wanted_of_everything_but_the_page() -> None:
    """The page asks its reader for it."""

    async def test(here: Desk) -> None:
        assert (await here.post())[0] == 401
        assert (await here.post(Authorization="Bearer other"))[0] == 401
        assert (await here.post(Authorization="Bearer harbor"))[0] == 200
        for path, status in (("/", 200), ("/page.js", 200), ("/page.css", 200), ("/v1/models", 401)):
            async with here.client.get(f"{here.url}{path}") as response:
                assert response.status == status
                if path == "/":
                    assert "default-src 'none'" in response.headers["Content-Security-Policy"]

    run(test, ProxyAccess("127.0.0.1", "harbor"))


def test_other_pages_of_a_browser_are_not_answered() -> None:
    """Neither under a name of theirs that points here, nor from a place of theirs."""

    async def test(here: Desk) -> None:
        for headers, code in (
            ({"Host": "evil.example"}, "wrong_host"),
            ({"Origin": "https://evil.example"}, "wrong_origin"),
            ({"Origin": "null"}, "wrong_origin"),
        ):
            status, document = await here.post(**headers)
            assert (status, document["error"]["code"]) == (403, code)
        assert (await here.post(Origin=here.url))[0] == 200
        assert len(here.runtime.calls) == 1

    run(test)


def test_so_many_are_asked_at_once_and_no_more() -> None:
    """The others wait, and all are answered."""

    async def test(here: Desk) -> None:
        under_way, most, full = 0, 0, asyncio.Event()

        async def answer(call: Call) -> web.StreamResponse:
            nonlocal under_way, most
            under_way += 1
            most = max(most, under_way)
            if under_way == AT_ONCE:
                full.set()
            await full.wait()
            under_way -= 1
            return await whole(call)

        here.runtime.answers["demo-1"] = answer
        connector = aiohttp.TCPConnector(limit=0)
        async with aiohttp.ClientSession(connector=connector) as many:
            here.client, kept = many, here.client
            found = await asyncio.gather(*(here.post() for _ in range(AT_ONCE + 12)))
            here.client = kept

        assert [status for status, _ in found] == [200] * (AT_ONCE + 12)
        assert most == AT_ONCE

    run(test)
