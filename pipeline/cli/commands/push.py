"""`sealift push`: a model from this machine to an endpoint that has answered, checked before a byte of it is sent.

Arguments and settings, credentials, the stack (made here where there is none, after a yes), the consumers, the plan by
the model's header, an archive as a whole, and only then the upload: each by the rules of the workflow's own states. A
bare GGUF is packed while it is uploaded, without a copy on the disk; to an instance it goes as it is. The upload goes
in several parts at a time, and one that was cut off is gone on with by the same command. A dry run ends before it.
"""

from __future__ import annotations

import json
import shlex
import sys
import time
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Protocol, TypeVar

from botocore.exceptions import ClientError

from inference import sealift_models as models
from inference.sealift_models import companion_kind
from pipeline import naming, settings
from pipeline.archive.build import pack as packing
from pipeline.archive.build import packed_source
from pipeline.archive.checks import checksum
from pipeline.archive.s3 import resumable, split_models
from pipeline.archive.s3.sources import FileSource
from pipeline.aws import service_errors
from pipeline.aws.clients import Clients
from pipeline.cli import (
    asking,
    deployment_flags,
    following,
    preflight,
    prospects,
    reading,
    rehearsal,
    suite_upload,
)
from pipeline.cli.commands import deploy, plan, watch
from pipeline.cli.commands.archives import companions, named, tell
from pipeline.cli.endings import INTERRUPTED, Misuse
from pipeline.cli.following import Events
from pipeline.cli.options import DeployOptions
from pipeline.cli.rehearsal import PlannedUpload
from pipeline.cli.screen import Progress, Screen, progress_text, rate_of
from pipeline.client import ways_in
from pipeline.errors import InvalidInput, PermanentError, Problem, SealiftError, ServiceUnavailable
from pipeline.gguf import purpose
from pipeline.limits import MiB
from pipeline.operations import executions
from pipeline.operations.waits import span
from pipeline.planning import archive_rules, deployment_request, request_sources
from pipeline.quality import suite_files
from pipeline.rollout import sidecars
from pipeline.stack import change_sets

if TYPE_CHECKING:
    from collections.abc import Callable

    from pipeline.archive.checks.report import ArchiveReport
    from pipeline.archive.s3.resumable import Begun, Cut, Sent
    from pipeline.archive.s3.sources import Source
    from pipeline.cli.options import PushOptions
    from pipeline.cli.suite_upload import SuiteHere
    from pipeline.planning.container_choice import ContainerChoice
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

    source: Source
    pieces: Cut
    packed: bool
    """Whether it is as `sealift pack` writes it: then S3's checksum alone verifies what was read here."""


class Told:
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
    """The archive or the model; all shards of a split one, in their order, and what lies beside it."""
    settings: dict[str, Any] | None
    """Of a file on this machine; None to take those that lie beside the upload."""
    name: str
    """What the person calls that file."""
    flags: dict[str, Any]
    """What the command line's options say, which wins."""
    suite: SuiteHere | None
    """Of the quality gate that the file asks for."""

    @property
    def source(self) -> FileSource:
        """The file, or the first of the shards, which stands for all."""
        return self.files[0]

    def key(self, *, bare: bool) -> str:
        """Return the key of the upload: a model that goes as it is is known as one by its own name."""
        path = Path(self.source.name)
        name = path.name if bare else "model.zip" if path.suffix == ".zip" else "model.tar.gz"
        return f"{naming.uploads_of(self.service)}{name}"


@dataclass(frozen=True, slots=True)
class _Ready:
    """What will be uploaded, and how the deployment reads."""

    stack: preflight.Stack
    request: Request
    key: str
    made: plan.PlanShown
    settings: dict[str, Any] | None
    """What will lie beside the upload; None to leave what lies there."""

    @property
    def bare(self) -> bool:
        """Whether the model goes as it is."""
        return self.key.endswith(naming.MODEL_SUFFIX)

    @property
    def bucket(self) -> str:
        """The bucket for uploads."""
        return self.stack.outputs["UploadBucketName"]


class Stand(Protocol):
    """Makes a stack; returns what came of it."""

    def __call__(
        self, arguments: DeployOptions, clients: Clients, screen: Screen, *, brief: bool
    ) -> deploy.StackOutcome:
        """As `deploy.made` does."""


