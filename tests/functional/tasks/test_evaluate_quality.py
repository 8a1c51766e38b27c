"""EvaluateQuality: both endpoints are asked, a call at a time, and the worse one is not switched to."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from io import BytesIO
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
from botocore.exceptions import ClientError

from pipeline import json_codec
from pipeline.errors import (
    AccessDenied,
    InvalidInput,
    ModelNotReady,
    QualityGateFailed,
    StackChanged,
    Throttled,
)
from pipeline.quality import gate_store, suite
from pipeline.state_data.plan_types import Plan
from pipeline.state_data.quality_types import QualityRecord
from tasks import evaluate_quality
from tests.functional.tasks.test_retire_previous import SageMaker
from tests.functional.tasks.test_smoke_test import completion
from tests.plans import a_plan, a_smoke_test

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.functional.tasks.conftest import Task

NEW, OLD = "harbour-0", "harbour-1"
GOOD, BAD = completion("A sealift carries cargo."), completion("Fish swim.")
NOW = datetime(2026, 1, 2, 3, 4, tzinfo=UTC)
CASES = "\n".join(
    json.dumps({"name": f"c{number}", "prompt": f"{number}?", "expect": {"contains": "cargo"}})
    for number in range(3)
)


class Bucket:
    """Objects by key."""

    def __init__(self) -> None:
        self.objects: dict[str, bytes] = {}

    def get_object(self, **request: Any) -> dict[str, Any]:
        """Return one."""
        if request["Key"] not in self.objects:
            raise ClientError({"Error": {"Code": "NoSuchKey", "Message": "no such key"}}, "GetObject")
        return {"Body": BytesIO(self.objects[request["Key"]])}

    def put_object(self, **request: Any) -> dict[str, Any]:
        """Keep one."""
        self.objects[request["Key"]] = request["Body"]
        return {}


class Runtime:
    """Endpoints that say what they are to say, in turn; the last of it again and again."""

    def __init__(self, **says: list[bytes | str]) -> None:
        self.says = {name.replace("_", "-"): list(said) for name, said in says.items()}
        self.asked: list[str] = []

    def invoke_endpoint(self, **request: Any) -> dict[str, Any]:
        """Answer, or refuse by the code of an error."""
        name = request["EndpointName"]
        self.asked.append(name)
        turns = self.says[name]
        said = turns.pop(0) if len(turns) > 1 else turns[0]
        if isinstance(said, str):
            response: Any = {"Error": {"Code": said, "Message": f"{said} of {name}"}}
            if said == "ModelError":
                response |= {"OriginalStatusCode": 500, "OriginalMessage": "no room"}
            raise ClientError(response, "InvokeEndpoint")
        return {"Body": BytesIO(said)}


class Gate:
    """A gate between two endpoints."""

    def __init__(self, do: Task, *, earlier: bool = True, **says: list[bytes | str]) -> None:
        self._do = do
        self.runtime = Runtime(**says)
        self.s3 = Bucket()
        self.sagemaker = SageMaker()
        if earlier:
            self.sagemaker.deploy(1)
        self.clients: Any = SimpleNamespace(
            s3=self.s3, sagemaker=self.sagemaker, sagemaker_runtime=self.runtime
        )
        found = suite.parse(CASES.encode(), "suite.jsonl", suits="messages")
        kept = gate_store.keep_cases(self.clients.s3, "artifacts", found, "suite.jsonl")
        self.plan = a_plan(
            quality={
                **kept,
                "allow_worse": 0,
                "allow_failed": None,
                "deadline_s": 600,
                "record_key": "records/quality/e.json",
            },
            smoke_test=a_smoke_test(),
        )

    def allow(self, **allowed: Any) -> None:
        """Say what the gate lets through."""
        self.plan["quality"] |= allowed

    def run(self) -> dict[str, Any]:
        """Run the task once."""
        return self._do("EvaluateQuality", self.clients, plan=self.plan)

    def at(self, now: datetime, clock: Callable[[], float] = lambda: 0.0) -> dict[str, Any]:
        """Run it once, at a time, by a clock."""
        event: Any = {"plan": json_codec.decode(Plan, json.loads(json.dumps(self.plan)))}
        return dict(evaluate_quality.evaluate(event, self.clients, clock, lambda: now))

    @property
    def record(self) -> QualityRecord:
        """What is written down."""
        found = gate_store.read(self.clients.s3, "artifacts", "records/quality/e.json")
        assert found is not None
        return found


def test_an_equal_one_passes_and_both_answers_are_kept(do: Task) -> None:
    """Side by side, and how fast each was."""
    gate = Gate(do, harbour_0=[GOOD], harbour_1=[GOOD])

    done = gate.run()

    assert done == {
        "asked": 3,
        "cases": 3,
        "passed": 3,
        "worse": 0,
        "failed": 0,
        "against": OLD,
        "told": f"3 of 3 cases passed; the earlier deployment is {OLD}",
        "more": False,
    }
    assert gate.runtime.asked == [OLD, NEW] * 3
    first = gate.record.cases[0]
    assert first.earlier is not None
    assert first.now.answer == first.earlier.answer == "A sealift carries cargo."
    assert (first.now.tokens_per_second, first.now.completion_tokens) == (20.5, 3)


def test_a_worse_one_is_refused_by_name_with_the_cases(do: Task) -> None:
    """The error says which, and why, and how both answers are found."""
    gate = Gate(do, harbour_0=[GOOD, BAD], harbour_1=[GOOD])

    with pytest.raises(QualityGateFailed) as refusal:
        gate.run()

    assert refusal.value.why.startswith(
        "it fails 2 of 3 cases that the earlier deployment passes, and may 0: "
    )
    assert "'c1': contains 'cargo': it is not there" in refusal.value.why
    assert "`sealift history harbour`" in refusal.value.fix
    assert "suite.jsonl" in refusal.value.fix
    assert len(gate.record.cases) == 3


def test_as_many_as_are_allowed_may_be_worse(do: Task) -> None:
    """And of those that both fail, as many as the gate says."""
    gate = Gate(do, harbour_0=[BAD], harbour_1=[GOOD, GOOD, BAD])
    gate.allow(allow_worse=2)
    assert gate.run()["worse"] == 2

    gate.allow(allow_failed=2)
    with pytest.raises(QualityGateFailed, match="it fails 3 of 3 cases, and may 2"):
        gate.run()


def test_a_better_one_passes(do: Task) -> None:
    """What the earlier one fails is no bar."""
    done = Gate(do, harbour_0=[GOOD], harbour_1=[BAD]).run()

    assert done["told"].startswith("3 of 3 cases passed, 3 of them better than before")


def test_what_both_fail_is_no_reason_to_keep_the_earlier_one(do: Task) -> None:
    """Nobody gets anything worse."""
    done = Gate(do, harbour_0=[BAD], harbour_1=[BAD]).run()

    assert (done["failed"], done["worse"], done["more"]) == (3, 0, False)


def test_a_first_deployment_has_nobody_to_be_compared_with(do: Task) -> None:
    """What it fails, it fails."""
    gate = Gate(do, earlier=False, harbour_0=[GOOD])
    assert gate.run()["against"] is None
    assert gate.record.notes == (
        "there is no earlier deployment to compare with: what fails counts as worse",
    )

    with pytest.raises(QualityGateFailed, match="it fails 3 of 3 cases, and may 0"):
        Gate(do, earlier=False, harbour_0=[BAD]).run()


def test_a_consumer_that_is_taken_over_is_compared_with_what_it_called(do: Task) -> None:
    """Another service's endpoint is what it had before."""
    gate = Gate(do, earlier=False, harbour_0=[GOOD], other_1=[GOOD])
    gate.plan["taken_from"] = "other-1"

    assert gate.run()["against"] == "other-1"


