"""Several consumers of one service: all are switched, or all are as they were; one of two has an alias."""

from __future__ import annotations

import json
from dataclasses import replace
from io import BytesIO
from typing import TYPE_CHECKING, Any

import pytest
from botocore.exceptions import ClientError

from pipeline.errors import (
    ConsumerBusy,
    ConsumerFailed,
    ConsumerMoved,
    ConsumerNotFound,
    Superseded,
    Throttled,
)
from pipeline.planning import consumer
from pipeline.stack.bundles import code_of
from tests.functional.tasks.conftest import MotoConsumer
from tests.functional.tasks.test_consumer_switch import (
    BEFORE,
    CANARY,
    CONSUMER,
    NEWER,
    OLDER,
    RESULTS,
    calls_another,
    configured,
    executes,
    serves_another,
)
from tests.functional.tasks.test_plan_deployment import DEFAULTS, EXECUTION
from tests.functional.tasks.test_roll_back import nothing_there, results
from tests.plans import SERVING, a_checked_upload

if TYPE_CHECKING:
    from pipeline.aws.clients import Clients
    from tests.functional.tasks.conftest import Script, Task

ASSISTANT: dict[str, Any] = {**CONSUMER, "alias": "live"}
REPORTS: dict[str, Any] = {**CONSUMER, "function_name": "reports"}
BOTH = [ASSISTANT, REPORTS]
STEPS = [{**ASSISTANT, "canary": CANARY}, REPORTS]
OLD, NEW = {"OTHER": "kept", "ENDPOINT_NAME": "old_0"}, {"OTHER": "kept", "ENDPOINT_NAME": "harbour-0"}


class Two(MotoConsumer):
    """The function with an alias, and a plain one beside it; each call of Lambda can be made to fail."""

    def __init__(self, clients: Clients, scripted: Clients) -> None:
        super().__init__(clients, scripted)
        self.answers: dict[str, object] = {}
        self.failing: dict[tuple[str, str], list[Exception]] = {}
        self._lambda.create_function(
            FunctionName="reports",
            Runtime="python3.13",
            Role=self._lambda.get_function_configuration(FunctionName="assistant")["Role"],
            Handler="consumer.handler",
            Code={"ZipFile": code_of({"consumer.py": b""}).body},
            Environment={"Variables": OLD},
        )

    def __getattr__(self, name: str) -> Any:
        def call(**request: Any) -> Any:
            failures = self.failing.get((name, str(request.get("FunctionName"))))
            if failures:
                raise failures.pop(0)
            return getattr(self._lambda, name)(**request)

        return getattr(self._lambda, name) if name == "get_paginator" else call

    def invoke(self, **request: Any) -> dict[str, Any]:
        """Answer as the one that was asked would."""
        self.asked.append(request["FunctionName"])
        answer = self.answers.get(request["FunctionName"].partition(":")[0], self.answer)
        return {"Payload": BytesIO(json.dumps(answer).encode())}

    def fail(self, operation: str, function: str, *errors: Exception) -> None:
        """Let the next calls for a function fail."""
        self.failing[operation, function] = [*errors]

    def change(self, endpoint: str, function: str = "reports") -> None:
        """Switch a function, as somebody else might."""
        variables = {"OTHER": "kept", "ENDPOINT_NAME": endpoint}
        self._lambda.update_function_configuration(
            FunctionName=function, Environment={"Variables": variables}
        )

    def route(self) -> consumer.Alias:
        """Return where the alias sends its calls: no weights and an empty map of them are the same."""
        found = consumer.Alias.from_response(self.get_alias(FunctionName="assistant", Name="live"))
        return replace(found, revision_id=None)

    def all_variables(self) -> tuple[dict[str, str], dict[str, str]]:
        """Return those of both."""
        found = self._lambda.get_function_configuration(FunctionName="reports")
        return self.variables(), found["Environment"]["Variables"]


@pytest.fixture
def two(moto_clients: Clients, script: Script) -> Two:
    """Both consumers, with state, beside a scripted SageMaker."""
    return Two(moto_clients, script.clients)


def error(code: str, operation: str = "UpdateFunctionConfiguration") -> ClientError:
    """Return an error of Lambda."""
    return ClientError({"Error": {"Code": code, "Message": "told by Lambda"}}, operation)


def read(do: Task, two: Two, asked: list[dict[str, Any]], **more: Any) -> dict[str, Any]:
    """Return both as they are."""
    return do("ReadConsumer", two.clients, consumers=asked, results={**RESULTS, **more})


