"""The container images that an endpoint can run in, as data.

Owns what is particular to each family of images: where the image lies, what goes into the archive for it, its
environment, what it answers, what it occupies beside the model, how long it is supported, and what is known against it
on serverless. Whichever it is, it answers OpenAI-style chat requests, so nobody who asks an endpoint needs to know.
Embeddings, and texts to go on with, are for those that say so in `requests`.
Refuses to decide: a request names a profile, `pipeline.planning.plan` works with it.

    pytorch     AWS's prebuilt PyTorch image: TorchServe runs the four functions of the archive's code/inference.py
    llama-cpp   AWS's own llama.cpp image: llama-server behind nginx; the archive holds nothing but the model
    custom      our own image, of `sealift image build` or inference/Dockerfile: llama-server behind the adapter; the
                archive holds nothing but the model

Sources, by short name:
    dlc         github.com/aws/deep-learning-containers: available images, support policy, the images' own scripts
    sdk         PyPI sagemaker 2.257.7, image_uri_config/pytorch.json: the registry accounts
    toolkit     github.com/aws/sagemaker-pytorch-inference-toolkit v2.0.14 and PyPI sagemaker-inference 1.9.2
    llama.cpp   common/arg.cpp: every option has an environment variable; one that is not known is ignored
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from datetime import date
from typing import TYPE_CHECKING, Any, Final

from inference import sealift_log, sealift_models
from pipeline.gguf import questions
from pipeline.sizing.instance_types import ARM64, CUDA, X86_64, image_architecture, platform_of
from pipeline.sizing.serving import CHECKPOINTS, LLAMA_SERVER, OWN_SERVER, PREBUILT, Serving

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pipeline.state_data.checked_types import Code

OWN_CODE: Final = "sealift"
ARCHIVE_CODE: Final = "archive"
"""Whose inference code the endpoint runs, where the container is one that takes code from the archive."""

_ACCOUNT: Final = "763104351884"
_ACCOUNTS: Final[Mapping[str, str]] = {
    "af-south-1": "626614931356",
    "ap-east-1": "871362719292",
    "ap-east-2": "975050140332",
    "ap-northeast-3": "364406365360",
    "ap-south-2": "772153158452",
    "ap-southeast-3": "907027046896",
    "ap-southeast-4": "457447274322",
    "ap-southeast-5": "550225433462",
    "ap-southeast-6": "633930458069",
    "ap-southeast-7": "590183813437",
    "ca-west-1": "204538143572",
    "cn-north-1": "727897471807",
    "cn-northwest-1": "727897471807",
    "eu-central-2": "380420809688",
    "eu-south-1": "692866216735",
    "eu-south-2": "503227376785",
    "il-central-1": "780543022126",
    "me-central-1": "914824155844",
    "me-south-1": "217643126080",
    "mx-central-1": "637423239942",
    "us-gov-east-1": "446045086412",
    "us-gov-west-1": "442386744353",
}
"""Regions whose images lie in a registry of their own (sdk)."""


@dataclass(frozen=True, slots=True)
class AwsImage:
    """An image of AWS's, whatever the region."""

    repository: str
    tag: str


