"""The command line as a person uses it: real processes, their output and their exit status."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import boto3
import psutil
import pytest

from local_cloud.cloud import LocalCloud
from tests.system.conftest import Deployments

FAST = ["--time-scale", "0.02"]


def sealift(*arguments: str | Path, timeout: float = 120) -> subprocess.CompletedProcess[str]:
    """Run `sealift` and return what it printed."""
    return subprocess.run(
        [sys.executable, "-m", "sealift", *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
    )


@pytest.fixture(scope="session")
def deployed(archive: Path, report: Path) -> dict[str, Any]:
    """Return the document of a whole run."""
    done = sealift("local", "run", archive, *FAST, "--json", "--service", "harbour", "--report", report)
    assert done.returncode == 0, done.stderr
    document: dict[str, Any] = json.loads(done.stdout)
    return document


@pytest.fixture(scope="session")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return where that run writes its report."""
    return tmp_path_factory.mktemp("report") / "report.html"


def test_a_run_leaves_its_report(deployed: dict[str, Any], report: Path) -> None:
    """The local cloud is gone by then, and with it all that a report could be made of."""
    assert f"harbour is served by {deployed['endpoint_name']}" in report.read_text(encoding="utf-8")


def test_pack_makes_an_archive_that_check_accepts(model: Path, tmp_path: Path) -> None:
    """The two commands agree, and both speak JSON."""
    packed = sealift("pack", model, "--output", tmp_path / "model.tar.gz", "--json")
    checked = sealift("check", tmp_path / "model.tar.gz", "--json")

    assert (packed.returncode, checked.returncode) == (0, 0)
    report = json.loads(checked.stdout)
    assert report["verdict"] == "accepted"
    assert report["model"]["path"] == model.name
    assert report["sha256"] == json.loads(packed.stdout)["sha256"]


