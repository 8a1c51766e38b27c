"""`import sealift`, as somebody else's program uses it."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import sealift
from pipeline.archive.build.pack import PackResult
from pipeline.aws.clients import Clients
from sealift import accounts

TOP = Path(__file__).resolve().parents[2]
MODEL = TOP / "examples" / "demo_model" / "sealift-demo.gguf"


@pytest.fixture(scope="module")
def packed(tmp_path_factory: pytest.TempPathFactory) -> PackResult:
    """Pack the demo's model."""
    return sealift.pack(MODEL, tmp_path_factory.mktemp("packed") / "model.tar.gz")


def test_the_example_of_the_documents_runs(tmp_path: Path) -> None:
    """As it stands on the page, beside a model."""
    shutil.copy(MODEL, tmp_path / "model.gguf")
    (example,) = re.findall(r"```python\n(.*?)```", (TOP / "docs/commands.md").read_text(), re.DOTALL)

    done = subprocess.run(
        [sys.executable, "-c", example], cwd=tmp_path, capture_output=True, text=True, check=True, timeout=60
    )

    assert done.stdout == "accepted 1024 MB\n"


def test_what_was_packed_is_accepted(packed: PackResult) -> None:
    """By its path, or by its name."""
    assert sealift.check(packed.path).verdict == "accepted"
    assert sealift.check(str(packed.path)).problems == ()


def test_a_plan_heeds_the_settings_and_those_beside_the_archive(packed: PackResult) -> None:
    """The ones that are given win."""
    (beside := packed.path.with_name("deployment.json")).write_text(
        '{"memory_mb": 3072, "service": "beside"}'
    )
    try:
        made = sealift.plan(packed.path, {"memory_mb": 2048})
    finally:
        beside.unlink()

    assert made.fits
    assert (made.size, made.endpoint) == ("2048 MB", "beside-<digest>")


def test_a_setting_is_refused_by_its_own_name(packed: PackResult) -> None:
    """And not by the option that a command line has for it; the command names the option."""
    with pytest.raises(sealift.PermanentError) as caught:
        sealift.plan(packed.path, {"memory_mb": 1000, "inference": {"n_ctx": -1}})

    said = str(caught.value)
    assert "settings" in said
    assert "memory_mb" in said
    assert "n_ctx" in said
    assert "--" not in said


def test_an_archive_that_is_not_there_is_an_error_of_ours(tmp_path: Path) -> None:
    """One class for all that Sealift refuses."""
    with pytest.raises(sealift.SealiftError, match="nowhere"):
        sealift.check(tmp_path / "nowhere.tar.gz")


USE = '''
import sealift


def ask_all(names: list[str]) -> dict[str, str]:
    """Ask some services, and embed what they say."""
    said: dict[str, str] = {}
    for name in names:
        service = sealift.service(name, stack="harbor", region="eu-west-1", profile="pilot")
        try:
            reply = service.ask("What?", max_tokens=9, temperature=0.0, schema={"type": "object"}, images=["a.png"])
        except (sealift.ModelNotReady, sealift.Throttled) as error:
            said[name] = str(error)
            continue
        said[name] = reply.text
        if reply.tokens_per_second is not None and reply.seconds is not None:
            print(reply.tokens_per_second * reply.seconds)
        vector: list[float] = service.embed("one")
        several: list[list[float]] = service.embed(["one", "two"])
        print(len(vector), len(several[0]), service.endpoint.name, service.status().well)
        with service.stream("What?") as pieces:
            said[name] += "".join(pieces)
        said[name] += service.chat(system="Be brief.").ask("What?").text
    return said


def push(model: str) -> str | None:
    """Deploy, and return what was answered."""
    pushed = sealift.push(model, service="demo", settings={"memory_mb": 2048}, progress=print)
    for line in pushed.checklist:
        print(line.mark.upper(), line.line)
    return pushed.answer


print([one.name for one in sealift.services() if not one.well])
WRONG
'''
WRONG = {
    'sealift.service("demo").ask(1)': "arg-type",
    'sealift.service("demo", "stack")': "call-arg",
    'sealift.service("demo").ask("a").txt': "attr-defined",
    'sealift.push("a")': "call-arg",
    'sealift.service("demo").embed(3)': "call-overload",
}


def test_a_program_that_uses_it_is_checked_by_its_types(tmp_path: Path) -> None:
    """Strictly: what is right passes, and each slip is found where it stands."""
    use = tmp_path / "use.py"
    use.write_text(USE.replace("WRONG", "\n".join(WRONG)))

    done = subprocess.run(
        [sys.executable, "-m", "mypy", "--strict", "--no-pretty", str(use)],
        cwd=TOP,
        capture_output=True,
        text=True,
        check=False,
        timeout=280,
    )

    first = use.read_text().splitlines().index(next(iter(WRONG))) + 1
    found = re.findall(r"use\.py:(\d+): error: .*\[([\w-]+)\]$", done.stdout, re.MULTILINE)
    assert found == [(str(first + n), code) for n, code in enumerate(WRONG.values())], done.stdout


def test_two_accounts_are_kept_apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each service has its profile's credentials and region, whatever the process was told elsewhere."""
    (tmp_path / "credentials").write_text(
        "[one]\naws_access_key_id = AAA\naws_secret_access_key = a\n"
        "[two]\naws_access_key_id = BBB\naws_secret_access_key = b\n"
    )
    (tmp_path / "config").write_text("[profile two]\nregion = eu-north-1\n")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "credentials"))
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    for name in ("AWS_REGION", "AWS_DEFAULT_REGION", "AWS_PROFILE", "AWS_ACCESS_KEY_ID"):
        monkeypatch.delenv(name, raising=False)
    found = [
        accounts.named(None, "us-west-2", "one"),
        accounts.named("", None, "two"),
        accounts.named("harbor", None, "one"),
    ]

    assert [one.region for one in found] == ["us-west-2", "eu-north-1", "us-east-1"]
    assert [one.stack for one in found] == [None, None, "harbor"]
    keys = [one.clients.signing_credentials().access_key for one in found]
    assert keys == ["AAA", "BBB", "AAA"]
    assert [one.clients.sagemaker.meta.region_name for one in found] == [one.region for one in found]


def test_credentials_that_are_given_sign() -> None:
    """Those, and no others that the process may have."""
    given = {"aws_access_key_id": "AAA", "aws_secret_access_key": "a", "aws_session_token": "t"}

    assert tuple(Clients(credentials=given).signing_credentials())[:3] == ("AAA", "a", "t")


def test_openai_that_is_not_installed_is_told_of(monkeypatch: pytest.MonkeyPatch) -> None:
    """With what installs it."""
    monkeypatch.setitem(sys.modules, "openai", None)
    monkeypatch.delitem(sys.modules, "pipeline.client.openai_client", raising=False)

    with pytest.raises(sealift.InvalidInput, match="pip install openai"):
        sealift.service("demo").openai()
