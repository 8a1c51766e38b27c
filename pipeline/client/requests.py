"""What a service is asked, as a body that every container answers.

Owns the form of the bodies, and what an image and a schema become in them. Pure. Refuses to send them.
"""

from __future__ import annotations

import base64
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from pipeline import payload
from pipeline.errors import InvalidInput, Problem
from pipeline.gguf import questions
from pipeline.limits import INSTANCE_REQUEST, SERVERLESS_REQUEST, MiB

if TYPE_CHECKING:
    from collections.abc import Mapping

_IMAGES: Final = (
    (b"\x89PNG\r\n\x1a\n", "image/png"),
    (b"\xff\xd8\xff", "image/jpeg"),
    (b"GIF8", "image/gif"),
    (b"BM", "image/bmp"),
)
"""How the formats begin that llama.cpp reads (stb_image)."""
_SHOWN: Final = 200
"""Bytes of what was given."""
_HALF: Final = re.compile("[\ud800-\udfff]")
"""Half of a surrogate pair, which Python also makes of an argument's bytes that are not UTF-8."""
AN_IMAGE: Final = "an image: PNG, JPEG, GIF or BMP"


@dataclass(frozen=True, slots=True)
class Turn:
    """What one side said."""

    role: str
    """system, user or assistant."""
    text: str
    images: tuple[bytes, ...] = ()
    """Whole files."""

    def document(self) -> dict[str, Any]:
        """Return it as it stands among `messages`."""
        if not self.images:
            return {"role": self.role, "content": self.text}
        pictures = [{"type": "image_url", "image_url": {"url": data_url(one)}} for one in self.images]
        return {"role": self.role, "content": [*pictures, {"type": "text", "text": self.text}]}


ROLES: Final = ("system", "user", "assistant")


def turn(message: Mapping[str, Any]) -> Turn:
    """Return a message of OpenAI's form as a turn.

    Raises:
        InvalidInput: its role is none of `ROLES`, or its content no text.
    """
    role, content = message.get("role"), message.get("content")
    if role in ROLES and isinstance(content, str) and message.keys() <= {"role", "content"}:
        return Turn(role, content)
    wanted = f"a role ({', '.join(ROLES)}) and a content that is a text, and nothing else"
    raise _unfit(
        f"a message {payload.cut(repr(dict(message)), _SHOWN)}", wanted, "see docs/requests.md for others"
    )


@dataclass(frozen=True, slots=True)
class Sampling:
    """How an answer is to be; None leaves it to the endpoint."""

    max_tokens: int | None = None
    temperature: float | None = None
    schema: Mapping[str, Any] | None = None
    """A JSON schema that the answer holds to."""

    def document(self) -> dict[str, Any]:
        """Return its fields of a request."""
        given: dict[str, Any] = {"max_tokens": self.max_tokens, "temperature": self.temperature}
        if self.schema is not None:
            named = {"name": "answer", "schema": dict(self.schema)}
            given["response_format"] = {"type": "json_schema", "json_schema": named}
        return {name: value for name, value in given.items() if value is not None}


@dataclass(frozen=True, slots=True)
class Conversation:
    """What was said so far."""

    turns: tuple[Turn, ...] = ()

    def said(self, turn: Turn) -> Conversation:
        """Return it with one turn more."""
        return Conversation((*self.turns, turn))

    def with_system(self, text: str) -> Conversation:
        """Return it with another system message; none for an empty text."""
        rest = tuple(one for one in self.turns if one.role != "system")
        return Conversation((Turn("system", text), *rest) if text else rest)


def body(form: str, asked: Conversation, sampling: Sampling, *, stream: bool = False) -> dict[str, Any]:
    """Return the request.

    Args:
        form: the field to ask with, one of `questions.FORMS`.
        asked: the conversation; the last turn is the question.
        sampling: how the answer is to be.
        stream: whether it is to come piece by piece.

    Raises:
        InvalidInput: the model's form cannot say that.
    """
    for one in asked.turns:
        if _HALF.search(one.text):
            raise _unfit(
                f"a text that is no Unicode: {payload.cut(repr(one.text), _SHOWN)}",
                "whole characters, as bytes in UTF-8 are",
                "write it in UTF-8",
            )
    streamed = questions.STREAMED if stream else {}
    if form == questions.MESSAGES:
        return {"messages": [one.document() for one in asked.turns], **sampling.document(), **streamed}
    if form == questions.QUERY:
        raise _unfit(
            "it is a reranker, which ranks documents by a query",
            "a model that answers",
            'send it {"query": ..., "documents": [...]} (docs/requests.md)',
        )
    alone = len(asked.turns) == 1 and not asked.turns[-1].images
    if not alone:
        what = (
            "goes on with a text and knows no chats"
            if form == questions.PROMPT
            else "turns texts into vectors"
        )
        raise _unfit(
            f"the model {what}",
            "one text",
            "leave out the system message, the images and what was said before",
        )
    text = asked.turns[-1].text
    if form == questions.INPUT:
        if sampling != Sampling() or stream:
            raise _unfit(
                "the model turns texts into vectors",
                "a text alone",
                "leave out what is about an answer's text",
            )
        return {"input": text}
    return {"prompt": text, **sampling.document(), **streamed}


def too_large(size: int, *, on_instances: bool) -> Problem | None:
    """Return why a kind of endpoint does not take a request of so many bytes; None for one that it takes."""
    limit = INSTANCE_REQUEST if on_instances else SERVERLESS_REQUEST
    if size <= limit.value:
        return None
    where = "" if on_instances else "on serverless "
    return Problem(
        "BodyTooLarge",
        f"a request of {size:,} bytes",
        f"at most {limit.value // MiB} MiB, which is all that SageMaker takes {where}in one",
        "send less, or smaller images",
    )


def image_type(content: bytes) -> str | None:
    """Return the media type of an image file; None for what is none that llama.cpp reads."""
    return next((kind for magic, kind in _IMAGES if content.startswith(magic)), None)


def data_url(image: bytes) -> str:
    """Return an image file as a data URL.

    Raises:
        InvalidInput: it is none that llama.cpp reads.
    """
    kind = image_type(image)
    if kind is None:
        raise _unfit(f"a file that begins with {image[:8]!r}", AN_IMAGE, "convert it to one of those")
    return f"data:{kind};base64,{base64.b64encode(image).decode()}"


def _unfit(seen: str, wanted: str, fix: str) -> InvalidInput:
    return InvalidInput("question", [Problem("UnfitQuestion", seen, wanted, fix)])
