"""MakeRoom, StepDown, UpdateEndpoint, RestoreCapacity, and RollBack's part of it: call by call."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from botocore.exceptions import ClientError

from pipeline import error_codec
from pipeline.aws import service_errors
from pipeline.errors import (
    AccessDenied,
    EndpointBusy,
    EndpointMoved,
    ErrorFields,
    NameConflict,
    QuotaTooSmall,
    QuotaUsedUp,
    ResourceLimitExceeded,
    Superseded,
)
from pipeline.quota_refusal import Quota, QuotaRefusal
from tests.functional.tasks.conftest import serverless
from tests.plans import a_consumer, a_plan, on_instances

if TYPE_CHECKING:
    from tests.functional.tasks.conftest import Script, Task

SERVICE = "harbour"
EXECUTION = "arn:aws:states:us-east-1:123456789012:execution:sealift-deployment:harbour-0123"
ROOM = [{"endpoint": "harbour-1", "before": 10, "to": 5}]
TOTAL = "Maximum total concurrency that can be allocated across all serverless endpoints"
BUSY = (
    f"The account-level service limit '{TOTAL}' is 10, with current utilization of {{used}} and a request delta of "
    "{delta}. Please use AWS Service Quotas to request an increase for this quota."
)
PLAN: dict[str, Any] = a_plan(
    execution=EXECUTION,
    names={"model": "harbour-2", "endpoint_config": "harbour-2", "endpoint": "harbour-2"},
    serving="harbour-1",
    consumers=[a_consumer()],
)


def ours(name: str, concurrency: int, status: str = "InService", **more: Any) -> dict[str, Any]:
    """Return an endpoint of the service."""
    return serverless(name, concurrency, service=SERVICE, status=status, **more)


def scaled(script: Script, name: str, to: int, **provisioned: int) -> Script:
    """Let the next call change an endpoint's concurrency."""
    change = {"VariantName": "AllTraffic", "ServerlessUpdateConfig": {"MaxConcurrency": to, **provisioned}}
    return script.answers(
        "sagemaker",
        "update_endpoint_weights_and_capacities",
        {"EndpointArn": "arn:aws:sagemaker:us-east-1:123456789012:endpoint/x"},
        {"EndpointName": name, "DesiredWeightsAndCapacities": [change]},
    )


def refused(error: str, used: int, delta: int) -> dict[str, str]:
    """Return a quota's refusal as a Catch has it."""
    response = {"Error": {"Code": "ResourceLimitExceeded", "Message": BUSY.format(used=used, delta=delta)}}
    raised = service_errors.over_quota(
        ClientError(response, "CreateEndpoint"), adapts=error == QuotaUsedUp.__name__
    )
    assert type(raised).__name__ == error
    return caught(error, error_codec.encode(raised))


def caught(error: str, message: str) -> dict[str, str]:
    """Return an error of a Lambda as a Catch has it."""
    return {"Error": error, "Cause": json.dumps({"errorType": error, "errorMessage": message})}


# ----------------------------------------------------------------------- MakeRoom


def test_without_anything_to_lower_nobody_is_asked(do: Task, script: Script) -> None:
    """Most deployments have room."""
    assert do("MakeRoom", script.clients, room=[], service=SERVICE) == {"lowered": []}


def test_room_is_made_once_and_waited_for(do: Task, script: Script) -> None:
    """Three runs: asked for, in progress, done."""
    scaled(script.endpoint(ours("harbour-1", 10)), "harbour-1", 5)
    with pytest.raises(EndpointBusy, match="'harbour-1' goes from a concurrency of 10 to 5"):
        do("MakeRoom", script.clients, room=ROOM, service=SERVICE)
    script.endpoint(ours("harbour-1", 10, "Updating"))
    with pytest.raises(EndpointBusy, match="'harbour-1' is Updating") as busy:
        do("MakeRoom", script.clients, room=ROOM, service=SERVICE)
    assert busy.value.waiting == str(busy.value)
    script.endpoint(ours("harbour-1", 5))

    result = do("MakeRoom", script.clients, room=ROOM, service=SERVICE)

    assert result == {"lowered": ["lower harbour-1 from 10 to 5"]}


def test_one_that_is_gone_has_made_room(do: Task, script: Script) -> None:
    """Retired meanwhile."""
    script.missing("describe_endpoint")

    assert do("MakeRoom", script.clients, room=ROOM, service=SERVICE)["lowered"]


def test_one_that_is_lower_already_is_left(do: Task, script: Script) -> None:
    """Raising it would be no room."""
    script.endpoint(ours("harbour-1", 3))

    assert do("MakeRoom", script.clients, room=ROOM, service=SERVICE)["lowered"]


