"""What an archive may look like: bounds against hostile input, and what the platform accepts.

Owns the numbers and their reasons. It refuses to look at archives: `inspect` and `verify` do, with these.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from inference import sealift_models
from pipeline.limits import ARCHIVE_SIZE, HEADER_READ, HEADER_READ_S, KiB, MiB

MODEL_DIRECTORY: Final = sealift_models.FOLDER
"""Where SageMaker unpacks the archive (Adapting Your Own Inference Container, "How SageMaker Loads...")."""
ENTRY_POINT: Final = "code/inference.py"
"""What the prebuilt PyTorch containers load (sagemaker-inference: SAGEMAKER_PROGRAM's default, in code/)."""
JUNK_NAMES: Final = frozenset(
    {
        *(".DS_Store", "__MACOSX", ".AppleDouble", ".Spotlight-V100", ".Trashes", ".fseventsd", "Icon\r"),
        *(
            ".TemporaryItems",
            "Thumbs.db",
            "desktop.ini",
            "$RECYCLE.BIN",
            "System Volume Information",
            "@eaDir",
        ),
    }
)
"""What desktops leave in folders, wherever they are; AppleDouble's ``._*`` besides."""


@dataclass(frozen=True, slots=True)
class Rules:
    """What is accepted. The defaults suit the prebuilt PyTorch container."""

    code_required: bool = True
    """Whether ``code/inference.py`` must be there; a container with code of its own needs none."""
    zip_deployable: bool = False
    """Whether a zip is accepted; SageMaker itself takes only tar.gz (CreateModel: ContainerDefinition)."""

    relocate_model: bool = False
    """Whether a model in a directory counts as one at the root, because the assembly will move it there."""

    embeddings: bool = True
    """Whether the container answers requests for embeddings and to rank."""
    companions: bool = True
    """Whether the container loads what lies beside a model: a projector, adapters, a draft model."""
    container: str = ""
    """Its name, for who is told what it does not."""
    runtime: frozenset[str] | None = None
    """The architectures that the container's llama.cpp loads; None when its release is not known."""

    max_archive_bytes: int = ARCHIVE_SIZE.value
    """What serverless is said to take. Its 5 GB of disk bite earlier; that is for the fit to say."""
    max_members: int = 10_000
    """A model, its code and its runtime are a few hundred files."""
    max_path_bytes: int = 4096 - len(MODEL_DIRECTORY) - 2
    """Linux: PATH_MAX, less the directory, a slash and the NUL."""
    max_depth: int = 32
    """Folders in folders; Python's packages nest eight deep. Every folder of a path is kept in mind."""
    max_name_bytes: int = 255
    """Linux: NAME_MAX, for one component of a path."""
    max_header_bytes: int = 64 * KiB
    """For one pax header, GNU long name or gzip header; a path needs 4 KiB."""
    max_directory_bytes: int = 8 * MiB
    """For a zip's central directory: `max_members` entries with paths of ordinary length."""
    max_ratio: int = 200
    """Plain bytes for one compressed byte. Weights give 1.1, zeros 1030: only a bomb or an empty model."""
    ratio_from: int = 64 * MiB
    """Plain bytes from which the ratio counts; less is harmless."""
    inspect_bytes: int = 15 * MiB
    """What `inspect` reads in any case, for a verdict in about a second."""
    header_bytes: int = HEADER_READ.value
    """What it reads at most, where the model's header has not ended by then."""
    header_s: float = HEADER_READ_S.value
    """How many seconds that may take."""

    def __post_init__(self) -> None:
        for name in (
            "max_archive_bytes",
            "max_members",
            "max_path_bytes",
            "max_depth",
            "max_name_bytes",
            "max_header_bytes",
            "max_directory_bytes",
            "max_ratio",
            "inspect_bytes",
            "header_bytes",
        ):
            if getattr(self, name) <= 0:
                raise ValueError(f"{name} must be positive, not {getattr(self, name)!r}")
