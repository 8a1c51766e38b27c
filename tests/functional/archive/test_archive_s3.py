"""Archives in S3, and what other tools make of ours."""

from __future__ import annotations

import gzip
import io
import random
import shutil
import struct
import subprocess
import tarfile
import zipfile
import zlib
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING, Any, cast

import boto3
import pytest
from botocore.exceptions import ClientError, ResponseStreamingError
from botocore.stub import Stubber
from moto import mock_aws

from benchmarks.bench_archive import header
from pipeline.archive.build.assembly import PREFIX, assemble, decide
from pipeline.archive.build.pack import pack
from pipeline.archive.build.parts import END_OF_TAR, ITS_OWN, archive_end, code_part, padding, tar_header
from pipeline.archive.build.seams import EXTRA_BYTES, Seam, find_seam
from pipeline.archive.build.splice import obstacle
from pipeline.archive.checks.checksum import PACKED, as_packed, check, upload_arguments, verified_by_s3
from pipeline.archive.checks.inspect import inspect
from pipeline.archive.checks.rules import Rules
from pipeline.archive.checks.verify import verify
from pipeline.archive.formats import deflate
from pipeline.archive.s3.multipart import target_for
from pipeline.archive.s3.sources import BytesSource, S3Source
from pipeline.errors import AccessDenied, ArchiveNotFound, InvalidArchive

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from mypy_boto3_s3 import S3Client
    from mypy_boto3_s3.type_defs import HeadObjectOutputTypeDef

    from pipeline.archive.build.assembly import AssemblyChoice
    from pipeline.archive.build.pack import PackResult
    from pipeline.archive.build.splice import Written
    from pipeline.archive.checks.report import ArchiveReport

BUCKET = "uploads"
KEY = "models/demo/model.tar.gz"


def model(weights: int = 1 << 18) -> bytes:
    """Return a GGUF with one tensor of random weights, and the least metadata that llama.cpp wants."""
    return header(struct.pack("<IQIQ", 1, weights, 0, 0)) + random.Random(1).randbytes(4 * weights)


