"""The command line `sealift`: parses, calls one command, and is the one place that turns errors into words."""

from __future__ import annotations

import argparse
import contextlib
import importlib
import io
import os
import re
import shlex
import signal
import sys
import traceback
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn, TextIO

from pipeline import __version__
from pipeline.cli.endings import BUG, FAILED, INTERRUPTED, OK, STATUSES, TERMINATED, UNREAD, USAGE, ending

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    Commands = argparse._SubParsersAction["Parser"]  # noqa: SLF001 it has no public name

__all__ = (
    "BUG",
    "FAILED",
    "INTERRUPTED",
    "OK",
    "STATUSES",
    "TERMINATED",
    "UNREAD",
    "USAGE",
    "Arguments",
    "entry",
    "main",
    "parser",
)


class Parser(argparse.ArgumentParser):
    """A parser that says what may have been meant, and tells of an unknown option beside its command's own."""

    def __init__(self, **how: Any) -> None:
        super().__init__(**how)
        # The usage tells of it once, before the command; behind one it may stand all the same.
        meaning = "show where an error came from, as SEALIFT_DEBUG=1 does"
        told = meaning if self.prog == "sealift" else argparse.SUPPRESS
        self.add_argument("--debug", action="store_true", default=argparse.SUPPRESS, help=told)

    def parse_known_args(  # type: ignore[override]
        self, args: Sequence[str] | None = None, namespace: argparse.Namespace | None = None
    ) -> tuple[argparse.Namespace, list[str]]:
        """Parse, and refuse what is not known here: argparse would do so in the name of the whole program."""
        found, unknown = super().parse_known_args(args, namespace)
        if unknown:
            self.error(f"unrecognized arguments: {' '.join(unknown)}")
        return found, unknown

    def error(self, message: str) -> NoReturn:
        """Print the usage and what is wrong, with the nearest known word; end with the status for it."""
        from pipeline.plain import plain
        from pipeline.schema import nearest

        word, known = self._meant(message)
        close = nearest(word, known) if word else None
        super().error(plain(f"{message}; did you mean {close!r}?" if close else message))

    def _meant(self, message: str) -> tuple[str, Iterable[str]]:
        """Return the word that argparse does not know, and those that it would."""
        if choice := re.search(r"invalid choice: '(?P<word>[^']*)'.*\(choose from (?P<known>.*)\)", message):
            return choice["word"], re.findall(r"[^', ]+", choice["known"])
        if option := re.search(r"unrecognized arguments: (?P<word>--?[^ =]+)", message):
            known = (name for action in self._actions for name in action.option_strings)
            return option["word"], known
        return "", ()


class Arguments(argparse.Namespace):
    """What the command line said, by the names of its options."""

    command: Callable[[Arguments], int]
    archive: str
    files: list[str]
    model: Path
    output: str
    compress: int
    json: bool
    service: str
    by: str
    input: Path | None
    prompt: str | None
    expect: str | None
    time_scale: float
    fault: list[str]
    port: int
    n_ctx: int | None
    memory_mb: int | None
    hosting: str | None
    instance_type: str | None
    mend: bool
    container: str
    stack: str | None
    no_follow: bool
    execution: str
    place: str | None
    delete: bool
    grace: float
    only: str | None
    limit: int
    follow: bool
    region: str | None
    profile: str | None
    colour: str | None
    shell: str
    parameter: list[str]
    yes: bool
    dry_run: bool
    archives: bool
    prices: Path | None
    report: Path | None


def parser() -> argparse.ArgumentParser:
    """Return the parser of the whole command line."""
    top = Parser(
        prog="sealift",
        description="Deploy a GGUF model to Amazon SageMaker Serverless Inference.",
        epilog="Exit status: "
        + "; ".join(f"{status} {meaning}" for status, meaning in STATUSES.items())
        + ".",
    )
    top.add_argument("--version", action="version", version=f"sealift {__version__}")
    top.add_argument(
        "--colour",
        choices=("auto", "always", "never"),
        metavar="WHEN",
        help="auto, which is where there is a terminal (default), always or never",
    )
    commands = top.add_subparsers(metavar="COMMAND", required=True)
    _pack(commands)
    _check(commands)
    _plan(commands)
    _deploy(commands)
    _destroy(commands)
    _push(commands)
    _start(commands)
    _watch(commands)
    _status(commands)
    _history(commands)
    _logs(commands)
    _rollback(commands)
    _sweep(commands)
    _report(commands)
    _doctor(commands)
    _settings(commands)
    _completion(commands)
    _local(commands)
    return top


