"""The local cloud, put together: moto, the interpreter, the Lambda runner, the hosting, and Sealift's own stack.

The composition root of everything in this folder. One cloud at a time in a process, since moto's state is
the process's.
"""

from __future__ import annotations

import json
import threading
import time
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Self

from botocore.exceptions import ClientError
from moto.awslambda.exceptions import UnknownFunctionException
from moto.awslambda.models import lambda_backends
from moto.core import DEFAULT_ACCOUNT_ID
from moto.core.base_backend import BackendDict
from moto.core.model_instances import reset_model_data
from moto.logs.models import logs_backends

from local_cloud import images, scaling
from local_cloud.ecr import pulls, repositories
from local_cloud.ecr.service import Ecr
from local_cloud.faults import Fault, Faults
from local_cloud.functions import (
    destinations,
    versions,
)
from local_cloud.functions.configurations import Configurations
from local_cloud.functions.invocations import (
    Function,
    FunctionAnswer,
    Functions,
)
from local_cloud.functions.journals import Journal
from local_cloud.gateway import WORKFLOW, Backends, Gateway
from local_cloud.hosting import AlarmsUnseen, Hosting, HostingSettings, ObjectMissing, Quotas
from local_cloud.hosting.containers import oci_runtime
from local_cloud.iam import keys
from local_cloud.iam.access import Access
from local_cloud.iam.policies import PolicyRequest
from local_cloud.logs import metric_filters
from local_cloud.networks import AccountNetworks
from local_cloud.s3 import objects
from local_cloud.stacks import (
    cloudformation as stacks,
)
from local_cloud.stacks import (
    resource_types,
)
from local_cloud.stacks import template as sam
from local_cloud.stacks.resource_types import Effects
from local_cloud.workflow import interpreter
from local_cloud.workflow.events import (
    EventBus,
    S3Events,
    execution_ended,
)
from local_cloud.workflow.schedules import Schedules
from pipeline import naming, package_files, settings
from pipeline.aws import service_errors
from pipeline.aws.clients import Clients
from pipeline.stack import bundles, change_sets, template

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path
    from types import TracebackType

    from local_cloud.calls import AwsCall
    from local_cloud.hosting.containers.container import Launch
    from local_cloud.hosting.platform.images import ImageReference

STACK = settings.STACK
CONSUMER = "sealift-consumer"
REGION = "us-east-1"
_ATTEMPTS = 3
"""Of an asynchronous invocation."""
_SESSION_S = 43_200
"""Seconds that a session of a role lasts at most."""
CREDENTIALS = {"aws_access_key_id": "local", "aws_secret_access_key": "local"}


@dataclass(frozen=True, slots=True)
class CloudSettings:
    """How the local cloud is to be."""

    port: int = 0
    """Of its URL; 0 for any that is free."""
    time_scale: float = 1.0
    """How long waits take, against AWS: 0.1 makes a poll interval of 15 s last 1.5 s."""
    faults: tuple[Fault, ...] = ()
    quotas: Quotas = field(default_factory=Quotas)
    hosting: HostingSettings = field(default_factory=HostingSettings)
    launch: Launch | None = None
    """What starts an endpoint's containers; real server processes when None."""
    containers: oci_runtime.Mode = "process"
    """Whether endpoints run in true containers, where their image is here: `auto` looks for a runtime, and who names
    one does without no other. `sealift local` says `auto`."""
    archive_code: bool = False
    """Whether deployments may run the code that an archive brings."""
    consumer: bool = True
    """Whether the example consumer is deployed and made the stack's default consumer."""
    enforce_iam: bool = True
    """Whether a call that the caller's role does not allow is refused."""


