"""ReadConsumer and UpdateConsumer: one variable changes, everything else stays, and the consumer is tried."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest

from pipeline.errors import (
    ConsumerBusy,
    ConsumerChanged,
    ConsumerFailed,
    ConsumerMoved,
    ConsumerNotFound,
    ConsumerTaken,
    ConsumerUnreadable,
    Superseded,
)
from pipeline.payload import size as payload_size
from pipeline.rollout import answers
from tests.plans import PARAMETER, SERVING, a_consumer, a_plan

if TYPE_CHECKING:
    from tests.functional.tasks.conftest import Bodies, MotoConsumer, Script, Task

CONSUMER: dict[str, Any] = a_consumer()
BEFORE: dict[str, Any] = {
    "function_name": "assistant",
    "variable": "ENDPOINT_NAME",
    "value": "old_0",
    "alias": None,
    "alias_version": None,
    "alias_routing": None,
}
READ: dict[str, Any] = {"consumers": [BEFORE], "reads": 1, "instead": None}
RESULTS: dict[str, Any] = {
    "plan_deployment": a_plan(),
    "check_archive": {"archive": {"last_modified": "2026-01-02T03:04:05Z"}},
}
EVENT: dict[str, Any] = {
    "consumers": [CONSUMER],
    "before": READ,
    "endpoint_name": "harbour-0",
    "prompt": "What does a sealift do?",
    "serving": SERVING,
    "tags": [],
}
SHIFT: dict[str, Any] = {name: value for name, value in EVENT.items() if name not in {"serving", "tags"}}
GOOD = {"endpoint_name": "harbour-0", "answer": "It carries cargo."}


def only(result: dict[str, Any]) -> dict[str, Any]:
    """Return what a result says of its one consumer."""
    (one,) = result["consumers"]
    return dict(one)


def configured(endpoint: str | None, *, status: str = "Successful", **changed: Any) -> dict[str, Any]:
    """Return a GetFunctionConfiguration response."""
    variables = {"OTHER": "kept"} | ({} if endpoint is None else {"ENDPOINT_NAME": endpoint})
    return {
        "FunctionName": "assistant",
        "Version": "$LATEST",
        "RevisionId": "r-1",
        "State": "Active",
        "LastUpdateStatus": status,
        "Environment": {"Variables": variables},
        **changed,
    }


def switched(script: Script) -> Script:
    """Let the variable be as it was read, then be changed with success."""
    script.answers("lambda_", "get_function_configuration", configured("old_0"))
    script.answers("lambda_", "update_function_configuration", {})
    return script.answers("lambda_", "get_function_configuration", configured("harbour-0"))


# -------------------------------------------------------------------------- read


@pytest.mark.parametrize(
    ("response", "value"),
    [
        pytest.param(configured("old_0"), "old_0", id="set"),
        pytest.param(configured(None), None, id="not set"),
        pytest.param(configured(""), "", id="empty"),
        pytest.param({"FunctionName": "assistant"}, None, id="no environment at all"),
    ],
)
def test_the_consumer_is_written_down_as_it_is(
    do: Task, script: Script, response: dict[str, Any], value: str | None
) -> None:
    """Enough to put it back exactly: an empty variable is not the same as none."""
    script.answers("lambda_", "get_function_configuration", response, {"FunctionName": "assistant"})

    assert do("ReadConsumer", script.clients, consumers=[CONSUMER], results=RESULTS) == {
        "consumers": [{**BEFORE, "value": value}],
        "reads": 1,
        "instead": None,
        "parameter": {"name": PARAMETER, "value": None, "tags": {}},
    }


@pytest.mark.parametrize(
    ("routing", "expected"),
    [
        pytest.param({}, None, id="whole"),
        pytest.param({"RoutingConfig": {"AdditionalVersionWeights": {"2": 0.1}}}, {"2": 0.1}, id="weighted"),
        pytest.param({"RoutingConfig": {"AdditionalVersionWeights": {}}}, None, id="no weights"),
    ],
)
def test_an_alias_is_written_down_with_its_weights(
    do: Task, script: Script, routing: dict[str, Any], expected: dict[str, float] | None
) -> None:
    """Version and routing of the alias are part of how the consumer was."""
    script.answers("lambda_", "get_function_configuration", configured("old_0"))
    script.answers(
        "lambda_",
        "get_alias",
        {"Name": "live", "FunctionVersion": "7", **routing},
        {"FunctionName": "assistant", "Name": "live"},
    )

    result = do("ReadConsumer", script.clients, consumers=[{**CONSUMER, "alias": "live"}], results=RESULTS)
    before = only(result)

    assert (before["alias"], before["alias_version"], before["alias_routing"]) == ("live", "7", expected)


# ------------------------------------------------------------------------ update


def test_one_variable_changes_and_the_consumer_is_asked(do: Task, script: Script, streamed: Bodies) -> None:
    """The whole map goes back with one change, guarded by the revision that was read."""
    script.answers("lambda_", "get_function_configuration", configured("old_0"))
    script.answers(
        "lambda_",
        "update_function_configuration",
        {},
        {
            "FunctionName": "assistant",
            "Environment": {"Variables": {"OTHER": "kept", "ENDPOINT_NAME": "harbour-0"}},
            "RevisionId": "r-1",
        },
    )
    script.answers("lambda_", "get_function_configuration", configured("harbour-0"))
    script.answers(
        "lambda_",
        "invoke",
        {"Payload": streamed(json.dumps(GOOD).encode())},
        {"FunctionName": "assistant", "Payload": b'{"prompt": "What does a sealift do?"}'},
    )

    assert only(do("UpdateConsumer", script.clients, **EVENT)) == {
        "function_name": "assistant",
        "variable": "ENDPOINT_NAME",
        "endpoint_name": "harbour-0",
        "previous": "old_0",
        "version": None,
        "answer": GOOD,
    }


def test_a_test_event_of_its_own_is_used(do: Task, script: Script, streamed: Bodies) -> None:
    """A consumer knows best what it understands."""
    switched(script).answers(
        "lambda_",
        "invoke",
        {"Payload": streamed(b'"fine, thanks"')},
        {"FunctionName": "assistant", "Payload": b'{"q": 1}'},
    )
    event = {**EVENT, "consumers": [{**CONSUMER, "test_event": {"q": 1}}]}

    assert only(do("UpdateConsumer", script.clients, **event))["answer"] == "fine, thanks"


def test_a_second_run_changes_nothing_and_asks_again(do: Task, script: Script, streamed: Bodies) -> None:
    """The switch of a first run whose answer was lost is found done."""
    script.answers("lambda_", "get_function_configuration", configured("harbour-0"))
    script.answers("lambda_", "invoke", {"Payload": streamed(json.dumps(GOOD).encode())})

    result = do("UpdateConsumer", script.clients, **EVENT)

    assert (only(result)["previous"], only(result)["endpoint_name"]) == ("old_0", "harbour-0")


@pytest.mark.parametrize(
    "value", [pytest.param("theirs-0", id="another value"), pytest.param(None, id="removed")]
)
def test_what_somebody_else_set_is_not_overwritten(do: Task, script: Script, value: str | None) -> None:
    """The message names the value that was read and the one that was wanted."""
    script.answers("lambda_", "get_function_configuration", configured(value))

    with pytest.raises(ConsumerMoved, match="neither 'old_0', as it was read, nor 'harbour-0'"):
        do("UpdateConsumer", script.clients, **EVENT)


@pytest.mark.parametrize(
    "looks",
    [
        pytest.param([configured("old_0", status="InProgress")], id="somebody's update"),
        pytest.param([configured("old_0"), configured("harbour-0", status="InProgress")], id="our update"),
        pytest.param([configured("old_0"), configured("old_0")], id="our update, not to be seen yet"),
        pytest.param([configured("old_0", State="Pending")], id="a function in the making"),
    ],
)
def test_an_update_in_progress_is_waited_for(do: Task, script: Script, looks: list[dict[str, Any]]) -> None:
    """The state machine comes back; the consumer is not asked before the update is active."""
    script.answers("lambda_", "get_function_configuration", looks[0])
    for look in looks[1:]:
        script.answers("lambda_", "update_function_configuration", {})
        script.answers("lambda_", "get_function_configuration", look)

    with pytest.raises(ConsumerBusy, match="assistant: an update is in progress"):
        do("UpdateConsumer", script.clients, **EVENT)


@pytest.mark.parametrize(
    ("code", "error"),
    [
        pytest.param("PreconditionFailedException", ConsumerChanged, id="changed since it was read"),
        pytest.param("ResourceConflictException", ConsumerBusy, id="being updated"),
    ],
)
def test_a_collision_with_another_update_is_tried_again(
    do: Task, script: Script, code: str, error: type[Exception]
) -> None:
    """Between reading and writing somebody else wrote: read again, merge anew."""
    script.answers("lambda_", "get_function_configuration", configured("old_0"))
    script.refuses("lambda_", "update_function_configuration", code, "told by Lambda")

    with pytest.raises(error, match="told by Lambda"):
        do("UpdateConsumer", script.clients, **EVENT)


@pytest.mark.parametrize(
    ("payload", "told"),
    [
        pytest.param(
            json.dumps({"endpoint_name": "old_0", "answer": "Cargo."}).encode(),
            "called endpoint 'old_0', wanted 'harbour-0'",
            id="another endpoint",
        ),
        pytest.param(b'{"statusCode": 500, "body": "it broke"}', "its statusCode is 500", id="HTTP 500"),
        pytest.param(b'{"statusCode": 404}', "its statusCode is 404", id="HTTP 404"),
        pytest.param(b'{"answer": ""}', "0 completion tokens", id="empty answer"),
        pytest.param(b'""', "0 completion tokens", id="empty text"),
    ],
)
def test_a_consumer_that_does_not_work_with_it_has_failed(
    do: Task, script: Script, streamed: Bodies, payload: bytes, told: str
) -> None:
    """Switched is not enough; the answer is judged."""
    switched(script).answers("lambda_", "invoke", {"Payload": streamed(payload)})

    with pytest.raises(ConsumerFailed, match=told):
        do("UpdateConsumer", script.clients, **EVENT)


def test_what_was_expected_of_the_consumer_is_looked_for(do: Task, script: Script, streamed: Bodies) -> None:
    """The same expectations as of the endpoint."""
    switched(script).answers("lambda_", "invoke", {"Payload": streamed(b'{"answer": "Fish."}')})
    event = {**EVENT, "consumers": [{**CONSUMER, "expect": {"contains": "cargo"}}]}

    with pytest.raises(ConsumerFailed, match="it does not contain 'cargo'"):
        do("UpdateConsumer", script.clients, **event)


def test_a_consumer_that_raises_has_failed(do: Task, script: Script, streamed: Bodies) -> None:
    """Lambda answers 200 with FunctionError; the consumer's own message is passed on."""
    payload = b'{"errorMessage": "no ENDPOINT", "errorType": "KeyError"}'
    switched(script).answers(
        "lambda_", "invoke", {"FunctionError": "Unhandled", "Payload": streamed(payload)}
    )

    with pytest.raises(ConsumerFailed, match=r"assistant failed on .* \(Unhandled\): .*no ENDPOINT"):
        do("UpdateConsumer", script.clients, **EVENT)


