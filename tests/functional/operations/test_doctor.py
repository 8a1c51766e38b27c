"""The doctor's checks against a moto in this process, and what it says where AWS does not let it look."""

from __future__ import annotations

import json
from datetime import date
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
from botocore.exceptions import ClientError
from moto import mock_aws

from pipeline import cli
from pipeline.aws.clients import Clients
from pipeline.operations import doctor
from pipeline.operations.doctor import CheckState, ReadinessCheck
from pipeline.planning.function_names import Reach
from tests.paginated import Paginated

if TYPE_CHECKING:
    from collections.abc import Iterator

TODAY = date(2026, 1, 2)


@pytest.fixture(autouse=True)
def account() -> Iterator[None]:
    """An account in this process."""
    with mock_aws():
        yield


class Raising:
    """A client whose every call ends in one error."""

    def __init__(self, code: str, message: str = "because") -> None:
        self._response: Any = {"Error": {"Code": code, "Message": message}}

    def __getattr__(self, name: str) -> Any:
        def call(**_request: Any) -> None:
            raise ClientError(self._response, name)

        return call


class Answering(Paginated):
    """A client whose every call has one answer."""

    def __init__(self, answer: Any) -> None:
        self._answer = answer

    def __getattr__(self, _name: str) -> Any:
        return lambda **_request: self._answer


def clients(**services: Any) -> Any:
    """Return clients of which only these services are there."""
    return SimpleNamespace(**services)


def test_an_account_without_the_stack_is_not_ready(capsys: pytest.CaptureFixture[str]) -> None:
    """The missing stack is named with what to do, and the exit status says it."""
    assert cli.main(["doctor", "--stack", "harbour", "--json"]) == cli.FAILED

    document = json.loads(capsys.readouterr().out)
    found = {one["name"]: one for one in document["checks"]}
    assert not document["ok"]
    assert found["credentials"]["state"] == "ok"
    assert found["stack"]["told"] == "there is no stack 'harbour' in this account and region"
    assert "--stack" in found["stack"]["fix"]


def test_without_credentials_nothing_of_aws_is_looked_at() -> None:
    """One check says so; the machine's own are done all the same."""
    refused = clients(sts=Raising("InvalidClientTokenId", "The security token is invalid"))

    checks = list(doctor.examine(refused, stack="sealift", region="us-east-1", today=TODAY))

    assert [check.name for check in checks] == ["runtime", "credentials"]
    assert checks[-1].state is CheckState.BROKEN


def test_a_quota_of_nothing_is_something_to_put_right() -> None:
    """An account that may have no serverless endpoint at all must ask for it."""
    told: Any = clients(
        sagemaker=Answering({"Endpoints": []}), service_quotas=Answering({"Quota": {"Value": 0.0}})
    )

    concurrency, memory, endpoints = doctor._quotas(told)

    assert (concurrency.state, "L-96300102" in concurrency.fix) == (CheckState.BROKEN, True)
    assert {memory.state, endpoints.state} == {CheckState.UNKNOWN}
    assert "assumed" in memory.found


def test_a_quota_that_may_not_be_read_is_told_as_assumed() -> None:
    """It is no fault, and no tick either."""
    told: Any = clients(
        sagemaker=Answering({"Endpoints": []}), service_quotas=Raising("AccessDeniedException")
    )

    concurrency = next(doctor._quotas(told))

    assert concurrency.state is CheckState.UNKNOWN
    assert "assumed: Service Quotas could not be read, AccessDenied" in concurrency.found


@pytest.mark.parametrize(
    ("ecr", "state"),
    [
        pytest.param(Answering({"imageDetails": []}), CheckState.OK, id="there"),
        pytest.param(Raising("ImageNotFoundException"), CheckState.BROKEN, id="no such image"),
        pytest.param(Raising("RepositoryNotFoundException"), CheckState.BROKEN, id="no such repository"),
        pytest.param(Raising("AccessDeniedException"), CheckState.UNKNOWN, id="may not look"),
    ],
)
def test_an_image_is_there_or_not_or_nobody_can_tell(ecr: Any, state: CheckState) -> None:
    """Its URI is told in each case; AWS's ended support too."""
    check = doctor._image(clients(ecr=ecr), "pytorch", "", "eu-west-1", TODAY)

    assert check.state is state
    assert "dkr.ecr.eu-west-1.amazonaws.com/pytorch-inference:" in check.found


