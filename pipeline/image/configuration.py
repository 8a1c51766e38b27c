"""The configuration of an image: how its container is started, and what its layers are unpacked.

Owns reading it and making one from another; what a base says and nothing here knows is kept as it is. Refuses what
runtimes would read in two ways. Times are fixed, so that the same image has the same configuration.

Source: github.com/opencontainers/image-spec, config.md; Docker's is the same document.
"""

from __future__ import annotations

import copy
import json
from dataclasses import dataclass
from typing import Any, Final, NotRequired, TypedDict

from pipeline import json_codec
from pipeline.errors import InvalidInput, Problem
from pipeline.image import manifest

CREATED: Final = "1970-01-01T00:00:00Z"
"""When everything of ours was made: a time that is true would make every build another image."""


class _Container(TypedDict):
    User: NotRequired[str | None]
    Env: NotRequired[list[str] | None]
    Entrypoint: NotRequired[list[str] | None]
    Cmd: NotRequired[list[str] | None]
    WorkingDir: NotRequired[str | None]
    Labels: NotRequired[dict[str, str] | None]
    ExposedPorts: NotRequired[dict[str, Any] | None]


class _RootFilesystem(TypedDict):
    type: str
    diff_ids: list[str]


class _ConfigurationDocument(TypedDict):
    architecture: str
    os: str
    config: NotRequired[_Container | None]
    rootfs: _RootFilesystem


@dataclass(frozen=True, slots=True)
class ImageConfiguration:
    """What a configuration says; the bytes of it are `content`."""

    content: bytes
    architecture: str
    """``amd64``, ``arm64``: as images call it."""
    diff_ids: tuple[str, ...]
    """The digests of the layers' tars, in order: not compressed, as the manifest's are."""
    environment: dict[str, str]
    entry_point: tuple[str, ...]
    command: tuple[str, ...]
    user: str
    """``65534:65534``; empty for root."""
    working_directory: str
    labels: dict[str, str]

    @property
    def digest(self) -> str:
        """Return what it is called in a manifest."""
        return manifest.digest_of(self.content)

    @property
    def document(self) -> dict[str, Any]:
        """Return all that it says, as JSON."""
        found: dict[str, Any] = json.loads(self.content)
        return found


def read(content: bytes, name: str) -> ImageConfiguration:
    """Return what a configuration says.

    Args:
        content: its bytes, as they are stored.
        name: what a refusal calls it.

    Raises:
        InvalidInput: it is none, or not of an image for Linux.
    """
    if len(content) > manifest.MANIFEST_BYTES_MAX:
        seen = f"a configuration of {len(content)} bytes"
        raise _refused(name, seen, f"at most {manifest.MANIFEST_BYTES_MAX}")
    try:
        document = json_codec.decode(_ConfigurationDocument, manifest.load_document(content, name))
    except json_codec.Mismatch as error:
        raise _refused(name, str(error), "an image's configuration") from error
    if document["os"] != "linux":
        raise _refused(name, f"an image for {document['os']!r}", "one for linux")
    for diff_id in document["rootfs"]["diff_ids"]:
        if not manifest.is_digest(diff_id):
            raise _refused(name, f"the diff_id {diff_id!r}", "sha256: and 64 hexadecimal digits")
    container = document.get("config") or {}
    environment = dict(one.partition("=")[::2] for one in container.get("Env") or ())
    return ImageConfiguration(
        content,
        document["architecture"],
        tuple(document["rootfs"]["diff_ids"]),
        environment,
        tuple(container.get("Entrypoint") or ()),
        tuple(container.get("Cmd") or ()),
        container.get("User") or "",
        container.get("WorkingDir") or "",
        dict(container.get("Labels") or {}),
    )


@dataclass(frozen=True, slots=True)
class Added:
    """A layer that is laid on an image, as its configuration tells of it."""

    diff_id: str
    created_by: str
    """What made it, for who reads the image's history."""


def extend(
    base: ImageConfiguration,
    added: tuple[Added, ...],
    *,
    environment: dict[str, str],
    labels: dict[str, str],
    container: dict[str, Any] | None = None,
) -> ImageConfiguration:
    """Return the configuration of an image that has further layers.

    Args:
        base: what it is laid on; what is not changed here stays.
        added: the layers, from the lowest.
        environment: further variables; one of the same name is replaced.
        labels: further labels; likewise.
        container: fields of `config`, by their names in the document, each replaced whole.
    """
    document = copy.deepcopy(base.document)
    inner = document.get("config") or {}
    inner = {**inner, **(container or {})}
    inner["Env"] = [f"{name}={value}" for name, value in {**base.environment, **environment}.items()]
    inner["Labels"] = dict(sorted({**base.labels, **labels}.items()))
    document["config"] = inner
    document["created"] = CREATED
    document["rootfs"]["diff_ids"] += [one.diff_id for one in added]
    # Whoever reads it counts: as many entries that made a layer as there are layers.
    history = document.get("history") or [
        {"created": CREATED, "created_by": "the base"} for _ in base.diff_ids
    ]
    document["history"] = [
        *history,
        *({"created": CREATED, "created_by": one.created_by, "comment": "sealift"} for one in added),
    ]
    # A base's own build may have left its identity and its last container: neither is this image.
    for name in ("id", "parent", "container", "container_config", "docker_version", "author"):
        document.pop(name, None)
    return read(json.dumps(document, sort_keys=True, separators=(",", ":")).encode(), "the image")


def _refused(name: str, seen: str, wanted: str) -> InvalidInput:
    fix = "name another image, or let whoever made it make it again"
    return InvalidInput(name, [Problem("WrongImageConfiguration", seen, wanted, fix)])
