"""`sealift deploy` and `sealift destroy` on a local cloud: through its URL, as on AWS, in one life of a stack."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from botocore.exceptions import ClientError

from pipeline import __version__, package_files
from pipeline.aws.clients import Clients
from pipeline.cli import program
from pipeline.cli.commands import deploy, destroy, image
from pipeline.cli.options import ImagePushOptions
from pipeline.errors import InvalidInput
from pipeline.image import ecr, registries
from pipeline.image.contents import ImageContents, ImagePart
from pipeline.image.layers import TreeFile
from pipeline.naming import deployment_of, image_tag
from pipeline.stack import budget, bundles, template
from pipeline.stack.budget import BudgetStatus
from tests.fake_registry import FakeRegistry, running
from tests.unit.image.images import MemoryRegistry

if TYPE_CHECKING:
    from pipeline.cli.screen import Screen
    from pipeline.image.base import Reference
    from pipeline.image.push import Pushed
    from pipeline.image.registry import Registry

UPLOADED = "models/harbour/model.tar.gz"
WAIT_S = 60


class Person:
    """Somebody at a command line."""

    def __init__(self, url: str, capsys: pytest.CaptureFixture[str]) -> None:
        keys = {"aws_access_key_id": "any", "aws_secret_access_key": "any"}
        self.clients = Clients(endpoint_url=url, region="us-east-1", credentials=keys)
        self._capsys = capsys
        self.push: Any = None
        """Brings Sealift's own image into a repository; None for somebody who wants none."""

    def runs(self, *words: str) -> tuple[int, str]:
        """Return the exit status of a command, and what it prints."""
        alone = ("--no-image",) if words[0] == "deploy" and self.push is None else ()
        arguments = program.read((*words, *alone)).options
        self._capsys.readouterr()
        if words[0] == "deploy":
            source = template.load(package_files.template())
            libraries, level = bundles.libraries_here, bundles.QUICKEST
            status = deploy.run(arguments, self.clients, source, libraries, self.push, level=level)
        else:
            status = destroy.run(arguments, self.clients)
        return status, self._capsys.readouterr().out

    def document(self, *words: str) -> tuple[int, dict[str, Any]]:
        """Return the exit status of a command, and its document."""
        status, said = self.runs(*words, "--json")
        document: dict[str, Any] = json.loads(said)
        return status, document

    def endpoints(self) -> list[str]:
        """Return the names of the endpoints."""
        return [one["EndpointName"] for one in self.clients.sagemaker.list_endpoints()["Endpoints"]]

    def buckets(self) -> set[str]:
        """Return the names of the buckets."""
        return {one["Name"] for one in self.clients.s3.list_buckets()["Buckets"]}

    def alarms(self) -> list[str]:
        """Return the names of the alarms."""
        return [one["AlarmName"] for one in self.clients.cloudwatch.describe_alarms()["MetricAlarms"]]

    def filters(self) -> list[str]:
        """Return the names of the metric filters."""
        return [one["filterName"] for one in self.clients.logs.describe_metric_filters()["metricFilters"]]


@pytest.fixture
def person(url: str, capsys: pytest.CaptureFixture[str]) -> Person:
    """Return somebody who works with it."""
    return Person(url, capsys)


def deployed(person: Person, archive: Path, bucket: str) -> str:
    """Upload an archive and return the endpoint that comes of it; the deployment has ended."""
    person.clients.s3.upload_file(str(archive), bucket, UPLOADED)
    machine = person.clients.cloudformation.describe_stacks(StackName="sealift")["Stacks"][0]["Outputs"]
    arn = next(one["OutputValue"] for one in machine if one["OutputKey"] == "StateMachineArn")
    deadline = time.monotonic() + WAIT_S
    while True:
        rows = person.clients.stepfunctions.list_executions(stateMachineArn=arn)["executions"]
        if rows and all(one["status"] != "RUNNING" for one in rows):
            break
        assert time.monotonic() < deadline, f"the deployment has not ended: {rows}"
        time.sleep(0.1)
    assert [one["status"] for one in rows] == ["SUCCEEDED"]
    (endpoint,) = person.endpoints()
    return endpoint


