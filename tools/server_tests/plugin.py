"""A plugin of pytest for llama.cpp's own server tests: they start our servers, and the list of exceptions is held true.

Owns what is done to those tests, none of which is edited: `utils.ServerProcess` asks for other paths, the body of
llama.cpp's own `/completion` becomes one of `/v1/completions` where only that is served, no file is downloaded, and
each test of `left_out.toml` must fail. Runs in an environment of its own (requirements/server-tests.lock), so it
imports nothing of ours but the standard library. The environment says which server: SERVER_TESTS_SERVER, and
SERVER_TESTS_LAUNCHER, the command that becomes it.
"""

from __future__ import annotations

import fnmatch
import os
import shutil
import socket
import sys
import tomllib
import types
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

SERVER = os.environ["SERVER_TESTS_SERVER"]
DOWNLOADS = Path(os.environ["SERVER_TESTS_DOWNLOADS"])
"""The folder of files that the tests download themselves."""
LIST = Path(__file__).with_name("left_out.toml")
_OPENAI = {
    path: f"/v1{path}"
    for path in ("/chat/completions", "/completions", "/embeddings", "/responses", "/rerank")
}
PATHS = {
    "four-functions": {**_OPENAI, "/health": "/ping", "/completion": "/v1/completions"},
    "adapter": {**_OPENAI, "/health": "/ping", "/completion": "/v1/completions"},
    # What the image's proxy maps is asked for by its own paths; llama-server's stay what they are.
    "llama-cpp-image": {
        "/health": "/ping",
        "/chat/completions": "/invocations",
        "/v1/chat/completions": "/invocations",
    },
}
"""Where each server answers what is asked of llama-server's paths."""
NATIVE = ("/completion", "/completions")
"""llama.cpp's own form of an answer, which only llama-server gives."""


# ------------------------------------------------------------------------------ the list


def applies(table: dict[str, Any], server: str) -> dict[str, str]:
    """Return the reasons of a table for one server, by the pattern of the tests' names.

    An entry is a reason with the patterns that it is for, and the servers where it holds: all of them if it names none.
    """
    return {
        pattern: entry["reason"]
        for entry in table
        if server in entry.get("servers", (server,))
        for pattern in entry["tests"]
    }


def reason_for(name: str, reasons: dict[str, str]) -> str | None:
    """Return why a test does not apply, or None; a pattern may leave out the parameters, and have `*` in it."""
    plain = name.partition("[")[0]
    for pattern, reason in reasons.items():
        escaped = pattern.replace("[", "[[]")
        if pattern in (name, plain) or fnmatch.fnmatchcase(name, escaped):
            return reason
    return None


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out what is another program's, and expect the failures that are listed; each of them is an error if not."""
    table = tomllib.loads(LIST.read_text())
    files, failing = applies(table["not_run"], SERVER), applies(table["fails"], SERVER)
    left_out, kept = [], []
    for item in items:
        name = item.nodeid.split("/")[-1]
        if reason_for(name.partition("::")[0], files) or item.get_closest_marker("slow"):
            left_out.append(item)
            continue
        reason = reason_for(name, failing)
        if reason:
            item.add_marker(pytest.mark.xfail(reason=reason, strict=True))
        kept.append(item)
    config.hook.pytest_deselected(items=left_out)
    items[:] = kept


# ------------------------------------------------------------------------------ what is done to the tests


@pytest.hookimpl(tryfirst=True)
def pytest_load_initial_conftests() -> None:
    """Put our servers in the place of llama-server, before any of the tests' files is imported."""
    downloads = types.ModuleType("wget")
    downloads.download = _download  # type: ignore[attr-defined]
    sys.modules["wget"] = downloads
    sys.path.insert(0, os.getcwd())
    import utils

    utils.ServerPreset.load_all = staticmethod(lambda: None)
    _change(utils.ServerProcess)


def _download(url: str, out: str) -> None:
    Path(out).parent.mkdir(parents=True, exist_ok=True)
    source = DOWNLOADS / url.rpartition("/")[2]
    if not source.exists():
        raise FileNotFoundError(f"no file here stands for {url}")
    shutil.copyfile(source, out)


def _change(process: Any) -> None:
    start, make_url, ask, stream = (
        process.start,
        process.make_url,
        process.make_request,
        process.make_stream_request,
    )

    def own_start(self: Any, *arguments: Any, **named: Any) -> None:
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.server_port = free.getsockname()[1]
        start(self, *arguments, **named)

    def own_url(self: Any, path: str, host: str | None = None) -> str:
        plain, mark, query = path.partition("?")
        return str(make_url(self, PATHS[SERVER].get(plain, plain) + mark + query, host))

    def own_ask(self: Any, method: str, path: str, *arguments: Any, **named: Any) -> Any:
        answer = ask(self, method, path, *arguments, **named)
        if _translated(path) and answer.status_code == 200:
            answer.body = native_answer(answer.body)
        return answer

    def own_stream(self: Any, method: str, path: str, *arguments: Any, **named: Any) -> Iterator[Any]:
        change: Callable[[Any], Any] = native_event if _translated(path) else lambda event: event
        return map(change, stream(self, method, path, *arguments, **named))

    process.start, process.make_url = own_start, own_url
    process.make_request, process.make_stream_request = own_ask, own_stream


def _translated(path: str) -> bool:
    return path in NATIVE and "/completion" in PATHS[SERVER]


def native_answer(body: dict[str, Any]) -> Any:
    """Return an answer of OpenAI's completions in llama.cpp's own form: an object, or a list for several prompts."""
    answers = [{**body, "content": choice["text"]} for choice in body["choices"]]
    return answers if len(answers) > 1 else answers[0]


def native_event(event: dict[str, Any]) -> dict[str, Any]:
    """Return an event of a stream in llama.cpp's own form."""
    choices = event.get("choices") or [{"text": "", "finish_reason": None}]
    return {**event, "content": choices[0]["text"], "stop": choices[0]["finish_reason"] is not None}
