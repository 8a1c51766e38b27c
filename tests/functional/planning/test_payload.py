"""The largest deployment that a request can ask for stays within what Step Functions holds, at every state.

The true definition is run by the interpreter. What a state's function returns comes from the task's own code where it
depends on what others say, and is otherwise as large as its names allow: so a field that is new and has no bound makes
the data outgrow theirs here.
"""

# ruff: noqa: D102, N802  the fakes have the names of AWS's operations and of states, and say as much

from __future__ import annotations

import importlib
import json
import re
from collections import Counter
from dataclasses import asdict
from datetime import UTC, date, datetime, timedelta
from io import BytesIO
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
from botocore.exceptions import ClientError
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pipeline import (
    error_codec,
    errors,
    json_codec,
    model_source,
    naming,
    package_files,
    payload,
    quota_usage,
)
from pipeline.aws import lambda_handler, service_errors
from pipeline.plain import one_line
from pipeline.planning import consumer, deployment_request, plan, quotas, request_checks, sizes
from pipeline.rollout import endpoint_parameter
from pipeline.sizing import instance_choice
from pipeline.state_data import switch_types
from tasks import (
    check_archive,
    diagnose,
    monitor_endpoint,
    retire_previous,
    roll_back,
    smoke_test,
    update_consumer,
)
from tests.functional.machine import Failure, Run, run
from tests.unit.conftest import ARCHIVE, DEFAULTS, LLAMA_1B

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

DEFINITION = json.loads(package_files.definition().read_text(encoding="utf-8").replace("${Partition}", "aws"))
NAME = "n" * 63
"""Of a resource of SageMaker's."""
ARN = "arn:aws:sagemaker:eu-central-1:123456789012:endpoint-config/" + NAME
LONG = 20_000
"""Characters of what others say: an answer, a log line, a reason."""
KEY = "models/harbour/" + "k" * 990 + ".tar.gz"
SUITE = "s" * 99 + ".jsonl"
ONCE = ("ResourceLimitExceeded", "EndpointMoved", "ConsumerMoved")
"""What leads back, for each of its states."""
RUNNING = {f"ml.{letter * 32}.{letter * 32}": 20 for letter in "abcde"}
"""Of the largest pool, each type by the longest name that a request takes."""
LETTERS = ("a", "é", "漢", "🚢", '"', "\\", "\n", "\x01")
"""One to four bytes of UTF-8, and escapes of two and of six."""


def sized(document: dict[str, Any], place: Callable[[dict[str, Any], int], None]) -> dict[str, Any]:
    """Return the largest input that is accepted: `place` makes one of its texts so many letters long."""
    low, high = 0, payload.REQUEST
    while low < high:
        middle = (low + high + 1) // 2
        place(document, middle)
        try:
            deployment_request.request(document, None, DEFAULTS)
        except errors.InvalidInput:
            high = middle - 1
        else:
            low = middle
    place(document, low)
    return document


def consumers(count: int, letter: str, *, canary: bool) -> list[dict[str, Any]]:
    """Return consumers with the longest of names."""
    return [
        {
            "function_name": f"{n:02}" + "f" * 168,
            "variable": "V" * 256,
            "alias": "a" * 128,
            "test_event": {"text": letter},
            "expect": {"allow_degenerate": True},
            **({"canary": {"alarms": ["alarm"]}} if canary else {}),
        }
        for n in range(count)
    ]


