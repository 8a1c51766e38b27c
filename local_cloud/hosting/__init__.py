"""SageMaker hosting for the local cloud: serverless endpoints with real server processes, small and strict.

Models, endpoint configurations, endpoints and invocations, with the statuses over time, the refusals and the
texts of the real service. What it does not emulate it refuses by name. Reading order: `service` wires;
`control_plane` and `runtime` are the two planes behind `protocol`; `fleet` runs endpoints, and `containers` what is
behind them, by the tables in `platform`, which knows neither. The rest of `platform` and of `control_plane` is pure.
"""

from __future__ import annotations

from local_cloud.hosting.containers.model_files import ObjectMissing
from local_cloud.hosting.fleet import AlarmsUnseen
from local_cloud.hosting.platform.quotas import Quotas
from local_cloud.hosting.platform.refusals import AwsError
from local_cloud.hosting.platform.settings import HostingSettings
from local_cloud.hosting.platform.timing import Timing
from local_cloud.hosting.protocol import (
    render_control_error,
    render_runtime_error,
)
from local_cloud.hosting.runtime import InvocationResponse
from local_cloud.hosting.service import Hosting

__all__ = [
    "AlarmsUnseen",
    "AwsError",
    "Hosting",
    "HostingSettings",
    "InvocationResponse",
    "ObjectMissing",
    "Quotas",
    "Timing",
    "render_control_error",
    "render_runtime_error",
]
