"""What pack writes is what verify accepts, byte for byte the same every time."""

from __future__ import annotations

import gzip
import hashlib
import io
import random
import tarfile
import zlib
from typing import TYPE_CHECKING

import pytest

from pipeline.archive.build.pack import pack
from pipeline.archive.build.seams import find_seam
from pipeline.archive.checks.inspect import inspect
from pipeline.archive.checks.rules import Rules
from pipeline.archive.checks.verify import verify
from pipeline.archive.formats import deflate
from pipeline.archive.s3.sources import FileSource
from pipeline.errors import ArchiveNotFound, InvalidArchive

if TYPE_CHECKING:
    from pathlib import Path

    from .conftest import Forge


@pytest.fixture
def model(tmp_path: Path, forge: Forge) -> Path:
    """A model of some stored blocks and a rest."""
    path = tmp_path / "tiny.gguf"
    path.write_bytes(forge.model(tensors=[("w", (1 << 20,), 0)], fill=b"\x17"))
    return path


def unpacked(archive: Path) -> dict[str, bytes | None]:
    """Return paths and contents as Python's tarfile sees them."""
    with tarfile.open(archive) as tar:
        return {
            member.name: file.read() if (file := tar.extractfile(member)) else None
            for member in tar.getmembers()
        }


@pytest.mark.parametrize("compress", [0, 1, 9])
def test_the_archive_holds_model_and_code(model: Path, tmp_path: Path, forge: Forge, compress: int) -> None:
    """Code first, the model at the root, and nothing else but directories."""
    library = tmp_path / "lib.so"
    library.write_bytes(b"\x7fELF" * 1000)
    archive = tmp_path / "model.tar.gz"

    result = pack(model, archive, code={**forge.code, "code/lib/lib.so": library}, compress=compress)

    assert unpacked(archive) == {
        "code": None,
        "code/inference.py": forge.code["code/inference.py"],
        "code/lib": None,
        "code/lib/lib.so": library.read_bytes(),
        "tiny.gguf": model.read_bytes(),
    }
    report = verify(FileSource(archive))
    assert report.verdict == "accepted"
    assert (result.size, result.sha256) == (archive.stat().st_size, report.sha256)
    assert result.extracted_bytes == report.extracted_bytes
    assert result.file_crc32 == zlib.crc32(archive.read_bytes())
    assert result.crc32 == zlib.crc32(gzip.decompress(archive.read_bytes()))


def test_equal_content_gives_equal_bytes(model: Path, tmp_path: Path, forge: Forge) -> None:
    """Neither time, nor owner, nor the order of the code matters."""
    code = {**forge.code, "code/a.py": b"a", "code/z.py": b"z"}

    pack(model, tmp_path / "one.tar.gz", code=code)
    model.touch()
    pack(model, tmp_path / "two.tar.gz", code=dict(reversed(code.items())))

    assert (tmp_path / "one.tar.gz").read_bytes() == (tmp_path / "two.tar.gz").read_bytes()


def test_members_belong_to_nobody_and_are_readable_by_all(model: Path, tmp_path: Path, forge: Forge) -> None:
    """A serverless container runs as some other user."""
    pack(model, tmp_path / "model.tar.gz", code=forge.code)

    with tarfile.open(tmp_path / "model.tar.gz") as tar:
        members = tar.getmembers()
    assert {(member.uid, member.gid, member.mtime) for member in members} == {(0, 0, 0)}
    assert {member.mode for member in members if member.isfile()} == {0o644}
    assert {member.mode for member in members if member.isdir()} == {0o755}


@pytest.mark.parametrize("compress", [0, 6])
def test_the_code_begins_where_the_seam_says(
    model: Path, tmp_path: Path, forge: Forge, compress: int
) -> None:
    """The code's part inflates by itself, and is the tar from behind the model on."""
    archive = tmp_path / "model.tar.gz"

    result = pack(model, archive, code=forge.code, compress=compress)

    data = archive.read_bytes()
    header = deflate.read_gzip_header(data[:100])
    assert header is not None
    assert result.seam.code_last
    assert find_seam(header.extra) == result.seam
    inflater = zlib.decompressobj(-15)
    part = inflater.decompress(data[result.seam.offset :])
    plain = gzip.decompress(data)
    assert plain[result.seam.plain_length :] == part
    assert len(part) == result.seam.rest_length
    assert zlib.crc32(part) == result.seam.crc
    with tarfile.open(fileobj=io.BytesIO(part)) as rest:
        assert rest.getnames() == ["code", "code/inference.py"]


