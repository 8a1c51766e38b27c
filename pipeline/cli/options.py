"""What each command can be told, typed: one dataclass for a command, one field for an argument or option.

A field says both what the command's code gets (its name, its type) and what stands on the command line (the flags, the
help), so that the two cannot part. `program` makes click's parameters of them; a test makes one with plain Python:
`SweepOptions(stack="sealift", delete=True)`. What is None was not given; where there is a setting of that name,
`complete` of `pipeline.cli` fills it in before a command runs. Refuses to know what a command does.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, field, fields
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click
from click.shell_completion import CompletionItem

from pipeline import naming
from pipeline.client.proxy import PORT

if TYPE_CHECKING:
    from collections.abc import Iterator

OWN, DEPLOYMENT, STACK, ACCOUNT, COMMON = range(5)
"""Where an option stands in the help: with its command's, behind those, or with those that every command has."""
SETS: Final = "sets"
FLAG: Final = "flag"
"""The keys, among what a field says of itself, of the setting of a deployment that its option sets, as a dotted path,
and of what the option is called."""


class _Name(click.ParamType[Any]):
    """The name of a file, or of what stands for one: shells complete it. Whether it is there, the command finds out."""

    name = "name"

    def __init__(self, made: type[str | Path]) -> None:
        self._made = made

    def convert(self, value: Any, _param: click.Parameter | None, _ctx: click.Context | None) -> str | Path:
        return self._made(value)

    def shell_complete(
        self, _ctx: click.Context, _param: click.Parameter, incomplete: str
    ) -> list[CompletionItem[str]]:
        return [CompletionItem(incomplete, type="file")]


FILE: Final = _Name(Path)
PLACE: Final = _Name(str)
"""A file or an s3:// URL."""


class Word(click.ParamType[str]):
    """A name in a form that AWS is asked with; another one is nobody's, and is not asked for."""

    name = "word"

    def __init__(self, pattern: str, wanted: str) -> None:
        self._pattern = pattern
        self.wanted = wanted
        """For people, when another one was given."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Return the name; refuse what is none."""
        if not re.fullmatch(self._pattern, str(value)):
            self.fail(repr(value), param, ctx)
        return str(value)


SERVICE: Final = Word(
    naming.SERVICE_PATTERN, "a service's name: at most 40 lower-case letters, digits and single hyphens"
)
ENDPOINT: Final = Word(
    r"(?!.{64})[a-zA-Z0-9](-*[a-zA-Z0-9])*", "an endpoint's name: at most 63 letters, digits and hyphens"
)


class _Numbers(click.ParamType[tuple[int, ...]]):
    """Whole numbers with commas between them, each within bounds."""

    name = "numbers"

    def __init__(self, most: int) -> None:
        self._one = click.IntRange(1, most)

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[int, ...]:
        if isinstance(value, tuple):
            return value
        return tuple(int(self._one(one.strip(), param, ctx)) for one in str(value).split(","))