def push(arguments: PushOptions) -> int:
    """Check a model, upload it, and follow the deployment that the upload starts."""
    return run(arguments, Clients(region=settings.region()))


def run(
    arguments: PushOptions,
    clients: Clients,
    stand: Stand = deploy.made,
    *,
    events: Events | None = None,
    folder: Path | None = None,
) -> int:
    """Push with the clients of an account.

    What costs nothing to look at comes first, and what takes long last: whoever is refused has not waited for it.

    Args:
        arguments: of the command line.
        clients: of the account.
        stand: makes the stack where there is none.
        events: take what is told to a machine; None for standard output.
        folder: where the suite of a quality gate lies; None for beside the settings that name it.
    """
    asked = _asked(arguments, folder)
    to = Told(arguments, events)
    ready = _ready(arguments, asked, clients, to, stand)
    if ready is None:
        return 1
    if arguments.dry_run:
        _rehearse(asked, ready, clients, to)
        return 0
    whole = _whole(asked.source, ready, to)
    if whole is None or not (_as_seen(ready.made.report, whole) or _fits(_again(whole, ready), to)):
        return 1
    try:
        with service_errors.translated():
            sent = _uploaded(asked, ready, whole, clients, to)
    except KeyboardInterrupt:
        to.screen.say()
        to.screen.say("the upload is not complete; rerun the same command within two days to resume it")
        return INTERRUPTED
    except SealiftError as error:
        error.add_note("rerun the same command within two days to resume the upload")
        raise
    try:
        with service_errors.translated():
            arn = _started(clients, ready.stack.outputs["StateMachineArn"], sent, to)
    except KeyboardInterrupt:
        to.screen.say()
        to.screen.say("the model is uploaded; follow its deployment with")
        to.screen.say(f"  {watch.come_back(arguments, asked.service)}")
        return INTERRUPTED
    if arguments.no_follow:
        return watch.left_alone(arguments, arn, events)
    status = watch.followed(arguments, clients, arn, events)
    if status == 0:
        tell_how_to_ask(asked.service, to, ranks=_ranks(ready.made.report))
    return status


def _ready(arguments: PushOptions, asked: _Asked, clients: Clients, to: Told, stand: Stand) -> _Ready | None:
    """Return what will be uploaded and how; None when it is refused, which is told.

    Raises:
        SealiftError: with what is in the way; of the command line's options in their own names.
    """
    try:
        found = _stack(arguments, asked, clients, to, stand)
        if found is None:
            return None
        with service_errors.translated():
            return _looked(asked, found, _settings(asked, found, clients, to), clients, to)
    except InvalidInput as refusal:
        problems = [deployment_flags.by_flag(one) for one in refusal.problems]
        raise type(refusal)(refusal.subject, problems) from refusal


def _ranks(report: ArchiveReport) -> bool:
    """Tell whether a model scores texts, which is no question that `sealift ask` has."""
    header = report.model.header if report.model else None
    return header is not None and purpose.of(header) is purpose.Purpose.RERANK


def tell_how_to_ask(service: str, to: Told, *, ranks: bool = False) -> None:
    """Say how the service is used from now on, in commands that can be typed."""
    here = "".join(
        f" --{name} {shlex.quote(str(one.value))}"
        for name, one in settings.current().items()
        if name in {"region", "profile"} and one.source == "flag"
    )
    if not ranks:
        to.note(f'  ask it    sealift ask {service}{here} "{ways_in.QUESTION}"')
    to.note(f"  code      sealift connect {service}{here}")


# -- what is asked for


def _asked(arguments: PushOptions, folder: Path | None) -> _Asked:
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
    files = tried(lambda: _files(arguments))
    deployment, path = None, arguments.input or _beside_model(arguments.archive)
    name = reading.name_of(path) if path is not None else ""
    if path is not None:
        deployment = tried(lambda: reading.read_object(path, most=request_sources.SIDECAR_LIMIT))
        mistakes = [] if deployment is None else deployment_request.mistakes(deployment, name)
        mistakes += _two_services(service, deployment, name)
        refused = refused or bool(mistakes)
        problems.extend(mistakes)
    flags = deployment_flags.said(arguments)
    wrong = deployment_request.mistakes(flags, deployment_flags.COMMAND)
    problems.extend(map(deployment_flags.by_flag, wrong))
    suite = tried(lambda: suite_upload.find(deployment or {}, path, folder)) if not problems else None
    if problems or service is None or files is None:
        raise (InvalidInput if refused else Misuse)("command line", problems)
    return _Asked(service, files, deployment, name, flags, suite)


