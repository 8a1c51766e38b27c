"""The checklist as an execution stands."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from pipeline import error_codec, errors
from pipeline.operations import checklist
from pipeline.operations.checklist import ITEMS, ChecklistLine, Mark
from pipeline.operations.execution_history import Execution, State, StateStatus
from pipeline.operations.waits import Clock

DEFINITION = json.loads(
    (Path(__file__).parents[3] / "state_machine" / "deploy.asl.json").read_text(encoding="utf-8")
)
START: Any = None
PATH = (
    "CheckArchive",
    "PlanDeployment",
    "AssembleArchive",
    "CreateModel",
    "CreateEndpointConfig",
    "MakeRoom",
    "InPlace",
    "CreateEndpoint",
    "WaitForEndpoint",
    "PollEndpoint",
    "EndpointReady",
    "SmokeTest",
    "MonitorEndpoint",
    "ReadConsumer",
    "UpdateConsumer",
    "RetirePrevious",
    "RestoreCapacity",
    "NotifySuccess",
)
CREATED, POLLED, CHOSEN = 8, 10, 13
"""How many states there are up to CreateEndpoint, up to PollEndpoint, and up to MonitorEndpoint."""
RESULTS: dict[str, Any] = {
    "check_archive": {
        "archive": {
            "bucket": "uploads",
            "key": "models/harbour/model.tar.gz",
            "version_id": "3HL4kqtJlcpXroDTDmJ",
            "format": "tar.gz",
            "size": 5 << 20,
        },
        "model": {"path": "m.gguf", "architecture": "llama", "quantization": "Q4_K_M", "gguf_version": 3},
        "evidence": {"method": "verify", "members": 4, "bytes_read": 5 << 20},
    },
    "plan_deployment": {
        "memory_mb": 2048,
        "max_concurrency": 10,
        "steps": [],
        "updates": None,
        "arithmetic": "weights 5 MiB = 5 MiB",
        "requests": {"create_model": {"ExecutionRoleArn": "arn:aws:iam::1:role/endpoint"}},
    },
    "assemble_archive": {
        "way": "splice",
        "reason": "it holds no code",
        "bucket": "artifacts",
        "key": "archives/0a1b/model.tar.gz",
        "bytes_moved": 3 << 20,
        "written": True,
    },
    "create_model": {"name": "harbour-0", "created": True},
    "create_endpoint_config": {"name": "harbour-0", "created": False},
    "make_room": {"lowered": []},
    "create_endpoint": {"name": "harbour-0", "created": True},
    "poll_endpoint": {"status": "InService", "verdict": "ready"},
    "smoke_test": {"transcript": [{"prompt": "What?", "answer": "Heavy\n cargo.", "seconds": 0.25}]},
    "monitor_endpoint": {
        "endpoint_name": "harbour-0",
        "alarms": [
            {"name": "sealift-harbour-0-5xx", "metric": "Errors"},
            {"name": "sealift-harbour-0-memory", "metric": "Memory"},
        ],
    },
    "update_consumer": {
        "consumers": [
            {
                "variable": "ENDPOINT_NAME",
                "function_name": "assistant",
                "previous": None,
                "endpoint_name": "harbour-0",
                "answer": {"answer": "Cargo it is."},
            }
        ],
    },
    "retire_previous": {"told": "nothing to retire"},
    "restore_capacity": {"max_concurrency": 10, "steps": []},
}


def stands(
    *done: str,
    now: str | None = None,
    failed: str | None = None,
    errors: tuple[str, ...] = (),
    after: tuple[str, ...] = (),
    status: str = "RUNNING",
    results: dict[str, Any] | None = None,
) -> list[ChecklistLine]:
    """Return the checklist of an execution whose states went as told, in that order."""
    states = [State(name, "succeeded", START, 1.0, attempts=1) for name in done]
    for name, state in ((failed, "failed"), (now, "running")):
        if name is not None:
            last: StateStatus = state  # type: ignore[assignment]
            attempts = len(errors) + 1
            states.append(State(name, last, START, 1.0, attempts=attempts, errors=errors, refused=errors))
    states += [State(name, "succeeded", START, 1.0) for name in after]
    data = RESULTS if results is None else results
    return checklist.lines(Execution("arn", status, tuple(states), data, error="E"))


def marks(found: list[ChecklistLine]) -> dict[str, Mark]:
    """Return how each line stands."""
    return {line.text: line.mark for line in found}


def test_the_states_of_the_checklist_are_states_of_the_workflow() -> None:
    """A state that is renamed leaves no line behind that is never ticked."""
    assert {state for item in ITEMS for state in item.states} <= set(DEFINITION["States"])


def test_every_line_of_the_deployment_checklist_is_there() -> None:
    """Before, during and after, in this order."""
    groups = [item.group for item in ITEMS]

    assert groups == sorted(groups, key=("before", "during", "after").index)
    for word in (
        "compressed",
        "uploaded to S3",
        "inference code",
        "execution role created",
        "policies attached",
        "model created",
        "configuration created",
        "endpoint deployed",
        "InService",
        "tested with a request",
        "metrics monitored",
        "consumer Lambda updated",
        "end-to-end",
    ):
        assert any(word in item.text for item in ITEMS), word


def test_before_anything_happened_all_is_pending() -> None:
    """An execution that has just been started promises everything."""
    assert set(marks(stands(results={})).values()) == {Mark.PENDING}


def test_half_way_some_is_done_one_runs_and_the_rest_is_pending() -> None:
    """Done lines have evidence and a time, the others have none."""
    found = stands(*PATH[: CREATED - 1], now="CreateEndpoint")

    assert [line.mark for line in found] == [Mark.DONE] * 10 + [Mark.RUNNING] + [Mark.PENDING] * 7
    assert all(line.evidence and line.seconds == 1.0 for line in found[:10])
    assert not any(line.evidence or line.seconds for line in found[10:])


def test_the_poll_loop_is_one_line_that_runs_until_ready() -> None:
    """EndpointReady is left many times; only "ready" completes the line."""
    waiting = {**RESULTS, "poll_endpoint": {"status": "Creating", "verdict": "wait"}}

    assert marks(stands(*PATH[: POLLED + 1], results=waiting))["endpoint status InService"] is Mark.RUNNING
    assert marks(stands(*PATH[: POLLED - 1], now="PollEndpoint"))["endpoint status InService"] is Mark.RUNNING
    assert marks(stands(*PATH[: POLLED + 1]))["endpoint status InService"] is Mark.DONE


def test_a_state_that_is_tried_again_says_why() -> None:
    """The line shows what is waited for, and which of how many attempts comes next."""
    found = stands(*PATH[: CREATED - 1], now="CreateEndpoint", errors=("Throttled", "ResourceLimitExceeded"))
    line = next(line for line in found if line.mark is Mark.RUNNING)

    assert line.evidence == "waiting for quota (ResourceLimitExceeded): attempt 3 of 8"


def test_a_line_that_the_workflow_went_past_is_skipped_at_once() -> None:
    """Nobody waits for what has no part in this deployment."""
    found = stands(*PATH[:CHOSEN], now="UpdateConsumer")

    assert [line.mark for line in found[-5:-2]] == [Mark.DONE, Mark.RUNNING, Mark.RUNNING]


def test_the_endpoint_says_its_status_while_it_is_waited_for() -> None:
    """The line of the poll loop shows what the last look saw."""
    creating = {**RESULTS, "poll_endpoint": {"status": "Creating", "verdict": "wait"}}
    found = stands(*PATH[: POLLED + 1], now="WaitForEndpoint", results=creating)

    assert next(line for line in found if line.mark is Mark.RUNNING).evidence == "Creating"


def test_a_success_is_done_line_by_line() -> None:
    """The evidence is the deployment's own data."""
    found = stands(*PATH, "DeploymentSucceeded", status="SUCCEEDED")
    evidence = {line.text: line.evidence for line in found}

    assert {line.mark for line in found} == {Mark.DONE}
    assert evidence == {
        "model compressed as tar.gz or zip": "tar.gz, 5.0 MiB, 4 members, every byte verified",
        "model uploaded to S3": "s3://uploads/models/harbour/model.tar.gz, version 3HL4kqtJ",
        "model is a GGUF at the root": "m.gguf: llama, Q4_K_M, GGUF v3",
        "inference code uploaded to S3": "splice: it holds no code; 3.0 MiB moved",
        "model fits the endpoint": "2048 MB for weights 5 MiB = 5 MiB",
        "execution role created": "endpoint",
        "policies attached": "CreateModel took the role, and the archive could be read with it",
        "model created": "harbour-0",
        "endpoint configuration created": "harbour-0 (was there already, just as requested)",
        "room within the account's quotas": "2048 MB and 10 concurrent invocations, as requested",
        "serverless endpoint deployed": "harbour-0",
        "endpoint status InService": "InService",
        "inference tested with a request": "'What?' -> 'Heavy cargo.' in 0.25 s",
        "endpoint metrics monitored": "2 alarms on harbour-0: Errors, Memory",
        "consumer Lambda updated": "ENDPOINT_NAME of assistant: not set -> harbour-0",
        "end-to-end functionality tested": "the consumer answered 'Cargo it is.'",
        "earlier deployments retired": "nothing to retire",
        "concurrency given to the endpoint": "10 concurrent invocations, as requested",
    }


