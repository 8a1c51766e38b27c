"""Throws changed archives at the archive engine, for as long as it is told to.

    python -m tests.fuzz.fuzz_archive --seconds 600 --seed 1 [--keep tests/fuzz/corpus]

Each case is a good archive or model, changed somewhere: in its bytes, in its plain tar (header checksums made to
fit again), in the GGUF inside. What must hold: no exception, also not in the report's JSON, no slow case, bounded
memory; and what is accepted, every referee that is installed (`referees.py`) reads as well: same files, same sizes,
same content, and a header that ggml's own reader takes. Where code can be spliced into it, the result is accepted
too, with the same other files.
With --keep, the first small case of every name of problem is kept as corpus.
"""

from __future__ import annotations

import argparse
import ctypes
import gzip
import hashlib
import io
import json
import random
import resource
import struct
import sys
import tarfile
import tempfile
import time
import zlib
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final

from pipeline.archive.build.parts import END_OF_TAR, archive_end, code_part, padding, tar_header
from pipeline.archive.build.seams import EXTRA_BYTES, Seam
from pipeline.archive.build.splice import obstacle, plan_splice
from pipeline.archive.checks.inspect import inspect
from pipeline.archive.checks.rules import Rules
from pipeline.archive.checks.verify import verify
from pipeline.archive.formats import deflate
from pipeline.archive.s3.sources import BytesSource
from tests.fuzz import fields, referees

if TYPE_CHECKING:
    from collections.abc import Callable

    from pipeline.archive.checks.report import ArchiveReport

RULES: Final = Rules(zip_deployable=True)
SLOW_S: Final = 2.0
MEMORY_BYTES: Final = 256 << 20
KEPT_BYTES: Final = 2048
CODE: Final = {"code/inference.py": b"pass\n"}
INTERESTING: Final = (
    0,
    1,
    0x7F,
    0x80,
    0xFF,
    0x7FFF,
    0xFFFF,
    0x7FFFFFFF,
    0xFFFFFFFF,
    2**31,
    2**62,
    2**63,
    2**64 - 1,
)


def model() -> bytes:
    """Return a GGUF with a little of everything."""

    def text(value: str) -> bytes:
        return struct.pack("<Q", len(value)) + value.encode()

    entries = [
        text("general.architecture") + struct.pack("<I", 8) + text("llama"),
        text("llama.block_count") + struct.pack("<II", 4, 2),
        text("llama.context_length") + struct.pack("<II", 4, 64),
        text("llama.embedding_length") + struct.pack("<II", 4, 32),
        text("llama.attention.layer_norm_rms_epsilon") + struct.pack("<If", 6, 1.0),
        text("tokenizer.ggml.model") + struct.pack("<I", 8) + text("llama"),
        text("llama.attention.head_count") + struct.pack("<IIQII", 9, 4, 2, 4, 4),
        text("tokenizer.ggml.tokens") + struct.pack("<IIQ", 9, 8, 70) + text("ab") * 70,
        text("general.quantized") + struct.pack("<I?", 7, True),
    ]
    tensors = [
        text("token_embd.weight") + struct.pack("<IQQIQ", 2, 32, 2, 0, 0),
        text("w") + struct.pack("<IQIQ", 1, 32, 8, 256),
    ]
    head = (
        b"GGUF" + struct.pack("<IQQ", 3, len(tensors), len(entries)) + b"".join(entries) + b"".join(tensors)
    )
    return head + bytes(-len(head) % 32) + bytes(range(256)) + bytes(64)


