"""What a network and a person do to a command: one message, an exit status that is documented, never a traceback."""

from __future__ import annotations

import os
import re
import signal
import socket
import socketserver
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest

from pipeline import cli, settings
from tests.functional.serving import serving, try_once, url_of

COMMANDS = {
    "check": ["check", "s3://bucket/models/a/model.tar.gz"],
    "plan": ["plan", "s3://bucket/models/a/model.tar.gz"],
    "pack": ["pack", "MODEL", "-o", "s3://bucket/models/a/model.tar.gz"],
    "deploy": ["deploy", "--dry-run"],
    "destroy": ["destroy", "--dry-run"],
    "push": ["push", "ARCHIVE", "--service", "a"],
    "start": ["start", "--archive", "s3://bucket/models/a/model.tar.gz"],
    "watch": ["watch", "a"],
    "status": ["status"],
    "history": ["history"],
    "logs": ["logs", "a"],
    "rollback": ["rollback", "a"],
    "sweep": ["sweep"],
    "sweep a stack": ["sweep", "--stack", "a"],
    "report": ["report", "a"],
    "doctor": ["doctor"],
}
"""Every command that talks to AWS."""

PAGE = b"<html><head><title>Sign in</title></head><body>Welcome to the \x1b[31mnetwork</body></html>"


def answer(status: str, kind: str, body: bytes, *more: str) -> bytes:
    """Return an HTTP response."""
    head = [
        f"HTTP/1.1 {status}",
        f"Content-Type: {kind}",
        f"Content-Length: {len(body)}",
        "Connection: close",
    ]
    return "\r\n".join([*head, *more, "", ""]).encode() + body


def refusal(code: str, message: str) -> Callable[[bytes], bytes]:
    """Return what AWS answers with an error, in the protocol of the request."""
    identified = "x-amzn-requestid: 1"

    def respond(request: bytes) -> bytes:
        if b"x-amz-json" in request.lower():
            body = f'{{"__type": "{code}", "message": "{message}"}}'.encode()
            return answer("400 Bad Request", "application/x-amz-json-1.1", body, identified)
        error = f"<Error><Code>{code}</Code><Message>{message}</Message></Error>"
        # S3 has no envelope, and no body for what has none.
        envelope = error if b" /bucket" in request else f"<ErrorResponse>{error}</ErrorResponse>"
        return answer(
            "400 Bad Request", "text/xml", envelope.encode(), identified, f"x-amzn-errortype: {code}"
        )

    return respond


ANSWERS: dict[str, Callable[[bytes], bytes]] = {
    "a login page": lambda _request: answer("200 OK", "text/html", PAGE),
    "a proxy that is down": lambda _request: answer("503 Service Unavailable", "text/html", PAGE),
    "a proxy that asks who": lambda _request: answer("407 Proxy Authentication Required", "text/html", PAGE),
    "a filter": lambda _request: answer("403 Forbidden", "text/html; charset=utf-8", PAGE),
    "garbage": lambda _request: answer("200 OK", "application/octet-stream", bytes(range(256))),
    "nothing": lambda _request: answer("200 OK", "text/plain", b""),
    "another's JSON": lambda _request: answer("200 OK", "application/json", b"[1, {}]"),
    "another's XML": lambda _request: answer("200 OK", "text/xml", b"<a><b/></a>"),
    "another protocol": lambda _request: b"SSH-2.0-OpenSSH_9.9\r\n",
    "half an answer": lambda _request: b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n<html>",
    "no answer": lambda _request: b"",
    "expired": refusal("ExpiredTokenException", "The security token included in the request is expired"),
    "unknown key": refusal("UnrecognizedClientException", "The security token is invalid."),
    "clock": refusal(
        "InvalidSignatureException", "Signature not yet current: 20260101T000000Z is still later"
    ),
    "denied": refusal("AccessDeniedException", "User: arn:aws:iam::1:user/a is not authorized"),
    "throttled": refusal("ThrottlingException", "Rate exceeded"),
}


class Somebody(socketserver.ThreadingTCPServer):
    """Answers every request on 127.0.0.1 in one way."""

    allow_reuse_address = True
    daemon_threads = True
    respond: Callable[[bytes], bytes] = staticmethod(lambda _request: b"")

    @property
    def url(self) -> str:
        """Return what AWS_ENDPOINT_URL is to be."""
        return url_of(self)