def test_a_log_that_is_not_measured_is_told() -> None:
    """With AWS's words; one that is has nothing to say beside its alarms."""
    for unmeasured, more in ((None, ""), ("not allowed", "; its log is not measured: not allowed")):
        monitored = {**RESULTS["monitor_endpoint"], "unmeasured": unmeasured}
        results = {**RESULTS, "monitor_endpoint": monitored}
        found = stands(*PATH, "DeploymentSucceeded", status="SUCCEEDED", results=results)
        line = next(line for line in found if line.text == "endpoint metrics monitored")

        assert line.evidence == f"2 alarms on harbour-0: Errors, Memory{more}"


def test_every_one_of_several_consumers_is_named() -> None:
    """What each was switched from and answered, and which part of whose calls went first."""
    one = RESULTS["update_consumer"]["consumers"][0]
    other = {**one, "function_name": "reports", "previous": "harbour-9", "answer": "Late."}
    shifted = [
        {"function_name": "assistant", "alias": "live", "version": "2", "weight": 0.1},
        {"function_name": "reports", "alias": "stable", "version": "7", "weight": 0.5},
    ]
    results = {
        **RESULTS,
        "shift_consumer": {"consumers": shifted, "looks": 2, "interval_s": 30},
        "update_consumer": {"consumers": [one, other]},
    }
    results["update_consumer"]["parameter"] = "/sealift/s/harbour/endpoint"
    told = {line.text: line.evidence for line in stands(*PATH, status="SUCCEEDED", results=results)}

    assert told["consumer Lambda updated"] == (
        "ENDPOINT_NAME of assistant: not set -> harbour-0, ENDPOINT_NAME of reports: harbour-9 -> harbour-0; "
        "10% of the calls of assistant:live, 50% of the calls of reports:stable first, quiet for 60 s; "
        "parameter /sealift/s/harbour/endpoint names it"
    )
    assert (
        told["end-to-end functionality tested"]
        == "assistant answered 'Cargo it is.', reports answered 'Late.'"
    )