def archive(members: dict[str, bytes]) -> bytes:
    """Return a tar.gz of names and contents."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        for name, data in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return gzip.compress(out.getvalue(), 1)


GOOD = {"code/inference.py": b"pass\n", "model.gguf": model()}


@pytest.fixture
def client() -> Iterator[S3Client]:
    """An S3 in this process, with one versioned bucket."""
    with mock_aws():
        client = boto3.client(
            "s3", region_name="us-east-1", aws_access_key_id="testing", aws_secret_access_key="testing"
        )
        client.create_bucket(Bucket=BUCKET)
        client.put_bucket_versioning(Bucket=BUCKET, VersioningConfiguration={"Status": "Enabled"})
        yield client


@pytest.fixture
def plain_client() -> S3Client:
    """A client whose answers a Stubber gives."""
    return boto3.client(
        "s3", region_name="us-east-1", aws_access_key_id="testing", aws_secret_access_key="testing"
    )


def test_an_object_is_inspected_and_verified_where_it_lies(client: S3Client) -> None:
    """Both looks work on ranged reads, and tell which object they saw."""
    data = archive(GOOD)
    version = client.put_object(Bucket=BUCKET, Key=KEY, Body=data)["VersionId"]
    source = S3Source(client, BUCKET, KEY)

    quick, thorough = inspect(source), verify(source)

    assert quick.verdict == thorough.verdict == "accepted"
    assert quick.name == f"s3://{BUCKET}/{KEY}"
    assert thorough.identity["version_id"] == version
    assert thorough.size == len(data)


def test_a_version_is_read_to_its_end_while_a_newer_one_arrives(client: S3Client) -> None:
    """The reader is pinned to what it saw first."""
    data = archive(GOOD)
    client.put_object(Bucket=BUCKET, Key=KEY, Body=data)
    source = S3Source(client, BUCKET, KEY)
    client.put_object(Bucket=BUCKET, Key=KEY, Body=b"newer")

    assert source.read(0, len(data)) == data
    assert verify(source).verdict == "accepted"


def test_an_older_version_can_be_asked_for(client: S3Client) -> None:
    """The input may name the version."""
    old = client.put_object(Bucket=BUCKET, Key=KEY, Body=b"old")["VersionId"]
    client.put_object(Bucket=BUCKET, Key=KEY, Body=b"newer")

    source = S3Source(client, BUCKET, KEY, old)

    assert (source.size, source.read(0, 9)) == (3, b"old")


def test_without_versions_a_change_under_the_reader_is_noticed(client: S3Client) -> None:
    """The ETag is asked for with every range."""
    client.create_bucket(Bucket="unversioned")
    client.put_object(Bucket="unversioned", Key=KEY, Body=b"old")
    source = S3Source(client, "unversioned", KEY)
    client.put_object(Bucket="unversioned", Key=KEY, Body=b"new")

    with pytest.raises(InvalidArchive) as refusal:
        source.read(0, 3)

    assert [problem.error for problem in refusal.value.problems] == ["ObjectChanged"]


def test_an_empty_object_is_refused_by_name(client: S3Client) -> None:
    """No range of an empty object can be asked for, and none is."""
    client.put_object(Bucket=BUCKET, Key=KEY, Body=b"")

    report = inspect(S3Source(client, BUCKET, KEY))

    assert [problem.error for problem in report.problems] == ["EmptyObject"]


@pytest.mark.parametrize(
    ("bucket", "version"),
    [pytest.param(BUCKET, None, id="no key"), pytest.param("absent", None, id="no bucket")],
)
def test_a_missing_object_is_not_found(client: S3Client, bucket: str, version: str | None) -> None:
    """The message has the whole address."""
    with pytest.raises(ArchiveNotFound, match=f"s3://{bucket}/{KEY}"):
        S3Source(client, bucket, KEY, version)


def test_a_deleted_object_is_not_found(client: S3Client) -> None:
    """A delete marker on top hides the versions below."""
    client.put_object(Bucket=BUCKET, Key=KEY, Body=b"x")
    client.delete_object(Bucket=BUCKET, Key=KEY)

    with pytest.raises(ArchiveNotFound):
        S3Source(client, BUCKET, KEY)


def test_a_denied_object_names_the_permission(plain_client: S3Client) -> None:
    """403 says who needs what on which object, and that a missing key looks the same."""
    with Stubber(plain_client) as stub:
        stub.add_client_error("head_object", "403", http_status_code=403)

        with pytest.raises(AccessDenied) as refusal:
            S3Source(plain_client, BUCKET, KEY)

    (problem,) = refusal.value.problems
    assert f"s3:GetObject on arn:aws:s3:::{BUCKET}/{KEY}" in problem.wanted
    assert "missing key" in problem.fix


@pytest.mark.parametrize(
    ("code", "status", "error"),
    [
        pytest.param("AccessDenied", 403, AccessDenied, id="denied between two reads"),
        pytest.param("NoSuchVersion", 404, ArchiveNotFound, id="deleted between two reads"),
        pytest.param("PreconditionFailed", 412, InvalidArchive, id="changed between two reads"),
        pytest.param("InvalidObjectState", 403, InvalidArchive, id="archived"),
        pytest.param("SlowDown", 503, ClientError, id="somebody else's"),
    ],
)
def test_errors_about_the_object_are_ours_and_others_pass(
    plain_client: S3Client, code: str, status: int, error: type[Exception]
) -> None:
    """Only what concerns this object is translated here."""
    with Stubber(plain_client) as stub:
        stub.add_response(
            "head_object",
            {"ContentLength": 10, "ETag": '"e"', "LastModified": datetime(2026, 1, 1, tzinfo=UTC)},
            {"Bucket": BUCKET, "Key": KEY},
        )
        stub.add_client_error(
            "get_object",
            code,
            http_status_code=status,
            expected_params={"Bucket": BUCKET, "Key": KEY, "Range": "bytes=2-4", "IfMatch": '"e"'},
        )
        source = S3Source(plain_client, BUCKET, KEY)

        with pytest.raises(error):
            source.read(2, 3)


class Flaky:
    """A response body that breaks after some bytes."""

    def __init__(self, data: bytes, breaks_after: int | None) -> None:
        self._data = data
        self._left = breaks_after

    def read(self, amount: int) -> bytes:
        """Return the next bytes, or break."""
        if self._left is not None:
            if self._left <= 0:
                raise ResponseStreamingError(error="reset by peer")
            amount = min(amount, self._left)
            self._left -= amount
        piece, self._data = self._data[:amount], self._data[amount:]
        return piece

    def close(self) -> None:
        """Nothing to close."""


class FlakyClient:
    """As much of S3 as a source needs, over connections that break."""

    def __init__(self, data: bytes, breaks: list[int | None]) -> None:
        self.ranges: list[str] = []
        self._data = data
        self._breaks = breaks

    def head_object(self, **_: str) -> dict[str, object]:
        """Describe the object."""
        return {
            "ContentLength": len(self._data),
            "ETag": '"e"',
            "LastModified": datetime(2026, 1, 1, tzinfo=UTC),
        }

    def get_object(self, *, Range: str, **_: str) -> dict[str, object]:  # noqa: N803 - boto3's spelling
        """Return a body that may break."""
        self.ranges.append(Range)
        start, _, end = Range.removeprefix("bytes=").partition("-")
        return {"Body": Flaky(self._data[int(start) : int(end) + 1], self._breaks.pop(0))}


def test_a_broken_read_goes_on_where_it_stopped() -> None:
    """Bytes that arrived are not asked for again."""
    data = random.Random(2).randbytes(5000)
    client = FlakyClient(data, [3000, 0, 1000, None])
    source = S3Source(cast("S3Client", client), BUCKET, KEY)

    assert source.read(500, 4500) == data[500:]
    assert client.ranges == ["bytes=500-4999", "bytes=3500-4999", "bytes=3500-4999", "bytes=4500-4999"]
    assert source.bytes_read == 4500


def test_reading_that_never_gets_on_is_given_up() -> None:
    """Some connections in a row without a byte, and the error is the caller's."""
    client = FlakyClient(b"x" * 100, [0] * 9)
    source = S3Source(cast("S3Client", client), BUCKET, KEY)

    with pytest.raises(ResponseStreamingError):
        source.read(0, 100)

    assert len(client.ranges) == 4


