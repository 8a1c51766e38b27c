"""RollBack: what this execution made is gone, what others made is untouched, and the consumer is as it was."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from io import BytesIO
from typing import TYPE_CHECKING, Any

import pytest
from botocore.exceptions import ClientError
from botocore.response import StreamingBody

from pipeline import error_codec, inference_component
from pipeline.errors import ConsumerBusy, EndpointBusy, SmokeTestFailed, StackChanged, Throttled
from pipeline.planning import alarms, metrics
from pipeline.rollout import metric_filters_api
from tests.foreign import HOSTILE, unfit
from tests.plans import SERVING, a_consumer, a_plan

if TYPE_CHECKING:
    from tests.functional.tasks.conftest import MotoConsumer, Script, Task

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
ARN = "arn:aws:sagemaker:us-east-1:123456789012:{}/harbour-0"
OURS = "arn:aws:states:us-east-1:123456789012:execution:sealift-deployment:harbour-0123"
THEIRS = "arn:aws:states:us-east-1:123456789012:execution:sealift-deployment:harbour-9999"
DIAGNOSED = {
    "error": "SmokeTestFailed",
    "what": "x",
    "why": "y",
    "fix": "z",
    "cause": "what happened: x\nwhy: y\nwhat to do: z",
}
PLAN = a_plan(execution=OURS)
BEFORE: dict[str, Any] = {
    "function_name": "assistant",
    "variable": "ENDPOINT_NAME",
    "value": "old_0",
    "alias": None,
    "alias_version": None,
    "alias_routing": None,
}
RESULTS: dict[str, Any] = {
    "plan_deployment": PLAN,
    "check_archive": {"archive": {"last_modified": "2026-01-02T03:04:05Z"}},
}
ENDPOINT, CONFIG, MODEL = "endpoint harbour-0", "endpoint configuration harbour-0", "model harbour-0"
ALARMS = "alarms of endpoint harbour-0"
UNDONE = "undone: everything that this execution made; what served before still serves"


def read_of(*befores: dict[str, Any]) -> dict[str, Any]:
    """Return ReadConsumer's result."""
    return {"consumers": list(befores), "reads": 1, "instead": None}


def results(**more: Any) -> dict[str, Any]:
    """Return the execution's data when it is rolled back."""
    return {"plan_deployment": PLAN, "diagnose": DIAGNOSED, **more}


def endpoint(script: Script, status: str, made_by: str | None = OURS) -> Script:
    """Let the endpoint be there, in a status and tagged with an execution."""
    script.answers(
        "sagemaker",
        "describe_endpoint",
        {
            "EndpointName": "harbour-0",
            "EndpointArn": ARN.format("endpoint"),
            "EndpointConfigName": "harbour-0",
            "EndpointStatus": status,
            "CreationTime": NOW,
            "LastModifiedTime": NOW,
        },
        {"EndpointName": "harbour-0"},
    )
    return script.tags(made_by)


def config(script: Script, made_by: str | None = OURS) -> Script:
    """Let the endpoint configuration be there."""
    script.answers(
        "sagemaker",
        "describe_endpoint_config",
        {
            "EndpointConfigName": "harbour-0",
            "EndpointConfigArn": ARN.format("endpoint-config"),
            "ProductionVariants": [{"VariantName": "AllTraffic", "ModelName": "harbour-0"}],
            "CreationTime": NOW,
        },
        {"EndpointConfigName": "harbour-0"},
    )
    return script.tags(made_by)


def model(script: Script, made_by: str | None = OURS) -> Script:
    """Let the model be there, and no more configurations of it."""
    script.no_more_configs().answers(
        "sagemaker",
        "describe_model",
        {
            "ModelName": "harbour-0",
            "ModelArn": ARN.format("model"),
            "ExecutionRoleArn": "arn:aws:iam::123456789012:role/endpoint",
            "CreationTime": NOW,
        },
        {"ModelName": "harbour-0"},
    )
    return script.tags(made_by)


def deleted(script: Script, operation: str, name_field: str) -> Script:
    """Let the next call delete something."""
    return script.answers("sagemaker", operation, {}, {name_field: "harbour-0"})


def nothing_there(script: Script) -> Script:
    """Let SageMaker have none of the three."""
    script.missing("describe_endpoint").missing("describe_endpoint_config", "endpoint configuration")
    return script.no_more_configs().missing("describe_model", "model")


def test_before_there_was_a_plan_there_is_nothing_to_undo(do: Task, script: Script) -> None:
    """A refused archive made nothing; nobody is asked. The diagnosis is passed on."""
    result = do("RollBack", script.clients, results={"diagnose": DIAGNOSED})

    assert result == {
        "gone": [],
        "restored": [],
        "kept": [],
        "not_undone": [],
        "error": "SmokeTestFailed",
        "cause": f"{DIAGNOSED['cause']}\n{UNDONE}",
    }