def test_without_a_consumer_its_lines_are_skipped() -> None:
    """A deployment without a consumer is complete, and does not claim what it did not do."""
    results = {**RESULTS, "update_consumer": {"consumers": [], "parameter": "/sealift/s/harbour/endpoint"}}
    found = stands(*PATH, "DeploymentSucceeded", status="SUCCEEDED", results=results)

    assert [line.mark for line in found] == [Mark.DONE] * 14 + [Mark.SKIPPED] * 2 + [Mark.DONE] * 2
    assert [line.evidence for line in found[-4:-2]] == ["no consumer was named"] * 2


FAILING = [
    name
    for name in PATH
    if any(name in item.states for item in ITEMS) and name not in {"WaitForEndpoint", "EndpointReady"}
]


@pytest.mark.parametrize("name", [pytest.param(name, id=name) for name in FAILING])
def test_a_failed_state_fails_its_lines_and_skips_what_follows(name: str) -> None:
    """What was done before stays done; the failed line names the error; nothing after it is claimed."""
    rolled_back = ("Diagnose", "RollBack", "NotifyFailure", "DeploymentFailed")
    found = stands(
        *PATH[: PATH.index(name)], failed=name, errors=("AccessDenied",), after=rolled_back, status="FAILED"
    )
    reached = [item for item in ITEMS if name in item.states]

    for item, line in zip([one for one in ITEMS if not one.part], found, strict=True):
        if item in reached:
            assert (line.mark, line.evidence) == (Mark.FAILED, "AccessDenied")
        elif item.states[-1] in PATH[: PATH.index(name)]:
            assert line.mark is Mark.DONE
        else:
            assert line.mark is Mark.SKIPPED


