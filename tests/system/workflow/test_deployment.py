"""The main job on the local cloud: what happens when it goes well, and what is left when it does not."""

from __future__ import annotations

import gzip
import importlib.metadata
import json
import sys
import tarfile
import time
import zipfile
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import Any

import psutil
import pytest
from moto.sns.models import sns_backends

from local_cloud.cloud import CONSUMER
from pipeline.cli import following
from pipeline.cli.screen import Screen
from tests.system.conftest import BEFORE, NOTHING, STARTUP_DEADLINE_S, Deployments

PROMPT = "What does a sealift do?"
EXPECT = {"contains": "cargo"}


def settings(**more: Any) -> dict[str, Any]:
    """Return the settings of a small deployment."""
    return {
        "max_concurrency": 1,
        "smoke_test": {"prompts": [PROMPT], "expect": EXPECT},
        "consumer": {
            "function_name": CONSUMER,
            "test_event": {"prompt": PROMPT, "temperature": 0},
            "expect": EXPECT,
        },
        **more,
    }


def test_an_upload_becomes_an_endpoint_that_answers(deployments: Deployments, archive: Path) -> None:
    """The upload alone starts it; at its end the endpoint answers, and the consumer calls it."""
    ended = deployments.upload(archive, "harbour", settings())

    assert ended.status == "SUCCEEDED", ended.cause
    endpoint = ended.results["plan_deployment"]["names"]["endpoint"]
    assert deployments.resources() == {"endpoints": [endpoint], "configs": [endpoint], "models": [endpoint]}
    assert deployments.consumer_variables() == {**BEFORE, "ENDPOINT_NAME": endpoint}
    assert "cargo" in ended.results["smoke_test"]["transcript"][0]["answer"].lower()
    assert ended.results["update_consumer"]["consumers"][0]["answer"]["endpoint_name"] == endpoint


def test_the_endpoint_runs_the_runtime_that_its_archive_brought(
    deployments: Deployments, archive: Path
) -> None:
    """llama_cpp comes from the extracted archive's code/, not from what is installed here."""
    ended = deployments.upload(archive, "harbour", settings())

    assert ended.status == "SUCCEEDED", ended.cause
    name = ended.results["plan_deployment"]["names"]["endpoint"]
    logs = deployments.cloud.clients.logs
    events = logs.filter_log_events(logGroupName=f"/aws/sagemaker/Endpoints/{name}")["events"]
    lines = [json.loads(event["message"]) for event in events if event["message"].startswith("{")]
    (loaded,) = [line for line in lines if line["event"] == "loaded"]
    (loading,) = [line for line in lines if line["event"] == "loading"]
    assert loaded["runtime"] == f"{loading['model_dir']}/code/llama_cpp/__init__.py"
    assert not loaded["runtime"].startswith(sys.prefix)
    assert loaded["runtime_version"] == importlib.metadata.version("llama-cpp-python")


def test_what_is_made_carries_tags(deployments: Deployments, archive: Path) -> None:
    """Service, execution and archive version can be read off every resource."""
    ended = deployments.upload(archive, "harbour", settings())

    sagemaker = deployments.cloud.clients.sagemaker
    name = ended.results["plan_deployment"]["names"]["endpoint"]
    version = ended.results["check_archive"]["archive"]["version_id"]
    arns = (
        sagemaker.describe_endpoint(EndpointName=name)["EndpointArn"],
        sagemaker.describe_endpoint_config(EndpointConfigName=name)["EndpointConfigArn"],
        sagemaker.describe_model(ModelName=name)["ModelArn"],
    )
    for arn in arns:
        tags = {tag["Key"]: tag["Value"] for tag in sagemaker.list_tags(ResourceArn=arn)["Tags"]}

        assert tags["sealift:service"] == "harbour"
        assert tags["sealift:execution"] == ended.arn
        assert tags["sealift:archive-version"] == version