REPOSITORY = "123456789012.dkr.ecr.eu-west-1.amazonaws.com/sealift-images"
THERE = Answering({"imageDetails": [{"imageDigest": "sha256:0", "imageSizeInBytes": 44 << 20}]})
MISSING = Raising("ImageNotFoundException")


@pytest.mark.parametrize(
    ("container", "ecr", "states"),
    [
        pytest.param("auto", THERE, {"own image": "ok", "image": "ok"}, id="auto, and ours is there"),
        pytest.param(
            "auto", MISSING, {"own image": "unknown", "image": "broken"}, id="auto, and none is there"
        ),
        pytest.param("custom", THERE, {"own image": "ok"}, id="ours is there"),
        pytest.param("custom", MISSING, {"own image": "broken"}, id="ours is not there"),
        pytest.param("pytorch", THERE, {"image": "ok"}, id="the prebuilt one alone"),
        pytest.param(
            "custom",
            Raising("AccessDeniedException"),
            {"own image": "unknown"},
            id="ours, and nobody may look",
        ),
    ],
)
def test_the_stacks_own_image_is_looked_for_where_deployments_take_it(
    container: str, ecr: Any, states: dict[str, str]
) -> None:
    """What can be done without is no fault; what alone could serve is one."""
    found = list(doctor._images(clients(ecr=ecr), {"Container": container}, REPOSITORY, "eu-west-1", TODAY))

    assert {one.name: one.state.value for one in found} == states
    own = next((one for one in found if one.name == "own image" and one.state is not CheckState.OK), None)
    assert own is None or ecr is not MISSING or "`sealift image push`" in own.fix


def test_an_image_that_the_stack_names_is_the_one_to_look_for() -> None:
    """Nothing of ours is wanted then."""
    named = {"Container": "auto", "ImageUri": f"{REPOSITORY}:mine"}

    (found,) = doctor._images(clients(ecr=THERE), named, REPOSITORY, "eu-west-1", TODAY)

    assert found.found.startswith(f"{REPOSITORY}:mine is there")


def test_a_custom_container_needs_an_image() -> None:
    """The stack's parameter says which."""
    check = doctor._image(clients(), "custom", "", "eu-west-1", TODAY)

    assert (check.state, check.fix) == (CheckState.BROKEN, "set the stack's parameter ImageUri")


@pytest.mark.parametrize(
    ("service", "state"),
    [
        pytest.param("sagemaker.amazonaws.com", CheckState.OK, id="SageMaker"),
        pytest.param("ec2.amazonaws.com", CheckState.BROKEN, id="somebody else"),
    ],
)
def test_the_endpoints_role_must_trust_sagemaker(service: str, state: CheckState) -> None:
    """Its trust policy is read."""
    own = Clients(region="us-east-1")
    trust = {
        "Statement": [{"Effect": "Allow", "Principal": {"Service": service}, "Action": "sts:AssumeRole"}]
    }
    role = own.iam.create_role(RoleName="endpoint", AssumeRolePolicyDocument=json.dumps(trust))["Role"]

    assert doctor._role(own, {"EndpointRoleArn": role["Arn"]}).state is state


def test_a_role_that_is_gone_is_told() -> None:
    """As is a stack without that output."""
    own = Clients(region="us-east-1")

    gone = doctor._role(own, {"EndpointRoleArn": "arn:aws:iam::123456789012:role/none"})

    assert gone.found == "the endpoints' role none is gone"
    assert doctor._role(own, {}).state is CheckState.BROKEN


