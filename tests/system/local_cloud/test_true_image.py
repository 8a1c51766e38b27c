"""Our own image, from the local cloud's registry into a true container: the whole way of a deployment by `custom`.

Skipped where this machine has no runtime that works, or cannot build the image; each says why.
"""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest
from botocore.exceptions import ClientError

from local_cloud.cloud import CONSUMER, REGION
from tests import ways
from tests.system.local_up import PATIENCE_S, REPOSITORY, Up, containers
from tests.system.workflow.test_deployment import settings


@pytest.fixture
def up(true_cloud: Up) -> Up:
    """Return a local cloud that runs true containers, with our image in its registry."""
    return true_cloud


def test_it_says_that_endpoints_run_in_containers(up: Up) -> None:
    """In one line, with the runtime."""
    (line,) = (one for one in up.said if one.startswith("endpoints "))

    assert line.startswith(f"endpoints whose image is here run in containers of it ({ways.RUNTIME} ")


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