def test_what_is_not_there_is_gone(do: Task, script: Script) -> None:
    """Never made, or deleted by an earlier try: the end state is the same."""
    nothing_there(script)

    result = do("RollBack", script.clients, results=results())

    assert result["gone"] == [ENDPOINT, CONFIG, MODEL]
    assert result["not_undone"] == result["kept"] == []


@pytest.mark.parametrize("field", ["room", "updates", "taken_from"])
def test_what_an_older_release_planned_is_undone_too(do: Task, script: Script, field: str) -> None:
    """Its plan lacks what came later, and a field's absence has a meaning: nothing was lowered, nothing updated."""
    nothing_there(script)
    older = {name: value for name, value in PLAN.items() if name != field}

    assert do("RollBack", script.clients, results=results(plan_deployment=older))["gone"] == [
        ENDPOINT,
        CONFIG,
        MODEL,
    ]


@pytest.mark.parametrize(
    ("changed", "seen"),
    [
        pytest.param(
            {"more": 1}, "unknown field 'results.plan_deployment.more'", id="a field of a newer one"
        ),
        pytest.param({"names": {}}, "no 'results.plan_deployment.names.model'", id="no name to undo"),
    ],
)
def test_what_cannot_be_read_is_refused_before_anything_is_undone(
    do: Task, script: Script, changed: dict[str, Any], seen: str
) -> None:
    """No call is made; RollBackFailed names what is left."""
    with pytest.raises(StackChanged) as refusal:
        do("RollBack", script.clients, results=results(plan_deployment={**PLAN, **changed}))

    assert refusal.value.problems[0].seen == seen


def test_all_that_we_made_is_deleted_in_reverse_order(do: Task, script: Script) -> None:
    """The endpoint first, and the state machine comes back until it is gone; then what it was made of."""
    endpoint(script, "InService")
    deleted(script, "delete_endpoint", "EndpointName")
    with pytest.raises(EndpointBusy, match="'harbour-0' is InService; wanted it to be gone"):
        do("RollBack", script.clients, results=results())
    endpoint(script, "Deleting")
    with pytest.raises(EndpointBusy, match="is Deleting") as busy:
        do("RollBack", script.clients, results=results())
    assert busy.value.waiting == "endpoint 'harbour-0' is Deleting"
    script.missing("describe_endpoint")
    deleted(config(script), "delete_endpoint_config", "EndpointConfigName")
    deleted(model(script), "delete_model", "ModelName")

    result = do("RollBack", script.clients, results=results())

    assert result["gone"] == [ENDPOINT, CONFIG, MODEL]
    assert UNDONE in result["cause"]

    nothing_there(script)
    assert do("RollBack", script.clients, results=results()) == result


def test_every_model_of_the_plans_types_is_deleted(do: Task, script: Script) -> None:
    """Each judged by its own tags: one that another execution made stays."""
    others = [{"ModelName": f"harbour-0-{n}", "PrimaryContainer": {}} for n in ("mine", "theirs")]
    requests = {**PLAN["requests"], "other_models": others}
    script.missing("describe_endpoint").missing("describe_endpoint_config", "endpoint configuration")
    deleted(model(script), "delete_model", "ModelName")
    for one, made_by in zip(others, (OURS, THEIRS), strict=True):
        name = one["ModelName"]
        arn = f"{ARN.format('model')}-{name}"
        known = {"ModelName": name, "ModelArn": arn, "CreationTime": NOW}
        script.answers("sagemaker", "describe_model", known, {"ModelName": name})
        script.tags(made_by)
        if made_by == OURS:
            script.answers("sagemaker", "delete_model", {}, {"ModelName": name})

    result = do("RollBack", script.clients, results=results(plan_deployment={**PLAN, "requests": requests}))

    assert result["gone"] == [ENDPOINT, CONFIG, MODEL, "model harbour-0-mine"]
    assert len(result["kept"]) == 1
    assert "harbour-0-theirs" in result["kept"][0]


@pytest.mark.parametrize("status", ["Creating", "Updating", "SystemUpdating", "RollingBack"])
def test_an_endpoint_that_cannot_be_deleted_yet_is_waited_for(do: Task, script: Script, status: str) -> None:
    """AWS refuses to delete it, so it is not asked to."""
    endpoint(script, status)

    with pytest.raises(EndpointBusy, match=f"is {status}"):
        do("RollBack", script.clients, results=results())


@pytest.mark.parametrize("status", ["Failed", "OutOfService", "UpdateRollbackFailed"])
def test_an_endpoint_that_failed_is_deleted(do: Task, script: Script, status: str) -> None:
    """Deleting is all that can be done with it."""
    endpoint(script, status)
    deleted(script, "delete_endpoint", "EndpointName")

    with pytest.raises(EndpointBusy, match=f"is {status}"):
        do("RollBack", script.clients, results=results())


