"""`sealift plan` on archives of any size: the header is true, and what lies behind it is a hole in the file."""

from __future__ import annotations

import json
import random
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
from pipeline import __version__, cli, naming, package_files, payload
from pipeline.archive.build.pack import pack
from pipeline.archive.checks.inspect import inspect
from pipeline.archive.checks.rules import Rules
from pipeline.archive.s3.sources import FileSource
from pipeline.cli.commands import plan as plan_command
from pipeline.errors import ModelDoesNotFit
from pipeline.planning import deployment_request, plan, request_sources
from pipeline.stack import change_sets
from tests.stack_defaults import DEFAULTS

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


def lengthened(gguf: Path, size: int = 20 << 20) -> Path:
    """Return the same model, its header longer by a metadata entry that is walked over as a vocabulary is."""
    whole = gguf.stat().st_size
    with gguf.open("rb") as file:
        head = file.read(12 << 20)
    version, n_tensors, n_metadata = struct.unpack_from("<IQQ", head, 4)
    key = b"long".ljust(40, b"x")
    entry = struct.pack("<Q", len(key)) + key + struct.pack("<IIQ", 9, 0, size) + bytes(size)
    assert len(entry) % 32 == 0  # the data section stays aligned
    with gguf.open("wb") as file:
        file.write(b"GGUF" + struct.pack("<IQQ", version, n_tensors, n_metadata + 1) + entry + head[24:])
        file.truncate(whole + len(entry))
    return gguf


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
    ("quantization", "size", "instance"),
    [
        pytest.param("Q4_K_M", 16.5e9, "ml.g6.xlarge", id="Q4_K_M, 16.5 GB"),
        pytest.param("Q8_0", 28.7e9, "ml.c7i.8xlarge", id="Q8_0, 28.7 GB"),
    ],
)
def test_a_27b_model_is_refused_from_its_first_megabytes(
    quantization: str, size: float, instance: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
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
    assert [(one["kind"], one["value"]) for one in document["alternatives"]] == [("instance", instance)]


def test_a_1b_model_fits(llama_1b: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The size, the arithmetic, and the names of what would be created."""
    status, document = planned(capsys, llama_1b)

    assert (status, document["verdict"], document["memory_mb"]) == (0, "fits", 2048)
    assert document["names"]["endpoint"] == "harbour-<digest>"
    assert document["bytes_read"] < READ_MOST
    assert document["problems"] == document["alternatives"] == []
    assert document["fit"]["memory_bytes"] == sum(line["bytes"] for line in document["fit"]["lines"])


def test_a_model_that_breaks_the_disk_is_planned_into_the_image(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """With our own image, by itself; asked for an archive, it is refused for the disk; the terminal shows the sum."""
    path = archive_of(replace(shapes.LLAMA_8B, quantization="Q4_K_M"), tmp_path)
    ours = ("--container", "custom", "--memory-mb", "6144")

    status, document = planned(capsys, path, *ours)
    refused, archive = planned(capsys, path, *ours, "--artifact", "archive")
    cli.main(["plan", str(path), *ours])
    shown = capsys.readouterr().out

    assert (status, document["artifact"], document["memory_mb"]) == (0, "image", 6144)
    assert [line["name"] for line in document["fit"]["image"]] == ["server", "model files"]
    assert (refused, archive["artifact"]) == (1, "archive")
    assert [one["error"] for one in archive["problems"]] == ["TooMuchDisk"]
    assert "image: 5,1" in shown
    assert "only an account tells" in " ".join(shown.split())


def test_an_image_of_awss_holds_no_model(llama_1b: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The option is named as it was written."""
    status = cli.main(["plan", str(llama_1b), "--container", "pytorch", "--artifact", "image"])

    assert status != 0
    assert "--artifact is 'image'" in capsys.readouterr().err


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
    """As the archive that a push makes of it on its way; the note says so."""
    model = shapes.sparse(shapes.LLAMA_1B, tmp_path / "model.gguf")
    status, document = planned(capsys, model)
    _, packed = planned(capsys, archive_of(shapes.LLAMA_1B, tmp_path))

    assert (status, document["memory_mb"], document["format"]) == (0, 2048, "tar.gz")
    assert document["notes"][0] == "a bare GGUF: `sealift push` packs it while it is uploaded"
    # The archive of the fixture has no end of a tar.
    assert 0 <= document["size"] - packed["size"] < 2048


def test_a_header_longer_than_the_first_megabytes_is_planned_with(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """As far as it goes: Gemma 4's has more than 15 MiB."""
    model = lengthened(shapes.sparse(shapes.LLAMA_1B, tmp_path / "model.gguf"))

    for hosting in ("serverless", "instance"):
        status, document = planned(capsys, model, "--hosting", hosting)
        assert status == 0
        assert document["model"]["architecture"] == "llama"
        assert document["bytes_read"] < 40 << 20


def test_a_model_behind_a_large_member_is_planned_with(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """In whatever order somebody packed it."""
    shape = replace(shapes.LLAMA_1B, vocabulary=1000, embedding=256, feed_forward=256)
    gguf = shapes.sparse(shape, tmp_path / "model.gguf")
    noise = tmp_path / "noise"
    noise.write_bytes(random.Random(0).randbytes(20 << 20))
    code = tmp_path / "code" / "inference.py"
    code.parent.mkdir()
    code.write_bytes(b"")
    path = tmp_path / "model.tar.gz"
    with tarfile.open(path, "w:gz", compresslevel=1) as archive:
        for file in (noise, code, gguf):
            archive.add(file, file.relative_to(tmp_path))

    status, document = planned(capsys, path)

    assert (status, document["model"]["architecture"]) == (0, "llama")


def test_a_search_that_ended_early_is_the_reason(llama_1b: Path) -> None:
    """A plan that cannot be made says why, in a problem of its own."""
    archive = {"bucket": "uploads", "key": "models/harbour/model.tar.gz"}
    request = deployment_request.request({"archive": archive}, None, DEFAULTS)
    report = inspect(
        FileSource(llama_1b), rules=Rules(inspect_bytes=1 << 20, header_bytes=1 << 20), seek=True
    )

    made = plan_command.decide(report, request, date(2026, 1, 2))

    assert not made.fits
    assert [problem.error for problem in made.problems] == ["HeaderNotReached"]


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
    assert cli.main(["plan", str(llama_1b), "--memory-mb", "1000"]) == cli.USAGE
    assert "command line: --memory is 1000" in capsys.readouterr().err


@mock_aws
def test_an_object_is_planned_as_the_workflow_plans_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """PlanDeployment's figures for an archive in S3, line by line."""
    small = ModelShape("llama", 1, 256, 4, 2, 64, 256, 4000, 3000, quantization="F16")
    model = shapes.write(small, tmp_path / "model.gguf")
    packed = pack(model, tmp_path / "model.tar.gz", code=package_files.code())
    s3 = boto3.client("s3", region_name="us-east-1")
    s3.create_bucket(Bucket="uploads")
    s3.upload_file(str(packed.path), "uploads", "models/harbour/model.tar.gz")

    status, document = planned(capsys, "s3://uploads/models/harbour/model.tar.gz", "--n-ctx", "4096")

    location = {"bucket": "uploads", "key": "models/harbour/model.tar.gz"}
    report = inspect(FileSource(packed.path))
    assert report.model is not None
    figures = {
        "size": packed.size,
        "extracted_bytes": packed.extracted_bytes,
        "version_id": None,
        "etag": "0",
    }
    made = plan.plan(
        plan.PlanFacts(
            request=deployment_request.request(
                {"archive": location, "inference": {"n_ctx": 4096}}, None, DEFAULTS
            ),
            archive={**location, **figures, "last_modified": "2026-01-02T03:04:05Z"},
            model=report.model.to_json(),
            assembly={"bucket": "artifacts", "key": "archives/0a1b/model.tar.gz"},
            execution="arn:aws:states:us-east-1:123456789012:execution:sealift-deployment:harbour",
            region="us-east-1",
            today=date(2024, 1, 2),
        )
    )
    assert status == 0
    assert document["fit"] == made.fit
    assert document["memory_mb"] == made.memory_mb
    assert document["arithmetic"] == made.arithmetic
    assert document["names"]["endpoint"].partition("-")[0] == made.names.endpoint.partition("-")[0]


OWN_TYPE = {
    "name": "ml.own.large",
    "vcpus": 2,
    "memory_gib": 64,
    "usd_per_hour": 0.01,
    "memory_bandwidth_gb_s": 10,
}


@pytest.mark.parametrize(
    ("shape", "fields"),
    [
        pytest.param(shapes.LLAMA_1B, {}, id="it fits"),
        pytest.param(shapes.GEMMA_4B, {"instance_types": [OWN_TYPE]}, id="a type of the request's would do"),
        pytest.param(shapes.LLAMA_1B, {"hosting": "auto"}, id="auto, and it fits"),
        pytest.param(shapes.GEMMA_4B, {"hosting": "auto", "memory_mb": 6144}, id="auto, with a warning"),
        pytest.param(shapes.GEMMA_4B, {"hosting": "auto"}, id="auto, and no instance is allowed"),
        pytest.param(shapes.GEMMA_4B, {"hosting": "auto", "allow_instances": True}, id="auto, on instances"),
        pytest.param(shapes.GEMMA_4B, {"hosting": "instance", "instance_count": 2}, id="on instances"),
        pytest.param(
            shapes.GEMMA_4B,
            {"hosting": "instance", "instance_type": "ml.t2.medium"},
            id="on too small a type",
        ),
    ],
)
def test_what_is_shown_is_what_the_workflow_decides(
    tmp_path: Path, shape: shapes.ModelShape, fields: dict[str, Any]
) -> None:
    """The same size or the same refusal, and every note of the plan."""
    files = [FileSource(archive_of(shape, tmp_path))]
    location = {"bucket": "uploads", "key": "models/harbour/model.tar.gz"}
    request = deployment_request.request({"archive": location, **fields}, None, DEFAULTS)
    report = plan_command.inspect_sources(files, request)
    assert report.model is not None
    figures = {
        "size": report.size,
        "extracted_bytes": report.extracted_bytes,
        "version_id": None,
        "etag": "0",
    }
    facts = plan.PlanFacts(
        request=request,
        archive={**location, **figures, "last_modified": "2026-01-02T03:04:05Z"},
        model=report.model.to_json(),
        assembly={"bucket": "artifacts", "key": "archives/0a1b/model.tar.gz"},
        execution="arn:aws:states:us-east-1:123456789012:execution:sealift-deployment:harbour",
        region="us-east-1",
        today=date(2026, 1, 2),
    )

    shown = plan_command.decide(report, request, date(2026, 1, 2))

    if not shown.fits:
        with pytest.raises(ModelDoesNotFit) as refusal:
            plan.plan(facts)
        assert shown.problems == refusal.value.problems
        return
    made = plan.plan(facts)
    assert (shown.hosting, shown.decision.memory_mb) == (made.hosting, made.memory_mb)
    assert shown.offers == (made.instances.offers if made.instances else ())
    assert set(made.notes) <= set(payload.cut_all(shown.notes))


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
    assert [one["name"] for one in on["offers"]] == ["ml.g6.xlarge", "ml.g5.xlarge", "ml.g6e.xlarge"]
    assert on["usd_per_hour"] == 1.1267
    assert all(one["first_token_s"] for one in on["offers"])
    assert document["container"] == "llama-cpp"
    assert document["arithmetic"].startswith("63 of 63 layers on 1 x L4")
    assert all(one["memory"] and one["speed"] and one["price"] for one in on["offers"])


def test_auto_proposes_an_instance_with_its_price(
    gemma_27b: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """And refuses to take it by itself; the `deployment.json` beside the model may allow it."""
    status = cli.main(["plan", str(gemma_27b), "--hosting", "auto"])
    said = " ".join(capsys.readouterr().out.split())

    assert status == 1
    assert "InstanceNotAllowed" in said
    assert "set allow_instances to true for 1 x ml.g6.xlarge, $1.1267 an hour, $822 a month" in said
    assert "about 13 tokens/s, the first after 0.91 s of 512 tokens of prompt" in said
    assert "container 'llama-cpp' is chosen: on instances" in said
    assert "container 'pytorch' is chosen" not in said
    beside = gemma_27b.with_name(request_sources.SIDECAR)
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
    assert document["problems"][0]["fix"] == "set instance_type to 'ml.g6.xlarge'"


# ------------------------------------------------------------------ split models

COUNT = 3


@pytest.fixture
def shards(tmp_path: Path) -> list[Path]:
    """A model split in three, its description in the first."""
    folder = tmp_path / "harbour"
    folder.mkdir()
    write_tiny_gguf(folder / "m.gguf", layers=1, ctx=512, shard_tensors=5)
    (folder / "m.gguf").unlink(missing_ok=True)
    found = sorted(folder.glob("*.gguf"))
    assert len(found) == COUNT
    return found


@pytest.mark.parametrize("hosting", ["serverless", "instance"])
@pytest.mark.parametrize("named", [[0], [1], [2], [0, 1, 2], [2, 0], "folder"], ids=str)
def test_a_split_model_is_planned_by_any_of_its_shards(
    named: list[int] | str, hosting: str, shards: list[Path], capsys: pytest.CaptureFixture[str]
) -> None:
    """One of them, all of them, or their folder: the sum of all is what counts."""
    files = [str(shards[0].parent)] if isinstance(named, str) else [str(shards[number]) for number in named]

    status = cli.main(["plan", *files, "--json", "--hosting", hosting])
    document = json.loads(capsys.readouterr().out)

    assert status == 0
    model = document["model"]
    assert (model["shards_read"], model["path"]) == (COUNT, shards[0].name)
    bare = sum(path.stat().st_size for path in shards)
    blocks = 5 * bare // 65535
    assert (document["size"] == bare) is (hosting == "instance")
    assert bare <= document["size"] <= bare + blocks + 2048 * len(shards)
    assert document["fit"]["lines"][0]["bytes"] == model["tensor_bytes"]
    assert not [note for note in document["notes"] if "shards were read" in note]


@pytest.mark.parametrize("hosting", ["serverless", "instance", "auto"])
@pytest.mark.parametrize("gone", range(COUNT))
@pytest.mark.parametrize("command", ["plan", "check"])
def test_the_shards_that_are_missing_are_named(
    command: str, gone: int, hosting: str, shards: list[Path], capsys: pytest.CaptureFixture[str]
) -> None:
    """Exactly those, whichever is asked about."""
    shards[gone].unlink()
    options = ["--hosting", hosting] if command == "plan" else []

    for path in shards:
        if path == shards[gone]:
            continue
        assert cli.main([command, str(path), "--json", *options]) == 1
        (problem,) = json.loads(capsys.readouterr().out)["problems"]
        assert problem["error"] == "ShardsIncomplete"
        assert f"2 of 3 shards of 'm'; missing: '{shards[gone].name}'" in problem["seen"]


@mock_aws
@pytest.mark.parametrize("gone", [None, 0, 2])
def test_a_split_model_in_a_bucket_is_planned_by_any_of_its_shards(
    gone: int | None, shards: list[Path], capsys: pytest.CaptureFixture[str]
) -> None:
    """The others are looked for below the same prefix; those that are not there are named."""
    s3 = boto3.client("s3", region_name="us-east-1")
    s3.create_bucket(Bucket="uploads")
    for number, path in enumerate(shards):
        if number != gone:
            s3.upload_file(str(path), "uploads", f"models/harbour/{path.name}")

    status, document = planned(
        capsys, f"s3://uploads/models/harbour/{shards[1].name}", "--hosting", "instance"
    )

    assert status == (0 if gone is None else 1)
    missing = [problem["seen"].rpartition("missing: ")[2] for problem in document["problems"]]
    assert missing == ([] if gone is None else [repr(shards[gone].name)])


def test_a_split_model_is_checked_as_a_whole(shards: list[Path], capsys: pytest.CaptureFixture[str]) -> None:
    """Serverless takes an archive: the command that makes one of all shards is told."""
    assert cli.main(["check", str(shards[1])]) == 1
    told = capsys.readouterr().out

    assert "3 shards" in told
    assert "sealift pack m-00001-of-00003.gguf" in told


def test_an_archive_of_all_shards_is_accepted(
    shards: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """As `pack` makes it of any of them."""
    packed = tmp_path / "model.tar.gz"
    assert cli.main(["pack", str(shards[2]), "--output", str(packed)]) == 0

    for command in ("plan", "check"):
        capsys.readouterr()
        assert cli.main([command, str(packed), "--json"]) == 0
        assert json.loads(capsys.readouterr().out)["model"]["shards_read"] == COUNT


def test_several_files_are_one_model(
    shards: list[Path], llama_1b: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Two archives are two plans."""
    for files in ([shards[0], llama_1b], [llama_1b, shards[0]]):
        assert cli.main(["plan", *map(str, files)]) == cli.USAGE
        assert "run the command once for each" in capsys.readouterr().err


@pytest.mark.parametrize("command", ["plan", "check"])
def test_a_folder_stands_for_the_one_model_in_it(
    command: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Two models, or a pointer in the model's place, are told with the folder; nothing else is looked into."""
    folder = tmp_path / "harbour"
    folder.mkdir()
    (folder / "notes.txt").write_text("x")
    (folder / "a.gguf").write_bytes(b"version https://git-lfs.github.com/spec/v1\n")
    assert cli.main([command, str(folder)]) == 1
    assert "Git LFS pointer" in capsys.readouterr().err

    write_tiny_gguf(folder / "a.gguf", layers=1, ctx=512)
    cli.main([command, str(folder), "--json"])
    assert json.loads(capsys.readouterr().out)["model"]["path"] == "a.gguf"

    write_tiny_gguf(folder / "b.gguf", layers=1, ctx=512)
    assert cli.main([command, str(folder)]) == 1
    assert "with 2 models" in capsys.readouterr().err


def test_a_shard_that_is_named_must_be_there(shards: list[Path], capsys: pytest.CaptureFixture[str]) -> None:
    """It is a mistake of the command line, not of the model."""
    shards[1].unlink()

    assert cli.main(["plan", str(shards[1])]) != 0
    assert "no such file" in capsys.readouterr().err


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


# ------------------------------------------------------------------- containers


CONTEXT = ("--n-ctx", "4096")
"""With which Llama 3.2 3B fits an ordinary account in our image alone."""


def test_what_each_container_needs_is_shown_and_ours_recommended(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Without an account nobody knows whether ours is there: the prebuilt one is planned for, as it may not be."""
    archive = archive_of(shapes.LLAMA_3B, tmp_path)

    status, document = planned(capsys, archive, *CONTEXT)
    assert cli.main(["plan", str(archive), *CONTEXT]) == cli.FAILED
    said = " ".join(capsys.readouterr().out.split())
    ours, _ = planned(capsys, archive, "--container", "custom", *CONTEXT)

    sizes = {one["container"]: (one["memory_mb"], one["within_quota"]) for one in document["containers"]}
    assert (status, document["container"], ours) == (1, "pytorch", 0)
    assert sizes["custom"] == (3072, True)
    assert sizes["pytorch"] == (4096, False)
    assert document["alternatives"][0]["kind"] == "container"
    assert "it saves raising the quota to 4096 MB" in said
    assert "pytorch" in said.partition("in each container")[2]
    assert any("no stack's repository was looked into" in note for note in document["notes"])


def test_with_a_stack_its_repository_decides(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """As it will for the deployment."""
    archive = archive_of(shapes.LLAMA_3B, tmp_path)
    with mock_aws():
        stack_with_repository()
        without = planned(capsys, archive, "--stack", "sealift", *CONTEXT)
        push_own_image()
        status, document = planned(capsys, archive, "--stack", "sealift", *CONTEXT)

    assert without[0] == 1
    assert (status, document["container"], document["memory_mb"]) == (0, "custom", 3072)
    assert any("is in the stack's repository" in note for note in document["notes"])


def test_a_stack_that_cannot_be_looked_at_leaves_a_plan(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """It needs none; what could not be looked at is said."""
    with mock_aws():
        status, document = planned(capsys, archive_of(shapes.LLAMA_1B, tmp_path), "--stack", "nowhere")

    assert (status, document["container"]) == (0, "pytorch")
    assert any(note.startswith("stack nowhere could not be looked at") for note in document["notes"])


def stack_with_repository() -> None:
    """Make a stack with the outputs of Sealift's, and its repository."""
    outputs = {name: {"Value": name.lower()} for name in change_sets.OUTPUTS}
    template = {
        "Resources": {
            "ImageRepository": {"Type": "AWS::ECR::Repository", "Properties": {"RepositoryName": "images"}}
        },
        "Outputs": {**outputs, "ImageRepository": {"Value": OWN_REPOSITORY}},
    }
    cloudformation = boto3.client("cloudformation", region_name="us-east-1")
    cloudformation.create_stack(StackName="sealift", TemplateBody=json.dumps(template))


OWN_REPOSITORY = "123456789012.dkr.ecr.us-east-1.amazonaws.com/images"


def push_own_image() -> None:
    """Put an image of this version into the repository."""
    ecr = boto3.client("ecr", region_name="us-east-1")
    manifest = {"schemaVersion": 2, "mediaType": "application/vnd.docker.distribution.manifest.v2+json"}
    ecr.put_image(
        repositoryName="images",
        imageManifest=json.dumps(manifest),
        imageTag=naming.image_tag(__version__, "x86_64"),
    )