def test_an_answer_that_is_no_json_is_text(do: Task, script: Script, streamed: Bodies) -> None:
    """A function may return anything."""
    switched(script).answers("lambda_", "invoke", {"Payload": streamed(b"\xff plain")})

    assert only(do("UpdateConsumer", script.clients, **EVENT))["answer"] == "\N{REPLACEMENT CHARACTER} plain"


def test_all_of_a_long_answer_is_judged_and_its_beginning_kept(
    do: Task, script: Script, streamed: Bodies
) -> None:
    """An execution's data have no room for six megabytes of it."""
    long = " ".join(map(str, range(20_000))) + " cargo"
    switched(script).answers(
        "lambda_", "invoke", {"Payload": streamed(json.dumps({"answer": long}).encode())}
    )
    event = {**EVENT, "consumers": [{**CONSUMER, "expect": {"contains": "cargo"}}]}

    answer = only(do("UpdateConsumer", script.clients, **event))["answer"]

    assert answer.startswith('{"answer": "0 1 2 3')
    assert answer.endswith("characters in all)")
    assert payload_size(answer) <= 2048


@pytest.mark.parametrize(
    ("said", "event", "rule"),
    [
        pytest.param({"answer": "t0" * 32}, None, "repetition", id="an answer"),
        pytest.param({"body": "t0" * 32}, None, "repetition", id="a body"),
        pytest.param("t0" * 32, None, "repetition", id="a text"),
        pytest.param({"answer": EVENT["prompt"]}, None, "echo", id="the prompt"),
        pytest.param({"answer": EVENT["prompt"]}, {"question": "?"}, None, id="not what was asked"),
        pytest.param({"vector": [0.0] * 100}, None, None, id="JSON"),
        pytest.param({"body": json.dumps({"vector": [0.0] * 100})}, None, None, id="a body of JSON"),
        pytest.param([0.0] * 100, None, None, id="a list"),
    ],
)
def test_a_degenerate_answer_of_the_consumers_is_refused_unless_allowed(
    *, do: Task, script: Script, streamed: Bodies, said: Any, event: Any, rule: str | None
) -> None:
    """Only what it said in words; a list of zeros may be just right."""
    asked = {**CONSUMER, "test_event": event}
    for allowed in (False, True):
        expect = {"min_completion_tokens": 1, "allow_degenerate": allowed}
        body = streamed(json.dumps(said).encode())
        switched(script).answers("lambda_", "invoke", {"Payload": body})
        given = {**EVENT, "consumers": [{**asked, "expect": expect}]}
        if allowed or rule is None:
            assert only(do("UpdateConsumer", script.clients, **given))["answer"] == said
            continue

        with pytest.raises(
            ConsumerFailed, match=rf"it is degenerate \({rule}: .*'consumer\.expect'"
        ) as failure:
            do("UpdateConsumer", script.clients, **given)
        assert failure.value.given == answers.DEGENERATE