def test_a_delete_that_comes_too_early_is_tried_again(do: Task, script: Script) -> None:
    """Between the look and the delete the status may change."""
    endpoint(script, "InService")
    script.refuses(
        "sagemaker", "delete_endpoint", "ValidationException", 'Cannot update in-progress endpoint "x".'
    )

    with pytest.raises(EndpointBusy, match="in-progress"):
        do("RollBack", script.clients, results=results())


@pytest.mark.parametrize(
    ("made_by", "told"),
    [
        pytest.param(THEIRS, THEIRS, id="another execution"),
        pytest.param(None, "somebody else", id="nobody of Sealift"),
    ],
)
def test_what_others_made_is_kept(do: Task, script: Script, made_by: str | None, told: str) -> None:
    """Found by its name, taken as it was, and left as it was; the report says whose it is."""
    endpoint(script, "InService", made_by)
    config(script, made_by)
    model(script, made_by)

    result = do("RollBack", script.clients, results=results())

    assert result["kept"] == [
        f"{ARN.format(kind)}: made by {told}" for kind in ("endpoint", "endpoint-config", "model")
    ]
    assert result["gone"] == []


def test_each_resource_is_judged_by_itself(do: Task, script: Script) -> None:
    """An execution may have found the model, and made the rest."""
    script.missing("describe_endpoint")
    deleted(config(script), "delete_endpoint_config", "EndpointConfigName")
    model(script, THEIRS)

    result = do("RollBack", script.clients, results=results())

    assert result["gone"] == [ENDPOINT, CONFIG]
    assert result["kept"] == [f"{ARN.format('model')}: made by {THEIRS}"]


def test_a_denied_step_is_named_and_the_rest_goes_on(do: Task, script: Script) -> None:
    """The cause that a person reads says what to remove by hand."""
    script.missing("describe_endpoint")
    config(script).refuses(
        "sagemaker", "delete_endpoint_config", "AccessDeniedException", "you may not", status=403
    )
    deleted(model(script), "delete_model", "ModelName")

    result = do("RollBack", script.clients, results=results())

    assert result["not_undone"] == [f"{CONFIG}: you may not"]
    assert result["gone"] == [ENDPOINT, MODEL]
    assert f"NOT undone, remove by hand: {CONFIG}: you may not" in result["cause"]
    assert UNDONE not in result["cause"]


def test_a_step_that_can_never_succeed_is_named_and_the_rest_goes_on(do: Task, script: Script) -> None:
    """Whatever AWS refuses for good: trying again would not help, and must not keep the other steps from being done."""
    script.missing("describe_endpoint")
    config(script).refuses("sagemaker", "delete_endpoint_config", "ValidationException", "not like this")
    deleted(model(script), "delete_model", "ModelName")

    result = do("RollBack", script.clients, results=results())

    assert result["not_undone"] == [f"{CONFIG}: not like this"]
    assert result["gone"] == [ENDPOINT, MODEL]


def test_what_an_endpoint_that_lives_on_needs_is_named_with_it(do: Task, script: Script) -> None:
    """A person who removes the endpoint by hand has to know of its configuration and its model too."""
    endpoint(script, "InService")
    script.refuses("sagemaker", "delete_endpoint", "AccessDeniedException", "you may not", status=403)

    result = do("RollBack", script.clients, results=results())

    assert f"remove by hand: {ENDPOINT}: you may not; kept: {CONFIG} and {MODEL}: in use" in result["cause"]


def test_an_endpoint_that_may_not_be_deleted_is_named(do: Task, script: Script) -> None:
    """It keeps what it needs at its next cold start: no call is made to its configuration and its model."""
    endpoint(script, "InService")
    script.refuses("sagemaker", "delete_endpoint", "AccessDeniedException", "you may not", status=403)

    result = do("RollBack", script.clients, results=results())

    assert result["not_undone"] == [f"{ENDPOINT}: you may not"]
    assert result["gone"] == []
    assert result["kept"] == [f"{CONFIG} and {MODEL}: in use"]


def test_trouble_of_another_kind_ends_the_task_to_be_tried_again(do: Task, script: Script) -> None:
    """Nothing is noted as not undone that another try may undo."""
    script.missing("describe_endpoint")
    config(script).refuses("sagemaker", "delete_endpoint_config", "ThrottlingException", "Rate exceeded")

    with pytest.raises(Throttled):
        do("RollBack", script.clients, results=results())


# ---------------------------------------------------------------------- consumer


