"""What holds in true containers alone: who the server is there, what it may write, whom it reaches, what stays behind.

Skipped where this machine has no runtime that works, which says why.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import textwrap
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil
import pytest

from local_cloud.hosting.containers.oci_runtime import cgroup_of
from local_cloud.hosting.platform.lifecycle import ContainerCondition
from tests import ways
from tests.system.local_cloud.test_hosting import MIB, Cloud, alive, eventually
from tests.ways import ImageHere, Member, Way, layer
from tools.image_test import tools

if TYPE_CHECKING:
    from collections.abc import Callable

ROOT = Path(__file__).resolve().parents[3]
MODEL = "opt/sealift/model"
ENVIRONMENT = {"PYTHONUNBUFFERED": "1", "SM_MODEL_DIR": "/opt/ml/model"}

SERVER = """
import json, os, signal, subprocess, sys, traceback
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        self.answer(200, b"")

    def do_POST(self):
        names = {}
        try:
            exec(self.rfile.read(int(self.headers["Content-Length"])), names)
            self.answer(200, json.dumps(names.get("found")).encode())
        except BaseException as error:
            self.answer(200, json.dumps(type(error).__name__ + ": " + str(error)).encode())

    def answer(self, status, body):
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass

host, port = os.environ.get("SEALIFT_BIND_HOST", "0.0.0.0"), int(os.environ.get("SAGEMAKER_BIND_TO_PORT", 8080))
ThreadingHTTPServer((host, port), Handler).serve_forever()
"""


@pytest.fixture(scope="module")
def way() -> Iterator[Way]:
    """Yield the way of true containers, with an image of a server that does what it is told."""
    with tempfile.TemporaryDirectory() as folder:
        yield ways.way(ways.RUNTIME, Path(folder), SERVER, ENVIRONMENT)


@pytest.fixture(scope="module")
def cloud(way: Way, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cloud]:
    """Yield a cloud with an endpoint `told` that all tests here share."""
    cloud = Cloud(tmp_path_factory.mktemp("cloud"), way)
    cloud.serve("told")
    yield cloud
    cloud.close()


@pytest.fixture
def other_cloud(way: Way, tmp_path: Path) -> Iterator[Callable[..., Cloud]]:
    """Yield a maker of clouds with another image or another way."""
    with contextlib.ExitStack() as stack:

        def make(image: ImageHere | None = None, **changed: Any) -> Cloud:
            cloud = Cloud(tmp_path, replace(way, image=image or way.image, **changed))
            stack.callback(cloud.close)
            return cloud

        yield make


def told(cloud: Cloud, program: str, name: str = "told") -> Any:
    """Run a program in the server behind an endpoint; return its `found`, or the error that it ended with."""
    response = cloud.runtime.invoke_endpoint(EndpointName=name, Body=textwrap.dedent(program).encode())
    return json.loads(response["Body"].read())


def test_the_server_is_nobody_with_no_rights(cloud: Cloud) -> None:
    """User and group 65534, no capability to be had, and process 1 of its own."""
    found = told(
        cloud,
        """
        import os
        status = dict(line.split(":", 1) for line in open("/proc/self/status").read().splitlines())
        found = [os.getpid(), os.getuid(), os.getgid(), os.getgroups(), int(status["CapBnd"], 16),
                 int(status["NoNewPrivs"]), sorted(one for one in os.listdir("/proc") if one.isdigit())]
        """,
    )

    assert found == [1, 65534, 65534, [], 0, 1, ["1"]]


@pytest.mark.parametrize(
    "path",
    [
        "/x",
        "/etc/x",
        "/etc/hosts",
        "/.sagemaker",
        "/opt/ml/model/x",
        "/var/x",
        "/srv/x",
        "/home/x",
        "/root/x",
        "/dev/x",
    ],
)
def test_only_tmp_can_be_written(cloud: Cloud, path: str) -> None:
    """Everything else is read-only, or somebody else's."""
    said = told(cloud, f"open({path!r}, 'w')")

    assert said.startswith(("OSError: [Errno 30]", "PermissionError"))


