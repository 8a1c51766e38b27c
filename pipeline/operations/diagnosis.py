"""From the text of a failure to its cause and what to do: the deployment checklist's "common issues", and more.

A diagnosis is three lines, the same in the console, the notification and the command line: what happened,
why, what to do. The rules are data, tried in order: on the failed state's own message, then on the evidence.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, TypedDict

from pipeline import errors, payload, settings
from pipeline.aws import quota_errors
from pipeline.hosting import IN_STEPS
from pipeline.operations.state_order import ORDER
from pipeline.plain import one_line

if TYPE_CHECKING:
    from collections.abc import Sequence

CANARY = frozenset({"shift_consumer", "watch_consumer"})
"""Those that only a switch in two steps comes to."""


CONSUMER_DENIED = "ConsumerDenied"
"""The cause's name where a role was denied a call about a consumer."""


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
    # Our own words, which go before whatever the answer that they quote may say.
    DiagnosisRule(
        "DegenerateAnswer",
        r"it is degenerate \((?:blank|replacement characters|repetition|echo): ",
        "the model answers without saying anything, as one with damaged weights, a wrong tokenizer or a wrong chat "
        "template does",
        "ask the same of the GGUF on your own machine, and export it again if it answers likewise; if it is meant to "
        'answer so, say "allow_degenerate": true in the "expect" that the message names',
    ),
    DiagnosisRule(
        "EmbeddingBroken",
        r"an embedding of nothing but zeros|an embedding with infinity|the model's embedding holds infinity"
        r"|the same embedding for texts|embeddings of [0-9 and]+ numbers, wanted",
        "the model's embeddings are not such as a working one makes",
        "embed the same texts with the GGUF on your own machine, llama-server --embeddings, and export it again if it "
        "does likewise",
    ),
    DiagnosisRule(
        "AskedOtherwise",
        r"embeds texts, and generates none; ask with|generates text, and embeds none; ask with",
        "the model was asked for what it is not for",
        "leave smoke_test.ask_with out; give a consumer of embeddings a test_event that embeds",
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
    # Before the next: llama.cpp ends all of its reasons with "failed to load model".
    DiagnosisRule(
        "OutOfMemory",
        r"insufficient memory|not enough memory|[Cc]annot allocate memory|signal 9|MemoryError|out of memory|bad_alloc|"
        r"failed to allocate|[Uu]nable to allocate",
        "the model and its server need more memory than memory_mb gives",
        "raise memory_mb (the account's quota permitting), lower n_ctx, or use a smaller quantisation",
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
        "PingFailed",
        r"did not pass the ping health check",
        "the container started and never answered its health check",
        "read the container's log; if it says nothing, suspect memory and raise memory_mb",
        vague=True,
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
        "an account quota is used up",
        "lower max_concurrency or delete endpoints that are no longer used, or ask for a higher quota",
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
        "RequestInvalid",
        r"validation errors? detected|failed to satisfy constraint",
        "AWS called a field of the request wrong",
        "correct the field of the execution input that the message names",
    ),
    # The words of a task's own refusal; the workflow's calls of tasks are Lambda's too, and have others.
    DiagnosisRule(
        CONSUMER_DENIED,
        r"; add lambda:\w+ to the policies of",
        "AWS denied a call about the consumer Lambda, though its name is one that the stack may switch",
        "look for a permissions boundary, an organization's policy (SCP) or a changed role that denies the action that "
        "the message names; `sealift deploy` puts the stack's own roles right, and its parameter "
        f"{settings.FUNCTION_PATTERN} names the functions that they may switch",
    ),
    # What Lambda does with the consumer's key in the task's name.
    DiagnosisRule(
        CONSUMER_DENIED,
        r"; add kms:\w+ to the policies of",
        "the consumer's environment variables are encrypted with a key that the stack's roles may not use",
        f"give the stack the key in its parameter {settings.KMS_KEYS}, and let the key's policy allow what the "
        "account's IAM policies allow",
    ),
    DiagnosisRule(
        "AccessDenied",
        r"AccessDenied|[Aa]ccess [Dd]enied|not authorized to perform",
        "a role lacks a permission",
        "add the action that the message names to the role's policy",
    ),
)

