"""A stack that is updated between two states of an execution, or before a redrive: refused, never half done.

What an earlier state decided is made here with other code than the task under test runs.
"""

from __future__ import annotations

import io
import json
import zipfile
from typing import TYPE_CHECKING, Any

import pytest

from pipeline import package_files
from pipeline.archive.build import assembly, record
from pipeline.archive.s3 import bare
from pipeline.errors import StackChanged
from tests.stack_defaults import DEFAULTS

if TYPE_CHECKING:
    from pathlib import Path

    from pipeline.aws.clients import Clients
    from tests.functional.tasks.conftest import Script, Task

KEY = "models/harbour/model.tar.gz"
EXECUTION = "arn:aws:states:us-east-1:123456789012:execution:sealift-deployment:harbour-0123"


def check(do: Task, clients: Clients, body: bytes, key: str = KEY, **asked: Any) -> dict[str, Any]:
    """Upload an archive, or a model, and run CheckArchive on it."""
    clients.s3.put_object(Bucket="uploads", Key=key, Body=body)
    document = {"archive": {"bucket": "uploads", "key": key}, **asked}
    return do("CheckArchive", clients, input=document, defaults=DEFAULTS)


def assemble(do: Task, clients: Clients, checked: dict[str, Any]) -> dict[str, Any]:
    """Run AssembleArchive."""
    hosting = checked["request"]["hosting"]
    return do(
        "AssembleArchive",
        clients,
        archive=checked["archive"],
        assembly=checked["assembly"],
        hosting=hosting,
    )


def by_older_code(clients: Clients, checked: dict[str, Any]) -> dict[str, Any]:
    """Return the same as CheckArchive would have said it with an older inference code in its zip."""
    older = {**package_files.code_contents(), "code/inference.py": b"# older\n"}
    told = checked["assembly"]
    if told["record"] is None:
        parts = checked["archive"]["parts"]
        identity = {one["key"].rpartition("/")[2]: one["etag"] for one in parts}
        decided = bare.place(identity, older, bucket="artifacts").to_json()
    else:
        body = clients.s3.get_object(Bucket="artifacts", Key=told["record"])["Body"].read()
        report = record.read(json.loads(body))
        decided = assembly.decide(
            report, older, bucket="artifacts", relocate_model=told["relocate_model"]
        ).to_json()
    return {**checked, "assembly": {**told, **decided}}


def written(clients: Clients) -> list[str]:
    """Return the keys of all that was assembled."""
    found = clients.s3.list_objects_v2(Bucket="artifacts", Prefix="archives/")
    return [one["Key"] for one in found.get("Contents", ())]


@pytest.fixture
def bodies(good_archive: bytes, nested_archive: bytes, tiny_model: Path) -> dict[str, Any]:
    """What is uploaded, by the way that it is assembled in."""
    model = tiny_model.read_bytes()
    zipped = io.BytesIO()
    with zipfile.ZipFile(zipped, "w") as archive:
        archive.writestr("harbour.gguf", model)
    return {
        "copy": {"body": good_archive},
        "transcode": {"body": nested_archive, "relocate_model": True},
        "transcode a zip": {"body": zipped.getvalue(), "key": "models/harbour/model.zip"},
        "place": {"body": model, "key": "models/harbour/m.gguf", "hosting": "instance"},
    }


@pytest.mark.parametrize("way", ["copy", "transcode", "transcode a zip", "place"])
def test_what_other_code_planned_is_refused_before_a_byte_is_written(
    do: Task, buckets: Clients, bodies: dict[str, Any], way: str
) -> None:
    """Both codes are named, and how to begin again; the model would otherwise point at what nobody wrote."""
    checked = by_older_code(buckets, check(do, buckets, **bodies[way]))

    with pytest.raises(StackChanged) as refusal:
        assemble(do, buckets, checked)

    assert written(buckets) == []
    (problem,) = refusal.value.problems
    upload = f"s3://uploads/{checked['archive']['key']}"
    assert checked["assembly"]["code_digest"][:12] in problem.seen
    assert f"`sealift start --archive {upload}`" in problem.fix
    assert refusal.value.subject == upload


@pytest.mark.parametrize("way", ["copy", "transcode", "transcode a zip", "place"])
def test_what_the_same_code_planned_goes_to_the_very_key(
    do: Task, buckets: Clients, bodies: dict[str, Any], way: str
) -> None:
    """A redrive with nothing updated in between."""
    checked = check(do, buckets, **bodies[way])

    put = assemble(do, buckets, checked)

    assert (put["bucket"], put["key"], put["way"]) == (
        "artifacts",
        checked["assembly"]["key"],
        way.split(maxsplit=1)[0],
    )
    assert all(key.startswith(put["key"]) for key in written(buckets))
    assert assemble(do, buckets, checked) == {**put, "written": False, "bytes_moved": 0}


