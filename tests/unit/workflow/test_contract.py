"""What must line up: states, tasks, functions, result paths, error names, the rendered workflow, the template."""

from __future__ import annotations

import ast
import dataclasses
import importlib
import json
import math
import re
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any, get_args, get_type_hints, is_typeddict

import pytest
from statelint.linter import Linter

from local_cloud.stacks import template as sam
from pipeline import errors, json_codec, limits, package_files
from pipeline.aws.lambda_handler import Task
from pipeline.endpoint_status import EndpointVerdict
from pipeline.operations import diagnosis, state_order
from pipeline.planning import consumer, quotas, request_checks, request_fields
from pipeline.schema import Integer
from pipeline.stack import bundles, template
from state_machine import definition
from tasks import create_endpoint, create_model, evaluate_quality, update_endpoint
from tasks.read_consumer import MOST_READS
from tasks.roll_back import ToldFailure

if TYPE_CHECKING:
    from collections.abc import Iterator

RENDERED = package_files.definition().read_text(encoding="utf-8")
STATES: dict[str, dict[str, Any]] = json.loads(RENDERED)["States"]
TASKS = {
    name: state for name, state in STATES.items() if state.get("Resource", "").endswith(":lambda:invoke")
}
TEMPLATE = template.load(package_files.template())
FUNCTIONS = {
    name: resource["Properties"]
    for name, resource in TEMPLATE["Resources"].items()
    if resource["Type"] == "AWS::Serverless::Function"
}
ASIDE = {"StartDeployment", "Sweep", "WriteReport"}
"""The functions that are no states: the trigger, the sweeper, and what writes reports."""

AWS_ERRORS = {
    "Lambda.ClientExecutionTimeoutException",
    "Lambda.ServiceException",
    "Lambda.AWSLambdaException",
    "Lambda.SdkClientException",
    "Lambda.TooManyRequestsException",
    "Lambda.Unknown",
    "Sandbox.Timedout",
    "Runtime.ExitError",
}
"""Error names that Lambda's service and runtime have, all of which another try may not see again."""

LADDER = {"CreateEndpointConfig", "CreateEndpoint", "UpdateEndpoint"}
"""The states at which a quota speaks, and another size may help."""


def snake(name: str) -> str:
    """Return CamelCase as snake_case."""
    return re.sub(r"(?<!^)(?=[A-Z])", "_", name).lower()


def ids(names: Any) -> list[Any]:
    """Return the names as parameters with themselves for ids."""
    return [pytest.param(name, id=name) for name in names]


def after(state: dict[str, Any]) -> set[str]:
    """Return the states that may follow a state, failures included."""
    found = {state.get("Next"), state.get("Default")}
    found |= {one["Next"] for one in (*state.get("Choices", ()), *state.get("Catch", ()))}
    return found - {None}


def retriers() -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield every retrier with its state's name."""
    for name, state in STATES.items():
        for retrier in state.get("Retry", ()):
            yield name, retrier


def statements() -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield every policy statement of the template with its resource's name."""
    for name, resource in TEMPLATE["Resources"].items():
        properties = resource.get("Properties", {})
        for policy in properties.get("Policies", ()):
            for statement in policy.get("PolicyDocument", policy)["Statement"]:
                yield name, statement
        for statement in properties.get("PolicyDocument", {}).get("Statement", ()):
            yield name, statement


# ------------------------------------------------------------------------ names


def test_states_files_and_functions_have_the_same_names() -> None:
    """State, tasks/<state>.py and logical id are one name; only those of `ASIDE` are no states."""
    files = {path.stem for path in package_files.tasks().glob("*.py")} - {"__init__"}

    assert {snake(name) for name in (*TASKS, *ASIDE)} == files
    assert {*TASKS, *ASIDE} == set(FUNCTIONS)
    assert not ASIDE & set(TASKS)


@pytest.mark.parametrize("name", ids(TASKS))
def test_a_state_invokes_its_function_and_writes_to_its_own_place(name: str) -> None:
    """Function and result path are derived from the state's name; what StepDown returns is another plan."""
    place = "PlanDeployment" if name == "StepDown" else name

    assert TASKS[name]["Parameters"]["FunctionName"] == f"${{{name}Arn}}"
    assert TASKS[name]["ResultPath"] == f"$.{snake(place)}"


@pytest.mark.parametrize("name", ids(FUNCTIONS))
def test_a_functions_handler_exists(name: str) -> None:
    """The handler is in the task's own module, and can be called."""
    module, _, function = FUNCTIONS[name]["Handler"].rpartition(".")

    assert module == f"tasks.{snake(name)}"
    assert callable(getattr(importlib.import_module(module), function))


def test_the_order_of_the_diagnosis_is_the_workflows() -> None:
    """The first state without a result is the one that failed, so the order must be the true one."""
    diagnosed = [
        name
        for name in walk("CheckArchive")
        if any(one["Next"] == "Diagnose" for one in STATES[name].get("Catch", ()))
    ]

    elsewhere = {"assemble_image", "update_endpoint", "evaluate_quality", "create_component"}
    assert [name for name in state_order.ORDER if name not in elsewhere] == [
        snake(name) for name in diagnosed
    ]
    assert state_order.ORDER.index("evaluate_quality") == state_order.ORDER.index("monitor_endpoint") + 1
    assert state_order.ORDER.index("assemble_image") == state_order.ORDER.index("assemble_archive") + 1
    assert state_order.ORDER.index("update_endpoint") == state_order.ORDER.index("create_endpoint") + 1
    assert state_order.ORDER.index("create_component") == state_order.ORDER.index("poll_endpoint") + 1


