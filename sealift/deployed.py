"""A service that is deployed, from Python: ask it, talk with it, embed, stream, and see how it stands.

What `sealift.service` returns. Owns how a program's arguments become a question; the asking itself is the commands'.
"""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, overload

from pipeline.aws import service_errors
from pipeline.client import image_files, replies, requests, service_endpoint
from pipeline.client.asking import Asker, FollowedEndpoint
from pipeline.client.requests import Conversation, Sampling, Turn
from pipeline.errors import InvalidInput, Problem
from pipeline.gguf import questions
from pipeline.operations import service_status

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from os import PathLike

    import openai

    from pipeline.aws.clients import Clients
    from pipeline.client.asking import AnswerStream
    from pipeline.client.replies import Reply
    from pipeline.client.service_endpoint import ServiceEndpoint
    from pipeline.operations.service_status import Service

sleep = time.sleep  # noqa: TID251 a program waits in its own thread

FRESH_S: Final = 60.0
"""Seconds after which the endpoint that serves is looked for anew: a switch is followed within them."""


class DeployedService:
    """One service; for any number of threads, and as long as a program runs: it follows the service's endpoint.

    Every call waits through a cold start, up to four minutes, and raises a `SealiftError`: InvalidInput where nothing
    serves or the model cannot be asked that way, RequestRejected where its container refuses the request,
    EndpointFailed where it failed, ModelNotReady or Throttled where none was free for four minutes, AccessDenied
    where the caller may not.
    """

    def __init__(self, name: str, clients: Clients, stack: str | None) -> None:
        self.name = name
        self.stack = stack
        """Whose deployments count; None for any."""
        self._clients = clients
        self._endpoint = FollowedEndpoint(
            lambda: service_endpoint.find(clients, name, stack), now=time.monotonic, fresh_s=FRESH_S
        )
        self._asker = Asker(clients, self._endpoint, sleep=sleep, now=time.monotonic)

    def __repr__(self) -> str:
        return f"<sealift service {self.name!r}>"

    @property
    def endpoint(self) -> ServiceEndpoint:
        """The endpoint that serves now: `name`, whether it `streams`, and the `form` that its model is asked in.

        Raises:
            SealiftError: nothing serves, or AWS refused.
        """
        with service_errors.translated():
            return self._endpoint.get()

    def status(self) -> Service:
        """Return how it stands, as `sealift status` shows it: `well`, `deployments`, `calls`, `running`.

        Raises:
            InvalidInput: there is nothing of it.
            SealiftError: AWS refused.
        """
        with service_errors.translated():
            found = service_status.overview(self._clients, stack=self.stack, service=self.name)
        for one in found:
            return one
        whose = f" of the stack {self.stack!r}" if self.stack else " in this account and region"
        fix = "`sealift.services()` has what there is"
        problem = Problem("NoService", f"nothing of {self.name!r}{whose}", "a service that was deployed", fix)
        raise InvalidInput(f"service {self.name}", [problem])

    def ask(
        self,
        question: str,
        *,
        system: str = "",
        images: Sequence[bytes | str | PathLike[str]] = (),
        max_tokens: int | None = None,
        temperature: float | None = None,
        schema: Mapping[str, Any] | None = None,
    ) -> Reply:
        """Return the answer to one question: its `text`, which `str()` gives too, and what it took.

        Args:
            question: the text; to a base model its beginning.
            system: how the model is to answer.
            images: files, or what is in them: PNG, JPEG, GIF or BMP, 4 MiB each at most, where the model sees.
            max_tokens: of the answer at most; None for the endpoint's own bound.
            temperature: 0 takes the likeliest word each time; None for the endpoint's own.
            schema: a JSON schema that the answer, which is JSON then, holds to.

        Raises:
            SealiftError: as the class says.
        """
        asked = Conversation().with_system(system).said(Turn("user", question, _images(images)))
        with service_errors.translated():
            return self._asker.ask(asked, Sampling(max_tokens, temperature, schema))

    def stream(
        self,
        question: str,
        *,
        system: str = "",
        images: Sequence[bytes | str | PathLike[str]] = (),
        max_tokens: int | None = None,
        temperature: float | None = None,
        schema: Mapping[str, Any] | None = None,
    ) -> AnswerStream:
        """Return an answer that comes piece by piece: iterate over it; its `reply` has what it took, at the end.

        From a serverless endpoint it comes in one piece: SageMaker streams from instances alone.

        Args:
            question: as `ask` takes it.
            system: the same.
            images: the same.
            max_tokens: the same.
            temperature: the same.
            schema: the same.

        Raises:
            SealiftError: as the class says; while it is read EndpointFailed, when it ends in its middle.
        """
        asked = Conversation().with_system(system).said(Turn("user", question, _images(images)))
        with service_errors.translated():
            return self._asker.stream(asked, Sampling(max_tokens, temperature, schema))

    def chat(
        self,
        *,
        system: str = "",
        messages: Sequence[Mapping[str, str]] = (),
        max_tokens: int | None = None,
        temperature: float | None = None,
    ) -> ServiceChat:
        """Return a conversation, which keeps what was said and sends it along.

        Args:
            system: how the model is to answer.
            messages: what was said before, each with `role` (system, user or assistant) and `content`, a text.
            max_tokens: of each answer at most; None for the endpoint's own bound.
            temperature: as `ask` takes it.

        Raises:
            InvalidInput: a message is none.
        """
        said = Conversation(tuple(requests.turn(one) for one in messages))
        if system:
            said = said.with_system(system)
        return ServiceChat(self._asker, said, Sampling(max_tokens, temperature))

    @overload
    def embed(self, texts: str) -> list[float]: ...  # type: ignore[overload-overlap] # a str is a Sequence[str]
    @overload
    def embed(self, texts: Sequence[str]) -> list[list[float]]: ...
    def embed(self, texts: str | Sequence[str]) -> list[float] | list[list[float]]:
        """Return the vector of a text; of several texts theirs, in their order.

        Args:
            texts: one, or several that go in one request: 4 MB of them on serverless, 25 MB on an instance.

        Raises:
            SealiftError: as the class says; InvalidInput where the model is none for embeddings.
        """
        with service_errors.translated():
            endpoint = self._endpoint.get()
            if endpoint.form != questions.INPUT:
                seen, fix = f"its model is asked with {endpoint.form!r}", "deploy a model for embeddings"
                problem = Problem("NoEmbeddings", seen, "a model for embeddings", fix)
                raise InvalidInput(f"service {self.name}", [problem])
            vectors = replies.vectors(self._asker.send({"input": texts}))
        return vectors[0] if isinstance(texts, str) else vectors

    def invoke(self, body: Mapping[str, Any]) -> Any:
        """Return the answer to any request that docs/requests.md has, as JSON: with tools, to rank, to continue a text.

        Args:
            body: the request.

        Raises:
            SealiftError: as the class says.
        """
        with service_errors.translated():
            return json.loads(self._asker.send(body))

    def openai(self, **options: Any) -> openai.OpenAI:
        """Return a client of the `openai` package, whose requests are signed and go to the endpoint that serves.

        It takes chats, completions, responses and embeddings, as the model does; `model` may be any text. Streams come
        whole from a serverless endpoint. Nothing of it expires, and it follows a switch.

        Args:
            options: of `openai.OpenAI`; no retries unless `max_retries` says so, as a second try generates twice.

        Raises:
            InvalidInput: the package is not installed.
        """
        try:
            from pipeline.client import openai_client
        except ModuleNotFoundError as error:
            if error.name != "openai":
                raise
            problem = Problem(
                "NoOpenAI", "no package 'openai' in this Python", "it installed", "run `pip install openai`"
            )
            raise InvalidInput("openai()", [problem]) from error
        return openai_client.make(self._asker, self.name, **options)


