"""`sealift push`: an archive from this machine to a running endpoint, checked before a byte of it is sent.

Arguments and settings, credentials, the stack, the consumers, the plan by the model's header, then the whole archive,
and only then the upload: each by the rules of the workflow's own states. The upload carries the checksum by which the
first state can do without reading the archive again, goes in several parts at a time, and one that was cut off is gone
on with by the same command.
"""

from __future__ import annotations

import json
import sys
import time
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar

from botocore.exceptions import ClientError

from inference.sealift_models import companion_kind
from pipeline import naming, settings
from pipeline.archive.checks import checksum
from pipeline.archive.s3 import resumable, split_models
from pipeline.archive.s3.sources import FileSource
from pipeline.aws import service_errors
from pipeline.aws.clients import Clients
from pipeline.cli import following, preflight, prospects, reading, suite_upload
from pipeline.cli.commands import plan, watch
from pipeline.cli.commands.archives import named, tell
from pipeline.cli.endings import INTERRUPTED, Misuse
from pipeline.cli.following import Events
from pipeline.cli.screen import Progress, Screen, progress_text, rate_of
from pipeline.errors import InvalidInput, PermanentError, Problem, SealiftError, ServiceUnavailable
from pipeline.hosting import SERVERLESS
from pipeline.limits import MiB
from pipeline.operations import executions, price_list
from pipeline.operations.waits import span
from pipeline.planning import archive_rules, deployment_request, request_sources
from pipeline.rollout import sidecars

if TYPE_CHECKING:
    from collections.abc import Callable

    from pipeline.archive.checks.report import ArchiveReport
    from pipeline.archive.s3.resumable import Begun, Cut, Sent
    from pipeline.cli.options import PushOptions
    from pipeline.cli.suite_upload import SuiteHere
    from pipeline.state_data.request_types import Request

T = TypeVar("T")

EVENT_DEADLINE_S: Final = 120
"""S3's event takes seconds; then the trigger's cold start."""
SAID_S: Final = 30
"""How often a pipe is told how far the upload is."""
SAID_JSON_S: Final = 1


@dataclass(frozen=True, slots=True)
class _File:
    """What is to be uploaded."""

    source: FileSource
    pieces: Cut
    packed: bool
    """Whether `sealift pack` wrote it: then S3's checksum alone verifies what was read here."""


class _Told:
    """Who is told how it goes: a person on the screen, or a machine by events."""

    def __init__(self, arguments: PushOptions, events: Events | None = None) -> None:
        self.json = arguments.json
        self.screen = Screen.of(arguments)
        self._events = events or Events(sys.stdout, quiet=arguments.quiet)

    def say(self, text: str) -> None:
        """Tell a person how far it is."""
        if not self.json:
            self.screen.step(text)

    def note(self, text: str) -> None:
        """Tell a person what should be known, whether progress is wanted or not."""
        if not self.json:
            self.screen.say(text)

    def emit(self, kind: str, **fields: Any) -> None:
        """Tell a machine."""
        if self.json:
            self._events.emit(kind, **fields)

    def working(self, verb: str) -> Callable[[int, int], None]:
        """Return what is called with the bytes that are done of a slow part, and how many there are."""
        begun = said = time.monotonic()
        draw = Progress(self.screen, verb)

        def progress(done: int, total: int) -> None:
            nonlocal said
            draw(done, total)
            now = time.monotonic()
            if not self.json and not self.screen.live and now - said >= SAID_S:
                said = now
                self.say(f"{verb}: {progress_text(done, total, 0, now - begun)}")

        return progress

    def uploading(self, already: int, total: int) -> Callable[[int], None]:
        """Return what is called with the bytes that are there."""
        begun = said = time.monotonic()
        draw = Progress(self.screen, "uploading", already=already)

        def progress(done: int) -> None:
            nonlocal said
            now = time.monotonic()
            draw(done, total)
            if self.json and now - said >= SAID_JSON_S:
                said = now
                rate = round(rate_of(done, already, now - begun))
                left = round((total - done) / rate, 1) if rate else None
                self.emit("upload", bytes=done, total=total, rate=rate, left_s=left)
            elif not self.json and not self.screen.live and now - said >= SAID_S:
                said = now
                self.say(f"uploading: {progress_text(done, total, already, now - begun)}")

        return progress


