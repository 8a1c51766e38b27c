"""The files that `sealift init` writes: a first `deployment.json`, and the JSON Schema of what may stand in it.

JSON has no comments. What a field means, may be and is by default is in `request_fields` already; `schema` says the
same in the form that editors show beside a field while it is typed. Pure. Refuses to write a file.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from pipeline import schema as checks
from pipeline.gguf import questions
from pipeline.hosting import INSTANCE, SERVERLESS
from pipeline.planning.request_fields import DEPLOYMENT_JSON, INFERENCE, SCHEMA_KEY, SMOKE_TEST

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from pipeline.schema import Check, Field

SCHEMA_NAME: Final = "deployment.schema.json"
_DIALECT: Final = "http://json-schema.org/draft-07/schema#"
"""The newest that all editors read."""


def schema() -> dict[str, Any]:
    """Return the JSON Schema of `deployment.json`."""
    described = _described(DEPLOYMENT_JSON)
    described["properties"] = {SCHEMA_KEY: {"type": "string"}, **described["properties"]}
    return {"$schema": _DIALECT, "title": "Settings of a deployment with Sealift", **described}


def _described(check: Check) -> dict[str, Any]:
    """Return what a check accepts, as JSON Schema; as far as that can say it."""
    match check:
        case checks.Object():
            return _object(check)
        case checks.ListOf():
            bounds = {"minItems": check.low, "maxItems": check.high}
            return {"type": "array", "items": _described(check.item), **bounds}
        case checks.OneOrMore():
            several = {"type": "array", "items": _described(check.item), "maxItems": check.high}
            return {"anyOf": [_described(check.item), several]}
        case checks.AnyObject():
            return {"type": "object"}
        case checks.MapOf():
            named = {"propertyNames": _described(check.key), "additionalProperties": _described(check.item)}
            return {"type": "object", **named, "maxProperties": check.high}
        case checks.OneOf():
            return {"enum": list(check.values)}
    return _value(check)


def _value(check: Check) -> dict[str, Any]:
    """Return the same of a check of one number, text, or yes and no."""
    match check:
        case checks.Text():
            anything = check.pattern == checks.Text().pattern
            kind = {"minLength": 1} if anything else {"pattern": f"^(?:{check.pattern})$"}
            longest = {} if check.max_length is None else {"maxLength": check.max_length}
            return {"type": "string", **kind, **longest}
        case checks.Pattern():
            return {"type": "string", "format": "regex"}
        case checks.Boolean():
            return {"type": "boolean"}
        case checks.Integer():
            steps = {"multipleOf": check.step} if check.step > 1 else {}
            return {"type": "integer", "minimum": check.low, "maximum": check.high, **steps}
        case checks.Number():
            return {"type": "number", "minimum": check.low, "maximum": check.high}
    raise AssertionError(f"{type(check).__name__}: no JSON Schema")


def _object(check: checks.Object) -> dict[str, Any]:
    properties: dict[str, Any] = {}
    for name, known in check.fields.items():
        properties[name] = _field(known)
        if known.alias:
            properties[known.alias] = {**_field(known), "description": f"the older name of {name}"}
    required = [name for name, known in check.fields.items() if known.required]
    return {
        "type": "object",
        "properties": properties,
        "additionalProperties": False,
        **({"required": required} if required else {}),
    }


def _field(known: Field) -> dict[str, Any]:
    """Return a field; null counts as absent, so it may stand where a field may be left out."""
    accepted = _described(known.check)
    default = {} if known.default is None else {"default": known.default}
    wanted = {"description": f"{known.meaning}; {known.check.wanted}", **default}
    if known.required:
        return {**accepted, **wanted}
    return {**_or_null(accepted), **wanted}


def _or_null(accepted: dict[str, Any]) -> dict[str, Any]:
    if "enum" in accepted:
        return {**accepted, "enum": [*accepted["enum"], None]}
    if "anyOf" in accepted:
        return {**accepted, "anyOf": [*accepted["anyOf"], {"type": "null"}]}
    return {**accepted, "type": [accepted["type"], "null"]}


def first(
    *,
    hosting: str = SERVERLESS,
    instance_type: str | None = None,
    context: int | None = None,
    form: str | None = None,
) -> dict[str, Any]:
    """Return a first `deployment.json`: what people change most, as it is without them; null where that is planned.

    Args:
        hosting: where the model fits.
        instance_type: that was planned, on instances.
        context: the most tokens that the model was trained with; None where no model is known.
        form: the field that it is asked with; None where no model is known.
    """
    n_ctx = _default(INFERENCE, "n_ctx")
    place: dict[str, Any] = (
        {"instance_type": instance_type, "instance_count": 1}
        if hosting == INSTANCE
        else {"memory_mb": None, "max_concurrency": None}
    )
    prompts = _default(SMOKE_TEST, "prompts")
    return {
        SCHEMA_KEY: f"./{SCHEMA_NAME}",
        "hosting": hosting,
        **place,
        "container": None,
        "inference": {
            "n_ctx": min(n_ctx, context) if context else n_ctx,
            "max_tokens": _default(INFERENCE, "max_tokens"),
            "temperature": _default(INFERENCE, "temperature"),
        },
        "smoke_test": {
            "prompts": list(questions.prompts(prompts, form or questions.MESSAGES)),
            "expect": {"contains": None},
        },
    }


def _default(check: checks.Object, name: str) -> Any:
    return check.fields[name].default


def explained(
    settings: Mapping[str, Any], check: checks.Object = DEPLOYMENT_JSON, outer: str = ""
) -> Iterator[tuple[str, str]]:
    """Yield, for each setting of a document, its dotted path and what it means."""
    for name, value in settings.items():
        known = check.fields.get(name)
        if known is None:
            continue
        if isinstance(known.check, checks.Object) and isinstance(value, dict):
            yield from explained(value, known.check, f"{outer}{name}.")
        else:
            yield f"{outer}{name}", known.meaning
