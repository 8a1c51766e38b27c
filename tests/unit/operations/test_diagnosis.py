"""Diagnosis: from the texts that AWS and containers really say to a named cause with a fix."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from botocore.exceptions import ClientError

from pipeline import error_codec, errors
from pipeline.aws import service_errors
from pipeline.errors import Problem
from pipeline.operations import diagnosis
from pipeline.operations.diagnosis import RULES, Diagnosis, diagnose, pick_evidence
from pipeline.operations.state_order import ORDER

QUOTA = (
    "CreateEndpoint: ResourceLimitExceeded: The account-level service limit '{}' is {}, with current utilization "
    "of {} and a request delta of {}. Please use AWS Service Quotas to request an increase for this quota."
)

# What the console, the API and container logs were seen to say, and the cause that a person would name.
SAID = (
    pytest.param(
        "An error occurred (ValidationError) when calling the InvokeEndpoint operation: Inference Component Name "
        "header is required for endpoints to which you plan to deploy inference components. Please include Inference "
        "Component Name header or consider using SageMaker models.",
        "ComponentNotNamed",
        id="a consumer that names the endpoint alone",
    ),
    pytest.param(
        "There is not enough hardware resources on the instances for this endpoint to create a copy of the inference "
        "component.",
        "NoRoomForCopy",
        id="a copy that reserves too much",
    ),
    pytest.param(
        "endpoint 'x': the model answered 400: the request has 'messages', and model 'm' embeds texts, and generates "
        "none; ask with 'input'",
        "AskedOtherwise",
        id="a consumer that chats with a model for embeddings",
    ),
    pytest.param(
        "endpoint 'x' answered 'Hello.' with status 500: the model's embedding holds infinity or what is no number",
        "EmbeddingBroken",
        id="an embedding that is none",
    ),
    pytest.param(
        "endpoint 'x' answered 'Hello.' and broke off in its middle: An error occurred while streaming the response "
        "body.",
        "AnswerBrokenOff",
        id="a stream that AWS ends",
    ),
    pytest.param(
        "endpoint 'x' answered 'Hello.' with an error: the answer ended in its middle: no memory; wanted its end; ask "
        "again",
        "AnswerBrokenOff",
        id="a stream that the server ends",
    ),
    pytest.param(
        "endpoint 'x' answered 'Hello.' with status 500: the model's score is infinity or no number",
        "RankingBroken",
        id="a score that is none",
    ),
    pytest.param(
        "the model answered 400: the request has 'messages', and model 'm' ranks texts, and does nothing else; "
        "ask with 'query' and 'documents'",
        "AskedOtherwise",
        id="a consumer that chats with a reranker",
    ),
    pytest.param(
        "Could not find model data at s3://b/model.tar.gz.", "RoleCannotReadModel", id="no model data"
    ),
    pytest.param(
        "Could not access model data at s3://b/model.tar.gz. Please ensure that the role can access it",
        "RoleCannotReadModel",
        id="model data denied",
    ),
    pytest.param(
        "The role cannot pull 1.dkr.ecr.us-east-1.amazonaws.com/x:1. Ensure that the role exists and the image "
        "was granted pull permission.",
        "RoleCannotPullImage",
        id="image denied",
    ),
    pytest.param(
        "Requested image 1.dkr.ecr.us-east-1.amazonaws.com/x:1 not found.", "ImageMissing", id="image missing"
    ),
    pytest.param(
        "Please make sure all images included in the model for the production variant AllTraffic exist, and that the "
        "execution role used to create the model has permissions to access them.",
        "ImageMissing",
        id="image gone",
    ),
    pytest.param(
        'Region of "1.dkr.ecr.us-east-1.amazonaws.com/x:1" does not match expected region of eu-west-1. '
        "Cross region ECR image pulls are not allowed.",
        "ImageElsewhere",
        id="image in another region",
    ),
    pytest.param(
        'Using non-ECR image "docker.io/library/x:1" without Vpc repository access mode is not supported.',
        "ImageElsewhere",
        id="image of another registry",
    ),
    pytest.param(
        "Unsupported manifest media type application/vnd.oci.image.index.v1+json for image "
        "1.dkr.ecr.us-east-1.amazonaws.com/x:1. Ensure that valid manifest media type is used for specified image.",
        "ImageManifest",
        id="image of several architectures",
    ),
    pytest.param(
        "CannotStartContainerError. Please ensure the model container for variant AllTraffic starts correctly when "
        "invoked with 'docker run <image> serve'.",
        "ImageCannotStart",
        id="image of another architecture",
    ),
    pytest.param(
        "The repository policy does not grant ecr:GetDownloadUrlForLayer to the role",
        "RoleCannotPullImage",
        id="layer denied",
    ),
    pytest.param(
        'Failed to extract model data archive from URL "s3://b/m.tar.gz". Please ensure that the object located '
        "at the URL is a valid tar.gz archive.",
        "ArchiveNotExtractable",
        id="extraction",
    ),
    pytest.param(
        'Failed to extract model data archive for container "container_1" from URL "s3://b/m.tar.gz".',
        "ArchiveNotExtractable",
        id="extraction for a container",
    ),
    pytest.param(
        'Failed to extract model data archive from URL "s3://b/m.tar.gz". The model data archive is too large. '
        "Please reduce the size of the model data archive or move to an instance type with more memory.",
        "DiskFull",
        id="extraction of too much",
    ),
    pytest.param("Invalid archive cannot be uncompressed", "ArchiveNotExtractable", id="checklist: archive"),
    pytest.param(
        "Image size 13494688833 is greater than supported size 10737418240", "ImageTooLarge", id="image size"
    ),
    pytest.param(
        "Unable to successfully stand up your model within the allotted 180 second timeout",
        "TooSlowToStart",
        id="start-up",
    ),
    pytest.param("Ping failed due to insufficient memory.", "OutOfMemory", id="memory"),
    # ggml-org/llama.cpp, issue 20431.
    pytest.param(
        "ggml_backend_cuda_buffer_type_alloc_buffer: allocating 144817.04 MiB on device 0: cudaMalloc failed: out of "
        "memory",
        "GpuOutOfMemory",
        id="a GPU's memory",
    ),
    pytest.param(
        "error while loading shared libraries: libcuda.so.1: cannot open shared object file: No such file or directory",
        "NoGpuDriver",
        id="no GPU",
    ),
    pytest.param("worker pid 81 was terminated by signal 9", "OutOfMemory", id="killed"),
    pytest.param(
        'Received server error (0) from model with message "An error occurred while handling request as the model '
        'process exited.". See https://console for more information.',
        "ProcessDied",
        id="process exited",
    ),
    pytest.param(
        "Amazon SageMaker could not get a response from the harbour-0 endpoint. This can occur when CPU or memory "
        "utilization is high.",
        "ProcessDied",
        id="no response",
    ),
    pytest.param(
        'Received server error (0) from primary with message "Your invocation timed out while waiting for a '
        'response from container primary. Review the latency metrics"',
        "AnswerTooSlow",
        id="invocation time-out",
    ),
    pytest.param("OSError: [Errno 28] No space left on device", "DiskFull", id="disk"),
    pytest.param(
        "python: can't open file '/usr/local/bin/deep_learning_container.py': [Errno 13] Permission denied",
        "NotWritable",
        id="permission of a file",
    ),
    pytest.param("OSError: [Errno 30] Read-only file system: '/opt/x'", "NotWritable", id="read-only"),
    pytest.param(
        QUOTA.format("Memory size in MB per serverless endpoint", "3072 MBs", "0 MBs", "4096 MBs"),
        "MemoryQuota",
        id="memory quota",
    ),
    pytest.param(
        QUOTA.format("ml.r5.xlarge for endpoint usage", "0 Instances", "0 Instances", "1 Instances"),
        "InstanceQuota",
        id="instance quota",
    ),
    pytest.param(
        "The object at s3://b/m.gguf does not have the ETag 9b2c.", "ModelDataChanged", id="another object"
    ),
    pytest.param(
        QUOTA.format("Maximum total concurrency", "10 Units", "10 Units", "10 Units"),
        "Quota",
        id="other quota",
    ),
    pytest.param("ModuleNotFoundError: No module named 'llama_cpp'", "NoLlamaCpp", id="no llama_cpp"),
    pytest.param("Module not found", "ModuleNotFound", id="checklist: module"),
    pytest.param("ModuleNotFoundError: No module named 'requests'", "ModuleNotFound", id="no module"),
    pytest.param("unknown model architecture: 'gemma3'", "UnknownArchitecture", id="architecture"),
    pytest.param(
        "tensor 'blk.1.ffn_up.weight' data is not within the file bounds, model is corrupted or incomplete",
        "ModelCutShort",
        id="model cut short",
    ),
    *(
        pytest.param(text, "CompanionRefused", id=f"beside the model: {name}")
        for name, text in {
            "adapter's family": "llama_adapter_lora_init_from_file_ptr: failed to apply lora adapter: model arch and "
            "LoRA arch mismatch",
            "adapter cut short": "failed to apply lora adapter: LoRA tensor 'x.lora_a' data is not within the file "
            "bounds, file is corrupted or incomplete",
            "projector's width": "mtmd_init_from_file: error: mismatch between text model (n_embd = 128) and mmproj "
            "(n_embd = 64)",
            "projector cut short": "clip_init: failed to load model 'm.gguf': load_tensors: failed to seek for tensor "
            "v.post_ln.bias mtmd_init_from_file: error: Failed to load CLIP model from m.gguf",
            "draft cut short": "tensor 'output.weight' data is not within the file bounds, model is corrupted or "
            "incomplete srv load_model: failed to load draft model, 'draft.gguf'",
        }.items()
    ),
    pytest.param(
        "llama_model_load: error loading model: check_tensor_dims: tensor 'output.weight' not found",
        "TensorsUnexpected",
        id="tensor missing",
    ),
    pytest.param("llama_model_load_from_file_impl: failed to load model", "ModelNotLoaded", id="not loaded"),
    pytest.param(
        "model file 'm.gguf': its chat template (tokenizer.chat_template) is not a valid one: unexpected '}'",
        "ChatTemplateBroken",
        id="chat template",
    ),
    pytest.param("Memory size exceeds limit", "MemoryQuota", id="memory size"),
    pytest.param("Unable to locate at least 1 object", "RoleCannotReadModel", id="no object"),
    pytest.param(
        "does not grant ecr:GetDownloadUrlForLayer, ecr:BatchGetImage", "RoleCannotPullImage", id="no grant"
    ),
    pytest.param("ResourceLimitExceeded", "Quota", id="checklist: quota"),
    pytest.param(
        "CreateModel: User: arn:aws:sts::1:assumed-role/x/y is not authorized to perform: sagemaker:CreateModel",
        "AccessDenied",
        id="not authorized",
    ),
    pytest.param("Access denied", "AccessDenied", id="checklist: access"),
    pytest.param(
        "endpoint 'harbour-0' is Failed on configuration 'harbour-0', wanted InService on 'harbour-0': Unable to "
        "provision requested ML compute capacity due to InsufficientInstanceCapacity error. Please retry using a "
        "different ML instance type or after some time.",
        "NoCapacity",
        id="no capacity",
    ),
    pytest.param(
        "The primary container for production variant AllTraffic did not pass the ping health check. Please check "
        "CloudWatch logs for this endpoint.",
        "PingFailed",
        id="ping",
    ),
    pytest.param(
        "CreateModel: ValidationException: 1 validation error detected: Value 'codeqwen1.5-7b' at 'modelName' "
        "failed to satisfy constraint: Member must satisfy regular expression pattern: ^[a-zA-Z0-9]",
        "RequestInvalid",
        id="constraint",
    ),
)

ASIDE = {"assemble_image", "update_endpoint", "create_component", "evaluate_quality"}
WAY = [name for name in ORDER if name not in ASIDE]
"""The states that a deployment of an archive with an endpoint of its own comes to."""
COMPONENT: dict[str, Any] = {"switch": "in_steps", "smoke_test": {"component": True}}
"""The plan of an endpoint that scales to none."""
GOOD: dict[str, Any] = {name: {} for name in WAY} | {
    "plan_deployment": {"switch": "in_steps"},
    "poll_endpoint": {"verdict": "ready"},
    "watch_consumer": {"left": 0},
}


def failed_with(said: str, error: str = "EndpointFailed") -> Diagnosis:
    """Return the diagnosis of a failure that said this and no more."""
    return diagnose({"Error": error, "Cause": said}, {})


@pytest.mark.parametrize(("said", "cause"), SAID)
def test_a_text_that_was_seen_has_a_named_cause(said: str, cause: str) -> None:
    """Each known text leads to its cause, in the message as in the evidence."""
    assert failed_with(said).cause_name == cause

    found = diagnose({"Error": "EndpointFailed", "Cause": "it failed"}, {}, ("harmless line", said))
    assert found.cause_name == cause
    assert said[:100] in found.why


@pytest.mark.parametrize("rule", [pytest.param(rule, id=rule.cause) for rule in RULES])
def test_every_rule_is_reached_by_a_text_that_was_seen(rule: diagnosis.DiagnosisRule) -> None:
    """A rule that no known text reaches is dead, or hidden behind another."""
    assert rule.cause in {str(param.values[1]) for param in SAID}
    assert rule.why
    assert rule.fix


def test_an_account_quota_is_known_by_its_error_alone() -> None:
    """The name of the error is evidence too."""
    assert failed_with("", "ResourceLimitExceeded").cause_name == "Quota"


def test_the_message_of_a_lambda_is_unpacked() -> None:
    """A Lambda's Cause is JSON; the exception's message is what a person needs."""
    cause = json.dumps({"errorMessage": "endpoint 'x' is Failed", "errorType": "EndpointFailed", "trace": []})

    assert "endpoint 'x' is Failed" in failed_with(cause).what
    assert "errorType" not in failed_with(cause).cause


@pytest.mark.parametrize(
    ("results", "state"),
    [
        pytest.param({}, "check_archive", id="nothing done"),
        *(
            pytest.param({name: GOOD[name] for name in WAY[:n]}, WAY[n], id=f"after {WAY[n - 1]}")
            for n in range(1, len(WAY))
        ),
        pytest.param(
            {**{name: {} for name in WAY[:7]}, "poll_endpoint": {"verdict": "wait"}},
            "poll_endpoint",
            id="still waiting",
        ),
        pytest.param(
            {"check_archive": {}, "plan_deployment": {}, "failure": {}, "other": {}},
            "assemble_archive",
            id="other data beside",
        ),
        pytest.param(
            {name: {"updates": {}} for name in WAY[:6]}, "update_endpoint", id="an endpoint that is updated"
        ),
        pytest.param(
            {name: {"updates": {}} for name in ORDER[: ORDER.index("poll_endpoint")]},
            "poll_endpoint",
            id="an endpoint that was updated",
        ),
        pytest.param(
            {name: {"updates": {}} for name in WAY[:7]},
            "update_endpoint",
            id="an endpoint that is updated, since it came after the first plan",
        ),
        pytest.param(GOOD, "update_consumer", id="everything done"),
        pytest.param(
            {"check_archive": {}, "plan_deployment": {"image": {}}}, "assemble_image", id="an image"
        ),
        pytest.param(
            {"check_archive": {}, "plan_deployment": {"image": {}}, "assemble_image": {"more": True}},
            "assemble_image",
            id="an image that is not whole",
        ),
        pytest.param(
            {**GOOD, "plan_deployment": {"quality": {}}, "read_consumer": None},
            "evaluate_quality",
            id="a gate",
        ),
        pytest.param(
            {**GOOD, "plan_deployment": {"quality": {}}, "evaluate_quality": {"more": True}},
            "evaluate_quality",
            id="a gate that is not through",
        ),
        pytest.param(
            {
                **GOOD,
                "plan_deployment": {"quality": {}},
                "evaluate_quality": {"more": False},
                "read_consumer": None,
            },
            "read_consumer",
            id="a gate that is through",
        ),
        pytest.param(
            {"check_archive": {}, "plan_deployment": {"image": {}}, "assemble_image": {"more": False}},
            "create_model",
            id="after an image",
        ),
        pytest.param(
            {name: GOOD[name] for name in WAY[: WAY.index("shift_consumer")]} | {"plan_deployment": {}},
            "update_consumer",
            id="a consumer that is switched at once",
        ),
        pytest.param({**GOOD, "watch_consumer": {"left": 3}}, "watch_consumer", id="still being watched"),
        pytest.param(
            {
                **{name: {} for name in WAY[:7]},
                "plan_deployment": COMPONENT,
                "poll_endpoint": {"verdict": "hollow"},
            },
            "create_component",
            id="a component",
        ),
        pytest.param(
            {
                **{name: {} for name in WAY[:7]},
                "plan_deployment": COMPONENT,
                "poll_endpoint": {"verdict": "hollow"},
                "create_component": {},
            },
            "poll_endpoint",
            id="a component that was made and is gone",
        ),
        pytest.param(
            {**GOOD, "plan_deployment": COMPONENT, "create_component": {}, "read_consumer": None},
            "read_consumer",
            id="after a component",
        ),
        pytest.param(
            {
                **GOOD,
                "plan_deployment": {"smoke_test": {"component": False}},
                "read_consumer": None,
            },
            "read_consumer",
            id="an endpoint with a model of its own",
        ),
    ],
)
def test_the_state_that_failed_is_the_first_without_a_result(results: dict[str, Any], state: str) -> None:
    """The execution's data tells it: what succeeded left a result."""
    assert diagnosis.failed_state(results) == state