def test_tmp_has_half_the_memory(cloud: Cloud) -> None:
    """What does not fit is refused, and the server goes on."""
    size = told(cloud, "import os; s = os.statvfs('/tmp'); found = s.f_blocks * s.f_frsize")
    said = told(
        cloud,
        """
        import os
        try:
            with open("/tmp/big", "wb") as sink:
                for _ in range(600):
                    sink.write(bytes(1 << 20))
        finally:
            os.unlink("/tmp/big")
        """,
    )

    assert size == 512 * MIB
    assert said.startswith("OSError: [Errno 28]")
    assert told(cloud, "open('/tmp/x', 'w').write('x'); found = open('/tmp/x').read()") == "x"


def test_root_could_not_write_either(cloud: Cloud) -> None:
    """The root of the file system is mounted read-only, whoever looks."""
    found = told(
        cloud,
        "found = {l.split()[1]: l.split()[3].split(',')[0] for l in open('/proc/self/mounts')}",
    )

    assert found["/"] == found["/opt/ml/model"] == found["/etc/hosts"] == found["/sys"] == "ro"
    assert found["/tmp"] == "rw"  # noqa: S108 the container's


def test_the_model_is_where_the_platform_puts_it(cloud: Cloud) -> None:
    """Readable by nobody in particular."""
    found = told(
        cloud,
        "import os; found = [sorted(os.listdir('/opt/ml/model')), open('/opt/ml/model/model.gguf').read()]",
    )

    assert found == [["code", "model.gguf"], "GGUF"]


@pytest.mark.parametrize("address", ["1.1.1.1", "10.0.0.1", "169.254.169.254"])
def test_nothing_inside_reaches_out(cloud: Cloud, address: str) -> None:
    """There is no way out of the namespace: it has its loopback alone."""
    said = told(cloud, f"import socket; socket.create_connection(({address!r}, 80), 2)")

    assert said.startswith("OSError: [Errno 101]")
    assert told(cloud, "import os; found = os.listdir('/sys/class/net')") == ["lo"]


def test_this_machines_loopback_is_not_the_containers(cloud: Cloud) -> None:
    """A server here is not there, and `localhost` there is the container itself."""
    with socket.create_server(("127.0.0.1", 0)) as here:
        port = here.getsockname()[1]
        said = told(cloud, f"import socket; socket.create_connection(('127.0.0.1', {port}), 2)")

    assert said.startswith("ConnectionRefusedError")
    assert told(cloud, "import socket; found = socket.gethostbyname('localhost')") == "127.0.0.1"
    assert told(cloud, "import socket; socket.create_connection(('localhost', 8080), 2); found = 1") == 1


def test_a_child_that_is_killed_for_memory_is_the_containers_end(cloud: Cloud) -> None:
    """Without it the server would go on as if nothing were; the kernel's count tells."""
    pid = cloud.serve("parent")
    told(
        cloud,
        "import subprocess, sys; subprocess.Popen([sys.executable, '-c', 'x = bytearray(1300 << 20)'])",
        "parent",
    )

    _, worker = cloud.hosting._fleet.serving("parent")
    container = worker._container
    assert container is not None
    assert eventually(lambda: container.condition() is ContainerCondition.OUT_OF_MEMORY)
    assert not alive(pid)


def test_the_memory_limit_is_the_endpoints(cloud: Cloud) -> None:
    """To the byte, and swap adds nothing."""
    (folder,) = (one for one in cloud.folders() if one.name in cloud_log_streams(cloud))

    assert cloud.way.runtime is not None
    limit = cloud.way.runtime.hierarchy.limit(cgroup_of(folder.name))
    assert int(limit.read_text()) == 1024 * MIB


def test_an_image_is_extracted_once_and_shared(cloud: Cloud) -> None:
    """By all its containers, whichever endpoint they are of."""
    cloud.serve("second")

    assert cloud.way.roots is not None
    assert len(list(cloud.way.roots.iterdir())) == 1


def test_on_an_instance_the_user_is_the_images(other_cloud: Callable[..., Cloud], way: Way) -> None:
    """By name, as its /etc/passwd has it; the root is read-only there too."""
    assert way.image is not None
    own = {**way.image.config["config"], "User": "games"}
    cloud = other_cloud(replace(way.image, config={**way.image.config, "config": own}))
    on_instance(cloud, "games")

    assert told(cloud, "import os; found = [os.getuid(), os.getgid()]", "games") == [5, 60]
    assert told(cloud, "open('/etc/x', 'w')", "games").startswith("OSError: [Errno 30]")


