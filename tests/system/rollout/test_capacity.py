"""Quotas on the local cloud, which has an ordinary account's: 3072 MB, 10 concurrent invocations, 5 endpoints."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from local_cloud.cloud import CONSUMER
from local_cloud.hosting import Quotas
from pipeline.operations.execution_history import Execution
from tests.system.conftest import NOTHING, Deployments
from tests.system.workflow.test_deployment import EXPECT, PROMPT, settings

WRONG = {"prompts": [PROMPT], "expect": {"contains": "submarine"}}
WAIT_S = 30


@pytest.fixture
def account(deployments: Deployments) -> Iterator[Callable[..., None]]:
    """Return a function that changes the account's quotas for one test."""

    def change(**quotas: int) -> None:
        deployments.cloud.hosting.quotas = replace(Quotas(), **quotas)

    yield change
    deployments.cloud.hosting.quotas = Quotas()


@pytest.fixture
def short_way_refused(deployments: Deployments) -> Iterator[None]:
    """Let the account refuse UpdateEndpointWeightsAndCapacities for one test."""
    deployments.cloud.hosting.rescaling = False
    yield
    deployments.cloud.hosting.rescaling = True


def ten(**more: Any) -> dict[str, Any]:
    """Return the settings of a deployment with the default concurrency, which is all that the account has."""
    return settings(max_concurrency=10, **more)


def concurrency(deployments: Deployments, endpoint: str) -> int:
    """Return an endpoint's concurrency."""
    found = deployments.cloud.clients.sagemaker.describe_endpoint(EndpointName=endpoint)
    return int(found["ProductionVariants"][0]["CurrentServerlessConfig"]["MaxConcurrency"])


def endpoint_of(ended: Execution) -> str:
    """Return the endpoint of a deployment."""
    return str(ended.results["plan_deployment"]["names"]["endpoint"])


def occupy(deployments: Deployments, made: Execution, name: str, max_concurrency: int) -> None:
    """Let somebody else have an endpoint, with the model of one of ours."""
    sagemaker = deployments.cloud.clients.sagemaker
    variant = {
        "VariantName": "AllTraffic",
        "ModelName": made.results["plan_deployment"]["names"]["model"],
        "ServerlessConfig": {"MemorySizeInMB": 1024, "MaxConcurrency": max_concurrency},
    }
    sagemaker.create_endpoint_config(EndpointConfigName=name, ProductionVariants=[variant])
    sagemaker.create_endpoint(EndpointName=name, EndpointConfigName=name)
    settle(deployments, name)


def settle(deployments: Deployments, name: str) -> None:
    """Wait until an endpoint is in service."""
    deadline = time.monotonic() + WAIT_S
    sagemaker = deployments.cloud.clients.sagemaker
    while sagemaker.describe_endpoint(EndpointName=name)["EndpointStatus"] != "InService":
        assert time.monotonic() < deadline
        time.sleep(0.05)


@contextmanager
def meanwhile(deployments: Deployments, operation: str, act: Callable[[], object]) -> Iterator[None]:
    """Let somebody act as soon as SageMaker has been asked for an operation, while the block deploys."""
    seen = len(deployments.calls("sagemaker"))

    def wait_and_act() -> None:
        deadline = time.monotonic() + WAIT_S
        while operation not in deployments.calls("sagemaker")[seen:]:
            assert time.monotonic() < deadline
            time.sleep(0.005)
        act()

    thread = threading.Thread(target=wait_and_act)
    thread.start()
    try:
        yield
    finally:
        thread.join()


def test_two_deployments_in_a_row_share_an_ordinary_account(deployments: Deployments, archive: Path) -> None:
    """Each asks for all ten; the first gives half while the second is tried, and all but one after the switch."""
    first = deployments.upload(archive, "twin", ten())
    assert first.status == "SUCCEEDED", first.cause
    assert concurrency(deployments, endpoint_of(first)) == 10

    second = deployments.upload(archive, "twin", ten())

    assert second.status == "SUCCEEDED", second.cause
    plan = second.results["plan_deployment"]
    assert plan["room"] == [{"endpoint": endpoint_of(first), "before": 10, "to": 5}]
    assert plan["max_concurrency"] == 5
    assert len(plan["steps"]) == 1
    assert concurrency(deployments, endpoint_of(first)) == 1
    assert concurrency(deployments, endpoint_of(second)) == 9
    assert second.results["restore_capacity"]["max_concurrency"] == 9
    assert deployments.consumer_variables()["ENDPOINT_NAME"] == endpoint_of(second)
    create = second.state("CreateEndpoint")
    assert create is not None
    assert create.errors == ()
    # Of both deployments together: a look at the account when planning, and one per step of giving back.
    assert deployments.calls("service-quotas").count("GetServiceQuota") <= 6