def tar(form: int, gguf: bytes) -> bytes:
    """Return a tar of one of Python's formats."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=form) as archive:
        for name, data in {**CODE, f"code/{'d' * 90}/{'long' * 20}.py": b"x", "model.gguf": gguf}.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    # With two blocks of zeros at its end, and no more.
    data = out.getvalue().rstrip(b"\0")
    return data + bytes(-len(data) % 512 + 1024)


def ours(gguf: bytes) -> bytes:
    """Return an archive as `pack` makes it."""
    rest = archive_end(code_part(CODE))
    first = tar_header("model.gguf", len(gguf)) + gguf + padding(len(gguf))
    body = b"".join(deflate.stored(first))
    seam = Seam(12 + EXTRA_BYTES + len(body), len(first), rest.crc, rest.plain_length, code_last=True)
    crc = deflate.crc32_combine(zlib.crc32(first), rest.crc, rest.plain_length)
    trailer = deflate.gzip_trailer(crc, len(first) + rest.plain_length)
    return deflate.gzip_header(seam.to_extra()) + body + rest.deflated + trailer


def ours_before(gguf: bytes) -> bytes:
    """Return an archive as `pack` made it when the code came first."""
    part = code_part(CODE)
    rest = tar_header("model.gguf", len(gguf)) + gguf + padding(len(gguf)) + END_OF_TAR
    seam = Seam(12 + EXTRA_BYTES + len(part.deflated), part.plain_length, part.crc, len(rest))
    crc = deflate.crc32_combine(part.crc, zlib.crc32(rest), len(rest))
    body = b"".join(deflate.stored(rest, final=True))
    trailer = deflate.gzip_trailer(crc, part.plain_length + len(rest))
    return deflate.gzip_header(seam.to_extra()) + part.deflated + body + trailer


def changed(data: bytes, chance: random.Random) -> bytes:
    """Return the data with one to four changes."""
    out = bytearray(data)
    for _ in range(chance.choice((1, 1, 1, 2, 4))):
        at = chance.randrange(len(out)) if out else 0
        width = chance.choice((1, 2, 4, 8))
        way = chance.randrange(8)
        if way == 0:
            out[at : at + 1] = bytes([chance.randrange(256)])
        elif way == 1 and out:
            out[at] ^= 1 << chance.randrange(8)
        elif way == 2:
            out[at : at + width] = (chance.choice(INTERESTING) & (1 << 8 * width) - 1).to_bytes(
                width, "little"
            )
        elif way == 3:
            out[at:at] = chance.randbytes(chance.choice((1, 7, 512)))
        elif way == 4:
            del out[at : at + chance.choice((1, 8, 512, len(out)))]
        elif way == 5:
            length = chance.choice((8, 64, 512, 1024))
            other = chance.randrange(len(out)) if out else 0
            out[other:other] = out[at : at + length]
        elif way == 6:
            out[at : at + 12] = chance.choice(
                (b"77777777777\0", b"../../../../", b"/etc/passwd\0", b"model.gguf\0\0")
            )
        else:
            length = chance.choice((8, 512))
            out[at : at + length] = bytes(length)
    return bytes(out)


def refitted(plain: bytes) -> bytes:
    """Return a tar whose blocks that look like headers have checksums that fit."""
    out = bytearray(plain)
    for at in range(0, len(out) - 511, 512):
        if out[at + 257 : at + 262] == b"ustar":
            out[at + 148 : at + 156] = b" " * 8
            out[at + 148 : at + 156] = b"%06o\0 " % sum(out[at : at + 512])
    return bytes(out)


def case(chance: random.Random) -> tuple[str, bytes]:
    """Return the name and the bytes of one case."""
    gguf = changed(model(), chance) if chance.random() < 0.3 else model()
    form = chance.choice((tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT))
    way = chance.randrange(10)
    if way < 3:
        plain = changed(tar(form, gguf), chance)
        return "m.tar.gz", gzip.compress(refitted(plain) if way else plain, 1, mtime=0)
    if way == 3:
        return "m.tar.gz", changed(gzip.compress(tar(form, gguf), 1, mtime=0), chance)
    if way == 4:
        return "m.tar.gz", changed(chance.choice((ours, ours_before))(gguf), chance)
    if way == 5:
        return "m.tar.gz", gzip.compress(tar(form, gguf), 1, mtime=0) + bytes(chance.choice((0, 0, 0, 512)))
    if way == 6:
        return "m.tar.gz", gzip.compress(refitted(fields.tar_changed(tar(form, gguf), chance)), 1, mtime=0)
    data = fields.zipped({"model.gguf": gguf, **CODE}, chance)
    return "m.zip", changed(data, chance) if way == 7 else fields.zip_changed(data, chance)


class Ggml:
    """ggml's own reader of GGUF headers."""

    class _Parameters(ctypes.Structure):
        _fields_ = (("no_alloc", ctypes.c_bool), ("ctx", ctypes.c_void_p))

    def __init__(self) -> None:
        import llama_cpp

        (path, *_) = (Path(llama_cpp.__file__).parent / "lib").glob("libggml-base.so")
        self._library = ctypes.CDLL(str(path))
        self._library.gguf_init_from_file.restype = ctypes.c_void_p
        self._library.gguf_init_from_file.argtypes = (ctypes.c_char_p, self._Parameters)
        self._library.gguf_free.argtypes = (ctypes.c_void_p,)

    def takes(self, path: Path) -> bool:
        """Tell whether ggml reads the header."""
        context = self._library.gguf_init_from_file(
            str(path).encode(), self._Parameters(no_alloc=True, ctx=None)
        )
        if context:
            self._library.gguf_free(context)
        return bool(context)