@pytest.mark.parametrize("compress", [0, 6])
@pytest.mark.parametrize("digest", [True, False])
def test_the_checksums_are_those_of_the_file(
    model: Path, tmp_path: Path, forge: Forge, compress: int, digest: bool
) -> None:
    """Also where its first bytes were written last, since they tell how long the model became."""
    archive = tmp_path / "model.tar.gz"

    result = pack(model, archive, code=forge.code, compress=compress, digest=digest)

    data = archive.read_bytes()
    assert result.size == len(data)
    assert result.file_crc32 == zlib.crc32(data)
    assert result.sha256 == (hashlib.sha256(data).hexdigest() if digest else None)
    assert result.crc32 == zlib.crc32(gzip.decompress(data))
    assert verify(FileSource(archive)).seam == result.seam


def test_the_models_header_is_among_the_first_bytes(model: Path, tmp_path: Path) -> None:
    """However much code there is: whoever looks at the archive reads no more than he must."""
    code = {"code/inference.py": b"", "code/library.so": random.Random(0).randbytes(1 << 20)}

    pack(model, tmp_path / "model.tar.gz", code=code)

    assert (tmp_path / "model.tar.gz").read_bytes().index(b"GGUF") < 1024


def test_stored_costs_a_few_bytes_in_65535(model: Path, tmp_path: Path, forge: Forge) -> None:
    """Without compression the archive is as long as its content, nearly."""
    result = pack(model, tmp_path / "model.tar.gz", code=forge.code)

    assert result.size < result.plain_size * 1.001


@pytest.mark.parametrize("number", [1, 2])
def test_shards_are_packed_together(number: int, tmp_path: Path, forge: Forge) -> None:
    """Any shard is named, the others are found beside it."""
    for name, body in forge.shards(2).items():
        (tmp_path / name).write_bytes(body)

    result = pack(tmp_path / f"m-{number:05}-of-00002.gguf", tmp_path / "model.tar.gz", code=forge.code)

    assert [shard.path for shard in result.model.shards] == ["m-00001-of-00002.gguf", "m-00002-of-00002.gguf"]
    assert verify(FileSource(tmp_path / "model.tar.gz")).verdict == "accepted"


def test_progress_reaches_the_end(model: Path, tmp_path: Path, forge: Forge) -> None:
    """Progress rises from call to call, up to the model's size."""
    calls: list[tuple[int, int]] = []

    pack(
        model,
        tmp_path / "model.tar.gz",
        code=forge.code,
        progress=lambda done, total: calls.append((done, total)),
    )

    size = model.stat().st_size
    assert calls == sorted(calls)
    assert calls[-1] == (size, size)


def test_the_digest_can_be_left_out(model: Path, tmp_path: Path, forge: Forge) -> None:
    """The archive is the same without it."""
    with_digest = pack(model, tmp_path / "one.tar.gz", code=forge.code)
    without = pack(model, tmp_path / "two.tar.gz", code=forge.code, digest=False)

    assert without.sha256 is None
    assert hashlib.sha256(without.path.read_bytes()).hexdigest() == with_digest.sha256


