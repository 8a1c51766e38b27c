"""Every field that clients send, and its place: honored, ignored because it changes nothing, or refused.

Owns the names of a request's fields in all its forms, the values that each takes, and which container does what with
it. Refuses to read a request: `sealift_request` does, by this table. A field that is not here is unknown, and most
likely misspelt.

Who sends them: OpenAI's description of its interface (`openai`), llama.cpp's server (`llama.cpp`: server-schema.cpp),
Hugging Face's text-generation-inference and its clients on SageMaker (`tgi`; `litellm` sends its own options along),
its text-embeddings-inference (`tei`), AWS's JumpStart and its LMI containers (`djl`), vLLM (`vllm`), and the
rerankers of Jina and Cohere (`jina`, `cohere`).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sealift_settings import RANGES, Range

if TYPE_CHECKING:
    from collections.abc import Callable

HONORED, IGNORED, REFUSED = "honored", "ignored", "refused"

CHAT, COMPLETION, INPUTS, EMBEDDINGS, RESPONSES = "messages", "prompt", "inputs", "input", "responses"
"""The forms of a request, by the field that asks; `responses` asks with `input`, as embeddings do."""
RERANK = "query"
"""A request to rank documents, as Jina, Cohere and llama-server have it with `documents`, and TEI with `texts`."""
GENERATING = (CHAT, COMPLETION, INPUTS, RESPONSES)
_TEXTS = (COMPLETION, INPUTS)
_CHATS = (CHAT, INPUTS, RESPONSES)


@dataclass(frozen=True)
class Kind:
    """The values that a field takes, in words and as a question."""

    words: str
    test: Callable[[Any], bool]

    def __str__(self) -> str:
        return self.words

    def accepts(self, value: Any) -> bool:
        """Return whether a JSON value is one of them."""
        return self.test(value)


def _number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(_float(value))


def _float(value: float) -> float:
    try:
        return float(value)
    except OverflowError:  # an integer of any length is JSON
        return math.inf


def _whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _among(*values: Any) -> Kind:
    """Return the kind of a few values; JSON's true is not its 1."""
    words = " or ".join(repr(value) for value in values)
    return Kind(words, lambda value: any(type(value) is type(one) and value == one for one in values))


