"""What `sealift chat` writes, and what it does not."""

from __future__ import annotations

import io
import json
import os
import pty
import select
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

from pipeline.cli.commands.chat import Chat
from pipeline.cli.screen import Screen
from pipeline.client.replies import Reply
from pipeline.client.requests import Sampling

if TYPE_CHECKING:
    from pathlib import Path


class Asker:
    """Answers whatever is asked."""

    def __init__(self, answer: str) -> None:
        self._answer = answer

    def ask(self, _asked: Any, _sampling: Any, **_how: Any) -> Reply:
        """Return the reply."""
        return Reply(self._answer)


def chat(answer: str = "Cargo.") -> tuple[Chat, io.StringIO]:
    """Return a chat, and what it says beside its answers."""
    told = io.StringIO()
    asker: Any = Asker(answer)
    return Chat(asker, Sampling(), streams=False, screen=Screen(told)), told


@pytest.mark.parametrize("answer", ["Cargo.", "caf\u00e9 \U0001f6a2", "half \ud83d of one"])
def test_what_was_said_is_written_whole(answer: str, tmp_path: Path) -> None:
    """As JSON that any program reads."""
    talk, told = chat(answer)
    talk.take("What?")
    talk.take(f"/save {tmp_path}/talk.json")

    assert json.loads((tmp_path / "talk.json").read_text(encoding="utf-8"))["messages"] == [
        {"role": "user", "content": "What?"},
        {"role": "assistant", "content": answer},
    ]
    assert "saved 2 messages" in told.getvalue()


@pytest.mark.parametrize(
    "name", ["HERE", "HERE/none/file", "~nobody-of-that-name/file", "HERE/a\0b", "HERE/talk"]
)
def test_what_cannot_be_written_ends_no_chat(name: str, tmp_path: Path) -> None:
    """And overwrites nothing."""
    (tmp_path / "talk").write_text("before")
    talk, told = chat()
    talk.take("What?")

    talk.take(f"/save {name.replace('HERE', str(tmp_path))}")

    assert "wanted a new file that may be written" in told.getvalue()
    assert not talk.ended
    assert (tmp_path / "talk").read_text() == "before"


def test_lines_that_are_pasted_together_are_one_question(tmp_path: Path) -> None:
    """As a terminal marks them; Enter sends them, and each would be a question of its own else."""
    pytest.importorskip("readline")
    script = "from pipeline.cli.commands import chat; print(ascii(chat.reader()()))"
    ours, theirs = pty.openpty()
    with subprocess.Popen(
        [sys.executable, "-c", script],
        stdin=theirs,
        stdout=theirs,
        env={**os.environ, "TERM": "xterm", "HOME": str(tmp_path), "INPUTRC": os.devnull},
    ):
        os.close(theirs)
        try:
            # Asks the terminal to mark what is pasted.
            assert b"\x1b[?2004h" in read_until(ours, b">>> ")
            os.write(ours, b"\x1b[200~one\ntwo\x1b[201~\r")
            told = read_until(ours, b"'\r\n")
        finally:
            os.close(ours)

    assert b"'one\\ntwo'" in told


def read_until(terminal: int, end: bytes) -> bytes:
    """Return what a program wrote to a terminal, until it has written that."""
    seen = b""
    while end not in seen:
        assert select.select([terminal], [], [], 60)[0], seen
        seen += os.read(terminal, 4096)
    return seen
