"""The program `sealift` as click has it: its commands in groups, their help and examples, and how a line is read.

`read` turns words into a `Call`: which function runs, and with which options. It imports no command, so that `--help`
is quick. Refuses, as `Misuse`, what is not known, with the nearest name that is.
"""

from __future__ import annotations

import importlib
import shutil
import sys
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any, Final

import click
from click.exceptions import Exit, NoArgsIsHelpError
from click.shell_completion import get_completion_class, shell_complete

from pipeline import __version__, spelling
from pipeline.cli import commands, options
from pipeline.cli.endings import STATUSES, USAGE, Misuse
from pipeline.errors import Problem

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

NAME: Final = "sealift"
COMPLETE: Final = "_SEALIFT_COMPLETE"
"""The variable by which a shell asks for completions."""
NARROWEST, WIDEST = 40, 100
"""Columns of the help."""
_HOW: Final = {"help_option_names": ["-h", "--help"]}


@dataclass(frozen=True, slots=True)
class Call:
    """What a command line asks for."""

    place: str
    """The function, as `module:function` of `pipeline.cli.commands`."""
    options: Any
    """One of the classes of `pipeline.cli.options`, which the function takes."""
    extra: str = ""
    """What of Sealift's extras it needs."""

    def run(self) -> int:
        """Import the command, run it and return the exit status."""
        if self.extra:
            from pipeline.cli import extras

            extras.check_installed(self.extra, f"`{NAME} {self.extra}`")
        module, _, function = self.place.partition(":")
        command = getattr(importlib.import_module(f"{commands.__name__}.{module}"), function)
        status: int = command(self.options)
        return status


class LeafCommand(click.Command):
    """A command: what it can be told, what runs it, and how people use it."""

    def __init__(
        self,
        name: str,
        summary: str,
        place: str,
        of: type[options.CommonOptions],
        *,
        examples: Sequence[str],
        extra: str = "",
        more: str = "",
    ) -> None:
        super().__init__(
            name,
            params=options.parameters(of),
            help=f"{summary[0].upper()}{summary[1:]}." + (f"\n\n{more}" if more else ""),
            short_help=summary,
            context_settings=_HOW,
        )
        self.examples = tuple(examples)
        """Lines that can be typed."""
        self._of = of
        self._place = place
        self._extra = extra

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Parse; what is wrong is told in this command's name."""
        try:
            return super().parse_args(ctx, args)
        except click.UsageError as error:
            error.ctx = error.ctx or ctx
            raise

    def invoke(self, ctx: click.Context) -> Call:
        """Return the call; what every command has may stand before its name as well."""
        given = dict(ctx.params)
        above = ctx.parent
        while above is not None:
            for name in options.COMMON_NAMES:
                given[name] = given[name] or above.params.get(name)
            above = above.parent
        return Call(self._place, self._of(**given), self._extra)

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write its own options, then those of every command, then examples."""
        common = {one.name for one in options.common(self._of)}
        _write(formatter, "Options", self.params, ctx, but=common)
        _write_common(self, formatter, ctx)
        with formatter.section("Examples"):
            for line in self.examples:
                formatter.write(f"{'':{formatter.current_indent}}{line}\n")


class CommandGroup(click.Group):
    """A group of commands, which its help shows by sections."""

    def __init__(
        self,
        name: str,
        summary: str,
        sections: Iterable[tuple[str, Sequence[click.Command]]],
        *,
        top: bool = False,
    ) -> None:
        self.sections = tuple(sections)
        params = options.common(options.CommonOptions)
        if top:
            params.append(_version())
        super().__init__(
            name,
            commands=[one for _, verbs in self.sections for one in verbs],
            params=params,
            help=f"{summary[0].upper()}{summary[1:]}.",
            short_help=summary,
            context_settings=_HOW,
            subcommand_metavar="COMMAND [ARGS]...",
        )
        self._top = top

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the commands, the options of all of them, and what the exit statuses mean."""
        for title, verbs in self.sections:
            with formatter.section(title):
                formatter.write_dl([(str(one.name), one.get_short_help_str()) for one in verbs])
        _write_common(self, formatter, ctx)
        if self._top:
            with formatter.section("Exit status"):
                formatter.write_dl([(str(status), meaning) for status, meaning in STATUSES.items()])