@pytest.mark.parametrize("service", ["other", "harbou"])
def test_an_endpoint_of_somebody_else_is_never_lowered(do: Task, script: Script, service: str) -> None:
    """The name is not enough; the tags must say it."""
    script.endpoint(serverless("harbour-1", 10, service=service))

    with pytest.raises(NameConflict, match="does not bear Sealift's tags of service 'harbour'"):
        do("MakeRoom", script.clients, room=ROOM, service=SERVICE)


def test_an_update_that_began_this_moment_is_waited_for(do: Task, script: Script) -> None:
    """Between the look and the call somebody else was quicker."""
    script.endpoint(ours("harbour-1", 10))
    script.refuses(
        "sagemaker",
        "update_endpoint_weights_and_capacities",
        "ValidationException",
        'Cannot update in-progress endpoint "arn:aws:sagemaker:x".',
    )

    with pytest.raises(EndpointBusy):
        do("MakeRoom", script.clients, room=ROOM, service=SERVICE)


# ----------------------------------------------------------------------- StepDown


def config(script: Script, made_by: str) -> Script:
    """Let the abandoned configuration be there."""
    arn = "arn:aws:sagemaker:us-east-1:123456789012:endpoint-config/harbour-2"
    answer = {
        "EndpointConfigName": "harbour-2",
        "EndpointConfigArn": arn,
        "ProductionVariants": [{"VariantName": "AllTraffic"}],
        "CreationTime": ours("x", 1)["CreationTime"],
    }
    script.answers("sagemaker", "describe_endpoint_config", answer)
    return script.tags(made_by)


def test_room_comes_before_less(do: Task, script: Script) -> None:
    """The plan has another configuration, and says who is lowered; the first configuration is deleted."""
    script.account(ours("harbour-1", 10))
    config(script, EXECUTION).answers("sagemaker", "delete_endpoint_config", {})

    made = do("StepDown", script.clients, plan=PLAN, refusal=refused("ResourceLimitExceeded", 10, 10))

    assert made["room"] == ROOM
    assert made["names"] == {**PLAN["names"], "endpoint_config": "harbour-2-1024-5"}
    request = made["requests"]["create_endpoint_config"]
    assert request["EndpointConfigName"] == "harbour-2-1024-5"
    assert request["ProductionVariants"][0]["ServerlessConfig"]["MaxConcurrency"] == 5
    assert made["requests"]["create_endpoint"]["EndpointName"] == "harbour-2"
    assert made["rungs"] == ["room"]
    assert made["asked"] == PLAN["asked"]


def test_a_refusal_is_not_read_out_of_its_text_again(do: Task, script: Script) -> None:
    """The error has its figures; those of the text are for people. One of an earlier release has its text alone."""
    script.account(serverless("x", 7)).missing("describe_endpoint_config", "endpoint configuration")
    script.account(serverless("x", 7)).missing("describe_endpoint_config", "endpoint configuration")
    told = BUSY.format(used=7, delta=10)
    read = QuotaRefusal("", Quota.CONCURRENCY, "Total", limit=10, used=8, delta=10)
    fields, plain = (
        error_codec.encode(ResourceLimitExceeded(told, **more)) for more in (ErrorFields(refusal=read), {})
    )

    for message, free in ((fields, 2), (plain, 3)):
        refusal = caught("ResourceLimitExceeded", message)
        assert do("StepDown", script.clients, plan=PLAN, refusal=refusal)["max_concurrency"] == free


def test_the_end_of_the_ladder_carries_what_to_do(do: Task, script: Script) -> None:
    """What Diagnose and the command line tell, whichever class it is."""
    script.account(serverless("x", 10)).endpoint(serverless("x", 10, service="other"))
    with pytest.raises(ResourceLimitExceeded) as refusal:
        do("StepDown", script.clients, plan=PLAN, refusal=refused("ResourceLimitExceeded", 10, 10))

    given = refusal.value.given
    assert given["cause"] == "ConcurrencyQuota"
    assert given["fix"].startswith("make room, by one of: x (service 'other') holds 10: ")
    assert str(refusal.value) == f"service harbour: {given['why']}; {given['fix']}"


def test_a_configuration_that_is_gone_or_anothers_does_not_matter(do: Task, script: Script) -> None:
    """A second run finds its own work done; another execution's configuration stays."""
    script.account(serverless("x", 7))
    script.missing("describe_endpoint_config", "endpoint configuration")
    event = {"plan": PLAN, "refusal": refused("ResourceLimitExceeded", 7, 10)}
    first = do("StepDown", script.clients, **event)
    script.account(serverless("x", 7))
    config(script, "somebody")

    assert do("StepDown", script.clients, **event) == first
    assert first["max_concurrency"] == 3


