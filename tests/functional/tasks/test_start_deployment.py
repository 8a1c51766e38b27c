"""StartDeployment: one execution for one upload, however often the event arrives."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest
from botocore.stub import ANY

from pipeline import naming, settings
from pipeline.aws import service_errors
from tasks import start_deployment

if TYPE_CHECKING:
    from tests.functional.tasks.conftest import Script

MACHINE = "arn:aws:states:us-east-1:123456789012:stateMachine:sealift-deployment"
EXECUTION = "arn:aws:states:us-east-1:123456789012:execution:sealift-deployment:"


@pytest.fixture(autouse=True)
def machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """The function's environment, as the template sets it."""
    monkeypatch.setenv("STATE_MACHINE_ARN", MACHINE)


def uploaded(key: str = "models/harbour/model.tar.gz", **changed: Any) -> dict[str, Any]:
    """Return the event that S3 sends by way of EventBridge."""
    item = {
        "key": key,
        "size": 5,
        "etag": "9b2c",
        "version-id": "v1",
        "sequencer": "0062E99A88DC407460",
        **changed,
    }
    return {
        "detail-type": "Object Created",
        "source": "aws.s3",
        "resources": ["arn:aws:s3:::uploads"],
        "detail": {
            "version": "0",
            "bucket": {"name": "uploads"},
            "object": {name: value for name, value in item.items() if value is not None},
            "reason": "PutObject",
        },
    }


def start(script: Script, event: dict[str, Any]) -> dict[str, Any]:
    """Run the task."""
    with service_errors.translated():
        return start_deployment.run(event, script.clients)


def begun(script: Script, name: str, archive: dict[str, str]) -> None:
    """Let Step Functions start an execution of this name and input."""
    script.answers(
        "stepfunctions",
        "start_execution",
        {"executionArn": EXECUTION + name, "startDate": 0},
        {"stateMachineArn": MACHINE, "name": name, "input": json.dumps({"archive": archive})},
    )


def test_an_upload_starts_an_execution_named_after_it(script: Script) -> None:
    """The name is the event's digest, and the input has the very version that was uploaded."""
    name = naming.execution_name("uploads", "models/harbour/model.tar.gz", "v1", "0062E99A88DC407460")
    begun(script, name, {"bucket": "uploads", "key": "models/harbour/model.tar.gz", "version_id": "v1"})

    assert start(script, uploaded()) == {
        "name": name,
        "execution_arn": EXECUTION + name,
        "duplicate": False,
    }
    assert name.startswith("harbour-")


def test_an_event_that_arrives_twice_is_a_duplicate(script: Script) -> None:
    """Step Functions refuses the name, and that is no failure."""
    name = naming.execution_name("uploads", "models/harbour/model.tar.gz", "v1", "0062E99A88DC407460")
    begun(script, name, {"bucket": "uploads", "key": "models/harbour/model.tar.gz", "version_id": "v1"})
    script.refuses("stepfunctions", "start_execution", "ExecutionAlreadyExists", "it exists")

    first, second = start(script, uploaded()), start(script, uploaded())

    assert second == {"name": first["name"], "duplicate": True}


def test_an_unversioned_bucket_gives_no_version(script: Script) -> None:
    """The newest object is the one that was uploaded."""
    name = naming.execution_name("uploads", "models/a b/model.zip", "", "0062E99A88DC407460")
    begun(script, name, {"bucket": "uploads", "key": "models/a b/model.zip"})

    start(script, uploaded("models/a b/model.zip", **{"version-id": None}))


def test_another_upload_of_the_same_key_is_another_execution(script: Script) -> None:
    """Each version has a sequencer of its own."""
    names = set()
    for sequencer in ("0062E99A88DC407460", "0062E99A88DC407461", None):
        event = uploaded(sequencer=sequencer)
        script.answers("stepfunctions", "start_execution", {"executionArn": EXECUTION + "x", "startDate": 0})
        names.add(start(script, event)["name"])

    assert len(names) == 3


@pytest.mark.parametrize(
    ("code", "error"),
    [
        pytest.param("AccessDeniedException", "AccessDenied", id="denied"),
        pytest.param("ThrottlingException", "Throttled", id="throttled"),
        pytest.param("StateMachineDoesNotExist", "RequestRejected", id="no state machine"),
    ],
)
def test_a_refusal_is_raised_for_lambda_to_try_again(script: Script, code: str, error: str) -> None:
    """An asynchronous invocation is repeated by Lambda, so nothing is swallowed."""
    script.refuses("stepfunctions", "start_execution", code)

    with pytest.raises(Exception, match="StartExecution") as refusal:
        start(script, uploaded())

    assert type(refusal.value).__name__ == error


def test_a_function_without_its_setting_says_which(script: Script, monkeypatch: pytest.MonkeyPatch) -> None:
    """The template sets it; whoever took it away reads its name."""
    monkeypatch.delenv("STATE_MACHINE_ARN")

    with pytest.raises(settings.MissingSetting, match="STATE_MACHINE_ARN"):
        start(script, uploaded())


# ------------------------------------------------------------------ split models


def shard(number: int) -> str:
    """Return the key of one of three shards."""
    return f"models/harbour/gemma-{number:05}-of-00003.gguf"


