"""The llama-server behind the adapter: its process, its last words, and HTTP to it over a UNIX socket.

Owns start, end and the connection. Refuses to decide what an end means, and to hand on what llama-server writes once
it answers requests: from then on a line may hold a text of somebody's.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import re
import shutil
import signal
import sys
import tempfile
from collections import deque
from pathlib import Path
from typing import TYPE_CHECKING, Any

import aiohttp
from adapter.upstream import UpstreamReply

from sealift_settings import LoadError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Mapping

    from adapter.command import Command
    from adapter.upstream import UpstreamCall

TIED = Path(__file__).with_name("tied.py")
SOCKET = "llama-server.sock"
"""Relative to the folder that it is started in: the path of a socket may have 107 bytes."""
DESCRIPTORS = Path("/proc/self/fd")
"""Where an open folder has a short path."""
JSON = {"Content-Type": "application/json"}
LOOK_S = 0.05
"""Seconds between two looks whether it is there yet."""
KEPT = 12
"""Lines of its log that are kept."""
_CRASH = re.compile(
    r"(?:\S+:\d+: )?GGML_(?:ASSERT|ABORT)\b.*"
    r"|\S+\.(?:c|h|m|cpp|hpp|cu|cuh):\d+: .*"
    r"|terminate called.*|libc\+\+abi: terminating[^:]*?(?: of type [\w:]*\w)?(?=: |$)"
    r"|(?:\w+: )?failed to allocate.*|CUDA error.*|std::bad_alloc.*"
)
"""What lines may be told of after the start, and how much of them: those of a crash, by how they begin. Elsewhere such
words may be a caller's, which a warning quotes; and an exception's message may be one."""
_PREFIX = re.compile(r"^[\d.]+ ([A-Z]) +")
"""Before each line: the time, and the level."""
BROKEN = (aiohttp.ClientError, ConnectionError, asyncio.IncompleteReadError)
"""What a call raises when llama-server ends under it."""


class LastWords:
    """What of llama-server's log may be told."""

    def __init__(self) -> None:
        self._started = False
        self._lines: deque[str] = deque(maxlen=KEPT)
        self._errors: deque[str] = deque(maxlen=KEPT)

    def begin(self) -> None:
        """Note that it answers requests from now on; what it said until then is of no interest any more."""
        self._started = True
        self._lines.clear()
        self._errors.clear()

    def add(self, line: str) -> None:
        """Take one line."""
        text = line.strip()
        found = _PREFIX.match(text)
        said = text[found.end() :] if found else text
        if self._started:
            crash = _CRASH.match(said)
            said = crash[0] if crash else ""
        if not said:
            return
        self._lines.append(said)
        if found and found[1] == "E":
            self._errors.append(said)

    def __str__(self) -> str:
        """Return its errors, or else whatever it said last."""
        return "; ".join(self._errors or list(self._lines)[-3:]) or "nothing"


def ended_how(code: int) -> str:
    """Return how a process ended, by its return code."""
    if code >= 0:
        return f"ended with status {code}"
    try:
        name = signal.Signals(-code).name
    except ValueError:
        name = f"signal {-code}"
    why = ", mostly for want of memory" if code == -signal.SIGKILL else ""
    return f"was ended by {name}{why}"


async def _encoded(body: Any) -> bytes | None:
    """Return a call's body as JSON, None for none; a large one is written beside the event loop."""
    if body is None:
        return None
    return await asyncio.to_thread(_json, body) if large(body) else _json(body)


def _json(body: Any) -> bytes:
    return json.dumps(body).encode()


def large(value: Any, most: int = 65_536) -> bool:
    """Tell whether JSON is longer than about so many bytes; what is longer is not counted to its end."""
    length, left = 0, [value]
    while left and length <= most:
        one = left.pop()
        length += len(one) if isinstance(one, str) else 4
        if isinstance(one, dict):
            left.extend(one)
            left.extend(one.values())
        elif isinstance(one, list | tuple):
            length += len(one)
            left.extend(one[: most + 1])
    return length > most