def test_the_end_of_the_ladder_has_the_name_of_its_kind(do: Task, script: Script) -> None:
    """In use: ResourceLimitExceeded; too small: QuotaTooSmall; not waited for: QuotaUsedUp. All say who holds what."""
    script.account(serverless("x", 10)).endpoint(serverless("x", 10, service="other"))
    with pytest.raises(ResourceLimitExceeded, match=r"x 10.*x \(service 'other'\) holds 10.*L-96300102"):
        do("StepDown", script.clients, plan=PLAN, refusal=refused("ResourceLimitExceeded", 10, 10))

    script.account(serverless("x", 10)).missing("describe_endpoint")
    spent = {**PLAN, "rungs": ["limit"]}
    with pytest.raises(QuotaTooSmall, match="L-96300102"):
        do("StepDown", script.clients, plan=spent, refusal=refused("QuotaTooSmall", 10, 11))

    script.account(serverless("x", 10))
    script.refuses("sagemaker", "describe_endpoint", "AccessDeniedException", status=403)
    with pytest.raises(QuotaUsedUp, match="x holds 10"):
        do("StepDown", script.clients, plan=UNASKED, refusal=refused("QuotaUsedUp", 10, 3))


UNASKED = {**PLAN, "max_concurrency": 3, "asked": {"memory_mb": 1024, "max_concurrency": None}}


def test_what_asks_for_none_is_given_what_is_left(do: Task, script: Script) -> None:
    """At once, and its configuration is named after it."""
    script.account(serverless("x", 9)).missing("describe_endpoint_config", "endpoint configuration")

    made = do("StepDown", script.clients, plan=UNASKED, refusal=refused("QuotaUsedUp", 9, 3))

    assert (made["max_concurrency"], made["rungs"]) == (1, ["free"])
    assert made["names"]["endpoint_config"] == "harbour-2-1024-1"


@pytest.mark.parametrize(
    ("asked", "error"),
    [
        pytest.param(UNASKED["asked"], QuotaUsedUp, id="none asked for"),
        pytest.param(PLAN["asked"], ResourceLimitExceeded, id="ten asked for"),
        pytest.param(None, ResourceLimitExceeded, id="instances"),
    ],
)
def test_a_refusal_of_what_asks_for_none_is_not_waited_with(
    do: Task, script: Script, asked: Any, error: type[Exception]
) -> None:
    """The state machine sees it by the class, and AWS's figures are in it for StepDown to read."""
    told = BUSY.format(used=9, delta=3)
    script.refuses("sagemaker", "create_endpoint", "ResourceLimitExceeded", told).missing("describe_endpoint")
    request = {"EndpointName": "harbour-2", "EndpointConfigName": "harbour-2-1024-3", "Tags": []}

    with pytest.raises(error) as refusal:
        do("CreateEndpoint", script.clients, request=request, asked=asked, deadline_s=90)

    assert type(refusal.value) is error
    assert told in str(refusal.value)
    serves(script, ours("harbour", 3, config="harbour-1"), "2026-01-02T03:04:04Z")
    script.refuses("sagemaker", "update_endpoint", "ResourceLimitExceeded", told)
    with pytest.raises(error):
        update(do, script, asked=asked)


# ----------------------------------------------------------------- UpdateEndpoint


REQUEST = {"EndpointName": "harbour", "EndpointConfigName": "harbour-2"}


def update(do: Task, script: Script, *, asked: Any = None, **more: Any) -> dict[str, Any]:
    """Run the task."""
    return do(
        "UpdateEndpoint",
        script.clients,
        request={**REQUEST, **more},
        updates={"endpoint_config": "harbour-1", "max_concurrency": 10},
        service=SERVICE,
        execution="arn:mine",
        uploaded_at="2026-01-02T03:04:05Z",
        asked=asked,
        deadline_s=90,
    )


