"""One request language for llama-server: a request becomes calls to it, and what it says becomes our answer.

Owns in which order llama-server is asked, and what is asked again. Refuses all input and output, clocks and chance:
the shell sends the calls, and hands in the time and what makes an answer's id unique. What a request means is
`sealift_request`'s and what an answer looks like `sealift_answers`'s, as for the four functions, so that it does not
matter to a client which of both a container runs.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, TypeVar, Union

from adapter import bodies
from adapter.collected import goes_on
from adapter.replies import Found, chat_found, is_unread, must_call, refusal_of, text_found
from adapter.streams import Stream
from adapter.upstream import UpstreamCall
from adapter.vectors import embedded, ranked

from sealift_answers import EVENTS, Head, Part, answer_of, figures, likelihood, said_of, stream_of
from sealift_chat import NO_CALLS
from sealift_conformity import held
from sealift_fields import CHAT, EMBEDDINGS, RERANK
from sealift_request import (
    JSON,
    MOST_SEED,
    MOST_TRIES,
    BadRequest,
    Request,
    Subject,
    fills_nothing_in,
    grammar_not_taken,
    no_such_token,
    parse_body,
    schema_not_met,
    suited,
    template_refuses,
    tries_of,
    unmet,
    wrong_schema,
)
from sealift_shortcoming import SchemaError
from sealift_template import NO_ANSWER, TWO_ANSWERS

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator, Mapping, Sequence

    from adapter.upstream import ModelFacts, UpstreamReply

    from sealift_settings import Settings

Found_ = TypeVar("Found_")
MOST_TOGETHER = 2
"""Choices that are streamed side by side. llama-server begins when there is a slot free for each at once; for two there
are as soon as one other answer ends, and more may wait for ever."""
_NOTHING: Mapping[str, Any] = {}


@dataclass(frozen=True)
class Answer:
    """What the caller gets."""

    status: int
    body: bytes
    content_type: str
    figures: dict[str, Any]
    """What the log says of it."""


class Translation:
    """One request on its way to llama-server and back.

    Where `streams`, send `first`; when llama-server has answered 200, call `begin`, hand each of its events to
    `events`, parsed, and its end to `ended`, or what goes wrong to `failed`. All that these give is for the caller.
    Else run `steps`: each time it gives calls to be sent at once, send their replies into it, in the same order; it
    returns the answer.
    """

    streams: bool
    caller: str | None
    """Who asks, for fairness among callers; None when the request does not say."""

    def __init__(
        self, request: Request, facts: ModelFacts, settings: Settings, *, identity: str, created: int
    ) -> None:
        self.request = request
        self.caller = request.caller
        self._facts, self._settings = facts, settings
        self._identity, self._created = identity, created
        self._temperature = (
            settings.temperature if request.temperature is None else float(request.temperature)
        )
        self._seed = int(identity[-8:], 16) % (MOST_SEED + 1) if request.seed is None else request.seed
        self.streams = request.stream and self._can_stream()
        self._stream: Stream | None = None

    # A whole answer

    def steps(
        self, queued_s: float = 0.0
    ) -> Generator[tuple[UpstreamCall, ...], Sequence[UpstreamReply], Answer]:
        """Give what is to be asked, get what was said, and return the answer.

        Args:
            queued_s: seconds that the request has waited.

        Raises:
            BadRequest: llama-server, or what it answers, does not let the request be answered.
        """
        request = self.request
        if request.form in (EMBEDDINGS, RERANK) or (request.texts and self._facts.embeds):
            act = ranked if request.form == RERANK else embedded
            told, took = yield from act(request, self._facts, queued_s)
            about = {"id": self._identity, "source": request.source, **took}
            return Answer(HTTPStatus.OK, json.dumps(told, ensure_ascii=False).encode(), JSON, about)
        prompts = yield from at_once([self._prompt(subject) for subject in request.subjects])
        wanted = [(prompt, number) for prompt in prompts for number in range(request.best_of)]
        answers = yield from at_once([self._tried(prompt, number) for prompt, number in wanted])
        parts = []
        for index, prompt in enumerate(prompts):
            own = answers[index * request.best_of : (index + 1) * request.best_of]
            parts.append(self._part(prompt, own))
        answer = answer_of(request, parts, self._head(queued_s))
        text, kind = (
            (stream_of(request, answer), EVENTS)
            if request.stream
            else (json.dumps(answer, ensure_ascii=False), JSON)
        )
        return Answer(HTTPStatus.OK, text.encode(), kind, self._told(figures(answer)))

    def _prompt(
        self, subject: Subject
    ) -> Generator[tuple[UpstreamCall, ...], Sequence[UpstreamReply], _Prompt]:
        """Return what is asked, once what has to be known of it has been asked."""
        request, more = self.request, {}
        prompt = self._plain_prompt(subject)
        # A grammar of the client's own does not read what is there already.
        read = request.schema is not None or bool(request.tools)
        if prompt.messages is not None and goes_on(prompt.messages) and read:
            yield from self._check_beginning(prompt.messages[-1])
        if request.max_tokens is None and request.max_length is not None:
            tokens = yield from self._counted(prompt)
            more["n_predict"] = max(1, request.max_length - tokens)
        text = subject if isinstance(subject, str) else ""
        if prompt.messages is None and not text and (request.echo or request.logprobs is not None):
            text = yield from self._written(prompt.text)
        return _Prompt(prompt.text, prompt.messages, text, more)

    def _written(
        self, prompt: str | Sequence[Any]
    ) -> Generator[tuple[UpstreamCall, ...], Sequence[UpstreamReply], str]:
        """Return the text of tokens, with texts among them or without."""
        tokens = prompt
        if not all(isinstance(one, int) for one in prompt):
            content = {"content": prompt, "add_special": True, "parse_special": True}
            (told,) = yield (UpstreamCall("/tokenize", content),)
            tokens = self._right(told)["tokens"]
        (reply,) = yield (UpstreamCall("/detokenize", {"tokens": tokens}),)
        return str(self._right(reply)["content"]).removeprefix(self._facts.bos)

    def _check_beginning(
        self, message: Mapping[str, Any]
    ) -> Generator[tuple[UpstreamCall, ...], Sequence[UpstreamReply], None]:
        """Check that no special token stands in the message that a constrained answer goes on with.

        llama-server lets its grammar read that, and ends the process where it reads the end of an answer.

        Raises:
            BadRequest: one does.
        """
        texts = [message.get(name) for name in ("content", "reasoning_content")]
        for text in (one for one in texts if isinstance(one, str) and one):
            content = {"content": text, "add_special": False}
            plain, special = yield tuple(
                UpstreamCall("/tokenize", {**content, "parse_special": parsed}) for parsed in (False, True)
            )
            if self._right(plain)["tokens"] != self._right(special)["tokens"]:
                raise grammar_not_taken(
                    "the message that it goes on with holds a special token of the model's"
                )

    def _plain_prompt(self, subject: Subject) -> _Prompt:
        """Return what is asked, as far as the request tells it."""
        request, facts = self.request, self._facts
        if not isinstance(subject, str) and isinstance(subject[0], dict):
            roles = [one.get("role") for one in subject[-2:]]
            if roles == ["assistant", "assistant"] and not request.continues:
                raise template_refuses(request, TWO_ANSWERS)
            if request.continues and roles[-1] != "assistant":
                raise template_refuses(request, NO_ANSWER)
            return _Prompt(messages=subject)
        if request.suffix is not None and facts.fill_in is None:
            raise fills_nothing_in(facts.name)
        for one in subject if not isinstance(subject, str) else ():
            if isinstance(one, int) and facts.vocabulary_size and not 0 <= one < facts.vocabulary_size:
                raise no_such_token(one, facts.vocabulary_size)
        said = subject if isinstance(subject, str) else ""
        return _Prompt(bodies.prompt_of(subject, request.suffix, facts), said=said)

    def _counted(self, prompt: _Prompt) -> Generator[tuple[UpstreamCall, ...], Sequence[UpstreamReply], int]:
        text = prompt.text
        if prompt.messages is not None:
            body = bodies.bare(self._call(prompt, 0).body)
            (reply,) = yield (UpstreamCall("/apply-template", body),)
            text = self._right(reply)["prompt"]
        content = {"content": text, "add_special": True, "parse_special": True}
        (reply,) = yield (UpstreamCall("/tokenize", content),)
        return len(self._right(reply)["tokens"])

    def _tried(
        self, prompt: _Prompt, number: int
    ) -> Generator[tuple[UpstreamCall, ...], Sequence[UpstreamReply], list[tuple[Found, int]]]:
        """Return answers to a prompt, with their seeds, until one conforms to the request's schema, that one last."""
        request = self.request
        tries, wrong = tries_of(request, self._temperature), None
        checked = request.schema is not None and not request.tools
        found: list[tuple[Found, int]] = []
        for attempt in range(tries):
            seed = (self._seed + number * MOST_TRIES + attempt) % (MOST_SEED + 1)
            (reply,) = yield (self._call(prompt, seed),)
            if prompt.messages is not None and is_unread(reply):
                document = yield from self._unread(prompt, seed)
                one = text_found(document, request, request.noted)
                one.message = {"content": one.generation.text}
            else:
                one = self._found(prompt, reply)
            found.append((one, seed))
            generation = one.generation
            ended = generation.finish_reason == "stop" and not generation.stopped
            if ended and must_call(request) and not (one.message or {}).get("tool_calls"):
                raise template_refuses(request, NO_CALLS)
            content = generation.text if one.message is None else one.message["content"] or ""
            wrong = unmet(content, request.schema) if ended and checked else None
            if wrong is None:
                return found
        raise schema_not_met(wrong, tries)

    def _unread(
        self, prompt: _Prompt, seed: int
    ) -> Generator[tuple[UpstreamCall, ...], Sequence[UpstreamReply], Mapping[str, Any]]:
        """Return an answer that is not in the form of the model's template as llama-server tells a text.

        llama-server does not tell it, so the rendered conversation is asked once more, as a text with the same seed.
        """
        (reply,) = yield (UpstreamCall("/apply-template", bodies.bare(self._call(prompt, seed).body)),)
        text = bodies.prompt_of(str(self._right(reply)["prompt"]), None, self._facts)
        (reply,) = yield (
            bodies.text_call(self.request, text, self._settings, self._facts, seed=seed, more=prompt.more),
        )
        return self._right(reply)

    def _call(self, prompt: _Prompt, seed: int, more: Mapping[str, Any] = _NOTHING) -> UpstreamCall:
        request = self.request
        more = {**prompt.more, **more}
        try:
            return self._body(prompt, seed, more)
        except SchemaError as error:
            raise wrong_schema(request, error) from error

    def _body(self, prompt: _Prompt, seed: int, more: Mapping[str, Any]) -> UpstreamCall:
        request = self.request
        if must_call(request) and not self._facts.calls:
            raise template_refuses(request, NO_CALLS)
        if prompt.messages is None:
            return bodies.text_call(request, prompt.text, self._settings, self._facts, seed=seed, more=more)
        return bodies.chat_call(request, prompt.messages, self._settings, self._facts, seed=seed, more=more)

    def _found(self, prompt: _Prompt, reply: UpstreamReply) -> Found:
        document, top = self._right(reply), self.request.noted
        if prompt.messages is None:
            return text_found(document, self.request, top)
        return chat_found(document, self.request, top, lambda number: self._head(0).call(0, number))

    def _right(self, reply: UpstreamReply) -> Mapping[str, Any]:
        """Return what a reply says.

        Raises:
            BadRequest: it is an error.
        """
        if reply.status != HTTPStatus.OK or not isinstance(reply.document, dict):
            raise self.refusal(reply)
        return reply.document

    def refusal(self, reply: UpstreamReply) -> BadRequest:
        """Return llama-server's error as ours; the first reply of a stream may be one, too."""
        return refusal_of(reply.status, reply.document, self.request)

    def _part(self, prompt: _Prompt, answers: Sequence[Sequence[tuple[Found, int]]]) -> Part:
        request = self.request
        said = []
        for *_, (one, seed) in answers:
            tokens = one.tokens if request.further.get("return_tokens") else None
            found = one.generation
            said.append(said_of(request, found, one.message, seed, found.finish_reason, tokens=tokens))
        if request.chooses:
            said.sort(key=likelihood, reverse=True)
        generated = [found.generation for own in answers for found, _ in own]
        return Part(said[: request.choices], generated, prompt.said)

    def _head(self, queued_s: float) -> Head:
        return Head(self._identity, self._created, self._facts.name, queued_s)

    def _told(self, figures: Mapping[str, Any]) -> dict[str, Any]:
        request = self.request
        return {
            "source": request.source,
            "constrained": request.constrained,
            **figures,
        }

    # A stream

    def _can_stream(self) -> bool:
        """Return whether what llama-server says can be handed on before all of it is there."""
        request, subjects = self.request, self.request.subjects
        chat = not isinstance(subjects[0], str) and isinstance(subjects[0][0], dict)
        checked = request.schema is not None and not request.tools and not held(request.schema)
        tokens = not chat and not all(isinstance(subject, str) for subject in subjects)
        return not (
            request.listed
            or checked
            or (request.max_tokens is None and request.max_length is not None)
            or request.chooses
            or request.choices > min(MOST_TOGETHER, self._facts.slots)
            or (len(subjects) > 1 and request.choices > 1)
            or (tokens and (request.echo or request.logprobs is not None))
            or (chat and request.further.get("return_tokens"))
            or (chat and goes_on(subjects[0]))
        )

    @property
    def first(self) -> UpstreamCall:
        """Return the one call of a stream.

        With the progress of its prompt, whether the caller is told that or not: who has gone is seen by each event.
        """
        prompts = [self._plain_prompt(subject) for subject in self.request.subjects]
        more: dict[str, Any] = {"stream": True, "timings_per_token": True, "return_progress": True}
        if prompts[0].messages is not None:
            more["stream_options"] = {"include_usage": True}
        if self.request.choices > 1:
            more["n_cmpl"] = self.request.choices
        if len(prompts) > 1:
            more["prompt"] = [prompt.text for prompt in prompts]
        return self._call(prompts[0], self._seed, more)

    def begin(self, queued_s: float = 0.0) -> None:
        """Begin a stream, when llama-server has begun to answer.

        Args:
            queued_s: seconds that the request has waited.
        """
        self._stream = Stream(self.request, self._head(queued_s), self._seed)

    def events(self, event: Any) -> Iterator[bytes]:
        """Give what the caller is told of one event of llama-server's."""
        yield from self._begun().events(event)

    def ended(self, reason: str | None = None) -> Iterator[bytes]:
        """Give the end of a stream.

        Args:
            reason: `timeout` where the time of the call is over, which is told as the finish_reason; None where
                llama-server has said all.
        """
        yield from self._begun().ended(reason)

    def failed(self, error: BadRequest) -> Iterator[bytes]:
        """Give an error as the end of a stream."""
        yield from self._begun().failed(error)

    @property
    def unread(self) -> bool:
        """Return whether a stream has brought nothing since llama-server cannot read the answer: then run `reread`."""
        return self._stream is not None and self._stream.unread

    def reread(
        self,
    ) -> Generator[tuple[UpstreamCall, ...], Sequence[UpstreamReply], list[Mapping[str, Any]]]:
        """Give what is to be asked instead, as `steps` does; return the events of the answer, one for each choice."""
        prompt, choices = self._plain_prompt(self.request.subjects[0]), range(self.request.choices)
        seeds = [(self._seed + number) % (MOST_SEED + 1) for number in choices]
        documents = yield from at_once([self._unread(prompt, seed) for seed in seeds])
        return [{**document, "index": number} for number, document in enumerate(documents)]

    @property
    def over(self) -> bool:
        """Return whether the stream has come to its end, so that nothing may follow."""
        return self._stream is not None and self._stream.over

    @property
    def figures(self) -> dict[str, Any]:
        """Return what the log says of a stream that has ended."""
        return self._told(self._begun().figures)

    def _begun(self) -> Stream:
        if self._stream is None:
            self.begin()
        return self._stream  # type: ignore[return-value]


