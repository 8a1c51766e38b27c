"""The quality gate on the local cloud: an equal and a better model are switched to, a worse one is not."""

from __future__ import annotations

import io
import json
import sys
from typing import TYPE_CHECKING, Any

import pytest

from pipeline import cli, package_files
from pipeline.archive.build.pack import pack
from pipeline.report import document, page, source
from pipeline.sizing import pricing
from tests.system.workflow.test_deployment import settings

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from pipeline.operations.execution_history import Execution
    from tests.system.conftest import Deployments

SUITE = "\n".join(
    json.dumps(one)
    for one in (
        {"defaults": {"max_tokens": 16, "expect": {"max_seconds": 60, "allow_degenerate": True}}},
        {"name": "purpose", "prompt": "What does a sealift do?", "expect": {"contains": "heavy cargo"}},
        {
            "name": "talk",
            "messages": [{"role": "user", "content": "What?"}],
            "expect": {"matches": "^S", "similarity": 0.5},
        },
    )
)
GATE = {"suite": "suite.jsonl"}
ANY = {"expect": {"allow_degenerate": True}}


def packed(folder: Path, sentence: str) -> Path:
    """Return an archive of a small model that says one sentence."""
    from tiny_gguf import write_tiny_gguf

    model = folder / "harbour.gguf"
    write_tiny_gguf(model, corpus=(sentence,))
    path = folder / "model.tar.gz"
    pack(model, path, code=package_files.code())
    return path


def given(**more: Any) -> dict[str, Any]:
    """Return settings whose smoke test, and whose consumer, take any answer."""
    found = settings(smoke_test={"prompts": ["What does a sealift do?"], **ANY})
    found["consumer"] |= ANY
    return {**found, **more}


def deploy(deployments: Deployments, archive: Path, **more: Any) -> Execution:
    """Deploy with the suite beside the archive."""
    deployments.cloud.clients.s3.put_object(
        Bucket=deployments.bucket, Key="models/judged/suite.jsonl", Body=SUITE.encode()
    )
    return deployments.upload(archive, "judged", given(**more))


@pytest.fixture
def sealift(
    deployments: Deployments, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., tuple[int, str, str]]:
    """Returns a function that runs a command with a standard input: its status and both its outputs."""
    monkeypatch.setenv("AWS_ENDPOINT_URL", deployments.cloud.url)

    def run(*arguments: str, stdin: str = "") -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin.encode())))
        capsys.readouterr()
        return cli.main([*arguments]), *capsys.readouterr()

    return run


def test_a_worse_model_is_not_switched_to_and_an_equal_or_better_one_is(
    deployments: Deployments, tmp_path: Path, sealift: Callable[..., tuple[int, str, str]]
) -> None:
    """By what both say to the same cases, side by side; and the consumer keeps what it had."""
    folders = [tmp_path / name for name in ("poor", "good", "same", "worse")]
    for folder in folders:
        folder.mkdir()
    poor, good = packed(folders[0], "Sea lions sleep"), packed(folders[1], "Sealift carries heavy cargo")
    same, worse = packed(folders[2], "Sealift carries heavy cargo now"), packed(folders[3], "Fish swim far")

    first = deployments.upload(poor, "judged", given())
    assert first.status == "SUCCEEDED", first.cause
    assert "evaluate_quality" not in first.results

    better = deploy(deployments, good, quality={**GATE, "allow_worse": 1})
    assert better.status == "SUCCEEDED", better.cause
    found = better.results["evaluate_quality"]
    assert found["against"] == first.results["plan_deployment"]["names"]["endpoint"]
    assert "1 of them better than before" in found["told"]

    equal = deploy(deployments, same, quality=GATE)
    assert equal.status == "SUCCEEDED", equal.cause
    assert equal.results["evaluate_quality"]["passed"] == 2
    serving = equal.results["plan_deployment"]["names"]["endpoint"]
    before = deployments.resources()

    refused = deploy(deployments, worse, quality=GATE)
    assert (refused.status, refused.error) == ("FAILED", "QualityGateFailed")
    cause = str(refused.cause)
    assert "it fails 2 of 2 cases that the earlier deployment passes, and may 0" in cause
    assert "'purpose': contains 'heavy cargo': it is not there" in cause
    assert "read_consumer" not in refused.results
    assert deployments.consumer_variables()["ENDPOINT_NAME"] == serving
    assert deployments.resources() == before

    made = document.assemble(source.fetch(deployments.cloud.clients, refused.arn), pricing.LISTED)
    assert made.quality is not None
    assert [one.word for one in made.quality.cases] == ["worse", "worse"]
    body = page.render(made).decode()
    assert "Fish swim" in body
    assert "Sealift carries heavy cargo" in body

    _judged_at_any_time(sealift, tmp_path, serving, str(found["against"]))


def _judged_at_any_time(
    sealift: Callable[..., tuple[int, str, str]], folder: Path, serving: str, earlier: str
) -> None:
    """The same suite is asked of what serves, alone and beside another endpoint."""
    path, answers = folder / "suite.jsonl", folder / "answers.json"
    path.write_text(SUITE)

    status, out, err = sealift("eval", "judged", "--suite", str(path), "--save", str(answers))
    assert status == cli.OK, err
    assert "2 of 2 cases passed" in out
    kept = json.loads(answers.read_text())
    assert (kept["endpoint_name"], kept["against"]) == (serving, None)
    assert kept["cases"][0]["now"]["answer"].startswith("Sealift carries heavy cargo")

    status, out, _ = sealift("eval", "judged", "--suite", str(path), "--against", serving, "--json")
    document = json.loads(out)
    assert status == cli.OK
    assert [one["verdict"] for one in document["cases"]] == ["passed", "passed"]

    failing = json.dumps({"prompt": "What?", "expect": {"contains": "no such word"}})
    status, out, _ = sealift("eval", "judged", "--suite", "-", stdin=failing)
    assert status == cli.FAILED
    assert "contains 'no such word': it is not there" in out

    status, out, err = sealift("eval", "judged", "--suite", "-", stdin="{")
    assert (status, out) == (cli.FAILED, "")
    assert "standard input line 1" in err

    status, _, err = sealift("eval", "judged", "--suite", str(path), "--against", "nobody")
    assert status == cli.FAILED
    assert "no deployment of 'nobody'" in err
    assert earlier != serving


def test_a_suite_that_is_wrong_is_refused_before_anything_is_made(
    deployments: Deployments, archive: Path
) -> None:
    """By its place and the line; and so is one that is not there, and one for an endpoint in place."""
    deployments.cloud.clients.s3.put_object(
        Bucket=deployments.bucket,
        Key="models/unfit/suite.jsonl",
        Body=b'{"prompt": "a"}\n{"input": "a"}\n{"promt": 1}',
    )
    ended = deployments.upload(archive, "unfit", given(quality=GATE))
    assert ended.error == "InvalidInput"
    assert "models/unfit/suite.jsonl line 3" in str(ended.cause)

    ended = deployments.upload(archive, "unfit", given(quality={"suite": "other.jsonl"}))
    assert "models/unfit/other.jsonl\nwhy: no such object" in str(ended.cause)

    ended = deployments.upload(archive, "unfit", given(quality=GATE, strategy="in_place"))
    assert "'quality' with strategy 'in_place'" in str(ended.cause)
    assert deployments.resources() == {"endpoints": [], "configs": [], "models": []}
