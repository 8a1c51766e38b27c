"""`sealift push` until the first byte is sent: in which order it looks, and that whoever is refused has not waited."""

from __future__ import annotations

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
from pipeline import errors
from pipeline.archive.build.pack import pack
from pipeline.archive.checks.rules import Rules
from pipeline.archive.s3 import split_models
from pipeline.aws import service_errors
from pipeline.cli import program
from pipeline.cli.commands import push as push_command
from pipeline.errors import SealiftError
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


@pytest.mark.parametrize("named", [1, 3])
def test_a_split_model_for_serverless_is_to_be_packed(
    named: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Serverless takes an archive; which command makes it is told."""
    write_tiny_gguf(tmp_path / "m.gguf", layers=1, ctx=512, shard_tensors=5)
    to = account()

    assert push(tmp_path / f"m-{named:05}-of-00003.gguf", to) == 1

    assert "sealift pack m-00001-of-00003.gguf" in capsys.readouterr().out
