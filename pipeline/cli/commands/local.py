"""`sealift local run` and `sealift local up`: the whole product on this machine."""

from __future__ import annotations

import json
import socket
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil
from botocore.exceptions import ClientError

from local_cloud.cloud import CONSUMER, CloudSettings, LocalCloud, scaled
from local_cloud.faults import Fault
from local_cloud.hosting import HostingSettings, Quotas
from local_cloud.hosting.containers import oci_runtime
from pipeline import naming, settings
from pipeline.aws import service_errors
from pipeline.cli import deployment_flags, following, reading, suite_upload
from pipeline.cli.commands import report
from pipeline.cli.endings import Misuse, misuse
from pipeline.cli.following import Events
from pipeline.cli.screen import Progress, Screen
from pipeline.errors import InvalidInput, Problem, ServiceUnavailable
from pipeline.operations import execution_history
from pipeline.planning import deployment_request, request_sources
from pipeline.report import document, page, source
from pipeline.sizing import images, instance_types, pricing
from pipeline.spelling import did_you_mean

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from pipeline.cli.options import CloudOptions, LocalRunOptions, LocalUpOptions
    from pipeline.operations.execution_history import Execution

LOOK_S = 0.2
SLOWEST_S = 0.5
EVENT_DEADLINE_S = 30
OTHERWISE = f"no consumer was switched; the example is {CONSUMER}"

sleep = time.sleep  # noqa: TID251 handed to `follow`; the command line is where time passes


