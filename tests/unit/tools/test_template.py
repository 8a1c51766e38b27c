"""What `make template` writes: each task's function and policy as the task states them, and the lists of all tasks."""

from __future__ import annotations

from types import ModuleType
from typing import TYPE_CHECKING, Any

import pytest

from pipeline import package_files
from pipeline.aws.lambda_handler import Task
from pipeline.aws.permissions import ENDPOINTS, MADE_BY_SEALIFT, TOPIC, UPLOAD_BUCKET, UPLOADS, allow
from pipeline.stack import template as stack_template
from tools import permissions, template

if TYPE_CHECKING:
    from pipeline.aws.permissions import Allow

TEXT = package_files.template().read_text(encoding="utf-8")


def run(event: dict[str, Any], _clients: object) -> dict[str, Any]:
    """Return the event."""
    return event


def module(*may: Allow, doc: str = "TimeEndpoint: asks once.", **stated: Any) -> ModuleType:
    """Return a task's module that states this."""
    made = ModuleType("tasks.time_endpoint", doc)
    made.handler = Task(run, may=may, **stated)  # type: ignore[attr-defined]
    return made


def resource(task: ModuleType) -> dict[str, Any]:
    """Return the function's properties as CloudFormation reads them."""
    text = "\n".join(template._function("TimeEndpoint", task))
    made: dict[str, Any] = stack_template.parsed(text)["TimeEndpoint"]
    assert made["Type"] == "AWS::Serverless::Function"
    properties: dict[str, Any] = made["Properties"]
    return properties


def statements(*may: Allow) -> list[dict[str, Any]]:
    """Return a role's statements as CloudFormation reads them."""
    (policy,) = resource(module(*may))["Policies"]
    assert policy["Version"] == "2012-10-17"
    found: list[dict[str, Any]] = policy["Statement"]
    return found


def test_the_template_has_what_the_tasks_state() -> None:
    """`make template` was run."""
    assert template.rendered(TEXT) == TEXT


def test_each_task_may_do_what_it_states_and_no_more() -> None:
    """The policies of the file, read as whoever deploys it reads them."""
    resources = stack_template.parsed(TEXT)["Resources"]

    for name, task in template.functions().items():
        (policy,) = resources[name]["Properties"]["Policies"]
        listed = [permissions.listed(statement["Action"]) for statement in policy["Statement"]]
        assert listed == [list(one.actions) for one in task.handler.may], name


def test_what_is_written_by_hand_stays() -> None:
    """All but the lines between two marks, of which each has its own."""
    text = TEXT.replace("Handler: tasks.make_room.handler", "Handler: tasks.elsewhere.handler")
    text = text.replace("  UploadBucket:", "  InboxBucket:", 1)

    assert template.rendered(text) == TEXT.replace("  UploadBucket:", "  InboxBucket:", 1)


@pytest.mark.parametrize(
    ("old", "new", "seen"),
    [
        pytest.param(
            "# begin Sweep\n",
            "\n",
            r"lacks \['Sweep'\], and nobody makes its \[\]",
            id="a task's own is missing",
        ),
        pytest.param(
            "# begin invoked\n",
            "# begin invokers\n",
            r"lacks \['invoked'\], and nobody makes its \['invokers'\]",
            id="misspelt",
        ),
        pytest.param(
            "# begin Sweep\n", "# begin Sweep\n  # begin Sweep\n", r"lacks \[\], .*one part twice", id="twice"
        ),
        pytest.param(
            "# end Sweep\n", "\n", r"^parts \['Sweep'\] of the template have no end", id="never ends"
        ),
    ],
)
def test_a_part_that_is_missing_or_of_nobody_is_refused(old: str, new: str, seen: str) -> None:
    """Else a task would have no function, and nobody would be told."""
    with pytest.raises(ValueError, match=seen):
        template.rendered(TEXT.replace(old, new))


# -------------------------------------------------------------------- one function


