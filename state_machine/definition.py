"""The deployment workflow, in the `stepfunctions` SDK; `make definition` renders it to `deploy.asl.json`.

Everything that has to do with time is here and nowhere else: how each error class is retried, the poll loop and its
deadline, the time-outs. Which errors a task may raise, and how long its function may take, the task states itself.
`${Name}` is filled in by the template's DefinitionSubstitutions.

The order of the states, with the places of those that are still to come in parentheses:

    CheckArchive, PlanDeployment, WhichArtifact, AssembleArchive or AssembleImage (as often as ImageWhole says,
    then ImageAssembled), CreateModel, CreateEndpointConfig, MakeRoom, InPlace,
    CreateEndpoint or UpdateEndpoint, WaitForEndpoint, PollEndpoint, EndpointReady (CreateComponent once, where the
    endpoint is to host one, and WaitForEndpoint again), SmokeTest, MonitorEndpoint,
    HasQualityGate (EvaluateQuality, as often as QualityEvaluated says), ReadConsumer, WhoseConsumer,
    HasCanary, UpdateConsumer, RetirePrevious, RestoreCapacity, Summarise, ShowSummary, NotifySuccess,
    DeploymentSucceeded

The switch is entered without a consumer too, for the parameter that names the service's endpoint. A consumer that
another service took since the plan is left to it: LeaveConsumer, ConsumerLeft, UpdateConsumer.
A switch in two steps has ShiftConsumer, BeginBake, BakeConsumer, WatchConsumer and ConsumerBaked after HasCanary.
And from any failure: Diagnose, RollBack, NotifyFailure, DeploymentFailed. A quota that refuses a configuration or an
endpoint leads to StepDown and back to CreateEndpointConfig: the capacity ladder, which has an end.
"""

from __future__ import annotations

import json
import re
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from stepfunctions.steps import Catch, Choice, ChoiceRule, Graph, Pass, Succeed, Wait

from pipeline import errors, json_codec, naming
from pipeline.endpoint_status import EndpointVerdict
from pipeline.hosting import IN_STEPS
from pipeline.operations import state_order
from state_machine.language import Fail, LambdaTask, Retry, SnsPublish
from tasks import (
    assemble_archive,
    assemble_image,
    check_archive,
    create_component,
    create_endpoint,
    create_endpoint_config,
    create_model,
    diagnose,
    evaluate_quality,
    make_room,
    monitor_endpoint,
    plan_deployment,
    poll_endpoint,
    read_consumer,
    restore_capacity,
    retire_previous,
    roll_back,
    shift_consumer,
    smoke_test,
    step_down,
    update_consumer,
    update_endpoint,
    watch_consumer,
)

if TYPE_CHECKING:
    from collections.abc import Mapping
    from types import ModuleType

    from stepfunctions.steps.states import State

    from pipeline.errors import SealiftError

RENDERED = Path(__file__).with_name("deploy.asl.json")
ORDER = Path(state_order.__file__)

EXECUTION_TIMEOUT_S = 9 * 3600
"""The outermost bound: longer than the longest deadlines, all that precedes them, and the longest rollback."""

PROVISIONING_S = 1800
"""How long SageMaker may take to find instances and to take them back, which no time-out bounds: assumed."""

LEAST_TIMEOUT_S, STARTING_S = 120, 10
"""How long a state may take at the least, and beyond its function's own time-out: the function is started first, and
one that ends after its state has given up would work unseen."""

DEFAULTS = {
    "execution_role_arn": "${EndpointRoleArn}",
    "endpoint_role_arns": "${EndpointRoleArns}",
    "account_id": "${AccountId}",
    "region": "${Region}",
    "container": "${Container}",
    "image_uri": "${ImageUri}",
    "consumer_function_name": "${ConsumerFunctionName}",
    "consumer_function_pattern": "${ConsumerFunctionPattern}",
    "artifact_bucket": "${ArtifactBucketName}",
    "allow_archive_code": "${AllowArchiveCode}",
    "subnets": "${Subnets}",
    "security_groups": "${SecurityGroups}",
    "network_isolation": "${NetworkIsolation}",
    "volume_kms_key_arns": "${VolumeKmsKeyArns}",
    "resource_tags": "${ResourceTags}",
}


def _names(*classes: type[SealiftError]) -> list[str]:
    return [cls.__name__ for cls in classes]


LAMBDA_TRANSIENT: Final = Retry(
    error_equals=[
        "Lambda.ClientExecutionTimeoutException",
        "Lambda.ServiceException",
        "Lambda.AWSLambdaException",
        "Lambda.SdkClientException",
        "Lambda.TooManyRequestsException",
    ],
    interval_seconds=2,
    max_attempts=6,
    backoff_rate=2.0,
    max_delay_seconds=60,
    jitter_strategy="FULL",
)
"""Lambda's own trouble, as the Step Functions guide lists it; the function may or may not have run."""

