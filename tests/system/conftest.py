"""One local cloud for all system tests; each test gets its own service and leaves nothing behind."""

from __future__ import annotations

import json
import subprocess
import sys
import tarfile
import time
from collections.abc import Callable, Iterator, Mapping
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest

from local_cloud.cloud import CONSUMER, CloudSettings, LocalCloud, scaled
from local_cloud.faults import Fault
from local_cloud.hosting import HostingSettings
from pipeline import cli, naming, package_files
from pipeline.archive.build.pack import pack
from pipeline.operations import execution_history
from pipeline.operations.execution_history import Execution
from tests import pushed

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "examples"))

TIME_SCALE = 0.02
STARTUP_DEADLINE_S = 6.0
WAIT_S = 90
BEFORE = {"OWNER": "example"}

DocumentOf = Callable[..., tuple[int, dict[str, Any]]]


@pytest.fixture(scope="session")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a small GGUF that answers with a sentence."""
    from tiny_gguf import write_tiny_gguf

    path = tmp_path_factory.mktemp("model") / "harbour.gguf"
    write_tiny_gguf(path)
    return path


@pytest.fixture(scope="session")
def archive(model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a good archive."""
    path = tmp_path_factory.mktemp("archive") / "model.tar.gz"
    pack(model, path, code=package_files.code())
    return path


@pytest.fixture
def with_code(model: Path, tmp_path: Path) -> Callable[[str], Path]:
    """Return a function that packs the model with an inference.py of one's own."""

    def make(source: str) -> Path:
        path = tmp_path / "own.tar.gz"
        pack(model, path, code={"code/inference.py": source.encode()})
        return path

    return make


