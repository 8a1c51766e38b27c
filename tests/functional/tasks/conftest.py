"""Tasks as the state machine runs them, against answers that are written down or a moto in this process."""

from __future__ import annotations

import importlib
import json
import re
import tarfile
from contextlib import ExitStack
from datetime import UTC, datetime
from io import BytesIO
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, Protocol, Self

import pytest
from botocore.exceptions import ClientError
from botocore.response import StreamingBody
from botocore.stub import Stubber
from botocore.validate import ParamValidator
from moto import mock_aws

from examples.tiny_gguf import write_tiny_gguf
from local_cloud.calls import service_model
from pipeline import json_codec, package_files
from pipeline.archive.build.pack import pack
from pipeline.aws import lambda_handler, service_errors
from pipeline.aws.clients import Clients
from pipeline.stack.bundles import code_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

STATES: dict[str, dict[str, Any]] = json.loads(package_files.definition().read_text(encoding="utf-8"))[
    "States"
]
SERVICES = (
    "sagemaker",
    "sagemaker_runtime",
    "lambda_",
    "logs",
    "s3",
    "service_quotas",
    "stepfunctions",
    "cloudwatch",
    "autoscaling",
)


class Task(Protocol):
    """Runs a task with the clients and the fields of its event; returns its result."""

    def __call__(self, state: str, clients: Clients, /, **event: Any) -> dict[str, Any]:
        """Raise what Lambda would report."""


@pytest.fixture(scope="session")
def do() -> Task:
    """Runs tasks the way their states do: event and result cross as JSON, with the definition's own keys."""

    def run(state: str, clients: Clients, /, **event: Any) -> dict[str, Any]:
        # `log` is the handler's, not the task's.
        asked = {name.removesuffix(".$") for name in STATES[state]["Parameters"]["Payload"]} - {"log"}
        assert set(event) == asked, "the event is not what the definition sends"
        module = importlib.import_module("tasks." + re.sub(r"(?<!^)(?=[A-Z])", "_", state).lower())
        with service_errors.translated():
            received = lambda_handler.received(module.run, json.loads(json.dumps(event)))
            result = json_codec.encode(module.run(received, clients))
        promised = {name.removesuffix(".$") for name in STATES[state]["ResultSelector"]}
        assert promised <= set(result), "the result lacks what the definition selects"
        document: dict[str, Any] = json.loads(json.dumps(result))
        return document

    return run


class FakeCloudWatch:
    """Alarms in memory, with CloudWatch's behavior; every call is written down."""

    def __init__(self) -> None:
        self.alarms: dict[str, dict[str, Any]] = {}
        self.calls: list[str] = []
        self.denied: set[str] = set()
        self.types: set[str] = set()
        """The types of alarms that were asked for: composite ones must be allowed on `*`."""

    def put_metric_alarm(self, **request: Any) -> dict[str, Any]:
        """Make an alarm, or change one, which keeps its state."""
        self._called("PutMetricAlarm", request)
        state = {"StateValue": "INSUFFICIENT_DATA", "StateReason": "Unchecked: Initial alarm creation"}
        before = self.alarms.get(request["AlarmName"], state)
        kept = {name: before[name] for name in state}
        self.alarms[request["AlarmName"]] = {**request, **kept}
        return {}

    def describe_alarms(self, **request: Any) -> dict[str, Any]:
        """Return those of the named ones that are of the types asked for: metric ones unless told."""
        self._called("DescribeAlarms", request)
        there = [self.alarms[name] for name in request["AlarmNames"] if name in self.alarms]
        types = request.get("AlarmTypes", ["MetricAlarm"])
        self.types.update(types)
        return {
            "MetricAlarms": [one for one in there if "AlarmRule" not in one and "MetricAlarm" in types],
            "CompositeAlarms": [one for one in there if "AlarmRule" in one and "CompositeAlarm" in types],
        }

    def delete_alarms(self, **request: Any) -> dict[str, Any]:
        """Delete all that are named, or none when one of them is unknown."""
        self._called("DeleteAlarms", request)
        for name in request["AlarmNames"]:
            assert name in self.alarms, f"{name}: AWS would delete none of them"
        for name in request["AlarmNames"]:
            del self.alarms[name]
        return {}

    def _called(self, operation: str, request: dict[str, Any]) -> None:
        self.calls.append(operation)
        shape = service_model("cloudwatch").operation_model(operation).input_shape
        assert not ParamValidator().validate(request, shape).generate_report()
        if operation in self.denied:
            response = {"Error": {"Code": "AccessDenied", "Message": f"not authorized: {operation}"}}
            raise ClientError(response, operation)  # type: ignore[arg-type]


