"""What an ordinary stack says where a deployment asks for nothing else."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from pipeline.state_data.request_types import StackDefaults

DEFAULTS: Final[StackDefaults] = {
    "execution_role_arn": "arn:aws:iam::123456789012:role/sealift-endpoint",
    "endpoint_role_arns": "",
    "account_id": "123456789012",
    "region": "us-east-1",
    "container": "pytorch",
    "image_uri": "",
    "consumer_function_name": "",
    "consumer_function_pattern": "*",
    "artifact_bucket": "artifacts",
    "allow_archive_code": "false",
}