class LocalCloud:
    """A running local cloud with Sealift deployed in it; a context manager."""

    def __init__(self, settings: CloudSettings | None = None) -> None:
        self.settings = settings or CloudSettings()
        self.account_id = DEFAULT_ACCOUNT_ID
        self.region = REGION
        self.faults = Faults(list(self.settings.faults))
        self.outputs: dict[str, str] = {}
        """Of Sealift's own stack, whatever other stacks there are."""
        self._gateway = Gateway(faults=Faults(), port=self.settings.port)
        self.url = self._gateway.url
        self.clients = Clients(endpoint_url=self.url, region=self.region, credentials=CREDENTIALS)
        self._logs_lock = threading.Lock()
        self._destinations: dict[str, str | None] = {}
        """The queue for what a function failed on, by the function's name."""
        self._journals: dict[str, Journal] = {}
        """By the function's name."""
        self._roles_lock = threading.Lock()
        self._functions = Functions(
            environment={
                "AWS_REGION": self.region,
                "AWS_DEFAULT_REGION": self.region,
                "AWS_ENDPOINT_URL": self.url,
            },
            credentials=self._role_credentials,
            log=self._log,
            time_scale=self.settings.time_scale,
        )
        self.ecr = Ecr(self.account_id)
        # What is handed in starts everything itself.
        self._choice = oci_runtime.choose("process" if self.settings.launch else self.settings.containers)
        self.hosting = Hosting(
            region=self.region,
            account_id=self.account_id,
            fetch=self._fetch,
            exists=self._exists,
            objects=_Objects(self._as),
            alarms_in_alarm=self._alarms_in_alarm,
            scaling_of=lambda name: scaling.of_component(self.account_id, self.region, name),
            log=self._log_as,
            quotas=self.settings.quotas,
            settings=self.settings.hosting,
            launch=self.settings.launch,
            pull=lambda uri: pulls.pull(self.account_id, self.region, uri),
            runtime=self._choice.runtime,
            images=_Images(self.account_id, self._may),
            networks=AccountNetworks(self.account_id, self.region, self._may),
        )
        self.access = Access(
            account_id=self.account_id,
            tags=self._tags,
            key_of=self._key_of,
            volume_key_of=self.hosting.volume_key,
            enforced=self.settings.enforce_iam,
            tagged=objects.tagged,
            region=self.region,
            own_keys={CREDENTIALS["aws_access_key_id"]: CREDENTIALS["aws_secret_access_key"]},
        )
        self._programs: dict[str, tuple[str, Callable[[], None]]] = {}
        """By the access key: the name of a program that calls, and what ends it."""
        self._workflow_keys: set[str] = set()
        """The access keys that state machines call with."""
        self._acting: dict[str, Clients] = {}
        """Clients of the roles that SageMaker acts as."""
        self._bus = EventBus(clients=self.clients, invoke=self._invoke_asynchronously)
        self._schedules = Schedules(
            clients=self.clients,
            invoke=self._invoke_asynchronously,
            account_id=self.account_id,
            region=self.region,
            clock=time.monotonic,
        )
        self._events = S3Events(
            clients=self.clients, bus=self._bus, account_id=self.account_id, region=self.region
        )

    @property
    def recorded(self) -> Any:
        """The calls that were made, oldest first."""
        return self._gateway.recorded

    @property
    def how_endpoints_run(self) -> str:
        """Say in one line whether they run in containers or in processes, and why."""
        return self._choice.line

    def before_call(self, listener: Callable[[str, AwsCall], None] | None) -> None:
        """Call a function with every call and its caller before it is answered; None ends that."""
        self._gateway.before_call = listener

    def know(self, access_key: str, name: str, end: Callable[[], None]) -> None:
        """Tell the calls of a program outside from everybody's: a fault may be for it alone, and end it.

        Args:
            access_key: that it calls with.
            name: that it is known by from now on, as a function is by its own.
            end: called where an accident ends whoever called.
        """
        self._programs[access_key] = (name, end)

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def start(self) -> None:
        """Start the gateway and deploy Sealift's stack through it; faults strike only after that."""
        versions.install()
        repositories.install()
        keys.install()
        metric_filters.install()
        scaling.install()
        resource_types.install(
            Effects(
                protect=self.access.protect,
                unprotect=self.access.unprotect,
                send_events=self._events.enable,
                log=self._journals.__setitem__,
                hand_on=self._destinations.__setitem__,
            )
        )
        stacks.install(
            process=lambda source, values: sam.processed(source, values, self.region), made=self._made
        )
        interpreter.install(
            url=self.url,
            credentials=self._workflow_credentials,
            time_scale=self.settings.time_scale,
            ended=self._execution_ended,
        )
        self._gateway.start(
            Backends(
                hosting=self.hosting.wsgi,
                invoke=self._invoke,
                configurations=Configurations(update_s=self.settings.time_scale),
                ecr=self.ecr,
                quotas=lambda: self.hosting.quotas,
                object_created=self._events.created,
                caller=self._caller,
                kill=self._kill,
                refuse=self.access.refuse,
                simulate=self.access.simulate,
                hide_variables=self.access.hide_variables,
                history=lambda arn: interpreter.history(self.account_id, self.region, arn),
                protect=self.access.protect,
            )
        )
        images.publish(self.region)
        self._deploy()
        if self.settings.consumer:
            self._deploy_consumer()
        self._gateway.faults = self.faults
        self._schedules.start()

    def close(self) -> None:
        """End every process, remove every temporary file, and forget moto's state."""
        self._schedules.close()
        self._bus.close()
        self._gateway.close()
        self._functions.close()
        self.hosting.close()
        self.ecr.close()
        BackendDict.reset()
        reset_model_data()

    def physical_id(self, logical_id: str) -> str:
        """Return the physical name of one of the stack's resources."""
        return self._physical_ids(STACK)[logical_id]

    def _physical_ids(self, name: str) -> dict[str, str]:
        # moto's DescribeStackResource stumbles over a resource whose condition is false; the listing does not.
        pages = self.clients.cloudformation.get_paginator("list_stack_resources").paginate(StackName=name)
        rows = (one for page in pages for one in page["StackResourceSummaries"])
        return {one["LogicalResourceId"]: one.get("PhysicalResourceId", "") for one in rows}

    # ---------------------------------------------------------------- the stack

    def _deploy(self) -> None:
        """Deploy as `sealift deploy` does, but with this machine's libraries in the zips, and in a hurry."""
        staged = change_sets.stage(
            self.clients,
            name=STACK,
            source=template.load(package_files.template()),
            libraries=bundles.libraries_here,
            values={
                "ConsumerFunctionName": CONSUMER if self.settings.consumer else "",
                "AllowArchiveCode": "true" if self.settings.archive_code else "false",
            },
            progress=lambda _sent, _total: None,
            every_s=0.05,
            level=bundles.QUICKEST,
        )
        ended = change_sets.execute(self.clients, staged, on_event=lambda _event: None, sleep=_no_wait)
        if not ended.good:
            raise RuntimeError(f"the local cloud's stack is {ended.status}: {'; '.join(ended.reasons)}")

    def _made(self, name: str) -> None:
        if name == STACK:
            self.outputs = change_sets.outputs(self.clients, name)

    def _deploy_consumer(self) -> None:
        trust = {
            "Version": "2012-10-17",
            "Statement": [
                {
                    "Effect": "Allow",
                    "Principal": {"Service": "lambda.amazonaws.com"},
                    "Action": "sts:AssumeRole",
                }
            ],
        }
        policy = {
            "Version": "2012-10-17",
            "Statement": [
                {
                    "Effect": "Allow",
                    "Action": "sagemaker:InvokeEndpoint",
                    "Resource": f"arn:aws:sagemaker:{self.region}:{self.account_id}:endpoint/*",
                },
                {
                    "Effect": "Allow",
                    "Action": "ssm:GetParameter",
                    "Resource": f"arn:aws:ssm:{self.region}:{self.account_id}:parameter{naming.PARAMETERS}/*",
                },
            ],
        }
        role = self.clients.iam.create_role(RoleName=CONSUMER, AssumeRolePolicyDocument=json.dumps(trust))[
            "Role"
        ]
        self.clients.iam.put_role_policy(
            RoleName=CONSUMER, PolicyName="invoke", PolicyDocument=json.dumps(policy)
        )
        handler = (package_files.consumer() / "handler.py").read_bytes()
        self.clients.lambda_.create_function(
            FunctionName=CONSUMER,
            Runtime="python3.13",
            Role=role["Arn"],
            Handler="handler.handler",
            Code={"ZipFile": bundles.code_of({"handler.py": handler}).body},
            Timeout=120,
            MemorySize=256,
            Environment={"Variables": {"OWNER": "example"}},
        )

    # ------------------------------------------------- what the parts ask of moto

    def _invoke(self, name: str, qualifier: str | None, event: bytes) -> FunctionAnswer | None:
        backend = lambda_backends[self.account_id][self.region]
        try:
            found = backend.get_function(name, qualifier)
        except UnknownFunctionException:
            return None
        function = Function(
            name=found.function_name,
            arn=found.function_arn,
            version=str(found.version),
            handler=found.handler,
            code_sha256=found.code_sha_256,
            code=found.code_bytes,
            environment=dict(found.environment_vars),
            role_arn=found.role,
            timeout_s=float(found.timeout),
            memory_mb=int(found.memory_size),
            journal=self._journals.get(found.function_name, Journal.usual(found.function_name)),
        )
        return self._functions.invoke(function, event)

    def _tags(self, arn: str) -> Mapping[str, str]:
        return repositories.tags(arn) if arn.startswith("arn:aws:ecr:") else self.hosting.tags(arn)

    def _may(self, role_arn: str, needed: list[PolicyRequest]) -> bool:
        return self.access.may(role_arn, needed)

    def _key_of(self, name: str) -> str | None:
        try:
            found = lambda_backends[self.account_id][self.region].get_function(name)
        except UnknownFunctionException:
            return None
        return found.kms_key_arn or None

    def _execution_ended(self, description: dict[str, Any]) -> None:
        self._bus.send(execution_ended(description, account_id=self.account_id, region=self.region))

    def _invoke_asynchronously(self, arn: str, event: dict[str, Any]) -> None:
        """Invoke as EventBridge does: the answer is nobody's, an error is tried twice more, then sent on."""
        answer = b"null"
        for _ in range(_ATTEMPTS):
            invocation = self._invoke(arn, None, json.dumps(event).encode())
            if invocation is None or invocation.error is None:
                return
            answer = invocation.payload
        if queue := self._destinations.get(arn.split(":")[6]):
            record = destinations.record(arn, event, json.loads(answer), _ATTEMPTS)
            destinations.send(self.account_id, self.region, queue, record)

    def _role_credentials(self, function: Function) -> dict[str, str]:
        # As in AWS, the session bears the function's name.
        given = self._assume(function.role_arn, function.name)
        return {name.upper(): value for name, value in given.items()}

    def _workflow_credentials(self, role_arn: str) -> dict[str, str]:
        given = self._assume(role_arn, WORKFLOW)
        self._workflow_keys.add(given["aws_access_key_id"])
        return given

    def _caller(self, access_key: str) -> str:
        if access_key in self._programs:
            return self._programs[access_key][0]
        return WORKFLOW if access_key in self._workflow_keys else self._functions.caller(access_key)

    def _kill(self, access_key: str, timed_out: bool) -> None:
        if access_key in self._programs:
            self._programs[access_key][1]()
        else:
            self._functions.kill(access_key, timed_out)

    def _assume(self, role_arn: str, session: str) -> dict[str, str]:
        # As long as may be: what runs in this name asks for no others.
        given = self.clients.sts.assume_role(
            RoleArn=role_arn, RoleSessionName=session, DurationSeconds=_SESSION_S
        )["Credentials"]
        return {
            "aws_access_key_id": given["AccessKeyId"],
            "aws_secret_access_key": given["SecretAccessKey"],
            "aws_session_token": given["SessionToken"],
        }

    def _as(self, role_arn: str) -> Clients:
        """Return the clients of what SageMaker does in a role's name."""
        with self._roles_lock:
            if role_arn not in self._acting:
                self._acting[role_arn] = Clients(
                    endpoint_url=self.url,
                    region=self.region,
                    credentials=self._assume(role_arn, "SageMaker"),
                )
            return self._acting[role_arn]

    def _alarms_in_alarm(self, role_arn: str, names: Sequence[str]) -> list[str]:
        """Return which alarms are in ALARM, as a role sees them."""
        try:
            found = self._as(role_arn).cloudwatch.describe_alarms(AlarmNames=list(names))["MetricAlarms"]
        except ClientError as error:
            if service_errors.is_access_denied(error):
                raise AlarmsUnseen(service_errors.text(error)) from error
            raise
        return [str(alarm["AlarmName"]) for alarm in found if alarm["StateValue"] == "ALARM"]

    def _fetch(self, role_arn: str, bucket: str, key: str, destination: Path) -> None:
        try:
            self._as(role_arn).s3.download_file(bucket, key, str(destination))
        except ClientError as error:
            if service_errors.is_no_such_key(error):
                raise ObjectMissing(f"s3://{bucket}/{key}") from error
            raise

    def _exists(self, role_arn: str, bucket: str, key: str) -> bool:
        try:
            self._as(role_arn).s3.head_object(Bucket=bucket, Key=key)
        except ClientError as error:
            if service_errors.is_no_such_key(error):
                return False
            raise
        return True

    def _log_as(self, role_arn: str, group: str, stream: str, timestamp_ms: int, message: str) -> None:
        """Write a line in a role's name; what it may not write is lost, as in AWS."""
        arn = f"arn:aws:logs:{self.region}:{self.account_id}:log-group:{group}:log-stream:"
        known = logs_backends[self.account_id][self.region].groups.get(group)
        needed = [PolicyRequest("logs:PutLogEvents", arn + stream)]
        if known is None:
            needed.append(PolicyRequest("logs:CreateLogGroup", arn))
        if known is None or stream not in known.streams:
            needed.append(PolicyRequest("logs:CreateLogStream", arn))
        if self.access.may(role_arn, needed):
            self._log(group, stream, timestamp_ms, message)

    def _log(self, group: str, stream: str, timestamp_ms: int, message: str) -> None:
        backend = logs_backends[self.account_id][self.region]
        with self._logs_lock:
            backend.ensure_log_group(group)
            if stream not in backend.groups[group].streams:
                backend.create_log_stream(group, stream)
            backend.put_log_events(group, stream, [{"timestamp": timestamp_ms, "message": message}])
            metric_filters.publish(backend, group, timestamp_ms, message)