def test_the_order_of_the_states_is_what_the_code_renders() -> None:
    """`make definition` was run; what is below the workflow reads the order from there."""
    assert definition.render_order() == Path(state_order.__file__).read_text(encoding="utf-8")


def graph(**states: list[str]) -> dict[str, dict[str, Any]]:
    """Return tasks that are diagnosed, by name, each with the names of what may follow it; one in capitals is not."""
    return {
        name: {
            "ResultPath": f"$.{name}",
            **({"Next": ways[0]} if len(ways) == 1 else {}),
            **({"Choices": [{"Next": one} for one in ways[1:]], "Default": ways[0]} if len(ways) > 1 else {}),
            "Catch": [{"Next": "a"}, {"Next": "Aside" if name.isupper() else "Diagnose"}],
        }
        for name, ways in states.items()
    }


@pytest.mark.parametrize(
    ("states", "wanted"),
    [
        pytest.param(graph(a=["b"], b=["c"], c=[]), "abc", id="one after the other"),
        pytest.param(graph(a=["c", "b"], b=["c"], c=[]), "abc", id="one that may be left out, by default"),
        pytest.param(graph(a=["b", "c"], b=["c"], c=[]), "abc", id="one that may be left out"),
        pytest.param(graph(a=["c", "b"], b=["d"], c=["d"], d=[]), "abcd", id="two ways that join"),
        pytest.param(graph(a=["b"], b=["c"], c=["b", "d"], d=[]), "abcd", id="a loop"),
        pytest.param(graph(a=["B"], B=["c"], c=[]), "ac", id="one whose failure is none of the deployment's"),
        pytest.param(graph(a=["b"], b=[], c=["b"]), "ab", id="one that only a catch leads to"),
    ],
)
def test_a_state_stands_behind_all_that_come_before_it(states: dict[str, Any], wanted: str) -> None:
    """On whatever way it was reached."""
    assert "".join(definition.order(states, "a")) == wanted


def walk(name: str) -> list[str]:
    """Return the states of a deployment that goes well, in order."""
    seen: list[str] = []
    turn = {
        "WhichArtifact": "AssembleArchive",
        "InPlace": "CreateEndpoint",
        "EndpointReady": "SmokeTest",
        "HasQualityGate": "ReadConsumer",
        "WhoseConsumer": "HasCanary",
        "HasCanary": "ShiftConsumer",
        "ConsumerBaked": "UpdateConsumer",
    }
    while name and name not in seen:
        seen.append(name)
        name = turn.get(name) or STATES[name].get("Next", "")
    return seen


# ---------------------------------------------------------- the borders of a task


def of(name: str) -> Any:
    """Return a task's module."""
    return importlib.import_module(f"tasks.{snake(name)}")


@pytest.mark.parametrize("name", ids(FUNCTIONS))
def test_a_task_says_what_it_gets_and_what_it_gives(name: str) -> None:
    """By an Event and a Result in its own file: mypy holds the body against them, the workflow is made of them."""
    task = of(name)

    assert task.run.__annotations__ == {"event": "Event", "clients": "Clients", "return": "Result"}
    assert is_typeddict(task.Event)
    assert json_codec.keys(task.Result)


@pytest.mark.parametrize("name", ids(FUNCTIONS))
def test_what_a_task_gets_is_made_of_what_its_zip_has(name: str) -> None:
    """An Event's hints are evaluated when the task runs, those of all its parts too: none is for mypy alone."""
    waiting, seen = [of(name).Event], set()
    while waiting:
        kind = waiting.pop()
        if dataclasses.is_dataclass(kind) or is_typeddict(kind):
            if kind not in seen:
                seen.add(kind)
                waiting.extend(get_type_hints(kind).values())
        else:
            waiting.extend(get_args(kind))

    assert of(name).Event in seen


@pytest.mark.parametrize("name", ids(TASKS))
def test_a_state_hands_over_what_its_task_reads_and_keeps_what_it_returns(name: str) -> None:
    """Neither more nor less; `log` is the handler's."""
    sent = {key.removesuffix(".$") for key in TASKS[name]["Parameters"]["Payload"]}

    assert sent - {"log"} == set(json_codec.keys(of(name).Event))
    assert TASKS[name]["ResultSelector"] == {
        f"{key}.$": f"$.Payload.{key}" for key in json_codec.keys(of(name).Result)
    }


def test_what_a_rule_hands_over_is_what_its_task_reads() -> None:
    """The sweeper's schedule and the end of an execution; of S3's event only a part is read."""
    made: dict[str, set[str]] = {}
    for resource in TEMPLATE["Resources"].values():
        for target in resource["Properties"].get("Targets", ()) if "Properties" in resource else ():
            if "InputTransformer" in target:
                text = target["InputTransformer"]["InputTemplate"]["Fn::Sub"]
                sent = set(json.loads(re.sub(r"<\w+>", "0", text)))
                # The sweeper has two schedules.
                made[target["Id"]] = made.get(target["Id"], set()) | sent

    assert made == {name: set(json_codec.keys(of(name).Event)) for name in ASIDE - {"StartDeployment"}}