def test_the_endpoint_that_the_consumer_calls_is_the_earlier_one(do: Task) -> None:
    """After a rollback, that is not the newest."""
    gate = Gate(do, harbour_0=[GOOD], harbour_1=[GOOD], harbour_2=[GOOD])
    gate.sagemaker.deploy(2)
    gate.plan["serving"] = OLD

    assert gate.run()["against"] == OLD


@pytest.mark.parametrize(
    "refusal",
    [
        pytest.param("AccessDeniedException", id="denied"),
        pytest.param("ValidationError", id="gone"),
    ],
)
def test_an_earlier_one_that_cannot_be_asked_is_done_without(do: Task, refusal: str) -> None:
    """It blocks nothing, and the note says from where on."""
    gate = Gate(do, harbour_0=[GOOD], harbour_1=[GOOD, refusal])
    if refusal == "ValidationError":
        gate.runtime.invoke_endpoint = gone(gate.runtime.invoke_endpoint)  # type: ignore[method-assign]

    done = gate.run()

    assert done["passed"] == 3
    assert "could not be compared with from case 2 on" in done["told"]
    assert [one.earlier is None for one in gate.record.cases] == [False, True, True]
    assert gate.runtime.asked == [OLD, NEW, OLD, NEW, NEW]


def gone(ask: Callable[..., dict[str, Any]]) -> Callable[..., dict[str, Any]]:
    """Let a refusal say that there is no such endpoint, in AWS's words."""

    def asked(**request: Any) -> dict[str, Any]:
        try:
            return ask(**request)
        except ClientError as error:
            error.response["Error"]["Message"] = "Endpoint harbour-1 of account 1 not found."
            raise

    return asked


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        pytest.param("ModelNotReadyException", ModelNotReady, id="starting"),
        pytest.param("ThrottlingException", Throttled, id="busy"),
    ],
)
def test_an_earlier_one_that_never_gets_ready_is_given_up(do: Task, code: str, kind: type[Exception]) -> None:
    """The state's retries wait for it, and have some left when it is given up."""
    gate = Gate(do, harbour_0=[GOOD], harbour_1=[code])

    patience = evaluate_quality.PATIENCE[kind]  # type: ignore[index]
    for _ in range(patience - 1):
        with pytest.raises(kind):
            gate.run()
    done = gate.run()

    assert done["passed"] == 3
    assert NEW in gate.runtime.asked
    assert gate.runtime.asked.count(OLD) == patience
    assert "could not be compared with from case 1 on" in done["told"]


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        pytest.param("ModelNotReadyException", ModelNotReady, id="starting"),
        pytest.param("ThrottlingException", Throttled, id="busy"),
        pytest.param("AccessDeniedException", AccessDenied, id="denied"),
    ],
)
def test_the_new_one_is_waited_for_by_the_state(do: Task, code: str, kind: type[Exception]) -> None:
    """What was asked already is not asked again."""
    gate = Gate(do, harbour_0=[GOOD, code, GOOD], harbour_1=[GOOD])

    with pytest.raises(kind):
        gate.run()
    done = gate.run()

    assert done["passed"] == 3
    assert gate.runtime.asked == [OLD, NEW, OLD, NEW, OLD, NEW, OLD, NEW]