@dataclass(frozen=True, slots=True)
class Profile:
    """What is particular to one family of images."""

    name: str
    repository: str | None
    """AWS's repository; None where the image is the user's own and has to be named."""
    tag: str
    """For x86-64 CPUs."""
    carries_code: bool
    """Whether the archive carries `code/` with the inference code and its runtime."""
    runs_archive_code: bool
    """Whether the image runs the code that an archive brings, where the stack allows that."""
    settings: Mapping[str, str | None]
    """The inference settings, each with the image's environment variable for it, or several with a space between; None
    where it has none."""
    requests: tuple[str, ...]
    """The fields that a request may ask with; `input` asks to embed, `query` to rank, and all others are answered
    in OpenAI's form."""
    serving: Serving
    """What the server occupies beside the model, and how long it takes to start."""
    others: Mapping[str, AwsImage] = field(default_factory=dict)
    """AWS's images for other platforms than x86-64, by platform."""
    companions: bool = False
    """Whether it loads what lies beside a model: a projector, adapters, a draft model."""
    options: str | None = None
    """What the image's variables for llama-server's options begin with; None where it finds all files by itself."""
    all_threads: int | None = None
    """The setting n_threads that means "as many as there are CPUs"; None where that is the image's own default."""
    context_of_all_slots: bool = False
    """Whether the image's variable for n_ctx is of all slots together, and not of each."""
    streams: bool = False
    """Whether it hands on an answer while it makes it."""
    serves_metrics: bool = False
    """Whether the image answers `/metrics` on its port in Prometheus' format."""
    environment: Mapping[str, str] = field(default_factory=dict)
    honest_ping: bool = True
    """Whether /ping says 200 only when the model answers; otherwise only the smoke test tells."""
    end_of_support: date | None = None
    alternative: str | None = None
    """The profile to take instead when the support has ended."""
    limits: tuple[str, ...] = ()
    """What is known against it on serverless."""
    log_form: str | None = None
    """The form of a request's line in its log, as `inference.sealift_log` has it; None where there is no such line."""

    @property
    def of_platforms(self) -> Mapping[str, AwsImage]:
        """AWS's images of it, by platform; none where only the user knows an image."""
        return {} if self.repository is None else {X86_64: AwsImage(self.repository, self.tag), **self.others}

    def image_uri(self, region: str, platform: str = X86_64) -> str | None:
        """Return the image's URI in a region; None when only the user knows it."""
        image = self.of_platforms.get(platform)
        if image is None:
            return None
        suffix = "amazonaws.com.cn" if region.startswith("cn-") else "amazonaws.com"
        account = _ACCOUNTS.get(region, _ACCOUNT)
        return f"{account}.dkr.ecr.{region}.{suffix}/{image.repository}:{image.tag}"

    def log_lines(self, code: str) -> str | None:
        """Return the form of a request's line in the log, by whose code runs; an archive's own writes what it likes."""
        return None if code == ARCHIVE_CODE else self.log_form

    @property
    def embeds(self) -> bool:
        """Tell whether it answers requests for embeddings, and so those to rank."""
        return questions.INPUT in self.requests

    @property
    def has_slots(self) -> bool:
        """Tell whether one container can answer several requests at once."""
        return self.settings["n_parallel"] is not None

    def code(self, whose: str) -> Code:
        """Return what goes into `code/` when a request asks for whose inference code it wants."""
        if whose == "archive":
            return "archive"
        return "sealift" if self.carries_code else "none"


_CTX_CHECKPOINTS: Final = "LLAMA_ARG_CTX_CHECKPOINTS"
_CHECKPOINTS: Final = {_CTX_CHECKPOINTS: str(CHECKPOINTS)}
"""Of each slot. By default there are 32: of a model with windows or recurrent layers gigabytes that no fit holds."""

_OURS: Final[Mapping[str, str | None]] = {
    name: f"SEALIFT_{name.upper()}"
    for name in (
        "n_ctx",
        "n_batch",
        "n_threads",
        "max_tokens",
        "temperature",
        "top_p",
        "prefix_cache_mb",
        "timeout_s",
        "n_parallel",
        "max_waiting",
        "stream_timeout_s",
    )
}
_ONE_AT_A_TIME: Final = dict.fromkeys(("n_parallel", "max_waiting", "stream_timeout_s", "checkpoints"))
"""TorchServe has one worker, which answers one request at a time, and a queue of its own."""


def _of_llama_server(prefix: str) -> dict[str, str | None]:
    """Return the settings that llama-server alone has; one of them is of keys and of values."""
    return {
        "n_gpu_layers": f"{prefix}N_GPU_LAYERS",
        "flash_attn": f"{prefix}FLASH_ATTN",
        "cache_type": f"{prefix}CACHE_TYPE_K {prefix}CACHE_TYPE_V",
    }


_ANY_FORM: Final = (questions.MESSAGES, questions.PROMPT, "inputs", questions.INPUT, questions.QUERY)

PYTORCH: Final = Profile(
    name="pytorch",
    repository="pytorch-inference",
    tag="2.0.0-cpu-py310-ubuntu20.04-sagemaker",
    carries_code=True,
    runs_archive_code=True,
    settings={**_OURS, **_ONE_AT_A_TIME, **dict.fromkeys(_of_llama_server(""))},
    requests=_ANY_FORM,
    serving=PREBUILT,
    all_threads=64,
    environment={
        "SAGEMAKER_PROGRAM": "inference.py",
        # TorchServe starts one worker, and so one copy of the model, per CPU unless both of these say one:
        # the second wins where an image's entry point forces the first.
        "SAGEMAKER_MODEL_SERVER_WORKERS": "1",
        "TS_DEFAULT_WORKERS_PER_MODEL": "1",
        # This bounds the loading of the model too; at the default of 60 s a slow load starts over for ever.
        "SAGEMAKER_MODEL_SERVER_TIMEOUT": "300",
        # The toolkit tells Java to look at the host's memory, not the container's (-XX:-UseContainerSupport), so its
        # heap takes a share of that: 100 MiB more after 6,000 requests on a host of 23 GiB, and 30 MiB with a young
        # generation of this size (benchmarks/bench_limits.py). What lives long may still take what it needs.
        "JAVA_TOOL_OPTIONS": "-Xms32m -Xmn12m -XX:+UseSerialGC",
    },
    log_form=sealift_log.IN_COLUMNS,
    honest_ping=False,
    end_of_support=date(2024, 3, 15),
    alternative="llama-cpp",
)