@pytest.mark.parametrize("compress", [0, 6])
def test_gnu_tar_and_gzip_read_what_pack_writes(tmp_path: Path, compress: int) -> None:
    """Tools that share no code with us take the archive, and give the model back byte for byte."""
    (tmp_path / "tiny.gguf").write_bytes(model())
    code = {"code/inference.py": b"pass\n", f"code/{'long' * 30}/x.so": b"x"}
    pack(tmp_path / "tiny.gguf", tmp_path / "model.tar.gz", code=code, compress=compress)
    out = tmp_path / "out"
    out.mkdir()

    subprocess.run([_tool("gzip"), "-t", str(tmp_path / "model.tar.gz")], check=True)
    subprocess.run([_tool("tar"), "-xzf", str(tmp_path / "model.tar.gz"), "-C", str(out)], check=True)

    assert (out / "tiny.gguf").read_bytes() == model()
    assert {path: (out / path).read_bytes() for path in code} == code


@pytest.mark.parametrize("form", ["v7", "oldgnu", "gnu", "ustar", "posix"])
def test_every_format_of_gnu_tar_is_read(tmp_path: Path, form: str) -> None:
    """Whatever format the customer's tar defaults to, the archive is accepted."""
    (tmp_path / "code").mkdir()
    (tmp_path / "code" / "inference.py").write_bytes(b"pass\n")
    (tmp_path / "model.gguf").write_bytes(model())
    archive = tmp_path / "model.tar.gz"
    subprocess.run(
        [_tool("tar"), f"--format={form}", "-czf", str(archive), "-C", str(tmp_path), "code", "model.gguf"],
        check=True,
    )

    with mock_aws():
        client = boto3.client(
            "s3", region_name="us-east-1", aws_access_key_id="testing", aws_secret_access_key="testing"
        )
        client.create_bucket(Bucket=BUCKET)
        client.upload_file(str(archive), BUCKET, KEY)
        report = verify(S3Source(client, BUCKET, KEY))

    assert report.problems == ()
    assert [member.path for member in report.members] == ["code", "code/inference.py", "model.gguf"]


def _tool(name: str) -> str:
    found = shutil.which(name)
    assert found, f"{name} is needed to compare with"
    return found


# -- code/ put into archives that lie there

ARTIFACTS = "artifacts"
CODE = {"code/inference.py": b"new\n", "code/lib/x.so": b"\x7fELF" * 100}
LARGE = model(1 << 22)


def uploaded(client: S3Client, data: bytes, key: str = KEY) -> tuple[S3Source, ArchiveReport]:
    """Return an archive in the bucket, and what the whole pass says of it."""
    client.put_object(Bucket=BUCKET, Key=key, Body=data)
    source = S3Source(client, BUCKET, key)
    return source, verify(source, rules=Rules(code_required=False, zip_deployable=True))


def assembled(client: S3Client, source: S3Source, report: ArchiveReport) -> tuple[AssemblyChoice, Written]:
    """Put `CODE` into an archive."""
    if ARTIFACTS not in {bucket["Name"] for bucket in client.list_buckets()["Buckets"]}:
        client.create_bucket(Bucket=ARTIFACTS)
    return carried_out(client, source, report, CODE)


def carried_out(
    client: S3Client,
    source: S3Source,
    report: ArchiveReport,
    code: dict[str, bytes] | None,
    *,
    relocate_model: bool = False,
) -> tuple[AssemblyChoice, Written]:
    """Decide what becomes of an archive, and do it."""
    decision = decide(report, code, bucket=ARTIFACTS, relocate_model=relocate_model)
    return decision.choice, assemble(client, source, report, code, decision, relocate_model=relocate_model)


def fetched(client: S3Client, written: Written | None) -> bytes:
    """Return the new archive."""
    assert written is not None
    return client.get_object(Bucket=written.target.bucket, Key=written.target.key)["Body"].read()


def contents(data: bytes) -> dict[str, bytes]:
    """Return the files that Python's tarfile sees."""
    with tarfile.open(fileobj=io.BytesIO(data)) as tar:
        return {m.name: tar.extractfile(m).read() for m in tar if m.isfile()}  # type: ignore[union-attr]