def _pack(commands: Commands) -> None:
    pack = commands.add_parser("pack", help="make model.tar.gz from a GGUF and the inference code")
    pack.add_argument("model", type=Path, metavar="MODEL.gguf", help="the model, or the first of its shards")
    pack.add_argument(
        "-o", "--output", default="model.tar.gz", help="a file or s3://bucket/key (default: model.tar.gz)"
    )
    pack.add_argument(
        "--compress",
        type=int,
        choices=range(10),
        metavar="LEVEL",
        help="0 (default) stores, which is fastest to pack and to start; 9 is smallest, by 3 to 5 %%",
    )
    _account_options(pack)
    _json_option(pack)
    pack.set_defaults(command=_later("archives", "pack"))


def _check(commands: Commands) -> None:
    check = commands.add_parser(
        "check", help="say whether an archive can become an endpoint, and if not, why"
    )
    _archives_argument(check, "a file, s3://bucket/key, or any shard of a split model")
    check.add_argument(
        "--mend",
        action="store_true",
        help='judge as a deployment with "mend": true does, which moves a model in a directory to the root',
    )
    _account_options(check)
    _json_option(check)
    check.set_defaults(command=_later("archives", "check"))


def _plan(commands: Commands) -> None:
    plan = commands.add_parser(
        "plan", help="say whether a model fits an endpoint, of which size, and if not, what would"
    )
    _archives_argument(
        plan, "a file or s3://bucket/key; a bare GGUF will do, any shard of a split one, or its folder"
    )
    plan.add_argument(
        "--container",
        choices=("pytorch", "llama-cpp", "custom"),
        help="what serves the model, and so how much memory is left for it (default: pytorch)",
    )
    plan.add_argument("--n-ctx", type=int, metavar="N", help="context length in tokens (default: 2048)")
    plan.add_argument(
        "--memory-mb",
        type=int,
        metavar="N",
        help="memory size to plan for (default: the smallest that holds)",
    )
    plan.add_argument(
        "--hosting",
        choices=("serverless", "instance", "auto"),
        help="where to run it; auto takes an instance where serverless will not do (default: serverless)",
    )
    plan.add_argument(
        "--instance-type", metavar="TYPE", help="instance type to plan for (default: the cheapest that holds)"
    )
    _account_options(plan)
    _json_option(plan)
    plan.set_defaults(command=_later("plan", "plan"))


def _deploy(commands: Commands) -> None:
    deploy = commands.add_parser(
        "deploy",
        help="make Sealift's stack in the account, or bring it to this version; says what it changes",
    )
    _stack_option(deploy, "the stack's name (default: sealift)")
    deploy.add_argument(
        "--parameter",
        action="append",
        default=[],
        metavar="Name=Value",
        help="a parameter of the template; the others keep what they have; may be repeated",
    )
    deploy.add_argument("--yes", action="store_true", help="do not ask")
    deploy.add_argument("--dry-run", action="store_true", help="only say what it would change")
    _json_option(deploy)
    deploy.set_defaults(command=_later("deploy", "deploy"))


def _destroy(commands: Commands) -> None:
    destroy = commands.add_parser(
        "destroy", help="delete the stack and every endpoint that it made; archives stay"
    )
    _stack_option(destroy, "the stack's name (default: sealift)")
    destroy.add_argument(
        "--archives", action="store_true", help="delete the buckets with all uploads and archives too"
    )
    destroy.add_argument("--yes", action="store_true", help="do not ask")
    destroy.add_argument("--dry-run", action="store_true", help="only say what would go")
    _json_option(destroy)
    destroy.set_defaults(command=_later("destroy", "destroy"))


