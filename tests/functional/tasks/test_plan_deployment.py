"""PlanDeployment and AssembleArchive, on what CheckArchive said."""

from __future__ import annotations

import io
import tarfile
from typing import TYPE_CHECKING, Any

import pytest

from pipeline import json_codec, package_files
from pipeline.archive.checks.verify import verify
from pipeline.archive.s3.sources import BytesSource
from pipeline.errors import (
    AccessDenied,
    ArchiveNotFound,
    ConsumerNotAllowed,
    ConsumerNotFound,
    ModelDoesNotFit,
    QuotaUsedUp,
)
from pipeline.planning import quotas
from pipeline.state_data import plan_types
from tests.functional.tasks.conftest import serverless
from tests.plans import a_consumer
from tests.stack_defaults import DEFAULTS

if TYPE_CHECKING:
    from pipeline.aws.clients import Clients
    from tests.functional.tasks.conftest import MotoConsumer, Script, Task

KEY = "models/harbour/model.tar.gz"
EXECUTION = "arn:aws:states:us-east-1:123456789012:execution:sealift-deployment:harbour-0123"
CONSUMER = a_consumer()


@pytest.fixture
def checked(do: Task, buckets: Clients, good_archive: bytes) -> dict[str, Any]:
    """What CheckArchive says of a good archive."""
    buckets.s3.put_object(Bucket="uploads", Key=KEY, Body=good_archive)
    return do(
        "CheckArchive", buckets, input={"archive": {"bucket": "uploads", "key": KEY}}, defaults=DEFAULTS
    )


def planned(do: Task, clients: Any, checked: dict[str, Any]) -> dict[str, Any]:
    """Run the task."""
    return do(
        "PlanDeployment",
        clients,
        results={"check_archive": checked},
        execution=EXECUTION,
        started="2024-01-02T03:04:05.678Z",
        defaults=DEFAULTS,
    )


def test_a_checked_archive_gets_a_plan(do: Task, script: Script, checked: dict[str, Any]) -> None:
    """Planning twice gives the same plan."""
    script.account()
    first = planned(do, script.clients, checked)

    assert set(first) == set(json_codec.keys(plan_types.Plan))
    assert first["memory_mb"] == 1024
    assert first["requests"]["create_model"]["PrimaryContainer"]["ModelDataUrl"] == (
        f"s3://artifacts/{checked['assembly']['key']}"
    )
    assert first["notes"] == [
        "service 'harbour' is new: it has no endpoint yet",
        quotas.UNASKED,
        "n_ctx 2048 was requested; the model was trained for 512",
    ]
    script.account()
    assert planned(do, script.clients, checked) == first


def test_where_nothing_is_left_whose_it_is_is_looked_at_and_said(
    do: Task, script: Script, checked: dict[str, Any]
) -> None:
    """Nothing is made, and nobody waits."""
    there = [serverless("b-1", 9), serverless("by-hand", 1)]
    script.account(*there).endpoint({**there[0], "service": "b"})
    script.endpoint({**there[1], "service": None}).tags(None)

    with pytest.raises(
        QuotaUsedUp, match=r"b-1 \(service 'b'\) holds 9: .*by-hand \(not Sealift's\) holds 1"
    ):
        planned(do, script.clients, checked)


def test_a_plan_that_is_made_anew_keeps_what_the_first_lowered(
    do: Task, script: Script, checked: dict[str, Any]
) -> None:
    """The service's one endpoint moved meanwhile; what gave room for it gets that back all the same."""
    lowered = {"endpoint": "harbour-1", "before": 10, "to": 5}
    script.account()
    first = {**planned(do, script.clients, checked), "room": [lowered]}
    script.account()
    made = do(
        "PlanDeployment",
        script.clients,
        results={"check_archive": checked, "plan_deployment": first},
        execution=EXECUTION,
        started="2024-01-02T03:04:05.678Z",
        defaults=DEFAULTS,
    )

    assert made == first


def with_consumer(checked: dict[str, Any], **consumer: Any) -> dict[str, Any]:
    """Return the same for a deployment with a consumer."""
    return {**checked, "request": {**checked["request"], "consumers": [{**CONSUMER, **consumer}]}}


