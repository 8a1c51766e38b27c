"""Refusals in the words and the form of each service, without a cloud around them."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from typing import Any

import pytest
from moto import mock_aws

from local_cloud import calls
from local_cloud.calls import AwsCall
from local_cloud.iam.access import Access
from local_cloud.iam.policies import PolicyVerdict
from local_cloud.s3 import objects
from pipeline.aws.clients import Clients
from tests.unit.local_cloud.test_bearer_tokens import OPENAI, bearer, presigned

ACCOUNT, REGION = "123456789012", "us-east-1"
ENDPOINT = f"arn:aws:sagemaker:{REGION}:{ACCOUNT}:endpoint/harbour"


class Site:
    """A role with one policy, and a session of it."""

    def __init__(self, *, enforced: bool = True) -> None:
        credentials = {"aws_access_key_id": "local", "aws_secret_access_key": "local"}
        self.clients = Clients(region=REGION, credentials=credentials)
        trust = {"Version": "2012-10-17", "Statement": []}
        arn = self.clients.iam.create_role(RoleName="task", AssumeRolePolicyDocument=json.dumps(trust))[
            "Role"
        ]["Arn"]
        session = self.clients.sts.assume_role(RoleArn=arn, RoleSessionName="Task")["Credentials"]
        self.key = session["AccessKeyId"]
        self.session = (self.key, session["SecretAccessKey"], session["SessionToken"])
        self.tags: dict[str, dict[str, str]] = {}
        self.access = Access(
            account_id=ACCOUNT,
            tags=lambda arn: self.tags.get(arn, {}),
            enforced=enforced,
            tagged=objects.tagged,
            region=REGION,
            own_keys={"local": "local"},
        )

    def allow(self, action: str | list[str], resource: str, **more: Any) -> None:
        """Put a statement in force."""
        statement = {"Effect": "Allow", "Action": action, "Resource": resource, **more}
        document = {"Version": "2012-10-17", "Statement": [statement]}
        self.clients.iam.put_role_policy(RoleName="task", PolicyName="p", PolicyDocument=json.dumps(document))

    def refused(
        self, name: str, parameters: dict[str, Any], *, key: str | None = None
    ) -> tuple[int, str, str] | None:
        """Return status, code and message of the refusal of a call of the session, or of another key."""
        service, _, operation = name.partition(".")
        call = AwsCall(service, operation, REGION, self.key if key is None else key)
        response = self.access.refuse(call, {"PATH_INFO": "/"}, json.dumps(parameters).encode())
        if response is None:
            return None
        if response.headers["Content-Type"] == "text/xml":
            return response.status, response.body.decode(), ""
        told = json.loads(response.body)
        return response.status, told["__type"], told["message"]


@pytest.fixture
def site() -> Iterator[Site]:
    """A role without permissions."""
    with mock_aws():
        yield Site()


def test_a_refusal_names_caller_action_and_resource(site: Site) -> None:
    """As SageMaker has it."""
    assert site.refused("sagemaker.DescribeEndpoint", {"EndpointName": "Harbour"}) == (
        400,
        "AccessDeniedException",
        (
            f"User: arn:aws:sts::{ACCOUNT}:assumed-role/task/Task is not authorized to perform: "
            f"sagemaker:DescribeEndpoint on resource: {ENDPOINT} because no identity-based policy allows the "
            "sagemaker:DescribeEndpoint action"
        ),
    )


def test_what_a_policy_allows_goes_through(site: Site) -> None:
    """A policy that was changed is in force at the next call, and every decision is remembered."""
    request = {"EndpointName": "harbour"}
    site.allow("sagemaker:DescribeEndpoint", ENDPOINT)
    allowed = site.refused("sagemaker.DescribeEndpoint", request)
    site.allow("sagemaker:DescribeEndpoint", f"{ENDPOINT}-2")
    refused = site.refused("sagemaker.DescribeEndpoint", request)

    assert allowed is None
    assert refused is not None
    assert [(one.role, one.verdict) for one in site.access.decided] == [
        ("task", PolicyVerdict.ALLOWED),
        ("task", PolicyVerdict.NOT_ALLOWED),
    ]


def test_a_condition_on_tags_looks_at_the_resource(site: Site) -> None:
    """One that is not tagged, or not there, does not fulfil it."""
    site.allow(
        "sagemaker:DeleteEndpoint", "*", Condition={"Null": {"aws:ResourceTag/sealift:service": "false"}}
    )
    request = {"EndpointName": "harbour"}
    before = site.refused("sagemaker.DeleteEndpoint", request)
    site.tags[ENDPOINT] = {"sealift:service": "harbour"}

    assert before is not None
    assert site.refused("sagemaker.DeleteEndpoint", request) is None


def test_composite_alarms_are_not_a_matter_of_alarms_by_name(site: Site) -> None:
    """AWS allows a look at composite ones to nobody whose permission is narrower than all resources."""
    site.allow("cloudwatch:DescribeAlarms", f"arn:aws:cloudwatch:{REGION}:{ACCOUNT}:alarm:*")
    of_metrics = {"AlarmNames": ["a"], "AlarmTypes": ["MetricAlarm"]}
    composite = {"AlarmNames": ["a"], "AlarmTypes": ["CompositeAlarm"]}
    narrow = [
        site.refused("cloudwatch.DescribeAlarms", one)
        for one in ({"AlarmNames": ["a"]}, of_metrics, composite)
    ]
    site.allow("cloudwatch:DescribeAlarms", "*")

    assert narrow[:2] == [None, None]
    assert narrow[2] is not None
    assert "is not authorized to perform: cloudwatch:DescribeAlarms because" in "".join(map(str, narrow[2]))
    assert site.refused("cloudwatch.DescribeAlarms", composite) is None


def test_an_explicit_denial_says_so(site: Site) -> None:
    """It is no use to add a permission then."""
    site.allow("sagemaker:DescribeEndpoint", "*", Effect="Deny")

    refusal = site.refused("sagemaker.DescribeEndpoint", {"EndpointName": "harbour"})

    assert refusal is not None
    assert refusal[2].endswith("with an explicit deny in an identity-based policy")


@pytest.mark.parametrize(
    ("source", "directive", "may"),
    [
        pytest.param("bare", None, True, id="no tags"),
        pytest.param("tagged", None, False, id="tags, which are copied unless it is said otherwise"),
        pytest.param("tagged", "REPLACE", True, id="tags, which are left behind"),
        pytest.param("none", None, True, id="nothing there"),
    ],
)
def test_a_copy_of_a_tagged_object_takes_more(
    site: Site, source: str, directive: str | None, *, may: bool
) -> None:
    """Of whoever may read and write and no more, S3 refuses a copy that takes tags along."""
    site.clients.s3.create_bucket(Bucket="uploads")
    site.clients.s3.put_object(Bucket="uploads", Key="bare", Body=b"x")
    site.clients.s3.put_object(Bucket="uploads", Key="tagged", Body=b"x", Tagging="project=harbour")
    site.allow(["s3:GetObject", "s3:PutObject"], "arn:aws:s3:::uploads/*")
    environ = {"PATH_INFO": "/uploads/copy", "HTTP_X_AMZ_COPY_SOURCE": f"uploads/{source}"}
    if directive:
        environ["HTTP_X_AMZ_TAGGING_DIRECTIVE"] = directive

    refusal = site.access.refuse(AwsCall("s3", "CopyObject", REGION, site.key), environ, b"")

    assert (refusal is None) is may
    assert may or b"s3:GetObjectTagging" in refusal.body  # type: ignore[union-attr]


def test_a_service_refuses_in_its_own_form(site: Site) -> None:
    """SNS has another code, another status, and capital letters."""
    refusal = site.refused("sns.Publish", {"TopicArn": "arn:aws:sns:us-east-1:123456789012:topic"})

    assert refusal is not None
    assert refusal[0] == 403
    assert "<Code>AuthorizationError</Code>" in refusal[1]
    assert "not authorized to perform: SNS:Publish on resource: arn:aws:sns:" in refusal[1]


def test_an_operation_that_nobody_has_written_down_is_refused_to_a_role(site: Site) -> None:
    """Whatever its policies say."""
    site.allow("sagemaker:CreateTrainingJob", "*")

    refusal = site.refused("sagemaker.CreateTrainingJob", {})

    assert refusal is not None
    assert "not written down" in refusal[2]


def test_whoever_has_no_role_is_the_administrator(site: Site) -> None:
    """The person at the machine; credentials that look like a session's and are none are nobody's."""
    assert site.refused("sagemaker.CreateTrainingJob", {}, key="local") is None
    refusal = site.refused("sagemaker.ListModels", {}, key="ASIAAAAAAAAAAAAAAAAA")
    assert refusal is not None
    assert refusal[1] == "UnrecognizedClientException"


def test_it_can_be_switched_off() -> None:
    """Nothing is refused then, and nothing remembered."""
    with mock_aws():
        site = Site(enforced=False)

        assert site.refused("sagemaker.DescribeEndpoint", {"EndpointName": "harbour"}) is None
        assert not site.access.decided


def _with_token(site: Site, key: tuple[str, str, str | None], **more: Any) -> tuple[str, str] | None:
    """Return code and message of the refusal of a call of OpenAI's route with a token of such credentials."""
    authorization = bearer(presigned(key, **{"region": REGION, **more}))
    environ = {"HTTP_AUTHORIZATION": authorization, "PATH_INFO": OPENAI.replace("/e/", "/harbour/")}
    response = site.access.refuse(calls.identify(environ, b""), environ, b"{}")
    if response is None:
        return None
    assert response.status == 403
    told = json.loads(response.body)
    return told["__type"], told["message"]