@pytest.mark.parametrize("form", ["tar.gz", "zip"])
def test_an_archive_of_only_a_model_gets_its_code_on_the_way(
    deployments: Deployments, model: Path, form: str
) -> None:
    """The checklist's layout: the GGUF at the root and nothing else, as tar.gz or as zip."""
    buffer = BytesIO()
    if form == "zip":
        with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as bundle:
            bundle.write(model, model.name)
    else:
        with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
            archive.add(model, model.name)

    ended = deployments.upload(buffer.getvalue(), "bare", settings(), name=f"model.{form}")

    assert ended.status == "SUCCEEDED", ended.cause
    assert ended.results["assemble_archive"]["way"] == {"tar.gz": "splice", "zip": "transcode"}[form]
    assert "cargo" in ended.results["smoke_test"]["transcript"][0]["answer"].lower()


def test_a_model_in_a_directory_deploys_when_moving_it_is_asked_for(
    deployments: Deployments, model: Path
) -> None:
    """The archive is rewritten on its way, and the function's log tells how far it is, as JSON."""
    buffer = BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        archive.add(model, f"exports/{model.name}")

    ended = deployments.upload(buffer.getvalue(), "nested", {**settings(), "relocate_model": True})

    assert ended.status == "SUCCEEDED", ended.cause
    assert ended.results["assemble_archive"]["reason"] == f"'exports/{model.name}' moves to the root"
    lines = _log_of(deployments, "AssembleArchive")
    told = [line["message"] for line in lines if line["logger"] == "tasks.assemble_archive"]
    assert told
    assert told[-1].endswith("bytes rewritten")


def _log_of(deployments: Deployments, task: str) -> list[dict[str, str]]:
    """Return the JSON lines that a task's function wrote."""
    cloud = deployments.cloud
    events = cloud.clients.logs.filter_log_events(logGroupName=cloud.outputs["TaskLogGroup"], limit=10_000)[
        "events"
    ]
    lines = [json.loads(event["message"]) for event in events if f"-{task}-" in event["logStreamName"]]
    return [line for line in lines if "logger" in line]


def test_what_is_deployed_does_not_change_when_the_upload_does(
    deployments: Deployments, archive: Path
) -> None:
    """The endpoint's archive lies under a key made of its content, in a bucket of its own."""
    ended = deployments.upload(archive, "fixed", settings())

    url = ended.results["plan_deployment"]["requests"]["create_model"]["PrimaryContainer"]["ModelDataUrl"]
    bucket, _, key = url.removeprefix("s3://").partition("/")
    assert bucket == deployments.cloud.outputs["ArtifactBucketName"]
    body = deployments.cloud.clients.s3.get_object(Bucket=bucket, Key=key)["Body"].read()
    assert body == archive.read_bytes()


def test_code_of_an_archive_runs_only_where_the_stack_allows_it(
    deployments: Deployments, with_code: Callable[[str], Path]
) -> None:
    """What an archive brings in code/ is data unless it was requested: Sealift's own code runs instead."""
    ended = deployments.upload(with_code("import os\nos._exit(3)\n"), "data", settings())

    assert ended.status == "SUCCEEDED", ended.cause
    assert ended.results["assemble_archive"]["way"] == "splice"


def test_a_start_by_hand_needs_one_field(deployments: Deployments, archive: Path) -> None:
    """As in the console: bucket and key, all else has defaults; the stack's default consumer is switched."""
    key = "models/by-hand/model.tar.gz"
    known = set(deployments.executions())
    deployments.cloud.clients.s3.put_object(Bucket=deployments.bucket, Key=key, Body=archive.read_bytes())
    deadline = time.monotonic() + 30
    while len(deployments.executions()) == len(known):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    for arn in set(deployments.executions()) - known:
        deployments.ended(arn)

    ended = deployments.start({"archive": {"bucket": deployments.bucket, "key": key}})

    assert ended.status == "SUCCEEDED", ended.cause
    endpoint = ended.results["plan_deployment"]["names"]["endpoint"]
    assert deployments.consumer_variables()["ENDPOINT_NAME"] == endpoint
    # The same archive was deployed by its upload: what exists is what was requested, so it is taken over.
    assert ended.results["create_endpoint"]["created"] is False
    assert deployments.resources()["endpoints"] == [endpoint]


