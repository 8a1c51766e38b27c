"""The archive engine against tar, gzip, pigz, cp, sha256sum, Python's tarfile and the SageMaker SDK, side by side.

    python benchmarks/bench_archive.py [--gib 1] [--large-gib 4] [--rounds 3] [--repack-python PATH] [--json PATH]

Each round runs every contender once, so that a busy machine disturbs all alike; medians are compared. The model
is random weights quantised as llama.cpp's Q8_0 does, because real weights compress as badly. Everything runs in a
process of its own, start-up included, and the peak of its memory is what the kernel reports (ru_maxrss).
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import random
import shutil
import statistics
import struct
import subprocess
import sys
import tempfile
import time
import zipfile
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

ROOT: Final = Path(__file__).parent.parent
INFERENCE: Final = ROOT / "inference"
MIB: Final = 1 << 20
GIB: Final = 1 << 30
CREDENTIALS: Final = {"aws_access_key_id": "local", "aws_secret_access_key": "local"}
OLD_CODE: Final = {"code/inference.py": b"pass\n"}

PACK: Final = """
import sys
from pathlib import Path
from pipeline.archive.build.pack import pack
pack(Path(sys.argv[1]), Path(sys.argv[2]), code={"code/inference.py": b"pass\\n"}, digest=len(sys.argv) > 3)
"""
VERIFY: Final = """
import sys
from pathlib import Path
from pipeline.archive.s3.sources import FileSource
from pipeline.archive.checks.verify import verify
assert verify(FileSource(Path(sys.argv[1]))).verdict == "accepted"
"""
INFLATE: Final = """
import sys
from isal import igzip_lib
decoder = igzip_lib.IgzipDecompressor(igzip_lib.DECOMP_GZIP)
with open(sys.argv[1], "rb", buffering=0) as file:
    while piece := file.read(256 << 10):
        decoder.decompress(piece, 1 << 20)
assert decoder.eof
"""
REFUSE: Final = """
import sys
from pathlib import Path
from pipeline.archive.checks.inspect import inspect
from pipeline.archive.s3.sources import FileSource
report = inspect(FileSource(Path(sys.argv[1])))
assert [problem.error for problem in report.problems] == ["ModelNotAtRoot"]
"""
RECORD: Final = """
import json, sys
from pathlib import Path
from pipeline.archive.build import record
from pipeline.archive.checks.rules import Rules
from pipeline.archive.s3.sources import FileSource
from pipeline.archive.checks.verify import verify
report = verify(FileSource(Path(sys.argv[1])), rules=Rules(zip_deployable=True))
Path(sys.argv[2]).write_text(json.dumps(record.write(report)))
"""
ASSEMBLE: Final = """
import json, sys
from pathlib import Path
import boto3
from pipeline import package_files
from pipeline.archive.build import record
from pipeline.archive.build.assembly import assemble, decide
from pipeline.archive.s3.sources import S3Source
url, key, report, way = sys.argv[1:]
client = boto3.client(
    "s3", endpoint_url=url, region_name="us-east-1", aws_access_key_id="local", aws_secret_access_key="local"
)
report = record.read(json.loads(Path(report).read_text()))
source = S3Source(client, "uploads", key)
code = package_files.code_contents()
decision = decide(report, code, bucket="artifacts")
assemble(client, source, report, code, decision)
assert decision.choice.way == way, decision.choice
"""
REPACK: Final = """
import sys, types
from sagemaker.utils import repack_model
code, old, new = sys.argv[1:]
repack_model("inference.py", code, [], f"file://{old}", f"file://{new}", types.SimpleNamespace(settings=None))
"""
# A process inherits its parent's peak memory: it needs a parent that is small.
LAUNCH: Final = """
import os, sys, time
begun = time.perf_counter()
pid = os.posix_spawnp(sys.argv[2], sys.argv[2:], os.environ)
_, status, usage = os.wait4(pid, 0)
with open(sys.argv[1], "w") as file:
    print(time.perf_counter() - begun, usage.ru_maxrss, os.waitstatus_to_exitcode(status), file=file)
"""
EXTRACT: Final = """
import sys, tarfile
with tarfile.open(sys.argv[1]) as tar:
    tar.extractall(sys.argv[2])
