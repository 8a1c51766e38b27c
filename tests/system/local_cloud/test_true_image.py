"""Our own image, from the local cloud's registry into a true container: the whole way of a deployment by `custom`.

Skipped where this machine has no runtime that works, or cannot build the image; each says why.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import pytest
from botocore.exceptions import ClientError

from local_cloud.cloud import CONSUMER, CREDENTIALS, REGION
from pipeline.aws.clients import Clients
from tests import our_image, pushed
from tests.system.workflow.test_deployment import settings

PATIENCE_S = 150.0
REPOSITORY = "sealift"


@dataclass
class Up:
    """`sealift local up` in a process of its own."""

    process: subprocess.Popen[str]
    said: list[str]
    """What it wrote up to the line that says how to end it."""
    clients: Clients

    @property
    def bucket(self) -> str:
        """Return where archives are uploaded."""
        return next(line.split()[-1] for line in self.said if line.startswith("upload bucket"))

    @property
    def machine(self) -> str:
        """Return the state machine."""
        return next(line.split()[-1] for line in self.said if line.startswith("state machine"))

    def deploy(self, archive: Path, service: str, fields: dict[str, Any]) -> dict[str, Any]:
        """Deploy an archive; return the execution's description when it has ended."""
        key = f"by-hand/{service}/model.tar.gz"
        self.clients.s3.upload_file(str(archive), self.bucket, key)
        document = {**fields, "archive": {"bucket": self.bucket, "key": key}, "service": service}
        machine = self.clients.stepfunctions
        arn = machine.start_execution(stateMachineArn=self.machine, input=json.dumps(document))[
            "executionArn"
        ]
        deadline = time.monotonic() + PATIENCE_S
        while (ended := machine.describe_execution(executionArn=arn))["status"] == "RUNNING":
            assert time.monotonic() < deadline, "the deployment does not end"
            time.sleep(0.2)
        return dict(ended)

    def log(self, endpoint: str) -> list[str]:
        """Return the lines of an endpoint's container."""
        name = f"/aws/sagemaker/Endpoints/{endpoint}"
        return [one["message"] for one in self.clients.logs.filter_log_events(logGroupName=name)["events"]]


@pytest.fixture(scope="module")
def up(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Up]:
    """Yield a local cloud that runs true containers, with our image in its registry."""
    image = our_image.built(tmp_path_factory.mktemp("layers"))
    command = [sys.executable, "-u", "-m", "sealift", "local", "up", "--port", "0", "--time-scale", "0.02"]
    # The variable, since the tests of the command line have the option.
    environment = {**os.environ, "SEALIFT_LOCAL_CONTAINERS": "runc"}
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment)
    assert process.stdout is not None
    try:
        said = []
        while "ends it" not in (line := process.stdout.readline()):
            assert line, f"the local cloud has ended: {said}"
            said.append(line.strip())
        url = next(line.split()[-1] for line in said if line.startswith("endpoint URL"))
        clients = Clients(endpoint_url=url, region=REGION, credentials=CREDENTIALS)
        pushed.push(clients.ecr, REPOSITORY, "1", image)
        yield Up(process, said, clients)
    finally:
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=120)


def containers(up: Up) -> list[psutil.Process]:
    """Return the first process of each container of a local cloud."""
    found = []
    for one in psutil.Process(up.process.pid).children():
        # One that is just going has no command line any more.
        with contextlib.suppress(psutil.NoSuchProcess):
            if any("runc_keeper" in word for word in one.cmdline()):
                found += one.children()
    return found


def test_it_says_that_endpoints_run_in_containers(up: Up) -> None:
    """In one line, with the runtime."""
    (line,) = (one for one in up.said if one.startswith("endpoints "))

    assert line.startswith("endpoints whose image is here run in containers of it (runc ")


def test_our_image_is_deployed_into_a_true_container(up: Up, archive: Path) -> None:
    """The smoke test, the consumer and a schema get their answers from llama-server in the image, run as nobody."""
    account = up.machine.split(":")[4]
    uri = f"{account}.dkr.ecr.{REGION}.amazonaws.com/{REPOSITORY}:1"
    fields = settings(container="custom", image_uri=uri, inference={"n_threads": 1})

    ended = up.deploy(archive, "harbour", fields)

    assert ended["status"] == "SUCCEEDED", ended.get("cause")
    (server,) = containers(up)
    assert server.uids().real == 65534
    assert Path(f"/proc/{server.pid}/root/opt/sealift/adapter/__main__.py").is_file()
    variables = up.clients.lambda_.get_function_configuration(FunctionName=CONSUMER)["Environment"]
    endpoint = variables["Variables"]["ENDPOINT_NAME"]
    body = {
        "messages": [{"role": "user", "content": "What?"}],
        "response_format": {
            "type": "json_schema",
            "json_schema": {"name": "berth", "schema": {"enum": ["yes", "no"]}},
        },
    }
    answered = up.clients.sagemaker_runtime.invoke_endpoint(
        EndpointName=endpoint, ContentType="application/json", Body=json.dumps(body)
    )
    answer = json.loads(answered["Body"].read())["choices"][0]["message"]["content"]
    assert json.loads(answer) in ("yes", "no")
    assert any('"event"' in line for line in up.log(endpoint))

    up.clients.sagemaker.delete_endpoint(EndpointName=endpoint)
    deadline = time.monotonic() + PATIENCE_S
    while containers(up):
        assert time.monotonic() < deadline, "the container stays"
        time.sleep(0.1)


def test_an_image_that_is_not_there_is_no_process_in_its_stead(up: Up, archive: Path) -> None:
    """As in AWS, nothing is made of it."""
    account = up.machine.split(":")[4]
    uri = f"{account}.dkr.ecr.{REGION}.amazonaws.com/{REPOSITORY}:never"

    ended = up.deploy(archive, "nowhere", settings(container="custom", image_uri=uri))

    assert ended["status"] == "FAILED"
    with pytest.raises(ClientError):
        up.clients.ecr.describe_images(repositoryName=REPOSITORY, imageIds=[{"imageTag": "never"}])
