"""Endpoints in a VPC, isolated, with a key and tags of one's own, on the local cloud: by the stack's parameters."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
import pytest

from local_cloud.cloud import CREDENTIALS, STACK, LocalCloud
from local_cloud.hosting.containers.server_process import NOT_ISOLATED
from pipeline import cli, package_files
from pipeline.stack import bundles, change_sets, template
from tests.system.conftest import NOTHING, Deployments
from tests.system.rollout.test_instances import on_instances
from tests.system.workflow.test_deployment import settings

NONE = {
    "Subnets": "",
    "SecurityGroups": "",
    "NetworkIsolation": "false",
    "VolumeKmsKeyArns": "",
    "ResourceTags": "",
}


@dataclass(frozen=True)
class Enterprise:
    """What an account has of its own."""

    subnets: list[str]
    group: str
    key: str
    kms: Any


def client(cloud: LocalCloud, service: str) -> Any:
    """Return the administrator's client of a service."""
    return boto3.client(  # type: ignore[call-overload]
        service, region_name=cloud.region, endpoint_url=cloud.url, **CREDENTIALS
    )


def give(cloud: LocalCloud, values: Mapping[str, str]) -> None:
    """Change the stack's parameters, as `sealift deploy --parameter` does."""
    staged = change_sets.stage(
        cloud.clients,
        name=STACK,
        source=template.load(package_files.template()),
        libraries=bundles.libraries_here,
        values=values,
        progress=lambda _sent, _total: None,
        every_s=0.05,
        level=bundles.QUICKEST,
    )
    ended = change_sets.execute(
        cloud.clients, staged, on_event=lambda _event: None, sleep=lambda _seconds: None
    )
    assert ended.good, ended.reasons


@pytest.fixture(scope="module")
def enterprise(running_cloud: LocalCloud) -> Iterator[Enterprise]:
    """A VPC and a key, which the stack is given, with isolation and a tag; at the end it has none of that."""
    cloud = running_cloud
    ec2, kms = client(cloud, "ec2"), client(cloud, "kms")
    vpc = ec2.create_vpc(CidrBlock="10.1.0.0/16")["Vpc"]["VpcId"]
    subnets = [
        ec2.create_subnet(VpcId=vpc, CidrBlock=f"10.1.{n}.0/24", AvailabilityZone=f"us-east-1{zone}")[
            "Subnet"
        ]["SubnetId"]
        for n, zone in enumerate("ab")
    ]
    group = ec2.create_security_group(GroupName="endpoints", Description="of endpoints", VpcId=vpc)["GroupId"]
    key = kms.create_key()["KeyMetadata"]["Arn"]
    values = {
        "Subnets": ",".join(subnets),
        "SecurityGroups": group,
        "NetworkIsolation": "true",
        "VolumeKmsKeyArns": key,
        "ResourceTags": "CostCenter=42",
    }
    give(cloud, values)
    yield Enterprise(subnets, group, key, kms)
    give(cloud, NONE)


def tags(found: list[dict[str, str]]) -> dict[str, str]:
    """Return tags that are nobody's but the account's own."""
    return {one["Key"]: one["Value"] for one in found if not one["Key"].startswith(("sealift:", "aws:"))}


@pytest.fixture
def sealift(
    cloud: LocalCloud, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., str]:
    """Return a function that runs a command and returns what it prints."""
    monkeypatch.setenv("AWS_ENDPOINT_URL", cloud.url)
    for name, value in CREDENTIALS.items():
        monkeypatch.setenv(name.upper(), value)

    def run(*arguments: str) -> str:
        capsys.readouterr()
        assert cli.main([*arguments]) == cli.OK
        return capsys.readouterr().out

    return run


