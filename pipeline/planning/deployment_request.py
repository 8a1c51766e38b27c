"""The JSON that people and states hand over: the deployment request, its fields, and its one parser.

A request comes from three places, the first that says something wins: the execution's input, a
`deployment.json` beside the archive, the stack's defaults. All mistakes of all of them are told at once.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, replace
from typing import Any, TypedDict

from pipeline import limits, naming, payload
from pipeline.archive.checks.rules import Rules
from pipeline.errors import InvalidInput, Problem
from pipeline.gguf import architectures, questions
from pipeline.gguf.header import SHARD_NAME
from pipeline.hosting import AUTO, HOSTINGS, IN_PLACE, INSTANCE, KEPT, NEW_ENDPOINT, SERVERLESS, STRATEGIES
from pipeline.planning import autoscaling, consumer
from pipeline.schema import (
    MISSING,
    TOO_DEEP,
    AnyObject,
    Boolean,
    Check,
    Field,
    Integer,
    ListOf,
    Number,
    Object,
    OneOf,
    OneOrMore,
    Pattern,
    Text,
)
from pipeline.sizing import images

VERSION = 1
"""Version of the documents between states; raised when a field changes its meaning."""

SIDECAR_LIMIT = 64 * 1024
"""Bytes of a `deployment.json`; settings are a few hundred."""

SIDECAR = "deployment.json"
"""The optional file beside an archive that gives a service its own settings."""

OWN_CODE, ARCHIVE_CODE = images.OWN_CODE, images.ARCHIVE_CODE

_ARN = r"arn:aws[a-z-]*:"

EXPECT = Object(
    {
        "contains": Field(Text(), "text that the answer must contain, letter case ignored"),
        "matches": Field(Pattern(), "a regular expression that must be found in the answer"),
        "min_completion_tokens": Field(
            Integer(1, 100_000), "tokens that the answer must have at least", default=1
        ),
        "allow_degenerate": Field(
            Boolean(),
            "whether an answer may be blank, one thing again and again, the prompt's echo or full of replacement "
            "characters",
            default=False,
        ),
    }
)

PROMPT = Text("a prompt of 1 to 20000 characters", max_length=20_000)

SMOKE_TEST = Object(
    {
        "prompts": Field(
            ListOf(PROMPT, 1, 20),
            "what to ask the new endpoint; of a base model, texts to go on with, and when absent the beginning of one; "
            "of a model for embeddings, texts to embed",
            default=[questions.DEFAULT],
        ),
        "ask_with": Field(
            OneOf(questions.FORMS),
            "the field to ask with; when absent, what suits the model: messages where it has a chat template, prompt "
            "where it has none, input where it is for embeddings",
        ),
        "expect": Field(
            EXPECT,
            "what every answer must be like; embeddings are only judged by what they cannot be",
            default={"min_completion_tokens": 1},
        ),
        "max_tokens": Field(Integer(1, 4096), "tokens to generate per answer at most", default=32),
    }
)

CANARY = Object(
    {
        "weight": Field(
            Number(0.01, 0.99), "the part of the alias' calls that the new version gets", default=0.1
        ),
        # Another deployment of the service waits 20 minutes at the most for this one to be settled.
        "bake_s": Field(Integer(1, 900), "seconds until it gets all, if no alarm rings", default=300),
        "alarms": Field(
            ListOf(Text("the name of a CloudWatch alarm", max_length=255), 0, 50),
            "alarms of the consumer's own to watch beside the endpoint's",
            default=[],
        ),
    }
)

CONSUMER = Object(
    {
        "function_name": Field(
            Text("the name or ARN of a Lambda function", r"[A-Za-z0-9-_:]{1,170}"),
            "the Lambda that calls the endpoint",
            required=True,
        ),
        "variable": Field(
            Text("the name of an environment variable", r"[A-Za-z][A-Za-z0-9_]{0,255}"),
            "the environment variable that holds the endpoint's name",
            default=consumer.VARIABLE,
        ),
        "alias": Field(
            Text("the name of an alias of the function", r"(?!^[0-9]+$)[A-Za-z0-9-_]{1,128}"),
            "the alias to move to a newly published version",
        ),
        "canary": Field(CANARY, "how the alias moves in two steps; at once when absent"),
        "test_event": Field(
            AnyObject(),
            "the event to invoke the consumer with after the switch; when absent, `prompt` with the smoke test's "
            "first, with `complete` for a base model; or `input` in its place where the model is for embeddings",
        ),
        "expect": Field(
            EXPECT, "what the consumer's answer must be like", default={"min_completion_tokens": 1}
        ),
        "take_over": Field(
            Boolean(),
            "whether it may be taken from another service of Sealift that has it; refused otherwise",
            default=False,
        ),
    }
)

INFERENCE = Object(
    {
        "n_ctx": Field(Integer(64, 131_072), "context length in tokens", default=2048),
        "n_batch": Field(Integer(1, 8192), "tokens evaluated at a time", default=512),
        "n_threads": Field(Integer(1, 64), "threads, never more than there are CPUs", default=4),
        "max_tokens": Field(
            Integer(1, 32_768), "tokens of an answer unless a request says otherwise", default=150
        ),
        "temperature": Field(Number(0, 2), "sampling temperature", default=0.7),
        "top_p": Field(Number(0, 1), "nucleus sampling", default=0.9),
        "prefix_cache_mb": Field(
            Integer(0, 4096), "MiB for evaluated prompts that are not the last one; 0 for none", default=32
        ),
    }
)

ARCHIVE = Object(
    {
        "bucket": Field(
            Text("a bucket name", r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]"),
            "the bucket of the archive",
            required=True,
        ),
        "key": Field(
            Text("a key of 1 to 1024 characters", max_length=1024), "the key of the archive", required=True
        ),
        "version_id": Field(Text("a version id", max_length=1024), "the version; the newest when absent"),
    }
)

_INSTANCE_NAME = Text("an instance type such as 'ml.r5.xlarge'", r"ml\.[a-z0-9-]{1,32}\.[a-z0-9]{1,32}")

INSTANCE_TYPE = Object(
    {
        "name": Field(_INSTANCE_NAME, "the type", required=True),
        "vcpus": Field(Integer(1, 1024), "its CPUs", required=True),
        "memory_gib": Field(Number(1, 65_536), "its memory in GiB", required=True),
        "usd_per_hour": Field(Number(0, 10_000), "what one costs in your region", required=True),
        "memory_bandwidth_gb_s": Field(
            Number(0.1, 100_000), "GB that are read from its memory in a second", required=True
        ),
        "local_disk_gb": Field(
            Number(1, 1_000_000),
            "GB of its own NVMe disk, where it has one; not known and assumed to do when absent",
        ),
    }
)

MOST_INSTANCES = 20
"""Of one endpoint: more than an ordinary account may have of any type."""

AUTO_SCALING = Object(
    {
        "min": Field(
            Integer(1, MOST_INSTANCES, why="SageMaker scales to none only what hosts inference components"),
            "instances at least",
            default=1,
        ),
        "max": Field(Integer(1, MOST_INSTANCES), "instances at most", required=True),
        "invocations_per_instance": Field(
            Number(0.1, 100_000),
            "calls a minute of each instance: where there are more an instance is added, where fewer one goes",
            required=True,
        ),
    }
)

MOST_CONSUMERS = 10
"""As many have a tag each on a deployment's record, and are switched and tried within one Lambda's 15 minutes."""

_TUNABLE: dict[str, Field] = {
    "service": Field(
        Text("lower-case letters, digits and single hyphens, at most 40", naming.SERVICE_PATTERN),
        "the service's name; the folder below models/ when absent",
    ),
    "hosting": Field(
        OneOf(HOSTINGS),
        "where the endpoint runs; auto is serverless where the model fits, else an instance if allow_instances is true",
        default=SERVERLESS,
    ),
    "memory_mb": Field(
        Integer(limits.MEMORY_SIZES_MB[0], limits.MEMORY_SIZES_MB[-1], 1024),
        "MemorySizeInMB on serverless; planned from the model when absent",
    ),
    "max_concurrency": Field(
        Integer(1, limits.MAX_CONCURRENCY.value),
        "concurrent invocations of the endpoint on serverless, which are then waited for; when absent, what the "
        "account has free of a third of its quota, of 10 at most",
    ),
    "instance_type": Field(
        _INSTANCE_NAME, "the instance type; the cheapest one that holds the model when absent"
    ),
    "instance_count": Field(
        Integer(1, MOST_INSTANCES), "instances of the endpoint; each has the whole model", default=1
    ),
    "auto_scaling": Field(
        AUTO_SCALING,
        "how instances are added and taken away after the switch; the endpoint begins with instance_count, or with min",
    ),
    "allow_instances": Field(
        Boolean(),
        "whether hosting auto may take an instance, which costs money while nobody calls it",
        default=False,
    ),
    "instance_types": Field(
        ListOf(INSTANCE_TYPE, 0, 50),
        "types to know beside those that are known, or in their place: another region's prices, newer types",
        default=[],
    ),
    "bake_s": Field(
        Integer(0, limits.BAKE_S.value),
        "with strategy in_place on instances: seconds that SageMaker watches the endpoint's alarms after the new "
        "instances have taken over; one that rings takes the update back",
        default=300,
    ),
    "strategy": Field(
        OneOf(STRATEGIES),
        "whether each deployment gets an endpoint of its own, or the service keeps one that is updated in place",
        default=NEW_ENDPOINT,
    ),
    "timeout_s": Field(
        Integer(1, limits.TIMEOUT_S.value),
        "seconds that one answer may take; SageMaker itself ends every call at 60",
        default=60,
    ),
    "container": Field(
        OneOf(tuple(images.PROFILES)),
        "what serves the model: AWS's prebuilt PyTorch image, AWS's llama.cpp image, or an image of your own",
        default=images.DEFAULT.name,
    ),
    "image_uri": Field(
        Text(
            "an ECR image URI with a tag or digest",
            r"[0-9]{12}\.dkr\.ecr\.[a-z0-9-]+\.amazonaws\.com(\.cn)?/.+[:@].+",
            max_length=255,
        ),
        "the container image; the container's own image of the region when absent",
    ),
    "execution_role_arn": Field(
        Text("the ARN of an IAM role", _ARN + r"iam::[0-9]{12}:role/.+"),
        "the role that the endpoint runs with: the stack's own, also when absent, or one of its EndpointRoleArns",
    ),
    "code": Field(
        OneOf((OWN_CODE, ARCHIVE_CODE)),
        "whose inference code the endpoint runs: Sealift's own, or what the archive brings in code/",
        default=OWN_CODE,
    ),
    "mend": Field(
        Boolean(),
        "whether a model that lies in a directory of the archive is moved to its root",
        default=False,
    ),
    "inference": Field(INFERENCE, "settings of the model server", default={}),
    "smoke_test": Field(SMOKE_TEST, "how the new endpoint is tried", default={}),
    "consumer": Field(
        OneOrMore(CONSUMER, MOST_CONSUMERS),
        "the Lambda to switch over, or several; none when absent, and null or [] takes the stack's own away",
    ),
    "keep_previous": Field(
        Integer(0, 50),
        "earlier good deployments that stay, as an instant way back; none on instances unless it is said",
        default=KEPT[SERVERLESS],
    ),
    "deadline_s": Field(
        Integer(1, 7200), "seconds until an endpoint that is still Creating is given up", default=1800
    ),
    "poll_interval_s": Field(Integer(1, 300), "seconds between two looks at the endpoint", default=15),
}

EXECUTION_INPUT = Object({"archive": Field(ARCHIVE, "the archive to deploy", required=True), **_TUNABLE})
DEPLOYMENT_JSON = Object(_TUNABLE)


class StackDefaults(TypedDict):
    """What the stack puts into the definition, so that a task needs only its event."""

    execution_role_arn: str
    endpoint_role_arns: str
    """Further roles that a deployment may name, with commas between; empty for none."""
    account_id: str
    region: str
    container: str
    """The profile of deployments that name none."""
    image_uri: str
    """Empty: the container's own image of the region. It belongs to `container`, and to no other profile."""
    consumer_function_name: str
    """Empty: no consumer unless the request names one."""
    consumer_function_pattern: str
    """Names of the functions that the stack's roles may switch; `*` stands for any characters."""
    artifact_bucket: str
    allow_archive_code: str
    """"true" when deployments may run the code that an archive brings."""