@dataclass(slots=True)
class _Parts:
    """How long each part of a run took, beginning with the start of this process."""

    _last: float = field(default_factory=time.time)
    seconds: dict[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.seconds["program"] = round(self._last - psutil.Process().create_time(), 3)

    def end(self, part: str) -> None:
        """Note the end of a part, and so the beginning of the next."""
        now = time.time()
        self.seconds[part] = round(now - self._last, 3)
        self._last = now

    @property
    def total(self) -> float:
        return round(sum(self.seconds.values()), 3)

    def __str__(self) -> str:
        durations = ", ".join(f"{name} {seconds:.1f} s" for name, seconds in self.seconds.items())
        return f"took {self.total:.1f} s: {durations}"


def run(arguments: LocalRunOptions) -> int:
    """Deploy an archive on a local cloud of its own, show the checklist, and take the cloud down again."""
    archive = Path(arguments.archive)
    if not archive.is_file():
        seen = Problem(
            "NoSuchFile", f"no file {arguments.archive!r}", "an archive", "make one with `sealift pack`"
        )
        raise InvalidInput("archive", [seen])
    deployment = _deployment(arguments)
    suite = suite_upload.find(deployment, arguments.input)
    screen = Screen.of(arguments)
    parts = _Parts()
    screen.hint("starting the local cloud ...")
    chosen = _settings(arguments, port=0)
    with LocalCloud(chosen) as cloud:
        parts.end("local cloud")
        screen.step(f"local cloud up in {parts.seconds['local cloud']:.1f} s: {cloud.url}")
        screen.step(cloud.how_endpoints_run)
        if deployment.get("container") == images.LLAMA_CPP.name:
            screen.step(chosen.hosting.behind_llama_cpp)
        bucket = cloud.outputs["UploadBucketName"]
        suite_upload.send(cloud.clients.s3, bucket, _key(arguments, archive), suite)
        arn = _start(cloud, archive, deployment, arguments, screen)
        parts.end("upload")
        ended = _follow(cloud, arn, screen, "Ctrl-C ends the local cloud, and the deployment with it")
        parts.end("deployment")
        if arguments.report is not None:
            made = document.assemble(source.fetch(cloud.clients, arn), pricing.LISTED)
            report.write(arguments.report, page.render(made))
            parts.end("report")
        if not arguments.json:
            following.conclude(ended, screen, otherwise=OTHERWISE)
    parts.end("shutting down")
    if arguments.report is not None:
        screen.say(f"report: {arguments.report}")
    if arguments.json:
        summary = {**execution_history.summary(ended), "total_seconds": parts.total, "parts": parts.seconds}
        print(json.dumps(summary, indent=2))
    else:
        screen.step(str(parts))
    return 0 if ended.status == "SUCCEEDED" else 1


def up(arguments: LocalUpOptions) -> int:
    """Start a local cloud and follow whatever is deployed on it, until interrupted."""
    _check_port(arguments.port)
    screen = Screen.of(arguments)
    with LocalCloud(_settings(arguments, port=arguments.port)) as cloud:
        bucket, machine = cloud.outputs["UploadBucketName"], cloud.outputs["StateMachineArn"]
        if arguments.json:
            Events(sys.stdout).emit(
                "cloud",
                endpoint_url=cloud.url,
                region=cloud.region,
                upload_bucket=bucket,
                state_machine_arn=machine,
            )
        else:
            for line in _introduction(cloud, bucket, machine):
                screen.say(line)
        try:
            _watch_all(cloud, screen, arguments)
        except KeyboardInterrupt:
            screen.step("ending the local cloud")
    return 0


def _introduction(cloud: LocalCloud, bucket: str, machine: str) -> Iterator[str]:
    """Yield what a person needs to use a local cloud."""
    yield f"endpoint URL   {cloud.url}"
    yield f"region         {cloud.region}; any credentials will do, for instance AWS_ACCESS_KEY_ID=local"
    yield f"upload bucket  {bucket}"
    yield f"state machine  {machine}"
    yield cloud.how_endpoints_run
    yield "deploy a model with"
    yield f"  aws --endpoint-url {cloud.url} s3 cp model.tar.gz s3://{bucket}/models/demo/model.tar.gz"
    yield "Ctrl-C ends it"


def _check_port(port: int) -> None:
    """Refuse a port that nobody can listen on here.

    Raises:
        InvalidInput: with why not.
    """
    try:
        with socket.socket() as tried:
            # As the server has it: a port whose last user has just ended is free.
            tried.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            tried.bind(("127.0.0.1", port))
    except OSError as error:
        why = error.strerror or str(error)
        fix = "end what uses it, or name another with --port; 0 takes any that is free"
        problem = Problem("PortNotFree", f"port {port}: {why}", "a port of 127.0.0.1 that is free", fix)
        raise InvalidInput("--port", [problem]) from error


def _watch_all(cloud: LocalCloud, screen: Screen, arguments: LocalUpOptions) -> None:
    """Follow executions, one after the other, as they come."""
    seen: set[str] = set()
    while True:
        for arn in reversed(_executions(cloud)):
            if arn not in seen:
                seen.add(arn)
                if arguments.json:
                    events = Events(sys.stdout, quiet=arguments.quiet, scale=cloud.settings.time_scale)
                    _follow(cloud, arn, screen, "", events)
                    continue
                ended = _follow(cloud, arn, screen, "Ctrl-C ends the local cloud")
                following.conclude(ended, screen, otherwise=OTHERWISE)
        sleep(LOOK_S)


def _settings(arguments: CloudOptions, *, port: int) -> CloudSettings:
    if not 0 <= arguments.time_scale <= 10:
        seen = Problem(
            "WrongValue", f"--time-scale {arguments.time_scale:g}", "a factor from 0 to 10", "use 0.1"
        )
        raise Misuse("command line", [seen])
    with misuse():
        faults = tuple(Fault.parse(spec) for spec in arguments.fault)
    short_of = frozenset(_types("--no-capacity", arguments.no_capacity))
    return CloudSettings(
        port=port,
        time_scale=arguments.time_scale,
        faults=faults,
        containers=_containers(),
        quotas=Quotas(instances=dict.fromkeys(_types("--no-quota", arguments.no_quota), 0)),
        hosting=scaled(HostingSettings(short_of=short_of), arguments.time_scale),
    )


def _types(option: str, said: Sequence[str]) -> Sequence[str]:
    """Return the instance types of an option; one that is not known would change nothing, and is refused."""
    known = [one.name for one in instance_types.TYPES]
    if unknown := [one for one in said if one not in known]:
        fix = did_you_mean(unknown[0], known, "`sealift prices` lists them")
        raise Misuse(
            "command line",
            [Problem("WrongValue", f"{option} {one}", "a type that is known", fix) for one in unknown],
        )
    return said


def _containers() -> oci_runtime.Mode:
    """Return what endpoints run in, as it was asked for; refuse what this machine has not."""
    mode = settings.containers()
    try:
        oci_runtime.choose(mode)
    except oci_runtime.RuntimeUnavailableError as error:
        seen = f"no true containers here: {error}"
        fix = f"install {mode} and run as root, or let it be auto, which takes what works"
        problem = Problem("NoContainerRuntime", seen, f"that `{mode}` works", fix)
        raise InvalidInput("--containers", [problem]) from error
    return mode


def _deployment(arguments: LocalRunOptions) -> dict[str, Any]:
    """Return the settings of the deployment: the file's, and what the command line adds."""
    deployment: dict[str, Any] = {}
    if arguments.input is not None:
        deployment = reading.read_object(arguments.input, most=request_sources.SIDECAR_LIMIT)
        deployment_request.check_settings(deployment, reading.name_of(arguments.input))
    flags = deployment_flags.said(arguments)
    if problems := deployment_request.mistakes(flags, deployment_flags.COMMAND):
        raise Misuse("command line", [deployment_flags.by_flag(one) for one in problems])
    return deployment_flags.over(flags, deployment)


def object_name(archive: Path) -> str:
    """Return what an archive is called in the bucket; a bare GGUF keeps its name, by which it is known as one."""
    if archive.suffix == naming.MODEL_SUFFIX:
        return archive.name
    return "model.zip" if archive.suffix == ".zip" else "model.tar.gz"


def _key(arguments: LocalRunOptions, archive: Path) -> str:
    """Return the key of an archive; outside models/, an upload starts nothing."""
    folder = "by-hand" if arguments.by == "hand" else "models"
    return f"{folder}/{arguments.service}/{object_name(archive)}"


def _start(
    cloud: LocalCloud, archive: Path, deployment: dict[str, Any], arguments: LocalRunOptions, screen: Screen
) -> str:
    """Upload the archive and return the execution that deploys it."""
    bucket, by_hand = cloud.outputs["UploadBucketName"], arguments.by == "hand"
    key = _key(arguments, archive)
    if deployment and not by_hand:
        body = json.dumps(deployment).encode()
        cloud.clients.s3.put_object(Bucket=bucket, Key=request_sources.sidecar_key(key), Body=body)
    size, progress, sent = archive.stat().st_size, Progress(screen, "uploading"), 0

    def uploaded(count: int) -> None:
        nonlocal sent
        sent += count
        progress(sent, size)

    cloud.clients.s3.upload_file(str(archive), bucket, key, Callback=uploaded)
    screen.step(f"uploaded {archive} to s3://{bucket}/{key}")
    if by_hand:
        document = {**deployment, "archive": {"bucket": bucket, "key": key}, "service": arguments.service}
        return cloud.clients.stepfunctions.start_execution(
            stateMachineArn=cloud.outputs["StateMachineArn"], input=json.dumps(document)
        )["executionArn"]
    screen.hint("waiting for the upload's event to start the execution ...")
    deadline = time.monotonic() + EVENT_DEADLINE_S
    while time.monotonic() < deadline:
        if found := _executions(cloud):
            return found[0]
        sleep(LOOK_S)
    raise ServiceUnavailable(
        f"no execution started within {EVENT_DEADLINE_S} s of the upload; wanted one; see the log",
        fix="see the log",
    )


def _executions(cloud: LocalCloud) -> list[str]:
    """Return the executions of all workflows, whichever stack they are of, newest first."""
    listed: list[Any] = []
    for machine in cloud.clients.stepfunctions.list_state_machines()["stateMachines"]:
        try:
            page = cloud.clients.stepfunctions.list_executions(stateMachineArn=machine["stateMachineArn"])
        except ClientError as error:
            # `sealift destroy` may just have taken it away.
            if service_errors.code(error) != "StateMachineDoesNotExist":
                raise
            continue
        listed += page["executions"]
    return [one["executionArn"] for one in sorted(listed, key=lambda one: one["startDate"], reverse=True)]


def _follow(
    cloud: LocalCloud, arn: str, screen: Screen, leaving: str, events: Events | None = None
) -> Execution:
    """Draw the checklist, or write events, until the execution has ended; return it."""
    view: following.View
    if events is not None:
        view = events
    else:
        screen.step(f"execution {arn}")
        view = following.view_on(screen, scale=cloud.settings.time_scale, leaving=leaving)
    return following.follow(cloud.clients.stepfunctions, arn, view, interval_s=LOOK_S, slowest_s=SLOWEST_S)