@pytest.fixture(scope="session")
def running_cloud() -> Iterator[LocalCloud]:
    """Run one local cloud for the whole session."""
    settings = CloudSettings(
        time_scale=TIME_SCALE,
        hosting=scaled(HostingSettings(startup_deadline_s=STARTUP_DEADLINE_S), 0.1),
        consumer=True,
        archive_code=True,
        # The image below has no server in it: what runs is the server of a process, whatever this machine has.
        containers="process",
    )
    with LocalCloud(settings) as cloud:
        # The image of our own that tests deploy with; SageMaker makes no model of one that is not there.
        pushed.push(cloud.clients.ecr, "sealift", "1")
        yield cloud


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    """Run `sealift local up` in a process of its own, whose stack may be destroyed, and return its URL."""
    command = [sys.executable, "-u", "-m", "sealift", "local", "up", "--port", "0", "--time-scale", "0.02"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    try:
        found = ""
        while "ends it" not in (line := process.stdout.readline()):
            assert line, "the local cloud has ended"
            if line.startswith("endpoint URL"):
                found = line.split()[-1]
        yield found
    finally:
        process.terminate()
        process.communicate(timeout=120)


@pytest.fixture
def cloud(running_cloud: LocalCloud) -> Iterator[LocalCloud]:
    """Return the cloud as it was at the beginning: no endpoints, the consumer untouched, no faults."""
    running_cloud.recorded.clear()
    yield running_cloud
    running_cloud.faults.replace([])
    empty(running_cloud)


def _delete_components(cloud: LocalCloud, deadline: float) -> None:
    """Delete what endpoints host, which outlives them."""
    sagemaker = cloud.clients.sagemaker
    while components := sagemaker.list_inference_components()["InferenceComponents"]:
        assert time.monotonic() < deadline, f"inference components that do not go away: {components}"
        for one in components:
            if one["InferenceComponentStatus"] in ("InService", "Failed"):
                sagemaker.delete_inference_component(InferenceComponentName=one["InferenceComponentName"])
        time.sleep(0.1)


def empty(cloud: LocalCloud) -> None:
    """Delete what deployments have left, and give the consumer back as it was; only `clients` is used."""
    sagemaker = cloud.clients.sagemaker
    deadline = time.monotonic() + WAIT_S
    _delete_components(cloud, deadline)
    while endpoints := sagemaker.list_endpoints()["Endpoints"]:
        assert time.monotonic() < deadline, f"endpoints that do not go away: {endpoints}"
        for endpoint in endpoints:
            if endpoint["EndpointStatus"] in ("InService", "Failed"):
                sagemaker.delete_endpoint(EndpointName=endpoint["EndpointName"])
        time.sleep(0.1)
    for config in sagemaker.list_endpoint_configs()["EndpointConfigs"]:
        sagemaker.delete_endpoint_config(EndpointConfigName=config["EndpointConfigName"])
    for one in sagemaker.list_models()["Models"]:
        sagemaker.delete_model(ModelName=one["ModelName"])
    cloudwatch = cloud.clients.cloudwatch
    if left := [alarm["AlarmName"] for alarm in cloudwatch.describe_alarms()["MetricAlarms"]]:
        cloudwatch.delete_alarms(AlarmNames=left)
    for one in cloud.clients.logs.describe_metric_filters()["metricFilters"]:
        cloud.clients.logs.delete_metric_filter(
            logGroupName=one["logGroupName"], filterName=one["filterName"]
        )
    _scale_nothing(cloud)
    ssm: Any = cloud.clients.ssm
    for page in ssm.get_paginator("get_parameters_by_path").paginate(Path=naming.PARAMETERS, Recursive=True):
        for one in page["Parameters"]:
            ssm.delete_parameter(Name=one["Name"])
    _idle_consumer(cloud)
    cloud.clients.lambda_.update_function_configuration(
        FunctionName=CONSUMER, Environment={"Variables": BEFORE}
    )
    _idle_consumer(cloud)


def _scale_nothing(cloud: LocalCloud) -> None:
    scaling: Any = cloud.clients.autoscaling
    for one in scaling.describe_scalable_targets(ServiceNamespace="sagemaker")["ScalableTargets"]:
        named = {key: one[key] for key in ("ServiceNamespace", "ResourceId", "ScalableDimension")}
        scaling.deregister_scalable_target(**named)


def _idle_consumer(cloud: LocalCloud) -> None:
    while (
        cloud.clients.lambda_.get_function_configuration(FunctionName=CONSUMER)["LastUpdateStatus"]
        == "InProgress"
    ):
        time.sleep(0.02)


class Deployments:
    """What a test does to the cloud, and what it finds there afterwards."""

    def __init__(self, cloud: LocalCloud) -> None:
        self.cloud = cloud
        self.bucket = cloud.outputs["UploadBucketName"]

    def upload(
        self,
        archive: Path | bytes,
        service: str,
        settings: Mapping[str, Any] | None = None,
        *,
        name: str = "model.tar.gz",
    ) -> Execution:
        """Upload an archive, and its settings beside it; return the ended execution that the upload started."""
        known = set(self.executions())
        key = f"models/{service}/{name}"
        if settings is not None:
            body = json.dumps(settings).encode()
            self.cloud.clients.s3.put_object(
                Bucket=self.bucket, Key=f"models/{service}/deployment.json", Body=body
            )
        content = archive if isinstance(archive, bytes) else archive.read_bytes()
        self.cloud.clients.s3.put_object(Bucket=self.bucket, Key=key, Body=content)
        deadline = time.monotonic() + WAIT_S
        while not (new := [arn for arn in self.executions() if arn not in known]):
            assert time.monotonic() < deadline, "the upload started no execution"
            time.sleep(0.05)
        return self.ended(new[0])

    def start(self, document: Mapping[str, Any]) -> Execution:
        """Start an execution by hand, as in the console; return it when it has ended."""
        started = self.cloud.clients.stepfunctions.start_execution(
            stateMachineArn=self.cloud.outputs["StateMachineArn"], input=json.dumps(document)
        )
        return self.ended(started["executionArn"])

    def executions(self) -> list[str]:
        """Return the ARNs of all executions."""
        arn = self.cloud.outputs["StateMachineArn"]
        pages = self.cloud.clients.stepfunctions.get_paginator("list_executions").paginate(
            stateMachineArn=arn
        )
        return [one["executionArn"] for page in pages for one in page["executions"]]

    def ended(self, arn: str) -> Execution:
        """Return an execution when it has ended."""
        deadline = time.monotonic() + WAIT_S

        def wait(seconds: float) -> None:
            assert time.monotonic() < deadline, f"{arn} has not ended after {WAIT_S} s"
            time.sleep(seconds)

        return list(
            execution_history.follow(self.cloud.clients.stepfunctions, arn, sleep=wait, interval_s=0.1)
        )[-1]

    def resources(self) -> dict[str, list[str]]:
        """Return the names of everything in SageMaker."""
        sagemaker = self.cloud.clients.sagemaker
        return {
            "endpoints": [one["EndpointName"] for one in sagemaker.list_endpoints()["Endpoints"]],
            "configs": [
                one["EndpointConfigName"] for one in sagemaker.list_endpoint_configs()["EndpointConfigs"]
            ],
            "models": [one["ModelName"] for one in sagemaker.list_models()["Models"]],
        }

    def consumer_variables(self) -> dict[str, str]:
        """Return the consumer's environment."""
        found = self.cloud.clients.lambda_.get_function_configuration(FunctionName=CONSUMER)
        return dict(found["Environment"]["Variables"])

    def calls(self, service: str) -> list[str]:
        """Return the operations of a service that were called, in order."""
        return [one.call.operation for one in self.cloud.recorded if one.call.service == service]

    def fail(self, *specs: str) -> None:
        """Put faults in force."""
        self.cloud.faults.replace([Fault.parse(spec) for spec in specs])


NOTHING: dict[str, list[str]] = {"endpoints": [], "configs": [], "models": []}


@pytest.fixture
def deployments(cloud: LocalCloud) -> Deployments:
    """Return the hands and eyes of a test."""
    return Deployments(cloud)


def tar_of(**members: bytes) -> bytes:
    """Return a tar.gz with the given members; `_` in a name stands for `/`."""
    buffer = BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        for name, content in members.items():
            info = tarfile.TarInfo(name.replace("__", "/"))
            info.size = len(content)
            archive.addfile(info, BytesIO(content))
    return buffer.getvalue()


@pytest.fixture
def document_of(
    cloud: LocalCloud, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> DocumentOf:
    """Returns a function that runs a command on the cloud: its exit status and its document."""
    monkeypatch.setenv("AWS_ENDPOINT_URL", cloud.url)

    def run(*arguments: str) -> tuple[int, dict[str, Any]]:
        capsys.readouterr()
        status = cli.main([*arguments, "--json"])
        out = capsys.readouterr().out
        return status, json.loads(out) if out else {}

    return run
