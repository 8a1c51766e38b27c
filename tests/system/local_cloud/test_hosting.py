"""Hosting with real processes and sockets, as boto3 sees it: in processes, and in true containers where they work."""

from __future__ import annotations

import contextlib
import io
import json
import os
import re
import signal
import subprocess
import sys
import tarfile
import tempfile
import textwrap
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

import boto3
import psutil
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError
from werkzeug.serving import make_server

from local_cloud.hosting import Hosting, HostingSettings, ObjectMissing, Quotas
from tests import ways
from tests.ways import Way

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from mypy_boto3_sagemaker import SageMakerClient
    from mypy_boto3_sagemaker_runtime import SageMakerRuntimeClient

ROOT = Path(__file__).resolve().parents[3]
MIB = 1024 * 1024

SERVER = """
import json, os, signal, subprocess, sys, time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

START = os.environ.get("START", "")
KEPT = []

class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        if START == "silent":
            time.sleep(60)
        self.answer(200 if self.path == "/ping" else 404, b"")

    def do_POST(self):
        request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.answer(*getattr(self, request.pop("do"))(**request))

    def answer(self, status, body):
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def look(self):
        folder = os.environ["SM_MODEL_DIR"]
        files = sorted(os.path.relpath(os.path.join(f, n), folder) for f, _, ns in os.walk(folder) for n in ns)
        return 200, json.dumps({
            "environment": dict(os.environ), "files": files, "pid": os.getpid(), "type": self.headers["Content-Type"],
        }).encode()

    def fail(self, status):
        return status, b"as you wish"

    def sleep(self, seconds):
        time.sleep(seconds)
        return 200, b"{}"

    def drip(self, seconds):
        self.send_response(200)
        self.send_header("Content-Length", "1000")
        self.end_headers()
        for _ in range(int(seconds * 10)):
            self.wfile.write(b".")
            self.wfile.flush()
            time.sleep(0.1)

    def halting(self, seconds):
        time.sleep(seconds / 2)
        self.send_response(200)
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.flush()
        time.sleep(seconds / 2)
        self.wfile.write(b"{}")
        self.wfile.flush()
        self.close_connection = True
        raise SystemExit

    def large(self, size):
        return 200, b"x" * size

    def cut(self):
        self.send_response(200)
        self.send_header("Content-Length", "1000")
        self.end_headers()
        self.wfile.write(b"not all")
        self.wfile.flush()
        self.connection.shutdown(2)
        self.close_connection = True
        raise SystemExit

    def eat(self, size):
        KEPT.append(b"x" * size)
        time.sleep(60)
        return 200, b"{}"

    def spawn(self):
        child = subprocess.Popen([sys.executable, "-S", "-c", "import time; time.sleep(600)"])
        return 200, json.dumps({"child": child.pid}).encode()

    def leave(self):
        os._exit(3)

    def log_message(self, *_):
        pass

def goodbye(*_):
    print("goodbye", flush=True)
    os._exit(0)

signal.signal(signal.SIGTERM, goodbye)
print("starting", START or "well")
sys.stderr.write("a warning\\n")
if START == "exit":
    sys.exit("no model here")
if START == "eat":
    KEPT.append(b"x" * (1300 << 20))
    time.sleep(60)
address = (os.environ["SEALIFT_BIND_HOST"], int(os.environ["SAGEMAKER_BIND_TO_PORT"]))
ThreadingHTTPServer(address, Handler).serve_forever()
"""


def archive() -> bytes:
    """Return a small model archive."""
    sink = io.BytesIO()
    with tarfile.open(fileobj=sink, mode="w:gz") as tar:
        for name, content in (("model.gguf", b"GGUF"), ("code/inference.py", b"")):
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return sink.getvalue()


def eventually(what: Callable[[], bool], seconds: float = 15.0) -> bool:
    """Return whether something became true; slow machines get their time."""
    deadline = time.monotonic() + seconds
    while not what():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


def alive(pid: int) -> bool:
    """Return whether a process exists and is not a zombie."""
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def fields(error: ClientError) -> dict[str, Any]:
    """Return the whole response: the stubs know only what every error has."""
    return dict(error.response)