class _Number(click.FloatRange):
    """A number within bounds; `nan` is within any that click knows, and `inf` within half of them."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        found = float(super().convert(value, param, ctx))
        if not math.isfinite(found):
            self.fail(f"{value!r} is not a finite number", param, ctx)
        return found


PORT_NUMBER: Final = click.IntRange(0, 65535)
"""Of TCP: a system takes a larger one for another."""


def _field(make: Any, rank: int, *, sets: str = "", flag: str = "", **given: Any) -> Any:
    """Return a dataclass's field that knows how click's parameters of its name are made, and where they stand."""
    return field(**given, metadata={"make": make, "rank": rank, SETS: sets, FLAG: flag})


def _argument(metavar: str, help: str, *, many: bool = False, **how: Any) -> Any:  # noqa: A002 click's word
    """Return a field that is a positional argument; required, unless it has a default."""
    if many:
        metavar = f"{metavar}..."
        how |= {"nargs": -1, "required": True}

    def make(name: str) -> tuple[click.Parameter, ...]:
        return (click.Argument([name], metavar=metavar, help=help, **how),)

    return _field(make, OWN, **({"default": how["default"]} if "default" in how else {}))


def _option(*flags: str, rank: int = OWN, sets: str = "", **how: Any) -> Any:
    """Return a field that is an option with a value; None, or none at all, unless it is given or has a default."""

    def make(name: str) -> tuple[click.Parameter, ...]:
        return (click.Option([*flags, name], **how),)

    if how.get("required"):
        return _field(make, rank)
    default = () if how.get("multiple") else how.get("default")
    return _field(make, rank, sets=sets, flag=flags[0].partition("/")[0], default=default)


def _flag(flag: str, help: str, *, rank: int = OWN) -> Any:  # noqa: A002
    """Return a field that is an option without a value."""

    def make(name: str) -> tuple[click.Parameter, ...]:
        return (click.Option([flag, name], is_flag=True, default=False, help=help),)

    return _field(make, rank, default=False)


def _colors(name: str) -> tuple[click.Parameter, ...]:
    """Return --color, and its older names, which no help tells of."""
    when = click.Choice(("auto", "always", "never"))
    help_text = "auto, which is where there is a terminal (default), always or never"
    return (
        click.Option(["--color", name], type=when, metavar="WHEN", help=help_text),
        click.Option(["--colour", name], type=when, hidden=True),
        click.Option(["--no-color", name], flag_value="never", default=None, hidden=True),
    )


def _relocate_model(name: str) -> tuple[click.Parameter, ...]:
    """Return --relocate-model, and its older name, which no help tells of."""
    told = 'judge as a deployment with "relocate_model": true does, which moves a model in a directory to the root'
    return (
        click.Option(["--relocate-model", name], is_flag=True, default=False, help=told),
        click.Option(["--mend", name], is_flag=True, default=False, hidden=True),
    )


def _setting(path: str, *flags: str, **how: Any) -> Any:
    """Return a field that is an option for one setting of a deployment, by its place in `deployment.json`."""
    return _option(*flags, rank=DEPLOYMENT, sets=path, **how)


_json_lines = partial(_flag, "--json", "print a JSON object for every change, and nothing else", rank=COMMON)
_stack = partial(_option, "--stack", metavar="NAME", rank=STACK)


@dataclass(frozen=True, kw_only=True)
class CommonOptions:
    """What every command can be told, before its name or behind it."""

    json: bool = _flag("--json", "print one JSON document, and nothing else", rank=COMMON)
    quiet: bool = _flag("--quiet", "print no progress, only how it ends", rank=COMMON)
    color: str | None = _field(_colors, COMMON, default=None)
    debug: bool = _flag("--debug", "show where an error came from, as SEALIFT_DEBUG=1 does", rank=COMMON)


COMMON_NAMES: Final = tuple(one.name for one in fields(CommonOptions))


@dataclass(frozen=True, kw_only=True)
class AccountOptions(CommonOptions):
    """What a command that talks to AWS can be told."""

    region: str | None = _option(
        "--region", metavar="NAME", help="AWS's region (default: as `sealift settings` shows)", rank=ACCOUNT
    )
    profile: str | None = _option(
        "--profile", metavar="NAME", help="whose credentials of AWS's configuration are used", rank=ACCOUNT
    )


@dataclass(frozen=True, kw_only=True)
class StackedOptions(AccountOptions):
    """What a command that looks at a stack can be told."""

    stack: str | None = _stack(help="the stack's name (default: sealift)")


@dataclass(frozen=True, kw_only=True)
class CompanionOptions(AccountOptions):
    """What lies beside a model, for a command that packs one."""

    mmproj: Path | None = _option(
        "--mmproj", metavar="FILE", type=FILE, help="a projector, by which the model sees; packed beside it"
    )
    lora: tuple[Path, ...] = _option(
        "--lora", metavar="FILE", type=FILE, multiple=True, help="a LoRA adapter beside it; may be repeated"
    )
    draft: Path | None = _option(
        "--draft", metavar="FILE", type=FILE, help="a smaller model of its family beside it, to guess ahead"
    )


@dataclass(frozen=True, kw_only=True)
class DeploymentOptions(CommonOptions):
    """What of a deployment's settings a command line can say: each option sets the field of `deployment.json` it names.

    They win over any file. `pipeline.cli.deployment_flags` makes settings of them; what was not given is None.
    """

    prompt: tuple[str, ...] = _setting(
        "smoke_test.prompts",
        "--prompt",
        metavar="TEXT",
        multiple=True,
        help="what the new endpoint is asked; may be repeated (default: a greeting, or what suits the model)",
    )
    expect: str | None = _setting(
        "smoke_test.expect.contains", "--expect", metavar="TEXT", help="what each answer must contain"
    )
    hosting: str | None = _setting(
        "hosting",
        "--hosting",
        type=click.Choice(("serverless", "instance", "auto")),
        metavar="WHERE",
        help="serverless (default), instance, or auto, which takes an instance where serverless will not do",
    )
    memory_mb: int | None = _setting(
        "memory_mb",
        "--memory",
        "--memory-mb",
        type=int,
        metavar="MB",
        help="memory size on serverless (default: the smallest that holds)",
    )
    max_concurrency: int | None = _setting(
        "max_concurrency",
        "--max-concurrency",
        type=int,
        metavar="N",
        help="concurrent calls on serverless, which are then waited for (default: what is free of a third of the "
        "account's)",
    )
    instance_type: str | None = _setting(
        "instance_type",
        "--instance-type",
        metavar="TYPE",
        help="instance type (default: as --prefer says)",
    )
    prefer: str | None = _setting(
        "prefer",
        "--prefer",
        type=click.Choice(("cheapest", "fastest", "tokens-per-dollar")),
        metavar="WHAT",
        help="which instance type is taken: cheapest (default), fastest or tokens-per-dollar",
    )
    min_tokens_per_s: float | None = _setting(
        "min_tokens_per_s",
        "--min-tokens-per-s",
        type=_Number(),
        metavar="N",
        help="tokens a second that an instance must be expected to generate",
    )
    answer_within_s: float | None = _setting(
        "answer_within_s",
        "--answer-within-s",
        type=_Number(),
        metavar="SECONDS",
        help="seconds within which an instance must be expected to generate 150 tokens",
    )
    allow_instances: bool | None = _setting(
        "allow_instances",
        "--allow-instances/--no-allow-instances",
        default=None,
        help="whether hosting auto may take an instance, which costs money while nobody calls it (default: no)",
    )
    container: str | None = _setting(
        "container",
        "--container",
        type=click.Choice(("auto", "pytorch", "llama-cpp", "custom")),
        metavar="NAME",
        help="what serves the model, and so how much memory is left for it: pytorch, llama-cpp, custom, or auto "
        "(default), which is Sealift's own image where the stack has it",
    )
    artifact: str | None = _setting(
        "artifact",
        "--artifact",
        type=click.Choice(("archive", "image", "auto")),
        metavar="WHAT",
        help="in what the model reaches a serverless endpoint: archive, image, or auto (default), which is an archive "
        "unless only Sealift's own image can hold the model",
    )
    n_ctx: int | None = _setting(
        "inference.n_ctx", "--n-ctx", type=int, metavar="N", help="context length in tokens (default: 2048)"
    )
    expires_after_h: float | None = _setting(
        "expires_after_h",
        "--expires-after-h",
        type=_Number(),
        metavar="HOURS",
        help="take the deployment down by itself so many hours after its success (default: it stays)",
    )


@dataclass(frozen=True, kw_only=True)
class PackOptions(CompanionOptions):
    """Of `sealift pack`."""

    model: Path = _argument("MODEL.gguf", "the model, or the first of its shards", type=FILE)
    output: str = _option(
        "-o",
        "--output",
        metavar="PLACE",
        default="model.tar.gz",
        type=PLACE,
        help="a file or s3://bucket/key (default: model.tar.gz)",
    )
    compress: int = _option(
        "--compress",
        type=click.IntRange(0, 9),
        metavar="LEVEL",
        help="0 (default) stores, which is fastest to pack and to start; 9 is smallest, by 3 to 5 %",
    )


@dataclass(frozen=True, kw_only=True)
class CheckOptions(AccountOptions):
    """Of `sealift check`."""

    files: tuple[str, ...] = _argument(
        "ARCHIVE",
        "a file, s3://bucket/key, any shard of a split model, or a suite (.jsonl)",
        many=True,
        type=PLACE,
    )
    relocate_model: bool = _field(_relocate_model, OWN, default=False)


@dataclass(frozen=True, kw_only=True)
class PlanOptions(DeploymentOptions, AccountOptions):
    """Of `sealift plan`."""

    files: tuple[str, ...] = _argument(
        "ARCHIVE",
        "a file or s3://bucket/key; a bare GGUF will do, any shard of a split one, or its folder",
        many=True,
        type=PLACE,
    )
    stack: str | None = _stack(
        help="the stack whose container and image to plan with (default: none, and no account is asked)"
    )


@dataclass(frozen=True, kw_only=True)
class DeployOptions(StackedOptions):
    """Of `sealift deploy`."""

    parameter: tuple[str, ...] = _option(
        "--parameter",
        multiple=True,
        metavar="Name=Value",
        help="a parameter of the template; the others keep what they have; may be repeated",
    )
    no_image: bool = _flag(
        "--no-image", "leave Sealift's own image alone (default: build and push it where it is not there)"
    )
    yes: bool = _flag("--yes", "do not ask")
    dry_run: bool = _flag("--dry-run", "only say what it would change")


@dataclass(frozen=True, kw_only=True)
class ImageOptions(AccountOptions):
    """What a command that makes Sealift's own image can be told."""

    base: str | None = _option(
        "--base",
        metavar="IMAGE",
        help="what it is laid on, as HOST/REPOSITORY[:TAG][@DIGEST] (default: AWS's public copy of Docker's python)",
    )
    architecture: str = _option(
        "--architecture",
        type=click.Choice(("x86_64", "arm64")),
        metavar="NAME",
        default="x86_64",
        help="the machine that it runs on: x86_64 (default) or arm64",
    )


