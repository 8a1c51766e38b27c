"""`sealift plan` on archives of any size: the header is true, and what lies behind it is a hole in the file."""

from __future__ import annotations

import json
import struct
import tarfile
from dataclasses import replace
from datetime import date
from io import BytesIO
from typing import TYPE_CHECKING, Any

import boto3
import pytest
from moto import mock_aws

from benchmarks import shapes
from benchmarks.shapes import ModelShape
from examples.tiny_encoder import write_tiny_encoder
from examples.tiny_gguf import write_tiny_gguf
from pipeline import cli, documents, plan, resources
from pipeline.archive.inspect import inspect
from pipeline.archive.pack import pack
from pipeline.archive.sources import FileSource

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

STORED = 0xFFFF
READ_MOST = 16 << 20


def archive_of(model: ModelShape, folder: Path, name: str = "model.gguf") -> Path:
    """Return a tar.gz of stored blocks that are written as far as the GGUF's header goes."""
    gguf = shapes.sparse(model, folder / name)
    member = tarfile.TarInfo(name)
    member.size = gguf.stat().st_size
    with gguf.open("rb") as file:
        plain = BytesIO(member.tobuf(tarfile.GNU_FORMAT) + file.read(12 << 20))
    path = folder / "harbour" / "model.tar.gz"
    path.parent.mkdir()
    with path.open("wb") as archive:
        archive.write(b"\x1f\x8b\x08" + bytes(6) + b"\xff")
        while piece := plain.read(STORED):
            archive.write(struct.pack("<BHH", 0, len(piece), len(piece) ^ 0xFFFF) + piece)
        whole = member.size + 3 * 512
        archive.truncate(10 + whole + 5 * -(-whole // STORED) + 8)
    gguf.unlink()
    return path


def planned(
    capsys: pytest.CaptureFixture[str], path: Path | str, *options: str
) -> tuple[int, dict[str, Any]]:
    """Return the exit status and the document of `sealift plan --json`."""
    status = cli.main(["plan", str(path), "--json", *options])
    return status, json.loads(capsys.readouterr().out)


@pytest.fixture(scope="module")
def llama_1b(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An archive of the shape of Llama 3.2 1B, Q4_K_M."""
    return archive_of(shapes.LLAMA_1B, tmp_path_factory.mktemp("1b"))


@pytest.mark.parametrize(
    ("quantization", "size"),
    [pytest.param("Q4_K_M", 16.5e9, id="Q4_K_M, 16.5 GB"), pytest.param("Q8_0", 28.7e9, id="Q8_0, 28.7 GB")],
)
def test_a_27b_model_is_refused_from_its_first_megabytes(
    quantization: str, size: float, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """All true reasons, what would fit, and a few megabytes read of many gigabytes."""
    path = archive_of(replace(shapes.GEMMA_27B, quantization=quantization), tmp_path)

    status, document = planned(capsys, path)

    assert (status, document["verdict"], document["memory_mb"]) == (1, "refused", None)
    assert document["size"] == pytest.approx(size, rel=0.01)
    assert document["bytes_read"] < READ_MOST
    assert [problem["error"] for problem in document["problems"]] == [
        "ArchiveTooLarge",
        "TooMuchMemory",
        "TooMuchDisk",
        "TooSlowToStart",
    ]
    assert [(one["kind"], one["value"]) for one in document["alternatives"]] == [("instance", "ml.r5.xlarge")]


def test_a_1b_model_fits(llama_1b: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The size, the arithmetic, and the names of what would be created."""
    status, document = planned(capsys, llama_1b)

    assert (status, document["verdict"], document["memory_mb"]) == (0, "fits", 2048)
    assert document["names"]["endpoint"] == "harbour-<digest>"
    assert document["bytes_read"] < READ_MOST
    assert document["problems"] == document["alternatives"] == []
    assert document["fit"]["memory_bytes"] == sum(line["bytes"] for line in document["fit"]["lines"])


@pytest.mark.parametrize(
    ("options", "expected", "error"),
    [
        pytest.param(["--memory-mb", "4096"], (0, 4096), None, id="more than is needed"),
        pytest.param(["--memory-mb", "1024"], (1, None), "MemoryTooSmall", id="less than is needed"),
        pytest.param(["--n-ctx", "8192"], (0, 3072), None, id="a longer context"),
        pytest.param(["--n-ctx", "32768"], (1, None), "AboveQuota", id="a context beyond the quota"),
        pytest.param(["--n-ctx", "131072"], (1, None), "TooMuchMemory", id="a context beyond every size"),
    ],
)
def test_the_options_are_planned_with(
    llama_1b: Path,
    capsys: pytest.CaptureFixture[str],
    options: list[str],
    expected: tuple[int, int | None],
    error: str | None,
) -> None:
    """Context length and memory size as they would stand in the execution's input."""
    status, document = planned(capsys, llama_1b, *options)

    assert (status, document["memory_mb"]) == expected
    assert [problem["error"] for problem in document["problems"]] == ([error] if error else [])


def test_the_terminal_shows_every_line(llama_1b: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Verdict first, then each budget's sum, then what would be created."""
    status = cli.main(["plan", str(llama_1b)])
    told = capsys.readouterr().out

    assert status == 0
    assert told.startswith("model.tar.gz: fits 2048 MB")
    for word in (
        "weights",
        "kv cache",
        "compute",
        "server",
        "reserve",
        "disk:",
        "start-up:",
        "harbour-<digest>",
    ):
        assert word in told


def test_the_terminal_shows_why_not_and_what_would(
    llama_1b: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """What was seen and wanted, and the alternatives once."""
    status = cli.main(["plan", str(llama_1b), "--n-ctx", "32768"])
    told = capsys.readouterr().out

    assert status == 1
    assert told.startswith("model.tar.gz: refused")
    assert told.count("set n_ctx to ") == 1
    for word in ("AboveQuota", "seen", "wanted", "what would fit", "AWS Support"):
        assert word in told


def test_a_bare_gguf_can_be_planned_with(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Before it is packed: the note says that it must be."""
    status, document = planned(capsys, shapes.sparse(shapes.LLAMA_1B, tmp_path / "model.gguf"))

    assert (status, document["memory_mb"]) == (0, 2048)
    assert "sealift pack" in document["notes"][0]


def test_what_was_not_read_of_a_split_model_counts(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The first megabytes show the first shard; the others are weights all the same."""
    path = archive_of(replace(shapes.LLAMA_1B, shards=2), tmp_path, "model-00001-of-00002.gguf")

    status, document = planned(capsys, path)

    assert status == 0
    assert document["fit"]["lines"][0]["bytes"] == document["size"]
    assert "1 of 2 shards" in document["notes"][0]


def test_what_is_no_archive_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Without a header there is no fit, only the archive's own problem."""
    path = tmp_path / "model.tar.gz"
    path.write_bytes(b"nothing of the kind" * 1000)

    status, document = planned(capsys, path)

    assert (status, document["fit"]) == (1, None)
    assert [problem["error"] for problem in document["problems"]] == ["NotAnArchive"]


def test_the_settings_beside_the_archive_count(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """As in the workflow: deployment.json gives a service its own; the command line wins."""
    path = archive_of(shapes.LLAMA_1B, tmp_path)
    path.with_name("deployment.json").write_text('{"service": "pier", "inference": {"n_ctx": 8192}}')

    _, beside = planned(capsys, path)
    _, said = planned(capsys, path, "--n-ctx", "2048")

    assert (beside["memory_mb"], beside["names"]["model"]) == (3072, "pier-<digest>")
    assert said["memory_mb"] == 2048


def test_a_wrong_setting_is_told(llama_1b: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """By the request's own parser."""
    assert cli.main(["plan", str(llama_1b), "--memory-mb", "1000"]) == 1
    assert "command line: --memory-mb is 1000" in capsys.readouterr().err


@mock_aws
def test_an_object_is_planned_as_the_workflow_plans_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """PlanDeployment's figures for an archive in S3, line by line."""
    small = ModelShape("llama", 1, 256, 4, 2, 64, 256, 4000, 3000, quantization="F16")
    model = shapes.write(small, tmp_path / "model.gguf")
    packed = pack(model, tmp_path / "model.tar.gz", code=resources.code())
    s3 = boto3.client("s3", region_name="us-east-1")
    s3.create_bucket(Bucket="uploads")
    s3.upload_file(str(packed.path), "uploads", "models/harbour/model.tar.gz")

    status, document = planned(capsys, "s3://uploads/models/harbour/model.tar.gz", "--n-ctx", "4096")

    location = {"bucket": "uploads", "key": "models/harbour/model.tar.gz"}
    defaults: documents.StackDefaults = {
        "execution_role_arn": "arn:aws:iam::123456789012:role/sealift-endpoint",
        "endpoint_role_arns": "",
        "account_id": "123456789012",
        "region": "us-east-1",
        "container": "pytorch",
        "image_uri": "",
        "consumer_function_name": "",
        "consumer_function_pattern": "*",
        "artifact_bucket": "artifacts",
        "allow_archive_code": "false",
    }
    report = inspect(FileSource(packed.path))
    assert report.model is not None
    figures = {
        "size": packed.size,
        "extracted_bytes": packed.extracted_bytes,
        "version_id": None,
        "etag": "0",
    }
    made = plan.plan(
        plan.Facts(
            request=documents.request({"archive": location, "inference": {"n_ctx": 4096}}, None, defaults),
            archive={**location, **figures, "last_modified": "2026-01-02T03:04:05Z"},
            model=report.model.to_json(),
            assembly={"bucket": "artifacts", "key": "archives/0a1b/model.tar.gz"},
            execution="arn:aws:states:us-east-1:123456789012:execution:sealift-deployment:harbour",
            region="us-east-1",
            today=date(2024, 1, 2),
        )
    )
    assert status == 0
    assert document["fit"] == made["fit"]
    assert document["memory_mb"] == made["memory_mb"]
    assert document["arithmetic"] == made["arithmetic"]
    assert document["names"]["endpoint"].partition("-")[0] == made["names"]["endpoint"].partition("-")[0]


def test_what_an_ordinary_accounts_quotas_will_do_is_told_beforehand(
    llama_1b: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """More memory than such an account allows, where less holds the model too: the step down is in the plan."""
    status, document = planned(capsys, llama_1b, "--memory-mb", "4096")

    assert (status, document["memory_mb"]) == (0, 4096)
    assert [(step["asked"], step["did"]) for step in document["steps"]] == [
        ("4096 MB", "step down to 3072 MB")
    ]

    cli.main(["plan", str(llama_1b), "--memory-mb", "4096"])
    assert "an ordinary account allows 3072 MB: step down to 3072 MB" in " ".join(
        capsys.readouterr().out.split()
    )


def test_in_place_the_endpoint_has_the_services_name(
    llama_1b: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Model and configuration are named after their content all the same."""
    sidecar = llama_1b.with_name("deployment.json")
    sidecar.write_text('{"strategy": "in_place"}')
    try:
        _, document = planned(capsys, llama_1b)
    finally:
        sidecar.unlink()

    assert document["names"]["endpoint"] == "harbour"
    assert document["names"]["model"] == "harbour-<digest>"


# ------------------------------------------------------------------- on instances


@pytest.fixture(scope="module")
def gemma_27b(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The customer's model as it is: a true header, and a hole of its true size."""
    folder = tmp_path_factory.mktemp("harbour")
    return shapes.sparse(shapes.GEMMA_27B, folder / "gemma.gguf")


def test_a_model_too_big_for_serverless_fits_an_instance(
    gemma_27b: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The type, two faster ones, price and arithmetic of each; only the header is read."""
    status, document = planned(capsys, gemma_27b, "--hosting", "instance")

    assert (status, document["verdict"], document["hosting"]) == (0, "fits", "instance")
    assert (document["memory_mb"], document["max_concurrency"]) == (None, None)
    assert document["bytes_read"] < READ_MOST
    on = document["instances"]
    assert [one["name"] for one in on["offers"]] == ["ml.r5.xlarge", "ml.m5.2xlarge", "ml.c5.4xlarge"]
    assert on["usd_per_hour"] == 0.302
    assert all(one["memory"] and one["speed"] and one["price"] for one in on["offers"])


def test_auto_proposes_an_instance_with_its_price(
    gemma_27b: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """And refuses to take it by itself; the `deployment.json` beside the model may allow it."""
    status = cli.main(["plan", str(gemma_27b), "--hosting", "auto"])
    said = " ".join(capsys.readouterr().out.split())

    assert status == 1
    assert "InstanceNotAllowed" in said
    assert "set allow_instances to true for 1 x ml.r5.xlarge, $0.302 an hour, $220 a month" in said
    assert "about 0.62 tokens/s" in said
    beside = gemma_27b.with_name(documents.SIDECAR)
    beside.write_text(json.dumps({"hosting": "auto", "allow_instances": True}))
    try:
        status, document = planned(capsys, gemma_27b)
    finally:
        beside.unlink()
    assert (status, document["hosting"]) == (0, "instance")


def test_auto_is_serverless_for_an_archive_that_fits(
    llama_1b: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The same answer as without it."""
    plain = planned(capsys, llama_1b)[1]
    auto = planned(capsys, llama_1b, "--hosting", "auto")[1]

    assert {**auto, "seconds": 0} == {**plain, "seconds": 0}


def test_an_instance_that_is_too_small_is_refused(
    gemma_27b: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """With the type to take."""
    options = ("--hosting", "instance", "--instance-type", "ml.m5.large")
    status, document = planned(capsys, gemma_27b, *options)

    assert status == 1
    assert [one["error"] for one in document["problems"]] == ["InstanceTooSmall"]
    assert document["problems"][0]["fix"] == "set instance_type to 'ml.r5.xlarge'"


def test_a_missing_shard_is_named(gemma_27b: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Next to the first one, where all of them have to be."""
    first = gemma_27b.with_name("split-00001-of-00002.gguf")
    first.symlink_to(gemma_27b)

    assert cli.main(["plan", str(first), "--hosting", "instance"]) == 1
    assert "split-00002-of-00002.gguf" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("write", "words"),
    [
        pytest.param(
            lambda path: write_tiny_gguf(path, template=False), "a base model: it completes", id="base"
        ),
        pytest.param(write_tiny_encoder, 'an embedding model: it answers {"input": ...}', id="embedding"),
    ],
)
def test_how_a_model_is_asked_is_a_note(
    write: Callable[[Path], Path], words: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """It fits, and whoever has its plan knows that it does not chat."""
    status, document = planned(capsys, write(tmp_path / "model.gguf"))

    assert (status, document["verdict"]) == (0, "fits")
    assert any(words in note for note in document["notes"])


def test_a_container_that_has_no_embeddings_is_told_in_the_plan(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """With the ones that have."""
    path = write_tiny_encoder(tmp_path / "model.gguf")

    status, document = planned(capsys, path, "--container", "llama-cpp")

    (problem,) = document["problems"]
    assert (status, problem["error"]) == (1, "EmbeddingsNotServed")
    assert '"pytorch"' in problem["fix"]
