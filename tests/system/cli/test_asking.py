"""Asking a service by its name: whole, as a stream, in a chat, and with the token of SageMaker's OpenAI route."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
import urllib.request
from typing import TYPE_CHECKING, Any

import gguf
import pytest

from examples.tiny_encoder import write_tiny_encoder
from pipeline import cli, package_files
from pipeline.archive.build.pack import pack
from tests.system.workflow.test_deployment import settings

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from local_cloud.cloud import LocalCloud
    from tests.system.conftest import Deployments

SENTENCE = "Sealift carries heavy cargo"
"""What the small model says to anything."""
INSTANCE = {"hosting": "instance", "instance_type": "ml.m5.large"}


@pytest.fixture
def sealift(
    cloud: LocalCloud, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., tuple[int, str, str]]:
    """Returns a function that runs a command with a standard input: its status and both its outputs."""
    monkeypatch.setenv("AWS_ENDPOINT_URL", cloud.url)

    def run(*arguments: str, stdin: str = "") -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin.encode())))
        capsys.readouterr()
        # The small model says its sentence when it takes the likeliest word.
        greedy = ("--temperature", "0") if arguments[0] in ("ask", "chat") else ()
        status = cli.main([*arguments, *greedy])
        return status, *capsys.readouterr()

    return run


def deployed(deployments: Deployments, archive: Path, service: str, **fields: Any) -> str:
    """Deploy; return the endpoint's name."""
    given = settings(**fields)
    if "hosting" in fields:
        del given["max_concurrency"]  # serverless endpoints' alone
    ended = deployments.upload(archive, service, given)
    assert ended.status == "SUCCEEDED", ended.cause
    return str(ended.results["plan_deployment"]["names"]["endpoint"])


def test_a_serverless_service_is_asked_by_its_name(
    deployments: Deployments, archive: Path, sealift: Callable[..., tuple[int, str, str]]
) -> None:
    """From an argument, from standard input, as JSON; in a chat; what cannot be had is told."""
    endpoint = deployed(deployments, archive, "pilot")

    status, out, err = sealift("ask", "pilot", "What does a sealift do?")
    assert (status, err) == (cli.OK, "")
    assert SENTENCE in out

    status, out, err = sealift("ask", "pilot", "--timings", "--max-tokens", "2", stdin="What?")
    assert status == cli.OK
    assert "the answer was cut at its greatest length" in err
    assert "2 tokens" in err

    status, out, _ = sealift("ask", "pilot", "-", "--json", stdin="What?")
    document = json.loads(out)
    assert (document["endpoint_name"], document["finish_reason"]) == (endpoint, "stop")
    assert SENTENCE in document["answer"]

    status, out, err = sealift("ask", "pilot", "--stream", "What?")
    assert (status, out) == (cli.FAILED, "")
    assert "streams from instances alone" in err

    status, out, err = sealift("chat", "pilot", stdin="What?\n/sav\n/exit\nnever read\n")
    assert status == cli.OK
    assert out.count(SENTENCE) == 1
    assert "did you mean '/save'?" in err

    status, out, err = sealift("ask", "pilto", "What?")
    assert (status, out) == (cli.FAILED, "")
    assert "no deployment of 'pilto'" in err


