"""The parameter that names a service's endpoint: read, moved at the switch, put back, never over a newer one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from pipeline.errors import (
    AccessDenied,
    ConsumerBusy,
    ConsumerChanged,
    ConsumerMoved,
    ConsumerNotFound,
    Superseded,
    Throttled,
)
from pipeline.rollout import endpoint_parameter
from pipeline.state_data.switch_types import ParameterBefore
from tests.functional.tasks.test_consumer_switch import (
    NEWER,
    OLDER,
    RESULTS,
    serves_another,
)
from tests.functional.tasks.test_retire_previous import account
from tests.functional.tasks.test_roll_back import nothing_there, results
from tests.plans import EXECUTION, PARAMETER, SERVING

if TYPE_CHECKING:
    from tests.functional.tasks.conftest import FakeParameters, Script, Task
    from tests.functional.tasks.test_retire_previous import Account

__all__ = ["account"]

OURS = "harbour-0"
THEIRS = {
    "sealift:service": "harbour",
    "sealift:execution": "arn:theirs",
    "sealift:serving-since": "2026-01-01T00:00:00Z",
}
MARKED = {
    "sealift:service": "harbour",
    "sealift:execution": EXECUTION,
    "sealift:serving-since": SERVING["since"],
}
TAGS = [{"Key": "sealift:service", "Value": "of the deployment"}]
"""Of what the deployment made."""
NONE: dict[str, Any] = {"name": PARAMETER, "value": None, "tags": {}}
EARLIER: dict[str, Any] = {"name": PARAMETER, "value": "harbour-1", "tags": THEIRS}


@pytest.fixture
def parameters(script: Script) -> FakeParameters:
    """Those of the account."""
    return script.parameters


def read(do: Task, script: Script, **more: Any) -> dict[str, Any]:
    """Return what ReadConsumer reads of a deployment without a consumer."""
    return do("ReadConsumer", script.clients, consumers=[], results={**RESULTS, **more})


def was(before: dict[str, Any], *, reads: int = 1) -> dict[str, Any]:
    """Return what ReadConsumer has read."""
    return {"consumers": [], "reads": reads, "instead": None, "parameter": before}


def switch(
    do: Task, script: Script, before: dict[str, Any], tags: list[dict[str, str]] = TAGS
) -> dict[str, Any]:
    """Run UpdateConsumer without a consumer."""
    asked = {"consumers": [], "before": was(before), "endpoint_name": OURS, "prompt": "?"}
    return do("UpdateConsumer", script.clients, **asked, serving=SERVING, tags=tags)


def undo(do: Task, script: Script, before: dict[str, Any] | None, **plan: Any) -> dict[str, Any]:
    """Roll back."""
    read_before = was(before) if before else {**was({}), "parameter": None}
    document = results(read_consumer=read_before)
    document["plan_deployment"] = {**document["plan_deployment"], **plan}
    return do("RollBack", script.clients, results=document)


# -------------------------------------------------------------------------- reading


def test_it_is_read_before_anything_changes(do: Task, script: Script, parameters: FakeParameters) -> None:
    """Its value, and of its tags those that a switch changes."""
    parameters.put(PARAMETER, "harbour-1", team="cargo", **THEIRS)
    serves_another(script, OLDER, good=True)

    assert read(do, script) == was(EARLIER)


def test_where_there_is_none_that_is_written_down(do: Task, script: Script) -> None:
    """A service that was deployed before there was a parameter is as one that is new."""
    assert read(do, script) == was(NONE)


@pytest.mark.parametrize("value", ["theirs-0", "harbour-1 ?", "https://harbour-1"])
def test_what_is_no_endpoint_of_the_services_is_only_written_down(
    do: Task, script: Script, parameters: FakeParameters, value: str
) -> None:
    """Whoever set it: nobody is waited for, and no call is made for it."""
    parameters.put(PARAMETER, value)

    assert read(do, script)["parameter"]["value"] == value


def test_what_is_too_long_to_be_put_back_is_refused(
    do: Task, script: Script, parameters: FakeParameters
) -> None:
    """An execution's data have no room for it; what to do is said."""
    parameters.put(PARAMETER, "x" * 300)

    with pytest.raises(ConsumerNotFound, match=f"aws ssm delete-parameter --name {PARAMETER}"):
        read(do, script)


def test_a_newer_upload_that_it_names_stays(do: Task, script: Script, parameters: FakeParameters) -> None:
    """The newest upload wins without a consumer as it does with one."""
    parameters.put(PARAMETER, "harbour-1")
    serves_another(script, NEWER, good=True)

    with pytest.raises(Superseded):
        read(do, script)


