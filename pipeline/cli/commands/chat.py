"""`sealift chat`: a conversation with a service at a terminal, with its history, its editing and its few commands.

Ctrl-C ends an answer and not the chat; Ctrl-D ends the chat. Refuses to keep anything that `/save` did not write.
"""

from __future__ import annotations

import contextlib
import json
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final

from pipeline import settings, spelling
from pipeline.aws import service_errors
from pipeline.aws.clients import Clients
from pipeline.cli.commands import ask as asking
from pipeline.cli.commands.ask import ClockedAsker
from pipeline.cli.piece_writer import PieceWriter, shown
from pipeline.cli.screen import Screen
from pipeline.cli.waiting import WaitingClock
from pipeline.client import service_endpoint
from pipeline.client.replies import Reply
from pipeline.client.requests import Conversation, Sampling, Turn
from pipeline.errors import InvalidInput, Problem, SealiftError
from pipeline.gguf import questions

if TYPE_CHECKING:
    from collections.abc import Callable

    from pipeline.cli.options import ChatOptions
    from pipeline.client.endpoint import ServiceEndpoint

PROMPT: Final = ">>> "
COMMANDS: Final = {
    "/system TEXT": "say how it is to answer; without a text as the model does by itself",
    "/save FILE": "write the conversation so far, as JSON",
    "/clear": "forget what was said, but for /system",
    "/timings": "tell after each answer what it took, or no longer",
    "/help": "show this",
    "/exit": "end, as Ctrl-D does",
}


@dataclass(slots=True)
class Chat:
    """A conversation under way."""

    asker: ClockedAsker
    sampling: Sampling
    streams: bool
    screen: Screen
    said: Conversation = field(default_factory=Conversation)
    timings: bool = False
    ended: bool = False

    def take(self, line: str) -> None:
        """Do what a line says: a command, or a question."""
        text = line.strip()
        if text.startswith("/"):
            self._command(*text.partition(" ")[::2])
        elif text:
            self._ask(line)

    def _ask(self, text: str) -> None:
        asked = self.said.said(Turn("user", text))
        written = PieceWriter(sys.stdout) if self.streams else None
        try:
            with service_errors.translated():
                reply = self.asker.ask(asked, self.sampling, write=written)
        except KeyboardInterrupt as stopped:
            reply = next((one for one in stopped.args if isinstance(one, Reply)), Reply())
            self._ended(written)
            self.screen.say("(the answer was stopped)")
            if reply.text:
                self.said = asked.said(Turn("assistant", reply.text))
            return
        except SealiftError as refusal:
            self._ended(written)
            self.screen.say(f"error: {refusal}")
            return
        if written is None:
            print(shown(reply.text), flush=True)
        self._ended(written)
        self.said = asked.said(Turn("assistant", reply.text))
        if self.timings:
            self.screen.say(asking.timings(reply, None))

    def _ended(self, written: PieceWriter | None) -> None:
        if written is not None:
            written.end()
            print(flush=True)

    def _command(self, name: str, rest: str) -> None:
        known = {one.split(" ")[0]: one for one in COMMANDS}
        if name == "/system":
            self.said = self.said.with_system(rest.strip())
        elif name == "/clear":
            self.said = Conversation(tuple(one for one in self.said.turns if one.role == "system"))
        elif name == "/timings":
            self.timings = not self.timings
        elif name == "/save":
            self._save(rest.strip())
        elif name in ("/exit", "/quit", "/bye"):
            self.ended = True
        elif name == "/help":
            for command, what in COMMANDS.items():
                self.screen.say(f"{command:<13}{what}")
        else:
            near = spelling.nearest(name, known)
            self.screen.say(
                f"no such command {name!r}; " + (f"did you mean {near!r}?" if near else "/help lists them")
            )

    def _save(self, name: str) -> None:
        if not name:
            self.screen.say("no file; wanted its name: /save FILE")
            return
        document = {"messages": [one.document() for one in self.said.turns]}
        try:
            # A slip of the name overwrites nothing.
            # Half of a surrogate pair, which an answer may have, is written as JSON has it.
            with Path(name).expanduser().open("x", encoding="utf-8", errors="backslashreplace") as file:
                file.write(json.dumps(document, indent=2, ensure_ascii=False) + "\n")
        # Python's own errors: of a home that nobody has, and of a name that no system takes.
        except (OSError, RuntimeError, ValueError) as error:
            why = getattr(error, "strerror", None) or error
            self.screen.say(f"{name}: {why}; wanted a new file that may be written")
            return
        self.screen.say(f"saved {len(self.said.turns)} messages to {name}")


def chat(arguments: ChatOptions) -> int:
    """Talk until the person ends it."""
    screen = Screen(sys.stderr, quiet=arguments.quiet)
    if arguments.json:
        raise InvalidInput(
            "--json",
            [
                Problem(
                    "NoJson",
                    "a chat as JSON",
                    "a chat for people",
                    f"`sealift ask {arguments.service} --json` answers one question",
                )
            ],
        )
    clients = Clients(region=settings.region())
    with service_errors.translated(), WaitingClock(screen, f"looking for {arguments.service}"):
        endpoint = service_endpoint.find(clients, arguments.service, arguments.stack)
    _must_talk(endpoint)
    talk = Chat(
        ClockedAsker(clients, endpoint, arguments.stack, screen),
        Sampling(arguments.max_tokens, arguments.temperature),
        endpoint.streams,
        screen,
    )
    if arguments.system:
        talk.said = talk.said.with_system(arguments.system)
    screen.step(f"{endpoint.service} on endpoint {endpoint.name}; /help lists the commands, Ctrl-D ends")
    run(talk, reader())
    return 0


def run(talk: Chat, read: Callable[[], str]) -> None:
    """Take line after line until the end of input; Ctrl-C at the prompt begins a new line."""
    while not talk.ended:
        try:
            line = read()
        except EOFError:
            print(flush=True)
            return
        except KeyboardInterrupt:
            print(flush=True)
            continue
        talk.take(line)


def reader() -> Callable[[], str]:
    """Return what reads a line, with editing and history where Python has them."""
    # Importing it is what lets input() edit and remember; some Pythons are built without.
    with contextlib.suppress(ImportError):
        import readline

        # Lines that are pasted together are one question; Python turns that off. Editline knows no such word.
        readline.parse_and_bind("set enable-bracketed-paste on")

    return lambda: input(PROMPT if sys.stdin.isatty() else "")


def _must_talk(endpoint: ServiceEndpoint) -> None:
    if endpoint.form != questions.MESSAGES:
        raise InvalidInput(
            f"service {endpoint.service}",
            [
                Problem(
                    "NoChat",
                    f"its model is asked with {endpoint.form!r}",
                    "a model that chats",
                    f"`sealift ask {endpoint.service} TEXT` asks it once",
                )
            ],
        )