def test_a_consumer_that_refuses_tells_no_cause(do: Task, script: Script, streamed: Bodies) -> None:
    """Whatever its body is: it has its own reasons, and the model may be well."""
    said = {"statusCode": 500, "body": "t0" * 32}
    switched(script).answers("lambda_", "invoke", {"Payload": streamed(json.dumps(said).encode())})

    with pytest.raises(ConsumerFailed, match="its statusCode is 500") as failure:
        do("UpdateConsumer", script.clients, **EVENT)

    assert failure.value.given == {}


def test_a_variable_that_holds_no_endpoints_name_is_refused(do: Task, script: Script) -> None:
    """It would have to be put back, and an execution's data have no room for whatever it is."""
    script.answers("lambda_", "get_function_configuration", configured("{" + "x" * 3000 + "}"))

    with pytest.raises(ConsumerNotFound, match="ENDPOINT_NAME of assistant has 3,002 characters") as refusal:
        do("ReadConsumer", script.clients, consumers=[CONSUMER], results=RESULTS)

    assert "name the variable that holds the endpoint's name" in str(refusal.value)


# ------------------------------------------------------------------------- alias


def with_alias(before: dict[str, Any]) -> dict[str, Any]:
    """Return the event of a consumer that is called by its alias."""
    return {**EVENT, "consumers": [{**CONSUMER, "alias": "live"}], "before": before}


