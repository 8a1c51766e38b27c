"""The stack on its way: which way it may go, what is told of it, and how it ends; against a CloudFormation of lists."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from botocore.exceptions import ClientError
from botocore.stub import Stubber

from pipeline.aws import service_errors
from pipeline.aws.clients import Clients
from pipeline.errors import InvalidInput, RequestRejected
from pipeline.stack import change_sets

if TYPE_CHECKING:
    from collections.abc import Iterator

STACK_ID = "arn:aws:cloudformation:us-east-1:123456789012:stack/sealift/1"


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        pytest.param(None, "CREATE", id="none"),
        pytest.param("REVIEW_IN_PROGRESS", "CREATE", id="only a change set"),
        pytest.param("CREATE_COMPLETE", "UPDATE", id="made"),
        pytest.param("UPDATE_COMPLETE", "UPDATE", id="changed"),
        pytest.param("UPDATE_ROLLBACK_COMPLETE", "UPDATE", id="as it was"),
        pytest.param("IMPORT_COMPLETE", "UPDATE", id="imported"),
    ],
)
def test_a_stack_is_made_or_changed_by_what_there_is(status: str | None, kind: str) -> None:
    """A stack of which there is only a change set has nothing yet."""
    assert change_sets.change_set_type("sealift", {"StackStatus": status} if status else None) == kind


@pytest.mark.parametrize(
    ("status", "fix"),
    [
        pytest.param("CREATE_IN_PROGRESS", "wait until that has ended", id="being made"),
        pytest.param("UPDATE_ROLLBACK_IN_PROGRESS", "wait until that has ended", id="going back"),
        pytest.param("UPDATE_COMPLETE_CLEANUP_IN_PROGRESS", "wait until that has ended", id="tidying up"),
        pytest.param("DELETE_IN_PROGRESS", "wait until that has ended", id="being deleted"),
        pytest.param("ROLLBACK_COMPLETE", "sealift destroy --stack harbour", id="never made"),
        pytest.param("CREATE_FAILED", "sealift destroy --stack harbour", id="half made"),
        pytest.param("DELETE_FAILED", "sealift destroy --stack harbour", id="half deleted"),
        pytest.param("UPDATE_ROLLBACK_FAILED", "continue-update-rollback --stack-name harbour", id="stuck"),
        pytest.param("UPDATE_FAILED", "rollback-stack --stack-name harbour", id="half changed"),
    ],
)
def test_a_stack_that_cannot_be_changed_is_refused_with_the_way_out(status: str, fix: str) -> None:
    """What it is, and the command to run next."""
    with pytest.raises(InvalidInput) as refusal:
        change_sets.change_set_type("harbour", {"StackStatus": status})

    (problem,) = refusal.value.problems
    assert problem.seen == f"it is {status}"
    assert fix in problem.fix


class CloudFormation:
    """Tells the events that have come so far; each look brings the next batch."""

    def __init__(self, *batches: list[dict[str, Any]]) -> None:
        self.events: list[dict[str, Any]] = []
        self._batches = list(batches)

    def get_paginator(self, name: str) -> CloudFormation:
        """Return itself."""
        assert name == "describe_stack_events"
        return self

    def paginate(self, **request: str) -> Iterator[dict[str, Any]]:
        """Yield the events, the newest first, one in each page."""
        assert request == {"StackName": STACK_ID}
        if self._batches:
            self.events += self._batches.pop(0)
        yield from ({"StackEvents": [one]} for one in reversed(self.events))


def event(number: int, name: str, status: str, reason: str | None = None) -> dict[str, Any]:
    """Return an event as DescribeStackEvents has it; the stack's own bears its name."""
    return {
        "EventId": str(number),
        "LogicalResourceId": name,
        "PhysicalResourceId": STACK_ID if name == "sealift" else name.lower(),
        "ResourceType": "AWS::IAM::Role",
        "ResourceStatus": status,
        **({"ResourceStatusReason": reason} if reason else {}),
    }


def watched(
    *batches: list[dict[str, Any]], after: str = "0"
) -> tuple[change_sets.Ended, list[str], list[float]]:
    """Return how a stack ended, the events that were reported, and how long was waited each time."""
    client: Any = CloudFormation([event(0, "sealift", "CREATE_COMPLETE")], *batches)
    list(client.paginate(StackName=STACK_ID))
    seen: list[change_sets.StackEvent] = []
    slept: list[float] = []
    ended = change_sets.watch(client, STACK_ID, after=after, on_event=seen.append, sleep=slept.append)
    return ended, [f"{one.name} {one.status}" for one in seen], slept


