"""The door to boto3: every error of AWS's comes out under a name of ours."""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import dataclass, replace
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, TypedDict

import pytest
from botocore.eventstream import ChecksumMismatch
from botocore.exceptions import (
    ClientError,
    ConfigParseError,
    ConnectTimeoutError,
    CredentialRetrievalError,
    EndpointConnectionError,
    FlexibleChecksumError,
    IncompleteReadError,
    InvalidRegionError,
    NoCredentialsError,
    ParamValidationError,
    ProxyConnectionError,
    ReadTimeoutError,
    SSLError,
    UnauthorizedSSOTokenError,
)
from botocore.parsers import ResponseParserError
from botocore.stub import Stubber
from urllib3.exceptions import ProtocolError

from pipeline import errors, payload
from pipeline.aws import lambda_handler, sdk_errors, service_errors
from pipeline.aws.clients import Clients
from pipeline.errors import (
    AccessDenied,
    ConsumerBusy,
    ConsumerChanged,
    EndpointBusy,
    InvalidInput,
    ModelNotReady,
    NameConflict,
    Problem,
    RequestRejected,
    ResourceLimitExceeded,
    SealiftError,
    ServiceUnavailable,
    StackChanged,
    Throttled,
)

if TYPE_CHECKING:
    from collections.abc import Callable

ARN = "arn:aws:sagemaker:us-east-1:123456789012:endpoint/harbour-0"


def answered(
    code: str, message: str = "because", status: int = 400, operation: str = "CreateEndpoint"
) -> ClientError:
    """Return an error as boto3 raises it."""
    return ClientError(
        {"Error": {"Code": code, "Message": message}, "ResponseMetadata": {"HTTPStatusCode": status}},  # type: ignore[typeddict-item]
        operation,
    )


@pytest.mark.parametrize(
    ("error", "ours"),
    [
        pytest.param(answered("ResourceLimitExceeded"), ResourceLimitExceeded, id="quota"),
        pytest.param(answered("ThrottlingException"), Throttled, id="throttled by SageMaker"),
        pytest.param(answered("TooManyRequestsException", status=429), Throttled, id="throttled by Lambda"),
        pytest.param(answered("SlowDown", status=503), Throttled, id="throttled by S3"),
        pytest.param(answered("AccessDeniedException"), AccessDenied, id="denied"),
        pytest.param(answered("AccessDenied", status=403), AccessDenied, id="denied by S3"),
        pytest.param(answered("403", status=403), AccessDenied, id="denied without a body"),
        pytest.param(
            answered("ValidationException", f'Cannot create already existing endpoint "{ARN}".'),
            NameConflict,
            id="already existing",
        ),
        pytest.param(
            answered("ValidationException", f'Cannot update in-progress endpoint "{ARN}".'),
            EndpointBusy,
            id="in progress",
        ),
        pytest.param(
            answered("ValidationException", "1 validation error detected"), RequestRejected, id="wrong"
        ),
        pytest.param(
            answered("ValidationException", "Could not find model data at s3://b/k."),
            RequestRejected,
            id="no model data",
        ),
        pytest.param(answered("ConcurrentUpdateException"), EndpointBusy, id="scaling being changed"),
        pytest.param(answered("ModelNotReadyException", status=429), ModelNotReady, id="cold start"),
        pytest.param(answered("InternalFailure", status=500), ServiceUnavailable, id="500"),
        pytest.param(answered("SomethingNew", status=503), ServiceUnavailable, id="503 of any name"),
        pytest.param(
            answered("ServiceUnavailable", status=0), ServiceUnavailable, id="outage without a status"
        ),
        pytest.param(answered("TooMany", status=429), Throttled, id="429 of any name"),
        pytest.param(
            answered(
                "ResourceConflictException", "The function is currently in the following state: Pending", 409
            ),
            ConsumerBusy,
            id="function being updated",
        ),
        pytest.param(
            answered("PreconditionFailedException", "The RevisionId provided does not match", 412),
            ConsumerChanged,
            id="function changed",
        ),
        pytest.param(answered("SomethingNew"), RequestRejected, id="unknown"),
        pytest.param(ClientError({}, "CreateEndpoint"), RequestRejected, id="empty"),
    ],
)
def test_an_error_of_aws_gets_a_name_of_ours(error: ClientError, ours: type[SealiftError]) -> None:
    """The name tells the state machine whether to try again; the message keeps what AWS said."""
    found = service_errors.translate(error)

    assert type(found) is ours
    assert service_errors.text(error) in str(found)
    assert "CreateEndpoint" in str(found)