@pytest.mark.parametrize("alias", [pytest.param(None, id="function"), pytest.param("live", id="alias")])
def test_a_consumer_that_exists_is_planned_for(
    do: Task, moto_consumer: MotoConsumer, script: Script, checked: dict[str, Any], alias: str | None
) -> None:
    """It is only looked at."""
    script.account()
    made = planned(do, moto_consumer.clients, with_consumer(checked, alias=alias))

    assert made["consumers"][0]["function_name"] == "assistant"
    assert made["serving"] == "old_0"


@pytest.mark.parametrize(
    ("consumer", "seen"),
    [
        pytest.param({"function_name": "absent"}, "no function 'absent'", id="function"),
        pytest.param({"alias": "absent"}, "no function 'assistant' with an alias 'absent'", id="alias"),
    ],
)
def test_a_consumer_that_does_not_exist_is_refused_before_anything_is_made(
    do: Task, moto_consumer: MotoConsumer, checked: dict[str, Any], consumer: dict[str, str], seen: str
) -> None:
    """Better now than after the endpoint was made."""
    with pytest.raises(ConsumerNotFound, match=seen):
        planned(do, moto_consumer.clients, with_consumer(checked, **consumer))


@pytest.mark.parametrize(
    ("name", "told"),
    [
        pytest.param("billing", r"outside the pattern 'assist\*' of the Lambdas", id="outside the pattern"),
        pytest.param("assistant:live", "names a version or an alias", id="an alias in the name"),
        pytest.param("999999999999:function:assistant", "in account 999999999999", id="another account"),
    ],
)
def test_a_consumer_that_the_stack_may_not_switch_is_refused_before_any_call(
    do: Task, script: Script, checked: dict[str, Any], name: str, told: str
) -> None:
    """The pattern stands in the event; AWS would only say that access is denied."""
    with pytest.raises(ConsumerNotAllowed, match=told):
        do(
            "PlanDeployment",
            script.clients,
            results={"check_archive": with_consumer(checked, function_name=name)},
            execution=EXECUTION,
            started="2024-01-02T03:04:05.678Z",
            defaults={**DEFAULTS, "consumer_function_pattern": "assist*"},
        )


def test_an_execution_of_a_stack_that_handed_on_no_pattern_is_planned(
    do: Task, moto_consumer: MotoConsumer, script: Script, checked: dict[str, Any]
) -> None:
    """It was started before the stack was updated, and is entered again: IAM judges, as it did then."""
    script.account()
    older = {name: value for name, value in DEFAULTS.items() if name != "consumer_function_pattern"}
    made = do(
        "PlanDeployment",
        moto_consumer.clients,
        results={"check_archive": with_consumer(checked)},
        execution=EXECUTION,
        started="2024-01-02T03:04:05.678Z",
        defaults=older,
    )

    assert made["consumers"][0]["function_name"] == "assistant"


def test_a_consumer_that_may_not_be_read_is_no_missing_one(
    do: Task, script: Script, checked: dict[str, Any]
) -> None:
    """The fix is another one."""
    script.refuses(
        "lambda_", "get_function_configuration", "AccessDeniedException", "you may not", status=403
    )

    with pytest.raises(AccessDenied):
        planned(do, script.clients, with_consumer(checked))


def test_a_model_that_does_not_fit_has_no_plan(do: Task, script: Script, checked: dict[str, Any]) -> None:
    """The arithmetic is in the message; the account is not looked at."""
    huge = {**checked, "model": {**checked["model"], "tensor_bytes": 16_500_000_000}}

    with pytest.raises(ModelDoesNotFit, match="weights 15,736 MiB"):
        planned(do, script.clients, huge)


def assemble(do: Task, clients: Clients, checked: dict[str, Any]) -> dict[str, Any]:
    """Run AssembleArchive on what CheckArchive said."""
    return do(
        "AssembleArchive",
        clients,
        archive=checked["archive"],
        assembly=checked["assembly"],
        hosting="serverless",
    )


