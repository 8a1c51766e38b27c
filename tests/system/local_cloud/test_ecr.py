"""Images on the local cloud: pushed by a role, made with a stack, asked for by SageMaker in a role's name."""

from __future__ import annotations

import json
import random
import time
import urllib.request
from typing import TYPE_CHECKING, Any

import pytest
from botocore.exceptions import ClientError

from local_cloud.ecr import pulls
from pipeline.aws.clients import Clients
from pipeline.image.manifest import digest_of
from tests import pushed
from tests.system.conftest import NOTHING, WAIT_S, Deployments
from tests.system.workflow.test_deployment import settings

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from local_cloud.cloud import LocalCloud

ACCOUNT, REGION = "123456789012", "us-east-1"
REGISTRY = f"{ACCOUNT}.dkr.ecr.{REGION}.amazonaws.com"
LIFECYCLE = json.dumps(
    {
        "rules": [
            {
                "rulePriority": 1,
                "selection": {
                    "tagStatus": "untagged",
                    "countType": "sinceImagePushed",
                    "countUnit": "days",
                    "countNumber": 1,
                },
                "action": {"type": "expire"},
            }
        ]
    }
)
POLICY = {
    "Version": "2012-10-17",
    "Statement": [
        {
            "Effect": "Allow",
            "Principal": {"Service": "sagemaker.amazonaws.com"},
            "Action": ["ecr:BatchGetImage"],
        }
    ],
}


def refused(call: Callable[[], object]) -> tuple[str, str]:
    """Return code and message of a refusal."""
    with pytest.raises(ClientError) as error:
        call()
    told = error.value.response["Error"]
    return told["Code"], told["Message"]


@pytest.fixture
def repository(cloud: LocalCloud) -> Iterator[str]:
    """A repository, for this test alone."""
    name = f"test-{random.randrange(10**9)}"
    cloud.clients.ecr.create_repository(
        repositoryName=name, tags=[{"Key": "sealift:service", "Value": "harbour"}]
    )
    yield name
    cloud.clients.ecr.delete_repository(repositoryName=name, force=True)


def test_an_image_of_many_parts_is_read_as_it_was_pushed(cloud: LocalCloud, repository: str) -> None:
    """By boto3: parts up, manifest and layers down."""
    ecr = cloud.clients.ecr
    layer = pushed.layer(model=random.Random(1).randbytes(11 << 20))
    image = pushed.image(layer)

    digest = pushed.push(ecr, repository, "1", image)

    (found,) = ecr.batch_get_image(repositoryName=repository, imageIds=[{"imageTag": "1"}])["images"]
    assert (found["imageId"]["imageDigest"], found["imageManifest"]) == (digest, image.manifest)
    url = ecr.get_download_url_for_layer(repositoryName=repository, layerDigest=digest_of(layer))
    with urllib.request.urlopen(url["downloadUrl"], timeout=60) as answer:
        assert digest_of(answer.read()) == digest_of(layer)


# ------------------------------------------------------------------------------------- roles


@pytest.fixture
def pusher(cloud: LocalCloud) -> Iterator[Callable[..., Clients]]:
    """Return a function that gives clients of a role with some statements."""
    iam, trust = cloud.clients.iam, {"Version": "2012-10-17", "Statement": []}
    arn = iam.create_role(RoleName="pusher", AssumeRolePolicyDocument=json.dumps(trust))["Role"]["Arn"]

    def allowed(*statements: dict[str, Any]) -> Clients:
        document = {"Version": "2012-10-17", "Statement": list(statements)}
        iam.put_role_policy(RoleName="pusher", PolicyName="p", PolicyDocument=json.dumps(document))
        given = cloud.clients.sts.assume_role(RoleArn=arn, RoleSessionName="Push")["Credentials"]
        credentials = {
            "aws_access_key_id": given["AccessKeyId"],
            "aws_secret_access_key": given["SecretAccessKey"],
            "aws_session_token": given["SessionToken"],
        }
        return Clients(endpoint_url=cloud.url, region=REGION, credentials=credentials)

    yield allowed
    iam.delete_role_policy(RoleName="pusher", PolicyName="p")
    iam.delete_role(RoleName="pusher")