LLAMA_CPP: Final = Profile(
    name="llama-cpp",
    repository="llama-cpp",
    tag="server-sagemaker-cpu-v1",
    carries_code=False,
    runs_archive_code=False,
    # SM_LLAMA_CPP_X_Y becomes the option --x-y (dlc: sagemaker_entrypoint.sh).
    settings={
        "n_ctx": "SM_LLAMA_CPP_CTX_SIZE",
        "n_batch": "SM_LLAMA_CPP_BATCH_SIZE",
        "n_threads": "SM_LLAMA_CPP_THREADS",
        "max_tokens": "SM_LLAMA_CPP_N_PREDICT",
        "temperature": "SM_LLAMA_CPP_TEMP",
        "top_p": "SM_LLAMA_CPP_TOP_P",
        "prefix_cache_mb": "SM_LLAMA_CPP_CACHE_RAM",
        # llama-server ends no answer early; SageMaker gives the call up instead.
        "timeout_s": None,
        "n_parallel": "SM_LLAMA_CPP_PARALLEL",
        # Who finds every slot busy waits, however many there are.
        "max_waiting": None,
        "stream_timeout_s": None,
        "checkpoints": _CTX_CHECKPOINTS,
        **_of_llama_server("SM_LLAMA_CPP_"),
    },
    requests=(questions.MESSAGES,),
    serving=LLAMA_SERVER,
    others={
        ARM64: AwsImage("llama-cpp-arm64", "server-sagemaker-cpu-v1"),
        CUDA: AwsImage("llama-cpp", "server-sagemaker-cuda-v1"),
    },
    companions=True,
    options="SM_LLAMA_CPP_",
    context_of_all_slots=True,
    streams=True,
    serves_metrics=True,
    environment={
        # One request at a time unless a plan says more: by default llama-server has four slots, which share one
        # context (server.cpp: n_parallel auto is kv_unified), so that none of them is sure of n_ctx.
        "SM_LLAMA_CPP_PARALLEL": "1",
        "SM_LLAMA_CPP_METRICS": "true",
        **_CHECKPOINTS,
        # Read, not mapped, as the fit assumes. A variable, because an option that an image does not know ends it.
        "LLAMA_ARG_LOAD_MODE": "none",
    },
    end_of_support=date(2027, 8, 21),
    limits=(
        "AWS documents it for instances only; on serverless it has not been tried",
        "its entry point writes /etc/nginx/conf.d, which serverless may refuse: derive an image that may write there",
    ),
)

CUSTOM: Final = Profile(
    name="custom",
    repository=None,
    tag="",
    carries_code=False,
    runs_archive_code=True,
    settings={
        **_OURS,
        "checkpoints": _CTX_CHECKPOINTS,
        **_of_llama_server("LLAMA_ARG_"),
    },
    requests=_ANY_FORM,
    serving=OWN_SERVER,
    companions=True,
    all_threads=64,
    log_form=sealift_log.IN_JSON,
    streams=True,
    serves_metrics=True,
    environment=_CHECKPOINTS,
    limits=("the image must lie in a registry of the endpoint's own account and region",),
)

PROFILES: Final[Mapping[str, Profile]] = {profile.name: profile for profile in (PYTORCH, LLAMA_CPP, CUSTOM)}
DEFAULT: Final = PYTORCH
"""What `auto` comes to where the stack's repository has no image of ours."""
AUTO: Final = "auto"
"""No profile: a request's, which `pipeline.planning.container_choice` makes one of them."""
CHOICES: Final = (AUTO, *PROFILES)
CUDA_AMI: Final = "al2023-ami-sagemaker-inference-gpu-4-1"
"""The machine's own image for a CUDA image of ours or AWS's: driver 580 and CUDA 13.0, which that of AWS is built with
(botocore's service model, ProductionVariantInferenceAmiVersion)."""
_NAMED_FOR_CUDA: Final = re.compile(r"[/:._-]cuda(?![a-z])")
NO_GPU: Final = "serverless has no GPUs, and the image that is named is for NVIDIA's"
PUSH: Final = "sealift image push"
"""The command that puts our image of this version into the stack's repository."""


