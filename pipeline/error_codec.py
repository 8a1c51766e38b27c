"""An error of ours as the text that Lambda reports, and back: a sentence for a person, and its fields for a program.

    endpoint 'a' is Updating; wanted it InService; wait for it | details: {"fix":[47,58],"waiting":"waiting for 'a'"}

A field that the sentence has is told by where it stands there, from one character to before another, since an
execution's data have no room for it twice.
Lambda hands on an exception's text and the name of its class, and nothing else; Step Functions carries both as Error
and Cause. Only what the error itself knows is written, since what its class says of it is known by the name. A text
without details, or with a part of them, as another release, another program or a limit leaves it, is a sentence alone.
Owns the form and how much of an error fits into an execution's data. Refuses to know what an error means.
"""

from __future__ import annotations

import json
import re
from contextlib import suppress
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Final, cast

from pipeline import errors
from pipeline.errors import ErrorFields, PermanentError
from pipeline.payload import FIELDS, MESSAGE, cut, size_in_cause
from pipeline.plain import one_line
from pipeline.quota_refusal import Quota, QuotaRefusal

if TYPE_CHECKING:
    from pipeline.errors import SealiftError

_MARK: Final = " | details: "
"""Between the sentence and the fields; JSON can say its bar in another way, so the last one is always it."""
_REFUSAL: Final = "refusal"
_TEXTS: Final = tuple(name for name in ErrorFields.__annotations__ if name != _REFUSAL)
_DISPENSABLE: Final = ("why", "fix", "waiting", "cause", _REFUSAL)
"""What is left out, one after the other, where the fields are too long: what the error's name has words for as well."""


@dataclass(frozen=True, slots=True)
class CaughtError:
    """An error as a catcher, or an execution's history, has it."""

    name: str
    """Its class's, or whatever Step Functions calls it."""
    sentence: str
    cause: str = ""
    why: str = ""
    fix: str = ""
    waiting: str = ""
    refusal: QuotaRefusal | None = None

    @property
    def headline(self) -> str:
        """The sentence without what `why` and `fix` say."""
        return without(self.sentence, self.why, self.fix)


def encode(error: SealiftError) -> str:
    """Return the text of an error that Lambda is to report: within `MESSAGE` and `FIELDS` bytes of a Cause."""
    sentence = message(error)
    fields = _to_json(error, sentence)
    for name in ("", *_DISPENSABLE):
        fields.pop(name, None)
        encoded = _MARK + json.dumps(fields, ensure_ascii=False, separators=(",", ":")).replace(
            "|", r"\u007c"
        )
        if size_in_cause(encoded) <= FIELDS:
            break
    # Whatever looks like details in somebody's words is theirs, and ours come last.
    return sentence + encoded if fields or decode(sentence) != (sentence, {}) else sentence


def decode(text: str) -> tuple[str, ErrorFields]:
    """Return the sentence and the fields in a text of `encode`; of one that was cut behind its sentence, that alone."""
    sentence, mark, details = text.rpartition(_MARK)
    if mark:
        try:
            return sentence, _from_json(json.loads(details), sentence)
        except (ValueError, RecursionError):
            if _begins(details):
                return sentence, {}
    # Cut within the mark.
    part = next((n for n in range(len(_MARK) - 1, 0, -1) if text.endswith(_MARK[:n])), 0)
    return text[: len(text) - part], {}


def read(cause: str, name: str = "") -> CaughtError:
    """Return the error that a Cause tells of.

    Args:
        cause: a Lambda's, which is a JSON object, or any other, which is a sentence.
        name: the Error beside it; the Cause's own when empty.
    """
    document = document_of(cause)
    name = name or str(document.get("errorType", ""))
    text = str(document.get("errorMessage", cause))
    # Whoever else's error it is, what looks like details is a part of what it says.
    if not document or errors.by_name(name) is None:
        return CaughtError(name, text)
    sentence, fields = decode(text)
    return CaughtError(name, sentence, **fields)


