"""The VPCs and keys that an endpoint on instances is in the local cloud refused for, and what its role must have."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest
from moto.core.base_backend import BackendDict
from moto.ec2.models import ec2_backends
from moto.kms.models import kms_backends

from local_cloud.calls import AwsCall
from local_cloud.hosting import AwsError
from local_cloud.iam import authorizations, policies
from local_cloud.iam.policies import PolicyRequest, PolicyVerdict
from local_cloud.networks import AccountNetworks
from pipeline import package_files
from pipeline.stack import template
from tests.unit.local_cloud.test_hosting_instances import on_instances
from tests.unit.local_cloud.test_hosting_service import ACCOUNT, REGION, World, model_request
from tools import permissions

ROLE = f"arn:aws:iam::{ACCOUNT}:role/endpoint"
KEY = f"arn:aws:kms:{REGION}:{ACCOUNT}:key/1"


@pytest.fixture
def ec2() -> Iterator[Any]:
    """The EC2 of moto, which has nothing but what a test makes of it beside the default VPC."""
    BackendDict.reset()
    yield ec2_backends[ACCOUNT][REGION]
    BackendDict.reset()


def vpc(ec2: Any, number: int) -> tuple[list[str], str]:
    """Make a VPC; return two subnets and a group of it."""
    made = ec2.create_vpc(f"10.{number}.0.0/16")
    subnets = [
        ec2.create_subnet(made.id, f"10.{number}.{n}.0/24", availability_zone=f"{REGION}{zone}").id
        for n, zone in enumerate("ab")
    ]
    return subnets, ec2.create_security_group(f"group-{number}", "of endpoints", vpc_id=made.id).id


def networks(*, may: bool = True) -> AccountNetworks:
    """Return the networks of an account whose roles may all, or nothing."""
    return AccountNetworks(ACCOUNT, REGION, lambda _role, _needed: may)


def test_a_vpc_is_taken_whose_parts_are_there_and_belong_together(ec2: Any) -> None:
    """One subnet is enough; each other mistake has words of its own."""
    subnets, group = vpc(ec2, 1)
    others, other_group = vpc(ec2, 2)

    def said(subnets: list[str], groups: list[str], *, may: bool = True) -> str:
        return networks(may=may).vpc_problem(ROLE, {"Subnets": subnets, "SecurityGroupIds": groups})

    assert said(subnets, [group]) == said(subnets[:1], [group]) == ""
    assert said([*subnets, "subnet-0"], [group]) == "The subnet ID 'subnet-0' does not exist"
    assert said(subnets, [group, "sg-0"]) == "The security group 'sg-0' does not exist"
    assert "of one VPC" in said(subnets, [other_group])
    assert "of one VPC" in said([subnets[0], others[0]], [group])
    assert said(subnets, [group], may=False).startswith("Access denied to VPC resources")


def test_a_key_is_taken_that_is_there_and_enabled(ec2: Any) -> None:
    """By its ARN, as plans have it."""
    assert ec2
    backend = kms_backends[ACCOUNT][REGION]
    key = backend.create_key(None, "ENCRYPT_DECRYPT", "SYMMETRIC_DEFAULT", "", {}, REGION)

    assert networks().key_problem(key.arn) == ""
    assert networks().key_problem(KEY) == f"Key '{KEY}' does not exist"
    backend.disable_key(key.id)
    assert networks().key_problem(key.arn) == f"{key.arn} is disabled."


def test_the_stacks_role_makes_interfaces_in_its_subnets_alone() -> None:
    """Of each statement of the template one permission is asked for, and no other subnet or group is let in."""
    document = {
        "Statement": [
            _filled(statement)
            for role, statement in permissions.statements()
            if role == "EndpointRole" and "ec2:" in str(statement["Action"])
        ]
    }
    policy = tuple(policies._statement(one) for one in document["Statement"])

    def allowed(subnets: list[str], groups: list[str]) -> bool:
        needed = networks().needed(subnets, groups)
        return all(policies.judge(policy, one) is PolicyVerdict.ALLOWED for one in needed)

    assert allowed(["subnet-1", "subnet-2"], ["sg-1"])
    assert allowed(["subnet-2"], ["sg-1"])
    assert not allowed(["subnet-1", "subnet-3"], ["sg-1"])
    assert not allowed(["subnet-1"], ["sg-1", "sg-2"])
    asked = {one.action for one in networks().needed(["subnet-1"], ["sg-1"])}
    assert asked == {action for one in policy for action in one.actions}
    made = template.load(package_files.template())["Resources"]["EndpointNetworkUse"]
    assert made["Condition"] == "HasSubnets"


def _filled(value: Any) -> Any:
    """Return a part of the template as CloudFormation fills it, with two subnets and one group."""
    if isinstance(value, list):
        return [_filled(one) for one in value]
    if not isinstance(value, dict):
        return value
    if "Ref" in value:
        return {"Subnets": ["subnet-1", "subnet-2"], "SecurityGroups": ["sg-1"]}[value["Ref"]]
    if "Fn::Sub" in value:
        names = {"AWS::Partition": "aws", "AWS::Region": REGION, "AWS::AccountId": ACCOUNT}
        return re.sub(r"\$\{([^}]+)\}", lambda match: names[match[1]], value["Fn::Sub"])
    if "Fn::Join" in value:
        delimiter, parts = value["Fn::Join"]
        return delimiter.join(_filled(parts))
    if "Fn::Split" in value:
        delimiter, text = value["Fn::Split"]
        return _filled(text).split(delimiter)
    return {name: _filled(one) for name, one in value.items()}


@pytest.mark.parametrize(
    ("operation", "key", "asked"),
    [
        pytest.param("CreateEndpoint", KEY, True, id="create"),
        pytest.param("UpdateEndpoint", KEY, True, id="update"),
        pytest.param("DeleteEndpoint", KEY, False, id="another call"),
        pytest.param("CreateEndpoint", None, False, id="without a key"),
    ],
)
def test_who_makes_instances_with_a_key_makes_a_grant(
    operation: str, key: str | None, *, asked: bool
) -> None:
    """For AWS's services alone, which the template's statement demands."""
    environ = {"PATH_INFO": "/", "QUERY_STRING": ""}
    body = b'{"EndpointName": "e", "EndpointConfigName": "c"}'
    request = authorizations.asked(AwsCall("sagemaker", operation, REGION), environ, body, ACCOUNT)
    found = list(authorizations.volume_grants(request, {"c": key}.get))

    grant = PolicyRequest("kms:CreateGrant", KEY, (("kms:GrantIsForAWSResource", ("true",)),))
    assert found == ([grant] if asked else [])


class Said:
    """Networks that have one thing to say."""

    def __init__(self, vpc: str = "", key: str = "") -> None:
        self.vpc = vpc
        self.key = key

    def vpc_problem(self, role_arn: str, config: Any) -> str:
        """Return it of a role's VPC."""
        assert role_arn
        assert config["Subnets"]
        return self.vpc

    def key_problem(self, key: str) -> str:
        """Return it of a key."""
        assert key
        return self.key


