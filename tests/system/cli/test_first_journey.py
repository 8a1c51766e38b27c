"""The shortest way, as a newcomer goes it: an account without a stack, a GGUF, two commands, an answer."""

from __future__ import annotations

import io
import json
import re
import sys
from typing import TYPE_CHECKING

import pytest

from local_cloud.cloud import LocalCloud
from pipeline import cli, package_files
from pipeline.aws.clients import Clients
from pipeline.cli import program
from pipeline.cli.commands import deploy, destroy
from pipeline.cli.commands import push as push_command
from pipeline.stack import bundles, template
from tools import pages

if TYPE_CHECKING:
    from pathlib import Path

    from pipeline.cli.options import DeployOptions
    from pipeline.cli.screen import Screen

STACK = "first"
SENTENCE = "Sealift carries heavy cargo"
PAGE = (pages.TOP / "docs" / "get-started.md").read_text(encoding="utf-8")


def quickly(
    arguments: DeployOptions, clients: Clients, screen: Screen, *, brief: bool
) -> deploy.StackOutcome:
    """Make a stack as `sealift push` does, of libraries that are here, and without an image from another registry."""
    made = program.read(["deploy", "--yes", "--no-image", "--stack", str(arguments.stack)]).options
    source, level = template.load(package_files.template()), bundles.QUICKEST
    return deploy.made_of(
        made, clients, source, bundles.libraries_here, None, screen=screen, level=level, brief=brief
    )


@pytest.mark.parametrize("form", ["person", "machine"])
def test_two_commands_lead_from_a_model_to_an_answer(
    form: str,
    cloud: LocalCloud,
    model: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Push makes the stack, packs, uploads, follows and ends with the answer and the next command, which works."""
    monkeypatch.setenv("AWS_ENDPOINT_URL", cloud.url)
    clients = Clients(region=cloud.region)
    words = ["push", str(model), "--service", f"first-{form}", "--stack", STACK, "--yes"]
    json_wanted = ["--json"] if form == "machine" else []
    try:
        status = push_command.run(program.read([*words, *json_wanted]).options, clients, quickly)
        out = capsys.readouterr().out
        assert status == 0, out
        if form == "person":
            assert "there is no stack 'first' yet" in out
            assert re.findall(r"\d+ to add", out) == re.findall(r"\d+ to add", PAGE)
            assert SENTENCE in out.partition("deployed in ")[2]
            assert out.splitlines()[-2:] == [
                '  ask it    sealift ask first-person "What does a sealift do?"',
                "  code      sealift connect first-person",
            ]
        else:
            events = [json.loads(row) for row in out.splitlines()]
            assert next(one for one in events if one["type"] == "stack")["status"] == "deployed"
            assert events[-1]["status"] == "SUCCEEDED"
        monkeypatch.setattr(sys, "stdin", io.StringIO())
        assert cli.main(["ask", f"first-{form}", "What does a sealift do?", "--temperature", "0"]) == 0
        assert SENTENCE in capsys.readouterr().out
        assert cli.main(["connect", f"first-{form}", "--only", "boto3"]) == 0
        assert f"first-{form}-" in capsys.readouterr().out
    finally:
        destroy.run(program.read(["destroy", "--stack", STACK, "--yes", "--archives"]).options, clients)


def test_a_dry_run_of_a_second_deployment_says_what_it_meets(
    cloud: LocalCloud, model: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The one that serves stays to roll back to, the one before goes; and nothing that changes is called."""
    monkeypatch.setenv("AWS_ENDPOINT_URL", cloud.url)
    names = []
    for n_ctx in ("256", "320"):
        words = ["push", str(model), "--service", "rehearsed", "--n-ctx", n_ctx, "--json"]
        assert cli.main(words) == 0
        names.append(json.loads(capsys.readouterr().out.splitlines()[-1])["endpoint_name"])
    cloud.recorded.clear()

    assert cli.main(["push", str(model), "--service", "rehearsed", "--dry-run", "--json"]) == 0

    events = [json.loads(row) for row in capsys.readouterr().out.splitlines()]
    facts = next(one for one in events if one["type"] == "rehearsal")
    assert (facts["kept"], facts["retired"]) == ([names[1]], [names[0]])
    assert facts["unseen"] == []
    called = {one.call.operation for one in cloud.recorded if not one.caller}
    reads = ("Get", "List", "Describe", "Head")
    assert [one for one in called if not one.startswith(reads)] == []
    assert called