def zipped(members: dict[str, bytes]) -> bytes:
    """Return a deflated zip."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return out.getvalue()


SHORT = Rules(inspect_bytes=300 << 10)
"""A first look that ends within a small model."""


def halves(data: bytes) -> tuple[bytes, bytes]:
    """Return two pieces that do not end where a block of the tar does."""
    return data[:99999], data[99999:]


def packed(tmp_path: Path, weights: bytes, code: dict[str, bytes]) -> bytes:
    """Return an archive of ours."""
    (tmp_path / "model.gguf").write_bytes(weights)
    rules = Rules(code_required=False)
    return pack(tmp_path / "model.gguf", tmp_path / "o.tar.gz", code=code, rules=rules).path.read_bytes()


def packed_before(weights: bytes, code: dict[str, bytes]) -> bytes:
    """Return an archive as older releases packed it: the code first."""
    part = code_part(code)
    rest = tar_header("model.gguf", len(weights)) + weights + padding(len(weights)) + END_OF_TAR
    offset = len(deflate.gzip_header(bytes(EXTRA_BYTES))) + len(part.deflated)
    seam = Seam(offset, part.plain_length, part.crc, len(rest))
    crc = deflate.crc32_combine(part.crc, zlib.crc32(rest), len(rest))
    trailer = deflate.gzip_trailer(crc, part.plain_length + len(rest))
    body = b"".join(deflate.stored(rest, final=True))
    return deflate.gzip_header(seam.to_extra()) + part.deflated + body + trailer


@pytest.mark.parametrize("weights", [pytest.param(LARGE, id="16 MiB"), pytest.param(model(), id="1 MiB")])
def test_code_is_spliced_into_an_archive_without_any(client: S3Client, weights: bytes) -> None:
    """One gzip member comes out, with our code before the original's members, and is verified as such."""
    data = archive({"model.gguf": weights})

    choice, written = assembled(client, *uploaded(client, data))

    assert choice.way == "splice"
    new = fetched(client, written)
    assert contents(new) == {**CODE, "model.gguf": weights}
    report = verify(BytesSource(new))
    assert (report.verdict, report.gzip_members) == ("accepted", 1)
    assert written is not None
    assert (written.size, report.seam) == (len(new), written.seam)
    assert written.bytes_moved < 13 << 20


def test_the_weights_are_copied_by_s3_itself(client: S3Client) -> None:
    """Of a large archive only what fills the first part goes through here."""
    weights = model(12 << 20)
    source, report = uploaded(client, archive({"model.gguf": weights}))

    _, written = assembled(client, source, report)

    assert written is not None
    assert written.bytes_moved <= 11 << 20
    assert written.parts >= 3


@pytest.mark.parametrize("code_last", [True, False])
def test_older_code_of_ours_is_replaced(client: S3Client, tmp_path: Path, code_last: bool) -> None:
    """The model's part is taken over as far as the seam, or from it on, again and again."""
    older = {"code/inference.py": b"old\n", "code/gone.py": b""}
    old = packed(tmp_path, LARGE, older) if code_last else packed_before(LARGE, older)
    for _ in range(2):
        choice, written = assembled(client, *uploaded(client, old))

        assert choice.way == "splice"
        old = fetched(client, written)
        assert contents(old) == {**CODE, "model.gguf": LARGE}
        old = packed(tmp_path, LARGE, {"code/other.py": b"again\n"})


@pytest.mark.parametrize(
    ("key", "make", "way"),
    [
        pytest.param(KEY, "packed", "splice", id="an archive of ours"),
        pytest.param(KEY, "older", "splice", id="an older archive of ours"),
        pytest.param(KEY, "foreign", "transcode", id="foreign code"),
        pytest.param(KEY, "bare", "copy", id="just a model"),
        pytest.param("m.zip", "zip", "transcode", id="zip"),
    ],
)
def test_code_is_left_out_where_the_image_brings_its_own(
    client: S3Client, tmp_path: Path, key: str, make: str, way: str
) -> None:
    """A GGUF-only archive comes out, whatever the upload held beside the model; and it can get code again."""
    client.create_bucket(Bucket=ARTIFACTS)
    data = {
        "packed": lambda: packed(tmp_path, LARGE, {"code/inference.py": b"old\n"}),
        "older": lambda: packed_before(LARGE, {"code/inference.py": b"old\n"}),
        "foreign": lambda: archive({"model.gguf": LARGE, "code/inference.py": b"theirs\n"}),
        "bare": lambda: archive({"model.gguf": LARGE}),
        "zip": lambda: zipped({"model.gguf": LARGE, "code/inference.py": b"theirs\n"}),
    }[make]()

    choice, written = carried_out(client, *uploaded(client, data, key), {})

    new = fetched(client, written)
    assert (choice.way, contents(new)) == (way, {"model.gguf": LARGE})
    report = verify(BytesSource(new), rules=Rules(code_required=False))
    assert (report.verdict, report.gzip_members, report.code) == ("accepted", 1, False)
    _, again = assembled(client, *uploaded(client, new))
    assert contents(fetched(client, again)) == {**CODE, "model.gguf": LARGE}


def test_what_was_spliced_can_be_spliced_again(client: S3Client) -> None:
    """A foreign archive becomes one of ours: its next code goes the same way."""
    _, first = assembled(client, *uploaded(client, archive({"model.gguf": LARGE, "LICENSE": b"free"})))
    source, report = uploaded(client, fetched(client, first))

    choice, second = carried_out(client, source, report, {"code/inference.py": b"newer\n"})

    assert choice.way == "splice"
    assert contents(fetched(client, second)) == {
        "code/inference.py": b"newer\n",
        "model.gguf": LARGE,
        "LICENSE": b"free",
    }


@pytest.mark.parametrize("ours", [True, False], ids=["packed", "foreign"])
def test_an_archive_that_holds_this_code_is_copied_by_s3_itself(
    client: S3Client, tmp_path: Path, ours: bool
) -> None:
    """What would not change is put under its immutable key byte for byte, and nothing goes through here."""
    data = packed(tmp_path, model(), CODE) if ours else archive({"model.gguf": model(), **CODE})
    source, report = uploaded(client, data)
    before = source.bytes_read

    choice, written = assembled(client, source, report)

    assert (choice.way, written.bytes_moved, source.bytes_read) == ("copy", 0, before)
    assert fetched(client, written) == data