def test_all_that_is_made_is_in_the_network_with_the_key_and_the_tags(
    deployments: Deployments, archive: Path, enterprise: Enterprise, sealift: Callable[..., str]
) -> None:
    """Of the stack's parameters, and tags of the deployment's own; the endpoint answers, and `status` tells of it."""
    asked = on_instances(tags={"Owner": "team harbour"}, network={"subnets": enterprise.subnets[:1]})
    ended = deployments.upload(archive, "guarded", asked)

    assert ended.status == "SUCCEEDED", ended.cause
    clients, names = deployments.cloud.clients, ended.results["plan_deployment"]["names"]
    model: Any = clients.sagemaker.describe_model(ModelName=names["model"])
    assert model["VpcConfig"] == {"Subnets": enterprise.subnets[:1], "SecurityGroupIds": [enterprise.group]}
    assert model["EnableNetworkIsolation"] is True
    config: Any = clients.sagemaker.describe_endpoint_config(EndpointConfigName=names["endpoint_config"])
    assert config["KmsKeyId"] == enterprise.key
    endpoint = clients.sagemaker.describe_endpoint(EndpointName=names["endpoint"])
    own = {"CostCenter": "42", "Owner": "team harbour"}
    for arn in (model["ModelArn"], config["EndpointConfigArn"], endpoint["EndpointArn"]):
        assert tags(clients.sagemaker.list_tags(ResourceArn=arn)["Tags"]) == own
    cloudwatch: Any = clients.cloudwatch
    alarm = cloudwatch.describe_alarms()["MetricAlarms"][0]["AlarmArn"]
    assert tags(cloudwatch.list_tags_for_resource(ResourceARN=alarm)["Tags"]) == own
    ssm: Any = clients.ssm
    parameter = ended.results["update_consumer"]["parameter"]
    marked = ssm.list_tags_for_resource(ResourceType="Parameter", ResourceId=parameter)["TagList"]
    assert tags(marked) == own
    stack: Any = clients.cloudformation.describe_stacks(StackName=STACK)["Stacks"][0]
    assert tags(stack["Tags"]) == {"CostCenter": "42"}
    log = f"/aws/sagemaker/Endpoints/{names['endpoint']}"
    events = clients.logs.filter_log_events(logGroupName=log)["events"]
    assert NOT_ISOLATED in [one["message"] for one in events]
    told = sealift("status", "guarded")
    assert f"network {enterprise.subnets[0]} with {enterprise.group}; isolated" in told
    assert f"key {enterprise.key} encrypts the volume" in told
    assert "tags CostCenter=42, Owner=team harbour" in told


def test_a_model_without_an_archive_is_isolated_too(
    deployments: Deployments, model: Path, enterprise: Enterprise
) -> None:
    """SageMaker fetches the files, in whatever form they lie in S3; the container fetches nothing."""
    ended = deployments.upload(model, "bare", on_instances(), name="harbour.gguf")

    assert ended.status == "SUCCEEDED", ended.cause
    name = ended.results["plan_deployment"]["names"]["model"]
    made: Any = deployments.cloud.clients.sagemaker.describe_model(ModelName=name)
    assert made["VpcConfig"]["Subnets"] == enterprise.subnets
    assert made["PrimaryContainer"]["ModelDataSource"]["S3DataSource"]["CompressionType"] == "None"


@pytest.mark.usefixtures("enterprise")
def test_what_serverless_cannot_have_is_refused_at_once(deployments: Deployments, archive: Path) -> None:
    """The stack's network is a rule: nobody gets out of it by another hosting."""
    ended = deployments.upload(archive, "outside", settings())

    assert (ended.status, ended.error) == ("FAILED", "InvalidInput")
    assert "a serverless endpoint is in no VPC of yours" in str(ended.cause)
    assert deployments.resources() == NOTHING


def test_a_key_that_is_disabled_leaves_nothing_behind(
    deployments: Deployments, archive: Path, enterprise: Enterprise
) -> None:
    """SageMaker says so when the endpoint is created, and what was made before is taken back."""
    enterprise.kms.disable_key(KeyId=enterprise.key.rpartition("/")[2])
    ended = deployments.upload(archive, "locked", on_instances())

    assert ended.status == "FAILED"
    assert f"{enterprise.key} is disabled" in json.dumps(ended.cause)
    assert deployments.resources() == NOTHING
