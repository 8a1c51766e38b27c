"""The members of an archive, judged one by one and as a whole.

Owns the layout: what a member may be called, which one is the model, what must be there. It is the same for
tar and zip. It refuses to decode archives: `tars` and `zips` announce the members and hand over their data.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import replace
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Final, Protocol

from inference import sealift_models as models
from pipeline.archive.checks.lookalikes import HEAD_BYTES, named_like, recognize
from pipeline.archive.checks.report import Companion, Findings, FoundModel, Kind, Member, Shard, Unreadable
from pipeline.archive.checks.rules import ENTRY_POINT, JUNK_NAMES, Rules
from pipeline.archive.formats.zips import sizes_wrapped
from pipeline.errors import Problem
from pipeline.gguf import companions, loading, purpose
from pipeline.gguf.header import MAGIC, SHARD_NAME, GGUFHeader, GGUFParser, GGUFProblem

if TYPE_CHECKING:
    from pipeline.archive.checks.read_budget import ReadBudget
    from pipeline.archive.formats.deflate import Buffer
    from pipeline.archive.s3.sources import Source

PACK: Final = "pack again: sealift pack MODEL.gguf --output model.tar.gz"
BESIDE: Final = f"what is loaded beside a model is named {models.COMPANION_NAMES}, and lies at the root"
_ARCHIVE_ENDINGS: Final = (".tar.gz", ".tgz", ".tar", ".zip", ".gz", ".7z", ".xz", ".bz2", ".zst")
_UNPRINTABLE: Final = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029]")
"""Unicode's control characters, line and paragraph separators."""
_NEEDED: Final[dict[Kind, int]] = {"file": 0o004, "directory": 0o005}
"""The permissions that somebody who is neither owner nor group needs."""
_JUNK: Final = re.compile(rf"(?:^|/)(?:\._|(?:{'|'.join(map(re.escape, sorted(JUNK_NAMES)))})(?:/|\Z))")
_KIND_PROBLEMS: Final[dict[Kind, tuple[str, str]]] = {
    "symlink": ("MemberIsSymlink", "a symbolic link"),
    "hardlink": ("MemberIsHardlink", "a hard link"),
    "device": ("MemberIsDevice", "a device"),
    "fifo": ("MemberIsFifo", "a named pipe"),
    "sparse": ("MemberIsSparse", "a sparse file"),
    "special": ("MemberIsSpecial", "an entry of an unknown type"),
}


class Sink(Protocol):
    """Takes one member's data."""

    def write(self, data: Buffer) -> None:
        """Take the next bytes."""

    def close(self) -> None:
        """Take note that the member has ended."""


class Register(Protocol):
    """Is called for every member as it begins."""

    def enter(
        self, name: bytes, size: int, kind: Kind, at: int | None = None, mode: int | None = None
    ) -> Sink | None:
        """Take note of a member; return a sink when its data is wanted."""


