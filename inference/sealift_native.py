"""The door to llama.cpp: one model, one context, by llama-cpp-python's own bindings.

Owns every call into the library, and the memory that such a call wants. Refuses to decide: what to evaluate, when to
stop and what to keep is `sealift_engine`. `llama_cpp.Llama` loads the model; its generation is not used, because it
tells neither log-probabilities nor how long anything took without keeping the logits of all tokens, cannot be
interrupted, and spells every answer anew with each token.
"""

from __future__ import annotations

import contextlib
import ctypes
import io
import math
import re
from collections import deque
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from sealift_chat import Constraint, Templates
from sealift_purpose import MEAN, RANK, embeds, ranks, whole
from sealift_settings import LoadError
from sealift_threads import attach, pool
from sealift_triggers import Watch

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from sealift_chat import Library
    from sealift_engine import Sampling
    from sealift_settings import Settings

CHATML_END = "<|im_end|>"
"""Ends an answer to it, also where the vocabulary has no such token."""

_ERROR = 4
"""GGML_LOG_LEVEL_ERROR."""
_INTERRUPTED = 2
"""What llama_decode returns when the abort callback said so."""
_BPE = 2
"""LLAMA_VOCAB_TYPE_BPE."""
_LONG_RUN = re.compile(r"\S{8192}|\s{8192}")
"""Where a text is cut before it is tokenised. Many vocabularies split words by std::regex, which calls itself once for
each character of a word: 60,000 letters in a row overflow the stack and end the process, 20,000 do not."""
_COLDEST = 1e-4
_MIROSTAT_M = 100
"""Tokens that Mirostat 1 looks at, as llama.cpp's own programs have it."""


def load(path: Path, settings: Settings, threads: int) -> Native:
    """Load a GGUF.

    Raises:
        LoadError: with what llama.cpp said about it.
    """
    try:
        import llama_cpp
    except (ImportError, OSError, RuntimeError) as error:
        raise LoadError(
            f"llama_cpp cannot be imported: {error}; wanted llama-cpp-python in the archive's code/ folder "
            "or in the image"
        ) from error
    log = _Log(llama_cpp)
    try:
        # Verbose, because its quiet mode closes the whole process's stdout and stderr while it loads.
        with contextlib.redirect_stderr(io.StringIO()), _without_amx(llama_cpp):
            llama = llama_cpp.Llama(
                str(path),
                n_ctx=settings.n_ctx,
                n_batch=settings.n_batch,
                n_threads=threads,
                n_threads_batch=threads,
                # Read unless asked otherwise: llama.cpp repacks 4-bit weights into memory of its own, and mapped pages
                # of the same weights would come on top. Both lines hold what the deployment's memory was planned with.
                use_mmap=settings.use_mmap,
                # Prompts gain by it and answers lose more, by all kinds of attention; see `_opened`.
                flash_attn=False,
                # A sliding layer keeps its window and one batch, not the whole context: see `Engine._reuse`.
                swa_full=False,
                verbose=True,
            )
    except Exception as error:  # whatever the library raises, the reason is in llama.cpp's own lines
        # `Llama` reads the chat template by Jinja2, which is of no use here.
        if type(error).__module__.partition(".")[0] == "jinja2":
            raise LoadError(f"model file {path.name!r}: {template_failure(error)}") from error
        said = "; ".join(log.errors) or str(error) or type(error).__name__
        runtime = f"llama-cpp-python {llama_cpp.__version__}"
        raise LoadError(
            f"model file {path.name!r} cannot be loaded: {load_failure(said, runtime)}"
        ) from error
    llama.verbose = False
    return Native(llama, llama_cpp.llama_cpp, log)


def template_failure(error: Exception) -> str:
    """Return what is wrong with a model's chat template: the file itself is whole, and copying it does not help."""
    return (
        f"its chat template (tokenizer.chat_template) is not a valid one: {error}; write one that is: "
        "gguf-new-metadata --chat-template-file FILE OLD.gguf NEW.gguf, or use another GGUF of the model"
    )


def load_failure(said: str, runtime: str) -> str:
    """Return what llama.cpp said of a model, with its meaning before it and what to do behind."""
    for pattern, meaning, advice in _FAILURES:
        if re.search(pattern, said):
            return f"{meaning.format(runtime=runtime)}: {said}; {advice}"
    return f"{said}; wanted a whole GGUF that {runtime} knows and that memory holds"