def test_a_third_deployment_works_too(deployments: Deployments, archive: Path) -> None:
    """The ones that nobody calls keep one each."""
    made = [deployments.upload(archive, "triplet", ten(keep_previous=2)) for _ in range(3)]

    assert [one.status for one in made] == ["SUCCEEDED"] * 3, made[-1].cause
    assert [concurrency(deployments, endpoint_of(one)) for one in made] == [1, 1, 8]


def test_the_same_deployment_again_takes_over_what_it_came_to(
    deployments: Deployments, archive: Path
) -> None:
    """The endpoint's name is made of what was requested, so a repetition finds it, whatever it was given."""
    deployments.upload(archive, "again", ten())
    second = deployments.upload(archive, "again", ten())
    archived = second.results["check_archive"]["archive"]
    document = {
        **ten(),
        "archive": {name: archived[name] for name in ("bucket", "key", "version_id")},
        "service": "again",
    }

    repeated = deployments.start(document)

    assert repeated.status == "SUCCEEDED", repeated.cause
    assert endpoint_of(repeated) == endpoint_of(second)
    assert repeated.results["create_endpoint"]["created"] is False
    assert concurrency(deployments, endpoint_of(second)) == 9
    assert len(deployments.resources()["endpoints"]) == 2


def test_a_deployment_is_not_undone_for_want_of_concurrency(deployments: Deployments, archive: Path) -> None:
    """RestoreCapacity is denied: the deployment is good all the same, and its output says what it has."""
    first = deployments.upload(archive, "content", ten())
    second = deployments.upload(archive, "content", ten())
    deployments.cloud.clients.sagemaker.delete_endpoint(EndpointName=endpoint_of(first))
    archived = second.results["check_archive"]["archive"]
    where = {name: archived[name] for name in ("bucket", "key", "version_id")}
    deployments.fail("sagemaker.UpdateEndpointWeightsAndCapacities=AccessDeniedException")

    repeated = deployments.start({**ten(), "archive": where, "service": "content"})

    assert repeated.status == "SUCCEEDED", repeated.cause
    assert repeated.state("CapacityNotRestored") is not None
    (step,) = repeated.results["restore_capacity"]["steps"]
    assert "the capacity was left as it is, for AccessDenied" in step
    assert concurrency(deployments, endpoint_of(second)) == 9


def test_a_failed_deployment_gives_back_what_was_lowered_for_it(
    deployments: Deployments, archive: Path
) -> None:
    """The previous endpoint serves exactly as before."""
    first = deployments.upload(archive, "lender", ten())

    second = deployments.upload(archive, "lender", ten(smoke_test=WRONG))

    assert second.error == "SmokeTestFailed"
    assert second.results["plan_deployment"]["room"]
    assert concurrency(deployments, endpoint_of(first)) == 10
    assert deployments.resources()["endpoints"] == [endpoint_of(first)]
    assert f"concurrency of {endpoint_of(first)}: 10 as before" in second.results["roll_back"]["restored"]
    assert "UpdateEndpointWeightsAndCapacities" in deployments.calls("sagemaker")


def test_a_failure_after_the_switch_gives_back_too(deployments: Deployments, archive: Path) -> None:
    """The consumer is put back first, then the new endpoint goes, then the old one has its ten again."""
    first = deployments.upload(archive, "regret", ten())
    consumer = {
        "function_name": CONSUMER,
        "test_event": {"prompt": PROMPT},
        "expect": {"contains": "submarine"},
    }

    second = deployments.upload(archive, "regret", ten(consumer=consumer))

    assert second.error == "ConsumerFailed"
    assert concurrency(deployments, endpoint_of(first)) == 10
    assert deployments.consumer_variables()["ENDPOINT_NAME"] == endpoint_of(first)