@pytest.mark.parametrize(
    ("value", "told", "after"),
    [
        pytest.param("old_0", "'old_0'", {"OTHER": "kept", "ENDPOINT_NAME": "old_0"}, id="a value"),
        pytest.param("", "''", {"OTHER": "kept", "ENDPOINT_NAME": ""}, id="an empty value"),
        pytest.param(None, "not set", {"OTHER": "kept"}, id="no variable"),
    ],
)
def test_the_consumer_is_put_back_exactly(
    *,
    do: Task,
    script: Script,
    moto_consumer: MotoConsumer,
    value: str | None,
    told: str,
    after: dict[str, str],
) -> None:
    """A variable that did not exist is removed again; all others stay."""
    moto_consumer.set({"OTHER": "kept", "ENDPOINT_NAME": "harbour-0"})
    nothing_there(script)

    result = do(
        "RollBack", moto_consumer.clients, results=results(read_consumer=read_of({**BEFORE, "value": value}))
    )

    assert moto_consumer.variables() == after
    assert result["restored"] == [f"ENDPOINT_NAME of assistant: {told} as before"]
    assert result["gone"] == [ENDPOINT, CONFIG, MODEL]


def test_putting_back_twice_is_putting_back_once(
    do: Task, script: Script, moto_consumer: MotoConsumer
) -> None:
    """A retry finds the consumer as it was, and reports the same."""
    moto_consumer.set({"OTHER": "kept", "ENDPOINT_NAME": "harbour-0"})
    reports = []
    for _ in range(2):
        nothing_there(script)
        reports.append(do("RollBack", moto_consumer.clients, results=results(read_consumer=read_of(BEFORE))))

    assert reports[0] == reports[1]
    assert moto_consumer.variables() == {"OTHER": "kept", "ENDPOINT_NAME": "old_0"}


def test_an_alias_goes_back_with_its_weights(do: Task, script: Script, moto_consumer: MotoConsumer) -> None:
    """Read, switched, undone: version, weights and variables are what they were."""
    moto_consumer.set({"OTHER": "changed"})
    moto_consumer.publish_version(FunctionName="assistant")
    moto_consumer.weigh({"2": 0.1})
    moto_consumer.set({"OTHER": "kept", "ENDPOINT_NAME": "old_0"})
    consumer = a_consumer(alias="live")
    there = moto_consumer.alias()
    before = do("ReadConsumer", moto_consumer.clients, consumers=[consumer], results=RESULTS)
    do(
        "UpdateConsumer",
        moto_consumer.clients,
        consumers=[consumer],
        before=before,
        endpoint_name="harbour-0",
        prompt="What?",
        serving=SERVING,
        tags=[],
    )
    assert moto_consumer.alias() != there
    nothing_there(script)

    result = do("RollBack", moto_consumer.clients, results=results(read_consumer=before))

    assert moto_consumer.alias() == there
    assert moto_consumer.variables() == {"OTHER": "kept", "ENDPOINT_NAME": "old_0"}
    assert result["restored"] == [
        "alias live of assistant: back to version 1",
        "ENDPOINT_NAME of assistant: 'old_0' as before",
    ]


def test_an_alias_that_somebody_moved_on_is_kept(
    do: Task, script: Script, moto_consumer: MotoConsumer
) -> None:
    """It no longer calls this endpoint, so it is not ours to move."""
    moto_consumer.set({"OTHER": "kept", "ENDPOINT_NAME": "theirs-0"})
    moto_consumer.publish_version(FunctionName="assistant")
    moto_consumer.update_alias(FunctionName="assistant", Name="live", FunctionVersion="2")
    before = {**BEFORE, "alias": "live", "alias_version": "1"}
    nothing_there(script)

    result = do("RollBack", moto_consumer.clients, results=results(read_consumer=read_of(before)))

    assert moto_consumer.alias()["FunctionVersion"] == "2"
    assert moto_consumer.variables()["ENDPOINT_NAME"] == "theirs-0"
    assert result["restored"] == []
    assert result["kept"] == ["ENDPOINT_NAME of assistant: set to 'theirs-0' by somebody else meanwhile"]
    assert result["gone"] == [ENDPOINT, CONFIG, MODEL]


def test_a_consumer_that_may_not_be_put_back_keeps_its_endpoint(do: Task, script: Script) -> None:
    """It may still call the new endpoint: deleting that would make things worse."""
    script.answers(
        "lambda_",
        "get_function_configuration",
        {"FunctionName": "assistant", "Environment": {"Variables": {"ENDPOINT_NAME": "harbour-0"}}},
    )
    script.answers(
        "lambda_",
        "get_function_configuration",
        {"FunctionName": "assistant", "Environment": {"Variables": {"ENDPOINT_NAME": "harbour-0"}}},
    )
    script.refuses(
        "lambda_", "update_function_configuration", "AccessDeniedException", "you may not", status=403
    )

    result = do("RollBack", script.clients, results=results(read_consumer=read_of(BEFORE)))

    assert result["not_undone"] == ["ENDPOINT_NAME of assistant: you may not"]
    whole = "endpoint harbour-0, with configuration harbour-0 and model harbour-0"
    assert result["kept"] == [f"{whole}: consumer assistant may still call it"]
    assert result["gone"] == []