def disagreement(name: str, data: bytes, members: dict[str, int], ggml: Ggml) -> str | None:
    """Return what other tools see otherwise in an accepted archive."""
    mine = {path: size for path, (size, _) in referees.ours(name, data, RULES).items()}
    if mine != members:
        return f"files: {mine} are written anew, {members} are in the report"
    found = referees.disagreements(name, data, RULES)
    if found:
        return "; ".join(f"{referee}: {told}" for referee, told in found.items())
    with tempfile.TemporaryDirectory() as folder:
        reference = referees.ZIPS["Python"] if name.endswith(".zip") else referees.TARS["GNU tar"]
        referees.theirs(name, data, reference, keep=Path(folder))
        if not all(ggml.takes(path) for path in Path(folder).glob("*.gguf")):
            return "ggml does not take the header"
    return None


@dataclass
class Tally:
    """What a run has seen."""

    cases: int = 0
    accepted: int = 0
    slowest: float = 0.0
    problems: Counter[str] = field(default_factory=Counter)
    findings: list[str] = field(default_factory=list)


def spliced(name: str, data: bytes, report: ArchiveReport) -> str | None:
    """Return what is wrong with an accepted archive once code has been spliced into it."""
    if obstacle(report) is not None:
        return None
    end = len(data) - report.padding
    plan = plan_splice(report, data[end - deflate.TRAILER_BYTES : end], code_part(CODE))
    result = verify(BytesSource(plan.head + data[plan.start : plan.end] + plan.tail, name), rules=RULES)
    if result.problems or result.seam != plan.seam:
        return (
            f"spliced: {[problem.error for problem in result.problems]}, {result.seam}, planned {plan.seam}"
        )
    before, after = (
        {(m.path, m.size) for m in one.members if m.path.split("/")[0] != "code"} for one in (report, result)
    )
    return None if before == after else f"spliced: {before} became {after}"


def run(seconds: float, seed: int, keep: Path | None, now: Callable[[], float]) -> Tally:
    """Try cases until the time is over."""
    chance = random.Random(seed)
    ggml = Ggml()
    tally = Tally()
    end = now() + seconds
    while now() < end:
        name, data = case(chance)
        begun = now()
        try:
            inspect(BytesSource(data, name), rules=RULES)
            report = verify(BytesSource(data, name), rules=RULES)
            json.dumps(report.to_json())
        except Exception as error:  # noqa: BLE001 - any exception is a finding
            _find(tally, keep, name, data, f"{type(error).__name__}: {error}")
            continue
        took = now() - begun
        tally.cases += 1
        tally.slowest = max(tally.slowest, took)
        if took > SLOW_S:
            _find(tally, keep, name, data, f"took {took:.1f} s")
        for problem in report.problems:
            if not tally.problems[problem.error] and keep is not None and len(data) <= KEPT_BYTES:
                (keep / f"{problem.error}.{name}").write_bytes(data)
            tally.problems[problem.error] += 1
        if not report.problems:
            tally.accepted += 1
            files = {member.path: member.size for member in report.members if member.kind == "file"}
            try:
                reason = disagreement(name, data, files, ggml) or spliced(name, data, report)
            except Exception as error:  # noqa: BLE001 - the referee does not read what was accepted
                reason = f"referee: {type(error).__name__}: {error}"
            if reason is not None:
                _find(tally, keep, name, data, reason)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss << 10
    if peak > MEMORY_BYTES:
        tally.findings.append(f"peak memory {peak >> 20} MiB")
    return tally


def _find(tally: Tally, keep: Path | None, name: str, data: bytes, reason: str) -> None:
    digest = hashlib.sha256(data).hexdigest()[:8]
    tally.findings.append(f"{digest}: {reason}")
    if keep is not None:
        (keep / f"finding-{digest}.{name}").write_bytes(data)


def main() -> int:
    """Run, and print what was seen as JSON; return 1 when there is a finding."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else "")
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--keep", type=Path)
    arguments = parser.parse_args()
    if arguments.keep is not None:
        arguments.keep.mkdir(parents=True, exist_ok=True)
    tally = run(arguments.seconds, arguments.seed, arguments.keep, time.monotonic)
    summary = {
        "seed": arguments.seed,
        "referees": sorted({*referees.TARS, *referees.ZIPS}),
        "cases": tally.cases,
        "accepted": tally.accepted,
        "slowest_ms": round(tally.slowest * 1000),
        "peak_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10,
        "problems": dict(tally.problems.most_common()),
        "findings": tally.findings[:20],
    }
    sys.stdout.write(json.dumps(summary, indent=2) + "\n")
    return 1 if tally.findings else 0


if __name__ == "__main__":
    sys.exit(main())