def serves(
    script: Script, found: dict[str, Any], uploaded_at: str, *, then: str | None = "harbour-1"
) -> None:
    """Let the endpoint be there, and have a good deployment of an upload in service; then look at it once more."""
    script.endpoint(found).endpoint({**found, "service": None})
    arn = "arn:aws:sagemaker:us-east-1:123456789012:endpoint-config/harbour-1"
    config = {
        "EndpointConfigName": "harbour-1",
        "EndpointConfigArn": arn,
        "ProductionVariants": [{"VariantName": "AllTraffic", "ModelName": "harbour-1"}],
        "CreationTime": found["CreationTime"],
    }
    script.answers("sagemaker", "describe_endpoint_config", config, {"EndpointConfigName": "harbour-1"})
    tags = {
        "sealift:service": SERVICE,
        "sealift:execution": "arn:theirs",
        "sealift:uploaded-at": uploaded_at,
        "sealift:deployed-at": uploaded_at,
    }
    listed = [{"Key": key, "Value": value} for key, value in tags.items()]
    script.answers("sagemaker", "list_tags", {"Tags": listed}, {"ResourceArn": arn})
    if then is not None:
        script.endpoint({**found, "service": None, "EndpointConfigName": then})


def test_an_endpoint_that_was_put_back_meanwhile_is_planned_anew(do: Task, script: Script) -> None:
    """The plan was to put back what another deployment tried; that one undid it while its end was waited for."""
    serves(script, ours("harbour", 10, config="harbour-1"), "2026-01-02T03:04:04Z", then="harbour-0")

    with pytest.raises(EndpointMoved, match="on configuration 'harbour-0'; wanted 'harbour-1'"):
        update(do, script)


def test_an_endpoint_that_is_being_put_back_is_waited_for(do: Task, script: Script) -> None:
    """The deployment that undoes it began after the first look."""
    there = ours("harbour", 10, config="harbour-1")
    serves(script, there, "2026-01-02T03:04:04Z", then=None)
    script.endpoint({**there, "service": None, "EndpointStatus": "Updating"})

    with pytest.raises(EndpointBusy, match="'harbour' is Updating") as busy:
        update(do, script)
    assert busy.value.waiting == "endpoint 'harbour' is Updating"


def test_an_endpoint_that_went_meanwhile_is_planned_without(do: Task, script: Script) -> None:
    """Another deployment had made it, and undid that."""
    script.missing("describe_endpoint")

    with pytest.raises(EndpointMoved, match="endpoint 'harbour' is gone"):
        update(do, script)


@pytest.mark.parametrize("at", ["list_tags", "update_endpoint"])
def test_an_endpoint_that_goes_in_the_middle_is_planned_without(do: Task, script: Script, at: str) -> None:
    """Between any two calls, as well as before the first."""
    if at == "list_tags":
        there = ours("harbour", 10, config="harbour-1")
        script.endpoint({**there, "service": None})
    else:
        serves(script, ours("harbour", 10, config="harbour-1"), "2026-01-02T03:04:04Z")
    script.missing(at)

    with pytest.raises(EndpointMoved, match="endpoint 'harbour' is gone"):
        update(do, script)


def test_an_endpoint_is_updated_with_a_deadline(do: Task, script: Script) -> None:
    """Counted from the update, not from the endpoint's creation long ago."""
    serves(script, ours("harbour", 10, config="harbour-1"), "2026-01-02T03:04:04Z")
    script.answers("sagemaker", "update_endpoint", {"EndpointArn": "a" * 20}, REQUEST)
    after = {**ours("harbour", 10, "Updating", config="harbour-1", created=30), "service": None}
    script.endpoint(after)

    result = update(do, script)

    assert result == {
        "name": "harbour",
        "arn": after["EndpointArn"],
        "created": False,
        "deadline_at": "2026-01-02T03:06:00.000Z",
    }


@pytest.mark.parametrize(
    "there", [pytest.param(["sealift-harbour-5xx"], id="one of two"), pytest.param([], id="none")]
)
def test_an_update_is_watched_by_the_alarms_that_exist(do: Task, script: Script, there: list[str]) -> None:
    """The deployment before made them; one that is not there could never ring."""
    policy = {"TrafficRoutingConfiguration": {"Type": "ALL_AT_ONCE", "WaitIntervalInSeconds": 60}}
    wanted = [{"AlarmName": f"sealift-harbour-{suffix}"} for suffix in ("5xx", "disk")]
    config = {"BlueGreenUpdatePolicy": policy, "AutoRollbackConfiguration": {"Alarms": wanted}}
    for name in there:
        script.cloudwatch.alarms[name] = {"AlarmName": name}
    serves(script, ours("harbour", 10, config="harbour-1"), "2026-01-02T03:04:04Z")
    kept = {"AutoRollbackConfiguration": {"Alarms": [{"AlarmName": name} for name in there]}} if there else {}
    sent = {**REQUEST, "DeploymentConfig": {"BlueGreenUpdatePolicy": policy, **kept}}
    script.answers("sagemaker", "update_endpoint", {"EndpointArn": "a" * 20}, sent)
    script.endpoint({**ours("harbour", 10, "Updating", config="harbour-1"), "service": None})

    assert update(do, script, DeploymentConfig=config)["created"] is False
    assert script.cloudwatch.types == {"MetricAlarm"}


