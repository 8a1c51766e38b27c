"""The tasks' log: what every line tells of where it belongs."""

from __future__ import annotations

import json
import logging
from typing import TYPE_CHECKING, Any

import pytest

from pipeline import package_files
from pipeline.aws import task_log
from pipeline.errors import ServiceUnavailable

if TYPE_CHECKING:
    from collections.abc import Iterator

ARN = "arn:aws:states:us-east-1:123456789012:execution:sealift-deployment:harbour-0123456789abcdef"
SENT = {"execution": ARN, "state": "CreateModel", "service": "harbour"}
STATES: dict[str, Any] = json.loads(package_files.definition().read_text(encoding="utf-8"))["States"]


class _Kept(logging.Handler):
    """Keeps what is logged."""

    def __init__(self) -> None:
        super().__init__()
        self.records: list[logging.LogRecord] = []

    def emit(self, record: logging.LogRecord) -> None:
        """Keep a record."""
        self.records.append(record)


@pytest.fixture
def written() -> Iterator[list[logging.LogRecord]]:
    """Everything that is logged, debugging too."""
    kept, root = _Kept(), logging.getLogger()
    level = root.level
    root.addHandler(kept)
    root.setLevel(logging.DEBUG)
    yield kept.records
    root.removeHandler(kept)
    root.setLevel(level)


@pytest.mark.parametrize(
    ("event", "service"),
    [
        pytest.param({"log": {**SENT}}, "harbour", id="sent by the definition"),
        pytest.param({"input": {"service": "quay", "archive": {"key": "x"}}}, "quay", id="asked for by name"),
        pytest.param({"input": {"archive": {"key": "models/pier/model.tar.gz"}}}, "pier", id="by the upload"),
        pytest.param({"results": {"plan_deployment": {"service": "dock"}}}, "dock", id="planned"),
        pytest.param({"results": {"archive": {"key": "models/pier/m.zip"}}}, "pier", id="never planned"),
        pytest.param({"input": {"archive": {"key": "by-hand/m.zip"}}}, None, id="named nowhere"),
        pytest.param({"input": {"archive": "nonsense"}}, None, id="an archive that is none"),
        pytest.param({"input": "nonsense"}, None, id="an input that is none"),
        pytest.param({}, None, id="an event of somebody else's"),
    ],
)
def test_the_service_is_found_wherever_it_is_told(event: dict[str, Any], service: str | None) -> None:
    """By the definition, the plan, the input's field, the key; a wrong input is no reason to fail here."""
    assert task_log.belongs("check_archive", event).get("service") == service


def test_every_line_of_a_task_tells_where_it_belongs(written: list[logging.LogRecord]) -> None:
    """Also those of other modules' loggers; after the task nothing of it is left."""
    with task_log.of("create_model", {"log": SENT}):
        logging.getLogger("another").info("connecting")
    logging.getLogger("another").info("afterwards")

    fields = [{name: getattr(one, name, None) for name in task_log.FIELDS} for one in written]
    assert fields[:3] == [{**SENT, "task": "create_model"}] * 3
    assert fields[3] == dict.fromkeys(task_log.FIELDS)
    assert [one.getMessage() for one in written] == [
        "CreateModel began",
        "connecting",
        "CreateModel ended",
        "afterwards",
    ]


@pytest.mark.parametrize(
    ("error", "level"),
    [
        pytest.param(ServiceUnavailable("no answer"), "WARNING", id="foreseen"),
        pytest.param(KeyError("plan"), "ERROR", id="not foreseen"),
    ],
)
def test_a_failure_is_named_and_goes_on(
    written: list[logging.LogRecord], error: Exception, level: str
) -> None:
    """One line with the error's name; the error itself is the runtime's to report."""
    with pytest.raises(type(error)), task_log.of("sweep", {}):
        raise error

    assert (written[-1].levelname, vars(written[-1])["error"]) == (level, type(error).__name__)
    assert written[-1].getMessage().startswith(f"sweep failed with {type(error).__name__}: ")


@pytest.mark.parametrize(
    ("operation", "status", "code", "told"),
    [
        pytest.param("CreateModel", 200, "", "INFO s3 CreateModel: 200", id="a call"),
        pytest.param("GetObject", 206, "", "DEBUG s3 GetObject: 206", id="one of hundreds"),
        pytest.param("GetObject", 403, "AccessDenied", "INFO s3 GetObject: 403 AccessDenied", id="refused"),
        pytest.param("ListTags", 0, "Timeout", "INFO s3 ListTags: no answer Timeout", id="no answer"),
    ],
)
def test_a_call_is_told_by_its_outcome(
    written: list[logging.LogRecord], operation: str, status: int, code: str, told: str
) -> None:
    """Service, operation, status and error code; AWS's id of the request where there is one."""
    task_log.called(
        "s3", operation, status=status, code=code, request="id-1" if status else "", seconds=0.0124
    )

    (line,) = written
    assert f"{line.levelname} {line.getMessage()}" == told
    assert vars(line)["call"] == f"s3.{operation}"
    assert vars(line)["seconds"] == 0.012
    assert vars(line).get("aws_request") == ("id-1" if status else None)


@pytest.mark.parametrize(
    "name", [name for name, state in STATES.items() if state.get("Resource", "").endswith("lambda:invoke")]
)
def test_the_definition_tells_every_task_its_execution_and_state(name: str) -> None:
    """By the context object, so that no task has to be told by hand; the service wherever it is known by then."""
    sent = STATES[name]["Parameters"]["Payload"]["log"]

    assert sent["execution.$"] == "$$.Execution.Id"
    assert sent["state.$"] == "$$.State.Name"
    assert ("service.$" in sent) == (name not in {"CheckArchive", "Diagnose", "RollBack"})


def test_a_line_whose_values_do_not_fit_it_fails_no_task(written: list[logging.LogRecord]) -> None:
    """Logging itself leaves such a mistake to its handlers, and so does this: the text stands there as it was."""
    with task_log.of("create_model", {"log": SENT}):
        logging.getLogger("another").info("%d of %s\x1b[2J", "three")  # noqa: PLE1206 that is the point

    assert written[1].getMessage() == "%d of %s\\x1b[2J ('three',)"