CRASH: Final = Retry(
    error_equals=["Lambda.Unknown", "Sandbox.Timedout", "Runtime.ExitError"],
    interval_seconds=3,
    max_attempts=2,
    backoff_rate=2.0,
    max_delay_seconds=30,
    jitter_strategy="FULL",
)
"""A function that ran out of memory or time, or died: every task is safe to run twice, so try again."""

OVERLOAD: Final = Retry(
    error_equals=_names(errors.Throttled, errors.ServiceUnavailable),
    interval_seconds=2,
    max_attempts=8,
    backoff_rate=2.0,
    max_delay_seconds=60,
    jitter_strategy="FULL",
)
"""AWS asks for patience, or answers with an error of its own (5xx)."""

CAPACITY: Final = Retry(
    error_equals=_names(errors.ResourceLimitExceeded),
    interval_seconds=15,
    max_attempts=6,
    backoff_rate=2.0,
    max_delay_seconds=300,
    jitter_strategy="FULL",
)
"""A quota that is used up: somebody else's deployment may end meanwhile. Full jitter, so that two don't race."""

LADDER: Final = _names(errors.QuotaTooSmall, errors.QuotaUsedUp, errors.ResourceLimitExceeded)
"""What StepDown is for: a quota that waiting cannot help, one that is not waited for, and one that it did not help.

Caught where a task states one of the first two: of a model, whose number a quota limits, there is nothing less."""

CONSISTENCY: Final = Retry(
    error_equals=_names(errors.NotYetVisible),
    interval_seconds=2,
    max_attempts=6,
    backoff_rate=1.5,
    max_delay_seconds=15,
    jitter_strategy="FULL",
)
"""Made a moment ago, and not seen everywhere yet."""

BUSY_ENDPOINT: Final = Retry(
    error_equals=_names(errors.EndpointBusy),
    interval_seconds=5,
    max_attempts=84,
    backoff_rate=1.5,
    max_delay_seconds=15,
)
"""An endpoint in Creating or Deleting: no jitter, since nobody competes; together about 20 minutes."""

LEAVING_ENDPOINT: Final = Retry(
    error_equals=_names(errors.EndpointBusy),
    interval_seconds=5,
    max_attempts=303,
    backoff_rate=1.5,
    max_delay_seconds=30,
)
"""An endpoint that is to go, or to go back: nobody can hurry it, and left alone its instances would cost money.

Together two and a half hours: the two time-outs of a container at their longest, and PROVISIONING_S."""

COLD_START: Final = Retry(
    error_equals=_names(errors.ModelNotReady),
    interval_seconds=3,
    max_attempts=24,
    backoff_rate=1.5,
    max_delay_seconds=15,
)
"""The serverless container is still being provisioned: 180 s at the most, and some."""

BUSY_CONSUMER: Final = Retry(
    error_equals=_names(errors.ConsumerBusy, errors.ConsumerChanged),
    interval_seconds=2,
    max_attempts=15,
    backoff_rate=1.5,
    max_delay_seconds=15,
)
"""Lambda applies an update in seconds; a changed configuration is read again and merged anew."""


OTHERS_TURN: Final = Retry(
    error_equals=_names(errors.ConsumerBusy),
    interval_seconds=2,
    max_attempts=84,
    backoff_rate=1.5,
    max_delay_seconds=15,
)
"""Another deployment has switched the consumer and is being tried; together about 20 minutes."""

WAITS: Final = (CAPACITY, CONSISTENCY, BUSY_ENDPOINT, COLD_START, BUSY_CONSUMER)
"""How long each error that passes by itself is waited for, but where a state says otherwise."""

CAUGHT: Final = (errors.QuotaTooSmall, errors.QuotaUsedUp, errors.EndpointMoved, errors.ConsumerMoved)
"""The errors of tasks after which the workflow goes on elsewhere than at Diagnose (`_wire_caught`)."""

SNS_TROUBLE: Final = Retry(
    error_equals=["States.TaskFailed"], interval_seconds=2, max_attempts=3, backoff_rate=2.0
)
"""A notification is tried again a little, and then done without."""


PARAMETER: Final = naming.endpoint_parameter("${StackName}", "{}")
"""The parameter that names a service's endpoint; the service is filled in by States.Format."""

DATA_LIMIT: Final = "States.DataLimitExceeded"
"""A result that the execution's data have no room for. `States.ALL` does not match it; a catcher that names it does,
so what was made is undone. An output has no such catcher, and `pipeline.payload` keeps all of them far from it."""


def _catch_all(result_path: str, next_step: State) -> tuple[Catch, Catch]:
    """Return what catches whatever may be caught."""
    catch = partial(Catch, result_path=result_path, next_step=next_step)
    return catch(error_equals=[DATA_LIMIT]), catch(error_equals=["States.ALL"])


def name_of(task: ModuleType) -> str:
    """Return the name of a task's state and function, by which its file is named as well."""
    return "".join(word.capitalize() for word in task.__name__.rpartition(".")[2].split("_"))