@pytest.mark.parametrize(
    "error",
    [
        pytest.param(EndpointConnectionError(endpoint_url="https://x"), id="no connection"),
        pytest.param(ConnectTimeoutError(endpoint_url="https://x"), id="connection too slow"),
        pytest.param(ReadTimeoutError(endpoint_url="https://x"), id="answer too slow"),
        pytest.param(IncompleteReadError(actual_bytes=1, expected_bytes=2), id="answer cut short"),
    ],
)
def test_no_answer_is_an_outage(error: Exception) -> None:
    """A connection that fails may work a moment later."""
    with pytest.raises(ServiceUnavailable, match="no answer from AWS") as told, service_errors.translated():
        raise error

    assert told.value.__cause__ is error


@pytest.mark.parametrize(
    ("error", "ours", "told"),
    [
        pytest.param(
            ResponseParserError("no XML"), ServiceUnavailable, "what answered is not AWS", id="a page"
        ),
        pytest.param(
            SSLError(endpoint_url="https://x", error="self-signed certificate"),
            ServiceUnavailable,
            "AWS_CA_BUNDLE",
            id="a proxy that opens TLS",
        ),
        pytest.param(
            ProxyConnectionError(proxy_url="http://x"), ServiceUnavailable, "HTTPS_PROXY", id="no proxy"
        ),
        pytest.param(
            EndpointConnectionError(endpoint_url="https://x", error="Failed to resolve 'x'"),
            ServiceUnavailable,
            "its name is not known here",
            id="no DNS",
        ),
        pytest.param(FlexibleChecksumError(error_msg="x"), ServiceUnavailable, "that is whole", id="damaged"),
        pytest.param(ProtocolError("x"), ServiceUnavailable, "that is whole: x", id="a stream that is cut"),
        pytest.param(ChecksumMismatch(1, 2), ServiceUnavailable, "that is whole", id="a damaged stream"),
        pytest.param(NoCredentialsError(), AccessDenied, "log in again", id="no credentials"),
        pytest.param(UnauthorizedSSOTokenError(), AccessDenied, "log in again", id="logged out"),
        pytest.param(
            CredentialRetrievalError(provider="a", error_msg="b"), AccessDenied, "log in again", id="no role"
        ),
        pytest.param(ConfigParseError(path="/x/config"), InvalidInput, "/x/config", id="configuration"),
        pytest.param(InvalidRegionError(region_name="a b"), InvalidInput, "'a b'", id="region"),
        pytest.param(ParamValidationError(report="Bad name"), RequestRejected, "Bad name", id="parameter"),
        pytest.param(answered("ExpiredToken"), AccessDenied, "log in again", id="expired, by S3"),
        pytest.param(answered("ExpiredTokenException"), AccessDenied, "log in again", id="expired"),
        pytest.param(
            answered("InvalidSignatureException", "The request signature we calculated does not match"),
            AccessDenied,
            "log in again",
            id="wrong secret",
        ),
        pytest.param(
            answered("InvalidSignatureException", "Signature expired: 1 is now earlier than 2"),
            AccessDenied,
            "set this machine's clock",
            id="clock behind",
        ),
        pytest.param(
            answered("RequestTimeTooSkewed"), AccessDenied, "set this machine's clock", id="clock, by S3"
        ),
        pytest.param(answered("PermanentRedirect"), RequestRejected, "--region", id="another region"),
    ],
)
def test_what_is_wrong_on_the_way_to_aws_is_told_with_what_to_do(
    error: Exception, ours: type[SealiftError], told: str
) -> None:
    """Each by the class that the state machine knows, and by what a person can change."""
    with pytest.raises(ours, match=told) as found, service_errors.translated():
        raise error

    assert type(found.value) is ours
    assert "wanted" in str(found.value)


@pytest.mark.parametrize(
    ("status", "headers", "body", "taken"),
    [
        pytest.param(200, {"x-amzn-requestid": "1"}, b"<html>", True, id="AWS's"),
        pytest.param(200, {"x-amz-request-id": "1"}, b"", True, id="S3's"),
        pytest.param(200, {"content-type": "text/html"}, b"<html>", False, id="a page"),
        pytest.param(200, {}, b"", False, id="nothing"),
        pytest.param(299, {}, b"{}", False, id="any success"),
        pytest.param(204, {}, b"", True, id="nothing, which was said to be nothing"),
        pytest.param(300, {}, b"<Error/>", True, id="an error has its own words"),
        pytest.param(403, {}, b" <!DOCTYPE html>", False, id="but not a page"),
        pytest.param(503, {"x-amz-id-2": "1"}, b"<html>", True, id="a page of AWS's"),
    ],
)
def test_an_answer_without_awss_mark_is_somebody_elses(
    status: int, headers: dict[str, str], body: bytes, *, taken: bool
) -> None:
    """A proxy's page may be a success to HTTP."""
    operation = SimpleNamespace(name="ListEndpoints")
    answer = {"status_code": status, "headers": headers, "body": body}

    with nullcontext() if taken else pytest.raises(ServiceUnavailable, match="ListEndpoints"):
        sdk_errors.check_answered_by_aws(operation, answer)


