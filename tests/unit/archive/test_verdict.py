"""What is said about good archives and bad ones, at first sight and after the whole pass."""

from __future__ import annotations

import gzip
import io
import json
import random
import re
import tarfile
import zipfile
import zlib
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline import limits
from pipeline.archive.checks.inspect import inspect
from pipeline.archive.checks.members import Census
from pipeline.archive.checks.report import Findings
from pipeline.archive.checks.rules import Rules
from pipeline.archive.checks.verify import verify
from pipeline.archive.formats import deflate
from pipeline.archive.s3.sources import BytesSource
from pipeline.errors import InvalidArchive

if TYPE_CHECKING:
    from collections.abc import Callable

    from .conftest import Forge

NO_CODE = Rules(code_required=False)
ZIP = Rules(zip_deployable=True)


def errors(data: bytes, *, rules: Rules | None = None, name: str = "model.tar.gz") -> list[str]:
    """Return the names of the problems after the whole pass, checking those of the first sight."""
    report = verify(BytesSource(data, name), rules=rules)
    quick = inspect(BytesSource(data, name), rules=rules)
    # Small archives are read whole by both, so they have to agree.
    assert [p.error for p in quick.problems] == [p.error for p in report.problems]
    for problem in report.problems:
        assert all(problem.to_json().values())
    return [problem.error for problem in report.problems]


def test_a_model_in_a_directory_is_the_model_when_it_is_to_be_moved(forge: Forge) -> None:
    """Moving it is the assembly's work; the verdict is that of the new archive, the path the one seen."""
    data = forge.tar_gz({**forge.code, "x/y/m.gguf": forge.model()})

    report = verify(BytesSource(data), rules=Rules(relocate_model=True))

    assert report.problems == ()
    assert report.model is not None
    assert (report.model.path, report.model.header is None) == ("x/y/m.gguf", False)


@pytest.mark.parametrize(
    ("members", "error"),
    [
        pytest.param(["m.gguf", "x/m.gguf"], "SeveralModels", id="one at the root too"),
        pytest.param(["x/m.gguf", "y/m.gguf"], "SeveralModels", id="two directories"),
        pytest.param(["code/m.gguf"], "ModelNotAtRoot", id="among the code"),
    ],
)
def test_what_cannot_be_moved_is_refused(members: list[str], error: str, forge: Forge) -> None:
    """Which of two models is meant is nobody's to guess, and code is not where a model is looked for."""
    data = forge.tar_gz({**forge.code, **{path: forge.model() for path in members}})

    assert errors(data, rules=Rules(relocate_model=True)) == [error]


@pytest.mark.parametrize("look", [inspect, verify])
def test_a_good_archive_is_accepted_with_its_facts(look: Callable[..., object], forge: Forge) -> None:
    """Verdict, members, model and code are reported, and the report is JSON."""
    source = BytesSource(forge.tar_gz(forge.good()))

    report = look(source).to_json()  # type: ignore[attr-defined]

    assert report["verdict"] == "accepted"
    assert report["format"] == "tar.gz"
    assert [member["path"] for member in report["members"]] == ["code/inference.py", "model.gguf"]
    assert report["model"]["path"] == "model.gguf"
    assert report["model"]["architecture"] == "llama"
    assert report["model"]["quantization"] == "F32"
    assert report["model"]["n_tensors"] == 1
    assert report["problems"] == []
    assert report["code"] is True
    assert report["complete"] is True
    assert report["bytes_read"] <= 2 * source.size
    assert json.loads(json.dumps(report)) == report


def test_the_whole_pass_gives_the_sha256_of_the_object(forge: Forge) -> None:
    """The digest is that of the archive as it lies there."""
    import hashlib

    data = forge.tar_gz(forge.good())

    assert verify(BytesSource(data)).sha256 == hashlib.sha256(data).hexdigest()


def test_progress_is_told_to_the_end(forge: Forge) -> None:
    """The last call says that all is done."""
    calls: list[tuple[int, int]] = []
    data = forge.tar_gz(forge.good())

    verify(BytesSource(data), progress=lambda done, total: calls.append((done, total)))

    assert calls[-1] == (len(data), len(data))