@dataclass(frozen=True, kw_only=True)
class ImageBuildOptions(ImageOptions):
    """Of `sealift image build`."""

    output: Path | None = _option(
        "-o",
        "--output",
        type=FILE,
        metavar="FOLDER",
        help="lay it out there for skopeo, umoci or podman, its base with it (default: keep our layers for a push)",
    )


@dataclass(frozen=True, kw_only=True)
class ImagePushOptions(ImageOptions):
    """Of `sealift image push`."""

    repository: str | None = _argument(
        "[REPOSITORY]", "HOST/REPOSITORY[:TAG] (default: the stack's own repository)", default=None
    )
    image: Path | None = _option(
        "--image",
        type=FILE,
        metavar="FOLDER",
        help="push an image that was laid out there (default: build it)",
    )
    tag: str | None = _option(
        "--tag", metavar="TAG", help="what it is called (default: sealift-VERSION-ARCHITECTURE)"
    )
    dry_run: bool = _flag("--dry-run", "only say what would be sent")
    stack: str | None = _stack(
        help="the stack whose repository is taken where none is named (default: sealift)"
    )


@dataclass(frozen=True, kw_only=True)
class DestroyOptions(StackedOptions):
    """Of `sealift destroy`."""

    archives: bool = _flag("--archives", "delete the buckets with all uploads and archives too")
    yes: bool = _flag("--yes", "do not ask")
    dry_run: bool = _flag("--dry-run", "only say what would go")


