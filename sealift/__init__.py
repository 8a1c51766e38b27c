"""Sealift from Python: what is deployed, and what becomes of a model.

    import sealift

    demo = sealift.service("demo")
    print(demo.ask("What does a sealift do?"))

Owns what others may call: `__all__`, which a test pins. Nothing heavy is imported before it is used.
"""

from __future__ import annotations

from pipeline import __version__

# Not `typing`'s: the program comes by here, and until it is loaded Ctrl-C is Python's, with a traceback.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from os import PathLike
    from typing import Any

    from pipeline.archive.build.pack import PackResult
    from pipeline.archive.checks.report import ArchiveReport
    from pipeline.cli.commands.plan import PlanShown
    from pipeline.errors import (
        AccessDenied,
        EndpointFailed,
        Failed,
        InvalidArchive,
        InvalidInput,
        ModelDoesNotFit,
        ModelNotReady,
        PermanentError,
        RequestRejected,
        SealiftError,
        ServiceUnavailable,
        Throttled,
        TransientError,
    )
    from pipeline.operations.service_status import Overview
    from sealift.deployed import DeployedService
    from sealift.pushing import PushResult

__all__ = (
    "AccessDenied",
    "EndpointFailed",
    "Failed",
    "InvalidArchive",
    "InvalidInput",
    "ModelDoesNotFit",
    "ModelNotReady",
    "PermanentError",
    "RequestRejected",
    "SealiftError",
    "ServiceUnavailable",
    "Throttled",
    "TransientError",
    "__version__",
    "check",
    "pack",
    "plan",
    "push",
    "service",
    "services",
)


def service(
    name: str, *, stack: str | None = None, region: str | None = None, profile: str | None = None
) -> DeployedService:
    """Return a deployed service, to be asked; nothing is looked up before that.

    Args:
        name: the service's.
        stack: whose deployments count; None for what `sealift settings` shows, "" for any.
        region: AWS's; None for what `sealift settings` shows.
        profile: whose credentials are used; None for the AWS SDK's own choice.

    Raises:
        InvalidInput: a setting is wrong.
        AccessDenied: there is no such profile.
    """
    from sealift import accounts
    from sealift.deployed import DeployedService

    account = accounts.named(stack, region, profile)
    return DeployedService(name, account.clients, account.stack)


def services(*, stack: str | None = None, region: str | None = None, profile: str | None = None) -> Overview:
    """Return all services as they stand, as `sealift status` shows them; iterate over it, and look at `unseen`.

    Args:
        stack: as `service` takes it.
        region: the same.
        profile: the same.

    Raises:
        SealiftError: a setting is wrong, or AWS refused.
    """
    from pipeline.aws import service_errors
    from pipeline.operations import service_status
    from sealift import accounts

    account = accounts.named(stack, region, profile)
    with service_errors.translated():
        return service_status.overview(account.clients, stack=account.stack)


def push(
    model: str | PathLike[str],
    *,
    service: str,
    settings: Mapping[str, Any] | None = None,
    deploy_stack: bool = False,
    follow: bool = True,
    progress: Callable[[Mapping[str, Any]], None] | None = None,
    stack: str | None = None,
    region: str | None = None,
    profile: str | None = None,
) -> PushResult:
    """Deploy a model or an archive of this machine, as `sealift push` does, and return what answered.

    It is checked before a byte is sent, and followed to its end; what was cut off goes on with the same call.

    Args:
        model: a GGUF, any shard of a split one, or its folder, which is packed while it is uploaded; or an archive.
        service: the service that it is to serve.
        settings: fields of `deployment.json` (docs/settings.md), which they become; None for the file of that name
            beside the model, else what lies beside the upload.
        deploy_stack: whether to deploy the stack where there is none, as a yes to the command's question does.
        follow: whether to wait for the deployment's end, which takes minutes.
        progress: called with each event as `sealift push --json` prints it (docs/following.md), in this thread.
        stack: the stack to deploy with; None for what `sealift settings` shows, else `sealift`.
        region: as `service` takes it.
        profile: the same.

    Raises:
        InvalidInput: an argument or a setting is wrong, or there is no such stack.
        ModelDoesNotFit: no endpoint holds it; nothing was sent.
        InvalidArchive: it cannot become an endpoint; nothing was sent.
        SealiftError: AWS refused, or the deployment failed, by the name of its error; what it made is undone.
        OSError: a file could not be read.
    """
    from sealift import accounts, pushing

    account = accounts.named(stack, region, profile)
    return pushing.run(
        model,
        account,
        service=service,
        settings=settings,
        deploy_stack=deploy_stack,
        follow=follow,
        progress=progress,
    )


def pack(model: str | PathLike[str], archive: str | PathLike[str], *, compress: int = 0) -> PackResult:
    """Write the archive of a model with the inference code and its runtime, and return what was written.

    Args:
        model: the GGUF file, or the first of its shards; the others are found beside it.
        archive: the `.tar.gz` to write, on this machine.
        compress: deflate level of the model, 1 to 9; 0 stores it, at nearly the speed of copying.

    Raises:
        PermanentError: the archive would not deploy, or the runtime has not been built.
        OSError: a file could not be read or written.
    """
    from pathlib import Path

    from pipeline import package_files
    from pipeline.archive.build import pack as packing

    return packing.pack(Path(model), Path(archive), code=package_files.code(), compress=compress)


def check(*archives: str | PathLike[str], relocate_model: bool = False) -> ArchiveReport:
    """Return whether an archive can become an endpoint: `verdict`, and every problem with its fix.

    Args:
        archives: a path or `s3://bucket/key`; of a split model that is no archive, any or all of its shards.
        relocate_model: accept a model in a directory of the archive, which the pipeline moves to the root.

    Raises:
        SealiftError: an archive could not be read, or AWS refused.
        OSError: this machine did.
    """
    from pipeline.cli.commands.archives import check_files

    return check_files([str(one) for one in archives], relocate_model=relocate_model)


def plan(
    archive: str | PathLike[str], settings: Mapping[str, Any] | None = None, *, container: str | None = None
) -> PlanShown:
    """Return what a deployment would create, from the model's header alone: `fits`, `size`, `problems`, `to_json()`.

    Args:
        archive: a path or `s3://bucket/key`, with the `deployment.json` beside it if there is one.
        settings: fields of the execution's input (docs/settings.md); they win over `deployment.json`.
        container: the stack's container (docs/containers.md); None for its default, without an image of ours.

    Raises:
        SealiftError: a setting is wrong, the archive could not be read, or AWS refused.
        OSError: this machine did.
    """
    from pipeline.cli.commands.plan import plan_files
    from pipeline.sizing import images

    chosen = container or images.AUTO
    return plan_files([str(archive)], dict(settings or {}), container=chosen, place="settings")


def __getattr__(name: str) -> Any:
    # All names of `__all__` that are defined nowhere here are errors.
    if name in __all__:
        from pipeline import errors

        return getattr(errors, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}", name=name)