def test_an_alias_moves_to_the_switched_version(do: Task, moto_consumer: MotoConsumer) -> None:
    """A version with the new variable is published, the alias points to it, and the alias is what is asked."""
    before = do(
        "ReadConsumer", moto_consumer.clients, consumers=[{**CONSUMER, "alias": "live"}], results=RESULTS
    )
    result = do("UpdateConsumer", moto_consumer.clients, **with_alias(before))

    assert (only(before)["alias_version"], only(result)["version"]) == ("1", "2")
    assert moto_consumer.asked == ["assistant:live"]
    assert moto_consumer.alias()["FunctionVersion"] == "2"
    assert moto_consumer.variables("live") == {"OTHER": "kept", "ENDPOINT_NAME": "harbour-0"}
    assert moto_consumer.variables() == {"OTHER": "kept", "ENDPOINT_NAME": "harbour-0"}


def test_switching_twice_is_switching_once(do: Task, moto_consumer: MotoConsumer) -> None:
    """No second version, the same alias, the same result."""
    before = do(
        "ReadConsumer", moto_consumer.clients, consumers=[{**CONSUMER, "alias": "live"}], results=RESULTS
    )
    first = do("UpdateConsumer", moto_consumer.clients, **with_alias(before))
    second = do("UpdateConsumer", moto_consumer.clients, **with_alias(before))

    assert first == second
    assert moto_consumer.versions() == ["$LATEST", "1", "2"]


def test_a_variable_that_was_not_there_is_made(do: Task, moto_consumer: MotoConsumer) -> None:
    """The first deployment of a consumer that never had an endpoint."""
    moto_consumer.set({"OTHER": "kept"})
    before = do("ReadConsumer", moto_consumer.clients, consumers=[CONSUMER], results=RESULTS)
    result = do("UpdateConsumer", moto_consumer.clients, **{**EVENT, "before": before})

    assert only(result)["previous"] is None
    assert moto_consumer.variables() == {"OTHER": "kept", "ENDPOINT_NAME": "harbour-0"}