def _beside_model(archive: str) -> Path | None:
    """Return the settings that lie beside what is pushed: `sealift init` writes them, `sealift plan` reads them."""
    path = Path(archive)
    found = (path if path.is_dir() else path.parent) / request_sources.SIDECAR
    return found if not archive.startswith("s3://") and found.is_file() else None


def _files(arguments: PushOptions) -> tuple[FileSource, ...]:
    """Return the file that is to be pushed, the shards that lie beside one, and what is loaded beside a model."""
    archive = arguments.archive
    if archive.startswith("s3://"):
        return (FileSource(Path(archive)),)
    found = [one for one in named([archive]) if isinstance(one, FileSource)]
    if models.is_model(found[0].name):
        packing.require_model_name(Path(found[0].name))
    given = companions(arguments)
    if given and not models.is_model(found[0].name):
        seen = f"{archive!r} is no GGUF, and something is to lie beside it"
        fix = "name the model itself, or pack all of it with `sealift pack`"
        raise Misuse(
            "command line",
            [Problem("BesideAnArchive", seen, "a GGUF, for --mmproj, --lora and --draft", fix)],
        )
    for kind, path in given:
        source = FileSource(path)
        # As it is called beside the model, where llama-server is given it by its name.
        source.name = str(path.with_name(models.companion_name(kind, path.name)))
        if source.name not in {one.name for one in found}:
            found.append(source)
    return tuple(found)


def _two_services(service: str | None, deployment: dict[str, Any] | None, name: str) -> list[Problem]:
    """Return that the settings name another service than the command line: one of the two was a mistake."""
    other = (deployment or {}).get("service")
    if not isinstance(other, str) or service in {None, other}:
        return []
    seen, fix = f"service is {other!r}, and --service {service!r}", "leave 'service' out of the file"
    return [Problem("TwoServices", seen, "one service", fix, name)]


# -- the stack


def _stack(
    arguments: PushOptions, asked: _Asked, clients: Clients, to: Told, stand: Stand
) -> preflight.Stack | None:
    """Return the stack; one that is not there is made, after a yes. None when it is not, which is told.

    Raises:
        InvalidInput: there is none, and nobody could say yes; or none that stands.
    """
    to.screen.hint("looking at the account and the stack ...")
    name = arguments.stack or settings.STACK
    with service_errors.translated():
        try:
            return preflight.find_stack(clients, name)
        except InvalidInput as refusal:
            if not change_sets.is_missing(refusal):
                raise
            if arguments.dry_run:
                return preflight.planned_stack(clients, name)
            if not asking.can_be_asked(yes=arguments.yes, json=arguments.json):
                raise _make_it(refusal) from refusal
            made = plan.without_stack(
                asked.files, asked.flags, asked.settings, (deployment_flags.COMMAND, asked.name)
            )
            if not made.fits and not _fits(made, to):
                return None
        to.note(f"there is no stack {name!r} yet, which deploys models: buckets, functions, a workflow")
        wanted = DeployOptions(stack=arguments.stack, yes=arguments.yes, quiet=arguments.quiet)
        outcome = stand(wanted, clients, to.screen, brief=True)
        to.emit("stack", **outcome.to_json())
        return preflight.find_stack(clients, name) if outcome.stands else None


def _make_it(refusal: InvalidInput) -> InvalidInput:
    """Return the refusal of an account without a stack, with both ways to one."""
    fix = (
        "`sealift deploy` makes it after a yes, and so does this command with --yes; or check --stack, --profile and "
        "--region"
    )
    return InvalidInput(refusal.subject, [replace(one, fix=fix) for one in refusal.problems])


# -- the request and its plan


