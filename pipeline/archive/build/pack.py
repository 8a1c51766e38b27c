"""A model and its code, packed into the tar.gz that an endpoint unpacks.

Owns the bytes of our own archives: one gzip member, first the GGUF files at the root in stored blocks (quantised
weights do not compress), so that the model's header is among the first bytes, then ``code/``, deflated; equal bytes for
equal content. What is loaded beside a model lies before it: whoever looks for the model's header has seen it then. It
refuses what would not deploy before it writes a byte, and never leaves a half-written file under the final name.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import secrets
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Final, Protocol, Self

from inference import sealift_models as models
from pipeline.archive.build.parts import (
    CodePart,
    archive_end,
    code_part,
    padding,
    stored_seam,
    tar_header,
)
from pipeline.archive.checks.lookalikes import HEAD_BYTES, misnamed
from pipeline.archive.checks.members import Census, is_junk
from pipeline.archive.checks.report import Findings, FoundModel, Unreadable
from pipeline.archive.checks.rules import Rules
from pipeline.archive.formats import deflate
from pipeline.archive.formats.deflate import STORED_HEADER_BYTES, STORED_MAX
from pipeline.archive.s3.sources import FileSource
from pipeline.errors import InvalidArchive, Problem
from pipeline.limits import MiB

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from concurrent.futures import Future
    from typing import BinaryIO

    from pipeline.archive.build.seams import Seam
    from pipeline.archive.formats.deflate import Buffer

    Progress = Callable[[int, int], None]

_BATCH_BLOCKS: Final = 16
"""Of 64 KiB: what was read must still be in the processor's cache when it is summed and written."""
_BATCHES: Final = 4
_SLOT: Final = STORED_HEADER_BYTES + STORED_MAX
_READ_BYTES: Final = MiB
_BLOCK_HEADER: Final = deflate.stored_header(STORED_MAX)


@dataclass(frozen=True, slots=True)
class PackResult:
    """What was written."""

    path: Path
    size: int
    sha256: str | None
    """Of the file; None when it was not asked for."""
    crc32: int
    """Of the file's plain content, as in its trailer."""
    file_crc32: int
    """Of the file itself, as S3 computes it over the whole object."""
    plain_size: int
    """Bytes of the tar."""
    extracted_bytes: int
    """Bytes of all files in it."""
    model: FoundModel
    seam: Seam


def pack(
    model: Path,
    destination: Path,
    *,
    code: Mapping[str, bytes | Path],
    beside: Sequence[tuple[str, Path]] = (),
    compress: int = 0,
    progress: Progress | None = None,
    rules: Rules | None = None,
    digest: bool = True,
) -> PackResult:
    """Write the archive of a model (its GGUF, or the first of its shards) and return what was written.

    Args:
        model: the GGUF file; the other shards are found beside it.
        destination: the archive to write; replaced only when everything has gone well.
        code: what goes under ``code/``: path in the archive to content, or to the file that holds it.
        beside: what is loaded beside the model: one of `sealift_models.COMPANIONS`, and the file. One whose name does
            not say so is named anew.
        compress: deflate level of the model, 1 to 9; 0 stores it, at nearly the speed of copying.
        progress: called with the bytes of model packed so far, and in all.
        rules: what the archive must satisfy.
        digest: whether to compute the SHA-256 of the file as it is written; it takes longer than the writing.

    Raises:
        InvalidArchive: the archive would not deploy.
    """
    rules = rules or Rules()
    for path in (model, *(path for _, path in beside)):
        require_model_name(path)
    files = files_of(model, beside)
    contents = {path: _content(code[path]) for path in sorted(code) if not is_junk(path)}
    found = _judged(model, files, contents, destination, rules)
    temporary = destination.with_name(f".{destination.name}.{secrets.token_hex(4)}.part")
    try:
        with temporary.open("x+b", buffering=0) as file, _Output(file, digest=digest) as output:
            seam = _write(output, files, code_part(contents), compress, progress)
        temporary.replace(destination)
    except BaseException as error:
        if isinstance(error, OSError) and error.filename in {None, str(temporary)}:
            # Nobody knows it by the name that it has meanwhile.
            error.filename, error.filename2 = str(destination), None
        # Also when the user gives up: a part of an archive is of no use to anybody.
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)
        raise
    return PackResult(
        path=destination,
        size=output.size,
        sha256=output.sha256,
        crc32=output.crc,
        file_crc32=output.file_crc,
        plain_size=output.plain_size,
        extracted_bytes=found.size
        + sum(one.size for one in found.companions)
        + sum(len(content) for content in contents.values()),
        model=found,
        seam=seam,
    )


# -- gather and judge


def require_model_name(model: Path) -> None:
    """Raise InvalidArchive with what a file is that is not called like a model."""
    if models.is_model(model.name) and not model.with_name(f"{model.name}.aria2").exists():
        return
    with FileSource(model) as source:
        name = model.name if not models.is_model(model.name) else f"{model.name}.aria2"
        raise InvalidArchive(str(model), [misnamed(name, source.read(0, HEAD_BYTES), source.size)])


