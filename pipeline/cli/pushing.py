"""`sealift push`: an archive from this machine to a running endpoint, checked before a byte of it is sent.

The check is the one of `sealift check` and of the workflow's first state. The upload carries the checksum by which
that state can do without reading the archive again, goes in several parts at a time, and one that was cut off is
gone on with by the same command.
"""

from __future__ import annotations

import json
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from botocore.exceptions import ClientError

from pipeline import aws, documents, executions, settings, stack
from pipeline import plan as planned
from pipeline.archive import acceptance, bare, transfer
from pipeline.archive.inspect import inspect
from pipeline.archive.sources import FileSource
from pipeline.cli import following, prospects, reading, watching
from pipeline.cli.archives import tell
from pipeline.cli.following import Events
from pipeline.cli.screen import Progress, Screen, rate_of, told
from pipeline.errors import SealiftError, ServiceUnavailable
from pipeline.limits import MiB
from pipeline.pauses import span

if TYPE_CHECKING:
    from collections.abc import Callable

    from pipeline.archive.report import ArchiveReport
    from pipeline.archive.rules import Rules
    from pipeline.archive.transfer import Begun, Cut, Sent
    from pipeline.aws import Clients
    from pipeline.cli import Arguments

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
    """Whether it is as `sealift pack` writes it: then S3's checksum alone vouches for what was read here."""


class _Told:
    """Who is told how it goes: a person on the screen, or a machine by events."""

    def __init__(self, arguments: Arguments) -> None:
        self.json = arguments.json
        self.screen = Screen(sys.stderr if arguments.json else sys.stdout)
        self._events = Events(sys.stdout)

    def say(self, text: str) -> None:
        """Tell a person."""
        if not self.json:
            self.screen.say(text)

    def emit(self, kind: str, **fields: Any) -> None:
        """Tell a machine."""
        if self.json:
            self._events.emit(kind, **fields)

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
                self.say(f"uploading: {told(done, total, already, now - begun)}")

        return progress


def push(arguments: Arguments) -> int:
    """Check an archive, upload it, and follow the deployment that the upload starts."""
    service = watching.checked_service(arguments.service)
    deployment = reading.read_object(arguments.input) if arguments.input is not None else None
    if arguments.input is not None:
        documents.see_settings(deployment, reading.name_of(arguments.input))
    to = _Told(arguments)
    source = FileSource(Path(arguments.archive))
    hosting = str((deployment or {}).get("hosting", planned.SERVERLESS))
    rules = _rules(deployment or {}, hosting)
    bare_model = documents.is_bare(source.name, hosting)
    report = _checked(source, rules, to, bare_model=bare_model)
    if report.verdict != "accepted":
        return 1
    # A bare model is known as one by its name.
    name = Path(arguments.archive).name if bare_model else f"model.{report.format}"
    key = f"models/{service}/{name}"
    file = _File(
        source,
        transfer.cut(source, progress=Progress(to.screen, "summing")),
        packed=not bare_model and acceptance.as_packed(inspect(source, rules=rules)) is not None,
    )
    clients = aws.Clients(region=settings.region())
    with aws.translated():
        outputs = stack.outputs(clients, arguments.stack or settings.STACK)
    bucket = outputs["UploadBucketName"]
    with aws.translated():
        for note in prospects.told(
            clients,
            service=service,
            document=deployment or {},
            place=(bucket, key),
            stack=arguments.stack or settings.STACK,
        ):
            to.say(note)
            to.emit("note", text=note)
    try:
        with aws.translated():
            sent = _sent(file, (bucket, key), deployment, clients, to)
    except KeyboardInterrupt:
        to.screen.say()
        to.screen.say("the upload is not complete; the same command goes on with it for two days")
        return watching.INTERRUPTED
    except SealiftError as error:
        error.add_note("the same command goes on with the upload for two days")
        raise
    try:
        with aws.translated():
            arn = _started(clients, outputs["StateMachineArn"], sent, to)
    except KeyboardInterrupt:
        to.screen.say()
        to.screen.say("the archive is uploaded; follow its deployment with")
        to.screen.say(f"  {watching.come_back(arguments, service)}")
        return watching.INTERRUPTED
    if arguments.no_follow:
        return watching.left_alone(arguments, arn)
    return watching.followed(arguments, clients, arn)


def _rules(deployment: dict[str, Any], hosting: str) -> Rules:
    """Return what the workflow's first state will judge by."""
    code = str(deployment.get("code", documents.OWN_CODE))
    return documents.archive_rules(code, mend=deployment.get("mend") is True, hosting=hosting)


def _checked(source: FileSource, rules: Rules, to: _Told, *, bare_model: bool) -> ArchiveReport:
    """Return the report of `sealift check`, and tell of it; a refusal in the same words."""
    begun = time.monotonic()
    if bare_model:
        report = bare.check((source,), rules=rules)
    else:
        report = acceptance.check(source, rules=rules, progress=Progress(to.screen, "verifying"))
    seconds = time.monotonic() - begun
    to.emit("check", **report.to_json(), seconds=round(seconds, 3))
    if report.verdict != "accepted":
        if not to.json:
            tell(report, seconds, to.screen)
    else:
        to.say(f"checked {source.name}: {report.format}, {source.size / MiB:,.1f} MiB, in {span(seconds)}")
    return report


def _sent(
    file: _File,
    place: tuple[str, str],
    deployment: dict[str, Any] | None,
    clients: Clients,
    to: _Told,
) -> Sent:
    """Upload the settings and the archive; return the object."""
    source, (bucket, key) = file.source, place
    if deployment is not None:
        # First: the archive's event starts the deployment, which reads them.
        clients.s3.put_object(
            Bucket=bucket, Key=documents.sidecar_key(key), Body=json.dumps(deployment, indent=2).encode()
        )
    begun = _begun(file, place, clients, to)
    one = transfer.Transfer(clients.s3, place, source, file.pieces, begun)
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
        found = transfer.unfinished(clients.s3, bucket, key, pieces)
    except ClientError as error:
        if not aws.is_access_denied(error):
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
    return transfer.begin(clients.s3, bucket, key, transfer.packed_metadata(pieces) if file.packed else {})


def _started(clients: Clients, machine: str, sent: Sent, to: _Told) -> str:
    """Return the execution that the upload's event has started."""
    to.screen.hint("waiting for the upload's event to start the deployment ...")
    archive = {"bucket": sent.bucket, "key": sent.key}
    if sent.version_id:
        archive["version_id"] = sent.version_id
    seen: set[str] = set()
    deadline = time.monotonic() + EVENT_DEADLINE_S
    pause = 0.25
    while time.monotonic() < deadline:
        if arn := executions.of_upload(clients.stepfunctions, machine, archive, seen):
            to.screen.clear()
            return arn
        following.sleep(pause)
        pause = min(2 * pause, 4.0)
    raise ServiceUnavailable(
        f"s3://{sent.bucket}/{sent.key} is uploaded, and no deployment of it has started within "
        f"{EVENT_DEADLINE_S} s; wanted the upload's event to start one; see the log of StartDeployment and the queue "
        "LostUploads, or start it with `sealift start`"
    )