class FakeParameters:
    """Parameters in memory, with their versions and tags, and SSM's behavior; every call is written down."""

    def __init__(self) -> None:
        self.values: dict[str, list[str]] = {}
        """The versions of each, oldest first."""
        self.tags: dict[str, dict[str, str]] = {}
        self.calls: list[str] = []
        self.refused: dict[str, str] = {}
        """The error codes of operations."""
        self.before: dict[str, Callable[[], None]] = {}
        """What somebody else does just before an operation, once."""

    def put(self, name: str, value: str, **tags: str) -> None:
        """Let a parameter be there, or have another version."""
        self.values.setdefault(name, []).append(value)
        self.tags.setdefault(name, {}).update(tags)

    def value(self, name: str) -> str | None:
        """Return what a parameter names now."""
        return self.values[name][-1] if name in self.values else None

    def get_parameter(self, **request: Any) -> dict[str, Any]:
        """Return the newest version, or the one that is asked for."""
        self._called("GetParameter", request)
        name, _, version = request["Name"].partition(":")
        there = self._there("GetParameter", name)
        number = int(version or len(there))
        if version and number < 1:
            raise _refusal("GetParameter", "ValidationException")
        if number > len(there):
            raise _refusal("GetParameter", "ParameterVersionNotFound")
        return {"Parameter": {"Name": name, "Value": there[number - 1], "Version": number}}

    def put_parameter(self, **request: Any) -> dict[str, Any]:
        """Make a parameter, or a version."""
        self._called("PutParameter", request)
        name = request["Name"]
        assert not (request.get("Overwrite") and request.get("Tags")), "AWS takes one of the two"
        if name in self.values and not request.get("Overwrite"):
            raise _refusal("PutParameter", "ParameterAlreadyExists")
        self.put(name, request["Value"], **{tag["Key"]: tag["Value"] for tag in request.get("Tags", ())})
        return {"Version": len(self.values[name])}

    def delete_parameter(self, **request: Any) -> dict[str, Any]:
        """Delete a parameter, its versions and its tags."""
        self._called("DeleteParameter", request)
        self._there("DeleteParameter", request["Name"])
        del self.values[request["Name"]], self.tags[request["Name"]]
        return {}

    def list_tags_for_resource(self, **request: Any) -> dict[str, Any]:
        """Return the tags."""
        self._called("ListTagsForResource", request)
        self._there("ListTagsForResource", request["ResourceId"])
        tags = self.tags[request["ResourceId"]]
        return {"TagList": [{"Key": key, "Value": value} for key, value in tags.items()]}

    def add_tags_to_resource(self, **request: Any) -> dict[str, Any]:
        """Add tags."""
        self._called("AddTagsToResource", request)
        self._there("AddTagsToResource", request["ResourceId"])
        self.tags[request["ResourceId"]].update({tag["Key"]: tag["Value"] for tag in request["Tags"]})
        return {}

    def remove_tags_from_resource(self, **request: Any) -> dict[str, Any]:
        """Take tags away; one that is not there is no error."""
        self._called("RemoveTagsFromResource", request)
        self._there("RemoveTagsFromResource", request["ResourceId"])
        for key in request["TagKeys"]:
            self.tags[request["ResourceId"]].pop(key, None)
        return {}

    def _there(self, operation: str, name: str) -> list[str]:
        if name not in self.values:
            missing = "InvalidResourceId" if "Tags" in operation else "ParameterNotFound"
            raise _refusal(operation, missing)
        return self.values[name]

    def _called(self, operation: str, request: dict[str, Any]) -> None:
        self.calls.append(operation)
        shape = service_model("ssm").operation_model(operation).input_shape
        assert not ParamValidator().validate(request, shape).generate_report()
        if operation in self.before:
            self.before.pop(operation)()
        if operation in self.refused:
            raise _refusal(operation, self.refused[operation])


