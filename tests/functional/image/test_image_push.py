"""`sealift image push`: where it goes, what it says, and what it refuses before anything is built."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from moto import mock_aws

from pipeline import __version__, cli
from pipeline.aws.clients import Clients
from pipeline.cli.commands import image
from pipeline.cli.endings import Misuse
from pipeline.cli.options import ImageBuildOptions, ImagePushOptions
from pipeline.errors import RegistryRefused
from pipeline.image import registries
from pipeline.image.contents import ImageContents, ImagePart
from pipeline.image.layers import TreeFile
from tests.fake_registry import FakeRegistry, Fault, running
from tests.unit.image.images import MemoryRegistry

PYTHON = "docker/library/python"
CONTENTS = ImageContents(
    "x86_64", (ImagePart("code", {"opt/sealift/a.py": TreeFile(bytes(300_000))}),), {"foo": "1.2.3"}
)
TAG = f"sealift-{__version__}-x86_64"


@pytest.fixture(autouse=True)
def _own_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path / "docker"))


@pytest.fixture(autouse=True)
def account() -> Iterator[None]:
    """An account in this process: moto lets calls to 127.0.0.1 through."""
    with mock_aws():
        yield


@pytest.fixture
def registry() -> Iterator[FakeRegistry]:
    """A registry that has a base."""
    made = MemoryRegistry()
    made.put_index({"linux/amd64": made.put_image()}, "latest")
    with running(FakeRegistry()) as registry:
        registry.blobs[PYTHON] = dict(made.blobs)
        registry.manifests |= {(PYTHON, name): found for name, found in made.manifests.items()}
        yield registry


def push(registry: FakeRegistry, name: str = "team/app", **given: Any) -> int:
    """Run the command."""
    options = ImagePushOptions(
        repository=f"{registry.host}/{name}", base=f"{registry.host}/{PYTHON}", **{"json": True, **given}
    )
    clients = Clients(region="us-east-1")
    return image.run_push(options, registries.connect, lambda _: CONTENTS, clients)


def test_the_image_is_built_and_pushed(registry: FakeRegistry, capsys: pytest.CaptureFixture[str]) -> None:
    """Under the tag of its version; the base's layer is taken over where it lies in the same registry."""
    assert push(registry) == 0
    said = json.loads(capsys.readouterr().out)

    assert said["image"] == f"{registry.host}/team/app:{TAG}"
    assert registry.manifests["team/app", TAG] == registry.manifests["team/app", said["digest"]]
    assert said["mounted_bytes"] > 0
    assert [one["kind"] for one in said["transfers"]].count("base") == 1

    assert push(registry) == 0
    assert json.loads(capsys.readouterr().out)["tagged"]


def test_a_folder_is_pushed(
    registry: FakeRegistry, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The same image as the one that is built."""
    build = ImageBuildOptions(base=f"{registry.host}/{PYTHON}", output=tmp_path / "image", json=True)
    image.run_build(build, registries.connect, lambda _: CONTENTS)
    built = json.loads(capsys.readouterr().out)

    assert push(registry, "team/app:one", image=tmp_path / "image") == 0
    assert json.loads(capsys.readouterr().out)["digest"] == built["digest"]
    assert ("team/app", "one") in registry.manifests


def test_a_dry_run_says_what_would_be_sent(
    registry: FakeRegistry, capsys: pytest.CaptureFixture[str]
) -> None:
    """To people as well."""
    assert push(registry, dry_run=True, json=False) == 0

    said = capsys.readouterr().out.splitlines()
    assert said[-2].startswith("would send 0.0 MiB to ") or said[-2].startswith("would send ")
    assert said[-1].startswith(f"the image: {registry.host}/team/app@sha256:")
    assert "team/app" not in registry.blobs


def test_a_tag_that_moves_is_told(registry: FakeRegistry, capsys: pytest.CaptureFixture[str]) -> None:
    """Which image it named."""
    manifest = registry.manifests[PYTHON, "latest"]
    registry.manifests["team/app", "one"] = manifest

    assert push(registry, tag="one", json=False) == 0

    said = capsys.readouterr().out
    assert "pushed " in said
    assert "the tag named until now: sha256:" in said


def test_what_was_sent_before_a_break_is_not_sent_again(
    registry: FakeRegistry, capsys: pytest.CaptureFixture[str]
) -> None:
    """The next command goes on; nothing is remembered afterwards."""
    registry.fail(Fault("PUT", "manifests", status=403, code="DENIED"))
    with pytest.raises(RegistryRefused):
        push(registry)
    before = registry.sent()

    assert push(registry) == 0
    assert registry.sent() == before
    capsys.readouterr()


@pytest.mark.parametrize(
    ("repository", "given", "error"),
    [
        pytest.param("sealift", {}, "WrongReference", id="no host"),
        pytest.param("registry.example/a:one", {"tag": "two"}, "TwoTags", id="two tags"),
        pytest.param("registry.example/a", {"tag": "no tag"}, "WrongReference", id="tag"),
        pytest.param(f"registry.example/a@sha256:{'0' * 64}", {}, "Digest", id="digest"),
    ],
)
def test_a_place_that_is_none_is_refused_first(repository: str, given: dict[str, Any], error: str) -> None:
    """As a mistake of the command line; nothing is built and nobody asked."""

    def refuse(*_: Any) -> Any:
        raise AssertionError("something was done")

    with pytest.raises(Misuse) as refusal:
        image.run_push(
            ImagePushOptions(repository=repository, **given), refuse, refuse, Clients(region="us-east-1")
        )
    assert [one.error for one in refusal.value.problems] == [error]


@pytest.mark.parametrize(
    ("host", "seen"),
    [
        pytest.param("210987654321.dkr.ecr.us-east-1", "a repository of account 210987654321", id="account"),
        pytest.param("123456789012.dkr.ecr.eu-west-1", "a repository in eu-west-1", id="region"),
    ],
)
def test_another_accounts_repository_is_refused_first(
    host: str, seen: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """By what AWS says of the credentials."""
    assert cli.main(["image", "push", f"{host}.amazonaws.com/sealift"]) == cli.FAILED

    assert seen in capsys.readouterr().err


def test_a_stack_that_is_not_there_is_told_of(capsys: pytest.CaptureFixture[str]) -> None:
    """Where no repository is named."""
    assert cli.main(["image", "push", "--stack", "nope"]) == cli.FAILED

    assert "no stack 'nope'" in capsys.readouterr().err
