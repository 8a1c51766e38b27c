"""From the text of a failure to its cause and what to do: the deployment checklist's "common issues", and more.

A diagnosis is three lines, the same in the console, the notification and the command line: what happened,
why, what to do. What the error knows of its cause goes before all else; where it knows none, rules are tried, which are
data, in order: on the failed state's own message, then on the evidence.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, TypedDict

from pipeline import error_codec, errors, inference_component, payload
from pipeline.endpoint_status import EndpointVerdict
from pipeline.hosting import IN_STEPS
from pipeline.operations.state_order import ORDER
from pipeline.plain import one_line
from pipeline.rollout import embeddings, rankings

if TYPE_CHECKING:
    from collections.abc import Sequence

CANARY = frozenset({"shift_consumer", "watch_consumer"})
"""Those that only a switch in two steps reaches."""


@dataclass(frozen=True, slots=True)
class DiagnosisRule:
    """One known cause: where its text was seen is said beside it."""

    cause: str
    pattern: str
    why: str
    fix: str
    vague: bool = False
    """Whether the text only says that something else went wrong; any other rule explains more."""


RULES = (
    # What the serving code in the container answers.
    DiagnosisRule(
        "EmbeddingBroken",
        r"the model's embedding holds infinity",
        embeddings.BROKEN["why"],
        embeddings.BROKEN["fix"],
    ),
    DiagnosisRule(
        "RankingBroken",
        r"the model's score is infinity",
        rankings.BROKEN["why"],
        rankings.BROKEN["fix"],
    ),
    DiagnosisRule(
        "AskedOtherwise",
        r"(?:embeds|generates|ranks) texts?, and (?:generates none|embeds none|ranks none|does nothing else); ask with",
        "the model was asked for what it is not for",
        "leave smoke_test.ask_with out; give a consumer of embeddings or rankings a test_event that asks for them",
    ),
    DiagnosisRule(
        "ComponentNotNamed",
        r"Inference Component Name header is required",
        "the endpoint scales to zero, so its inference component answers, and the call names none",
        "let the consumer send InferenceComponentName, which is the endpoint's own name, or leave scale_to_zero out",
    ),
    DiagnosisRule(
        "NoRoomForCopy",
        r"not enough hardware resources on the instances",
        "a copy of the inference component reserves more than SageMaker has to give on the instance",
        "name a larger instance_type, or leave scale_to_zero out",
    ),
    # Failure reasons of serverless endpoints, and what the container logs beside them.
    DiagnosisRule(
        "NoLlamaCpp",
        r"No module named '?llama_cpp",
        "the container has no llama-cpp-python",
        "use an archive whose code/ carries the runtime, or an image that has llama-cpp-python installed",
    ),
    DiagnosisRule(
        "ModuleNotFound",
        r"ModuleNotFoundError|[Mm]odule not found|No module named|ImportError",
        "the inference code imports a module that the container does not have",
        "put the module into the archive's code/, or use an image that has it; llama-cpp-python must be 0.3.8 or "
        "newer for Gemma 3",
    ),
    DiagnosisRule(
        "UnknownArchitecture",
        r"unknown model architecture|unknown pre-tokenizer|invalid ggml type|newer than this runtime|"
        r"only supports up to version",
        "the container's llama.cpp is older than the model's architecture",
        "use a newer llama-cpp-python in the container (0.3.8 or newer for Gemma 3)",
    ),
    DiagnosisRule(
        "GpuOutOfMemory",
        r"cudaMalloc failed: out of memory|[Uu]nable to allocate CUDA\d|CUDA error: out of memory",
        "the model does not fit the GPU's memory with its context, its slots and what CUDA takes",
        "lower n_parallel or n_ctx, set inference.cache_type to q8_0, lower n_gpu_layers, or name a larger "
        "instance_type; and tell what the log says, since the plan's arithmetic was computed",
    ),
    DiagnosisRule(
        "NoGpuDriver",
        r"libcuda\.so\.1|CUDA driver version is insufficient|no CUDA-capable device",
        "a CUDA image runs where there is no GPU, or no driver that is new enough for it",
        "take an instance_type with GPUs, and leave image_uri out so that image and machine suit each other",
    ),
    # Before the next: llama.cpp ends all of its reasons with "failed to load model".
    DiagnosisRule(
        "OutOfMemory",
        r"insufficient memory|not enough memory|[Cc]annot allocate memory|signal 9|MemoryError|out of memory|bad_alloc|"
        r"failed to allocate|[Uu]nable to allocate",
        "the model and its server need more memory than memory_mb gives",
        "raise memory_mb (the account's quota permitting), lower n_ctx, or use a smaller quantisation",
    ),
    # Before the next two: what lies beside a model is refused in the same words.
    DiagnosisRule(
        "CompanionRefused",
        r"failed to (?:apply|load) lora adapter|mismatch between text model|[Ff]ailed to load CLIP|"
        r"failed to load multimodal model|unknown projector type|failed to load draft model|"
        r"target and draft vocabs are not compatible",
        "llama-server does not load what lies beside the model: an adapter, a projector or a draft model",
        "take the one of this very model, whole, and run `sealift check` on the archive; or leave it out",
    ),
    DiagnosisRule(
        "ModelCutShort",
        r"not within the file bounds|corrupted|cut short or damaged|invalid magic|unexpectedly reached end of file|"
        r"gguf\w*: failed to read",
        "the model file is cut short or damaged",
        "run `sealift check` on the archive, and export the model again if it is refused",
    ),
    DiagnosisRule(
        "TensorsUnexpected",
        r"tensor .* not found|missing tensor|wrong number of tensors|wrong shape|key not found in model|"
        r"file's tensors are not those",
        "the model's tensors are not those that the container's llama.cpp expects of its architecture",
        "export the model again with the converter of that llama.cpp release, or use a newer llama-cpp-python",
    ),
    DiagnosisRule(
        "ChatTemplateBroken",
        r"its chat template \(tokenizer\.chat_template\) is not a valid one",
        "the model's chat template is no valid Jinja; its weights are whole",
        "write one that is: gguf-new-metadata --chat-template-file FILE OLD.gguf NEW.gguf, or use another GGUF",
    ),
    DiagnosisRule(
        "ModelNotLoaded",
        r"failed to load model|cannot be loaded",
        "llama.cpp could not load the model file",
        "run `sealift check` on the archive, and export the model again if it is refused",
    ),
    DiagnosisRule(
        "DiskFull",
        r"No space left on device|archive is too large",
        "the endpoint's 5 GB of disk are full",
        "use a smaller quantisation, and install nothing when the container starts",
    ),
    DiagnosisRule(
        "ArchiveNotExtractable",
        r"Failed to extract model data archive|[Ii]nvalid archive|cannot be uncompressed",
        "SageMaker could not extract the archive",
        "make the archive with `sealift pack`: one gzip-compressed tar, the model at its root",
    ),
    DiagnosisRule(
        "TooSlowToStart",
        r"within the allotted [\d.]+ second",
        "downloading, extracting and loading the model took longer than the 180 s that serverless allows",
        "use a smaller quantisation, or an instance endpoint",
        vague=True,
    ),
    DiagnosisRule(
        "ImageTooLarge",
        r"Image size \d+ is greater than supported size",
        "the container image is larger than the 10 GB that serverless allows",
        "use a CPU image",
    ),
    DiagnosisRule(
        "AnswerTooSlow",
        r"timed out while waiting for a response",
        "the container did not answer within the 60 s that serverless allows",
        "lower max_tokens, or use a smaller model",
        vague=True,  # TorchServe also leaves a request unanswered while its worker cannot load the model
    ),
    DiagnosisRule(
        "ProcessDied",
        r"model process exited|Worker died|could not get a response from the .* endpoint",
        "the model's process ended while it was needed",
        "read the container's log; if it says nothing, suspect memory and raise memory_mb",
        vague=True,
    ),
    DiagnosisRule(
        "AnswerBrokenOff",
        r"broke off in its middle|answer ended in its middle",
        "the container began to stream an answer and did not come to its end",
        "read the container's log; a stream has eight minutes: lower smoke_test.max_tokens, or take a faster type",
        vague=True,
    ),
    DiagnosisRule(
        "PingFailed",
        r"did not pass the ping health check",
        "the container started and never answered its health check",
        "read the container's log; if it says nothing, suspect memory and raise memory_mb",
        vague=True,
    ),
    DiagnosisRule(
        "NoCapacity",
        r"InsufficientInstanceCapacity|Unable to provision requested ML compute capacity",
        "SageMaker has no instance free of the types that were asked for",
        "start the execution again later, name another instance_type, or leave instance_type out, so that a pool of "
        "types is asked for",
    ),
    DiagnosisRule(
        "NotWritable",
        r"Permission denied|Read-only file system",
        "the container writes, or reads, where the serverless user may not",
        "make the image's files readable by everybody (chmod o+rX) and write only below /tmp",
    ),
    # Answers of the API.
    DiagnosisRule(
        "MemoryQuota",
        r"'Memory size in MB per serverless endpoint' is|Memory size exceeds limit",
        "the account allows less memory per serverless endpoint than was requested",
        "set memory_mb to 3072 or less, or ask AWS Support to raise the quota that the message names",
    ),
    DiagnosisRule(
        "InstanceQuota",
        r"'ml\.[\w.-]+ for endpoint usage' is",
        "the account may have no more instances of that type",
        "ask for more in Service Quotas (SageMaker, by the name in the message), name another instance_type, or delete "
        "an endpoint that is no longer used",
    ),
    DiagnosisRule(
        "ModelDataChanged",
        r"does not have the ETag",
        "the model's file in the artifact bucket is no longer the one that was checked",
        "start the execution again: it is copied anew",
    ),
    DiagnosisRule(
        "Quota",
        r"ResourceLimitExceeded|account-level service limit",
        errors.ResourceLimitExceeded.why,
        errors.ResourceLimitExceeded.fix,
    ),
    DiagnosisRule(
        "RoleCannotReadModel",
        r"Could not access model data|Could not find model data|Unable to locate at least 1 object",
        "the endpoint's execution role cannot read the archive, or the archive is gone or in another region",
        "allow the role s3:GetObject and s3:ListBucket on the bucket, which must be in the endpoint's region",
    ),
    DiagnosisRule(
        "RoleCannotPullImage",
        r"cannot pull|ecr:\w+",
        "the endpoint's execution role cannot pull the image",
        "allow the role ecr:BatchGetImage, ecr:GetDownloadUrlForLayer and ecr:BatchCheckLayerAvailability on the "
        "repository, and ecr:GetAuthorizationToken",
    ),
    DiagnosisRule(
        "ImageMissing",
        r"Requested image \S+ not found|make sure all images included in the model",
        "the image is not in its repository, or the endpoint's execution role may not pull it any more",
        "push it with `sealift image push`, or name one that is there in image_uri",
    ),
    DiagnosisRule(
        "ImageElsewhere",
        r"Cross region ECR image pulls are not allowed|Using non-ECR image",
        "SageMaker pulls from ECR in the endpoint's own region alone",
        "push the image into a repository of this region",
    ),
    DiagnosisRule(
        "ImageManifest",
        r"Unsupported manifest media type",
        "SageMaker takes neither OCI manifests nor lists of several architectures",
        "push the image of one architecture with a Docker manifest (schema 2), as `sealift image push` does",
    ),
    DiagnosisRule(
        "ImageCannotStart",
        r"CannotStartContainerError|exec format error",
        "the image's program does not run on the endpoint's CPU",
        "use an image for x86-64 on serverless, and for the instance type's own architecture on instances",
    ),
    DiagnosisRule(
        "RequestInvalid",
        r"validation errors? detected|failed to satisfy constraint",
        "AWS called a field of the request wrong",
        "correct the field of the execution input that the message names",
    ),
    DiagnosisRule(
        "AccessDenied",
        r"AccessDenied|[Aa]ccess [Dd]enied|not authorized to perform",
        errors.AccessDenied.why,
        errors.AccessDenied.fix,
    ),
)
"""Causes by the words of others: SageMaker's reasons, a container's log, an AWS service's answer, Lambda's own errors.