EXECUTION = "the execution's input"
"""What the first source is called, unless whoever started the execution knows it by another name."""


@dataclass(frozen=True, slots=True)
class PlannedNames:
    """What the sources of a request are called, in the terms of whoever wrote them."""

    document: str = EXECUTION
    sidecar: str = SIDECAR
    stack: str = "the stack's parameters"


@dataclass(frozen=True, slots=True)
class Said:
    """What each source says, by its name; the one that wins comes first."""

    sources: tuple[tuple[str, Any], ...]

    @classmethod
    def of(cls, document: Any, sidecar: Any, defaults: StackDefaults, names: PlannedNames) -> Said:
        """Return what the three sources of a request say."""
        stack = {**defaults, "consumer": defaults["consumer_function_name"] or None}
        return cls(((names.document, document), (names.sidecar, sidecar), (names.stack, stack)))

    def where(self, *path: str) -> str:
        """Return which source a field's value comes from; the first one where none says anything of it."""
        return next((name for name, said in self.sources if _says(said, path)), self.sources[0][0])


def _says(said: Any, path: tuple[str, ...]) -> bool:
    for name in path:
        said = said.get(name) if isinstance(said, dict) else None
    return said is not None


@dataclass(frozen=True, slots=True)
class ArchiveLocation:
    """Where the archive lies; `version_id` is None for the newest version or an unversioned bucket."""

    bucket: str
    key: str
    version_id: str | None = None

    def __str__(self) -> str:
        version = f" (version {self.version_id})" if self.version_id else ""
        return f"s3://{self.bucket}/{self.key}{version}"


