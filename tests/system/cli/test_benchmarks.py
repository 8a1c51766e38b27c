"""`sealift bench` on the local cloud: the small model's true answers, counted, compared, throttled and interrupted."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any

import pytest

from examples.tiny_encoder import write_tiny_encoder
from pipeline import cli, package_files
from pipeline.archive.build.pack import pack
from pipeline.bench import sweep
from tests.system.cli.test_asking import INSTANCE, deployed

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from local_cloud.cloud import LocalCloud
    from tests.system.conftest import Deployments

FEW = ("--prompt-tokens", "100", "--max-tokens", "4", "--yes")


@pytest.fixture
def bench(
    cloud: LocalCloud, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., tuple[int, str, str]]:
    """Returns a function that measures: its status and both its outputs."""
    monkeypatch.setenv("AWS_ENDPOINT_URL", cloud.url)

    def run(*arguments: str) -> tuple[int, str, str]:
        capsys.readouterr()
        status = cli.main(["bench", *arguments])
        return status, *capsys.readouterr()

    return run


def test_a_serverless_service_is_measured_and_its_limit_met(
    deployments: Deployments, archive: Path, bench: Callable[..., tuple[int, str, str]], tmp_path: Path
) -> None:
    """By true answers of true prompts; more callers than it takes are throttled, and the figures say so."""
    endpoint = deployed(deployments, archive, "pilot", max_concurrency=1)
    page = tmp_path / "page.html"

    status, out, _ = bench(
        "pilot", *FEW, "--concurrency", "1,3", "--requests", "9", "--json", "--html", str(page)
    )
    assert status == cli.OK
    found = json.loads(out)
    assert found["complete"]
    assert found["endpoints"][0]["endpoint_name"] == endpoint
    one, three = (stage["results"][0] for stage in found["stages"])
    assert (one["answers"], one["errors"], one["completion_tokens"]) == (9, {}, 4)
    assert abs(one["prompt_tokens"] - 100) < 20
    assert one["evaluated_share"] > 0.5
    assert 0 < one["latency_s"]["p50"] <= one["latency_s"]["p95"] <= one["latency_s"]["longest"]
    assert one["tokens_per_second"] > 0
    assert one["usd_per_1000"] > 0
    assert one["first_token_s"] is None
    assert three["errors"]["Throttled"] > 0
    assert three["answers"] + sum(three["errors"].values()) == 9
    assert any("it takes 1 at once" in note for note in found["notes"])
    assert any("SageMaker streams nothing" in note for note in found["notes"])
    assert endpoint in page.read_text()

    status, out, _ = bench("pilot", "--dry-run", "--json")
    assert status == cli.OK
    assert json.loads(out)["bound"]["calls"] == sweep.PROBES * sweep.PROBE_TRIES + 6 * 100 + 2 * (1 + 2 + 4)


def test_an_instance_is_compared_with_a_serverless_deployment(
    deployments: Deployments, archive: Path, bench: Callable[..., tuple[int, str, str]]
) -> None:
    """By service and by endpoint; the instance tells its first token; what cannot be compared is refused."""
    tug = deployed(deployments, archive, "tug", **INSTANCE)
    pilot = deployed(deployments, archive, "pilot", consumer=None)

    status, out, _ = bench("tug", *FEW, "--against", pilot, "--concurrency", "1", "--requests", "6", "--json")
    assert status == cli.OK
    found = json.loads(out)
    assert [one["endpoint_name"] for one in found["endpoints"]] == [tug, pilot]
    (stage,) = found["stages"]
    first, second = stage["results"]
    assert (first["answers"], second["answers"]) == (6, 6)
    assert first["first_token_s"]["p50"] <= first["latency_s"]["p50"]
    compared = stage["compared"]
    assert compared["latency_p50"]["rounds"] == 6
    assert (
        compared["latency_p50"]["low"] <= compared["latency_p50"]["ratio"] <= compared["latency_p50"]["high"]
    )
    assert compared["first_token_p50"] is None

    status, out, _ = bench("pilot", *FEW, "--deployment", pilot, "--concurrency", "1", "--requests", "2")
    assert status == cli.OK
    assert "tok/s all" in out

    for words, told in (
        (("pilot", "--against", "pilot"), "both are endpoint"),
        (("tug", "--cold", "1"), "whose containers always run"),
        (("tug", "--deployment", pilot), f"'tug' has no endpoint '{pilot}'"),
        (("pilot", "--against", "pilto"), "no deployment of 'pilto'"),
        (("pilto",), "no deployment of 'pilto'"),
        (("pilot", "--html", "/nowhere/page.html"), "No such file"),
    ):
        status, _, err = bench(*words, "--yes", "--concurrency", "1", "--requests", "6")
        assert (status, told in err) == (cli.FAILED, True), err


def test_vectors_are_measured_by_texts(
    deployments: Deployments, bench: Callable[..., tuple[int, str, str]], tmp_path: Path
) -> None:
    """A model for embeddings has no tokens of an answer, and is not compared with one that has."""
    model = write_tiny_encoder(tmp_path / "encoder.gguf", embd=32)
    pack(model, tmp_path / "encoder.tar.gz", code=package_files.code())
    given = {"max_concurrency": 1, "consumer": None}
    ended = deployments.upload(tmp_path / "encoder.tar.gz", "index", given)
    assert ended.status == "SUCCEEDED", ended.cause

    words = ("--prompt-tokens", "30", "--concurrency", "1", "--requests", "4", "--yes", "--json")
    status, out, _ = bench("index", *words)
    assert status == cli.OK
    (stage,) = json.loads(out)["stages"]
    (found,) = stage["results"]
    assert found["answers"] == 4
    assert found["answers_per_second"] > 0
    assert found["tokens_per_second"] is None
    assert 0 < found["prompt_tokens"] < 60


def test_what_was_measured_is_shown_whatever_ends_it(deployments: Deployments, archive: Path) -> None:
    """Ctrl-C as a person presses it."""
    deployed(deployments, archive, "pilot")
    words = [
        "bench",
        "pilot",
        *FEW,
        "--concurrency",
        "1",
        "--requests",
        "100000",
        "--seconds",
        "300",
        "--json",
    ]
    process = subprocess.Popen(
        [sys.executable, "-m", "sealift", *words],
        env={**os.environ, "AWS_ENDPOINT_URL": deployments.cloud.url},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    recorded: list[Any] = deployments.cloud.recorded
    deadline = time.monotonic() + 60
    while sum("InvokeEndpoint" in str(one) for one in list(recorded)) < 8 and time.monotonic() < deadline:
        assert process.poll() is None
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    out, _ = process.communicate(timeout=60)

    assert process.returncode == cli.INTERRUPTED
    found = json.loads(out)
    assert (found["complete"], found["stopped"]) == (False, "interrupted")
    assert found["stages"][0]["results"][0]["answers"] > 0
    assert "tokens of prompts" not in out