@pytest.mark.parametrize(
    "found",
    [
        pytest.param(ours("harbour", 10, config="harbour-2"), id="done"),
        pytest.param(
            {
                **ours("harbour", 10, "Updating", config="harbour-1"),
                "PendingDeploymentSummary": {"EndpointConfigName": "harbour-2"},
            },
            id="in progress",
        ),
    ],
)
def test_a_repetition_finds_its_own_update(do: Task, script: Script, found: dict[str, Any]) -> None:
    """The first answer was lost; nothing is asked for twice."""
    script.endpoint(found)

    assert update(do, script)["name"] == "harbour"


def test_an_endpoint_that_serves_a_newer_upload_is_not_updated(do: Task, script: Script) -> None:
    """In place, the update is the switch: an older upload is superseded before it."""
    serves(script, ours("harbour", 10, config="harbour-1"), "2026-01-02T03:04:06Z", then=None)

    with pytest.raises(Superseded, match="which is newer than this one of 2026-01-02T03:04:05Z"):
        update(do, script)


def test_an_update_of_somebody_else_is_waited_for(do: Task, script: Script) -> None:
    """AWS refuses a second one."""
    script.endpoint(ours("harbour", 10, "Updating", config="harbour-1"))

    with pytest.raises(EndpointBusy, match="'harbour' is Updating"):
        update(do, script)


def test_an_endpoint_of_somebody_else_is_never_updated(do: Task, script: Script) -> None:
    """Whatever its name."""
    script.endpoint(serverless("harbour", 10, service="other"))

    with pytest.raises(NameConflict, match="does not bear Sealift's tags"):
        update(do, script)


# ---------------------------------------------------------------- RestoreCapacity


def test_the_new_endpoint_gets_what_the_old_one_needs_no_more(do: Task, script: Script) -> None:
    """Lowered, in progress, raised, in progress, done: five runs of one task."""
    plan = {**PLAN, "max_concurrency": 5}
    scaled(
        script.account(ours("harbour-1", 5), ours("harbour-2", 5)).endpoint(ours("harbour-1", 5)),
        "harbour-1",
        1,
    )
    script.account(ours("harbour-1", 5, "Updating"), ours("harbour-2", 5))
    scaled(
        script.account(ours("harbour-1", 1), ours("harbour-2", 5)).endpoint(ours("harbour-2", 5)),
        "harbour-2",
        9,
    )
    script.account(ours("harbour-1", 1), ours("harbour-2", 9, "Updating"))
    script.account(ours("harbour-1", 1), ours("harbour-2", 9))

    for _ in range(4):
        with pytest.raises(EndpointBusy):
            do("RestoreCapacity", script.clients, plan=plan, running={})
    result = do("RestoreCapacity", script.clients, plan=plan, running={})

    said = "began with 5 and has 9 of the 10 concurrent invocations asked for; others: harbour-1 1"
    told = "9 concurrent invocations, of 10 that were requested"
    assert result == {"max_concurrency": 9, "steps": [said], "told": told}


def test_nothing_is_done_where_nothing_was_lowered(do: Task, script: Script) -> None:
    """The ordinary case: one look at the endpoint itself."""
    script.endpoint(ours("harbour-2", 10))

    result = do("RestoreCapacity", script.clients, plan=PLAN, running={})

    told = "10 concurrent invocations, as requested"
    assert result == {"max_concurrency": 10, "steps": [], "told": told}


def test_an_endpoint_that_was_taken_over_with_less_gets_more(do: Task, script: Script) -> None:
    """An earlier run of the same deployment came to nine; one is free now."""
    script.endpoint(ours("harbour-2", 9))
    scaled(script.account(ours("harbour-2", 9)).endpoint(ours("harbour-2", 9)), "harbour-2", 10)

    with pytest.raises(EndpointBusy, match="from a concurrency of 9 to 10"):
        do("RestoreCapacity", script.clients, plan=PLAN, running={})