def step(
    do: Task, name: str, two: Two, asked: list[dict[str, Any]], before: dict[str, Any]
) -> dict[str, Any]:
    """Run ShiftConsumer or UpdateConsumer."""
    event = {"consumers": asked, "before": before, "endpoint_name": "harbour-0", "prompt": "What?"}
    more = {"serving": SERVING, "tags": []} if name == "UpdateConsumer" else {}
    return do(name, two.clients, **event, **more)


def undo(do: Task, two: Two, before: dict[str, Any]) -> dict[str, Any]:
    """Roll back."""
    return do("RollBack", two.clients, results=results(read_consumer=before))


# ------------------------------------------------------------------------- at once


def test_all_are_switched_and_each_is_asked(do: Task, two: Two) -> None:
    """The result names them in the request's order, each with its answer."""
    two.answers["reports"] = {"answer": "It is late."}
    result = step(do, "UpdateConsumer", two, BOTH, read(do, two, BOTH))

    assert two.all_variables() == (NEW, NEW)
    assert two.asked == ["assistant:live", "reports"]
    told = [(one["function_name"], one["version"], one["answer"]["answer"]) for one in result["consumers"]]
    assert told == [("assistant", "2", "It carries cargo."), ("reports", None, "It is late.")]


def test_each_is_asked_with_its_own_event_and_expectation(do: Task, two: Two) -> None:
    """One is content with what fails the other."""
    asked = [ASSISTANT, {**REPORTS, "expect": {"contains": "late"}}]
    before = read(do, two, asked)

    with pytest.raises(ConsumerFailed, match=r"reports answered .* does not contain 'late'"):
        step(do, "UpdateConsumer", two, asked, before)

    two.answers["reports"] = {"answer": "It is late."}
    step(do, "UpdateConsumer", two, asked, before)


@pytest.mark.parametrize("asked", [BOTH, BOTH[::-1], STEPS], ids=["at once", "reversed", "in steps"])
def test_when_one_fails_all_are_put_back(
    do: Task, script: Script, two: Two, asked: list[dict[str, Any]]
) -> None:
    """Variables, alias, routing and versions are exactly as they were, whichever was the first."""
    there, versions, before = two.route(), two.versions(), read(do, two, asked)
    two.answers["reports"] = {"answer": ""}
    if asked is STEPS:
        step(do, "ShiftConsumer", two, asked, before)
    with pytest.raises(ConsumerFailed, match="reports answered"):
        step(do, "UpdateConsumer", two, asked, before)
    nothing_there(script)

    result = undo(do, two, before)

    assert two.all_variables() == (OLD, OLD)
    assert (two.route(), two.versions()) == (there, versions)
    assert {
        "ENDPOINT_NAME of assistant: 'old_0' as before",
        "ENDPOINT_NAME of reports: 'old_0' as before",
    } <= {*result["restored"]}
    assert result["not_undone"] == []


def test_a_retry_goes_on_where_the_first_try_ended(do: Task, two: Two) -> None:
    """The first was switched and the second refused for the moment; nothing is done twice."""
    before = read(do, two, BOTH)
    two.fail("update_function_configuration", "reports", error("TooManyRequestsException"))
    with pytest.raises(Throttled):
        step(do, "UpdateConsumer", two, BOTH, before)
    assert two.all_variables() == (NEW, OLD)

    step(do, "UpdateConsumer", two, BOTH, before)

    assert two.all_variables() == (NEW, NEW)
    assert two.versions() == ["$LATEST", "1", "2"]


def test_after_any_call_that_was_the_last_of_a_try_a_retry_ends_well_and_an_undoing_is_exact(
    do: Task, script: Script, two: Two
) -> None:
    """Whichever call fails first: going on switches both, and going back leaves both as they were."""
    calls = [
        (operation, function)
        for function in ("assistant", "reports")
        for operation in (
            "get_function_configuration",
            "update_function_configuration",
            "publish_version",
            "get_alias",
            "update_alias",
        )
        if function == "assistant" or "alias" not in operation
    ]
    there, versions = two.route(), two.versions()
    for operation, function in calls:
        for again in (False, True):
            before = read(do, two, STEPS)
            two.fail(operation, function, error("TooManyRequestsException"))
            for name in ("ShiftConsumer", "UpdateConsumer"):
                try:
                    step(do, name, two, STEPS, before)
                except Throttled:
                    if not again:
                        break
                    step(do, name, two, STEPS, before)
            two.failing.clear()
            if again:
                assert two.all_variables() == (NEW, NEW), (operation, function)
            nothing_there(script)
            undo(do, two, before)

            assert two.all_variables() == (OLD, OLD), (operation, function)
            assert (two.route(), two.versions()) == (there, versions), (operation, function)