@dataclass(frozen=True, slots=True)
class _Asked:
    """What the command line and the file of settings ask for, right by themselves."""

    service: str
    files: tuple[FileSource, ...]
    """The archive or the model; all shards of a split one, in their order."""
    deployment: dict[str, Any] | None
    """The settings that the person hands over; None to leave those that lie beside the archive."""
    name: str
    """What the person calls them."""
    suite: SuiteHere | None = None
    """Of the quality gate that they ask for."""

    @property
    def source(self) -> FileSource:
        """The file, or the first of the shards, which stands for all."""
        return self.files[0]

    @property
    def hosting(self) -> str:
        return str((self.deployment or {}).get("hosting") or SERVERLESS)


def push(arguments: PushOptions) -> int:
    """Check an archive, upload it, and follow the deployment that the upload starts."""
    return run(arguments, Clients(region=settings.region()))


def run(arguments: PushOptions, clients: Clients, *, events: Events | None = None) -> int:
    """Push with the clients of an account.

    What costs nothing to look at comes first, and what takes long last: whoever is refused has not waited for it.

    Args:
        arguments: of the command line.
        clients: of the account.
        events: take what is told to a machine; None for standard output.
    """
    asked = _asked(arguments)
    to = _Told(arguments, events)
    with service_errors.translated():
        to.screen.hint("looking at the stack ...")
        found = preflight.find_stack(clients, arguments.stack or settings.STACK)
        wanted, key = _request(asked, found, clients, to)
        served = preflight.served(clients, wanted.request, found.outputs)
        request = served.request
        for note in filter(None, (*prospects.notes(clients, wanted, found.reach), served.note)):
            to.note(note)
            to.emit("note", text=note)
    bucket = found.outputs["UploadBucketName"]
    seen = plan.inspect_sources(asked.files, request)
    if not _fits(seen, request, to):
        return 1
    whole = _whole(asked.source, seen, request, to)
    if whole is None or not (_as_seen(seen, whole) or _fits(whole, request, to)):
        return 1
    packed = seen.format != "gguf" and checksum.as_packed(seen) is not None
    try:
        with service_errors.translated():
            if asked.deployment is not None:
                # First: the archive's event starts the deployment, which reads them.
                beside = json.dumps(asked.deployment, indent=2).encode()
                clients.s3.put_object(Bucket=bucket, Key=request_sources.sidecar_key(key), Body=beside)
            suite_upload.send(clients.s3, bucket, key, asked.suite)
            # What lies beside a model comes before it, whose own event starts the deployment with it.
            files = sorted(asked.files, key=lambda one: companion_kind(one.name) is None)
            for source in files:
                pieces = resumable.cut(source, progress=to.working("summing"))
                place = (bucket, _beside(key, source))
                last = source is files[-1]
                sent = _sent(_File(source, pieces, packed), place, clients, to, anew=last)
    except KeyboardInterrupt:
        to.screen.say()
        to.screen.say("the upload is not complete; rerun the same command within two days to resume it")
        return INTERRUPTED
    except SealiftError as error:
        error.add_note("rerun the same command within two days to resume the upload")
        raise
    try:
        with service_errors.translated():
            arn = _started(clients, found.outputs["StateMachineArn"], sent, to)
    except KeyboardInterrupt:
        to.screen.say()
        to.screen.say("the archive is uploaded; follow its deployment with")
        to.screen.say(f"  {watch.come_back(arguments, asked.service)}")
        return INTERRUPTED
    if arguments.no_follow:
        return watch.left_alone(arguments, arn, events)
    return watch.followed(arguments, clients, arn, events)


def _asked(arguments: PushOptions) -> _Asked:
    """Return what is asked for, before anybody is asked anything.

    Raises:
        InvalidInput: with everything that is wrong with the command line and the file of settings; Misuse when it is
            the command line alone.
    """
    problems: list[Problem] = []
    refused = False
    """Whether something else is wrong than the command line."""

    def tried(step: Callable[[], T]) -> T | None:
        try:
            return step()
        except (PermanentError, Misuse) as refusal:
            nonlocal refused
            refused = refused or not isinstance(refusal, Misuse)
            problems.extend(replace(one, where=one.where or refusal.subject) for one in refusal.problems)
            return None

    service = tried(lambda: watch.checked_service(arguments.service))
    files = tried(lambda: _files(arguments.archive))
    deployment, path = None, arguments.input
    if path is not None:
        deployment = tried(lambda: reading.read_object(path, most=request_sources.SIDECAR_LIMIT))
        name = reading.name_of(path)
        mistakes = [] if deployment is None else deployment_request.mistakes(deployment, name)
        mistakes += _two_services(service, deployment, name)
        refused = refused or bool(mistakes)
        problems.extend(mistakes)
    suite = tried(lambda: suite_upload.find(deployment or {}, path)) if not problems else None
    if problems or service is None or files is None:
        raise (InvalidInput if refused else Misuse)("command line", problems)
    return _Asked(service, files, deployment, reading.name_of(path) if path is not None else "", suite)