@pytest.mark.parametrize(("provisioned", "to", "now"), [(4, 10, 4), (12, 9, 9)])
def test_what_is_provisioned_is_given_back_with_the_rest(
    do: Task, script: Script, provisioned: int, to: int, now: int
) -> None:
    """Of the new endpoint alone, and no more than it has at once."""
    plan = {
        **PLAN,
        "max_concurrency": 5,
        "asked": {"memory_mb": 1024, "max_concurrency": 10, "provisioned": provisioned},
    }
    others = [] if to == 10 else [ours("harbour-1", 1)]
    if others:
        script.account(ours("harbour-1", 5), ours("harbour-2", 5)).endpoint(ours("harbour-1", 5))
        scaled(script, "harbour-1", 1)
        with pytest.raises(EndpointBusy, match="from a concurrency of 5 to 1"):
            do("RestoreCapacity", script.clients, plan=plan, running={})
    script.account(*others, ours("harbour-2", 5)).endpoint(ours("harbour-2", 5))
    scaled(script, "harbour-2", to, ProvisionedConcurrency=now)

    with pytest.raises(EndpointBusy, match=f"from a concurrency of 5 to {to}"):
        do("RestoreCapacity", script.clients, plan=plan, running={})


def test_an_unread_quota_is_told_by_the_refusal(do: Task, script: Script) -> None:
    """AWS's figure is the truth: here it leaves four."""
    plan = {**PLAN, "max_concurrency": 5}
    script.account(ours("harbour-1", 1), ours("harbour-2", 5), quota=None).endpoint(ours("harbour-2", 5))
    script.refuses(
        "sagemaker",
        "update_endpoint_weights_and_capacities",
        "ResourceLimitExceeded",
        BUSY.format(used=6, delta=5),
    )
    scaled(script.endpoint(ours("harbour-2", 5)), "harbour-2", 9)

    with pytest.raises(EndpointBusy, match="goes from a concurrency of 5 to 9"):
        do("RestoreCapacity", script.clients, plan=plan, running={})


def test_any_other_refusal_is_told(do: Task, script: Script) -> None:
    """The state machine says so, and does not undo the deployment."""
    plan = {**PLAN, "max_concurrency": 5}
    script.account(ours("harbour-2", 5)).endpoint(ours("harbour-2", 5))
    script.refuses("sagemaker", "update_endpoint_weights_and_capacities", "AccessDeniedException", "no")

    with pytest.raises(AccessDenied):
        do("RestoreCapacity", script.clients, plan=plan, running={})


def test_what_asks_for_none_gets_its_share_and_leaves_the_older_ones_one_each(
    do: Task, script: Script
) -> None:
    """The older one is lowered though the new one needs nothing of it: the next service does."""
    scaled(
        script.account(ours("harbour-1", 3), ours("harbour-2", 1)).endpoint(ours("harbour-1", 3)),
        "harbour-1",
        1,
    )
    scaled(
        script.account(ours("harbour-1", 1), ours("harbour-2", 1)).endpoint(ours("harbour-2", 1)),
        "harbour-2",
        3,
    )
    script.account(ours("harbour-1", 1), ours("harbour-2", 3))

    plan = {**UNASKED, "max_concurrency": 1}
    for _ in range(2):
        with pytest.raises(EndpointBusy):
            do("RestoreCapacity", script.clients, plan=plan, running={})
    result = do("RestoreCapacity", script.clients, plan=plan, running={})

    assert result["max_concurrency"] == 3
    assert result["told"] == "3 of the account's 10 concurrent invocations, its share as none were requested"
    assert result["steps"] == [
        "began with 1 and has 3 of its share of 3 concurrent invocations; others: harbour-1 1"
    ]


def test_an_unread_quota_makes_the_share_of_what_aws_says(do: Task, script: Script) -> None:
    """Assumed to be ten it was three; it is two, and so one."""
    plan = {**UNASKED, "max_concurrency": 1}
    script.account(ours("harbour-2", 1), quota=None).endpoint(ours("harbour-2", 1))
    told = f"The account-level service limit '{TOTAL}' is 2, with current utilization of 1 and a request delta of 2."
    script.refuses("sagemaker", "update_endpoint_weights_and_capacities", "ResourceLimitExceeded", told)

    result = do("RestoreCapacity", script.clients, plan=plan, running={})

    assert result["max_concurrency"] == 1


SCALES = {"min": 2, "max": 4, "invocations_per_instance": 70}
ON_INSTANCES: dict[str, Any] = {
    **PLAN,
    "memory_mb": None,
    "max_concurrency": None,
    "asked": None,
    "instances": on_instances(auto_scaling=SCALES),
}
TARGET = {
    "ServiceNamespace": "sagemaker",
    "ResourceId": "endpoint/harbour-2/variant/AllTraffic",
    "ScalableDimension": "sagemaker:variant:DesiredInstanceCount",
}
POLICY = {
    **TARGET,
    "PolicyName": "sealift",
    "PolicyType": "TargetTrackingScaling",
    "TargetTrackingScalingPolicyConfiguration": {
        "TargetValue": 70.0,
        "PredefinedMetricSpecification": {"PredefinedMetricType": "SageMakerVariantInvocationsPerInstance"},
    },
}