def raised_in(*files: str) -> dict[str, str]:
    """Return a failure as Lambda tells of an exception that passed through these files."""
    trace = [f'  File "/var/task/{file}", line 7, in run\n    return it()\n' for file in files]
    cause = {"errorMessage": "no", "errorType": "ModelDoesNotFit", "requestId": "r", "stackTrace": trace}
    return {"Error": "ModelDoesNotFit", "Cause": json.dumps(cause)}


@pytest.mark.parametrize(
    ("files", "results", "state"),
    [
        pytest.param(
            ("pipeline/aws/clients.py", "tasks/plan_deployment.py", "pipeline/planning/plan.py"),
            {**{name: {} for name in WAY[:6]}, "moved": {"Error": "EndpointMoved"}},
            "plan_deployment",
            id="planned anew, since the endpoint moved",
        ),
        pytest.param(
            ("pipeline/aws/clients.py", "tasks/create_model.py", "pipeline/rollout/idempotent_create.py"),
            {**{name: {} for name in WAY[:6]}, "moved": {"Error": "EndpointMoved"}},
            "create_model",
            id="made anew",
        ),
        pytest.param(
            ("pipeline/aws/clients.py", "tasks/read_consumer.py"),
            {**GOOD, "moved": {"Error": "ConsumerMoved"}},
            "read_consumer",
            id="read again, since the consumer moved",
        ),
        pytest.param(
            ("tasks/update_endpoint.py",),
            {name: {"updates": {}} for name in WAY[:6]},
            "update_endpoint",
            id="an update",
        ),
        pytest.param(
            ("tasks/step_down.py",),
            {name: {} for name in WAY[:6]},
            "create_endpoint",
            id="a state that only makes another one possible",
        ),
        pytest.param((), {name: {} for name in WAY[:6]}, "create_endpoint", id="no trace"),
    ],
)
def test_a_state_that_is_come_to_again_is_known_by_where_it_raised(
    files: tuple[str, ...], results: dict[str, Any], state: str
) -> None:
    """Its result of the first time is still in the data."""
    found = diagnose(raised_in(*files), results)

    assert found.state == state
    assert found.what.startswith(f"{state.replace('_', ' ')} failed with ModelDoesNotFit: no")


