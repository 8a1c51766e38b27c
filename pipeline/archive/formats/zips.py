"""A zip being read: its directory first, then its entries in the order they lie in.

Owns the zip format as far as archives need it: stored and deflated entries, zip64, names in UTF-8, whether the entry
says so or not. It refuses what readers disagree about (overlaps, local headers that contradict the directory, bytes
outside of it), encryption and other compression methods.
"""

from __future__ import annotations

import stat
import struct
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from pipeline.archive.checks.report import Kind, Unreadable
from pipeline.archive.formats import deflate
from pipeline.archive.formats.gzips import PIECE_BYTES

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pipeline.archive.checks.rules import Rules
    from pipeline.archive.s3.sources import Source

_END: Final = struct.Struct("<4s4H2IH")
_END64_LOCATOR: Final = struct.Struct("<4sIQI")
_END64: Final = struct.Struct("<4sQ2H2I4Q")
_CENTRAL: Final = struct.Struct("<4s6H3I5H2I")
_LOCAL: Final = struct.Struct("<4s5H3I2H")
_END_MAGIC: Final = b"PK\x05\x06"
_END64_LOCATOR_MAGIC: Final = b"PK\x06\x07"
_END64_MAGIC: Final = b"PK\x06\x06"
_CENTRAL_MAGIC: Final = b"PK\x01\x02"
_LOCAL_MAGIC: Final = b"PK\x03\x04"
_MAX_COMMENT: Final = 0xFFFF
_STORED: Final = 0
_METHODS: Final = {1: "shrink", 6: "implode", 9: "deflate64", 12: "bzip2", 14: "lzma", 93: "zstd", 95: "xz"}
_ENCRYPTED: Final = 0x1
_IN_DESCRIPTOR: Final = 0x8
_UTF8: Final = 0x800
_DEFLATE_OPTIONS: Final = 0x6
_KNOWN_FLAGS: Final = _ENCRYPTED | _DEFLATE_OPTIONS | _IN_DESCRIPTOR | _UTF8
"""Deflate's own two option bits say nothing to a reader; others mean patches, strong encryption, masked headers."""
_NEWEST: Final = 46
"""APPNOTE 4.4.3.2: stored and deflated entries need 45 at most, with zip64; unzip refuses what says more than this."""
_VMS: Final = 2
_NEWEST_OF_VMS: Final = 42
"""An entry that needs more than this of VMS, by the upper byte, is passed over by unzip (its extract.c)."""
_ZIP64_FIELD: Final = 0x0001
_UNICODE_PATH_FIELD: Final = 0x7075
"""Info-ZIP's, which WinRAR and others write too."""
_UNICODE_PATH: Final = struct.Struct("<BI")
_SATURATED: Final = (0xFFFF, 0xFFFF, 0xFFFF, 0xFFFF, 0xFFFFFFFF, 0xFFFFFFFF)
"""What stands in an end record's fields where the zip64 record has the number."""
_WRAP: Final = 1 << 32
_UNIX: Final = frozenset({3, 19})
"""Hosts that have no volume labels: Unix, and macOS."""
_DOS: Final = frozenset({0, 3, 6, 10, 11, 14, 19})
"""Hosts whose attributes end with those of MS-DOS, which Unix tools write beside the mode."""
_DOS_LABEL: Final = 0x08
_DOS_FOLDER: Final = 0x10
_DESCRIPTOR_MAGIC: Final = b"PK\x07\x08"
_DESCRIPTORS: Final = (
    struct.Struct("<3I"),
    struct.Struct("<4s3I"),
    struct.Struct("<I2Q"),
    struct.Struct("<4sI2Q"),
)
"""APPNOTE 4.3.9: CRC-32 and sizes, of 32 or 64 bits, behind a signature or not; each form has another length."""
_ZIP_AGAIN: Final = "zip again with plain deflate, or better: sealift pack MODEL.gguf --output model.tar.gz"
_PACK_OR_ZIP: Final = (
    "sealift pack MODEL.gguf --output model.tar.gz, or in a terminal: zip -r model.zip FOLDER"
)
_UPLOAD_AGAIN: Final = "compare its checksum with the original's, and upload it again"