def test_a_denied_alias_does_not_keep_the_variable_from_going_back(do: Task, script: Script) -> None:
    """Both halves are tried; the endpoint stays while one of them is not undone."""
    script.refuses("lambda_", "get_alias", "AccessDeniedException", "no alias", status=403)
    for value in ("harbour-0", "harbour-0"):
        script.answers(
            "lambda_",
            "get_function_configuration",
            {"FunctionName": "assistant", "Environment": {"Variables": {"ENDPOINT_NAME": value}}},
        )
    script.answers(
        "lambda_",
        "update_function_configuration",
        {},
        {"FunctionName": "assistant", "Environment": {"Variables": {"ENDPOINT_NAME": "old_0"}}},
    )
    script.answers(
        "lambda_",
        "get_function_configuration",
        {"FunctionName": "assistant", "Environment": {"Variables": {"ENDPOINT_NAME": "old_0"}}},
    )
    before = {**BEFORE, "alias": "live", "alias_version": "1"}

    result = do("RollBack", script.clients, results=results(read_consumer=read_of(before)))

    assert result["not_undone"] == ["alias live of assistant: no alias"]
    assert result["restored"] == ["ENDPOINT_NAME of assistant: 'old_0' as before"]
    whole = "endpoint harbour-0, with configuration harbour-0 and model harbour-0"
    assert result["kept"] == [f"{whole}: consumer assistant may still call it"]


def test_an_update_in_progress_is_waited_for(do: Task, script: Script) -> None:
    """The endpoint is not deleted before the consumer has left it."""
    busy = {
        "FunctionName": "assistant",
        "LastUpdateStatus": "InProgress",
        "Environment": {"Variables": {"ENDPOINT_NAME": "harbour-0"}},
    }
    script.answers("lambda_", "get_function_configuration", busy)
    script.answers("lambda_", "get_function_configuration", busy)

    with pytest.raises(ConsumerBusy):
        do("RollBack", script.clients, results=results(read_consumer=read_of(BEFORE)))


def test_an_execution_with_a_name_that_tags_cannot_hold_is_undone_too(do: Task, script: Script) -> None:
    """Step Functions takes names that a tag's value does not; what is compared is what was written."""
    named = OURS.replace("harbour-0123", "try (2), o'clock")
    written = OURS.replace("harbour-0123", "try _2__ o_clock")
    script.missing("describe_endpoint").missing("describe_endpoint_config", "endpoint configuration")
    deleted(model(script, written), "delete_model", "ModelName")

    result = do(
        "RollBack",
        script.clients,
        results={"plan_deployment": {**PLAN, "execution": named}, "diagnose": DIAGNOSED},
    )

    assert result["gone"] == [ENDPOINT, CONFIG, MODEL]


@pytest.mark.parametrize(
    "before",
    [
        pytest.param(BEFORE, id="function"),
        pytest.param({**BEFORE, "alias": "live", "alias_version": "1"}, id="function and alias"),
    ],
)
def test_a_consumer_that_was_deleted_needs_no_putting_back(
    do: Task, script: Script, moto_consumer: MotoConsumer, before: dict[str, Any]
) -> None:
    """Nobody calls the endpoint through it any more, so the rest is undone."""
    moto_consumer.delete_function(FunctionName="assistant")
    nothing_there(script)

    result = do("RollBack", moto_consumer.clients, results=results(read_consumer=read_of(before)))

    assert result["gone"][-3:] == [ENDPOINT, CONFIG, MODEL]
    assert result["restored"] == result["not_undone"] == []


def test_an_alias_that_was_deleted_does_not_keep_the_variable(
    do: Task, script: Script, moto_consumer: MotoConsumer
) -> None:
    """What is left of the consumer goes back."""
    moto_consumer.set({"OTHER": "kept", "ENDPOINT_NAME": "harbour-0"})
    nothing_there(script)
    before = {**BEFORE, "alias": "gone", "alias_version": "1"}

    result = do("RollBack", moto_consumer.clients, results=results(read_consumer=read_of(before)))

    assert moto_consumer.variables()["ENDPOINT_NAME"] == "old_0"
    assert result["gone"] == ["alias gone of assistant", ENDPOINT, CONFIG, MODEL]


# ------------------------------------------------------------------------ alarms


def watched(script: Script) -> None:
    """Let the endpoint have its alarms, and another one its own."""
    for name in ("harbour-0", "harbour-1"):
        for request in alarms.requests(name, "AllTraffic", timeout_s=60, topic="arn:aws:sns:t", tags=[]):
            script.cloudwatch.put_metric_alarm(**request)
        metric_filters_api.put(script.logs, metrics.requests(name, "json"))
    script.cloudwatch.calls.clear()