@pytest.mark.parametrize(
    "cause", ["", "no JSON", "[]", '{"stackTrace": null}', '{"stackTrace": [1, {}]}', "[" * 5000]
)
def test_a_cause_of_another_form_tells_no_state(cause: str) -> None:
    """Step Functions' own errors, and Lambda's."""
    assert (
        diagnose({"Error": "States.Timeout", "Cause": cause}, {"check_archive": {}}).state
        == "plan_deployment"
    )


def test_a_message_of_many_lines_is_one_of_the_three() -> None:
    """A traceback in the message, or in the line that gave the cause away, does not push out what to do."""
    told = "status 500: Traceback:\n  File x\n\nValueError: y"
    found = diagnose({"Error": "SmokeTestFailed", "Cause": told}, {}, ("bad\nNo module named 'llama_cpp'\n",))

    assert len(found.cause.splitlines()) == 3
    assert "Traceback: File x ValueError: y" in found.what
    assert found.cause_name == "NoLlamaCpp"


def test_a_message_without_end_is_cut() -> None:
    """A Fail state's Cause has 32,768 characters."""
    assert len(failed_with("x" * 200_000).cause) < 10_000


def test_a_diagnosis_is_three_lines() -> None:
    """What happened, why, what to do; the same three everywhere."""
    found = failed_with("Ping failed due to insufficient memory.")

    assert [line.split(": ")[0] for line in found.cause.splitlines()] == [
        "what happened",
        "why",
        "what to do",
    ]
    assert found.to_json()["cause"] == found.cause
    assert set(found.to_json()) == set(diagnosis.Diagnosed.__annotations__)


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        pytest.param("States.Timeout", "StatesTimeout", id="time-out"),
        pytest.param("States.TaskFailed", "StatesTaskFailed", id="task failed"),
        pytest.param("Lambda.Unknown", "Lambda.Unknown", id="Lambda's own"),
        pytest.param("EndpointFailed", "EndpointFailed", id="ours"),
    ],
)
def test_a_fail_state_may_carry_the_name(error: str, expected: str) -> None:
    """The language reserves names that begin with "States."; such a name loses its dot."""
    assert failed_with("x", error).error == expected