def _write(
    formatter: click.HelpFormatter,
    title: str,
    params: Iterable[click.Parameter],
    ctx: click.Context,
    *,
    but: Iterable[str | None] = (),
) -> None:
    records = [
        one.get_help_record(ctx)
        for one in params
        if isinstance(one, click.Option) and one.name not in but and not one.hidden
    ]
    if rows := [one for one in records if one is not None]:
        with formatter.section(title):
            formatter.write_dl(rows)


def _write_common(command: click.Command, formatter: click.HelpFormatter, ctx: click.Context) -> None:
    if help_option := command.get_help_option(ctx):
        help_option.help = "show this help and end"
    own = [one for one in command.params if one.name in {*options.COMMON_NAMES, "version"}]
    title = "Options of every command"
    _write(formatter, title, [*own, *([help_option] if help_option else [])], ctx)


def _version() -> click.Option:
    def show(ctx: click.Context, _param: click.Parameter, asked: bool) -> None:
        if asked and not ctx.resilient_parsing:
            click.echo(f"{NAME} {__version__}")
            ctx.exit()

    return click.Option(
        ["--version"],
        is_flag=True,
        is_eager=True,
        expose_value=False,
        callback=show,
        help="show the version and end",
    )


_SETTINGS: Final = (
    "Precedence: flag, environment, the nearest sealift.toml of this folder or one above (for instance: "
    'stack = "harbour"), default.'
)