def test_an_alias_that_shared_its_calls_moves_whole(do: Task, moto_consumer: MotoConsumer) -> None:
    """UpdateAlias keeps the weights that it is not told of, and a tenth of the calls would go on to the old one."""
    moto_consumer.set({"OTHER": "changed"})
    moto_consumer.publish_version(FunctionName="assistant")
    moto_consumer.weigh({"2": 0.1})
    moto_consumer.set({"OTHER": "kept", "ENDPOINT_NAME": "old_0"})
    before = do(
        "ReadConsumer", moto_consumer.clients, consumers=[{**CONSUMER, "alias": "live"}], results=RESULTS
    )
    do("UpdateConsumer", moto_consumer.clients, **with_alias(before))

    assert only(before)["alias_routing"] == {"2": 0.1}
    assert moto_consumer.alias() == {
        "FunctionVersion": "3",
        "RoutingConfig": {"AdditionalVersionWeights": {}},
    }


# ------------------------------------------------------------------- whose turn it is

OLDER, NEWER = "2026-01-02T03:04:04Z", "2026-01-02T03:04:06Z"


def calls_another(script: Script, uploaded_at: str, *, good: bool, status: str = "InService") -> Script:
    """Let the consumer call another deployment of the service."""
    script.answers("lambda_", "get_function_configuration", configured("harbour-1"))
    return serves_another(script, uploaded_at, good=good, status=status)


def serves_another(
    script: Script, uploaded_at: str, *, good: bool = False, status: str = "InService"
) -> Script:
    """Let there be another deployment of the service."""
    moment = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
    endpoint = {
        "EndpointName": "harbour-1",
        "EndpointArn": "arn:aws:sagemaker:us-east-1:123456789012:endpoint/harbour-1",
        "EndpointConfigName": "harbour-1-config",
        "EndpointStatus": status,
        "CreationTime": moment,
        "LastModifiedTime": moment,
    }
    script.answers("sagemaker", "describe_endpoint", endpoint, {"EndpointName": "harbour-1"})
    arn = "arn:aws:sagemaker:us-east-1:123456789012:endpoint-config/harbour-1-config"
    config = {
        "EndpointConfigName": "harbour-1-config",
        "EndpointConfigArn": arn,
        "ProductionVariants": [{"VariantName": "AllTraffic", "ModelName": "harbour-1"}],
        "CreationTime": moment,
    }
    script.answers("sagemaker", "describe_endpoint_config", config)
    tags = {
        "sealift:service": "harbour",
        "sealift:execution": "arn:theirs",
        "sealift:uploaded-at": uploaded_at,
        "sealift:archive-version": "v2",
    } | ({"sealift:deployed-at": NEWER} if good else {})
    listed = [{"Key": key, "Value": value} for key, value in tags.items()]
    return script.answers("sagemaker", "list_tags", {"Tags": listed}, {"ResourceArn": arn})


def executes(script: Script, status: str) -> Script:
    """Let the other execution be in a status."""
    return script.answers(
        "stepfunctions",
        "describe_execution",
        {
            "executionArn": "arn:theirs",
            "stateMachineArn": "arn:machine",
            "status": status,
            "startDate": datetime(2026, 1, 2, tzinfo=UTC),
        },
        {"executionArn": "arn:theirs"},
    )


def read(do: Task, script: Script, **results: Any) -> dict[str, Any]:
    """Run ReadConsumer."""
    return do("ReadConsumer", script.clients, consumers=[CONSUMER], results={**RESULTS, **results})


def test_a_deployment_whose_consumer_calls_a_newer_upload_stands_down(do: Task, script: Script) -> None:
    """The message says which upload serves; nothing is changed."""
    calls_another(script, NEWER, good=True)

    with pytest.raises(Superseded, match=rf"'harbour-1' serves the upload of {NEWER} \(version v2\)"):
        read(do, script)


@pytest.mark.parametrize("uploaded_at", [OLDER, RESULTS["check_archive"]["archive"]["last_modified"]])
def test_an_older_upload_gives_way_and_so_does_one_of_the_same_second(
    do: Task, script: Script, uploaded_at: str
) -> None:
    """S3 tells no more than seconds: within one, the last one to come serves."""
    calls_another(script, uploaded_at, good=True)

    assert only(read(do, script))["value"] == "harbour-1"


@pytest.mark.parametrize("uploaded_at", [OLDER, NEWER])
def test_what_is_being_tried_is_waited_for(do: Task, script: Script, uploaded_at: str) -> None:
    """It may yet be undone, and then this one would go back to an endpoint that is gone."""
    executes(calls_another(script, uploaded_at, good=False), "RUNNING")

    with pytest.raises(ConsumerBusy, match="'harbour-1' is being tried by execution 'arn:theirs'"):
        read(do, script)


def test_what_an_ended_execution_left_unfinished_is_not_waited_for(do: Task, script: Script) -> None:
    """Aborted in the middle: it will not be settled any more."""
    executes(calls_another(script, OLDER, good=False), "ABORTED")
    executes(serves_another(script, OLDER), "ABORTED")

    assert only(read(do, script))["value"] == "harbour-1"