def test_alarms_go_when_the_endpoint_is_gone(do: Task, script: Script) -> None:
    """Also when MonitorEndpoint's answer was lost; a retry says the same when its answer was not."""
    watched(script)
    nothing_there(script)

    result = do("RollBack", script.clients, results=results())

    assert result["gone"] == [ENDPOINT, ALARMS, CONFIG, MODEL]
    assert set(script.cloudwatch.alarms) == {one["name"] for one in alarms.summaries("harbour-1", 60)}
    assert {group for group, _ in script.logs.filters} == {
        inference_component.log_group("harbour-1", component=False)
    }

    nothing_there(script)
    again = do("RollBack", script.clients, results=results(monitor_endpoint={"alarms": []}))
    assert again["gone"] == result["gone"]


def test_alarms_stay_while_the_endpoint_does(do: Task, script: Script) -> None:
    """It was asked to go and is not gone, so it is still watched."""
    watched(script)
    deleted(endpoint(script, "InService"), "delete_endpoint", "EndpointName")

    with pytest.raises(EndpointBusy):
        do("RollBack", script.clients, results=results())

    assert script.cloudwatch.calls == []


def test_alarms_of_somebody_elses_endpoint_stay(do: Task, script: Script) -> None:
    """The endpoint was found and taken as it was; so were its alarms."""
    watched(script)
    endpoint(script, "InService", THEIRS)
    config(script, THEIRS)
    model(script, THEIRS)

    do("RollBack", script.clients, results=results(monitor_endpoint={"alarms": []}))

    assert {one["name"] for one in alarms.summaries("harbour-0", 60)} <= set(script.cloudwatch.alarms)
    assert inference_component.log_group("harbour-0", component=False) in {
        group for group, _ in script.logs.filters
    }


def test_alarms_that_may_not_be_deleted_are_named(do: Task, script: Script) -> None:
    """The rest is undone all the same."""
    watched(script)
    script.cloudwatch.denied.add("DeleteAlarms")
    nothing_there(script)

    result = do("RollBack", script.clients, results=results())

    assert result["not_undone"] == [f"{ALARMS}: not authorized: DeleteAlarms"]
    assert result["gone"] == [ENDPOINT, CONFIG, MODEL]


def test_metric_filters_that_may_not_be_deleted_are_harmless(do: Task, script: Script) -> None:
    """Nothing writes into the log any more, and a filter costs nothing."""
    watched(script)
    script.logs.refused["DeleteMetricFilter"] = "AccessDeniedException"
    nothing_there(script)

    result = do("RollBack", script.clients, results=results())

    assert (result["not_undone"], result["gone"]) == ([], [ENDPOINT, ALARMS, CONFIG, MODEL])
    assert result["kept"][0].startswith("metric filters of the log of endpoint harbour-0: ")


# ------------------------------------------------------------------------ canary


def test_a_canary_goes_back_exactly_and_leaves_no_version(
    do: Task, script: Script, moto_consumer: MotoConsumer
) -> None:
    """Weights, description and variable are as they were; the published version is deleted, others stay."""
    moto_consumer.set({"OTHER": "changed"})
    moto_consumer.publish_version(FunctionName="assistant")
    moto_consumer.set({"OTHER": "kept", "ENDPOINT_NAME": "old_0"})
    moto_consumer.weigh({"2": 0.25})
    moto_consumer.update_alias(FunctionName="assistant", Name="live", Description="what callers use")
    asked = a_consumer(alias="live", canary={"weight": 0.1, "bake_s": 60, "alarms": []})
    before = do("ReadConsumer", moto_consumer.clients, consumers=[asked], results=RESULTS)
    switch = {
        "consumers": [asked],
        "before": before,
        "endpoint_name": "harbour-0",
        "prompt": "What?",
    }
    there = moto_consumer.alias()
    do("ShiftConsumer", moto_consumer.clients, **switch)
    assert moto_consumer.alias()["RoutingConfig"] == {"AdditionalVersionWeights": {"3": 0.1}}
    nothing_there(script)

    result = do("RollBack", moto_consumer.clients, results=results(read_consumer=before))

    assert moto_consumer.alias() == there
    assert moto_consumer.variables() == {"OTHER": "kept", "ENDPOINT_NAME": "old_0"}
    assert moto_consumer.versions() == ["$LATEST", "1", "2"]
    assert "version 3 of assistant" in result["gone"]
    alias = moto_consumer.get_alias(FunctionName="assistant", Name="live")
    assert alias["Description"] == "what callers use"

    nothing_there(script)
    do("RollBack", moto_consumer.clients, results=results(read_consumer=before))
    assert moto_consumer.alias() == there


