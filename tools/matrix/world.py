"""A local cloud to break things in: model servers that answer at once, waits that take no time, and one look at it all.

Owns the scenarios, a run of one of them with faults, and the gathering of what is compared afterwards. Refuses to
judge: that is `invariants`.
"""

from __future__ import annotations

import contextlib
import gzip
import io
import json
import os
import signal
import tarfile
import tempfile
import threading
import time
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Self

from moto.applicationautoscaling.models import applicationautoscaling_backends
from moto.sns.models import sns_backends
from moto.ssm.models import ssm_backends
from moto.stepfunctions.parser.models import stepfunctions_parser_backends

from local_cloud import scaling
from local_cloud.cloud import CONSUMER, CloudSettings, LocalCloud
from local_cloud.faults import Fault
from local_cloud.gateway import WORKFLOW
from local_cloud.hosting import HostingSettings
from local_cloud.hosting.containers.container import ContainerAnswer, ContainerCall
from local_cloud.hosting.platform.lifecycle import ContainerCondition
from pipeline import __version__, cli, naming
from pipeline.aws import resource_tags
from pipeline.image import base, stored_images
from pipeline.image.ecr import EcrRepository
from pipeline.image.manifest import DOCKER_CONFIG, DOCKER_MANIFEST, Descriptor, Manifest, digest_of
from pipeline.image.transport import Http, Patience
from pipeline.naming import deployment_of, image_tag
from pipeline.operations import execution_history, pausing, teardown
from pipeline.planning import alarms, kept_scaling
from pipeline.rollout import autoscaling_api, metric_filters_api, releases
from pipeline.sizing import images, instance_types
from pipeline.stack import bundles
from tools.matrix import acts, cases, invariants
from tools.matrix.acts import Act, Subject
from tools.matrix.invariants import Broken, Endpoint, Outcome, Parameter, Snapshot

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from local_cloud.hosting.platform.resources import Deployment
    from pipeline.planning.kept_scaling import KeptScaling
    from tools.matrix.cases import Case, Step

TOP = Path(__file__).resolve().parents[2]
FAKES = {
    "AWS_ACCESS_KEY_ID": "testing",
    "AWS_SECRET_ACCESS_KEY": "testing",
    "AWS_DEFAULT_REGION": "us-east-1",
}
TIME_SCALE = 0.0002
STUCK_S = 60.0
"""After which an execution is called stuck; it takes a second or two."""
BEFORE = {"OWNER": "example"}
ALIAS = "live"
ALARM = "consumers-own"
TRIGGER = "StartDeployment"
SWEEPER, EXPIRY = "Sweep", "ExpirySchedule"
COMMAND = "sealift"
"""What the program is called whose calls are those of a command."""
LOOK_S = 0.01
"""Between two looks of a command that waits."""
LOOKS = 4
"""Of the schedule, which are enough for what has expired."""
LONG_AGO = "2026-01-01T00:00:00Z"
"""Stands for an end where there is none any more."""
KEY = "arn:aws:kms:us-east-1:123456789012:key/0123abcd-01ab-23cd-45ef-0123456789ab"
ATTEMPTS = 3
"""Of an asynchronous invocation: EventBridge hands the event over, Lambda tries it twice more."""

GOOD = "A sealift carries cargo."
LONG = f"{GOOD} " + " ".join(f"Crate {n} is loaded." for n in range(50_000))
"""A good answer of a megabyte: several of them are more than an execution's data may hold."""
WRONG = "Ping ping."
EXPECT = {"contains": "cargo"}
SUITE = json.dumps({"prompt": "What does a sealift do?", "expect": {**EXPECT, "similarity": 1}}).encode()
"""Of a quality gate: one case, in which two good answers are the same."""

HANDLER = """\
import json, os, urllib.request

def handler(event, context):
    name = os.environ["ENDPOINT_NAME"]
    signed = f"AWS4-HMAC-SHA256 Credential={os.environ['AWS_ACCESS_KEY_ID']}/20260101/us-east-1/sagemaker/aws4_request"
    request = urllib.request.Request(
        f"{os.environ['AWS_ENDPOINT_URL']}/endpoints/{name}/invocations",
        data=json.dumps({"messages": [{"role": "user", "content": event["prompt"]}]}).encode(),
        headers={"Content-Type": "application/json", "Authorization": signed},
    )
    if name.startswith("scales-to-none"):
        request.add_header("X-Amzn-SageMaker-Inference-Component", name)
    with urllib.request.urlopen(request, timeout=20) as response:
        answer = json.load(response)
    return {"endpoint_name": name, "answer": answer["choices"][0]["message"]["content"]}
"""
"""A consumer that does what the example does, without the SDK: it starts anew at every switch, in milliseconds."""


@dataclass(frozen=True, slots=True)
class Scenario:
    """A deployment that is made to fail at every step."""

    name: str
    settings: dict[str, Any] = field(default_factory=dict)
    """Beside the archive."""
    earlier: bool = True
    """Whether a good deployment of the service is in place before."""
    whole: bool = False
    """Whether every step is tried; otherwise only those that no scenario before has."""
    thinned: bool = False
    """Whether every step is tried, each with one kind of fault: the tasks are the same, what they ask for is not."""
    alias: bool = False
    """Whether the consumer is called by its alias."""
    wrong: bool = False
    """Whether the new model answers wrongly, so that the deployment is taken back."""
    canary: bool = False
    """Whether the consumer is switched in two steps; needs `alias`."""
    alarm: bool = False
    """Whether, instead of a wrong answer, an alarm fires in the canary; needs `canary` and `wrong`."""
    refuses_lowering: bool = False
    """Whether AWS refuses to change a serving endpoint's concurrency but by another configuration."""
    locked: bool = False
    """Whether, instead of a wrong answer, a key encrypts the consumer's variables that the stack may not use; needs
    `wrong`."""
    lengthy: bool = False
    """Whether models and the consumer answer with a megabyte each."""
    unmarked: bool = False
    """Whether, instead of a wrong answer, the tags of the service's parameter may not be changed, so that it goes back;
    needs `wrong`."""
    other: str = ""
    """The scenario whose earlier deployment, of another service, has the consumer, which is taken over."""
    occupied: int = 0
    """Concurrent invocations that somebody else's endpoint holds, of the account's ten; nothing is asked for here."""
    fall_back: bool = False
    """Whether SageMaker has none of the pool's first type; of a longer pool's second the account has no quota."""
    no_capacity: bool = False
    """Whether, instead of a wrong answer, there is no capacity of any type; needs `wrong`."""
    act: Act | None = None
    """What is done to the service of the earlier deployment, in the place of another deployment."""


