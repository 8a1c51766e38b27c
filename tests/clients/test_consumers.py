"""The libraries that consumers have, unchanged, against each container on an instance of the local cloud."""

from __future__ import annotations

import base64
import json
import os
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from botocore.auth import SigV4QueryAuth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from tests.system.conftest import Deployments, cloud, deployments, running_cloud  # noqa: F401 fixtures
from tests.system.rollout.test_instances import on_instances
from tools import pages

if TYPE_CHECKING:
    from local_cloud.cloud import LocalCloud

PYTHON = pages.TOP / ".cache" / "consumers" / "bin" / "python"
SCRIPT = Path(__file__).parent / "consumers.py"
IMAGE = "123456789012.dkr.ecr.us-east-1.amazonaws.com/sealift:1"
KEYS = {"AWS_ACCESS_KEY_ID": "AKIDEXAMPLE", "AWS_SECRET_ACCESS_KEY": "secret", "AWS_REGION_NAME": "us-east-1"}
FIELDS = {
    "pytorch": {},
    "custom": {"container": "custom", "image_uri": IMAGE},
    "llama-cpp": {"container": "llama-cpp"},
}
ONE_THREAD = {"n_threads": 1}
"""Two of llama.cpp's on contended cores wait for each other in loops."""
NOT_FOR_LLAMA_SERVER = {"litellm sagemaker", "openai refusal"}
"""`inputs`, which it does not know; and a bound of ours that it does not have in one slot."""


def token() -> str:
    """Return what sagemaker-core's token_generator makes: a presigned URL in base64."""
    url = "https://sagemaker.us-east-1.amazonaws.com/?Action=CallWithBearerToken"
    request = AWSRequest("POST", url, headers={"host": "sagemaker.us-east-1.amazonaws.com"})
    credentials = Credentials(KEYS["AWS_ACCESS_KEY_ID"], KEYS["AWS_SECRET_ACCESS_KEY"])
    SigV4QueryAuth(credentials, "sagemaker", "us-east-1", expires=3600).add_auth(request)
    presigned = f"{request.url.removeprefix('https://')}&Version=1"
    return f"sagemaker-api-key-{base64.b64encode(presigned.encode()).decode()}"


@pytest.fixture
def hermetic(tmp_path: Path) -> dict[str, str]:
    """Return an environment with nothing of the person's in it."""
    return {"PATH": os.defpath, "HOME": str(tmp_path), "LITELLM_LOCAL_MODEL_COST_MAP": "True", **KEYS}


@pytest.mark.parametrize("container", FIELDS)
def test_consumers_libraries_are_answered(
    deployments: Deployments,  # noqa: F811 the fixture from above
    cloud: LocalCloud,  # noqa: F811
    archive: Path,
    hermetic: dict[str, str],
    container: str,
) -> None:
    """Each by SageMaker's OpenAI route with its token, or by InvokeEndpoint."""
    assert PYTHON.is_file(), "no libraries of consumers; wanted them in .cache/consumers: run `make clients`"
    ended = deployments.upload(archive, "harbour", on_instances(inference=ONE_THREAD, **FIELDS[container]))
    assert ended.status == "SUCCEEDED", ended.cause
    name = ended.results["plan_deployment"]["names"]["endpoint"]

    done = subprocess.run(
        [PYTHON, SCRIPT, f"{cloud.url}/endpoints/{name}/openai/v1", token(), cloud.url, name],
        env=hermetic,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )

    assert done.returncode == 0, done.stderr[-2000:]
    said: dict[str, str | None] = json.loads(done.stdout.splitlines()[-1])
    wrong = {name: reason for name, reason in said.items() if reason is not None}
    expected = NOT_FOR_LLAMA_SERVER if container == "llama-cpp" else set()
    assert set(wrong) <= expected, wrong
    assert len(said) >= 15