@pytest.mark.parametrize(
    ("data", "code", "name", "expected"),
    [
        pytest.param(b"GGML" + bytes(60), {}, "model.tar.gz", ["GGUFMagic", "NoInferenceCode"], id="no GGUF"),
        pytest.param(b"", {}, "model.tar.gz", ["GGUFCutShort", "NoInferenceCode"], id="empty"),
        pytest.param(None, {}, "model.tar.gz", ["NoInferenceCode"], id="no code"),
        pytest.param(None, {"code/inference.py": b""}, "model.zip", ["ArchiveMisnamed"], id="a zip's name"),
        pytest.param(
            None,
            {"code/inference.py": b"", "x.py": b""},
            "model.tar.gz",
            ["CodeMisplaced"],
            id="code elsewhere",
        ),
        pytest.param(
            None,
            {"code/inference.py": b"", "code/../x": b""},
            "model.tar.gz",
            ["MemberEscapes"],
            id="an escape",
        ),
    ],
)
def test_what_would_not_deploy_is_refused_before_a_byte_is_written(
    data: bytes | None, code: dict[str, bytes], name: str, expected: list[str], model: Path
) -> None:
    """The refusal names everything, and the folder is as it was."""
    tmp_path = model.parent
    if data is not None:
        model.write_bytes(data)
    before = sorted(tmp_path.iterdir())

    with pytest.raises(InvalidArchive) as refusal:
        pack(model, tmp_path / name, code=code)

    assert [problem.error for problem in refusal.value.problems] == expected
    assert sorted(tmp_path.iterdir()) == before


def test_what_a_desktop_left_among_the_code_is_not_packed(model: Path, tmp_path: Path, forge: Forge) -> None:
    """It is no code, and the folder of the code may have been looked at with a desktop."""
    pack(model, tmp_path / "model.tar.gz", code={**forge.code, "code/._x.py": b"", "code/lib/.DS_Store": b""})

    assert set(unpacked(tmp_path / "model.tar.gz")) == {"code", "code/inference.py", "tiny.gguf"}


def test_missing_shards_are_named(tmp_path: Path, forge: Forge) -> None:
    """An incomplete set is refused with the names of what is missing."""
    path = tmp_path / "m-00001-of-00002.gguf"
    path.write_bytes(forge.shards(2)[path.name])

    with pytest.raises(InvalidArchive, match=r"missing: 'm-00002-of-00002\.gguf'"):
        pack(path, tmp_path / "model.tar.gz", code=forge.code)


def test_a_missing_model_is_not_found(tmp_path: Path) -> None:
    """The path is named."""
    with pytest.raises(ArchiveNotFound, match="no such file"):
        pack(tmp_path / "absent.gguf", tmp_path / "model.tar.gz", code={})


@pytest.mark.parametrize("failure", [KeyboardInterrupt, OSError])
def test_a_failure_leaves_the_old_archive_and_no_part(
    failure: type[BaseException], model: Path, tmp_path: Path, forge: Forge
) -> None:
    """Whatever ends the writing, the final name holds the old archive or nothing."""
    archive = tmp_path / "model.tar.gz"
    archive.write_bytes(b"old")

    def fail(done: int, total: int) -> None:
        raise failure(f"{done} of {total}")

    with pytest.raises(failure):
        pack(model, archive, code=forge.code, progress=fail)

    assert archive.read_bytes() == b"old"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["model.tar.gz", "tiny.gguf"]


def test_a_model_that_shrinks_meanwhile_is_noticed(tmp_path: Path, forge: Forge) -> None:
    """The tar header has promised a size that cannot be kept any more."""
    model = tmp_path / "m.gguf"
    model.write_bytes(forge.model(tensors=[("w", (4 << 20,), 0)]))

    def shrink(_done: int, _total: int) -> None:
        with model.open("rb+") as file:
            file.truncate(1 << 20)

    with pytest.raises(InvalidArchive, match="ended after"):
        pack(model, tmp_path / "model.tar.gz", code=forge.code, progress=shrink)

    assert [path.name for path in tmp_path.iterdir()] == ["m.gguf"]


def test_the_first_sight_of_a_packed_archive_suffices(model: Path, tmp_path: Path, forge: Forge) -> None:
    """Code comes first, so that layout and header are known without passing the weights."""
    pack(model, tmp_path / "model.tar.gz", code=forge.code)

    report = inspect(FileSource(tmp_path / "model.tar.gz"))

    assert report.verdict == "accepted"
    assert report.code


def test_code_is_optional_where_the_container_has_its_own(model: Path, tmp_path: Path) -> None:
    """A GGUF alone is packed when the rules allow it."""
    rules = Rules(code_required=False)

    pack(model, tmp_path / "model.tar.gz", code={}, rules=rules)

    assert verify(FileSource(tmp_path / "model.tar.gz"), rules=rules).verdict == "accepted"
