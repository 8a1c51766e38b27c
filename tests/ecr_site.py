"""ECR of the local cloud behind its gateway, without the rest of it."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from moto.core.base_backend import BackendDict

from local_cloud.ecr import repositories
from local_cloud.ecr.blobs import Blobs
from local_cloud.ecr.repositories import EcrQuotas
from local_cloud.ecr.service import Ecr
from local_cloud.faults import Faults
from local_cloud.functions.configurations import Configurations
from local_cloud.gateway import Backends, Gateway
from local_cloud.hosting import Quotas
from pipeline.aws.clients import Clients

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from pathlib import Path

    from mypy_boto3_ecr import ECRClient

ACCOUNT, REGION = "123456789012", "us-east-1"
REPOSITORY = "sealift"


@dataclass
class EcrSite:
    """A registry, and a client of it."""

    url: str
    faults: Faults
    ecr: Ecr
    client: ECRClient
    now: list[float] = field(default_factory=lambda: [1_800_000_000.0])

    def files(self) -> list[Path]:
        """Return the files that blobs and uploads are in."""
        folder = self.ecr.blobs.place
        return [] if folder is None else sorted(folder.iterdir())

    def another(self, quotas: EcrQuotas) -> None:
        """Give the account other quotas."""
        self.ecr.quotas = quotas


@contextlib.contextmanager
def ecr_site(folder: Path, *, free: Callable[[str], int] | None = None) -> Iterator[EcrSite]:
    """Run a registry with one repository, `REPOSITORY`.

    Args:
        folder: where layers lie.
        free: returns how many bytes are free there.
    """

    def nothing(_environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        start_response("200 OK", [])
        return [b"{}"]

    # moto's state is the process's: other tests may have left some.
    BackendDict.reset()
    now = [1_800_000_000.0]
    blobs = Blobs(str(folder)) if free is None else Blobs(str(folder), free)
    ecr = Ecr(ACCOUNT, clock=lambda: now[0], blobs=blobs)
    faults = Faults()
    gateway = Gateway(faults=faults)
    repositories.install()
    gateway.start(
        Backends(
            hosting=nothing,
            invoke=lambda _name, _qualifier, _event: None,
            configurations=Configurations(),
            quotas=Quotas,
            object_created=lambda _operation, _bucket, _key: None,
            ecr=ecr,
        )
    )
    credentials = {"aws_access_key_id": "local", "aws_secret_access_key": "local"}
    client = Clients(endpoint_url=gateway.url, region=REGION, credentials=credentials).ecr
    client.create_repository(repositoryName=REPOSITORY)
    try:
        yield EcrSite(gateway.url, faults, ecr, client, now)
    finally:
        gateway.close()
        ecr.close()
        BackendDict.reset()