@pytest.mark.parametrize(
    "error",
    [
        pytest.param(errors.ConsumerBusy("busy"), id="ours"),
        pytest.param(KeyError("name"), id="Python's"),
    ],
)
def test_other_errors_pass_as_they_are(error: Exception) -> None:
    """Translation is for AWS's answers; a mistake in the code keeps its name."""
    with pytest.raises(type(error)) as told, service_errors.translated():
        raise error

    assert told.value is error


@pytest.mark.parametrize(
    ("message", "action", "who"),
    [
        pytest.param(
            "User: arn:aws:sts::1:assumed-role/CreateModel/x is not authorized to perform: iam:PassRole on "
            "resource: arn:aws:iam::1:role/y because no identity-based policy allows the iam:PassRole action",
            "iam:PassRole",
            "arn:aws:sts::1:assumed-role/CreateModel/x",
            id="action and principal",
        ),
        pytest.param("Access Denied", "CreateModel", "the role of this function", id="neither"),
        pytest.param("", "CreateModel", "the role of this function", id="no message"),
    ],
)
def test_a_denied_call_names_the_action_and_the_role(message: str, action: str, who: str) -> None:
    """The fix is a policy, so the message says which action for whom."""
    (problem,) = service_errors.access_denied("CreateModel", message).problems

    assert problem.wanted == f"{action} to be allowed"
    assert problem.fix == f"add {action} to the policies of {who}"


@pytest.mark.parametrize(
    ("predicate", "error", "holds"),
    [
        pytest.param(
            service_errors.is_missing,
            answered("ValidationException", 'Could not find endpoint "x".'),
            True,
            id="endpoint",
        ),
        pytest.param(service_errors.is_missing, answered("ResourceNotFoundException"), True, id="function"),
        pytest.param(
            service_errors.is_missing,
            answered("ValidationException", "1 validation error"),
            False,
            id="wrong request",
        ),
        pytest.param(
            service_errors.is_missing, answered("AccessDenied", "Could not find it"), False, id="other code"
        ),
        pytest.param(
            service_errors.is_missing_target, answered("ObjectNotFoundException"), True, id="target"
        ),
        pytest.param(
            service_errors.is_missing_target,
            answered("ValidationException", "No scalable target found for service namespace: sagemaker"),
            True,
            id="target, by the words",
        ),
        pytest.param(
            service_errors.is_missing_target, answered("AccessDeniedException"), False, id="denied target"
        ),
        pytest.param(
            service_errors.is_in_progress,
            answered("ConcurrentUpdateException"),
            True,
            id="target in progress",
        ),
        pytest.param(
            service_errors.is_missing_dependency,
            answered("ValidationException", 'Could not find endpoint configuration "x".'),
            True,
            id="dependency",
        ),
        pytest.param(
            service_errors.is_missing_dependency,
            answered("ValidationException", "Could not find model data at s3://b/k."),
            False,
            id="model data is no dependency",
        ),
        pytest.param(service_errors.is_no_such_key, answered("NoSuchKey", status=404), True, id="key"),
        pytest.param(
            service_errors.is_no_such_key, answered("404", status=404), True, id="key, by HeadObject"
        ),
        pytest.param(service_errors.is_no_such_key, answered("NoSuchBucket", status=404), True, id="bucket"),
        pytest.param(
            service_errors.is_no_such_key, answered("AccessDenied", status=403), False, id="denied key"
        ),
    ],
)
def test_a_predicate_reads_awss_words(
    predicate: Callable[[ClientError], bool], error: ClientError, *, holds: bool
) -> None:
    """The literal texts that AWS sends; there is no error class to match on."""
    assert predicate(error) is holds


def test_a_handler_translates() -> None:
    """What Lambda reports is the name of our class."""

    def run(event: dict[str, Any], clients: Clients) -> dict[str, Any]:
        with Stubber(clients.sagemaker) as stub:
            stub.add_client_error("create_endpoint", "ThrottlingException", "Rate exceeded")
            clients.sagemaker.create_endpoint(EndpointName=event["name"], EndpointConfigName="c")
        return {}

    with pytest.raises(Throttled, match="CreateEndpoint: ThrottlingException: Rate exceeded"):
        lambda_handler.Task(run)({"name": "harbour-0"}, None)


