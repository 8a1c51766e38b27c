"""What `sealift proxy` adds to a call, and what it holds: against the SDK's own `invoke_endpoint`, on 127.0.0.1 alone.

    python -m benchmarks.bench_proxy [--rounds 5] [--calls 100] [--row 10000] [--callers 100] [--json PATH]

Three processes beside this one: the local cloud with a model server that answers at once, the proxy, and nobody else.

    latency   rounds that alternate, each of so many calls one after the other, of a chat: by boto3's
              `invoke_endpoint`; by the same request signed and sent by http.client, which is the least that anybody
              pays; and through the proxy by http.client. Each keeps its connection. Medians of all rounds but the
              first, and what the proxy adds to each of the two.
    row       so many calls one after the other through the proxy, and its resident memory before, at most and after.
    callers   as many calls by so many callers at once, the same.
"""

from __future__ import annotations

import argparse
import asyncio
import http.client
import json
import os
import statistics
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

import aiohttp
import psutil

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from local_cloud.cloud import CloudSettings, LocalCloud
from local_cloud.hosting import HostingSettings, Quotas
from pipeline.aws import clients as aws
from pipeline.aws import signed_calls
from pipeline.aws.clients import Clients
from pipeline.limits import MiB
from pipeline.operations import execution_history
from tools.matrix.world import GOOD, Stub, leave_accounts_alone, tiny_archive

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

SERVICE: Final = "demo"
CONCURRENCY: Final = 200
CHATS: Final = "/v1/chat/completions"
BODY: Final = {"model": SERVICE, "messages": [{"role": "user", "content": "What does a sealift do?"}]}
REGION: Final = "us-east-1"


@dataclass(frozen=True, slots=True)
class Held:
    """What a number of calls took of the proxy."""

    calls: int
    callers: int
    seconds: float
    before_mb: float
    most_mb: float
    after_mb: float
    failed: int

    def __str__(self) -> str:
        return (
            f"{self.calls:,} calls, {self.callers} at once: {self.seconds:.0f} s, {self.calls / self.seconds:,.0f} a "
            f"second, {self.failed} failed; memory {self.before_mb:.1f} MiB before, {self.most_mb:.1f} at most, "
            f"{self.after_mb:.1f} after"
        )


