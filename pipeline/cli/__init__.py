"""The command line `sealift`: parses, calls one command, and is the one place that turns errors into words.

Exit statuses: 0 done; 1 it was tried and failed, or something was refused; 2 the command line is wrong;
130 interrupted; 143 terminated.
"""

from __future__ import annotations

import argparse
import importlib
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from pipeline import __version__

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    Commands = argparse._SubParsersAction[argparse.ArgumentParser]  # noqa: SLF001 it has no public name

OK, FAILED, USAGE, INTERRUPTED, TERMINATED = 0, 1, 2, 130, 143


class Arguments(argparse.Namespace):
    """What the command line said, by the names of its options."""

    command: Callable[[Arguments], int]
    archive: str
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
    delete: bool
    grace: float
    only: str | None


def parser() -> argparse.ArgumentParser:
    """Return the parser of the whole command line."""
    top = argparse.ArgumentParser(
        prog="sealift", description="Deploy a GGUF model to Amazon SageMaker Serverless Inference."
    )
    top.add_argument("--version", action="version", version=f"sealift {__version__}")
    commands = top.add_subparsers(metavar="COMMAND", required=True)
    _pack(commands)
    _check(commands)
    _plan(commands)
    _rollback(commands)
    _sweep(commands)
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
        default=0,
        choices=range(10),
        metavar="LEVEL",
        help="0 (default) stores, which is fastest to pack and to start; 9 is smallest, by 3 to 5 %%",
    )
    _json_option(pack)
    pack.set_defaults(command=_later("archives", "pack"))


def _check(commands: Commands) -> None:
    check = commands.add_parser(
        "check", help="say whether an archive can become an endpoint, and if not, why"
    )
    check.add_argument("archive", metavar="ARCHIVE", help="a file or s3://bucket/key")
    check.add_argument(
        "--mend",
        action="store_true",
        help='judge as a deployment with "mend": true does, which moves a model in a directory to the root',
    )
    _json_option(check)
    check.set_defaults(command=_later("archives", "check"))


def _plan(commands: Commands) -> None:
    plan = commands.add_parser(
        "plan", help="say whether a model fits an endpoint, of which size, and if not, what would"
    )
    plan.add_argument("archive", metavar="ARCHIVE", help="a file or s3://bucket/key; a bare GGUF will do")
    plan.add_argument(
        "--container",
        choices=("pytorch", "llama-cpp", "custom"),
        default="pytorch",
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
    _json_option(plan)
    plan.set_defaults(command=_later("planning", "plan"))


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
    sweep.set_defaults(command=_later("sweeping", "sweep"))


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
    _json_option(run)
    _cloud_options(run)
    run.set_defaults(command=_later("machine", "run"))

    up = local_commands.add_parser(
        "up", help="start the local cloud, print its URL, and stay up until Ctrl-C"
    )
    up.add_argument("--port", type=int, default=5055, help="default: 5055")
    _cloud_options(up)
    up.set_defaults(command=_later("machine", "up"))


def _later(module: str, function: str) -> Callable[[Arguments], int]:
    """Return a command that is imported when it runs, so that `sealift --help` is quick."""

    def command(arguments: Arguments) -> int:
        status: int = getattr(importlib.import_module(f"pipeline.cli.{module}"), function)(arguments)
        return status

    return command


def _json_option(command: argparse.ArgumentParser) -> None:
    command.add_argument("--json", action="store_true", help="print one JSON document")


def _stack_option(command: argparse.ArgumentParser, meaning: str) -> None:
    command.add_argument("--stack", metavar="NAME", help=meaning)


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
    """Run one command and return its exit status."""
    from pipeline.errors import Refused, SealiftError

    arguments = parser().parse_args(argv, namespace=Arguments())
    try:
        return arguments.command(arguments)
    except Refused as refusal:
        for problem in refusal.problems:
            _complain(f"{refusal.subject}: {problem.seen}; wanted {problem.wanted}", problem.fix)
        return FAILED
    except SealiftError as error:
        _complain(str(error))
        return FAILED
    except BrokenPipeError:
        # The reader went away (`| head`); Python would complain again when it flushes at exit.
        sys.stderr.close()
        return FAILED
    except KeyboardInterrupt:
        _complain("interrupted")
        return INTERRUPTED


def _complain(text: str, tip: str | None = None) -> None:
    print(f"ERROR  {text}", file=sys.stderr)
    if tip:
        print(f"TIP    {tip}", file=sys.stderr)


def entry() -> NoReturn:
    """Run as a program; being asked to end is not an end in the middle: what was started is stopped first."""
    signal.signal(signal.SIGTERM, lambda _number, _frame: sys.exit(TERMINATED))
    # A shell starts a job in the background with this signal ignored, and `kill -INT` would do nothing.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    sys.exit(main())
