"""Many services deployed at once on the local cloud, with stub model servers, and what that costs per deployment.

    python -m tools.load [--services 50] [--json PATH]

Exits with 1 when an upload came to nothing, two deployments met in one name, or a figure is over its bound.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from local_cloud.cloud import CloudSettings, LocalCloud
from local_cloud.hosting import HostingSettings, Quotas
from pipeline.operations import execution_history
from pipeline.sizing import pricing
from tools.matrix.world import GOOD, Stub, leave_accounts_alone, tiny_archive

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pipeline.operations.execution_history import Execution

TIME_SCALE: Final = 0.01
UPLOADERS: Final = 8
DEADLINE_S: Final = 600.0

MOST_CALLS: Final = 40
"""Of the tasks to AWS in one deployment, on average; a look at the account's endpoints costs one for each, and more."""
MOST_TRANSITIONS: Final = 40
"""Of one deployment."""
MOST_MEMORY_MB: Final = 128
"""Of one task: what the smallest function has."""

_LOOKS: Final = frozenset({"DescribeEndpoint", "ListTags"})
"""Operations that are asked of every endpoint of the account where its quota is shared out."""


@dataclass(frozen=True, slots=True)
class Report:
    """What a run came to."""

    services: int
    seconds: float
    succeeded: int
    failed: tuple[str, ...]
    """Error and cause, by service."""
    endpoints: int
    executions: int
    calls: dict[str, float]
    """Of the tasks, by operation; the mean of a deployment."""
    transitions: int
    """State transitions of the deployment that had most, its retries among them."""
    transitions_usd: float
    """What these cost, in the Region with the lowest price."""
    polls: int
    """Looks at an endpoint of the deployment that had most."""
    memory_mb: dict[str, int]
    """The highest of each task."""

    @property
    def problems(self) -> list[str]:
        """Return what must not be, in words."""
        n = self.services
        own = sum(mean for name, mean in self.calls.items() if name.split(".")[1] not in _LOOKS)
        bounds = (
            (self.executions == n, f"{self.executions} executions of {n} uploads"),
            (not self.failed, f"failed: {'; '.join(self.failed)}"),
            (self.endpoints == n, f"{self.endpoints} endpoints of {n} services"),
            (own <= MOST_CALLS, f"{own:.1f} calls per deployment, wanted {MOST_CALLS} at most"),
            (
                self.transitions <= MOST_TRANSITIONS,
                f"{self.transitions} transitions, wanted {MOST_TRANSITIONS} at most",
            ),
            (
                max(self.memory_mb.values(), default=0) <= MOST_MEMORY_MB,
                f"memory {self.memory_mb}, wanted {MOST_MEMORY_MB} MB at most",
            ),
        )
        return [bound for holds, bound in bounds if not holds]

    def __str__(self) -> str:
        lines = [
            f"{self.services} services at once: {self.succeeded} deployed in {self.seconds:.0f} s",
            f"executions: {self.executions}; endpoints: {self.endpoints}",
            f"state transitions of a deployment: {self.transitions} at most, {self.transitions_usd:.6f} USD",
            f"looks at its endpoint: {self.polls} at most",
            f"calls of the tasks per deployment: {sum(self.calls.values()):.1f}",
            *(
                f"    {mean:6.2f}  {name}"
                for name, mean in sorted(self.calls.items(), key=lambda one: -one[1])
            ),
            "memory of the tasks, MB: "
            + ", ".join(f"{name} {most}" for name, most in sorted(self.memory_mb.items())),
            *(f"WRONG: {problem}" for problem in self.problems),
        ]
        return "\n".join(lines)


