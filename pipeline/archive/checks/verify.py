"""The whole archive, once: every member seen, every checksum and length compared.

Owns the full pass, in constant memory whatever the size. It refuses to keep anything but headers: data is
looked at as it passes by.
"""

from __future__ import annotations

import hashlib
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from functools import partial
from typing import TYPE_CHECKING, Final, Self

from pipeline.archive.checks.rules import Rules
from pipeline.archive.checks.survey import Survey
from pipeline.archive.formats import zips
from pipeline.archive.formats.gzips import GzipDecoder
from pipeline.archive.formats.tars import TarReader
from pipeline.archive.s3.readahead import read_ahead

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator
    from concurrent.futures import Future

    from pipeline.archive.checks.members import Sink
    from pipeline.archive.checks.report import ArchiveReport
    from pipeline.archive.s3.sources import Source

    Progress = Callable[[int, int], None]

_HASHING: Final = 2
"""Pieces that may still be hashed when the next one is decoded."""


def verify(source: Source, *, rules: Rules | None = None, progress: Progress | None = None) -> ArchiveReport:
    """Return what a pass over the whole archive tells; `progress` is called with bytes done and in all."""
    survey = Survey(source, rules or Rules(), "verify")
    head = survey.begin()
    sha256: str | None = None
    if survey.format in {"tar.gz", "zip"}:
        work = _pass_over_tar if survey.format == "tar.gz" else _pass_over_zip
        with _Passage(source, progress) as passage:
            if survey.attempt(partial(work, survey, passage)):
                sha256 = passage.sha256()
    elif survey.format == "gguf":
        survey.attempt(partial(survey.read_gguf, head))
    return survey.report(sha256=sha256)


def _pass_over_tar(survey: Survey, passage: _Passage) -> None:
    decoder = GzipDecoder(survey.rules)
    reader = TarReader(survey.census, survey.rules)
    for piece in passage.pieces():
        for plain in decoder.feed(piece):
            survey.gzip_members = decoder.members
            reader.feed(plain)
    decoder.finish()
    reader.finish()
    survey.complete = True
    survey.plain_bytes = decoder.plain_bytes
    survey.padding = decoder.padding
    survey.header_bytes = decoder.header_bytes
    survey.seam = decoder.seam


def _pass_over_zip(survey: Survey, passage: _Passage) -> None:
    _, sinks = survey.open_zip()
    for entry, sink in sinks.items():
        passage.skip_to(entry.offset)
        survey.attempt(partial(_pass_over_entry, passage, survey.rules, entry, sink))
    passage.skip_to(survey.source.size)


def _pass_over_entry(passage: _Passage, rules: Rules, entry: zips.ZipEntry, sink: Sink | None) -> None:
    header = passage.take(zips.local_bytes(entry))
    start = zips.data_start(header, entry)
    zips.check_local_extra(header, passage.take(start - entry.offset - len(header)), entry)
    decoder = zips.EntryDecoder(entry, rules)
    for piece in passage.through(entry.compressed):
        for plain in decoder.feed(piece):
            if sink is not None:
                sink.write(plain)
    decoder.finish()
    zips.check_rest(passage.take(zips.rest_bytes(start, entry)), entry)
    if sink is not None:
        sink.close()


class _Passage:
    """Reads a source from its first byte to its last, hashing all of it on another core."""

    def __init__(self, source: Source, progress: Progress | None) -> None:
        self._source = source
        self._progress = progress
        self._hash = hashlib.sha256()
        self._hashing: deque[Future[None]] = deque()
        self._hasher = ThreadPoolExecutor(1, "sha256")
        self._pieces = self.pieces()
        self._position = 0
        self._held = memoryview(b"")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._pieces.close()
        self._hasher.shutdown(cancel_futures=True)

    def sha256(self) -> str:
        """Return the digest of what has passed."""
        self._settle(0)
        return self._hash.hexdigest()

    def pieces(self) -> Generator[bytes, None, None]:
        """Yield all of it in pieces."""
        done = 0
        with closing(read_ahead(self._source)) as ahead:
            for piece in ahead:
                self._hashing.append(self._hasher.submit(self._hash.update, piece))
                yield piece
                self._settle(_HASHING)
                done += len(piece)
                if self._progress is not None:
                    self._progress(done, self._source.size)

    def take(self, count: int) -> bytes:
        """Return the next bytes; fewer at the end."""
        return b"".join(self.through(count))

    def skip_to(self, offset: int) -> None:
        """Pass over everything before `offset`."""
        for _ in self.through(offset - self._position):
            pass

    def through(self, count: int) -> Iterator[bytes]:
        """Yield the next `count` bytes in pieces; fewer at the end."""
        while count > 0:
            if not self._held:
                piece = next(self._pieces, None)
                if piece is None:
                    return
                self._held = memoryview(piece)
            taken = self._held[:count]
            self._held = self._held[len(taken) :]
            self._position += len(taken)
            count -= len(taken)
            yield bytes(taken)

    def _settle(self, most: int) -> None:
        while len(self._hashing) > most:
            self._hashing.popleft().result()