@dataclass(frozen=True, kw_only=True)
class DeleteOptions(StackedOptions):
    """Of `sealift delete`."""

    service: str = _argument("SERVICE", "the service's name", type=SERVICE)
    stack: str | None = _stack(help="the stack that it is of (default: sealift)")
    archives: bool = _flag("--archives", "delete its uploads too")
    yes: bool = _flag("--yes", "do not ask")
    dry_run: bool = _flag("--dry-run", "only say what would go")


@dataclass(frozen=True, kw_only=True)
class PauseOptions(StackedOptions):
    """Of `sealift pause`."""

    service: str = _argument("SERVICE", "the service's name", type=SERVICE)
    stack: str | None = _stack(help="the stack that it is of (default: sealift)")
    yes: bool = _flag("--yes", "do not ask")
    dry_run: bool = _flag("--dry-run", "only say what would be done, and what it saves")


@dataclass(frozen=True, kw_only=True)
class ResumeOptions(StackedOptions):
    """Of `sealift resume`."""

    service: str = _argument("SERVICE", "the service's name", type=SERVICE)
    stack: str | None = _stack(help="the stack that it is of (default: sealift)")
    yes: bool = _flag("--yes", "do not ask")
    dry_run: bool = _flag("--dry-run", "only say what would be done, and what it costs")


