"""`import sealift` against what is deployed: the examples of its page as they stand, and what else it promises."""

from __future__ import annotations

import re
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest

import sealift
from benchmarks import shapes
from examples.tiny_encoder import write_tiny_encoder
from pipeline import package_files
from pipeline.archive.build.pack import pack
from tests.functional.cli.test_plan_command import archive_of
from tests.system.cli.test_asking import INSTANCE, SENTENCE, deployed
from tools import pages

if TYPE_CHECKING:
    from pathlib import Path

    from local_cloud.cloud import LocalCloud
    from tests.system.conftest import Deployments

PAGE = (pages.TOP / "docs" / "python.md").read_text(encoding="utf-8")


@pytest.fixture(autouse=True)
def here(cloud: LocalCloud, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let this process call the local cloud."""
    monkeypatch.setenv("AWS_ENDPOINT_URL", cloud.url)
    monkeypatch.setenv("AWS_REGION", cloud.region)


def test_the_examples_of_the_page_run(
    deployments: Deployments,
    archive: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """One after the other, as in a notebook; the one that needs a package of its own `make clients` runs."""
    deployed(deployments, archive, "demo", consumer=None)
    pack(write_tiny_encoder(tmp_path / "m.gguf"), tmp_path / "e.tar.gz", code=package_files.code())
    deployed(deployments, tmp_path / "e.tar.gz", "library", consumer=None, smoke_test={})
    (tmp_path / "model.tar.gz").symlink_to(archive)
    monkeypatch.chdir(tmp_path)
    examples = [one for one in re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL) if ".openai()" not in one]
    names: dict[str, Any] = {}

    for example in examples:
        exec(compile(example, "docs/python.md", "exec"), names)  # noqa: S102 it is ours

    printed = capsys.readouterr().out
    assert len(examples) == 6
    assert SENTENCE in str(names["reply"])
    assert names["pushed"].endpoint_name in printed
    assert "demo well ['InService']" in printed
    assert "did you mean 'demo'?" in printed
    assert len(names["vectors"]) == 2
    assert all(one.mark in ("done", "skipped") for one in names["pushed"].checklist)


def test_one_object_serves_threads_and_follows_the_service(deployments: Deployments, archive: Path) -> None:
    """Its endpoint may be another one tomorrow."""
    first = deployed(deployments, archive, "ferry", consumer=None, **INSTANCE)
    ferry = sealift.service("ferry")
    with ThreadPoolExecutor(4) as threads:
        said = list(threads.map(lambda _: ferry.ask("What?", temperature=0), range(8)))
    assert {one.endpoint_name for one in said} == {first}
    assert all(SENTENCE in one.text for one in said)

    pieces = list(ferry.stream("What?", temperature=0))
    assert SENTENCE in "".join(pieces)
    talk = ferry.chat(temperature=0, messages=[{"role": "system", "content": "Be short."}])
    assert SENTENCE in "".join(talk.stream("What?"))
    assert [one["role"] for one in talk.messages] == ["system", "user", "assistant"]

    second = deployed(deployments, archive, "ferry", consumer=None, memory_mb=2048)
    deployments.cloud.clients.sagemaker.delete_endpoint(EndpointName=first)
    assert ferry.ask("What?", temperature=0).endpoint_name == second
    assert ferry.endpoint.streams is False


def test_what_is_refused_is_told_in_a_programs_words(archive: Path, tmp_path: Path) -> None:
    """By the names of arguments, and by the error that the execution fails with."""
    with pytest.raises(sealift.InvalidInput, match="nothing of 'nowhere'"):
        sealift.service("nowhere").status()
    with pytest.raises(sealift.InvalidInput, match=r"^settings: unknown field 'memory'"):
        sealift.push(archive, service="raft", settings={"memory": 1})
    with pytest.raises(sealift.InvalidInput, match=r"^service: service 'A_b'"):
        sealift.push(archive, service="A_b")
    with pytest.raises(sealift.InvalidInput, match=f"{archive.parent}/none.jsonl: "):
        sealift.push(archive, service="raft", settings={"quality": {"suite": "none.jsonl"}})
    with pytest.raises(sealift.ModelDoesNotFit):
        sealift.push(archive_of(shapes.LLAMA_1B, tmp_path), service="raft", settings={"memory_mb": 1024})
    with pytest.raises(sealift.InvalidArchive):
        sealift.push(pages.TOP / "README.md", service="raft")

    wrong = {"prompts": ["What?"], "expect": {"contains": "zebra"}}
    given = {"consumer": None, "smoke_test": wrong, "inference": {"n_threads": 1}}
    with pytest.raises(sealift.Failed, match="it does not contain 'zebra'") as caught:
        sealift.push(archive, service="raft", settings=given)
    assert type(caught.value).__name__ == "SmokeTestFailed"
    assert not str(caught.value).count("what happened")
