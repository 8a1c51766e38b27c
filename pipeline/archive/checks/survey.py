"""One reading of one archive: what `inspect` and `verify` have in common.

Owns the beginning (which format it is, whether the name fits) and the end (settling the members, building the
report). It refuses to decide how much is read: that is what tells the two apart.
"""

from __future__ import annotations

from functools import partial
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Final

from inference.sealift_models import companion_kind, is_model
from pipeline.archive.checks.lookalikes import HEAD_BYTES as HEAD
from pipeline.archive.checks.lookalikes import misnamed, recognize
from pipeline.archive.checks.members import PACK, Census, Sink, alone, is_junk
from pipeline.archive.checks.read_budget import ReadBudget
from pipeline.archive.checks.report import ArchiveReport, Findings, Format, Method, Unreadable
from pipeline.archive.checks.rules import ENTRY_POINT
from pipeline.archive.formats import deflate, zips
from pipeline.errors import Problem
from pipeline.gguf.header import MAGIC

if TYPE_CHECKING:
    from collections.abc import Callable

    from pipeline.archive.build.seams import Seam
    from pipeline.archive.checks.report import FoundModel
    from pipeline.archive.checks.rules import Rules
    from pipeline.archive.s3.sources import Source

HEAD_BYTES: Final = 256 << 10
"""Enough to name the format, and for most refusals: one small request."""

_ARCHIVES: Final = (".tar.gz", ".tgz", ".tar", ".gz", ".zip")
"""What a bare GGUF may be called by somebody who takes an archive for a name."""