def archive_rules(
    code: str, *, mend: bool = False, hosting: str = SERVERLESS, container: str | None = None
) -> Rules:
    """Return what an archive must be like: only one that runs its own code must bring any.

    Args:
        code: whose code the endpoint runs, as in a request, or what `code/` will hold.
        mend: whether a model in a directory is moved to the root.
        hosting: where the endpoint runs; what may go to an instance may be larger.
        container: what serves the model; None when it has been judged for that, or need not be.
    """
    rules = Rules(code_required=code == ARCHIVE_CODE, zip_deployable=True, mend=mend)
    if hosting != SERVERLESS:
        rules = replace(rules, max_archive_bytes=limits.VOLUME_GB.value * limits.GB)
    # What an archive's own code can do is for it to say.
    if container is None or code == ARCHIVE_CODE:
        return rules
    profile = images.PROFILES[container]
    # The runtime that travels in the archive is the one that is known; an image has its own.
    return replace(
        rules, embeddings=profile.embeds, runtime=architectures.KNOWN if profile.carries_code else None
    )


def is_bare(name: str, hosting: str) -> bool:
    """Return whether a file of this name is judged as a model that is no archive: only an instance takes one."""
    return hosting != SERVERLESS and name.endswith(naming.MODEL_SUFFIX)