class Guarded(World):
    """Hosting that has networks beside it."""

    def __init__(self, said: Said) -> None:
        super().__init__(networks=said)


VPC = {"Subnets": ["subnet-1"], "SecurityGroupIds": ["sg-1"]}


def config(**more: Any) -> dict[str, Any]:
    """Return a configuration on instances."""
    return {"EndpointConfigName": "c", "ProductionVariants": [on_instances()], **more}


def test_a_model_keeps_its_network_and_a_configuration_its_key() -> None:
    """What was asked for is described, and hosting tells whose key it is."""
    world = Guarded(Said())
    world.ask("CreateModel", **model_request(), VpcConfig=VPC, EnableNetworkIsolation=True)
    world.ask("CreateEndpointConfig", **config(KmsKeyId=KEY))

    model = world.ask("DescribeModel", ModelName="m")
    assert (model["VpcConfig"], model["EnableNetworkIsolation"]) == (VPC, True)
    assert world.ask("DescribeEndpointConfig", EndpointConfigName="c")["KmsKeyId"] == KEY
    assert (world.hosting.volume_key("c"), world.hosting.volume_key("other")) == (KEY, None)
    world.endpoint()


def test_what_the_account_does_not_have_is_refused() -> None:
    """A VPC when the model is made, a key when the endpoint is, and nothing is made of either."""
    world = Guarded(Said(vpc="no such subnet", key="no such key"))

    refused = world.refused("CreateModel", **model_request(), VpcConfig=VPC)
    assert (refused.code, refused.message) == ("ValidationException", "no such subnet")
    world.model()
    world.ask("CreateEndpointConfig", **config(KmsKeyId=KEY))
    with pytest.raises(AwsError, match="no such key"):
        world.endpoint()
    assert world.ask("ListEndpoints") == {"Endpoints": []}


def test_a_type_with_a_disk_of_its_own_takes_no_key() -> None:
    """Its hardware encrypts it."""
    world = Guarded(Said())
    world.model()
    variant = {name: value for name, value in on_instances().items() if name != "VolumeSizeInGB"}
    nvme = config(KmsKeyId=KEY, ProductionVariants=[{**variant, "InstanceType": "ml.g5.xlarge"}])

    assert "has local storage" in (world.refused("CreateEndpointConfig", **nvme).message or "")


def test_a_key_keeps_serverless_models_out_of_nothing_else() -> None:
    """A model in a VPC, or isolated, is made; only its serverless configuration is refused."""
    world = Guarded(Said())
    world.ask("CreateModel", **model_request(), EnableNetworkIsolation=True)
    variant = {
        "VariantName": "AllTraffic",
        "ModelName": "m",
        "ServerlessConfig": {"MemorySizeInMB": 1024, "MaxConcurrency": 1},
    }

    refused = world.refused("CreateEndpointConfig", **config(ProductionVariants=[variant]))
    assert refused.message == "Network isolation is not supported for serverless endpoints."
