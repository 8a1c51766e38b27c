"""The one line that a container's log has of each request: its names, its two forms, and whose trace it belongs to.

Owns the words that the pipeline's metric filters look for; whoever writes a line takes them from here. Refuses texts:
what is told of a request is numbers, codes and identifiers, never a prompt or an answer.

    event       what came of it:
                    answered    with an answer, or a part of one
                    refused     the caller has to change something, or to come again: 4xx, 429 and 503
                    failed      any other 5xx
                    gone        the client had hung up before its answer was complete
    status      of the reply; 499 when nobody waited for it
    code        of an error, as the reply has it
    id          of the answer
    ttft_ms     from the request's arrival to its first token, the queue among it; none where there was no token
    queue_ms    of that, in the queue
    prompt_n, prompt_ms, prompt_per_second              the prompt's tokens that were evaluated
    cache_n                                             those that were there already
    predicted_n, predicted_ms, predicted_per_second     the answer's tokens
    finish_reason, seconds, source, constrained
    trace_id    of the caller's trace, 32 hexadecimal digits
    endpoint, variant       where it runs, as the endpoint's environment says: the dimensions of its metrics

A line is JSON where it goes to the log as it is. TorchServe puts words of its own before each line, and what is no JSON
from its first character on is none to CloudWatch: there it begins with `COLUMNS`, and the JSON comes behind them.
"""

from __future__ import annotations

import json
import re
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

ANSWERED = "answered"
REFUSED = "refused"
FAILED = "failed"
GONE = "gone"

CLIENT_CLOSED_REQUEST = 499
"""The status in the log of a request whose client has hung up: nginx's number, sent to nobody."""

ENDPOINT_VARIABLE = "SEALIFT_ENDPOINT"
VARIANT_VARIABLE = "SEALIFT_VARIANT"
"""What the pipeline sets in an endpoint's environment: SageMaker tells a container neither."""

IN_JSON = "json"
IN_COLUMNS = "columns"
"""The two forms of a line."""

MARK = "sealift"
COLUMNS = (
    "event",
    "endpoint",
    "variant",
    "ttft_ms",
    "queue_ms",
    "predicted_per_second",
    "predicted_n",
    "prompt_n",
    "cache_n",
)
"""What stands behind `MARK` and before the JSON, in this order, with single spaces between."""

ABSENT = "-"

_TRACEPARENT = re.compile(
    r"(?<![0-9a-f-])(?!ff)[0-9a-f]{2}-([0-9a-f]{32})-[0-9a-f]{16}-[0-9a-f]{2}(?![0-9a-f])"
)
"""https://www.w3.org/TR/trace-context/#traceparent-header; among other attributes too."""
_XRAY = re.compile(r"(?:^|;)\s*Root=1-([0-9a-f]{8})-([0-9a-f]{24})(?:;|$)")
"""https://docs.aws.amazon.com/xray/latest/devguide/xray-concepts.html#xray-concepts-tracingheader"""

TRACE_HEADERS = ("traceparent", "x-amzn-sagemaker-custom-attributes", "x-amzn-trace-id")
"""Where a trace is looked for; the first that has one counts. SageMaker hands on the second, which is what a caller
gives InvokeEndpoint as CustomAttributes, and strips the others."""

MOST_HEADER = 1024
"""Characters of a header that are read: as many as CustomAttributes may have."""


def event_of(status: int) -> str:
    """Return what a reply's status says came of a request."""
    if status == CLIENT_CLOSED_REQUEST:
        return GONE
    if status < 400:
        return ANSWERED
    return FAILED if status >= 500 and status != 503 else REFUSED


def place(environ: Mapping[str, str]) -> dict[str, str]:
    """Return the dimensions that an endpoint's environment tells; none outside one."""
    told = {"endpoint": environ.get(ENDPOINT_VARIABLE), "variant": environ.get(VARIANT_VARIABLE)}
    return {name: value for name, value in told.items() if value}


def trace_of(headers: Iterable[tuple[str, str]]) -> dict[str, str]:
    """Return `trace_id` as a line has it, by a request's headers; nothing where none tells one that is valid.

    Whatever a caller sends, it is 32 hexadecimal digits or not there.
    """
    given: dict[str, str] = {}
    for name, value in headers:
        given.setdefault(name.lower(), value)
    for name in TRACE_HEADERS:
        text = given.get(name, "")[:MOST_HEADER]
        pattern = _XRAY if name == "x-amzn-trace-id" else _TRACEPARENT
        found = pattern.search(text)
        trace = "".join(found.groups()) if found else ""
        if trace.strip("0"):
            return {"trace_id": trace}
    return {}


def raised_at(error: BaseException) -> list[str]:
    """Return where an error was raised, the innermost last, without its message: that may hold a text of somebody's."""
    found, trace = [], error.__traceback__
    while trace is not None:
        code = trace.tb_frame.f_code
        found.append(f"{Path(code.co_filename).name}:{trace.tb_lineno} {code.co_name}")
        trace = trace.tb_next
    return found[-6:]


def line(event: str, *, now: datetime | None = None, **details: Any) -> str:
    """Return a line as JSON, without its end."""
    time = (now or datetime.now(timezone.utc)).isoformat(timespec="milliseconds")
    return json.dumps({"time": time, "event": event, **details})


def line_in_columns(event: str, *, now: datetime | None = None, **details: Any) -> str:
    """Return a line whose figures come first, for a log that puts words of its own before each line."""
    told = {"event": event, **details}
    columns = (ABSENT if told.get(name) is None else str(told[name]) for name in COLUMNS)
    return f"{MARK} {' '.join(columns)} {line(event, now=now, **details)}"