def test_a_role_may_do_what_its_policy_says(
    cloud: LocalCloud, repository: str, pusher: Callable[..., Clients]
) -> None:
    """On the repository that it names, and the refusal names what is missing."""
    cloud.clients.ecr.create_repository(repositoryName=f"{repository}-other")
    arn = f"arn:aws:ecr:{REGION}:{ACCOUNT}:repository/{repository}"
    ecr = pusher({"Effect": "Allow", "Action": "ecr:InitiateLayerUpload", "Resource": arn}).ecr

    upload = ecr.initiate_layer_upload(repositoryName=repository)["uploadId"]

    code, message = refused(
        lambda: ecr.upload_layer_part(
            repositoryName=repository, uploadId=upload, partFirstByte=0, partLastByte=0, layerPartBlob=b"x"
        )
    )
    assert code == "AccessDeniedException"
    assert message == (
        f"User: arn:aws:sts::{ACCOUNT}:assumed-role/pusher/Push is not authorized to perform: ecr:UploadLayerPart on "
        f"resource: {arn} because no identity-based policy allows the ecr:UploadLayerPart action"
    )
    code, message = refused(lambda: ecr.initiate_layer_upload(repositoryName=f"{repository}-other"))
    assert (code, f"{arn}-other" in message) == ("AccessDeniedException", True)
    cloud.clients.ecr.delete_repository(repositoryName=f"{repository}-other")


@pytest.mark.parametrize("prefix", ["aws", "ecr"])
@pytest.mark.parametrize(("value", "may"), [("harbour", True), ("other", False)])
def test_a_condition_sees_a_repositorys_tags(
    repository: str, pusher: Callable[..., Clients], prefix: str, value: str, *, may: bool
) -> None:
    """By both names of the key."""
    condition = {"StringEquals": {f"{prefix}:ResourceTag/sealift:service": value}}
    ecr = pusher({"Effect": "Allow", "Action": "ecr:ListImages", "Resource": "*", "Condition": condition}).ecr

    if may:
        assert ecr.list_images(repositoryName=repository)["imageIds"] == []
    else:
        assert refused(lambda: ecr.list_images(repositoryName=repository))[0] == "AccessDeniedException"


# ------------------------------------------------------------------------------------- stacks


def template(**properties: Any) -> str:
    """Return a template with a repository."""
    given = {
        "ImageScanningConfiguration": {"ScanOnPush": True},
        "ImageTagMutability": "IMMUTABLE",
        "EncryptionConfiguration": {"EncryptionType": "AES256"},
        "LifecyclePolicy": {"LifecyclePolicyText": LIFECYCLE},
        "RepositoryPolicyText": POLICY,
        "Tags": [{"Key": "a", "Value": "b"}],
        **properties,
    }
    images = {
        "Type": "AWS::ECR::Repository",
        "Properties": {name: value for name, value in given.items() if value is not None},
    }
    outputs = {name: {"Value": {"Fn::GetAtt": ["Images", name]}} for name in ("RepositoryUri", "Arn")}
    return json.dumps(
        {"Resources": {"Images": images}, "Outputs": {**outputs, "Name": {"Value": {"Ref": "Images"}}}}
    )


class Stack:
    """A stack with a repository."""

    def __init__(self, clients: Clients) -> None:
        self.cloudformation, self.ecr = clients.cloudformation, clients.ecr

    def outputs(self) -> dict[str, str]:
        """Return what the stack tells of its repository."""
        (found,) = self.cloudformation.describe_stacks(StackName="Pictures")["Stacks"]
        return {one["OutputKey"]: one["OutputValue"] for one in found["Outputs"]}

    def status(self) -> str:
        """Return the stack's status, empty when there is none."""
        found = self.cloudformation.describe_stacks()["Stacks"]
        return next((one["StackStatus"] for one in found if one["StackName"] == "Pictures"), "")

    def create(self, **properties: Any) -> str:
        """Make the stack; return the repository's name."""
        self.cloudformation.create_stack(StackName="Pictures", TemplateBody=template(**properties))
        return self.outputs()["Name"]

    def update(self, **properties: Any) -> str:
        """Change the stack; return the repository's name."""
        self.cloudformation.update_stack(StackName="Pictures", TemplateBody=template(**properties))
        return self.outputs()["Name"]

    def delete(self) -> str:
        """Delete the stack; return its status."""
        self.cloudformation.delete_stack(StackName="Pictures")
        return self.status()

    def repository(self, name: str) -> dict[str, Any]:
        """Return what ECR tells of a repository."""
        return dict(self.ecr.describe_repositories(repositoryNames=[name])["repositories"][0])