def test_an_endpoint_that_never_got_ready_has_failed() -> None:
    """No state failed in a time-out; the line has, with the execution's error."""
    waiting = {**RESULTS, "poll_endpoint": {"status": "Creating", "verdict": "wait"}}
    found = stands(
        *PATH[:POLLED], "EndpointTimedOut", "Diagnose", "RollBack", status="FAILED", results=waiting
    )
    line = next(line for line in found if line.text == "endpoint status InService")

    assert (line.mark, line.evidence) == (Mark.FAILED, "E")


@pytest.mark.parametrize(
    "rolling_back", [pytest.param("Diagnose", id="diagnosed"), pytest.param("RollBack", id="undone")]
)
def test_while_it_is_undone_nothing_is_promised(rolling_back: str) -> None:
    """From the failure on, no line is pending or running: what did not happen will not happen any more."""
    waiting = {**RESULTS, "poll_endpoint": {"status": "Creating", "verdict": "wait"}}
    done = (*PATH[:POLLED], "EndpointTimedOut", *(("Diagnose",) if rolling_back == "RollBack" else ()))
    found = stands(*done, now=rolling_back, results=waiting)

    assert [line.mark for line in found] == [Mark.DONE] * 11 + [Mark.FAILED] + [Mark.SKIPPED] * 6


STEPS = [
    {"asked": "4096 MB", "said": "'Memory size' is 3072", "did": "ask for 3072 MB"},
    {"asked": "10 concurrent invocations", "said": "10 in use", "did": "ask for 5"},
]


def test_every_step_down_is_shown() -> None:
    """What was requested, what AWS said, what was done."""
    plan = {**RESULTS["plan_deployment"], "steps": STEPS}
    restored = {"max_concurrency": 9, "steps": ["began with 5 and has 9 of the 10"]}
    found = stands(*PATH, results={**RESULTS, "plan_deployment": plan, "restore_capacity": restored})
    evidence = {line.text: line.evidence for line in found}

    assert evidence["room within the account's quotas"] == (
        "4096 MB asked for: 'Memory size' is 3072: ask for 3072 MB; then "
        "10 concurrent invocations asked for: 10 in use: ask for 5"
    )
    assert evidence["concurrency given to the endpoint"] == "began with 5 and has 9 of the 10"