def test_pack_into_a_bucket_is_vouched_for_by_its_checksum(
    cloud: LocalCloud, model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was uploaded with the checksum of the whole is accepted without being read again, and deploys."""
    bucket = cloud.outputs["UploadBucketName"]
    monkeypatch.setenv("AWS_ENDPOINT_URL", cloud.url)
    known = set(Deployments(cloud).executions())

    packed = sealift("pack", model, "--output", f"s3://{bucket}/models/pushed/model.tar.gz", "--json")
    checked = sealift("check", f"s3://{bucket}/models/pushed/model.tar.gz", "--json")

    assert (packed.returncode, checked.returncode) == (0, 0), packed.stderr + checked.stderr
    assert json.loads(checked.stdout)["verdict"] == "accepted"
    assert not list(model.parent.glob(".sealift-*"))
    (arn,) = set(Deployments(cloud).executions()) - known
    assert Deployments(cloud).ended(arn).status == "SUCCEEDED"


def test_check_refuses_with_what_was_seen_wanted_and_the_fix(model: Path) -> None:
    """A bare GGUF is no archive: exit status 1, and every part of the problem is told."""
    told = sealift("check", model)
    document = sealift("check", model, "--json")

    assert (told.returncode, document.returncode) == (1, 1)
    for part in ("refused", "seen", "wanted", "fix", "sealift pack"):
        assert part in told.stdout
    problem = json.loads(document.stdout)["problems"][0]
    assert set(problem) == {"error", "seen", "wanted", "fix"}


@pytest.mark.parametrize(
    ("environment", "said"),
    [
        pytest.param({"AWS_ACCESS_KEY_ID": None, "AWS_SECRET_ACCESS_KEY": None}, "credentials", id="none"),
        pytest.param({"AWS_ENDPOINT_URL": "http://127.0.0.1:9"}, "no answer from AWS", id="no such endpoint"),
    ],
)
def test_an_account_that_cannot_be_reached_is_one_message(
    model: Path, monkeypatch: pytest.MonkeyPatch, environment: dict[str, str | None], said: str
) -> None:
    """Neither reading nor writing ends in a traceback."""
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    for name, value in environment.items():
        if value is None:
            monkeypatch.delenv(name)
        else:
            monkeypatch.setenv(name, value)

    for arguments in (
        ("check", "s3://bucket/model.tar.gz"),
        ("pack", model, "-o", "s3://bucket/model.tar.gz"),
    ):
        done = sealift(*arguments)

        assert done.returncode == 1
        assert said in done.stderr
        assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("arguments", "status", "said"),
    [
        pytest.param(["check", "none.tar.gz"], 1, "none.tar.gz", id="no such archive"),
        pytest.param(["pack", "none.gguf"], 1, "none.gguf", id="no such model"),
        pytest.param(["local", "run", "none.tar.gz"], 1, "none.tar.gz", id="nothing to run"),
        pytest.param(["check", "s3://bucket"], 2, "s3://bucket/key", id="no key"),
        pytest.param(["sink"], 2, "sink", id="no such command"),
        pytest.param(
            ["local", "run", "x", "--fault", "nonsense"], 2, "SERVICE.Operation=ErrorCode", id="fault form"
        ),
        pytest.param(["local", "run", "x", "--fault", "s3.Sink=A"], 2, "s3.Sink", id="fault operation"),
        pytest.param(["local", "run", "x", "--time-scale", "-1"], 2, "--time-scale", id="time scale"),
    ],
)
def test_a_mistake_ends_in_one_message(
    arguments: list[str], status: int, said: str, archive: Path, tmp_path: Path
) -> None:
    """No traceback, the thing by its name, and an exit status that says whose mistake it was."""
    (tmp_path / "x").write_bytes(archive.read_bytes())
    arguments = [str(tmp_path / "x") if argument == "x" else argument for argument in arguments]

    done = sealift(*arguments)

    assert done.returncode == status
    assert said in done.stderr
    assert "Traceback" not in done.stderr


def test_run_prints_one_document(deployed: dict[str, Any]) -> None:
    """Status, names, states with their retries, the answers and the time."""
    assert deployed["status"] == "SUCCEEDED"
    assert deployed["endpoint_name"].startswith("harbour-")
    assert deployed["execution_arn"].startswith("arn:aws:states:")
    assert [state["name"] for state in deployed["states"]][:4] == [
        "CheckArchive",
        "PlanDeployment",
        "WhichArtifact",
        "AssembleArchive",
    ]
    assert {"name", "status", "seconds", "retries"} <= set(deployed["states"][0])
    assert deployed["smoke_test"]["transcript"][0]["answer"]
    assert deployed["consumers"][0]["answer"]["endpoint_name"] == deployed["endpoint_name"]
    assert 0 < deployed["seconds"] < deployed["total_seconds"]
    assert list(deployed["parts"]) == [
        "program",
        "local cloud",
        "upload",
        "deployment",
        "report",
        "shutting down",
    ]
    assert sum(deployed["parts"].values()) == pytest.approx(deployed["total_seconds"])


def test_run_ticks_the_checklist_line_by_line(archive: Path) -> None:
    """Every line of the checklist, in its three groups, and at the end the two answers."""
    done = sealift("local", "run", archive, *FAST, "--by", "hand")

    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert [line for line in lines if line in ("before", "during", "after")] == ["before", "during", "after"]
    assert len([line for line in lines if line.startswith("  ✓")]) >= 13
    assert "endpoint  " in done.stdout
    assert "consumer  " in done.stdout
    assert re.fullmatch(r"took [\d.]+ s: program [\d.]+ s, local cloud .*, shutting down [\d.]+ s", lines[-1])


def test_a_failed_run_says_what_happened_why_and_what_to_do(archive: Path) -> None:
    """Exit status 1, the failed line of the checklist, and the three lines of the diagnosis."""
    done = sealift("local", "run", archive, *FAST, "--fault", "sagemaker.CreateModel=AccessDeniedException")

    assert done.returncode == 1
    assert "✗" in done.stdout
    for part in ("what happened:", "why:", "what to do:", "sagemaker:CreateModel", "AccessDenied"):
        assert part in done.stdout


def test_a_fault_is_seen_in_the_retries(archive: Path) -> None:
    """`--fault ...:2` makes the call fail twice, and the document counts two retries."""
    fault = "sagemaker.CreateModel=ThrottlingException:2"

    done = sealift("local", "run", archive, *FAST, "--json", "--fault", fault)

    states = {state["name"]: state for state in json.loads(done.stdout)["states"]}
    assert done.returncode == 0
    assert states["CreateModel"]["retries"] == 2
    assert states["CreateModel"]["errors"] == ["Throttled"] * 2


@pytest.mark.parametrize(
    ("ending", "status"),
    [pytest.param(signal.SIGINT, 0, id="Ctrl-C"), pytest.param(signal.SIGTERM, 143, id="terminated")],
)
def test_up_deploys_what_any_client_uploads_and_leaves_nothing_running(
    archive: Path, ending: signal.Signals, status: int
) -> None:
    """It prints its URL; an upload through that URL starts a deployment; its end is the end of every process."""
    process = subprocess.Popen(
        [sys.executable, "-u", "-m", "sealift", "local", "up", "--port", "0", *FAST],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        said: dict[str, str] = {}
        while "ends it" not in (line := _line(process)):
            name, _, value = line.partition("  ")
            said[name.strip()] = value.strip()
        client = boto3.client(
            "s3",
            endpoint_url=said["endpoint URL"],
            region_name="us-east-1",
            aws_access_key_id="anything",
            aws_secret_access_key="anything",
        )
        client.upload_file(str(archive), said["upload bucket"], "models/demo/model.tar.gz")
        while "deployed in" not in (line := _line(process)):
            assert "failed" not in line
        children = psutil.Process(process.pid).children(recursive=True)
        process.send_signal(ending)
        ended = process.wait(timeout=30)
    finally:
        process.kill()
        process.communicate()

    assert ended == status
    assert children
    _, alive = psutil.wait_procs(children, timeout=10)
    assert not alive


def _line(process: subprocess.Popen[str]) -> str:
    """Return the next line of a process that is to go on; the suite's time-out is the bound."""
    assert process.stdout is not None
    line = process.stdout.readline()
    assert line, "the process ended"
    return line


def test_help_needs_no_sdk() -> None:
    """`sealift --help` imports neither boto3 nor moto: it is what people type first."""
    code = (
        "import sys\n"
        "from pipeline.cli import main\n"
        "assert main(['sweep', '--help']) == 0\n"
        "print([name for name in ('boto3', 'botocore', 'moto', 'numpy', 'rich') if name in sys.modules])\n"
    )

    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env=os.environ
    )

    assert done.stdout.splitlines()[-1] == "[]"
