"""The libraries that consumers have, unchanged, against each container on an instance of the local cloud."""

from __future__ import annotations

import base64
import json
import os
import re
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from fnmatch import fnmatch
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from botocore.auth import SigV4QueryAuth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from local_cloud.cloud import CREDENTIALS
from pipeline import package_files
from pipeline.archive.build.pack import pack
from tests.clients.consumers.calls import Site
from tests.system.conftest import Deployments
from tests.system.rollout.test_instances import on_instances
from tools import pages

if TYPE_CHECKING:
    from local_cloud.cloud import LocalCloud

pytestmark = pytest.mark.timeout(900)

SCRIPTS = Path(__file__).parent / "consumers"
PAGE = pages.TOP / "docs" / "clients.md"
BEGIN, END = "<!-- counted by make clients -->", "<!-- so far counted -->"
IMAGE = "123456789012.dkr.ecr.us-east-1.amazonaws.com/sealift:1"
FIELDS: Mapping[str, Mapping[str, Any]] = {
    "pytorch": {"container": "pytorch"},
    "custom": {"container": "custom", "image_uri": IMAGE},
    "llama-cpp": {"container": "llama-cpp"},
}
EMBEDS = ("pytorch", "custom")
"""Containers whose `/invocations` takes a request for embeddings."""
ONE_THREAD = {"n_threads": 1}
"""Two of llama.cpp's on contended cores wait for each other in loops."""
LONG_S = 400


@dataclass(frozen=True)
class Library:
    """A library of consumers."""

    package: str
    """As the registry of Python packages has it."""
    script: str
    environment: str = "consumers"
    """The folder below .cache, and the lock that it is made of."""

    @property
    def python(self) -> Path:
        """The Python that has it."""
        return pages.TOP / ".cache" / self.environment / "bin" / "python"

    @property
    def version(self) -> str:
        """The version that is locked."""
        lock = (pages.TOP / "requirements" / f"{self.environment}.lock").read_text(encoding="utf-8")
        found = re.search(rf"^{re.escape(self.package)}==(\S+)", lock, re.MULTILINE)
        assert found, f"no {self.package} in requirements/{self.environment}.lock"
        return found[1]


LIBRARIES = (
    Library("openai", "by_openai.py"),
    Library("langchain-openai", "by_langchain_openai.py"),
    Library("langchain-aws", "by_langchain_aws.py"),
    Library("litellm", "by_litellm.py"),
    Library("pydantic-ai-slim", "by_pydantic_ai.py"),
    Library("instructor", "by_instructor.py", "agents"),
    Library("strands-agents", "by_strands.py", "agents"),
    Library("sagemaker-core", "by_sagemaker.py", "agents"),
)


@dataclass(frozen=True)
class Limit:
    """Calls that cannot be answered, and why."""

    why: str
    calls: Mapping[str, tuple[str, ...]]
    """Patterns of their names, by the library's."""


EVERYWHERE = (
    Limit(
        "this version reads no stream: it takes botocore's for a dictionary, before anything of it is read",
        {"sagemaker-core": ("Endpoint.invoke_with_response_stream",)},
    ),
)
"""What a library cannot do itself, whatever answers it."""
OF_LLAMA_CPP = (
    Limit(
        "the image answers `/invocations` as chat completions and as nothing else",
        {
            "openai": ("completion*", "response*", "embedding*"),
            "langchain-aws": ("SagemakerEndpoint*",),
            "litellm": ("sagemaker/*",),
            "sagemaker-core": ("Endpoint.invoke: inputs",),
        },
    ),
    Limit("llama-server ignores the older `functions`", {"openai": ("tools: functions",)}),
    Limit(
        "llama-server answers what other containers refuse",
        {"openai": ("error: no messages", "error: a role", "error: audio")},
    ),
)
"""What AWS's llama.cpp image does otherwise; it is not ours to change."""


def limits(container: str) -> tuple[Limit, ...]:
    """Return what is not to be had from a container."""
    return (*EVERYWHERE, *(OF_LLAMA_CPP if container == "llama-cpp" else ()))


def expected(library: Library, container: str, calls: Mapping[str, Any]) -> set[str]:
    """Return the names of a library's calls that a container cannot answer; each pattern is of one at least."""
    found: set[str] = set()
    for pattern in (one for limit in limits(container) for one in limit.calls.get(library.package, ())):
        named = {name for name in calls if fnmatch(name, pattern)}
        assert named, f"no call of {library.package} is called {pattern!r}"
        found |= named
    return found


def token() -> str:
    """Return what sagemaker-core's token_generator makes, of the credentials that the scripts have."""
    host = "sagemaker.amazonaws.com"
    request = AWSRequest(
        "POST", f"https://{host}/", headers={"host": host}, params={"Action": "CallWithBearerToken"}
    )
    credentials = Credentials(CREDENTIALS["aws_access_key_id"], CREDENTIALS["aws_secret_access_key"])
    SigV4QueryAuth(credentials, "sagemaker", "us-east-1", expires=3600).add_auth(request)
    presigned = f"{request.url.removeprefix('https://')}&Version=1"
    return f"sagemaker-api-key-{base64.b64encode(presigned.encode()).decode()}"


