"""`sealift push` until the first byte is sent: in which order it looks, and that whoever is refused has not waited."""

from __future__ import annotations

import io
import json
import tarfile
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError, NoCredentialsError
from moto import mock_aws

from benchmarks import shapes
from examples.tiny_companions import write_tiny_lora
from examples.tiny_encoder import write_tiny_encoder
from examples.tiny_gguf import write_tiny_gguf
from pipeline import errors, settings
from pipeline.archive.build.pack import pack
from pipeline.archive.checks.rules import Rules
from pipeline.archive.s3 import split_models
from pipeline.aws import service_errors
from pipeline.cli import program
from pipeline.cli.commands import deploy
from pipeline.cli.commands import push as push_command
from pipeline.cli.endings import Misuse
from pipeline.cli.options import DeployOptions
from pipeline.errors import SealiftError
from pipeline.stack import change_sets
from tests.functional.cli.test_plan_command import archive_of
from tests.paginated import Paginated

READ_MOST = 40 << 20
"""Bytes of an archive of many gigabytes: its header, looked at twice."""
OUTPUTS = {
    "UploadBucketName": "uploads",
    "ArtifactBucketName": "artifacts",
    "StateMachineArn": "arn:aws:states:us-east-1:123456789012:stateMachine:sealift-deployment",
    "EndpointRoleArn": "arn:aws:iam::123456789012:role/sealift-endpoint",
}
STACK = {
    "StackStatus": "CREATE_COMPLETE",
    "Outputs": [{"OutputKey": name, "OutputValue": value} for name, value in OUTPUTS.items()],
    "Parameters": [],
}
PATTERN = [{"ParameterKey": "ConsumerFunctionPattern", "ParameterValue": "assistant*"}]
SIDECAR = "s3://uploads/models/harbour/deployment.json"


def refused(code: str, message: str = "no", status: int = 400) -> ClientError:
    """Return an error of AWS's."""
    document: Any = {
        "Error": {"Code": code, "Message": message},
        "ResponseMetadata": {"HTTPStatusCode": status},
    }
    return ClientError(document, "Call")


@dataclass
class Account:
    """Clients that answer what they are told to, write down what they are asked, and take no byte."""

    answers: dict[str, Any]
    calls: list[str] = field(default_factory=list)

    def __getattr__(self, service: str) -> Any:
        """Return a client."""
        return _Client(service.rstrip("_"), self)


@dataclass
class _Client(Paginated):
    _service: str
    _account: Account

    def __getattr__(self, operation: str) -> Any:
        if operation == "meta":
            return SimpleNamespace(region_name="us-east-1")

        def call(*_arguments: Any, **_request: Any) -> Any:
            name = f"{self._service}.{operation}"
            self._account.calls.append(name)
            answer = self._account.answers.get(name, AssertionError(f"{name} was called"))
            if isinstance(answer, BaseException):
                raise answer
            return answer

        return call


def account(**answers: Any) -> Account:
    """Return an account with a stack and no settings beside the archive; `__` in a name stands for a dot."""
    usual = {
        "sts.get_caller_identity": {"Account": "123456789012", "Arn": "arn:aws:iam::123456789012:user/a"},
        "cloudformation.describe_stacks": {"Stacks": [STACK]},
        "s3.get_object": refused("NoSuchKey", status=404),
        "sagemaker.list_endpoints": {"Endpoints": [{"EndpointName": "harbor-0123456789ab"}]},
        "ssm.get_parameter": refused("ParameterNotFound"),
    }
    return Account({**usual, **{name.replace("__", "."): answer for name, answer in answers.items()}})


def settings_beside(**fields: Any) -> dict[str, Any]:
    """Return S3's answer for a deployment.json."""
    return {"Body": SimpleNamespace(read=lambda _most: json.dumps(fields).encode())}


def push(file: Path, to: Account, *options: str, service: str = "harbour") -> int:
    """Push a file; return the exit status."""
    line = ["push", str(file), "--service", service, *options]
    return push_command.run(program.read(line).options, to)  # type: ignore[arg-type]


def bytes_read() -> int:
    """Return what this process has read so far, from whatever."""
    told = Path("/proc/self/io").read_text(encoding="ascii")
    return int(dict(row.split(": ") for row in told.splitlines())["rchar"])


