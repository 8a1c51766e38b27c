"""Every task, when the first thing that it asks of AWS goes wrong."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from botocore.exceptions import EndpointConnectionError, ReadTimeoutError

from pipeline import package_files
from pipeline.errors import AccessDenied, RequestRejected, SealiftError, ServiceUnavailable, Throttled
from tests.plans import SERVING, a_checked_upload, a_consumer, a_plan
from tests.stack_defaults import DEFAULTS

if TYPE_CHECKING:
    from botocore.model import OperationModel

    from pipeline.aws.clients import Clients
    from tests.functional.tasks.conftest import Script, Task

CONSUMER = a_consumer()
CANARY = {"weight": 0.1, "bake_s": 60, "alarms": []}
BEFORE = {
    "function_name": "assistant",
    "variable": "ENDPOINT_NAME",
    "value": "old",
    "alias": None,
    "alias_version": None,
    "alias_routing": None,
}
PLAN = a_plan(execution="arn:e", max_concurrency=5)
CHECKED = a_checked_upload(consumer={"function_name": "assistant"})
GATE = {
    "suite": "suite.jsonl",
    "bucket": "artifacts",
    "key": "records/suites/0.json",
    "cases": 1,
    "allow_worse": 0,
    "allow_failed": None,
    "deadline_s": 60,
    "record_key": "records/quality/e.json",
}
COMPONENT = {
    "InferenceComponentName": "harbour-0",
    "EndpointName": "harbour-0",
    "VariantName": "AllTraffic",
    "Specification": {
        "ModelName": "harbour-0",
        "ComputeResourceRequirements": {"NumberOfCpuCoresRequired": 2.25, "MinMemoryRequiredInMb": 1024},
    },
    "RuntimeConfig": {"CopyCount": 1},
}
IMAGE = {
    "repository": "123456789012.dkr.ecr.us-east-1.amazonaws.com/sealift",
    "tag": "model-0a",
    "base": "sha256:0b",
    "bucket": "artifacts",
}
DIAGNOSIS = {"error": "EndpointFailed", "what": "x", "why": "y", "fix": "z"}

# State, the first call that it makes, and its event.
FIRST_CALLS: tuple[tuple[str, str, str, dict[str, Any]], ...] = (
    (
        "CheckArchive",
        "s3",
        "get_object",
        {
            "input": {"archive": {"bucket": "uploads", "key": "models/harbour/model.tar.gz"}},
            "defaults": DEFAULTS,
        },
    ),
    (
        "PlanDeployment",
        "lambda_",
        "get_function_configuration",
        {
            "results": {"check_archive": CHECKED},
            "execution": "arn:e",
            "started": "2024-01-02T03:04:05.678Z",
            "defaults": DEFAULTS,
        },
    ),
    (
        "AssembleArchive",
        "s3",
        "head_object",
        {
            "archive": CHECKED["archive"],
            "assembly": CHECKED["assembly"],
            "hosting": "serverless",
        },
    ),
    (
        "AssembleImage",
        "s3",
        "get_object",
        {
            "archive": CHECKED["archive"],
            "assembly": CHECKED["assembly"],
            "hosting": "serverless",
            "model": "harbour.gguf",
            "image": IMAGE,
            "execution": "arn:e",
        },
    ),
    (
        "CreateModel",
        "sagemaker",
        "create_model",
        {
            "request": {
                "ModelName": "harbour-0",
                "ExecutionRoleArn": "arn:aws:iam::123456789012:role/endpoint",
                "PrimaryContainer": {"Image": "i", "ModelDataUrl": "s3://artifacts/archives/0/model.tar.gz"},
            },
            "others": [],
            "assembled": {"bucket": "artifacts", "key": "archives/0/model.tar.gz", "etag": None},
        },
    ),
    (
        "CreateEndpointConfig",
        "sagemaker",
        "create_endpoint_config",
        {
            "request": {
                "EndpointConfigName": "harbour-0",
                "ProductionVariants": [{"VariantName": "AllTraffic", "ModelName": "harbour-0"}],
            }
        },
    ),
    (
        "CreateEndpoint",
        "sagemaker",
        "create_endpoint",
        {
            "request": {"EndpointName": "harbour-0", "EndpointConfigName": "harbour-0"},
            "asked": None,
            "deadline_s": 60,
        },
    ),
    (
        "MakeRoom",
        "sagemaker",
        "describe_endpoint",
        {"room": [{"endpoint": "harbour-1", "before": 10, "to": 5}], "service": "harbour"},
    ),
    (
        "UpdateEndpoint",
        "sagemaker",
        "describe_endpoint",
        {
            "request": {"EndpointName": "harbour", "EndpointConfigName": "harbour-0"},
            "updates": {"endpoint_config": "harbour-1", "max_concurrency": 10},
            "service": "harbour",
            "execution": "arn:e",
            "uploaded_at": "2024-01-02T03:04:05Z",
            "asked": None,
            "deadline_s": 60,
        },
    ),
    (
        "StepDown",
        "sagemaker",
        "list_endpoints",
        {"plan": PLAN, "refusal": {"Error": "QuotaTooSmall", "Cause": "because"}},
    ),
    (
        "RetirePrevious",
        "sagemaker",
        "describe_endpoint_config",
        {"plan": PLAN, "now": "2024-01-02T03:04:05Z"},
    ),
    ("RestoreCapacity", "sagemaker", "list_endpoints", {"plan": PLAN, "running": {}}),
    (
        "PollEndpoint",
        "sagemaker",
        "describe_endpoint",
        {
            "endpoint_name": "harbour-0",
            "endpoint_config_name": "harbour-0",
            "updates": None,
            "component": None,
        },
    ),
    (
        "CreateComponent",
        "sagemaker",
        "create_inference_component",
        {"request": COMPONENT},
    ),
    (
        "SmokeTest",
        "sagemaker_runtime",
        "invoke_endpoint",
        {
            "endpoint_name": "harbour-0",
            "smoke_test": {"prompts": ["What?"], "expect": {}, "max_tokens": 8, "timeout_s": 60},
            "service": "harbour",
            "hosting": "serverless",
            "execution": "arn:e",
        },
    ),
    (
        "MonitorEndpoint",
        "cloudwatch",
        "put_metric_alarm",
        {
            "plan": PLAN,
            "topic": "arn:aws:sns:us-east-1:123456789012:sealift",
            "running": {},
        },
    ),
    ("EvaluateQuality", "s3", "get_object", {"plan": {**PLAN, "quality": GATE}}),
    (
        "ReadConsumer",
        "lambda_",
        "get_function_configuration",
        {
            "consumers": [CONSUMER],
            "results": {"check_archive": CHECKED, "plan_deployment": PLAN},
        },
    ),
    (
        "ShiftConsumer",
        "lambda_",
        "get_function_configuration",
        {
            "consumers": [{**CONSUMER, "alias": "live", "canary": CANARY}],
            "before": {"consumers": [BEFORE], "reads": 1, "instead": None},
            "endpoint_name": "harbour-0",
            "prompt": "What?",
        },
    ),
    (
        "WatchConsumer",
        "cloudwatch",
        "describe_alarms",
        {
            "consumers": [{**CONSUMER, "alias": "live", "canary": CANARY}],
            "endpoint_name": "harbour-0",
            "alarms": ["sealift-harbour-0-5xx"],
            "left": 2,
        },
    ),
    (
        "UpdateConsumer",
        "lambda_",
        "get_function_configuration",
        {
            "consumers": [CONSUMER],
            "before": {"consumers": [BEFORE], "reads": 1, "instead": None},
            "endpoint_name": "harbour-0",
            "prompt": "What?",
            "serving": SERVING,
            "tags": [],
        },
    ),
    (
        "RollBack",
        "sagemaker",
        "describe_endpoint",
        {"results": {"plan_deployment": PLAN, "diagnose": DIAGNOSIS}},
    ),
)
# Refused steps of the rollback are noted, and it goes on; a denied object is told by its source, in its own words.
STOPPED_BY_DENIAL = [call for call in FIRST_CALLS if call[0] not in {"RollBack", "AssembleArchive"}]


def by_state(calls: Any) -> list[Any]:
    """Return the calls as parameters with the state for id."""
    return [pytest.param(*call, id=call[0]) for call in calls]


@pytest.mark.parametrize(
    ("code", "status", "error"),
    [
        pytest.param("ThrottlingException", 400, Throttled, id="throttled"),
        pytest.param("InternalFailure", 500, ServiceUnavailable, id="500"),
        pytest.param("ServiceUnavailableException", 503, ServiceUnavailable, id="503"),
    ],
)
@pytest.mark.parametrize(("state", "service", "operation", "event"), by_state(FIRST_CALLS))
def test_an_error_of_aws_reaches_the_state_machine_under_its_class(
    *,
    do: Task,
    script: Script,
    state: str,
    service: str,
    operation: str,
    event: dict[str, Any],
    code: str,
    status: int,
    error: type[SealiftError],
) -> None:
    """Retry matches on the class, so each task must let each of them through."""
    script.refuses(service, operation, code, "because of this", status=status)

    with pytest.raises(error, match="because of this"):
        do(state, script.clients, **event)


@pytest.mark.parametrize(
    ("state", "service", "operation", "event"),
    by_state(call for call in FIRST_CALLS if call[0] != "RollBack"),
)
def test_a_request_that_aws_calls_wrong_ends_the_task(
    *, do: Task, script: Script, state: str, service: str, operation: str, event: dict[str, Any]
) -> None:
    """But for the rollback, which notes the step and goes on."""
    script.refuses(service, operation, "ValidationException", "because of this")

    with pytest.raises(RequestRejected, match="because of this"):
        do(state, script.clients, **event)


@pytest.mark.parametrize(("state", "service", "operation", "event"), by_state(STOPPED_BY_DENIAL))
def test_a_denied_call_is_refused_with_the_action(
    *, do: Task, script: Script, state: str, service: str, operation: str, event: dict[str, Any]
) -> None:
    """The action that AWS names is in the message."""
    message = "User: arn:aws:sts::1:role/x is not authorized to perform: svc:TheAction on resource: *"
    script.refuses(service, operation, "AccessDeniedException", message, status=403)

    with pytest.raises(AccessDenied, match="add svc:TheAction to the policies of arn:aws:sts::1:role/x"):
        do(state, script.clients, **event)


@pytest.mark.parametrize(
    "error",
    [
        pytest.param(EndpointConnectionError(endpoint_url="https://x"), id="no connection"),
        pytest.param(ReadTimeoutError(endpoint_url="https://x"), id="no answer"),
    ],
)
@pytest.mark.parametrize(("state", "service", "operation", "event"), by_state(FIRST_CALLS))
def test_no_answer_may_pass_later(
    *,
    do: Task,
    stubbed_clients: Clients,
    state: str,
    service: str,
    operation: str,
    event: dict[str, Any],
    error: Exception,
) -> None:
    """A network that fails is an outage like any other."""
    called: list[str] = []

    def fail(model: OperationModel, **_: object) -> None:
        called.append(model.name)
        raise error

    events = getattr(stubbed_clients, service).meta.events
    events.register_first("before-call.*.*", fail, unique_id="no network")
    try:
        with pytest.raises(ServiceUnavailable, match="no answer from AWS"):
            do(state, stubbed_clients, **event)
    finally:
        events.unregister("before-call.*.*", fail, unique_id="no network")

    assert called == ["".join(word.capitalize() for word in operation.split("_"))]


def test_the_table_has_every_task_that_can_fail() -> None:
    """Diagnose is missing on purpose: it survives every refusal, and tells of it."""
    document = json.loads(package_files.definition().read_text(encoding="utf-8"))
    tasks = {
        name for name, state in document["States"].items() if "FunctionName" in state.get("Parameters", {})
    }

    assert {call[0] for call in FIRST_CALLS} == tasks - {"Diagnose"}