def main() -> int:
    """Run it; return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m tools.load")
    parser.add_argument("--services", type=int, default=50, help="services that are deployed at once")
    parser.add_argument("--json", type=Path, help="where to write the figures")
    arguments = parser.parse_args()
    leave_accounts_alone()
    hosting = HostingSettings(
        creating_s=0.2, rescaling_s=0, deleting_s=0, ping_interval_s=0.05, stop_grace_s=0
    )
    quotas = Quotas(total_concurrency=10 * arguments.services, endpoints=arguments.services)
    settings = CloudSettings(
        time_scale=TIME_SCALE,
        hosting=hosting,
        quotas=quotas,
        consumer=False,
        launch=lambda *_args, **_kwargs: Stub(lambda: GOOD),
    )
    with LocalCloud(settings) as cloud:
        report = run(cloud, arguments.services)
    print(report)
    if arguments.json:
        arguments.json.write_text(json.dumps(asdict(report)))
    return 1 if report.problems else 0


def run(cloud: LocalCloud, services: int) -> Report:
    """Upload one archive for each service, follow all deployments to their end, and count."""
    names = [f"service-{n:03}" for n in range(services)]
    bucket, archive = cloud.outputs["UploadBucketName"], tiny_archive(b"load")
    begun = time.monotonic()
    cloud.recorded.clear()

    def upload(name: str) -> None:
        settings = json.dumps({"container": "llama-cpp", "max_concurrency": 10}).encode()
        cloud.clients.s3.put_object(Bucket=bucket, Key=f"models/{name}/deployment.json", Body=settings)
        cloud.clients.s3.put_object(Bucket=bucket, Key=f"models/{name}/model.tar.gz", Body=archive)

    with ThreadPoolExecutor(UPLOADERS) as pool:
        list(pool.map(upload, names))
    arns = _ended(cloud, services, begun + DEADLINE_S)
    took = time.monotonic() - begun
    calls = _calls(cloud, services)
    ended = [execution_history.fetch(cloud.clients.stepfunctions, arn) for arn in arns]
    bad = tuple(
        f"{one.arn.split(':')[-1]} {one.status} {one.error}: {one.cause}"
        for one in ended
        if one.status != "SUCCEEDED"
    )
    endpoints = cloud.hosting.handle("ListEndpoints", {"MaxResults": 100})["Endpoints"]
    transitions = max((_transitions(cloud, arn) for arn in arns), default=0)
    return Report(
        services=services,
        seconds=took,
        succeeded=len(ended) - len(bad),
        failed=bad,
        endpoints=len([one for one in endpoints if one["EndpointStatus"] == "InService"]),
        executions=len(arns),
        calls=calls,
        transitions=transitions,
        transitions_usd=transitions * pricing.LISTED.items["state_transition"].usd[pricing.HOME],
        polls=max((_visits(one, "PollEndpoint") for one in ended), default=0),
        memory_mb=_memory(cloud),
    )


def _ended(cloud: LocalCloud, count: int, deadline: float) -> list[str]:
    """Return the executions once there are so many and all of them have ended, or time is up."""
    shown = time.monotonic()
    while True:
        rows = list(_executions(cloud))
        ended = [row for row in rows if row["status"] != "RUNNING"]
        if len(ended) >= count or time.monotonic() > deadline:
            return [row["executionArn"] for row in rows]
        if time.monotonic() - shown > 5:
            shown = time.monotonic()
            print(f"{len(rows)} executions, {len(ended)} ended", file=sys.stderr, flush=True)
        time.sleep(0.5)


def _executions(cloud: LocalCloud) -> Iterator[dict[str, Any]]:
    machine = cloud.outputs["StateMachineArn"]
    pages = cloud.clients.stepfunctions.get_paginator("list_executions").paginate(stateMachineArn=machine)
    for page in pages:
        yield from map(dict, page["executions"])


def _calls(cloud: LocalCloud, services: int) -> dict[str, float]:
    counted: Counter[str] = Counter()
    for one in tuple(cloud.recorded):
        if one.caller and one.call.service != "lambda":
            counted[f"{one.call.service}.{one.call.operation}"] += 1
    return {name: count / services for name, count in counted.items()}


def _transitions(cloud: LocalCloud, arn: str) -> int:
    """Return the state transitions of an execution: entering a state is one, and so is trying it again."""
    pages = cloud.clients.stepfunctions.get_paginator("get_execution_history").paginate(executionArn=arn)
    kinds = Counter(event["type"] for page in pages for event in page["events"])
    entered = sum(count for kind, count in kinds.items() if kind.endswith("StateEntered"))
    return entered + kinds["TaskScheduled"] - kinds["TaskStateEntered"]


def _visits(ended: Execution, name: str) -> int:
    state = ended.state(name)
    return state.visits if state else 0


def _memory(cloud: LocalCloud) -> dict[str, int]:
    """Return the megabytes that each function used at most, by its name in the template."""
    found: dict[str, int] = {}
    pages = cloud.clients.logs.get_paginator("filter_log_events").paginate(
        logGroupName=cloud.outputs["TaskLogGroup"], filterPattern='"platform.report"'
    )
    for event in (event for page in pages for event in page["events"]):
        used = json.loads(event["message"])["record"]["metrics"].get("maxMemoryUsedMB", 0)
        name = event["logStreamName"].rpartition("/")[2].partition("[")[0].split("-")[-2]
        found[name] = max(used, found.get(name, 0))
    return found


if __name__ == "__main__":
    sys.exit(main())