class _Connection(socketserver.BaseRequestHandler):
    def handle(self) -> None:
        request = b""
        # What begins with this byte begins TLS, which is not spoken here.
        while (
            b"\r\n\r\n" not in request
            and not request.startswith(b"\x16")
            and (piece := self.request.recv(65536))
        ):
            request += piece
        head, _, body = request.partition(b"\r\n\r\n")
        length = re.search(rb"(?i)content-length: (\d+)", head)
        while length and len(body) < int(length[1]) and (piece := self.request.recv(65536)):
            body += piece
        self.request.sendall(self.server.respond(request))  # type: ignore[attr-defined]


@pytest.fixture(scope="module")
def somebody() -> Iterator[Somebody]:
    """Run a server that is not AWS."""
    with serving(Somebody(("127.0.0.1", 0), _Connection)) as server:
        yield server


@pytest.fixture
def somewhere(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Return what makes every command talk to a URL, once and not patiently."""

    def go(url: str) -> None:
        monkeypatch.setenv("AWS_ENDPOINT_URL", url)

    try_once(monkeypatch)
    return go


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Return a model and an archive by the words that stand for them."""
    sys.path.insert(0, str(Path(__file__).parents[3] / "examples"))
    from tiny_gguf import write_tiny_gguf

    folder = tmp_path_factory.mktemp("files")
    write_tiny_gguf(folder / "a.gguf")
    assert cli.main(["pack", str(folder / "a.gguf"), "-o", str(folder / "model.tar.gz")]) == 0
    return {"MODEL": str(folder / "a.gguf"), "ARCHIVE": str(folder / "model.tar.gz")}


Fails = Callable[..., str]


@pytest.fixture
def fails(files: dict[str, str], capsys: pytest.CaptureFixture[str]) -> Fails:
    """Return what runs a command in this process that is to fail in one message, and returns the message."""

    def run(*arguments: str, status: int = cli.FAILED) -> str:
        capsys.readouterr()
        settings.say({})
        ended = cli.main([files.get(one, one) for one in arguments])
        printed = capsys.readouterr()

        # Its checks tell what is wrong, one by one.
        checked = arguments[0] == "doctor"
        told = printed.out + printed.err if checked else printed.err
        assert ended == status, told
        assert "Traceback" not in printed.out + printed.err
        assert "\x1b" not in told
        assert checked or told.count("ERROR ") == 1, told
        assert checked or told.count("wanted") == 1, told
        return told

    return run


TOLERATED = {("status", "denied"), ("sweep", "denied")}
"""What is no failure: these tell what they were not allowed to see."""
SLOW = {"pack": ("a login page", "expired", "no answer")}
"""Of a command that has much to do before it meets the network, what it is to meet."""


@pytest.mark.parametrize(
    ("command", "accident"),
    [
        pytest.param(command, accident, id=f"{command}: {accident}")
        for command in COMMANDS
        for accident in SLOW.get(command, ANSWERS)
        if (command, accident) not in TOLERATED
    ],
)
def test_whatever_answers_is_told_in_one_message(
    command: str, accident: str, somebody: Somebody, somewhere: Callable[[str], None], fails: Fails
) -> None:
    """By every command that talks to AWS: what was seen, what was wanted and what to do."""
    somewhere(somebody.url)
    somebody.respond = ANSWERS[accident]

    told = fails(*COMMANDS[command])

    assert "mistake of Sealift's own" not in told
    assert "<html" not in told or "what answered is not AWS" in told


@pytest.mark.parametrize(
    ("variables", "told"),
    [
        pytest.param(
            {"AWS_ENDPOINT_URL": "127.0.0.1:1"}, "AWS_ENDPOINT_URL: Invalid endpoint", id="no scheme"
        ),
        pytest.param({"AWS_ENDPOINT_URL": "http://[::1"}, "AWS_ENDPOINT_URL: Invalid", id="no URL"),
        pytest.param({"AWS_ENDPOINT_URL": "http://127.0.0.1:9"}, "Could not connect", id="refused"),
        pytest.param({"AWS_ENDPOINT_URL": "https://PLAIN"}, "AWS_CA_BUNDLE", id="no TLS there"),
        pytest.param(
            {"AWS_ENDPOINT_URL": "http://aws.invalid", "HTTP_PROXY": "http://127.0.0.1:9"},
            "no answer from the proxy",
            id="no proxy",
        ),
        pytest.param(
            {"AWS_ENDPOINT_URL": "http://aws.invalid", "HTTP_PROXY": "http://[::1"},
            "no answer",
            id="proxy's URL",
        ),
        pytest.param(
            {"AWS_ENDPOINT_URL": "https://PLAIN", "AWS_CA_BUNDLE": "/nonexistent.pem"},
            "No such file",
            id="bundle",
        ),
        pytest.param(
            {"AWS_ACCESS_KEY_ID": "", "AWS_SECRET_ACCESS_KEY": ""}, "Unable to locate credentials", id="none"
        ),
        pytest.param({"AWS_SECRET_ACCESS_KEY": ""}, "Partial credentials", id="half of them"),
        pytest.param({"AWS_PROFILE": "nobody"}, "profile (nobody) could not be found", id="profile"),
        pytest.param({"AWS_DEFAULT_REGION": "us east 1"}, "'us east 1'", id="region"),
        pytest.param(
            {"AWS_CONFIG_FILE": "CONFIG"}, "AWS's configuration: Unable to parse config file", id="config"
        ),
        pytest.param(
            {
                "AWS_PROFILE": "sso",
                "AWS_CONFIG_FILE": "SSO",
                "AWS_ACCESS_KEY_ID": "",
                "AWS_SECRET_ACCESS_KEY": "",
            },
            "log in again",
            id="not logged in",
        ),
        pytest.param(
            {"SEALIFT_COLOUR": "mauve"}, "environment SEALIFT_COLOUR: color = 'mauve'", id="setting"
        ),
    ],
)
@pytest.mark.parametrize("command", ["status", "check"])
def test_what_is_wrong_with_this_machine_is_told(
    *,
    command: str,
    variables: dict[str, str],
    told: str,
    tmp_path: Path,
    somebody: Somebody,
    somewhere: Callable[[str], None],
    monkeypatch: pytest.MonkeyPatch,
    fails: Fails,
) -> None:
    """By the variable or file that has to be corrected."""
    somewhere(somebody.url)
    (tmp_path / "CONFIG").write_text("region = [\nnot a section")
    (tmp_path / "SSO").write_text(
        "[profile sso]\nsso_start_url = https://x.invalid\nsso_region = us-east-1\n"
        "sso_account_id = 123456789012\nsso_role_name = a\n"
    )
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setattr(boto3, "DEFAULT_SESSION", None)
    for name, value in variables.items():
        plain = somebody.url.removeprefix("http://")
        said = str(tmp_path / value) if value in {"CONFIG", "SSO"} else value.replace("PLAIN", plain)
        monkeypatch.setenv(name, said) if said else monkeypatch.delenv(name)

    assert told in fails(*COMMANDS[command])


GOOD = b'{"max_concurrency": 3}'


@pytest.mark.parametrize(
    ("content", "told"),
    [
        pytest.param(b"", "FILE: an empty file", id="empty"),
        pytest.param(b'{"memory_mb": 3072,\n}', "FILE: no JSON: line 2, column 1", id="a comma too many"),
        pytest.param(b"[]", "FILE: a JSON list", id="a list"),
        pytest.param(b"3", "FILE: a JSON number", id="a number"),
        pytest.param(b'{"a": "\xe9"}', "FILE: no JSON: 'utf-8' codec", id="another encoding"),
        pytest.param(b'{"a": NaN}', "FILE: no JSON: NaN is no number", id="no number"),
        pytest.param(b'{"a":' * 9999, "FILE: no JSON", id="much too deep"),
        pytest.param(b" " * 300_000, "FILE: more than", id="huge"),
        pytest.param(b'\xef\xbb\xbf{"memory": 3}', "FILE: unknown field 'memory'", id="a mark before it"),
        pytest.param('{"memory": 3}'.encode("utf-16"), "FILE: unknown field 'memory'", id="UTF-16"),
        pytest.param(None, "FILE: No such file or directory", id="not there"),
        pytest.param(Path, "FILE: Is a directory", id="a folder"),
    ],
)
@pytest.mark.parametrize(
    "command",
    [
        pytest.param(["push", "ARCHIVE", "--service", "a", "--input", "FILE"], id="push"),
        pytest.param(
            ["start", "--archive", "s3://bucket/models/a/model.tar.gz", "--input", "FILE"], id="start"
        ),
        pytest.param(["local", "run", "ARCHIVE", "--input", "FILE"], id="local run"),
    ],
)
def test_a_file_of_settings_is_told_of_by_its_name(
    *,
    command: list[str],
    content: Any,
    told: str,
    tmp_path: Path,
    somewhere: Callable[[str], None],
    fails: Fails,
) -> None:
    """Before anybody is asked anything: its own name, and where in it the mistake is."""
    somewhere("http://127.0.0.1:9")
    path = tmp_path / "my.json"
    if content is Path:
        path.mkdir()
    elif content is not None:
        path.write_bytes(content)

    message = fails(*(str(path) if one == "FILE" else one for one in command))

    assert told.replace("FILE", str(path)) in message


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        pytest.param(
            ["pack", "MODEL", "-o", "HERE/no/x.tar.gz"], "HERE/no/x.tar.gz: No such file", id="no folder"
        ),
        pytest.param(
            ["pack", "MODEL", "-o", "HERE/file/x.tar.gz"], "x.tar.gz: Not a directory", id="below a file"
        ),
        pytest.param(
            ["pack", "MODEL", "-o", "HERE/model.tar.gz"],
            "HERE/model.tar.gz: Is a directory",
            id="onto a folder",
        ),
        pytest.param(["pack", "HERE"], "a folder with no GGUF", id="a folder for a model"),
        pytest.param(["pack", "HERE/file"], "HERE/file", id="a text for a model"),
        pytest.param(["pack", "no/model.gguf", "-o", "s3://b/k"], "no/model.gguf", id="no model to upload"),
        pytest.param(["check", "HERE"], "a folder with no GGUF", id="a folder for an archive"),
        pytest.param(["check", "HERE/pipe"], "not a regular file", id="a pipe"),
        pytest.param(["check", "HERE/loop"], "loop", id="a link to itself"),
        pytest.param(["check", "x" * 300], "File name too long", id="too long a name"),
        pytest.param(["plan", "HERE/none"], "no such file", id="nothing to plan"),
        pytest.param(["report", "a", "--prices", "HERE/file"], "HERE/file: no JSON: line 1", id="prices"),
        pytest.param(["local", "run", "HERE"], "HERE", id="nothing to run"),
        pytest.param(["local", "up", "--port", "TAKEN"], "Address already in use", id="port in use"),
        pytest.param(["check", "s3://No Bucket/key"], "No Bucket", id="no bucket's name"),
    ],
)
def test_what_a_person_names_wrong_is_told_by_that_name(
    arguments: list[str], told: str, tmp_path: Path, somewhere: Callable[[str], None], fails: Fails
) -> None:
    """As it was typed."""
    somewhere("http://127.0.0.1:9")
    (tmp_path / "file").write_text("text")
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    (tmp_path / "model.tar.gz").mkdir()
    os.mkfifo(tmp_path / "pipe")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        words = {"TAKEN": str(taken.getsockname()[1])}
        message = fails(*(words.get(one, one.replace("HERE", str(tmp_path))) for one in arguments))

    assert told.replace("HERE", str(tmp_path)) in message


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        pytest.param(["report", "arn:a"], "arn:a", id="no ARN"),
        pytest.param(["local", "up", "--port", "99999"], "--port: 99999 is not in", id="no port"),
        # A system takes it for 34463.
        pytest.param(["proxy", "--port", "99999"], "--port: 99999 is not in", id="no port of a proxy"),
        pytest.param(["proxy", "--port", "-1"], "--port: -1 is not in", id="a port below all"),
        pytest.param(["token", "--hours", "nan"], "--hours: 'nan' is not a finite", id="hours"),
        pytest.param(
            ["ask", "a", "b", "--temperature", "inf"], "--temperature: 'inf' is not", id="temperature"
        ),
        pytest.param(["sweep", "--grace", "nan"], "--grace", id="grace"),
        pytest.param(["history", "--limit", "0"], "--limit", id="limit"),
        pytest.param(["push", "ARCHIVE", "--service", "A_B"], "'A_B'", id="service"),
        pytest.param(["check", "s3://bucket"], "s3://bucket/key", id="no key"),
        pytest.param(["start"], "--archive", id="nothing to start"),
        pytest.param(["deploy", "--dry-run", "--parameter", "Sweep"], "--parameter: 'Sweep'", id="parameter"),
        pytest.param(["plan", "HERE/a.gguf", "--memory-mb", "1000"], "--memory is 1000", id="memory"),
        pytest.param(["local", "run", "ARCHIVE", "--fault", "x"], "fault: 'x'", id="fault"),
        pytest.param(
            ["local", "run", "ARCHIVE", "--no-capacity", "ml.c5.larg"],
            "did you mean",
            id="no such type to lack",
        ),
        pytest.param(
            ["local", "run", "ARCHIVE", "--no-quota", "c5.large"], "--no-quota c5.large", id="no such quota"
        ),
        pytest.param(["local", "run", "ARCHIVE", "--time-scale", "11"], "--time-scale", id="time scale"),
        pytest.param(["check", "ARCHIVE", "MODEL"], "no shard", id="two archives"),
        pytest.param(["status", "--region", ""], "--region: region = ''", id="region"),
        pytest.param(["chek"], "did you mean 'check'?", id="command"),
        pytest.param(["check", "--jsn", "a"], "did you mean '--json'?", id="option"),
        pytest.param(["--jsn", "check", "a"], "did you mean '--json'?", id="option before"),
        pytest.param(["local", "rum"], "did you mean 'run'?", id="command of local"),
        pytest.param(["plan", "a", "--hosting", "severless"], "did you mean 'serverless'?", id="choice"),
        pytest.param(["pack", "a", "--compress", "10"], "--compress: 10 is not in", id="range"),
        pytest.param(["history", "--limit", "x"], "--limit: 'x' is not", id="number"),
        pytest.param(["push", "a"], "no --service; wanted the service", id="missing option"),
        pytest.param(["check"], "no ARCHIVE...; wanted a file", id="missing argument"),
        pytest.param(["status", "a", "b"], "extra argument (b); wanted `sealift status", id="too many"),
        pytest.param(["sweep", "--delete=3"], "sealift sweep: option '--delete' does not take", id="value"),
        pytest.param(["--json"], "missing command", id="no command"),
    ],
)
def test_a_wrong_command_line_has_a_status_of_its_own(
    arguments: list[str], told: str, llama: Path, somewhere: Callable[[str], None], fails: Fails
) -> None:
    """Whoever finds it, the parser or the command; with the nearest name that is known."""
    somewhere("http://127.0.0.1:9")

    message = fails(*(one.replace("HERE", str(llama.parent)) for one in arguments), status=cli.USAGE)

    assert told in message