@pytest.mark.parametrize(
    "error",
    [
        pytest.param(name, id=name)
        for name in errors.names(errors.PermanentError)
        if name not in {"AccessDenied", "RequestRejected"}
    ],
)
def test_a_refusal_speaks_for_itself(error: str) -> None:
    """What Sealift refused it has explained: no text inside the message may lead elsewhere."""
    found = failed_with(
        "models/a.gguf: the member 'No module named x' is 9 bytes; wanted 5; access denied", error
    )

    assert found.cause_name == error
    assert not re.search("not one that Sealift knows", found.why)


@pytest.mark.parametrize("error", [pytest.param(name, id=name) for name in errors.names()])
def test_no_error_of_ours_is_unknown(error: str) -> None:
    """Every deliberate failure has a reason and a next step, even when its message says nothing more."""
    found = failed_with("it went wrong", error)

    assert found.why != "the cause is not one that Sealift knows"


@pytest.mark.parametrize(
    "harmless",
    [
        pytest.param(
            "the worker's metrics were not collected: No module named 'pynvml'", id="no GPU metrics"
        ),
        pytest.param("Permission denied: '/home/model-server/.cache'", id="no cache"),
    ],
)
def test_what_the_message_says_goes_before_the_log(harmless: str) -> None:
    """A line that happens to be in the log does not hide the reason that AWS gave."""
    found = diagnose(
        {"Error": "EndpointFailed", "Cause": "Ping failed due to insufficient memory."}, {}, (harmless,)
    )

    assert found.cause_name == "OutOfMemory"