@pytest.mark.parametrize(
    ("payload", "seen"),
    [
        (
            {"request.$": "$.a", "others.$": "$.c"},
            r"lacks \['assembled'\], and nobody reads its \[\]",
        ),
        (
            {"request.$": "$.a", "others.$": "$.c", "assembled.$": "$.b", "more": 1},
            r"lacks \[\], and nobody reads its \['more'\]",
        ),
        (
            {"request.$": "$.a", "others.$": "$.c", "asembled.$": "$.b"},
            r"lacks \['assembled'\], and nobody reads its \['asembled'\]",
        ),
    ],
    ids=["missing", "unread", "misspelt"],
)
def test_a_payload_that_is_not_the_tasks_event_is_refused(payload: dict[str, Any], seen: str) -> None:
    """While the workflow is rendered, with both sides named."""
    with pytest.raises(ValueError, match=rf"tasks.create_model {seen}; wanted the keys of the task's Event"):
        definition._task(create_model, "", payload)


def test_an_updated_endpoint_is_followed_like_a_new_one() -> None:
    """EndpointUpdated puts the one result where the other is."""
    assert (STATES["EndpointUpdated"]["InputPath"], STATES["EndpointUpdated"]["ResultPath"]) == (
        "$.update_endpoint",
        "$.create_endpoint",
    )
    assert set(json_codec.keys(update_endpoint.Result)) == set(json_codec.keys(create_endpoint.Result))


# ----------------------------------------------------------------------- errors


@pytest.mark.parametrize(
    "name",
    ids(sorted({error for state, one in retriers() if state in TASKS for error in one["ErrorEquals"]})),
)
def test_a_retried_error_is_one_that_can_happen(name: str) -> None:
    """A name that nobody raises is a retry that never happens."""
    assert name in errors.names() or name in AWS_ERRORS


@pytest.mark.parametrize("name", ids(errors.names(errors.TransientError)))
def test_what_may_pass_later_is_retried(name: str) -> None:
    """Every leaf of TransientError stands in some state's Retry."""
    assert any(name in retrier["ErrorEquals"] for _, retrier in retriers())


@pytest.mark.parametrize(
    "name",
    ids([*errors.names(errors.PermanentError), *errors.names(errors.Failed), "States.ALL", "States.Timeout"]),
)
def test_what_cannot_pass_later_is_never_retried(name: str) -> None:
    """Nor is "everything", which would have it among it."""
    assert not [state for state, retrier in retriers() if name in retrier["ErrorEquals"]]


def stated(name: str, kind: type[errors.SealiftError]) -> list[str]:
    """Return the names of the errors of a kind that a task states."""
    return [error.__name__ for error in of(name).handler.errors if issubclass(error, kind)]


@pytest.mark.parametrize("name", ids(TASKS))
def test_a_state_retries_what_its_task_says_may_pass(name: str) -> None:
    """In the task's order, after Lambda's own trouble, throttling and outages, which every state retries."""
    caught = [error for state, retrier in retriers() if state == name for error in retrier["ErrorEquals"]]
    own = stated(name, errors.TransientError)

    assert caught[-len(own) :] == own if own else True
    assert set(caught) == {*own, "Throttled", "ServiceUnavailable"} | AWS_ERRORS
    assert len(set(caught)) == len(caught)


@pytest.mark.parametrize("name", ids(TASKS))
def test_a_state_catches_what_its_task_says_is_gone_on_from(name: str) -> None:
    """Each error that does not pass has a catcher of its own there, and none is for what is not stated."""
    special = {error for catcher in TASKS[name]["Catch"][:-2] for error in catcher["ErrorEquals"]}
    own = set(stated(name, errors.SealiftError)) - set(stated(name, errors.TransientError))

    assert own <= special
    assert bool(own) is bool(special)
    assert special - own <= set(definition.LADDER)


FINAL = {
    ("ReadConsumer", "ConsumerChanged"): "what a person changed during the switch stays so",
    ("StepDown", "ResourceLimitExceeded"): "the end of the ladder; its states have waited already",
}
"""What a task raises that may pass, and that its state does not wait for, with the reason."""


@pytest.mark.parametrize("name", ids(TASKS))
def test_a_task_states_what_it_says_it_raises(name: str) -> None:
    """Whatever may pass later, or leads to another state, of the errors in the docstring of `run`."""
    said = set(re.findall(r"^ +(\w+): ", (of(name).run.__doc__ or "").partition("Raises:")[2], re.MULTILINE))
    matched = {*errors.names(errors.TransientError), "EndpointMoved", "ConsumerMoved"}
    final = {error for task, error in FINAL if task == name}

    assert (said & matched) - final <= set(stated(name, errors.SealiftError))
    assert final <= said - set(stated(name, errors.SealiftError))


PREFIXES = {
    "sagemaker": "sagemaker",
    "sagemaker_runtime": "sagemaker",
    "cloudwatch": "cloudwatch",
    "lambda_": "lambda",
    "logs": "logs",
    "s3": "s3",
    "sns": "sns",
    "stepfunctions": "states",
}
"""What IAM's actions of a client's service begin with."""


def calls(text: str) -> set[str]:
    """Return the IAM actions of the calls that a task's own file makes, or hands on to be made."""
    return {
        f"{PREFIXES[node.value.attr]}:{''.join(word.capitalize() for word in node.attr.split('_'))}"
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.Attribute)
        and isinstance(node.value, ast.Attribute)
        and isinstance(node.value.value, ast.Name)
        and node.value.value.id == "clients"
    }


