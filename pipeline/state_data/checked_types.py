"""What the check of an upload leaves for later states: shapes alone, so that their readers ship nothing that checks."""

from __future__ import annotations

from typing import Annotated, Literal, NotRequired, TypedDict

from pipeline.json_codec import OlderName
from pipeline.state_data.request_types import RELOCATE_MODEL_ALIAS

Code = Literal["sealift", "archive", "none"]
"""What `code/` of the deployed archive holds: Sealift's inference code, what the upload brings, or nothing."""


class PinnedPart(TypedDict):
    """One file of a model, as it was when it was checked."""

    key: str
    version_id: str | None
    etag: str
    size: int
    """Bytes."""


class UploadedArchive(TypedDict):
    """What was uploaded, as it was checked."""

    bucket: str
    key: str
    version_id: str | None
    """None in a bucket without versions, and of a split model, each of whose files has its own."""
    etag: str
    size: int
    extracted_bytes: int
    sha256: str | None
    """None of a bare GGUF, which is not read to its end."""
    format: str
    last_modified: str
    """ISO 8601."""
    parts: NotRequired[list[PinnedPart]]
    """The files of a bare GGUF."""


class CheckEvidence(TypedDict):
    """How the archive was checked."""

    method: str
    bytes_read: int
    members: int
    notes: NotRequired[list[str]]
    """What is not wrong and worth knowing; none in what an older release checked."""
    container: NotRequired[str]
    """Which container serves it, and why, where the check chose it: the archive's code depends on it, and so does the
    memory; none in what an older release checked, which has it among `notes`."""
    image_bytes: NotRequired[int]
    """Of Sealift's own image, as it is stored, where the check took that from the stack's repository."""


class TargetFacts(TypedDict):
    """A target as one state hands it to another."""

    bucket: str
    key: str
    content: str
    """A digest of what the archive is made of."""


class PlacedFacts(TargetFacts):
    """The same, with the inference code that it was decided for."""

    code_digest: str


class DecidedFacts(PlacedFacts):
    """A decision as one state hands it to another."""

    way: str
    """copy, splice or transcode; place for a bare GGUF."""
    reason: str


class CheckedAssembly(DecidedFacts):
    """How the archive becomes what is deployed."""

    form: str
    """What is handed over: `model_source.ARCHIVE_FORM`, `OBJECT_FORM` or `PREFIX_FORM`."""
    code: Code
    """Whose inference code goes with it."""
    relocate_model: Annotated[bool, OlderName(RELOCATE_MODEL_ALIAS)]
    record: str | None
    """The key of the check's record in that bucket; None for a bare GGUF."""