POOL: Final[list[dict[str, Any]]] = [
    {
        "name": name,
        "vcpus": 2,
        "memory_gib": 8,
        "usd_per_hour": 0.001 * place,
        "memory_bandwidth_gb_s": 100 * place,
    }
    for place, name in enumerate(("ml.c5.large", "ml.m5.large", "ml.r5.large"), start=1)
]
"""Types cheaper than all others, each faster than the one before: the pool of a plan."""

TWO_IMAGES = [POOL[0] | {"name": "ml.c8g.large"}, POOL[1]]
"""A pool whose types have an image each, so that a deployment has two models."""

TO_NONE = {"hosting": "instance", "scale_to_zero": True}
IMAGED = {"container": "custom", "artifact": "image"}
"""Settings by which the model comes in a layer of the endpoint's image."""

SCALED = {"hosting": "instance", "auto_scaling": {"max": 3, "invocations_per_instance": 20}}
"""Settings by which an endpoint costs money, and its instances are scaled."""

SCENARIOS = {
    scenario.name: scenario
    for scenario in (
        Scenario("first", earlier=False, whole=True),
        Scenario("next", whole=True),
        Scenario("alias", alias=True),
        Scenario("canary", alias=True, canary=True),
        Scenario("retire", {"keep_previous": 0}),
        Scenario("in place", {"strategy": "in_place"}),
        Scenario("on instances", {"hosting": "instance"}, thinned=True),
        Scenario("streamed", {"hosting": "instance", "container": "llama-cpp"}),
        Scenario("on instances, in place", {"hosting": "instance", "strategy": "in_place"}, thinned=True),
        Scenario("on instances, wrong answer", {"hosting": "instance"}, thinned=True, wrong=True),
        Scenario(
            "on instances, another type",
            {"hosting": "instance", "instance_types": POOL},
            thinned=True,
            fall_back=True,
        ),
        Scenario(
            "two images", {"hosting": "instance", "instance_types": TWO_IMAGES}, thinned=True, fall_back=True
        ),
        Scenario(
            "two images, wrong answer",
            {"hosting": "instance", "instance_types": TWO_IMAGES},
            thinned=True,
            wrong=True,
            fall_back=True,
        ),
        Scenario(
            "on instances, no capacity", {"hosting": "instance"}, thinned=True, wrong=True, no_capacity=True
        ),
        Scenario("scales to none", TO_NONE, earlier=False, thinned=True),
        Scenario("scales to none, wrong answer", TO_NONE, earlier=False, thinned=True, wrong=True),
        Scenario("image", IMAGED),
        Scenario("image, wrong answer", IMAGED, wrong=True),
        Scenario("step down", {"memory_mb": 4096}),
        Scenario("wrong answer", wrong=True),
        Scenario("wrong answer, alias", alias=True, wrong=True),
        Scenario("alarm in the canary", alias=True, wrong=True, canary=True, alarm=True),
        Scenario("wrong answer in place", {"strategy": "in_place"}, wrong=True),
        Scenario("lowering refused", refuses_lowering=True),
        Scenario("lowering refused, wrong answer", refuses_lowering=True, wrong=True),
        Scenario(
            "long answers",
            {"smoke_test": {"prompts": [f"{n}. {'Why? ' * 150}" for n in range(10)], "expect": EXPECT}},
            thinned=True,
            lengthy=True,
        ),
        Scenario("quality gate", {"quality": {"suite": "suite.jsonl"}}, thinned=True),
        Scenario("unreadable variables", thinned=True, wrong=True, locked=True),
        Scenario("parameter refused", thinned=True, wrong=True, unmarked=True),
        Scenario("taken over", {"hosting": "instance"}, thinned=True, other="on instances"),
        Scenario(
            "taken over, wrong answer",
            {"hosting": "instance"},
            thinned=True,
            wrong=True,
            other="on instances",
        ),
        Scenario("takes what is free", earlier=False, thinned=True, occupied=8),
        Scenario("full account", thinned=True, occupied=7),
        Scenario("full account, wrong answer", thinned=True, wrong=True, occupied=7),
        Scenario("pause", SCALED, act=Act.PAUSE),
        Scenario("resume", SCALED, act=Act.RESUME),
        Scenario("expiry", {**SCALED, "expires_after_h": 2}, act=Act.EXPIRY),
    )
}


@dataclass(frozen=True, slots=True)
class Result:
    """What a case came to."""

    case: Case
    outcome: Outcome
    broken: tuple[Broken, ...]
    struck: int
    """How often the faults struck."""
    seconds: float

    def __str__(self) -> str:
        lines = [str(self.case), *(f"    {one.rule}: {one.seen}" for one in self.broken)]
        return "\n".join(
            [*lines, f"    ended {self.outcome.status} {self.outcome.error}: {self.outcome.cause}"]
        )


_SNAKE = {"Model": "create_model", "EndpointConfig": "create_endpoint_config", "Endpoint": "create_endpoint"}
"""The plan's names of the requests that make each kind of resource."""