def test_what_was_undone_between_two_looks_stops_nobody(do: Task, script: Script) -> None:
    """Seen as a newer upload that is not finished; a moment later its execution had ended, and its endpoint too."""
    executes(calls_another(script, NEWER, good=False), "FAILED")
    script.missing("describe_endpoint")

    assert only(read(do, script))["value"] == "harbour-1"


def test_a_newer_upload_whose_endpoint_failed_stops_nobody(do: Task, script: Script) -> None:
    """The consumer is better served by an older one that answers."""
    calls_another(script, NEWER, good=True, status="Failed")

    assert only(read(do, script))["value"] == "harbour-1"


def test_an_endpoint_that_is_gone_stops_nobody(do: Task, script: Script) -> None:
    """The variable names what somebody deleted."""
    script.answers("lambda_", "get_function_configuration", configured("harbour-1"))
    script.missing("describe_endpoint").missing("describe_endpoint")
    script.missing("describe_endpoint_config", "endpoint configuration")

    assert only(read(do, script))["value"] == "harbour-1"


def test_a_second_reading_is_counted_and_takes_what_a_deployment_set(do: Task, script: Script) -> None:
    """The switch came too late once: what is written down now is what it will replace."""
    calls_another(script, OLDER, good=True)

    assert read(do, script, read_consumer=READ) == {
        "consumers": [{**BEFORE, "value": "harbour-1"}],
        "reads": 2,
        "instead": None,
        "parameter": {"name": PARAMETER, "value": None, "tags": {}},
    }


def test_a_second_reading_refuses_what_no_deployment_set(do: Task, script: Script) -> None:
    """A person's hand is not overruled."""
    script.answers("lambda_", "get_function_configuration", configured("theirs-0"))
    script.missing("describe_endpoint").missing("describe_endpoint_config", "endpoint configuration")

    with pytest.raises(ConsumerChanged, match="is 'theirs-0' and was 'old_0' when it was read"):
        read(do, script, read_consumer=READ)


def test_reading_again_and_again_has_an_end(do: Task, script: Script) -> None:
    """The loop between the reading and the switch is bounded."""
    script.answers("lambda_", "get_function_configuration", configured("harbour-1"))

    with pytest.raises(ConsumerChanged, match="changed by others 5 times"):
        read(do, script, read_consumer={**READ, "reads": 5})


# ------------------------------------------------------------------------ canary

CANARY = {"weight": 0.1, "bake_s": 300, "alarms": []}
IN_STEPS = {**CONSUMER, "alias": "live", "canary": CANARY}


def shifted(do: Task, consumer: MotoConsumer, **changed: Any) -> dict[str, Any]:
    """Return the result of the first of two steps, after the consumer was read."""
    asked = {**IN_STEPS, "canary": {**CANARY, **changed}}
    before = do("ReadConsumer", consumer.clients, consumers=[asked], results=RESULTS)
    return do("ShiftConsumer", consumer.clients, **{**SHIFT, "consumers": [asked], "before": before})


def test_a_canary_gets_a_part_of_the_calls(do: Task, moto_consumer: MotoConsumer) -> None:
    """The new version is tried by itself first; then the alias gives it its weight, and twice is as once."""
    first = shifted(do, moto_consumer)

    one = {"function_name": "assistant", "alias": "live", "version": "2", "weight": 0.1}
    assert first == {"consumers": [one], "looks": 10, "interval_s": 30}
    assert moto_consumer.asked == ["assistant:2"]
    assert moto_consumer.alias() == {
        "FunctionVersion": "1",
        "RoutingConfig": {"AdditionalVersionWeights": {"2": 0.1}},
    }
    before = {**READ, "consumers": [{**BEFORE, "alias": "live", "alias_version": "1"}]}
    event = {**SHIFT, "consumers": [IN_STEPS], "before": before}
    assert do("ShiftConsumer", moto_consumer.clients, **event) == first
    assert moto_consumer.versions() == ["$LATEST", "1", "2"]


def test_after_the_canary_all_calls_move(do: Task, moto_consumer: MotoConsumer) -> None:
    """The weights are gone, and no further version is published."""
    shifted(do, moto_consumer)
    before = {**READ, "consumers": [{**BEFORE, "alias": "live", "alias_version": "1"}]}

    result = do(
        "UpdateConsumer", moto_consumer.clients, **{**EVENT, "consumers": [IN_STEPS], "before": before}
    )

    assert only(result)["version"] == "2"
    assert moto_consumer.alias() == {
        "FunctionVersion": "2",
        "RoutingConfig": {"AdditionalVersionWeights": {}},
    }


