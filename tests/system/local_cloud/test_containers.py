"""The three containers on the local cloud: the same upload, the same smoke test, the same consumer.

In processes, and where true containers work, on a local cloud that has our image: `custom` runs in one there, and the
images of AWS, which are in no registry here, beside it in processes.
"""

from __future__ import annotations

import io
import json
import tarfile
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, cast

import pytest
from botocore.exceptions import ClientError

from pipeline import package_files
from pipeline.sizing.images import PROFILES
from tests import ways
from tests.system import local_up
from tests.system.conftest import Deployments, empty
from tests.system.workflow.test_deployment import settings

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from local_cloud.cloud import LocalCloud
    from tests.system.local_up import Up

OWN_IMAGE = "123456789012.dkr.ecr.us-east-1.amazonaws.com/sealift:1"
FIELDS = {
    "pytorch": {},
    # The real llama-server takes one thread for each CPU, and two that wait for each other in loops take seconds for a
    # first token where the CPUs are shared.
    "llama-cpp": {"container": "llama-cpp", "inference": {"n_threads": 1}},
    "custom": {"container": "custom", "image_uri": OWN_IMAGE, "inference": {"n_threads": 1}},
}


@pytest.fixture(scope="module", params=ways.MODES)
def up(request: pytest.FixtureRequest) -> Up | None:
    """Return the local cloud of true containers; None where the one of all system tests is to be taken."""
    return None if request.param == "process" else request.getfixturevalue("true_cloud")


@pytest.fixture
def deployments(up: Up | None, request: pytest.FixtureRequest) -> Iterator[Deployments]:
    """Yield the hands and eyes of a test, on either."""
    if up is None:
        yield Deployments(request.getfixturevalue("cloud"))
        return
    elsewhere = cast("LocalCloud", up)  # As far as these tests go: its clients and the stack's outputs.
    yield Deployments(elsewhere)
    empty(elsewhere)


def deployed(deployments: Deployments, archive: Path, container: str) -> tuple[str, set[str]]:
    """Deploy with a container; return the endpoint's name and the top folders and files of what it got."""
    ended = deployments.upload(archive, "harbour", settings(**FIELDS[container]))
    assert ended.status == "SUCCEEDED", ended.cause
    assembled = ended.results["assemble_archive"]
    body = deployments.cloud.clients.s3.get_object(Bucket=assembled["bucket"], Key=assembled["key"])
    with tarfile.open(fileobj=io.BytesIO(body["Body"].read())) as tar:
        names = {name.partition("/")[0] for name in tar.getnames()}
    return ended.results["plan_deployment"]["names"]["endpoint"], names


def refusal(deployments: Deployments, endpoint: str, body: dict[str, Any]) -> dict[str, Any]:
    """Return the error that a container answers."""
    with pytest.raises(ClientError) as error:
        deployments.cloud.clients.sagemaker_runtime.invoke_endpoint(
            EndpointName=endpoint, ContentType="application/json", Body=json.dumps(body).encode()
        )
    told: dict[str, Any] = json.loads(error.value.response["OriginalMessage"])["error"]  # type: ignore[typeddict-item]
    return told


@pytest.mark.parametrize("container", FIELDS)
def test_each_container_serves_the_same_upload(
    deployments: Deployments, archive: Path, container: str, up: Up | None
) -> None:
    """The smoke test and the consumer ask all of them alike; only the prebuilt image gets code in its archive."""
    _, names = deployed(deployments, archive, container)

    code = {"code"} if PROFILES[container].carries_code else set()
    assert names == {"harbour.gguf", *code}
    if up is not None:
        assert len(local_up.containers(up)) == (container == "custom")


def test_the_llama_cpp_image_takes_messages_only(deployments: Deployments, archive: Path) -> None:
    """As llama-server does, which stands behind it."""
    endpoint, _ = deployed(deployments, archive, "llama-cpp")

    told = refusal(deployments, endpoint, {"prompt": "What?"})
    assert told == {"code": 400, "message": "'messages' is required", "type": "invalid_request_error"}