def test_a_version_that_another_alias_uses_stays(
    do: Task, script: Script, moto_consumer: MotoConsumer
) -> None:
    """Somebody pointed to it meanwhile; deleting it would break them."""
    moto_consumer.set({"OTHER": "kept", "ENDPOINT_NAME": "harbour-0"})
    moto_consumer.publish_version(FunctionName="assistant", Description="Sealift: harbour-0")
    moto_consumer.create_alias(FunctionName="assistant", Name="theirs", FunctionVersion="2")
    nothing_there(script)
    before = {**BEFORE, "alias": "live", "alias_version": "1"}

    do("RollBack", moto_consumer.clients, results=results(read_consumer=read_of(before)))

    assert moto_consumer.versions() == ["$LATEST", "1", "2"]


@pytest.mark.parametrize("code", ["AccessDeniedException", "ResourceConflictException"])
@pytest.mark.parametrize("in_place", [False, True], ids=["an endpoint of its own", "in place"])
def test_a_version_that_cannot_be_deleted_keeps_nothing_from_going(
    do: Task, script: Script, moto_consumer: MotoConsumer, code: str, *, in_place: bool
) -> None:
    """Nobody calls it, so it is harmless: the rest is undone, and the cause says which stays, why, and how it goes."""
    moto_consumer.set({"OTHER": "kept", "ENDPOINT_NAME": "harbour-0"})
    for n in (2, 3):
        moto_consumer.publish_version(FunctionName="assistant", Description="Sealift: harbour-0")
        moto_consumer.set({"OTHER": f"kept {n}", "ENDPOINT_NAME": "harbour-0"})
    moto_consumer.undeletable = code
    before = {**BEFORE, "alias": "live", "alias_version": "1"}
    plan: dict[str, Any] = dict(PLAN)
    if in_place:
        plan["updates"] = {"endpoint_config": "harbour-old", "max_concurrency": 0}
        script.answers(
            "sagemaker",
            "describe_endpoint",
            {
                "EndpointName": "harbour-0",
                "EndpointArn": ARN.format("endpoint"),
                "EndpointConfigName": "harbour-old",
                "EndpointStatus": "InService",
                "CreationTime": NOW,
                "LastModifiedTime": NOW,
            },
        )
        script.missing("describe_endpoint_config", "endpoint configuration").no_more_configs()
        script.missing("describe_model", "model")
    else:
        nothing_there(script)

    result = do(
        "RollBack",
        moto_consumer.clients,
        results=results(plan_deployment=plan, read_consumer=read_of(before)),
    )

    assert moto_consumer.versions() == ["$LATEST", "1", "2", "3"]
    assert result["gone"][-2:] == [CONFIG, MODEL]
    assert result["not_undone"] == []
    stay = [f"version {n} of assistant, which nobody calls: not {n}" for n in (2, 3)]
    assert [one for one in result["kept"] if one.startswith("version")] == stay
    assert UNDONE in result["cause"]
    assert "NOT undone" not in result["cause"]
    remove = "aws lambda delete-function --function-name assistant --qualifier"
    assert f"stays, and is harmless: {stay[0]} ({remove} 2); {stay[1]} ({remove} 3)" in result["cause"]


def test_versions_that_may_not_be_listed_keep_nothing_from_going(do: Task, script: Script) -> None:
    """Whether any were published is then not known, and said."""
    script.answers("lambda_", "get_alias", {"FunctionVersion": "1"})
    for _ in range(2):
        script.answers(
            "lambda_",
            "get_function_configuration",
            {"FunctionName": "assistant", "Environment": {"Variables": {"ENDPOINT_NAME": "old_0"}}},
        )
    script.refuses("lambda_", "list_versions_by_function", "AccessDeniedException", "no list", status=403)
    nothing_there(script)
    before = {**BEFORE, "alias": "live", "alias_version": "1"}

    result = do("RollBack", script.clients, results=results(read_consumer=read_of(before)))

    assert result["not_undone"] == []
    assert result["kept"] == ["versions of assistant that were published for harbour-0, if any: no list"]
    assert result["gone"] == [ENDPOINT, CONFIG, MODEL]


def test_the_cause_is_four_plain_lines(do: Task, script: Script) -> None:
    """What happened, why, what to do, and what became of it: whatever AWS says, and whatever was handed on."""
    script.missing("describe_endpoint")
    config(script).refuses(
        "sagemaker", "delete_endpoint_config", "AccessDeniedException", HOSTILE, status=403
    )
    deleted(model(script), "delete_model", "ModelName")
    found = {"error": "EndpointFailed", "what": HOSTILE, "why": HOSTILE, "fix": HOSTILE}

    cause = do("RollBack", script.clients, results=results(diagnose=found))["cause"]

    assert unfit(cause) == set()
    assert len(cause.split("\n")) == 4