def test_what_is_being_tried_there_is_waited_for(
    do: Task, script: Script, parameters: FakeParameters
) -> None:
    """It may yet be undone."""
    parameters.put(PARAMETER, "harbour-1")
    serves_another(script, OLDER)
    script.answers("stepfunctions", "describe_execution", running())

    with pytest.raises(ConsumerBusy, match="'harbour-1' is being tried"):
        read(do, script)


def running() -> dict[str, Any]:
    """Return an execution that runs."""
    return {
        "executionArn": "arn:aws:states:us-east-1:123456789012:execution:m:theirs",
        "stateMachineArn": "arn:aws:states:us-east-1:123456789012:stateMachine:m",
        "status": "RUNNING",
        "startDate": "2026-01-02T03:04:05Z",
    }


def test_a_second_reading_keeps_what_was_before_our_own(
    do: Task, script: Script, parameters: FakeParameters
) -> None:
    """What a first switch set is undone to what it was then."""
    parameters.put(PARAMETER, OURS, **MARKED)
    script.missing("describe_endpoint")

    assert read(do, script, read_consumer=was(EARLIER)) == was(EARLIER, reads=2)


@pytest.mark.parametrize(
    ("now", "refused"),
    [
        pytest.param("theirs-0", True, id="another's"),
        pytest.param(None, True, id="deleted"),
        pytest.param("harbour-1", False, id="as it was"),
        pytest.param("harbour-2", False, id="a deployment's"),
    ],
)
def test_a_second_reading_refuses_what_no_deployment_set(
    *, do: Task, script: Script, parameters: FakeParameters, now: str | None, refused: bool
) -> None:
    """A person's hand is not overruled during a switch."""
    if now:
        parameters.put(PARAMETER, now)
        if now.startswith("harbour"):
            script.missing("describe_endpoint")

    if refused:
        with pytest.raises(ConsumerChanged, match=f"parameter {PARAMETER} is {now!r} and was 'harbour-1'"):
            read(do, script, read_consumer=was(EARLIER))
    else:
        assert read(do, script, read_consumer=was(EARLIER))["parameter"]["value"] == now


# ------------------------------------------------------------------------- the switch


def test_it_is_made_at_the_first_switch(do: Task, script: Script, parameters: FakeParameters) -> None:
    """By one call, which nobody else's can come before unseen."""
    result = switch(do, script, NONE)

    assert result == {"consumers": [], "parameter": PARAMETER}
    assert (parameters.value(PARAMETER), parameters.tags[PARAMETER]) == (OURS, MARKED)
    assert parameters.calls == ["GetParameter", "PutParameter"]


def test_it_names_the_new_endpoint_after_a_switch(
    do: Task, script: Script, parameters: FakeParameters
) -> None:
    """Somebody's own tags stay, and a second run changes nothing more."""
    parameters.put(PARAMETER, "harbour-1", team="cargo", **THEIRS)

    for _ in range(2):
        switch(do, script, EARLIER)

    assert parameters.values[PARAMETER] == ["harbour-1", OURS]
    assert parameters.tags[PARAMETER] == {"team": "cargo", **MARKED}


def test_updated_in_place_it_stays_and_its_tags_tell_who(
    do: Task, script: Script, parameters: FakeParameters
) -> None:
    """The endpoint's name is the same: no version is written."""
    parameters.put(PARAMETER, OURS, **THEIRS)

    switch(do, script, {**EARLIER, "value": OURS})

    assert (parameters.values[PARAMETER], parameters.tags[PARAMETER]) == ([OURS], MARKED)


@pytest.mark.parametrize(
    ("before", "now"),
    [
        pytest.param(EARLIER, "harbour-2", id="another deployment's"),
        pytest.param(EARLIER, None, id="deleted"),
        pytest.param(NONE, "harbour-2", id="made"),
    ],
)
def test_what_was_moved_since_it_was_read_is_left(
    *, do: Task, script: Script, parameters: FakeParameters, before: dict[str, Any], now: str | None
) -> None:
    """It is read again, and judged."""
    if now:
        parameters.put(PARAMETER, now)

    with pytest.raises(ConsumerMoved):
        switch(do, script, before)

    assert (parameters.value(PARAMETER), "PutParameter" in parameters.calls) == (now, False)


def test_one_that_is_made_at_the_same_moment_is_left(
    do: Task, script: Script, parameters: FakeParameters
) -> None:
    """AWS takes only one of two that make it."""
    parameters.before["PutParameter"] = lambda: parameters.put(PARAMETER, "harbour-2")

    with pytest.raises(ConsumerMoved):
        switch(do, script, NONE)

    assert parameters.values[PARAMETER] == ["harbour-2"]


