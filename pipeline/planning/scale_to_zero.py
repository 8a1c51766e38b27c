"""An endpoint whose instances all go while nobody calls: what of the request contradicts that, and the very requests.

AWS's guide has the parts (https://docs.aws.amazon.com/sagemaker/latest/dg/endpoint-auto-scaling-zero-instances.html): a
configuration without a model and with ManagedInstanceScaling from 0, an inference component, a scalable target of its
copies, a policy that takes copies away, and since that one cannot leave zero, another that a CloudWatch alarm on
refused calls starts (`copy_scaling`). Pure. The times are others' measurements, of ml.g5.xlarge, and no promise of
AWS's.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from pipeline import inference_component, naming
from pipeline.errors import Problem
from pipeline.hosting import IN_PLACE
from pipeline.planning import autoscaling
from pipeline.sizing import instance_types
from pipeline.state_data.request_types import Scaling

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from pipeline.planning.request_sources import Said
    from pipeline.state_data.plan_types import Names, Offer, OnInstances
    from pipeline.state_data.request_types import Request

RESERVED: Final = 1 / 16
"""Of an instance's memory, what a copy reserves, and may exceed. What SageMaker has to give is far less than the
instance has: of the 16 GiB of an ml.g5.xlarge it gave 1024 MB and refused 4096. That the model fits the plan's own
arithmetic has said, and that no two copies meet on one instance the CPUs or the GPUs see to."""
MEMORY_MB: Final = (128, 1024)
"""The least that the service model takes, and the most that is asked for."""
QUIET_S: Final = 900
"""Seconds without a call until the copies go: Application Auto Scaling's own alarm wants 90 data points of 10 s."""
WAKE_S: Final = 600
"""Seconds from the first refused call to an answer, assumed: a minute until the alarm, two until there is an instance,
and the model's download and start; 564 s were seen of a small model."""


def problems(request: Request, asked: Mapping[str, Any], said: Said) -> list[Problem]:
    """Return what of a request contradicts that its endpoint scales to none."""
    if not request.scale_to_zero:
        return []
    return [
        Problem(error, f"'scale_to_zero' with {seen}", wanted, fix, said.where("scale_to_zero"))
        for error, seen, wanted, fix in _contradictions(request, asked)
    ]


def _contradictions(request: Request, asked: Mapping[str, Any]) -> Iterator[tuple[str, str, str, str]]:
    if request.strategy == IN_PLACE:
        yield (
            "ScaleToZeroInPlace",
            "strategy 'in_place'",
            "strategy 'new_endpoint': what is updated would have no instance to be tried on",
            "leave 'strategy' or 'scale_to_zero' out",
        )
    if request.auto_scaling:
        least = request.auto_scaling.min
        yield (
            "TwoScalings",
            f"'auto_scaling', which keeps {least} instance{'s' * (least != 1)} at least",
            "one of them: it scales between none and 'instance_count' by itself",
            "leave 'auto_scaling' out, and say the most instances as 'instance_count'",
        )
    if asked.get("instance_pool"):
        yield (
            "ScaleToZeroInPool",
            "'instance_pool'",
            "one instance type: what a copy reserves is said for that one",
            "leave 'instance_pool' out",
        )


def scaling(count: int, slots: int) -> Scaling:
    """Return the scaling of an endpoint that goes to none.

    Args:
        count: instances at most.
        slots: requests that one instance answers at once.
    """
    return autoscaling.measured(Scaling(0, count), slots)


def of_variant(count: int) -> dict[str, Any]:
    """Return what a configuration's variant says of its instances, beside their type and their number at first."""
    return {
        "ManagedInstanceScaling": {"Status": "ENABLED", "MinInstanceCount": 0, "MaxInstanceCount": count},
        "RoutingConfig": {"RoutingStrategy": "LEAST_OUTSTANDING_REQUESTS"},
    }


def component(names: Names, on: OnInstances, tags: list[dict[str, str]]) -> dict[str, Any]:
    """Return CreateInferenceComponent's parameters: one copy on each instance.

    Args:
        names: of the model and the endpoint.
        on: the instances.
        tags: of all that is made.
    """
    starts = {
        "ModelDataDownloadTimeoutInSeconds": on.download_s,
        "ContainerStartupHealthCheckTimeoutInSeconds": on.startup_s,
    }
    return request(names, copies=on.count, required=_of_copy(on.offers[0]), starts=starts, tags=tags)


def request(
    names: Names,
    *,
    copies: int,
    required: Mapping[str, Any],
    starts: Mapping[str, int],
    tags: list[dict[str, str]],
) -> dict[str, Any]:
    """Return CreateInferenceComponent's parameters.

    Args:
        names: of the model and the endpoint.
        copies: one for each instance.
        required: ComputeResourceRequirements.
        starts: StartupParameters.
        tags: of all that is made.
    """
    return {
        inference_component.PARAMETER: inference_component.name_of(names.endpoint),
        "EndpointName": names.endpoint,
        "VariantName": naming.VARIANT,
        "Specification": {
            "ModelName": names.model,
            "StartupParameters": dict(starts),
            "ComputeResourceRequirements": dict(required),
        },
        "RuntimeConfig": {"CopyCount": copies},
        "Tags": tags,
    }


def _of_copy(offer: Offer) -> dict[str, Any]:
    """Return what a copy reserves: all GPUs of an instance, or more than half of its CPUs: it is there alone."""
    known = instance_types.facts(offer.name)
    gpus = known.gpus if known and offer.gpu_layers else 0
    share = (
        {"NumberOfAcceleratorDevicesRequired": float(gpus)}
        if gpus
        else {"NumberOfCpuCoresRequired": offer.vcpus / 2 + 0.25}
    )
    least, most = MEMORY_MB
    reserved = min(most, max(least, int(offer.memory_gib * 1024 * RESERVED)))
    return {**share, "MinMemoryRequiredInMb": reserved}


def notes(count: int, usd_per_hour: float) -> Iterator[str]:
    """Yield what a person should know of an endpoint that scales to none.

    Args:
        count: instances at most.
        usd_per_hour: of one.
    """
    yield (
        f"scales between none and {count} instance{'s' * (count != 1)}: at none it costs nothing, while it is up "
        f"${count * usd_per_hour:g} an hour at most; its copies go {QUIET_S // 60} minutes after the last call, and "
        "the instances some minutes later"
    )
    yield (
        "the first call at none is refused (ValidationError: the inference component has no capacity) and starts it; "
        f"until it answers take about {WAKE_S // 60} minutes (assumed), in which every call is refused; `sealift ask` "
        "waits"
    )
    yield (
        "whoever calls it sends InferenceComponentName, which is the endpoint's own name; so has a Lambda that is "
        "switched to it"
    )


def now(*, at_none: bool) -> str:
    """Return in words how an endpoint is that scales to none."""
    if at_none:
        return (
            "at none: it costs nothing now; the next call is refused and starts it, which takes about "
            f"{WAKE_S // 60} minutes (assumed)"
        )
    return f"goes to none about {QUIET_S // 60} minutes after the last call"