def test_a_large_archive_is_copied_in_parts(client: S3Client, monkeypatch: pytest.MonkeyPatch) -> None:
    """Above the size of one part S3 copies ranges, and they add up."""
    data = archive({"model.gguf": LARGE, **CODE})
    monkeypatch.setattr("pipeline.archive.build.assembly.COPY_PART", len(data) - 1)

    choice, written = assembled(client, *uploaded(client, data))

    assert (choice.way, written.parts >= 1, fetched(client, written)) == ("copy", True, data)


@pytest.mark.parametrize("parts", [False, True], ids=["in one go", "in parts"])
def test_the_tags_of_an_upload_are_not_copied(
    client: S3Client, monkeypatch: pytest.MonkeyPatch, *, parts: bool
) -> None:
    """To read and to write them would take two more permissions, and the sweeper's tag on a copy would be its end."""
    data = archive({"model.gguf": LARGE, **CODE})
    if parts:
        monkeypatch.setattr("pipeline.archive.build.assembly.COPY_PART", len(data) - 1)
    source, report = uploaded(client, data)
    client.put_object_tagging(
        Bucket=BUCKET, Key=KEY, Tagging={"TagSet": [{"Key": "project", "Value": "harbour"}]}
    )

    _, written = assembled(client, source, report)

    assert written is not None
    target = written.target
    assert client.get_object_tagging(Bucket=target.bucket, Key=target.key)["TagSet"] == []


@pytest.mark.parametrize(
    ("key", "data"),
    [
        pytest.param("m.zip", zipped({"model.gguf": LARGE, "code/inference.py": b"old"}), id="zip"),
        pytest.param(
            KEY, archive({"code/inference.py": b"old", "model.gguf": LARGE}), id="foreign code before"
        ),
        pytest.param(
            KEY, archive({"model.gguf": LARGE, "code/inference.py": b"old"}), id="foreign code behind"
        ),
        pytest.param(
            KEY,
            b"".join(
                gzip.compress(part, 1) for part in halves(gzip.decompress(archive({"model.gguf": LARGE})))
            ),
            id="two gzip members",
        ),
    ],
)
def test_what_cannot_be_spliced_is_rewritten(client: S3Client, key: str, data: bytes) -> None:
    """The new archive is one of ours, with this code and the old one's other files."""
    choice, written = assembled(client, *uploaded(client, data, key))

    assert choice.way == "transcode"
    new = fetched(client, written)
    assert contents(new) == {**CODE, "model.gguf": LARGE}
    report = verify(BytesSource(new))
    assert (report.verdict, report.gzip_members) == ("accepted", 1)
    assert written is not None
    assert (written.size, written.seam) == (len(new), report.seam)


@pytest.mark.parametrize(
    ("key", "data", "relocate_model"),
    [
        pytest.param("m.zip", zipped(GOOD), False, id="zip"),
        pytest.param(
            KEY, archive({"x/model.gguf": GOOD["model.gguf"], **CODE}), True, id="model in a directory"
        ),
    ],
)
def test_what_is_rewritten_keeps_its_own_code_when_that_is_to_run(
    client: S3Client, key: str, data: bytes, relocate_model: bool
) -> None:
    """A zip is no archive for an endpoint, so it cannot be copied as it is; nothing of it gets lost either."""
    client.create_bucket(Bucket=ARTIFACTS)
    source, report = uploaded(client, data, key)

    choice, written = carried_out(client, source, report, None, relocate_model=relocate_model)

    # The words are part of the key, whatever the setting is called.
    origin = f"{report.sha256} rewritten {relocate_model}"
    assert written.target == target_for(ARTIFACTS, PREFIX, origin, ITS_OWN)
    assert choice.way == "transcode"
    new = fetched(client, written)
    assert contents(new) == (GOOD if key == "m.zip" else {"model.gguf": GOOD["model.gguf"], **CODE})
    assert verify(BytesSource(new)).problems == ()


def test_a_model_in_a_directory_is_moved_only_when_asked(client: S3Client) -> None:
    """Moving it is the user's decision."""
    client.create_bucket(Bucket=ARTIFACTS)
    source, report = uploaded(client, archive({"models/m.gguf": model(), "README": b"x"}))

    choice, written = carried_out(client, source, report, CODE, relocate_model=True)

    assert choice.way == "transcode"
    assert contents(fetched(client, written)) == {**CODE, "m.gguf": model(), "README": b"x"}
    assert [problem.error for problem in report.problems] == ["ModelNotAtRoot"]


@pytest.mark.parametrize(
    ("data", "way"),
    [
        pytest.param(archive({"._model.gguf": b"\0\5\x16\7", **GOOD}), "transcode", id="what a desktop left"),
        pytest.param(
            archive({"model.gguf": GOOD["model.gguf"]}) + bytes(9000), "splice", id="zeros at the end"
        ),
    ],
)
def test_what_says_nothing_is_not_deployed(client: S3Client, data: bytes, way: str) -> None:
    """Neither another system's notes about a file nor the zeros after the stream reach the endpoint."""
    source, report = uploaded(client, data)

    choice, written = assembled(client, source, report)

    new = fetched(client, written)
    assert choice.way == way
    assert contents(new) == {**CODE, "model.gguf": GOOD["model.gguf"]}
    assert verify(BytesSource(new)).padding == 0