class Cloud:
    """Hosting behind HTTP, a bucket in a dictionary, and clients of both planes."""

    def __init__(self, folder: Path, way: Way, **settings: Any) -> None:
        self.objects = {"models/good.tar.gz": archive(), "models/bad.tar.gz": b"PK\x03\x04 is a zip"}
        self.lines: list[tuple[str, str, int, str]] = []
        self.workspace = folder / "workspace"
        self.way = way
        program = folder / "server.py"
        program.write_text(SERVER)
        self.hosting = Hosting(
            region="us-east-1",
            account_id="123456789012",
            fetch=self.fetch,
            log=self.log,
            quotas=Quotas(total_concurrency=1000, endpoints=100),
            settings=HostingSettings(
                **{
                    "command": (sys.executable, "-S", str(program)),
                    "workspace": self.workspace,
                    "roots": way.roots,
                    "creating_s": 0.1,
                    "rescaling_s": 0.1,
                    "deleting_s": 0.1,
                    "startup_deadline_s": 30.0,
                    "ping_interval_s": 0.05,
                    "memory_interval_s": 0.02,
                    "invocation_timeout_s": 60.0,
                    "stop_grace_s": 5.0,
                    **settings,
                }
            ),
            pull=way.pull,
            runtime=way.runtime,
        )
        self.server = make_server("127.0.0.1", 0, self.hosting.wsgi, threaded=True)
        self.thread = threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.05})
        self.thread.start()
        session = boto3.Session("key", "secret", region_name="us-east-1")
        url = f"http://127.0.0.1:{self.server.port}"
        config = Config(retries={"total_max_attempts": 1}, read_timeout=90)
        self.control: SageMakerClient = session.client("sagemaker", endpoint_url=url, config=config)
        self.runtime: SageMakerRuntimeClient = session.client(
            "sagemaker-runtime", endpoint_url=url, config=config
        )

    def fetch(self, _role: str, bucket: str, key: str, destination: Path) -> None:
        """Copy an object from the dictionary."""
        try:
            destination.write_bytes(self.objects[f"{bucket}/{key}"])
        except KeyError:
            raise ObjectMissing(key) from None

    def log(self, _role: str, group: str, stream: str, timestamp: int, message: str) -> None:
        """Keep a log line."""
        self.lines.append((group, stream, timestamp, message))

    def folders(self) -> list[Path]:
        """Return the folders of all containers."""
        return [one.parent for one in self.workspace.glob("*/*/model")]

    def stream(self, name: str) -> str:
        """Return the log stream of an endpoint's container, which is named after its folder."""
        assert eventually(lambda: any(f"/{name}" in line[0] for line in self.lines))
        return next(line[1] for line in self.lines if f"/{name}" in line[0])

    def close(self) -> None:
        """Close hosting, then its server."""
        self.hosting.close()
        self.server.shutdown()
        self.thread.join()
        self.server.server_close()
        self.control.close()
        self.runtime.close()

    def create(
        self,
        name: str,
        *,
        key: str = "good.tar.gz",
        start: str = "",
        memory: int = 1024,
        concurrency: int = 5,
    ) -> None:
        """Create model, configuration and endpoint, all of one name."""
        self.control.create_model(
            ModelName=name,
            ExecutionRoleArn="arn:aws:iam::123456789012:role/endpoint",
            PrimaryContainer={
                "Image": "image:1",
                "ModelDataUrl": f"s3://models/{key}",
                "Environment": {"START": start},
            },
        )
        self.control.create_endpoint_config(
            EndpointConfigName=name,
            ProductionVariants=[
                {
                    "VariantName": "AllTraffic",
                    "ModelName": name,
                    "ServerlessConfig": {"MemorySizeInMB": memory, "MaxConcurrency": concurrency},
                }
            ],
        )
        self.control.create_endpoint(EndpointName=name, EndpointConfigName=name)

    def settle(self, name: str) -> dict[str, Any]:
        """Return an endpoint's description once it is neither Creating nor Updating."""
        assert eventually(lambda: self.describe(name)["EndpointStatus"] not in {"Creating", "Updating"}, 40)
        return self.describe(name)

    def describe(self, name: str) -> dict[str, Any]:
        """Return an endpoint's description."""
        return dict(self.control.describe_endpoint(EndpointName=name))

    def serve(self, name: str, **options: Any) -> int:
        """Bring an endpoint into service; return the process id of its server."""
        self.create(name, **options)
        assert self.settle(name)["EndpointStatus"] == "InService"
        (pid,) = self.hosting.pids(name)
        return pid

    def invoke(self, name: str, do: str, **request: Any) -> dict[str, Any]:
        """Tell the server behind an endpoint to do something."""
        response = self.runtime.invoke_endpoint(
            EndpointName=name, ContentType="application/json", Body=json.dumps({"do": do, **request})
        )
        answer: dict[str, Any] = json.loads(response["Body"].read())
        return answer

    def fails(self, name: str, do: str, **request: Any) -> ClientError:
        """Invoke, and return the error."""
        with pytest.raises(ClientError) as caught:
            self.invoke(name, do, **request)
        return caught.value

    def answers(self, name: str) -> bool:
        """Return whether an endpoint answers again after a cold start."""
        try:
            self.invoke(name, "look")
        except self.runtime.exceptions.ModelNotReadyException:
            return False
        return True


