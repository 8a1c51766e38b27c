"""`sealift local up` in a process of its own: its endpoints run in true containers, with our image in its registry."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from local_cloud.cloud import CREDENTIALS, REGION
from pipeline.aws.clients import Clients
from tests import our_image, pushed, ways

PATIENCE_S = 150.0
REPOSITORY = "sealift"
STACK = "sealift"


@dataclass
class Up:
    """`sealift local up` in a process of its own."""

    process: subprocess.Popen[str]
    said: list[str]
    """What it wrote up to the line that says how to end it."""
    clients: Clients

    @property
    def outputs(self) -> Mapping[str, str]:
        """Return the stack's outputs."""
        (stack,) = self.clients.cloudformation.describe_stacks(StackName=STACK)["Stacks"]
        return {one["OutputKey"]: one["OutputValue"] for one in stack["Outputs"]}

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


@contextlib.contextmanager
def running() -> Iterator[Up]:
    """Yield a local cloud that runs true containers, with our image in its registry; skip the test where none can."""
    image = our_image.built()
    command = [sys.executable, "-u", "-m", "sealift", "local", "up", "--port", "0", "--time-scale", "0.02"]
    # The variable, since the tests of the command line have the option.
    environment = {**os.environ, "SEALIFT_LOCAL_CONTAINERS": ways.RUNTIME}
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