def test_two_models_are_not_moved_into_one_place(client: S3Client) -> None:
    """What would overwrite something is refused by name."""
    source, report = uploaded(client, archive({"a/m.gguf": model(), "b/m.gguf": model()}))

    with pytest.raises(InvalidArchive, match=r"two models that would both become 'm\.gguf'"):
        carried_out(client, source, report, CODE, relocate_model=True)


def test_the_same_work_is_not_done_twice(client: S3Client) -> None:
    """A retry finds what the first attempt wrote, under a key made of the content."""
    source, report = uploaded(client, archive({"model.gguf": LARGE}))

    _, first = assembled(client, source, report)
    _, second = assembled(client, source, report)

    assert first is not None
    assert second is not None
    assert second.target == first.target
    assert (second.bytes_moved, second.parts) == (0, 0)


def test_a_damaged_archive_leaves_nothing_behind(client: S3Client) -> None:
    """Damage that shows while rewriting aborts the upload."""
    good = zipped({"model.gguf": LARGE})
    _, report = uploaded(client, good, "m.zip")
    bad = bytearray(good)
    bad[len(bad) // 2] ^= 1
    broken, _ = uploaded(client, bytes(bad), "m.zip")

    with pytest.raises(InvalidArchive):
        assembled(client, broken, report)

    assert client.list_objects_v2(Bucket=ARTIFACTS)["KeyCount"] == 0
    assert not client.list_multipart_uploads(Bucket=ARTIFACTS).get("Uploads")


class Completing:
    """S3, but for the answer to CompleteMultipartUpload."""

    def __init__(self, client: S3Client, code: str, *, works: bool) -> None:
        self._client = client
        self._code = code
        self._works = works

    def __getattr__(self, name: str) -> object:
        return getattr(self._client, name)

    def complete_multipart_upload(self, **request: Any) -> None:
        """Fail, perhaps after it has worked."""
        if self._works:
            self._client.complete_multipart_upload(**request)
        status = 404 if self._code == "NoSuchUpload" else 500
        raise ClientError(
            {"Error": {"Code": self._code}, "ResponseMetadata": {"HTTPStatusCode": status}},  # type: ignore[typeddict-item]
            "CompleteMultipartUpload",
        )


@pytest.mark.parametrize("code", ["InternalError", "NoSuchUpload"])
def test_a_completion_that_worked_and_said_otherwise_is_believed_by_its_object(
    client: S3Client, code: str
) -> None:
    """The object is there with the right size and content, so the work is done."""
    source, report = uploaded(client, archive({"model.gguf": LARGE}))

    _, written = assembled(cast("S3Client", Completing(client, code, works=True)), source, report)

    assert contents(fetched(client, written)) == {**CODE, "model.gguf": LARGE}


def test_a_completion_that_failed_leaves_nothing_behind(client: S3Client) -> None:
    """The upload is aborted, and the error passes."""
    source, report = uploaded(client, archive({"model.gguf": LARGE}))

    with pytest.raises(ClientError):
        assembled(cast("S3Client", Completing(client, "InternalError", works=False)), source, report)

    assert client.list_objects_v2(Bucket=ARTIFACTS)["KeyCount"] == 0
    assert not client.list_multipart_uploads(Bucket=ARTIFACTS).get("Uploads")


JAVA = """
import java.io.*; import java.nio.file.*; import java.util.zip.*;
public class Reader { public static void main(String[] a) throws Exception {
  try (InputStream in = new GZIPInputStream(Files.newInputStream(Path.of(a[0])))) { in.transferTo(System.out); }
} }
"""


def by_extracting(tool: str, path: Path) -> dict[str, bytes]:
    """Return the files that a kind of tar unpacks."""
    out = path.with_name("out")
    out.mkdir()
    subprocess.run([_tool(tool), "-xzf", str(path), "-C", str(out)], check=True)
    return {file.relative_to(out).as_posix(): file.read_bytes() for file in out.rglob("*") if file.is_file()}


def by_gzip(path: Path) -> dict[str, bytes]:
    """Return the files of the tar that gzip unpacks."""
    return contents(subprocess.run([_tool("gzip"), "-dc", str(path)], check=True, capture_output=True).stdout)


def by_java(path: Path) -> dict[str, bytes]:
    """Return the files of the tar that Java's own gzip stream gives."""
    program = path.with_name("Reader.java")
    program.write_text(JAVA)
    command = [_tool("java"), "-Xshare:auto", str(program), str(path)]
    return contents(subprocess.run(command, check=True, capture_output=True).stdout)


READERS: dict[str, Callable[[Path], dict[str, bytes]]] = {
    "gzip": by_gzip,
    "GNU tar": partial(by_extracting, "tar"),
    "Python": lambda path: contents(path.read_bytes()),
}
# What not every machine has. A case that is missing from the list shows; a skipped one is soon overlooked.
if shutil.which("bsdtar"):
    READERS["bsdtar"] = partial(by_extracting, "bsdtar")
if shutil.which("javac"):
    READERS["Java"] = by_java


@pytest.mark.parametrize(
    "ours", ["packed", "older", ""], ids=["code replaced", "code before it", "code added"]
)
@pytest.mark.parametrize("reader", READERS.values(), ids=READERS)
def test_other_tools_read_a_spliced_archive(
    client: S3Client, tmp_path: Path, ours: str, reader: Callable[[Path], dict[str, bytes]]
) -> None:
    """Each takes it for one archive and gives code and model back byte for byte."""
    code = {"code/inference.py": b"old\n"}
    old = archive({"model.gguf": LARGE})
    if ours:
        old = packed(tmp_path, LARGE, code) if ours == "packed" else packed_before(LARGE, code)
    _, written = assembled(client, *uploaded(client, old))
    path = tmp_path / "spliced.tar.gz"
    path.write_bytes(fetched(client, written))

    assert reader(path) == {**CODE, "model.gguf": LARGE}


# -- archives of ours, accepted by S3's checksum


class Checksumming:
    """S3, with a checksum in what HeadObject answers."""

    def __init__(self, client: S3Client, **answer: str | None) -> None:
        self._client = client
        self._answer = answer

    def __getattr__(self, name: str) -> object:
        return getattr(self._client, name)

    def head_object(self, **request: Any) -> dict[str, object]:
        """Describe the object; the checksum only when it is asked for."""
        head = dict(self._client.head_object(**request))
        if request.get("ChecksumMode") == "ENABLED":
            head |= self._answer
        return head


def pushed(client: S3Client, tmp_path: Path, **changes: str | None) -> tuple[S3Source, PackResult]:
    """Return a packed archive, uploaded with its checksum, and what was packed."""
    (tmp_path / "model.gguf").write_bytes(LARGE * 5)
    result = pack(tmp_path / "model.gguf", tmp_path / "model.tar.gz", code=CODE)
    arguments = upload_arguments(result)
    client.upload_file(str(result.path), BUCKET, KEY, ExtraArgs=arguments)
    answer = {"ChecksumCRC32": str(arguments["ChecksumCRC32"]), "ChecksumType": "FULL_OBJECT", **changes}
    return S3Source(cast("S3Client", Checksumming(client, **answer)), BUCKET, KEY), result


def test_a_packed_archive_with_its_checksum_is_accepted_without_reading_it(
    client: S3Client, tmp_path: Path
) -> None:
    """The first megabytes and S3's checksum suffice, and the report says so."""
    source, result = pushed(client, tmp_path)

    report = check(source, rules=Rules())

    assert (report.verdict, report.method, report.complete) == ("accepted", "checksum", True)
    assert report.bytes_read < result.size / 20
    assert report.plain_bytes == result.plain_size
    assert report.extracted_bytes == result.extracted_bytes
    choice, _ = assembled(client, source, report)
    assert choice.way == "copy"


def test_without_the_checksum_every_byte_is_read(client: S3Client, tmp_path: Path) -> None:
    """Missing evidence costs a whole pass, not the deployment."""
    source, result = pushed(client, tmp_path, ChecksumType="COMPOSITE")

    report = check(source, rules=Rules())

    assert (report.verdict, report.method) == ("accepted", "verify")
    assert report.bytes_read >= result.size


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        pytest.param({}, True, id="all there"),
        pytest.param({"ChecksumCRC32": "AAAAAA=="}, False, id="another checksum"),
        pytest.param({"ChecksumCRC32": None}, False, id="no checksum"),
        pytest.param({"ChecksumType": "COMPOSITE"}, False, id="a checksum of checksums"),
        pytest.param({"ChecksumType": None}, False, id="a checksum of unknown type"),
        pytest.param({"Metadata": {}}, False, id="no record"),
        pytest.param({"Metadata": {}, "ChecksumCRC32": None}, False, id="neither"),
    ],
)
def test_only_the_recorded_checksum_of_the_full_object_vouches(
    changes: dict[str, Any], expected: bool
) -> None:
    """Each part of the evidence is needed."""
    head = {"ChecksumCRC32": "q1w2e3==", "ChecksumType": "FULL_OBJECT", "Metadata": {PACKED: "q1w2e3=="}}

    assert verified_by_s3(cast("HeadObjectOutputTypeDef", head | changes)) is expected


