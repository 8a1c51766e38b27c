"""What goes with a stack, and when nothing may."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from botocore.exceptions import ClientError

from pipeline.cli import asking
from pipeline.errors import InvalidInput
from pipeline.operations import teardown
from pipeline.operations.account import Account, Made, MadeKind
from pipeline.operations.teardown import Holding, TeardownPlan, TeardownResource
from pipeline.stack.change_sets import StackPlace
from tests.paginated import Paginated

THEN = datetime(2026, 1, 1, tzinfo=UTC)
EXECUTION = "arn:aws:states:us-east-1:123456789012:execution:sealift-deployment:one"


def made(kind: MadeKind, name: str, **more: Any) -> Made:
    """Return a thing that an execution of the stack made."""
    return Made(kind=kind, name=name, changed=THEN, **{"execution": EXECUTION, **more})


def plan(**more: Any) -> TeardownPlan:
    """Return a plan with nothing in it but what is given."""
    empty: dict[str, Any] = {
        "name": "sealift",
        "place": StackPlace("123456789012", "us-east-1"),
        "found": None,
        "resources": (),
        "made": (),
        "callers": (),
        "buckets": (),
        "code": (0, 0),
        "images": (0, 0),
        "archives": False,
        "unseen": (),
    }
    return TeardownPlan(**{**empty, **more})


def test_endpoints_go_first_and_configurations_last() -> None:
    """The tags of a configuration are what finds the rest after a run that was cut short."""
    things = [
        made(MadeKind.CONFIG, "c"),
        made(MadeKind.MODEL, "m"),
        made(MadeKind.ALARM, "a"),
        made(MadeKind.ENDPOINT, "e"),
    ]

    assert [one.name for one in teardown.ours(Account(made=tuple(things)))] == ["e", "a", "m", "c"]


@pytest.mark.parametrize(
    "things",
    [
        pytest.param([made(MadeKind.ENDPOINT, "e"), made(MadeKind.MODEL, "e")], id="there"),
        pytest.param([made(MadeKind.MODEL, "e"), made(MadeKind.CONFIG, "e-1024-3")], id="its model"),
        pytest.param([made(MadeKind.ALARM, "sealift-e-5xx", uses=("e",))], id="its alarm"),
        pytest.param([made(MadeKind.PARAMETER, "/sealift/s/d/endpoint", uses=("e",))], id="the parameter"),
    ],
)
def test_who_calls_an_endpoint_is_told_while_anything_of_it_is_there(things: list[Made]) -> None:
    """A run that was cut short has deleted the endpoint, and whoever calls it has not been told by the next."""
    named = {"e": "X of f names it", "other": "Y of f names it"}

    assert list(teardown.callers(things, named)) == ["e: X of f names it"]


def test_what_nobody_can_tell_whose_it_is_stays() -> None:
    """A thing whose tags could not be read may be anybody's; versions are of somebody's function."""
    things = (
        made(MadeKind.ENDPOINT, "e", unreadable="its tags could not be read", execution=""),
        made(MadeKind.VERSION, "3 of f"),
        made(MadeKind.ARCHIVE, "archives/1"),
    )

    assert teardown.ours(Account(made=things)) == ()


@pytest.mark.parametrize("status", ["CREATE_IN_PROGRESS", "UPDATE_IN_PROGRESS", "ROLLBACK_IN_PROGRESS"])
def test_a_stack_that_is_being_changed_is_left_alone(status: str) -> None:
    """Whoever changes it comes first."""
    with pytest.raises(InvalidInput, match=f"stack sealift: it is {status}; .*wait until"):
        teardown.refuse_while_changing("sealift", status)


@pytest.mark.parametrize(
    "status",
    ["CREATE_COMPLETE", "ROLLBACK_COMPLETE", "DELETE_FAILED", "DELETE_IN_PROGRESS", "REVIEW_IN_PROGRESS"],
)
def test_a_stack_at_rest_may_go(status: str) -> None:
    """One that is half deleted goes on, one of which there is only a change set goes at once."""
    teardown.refuse_while_changing("sealift", status)


def test_a_deployment_that_runs_is_named_with_what_to_do() -> None:
    """Each of them."""
    other = EXECUTION.replace(":one", ":two")

    with pytest.raises(InvalidInput) as refusal:
        teardown.refuse_while_running("sealift", [EXECUTION, other])

    assert [one.seen for one in refusal.value.problems] == [
        "deployment one is running",
        "deployment two is running",
    ]
    assert f"stop-execution --execution-arn {other}" in refusal.value.problems[1].fix
    teardown.refuse_while_running("sealift", [])


@pytest.mark.parametrize(
    ("there", "nothing"),
    [
        pytest.param({}, True, id="nothing at all"),
        pytest.param({"buckets": (Holding("b", 1, 1),)}, True, id="archives that are to stay"),
        pytest.param({"buckets": (Holding("b", 0, 0),), "archives": True}, False, id="archives that go"),
        pytest.param({"made": (made(MadeKind.MODEL, "m"),)}, False, id="a leftover"),
        pytest.param({"code": (1, 1)}, False, id="code"),
        pytest.param({"found": {"StackStatus": "CREATE_COMPLETE"}}, False, id="a stack"),
    ],
)
def test_there_is_nothing_to_do_only_when_nothing_would_go(there: dict[str, Any], nothing: bool) -> None:
    """A second run after a complete one."""
    assert plan(**there).nothing is nothing


def test_buckets_do_not_go_with_the_stack() -> None:
    """They are retained, whoever deletes it."""
    inside = TeardownResource("Sweep", "AWS::Lambda::Function", "sealift-Sweep")
    bucket = TeardownResource("UploadBucket", teardown.BUCKET, "uploads")

    assert plan(resources=(inside, bucket)).inside == (inside,)


class Line:
    """A terminal, or none, at which one line is typed."""

    def __init__(self, line: str, *, terminal: bool = True) -> None:
        self._line, self._terminal = line, terminal

    def isatty(self) -> bool:
        """Return whether a person is there."""
        return self._terminal

    def readline(self) -> str:
        """Return the line."""
        return self._line


@pytest.mark.parametrize(
    ("line", "answer"),
    [
        pytest.param("y\n", True, id="y"),
        pytest.param(" YES \n", True, id="yes"),
        pytest.param("\n", False, id="just Enter"),
        pytest.param("no\n", False, id="no"),
        pytest.param("", False, id="the end of the input"),
    ],
)
def test_only_yes_is_yes(line: str, answer: bool) -> None:
    """Anything else changes nothing."""
    stdin: Any = Line(line)

    assert asking.agreed("Delete?", yes=False, stdin=stdin) is answer
    assert asking.agreed("Delete?", yes=True, stdin=stdin)


@pytest.mark.parametrize(
    ("yes", "as_json", "terminal", "may"),
    [
        pytest.param(False, False, True, True, id="somebody is there"),
        pytest.param(False, False, False, False, id="a pipe"),
        pytest.param(False, True, True, False, id="a program reads the answer"),
        pytest.param(True, True, False, True, id="it was said before"),
    ],
)
def test_who_cannot_be_asked_must_have_said_yes(yes: bool, as_json: bool, terminal: bool, may: bool) -> None:
    """Before anything is looked at, and with the flag that says it."""
    stdin: Any = Line("", terminal=terminal)
    if may:
        asking.must_be_asked("destroy", yes=yes, json=as_json, stdin=stdin)
        return

    with pytest.raises(InvalidInput, match=r"destroy: .*; wanted a yes .*--yes"):
        asking.must_be_asked("destroy", yes=yes, json=as_json, stdin=stdin)


def test_the_images_of_the_stacks_repository_are_counted() -> None:
    """They go with it, so a person hears how many; one that is gone, or may not be seen, is no failure."""

    class Ecr(Paginated):
        def describe_images(self, **request: Any) -> dict[str, Any]:
            name = request["repositoryName"]
            if name != "two-images":
                raise ClientError({"Error": {"Code": name, "Message": "because"}}, "DescribeImages")
            return {"imageDetails": [{"imageSizeInBytes": 5}, {"imageSizeInBytes": 7}]}

    def of(*names: str) -> tuple[TeardownResource, ...]:
        return tuple(TeardownResource("ImageRepository", teardown.REPOSITORY, name) for name in names)

    client: Any = Ecr()

    assert teardown._images(client, of("two-images")) == ((2, 12), [])
    assert teardown._images(client, of("RepositoryNotFoundException", "")) == ((0, 0), [])
    counted, unseen = teardown._images(client, of("AccessDeniedException"))
    assert counted == (0, 0)
    assert unseen == ["images of AccessDeniedException, which go with it: because"]
    with pytest.raises(ClientError):
        teardown._images(client, of("ServerException"))