@cache
def program() -> CommandGroup:
    """Return the whole command line."""
    archives = (
        LeafCommand(
            "pack",
            "make model.tar.gz from a GGUF and the inference code",
            "archives:pack",
            options.PackOptions,
            examples=(
                "sealift pack model.gguf",
                "sealift pack model-00001-of-00003.gguf -o s3://bucket/models/demo/model.tar.gz",
                "sealift pack model.gguf --mmproj mmproj-f16.gguf --lora tone.gguf",
            ),
        ),
        LeafCommand(
            "init",
            "write a deployment.json to begin with, whose fields an editor explains",
            "init:init",
            options.InitOptions,
            examples=("sealift init model.gguf", "sealift init"),
        ),
        LeafCommand(
            "check",
            "say whether an archive can become an endpoint, and if not, why",
            "archives:check",
            options.CheckOptions,
            examples=("sealift check model.tar.gz", "sealift check --json s3://bucket/model.tar.gz"),
        ),
        LeafCommand(
            "plan",
            "say whether a model fits an endpoint, of which size, and if not, what would",
            "plan:plan",
            options.PlanOptions,
            examples=(
                "sealift plan model.gguf --n-ctx 8192",
                "sealift plan model.gguf --hosting auto --json",
            ),
        ),
    )
    account = (
        LeafCommand(
            "doctor",
            "look whether account, stack and this machine are ready; say what to do where not",
            "doctor:examine",
            options.DoctorOptions,
            examples=("sealift doctor", "sealift doctor --stack harbour --region eu-west-1"),
        ),
        LeafCommand(
            "deploy",
            "make Sealift's stack in the account, or bring it to this version; says what it changes",
            "deploy:deploy",
            options.DeployOptions,
            examples=("sealift deploy --dry-run", "sealift deploy --parameter SweepDelete=true --yes"),
        ),
        LeafCommand(
            "destroy",
            "delete the stack and every endpoint that it made; archives stay",
            "destroy:destroy",
            options.DestroyOptions,
            examples=("sealift destroy --dry-run", "sealift destroy --stack harbour --archives"),
        ),
        _image(),
    )
    deployments = (
        LeafCommand(
            "push",
            "bring a model to an endpoint that answers: check, pack, upload, follow; the stack too, after a yes",
            "push:push",
            options.PushOptions,
            examples=(
                "sealift push model.gguf --service demo",
                'sealift push model.gguf --service demo --prompt "Hello." --memory 3072 --dry-run',
                "sealift push model.tar.gz --service demo --input settings.json --no-follow",
            ),
        ),
        LeafCommand(
            "start",
            "start a deployment by hand, and follow it",
            "watch:start",
            options.StartOptions,
            examples=(
                "sealift start --archive s3://bucket/models/demo/model.tar.gz --service demo",
                "sealift start --input execution.json --json",
            ),
        ),
        LeafCommand(
            "watch",
            "follow a deployment, or show how one went",
            "watch:watch",
            options.WatchOptions,
            examples=("sealift watch demo", "sealift watch demo-6618e0acfd6209b3 --json"),
        ),
        LeafCommand(
            "rollback",
            "move a service's consumers back to the deployment before, which is asked first",
            "rollback:rollback",
            options.RollbackOptions,
            examples=("sealift rollback demo",),
        ),
        LeafCommand(
            "pause",
            "take a service's endpoints on instances away, so that they cost nothing, and keep what brings them back",
            "pause:pause",
            options.PauseOptions,
            examples=("sealift pause demo --dry-run", "sealift pause demo --yes"),
        ),
        LeafCommand(
            "resume",
            "bring a paused service back as it was, wait for it and ask it once",
            "pause:resume",
            options.ResumeOptions,
            examples=("sealift resume demo", "sealift resume demo --yes --json"),
        ),
        LeafCommand(
            "delete",
            "delete a service: its endpoints and all that was made for them; its uploads stay",
            "delete:delete",
            options.DeleteOptions,
            examples=("sealift delete demo --dry-run", "sealift delete demo --archives"),
        ),
        LeafCommand(
            "sweep",
            "show what Sealift made and nobody uses any more; delete it with --delete",
            "sweep:sweep",
            options.SweepOptions,
            examples=("sealift sweep", "sealift sweep --stack sealift --grace 48 --delete"),
        ),
    )
    calling = (
        LeafCommand(
            "ask",
            "ask a service one question, and print its answer",
            "ask:ask",
            options.AskOptions,
            examples=(
                'sealift ask demo "What does a sealift do?"',
                'sealift ask demo --system "Answer in one sentence." --timings "Why are ships slow?"',
                "sealift ask demo --schema person.json --json -",
            ),
        ),
        LeafCommand(
            "chat",
            "talk with a service; Ctrl-C ends an answer, Ctrl-D the chat",
            "chat:chat",
            options.ChatOptions,
            examples=("sealift chat demo", 'sealift chat demo --system "You are a harbor pilot."'),
        ),
        LeafCommand(
            "eval",
            "ask a service a suite of cases and judge its answers; 1 when one fails",
            "eval:evaluate",
            options.EvalOptions,
            examples=(
                "sealift eval demo --suite suite.jsonl",
                "sealift eval demo --suite suite.jsonl --against demo-4e0ca7a42f18 --save answers.json",
            ),
        ),
        LeafCommand(
            "connect",
            "print code to paste that asks a service: boto3, OpenAI, LangChain, LiteLLM, curl",
            "connect:connect",
            options.ConnectOptions,
            examples=("sealift connect demo", "sealift connect demo --only curl"),
        ),
        LeafCommand(
            "bench",
            "measure how fast a service answers and what that costs; compare two, or two deployments",
            "bench:bench",
            options.BenchOptions,
            examples=(
                "sealift bench demo",
                "sealift bench demo --concurrency 1,2,4,8 --prompt-tokens 64,1024 --html bench.html",
                "sealift bench demo --against demo-4e0ca7a42f18 --requests 200 --yes --json",
            ),
        ),
        LeafCommand(
            "token",
            "make a bearer token for SageMaker's OpenAI route, of one's own credentials",
            "token:token",
            options.TokenOptions,
            examples=("sealift token --hours 1",),
        ),
        LeafCommand(
            "proxy",
            "serve every service to OpenAI's clients on this machine, with a page to try them",
            "proxy:proxy",
            options.ProxyOptions,
            examples=("sealift proxy", "sealift proxy --stack harbour --port 8000"),
            extra="proxy",
        ),
    )
    looking = (
        LeafCommand(
            "ls",
            "list the services, a line for each",
            "ls:ls",
            options.LsOptions,
            examples=("sealift ls",),
        ),
        LeafCommand(
            "status",
            "show every service: what serves, who calls it, which alarms are in ALARM, what is being deployed",
            "status:status",
            options.StatusOptions,
            examples=("sealift status", "sealift status demo --json"),
        ),
        LeafCommand(
            "prices",
            "show the instance types with their prices; --refresh asks AWS for those of the region",
            "prices:prices",
            options.PricesOptions,
            examples=("sealift prices", "sealift prices --refresh --region eu-central-1"),
        ),
        LeafCommand(
            "history",
            "list deployments, newest first, with how each ended",
            "history:history",
            options.HistoryOptions,
            examples=("sealift history", "sealift history demo --limit 5"),
        ),
        LeafCommand(
            "logs",
            "print what the tasks and containers of an execution wrote, in order of time",
            "logs:logs",
            options.LogsOptions,
            examples=("sealift logs demo --follow",),
        ),
        LeafCommand(
            "report",
            "make the report of an execution: one HTML page",
            "report:report",
            options.ReportOptions,
            examples=("sealift report demo-6618e0acfd6209b3 -o report.html",),
        ),
    )
    here = (
        LeafCommand(
            "settings",
            "show every setting, and whether a flag, the environment or sealift.toml makes it",
            "settings:show",
            options.SettingsOptions,
            examples=("sealift settings", "sealift settings --json"),
            more=_SETTINGS,
        ),
        LeafCommand(
            "completion",
            "print what makes a shell complete `sealift`",
            "completion:completion",
            options.CompletionOptions,
            examples=('eval "$(sealift completion bash)"', "sealift completion fish"),
        ),
        _local(),
    )
    sections = (
        ("Archives", archives),
        ("The stack in your account", account),
        ("Deployments", deployments),
        ("Asking what is deployed", calling),
        ("What is deployed, and what was", looking),
        ("This machine", here),
    )
    return CommandGroup(
        NAME, "deploy a GGUF model to Amazon SageMaker Serverless Inference", sections, top=True
    )