def test_an_instance_streams_and_is_opened_by_a_token(
    deployments: Deployments, archive: Path, sealift: Callable[..., tuple[int, str, str]]
) -> None:
    """The token that `sealift token` makes is what SageMaker's OpenAI route takes."""
    endpoint = deployed(deployments, archive, "tug", **INSTANCE)

    status, out, _ = sealift("ask", "tug", "--stream", "What?")
    assert status == cli.OK
    assert SENTENCE in out

    status, out, _ = sealift("chat", "tug", stdin="What?\n/timings\nAnd?\n")
    assert status == cli.OK
    assert out.count(SENTENCE) == 2

    _, token, _ = sealift("token", "--hours", "0.5")
    request = urllib.request.Request(
        f"{deployments.cloud.url}/endpoints/{endpoint}/openai/v1/chat/completions",
        json.dumps({"messages": [{"role": "user", "content": "What?"}], "temperature": 0}).encode(),
        {"Authorization": f"Bearer {token.strip()}", "Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=60) as response:
        assert SENTENCE in json.load(response)["choices"][0]["message"]["content"]


def test_a_service_that_never_became_good_is_not_asked(
    deployments: Deployments, sealift: Callable[..., tuple[int, str, str]]
) -> None:
    """And whoever asks hears what to look at."""
    assert deployments.upload(b"nonsense", "wreck").status == "FAILED"

    status, out, err = sealift("ask", "wreck", "What?")

    assert (status, out) == (cli.FAILED, "")
    assert "nothing of 'wreck' is deployed" in err
    assert "`sealift history wreck`" in err


def pasted(code: str) -> str:
    """Run code as it is, with nothing but credentials in its environment; return what it says."""
    command = ["bash", "-euo", "pipefail"] if code.startswith("curl ") else [sys.executable]
    keys = {"AWS_ACCESS_KEY_ID": "local", "AWS_SECRET_ACCESS_KEY": "local", "PATH": os.environ["PATH"]}
    done = subprocess.run(
        [*command, "-c", code], env=keys, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@pytest.mark.parametrize(
    ("pooling", "told"),
    [
        pytest.param(gguf.PoolingType.MEAN, "embedding", id="a vector"),
        pytest.param(gguf.PoolingType.RANK, "relevance_score", id="a ranking"),
    ],
)
def test_what_is_printed_for_a_model_that_does_not_generate_asks_it_too(
    deployments: Deployments,
    tmp_path: Path,
    sealift: Callable[..., tuple[int, str, str]],
    pooling: gguf.PoolingType,
    told: str,
) -> None:
    """In the form that its model has."""
    model = write_tiny_encoder(tmp_path / "m.gguf", pooling=pooling)
    pack(model, tmp_path / "m.tar.gz", code=package_files.code())
    deployed(deployments, tmp_path / "m.tar.gz", "scale", smoke_test={}, consumer=None)

    _, out, _ = sealift("connect", "scale", "--json")
    found = {one["name"]: one["code"] for one in json.loads(out)["snippets"]}

    assert f'"{told}"' in pasted(found["curl"])
    said = pasted(found["boto3"])
    assert pasted(found["parameter"])[:1] == said[:1] == "["


@pytest.mark.parametrize(
    "fields", [pytest.param({}, id="serverless"), pytest.param(INSTANCE, id="on an instance")]
)
def test_what_is_printed_to_paste_asks_the_service(
    deployments: Deployments,
    archive: Path,
    sealift: Callable[..., tuple[int, str, str]],
    fields: dict[str, Any],
) -> None:
    """As it is, by programs that know nothing of Sealift; those of consumers' libraries `make clients` runs."""
    deployed(deployments, archive, "quay", **fields)
    _, out, _ = sealift("connect", "quay", "--json")
    found = {one["name"]: one["code"] for one in json.loads(out)["snippets"]}
    assert set(found) == {
        "boto3",
        "parameter",
        "openai",
        "langchain",
        "litellm",
        "openai-proxy",
        "curl",
        "lambda",
    }
    assert ("openai/v1" in found["openai"]) is bool(fields)

    status, out, _ = sealift("status", "quay")
    assert status == cli.OK
    assert '  ask it     sealift ask quay "What does a sealift do?"\n' in out
    assert ("base_url" in out) is bool(fields)
    _, out, _ = sealift("status", "quay", "--json")
    ways = json.loads(out)["ways_in"]
    assert ways["url"].startswith(f"{deployments.cloud.url}/endpoints/{ways['endpoint_name']}/")
    said = ways["boto3"].replace("region_name", f'endpoint_url="{deployments.cloud.url}", region_name')
    found["in short"] = f"import boto3\nprint({said})"

    for name in ("boto3", "parameter", "in short", "curl"):
        assert len(pasted(found[name])) > 1

    status, out, err = sealift("connect", "quay", "--only", "crul")
    assert (status, out) == (cli.FAILED, "")
    assert "did you mean 'curl'?" in err