What an error of ours knows of its cause it carries itself.
"""

FALLBACK: Final[dict[str, tuple[str, str]]] = {
    "StatesDataLimitExceeded": (
        "a state's result is larger than what Step Functions holds of an execution's data",
        "shorten smoke_test.prompts and consumer.test_event, and let the consumer answer less",
    ),
    "StatesTimeout": ("a state took longer than it may", "read the state's log, then start again"),
    "Lambda.Unknown": ("a task's function ended without an answer", "read the function's log"),
}
"""Why and what to do, for errors that are not ours and whose texts do not tell."""

QUOTE: Final = frozenset({errors.AccessDenied.__name__, errors.RequestRejected.__name__})
"""Errors of ours that refuse in AWS's words; any other `PermanentError` has its own, which lead nowhere else."""


_MOST_NAME = 70
"""Bytes of an error's name; our own have 30 at most, and anybody's exception may have another."""


class Diagnosed(TypedDict):
    """The result of Diagnose."""

    error: str
    state: str
    cause_name: str
    what: str
    why: str
    fix: str
    evidence: list[str]
    cause: str


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """What is known of a failure."""

    error: str
    """The error's name, fit for a Fail state: one that the language reserves loses its dot (StatesTimeout)."""
    state: str
    """The result path of the state that failed, for instance ``create_endpoint``."""
    cause_name: str
    what: str
    why: str
    fix: str
    evidence: tuple[str, ...]

    @property
    def cause(self) -> str:
        """The three lines."""
        return lines(self.what, self.why, self.fix)

    def to_json(self) -> Diagnosed:
        """Return the diagnosis as a JSON object, the three lines among it."""
        return Diagnosed(
            error=self.error,
            state=self.state,
            cause_name=self.cause_name,
            what=self.what,
            why=self.why,
            fix=self.fix,
            evidence=list(self.evidence),
            cause=self.cause,
        )