def test_the_same_event_twice_is_one_execution(deployments: Deployments, archive: Path) -> None:
    """S3 delivers at least once; the execution's name, made of the event, refuses the second."""
    ended = deployments.upload(archive, "twice", settings())
    events = deployments.cloud.clients.events
    rule = next(rule for rule in events.list_rules()["Rules"] if "aws.s3" in rule.get("EventPattern", ""))
    target = events.list_targets_by_rule(Rule=rule["Name"])["Targets"][0]["Arn"]
    version = ended.results["check_archive"]["archive"]["version_id"]
    event = {
        "detail": {
            "bucket": {"name": deployments.bucket},
            "object": {
                "key": "models/twice/model.tar.gz",
                "version-id": version,
                "sequencer": "0062E99A88DC407460",
            },
        }
    }

    payload = json.dumps(event).encode()
    known = len(deployments.executions())

    def deliver() -> dict[str, Any]:
        answer = deployments.cloud.clients.lambda_.invoke(FunctionName=target, Payload=payload)
        document: dict[str, Any] = json.load(answer["Payload"])
        return document

    # While it runs, Step Functions answers a repeated start with the same execution; once it ended, with a refusal.
    first, while_running = deliver(), deliver()
    deployments.ended(first["execution_arn"])
    afterwards = deliver()

    assert while_running == first
    assert afterwards == {"name": first["name"], "duplicate": True}
    assert len(deployments.executions()) == known + 1


def test_resource_limit_exceeded_is_retried_until_there_is_room(
    deployments: Deployments, archive: Path
) -> None:
    """Twice refused, then accepted: the history shows two retries of CreateEndpoint and nothing else failed."""
    deployments.fail("sagemaker.CreateEndpoint=ResourceLimitExceeded:2")

    ended = deployments.upload(archive, "crowded", settings())

    assert ended.status == "SUCCEEDED", ended.cause
    state = ended.state("CreateEndpoint")
    assert state is not None
    assert (state.retries, state.errors) == (2, ("ResourceLimitExceeded", "ResourceLimitExceeded"))
    assert deployments.calls("sagemaker").count("CreateEndpoint") == 3


def test_a_quota_that_never_frees_ends_in_its_own_name(deployments: Deployments, archive: Path) -> None:
    """The retries are bounded; the cause says which quota and what to do; nothing is left."""
    deployments.fail("sagemaker.CreateEndpoint=ResourceLimitExceeded")

    ended = deployments.upload(archive, "full", settings())

    assert (ended.status, ended.error) == ("FAILED", "ResourceLimitExceeded")
    assert "request-service-quota-increase" in str(ended.cause)
    assert deployments.resources() == NOTHING


@pytest.mark.parametrize(
    "fault",
    [
        pytest.param("sagemaker.CreateModel=ThrottlingException:1", id="throttling"),
        pytest.param("sagemaker.CreateEndpointConfig=InternalFailure:1", id="5xx"),
        pytest.param("sagemaker.DescribeEndpoint=ThrottlingException:2", id="throttled poll"),
        pytest.param("sagemaker-runtime.InvokeEndpoint=ModelNotReadyException:2", id="cold start"),
        pytest.param("lambda.Invoke=TooManyRequestsException:1", id="Lambda throttled"),
        pytest.param("lambda.UpdateFunctionConfiguration=ResourceConflictException:1", id="consumer busy"),
    ],
)
def test_what_may_pass_is_retried(deployments: Deployments, archive: Path, fault: str) -> None:
    """One refusal that may pass later does not fail a deployment."""
    deployments.fail(fault)

    ended = deployments.upload(archive, "patient", settings())

    assert ended.status == "SUCCEEDED", ended.cause
    assert any(state.retries for state in ended.states)