def test_an_update_in_progress_does_not_hold_up_the_next(do: Task, script: Script) -> None:
    """Lambda applies both updates at the same time, and the state machine waits once."""
    before = {"consumers": [BEFORE, {**BEFORE, "function_name": "reports"}], "reads": 1, "instead": None}
    script.answers("lambda_", "get_function_configuration", configured("old_0"))
    for _ in before["consumers"]:
        script.answers("lambda_", "get_function_configuration", configured("old_0"))
        script.answers("lambda_", "update_function_configuration", {})
        script.answers("lambda_", "get_function_configuration", configured("harbour-0", status="InProgress"))
    event = {"consumers": [CONSUMER, REPORTS], "before": before, "endpoint_name": "harbour-0", "prompt": "?"}

    with pytest.raises(ConsumerBusy):
        do("UpdateConsumer", script.clients, **event, serving=SERVING, tags=[])


# ------------------------------------------------------------------------ in steps


def test_those_with_a_canary_go_first_and_the_others_when_all_was_quiet(do: Task, two: Two) -> None:
    """While the alarms are watched the plain one calls what it called; they bake as long as the longest."""
    before = read(do, two, STEPS)
    shifted = step(do, "ShiftConsumer", two, STEPS, before)

    assert two.all_variables() == (NEW, OLD)
    assert two.alias()["RoutingConfig"] == {"AdditionalVersionWeights": {"2": 0.1}}
    one = {"function_name": "assistant", "alias": "live", "version": "2", "weight": 0.1}
    assert shifted == {"consumers": [one], "looks": 10, "interval_s": 30}

    step(do, "UpdateConsumer", two, STEPS, before)

    assert two.all_variables() == (NEW, NEW)
    assert two.alias() == {"FunctionVersion": "2", "RoutingConfig": {"AdditionalVersionWeights": {}}}


def test_no_canary_gets_calls_before_all_have_been_tried(do: Task, two: Two) -> None:
    """The second one's new version does not work, and the first one's alias is as it was."""
    two.publish_version(FunctionName="reports")
    two.create_alias(FunctionName="reports", Name="live", FunctionVersion="1")
    asked = [{**one, "alias": "live", "canary": CANARY} for one in (CONSUMER, REPORTS)]
    there, before = two.alias(), read(do, two, asked)
    two.answers["reports"] = {"answer": ""}

    with pytest.raises(ConsumerFailed, match="reports answered"):
        step(do, "ShiftConsumer", two, asked, before)

    assert two.alias() == there


def test_canaries_are_watched_together(do: Task, script: Script) -> None:
    """An alarm of one ends it for all; the message names every part, and the longest time."""
    long = {**REPORTS, "alias": "stable", "canary": {"weight": 0.5, "bake_s": 600, "alarms": ["late"]}}
    script.cloudwatch.alarms["late"] = {"AlarmName": "late", "StateValue": "ALARM", "StateReason": "slow"}

    with pytest.raises(ConsumerFailed, match="late: slow; wanted none for 600 s") as failure:
        do(
            "WatchConsumer",
            script.clients,
            consumers=[*STEPS, long],
            endpoint_name="harbour-0",
            alarms=[],
            left=1,
        )

    assert "with 10% of the calls of assistant:live, 50% of the calls of reports:stable" in str(failure.value)


# ------------------------------------------------------------------- whose turn it is


@pytest.mark.parametrize("name", ["ShiftConsumer", "UpdateConsumer"])
def test_one_that_was_moved_keeps_all_from_being_changed(do: Task, two: Two, name: str) -> None:
    """All are looked at before the first is changed, also those that another state switches."""
    before = read(do, two, STEPS)
    two.change("theirs-0")

    with pytest.raises(ConsumerMoved, match="of reports is neither 'old_0'"):
        step(do, name, two, STEPS, before)

    assert two.variables() == OLD