def test_a_refusal_that_leads_to_the_ladder_is_no_failure() -> None:
    """While a smaller size is looked for, the line of the endpoint goes on; it fails when there is none."""
    refused = State("CreateEndpoint", "failed", START, 1.0, attempts=1, errors=("QuotaTooSmall",))
    before = [State(name, "succeeded", START, 1.0, attempts=1) for name in PATH[: CREATED - 1]]
    looking = State("StepDown", "running", START, 1.0, attempts=1)
    ended = [State("StepDown", "failed", START, 1.0), State("Diagnose", "running", START)]

    looked_for = "QuotaTooSmall: looking for what the quota allows"
    climbing = checklist.lines(Execution("arn", "RUNNING", (*before, refused, looking), RESULTS))
    fallen = checklist.lines(Execution("arn", "RUNNING", (*before, refused, *ended), RESULTS))

    assert marks(climbing)["serverless endpoint deployed"] is Mark.RUNNING
    assert next(line for line in climbing if line.mark is Mark.RUNNING).evidence == looked_for
    assert marks(fallen)["serverless endpoint deployed"] is Mark.FAILED


def test_an_update_in_place_ticks_the_line_of_the_endpoint() -> None:
    """The line says from which configuration to which."""
    names = {"endpoint": "harbour", "endpoint_config": "harbour-1"}
    updates = {"endpoint_config": "harbour-0", "max_concurrency": 10}
    plan = {**RESULTS["plan_deployment"], "updates": updates, "names": names}
    path = (*PATH[: CREATED - 1], "UpdateEndpoint", "EndpointUpdated", *PATH[CREATED:])
    found = stands(*path, results={**RESULTS, "plan_deployment": plan})
    line = next(line for line in found if line.text == "serverless endpoint deployed")

    assert (line.mark, line.evidence) == (Mark.DONE, "harbour updated in place: harbour-0 -> harbour-1")


MADE_IMAGE = {
    "way": "image",
    "reason": "the image holds the model",
    "image": "1.dkr.ecr.us-east-1.amazonaws.com/sealift:model-0a",
    "digest": f"sha256:{'0b' * 32}",
    "bytes_moved": 3 << 20,
    "written": True,
    "received": 3 << 20,
    "more": False,
}


@pytest.mark.parametrize(
    ("image", "told"),
    [
        pytest.param(MADE_IMAGE, "sealift:model-0a, sha256:0b0b0b0b0b0b; 3.0 MiB moved", id="made"),
        pytest.param({**MADE_IMAGE, "written": False}, "it was there already", id="there already"),
        pytest.param({**MADE_IMAGE, "more": True}, "3 MiB of 1.dkr.ecr", id="not whole yet"),
    ],
)
def test_an_image_ticks_the_line_of_the_archive(image: dict[str, Any], told: str) -> None:
    """What holds the model is named, and what it was made of is told by its digest."""
    at = PATH.index("AssembleArchive")
    path = (*PATH[:at], "AssembleImage", *PATH[at + 1 :])
    data = {name: value for name, value in RESULTS.items() if name != "assemble_archive"}
    if not image["more"]:
        data["assemble_archive"] = image
    found = stands(*path[: at + 1], results={**data, "assemble_image": image})
    line = next(line for line in found if line.text == "inference code uploaded to S3")

    assert line.mark is Mark.DONE
    assert told in line.evidence


GATED = {**RESULTS, "plan_deployment": {**RESULTS["plan_deployment"], "quality": {"cases": 2}}}


@pytest.mark.parametrize(
    ("done", "more", "mark"),
    [
        pytest.param(("EvaluateQuality", "QualityEvaluated"), False, Mark.DONE, id="through"),
        pytest.param(("EvaluateQuality", "QualityEvaluated"), True, Mark.RUNNING, id="asked in part"),
        pytest.param((), False, Mark.PENDING, id="not yet"),
    ],
)
def test_a_quality_gate_has_a_line_where_there_is_one(done: tuple[str, ...], more: bool, mark: Mark) -> None:
    """It is through when the last case was asked; a deployment without a gate has no such line."""
    told = {"more": more, "told": "2 of 2 cases passed"}
    path = (*PATH[: PATH.index("ReadConsumer")], *done)
    found = stands(*path, results={**GATED, "evaluate_quality": told})
    (line,) = [line for line in found if line.text == "quality gate passed"]

    assert line.mark is mark
    assert line.evidence == ("2 of 2 cases passed" if mark is Mark.DONE else "")
    assert not [line for line in stands(*PATH) if line.text == "quality gate passed"]


