"""Pushing, starting and watching deployments as a person does: real processes, terminals, an upload that is cut."""

from __future__ import annotations

import fcntl
import json
import os
import pty
import re
import select
import signal
import struct
import subprocess
import sys
import termios
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from rich.cells import cell_len

from local_cloud.calls import AwsCall
from local_cloud.cloud import LocalCloud
from local_cloud.faults import Fault
from pipeline.operations.checklist import ITEMS
from tests.system.conftest import Deployments

WAIT_S = 120


@pytest.fixture(autouse=True)
def account(cloud: LocalCloud, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let every command of this file talk to the local cloud, which is all that tells it from AWS."""
    monkeypatch.setenv("AWS_ENDPOINT_URL", cloud.url)


def command(*arguments: str | Path) -> list[str]:
    """Return a command line."""
    return [sys.executable, "-m", "sealift", *map(str, arguments)]


def sealift(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """Run `sealift` and return what it printed."""
    return subprocess.run(
        command(*arguments),
        capture_output=True,
        text=True,
        timeout=WAIT_S,
        check=False,
        stdin=subprocess.DEVNULL,
    )


def events(done: subprocess.CompletedProcess[str]) -> list[dict[str, Any]]:
    """Return the JSON objects that were printed, one a line."""
    return [json.loads(row) for row in done.stdout.splitlines()]


def push(
    file: Path, service: str, folder: Path, **settings: Any
) -> tuple[list[dict[str, Any]], dict[str, dict[str, Any]]]:
    """Push a file with settings, to a good end; return the events, and the lines of the checklist that are done."""
    path = folder / "deployment.json"
    path.write_text(json.dumps(settings))
    done = sealift("push", file, "--service", service, "--input", path, "--json")
    assert done.returncode == 0, done.stderr
    told = events(done)
    return told, {one["line"]: one for one in told if one["type"] == "line" and one["mark"] == "done"}


def test_push_checks_uploads_and_follows_to_the_end(
    archive: Path, tmp_path: Path, deployments: Deployments
) -> None:
    """One command from a file to an endpoint that answers, told in events; S3's checksum spares a second reading."""
    told, lines = push(archive, "pushed", tmp_path, max_concurrency=3)

    notes = [one["text"] for one in told if one["type"] == "note"]
    assert notes[0] == "service 'pushed' is new: it has no endpoint yet"
    assert [note[:31] for note in notes[1:]] == ["container 'pytorch' is chosen: "]
    assert [one["type"] for one in told if one["type"] not in {"line", "upload", "note"}] == [
        "plan",
        "check",
        "uploaded",
        "execution",
        "summary",
    ]
    assert set(lines) == {item.text for item in ITEMS if not item.part}
    assert "verified by S3 checksum" in lines["model compressed as tar.gz or zip"]["evidence"]
    assert "3 concurrent invocations" in lines["room within the account's quotas"]["evidence"]
    assert told[-1]["status"] == "SUCCEEDED"
    assert told[-1]["endpoint_name"] in deployments.resources()["endpoints"]
    assert "UploadPart" in deployments.calls("s3")


def test_a_bare_model_is_pushed_as_it_is_and_followed_to_its_end(
    model: Path, tmp_path: Path, deployments: Deployments
) -> None:
    """To instances, which need no archive; under its own name, by which the workflow knows it."""
    told, lines = push(model, "bare", tmp_path, hosting="instance")

    assert next(one["key"] for one in told if one["type"] == "uploaded") == f"models/bare/{model.name}"
    assert "as it is: no archive is needed" in lines["model compressed as tar.gz or zip"]["evidence"]
    assert told[-1]["status"] == "SUCCEEDED"
    assert told[-1]["endpoint_name"] in deployments.resources()["endpoints"]


def test_what_is_refused_is_refused_before_a_byte_is_sent(
    model: Path, tmp_path: Path, deployments: Deployments
) -> None:
    """In the words of `sealift check`; nothing was uploaded and nothing started."""
    known, file = deployments.executions(), tmp_path / "model.tar.gz"
    file.write_bytes(model.read_bytes())
    pushed, checked = sealift("push", file, "--service", "refused"), sealift("check", file)

    def problems(text: str) -> list[str]:
        return [row for row in text.splitlines() if row.startswith("  ")]

    assert (pushed.returncode, checked.returncode) == (1, 1)
    assert problems(pushed.stdout) == problems(checked.stdout) != []
    assert deployments.executions() == known
    assert not [one for one in deployments.calls("s3") if one.endswith("MultipartUpload")]


@pytest.mark.parametrize(
    ("arguments", "status", "said"),
    [
        pytest.param(["watch", "nobody"], 1, "no execution 'nobody'", id="nobody"),
        pytest.param(
            ["watch", "arn:aws:states:us-east-1:123456789012:execution:a:b"], 1, "no execution", id="an ARN"
        ),
        pytest.param(
            ["watch", "demo", "--stack", "other"],
            1,
            "no state machine 'other-deployment'",
            id="no such stack",
        ),
        pytest.param(["start"], 2, "--archive s3://bucket/key", id="nothing to start"),
        pytest.param(["start", "--archive", "s3://b/k", "--service", "A_B"], 2, "hyphens", id="no name"),
        pytest.param(["start", "--input", "/nonexistent"], 1, "/nonexistent", id="no input"),
        pytest.param(["push", "/nonexistent", "--service", "a"], 1, "/nonexistent", id="no archive"),
    ],
)
def test_what_cannot_be_followed_is_one_message(arguments: list[str], status: int, said: str) -> None:
    """What was seen, what was wanted, what to do; no traceback."""
    done = sealift(*arguments)

    assert done.returncode == status
    assert said in done.stderr
    assert "Traceback" not in done.stderr


@pytest.fixture(scope="session", params=["archive", "model"])
def large(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return an archive of several parts, or a model that becomes one on its way."""
    from tiny_gguf import write_tiny_gguf

    from pipeline import package_files
    from pipeline.archive.build.pack import pack

    folder = tmp_path_factory.mktemp("large")
    model = write_tiny_gguf(folder / "large.gguf", embd=512, layers=4, tensor_type="f32")
    if request.param == "model":
        return model
    path = folder / "model.tar.gz"
    pack(model, path, code=package_files.code())
    return path


def test_an_upload_that_was_cut_off_is_resumed(
    large: Path, cloud: LocalCloud, deployments: Deployments
) -> None:
    """The same command sends what is missing and no more; what S3 puts together deploys."""
    bucket, service = deployments.bucket, f"resumed-{'bare' if large.suffix == '.gguf' else 'archive'}"
    place = {"Bucket": bucket, "Key": f"models/{service}/model.tar.gz"}
    first = threading.Lock()
    sent: list[AwsCall] = []

    def one_part_arrives(_caller: str, call: AwsCall) -> None:
        if call.operation != "UploadPart":
            return
        with first:
            sent.append(call)
            if len(sent) != 2:
                return
        # The others wait until S3 has the first, and then all are refused.
        deadline = time.monotonic() + WAIT_S
        upload = cloud.clients.s3.list_multipart_uploads(Bucket=bucket)["Uploads"][0]["UploadId"]
        while not cloud.clients.s3.list_parts(**place, UploadId=upload).get("Parts"):
            assert time.monotonic() < deadline
            time.sleep(0.02)
        cloud.faults.replace([Fault.parse("s3.UploadPart=AccessDenied")])

    cloud.before_call(one_part_arrives)
    try:
        cut = sealift("push", large, "--service", service)
    finally:
        cloud.before_call(None)
    cloud.faults.replace([])
    (upload,) = cloud.clients.s3.list_multipart_uploads(Bucket=bucket)["Uploads"]
    there = cloud.clients.s3.list_parts(**place, UploadId=upload["UploadId"])["Parts"]
    cloud.recorded.clear()
    resumed = sealift("push", large, "--service", service)
    parts = -(-large.stat().st_size // (16 << 20))

    assert cut.returncode == 1
    assert "rerun the same command within two days to resume the upload" in cut.stderr
    assert 0 < len(there) < parts
    assert resumed.returncode == 0, resumed.stderr + resumed.stdout
    assert "going on with an upload that was cut off" in resumed.stdout
    assert _by_hand(cloud).count("UploadPart") == parts - len(there)
    assert "CreateMultipartUpload" not in _by_hand(cloud)
    assert not cloud.clients.s3.list_multipart_uploads(Bucket=bucket).get("Uploads")


def _by_hand(cloud: LocalCloud) -> list[str]:
    """Return the operations of S3 that no function called."""
    return [one.call.operation for one in cloud.recorded if one.call.service == "s3" and not one.caller]


SIZES = {"narrow": (40, 24), "ordinary": (80, 24), "wide": (120, 50)}


def test_a_deployment_is_followed_on_every_terminal_and_left_and_found_again(
    archive: Path, cloud: LocalCloud, deployments: Deployments
) -> None:
    """Three terminals, one of which is left with Ctrl-C: it says how to come back, and the deployment goes on."""
    key = "by-hand/watched/model.tar.gz"
    cloud.clients.s3.upload_file(str(archive), deployments.bucket, key)
    place = f"s3://{deployments.bucket}/{key}"
    started = sealift("start", "--archive", place, "--service", "watched", "--no-follow")
    match = re.search(r"sealift watch (watched-by-hand-\S+)", started.stdout)
    assert match, started.stdout + started.stderr
    terminals = {name: Terminal(*size, command("watch", match[1])) for name, size in SIZES.items()}
    left = Terminal(80, 24, command("watch", "watched"))
    left.until("so far; Ctrl-C leaves it running")
    left.process.send_signal(signal.SIGINT)
    statuses = {name: terminal.ended() for name, terminal in terminals.items()}
    again = sealift("watch", "watched", "--json")

    assert left.ended() == 130
    assert left.rows()[-3:-1] == [
        "the deployment continues; follow it again with",
        f"  sealift watch {match[1]}",
    ]
    assert statuses == dict.fromkeys(SIZES, 0)
    for name, terminal in terminals.items():
        shown = terminal.rows()
        for item in [one for one in ITEMS if not one.part]:
            assert len([row for row in shown if re.search(rf"✓ {re.escape(item.text)}( |$)", row)]) == 1, name
        assert not [row for row in shown if "…" in row], name
    assert again.returncode == 0
    assert events(again)[-1]["status"] == "SUCCEEDED"


def test_a_failed_deployment_is_failed_for_whoever_watches(archive: Path, deployments: Deployments) -> None:
    """Exit status 1; the failed line has cause and fix, what was made is undone, and the three lines end it."""
    deployments.fail("sagemaker.CreateEndpointConfig=AccessDeniedException")
    done = sealift("push", archive, "--service", "unlucky")
    text = " ".join(done.stdout.split())

    assert done.returncode == 1
    assert "✗ endpoint configuration created" in text
    assert "✓ what was made is undone" in text
    assert text.count("AccessDenied: ") >= 2
    for part in ("what happened:", "why:", "what to do:"):
        assert part in text


class Terminal:
    """A terminal of a size, and a command that runs on it."""

    def __init__(self, columns: int, height: int, arguments: list[str]) -> None:
        self.columns = columns
        self.height = height
        self.text = ""
        ours, theirs = pty.openpty()
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", height, columns, 0, 0))
        environment = {**os.environ, "TERM": "xterm", "PYTHONUTF8": "1"}
        environment.pop("COLUMNS", None)
        self.process = subprocess.Popen(
            arguments, stdin=theirs, stdout=theirs, stderr=theirs, env=environment, start_new_session=True
        )
        os.close(theirs)
        self._ours = ours
        self._reading = threading.Thread(target=self._read, daemon=True)
        self._reading.start()

    def _read(self) -> None:
        bytes_read = b""
        while True:
            try:
                select.select([self._ours], [], [])
                piece = os.read(self._ours, 1 << 16)
            except OSError:
                break  # the other side has gone
            if not piece:
                break
            bytes_read += piece
            self.text = bytes_read.decode(errors="ignore")
        os.close(self._ours)

    def until(self, said: str) -> None:
        """Wait for a text."""
        deadline = time.monotonic() + WAIT_S
        while said not in self.text:
            assert time.monotonic() < deadline, self.text
            assert self.process.poll() is None, self.text
            time.sleep(0.02)

    def ended(self) -> int:
        """Return the exit status."""
        status = self.process.wait(WAIT_S)
        self._reading.join(WAIT_S)
        return status

    def rows(self) -> list[str]:
        """Return what stands on the terminal in the end, what has left it at the top included.

        Knows what `Screen` writes, and wraps as a terminal does; a cursor that is to go above the top stays there.
        """
        rows, row, column = [""], 0, 0
        for part in re.findall(r"\033\[[0-9;]*[A-Za-z]|.|\n|\r", self.text, re.DOTALL):
            if part == "\n":
                row += 1
                rows += [""] * (row + 1 - len(rows))
            elif part == "\r":
                column = 0
            elif part.startswith("\033["):
                count = int(part[2:-1]) if part[2:-1].isdigit() else 1
                if part.endswith("A"):
                    row = max(row - count, len(rows) - self.height, 0)
                elif part.endswith("K"):
                    rows[row] = rows[row][:column]
                elif part.endswith("J"):
                    rows[row:] = [rows[row][:column]]
            else:
                if column >= self.columns:
                    row, column = row + 1, 0
                    rows += [""] * (row + 1 - len(rows))
                rows[row] = rows[row][:column].ljust(column) + part + rows[row][column + 1 :]
                column += cell_len(part)
        return rows