def test_a_token_of_a_role_needs_two_permissions(site: Site) -> None:
    """The one for the token, on everything, and the one for the endpoint."""
    refused = _with_token(site, site.session)
    assert refused is not None
    assert "sagemaker:CallWithBearerToken" in refused[1]
    site.allow("sagemaker:CallWithBearerToken", "*")
    refused = _with_token(site, site.session)
    assert refused is not None
    assert f"sagemaker:InvokeEndpoint on resource: {ENDPOINT}" in refused[1]

    site.allow(["sagemaker:CallWithBearerToken", "sagemaker:InvokeEndpoint"], "*")

    assert _with_token(site, site.session) is None


@pytest.mark.parametrize("enforced", [True, False])
def test_a_token_is_checked_with_the_secret_that_sts_gave(enforced: bool) -> None:
    """Before anybody's permissions are looked at, and where nobody's are."""
    with mock_aws():
        site = Site(enforced=enforced)
        key, secret, session = site.session

        wrong = _with_token(site, (key, "guessed", session))
        another = _with_token(site, (key, secret, "another"))
        unknown = _with_token(site, ("ASIAUNKNOWN", secret, session))
        elsewhere = _with_token(site, site.session, region="eu-west-1")

    assert wrong is not None
    assert wrong[0] == "InvalidSignatureException"
    assert (
        another
        == unknown
        == (
            "UnrecognizedClientException",
            "The security token included in the request is invalid.",
        )
    )
    assert elsewhere is not None
    assert "valid region" in elsewhere[1]


