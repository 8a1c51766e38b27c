"""What a gate keeps in the artifact bucket: the cases as they were checked, and the record of what came of them.

By the record a task that comes again goes on, and a report shows both answers. Refuses records of another version: the
gate then begins again.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from botocore.exceptions import ClientError

from pipeline import json_codec, naming
from pipeline.aws import records, service_errors
from pipeline.errors import InvalidInput, Problem, StackChanged
from pipeline.quality.cases import Suite
from pipeline.state_data.quality_types import RECORD_VERSION, QualityRecord

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

    from pipeline.state_data.quality_types import CheckedSuite, PlannedGate


def keep_cases(client: S3Client, bucket: str, suite: Suite, name: str) -> CheckedSuite:
    """Write down the cases of a suite; return where, under a key made of their content.

    Args:
        client: of S3.
        bucket: the artifact bucket.
        suite: as it was checked.
        name: of its file.
    """
    document = json_codec.encode(suite)
    key = f"records/suites/{naming.digest(document, 40)}.json"
    client.put_object(Bucket=bucket, Key=key, Body=json.dumps(document).encode())
    return {"suite": name, "bucket": bucket, "key": key, "cases": len(suite.cases)}


def read_cases(client: S3Client, gate: PlannedGate) -> Suite:
    """Return the cases of a gate, as they were checked.

    Raises:
        InvalidInput: they are gone, which they are after some days.
        StackChanged: another release of the stack has written them.
    """
    name = f"s3://{gate.bucket}/{gate.key}"
    try:
        body = client.get_object(Bucket=gate.bucket, Key=gate.key)["Body"].read()
    except ClientError as error:
        if not service_errors.is_no_such_key(error):
            raise
        seen, fix = f"the cases of {gate.suite} are not there any more", "start the deployment again"
        raise InvalidInput(
            name, [Problem("SuiteGone", seen, "what CheckArchive has written down", fix)]
        ) from error
    try:
        return json_codec.decode(Suite, json.loads(body))
    except json_codec.Mismatch as mismatch:
        fix = "start the deployment again"
        problems = [Problem(StackChanged.__name__, seen, wanted, fix) for seen, wanted in mismatch.found]
        raise StackChanged(name, problems) from mismatch


def read(client: S3Client, bucket: str, key: str) -> QualityRecord | None:
    """Return a record; None where there is none that can be read."""
    return records.read(client, (bucket, key), QualityRecord, RECORD_VERSION)


def write(client: S3Client, gate: PlannedGate, record: QualityRecord) -> None:
    """Write a record in the place of the older one."""
    records.write(client, (gate.bucket, gate.record_key), record)