@dataclass(frozen=True, kw_only=True)
class DoctorOptions(StackedOptions):
    """Of `sealift doctor`."""

    stack: str | None = _stack(help="the stack that is looked at (default: sealift)")


@dataclass(frozen=True, kw_only=True)
class FollowingOptions(StackedOptions):
    """What a command that follows a deployment can be told."""

    json: bool = _json_lines()


@dataclass(frozen=True, kw_only=True)
class StartingOptions(FollowingOptions):
    """What a command that starts a deployment can be told."""

    stack: str | None = _stack(help="the stack to deploy with (default: sealift)")
    no_follow: bool = _flag("--no-follow", "end when the deployment has started (default: follow it)")


@dataclass(frozen=True, kw_only=True)
class PushOptions(DeploymentOptions, CompanionOptions, StartingOptions):
    """Of `sealift push`."""

    archive: str = _argument(
        "MODEL",
        "a GGUF, any shard of a split one, or its folder, which is packed while it is uploaded; or an archive, as "
        "`sealift pack` makes it",
        type=PLACE,
    )
    service: str = _option(
        "--service", required=True, metavar="NAME", help="the service that it is to serve (required)"
    )
    input: Path | None = _option(
        "--input",
        type=FILE,
        metavar="FILE",
        help="settings of the deployment (default: deployment.json beside the model, if it is there); they become "
        "deployment.json beside the upload",
    )
    yes: bool = _flag("--yes", "do not ask: deploy the stack where there is none")
    dry_run: bool = _flag("--dry-run", "only say what would be made and changed, and what it would cost")


@dataclass(frozen=True, kw_only=True)
class InitOptions(CommonOptions):
    """Of `sealift init`."""

    model: str | None = _argument(
        "[MODEL]",
        "a GGUF, any shard of a split one, or its folder, whose header fills in what suits it (default: none, and "
        "the files are written into this folder)",
        default=None,
        type=PLACE,
    )


@dataclass(frozen=True, kw_only=True)
class StartOptions(StartingOptions):
    """Of `sealift start`."""

    input: Path | None = _option(
        "--input", type=FILE, metavar="FILE", help="the execution's input as JSON; - for standard input"
    )
    place: str | None = _option("--archive", metavar="S3URL", help="s3://bucket/key of the archive")
    service: str | None = _option(
        "--service", metavar="NAME", help="the service (default: as the archive's key says)"
    )


@dataclass(frozen=True, kw_only=True)
class WatchOptions(FollowingOptions):
    """Of `sealift watch`."""

    execution: str = _argument("EXECUTION", "its ARN or name, or a service: then its newest one")
    stack: str | None = _stack(help="the stack that it is of (default: sealift)")


@dataclass(frozen=True, kw_only=True)
class RollbackOptions(StackedOptions):
    """Of `sealift rollback`."""

    service: str = _argument("SERVICE", "the service's name", type=SERVICE)
    stack: str | None = _stack(help="only deployments of this stack (default: of any stack of the account)")


@dataclass(frozen=True, kw_only=True)
class ServiceOptions(StackedOptions):
    """What a command that calls a service can be told."""

    service: str = _argument("SERVICE", "the service's name", type=SERVICE)
    stack: str | None = _stack(help="only a deployment of this stack (default: of any stack of the account)")
    system: str | None = _option("--system", metavar="TEXT", help="how the model is to answer")
    max_tokens: int | None = _option(
        "--max-tokens",
        type=click.IntRange(min=1),
        metavar="N",
        help="tokens of an answer at most (default: the endpoint's)",
    )
    temperature: float | None = _option(
        "--temperature",
        type=_Number(min=0),
        metavar="T",
        help="0 for the likeliest answer, more for others (default: the endpoint's)",
    )