@pytest.mark.parametrize("name", ids(FUNCTIONS))
def test_a_task_may_make_the_calls_that_stand_in_its_file(name: str) -> None:
    """Those of the rooms below are seen when it runs (`tests/system/workflow/test_least_privilege.py`)."""
    may = {action for statement in of(name).handler.may for action in statement.actions}
    text = (package_files.tasks() / f"{snake(name)}.py").read_text(encoding="utf-8")

    assert calls(text) <= may


def test_a_call_is_seen_whether_it_is_made_or_handed_on() -> None:
    """By its client; what is called otherwise is no call to AWS."""
    text = "clients.sagemaker.create_model(a=1)\nlook(clients.logs.get_log_events, other.s3.get_object, clients.s3)"

    assert calls(text) == {"sagemaker:CreateModel", "logs:GetLogEvents"}


def a_task(*stated: type[errors.SealiftError]) -> ModuleType:
    """Return a module whose task states these errors."""
    module = ModuleType("tasks.time_endpoint")
    module.handler = Task(of("CreateModel").run, errors=stated)  # type: ignore[attr-defined]
    return module


def test_retriers_stand_in_the_order_of_the_task() -> None:
    """Errors that are waited for alike have one retrier; what does not pass has none."""
    task = a_task(
        errors.ConsumerBusy,
        errors.QuotaTooSmall,
        errors.NotYetVisible,
        errors.ConsumerChanged,
        errors.EndpointBusy,
    )

    usual = definition._retries(task, ())
    assert usual == [definition.BUSY_CONSUMER, definition.CONSISTENCY, definition.BUSY_ENDPOINT]
    own = definition._retries(task, (definition.LEAVING_ENDPOINT,))
    assert own == [definition.BUSY_CONSUMER, definition.CONSISTENCY, definition.LEAVING_ENDPOINT]


@pytest.mark.parametrize(
    ("stated", "seen"),
    [
        pytest.param(
            (errors.NotYetVisible, errors.SmokeTestFailed), r"states \['SmokeTestFailed'\], after", id="final"
        ),
        pytest.param((errors.Throttled,), r"states \['Throttled'\], after", id="of every task"),
        pytest.param(
            (errors.ConsumerBusy,),
            r"states \['ConsumerBusy'\], and what retries them retries \['ConsumerChanged'\] as well",
            id="half",
        ),
    ],
)
def test_an_error_with_which_the_workflow_does_nothing_is_refused(
    stated: tuple[type[errors.SealiftError], ...], seen: str
) -> None:
    """And a retrier for more than may happen: both while the workflow is rendered."""
    with pytest.raises(ValueError, match=rf"^tasks.time_endpoint {seen}"):
        definition._retries(a_task(*stated), ())


@pytest.mark.parametrize("name", ids(name for name, state in STATES.items() if state["Type"] == "Task"))
def test_every_failure_is_caught_and_comes_to_an_end(name: str) -> None:
    """A deployment's failures go to Diagnose; those of the undoing and the telling go on without it."""
    *special, catcher = STATES[name]["Catch"]
    if name in TASKS:
        # States.ALL does not match it, and what was made must be undone.
        assert special.pop() == {**catcher, "ErrorEquals": ["States.DataLimitExceeded"]}
    expected = {
        "RetirePrevious": "NotRetired",
        "RestoreCapacity": "CapacityNotRestored",
        "Diagnose": "Undiagnosed",
        "RollBack": "RollBackFailed",
        "NotifyFailure": "DeploymentFailed",
        "NotifySuccess": "DeploymentSucceeded",
    }

    assert catcher["ErrorEquals"] == ["States.ALL"]
    assert catcher["Next"] == expected.get(name, "Diagnose")
    assert catcher["ResultPath"] not in {None, "$"}
    assert bool(special) is (name in LADDER | {"PollEndpoint", "ShiftConsumer", "UpdateConsumer"})


def test_a_rollback_that_failed_names_what_may_be_left() -> None:
    """Whatever it was that failed; before there was a plan, nothing can be left."""
    choice = STATES["RollBackFailed"]
    (planned,) = choice["Choices"]

    assert (planned["Variable"], planned["IsPresent"]) == ("$.plan_deployment", True)
    told = STATES[planned["Next"]]["Parameters"]["cause.$"]
    assert "$.plan_deployment.names" in told
    assert "$.plan_deployment.room" in told
    assert "plan_deployment" not in STATES[choice["Default"]]["Parameters"]["cause.$"]


@pytest.mark.parametrize("name", ["CreateEndpointConfig", "CreateEndpoint", "UpdateEndpoint"])
def test_a_quota_leads_to_the_ladder_and_back(name: str) -> None:
    """One that is too small or not waited for at once, one that is used up after retries; then another plan."""
    catcher = STATES[name]["Catch"][0]
    retried = {error for rule in STATES[name]["Retry"] for error in rule["ErrorEquals"]}

    assert set(catcher["ErrorEquals"]) == {"QuotaTooSmall", "QuotaUsedUp", "ResourceLimitExceeded"}
    assert set(catcher["ErrorEquals"]) & retried == {"ResourceLimitExceeded"}
    assert catcher["Next"] == "StepDown"
    assert STATES["StepDown"]["ResultPath"] == "$.plan_deployment"
    assert STATES["StepDown"]["ResultSelector"] == STATES["PlanDeployment"]["ResultSelector"]
    assert STATES["StepDown"]["Next"] == "CreateEndpointConfig"


