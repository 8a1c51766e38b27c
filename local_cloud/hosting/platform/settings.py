"""The numbers of the emulated platform: what a test may shrink and a demo may show.

Owns limits and pace. Refuses to own quotas, which belong to the account (`quotas`).
"""

from __future__ import annotations

import sys
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING

from local_cloud.hosting.platform.images import llama_cpp_platform
from local_cloud.hosting.platform.resources import Capacity
from pipeline import package_files
from pipeline.limits import MiB
from pipeline.sizing import instance_types
from pipeline.sizing.instance_types import CUDA

if TYPE_CHECKING:
    from local_cloud.hosting.platform.resources import Deployment


GB = 1000**3
STARTUP_S = 180.0
_LONGEST_S = 3600.0
"""Each of an instance's two time-outs when a variant says nothing. OURS: AWS documents no default."""

_CONTAINERS = Path(__file__).resolve().parents[1] / "containers"
_IMITATION = _CONTAINERS / "llama_server.py"
_CUDA = _CONTAINERS / "cuda_server.py"


def own_image(program: Path | None) -> tuple[str, ...]:
    """Return what stands for the entry point of the image of our own, and for that of AWS's PyTorch image.

    Args:
        program: the real llama-server, which the adapter finds where it was built, and runs unless an archive brings
            functions; None for the functions always.
    """
    entry = "server.py" if program is None else "adapter"
    return (sys.executable, str(package_files.inference() / entry))


def llama_cpp_image(program: Path | None) -> tuple[str, ...]:
    """Return what stands for the entry point of AWS's llama.cpp image.

    Args:
        program: the real llama-server; None for an imitation of its manners.
    """
    if program is None:
        return (sys.executable, str(_IMITATION))
    return (sys.executable, str(_CONTAINERS / "llama_cpp_image.py"), str(program))