@pytest.mark.parametrize(
    ("found", "values", "tags"),
    [
        pytest.param(None, {}, {}, id="none"),
        pytest.param(None, {"ResourceTags": "a=1, b=x=y"}, {"a": "1", "b": "x=y"}, id="a new stack"),
        pytest.param(("a=1", {"a": "1"}), {}, {"a": "1"}, id="the parameter stays"),
        pytest.param(("a=1", {"a": "1"}), {"ResourceTags": "b=2"}, {"b": "2"}, id="it changes"),
        pytest.param(("a=1", {"a": "1", "c": "3"}), {"ResourceTags": ""}, {"c": "3"}, id="others' own stay"),
        pytest.param(("a=1", {"a": "9"}), {"ResourceTags": ""}, {"a": "9"}, id="what somebody changed stays"),
        pytest.param(("a=1", {}), {}, {"a": "1"}, id="what somebody took away comes again"),
    ],
)
def test_a_stack_has_the_tags_that_its_deployments_give(
    found: tuple[str, dict[str, str]] | None, values: dict[str, str], tags: dict[str, str]
) -> None:
    """And keeps those that are nobody's parameter."""
    stack = None
    if found is not None:
        parameters = [{"ParameterKey": "ResourceTags", "ParameterValue": found[0]}]
        there = [{"Key": key, "Value": value} for key, value in found[1].items()]
        stack = {"Parameters": parameters, "Tags": there}

    assert change_sets.stack_tags(stack, values) == tags


def test_every_event_is_told_once_in_order_until_the_stack_is_at_rest() -> None:
    """What was before is not; between two looks it waits; an intermediate end of the stack's is none."""
    ended, seen, slept = watched(
        [event(1, "sealift", "UPDATE_IN_PROGRESS"), event(2, "Role", "UPDATE_IN_PROGRESS")],
        [],
        [event(3, "Role", "UPDATE_COMPLETE"), event(4, "sealift", "UPDATE_COMPLETE_CLEANUP_IN_PROGRESS")],
        [event(5, "sealift", "UPDATE_COMPLETE")],
    )

    assert (ended.status, ended.good, ended.reasons) == ("UPDATE_COMPLETE", True, ())
    assert seen == [
        "sealift UPDATE_IN_PROGRESS",
        "Role UPDATE_IN_PROGRESS",
        "Role UPDATE_COMPLETE",
        "sealift UPDATE_COMPLETE_CLEANUP_IN_PROGRESS",
        "sealift UPDATE_COMPLETE",
    ]
    assert slept == [change_sets.LOOK_S] * 3


def test_a_failure_tells_its_cause_and_not_what_was_cancelled_for_it() -> None:
    """The first resource that failed comes first."""
    ended, _, _ = watched(
        [
            event(1, "Bucket", "CREATE_FAILED", "the name is taken"),
            event(2, "Role", "CREATE_FAILED", "Resource creation cancelled"),
            event(3, "sealift", "ROLLBACK_IN_PROGRESS", "The following resource(s) failed: [Bucket, Role]"),
            event(4, "sealift", "ROLLBACK_COMPLETE"),
        ]
    )

    assert not ended.good
    assert ended.reasons == ("Bucket: the name is taken",)


def test_a_failure_of_no_resource_tells_the_stacks_own_reason() -> None:
    """A stack may be refused as a whole."""
    ended, _, _ = watched([event(1, "sealift", "ROLLBACK_FAILED", "the role is gone")])

    assert ended.reasons == ("the role is gone",)


@pytest.mark.parametrize(
    ("reason", "nothing"),
    [
        pytest.param(
            "The submitted information didn't contain changes. Submit different information to create a "
            "change set.",
            True,
            id="CloudFormation's text",
        ),
        pytest.param("No updates are to be performed.", True, id="and its other one"),
        pytest.param(
            "Template error: instance of Fn::GetAtt references undefined resource", False, id="error"
        ),
    ],
)
def test_a_change_set_without_changes_is_known_by_its_text(reason: str, nothing: bool) -> None:
    """There is no other sign of it than the prose of StatusReason."""
    assert service_errors.says_no_changes(reason) is nothing


def test_a_stack_that_is_not_there_is_known_by_its_text() -> None:
    """DescribeStacks answers with a ValidationError for it, as for much else."""

    def error(text: str) -> ClientError:
        return ClientError({"Error": {"Code": "ValidationError", "Message": text}}, "DescribeStacks")

    assert service_errors.is_no_such_stack(error("Stack with id sealift does not exist"))
    assert not service_errors.is_no_such_stack(error("1 validation error detected"))