@pytest.fixture(scope="module")
def llama(files: dict[str, str]) -> Path:
    """Return a model that can be planned."""
    return Path(files["MODEL"])


@pytest.mark.parametrize(
    ("content", "told"),
    [
        pytest.param(b"stack: x", "sealift.toml: Expected '='", id="no TOML"),
        pytest.param(b'stack = "\xe9"', "sealift.toml: 'utf-8' codec", id="another encoding"),
        pytest.param(b"stack = " + b"[" * 9999, "sealift.toml: ", id="much too deep"),
        pytest.param(b"stack = 3", "sealift.toml: stack = 3", id="no text"),
        pytest.param(b'stak = "x"', "did you mean 'stack'?", id="name"),
    ],
)
def test_a_broken_sealift_toml_is_told_of(
    content: bytes, told: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fails: Fails
) -> None:
    """Whatever the command is."""
    (tmp_path / "sealift.toml").write_bytes(content)
    monkeypatch.chdir(tmp_path)

    assert told in fails("settings")


# ------------------------------------------------------------------ in a process of its own


def sealift(*arguments: str, before: str = "", **how: Any) -> subprocess.Popen[str]:
    """Start a command, after a line of Python or of nothing."""
    script = f"import runpy, sys; sys.argv[0] = 'sealift'; {before}\nrunpy.run_module('sealift', run_name='__main__')"
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "stdin": subprocess.DEVNULL, **how}
    return subprocess.Popen([sys.executable, "-c", script, *arguments], text=True, **pipes)