def archive_location(document: Any, name: str = EXECUTION) -> ArchiveLocation:
    """Return where the archive of an execution input lies, before anything else of the input is known.

    Args:
        document: the input.
        name: what it is called in an error.

    Raises:
        InvalidInput: with every problem of the whole input when the archive's part is wrong.
    """
    problems: list[Problem] = []
    parsed = EXECUTION_INPUT.parse(document, "", problems)
    archive = (parsed or {}).get("archive") or {}
    if not archive.get("bucket") or not archive.get("key"):
        raise InvalidInput(name, problems)
    return ArchiveLocation(archive["bucket"], archive["key"], archive.get("version_id"))


def mistakes(document: Any, name: str, check: Check = DEPLOYMENT_JSON) -> list[Problem]:
    """Return what is wrong with a source by itself, whatever the others say: what it leaves out, they may have.

    Args:
        document: the source.
        name: what its author calls it.
        check: what it must be: settings of a deployment, or an execution's input.
    """
    return [one for one in _alone(check, document, name) if one.error != MISSING]


def see_settings(settings: Any, name: str, check: Check = DEPLOYMENT_JSON) -> None:
    """Refuse a source that is wrong by itself; takes what `mistakes` does.

    Raises:
        InvalidInput: with every mistake.
    """
    if problems := mistakes(settings, name, check):
        raise InvalidInput(name, problems)