def test_the_log_goes_before_a_message_that_only_points_to_it() -> None:
    """That the process exited is true, and useless when the log says why."""
    told = 'message "An error occurred while handling request as the model process exited."'
    found = diagnose({"Error": "EndpointFailed", "Cause": told}, {}, ("No module named 'llama_cpp'",))

    assert found.cause_name == "NoLlamaCpp"


def test_the_log_goes_before_a_request_that_was_not_answered_in_time() -> None:
    """The prebuilt image leaves requests unanswered when its worker cannot start: a smaller model would not help."""
    told = (
        "status 0: Your invocation timed out while waiting for a response from container primary. Review the "
        "latency metrics for each container"
    )
    found = diagnose({"Error": "SmokeTestFailed", "Cause": told}, {}, ("No module named 'llama_cpp'",))

    assert found.cause_name == "NoLlamaCpp"


def test_what_torchserve_says_of_itself_is_no_evidence() -> None:
    """Its access log, its metrics and its own stack frames fill a log within minutes, and tell nothing."""
    told = "2026-11-25T08:37:18,388 [INFO ] W-9000-model_1.0-stdout MODEL_LOG - inference.LoadError: no model"
    lines = [
        "2026-11-25T08:33:02,153 [INFO ] W-9000-model_1.0 TS_METRICS - QueueTime.ms:0|#Level:Host|#hostname:vm",
        '2026-11-25T08:33:02,153 [INFO ] W-9000-model_1.0 ACCESS_LOG - /127.0.0.1:5 "GET /ping HTTP/1.1" 200 3',
        "2026-11-25T08:33:02,160 [INFO ] W-9000-model_1.0-stdout MODEL_METRICS - PredictionTime.Milliseconds:0.19",
        told,
        "\tat org.pytorch.serve.wlm.WorkerThread.run(WorkerThread.java:181) [model-server.jar:?]",
    ]

    assert pick_evidence(lines, 50) == (told,)