@pytest.mark.parametrize("name", ["CreateEndpoint", "UpdateEndpoint", "PollEndpoint"])
def test_an_endpoint_that_came_or_went_is_planned_with(name: str) -> None:
    """The strategy in_place has one endpoint, and another deployment may have made or deleted it meanwhile."""
    catchers = {tuple(one["ErrorEquals"]): one["Next"] for one in STATES[name]["Catch"]}

    assert catchers["EndpointMoved",] == "PlanDeployment"


@pytest.mark.parametrize("name", ["ShiftConsumer", "UpdateConsumer"])
def test_a_consumer_that_somebody_else_switched_is_read_again(name: str) -> None:
    """What is written down for the undoing must be what the switch replaces; ReadConsumer counts, so it ends."""
    catcher = STATES[name]["Catch"][0]

    assert (catcher["ErrorEquals"], catcher["Next"]) == (["ConsumerMoved"], "ReadConsumer")
    assert STATES["ReadConsumer"]["Parameters"]["Payload"]["results.$"] == "$"


def test_every_failure_is_told_in_the_same_three_parts() -> None:
    """Whatever goes to RollBack, diagnosed or not, has what RollBack makes the three lines of."""
    parts = {"what", "why", "fix", "error", "cause"}

    assert set(ToldFailure.__annotations__) <= parts
    assert parts <= {name.removesuffix(".$") for name in STATES["Undiagnosed"]["Parameters"]}
    assert parts <= set(diagnosis.Diagnosed.__annotations__)
    told = STATES["NotifyFailure"]["Parameters"]["Message.$"]
    assert told.startswith("States.Format('{} (execution {})', $.roll_back.cause")
    assert STATES["DeploymentFailed"]["CausePath"] == "$.roll_back.cause"


def test_a_failure_always_ends_in_the_fail_state() -> None:
    """From Diagnose on there is one way, and it ends in DeploymentFailed, rolled back or not."""
    waiting, reached = ["Diagnose"], set()
    while waiting:
        name = waiting.pop()
        reached.add(name)
        waiting.extend(after(STATES[name]) - reached)

    ends = {name for name in reached if not after(STATES[name])}
    assert ends == {"DeploymentFailed"}
    assert "RollBack" in reached
    assert not reached & set(walk("CheckArchive"))


def test_every_retrier_is_bounded_twice() -> None:
    """By attempts and by time: no single wait is longer than five minutes, none goes on for over 25.

    But for a rollback's of an endpoint, which goes on for as long as SageMaker lets nobody delete it.
    """
    for state, retrier in retriers():
        if state == "RollBack" and "EndpointBusy" in retrier["ErrorEquals"]:
            continue
        assert 0 < retrier["MaxAttempts"] < 100, state
        waits = [
            min(
                retrier["IntervalSeconds"] * retrier["BackoffRate"] ** n,
                retrier.get("MaxDelaySeconds", float("inf")),
            )
            for n in range(retrier["MaxAttempts"])
        ]
        assert max(waits) <= 300, state
        assert sum(waits) <= 25 * 60, state


@pytest.mark.parametrize("name", ["CreateModel", "CreateEndpointConfig", "CreateEndpoint", "UpdateEndpoint"])
def test_a_quota_is_tried_again_with_full_jitter_and_a_ceiling(name: str) -> None:
    """Two deployments that wait for the same quota must not race each other."""
    (retrier,) = [
        one for state, one in retriers() if state == name and "ResourceLimitExceeded" in one["ErrorEquals"]
    ]

    assert retrier["JitterStrategy"] == "FULL"
    assert retrier["MaxDelaySeconds"] > retrier["IntervalSeconds"]
    assert retrier["BackoffRate"] > 1
    assert retrier["ErrorEquals"] == ["ResourceLimitExceeded"]


# ------------------------------------------------------------------ the poll loop


def test_the_poll_loop_chooses_by_the_words_of_the_poll() -> None:
    """The words in EndpointReady are the verdicts that a poll returns; FAILED is raised instead."""
    chosen = {
        rule["StringEquals"]: rule["Next"]
        for rule in STATES["EndpointReady"]["Choices"]
        if rule["Variable"] == "$.poll_endpoint.verdict"
    }

    assert chosen == {
        EndpointVerdict.READY.value: "SmokeTest",
        EndpointVerdict.HOLLOW.value: "CreateComponent",
        EndpointVerdict.WAIT.value: "WaitForEndpoint",
    }
    assert STATES["CreateComponent"]["Next"] == "WaitForEndpoint"
    assert set(chosen) | {EndpointVerdict.FAILED.value} == {verdict.value for verdict in EndpointVerdict}


def test_the_poll_loop_has_a_deadline_that_comes_before_waiting() -> None:
    """Ready wins over late, late wins over waiting, and a word that nobody knows ends it too."""
    choices = STATES["EndpointReady"]["Choices"]

    assert [rule["Next"] for rule in choices] == [
        "SmokeTest",
        "EndpointTimedOut",
        "CreateComponent",
        "WaitForEndpoint",
    ]
    assert choices[1]["Variable"] == "$$.State.EnteredTime"
    assert choices[1]["TimestampGreaterThanEqualsPath"] == "$.create_endpoint.deadline_at"
    assert STATES["EndpointReady"]["Default"] == "EndpointTimedOut"
    assert STATES["EndpointTimedOut"]["Parameters"]["Error"] == errors.EndpointTimedOut.__name__
    assert STATES["Undiagnosed"]["Parameters"]["error"] == errors.Undiagnosed.__name__