@pytest.fixture
def stack(cloud: LocalCloud) -> Iterator[Stack]:
    """No stack yet; none is left."""
    stack = Stack(cloud.clients)
    yield stack
    if stack.status():
        stack.ecr.delete_repository(repositoryName=stack.outputs()["Name"], force=True)
        stack.delete()


def test_a_repository_is_made_as_its_properties_say(stack: Stack) -> None:
    """A name in lower case, made of the stack's; scans, mutability, encryption, lifecycle, policy and tags."""
    name = stack.create()

    outputs = stack.outputs()
    assert name.startswith("pictures-images-")
    assert outputs["RepositoryUri"] == f"{REGISTRY}/{name}"
    assert outputs["Arn"] == f"arn:aws:ecr:{REGION}:{ACCOUNT}:repository/{name}"
    found = stack.repository(name)
    assert found["imageScanningConfiguration"] == {"scanOnPush": True}
    assert found["imageTagMutability"] == "IMMUTABLE"
    assert found["encryptionConfiguration"] == {"encryptionType": "AES256"}
    ecr = stack.ecr
    assert ecr.get_lifecycle_policy(repositoryName=name)["lifecyclePolicyText"] == LIFECYCLE
    assert json.loads(ecr.get_repository_policy(repositoryName=name)["policyText"]) == POLICY
    assert ecr.list_tags_for_resource(resourceArn=outputs["Arn"])["tags"] == [{"Key": "a", "Value": "b"}]


def test_an_update_changes_a_repository_and_keeps_its_images(stack: Stack) -> None:
    """What the template does not say any more is not in force any more."""
    name = stack.create()
    pushed.push(stack.ecr, name, "1")

    changed = stack.update(
        ImageTagMutability=None,
        ImageScanningConfiguration=None,
        LifecyclePolicy=None,
        RepositoryPolicyText=None,
        Tags=[{"Key": "c", "Value": "d"}],
    )

    assert changed == name
    found = stack.repository(name)
    assert found["imageTagMutability"] == "MUTABLE"
    assert found["imageScanningConfiguration"] == {"scanOnPush": False}
    assert refused(lambda: stack.ecr.get_lifecycle_policy(repositoryName=name))[0] == (
        "LifecyclePolicyNotFoundException"
    )
    assert refused(lambda: stack.ecr.get_repository_policy(repositoryName=name))[0] == (
        "RepositoryPolicyNotFoundException"
    )
    tags = stack.ecr.list_tags_for_resource(resourceArn=stack.outputs()["Arn"])["tags"]
    assert tags == [{"Key": "c", "Value": "d"}]
    assert len(stack.ecr.list_images(repositoryName=name)["imageIds"]) == 1


def test_a_repository_with_images_keeps_its_stack(stack: Stack) -> None:
    """As CloudFormation tells it; once it is empty the stack goes."""
    name = stack.create()
    pushed.push(stack.ecr, name, "1")

    assert stack.delete() == "DELETE_FAILED"

    events = stack.cloudformation.describe_stack_events(StackName="Pictures")["StackEvents"]
    reasons = {one["LogicalResourceId"]: one.get("ResourceStatusReason", "") for one in reversed(events)}
    assert "cannot be deleted because it still contains images" in reasons["Images"]
    assert {one["ResourceStatus"] for one in events} >= {"DELETE_FAILED"}
    stack.ecr.batch_delete_image(repositoryName=name, imageIds=[{"imageTag": "1"}])
    assert stack.delete() == ""


def test_a_repository_may_be_emptied_with_its_stack(stack: Stack) -> None:
    """EmptyOnDelete, which an update may bring."""
    name = stack.create(RepositoryName="emptied")
    pushed.push(stack.ecr, name, "1")
    stack.update(RepositoryName="emptied", EmptyOnDelete=True)

    assert stack.delete() == ""
    assert refused(lambda: stack.repository("emptied"))[0] == "RepositoryNotFoundException"