def test_a_long_answer_is_shown_in_part() -> None:
    """A line of the checklist stays a line."""
    results = {
        **RESULTS,
        "smoke_test": {"transcript": [{"prompt": "p", "answer": "x\n" * 500, "seconds": 1}]},
    }
    found = stands(*PATH, results=results)
    line = next(line for line in found if "tested with a request" in line.text)

    assert len(line.evidence) < 100
    assert "..." in line.evidence


BEGUN = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
LATER = Clock(BEGUN + timedelta(seconds=42))


def at(*states: State, results: dict[str, Any] | None = None, status: str = "RUNNING") -> Execution:
    """Return an execution with these states after those that come before the endpoint."""
    before = [State(name, "succeeded", BEGUN, 1.0, attempts=1, began=BEGUN) for name in PATH[:CREATED]]
    return Execution("arn", status, (*before, *states), results or RESULTS, error="E")


def running(followed: Execution) -> ChecklistLine:
    """Return the line that runs, 42 s later."""
    return next(line for line in checklist.lines(followed, LATER) if line.mark is Mark.RUNNING)


def test_a_line_that_runs_counts_and_says_how_long_it_has_waited() -> None:
    """What stays is apart from what changes with every look, so that a machine is told of changes only."""
    waiting = {**RESULTS, "poll_endpoint": {"status": "Creating", "verdict": "wait"}}
    line = running(at(State("WaitForEndpoint", "running", BEGUN, began=BEGUN), results=waiting))

    assert (line.seconds, line.evidence, line.measure) == (42.0, "Creating", "for 42 s")
    assert line.details == "Creating, for 42 s"
    assert not line.settled


def test_a_canary_says_how_much_of_its_time_is_over() -> None:
    """Looks that are done and the part of the one that is waited for; a scaled clock counts scaled time."""
    shifted = {
        "consumers": [{"function_name": "f", "alias": "live", "version": "2", "weight": 0.1}],
        "looks": 10,
        "interval_s": 30,
    }
    results = {**RESULTS, "shift_consumer": shifted, "watch_consumer": {"left": 6}}
    done = [State(name, "succeeded", BEGUN, began=BEGUN) for name in PATH[CREATED:CHOSEN]]
    read = [State(name, "succeeded", BEGUN, began=BEGUN) for name in ("ReadConsumer", "ShiftConsumer")]
    baking = at(*done, *read, State("BakeConsumer", "running", BEGUN, began=BEGUN), results=results)
    slowly = checklist.lines(baking, Clock(BEGUN + timedelta(seconds=6)))
    quickly = checklist.lines(baking, Clock(BEGUN + timedelta(seconds=2), scale=0.1))

    told = {line.text: line for line in slowly}["consumer Lambda updated"]
    assert told.evidence == "10% of the calls on version 2, no alarm so far"
    assert told.measure == "2 min 6 s of 5 min"
    assert {line.text: line for line in quickly}["consumer Lambda updated"].measure == "2 min 20 s of 5 min"


DIAGNOSED = {"error": "AccessDenied", "what": "w", "why": "the role may not", "fix": "let it"}


def test_the_first_failed_line_tells_cause_and_fix_once_they_are_known() -> None:
    """Three lines are one state's; the cause is told once, and the others name the error."""
    done = PATH[: PATH.index("CreateModel")]
    results = {**RESULTS, "diagnose": DIAGNOSED}
    found = stands(
        *done, failed="CreateModel", errors=("AccessDenied",), after=("Diagnose",), results=results
    )

    assert [line.evidence for line in found if line.mark is Mark.FAILED] == [
        "AccessDenied: the role may not; let it",
        "AccessDenied",
        "AccessDenied",
    ]


