"""The image that ours is laid on: which one, and what a registry says of it.

Owns the pinned default, which `inference/Dockerfile` has as well (a test holds both equal), and the way from a
reference to the manifest and the configuration of one architecture. Refuses to fetch a layer before somebody opens it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from pipeline.errors import ImageNotFound, InvalidInput, Problem
from pipeline.image import configuration
from pipeline.image import manifest as manifests
from pipeline.image.blobs import LayerBlob

if TYPE_CHECKING:
    from collections.abc import Callable

    from pipeline.image.configuration import ImageConfiguration
    from pipeline.image.manifest import Descriptor, Manifest
    from pipeline.image.registry import Content, Registry

TAG: Final = "3.11.13-slim-bookworm"
DIGEST: Final = "sha256:86adf8dbadc3d6e82ee5dd2c74bec2e1c2467cdad47886280501df722372d2e1"
"""Of the index that Docker's official image of that tag is; AWS's public registry has the same images under the same
digests. Read in public Dockerfiles, not pulled yet: assumed until it was."""
DEFAULT: Final = f"public.ecr.aws/docker/library/python:{TAG}@{DIGEST}"

EXAMPLE: Final = "123456789012.dkr.ecr.us-east-1.amazonaws.com/sealift"
"""Where people push."""

_HOST: Final = r"[A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?(?::[0-9]{1,5})?"
_COMPONENT: Final = r"[a-z0-9]+(?:(?:\.|_{1,2}|-+)[a-z0-9]+)*"
_REFERENCE: Final = re.compile(
    rf"(?P<host>{_HOST})/(?P<repository>{_COMPONENT}(?:/{_COMPONENT})*)"
    r"(?::(?P<tag>[A-Za-z0-9_][A-Za-z0-9._-]{0,127}))?(?:@(?P<digest>sha256:[0-9a-f]{64}))?"
)


@dataclass(frozen=True, slots=True)
class Reference:
    """An image of a registry, as people write it: HOST/REPOSITORY[:TAG][@DIGEST]."""

    host: str
    """With its port, where one is written."""
    repository: str
    tag: str = ""
    digest: str = ""

    @property
    def wanted(self) -> str:
        """Return what a registry is asked for: the digest where one is written, else the tag, else `latest`."""
        return self.digest or self.tag or "latest"

    def __str__(self) -> str:
        tag = f":{self.tag}" if self.tag else ""
        return f"{self.host}/{self.repository}{tag}{f'@{self.digest}' if self.digest else ''}"


def parse(text: str, option: str = "--base") -> Reference:
    """Return a reference as it was written.

    Raises:
        InvalidInput: it is none, or names no registry: which one is meant is never guessed.
    """
    found = _REFERENCE.fullmatch(text)
    if found and ("." in found["host"] or ":" in found["host"] or found["host"] == "localhost"):
        return Reference(found["host"], found["repository"], found["tag"] or "", found["digest"] or "")
    example = DEFAULT.partition("@")[0] if option == "--base" else EXAMPLE
    fix = f"write the registry's host as well, as in {example}"
    problem = Problem("WrongReference", repr(text), "HOST/REPOSITORY[:TAG][@sha256:DIGEST]", fix)
    raise InvalidInput(option, [problem])


@dataclass(frozen=True, slots=True)
class Base:
    """An image of one architecture as its registry has it; of its layers the names alone."""

    reference: str
    """As it was asked for."""
    digest: str
    """Of its manifest, as the registry stores it."""
    manifest: Manifest
    """By Docker's media types, whatever it was stored as."""
    configuration: ImageConfiguration
    layers: tuple[LayerBlob, ...]


def read(
    registry: Registry,
    reference: Reference,
    architecture: str,
    keep: Callable[[Registry, Descriptor], Content],
) -> Base:
    """Return the base that a reference names: one or two manifests and a configuration are fetched, no layer.

    Args:
        registry: the repository that the reference names.
        reference: what is asked of it.
        architecture: ``x86_64`` or ``arm64``.
        keep: returns how a blob of the registry is opened when it is needed (`cache.Cache.fetched`).

    Raises:
        ImageNotFound: there is no such image.
        InvalidInput: it has none for the architecture, or one that cannot be read.
    """
    found = _manifest(registry, reference.wanted, str(reference))
    digest, read_manifest = found
    if isinstance(read_manifest, manifests.Index):
        entry = read_manifest.image_for(architecture)
        digest, read_manifest = _manifest(registry, entry.digest, str(reference))
        if isinstance(read_manifest, manifests.Index):
            raise _refused(reference, "an index whose image is an index again", "an image's manifest")
    if read_manifest.config.size > manifests.MANIFEST_BYTES_MAX:
        seen = f"a configuration of {read_manifest.config.size} bytes"
        raise _refused(reference, seen, f"at most {manifests.MANIFEST_BYTES_MAX}")
    content = b"".join(registry.read(read_manifest.config))
    config = configuration.read(content, str(reference))
    if config.architecture != manifests.ARCHITECTURES[architecture]:
        raise _refused(reference, f"an image for {config.architecture}", f"one for {architecture}")
    if len(config.diff_ids) != len(read_manifest.layers):
        seen = f"{len(read_manifest.layers)} layers and {len(config.diff_ids)} diff_ids"
        raise _refused(reference, seen, "as many of both")
    layers = tuple(
        LayerBlob(typed, diff_id, keep(registry, stored), registry.name)
        for stored, typed, diff_id in zip(
            read_manifest.layers, read_manifest.as_docker().layers, config.diff_ids, strict=True
        )
    )
    return Base(str(reference), digest, read_manifest.as_docker(), config, layers)


def _manifest(registry: Registry, wanted: str, name: str) -> tuple[str, Manifest | manifests.Index]:
    found = registry.manifest(wanted)
    if found is None:
        problem = Problem(
            "NoSuchImage",
            f"nothing at {wanted} in {registry.name}",
            "an image",
            "name one that is there: --base",
        )
        raise ImageNotFound(name, [problem])
    media_type, content = found
    return manifests.digest_of(content), manifests.read(content, media_type, name)


def _refused(reference: Reference, seen: str, wanted: str) -> InvalidInput:
    return InvalidInput(str(reference), [Problem("WrongBase", seen, wanted, "name another base: --base")])