def listed(script: Script, *numbers: int, etag: str = "e") -> None:
    """Let S3 list the shards that are there, and something beside them."""
    folder(script, *map(shard, numbers), "models/harbour/gemma-notes.txt", etag=etag)


def folder(script: Script, *keys: str, etag: str = "e") -> None:
    """Let S3 list what is in the model's folder."""
    there = [
        {"Key": key, "ETag": f'"{etag}"', "LastModified": datetime(2026, 1, 2, tzinfo=UTC)} for key in keys
    ]
    asked = {"Bucket": "uploads", "Prefix": "models/harbour/", "Delimiter": "/"}
    script.answers("s3", "list_objects_v2", {"Contents": there, "IsTruncated": False}, asked)


def test_a_shard_waits_for_the_others(script: Script) -> None:
    """Nothing is started, and that is no failure: the last one starts it."""
    listed(script, 2)

    assert start(script, uploaded(shard(2))) == {"waiting_for": [shard(1), shard(3)], "duplicate": False}


def test_all_shards_make_one_execution(script: Script) -> None:
    """Whichever event finds them all there gives the same name; the input names the first shard."""
    names = []
    for number, duplicate in ((3, False), (1, True)):
        listed(script, 1, 2, 3)
        archive = json.dumps({"archive": {"bucket": "uploads", "key": shard(1)}})
        if duplicate:
            script.refuses("stepfunctions", "start_execution", "ExecutionAlreadyExists")
        else:
            answer = {"executionArn": EXECUTION + "x", "startDate": 0}
            asked = {"stateMachineArn": MACHINE, "name": ANY, "input": archive}
            script.answers("stepfunctions", "start_execution", answer, asked)
        answered = start(script, uploaded(shard(number), sequencer=f"00{number}"))
        names.append(answered["name"])
        assert answered["duplicate"] is duplicate

    assert len(set(names)) == 1
    assert names[0].startswith("harbour-")


def test_another_upload_of_a_shard_is_another_execution(script: Script) -> None:
    """Its ETag is in the name."""
    names = set()
    for etag in ("e", "f"):
        listed(script, 1, 2, 3, etag=etag)
        script.answers("stepfunctions", "start_execution", {"executionArn": EXECUTION, "startDate": 0})
        names.add(start(script, uploaded(shard(1)))["name"])

    assert len(names) == 2


def test_a_bare_model_starts_like_an_archive(script: Script) -> None:
    """One file is one upload, also when others of that kind were uploaded before it."""
    key = "models/harbour/gemma.gguf"
    folder(script, key, "models/harbour/older.gguf", "models/harbour/model.tar.gz")
    name = naming.execution_name("uploads", key, "v1", "0062E99A88DC407460")
    begun(script, name, {"bucket": "uploads", "key": key, "version_id": "v1"})

    assert start(script, uploaded(key))["name"] == name


# ------------------------------------------------------------------ what lies beside a model

MODEL = "models/harbour/gemma.gguf"
BESIDE = ("models/harbour/lora-tone.gguf", "models/harbour/mmproj.gguf")


def answers(script: Script, archive: dict[str, str]) -> None:
    """Let Step Functions start an execution of this input, whatever its name."""
    asked = {"stateMachineArn": MACHINE, "name": ANY, "input": json.dumps({"archive": archive})}
    script.answers("stepfunctions", "start_execution", {"executionArn": EXECUTION, "startDate": 0}, asked)


@pytest.mark.parametrize("there", [(), ("models/harbour/a.gguf", "models/harbour/b.gguf"), (shard(1),)])
def test_what_lies_beside_a_model_waits_for_it(script: Script, there: tuple[str, ...]) -> None:
    """Without one, or with two to choose from, it starts nothing; nor beside one that is not whole."""
    folder(script, *BESIDE, *there)

    waiting = start(script, uploaded(BESIDE[0]))

    missing = [shard(2), shard(3)] if len(there) == 1 else ["models/harbour/*.gguf"]
    assert waiting == {"waiting_for": missing, "duplicate": False}


def test_a_model_and_what_lies_beside_it_make_one_execution(script: Script) -> None:
    """Whichever event comes last gives the same name; the model stands for all."""
    names = set()
    for key in (BESIDE[1], MODEL, BESIDE[0]):
        folder(script, *BESIDE, MODEL)
        answers(script, {"bucket": "uploads", "key": MODEL})
        names.add(start(script, uploaded(key))["name"])

    assert len(names) == 1
    assert names.pop().startswith("harbour-")


def test_another_adapter_is_another_execution(script: Script) -> None:
    """What is deployed is all of the files."""
    names = set()
    for keys in ((MODEL, BESIDE[0]), (MODEL, *BESIDE), (MODEL, BESIDE[1])):
        folder(script, *keys)
        answers(script, {"bucket": "uploads", "key": MODEL})
        names.add(start(script, uploaded(MODEL))["name"])

    assert len(names) == 3


def test_shards_with_something_beside_them_wait_for_each_other(script: Script) -> None:
    """As shards alone do."""
    folder(script, *BESIDE, shard(1), shard(2))
    assert start(script, uploaded(shard(1)))["waiting_for"] == [shard(3)]

    folder(script, *BESIDE, shard(1), shard(2), shard(3))
    answers(script, {"bucket": "uploads", "key": shard(1)})
    assert start(script, uploaded(BESIDE[0]))["duplicate"] is False