def test_denied_access_is_not_retried(deployments: Deployments, archive: Path) -> None:
    """A permission that is missing now is missing in a minute; the cause names the action."""
    deployments.fail("sagemaker.CreateEndpointConfig=AccessDeniedException")

    ended = deployments.upload(archive, "denied", settings())

    assert (ended.status, ended.error) == ("FAILED", "AccessDenied")
    assert "sagemaker:CreateEndpointConfig" in str(ended.cause)
    assert deployments.calls("sagemaker").count("CreateEndpointConfig") == 1
    assert deployments.resources() == NOTHING


def test_an_endpoint_that_fails_to_start_is_removed(
    deployments: Deployments, with_code: Callable[[str], Path]
) -> None:
    """The container's process ends: EndpointFailed with SageMaker's reason, and nothing is left."""
    ended = deployments.upload(with_code("import os\nos._exit(3)\n"), "broken", settings(code="archive"))

    assert (ended.status, ended.error) == ("FAILED", "EndpointFailed")
    assert "model process exited" in str(ended.cause)
    assert deployments.resources() == NOTHING
    assert deployments.consumer_variables() == BEFORE


def test_a_missing_module_is_named(deployments: Deployments, with_code: Callable[[str], Path]) -> None:
    """The checklist's "Module not found": the diagnosis finds it in the container's log."""
    ended = deployments.upload(with_code("import torch_of_tomorrow\n"), "modules", settings(code="archive"))

    assert ended.error == "EndpointFailed"
    assert ended.results["diagnose"]["cause_name"] == "ModuleNotFound"
    assert "torch_of_tomorrow" in str(ended.cause)
    assert deployments.resources() == NOTHING


def test_an_endpoint_that_never_gets_ready_is_given_up(
    deployments: Deployments, with_code: Callable[[str], Path]
) -> None:
    """The poll loop has a deadline; the rollback waits until SageMaker lets the endpoint be deleted."""
    slow = f"import time\ndef model_fn(model_dir):\n    time.sleep({STARTUP_DEADLINE_S * 3})\n"

    ended = deployments.upload(with_code(slow), "slow", settings(code="archive", deadline_s=1))

    assert (ended.status, ended.error) == ("FAILED", "EndpointTimedOut")
    assert "still Creating" in str(ended.cause)
    roll_back = ended.state("RollBack")
    assert roll_back is not None
    assert "EndpointBusy" in roll_back.errors
    assert deployments.resources() == NOTHING


def test_a_wrong_answer_fails_the_smoke_test(deployments: Deployments, archive: Path) -> None:
    """InService is not enough; the consumer never saw the endpoint, and nothing is left of it."""
    wrong = {"prompts": [PROMPT], "expect": {"contains": "submarine"}}

    ended = deployments.upload(archive, "wrong", settings(smoke_test=wrong))

    assert (ended.status, ended.error) == ("FAILED", "SmokeTestFailed")
    assert "does not contain 'submarine'" in str(ended.cause)
    assert deployments.resources() == NOTHING
    assert deployments.consumer_variables() == BEFORE
    assert "UpdateFunctionConfiguration" not in deployments.calls("lambda")


def test_a_model_that_crashes_on_its_first_question_is_caught(
    deployments: Deployments, with_code: Callable[[str], Path]
) -> None:
    """/ping was fine, the process dies when asked: the smoke test sees what a caller would see."""
    code = (
        "import os\n"
        "def model_fn(model_dir):\n    return 1\n"
        "def input_fn(body, content_type):\n    return body\n"
        "def predict_fn(data, model):\n    os._exit(9)\n"
        "def output_fn(prediction, accept):\n    return b''\n"
    )

    ended = deployments.upload(with_code(code), "crash", settings(code="archive"))

    assert (ended.status, ended.error) == ("FAILED", "SmokeTestFailed")
    assert ended.results["diagnose"]["cause_name"] == "ProcessDied"
    assert deployments.resources() == NOTHING