ANY = Kind("anything", lambda _: True)
GRAMMAR = Kind(
    "a grammar in llama.cpp's form, or an object with 'type' ('json' or 'regex') and 'value'",
    lambda value: (isinstance(value, str) and bool(value)) or isinstance(value, dict),
)
NOTHING = Kind("nothing", lambda _: False)
TEXT = Kind("a text", lambda value: isinstance(value, str))
SWITCH = Kind("true or false", lambda value: isinstance(value, bool))
OBJECT = Kind("an object", lambda value: isinstance(value, dict))
LIST = Kind("a list", lambda value: isinstance(value, list))
EMPTY = Kind("nothing in it", lambda value: value in ([], {}, "", False))  # and 0, which is False to Python
OFF = Kind("false", lambda value: value is False)
ON = Kind("true", lambda value: value is True)
ZERO = Kind("0", lambda value: _number(value) and value == 0)
FILLED = Kind("a text that is not empty", lambda value: isinstance(value, str) and bool(value))
CHOICES = Kind(
    "a list of texts, none of them empty",
    lambda value: (
        isinstance(value, list) and all(isinstance(one, str) and one for one in value) and bool(value)
    ),
)
TOKENS = Kind(
    "a list of up to 64 tokens, or one",
    lambda value: (
        (isinstance(value, list) and len(value) <= 64 and all(_whole(one) and one >= 0 for one in value))
        or (_whole(value) and value >= 0)
    ),
)
_INTEGER = Kind("a whole number", _whole)
_PENALTY = Range(-1000, 1000, whole=False)
_AS_MANY = Kind(
    "a whole number of at least 1, or -1 for as many tokens as the context has room for",
    lambda value: _whole(value) and (value >= 1 or value == -1),
)
_SECONDS = Kind("a number of seconds above 0", lambda value: _number(value) and value > 0)
_POSITIVE = Kind(
    "a number above 0, 1000 at most, that is 1 to penalize nothing",
    lambda value: _number(value) and 1e-3 <= value <= 1000,
)
_TOP_K = Kind("a whole number of at least 1, or 0 or -1 for all", lambda value: _whole(value) and value >= -1)
_SIGMA = Kind("a number, below 0 for no bound", lambda value: _number(value) and value <= 1e6)
_SHARE = Range(0, 1, whole=False)
_WINDOW = Range(-1, 1_000_000)
_CHOICES = Range(1, 128)
_BREAKERS = Kind(
    "a list of 1 to 64 texts of up to 256 characters, none of them empty",
    lambda value: (
        isinstance(value, list)
        and 1 <= len(value) <= 64
        and all(isinstance(one, str) and 0 < len(one) <= 256 and "\0" not in one for one in value)
    ),
)
_BIASES = Kind(
    "an object of tokens or texts, each with a number or false, or a list of such pairs; 1024 at most",
    lambda value: (
        isinstance(value, (dict, list))
        and len(value) <= 1024
        and all(
            ((isinstance(key, str) and key) or _whole(key)) and (bias is False or _number(bias))
            for key, bias in (
                value.items()
                if isinstance(value, dict)
                else [one if isinstance(one, list) and len(one) == 2 else ("", None) for one in value]
            )
        )
    ),
)
_SAMPLERS = Kind(
    "a list of up to 32 names of samplers, or a text of their letters",
    lambda value: (
        (isinstance(value, str) and 0 < len(value) <= 32)
        or (isinstance(value, list) and 0 < len(value) <= 32 and all(isinstance(one, str) for one in value))
    ),
)
_LORA = Kind(
    "a list of up to 64 objects with an 'id' and a 'scale'",
    lambda value: (
        isinstance(value, list)
        and len(value) <= 64
        and all(
            isinstance(one, dict)
            and set(one) == {"id", "scale"}
            and _whole(one["id"])
            and 0 <= one["id"] < 1000
            and _number(one["scale"])
            for one in value
        )
    ),
)
_DECAY = Kind("a number from 0 to 0.99", lambda value: _number(value) and 0 <= value <= 0.99)
TOP = Range(0, 20)
"""OpenAI's bound of a chat's top_logprobs."""


@dataclass(frozen=True)
class Field:
    """One field of a request."""

    name: str
    place: str
    """HONORED, IGNORED or REFUSED by the four functions, and so in the container `pytorch`."""
    forms: tuple[str, ...]
    """The forms of a request that it belongs to."""
    takes: Kind | Range = ANY
    """The values that are taken; of a refused field those that change nothing."""
    aliases: tuple[str, ...] = ()
    senders: str = "openai"
    instead: str = ""
    """Of a refused field: what to do."""
    llama_server: str = ""
    """Its place in llama-server, and so in the container `llama-cpp`; the same as here when empty."""
    beyond: Kind | Range | None = None
    """The values that are honored where the adapter hands them on to llama-server (`custom`), of a field that is not
    honored here."""
    without: str = ""
    """Of a field that is honored here, and that llama-server cannot do: what to do there instead (`custom`)."""

    @property
    def there(self) -> str:
        """Return its place in llama-server."""
        return self.llama_server or self.place

    def place_by(self, *, adapted: bool) -> str:
        """Return its place in the four functions, or in llama-server behind the adapter."""
        if adapted and self.without:
            return REFUSED
        return HONORED if adapted and self.beyond is not None else self.place

    def takes_by(self, *, adapted: bool) -> Kind | Range:
        """Return the values that are taken there."""
        if adapted and self.without:
            return EMPTY
        return self.beyond if adapted and self.beyond is not None else self.takes

    def instead_by(self, *, adapted: bool) -> str:
        """Return what to do instead where it is refused there."""
        return self.without if adapted and self.without else self.instead