def test_what_is_assembled_lies_where_the_plan_says(
    do: Task, script: Script, buckets: Clients, checked: dict[str, Any]
) -> None:
    """The model of the plan is read from the very key that was written, and it holds the code."""
    script.account()
    url = planned(do, script.clients, checked)["requests"]["create_model"]["PrimaryContainer"]["ModelDataUrl"]
    result = assemble(do, buckets, checked)

    assert f"s3://{result['bucket']}/{result['key']}" == url
    body = buckets.s3.get_object(Bucket=result["bucket"], Key=result["key"])["Body"].read()
    with tarfile.open(fileobj=io.BytesIO(body), mode="r:gz") as archive:
        files = {member.name for member in archive if member.isfile()}
    assert files == {"harbour.gguf", *package_files.code()}
    assert result["size"] == len(body)


def test_a_relocated_model_lies_at_the_root(do: Task, buckets: Clients, nested_archive: bytes) -> None:
    """A model that was accepted to be moved lies where the endpoint looks for it, with the code beside it."""
    buckets.s3.put_object(Bucket="uploads", Key=KEY, Body=nested_archive)
    event = {"archive": {"bucket": "uploads", "key": KEY}, "relocate_model": True}
    checked = do("CheckArchive", buckets, input=event, defaults=DEFAULTS)

    result = assemble(do, buckets, checked)

    body = buckets.s3.get_object(Bucket=result["bucket"], Key=result["key"])["Body"].read()
    report = verify(BytesSource(body))
    assert (report.verdict, report.model and report.model.path) == ("accepted", "harbour.gguf")
    assert result["key"] == checked["assembly"]["key"]


def test_rewriting_tells_how_far_it_is(
    do: Task, buckets: Clients, nested_archive: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    """A rewriting of gigabytes takes minutes: the log of the function shows that it moves."""
    caplog.set_level("INFO")
    buckets.s3.put_object(Bucket="uploads", Key=KEY, Body=nested_archive)
    event = {"archive": {"bucket": "uploads", "key": KEY}, "relocate_model": True}
    assemble(do, buckets, do("CheckArchive", buckets, input=event, defaults=DEFAULTS))

    size = len(nested_archive)
    assert f"s3://uploads/{KEY}: {size} of {size} bytes rewritten" in caplog.messages


def test_assembling_twice_is_assembling_once(do: Task, buckets: Clients, checked: dict[str, Any]) -> None:
    """The second run finds the very archive, and writes nothing."""
    first, second = (assemble(do, buckets, checked) for _ in range(2))

    assert (first["written"], second["written"]) == (True, False)
    assert first["key"] == second["key"]


def test_an_upload_that_went_away_meanwhile_is_not_found(
    do: Task, buckets: Clients, checked: dict[str, Any]
) -> None:
    """The version that was checked is the one that is assembled, or none."""
    buckets.s3.delete_object(Bucket="uploads", Key=KEY, VersionId=checked["archive"]["version_id"])

    with pytest.raises(ArchiveNotFound):
        assemble(do, buckets, checked)


def test_a_newer_upload_does_not_get_into_the_archive(
    do: Task, buckets: Clients, checked: dict[str, Any]
) -> None:
    """Whatever lies under the key now."""
    buckets.s3.put_object(Bucket="uploads", Key=KEY, Body=b"newer")

    result = assemble(do, buckets, checked)

    assert result["key"] == checked["assembly"]["key"]
    assert result["size"] > 1000


def test_what_the_check_noted_is_in_the_plan(do: Task, script: Script, checked: dict[str, Any]) -> None:
    """So it is in the output of the execution, in its summary, and in the report."""
    script.account()
    noted = {**checked, "evidence": {**checked["evidence"], "notes": ["left out: '.DS_Store'"]}}

    assert "left out: '.DS_Store'" in planned(do, script.clients, noted)["notes"]


def test_which_container_the_check_chose_is_the_first_note(
    do: Task, script: Script, checked: dict[str, Any]
) -> None:
    """Before what was noted of the archive."""
    script.account()
    noted = {
        **checked,
        "evidence": {**checked["evidence"], "notes": ["left out"], "container": "it is chosen"},
    }

    assert planned(do, script.clients, noted)["notes"][:2] == ["it is chosen", "left out"]
