"""What is asked of llama-server and what it says: calls, replies, and what is known of the model that it has loaded.

Owns the types between the translation, which makes calls of requests and answers of replies, and the shell, which
sends them. Refuses to send anything.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Generator, Sequence


Told = TypeVar("Told")

CHAT_PATH, TEXT_PATH = "/v1/chat/completions", "/completion"
"""Where llama-server answers a conversation, and where it goes on with a text."""


@dataclass(frozen=True)
class UpstreamCall:
    """A request to llama-server."""

    path: str
    body: Any = None
    """The JSON to send; none with GET."""

    @property
    def method(self) -> str:
        """Return HTTP's."""
        return "GET" if self.body is None else "POST"


@dataclass(frozen=True)
class UpstreamReply:
    """What llama-server said to a call, whole."""

    status: int
    document: Any
    """The JSON of it."""
    seconds: float = 0.0
    """How long it took."""


@dataclass(frozen=True)
class ModelFacts:
    """What is known of the model that llama-server has loaded."""

    name: str
    """What answers call it."""
    context: int
    """Tokens that prompt and answer of one request share."""
    slots: int = 1
    """Requests that are answered at once."""
    embeds: bool = False
    """Whether it embeds texts, and generates none."""
    reranks: bool = False
    """Whether it scores documents for a query, and does nothing else."""
    calls: bool = True
    """Whether its chat template may have a form for calls of tools."""
    sees: bool = False
    """Whether images may stand in a conversation."""
    vocabulary_size: int = 0
    """0 when it is not known."""
    width: int = 0
    """Numbers of an embedding; 0 when it is not known."""
    bos: str = ""
    """The token that llama-server puts before a text by itself, as a text; empty when it puts none."""
    fill_in: tuple[str, str, str] | None = None
    """What stands before a text to fill in, before what follows it, and before the filling; None without."""


async def driven(
    steps: Generator[tuple[UpstreamCall, ...], Sequence[UpstreamReply], Told],
    send: Callable[[Sequence[UpstreamCall]], Awaitable[Sequence[UpstreamReply]]],
) -> Told:
    """Return what steps return, which give calls and are handed their replies.

    Args:
        steps: as those of a translation, and of `learn`.
        send: sends some calls, and returns their replies in the same order.
    """
    calls = next(steps)
    while True:
        replies = await send(calls)
        try:
            calls = steps.send(replies)
        except StopIteration as done:
            told: Told = done.value
            return told


def learn(
    name: str, *, embeds: bool = False, reranks: bool = False
) -> Generator[tuple[UpstreamCall, ...], Sequence[UpstreamReply], ModelFacts]:
    """Give the calls that tell what is to be known of a model, and return that; for when it is loaded.

    Args:
        name: what answers are to call it.
        embeds: whether llama-server was started for embeddings.
        reranks: whether it was started for rerank.
    """
    props, models, empty = yield (
        UpstreamCall("/props"),
        UpstreamCall("/v1/models"),
        UpstreamCall("/tokenize", {"content": "", "add_special": True, "with_pieces": True}),
    )
    about = props.document
    caps = about.get("chat_template_caps") or {}
    first = next(iter(empty.document.get("tokens") or []), None)
    begins = first.get("piece") if isinstance(first, dict) else None
    bos = begins if isinstance(begins, str) and begins == about.get("bos_token") else ""
    model = (models.document.get("data") or [{}])[0]
    fill_in = None
    if not (embeds or reranks):
        (filled,) = yield (
            UpstreamCall("/infill", {"input_prefix": "0", "input_suffix": "1", "n_predict": 1}),
        )
        fill_in = _fill_in(filled, bos)
    return ModelFacts(
        name=name,
        context=int(about["default_generation_settings"]["n_ctx"]),
        slots=int(about["total_slots"]),
        embeds=embeds,
        reranks=reranks,
        calls=any(caps.get(name) for name in ("supports_tools", "supports_tool_calls")),
        sees=bool(about.get("modalities", {}).get("vision")),
        vocabulary_size=int((model.get("meta") or {}).get("n_vocab") or 0),
        width=int((model.get("meta") or {}).get("n_embd") or 0) if embeds else 0,
        bos=bos,
        fill_in=fill_in,
    )


def _fill_in(reply: UpstreamReply, bos: str) -> tuple[str, str, str] | None:
    """Return the texts around two digits in the prompt that llama-server made of them."""
    prompt = (
        reply.document.get("prompt") if reply.status == 200 and isinstance(reply.document, dict) else None
    )
    if not isinstance(prompt, str):
        return None
    before, found, rest = prompt.partition("0")
    between, also, after = rest.partition("1")
    before = before.strip().removeprefix(bos)
    return (before.strip(), between.strip(), after.strip()) if found and also else None
