"""What is expected of an answer, and whether it is so; of the new endpoint's and of the earlier one's alike.

Pure. Refuses to weigh the findings of several cases: `gate` does.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final, NoReturn

from inference.sealift_shortcoming import SchemaError, checked_pattern, shortcoming
from pipeline import payload, timed_search
from pipeline.quality import similarity
from pipeline.rollout import answers
from pipeline.state_data.quality_types import CaseReply, Compared, QualityCheck

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pipeline.quality.cases import Case, Expected

_SHOWN: Final = 200
"""Bytes of what was wanted and of what was seen."""
_ANSWERS: Final = "answers"
_SIMILARITY: Final = "similarity"


@dataclass(frozen=True, slots=True)
class Answered:
    """What an endpoint said to a case, whole."""

    told: CaseReply
    vector: tuple[float, ...] | None = None
    """Of an embedding; None of a text."""


def compare(case: Case, now: Answered, earlier: Answered | None) -> Compared:
    """Return what a case came to.

    Args:
        case: what was asked.
        now: what the new endpoint said.
        earlier: what the earlier deployment said; None when it was not asked.
    """
    checks = tuple(_checks(case, now, earlier))
    if earlier is not None:
        # Whether it is like itself is no question.
        before = {_key(one): one.passed for one in _checks(case, earlier, None)}
        checks = tuple(replace(one, earlier=before.get(_key(one))) for one in checks)
    return Compared(
        name=case.name,
        line=case.line,
        question=payload.cut(case.question),
        now=_brief(now.told),
        earlier=None if earlier is None else _brief(earlier.told),
        checks=checks,
    )


def _key(check: QualityCheck) -> tuple[str, str]:
    return check.name, check.wanted


def _brief(told: CaseReply) -> CaseReply:
    return replace(told, answer=payload.cut(told.answer), error=payload.cut(told.error))


def _checks(case: Case, answered: Answered, earlier: Answered | None) -> Iterator[QualityCheck]:
    told, wanted = answered.told, case.expect
    yield _check(_ANSWERS, "an answer", told.error or "one", passed=not told.error)
    of_answer = [*_of_text(case, answered), *_similar(wanted, answered, earlier), *_of_speed(wanted, told)]
    if told.error:
        # Why there is nothing to judge is said once.
        of_answer = [replace(one, seen="no answer", passed=None) for one in of_answer]
    yield from of_answer


def _check(name: str, wanted: str, seen: str, *, passed: bool | None) -> QualityCheck:
    return QualityCheck(name, payload.cut(wanted, _SHOWN), payload.cut(seen, _SHOWN), passed)


def _of_text(case: Case, answered: Answered) -> Iterator[QualityCheck]:
    wanted, text = case.expect, answered.told.answer
    if answered.vector is None and not wanted.allow_degenerate:
        flaw = answers.degenerate(text, case.question)
        yield _check(
            "not degenerate", "an answer that says something", str(flaw or "it does"), passed=flaw is None
        )
    for one in wanted.contains:
        there = one.casefold() in text.casefold()
        yield _check(
            f"contains {_quoted(one)}", one, "it is there" if there else "it is not there", passed=there
        )
    for one in wanted.matches:
        passed, seen = _matched(one, text)
        yield _check(f"matches {_quoted(one)}", one, seen, passed=passed)
    if wanted.json_schema is not None:
        wrong = _against_schema(text, wanted)
        yield _check("json_schema", "JSON that conforms", wrong or "it conforms", passed=wrong is None)


def _quoted(text: str) -> str:
    return repr(payload.cut(text, 60))


def _matched(pattern: str, text: str) -> tuple[bool, str]:
    compiled, most = checked_pattern(pattern, "matches")
    if len(text) > most and not timed_search.is_timed():
        return False, f"{len(text):,} characters, and this pattern is searched in {most:,} at most"
    try:
        found = timed_search.search(compiled, text)
    except timed_search.SearchTooLong as too_long:
        return False, f"{too_long}; write it with fewer open repetitions"
    return found is not None, f"{found[0]!r}" if found else "nothing in it matches"


def _against_schema(text: str, wanted: Expected) -> str | None:
    """Return what is wrong with an answer that is to be JSON of a schema; None when nothing is."""
    try:
        document = json.loads(text, parse_constant=_no_number)
    except json.JSONDecodeError as error:
        return f"no JSON: line {error.lineno}, column {error.colno}: {error.msg}"
    except (ValueError, RecursionError) as error:
        return f"no JSON: {error}"
    try:
        return shortcoming(document, wanted.json_schema)
    except (SchemaError, RecursionError) as error:
        return str(error)


def _no_number(name: str) -> NoReturn:
    raise ValueError(f"{name} is no number of JSON")


def _similar(wanted: Expected, answered: Answered, earlier: Answered | None) -> Iterator[QualityCheck]:
    least = wanted.similarity
    if least is None:
        return
    if earlier is None or earlier.told.error:
        yield _check(_SIMILARITY, f"at least {least:g}", "no earlier answer to compare with", passed=None)
        return
    found = _similarity(answered, earlier)
    yield _check(_SIMILARITY, f"at least {least:g}", f"{found:.3f}", passed=found >= least)


def _similarity(one: Answered, other: Answered) -> float:
    if one.vector is not None and other.vector is not None:
        return similarity.of_vectors(one.vector, other.vector)
    return similarity.of_texts(one.told.answer, other.told.answer)


def _of_speed(wanted: Expected, told: CaseReply) -> Iterator[QualityCheck]:
    if (least := wanted.min_tokens_per_second) is not None:
        rate = told.tokens_per_second
        seen = "nobody counts its tokens" if rate is None else f"{rate:.2f}"
        passed = rate is not None and rate >= least
        yield _check("min_tokens_per_second", f"at least {least:g}", seen, passed=passed)
    if (most := wanted.max_seconds) is not None:
        seconds = told.seconds
        seen = "not measured" if seconds is None else f"{seconds:.2f} s"
        passed = seconds is not None and seconds <= most
        yield _check("max_seconds", f"at most {most:g} s", seen, passed=passed)