class Census:
    """Every member announced so far, and what is wrong with them."""

    def __init__(self, rules: Rules, findings: Findings) -> None:
        self.members: list[Member] = []
        self.findings = findings
        self._rules = rules
        self._kinds: dict[str, Kind] = {}
        # A folder is a number, and known by its parent's number and its name: whole paths would take memory and time
        # that grow with their depth times their length.
        self._folders: dict[tuple[int, str], int] = {}
        self._files: set[tuple[int, str]] = set()
        self._open: set[_HeaderReader] = set()
        self._readers: dict[str, _HeaderReader] = {}
        self._junk: list[str] = []
        self._closed: list[str] = []
        self._refused: list[str] = []
        self._nested: list[str] = []

    def enter(
        self, name: bytes, size: int, kind: Kind, at: int | None = None, mode: int | None = None
    ) -> Sink | None:
        """Take note of a member; return a sink when its data is wanted.

        Args:
            name: as it stands in the archive.
            size: bytes of its data.
            kind: what it is.
            at: where its header ends in the plain bytes of a tar.
            mode: its permissions, where it will be unpacked with them.
        """
        if len(self.members) >= self._rules.max_members:
            raise Unreadable(
                "TooManyMembers",
                f"more than {self._rules.max_members} members",
                f"at most {self._rules.max_members}: a model, its code and its runtime",
                PACK,
            )
        path, problem = placed(name, self._rules)
        member = Member(path, size, kind, at=at)
        self.members.append(member)
        if is_junk(path):
            self._junk.append(path)
            return None
        if problem is None and path == "." and kind != "directory":
            problem = Problem("MemberWithoutName", f"a {kind} called {path!r}", "a name", PACK)
        if problem is None:
            problem = self._of_kind(member) or self._of_place(member)
        if problem is not None:
            self.findings.add(problem)
            self._refused.append(path)
            return None
        if mode is not None and kind in _NEEDED and mode & _NEEDED[kind] != _NEEDED[kind]:
            self._closed.append(f"{path!r} (mode {mode & 0o7777:04o})")
        if self._is_model(member):
            reader = self._readers[path] = _HeaderReader(member, self.findings, self._open)
            self._open.add(reader)
            return reader
        if kind == "file" and path.startswith("code/"):
            return _Hasher(self.members, len(self.members) - 1)
        return None

    def reading(self) -> bool:
        """Tell whether a model was met whose header has not been read yet, or what lies beside one that is to come."""
        return bool(self._open) or (bool(self._readers) and not self._serving())

    def awaits(self, sink: Sink) -> bool:
        """Tell whether a sink is a model's whose header has not been read yet."""
        return sink in self._open

    @property
    def described(self) -> bool:
        """Tell whether a header was read that describes a whole model: a later shard's does not."""
        return any(reader.header is not None and reader.header.architecture for reader in self._serving())

    def read_header(self, sink: Sink, source: Source, head: bytes, budget: ReadBudget) -> None:
        """Read a file as far as its header goes, within its budget; nothing is said of what lies behind that.

        Args:
            sink: the file's, as `enter` returned it.
            source: the file.
            head: its first bytes.
            budget: how far may be read.
        """
        piece, at = head, 0
        while piece and self.awaits(sink):
            sink.write(piece)
            at += len(piece)
            piece = source.read(at, budget.next(wanted=True)) if self.awaits(sink) else b""
        if not budget.spent:
            sink.close()
        else:
            self.findings.add(
                budget.exceeded(
                    f"{PurePosixPath(source.name).name!r}: its header had not ended",
                    "try again where it is read faster, or convert the model again with llama.cpp's current "
                    "convert_hf_to_gguf.py",
                )
            )

    @property
    def headers(self) -> int:
        """Return how many GGUF headers were read."""
        return sum(reader.header is not None for reader in self._readers.values())

    def settle(self, *, complete: bool) -> FoundModel | None:
        """Judge the whole; `complete` tells that no further member can come."""
        shards = [Shard(r.member.path, r.member.size, r.header) for r in self._serving()]
        model = self._chosen(shards, complete=complete)
        if model is not None and model.header is not None:
            before = self.findings.all()
            self._judge_header(model, model.header)
            # One reason is enough: what is recognized as something else lacks what a model has.
            unloadable = loading.problems(model.header) if self.findings.all() == before else ()
            for problem in unloadable:
                self._say_of(model.path, problem)
            if not unloadable:
                self._judge_companions(model, model.header)
            if unloadable:
                # Nothing follows from such metadata: no fit is worked out from what is missing.
                model = None
        if not shards:
            for path in self._nested:
                self.findings.add(_not_at_root(path))
        if complete and not shards:
            self._no_model()
        # A member that was refused under its own name is not missing as well.
        refused = any(path.endswith(ENTRY_POINT.rpartition("/")[2]) for path in self._refused)
        if complete and self._rules.code_required and not self.has_code() and not refused:
            self.findings.add(
                Problem(
                    "NoInferenceCode",
                    f"no {ENTRY_POINT!r} among {_listed([m.path for m in self.members])}",
                    f"{ENTRY_POINT!r} with model_fn, input_fn, predict_fn and output_fn",
                    f"{PACK}, which adds it",
                )
            )
        return model

    def notes(self) -> tuple[str, ...]:
        """Return what is not wrong and worth knowing: what is left out, and what others may not read."""
        notes = []
        if self._junk:
            notes.append(f"left out, since desktops leave it in folders: {_listed(self._junk)}")
        if self._closed:
            shown = ", ".join(self._closed[:3]) + (
                f" and {len(self._closed) - 3} more" * (len(self._closed) > 3)
            )
            notes.append(
                f"not readable by all: {shown}; a container that serves as another user than root cannot read it, "
                "unless the archive is written anew: chmod -R a+rX before tar, or sealift pack"
            )
        return tuple(notes)

    def has_code(self) -> bool:
        """Tell whether the entry point was seen as a file."""
        return self._kinds.get(ENTRY_POINT) == "file"

    def _serving(self) -> list[_HeaderReader]:
        """Return the readers of what may be the model: a projector that is named like one has been reported."""
        readers = [reader for reader in self._readers.values() if reader.kind is None]
        return [reader for reader in readers if not reader.of_another_kind] or readers

    def _companions(self) -> list[Companion]:
        return [
            Companion(reader.kind, reader.member.path, reader.member.size, reader.header)
            for reader in sorted(self._readers.values(), key=lambda reader: reader.member.path)
            if reader.kind is not None and reader.header is not None
        ]

    # -- one member

    def _is_model(self, member: Member) -> bool:
        """Tell whether a member counts as the model, or as a shard of it."""
        if member.kind != "file" or not models.is_model(member.path):
            return False
        return "/" not in member.path or (self._rules.relocate_model and is_relocatable(member.path))

    def _of_kind(self, member: Member) -> Problem | None:
        if member.kind in _KIND_PROBLEMS:
            error, what = _KIND_PROBLEMS[member.kind]
            fix = {
                "symlink": "leave it out if what it names is in the archive too; else tar -h writes the file itself",
                # GNU tar -h writes the second name of a file as a link of this kind.
                "hardlink": "leave it out: it is a second name of a file that is in the archive already",
            }.get(member.kind, f"leave it out, or {PACK}")
            if member.kind == "hardlink" and not models.is_model(member.path):
                fix += "; where both are needed, GNU tar writes them with --hard-dereference"
            return Problem(error, f"member {member.path!r} is {what}", "plain files and directories", fix)
        return None

    def _of_place(self, member: Member) -> Problem | None:
        path = member.path
        parts = path.split("/")
        known = self._kinds.get(path)
        if known is not None and not (known == member.kind == "directory"):
            return Problem("DuplicateMember", f"member {path!r} twice", "each path once", PACK)
        clash = self._clash(parts, member.kind)
        if clash is not None:
            return Problem(
                "MemberUnderFile",
                f"{clash!r} is a file, and a directory with members too",
                "one of both",
                PACK,
            )
        self._kinds[path] = member.kind
        nested = member.kind == "file" and len(parts) > 1 and path.lower().endswith(models.SUFFIX)
        if nested and not self._is_model(member):
            # What that means depends on whether there is a model at the root.
            self._nested.append(path)
        return None

    def _clash(self, parts: list[str], kind: Kind) -> str | None:
        """Take note of a member's place; return the path that would be a file and a folder."""
        *folders, name = parts
        here = 0
        for depth, folder in enumerate(folders, 1):
            if (here, folder) in self._files:
                return "/".join(parts[:depth])
            here = self._folders.setdefault((here, folder), len(self._folders) + 1)
        if kind == "file":
            if (here, name) in self._folders:
                return "/".join(parts)
            self._files.add((here, name))
        return None

    # -- the whole

    def _chosen(self, shards: list[Shard], *, complete: bool) -> FoundModel | None:
        if not shards:
            return None
        paths = [shard.path for shard in shards]
        if self._nested or len(models.models(paths)) > 1:
            beside = [path for path in self._nested if models.companion_kind(path)]
            fix = ""
            if beside and self._rules.companions:
                fix = f"put {beside[0]!r} at the root, beside the model"
            elif beside:
                fix = f"leave {beside[0]!r} out: container {self._rules.container!r} loads nothing beside a model"
            self.findings.add(
                Problem(
                    "SeveralModels",
                    f"{len(paths) + len(self._nested)} GGUF files that are not shards of one model: "
                    f"{_listed(paths + self._nested)}",
                    "one GGUF file, or the complete shards of one",
                    fix or f"keep the one that is to be served, and leave the others out; {BESIDE}",
                )
            )
            return None
        ordered = sorted(shards, key=lambda shard: shard.path)
        # The count is a claim in a name: five digits, so at most 99,999 names.
        wanted = models.shard_names(ordered[0].path)
        if complete:
            self._missing_shards(ordered, wanted)
        if not wanted or ordered[0].path != wanted[0]:
            # The first shard describes the model; without it (yet) there is none to report.
            return None
        return FoundModel(tuple(ordered), tuple(self._companions()))

    def _missing_shards(self, shards: list[Shard], wanted: tuple[str, ...]) -> None:
        there = {shard.path for shard in shards}
        missing = [path for path in wanted if path not in there]
        extra = sorted(there.difference(wanted))
        if missing or extra:
            prefix, count = shards[0].path[: -len("-00001-of-00002.gguf")], len(wanted)
            what = f"missing: {_numbered(missing)}" if missing else f"not of this set: {_listed(extra)}"
            self.findings.add(
                Problem(
                    "ShardsIncomplete",
                    f"{len(shards)} of {count} shards of {prefix!r}; {what}",
                    f"all {count} shards at the root",
                    "add what is missing, or merge them: llama-gguf-split --merge FIRST.gguf MODEL.gguf",
                )
            )

    def _say_of(self, path: str, problem: Problem) -> None:
        self.findings.add(replace(problem, seen=f"{path!r}: {problem.seen}"))

    def _judge_companions(self, model: FoundModel, header: GGUFHeader) -> None:
        """Judge what lies beside a model that loads."""
        try:
            models.parted([one.path for one in model.companions])
        except models.CompanionsWrong as error:
            self.findings.add(
                Problem(
                    "SeveralCompanions",
                    error.seen,
                    "at most one of each, which is all that is loaded",
                    error.fix,
                )
            )
        tensors = (
            {tensor.name: tensor for shard in model.shards if shard.header for tensor in shard.header.tensors}
            if model.complete
            else None
        )
        for one in model.companions:
            if not self._rules.companions:
                self._say_of(one.path, purpose.unaccompanied(one.kind, self._rules.container))
                continue
            found = (
                _split(one)
                or companions.problem(one.kind, one.header, header, tensors)
                or next(iter(loading.problems(one.header) if one.kind == models.DRAFT else ()), None)
            )
            if found is not None:
                self._say_of(one.path, found)

    def _judge_header(self, model: FoundModel, header: GGUFHeader) -> None:
        rules = self._rules
        unserved = purpose.unserved(header, embeddings=rules.embeddings, runtime=rules.runtime)
        if unserved is not None and header.architecture:
            self._say_of(model.path, unserved)
        match = SHARD_NAME.match(model.path)
        named = int(match["count"]) if match else 1
        if header.shard_count != named:
            self.findings.add(
                Problem(
                    "ShardCount",
                    f"{model.path!r} says that it is split into {header.shard_count}, its name says {named}",
                    "a name that ends in -00001-of-0000N.gguf, N as the file says",
                    "give the files back the names that llama-gguf-split gave them",
                )
            )
        elif named > 1 and not header.architecture:
            self.findings.add(
                Problem(
                    "GGUFNoArchitecture",
                    f"the first shard {model.path!r} names no architecture",
                    "the shard that llama-gguf-split wrote first, under number 00001",
                    "give the files back the names that llama-gguf-split gave them",
                )
            )
        elif named > 1 and (seen := _disagreement(model, named)):
            self.findings.add(
                Problem(
                    "ShardsDisagree",
                    seen,
                    "the shards of one model, each under the name that llama-gguf-split gave it",
                    "copy the shards again, all from one place",
                )
            )

    def _no_model(self) -> None:
        paths = [member.path for member in self.members if member.kind == "file"]
        nested = [path for path in paths if path.lower().endswith(_ARCHIVE_ENDINGS)]
        at_root = [path for path in paths if "/" not in path and path.lower().endswith(models.SUFFIX)]
        hidden = [path for path in at_root if path.startswith(".")]
        cased = [path for path in at_root if not path.endswith(models.SUFFIX)]
        if self._nested or any(path.lower().endswith(models.SUFFIX) for path in self._refused):
            return
        if beside := [reader.member.path for reader in self._readers.values()]:
            self.findings.add(alone(beside[0]))
            return
        like = named_like(paths)
        if cased:
            seen, fix = f"{cased[0]!r}, which does not end in lower case", "rename it to end in '.gguf'"
        elif hidden:
            seen = f"{hidden[0]!r}, a hidden file: the endpoint passes over names that begin with a dot"
            fix = "rename it to model.gguf"
        elif like:
            seen, fix = like
        elif nested:
            seen, fix = f"an archive inside the archive: {nested[0]!r}", f"unpack that one, then {PACK}"
        else:
            seen, fix = f"no GGUF among {_listed(paths)}", f"{PACK}; other formats need converting first"
        self.findings.add(Problem("NoModel", seen, "one '*.gguf' at the root of the archive", fix))


