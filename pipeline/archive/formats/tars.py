"""A tar being read as it streams by: members announced, their data handed to whoever wants it.

Owns the tar formats: V7, ustar, GNU (long names, base-256 numbers) and pax (path, size). Where GNU tar,
Python and others would read one archive in two ways, it refuses the archive: what was judged must be what is
unpacked later. It never seeks, and holds at most one header.
"""

from __future__ import annotations

from enum import Enum, auto
from typing import TYPE_CHECKING, Final

from pipeline.archive.checks.lookalikes import recognize
from pipeline.archive.checks.report import Kind, Unreadable
from pipeline.archive.formats.detect import BLOCK, tar_checksum_fits
from pipeline.gguf.header import MAGIC

if TYPE_CHECKING:
    from pipeline.archive.checks.members import Register, Sink
    from pipeline.archive.checks.rules import Rules

_ZEROS: Final = bytes(BLOCK)
_PACK: Final = "pack again: tar czf, or sealift pack MODEL.gguf --output model.tar.gz"

_KINDS: Final[dict[bytes, Kind]] = {
    b"\0": "file",
    b"0": "file",
    b"7": "file",  # contiguous: every reader treats it as a file
    b"1": "hardlink",
    b"2": "symlink",
    b"3": "device",
    b"4": "device",
    b"5": "directory",
    b"6": "fifo",
}
# What a global pax header must not say: it would rename or resize every member after it.
_MEMBER_KEYWORDS: Final = frozenset({b"path", b"size", b"linkpath", b"hdrcharset"})
_MAX_SIZE: Final = 2**63 - 1
_NUMBERS: Final = (
    ("mode", slice(100, 108)),
    ("user", slice(108, 116)),
    ("group", slice(116, 124)),
    ("time", slice(136, 148)),
    ("device", slice(329, 337)),
    ("device", slice(337, 345)),
)
"""Where numbers stand besides the size: of no interest here, and where they are none, GNU tar fails."""
_BINARY: Final = {"user": False, "group": False, "time": True}
"""Which of them may be in base-256, and whether with a sign; of any other 7-Zip stops there, and says nothing."""


class _TarPart(Enum):
    HEADER = auto()
    EXTENSION = auto()
    DATA = auto()
    PADDING = auto()
    ZEROS = auto()


def _mode(field: bytes) -> int | None:
    """Return the permissions in a header; None where they are no octal number."""
    digits = field.split(b"\0", 1)[0].strip(b" ")
    return None if not digits or digits.strip(b"01234567") else int(digits, 8)


def _is_octal(field: bytes) -> bool:
    """Return whether all readers take a field of a header for the same octal number, or for none."""
    digits, _, rest = field.partition(b"\0")
    if not digits:
        return not rest.strip(b"\0")  # GNU tar passes over a zero before digits.
    if rest.strip(b"\0 "):
        return False  # GNU tar and Python stop at the zero; bsdtar sees no tar.
    number = digits.strip(b" ")
    return bool(number) and not number.strip(b"01234567")


def _is_binary(field: bytes, *, signed: bool) -> bool:
    """Return whether a field is a number in GNU's base-256, of what an owner (32 bits) or a time (64) can be."""
    if field[0] == 0x80:
        return int.from_bytes(field[1:], "big") < (1 << 63 if signed else 1 << 32)
    return signed and field[0] == 0xFF and int.from_bytes(field, "big", signed=True) >= -(1 << 63)