# ----------------------------------------------------------------------- the change set


CHANGE_SET = "arn:aws:cloudformation:us-east-1:123456789012:changeSet/sealift-1/1"
STAGED = change_sets.Staged(
    name="sealift",
    stack_id=STACK_ID,
    change_set=CHANGE_SET,
    kind="UPDATE",
    changes=(),
    fresh=False,
    after="0",
    place=change_sets.StackPlace("123456789012", "us-east-1"),
    keys=frozenset(),
)
WHICH = {"ChangeSetName": CHANGE_SET, "StackName": STACK_ID}


@pytest.fixture
def written() -> Iterator[tuple[Any, Stubber]]:
    """A client of CloudFormation whose answers the test writes down; every one of them is asked for."""
    client = Clients(region="us-east-1").cloudformation
    with Stubber(client) as stubber:
        yield client, stubber
        stubber.assert_no_pending_responses()


def change(name: str) -> dict[str, Any]:
    """Return a change as DescribeChangeSet has it."""
    resource = {"Action": "Add", "LogicalResourceId": name, "ResourceType": "AWS::IAM::Role"}
    return {"Type": "Resource", "ResourceChange": resource}


def test_a_change_set_is_waited_for_and_read_whole(written: tuple[Any, Stubber]) -> None:
    """Whatever the number of its pages."""
    client, stubber = written
    for status in ("CREATE_PENDING", "CREATE_IN_PROGRESS", "CREATE_COMPLETE"):
        stubber.add_response("describe_change_set", {"Status": status}, WHICH)
    pages = [{"Changes": [change("One")], "NextToken": "2"}, {"Changes": [change("Two")]}]
    stubber.add_response("describe_change_set", pages[0], WHICH)
    stubber.add_response("describe_change_set", pages[1], {**WHICH, "NextToken": "2"})

    settled = change_sets._settled(client, STAGED, every_s=0.001)

    assert [one.name for one in settled.changes] == ["One", "Two"]
    assert not settled.empty


def test_a_change_set_without_changes_is_none(written: tuple[Any, Stubber]) -> None:
    """CloudFormation calls it failed; it is deleted."""
    client, stubber = written
    reason = "The submitted information didn't contain changes. Submit different information."
    stubber.add_response("describe_change_set", {"Status": "FAILED", "StatusReason": reason}, WHICH)
    stubber.add_response("delete_change_set", {}, WHICH)

    assert change_sets._settled(client, STAGED, every_s=0.001).empty


@pytest.mark.parametrize("fresh", [True, False])
def test_a_change_set_that_fails_leaves_nothing(written: tuple[Any, Stubber], fresh: bool) -> None:
    """It is deleted, with the stack that is there for its sake alone; its reason is told."""
    client, stubber = written
    failed = {"Status": "FAILED", "StatusReason": "Transform failed: Role is wrong"}
    stubber.add_response("describe_change_set", failed, WHICH)
    stubber.add_response("delete_change_set", {}, WHICH)
    if fresh:
        stubber.add_response("delete_stack", {}, {"StackName": STACK_ID})

    with pytest.raises(
        RequestRejected, match=r"stack sealift: Transform failed: Role is wrong; .*correct what"
    ):
        change_sets._settled(client, replace(STAGED, fresh=fresh), every_s=0.001)


def test_a_change_set_that_is_never_made_is_waited_for_within_a_bound(written: tuple[Any, Stubber]) -> None:
    """What it is, and where to look; it is left as it is."""
    client, stubber = written
    stubber.add_response("describe_change_set", {"Status": "CREATE_IN_PROGRESS"}, WHICH)

    with pytest.raises(
        InvalidInput, match=r"it is CREATE_IN_PROGRESS after 900 s; .*console of CloudFormation"
    ):
        change_sets._settled(client, STAGED, every_s=900)


def test_a_change_set_that_may_not_be_described_is_told_as_such(written: tuple[Any, Stubber]) -> None:
    """As any call that is denied."""
    client, stubber = written
    stubber.add_client_error("describe_change_set", "AccessDenied", "no DescribeChangeSet", 403)

    with pytest.raises(ClientError, match="no DescribeChangeSet") as refusal:
        change_sets._settled(client, STAGED, every_s=0.001)
    assert service_errors.is_access_denied(refusal.value)
