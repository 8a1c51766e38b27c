"""What lies beside a model, deployed on the local cloud with the real llama-server: loaded, used, or told why not."""

from __future__ import annotations

import base64
import json
import struct
import zlib
from pathlib import Path
from typing import Any

import pytest
from tiny_companions import write_tiny_lora, write_tiny_projector
from tiny_gguf import ANSWER, write_tiny_gguf

from pipeline import package_files
from pipeline.archive.build.pack import pack
from pipeline.operations.execution_history import Execution
from tests.system.conftest import NOTHING, Deployments, tar_of

pytestmark = pytest.mark.skipif(
    package_files.llama_server() is None, reason="no llama-server here; `make llama-server` builds it"
)

# Two threads that wait for each other in loops take seconds for a first token where the CPUs are shared.
THREADS = {"inference": {"n_threads": 1}}
FIELDS: dict[str, dict[str, Any]] = {
    "llama-cpp": {"container": "llama-cpp", **THREADS},
    "custom": {
        "container": "custom",
        "image_uri": "123456789012.dkr.ecr.us-east-1.amazonaws.com/sealift:1",
        **THREADS,
    },
}
LOADED = {
    "llama-cpp": ("loading draft model '", "loaded multimodal model, '"),
    "custom": ('"beside": ["mmproj.gguf", "draft.gguf"]',),
}
"""What its log tells: llama-server's own words, or the adapter's."""
each = pytest.mark.parametrize("container", FIELDS)
# The adapter of `write_tiny_lora` makes the model babble, and what babbles says one word eight times now and then.
BABBLES = {"expect": {"allow_degenerate": True}}


def serverless(container: str) -> dict[str, Any]:
    """Return the settings of a deployment."""
    return {**FIELDS[container], "max_concurrency": 1}


def image() -> str:
    """Return a small image as a data URL."""

    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    rows = zlib.compress(b"".join(b"\0" + bytes([y * 8, 60, 90] * 32) for y in range(32)))
    parts = (
        chunk(b"IHDR", struct.pack(">IIBBBBB", 32, 32, 8, 2, 0, 0, 0)),
        chunk(b"IDAT", rows),
        chunk(b"IEND", b""),
    )
    return "data:image/png;base64," + base64.b64encode(b"\x89PNG\r\n\x1a\n" + b"".join(parts)).decode()


def files(folder: Path) -> dict[str, Path]:
    """Return a model, and one of each kind to lie beside it."""
    return {
        "model": write_tiny_gguf(folder / "harbour.gguf"),
        "mmproj": write_tiny_projector(folder / "mmproj.gguf"),
        "lora": write_tiny_lora(folder / "lora-tone.gguf"),
        "draft": write_tiny_gguf(folder / "draft.gguf", layers=1, seed=1),
    }


def packed(folder: Path, *kinds: str, **instead: Path) -> Path:
    """Return an archive of the model and what lies beside it, with other files in the place of some."""
    found = files(folder) | instead
    beside = [(kind, found[kind]) for kind in kinds]
    return pack(found["model"], folder / "model.tar.gz", code=package_files.code(), beside=beside).path


def ask(deployments: Deployments, ended: Execution, content: Any) -> dict[str, Any]:
    """Return the endpoint's answer to a message."""
    assert ended.status == "SUCCEEDED", ended.cause
    endpoint = ended.results["plan_deployment"]["names"]["endpoint"]
    body = {"messages": [{"role": "user", "content": content}], "max_tokens": 32, "temperature": 0}
    answer = deployments.cloud.clients.sagemaker_runtime.invoke_endpoint(
        EndpointName=endpoint, ContentType="application/json", Body=json.dumps(body).encode()
    )
    found: dict[str, Any] = json.loads(answer["Body"].read())
    return found