def of_aws(image_uri: str) -> Profile | None:
    """Return the profile whose image of AWS's own an image is, whatever its tag; None for any other image."""
    host, _, name = image_uri.partition("/")
    if host.partition(".")[0] not in {_ACCOUNT, *_ACCOUNTS.values()}:
        return None
    repository = re.split("[:@]", name, maxsplit=1)[0]
    return next(
        (
            one
            for one in PROFILES.values()
            if repository in {image.repository for image in one.of_platforms.values()}
        ),
        None,
    )


def platforms(profile: Profile, image_uri: str | None, instance_type: str | None) -> tuple[str, ...]:
    """Return for which platforms there is an image: some of `instance_types.PLATFORMS`.

    Args:
        profile: the container.
        image_uri: the image that was named; None for the container's own.
        instance_type: the type that was named, which an image that only the user knows is taken to be for. An image of
            a container that AWS has none of for GPUs is for those by its own name alone, which then has "cuda" in it.
    """
    if image_uri is None and profile.repository is not None:
        return tuple(profile.of_platforms)
    named = image_uri or ""
    known = (
        platform
        for platform, image in profile.of_platforms.items()
        if named.endswith(f"/{image.repository}:{image.tag}")
    )
    if profile.others:
        assumed = platform_of(instance_type)
    else:
        assumed = CUDA if _NAMED_FOR_CUDA.search(named) else image_architecture(instance_type)
    return (next(known, assumed),)


def is_for_gpus(profile: Profile, image_uri: str | None) -> bool:
    """Tell whether an image that was named wants GPUs, whatever it is to run on: it finds no driver elsewhere."""
    return image_uri is not None and CUDA in platforms(profile, image_uri, None)


def environment(profile: Profile, inference: Mapping[str, Any]) -> dict[str, str]:
    """Return the container's Environment: the profile's own, and the inference settings under its names for them.

    Args:
        profile: the profile.
        inference: the settings by name; n_ctx is the context of one slot, whatever the image's variable means.
    """
    told = dict(inference)
    if profile.context_of_all_slots and told.get("n_ctx"):
        told["n_ctx"] *= told.get("n_parallel") or 1
    settings = {
        variable: format(value, "g") if isinstance(value, float) else str(value)
        for name, value in sorted(told.items())
        if value is not None
        for variable in (profile.settings[name] or "").split()
    }
    return {**profile.environment, **settings}


def files(profile: Profile, model: Mapping[str, Any], *, relocate_model: bool = False) -> dict[str, str]:
    """Return the variables that name a model and what lies beside it, where the image wants them.

    By itself the image would take the first file that its file system tells.

    Args:
        profile: the container.
        model: the model part of an archive report.
        relocate_model: whether a model in a directory is moved to the root.
    """
    beside = model.get("companions", ())
    if profile.options is None:
        return {}

    def place(path: str) -> str:
        name = path.rpartition("/")[2] if relocate_model else path
        return f"{sealift_models.FOLDER}/{name}"

    _, companions = sealift_models.parted(place(one["path"]) for one in beside)
    options = {"model": place(model["path"]), **companions.options()}
    return {f"{profile.options}{name.upper().replace('-', '_')}": value for name, value in options.items()}


def notes(profile: Profile, today: date, *, serverless: bool = True, embeddings: bool = False) -> list[str]:
    """Return what a person who takes this profile should know: an ended support first, then what is against it.

    Args:
        profile: the profile.
        today: what its support is compared with.
        serverless: whether the endpoint is.
        embeddings: whether the model is for those, or ranks, so that only what answers them is an alternative.
    """
    lines = []
    if profile.end_of_support is not None and profile.end_of_support < today:
        instead = (
            f"; 'container': {profile.alternative!r} is supported"
            if _supported(profile, today, embeddings=embeddings)
            else ""
        )
        lines.append(
            f"AWS's support of the {profile.name!r} image ended on {profile.end_of_support}: it still runs, and gets "
            f"no fixes{instead}"
        )
    limits = profile.limits if serverless else ()
    return [*lines, *(f"container {profile.name!r}: {limit}" for limit in limits)]


def _supported(profile: Profile, today: date, *, embeddings: bool) -> bool:
    """Tell whether there is an alternative for the model whose own support still runs."""
    if profile.alternative is None or (embeddings and not PROFILES[profile.alternative].embeds):
        return False
    until = PROFILES[profile.alternative].end_of_support
    return until is None or until >= today