def test_the_newest_telling_lines_are_kept() -> None:
    """A state's output holds only so much."""
    assert pick_evidence(["one", "two", "three"], 2) == ("two", "three")


def test_a_cause_is_kept_though_many_lines_came_after_it() -> None:
    """TorchServe starts its worker over and over, and tells at length of each time; the newest cause is the one."""
    told = "ModuleNotFoundError: No module named 'b'"
    lines = ["ModuleNotFoundError: No module named 'a'", told, *(f"Retry worker {n}" for n in range(60))]

    assert pick_evidence(lines, 50) == (told, *lines[-49:])


def test_an_unknown_failure_says_that_it_is_unknown() -> None:
    """No guess is made; the next step is the log."""
    found = failed_with("KeyError: 'x'", "KeyError")

    assert (found.error, found.cause_name) == ("KeyError", "KeyError")
    assert "not one that Sealift knows" in found.why
    assert "log" in found.fix


def test_evidence_is_kept() -> None:
    """The lines that were gathered travel with the diagnosis, whether they explain anything or not."""
    assert diagnose({"Error": "X", "Cause": "y"}, {}, ("one", "two")).to_json()["evidence"] == ["one", "two"]


def reported(error: errors.SealiftError, *evidence: str) -> Diagnosis:
    """Return the diagnosis of an error as Lambda reports it."""
    name = type(error).__name__
    cause = json.dumps({"errorMessage": error_codec.encode(error), "errorType": name, "stackTrace": []})
    return diagnose({"Error": name, "Cause": cause}, {}, evidence)