def _result_path(state: str) -> str:
    """Return where a state's result goes: a place of its own name, but for StepDown's, which is another plan."""
    state = "PlanDeployment" if state == "StepDown" else state
    return "$." + re.sub(r"(?<!^)(?=[A-Z])", "_", state).lower()


def _check_payload(task: ModuleType, payload: dict[str, Any]) -> None:
    """Refuse a payload that is not a task's Event.

    Raises:
        ValueError: with what is missing and what nobody reads.
    """
    sent, read = {name.removesuffix(".$") for name in payload}, set(json_codec.keys(task.Event))
    if sent != read:
        raise ValueError(
            f"the payload of {task.__name__} lacks {sorted(read - sent)}, and nobody reads its {sorted(sent - read)}; "
            "wanted the keys of the task's Event; change one of the two"
        )


SERVICE: Final = {
    "PlanDeployment": "$.check_archive.request.service",
    "CheckArchive": None,
    "Diagnose": None,
    "RollBack": None,
}
"""Where the service's name is; where it may not be yet, the task looks for it itself (`pipeline.aws.task_log`)."""


def _retries(task: ModuleType, own: tuple[Retry, ...]) -> list[Retry]:
    """Return the retriers of what a task says may pass by itself, in the task's order.

    Args:
        task: which states its errors.
        own: retriers that stand at this state in the place of those in `WAITS`.

    Raises:
        ValueError: for an error that no retrier and no catcher is for, or a retrier for more than the task states.
    """
    stated: tuple[type[SealiftError], ...] = task.handler.errors
    passing = _names(*(error for error in stated if issubclass(error, errors.TransientError)))
    retriers = {name: retrier for retrier in (*WAITS, *own) for name in retrier.error_equals}
    chosen = list(dict.fromkeys(retriers[name] for name in passing if name in retriers))
    retried = {name for retrier in chosen for name in retrier.error_equals}
    known = retried | set(_names(*CAUGHT))
    if lost := [name for name in _names(*stated) if name not in known]:
        raise ValueError(
            f"{task.__name__} states {lost}, after which the workflow does nothing of its own; wanted one of "
            f"{sorted(retriers.keys() | set(_names(*CAUGHT)))}; leave it out, or add a retrier or a catcher"
        )
    if unstated := sorted(retried - set(passing)):
        raise ValueError(
            f"{task.__name__} states {passing}, and what retries them retries {unstated} as well; wanted a retrier "
            "of these alone; state the others too, or hand the state a retrier of its own"
        )
    return chosen


def _task(task: ModuleType, comment: str, payload: dict[str, Any], *own: Retry) -> LambdaTask:
    """Return one task's state. State, Lambda, file and result path all have the same name.

    What it gets, what is kept of its answer, what is retried and how long it may take are what the task states.

    Args:
        task: its module.
        comment: what it is for, in the console.
        payload: of the task's Event.
        own: retriers other than the usual ones.
    """
    _check_payload(task, payload)
    state = name_of(task)
    service = SERVICE.get(state, "$.plan_deployment.service")
    return LambdaTask(
        state,
        comment=comment,
        function=f"${{{state}Arn}}",
        payload={
            **payload,
            # What the lines of the task's log are found by.
            "log": {
                "execution.$": "$$.Execution.Id",
                "state.$": "$$.State.Name",
                **({"service.$": service} if service else {}),
            },
        },
        result=task.Result,
        errors=task.handler.errors,
        result_path=_result_path(state),
        timeout_seconds=max(LEAST_TIMEOUT_S, task.handler.timeout_s + STARTING_S),
        retry=[LAMBDA_TRANSIENT, CRASH, OVERLOAD, *_retries(task, own)],
    )