FALLBACK: dict[str, tuple[str, str]] = {
    "InvalidInput": (
        "the execution's input is not a deployment request",
        "correct the input and start again",
    ),
    "InvalidArchive": (
        "the archive cannot become an endpoint",
        "make it with `sealift pack` and upload it again",
    ),
    "ArchiveNotFound": ("there is no such object", "check bucket, key and version_id"),
    "ModelDoesNotFit": ("no allowed size holds the model", "use a smaller quantisation or n_ctx"),
    "QuotaTooSmall": (
        "an account quota is smaller than what the deployment needs",
        "lower n_ctx or max_concurrency, use a smaller quantisation, or ask AWS for the quota that the message names",
    ),
    "QuotaUsedUp": (
        "others hold all that the account may have, and a deployment that asks for no number waits for nobody",
        "make room by one of the commands in the message, or say max_concurrency, which is waited for",
    ),
    "NameConflict": (
        "the name is taken by something else",
        "delete what has the name, or change the service's name",
    ),
    "Superseded": (
        "a newer upload of the service serves already, and the newest wins",
        "nothing need be done; to deploy the older archive all the same, upload it again",
    ),
    "StackChanged": (
        "the stack was updated while the execution ran, or before it was redriven",
        "start the deployment again, with `sealift start`: a redrive would meet the same",
    ),
    "EndpointMoved": (
        "another deployment of the service made or deleted its one endpoint meanwhile",
        "start the execution again",
    ),
    "ConsumerMoved": (
        "another deployment of the service switched the consumer meanwhile",
        "start the execution again",
    ),
    "ConsumerNotAllowed": (
        "the consumer is not a function that the stack may switch",
        "do what the message says: widen the stack's pattern, or name another function",
    ),
    "ConsumerUnreadable": (
        "the consumer's environment variables are encrypted with a key that the stack's roles may not use",
        f"give the stack the key in its parameter {settings.KMS_KEYS}, as the message says, and start again",
    ),
    "ConsumerTaken": (
        "another service of Sealift serves the consumer",
        'say "take_over": true in its entry to take it over, name another one, or say "consumer": null',
    ),
    "ConsumerNotFound": ("there is no such consumer", "check consumer.function_name and consumer.alias"),
    "RequestRejected": (
        "AWS does not take the request",
        "correct what the message names in the execution input, and start again",
    ),
    "EndpointFailed": (
        "SageMaker gave up on the endpoint, and its reason is not one that Sealift knows by name",
        "read the reason above and the log group /aws/sagemaker/Endpoints/<endpoint>",
    ),
    "Undiagnosed": ("the failure could not be looked into", "read the message above and the state's log"),
    "EndpointTimedOut": (
        "SageMaker neither started the endpoint nor gave up before the deadline",
        "look at the endpoint in the SageMaker console; raise deadline_s if it is only slow",
    ),
    "SmokeTestFailed": (
        "the endpoint's answer is not what was expected",
        "correct smoke_test.expect, or the model",
    ),
    "ConsumerFailed": (
        "the consumer does not work with the new endpoint",
        "read the consumer's log; its own code or its permission to call the endpoint",
    ),
    "ConsumerChanged": ("somebody else changed the consumer meanwhile", "start the execution again"),
    "ConsumerBusy": (
        "the consumer's update did not finish",
        "look at the consumer function, then start again",
    ),
    "EndpointBusy": ("the endpoint's previous change did not finish", "wait for it, then start again"),
    "NotYetVisible": (
        "what was made a moment ago could not be seen in time",
        "start the execution again; if it stays so, look for somebody who deletes it",
    ),
    "ModelNotReady": (
        "the serverless container was not provisioned in time",
        "start the execution again; read the container's log if it stays so",
    ),
    "Throttled": ("AWS kept asking for fewer requests", "start the execution again later"),
    "ServiceUnavailable": ("AWS kept failing", "start the execution again later"),
    "StatesDataLimitExceeded": (
        "a state's result is larger than what Step Functions holds of an execution's data",
        "shorten smoke_test.prompts and consumer.test_event, and let the consumer answer less",
    ),
    "StatesTimeout": ("a state took longer than it may", "read the state's log, then start again"),
    "Lambda.Unknown": ("a task's function ended without an answer", "read the function's log"),
}


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


def lines(what: str, why: str, fix: str) -> str:
    """Return the three lines in which every failure is cause, everywhere; they are plain, and there are no more."""
    return f"what happened: {one_line(what)}\nwhy: {one_line(why)}\nwhat to do: {one_line(fix)}"