def logged(deployments: Deployments, ended: Execution) -> str:
    """Return the container's log."""
    endpoint = ended.results["plan_deployment"]["names"]["endpoint"]
    group = f"/aws/sagemaker/Endpoints/{endpoint}"
    logs = deployments.cloud.clients.logs
    streams = logs.describe_log_streams(logGroupName=group)["logStreams"]
    return "\n".join(
        event["message"]
        for stream in streams
        for event in logs.get_log_events(
            logGroupName=group, logStreamName=stream["logStreamName"], startFromHead=True
        )["events"]
    )


@each
def test_an_archive_brings_them_and_llama_server_uses_them(
    deployments: Deployments, tmp_path: Path, container: str
) -> None:
    """The draft's guesses hold, an image is tokens of the prompt, and the log names each file."""
    ended = deployments.upload(packed(tmp_path, "mmproj", "draft"), "harbour", serverless(container))

    text = ask(deployments, ended, "hello")
    assert text["choices"][0]["message"]["content"].strip().startswith(ANSWER[:20])
    assert text["timings"]["draft_n_accepted"] > 0
    seen = ask(
        deployments,
        ended,
        [{"type": "text", "text": "hello"}, {"type": "image_url", "image_url": {"url": image()}}],
    )
    assert seen["usage"]["prompt_tokens"] > text["usage"]["prompt_tokens"] + 4
    log = logged(deployments, ended)
    assert all(words in log for words in LOADED[container])
    lines = {line["name"] for line in ended.results["plan_deployment"]["fit"]["lines"]}
    assert {"projector", "draft model"} <= lines


@each
def test_an_adapter_changes_what_a_model_says(
    deployments: Deployments, tmp_path: Path, container: str
) -> None:
    """Uploaded file by file for an instance; the model last, whose event takes what is there."""
    there = files(tmp_path)
    deployments.cloud.clients.s3.put_object(
        Bucket=deployments.bucket, Key="models/tones/lora-tone.gguf", Body=there["lora"].read_bytes()
    )

    settings = {"hosting": "instance", "smoke_test": BABBLES, "consumer": BABBLES}
    ended = deployments.upload(
        there["model"], "tones", {**FIELDS[container], **settings}, name="harbour.gguf"
    )

    said = ask(deployments, ended, "hello")["choices"][0]["message"]["content"].strip()
    assert said
    assert not said.startswith(ANSWER[:20])
    assert ended.results["check_archive"]["assembly"]["form"] == "prefix"


@each
def test_what_llama_server_refuses_is_told_in_its_words(
    deployments: Deployments, tmp_path: Path, container: str
) -> None:
    """How wide a projector's tokens are, its header does not tell; whoever deploys one for another model reads why."""
    narrow = write_tiny_projector(tmp_path / "narrow.gguf", text_width=64)

    ended = deployments.upload(packed(tmp_path, "mmproj", mmproj=narrow), "harbour", serverless(container))

    assert ended.status == "FAILED"
    diagnosed = ended.results["diagnose"]
    assert diagnosed["cause_name"] == "CompanionRefused"
    assert "mismatch between text model (n_embd = 128) and mmproj (n_embd = 64)" in json.dumps(diagnosed)


@pytest.mark.parametrize(
    ("kind", "words"),
    [("lora", "an adapter for architecture 'qwen2'"), ("draft", "a draft model with 2000 tokens beside")],
)
def test_what_its_header_tells_is_refused_before_anything_is_made(
    deployments: Deployments, tmp_path: Path, kind: str, words: str
) -> None:
    """An adapter of another family, a draft model of another vocabulary."""
    there = files(tmp_path)
    if kind == "lora":
        write_tiny_lora(there[kind], architecture="qwen2")
    else:
        write_tiny_gguf(there[kind], vocab=2000)
    members = {path.name.replace("/", "__"): path.read_bytes() for path in (there["model"], there[kind])}

    ended = deployments.upload(tar_of(**members), "harbour", serverless("llama-cpp"))

    assert ended.status == "FAILED"
    assert f"{there[kind].name!r}: {words}" in (ended.cause or "")
    assert deployments.resources() == NOTHING