@dataclass(frozen=True, slots=True)
class HostingSettings:
    """Limits of serverless inference (their sources in each field) and the pace of the emulation."""

    command: tuple[str, ...] = own_image(package_files.llama_server())
    """What stands for an image's entry point; it reads SM_MODEL_DIR and SAGEMAKER_BIND_TO_PORT."""
    llama_server: tuple[str, ...] = llama_cpp_image(package_files.llama_server())
    """The same for AWS's llama.cpp image, which takes other requests and has no use for `code/`."""
    workspace: Path | None = None
    """Where containers get their folders; a temporary folder when None."""
    roots: Path | None = None
    """Where the file systems of images are kept once they are extracted; a folder that goes at the end when None."""
    creating_s: float = 2.0
    """Shortest time in Creating and Updating, so that a poll sees them."""
    baking_scale: float = 1.0
    """How long the waits of a blue/green deployment take, against what it asks for."""
    scaling_scale: float = 1.0
    """How long the waits of an inference component's scaling take, against AWS."""
    scaling_interval_s: float = 0.5
    """Pause between two looks at whether it is quiet."""
    quiet_s: float = 900.0
    """Without a call until copies go: Application Auto Scaling's own alarm has 90 data points of 10 s (SEEN)."""
    waking_s: float = 60.0
    """From a refused call to the first copy's start: the shortest period of an alarm on SageMaker's metrics."""
    returning_s: float = 600.0
    """From the last copy's end until the instances are gone: 12 minutes were SEEN once, and 10 are told."""
    baking_interval_s: float = 0.2
    """Pause between two looks at the alarms while it lasts."""
    rescaling: bool = True
    """Whether UpdateEndpointWeightsAndCapacities changes a serverless endpoint's concurrency. The service model says
    so; that an account takes it was seen nowhere, so a cloud can be set to refuse it."""
    rescaling_s: float = 0.5
    """Time in Updating when only the concurrency changes."""
    short_of: frozenset[str] = frozenset()
    """Instance types of which there is no capacity."""
    deleting_s: float = 0.5
    """Shortest time in Deleting."""
    startup_deadline_s: float = STARTUP_S
    """From the start of the download to a 200 of /ping (developer guide, serverless-endpoints-invoke)."""
    ping_interval_s: float = 0.2
    """Pause between two health checks."""
    ping_timeout_s: float = 2.0
    """Longest answer to one health check (developer guide, your-algorithms-inference-code)."""
    invocation_timeout_s: float = 60.0
    """Longest answer to one invocation (developer guide, serverless-endpoints-invoke)."""
    streaming_timeout_s: float = 480.0
    """The same for an answer that streams (developer guide: 8 minutes)."""
    payload_bytes: int = 4 * MiB
    """Largest request and largest response (developer guide, serverless-endpoints-invoke)."""
    instance_payload_bytes: int = 25 * MiB
    """The same for an endpoint on instances (developer guide, realtime-endpoints: 25 MB)."""
    disk_bytes: int = 5 * 1024 * MiB
    """Ephemeral disk, "5 GB" for every memory size; the archive and what is extracted both count here."""
    memory_interval_s: float = 0.25
    """Pause between two looks at the memory of a container."""
    stop_grace_s: float = 30.0
    """From SIGTERM to SIGKILL (developer guide, your-algorithms-inference-code)."""

    def command_for(
        self, image: str, instance_type: str | None = None, gpu_gib: float | None = None
    ) -> tuple[str, ...]:
        """Return what stands for the entry point of an image.

        Args:
            image: its URI.
            instance_type: what it runs on, whose GPUs a CUDA image finds there or does not; None on serverless.
            gpu_gib: GiB of each of its GPUs; None for what CUDA says that they have.
        """
        platform = llama_cpp_platform(image)
        if platform is None:
            return self.command
        if platform != CUDA or str(_IMITATION) in self.llama_server:
            return self.llama_server
        *entry, program = self.llama_server
        has = "" if gpu_gib is None else f"{gpu_gib:g}"
        return (*entry, sys.executable, str(_CUDA), instance_type or "", has, program)

    @property
    def behind_llama_cpp(self) -> str:
        """Say what stands for AWS's llama.cpp image."""
        if str(_IMITATION) in self.llama_server:
            return "an imitation stands for AWS's llama.cpp image; `make llama-server` builds the real server"
        return "the real llama-server stands for AWS's llama.cpp image"

    def deadline_s(self, deployment: Deployment) -> float:
        """Return how long a container may take from the start of its download; as much shorter as the 180 s are set."""
        capacity = deployment.capacity
        if isinstance(capacity, Capacity):
            return self.startup_deadline_s
        asked = (capacity.download_s or _LONGEST_S) + (capacity.startup_s or _LONGEST_S)
        return asked * self.startup_deadline_s / STARTUP_S

    def memory_bytes(self, deployment: Deployment) -> int:
        """Return the memory of a container: a serverless size, or all that its instance has."""
        capacity = deployment.capacity
        if isinstance(capacity, Capacity):
            return capacity.memory_mb * MiB
        known = instance_types.facts(capacity.type)
        return sys.maxsize if known is None else int(known.memory_gib * 1024 * MiB)

    def payload_bytes_of(self, deployment: Deployment) -> int:
        """Return the bytes of the largest request, and of the largest response."""
        serverless = isinstance(deployment.capacity, Capacity)
        return self.payload_bytes if serverless else self.instance_payload_bytes

    def disk_bytes_of(self, deployment: Deployment) -> int:
        """Return the disk of a container."""
        capacity = deployment.capacity
        if isinstance(capacity, Capacity):
            return self.disk_bytes
        return sys.maxsize if capacity.volume_gb is None else capacity.volume_gb * GB

    def __post_init__(self) -> None:
        if not self.command:
            raise ValueError("hosting settings: command is empty; wanted a program and its arguments")
        for field in fields(self):
            value = getattr(self, field.name)
            if isinstance(value, int | float) and value < 0:
                raise ValueError(f"hosting settings: {field.name} is {value!r}; wanted zero or more")