def test_another_name_is_another_repository(stack: Stack) -> None:
    """A change set says so; the old one stays as long as it has images."""
    stack.create(RepositoryName="first")
    pushed.push(stack.ecr, "first", "1")
    stack.cloudformation.create_change_set(
        StackName="Pictures",
        ChangeSetName="rename",
        ChangeSetType="UPDATE",
        TemplateBody=template(RepositoryName="second"),
    )
    (change,) = stack.cloudformation.describe_change_set(StackName="Pictures", ChangeSetName="rename")[
        "Changes"
    ]
    assert change["ResourceChange"]["Replacement"] == "True"

    assert stack.update(RepositoryName="second") == "second"

    assert stack.repository("first")["repositoryName"] == "first"
    stack.ecr.delete_repository(repositoryName="first", force=True)


def test_a_lifecycle_that_ecr_refuses_leaves_no_repository(stack: Stack) -> None:
    """The stack is rolled back."""
    wrong = {"LifecyclePolicyText": json.dumps({"rules": [{"rulePriority": 1}]})}
    stack.cloudformation.create_stack(
        StackName="Pictures", TemplateBody=template(RepositoryName="wrong", LifecyclePolicy=wrong)
    )

    assert stack.status() == "ROLLBACK_COMPLETE"
    assert refused(lambda: stack.repository("wrong"))[0] == "RepositoryNotFoundException"
    stack.cloudformation.delete_stack(StackName="Pictures")


# ---------------------------------------------------------------------------------- SageMaker


def test_a_deployment_with_an_image_that_is_not_there_says_so(
    deployments: Deployments, archive: Path
) -> None:
    """In SageMaker's words, with what to do; nothing is left."""
    uri = f"{REGISTRY}/sealift:none"

    ended = deployments.upload(archive, "imageless", settings(container="custom", image_uri=uri))

    assert ended.status == "FAILED"
    assert f"Requested image {uri} not found." in str(ended.cause)
    assert deployments.resources() == NOTHING


def test_an_image_of_another_architecture_fails_its_endpoint(cloud: LocalCloud, repository: str) -> None:
    """And its log says why, where AWS's says it."""
    pushed.push(cloud.clients.ecr, repository, "arm", pushed.image(architecture="arm64"))
    sagemaker = cloud.clients.sagemaker
    sagemaker.create_model(
        ModelName="arm",
        ExecutionRoleArn=cloud.outputs["EndpointRoleArn"],
        PrimaryContainer={"Image": f"{REGISTRY}/{repository}:arm"},
    )
    sagemaker.create_endpoint_config(
        EndpointConfigName="arm",
        ProductionVariants=[
            {
                "VariantName": "AllTraffic",
                "ModelName": "arm",
                "ServerlessConfig": {"MemorySizeInMB": 1024, "MaxConcurrency": 1},
            }
        ],
    )
    sagemaker.create_endpoint(EndpointName="arm", EndpointConfigName="arm")
    deadline = time.monotonic() + WAIT_S
    while (told := sagemaker.describe_endpoint(EndpointName="arm"))["EndpointStatus"] == "Creating":
        assert time.monotonic() < deadline
        time.sleep(0.1)

    assert told["FailureReason"].startswith("CannotStartContainerError. ")
    events = cloud.clients.logs.filter_log_events(logGroupName="/aws/sagemaker/Endpoints/arm")["events"]
    assert [one["message"] for one in events] == ["exec /usr/bin/serve: exec format error"]


def test_an_image_of_aws_is_there_and_has_no_files(cloud: LocalCloud) -> None:
    """Whoever asks for its details gets them; nobody can pull it here, and nobody may push there."""
    uri = "763104351884.dkr.ecr.us-east-1.amazonaws.com/pytorch-inference"
    where = {"registryId": "763104351884", "repositoryName": "pytorch-inference"}
    (found,) = cloud.clients.ecr.describe_images(**where)["imageDetails"]  # type: ignore[arg-type]

    assert pulls.pull(ACCOUNT, REGION, f"{uri}:{found['imageTags'][0]}") is None
    code, _ = refused(lambda: cloud.clients.ecr.initiate_layer_upload(**where))
    assert code == "AccessDeniedException"