def sidecar_key(archive_key: str) -> str:
    """Return the key of the `deployment.json` beside an archive."""
    folder, _, _ = archive_key.rpartition("/")
    return f"{folder}/{SIDECAR}" if folder else SIDECAR


def request(
    document: Any, sidecar: Any, defaults: StackDefaults, names: PlannedNames | None = None
) -> dict[str, Any]:
    """Merge and check the three sources of a request.

    Args:
        document: the execution's input.
        sidecar: the parsed `deployment.json`, or None when there is none.
        defaults: what the stack gives.
        names: what the sources are called in an error.

    Returns:
        A request with every field of `EXECUTION_INPUT` present; `memory_mb` and `image_uri` may be None. Instead of
        `consumer` it has `consumers`, a list, which may be empty, and `default_consumer`: whether the one in it is the
        stack's own, which nobody named.

    Raises:
        InvalidInput: with every problem of both in one message, each under the source that made it.
    """
    names = names or PlannedNames()
    alone = [*_alone(EXECUTION_INPUT, document, names.document)]
    if sidecar is not None:
        alone += _alone(DEPLOYMENT_JSON, sidecar, names.sidecar)
    if any(problem.error == TOO_DEEP for problem in alone):
        # Nothing that nests so deep is merged.
        raise InvalidInput(names.document, alone)
    opted = [_opted_out(source) for source in (sidecar, document) if isinstance(source, dict)]
    asked = _merge(*opted)
    left: list[Problem] = []
    parsed = EXECUTION_INPUT.parse(_merge(_stack_part(defaults), asked), "", left)
    # A field that one source leaves out may stand in another: only the merged whole tells what is missing.
    problems = [problem for problem in alone if problem.error != MISSING]
    problems += [_missed(problem, alone, names) for problem in left if problem.error == MISSING]
    if problems:
        raise InvalidInput(names.document, problems)
    if parsed is None or left:
        raise InvalidInput(names.stack, left)
    said = Said.of(document, sidecar, defaults, names)
    for name, check in (("inference", INFERENCE), ("smoke_test", SMOKE_TEST)):
        parsed[name] = _filled(check, parsed[name])
    if parsed["container"] == defaults["container"]:
        parsed["image_uri"] = parsed["image_uri"] or defaults["image_uri"] or None
    parsed["service"] = parsed["service"] or naming.service_from_key(parsed["archive"]["key"])
    parsed["consumers"] = parsed.pop("consumer") or []
    parsed["default_consumer"] = _is_default(asked.get("consumer"), parsed["consumers"])
    problems.extend(_of_other_hosting(parsed["hosting"], asked, said))
    if parsed["hosting"] != SERVERLESS:
        problems.extend(_bake(parsed, asked, said))
        problems.extend(_scaled(parsed, asked, said))
        # Their defaults depend on where it comes to run, which the plan decides.
        parsed["keep_previous"] = asked.get("keep_previous")
        parsed["inference"]["n_threads"] = (asked.get("inference") or {}).get("n_threads")
    problems.extend(_whole(parsed, defaults, said))
    # Last, and by itself: what is wrong otherwise may be what makes it so large.
    problems = problems or [*_too_large(parsed, said), *_too_many_looks(parsed, said)]
    if problems:
        raise InvalidInput(names.document, problems)
    return parsed