def test_the_stack_of_the_local_cloud_is_what_deploy_would_make(person: Person) -> None:
    """The same packaging, the same template: there is nothing to change, and the change set is gone again."""
    status, said = person.runs("deploy", "--yes")

    assert status == 0
    assert "sealift in account 123456789012, us-east-1: unchanged" in said
    assert "UploadBucketName" in said
    described = person.clients.cloudformation.list_change_sets(StackName="sealift")
    assert all(one["ExecutionStatus"] == "EXECUTE_COMPLETE" for one in described["Summaries"])


def test_a_dry_run_changes_nothing(person: Person) -> None:
    """It says what it would change, and the next one says the same."""
    words = ("deploy", "--dry-run", "--parameter", "LogRetentionDays=5")

    first, second = person.runs(*words), person.runs(*words)

    assert first == second
    assert "change   2 log groups TaskLogs, WorkflowLogs (RetentionInDays)" in first[1]
    assert "nothing was deployed" in first[1]


def test_a_parameter_is_changed_and_then_kept(person: Person) -> None:
    """What is not named keeps what the deployment before has given it, not the template's default."""
    status, changed = person.document("deploy", "--yes", "--parameter", "SweepGraceHours=48")
    again = person.document("deploy", "--yes")

    assert status == 0
    assert changed["status"] == "deployed"
    assert [(one["resource"], one["properties"]) for one in changed["changes"]] == [
        ("SweepSchedule", ["Targets"])
    ]
    assert again == (0, {**changed, "status": "unchanged", "changes": []})
    found = person.clients.cloudformation.describe_stacks(StackName="sealift")["Stacks"][0]["Parameters"]
    values = {one["ParameterKey"]: one["ParameterValue"] for one in found}
    assert (str(values["SweepGraceHours"]), values["ConsumerFunctionName"]) == ("48", "sealift-consumer")


def test_a_budget_is_made_kept_and_taken_back(person: Person) -> None:
    """With the topic's policy, by one parameter; a later deployment that says nothing of it changes nothing."""

    def stands() -> BudgetStatus | None:
        found = person.clients.cloudformation.describe_stacks(StackName="sealift")["Stacks"][0]
        return budget.read(person.clients.budgets, found)

    def changed(*words: str) -> dict[str, str]:
        status, document = person.document("deploy", "--yes", *words)
        assert status == 0
        return {one["resource"]: one["change"] for one in document["changes"]}

    made = {"Budget": "add", "NotificationsPolicy": "add"}
    assert stands() is None
    assert changed("--parameter", "BudgetUsdPerMonth=50") == made
    assert changed() == {}
    assert stands() == BudgetStatus(50.0, 0.0, 0.0)
    assert changed("--parameter", "BudgetUsdPerMonth=0") == dict.fromkeys(made, "remove")
    assert stands() is None


def test_roles_of_endpoints_are_named_and_taken_back(person: Person) -> None:
    """The workflow knows those that may be asked for, and the one task that hands a role on may hand them on."""
    roles = "arn:aws:iam::123456789012:role/a,arn:aws:iam::123456789012:role/b"
    rows = person.clients.cloudformation.describe_stack_resources(StackName="sealift")["StackResources"]
    task = next(one["PhysicalResourceId"] for one in rows if one["LogicalResourceId"] == "CreateModelRole")
    machine = next(one["PhysicalResourceId"] for one in rows if one["LogicalResourceId"] == "Deployment")

    def known() -> tuple[bool, bool]:
        definition = person.clients.stepfunctions.describe_state_machine(stateMachineArn=machine)[
            "definition"
        ]
        given = person.clients.iam.list_role_policies(RoleName=task)["PolicyNames"]
        return roles in definition, "EndpointRoles" in given

    before = known()
    status, changed = person.document("deploy", "--yes", "--parameter", f"EndpointRoleArns={roles}")
    named = known()
    person.runs("deploy", "--yes", "--parameter", "EndpointRoleArns=")

    assert status == 0
    assert {one["resource"] for one in changed["changes"]} == {"Deployment", "EndpointRolesUse"}
    assert (before, named, known()) == ((False, False), (True, True), (False, False))