class _HeaderReader:
    """Reads the GGUF header of one member as its data passes by."""

    def __init__(self, member: Member, findings: Findings, waiting: set[_HeaderReader]) -> None:
        self.member = member
        self.kind = models.companion_kind(member.path)
        """What it is beside a model, by its name; None for the model."""
        self._waiting = waiting
        self.of_another_kind = False
        """Whether it is a GGUF and no model: a projector, an adapter."""
        self._findings = findings
        self._parser = GGUFParser(companion=self.kind)
        self._head: bytes | None = b""

    @property
    def open(self) -> bool:
        """Tell whether more bytes are wanted."""
        return self in self._waiting

    @property
    def header(self) -> GGUFHeader | None:
        return self._parser.header

    def write(self, data: Buffer) -> None:
        if not self.open:
            return
        if self._head is None:
            self._feed(data)
            return
        self._head += data
        if len(self._head) >= HEAD_BYTES:
            self._begin()

    def _begin(self) -> None:
        """Feed the first bytes; what is no GGUF is recognized by more of them than the four of a GGUF."""
        head, self._head = self._head or b"", None
        if head[: len(MAGIC)] == MAGIC[: len(head)]:
            self._feed(head)
            return
        content = recognize(head, self.member.path)
        self._add(
            Problem("GGUFMagic", content.what, f"a GGUF, which begins with {MAGIC!r}", content.fix or PACK)
        )

    def _feed(self, data: Buffer) -> None:
        try:
            self._parser.feed(data)
        except GGUFProblem as error:
            self.of_another_kind = error.problem.error == purpose.NOT_A_LANGUAGE_MODEL
            self._add(error.problem)
        if self._parser.header is not None:
            self._waiting.discard(self)
            self._compare(self._parser.header)

    def close(self) -> None:
        if self.open and self._head is not None:
            self._begin()
        if self.open:
            try:
                self._parser.finish()
            except GGUFProblem as error:
                self._add(error.problem)

    def _compare(self, header: GGUFHeader) -> None:
        stated, needed = self.member.size, header.expected_size
        # A file ends with its last tensor, or with that one's padding.
        if stated < needed and (stated - needed) % (1 << 32) < header.alignment:
            whole = needed + (stated - needed) % (1 << 32)
            raise sizes_wrapped(repr(self.member.path), stated, whole)
        if stated < needed:
            self._add(
                Problem(
                    "ModelCutShort",
                    f"{stated} bytes",
                    f"at least {needed}, as its {len(header.tensors)} tensors need",
                    "copy or download the GGUF again and compare its checksum with the publisher's",
                )
            )

    def _add(self, problem: Problem) -> None:
        self._waiting.discard(self)
        self._findings.add(replace(problem, seen=f"{self.member.path!r}: {problem.seen}"))