def _image() -> CommandGroup:
    verbs = (
        LeafCommand(
            "build",
            "make Sealift's own container image, without a container engine",
            "image:build",
            options.ImageBuildOptions,
            examples=(
                "sealift image build",
                "sealift image build --base registry.example.com/python:3.11-slim --output image",
            ),
            more="The same version makes the same layers, byte for byte, wherever it is built.",
        ),
        LeafCommand(
            "push",
            "bring the image into a registry: what is there is not sent, and what was cut off goes on",
            "image:push",
            options.ImagePushOptions,
            examples=(
                "sealift image push",
                "sealift image push 123456789012.dkr.ecr.us-east-1.amazonaws.com/sealift --dry-run",
                "sealift image push registry.example.com/team/sealift:one --image image",
            ),
            more="The tag comes last: it names an image that is there whole, or what it named before.",
        ),
    )
    return CommandGroup(
        "image", "the container image of our own: less memory beside the model", [("Commands", verbs)]
    )


def _local() -> CommandGroup:
    verbs = (
        LeafCommand(
            "run",
            "deploy an archive on the local cloud and show the checklist",
            "local:run",
            options.LocalRunOptions,
            extra="local",
            examples=(
                "sealift local run model.tar.gz",
                'sealift local run model.tar.gz --prompt "Tell me a joke" --report report.html',
                "sealift local run model.tar.gz --fault sagemaker.CreateEndpoint=ResourceLimitExceeded:2",
            ),
        ),
        LeafCommand(
            "up",
            "start the local cloud, print its URL, and stay up until Ctrl-C",
            "local:up",
            options.LocalUpOptions,
            extra="local",
            examples=("sealift local up --port 0",),
        ),
    )
    return CommandGroup(
        "local", "the whole product on this machine, with moto in the place of AWS", [("Commands", verbs)]
    )