@dataclass(frozen=True, slots=True)
class _Earlier:
    """An earlier deployment, and how it is put in place again without the workflow."""

    requests: dict[str, Any]
    """By operation, in the order in which they are made."""
    other_models: tuple[dict[str, Any], ...]
    """CreateModel's requests of the models that further types of its pool have."""
    variables: dict[str, str]
    alias_version: str
    parameters: dict[str, Parameter]
    scaling: KeptScaling | None

    @property
    def endpoint(self) -> str:
        """Its endpoint's name."""
        return str(self.requests["CreateEndpoint"]["EndpointName"])

    @property
    def url(self) -> str:
        """Where its model is: the archive's URL, or the image's URI."""
        container = self.requests["CreateModel"]["PrimaryContainer"]
        return str(container.get("ModelDataUrl") or container["Image"])

    @property
    def key(self) -> str:
        """The key of its archive."""
        return self.url.removeprefix("s3://").partition("/")[2]

    @classmethod
    def record(
        cls, cloud: LocalCloud, requests: dict[str, Any], parameters: dict[str, Parameter]
    ) -> _Earlier:
        """Write down the deployment that was just made, by its plan's requests and the tags that it has now."""
        client = cloud.clients.lambda_
        ask = cloud.hosting.handle
        asked = {}
        for kind, name in _SNAKE.items():
            request, field_ = requests[name], f"{kind}Name"
            found = ask(f"Describe{kind}", {field_: request[field_]})
            arn = found[f"{kind}Arn"]
            if kind == "Model":
                # An image is asked for by its digest, which the plan did not know.
                request = {**request, "PrimaryContainer": found["PrimaryContainer"]}
            asked[f"Create{kind}"] = {**request, "Tags": ask("ListTags", {"ResourceArn": arn})["Tags"]}
        further = ({**requests["create_model"], **one} for one in requests["other_models"])
        return cls(
            asked,
            tuple({**one, "Tags": asked["CreateModel"]["Tags"]} for one in further),
            client.get_function_configuration(FunctionName=CONSUMER)["Environment"]["Variables"],
            client.get_alias(FunctionName=CONSUMER, Name=ALIAS)["FunctionVersion"],
            parameters,
            autoscaling_api.read(cloud.clients.autoscaling, requests["create_endpoint"]["EndpointName"]),
        )

    def put_back(self, cloud: LocalCloud) -> None:
        """Make it again, just as it was."""
        for request in self.other_models:
            cloud.hosting.handle("CreateModel", request)
        for operation, request in self.requests.items():
            cloud.hosting.handle(operation, request)
        client = cloud.clients.lambda_
        client.update_function_configuration(FunctionName=CONSUMER, Environment={"Variables": self.variables})
        client.update_alias(FunctionName=CONSUMER, Name=ALIAS, FunctionVersion=self.alias_version)
        for name, one in self.parameters.items():
            tags: Any = [{"Key": key, "Value": value} for key, value in one.tags]
            cloud.clients.ssm.put_parameter(Name=name, Value=one.endpoint, Type="String", Tags=tags)
        if self.scaling is not None:
            autoscaling_api.restore(cloud.clients.autoscaling, self.endpoint, self.scaling)


class Stub:
    """A model server that is there at once."""

    def __init__(self, answer: Callable[[], str]) -> None:
        self._answer = answer

    def ping(self) -> bool:
        """Say that all is well."""
        return True

    def condition(self) -> ContainerCondition:
        """Say that it runs."""
        return ContainerCondition.RUNNING

    def call(self, call: ContainerCall, timeout_s: float) -> ContainerAnswer:
        """Answer in OpenAI's form, whole or in two events."""
        del timeout_s
        usage = {"prompt_tokens": 3, "completion_tokens": 6, "total_tokens": 9}
        if call.streams:
            said = {"choices": [{"index": 0, "delta": {"content": self._answer()}}]}
            end = {"choices": [], "usage": usage}
            events = "".join(f"data: {json.dumps(one)}\n\n" for one in (said, end)) + "data: [DONE]\n\n"
            return ContainerAnswer(200, events.encode(), "text/event-stream")
        choice = {
            "index": 0,
            "finish_reason": "stop",
            "message": {"role": "assistant", "content": self._answer()},
        }
        body = {"object": "chat.completion", "choices": [choice], "usage": usage}
        return ContainerAnswer(200, json.dumps(body).encode(), "application/json")

    def stop(self) -> None:
        """End: there is nothing to end."""

    def kill(self) -> None:
        """End: there is nothing to end."""

    def pids(self) -> list[int]:
        """Return none: there is no process."""
        return []