class _Hasher:
    """Computes the SHA-256 of one member, so that code can be compared without unpacking it."""

    def __init__(self, members: list[Member], index: int) -> None:
        self._members = members
        self._index = index
        self._hash = hashlib.sha256()

    def write(self, data: Buffer) -> None:
        self._hash.update(data)

    def close(self) -> None:
        self._members[self._index] = replace(self._members[self._index], sha256=self._hash.hexdigest())


def _split(one: Companion) -> Problem | None:
    """Return that a file is one of several, where there is one option for one file."""
    if one.header.shard_count <= 1 and not SHARD_NAME.match(one.path):
        return None
    return Problem(
        "CompanionSplit",
        "one shard of several",
        "one file",
        "merge them: llama-gguf-split --merge FIRST.gguf MERGED.gguf",
    )


def alone(path: str) -> Problem:
    """Return that what lies beside a model, by its name, has none beside it."""
    kind = models.companion_kind(path)
    what = models.COMPANIONS[kind] if kind else "no model"
    return Problem(
        "NoModel",
        f"{path!r} alone, which is named like {what}",
        "a model beside it",
        f"add the model, or rename the file if it is the model: {BESIDE}",
    )


def _not_at_root(path: str) -> Problem:
    folder, _, name = path.rpartition("/")
    relocating = ', or deploy it with "relocate_model": true' if is_relocatable(path) else ""
    return Problem(
        "ModelNotAtRoot",
        f"{path!r} lies in the directory {folder!r}",
        f"{name!r} at the root of the archive",
        f"put it at the root: tar czf model.tar.gz -C DIRECTORY {name} code, or {PACK}{relocating}",
    )