def at_once(
    many: Sequence[Generator[tuple[UpstreamCall, ...], Sequence[UpstreamReply], Found_]],
) -> Generator[tuple[UpstreamCall, ...], Sequence[UpstreamReply], list[Found_]]:
    """Run several at once: give all calls of theirs together, hand each its replies, return what they return."""
    results: dict[int, Any] = {}
    waiting: dict[int, tuple[UpstreamCall, ...]] = {}
    replies: dict[int, Sequence[UpstreamReply] | None] = dict.fromkeys(range(len(many)))
    while len(results) < len(many):
        for number, one in enumerate(many):
            if number in results:
                continue
            try:
                said = replies[number]
                waiting[number] = next(one) if said is None else one.send(said)
            except StopIteration as done:
                results[number] = done.value
                waiting.pop(number, None)
        if not waiting:
            break
        got = yield tuple(call for calls in waiting.values() for call in calls)
        begin = 0
        for number, calls in waiting.items():
            replies[number] = got[begin : begin + len(calls)]
            begin += len(calls)
    return [results[number] for number in range(len(many))]


@dataclass(frozen=True)
class _Prompt:
    text: Union[str, "list[Any]"] = ""
    messages: Sequence[Any] | None = None
    said: str = ""
    """The text before the answer."""
    more: dict[str, Any] = field(default_factory=dict)


def translate(
    body: bytes,
    content_type: str | None,
    facts: ModelFacts,
    settings: Settings,
    *,
    identity: str,
    created: int,
) -> Translation:
    """Return a request's way to llama-server.

    Args:
        body: the request's.
        content_type: its header.
        facts: what is known of the model.
        settings: what a request gets that does not say otherwise.
        identity: 32 hexadecimal digits that no other answer has.
        created: the time, in seconds since 1970.

    Raises:
        BadRequest: the request is wrong, or asks the model for what it does not do.
    """
    does = EMBEDDINGS if facts.embeds else RERANK if facts.reranks else CHAT
    request = suited(parse_body(body, content_type, sees=facts.sees, adapted=True), does, facts.name)
    return Translation(request, facts, settings, identity=identity, created=created)