def test_several_gzip_members_are_one_archive(forge: Forge) -> None:
    """What pigz or cat produce is read as one stream, and counted."""
    tar = forge.tar(forge.good())

    report = verify(BytesSource(gzip.compress(tar[:700]) + gzip.compress(tar[700:])))

    assert report.verdict == "accepted"
    assert report.gzip_members == 2


def test_a_model_in_complete_shards_is_accepted(forge: Forge) -> None:
    """The shards of one split model count as one model, its numbers added up."""
    shards = forge.shards(2)

    report = verify(BytesSource(forge.tar_gz({**forge.code, **shards})))

    assert report.problems == ()
    assert report.model is not None
    facts = report.model.to_json()
    assert facts["path"] == "m-00001-of-00002.gguf"
    assert facts["shards"] == list(shards)
    assert facts["n_tensors"] == 2
    assert facts["size"] == sum(map(len, shards.values()))


def numbers_told(seen: str) -> set[int]:
    """Return the numbers of shards that a message tells, by their names or as ranges."""
    told = seen.rpartition("missing: ")[2]
    if names := re.findall(r"m-(\d{5})-of-", told):
        return {int(name) for name in names}
    ranges = re.findall(r"(\d+)(?: to (\d+))?", told.rpartition("numbers ")[2])
    return {number for first, last in ranges for number in range(int(first), int(last or first) + 1)}


@given(st.integers(1, 40).flatmap(lambda n: st.tuples(st.just(n), st.sets(st.integers(1, n)))))
def test_exactly_the_missing_shards_are_named(case: tuple[int, set[int]]) -> None:
    """However many there are."""
    count, missing = case
    census = Census(Rules(code_required=False), Findings())
    for number in set(range(1, count + 1)) - missing:
        census.enter(f"m-{number:05}-of-{count:05}.gguf".encode(), 5, "file")

    census.settle(complete=True)

    problems = [one for one in census.findings.all() if one.error == "ShardsIncomplete"]
    assert bool(problems) == (0 < len(missing) < count)
    for problem in problems:
        assert numbers_told(problem.seen) == missing
        assert f"{count - len(missing)} of {count} shards" in problem.seen


def renamed(shards: dict[str, bytes]) -> dict[str, bytes]:
    """Return two shards, each under the other one's name."""
    first, second = shards
    return {first: shards[second], second: shards[first]}


@pytest.mark.parametrize(
    ("change", "seen"),
    [
        pytest.param({"split.no": 0}, "shard 1", id="another place"),
        pytest.param({"split.no": None}, "does not say", id="no place"),
        pytest.param({"split.count": 3}, "one of 3", id="of a larger set"),
        pytest.param({"tensor": "blk.0.weight"}, "'blk.0.weight'", id="a tensor of another shard"),
        pytest.param({"split.tensors.count": 3}, "2 tensors in the shards, 3", id="a tensor too few"),
        pytest.param({"split.tensors.count": 1}, "2 tensors in the shards, 1", id="a tensor too many"),
        pytest.param({"split.tensors.count": None}, "no number announced", id="no number of tensors"),
    ],
)
def test_shards_that_are_not_of_one_model_are_refused(
    change: dict[str, object], seen: str, forge: Forge
) -> None:
    """By what llama.cpp compares when it opens them."""
    data = forge.tar_gz({**forge.code, **forge.shards(2, change)})

    (problem,) = verify(BytesSource(data)).problems

    assert problem.error == "ShardsDisagree"
    assert seen in problem.seen


def test_shards_under_each_others_names_are_refused(forge: Forge) -> None:
    """The first must be the one that says what the model is."""
    data = forge.tar_gz({**forge.code, **renamed(forge.shards(2))})

    assert [problem.error for problem in verify(BytesSource(data)).problems] == ["GGUFNoArchitecture"]