def test_a_failure_that_was_not_looked_into_is_told_by_its_sentence(do: Task, script: Script) -> None:
    """The workflow puts the Cause into the words as it is; nobody wants to read Lambda's JSON in a notification."""
    text = error_codec.encode(SmokeTestFailed("it said nothing", why="w", fix="f"))
    raw = json.dumps({"errorMessage": text, "errorType": "SmokeTestFailed", "stackTrace": ["x"]})
    found = {
        "error": "Undiagnosed",
        "what": f"a state failed with SmokeTestFailed: {raw}",
        "why": "y",
        "fix": "z",
    }

    cause = do("RollBack", script.clients, results={"diagnose": found})["cause"]

    assert cause.startswith("what happened: a state failed with SmokeTestFailed: it said nothing\nwhy: y\n")


# ------------------------------------------------------------------ the image that holds the model

REPOSITORY = "123456789012.dkr.ecr.us-east-1.amazonaws.com/sealift-images"
IMAGED = {
    **PLAN,
    "image": {"repository": REPOSITORY, "tag": "model-0a", "base": "sha256:0b", "bucket": "artifacts"},
}
IMAGE = f"image {REPOSITORY}:model-0a"


class Registry:
    """ECR, as far as a rollback asks it."""

    def __init__(self, *, refuses: str = "", there: bool = True) -> None:
        self.deleted: list[dict[str, Any]] = []
        self._refuses, self._there = refuses, there

    def batch_delete_image(self, **request: Any) -> dict[str, Any]:
        """Delete, or refuse."""
        if self._refuses:
            raise ClientError({"Error": {"Code": self._refuses, "Message": "no"}}, "BatchDeleteImage")
        self.deleted.append(request)
        missing = {"failureCode": "ImageNotFound", "failureReason": "none", "imageId": request["imageIds"][0]}
        return {"failures": [] if self._there else [missing]}


def rolled_back(
    do: Task, script: Script, registry: Registry, record: dict[str, Any] | None
) -> dict[str, Any]:
    """Roll a deployment back whose image has this record."""
    nothing_there(script)
    if record is None:
        script.refuses("s3", "get_object", "NoSuchKey", status=404)
    else:
        body = json.dumps({"version": 1, **record}).encode()
        expected = {"Bucket": "artifacts", "Key": "records/images/model-0a.json"}
        script.answers("s3", "get_object", {"Body": StreamingBody(BytesIO(body), len(body))}, expected)
    vars(script.clients)["registry"] = registry
    try:
        return do("RollBack", script.clients, results=results(plan_deployment=IMAGED))
    finally:
        del vars(script.clients)["registry"]


@pytest.mark.parametrize("there", [True, False])
def test_the_image_that_this_execution_made_goes(do: Task, script: Script, there: bool) -> None:
    """By its tag, which nobody has claimed since; one that is gone already is no failure."""
    registry = Registry(there=there)
    result = rolled_back(do, script, registry, {"execution": OURS, "maker": OURS})

    assert [one["imageIds"] for one in registry.deleted] == [[{"imageTag": "model-0a"}]]
    assert (IMAGE in result["gone"]) == there
    assert result["not_undone"] == []


@pytest.mark.parametrize(
    ("record", "kept"),
    [
        pytest.param({"execution": THEIRS, "maker": OURS}, True, id="claimed since"),
        pytest.param({"execution": OURS, "maker": THEIRS}, False, id="made by another"),
        pytest.param({"execution": OURS}, False, id="not made yet"),
        pytest.param(None, False, id="no record"),
    ],
)
def test_an_image_that_somebody_else_made_or_wants_stays(
    do: Task, script: Script, record: dict[str, Any] | None, kept: bool
) -> None:
    """Two services may share one; whoever has claimed it last is about to use it."""
    registry = Registry()
    result = rolled_back(do, script, registry, record)

    assert registry.deleted == []
    assert any(one.startswith(IMAGE) for one in result["kept"]) == kept
    assert IMAGE not in result["gone"]


def test_an_image_that_may_not_be_deleted_is_named_and_fails_no_rollback(do: Task, script: Script) -> None:
    """It is harmless, and the sweeper's then."""
    result = rolled_back(
        do, script, Registry(refuses="AccessDeniedException"), {"execution": OURS, "maker": OURS}
    )

    assert result["not_undone"] == []
    assert IMAGE in result["cause"]
    assert "sweeper" in result["cause"]


def test_an_image_is_tried_again_when_ecr_is_throttled(do: Task, script: Script) -> None:
    """What passes by itself ends the task, and the state comes again."""
    with pytest.raises(Throttled):
        rolled_back(do, script, Registry(refuses="ThrottlingException"), {"execution": OURS, "maker": OURS})


def test_an_image_that_an_endpoint_lives_on_with_is_named_with_it(do: Task, script: Script) -> None:
    """Whoever removes the endpoint by hand has to know of the image too."""
    endpoint(script, "InService")
    script.refuses("sagemaker", "delete_endpoint", "AccessDeniedException", "you may not", status=403)

    result = do("RollBack", script.clients, results={**results(), "plan_deployment": IMAGED})

    assert result["kept"] == [f"{CONFIG}, {MODEL} and {IMAGE}: in use"]