def _no_wait(_seconds: float) -> None:
    """Not wait: what is made here is made before the answer comes."""


@dataclass(frozen=True, slots=True)
class _Objects:
    """What SageMaker asks S3 in a role's name."""

    acting: Callable[[str], Clients]

    def etag(self, role_arn: str, bucket: str, key: str) -> str | None:
        try:
            found = self.acting(role_arn).s3.head_object(Bucket=bucket, Key=key)["ETag"]
        except ClientError as error:
            if service_errors.is_no_such_key(error):
                return None
            raise
        return found.strip('"')

    def keys(self, role_arn: str, bucket: str, prefix: str) -> list[str]:
        pages = (
            self.acting(role_arn).s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix)
        )
        return [one["Key"] for page in pages for one in page.get("Contents", ())]


@dataclass(frozen=True, slots=True)
class _Images:
    """What SageMaker asks ECR in a role's name."""

    account_id: str
    may: Callable[[str, list[PolicyRequest]], bool]

    def may_pull(self, role_arn: str, reference: ImageReference) -> bool:
        place = (reference.account, reference.region, reference.repository)
        if reference.account != self.account_id and repositories.find(*place) is None:
            # AWS's own images are everybody's; who else's are, nobody here knows.
            return False
        needed = [
            PolicyRequest("ecr:GetAuthorizationToken", "*"),
            PolicyRequest("ecr:BatchGetImage", reference.arn),
            PolicyRequest("ecr:GetDownloadUrlForLayer", reference.arn),
        ]
        return self.may(role_arn, needed)

    def find(self, reference: ImageReference) -> pulls.PulledImage | None:
        return pulls.find(reference)


def scaled(hosting: HostingSettings, time_scale: float) -> HostingSettings:
    """Return hosting settings whose shortest times are scaled; its limits stay what they are in AWS."""
    return replace(
        hosting,
        creating_s=hosting.creating_s * time_scale,
        deleting_s=hosting.deleting_s * time_scale,
        rescaling_s=hosting.rescaling_s * time_scale,
        baking_scale=hosting.baking_scale * time_scale,
        scaling_scale=hosting.scaling_scale * time_scale,
    )