@dataclass(frozen=True, slots=True)
class ZipEntry:
    """One entry as the central directory describes it."""

    name: bytes
    kind: Kind
    flags: int
    method: int
    crc: int
    compressed: int
    size: int
    offset: int
    """Where its local header begins."""
    limit: int = 0
    """Where the next entry, or the directory, begins."""
    unicode_name: bytes | None = None
    """The same name in UTF-8, where the entry has it in a field of its own."""
    wide: bool = False
    """Whether it has a zip64 field: its sizes are those of 64 bits."""

    @property
    def utf8_name(self) -> bytes:
        """Return the name as it is unpacked.

        Info-ZIP on Unix and macOS's Finder write UTF-8 without saying so. Other bytes are in a code page that the zip
        does not name: the census refuses them.
        """
        return self.name if self.unicode_name is None else self.unicode_name

    @property
    def shown(self) -> str:
        """Return the name for messages."""
        return repr(self.name[:200].decode("utf-8", "backslashreplace"))


@dataclass(frozen=True, slots=True)
class Directory:
    """A zip's central directory: entries in the order of their data, and where the data ends."""

    entries: tuple[ZipEntry, ...]
    offset: int


def read_directory(source: Source, rules: Rules) -> Directory:
    """Return the central directory; raise Unreadable where readers would disagree about it."""
    tail_length = min(source.size, _MAX_COMMENT + _END.size)
    tail = source.read(source.size - tail_length, tail_length)
    at = tail.rfind(_END_MAGIC)
    if at < 0 or at + _END.size > len(tail):
        raise Unreadable(
            "ZipCutShort",
            "no end-of-directory record in the last 64 KiB",
            "a complete zip",
            f"the archive was cut short: {_UPLOAD_AGAIN}",
        )
    _, disk, start_disk, here, total, length, offset, comment = _END.unpack_from(tail, at)
    end = source.size - tail_length + at
    # bsdtar fills what it writes into a pipe up to 10 KiB: zeros after the end say nothing, to other readers neither.
    if at + _END.size + comment > len(tail) or tail[at + _END.size + comment :].strip(b"\0"):
        raise Unreadable(
            "TrailingGarbage",
            f"{source.size - end - _END.size} bytes after the zip's end, {comment} announced",
            "nothing after the end-of-directory record and its comment",
            f"something was appended: {_UPLOAD_AGAIN}",
        )
    narrow = (disk, start_disk, here, total, length, offset)
    end, wide = _read_end64(source, end, narrow)
    disk, start_disk, here, total, length, offset = wide or narrow
    if disk or start_disk or here != total:
        raise _damaged("a zip in several parts", "one file")
    if total > rules.max_members or length > rules.max_directory_bytes:
        raise Unreadable(
            "TooManyMembers",
            f"{total} members in a directory of {length} bytes",
            f"at most {rules.max_members} members and {rules.max_directory_bytes} bytes",
            _ZIP_AGAIN,
        )
    if wide is None and offset + length < end and not (end - offset - length) % _WRAP:
        raise Unreadable(
            "ZipSizesWrapped",
            f"a directory at {end - length} that its end record places at {offset}, {end - offset - length} bytes "
            "before: a zip of more than 4 GiB whose sizes are kept modulo 2^32, as macOS's Finder writes it",
            "zip64 records, which 4 GiB and more need",
            f"the zip is as it was made, and no tool reads it: {_PACK_OR_ZIP}",
        )
    if offset + length != end:
        raise _damaged(
            f"the directory of {length} bytes at {offset} does not end at {end}, where its end record is",
            "nothing before, between or after the zip's own parts",
        )
    entries = _entries(source.read(offset, length), total)
    return Directory(_side_by_side(entries, offset), offset)


def local_bytes(entry: ZipEntry) -> int:
    """Return how many bytes of an entry's local header `data_start` needs."""
    return _LOCAL.size + len(entry.name)