class World:
    """The cloud, and what is done in it; a context manager."""

    def __init__(
        self,
        scenarios: Mapping[str, Scenario] = SCENARIOS,
        *,
        contents: Sequence[bytes] = (b"earlier", b"new"),
        time_scale: float = TIME_SCALE,
        changing_s: float = 0.0,
    ) -> None:
        self._scenarios, self._contents = scenarios, contents
        self._good = GOOD
        """What models answer that answer rightly."""
        self._wrong = False
        """Whether models other than the earlier ones answer wrongly now."""
        self._wrong_urls: set[str] = set()
        """The archives whose models answer wrongly now."""
        self._earlier: dict[str, _Earlier] = {}
        hosting = HostingSettings(
            creating_s=changing_s,
            rescaling_s=changing_s,
            deleting_s=0,
            baking_scale=time_scale,
            baking_interval_s=0.005,
            ping_interval_s=0.01,
            stop_grace_s=0,
        )
        self.cloud = LocalCloud(CloudSettings(time_scale=time_scale, hosting=hosting, launch=self._launch))
        waits: Any
        for waits in (pausing, teardown):
            waits.LOOK_S = LOOK_S
        self._versions: dict[str, list[str]] = {}
        """Of each scenario's key, oldest first: the earlier deployment's, and what is deployed."""
        self._event_count = 0

    def __enter__(self) -> Self:
        self.cloud.start()
        self._prepare()
        return self

    def __exit__(self, *_: object) -> None:
        self.cloud.close()

    # ------------------------------------------------------------- what is done

    def record(self, scenario: Scenario) -> list[Step]:
        """Run a scenario without a fault; return the calls of its tasks, as steps.

        Raises:
            RuntimeError: when it does not end as it should.
        """
        before = self._start_from(scenario)
        outcome, calls = self._observed(scenario, [])
        wanted = "FAILED" if scenario.wrong else "SUCCEEDED"
        after = self.snapshot(scenario)
        if scenario.act:
            subject = self._subject(scenario)
            found = acts.broken(scenario.act, subject, before, outcome, after, killed=False)
            if scenario.act is Act.EXPIRY:
                found += acts.untold(subject, outcome)
        else:
            found = invariants.broken(before, outcome, after, lasting=False, trigger_failed=False)
        if outcome.status != wanted or found:
            raise RuntimeError(f"{scenario.name} without a fault: {outcome}, wanted {wanted}; {found}")
        return cases.steps(calls)

    def run(self, case: Case) -> Result:
        """Run a scenario with faults and, in most cases, then without; return what did not hold."""
        begun = time.monotonic()
        scenario = SCENARIOS[case.scenario]
        before = self._start_from(scenario)
        faults = case.of(self._functions)
        outcome, _ = self._observed(scenario, faults)
        struck = sum(self.cloud.faults.struck(fault) for fault in faults)
        self.cloud.faults.replace([])
        if scenario.act:
            found = self._judged(scenario, scenario.act, case, before, outcome)
            return Result(case, outcome, tuple(found), struck, time.monotonic() - begun)
        found = invariants.broken(
            before,
            outcome,
            self.snapshot(scenario),
            lasting=case.lasting,
            trigger_failed=any(
                step.task == TRIGGER and cases.KINDS[kind].lasting for step, kind in case.faults
            ),
        )
        if not outcome.good or case.repeated_though_good:
            repeated = self._deploy(scenario, self._versions[scenario.name][1], wrong=False)
            found += invariants.not_repeated(repeated, self.snapshot(scenario))
        return Result(case, outcome, tuple(found), struck, time.monotonic() - begun)

    def _observed(
        self, scenario: Scenario, faults: Sequence[Fault]
    ) -> tuple[Outcome, list[tuple[str, str, str]]]:
        self.cloud.recorded.clear()
        self.cloud.faults.replace([*faults, *self._refused(scenario)])
        if scenario.act:
            outcome = self._done(scenario, scenario.act)
        else:
            outcome = self._deploy(scenario, self._versions[scenario.name][1], wrong=scenario.wrong)
        calls = [
            (self._tasks[one.caller], one.call.service, one.call.operation)
            for one in tuple(self.cloud.recorded)
            # Its calls of the tasks are the tasks'; what it calls itself is for it alone to get right.
            if one.caller in self._tasks and not (one.caller == WORKFLOW and one.call.service == "lambda")
        ]
        return outcome, calls

    def _start_from(self, scenario: Scenario, *, earlier: bool | None = None) -> Snapshot:
        self.cloud.faults.replace([])
        self._wrong, self._wrong_urls = False, set()
        self._good = LONG if scenario.lengthy else GOOD
        self.cloud.hosting.rescaling = not scenario.refuses_lowering
        known = self._earlier.get(scenario.name)
        self._reset()
        if scenario.earlier if earlier is None else earlier:
            if known is None:
                self._earlier[scenario.name] = self._deploy_earlier(scenario)
            else:
                known.put_back(self.cloud)
        if scenario.occupied:
            self._occupy(scenario.occupied)
        if scenario.act is Act.RESUME:
            paused = self._commanded(scenario, Act.PAUSE)
            if not paused.good:
                raise RuntimeError(f"{scenario.name} could not be paused before: {paused}")
        return self.snapshot(scenario)

    # ------------------------------------------------------------ what is done to a service

    def _subject(self, scenario: Scenario) -> Subject:
        earlier = self._earlier[scenario.name]
        scaling = earlier.scaling.tag if earlier.scaling else kept_scaling.NONE
        return Subject(_service(scenario), earlier.endpoint, scaling)

    def _judged(
        self, scenario: Scenario, act: Act, case: Case, before: Snapshot, outcome: Outcome
    ) -> list[Broken]:
        """Return what did not hold after an act with faults, and after the same act once more without."""
        subject, after = self._subject(scenario), self.snapshot(scenario)
        killed = any("killed" in kind or kind == "timed out" for _, kind in case.faults)
        found = acts.broken(act, subject, before, outcome, after, killed=killed)
        again = self._done(scenario, act)
        there = self.snapshot(scenario)
        if not again.good:
            found.append(Broken("repeated", f"{again.status}: {again.cause[-600:]}"))
        found += [Broken("repeated", seen) for seen in acts.unfinished(act, subject, there)]
        if act is Act.PAUSE:
            back = self._commanded(scenario, Act.RESUME)
            seen = list(acts.unfinished(Act.RESUME, subject, self.snapshot(scenario)))
            found += [Broken("repeated", f"resumed: {one}; {back.cause[-600:]}") for one in seen]
        return found

    def _done(self, scenario: Scenario, act: Act) -> Outcome:
        return self._looked() if act is Act.EXPIRY else self._commanded(scenario, act)

    def _commanded(self, scenario: Scenario, act: Act) -> Outcome:
        """Run a command on the cloud, as a person does; its cause is all that it wrote."""
        written = io.StringIO()
        signal.signal(signal.SIGINT, signal.default_int_handler)
        os.environ["AWS_ENDPOINT_URL"] = self.cloud.url
        try:
            with contextlib.redirect_stdout(written), contextlib.redirect_stderr(written):
                status = cli.main([act.value, _service(scenario), "--yes"])
        finally:
            del os.environ["AWS_ENDPOINT_URL"]
        words = {cli.OK: "SUCCEEDED", cli.FAILED: "FAILED", cli.INTERRUPTED: acts.INTERRUPTED}
        return Outcome(words.get(status, f"exit status {status}"), cause=written.getvalue())

    def _looked(self) -> Outcome:
        """Let the schedule look, once shortly before the service's time is over, then until nothing is left."""
        ends = (one.get(releases.TAG_EXPIRES) for one in self._records().values())
        end = datetime.fromisoformat(next((at for at in ends if at), LONG_AGO))
        self._published().clear()
        told = [self._look(end - timedelta(minutes=30))]
        told += [self._look(end + timedelta(minutes=15 * n)) for n in range(LOOKS)]
        last = json.loads(told[-1])
        left = last.get("errorType") or last["expired"] or last["unseen"]
        return Outcome(
            "FAILED" if left else "SUCCEEDED", cause="\n".join(told), notified="\n".join(self._published())
        )

    def _look(self, now: datetime) -> str:
        """Let the schedule look as EventBridge does, which tries a look again that failed; return what came of it."""
        self._settle()
        (target,) = self.cloud.clients.events.list_targets_by_rule(Rule=self.cloud.physical_id(EXPIRY))[
            "Targets"
        ]
        template = target["InputTransformer"]["InputTemplate"]
        event = template.replace("<now>", json.dumps(now.isoformat())).encode()
        told = ""
        for _ in range(ATTEMPTS):
            answer = self.cloud.clients.lambda_.invoke(FunctionName=target["Arn"], Payload=event)
            told = answer["Payload"].read().decode()
            if not answer.get("FunctionError"):
                break
        self._settle()
        return told

    def _occupy(self, max_concurrency: int) -> None:
        """Let somebody else have an endpoint of so many concurrent invocations; it is none of the stack's."""
        ask = self.cloud.hosting.handle
        name = "somebodys"
        role = self.cloud.outputs["EndpointRoleArn"]
        # No data: the stub serves it whatever its image is.
        container = {"Image": images.DEFAULT.image_uri(self.cloud.region)}
        ask("CreateModel", {"ModelName": name, "ExecutionRoleArn": role, "PrimaryContainer": container})
        variant = {
            "VariantName": "AllTraffic",
            "ModelName": name,
            "ServerlessConfig": {"MemorySizeInMB": 1024, "MaxConcurrency": max_concurrency},
        }
        ask("CreateEndpointConfig", {"EndpointConfigName": name, "ProductionVariants": [variant]})
        ask("CreateEndpoint", {"EndpointName": name, "EndpointConfigName": name})

    def _deploy_earlier(self, scenario: Scenario) -> _Earlier:
        whose = self._scenarios[scenario.other] if scenario.other else scenario
        outcome = self._deploy(whose, self._versions[whose.name][0], wrong=False)
        if not outcome.good:
            raise RuntimeError(f"the earlier deployment of {scenario.name} ended with {outcome}")
        return _Earlier.record(self.cloud, outcome.plan["requests"], self._parameters())

    def _deploy(self, scenario: Scenario, version: str, *, wrong: bool = False) -> Outcome:
        """Hand the event of an upload to the trigger, and wait for what comes of it."""
        otherwise = scenario.alarm or scenario.locked or scenario.unmarked or scenario.no_capacity
        self._wrong = wrong and not otherwise
        self._set_capacity(scenario, none=wrong and scenario.no_capacity)
        self._lock(KEY if wrong and scenario.locked else "")
        self._set_alarm(firing=wrong and scenario.alarm)
        self._published().clear()
        arn = self._hand_over(self._item(key_of(scenario), version))
        if arn is None:
            return Outcome("NOT_STARTED")
        return self._ended(arn)

    def _refused(self, scenario: Scenario) -> list[Fault]:
        """Return what AWS refuses in a scenario by itself."""
        caller = self._functions["UpdateConsumer"]
        refused = Fault("ssm", "AddTagsToResource", cases.DENIED[cases.DEFAULT], caller=caller)
        return [refused] if scenario.unmarked else []

    def _set_alarm(self, *, firing: bool) -> None:
        cloudwatch: Any = self.cloud.clients.cloudwatch
        cloudwatch.set_alarm_state(
            AlarmName=ALARM, StateValue="ALARM" if firing else "OK", StateReason="set by hand"
        )

    def _set_capacity(self, scenario: Scenario, *, none: bool) -> None:
        first, *between, _ = (one["name"] for one in scenario.settings.get("instance_types", POOL))
        every = {one.name for one in instance_types.TYPES}
        hosting = self.cloud.hosting
        hosting.short_of = frozenset(every if none else {first} if scenario.fall_back else ())
        hosting.quotas = replace(
            hosting.quotas, instances=dict.fromkeys(between, 0) if scenario.fall_back else {}
        )

    def _lock(self, key: str) -> None:
        """Let a key encrypt the consumer's variables, or none any more."""
        client = self.cloud.clients.lambda_
        if (client.get_function_configuration(FunctionName=CONSUMER).get("KMSKeyArn") or "") != key:
            client.update_function_configuration(FunctionName=CONSUMER, KMSKeyArn=key)
            self._idle_consumer()

    def _item(self, key: str, version: str) -> dict[str, str]:
        """Return a new event's object: S3 gives each of them a number of its own."""
        self._event_count += 1
        return {"key": key, "version-id": version, "sequencer": f"{self._event_count:018X}"}

    def _hand_over(self, item: dict[str, str]) -> str | None:
        """Give the trigger an event, as often as AWS would; return the execution."""
        event = {"detail": {"bucket": {"name": self.cloud.outputs["UploadBucketName"]}, "object": item}}
        for _ in range(ATTEMPTS):
            answer = self.cloud.clients.lambda_.invoke(
                FunctionName=self._functions[TRIGGER], Payload=json.dumps(event).encode()
            )
            result = json.load(answer["Payload"])
            if not answer.get("FunctionError"):
                machine = self.cloud.outputs["StateMachineArn"]
                return f"{machine.replace(':stateMachine:', ':execution:')}:{result['name']}"
        return None

    def _ended(self, arn: str) -> Outcome:
        client = self.cloud.clients.stepfunctions
        deadline = time.monotonic() + STUCK_S
        backend = stepfunctions_parser_backends[self.cloud.account_id][self.cloud.region]
        # Not by way of HTTP, which would be most of the calls.
        running = backend.describe_execution(arn)
        while running.exec_status in (None, "RUNNING"):
            if time.monotonic() > deadline:
                last = execution_history.fetch(client, arn).states[-1].name
                client.stop_execution(executionArn=arn)
                return Outcome("STUCK", cause=f"in {last}")
            time.sleep(0.005)
        ended = execution_history.fetch(client, arn)
        plan = ended.results.get("plan_deployment") or {}
        names = plan.get("names") or {}
        kinds = (
            ("endpoint", "endpoint"),
            ("configuration", "endpoint_config"),
            ("model", "model"),
            ("alarms", "endpoint"),
            ("filters", "endpoint"),
            *((("component", "endpoint"),) if (plan.get("smoke_test") or {}).get("component") else ()),
        )
        image = plan.get("image") or {}
        return Outcome(
            ended.status,
            ended.error,
            ended.cause or "",
            "\n".join(self._published()),
            frozenset(f"{kind} {deployment_of(names[field_])}" for kind, field_ in kinds if names)
            | {f"model {name}" for name in names.get("other_models", ())}
            | ({f"image {image['tag']}"} if image else frozenset()),
            names.get("endpoint"),
            naming.endpoint_parameter(naming.stack_of(arn), plan["service"]) if plan else "",
            plan,
        )

    # ------------------------------------------------------------ what is looked at

    def snapshot(self, scenario: Scenario) -> Snapshot:
        """Return everything that a deployment may change, once nothing moves any more."""
        self._settle()
        ask = self.cloud.hosting.handle
        endpoints = {}
        for row in ask("ListEndpoints", {"MaxResults": 100})["Endpoints"]:
            found = ask("DescribeEndpoint", {"EndpointName": row["EndpointName"]})
            variant = (found.get("ProductionVariants") or [{}])[0]
            endpoints[row["EndpointName"]] = Endpoint(
                found["EndpointStatus"],
                found.get("EndpointConfigName", ""),
                (variant.get("CurrentServerlessConfig") or {}).get("MaxConcurrency", 0),
            )
        configs = ask("ListEndpointConfigs", {"MaxResults": 100})["EndpointConfigs"]
        models = ask("ListModels", {"MaxResults": 100})["Models"]
        client = self.cloud.clients.lambda_
        now = client.get_function_configuration(FunctionName=CONSUMER)
        return Snapshot(
            endpoints,
            frozenset(one["EndpointConfigName"] for one in configs),
            frozenset(one["ModelName"] for one in models),
            now["Environment"]["Variables"],
            client.get_alias(FunctionName=CONSUMER, Name=ALIAS)["FunctionVersion"],
            self._ask_consumer(scenario),
            frozenset(self._alarmed()),
            frozenset(self._measured()),
            frozenset(self._images()),
            self._parameters(),
            frozenset(one["InferenceComponentName"] for one in self._components()) | self._scaled_copies(),
            self._scaled() if scenario.act else {},
            self._records() if scenario.act else {},
        )

    def _endpoints(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self.cloud.hosting.handle("ListEndpoints", {"MaxResults": 100})[
            "Endpoints"
        ]
        return found

    def _components(self) -> list[dict[str, Any]]:
        listed = self.cloud.hosting.handle("ListInferenceComponents", {"MaxResults": 100})
        found: list[dict[str, Any]] = listed["InferenceComponents"]
        return found

    def _scaled_copies(self) -> frozenset[str]:
        """Return the components that have a scalable target: one that outlives its component is left behind too."""
        backend = applicationautoscaling_backends[self.cloud.account_id][self.cloud.region]
        found = backend.describe_scalable_targets("sagemaker", None, scaling.DIMENSION)
        return frozenset(one.resource_id.rpartition("/")[2] for one in found)

    def _scaled(self) -> dict[str, str]:
        """Return how the instances of each endpoint scale, as a tag keeps it."""
        client: Any = self.cloud.clients.autoscaling
        found = client.describe_scalable_targets(ServiceNamespace="sagemaker")["ScalableTargets"]
        names = [str(one["ResourceId"]).split("/")[1] for one in found]
        kept = {name: autoscaling_api.read(client, name) for name in names}
        return {name: one.tag for name, one in kept.items() if one is not None}

    def _records(self) -> dict[str, dict[str, str]]:
        """Return the tags of each configuration."""
        client = self.cloud.clients.sagemaker
        rows = client.list_endpoint_configs(MaxResults=100)["EndpointConfigs"]
        return {
            one["EndpointConfigName"]: dict(resource_tags.read(client, one["EndpointConfigArn"]))
            for one in rows
        }

    def _parameters(self) -> dict[str, Parameter]:
        """Return the parameters of all services, with their tags; from moto itself, which answers sooner."""
        backend = self._ssm()
        return {
            one.name: Parameter(
                one.value, tuple(sorted(backend.list_tags_for_resource("Parameter", one.name).items()))
            )
            for one in backend.get_parameters_by_path(naming.PARAMETERS, True)[0]
        }

    def _ssm(self) -> Any:
        return ssm_backends[self.cloud.account_id][self.cloud.region]

    def _images(self) -> dict[str, str]:
        """Return the images that hold a model: the digest by the tag."""
        listed = stored_images.listed(self.cloud.clients.registry, self._repository, most=100)
        return {one.tag: one.digest for one in listed}

    def _ask_consumer(self, scenario: Scenario) -> str | None:
        name = f"{CONSUMER}:{ALIAS}" if scenario.alias else CONSUMER
        answer = self.cloud.clients.lambda_.invoke(FunctionName=name, Payload=b'{"prompt": "What?"}')
        if answer.get("FunctionError"):
            return None
        result = json.load(answer["Payload"])
        return str(result["endpoint_name"]) if EXPECT["contains"] in result["answer"] else None

    def _settle(self) -> None:
        deadline = time.monotonic() + STUCK_S
        lasting = ("InService", "Failed")
        while (
            any(row["EndpointStatus"] not in lasting for row in self._endpoints())
            and time.monotonic() < deadline
        ):
            time.sleep(0.005)
        changing = {"Creating", "Updating", "Deleting"}
        while any(row["InferenceComponentStatus"] in changing for row in self._components()):
            if time.monotonic() > deadline:
                break
            time.sleep(0.005)

    def _published(self) -> list[str]:
        arn = self.cloud.outputs["TopicArn"]
        topic = sns_backends[self.cloud.account_id][self.cloud.region].topics[arn]
        return _Messages(topic.sent_notifications)

    # ------------------------------------------------------------------ the stage

    def _launch(self, endpoint_name: str, deployment: Deployment, *, cancelled: Callable[[], bool]) -> Stub:
        del endpoint_name, cancelled
        url = deployment.model_data_url or deployment.image

        def answer() -> str:
            # Asked at each call: a model may be called wrong, and right again, while it runs.
            earlier = url in {known.url for known in self._earlier.values()}
            wrong = url in self._wrong_urls or (self._wrong and not earlier)
            return WRONG if wrong else self._good

        return Stub(answer)

    def _prepare(self) -> None:
        cloud = self.cloud
        tasks = _tasks()
        self._functions = {task: cloud.physical_id(task) for task in tasks} | {
            WORKFLOW: WORKFLOW,
            COMMAND: COMMAND,
        }
        cloud.know(FAKES["AWS_ACCESS_KEY_ID"], COMMAND, _interrupt)
        self._tasks = {name: task for task, name in self._functions.items()}
        client = cloud.clients.lambda_
        client.update_function_code(
            FunctionName=CONSUMER, ZipFile=bundles.code_of({"handler.py": HANDLER.encode()}).body
        )
        self._idle_consumer()
        version = client.publish_version(FunctionName=CONSUMER)["Version"]
        client.create_alias(FunctionName=CONSUMER, Name=ALIAS, FunctionVersion=version)
        self._first_version = version
        cloud.clients.cloudwatch.put_metric_alarm(
            AlarmName=ALARM,
            Namespace="AWS/Lambda",
            MetricName="Errors",
            Dimensions=[{"Name": "FunctionName", "Value": CONSUMER}],
            Statistic="Sum",
            Period=60,
            EvaluationPeriods=1,
            Threshold=1.0,
            ComparisonOperator="GreaterThanOrEqualToThreshold",
        )
        # Events are handed over by hand here, so that each run knows its execution.
        for rule in cloud.clients.events.list_rules()["Rules"]:
            cloud.clients.events.disable_rule(Name=rule["Name"])
        bucket = cloud.outputs["UploadBucketName"]
        self._push_plain()
        for n, archive in enumerate(map(tiny_archive, self._contents)):
            if n:
                # S3 tells the time of an upload in whole seconds, and the newer one is to be newer.
                time.sleep(1.1)
            for scenario in self._scenarios.values():
                put = cloud.clients.s3.put_object(Bucket=bucket, Key=key_of(scenario), Body=archive)
                self._versions.setdefault(scenario.name, []).append(put["VersionId"])
        for scenario in self._scenarios.values():
            settings = json.dumps(_settings(scenario)).encode()
            sidecar = f"models/{_service(scenario)}/deployment.json"
            cloud.clients.s3.put_object(Bucket=bucket, Key=sidecar, Body=settings)
            if gate := scenario.settings.get("quality"):
                suite = f"models/{_service(scenario)}/{gate['suite']}"
                cloud.clients.s3.put_object(Bucket=bucket, Key=suite, Body=SUITE)

    @property
    def _repository(self) -> str:
        return self.cloud.outputs["ImageRepository"]

    def _push_plain(self) -> None:
        """Put an image into the stack's repository that a model can be laid on: nobody runs it."""
        to = EcrRepository(
            base.parse(self._repository), self.cloud.clients.registry, Http(Patience(), local=True)
        )
        config = json.dumps(
            {"architecture": "amd64", "os": "linux", "rootfs": {"type": "layers", "diff_ids": []}}
        ).encode()
        descriptor = Descriptor(DOCKER_CONFIG, digest_of(config), len(config))
        to.upload(descriptor, lambda: io.BytesIO(config), lambda _count: None)
        tag = image_tag(__version__, "x86_64")
        to.put_manifest(Manifest(descriptor, ()).render(), DOCKER_MANIFEST, tag)

    def _delete_components(self) -> None:
        applicationautoscaling_backends[self.cloud.account_id][self.cloud.region].targets.clear()
        for row in self._components():
            self.cloud.hosting.handle(
                "DeleteInferenceComponent", {"InferenceComponentName": row["InferenceComponentName"]}
            )
        while self._components():
            time.sleep(0.002)

    def _reset(self) -> None:
        """Take everything away but the archives of earlier deployments, and put the consumer back."""
        ask = self.cloud.hosting.handle
        self._settle()
        self._delete_components()
        for row in ask("ListEndpoints", {"MaxResults": 100})["Endpoints"]:
            ask("DeleteEndpoint", {"EndpointName": row["EndpointName"]})
        for row in ask("ListEndpointConfigs", {"MaxResults": 100})["EndpointConfigs"]:
            ask("DeleteEndpointConfig", {"EndpointConfigName": row["EndpointConfigName"]})
        for row in ask("ListModels", {"MaxResults": 100})["Models"]:
            ask("DeleteModel", {"ModelName": row["ModelName"]})
        while ask("ListEndpoints", {"MaxResults": 100})["Endpoints"]:
            time.sleep(0.002)
        self._delete_alarms()
        for endpoint in self._scaled():
            autoscaling_api.deregister(self.cloud.clients.autoscaling, endpoint)
        for name in self._parameters():
            self._ssm().delete_parameter(name)
        for endpoint in self._measured():
            metric_filters_api.delete(self.cloud.clients.logs, endpoint)
        client = self.cloud.clients.lambda_
        self._idle_consumer()
        self._lock("")
        if client.get_function_configuration(FunctionName=CONSUMER)["Environment"]["Variables"] != BEFORE:
            client.update_function_configuration(FunctionName=CONSUMER, Environment={"Variables": BEFORE})
        client.update_alias(
            FunctionName=CONSUMER,
            Name=ALIAS,
            FunctionVersion=self._first_version,
            RoutingConfig={"AdditionalVersionWeights": {}},
        )
        self._idle_consumer()
        self._forget_executions()
        self._empty_stores()

    def _empty_stores(self) -> None:
        """Delete archives, records and images, but those of earlier deployments."""
        bucket = self.cloud.outputs["ArtifactBucketName"]
        keep = {earlier.key for earlier in self._earlier.values()}
        for one in self.cloud.clients.s3.list_objects_v2(Bucket=bucket).get("Contents", ()):
            if one["Key"] not in keep:
                self.cloud.clients.s3.delete_object(Bucket=bucket, Key=one["Key"])
        kept = {earlier.url for earlier in self._earlier.values()}
        for digest in self._images().values():
            if f"{self._repository}@{digest}" not in kept:
                stored_images.delete(self.cloud.clients.registry, self._repository, digest)

    def _forget_executions(self) -> None:
        """Let moto look only at the newest: it looks through all for one, and a run needs none of another's."""
        backend = stepfunctions_parser_backends[self.cloud.account_id][self.cloud.region]
        for machine in backend.state_machines:
            machine.executions[:] = [
                one for one in machine.executions if one.exec_status in (None, "RUNNING")
            ]

    def _alarmed(self) -> set[str]:
        """Return the endpoints that have an alarm."""
        found = self.cloud.clients.cloudwatch.describe_alarms(AlarmNamePrefix=alarms.PREFIX, MaxRecords=100)
        dimensions = (one for alarm in found["MetricAlarms"] for one in alarm["Dimensions"])
        return {one["Value"] for one in dimensions if one["Name"] == "EndpointName"}

    def _measured(self) -> set[str]:
        """Return the endpoints whose logs have metric filters."""
        found = self.cloud.clients.logs.describe_metric_filters()["metricFilters"]
        return {one["logGroupName"].rpartition("/")[2] for one in found}

    def _delete_alarms(self) -> None:
        for endpoint in self._alarmed():
            self.cloud.clients.cloudwatch.delete_alarms(AlarmNames=alarms.names(endpoint))

    def _idle_consumer(self) -> None:
        client = self.cloud.clients.lambda_
        while client.get_function_configuration(FunctionName=CONSUMER)["LastUpdateStatus"] == "InProgress":
            time.sleep(0.002)


class _Messages(list[str]):
    """The texts of what moto's topic sent; clearing it clears the topic's."""

    def __init__(self, sent: list[Any]) -> None:
        super().__init__(str(one[1]) for one in sent)
        self._sent = sent

    def clear(self) -> None:
        super().clear()
        self._sent.clear()


def _tasks() -> list[str]:
    """Return the logical names of the tasks, which are the files of tasks/."""
    from pipeline import package_files

    stems = sorted(path.stem for path in package_files.tasks().glob("*.py") if not path.stem.startswith("_"))
    return ["".join(part.capitalize() for part in stem.split("_")) for stem in stems]


def _interrupt() -> None:
    """Do to this process's command what Ctrl-C does."""
    signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)


