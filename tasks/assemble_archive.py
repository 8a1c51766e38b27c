"""AssembleArchive: makes the archive that the endpoint gets, under a key made of its content.

S3 copies the weights itself; only the inference code goes through here. A zip, and what cannot be spliced, is
streamed through in bounded memory.
"""

from __future__ import annotations

import json
import logging
from typing import TYPE_CHECKING, TypedDict

from pipeline import model_source, package_files
from pipeline.archive.build import assembly, record
from pipeline.archive.s3 import bare
from pipeline.archive.s3.sources import S3Source
from pipeline.aws import lambda_handler, task_log
from pipeline.aws.permissions import ARCHIVES, ARTIFACT_BUCKET, RECORDS, UPLOADS, allow
from pipeline.planning import archive_rules, continuity
from pipeline.state_data.checked_types import CheckedAssembly, UploadedArchive

if TYPE_CHECKING:
    from pipeline.aws.clients import Clients

_LOGGER = logging.getLogger(__name__)


class Event(TypedDict):
    """What CheckArchive found and decided."""

    archive: UploadedArchive
    assembly: CheckedAssembly
    hosting: str


class Result(TypedDict):
    """What is deployed, and how it came about."""

    way: str
    """copy, splice or transcode; place for a bare GGUF."""
    reason: str
    bucket: str
    key: str
    etag: str | None
    """Of the one model file that is handed over as it is; else None."""
    size: int
    bytes_moved: int
    """Bytes that went through the function; what S3 copied by itself is not among them."""
    written: bool
    """False when the very same archive was there already."""


def run(event: Event, clients: Clients) -> Result:
    """Assemble the archive; return the way taken and what was written.

    Raises:
        InvalidArchive: the upload changed, or turned out to be damaged, since it was checked.
        StackChanged: this function's code would make something else of it than CheckArchive decided.
    """
    archive, planned = event["archive"], event["assembly"]
    if planned["form"] != model_source.ARCHIVE_FORM:
        return _place(archive, planned, clients)
    if (
        planned["record"] is None
    ):  # the check of an archive writes one; this is for the type checker and the impossible
        raise AssertionError(f"{archive['key']}: an archive without a record")
    source = S3Source(clients.s3, archive["bucket"], archive["key"], archive["version_id"])
    body = clients.s3.get_object(Bucket=planned["bucket"], Key=planned["record"])["Body"].read()
    document, code = json.loads(body), package_files.code_for(planned["code"])
    continuity.require_same_record(archive, document.get("version"), record.VERSION)
    report = record.read(document)
    decision = assembly.decide(
        report, code, bucket=planned["bucket"], relocate_model=planned["relocate_model"]
    )
    continuity.require_same_assembly(archive, planned, decision.to_json())
    written = assembly.assemble(
        clients.s3,
        source,
        report,
        code,
        decision,
        rules=archive_rules.archive_rules(
            planned["code"], relocate_model=planned["relocate_model"], hosting=event["hosting"]
        ),
        relocate_model=planned["relocate_model"],
        progress=task_log.progress(_LOGGER, source.name, "rewritten"),
    )
    return {
        "way": decision.choice.way,
        "reason": decision.choice.reason,
        "bucket": written.target.bucket,
        "key": written.target.key,
        "etag": None,
        "size": written.size,
        "bytes_moved": written.bytes_moved,
        "written": written.parts > 0,
    }


def _place(archive: UploadedArchive, planned: CheckedAssembly, clients: Clients) -> Result:
    """Let S3 copy a model that is no archive, and put the inference code beside it where the container needs any."""
    files = bare.pinned_sources(clients.s3, archive)
    code = package_files.code_for(planned["code"])
    identity = {part["key"].rpartition("/")[2]: part["etag"] for part in archive["parts"]}
    where = bare.place(identity, code, bucket=planned["bucket"])
    continuity.require_same_assembly(archive, planned, where.to_json())
    written, etag = bare.put(clients.s3, files, code, where)
    return {
        "way": planned["way"],
        "reason": planned["reason"],
        "bucket": where.bucket,
        "key": where.key,
        "etag": etag,
        "size": written.size,
        "bytes_moved": written.bytes_moved,
        "written": written.parts > 0,
    }


handler = lambda_handler.Task(
    run,
    may=(
        allow("s3:GetObjectVersion", on=UPLOADS, why="The very version that was checked, and no other."),
        allow("s3:GetObject", on=(RECORDS, ARCHIVES)),
        allow("s3:PutObject", "s3:AbortMultipartUpload", on=ARCHIVES),
        allow(
            "s3:GetObjectVersionTagging",
            on=ARCHIVES,
            why="Whether the sweeper marked the archive that is there: then it is written again.",
        ),
        allow(
            "s3:ListBucket",
            on=ARTIFACT_BUCKET,
            why='Without ListBucket, an archive that is not there yet reads as "access denied" instead of "not found".',
        ),
    ),
    timeout_s=890,
    memory_mb=1769,  # one whole vCPU: converting a zip is bound by inflating and checksums
    carries_runtime=True,
)