def _settings(asked: _Asked, found: preflight.Stack, clients: Clients, to: Told) -> tuple[Any, str]:
    """Return the settings that count beside the options, and what they are called.

    Raises:
        InvalidInput: those that lie in the bucket would be replaced, and may not be read.
    """
    bucket, key = found.outputs["UploadBucketName"], asked.key(bare=False)
    name = asked.name or sidecars.place(bucket, key)
    beside = asked.settings
    if beside is None and not found.is_new:
        unread: list[str] = []
        beside = preflight.beside(clients, {"bucket": bucket, "key": key}, unread.append)
        for text in unread:
            if asked.flags:
                fix = "let it be read, or say all with --input FILE, which takes its place"
                raise InvalidInput(
                    name, [Problem("SettingsUnread", text, "what the options are added to", fix)]
                )
            to.note(text)
    if isinstance(beside, dict) and beside:
        to.say(f"settings of {name}: {', '.join(one for one in beside if not one.startswith('$'))}")
        for text in deployment_flags.overruled(asked.flags, beside, name):
            to.note(text)
            to.emit("note", text=text)
    return beside, name


def _looked(
    asked: _Asked, found: preflight.Stack, settings: tuple[Any, str], clients: Clients, to: Told
) -> _Ready | None:
    """Return what will be uploaded and how, by the model's header; None when it is refused, which is told."""
    beside, name = settings
    names = request_sources.PlannedNames(deployment_flags.COMMAND, name)

    def wanted(*, bare: bool) -> preflight.Preflight:
        # Of a split model the first file stands for all.
        key = split_models.shard_names(asked.key(bare=bare))[0]
        archive = {"bucket": found.outputs["UploadBucketName"], "key": key}
        return preflight.request({"archive": archive, **asked.flags}, beside, found, names)

    first = wanted(bare=False)
    served = _served(first.request, found, clients)
    for note in filter(None, (*prospects.notes(clients, first, found.reach), served.note)):
        to.note(note)
        to.emit("note", text=note)
    made = plan.judge(asked.files, served.request, datetime.now(UTC).date(), plan.known_prices())
    if not _fits(made, to):
        return None
    # An instance takes a model as it is; with hosting `auto` only the plan tells.
    bare = made.report.format == "gguf"
    if bare:
        served = _served(wanted(bare=True).request, found, clients)
    # What lies in the bucket stays as it is where nobody says anything else.
    said = asked.settings is not None or asked.flags
    written = deployment_flags.over(asked.flags, beside or {}) if said else None
    return _Ready(found, served.request, asked.key(bare=bare), made, written)


def _served(request: Request, found: preflight.Stack, clients: Clients) -> ContainerChoice:
    """Return the request with the container that will serve it."""
    return preflight.assumed(request) if found.is_new else preflight.served(clients, request, found.outputs)


def _fits(made: plan.PlanShown, to: Told) -> bool:
    """Tell of the plan; return whether the workflow will go on with it, as far as was read of it."""
    wrong = (*made.set_aside, *made.report.problems)
    if wrong and (made.needed is None or made.fits):
        # Of the plan's own there is nothing to add: it cannot be made, or is about what could not be unpacked.
        _refused(replace(made.report, problems=wrong), to)
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


def _again(whole: ArchiveReport, ready: _Ready) -> plan.PlanShown:
    return plan.decide(whole, ready.request, datetime.now(UTC).date(), plan.known_prices())


def _as_seen(seen: ArchiveReport, whole: ArchiveReport) -> bool:
    """Return whether the first look found all that a plan is made of: the model's header, and what lies beside it."""
    if seen.model is None or seen.model.header is None:
        return False
    return whole.model is not None and whole.model.companions == seen.model.companions


def _whole(source: FileSource, ready: _Ready, to: Told) -> ArchiveReport | None:
    """Return the report of the whole archive, None of one that `sealift check` would refuse.

    A model's header is all of it.

    Args:
        source: the file.
        ready: what the first look found.
        to: who is told; of a refusal in the words of `sealift check`.
    """
    begun = time.monotonic()
    report, request = ready.made.report, ready.request
    packs = plan.is_packed([source], request.hosting)
    if not packs and not ready.bare:
        rules = archive_rules.of(request)
        report = checksum.check(source, rules=rules, progress=to.working("verifying"))
    seconds = time.monotonic() - begun
    if report.problems:
        _refused(report, to, seconds)
        return None
    to.emit("check", **report.to_json(), seconds=round(seconds, 3))
    if packs or ready.bare:
        return report
    to.say(f"checked {source.name}: {report.format}, {report.size / MiB:,.1f} MiB, in {span(seconds)}")
    for note in report.notes:
        to.say(f"  note {note}")
    return report