def test_where_aws_refuses_to_change_a_concurrency_the_endpoint_gets_another_configuration(
    deployments: Deployments, archive: Path, short_way_refused: None
) -> None:
    """Lowered, raised, put back after a failure and retired: all as where it takes it, and nothing is left."""
    del short_way_refused
    first = deployments.upload(archive, "long-way", ten())
    second = deployments.upload(archive, "long-way", ten())

    assert second.status == "SUCCEEDED", second.cause
    assert concurrency(deployments, endpoint_of(first)) == 1
    assert concurrency(deployments, endpoint_of(second)) == 9
    third = deployments.upload(archive, "long-way", ten(smoke_test=WRONG))

    assert third.error == "SmokeTestFailed"
    assert third.results["plan_deployment"]["room"]
    assert concurrency(deployments, endpoint_of(second)) == 9
    assert "NOT undone" not in str(third.cause)
    fourth = deployments.upload(archive, "long-way", ten(keep_previous=0))

    assert fourth.status == "SUCCEEDED", fourth.cause
    left = deployments.resources()
    assert left["endpoints"] == left["models"] == [endpoint_of(fourth)]
    assert {name.rsplit("-", 2)[0] for name in left["configs"] if name != endpoint_of(fourth)} <= {
        endpoint_of(fourth)
    }
    assert concurrency(deployments, endpoint_of(fourth)) == 10


def test_memory_over_the_quota_steps_down_where_the_model_fits(
    deployments: Deployments, archive: Path
) -> None:
    """The quota speaks at CreateEndpoint, and nothing waits; the first configuration is not left behind."""
    ended = deployments.upload(archive, "roomy", settings(memory_mb=4096))

    assert ended.status == "SUCCEEDED", ended.cause
    plan = ended.results["plan_deployment"]
    assert (plan["memory_mb"], plan["rungs"]) == (3072, ["memory"])
    assert "'Memory size in MB per serverless endpoint' is 3072" in plan["steps"][0]["said"]
    assert deployments.resources()["configs"] == [plan["names"]["endpoint_config"]]
    create = ended.state("CreateEndpoint")
    assert create is not None
    assert (create.visits, create.retries) == (2, 0)


def test_memory_that_no_quota_gives_fails_with_the_arithmetic(
    deployments: Deployments, archive: Path, account: Callable[..., None]
) -> None:
    """At once, by name, with the sum and with how to ask for more; nothing is left."""
    account(memory_mb=512)

    ended = deployments.upload(archive, "cramped", settings())

    assert (ended.status, ended.error) == ("FAILED", "QuotaTooSmall")
    for part in ("is 512 MB", "weights 1 MiB", "so 1024 MB", "support case"):
        assert part in str(ended.cause)
    create = ended.state("CreateEndpoint")
    assert create is not None
    assert create.retries == 0
    assert deployments.resources() == NOTHING


def test_concurrency_over_the_whole_quota_steps_down_at_once(deployments: Deployments, archive: Path) -> None:
    """Service Quotas could not be read, so AWS is asked, and its figures are the truth."""
    deployments.fail("service-quotas.GetServiceQuota=AccessDeniedException")

    ended = deployments.upload(archive, "greedy", settings(max_concurrency=50))

    assert ended.status == "SUCCEEDED", ended.cause
    assert ended.results["plan_deployment"]["rungs"] == ["limit"]
    assert concurrency(deployments, endpoint_of(ended)) == 10


def test_concurrency_is_cut_before_anything_is_made_when_the_quota_is_known(
    deployments: Deployments, archive: Path
) -> None:
    """Not one refusal."""
    ended = deployments.upload(archive, "modest", settings(max_concurrency=50))

    assert ended.status == "SUCCEEDED", ended.cause
    assert concurrency(deployments, endpoint_of(ended)) == 10
    assert ended.results["plan_deployment"]["rungs"] == []
    assert "as Service Quotas says" in ended.results["plan_deployment"]["steps"][0]["said"]
    assert deployments.calls("sagemaker").count("CreateEndpoint") == 1


def test_a_quota_that_frees_while_it_is_waited_for(deployments: Deployments, archive: Path) -> None:
    """Somebody else's endpoint holds everything, and goes away."""
    other = deployments.upload(archive, "other", settings(consumer=None))
    sagemaker = deployments.cloud.clients.sagemaker
    occupy(deployments, other, "somebodys", 9)

    def leave() -> None:
        sagemaker.delete_endpoint(EndpointName="somebodys")

    with meanwhile(deployments, "CreateEndpoint", leave):
        ended = deployments.upload(archive, "patient", settings(max_concurrency=9))

    assert ended.status == "SUCCEEDED", ended.cause
    create = ended.state("CreateEndpoint")
    assert create is not None
    assert create.retries > 0
    assert ended.results["plan_deployment"]["rungs"] == []
    assert concurrency(deployments, endpoint_of(ended)) == 9


