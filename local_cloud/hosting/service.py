"""The composition root of hosting: one object that answers for SageMaker in one account and region."""

from __future__ import annotations

import atexit
import shutil
import tempfile
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

from local_cloud.hosting.components import Components
from local_cloud.hosting.containers.image_checks import CheckedLaunch
from local_cloud.hosting.containers.launches import Launcher, no_image
from local_cloud.hosting.containers.model_files import ModelFiles, NoObjects
from local_cloud.hosting.containers.places import Places
from local_cloud.hosting.containers.runc_container import RuncLauncher, sweep
from local_cloud.hosting.containers.server_process import ProcessLauncher
from local_cloud.hosting.control_plane.operations import ControlPlane
from local_cloud.hosting.fleet import Fleet
from local_cloud.hosting.platform.quotas import Quotas
from local_cloud.hosting.platform.resources import AwsAccount
from local_cloud.hosting.platform.settings import HostingSettings
from local_cloud.hosting.platform.timing import (
    Threads,
    Timing,
)
from local_cloud.hosting.protocol import Protocol
from local_cloud.hosting.runtime import InvocationRequest, Runtime

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from wsgiref.types import StartResponse, WSGIEnvironment

    from local_cloud.hosting.components import CopyScaling
    from local_cloud.hosting.containers.container import Launch, Log
    from local_cloud.hosting.containers.launches import Pull
    from local_cloud.hosting.containers.model_files import Fetch, Objects
    from local_cloud.hosting.containers.oci_runtime import OciRuntime
    from local_cloud.hosting.fleet import AlarmsInAlarm
    from local_cloud.hosting.platform.images import Images
    from local_cloud.hosting.platform.networks import Networks
    from local_cloud.hosting.platform.resources import Deployment
    from local_cloud.hosting.platform.timing import Background
    from local_cloud.hosting.runtime import InvocationResponse

_PREFIX = "sealift-hosting-"