def registered(script: Script, least: int) -> Script:
    """Let the next calls set up auto scaling."""
    bounds = {**TARGET, "MinCapacity": least, "MaxCapacity": 4}
    script.answers("autoscaling", "register_scalable_target", {}, bounds)
    return script.answers("autoscaling", "put_scaling_policy", {"PolicyARN": "arn:policy"}, POLICY)


def test_instances_are_scaled_where_that_is_asked_for(do: Task, script: Script) -> None:
    """A second run asks for the same; the output says it in words."""
    said = "scales between 2 and 4 instances, for 70 calls a minute of each"

    for _ in range(2):
        registered(script, 2)
        assert do("RestoreCapacity", script.clients, plan=ON_INSTANCES, running={}) == {
            "max_concurrency": None,
            "steps": [said],
            "told": f"2 x ml.r5.xlarge; {said}",
        }


def test_the_least_is_what_the_quota_gave(do: Task, script: Script) -> None:
    """Of two instances it gave one; how it came to that is said first."""
    registered(script, 1)
    plan = {**ON_INSTANCES, "instances": {**ON_INSTANCES["instances"], "count": 1}}

    assert do("RestoreCapacity", script.clients, plan=plan, running={})["steps"] == [
        "runs on 1 x ml.r5.xlarge instead of 2 x ml.r5.xlarge",
        "scales between 1 and 4 instances, for 70 calls a minute of each",
    ]


@pytest.mark.parametrize("without", [{"auto_scaling": None}, {}])
def test_nothing_is_asked_where_nothing_is_to_scale(
    do: Task, script: Script, without: dict[str, Any]
) -> None:
    """A plan without it, and one of before there was any."""
    on = {name: value for name, value in ON_INSTANCES["instances"].items() if name != "auto_scaling"}
    plan = {**ON_INSTANCES, "instances": {**on, **without}}

    assert do("RestoreCapacity", script.clients, plan=plan, running={}) == {
        "max_concurrency": None,
        "steps": [],
        "told": "2 x ml.r5.xlarge",
    }


@pytest.mark.parametrize(
    ("code", "error"),
    [
        pytest.param("AccessDeniedException", AccessDenied, id="denied"),
        pytest.param("ConcurrentUpdateException", EndpointBusy, id="being changed"),
    ],
)
def test_auto_scaling_that_is_refused_is_told(
    do: Task, script: Script, code: str, error: type[Exception]
) -> None:
    """What may pass is tried again; the rest the state machine says, and does not undo the deployment."""
    script.refuses("autoscaling", "register_scalable_target", code)

    with pytest.raises(error):
        do("RestoreCapacity", script.clients, plan=ON_INSTANCES, running={})


# ----------------------------------------------------------------------- RollBack


def undo(do: Task, script: Script, **plan: Any) -> dict[str, Any]:
    """Run the task."""
    diagnosed = {"error": "SmokeTestFailed", "what": "x", "why": "y", "fix": "z", "cause": "because"}
    return do(
        "RollBack", script.clients, results={"plan_deployment": {**PLAN, **plan}, "diagnose": diagnosed}
    )


def gone(script: Script, *, endpoint: bool = True) -> Script:
    """Let nothing of this execution be there any more."""
    if endpoint:
        script.missing("describe_endpoint")
    script.missing("describe_endpoint_config", "endpoint configuration").no_more_configs()
    return script.missing("describe_model", "model")


def test_what_was_lowered_gets_back_what_it_had(do: Task, script: Script) -> None:
    """Once the new endpoint is gone: raised, in progress, done."""
    scaled(gone(script).endpoint(ours("harbour-1", 5)), "harbour-1", 10)
    gone(script).endpoint(ours("harbour-1", 10, "Updating"))
    gone(script).endpoint(ours("harbour-1", 10))

    for _ in range(2):
        with pytest.raises(EndpointBusy, match="'harbour-1'"):
            undo(do, script, room=ROOM)
    result = undo(do, script, room=ROOM)

    assert result["restored"] == ["concurrency of harbour-1: 10 as before"]