class LlamaServer:
    """One run of llama-server, from its start to its end."""

    def __init__(self, process: asyncio.subprocess.Process, folder: Path) -> None:
        self._process = process
        self._folder = folder
        self._opened = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        near = DESCRIPTORS / str(self._opened)
        self.words = LastWords()
        self._reading = asyncio.create_task(self._read())
        # A connection for each call: a kept one may be closed on the other side in the moment of its next use.
        self._session = aiohttp.ClientSession(
            connector=aiohttp.UnixConnector(
                str((near if near.exists() else folder) / SOCKET), limit=0, force_close=True
            ),
            timeout=aiohttp.ClientTimeout(total=None),
            auto_decompress=False,
        )

    @classmethod
    async def start(cls, command: Command, environ: Mapping[str, str]) -> LlamaServer:
        """Start one; it is not ready yet."""
        folder = Path(tempfile.mkdtemp(prefix="sealift-"))
        try:
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-I", "-S", str(TIED), str(os.getpid())),
                *command.arguments(SOCKET),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.STDOUT,
                cwd=folder,
                env=dict(environ),
            )
        except BaseException:
            shutil.rmtree(folder, ignore_errors=True)
            raise
        return cls(process, folder)

    @property
    def pid(self) -> int:
        """Return its process id."""
        return self._process.pid

    async def ready(self, sleep: Callable[[float], Awaitable[None]] = asyncio.sleep) -> None:
        """Wait until it has loaded its model.

        Raises:
            LoadError: it ended instead; with its own words.
        """
        while self._process.returncode is None:
            with contextlib.suppress(*BROKEN, OSError):
                async with self._session.get("http://llama-server/health") as answer:
                    if answer.status == 200:
                        self.words.begin()
                        return
            await sleep(LOOK_S)
        await self._reading
        # Here, since it brings numpy, which nothing else needs where texts are generated.
        from sealift_native import load_failure

        raise LoadError(f"llama-server {self.how}: {load_failure(str(self.words), 'llama-server')}")

    @property
    def how(self) -> str:
        """Return how it ended."""
        code = self._process.returncode
        return "runs" if code is None else ended_how(code)

    async def ended(self) -> None:
        """Wait for its end."""
        await self._process.wait()
        await self._reading

    async def ask(self, call: UpstreamCall) -> UpstreamReply:
        """Return the whole reply to a call; one that is no JSON is a text.

        Raises:
            aiohttp.ClientError, ConnectionError: it ended.
        """
        async with self._request(call, await _encoded(call.body)) as answer:
            body = await answer.read()
        try:
            return UpstreamReply(answer.status, json.loads(body))
        except ValueError:
            return UpstreamReply(answer.status, body.decode("utf-8", errors="replace"))

    @contextlib.asynccontextmanager
    async def stream(self, call: UpstreamCall) -> AsyncIterator[aiohttp.ClientResponse]:
        """Give the reply to a call as it comes; what is left of it when the block ends is not generated."""
        async with self._request(call, await _encoded(call.body)) as answer:
            try:
                yield answer
            finally:
                # At once: the rest of the reply is of no use, and the end of the connection ends the work.
                answer.close()

    def _request(self, call: UpstreamCall, body: bytes | None) -> Any:
        url = f"http://llama-server{call.path}"
        return self._session.request(call.method, url, data=body, headers=JSON if body is not None else None)

    async def text(self, path: str) -> str:
        """Return what is behind a path, as a text."""
        async with self._session.get(f"http://llama-server{path}") as answer:
            return await answer.text()

    async def stop(self) -> None:
        """End it, and clear up behind it."""
        with contextlib.suppress(ProcessLookupError):
            self._process.kill()
        await self.ended()
        await self._session.close()
        if self._opened >= 0:
            os.close(self._opened)
            self._opened = -1
        shutil.rmtree(self._folder, ignore_errors=True)

    async def _read(self) -> None:
        pipe, rest = self._process.stdout, b""
        while pipe is not None and (piece := await pipe.read(65_536)):
            *lines, rest = (rest + piece).split(b"\n")
            for line in lines:
                self.words.add(line.decode("utf-8", errors="replace"))
            rest = rest[-65_536:]
        self.words.add(rest.decode("utf-8", errors="replace"))