class Hosting:
    """SageMaker's models, endpoint configurations and endpoints, with real servers behind them."""

    def __init__(
        self,
        *,
        region: str,
        account_id: str,
        fetch: Fetch,
        log: Log,
        exists: Callable[[str, str, str], bool] | None = None,
        objects: Objects | None = None,
        alarms_in_alarm: AlarmsInAlarm | None = None,
        scaling_of: Callable[[str], CopyScaling | None] | None = None,
        quotas: Quotas | None = None,
        settings: HostingSettings | None = None,
        timing: Timing | None = None,
        background: Background | None = None,
        launch: Launch | None = None,
        pull: Pull | None = None,
        images: Images | None = None,
        networks: Networks | None = None,
        runtime: OciRuntime | None = None,
    ) -> None:
        """Wire the parts together; nothing runs until an endpoint is created.

        Args:
            region: the region in ARNs.
            account_id: the account in ARNs.
            fetch: downloads, as a role, the S3 object (bucket, key) to a path; raises ObjectMissing when there is none.
            log: takes a container's log line: role, group, stream, milliseconds since 1970, text.
            exists: returns whether a role sees an object (bucket, key), and raises when access is denied;
                without it CreateModel downloads the object to know.
            alarms_in_alarm: returns, as a role, those of the named alarms that are in ALARM; none when None.
            scaling_of: returns how an inference component is scaled, by its name; nothing scales when it is None.
            objects: knows ETags and what lies below a prefix, for a ModelDataSource; nothing when None.
            quotas: the account's quotas.
            settings: limits and pace.
            timing: clock and pauses.
            background: what runs the jobs.
            launch: what starts containers; real ones, or processes, when None.
            pull: returns an image's files by its URI, None where nobody here has them; of none when it is None.
            images: tells of images and who may pull them; none is looked at when None.
            networks: tells of VPCs and keys; all of them are taken when None.
            runtime: what runs true containers of those images; processes alone when None.
        """
        self._closing = threading.Event()
        self._settings = settings or HostingSettings()
        account = AwsAccount(region, account_id)
        objects = objects or NoObjects()
        timing = timing or Timing.real(self._closing)
        self._root: Path | None = None
        self._containers: RuncLauncher | None = None
        if launch is None:
            if runtime is not None:
                sweep(self._settings.workspace or Path(tempfile.gettempdir()), f"{_PREFIX}*", runtime)
            self._root = _make_root(self._settings.workspace)
            models = ModelFiles(fetch=fetch, objects=objects, settings=self._settings)
            if runtime is not None:
                self._containers = RuncLauncher(
                    runtime=runtime,
                    models=models,
                    settings=self._settings,
                    root=self._root,
                    roots=self._settings.roots,
                )
            launch = Launcher(
                places=Places(self._root, log=log, log_group=account.log_group, clock=timing.clock),
                pull=pull or no_image,
                processes=ProcessLauncher(models=models, settings=self._settings),
                containers=self._containers,
            )
        if images is not None:

            def note(endpoint_name: str, deployment: Deployment, line: str) -> None:
                group = account.log_group(endpoint_name, deployment.component)
                stream = f"{deployment.variant_name}/launch"
                log(deployment.role_arn, group, stream, int(timing.clock() * 1000), line)

            launch = CheckedLaunch(launch, images, note)
        background = background or Threads()
        fleet = Fleet(
            account=account,
            quotas=quotas or Quotas(),
            settings=self._settings,
            launch=launch,
            timing=timing,
            background=background,
            alarms_in_alarm=alarms_in_alarm or (lambda _role, _names: []),
        )
        self._fleet = fleet
        components = Components(
            account=account,
            fleet=fleet,
            settings=self._settings,
            launch=launch,
            timing=timing,
            background=background,
            scaling_of=scaling_of,
        )
        self._components = components
        self._control = ControlPlane(
            account=account,
            fleet=fleet,
            components=components,
            fetch=fetch,
            exists=exists,
            objects=objects,
            images=images,
            networks=networks,
            clock=timing.clock,
        )
        self._runtime = Runtime(fleet, components)
        self._protocol = Protocol(
            self._control.handle,
            self._runtime.invoke,
            payload_bytes=max(self._settings.payload_bytes, self._settings.instance_payload_bytes),
        )
        atexit.register(self.close)

    @property
    def quotas(self) -> Quotas:
        """The account's quotas; set, they hold for the next request, as a raise does in AWS."""
        return self._fleet.quotas

    @quotas.setter
    def quotas(self, quotas: Quotas) -> None:
        self._fleet.quotas = quotas

    @property
    def rescaling(self) -> bool:
        """Whether a serverless endpoint's concurrency may be changed without a new configuration, from now on."""
        return self._fleet.rescaling

    @rescaling.setter
    def rescaling(self, taken: bool) -> None:
        self._fleet.rescaling = taken

    @property
    def short_of(self) -> frozenset[str]:
        """The instance types of which there is no capacity for the next endpoint or update."""
        return self._fleet.short_of

    @short_of.setter
    def short_of(self, types: frozenset[str]) -> None:
        self._fleet.short_of = types

    @property
    def startup_deadline_s(self) -> float:
        """The seconds that the next serverless container may take to start; one on an instance in proportion."""
        return self._fleet.startup_deadline_s

    @startup_deadline_s.setter
    def startup_deadline_s(self, seconds: float) -> None:
        self._fleet.startup_deadline_s = seconds

    @property
    def gpu_gib(self) -> float | None:
        """The GiB of each GPU of the next endpoint or update; None for what CUDA says that one of its kind has."""
        return self._fleet.gpu_gib

    @gpu_gib.setter
    def gpu_gib(self, gib: float | None) -> None:
        self._fleet.gpu_gib = gib

    def handle(self, operation: str, parameters: Mapping[str, Any]) -> dict[str, Any]:
        """Return the answer of a control-plane operation, ready for JSON; raise AwsError."""
        return self._control.handle(operation, parameters)

    def tags(self, arn: str) -> Mapping[str, str]:
        """Return the tags of a resource; none for one that is not there."""
        return self._control.tags(arn)

    def volume_key(self, config_name: str) -> str | None:
        """Return the key that encrypts the volumes of a configuration's instances; None for none."""
        return self._control.volume_key(config_name)

    def invoke_endpoint(
        self,
        name: str,
        body: bytes,
        content_type: str | None = None,
        accept: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> InvocationResponse:
        """Return an endpoint's answer; raise AwsError."""
        return self._runtime.invoke(InvocationRequest(name, body, content_type, accept, headers or {}))

    def wsgi(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """Answer one HTTP request of either plane."""
        return self._protocol(environ, start_response)

    def pids(self, name: str) -> list[int]:
        """Return the process ids of the server behind an endpoint; raise AwsError when it does not serve."""
        return self._fleet.pids(name)

    def close(self) -> None:
        """End every server process and remove every folder; a second call does nothing."""
        atexit.unregister(self.close)
        self._closing.set()
        self._components.close()
        self._fleet.close()
        if self._containers is not None:
            self._containers.close()
        if self._root is not None:
            shutil.rmtree(self._root, ignore_errors=True)


def _make_root(workspace: Path | None) -> Path:
    if workspace is not None:
        workspace.mkdir(parents=True, exist_ok=True)
    return Path(tempfile.mkdtemp(prefix=_PREFIX, dir=workspace))
