"""Consumers' libraries, unchanged, through `sealift proxy`: on serverless, and on instances, which stream."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from fnmatch import fnmatch
from typing import TYPE_CHECKING

import pytest

from pipeline import package_files
from pipeline.archive.build.pack import pack
from tests.clients.consumers.calls import Site
from tests.clients.test_consumers import IMAGE, LONG_S, ONE_THREAD, SCRIPTS, Library, expected
from tests.system.conftest import Deployments
from tests.system.rollout.test_instances import on_instances
from tests.system.workflow.test_deployment import settings
from tools import pages

if TYPE_CHECKING:
    from pathlib import Path

    from local_cloud.cloud import LocalCloud

pytestmark = pytest.mark.timeout(900)

KEY = "harbor-key"
CHAT, EMBEDDER = "m", "encoder"
"""The services. The scripts beside this name their model `m`, whatever answers them."""
HOSTINGS = {
    "serverless": {**settings(inference=ONE_THREAD, consumer=None), "max_concurrency": 4},
    "instance": on_instances(inference=ONE_THREAD, consumer=None, container="custom", image_uri=IMAGE),
    "llama-cpp": on_instances(inference=ONE_THREAD, consumer=None, container="llama-cpp"),
}
WORDS = {"litellm": ("openai/",)}
"""Which of a library's calls are made: the others call SageMaker by themselves."""
OTHERWISE: Mapping[str, Mapping[str, str]] = {
    "openai": {
        "error: no token": "a wrong key is 401, as OpenAI has it, where SageMaker has 403",
        "error: no endpoint": "the model names the service, not the URL",
        "error: models": "GET /v1/models lists the services",
    },
    "langchain-openai": {
        "invoke: o-series": "the script calls its model otherwise, and no service is called so"
    },
}
"""What is otherwise than on SageMaker's own route, with the reason."""
LIBRARIES = (
    Library("openai", "by_openai.py"),
    Library("langchain-openai", "by_langchain_openai.py"),
    Library("litellm", "by_litellm.py"),
    Library("pydantic-ai-slim", "by_pydantic_ai.py"),
    Library("instructor", "by_instructor.py", "agents"),
)


ELSEWHERE = "embedding*"
"""Calls that go to the other service, which AWS's llama.cpp image could not serve."""


@pytest.fixture(scope="module")
def archives(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Return the archives of a model that calls tools, and of one that embeds."""
    from tiny_encoder import write_tiny_encoder
    from tiny_gguf import write_tiny_gguf

    folder = tmp_path_factory.mktemp("proxied")
    models = {
        CHAT: write_tiny_gguf(folder / "agent.gguf", tools=True, ctx=8192),
        EMBEDDER: write_tiny_encoder(folder / "encoder.gguf"),
    }
    for name, model in models.items():
        pack(model, folder / f"{name}.tar.gz", code=package_files.code())
    return {name: folder / f"{name}.tar.gz" for name in models}


@pytest.fixture(scope="module", params=HOSTINGS)
def site(
    request: pytest.FixtureRequest, running_cloud: LocalCloud, archives: dict[str, Path]
) -> Iterator[Site]:
    """Deploy both services, run the proxy before them, and return where it answers."""
    cloud, deployments, endpoints = running_cloud, Deployments(running_cloud), {}
    if request.param == "llama-cpp" and not package_files.llama_server():
        pytest.skip("llama-server is not built: `make llama-server`")
    for service, archive in archives.items():
        embeds_elsewhere = service == EMBEDDER and request.param == "llama-cpp"
        ended = deployments.upload(
            archive, service, HOSTINGS["instance" if embeds_elsewhere else request.param]
        )
        assert ended.status == "SUCCEEDED", ended.cause
        endpoints[service] = str(ended.results["plan_deployment"]["names"]["endpoint"])
    command = [sys.executable, "-m", "sealift", "proxy", "--port", "0", "--json", "--quiet"]
    environment = {
        "AWS_ENDPOINT_URL": cloud.url,
        "AWS_ACCESS_KEY_ID": "local",
        "AWS_SECRET_ACCESS_KEY": "local",
        "AWS_REGION": cloud.region,
        "SEALIFT_PROXY_KEY": KEY,
    }
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, text=True, env=environment, cwd=pages.TOP
    ) as process:
        assert process.stdout is not None
        told = json.loads(process.stdout.readline())
        assert sorted(told["services"]) == sorted(archives)
        yield Site(
            request.param,
            told["base_url"],
            KEY,
            "http://127.0.0.1:9",
            endpoints[CHAT],
            endpoints[EMBEDDER],
            signed=False,
            embedding_model=EMBEDDER,
        )
        process.terminate()
        assert process.wait(60) == 0
    for name in endpoints.values():
        cloud.clients.sagemaker.delete_endpoint(EndpointName=name)


@pytest.mark.parametrize("library", LIBRARIES, ids=lambda library: library.package)
def test_a_library_is_answered_through_the_proxy(site: Site, tmp_path: Path, library: Library) -> None:
    """All that it is answered by SageMaker's own route, and OpenAI's other paths; with nothing of AWS's."""
    assert library.python.is_file(), f"no {library.python}; wanted the libraries there: run `make clients`"

    done = subprocess.run(
        [
            library.python,
            SCRIPTS / library.script,
            json.dumps([asdict(site)]),
            *WORDS.get(library.package, ()),
        ],
        env={
            "HOME": str(tmp_path),
            "LITELLM_LOCAL_MODEL_COST_MAP": "True",
            "LITELLM_LOG": "CRITICAL",
            "OTEL_SDK_DISABLED": "true",
        },
        capture_output=True,
        text=True,
        timeout=LONG_S,
        check=False,
    )

    assert done.returncode == 0, done.stderr[-2000:]
    said: dict[str, str | None] = json.loads(done.stdout.splitlines()[-1])[site.container]
    wrong = {name: why for name, why in said.items() if why is not None}
    otherwise = OTHERWISE.get(library.package, {}).keys()
    assert said.keys() >= otherwise
    if site.container == "llama-cpp" and library.package not in WORDS:
        asked = {name: why for name, why in said.items() if not fnmatch(name, ELSEWHERE)}
        otherwise |= expected(library, site.container, said) & asked.keys()
    unexpected = {name: wrong.get(name, "it was answered") for name in wrong.keys() ^ otherwise}
    assert not unexpected, json.dumps(unexpected, indent=1)