def test_the_llama_cpp_image_tells_both_numbers_of_a_prompt_that_is_too_long(
    deployments: Deployments, archive: Path
) -> None:
    """In llama-server's own fields; the context is the one that was requested, so its option has arrived."""
    endpoint, _ = deployed(deployments, archive, "llama-cpp")

    message = {"role": "user", "content": "sail " * 3000}
    told = refusal(deployments, endpoint, {"messages": [message], "unknown": "here"})
    assert told["type"] == "exceed_context_size_error"
    assert told["n_ctx"] == 2048
    assert told["n_prompt_tokens"] > told["n_ctx"]


BERTH = {"type": "json_schema", "json_schema": {"name": "berth", "schema": {"enum": ["yes", "no"]}}}
QUESTION = {"messages": [{"role": "user", "content": "What?"}], "max_tokens": 32}


def _streaming(deployments: Deployments, archive: Path, fields: dict[str, Any]) -> tuple[Any, dict[str, str]]:
    """Deploy on an instance, see that it streams; return the runtime's client, and how to ask."""
    del fields["max_concurrency"]  # serverless endpoints' alone
    ended = deployments.upload(archive, "harbour", fields)
    assert ended.status == "SUCCEEDED", ended.cause
    tested = ended.results["smoke_test"]
    for one in (tested["transcript"][0], tested["speed"]):
        assert 0 < one["first_token_s"] <= one["seconds"]
    assert tested["speed"]["tokens_per_s"] > 0
    assert "first token after" in ended.results["summary"]["speed"]
    runtime = deployments.cloud.clients.sagemaker_runtime
    asked = {
        "EndpointName": ended.results["plan_deployment"]["names"]["endpoint"],
        "ContentType": "application/json",
    }

    streamed = runtime.invoke_endpoint_with_response_stream(
        **asked, Body=json.dumps({**QUESTION, "stream": True}).encode()
    )
    text = b"".join(event["PayloadPart"]["Bytes"] for event in streamed["Body"]).decode()
    assert text.startswith("data: ")
    assert text.rstrip().endswith("data: [DONE]")
    return runtime, asked


@pytest.mark.skipif(
    package_files.llama_server() is None, reason="no llama-server here; `make llama-server` builds it"
)
def test_the_real_llama_server_streams_from_an_instance_and_keeps_to_a_schema(
    deployments: Deployments, archive: Path
) -> None:
    """What the imitation has not: events through SageMaker's stream, and `response_format`."""
    fields = settings(**FIELDS["llama-cpp"], hosting="instance")
    runtime, asked = _streaming(deployments, archive, fields)
    answered = runtime.invoke_endpoint(
        **asked, Body=json.dumps({**QUESTION, "response_format": BERTH}).encode()
    )
    answer = json.loads(answered["Body"].read())["choices"][0]["message"]["content"]
    assert json.loads(answer) in ("yes", "no")


@pytest.mark.skipif(
    package_files.llama_server() is None, reason="no llama-server here; `make llama-server` builds it"
)
def test_the_container_of_our_own_streams_from_an_instance_and_answers_callers_at_once(
    deployments: Deployments, archive: Path
) -> None:
    """Events through SageMaker's stream, a schema kept to, and as many at once as there are slots."""
    fields = settings(**FIELDS["custom"], hosting="instance")
    fields["inference"] = {"n_threads": 1, "n_parallel": 2}
    runtime, asked = _streaming(deployments, archive, fields)
    body = json.dumps({**QUESTION, "response_format": BERTH}).encode()

    def answer(_number: int) -> Any:
        found = json.loads(runtime.invoke_endpoint(**asked, Body=body)["Body"].read())
        return json.loads(found["choices"][0]["message"]["content"])

    with ThreadPoolExecutor(4) as callers:
        assert set(callers.map(answer, range(4))) <= {"yes", "no"}