def data_start(header: bytes, entry: ZipEntry) -> int:
    """Return where an entry's data begins, from the first `local_bytes` of its local header."""
    if len(header) < local_bytes(entry) or header[:4] != _LOCAL_MAGIC:
        raise _damaged(f"no local header of {entry.shown} at {entry.offset}", "one where the directory says")
    _, _, flags, method, _, _, crc, compressed, size, name, extra = _LOCAL.unpack_from(header)
    stated = (entry.crc, entry.compressed, entry.size)
    local = (crc, compressed, size)
    # A zero may mean "see the descriptor", all ones "see the zip64 field"; anything else has to agree.
    agree = all(
        mine in {theirs, 0xFFFFFFFF} or (mine == 0 and flags & _IN_DESCRIPTOR)
        for mine, theirs in zip(local, stated, strict=True)
    )
    says_nothing = _DEFLATE_OPTIONS if method == deflate.DEFLATED else 0
    if (flags ^ entry.flags) & ~says_nothing or method != entry.method or not agree:
        raise _damaged(
            f"the local header of {entry.shown} contradicts the directory: flags {flags:#06x} and "
            f"{entry.flags:#06x}, method {method} and {entry.method}, CRC, compressed and plain size {local} and "
            f"{stated}",
            "two descriptions that agree",
        )
    if header[_LOCAL.size : _LOCAL.size + name] != entry.name:
        raise _damaged(f"the local header of {entry.shown} has another name", "two names that agree")
    start = entry.offset + _LOCAL.size + int(name) + int(extra)
    rest = entry.limit - start - entry.compressed
    if rest < 0:
        raise _overlap(entry)
    lengths = {one.size for one in _DESCRIPTORS} if flags & _IN_DESCRIPTOR else {0}
    if rest not in lengths:
        raise _damaged(
            f"{rest} bytes between entry {entry.shown} and what comes after it",
            "a data descriptor of 12 to 24 bytes" if flags & _IN_DESCRIPTOR else "nothing between entries",
        )
    return start


def check_local_extra(header: bytes, extra: bytes, entry: ZipEntry) -> None:
    """Raise Unreadable when the extra fields of a local header, which some readers go by, contradict the directory.

    Args:
        header: the `local_bytes` that `data_start` was given.
        extra: what follows them, up to where the data begins.
        entry: as the directory has it.
    """
    fields = _LOCAL.unpack_from(header)
    flags, compressed, size = fields[2], fields[7], fields[8]
    wide, unicode_name = _known_fields(entry.shown, entry.name, extra)
    if 0xFFFFFFFF in (compressed, size):
        size, compressed, _ = _wide(entry.shown, wide or b"", (size, compressed, 0))
        later = flags & _IN_DESCRIPTOR and (size, compressed) == (0, 0)
        if (size, compressed) != (entry.size, entry.compressed) and not later:
            raise _damaged(
                f"the local header of {entry.shown} has sizes {compressed} and {size}, the directory "
                f"{entry.compressed} and {entry.size}",
                "two descriptions that agree",
            )
    # A name that no reader can take as it is has but one meaning, wherever that stands.
    one_meaning = unicode_name is None and not _is_utf8(entry.name)
    if (unicode_name or entry.name) != entry.utf8_name and not one_meaning:
        shown = (unicode_name or entry.name)[:200].decode("utf-8", "backslashreplace")
        raise _damaged(f"entry {entry.shown} is {shown!r} in its local header", "two names that agree")


def rest_bytes(start: int, entry: ZipEntry) -> int:
    """Return how many bytes there are between an entry's data, which begins at `start`, and the next entry."""
    return entry.limit - start - entry.compressed


def check_rest(rest: bytes, entry: ZipEntry) -> None:
    """Raise Unreadable when what comes after an entry's data, a descriptor or nothing, contradicts the directory."""
    form = next((one for one in _DESCRIPTORS if one.size == len(rest)), None)
    if form is None:
        return
    *magic, crc, compressed, size = form.unpack(rest)
    stated, found = (entry.crc, entry.compressed, entry.size), (crc, compressed, size)
    if magic not in ([], [_DESCRIPTOR_MAGIC]) or found != stated:
        raise _damaged(
            f"the data descriptor of {entry.shown} contradicts the directory: CRC, compressed and plain size {found} "
            f"and {stated}",
            "two descriptions that agree",
        )


