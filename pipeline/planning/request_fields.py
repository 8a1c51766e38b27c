"""The fields that people may write in a deployment's request: bounds, defaults, and what each means.

Owns them as `schema` checks. Refuses to merge the sources of a request (`deployment_request`), and to judge fields
against each other (`request_checks`).
"""

from __future__ import annotations

from pipeline import limits, naming
from pipeline.aws import resource_tags
from pipeline.gguf import questions
from pipeline.hosting import ARTIFACTS, AUTO, HOSTINGS, KEPT, NEW_ENDPOINT, SERVERLESS, STRATEGIES
from pipeline.planning import consumer
from pipeline.schema import (
    AnyObject,
    Boolean,
    Field,
    Integer,
    ListOf,
    MapOf,
    Number,
    Object,
    OneOf,
    OneOrMore,
    Pattern,
    Text,
)
from pipeline.sizing import cache_types, images, preference
from pipeline.state_data.request_types import RELOCATE_MODEL_ALIAS

MOST_CASES = 100
"""Of one suite."""

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
            "of a model for embeddings, texts to embed; of a reranker, queries",
            default=[questions.DEFAULT],
        ),
        "ask_with": Field(
            OneOf(questions.FORMS),
            "the field to ask with; when absent, what suits the model: messages where it has a chat template, prompt "
            "where it has none, input where it is for embeddings, query where it ranks",
        ),
        "expect": Field(
            EXPECT,
            "what every answer must be like; embeddings and rankings are only judged by what they cannot be",
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
        "bake_s": Field(Integer(1, 900), "seconds until it gets all, if no alarm fires", default=300),
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
            "first, with `complete` for a base model; or in its place `input` where the model is for embeddings, "
            "`query` and `documents` where it ranks",
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
        "n_parallel": Field(
            Integer(1, 64),
            "slots: requests that one container answers at once, each with a context of n_ctx; planned from an "
            "instance's memory and CPUs when absent. One on serverless, and of container pytorch",
        ),
        "cache_type": Field(
            OneOf(tuple(cache_types.CACHE_TYPES)),
            "the numbers in which keys and values of the context are kept: f16, or less exact and with less memory "
            "q8_0 (53 %) or q4_0 (28 %); not of container pytorch",
            default=cache_types.F16,
        ),
        "n_gpu_layers": Field(
            Integer(1, 1000),
            "layers that lie on an instance's GPUs, the output counted as one; when absent all of them, or of an "
            "instance_type that is named as many as fit",
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

QUALITY = Object(
    {
        "suite": Field(
            Text("the name of a file that ends in .jsonl", r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}\.jsonl"),
            "the file of cases, which lies beside the archive",
            required=True,
        ),
        "allow_worse": Field(
            Integer(0, MOST_CASES),
            "cases that may fail although the earlier deployment passes them",
            default=0,
        ),
        "allow_failed": Field(
            Integer(0, MOST_CASES),
            "cases that may fail at all; when absent, any that the earlier deployment fails as well",
        ),
        "deadline_s": Field(
            Integer(60, 3600),
            "seconds for all cases; one that was not asked by then has failed",
            default=1800,
        ),
    }
)

NETWORK = Object(
    {
        "subnets": Field(
            ListOf(Text("the id of a subnet, as subnet-0123456789abcdef0", r"subnet-[0-9a-f]{8,25}"), 1, 16),
            "the subnets in which SageMaker makes the network interfaces of the instances; the stack's when absent",
            default=[],
        ),
        "security_groups": Field(
            ListOf(Text("the id of a security group, as sg-0123456789abcdef0", r"sg-[0-9a-f]{8,29}"), 1, 5),
            "the security groups of those interfaces, of the same VPC; the stack's when absent",
            default=[],
        ),
        "isolated": Field(
            Boolean(),
            "whether the container is cut off from every network (EnableNetworkIsolation); SageMaker still brings it "
            "the model and the calls",
            default=False,
        ),
    }
)

_TAG_CHARACTERS = r"[\w .:/=+@-]"

TAGS = MapOf(
    Text(
        "1 to 128 letters, digits, spaces and _.:/=+-@, without the prefixes aws: (AWS's) and sealift: (Sealift's)",
        rf"(?![Aa][Ww][Ss]:|[Ss][Ee][Aa][Ll][Ii][Ff][Tt]:){_TAG_CHARACTERS}{{1,{resource_tags.MOST_KEY}}}",
    ),
    Text(
        "at most 256 letters, digits, spaces and _.:/=+-@",
        rf"{_TAG_CHARACTERS}{{0,{resource_tags.MOST_TAG}}}",
    ),
    resource_tags.MOST_OWN,
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
        ),
        "concurrent_requests_per_instance": Field(
            Number(0.1, 1000),
            "the measure in its place: requests that each instance has at the same time; when both are absent, three "
            "quarters of an instance's slots, one at least",
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
    "artifact": Field(
        OneOf(ARTIFACTS),
        "in what the model reaches a serverless endpoint: an archive, or a layer of Sealift's own image, which is "
        "neither unpacked to the 5 GB of disk nor downloaded as the container starts; auto is an archive unless it "
        "breaks one of those limits and an image would not",
        default=AUTO,
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
    "provisioned_concurrency": Field(
        Integer(1, limits.MAX_CONCURRENCY.value),
        "containers that a serverless endpoint keeps started, which cost money while nobody calls; at most "
        "max_concurrency, which is the same unless it says otherwise",
    ),
    "instance_type": Field(
        _INSTANCE_NAME,
        "the instance type, with GPUs or without; when absent, what 'prefer' says of those that do",
    ),
    "prefer": Field(
        OneOf(preference.PREFERENCES),
        f"which instance type is taken; one that cannot give {preference.ANSWER_TOKENS} tokens within a call's 60 s "
        "comes after all that can",
        default=preference.CHEAPEST,
    ),
    "min_tokens_per_s": Field(
        Number(0.01, 10_000), "tokens a second that an instance must be expected to generate for one caller"
    ),
    "answer_within_s": Field(
        Number(0.1, 3600),
        f"seconds within which an instance must be expected to generate {preference.ANSWER_TOKENS} tokens",
    ),
    "instance_count": Field(
        Integer(1, MOST_INSTANCES), "instances of the endpoint; each has the whole model", default=1
    ),
    "instance_pool": Field(
        Boolean(),
        "whether SageMaker may take the plan's next type where it has no capacity of the first; a request that names "
        "an 'instance_type' has that one alone",
        default=True,
    ),
    "auto_scaling": Field(
        AUTO_SCALING,
        "how instances are added and taken away after the switch; the endpoint begins with instance_count, or with min",
    ),
    "scale_to_zero": Field(
        Boolean(),
        "on instances: whether they all go after a quarter of an hour without a call, and come back with the next "
        "one, which is refused, as are those of the minutes after it; the endpoint begins with instance_count, and has "
        "as many at most. Whoever calls names the inference component, which has the endpoint's name",
        default=False,
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
        "instances have taken over; an alarm that fires rolls the update back",
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
        OneOf(images.CHOICES),
        "what serves the model: AWS's prebuilt PyTorch image, AWS's llama.cpp image, or an image of your own, which is "
        "Sealift's in the stack's repository unless image_uri names one; auto takes Sealift's where it is there, and "
        "pytorch otherwise; on instances AWS's llama.cpp image, unless the model embeds or ranks",
        default=images.AUTO,
    ),
    "image_uri": Field(
        Text(
            "an ECR image URI with a tag or digest",
            r"[0-9]{12}\.dkr\.ecr\.[a-z0-9-]+\.amazonaws\.com(\.cn)?/.+[:@].+",
            max_length=255,
        ),
        "the container image; the container's own image of the region when absent. One of your own for GPUs has cuda "
        "in its name",
    ),
    "execution_role_arn": Field(
        Text("the ARN of an IAM role", _ARN + r"iam::[0-9]{12}:role/.+"),
        "the role that the endpoint runs with: the stack's own, also when absent, or one of its EndpointRoleArns",
    ),
    "network": Field(
        NETWORK,
        "on instances: the VPC of the endpoint's containers, and whether they have a network at all; serverless has "
        "neither. What the stack names holds for every deployment, which may narrow it",
        default={},
    ),
    "volume_kms_key_arn": Field(
        Text("the ARN of a KMS key", _ARN + r"kms:[a-z0-9-]+:[0-9]{12}:key/[A-Za-z0-9-]+"),
        "on instances with a volume: the key that encrypts it, one of the stack's VolumeKmsKeyArns; the first of them "
        "when absent. Where it is said, no type with a disk of its own is taken, which no key encrypts",
    ),
    "tags": Field(
        TAGS,
        "tags of your own on all that is made: model, configuration, endpoint, alarms, and the service's parameter; "
        "beside the stack's ResourceTags",
        default={},
    ),
    "code": Field(
        OneOf((images.OWN_CODE, images.ARCHIVE_CODE)),
        "whose inference code the endpoint runs: Sealift's own, or what the archive brings in code/",
        default=images.OWN_CODE,
    ),
    "relocate_model": Field(
        Boolean(),
        "whether a model that lies in a directory of the archive is moved to its root",
        default=False,
        alias=RELOCATE_MODEL_ALIAS,
    ),
    "inference": Field(INFERENCE, "settings of the model server", default={}),
    "smoke_test": Field(SMOKE_TEST, "how the new endpoint is tried", default={}),
    "quality": Field(
        QUALITY,
        "the quality gate: cases that the new endpoint and the earlier one are asked before the switch, which a worse "
        "one does not come to; none when absent",
    ),
    "consumer": Field(
        OneOrMore(CONSUMER, MOST_CONSUMERS),
        "the Lambda to switch over, or several; none when absent, and null or [] takes the stack's own away",
    ),
    "keep_previous": Field(
        Integer(0, 50),
        "earlier good deployments that stay, for an instant rollback; none on instances unless set",
        default=KEPT[SERVERLESS],
    ),
    "expires_after_h": Field(
        Number(0.25, 8760),
        "hours after its success in which the deployment is taken down by itself, as after a demonstration; it stays "
        "when absent",
    ),
    "detailed_observability": Field(
        Boolean(),
        "on instances: whether SageMaker publishes what the container's /metrics and the host tell "
        "(EnableDetailedObservability), which CloudWatch charges for by the GB; when absent, true of a container that "
        "serves /metrics, and AWS's own default of any other",
    ),
    "deadline_s": Field(
        Integer(1, 7200), "seconds until an endpoint that is still Creating is given up", default=1800
    ),
    "poll_interval_s": Field(Integer(1, 300), "seconds between two looks at the endpoint", default=15),
}

SCHEMA_KEY = "$schema"
"""By which editors find what describes the fields (`settings_file`)."""

EXECUTION_INPUT = Object(
    {"archive": Field(ARCHIVE, "the archive to deploy", required=True), **_TUNABLE},
    passed_over=frozenset({SCHEMA_KEY}),
)
DEPLOYMENT_JSON = Object(_TUNABLE, passed_over=frozenset({SCHEMA_KEY}))