@dataclass(frozen=True, kw_only=True)
class AskOptions(ServiceOptions):
    """Of `sealift ask`."""

    question: str | None = _argument(
        "[QUESTION]", "the question; standard input for `-`, or without one", default=None
    )
    schema: Path | None = _option(
        "--schema",
        type=FILE,
        metavar="FILE",
        help="a JSON schema that the answer holds to; `-` for standard input",
    )
    image: tuple[Path, ...] = _option(
        "--image",
        type=FILE,
        metavar="FILE",
        multiple=True,
        help="an image to look at; can be given several times",
    )
    stream: bool = _flag(
        "--stream", "write the answer as it comes, as to a terminal; endpoints on instances can"
    )
    timings: bool = _flag("--timings", "tell what the answer took, and tokens per second, on standard error")


@dataclass(frozen=True, kw_only=True)
class ChatOptions(ServiceOptions):
    """Of `sealift chat`."""


@dataclass(frozen=True, kw_only=True)
class EvalOptions(StackedOptions):
    """Of `sealift eval`."""

    service: str = _argument("SERVICE", "the service's name", type=SERVICE)
    stack: str | None = _stack(help="only a deployment of this stack (default: of any stack of the account)")
    suite: Path = _option(
        "--suite",
        required=True,
        type=FILE,
        metavar="FILE",
        help="the cases, JSON Lines; `-` for standard input (required)",
    )
    against: str | None = _option(
        "--against",
        type=ENDPOINT,
        metavar="NAME",
        help="another service, or an endpoint, that is asked the same beside it",
    )
    save: Path | None = _option("--save", type=FILE, metavar="FILE", help="write all answers there, as JSON")


@dataclass(frozen=True, kw_only=True)
class BenchOptions(StackedOptions):
    """Of `sealift bench`."""

    service: str = _argument("SERVICE", "the service's name", type=SERVICE)
    stack: str | None = _stack(help="only a deployment of this stack (default: of any stack of the account)")
    deployment: str | None = _option(
        "--deployment",
        type=ENDPOINT,
        metavar="ENDPOINT",
        help="measure this deployment of it, whether it serves or not, as `sealift status` lists them",
    )
    against: str | None = _option(
        "--against",
        type=ENDPOINT,
        metavar="NAME",
        help="compare with another service, or with the endpoint of a deployment",
    )
    concurrency: tuple[int, ...] = _option(
        "--concurrency",
        type=_Numbers(256),
        default=(1, 2, 4),
        metavar="N,N...",
        help="how many ask at once, stage by stage (default: 1,2,4)",
    )
    prompt_tokens: tuple[int, ...] = _option(
        "--prompt-tokens",
        type=_Numbers(1_000_000),
        default=(64, 512),
        metavar="N,N...",
        help="tokens of the prompts (default: 64,512)",
    )
    max_tokens: int = _option(
        "--max-tokens",
        type=click.IntRange(min=1),
        default=64,
        metavar="N",
        help="tokens of each answer (default: 64)",
    )
    requests: int = _option(
        "--requests",
        type=click.IntRange(min=1),
        default=100,
        metavar="N",
        help="calls of a stage to one endpoint, at most (default: 100)",
    )
    seconds: float = _option(
        "--seconds",
        type=_Number(min=0, min_open=True),
        default=60.0,
        metavar="N",
        help="of a stage on one endpoint, after which no call begins (default: 60)",
    )
    cold: float | None = _option(
        "--cold",
        type=_Number(min=0, min_open=True),
        metavar="MINUTES",
        help="leave a serverless endpoint alone so long before its first call, so that it has to start",
    )
    html: Path | None = _option("--html", type=FILE, metavar="FILE", help="write a page with plots there")
    prices: Path | None = _option(
        "--prices", type=FILE, metavar="FILE", help="prices in the place of the listed ones, as JSON"
    )
    yes: bool = _flag("--yes", "do not ask before calls are paid for")
    dry_run: bool = _flag("--dry-run", "only say how many calls that is, and what they may cost")