_NOISE = re.compile(r"\b(?:ACCESS_LOG|TS_METRICS|MODEL_METRICS) - |^\s+at [\w.$]+\(")


def pick_evidence(lines: Sequence[str], most: int) -> tuple[str, ...]:
    """Return the newest lines of a container's log, without TorchServe's access log, metrics and Java stack frames.

    A health check alone is two of them, and they go on after the lines that give a cause. So do the lines of a worker
    that is started over and over: where none of the newest gives a cause, the last one that does comes before them.
    """
    heard = [line for line in lines if not _NOISE.search(line)]
    newest = heard[-most:]
    clear = [rule for rule in RULES if not rule.vague]
    tells = (line for line in reversed(heard) if any(re.search(rule.pattern, line) for rule in clear))
    last = next(tells, None)
    return tuple(newest) if last is None or last in newest else (last, *newest[1:])


_TASK: Final = re.compile(r"[/\\]tasks[/\\](\w+)\.py\"")
"""A task's file in a stack trace."""


def failed_state(results: dict[str, Any], cause: str = "") -> str:
    """Return which state failed: by the trace in the cause, else the first of the order without a (finished) result.

    A state that is come to again, since an endpoint or a consumer moved, has the result of its first time; so a trace
    goes before. What has none, as a time-out, is told by the results.
    """
    trace = _document(cause).get("stackTrace")
    raised = _TASK.search("\n".join(map(str, trace))) if isinstance(trace, list) else None
    if raised and raised[1] in ORDER:
        return raised[1]
    left_out = _left_out(results.get("plan_deployment") or {})
    for name in ORDER:
        result = results.get(name)
        if name not in left_out and (result is None or _unfinished(name, result)):
            return name
    return ORDER[-1]


def _left_out(plan: dict[str, Any]) -> set[str]:
    """Return the states that a plan never comes to: one of the endpoint's two strategies, a switch's first step."""
    other = "update_endpoint" if plan.get("updates") is None else "create_endpoint"
    return {other, *(() if plan.get("switch") == IN_STEPS else CANARY)}


def _unfinished(name: str, result: dict[str, Any]) -> bool:
    """Return whether a loop's result is that of a look which was not the last."""
    if name == "poll_endpoint":
        return bool(result.get("verdict") != "ready")
    return name == "watch_consumer" and result["left"] > 0


def message(cause: str) -> str:
    """Return the exception's message in a state machine's Cause, which for a Lambda is a JSON object."""
    return str(_document(cause).get("errorMessage", cause))


def _document(cause: str) -> dict[str, Any]:
    try:
        document = json.loads(cause)
    except (ValueError, RecursionError):
        return {}
    return document if isinstance(document, dict) else {}


def diagnose(failure: dict[str, str], results: dict[str, Any], evidence: tuple[str, ...] = ()) -> Diagnosis:
    """Return the diagnosis of a failure.

    Args:
        failure: `Error` and `Cause` as a Catch gives them.
        results: the execution's data, by result path.
        evidence: further texts, for instance the endpoint's FailureReason and its container's log lines.
    """
    # The notification's subject has it too, which may have 100 characters.
    error = payload.cut(one_line(re.sub(r"^States\.", "States", failure.get("Error", ""))), _MOST_NAME)
    cause = message(failure.get("Cause", ""))
    state = failed_state(results, failure.get("Cause", ""))
    # One line, whatever the message is: a traceback among the three would hide the next two.
    what = f"{state.replace('_', ' ')} failed with {error}: {_one_line(cause)}"
    own_words = error in errors.names(errors.PermanentError) and error not in {
        "AccessDenied",
        "RequestRejected",
    }
    known = None if own_words else _known(cause, evidence, error)
    if known is not None:
        rule, found = known
        return Diagnosis(error, state, rule.cause, what, _why(rule.why, found, cause), rule.fix, evidence)
    why, fix = FALLBACK.get(
        error, ("the cause is not one that Sealift knows", "read the log of the state's function")
    )
    seen, wanted, ways = cause.partition(f"; wanted {quota_errors.ROOM}; ")
    if error == errors.QuotaUsedUp.__name__ and ways:
        # The commands are what is to be done, so they stand there, and once.
        what, fix = (
            f"{state.replace('_', ' ')} failed with {error}: {_one_line(seen + wanted[:-2])}",
            _one_line(ways),
        )
    return Diagnosis(error, state, error, what, why, fix, evidence)


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
