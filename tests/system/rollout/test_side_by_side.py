"""Several services on an ordinary account, which has ten concurrent invocations; none of them asks for any."""

from __future__ import annotations

import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from moto.sns.models import sns_backends

from pipeline.operations.execution_history import Execution
from tests.system.conftest import NOTHING, Deployments
from tests.system.rollout.test_capacity import account, concurrency, endpoint_of, meanwhile, occupy
from tests.system.workflow.test_deployment import settings

__all__ = ["account"]


def unasked(**more: Any) -> dict[str, Any]:
    """Return the settings of a deployment that asks for no concurrency and has no consumer."""
    return {
        **{
            name: value
            for name, value in settings(consumer=None, **more).items()
            if name != "max_concurrency"
        }
    }


def held(deployments: Deployments) -> dict[str, int]:
    """Return what each endpoint of the account has."""
    return {name: concurrency(deployments, name) for name in deployments.resources()["endpoints"]}


def told(deployments: Deployments) -> list[str]:
    """Return what the topic was told."""
    cloud = deployments.cloud
    topic = sns_backends[cloud.account_id][cloud.region].topics[cloud.outputs["TopicArn"]]
    return [str(one[1]) for one in topic.sent_notifications]


def good(ended: Execution) -> str:
    """Return the endpoint of a deployment that went well without a refusal."""
    assert ended.status == "SUCCEEDED", ended.cause
    assert ended.state("StepDown") is None
    return endpoint_of(ended)


def test_three_services_come_one_after_the_other(deployments: Deployments, archive: Path) -> None:
    """Two of them are deployed twice: the previous deployment keeps one each, and everybody is told what it got."""
    a = [good(deployments.upload(archive, "a", unasked(keep_previous=1))) for _ in range(2)]
    b = [good(deployments.upload(archive, "b", unasked())) for _ in range(2)]
    last = deployments.upload(archive, "c", unasked())
    c = good(last)

    assert held(deployments) == {a[0]: 1, a[1]: 3, b[0]: 1, b[1]: 3, c: 2}
    assert last.results["restore_capacity"]["max_concurrency"] == 2
    said = "2 concurrent invocations, which were free; its share of the account's 10 would be 3, as none were requested"
    assert last.results["restore_capacity"]["told"] == said
    described = deployments.cloud.clients.stepfunctions.describe_execution(executionArn=last.arn)
    assert json.loads(described["output"])["capacity"] == said
    assert said in told(deployments)[-1]
    (step,) = last.results["plan_deployment"]["steps"]
    assert step["did"] == "begin with 2"


def test_three_services_come_at_the_same_moment(deployments: Deployments, archive: Path) -> None:
    """Each gets its share, whoever is first."""
    key = "by-hand/shared/model.tar.gz"
    deployments.cloud.clients.s3.put_object(Bucket=deployments.bucket, Key=key, Body=archive.read_bytes())
    documents = [
        {**unasked(), "service": service, "archive": {"bucket": deployments.bucket, "key": key}}
        for service in ("one", "two", "three")
    ]

    with ThreadPoolExecutor(3) as pool:
        ended = list(pool.map(deployments.start, documents))

    assert held(deployments) == {good(one): 3 for one in ended}
    assert all("3 of the account's 10" in one.results["restore_capacity"]["told"] for one in ended)


def test_who_finds_less_than_it_planned_takes_that_at_once(deployments: Deployments, archive: Path) -> None:
    """Others were first: not one try is waited with, and what is given is said."""
    other = deployments.upload(archive, "other", settings(consumer=None))

    with meanwhile(deployments, "CreateModel", lambda: occupy(deployments, other, "quicker", 8)):
        ended = deployments.upload(archive, "slower", unasked())

    assert ended.status == "SUCCEEDED", ended.cause
    create = ended.state("CreateEndpoint")
    assert create is not None
    assert create.retries == 0
    assert ended.results["plan_deployment"]["rungs"] == ["free"]
    assert concurrency(deployments, endpoint_of(ended)) == 1


def test_what_nobody_will_ever_free_is_not_waited_for(deployments: Deployments, archive: Path) -> None:
    """Refused before anything is made, with who holds it and the commands."""
    other = deployments.upload(archive, "other", settings(consumer=None))
    occupy(deployments, other, "somebodys", 9)

    ended = deployments.upload(archive, "late", unasked())

    assert (ended.status, ended.error) == ("FAILED", "QuotaUsedUp")
    assert ended.state("CreateModel") is None
    for part in (
        "somebodys (not Sealift's) holds 9: `aws sagemaker delete-endpoint --endpoint-name somebodys`",
        f"{endpoint_of(other)} (service 'other') holds 1: `aws sagemaker delete-endpoint",
        "`aws service-quotas request-service-quota-increase --service-code sagemaker --quota-code L-96300102",
    ):
        assert part in str(ended.cause)
    assert len(deployments.resources()["endpoints"]) == 2


def test_a_full_account_still_takes_a_new_version(deployments: Deployments, archive: Path) -> None:
    """The service's own endpoint gives all but one, and goes back to what it had when the new one is not good."""
    other = deployments.upload(archive, "other", settings(consumer=None))
    first = good(deployments.upload(archive, "again", unasked()))
    occupy(deployments, other, "somebodys", 6)

    wrong = deployments.upload(
        archive, "again", unasked(smoke_test={"prompts": ["What?"], "expect": {"contains": "submarine"}})
    )

    assert wrong.error == "SmokeTestFailed"
    assert wrong.results["plan_deployment"]["room"] == [{"endpoint": first, "before": 3, "to": 1}]
    assert held(deployments)[first] == 3
    second = good(deployments.upload(archive, "again", unasked()))

    assert (held(deployments)[first], held(deployments)[second]) == (1, 2)


def test_the_endpoint_quota_is_not_waited_for_either(
    deployments: Deployments,
    archive: Path,
    account: Callable[..., None],
) -> None:
    """At once, with who has them and what deletes one."""
    account(endpoints=1)
    first = good(deployments.upload(archive, "only", unasked()))

    second = deployments.upload(archive, "more", unasked())

    assert (second.status, second.error) == ("FAILED", "QuotaUsedUp")
    create = second.state("CreateEndpoint")
    assert create is not None
    assert create.retries == 0
    assert f"{first} (service 'only'): `aws sagemaker delete-endpoint --endpoint-name {first}`" in str(
        second.cause
    )
    assert deployments.resources()["endpoints"] == [first]
    assert NOTHING.keys() == deployments.resources().keys()
