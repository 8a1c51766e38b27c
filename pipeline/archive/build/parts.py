"""The parts that our own archives are made of: tar headers, and ``code/`` ready to be written.

Owns their exact bytes, so that packing, splicing and transcoding write the same ones. It refuses to do I/O.
"""

from __future__ import annotations

import hashlib
import tarfile
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Final

from pipeline.archive.build.seams import EXTRA_BYTES, Seam
from pipeline.archive.formats import deflate
from pipeline.archive.formats.detect import BLOCK

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

CODE_LEVEL: Final = 6
"""For code/, nine megabytes of libraries: level 9 takes three times as long for 0.6 % less."""
END_OF_TAR: Final = bytes(2 * BLOCK)
ITS_OWN: Final = "its own"
"""The identity of whatever code an archive brings."""
_FILE_MODE: Final = 0o644
_DIRECTORY_MODE: Final = 0o755


@dataclass(frozen=True, slots=True)
class CodePart:
    """``code/`` as the beginning of a tar: plain facts, and a deflate stream that another one may follow."""

    plain_length: int
    crc: int
    sha256: str
    deflated: bytes


def code_part(code: Mapping[str, bytes]) -> CodePart:
    """Return the part that holds these files: path in the archive to content."""
    plain = b"".join(_members(code))
    encoder = deflate.deflater(CODE_LEVEL)
    deflated = encoder.compress(plain) + encoder.flush(deflate.FULL_FLUSH)
    return CodePart(len(plain), deflate.crc32(plain), hashlib.sha256(plain).hexdigest(), deflated)


@dataclass(frozen=True, slots=True)
class ArchiveEnd:
    """``code/`` as the end of a tar: plain facts, and the end of a deflate stream whose blocks are all closed."""

    plain_length: int
    crc: int
    deflated: bytes


def archive_end(code: CodePart) -> ArchiveEnd:
    """Return the same part with the end of the tar behind it."""
    deflated = code.deflated + b"".join(deflate.stored(END_OF_TAR, final=True))
    return ArchiveEnd(code.plain_length + len(END_OF_TAR), deflate.crc32(END_OF_TAR, code.crc), deflated)


def stored_seam(files: Sequence[tuple[str, int]], behind: ArchiveEnd) -> Seam:
    """Return where the code begins behind files in stored blocks; each header, content and padding has its own.

    Args:
        files: name and size of each, in their order.
        behind: the code, and the end of the tar.
    """
    lengths = [
        length
        for name, size in files
        for length in (len(tar_header(name, size)), size, len(padding(size)))
        if length
    ]
    offset = len(deflate.gzip_header(bytes(EXTRA_BYTES))) + sum(map(deflate.stored_length, lengths))
    return Seam(offset, sum(lengths), behind.crc, behind.plain_length, code_last=True)


def code_digest(code: Mapping[str, bytes]) -> str:
    """Return the SHA-256 of the same part, without deflating it."""
    digest = hashlib.sha256()
    for piece in _members(code):
        digest.update(piece)
    return digest.hexdigest()


def code_identity(code: Mapping[str, bytes] | None) -> str:
    """Return what tells one inference code from another: its digest; `ITS_OWN` for the code that an archive brings."""
    return ITS_OWN if code is None else code_digest(code)


def tar_header(path: str, size: int, *, directory: bool = False) -> bytes:
    """Return a member's header: nobody's file, of no time, readable by all."""
    member = tarfile.TarInfo(path)
    member.size = size
    member.type = tarfile.DIRTYPE if directory else tarfile.REGTYPE
    member.mode = _DIRECTORY_MODE if directory else _FILE_MODE
    # ustar where it suffices, pax records for long names and for sizes over 8 GiB.
    return member.tobuf(tarfile.PAX_FORMAT, "utf-8", "surrogateescape")


def padding(size: int) -> bytes:
    """Return the zeros that fill a member's last block."""
    return bytes(-size % BLOCK)


def _members(code: Mapping[str, bytes]) -> Iterator[bytes]:
    parents = {parent.as_posix() for path in code for parent in PurePosixPath(path).parents}
    for path in sorted((parents - {"."}) | set(code)):
        if path not in code:
            yield tar_header(path, 0, directory=True)
            continue
        yield tar_header(path, len(code[path]))
        yield code[path]
        yield padding(len(code[path]))