def test_a_killed_process_fails_the_smoke_test_as_in_aws(deployments: Deployments, archive: Path) -> None:
    """InService stays InService; the next invocation gets SageMaker's ModelError."""
    ended = deployments.upload(archive, "killed", settings())
    endpoint = ended.results["plan_deployment"]["names"]["endpoint"]
    servers = [
        child
        for child in psutil.Process().children(recursive=True)
        if any(part.endswith(("inference/server.py", "inference/adapter")) for part in child.cmdline())
    ]
    for server in servers:
        server.kill()
        server.wait()
    plan = ended.results["plan_deployment"]
    event = {"endpoint_name": endpoint, "execution": ended.arn}
    event |= {name: plan[name] for name in ("smoke_test", "service", "hosting")}

    answer = deployments.cloud.clients.lambda_.invoke(
        FunctionName=deployments.cloud.physical_id("SmokeTest"), Payload=json.dumps(event).encode()
    )

    assert servers
    assert answer["FunctionError"] == "Unhandled"
    told = json.load(answer["Payload"])
    assert told["errorType"] == "SmokeTestFailed"
    assert "model process exited" in told["errorMessage"]
    status = deployments.cloud.clients.sagemaker.describe_endpoint(EndpointName=endpoint)["EndpointStatus"]
    assert status == "InService"


def test_a_consumer_that_fails_after_the_switch_is_put_back(deployments: Deployments, archive: Path) -> None:
    """The variable that was not there before is gone again, the others stayed, and the endpoint is removed."""
    consumer = {**settings()["consumer"], "expect": {"contains": "submarine"}}

    ended = deployments.upload(archive, "unhappy", settings(consumer=consumer))

    assert (ended.status, ended.error) == ("FAILED", "ConsumerFailed")
    assert "UpdateFunctionConfiguration" in deployments.calls("lambda")
    assert deployments.consumer_variables() == BEFORE
    assert deployments.resources() == NOTHING


def test_a_failed_update_leaves_what_served_before(deployments: Deployments, archive: Path) -> None:
    """The first deployment still answers and the consumer still calls it when the second one fails."""
    first = deployments.upload(archive, "steady", settings())
    served = first.results["plan_deployment"]["names"]["endpoint"]
    wrong = {"prompts": [PROMPT], "expect": {"contains": "submarine"}}

    second = deployments.upload(archive, "steady", settings(smoke_test=wrong))

    assert second.error == "SmokeTestFailed"
    assert second.results["plan_deployment"]["names"]["endpoint"] != served
    assert deployments.resources() == {"endpoints": [served], "configs": [served], "models": [served]}
    assert deployments.consumer_variables()["ENDPOINT_NAME"] == served
    payload = json.dumps({"prompt": PROMPT, "temperature": 0}).encode()
    answer = json.load(
        deployments.cloud.clients.lambda_.invoke(FunctionName=CONSUMER, Payload=payload)["Payload"]
    )
    assert answer["endpoint_name"] == served


def test_an_alias_is_moved_and_moved_back(deployments: Deployments, archive: Path) -> None:
    """With an alias, callers move when the new version is published; a failure moves them back."""
    functions = deployments.cloud.clients.lambda_
    old = functions.publish_version(FunctionName=CONSUMER)["Version"]
    functions.create_alias(FunctionName=CONSUMER, Name="live", FunctionVersion=old)
    consumer = {**settings()["consumer"], "alias": "live"}
    try:
        good = deployments.upload(archive, "alias", settings(consumer=consumer))
        moved = functions.get_alias(FunctionName=CONSUMER, Name="live")["FunctionVersion"]

        assert good.status == "SUCCEEDED", good.cause
        assert moved == good.results["update_consumer"]["consumers"][0]["version"] != old

        unhappy = {**consumer, "expect": {"contains": "submarine"}}
        bad = deployments.upload(archive, "alias", settings(consumer=unhappy))

        assert bad.error == "ConsumerFailed"
        assert functions.get_alias(FunctionName=CONSUMER, Name="live")["FunctionVersion"] == moved
        served = good.results["plan_deployment"]["names"]["endpoint"]
        assert deployments.consumer_variables()["ENDPOINT_NAME"] == served
    finally:
        functions.delete_alias(FunctionName=CONSUMER, Name="live")