def test_a_handler_reports_no_longer_a_message_than_a_cause_holds() -> None:
    """Of hundreds of problems the first, and how many there are; the error is the same."""

    def run(_event: dict[str, Any], _clients: Clients) -> dict[str, Any]:
        problem = Problem("UnknownField", "unknown field 'x'", "one of those that there are", "remove 'x'")
        raise InvalidInput("execution input", [problem] * 500)

    with pytest.raises(
        InvalidInput, match=r"^execution input: 500 problems: \(1\) .*; and \d+ more$"
    ) as refusal:
        lambda_handler.Task(run)({}, None)

    assert payload.size_in_cause(str(refusal.value)) <= payload.MESSAGE
    assert len(refusal.value.problems) == 500


def test_a_handler_reports_the_fields_and_logs_the_sentence(caplog: pytest.LogCaptureFixture) -> None:
    """Whoever reads a log line is a person; Lambda has one text for both."""

    def run(_event: dict[str, Any], _clients: Clients) -> dict[str, Any]:
        raise EndpointBusy("it is Updating", waiting="waiting for it")

    with caplog.at_level("INFO"), pytest.raises(EndpointBusy) as refusal:
        lambda_handler.Task(run)({}, None)

    assert str(refusal.value) == 'it is Updating | details: {"waiting":"waiting for it"}'
    assert caplog.messages[-1].endswith("failed with EndpointBusy: it is Updating")


def test_a_handler_returns_what_its_task_does() -> None:
    """And hands it the event, with clients of the function's own account and region."""
    handler = lambda_handler.Task(
        lambda event, clients: {"event": event, "region": clients.sagemaker.meta.region_name}
    )

    assert handler({"a": 1}, object()) == {"event": {"a": 1}, "region": "us-east-1"}


@dataclass(frozen=True, slots=True)
class Part:
    """Of an event."""

    name: str


class Event(TypedDict):
    """A task's."""

    part: Part


def test_a_task_is_handed_typed_data_and_its_result_is_json() -> None:
    """The borders are the handler's alone; `log` is for the handler."""

    def run(event: Event, clients: Clients) -> Part:
        del clients
        return replace(event["part"], name=event["part"].name + "!")

    assert lambda_handler.Task(run)({"part": {"name": "a"}, "log": {}}, None) == {"name": "a!"}


def test_what_another_release_hands_over_is_refused_with_every_field_that_differs() -> None:
    """One error that a person can act on, and no KeyError in the middle of the work."""

    def run(event: Event, clients: Clients) -> None:
        raise AssertionError(f"{event} reached the task, with {clients}")

    with pytest.raises(StackChanged) as refusal:
        lambda_handler.Task(run)({"part": {"title": "a"}}, None)

    assert [problem.seen for problem in refusal.value.problems] == [
        "no 'part.name'",
        "unknown field 'part.title'",
    ]
    assert "`sealift deploy`" in refusal.value.problems[0].fix


def test_a_warm_function_keeps_its_clients() -> None:
    """Making one costs more than most calls, and a poll is repeated many times."""
    handler = lambda_handler.Task(lambda _event, clients: {"client": clients.sagemaker})

    assert handler({}, None)["client"] is handler({}, None)["client"]


@pytest.mark.parametrize("name", ["sagemaker", "sagemaker_runtime", "lambda_", "logs"])
def test_the_state_machine_alone_repeats_calls(name: str) -> None:
    """One attempt per call of a task: retries belong where they can be seen."""
    assert getattr(Clients(region="us-east-1"), name).meta.config.retries == {
        "mode": "standard",
        "total_max_attempts": 1,
    }


@pytest.mark.parametrize("name", ["sagemaker_runtime", "lambda_"])
def test_an_invocation_may_take_a_cold_start_and_an_answer(name: str) -> None:
    """180 s and 60 s, and some."""
    assert getattr(Clients(region="us-east-1"), name).meta.config.read_timeout >= 240


def test_a_client_is_made_once_and_for_the_url_that_was_given() -> None:
    """The local cloud is a URL, nothing else."""
    clients = Clients(endpoint_url="http://127.0.0.1:1", region="eu-west-1")

    assert clients.s3 is clients.s3
    assert clients.s3.meta.endpoint_url == "http://127.0.0.1:1"
    assert {one.meta.region_name for one in (clients.s3, clients.events, clients.sts)} == {"eu-west-1"}