_FAILURES = (
    (
        r"insufficient memory|failed to allocate|[Uu]nable to allocate|bad_alloc|Cannot allocate memory",
        "there is not enough memory",
        "give the endpoint more memory, lower n_ctx, or use a smaller quantisation",
    ),
    (
        r"unknown model architecture|unknown pre-tokenizer|invalid ggml type|only supports up to version",
        "the model is newer than this runtime, {runtime}",
        "use a newer llama-cpp-python, or another model",
    ),
    (
        r"not within the file bounds|failed to read|invalid magic|unexpectedly reached end of file|corrupted",
        "the file is cut short or damaged",
        "export the model again, and compare its size",
    ),
    (
        r"tensor .* not found|wrong number of tensors|wrong shape|key not found",
        "the file's tensors are not those that {runtime} expects of its architecture",
        "export the model again with the converter of that release, or use a newer llama-cpp-python",
    ),
)
"""What llama.cpp was seen to say of broken files, in the order to look for it, since memory fails in many words."""


class _Log:
    """Keeps llama.cpp's last error lines, and drops the rest of its log.

    The callback must outlive the model: llama.cpp calls it from then on.
    """

    _kept: ClassVar[list[Any]] = []

    def __init__(self, llama_cpp: Any) -> None:
        self.errors: deque[str] = deque(maxlen=8)
        callback = llama_cpp.llama_log_callback(self._write)
        self._kept.append(callback)
        llama_cpp.llama_log_set(callback, ctypes.c_void_p(0))

    def _write(self, level: int, line: bytes, _user_data: Any) -> None:
        if level == _ERROR:
            self.errors.append(line.decode("utf-8", errors="replace").strip())


@contextlib.contextmanager
def _without_amx(llama_cpp: Any) -> Iterator[None]:
    """Keep weights out of llama.cpp's AMX buffers: its AMX kernels end the process with SIGSEGV on many CPUs.

    https://github.com/ggml-org/llama.cpp/issues/20824 (quantised weights only; a build without AMX is not
    touched). `Llama` has no argument for it, so the defaults that it starts from are changed while it loads.
    """
    native = llama_cpp.llama_cpp
    defaults = native.llama_model_default_params
    if b"AMX_INT8 = 1" not in native.llama_print_system_info():
        yield
        return

    def without_extra_buffers() -> Any:
        params = defaults()
        params.use_extra_bufts = False
        return params

    native.llama_model_default_params = without_extra_buffers
    try:
        yield
    finally:
        native.llama_model_default_params = defaults


