"""AssembleArchive: makes the archive that the endpoint gets, under a key made of its content.

S3 copies the weights itself; only the inference code goes through here. A zip, and what cannot be spliced, is
streamed through in bounded memory.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from pipeline import aws, documents, resources
from pipeline.archive import assembly, record
from pipeline.archive.sources import S3Source

if TYPE_CHECKING:
    from pipeline.aws import Clients


def run(event: dict[str, Any], clients: Clients) -> dict[str, Any]:
    """Assemble the archive; return the way taken and what was written (`pipeline.documents.Assembled`).

    Raises:
        InvalidArchive: the upload changed, or turned out to be damaged, since it was checked.
    """
    archive, planned = event["archive"], event["assembly"]
    source = S3Source(clients.s3, archive["bucket"], archive["key"], archive["version_id"])
    body = clients.s3.get_object(Bucket=planned["bucket"], Key=planned["record"])["Body"].read()
    report = record.read(json.loads(body))
    choice, written = assembly.assemble(
        clients.s3,
        source,
        report,
        resources.code_contents() if planned["code"] == documents.OWN_CODE else None,
        bucket=planned["bucket"],
        rules=documents.archive_rules(planned["code"]),
    )
    return {
        "way": choice.way,
        "reason": choice.reason,
        "bucket": written.target.bucket,
        "key": written.target.key,
        "size": written.size,
        "bytes_moved": written.bytes_moved,
        "written": written.parts > 0,
    }


handler = aws.task(run)