def test_what_is_not_agreed_to_is_not_done(person: Person) -> None:
    """Where nobody can be asked, --yes is wanted before anything is looked at."""
    for words in (("deploy",), ("destroy",), ("destroy", "--json")):
        with pytest.raises(InvalidInput, match=r"wanted a yes .*--yes"):
            person.runs(*words)

    assert person.clients.cloudformation.describe_stacks(StackName="sealift")["Stacks"]


def test_a_stack_is_taken_away_with_its_endpoints_and_made_again(person: Person, archive: Path) -> None:
    """Endpoints, alarms, models and configurations go, archives stay; then a new stack deploys as the first one did."""
    bucket = person.runs("deploy", "--yes")[1].split("UploadBucketName")[1].split()[0]
    endpoint = deployed(person, archive, bucket)
    assert person.alarms()
    assert person.filters()

    planned = person.document("destroy", "--dry-run")[1]
    status, gone = person.document("destroy", "--yes")

    assert planned["status"] == "planned"
    named = [one["name"] for one in planned["made"] if one["kind"] == "parameter"]
    assert named == ["/sealift/sealift/harbour/endpoint"]
    assert {deployment_of(one["name"]) for one in planned["made"] if one["name"] not in named} == {endpoint}
    kinds = [one["kind"] for one in planned["made"]]
    assert kinds == ["endpoint", "parameter", "model", "endpoint configuration"]
    assert any("sealift-consumer" in caller for caller in planned["callers"])
    assert (status, gone["status"]) == (0, "destroyed")
    assert person.endpoints() == []
    assert (person.alarms(), person.filters()) == ([], [])
    assert person.clients.ssm.get_parameters_by_path(Path="/sealift", Recursive=True)["Parameters"] == []
    assert person.clients.sagemaker.list_models()["Models"] == []
    assert person.clients.sagemaker.list_endpoint_configs()["EndpointConfigs"] == []
    with pytest.raises(person.clients.cloudformation.exceptions.ClientError, match="does not exist"):
        person.clients.cloudformation.describe_stacks(StackName="sealift")
    assert {one["bucket"] for one in gone["kept"]} <= person.buckets()
    assert person.clients.s3.head_object(Bucket=bucket, Key=UPLOADED)
    assert person.document("destroy", "--yes")[1]["status"] == "nothing"

    status, made = person.document("deploy", "--yes")

    assert (status, made["status"]) == (0, "deployed")
    assert made["outputs"]["UploadBucketName"] != bucket
    assert deployed(person, archive, made["outputs"]["UploadBucketName"]).startswith("harbour-")


def test_archives_go_only_when_asked_for(person: Person) -> None:
    """With everything else, and later too, when the stack is gone and only a note tells whose the buckets were."""
    kept = person.document("destroy", "--yes")[1]["kept"]
    assert sum(one["versions"] for one in kept) > 0

    status, gone = person.document("destroy", "--yes", "--archives")

    assert (status, gone["status"], gone["kept"]) == (0, "destroyed", [])
    assert {one["bucket"] for one in kept} & person.buckets() == set()
    assert not [name for name in person.buckets() if name.startswith("sealift-code-")]