def test_require_raises_every_problem_at_once(forge: Forge) -> None:
    """One exception names all that has to be changed."""
    report = verify(BytesSource(forge.tar_gz({"models/a.gguf": forge.model(), "/abs": b""})))

    with pytest.raises(InvalidArchive) as refusal:
        report.require()

    assert [p.error for p in refusal.value.problems] == [
        "MemberIsAbsolute",
        "ModelNotAtRoot",
        "NoInferenceCode",
    ]
    assert "'models/a.gguf' lies in the directory 'models'" in str(refusal.value)


def test_many_problems_of_one_kind_are_summed_up(forge: Forge) -> None:
    """A thousand links are one thing to change."""
    links = [forge.link(f"l{n}", "x") for n in range(1000)]
    report = verify(
        BytesSource(forge.tar_gz([*map(forge.file, *zip(*forge.good().items(), strict=True)), *links]))
    )

    assert len(report.problems) == 5
    assert "995 more" in report.problems[-1].seen


@pytest.mark.parametrize(
    ("spoil", "expected"),
    [
        pytest.param(lambda _: b"", ["EmptyObject"], id="empty object"),
        pytest.param(lambda _: b"hello", ["NotAnArchive"], id="text"),
        pytest.param(lambda _: b"BZh91AY&SY", ["NotAnArchive"], id="bzip2"),
        pytest.param(lambda f: f.tar(f.good()), ["NotAnArchive"], id="a tar without gzip"),
        pytest.param(lambda f: f.zip(f.good()), ["ZipMisnamed"], id="a zip named tar.gz"),
        pytest.param(lambda f: f.model(), ["BareGGUF"], id="a bare GGUF"),
        pytest.param(lambda f: gzip.compress(f.model()), ["NotATar"], id="a GGUF in gzip"),
        pytest.param(lambda f: gzip.compress(f.tar_gz(f.good())), ["NotATar"], id="gzip in gzip"),
        pytest.param(lambda _: gzip.compress(b""), ["NotATar"], id="nothing in gzip"),
        pytest.param(lambda f: f.tar_gz({}), ["NoModel", "NoInferenceCode"], id="an empty tar"),
        pytest.param(lambda f: f.tar_gz(f.good())[:-9], ["GzipCutShort"], id="truncated in the data"),
        pytest.param(lambda f: f.tar_gz(f.good())[:-4], ["GzipCutShort"], id="truncated in the trailer"),
        pytest.param(lambda f: f.tar_gz(f.good())[:7], ["GzipCutShort"], id="truncated in the header"),
        pytest.param(lambda f: f.tar_gz(f.good())[:-8] + bytes(8), ["GzipWrongChecksum"], id="wrong CRC"),
        pytest.param(lambda f: f.tar_gz(f.good())[:-4] + bytes(4), ["GzipWrongLength"], id="wrong length"),
        pytest.param(lambda f: f.tar_gz(f.good()) + b"x", ["TrailingGarbage"], id="a byte at the end"),
        pytest.param(lambda f: f.tar_gz(f.good()) + bytes(512), [], id="zeros at the end"),
        pytest.param(
            lambda f: f.tar_gz(f.good()) + bytes(512) + b"x",
            ["TrailingGarbage"],
            id="not only zeros at the end",
        ),
        pytest.param(
            lambda f: f.tar_gz(f.good()) + bytes(5) + gzip.compress(b""),
            ["TrailingGarbage"],
            id="a member after zeros",
        ),
        pytest.param(lambda f: bytes(5) + f.tar_gz(f.good()), ["NotAnArchive"], id="zeros before"),
        pytest.param(
            lambda f: f.tar_gz(f.good()) + b"\x1f", ["TrailingGarbage"], id="half a magic at the end"
        ),
        pytest.param(lambda f: f.tar_gz(f.good()) * 2, ["DataAfterEnd"], id="two archives in a row"),
        pytest.param(lambda f: f.tar_gz(f.code), ["NoModel"], id="no GGUF"),
        pytest.param(
            lambda f: f.tar_gz({**f.code, "model.tar.gz": b"x"}), ["NoModel"], id="an archive inside"
        ),
        pytest.param(lambda f: f.tar_gz({**f.code, "M.GGUF": b"x"}), ["NoModel"], id="upper case"),
        pytest.param(
            lambda f: f.tar_gz({**f.good(), "other.gguf": f.model()}), ["SeveralModels"], id="two GGUFs"
        ),
        pytest.param(
            lambda f: f.tar_gz({**f.code, "model/m.gguf": f.model()}), ["ModelNotAtRoot"], id="in a subfolder"
        ),
        pytest.param(
            lambda f: f.tar_gz({**f.code, "m-00002-of-00003.gguf": f.model(metadata={"split.count": 3})}),
            ["ShardsIncomplete"],
            id="shards missing",
        ),
        pytest.param(
            lambda f: f.tar_gz({**f.code, "m-00001-of-00002.gguf": f.model()}),
            ["ShardsIncomplete", "ShardCount"],
            id="a whole model named like a shard",
        ),
        pytest.param(
            lambda f: f.tar_gz(
                {**f.code, "m.gguf": f.model(metadata={"general.architecture": "llama", "split.count": 2})}
            ),
            ["ShardCount"],
            id="a shard named like a whole model",
        ),
        pytest.param(
            lambda f: f.tar_gz({**f.code, "m.gguf": b"GGML" + bytes(100)}), ["GGUFMagic"], id="wrong magic"
        ),
        pytest.param(
            lambda f: f.tar_gz({**f.code, "m.gguf": f.model(version=1)}), ["GGUFVersion"], id="version 1"
        ),
        pytest.param(
            lambda f: f.tar_gz({**f.code, "m.gguf": f.model(version=4)}), ["GGUFVersion"], id="version 4"
        ),
        pytest.param(
            lambda f: f.tar_gz({**f.code, "m.gguf": f.model(version=3 << 24)}),
            ["GGUFBigEndian"],
            id="big endian",
        ),
        pytest.param(
            lambda f: f.tar_gz({**f.code, "m.gguf": f.model()[:60]}), ["GGUFCutShort"], id="a cut header"
        ),
        pytest.param(lambda f: f.tar_gz({**f.code, "m.gguf": b""}), ["GGUFCutShort"], id="an empty model"),
        pytest.param(
            lambda f: f.tar_gz({**f.code, "m.gguf": f.model(cut=1)}), ["ModelCutShort"], id="a cut model"
        ),
        pytest.param(lambda f: f.tar_gz({"m.gguf": f.model()}), ["NoInferenceCode"], id="no code"),
        pytest.param(
            lambda f: f.tar_gz({"inference.py": b"", "m.gguf": f.model()}),
            ["NoInferenceCode"],
            id="code in the wrong place",
        ),
    ],
)
def test_a_bad_archive_is_refused_by_name(
    spoil: Callable[[Forge], bytes], expected: list[str], forge: Forge
) -> None:
    """Each mistake gets its own name, and no other mistake is invented."""
    assert errors(spoil(forge)) == expected


