"""A model's bytes from S3 into a layer on its way to ECR, within a bounded time.

Owns the passage: members of an archive, or files as they are, into a `LayerStream`, and its parts into a `LayerUpload`.
A few parts are in memory at once. Refuses to begin an upload and to remember one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pipeline.archive.build import transcode
from pipeline.archive.checks.members import placed
from pipeline.archive.checks.report import Kind, Unreadable
from pipeline.archive.s3.readahead import read_ahead
from pipeline.errors import InvalidArchive
from pipeline.state_data.image_types import MadeLayer

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from pipeline.archive.checks.report import ArchiveReport
    from pipeline.archive.checks.rules import Rules
    from pipeline.archive.formats.deflate import Buffer
    from pipeline.archive.s3.sources import S3Source
    from pipeline.image.layer_upload import LayerUpload
    from pipeline.image.model_layer import LayerFile, LayerStream


class OutOfTime(Exception):
    """The time is over before the layer is whole: whoever called comes again."""


class LayerFeed:
    """Takes the bytes of one file after the other, and sends what is complete."""

    def __init__(
        self,
        stream: LayerStream,
        upload: LayerUpload,
        *,
        in_time: Callable[[], bool],
        progress: Callable[[int, int], None],
    ) -> None:
        self._stream = stream
        self._upload = upload
        self._in_time = in_time
        self._progress = progress

    def begin(self, name: str) -> None:
        """Begin a file, by its name in the layer."""
        self._stream.begin(name)

    def write(self, data: Buffer) -> None:
        """Take the file's next bytes.

        Raises:
            OutOfTime: the time is over.
        """
        self._stream.write(data)
        self._send()
        if not self._in_time():
            raise OutOfTime

    def finish(self) -> MadeLayer:
        """Send what is left; return the layer, all of which ECR has then."""
        self._stream.finish()
        self._send()
        self._upload.settle()
        return MadeLayer(self._stream.digest, self._stream.diff_id, self._stream.length)

    def _send(self) -> None:
        for part in self._stream.take():
            self._upload.send(part)
        self._progress(self._stream.position, self._stream.length)


def feed_files(sources: Sequence[S3Source], files: Sequence[LayerFile], feed: LayerFeed) -> None:
    """Feed a model's files, which lie in S3 as they are."""
    for source, file in zip(sources, files, strict=True):
        feed.begin(file.name)
        for piece in read_ahead(source):
            feed.write(piece)


def feed_archive(
    source: S3Source, report: ArchiveReport, files: Mapping[str, LayerFile], feed: LayerFeed, rules: Rules
) -> None:
    """Feed the files of a model that lie in an archive, by their paths in it; what else is there passes by.

    Raises:
        InvalidArchive: it turned out to be damaged since it was checked.
    """
    try:
        transcode.pass_by(source, report, _WantedMembers(files, feed, rules), rules)
    except Unreadable as stop:
        raise InvalidArchive(source.name, [stop.problem]) from stop


class _WantedMembers:
    """Hands the wanted members' data on as they pass by."""

    def __init__(self, files: Mapping[str, LayerFile], feed: LayerFeed, rules: Rules) -> None:
        self._files = files
        self._feed = feed
        self._rules = rules

    def enter(
        self, name: bytes, size: int, kind: Kind, at: int | None = None, mode: int | None = None
    ) -> _Member | None:
        del size, at, mode  # the layer has its own
        path, _ = placed(name, self._rules)
        if kind != "file" or path not in self._files:
            return None
        self._feed.begin(self._files[path].name)
        return _Member(self._feed)


class _Member:
    def __init__(self, feed: LayerFeed) -> None:
        self._feed = feed

    def write(self, data: Buffer) -> None:
        self._feed.write(data)

    def close(self) -> None:
        pass  # the layer knows where a file ends
