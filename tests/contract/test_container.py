"""The container's life: starting, loading slowly, failing to load, its workers, its disk, its end."""

from __future__ import annotations

import json
import tarfile
import threading
from typing import TYPE_CHECKING

import boto3
import pytest
from moto import mock_aws

from examples.tiny_gguf import ANSWER
from pipeline import package_files
from pipeline.archive.build.assembly import assemble, decide
from pipeline.archive.checks.verify import verify
from pipeline.archive.s3.sources import S3Source
from pipeline.operations import diagnosis
from tasks import diagnose
from tests.contract.conftest import ENVIRONMENT, extracted

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.contract.conftest import Start
    from tools.contract.container import Container, Reply, Stack

CHAT = {
    "messages": [{"role": "user", "content": "What does a sealift do?"}],
    "max_tokens": 60,
    "temperature": 0,
}

TIMEOUT = "SAGEMAKER_MODEL_SERVER_TIMEOUT"
WORKERS = ("SAGEMAKER_MODEL_SERVER_WORKERS", "TS_DEFAULT_WORKERS_PER_MODEL")
TIME_SCALE = 0.05
"""Of the stack's time-outs: its default of 60 s becomes 3 s."""
STACK_TIMEOUT_S = 60
"""The toolkit's default for TIMEOUT."""
SLOW_S = 90 * TIME_SCALE
"""A load that takes longer than the stack's default, and that serverless would still allow."""

SLOW = f"""
import time
from sealift_inference import *
import sealift_inference
def model_fn(model_dir):
    print("LOAD BEGINS", flush=True)
    time.sleep({SLOW_S})
    return sealift_inference.model_fn(model_dir)
"""


UNANSWERED = "Your invocation timed out while waiting for a response from container primary."
"""What SageMaker says of a request that the container did not answer."""
UNANSWERED_S = 5.0
"""How long the test waits for it: a loaded model answers within milliseconds."""


def diagnosed(told: str, container: Container | None = None) -> str:
    """Return the cause that the workflow finds for a smoke test that ended so, with the container's log or without."""
    lines = container.log().splitlines() if container else []
    evidence = tuple(line[:500] for line in diagnosis.pick_evidence(lines, diagnose.LOG_LINES))
    return diagnosis.diagnose({"Error": "SmokeTestFailed", "Cause": told}, {}, evidence).cause_name


def answer(reply: Reply) -> str:
    """Return the text of a good answer."""
    assert reply.status == 200, reply.body
    return str(reply.json()["choices"][0]["message"]["content"]).strip()


def tree(folder: Path) -> dict[str, tuple[int, int]]:
    """Return size and time of change of everything in a folder; a file that was there for a moment changes it too."""
    states = {path: path.stat() for path in sorted(folder.rglob("*")) if path.suffix != ".pyc"}
    return {
        str(path.relative_to(folder)): (state.st_size, state.st_mtime_ns) for path, state in states.items()
    }


def assembled(model: Path, folder: Path) -> Path:
    """Return the archive that the workflow makes of one with just a model in it."""
    bare = folder / "bare.tar.gz"
    with tarfile.open(bare, "w:gz") as tar:
        tar.add(model, arcname=model.name)
    with mock_aws():
        client = boto3.client("s3", region_name="us-east-1")
        client.create_bucket(Bucket="models")
        client.upload_file(str(bare), "models", "model.tar.gz")
        source = S3Source(client, "models", "model.tar.gz")
        report, code = verify(source), package_files.code_contents()
        decision = decide(report, code, bucket="models")
        written = assemble(client, source, report, code, decision)
        client.download_file("models", written.target.key, str(folder / "assembled.tar.gz"))
    assert decision.choice.way in ("splice", "transcode")
    return folder / "assembled.tar.gz"


def test_an_archive_that_the_workflow_assembled_is_served(model: Path, start: Start, tmp_path: Path) -> None:
    """Somebody uploads a bare model; what becomes of it answers like what `sealift pack` makes."""
    container = start(extracted(assembled(model, tmp_path), tmp_path / "ml"))
    container.until_up()

    assert answer(container.invoke(**CHAT)) == ANSWER


def test_ping_is_200_before_the_model_is_loaded_and_requests_wait(
    wrapped: Callable[[str], Path], start: Start
) -> None:
    """So SageMaker says InService too early; with the profile's time-out no request is lost by it."""
    scaled = {**ENVIRONMENT, TIMEOUT: str(round(int(ENVIRONMENT[TIMEOUT]) * TIME_SCALE))}
    container = start(wrapped(SLOW), scaled)

    assert container.until_up().status == 200
    assert "Backend response time" not in container.log(), "it was loaded before /ping answered"
    early: list[Reply] = []
    clients = [threading.Thread(target=lambda: early.append(container.invoke(**CHAT))) for _ in range(2)]
    for client in clients:
        client.start()
    for client in clients:
        client.join()

    assert [answer(reply) for reply in early] == [ANSWER, ANSWER]
    assert container.log().count("LOAD BEGINS") == 1


def test_a_slow_load_starts_over_for_ever_at_the_stacks_default_timeout(
    wrapped: Callable[[str], Path], start: Start
) -> None:
    """The same load without the profile's time-out: why the profile has it."""
    scaled = {**ENVIRONMENT, TIMEOUT: str(round(STACK_TIMEOUT_S * TIME_SCALE))}
    container = start(wrapped(SLOW), scaled)
    container.until_up()

    container.until(lambda: container.log().count("LOAD BEGINS") >= 3, "third attempt to load")
    assert "Backend worker did not respond in given time" in container.log()
    assert container.ping().status == 200