@pytest.fixture(scope="module", params=ways.MODES)
def way(request: pytest.FixtureRequest) -> Iterator[Way]:
    """Yield each way that there is here, with an image of the server."""
    environment = {
        "HOME": "/tmp",  # noqa: S108 what the platform promises
        "PYTHONPATH": "/opt/ml/model/code",
        "PYTHONUNBUFFERED": "1",
        "SAGEMAKER_BIND_TO_PORT": "8080",
        "SEALIFT_BIND_HOST": "127.0.0.1",
        "SM_MODEL_DIR": "/opt/ml/model",
    }
    with tempfile.TemporaryDirectory() as folder:
        yield ways.way(request.param, Path(folder), SERVER, environment)


@pytest.fixture(scope="module")
def cloud(way: Way, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cloud]:
    """Yield a cloud that the tests of this file share; each uses its own endpoint."""
    cloud = Cloud(tmp_path_factory.mktemp("cloud"), way)
    yield cloud
    cloud.close()


@pytest.fixture
def own_cloud(way: Way, tmp_path: Path) -> Iterator[Callable[..., Cloud]]:
    """Yield a maker of clouds with settings of their own."""
    with contextlib.ExitStack() as stack:

        def make(**settings: Any) -> Cloud:
            cloud = Cloud(tmp_path, way, **settings)
            stack.callback(cloud.close)
            return cloud

        yield make


