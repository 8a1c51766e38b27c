"""What `sealift connect` prints for consumers' libraries, run as it is by those libraries."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from pipeline.client import service_endpoint, snippets
from tests.system.conftest import Deployments
from tests.system.workflow.test_deployment import settings
from tools import pages

if TYPE_CHECKING:
    from collections.abc import Iterator

    from local_cloud.cloud import LocalCloud

KEYS = {"AWS_ACCESS_KEY_ID": "local", "AWS_SECRET_ACCESS_KEY": "local"}
CONSUMERS = pages.TOP / ".cache" / "consumers" / "bin" / "python"
HOSTINGS = {
    "serverless": {"consumer": None},
    "on an instance": {"consumer": None, "hosting": "instance", "instance_type": "ml.m5.large"},
}


@pytest.fixture(scope="module", params=HOSTINGS)
def pieces(
    request: pytest.FixtureRequest, running_cloud: LocalCloud, archive: Path
) -> Iterator[dict[str, str]]:
    """Return the code of each piece for a service, by name."""
    given = settings(**HOSTINGS[request.param])
    if "hosting" in HOSTINGS[request.param]:
        del given["max_concurrency"]  # serverless endpoints' alone
    service = "pier" if "hosting" in HOSTINGS[request.param] else "quay"
    ended = Deployments(running_cloud).upload(archive, service, given)
    assert ended.status == "SUCCEEDED", ended.cause
    endpoint = service_endpoint.find(running_cloud.clients, service, None)
    command = [sys.executable, "-m", "sealift", "proxy", "--port", "0", "--json", "--quiet"]
    environment = {**KEYS, "AWS_ENDPOINT_URL": running_cloud.url, "AWS_REGION": "us-east-1"}
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, text=True, env=environment, cwd=pages.TOP
    ) as process:
        assert process.stdout is not None
        proxy = json.loads(process.stdout.readline())["url"]
        found = snippets.of(endpoint, "us-east-1", running_cloud.url, proxy, store=running_cloud.url)
        yield {one.name: one.code for one in found}
        process.terminate()
    running_cloud.clients.sagemaker.delete_endpoint(EndpointName=endpoint.name)


@pytest.mark.parametrize("name", ["openai", "langchain", "litellm", "openai-proxy"])
def test_a_library_runs_what_is_printed_for_it(pieces: dict[str, str], tmp_path: Path, name: str) -> None:
    """Unchanged, with nothing but credentials in its environment; the model's sentence comes out."""
    assert CONSUMERS.is_file(), f"no {CONSUMERS}; wanted the libraries there: run `make clients`"

    done = subprocess.run(
        [CONSUMERS, "-c", pieces[name]],
        env={
            "PATH": f"{Path(sys.executable).parent}:{os.defpath}",
            "HOME": str(tmp_path),
            **KEYS,
            "LITELLM_LOCAL_MODEL_COST_MAP": "True",
            "LITELLM_LOG": "CRITICAL",
        },
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )

    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stdout.strip()
