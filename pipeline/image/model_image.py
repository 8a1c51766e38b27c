"""An image that holds a model: the files of its layer, and what is made of them and of the image below.

Owns which files of an upload go into the layer, and what the image says of them: SM_MODEL_DIR, by which the server
finds them, and the label `sealift.model`. Pure. Refuses to read an archive and to speak to a registry.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from inference import sealift_models
from pipeline.archive.build import transcode
from pipeline.errors import InvalidInput, Problem
from pipeline.image import configuration, manifest
from pipeline.image.configuration import Added, ImageConfiguration
from pipeline.image.manifest import DOCKER_CONFIG, DOCKER_LAYER, Descriptor, Manifest
from pipeline.image.model_layer import DIRECTORY, LayerFile

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pipeline.archive.checks.report import ArchiveReport
    from pipeline.state_data.checked_types import PinnedPart
    from pipeline.state_data.image_types import MadeLayer

LABEL: Final = "sealift.model"
"""The file name of the model, or of the first of its files."""
MODEL_DIR: Final = "SM_MODEL_DIR"


def archive_files(report: ArchiveReport, *, relocate_model: bool = False) -> dict[str, LayerFile]:
    """Return the files of an archive that go into a layer, in its order, by their paths in the archive.

    They are the model's and those of what is loaded beside it; code and whatever else lies there stay behind.

    Raises:
        InvalidArchive: two files would come to lie in one place.
    """
    paths = transcode.kept(report, relocate_model=relocate_model)
    sizes = {member.path: member.size for member in report.members}
    return {old: LayerFile(new, sizes[old]) for old, new in paths.items() if sealift_models.is_model(new)}


def bare_files(parts: Sequence[PinnedPart]) -> tuple[LayerFile, ...]:
    """Return the files of a model that is no archive, in the order of its parts."""
    return tuple(LayerFile(part["key"].rpartition("/")[2], part["size"]) for part in parts)


def label(model_path: str) -> str:
    """Return what an image says of its model, by the path that the check has for it."""
    return model_path.rpartition("/")[2]


def read_base(content: bytes, media_type: str, name: str) -> Manifest:
    """Return the manifest of the image that a layer is laid on.

    Raises:
        InvalidInput: it is an index: a layer is laid on the image of one kind of CPU.
    """
    found = manifest.read(content, media_type, name)
    if isinstance(found, Manifest):
        return found
    problem = Problem(
        "BaseIsIndex",
        "an index of images for several kinds of CPU",
        "the image of one",
        "`sealift image push` pushes one; name no other in image_uri, or leave 'artifact' out",
    )
    raise InvalidInput(name, [problem])


def configure(base: ImageConfiguration, layer: MadeLayer, model: str) -> ImageConfiguration:
    """Return the configuration of an image that holds a model.

    Args:
        base: of the image below.
        layer: the model's.
        model: the file's name.
    """
    return configuration.extend(
        base,
        (Added(layer.diff_id, f"sealift: model {model}"),),
        environment={MODEL_DIR: DIRECTORY},
        labels={LABEL: model},
    )


def compose(base: Manifest, layer: MadeLayer, config: ImageConfiguration) -> Manifest:
    """Return the manifest of an image that holds a model; the layers of the image below are the very same blobs."""
    return Manifest(
        Descriptor(DOCKER_CONFIG, config.digest, len(config.content)),
        (*base.as_docker().layers, Descriptor(DOCKER_LAYER, layer.digest, layer.size)),
    )


def holds(found: Manifest, base: Manifest) -> bool:
    """Tell whether an image is one that a model was laid on this base to make: its layers, and one more."""
    below = tuple(one.digest for one in base.layers)
    return tuple(one.digest for one in found.layers[:-1]) == below
