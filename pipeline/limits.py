"""What the platform allows, as data with its source; no other module holds such a figure.

Refuses to decide anything: `fit` and `deployment_request` compare, this file only knows.

Sources, by short name:
    boto-model   the service model that botocore ships (`sagemaker`, shape `ProductionVariantServerlessConfig`)
    serverless   https://docs.aws.amazon.com/sagemaker/latest/dg/serverless-endpoints.html
    invoke       https://docs.aws.amazon.com/sagemaker/latest/dg/serverless-endpoints-invoke.html
    realtime     https://docs.aws.amazon.com/sagemaker/latest/dg/realtime-endpoints.html
    observed     the text of ResourceLimitExceeded on ordinary accounts; AWS does not document these figures
    asked        the deployment checklist that Sealift executes
    ours         chosen here, so that nothing is read without end
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

KiB: Final = 1024
MiB: Final = 1024 * KiB
GB: Final = 1000**3
GiB: Final = 1024 * MiB


@dataclass(frozen=True, slots=True)
class Limit:
    """One figure of the platform."""

    value: int
    unit: str
    source: str


MEMORY_SIZES_MB: Final = (1024, 2048, 3072, 4096, 5120, 6144)
"""Every MemorySizeInMB that serverless takes (boto-model)."""

MEMORY_QUOTA_MB: Final = Limit(3072, "MB per serverless endpoint, on an ordinary account", "observed")
CONCURRENCY_QUOTA: Final = Limit(10, "concurrent invocations of all serverless endpoints", "observed")
CONCURRENCY_QUOTA_CODE: Final = "L-96300102"
"""Of CONCURRENCY_QUOTA in Service Quotas (observed). The memory and the endpoint quota have no code that is known."""
ENDPOINT_QUOTA: Final = Limit(5, "serverless endpoints in a region", "observed")

MAX_CONCURRENCY: Final = Limit(200, "concurrent invocations of one endpoint", "boto-model")
DISK: Final = Limit(5 * GB, "bytes of ephemeral disk, whatever the memory size", "serverless")
ARCHIVE_SIZE: Final = Limit(10 * GiB, "bytes of model archive", "asked")
"""Asked are 10 GB; AWS, which says the same of an image, refuses one of more than 10,737,418,240 bytes."""
STARTUP_S: Final = Limit(180, "seconds from the start of the download to a 200 from /ping", "invoke")
INVOCATION_S: Final = Limit(60, "seconds for the container to answer /invocations", "invoke")
STREAM_S: Final = Limit(480, "seconds for the container to answer with a stream, on instances", "realtime")
SERVERLESS_REQUEST: Final = Limit(4 * MiB, "bytes of a request to a serverless endpoint", "invoke")
INSTANCE_REQUEST: Final = Limit(25 * MiB, "bytes of a request to an endpoint on instances", "realtime")
TIMEOUT_S: Final = Limit(300, "seconds, the upper end of the checklist's time-out setting", "asked")

VOLUME_GB: Final = Limit(512, "GB of an instance's volume", "boto-model")
LEAST_START_TIMEOUT_S: Final = Limit(
    600, "seconds of an instance's download, and of its start, at least", "ours"
)
"""So that a slow hour does not fail."""
START_TIMEOUT_S: Final = Limit(
    3600, "seconds of an instance's download, and of its start, at most", "boto-model"
)
BAKE_S: Final = Limit(3600, "seconds between two steps of a blue/green deployment", "boto-model")
LEAST_DEPLOYMENT_S: Final = Limit(600, "seconds that a blue/green deployment must be given", "boto-model")
DEPLOYMENT_S: Final = Limit(28_800, "seconds of a blue/green deployment", "boto-model")

NAME_LENGTH: Final = Limit(63, "characters of a model, endpoint configuration or endpoint name", "boto-model")
ENVIRONMENT_ENTRIES: Final = Limit(100, "entries of a container's Environment", "boto-model")
STATE_PAYLOAD: Final = Limit(256 * 1024, "bytes of a state's input or output", "Step Functions quotas")
HEADER_READ: Final = Limit(4 * GiB, "bytes that are read of a file for a model's header", "ours")
HEADER_READ_S: Final = Limit(60, "seconds that a model's header is looked for in a file", "ours")
"""Together the bound of a first look; Gemma 4's header alone is longer than 15 MiB, and anything may lie before it."""
IMAGE_BYTES: Final = Limit(10_737_418_240, "bytes of a serverless endpoint's image", "observed")
"""The figure of `Image size ... is greater than supported size 10737418240`. Whether AWS counts the layers as they are
stored or unpacked is not documented."""
LAYER_PART: Final = Limit(10 * MiB, "bytes of a part of a layer, at most", "ECR service quotas")
"""ECR's service model allows 20,971,520; the quota is the smaller of the two."""
LEAST_LAYER_PART: Final = Limit(5 * MiB, "bytes of a part of a layer but the last", "ECR service quotas")
LAYER_PARTS: Final = Limit(4_200, "parts of a layer", "ECR service quotas")
HISTORY_EVENTS: Final = Limit(25_000, "events of an execution's history", "Step Functions quotas")