def _push(commands: Commands) -> None:
    push = commands.add_parser("push", help="check an archive, upload it, and follow the deployment")
    push.add_argument(
        "archive",
        metavar="ARCHIVE",
        help="a file, as `sealift pack` makes it; for instances a bare GGUF will do",
    )
    push.add_argument("--service", required=True, metavar="NAME", help="the service that it is to serve")
    push.add_argument(
        "--input",
        type=Path,
        metavar="FILE",
        help="settings of the deployment; they become deployment.json beside the archive",
    )
    _stack_option(push, "the stack to deploy with (default: sealift)")
    _following_options(push)
    push.set_defaults(command=_later("push", "push"))


def _start(commands: Commands) -> None:
    start = commands.add_parser("start", help="start a deployment by hand, and follow it")
    start.add_argument(
        "--input", type=Path, metavar="FILE", help="the execution's input as JSON; - for standard input"
    )
    start.add_argument("--archive", dest="place", metavar="S3URL", help="s3://bucket/key of the archive")
    start.add_argument("--service", metavar="NAME", help="the service (default: as the archive's key says)")
    _stack_option(start, "the stack to deploy with (default: sealift)")
    _following_options(start)
    start.set_defaults(command=_later("watch", "start"))


def _watch(commands: Commands) -> None:
    watch = commands.add_parser("watch", help="follow a deployment, or show how one went")
    watch.add_argument(
        "execution", metavar="EXECUTION", help="its ARN or name, or a service: then its newest one"
    )
    _stack_option(watch, "the stack that it is of (default: sealift)")
    _json_lines_option(watch)
    _colour_option(watch)
    watch.set_defaults(command=_later("watch", "watch"))


def _status(commands: Commands) -> None:
    status = commands.add_parser(
        "status",
        help="show every service: what serves, who calls it, which alarms are in ALARM, what is being deployed",
    )
    status.add_argument("only", nargs="?", metavar="SERVICE", help="only this service (default: all)")
    _stack_option(status, "only what this stack made (default: any stack of the account)")
    _json_option(status)
    status.set_defaults(command=_later("status", "status"))


def _history(commands: Commands) -> None:
    history = commands.add_parser("history", help="list deployments, newest first, with how each ended")
    history.add_argument("only", nargs="?", metavar="SERVICE", help="only of this service (default: of all)")
    history.add_argument("--limit", type=int, default=20, metavar="N", help="how many at most (default: 20)")
    _stack_option(history, "only of this stack (default: of any stack of the account)")
    _json_option(history)
    history.set_defaults(command=_later("history", "history"))


def _logs(commands: Commands) -> None:
    logs = commands.add_parser(
        "logs", help="print what the tasks and containers of an execution wrote, in order of time"
    )
    logs.add_argument(
        "execution",
        metavar="EXECUTION",
        help="its name or ARN, as `sealift history` lists them; a service for its newest",
    )
    logs.add_argument("--follow", action="store_true", help="go on until the execution has ended")
    _stack_option(logs, "the stack whose execution it is (default: any stack of the account)")
    _json_option(logs)
    logs.set_defaults(command=_later("logs", "logs"))


def _rollback(commands: Commands) -> None:
    rollback = commands.add_parser(
        "rollback", help="move a service's consumers back to the deployment before, which is asked first"
    )
    rollback.add_argument("service", metavar="SERVICE", help="the service's name")
    _stack_option(rollback, "only deployments of this stack (default: of any stack of the account)")
    _json_option(rollback)
    rollback.set_defaults(command=_later("rollback", "rollback"))


def _sweep(commands: Commands) -> None:
    sweep = commands.add_parser(
        "sweep", help="show what Sealift made and nobody uses any more; delete it with --delete"
    )
    sweep.add_argument("--delete", action="store_true", help="delete it (default: only show it)")
    sweep.add_argument(
        "--grace",
        type=float,
        default=24.0,
        metavar="HOURS",
        help="how old a thing, and the end of its execution, must be (default: 24)",
    )
    sweep.add_argument(
        "--service",
        dest="only",
        metavar="SERVICE",
        help="only what was made for this service (default: for any)",
    )
    _stack_option(
        sweep, "only what this stack made, and its archives too (default: of any stack, without archives)"
    )
    _json_option(sweep)
    sweep.set_defaults(command=_later("sweep", "sweep"))