# ------------------------------------------------------- what flows between states

PATH = re.compile(r"(?<!\$)\$\.([a-z_]+)(?:\.(\w+))?")
Known = dict[str, frozenset[str] | None]
"""Result path to its keys; None where they are not known."""


def references(value: Any, name: str = "") -> Iterator[tuple[str, str]]:
    """Yield the first two segments of every path that a piece of a state refers to."""
    if isinstance(value, dict):
        if "IsPresent" in value:
            return  # It asks whether it is there.
        for key, inner in value.items():
            # OutputPath is of what the state itself made.
            if key not in {"ResultPath", "ResultSelector", "OutputPath", "Retry", "Catch", "Comment"}:
                yield from references(inner, key)
    elif isinstance(value, list):
        for inner in value:
            yield from references(inner, name)
    elif isinstance(value, str) and (name.endswith((".$", "Path")) or name == "Variable"):
        yield from ((found[1], found[2] or "") for found in PATH.finditer(value))


def keys(state: dict[str, Any]) -> frozenset[str] | None:
    """Return the keys that a state's result has."""
    made = state.get("ResultSelector") or (state.get("Parameters") if state["Type"] == "Pass" else None)
    return frozenset(name.removesuffix(".$") for name in made) if made else None


def known() -> dict[str, Known]:
    """Return what is in the execution's data when a state is entered, by whatever way it was reached."""
    entered: dict[str, Known] = {"CheckArchive": {}}
    waiting = ["CheckArchive"]
    while waiting:
        name = waiting.pop()
        state, before = STATES[name], entered[name]
        path = state.get("ResultPath", "$.").removeprefix("$.")
        done = {**before, path: keys(state)} if path else before
        # Chosen because it is there, with keys that are not known here.
        present = {
            rule["Next"]: {rule["Variable"].removeprefix("$."): None}
            for rule in state.get("Choices", ())
            if rule.get("IsPresent")
        }
        targets = after(state) - {one["Next"] for one in state.get("Catch", ())}
        ways = [(target, {**done, **present.get(target, {})}) for target in targets]
        ways += [
            (one["Next"], {**before, one["ResultPath"].removeprefix("$."): frozenset({"Error", "Cause"})})
            for one in state.get("Catch", ())
        ]
        for target, data in ways:
            old = entered.get(target)
            new = (
                data if old is None else {key: both(old[key], data[key]) for key in old.keys() & data.keys()}
            )
            if new != old:
                entered[target] = new
                waiting.append(target)
    return entered


def both(one: frozenset[str] | None, other: frozenset[str] | None) -> frozenset[str] | None:
    """Return the keys that both ways give."""
    return other if one is None else one if other is None else one & other


@pytest.mark.parametrize("name", ids(STATES))
def test_what_a_state_refers_to_is_there_on_every_way_to_it(name: str) -> None:
    """Each `$.result.key` was produced before, whichever states came before; a typing error fails here."""
    there = known()[name]

    for path, key in references(STATES[name]):
        assert path in there, f"$.{path} is not there on every way to {name}"
        assert not key or there[path] is None or key in (there[path] or ()), f"$.{path}.{key} in {name}"


def test_no_result_is_overwritten_on_the_way() -> None:
    """Each task has a place of its own in the data, so that a later state finds all of it; but for another plan."""
    places = [state["ResultPath"] for name, state in TASKS.items() if name != "StepDown"]

    assert len(places) == len(set(places))


def events(name: str, *, retried: bool = False) -> int:
    """Return the events that a visit of a state adds to a history, with every retry that it may have if asked."""
    state = STATES[name]
    if state["Type"] != "Task":
        # Entered and exited; a Fail state is never exited.
        return 1 if state["Type"] == "Fail" else 2
    # Entered, scheduled, started, succeeded, exited; a retry has failed, scheduled and started once more.
    retries = sum(retrier["MaxAttempts"] for retrier in state.get("Retry", ())) if retried else 0
    return 5 + 3 * retries


def test_a_look_at_the_endpoint_takes_as_many_events_as_requests_are_judged_by() -> None:
    """An interval and a deadline that a history has no room for are refused by this figure."""
    loop = ["WaitForEndpoint", "PollEndpoint", "EndpointReady"]

    assert STATES["EndpointReady"]["Choices"][-1]["Next"] == loop[0]
    assert [STATES[name]["Next"] for name in loop[:2]] == loop[1:]
    assert sum(events(name) for name in loop) == request_checks.EVENTS_OF_A_LOOK