def _service(scenario: Scenario) -> str:
    return scenario.name.replace(",", "").replace(" ", "-")


def key_of(scenario: Scenario) -> str:
    """Return the key that a scenario's archives are uploaded to."""
    return f"models/{_service(scenario)}/model.tar.gz"


def _settings(scenario: Scenario) -> dict[str, Any]:
    return {
        "container": "llama-cpp",
        # All that the account has, so that room has to be made.
        **(
            {}
            if scenario.settings.get("hosting") == "instance" or scenario.occupied
            else {"max_concurrency": 10}
        ),
        "smoke_test": {"prompts": ["What?"], "expect": EXPECT},
        "consumer": {
            "function_name": CONSUMER,
            "test_event": {"prompt": "What?"},
            "expect": EXPECT,
            **({"alias": ALIAS} if scenario.alias else {}),
            **({"take_over": True} if scenario.other else {}),
            **({"canary": {"weight": 0.5, "bake_s": 60, "alarms": [ALARM]}} if scenario.canary else {}),
        },
        **scenario.settings,
    }


def leave_accounts_alone() -> None:
    """Take the credentials and settings of whoever runs this out of the environment, and put fake ones there."""
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        del os.environ[name]
    os.environ |= FAKES


def tiny_archive(content: bytes) -> bytes:
    """Return a small archive with code in it, which the container has no use for: it is spliced, not just copied.

    Its model has a name of its own, so that images which hold different ones are different.
    """
    from examples.tiny_gguf import write_tiny_gguf

    buffer = io.BytesIO()
    with tempfile.TemporaryDirectory() as folder, tarfile.open(fileobj=buffer, mode="w") as archive:
        path = Path(folder) / f"{content.decode()}.gguf"
        write_tiny_gguf(path)
        archive.add(path, path.name)
        code = tarfile.TarInfo("code/inference.py")
        code.size = len(content)
        archive.addfile(code, io.BytesIO(content))
    return gzip.compress(buffer.getvalue(), 1)