def _shards_of(model: Path) -> list[Path]:
    # What is missing is named by the census, together with everything else that is wrong.
    beside = [model.with_name(name) for name in models.shard_names(model.name)]
    return [path for path in beside if path.is_file()] or [model]


def files_of(model: Path, beside: Sequence[tuple[str, Path]]) -> list[tuple[str, Path]]:
    """Return all GGUF files by their names in the archive, in their order."""
    named = [(models.companion_name(kind, path.name), path) for kind, path in beside]
    return [*sorted(named), *((path.name, path) for path in _shards_of(model))]


def _content(content: bytes | Path) -> bytes:
    return content.read_bytes() if isinstance(content, Path) else content


def _judged(
    model: Path, files: list[tuple[str, Path]], code: Mapping[str, bytes], destination: Path, rules: Rules
) -> FoundModel:
    findings = Findings()
    census = Census(rules, findings)
    if not destination.name.endswith(".tar.gz"):
        findings.add(
            Problem(
                "ArchiveMisnamed",
                f"an archive to be named {destination.name!r}",
                "a name that ends in '.tar.gz': SageMaker takes no other",
                "name it model.tar.gz",
            )
        )
    try:
        for path, content in code.items():
            census.enter(path.encode("utf-8", "surrogateescape"), len(content), "file")
            if not path.startswith("code/"):
                findings.add(
                    Problem(
                        "CodeMisplaced", f"code under {path!r}", "paths that begin with 'code/'", "move it"
                    )
                )
        for name, file in files:
            _read_header(name, file, census, rules)
    except Unreadable as stop:
        findings.add(stop.problem)
    found = census.settle(complete=True)
    problems = findings.all()
    if problems or found is None:
        raise InvalidArchive(str(model), problems)
    return found


def _read_header(name: str, path: Path, census: Census, rules: Rules) -> None:
    with FileSource(path) as source:
        sink = census.enter(os.fsencode(name), source.size, "file")
        at = 0
        while sink is not None and census.awaits(sink):
            piece = source.read(at, _READ_BYTES)
            if not piece:
                sink.close()
                break
            sink.write(piece)
            at += len(piece)
    if source.size > rules.max_archive_bytes:
        census.findings.add(
            Problem(
                "ArchiveTooLarge",
                f"{name!r} has {source.size} bytes",
                f"at most {rules.max_archive_bytes} bytes",
                "use a smaller model or a stronger quantisation",
            )
        )


# -- write


def _write(
    output: _Output,
    files: list[tuple[str, Path]],
    code: CodePart,
    compress: int,
    progress: Progress | None,
) -> Seam:
    sized = [(name, path, path.stat().st_size) for name, path in files]
    behind = archive_end(code)
    # As `_Stored` cuts it; how long it is when it is deflated shows afterwards.
    seam = noted = stored_seam([(name, size) for name, _, size in sized], behind)
    output.write(deflate.gzip_header(seam.to_extra()))
    body: _ModelBody = _Deflated(output, compress) if compress else _Stored(output)
    ticker = _Ticker(sum(size for _, _, size in sized), progress)
    for name, path, size in sized:
        with path.open("rb", buffering=0) as file:
            body.add(tar_header(name, size))
            left = size
            for taken in body.copy(file, size):
                left -= taken
                ticker.tick(taken)
            if left:
                raise InvalidArchive(str(path), [_changed(path, size - left, size)])
            body.add(padding(size))
    body.end()
    seam = replace(seam, offset=output.size)
    output.write(behind.deflated)
    output.add_plain(behind.plain_length, behind.crc)
    output.write(deflate.gzip_trailer(output.crc, output.plain_size))
    if seam != noted:
        output.replace_head(deflate.gzip_header(seam.to_extra()))
    return seam


def _changed(path: Path, read: int, size: int) -> Problem:
    return Problem(
        "ModelChanged",
        f"{path.name!r} ended after {read} bytes",
        f"{size} bytes, as when the packing began",
        "pack again when nobody writes to it",
    )


class _Ticker:
    def __init__(self, total: int, progress: Progress | None) -> None:
        self._total = total
        self._done = 0
        self._progress = progress

    def tick(self, count: int) -> None:
        self._done += count
        if self._progress is not None:
            self._progress(self._done, self._total)


