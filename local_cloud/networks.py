"""The account's VPCs and KMS keys, as SageMaker looks at them in a role's name: moto's EC2 and KMS.

Owns which permissions of EC2 an endpoint's role needs, and the words of what is refused, which are assumed: no source
has AWS's own for CreateModel, nor says whether CreateModel or CreateEndpoint speaks them.

Sources: https://docs.aws.amazon.com/sagemaker/latest/dg/host-vpc.html has the permissions; which resources and
condition keys they know, https://docs.aws.amazon.com/service-authorization/latest/reference/list_amazonec2.html.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from moto.ec2.models import ec2_backends
from moto.kms.models import kms_backends

from local_cloud.iam.policies import PolicyRequest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

_DESCRIBES = ("DhcpOptions", "NetworkInterfaces", "SecurityGroups", "Subnets", "VpcEndpoints", "Vpcs")


@dataclass(frozen=True, slots=True)
class AccountNetworks:
    """The VPCs and keys of one account in one region.

    Args:
        account_id: of the account.
        region: whose they are.
        may: tells whether a role may do all of some permissions.
    """

    account_id: str
    region: str
    may: Callable[[str, list[PolicyRequest]], bool]

    def vpc_problem(self, role_arn: str, config: Mapping[str, Any]) -> str:
        """Return why a role can have no network interfaces by a VpcConfig; empty when it can."""
        subnets, groups = config["Subnets"], config["SecurityGroupIds"]
        if not self.may(role_arn, list(self.needed(subnets, groups))):
            return (
                f"Access denied to VPC resources. Please ensure that the role {role_arn} has the permissions of EC2 "
                "to create, describe and delete network interfaces in the subnets."
            )
        backend = ec2_backends[self.account_id][self.region]
        there = {one.id: one.vpc_id for one in backend.describe_subnets()}
        if unknown := [one for one in subnets if one not in there]:
            return f"The subnet ID '{unknown[0]}' does not exist"
        known = {one.id: one.vpc_id for one in backend.describe_security_groups()}
        if unknown := [one for one in groups if one not in known]:
            return f"The security group '{unknown[0]}' does not exist"
        if len({there[one] for one in subnets} | {known[one] for one in groups}) != 1:
            return "The subnets and the security groups must be of one VPC"
        return ""

    def key_problem(self, key: str) -> str:
        """Return why a key encrypts no volume; empty when it does."""
        found = kms_backends[self.account_id][self.region].keys.get(key.rpartition("/")[2])
        if found is None:
            return f"Key '{key}' does not exist"
        return "" if found.key_state == "Enabled" else f"{key} is {found.key_state.lower()}."

    def needed(self, subnets: Sequence[str], groups: Sequence[str]) -> Iterator[PolicyRequest]:
        """Yield the permissions that an endpoint's role needs for a VpcConfig."""

        def arn(resource: str) -> str:
            return f"arn:aws:ec2:{self.region}:{self.account_id}:{resource}"

        for subnet in subnets:
            where = (("ec2:Subnet", (arn(f"subnet/{subnet}"),)),)
            interface = arn("network-interface/*")
            yield PolicyRequest("ec2:CreateNetworkInterface", interface, where)
            yield PolicyRequest(
                "ec2:CreateNetworkInterface", arn(f"subnet/{subnet}"), (("ec2:SubnetID", (subnet,)),)
            )
            for action in (
                "CreateNetworkInterfacePermission",
                "DeleteNetworkInterfacePermission",
                "DeleteNetworkInterface",
            ):
                yield PolicyRequest(f"ec2:{action}", interface, where)
        for group in groups:
            context = (("ec2:SecurityGroupID", (group,)),)
            yield PolicyRequest("ec2:CreateNetworkInterface", arn(f"security-group/{group}"), context)
        for what in _DESCRIBES:
            yield PolicyRequest(f"ec2:Describe{what}", "*")