def readable(text: str) -> str:
    """Return a text into which the workflow put Causes: of each error of ours its sentence, not the JSON of Lambda's.

    Anybody else's, a consumer's say, stays as it is.
    """
    parts = []
    while found := _DOCUMENT.search(text):
        try:
            _, end = json.JSONDecoder().raw_decode(text, found.start())
        except (ValueError, RecursionError):
            break
        cause = text[found.start() : end]
        caught = read(cause)
        parts += [text[: found.start()], caught.sentence if errors.by_name(caught.name) else cause]
        text = text[end:]
    return "".join(parts) + text


_DOCUMENT: Final = re.compile(r'\{\s*"errorMessage"\s*:')


def document_of(cause: str) -> dict[str, Any]:
    """Return the JSON object that a Lambda's Cause is; an empty one for any other Cause."""
    try:
        document = json.loads(cause)
    except (ValueError, RecursionError):
        return {}
    return document if isinstance(document, dict) else {}


def without(sentence: str, *parts: str) -> str:
    """Return a sentence without these parts, last first, as far as it ends with them; all of it where it is no more."""
    rest = sentence
    for part in reversed(parts):
        if part and rest.endswith(part):
            rest = rest.removesuffix(part).rstrip(" ;:")
    return rest or sentence


def message(error: SealiftError) -> str:
    """Return an error's sentence within what a Cause has room for; of many problems as many as fit, and a count."""
    whole = str(error)
    if len(whole) <= MESSAGE and size_in_cause(whole) <= MESSAGE:
        return whole
    if isinstance(error, PermanentError):
        for fitting in range(_fitting(error), 0, -1):
            more = len(error.problems) - fitting
            listed = errors.sentence(error.subject, error.problems[:fitting], len(error.problems))
            text = f"{listed}; and {more} more"
            if more and size_in_cause(text) <= MESSAGE:
                return text
    return cut(whole, MESSAGE, measure=size_in_cause)


def _fitting(error: PermanentError) -> int:
    """Return how many problems come near to fitting."""
    left = MESSAGE
    for number, problem in enumerate(error.problems):
        left -= size_in_cause(str(problem))
        if left < 0:
            return number
    return len(error.problems)


def _to_json(error: SealiftError, sentence: str) -> dict[str, Any]:
    fields: dict[str, Any] = {**error.given}
    for name in _TEXTS:
        if name in fields and (at := sentence.find(fields[name])) >= 0:
            fields[name] = [at, at + len(fields[name])]
    if error.refusal is not None:
        fields[_REFUSAL] = {name: value for name, value in asdict(error.refusal).items() if name != "text"}
    return fields


def _from_json(details: Any, sentence: str) -> ErrorFields:
    """Return the fields in JSON; what is not as `_to_json` writes it is left out.

    Raises:
        ValueError: for what is no object.
    """
    if not isinstance(details, dict):
        raise ValueError(f"the details are {type(details).__name__}, no object")  # noqa: TRY004 like JSON's own
    texts = {name: _text(details.get(name), sentence) for name in _TEXTS}
    fields: dict[str, Any] = {name: text for name, text in texts.items() if text}
    if isinstance(refusal := details.get(_REFUSAL), dict):
        with suppress(TypeError, ValueError):
            fields[_REFUSAL] = _refusal(sentence, **refusal)
    return cast("ErrorFields", fields)


def _text(value: Any, sentence: str) -> str:
    """Return a field's text, or that part of the sentence which it names; empty for what is neither."""
    match value:
        case str():
            return one_line(value)
        case [int(first), int(end)] if 0 <= first < end <= len(sentence):
            return sentence[first:end]
    return ""


def _refusal(text: str, *, quota: str, name: str, limit: int, used: int, delta: int) -> QuotaRefusal:
    return QuotaRefusal(text, Quota(quota), str(name), int(limit), int(used), int(delta))


def _begins(details: str) -> bool:
    """Return whether a text is the beginning of details, and not somebody's words."""
    firsts = [f'{{"{name}":' for name in ErrorFields.__annotations__]
    return any(details.startswith(first) or first.startswith(details) for first in firsts)