@pytest.mark.parametrize(
    ("decision", "state"),
    [
        pytest.param("allowed", CheckState.OK, id="may"),
        pytest.param("implicitDeny", CheckState.BROKEN, id="may not"),
    ],
)
def test_a_consumer_must_be_allowed_to_call(decision: str, state: CheckState) -> None:
    """By IAM's own simulation; the fix names role, action and resource."""
    function = {"Role": "arn:aws:iam::123456789012:role/assistant"}
    told: Any = clients(
        lambda_=Answering(function), iam=Answering({"EvaluationResults": [{"EvalDecision": decision}]})
    )

    check = doctor._may_call(told, "assistant", "arn:aws:sagemaker:x:1:endpoint/harbour-000000000000")

    fix = "allow assistant sagemaker:InvokeEndpoint on endpoint/harbour-*"
    assert check == ReadinessCheck("consumer", state, check.found, "" if state is CheckState.OK else fix)


@pytest.mark.parametrize(
    ("status", "state"),
    [
        pytest.param("UPDATE_COMPLETE", CheckState.OK, id="stands"),
        pytest.param("UPDATE_IN_PROGRESS", CheckState.BROKEN, id="is being changed"),
        pytest.param("ROLLBACK_COMPLETE", CheckState.BROKEN, id="never came about"),
    ],
)
def test_a_stack_stands_or_does_not(status: str, state: CheckState) -> None:
    """What is to be done differs with what is going on."""
    assert doctor._stack("sealift", {"StackStatus": status}).state is state


@pytest.mark.parametrize(
    ("ours", "deployed", "same"),
    [
        pytest.param({"a": ["${X}:1"]}, {"a": ["arn:b:1"]}, True, id="filled in"),
        pytest.param({"a": ["${X}:1"]}, {"a": ["arn:b:2"]}, False, id="another text"),
        pytest.param({"a": 1}, {"a": 1, "b": 2}, False, id="one state more"),
        pytest.param({"a": [1]}, {"a": [1, 2]}, False, id="one choice more"),
        pytest.param({"a": True}, {"a": False}, False, id="another value"),
    ],
)
def test_a_workflow_is_this_versions_when_only_names_were_filled_in(
    ours: dict[str, Any], deployed: dict[str, Any], *, same: bool
) -> None:
    """Every other difference is another version's."""
    assert doctor.same(ours, deployed) is same


KEY = "arn:aws:kms:us-east-1:123456789012:key/1"


@pytest.mark.parametrize(
    ("name", "known", "told", "fix"),
    [
        pytest.param("sealift-consumer", [KEY], None, None, id="all is well"),
        pytest.param(
            "sealift-consumer",
            ["arn:other"],
            f"encrypted with {KEY}",
            f"run `sealift deploy --parameter ConsumerKmsKeyArns=arn:other,{KEY}`",
            id="a key that the stack may not use",
        ),
        pytest.param(
            "sealift-prod",
            [KEY],
            "outside the pattern",
            "run `sealift deploy --parameter 'ConsumerFunctionPattern=sealift-*'`, which allows both",
            id="outside the pattern",
        ),
    ],
)
def test_a_consumer_that_the_stack_could_not_switch_is_found_beforehand(
    name: str, known: list[str], told: str | None, fix: str | None
) -> None:
    """By the stack's own parameters; the fix keeps what they have."""
    within = Reach("sealift-consumer*", "123456789012", "us-east-1", "sealift")
    found = clients(lambda_=Answering({"FunctionName": name, "KMSKeyArn": KEY}))

    checks = list(doctor._switchable(found, name, within, known))

    assert [check.fix for check in checks] == ([fix] if fix else [])
    assert all(check.state is CheckState.BROKEN and str(told) in check.found for check in checks)


def test_a_budget_is_told_and_can_be_done_without() -> None:
    """By the stack's parameter; where there is none, with how to have one."""
    none, there = doctor._budget({}), doctor._budget({"BudgetUsdPerMonth": "50"})

    assert (none.state, there.state) == (CheckState.UNKNOWN, CheckState.OK)
    assert "--parameter BudgetUsdPerMonth=" in none.fix
    assert "$50 a month" in there.found