class ServiceChat:
    """A conversation with a service; for one thread."""

    def __init__(self, asker: Asker, said: Conversation, sampling: Sampling) -> None:
        self._asker = asker
        self._said = said
        self._sampling = sampling

    @property
    def messages(self) -> list[dict[str, Any]]:
        """What was said so far, each with `role` and `content`, as JSON may keep it and `chat` takes it again."""
        return [one.document() for one in self._said.turns]

    def ask(self, text: str, *, images: Sequence[bytes | str | PathLike[str]] = ()) -> Reply:
        """Return the answer, and keep both; what was refused is not kept.

        Args:
            text: what is said.
            images: as `DeployedService.ask` takes them.

        Raises:
            SealiftError: as `DeployedService` says.
        """
        asked = self._said.said(Turn("user", text, _images(images)))
        with service_errors.translated():
            reply = self._asker.ask(asked, self._sampling)
        self._said = asked.said(Turn("assistant", reply.text))
        return reply

    def stream(self, text: str, *, images: Sequence[bytes | str | PathLike[str]] = ()) -> Iterator[str]:
        """Yield the answer piece by piece, and keep both; of an answer that is left in its middle as much as came.

        Args:
            text: what is said.
            images: as `DeployedService.ask` takes them.

        Raises:
            SealiftError: as `DeployedService` says.
        """
        asked = self._said.said(Turn("user", text, _images(images)))
        with service_errors.translated(), self._asker.stream(asked, self._sampling) as answer:
            try:
                yield from answer
            finally:
                if answer.reply.text:
                    self._said = asked.said(Turn("assistant", answer.reply.text))


def _images(given: Sequence[bytes | str | PathLike[str]]) -> tuple[bytes, ...]:
    return tuple(one if isinstance(one, bytes) else image_files.read(Path(one)) for one in given)