def test_a_history_has_room_for_all_but_the_looks() -> None:
    """Each state once with every retry, each way back as often as it may be taken, and the looks at a canary."""
    ladder = ["StepDown", "CreateEndpointConfig", "MakeRoom", "InPlace", "CreateEndpoint"]
    bake = ["BakeConsumer", "WatchConsumer", "ConsumerBaked"]
    again = ["ReadConsumer", "HasCanary", "UpdateConsumer"]
    bake_s = request_fields.CANARY.fields["bake_s"].check
    assert isinstance(bake_s, Integer)
    looks, _ = consumer.bake(bake_s.high)

    gate = ["EvaluateQuality", "QualityEvaluated"]
    of_gate = request_fields.QUALITY.fields["deadline_s"].check
    assert isinstance(of_gate, Integer)

    aside = 2 + sum(events(name, retried=True) for name in STATES)
    aside += math.ceil(of_gate.high / evaluate_quality.ASKS_S) * sum(map(events, gate))
    aside += (len(quotas.Rung) + quotas.MOST_ROOM) * sum(map(events, ladder))
    aside += MOST_READS * sum(map(events, again))
    aside += looks * sum(map(events, bake))

    assert aside <= request_checks.EVENTS_ASIDE, aside


# ---------------------------------------------------------------------- rendering


@pytest.mark.filterwarnings("ignore:pkg_resources is deprecated:UserWarning")  # the SDK imports it
def test_the_rendered_workflow_is_what_the_code_renders() -> None:
    """`make definition` was run; the checked-in file is what gets deployed."""
    assert definition.render() == RENDERED


def test_the_workflow_passes_statelint() -> None:
    """The specification's own linter finds nothing."""
    assert Linter.validate(RENDERED) == []


def test_every_state_is_reached() -> None:
    """Nothing in the file is dead."""
    reached, waiting = set(), ["CheckArchive"]
    while waiting:
        name = waiting.pop()
        reached.add(name)
        waiting.extend(after(STATES[name]) - reached)

    assert reached == set(STATES)


def test_the_substitutions_are_those_that_the_workflow_has() -> None:
    """Every ${Name} is filled in by the template, and nothing is filled in for nobody."""
    used = set(re.findall(r"\$\{(\w+)\}", RENDERED))

    assert set(TEMPLATE["Resources"]["Deployment"]["Properties"]["DefinitionSubstitutions"]) == used


def waits_s(state: str, error: str) -> float:
    """Return the seconds that a state's retries of an error last together at the most."""
    (rule,) = [one for one in STATES[state]["Retry"] if error in one["ErrorEquals"]]
    first, rate, longest = rule["IntervalSeconds"], rule["BackoffRate"], rule["MaxDelaySeconds"]
    return sum(min(first * rate**n, longest) for n in range(rule["MaxAttempts"]))


def test_a_rollback_waits_as_long_as_an_endpoint_may_be_creating() -> None:
    """SageMaker deletes none before: on instances that is both of the container's time-outs, and finding them."""
    own_s = 2 * limits.START_TIMEOUT_S.value + definition.PROVISIONING_S

    assert own_s <= waits_s("RollBack", "EndpointBusy") < own_s + 60


@pytest.mark.parametrize("asks", ["CreateEndpoint", "UpdateEndpoint"])
def test_the_longest_way_through_a_rollback_ends_before_the_execution_does(asks: str) -> None:
    """Out of time nothing is undone: each state's longest try, its waits for quota and endpoints, the deadline."""
    before = [
        "CheckArchive",
        "PlanDeployment",
        "AssembleArchive",
        "CreateModel",
        "CreateEndpointConfig",
        "MakeRoom",
        asks,
    ]
    seconds = sum(STATES[name]["TimeoutSeconds"] for name in [*before, "SmokeTest", "Diagnose", "RollBack"])
    for name in before:
        names = {error for rule in STATES[name]["Retry"] for error in rule["ErrorEquals"]}
        seconds += sum(
            waits_s(name, one) for one in ("ResourceLimitExceeded", "EndpointBusy") if one in names
        )
    deadline = request_fields.EXECUTION_INPUT.fields["deadline_s"].check
    of_gate = request_fields.QUALITY.fields["deadline_s"].check
    assert isinstance(deadline, Integer)
    assert isinstance(of_gate, Integer)
    seconds += deadline.high + waits_s("SmokeTest", "ModelNotReady") + waits_s("RollBack", "EndpointBusy")
    # What is asked as the gate's time ends has its own.
    seconds += of_gate.high + STATES["EvaluateQuality"]["TimeoutSeconds"]
    seconds += waits_s("EvaluateQuality", "ModelNotReady")

    assert seconds <= json.loads(RENDERED)["TimeoutSeconds"]


def test_no_partition_is_taken_for_granted() -> None:
    """In China and in GovCloud an ARN begins otherwise; AWS fills in which."""
    assert "arn:aws" not in RENDERED
    integrations = {one["Resource"] for one in STATES.values() if one["Type"] == "Task"}
    assert integrations == {
        f"arn:${{Partition}}:states:::{name}" for name in ("lambda:invoke", "sns:publish")
    }
    substitutions = TEMPLATE["Resources"]["Deployment"]["Properties"]["DefinitionSubstitutions"]
    assert substitutions["Partition"] == {"Ref": "AWS::Partition"}


# ----------------------------------------------------------------------- template


@pytest.mark.parametrize("name", ids(TASKS))
def test_a_function_ends_before_its_state(name: str) -> None:
    """A state that gives up first would leave its function working unseen."""
    timeout = FUNCTIONS[name].get("Timeout", TEMPLATE["Globals"]["Function"]["Timeout"])

    assert timeout == of(name).handler.timeout_s
    assert timeout + 10 <= TASKS[name]["TimeoutSeconds"]
    assert timeout <= 900