def _files(archive: str) -> tuple[FileSource, ...]:
    """Return the file that is to be pushed, and the shards that lie beside one."""
    if archive.startswith("s3://"):
        return (FileSource(Path(archive)),)
    return tuple(one for one in named([archive]) if isinstance(one, FileSource))


def _two_services(service: str | None, deployment: dict[str, Any] | None, name: str) -> list[Problem]:
    """Return that the settings name another service than the command line: one of the two was a mistake."""
    other = (deployment or {}).get("service")
    if not isinstance(other, str) or service in {None, other}:
        return []
    seen, fix = f"service is {other!r}, and --service {service!r}", "leave 'service' out of the file"
    return [Problem("TwoServices", seen, "one service", fix, name)]


def _request(
    asked: _Asked, found: preflight.Stack, clients: Clients, to: _Told
) -> tuple[preflight.Preflight, str]:
    """Return the deployment's request as the workflow will have it, and the archive's key."""
    bucket = found.outputs["UploadBucketName"]
    folder = naming.uploads_of(asked.service).rstrip("/")
    beside, name = asked.deployment, asked.name
    if beside is None:
        archive = {"bucket": bucket, "key": f"{folder}/{_name(asked, asked.hosting)}"}
        beside = preflight.beside(clients, archive, to.note)
        name = sidecars.place(bucket, archive["key"])
    hosting = str(beside.get("hosting") or SERVERLESS) if isinstance(beside, dict) else asked.hosting
    key = f"{folder}/{_name(asked, hosting)}"
    # Of a split model the first file stands for all.
    document = {"archive": {"bucket": bucket, "key": split_models.shard_names(key)[0]}}
    names = request_sources.PlannedNames("command line", name)
    return preflight.request(document, beside, found, names), key


def _name(asked: _Asked, hosting: str) -> str:
    """Return the archive's name in the bucket; a bare model is known as one by its own."""
    path = Path(asked.source.name)
    if archive_rules.is_bare(path.name, hosting):
        return path.name
    return "model.zip" if path.suffix == ".zip" else "model.tar.gz"


def _fits(report: ArchiveReport, request: Request, to: _Told) -> bool:
    """Tell of the plan; return whether the workflow will go on with it, as far as was read of it."""
    prices = price_list.known(settings.cache(), settings.region())
    made = plan.decide(report, request, datetime.now(UTC).date(), prices)
    if report.problems and (made.needed is None or made.fits):
        # Of the plan's own there is nothing to add: it cannot be made, or is about a model that is yet to be packed.
        _refused(report, to)
        return False
    if made.needed is None:
        to.say("the model's header was not reached: it is planned when all of the archive was read")
        return True
    to.emit("plan", **made.to_json())
    if not made.fits:
        if not to.json:
            plan.tell(made, 0.0, to.screen)
        return False
    to.say(f"fits {made.size} by its header")
    return True


def _beside(key: str, source: FileSource) -> str:
    """Return the key of a model's file by the first one's; of an archive, its own."""
    bare = key.endswith(naming.MODEL_SUFFIX)
    return f"{key.rpartition('/')[0]}/{Path(source.name).name}" if bare else key


def _as_seen(seen: ArchiveReport, whole: ArchiveReport) -> bool:
    """Return whether the first look found all that a plan is made of: the model's header, and what lies beside it."""
    if seen.model is None or seen.model.header is None:
        return False
    return whole.model is not None and whole.model.companions == seen.model.companions


def _whole(source: FileSource, seen: ArchiveReport, request: Request, to: _Told) -> ArchiveReport | None:
    """Return the report of the whole archive, None of one that `sealift check` would refuse.

    A bare model's header is all of it.

    Args:
        source: the file.
        seen: the first look at it.
        request: the deployment's.
        to: who is told; of a refusal in the words of `sealift check`.
    """
    begun = time.monotonic()
    report = seen
    if seen.format != "gguf":
        rules = archive_rules.archive_rules(
            request.code,
            relocate_model=request.relocate_model,
            hosting=request.hosting,
            container=request.container,
        )
        report = checksum.check(source, rules=rules, progress=to.working("verifying"))
    seconds = time.monotonic() - begun
    if report.problems:
        _refused(report, to, seconds)
        return None
    to.emit("check", **report.to_json(), seconds=round(seconds, 3))
    to.say(f"checked {source.name}: {report.format}, {report.size / MiB:,.1f} MiB, in {span(seconds)}")
    for note in report.notes:
        to.say(f"  note {note}")
    return report