def test_a_version_that_does_not_work_gets_no_calls(do: Task, moto_consumer: MotoConsumer) -> None:
    """It failed its trial, and the alias is as it was."""
    there = moto_consumer.alias()
    moto_consumer.answer = {"answer": ""}

    with pytest.raises(ConsumerFailed, match="0 completion tokens"):
        shifted(do, moto_consumer)

    assert moto_consumer.alias() == there


def test_an_alarm_that_does_not_exist_is_refused_before_anything_changes(
    do: Task, moto_consumer: MotoConsumer
) -> None:
    """It would never fire."""
    with pytest.raises(ConsumerFailed, match="no alarm 'mine'; wanted every one"):
        shifted(do, moto_consumer, alarms=["mine"])

    assert moto_consumer.variables() == {"OTHER": "kept", "ENDPOINT_NAME": "old_0"}


def test_an_alias_of_the_latest_cannot_be_divided(do: Task, moto_consumer: MotoConsumer) -> None:
    """AWS divides the calls of versions alone."""
    moto_consumer.update_alias(FunctionName="assistant", Name="live", FunctionVersion="$LATEST")

    with pytest.raises(ConsumerFailed, match=r"points to \$LATEST; wanted a version"):
        shifted(do, moto_consumer)


JUDGING = ["sealift-harbour-0-5xx", "sealift-harbour-0-as-an-older-release-named-it"]
"""As MonitorEndpoint hands them on."""


def test_the_looks_are_counted_down_while_all_is_quiet(do: Task, script: Script) -> None:
    """Neither a busy endpoint nor an alarm without data speaks against it."""
    for suffix, state in (("5xx", "OK"), ("memory", "INSUFFICIENT_DATA"), ("concurrency", "ALARM")):
        name = f"sealift-harbour-0-{suffix}"
        script.cloudwatch.alarms[name] = {"AlarmName": name, "StateValue": state}

    event = {"consumers": [IN_STEPS], "endpoint_name": "harbour-0", "alarms": JUDGING, "left": 10}
    assert do("WatchConsumer", script.clients, **event) == {"left": 9}
    # The endpoint's own are of metrics, all of them; a composite one would have to be allowed on all alarms.
    assert script.cloudwatch.types == {"MetricAlarm"}


@pytest.mark.parametrize(
    ("name", "more"),
    [
        pytest.param(JUDGING[0], {}, id="the endpoint's"),
        pytest.param(JUDGING[1], {}, id="the endpoint's, under a name that this code would not give it"),
        pytest.param("mine", {}, id="the consumer's"),
        pytest.param("mine", {"AlarmRule": "ALARM(a) AND ALARM(b)"}, id="a composite one of the consumer's"),
    ],
)
def test_an_alarm_ends_it(do: Task, script: Script, name: str, more: dict[str, str]) -> None:
    """The endpoint's and the consumer's own; CloudWatch's reason is in the message."""
    ringing = {"AlarmName": name, "StateValue": "ALARM", "StateReason": "3 errors", **more}
    script.cloudwatch.alarms[name] = ringing
    asked = {**IN_STEPS, "canary": {**CANARY, "alarms": ["mine"]}}

    with pytest.raises(ConsumerFailed, match=rf"with 10% of the calls of assistant:live .*{name}: 3 errors"):
        do(
            "WatchConsumer",
            script.clients,
            consumers=[asked],
            endpoint_name="harbour-0",
            alarms=JUDGING,
            left=10,
        )


# ---------------------------------------------------------------- another service's consumer

TAKEN: dict[str, Any] = {**CONSUMER, "take_over": False}