_LABELS: Final = ("what happened: ", "why: ", "what to do: ")


def lines(what: str, why: str, fix: str) -> str:
    """Return the three lines in which every failure is cause, everywhere; they are plain, and there are no more."""
    return "\n".join(
        f"{label}{one_line(text)}" for label, text in zip(_LABELS, (what, why, fix), strict=True)
    )


def parts(cause: str) -> tuple[str, str, str, tuple[str, ...]]:
    """Return what happened, why, what to do, and the lines after these; of a cause without them it is all the first."""
    found = cause.splitlines()
    if len(found) < len(_LABELS) or not all(map(str.startswith, found, _LABELS)):
        return one_line(cause), "", "", ()
    what, why, fix = map(str.removeprefix, found, _LABELS)
    return what, why, fix, tuple(found[len(_LABELS) :])


_NOISE = re.compile(r"\b(?:ACCESS_LOG|TS_METRICS|MODEL_METRICS) - |^\s+at [\w.$]+\(")


def pick_evidence(lines: Sequence[str], most: int) -> tuple[str, ...]:
    """Return the newest lines of a container's log, without TorchServe's access log, metrics and Java stack frames.

    A health check alone is two of them, and they go on after the lines that give a cause. So do the lines of a worker
    that is started over and over: where none of the newest gives a cause, the last one that does comes before them.
    """
    meaningful = [line for line in lines if not _NOISE.search(line)]
    newest = meaningful[-most:]
    clear = [rule for rule in RULES if not rule.vague]
    tells = (line for line in reversed(meaningful) if any(re.search(rule.pattern, line) for rule in clear))
    last = next(tells, None)
    return tuple(newest) if last is None or last in newest else (last, *newest[1:])


