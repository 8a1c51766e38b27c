"""`sealift pack` and `sealift check`."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from time import monotonic
from typing import TYPE_CHECKING, Any

from pipeline import containers, documents, resources, settings
from pipeline.archive import acceptance
from pipeline.archive import pack as packing
from pipeline.archive.sources import FileSource, S3Source
from pipeline.aws import Clients, translated
from pipeline.cli.screen import Progress, Screen
from pipeline.errors import InvalidInput, Problem
from pipeline.limits import MiB
from pipeline.plain import plain

if TYPE_CHECKING:
    from pipeline.archive.pack import PackResult
    from pipeline.archive.report import ArchiveReport
    from pipeline.cli import Arguments


def pack(arguments: Arguments) -> int:
    """Make an archive from a model and the inference code; for `s3://`, pack beside the model and upload it."""
    screen = Screen(sys.stderr)
    begun = monotonic()
    if not arguments.output.startswith("s3://"):
        result = _packed(arguments, Path(arguments.output), screen)
    else:
        bucket, key = place(arguments.output)
        FileSource(arguments.model).close()
        with TemporaryDirectory(prefix=".sealift-", dir=arguments.model.parent) as folder:
            result = _packed(arguments, Path(folder) / "model.tar.gz", screen)
            _upload(result, bucket, key, screen)
    seconds = monotonic() - begun
    if arguments.json:
        document = {
            "path": arguments.output,
            "size": result.size,
            "sha256": result.sha256,
            "model": result.model.to_json(),
            "seconds": round(seconds, 3),
        }
        print(json.dumps(document, indent=2))
        return 0
    size = f"{result.size / MiB:,.1f} MiB"
    screen.say(f"{arguments.output}: {size}, {result.model.path} and code/, in {seconds:.1f} s")
    return 0


def _packed(arguments: Arguments, destination: Path, screen: Screen) -> PackResult:
    return packing.pack(
        arguments.model,
        destination,
        code=resources.code(),
        compress=arguments.compress,
        progress=Progress(screen, f"packing {arguments.model.name}"),
    )


def _upload(result: PackResult, bucket: str, key: str, screen: Screen) -> None:
    """Upload with the checksum by which CheckArchive can do without reading the archive again."""
    progress, sent = Progress(screen, "uploading"), 0

    def uploaded(count: int) -> None:
        nonlocal sent
        sent += count
        progress(sent, result.size)

    extra: dict[str, Any] = dict(acceptance.upload_arguments(result))
    with translated():
        Clients(region=settings.region()).s3.upload_file(
            str(result.path), bucket, key, ExtraArgs=extra, Callback=uploaded
        )


def check(arguments: Arguments) -> int:
    """Say whether an archive can become an endpoint."""
    screen = Screen(sys.stderr)
    begun = monotonic()
    with translated():
        report = acceptance.check(
            source_of(arguments.archive),
            rules=documents.archive_rules(
                documents.OWN_CODE, mend=arguments.mend, container=containers.DEFAULT.name
            ),
            progress=Progress(screen, "verifying"),
        )
    seconds = monotonic() - begun
    if arguments.json:
        print(json.dumps({**report.to_json(), "seconds": round(seconds, 3)}, indent=2))
    else:
        tell(report, seconds, Screen(sys.stdout))
    return 0 if report.verdict == "accepted" else 1


def source_of(archive: str) -> FileSource | S3Source:
    """Return the archive that a command line names: a file, or s3://bucket/key."""
    if not archive.startswith("s3://"):
        return FileSource(Path(archive))
    return S3Source(Clients(region=settings.region()).s3, *place(archive))


def place(url: str) -> tuple[str, str]:
    """Return bucket and key of an s3:// URL."""
    bucket, _, key = url.removeprefix("s3://").partition("/")
    if not bucket or not key:
        seen = Problem("WrongValue", repr(url), "s3://bucket/key", "name the bucket and the key")
        raise InvalidInput("archive", [seen])
    return bucket, key


def tell(report: ArchiveReport, seconds: float, screen: Screen) -> None:
    """Say what was found of an archive, each problem in its four parts."""
    read = f"{report.bytes_read / MiB:,.1f} of {report.size / MiB:,.1f} MiB read in {seconds:.1f} s"
    screen.say(f"{plain(report.name)}: {report.verdict} ({report.format}, {report.method}, {read})")
    if report.model is not None and report.model.header is not None:
        header = report.model.header
        kind = f"{plain(header.architecture)}, {header.quantization}, GGUF v{header.version}"
        screen.say(f"  model         {plain(report.model.path)}: {kind}")
        screen.say(f"  parameters    {header.parameter_count:,} in {len(header.tensors)} tensors")
        screen.say(f"  context       {header.context_length} tokens")
    for note in report.notes:
        screen.say(f"  note          {note}")
    for problem in report.problems:
        screen.say(f"  {problem.error}")
        screen.say(f"    seen        {problem.seen}")
        screen.say(f"    wanted      {problem.wanted}")
        screen.say(f"    fix         {problem.fix}")