def _forward() -> list[LambdaTask]:
    """Return the tasks of a deployment that goes well, in their order."""
    endpoint = "$.plan_deployment.names.endpoint"
    return [
        _task(
            check_archive,
            "Refuse at once what cannot become an endpoint: the input, the archive's format and layout, the GGUF.",
            {"input.$": "$$.Execution.Input", "defaults": DEFAULTS},
        ),
        _task(
            plan_deployment,
            "Choose names and sizes; show the arithmetic and the very requests that will be sent.",
            {
                "results.$": "$",
                "execution.$": "$$.Execution.Id",
                "started.$": "$$.Execution.StartTime",
                "defaults": DEFAULTS,
            },
        ),
        _task(
            assemble_archive,
            "Put the inference code into the archive, under a key made of its content; S3 copies the weights itself.",
            {
                "archive.$": "$.check_archive.archive",
                "assembly.$": "$.check_archive.assembly",
                "hosting.$": "$.check_archive.request.hosting",
            },
        ),
        _task(
            assemble_image,
            "Put the model into a layer of Sealift's own image, in the stack's repository; goes on where it stopped.",
            {
                "archive.$": "$.check_archive.archive",
                "assembly.$": "$.check_archive.assembly",
                "hosting.$": "$.check_archive.request.hosting",
                "model.$": "$.check_archive.model.path",
                "image.$": "$.plan_deployment.image",
                "execution.$": "$.plan_deployment.execution",
            },
        ),
        _task(
            create_model,
            "Archive, image and environment under one name.",
            {
                "request.$": "$.plan_deployment.requests.create_model",
                "others.$": "$.plan_deployment.requests.other_models",
                "assembled.$": "$.assemble_archive",
            },
        ),
        _task(
            create_endpoint_config,
            "Memory and concurrency, or instances.",
            {"request.$": "$.plan_deployment.requests.create_endpoint_config"},
        ),
        _task(
            make_room,
            "Lower the service's own older endpoints where the plan says so, so that the new one has room.",
            {"room.$": "$.plan_deployment.room", "service.$": "$.plan_deployment.service"},
        ),
        _task(
            create_endpoint,
            "Ask for the endpoint. Quotas speak here: ResourceLimitExceeded backs off with full jitter.",
            {
                "request.$": "$.plan_deployment.requests.create_endpoint",
                "asked.$": "$.plan_deployment.asked",
                "deadline_s.$": "$.plan_deployment.poll.deadline_s",
            },
        ),
        _task(
            update_endpoint,
            "Strategy in_place: bring the service's one endpoint to the new configuration. Quotas speak here too.",
            {
                "request.$": "$.plan_deployment.requests.update_endpoint",
                "asked.$": "$.plan_deployment.asked",
                "updates.$": "$.plan_deployment.updates",
                "service.$": "$.plan_deployment.service",
                "execution.$": "$.plan_deployment.execution",
                "uploaded_at.$": "$.check_archive.archive.last_modified",
                "deadline_s.$": "$.plan_deployment.poll.deadline_s",
            },
        ),
        _task(
            step_down,
            "The next rung of the capacity ladder: less of what a quota limits, another instance type, or the end.",
            {"plan.$": "$.plan_deployment", "refusal.$": "$.refusal"},
        ),
        _task(
            poll_endpoint,
            "One look at the endpoint.",
            {
                "endpoint_name.$": endpoint,
                "endpoint_config_name.$": "$.plan_deployment.names.endpoint_config",
                "updates.$": "$.plan_deployment.updates",
                "component.$": "$.plan_deployment.requests.create_inference_component",
            },
        ),
        _task(
            create_component,
            "Where the deployment scales to zero: the inference component that brings the model to the endpoint.",
            {"request.$": "$.plan_deployment.requests.create_inference_component"},
        ),
        _task(
            smoke_test,
            "InService is no proof; an answer is.",
            {
                "endpoint_name.$": endpoint,
                "smoke_test.$": "$.plan_deployment.smoke_test",
                "service.$": "$.plan_deployment.service",
                "hosting.$": "$.plan_deployment.hosting",
                "execution.$": "$$.Execution.Id",
            },
        ),
        _task(
            monitor_endpoint,
            "Alarms on the new endpoint, before anybody depends on it.",
            {
                "plan.$": "$.plan_deployment",
                "topic": "${TopicArn}",
                "running.$": "$.poll_endpoint.running",
            },
        ),
        _task(
            evaluate_quality,
            "Opt-in: the new endpoint and the earlier one are asked a suite; a worse one is not switched to.",
            {"plan.$": "$.plan_deployment"},
        ),
        _task(
            read_consumer,
            "Whose turn it is, and how the consumers and the service's parameter are, so that the switch can be undone "
            "exactly.",
            {"consumers.$": "$.plan_deployment.consumers", "results.$": "$"},
            OTHERS_TURN,
        ),
        _task(
            shift_consumer,
            "The first step of a switch in two: try the new version, then give it a part of the alias' calls.",
            {
                "consumers.$": "$.plan_deployment.consumers",
                "before.$": "$.read_consumer",
                "endpoint_name.$": endpoint,
                "prompt.$": "$.plan_deployment.smoke_test.prompts[0]",
            },
        ),
        _task(
            watch_consumer,
            "Check the alarms of the endpoint and of the consumers once; one that fires rolls everything back.",
            {
                "consumers.$": "$.plan_deployment.consumers",
                "endpoint_name.$": endpoint,
                "alarms.$": "$.monitor_endpoint.judging",
                "left.$": "$.watch_consumer.left",
            },
        ),
        _task(
            update_consumer,
            "The cut-over: switch the consumers to the endpoint, try each end to end; the service's parameter last.",
            {
                "consumers.$": "$.plan_deployment.consumers",
                "before.$": "$.read_consumer",
                "endpoint_name.$": endpoint,
                "prompt.$": "$.plan_deployment.smoke_test.prompts[0]",
                "serving": {
                    "service.$": "$.plan_deployment.service",
                    "execution.$": "$.plan_deployment.execution",
                    "since.$": "$$.State.EnteredTime",
                },
                "tags.$": "$.plan_deployment.requests.create_model.Tags",
            },
        ),
        _task(
            retire_previous,
            "Mark the deployment as good; keep the last good ones as ways back and delete older ones that nobody uses.",
            {"plan.$": "$.plan_deployment", "now.$": "$$.State.EnteredTime"},
        ),
        _task(
            restore_capacity,
            "Give the new endpoint what was requested, as far as the quota reaches; the older ones keep one each. "
            "On instances, set up auto scaling where it is requested.",
            {"plan.$": "$.plan_deployment", "running.$": "$.poll_endpoint.running"},
        ),
    ]