def main() -> int:
    """Measure; return 1 when a call failed."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.bench_proxy")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--calls", type=int, default=100, help="of each way in a round")
    parser.add_argument("--row", type=int, default=10_000)
    parser.add_argument("--callers", type=int, default=100)
    parser.add_argument("--json", type=Path, help="where to write the figures")
    parser.add_argument("--cloud", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    leave_accounts_alone()
    if arguments.cloud:
        return run_cloud()
    with process(sys.executable, "-m", "benchmarks.bench_proxy", "--cloud") as (_, told):
        os.environ["AWS_ENDPOINT_URL"] = told["url"]
        command = ("-m", "sealift", "proxy", "--port", "0", "--json", "--quiet")
        with process(sys.executable, *command) as (proxy, serving):
            found = measured(arguments, told["endpoint"], serving["url"], psutil.Process(proxy.pid))
    if arguments.json:
        arguments.json.write_text(json.dumps(found, indent=1))
    return 1 if found["row"]["failed"] or found["at_once"]["failed"] else 0


def measured(arguments: argparse.Namespace, endpoint: str, url: str, proxy: psutil.Process) -> dict[str, Any]:
    """Make all calls; tell what came of them, and return it."""
    print(f"load {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores")
    ways = latencies(arguments, endpoint, url)
    direct, signed, through = (ways[name] for name in ("boto3", "signed", "proxy"))
    for name, times in ways.items():
        print(f"{name:8} p50 {percentile(times, 50):6.2f} ms, p95 {percentile(times, 95):6.2f} ms")
    added = percentile(through, 50) - percentile(direct, 50)
    least = percentile(through, 50) - percentile(signed, 50)
    print(f"added to boto3's p50: {added:.2f} ms; to that of a bare signed request: {least:.2f} ms")
    row = held(proxy, arguments.row, 1, lambda: in_a_row(url, arguments.row))
    print(row)
    at_once = held(proxy, arguments.row, arguments.callers, lambda: asyncio.run(side_by_side(url, arguments)))
    print(at_once)
    print(f"load {os.getloadavg()[0]:.1f}")
    shown = {name: {p: percentile(times, p) for p in (50, 95, 99)} for name, times in ways.items()}
    return {"ms": shown, "added_ms": added, "least_ms": least, "row": asdict(row), "at_once": asdict(at_once)}


def percentile(times: list[float], wanted: int) -> float:
    """Return a percentile of seconds, in milliseconds."""
    return statistics.quantiles(times, n=100)[wanted - 1] * 1000


# -- the calls


def latencies(arguments: argparse.Namespace, endpoint: str, url: str) -> dict[str, list[float]]:
    """Return the seconds of each call, by the way that it went."""
    clients = Clients(region=REGION)
    runtime = clients.sagemaker_runtime.meta.endpoint_url
    body = json.dumps(BODY).encode()
    directly, credentials = http.client.HTTPConnection(urlsplit(runtime).netloc), aws.credentials()
    through = http.client.HTTPConnection(urlsplit(url).netloc)

    def by_boto3() -> None:
        answer = clients.sagemaker_runtime.invoke_endpoint(
            EndpointName=endpoint, ContentType="application/json", Body=body
        )
        check(answer["Body"].read())

    def signed() -> None:
        request = signed_calls.sign(runtime, REGION, credentials, endpoint, body)
        directly.request("POST", urlsplit(request.url).path, body, dict(request.headers))
        check(directly.getresponse().read())

    ways: dict[str, Callable[[], None]] = {
        "boto3": by_boto3,
        "signed": signed,
        "proxy": lambda: ask(through, body),
    }
    found: dict[str, list[float]] = {name: [] for name in ways}
    for number in range(arguments.rounds + 1):
        for name, call in ways.items():
            times = [timed(call) for _ in range(arguments.calls)]
            if number:  # the first round warms up
                found[name] += times
    through.close()
    directly.close()
    return found


def timed(call: Callable[[], None]) -> float:
    """Return the seconds of a call."""
    begun = time.perf_counter()
    call()
    return time.perf_counter() - begun


def ask(connection: http.client.HTTPConnection, body: bytes) -> None:
    """Ask the proxy."""
    connection.request("POST", CHATS, body, {"Content-Type": "application/json"})
    check(connection.getresponse().read())


def check(answer: bytes) -> None:
    """Raise for what is not the answer."""
    if json.loads(answer)["choices"][0]["message"]["content"] != GOOD:
        raise RuntimeError(answer.decode())


def in_a_row(url: str, count: int) -> int:
    """Ask one after the other; return how many failed."""
    connection, body = http.client.HTTPConnection(urlsplit(url).netloc), json.dumps(BODY).encode()
    for _ in range(count):
        ask(connection, body)
    connection.close()
    return 0


async def side_by_side(url: str, arguments: argparse.Namespace) -> int:
    """Ask with so many callers, each again and again; return how many calls failed."""
    left, failed = arguments.row, 0
    connector = aiohttp.TCPConnector(limit=arguments.callers)
    async with aiohttp.ClientSession(connector=connector) as session:

        async def caller() -> None:
            nonlocal left, failed
            while left > 0:
                left -= 1
                async with session.post(f"{url}{CHATS}", json=BODY) as answer:
                    content = await answer.read()
                    failed += answer.status != http.HTTPStatus.OK or GOOD.encode() not in content

        await asyncio.gather(*(caller() for _ in range(arguments.callers)))
    return failed


def held(proxy: psutil.Process, calls: int, callers: int, work: Callable[[], int]) -> Held:
    """Do the work, and look at the proxy's resident memory meanwhile."""
    before, most, begun = proxy.memory_info().rss, 0, time.monotonic()
    with ThreadPoolExecutor(1) as pool:
        future = pool.submit(work)
        while not future.done():
            most = max(most, proxy.memory_info().rss)
            time.sleep(0.2)
        failed = future.result()
    seconds, after = time.monotonic() - begun, proxy.memory_info().rss
    return Held(calls, callers, seconds, before / MiB, max(most, after) / MiB, after / MiB, failed)


# -- the processes


@contextmanager
def process(*command: str) -> Iterator[tuple[subprocess.Popen[str], dict[str, Any]]]:
    """Run one until the block ends; give it, and the JSON that it tells when it serves."""
    running = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        lines = iter(running.stdout or ())
        line = next((one for one in lines if one.startswith("{")), "")
        if not line:
            raise RuntimeError(f"{command} has ended")
        yield running, json.loads(line)
    finally:
        running.terminate()
        running.communicate(timeout=60)


def run_cloud() -> int:
    """Run the local cloud with one service until its standard input ends; tell where it is."""
    settings = CloudSettings(
        time_scale=0.01,
        hosting=HostingSettings(creating_s=0.2, ping_interval_s=0.05),
        quotas=Quotas(total_concurrency=CONCURRENCY),
        consumer=False,
        launch=lambda *_args, **_kwargs: Stub(lambda: GOOD),
    )
    with LocalCloud(settings) as cloud:
        given = {"container": "llama-cpp", "max_concurrency": CONCURRENCY}
        archive = {"bucket": cloud.outputs["UploadBucketName"], "key": "by-hand/model.tar.gz"}
        cloud.clients.s3.put_object(Bucket=archive["bucket"], Key=archive["key"], Body=tiny_archive(b"proxy"))
        arn = cloud.clients.stepfunctions.start_execution(
            stateMachineArn=cloud.outputs["StateMachineArn"],
            input=json.dumps({**given, "archive": archive, "service": SERVICE}),
        )["executionArn"]
        follow = execution_history.follow
        ended = list(follow(cloud.clients.stepfunctions, arn, sleep=time.sleep, interval_s=0.1))[-1]
        if ended.status != "SUCCEEDED":
            raise RuntimeError(f"{ended.error}: {ended.cause}")
        endpoint = ended.results["plan_deployment"]["names"]["endpoint"]
        print(json.dumps({"url": cloud.url, "endpoint": endpoint}), flush=True)
        sys.stdin.read()
    return 0


if __name__ == "__main__":
    sys.exit(main())