def test_a_refusal_needs_no_whole_pass(client: S3Client) -> None:
    """What the first megabytes refuse is not read to its end."""
    client.put_object(Bucket=BUCKET, Key=KEY, Body=archive({"x/model.gguf": LARGE, "code/inference.py": b""}))

    report = check(S3Source(client, BUCKET, KEY), rules=Rules())

    assert (report.verdict, report.method) == ("refused", "inspect")


@pytest.mark.parametrize("code_last", [True, False])
def test_an_archive_of_ours_is_complete_at_first_sight(tmp_path: Path, code_last: bool) -> None:
    """Its header, and the code wherever that lies, are all that there is to see."""
    weights = model()
    data = packed(tmp_path, weights, CODE) if code_last else packed_before(weights, CODE)

    seen = as_packed(inspect(BytesSource(data), rules=SHORT))

    assert seen is not None
    whole = verify(BytesSource(data))
    assert {member.path: member.sha256 for member in seen.members} == {
        member.path: member.sha256 for member in whole.members
    }
    assert (seen.seam, seen.plain_bytes, seen.code) == (whole.seam, whole.plain_bytes, True)
    assert seen.extracted_bytes == whole.extracted_bytes
    assert seen.bytes_read < len(data) / 2


def test_members_must_fill_what_the_seam_announces() -> None:
    """Where another member could follow unseen, such as a later shard, the first megabytes are no proof."""
    report = inspect(BytesSource(packed_before(model(), CODE)), rules=SHORT)

    assert report.seam is not None
    assert as_packed(report) is not None
    assert (
        as_packed(replace(report, seam=replace(report.seam, rest_length=report.seam.rest_length + 512)))
        is None
    )
    assert as_packed(replace(report, gzip_members=2)) is None


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(lambda seam: replace(seam, offset=seam.offset - 1), id="a byte early"),
        pytest.param(lambda seam: replace(seam, offset=seam.offset + 1), id="a byte late"),
        pytest.param(lambda seam: replace(seam, offset=2**63), id="behind the end"),
        pytest.param(lambda seam: replace(seam, plain_length=seam.plain_length - 512), id="a block early"),
        pytest.param(lambda seam: replace(seam, plain_length=seam.plain_length + 512), id="a block late"),
        pytest.param(lambda seam: replace(seam, crc=seam.crc ^ 1), id="another checksum"),
        pytest.param(lambda seam: replace(seam, rest_length=seam.rest_length - 1), id="a shorter rest"),
        pytest.param(lambda seam: replace(seam, rest_length=seam.rest_length + 1), id="a longer rest"),
        pytest.param(lambda seam: replace(seam, rest_length=2**64 - 1), id="a rest beyond all"),
        pytest.param(lambda seam: replace(seam, plain_length=2**64 - 1), id="a length beyond all"),
    ],
)
def test_a_note_that_does_not_fit_is_left_to_the_whole_pass(
    change: Callable[[Seam], Seam], tmp_path: Path
) -> None:
    """Nothing behind the weights is believed at first sight, and the whole pass tells what is wrong."""
    data = packed(tmp_path, model(), CODE)
    header = deflate.read_gzip_header(data[:100])
    assert header is not None
    seam = find_seam(header.extra)
    assert seam is not None
    data = deflate.gzip_header(change(seam).to_extra()) + data[header.length :]

    report = inspect(BytesSource(data), rules=SHORT)

    assert (report.complete, report.seam, report.problems) == (False, None, ())
    assert [member.path for member in report.members] == ["model.gguf"]
    assert as_packed(report) is None
    assert [problem.error for problem in verify(BytesSource(data)).problems] == ["SeamWrong"]