def _summary(done: SnsPublish) -> Pass:
    """Return what puts what a person wants to know at the top level of the output, beside the states' results."""
    summarise = Pass(
        "Summarise",
        comment="What came of it, for people.",
        parameters={
            "service.$": "$.plan_deployment.service",
            "endpoint_name.$": "$.plan_deployment.names.endpoint",
            "archive": {
                f"{name}.$": f"$.check_archive.archive.{name}"
                for name in ("bucket", "key", "version_id", "etag", "size", "last_modified")
            },
            "model.$": "$.check_archive.model.path",
            "memory_mb.$": "$.plan_deployment.memory_mb",
            "max_concurrency.$": "$.restore_capacity.max_concurrency",
            "capacity.$": "$.restore_capacity.told",
            "asked.$": "$.smoke_test.transcript[0].prompt",
            "answer.$": "$.smoke_test.transcript[0].answer",
            "answer_seconds.$": "$.smoke_test.transcript[0].seconds",
            "speed.$": "$.smoke_test.told",
            "called_by.$": "$.plan_deployment.callers",
            "parameter.$": "$.update_consumer.parameter",
            "earlier_deployments.$": "$.retire_previous.told",
            "costs.$": "$.plan_deployment.costs",
            "expires_at.$": "$.retire_previous.expires_at",
            "notes.$": "$.plan_deployment.notes",
            "ended.$": "$$.State.EnteredTime",
        },
        result_path="$.summary",
    )
    show = Pass(
        "ShowSummary",
        comment="At the top level of the output, where the console shows it.",
        parameters={"output.$": "States.JsonMerge($, $.summary, false)"},
        output_path="$.output",
    )
    summarise.next(show)
    show.next(done)
    return summarise


def _wire_caught(by_name: dict[str, LambdaTask]) -> None:
    """Wire the ways on from the errors in `CAUGHT`, at each task that states one."""
    # Another deployment made, updated or (undoing) deleted the service's one endpoint since this one was planned, or
    # somebody else switched a consumer since it was read.
    moved = {errors.EndpointMoved: "PlanDeployment", errors.ConsumerMoved: "ReadConsumer"}
    for state in by_name.values():
        if {errors.QuotaTooSmall, errors.QuotaUsedUp} & set(state.errors):
            ladder = Catch(error_equals=LADDER, result_path="$.refusal", next_step=by_name["StepDown"])
            state.add_catch(ladder)
        for error, again in moved.items():
            if error in state.errors:
                names = _names(error)
                state.add_catch(Catch(error_equals=names, result_path="$.moved", next_step=by_name[again]))


def _wire_artifact(by_name: dict[str, LambdaTask]) -> None:
    """Wire the two ways in which a model reaches its endpoint: in an archive, or in the endpoint's image."""
    which = Choice("WhichArtifact", comment="An archive in S3, or a layer of the endpoint's own image.")
    which.add_choice(ChoiceRule.IsNull("$.plan_deployment.image", True), by_name["AssembleArchive"])
    which.default_choice(by_name["AssembleImage"])
    by_name["PlanDeployment"].next(which)
    by_name["AssembleArchive"].next(by_name["CreateModel"])
    whole = Choice(
        "ImageWhole", comment="One call has 15 minutes: what is left of the layer goes on in another."
    )
    whole.add_choice(ChoiceRule.BooleanEquals("$.assemble_image.more", True), by_name["AssembleImage"])
    assembled = Pass(
        "ImageAssembled",
        comment="From here on it does not matter in what the model comes.",
        input_path="$.assemble_image",
        result_path="$.assemble_archive",
    )
    whole.default_choice(assembled)
    by_name["AssembleImage"].next(whole)
    assembled.next(by_name["CreateModel"])


def _quality_gate(evaluate: LambdaTask, go_on: LambdaTask) -> Choice:
    """Return what is between the smoke test and the switch: the gate and its loop, or nothing."""
    has_gate = Choice("HasQualityGate", comment="Only a deployment that asks for one has a quality gate.")
    has_gate.add_choice(ChoiceRule.IsNull("$.plan_deployment.quality", True), go_on)
    has_gate.default_choice(evaluate)
    evaluated = Choice(
        "QualityEvaluated", comment="One call has 15 minutes: the cases that are left are asked by another."
    )
    evaluated.add_choice(ChoiceRule.BooleanEquals("$.evaluate_quality.more", True), evaluate)
    evaluated.default_choice(go_on)
    evaluate.next(evaluated)
    return has_gate


