"""What was found in an archive: members, model, problems, verdict.

Owns the shape of the answer, as objects and as JSON. It refuses to look for anything itself.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Final, Literal

from inference import sealift_models
from pipeline.errors import InvalidArchive, Problem
from pipeline.gguf import companions

if TYPE_CHECKING:
    from pipeline.archive.build.seams import Seam
    from pipeline.gguf.header import GGUFHeader

Kind = Literal["file", "directory", "symlink", "hardlink", "device", "fifo", "sparse", "special"]
Format = Literal["tar.gz", "zip", "gguf", "unknown"]
Method = Literal["inspect", "verify", "checksum"]
"""First megabytes; whole pass; first megabytes of an archive of ours, S3's checksum for the rest."""

_SAME_MOST: Final = 5
"""Problems listed for each name; an archive of ten thousand links has one thing wrong with it."""


@dataclass(frozen=True, slots=True)
class Member:
    """One entry of the archive, its path as it will lie under the model directory."""

    path: str
    size: int
    kind: Kind = "file"
    sha256: str | None = None
    """Of a file under ``code/`` that was read to its end."""
    at: int | None = None
    """Where its header ends in the plain bytes of a tar."""

    def to_json(self) -> dict[str, object]:
        """Return the member as a JSON object."""
        return {"path": self.path, "size": self.size, "kind": self.kind}


@dataclass(frozen=True, slots=True)
class Shard:
    """One GGUF file of the model; the header is None where it was not reached or not readable."""

    path: str
    size: int
    header: GGUFHeader | None


@dataclass(frozen=True, slots=True)
class Companion:
    """One file that is loaded beside the model."""

    kind: str
    """One of `sealift_models.COMPANIONS`."""
    path: str
    size: int
    header: GGUFHeader

    def to_json(self) -> dict[str, object]:
        """Return the facts that a plan is made of as a JSON object; a draft model's are those of a model."""
        facts = {"kind": self.kind, "path": self.path, "size": self.size}
        if self.kind == sealift_models.DRAFT:
            return {**self.header.to_json(), **facts}
        return {
            **facts,
            "tensor_bytes": self.header.tensor_bytes,
            "n_tensors": len(self.header.tensors),
            "image": companions.image(self.header) if self.kind == sealift_models.PROJECTOR else None,
        }


@dataclass(frozen=True, slots=True)
class FoundModel:
    """The model in the archive: one GGUF, or the shards of one in their order."""

    shards: tuple[Shard, ...]
    companions: tuple[Companion, ...] = ()
    """What lies beside it, as far as it was read."""

    @property
    def path(self) -> str:
        """Return the path of the file that llama.cpp is given: the first shard."""
        return self.shards[0].path

    @property
    def size(self) -> int:
        """Return the bytes of all its files."""
        return sum(shard.size for shard in self.shards)

    @property
    def header(self) -> GGUFHeader | None:
        """Return the first file's header, which describes the whole model."""
        return self.shards[0].header

    @property
    def parameter_count(self) -> int:
        """Return the number of weights, of the files whose headers were read."""
        return sum(shard.header.parameter_count for shard in self.shards if shard.header)

    @property
    def tensor_count(self) -> int:
        """Return the number of tensors, of the same files."""
        return sum(len(shard.header.tensors) for shard in self.shards if shard.header)

    @property
    def pieces(self) -> str:
        """Return in words how many files it is made of, and were read; empty for a whole one."""
        count = self.header.shard_count if self.header else 1
        read = sum(shard.header is not None for shard in self.shards)
        if count == 1:
            return ""
        return f", {count} shards" if read == count else f", {read} of {count} shards read"

    @property
    def complete(self) -> bool:
        """Tell whether every file's header was read, so that totals are totals."""
        return all(shard.header is not None for shard in self.shards)

    def to_json(self) -> dict[str, object]:
        """Return the facts that a plan is made of as a JSON object."""
        facts: dict[str, object] = {"path": self.path, "size": self.size}
        headers = [shard.header for shard in self.shards if shard.header is not None]
        if self.header is not None:
            facts |= self.header.to_json()
        if len(self.shards) > 1:
            by_type: Counter[str] = Counter()
            for header in headers:
                by_type.update(header.bytes_by_type)
            facts |= {
                "parameter_count": self.parameter_count,
                "n_tensors": self.tensor_count,
                "tensor_bytes": sum(header.tensor_bytes for header in headers),
                "bytes_by_type": dict(by_type.most_common()),
                "shards": [shard.path for shard in self.shards],
                "shards_read": len(headers),
            }
        if self.companions:
            facts["companions"] = [one.to_json() for one in self.companions]
        return facts


