"""`sealift pack` and `sealift check`."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from time import monotonic
from typing import TYPE_CHECKING, Any

from inference import sealift_models as models
from pipeline import package_files, schema, settings
from pipeline.archive.build import pack as packing
from pipeline.archive.checks import checksum
from pipeline.archive.s3 import bare, split_models
from pipeline.archive.s3.sources import FileSource, S3Source
from pipeline.aws.clients import Clients
from pipeline.aws.service_errors import translated
from pipeline.cli import suite_upload
from pipeline.cli.endings import Misuse
from pipeline.cli.screen import Progress, Screen
from pipeline.errors import ArchiveNotFound, Problem
from pipeline.gguf.header import MAGIC
from pipeline.limits import MiB
from pipeline.operations.checklist import Mark
from pipeline.planning import archive_rules
from pipeline.quality import suite
from pipeline.sizing import images

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from pipeline.archive.build.pack import PackResult
    from pipeline.archive.checks.report import ArchiveReport
    from pipeline.cli.options import CheckOptions, PackOptions


def pack(arguments: PackOptions) -> int:
    """Make an archive from a model and the inference code; for `s3://`, pack beside the model and upload it."""
    screen = Screen(sys.stderr, quiet=arguments.quiet)
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
    files = ", ".join([result.model.path, *(one.path for one in result.model.companions)])
    screen.say(f"{arguments.output}: {size}, {files} and code/, in {seconds:.1f} s")
    return 0


def _packed(arguments: PackOptions, destination: Path, screen: Screen) -> PackResult:
    return packing.pack(
        arguments.model,
        destination,
        code=package_files.code(),
        beside=_beside(arguments),
        compress=arguments.compress,
        progress=Progress(screen, f"packing {arguments.model.name}"),
    )


def _beside(arguments: PackOptions) -> list[tuple[str, Path]]:
    return [
        *((models.PROJECTOR, one) for one in (arguments.mmproj,) if one is not None),
        *((models.LORA, one) for one in arguments.lora),
        *((models.DRAFT, one) for one in (arguments.draft,) if one is not None),
    ]


def _upload(result: PackResult, bucket: str, key: str, screen: Screen) -> None:
    """Upload with the checksum by which CheckArchive can do without reading the archive again."""
    progress, sent = Progress(screen, "uploading"), 0

    def uploaded(count: int) -> None:
        nonlocal sent
        sent += count
        progress(sent, result.size)

    extra: dict[str, Any] = dict(checksum.upload_arguments(result))
    with translated():
        Clients(region=settings.region()).s3.upload_file(
            str(result.path), bucket, key, ExtraArgs=extra, Callback=uploaded
        )


def check(arguments: CheckOptions) -> int:
    """Say whether an archive can become an endpoint, or whether a suite of cases is right."""
    if len(arguments.files) == 1 and arguments.files[0].endswith(suite.SUFFIX):
        return _suite(Path(arguments.files[0]), as_json=arguments.json)
    screen = Screen(sys.stderr, quiet=arguments.quiet)
    begun = monotonic()
    report = check_files(
        arguments.files, relocate_model=arguments.relocate_model, progress=Progress(screen, "verifying")
    )
    seconds = monotonic() - begun
    if arguments.json:
        print(json.dumps({**report.to_json(), "seconds": round(seconds, 3)}, indent=2))
    else:
        tell(report, seconds, Screen(sys.stdout))
    return 0 if report.verdict == "accepted" else 1


def _suite(path: Path, *, as_json: bool) -> int:
    """Say whether a suite is right by itself; which model it is for is not known here.

    Raises:
        InvalidInput: with every mistake, each with its line.
    """
    cases = suite.parse(suite_upload.content(path), str(path)).cases
    if as_json:
        print(json.dumps({"verdict": "accepted", "path": str(path), "cases": len(cases)}, indent=2))
    else:
        Screen(sys.stdout).say(f"{path}: {len(cases)} case{'s' * (len(cases) != 1)}", mark=Mark.DONE)
    return 0


def check_files(
    names: Sequence[str], *, relocate_model: bool, progress: Callable[[int, int], None] | None = None
) -> ArchiveReport:
    """Return the report on an archive, or on the files of a split model that is none.

    Args:
        names: as `named` takes them.
        relocate_model: whether a model in a directory is moved to the root.
        progress: called with the bytes read so far, and in all.

    Raises:
        SealiftError: a file could not be read, or AWS refused.
    """
    with translated():
        files = named(names)
        rules = replace(
            archive_rules.archive_rules(
                images.OWN_CODE, relocate_model=relocate_model, container=images.DEFAULT.name
            ),
            # Which container it is for is not known yet: `tell` says which are left.
            companions=True,
        )
        if len(files) > 1 or split_models.is_shard(files[0].name):
            return bare.unpacked(files, rules=rules)
        return checksum.check(files[0], rules=rules, progress=progress)


def source_of(archive: str) -> FileSource | S3Source:
    """Return the archive that a command line names: a file, or s3://bucket/key."""
    if not archive.startswith("s3://"):
        return FileSource(Path(archive))
    return S3Source(Clients(region=settings.region()).s3, *place(archive))