@pytest.mark.parametrize("end", [b"x", bytes(8), bytes(512)], ids=["a byte", "zeros", "a block"])
def test_what_follows_the_code_is_left_to_the_whole_pass(end: bytes, tmp_path: Path) -> None:
    """The archive must end where the note says."""
    report = inspect(BytesSource(packed(tmp_path, model(), CODE) + end), rules=SHORT)

    assert (report.complete, report.seam) == (False, None)


def with_seam(first: bytes, code: dict[str, bytes]) -> bytes:
    """Return an archive whose first part is this tar, and whose second one is the code."""
    rest = archive_end(code_part(code))
    body = b"".join(deflate.stored(first))
    offset = len(deflate.gzip_header(bytes(EXTRA_BYTES))) + len(body)
    seam = Seam(offset, len(first), rest.crc, rest.plain_length, code_last=True)
    crc = deflate.crc32_combine(zlib.crc32(first), rest.crc, rest.plain_length)
    trailer = deflate.gzip_trailer(crc, len(first) + rest.plain_length)
    return deflate.gzip_header(seam.to_extra()) + body + rest.deflated + trailer


def member(name: str, data: bytes) -> bytes:
    """Return one member of a tar."""
    return tar_header(name, len(data)) + data + padding(len(data))


@pytest.mark.parametrize(
    ("first", "code", "reason"),
    [
        pytest.param(member("m.gguf", model()), CODE, None, id="as packed"),
        pytest.param(
            member("m.gguf", model()) + member("empty", b""), CODE, None, id="an empty file at its end"
        ),
        pytest.param(
            member("m.gguf", model()) + END_OF_TAR, {}, "no member ends at its seam", id="the end of the tar"
        ),
        pytest.param(
            member("code/inference.py", b"theirs") + member("m.gguf", model()),
            {"code/other.py": b""},
            "it holds code of its own: 'code/inference.py'",
            id="code among the model",
        ),
        pytest.param(
            member("m.gguf", model()),
            {**CODE, "other/file": b""},
            "'other' lies behind its seam",
            id="something among the code",
        ),
        pytest.param(
            member("m.gguf", model()) + tar_header("code/" + "x" * 200, 0)[:1024],
            CODE,
            "no member ends at its seam",
            id="a header without its member",
        ),
    ],
)
def test_only_a_part_that_ends_with_a_member_is_taken_over(
    first: bytes, code: dict[str, bytes], reason: str | None
) -> None:
    """Other code behind it must be what the container gets, and nothing else must be lost."""
    report = verify(BytesSource(with_seam(first, code)), rules=Rules(code_required=False))

    assert report.seam is not None
    assert obstacle(report) == reason
