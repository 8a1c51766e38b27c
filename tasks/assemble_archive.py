"""AssembleArchive: makes the archive that the endpoint gets, under a key made of its content.

S3 copies the weights itself; only the inference code goes through here. A zip, and what cannot be spliced, is
streamed through in bounded memory.
"""

from __future__ import annotations

import json
import logging
from typing import TYPE_CHECKING, Any

from pipeline import aws, documents, resources
from pipeline.archive import assembly, record
from pipeline.archive.sources import S3Source

if TYPE_CHECKING:
    from collections.abc import Callable

    from pipeline.aws import Clients

_LOGGER = logging.getLogger(__name__)
_STEPS = 10
"""Lines of progress in the log of a whole rewriting, which may take minutes."""


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
        resources.code_for(planned["code"]),
        bucket=planned["bucket"],
        rules=documents.archive_rules(planned["code"], mend=planned["mend"]),
        mend=planned["mend"],
        progress=_logged(source.name),
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


def _logged(name: str) -> Callable[[int, int], None]:
    """Return a progress that writes a line to the log at every tenth of the way."""
    told = 0

    def progress(done: int, total: int) -> None:
        nonlocal told
        step = done * _STEPS // max(total, 1)
        if step > told:
            told = step
            _LOGGER.info("%s: %d of %d bytes rewritten", name, done, total)

    return progress


handler = aws.task(run)