@pytest.mark.parametrize(
    ("own", "said"),
    [
        ({"Entrypoint": None}, "no Entrypoint"),
        ({"Entrypoint": ["/no/such/program"]}, "the model process exited"),
    ],
)
def test_an_image_that_cannot_run_fails_the_endpoint(
    other_cloud: Callable[..., Cloud], way: Way, own: dict[str, Any], said: str
) -> None:
    """With a reason, and what the runtime says is in the container's log."""
    assert way.image is not None
    changed = {**way.image.config, "config": {**way.image.config["config"], **own}}
    cloud = other_cloud(replace(way.image, config=changed))
    cloud.create("broken")

    assert said in cloud.settle("broken")["FailureReason"]
    assert cloud.folders() == []
    if own["Entrypoint"]:
        assert any("/no/such/program" in line[3] for line in cloud.lines)


def test_a_damaged_layer_fails_the_endpoint(
    other_cloud: Callable[..., Cloud], way: Way, tmp_path: Path
) -> None:
    """By name; no half of it is kept for the next container."""
    assert way.image is not None
    broken = tmp_path / "broken"
    broken.write_bytes(way.image.layers[-1].read_bytes()[:-20])
    image = replace(way.image, layers=(*way.image.layers[:-1], broken), digest="sha256:broken")
    cloud = other_cloud(image)
    cloud.create("damaged")

    assert "The container image cannot be used: layer broken" in cloud.settle("damaged")["FailureReason"]
    assert way.roots is not None
    assert not [one for one in way.roots.iterdir() if one.name.startswith((".", "sha256-broken"))]


@pytest.mark.parametrize("in_container", [True, False])
def test_a_model_in_the_image_is_served(
    other_cloud: Callable[..., Cloud], way: Way, tmp_path: Path, in_container: bool
) -> None:
    """From where it is in a container; a process gets it out of the layers, and runs this machine's server."""
    assert way.image is not None
    added = tmp_path / "model-layer"
    diff_id = layer(added, Member(f"{MODEL}/harbour.gguf", b"GGUF", mode=0o444))
    own = {
        **way.image.config["config"],
        "Labels": {"sealift.model": "harbour.gguf"},
        "Env": [f"SM_MODEL_DIR=/{MODEL}", "PYTHONUNBUFFERED=1", "PATH=/usr/bin"],
    }
    rootfs = {"type": "layers", "diff_ids": [*way.image.config["rootfs"]["diff_ids"], diff_id]}
    image = ImageHere(
        {**way.image.config, "config": own, "rootfs": rootfs}, (*way.image.layers, added), "sha256:model"
    )
    cloud = other_cloud(image) if in_container else other_cloud(image, runtime=None)
    (tmp_path / "server.py").write_text(SERVER)  # what a process runs
    without_data(cloud, "inside")

    found = told(
        cloud,
        "import os; d = os.environ['SM_MODEL_DIR']; found = [d, os.listdir(d), open(d + '/harbour.gguf').read()]",
        "inside",
    )
    assert found[1:] == [["harbour.gguf"], "GGUF"]
    assert (found[0] == f"/{MODEL}") == in_container


PARENT = """
import json, sys, time
from pathlib import Path
from local_cloud.hosting import Hosting, HostingSettings
from local_cloud.hosting.containers.oci_runtime import find_runtime
from tests.ways import ImageHere

given = json.loads(Path(sys.argv[1]).read_text())
found = find_runtime(tuple(given["runtimes"]))
image = ImageHere(given["config"], tuple(map(Path, given["layers"])), given["digest"])
hosting = Hosting(
    region="us-east-1", account_id="123456789012", fetch=None, log=lambda *_: None,
    settings=HostingSettings(creating_s=0), pull=lambda _uri: image, runtime=found.runtime,
)
role = "arn:aws:iam::123456789012:role/endpoint"
hosting.handle("CreateModel", {"ModelName": "m", "PrimaryContainer": {"Image": "i"}, "ExecutionRoleArn": role})
hosting.handle("CreateEndpointConfig", {"EndpointConfigName": "c", "ProductionVariants": [{
    "VariantName": "v", "ModelName": "m", "ServerlessConfig": {"MemorySizeInMB": 1024, "MaxConcurrency": 1},
}]})
hosting.handle("CreateEndpoint", {"EndpointName": "e", "EndpointConfigName": "c"})
while hosting.handle("DescribeEndpoint", {"EndpointName": "e"})["EndpointStatus"] == "Creating":
    time.sleep(0.02)
print("pid", *hosting.pids("e"), flush=True)
time.sleep(60)
"""


