"""Our image: a base, our layers, and the configuration that starts them.

Owns what `inference/Dockerfile` says below its last FROM, as data (a test compares). The same base and the same files
make the same image, byte for byte. Refuses a base that cannot run our layers, and to know of models: `model_image` lays
them on.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from pipeline import naming
from pipeline.errors import InvalidInput, Problem
from pipeline.image import base as bases
from pipeline.image import configuration, layers
from pipeline.image.blobs import Image, LayerBlob
from pipeline.image.configuration import Added
from pipeline.image.contents import HOME, PYTHON
from pipeline.image.manifest import DOCKER_CONFIG, Descriptor, Manifest, digest_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from pipeline.image.base import Base, Reference
    from pipeline.image.cache import BlobCache
    from pipeline.image.configuration import ImageConfiguration
    from pipeline.image.contents import ImageContents, ImagePart
    from pipeline.image.layers import WrittenLayer
    from pipeline.image.registry import Registry

    Tell = Callable[[str], None]

ENVIRONMENT: Final = {
    "PYTHONPATH": f"/{HOME}/lib",
    "PYTHONDONTWRITEBYTECODE": "1",
    "PYTHONUNBUFFERED": "1",
    "HOME": "/tmp",  # noqa: S108 - the one folder that serverless lets it write to
    "SM_MODEL_DIR": "/opt/ml/model",
}
CONTAINER: Final[dict[str, Any]] = {
    "User": "65534:65534",
    "WorkingDir": "/tmp",  # noqa: S108 - likewise
    "ExposedPorts": {"8080/tcp": {}},
    "Entrypoint": ["python", f"/{HOME}/adapter"],
    "Cmd": ["serve"],
}
SBOM_LABEL: Final = "sealift.sbom"


@dataclass(frozen=True, slots=True)
class WrittenPart:
    """A layer of ours that lies in the cache."""

    title: str
    layer: WrittenLayer
    blob: LayerBlob


def tag(version: str, architecture: str) -> str:
    """Return the tag of the plain image, the one without a model."""
    return naming.image_tag(version, architecture)


def plain(
    registry: Registry,
    reference: Reference,
    contents: ImageContents,
    *,
    cache: BlobCache,
    version: str,
    commit: str,
    now: float = 0.0,
    tell: Tell = lambda _: None,
) -> Image:
    """Read the base, write our layers into the cache and return the image.

    Args:
        registry: the base's repository.
        reference: the base.
        contents: what is laid on it.
        cache: holds our layers, and the base's when somebody opens them.
        version: of Sealift.
        commit: of its sources; empty where nobody knows.
        now: seconds since 1970, by which files are known to be unchanged; 0 where all are to be read.
        tell: is told in a few words what is being done.

    Raises:
        ImageNotFound: there is no such base.
        InvalidInput: it is none that ours can be laid on.
    """
    tell(f"reading {reference}")
    base = bases.read(registry, reference, contents.architecture, cache.fetched)
    require_fit(base)
    written = []
    for part in contents.parts:
        tell(f"writing the layer of {part.title}")
        written.append(write(part, cache, now))
    return assemble(base, tuple(written), packages=dict(contents.packages), version=version, commit=commit)


def write(part: ImagePart, cache: BlobCache, now: float) -> WrittenPart:
    """Write a layer into the cache, unless none of its files has changed, and return it.

    Args:
        part: what it holds.
        cache: holds layers.
        now: seconds since 1970.
    """
    layer = cache.add(layers.tree(part.files), layers.fingerprint(part.files, now))
    return WrittenPart(part.title, layer, LayerBlob(layer.descriptor, layer.diff_id, cache.built(layer)))


def require_fit(base: Base) -> None:
    """Raise InvalidInput where a base says that its Python is another one than our libraries are compiled for."""
    said = base.configuration.environment.get("PYTHON_VERSION", PYTHON)
    if said.split(".")[:2] != PYTHON.split("."):
        fix = f"name a base with Python {PYTHON}: --base"
        problem = Problem("WrongPython", f"a base with Python {said}", f"Python {PYTHON}", fix)
        raise InvalidInput(base.reference, [problem])


def assemble(
    base: Base, parts: tuple[WrittenPart, ...], *, packages: dict[str, str], version: str, commit: str
) -> Image:
    """Return the image of a base and our layers.

    Args:
        base: what lies below.
        parts: our layers, from the lowest.
        packages: name and version of what others made.
        version: of Sealift.
        commit: of its sources; empty where nobody knows.
    """
    labels = {
        "org.opencontainers.image.title": "sealift",
        "org.opencontainers.image.version": version,
        "org.opencontainers.image.base.name": base.reference,
        "org.opencontainers.image.base.digest": base.digest,
        SBOM_LABEL: json.dumps(packages | {"sealift": version}, sort_keys=True, separators=(",", ":")),
    }
    if commit:
        labels["org.opencontainers.image.revision"] = commit
    config = configuration.extend(
        base.configuration,
        tuple(Added(one.layer.diff_id, f"sealift image build: {one.title}") for one in parts),
        environment=ENVIRONMENT,
        labels=labels,
        container=CONTAINER,
    )
    blobs = (*base.layers, *(one.blob for one in parts))
    return Image(_manifest(config, tuple(one.descriptor for one in blobs)), config.content, blobs)


def _manifest(config: ImageConfiguration, descriptors: tuple[Descriptor, ...]) -> Manifest:
    content = config.content
    return Manifest(Descriptor(DOCKER_CONFIG, digest_of(content), len(content)), descriptors).as_docker()