@pytest.mark.parametrize(
    ("there", "kept"),
    [
        pytest.param(ours("harbour-1", 7), "7, changed by somebody else meanwhile", id="changed"),
        pytest.param(None, "gone, changed by somebody else meanwhile", id="deleted"),
    ],
)
def test_what_somebody_else_changed_stays(
    do: Task, script: Script, there: dict[str, Any] | None, kept: str
) -> None:
    """And nothing is claimed of it."""
    gone(script)
    if there is None:
        script.missing("describe_endpoint")
    else:
        script.endpoint(there)

    result = undo(do, script, room=ROOM)

    assert (result["restored"], result["kept"]) == ([], [f"concurrency of harbour-1: {kept}"])


def test_what_stays_lowered_is_named(do: Task, script: Script) -> None:
    """The new endpoint could not be deleted, so its room cannot be given back."""
    script.refuses("sagemaker", "describe_endpoint", "AccessDeniedException", status=403)

    result = undo(do, script, room=ROOM)

    assert "concurrency of harbour-1: 5, lowered from 10" in result["kept"]
    assert result["not_undone"] == ["endpoint harbour-2: because"]


def test_the_room_may_be_taken_meanwhile(do: Task, script: Script) -> None:
    """Somebody else's deployment was quicker: it is tried again, and not forgotten."""
    gone(script).endpoint(ours("harbour-1", 5))
    script.refuses(
        "sagemaker",
        "update_endpoint_weights_and_capacities",
        "ResourceLimitExceeded",
        BUSY.format(used=10, delta=5),
    )

    with pytest.raises(ResourceLimitExceeded):
        undo(do, script, room=ROOM)


def test_a_denied_restoration_is_named(do: Task, script: Script) -> None:
    """With what it had and what it has."""
    gone(script).endpoint(ours("harbour-1", 5))
    script.refuses("sagemaker", "update_endpoint_weights_and_capacities", "AccessDeniedException", status=403)

    result = undo(do, script, room=ROOM)

    assert result["not_undone"] == ["concurrency of harbour-1, lowered from 10 to 5: because"]


UPDATES = {"endpoint_config": "harbour-1", "max_concurrency": 9}
IN_PLACE = {
    "names": {"model": "harbour-2", "endpoint_config": "harbour-2", "endpoint": "harbour"},
    "updates": UPDATES,
}


def at(script: Script, config_name: str, status: str = "InService", concurrency: int = 9) -> Script:
    """Let the endpoint be on a configuration."""
    return script.endpoint({**ours("harbour", concurrency, status, config=config_name), "service": None})


def test_an_update_in_place_is_taken_back(do: Task, script: Script) -> None:
    """The old configuration, then what the endpoint had of concurrency, then the new configuration and model go."""
    at(script, "harbour-2").answers(
        "sagemaker",
        "update_endpoint",
        {"EndpointArn": "a" * 20},
        {"EndpointName": "harbour", "EndpointConfigName": "harbour-1"},
    )
    at(script, "harbour-2", "Updating")
    scaled(at(script, "harbour-1", concurrency=5).endpoint(ours("harbour", 5)), "harbour", 9)
    at(script, "harbour-1").endpoint(ours("harbour", 9))
    gone(script, endpoint=False)

    for _ in range(3):
        with pytest.raises(EndpointBusy, match="'harbour'"):
            undo(do, script, **IN_PLACE)
    result = undo(do, script, **IN_PLACE)

    assert result["restored"] == [
        "endpoint harbour: configuration harbour-1 and a concurrency of 9 as before"
    ]
    assert result["gone"] == ["endpoint configuration harbour-2", "model harbour-2"]


def test_an_update_that_broke_the_endpoint_is_named(do: Task, script: Script) -> None:
    """AWS can only delete it then; its configuration and its model stay."""
    at(script, "harbour-2", "Failed")

    result = undo(do, script, **IN_PLACE)

    assert result["not_undone"] == [
        "endpoint harbour: Failed, and AWS can then only delete it; its configuration was harbour-1"
    ]
    assert result["gone"] == []


def test_an_endpoint_that_somebody_else_updated_is_left(do: Task, script: Script) -> None:
    """A newer deployment's configuration is not overwritten; ours goes."""
    at(script, "harbour-3")
    gone(script, endpoint=False)

    result = undo(do, script, **IN_PLACE)

    assert result["kept"] == ["endpoint harbour: updated to 'harbour-3' by somebody else meanwhile"]


def test_an_endpoint_that_is_gone_needs_nothing(do: Task, script: Script) -> None:
    """Somebody deleted it."""
    gone(script)

    assert undo(do, script, **IN_PLACE)["gone"][0] == "endpoint harbour: configuration harbour-1"