@pytest.mark.parametrize(
    ("member", "error"),
    [
        pytest.param(("link", "model2.gguf", "model.gguf"), "MemberIsSymlink", id="symlink"),
        pytest.param(("link", "x", "model.gguf", tarfile.LNKTYPE), "MemberIsHardlink", id="hard link"),
        pytest.param(("link", "x", "", tarfile.BLKTYPE), "MemberIsDevice", id="device"),
        pytest.param(("link", "x", "", tarfile.FIFOTYPE), "MemberIsFifo", id="fifo"),
        pytest.param(("link", "x", "", b"V"), "MemberIsSpecial", id="volume label"),
        pytest.param(("file", "/etc/passwd", b""), "MemberIsAbsolute", id="absolute path"),
        pytest.param(("file", "../x", b""), "MemberEscapes", id="escape at the start"),
        pytest.param(("file", "code/../../x", b""), "MemberEscapes", id="escape inside"),
        pytest.param(("file", "code\\x", b""), "MemberHasBackslash", id="backslash"),
        pytest.param(("file", "model.gguf", b""), "DuplicateMember", id="a name twice"),
        pytest.param(("file", "./model.gguf", b""), "DuplicateMember", id="a name twice, spelled otherwise"),
        pytest.param(("file", "code", b""), "MemberUnderFile", id="a file that is a directory"),
        pytest.param(("file", "model.gguf/x", b""), "MemberUnderFile", id="a directory that is a file"),
        pytest.param(("file", "n" * 256, b""), "MemberNameTooLong", id="256 bytes of name"),
        pytest.param(("file", "d/" * 2100 + "x", b""), "MemberPathTooLong", id="4201 bytes of path"),
        pytest.param(("file", "a\nb", b""), "MemberNameUnprintable", id="a line break in a name"),
        pytest.param(("file", "caf\udce9", b""), "MemberNameEncoding", id="a Latin-1 name"),
        pytest.param(("file", ".", b"x"), "MemberWithoutName", id="a file called ."),
    ],
)
def test_a_bad_member_is_refused_by_name(member: tuple[object, ...], error: str, forge: Forge) -> None:
    """One bad member among good ones is named, and nothing else."""
    maker, *arguments = member
    bad = getattr(forge, str(maker))(*arguments)
    good = [forge.file(name, data) for name, data in forge.good().items()]

    assert errors(forge.tar_gz([*good, bad])) == [error]