def _too_large(parsed: dict[str, Any], said: Said) -> list[Problem]:
    """Return what is wrong with the size of a request: the execution's data hold it three times."""
    size = payload.size(parsed)
    if size <= payload.REQUEST:
        return []
    test = parsed["smoke_test"]
    fields = {
        "smoke_test.prompts": test["prompts"],
        "smoke_test.expect": test["expect"],
        "consumer": [{**one, "test_event": None} for one in parsed["consumers"]],
        "consumer.test_event": [one["test_event"] for one in parsed["consumers"]],
        "instance_types": parsed["instance_types"],
    }
    name, most = payload.largest(fields.items())
    return [
        Problem(
            "RequestTooLarge",
            f"a request of {size:,} bytes of JSON, {most:,} of them in {name!r}",
            f"at most {payload.REQUEST:,} with all defaults: Step Functions holds {limits.STATE_PAYLOAD.value:,} "
            "bytes of an execution's data, and the request is in them three times",
            f"shorten {name!r}",
            said.where(*name.split(".")),
        )
    ]


EVENTS_OF_A_LOOK = 9
"""Of WaitForEndpoint (2), PollEndpoint (5) and EndpointReady (2) in the execution's history."""
EVENTS_ASIDE = 6_000
"""Kept for all other states, once each with every retry that they may have, and for the looks' own retries. A test
compares both figures with the definition."""


def _too_many_looks(parsed: dict[str, Any], said: Said) -> list[Problem]:
    """Return what is wrong with how often the endpoint is looked at: a history has an end, and so has its execution."""
    deadline_s, interval_s = parsed["deadline_s"], parsed["poll_interval_s"]
    looks = (limits.HISTORY_EVENTS.value - EVENTS_ASIDE) // EVENTS_OF_A_LOOK
    if deadline_s <= looks * interval_s:
        return []
    least = math.ceil(deadline_s / looks)
    return [
        Problem(
            "TooManyLooks",
            f"poll_interval_s {interval_s} with deadline_s {deadline_s}",
            f"at most {looks:,} looks: Step Functions ends an execution at {limits.HISTORY_EVENTS.value:,} events, "
            f"and a look takes {EVENTS_OF_A_LOOK}",
            f"set poll_interval_s to {least} or more, or deadline_s to {looks * interval_s} or less",
            said.where("poll_interval_s"),
        )
    ]


def _alone(check: Check, source: Any, name: str) -> list[Problem]:
    """Return what is wrong with one source by itself, under its name."""
    problems: list[Problem] = []
    check.parse(source, "", problems)
    return [replace(problem, where=name) for problem in problems]


def _missed(problem: Problem, alone: list[Problem], names: PlannedNames) -> Problem:
    """Return a field that no source has under the source that begins the object it belongs to."""
    return next(
        (one for one in alone if replace(one, where="") == problem), replace(problem, where=names.document)
    )


_ONLY = {
    SERVERLESS: ("instance_type", "instance_count", "auto_scaling", "bake_s"),
    INSTANCE: ("memory_mb", "max_concurrency"),
    AUTO: (),
}
"""What a request may not ask for with a hosting, since nothing would come of it."""


def _bake(parsed: dict[str, Any], asked: dict[str, Any], said: Said) -> list[Problem]:
    """Return what is wrong with a `bake_s` that nothing would come of: a new endpoint has the consumer's canary."""
    if asked.get("bake_s") is None or parsed["strategy"] == IN_PLACE:
        return []
    return [
        Problem(
            "BakeWithoutUpdate",
            f"'bake_s' with strategy {parsed['strategy']!r}",
            "strategy 'in_place', where SageMaker moves the calls",
            "leave 'bake_s' out; a new endpoint is tried with 'consumer.canary'",
            said.where("bake_s"),
        )
    ]


def _scaled(parsed: dict[str, Any], asked: dict[str, Any], said: Said) -> list[Problem]:
    """Let what scales begin with its least, unless something else is asked for; return what is wrong with it."""
    wanted = parsed["auto_scaling"]
    if wanted is None:
        return []
    if asked.get("instance_count") is None:
        parsed["instance_count"] = wanted["min"]
    if parsed["strategy"] == IN_PLACE:
        return [
            Problem(
                "ScalingInPlace",
                "'auto_scaling' with strategy 'in_place'",
                "strategy 'new_endpoint': SageMaker refuses an update to another instance type of what scales",
                "leave 'auto_scaling' or 'strategy' out",
                said.where("auto_scaling"),
            )
        ]
    seen = autoscaling.contradiction(wanted, parsed["instance_count"])
    if not seen:
        return []
    return [
        Problem(
            "ScalingBounds",
            seen,
            "min <= instance_count <= max",
            "change one of them; without an 'instance_count' the endpoint begins with min",
            said.where("auto_scaling"),
        )
    ]