class Native:
    """A loaded model and its one context. Not thread-safe, but for `interrupt`."""

    def __init__(self, llama: Any, api: Any, log: _Log) -> None:
        self.llama = llama
        self.api = api
        self._log = log
        self._ctx = llama.ctx
        self._vocabulary = api.llama_model_get_vocab(llama.model)
        self._memory = api.llama_get_memory(llama.ctx)
        self._splits_words = api.llama_vocab_type(self._vocabulary) == _BPE
        self.batch = int(api.llama_n_batch(llama.ctx))
        self.context = int(llama.n_ctx())
        self.window = int(api.llama_model_n_swa(llama.model))
        # What a recurrent state has read it cannot forget in part.
        self.forgets_in_part = not (
            api.llama_model_is_recurrent(llama.model) or api.llama_model_is_hybrid(llama.model)
        )
        self.name: str | None = llama.metadata.get("general.name")
        self.bos: int = llama.token_bos()
        self.template: str | None = llama.metadata.get("tokenizer.chat_template") or None
        self._token = (api.llama_token * 1)()
        self._piece = ctypes.create_string_buffer(256)
        self.vocabulary_size = int(llama.n_vocab())
        self._pieces: dict[bytes, int] | None = None
        self._ends: list[int] | None = None
        count = ctypes.c_int32()
        suppressed = api.llama_vocab_get_suppress_tokens(self._vocabulary, ctypes.byref(count))
        self._suppressed: list[int] = suppressed[: count.value] if count.value else []
        # llama.cpp asks the callback between two operations, some hundred times for each token. strlen of a text of
        # no or one character says false or true, as a Python function would, and needs no interpreter lock.
        self._interrupted = ctypes.create_string_buffer(2)
        self._callback = ctypes.cast(ctypes.CDLL(None).strlen, api.ggml_abort_callback)
        self._pool = 0
        made = pool(api._lib, int(api.llama_n_threads(self._ctx)))  # noqa: SLF001 not all is in the bindings
        if made:
            self._pool, end = made
            llama._stack.callback(end)  # noqa: SLF001 with the model
        self._prepare()

    def _prepare(self) -> None:
        """Give the context what it can be interrupted by, and its threads."""
        flag = ctypes.cast(self._interrupted, ctypes.c_void_p)
        self.api.llama_set_abort_callback(self._ctx, self._callback, flag)
        if self._pool:
            attach(self.api._lib, self._ctx, self._pool)  # noqa: SLF001 as above

    def _text(self, token: int) -> str:
        raw: bytes = self.api.llama_vocab_get_text(self._vocabulary, token) if token != -1 else b""
        return raw.decode("utf-8", errors="replace")

    @property
    def embeds(self) -> bool:
        """Tell whether the model is for embeddings: `encoder` opens it as one."""
        return embeds(
            self._architecture,
            self.api.llama_pooling_type(self._ctx),
            causal=self._causal,
            remembers=bool(self._memory),
            diffuses=bool(self.api.llama_model_is_diffusion(self.llama.model)),
        )

    @property
    def _causal(self) -> bool:
        return bool(self.llama.metadata.get(f"{self._architecture}.attention.causal") != "false")

    @property
    def _architecture(self) -> str:
        return str(self.llama.metadata.get("general.architecture", ""))

    @property
    def unserved(self) -> str | None:
        """Return what the model is, when nothing here asks it for what it does; None for any other."""
        if self.api.llama_model_has_encoder(self.llama.model):
            # llama.cpp ends the process when only the decoder is run.
            return "an encoder-decoder, or one part of it; deploy a decoder-only model"
        if self.api.llama_pooling_type(self._ctx) == RANK and not self.ranks:
            return (
                f"a reranker (pooling_type 4) of architecture {self._architecture!r}, of which llama.cpp knows no "
                "classifier; deploy one that it can rank with"
            )
        return None

    @property
    def ranks(self) -> bool:
        """Tell whether the model scores texts for a query: `ranker` opens it as one."""
        return ranks(self._architecture, self.api.llama_pooling_type(self._ctx))

    def ranker(self, n_ctx: int) -> Ranker:
        """Open the model to rank, as `encoder` does to embed."""
        most = self._opened(n_ctx)
        template = self.api.llama_model_chat_template(self.llama.model, b"rerank")
        return Ranker(self, most, template.decode("utf-8", errors="replace") if template else None)

    def encoder(self, n_ctx: int) -> Encoder:
        """Open the model for embeddings, in the place of the context that it was loaded with.

        Args:
            n_ctx: tokens of a text; fewer where the model was trained for fewer.

        Raises:
            LoadError: when llama.cpp cannot open it so.
        """
        return Encoder(self, self._opened(n_ctx), int(self.api.llama_model_n_embd_out(self.llama.model)))

    def _opened(self, n_ctx: int) -> int:
        """Open a context for what is evaluated whole; return the tokens that it holds."""
        api, llama = self.api, self.llama
        params = type(llama.context_params).from_buffer_copy(llama.context_params)
        trained = int(api.llama_model_n_ctx_train(llama.model))
        most = min(n_ctx, trained) if trained > 0 else n_ctx
        params.n_ctx = most
        pooling = api.llama_pooling_type(self._ctx)
        if whole(pooling, causal=self._causal, remembers=bool(self._memory)):
            # All tokens of a text see each other: llama.cpp ends the process where they are not evaluated at once.
            params.n_batch = params.n_ubatch = most
        else:
            params.n_batch = params.n_ubatch = min(params.n_batch, params.n_ubatch, most)
        self.batch = int(params.n_batch)
        params.embeddings = True
        # Nothing is generated: it is faster here, and never has the scores of all tokens for all tokens in memory.
        params.flash_attn_type = api.LLAMA_FLASH_ATTN_TYPE_ENABLED
        if not pooling:
            # The header tells of no pooling; the mean is what sentence-transformers takes then.
            params.pooling_type = MEAN
        self._log.errors.clear()
        llama._ctx.close()  # noqa: SLF001 two contexts would take the memory of both
        self._ctx = api.llama_init_from_model(llama.model, params)
        if not self._ctx:
            said = "; ".join(self._log.errors) or "llama.cpp gave no context"
            raise LoadError(
                f"the model cannot be opened for embeddings of {most} tokens: {said}; lower n_ctx"
            )
        llama._stack.callback(api.llama_free, self._ctx)  # noqa: SLF001 before the model goes
        self._memory = api.llama_get_memory(self._ctx)
        self._prepare()
        return most

    def embed(self, tokens: Sequence[int], width: int) -> Any:
        """Return the embedding of a text that `encoder` leaves room for; None when that was interrupted."""
        if self._memory:
            self.clear()
        for begin in range(0, len(tokens), self.batch):
            if not self.decode(tokens[begin : begin + self.batch]):
                return None
        vector = self.api.llama_get_embeddings_seq(self._ctx, 0)
        if not vector:
            raise RuntimeError("llama.cpp has no embedding of a text that it has evaluated")
        return np.ctypeslib.as_array(vector, shape=(width,)).copy()

    @property
    def fill_in(self) -> tuple[int, int, int] | None:
        """Return the tokens before a text to fill in, before what follows it, and before the filling; None without."""
        api = self.api
        tokens = tuple(
            int(of(self._vocabulary))
            for of in (api.llama_vocab_fim_pre, api.llama_vocab_fim_suf, api.llama_vocab_fim_mid)
        )
        return None if -1 in tokens else tokens  # type: ignore[return-value]

    def tokenize(self, text: str) -> list[int]:
        """Return the tokens of a text, special ones among them, after the one that begins a text."""
        first, *others = [
            self._tokenized(part, begins=not number) for number, part in enumerate(self._parts(text))
        ]
        # What ends a text, where the vocabulary adds that, llama.cpp has put behind the first part.
        end = [first.pop()] if self.api.llama_vocab_get_add_eos(self._vocabulary) and others else []
        return [token for part in (first, *others, end) for token in part]

    def part(self, text: str, *, special: bool) -> list[int]:
        """Return the tokens of a text alone, which begin and end none; special ones among them or not."""
        parts = self._parts(text)
        return [token for part in parts for token in self._tokenized(part, begins=False, special=special)]

    def around(self) -> tuple[list[int], list[int], list[int]]:
        """Return the tokens before a query, between it and a document, and behind that, where no template says."""
        api, vocabulary = self.api, self._vocabulary
        separator = [int(api.llama_vocab_sep(vocabulary))]
        end = int(api.llama_vocab_eos(vocabulary))
        ending = separator if end == -1 else [end]
        ending = ending if api.llama_vocab_get_add_eos(vocabulary) else []
        begin = [self.bos] if api.llama_vocab_get_add_bos(vocabulary) else []
        return begin, [*ending, *(separator if api.llama_vocab_get_add_sep(vocabulary) else [])], ending

    def _parts(self, text: str) -> list[bytes]:
        """Return a text, in parts where it has to be cut before it is tokenised."""
        if not self._splits_words or not _LONG_RUN.search(text):
            return [text.encode()]
        ends = [match.end() for match in _LONG_RUN.finditer(text)]
        parts = [text[begin:end] for begin, end in zip([0, *ends], [*ends, len(text)], strict=True)]
        return [part.encode() for part in parts if part]

    def _tokenized(self, text: bytes, *, begins: bool, special: bool = True) -> list[int]:
        room = len(text) + 8
        while True:
            tokens = (self.api.llama_token * room)()
            count = self.api.llama_tokenize(self._vocabulary, text, len(text), tokens, room, begins, special)
            if count >= 0:
                return tokens[:count]  # type: ignore[no-any-return]
            room = -count  # more tokens than bytes, as spaces are in a vocabulary that has none

    def templates(self, library: Library) -> Templates:
        """Return the model's chat template, read.

        Raises:
            ChatError: it is none.
        """
        llama, api = self.llama, self.api
        return Templates(
            library,
            self.template,
            tool_use=llama.metadata.get("tokenizer.chat_template.tool_use"),
            bos=self._text(self.bos),
            eos=self._text(llama.token_eos()),
            add_bos=bool(api.llama_vocab_get_add_bos(self._vocabulary)),
            add_eos=bool(api.llama_vocab_get_add_eos(self._vocabulary)),
        )

    def special(self, texts: Sequence[str]) -> frozenset[int]:
        """Return the tokens that stand for whole texts, of those that one does."""
        found = (self._tokenized(text.encode(), begins=False) for text in texts)
        return frozenset(tokens[0] for tokens in found if len(tokens) == 1)

    def spell(self, text: bytes) -> list[int]:
        """Return tokens whose bytes, special ones' as well, are a text's and no more; nothing where there are none."""
        tokens = self._tokenized(text, begins=False)
        if tokens and self.piece(tokens[0], special=True) == b" " != text[:1]:
            del tokens[0]
        if b"".join(self.piece(token, special=True) for token in tokens) == text:
            return tokens
        # A vocabulary that puts a space before each text: the longest tokens that fit, one behind the other.
        if self._pieces is None:
            self._pieces = {self.piece(token, special=True): token for token in range(self.vocabulary_size)}
        longest, tokens = max(map(len, self._pieces)), []
        while text:
            sizes = range(min(longest, len(text)), 0, -1)
            size = next((size for size in sizes if text[:size] in self._pieces), 0)
            if not size:
                return []
            tokens.append(self._pieces[text[:size]])
            text = text[size:]
        return tokens

    def piece(self, token: int, *, special: bool = False) -> bytes:
        """Return the bytes of a token; none of a special one but where that is wanted."""
        size = len(self._piece)
        count = self.api.llama_token_to_piece(self._vocabulary, token, self._piece, size, 0, special)
        if count < 0:
            self._piece = ctypes.create_string_buffer(-count)
            return self.piece(token, special=special)
        return self._piece.raw[:count]

    def ends(self, token: int) -> bool:
        """Return whether a token ends an answer."""
        return bool(self.api.llama_vocab_is_eog(self._vocabulary, token))

    def decode(self, tokens: Sequence[int], *, told: bool = False) -> bool:
        """Evaluate at most `batch` tokens behind those that are there; return False when that was interrupted.

        Of the last one llama.cpp keeps the logits; `told` keeps those of each.
        """
        count = len(tokens)
        if count == 1:
            self._token[0] = tokens[0]
            array = self._token
        else:
            array = (self.api.llama_token * count)(*tokens)
        batch = self.api.llama_batch_get_one(array, count)
        if told:
            batch.logits = (ctypes.c_int8 * count)(*[1] * count)
        status = self.api.llama_decode(self._ctx, batch)
        if status not in (0, _INTERRUPTED):
            said = "; ".join(self._log.errors)
            raise RuntimeError(f"llama_decode returned {status}{f': {said}' if said else ''}")
        return bool(status == 0)

    def interrupt(self) -> None:
        """Let the evaluation under way, and every later one, end soon; for another thread."""
        self._interrupted[0] = b"x"

    def resume(self) -> None:
        """Let evaluations run again."""
        self._interrupted[0] = b"\0"

    def keep(self, count: int) -> bool:
        """Forget all but the first tokens; return False when this model's memory cannot do that."""
        return bool(self.api.llama_memory_seq_rm(self._memory, 0, count, -1))

    def clear(self) -> None:
        """Forget all tokens."""
        self.api.llama_memory_clear(self._memory, True)

    def oldest(self) -> int:
        """Return the first position that the cache of every layer still holds, or -1."""
        return int(self.api.llama_memory_seq_pos_min(self._memory, 0))

    def state_size(self) -> int:
        """Return how many bytes `save` would return."""
        return int(self.api.llama_state_seq_get_size(self._ctx, 0))

    def save(self) -> Any:
        """Return what was evaluated, as a buffer of `state_size` bytes."""
        size = self.state_size()
        # Not zeroed, and so not touched twice.
        buffer = np.empty(size, np.uint8)
        written = self.api.llama_state_seq_get_data(self._ctx, _bytes_at(buffer), size, 0)
        if written != size:
            raise RuntimeError(f"llama_state_seq_get_data wrote {written} of {size} bytes")
        return buffer

    def restore(self, buffer: Any) -> bool:
        """Put back what `save` returned; return False, with nothing evaluated, when llama.cpp does not take it."""
        if self.api.llama_state_seq_set_data(self._ctx, _bytes_at(buffer), len(buffer), 0) == len(buffer):
            return True
        self.clear()
        return False

    def logprobs(self, token: int, top: int, place: int = -1) -> tuple[float, list[tuple[int, float]]]:
        """Return the log-probability of a token behind a place evaluated last, and the likeliest with theirs."""
        logits = np.ctypeslib.as_array(
            self.api.llama_get_logits_ith(self._ctx, place), shape=(self.vocabulary_size,)
        )
        highest = float(logits.max())
        total = highest + float(np.log(np.exp(logits - highest, dtype=np.float64).sum()))
        top = min(top, self.vocabulary_size)
        likeliest = np.argpartition(logits, -top)[-top:] if top else np.empty(0, np.intp)
        ordered = sorted(likeliest.tolist(), key=lambda one: (-logits[one], one))
        return float(logits[token]) - total, [(one, float(logits[one]) - total) for one in ordered]

    @contextlib.contextmanager
    def sampler(
        self, sampling: Sampling, constraint: Constraint | None, prompt: Sequence[int]
    ) -> Iterator[Callable[[], int | None]]:
        """Give a function that chooses the next token behind a prompt, or None where the grammar allows none.

        Raises:
            ValueError: when llama.cpp does not take the grammar.
        """
        chain = self._chain(sampling)
        try:
            if sampling.remembers:
                for token in prompt[
                    -max(self._back(sampling.repeat_last_n), self._back(sampling.dry_penalty_last_n)) :
                ]:
                    self.api.llama_sampler_accept(chain, token)
            if constraint is None and not sampling.min_tokens:
                sample, ctx = self.api.llama_sampler_sample, self._ctx
                yield lambda: int(sample(chain, ctx, -1))
                return
            if constraint is None:
                yield _Constrained(self, chain, None, Constraint("", lazy=True), sampling)
                return
            self._log.errors.clear()
            grammar = constraint.grammar.encode()
            keeper = self.api.llama_sampler_init_grammar(self._vocabulary, grammar, b"root")
            if not keeper:
                raise ValueError("; ".join(self._log.errors) or "llama.cpp does not take the grammar")
            try:
                yield _Constrained(self, chain, keeper, constraint, sampling)
            finally:
                self.api.llama_sampler_free(keeper)
        finally:
            self.api.llama_sampler_free(chain)

    def _chain(self, sampling: Sampling) -> Any:
        """Return llama.cpp's chain for these figures (common/sampling.cpp), without the links that change nothing."""
        api = self.api
        chain = api.llama_sampler_chain_init(api.llama_sampler_chain_default_params())
        for link in (*self._biases(sampling), *self._links(sampling)):
            api.llama_sampler_chain_add(chain, link)
        return chain

    def _biases(self, sampling: Sampling) -> list[Any]:
        """Return the link of the request's biases, and of the tokens that the model itself never writes."""
        pairs = [*sampling.logit_bias, *((token, -math.inf) for token in self._suppressed)]
        if sampling.ignore_eos:
            pairs += [(token, -math.inf) for token in self.endings()]
        if not pairs:
            return []
        array = (self.api.llama_logit_bias * len(pairs))(*pairs)
        return [self.api.llama_sampler_init_logit_bias(self.vocabulary_size, len(pairs), array)]

    def endings(self) -> list[int]:
        """Return the tokens that end an answer; all are asked about once."""
        if self._ends is None:
            self._ends = [token for token in range(self.vocabulary_size) if self.ends(token)]
        return self._ends

    def _back(self, count: int) -> int:
        """Return how many tokens a sampler looks back, where -1 says all."""
        return self.context if count < 0 else min(count, self.context)

    def _links(self, sampling: Sampling) -> list[Any]:
        # Less than this makes logits infinite, and is the likeliest all the same.
        api, seed, hot = self.api, sampling.seed, sampling.temperature >= _COLDEST
        if sampling.mirostat and hot:
            tau, eta = sampling.mirostat_tau, sampling.mirostat_eta
            return [
                api.llama_sampler_init_temp(sampling.temperature),
                api.llama_sampler_init_mirostat(self.vocabulary_size, seed, tau, eta, _MIROSTAT_M)
                if sampling.mirostat == 1
                else api.llama_sampler_init_mirostat_v2(seed, tau, eta),
            ]
        links = self._penalties(sampling)
        # What only drops unlikely tokens never drops the likeliest one.
        drops = hot or sampling.xtc_probability > 0 or sampling.typical_p < 1
        if drops and sampling.top_n_sigma > 0:
            links.append(api.llama_sampler_init_top_n_sigma(sampling.top_n_sigma))
        if drops and sampling.top_k > 0:
            links.append(api.llama_sampler_init_top_k(min(sampling.top_k, self.vocabulary_size)))
        if sampling.typical_p < 1:
            links.append(api.llama_sampler_init_typical(sampling.typical_p, 1))
        if drops and sampling.top_p < 1:
            links.append(api.llama_sampler_init_top_p(sampling.top_p, 1))
        if drops and sampling.min_p > 0:
            links.append(api.llama_sampler_init_min_p(sampling.min_p, 1))
        if sampling.xtc_probability > 0:
            links.append(
                api.llama_sampler_init_xtc(sampling.xtc_probability, sampling.xtc_threshold, 1, seed)
            )
        if not hot:
            return [*links, api.llama_sampler_init_greedy()]
        dynamic = sampling.dynatemp_range, sampling.dynatemp_exponent
        temperature = (
            api.llama_sampler_init_temp_ext(sampling.temperature, *dynamic)
            if sampling.dynatemp_range > 0
            else api.llama_sampler_init_temp(sampling.temperature)
        )
        return [*links, temperature, api.llama_sampler_init_dist(seed)]

    def _penalties(self, sampling: Sampling) -> list[Any]:
        """Return the links that look at the tokens before."""
        api, links = self.api, []
        if sampling.penalizes:
            figures = sampling.repeat_penalty, sampling.frequency_penalty, sampling.presence_penalty
            back = self._back(sampling.repeat_last_n)
            links.append(api.llama_sampler_init_penalties(self.vocabulary_size, back, *figures))
        if sampling.dries:
            breakers = [breaker.encode() for breaker in sampling.dry_sequence_breakers]
            links.append(
                api.llama_sampler_init_dry(
                    self._vocabulary,
                    sampling.dry_multiplier,
                    sampling.dry_base if sampling.dry_base >= 1 else type(sampling).dry_base,
                    sampling.dry_allowed_length,
                    self._back(sampling.dry_penalty_last_n),
                    (ctypes.c_char_p * len(breakers))(*breakers),
                    len(breakers),
                )
            )
        return links