def calls_another_service(script: Script, *, good: bool = True, gone: bool = False) -> Script:
    """Let the consumer call an endpoint of the service `alpha`, or one that has left its configuration."""
    moment = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
    arns = {
        kind: f"arn:aws:sagemaker:us-east-1:123456789012:{kind}/alpha-1"
        for kind in ("endpoint", "endpoint-config")
    }
    endpoint = {
        "EndpointName": "alpha-1",
        "EndpointArn": arns["endpoint"],
        "EndpointConfigName": "alpha-1",
        "EndpointStatus": "InService",
        "CreationTime": moment,
        "LastModifiedTime": moment,
    }
    config = {
        "EndpointConfigName": "alpha-1",
        "EndpointConfigArn": arns["endpoint-config"],
        "ProductionVariants": [{"VariantName": "AllTraffic", "ModelName": "alpha-1"}],
        "CreationTime": moment,
    }
    tags = {"sealift:service": "alpha", "sealift:execution": "arn:theirs"}
    tags |= {"sealift:deployed-at": OLDER} if good else {}
    listed = {"Tags": [{"Key": key, "Value": value} for key, value in tags.items()]}
    script.answers("lambda_", "get_function_configuration", configured("alpha-1"))
    if gone:
        script.missing("describe_endpoint").answers("sagemaker", "describe_endpoint_config", config)
        script.answers("sagemaker", "list_tags", listed, {"ResourceArn": arns["endpoint-config"]})
        return script.missing("describe_endpoint")
    script.answers("sagemaker", "describe_endpoint", endpoint)
    script.answers("sagemaker", "list_tags", listed, {"ResourceArn": arns["endpoint"]})
    # Whether it is settled.
    script.answers("sagemaker", "describe_endpoint", endpoint)
    script.answers("sagemaker", "describe_endpoint_config", config)
    return script.answers("sagemaker", "list_tags", listed, {"ResourceArn": arns["endpoint-config"]})


def read_as(
    do: Task, script: Script, asked: dict[str, Any], *, default: bool, **results: Any
) -> dict[str, Any]:
    """Run ReadConsumer for a consumer that the request names, or that is the stack's own."""
    checked = {**RESULTS["check_archive"], "request": {"default_consumer": default}}
    plan = {**RESULTS["plan_deployment"], "notes": ["a note"]}
    return do(
        "ReadConsumer",
        script.clients,
        consumers=[asked],
        results={**RESULTS, "check_archive": checked, "plan_deployment": plan, **results},
    )


@pytest.mark.parametrize("gone", [pytest.param(False, id="there"), pytest.param(True, id="gone")])
def test_a_named_consumer_that_another_service_took_since_the_plan_is_refused(
    do: Task, script: Script, *, gone: bool
) -> None:
    """Two services may start at the same moment; what was made is undone."""
    calls_another_service(script, gone=gone)

    with pytest.raises(ConsumerTaken, match="names endpoint 'alpha-1' of the service 'alpha'"):
        read_as(do, script, TAKEN, default=False)


def test_the_stacks_consumer_that_another_service_took_since_the_plan_is_left_to_it(
    do: Task, script: Script
) -> None:
    """The deployment goes on without it, and says so; also after it was found moved at the switch."""
    calls_another_service(script)
    first = read_as(do, script, TAKEN, default=True)

    assert (first["consumers"], first["reads"]) == ([], 1)
    assert first["instead"]["switch"] == "none"
    assert first["instead"]["notes"][1:] == ["a note"]
    calls_another_service(script)
    assert read_as(do, script, TAKEN, default=True, read_consumer=READ) == {**first, "reads": 2}


def test_what_another_service_is_trying_is_waited_for(do: Task, script: Script) -> None:
    """It may yet be undone, and then nobody has the consumer."""
    executes(calls_another_service(script, good=False), "RUNNING")

    with pytest.raises(
        ConsumerBusy, match="'alpha-1' of service 'alpha' is being tried by execution 'arn:theirs'"
    ):
        read_as(do, script, TAKEN, default=True)


@pytest.mark.parametrize("again", [False, True])
def test_a_consumer_is_taken_over_where_the_request_says_so(do: Task, script: Script, *, again: bool) -> None:
    """What it called is written down, so that it goes back there when the deployment fails."""
    calls_another_service(script)
    earlier = {"read_consumer": READ} if again else {}
    result = read_as(do, script, {**TAKEN, "take_over": True}, default=False, **earlier)

    assert only(result)["value"] == "alpha-1"
    assert result["instead"] is None


def test_variables_that_cannot_be_read_end_the_switch(do: Task, script: Script) -> None:
    """Neither "not set" nor "somebody else's": nothing is written."""
    response = configured("old_0", KMSKeyArn="arn:aws:kms:us-east-1:123456789012:key/1")
    response["Environment"] = {"Error": {"ErrorCode": "AccessDeniedException", "Message": "KMS denied"}}
    script.answers("lambda_", "get_function_configuration", response)

    with pytest.raises(ConsumerUnreadable, match="KMS denied"):
        do("ReadConsumer", script.clients, consumers=[CONSUMER], results=RESULTS)
    script.answers("lambda_", "get_function_configuration", response)
    with pytest.raises(ConsumerUnreadable, match="KMS denied"):
        do("UpdateConsumer", script.clients, **EVENT)