def _refused(report: ArchiveReport, to: _Told, seconds: float = 0.0) -> None:
    """Tell of an archive that is refused, in the words of `sealift check`."""
    to.emit("check", **report.to_json(), seconds=round(seconds, 3))
    if not to.json:
        tell(report, seconds, to.screen)


def _sent(file: _File, place: tuple[str, str], clients: Clients, to: _Told, *, anew: bool) -> Sent:
    """Upload a file; return the object.

    Args:
        file: the archive, the model, or one of its shards.
        place: bucket and key.
        clients: of the account.
        to: who is told.
        anew: whether to upload it also where it is there already; of a split model, the last one starts the deployment.
    """
    source, (bucket, key) = file.source, place
    if not anew and resumable.is_there(clients.s3, bucket, key, file.pieces):
        to.say(f"{source.name} is at s3://{bucket}/{key} already, its checksum is right")
        return resumable.Sent(bucket, key, None, file.pieces.size, file.pieces.size)
    begun = _begun(file, place, clients, to)
    one = resumable.Transfer(clients.s3, place, source, file.pieces, begun)
    started = time.monotonic()
    sent = one.run(tell=to.uploading(one.kept, source.size))
    seconds = time.monotonic() - started
    rate = rate_of(sent.size, sent.resumed, seconds)
    to.say(f"uploaded {source.name} to s3://{bucket}/{key} in {seconds:.1f} s, {rate / MiB:,.1f} MiB/s")
    to.emit(
        "uploaded",
        bucket=bucket,
        key=key,
        version_id=sent.version_id,
        bytes=sent.size,
        resumed=sent.resumed,
        seconds=round(seconds, 3),
    )
    return sent


def _begun(file: _File, place: tuple[str, str], clients: Clients, to: _Told) -> Begun:
    """Return the upload to go on with, or a new one."""
    pieces, (bucket, key) = file.pieces, place
    try:
        found = resumable.unfinished(clients.s3, bucket, key, pieces)
    except ClientError as error:
        if not service_errors.is_access_denied(error):
            raise
        to.say("an earlier upload could not be looked for (s3:ListBucketMultipartUploads is not allowed)")
        found = None
    if found is not None:
        there = sum(pieces.length(number) for number in found.parts)
        to.say(
            f"going on with an upload that was cut off: {there / MiB:,.0f} of {pieces.size / MiB:,.0f} MiB "
            "are there, their checksums are right"
        )
        to.emit("resumed", bytes=there, total=pieces.size, parts=len(found.parts))
        return found
    # What was read whole here and is as `pack` writes it need not be read again there.
    return resumable.begin(clients.s3, bucket, key, resumable.packed_metadata(pieces) if file.packed else {})


def _started(clients: Clients, machine: str, sent: Sent, to: _Told) -> str:
    """Return the execution that the upload's event has started."""
    to.screen.hint("waiting for the upload's event to start the deployment ...")
    archive = {"bucket": sent.bucket, "key": sent.key}
    if sent.version_id:
        archive["version_id"] = sent.version_id
    seen: set[str] = set()

    def find_execution() -> str | None:
        upload = None
        if sent.key.endswith(naming.MODEL_SUFFIX):
            upload = split_models.uploaded(clients.s3, sent.bucket, sent.key)
        if upload is None or upload.alone:
            return executions.of_upload(clients.stepfunctions, machine, archive, seen)
        name = split_models.execution_name(sent.bucket, upload.first, upload.there)
        return executions.named(clients.stepfunctions, machine, name)

    deadline = time.monotonic() + EVENT_DEADLINE_S
    pause = 0.25
    while time.monotonic() < deadline:
        if arn := find_execution():
            to.screen.clear()
            return arn
        following.sleep(pause)
        pause = min(2 * pause, 4.0)
    fix = "see the log of StartDeployment and the queue LostUploads, or start it with `sealift start`"
    raise ServiceUnavailable(
        f"s3://{sent.bucket}/{sent.key} is uploaded, and no deployment of it has started within "
        f"{EVENT_DEADLINE_S} s; wanted the upload's event to start one; {fix}",
        fix=fix,
    )
