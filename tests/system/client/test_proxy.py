"""`sealift proxy` as a process before the local cloud: every service, a switch under traffic, and how it ends."""

from __future__ import annotations

import http.client
import json
import signal
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from tests.proxied import harbor
from tests.system.cli.test_asking import INSTANCE, SENTENCE, deployed
from tests.system.workflow.test_deployment import settings

if TYPE_CHECKING:
    from pathlib import Path

    import pytest

    from local_cloud.cloud import LocalCloud
    from tests.system.conftest import Deployments

CHATS = "/v1/chat/completions"
WAIT_S = 60


def asked(url: str, document: dict[str, Any], path: str = CHATS, **headers: str) -> tuple[int, bytes, Any]:
    """Return status, body and headers of an answer."""
    request = urllib.request.Request(f"{url}{path}", json.dumps(document).encode(), headers)
    try:
        with urllib.request.urlopen(request, timeout=WAIT_S) as response:
            return response.status, response.read(), response.headers
    except urllib.error.HTTPError as refused:
        return refused.code, refused.read(), refused.headers


def chat(service: str, **more: Any) -> dict[str, Any]:
    """Return a question to a service."""
    return {
        "model": service,
        "messages": [{"role": "user", "content": "What?"}],
        "temperature": 0,
        **more,
    }


class Running:
    """The command as a process."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        assert process.stdout is not None
        self.process = process
        line = process.stdout.readline()
        assert line, process.communicate()[1]
        self.told: dict[str, Any] = json.loads(line)
        self.url: str = self.told["url"]


@contextmanager
def proxy(cloud: LocalCloud, monkeypatch: pytest.MonkeyPatch, *arguments: str) -> Iterator[Running]:
    """Run the command until the block ends."""
    monkeypatch.setenv("AWS_ENDPOINT_URL", cloud.url)
    command = [sys.executable, "-m", "sealift", "proxy", "--port", "0", "--json", "--quiet", *arguments]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        yield Running(process)
    finally:
        if process.poll() is None:
            process.kill()
        process.communicate(timeout=WAIT_S)


def test_every_service_is_there_by_its_name(
    deployments: Deployments, archive: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On serverless and on an instance, whole and as a stream; then it ends as it is asked to."""
    endpoints = {
        "scow": deployed(deployments, archive, "scow", consumer=None),
        "yawl": deployed(deployments, archive, "yawl", consumer=None, container="pytorch", **INSTANCE),
    }
    monkeypatch.setenv("SEALIFT_PROXY_KEY", "harbor")
    with proxy(deployments.cloud, monkeypatch) as running:
        assert running.told["services"] == ["scow", "yawl"]
        key = {"Authorization": "Bearer harbor"}
        assert asked(running.url, chat("scow"))[0] == 401
        for service, endpoint in endpoints.items():
            status, body, headers = asked(running.url, chat(service), **key)
            assert (status, headers["x-sealift-endpoint"]) == (200, endpoint)
            assert SENTENCE in json.loads(body)["choices"][0]["message"]["content"]

            status, body, headers = asked(running.url, chat(service, stream=True), **key)
            assert (status, headers.get_content_type()) == (200, "text/event-stream")
            *events, done, nothing = body.split(b"\n\n")
            assert (done, nothing) == (b"data: [DONE]", b"")
            deltas = [json.loads(one.removeprefix(b"data: "))["choices"][0]["delta"] for one in events]
            assert SENTENCE in "".join(one.get("content") or "" for one in deltas)

            status, body, _ = asked(running.url, {"model": service, "prompt": "a"}, "/v1/completions", **key)
            assert (status, json.loads(body)["object"]) == (200, "text_completion")
            status, body, _ = asked(running.url, chat(service, temperature=9), **key)
            assert (status, json.loads(body)["error"]["message"].partition(";")[0]) == (
                400,
                "'temperature' is 9",
            )
        status, body, _ = asked(running.url, chat("scwo"), **key)
        assert (status, json.loads(body)["error"]["code"]) == (404, "model_not_found")

        running.process.send_signal(signal.SIGTERM)
        out, err = running.process.communicate(timeout=WAIT_S)
        assert (running.process.returncode, out, err) == (0, "", "")


def test_a_switch_under_traffic_hurts_nobody(
    deployments: Deployments, archive: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Callers who never pause are all answered while the endpoint becomes another one and the old one goes."""
    before = deployed(deployments, archive, "ferry", consumer=None)
    with proxy(deployments.cloud, monkeypatch) as running:
        found: list[tuple[int, str]] = []
        over = threading.Event()

        def ask() -> None:
            while not over.is_set():
                status, _, headers = asked(running.url, chat("ferry", max_tokens=2))
                found.append((status, headers["x-sealift-endpoint"]))

        callers = [threading.Thread(target=ask) for _ in range(2)]
        for one in callers:
            one.start()
        try:
            ended = deployments.upload(archive, "ferry", settings(consumer=None, memory_mb=2048))
            assert ended.status == "SUCCEEDED", ended.cause
            after = str(ended.results["plan_deployment"]["names"]["endpoint"])
            assert after != before
            deployments.cloud.clients.sagemaker.delete_endpoint(EndpointName=before)
            deadline = time.monotonic() + WAIT_S
            while found[-1:] != [(200, after)]:
                assert time.monotonic() < deadline, found[-5:]
                time.sleep(0.05)
        finally:
            over.set()
            for one in callers:
                one.join()

    assert {status for status, _ in found} == {200}
    assert {name for _, name in found} == {before, after}


def test_who_is_being_answered_is_answered_to_the_end() -> None:
    """Nobody new is let in meanwhile."""
    with harbor() as here:
        place = urlsplit(here.url)
        connection = http.client.HTTPConnection(place.hostname or "", place.port, timeout=WAIT_S)
        connection.request("POST", CHATS, json.dumps(chat("tug", stream=True)))
        response = connection.getresponse()
        first = response.readline()
        here.ended.set_result(None)
        deadline = time.monotonic() + WAIT_S
        while not here.log:
            assert time.monotonic() < deadline
            time.sleep(0.01)
        assert here.log == ["ending after 1 answer that is under way; Ctrl-C ends at once"]
        here.going_on.set()
        rest = response.read()
        connection.close()

    assert b"Heavy" in first
    assert rest.endswith(b"data: [DONE]\n\n")
    assert here.log[1:] == [here.log[-1]]
    assert "tug  200" in here.log[-1]


def test_a_port_that_is_taken_is_told(monkeypatch: pytest.MonkeyPatch, cloud: LocalCloud) -> None:
    """In the user's terms; and so is a place that others reach, without a key."""
    monkeypatch.setenv("AWS_ENDPOINT_URL", cloud.url)
    port = str(urlsplit(cloud.url).port)

    def refused(*arguments: str) -> str:
        done = subprocess.run(
            [sys.executable, "-m", "sealift", "proxy", *arguments],
            capture_output=True,
            text=True,
            timeout=WAIT_S,
            check=False,
        )
        assert (done.returncode, done.stdout) == (1, "")
        return done.stderr

    assert "wanted a port that is free" in refused("--port", port)
    assert "SEALIFT_PROXY_KEY" in refused("--port", "0", "--host", "0.0.0.0")  # noqa: S104 it is refused
