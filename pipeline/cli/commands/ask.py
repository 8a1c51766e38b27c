"""`sealift ask`: one question to a service, and its answer on standard output with nothing else.

Finds the endpoint that serves, waits through a cold start, and streams to a terminal where the endpoint can. Refuses to
know what an answer is worth.
"""

from __future__ import annotations

import json
import sys
import time
from typing import TYPE_CHECKING, Final

from pipeline import settings
from pipeline.aws import service_errors
from pipeline.aws.clients import Clients
from pipeline.cli import reading
from pipeline.cli.piece_writer import PieceWriter
from pipeline.cli.screen import Screen
from pipeline.cli.waiting import WaitingClock
from pipeline.client import asking, image_files, replies, service_endpoint
from pipeline.client.asking import Asker, FollowedEndpoint
from pipeline.client.requests import Conversation, Sampling, Turn
from pipeline.errors import InvalidInput, Problem
from pipeline.plain import lines

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import TextIO

    from pipeline.cli.options import AskOptions
    from pipeline.client.endpoint import ServiceEndpoint
    from pipeline.client.replies import Reply

sleep = time.sleep  # noqa: TID251 the command line is where time passes

LONGEST: Final = 2**22
"""Bytes of a question from a file: SageMaker takes no more in one request (4 MB on serverless)."""
WAITING: Final = "waiting for the answer"


def ask(arguments: AskOptions) -> int:
    """Ask once, and print the answer."""
    screen = Screen(sys.stderr, quiet=arguments.quiet)
    asked, sampling = _question(arguments)
    clients = Clients(region=settings.region())
    begun = time.monotonic()
    with service_errors.translated():
        with WaitingClock(screen, f"looking for {arguments.service}"):
            endpoint = service_endpoint.find(clients, arguments.service, arguments.stack)
        streams = _streams(arguments, endpoint)
        asker = ClockedAsker(clients, endpoint, arguments.stack, screen)
        looked = time.monotonic() - begun
        written = PieceWriter(sys.stdout) if streams else None
        reply = asker.ask(asked, sampling, write=written)
    if arguments.json:
        print(json.dumps(replies.document(reply, endpoint.service), indent=2))
        return 0
    if written:
        written.end()
        print(flush=True)
    else:
        for line in lines(reply.text):
            print(line)
    if reply.finish_reason == "length" and not arguments.quiet:
        screen.say("the answer was cut at its greatest length; --max-tokens allows more")
    if arguments.timings:
        screen.say(timings(reply, looked))
    return 0


class ClockedAsker:
    """Asks the endpoint that was found, and whichever serves once that is gone, with a clock while nothing comes."""

    def __init__(
        self, clients: Clients, endpoint: ServiceEndpoint, stack: str | None, screen: Screen
    ) -> None:
        first = iter([endpoint])
        found = FollowedEndpoint(
            lambda: next(first, None) or service_endpoint.find(clients, endpoint.service, stack),
            now=time.monotonic,
        )
        self._asker = Asker(clients, found, sleep=sleep, now=time.monotonic)
        self._screen = screen
        self._cold = cold_start(endpoint)

    def ask(self, asked: Conversation, sampling: Sampling, *, write: Callable[[str], None] | None) -> Reply:
        """Return the reply; with `write` it is streamed, and each piece of its text written as it comes.

        Raises:
            KeyboardInterrupt: with the reply so far in its arguments, where it has begun.
        """
        with WaitingClock(self._screen, WAITING, self._cold) as clock:
            if write is None:
                return self._asker.ask(asked, sampling)
            with self._asker.stream(asked, sampling) as answer:
                try:
                    for piece in answer:
                        clock.stop()
                        write(piece)
                except KeyboardInterrupt:
                    raise KeyboardInterrupt(answer.reply) from None
        return answer.reply


def cold_start(endpoint: ServiceEndpoint) -> str:
    """Return what may have to start before an endpoint answers, in few words; empty for what runs all the time."""
    if endpoint.component:
        return "coming back from no instance takes minutes"
    return "" if endpoint.streams else "a container may be starting: up to 3 min"


def timings(reply: Reply, looked: float | None) -> str:
    """Return what an answer took, in one line."""
    told = [f"{reply.seconds or 0:.1f} s for the answer"]
    if looked is not None:
        told[0] += f", {looked:.1f} s to find the endpoint"
    if reply.completion_tokens is not None:
        told.append(f"{reply.completion_tokens} tokens")
    if (ms := reply.timings.get("prompt_ms")) is not None:
        told.append(f"prompt {ms / 1000:.2f} s")
    if (rate := reply.tokens_per_second) is not None:
        told.append(f"{rate:.1f} tokens/s")
    return "; ".join(told)


def _question(arguments: AskOptions) -> tuple[Conversation, Sampling]:
    asked = Conversation()
    if arguments.system:
        asked = asked.with_system(arguments.system)
    schema = None
    if arguments.schema is not None:
        schema = reading.read_object(
            arguments.schema,
            wanted="a JSON schema",
            fix='write for instance {"type": "object"}',
            most=LONGEST,
        )
    images = tuple(image_files.read(one) for one in arguments.image)
    asked = asked.said(Turn("user", text(arguments, sys.stdin), images))
    return asked, Sampling(arguments.max_tokens, arguments.temperature, schema)


def text(arguments: AskOptions, stdin: TextIO) -> str:
    """Return the question: the words, or standard input where there are none or where they are `-`.

    Raises:
        InvalidInput: there is none, or none that can be sent.
    """
    if arguments.question not in (None, "-"):
        if not arguments.question.strip():
            raise _none_given(arguments, "an empty one")
        return arguments.question
    if arguments.question is None and stdin.isatty():
        raise _none_given(arguments, "no question")
    said = stdin.buffer.read(LONGEST + 1)
    if len(said) > LONGEST:
        raise _none_read(f"more than {LONGEST} bytes on it")
    try:
        found = said.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise _none_read(f"no text in UTF-8 on it, from byte {error.start} on") from error
    if not found.strip():
        raise _none_read("nothing on it")
    return found


def _none_given(arguments: AskOptions, seen: str) -> InvalidInput:
    return InvalidInput(
        "question",
        [
            Problem(
                "NoQuestion",
                seen,
                "one in quotes behind the service, or on standard input",
                f'`sealift ask {arguments.service} "..."`, or `sealift chat {arguments.service}`',
            )
        ],
    )


def _none_read(seen: str) -> InvalidInput:
    return InvalidInput(
        "standard input",
        [Problem("NoQuestion", seen, "a question", "write a question to it, in UTF-8 and of less than 4 MB")],
    )


def _streams(arguments: AskOptions, endpoint: ServiceEndpoint) -> bool:
    """Return whether the answer is written as it comes: where asked for, or to a terminal that can have it."""
    able = asking.streams(endpoint)
    if arguments.stream and not able:
        why = (
            "is serverless, and SageMaker streams from instances alone"
            if not endpoint.streams
            else "has no text"
        )
        raise InvalidInput(
            "--stream",
            [
                Problem(
                    "NoStream",
                    f"endpoint {endpoint.name!r} {why}",
                    "an endpoint that answers piece by piece",
                    "leave --stream out: the answer comes whole",
                )
            ],
        )
    return able and not arguments.json and (arguments.stream or sys.stdout.isatty())