"""
LIST: Final = """
import sys, tarfile
with tarfile.open(sys.argv[1]) as tar:
    tar.getmembers()
"""


@dataclass
class Contender:
    """One way to do some work: the command, and what it took."""

    name: str
    command: list[str]
    rounds: int | None = None
    """At most so often; for what takes minutes."""
    before: Callable[[], None] = lambda: None
    """Makes the ground clean; not measured."""
    aside: Callable[[], float] = lambda: 0.0
    """Returns the seconds that a storage of its own would have spent elsewhere."""
    seconds: list[float] = field(default_factory=list)
    asides: list[float] = field(default_factory=list)
    peak_mib: float = 0.0

    @property
    def median(self) -> float:
        """Return the median time in seconds."""
        return statistics.median(self.seconds)

    @property
    def own(self) -> float:
        """Return the median of the time without what was done elsewhere."""
        return statistics.median(s - a for s, a in zip(self.seconds, self.asides, strict=True))


@dataclass
class Comparison:
    """One line of the table: how many times faster than the peer, and how many times was wanted."""

    work: str
    ours: str
    peer: str
    ours_s: float
    peer_s: float
    target: float | None
    peak_mib: float
    peer_peak_mib: float

    @property
    def ratio(self) -> float:
        """Return how many times faster ours is."""
        return self.peer_s / self.ours_s

    def cells(self) -> tuple[str, ...]:
        """Return the line's cells."""
        met = "" if self.target is None else "met" if self.ratio >= self.target else "missed"
        wanted = "" if self.target is None else f"{self.target:g}x"
        return (
            self.work,
            f"{self.ours} {self.ours_s:.2f} s",
            f"{self.peer} {self.peer_s:.2f} s",
            f"{self.ratio:.2f}x" if self.ratio < 10 else f"{self.ratio:.0f}x",
            wanted,
            met,
            f"{self.peak_mib:.0f}",
            f"{self.peer_peak_mib:.0f}",
        )


HEADINGS: Final = ("work", "ours", "peer", "faster", "target", "", "peak MiB", "peer's peak MiB")


def header(shape: bytes) -> bytes:
    """Return the header of a GGUF, padded, with the least metadata that llama.cpp loads a llama by.

    Args:
        shape: of its one tensor: what stands in the file behind the tensor's name.
    """

    def text(value: str) -> bytes:
        return struct.pack("<Q", len(value)) + value.encode()

    entries = [text("general.architecture") + struct.pack("<I", 8) + text("llama")]
    entries += [
        text(f"llama.{name}") + struct.pack("<II", 4, 1)
        for name in ("block_count", "context_length", "embedding_length")
    ]
    entries += [text("llama.attention.layer_norm_rms_epsilon") + struct.pack("<If", 6, 1.0)]
    entries += [text("tokenizer.ggml.model") + struct.pack("<I", 8) + text("llama")]
    entries += [text("tokenizer.ggml.tokens") + struct.pack("<IIQ", 9, 8, 1) + text("a")]
    head = b"GGUF" + struct.pack("<IQQ", 3, 1, len(entries)) + b"".join(entries) + text("w") + shape
    return head + bytes(-len(head) % 32)