def named(archives: Sequence[str]) -> tuple[FileSource | S3Source, ...]:
    """Return the files that a command line names: an archive or a model, with all shards that lie beside a split one.

    Args:
        archives: one name; or several, all of which are shards of one model, or lie beside it by their names; or a
            folder that holds one model.

    Raises:
        ArchiveNotFound, AccessDenied: there is no such file, none of the shards is there, or it may not be read.
        Misuse: they are not one model.
    """
    given = [path for one in archives for path in _in_folder(one)]
    beside = [one for one in given if models.companion_kind(one)]
    first, *others = [one for one in given if one not in beside] or beside[:1]
    wanted = split_models.shard_names(first)
    if strangers := [one for one in others if one not in wanted]:
        seen = f"{len(archives)} files, {strangers[0]!r} among them, which is no shard of {first!r}'s model"
        fix = f"run the command once for each; what lies beside a model is named {models.COMPANION_NAMES}"
        raise Misuse("command line", [Problem("SeveralArchives", seen, "one archive or one model", fix)])
    companions = [source_of(one) for one in dict.fromkeys(beside) if one != first]
    if not split_models.is_shard(first):
        return (source_of(first), *companions)
    found: list[FileSource | S3Source] = []
    for one in wanted:
        # One that was named must be there; the others are missing then, which is told of the model as a whole.
        try:
            found.append(source_of(one))
        except ArchiveNotFound:
            if one in {first, *others}:
                raise
    return (*found, *companions)


def _in_folder(name: str) -> list[str]:
    """Return the one model at the root of a folder, and what lies beside it; any other name as it is."""
    if name.startswith("s3://") or not Path(name).is_dir():
        return [name]
    paths = [str(one) for one in sorted(Path(name).iterdir()) if models.is_model(one.name) and one.is_file()]
    beside = [path for path in paths if models.companion_kind(path)]
    groups = models.models(path for path in paths if path not in beside)
    if len(groups) != 1:
        return [name]
    with FileSource(Path(groups[0][0])) as source:
        # What only stands for a model is told as what it is, with the folder that it lies in.
        return [source.name, *beside] if source.read(0, len(MAGIC)) == MAGIC else [name]


def place(url: str) -> tuple[str, str]:
    """Return bucket and key of an s3:// URL."""
    bucket, _, key = url.removeprefix("s3://").partition("/")
    if not bucket or not key:
        seen = Problem("WrongValue", repr(url), "s3://bucket/key", "name the bucket and the key")
        raise Misuse("archive", [seen])
    if not schema.is_whole(url):
        raise Misuse("archive", [schema.half(url, "the place")])
    return bucket, key


def tell(report: ArchiveReport, seconds: float, screen: Screen) -> None:
    """Say what was found of an archive, each problem in its four parts."""
    read = f"{report.bytes_read / MiB:,.1f} of {report.size / MiB:,.1f} MiB read in {seconds:.1f} s"
    screen.say(f"{report.name}: {report.verdict} ({report.format}, {report.method}, {read})")
    if report.model is not None and report.model.header is not None:
        header = report.model.header
        kind = f"{header.architecture}, {header.quantization}, GGUF v{header.version}"
        screen.say(f"  model         {report.model.path}: {kind}")
        model = report.model
        screen.say(f"  parameters    {model.parameter_count:,} in {model.tensor_count} tensors{model.pieces}")
        screen.say(f"  context       {header.context_length} tokens")
    if report.model is not None and report.model.companions:
        loads = " or ".join(name for name, profile in images.PROFILES.items() if profile.companions)
        for one in report.model.companions:
            screen.say(f"  beside it     {one.path}: {models.COMPANIONS[one.kind]}; in container {loads}")
    for note in report.notes:
        screen.say(f"  note          {note}")
    for problem in report.problems:
        screen.say(f"  {problem.error}")
        screen.say(f"    seen        {problem.seen}")
        screen.say(f"    wanted      {problem.wanted}")
        screen.say(f"    fix         {problem.fix}")