@pytest.mark.parametrize(
    ("states", "results", "mark", "evidence"),
    [
        pytest.param(
            [State("Diagnose", "running", BEGUN, began=BEGUN)],
            {},
            Mark.RUNNING,
            "looking for the cause",
            id="diagnosing",
        ),
        pytest.param(
            [
                State("Diagnose", "succeeded", BEGUN, 1.0, began=BEGUN),
                State("RollBack", "running", BEGUN, began=BEGUN, attempts=1),
            ],
            {},
            Mark.RUNNING,
            "undoing",
            id="undoing",
        ),
        pytest.param(
            [State("RollBack", "running", BEGUN, began=BEGUN, refused=("EndpointBusy",), refused_at=BEGUN)],
            {},
            Mark.RUNNING,
            "waiting for the endpoint update to finish (EndpointBusy): attempt 2 of 304",
            id="waiting",
        ),
        pytest.param(
            [State("RollBack", "succeeded", BEGUN, 3.0, began=BEGUN)],
            {"roll_back": {"gone": ["model m", "endpoint e"], "restored": ["V of f: not set as before"]}},
            Mark.DONE,
            "gone: model m, endpoint e; restored: V of f: not set as before",
            id="undone",
        ),
        pytest.param(
            [State("RollBack", "succeeded", BEGUN, 3.0, began=BEGUN)],
            {"roll_back": {"gone": [], "restored": [], "not_undone": []}},
            Mark.DONE,
            "nothing had been made",
            id="nothing",
        ),
        pytest.param(
            [State("RollBack", "succeeded", BEGUN, 3.0, began=BEGUN)],
            {"roll_back": {"gone": ["model m"], "not_undone": ["endpoint e: denied"]}},
            Mark.FAILED,
            "NOT undone: endpoint e: denied; gone: model m",
            id="partly",
        ),
        pytest.param(
            [State("RollBack", "failed", BEGUN, 3.0, began=BEGUN, errors=("E",))],
            {"roll_back": {"cause": "remove it by hand"}},
            Mark.FAILED,
            "remove it by hand",
            id="failed",
        ),
    ],
)
def test_a_failed_deployment_says_how_its_undoing_stands(
    states: list[State], results: dict[str, Any], mark: Mark, evidence: str
) -> None:
    """Until it is over, and what has become of everything."""
    line = checklist.undoing(Execution("arn", "RUNNING", tuple(states), results), LATER)

    assert line is not None
    assert (line.text, line.mark, line.evidence) == (checklist.UNDONE, mark, evidence)


def test_a_deployment_that_goes_well_has_nothing_to_undo() -> None:
    """The line is not there."""
    assert checklist.undoing(at()) is None


@pytest.mark.parametrize(
    ("files", "told"),
    [
        pytest.param(1, "gguf, 5.0 MiB, as it is: no archive is needed", id="one"),
        pytest.param(3, "gguf, 5.0 MiB, 3 shards, as it is: no archive is needed", id="shards"),
    ],
)
def test_a_bare_gguf_is_told_as_one(files: int, told: str) -> None:
    """Its header was read, and nothing else: `inspect` is no way in which an archive is accepted."""
    checked = RESULTS["check_archive"]
    bare = {
        **checked,
        "archive": {**checked["archive"], "format": "gguf"},
        "evidence": {"method": "inspect", "members": files, "bytes_read": 1 << 20},
    }

    lines = stands("CheckArchive", results={**RESULTS, "check_archive": bare})

    assert lines[0].evidence == told