class Unreadable(Exception):
    """Nothing after this place in the archive can be read."""

    def __init__(self, error: str, seen: str, wanted: str, fix: str) -> None:
        self.problem = Problem(error, seen, wanted, fix)
        super().__init__(str(self.problem))


class Findings:
    """Collects problems in the order they are seen; many of one name are summed up."""

    def __init__(self) -> None:
        self._counts: Counter[str] = Counter()
        self._listed: list[Problem] = []

    def add(self, problem: Problem) -> None:
        """Take one more problem."""
        self._counts[problem.error] += 1
        if self._counts[problem.error] <= _SAME_MOST:
            self._listed.append(problem)

    def has(self, *errors: str) -> bool:
        """Tell whether a problem of one of these names was seen."""
        return any(self._counts[error] for error in errors)

    def all(self) -> tuple[Problem, ...]:
        """Return what was seen, the last of an overlong kind saying how many more there are."""
        last = {problem.error: at for at, problem in enumerate(self._listed)}
        listed = list(self._listed)
        for error, at in last.items():
            more = self._counts[error] - _SAME_MOST
            if more > 0:
                listed[at] = replace(listed[at], seen=f"{listed[at].seen} (and {more} more like this)")
        return tuple(listed)


@dataclass(frozen=True, slots=True)
class ArchiveReport:
    """The answer to "can this archive become an endpoint?", with its evidence."""

    name: str
    size: int
    format: Format
    method: Method
    members: tuple[Member, ...]
    model: FoundModel | None
    code: bool
    """Whether ``code/inference.py`` was seen."""
    extracted_bytes: int
    """The bytes of the members seen; of all members when `complete`."""
    complete: bool
    """Whether every member was seen."""
    problems: tuple[Problem, ...]
    bytes_read: int
    sha256: str | None = None
    """Of the whole object; only `verify` reads all of it."""
    gzip_members: int = 0
    """How many gzip members were seen, the last perhaps not to its end; 0 for other formats."""
    plain_bytes: int | None = None
    """The bytes of the tar, when all of it was decoded."""
    header_bytes: int | None = None
    """The bytes of the gzip header of a tar.gz."""
    seam: Seam | None = None
    """Where the model's part begins in an archive of ours, as far as the archive was decoded: by itself."""
    padding: int = 0
    """The zeros that follow the gzip stream, when all of it was decoded."""
    identity: dict[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    """What is not wrong and worth knowing."""
    unreached: Problem | None = None
    """Why a model's header was not read where the reading stopped before it ended; a whole pass may find it."""

    @property
    def verdict(self) -> Literal["accepted", "refused"]:
        """Return whether anything is wrong."""
        return "refused" if self.problems else "accepted"

    def require(self) -> None:
        """Raise InvalidArchive with every problem, if there is one."""
        if self.problems:
            raise InvalidArchive(self.name, self.problems)

    def to_json(self) -> dict[str, object]:
        """Return the report as a JSON object."""
        return {
            "verdict": self.verdict,
            "name": self.name,
            "size": self.size,
            "format": self.format,
            "identity": dict(self.identity),
            "members": [member.to_json() for member in self.members],
            "model": self.model.to_json() if self.model else None,
            "code": self.code,
            "extracted_bytes": self.extracted_bytes,
            "complete": self.complete,
            "problems": [problem.to_json() for problem in self.problems],
            "bytes_read": self.bytes_read,
            "method": self.method,
            "sha256": self.sha256,
            "gzip_members": self.gzip_members,
            "notes": list(self.notes),
        }