@pytest.fixture(scope="module")
def archives(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Return the archives of a model that calls tools, and of one that embeds."""
    from tiny_encoder import write_tiny_encoder
    from tiny_gguf import write_tiny_gguf

    folder = tmp_path_factory.mktemp("clients")
    models = {
        "agent": write_tiny_gguf(folder / "agent.gguf", tools=True, ctx=8192),
        "encoder": write_tiny_encoder(folder / "encoder.gguf"),
    }
    for name, model in models.items():
        pack(model, folder / f"{name}.tar.gz", code=package_files.code())
    return {name: folder / f"{name}.tar.gz" for name in models}


@pytest.fixture(scope="module")
def sites(running_cloud: LocalCloud, archives: dict[str, Path]) -> Iterator[list[Site]]:
    """Deploy the models once for each container, and return where they answer."""
    cloud = running_cloud
    deployments = Deployments(cloud)

    def deployed(kind: str, container: str) -> str:
        settings = on_instances(inference=ONE_THREAD, consumer=None, **FIELDS[container])
        ended = deployments.upload(
            archives[kind], f"{kind}-{container}".replace("llama-cpp", "llama"), settings
        )
        assert ended.status == "SUCCEEDED", ended.cause
        return str(ended.results["plan_deployment"]["names"]["endpoint"])

    containers = [one for one in FIELDS if one != "llama-cpp" or package_files.llama_server()]
    found = []
    for container in containers:
        name = deployed("agent", container)
        embedder = deployed("encoder", container) if container in EMBEDS else None
        url = f"{cloud.url}/endpoints/{name}/openai/v1"
        found.append(Site(container, url, token(), cloud.url, name, embedder))
    try:
        yield found
    finally:
        for one in found:
            for name in filter(None, (one.endpoint, one.embedder)):
                cloud.clients.sagemaker.delete_endpoint(EndpointName=name)


@pytest.fixture(scope="module")
def counted() -> dict[tuple[str, str], str]:
    """Return what has been counted, by library and container: `good of all`."""
    return {}


@pytest.fixture
def hermetic(tmp_path: Path, sites: list[Site]) -> dict[str, str]:
    """Return an environment with nothing of the person's in it."""
    return {
        "PATH": os.defpath,
        "HOME": str(tmp_path),
        "AWS_ACCESS_KEY_ID": CREDENTIALS["aws_access_key_id"],
        "AWS_SECRET_ACCESS_KEY": CREDENTIALS["aws_secret_access_key"],
        "AWS_ENDPOINT_URL": sites[0].runtime_url,
        **dict.fromkeys(("AWS_REGION", "AWS_DEFAULT_REGION", "AWS_REGION_NAME"), "us-east-1"),
        "LITELLM_LOCAL_MODEL_COST_MAP": "True",
        "LITELLM_LOG": "CRITICAL",
        "OTEL_SDK_DISABLED": "true",
    }


@pytest.mark.parametrize("library", LIBRARIES, ids=lambda library: library.package)
def test_consumers_libraries_are_answered(
    sites: list[Site], hermetic: dict[str, str], counted: dict[tuple[str, str], str], library: Library
) -> None:
    """Each by SageMaker's OpenAI route with its token, or by what the SDK signs; but for the limits above."""
    assert library.python.is_file(), f"no {library.python}; wanted the libraries there: run `make clients`"

    done = subprocess.run(
        [library.python, SCRIPTS / library.script, json.dumps([asdict(one) for one in sites])],
        env=hermetic,
        capture_output=True,
        text=True,
        timeout=LONG_S,
        check=False,
    )

    assert done.returncode == 0, done.stderr[-2000:]
    said: dict[str, dict[str, str | None]] = json.loads(done.stdout.splitlines()[-1])
    wrong = {
        container: {name: reason for name, reason in calls.items() if reason is not None}
        for container, calls in said.items()
    }
    for container, calls in said.items():
        counted[library.package, container] = f"{len(calls) - len(wrong[container])} of {len(calls)}"
    unexpected = {
        container: {name: wrong[container].get(name, "it was answered") for name in names}
        for container, calls in said.items()
        if (names := wrong[container].keys() ^ expected(library, container, calls))
    }
    assert not unexpected, json.dumps(unexpected, indent=1)


def test_the_page_tells_what_was_counted(sites: list[Site], counted: dict[tuple[str, str], str]) -> None:
    """The table of docs/clients.md is the outcome of the tests above."""
    if len(sites) < len(FIELDS) or len(counted) < len(FIELDS) * len(LIBRARIES):
        pytest.skip("not every library was run against every container")
    page = PAGE.read_text(encoding="utf-8")

    table = told(counted)

    assert page.partition(BEGIN)[2].partition(END)[0].strip() == table, f"docs/clients.md; wanted\n\n{table}"


def told(counted: Mapping[tuple[str, str], str]) -> str:
    """Return the table, and why what is not answered is not."""
    names = [f"`{one}`" for one in FIELDS]
    lines = [f"| library | {' | '.join(names)} |", "|---" * (1 + len(names)) + "|"]
    for library in LIBRARIES:
        cells = [counted[library.package, container] for container in FIELDS]
        lines.append(f"| {library.package} {library.version} | {' | '.join(cells)} |")
    lines += ["", "Not answered, and why:", ""]
    for where, found in (("everywhere", EVERYWHERE), ("`llama-cpp`", OF_LLAMA_CPP)):
        for limit in found:
            calls = "; ".join(
                f"{name}: {', '.join(f'`{one}`' for one in of)}" for name, of in limit.calls.items()
            )
            lines.append(f"- {where}: {limit.why} ({calls})")
    return "\n".join(lines)
