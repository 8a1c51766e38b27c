"""SageMaker hosting for the local cloud: serverless endpoints with real server processes, small and strict.

Models, endpoint configurations, endpoints and invocations, with the statuses over time, the refusals and the
texts of the real service. What it does not emulate it refuses by name. Reading order: `service` wires;
`control` and `runtime` are the two planes behind `protocol`; `fleet` and `workers` run endpoints and
containers by the tables in `lifecycle`; `requests`, `rules`, `quotas`, `listings`, `descriptions` and `texts`
are pure.
"""

from __future__ import annotations

from .containers import ObjectMissing
from .fleet import AlarmsUnseen
from .protocol import render_control_error, render_runtime_error
from .quotas import Quotas
from .refusals import AwsError
from .runtime import InvocationResponse
from .service import Hosting
from .settings import HostingSettings
from .timing import Timing

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