def _of_other_hosting(hosting: str, asked: dict[str, Any], said: Said) -> list[Problem]:
    other = INSTANCE if hosting == SERVERLESS else SERVERLESS
    return [
        Problem(
            "OtherHosting",
            f"{name!r} with hosting {hosting!r}",
            f"hosting {other!r} or 'auto', the only ones that have it",
            f"change 'hosting', or leave {name!r} out",
            said.where(name),
        )
        for name in _ONLY[hosting]
        if asked.get(name) is not None
    ]


def _stack_part(defaults: StackDefaults) -> dict[str, Any]:
    part: dict[str, Any] = {
        "execution_role_arn": defaults["execution_role_arn"],
        "container": defaults["container"],
    }
    if defaults["consumer_function_name"]:
        part["consumer"] = {"function_name": defaults["consumer_function_name"]}
    return part


def _is_default(asked: Any, consumers: list[dict[str, Any]]) -> bool:
    """Return whether the consumer is the stack's own: whoever only says how it is switched has not named it."""
    return bool(consumers) and (asked is None or (isinstance(asked, dict) and "function_name" not in asked))


def _opted_out(source: dict[str, Any]) -> dict[str, Any]:
    """Return a source whose null consumer is said: "none" where the sources before it name one."""
    return {**source, "consumer": []} if "consumer" in source and source["consumer"] is None else source


def _merge(*documents: dict[str, Any]) -> dict[str, Any]:
    """Merge objects field by field, later ones winning; null means "not said"."""
    merged: dict[str, Any] = {}
    for document in documents:
        for name, value in document.items():
            before = merged.get(name)
            if value is None:
                continue
            merged[name] = (
                _merge(before, value) if isinstance(before, dict) and isinstance(value, dict) else value
            )
    return merged


def _canary(consumers: list[dict[str, Any]]) -> list[Problem]:
    """Return what is wrong with a canary: only an alias can divide the calls."""
    return [
        Problem(
            "CanaryWithoutAlias",
            f"consumer.canary without consumer.alias for {one['function_name']!r}",
            "an alias, which alone can send a part of the calls to another version",
            "name the alias that callers use in 'consumer.alias', or leave 'consumer.canary' out",
        )
        for one in consumers
        if one["canary"] is not None and not one["alias"]
    ]


def _twice(consumers: list[dict[str, Any]]) -> list[Problem]:
    """Return which consumers are named more than once: they would be put back to what this deployment set."""
    known = [consumer.known_as(one) for one in consumers]
    return [
        Problem(
            "ConsumerTwice",
            f"consumer names {variable} of {function!r} {known.count((function, variable))} times",
            "each function and variable once",
            "leave one entry of each in 'consumer'",
        )
        for function, variable in dict.fromkeys(one for one in known if known.count(one) > 1)
    ]


def _filled(check: Check, value: dict[str, Any]) -> dict[str, Any]:
    filled: dict[str, Any] = check.parse(value, "", [])
    return filled


def _of_key(key: str, parsed: dict[str, Any]) -> list[Problem]:
    """Return what is wrong with the key of an archive, or of a GGUF that is to be handed over as it is."""
    if key.endswith(naming.ARCHIVE_SUFFIXES):
        return []
    bare = key.endswith(naming.MODEL_SUFFIX)
    if bare and parsed["hosting"] == SERVERLESS:
        return [
            Problem(
                "BareOnServerless",
                f"archive.key is {key!r}, a bare GGUF, and hosting is 'serverless'",
                "a tar.gz: a serverless endpoint takes nothing else",
                'pack it with `sealift pack`, or say "hosting": "instance" in the deployment.json beside it',
            )
        ]
    if bare and parsed["code"] == ARCHIVE_CODE:
        return [
            Problem(
                "BareWithoutCode",
                f"archive.key is {key!r}, a bare GGUF, and code is 'archive'",
                "an archive that brings code/",
                "leave 'code' out, or pack the model and its code",
            )
        ]
    match = SHARD_NAME.match(key)
    if bare and match and int(match["number"]) != 1:
        return [
            Problem(
                "NotFirstShard",
                f"archive.key is {key!r}",
                "the first shard of a split model, whose name ends in -00001-of-0000N.gguf",
                "name the first one; the others are found beside it",
            )
        ]
    if bare:
        return []
    return [
        Problem(
            "WrongKey",
            f"archive.key is {key!r}",
            "a key that ends in .tar.gz or .zip, or in .gguf for an instance",
            "upload the model as models/<service>/model.tar.gz",
        )
    ]