def _report(commands: Commands) -> None:
    report = commands.add_parser("report", help="make the report of an execution: one HTML page")
    report.add_argument("execution", metavar="EXECUTION", help="its ARN, or its name in the stack")
    report.add_argument(
        "-o", "--output", metavar="FILE", help="where to write the page (default: <name>.html)"
    )
    report.add_argument(
        "--prices", type=Path, metavar="FILE", help="prices in the place of the listed ones, as JSON"
    )
    _stack_option(report, "the stack whose execution has that name (default: sealift)")
    _json_option(report)
    report.set_defaults(command=_later("report", "report"))


def _doctor(commands: Commands) -> None:
    doctor = commands.add_parser(
        "doctor", help="look whether account, stack and this machine are ready; say what to do where not"
    )
    _stack_option(doctor, "the stack that is looked at (default: sealift)")
    _json_option(doctor)
    doctor.set_defaults(command=_later("doctor", "examine"))


def _settings(commands: Commands) -> None:
    settings = commands.add_parser(
        "settings",
        help="show every setting, and whether a flag, the environment or sealift.toml makes it",
        description="A setting is what its flag says, else its variable, else the nearest sealift.toml of this folder "
        'or one above (for instance: stack = "harbour"), else the default.',
    )
    _stack_option(settings, "as the flag of any other command")
    _json_option(settings)
    settings.set_defaults(command=_later("settings", "show"))


def _completion(commands: Commands) -> None:
    completion = commands.add_parser("completion", help="print what makes a shell complete `sealift`")
    completion.add_argument(
        "shell", choices=("bash", "zsh", "fish"), metavar="SHELL", help="bash, zsh or fish"
    )
    completion.set_defaults(command=_later("completion", "completion"))


def _local(commands: Commands) -> None:
    local = commands.add_parser(
        "local", help="the whole product on this machine, with moto in the place of AWS"
    )
    local_commands = local.add_subparsers(metavar="COMMAND", required=True)

    run = local_commands.add_parser("run", help="deploy an archive on the local cloud and show the checklist")
    run.add_argument("archive", metavar="ARCHIVE", help="the archive to upload")
    run.add_argument("--service", default="demo", help="the service's name (default: demo)")
    run.add_argument(
        "--by",
        choices=("upload", "hand"),
        default="upload",
        help="what starts it: the upload's event (default), or a manual start as in the console",
    )
    run.add_argument(
        "--input", type=Path, metavar="FILE", help="settings of the deployment, as in deployment.json"
    )
    run.add_argument("--prompt", help="what the smoke test asks")
    run.add_argument("--expect", metavar="TEXT", help="what the smoke test's answer must contain")
    run.add_argument("--report", type=Path, metavar="FILE", help="write the deployment's report there")
    _json_option(run)
    _colour_option(run)
    _cloud_options(run)
    run.set_defaults(command=_later("local", "run", extra="local"))

    up = local_commands.add_parser(
        "up", help="start the local cloud, print its URL, and stay up until Ctrl-C"
    )
    up.add_argument("--port", type=int, default=5055, help="default: 5055")
    _colour_option(up)
    _cloud_options(up)
    up.set_defaults(command=_later("local", "up", extra="local"))


def _later(module: str, function: str, *, extra: str = "") -> Callable[[Arguments], int]:
    """Return a command that is imported when it runs, so that `sealift --help` is quick; not without its extra."""

    def command(arguments: Arguments) -> int:
        if extra:
            from pipeline.cli import extras

            extras.see_installed(extra, f"`sealift {extra}`")
        status: int = getattr(importlib.import_module(f"{__name__}.commands.{module}"), function)(arguments)
        return status

    return command


def _archives_argument(command: argparse.ArgumentParser, what: str) -> None:
    command.add_argument("files", nargs="+", metavar="ARCHIVE", help=what)


def _json_option(command: argparse.ArgumentParser) -> None:
    command.add_argument("--json", action="store_true", help="print one JSON document")