def test_a_model_that_does_not_load_answers_with_the_reason(
    archive: Path, start: Start, tmp_path: Path
) -> None:
    """/ping stays at 200, so only the smoke test can tell; the answer, and the log alone, both give the cause."""
    base = extracted(archive, tmp_path / "ml")
    gguf = next((base / "model").glob("*.gguf"))
    with gguf.open("r+b") as file:
        file.truncate(gguf.stat().st_size * 3 // 4)
    container = start(base)

    assert container.until_up().status == 200
    reply = container.invoke(**CHAT)

    assert (reply.status, reply.content_type) == (500, "application/json")
    reason = reply.json()["error"]["message"]
    assert f"LoadError: model file {gguf.name!r} cannot be loaded" in reason
    assert b"Traceback" not in reply.body
    assert container.ping().status == 200
    container.until(lambda: reason in container.log(), "the reason in the log")
    told = f"endpoint 'x' answered 'y' with status 500: {reply.body.decode()}"
    assert diagnosed(told) == "ModelCutShort"
    assert diagnosed(UNANSWERED, container) == "ModelCutShort"


def test_code_that_cannot_be_imported_leaves_requests_unanswered_and_a_cause_in_the_log(
    wrapped: Callable[[str], Path], start: Start
) -> None:
    """The stack starts its worker over for ever and says 200 to /ping; SageMaker gives up on the request after 60 s."""
    container = start(wrapped("import a_module_that_nobody_has\n"))

    assert container.until_up().status == 200
    container.until(lambda: container.log().count("Retry worker") >= 3, "third attempt to start the worker")
    # TorchServe loses the end of many a traceback, so the first three attempts may all lack theirs.
    container.until(lambda: "No module named" in container.log(), "traceback with its end")
    with pytest.raises(TimeoutError):
        container.ask("POST", "/invocations", json.dumps(CHAT), timeout_s=UNANSWERED_S)
    assert container.ping().status == 200
    assert diagnosed(UNANSWERED, container) == "ModuleNotFound"


@pytest.mark.parametrize(
    ("without", "workers"),
    [
        pytest.param((), 1, id="with the profile's environment, one"),
        pytest.param(WORKERS, 2, id="without its two variables, one for each CPU"),
    ],
)
def test_workers_on_a_machine_with_two_cpus(
    archive: Path, start: Start, tmp_path: Path, without: tuple[str, ...], workers: int
) -> None:
    """Every worker is a copy of the model in memory."""
    environment = {name: value for name, value in ENVIRONMENT.items() if name not in without}
    container = start(
        extracted(archive, tmp_path / "ml"),
        {**environment, "JAVA_TOOL_OPTIONS": "-XX:ActiveProcessorCount=2"},
    )
    container.until_up()
    loaded = container.until(
        lambda: container.log().count("Backend response time") >= workers, f"{workers} loaded workers"
    )

    assert loaded
    assert "Number of CPUs: 2" in container.log()
    assert answer(container.invoke(**CHAT)) == ANSWER
    assert container.kinds().count("worker") == workers


def test_the_model_is_served_from_a_folder_that_nothing_is_written_to(
    archive: Path, stack: Stack, start: Start, tmp_path: Path
) -> None:
    """Serverless gives no right to write there; and nothing is installed, copied or zipped at start."""
    base = extracted(archive, tmp_path / "ml")
    folder = base / "model"
    gguf = next(folder.glob("*.gguf"))
    packages = stack.python.parent.parent / "lib"
    for path in (folder, *folder.rglob("*")):
        path.chmod(path.stat().st_mode & ~0o222)
    try:
        before, installed = tree(folder), tree(packages)
        # Root may write all the same, and would have Python's cache there.
        container = start(base, {**ENVIRONMENT, "PYTHONDONTWRITEBYTECODE": "1"})
        container.until_up()
        said = answer(container.invoke(**CHAT))
        written = {
            str(path.relative_to(container.scratch)): path.stat().st_size
            for path in container.scratch.rglob("*")
            if path.is_file()
        }
        after = tree(folder)
    finally:
        for path in (folder, *folder.rglob("*")):
            path.chmod(path.stat().st_mode | 0o200)

    assert said == ANSWER
    assert after == before
    assert tree(packages) == installed
    assert "installing packages" not in container.log()
    assert sum(written.values()) < gguf.stat().st_size / 2, f"what the stack wrote: {written}"


def test_nothing_that_pip_would_install_travels(archive: Path, tmp_path: Path) -> None:
    """The toolkit pip-installs code/requirements.txt before it starts, which compiles llama.cpp."""
    base = extracted(archive, tmp_path / "ml")

    assert not list((base / "model").rglob("requirements*"))


def test_the_runtime_is_the_one_that_the_archive_brought(served: Container, stack: Stack) -> None:
    """The image has no llama.cpp; neither has the environment that plays it."""
    assert answer(served.invoke(**CHAT)) == ANSWER

    assert not list((stack.python.parent.parent / "lib").rglob("llama_cpp"))
    loaded = {m.path for process in served.processes() for m in process.memory_maps() if "libllama" in m.path}
    assert len(loaded) == 1
    assert loaded.pop().startswith(str(served.base / "model" / "code"))


def test_sigterm_ends_every_process(archive: Path, start: Start, tmp_path: Path) -> None:
    """SageMaker sends it to the entry point alone, and kills what is left 30 s later."""
    container = start(extracted(archive, tmp_path / "ml"))
    container.until_up()
    assert answer(container.invoke(**CHAT)) == ANSWER
    assert {"entry point", "java", "worker"} <= set(container.kinds())

    container.terminate()

    assert container.processes() == []