_TASK: Final = re.compile(r"[/\\]tasks[/\\](\w+)\.py\"")
"""A task's file in a stack trace."""


def failed_state(results: dict[str, Any], cause: str = "") -> str:
    """Return which state failed: by the trace in the cause, else the first of the order without a (finished) result.

    A state that is come to again, since an endpoint or a consumer moved, has the result of its first time; so a trace
    goes before. What has none, as a time-out, is told by the results.
    """
    trace = error_codec.document_of(cause).get("stackTrace")
    raised = _TASK.search("\n".join(map(str, trace))) if isinstance(trace, list) else None
    if raised and raised[1] in ORDER:
        return raised[1]
    left_out = _left_out(results.get("plan_deployment") or {})
    for name in ORDER:
        result = results.get(name)
        if name not in left_out and (result is None or _unfinished(name, result, results)):
            return name
    return ORDER[-1]


def _left_out(plan: dict[str, Any]) -> set[str]:
    """Return the states that a plan never reaches: an artifact, a strategy, component, gate, and a switch's start."""
    other = "update_endpoint" if plan.get("updates") is None else "create_endpoint"
    artifact = "assemble_image" if plan.get("image") is None else "assemble_archive"
    gate = ("evaluate_quality",) if plan.get("quality") is None else ()
    component = () if inference_component.of_plan(plan) else ("create_component",)
    return {other, artifact, *component, *gate, *(() if plan.get("switch") == IN_STEPS else CANARY)}