def test_a_token_of_a_user_is_checked_with_the_secret_that_iam_gave(site: Site) -> None:
    """As long as the key is in use; a user's policies are looked at as little as for other calls."""
    site.clients.iam.create_user(UserName="ann")
    given = site.clients.iam.create_access_key(UserName="ann")["AccessKey"]
    key = (given["AccessKeyId"], given["SecretAccessKey"], None)

    good = _with_token(site, key)
    wrong = _with_token(site, (key[0], "guessed", None))
    site.clients.iam.update_access_key(UserName="ann", AccessKeyId=key[0], Status="Inactive")
    switched_off = _with_token(site, key)

    assert good is None
    assert wrong is not None
    assert wrong[0] == "InvalidSignatureException"
    assert switched_off is not None
    assert switched_off[0] == "UnrecognizedClientException"


def test_a_token_of_the_local_clouds_own_key_is_checked_and_of_anybody_elses_not(site: Site) -> None:
    """Whoever brings a key from elsewhere is the administrator, as for every other call."""
    assert _with_token(site, ("local", "local", None)) is None
    assert _with_token(site, ("AKIDEXAMPLE", "whatever", None)) is None

    wrong = _with_token(site, ("local", "guessed", None))

    assert wrong is not None
    assert wrong[0] == "InvalidSignatureException"


def test_a_sessions_token_ends_with_it(site: Site) -> None:
    """AWS says so of temporary credentials, whatever a signature made of them says."""
    site.allow(["sagemaker:CallWithBearerToken", "sagemaker:InvokeEndpoint"], "*")
    now = time.time()
    site.access.clock = lambda: now + 3599
    good = _with_token(site, site.session, expires=40_000)
    site.access.clock = lambda: now + 3610

    assert good is None
    assert _with_token(site, site.session, expires=40_000) == (
        "ExpiredTokenException",
        "The security token included in the request is expired",
    )
