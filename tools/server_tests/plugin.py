"""A plugin of pytest for llama.cpp's own server tests: they start our servers, and the list of exceptions is held true.

Owns what is done to those tests, none of which is edited: `utils.ServerProcess` asks for other paths, the body of
llama.cpp's own `/completion` becomes one of `/v1/completions` where only that is served, no file is downloaded, and
each test that fails by `left_out.toml` has to. Runs in an environment of its own (requirements/server-tests.lock), so
it imports nothing of ours but what needs the standard library alone: `expectations` beside it, and `free_ports`. The
environment says which server it is (SERVER_TESTS_SERVER), where files lie for what would be downloaded
(SERVER_TESTS_DOWNLOADS), and whether all tests are run (SERVER_TESTS_WHOLE).
"""

from __future__ import annotations

import os
import shutil
import sys
import tomllib
import types
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from expectations import NATIVE, PATHS, applies, native_answer, native_event, reason_for, unused
from free_ports import free_port

SERVER = os.environ["SERVER_TESTS_SERVER"]
DOWNLOADS = Path(os.environ["SERVER_TESTS_DOWNLOADS"])
"""The folder of files that the tests download themselves."""
WHOLE = "SERVER_TESTS_WHOLE" in os.environ
"""Whether all tests are run, and not some."""
START_S = 45.0
"""Seconds that a server may take to get ready."""
LIST = Path(__file__).with_name("left_out.toml")
# ------------------------------------------------------------------------------ the list


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out what is another program's, and expect the failures that are listed; each of them is an error if not."""
    table = tomllib.loads(LIST.read_text())
    files, failing, wavering = (applies(table[name], SERVER) for name in ("not_run", "fails", "wavers"))
    left_out, kept, names = [], [], []
    for item in items:
        name = item.nodeid.removeprefix("unit/")
        names += [name, name.partition("::")[0]]
        if reason_for(name.partition("::")[0], files) or item.get_closest_marker("slow"):
            left_out.append(item)
            continue
        reason, unsure = reason_for(name, failing), reason_for(name, wavering)
        if reason or unsure:
            item.add_marker(pytest.mark.xfail(reason=reason or unsure, strict=bool(reason)))
        kept.append(item)
    idle = unused([*files, *failing, *wavering], names) if WHOLE else []
    if idle:
        raise pytest.UsageError(f"{LIST.name} names what no test is called: {', '.join(idle)}")
    config.hook.pytest_deselected(items=left_out)
    items[:] = kept


# ------------------------------------------------------------------------------ what is done to the tests


@pytest.hookimpl(tryfirst=True)
def pytest_load_initial_conftests() -> None:
    """Put our servers in the place of llama-server, before any of the tests' files is imported."""
    downloads = types.ModuleType("wget")
    downloads.download = _download  # type: ignore[attr-defined]
    sys.modules["wget"] = downloads
    sys.path.insert(0, str(Path.cwd()))
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

    def own_start(self: Any, timeout_seconds: float = START_S) -> None:  # noqa: ARG001 theirs is for downloads
        self.server_port = free_port()
        # A container does not end because llama-server has: it only never gets ready.
        start(self, timeout_seconds=START_S)

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