@pytest.fixture(scope="module")
def huge(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return an archive of 28.7 GB that serverless cannot have, whose weights are a hole in the file."""
    shape = replace(shapes.GEMMA_27B, quantization="Q8_0")
    return archive_of(shape, tmp_path_factory.mktemp("huge"))


@pytest.fixture(scope="module")
def fitting(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return an archive of 0.8 GB that serverless can have, whose weights are a hole in the file."""
    return archive_of(shapes.LLAMA_1B, tmp_path_factory.mktemp("fitting"))


IDENTITY, DESCRIBED, BESIDE = "sts.get_caller_identity", "cloudformation.describe_stacks", "s3.get_object"
SERVICES, CONSUMER = "sagemaker.list_endpoints", "lambda.get_function_configuration"


@pytest.mark.parametrize(
    ("answers", "told", "calls"),
    [
        pytest.param(
            {"sts__get_caller_identity": NoCredentialsError()},
            "Unable to locate",
            [IDENTITY],
            id="credentials",
        ),
        pytest.param(
            {"sts__get_caller_identity": refused("ExpiredToken")}, "log in again", [IDENTITY], id="expired"
        ),
        pytest.param(
            {"cloudformation__describe_stacks": refused("ValidationError", "Stack with id a does not exist")},
            "no stack 'sealift'",
            [IDENTITY, DESCRIBED],
            id="no stack",
        ),
        pytest.param(
            {"cloudformation__describe_stacks": {"Stacks": [{**STACK, "StackStatus": "ROLLBACK_COMPLETE"}]}},
            "it is ROLLBACK_COMPLETE",
            [IDENTITY, DESCRIBED],
            id="broken stack",
        ),
        pytest.param(
            {"cloudformation__describe_stacks": {"Stacks": [{**STACK, "StackStatus": "UPDATE_IN_PROGRESS"}]}},
            "wait until that has ended",
            [IDENTITY, DESCRIBED],
            id="stack being changed",
        ),
        pytest.param(
            {"cloudformation__describe_stacks": {"Stacks": [{**STACK, "Outputs": []}]}},
            "has no output",
            [IDENTITY, DESCRIBED],
            id="another's stack",
        ),
        pytest.param(
            {"s3__get_object": settings_beside(memory_mb=1)},
            f"{SIDECAR}: memory_mb is 1",
            [IDENTITY, DESCRIBED, BESIDE],
            id="settings beside the archive",
        ),
        pytest.param(
            {
                "s3__get_object": settings_beside(consumer={"function_name": "f"}),
                "lambda__get_function_configuration": refused("ResourceNotFoundException", status=404),
            },
            f"{SIDECAR}: consumer: no function 'f'",
            [IDENTITY, DESCRIBED, BESIDE, SERVICES, CONSUMER],
            id="no consumer",
        ),
        pytest.param(
            {
                "cloudformation__describe_stacks": {"Stacks": [{**STACK, "Parameters": PATTERN}]},
                "s3__get_object": settings_beside(consumer={"function_name": "billing"}),
            },
            "sealift deploy --parameter",
            [IDENTITY, DESCRIBED, BESIDE, SERVICES],
            id="consumer outside the pattern",
        ),
    ],
)
def test_a_refusal_comes_before_the_file_is_read(
    huge: Path, answers: dict[str, Any], told: str, calls: list[str]
) -> None:
    """In the order of what it costs; nothing that comes later is asked, and no byte is sent."""
    to, before = account(**answers), bytes_read()

    with pytest.raises((SealiftError, ClientError, NoCredentialsError)) as found:
        push(huge, to)
    error = service_errors.translation(found.value)

    assert isinstance(error, SealiftError)
    assert told in str(error)
    assert to.calls == calls
    assert bytes_read() - before < READ_MOST


def test_what_the_plan_refuses_is_refused_by_its_header(
    huge: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A few megabytes of 28.7 GB are read, none is sent, and what would fit is told."""
    to, before = account(), bytes_read()
    status = push(huge, to, "--json")
    read = bytes_read() - before
    note, event = map(json.loads, capsys.readouterr().out.splitlines())

    assert note["text"].endswith("did you mean 'harbor'?")
    assert (status, event["type"], event["verdict"]) == (1, "plan", "refused")
    assert [one["kind"] for one in event["alternatives"]] == ["instance"]
    assert read < READ_MOST
    assert to.calls == [IDENTITY, DESCRIBED, BESIDE, SERVICES]


@pytest.mark.parametrize(
    ("answers", "options", "refused_by"),
    [
        pytest.param(
            {"s3__get_object": settings_beside(memory_mb=1024)}, {}, "MemoryTooSmall", id="beside it"
        ),
        pytest.param(
            {"s3__get_object": settings_beside(memory_mb=1024)}, {"timeout_s": 30}, None, id="replaced"
        ),
        pytest.param({}, {"memory_mb": 1024}, "MemoryTooSmall", id="handed over"),
        pytest.param(
            {}, {"hosting": "instance", "instance_type": "ml.x.y"}, "UnknownInstanceType", id="type"
        ),
    ],
)
def test_the_plan_is_made_with_the_settings_that_will_count(
    *,
    fitting: Path,
    answers: dict[str, Any],
    options: dict[str, Any],
    refused_by: str | None,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Those of the file that is handed over; without one, those that lie beside the archive already."""
    path = tmp_path / "my.json"
    path.write_text(json.dumps(options))
    push(fitting, account(**answers), "--json", *(["--input", str(path)] if options else []))
    events = map(json.loads, capsys.readouterr().out.splitlines())
    event = next(one for one in events if one["type"] == "plan")

    assert [one["error"] for one in event["problems"]] == ([refused_by] if refused_by else [])


def test_what_the_container_does_not_serve_is_not_sent(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The container is the one that the deployment will have, by its settings."""
    packed, settings, to = tmp_path / "model.tar.gz", tmp_path / "my.json", account()
    pack(write_tiny_encoder(tmp_path / "model.gguf"), packed, code={}, rules=Rules(code_required=False))
    settings.write_text(json.dumps({"container": "llama-cpp"}))

    status = push(packed, to, "--json", "--input", str(settings))

    events = list(map(json.loads, capsys.readouterr().out.splitlines()))
    assert status == 1
    assert [one["error"] for one in events[-1]["problems"]] == ["EmbeddingsNotServed"]
    assert not any(call.startswith(("s3.create", "s3.put")) for call in to.calls)


def test_a_damaged_archive_is_refused_before_a_byte_is_sent(
    fitting: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """It fits by its header; what is wrong behind that, only reading all of it tells."""
    to = account()

    assert push(fitting, to) == 1
    printed = capsys.readouterr().out
    assert "fits 2048 MB by its header" in printed
    assert "refused" in printed
    assert to.calls == [IDENTITY, DESCRIBED, BESIDE, SERVICES]


def test_all_that_is_wrong_with_the_command_line_is_told_at_once(tmp_path: Path) -> None:
    """Before anybody is asked anything: each in its own name."""
    path = tmp_path / "my.json"
    path.write_text('{"memory": 1, "service": "pier", "hosting": "serverles"}')
    to = account()

    with pytest.raises(errors.InvalidInput) as found:
        push(tmp_path / "none.tar.gz", to, "--input", str(path))

    assert [(one.where, one.seen) for one in found.value.problems] == [
        (str(tmp_path / "none.tar.gz"), f"no such file: {str(tmp_path / 'none.tar.gz')!r}"),
        (str(path), "unknown field 'memory'"),
        (str(path), "hosting is 'serverles'"),
        (str(path), "service is 'pier', and --service 'harbour'"),
    ]
    assert to.calls == []
    with pytest.raises(errors.InvalidInput) as found:
        push(tmp_path / "none.tar.gz", to, service="A_B")
    assert [one.where for one in found.value.problems] == ["--service", str(tmp_path / "none.tar.gz")]


def test_what_may_not_be_looked_at_is_left_to_the_workflow(
    huge: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A person may lack the permissions that the stack's roles have; it is told, and goes on to the plan."""
    parameter = [{"ParameterKey": "ConsumerFunctionName", "ParameterValue": "f"}]
    denied = refused("AccessDenied", status=403)
    to = account(
        cloudformation__describe_stacks={"Stacks": [{**STACK, "Parameters": parameter}]},
        s3__get_object=denied,
        lambda__get_function_configuration=denied,
    )

    assert push(huge, to) == 1
    printed = capsys.readouterr().out
    assert f"{SIDECAR} could not be looked at" in printed
    assert "the consumer could not be looked at from here" in printed
    assert "TooMuchMemory" in printed
    assert to.calls == [IDENTITY, DESCRIBED, BESIDE, SERVICES, CONSUMER]


def test_what_is_left_out_of_an_archive_is_noted(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """As `sealift check` says it, before anything is sent."""
    write_tiny_gguf(tmp_path / "model.gguf")
    (tmp_path / "._model.gguf").write_bytes(b"")
    with tarfile.open(tmp_path / "model.tar.gz", "w:gz") as archive:
        for name in ("model.gguf", "._model.gguf"):
            archive.add(tmp_path / name, name)

    # What is sent then is another matter: this account takes nothing.
    with pytest.raises(AssertionError, match="was called"):
        push(tmp_path / "model.tar.gz", account())

    assert "  note left out, since desktops leave it in folders: '._model.gguf'" in capsys.readouterr().out


# ------------------------------------------------------------------ split models


class Executions:
    """Step Functions, which has one execution, of the name that the trigger makes of what is in the bucket."""

    def __init__(self, s3: Any, keys: list[str]) -> None:
        self._s3, self._keys = s3, keys

    def describe_execution(self, executionArn: str) -> dict[str, Any]:  # noqa: N803 -- boto3's name
        """Know the one execution."""
        upload = split_models.uploaded(self._s3, "uploads", self._keys[0])
        name = split_models.execution_name("uploads", upload.first, upload.there)
        if executionArn != f"arn:aws:states:us-east-1:123456789012:execution:sealift-deployment:{name}":
            raise refused("ExecutionDoesNotExist")
        known = {"executionArn": executionArn, "name": name, "status": "RUNNING"}
        return {**known, "startDate": datetime(2026, 1, 2, tzinfo=UTC)}


@mock_aws
def test_all_shards_are_pushed_by_any_of_them(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """In their order, the last one always: its event starts the deployment. What is there already is not sent again."""
    write_tiny_gguf(tmp_path / "m.gguf", layers=1, ctx=512, shard_tensors=5)
    files = sorted(tmp_path.glob("m-*.gguf"))
    keys = [f"models/harbour/{path.name}" for path in files]
    options = tmp_path / "options.json"
    options.write_text(json.dumps({"hosting": "instance", "container": "llama-cpp"}))
    to = account()
    s3 = boto3.client("s3", region_name="us-east-1")
    s3.create_bucket(Bucket="uploads")
    sent: list[str] = []
    s3.meta.events.register(
        "before-call.s3.CompleteMultipartUpload", lambda params, **_: sent.append(params["url"])
    )
    to.s3, to.stepfunctions = s3, Executions(s3, keys)

    for pushed in (keys, keys[-1:]):
        sent.clear()
        assert push(files[1], to, "--input", str(options), "--no-follow") == 0
        assert [f"models/{url.partition('/models/')[2].partition('?')[0]}" for url in sent] == pushed

    assert [s3.get_object(Bucket="uploads", Key=key)["Body"].read() for key in keys] == [
        path.read_bytes() for path in files
    ]
    told = capsys.readouterr().out
    assert "m-00001-of-00003.gguf is at s3://uploads/models/harbour/m-00001-of-00003.gguf already" in told


@mock_aws
def test_what_lies_beside_a_model_in_its_folder_is_pushed_before_it(tmp_path: Path) -> None:
    """So that the model's event, which starts the deployment, finds it there."""
    folder = tmp_path / "harbour"
    folder.mkdir()
    write_tiny_gguf(folder / "m.gguf", layers=1, ctx=512)
    write_tiny_lora(folder / "lora.gguf")
    options = tmp_path / "options.json"
    options.write_text(json.dumps({"hosting": "instance", "container": "llama-cpp"}))
    keys = ["models/harbour/lora.gguf", "models/harbour/m.gguf"]
    to = account()
    s3 = boto3.client("s3", region_name="us-east-1")
    s3.create_bucket(Bucket="uploads")
    sent: list[str] = []
    s3.meta.events.register(
        "before-call.s3.CompleteMultipartUpload", lambda params, **_: sent.append(params["url"])
    )
    to.s3, to.stepfunctions = s3, Executions(s3, keys[1:])

    assert push(folder, to, "--input", str(options), "--no-follow") == 0

    assert [f"models/{url.partition('/models/')[2].partition('?')[0]}" for url in sent] == keys


def test_a_set_that_lacks_a_shard_is_not_pushed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Nothing would ever start."""
    write_tiny_gguf(tmp_path / "m.gguf", layers=1, ctx=512, shard_tensors=5)
    (tmp_path / "m-00002-of-00003.gguf").unlink()
    options = tmp_path / "options.json"
    options.write_text(json.dumps({"hosting": "instance", "container": "llama-cpp"}))
    to = account()

    assert push(tmp_path / "m-00001-of-00003.gguf", to, "--input", str(options)) == 1

    assert "missing: 'm-00002-of-00003.gguf'" in capsys.readouterr().out
    assert not [call for call in to.calls if "upload" in call]


# ------------------------------------------------------------------ packed on the way


@dataclass
class Bucket:
    """The upload bucket, and what was completed in it."""

    s3: Any
    completed: list[str] = field(default_factory=list)

    def body(self, name: str) -> bytes:
        """Return an object of the service."""
        content: bytes = self.s3.get_object(Bucket="uploads", Key=f"models/harbour/{name}")["Body"].read()
        return content


def bucket_of(to: Account) -> Bucket:
    """Return a bucket that an account's uploads go to, in an account that has one execution for any."""
    s3 = boto3.client("s3", region_name="us-east-1")
    s3.create_bucket(Bucket="uploads")
    s3.put_bucket_versioning(Bucket="uploads", VersioningConfiguration={"Status": "Enabled"})
    made = Bucket(s3)
    s3.meta.events.register(
        "before-call.s3.CompleteMultipartUpload", lambda params, **_: made.completed.append(params["url"])
    )
    to.s3, to.stepfunctions = s3, AnyExecution(s3)
    return made


class AnyExecution(Paginated):
    """Step Functions, which has an execution of the newest upload."""

    def __init__(self, s3: Any) -> None:
        self._s3 = s3

    def list_executions(self, **_: Any) -> dict[str, Any]:
        """Know one execution."""
        arn = "arn:aws:states:us-east-1:123456789012:execution:sealift-deployment:harbour-0"
        one = {"executionArn": arn, "name": "harbour-0", "status": "RUNNING"}
        return {"executions": [{**one, "startDate": datetime(2026, 1, 2, tzinfo=UTC)}]}

    def describe_execution(self, **_: Any) -> dict[str, Any]:
        """Tell what it is of."""
        archive = {"bucket": "uploads", "key": "models/harbour/model.tar.gz"}
        head = self._s3.head_object(Bucket=archive["bucket"], Key=archive["key"])
        archive["version_id"] = head["VersionId"]
        return {"input": json.dumps({"archive": archive})}


@mock_aws
@pytest.mark.parametrize("named", [0, 1, 3])
def test_a_model_for_serverless_is_packed_on_its_way(
    named: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Byte for byte what `pack` writes without code, of one file or of all shards, and nothing is left on the disk."""
    write_tiny_gguf(tmp_path / "m.gguf", layers=1, ctx=512, **({"shard_tensors": 5} if named else {}))
    model = tmp_path / (f"m-{named:05}-of-00003.gguf" if named else "m.gguf")
    before = sorted(tmp_path.iterdir())
    to = account()
    bucket = bucket_of(to)

    assert push(model, to, "--no-follow") == 0

    assert sorted(tmp_path.iterdir()) == before
    pack(min(tmp_path.glob("m*.gguf")), tmp_path / "packed.tar.gz", code={}, rules=Rules(code_required=False))
    assert bucket.body("model.tar.gz") == (tmp_path / "packed.tar.gz").read_bytes()
    head = bucket.s3.head_object(Bucket="uploads", Key="models/harbour/model.tar.gz", ChecksumMode="ENABLED")
    assert head["Metadata"]["sealift-packed-crc32"] == head["ChecksumCRC32"]
    assert ", packed, to s3://uploads/models/harbour/model.tar.gz" in capsys.readouterr().out


@mock_aws
def test_what_an_option_lays_beside_a_model_is_packed_with_it(tmp_path: Path) -> None:
    """By the name that says what it is."""
    model = write_tiny_gguf(tmp_path / "m.gguf", layers=1, ctx=512)
    tone = write_tiny_lora(tmp_path / "tone.gguf")
    to = account()
    bucket = bucket_of(to)
    custom = ("--container", "llama-cpp")

    assert push(model, to, "--lora", str(tone), "--no-follow", *custom) == 0

    with tarfile.open(fileobj=io.BytesIO(bucket.body("model.tar.gz"))) as archive:
        assert archive.getnames() == ["lora-tone.gguf", "m.gguf"]
    with pytest.raises(Misuse, match="is no GGUF"):
        push(packed_at(tmp_path), account(), "--lora", str(tone))


def packed_at(folder: Path) -> Path:
    """Return an archive of a tiny model."""
    model = write_tiny_gguf(folder / "other.gguf", layers=1, ctx=512)
    pack(model, folder / "model.tar.gz", code={}, rules=Rules(code_required=False))
    return folder / "model.tar.gz"


@pytest.mark.parametrize(
    ("shape", "options", "name"),
    [
        pytest.param(shapes.LLAMA_1B, ("--hosting", "instance"), "m.gguf", id="instance"),
        pytest.param(shapes.LLAMA_1B, ("--hosting", "auto"), "model.tar.gz", id="auto that fits serverless"),
        pytest.param(
            shapes.GEMMA_27B, ("--hosting", "auto", "--allow-instances"), "m.gguf", id="auto that does not"
        ),
    ],
)
def test_only_an_instance_takes_a_model_as_it_is(
    *,
    shape: shapes.ModelShape,
    options: tuple[str, ...],
    name: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """With hosting auto the plan tells which it is."""
    model = shapes.sparse(shape, tmp_path / "m.gguf")
    to = account(sagemaker__list_endpoint_configs={"EndpointConfigs": []})
    to.answers["sagemaker.describe_endpoint"] = refused("ValidationException", "Could not find endpoint")

    status = push(model, to, "--container", "llama-cpp", "--dry-run", "--json", *options)

    event = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert (status, event["type"]) == (0, "rehearsal")
    assert event["uploads"][-1]["place"] == f"s3://uploads/models/harbour/{name}"


def test_a_download_that_is_not_complete_is_not_pushed(tmp_path: Path) -> None:
    """As `pack` refuses it."""
    model = write_tiny_gguf(tmp_path / "m.gguf", layers=1, ctx=512)
    (tmp_path / "m.gguf.aria2").write_bytes(b"")

    with pytest.raises(errors.InvalidInput, match="aria2"):
        push(model, account())


# ------------------------------------------------------------------ the settings


@pytest.fixture
def tiny(tmp_path: Path) -> Path:
    """Return a tiny model."""
    return write_tiny_gguf(tmp_path / "m.gguf", layers=1, ctx=512)


def written(bucket: Bucket) -> dict[str, Any]:
    """Return the settings beside the upload."""
    document: dict[str, Any] = json.loads(bucket.body("deployment.json"))
    return document


@mock_aws
def test_an_option_wins_over_the_file_that_it_is_given_with(
    tiny: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """What differs is told; all else of the file stays, and both lie beside the upload."""
    (tiny.parent / "my.json").write_text(
        '{"memory_mb": 2048, "smoke_test": {"max_tokens": 8, "prompts": ["a"]}, "consumer": null}'
    )
    to = account()
    bucket = bucket_of(to)
    options = ("--memory", "3072", "--prompt", "b", "--prompt", "c", "--expect", "d")

    assert push(tiny, to, "--input", str(tiny.parent / "my.json"), *options, "--no-follow") == 0

    assert written(bucket) == {
        "memory_mb": 3072,
        "smoke_test": {"max_tokens": 8, "prompts": ["b", "c"], "expect": {"contains": "d"}},
        "consumer": [],
    }
    told = capsys.readouterr().out
    assert f"--memory wins over memory_mb = 2048 of {tiny.parent / 'my.json'}" in told
    assert "--expect wins" not in told


@mock_aws
def test_the_settings_beside_the_model_are_taken(tiny: Path) -> None:
    """As `sealift plan` takes them and `sealift init` writes them; a file that is named takes their place."""
    (tiny.parent / "deployment.json").write_text('{"$schema": "./deployment.schema.json", "memory_mb": 2048}')
    (tiny.parent / "my.json").write_text('{"timeout_s": 30}')
    to = account()
    bucket = bucket_of(to)

    assert push(tiny, to, "--no-follow") == 0
    assert written(bucket)["memory_mb"] == 2048
    assert push(tiny, to, "--no-follow", "--input", str(tiny.parent / "my.json")) == 0
    assert written(bucket) == {"timeout_s": 30}


SUITE = b'{"name": "harbor", "prompt": "What?", "expect": {"contains": "a"}}\n'


@mock_aws
def test_a_suite_comes_before_the_model_and_lies_beside_the_settings_that_name_it(
    tiny: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Or where a caller says; the model's event starts the deployment, which reads it."""
    own = tmp_path_factory.mktemp("own") / "my.json"
    for settings_file in (tiny.parent / "deployment.json", own):
        settings_file.write_text('{"quality": {"suite": "suite.jsonl"}}')
    (tiny.parent / "suite.jsonl").write_bytes(SUITE)
    to = account()
    bucket = bucket_of(to)

    assert push(tiny, to, "--no-follow") == 0
    assert bucket.body("suite.jsonl") == SUITE
    line = program.read(
        ["push", str(tiny), "--service", "harbour", "--no-follow", "--input", str(own)]
    ).options
    with pytest.raises(errors.InvalidInput, match=f"{own.parent}/suite.jsonl"):
        push_command.run(line, to)  # type: ignore[arg-type]
    assert push_command.run(line, to, folder=tiny.parent) == 0  # type: ignore[arg-type]


@mock_aws
def test_an_option_is_added_to_what_lies_in_the_bucket(tiny: Path) -> None:
    """And without any option that is left as it is, byte for byte."""
    to = account()
    bucket = bucket_of(to)
    there = b'{"timeout_s":   30, "memory_mb": null}'
    bucket.s3.put_object(Bucket="uploads", Key="models/harbour/deployment.json", Body=there)

    assert push(tiny, to, "--no-follow") == 0
    assert bucket.body("deployment.json") == there
    assert push(tiny, to, "--memory", "2048", "--no-follow") == 0
    assert written(bucket) == {"timeout_s": 30, "memory_mb": 2048}


def test_options_are_not_added_to_what_may_not_be_read(tiny: Path) -> None:
    """Nobody's settings are lost unseen."""
    denied = account(s3__get_object=refused("AccessDenied", status=403))

    with pytest.raises(errors.InvalidInput, match="could not be looked at") as found:
        push(tiny, denied, "--memory", "2048")
    assert [one.error for one in found.value.problems] == ["SettingsUnread"]


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (("--memory", "1000"), "--memory is 1000"),
        (("--max-concurrency", "0"), "--max-concurrency is 0"),
        (("--prompt", ""), "--prompt"),
    ],
)
def test_a_wrong_option_is_told_by_its_name(tiny: Path, options: tuple[str, str], told: str) -> None:
    """As misuse, before anybody is asked anything."""
    to = account()

    with pytest.raises(Misuse, match=told):
        push(tiny, to, *options)
    assert to.calls == []


def test_options_that_contradict_each_other_are_told_by_their_names(tiny: Path) -> None:
    """By the rules of the request."""
    with pytest.raises(errors.InvalidInput) as found:
        push(tiny, account(), "--hosting", "instance", "--memory", "2048")

    (one,) = found.value.problems
    assert (one.seen, one.fix) == (
        "--memory with --hosting 'instance'",
        "change --hosting, or leave --memory out",
    )


# ------------------------------------------------------------------ the stack


NO_STACK = refused("ValidationError", "Stack with id sealift does not exist")


@dataclass
class Maker:
    """Makes a stack, or does not, and writes down how it was asked."""

    to: Account
    status: str = "deployed"
    asked: list[DeployOptions] = field(default_factory=list)

    def __call__(
        self, arguments: DeployOptions, clients: Any, screen: Any, *, brief: bool
    ) -> deploy.StackOutcome:
        """Make it."""
        assert (clients, brief) == (self.to, True)
        self.asked.append(arguments)
        screen.say("Deploy this?")
        if self.status == "deployed":
            self.to.answers["cloudformation.describe_stacks"] = {"Stacks": [STACK]}
        where = change_sets.StackPlace("123456789012", "us-east-1")
        staged = change_sets.Staged("sealift", "", "", "CREATE", (), True, "", where, frozenset())
        return deploy.StackOutcome(self.status, staged)


def test_a_stack_that_is_not_there_is_made_on_the_way(tiny: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """With --yes, or at a terminal after the question of `sealift deploy`; then the push goes on."""
    to = account(cloudformation__describe_stacks=NO_STACK)
    maker = Maker(to)
    line = program.read(["push", str(tiny), "--service", "harbour", "--yes", "--json"]).options

    with pytest.raises(AssertionError, match="list_multipart_uploads was called"):
        push_command.run(line, to, maker)  # type: ignore[arg-type]

    events = [json.loads(row)["type"] for row in capsys.readouterr().out.splitlines()]
    assert [(one.yes, one.stack) for one in maker.asked] == [(True, None)]
    assert events == ["stack", "note", "plan", "check"]


def test_a_stack_that_nobody_wants_ends_the_push(tiny: Path) -> None:
    """Nothing else is asked of the account."""
    to = account(cloudformation__describe_stacks=NO_STACK)
    line = program.read(["push", str(tiny), "--service", "harbour", "--yes"]).options

    assert push_command.run(line, to, Maker(to, "declined")) == 1  # type: ignore[arg-type]
    assert to.calls == [IDENTITY, DESCRIBED]


def test_no_stack_is_made_for_a_model_that_fits_nowhere(
    huge: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """It is refused before anybody waits for a stack."""
    to = account(cloudformation__describe_stacks=NO_STACK)
    line = program.read(["push", str(huge), "--service", "harbour", "--yes"]).options
    maker = Maker(to)

    assert push_command.run(line, to, maker) == 1  # type: ignore[arg-type]
    assert maker.asked == []
    assert "TooMuchMemory" in capsys.readouterr().out


def test_in_a_pipe_a_stack_that_is_not_there_is_a_refusal_with_the_command(tiny: Path) -> None:
    """Nobody is there to say yes."""
    to = account(cloudformation__describe_stacks=NO_STACK)

    with pytest.raises(errors.InvalidInput, match="no stack 'sealift'") as found:
        push(tiny, to)
    assert "this command with --yes" in found.value.problems[0].fix


# ------------------------------------------------------------------ the rehearsal


READS = ("get_", "list_", "describe_", "head_")


@pytest.mark.parametrize("there", [True, False])
def test_a_dry_run_changes_nothing(there: bool, tiny: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """It looks, says what would be made, switched and paid, and calls nothing that changes anything."""
    answers = {} if there else {"cloudformation__describe_stacks": NO_STACK}
    to = account(sagemaker__list_endpoint_configs={"EndpointConfigs": []}, **answers)
    to.answers["sagemaker.describe_endpoint"] = refused("ValidationException", "Could not find endpoint")
    (tiny.parent / "deployment.json").write_text('{"quality": {"suite": "suite.jsonl"}}')
    (tiny.parent / "suite.jsonl").write_bytes(SUITE)
    maker = Maker(to)
    line = program.read(["push", str(tiny), "--service", "harbour", "--dry-run", "--yes"]).options

    assert push_command.run(line, to, maker) == 0  # type: ignore[arg-type]

    assert maker.asked == []
    assert not [one for one in to.calls if not one.partition(".")[2].startswith(READS)]
    told = " ".join(capsys.readouterr().out.split())
    assert ("deploy" in told.partition("account")[2].partition("upload")[0]) is not there
    for word in (
        "harbour-<digest>",
        "1024 MB, serverless",
        "alarms: sealift-harbour",
        "no consumer",
        "a month",
        f"{len(SUITE)} bytes to s3://",
        " metric filters of its log",
        "create model, endpoint configuration and endpoint harbour-<digest>",
        "1 case of suite.jsonl: harbour-<digest>, before the switch; 0 may be worse",
        "parameter /sealift/sealift/harbour/endpoint: not set -> harbour-<digest>",
    ):
        assert word in told
    assert told.endswith("nothing was uploaded, made or changed: this was a dry run")


@pytest.mark.parametrize(
    ("wanted", "told"),
    [
        pytest.param(
            {"scale_to_zero": True, "instance_count": 2},
            [
                "6 alarms",
                "sealift-harbour-<digest>-wake",
                "inference component harbour-<digest>, scaled from none to 2 copies by 2 policies",
            ],
            id="to zero",
        ),
        pytest.param(
            {"auto_scaling": {"min": 1, "max": 3}},
            ["5 alarms", "a scalable target, from 1 to 3 instances, and its policy"],
            id="auto scaling",
        ),
    ],
)
def test_a_dry_run_tells_what_scales_an_endpoint(
    wanted: dict[str, Any], told: list[str], tiny: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """All of it is made with the endpoint; who may not read the parameter is told so."""
    to = account(
        sagemaker__list_endpoint_configs={"EndpointConfigs": []},
        ssm__get_parameter=refused("AccessDeniedException", "not you"),
    )
    to.answers["sagemaker.describe_endpoint"] = refused("ValidationException", "Could not find endpoint")
    deployment = {"hosting": "instance", "instance_type": "ml.m5.large", **wanted}
    (tiny.parent / "deployment.json").write_text(json.dumps(deployment))
    line = program.read(["push", str(tiny), "--service", "harbour", "--dry-run", "--yes"]).options

    assert push_command.run(line, to) == 0  # type: ignore[arg-type]

    said = " ".join(capsys.readouterr().out.split())
    assert [one for one in told if one not in said] == []
    assert "unseen" in said
    assert "not you" in said


# ------------------------------------------------------------------ the end


def test_the_end_of_a_push_says_how_to_ask(capsys: pytest.CaptureFixture[str]) -> None:
    """In commands that reach the same account."""
    line = program.read(["push", "m.gguf", "--service", "harbour", "--region", "eu-west-1"]).options
    settings.say({"region": "eu-west-1"})

    push_command.tell_how_to_ask("harbour", push_command.Told(line))  # type: ignore[arg-type]
    ranker = push_command.Told(line)  # type: ignore[arg-type]
    push_command.tell_how_to_ask("pier", ranker, ranks=True)
    settings.say({})

    assert capsys.readouterr().out.splitlines() == [
        '  ask it    sealift ask harbour --region eu-west-1 "What does a sealift do?"',
        "  code      sealift connect harbour --region eu-west-1",
        "  code      sealift connect pier --region eu-west-1",
    ]


def test_a_model_that_is_called_an_archive_is_refused(
    tiny: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """One of the two was a mistake; no byte is sent."""
    wrong, to = tmp_path / "wrong" / "model.tar.gz", account()
    wrong.parent.mkdir()
    wrong.write_bytes(tiny.read_bytes())

    assert push(wrong, to) == 1
    assert "BareGGUF" in capsys.readouterr().out
    assert not [one for one in to.calls if "upload" in one]
