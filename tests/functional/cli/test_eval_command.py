"""`sealift eval` before anything is asked, and while it asks."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

import pytest
from botocore.exceptions import ClientError

from pipeline import cli, errors
from pipeline.cli.commands import eval as eval_command
from pipeline.cli.screen import Screen
from pipeline.gguf import questions
from pipeline.quality import suite

if TYPE_CHECKING:
    from pipeline.aws.clients import Clients

CASES = b'{"prompt": "What carries cargo?", "expect": {"contains": "sealift"}}\n{"prompt": "And?"}\n'
UNAVAILABLE = ClientError(
    {
        "Error": {"Code": "ServiceUnavailable", "Message": "unavailable"},
        "ResponseMetadata": {"HTTPStatusCode": 503},
    },
    "InvokeEndpoint",
)


@pytest.fixture
def cases(tmp_path: Path) -> Path:
    """Write a suite."""
    path = tmp_path / "suite.jsonl"
    path.write_bytes(CASES)
    return path


@pytest.mark.parametrize(
    ("save", "told"),
    [
        pytest.param(lambda here: here / "suite.jsonl", "the suite itself", id="the suite"),
        pytest.param(lambda here: here / "sub" / ".." / "suite.jsonl", "the suite itself", id="another way"),
        pytest.param(lambda here: here / "link", "the suite itself", id="a link"),
        pytest.param(lambda here: here / "nowhere" / "a.json", "no folder", id="no folder"),
        pytest.param(lambda here: here, "a folder", id="a folder"),
    ],
)
def test_a_file_that_answers_cannot_be_kept_in_is_refused_before_anybody_is_asked(
    save: Callable[[Path], Path],
    told: str,
    cases: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """The cases stay as they are; nothing listens at that port."""
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    (cases.parent / "sub").mkdir()
    (cases.parent / "link").symlink_to(cases)

    assert cli.main(["eval", "demo", "--suite", str(cases), "--save", str(save(cases.parent))]) == cli.FAILED

    assert told in capsys.readouterr().err
    assert cases.read_bytes() == CASES


class Runtime:
    """An endpoint whose calls of these numbers are refused."""

    def __init__(self, refused: set[int]) -> None:
        self.asked = 0
        self._refused = refused

    def describe_endpoint(self, **_request: Any) -> dict[str, Any]:
        """Describe it."""
        return {"EndpointName": "demo-1", "ProductionVariants": [{}]}

    def invoke_endpoint(self, **_request: Any) -> dict[str, Any]:
        """Answer, or refuse."""
        self.asked += 1
        if self.asked in self._refused:
            raise UNAVAILABLE
        answer = {"choices": [{"message": {"content": "A sealift does."}, "finish_reason": "stop"}]}
        return {"Body": io.BytesIO(json.dumps(answer).encode())}


@pytest.mark.parametrize(
    ("refused", "asked"),
    [pytest.param({1, 2, 3, 5}, 6, id="in the end"), pytest.param({2, 3, 4, 5}, None, id="never")],
)
def test_a_case_is_asked_again_where_the_service_is_not_available(
    refused: set[int], asked: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A few times, as the gate does: what the other cases said would be lost."""
    slept: list[float] = []
    monkeypatch.setattr(eval_command, "sleep", slept.append)
    runtime = Runtime(refused)
    clients = cast("Clients", SimpleNamespace(sagemaker=runtime, sagemaker_runtime=runtime))
    found = suite.parse(CASES, "suite.jsonl", suits=questions.MESSAGES)

    def ask() -> list[eval_command.Asked]:
        return eval_command._asked(clients, found, ("demo-1", None), Screen(io.StringIO()))

    if asked is None:
        with pytest.raises(errors.ServiceUnavailable):
            ask()
        assert len(slept) == 3
        return
    assert [compared.passed for compared, _, _ in ask()] == [True, True]
    assert (runtime.asked, len(slept)) == (asked, len(refused))
