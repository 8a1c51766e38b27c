"""What llama.cpp's C++ says of architectures, and of the metadata that each is loaded by.

Owns how its source is read: tables, switches, and the calls that load a key. Refuses to guess: what is laid out in
another way is a `SourceError`, never a shorter list. Only what always happens is taken: a call that stands behind an
`if`, in a loop or after an `||` is left out.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass


class SourceError(Exception):
    """What was looked for in the source and not found."""


# ------------------------------------------------------------------------------ pieces of C++


def body(source: str, beginning: str) -> str:
    """Return what stands between the braces of the function that begins with this text."""
    start = source.find(beginning)
    opening = source.find("{", start)
    if start < 0 or opening < 0:
        raise SourceError(f"no {beginning!r}; wanted llama.cpp's function of that name")
    return source[opening + 1 : _closing(source, opening)]


def _closing(source: str, opening: int) -> int:
    """Return where the bracket closes that opens there."""
    pair = {"{": "}", "(": ")"}[source[opening]]
    depth = 0
    for at in range(opening, len(source)):
        depth += (source[at] == source[opening]) - (source[at] == pair)
        if not depth:
            return at
    raise SourceError(f"{source[opening : opening + 60]!r} does not end")


def uncommented(source: str) -> str:
    """Return the source without its comments."""
    return re.sub(
        r'//[^\n]*|/\*.*?\*/|("(?:\\.|[^"\\])*")', lambda match: match[1] or " ", source, flags=re.DOTALL
    )


def always(code: str) -> Iterator[str]:
    """Yield each statement, or condition of one, that is always come to; of a condition what is always evaluated."""
    at = 0
    while code[at:].strip():
        match = _BEGINNING.match(code, at)
        if match is None:
            end = _end(code, at)
            # What stands in braces is an initializer, or a lambda that somebody may call.
            yield _first(re.sub(r"\{.*\}", "", code[at:end], flags=re.DOTALL))
            at = end
        elif match[1]:
            closing = _closing(code, match.start(2))
            if match[1] in ("if", "switch"):
                yield _first(code[match.end(2) : closing])
            at = _after(code, closing + 1)
        elif match[3]:
            at = _after(code, match.end())
        else:
            at = match.end()


_BEGINNING = re.compile(r"\s*(?:(if|for|while|switch)\s*(\()|(else)\b|[{}])")


def _first(condition: str) -> str:
    return re.split(r"\|\||&&", condition)[0]


def _end(code: str, at: int) -> int:
    """Return where the plain statement ends that begins there."""
    depth = 0
    for end in range(at, len(code)):
        depth += (code[end] in "({[") - (code[end] in ")}]")
        if code[end] == ";" and not depth:
            return end + 1
    raise SourceError(f"{code[at : at + 60]!r} does not end")


def _after(code: str, at: int) -> int:
    """Return where the statement ends that begins there: a block, an `if` with its own, or one up to its semicolon."""
    match = re.compile(r"\s*(?:(\{)|(?:if|for|while|switch)\s*(\())").match(code, at)
    if match is None:
        return _end(code, at)
    if match[1]:
        return _closing(code, match.start(1)) + 1
    return _after(code, _closing(code, match.start(2)) + 1)


# ------------------------------------------------------------------------------ architectures


def names(source: str) -> dict[str, str]:
    """Return the name in a GGUF of each `LLM_ARCH_...` of llama-arch.cpp, "(unknown)" aside."""
    found = _table(source, "LLM_ARCH")
    if found.pop("LLM_ARCH_UNKNOWN", None) is None:
        raise SourceError("LLM_ARCH_NAMES has no LLM_ARCH_UNKNOWN; wanted one at its end")
    return found


def key_names(source: str) -> dict[str, str]:
    """Return the key of each `LLM_KV_...` of llama-arch.cpp, with %s where the architecture stands."""
    return _table(source, "LLM_KV")


def _table(source: str, kind: str) -> dict[str, str]:
    table = uncommented(body(source, f"{kind}_NAMES = {{"))
    found = dict(re.findall(rf'\{{\s*({kind}_\w+)\s*,\s*"([^"]*)"\s*\}}', table))
    if len(found) != len(re.findall(rf"\b{kind}_", table)):
        raise SourceError(f'{kind}_NAMES has lines that are not read; wanted {{ {kind}_X, "x" }} alone')
    return found


def cases(text: str) -> list[str]:
    """Return each `LLM_ARCH_...` that a case of this text is for."""
    return re.findall(r"case\s+(LLM_ARCH_\w+)\s*:", text)


def answered(text: str, answer: str) -> list[str]:
    """Return the architectures for which a switch gives this answer: the cases that fall to it."""
    found: list[str] = []
    waiting: list[str] = []
    for piece in re.split(r"(return\s+\w+\s*;|\bbreak\s*;)", text):
        waiting += cases(piece)
        if re.match(r"return|break", piece) or answer in piece:
            if answer in piece:
                found += waiting
            waiting = []
    if not found:
        raise SourceError(f"no case gives {answer!r}; wanted at least one")
    return found


# ------------------------------------------------------------------------------ keys


@dataclass(frozen=True)
class Key:
    """One key that a model is loaded by, as `pipeline.gguf.hyperparameters.Key` has it."""

    name: str
    kind: str
    items: tuple[str, ...]
    length: str
    required: bool


_SCALARS = {"uint32_t": "uint32", "int32_t": "int32", "int": "int32", "float": "float32", "bool": "bool"}
_SCALARS |= {"std::string": "string", "llama_token": "int32", "uint64_t": "uint64"}
_SCALARS |= {"llama_pooling_type": "uint32"}
_COUNTS = {"hparams.n_layer_all": "block_count", "hparams.n_layer()": "layers"}
_DECLARED = re.compile(
    r"^\s*(?:const\s+)?(?:enum\s+)?(?:std::(array|vector)<\s*([\w:]+)[^>]*>|([\w:]+))\s+(\w+)\s*(?:[={(][^;]*)?;",
    re.MULTILINE,
)
_CALL = re.compile(r"\bml\.(get_key_or_arr|get_key|get_arr_n|get_arr)\s*(\()|\bload_swa_pattern\s*(\()")
_SWA_PATTERN = "LLM_KV_ATTENTION_SLIDING_WINDOW_PATTERN"


def keys(code: str, called: Mapping[str, str], declared: Mapping[str, str]) -> list[Key]:
    """Return the keys that this function always loads, in its order."""
    code = uncommented(code)
    types = {**declared, **declarations(code)}
    found = []
    for statement in always(code):
        match = _CALL.search(statement)
        if match is None:
            continue
        opening = match.start(2) if match[2] else match.start(3)
        given = _arguments(statement[opening + 1 : _closing(statement, opening)])
        found.append(_key(match[1] or "load_swa_pattern", given, called, types))
    return found


def declarations(code: str, owner: str = "") -> dict[str, str]:
    """Return the C++ type of each variable that is declared in this text: "float", "array float", "vector float"."""
    return {
        owner + match[4]: f"{match[1]} {match[2]}" if match[1] else match[3]
        for match in _DECLARED.finditer(uncommented(code))
    }


def _arguments(text: str) -> list[str]:
    given, depth = [""], 0
    for letter in text:
        depth += (letter in "([{<") - (letter in ")]}>")
        if letter == "," and not depth:
            given.append("")
        else:
            given[-1] += letter
    return [each.strip() for each in given]


def _key(call: str, given: list[str], called: Mapping[str, str], types: Mapping[str, str]) -> Key:
    if call == "load_swa_pattern":
        return Key(called[_SWA_PATTERN], "uint32", _items("array", "uint32"), "at most 512", required=False)
    name, target, *rest = given
    container, _, single = types.get(target, "").rpartition(" ")
    kind = _SCALARS.get(single)
    if name not in called or kind is None:
        raise SourceError(f"{call}({', '.join(given)}); wanted a key and a variable whose types are known")
    count = "at most 512" if container == "array" else ""
    if call == "get_key_or_arr" and container:
        count = _COUNTS.get(rest[0], rest[0])
        rest = rest[1:]
    required = not rest or rest[0] not in ("false", "0", "0.0f")
    if call == "get_arr_n":
        return Key(called[name], "", ("any",), "", required)
    if call == "get_arr":
        # Asked for without need, anything but an array is passed over.
        return Key(called[name], "" if required else "any", _items(container, kind), count, required)
    return Key(called[name], kind, _items(container, kind) if container else (), count, required)


def _items(container: str, kind: str) -> tuple[str, ...]:
    """Return the types of items that llama_model_loader::get_arr takes for such a container."""
    if kind in ("uint32", "int32"):
        return ("bool", "int32", "uint32") if container == "array" else ("int32", "uint32")
    return (kind,)


# ------------------------------------------------------------------------------ all of it


@dataclass(frozen=True)
class Model:
    """What the source says of models, ready to be written down."""

    names: dict[str, str]
    mapped: list[str]
    common: list[Key]
    by_architecture: dict[str, list[Key]]
    vocabulary: list[Key]
    token_ids: list[str]
    tokenizers: list[str]
    pre_tokenizers: list[str]
    rope_scalings: list[str]


def read(files: Mapping[str, str]) -> Model:
    """Return what llama.cpp's files of src/, by name, say of models."""
    arch, model, vocabulary = files["llama-arch.cpp"], files["llama-model.cpp"], files["llama-vocab.cpp"]
    called, named = key_names(arch), names(arch)
    classes = dict(
        re.findall(
            r"case (LLM_ARCH_\w+):\s*return new (\w+)\(", body(model, "llama_model * llama_model_mapping(")
        )
    )
    mapped = cases(body(model, "llama_model * llama_model_mapping("))
    parents = dict(
        re.findall(r"(?:struct|class) (llama_model_\w+) : public (llama_model_\w+)", files["models/models.h"])
    )
    members = {
        **declarations(files["llama-model.h"]),
        **declarations(files["models/models.h"]),
        **declarations(files["llama-hparams.h"], "hparams."),
    }
    loads = {
        found[1]: keys(body(text, found[0]), called, members)
        for name, text in files.items()
        if name.startswith("models/")
        for found in re.finditer(r"void (llama_model_\w+)::load_arch_hparams\(", text)
    }

    def of(name: str) -> list[Key]:
        if name not in loads and name not in parents:
            raise SourceError(f"no {name}::load_arch_hparams, nor a class that it is made of")
        return loads[name] if name in loads else of(parents[name])

    # Of an architecture whose case falls to the next one, the class is that one's.
    following, by_architecture = "", {}
    for each in reversed(mapped):
        following = classes.get(each, following)
        by_architecture[named[each]] = of(following)
    load = body(vocabulary, "void llama_vocab::impl::load(")
    inside = declarations(body(vocabulary, "struct llama_vocab::impl {"))
    options = declarations(body(files["llama-vocab.h"], "struct normalizer_options {"), "normalizer_opts.")
    ids = re.findall(r"\{\s*(LLM_KV_TOKENIZER_\w+_ID),", body(load, "special_token_types = {"))
    read_as = {
        "token_ids": [called[each] for each in ids],
        "tokenizers": re.findall(r'tokenizer_model == "([^"]+)"', load),
        "pre_tokenizers": re.findall(r'tokenizer_pre == "([^"]+)"', load),
        "rope_scalings": re.findall(r'"(\w+)"', body(model, "LLAMA_ROPE_SCALING_TYPES = {")),
    }
    if not all(read_as.values()):
        raise SourceError(f"nothing found of one of {', '.join(read_as)}")
    return Model(
        names=named,
        mapped=mapped,
        common=keys(body(model, "void llama_model_base::load_hparams("), called, members),
        by_architecture=by_architecture,
        vocabulary=keys(load, called, {**inside, **options}),
        **read_as,
    )