def _wire_capacity(by_name: dict[str, LambdaTask], follow: Wait, done: Pass) -> None:
    """Wire the endpoint's two strategies, the ladder from a quota back to CreateEndpointConfig, and the giving back."""
    in_place = Choice("InPlace", comment="An endpoint of its own, or the one that the service has.")
    in_place.add_choice(ChoiceRule.IsNull("$.plan_deployment.updates", True), by_name["CreateEndpoint"])
    in_place.default_choice(by_name["UpdateEndpoint"])
    updated = Pass(
        "EndpointUpdated",
        comment="From here on an updated endpoint is followed like a new one.",
        input_path="$.update_endpoint",
        result_path="$.create_endpoint",
    )
    by_name["MakeRoom"].next(in_place)
    by_name["CreateEndpoint"].next(follow)
    by_name["UpdateEndpoint"].next(updated)
    updated.next(follow)
    by_name["StepDown"].next(by_name["CreateEndpointConfig"])
    not_restored = Pass(
        "CapacityNotRestored",
        comment="A good deployment is not undone because it has less than was requested: say so instead.",
        parameters={
            "max_concurrency.$": "$.plan_deployment.max_concurrency",
            "told.$": "States.Format('the capacity was left as it is, for {}', $.restore_failure.Error)",
            "steps.$": "States.Array(States.Format('the capacity was left as it is, for {}: {}', "
            "$.restore_failure.Error, $.restore_failure.Cause))",
        },
        result_path="$.restore_capacity",
    )
    for catch in _catch_all("$.restore_failure", not_restored):
        by_name["RestoreCapacity"].add_catch(catch)
    by_name["RestoreCapacity"].next(done)
    not_restored.next(done)


def _wire_retiring(by_name: dict[str, LambdaTask]) -> None:
    """Wire what comes between the switch and the giving back: retiring frees quota, and is no reason to fail."""
    not_retired = Pass(
        "NotRetired",
        comment="A good deployment is not undone because an older one could not be retired: say so instead.",
        parameters={
            "retired": [],
            "kept": [],
            "expires_at": None,
            "not_retired.$": "States.Array(States.Format('{}: {}', "
            "$.retire_failure.Error, $.retire_failure.Cause))",
            "told.$": "States.Format('earlier deployments were not retired, for {}: {}', "
            "$.retire_failure.Error, $.retire_failure.Cause)",
        },
        result_path="$.retire_previous",
    )
    for catch in _catch_all("$.retire_failure", not_retired):
        by_name["RetirePrevious"].add_catch(catch)
    not_retired.next(by_name["RestoreCapacity"])


def _wire_canary(by_name: dict[str, LambdaTask]) -> None:
    """Wire the switch: at once, or in two steps with a loop of waiting and looking between them, which has an end."""
    has_canary = Choice("HasCanary", comment="The alias moves at once, or a part of its calls goes first.")
    has_canary.add_choice(
        ChoiceRule.StringEquals("$.plan_deployment.switch", IN_STEPS), by_name["ShiftConsumer"]
    )
    has_canary.default_choice(by_name["UpdateConsumer"])
    begin = Pass(
        "BeginBake",
        comment="Count the looks down from here.",
        parameters={"left.$": "$.shift_consumer.looks"},
        result_path="$.watch_consumer",
    )
    wait = Wait(
        "BakeConsumer",
        comment="Between two looks at the alarms.",
        seconds_path="$.shift_consumer.interval_s",
    )
    baked = Choice("ConsumerBaked", comment="Quiet for as long as was requested, or look again.")
    baked.add_choice(ChoiceRule.NumericGreaterThan("$.watch_consumer.left", 0), wait)
    baked.default_choice(by_name["UpdateConsumer"])
    by_name["ReadConsumer"].next(_whose_consumer(has_canary, by_name["UpdateConsumer"]))
    by_name["ShiftConsumer"].next(begin)
    begin.next(wait)
    wait.next(by_name["WatchConsumer"])
    by_name["WatchConsumer"].next(baked)


def _whose_consumer(switch: Choice, go_on: LambdaTask) -> Choice:
    """Return what follows the reading: the switch, or going on without the stack's consumer, which another has."""
    leave = Pass(
        "LeaveConsumer",
        comment="Another service took the stack's consumer since the plan; nobody named it, so it stays there.",
        parameters={
            "plan_deployment.$": "States.JsonMerge($.plan_deployment, $.read_consumer.instead, false)",
            # Two plans would be a good part of what an execution's data may hold.
            "leave_consumer": {},
        },
        result_path="$.leave_consumer",
    )
    left = Pass(
        "ConsumerLeft",
        comment="From here on the plan is one without a consumer.",
        parameters={"output.$": "States.JsonMerge($, $.leave_consumer, false)"},
        output_path="$.output",
    )
    whose = Choice(
        "WhoseConsumer", comment="Consumers of the service's own, or the stack's that another has by now."
    )
    whose.add_choice(ChoiceRule.IsNull("$.read_consumer.instead", True), switch)
    whose.default_choice(leave)
    leave.next(left)
    left.next(go_on)
    return whose