def _json_lines_option(command: argparse.ArgumentParser) -> None:
    command.add_argument("--json", action="store_true", help="print a JSON object for every change")


def _colour_option(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--no-color",
        dest="colour",
        action="store_const",
        const="never",
        default=argparse.SUPPRESS,
        help="no colour, as with NO_COLOR set",
    )


def _following_options(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--no-follow", action="store_true", help="end when the deployment has started (default: follow it)"
    )
    _json_lines_option(command)
    _colour_option(command)


def _stack_option(command: argparse.ArgumentParser, meaning: str) -> None:
    command.add_argument("--stack", metavar="NAME", help=meaning)
    _account_options(command)


def _account_options(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--region", metavar="NAME", help="AWS's region (default: as `sealift settings` shows)"
    )
    command.add_argument(
        "--profile", metavar="NAME", help="whose credentials of AWS's configuration are used"
    )


def _cloud_options(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--time-scale",
        type=float,
        default=0.1,
        metavar="FACTOR",
        help="how long waits take against AWS (default: 0.1)",
    )
    command.add_argument(
        "--fault",
        action="append",
        default=[],
        metavar="SERVICE.Operation=ErrorCode[:times]",
        help="make that AWS call fail, so often or for ever; may be repeated",
    )


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit status; whatever comes out of it is told, and nothing else raised.

    Raises:
        SystemExit: of argparse, for a wrong command line and for --help; of a signal to end.
    """
    try:
        arguments = parser().parse_args(argv, namespace=Arguments())
        _complete(arguments)
        status = arguments.command(arguments)
        # What is not written now would fail when Python ends, where nobody can tell of it.
        sys.stdout.flush()
    except (Exception, KeyboardInterrupt) as error:  # noqa: BLE001 the one place that nothing passes
        return _end(error, list(sys.argv[1:] if argv is None else argv))
    return status


def _end(error: BaseException, argv: Sequence[str]) -> int:
    """Tell of an error, as far as anybody reads it, and return the exit status."""
    from pipeline import settings
    from pipeline.plain import lines

    debug = "--debug" in argv or settings.debug()
    try:
        if debug and not isinstance(error, KeyboardInterrupt | BrokenPipeError):
            for line in lines("".join(traceback.format_exception(error)).rstrip("\n")):
                print(line, file=sys.stderr)
        ended = ending(error, again=shlex.join(["sealift", "--debug", *argv]))
        for line in ended.lines:
            print(line, file=sys.stderr, flush=True)
    except OSError:
        ended = ending(error)
        _let_go(sys.stderr)
    if isinstance(error, OSError):
        _let_go(sys.stdout)
    return ended.status


def _let_go(stream: TextIO) -> None:
    """Write what is left in a stream nowhere: Python would try again when it ends, and complain."""
    with contextlib.suppress(OSError, ValueError):
        stream.flush()
        return
    with contextlib.suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def _complete(arguments: Arguments) -> None:
    """Fill in what the command line leaves to the settings; an empty --stack is any."""
    from pipeline import settings

    given = vars(arguments)
    settings.say(given)
    for name, setting in settings.current().items():
        if given.get(name, "") is None:
            setattr(arguments, name, setting.value)
    if given.get("stack") == "":
        arguments.stack = None


def entry() -> NoReturn:
    """Run as a program; being asked to end is not an end in the middle: what was started is stopped first."""
    signal.signal(signal.SIGTERM, lambda _number, _frame: sys.exit(TERMINATED))
    # A shell starts a job in the background with this signal ignored, and `kill -INT` would do nothing.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    _make_streams_safe()
    try:
        status = main()
    finally:
        # Nothing is left to be stopped: from here on a signal ends the process without a word of Python's.
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
    sys.exit(status)


def _make_streams_safe() -> None:
    """Let every text be written: to a terminal without its characters with escapes, to a closed stream nowhere."""
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        stream = getattr(sys, name)
        if stream is None:
            setattr(sys, name, open(os.devnull, mode, encoding="utf-8"))  # noqa: SIM115, PTH123 as long as the process
        elif isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="surrogateescape" if mode == "r" else "backslashreplace")