class EntryDecoder:
    """Turns one entry's compressed pieces into plain ones; feed it in order, then call `finish`."""

    def __init__(self, entry: ZipEntry, rules: Rules) -> None:
        self._entry = entry
        self._inflater = None if entry.method == _STORED else deflate.inflater()
        self._ended = False
        self._crc = 0
        self._length = 0
        self._most = entry.size
        if not entry.wide:
            # What was counted in 32 bits may be longer: to tell that from damage, all of it has to be decoded.
            self._most = max(entry.size, rules.ratio_from, rules.max_ratio * entry.compressed)

    def feed(self, piece: bytes) -> Iterator[bytes]:
        """Yield the plain bytes of the next piece."""
        if self._inflater is None:
            self._count(piece)
            yield piece
            return
        for step in deflate.steps(piece):
            yield from self._decode(self._inflater, step)

    def _decode(self, inflater: deflate.Inflater, data: deflate.Buffer) -> Iterator[bytes]:
        full = False
        # No trailer follows an entry's data: when the output was full, the decoder may hold its end.
        while data or full:
            if self._ended:
                raise self._wrong("data after the end of its compressed data")
            try:
                plain = deflate.inflate(inflater, data, PIECE_BYTES)
            except deflate.CodecError as error:
                raise self._wrong(f"damaged compressed data ({error})") from error
            self._count(plain)
            if plain and self._length <= self._entry.size:
                yield plain
            self._ended = inflater.eof
            data = inflater.unused_data if self._ended else inflater.unconsumed_tail
            full = len(plain) == PIECE_BYTES and not self._ended

    def finish(self) -> None:
        """Raise Unreadable when the entry is not what the directory says."""
        if self._inflater is not None and not self._ended:
            raise self._wrong("compressed data without an end")
        if self._length > self._entry.size:
            raise self._too_long()
        if self._length != self._entry.size:
            raise self._wrong(f"{self._length} plain bytes, {self._entry.size} in the directory")
        if self._crc != self._entry.crc:
            raise self._wrong(f"CRC-32 {self._crc:08x}, {self._entry.crc:08x} in the directory")

    def _count(self, plain: bytes) -> None:
        self._crc = deflate.crc32(plain, self._crc)
        self._length += len(plain)
        if self._length > self._most:
            raise self._too_long()

    def _too_long(self) -> Unreadable:
        wrapped = self._length > self._entry.size and not (self._length - self._entry.size) % _WRAP
        if wrapped and self._crc == self._entry.crc:
            return sizes_wrapped(f"entry {self._entry.shown}", self._entry.size, self._length)
        return self._wrong(f"more than the {self._entry.size} plain bytes of the directory")

    def _wrong(self, seen: str) -> Unreadable:
        return Unreadable(
            "ZipEntryDamaged",
            f"entry {self._entry.shown}: {seen}",
            "data that agrees with the directory",
            f"the archive was damaged on its way: {_UPLOAD_AGAIN}",
        )


def sizes_wrapped(what: str, stated: int, size: int) -> Unreadable:
    """Return the refusal of a member whose stated size is `size` modulo 2^32."""
    return Unreadable(
        "ZipSizesWrapped",
        f"{what} says that it has {stated} bytes and has {size}: the sizes were kept modulo 2^32, as macOS's Finder "
        "does it in a zip",
        "sizes of 64 bits (zip64), which 4 GiB and more need",
        f"the archive is as it was made, and tools disagree about it: {_PACK_OR_ZIP}",
    )


def check_entry(entry: ZipEntry, rules: Rules) -> None:
    """Raise Unreadable when the entry cannot be decoded, or would expand too much."""
    if entry.flags & _ENCRYPTED:
        raise Unreadable("ZipEncrypted", f"entry {entry.shown} is encrypted", "plain entries", _ZIP_AGAIN)
    if entry.method not in {_STORED, deflate.DEFLATED}:
        raise Unreadable(
            "ZipMethod",
            f"entry {entry.shown} is compressed by method {entry.method} "
            f"({_METHODS.get(entry.method, 'unknown')})",
            "0 (stored) or 8 (deflated)",
            _ZIP_AGAIN,
        )
    if entry.kind == "directory" and entry.size:
        raise _damaged(f"directory {entry.shown} has {entry.size} bytes of data", "none")
    if entry.method == _STORED and entry.size != entry.compressed:
        raise _damaged(f"stored entry {entry.shown} has two sizes", "equal sizes")
    if entry.size > max(rules.ratio_from, rules.max_ratio * entry.compressed):
        raise Unreadable(
            "ExpandsTooMuch",
            f"entry {entry.shown}: {entry.compressed} compressed bytes become {entry.size}",
            f"at most {rules.max_ratio} times as many; quantised weights give 1.1",
            "pack a model with real weights",
        )