def _wire_failed_rollback(notify_failure: SnsPublish) -> Choice:
    """Return what follows on a rollback that failed for good: the notification names whatever may be left."""
    failed = "{} -- NOT undone, the rollback itself failed with {}"
    named = Pass(
        "NotUndone",
        comment="The rollback did not finish: say so beside the first cause, with the names of what to look at.",
        parameters={
            "error.$": "$.diagnose.error",
            "cause.$": f"States.Format('{failed}; remove what is left of {{}}, and raise again what was lowered: "
            f"{{}}; the image, which the sweeper removes: {{}}; see what parameter {PARAMETER} names; {{}}', "
            "$.diagnose.cause, $.roll_back_failure.Error, "
            "States.JsonToString($.plan_deployment.names), States.JsonToString($.plan_deployment.room), "
            "States.JsonToString($.plan_deployment.image), $.plan_deployment.service, $.roll_back_failure.Cause)",
        },
        result_path="$.roll_back",
    )
    nothing_made = Pass(
        "NothingToUndo",
        comment="Without a plan nothing was made.",
        parameters={
            "error.$": "$.diagnose.error",
            "cause.$": f"States.Format('{failed}: {{}}; nothing had been made', $.diagnose.cause, "
            "$.roll_back_failure.Error, $.roll_back_failure.Cause)",
        },
        result_path="$.roll_back",
    )
    for state in (named, nothing_made):
        state.next(notify_failure)
    choice = Choice("RollBackFailed", comment="What may be left is known from the plan, where there is one.")
    choice.add_choice(ChoiceRule.IsPresent("$.plan_deployment", True), named)
    choice.default_choice(nothing_made)
    return choice


def _after_failure() -> tuple[LambdaTask, LambdaTask]:
    """Return the tasks of a deployment that failed: Diagnose and RollBack."""
    return (
        _task(
            diagnose,
            "What happened, why, what to do: from the error, the endpoint and its logs.",
            {"results.$": "$"},
        ),
        _task(
            roll_back,
            "Undo what this execution made, in reverse order; leave what served before.",
            {"results.$": "$"},
            LEAVING_ENDPOINT,
        ),
    )


def tasks() -> list[str]:
    """Return the names of all tasks that are states, in the order in which they stand here."""
    return [state.state_id for state in (*_forward(), *_after_failure())]