def test_what_came_between_the_look_and_the_write_is_put_back(
    do: Task, script: Script, parameters: FakeParameters
) -> None:
    """PutParameter has no condition: its answer tells that somebody was faster, whose value stands then."""
    parameters.put(PARAMETER, "harbour-1", **THEIRS)
    parameters.before["PutParameter"] = lambda: parameters.put(PARAMETER, "harbour-2")

    with pytest.raises(ConsumerMoved):
        switch(do, script, EARLIER)

    assert parameters.values[PARAMETER] == ["harbour-1", "harbour-2", OURS, "harbour-2"]
    assert parameters.tags[PARAMETER] == THEIRS


@pytest.mark.parametrize("there", [True, False])
def test_tags_of_ones_own_go_onto_it(
    do: Task, script: Script, parameters: FakeParameters, *, there: bool
) -> None:
    """And stay, whoever undoes the switch: of those that were there before nobody else's is taken away."""
    if there:
        parameters.put(PARAMETER, "harbour-1", team="cargo", **THEIRS)
    before = EARLIER if there else NONE
    switch(do, script, before, [*TAGS, {"Key": "Owner", "Value": "quay"}])

    others = {"team": "cargo"} if there else {}
    assert parameters.tags[PARAMETER] == {**MARKED, **others, "Owner": "quay"}


def test_what_nobody_read_is_not_set(do: Task, script: Script, parameters: FakeParameters) -> None:
    """An execution of a release that knew of no parameter goes on without one."""
    event = {
        "consumers": [],
        "before": {**was(NONE), "parameter": None},
        "endpoint_name": OURS,
        "prompt": "?",
        "serving": SERVING,
        "tags": TAGS,
    }

    assert do("UpdateConsumer", script.clients, **event)["parameter"] is None
    assert parameters.calls == []


@pytest.mark.parametrize(
    ("code", "error"),
    [
        pytest.param("AccessDeniedException", AccessDenied, id="denied"),
        pytest.param("ThrottlingException", Throttled, id="throttled"),
        pytest.param("TooManyUpdates", Throttled, id="at the same time"),
    ],
)
def test_what_is_refused_fails_the_switch(
    do: Task, script: Script, parameters: FakeParameters, code: str, error: type[Exception]
) -> None:
    """Whoever finds the endpoint by it would go on calling the old one."""
    parameters.refused["PutParameter"] = code

    with pytest.raises(error):
        switch(do, script, NONE)


# ------------------------------------------------------------------------ put back


def test_what_was_made_is_deleted_again(do: Task, script: Script, parameters: FakeParameters) -> None:
    """Nothing was before; a retry finds the same."""
    switch(do, script, NONE)
    for _ in range(2):
        nothing_there(script)
        result = undo(do, script, NONE)

        assert f"parameter {PARAMETER}" in result["gone"]
        assert parameters.values == {}


@pytest.mark.parametrize(
    ("tags", "last"),
    [
        pytest.param(THEIRS, "", id="at once"),
        pytest.param(THEIRS, "PutParameter", id="in two tries"),
        pytest.param(THEIRS, "AddTagsToResource", id="the tags later"),
        pytest.param({}, "", id="made by hand"),
        pytest.param({}, "RemoveTagsFromResource", id="made by hand, the tags later"),
    ],
)
def test_it_goes_back_exactly(
    *, do: Task, script: Script, parameters: FakeParameters, tags: dict[str, str], last: str
) -> None:
    """Value and tags, whatever call was the last of a first try; somebody's own tags stay."""
    before = {**EARLIER, "tags": tags}
    parameters.put(PARAMETER, "harbour-1", team="cargo", **tags)
    switch(do, script, before)
    if last:
        parameters.refused = {last: "ThrottlingException"}
        with pytest.raises(Throttled):
            undo(do, script, before)
        parameters.refused = {}
    nothing_there(script)

    result = undo(do, script, before)

    assert f"parameter {PARAMETER}: 'harbour-1' as before" in result["restored"]
    assert parameters.value(PARAMETER) == "harbour-1"
    assert parameters.tags[PARAMETER] == {"team": "cargo", **tags}


@pytest.mark.parametrize(
    ("before", "now"),
    [
        pytest.param(EARLIER, "harbour-2", id="another"),
        pytest.param(NONE, "harbour-2", id="another where there was none"),
        pytest.param(EARLIER, None, id="deleted"),
    ],
)
def test_what_somebody_set_meanwhile_is_kept(
    *, do: Task, script: Script, parameters: FakeParameters, before: dict[str, Any], now: str | None
) -> None:
    """It is not ours any more."""
    if now:
        parameters.put(PARAMETER, now, **THEIRS)
    nothing_there(script)

    result = undo(do, script, before)

    assert f"parameter {PARAMETER}: set by somebody else meanwhile" in result["kept"]
    assert parameters.value(PARAMETER) == now
    assert set(parameters.calls) == {"GetParameter"}


