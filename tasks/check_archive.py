"""CheckArchive: refuses at once what cannot become an endpoint, and says everything that is wrong with it.

The execution's input first, then the archive's layout from its first megabytes, then every byte of it. Nothing
has been created when this state fails.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from pipeline import aws, containers, documents
from pipeline.archive.inspect import inspect
from pipeline.archive.rules import Rules
from pipeline.archive.sources import S3Source
from pipeline.archive.verify import verify
from pipeline.errors import InvalidInput, Problem

if TYPE_CHECKING:
    from pipeline.archive.report import ArchiveReport
    from pipeline.aws import Clients
    from pipeline.documents import ArchiveLocation


def run(event: dict[str, Any], clients: Clients) -> dict[str, Any]:
    """Return the request with all its defaults, and what is known of the archive (`pipeline.documents.Checked`).

    Raises:
        InvalidInput: with every problem of the input and of the deployment.json beside the archive.
        ArchiveNotFound, AccessDenied: when the archive cannot be read.
        InvalidArchive: with every problem of the archive.
    """
    location = documents.archive_location(event["input"])
    request = documents.request(event["input"], _sidecar(location, clients), event["defaults"])
    source = S3Source(clients.s3, location.bucket, location.key, location.version_id)
    rules = Rules(code_required=containers.DEFAULT.needs_code)
    # Inspecting costs a second and refuses most of what is wrong; verifying reads every byte.
    inspect(source, rules=rules).require()
    report = verify(source, rules=rules)
    report.require()
    return {
        "request": request,
        "archive": {
            "bucket": source.bucket,
            "key": source.key,
            "version_id": source.version_id,
            "etag": source.etag.strip('"'),
            "size": source.size,
            "extracted_bytes": report.extracted_bytes,
            "sha256": report.sha256,
            "format": report.format,
            "last_modified": source.last_modified.strftime("%Y-%m-%dT%H:%M:%SZ"),
        },
        "model": _model(report),
        "evidence": {
            "method": report.method,
            "bytes_read": source.bytes_read,
            "members": len(report.members),
        },
    }


def _model(report: ArchiveReport) -> dict[str, Any]:
    if (
        report.model is None
    ):  # an accepted report has a model; this is for the type checker and the impossible
        raise AssertionError(f"{report.name}: accepted without a model")
    return report.model.to_json()


def _sidecar(location: ArchiveLocation, clients: Clients) -> Any:
    """Return the deployment.json beside the archive, or None when there is none."""
    key = documents.sidecar_key(location.key)
    try:
        body = clients.s3.get_object(Bucket=location.bucket, Key=key)["Body"].read(
            documents.SIDECAR_LIMIT + 1
        )
    except ClientError as error:
        if aws.is_no_such_key(error):
            return None
        raise
    where = f"s3://{location.bucket}/{key}"
    if len(body) > documents.SIDECAR_LIMIT:
        seen, wanted = f"more than {documents.SIDECAR_LIMIT} bytes", f"at most {documents.SIDECAR_LIMIT}"
        raise InvalidInput(where, [Problem("TooLarge", seen, wanted, "keep only settings in it")])
    try:
        return json.loads(body)
    except ValueError as error:
        raise InvalidInput(
            where,
            [Problem("NotJson", f"no JSON ({error})", "a JSON object of settings", "correct or delete it")],
        ) from error


handler = aws.task(run)
