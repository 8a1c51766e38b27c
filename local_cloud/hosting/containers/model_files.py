"""A model's files on their way from S3 into a container's folder, as the platform brings them.

Owns what ModelDataUrl and ModelDataSource mean: an archive that is extracted, one object, or all below a prefix, each
with its failure in the platform's words. Refuses to start anything.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol
from urllib.parse import urlsplit

from local_cloud.hosting.containers.container import LaunchFailedError
from local_cloud.hosting.containers.unpacking import (
    ArchiveTooLargeError,
    UnpackingCancelledError,
    UnreadableArchiveError,
    unpack,
)
from local_cloud.hosting.platform import texts

if TYPE_CHECKING:
    from collections.abc import Mapping

    from local_cloud.hosting.platform.resources import Deployment
    from local_cloud.hosting.platform.settings import HostingSettings

_LOGGER = logging.getLogger(__name__)

Fetch = Callable[[str, str, str, Path], None]
"""Downloads, as a role (its ARN), an object (bucket, key) to a path; raises ObjectMissing when there is none."""


class Objects(Protocol):
    """What is to be known of objects without downloading them, as a role (its ARN)."""

    def etag(self, role_arn: str, bucket: str, key: str) -> str | None:
        """Return an object's ETag without quotes; None when there is no such object."""

    def keys(self, role_arn: str, bucket: str, prefix: str) -> list[str]:
        """Return the keys of all objects below a prefix."""


class NoObjects:
    """Knows of no object: for a hosting that is given no models but archives."""

    def etag(self, role_arn: str, bucket: str, key: str) -> str | None:
        """Return None."""
        del role_arn, bucket, key
        return None

    def keys(self, role_arn: str, bucket: str, prefix: str) -> list[str]:
        """Return nothing."""
        del role_arn, bucket, prefix
        return []


class ObjectMissing(KeyError):
    """There is no such object: what `Fetch` raises."""


class ModelFiles:
    """Brings a deployment's model."""

    def __init__(self, *, fetch: Fetch, objects: Objects, settings: HostingSettings) -> None:
        self._fetch = fetch
        self._objects = objects
        self._settings = settings

    def bring(
        self, deployment: Deployment, folder: Path, model_dir: Path, cancelled: Callable[[], bool]
    ) -> bool:
        """Bring the model into `model_dir`, by way of `folder`; return whether there is one.

        Raises:
            LaunchFailedError: with the FailureReason.
        """
        if deployment.model_source is not None:
            self._bring_source(deployment, deployment.model_source, folder, model_dir, cancelled)
        elif deployment.model_data_url is not None:
            url = deployment.model_data_url
            self._bring_model(deployment, url, folder / "model.tar.gz", model_dir, cancelled)
        else:
            return False
        return True

    def _bring_source(
        self,
        deployment: Deployment,
        source: Mapping[str, Any],
        folder: Path,
        model_dir: Path,
        cancelled: Callable[[], bool],
    ) -> None:
        """Bring what a ModelDataSource names: an archive, one file under its key's last part, or a whole prefix."""
        url = source["S3Uri"]
        bucket, key = split_url(url)
        etag = source.get("ETag")
        if etag and self._objects.etag(deployment.role_arn, bucket, key) != etag.strip('"'):
            raise LaunchFailedError(texts.model_data_changed(url, etag))
        if source["CompressionType"] == "Gzip":
            self._bring_model(deployment, url, folder / "model.tar.gz", model_dir, cancelled)
            return
        prefix = key if source["S3DataType"] == "S3Prefix" else key.rpartition("/")[0]
        single = source["S3DataType"] == "S3Object"
        keys = [key] if single else self._objects.keys(deployment.role_arn, bucket, key)
        if not keys:
            raise LaunchFailedError(texts.download_failed(url))
        for one in keys:
            if cancelled():
                raise LaunchFailedError(texts.INTERNAL)
            path = model_dir / one.removeprefix(prefix).lstrip("/")
            path.parent.mkdir(parents=True, exist_ok=True)
            self._download(deployment, f"s3://{bucket}/{one}", path)

    def _download(self, deployment: Deployment, url: str, path: Path) -> None:
        bucket, key = split_url(url)
        try:
            self._fetch(deployment.role_arn, bucket, key, path)
        except Exception as error:  # `fetch` is the caller's: whatever it raises, the download failed
            _LOGGER.info("download of %s failed", url, exc_info=error)
            raise LaunchFailedError(texts.download_failed(url)) from error

    def _bring_model(
        self, deployment: Deployment, url: str, archive: Path, model_dir: Path, cancelled: Callable[[], bool]
    ) -> None:
        self._download(deployment, url, archive)
        try:
            disk_bytes = self._settings.disk_bytes_of(deployment)
            unpack(archive, model_dir, disk_bytes=disk_bytes, cancelled=cancelled)
        except UnreadableArchiveError as error:
            _LOGGER.info("extraction of %s failed: %s", url, error)
            raise LaunchFailedError(texts.extraction_failed(url)) from error
        except ArchiveTooLargeError as error:
            raise LaunchFailedError(texts.extraction_too_large(url)) from error
        except UnpackingCancelledError as error:
            raise LaunchFailedError(texts.INTERNAL) from error
        archive.unlink()


def split_url(url: str) -> tuple[str, str]:
    """Return bucket and key of an ``s3://`` URL; raise ValueError for any other."""
    parts = urlsplit(url, allow_fragments=False)
    key = url.removeprefix(f"s3://{parts.netloc}/")
    if parts.scheme != "s3" or not parts.netloc or not key or key == url:
        raise ValueError(f"model data URL {url!r}; wanted s3://bucket/key")
    return parts.netloc, key