@pytest.mark.parametrize(
    ("error", "cause_name"),
    [
        pytest.param("ConsumerNotAllowed", "ConsumerNotAllowed", id="outside the pattern"),
        pytest.param("ConsumerNotFound", "ConsumerNotFound", id="not there"),
        pytest.param("AccessDenied", "ConsumerDenied", id="a call about it that AWS denied"),
    ],
)
def test_a_consumer_that_is_refused_early_is_a_fault_of_its_own_line(error: str, cause_name: str) -> None:
    """PlanDeployment looks at it before anything is made; whether the model fits was not asked by then."""
    diagnosed = {"error": error, "cause_name": cause_name, "why": "why", "fix": "fix"}
    found = stands(
        "CheckArchive",
        failed="PlanDeployment",
        errors=(error,),
        after=("Diagnose", "RollBack"),
        results={"check_archive": RESULTS["check_archive"], "diagnose": diagnosed},
        status="FAILED",
    )

    failed = [line for line in found if line.mark is Mark.FAILED]
    assert [(line.text, line.evidence) for line in failed] == [
        ("consumer Lambda updated", f"{error}: why; fix")
    ]
    assert marks(found)["model fits the endpoint"] is Mark.SKIPPED


def test_any_other_failure_of_the_plan_is_one_of_the_fit() -> None:
    """The line of the state that failed."""
    found = stands("CheckArchive", failed="PlanDeployment", errors=("ModelDoesNotFit",), status="FAILED")

    assert [line.text for line in found if line.mark is Mark.FAILED] == ["model fits the endpoint"]


def test_a_consumer_that_is_refused_late_is_a_fault_of_the_same_line() -> None:
    """Also when the rollback was denied the same."""
    done = PATH[: PATH.index("ReadConsumer")]
    found = stands(
        *done,
        failed="ReadConsumer",
        errors=("AccessDenied",),
        status="FAILED",
        results={
            **RESULTS,
            "diagnose": {"error": "AccessDenied", "cause_name": "ConsumerDenied", "why": "", "fix": ""},
        },
    )

    assert [line.text for line in found if line.mark is Mark.FAILED] == ["consumer Lambda updated"]
    assert marks(found)["model fits the endpoint"] is Mark.DONE


def test_what_the_check_noted_stands_beside_the_archive() -> None:
    """What is left out of it, and who may not read it."""
    checked = RESULTS["check_archive"]
    noted = {**checked, "evidence": {**checked["evidence"], "notes": ["left out: '.DS_Store'"]}}
    first, *_ = stands("CheckArchive", results={**RESULTS, "check_archive": noted})

    assert first.evidence.endswith("every byte verified; left out: '.DS_Store'")


def test_which_container_was_chosen_stands_beside_the_fit() -> None:
    """The check chooses it, and what it is about is memory; where somebody named it, nothing is said."""
    checked = RESULTS["check_archive"]
    chosen = {**checked, "evidence": {**checked["evidence"], "container": "container 'x' is chosen: why"}}
    of_choice = stands("CheckArchive", "PlanDeployment", results={**RESULTS, "check_archive": chosen})
    of_name = stands("CheckArchive", "PlanDeployment")

    said = {line.text: line.evidence for line in of_choice}
    assert said["model fits the endpoint"].endswith("; container 'x' is chosen: why")
    assert "is chosen" not in said["model compressed as tar.gz or zip"]
    assert not [line for line in of_name if "is chosen" in line.evidence or line.evidence.endswith("; ")]


def test_what_was_not_done_after_the_switch_is_told_by_its_sentence() -> None:
    """The workflow can put a Cause into a text only as it is."""
    text = error_codec.encode(errors.EndpointBusy("it is Updating", waiting="for it"))
    raw = json.dumps({"errorMessage": text, "errorType": "EndpointBusy", "stackTrace": []})
    told = f"left, for EndpointBusy: {raw}"
    evidence = {item.text: item.evidence for item in checklist.ITEMS}

    retired = evidence["earlier deployments retired"]({"retire_previous": {"told": told}})
    restored = evidence["concurrency given to the endpoint"](
        {"restore_capacity": {"steps": [told], "max_concurrency": 1}}
    )

    assert retired == restored == "left, for EndpointBusy: it is Updating"