@pytest.mark.parametrize(
    "members",
    [
        pytest.param(["./", "./code/", "./notes.txt"], id="dot and directories"),
        pytest.param(["code/", "code/"], id="a directory twice"),
        pytest.param(["code/lib/x.so", "tokenizer.json", "LICENSE"], id="other files"),
        pytest.param(["code/größe.txt"], id="UTF-8 names"),
    ],
)
def test_what_endpoints_ignore_is_accepted(members: list[str], forge: Forge) -> None:
    """Directories and further files do no harm."""
    extra = [
        forge.link(name, "", tarfile.DIRTYPE) if name.endswith("/") else forge.file(name, b"x")
        for name in members
    ]
    good = [forge.file(f"./{name}", data) for name, data in forge.good().items()]

    assert errors(forge.tar_gz([*extra, *good])) == []


def test_names_decide_whether_sagemaker_takes_it(forge: Forge) -> None:
    """A gzip stream has to be called .tar.gz."""
    data = forge.tar_gz(forge.good())

    assert errors(data, name="model.tgz") == ["ArchiveMisnamed"]
    assert errors(data, name="MODEL.TAR.GZ") == []


def test_code_may_be_left_to_the_container(forge: Forge) -> None:
    """A container that brings its own code takes a GGUF alone."""
    assert errors(forge.tar_gz({"m.gguf": forge.model()}), rules=NO_CODE) == []


def test_size_is_bounded(forge: Forge) -> None:
    """The limit is a rule like the others."""
    assert errors(forge.tar_gz(forge.good()), rules=Rules(max_archive_bytes=100)) == ["ArchiveTooLarge"]


@pytest.mark.parametrize(
    ("more", "refused"), [pytest.param(0, False, id="all"), pytest.param(1, True, id="more")]
)
def test_the_size_that_the_documents_tell_is_the_one_that_is_taken(
    forge: Forge, *, more: int, refused: bool
) -> None:
    """The table of limits is generated from `limits`: an archive of that many bytes is none too many."""
    source = BytesSource(forge.tar_gz(forge.good()))
    source.size = limits.ARCHIVE_SIZE.value + more
    found = {problem.error for problem in inspect(source, rules=Rules()).problems}

    assert ("ArchiveTooLarge" in found) is refused


def test_a_bomb_is_given_up_early(forge: Forge) -> None:
    """Expansion beyond the bound ends the reading, not the memory."""
    bomb = forge.tar_gz({"zeros": bytes(20 << 20)})
    rules = Rules(ratio_from=1 << 20, max_ratio=100)

    assert errors(bomb, rules=rules) == ["ExpandsTooMuch"]