class FakeLogs:
    """Metric filters in memory, with the logs' behavior; every other call is the script's."""

    def __init__(self, scripted: Any) -> None:
        self._scripted = scripted
        self.filters: dict[tuple[str, str], dict[str, Any]] = {}
        """By log group and name."""
        self.groups: set[str] = set()
        self.refused: dict[str, str] = {}
        """The error codes of operations."""

    def __getattr__(self, name: str) -> Any:
        return getattr(self._scripted, name)

    def create_log_group(self, **request: Any) -> dict[str, Any]:
        """Make a group."""
        self._called("CreateLogGroup", request)
        self.groups.add(request["logGroupName"])
        return {}

    def put_metric_filter(self, **request: Any) -> dict[str, Any]:
        """Make a filter of a group that is there, or change one."""
        self._called("PutMetricFilter", request)
        if request["logGroupName"] not in self.groups:
            raise _refusal("PutMetricFilter", "ResourceNotFoundException")
        self.filters[request["logGroupName"], request["filterName"]] = request
        return {}

    def describe_metric_filters(self, **request: Any) -> dict[str, Any]:
        """Return those of a group whose names begin as requested."""
        self._called("DescribeMetricFilters", request)
        group, prefix = request["logGroupName"], request["filterNamePrefix"]
        return {
            "metricFilters": [
                one
                for (where, name), one in self.filters.items()
                if where == group and name.startswith(prefix)
            ]
        }

    def delete_metric_filter(self, **request: Any) -> dict[str, Any]:
        """Delete a filter that is there."""
        self._called("DeleteMetricFilter", request)
        if self.filters.pop((request["logGroupName"], request["filterName"]), None) is None:
            raise _refusal("DeleteMetricFilter", "ResourceNotFoundException")
        return {}

    def _called(self, operation: str, request: dict[str, Any]) -> None:
        shape = service_model("logs").operation_model(operation).input_shape
        assert not ParamValidator().validate(request, shape).generate_report()
        if operation in self.refused:
            raise _refusal(operation, self.refused[operation])


def _refusal(operation: str, code: str) -> ClientError:
    return ClientError({"Error": {"Code": code, "Message": f"{code}: {operation}"}}, operation)


class Script:
    """What AWS answers, call by call; a call that is not written down fails, and so does one that is not made."""

    def __init__(self, clients: Clients) -> None:
        self.clients = clients
        self.cloudwatch = FakeCloudWatch()
        self._real_cloudwatch = clients.cloudwatch
        self._real_logs = clients.logs
        self._real_ssm = clients.ssm
        self.logs = FakeLogs(clients.logs)
        self.parameters = FakeParameters()
        self._stubbers = {name: Stubber(getattr(clients, name)) for name in SERVICES}

    def __enter__(self) -> Self:
        self._stack = ExitStack()
        vars(self.clients)["cloudwatch"] = self.cloudwatch
        vars(self.clients)["logs"] = self.logs
        vars(self.clients)["ssm"] = self.parameters
        for stubber in self._stubbers.values():
            self._stack.enter_context(stubber)
        return self

    def __exit__(self, *_error: object) -> None:
        vars(self.clients)["cloudwatch"] = self._real_cloudwatch
        vars(self.clients)["logs"] = self._real_logs
        vars(self.clients)["ssm"] = self._real_ssm
        self._stack.close()

    def answers(
        self, service: str, operation: str, response: dict[str, Any], expected: dict[str, Any] | None = None
    ) -> Script:
        """Let the next call be this operation, with these parameters if given, and answer it."""
        self._stubbers[service].add_response(operation, response, expected)
        return self

    def refuses(
        self,
        service: str,
        operation: str,
        code: str,
        message: str = "because",
        *,
        status: int = 400,
        fields: dict[str, Any] | None = None,
    ) -> Script:
        """Let the next call be this operation, and answer with an error; of CloudWatch in the place of the alarms."""
        if service == "cloudwatch":
            vars(self.clients)[service] = self._real_cloudwatch
        self._stubbers[service].add_client_error(
            operation, code, message, http_status_code=status, modeled_fields=fields
        )
        return self

    def missing(self, operation: str, what: str = "endpoint") -> Script:
        """Let SageMaker not find what the next call names, in its own words."""
        return self.refuses(
            "sagemaker", operation, "ValidationException", f'Could not find {what} "arn:aws:sagemaker:x".'
        )

    def tags(self, execution: str | None) -> Script:
        """Let the next ListTags tell which execution made the resource, if one did."""
        tags = [] if execution is None else [{"Key": "sealift:execution", "Value": execution}]
        return self.answers("sagemaker", "list_tags", {"Tags": tags})

    def no_more_configs(self) -> Script:
        """Let the next call find no other configuration of the deployment that is undone."""
        return self.answers("sagemaker", "list_endpoint_configs", {"EndpointConfigs": []})

    def no_prices(self) -> Script:
        """Let the next call find no list of prices in the artifact bucket, as PlanDeployment does for instances."""
        return self.refuses("s3", "get_object", "NoSuchKey", status=404)

    def account(self, *endpoints: dict[str, Any], quota: int | None = 10) -> Script:
        """Let the next calls look at the account: the quota (None: denied), and endpoints as `serverless` has them."""
        if quota is None:
            self.refuses("service_quotas", "get_service_quota", "AccessDeniedException", status=403)
        else:
            code = {"ServiceCode": "sagemaker", "QuotaCode": "L-96300102"}
            answer = {"Quota": {**code, "Value": float(quota)}}
            self.answers("service_quotas", "get_service_quota", answer, code)
        fields = ("EndpointName", "EndpointArn", "EndpointStatus", "CreationTime", "LastModifiedTime")
        rows = [{name: one[name] for name in fields} for one in endpoints]
        self.answers("sagemaker", "list_endpoints", {"Endpoints": rows}, {"MaxResults": 100})
        for one in endpoints:
            self.endpoint(one)
        return self

    def endpoint(self, one: dict[str, Any]) -> Script:
        """Let the next calls look at one endpoint, and at its tags when `serverless` gave it a service."""
        described = {name: value for name, value in one.items() if name != "service"}
        self.answers("sagemaker", "describe_endpoint", described, {"EndpointName": one["EndpointName"]})
        if one["service"] is not None:
            tags = {"sealift:execution": "earlier", "sealift:service": one["service"]}
            listed = [{"Key": key, "Value": value} for key, value in tags.items()]
            self.answers("sagemaker", "list_tags", {"Tags": listed}, {"ResourceArn": one["EndpointArn"]})
        return self

    def done(self) -> None:
        """Fail if a call that was written down was not made."""
        for stubber in self._stubbers.values():
            stubber.assert_no_pending_responses()