def test_the_state_machine_may_invoke_its_functions_and_no_others() -> None:
    """The policy lists what the definition invokes."""
    (statement,) = [
        one for name, one in statements() if name == "Deployment" and one["Action"] == "lambda:InvokeFunction"
    ]

    assert {target["Fn::GetAtt"][0] for target in statement["Resource"]} == set(TASKS)


@pytest.fixture(scope="module")
def translated() -> dict[str, Any]:
    """The template as CloudFormation gets it."""
    keys = dict.fromkeys(bundles.functions(TEMPLATE), "lambda/1.zip")
    resolved = template.resolve(TEMPLATE, bucket="code", keys=keys, definition=json.loads(RENDERED))
    document: dict[str, Any] = sam.translate(resolved, {}, "us-east-1")
    return document


def test_the_template_translates(translated: dict[str, Any]) -> None:
    """AWS's own translator takes it, and every function and the state machine are there."""
    types = {name: resource["Type"] for name, resource in translated["Resources"].items()}

    assert {name for name, kind in types.items() if kind == "AWS::Lambda::Function"} == set(FUNCTIONS)
    assert types["Deployment"] == "AWS::StepFunctions::StateMachine"


def test_each_function_has_a_role_of_its_own(translated: dict[str, Any]) -> None:
    """No function has another's permissions."""
    roles = [translated["Resources"][name]["Properties"]["Role"]["Fn::GetAtt"][0] for name in FUNCTIONS]

    assert len(set(roles)) == len(FUNCTIONS)
    assert "EndpointRole" not in roles


ROLES = "arn:aws:iam::123456789012:role/a,arn:aws:iam::123456789012:role/b"


@pytest.mark.parametrize("roles", ["", ROLES], ids=["none", "two"])
def test_the_roles_that_may_be_asked_for_are_those_that_may_be_handed_on(roles: str) -> None:
    """One parameter says both, so that a request is refused before SageMaker would refuse it."""
    keys = dict.fromkeys(bundles.functions(TEMPLATE), "lambda/1.zip")
    whole = template.resolve(TEMPLATE, bucket="code", keys=keys, definition=json.loads(RENDERED))
    made = sam.processed(whole, {"EndpointRoleArns": roles}, "us-east-1")["Resources"]
    deployment = made["Deployment"]["Properties"]
    defaults = json.loads(deployment["DefinitionString"])["States"]["CheckArchive"]["Parameters"]["Payload"]

    assert defaults["defaults"]["endpoint_role_arns"] == "${EndpointRoleArns}"
    assert deployment["DefinitionSubstitutions"]["EndpointRoleArns"] == roles
    assert ("EndpointRolesUse" in made) is bool(roles)
    if roles:
        (statement,) = made["EndpointRolesUse"]["Properties"]["PolicyDocument"]["Statement"]
        assert (statement["Action"], statement["Resource"]) == ("iam:PassRole", roles.split(","))
        assert statement["Condition"] == {"StringEquals": {"iam:PassedToService": "sagemaker.amazonaws.com"}}
        assert made["EndpointRolesUse"]["Properties"]["Roles"] == [{"Ref": "CreateModelRole"}]


def test_the_policies_that_sam_adds_are_named_in_the_documents(translated: dict[str, Any]) -> None:
    """They stand in no template of ours."""
    managed = {
        arn["Fn::Sub"].rpartition("/")[2] if isinstance(arn, dict) else arn.rpartition("/")[2]
        for one in translated["Resources"].values()
        if one["Type"] == "AWS::IAM::Role"
        for arn in one["Properties"].get("ManagedPolicyArns", ())
    }
    page = (package_files.template().parent / "docs" / "iam.md").read_text(encoding="utf-8")

    assert len(managed) == 2
    assert [name for name in managed if f"`{name}`" not in page] == []


def test_no_permission_is_for_every_action() -> None:
    """Each allowed action is named in full."""
    for name, statement in statements():
        if statement["Effect"] == "Allow":
            actions = statement["Action"]
            listed = [actions] if isinstance(actions, str) else actions
            assert not [action for action in listed if "*" in action], name


def test_a_permission_on_everything_says_why() -> None:
    """Above each statement that names no resource stands a comment."""
    lines = package_files.template().read_text(encoding="utf-8").splitlines()
    everything = [n for n, line in enumerate(lines) if line.strip() == 'Resource: "*"']

    assert everything
    for n in everything:
        begin = next(m for m in range(n, 0, -1) if lines[m].strip().startswith("- Effect:"))
        assert lines[begin - 1].strip().startswith("#"), f"line {n + 1}: {lines[n]}"


def test_only_the_known_statements_have_no_resource() -> None:
    """The comments' statements are all that there are."""
    wide = sorted(name for name, one in statements() if one["Effect"] == "Allow" and one["Resource"] == "*")

    looking = [
        "EvaluateQuality",
        "PlanDeployment",
        "RestoreCapacity",
        "RetirePrevious",
        "RollBack",
        "ShiftConsumer",
        "StepDown",
        "Sweep",
        "WatchConsumer",
    ]
    others = ["Deployment", "Deployment", "EndpointNetworkUse", "EndpointRole", "EndpointRole"]
    assert wide == [*others, *looking]


def test_the_stack_needs_no_parameter() -> None:
    """Stack and go: every parameter has a default."""
    assert all("Default" in parameter for parameter in TEMPLATE["Parameters"].values())