def test_what_is_taken_after_the_plan_was_made_is_waited_for_and_then_made_room_for(
    deployments: Deployments, archive: Path
) -> None:
    """Busy: the retries first, then a share of what the service's own endpoint holds; the consumer keeps its part."""
    first = deployments.upload(archive, "late", settings(max_concurrency=5))

    with meanwhile(deployments, "CreateModel", lambda: occupy(deployments, first, "quicker", 5)):
        ended = deployments.upload(archive, "late", settings(max_concurrency=5, timeout_s=59, memory_mb=2048))

    assert ended.status == "SUCCEEDED", ended.cause
    create = ended.state("CreateEndpoint")
    assert create is not None
    assert create.retries == len(create.errors) - 1 > 0
    plan = ended.results["plan_deployment"]
    assert plan["rungs"] == ["room"]
    assert plan["room"] == [{"endpoint": endpoint_of(first), "before": 5, "to": 3}]
    assert (concurrency(deployments, endpoint_of(first)), concurrency(deployments, "quicker")) == (1, 5)
    assert concurrency(deployments, endpoint_of(ended)) == 4


def test_nobody_elses_endpoint_gives_room(deployments: Deployments, archive: Path) -> None:
    """Not another service's, nor one that is only named like ours: it begins with what is free."""
    other = deployments.upload(archive, "other", settings(consumer=None))
    occupy(deployments, other, "guest-0", 6)

    ended = deployments.upload(archive, "guest", ten())

    assert ended.status == "SUCCEEDED", ended.cause
    assert concurrency(deployments, "guest-0") == 6
    assert concurrency(deployments, endpoint_of(other)) == 1
    assert concurrency(deployments, endpoint_of(ended)) == 3


def test_the_endpoint_quota_is_named(
    deployments: Deployments, archive: Path, account: Callable[..., None]
) -> None:
    """All endpoints are taken: the failure says which quota, by whom, and the ways out."""
    account(endpoints=1)
    first = deployments.upload(archive, "only", settings())

    second = deployments.upload(archive, "only", settings())

    assert (second.status, second.error) == ("FAILED", "ResourceLimitExceeded")
    for part in (
        "'Maximum number of serverless endpoints' is 1",
        endpoint_of(first),
        "in_place",
        "support case",
    ):
        assert part in str(second.cause)
    assert deployments.resources()["endpoints"] == [endpoint_of(first)]


# ------------------------------------------------------------------------ in place


def test_in_place_keeps_one_endpoint_name(deployments: Deployments, archive: Path) -> None:
    """The first creates it, the second updates it; the whole quota is used by both."""
    first = deployments.upload(archive, "stable", ten(strategy="in_place"))

    second = deployments.upload(archive, "stable", ten(strategy="in_place"))

    assert [first.status, second.status] == ["SUCCEEDED"] * 2, second.cause
    assert endpoint_of(first) == endpoint_of(second) == "stable"
    assert second.state("CreateEndpoint") is None
    sagemaker = deployments.cloud.clients.sagemaker
    found = sagemaker.describe_endpoint(EndpointName="stable")
    assert found["EndpointConfigName"] == second.results["plan_deployment"]["names"]["endpoint_config"]
    assert found["EndpointConfigName"] != first.results["plan_deployment"]["names"]["endpoint_config"]
    assert concurrency(deployments, "stable") == 10
    assert deployments.consumer_variables()["ENDPOINT_NAME"] == "stable"


def test_in_place_updates_what_the_consumer_calls(deployments: Deployments, archive: Path) -> None:
    """A service that had an endpoint per deployment goes on with the one in use."""
    first = deployments.upload(archive, "moved", ten())

    second = deployments.upload(archive, "moved", ten(strategy="in_place"))

    assert second.status == "SUCCEEDED", second.cause
    assert endpoint_of(second) == endpoint_of(first)
    assert deployments.resources()["endpoints"] == [endpoint_of(first)]