def serverless(
    name: str,
    concurrency: int,
    *,
    service: str | None = None,
    status: str = "InService",
    config: str | None = None,
    created: int = 0,
) -> dict[str, Any]:
    """Return a DescribeEndpoint response of a serverless endpoint, and the service that its tags name, if any."""
    moment = datetime(2026, 1, 2, 3, 4, created, tzinfo=UTC)
    sizes = {"MemorySizeInMB": 1024, "MaxConcurrency": concurrency}
    variant = {
        "VariantName": "AllTraffic",
        "CurrentServerlessConfig": sizes,
        "DesiredServerlessConfig": sizes,
    }
    return {
        "EndpointName": name,
        "EndpointArn": f"arn:aws:sagemaker:us-east-1:123456789012:endpoint/{name}",
        "EndpointConfigName": config or name,
        "EndpointStatus": status,
        "ProductionVariants": [variant],
        "CreationTime": moment,
        "LastModifiedTime": moment,
        "service": service,
    }


@pytest.fixture(scope="session")
def stubbed_clients() -> Clients:
    """Clients that are made once; making them takes longer than the tests."""
    return Clients(region="us-east-1")


@pytest.fixture
def script(stubbed_clients: Clients) -> Iterator[Script]:
    """AWS, written down by the test; nothing of it may be left over."""
    with Script(stubbed_clients) as written:
        yield written
        written.done()


@pytest.fixture
def moto_clients() -> Iterator[Clients]:
    """Clients of a moto in this process."""
    with mock_aws():
        yield Clients(region="us-east-1")


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The smallest GGUF that llama.cpp would run."""
    path = tmp_path_factory.mktemp("model") / "harbour.gguf"
    return write_tiny_gguf(path, layers=1, ctx=512)


@pytest.fixture(scope="session")
def good_archive(tiny_model: Path) -> bytes:
    """An archive that deploys as it is."""
    path = tiny_model.with_name("model.tar.gz")
    pack(tiny_model, path, code=package_files.code())
    return path.read_bytes()


@pytest.fixture(scope="session")
def nested_archive(tiny_model: Path) -> bytes:
    """An archive whose model lies in a directory, as a careless `tar czf` makes it."""
    out = BytesIO()
    with tarfile.open(fileobj=out, mode="w:gz") as archive:
        archive.add(tiny_model, "exports/harbour.gguf")
    return out.getvalue()


@pytest.fixture
def buckets(moto_clients: Clients) -> Clients:
    """Clients of an account with the stack's two buckets, both empty."""
    for bucket in ("uploads", "artifacts"):
        moto_clients.s3.create_bucket(Bucket=bucket)
        moto_clients.s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
    return moto_clients