class _Constrained:
    """Chooses tokens that a grammar allows, and none that ends the answer before it has its least length.

    Most of the time the model's own choice is allowed: asking the grammar about one token is a thousand times cheaper
    than about a vocabulary. A token that it does not allow must never be given to it: llama.cpp then throws through
    C, which ends the process. So every token is asked about before it is accepted.
    """

    def __init__(
        self, native: Native, chain: Any, keeper: Any, constraint: Constraint, sampling: Sampling
    ) -> None:
        self._native, self._chain, self._keeper = native, chain, keeper
        self._remembers = sampling.remembers
        self._least = sampling.min_tokens
        self._ending = [*native.endings(), *sampling.stop_tokens] if self._least else []
        self._api, self._ctx, self._size = native.api, native.llama.ctx, native.vocabulary_size
        self._candidates: Any = None
        self._one = np.zeros(1, _CANDIDATE)
        self._watch = Watch(constraint) if constraint.lazy and constraint.grammar else None
        self._past: list[tuple[int, bytes]] = []
        """What was chosen while no trigger was there."""
        self._free = constraint.lazy
        if constraint.prefix and not self._read(native.spell(constraint.prefix.encode())):
            raise ValueError(
                f"the grammar does not begin with {constraint.prefix!r}, which the prompt ends with"
            )

    def __call__(self) -> int | None:
        # llama.cpp's own call notes its choice as a token that was there: wrong where the grammar forbids it.
        token = (
            self._choose(free=True)
            if self._remembers or self._least > 0
            else int(self._api.llama_sampler_sample(self._chain, self._ctx, -1))
        )
        if not self._free and (token is None or not self._allows(token)):
            token = self._choose()
            if token is None or not self._allows(token):
                return None
        if token is None:
            return None
        self._least -= 1
        if self._remembers:
            self._api.llama_sampler_accept(self._chain, token)
        if self._watch:
            self._start_grammar(token, self._watch)
        elif not self._free and not self._native.ends(token):
            self._api.llama_sampler_accept(self._keeper, token)
        return token

    def _start_grammar(self, token: int, watch: Watch) -> None:
        """Let the grammar begin where a token ends what triggers it; not at all, where that does not suit it."""
        piece = self._native.piece(token, special=True)
        self._past.append((token, piece))
        count = watch.add(piece)
        if count is None:
            return
        self._watch = None
        tokens: list[int] = []
        while count > 0:
            token, piece = self._past.pop()
            tokens[:0] = [token] if len(piece) <= count else self._native.spell(piece[-count:])
            count -= len(piece)
        self._free = not self._read(tokens)

    def _read(self, tokens: Sequence[int]) -> bool:
        """Give tokens to the grammar; return whether it allows them all."""
        for token in tokens:
            if not self._allows(token):
                return False
            self._api.llama_sampler_accept(self._keeper, token)
        return bool(tokens)

    def _allows(self, token: int) -> bool:
        self._one[0] = (token, 0.0, 0.0)
        self._api.llama_sampler_apply(self._keeper, ctypes.byref(self._array(self._one)))
        return bool(np.isfinite(self._one["logit"][0]))

    def _choose(self, *, free: bool = False) -> int | None:
        """Return the chain's choice among the tokens that the grammar allows, or among all."""
        if self._candidates is None:
            self._candidates = np.zeros(self._size, _CANDIDATE)
        logits = self._api.llama_get_logits_ith(self._ctx, -1)
        self._candidates["id"] = np.arange(self._size, dtype=np.int32)
        self._candidates["logit"] = np.ctypeslib.as_array(logits, shape=(self._size,))
        if self._least > 0:
            self._candidates["logit"][self._ending] = -np.inf
        if not free:
            self._api.llama_sampler_apply(self._keeper, ctypes.byref(self._array(self._candidates)))
        allowed = self._candidates[np.isfinite(self._candidates["logit"])]
        if not len(allowed):
            return None
        array = self._array(allowed)
        self._api.llama_sampler_apply(self._chain, ctypes.byref(array))
        return int(allowed["id"][array.selected]) if array.selected >= 0 else None

    def _array(self, candidates: Any) -> Any:
        data = candidates.ctypes.data_as(self._api.llama_token_data_p)
        return self._api.llama_token_data_array(data=data, size=len(candidates), selected=-1, sorted=False)