def test_a_header_that_claims_more_than_there_is_costs_nothing(forge: Forge) -> None:
    """A member of 2^62 bytes is refused because the archive ends."""
    info = tarfile.TarInfo("model.gguf")
    info.size = 2**62
    data = gzip.compress(info.tobuf(tarfile.GNU_FORMAT) + forge.model())

    assert [p.error for p in inspect(BytesSource(data)).problems] == ["TarCutShort"]
    assert [p.error for p in verify(BytesSource(data)).problems] == ["TarCutShort"]


def large(forge: Forge, size: int, **members: bytes) -> bytes:
    """Return a stored tar.gz whose model has `size` bytes, and the given members after it."""
    elements = size // 4
    head = forge.model(tensors=[("w", (elements,), 0)], fill=b"")
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        for name, data in {**forge.code, "m.gguf": head + bytes(4 * elements), **members}.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    plain = out.getvalue()
    return (
        deflate.gzip_header()
        + b"".join(deflate.stored(plain, final=True))
        + deflate.gzip_trailer(zlib.crc32(plain), len(plain))
    )


def test_the_first_sight_reads_little_of_a_large_archive(forge: Forge) -> None:
    """The header of the model decides; what comes after the model is not waited for."""
    source = BytesSource(large(forge, 80 << 20, late=b"x"))

    report = inspect(source)

    assert report.verdict == "accepted"
    assert not report.complete
    assert report.model is not None
    assert report.model.header is not None
    assert report.bytes_read < 2 << 20


def test_the_first_sight_stays_below_its_bound(forge: Forge) -> None:
    """Where the model is not among the first megabytes, the search ends."""
    noise = random.Random(0).randbytes(40 << 20)

    report = inspect(BytesSource(forge.tar_gz({"noise": noise, **forge.good()})))

    assert report.bytes_read <= 16 << 20
    assert report.model is None
    assert not report.complete


def test_the_first_sight_sees_a_truncation_that_it_can_compute(forge: Forge) -> None:
    """When deflate could not hold in what follows what the tar announces, the archive was cut."""
    info = tarfile.TarInfo("m.gguf")
    info.size = 1 << 40
    plain = forge.tar(forge.code)[:1024] + info.tobuf(tarfile.GNU_FORMAT) + forge.model() + bytes(20 << 20)
    source = BytesSource(deflate.gzip_header() + b"".join(deflate.stored(plain)))

    report = inspect(source)

    assert [problem.error for problem in report.problems] == ["TarCutShort"]
    assert report.bytes_read < 2 << 20


# -- zip


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_a_good_zip_is_accepted_where_zips_are(method: int, forge: Forge) -> None:
    """Stored and deflated entries are read alike; the default rules send it to be packed."""
    data = forge.zip(forge.good(), method=method)

    assert errors(data, name="model.zip", rules=ZIP) == []
    assert errors(data, name="model.zip") == ["ZipNotDeployable"]
    report = verify(BytesSource(data, "model.zip"), rules=ZIP)
    assert report.model is not None
    assert report.model.header is not None


def test_a_zip_without_knowing_its_length_beforehand_is_read(forge: Forge) -> None:
    """Streamed zips have their sizes behind the data."""

    class Pipe(io.BytesIO):
        def seekable(self) -> bool:
            return False

        def tell(self) -> int:
            raise io.UnsupportedOperation

    out = Pipe()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in forge.good().items():
            archive.writestr(name, data)

    assert errors(out.getvalue(), name="model.zip", rules=ZIP) == []