def largest(letter: str, prompts: int, callers: int, where: str, *, canary: bool = False) -> dict[str, Any]:
    """Return an input that has as much as is accepted, most of it in one place."""
    document: dict[str, Any] = {
        "archive": {"bucket": "b" * 63, "key": KEY, "version_id": "v" * 1024},
        "max_concurrency": 200,
        "image_uri": "123456789012.dkr.ecr.us-east-1.amazonaws.com/" + "i" * 200 + ":1",
        "smoke_test": {"prompts": ["p"] * prompts, "expect": {"allow_degenerate": True}},
        "consumer": consumers(callers, letter, canary=canary),
        "quality": {"suite": SUITE, "allow_failed": 100},
        # As many bytes as are taken.
        "tags": {f"{n:06}": "v" * 190 for n in range(10)},
    }

    def place(document: dict[str, Any], length: int) -> None:
        if where == "prompts":
            longest = min(length // prompts, 20_000)
            document["smoke_test"]["prompts"] = [letter * max(longest, 1)] * prompts
        elif where == "expect":
            document["smoke_test"]["expect"]["contains"] = (letter * length) or None
        else:
            document["consumer"][0]["test_event"] = {letter: letter * length}

    return sized(document, place)


class Lambda:
    """Consumers that are switched already, and answer at length."""

    def __init__(self, said: str) -> None:
        self.said = said

    def get_function_configuration(self, **request: Any) -> dict[str, Any]:
        return {"FunctionName": request["FunctionName"], "Environment": {"Variables": {"V" * 256: NAME}}}

    def publish_version(self, **_request: Any) -> dict[str, Any]:
        return {"Version": "1000000"}

    def get_alias(self, **_request: Any) -> dict[str, Any]:
        return {"FunctionVersion": "1000000"}

    def invoke(self, **_request: Any) -> dict[str, Any]:
        answer = json.dumps({"answer": self.said, "endpoint_name": NAME, self.said: [self.said]})
        return {"Payload": BytesIO(answer.encode())}


class Runtime:
    """An endpoint that answers at length, and tells more than anybody asked for."""

    def __init__(self, said: str) -> None:
        self.said = said

    def invoke_endpoint(self, **_request: Any) -> dict[str, Any]:
        body = {
            "choices": [{"message": {"content": self.said}, "finish_reason": self.said}],
            "usage": {"completion_tokens": 10**4000},
            "timings": {"prompt_n": 10**4000, "prompt_ms": 123456789.123456, "cache_n": 99999},
        }
        return {"Body": BytesIO(json.dumps(body).encode())}


class Denied:
    """A service that refuses everything at length."""

    def __init__(self, said: str) -> None:
        self.said = said

    def __getattr__(self, operation: str) -> Callable[..., Any]:
        def refuse(**_request: Any) -> Any:
            response: Any = {"Error": {"Code": "AccessDeniedException", "Message": self.said}}
            raise ClientError(response, operation)

        return refuse


class Logs:
    """A container's log of long lines."""

    def __init__(self, said: str) -> None:
        self.said = said

    def describe_log_streams(self, **_request: Any) -> dict[str, Any]:
        return {"logStreams": [{"logStreamName": "one"}]}

    def get_log_events(self, **_request: Any) -> dict[str, Any]:
        return {"events": [{"message": self.said}] * 60}


class Sagemaker(Denied):
    """An endpoint that failed, for a long reason."""

    def describe_endpoint(self, **_request: Any) -> dict[str, Any]:
        return {"FailureReason": self.said, "EndpointArn": ARN, "EndpointStatus": "Failed"}


RUNS = {
    name: importlib.import_module("tasks." + re.sub(r"(?<!^)(?=[A-Z])", "_", name).lower()).run
    for name, state in DEFINITION["States"].items()
    if "Retry" in state and "Parameters" in state and "FunctionName" in state["Parameters"]
}


class Workflow:
    """The functions of a deployment, and which of them fail how often with what."""

    def __init__(self, document: dict[str, Any], said: str, fails: Iterable[str] = ()) -> None:
        self.document = document
        self.said = said
        self.fails = dict(one.split("=") for one in fails)
        self.calls: Counter[str] = Counter()
        self.clients: Any = SimpleNamespace(
            lambda_=Lambda(said),
            sagemaker_runtime=Runtime(said),
            logs=Logs(said),
            sagemaker=Sagemaker(said),
            ssm=SimpleNamespace(
                get_parameter=lambda **_request: {"Parameter": {"Value": NAME, "Version": 2}},
                add_tags_to_resource=lambda **_request: {},
            ),
        )

    def functions(self) -> dict[str, Callable[[Any], Any]]:
        """Return each function by the name that the definition calls it by."""
        tasks = [name for name, state in DEFINITION["States"].items() if "Retry" in state]
        return {f"${{{name}Arn}}": self._function(name) for name in tasks}

    def _function(self, state: str) -> Callable[[Any], Any]:
        def answer(event: Any) -> Any:
            self.calls[state] += 1
            error = self.fails.get(state)
            if error and (self.calls[state] <= 3 or error not in ONCE):
                raise Failure(error, self._largest(f"CreateEndpoint: {error}: "))
            try:
                with service_errors.translated():
                    made = getattr(self, state)(lambda_handler.received(RUNS[state], event))
                    return json_codec.encode(made)
            except errors.SealiftError as refusal:
                raise Failure(type(refusal).__name__, error_codec.encode(refusal)) from refusal

        return answer

    def _largest(self, message: str) -> str:
        """Return an error with as many bytes of sentence and of fields as any may have."""
        # A message is one line, so of line breaks alone nothing would be left.
        words = one_line(self.said) or "n" * LONG

        def nested(text: str) -> int:
            return payload.size_in_cause(json.dumps(text, ensure_ascii=False))

        # What the sentence has as well takes no room.
        fix = payload.cut(f"fix: {words}", payload.FIELDS - 50, measure=nested)
        text = error_codec.encode(errors.SealiftError(message + words, fix=fix))
        assert payload.size_in_cause(text) > (payload.MESSAGE + payload.FIELDS) * 0.9
        return text

    def CheckArchive(self, event: Any) -> Any:
        request = deployment_request.request(event["input"], None, DEFAULTS)
        archive = {**ARCHIVE, **asdict(request.archive)}
        texts = {"name": self.said, "architecture": self.said}
        model = {**LLAMA_1B, **{name: payload.cut(text, 512) for name, text in texts.items()}}
        checked = {
            "request": request,
            "archive": archive,
            "model": model,
            "evidence": {"method": "verify", "bytes_read": 2**40, "members": 10_000},
            "assembly": {
                "way": "transcode",
                "reason": "the archive was not packed by Sealift, and its inference code differs " * 4,
                "form": model_source.ARCHIVE_FORM,
                "code": "sealift",
                "relocate_model": False,
                "content": "0" * 64,
                "code_digest": "0" * 64,
                "bucket": "b" * 63,
                "key": "archives/" + "0" * 64 + "/model.tar.gz",
                "record": "records/" + "0" * 40 + ".json",
            },
            "quality": {
                "suite": SUITE,
                "bucket": "b" * 63,
                "key": "records/suites/" + "0" * 40 + ".json",
                "cases": 100,
            },
        }
        # As much as the task lets through: the layers of a header that nobody wrote in earnest.
        model["head_counts"] = []
        left = payload.FACTS - payload.size({"archive": archive, "model": model})
        model["head_counts"] = [32] * (left // 3)
        return check_archive._bounded("s3://b/k", checked)

    def PlanDeployment(self, event: Any) -> Any:
        checked = event["results"]["check_archive"]
        own = [
            quota_usage.Holder(
                f"harbour-{n:02}" + "h" * 53, "InService", NAME, 4, ours=True, created=f"{n:02}"
            )
            for n in range(51)
        ]
        others = [quota_usage.Holder(f"other-{n:03}" + "o" * 54, "InService", NAME, 1) for n in range(100)]
        facts = plan.PlanFacts(
            request=checked["request"],
            archive=checked["archive"],
            model={**checked["model"], "head_counts": 32},
            assembly=checked["assembly"],
            suite=checked["quality"],
            execution=event["execution"],
            region="us-east-1",
            today=date(2026, 1, 1),
            situation=quota_usage.Situation((*own, *others), 304, read=True),
            serving="s" * 63,
            earlier=event["results"].get("plan_deployment"),
        )
        return plan.plan(facts)

    def AssembleArchive(self, event: Any) -> Any:
        made = event["assembly"]
        told = {name: made[name] for name in ("way", "reason", "bucket", "key")}
        return {**told, "etag": "0" * 40, "size": 2**40, "bytes_moved": 2**40, "written": True}

    def CreateEndpointConfig(self, _event: Any) -> Any:
        return {"name": NAME, "arn": ARN, "created": True}

    def CreateModel(self, event: Any) -> Any:
        # As many as a plan has types beside the first.
        made = self.CreateEndpointConfig(event)
        return {**made, "others": [made] * (instance_choice.MOST_OFFERS - 1)}

    def MakeRoom(self, event: Any) -> Any:
        return {"lowered": payload.cut_all([quota_usage.describe(one) for one in event["room"]])}

    def CreateEndpoint(self, _event: Any) -> Any:
        deadline = datetime.now(UTC) + timedelta(hours=1)
        return {"name": NAME, "arn": ARN, "created": True, "deadline_at": deadline.isoformat()}

    def StepDown(self, event: Any) -> Any:
        made = event["plan"]
        step = quotas._step(self.said, self.said, self.said)
        less = (made.memory_mb, max(made.max_concurrency - 1, 1))
        return sizes.lower(made, quotas.Down(quotas.Rung.ROOM, *less, made.room, step))

    def PollEndpoint(self, _event: Any) -> Any:
        return {"status": "InService", "verdict": "ready", "running": RUNNING}

    def SmokeTest(self, event: Any) -> Any:
        return smoke_test.run(event, self.clients)

    def MonitorEndpoint(self, event: Any) -> Any:
        quiet: Any = SimpleNamespace(
            cloudwatch=SimpleNamespace(put_metric_alarm=lambda **_request: {}), logs=Denied(self.said)
        )
        return monitor_endpoint.run(event, quiet)

    def EvaluateQuality(self, _event: Any) -> Any:
        counts = dict.fromkeys(("asked", "cases", "passed", "worse", "failed"), 100)
        return {**counts, "against": NAME, "told": payload.cut(self.said, payload.TEXT // 2), "more": False}

    def ReadConsumer(self, event: Any) -> Any:
        befores = [
            switch_types.Before(
                function_name=one.function_name,
                variable=one.variable,
                value="\x01" * ((consumer.MOST_VALUE - 2) // 6),
                alias=one.alias,
                alias_version="1000000",
                alias_routing={"1000001": 0.123456789},
            )
            for one in event["consumers"]
        ]
        value = "\x01" * ((consumer.MOST_VALUE - 2) // 6)
        longest = switch_types.ParameterBefore(
            naming.endpoint_parameter("s" * 128, "h" * 40),
            value,
            dict.fromkeys(endpoint_parameter.OURS, "t" * 256),
        )
        return switch_types.Read(consumers=tuple(befores), reads=5, instead=None, parameter=longest)

    def ShiftConsumer(self, event: Any) -> Any:
        moved = [
            {"function_name": one.function_name, "alias": one.alias, "version": "1000000", "weight": 0.1}
            for one, _ in consumer.in_steps(event["consumers"])
        ]
        return {"consumers": moved, "looks": 2, "interval_s": 30}

    def WatchConsumer(self, event: Any) -> Any:
        return {"left": event["left"] - 1}

    def UpdateConsumer(self, event: Any) -> Any:
        return update_consumer.run({**event, "endpoint_name": NAME}, self.clients)

    def RetirePrevious(self, _event: Any) -> Any:
        names = [f"{n:02}" + "n" * 61 for n in range(60)]
        return retire_previous._result(names, names, [f"{name}: {self.said}" for name in names])

    def RestoreCapacity(self, _event: Any) -> Any:
        return {
            "max_concurrency": 10,
            "steps": payload.cut_all([self.said] * 10),
            "told": payload.cut(self.said),
        }

    def Diagnose(self, event: Any) -> Any:
        return diagnose.run(event, self.clients)

    def RollBack(self, event: Any) -> Any:
        denied: Any = SimpleNamespace(
            lambda_=Denied(self.said),
            sagemaker=Denied(self.said),
            cloudwatch=Denied(self.said),
            logs=Denied(self.said),
            ssm=Denied(self.said),
        )
        return roll_back.run(event, denied)


def documents_of(ended: Run) -> Iterator[tuple[str, int]]:
    """Yield the bytes of each state's input, parameters, result and output, with what they are of."""
    state = ""
    for event in ended.events:
        details = next((value for name, value in event.items() if name.endswith("EventDetails")), None) or {}
        state = details.get("name", state)
        for part in ("input", "parameters", "output", "cause"):
            if isinstance(details.get(part), str):
                text = details[part]
                document = text if part == "cause" else json.loads(text)
                yield f"{state}, {part} of {event['type'].value}", payload.size(document)


def check(document: dict[str, Any], said: str, *fails: str) -> Run:
    """Run a deployment to its end and see that all its data stay within their bound."""
    workflow = Workflow(document, said, fails)

    ended = run(DEFINITION, document, workflow.functions())

    where, most = max(documents_of(ended), key=lambda one: one[1])
    assert most <= payload.OURS, f"{where}: {most} bytes, of {payload.OURS}"
    assert ended.error not in {"States.DataLimitExceeded", "States.Runtime"}, ended.cause
    return ended


WAYS = [
    pytest.param((), "SUCCEEDED", id="good"),
    pytest.param(("UpdateConsumer=ConsumerFailed",), "FAILED", id="undone"),
    pytest.param(
        (
            "CreateEndpointConfig=ResourceLimitExceeded",
            "CreateEndpoint=ResourceLimitExceeded",
            "PollEndpoint=EndpointMoved",
            "UpdateConsumer=ConsumerMoved",
            "RetirePrevious=AccessDenied",
            "RestoreCapacity=AccessDenied",
        ),
        "SUCCEEDED",
        id="every way back taken",
    ),
    pytest.param(
        ("CreateEndpoint=ResourceLimitExceeded", "UpdateConsumer=ConsumerFailed", "RollBack=AccessDenied"),
        "FAILED",
        id="not undone",
    ),
    pytest.param(
        ("SmokeTest=SmokeTestFailed", "Diagnose=AccessDenied", "RollBack=AccessDenied"),
        "FAILED",
        id="nothing works",
    ),
]


@pytest.mark.parametrize(("fails", "status"), WAYS)
@pytest.mark.parametrize("letter", ["a", "\x01"], ids=["letters", "escapes"])
def test_the_largest_deployment_stays_within_its_budget(
    fails: tuple[str, ...], status: str, letter: str
) -> None:
    """Ten consumers in two steps, twenty prompts, and everybody tells as much as they can."""
    document = largest(letter, 20, 10, "test_event", canary=True)

    ended = check(document, letter * LONG, *fails)

    assert ended.status == status


@settings(max_examples=6, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    letter=st.sampled_from(LETTERS),
    said=st.sampled_from(LETTERS),
    prompts=st.integers(1, 20),
    callers=st.integers(0, 10),
    where=st.sampled_from(["prompts", "expect", "test_event"]),
    canary=st.booleans(),
    way=st.sampled_from(WAYS),
)
def test_no_accepted_request_outgrows_an_executions_data(
    *, letter: str, said: str, prompts: int, callers: int, where: str, canary: bool, way: Any
) -> None:
    """Wherever the request has its most, whatever the others say, and however it ends."""
    where = "prompts" if where == "test_event" and not callers else where
    document = largest(letter, prompts, callers, where, canary=canary)

    check(document, said * LONG, *way.values[0])


def test_a_look_takes_as_many_events_as_requests_are_judged_by() -> None:
    """Counted in the histories of two deployments, one of which is looked at ten times more."""

    class Slow(Workflow):
        def __init__(self, looks: int) -> None:
            super().__init__(largest("a", 1, 0, "prompts"), "Heavy cargo.")
            self.looks = looks

        def PollEndpoint(self, _event: Any) -> Any:
            waits = self.calls["PollEndpoint"] < self.looks
            return {"status": "Creating", "verdict": "wait" if waits else "ready", "running": {}}

    counts = []
    for looks in (1, 11):
        workflow = Slow(looks)
        ended = run(DEFINITION, workflow.document, workflow.functions())
        assert ended.status == "SUCCEEDED", ended.cause
        counts.append(len(ended.events))

    assert counts[1] - counts[0] == 10 * request_checks.EVENTS_OF_A_LOOK


@pytest.mark.parametrize("state", ["AssembleArchive", "CreateEndpoint", "UpdateConsumer"])
def test_a_result_that_is_too_large_all_the_same_is_undone(state: str) -> None:
    """States.ALL does not match it, so each task has a catcher that names it: the consumer is put back."""

    class Careless(Workflow):
        def _function(self, name: str) -> Callable[[Any], Any]:
            return super()._function(name) if name != state else lambda _event: {"all": "x" * 300_000}

    workflow = Careless(largest("a", 1, 1, "prompts"), "Heavy cargo.")

    ended = run(DEFINITION, workflow.document, workflow.functions())

    assert (ended.status, ended.error) == ("FAILED", "StatesDataLimitExceeded")
    assert ended.states[-4:] == ["Diagnose", "RollBack", "NotifyFailure", "DeploymentFailed"]
    assert ended.states[-5] == state
    assert "shorten smoke_test.prompts" in str(ended.cause)