def _zip(model: Path) -> bytes:
    buffer = BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.write(model, model.name)
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("make", "said"),
    [
        pytest.param(lambda good, _model: b"", "0 bytes", id="empty object"),
        pytest.param(lambda good, _model: b"hello" * 100, "wanted a tar.gz", id="not a gzip"),
        pytest.param(lambda good, model: _zip(model), "zip", id="a zip named tar.gz"),
        pytest.param(lambda good, _model: good.read_bytes()[:-100_000], "end", id="truncated"),
        pytest.param(lambda good, _model: gzip.compress(b"x" * 5000), "tar", id="no tar inside"),
    ],
)
def test_a_bad_archive_is_refused_before_anything_is_created(
    deployments: Deployments, archive: Path, model: Path, make: Callable[[Path, Path], bytes], said: str
) -> None:
    """One clear error; not a single call to SageMaker's creates."""
    ended = deployments.upload(make(archive, model), "bad", settings())

    assert (ended.status, ended.error) == ("FAILED", "InvalidArchive")
    assert said in str(ended.cause)
    assert not [call for call in deployments.calls("sagemaker") if call.startswith("Create")]


def test_several_mistakes_in_the_input_are_told_at_once(deployments: Deployments) -> None:
    """The first state refuses the input with every problem in one message."""
    ended = deployments.start(
        {
            "archive": {"bucket": deployments.bucket, "kee": "models/x/model.tar.gz"},
            "memory_mb": 3000,
            "hosting": "gpu",
        }
    )

    assert (ended.status, ended.error) == ("FAILED", "InvalidInput")
    for part in ("archive.kee", "did you mean 'archive.key'", "memory_mb is 3000", "hosting is 'gpu'"):
        assert part in str(ended.cause)


def test_a_missing_archive_is_named(deployments: Deployments) -> None:
    """No object where the input points: ArchiveNotFound with bucket and key."""
    ended = deployments.start({"archive": {"bucket": deployments.bucket, "key": "models/none/model.tar.gz"}})

    assert (ended.status, ended.error) == ("FAILED", "ArchiveNotFound")
    assert "models/none/model.tar.gz" in str(ended.cause)


def test_the_outcome_is_published(deployments: Deployments, archive: Path) -> None:
    """Success and failure both go to the notification topic."""
    deployments.upload(archive, "loud", settings())
    deployments.upload(b"nonsense", "loud", settings())

    assert deployments.calls("sns").count("Publish") == 2


def test_the_console_the_notification_and_the_command_line_say_the_same_three_lines(
    deployments: Deployments, archive: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """What happened, why, what to do: as Diagnose found them, in the Fail state's cause and everywhere else."""
    cloud = deployments.cloud
    wrong = {"prompts": [PROMPT], "expect": {"contains": "submarine"}}
    ended = deployments.upload(archive, "threefold", settings(smoke_test=wrong))
    topic = sns_backends[cloud.account_id][cloud.region].topics[cloud.outputs["TopicArn"]]
    following.conclude(ended, Screen(sys.stdout))

    lines = ended.results["diagnose"]["cause"].splitlines()
    assert [line.split(": ")[0] for line in lines] == ["what happened", "why", "what to do"]
    assert str(ended.cause).splitlines()[:3] == lines
    assert topic.sent_notifications[-1][1].splitlines()[:3] == lines
    shown = [line.removeprefix("  ") for line in capsys.readouterr().out.splitlines()]
    assert shown[shown.index(lines[0]) :][:3] == lines


def test_a_failure_that_cannot_be_looked_into_is_told_in_three_lines(
    deployments: Deployments, archive: Path
) -> None:
    """Diagnose itself fails: the failed state's own words are what is known."""
    wrong = {"prompts": [PROMPT], "expect": {"contains": "submarine"}}
    deployments.fail("logs.DescribeLogStreams=KilledBefore")
    ended = deployments.upload(archive, "unseen", settings(smoke_test=wrong))

    lines = str(ended.cause).splitlines()
    assert ended.state("Undiagnosed") is not None
    assert [line.split(": ")[0] for line in lines[:3]] == ["what happened", "why", "what to do"]
    assert "submarine" in lines[0]