class _Output:
    """The archive being written: counts, checksums, and a hash that runs beside the writing."""

    def __init__(self, file: BinaryIO, *, digest: bool) -> None:
        self.size = 0
        self.file_crc = 0
        self.crc = 0
        self.plain_size = 0
        self.sha256: str | None = None
        self._file = file
        self._hash = hashlib.sha256() if digest else None
        self._hashing: deque[Future[None]] = deque()
        self._worker = ThreadPoolExecutor(1, "sha256")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        self._worker.shutdown(cancel_futures=kind is not None)
        if self._hash is not None:
            self.sha256 = self._hash.hexdigest()

    def add_plain(self, length: int, crc: int) -> None:
        """Take over the facts of plain bytes whose compressed form was there already."""
        self.crc = deflate.crc32_combine(self.crc, crc, length)
        self.plain_size += length

    def replace_head(self, head: bytes) -> None:
        """Write other bytes over the first ones, when all have been written."""
        self._file.seek(0)
        length = self.size - len(head)
        old = self._file.read(len(head))
        rest = deflate.crc32_rest(self.file_crc, deflate.crc32(old), length)
        self.file_crc = deflate.crc32_combine(deflate.crc32(head), rest, length)
        self._file.seek(0)
        self._file.write(head)
        if self._hash is not None:
            # What was hashed on its way is another file.
            while self._hashing:
                self._hashing.popleft().result()
            self._file.seek(0)
            self._hash = hashlib.sha256()
            while piece := self._file.read(_READ_BYTES):
                self._hash.update(piece)

    def count_plain(self, data: Buffer) -> None:
        """Take note of plain bytes whose compressed form is being written."""
        self.crc = deflate.crc32(data, self.crc)
        self.plain_size += len(data)

    def write(self, data: Buffer) -> None:
        """Write compressed bytes."""
        self.file_crc = deflate.crc32(data, self.file_crc)
        self._put(data)

    def write_slots(self, view: memoryview, slots: list[memoryview]) -> None:
        """Write full stored blocks; the buffer must stay as it is for the next few calls.

        Both checksums, of the file and of its plain content, come from one look at the data.
        """
        for slot in slots:
            crc = deflate.crc32(slot)
            self.crc = deflate.crc32_combine(self.crc, crc, STORED_MAX)
            headed = deflate.crc32(_BLOCK_HEADER, self.file_crc)
            self.file_crc = deflate.crc32_combine(headed, crc, STORED_MAX)
        self.plain_size += STORED_MAX * len(slots)
        self._put(view)

    def _put(self, data: Buffer) -> None:
        if self._hash is not None and data:
            self._hashing.append(self._worker.submit(self._hash.update, data))
        view = memoryview(data)
        while view:
            written = self._file.write(view)
            self.size += written
            view = view[written:]
        while len(self._hashing) >= _BATCHES:
            self._hashing.popleft().result()


class _ModelBody(Protocol):
    """The model's part of the stream."""

    def add(self, data: bytes) -> None:
        """Append a few plain bytes."""

    def copy(self, file: BinaryIO, size: int) -> Iterator[int]:
        """Append `size` bytes of a file, yielding how many were taken at each step."""

    def end(self) -> None:
        """Close the last block, at a byte boundary, so that another stream may follow."""


class _Deflated:
    """The model deflated, for those who want it."""

    def __init__(self, output: _Output, level: int) -> None:
        self._output = output
        self._encoder = deflate.deflater(level)

    def add(self, data: bytes) -> None:
        self._output.count_plain(data)
        self._output.write(self._encoder.compress(data))

    def copy(self, file: BinaryIO, size: int) -> Iterator[int]:
        while size > 0:
            piece = file.read(min(size, _READ_BYTES))
            if not piece:
                return
            self.add(piece)
            size -= len(piece)
            yield len(piece)

    def end(self) -> None:
        self._output.write(self._encoder.flush(deflate.FULL_FLUSH))


class _Stored:
    """The model in stored blocks.

    Files are read straight into buffers that already hold the blocks' headers, so the bytes are touched twice
    only: by the checksum and by the write.
    """

    def __init__(self, output: _Output) -> None:
        self._output = output
        batch = (_BLOCK_HEADER + bytes(STORED_MAX)) * _BATCH_BLOCKS
        # As many buffers as may still be hashed, and one to fill.
        self._buffers = deque(bytearray(batch) for _ in range(_BATCHES))

    def add(self, data: bytes) -> None:
        if data:
            self._output.count_plain(data)
            self._output.write(b"".join(deflate.stored(data)))

    def copy(self, file: BinaryIO, size: int) -> Iterator[int]:
        while size >= STORED_MAX:
            blocks = min(size // STORED_MAX, _BATCH_BLOCKS)
            buffer = self._buffers[0]
            self._buffers.rotate(-1)
            view = memoryview(buffer)[: blocks * _SLOT]
            slots = [view[at + STORED_HEADER_BYTES : at + _SLOT] for at in range(0, len(view), _SLOT)]
            if not _fill(file, slots):
                return
            self._output.write_slots(view, slots)
            size -= blocks * STORED_MAX
            yield blocks * STORED_MAX
        rest = file.read(size)
        self.add(rest)
        yield len(rest)

    def end(self) -> None:
        pass  # every block is closed when it is written


def _fill(file: BinaryIO, slots: list[memoryview]) -> bool:
    """Read a file's next bytes into all the slots; return whether there were enough."""
    read = os.readv(file.fileno(), slots)
    for slot in slots:
        there = min(read, len(slot))
        read -= there
        while there < len(slot):
            # A short read: the file's end, or a signal.
            more = os.readv(file.fileno(), [slot[there:]])
            if not more:
                return False
            there += more
    return True