def build() -> Graph:
    """Return the whole workflow."""
    forward = _forward()
    diagnose_task, undo = _after_failure()
    by_name = {task.state_id: task for task in forward}

    failed = Fail(
        "DeploymentFailed",
        comment="The error's name, and three lines: what happened, why, what to do.",
        error_path="$.roll_back.error",
        cause_path="$.roll_back.cause",
    )
    notify_failure = SnsPublish(
        "NotifyFailure",
        comment="Tell the topic; a notification that fails must not hide the failure itself.",
        parameters={
            "TopicArn": "${TopicArn}",
            "Subject.$": "States.Format('Sealift: not deployed, {}', $.roll_back.error)",
            "Message.$": "States.Format('{} (execution {})', $.roll_back.cause, $$.Execution.Id)",
        },
        result_path="$.notify_failure",
        retry=[SNS_TROUBLE],
    )
    notify_failure.add_catch(
        Catch(error_equals=["States.ALL"], result_path="$.notify_failure", next_step=failed)
    )
    notify_failure.next(failed)

    not_rolled_back = _wire_failed_rollback(notify_failure)
    for catch in _catch_all("$.roll_back_failure", not_rolled_back):
        undo.add_catch(catch)
    undo.next(notify_failure)

    undiagnosed = Pass(
        "Undiagnosed",
        comment="Diagnose itself failed: go on with what the failed state said.",
        parameters={
            # A Fail state may not repeat a reserved name such as States.Timeout, so the name goes into the cause.
            "error": errors.Undiagnosed.__name__,
            "what.$": "States.Format('a state failed with {}: {}', $.failure.Error, $.failure.Cause)",
            "why.$": "States.Format('the failure could not be looked into, for {}', $.diagnose_failure.Error)",
            "fix": "read the message above and the log of Diagnose",
            "cause.$": "States.Format('{}: {}', $.failure.Error, $.failure.Cause)",
        },
        result_path="$.diagnose",
    )
    undiagnosed.next(undo)
    for catch in _catch_all("$.diagnose_failure", undiagnosed):
        diagnose_task.add_catch(catch)
    diagnose_task.next(undo)

    timed_out = Pass(
        "EndpointTimedOut",
        comment="Neither InService nor Failed before the deadline.",
        parameters={
            "Error": errors.EndpointTimedOut.__name__,
            "Cause.$": "States.Format('endpoint {} is still {} after {} s; wanted InService', "
            "$.plan_deployment.names.endpoint, $.poll_endpoint.status, $.plan_deployment.poll.deadline_s)",
        },
        result_path="$.failure",
    )
    timed_out.next(diagnose_task)

    succeeded = Succeed(
        "DeploymentSucceeded", comment="The new endpoint serves; the output begins with what it is."
    )
    notify_success = SnsPublish(
        "NotifySuccess",
        comment="Tell the topic; a notification that fails must not undo a good deployment.",
        parameters={
            "TopicArn": "${TopicArn}",
            "Subject": "Sealift: deployment succeeded",
            "Message.$": "States.Format('service {} is served by endpoint {} (execution {}); {}; {}; called by {}; "
            "{}; costs now: {}{}', $.plan_deployment.service, $.plan_deployment.names.endpoint, $$.Execution.Id, "
            "$.smoke_test.told, $.restore_capacity.told, $.plan_deployment.callers, $.retire_previous.told, "
            "$.plan_deployment.costs, $.smoke_test.ways_in)",
        },
        result_path="$.notify_success",
        retry=[SNS_TROUBLE],
    )
    notify_success.add_catch(
        Catch(error_equals=["States.ALL"], result_path="$.notify_success", next_step=succeeded)
    )
    notify_success.next(succeeded)

    wait = Wait(
        "WaitForEndpoint",
        comment="Between two looks; bounded by EndpointReady's deadline.",
        seconds_path="$.plan_deployment.poll.interval_s",
    )
    ready = Choice("EndpointReady", comment="Ready, out of time, or look again.")
    ready.add_choice(
        ChoiceRule.StringEquals("$.poll_endpoint.verdict", EndpointVerdict.READY.value), by_name["SmokeTest"]
    )
    ready.add_choice(
        ChoiceRule.TimestampGreaterThanEqualsPath("$$.State.EnteredTime", "$.create_endpoint.deadline_at"),
        timed_out,
    )
    ready.add_choice(
        ChoiceRule.StringEquals("$.poll_endpoint.verdict", EndpointVerdict.HOLLOW.value),
        by_name["CreateComponent"],
    )
    ready.add_choice(ChoiceRule.StringEquals("$.poll_endpoint.verdict", EndpointVerdict.WAIT.value), wait)
    ready.default_choice(timed_out)

    # First, since of several Catches the first that matches wins.
    _wire_caught(by_name)
    _wire_artifact(by_name)
    _wire_capacity(by_name, wait, _summary(notify_success))
    _wire_retiring(by_name)
    _wire_canary(by_name)
    for task in forward:
        if task.state_id not in {"RetirePrevious", "RestoreCapacity"}:
            for catch in _catch_all("$.failure", diagnose_task):
                task.add_catch(catch)

    wait.next(by_name["PollEndpoint"])
    by_name["PollEndpoint"].next(ready)
    by_name["CreateComponent"].next(wait)
    by_name["MonitorEndpoint"].next(_quality_gate(by_name["EvaluateQuality"], by_name["ReadConsumer"]))
    # All others go on with the one that stands below them in `_forward`.
    for task, following in pairwise(forward):
        if task.next_step is None:
            task.next(following)

    return Graph(
        by_name["CheckArchive"],
        comment="From a model in S3 to an endpoint that answers. "
        'Input: {"archive": {"bucket": "...", "key": "models/<service>/model.tar.gz"}}; all else has defaults.',
        timeout_seconds=EXECUTION_TIMEOUT_S,
    )


def render() -> str:
    """Return the definition as it is checked in."""
    return json.dumps(build().to_dict(), indent=2) + "\n"


def order(states: Mapping[str, Mapping[str, Any]], start: str) -> list[str]:
    """Return the result paths of the tasks whose failures are diagnosed, in the order in which they are come to.

    A task stands behind all that come before it on any way; a loop counts from where it is entered, and no catch does.

    Args:
        states: of a rendered definition, by name.
        start: the first one's name.
    """
    left: list[str] = []
    entered: set[str] = set()

    def follow(name: str) -> None:
        entered.add(name)
        state = states[name]
        ways = [state.get("Default"), *(choice["Next"] for choice in state.get("Choices", ()))]
        for following in filter(None, [*ways, state.get("Next")]):
            if following not in entered:
                follow(following)
        left.append(name)

    follow(start)
    return [
        states[name]["ResultPath"].removeprefix("$.")
        for name in reversed(left)
        if any(catch["Next"] == "Diagnose" for catch in states[name].get("Catch", ()))
    ]


def render_order() -> str:
    """Return the module with the order of the states as it is checked in."""
    document = build().to_dict()
    names = "".join(f'    "{name}",\n' for name in order(document["States"], document["StartAt"]))
    head, _, _ = ORDER.read_text().partition("ORDER: Final = (")
    return f"{head}ORDER: Final = (\n{names})\n"


def main() -> None:
    """Write the rendered definition, and the order of its states for those who may not know it."""
    RENDERED.write_text(render())
    ORDER.write_text(render_order())


if __name__ == "__main__":
    main()