def read(words: Sequence[str]) -> Call:
    """Return what a command line asks for.

    Raises:
        Misuse: it is wrong.
        HelpShown: it asked for a text, which is printed.
    """
    top = program()
    try:
        width = max(min(shutil.get_terminal_size().columns, WIDEST) - 1, NARROWEST)
        with top.make_context(NAME, list(words), terminal_width=width) as context:
            call: Call = top.invoke(context)
    except NoArgsIsHelpError as error:
        click.echo(error.ctx.get_help(), err=True)
        raise HelpShown(USAGE) from None
    except Exit as end:
        raise HelpShown(end.exit_code) from None
    except click.UsageError as error:
        raise _misuse(error) from error
    return call


class HelpShown(Exception):
    """The command line is done with: help or the version was printed."""

    def __init__(self, status: int) -> None:
        super().__init__(status)
        self.status = status


def _misuse(error: click.UsageError) -> Misuse:
    """Return a wrong command line as what was seen, what was wanted and what to do."""
    context = error.ctx
    path = context.command_path if context is not None else NAME
    command = context.command if context is not None else program()
    usage = " ".join(command.collect_usage_pieces(context)) if context is not None else "COMMAND"
    fix, wanted = f"`{path} --help` shows what it takes", f"`{path} {usage}`"
    seen = f"{error.format_message()[0].lower()}{error.format_message()[1:].rstrip('.')}"
    near: str | None = None
    if isinstance(error, click.NoSuchOption):
        seen, wanted = f"no such option {error.option_name!r}", f"an option of `{path}`"
        shown = [one for one in command.params if isinstance(one, click.Option) and not one.hidden]
        near = spelling.nearest(error.option_name, [name for one in shown for name in one.opts])
    elif isinstance(error, click.exceptions.NoSuchCommand) and isinstance(command, CommandGroup):
        seen, wanted = f"no such command {error.command_name!r}", f"one of {', '.join(command.commands)}"
        near = spelling.nearest(error.command_name, command.commands)
    elif isinstance(error, click.MissingParameter) and error.param is not None:
        seen = f"no {_name(error.param, context)}"
        wanted = str(getattr(error.param, "help", "") or wanted)
    elif isinstance(error, click.BadParameter) and error.param is not None:
        name = _name(error.param, context)
        seen, wanted = f"{name}: {error.message.rstrip('.')}", str(getattr(error.param, "help", "") or wanted)
        if isinstance(error.param.type, options.Word):
            wanted = error.param.type.wanted
        elif isinstance(error.param.type, click.Choice):
            known = [str(one) for one in error.param.type.choices]
            word = error.message.partition("'")[2].partition("'")[0]
            seen, wanted, near = (
                f"{name} {word!r}",
                f"one of {', '.join(known)}",
                spelling.nearest(word, known),
            )
    return Misuse(
        path, [Problem("WrongUsage", seen, wanted, f"did you mean {near!r}? {fix}" if near else fix)]
    )


def _name(param: click.Parameter, context: click.Context | None) -> str:
    """Return what a parameter is called: its first long flag, as others are older names, or its word in the usage."""
    if isinstance(param, click.Option):
        return next((one for one in param.opts if one.startswith("--")), param.opts[-1])
    return param.make_metavar(context)  # type: ignore[arg-type]


def completion_script(shell: str) -> str:
    """Return what makes a shell complete the program: it asks the program itself, at each press of Tab."""
    made = get_completion_class(shell)
    if made is None:
        raise ValueError(f"{shell} is not known to click; wanted bash, zsh or fish")
    return made(program(), {}, NAME, COMPLETE).source()


def complete(instruction: str) -> int:
    """Answer a shell that asks for completions, and return the exit status."""
    status = shell_complete(program(), {}, NAME, COMPLETE, instruction)
    sys.stdout.flush()
    return status