def test_a_stack_that_could_not_be_made_says_why_and_how_to_go_on(person: Person) -> None:
    """A name that is taken: the resource, the reason, the next step, and no deployment until it is taken."""
    person.clients.logs.create_log_group(logGroupName="/aws/lambda/sealift")

    status, said = person.runs("deploy", "--yes")

    assert status == 1
    assert "ROLLBACK_COMPLETE" in said
    assert "TaskLogs" in said
    assert "sealift destroy --stack sealift" in said
    with pytest.raises(InvalidInput, match=r"it is ROLLBACK_COMPLETE; .*sealift destroy --stack sealift"):
        person.runs("deploy", "--yes")
    person.clients.logs.delete_log_group(logGroupName="/aws/lambda/sealift")
    assert person.document("destroy", "--yes")[1]["status"] == "destroyed"
    assert person.document("deploy", "--yes")[1]["status"] == "deployed"


# ----------------------------------------------------------------- our image in it

BASE = "docker/library/python"
OWN_TAG = image_tag(__version__, "x86_64")
HELD = ImageContents(
    "x86_64", (ImagePart("code", {"opt/sealift/a.py": TreeFile(bytes(300_000))}),), {"foo": "1.2.3"}
)


@pytest.fixture
def base(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Run a registry that has an image to lay ours on, and return where that is."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path / "docker"))
    made = MemoryRegistry()
    made.put_index({"linux/amd64": made.put_image()}, "latest")
    with running(FakeRegistry()) as registry:
        registry.blobs[BASE] = dict(made.blobs)
        registry.manifests |= {(BASE, name): found for name, found in made.manifests.items()}
        yield f"{registry.host}/{BASE}"


def pushing(person: Person, base: str) -> Callable[[str, Screen], Pushed]:
    """Return what builds our image and sends it, to the ECR of this person's cloud."""

    def connect(reference: Reference) -> Registry:
        client = person.clients.registry if ecr.host(reference.host) else None
        return registries.connect(reference, client=client)

    def push(repository: str, screen: Screen) -> Pushed:
        asked = ImagePushOptions(repository=repository, base=base)
        return image.pushed(asked, connect, lambda _: HELD, person.clients, screen)

    return push


def test_an_image_that_cannot_be_built_leaves_a_stack_that_stands(person: Person, base: str) -> None:
    """What is missing, and what to run, in words and as data; the status says that not all is there."""
    person.push = pushing(person, f"{base}-that-is-not-there")

    status, said = person.runs("deploy", "--yes")
    _, document = person.document("deploy", "--yes")
    declined = person.document("deploy", "--yes", "--no-image")

    assert status == 1
    assert "sealift in account 123456789012, us-east-1: unchanged" in said
    assert f"the stack stands, but image {OWN_TAG} is not in its repository" in said
    assert "until `sealift image push` has put it there, deployments take AWS's prebuilt image" in said
    assert "UploadBucketName" in said
    assert (document["status"], document["image"]["status"]) == ("unchanged", "failed")
    assert (declined[0], declined[1]["image"]) == (0, None)


def test_the_image_is_built_and_pushed_once_and_goes_with_the_stack(person: Person, base: str) -> None:
    """The second deployment asks whether it is there, and builds nothing; `destroy` tells of it before it goes."""
    person.push = pushing(person, base)

    first, second = person.document("deploy", "--yes"), person.document("deploy", "--yes")
    name = first[1]["outputs"]["ImageRepository"].partition("/")[2]
    (found,) = person.clients.ecr.describe_images(repositoryName=name)["imageDetails"]
    planned = person.document("destroy", "--dry-run")[1]
    person.runs("destroy", "--yes")

    assert (first[0], first[1]["image"]["status"]) == (0, "pushed")
    assert (second[0], second[1]["image"]["status"]) == (0, "there")
    assert found["imageTags"] == [OWN_TAG]
    assert found["imageDigest"] == first[1]["image"]["digest"] == second[1]["image"]["digest"]
    assert planned["images"] == {"count": 1, "bytes": found["imageSizeInBytes"]}
    with pytest.raises(ClientError, match="RepositoryNotFound"):
        person.clients.ecr.describe_images(repositoryName=name)
