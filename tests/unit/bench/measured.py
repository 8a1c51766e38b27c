"""What a measurement may have come to."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

from pipeline.bench import results, spending, sweep
from pipeline.bench.measurement import Measured, Results, Started
from pipeline.bench.prompts import Lengths
from pipeline.bench.results import BenchDocument
from pipeline.bench.samples import FailedCall, Round, Sample
from pipeline.bench.sweep import Sweep
from pipeline.bench.targets import LoadTarget
from pipeline.client.endpoint import ServiceEndpoint
from pipeline.sizing import pricing
from pipeline.sizing.running_cost import Cost

SERVERLESS = LoadTarget(
    ServiceEndpoint("demo", "demo-1", streams=False),
    Cost(0.0, "serverless, nothing while nobody calls"),
    2048,
    2,
)
INSTANCE = LoadTarget(ServiceEndpoint("tug", "tug-1", streams=True), Cost(0.36, "1 x ml.m5.large at $0.36"))
VECTORS = LoadTarget(
    ServiceEndpoint("index", "index-1", streams=False, form="input"), Cost(0.0, "serverless"), 1024, 5
)
WANTED = Sweep((1, 4), (64,), 20, 100, 60)
PRICE = pricing.LISTED.of("serverless_gb_second", "us-east-1")
WHOLE = Sample(
    2.0,
    prompt_tokens=100,
    completion_tokens=20,
    evaluated_tokens=98,
    prompt_s=0.4,
    server_s=1.5,
    server_rate=18.0,
)
STREAMED = replace(WHOLE, first_s=0.5)


def a_round(
    samples: list[Sample], failures: list[FailedCall] | None = None, *, seconds: float = 10.0
) -> Round:
    """Return a round that has ended."""
    made = Round(list(samples), list(failures or []))
    made.close(seconds, whole=True)
    return made


def a_document(
    *targets: LoadTarget,
    sample: Sample = WHOLE,
    faster: float = 1.0,
    failures: list[FailedCall] | None = None,
    warm_up: float = 2.1,
    wanted: Sweep = WANTED,
    started: Started | None = None,
    stopped: str = "",
    alone_s: float | None = None,
    refused: str = "",
    calls: int = 100,
) -> BenchDocument:
    """Return what is said of endpoints whose answers are all alike; the second is so many times as fast."""
    stages = sweep.stages(wanted, compared=len(targets) > 1)
    measured = Results(lengths=Lengths(20, 2, measured=True))
    for stage in stages:
        row = []
        for number, target in enumerate(targets):
            times = faster if number else 1.0
            one = replace(sample, seconds=sample.seconds / times)
            each = min(stage.calls, calls)
            rounds = [a_round([one] * each, failures, seconds=10 / times) for _ in range(stage.rounds)]
            first = a_round([replace(one, seconds=warm_up)])
            row.append(Measured(stage, target, first, [] if refused else rounds, refused))
        measured.stages.append(row)
    measured.started = {one.name: started or Started(0.2, 0.3) for one in targets}
    bound = spending.bound(stages, wanted, targets, PRICE)
    return results.assemble(
        measured,
        targets,
        wanted,
        bound,
        began=datetime(2026, 11, 30, 12, tzinfo=UTC),
        price=PRICE,
        stopped=stopped,
        alone_s=alone_s,
    )