def _disagreement(model: FoundModel, count: int) -> str | None:
    """Return why llama.cpp would not take these for the shards of one model (llama-model-loader.cpp); None if it would.

    It opens the files by their names, and compares what each says of its place.
    """
    names: set[str] = set()
    for shard in model.shards:
        match = SHARD_NAME.match(shard.path)
        if shard.header is None or match is None:
            continue
        said = shard.header.integer("split.no")
        if said != int(match["number"]) - 1:
            says = "does not say which shard it is" if said is None else f"says that it is shard {said + 1}"
            return f"{shard.path!r} {says} (split.no)"
        if shard.header.shard_count != count:
            return f"{shard.path!r} says that it is one of {shard.header.shard_count}, its name says {count}"
        there = names.intersection(tensor.name for tensor in shard.header.tensors)
        if there:
            return f"tensor {min(there)!r} in {shard.path!r} and in a shard before it"
        names.update(tensor.name for tensor in shard.header.tensors)
    total = model.header.integer("split.tensors.count") if model.header else None
    if model.complete and len(model.shards) == count and total != len(names):
        announced = "no number" if total is None else total
        return f"{len(names)} tensors in the shards, {announced} announced by the first (split.tensors.count)"
    return None


def is_junk(path: str) -> bool:
    """Tell whether a member is what a desktop left, or lies in a folder of its: never a model, never needed."""
    return _JUNK.search(path) is not None