class Survey:
    """What is known so far about one archive."""

    def __init__(self, source: Source, rules: Rules, method: Method) -> None:
        self.source = source
        self.rules = rules
        self.findings = Findings()
        self.census = Census(rules, self.findings)
        self.format: Format = "unknown"
        self.complete = False
        self.gzip_members = 0
        self.plain_bytes: int | None = None
        self.header_bytes: int | None = None
        self.seam: Seam | None = None
        self.padding = 0
        self.budget = ReadBudget(rules, lambda: self.bytes_read)
        self._method: Method = method
        self._read_before = source.bytes_read

    @property
    def seeking(self) -> bool:
        """Tell whether what describes the model has yet to be read, and may still be: nothing is wrong so far."""
        return self.census.reading() or not (self.census.described or self.findings.all())

    @property
    def bytes_read(self) -> int:
        """Return how much this survey has read."""
        return self.source.bytes_read - self._read_before

    def begin(self) -> bytes:
        """Read the first bytes, name the format and judge the name and the size; return the bytes."""
        head = self.source.read(0, HEAD_BYTES)
        if not head:
            self._add(
                "EmptyObject",
                "an empty file (0 bytes)",
                "an archive",
                f"upload it again when it is complete; {PACK}",
            )
            return head
        if self.source.size > self.rules.max_archive_bytes:
            self._add(
                "ArchiveTooLarge",
                f"{self.source.size} bytes",
                f"at most {self.rules.max_archive_bytes} bytes",
                "use a smaller model or a stronger quantisation",
            )
        base = PurePosixPath(self.source.name).name
        name = self.source.name.lower()
        if head.startswith(deflate.GZIP_MAGIC):
            self.format = "tar.gz"
            if not name.endswith(".tar.gz"):
                self._add(
                    "ArchiveMisnamed",
                    f"a gzip stream named {PurePosixPath(self.source.name).name!r}",
                    "a name that ends in '.tar.gz': SageMaker takes no other",
                    "rename it to model.tar.gz",
                )
        elif head.startswith((b"PK\x03\x04", b"PK\x05\x06")):
            self.format = "zip"
            self._judge_zip(named_zip=name.endswith(".zip"))
        elif head.startswith(MAGIC) and not is_model(base) and not name.endswith(_ARCHIVES):
            self.format = "gguf"
            self.findings.add(misnamed(base, head, self.source.size))
        elif head.startswith(MAGIC):
            self.format = "gguf"
            self._add(
                "BareGGUF",
                "a bare GGUF, not packed into an archive",
                "a tar.gz that holds it",
                "pack it: sealift pack MODEL.gguf --output model.tar.gz",
            )
        else:
            content = recognize(head[:HEAD], base)
            self._add("NotAnArchive", content.what, "a tar.gz", content.fix or PACK)
        return head

    def attempt(self, work: Callable[[], None]) -> bool:
        """Do a part of the reading; return whether it went through, noting why when it did not."""
        try:
            work()
        except Unreadable as stop:
            self.findings.add(stop.problem)
            return False
        return True

    def open_zip(self) -> tuple[zips.Directory, dict[zips.ZipEntry, Sink | None]]:
        """Read a zip's directory and announce every entry; an entry that cannot be decoded gets no sink."""
        directory = zips.read_directory(self.source, self.rules)
        sinks: dict[zips.ZipEntry, Sink | None] = {}
        for entry in directory.entries:
            sink = self.census.enter(entry.utf8_name, entry.size, entry.kind)
            if self.attempt(partial(zips.check_entry, entry, self.rules)):
                sinks[entry] = sink
        self.complete = True
        return directory, sinks

    def read_gguf(self, head: bytes) -> None:
        """Read the header of a bare GGUF, so that a plan can be made of it all the same."""
        if not self.findings.has("BareGGUF"):
            return
        name = PurePosixPath(self.source.name).name
        sink = self.census.enter(name.encode(), self.source.size, "file")
        if companion_kind(name):
            self.findings.add(alone(name))
        if sink is not None:
            self.census.read_header(sink, self.source, head, self.budget)

    def report(self, *, sha256: str | None = None) -> ArchiveReport:
        """Settle the members and return everything that was found."""
        model = self.census.settle(complete=self.complete)
        return ArchiveReport(
            name=self.source.name,
            size=self.source.size,
            format=self.format,
            method=self._method,
            members=tuple(self.census.members),
            model=model,
            code=self.census.has_code(),
            extracted_bytes=sum(
                member.size
                for member in self.census.members
                if member.kind == "file" and not is_junk(member.path)
            ),
            complete=self.complete,
            problems=_true_ones(self.findings.all()),
            bytes_read=self.bytes_read,
            sha256=sha256,
            gzip_members=self.gzip_members,
            plain_bytes=self.plain_bytes,
            header_bytes=self.header_bytes,
            seam=self.seam,
            padding=self.padding,
            identity=self.source.identity,
            notes=self.census.notes(),
            unreached=self._unreached(model) if self.budget.spent else None,
        )

    def _unreached(self, model: FoundModel | None) -> Problem:
        """Return that the bound came before the model's header, as far as it was read."""
        what = (
            f"inside the header of {model.path!r}"
            if model
            else f"no model among {len(self.census.members)} members"
        )
        return self.budget.exceeded(
            what, "`sealift check` reads all of it; `sealift pack` puts the model first"
        )

    def _judge_zip(self, *, named_zip: bool) -> None:
        if not named_zip:
            self._add(
                "ZipMisnamed",
                f"a zip archive named {PurePosixPath(self.source.name).name!r}",
                "a tar.gz; renaming does not convert",
                f"{PACK}, or: unzip it and tar czf model.tar.gz *.gguf {ENTRY_POINT.split('/')[0]}",
            )
        elif not self.rules.zip_deployable:
            self._add(
                "ZipNotDeployable",
                "a zip archive",
                "a tar.gz: SageMaker takes nothing else",
                f"{PACK}, or: unzip it and tar czf model.tar.gz *.gguf {ENTRY_POINT.split('/')[0]}",
            )

    def _add(self, error: str, seen: str, wanted: str, fix: str) -> None:
        self.findings.add(Problem(error, seen, wanted, fix))


def _true_ones(problems: tuple[Problem, ...]) -> tuple[Problem, ...]:
    """Return the problems without those that another one explains: whose advice would not help, or only later."""
    errors = {problem.error for problem in problems}
    # Other bytes do not become an archive by another name, and a model that is wrong should not be packed.
    idle = {"ArchiveMisnamed"} if "NotATar" in errors else set()
    if errors - {"BareGGUF"}:
        idle.add("BareGGUF")
    return tuple(problem for problem in problems if problem.error not in idle)