def _role(asked: str, defaults: StackDefaults, said: Said) -> list[Problem]:
    """Return what is wrong with a role: the tasks may hand on those alone that the stack names."""
    # An execution that began before the stack was updated tells of none.
    named = defaults.get("endpoint_role_arns", "")
    others = [one for text in named.split(",") if (one := text.strip())]
    if asked in {defaults["execution_role_arn"], *others}:
        return []
    return [
        Problem(
            "RoleNotAllowed",
            f"execution_role_arn is {asked!r}",
            "the stack's own role"
            + (f", or one of its EndpointRoleArns: {', '.join(others)}" if others else ""),
            "leave 'execution_role_arn' out, or let the stack hand that role on: "
            f"`sealift deploy --parameter EndpointRoleArns={','.join([*others, asked])}`",
            said.where("execution_role_arn"),
        )
    ]


def _whole(parsed: dict[str, Any], defaults: StackDefaults, said: Said) -> list[Problem]:
    """Return what is wrong with the request as a whole, after each field by itself was right."""
    problems: list[Problem] = []
    key = parsed["archive"]["key"]
    problems.extend(replace(problem, where=said.where("archive", "key")) for problem in _of_key(key, parsed))
    if parsed["service"] is None:
        problems.append(
            Problem(
                "NoService",
                f"no 'service', and archive.key {key!r} names none",
                "a key of the form models/<service>/model.tar.gz, or the field 'service'",
                "add 'service'",
                said.where("archive", "key"),
            )
        )
    if parsed["code"] == ARCHIVE_CODE and defaults["allow_archive_code"] != "true":
        problems.append(
            Problem(
                "ArchiveCodeNotAllowed",
                "code is 'archive'",
                "'sealift': this stack runs no code that archives bring",
                "leave 'code' out, or run `sealift deploy --parameter AllowArchiveCode=true`",
                said.where("code"),
            )
        )
    problems.extend(_role(parsed["execution_role_arn"], defaults, said))
    of_consumers = [*_canary(parsed["consumers"]), *_twice(parsed["consumers"])]
    problems.extend(replace(problem, where=said.where("consumer")) for problem in of_consumers)
    profile = images.PROFILES[parsed["container"]]
    if parsed["code"] == ARCHIVE_CODE and not profile.runs_archive_code:
        problems.append(
            Problem(
                "CodeNotRun",
                f"code is 'archive', container is {profile.name!r}, which runs no code from an archive",
                "a container that does: "
                + ", ".join(repr(one.name) for one in images.PROFILES.values() if one.runs_archive_code),
                "leave 'code' out, or change 'container'",
                said.where("code"),
            )
        )
    image = parsed["image_uri"]
    region = defaults["region"]
    if not image and profile.repository is None:
        problems.append(
            Problem(
                "NoImage",
                f"container is {profile.name!r}, and no 'image_uri'",
                "the URI of your image",
                "build inference/Dockerfile, push it to an ECR repository of this account, and name it in "
                "'image_uri' or in the stack's parameter ImageUri",
                said.where("container"),
            )
        )
    if image and not re.search(rf"\.ecr\.{re.escape(region)}\.", image):
        problems.append(
            Problem(
                "WrongRegion",
                f"image_uri is {image!r}",
                f"an image in {region}, the endpoint's region",
                f"push the image to an ECR repository in {region}",
                said.where("image_uri"),
            )
        )
    return problems
