"""llama-server from its first start to its last end: loaded, asked for a first token, watched, started again.

Owns when it is started and when no more, and what is known of its model. Refuses requests: `service` has them.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING

from adapter.command import Command, environment
from adapter.header import read_header
from adapter.process import LlamaServer
from adapter.upstream import TEXT_PATH, UpstreamCall, driven, learn

from sealift_cpus import threads_for
from sealift_folder import find_companions, find_model, read_config
from sealift_settings import LoadError, settings_from

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from adapter.upstream import ModelFacts, UpstreamReply

    from sealift_settings import Settings

MOST_RESTARTS = 3
"""How often llama-server is started again within `RESTARTS_S`; then it stays down, and /ping says why."""
RESTARTS_S = 600.0


@dataclass(frozen=True)
class Loaded:
    """A llama-server that answers, and what is known of its model."""

    server: LlamaServer
    facts: ModelFacts
    settings: Settings


class Life:
    """The one llama-server, as long as the adapter lives."""

    def __init__(
        self,
        model_dir: Path,
        program: Path,
        environ: Mapping[str, str],
        log: Callable[..., None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._model_dir, self._program, self._environ = model_dir, program, environ
        self._log, self._clock = log, clock
        self.loaded: Loaded | None = None
        """None as long as there is none."""
        self.failure: str | None = None
        """Why there is none, where it is not because the model is still loading."""
        self.restarts = 0
        self.stopping = False
        """Whether an end is as it should be."""

    async def supervise(self, begin: Callable[[Loaded], None]) -> None:
        """Load the model, and start llama-server again when it has ended, unless that happens again and again.

        Args:
            begin: told of each llama-server, when it answers and before anybody may ask it.
        """
        ends: list[float] = []
        while True:
            loaded = await self._load(begin)
            if loaded is None:
                return
            await loaded.server.ended()
            self.loaded = None
            how = f"llama-server {loaded.server.how}; its last words: {loaded.server.words}"
            await loaded.server.stop()
            if self.stopping:
                return
            self.failure = how
            self._log("llama_server_ended", reason=how)
            now = self._clock()
            ends = [*(at for at in ends if now - at < RESTARTS_S), now]
            if len(ends) > MOST_RESTARTS:
                self.failure = (
                    f"{how}; it ended {len(ends)} times within {RESTARTS_S:g} s and is not started again"
                )
                return
            self.restarts += 1

    async def _load(self, begin: Callable[[Loaded], None]) -> Loaded | None:
        """Return a llama-server that has generated a token; None when there is none, and why is logged."""
        begun, server = self._clock(), None
        try:
            command = self._command()
            self._log("loading", model=command.model.name, llama_server=str(command.program))
            server = await LlamaServer.start(command, environment(self._environ))
            await server.ready()
            ready = self._clock()
            facts = await self._first_token(server, command)
        except Exception as error:  # noqa: BLE001 whatever the reason is, /ping has to tell it
            ended = f"; llama-server {server.how}; its last words: {server.words}" if server else ""
            said = str(error) if isinstance(error, LoadError) else f"{type(error).__name__}: {error}{ended}"
            self.failure = f"the model could not be loaded: {said}"
            self._log("load_failed", reason=said)
            if server is not None:
                await server.stop()
            return None
        except BaseException:
            if server is not None:
                await server.stop()
            raise
        settings = command.settings
        self._log(
            "model_loaded",
            model=facts.name,
            file=command.model.name,
            seconds=round(ready - begun, 3),
            first_token_seconds=round(self._clock() - ready, 3),
            n_ctx=facts.context,
            n_batch=command.batch,
            n_threads=command.threads,
            n_parallel=facts.slots,
            use_mmap=settings.use_mmap,
            beside=[Path(path).name for path in command.companions.files],
            embeds=facts.embeds,
            reranks=facts.reranks,
        )
        self.failure = None
        loaded = Loaded(server, facts, settings)
        begin(loaded)
        self.loaded = loaded
        return loaded

    def _command(self) -> Command:
        folder = self._model_dir
        settings = settings_from(read_config([folder / "code", Path(__file__).parents[1]]), self._environ)
        model = find_model(folder, alone=False)
        threads = threads_for(settings.n_threads)
        header = read_header(model)
        if header.unserved:
            raise LoadError(f"model file {model.name!r} is {header.unserved}")
        return Command(self._program, model, settings, header, threads, find_companions(folder))

    async def _first_token(self, server: LlamaServer, command: Command) -> ModelFacts:
        """Have it answer once, as it will be asked, and return what is known of its model.

        Raises:
            LoadError: it does not.
        """
        header = command.header
        call = UpstreamCall(TEXT_PATH, {"prompt": "Hello", "n_predict": 1})
        if header.embeds:
            call = UpstreamCall("/v1/embeddings", {"input": "Hello"})
        elif header.ranks:
            call = UpstreamCall("/v1/rerank", {"query": "Hello", "documents": ["Hello"]})
        reply = await server.ask(call)
        if reply.status != HTTPStatus.OK:
            raise LoadError(
                f"model file {command.model.name!r} is loaded, and answers nothing: {_said(reply)}"
            )
        name = command.settings.model_name or header.name or command.model.stem

        async def send(calls: Sequence[UpstreamCall]) -> list[UpstreamReply]:
            return [await server.ask(one) for one in calls]

        return await driven(learn(name, embeds=header.embeds, reranks=header.ranks), send)

    async def close(self) -> None:
        """End llama-server."""
        if self.loaded is not None:
            await self.loaded.server.stop()


def _said(reply: UpstreamReply) -> str:
    document = reply.document
    error = document.get("error") if isinstance(document, dict) else None
    return str(error.get("message")) if isinstance(error, dict) else f"status {reply.status}"
