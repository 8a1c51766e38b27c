"""Whatever a file, a bucket, a model or AWS brings, what reaches a person moves nothing and hides nothing.

By every channel, each driven from where a person or AWS begins: commands against an account in which every text that
somebody else can write is hostile, the page of a report, the tasks' log, and what a notification is made of.
"""

from __future__ import annotations

import io
import json
import logging
import re
import tarfile
from dataclasses import replace
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as rules

from pipeline import cli, settings
from pipeline.aws import lambda_handler, task_log
from pipeline.cli import following
from pipeline.cli.screen import Screen
from pipeline.errors import EndpointFailed
from pipeline.operations import diagnosis
from pipeline.operations.execution_history import read
from pipeline.report import document, page
from pipeline.sizing.pricing import LISTED
from tests.foreign import HOSTILE, TEXTS, unfit
from tests.functional.serving import serving, try_once, url_of
from tests.unit.conftest import facts_with, request_with  # noqa: F401 fixtures
from tests.unit.report.conftest import (  # noqa: F401 fixtures
    ARN,
    DEFINITION,
    failed,
    results,
    story,
    succeeded,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from pipeline.report.document import ReportFacts

MACHINE = "arn:aws:states:eu-central-1:123456789012:stateMachine:sealift-deployment"
KEPT = re.compile(
    r"arn:|\d{4}-\d\d-\d\dT|^(?:RUNNING|SUCCEEDED|FAILED|ABORTED|[A-Z]\w+(?:Entered|Exited|Scheduled|Succeeded|Failed))$"
)
OURS = frozenset({"method", "way", "verdict"})
"""Words of Sealift's own, of which there are a few."""


def spoiled(value: Any, text: str, kept: re.Pattern[str] = KEPT) -> Any:
    """Return a JSON document with a hostile text behind each of its texts that somebody else can write."""
    if isinstance(value, dict):
        return {name: one if name in OURS else spoiled(one, text, kept) for name, one in value.items()}
    if isinstance(value, list | tuple):
        return [spoiled(one, text, kept) for one in value]
    if not isinstance(value, str):
        return value
    if value.startswith("{"):
        return json.dumps(spoiled(json.loads(value), text, kept))
    return value if kept.search(value) else value + text


class Account(ThreadingHTTPServer):
    """AWS, as far as its JSON protocols go: what each operation answers stands in `answers`."""

    daemon_threads = True
    answers: ClassVar[dict[str, Any]] = {}


class _Operation(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        """Answer an operation; one that there is no answer for is denied in hostile words."""
        self.rfile.read(int(self.headers.get("content-length", 0)))
        name = self.headers.get("x-amz-target", "").rpartition(".")[2]
        found = Account.answers.get(name)
        self._send(200 if found is not None else 400, found or Account.answers["denied"])

    def do_GET(self) -> None:
        """Deny."""
        self._send(400, Account.answers["denied"])

    do_HEAD = do_PUT = do_DELETE = do_GET  # noqa: N815 the base's spelling

    def _send(self, status: int, document: Any) -> None:
        body = json.dumps(document, default=_seconds).encode()
        self.send_response(status)
        for name, value in {
            "x-amzn-requestid": "1",
            "content-type": "application/x-amz-json-1.1",
            "content-length": str(len(body)),
        }.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_arguments: Any) -> None:
        """Say nothing."""


def _seconds(moment: datetime) -> float:
    return moment.timestamp()


@pytest.fixture(scope="module")
def account() -> Iterator[Account]:
    """An AWS of this machine's."""
    with serving(Account(("127.0.0.1", 0), _Operation)) as server:
        yield server


@pytest.fixture
def told(
    account: Account, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., str]:
    """Return what runs a command against the account, and returns all that it wrote."""
    monkeypatch.setenv("AWS_ENDPOINT_URL", url_of(account))
    try_once(monkeypatch)

    def run(*arguments: str) -> str:
        settings.say({})
        capsys.readouterr()
        cli.main(list(arguments))
        printed = capsys.readouterr()
        return printed.out + printed.err

    return run


def answers(facts: ReportFacts, text: str) -> dict[str, Any]:
    """Return what AWS answers of an account with one execution, all of whose texts end in a hostile one."""
    description = {**facts.description, "name": ARN.rpartition(":")[2], "stateMachineArn": MACHINE}
    row = {
        name: description[name] for name in ("executionArn", "name", "status", "startDate", "stateMachineArn")
    }
    log = {"timestamp": 1767323045000, "message": f"INFO {text} llama", "logStreamName": "s"}
    task = {
        "timestamp": 1767323045000,
        "message": json.dumps(
            {
                "requestId": "r",
                "execution": ARN,
                "state": f"CheckArchive{text}",
                "message": f"read {text}",
                "level": f"ERROR{text}",
                "stackTrace": [f"  file {text}\n"],
            }
        ),
        "logStreamName": "s",
    }
    return {
        "ListStateMachines": {"stateMachines": [{"stateMachineArn": MACHINE, "name": "sealift-deployment"}]},
        "ListExecutions": {"executions": [row]},
        "DescribeExecution": spoiled(description, text),
        "GetExecutionHistory": {"events": spoiled(list(facts.events), text, HISTORY)},
        "DescribeStateMachineForExecution": {
            "stateMachineArn": MACHINE,
            "name": "sealift-deployment",
            "definition": json.dumps(DEFINITION),
            "roleArn": "arn:aws:iam::123456789012:role/a",
            "updateDate": facts.description["startDate"],
        },
        "FilterLogEvents": {"events": [task, log]},
        "denied": {"__type": "AccessDeniedException", "message": f"User a is not authorized {text}"},
    }


HISTORY = re.compile(f"{KEPT.pattern}|^(?:{'|'.join(DEFINITION['States'])})$")
"""Names of states are not somebody else's."""


@pytest.mark.parametrize("form", ["text", "json"])
@pytest.mark.parametrize("how", ["succeeded", "failed"])
@pytest.mark.parametrize(
    "command", ["watch", "history", "logs", "status", "sweep", "report", "doctor", "rollback"]
)
def test_no_command_hands_on_what_an_account_is_full_of(
    *,
    command: str,
    how: str,
    form: str,
    told: Callable[..., str],
    request: pytest.FixtureRequest,
    tmp_path: Path,
) -> None:
    """Names, answers, log lines, causes and AWS's own words."""
    Account.answers = answers(request.getfixturevalue(how), HOSTILE)
    arguments = {
        "watch": [ARN],
        "logs": [ARN],
        "report": [ARN, "--output", str(tmp_path / "report.html")],
        "rollback": ["harbour"],
    }
    written = told(command, *arguments.get(command, []), *(["--json"] if form == "json" else []))

    assert written
    assert unfit(written) == set()
    assert "mistake of Sealift" not in written
    if command in {"watch", "history", "logs"}:
        # JSON has its own escapes.
        assert ("\\x1b" if form == "text" else "\\u001b") in written


def test_a_service_is_shown_without_what_aws_says_of_it(
    told: Callable[..., str], request: pytest.FixtureRequest
) -> None:
    """A failure's reason, and an upload's key."""
    name, execution = "harbour-0123456789abcdef", ARN
    tags = {
        "sealift:service": "harbour",
        "sealift:execution": execution,
        "sealift:archive": f"uploads/models/harbour/{HOSTILE}.tar.gz".replace(
            "\udce9", ""
        ),  # no bucket has one
        "sealift:uploaded-at": "2026-01-02T03:04:05Z",
    }
    moment = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
    row = {"EndpointName": name, "EndpointArn": "arn:e", "CreationTime": moment, "LastModifiedTime": moment}
    config = {"EndpointConfigName": name, "EndpointConfigArn": "arn:c", "CreationTime": moment}
    Account.answers = answers(request.getfixturevalue("failed"), HOSTILE) | {
        "ListEndpoints": {"Endpoints": [{**row, "EndpointStatus": "Failed"}]},
        "ListEndpointConfigs": {"EndpointConfigs": [config]},
        "ListTags": {"Tags": [{"Key": key, "Value": value} for key, value in tags.items()]},
        "DescribeEndpoint": {
            **row,
            "EndpointConfigName": name,
            "EndpointStatus": "Failed",
            "FailureReason": f"because {HOSTILE}",
        },
    }

    written = told("status")

    assert "because a\\x1b]0;b" in written
    assert "harbour/a\\x1b]0;b" in written or "archive" not in written
    assert unfit(written) == set()

    (service,) = json.loads(told("status", "--json"))["services"]
    assert (service["service"], service["deployments"][0]["endpoint_name"]) == ("harbour", name)


@pytest.mark.parametrize("command", ["check", "plan"])
def test_a_file_is_checked_without_its_name_s_moving_the_terminal(
    command: str, tmp_path: Path, told: Callable[..., str]
) -> None:
    """What it is called, what is in it, and what its members are called."""
    name = HOSTILE.replace("\0", "").replace("/", "") + ".tar.gz"
    with tarfile.open(tmp_path / name, "w:gz") as archive:
        for member in (f"{HOSTILE}.gguf", f"code/{HOSTILE}"):
            archive.addfile(tarfile.TarInfo(member.replace("\0", "")))
    Account.answers = {}

    written = told(command, str(tmp_path / name))

    assert "\\x1b]0;b" in written
    assert unfit(written) == set()


def test_a_wrong_command_line_is_told_of_in_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    """It may come from a script that read it somewhere."""
    assert cli.main(["check", "a", f"--x{HOSTILE}"]) == cli.USAGE

    assert unfit(capsys.readouterr().err) == set()


def test_a_mistake_of_ours_is_shown_whole_and_plain(
    told: Callable[..., str], request: pytest.FixtureRequest
) -> None:
    """With --debug, a traceback quotes what was read."""
    Account.answers = answers(request.getfixturevalue("failed"), HOSTILE)

    written = told("--debug", "rollback", "harbour")

    assert "Traceback" in written
    assert unfit(written) == set()


class _Terminal(io.StringIO):
    encoding = "utf-8"

    def isatty(self) -> bool:
        return True


OUR_OWN = re.compile(r"\033\[\d*(?:[AKJ]|[;\d]*m)|\r")
"""What a checklist is drawn with."""


@pytest.mark.parametrize("how", ["succeeded", "failed"])
def test_a_terminal_is_moved_by_nobody_else(how: str, request: pytest.FixtureRequest) -> None:
    """The same sequences as for a deployment in which nothing is hostile, in the same order."""
    facts: ReportFacts = request.getfixturevalue(how)

    def drawn(text: str) -> tuple[str, list[str]]:
        description, events = spoiled(facts.description, text), spoiled(list(facts.events), text, HISTORY)
        stream = _Terminal()
        screen = Screen(stream)
        # The checklist as it was in the middle, and at its end.
        for followed in (
            read({**description, "status": "RUNNING"}, events[: len(events) // 2]),
            read(description, events),
        ):
            following.Live(screen).show(followed)
        following.conclude(followed, screen)
        return OUR_OWN.sub("", stream.getvalue()), re.findall(r"\033\[\d*[^\dAKJm;]", stream.getvalue())

    shown, others = drawn(HOSTILE)

    assert unfit(shown) == set()
    assert others == []
    assert "\\x1b" in shown


@rules(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(text=TEXTS)
def test_the_page_of_a_report_holds_nothing_hostile(text: str, request: pytest.FixtureRequest) -> None:
    """Whatever anybody wrote into anything that a report is made of."""
    for how in ("failed", "succeeded"):
        facts: ReportFacts = request.getfixturevalue(how)
        hostile = replace(
            facts,
            description=spoiled(facts.description, text),
            events=spoiled(list(facts.events), text, HISTORY),
        )

        body = page.render(document.assemble(hostile, LISTED)).decode()

        assert unfit(body) == set()


@rules(deadline=None)
@given(TEXTS, TEXTS)
def test_the_log_of_a_task_holds_nothing_hostile(text: str, service: str) -> None:
    """What it says, what AWS's answer is called, and whose the line is."""
    written: list[logging.LogRecord] = []
    handler = logging.Handler()
    handler.emit = written.append  # type: ignore[method-assign]
    level = task_log.LOG.level
    task_log.LOG.addHandler(handler)
    task_log.LOG.setLevel(logging.INFO)
    event = {"log": {"execution": f"arn{text}", "service": service, "state": f"A{text}"}}

    def run(event: dict[str, Any], clients: object) -> dict[str, Any]:
        del event, clients
        task_log.called("s3", "HeadObject", status=400, code=f"E{text}", request=f"r{text}", seconds=0.1)
        task_log.LOG.warning("read %s", text, extra={"member": 1})
        raise EndpointFailed(f"it said {text}")

    try:
        with pytest.raises(EndpointFailed) as failure:
            lambda_handler.Task(run)(event, None)
    finally:
        task_log.LOG.removeHandler(handler)
        task_log.LOG.setLevel(level)

    # Lambda writes a record's attributes as JSON, which escapes the half of what is hostile.
    assert len(written) >= 4
    for record in written:
        told = [record.getMessage(), *(str(one) for one in record.__dict__.values() if isinstance(one, str))]
        assert unfit("".join(told)) == set()
        assert "\n" not in "".join(told)
    assert unfit(str(failure.value)) == set()


@given(TEXTS, TEXTS, TEXTS)
def test_a_cause_is_three_lines_whatever_failed(error: str, told: str, seen: str) -> None:
    """It is what a notification, the console and a person's terminal have; Lambda's own errors are nobody's words."""
    cause = json.dumps({"errorMessage": told, "errorType": error})
    made = diagnosis.diagnose({"Error": error, "Cause": cause}, {"failure": {}}, (f"MemoryError {seen}",))

    assert unfit(made.cause) == set()
    assert len(made.cause.split("\n")) == 3
    assert unfit(made.error) == set()
    assert "\n" not in made.error


@pytest.mark.parametrize(
    "arguments",
    [
        pytest.param(["check", "s3://bucket/models/\udce9.tar.gz"], id="check"),
        pytest.param(["plan", "s3://bucket/\udce9.gguf"], id="plan"),
        pytest.param(["start", "--archive", "s3://bucket/models/\udce9.tar.gz"], id="start"),
        pytest.param(["start", "--input", "INPUT"], id="an input"),
    ],
)
def test_half_of_a_character_is_refused_where_it_is_said(
    arguments: list[str], tmp_path: Path, told: Callable[..., str]
) -> None:
    """A command line that is no UTF-8 has them, and JSON can: no bucket has such a key."""
    (tmp_path / "INPUT").write_text('{"archive": {"bucket": "uploads", "key": "a\\ud800.tar.gz"}}')

    written = told(*(str(tmp_path / one) if one == "INPUT" else one for one in arguments))

    assert "half of a character; wanted text that UTF-8 can write" in written
    assert "mistake of Sealift" not in written