def test_an_update_that_does_not_come_up_restores(
    deployments: Deployments, archive: Path, with_code: Callable[[str], Path]
) -> None:
    """InService on the old configuration is a failure, and the old one serves on."""
    first = deployments.upload(archive, "brittle", ten(strategy="in_place"))
    broken = with_code("import os\nos._exit(3)\n")

    second = deployments.upload(broken, "brittle", ten(strategy="in_place", code="archive"))

    assert (second.status, second.error) == ("FAILED", "EndpointFailed")
    assert_as_after(deployments, first)


def test_an_update_that_answers_wrongly_is_taken_back(deployments: Deployments, archive: Path) -> None:
    """The new configuration was in service: the old one is put back, and answers."""
    first = deployments.upload(archive, "mistaken", ten(strategy="in_place"))

    second = deployments.upload(archive, "mistaken", ten(strategy="in_place", smoke_test=WRONG))

    assert (second.status, second.error) == ("FAILED", "SmokeTestFailed")
    assert_as_after(deployments, first)
    assert deployments.calls("sagemaker").count("UpdateEndpoint") == 2


def assert_as_after(deployments: Deployments, first: Execution) -> None:
    """Hold that everything is as the first deployment left it, and that it answers."""
    names = first.results["plan_deployment"]["names"]
    found = deployments.cloud.clients.sagemaker.describe_endpoint(EndpointName=names["endpoint"])
    assert (found["EndpointStatus"], found["EndpointConfigName"]) == ("InService", names["endpoint_config"])
    assert concurrency(deployments, names["endpoint"]) == 10
    assert deployments.resources() == {
        "endpoints": [names["endpoint"]],
        "configs": [names["endpoint_config"]],
        "models": [names["model"]],
    }
    answer = deployments.cloud.clients.sagemaker_runtime.invoke_endpoint(
        EndpointName=names["endpoint"],
        ContentType="application/json",
        Body=b'{"messages": [{"role": "user", "content": "%s"}], "temperature": 0}' % PROMPT.encode(),
    )
    assert EXPECT["contains"] in answer["Body"].read().decode().lower()


# ------------------------------------------------------------------ Service Quotas


def test_the_account_tells_its_concurrency_and_nothing_else(
    deployments: Deployments, account: Callable[..., None]
) -> None:
    """As in AWS: the memory quota has no code, and a quota that was raised is told as raised."""
    client = deployments.cloud.clients.service_quotas
    before = client.get_service_quota(ServiceCode="sagemaker", QuotaCode="L-96300102")["Quota"]
    account(total_concurrency=25)
    after = client.get_service_quota(ServiceCode="sagemaker", QuotaCode="L-96300102")["Quota"]

    assert (before["Value"], after["Value"]) == (10.0, 25.0)
    with pytest.raises(ClientError, match="NoSuchResourceException"):
        client.get_service_quota(ServiceCode="sagemaker", QuotaCode="L-00000000")


@pytest.mark.parametrize("rescaling", [True, False], ids=["short way", "long way"])
def test_what_is_kept_started_survives_a_deployment_on_a_full_account(
    deployments: Deployments, archive: Path, *, rescaling: bool
) -> None:
    """The older one gives what is not provisioned, and is gone at the end; the new one has all of both."""
    deployments.cloud.hosting.rescaling = rescaling
    try:
        first = deployments.upload(archive, "warm", ten(provisioned_concurrency=4))
        assert first.status == "SUCCEEDED", first.cause
        second = deployments.upload(archive, "warm", ten(provisioned_concurrency=8, inference={"n_ctx": 256}))
    finally:
        deployments.cloud.hosting.rescaling = True

    assert second.status == "SUCCEEDED", second.cause
    begun = second.results["plan_deployment"]
    assert begun["max_concurrency"] == 5
    (variant,) = begun["requests"]["create_endpoint_config"]["ProductionVariants"]
    assert variant["ServerlessConfig"]["ProvisionedConcurrency"] == 5
    old, new = endpoint_of(first), endpoint_of(second)
    assert old in second.results["retire_previous"]["retired"]
    found: Any = deployments.cloud.clients.sagemaker.describe_endpoint(EndpointName=new)
    sizes = found["ProductionVariants"][0]["CurrentServerlessConfig"]
    assert (sizes["MaxConcurrency"], sizes["ProvisionedConcurrency"]) == (10, 8)