@contextlib.contextmanager
def local_cloud(way: Way, folder: Path) -> Iterator[tuple[subprocess.Popen[str], int]]:
    """Run a hosting with one endpoint in a process of its own; yield that process and the server's id."""
    assert way.image is not None
    given = {
        "config": way.image.config,
        "layers": [str(one) for one in way.image.layers],
        "digest": "sha256:1",
        "runtimes": tools.runtimes(),
    }
    (folder / "image.json").write_text(json.dumps(given))
    (folder / "parent.py").write_text(PARENT)
    with subprocess.Popen(
        [sys.executable, str(folder / "parent.py"), str(folder / "image.json")],
        stdout=subprocess.PIPE,
        text=True,
        env={"PYTHONPATH": str(ROOT), "TMPDIR": str(folder), "PATH": os.environ["PATH"]},
    ) as process:
        assert process.stdout is not None
        try:
            yield process, next(int(line.split()[1]) for line in process.stdout if line.startswith("pid "))
        finally:
            process.kill()


def groups(hosting: Path, way: Way) -> list[Path]:
    """Return the control groups of a hosting's containers, which are named after their folders."""
    assert way.runtime is not None
    counters = [way.runtime.hierarchy.counter(cgroup_of(one.parent.name)) for one in hosting.glob("*/model")]
    return [one.parent for one in counters]


def test_containers_die_with_their_local_cloud(way: Way, tmp_path: Path) -> None:
    """Even when it is killed outright: no process, no control group, no folder stays."""
    with local_cloud(way, tmp_path) as (process, pid):
        (hosting,) = tmp_path.glob("sealift-hosting-*")
        (group,) = groups(hosting, way)
        assert alive(pid)
        assert group.is_dir()
        process.kill()

        assert eventually(lambda: not alive(pid))
        assert eventually(lambda: not hosting.exists() and not group.exists())


def test_what_a_dead_local_cloud_left_is_swept_by_the_next(way: Way, tmp_path: Path) -> None:
    """Its keepers were killed too; another one that lives is left alone."""
    (tmp_path / "one").mkdir()
    with local_cloud(way, tmp_path) as (process, pid):
        (hosting,) = tmp_path.glob("sealift-hosting-*")
        (group,) = groups(hosting, way)
        keeper = psutil.Process(pid).ppid()
        process.send_signal(signal.SIGSTOP)  # so that it does not see its keeper go
        os.kill(keeper, signal.SIGKILL)
        process.kill()
        process.wait()
        assert alive(pid)

        with local_cloud(way, tmp_path) as (_, living):
            assert eventually(lambda: not alive(pid) and not group.exists())
            assert not hosting.exists()

            with local_cloud(way, tmp_path):
                assert alive(living)


def cloud_log_streams(cloud: Cloud) -> str:
    """Return what tells the folder of the shared endpoint: a line in its log."""
    told(cloud, "print('here')")
    return cloud.stream("told")


def without_data(cloud: Cloud, name: str) -> None:
    """Bring an endpoint into service whose model has no data of its own."""
    _endpoint(cloud, name, {"ServerlessConfig": {"MemorySizeInMB": 1024, "MaxConcurrency": 1}})


def on_instance(cloud: Cloud, name: str) -> None:
    """Bring an endpoint on an instance into service."""
    _endpoint(cloud, name, {"InstanceType": "ml.m5.large", "InitialInstanceCount": 1})


def _endpoint(cloud: Cloud, name: str, capacity: dict[str, Any]) -> None:
    cloud.control.create_model(
        ModelName=name,
        ExecutionRoleArn="arn:aws:iam::123456789012:role/endpoint",
        PrimaryContainer={"Image": "image:1"},
    )
    variant: Any = {"VariantName": "AllTraffic", "ModelName": name, **capacity}
    cloud.control.create_endpoint_config(EndpointConfigName=name, ProductionVariants=[variant])
    cloud.control.create_endpoint(EndpointName=name, EndpointConfigName=name)
    assert cloud.settle(name)["EndpointStatus"] == "InService", cloud.describe(name)