def test_what_a_release_checked_that_had_mend_is_assembled_and_planned(
    do: Task, buckets: Clients, script: Script, nested_archive: bytes
) -> None:
    """The setting had that name in its request and its decision: the archive has the key that it had then."""
    checked = check(do, buckets, nested_archive, mend=True)
    older = {
        **checked,
        "request": renamed(checked["request"]),
        "assembly": renamed(checked["assembly"]),
    }

    put = assemble(do, buckets, older)
    script.account()

    assert (put["way"], put["key"]) == ("transcode", checked["assembly"]["key"])
    assert plan(do, script, older)["names"]["model"].startswith("harbour-")


def renamed(told: dict[str, Any]) -> dict[str, Any]:
    """Return what a state of an older release would have said."""
    assert told["relocate_model"] is True
    return {"mend" if name == "relocate_model" else name: value for name, value in told.items()}


@pytest.mark.parametrize("name", ["key", "content"])
def test_a_place_that_the_code_would_not_choose_is_refused(
    do: Task, buckets: Clients, good_archive: bytes, name: str
) -> None:
    """The inference code may be the same, and the way in which keys are made another."""
    checked = check(do, buckets, good_archive)
    planned = {**checked["assembly"], name: "archives/elsewhere"}

    with pytest.raises(StackChanged, match="and the stack's code would write s3://artifacts/archives/"):
        assemble(do, buckets, {**checked, "assembly": planned})

    assert written(buckets) == []


def test_what_an_older_release_planned_is_refused(do: Task, buckets: Clients, good_archive: bytes) -> None:
    """It said nothing of its code, so nobody can tell that it is the same."""
    checked = check(do, buckets, good_archive)
    planned = {name: value for name, value in checked["assembly"].items() if name != "code_digest"}

    with pytest.raises(StackChanged, match=r"no 'assembly\.code_digest'"):
        assemble(do, buckets, {**checked, "assembly": planned})


@pytest.mark.parametrize("version", [None, record.VERSION + 1])
def test_the_record_of_another_release_is_refused_by_name(
    do: Task, buckets: Clients, good_archive: bytes, version: int | None
) -> None:
    """A report that is misread would splice an archive wrongly; and a ValueError would tell nobody what to do."""
    checked = check(do, buckets, good_archive)
    key = checked["assembly"]["record"]
    document = json.loads(buckets.s3.get_object(Bucket="artifacts", Key=key)["Body"].read())
    buckets.s3.put_object(
        Bucket="artifacts", Key=key, Body=json.dumps({**document, "version": version}).encode()
    )

    with pytest.raises(
        StackChanged, match=rf"version {version!r}, and the stack reads version {record.VERSION}"
    ):
        assemble(do, buckets, checked)

    assert written(buckets) == []


# ------------------------------------------------------------------------- the model


def plan(do: Task, script: Script, checked: dict[str, Any], **results: Any) -> dict[str, Any]:
    """Run PlanDeployment; the account is looked at when there is nothing to refuse."""
    return do(
        "PlanDeployment",
        script.clients,
        results={"check_archive": checked, **results},
        execution=EXECUTION,
        started="2024-01-02T03:04:05.678Z",
        defaults=DEFAULTS,
    )


@pytest.mark.parametrize(
    "asked",
    [
        pytest.param({}, id="archive"),
        pytest.param({"key": "models/harbour/m.gguf", "hosting": "instance"}, id="prefix"),
        pytest.param(
            {"key": "models/harbour/m.gguf", "hosting": "instance", "container": "llama-cpp"}, id="object"
        ),
    ],
)
@pytest.mark.parametrize("field", ["bucket", "key"])
def test_no_model_is_made_of_anything_but_what_was_assembled(
    *,
    do: Task,
    buckets: Clients,
    script: Script,
    good_archive: bytes,
    tiny_model: Path,
    asked: dict[str, Any],
    field: str,
) -> None:
    """Whatever form it has: CreateModel asks SageMaker for nothing, and both places are named."""
    checked = check(do, buckets, tiny_model.read_bytes() if asked else good_archive, **asked)
    if asked:
        script.no_prices()
    script.account()
    request = plan(do, script, checked)["requests"]["create_model"]
    put = assemble(do, buckets, checked)
    elsewhere = {**put, field: "elsewhere"}

    with pytest.raises(StackChanged) as refusal:
        do("CreateModel", script.clients, request=request, others=[], assembled=elsewhere)

    (problem,) = refusal.value.problems
    assert f"the plan names s3://{put['bucket']}/{put['key']}," in problem.seen
    assert f"s3://{elsewhere['bucket']}/{elsewhere['key']}" in problem.seen


def test_a_plan_that_is_made_anew_keeps_its_name(
    do: Task, buckets: Clients, script: Script, good_archive: bytes
) -> None:
    """What was made under the first one would be left behind: no rollback would know of it."""
    checked = check(do, buckets, good_archive)
    script.account()
    first = plan(do, script, checked)
    earlier = {**first, "names": {**first["names"], "model": "harbour-0123456789ab"}}

    with pytest.raises(StackChanged, match="was planned as 'harbour-0123456789ab'"):
        plan(do, script, checked, plan_deployment=earlier)
