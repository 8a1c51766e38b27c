"""The tasks' log: which lines there are, and what each tells of where it belongs: execution, service, state, task.

Lambda's runtime writes JSON by itself (LogFormat in the template) and takes over every further attribute of a record,
so the fields are put on the records and nowhere else. Refuses to write an event, a result or the parameters of a call:
the consumer's variables are among them.
"""

from __future__ import annotations

import logging
from contextlib import contextmanager
from time import monotonic
from typing import TYPE_CHECKING, Any, Final

from pipeline import error_codec, naming
from pipeline.errors import SealiftError
from pipeline.plain import plain

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

LOG: Final = logging.getLogger("sealift")

FIELDS: Final = ("execution", "service", "state", "task")
"""What every line has, as far as it is known."""

BYTES: Final = frozenset({"GetObject", "UploadPart", "UploadPartCopy"})
"""Operations that move an archive piece by piece, hundreds of times: their lines are for debugging."""


@contextmanager
def of(task: str, event: Mapping[str, Any]) -> Iterator[None]:
    """Let every line of the block, whoever writes it, tell where it belongs; write how the block begins and ends.

    Args:
        task: the name of its module.
        event: the task's.
    """
    fields, before = belongs(task, event), logging.getLogRecordFactory()

    def record(*arguments: Any, **more: Any) -> logging.LogRecord:
        made = before(*arguments, **more)
        made.__dict__.update(fields)
        # A line break is safe in JSON, but a reader may show the text as it is.
        made.msg, made.args = plain(_message(made)), None
        return made

    logging.setLogRecordFactory(record)
    begun, who = monotonic(), fields.get("state") or task
    try:
        LOG.info("%s began", who)
        yield
        LOG.info("%s ended", who, extra={"seconds": round(monotonic() - begun, 3)})
    except Exception as error:
        # One that was foreseen speaks for itself; of any other the runtime writes where it was raised.
        if isinstance(error, SealiftError):
            level, message = logging.WARNING, error_codec.message(error)
        else:
            level, message = logging.ERROR, str(error)
        extra = {"seconds": round(monotonic() - begun, 3), "error": type(error).__name__}
        LOG.log(level, "%s failed with %s: %s", who, type(error).__name__, message, extra=extra)
        raise
    finally:
        logging.setLogRecordFactory(before)


def _message(record: logging.LogRecord) -> str:
    """Return a line's text; of one whose values do not fit it, both: a task does not fail over somebody's log line."""
    try:
        return record.getMessage()
    except (TypeError, ValueError, KeyError):
        return f"{record.msg} {record.args!r}"


STEPS: Final = 10
"""Lines of progress in the log of one call."""


def progress(logger: logging.Logger, name: str, verb: str) -> Callable[[int, int], None]:
    """Return a progress, of bytes done and bytes in all, that writes a line at every tenth of the way.

    Args:
        logger: of the task.
        name: what is being worked on.
        verb: what is done with its bytes.
    """
    reported = 0

    def tell(done: int, total: int) -> None:
        nonlocal reported
        step = done * STEPS // max(total, 1)
        if step > reported:
            reported = step
            logger.info("%s: %d of %d bytes %s", name, done, total, verb)

    return tell


def called(service: str, operation: str, *, status: int, code: str, request: str, seconds: float) -> None:
    """Write that AWS was called.

    Args:
        service: of AWS, by its name in the SDK.
        operation: of it.
        status: of the HTTP response; 0 when there was none.
        code: the error's; empty when there is none.
        request: AWS's id of it, which its support asks for.
        seconds: until the response was there.
    """
    level = logging.DEBUG if operation in BYTES and not code else logging.INFO
    if not LOG.isEnabledFor(level):
        return
    came = " ".join(filter(None, (str(status or "no answer"), code if code != str(status) else "")))
    extra = {"call": f"{service}.{operation}", "status": status, "seconds": round(seconds, 3)}
    LOG.log(
        level,
        "%s %s: %s",
        service,
        operation,
        came,
        extra=extra | ({"aws_request": plain(request)} if request else {}),
    )


def belongs(task: str, event: Mapping[str, Any]) -> dict[str, str]:
    """Return the fields of a task's lines, those that are not known left out.

    The definition sends `log` with each event; some tasks run where it cannot tell the service yet.
    """
    sent = event.get("log") or {}
    found = {
        "execution": sent.get("execution"),
        "service": sent.get("service") or _service(event),
        "state": sent.get("state"),
        "task": task,
    }
    return {name: plain(str(value)) for name, value in found.items() if value}


def _service(event: Mapping[str, Any]) -> str | None:
    document = event.get("input") or event.get("results")
    plan = document.get("plan_deployment") if isinstance(document, dict) else None
    return (plan or {}).get("service") or naming.service_of(document)