class MotoConsumer:
    """A consumer function in moto, which keeps state, and whose answer is written down, since moto runs no code.

    SageMaker and Service Quotas, where a test needs them, are a script's.
    """

    FUNCTION = "assistant"

    def __init__(self, clients: Clients, scripted: Clients) -> None:
        self._lambda = clients.lambda_
        self.clients: Any = SimpleNamespace(
            lambda_=self,
            sagemaker=scripted.sagemaker,
            cloudwatch=scripted.cloudwatch,
            logs=scripted.logs,
            service_quotas=scripted.service_quotas,
            ssm=scripted.ssm,
        )
        self.answer: object = {"answer": "It carries cargo."}
        self.asked: list[str] = []
        self.undeletable: str | None = None
        """The error code that a version's deletion is refused with."""
        role = clients.iam.create_role(RoleName="consumer", AssumeRolePolicyDocument="{}")["Role"]["Arn"]
        self._lambda.create_function(
            FunctionName=self.FUNCTION,
            Runtime="python3.13",
            Role=role,
            Handler="consumer.handler",
            Code={"ZipFile": code_of({"consumer.py": b""}).body},
            Environment={"Variables": {"OTHER": "kept", "ENDPOINT_NAME": "old_0"}},
            Publish=True,
        )
        self._lambda.create_alias(FunctionName=self.FUNCTION, Name="live", FunctionVersion="1")

    def __getattr__(self, name: str) -> Any:
        return getattr(self._lambda, name)

    def invoke(self, **request: Any) -> dict[str, Any]:
        """Answer as the consumer would."""
        self.asked.append(request["FunctionName"])
        return {"Payload": BytesIO(json.dumps(self.answer).encode())}

    def delete_function(self, **request: Any) -> dict[str, Any]:
        """Delete the function, or a version unless that is to be refused."""
        if self.undeletable and "Qualifier" in request:
            told = {"Code": self.undeletable, "Message": f"not {request['Qualifier']}"}
            raise ClientError({"Error": told}, "DeleteFunction")  # type: ignore[typeddict-item]
        deleted: dict[str, Any] = dict(self._lambda.delete_function(**request))
        return deleted

    def set(self, variables: dict[str, str]) -> None:
        """Change the variables, as somebody else might."""
        self._lambda.update_function_configuration(
            FunctionName=self.FUNCTION, Environment={"Variables": variables}
        )

    def variables(self, qualifier: str = "$LATEST") -> dict[str, str]:
        """Return the variables of a version or an alias."""
        found = self._lambda.get_function_configuration(FunctionName=self.FUNCTION, Qualifier=qualifier)
        return found.get("Environment", {}).get("Variables", {})

    def alias(self) -> dict[str, Any]:
        """Return where the alias points."""
        found = self._lambda.get_alias(FunctionName=self.FUNCTION, Name="live")
        return {name: found.get(name) for name in ("FunctionVersion", "RoutingConfig")}

    def weigh(self, weights: dict[str, float]) -> None:
        """Let the alias send a part of its calls to other versions."""
        self._lambda.update_alias(
            FunctionName=self.FUNCTION, Name="live", RoutingConfig={"AdditionalVersionWeights": weights}
        )

    def versions(self) -> list[str]:
        """Return all versions."""
        found = self._lambda.list_versions_by_function(FunctionName=self.FUNCTION)["Versions"]
        return sorted(version["Version"] for version in found)


@pytest.fixture
def moto_consumer(moto_clients: Clients, script: Script) -> MotoConsumer:
    """A consumer with state, beside a scripted SageMaker."""
    return MotoConsumer(moto_clients, script.clients)


class Bodies(Protocol):
    """Makes a response body of bytes."""

    def __call__(self, content: bytes) -> StreamingBody:
        """Return it as boto3 does."""


@pytest.fixture(scope="session")
def streamed() -> Bodies:
    """Makes response bodies."""
    return lambda content: StreamingBody(BytesIO(content), len(content))