class TarReader:
    """Reads plain pieces of any size; feed it in order, then call `finish`."""

    def __init__(self, census: Register, rules: Rules) -> None:
        self.plain_bytes = 0
        self._census = census
        self._rules = rules
        self._expecting = _TarPart.HEADER
        self._held = bytearray()
        self._left = 0
        self._padding = 0
        self._sink: Sink | None = None
        self._headers = 0
        self._position = 0
        self._extension = b""
        self._name: bytes | None = None
        self._link: bytes | None = None
        self._pax: dict[bytes, bytes] | None = None
        self._path = ""

    @property
    def data_left(self) -> int:
        """Return how many bytes of the current member's data have not come yet."""
        return self._left if self._expecting is _TarPart.DATA else 0

    def feed(self, piece: bytes) -> None:
        """Take the next plain bytes; raise Unreadable where they are not a tar."""
        self.plain_bytes += len(piece)
        view = memoryview(piece)
        while view:
            # What is left of this piece has not been looked at: a member begins right before it.
            self._position = self.plain_bytes - len(view)
            if self._expecting is _TarPart.DATA:
                view = self._take_data(view)
            elif self._expecting is _TarPart.PADDING:
                skipped = min(self._padding, len(view))
                self._padding -= skipped
                view = view[skipped:]
                if not self._padding:
                    self._expecting = _TarPart.HEADER
            elif self._expecting is _TarPart.ZEROS:
                self._check_zeros(view)
                return
            else:
                view = self._take_block(view)

    def pass_over(self, place: int) -> bool:
        """Go on at that plain byte as if the rest of a member had come; return False where it does not end there."""
        if self._expecting is not _TarPart.DATA or self.plain_bytes + self._left + self._padding != place:
            return False
        self.plain_bytes, self._left, self._padding = place, 0, 0
        self._sink = None
        self._expecting = _TarPart.HEADER
        return True

    def finish(self) -> None:
        """Raise Unreadable when the tar ended too early."""
        if self._expecting is _TarPart.ZEROS:
            return
        if self._expecting is _TarPart.HEADER and not self._held and self._headers and not self._pending():
            # Some writers leave out the two blocks of zeros at the end; every reader takes that.
            return
        if not self._headers:
            raise self._not_a_tar(bytes(self._held))
        if self._expecting is _TarPart.DATA:
            what = f"member {self._path!r}, {self._left} bytes before its end"
        else:
            what = f"a header or the padding after {self._path!r}"
        raise Unreadable(
            "TarCutShort",
            f"the tar ends after {self.plain_bytes} bytes, inside {what}",
            "a complete tar",
            _PACK,
        )

    # -- pieces

    def _take_data(self, view: memoryview) -> memoryview:
        taken = view[: self._left]
        self._left -= len(taken)
        if self._sink is not None and taken:
            self._sink.write(taken)
        if not self._left:
            self._end_member()
        return view[len(taken) :]

    def _end_member(self) -> None:
        if self._sink is not None:
            self._sink.close()
            self._sink = None
        self._expecting = _TarPart.PADDING if self._padding else _TarPart.HEADER

    def _take_block(self, view: memoryview) -> memoryview:
        wanted = self._left if self._expecting is _TarPart.EXTENSION else BLOCK
        taken = view[: wanted - len(self._held)]
        self._position += len(taken)
        self._held += taken
        if len(self._held) == wanted:
            block = bytes(self._held)
            self._held.clear()
            if self._expecting is _TarPart.EXTENSION:
                size, self._left = self._left - self._padding, 0
                self._padding = 0
                self._expecting = _TarPart.HEADER
                self._read_extension(block[:size], block[size:])
            else:
                self._read_header(block)
        return view[len(taken) :]

    def _check_zeros(self, view: memoryview) -> None:
        # The first zero block ends the archive for GNU tar and Python; what follows would be unpacked only by
        # readers told to ignore zeros, so a second archive behind it is not what it seems.
        if bytes(view).count(0) != len(view):
            raise Unreadable(
                "DataAfterEnd",
                f"data after the end of the tar (before byte {self.plain_bytes})",
                "only zeros",
                f"archives were concatenated, or data hidden: {_PACK}",
            )

    # -- headers

    def _read_header(self, block: bytes) -> None:
        if block == _ZEROS:
            if self._pending():
                raise self._damaged("an extended header without a member")
            self._expecting = _TarPart.ZEROS
            # An archive of zeros alone is an empty tar, not a damaged one.
            self._headers += 1
            return
        if not tar_checksum_fits(block):
            raise (
                self._damaged("a header whose checksum is wrong") if self._headers else self._not_a_tar(block)
            )
        self._headers += 1
        if self._headers > 4 * self._rules.max_members:
            raise self._damaged(f"more than {4 * self._rules.max_members} headers")
        self._check_numbers(block)
        if block[257:263] == b"ustar " and block[156:157] != b"S" and any(block[386:495]):
            # The map of a sparse file's holes: bsdtar goes by it whatever the type is.
            raise self._damaged("a header that GNU tar and others read differently (a map of holes)")
        kind = block[156:157]
        size = self._number(block[124:136], "size")
        if kind in {b"x", b"g", b"L", b"K"}:
            self._begin_extension(kind, size)
        else:
            self._begin_member(block, kind, size)

    def _begin_extension(self, kind: bytes, size: int) -> None:
        if not 0 < size <= self._rules.max_header_bytes:
            raise Unreadable(
                "TarHeaderTooLong",
                f"an extended header of {size} bytes",
                f"1 to {self._rules.max_header_bytes} bytes",
                _PACK,
            )
        known = {b"x": self._pax, b"L": self._name, b"K": self._link}.get(kind)
        if known is not None:
            raise self._damaged("two extended headers of one type for one member")
        self._extension = kind
        self._padding = -size % BLOCK
        self._left = size + self._padding
        self._expecting = _TarPart.EXTENSION

    def _read_extension(self, content: bytes, padding: bytes) -> None:
        if self._extension in {b"L", b"K"} and b"\0" not in content and not padding.startswith(b"\0"):
            # GNU tar and Python read on to the next zero, others do not.
            raise self._damaged(f"a long name that does not end where its size says: {content[:99]!r}")
        if self._extension == b"L":
            self._name = content.split(b"\0", 1)[0]
        elif self._extension == b"K":
            self._link = content.split(b"\0", 1)[0]
        elif self._extension == b"x":
            self._pax = self._records(content)
        else:
            for keyword in self._records(content):
                if keyword in _MEMBER_KEYWORDS or keyword.startswith(b"GNU.sparse."):
                    raise self._damaged(
                        f"a global pax header that sets {keyword.decode('ascii', 'replace')!r}"
                    )

    def _records(self, content: bytes) -> dict[bytes, bytes]:
        # POSIX pax: "%d %s=%s\n", the number being the length of the whole record.
        records: dict[bytes, bytes] = {}
        at = 0
        while at < len(content):
            space = content.find(b" ", at, at + 20)
            digits = content[at:space] if space > 0 else b""
            end = at + int(digits) if digits.isdigit() else 0
            keyword, equals, value = content[space + 1 : end - 1].partition(b"=")
            if (
                not space < end <= len(content)
                or content[end - 1 : end] != b"\n"
                or not keyword
                or b"\0" in keyword
                or not equals
            ):
                raise self._damaged("a pax record that is not 'length keyword=value'")
            records[keyword] = value
            at = end
        return records

    def _begin_member(self, block: bytes, typeflag: bytes, size: int) -> None:
        pax = self._pax or {}
        kind = _KINDS.get(typeflag, "sparse" if typeflag == b"S" else "special")
        if any(keyword.startswith(b"GNU.sparse.") for keyword in pax):
            kind = "sparse"
        name = self._member_name(block, pax)
        if name.endswith(b"/") and kind == "file":
            if typeflag != b"\0":
                raise self._damaged(f"a file whose name ends in a slash: {name[:99]!r}")
            kind = "directory"
        if b"size" in pax:
            size = self._pax_size(pax[b"size"])
        self._name = self._link = self._pax = None
        if kind == "directory" and size:
            raise self._damaged(f"a directory with {size} bytes of data")
        if kind in {"symlink", "hardlink", "device", "fifo"}:
            # Their size says nothing about data: there is none.
            size = 0
        self._sink = self._census.enter(name, size, kind, self._position, _mode(block[100:108]))
        self._path = name[:99].decode("utf-8", "backslashreplace")
        if typeflag == b"S":
            raise self._damaged("a sparse file in GNU's old format, whose length is not where others have it")
        self._left = size
        self._padding = -size % BLOCK
        self._expecting = _TarPart.DATA
        if not size:
            self._end_member()

    def _member_name(self, block: bytes, pax: dict[bytes, bytes]) -> bytes:
        if self._name is not None and b"path" in pax:
            raise self._damaged("a member with a GNU long name and a pax path")
        if self._name is not None:
            return self._name
        if b"path" in pax:
            return pax[b"path"]
        name = block[:100].split(b"\0", 1)[0]
        prefix = block[345:500].split(b"\0", 1)[0]
        if not prefix:
            return name
        if block[257:263] != b"ustar\0":
            # GNU tar keeps times there (--incremental), Python takes them for a directory's name.
            raise self._damaged("a header that GNU tar and others read differently (an incremental backup?)")
        return prefix + b"/" + name

    def _pax_size(self, value: bytes) -> int:
        if not value.isdigit() or len(value) > 19 or int(value) > _MAX_SIZE:
            raise self._damaged(f"a pax size of {value[:30]!r}")
        return int(value)

    def _number(self, field: bytes, what: str) -> int:
        # GNU's base-256: the first bit set, the rest a big-endian number. Sizes over 8 GiB need it.
        if field[0] & 0x80:
            value = int.from_bytes(bytes([field[0] & 0x7F]) + field[1:], "big")
            if value > _MAX_SIZE:
                raise self._damaged(f"a {what} beyond 2^63")
            return value
        if not _is_octal(field):
            raise self._damaged(f"a {what} of {field!r}")
        return int(field.split(b"\0", 1)[0].strip(b" ") or b"0", 8)

    def _check_numbers(self, block: bytes) -> None:
        for what, place in _NUMBERS:
            field = block[place]
            if not _is_octal(field) and not (what in _BINARY and _is_binary(field, signed=_BINARY[what])):
                raise self._damaged(f"a {what} of {field!r} in a header")

    def _pending(self) -> bool:
        return self._name is not None or self._link is not None or self._pax is not None

    # -- refusals

    def _damaged(self, seen: str) -> Unreadable:
        where = f", after {self._path!r}" if self._path else ""
        return Unreadable(
            "TarDamaged",
            f"{seen}, within the first {self.plain_bytes} plain bytes{where}",
            "a tar that all readers read alike",
            _PACK,
        )

    def _not_a_tar(self, block: bytes) -> Unreadable:
        content = recognize(block, "model.gguf")
        fix = content.fix
        if block.startswith(MAGIC):
            fix = (
                "unpack it, then pack it: gunzip MODEL.gguf.gz, sealift pack MODEL.gguf --output model.tar.gz"
            )
        return Unreadable(
            "NotATar",
            f"inside the gzip stream: {content.what}",
            "a tar archive",
            fix or f"{_PACK}; gzip alone makes no archive",
        )