def test_zip64_is_read(forge: Forge) -> None:
    """Entries and directories with 64-bit fields are read like others."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for name, data in forge.good().items():
            with archive.open(name, "w", force_zip64=True) as entry:
                entry.write(data)

    assert errors(out.getvalue(), name="model.zip", rules=ZIP) == []


def with_link(forge: Forge) -> bytes:
    """Return a zip that holds a symbolic link."""
    out = io.BytesIO(forge.zip(forge.good()))
    with zipfile.ZipFile(out, "a") as archive:
        info = zipfile.ZipInfo("link")
        info.external_attr = 0o120777 << 16
        archive.writestr(info, "model.gguf")
    return out.getvalue()


def at(data: bytes, marker: bytes, offset: int, value: bytes, which: int = 0) -> bytes:
    """Return `data` with `value` written behind the n-th `marker`."""
    place = -1
    for _ in range(which + 1):
        place = data.index(marker, place + 1)
    place += offset
    return data[:place] + value + data[place + len(value) :]


CENTRAL, LOCAL, END = b"PK\x01\x02", b"PK\x03\x04", b"PK\x05\x06"


@pytest.mark.parametrize(
    ("spoil", "expected"),
    [
        pytest.param(lambda f: f.zip(f.good())[:-30], "ZipCutShort", id="truncated"),
        pytest.param(lambda f: f.zip(f.good()) + b"x", "TrailingGarbage", id="a byte at the end"),
        pytest.param(lambda f: b"PK\x03\x04" + f.zip(f.good()), "ZipDamaged", id="bytes before it"),
        pytest.param(with_link, "MemberIsSymlink", id="a symlink"),
        pytest.param(lambda f: at(f.zip(f.good()), CENTRAL, 8, b"\1"), "ZipEncrypted", id="encrypted"),
        pytest.param(lambda f: at(f.zip(f.good()), CENTRAL, 10, b"\x0e"), "ZipMethod", id="LZMA"),
        pytest.param(
            lambda f: at(f.zip(f.good()), CENTRAL, 42, b"\xff\0\0"), "ZipOverlap", id="a wrong offset"
        ),
        pytest.param(
            lambda f: at(f.zip(f.good()), CENTRAL, 42, bytes(4), 1), "ZipOverlap", id="an offset twice"
        ),
        pytest.param(
            lambda f: at(f.zip(f.good()), CENTRAL, 20, b"\xff\xff\0\0"), "ZipOverlap", id="overlong data"
        ),
        pytest.param(lambda f: at(f.zip(f.good()), END, 8, b"\3\0\3\0"), "ZipDamaged", id="an entry too few"),
        pytest.param(
            lambda f: at(f.zip(f.good()), END, 8, b"\1\0\1\0"), "ZipDamaged", id="an entry too many"
        ),
        pytest.param(lambda f: at(f.zip(f.good()), END, 4, b"\1"), "ZipDamaged", id="part of a set"),
        pytest.param(lambda f: at(f.zip(f.good()), CENTRAL, 6, b"\x7f"), "ZipDamaged", id="a newer format"),
        pytest.param(lambda f: at(f.zip(f.good()), CENTRAL, 8, b"\x20"), "ZipDamaged", id="a patch"),
        pytest.param(
            lambda f: f.zip(f.good(), extra=b"xx\xff\0"), "ZipDamaged", id="an extra field too long"
        ),
        pytest.param(lambda f: at(f.zip(f.good()), END, 10, b"\xff\xff"), "ZipDamaged", id="no zip64 record"),
        pytest.param(
            lambda f: at(f.zip(f.good(), method=0), CENTRAL, 24, b"\1\0\0\0"),
            "ZipDamaged",
            id="stored, two sizes",
        ),
    ],
)
def test_a_bad_zip_is_refused_by_name(spoil: Callable[[Forge], bytes], expected: str, forge: Forge) -> None:
    """The directory is not believed where it cannot be true."""
    assert expected in errors(spoil(forge), name="model.zip", rules=ZIP)


@pytest.mark.parametrize(
    ("spoil", "expected"),
    [
        pytest.param(lambda f: at(f.zip(f.good()), LOCAL, 14, b"\1\2\3\4"), "ZipDamaged", id="another CRC"),
        pytest.param(lambda f: at(f.zip(f.good()), LOCAL, 30, b"X"), "ZipDamaged", id="another name"),
        pytest.param(lambda f: at(f.zip(f.good()), LOCAL, 8, b"\0"), "ZipDamaged", id="another method"),
        pytest.param(
            lambda f: at(f.zip(f.good()), LOCAL, 28, b"\xff\xff"), "ZipOverlap", id="an extra field too long"
        ),
        pytest.param(
            lambda f: at(f.zip(f.good()), LOCAL, 0, b"PK\7\7", 1), "ZipDamaged", id="no local header"
        ),
        pytest.param(
            lambda f: at(f.zip(f.good()), b"inference.py", 12, b"\xff\xff"),
            "ZipEntryDamaged",
            id="damaged data",
        ),
        pytest.param(
            lambda f: at(f.zip(f.good(), method=0), b"def model", 0, b"DEF"),
            "ZipEntryDamaged",
            id="a wrong CRC",
        ),
    ],
)
def test_the_whole_pass_compares_zip_entries_with_the_directory(
    spoil: Callable[[Forge], bytes], expected: str, forge: Forge
) -> None:
    """Local headers, data and checksums have to bear the directory out."""
    report = verify(BytesSource(spoil(forge), "model.zip"), rules=ZIP)

    assert [problem.error for problem in report.problems] == [expected]


# -- anything at all


@settings(max_examples=150, deadline=None)
@given(st.binary(max_size=300), st.sampled_from([b"", b"\x1f\x8b\x08", b"PK\x03\x04", b"GGUF\x03\0\0\0"]))
def test_any_bytes_get_a_verdict(data: bytes, magic: bytes) -> None:
    """No bytes crash either look, and none of these are accepted."""
    for name in ("m.tar.gz", "m.zip"):
        for look in (inspect, verify):
            assert look(BytesSource(magic + data, name), rules=ZIP).verdict == "refused"


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_a_damaged_archive_gets_a_verdict(forge: Forge, data: st.DataObject) -> None:
    """One changed byte is found by the whole pass, unless it says nothing about the content."""
    good, name, rules = data.draw(
        st.sampled_from(
            [
                (forge.tar_gz(forge.good()), "m.tar.gz", ZIP),
                (forge.zip(forge.good()), "m.zip", ZIP),
            ]
        )
    )
    place = data.draw(st.integers(0, len(good) - 1))
    value = data.draw(st.integers(0, 255))
    bad = good[:place] + bytes([value]) + good[place + 1 :]

    report = verify(BytesSource(bad, name), rules=rules)
    inspect(BytesSource(bad, name), rules=rules)

    if report.verdict == "accepted":
        members = [(member.path, member.size) for member in report.members]
        assert members == [(path, len(content)) for path, content in forge.good().items()]


@pytest.mark.parametrize(
    ("metadata", "error", "seen"),
    [
        pytest.param(
            {"general.architecture": "llama", "llama.block_count": 1},
            "GGUFKeyMissing",
            "no llama.context_length",
            id="keys that are missing",
        ),
        pytest.param(
            {"llama.context_length": "64"}, "GGUFKeyType", "llama.context_length of type string", id="a type"
        ),
        pytest.param({"llama.block_count": 0}, "GGUFKeyValue", "llama.block_count is 0", id="no layers"),
        pytest.param(
            {"tokenizer.ggml.model": "spm"}, "GGUFKeyValue", "tokenizer.ggml.model is 'spm'", id="a tokenizer"
        ),
    ],
)
def test_a_model_that_llama_cpp_would_not_load_is_refused(
    forge: Forge, metadata: dict[str, object], error: str, seen: str
) -> None:
    """By the one thing that is wrong, and nothing is worked out from what is missing."""
    whole = "general.architecture" not in metadata
    model = forge.model(metadata={"general.architecture": "llama", **metadata}, whole=whole)
    data = forge.tar_gz({**forge.code, "model.gguf": model})

    for report in (
        inspect(BytesSource(data, "m.tar.gz"), rules=Rules()),
        verify(BytesSource(data, "m.tar.gz"), rules=Rules()),
    ):
        (problem,) = report.problems
        assert problem.error == error
        assert problem.seen.startswith(f"'model.gguf': {seen}")
        assert report.model is None


def test_a_model_that_is_told_as_something_else_gets_no_second_reason(forge: Forge) -> None:
    """What a shard alone lacks follows from that."""
    model = forge.model(metadata={"general.architecture": "llama", "split.count": 3}, whole=False)

    assert errors(forge.tar_gz({**forge.code, "model.gguf": model})) == ["ShardCount"]