def _unfinished(name: str, result: dict[str, Any], results: dict[str, Any]) -> bool:
    """Return whether a loop's result is that of a look which was not the last."""
    if name == "poll_endpoint":
        # A component that was not asked for yet comes between two looks.
        asks = result.get("verdict") == EndpointVerdict.HOLLOW and results.get("create_component") is None
        return not asks and bool(result.get("verdict") != EndpointVerdict.READY)
    if name in {"assemble_image", "evaluate_quality"}:
        return bool(result.get("more"))
    return name == "watch_consumer" and result["left"] > 0


def diagnose(failure: dict[str, str], results: dict[str, Any], evidence: tuple[str, ...] = ()) -> Diagnosis:
    """Return the diagnosis of a failure.

    Args:
        failure: `Error` and `Cause` as a Catch gives them.
        results: the execution's data, by result path.
        evidence: further texts, for instance the endpoint's FailureReason and its container's log lines.
    """
    caught = error_codec.read(failure.get("Cause", ""), failure.get("Error", ""))
    # The notification's subject has it too, which may have 100 characters.
    error = payload.cut(one_line(re.sub(r"^States\.", "States", caught.name)), _MOST_NAME)
    state = failed_state(results, failure.get("Cause", ""))
    # One line, whatever the message is: a traceback among the three would hide the next two.
    what = f"{state.replace('_', ' ')} failed with {error}: {_one_line(caught.headline)}"
    kind = errors.by_name(caught.name)
    refused = kind is not None and issubclass(kind, errors.PermanentError) and error not in QUOTE
    known = None if caught.why or refused else _known(caught.sentence, evidence, error)
    if known is not None:
        rule, found = known
        return Diagnosis(
            error, state, rule.cause, what, _why(rule.why, found, caught.sentence), rule.fix, evidence
        )
    why, fix = (kind.why, kind.fix) if kind else FALLBACK.get(error, _UNKNOWN)
    return Diagnosis(
        error,
        state,
        caught.cause or error,
        what,
        _one_line(caught.why or why),
        _one_line(caught.fix or fix),
        evidence,
    )


_UNKNOWN: Final = ("the cause is not one that Sealift knows", "read the log of the state's function")


def _known(cause: str, evidence: tuple[str, ...], error: str) -> tuple[DiagnosisRule, str] | None:
    """Return the rule that explains a failure, and the text that it was found in.

    The message goes first, since a log always has some harmless line that looks like a cause; but a log goes
    before a message that only says that the process ended.
    """
    clear = [rule for rule in RULES if not rule.vague]
    vague = [rule for rule in RULES if rule.vague]
    rounds = ((clear, (cause,)), (clear, evidence), (vague, (cause, *evidence)), (clear, (error,)))
    for rules, texts in rounds:
        for rule in rules:
            for text in texts:
                if re.search(rule.pattern, text):
                    return rule, text
    return None


def _why(why: str, found: str, cause: str) -> str:
    """Return the reason, with the line that gave it away unless the message itself did."""
    return why if found == cause else f"{why} ({payload.cut(_one_line(found), 300)})"


def _one_line(text: str) -> str:
    """Return a text in one line, plain, within what a Cause, which has 32,768 characters, may carry of it."""
    return payload.cut(one_line(text), payload.MESSAGE)