def write_model(path: Path, size: int) -> None:
    """Write a GGUF of about `size` bytes: Q8_0 blocks of normally distributed weights."""
    blocks = size // 34 // 1024 * 1024
    chance = random.Random(0)
    # Drawn from many distinct blocks: within the 32 KiB that deflate looks back, hardly one comes twice.
    distinct = []
    for _ in range(1 << 17):
        weights = [chance.gauss(0, 0.02) for _ in range(32)]
        scale = max(map(abs, weights)) / 127
        distinct.append(struct.pack("<e32b", scale, *(round(weight / scale) for weight in weights)))
    with path.open("wb") as file:
        file.write(header(struct.pack("<IQQIQ", 2, 32 * 1024, blocks // 1024, 8, 0)))
        for _ in range(blocks // 1024):
            file.write(b"".join(chance.choices(distinct, k=1024)))


def ours(script: str, *arguments: Path | str) -> list[str]:
    """Return the command that runs one of our scripts."""
    return [sys.executable, "-c", script, *map(str, arguments)]


def run(command: list[str], folder: Path) -> tuple[float, float]:
    """Run a command and return its seconds and its peak memory in MiB."""
    environment = {
        **os.environ,
        "PYTHONPATH": str(ROOT),
        "TMPDIR": str(folder),
        "SAGEMAKER_SUPPRESS_V2_WARNING": "1",
    }
    usage, errors = folder / "usage", folder / "stderr"
    with errors.open("wb") as log:
        launcher = [sys.executable, "-I", "-S", "-c", LAUNCH, str(usage), *command]
        done = subprocess.run(launcher, stdout=subprocess.DEVNULL, stderr=log, env=environment, check=False)
    seconds, peak, code = usage.read_text().split() if not done.returncode else ("0", "0", "launcher failed")
    if code != "0":
        raise SystemExit(f"{command}: {code}: {errors.read_text(errors='replace')}")
    return float(seconds), int(peak) / 1024


def tell(line: str) -> None:
    """Show how far it is."""
    print(f"{time.strftime('%H:%M:%S')} [load {os.getloadavg()[0]:.1f}] {line}", file=sys.stderr, flush=True)


def measure(contenders: list[Contender], rounds: int, folder: Path) -> None:
    """Run every contender once a round; a round before them warms up those that are quick."""
    for number in range(rounds + 1):
        for one in contenders:
            if number > (one.rounds or rounds) or (one.rounds and not number):
                continue
            one.before()
            seconds, peak = run(one.command, folder)
            aside = one.aside()
            tell(f"{'warm-up' if not number else f'round {number} of {rounds}'}: {one.name}: {seconds:.2f} s")
            if number:
                one.seconds.append(seconds)
                one.asides.append(aside)
                one.peak_mib = max(one.peak_mib, peak)


def compared(
    work: str, mine: Contender, peer: Contender, target: float | None = None, *, own: bool = False
) -> Comparison:
    """Return a line of the table; with `own`, without what the storage did."""
    seconds = mine.own if own else mine.median
    return Comparison(work, mine.name, peer.name, seconds, peer.median, target, mine.peak_mib, peer.peak_mib)


# -- the works


def on_disk(folder: Path, rounds: int) -> list[Comparison]:
    """Pack, verify and unpack a model on disk."""
    model, stored, gzipped = folder / "model.gguf", folder / "stored.tar.gz", folder / "gzip6.tar.gz"
    out, unpacked = folder / "out.tar.gz", folder / "x"
    names = ["-C", str(folder), "code", model.name]

    def clean() -> None:
        shutil.rmtree(unpacked, ignore_errors=True)
        unpacked.mkdir()
        out.unlink(missing_ok=True)

    def contender(name: str, command: list[str], most: int | None = None) -> Contender:
        return Contender(name, command, most, before=clean)

    pack = contender("pack", ours(PACK, model, out))
    digest = contender("pack with SHA-256", ours(PACK, model, out, "digest"))
    cp = contender("cp", ["cp", "--reflink=never", str(model), str(out)])
    czf = contender("tar czf", ["tar", "czf", str(out), *names], rounds)
    pigz = contender("tar, pigz -p2", ["tar", "-I", "pigz -p2", "-cf", str(out), *names], rounds)
    check = contender("verify", ours(VERIFY, gzipped))
    tzf = contender("tar tzf", ["tar", "tzf", str(gzipped)])
    inflate = contender("ISA-L alone", ours(INFLATE, gzipped))
    tarfile = contender("Python tarfile", ours(LIST, gzipped))
    check_stored = contender("verify", ours(VERIFY, stored))
    sha = contender("sha256sum", ["sha256sum", str(stored)])
    tzf_stored = contender("tar tzf", ["tar", "tzf", str(stored)])
    limit = contender("gzip -t of ours", ["gzip", "-t", str(stored)])
    py_stored = contender("ours, by tarfile", ours(EXTRACT, stored, unpacked))
    py_gzipped = contender("gzip -6", ours(EXTRACT, gzipped, unpacked))
    tar_stored = contender("ours, by GNU tar", ["tar", "xzf", str(stored), "-C", str(unpacked)])
    tar_gzipped = contender("gzip -6", ["tar", "xzf", str(gzipped), "-C", str(unpacked)])
    quick = [pack, digest, cp, check, inflate, tzf, tarfile, check_stored, sha, tzf_stored, limit]
    contenders = [*quick, py_stored, py_gzipped, tar_stored, tar_gzipped, czf]
    if shutil.which("pigz"):
        contenders.append(pigz)
    measure(contenders, rounds, folder)
    clean()
    lines = [
        compared("pack", pack, czf, 15),
        compared("pack", pack, cp, 0.6),
        compared("pack", digest, cp),
        compared("verify gzip -6", check, tzf, 2),
        compared("the same, at best", inflate, tzf),
        compared("verify gzip -6", check, tarfile),
        compared("verify stored", check_stored, sha, 0.8),
        compared("verify stored", check_stored, tzf_stored),
        compared("unpack, tarfile", py_stored, py_gzipped, 4),
        compared("unpack, GNU tar", tar_stored, tar_gzipped, 1.5),
        compared("the same, at best", limit, tar_gzipped),
    ]
    return lines[:1] + [compared("pack", pack, pigz)] * bool(pigz.seconds) + lines[1:]


@contextmanager
def bucket(folder: Path, *seeds: str) -> Iterator[str]:
    """Yield the URL of the local cloud's S3 with these objects."""
    with subprocess.Popen(
        [sys.executable, str(ROOT / "benchmarks" / "bucket.py"), str(folder), *seeds],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(ROOT), "TMPDIR": str(folder)},
    ) as process:
        url = process.stdout.readline().decode().strip() if process.stdout else ""
        try:
            yield url
        finally:
            if process.stdin:
                process.stdin.close()
            process.wait()


def in_bucket(name: str, archive: Path, url: str, way: str, folder: Path) -> Contender:
    """Return the contender that assembles an archive in the bucket."""
    import boto3

    client = boto3.client("s3", endpoint_url=url, region_name="us-east-1", **CREDENTIALS)
    report = folder / f"{archive.name}.json"
    run(ours(RECORD, archive, report), folder)
    copying = folder / "copying"
    so_far = 0.0

    def clean() -> None:
        for page in client.get_paginator("list_objects_v2").paginate(Bucket="artifacts"):
            for entry in page.get("Contents", ()):
                client.delete_object(Bucket="artifacts", Key=entry["Key"])

    def aside() -> float:
        nonlocal so_far
        before, so_far = so_far, float(copying.read_text())
        return so_far - before

    return Contender(name, ours(ASSEMBLE, url, archive.name, report, way), before=clean, aside=aside)


def assembling(folder: Path, rounds: int, repack_python: Path | None) -> list[Comparison]:
    """Put code into the packed archive, and into a zip, where they lie."""
    stored, zipped = folder / "stored.tar.gz", folder / "model.zip"
    with bucket(folder, f"uploads/{stored.name}={stored}", f"uploads/{zipped.name}={zipped}") as url:
        splice = in_bucket("splice", stored, url, "splice", folder)
        rewrite = in_bucket("rewrite a zip", zipped, url, "transcode", folder)
        contenders = [splice, rewrite]
        repack = Contender(
            "repack_model",
            [str(repack_python), "-c", REPACK, str(INFERENCE), str(stored), str(folder / "out.tar.gz")],
            1,
        )
        if repack_python:
            contenders.append(repack)
        measure(contenders, rounds, folder)
    (folder / "out.tar.gz").unlink(missing_ok=True)
    if not repack_python:
        return [compared("put code/ into a zip", rewrite, splice)]
    return [
        compared("put code/ in", splice, repack, 50),
        compared("the same, without S3's copying", splice, repack, own=True),
        compared("put code/ into a zip", rewrite, repack),
    ]


def splicing_large(folder: Path, stored: Path, rounds: int) -> Contender:
    """Put code into a larger archive where it lies."""
    with bucket(folder, f"uploads/{stored.name}={stored}") as url:
        splice = in_bucket("splice, large", stored, url, "splice", folder)
        measure([splice], rounds, folder)
    return splice


def refusing(folder: Path, model: Path, rounds: int, gib: float) -> Comparison:
    """Refuse an archive whose model lies in a folder."""
    nested = folder / "nested.tar.gz"
    packer = "pigz -1" if shutil.which("pigz") else "gzip -1"
    tell(f"making a wrong archive of {gib:g} GiB")
    run(
        ["tar", "-I", packer, "-cf", str(nested), "-C", str(folder.parent), f"{folder.name}/{model.name}"],
        folder,
    )
    refuse = Contender("inspect", ours(REFUSE, nested))
    tzf = Contender("tar tzf", ["tar", "tzf", str(nested)], min(rounds, 2))
    measure([refuse, tzf], rounds, folder)
    nested.unlink()
    return compared(f"refuse {gib:g} GiB", refuse, tzf, 100)


def prepare(folder: Path, gib: float) -> None:
    """Write the model and its archives."""
    model = folder / "model.gguf"
    tell(f"making a model of {gib:g} GiB and its archives")
    write_model(model, int(gib * GIB))
    (folder / "code").mkdir()
    (folder / "code" / "inference.py").write_bytes(OLD_CODE["code/inference.py"])
    run(ours(PACK, model, folder / "stored.tar.gz"), folder)
    run(["tar", "czf", str(folder / "gzip6.tar.gz"), "-C", str(folder), "code", model.name], folder)
    with zipfile.ZipFile(folder / "model.zip", "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        archive.write(model, model.name)
        archive.writestr("code/inference.py", OLD_CODE["code/inference.py"])


def bench(folder: Path, arguments: argparse.Namespace) -> list[Comparison]:
    """Measure everything, a size at a time: the disk holds about four archives of the larger size."""
    rounds = arguments.rounds
    prepare(folder, arguments.gib)
    lines = on_disk(folder, rounds)
    assembled = assembling(folder, rounds, arguments.repack_python)
    for name in ("model.gguf", "gzip6.tar.gz", "model.zip"):
        (folder / name).unlink()
    small = splicing_large(folder, folder / "stored.tar.gz", rounds)
    small.name = f"splice, {arguments.gib:g} GiB"
    (folder / "stored.tar.gz").unlink()
    model, large = folder / "large.gguf", folder / "large.tar.gz"
    tell(f"making a model of {arguments.large_gib:g} GiB")
    write_model(model, int(arguments.large_gib * GIB))
    refused = refusing(folder, model, rounds, arguments.large_gib)
    run(ours(PACK, model, large), folder)
    model.unlink()
    splice = splicing_large(folder, large, rounds)
    splice.name = f"splice, {arguments.large_gib:g} GiB"
    same = compared("put code/ in, by size", splice, small)
    return [*lines, *assembled, same, own_time(splice, small), refused]


def own_time(large: Contender, small: Contender) -> Comparison:
    """Return the line that compares what two splices took beside the storage's copying."""
    return Comparison(
        "the same, without S3's copying",
        large.name,
        small.name,
        large.own,
        small.own,
        0.9,
        large.peak_mib,
        small.peak_mib,
    )


def table(lines: list[Comparison]) -> str:
    """Return the table in Markdown."""
    rows = [HEADINGS, tuple("---" for _ in HEADINGS), *(line.cells() for line in lines)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(HEADINGS))]
    return "\n".join(
        "| " + " | ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) + " |"
        for row in rows
    )


def machine() -> str:
    """Return what it was measured on."""
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / GIB
    cores = f"{os.cpu_count()} x {names[0] if names else platform.machine()}"
    return f"{cores}, {memory:.0f} GiB, Linux {platform.release()}, Python {platform.python_version()}"


def main() -> None:
    """Measure, and print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--gib", type=float, default=1.0)
    parser.add_argument("--large-gib", type=float, default=4.0)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--repack-python", type=Path, help="an interpreter that has the SageMaker SDK 2.x")
    parser.add_argument("--json", type=Path, help="where to write the numbers")
    parser.add_argument(
        "--folder", type=Path, help="where to write some 20 GiB; default: the system's temporary folder"
    )
    arguments = parser.parse_args()
    begun, load = time.strftime("%Y-%m-%d %H:%M"), os.getloadavg()
    with tempfile.TemporaryDirectory(dir=arguments.folder, prefix="sealift-bench-") as name:
        lines = bench(Path(name), arguments)
    print(f"{begun}, {machine()}; load when it began {load[0]:.1f}, medians of {arguments.rounds} rounds\n")
    print(table(lines))
    if arguments.json:
        numbers = [{**vars(line), "ratio": line.ratio} for line in lines]
        arguments.json.write_text(json.dumps(numbers, indent=2) + "\n")


if __name__ == "__main__":
    main()
