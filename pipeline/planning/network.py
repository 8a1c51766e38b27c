"""The VPC, the isolation and the volume's key of an endpoint on instances: what is sent to AWS, and what is told.

AWS's developer guide has the rules: serverless has neither a VPC nor isolation (serverless-endpoints); a model in a VPC
gets two network interfaces, one for the container and one by which SageMaker fetches the model and writes the log, and
isolation leaves the first one out (mkt-algo-model-internet-free, host-vpc). What instances keep on a disk of their own
their hardware encrypts: CreateEndpointConfig's reference says that a key encrypts nothing there, and said for years
that it is refused, so none is sent. Pure. Refuses to judge a request: that is `network_checks`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from pipeline.hosting import INSTANCE
from pipeline.planning import set_apart
from pipeline.sizing import instance_types

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from pipeline.state_data.request_types import Network, Request

NO_SERVERLESS: Final = "a serverless endpoint is in no VPC of yours, and its container cannot be isolated"
"""Why a request with a network does not come to serverless."""

TWO_SUBNETS: Final = 2
"""AWS's guide wants as many, in different availability zones."""


def model_fields(wanted: Network) -> dict[str, Any]:
    """Return CreateModel's fields for a network; none where nothing is asked for.

    CreateEndpointConfig has both fields as well, for endpoints of inference components, whose models have none.
    """
    vpc = (
        {"VpcConfig": {"SecurityGroupIds": list(wanted.security_groups), "Subnets": list(wanted.subnets)}}
        if wanted.subnets
        else {}
    )
    return {**vpc, **({"EnableNetworkIsolation": True} if wanted.isolated else {})}


def config_fields(key: str | None, types: Iterable[str]) -> dict[str, Any]:
    """Return CreateEndpointConfig's field for a volume's key; none where any of the instance types has its own disk."""
    if key is None or any(map(instance_types.has_own_disk, types)):
        return {}
    return {"KmsKeyId": key}


def identity(request: Request, where: str) -> dict[str, Any]:
    """Return what makes a deployment another one, for its name: nothing where nothing is asked for."""
    found: dict[str, Any] = {"tags": request.tags} if request.tags else {}
    if where == INSTANCE:
        found |= {"network": fields} if (fields := model_fields(request.network)) else {}
        found |= {"volume_key": request.volume_kms_key_arn} if request.volume_kms_key_arn else {}
    return found


def notes(request: Request, instance_type: str, *, archive_code: bool) -> Iterator[str]:
    """Yield what a person should know of the network and the key on instances.

    Args:
        request: the deployment's.
        instance_type: that is taken.
        archive_code: whether the endpoint runs code that the archive brings.
    """
    wanted = request.network
    if wanted.subnets:
        yield (
            "SageMaker fetches the model and writes the log through the VPC: its subnets need a way to S3 (a gateway "
            "endpoint, or NAT) and to CloudWatch Logs (an interface endpoint, or NAT), and two free addresses for each "
            "instance"
        )
    if 0 < len(wanted.subnets) < TWO_SUBNETS:
        yield "one subnet was named; AWS's guide wants two at least, in different availability zones"
    if wanted.isolated and archive_code:
        yield (
            "the container is isolated: what the archive's code asks of S3 or of any other address gets no answer, "
            "and it finds no credentials"
        )
    if request.volume_kms_key_arn and instance_types.has_own_disk(instance_type):
        yield (
            f"{instance_type} has a disk of its own, which its hardware encrypts: {request.volume_kms_key_arn} "
            "encrypts nothing there and is not sent"
        )


def planned(request: Request, types: Iterable[str]) -> tuple[tuple[str, str], ...]:
    """Return the same of a deployment that is yet to be made; `types` are its instances', none on serverless."""
    names = list(types)
    key = request.volume_kms_key_arn if names else None
    return set_apart.describe(model_fields(request.network), config_fields(key, names), request.tags or {})