def test_a_new_one_that_fails_fails_its_case(do: Task) -> None:
    """What the container says is told."""
    gate = Gate(do, harbour_0=[GOOD, "ModelError", b"[]"], harbour_1=[GOOD])

    with pytest.raises(QualityGateFailed, match=r"'c1': answers: .*status 500: no room"):
        gate.run()

    assert "is no OpenAI-style" in gate.record.cases[2].now.error


def test_what_there_is_no_time_for_goes_on_in_another_call(do: Task) -> None:
    """From where it stopped."""
    gate = Gate(do, harbour_0=[GOOD], harbour_1=[GOOD])
    # It is asked once to know the end, and once before each case.
    ticks = iter([0.0, 0.0, evaluate_quality.ASKS_S - 0.001, evaluate_quality.ASKS_S])

    first = gate.at(NOW, ticks.__next__)
    second = gate.at(NOW + timedelta(seconds=400))

    assert (first["asked"], first["more"]) == (2, True)
    assert (second["asked"], second["more"]) == (3, False)
    assert gate.runtime.asked == [OLD, NEW] * 3
    # A retry of a call whose answer was lost asks nobody.
    assert gate.at(NOW + timedelta(seconds=400)) == second
    assert len(gate.runtime.asked) == 6


@pytest.mark.parametrize(("seconds", "late"), [(599, False), (600, True)])
def test_what_was_not_asked_in_time_has_failed(do: Task, seconds: int, late: bool) -> None:
    """The gate's time counts from its first call."""
    gate = Gate(do, harbour_0=[GOOD], harbour_1=[GOOD])
    ticks = iter([0.0, 0.0, 9999.0])
    gate.at(NOW, ticks.__next__)
    at = NOW + timedelta(seconds=seconds)

    if late:
        with pytest.raises(QualityGateFailed, match="not asked: deadline_s 600 of the quality gate was over"):
            gate.at(at)
    else:
        assert gate.at(at)["passed"] == 3
    assert len(gate.runtime.asked) == (2 if late else 6)


def test_a_record_of_something_else_is_begun_anew(do: Task) -> None:
    """Another endpoint's, or another suite's; or one that nobody can read."""
    gate = Gate(do, harbour_0=[GOOD], harbour_1=[GOOD])
    gate.run()
    stored = json.loads(gate.s3.objects["records/quality/e.json"])

    for changed in ({"endpoint": "other"}, {"suite": "other"}, {"version": 2}, {"more": 1}):
        gate.s3.objects["records/quality/e.json"] = json.dumps({**stored, **changed}).encode()
        gate.runtime.asked.clear()
        assert gate.run()["asked"] == 3
        assert len(gate.runtime.asked) == 6


def test_cases_that_are_gone_or_strange_are_told(do: Task) -> None:
    """They are kept for some days, and in the form of one release."""
    gate = Gate(do, harbour_0=[GOOD], harbour_1=[GOOD])
    key = gate.plan["quality"]["key"]

    gate.s3.objects[key] = b'{"suits": "messages"}'
    with pytest.raises(StackChanged, match="start the deployment again"):
        gate.run()
    del gate.s3.objects[key]
    with pytest.raises(InvalidInput, match=r"suite\.jsonl are not there any more"):
        gate.run()


def test_embeddings_are_compared_by_their_numbers(do: Task) -> None:
    """A model that turns texts into vectors is held against the earlier one's."""

    def listed(*first: float) -> bytes:
        vectors = [list(first), [0.0, -1.0]]
        data = [{"index": number, "embedding": one} for number, one in enumerate(vectors)]
        return json.dumps({"data": data}).encode()

    def judged(new: bytes, old: bytes) -> dict[str, Any]:
        gate = Gate(do, harbour_0=[new], harbour_1=[old])
        content = b'{"input": "a", "expect": {"similarity": 0.9}}'
        found = suite.parse(content, "s", suits="input")
        gate.plan["quality"] |= gate_store.keep_cases(gate.clients.s3, "artifacts", found, "s")
        return gate.run()

    assert judged(listed(1, 0), listed(2, 0))["passed"] == 1
    with pytest.raises(QualityGateFailed, match=r"similarity: 0\.707"):
        judged(listed(1, 0), listed(1, 1))
    with pytest.raises(QualityGateFailed, match="nothing but zeros"):
        judged(listed(0, 0), listed(1, 1))