def test_a_function_has_what_its_task_states() -> None:
    """And of what all have in common nothing, which is in Globals."""
    plain = resource(module(allow("sagemaker:DescribeEndpoint", on=ENDPOINTS)))
    large = resource(module(timeout_s=890, memory_mb=1769, carries_runtime=True))

    assert plain["Handler"] == "tasks.time_endpoint.handler"
    assert plain["Description"] == "Asks once."
    assert not {"CodeUri", "MemorySize", "Timeout"} & set(plain)
    assert (large["CodeUri"], large["MemorySize"], large["Timeout"]) == (".build/lambda-archive", 1769, 890)
    common = stack_template.load(package_files.template())["Globals"]["Function"]
    assert (common["MemorySize"], common["Timeout"]) == (Task(run).memory_mb, Task(run).timeout_s)


@pytest.mark.parametrize(
    ("doc", "wanted"),
    [
        pytest.param("TimeEndpoint: asks once.\n\nAnd more.", "Asks once.", id="the first paragraph"),
        pytest.param("TimeEndpoint: asks\nonce. Twice.", "Asks once. Twice.", id="over two lines"),
        pytest.param(
            "TimeEndpoint: it: asks # once.", "It: asks # once.", id="what YAML would read otherwise"
        ),
        pytest.param(f"TimeEndpoint: {'asks ' * 30}once.", f"Asks {'asks ' * 29}once.", id="long"),
    ],
)
def test_a_function_says_what_its_task_is_for(doc: str, wanted: str) -> None:
    """By the first paragraph of the task's docstring."""
    said = resource(module(doc=doc))["Description"]

    assert said == wanted


def test_a_statement_is_as_the_task_states_it() -> None:
    """With resources in CloudFormation's forms, the condition, and the reason as a comment above."""
    (found,) = statements(
        allow("a:One", "a:Two", on=(*UPLOADS, UPLOAD_BUCKET), when=MADE_BY_SEALIFT, why="so that " * 30)
    )

    assert found == {
        "Effect": "Allow",
        "Action": ["a:One", "a:Two"],
        "Resource": [
            {"Fn::Sub": "${UploadBucket.Arn}/models/*"},
            {"Fn::Sub": "${UploadBucket.Arn}/by-hand/*"},
            {"Fn::GetAtt": ["UploadBucket", "Arn"]},
        ],
        "Condition": {"Null": {"aws:ResourceTag/sealift:service": "false"}},
    }
    lines = template._statement(allow("a:One", on="*", why="so that " * 30))
    comment = [line for line in lines if line.startswith("# ")]
    assert lines[: len(comment)] == comment
    assert " ".join(line.removeprefix("# ") for line in comment).split() == ("so that " * 30).split()


def test_one_action_and_one_resource_are_no_lists() -> None:
    """As AWS's own examples have them; a topic's name is its ARN."""
    (found,) = statements(allow("sns:Publish", on=TOPIC))

    assert (found["Action"], found["Resource"]) == ("sns:Publish", {"Ref": "Notifications"})


def test_no_line_is_broken_that_would_fit_and_none_is_too_long_that_could_be_broken() -> None:
    """Many actions stand one below the other."""
    few, many = ("a:B",) * 10, tuple(f"service:Action{n}" for n in range(9))

    assert template._listed("Action", few) == [f"  Action: [{', '.join(few)}]"]
    assert template._listed("Action", many) == ["  Action:", *(f"    - {one}" for one in many)]


def test_roles_are_listed_by_what_they_may_do() -> None:
    """One action of several is enough; the order is that of the tasks."""
    tasks = {
        "B": module(allow("s3:PutObject", "s3:ListBucket", on=UPLOAD_BUCKET)),
        "A": module(allow("sns:Publish", on=TOPIC)),
        "C": module(allow("s3:ListBucket", on=UPLOAD_BUCKET)),
        "D": module(),
    }

    assert template._roles(tasks, template.KEY_WRITE) == ["- !Ref BRole", "- !Ref ARole"]
