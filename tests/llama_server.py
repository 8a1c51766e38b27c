"""The real llama-server as a process, asked as the adapter's shell asks it."""

from __future__ import annotations

import http.client
import json
import os
import signal
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

from adapter.collected import Collected, collectable, streamed
from adapter.events import END, Events
from adapter.replies import is_unread
from adapter.upstream import UpstreamCall, UpstreamReply

from local_cloud.hosting.containers.free_ports import free_port
from pipeline import package_files

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from adapter.translation import Translation

PROGRAM = package_files.llama_server()
CONTEXT, SLOTS, WAIT_S = 2048, 2, 60.0


class LlamaServer:
    """llama-server as a process, asked as the adapter's shell asks it."""

    def __init__(self, model: Path, folder: Path, *options: str) -> None:
        self.port = free_port()
        assert PROGRAM is not None, "`make llama-server` builds it"
        command = [
            *(str(PROGRAM), "--model", str(model), "--host", "127.0.0.1", "--port", str(self.port)),
            *("--threads", "1", "--parallel", str(SLOTS), "--ctx-size", str(CONTEXT * SLOTS)),
            *("--batch-size", str(CONTEXT), "--ubatch-size", str(CONTEXT), "--no-kv-unified", "--no-warmup"),
            *options,
        ]
        self.log = folder / "log"
        with self.log.open("w") as log:
            self.process = subprocess.Popen(
                command, cwd=folder, stdout=log, stderr=subprocess.STDOUT, start_new_session=True
            )
        deadline = time.monotonic() + WAIT_S
        while self.reply(UpstreamCall("/health")).status != 200:
            assert self.process.poll() is None, self.log.read_text()
            assert time.monotonic() < deadline, self.log.read_text()
            time.sleep(0.02)

    def end(self) -> None:
        """Stop it."""
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()

    def reply(self, call: UpstreamCall) -> UpstreamReply:
        """Send a call; a status of 0 when nobody listens yet."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=WAIT_S)
        try:
            body = None if call.body is None else json.dumps(call.body)
            connection.request(call.method, call.path, body, {"Content-Type": "application/json"})
            answer = connection.getresponse()
            return UpstreamReply(answer.status, json.loads(answer.read()))
        except ConnectionRefusedError:
            return UpstreamReply(0, None)
        finally:
            connection.close()

    def run(self, steps: Any, asked: Callable[[UpstreamCall], UpstreamReply] | None = None) -> Any:
        """Send what the steps of a translation ask, by `whole`, or by another function."""
        try:
            calls = next(steps)
            while True:
                with ThreadPoolExecutor(8) as pool:
                    replies = list(pool.map(asked or self.whole, calls))
                calls = steps.send(replies)
        except StopIteration as done:
            return done.value

    def whole(self, call: UpstreamCall) -> UpstreamReply:
        """Send a call as the shell does: as a stream that is put together, where that can be."""
        if not collectable(call):
            return self.reply(call)
        status, events = self.events(streamed(call))
        if status != 200:
            return UpstreamReply(status, events[0])
        collected = Collected(call)
        for event in events:
            collected.add(event)
        return collected.reply()

    def stream(self, translation: Translation) -> bytes:
        """Send the one call of a stream, and hand its events over."""
        status, events = self.events(translation.first)
        if status != 200 and not is_unread(UpstreamReply(status, events[0])):
            raise translation.refusal(UpstreamReply(status, events[0]))
        translation.begin()
        sent = [piece for event in events for piece in translation.events(event)]
        if translation.unread:
            sent += translation.events(self.run(translation.reread()))
        return b"".join([*sent, *translation.ended()])

    def events(self, call: UpstreamCall) -> tuple[int, list[Any]]:
        """Send a call; return its status and its events, or the error that it got."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=WAIT_S)
        try:
            connection.request("POST", call.path, json.dumps(call.body), {"Content-Type": "application/json"})
            answer = connection.getresponse()
            if answer.status != 200:
                return answer.status, [json.loads(answer.read())]
            feed = Events()
            return 200, [event for line in answer for event in feed.feed(line) if event is not END]
        finally:
            connection.close()