def ended(process: subprocess.Popen[str], status: int) -> str:
    """Return what a process has written to stderr; its status is as documented."""
    _, told = process.communicate(timeout=60)
    assert process.returncode == status, told
    assert status in cli.STATUSES
    assert "Traceback" not in told
    assert "Exception ignored" not in told
    return told


@pytest.mark.parametrize("extra", ["moto", "psutil", "werkzeug", "samtranslator"])
def test_without_the_extra_it_says_what_installs_it(extra: str) -> None:
    """`sealift local` from a wheel without it."""
    before = f"import builtins; sys.modules[{extra!r}] = None"

    told = ended(sealift("local", "up", "--port", "0", before=before), cli.FAILED)

    assert "pip install 'sealift[local]'" in told


def test_whoever_reads_no_more_is_told_nothing() -> None:
    """`sealift settings | head -0`."""
    read, write = os.pipe()
    os.close(read)

    assert ended(sealift("settings", stdout=write), cli.UNREAD) == ""


def test_a_full_disk_is_told_of() -> None:
    """Even where it is the output that does not fit."""
    with Path("/dev/full").open("w") as full:
        told = ended(sealift("settings", "--json", stdout=full), cli.FAILED)

    assert "No space left on device; wanted space on the disk" in told


@pytest.mark.parametrize(
    ("before", "arguments", "status"),
    [
        pytest.param("import os; os.close(1)", ["settings"], cli.OK, id="stdout is closed"),
        pytest.param("sys.stdout = None", ["settings"], cli.OK, id="there is no stdout"),
        pytest.param("sys.stdin = None", ["deploy"], cli.FAILED, id="there is no stdin"),
        pytest.param("sys.stderr = None", ["check", "none"], cli.FAILED, id="there is no stderr"),
        pytest.param("import os; os.close(2)", ["check", "none"], cli.FAILED, id="stderr is closed"),
    ],
)
def test_streams_that_are_not_there_are_no_mistake(before: str, arguments: list[str], status: int) -> None:
    """As under cron, or with `>&-`."""
    closed = before.endswith("close(1)")
    ended(sealift(*arguments, before=before), cli.FAILED if closed else status)