def is_relocatable(path: str) -> bool:
    """Tell whether a file is a model that only lies in the wrong place: in a directory, but not among the code."""
    return "/" in path and models.is_model(path) and not path.startswith("code/")


def placed(name: bytes, rules: Rules) -> tuple[str, Problem | None]:
    """Return the path under the model directory, and what is wrong with the name, if anything."""
    text = name.decode("utf-8", "backslashreplace")
    shown = f"{text[:40]}...{text[-20:]}"
    if name.count(b"/") > rules.max_depth and len(name) <= rules.max_path_bytes:
        return shown, Problem(
            "MemberTooDeep",
            f"member {shown!r} with {name.count(b'/')} slashes",
            f"at most {rules.max_depth} folders in each other",
            PACK,
        )
    if len(name) > rules.max_path_bytes:
        return shown, Problem(
            "MemberPathTooLong",
            f"a path of {len(name)} bytes: {shown!r}",
            f"at most {rules.max_path_bytes} bytes",
            "shorten it",
        )
    problem = _of_name(name, text, rules)
    path = "/".join(part for part in text.split("/") if part not in {"", "."})
    return path or ".", problem


def _of_name(name: bytes, text: str, rules: Rules) -> Problem | None:
    parts = text.split("/")
    if not _is_utf8(name):
        return Problem(
            "MemberNameEncoding",
            f"member {repr(name[:200])[1:]}, in a code page that the archive does not name",
            "a name in UTF-8",
            "give it a name of plain letters, and archive it again",
        )
    if not name:
        return Problem("MemberWithoutName", "a member without a name", "a name", PACK)
    if _UNPRINTABLE.search(text):
        return Problem(
            "MemberNameUnprintable", f"member {text!r}", "a name without control characters", "rename it"
        )
    if text.startswith("/"):
        return Problem(
            "MemberIsAbsolute",
            f"absolute path {text!r}",
            "paths relative to the archive",
            f"{PACK}, or tar -C",
        )
    if ".." in parts:
        return Problem(
            "MemberEscapes", f"path {text!r} leaves the directory", "paths without '..'", f"{PACK}, or tar -C"
        )
    if "\\" in text:
        return Problem(
            "MemberHasBackslash",
            f"member {text!r}",
            "'/' between directories",
            f"{PACK}; some Windows tools write '\\' into archives",
        )
    longest = max(name.split(b"/"), key=len)
    if len(longest) > rules.max_name_bytes:
        shown = longest[:40].decode("utf-8", "ignore")
        return Problem(
            "MemberNameTooLong",
            f"a name of {len(longest)} bytes: {shown + '...'!r}",
            f"at most {rules.max_name_bytes} bytes between slashes",
            "shorten it",
        )
    return None


def _is_utf8(name: bytes) -> bool:
    try:
        name.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True


def _numbered(shards: list[str], most: int = 5) -> str:
    """Return which shards these are, all of them: by name, or many by their numbers."""
    if len(shards) <= most:
        return _listed(shards)
    numbers = [int(match["number"]) for path in shards if (match := SHARD_NAME.match(path))]
    runs: list[list[int]] = []
    for number in numbers:
        if runs and number == runs[-1][-1] + 1:
            runs[-1].append(number)
        else:
            runs.append([number])
    ranges = [f"{run[0]} to {run[-1]}" if len(run) > 1 else str(run[0]) for run in runs]
    return f"numbers {', '.join(ranges)}"


def _listed(paths: list[str], most: int = 5) -> str:
    if not paths:
        return "no files"
    shown = ", ".join(repr(path) for path in paths[:most])
    return f"{shown} and {len(paths) - most} more" if len(paths) > most else shown