def _honored(name: str, forms: tuple[str, ...], takes: Kind | Range, **more: Any) -> Field:
    return Field(name, HONORED, forms, takes, **more)


def _ignored(name: str, forms: tuple[str, ...], takes: Kind | Range = ANY, **more: Any) -> Field:
    return Field(name, IGNORED, forms, takes, **more)


def _refused(name: str, forms: tuple[str, ...], takes: Kind | Range, instead: str, **more: Any) -> Field:
    # llama-server passes over what it does not know.
    return Field(name, REFUSED, forms, takes, instead=instead, **{"llama_server": IGNORED, **more})


_LLAMA: dict[str, Any] = {"senders": "llama.cpp", "llama_server": HONORED}
_THEIRS = "containers 'custom' and 'llama-cpp' take it"
_NOBODY = "no container here does that"
_FORBIDS = "send 'logit_bias' with false for its tokens"
_OF_TEXTS = "container 'llama-cpp' takes it"

FIELDS = (
    # How long, and how often
    _honored(
        "max_tokens",
        GENERATING,
        _AS_MANY,
        aliases=("max_completion_tokens", "max_new_tokens", "n_predict", "max_output_tokens"),
        senders="openai, tgi, djl, vllm, llama.cpp",
    ),
    _honored("max_length", (INPUTS,), Range(1, 1_000_000), senders="djl", llama_server=IGNORED),
    _honored("max_time", (INPUTS,), _SECONDS, senders="tgi", llama_server=IGNORED),
    _honored("stop", GENERATING, ANY, aliases=("stop_sequences", "stop_strings"), senders="openai, tgi, djl"),
    _honored("n", GENERATING, _CHOICES, aliases=("n_cmpl", "num_return_sequences"), senders="openai, djl"),
    _honored("best_of", (COMPLETION, INPUTS, CHAT), _CHOICES, senders="openai, tgi", llama_server=IGNORED),
    _honored("stream", GENERATING, SWITCH, senders="openai, tgi, djl"),
    _honored("stream_options", GENERATING, OBJECT),
    # Which token
    _honored("temperature", GENERATING, RANGES["temperature"], senders="openai, tgi, djl"),
    _honored("top_p", GENERATING, RANGES["top_p"], senders="openai, tgi, djl"),
    _honored("seed", GENERATING, _INTEGER, aliases=("random_seed",), senders="openai, tgi, djl"),
    _honored("do_sample", GENERATING, SWITCH, senders="tgi, djl", llama_server=IGNORED),
    _honored("frequency_penalty", GENERATING, _PENALTY),
    _honored("presence_penalty", GENERATING, _PENALTY),
    _honored("logit_bias", GENERATING, _BIASES),
    _honored("top_k", GENERATING, _TOP_K, senders="llama.cpp, tgi, djl, vllm"),
    _honored("min_p", GENERATING, _SHARE, senders="llama.cpp, djl, vllm"),
    _honored("typical_p", GENERATING, _SHARE, aliases=("typ_p",), senders="llama.cpp, tgi"),
    _honored(
        "repeat_penalty",
        GENERATING,
        _POSITIVE,
        aliases=("repetition_penalty",),
        senders="llama.cpp, tgi, djl, vllm",
    ),
    _honored("repeat_last_n", GENERATING, _WINDOW, aliases=("penalty_last_n",), **_LLAMA),
    _honored("top_n_sigma", GENERATING, _SIGMA, **_LLAMA),
    _honored("xtc_probability", GENERATING, _SHARE, **_LLAMA),
    _honored("xtc_threshold", GENERATING, _SHARE, **_LLAMA),
    _honored("dynatemp_range", GENERATING, Range(0, 2, whole=False), **_LLAMA),
    _honored("dynatemp_exponent", GENERATING, Range(0, 1000, whole=False), **_LLAMA),
    _honored("mirostat", GENERATING, Range(0, 2), aliases=("mirostat_mode",), **_LLAMA),
    _honored("mirostat_tau", GENERATING, Range(0, 1000, whole=False), **_LLAMA),
    _honored("mirostat_eta", GENERATING, Range(0, 1000, whole=False), **_LLAMA),
    _honored("dry_multiplier", GENERATING, Range(0, 1000, whole=False), **_LLAMA),
    _honored("dry_base", GENERATING, Range(0, 1000, whole=False), **_LLAMA),
    _honored("dry_allowed_length", GENERATING, Range(0, 1_000_000), **_LLAMA),
    _honored("dry_penalty_last_n", GENERATING, _WINDOW, **_LLAMA),
    _honored("dry_sequence_breakers", GENERATING, _BREAKERS, **_LLAMA),
    _honored("ignore_eos", GENERATING, SWITCH, aliases=("ignore_eos_token",), senders="llama.cpp, tgi, vllm"),
    # What is told beside the text
    _honored("logprobs", (CHAT, COMPLETION, INPUTS), ANY, aliases=("n_probs",)),
    _honored("top_logprobs", (CHAT, RESPONSES), TOP),
    _honored(
        "min_tokens",
        GENERATING,
        Range(0, 1_000_000),
        aliases=("min_new_tokens", "min_length"),
        senders="djl, vllm",
        llama_server=IGNORED,
        without="container 'pytorch' takes it",
    ),
    _honored(
        "stop_token_ids",
        GENERATING,
        TOKENS,
        aliases=("eos_token_id",),
        senders="vllm, tgi",
        llama_server=IGNORED,
        without="send 'stop'; container 'pytorch' takes it",
    ),
    _honored(
        "include_stop_str_in_output",
        GENERATING,
        SWITCH,
        senders="vllm",
        llama_server=IGNORED,
    ),
    _honored(
        "echo", _TEXTS, SWITCH, aliases=("return_full_text",), senders="openai, tgi", llama_server=IGNORED
    ),
    _honored("details", (INPUTS,), SWITCH, senders="tgi", llama_server=IGNORED),
    _honored("suffix", (COMPLETION,), TEXT, llama_server=IGNORED),
    # What it has to be
    _honored("response_format", (*_CHATS, COMPLETION), ANY),
    _honored(
        "json_schema",
        (*_CHATS, COMPLETION),
        ANY,
        aliases=("guided_json",),
        senders="llama.cpp, vllm",
        llama_server=HONORED,
    ),
    _honored("text", (RESPONSES,), OBJECT),
    _honored("guided_choice", GENERATING, CHOICES, senders="vllm", llama_server=IGNORED),
    _honored("guided_regex", GENERATING, FILLED, senders="vllm", llama_server=IGNORED),
    _honored(
        "grammar",
        GENERATING,
        GRAMMAR,
        aliases=("guided_grammar",),
        senders="llama.cpp, tgi, vllm",
        llama_server=HONORED,
    ),
    _honored("structured_outputs", GENERATING, OBJECT, senders="vllm", llama_server=IGNORED),
    # Tools and thinking
    _honored("tools", (CHAT, RESPONSES), LIST),
    _honored("tool_choice", (CHAT, RESPONSES), ANY),
    _honored("parallel_tool_calls", (CHAT, RESPONSES), SWITCH),
    _honored("functions", (CHAT,), LIST, llama_server=IGNORED),
    _honored("function_call", (CHAT,), ANY, llama_server=IGNORED),
    _honored("reasoning_effort", (CHAT,), TEXT),
    _honored("reasoning", (RESPONSES,), OBJECT),
    _honored("chat_template_kwargs", (CHAT,), OBJECT, senders="llama.cpp, vllm"),
    _honored("reasoning_format", (CHAT,), _among("auto", "deepseek", "none"), **_LLAMA),
    _honored("enable_thinking", (CHAT,), SWITCH, senders="vllm", llama_server=IGNORED),
    _honored("add_generation_prompt", (CHAT,), SWITCH, senders="llama.cpp, vllm", llama_server=HONORED),
    _honored(
        "continue_final_message",
        (CHAT,),
        _among(True, False, "content", "reasoning_content"),
        senders="llama.cpp, vllm",
        llama_server=HONORED,
    ),
    _honored("instructions", (RESPONSES,), TEXT),
    # Embeddings
    _honored("encoding_format", (EMBEDDINGS,), _among("float", "base64")),
    _honored("dimensions", (EMBEDDINGS,), Range(1, 1_000_000), llama_server=IGNORED),
    _honored("mode", (INPUTS,), _among("embedding"), senders="djl"),
    # Ranking
    _honored("documents", (RERANK,), LIST, senders="jina, cohere, llama.cpp, vllm"),
    _honored("texts", (RERANK,), LIST, senders="tei, llama.cpp"),
    _honored("top_n", (RERANK,), Range(0, 1_000_000), senders="jina, cohere, llama.cpp, vllm"),
    _honored("return_documents", (RERANK,), SWITCH, senders="jina, cohere", llama_server=IGNORED),
    _honored("return_text", (RERANK, INPUTS), SWITCH, senders="tei, tgi"),
    _honored("raw_scores", (RERANK,), SWITCH, senders="tei", llama_server=IGNORED),
    _honored("truncate", (RERANK,), SWITCH, senders="tei, tgi", llama_server=IGNORED),
    # What changes nothing here
    _ignored("model", (*GENERATING, EMBEDDINGS, RERANK), TEXT),
    _ignored("user", (*GENERATING, EMBEDDINGS, RERANK), TEXT),
    _ignored("metadata", (*GENERATING, EMBEDDINGS)),
    _ignored("store", (*GENERATING, EMBEDDINGS)),
    _ignored("service_tier", (*GENERATING, EMBEDDINGS)),
    _ignored("safety_identifier", GENERATING),
    _ignored("prompt_cache_key", GENERATING),
    _ignored("prompt_cache_options", GENERATING),
    _ignored("prompt_cache_retention", GENERATING),
    _ignored("prediction", (CHAT,)),
    _ignored("verbosity", (CHAT,)),
    _ignored("include", (RESPONSES,)),
    _ignored("max_tool_calls", (RESPONSES,)),
    _ignored("context_management", (RESPONSES,)),
    _ignored("priority", GENERATING, senders="vllm"),
    _ignored("request_id", GENERATING, senders="vllm"),
    _ignored("cache_prompt", GENERATING, beyond=SWITCH, **_LLAMA),
    _ignored("id_slot", GENERATING, **_LLAMA),
    _ignored("timings_per_token", GENERATING, beyond=SWITCH, **_LLAMA),
    _ignored("return_progress", GENERATING, beyond=SWITCH, **_LLAMA),
    _ignored("n_cache_reuse", GENERATING, beyond=Range(0, 1_000_000), **_LLAMA),
    _ignored("sse_ping_interval", GENERATING, **_LLAMA),
    _ignored("n_keep", GENERATING, **_LLAMA),
    _ignored("n_discard", GENERATING, **_LLAMA),
    _ignored("adaptive_decay", GENERATING, beyond=_DECAY, **_LLAMA),
    _ignored("spaces_between_special_tokens", GENERATING, senders="vllm"),
    _ignored("guided_decoding_backend", GENERATING, senders="vllm"),
    _ignored("cache_salt", GENERATING, senders="vllm"),
    _ignored("use_cache", (INPUTS,), senders="tgi"),
    _ignored("pad_token_id", (INPUTS,), senders="tgi"),
    *(
        _ignored(f"speculative.{name}", GENERATING, senders="llama.cpp")
        for name in ("n_min", "n_max", "p_min")
    ),
    _ignored("options", (INPUTS,), senders="tgi"),
    _ignored("sagemaker_base_url", (INPUTS,), senders="litellm"),
    _ignored("model_id", (INPUTS,), senders="litellm"),
    _ignored("clean_up_tokenization_spaces", (INPUTS,), senders="tgi"),
    _ignored("early_stopping", (INPUTS,), senders="djl"),
    _ignored("length_penalty", (INPUTS,), senders="djl"),
    _ignored("tool_prompt", (CHAT,), senders="tgi"),
    _ignored("max_chunks_per_doc", (RERANK,), senders="cohere"),
    # What would change the answer and is not done; the value that changes nothing is taken
    _refused("modalities", (CHAT,), _among(["text"], []), "ask for text alone"),
    _refused("audio", (CHAT,), NOTHING, _NOBODY),
    _refused("web_search_options", (CHAT,), NOTHING, _NOBODY),
    _refused("moderation", (CHAT, RESPONSES), NOTHING, _NOBODY),
    _refused("background", (RESPONSES,), OFF, "wait for the answer"),
    _refused("conversation", (RESPONSES,), NOTHING, "send the whole conversation: nothing is stored"),
    _refused("previous_response_id", (RESPONSES,), NOTHING, "send the whole conversation: nothing is stored"),
    _refused("truncation", (RESPONSES,), _among("disabled", "auto"), "leave it out"),
    _refused("samplers", GENERATING, NOTHING, _THEIRS, beyond=_SAMPLERS, **_LLAMA),
    _refused("min_keep", GENERATING, _among(0, 1), _THEIRS, beyond=Range(0, 1_000_000), **_LLAMA),
    _refused("n_indent", GENERATING, ZERO, _THEIRS, beyond=Range(0, 1000), **_LLAMA),
    _refused("t_max_predict_ms", GENERATING, _among(-1, 0), _THEIRS, beyond=Range(-1, 3_600_000), **_LLAMA),
    _refused(
        "adaptive_target",
        GENERATING,
        Kind("below 0", lambda value: _number(value) and value < 0),
        _THEIRS,
        beyond=Kind("a number of at most 1, below 0 for none", lambda value: _number(value) and value <= 1),
        **_LLAMA,
    ),
    _refused("lora", GENERATING, EMPTY, _THEIRS, beyond=_LORA, **_LLAMA),
    _refused("return_tokens", GENERATING, OFF, _THEIRS, beyond=SWITCH, **_LLAMA),
    _refused("post_sampling_probs", GENERATING, OFF, _THEIRS, beyond=SWITCH, **_LLAMA),
    _refused("response_fields", GENERATING, EMPTY, "leave it out; container 'llama-cpp' takes it", **_LLAMA),
    _refused(
        "reasoning_budget_tokens",
        (CHAT,),
        _among(-1),
        _THEIRS,
        aliases=("thinking_budget_tokens", "thinking_token_budget"),
        beyond=_WINDOW,
        **_LLAMA,
    ),
    _refused("reasoning_budget_message", (CHAT,), EMPTY, _THEIRS, beyond=TEXT, **_LLAMA),
    _refused("watermark", (INPUTS,), OFF, _NOBODY, senders="tgi"),
    _refused("decoder_input_details", (INPUTS,), OFF, _NOBODY, senders="tgi"),
    _refused("top_n_tokens", (INPUTS,), ZERO, "send 'logprobs'", senders="tgi"),
    _refused(
        "truncation_direction",
        (RERANK,),
        _among("right", "Right"),
        "leave it out: the end is cut",
        senders="tei",
    ),
    _refused("max_tokens_per_doc", (RERANK,), NOTHING, "send 'truncate'", senders="cohere"),
    _refused(
        "rank_fields", (RERANK,), _among([], ["text"]), "send documents that are texts", senders="cohere"
    ),
    _refused("adapter_id", (INPUTS,), NOTHING, _NOBODY, senders="tgi"),
    _refused("num_beams", GENERATING, _among(1), _NOBODY, senders="djl"),
    _refused("use_beam_search", GENERATING, OFF, _NOBODY, senders="vllm"),
    # Of transformers' pipelines and of what stands in their place
    _refused("num_beam_groups", (INPUTS,), _among(1), _NOBODY, senders="tgi"),
    _refused("diversity_penalty", (INPUTS,), ZERO, _NOBODY, senders="tgi"),
    _refused("penalty_alpha", (INPUTS,), ZERO, _NOBODY, senders="tgi"),
    _refused("epsilon_cutoff", (INPUTS,), ZERO, "send 'min_p'", senders="tgi"),
    _refused("eta_cutoff", (INPUTS,), ZERO, "send 'min_p'", senders="tgi"),
    _refused("renormalize_logits", (INPUTS,), OFF, _NOBODY, senders="tgi"),
    _refused("bad_words_ids", (INPUTS,), EMPTY, _FORBIDS, senders="tgi"),
    _refused("return_tensors", (INPUTS,), OFF, _NOBODY, senders="tgi"),
    _refused("prefix", (INPUTS,), EMPTY, "send it as the beginning of 'inputs'", senders="tgi"),
    _refused("handle_long_generation", (INPUTS,), NOTHING, "send a shorter text", senders="tgi"),
    _refused("output_formatter", (INPUTS,), _among("json"), "leave it out", senders="djl"),
    _refused("adapters", (INPUTS,), EMPTY, _NOBODY, senders="djl"),
    # Of vLLM
    _refused("bad_words", GENERATING, EMPTY, _FORBIDS, senders="vllm"),
    _refused("allowed_token_ids", GENERATING, EMPTY, "send 'guided_choice' or 'grammar'", senders="vllm"),
    _refused("normalize", (EMBEDDINGS, INPUTS), ON, "leave it out: vectors have length 1", senders="tei"),
    _refused(
        "embd_normalize",
        (EMBEDDINGS,),
        _among(2),
        "leave it out: vectors have length 1",
        senders="llama.cpp",
        llama_server=HONORED,
    ),
    _refused("truncate_prompt_tokens", GENERATING, NOTHING, "send a shorter prompt", senders="vllm"),
    _refused("return_token_ids", GENERATING, OFF, "send 'logprobs'", senders="vllm"),
    _refused("return_tokens_as_token_ids", GENERATING, OFF, _NOBODY, senders="vllm"),
    _refused("include_reasoning", (CHAT,), ON, "leave 'reasoning_content' aside", senders="vllm"),
    _refused("chat_template", (CHAT,), NOTHING, "deploy a model that has it", senders="vllm"),
    _refused("structural_tag", GENERATING, NOTHING, "send 'grammar'", senders="vllm"),
    _refused("guided_whitespace_pattern", GENERATING, NOTHING, "send 'grammar'", senders="vllm"),
    *(
        _refused(name, GENERATING, EMPTY, _NOBODY, senders="vllm")
        for name in ("mm_processor_kwargs", "vllm_xargs", "kv_transfer_params", "logits_processors")
    ),
    # Of llama-server, that it hands to itself
    _refused("grammar_lazy", GENERATING, OFF, _OF_TEXTS, **_LLAMA),
    _refused("grammar_triggers", GENERATING, EMPTY, _OF_TEXTS, **_LLAMA),
    _refused("preserved_tokens", GENERATING, EMPTY, _OF_TEXTS, **_LLAMA),
    _refused(
        "image_data", GENERATING, EMPTY, "send an 'image_url' among a message's parts", senders="llama.cpp"
    ),
    _refused("no_repeat_ngram_size", GENERATING, ZERO, "send 'dry_multiplier'", senders="djl"),
    _refused("prompt_logprobs", GENERATING, OFF, _NOBODY, senders="vllm"),
    _refused("skip_special_tokens", GENERATING, ON, _NOBODY, senders="vllm"),
)

BY_NAME = {name: field for field in FIELDS for name in (field.name, *field.aliases)}
"""Each field by every name that it has."""


def taken_by(form: str) -> list[str]:
    """Return the names that a form of a request has."""
    return [name for name, field in BY_NAME.items() if form in field.forms]