def test_an_endpoint_comes_up_and_answers(cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> None:
    """The archive lies extracted in the model folder, the environment is the container's own, logs arrive."""
    monkeypatch.setenv("DEVELOPERS_SECRET", "not for the container")
    cloud.create("happy")
    first = cloud.describe("happy")["EndpointStatus"]
    settled = cloud.settle("happy")

    seen = cloud.invoke("happy", "look")
    environment = seen["environment"]

    assert (first, settled["EndpointStatus"]) == ("Creating", "InService")
    assert seen["files"] == ["code/inference.py", "model.gguf"]
    assert seen["type"] == "application/json"
    assert [seen["pid"]] == ([1] if cloud.way.in_container else cloud.hosting.pids("happy"))
    assert environment["PYTHONPATH"] == f"{environment['SM_MODEL_DIR']}/code"
    assert environment["HOME"] == "/tmp"  # noqa: S108 what the platform promises
    assert "DEVELOPERS_SECRET" not in environment
    assert eventually(lambda: len([line for line in cloud.lines if "/happy" in line[0]]) >= 2)
    group, stream, timestamp, _ = next(line for line in cloud.lines if "/happy" in line[0])
    assert group == "/aws/sagemaker/Endpoints/happy"
    assert re.fullmatch(r"AllTraffic/[0-9a-f]+-[0-9a-f]+", stream)
    assert abs(timestamp / 1000 - time.time()) < 60
    assert {line[3] for line in cloud.lines if "/happy" in line[0]} == {"starting well", "a warning"}


def test_the_response_names_variant_and_type(cloud: Cloud) -> None:
    """InvokeEndpoint's modelled response fields are filled from the headers."""
    cloud.serve("named")

    response = cloud.runtime.invoke_endpoint(EndpointName="named", Body=b'{"do": "look"}')

    assert (response["InvokedProductionVariant"], response["ContentType"]) == (
        "AllTraffic",
        "application/json",
    )


def test_errors_arrive_as_the_sdks_own_classes(cloud: Cloud) -> None:
    """Modelled errors have their class, the others are a ClientError with AWS' code."""
    cloud.serve("classes", concurrency=1)

    with pytest.raises(cloud.control.exceptions.ResourceLimitExceeded, match="is 3072 MBs"):
        cloud.create("too-much", memory=4096)
    with pytest.raises(ClientError, match="already existing") as duplicate:
        cloud.control.create_endpoint(EndpointName="classes", EndpointConfigName="classes")
    with pytest.raises(cloud.runtime.exceptions.ModelError) as failed:
        cloud.invoke("classes", "fail", status=418)
    with pytest.raises(cloud.runtime.exceptions.ValidationError, match="Endpoint nobody of account"):
        cloud.invoke("nobody", "look")

    assert type(duplicate.value) is ClientError
    assert duplicate.value.response["Error"]["Code"] == "ValidationException"
    assert fields(failed.value)["OriginalStatusCode"] == 418
    assert fields(failed.value)["OriginalMessage"] == "as you wish"
    assert fields(failed.value)["LogStreamArn"].endswith("/aws/sagemaker/Endpoints/classes")
    assert failed.value.response["ResponseMetadata"]["HTTPStatusCode"] == 424


def test_the_concurrency_is_a_limit(cloud: Cloud) -> None:
    """While one call runs, the next one is throttled, without a message, as the real runtime does."""
    cloud.serve("narrow", concurrency=1)
    _, worker = cloud.hosting._fleet.serving("narrow")
    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(cloud.invoke, "narrow", "sleep", seconds=2)
        assert eventually(worker._busy)

        error = cloud.fails("narrow", "look")

        assert running.result() == {}
    assert error.response["Error"] == {"Code": "ThrottlingException", "Message": None}
    assert cloud.invoke("narrow", "look")


def test_an_oversize_payload_is_refused(cloud: Cloud) -> None:
    """Neither a request nor a response may exceed 4 MiB, and exactly 4 MiB passes."""
    cloud.serve("heavy")

    with pytest.raises(cloud.runtime.exceptions.ValidationError, match="has oversize body"):
        cloud.runtime.invoke_endpoint(EndpointName="heavy", Body=bytes(6 * MIB))
    error = cloud.fails("heavy", "large", size=4 * MIB + 1)

    assert "The response is larger than 4194304 bytes" in str(error)
    assert len(cloud.runtime.invoke_endpoint(
        EndpointName="heavy", Body=json.dumps({"do": "large", "size": 4 * MIB})
    )["Body"].read()) == 4 * MIB  # fmt: skip


@pytest.mark.parametrize(("kind", "seconds"), [("sleep", 5), ("drip", 5), ("halting", 0.9)])
def test_a_slow_answer_is_cut_off(own_cloud: Callable[..., Cloud], kind: str, seconds: float) -> None:
    """The limit is for the whole answer: neither silence nor a trickle nor two short halts outlast it."""
    cloud = own_cloud(invocation_timeout_s=0.6)
    cloud.serve("slow")

    error = cloud.fails("slow", kind, seconds=seconds)

    assert error.response["Error"]["Code"] == "ModelError"
    assert "Your invocation timed out while waiting for a response from container primary" in str(error)


def test_half_an_answer_is_no_answer(cloud: Cloud) -> None:
    """A connection that is cut in mid-body fails the call, and the living container keeps serving."""
    pid = cloud.serve("cut")

    error = cloud.fails("cut", "cut")

    assert "could not get a response from the cut endpoint" in str(error)
    assert cloud.invoke("cut", "look")
    assert cloud.hosting.pids("cut") == [pid]


def test_a_bad_archive_fails_the_endpoint(cloud: Cloud) -> None:
    """A zip that is called .tar.gz passes CreateModel and fails the extraction, in AWS' words."""
    cloud.create("bad", key="bad.tar.gz")

    assert cloud.settle("bad")["FailureReason"] == (
        'Failed to extract model data archive from URL "s3://models/bad.tar.gz". '
        "Please ensure that the object located at the URL is a valid tar.gz archive."
    )


def test_an_object_is_looked_for_at_both_times(cloud: Cloud) -> None:
    """Missing at CreateModel: refused. Gone when it is downloaded: the endpoint fails."""
    with pytest.raises(ClientError, match=re.escape("Could not find model data at s3://models/no.tar.gz.")):
        cloud.create("never", key="no.tar.gz")
    cloud.objects["models/brief.tar.gz"] = archive()
    cloud.serve("brief", key="brief.tar.gz")
    del cloud.objects["models/brief.tar.gz"]
    cloud.control.create_endpoint(EndpointName="brief-2", EndpointConfigName="brief")

    assert (
        'Failed to download model data for container "container_1" from URL: "s3://models/brief'
        in (cloud.settle("brief-2")["FailureReason"])
    )


def test_an_archive_larger_than_the_disk_fails_the_endpoint(own_cloud: Callable[..., Cloud]) -> None:
    """The disk bounds what may be extracted."""
    cloud = own_cloud(disk_bytes=100)
    cloud.create("full")

    assert "The model data archive is too large." in cloud.settle("full")["FailureReason"]


def test_a_server_that_ends_at_start_fails_the_endpoint(cloud: Cloud) -> None:
    """The reason is AWS', and the cause is in the log."""
    cloud.create("quitter", start="exit")

    assert "the model process exited" in cloud.settle("quitter")["FailureReason"]
    assert "no model here" in {line[3] for line in cloud.lines if "/quitter" in line[0]}


def test_a_server_without_health_misses_the_deadline(own_cloud: Callable[..., Cloud]) -> None:
    """A health check that never ends is given up, and the process is ended."""
    cloud = own_cloud(startup_deadline_s=1.5, ping_timeout_s=0.2)
    cloud.create("silent", start="silent")

    assert cloud.settle("silent")["FailureReason"] == (
        "Unable to successfully stand up your model within the allotted 1.5 second timeout"
    )
    assert cloud.folders() == []


def test_a_server_that_needs_too_much_memory_is_killed(cloud: Cloud) -> None:
    """Resident memory over the size fails the start; in a call it fails the call, and a new one starts."""
    cloud.create("greedy", start="eat")
    assert cloud.settle("greedy")["FailureReason"] == "Ping failed due to insufficient memory."

    pid = cloud.serve("swollen")
    error = cloud.fails("swollen", "eat", size=1300 * MIB)

    assert "could not get a response from the swollen endpoint" in str(error)
    assert not alive(pid)
    assert eventually(lambda: cloud.answers("swollen"))


@pytest.mark.parametrize("how", ["killed", "left", "keeper"])
def test_a_dead_server_fails_one_call_and_is_replaced(cloud: Cloud, how: str) -> None:
    """ModelError once, ModelNotReadyException while a new process starts, then answers from that one."""
    name = f"mortal-{how}"
    pid = cloud.serve(name)
    if how == "killed":
        os.kill(pid, signal.SIGKILL)
    elif how == "keeper":
        os.kill(psutil.Process(pid).ppid(), signal.SIGKILL)
        assert eventually(lambda: not alive(pid))

    error = cloud.fails(name, "leave" if how == "left" else "look")
    assert isinstance(error, cloud.runtime.exceptions.ModelError)
    assert fields(error)["OriginalMessage"] == (
        "An error occurred while handling request as the model process exited."
    )
    assert isinstance(cloud.fails(name, "look"), cloud.runtime.exceptions.ModelNotReadyException)
    assert eventually(lambda: cloud.answers(name))

    assert cloud.hosting.pids(name) != [pid]
    assert not alive(pid)
    assert cloud.describe(name)["EndpointStatus"] == "InService"


def test_an_update_replaces_the_process(cloud: Cloud) -> None:
    """The old process serves during Updating; afterwards it is gone, and the new one answers."""
    old = cloud.serve("changing")
    cloud.create("changing-2")
    cloud.settle("changing-2")

    cloud.control.update_endpoint(EndpointName="changing", EndpointConfigName="changing-2")
    during = cloud.hosting.pids("changing")
    assert cloud.invoke("changing", "look")
    settled = cloud.settle("changing")

    assert during == [old]
    assert (settled["EndpointStatus"], settled["EndpointConfigName"]) == ("InService", "changing-2")
    assert cloud.invoke("changing", "look")
    assert cloud.hosting.pids("changing") != [old]
    assert eventually(lambda: not alive(old))


def test_an_update_that_fails_leaves_the_old_process(cloud: Cloud) -> None:
    """Back in service on the old configuration, with the reason."""
    old = cloud.serve("stubborn")
    cloud.create("stubborn-2", start="exit")
    cloud.settle("stubborn-2")

    cloud.control.update_endpoint(EndpointName="stubborn", EndpointConfigName="stubborn-2")
    settled = cloud.settle("stubborn")

    assert (settled["EndpointStatus"], settled["EndpointConfigName"]) == ("InService", "stubborn")
    assert "the model process exited" in settled["FailureReason"]
    assert cloud.invoke("stubborn", "look")
    assert cloud.hosting.pids("stubborn") == [old]


def test_deletion_ends_the_server_politely_and_its_children_too(cloud: Cloud) -> None:
    """The server gets SIGTERM; nothing that it started is left, nor its folder."""
    pid = cloud.serve("leaving")
    (folder,) = (one for one in cloud.folders() if one.name in cloud.stream("leaving"))
    cloud.invoke("leaving", "spawn")
    (child,) = set(cloud.hosting.pids("leaving")) - {pid}

    cloud.control.delete_endpoint(EndpointName="leaving")

    assert eventually(lambda: not cloud.control.list_endpoints(NameContains="leaving")["Endpoints"])
    assert eventually(lambda: not alive(pid) and not alive(child))
    assert not folder.exists()
    assert "goodbye" in {line[3] for line in cloud.lines if "/leaving" in line[0]}


def test_closing_leaves_nothing(own_cloud: Callable[..., Cloud]) -> None:
    """Serving and starting processes and all folders are gone when close returns."""
    cloud = own_cloud()
    serving = cloud.serve("one")
    cloud.create("two", start="silent")
    assert eventually(lambda: len(cloud.folders()) == 2)

    cloud.hosting.close()

    assert not alive(serving)
    assert list(cloud.workspace.iterdir()) == []
    assert not any(str(cloud.workspace.parent) in command for command in map(_command, _descendants()))


def test_servers_die_with_their_parent(tmp_path: Path) -> None:
    """Even when the parent is killed outright, no server stays behind, nor its folder."""
    (tmp_path / "server.py").write_text(SERVER)
    parent = tmp_path / "parent.py"
    parent.write_text(
        textwrap.dedent(
            """
            import sys, time
            from local_cloud.hosting import Hosting, HostingSettings
            hosting = Hosting(
                region="us-east-1", account_id="123456789012", fetch=None, log=print,
                settings=HostingSettings(command=(sys.executable, "-S", sys.argv[1]), creating_s=0),
            )
            role = "arn:aws:iam::123456789012:role/endpoint"
            hosting.handle("CreateModel", {
                "ModelName": "m", "PrimaryContainer": {"Image": "i"}, "ExecutionRoleArn": role,
            })
            hosting.handle("CreateEndpointConfig", {"EndpointConfigName": "c", "ProductionVariants": [{
                "VariantName": "v", "ModelName": "m",
                "ServerlessConfig": {"MemorySizeInMB": 1024, "MaxConcurrency": 1},
            }]})
            hosting.handle("CreateEndpoint", {"EndpointName": "e", "EndpointConfigName": "c"})
            while hosting.handle("DescribeEndpoint", {"EndpointName": "e"})["EndpointStatus"] == "Creating":
                time.sleep(0.02)
            print("pid", *hosting.pids("e"), flush=True)
            time.sleep(60)
            """
        )
    )
    with subprocess.Popen(
        [sys.executable, str(parent), str(tmp_path / "server.py")],
        stdout=subprocess.PIPE,
        text=True,
        env={"PYTHONPATH": str(ROOT), "TMPDIR": str(tmp_path)},
    ) as process:
        assert process.stdout is not None
        pid = next(int(line.split()[1]) for line in process.stdout if line.startswith("pid "))
        before = alive(pid), len(list(tmp_path.glob("sealift-hosting-*/*/model")))
        process.kill()

    assert before == (True, 1)
    assert eventually(lambda: not alive(pid))
    assert eventually(lambda: not list(tmp_path.glob("sealift-hosting-*")))


def _descendants() -> list[psutil.Process]:
    return psutil.Process().children(recursive=True)


def _command(process: psutil.Process) -> str:
    with contextlib.suppress(psutil.NoSuchProcess):
        return " ".join(process.cmdline())
    return ""