@dataclass(frozen=True, kw_only=True)
class ConnectOptions(StackedOptions):
    """Of `sealift connect`."""

    service: str = _argument("SERVICE", "the service's name", type=SERVICE)
    stack: str | None = _stack(help="only a deployment of this stack (default: of any stack of the account)")
    only: str | None = _option(
        "--only",
        metavar="NAME",
        help="this one alone, with nothing else: boto3, parameter, openai, langchain, litellm, openai-proxy, curl, "
        "lambda",
    )


@dataclass(frozen=True, kw_only=True)
class TokenOptions(AccountOptions):
    """Of `sealift token`."""

    hours: float = _option(
        "--hours",
        type=_Number(min=0, max=12, min_open=True),
        default=12.0,
        metavar="N",
        help="how long it is good, 12 at most (default: 12)",
    )


@dataclass(frozen=True, kw_only=True)
class ProxyOptions(StackedOptions):
    """Of `sealift proxy`."""

    stack: str | None = _stack(help="only services of this stack (default: of any stack of the account)")
    host: str = _option(
        "--host",
        default="127.0.0.1",
        metavar="ADDRESS",
        help="where to listen (default: 127.0.0.1); one that other machines reach wants a key",
    )
    port: int = _option(
        "--port",
        type=PORT_NUMBER,
        default=PORT,
        metavar="PORT",
        help=f"default: {PORT}; 0 for any that is free",
    )
    api_key: str | None = _option(
        "--api-key",
        metavar="KEY",
        help="what clients must have as their API key (default: SEALIFT_PROXY_KEY, which no list of processes shows; "
        "none)",
    )


@dataclass(frozen=True, kw_only=True)
class StatusOptions(StackedOptions):
    """Of `sealift status`."""

    only: str | None = _argument("[SERVICE]", "only this service (default: all)", default=None, type=SERVICE)
    stack: str | None = _stack(help="only what this stack made (default: any stack of the account)")


@dataclass(frozen=True, kw_only=True)
class LsOptions(StackedOptions):
    """Of `sealift ls`."""

    stack: str | None = _stack(help="only what this stack made (default: any stack of the account)")


@dataclass(frozen=True, kw_only=True)
class PricesOptions(StackedOptions):
    """Of `sealift prices`."""

    refresh: bool = _flag("--refresh", "ask AWS's price list, and keep what it says here and in the stack")
    stack: str | None = _stack(help="the stack whose workflow is to have it too (default: sealift)")


@dataclass(frozen=True, kw_only=True)
class HistoryOptions(StackedOptions):
    """Of `sealift history`."""

    only: str | None = _argument(
        "[SERVICE]", "only of this service (default: of all)", default=None, type=SERVICE
    )
    limit: int = _option("--limit", type=int, default=20, metavar="N", help="how many at most (default: 20)")
    stack: str | None = _stack(help="only of this stack (default: of any stack of the account)")


@dataclass(frozen=True, kw_only=True)
class LogsOptions(StackedOptions):
    """Of `sealift logs`."""

    execution: str = _argument(
        "EXECUTION", "its name or ARN, as `sealift history` lists them; a service for its newest"
    )
    follow: bool = _flag("--follow", "go on until the execution has ended")
    stack: str | None = _stack(help="the stack whose execution it is (default: any stack of the account)")


@dataclass(frozen=True, kw_only=True)
class ReportOptions(StackedOptions):
    """Of `sealift report`."""

    execution: str = _argument("EXECUTION", "its ARN, or its name in the stack")
    output: str | None = _option(
        "-o",
        "--output",
        type=PLACE,
        metavar="FILE",
        help="where to write the page (default: <name>.html)",
    )
    prices: Path | None = _option(
        "--prices", type=FILE, metavar="FILE", help="prices in the place of the listed ones, as JSON"
    )
    stack: str | None = _stack(help="the stack whose execution has that name (default: sealift)")