PROBLEM = Problem("NoModel", "no model in it", "one '*.gguf'", "rename it")


def test_a_refusal_is_told_in_three_parts_each_once() -> None:
    """What was refused, what is wrong with it, what to do: as the problem says."""
    found = reported(errors.InvalidArchive("a.tar.gz", [PROBLEM]))

    assert found.cause == (
        "what happened: check archive failed with InvalidArchive: a.tar.gz\n"
        "why: no model in it; wanted one '*.gguf'\n"
        "what to do: rename it"
    )
    assert found.cause_name == "InvalidArchive"


def test_of_several_problems_each_is_told_whole() -> None:
    """Why and what to do are then what all of them have in common."""
    error = errors.InvalidArchive("a.tar.gz", [PROBLEM, PROBLEM])
    found = reported(error)

    assert found.what == f"check archive failed with InvalidArchive: {error}"
    assert (found.why, found.fix) == (errors.InvalidArchive.why, errors.InvalidArchive.fix)


def test_what_an_error_knows_goes_before_every_text() -> None:
    """Its message may quote an answer, and a log always has some harmless line that looks like a cause."""
    error = errors.SmokeTestFailed(
        "it answered 'No module named x'", cause="Odd", why="it is odd", fix="look"
    )
    found = reported(error, "Ping failed due to insufficient memory.")

    assert (found.cause_name, found.why, found.fix) == ("Odd", "it is odd", "look")
    assert "details" not in found.cause
    assert "{" not in found.cause