@pytest.mark.parametrize(
    ("operation", "now"),
    [
        pytest.param("PutParameter", "harbour-2", id="set"),
        pytest.param("AddTagsToResource", None, id="deleted"),
    ],
)
def test_what_somebody_does_while_it_is_put_back_stands(
    *, do: Task, script: Script, parameters: FakeParameters, operation: str, now: str | None
) -> None:
    """Between two of our calls."""
    parameters.put(PARAMETER, OURS, **MARKED)

    def meddle() -> None:
        if now:
            parameters.put(PARAMETER, now)
        else:
            del parameters.values[PARAMETER]

    parameters.before[operation] = meddle
    nothing_there(script)

    assert f"parameter {PARAMETER}: set by somebody else meanwhile" in undo(do, script, EARLIER)["kept"]
    assert parameters.value(PARAMETER) == now


def test_before_it_was_read_it_is_not_looked_at(do: Task, script: Script, parameters: FakeParameters) -> None:
    """A deployment that failed before the switch changed nothing of it."""
    nothing_there(script)

    undo(do, script, None)

    assert parameters.calls == []


def test_where_it_may_not_be_put_back_the_endpoint_stays(
    do: Task, script: Script, parameters: FakeParameters
) -> None:
    """Who reads it calls the endpoint: nothing of SageMaker's is touched, and all of it is named."""
    parameters.put(PARAMETER, OURS)
    parameters.refused["PutParameter"] = "AccessDeniedException"

    result = undo(do, script, EARLIER)

    assert result["not_undone"] == [f"parameter {PARAMETER}: AccessDeniedException: PutParameter"]
    assert f"who reads parameter {PARAMETER} may still call it" in "; ".join(result["kept"])


@pytest.mark.parametrize(
    "before",
    [pytest.param({**EARLIER, "value": OURS}, id="deployed again"), pytest.param(EARLIER, id="in place")],
)
def test_an_endpoint_that_was_there_before_is_undone_all_the_same(
    do: Task, script: Script, parameters: FakeParameters, before: dict[str, Any]
) -> None:
    """It stays whatever names it; only the parameter is named."""
    parameters.put(PARAMETER, OURS)
    parameters.refused |= dict.fromkeys(("PutParameter", "AddTagsToResource"), "AccessDeniedException")
    plan: dict[str, Any] = {}
    if before is EARLIER:
        plan = {"updates": {"endpoint_config": "harbour-9", "max_concurrency": 5}}
        script.missing("describe_endpoint")
        script.missing("describe_endpoint_config", "endpoint configuration")
        script.no_more_configs().missing("describe_model", "model")
    else:
        nothing_there(script)

    assert len(undo(do, script, before, **plan)["not_undone"]) == 1


# ------------------------------------------------------------------------- retiring


def test_what_it_names_is_not_retired(account: Account, script: Script) -> None:
    """Somebody finds the endpoint by it."""
    oldest, _, own = (account.sagemaker.deploy(n) for n in (1, 2, 3))
    script.parameters.put(PARAMETER, oldest)

    (told,) = account.retire(own)["not_retired"]

    assert told == f"{oldest}: parameter {PARAMETER} names it"
    assert oldest in account.sagemaker.endpoints


# ------------------------------------------------------------------------- deleting


def test_only_what_still_names_the_endpoint_is_deleted(script: Script, parameters: FakeParameters) -> None:
    """A deployment may have let it name another one since it was looked at."""
    client = script.clients.ssm
    endpoint_parameter.delete(client, PARAMETER, OURS)
    parameters.put(PARAMETER, "harbour-2")
    with pytest.raises(ConsumerMoved):
        endpoint_parameter.delete(client, PARAMETER, OURS)
    assert parameters.value(PARAMETER) == "harbour-2"

    endpoint_parameter.delete(client, PARAMETER, "harbour-2")

    assert parameters.values == {}


def test_one_that_was_deleted_and_made_anew_in_between_is_ours(
    script: Script, parameters: FakeParameters
) -> None:
    """Its first version is the one that was just written."""
    parameters.put(PARAMETER, "harbour-1")

    def delete() -> None:
        del parameters.values[PARAMETER]

    parameters.before["PutParameter"] = delete
    before = ParameterBefore(PARAMETER, "harbour-1", {})

    endpoint_parameter.point(script.clients.ssm, before, OURS, MARKED)

    assert parameters.values[PARAMETER] == [OURS]