_CANDIDATE = np.dtype([("id", np.int32), ("logit", np.float32), ("p", np.float32)])


class Encoder:
    """A loaded model that turns texts into embeddings. Not thread-safe, but for `interrupt`."""

    def __init__(self, native: Native, most: int, width: int) -> None:
        self._native = native
        self.most = most
        self.width = width
        self.tokenize = native.tokenize
        self.interrupt = native.interrupt
        self.resume = native.resume

    def embed(self, tokens: list[int]) -> Any:
        """Return a text's embedding, as long as the model made it; None when that was interrupted."""
        return self._native.embed(tokens, self.width)


class Ranker:
    """A loaded model that scores texts for a query. Not thread-safe, but for `interrupt`."""

    def __init__(self, native: Native, most: int, template: str | None) -> None:
        self._native = native
        self.most = most
        self.template = template
        self.tokens = native.part
        self.around = native.around
        self.interrupt = native.interrupt
        self.resume = native.resume

    def score(self, tokens: list[int]) -> float | None:
        """Return how well a pair fits; None when that was interrupted."""
        found = self._native.embed(tokens, 1)
        return None if found is None else float(found[0])


def _bytes_at(buffer: Any) -> Any:
    return buffer.ctypes.data_as(ctypes.POINTER(ctypes.c_uint8))