def test_what_was_switched_is_still_put_back_to_what_was_read_first(
    do: Task, script: Script, two: Two
) -> None:
    """After the first switch the second consumer was found moved: a second reading does not take our own for theirs."""
    before = read(do, two, BOTH)
    step(do, "UpdateConsumer", two, [ASSISTANT], {**before, "consumers": before["consumers"][:1]})
    two.change("harbour-9")
    script.missing("describe_endpoint").missing("describe_endpoint").missing("describe_endpoint")
    script.missing("describe_endpoint_config", "endpoint configuration")

    again = read(do, two, BOTH, read_consumer=before)

    assert again["consumers"][0] == before["consumers"][0]
    assert (again["consumers"][1]["value"], again["reads"]) == ("harbour-9", 2)
    nothing_there(script)
    undo(do, two, again)
    assert two.variables() == OLD
    assert two.alias()["FunctionVersion"] == "1"
    assert two.all_variables()[1]["ENDPOINT_NAME"] == "harbour-9"


def test_one_newer_upload_supersedes_the_deployment(do: Task, script: Script) -> None:
    """Whichever consumer calls it, and nothing was changed."""
    script.answers("lambda_", "get_function_configuration", configured(None))
    calls_another(script, NEWER, good=True)

    with pytest.raises(Superseded):
        do("ReadConsumer", script.clients, consumers=[CONSUMER, REPORTS], results=RESULTS)


@pytest.mark.parametrize(
    ("uploaded_at", "expected"),
    [pytest.param(NEWER, Superseded, id="newer"), pytest.param(OLDER, ConsumerBusy, id="older")],
)
def test_who_holds_one_consumer_lets_go_for_a_newer_upload_alone(
    do: Task, script: Script, uploaded_at: str, expected: type[Exception]
) -> None:
    """Two that hold one each would wait for each other; the older one goes back, and the newer one goes on."""
    script.answers("lambda_", "get_function_configuration", configured("harbour-0"))
    script.answers("lambda_", "get_function_configuration", configured("harbour-1"))
    script.missing("describe_endpoint")
    executes(serves_another(script, uploaded_at), "RUNNING")
    read_before = {"consumers": [BEFORE, {**BEFORE, "function_name": "reports"}], "reads": 1, "instead": None}

    with pytest.raises(expected):
        do(
            "ReadConsumer",
            script.clients,
            consumers=[CONSUMER, REPORTS],
            results={**RESULTS, "read_consumer": read_before},
        )


# ------------------------------------------------------------------------- undoing


def test_one_that_may_not_be_put_back_is_named_and_keeps_the_endpoint(do: Task, two: Two) -> None:
    """The other one is put back all the same."""
    before = read(do, two, BOTH)
    step(do, "UpdateConsumer", two, BOTH, before)
    two.fail("update_function_configuration", "reports", error("AccessDeniedException"))

    result = undo(do, two, before)

    assert two.all_variables() == (OLD, NEW)
    assert result["not_undone"] == ["ENDPOINT_NAME of reports: told by Lambda"]
    whole = "endpoint harbour-0, with configuration harbour-0 and model harbour-0"
    assert result["kept"] == [f"{whole}: consumer reports may still call it"]


def test_one_that_is_busy_does_not_keep_the_others_from_going_back(
    do: Task, script: Script, two: Two
) -> None:
    """They go back at once, and the task is tried again for the one."""
    before = read(do, two, BOTH)
    step(do, "UpdateConsumer", two, BOTH, before)
    two.fail("update_function_configuration", "reports", ConsumerBusy("reports: an update is in progress"))

    with pytest.raises(ConsumerBusy):
        undo(do, two, before)
    assert two.all_variables() == (OLD, NEW)

    nothing_there(script)
    undo(do, two, before)
    assert two.all_variables() == (OLD, OLD)


# ------------------------------------------------------------------------ planning


def test_all_missing_consumers_are_told_at_once(do: Task, two: Two) -> None:
    """Before anything is made."""
    wrong = [{**CONSUMER, "function_name": "nobody"}, REPORTS, {**CONSUMER, "alias": "gone"}]
    checked = a_checked_upload()
    checked["request"]["consumers"] = wrong

    with pytest.raises(ConsumerNotFound) as refusal:
        do(
            "PlanDeployment",
            two.clients,
            results={"check_archive": checked},
            execution=EXECUTION,
            started="2026-01-02T03:04:05Z",
            defaults=DEFAULTS,
        )

    assert [problem.seen for problem in refusal.value.problems] == [
        "no function 'nobody'",
        "no function 'assistant' with an alias 'gone'",
    ]
