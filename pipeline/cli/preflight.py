"""What is looked at before anything is uploaded or started: credentials, the stack, the settings.

Owns the order in which a person is refused: what costs nothing to look at comes first. What may not be looked at is
left to the workflow, whose roles may, and is told. Refuses what the workflow would refuse, in the person's own names.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

from pipeline import settings
from pipeline.aws import service_errors
from pipeline.errors import AccessDenied
from pipeline.operations import consumer_candidates
from pipeline.planning import container_choice, deployment_request
from pipeline.planning.function_names import Reach
from pipeline.planning.request_sources import PlannedNames, Said
from pipeline.rollout import own_image, sidecars
from pipeline.sizing import images
from pipeline.stack import change_sets
from pipeline.state_data.request_types import Request, StackDefaults

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from pipeline.aws.clients import Clients
    from pipeline.planning.container_choice import ContainerChoice


ASSUMED: Final = f"sha256:{'0' * 64}"
"""Stands for the digest of an image that could not be looked at."""


@dataclass(frozen=True, slots=True)
class Stack:
    """A stack that deployments can be made with."""

    name: str
    outputs: Mapping[str, str]
    defaults: StackDefaults
    """What its definition gives to each deployment."""
    is_new: bool = False
    """Whether it is yet to be made, so that its outputs are names of what it will have."""

    @property
    def reach(self) -> Reach:
        """Which functions it may switch."""
        pattern = self.defaults["consumer_function_pattern"]
        return Reach(pattern, self.defaults["account_id"], self.defaults["region"], self.name)


def find_stack(clients: Clients, name: str) -> Stack:
    """Return the stack, by credentials that are good.

    Raises:
        AccessDenied: there are no credentials, or no good ones.
        InvalidInput: there is no such stack, or none that stands.
    """
    here = change_sets.place(clients)
    found = change_sets.deployed(clients.cloudformation, name)
    outputs = change_sets.outputs_of(found)
    parameters = {one["ParameterKey"]: one.get("ParameterValue", "") for one in found.get("Parameters", ())}
    return Stack(
        name,
        outputs,
        StackDefaults(
            execution_role_arn=outputs["EndpointRoleArn"],
            endpoint_role_arns=parameters.get("EndpointRoleArns", ""),
            account_id=here.account_id,
            region=here.region,
            container=parameters.get("Container") or images.AUTO,
            image_uri=parameters.get("ImageUri", ""),
            consumer_function_name=parameters.get("ConsumerFunctionName", ""),
            consumer_function_pattern=parameters.get(settings.FUNCTION_PATTERN) or consumer_candidates.ANY,
            artifact_bucket=outputs["ArtifactBucketName"],
            allow_archive_code=parameters.get("AllowArchiveCode", "false"),
            subnets=parameters.get("Subnets", ""),
            security_groups=parameters.get("SecurityGroups", ""),
            network_isolation=parameters.get("NetworkIsolation", "false"),
            volume_kms_key_arns=parameters.get("VolumeKmsKeyArns", ""),
            resource_tags=parameters.get("ResourceTags", ""),
        ),
    )


def planned_stack(clients: Clients, name: str) -> Stack:
    """Return a stack that is yet to be made, as it would be without parameters of anybody's.

    CloudFormation adds digits to the names of its buckets.
    """
    here = change_sets.place(clients)
    role = f"arn:{here.partition}:iam::{here.account_id}:role/{name}-EndpointRole"
    return Stack(
        name,
        {"UploadBucketName": f"{name.lower()}-uploadbucket", "ImageRepository": ""},
        StackDefaults(
            execution_role_arn=role,
            account_id=here.account_id,
            region=here.region,
            container=images.AUTO,
            image_uri="",
            consumer_function_name="",
            consumer_function_pattern=consumer_candidates.ANY,
            artifact_bucket=f"{name.lower()}-artifactbucket",
            allow_archive_code="false",
        ),
        is_new=True,
    )


def beside(clients: Clients, archive: Mapping[str, str], say: Callable[[str], None]) -> Any:
    """Return the settings beside an archive in its bucket; None where there are none, or they may not be read."""
    try:
        with service_errors.translated():
            return sidecars.read(clients.s3, archive["bucket"], archive["key"])
    except AccessDenied:
        where = sidecars.place(archive["bucket"], archive["key"])
        say(f"{where} could not be looked at (s3:GetObject is not allowed); the workflow looks")
        return None


@dataclass(frozen=True, slots=True)
class Preflight:
    """A deployment's request, and what its sources say."""

    request: Request
    said: Said


def request(document: dict[str, Any], sidecar: Any, found: Stack, names: PlannedNames) -> Preflight:
    """Return the deployment's request as the workflow will have it.

    Args:
        document: the execution's input.
        sidecar: the settings beside the archive, or None.
        found: the stack.
        names: what the person calls both.

    Raises:
        InvalidInput: with every mistake, each under the source that made it.
    """
    return Preflight(
        deployment_request.request(document, sidecar, found.defaults, names),
        Said.of(document, sidecar, found.defaults, names),
    )


def assumed(request: Request) -> ContainerChoice:
    """Return a request with the container that a new stack will serve it with, which brings Sealift's own image."""
    ours = replace(own_image.wanted("", request.instance_type), digest=ASSUMED)
    return replace(container_choice.choose(request, ours), note="")


def served(clients: Clients, request: Request, outputs: Mapping[str, str]) -> ContainerChoice:
    """Return a request with the container that will serve it, as the workflow will choose it.

    Where the repository may not be looked into, Sealift's own image is taken to be there: nobody is then refused here
    whom the workflow would serve.

    Args:
        clients: of the account.
        request: the deployment's.
        outputs: of the stack.

    Raises:
        InvalidInput: it names a container that has no image.
    """
    own = own_image.wanted(outputs.get("ImageRepository", ""), request.instance_type)
    if not container_choice.asks_repository(request):
        return container_choice.choose(request, own)
    try:
        with service_errors.translated():
            chosen = container_choice.choose(request, own_image.find(clients.ecr, own))
            # A stack of an older release has no repository, and nothing to say of it.
            return chosen if own.repository else replace(chosen, note="")
    except AccessDenied:
        chosen = container_choice.choose(request, replace(own, digest=ASSUMED))
        note = (
            f"{own.repository} could not be looked into (ecr:DescribeImages is not allowed), and the workflow will: "
            f"{own.tag} is taken to be there"
        )
        return replace(chosen, note=note)