def test_a_terminal_without_the_characters_gets_others(tmp_path: Path) -> None:
    """LC_ALL=C without UTF-8: what cannot be written is spelt out."""
    name = str(tmp_path / "modèle-\udcff.gguf")
    variables = {**os.environ, "PYTHONIOENCODING": "ascii:strict", "PYTHONUTF8": "0"}

    told = ended(sealift("check", os.fsencode(name), env=variables), cli.FAILED)  # type: ignore[arg-type]

    assert "mod\\xe8le" in told


def test_a_folder_that_was_deleted_is_no_mistake(tmp_path: Path) -> None:
    """Settings are looked for in it and above."""
    gone = tmp_path / "gone"
    before = f"import os; os.mkdir({str(gone)!r}); os.chdir({str(gone)!r}); os.rmdir({str(gone)!r})"

    assert "none.tar.gz" in ended(sealift("check", "none.tar.gz", before=before), cli.FAILED)


def test_too_many_open_files_is_told_of(files: dict[str, str]) -> None:
    """With the limit to raise."""
    before = (
        "import resource, pipeline.cli.commands.archives as one; known = one.source_of; "
        "one.source_of = lambda name: resource.setrlimit(resource.RLIMIT_NOFILE, (3, 3)) or known(name)"
    )

    # What measures the tests would open a file of its own at the end, and tell that it cannot.
    env = {name: value for name, value in os.environ.items() if not name.startswith("COVERAGE_")}

    assert "ulimit -n" in ended(sealift("check", files["ARCHIVE"], env=env, before=before), cli.FAILED)