def _refused(report: ArchiveReport, to: Told, seconds: float = 0.0) -> None:
    """Tell of an archive that is refused, in the words of `sealift check`."""
    to.emit("check", **report.to_json(), seconds=round(seconds, 3))
    if not to.json:
        tell(report, seconds, to.screen)


def _rehearse(asked: _Asked, ready: _Ready, clients: Clients, to: Told) -> None:
    """Tell what this push would make and change."""

    def upload(size: int, key: str) -> PlannedUpload:
        return PlannedUpload(size, f"s3://{ready.bucket}/{key}")

    uploads = [upload(one.size, _beside(ready.key, one)) for one in _uploads(asked, ready)]
    if ready.settings is not None:
        beside = request_sources.sidecar_key(ready.key)
        uploads.insert(0, upload(len(_written(ready.settings)), beside))
    if asked.suite is not None:
        uploads.insert(1, upload(len(asked.suite.content), suite_files.key(ready.key, asked.suite.name)))
    with service_errors.translated():
        cases = asked.suite.cases if asked.suite else 0
        facts = rehearsal.gather(clients, ready.request, ready.made, uploads, ready.stack, cases=cases)
    to.emit("rehearsal", **facts.to_json())
    for head, text in rehearsal.lines(facts) if not to.json else ():
        to.screen.item(f"  {head:<10}", text)
    to.note("nothing was uploaded, made or changed: this was a dry run")


# -- the upload


def _uploads(asked: _Asked, ready: _Ready) -> list[Source]:
    """Return what is uploaded, in this order: what lies beside a model first, since the model's event starts it all."""
    if plan.is_packed(asked.files, ready.request.hosting) and not ready.bare:
        return [packed_source.of(asked.files)]
    return sorted(asked.files, key=lambda one: companion_kind(one.name) is None)


def _written(settings: dict[str, Any]) -> bytes:
    return json.dumps(settings, indent=2).encode()


def _uploaded(asked: _Asked, ready: _Ready, whole: ArchiveReport, clients: Clients, to: Told) -> Sent:
    """Upload the settings and the files; return the last object, whose event starts the deployment."""
    if ready.settings is not None:
        # First: the archive's event starts the deployment, which reads them.
        beside = request_sources.sidecar_key(ready.key)
        clients.s3.put_object(Bucket=ready.bucket, Key=beside, Body=_written(ready.settings))
    suite_upload.send(clients.s3, ready.bucket, ready.key, asked.suite)
    files = _uploads(asked, ready)
    for source in files:
        packs = isinstance(source, packed_source.PackedSource)
        pieces = resumable.cut(source, progress=to.working("packing and summing" if packs else "summing"))
        packed = packs or (not ready.bare and checksum.as_packed(whole) is not None)
        place, last = (ready.bucket, _beside(ready.key, source)), source is files[-1]
        sent = _sent(_File(source, pieces, packed), place, clients, to, anew=last)
    return sent


def _beside(key: str, source: Source) -> str:
    """Return the key of a model's file by the first one's; of an archive, its own."""
    bare = key.endswith(naming.MODEL_SUFFIX)
    return f"{key.rpartition('/')[0]}/{Path(source.name).name}" if bare else key


def _sent(file: _File, place: tuple[str, str], clients: Clients, to: Told, *, anew: bool) -> Sent:
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
    packs = ", packed," if isinstance(source, packed_source.PackedSource) else ""
    to.say(
        f"uploaded {source.name}{packs} to s3://{bucket}/{key} in {seconds:.1f} s, {rate / MiB:,.1f} MiB/s"
    )
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


def _begun(file: _File, place: tuple[str, str], clients: Clients, to: Told) -> Begun:
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


def _started(clients: Clients, machine: str, sent: Sent, to: Told) -> str:
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