def _read_end64(
    source: Source, end: int, narrow: tuple[int, ...]
) -> tuple[int, tuple[int, int, int, int, int, int] | None]:
    """Return where the directory ends, and the zip64 record's fields; None where there is no such record.

    Info-ZIP writes one for a file of more than 4 GiB, also where the end record itself could hold every number.
    """
    start = end - _END64_LOCATOR.size - _END64.size
    block = source.read(start, end - start) if start >= 0 else b""
    if block[_END64.size : _END64.size + 4] == _END64_LOCATOR_MAGIC:
        magic, size, _, _, *fields = _END64.unpack_from(block)
        _, _, at, disks = _END64_LOCATOR.unpack_from(block, _END64.size)
        disk, start_disk, here, total, length, offset = fields
        wide = (disk, start_disk, here, total, length, offset)
        agree = all(
            mine in {theirs, most} for mine, theirs, most in zip(narrow, wide, _SATURATED, strict=True)
        )
        if (magic, size, at) == (_END64_MAGIC, _END64.size - 12, start) and disks <= 1 and agree:
            return start, wide
        raise _damaged("a zip64 record that the end record after it contradicts", "two records that agree")
    if any(mine == most for mine, most in zip(narrow, _SATURATED, strict=True)):
        raise _damaged("no zip64 record before the end record that refers to it", "one right before it")
    return end, None


def _entries(directory: bytes, total: int) -> tuple[ZipEntry, ...]:
    entries: list[ZipEntry] = []
    at = 0
    for _ in range(total):
        if at + _CENTRAL.size > len(directory) or directory[at : at + 4] != _CENTRAL_MAGIC:
            raise _damaged(
                f"{len(entries)} entries in the directory, {total} announced", "as many as announced"
            )
        fields = _CENTRAL.unpack_from(directory, at)
        name_end = at + _CENTRAL.size + fields[10]
        extra_end = name_end + fields[11]
        name = directory[at + _CENTRAL.size : name_end]
        entries.append(_entry(fields, name, directory[name_end:extra_end]))
        at = extra_end + fields[12]
    if at != len(directory):
        raise _damaged(f"{len(directory) - at} bytes after the directory's last entry", "none")
    return tuple(sorted(entries, key=lambda entry: entry.offset))


def _entry(fields: tuple[int, ...], name: bytes, extra: bytes) -> ZipEntry:
    made_by, needed, flags, method, crc = fields[1], fields[2], fields[3], fields[4], fields[7]
    size, compressed, offset = fields[9], fields[8], fields[16]
    shown = repr(name[:200].decode("utf-8", "backslashreplace"))
    system, version = divmod(needed, 256)
    newest = _NEWEST_OF_VMS if system == _VMS else _NEWEST
    if version > newest:
        raise _damaged(f"entry {shown} needs version {version} of the format", f"at most {newest}")
    if flags & ~_KNOWN_FLAGS:
        raise _damaged(f"entry {shown} has flags {flags:#06x}", "those of plain entries")
    if fields[13]:
        raise _damaged(f"entry {shown} begins on disk {fields[13]}", "one file")
    wide, unicode_name = _known_fields(shown, name, extra)
    if unicode_name is not None and flags & _UTF8 and unicode_name != name:
        raise _damaged(f"entry {shown} has a second name, {unicode_name[:200]!r}", "one name")
    if 0xFFFFFFFF in (size, compressed, offset):
        size, compressed, offset = _wide(shown, wide or b"", (size, compressed, offset))
    return ZipEntry(
        name=name,
        kind=_kind(shown, unicode_name or name, made_by >> 8, fields[15]),
        flags=flags,
        method=method,
        crc=crc,
        compressed=compressed,
        size=size,
        offset=offset,
        unicode_name=unicode_name,
        wide=wide is not None,
    )


