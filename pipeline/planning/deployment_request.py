"""A deployment's request: its sources merged and checked, field by field, into one `Request`.

The first source that says something wins: the execution's input, a `deployment.json` beside the archive, the stack's
defaults. All mistakes of all of them are told at once.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from pipeline import json_codec, naming
from pipeline.errors import InvalidInput, Problem
from pipeline.hosting import SERVERLESS
from pipeline.planning import request_checks
from pipeline.planning.request_fields import DEPLOYMENT_JSON, EXECUTION_INPUT, INFERENCE, SMOKE_TEST
from pipeline.planning.request_sources import EXECUTION, PlannedNames, Said
from pipeline.schema import MISSING, TOO_DEEP
from pipeline.state_data.request_types import ArchiveLocation, Request

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pipeline.schema import Check
    from pipeline.state_data.request_types import StackDefaults


def archive_location(document: Any, name: str = EXECUTION) -> ArchiveLocation:
    """Return where the archive of an execution input lies, before anything else of the input is known.

    Args:
        document: the input.
        name: what it is called in an error.

    Raises:
        InvalidInput: with every problem of the whole input when the archive's part is wrong.
    """
    problems: list[Problem] = []
    parsed = EXECUTION_INPUT.parse(document, "", problems)
    archive = (parsed or {}).get("archive") or {}
    if not archive.get("bucket") or not archive.get("key"):
        raise InvalidInput(name, problems)
    return ArchiveLocation(archive["bucket"], archive["key"], archive.get("version_id"))


def mistakes(document: Any, name: str, check: Check = DEPLOYMENT_JSON) -> list[Problem]:
    """Return what is wrong with a source by itself, whatever the others say: what it leaves out, they may have.

    Args:
        document: the source.
        name: what its author calls it.
        check: what it must be: settings of a deployment, or an execution's input.
    """
    return [one for one in _alone(check, document, name) if one.error != MISSING]


def check_settings(settings: Any, name: str, check: Check = DEPLOYMENT_JSON) -> None:
    """Refuse a source that is wrong by itself; takes what `mistakes` does.

    Raises:
        InvalidInput: with every mistake.
    """
    if problems := mistakes(settings, name, check):
        raise InvalidInput(name, problems)


def merged(*sources: Mapping[str, Any]) -> dict[str, Any]:
    """Return settings of several sources as one, field by field, later ones winning, by the names of now."""
    return _merge(*(_opted_out(_renamed(source)) for source in sources))


def request(
    document: Any, sidecar: Any, defaults: StackDefaults, names: PlannedNames | None = None
) -> Request:
    """Merge and check the three sources of a request.

    Args:
        document: the execution's input.
        sidecar: the parsed `deployment.json`, or None when there is none.
        defaults: what the stack gives.
        names: what the sources are called in an error.

    Raises:
        InvalidInput: with every problem of both in one message, each under the source that made it.
    """
    names = names or PlannedNames()
    alone = [*_alone(EXECUTION_INPUT, document, names.document)]
    if sidecar is not None:
        alone += _alone(DEPLOYMENT_JSON, sidecar, names.sidecar)
    if any(problem.error == TOO_DEEP for problem in alone):
        # Nothing that nests so deep is merged.
        raise InvalidInput(names.document, alone)
    # Sources may call one field by different names; each was checked by the names that its author wrote.
    sidecar, document = _renamed(sidecar), _renamed(document)
    opted = [_opted_out(source) for source in (sidecar, document) if isinstance(source, dict)]
    asked = _merge(*opted)
    left: list[Problem] = []
    parsed = EXECUTION_INPUT.parse(_merge(_stack_part(defaults), asked), "", left)
    # A field that one source leaves out may stand in another: only the merged whole tells what is missing.
    problems = [problem for problem in alone if problem.error != MISSING]
    problems += [_missed(problem, alone, names) for problem in left if problem.error == MISSING]
    if problems:
        raise InvalidInput(names.document, problems)
    if parsed is None or left:
        raise InvalidInput(names.stack, left)
    made = _made(parsed, asked, defaults)
    said = Said.of(document, sidecar, defaults, names)
    if problems := request_checks.problems(made, asked, defaults, said):
        raise InvalidInput(names.document, problems)
    return made


def _made(parsed: dict[str, Any], asked: dict[str, Any], defaults: StackDefaults) -> Request:
    """Return the request of what the schema accepted, with the defaults that depend on other fields."""
    made = dict(parsed)
    for name, check in (("inference", INFERENCE), ("smoke_test", SMOKE_TEST)):
        made[name] = check.parse(made[name], "", [])
    if made["container"] == defaults["container"]:
        made["image_uri"] = made["image_uri"] or defaults["image_uri"] or None
    made["service"] = made["service"] or naming.service_from_key(made["archive"]["key"]) or ""
    made["consumers"] = made.pop("consumer") or []
    made["default_consumer"] = _is_default(asked.get("consumer"), made["consumers"])
    if made["provisioned_concurrency"] and made["max_concurrency"] is None:
        made["max_concurrency"] = made["provisioned_concurrency"]
    if made["hosting"] != SERVERLESS or made["provisioned_concurrency"]:
        # Whether an earlier one costs money while nobody calls it, the plan decides.
        made["keep_previous"] = asked.get("keep_previous")
    if made["hosting"] != SERVERLESS:
        # Their defaults depend on where it comes to run, which the plan decides.
        made["inference"]["n_threads"] = (asked.get("inference") or {}).get("n_threads")
        if made["auto_scaling"] and asked.get("instance_count") is None:
            # What scales begins with its least, unless something else is asked for.
            made["instance_count"] = made["auto_scaling"]["min"]
    return json_codec.decode(Request, made)


def _alone(check: Check, source: Any, name: str) -> list[Problem]:
    """Return what is wrong with one source by itself, under its name."""
    problems: list[Problem] = []
    check.parse(source, "", problems)
    return [replace(problem, where=name) for problem in problems]


def _missed(problem: Problem, alone: list[Problem], names: PlannedNames) -> Problem:
    """Return a field that no source has under the source that begins the object it belongs to."""
    return next(
        (one for one in alone if replace(one, where="") == problem), replace(problem, where=names.document)
    )


def _stack_part(defaults: StackDefaults) -> dict[str, Any]:
    part: dict[str, Any] = {
        "execution_role_arn": defaults["execution_role_arn"],
        "container": defaults["container"],
    }
    if defaults["consumer_function_name"]:
        part["consumer"] = {"function_name": defaults["consumer_function_name"]}
    return part


def _is_default(asked: Any, consumers: list[dict[str, Any]]) -> bool:
    """Return whether the consumer is the stack's own: whoever only says how it is switched has not named it."""
    return bool(consumers) and (asked is None or (isinstance(asked, dict) and "function_name" not in asked))


def _renamed(source: Any) -> Any:
    """Return a source with the names that fields have now."""
    return EXECUTION_INPUT.renamed(source) if isinstance(source, dict) else source


def _opted_out(source: Mapping[str, Any]) -> dict[str, Any]:
    """Return a source whose null consumer is said: "none" where the sources before it name one."""
    opted_out = "consumer" in source and source["consumer"] is None
    return {**source, **({"consumer": []} if opted_out else {})}


def _merge(*documents: dict[str, Any]) -> dict[str, Any]:
    """Merge objects field by field, later ones winning; null means "not said"."""
    merged: dict[str, Any] = {}
    for document in documents:
        for name, value in document.items():
            before = merged.get(name)
            if value is None:
                continue
            merged[name] = (
                _merge(before, value) if isinstance(before, dict) and isinstance(value, dict) else value
            )
    return merged