@pytest.mark.parametrize("kind", [errors.EndpointFailed, errors.ModelNotReady, errors.SmokeTestFailed])
def test_an_error_that_knows_no_cause_lets_texts_speak(kind: Any) -> None:
    """Of what was tried the container's log tells why; without one the error's name has to do."""
    assert reported(kind("no"), "Ping failed due to insufficient memory.").cause_name == "OutOfMemory"
    assert reported(kind("no", waiting="for it")).why == kind.why


def test_what_aws_refuses_is_told_by_its_words() -> None:
    """A request that it calls wrong may fail for another reason, which has a name."""
    said = "Could not access model data at s3://b/model.tar.gz."
    error = {"Error": {"Code": "ValidationException", "Message": said}}
    found = reported(service_errors.translate(ClientError(error, "CreateModel")))

    assert found.cause_name == "RoleCannotReadModel"


def test_a_message_whose_details_were_cut_is_told_all_the_same() -> None:
    """As one of an earlier release is: by its name."""
    text = error_codec.encode(errors.InvalidArchive("a.tar.gz", [PROBLEM]))[:-5]
    cause = json.dumps({"errorMessage": text, "errorType": "InvalidArchive"})
    found = diagnose({"Error": "InvalidArchive", "Cause": cause}, {})

    assert found.what == f"check archive failed with InvalidArchive: a.tar.gz: {PROBLEM}"
    assert (found.why, found.fix) == (errors.InvalidArchive.why, errors.InvalidArchive.fix)


@pytest.mark.parametrize(
    ("action", "way"),
    [
        pytest.param("lambda:GetFunctionConfiguration", "ConsumerFunctionPattern", id="the function"),
        pytest.param("kms:Decrypt", "ConsumerKmsKeyArns", id="its key"),
    ],
)
def test_a_denied_call_about_the_consumer_is_not_one_role_among_many(action: str, way: str) -> None:
    """The function's name matched the pattern, so the advice is what can still deny it."""
    denied = service_errors.access_denied(
        "GetFunctionConfiguration",
        f"User: arn:aws:sts::1:assumed-role/plan/x is not authorized to perform: {action} on "
        "resource: arn:aws:lambda:us-east-1:1:function:sealift-consumer",
    )
    found = reported(denied)

    assert found.cause_name == "ConsumerDenied"
    assert way in found.fix
    assert f"add {action} to the policies of arn:aws:sts::1:assumed-role/plan/x" in found.what


def test_a_denied_call_about_anything_else_names_the_action() -> None:
    """And the role, as what to do."""
    told = "User: arn:aws:sts::1:role/x is not authorized to perform: sagemaker:CreateModel on resource: *"
    found = reported(service_errors.access_denied("CreateModel", told))

    assert found.cause_name == "AccessDenied"
    assert found.fix == "add sagemaker:CreateModel to the policies of arn:aws:sts::1:role/x"
    assert found.why == f"{told}; wanted sagemaker:CreateModel to be allowed"


def test_a_workflow_that_may_not_invoke_a_task_is_no_denied_consumer() -> None:
    """Lambda's words are the same; nobody's consumer is meant."""
    told = (
        "User: arn:aws:sts::1:assumed-role/workflow/x is not authorized to perform: lambda:InvokeFunction on resource: "
        "arn:aws:lambda:us-east-1:1:function:sealift-SmokeTest"
    )
    found = diagnosis.diagnose({"Error": "Lambda.AccessDeniedException", "Cause": told}, {})

    assert found.cause_name == "AccessDenied"
