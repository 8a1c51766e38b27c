"""A stand-in for llama-server: its options, its paths, and what a test has it do by the prompt.

say               three tokens
hold NAME         one token, then the file NAME has to appear; `NAME.begun` and `NAME.gone` tell of it
die               one token, then it ends with an assertion of llama.cpp's in its log
garble            one token, then an event that is no JSON
break             a chat's parts that contradict each other; whole, it is answered
mumble            a chat's answer that it cannot read; as a text, "say" is answered
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from pathlib import Path
from typing import Any

FOLDER = Path(os.environ["FAKE_FOLDER"])
OPTIONS = dict(zip(sys.argv[1::2], sys.argv[2::2], strict=False))
PROPS = {
    "default_generation_settings": {"n_ctx": 512},
    "total_slots": int(OPTIONS["--parallel"]),
    "modalities": {},
    "bos_token": "",
}
REPLIES: dict[str, Any] = {
    "/health": {"status": "ok"},
    "/props": PROPS,
    "/v1/models": {"data": [{"meta": {"n_vocab": 100}}]},
    "/tokenize": {"tokens": []},
    "/apply-template": {"prompt": "say"},
    "/infill": {"error": {"code": 501}},
}
TIMINGS = {"cache_n": 0, "prompt_n": 1, "prompt_ms": 1.0, "predicted_n": 3, "predicted_ms": 3.0}


async def appears(name: str) -> None:
    """Wait for a file."""
    while not (FOLDER / name).exists():  # noqa: ASYNC110 another process makes it
        await asyncio.sleep(0.01)


def told(document: dict[str, Any]) -> str:
    """Return what is asked."""
    return str(document["messages"][-1]["content"] if "messages" in document else document.get("prompt"))


def event(document: Any) -> bytes:
    """Return an event as a chunk."""
    data = f"data: {json.dumps(document)}\n\n".encode()
    return b"%x\r\n%b\r\n" % (len(data), data)


def part(text: str, *, chat: bool, ended: bool = False) -> dict[str, Any]:
    """Return an event of an answer."""
    if chat:
        choice = {"index": 0, "delta": {"content": text}, "finish_reason": "stop" if ended else None}
        return {
            "object": "chat.completion.chunk",
            "choices": [choice],
            **({"timings": TIMINGS} if ended else {}),
        }
    end = {"stop": True, "stop_type": "eos", "timings": TIMINGS} if ended else {"stop": False}
    return {"index": 0, "content": text, "tokens": [], **end}


async def stream(
    document: dict[str, Any], reader: asyncio.StreamReader, writer: asyncio.StreamWriter
) -> None:
    """Answer with events."""
    asked, chat = told(document), "messages" in document
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n")
    progress = {"total": 1, "cache": 0, "processed": 1, "time_ms": 1}
    if asked == "mumble":
        said = "The model produced output that does not match the expected peg-native format"
        writer.write(event(part("", chat=chat) | {"prompt_progress": progress}))
        writer.write(event({"error": {"code": 500, "message": said}}) + b"0\r\n\r\n")
        await writer.drain()
        return
    # Together, as they come where a machine is busy.
    writer.write(event(part("", chat=chat) | {"prompt_progress": progress}) + event(part("one", chat=chat)))
    await writer.drain()
    word, _, name = asked.partition(" ")
    if word == "die":
        sys.stderr.write("0.1 E srv  a secret\n/llama.cpp:7: GGML_ASSERT(secretly) failed\n")
        sys.stderr.flush()
        os._exit(3)
    if word == "garble":
        writer.write(b"a\r\ndata: {se\n\r\n0\r\n\r\n")
        await writer.drain()
        return
    if word == "break":
        writer.write(event({"error": {"code": 500, "message": "Invalid diff"}}))
    elif word == "hold":
        (FOLDER / f"{name}.begun").touch()
        released, left = asyncio.create_task(appears(name)), asyncio.create_task(reader.read())
        await asyncio.wait({released, left}, return_when=asyncio.FIRST_COMPLETED)
        if left.done():
            (FOLDER / f"{name}.gone").touch()
            released.cancel()
            return
        left.cancel()
    for text in (" two", " three"):
        writer.write(event(part(text, chat=chat)))
    writer.write(event(part("", chat=chat, ended=True)) + b"0\r\n\r\n")
    await writer.drain()


async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Answer one request; the connection ends behind it."""
    try:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        length = next(
            (int(line[15:]) for line in head.split("\r\n") if line.lower().startswith("content-length:")), 0
        )
        body = await reader.readexactly(length)
        document = json.loads(body) if body else {}
        path = head.split(" ")[1]
        if document.get("stream"):
            await stream(document, reader, writer)
            return
        text = json.dumps(REPLIES.get(path) or whole(document))
        if path == "/metrics":
            if (FOLDER / "mute").exists():
                await reader.read()
                return
            text = "llamacpp:requests_processing 0\n"
        writer.write(f"HTTP/1.1 200 OK\r\nContent-Length: {len(text.encode())}\r\n\r\n{text}".encode())
        await writer.drain()
    finally:
        writer.close()


def whole(document: dict[str, Any]) -> dict[str, Any]:
    """Return an answer as one."""
    if "messages" in document:
        message = {"role": "assistant", "content": "as a whole"}
        return {"choices": [{"index": 0, "message": message, "finish_reason": "stop"}], "timings": TIMINGS}
    return {"content": "x", "stop": True, "stop_type": "limit", "timings": TIMINGS}


async def main() -> None:
    """Serve."""
    (FOLDER / "started").touch()
    if os.environ.get("FAKE_FAILS"):
        sys.stderr.write("0.00.1 E llama_model_load: error loading model: invalid magic characters\n")
        sys.exit(1)
    await appears("ready")
    server = await asyncio.start_unix_server(answer, OPTIONS["--host"], limit=1 << 27)
    await server.serve_forever()


asyncio.run(main())