def _known_fields(shown: str, name: bytes, extra: bytes) -> tuple[bytes | None, bytes | None]:
    """Return an entry's zip64 field, and its name in UTF-8 by the field for it."""
    wide = unicode_name = None
    for tag, values in _extra_fields(shown, extra):
        if tag == _ZIP64_FIELD and wide is None:
            wide = values
        elif tag == _UNICODE_PATH_FIELD and unicode_name is None:
            unicode_name = _unicode_name(name, values)
    return wide, unicode_name


def _is_utf8(name: bytes) -> bool:
    try:
        name.decode()
    except UnicodeDecodeError:
        return False
    return True


def _unicode_name(name: bytes, values: bytes) -> bytes | None:
    # APPNOTE 4.6.9: version 1, the CRC-32 of the name in the header, then the name in UTF-8. Where the sum does not
    # fit, the entry was renamed by a tool that does not know the field, which is then to be ignored.
    if len(values) <= _UNICODE_PATH.size:
        return None
    version, crc = _UNICODE_PATH.unpack_from(values)
    return values[_UNICODE_PATH.size :] if (version, crc) == (1, deflate.crc32(name)) else None


def _extra_fields(shown: str, extra: bytes) -> Iterator[tuple[int, bytes]]:
    at = 0
    while at + 4 <= len(extra):
        tag, length = struct.unpack_from("<HH", extra, at)
        at += 4 + length
        if at > len(extra):
            raise _damaged(f"entry {shown} has an extra field longer than all of them", "fields that fit")
        yield tag, extra[at - length : at]
    # Zeros fill up to a boundary; what else is left over bsdtar refuses.
    if extra[at:].strip(b"\0"):
        raise _damaged(
            f"entry {shown} has {len(extra) - at} bytes after its last extra field", "fields that fit"
        )


def _wide(shown: str, values: bytes, narrow: tuple[int, int, int]) -> tuple[int, int, int]:
    # APPNOTE 4.5.3: only what is all ones in the entry is in the zip64 field, in this order.
    wide = []
    for value in narrow:
        if value != 0xFFFFFFFF:
            wide.append(value)
            continue
        if len(values) < 8:
            raise _damaged(f"entry {shown} refers to a zip64 field that is not there", "one that is")
        wide.append(int.from_bytes(values[:8], "little"))
        values = values[8:]
    size, compressed, offset = wide
    return size, compressed, offset


def _kind(shown: str, name: bytes, host: int, attributes: int) -> Kind:
    by_name: Kind = "directory" if name.endswith(b"/") else "file"
    kinds: dict[int, Kind] = {
        0: by_name,
        stat.S_IFREG: by_name,
        stat.S_IFDIR: "directory",
        stat.S_IFLNK: "symlink",
        stat.S_IFCHR: "device",
        stat.S_IFBLK: "device",
        stat.S_IFIFO: "fifo",
        stat.S_IFSOCK: "special",
    }
    # Whatever the host, some reader goes by the mode: unzip and 7-Zip make symbolic links for hosts that have
    # none. Of a type that there is not, bsdtar makes a file of zeros; a volume's label unzip leaves out.
    kind = kinds.get(stat.S_IFMT(attributes >> 16), "special")
    is_folder = kind == "directory" or (host in _DOS and attributes & _DOS_FOLDER)
    if is_folder and by_name == "file":
        raise _damaged(
            f"entry {shown} is a directory by its attributes, a file by its name", "one of the two"
        )
    return "special" if host not in _UNIX and attributes & _DOS_LABEL else kind


def _side_by_side(entries: tuple[ZipEntry, ...], end: int) -> tuple[ZipEntry, ...]:
    limits = [entry.offset for entry in entries[1:]] + [end]
    placed = tuple(replace(entry, limit=limit) for entry, limit in zip(entries, limits, strict=False))
    for entry in placed:
        if entry.offset + local_bytes(entry) + entry.compressed > entry.limit:
            raise _overlap(entry)
    return placed


def _overlap(entry: ZipEntry) -> Unreadable:
    return Unreadable(
        "ZipOverlap",
        f"entry {entry.shown} at {entry.offset} reaches beyond {entry.limit}, where something else begins",
        "entries side by side",
        f"the zip is damaged, or made to harm: {_ZIP_AGAIN}",
    )


def _damaged(seen: str, wanted: str) -> Unreadable:
    return Unreadable("ZipDamaged", seen, wanted, f"{_ZIP_AGAIN}; {_UPLOAD_AGAIN}")