@dataclass(frozen=True, kw_only=True)
class SweepOptions(StackedOptions):
    """Of `sealift sweep`."""

    delete: bool = _flag("--delete", "delete it (default: only show it)")
    grace: float = _option(
        "--grace",
        type=float,
        default=24.0,
        metavar="HOURS",
        help="how old a thing, and the end of its execution, must be (default: 24)",
    )
    only: str | None = _option(
        "--service",
        type=SERVICE,
        metavar="SERVICE",
        help="only what was made for this service (default: for any)",
    )
    stack: str | None = _stack(
        help="only what this stack made, and its archives too (default: of any stack, without archives)"
    )


@dataclass(frozen=True, kw_only=True)
class SettingsOptions(StackedOptions):
    """Of `sealift settings`."""

    stack: str | None = _stack(help="as the flag of any other command")


@dataclass(frozen=True, kw_only=True)
class CompletionOptions(CommonOptions):
    """Of `sealift completion`."""

    shell: str = _argument("SHELL", "bash, zsh or fish", type=click.Choice(("bash", "zsh", "fish")))


@dataclass(frozen=True, kw_only=True)
class CloudOptions(CommonOptions):
    """What a command that starts the local cloud can be told."""

    time_scale: float = _option(
        "--time-scale",
        type=_Number(),
        default=0.1,
        metavar="FACTOR",
        help="how long waits take against AWS (default: 0.1)",
    )
    fault: tuple[str, ...] = _option(
        "--fault",
        multiple=True,
        metavar="SERVICE.Operation=ErrorCode[:times]",
        help="make that AWS call fail, so often or for ever; may be repeated",
    )
    no_capacity: tuple[str, ...] = _option(
        "--no-capacity",
        multiple=True,
        metavar="TYPE",
        help="an instance type of which there is none to be had, as `ml.c5.large`; may be repeated",
    )
    no_quota: tuple[str, ...] = _option(
        "--no-quota",
        multiple=True,
        metavar="TYPE",
        help="an instance type of which the account may have none; may be repeated",
    )
    containers: str | None = _option(
        "--containers",
        type=click.Choice(("auto", "process", "runc", "crun")),
        metavar="HOW",
        help="what endpoints run in: auto, true containers where their image is here and the machine can (default); "
        "process; or runc or crun, which want a machine that can",
    )


@dataclass(frozen=True, kw_only=True)
class LocalRunOptions(DeploymentOptions, CloudOptions):
    """Of `sealift local run`."""

    archive: str = _argument("ARCHIVE", "the archive to upload", type=PLACE)
    service: str = _option(
        "--service", default="demo", metavar="NAME", help="the service's name (default: demo)"
    )
    by: str = _option(
        "--by",
        type=click.Choice(("upload", "hand")),
        default="upload",
        metavar="WHAT",
        help="what starts it: upload, which is the upload's event (default), or hand, as in the console",
    )
    input: Path | None = _option(
        "--input", type=FILE, metavar="FILE", help="settings of the deployment, as in deployment.json"
    )
    report: Path | None = _option(
        "--report", type=FILE, metavar="FILE", help="write the deployment's report there"
    )


@dataclass(frozen=True, kw_only=True)
class LocalUpOptions(CloudOptions):
    """Of `sealift local up`."""

    json: bool = _json_lines()
    port: int = _option(
        "--port", type=PORT_NUMBER, default=5055, metavar="PORT", help="default: 5055; 0 for any that is free"
    )


def parameters(of: type[CommonOptions]) -> list[click.Parameter]:
    """Return click's parameters of a command, in the order of its help."""
    return [one for _, params in _ranked(of) for one in params]


def common(of: type[CommonOptions]) -> list[click.Parameter]:
    """Return those that every command has."""
    return [one for rank, params in _ranked(of) if rank == COMMON for one in params]


def _ranked(of: type[CommonOptions]) -> Iterator[tuple[int, tuple[click.Parameter, ...]]]:
    for one in sorted(fields(of), key=lambda one: one.metadata["rank"]):
        yield one.metadata["rank"], one.metadata["make"](one.name)