def test_ctrl_c_ends_in_one_word(somebody: Somebody) -> None:
    """While a command waits for an answer."""
    asked = threading.Event()
    answered = threading.Event()

    def keep(_request: bytes) -> bytes:
        asked.set()
        answered.wait(60)
        return b""

    somebody.respond = keep
    process = sealift("status", env={**os.environ, "AWS_ENDPOINT_URL": somebody.url})
    assert asked.wait(60)
    process.send_signal(signal.SIGINT)

    assert ended(process, cli.INTERRUPTED) == "ERROR  interrupted\n"
    answered.set()


@pytest.mark.parametrize(
    ("arguments", "variables", "shown"),
    [
        pytest.param(["settings"], {}, False, id="not asked for"),
        pytest.param(["--debug", "settings"], {}, True, id="before the command"),
        pytest.param(["settings", "--debug"], {}, True, id="behind the command"),
        pytest.param(["settings"], {"SEALIFT_DEBUG": "1"}, True, id="by the environment"),
    ],
)
def test_a_mistake_of_ours_has_its_own_status_and_says_where_it_is_shown_whole(
    arguments: list[str], variables: dict[str, str], *, shown: bool
) -> None:
    """One line and what to report; the traceback only for who asks for it."""
    before = "import pipeline.cli.commands.settings as one; one._value = lambda _setting: {}['wrong']"
    process = sealift(*arguments, before=before, env={**os.environ, **variables})
    _, told = process.communicate(timeout=60)

    assert process.returncode == cli.BUG
    assert "ERROR  a mistake of Sealift's own: KeyError: 'wrong' (settings.py:" in told
    assert "sealift --debug" in told
    assert ("Traceback" in told) is shown
