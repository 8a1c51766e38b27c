"""CheckArchive: what is good is described, what is bad is refused by name before anything is made."""

from __future__ import annotations

import gzip
import io
import json
import struct
import tarfile
import zipfile
from typing import TYPE_CHECKING, Any

import gguf
import numpy as np
import pytest

from examples.tiny_encoder import write_tiny_encoder
from examples.tiny_gguf import write_tiny_gguf
from pipeline import package_files
from pipeline.archive.build.pack import pack
from pipeline.errors import AccessDenied, ArchiveNotFound, InvalidArchive, InvalidInput, PermanentError
from tasks import check_archive
from tests.stack_defaults import DEFAULTS

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from pipeline.aws.clients import Clients
    from tests.functional.tasks.conftest import Script, Task

KEY = "models/harbour/model.tar.gz"


def check(do: Task, clients: Clients, key: str = KEY, **fields: Any) -> dict[str, Any]:
    """Run the task on an uploaded archive."""
    return do(
        "CheckArchive",
        clients,
        input={"archive": {"bucket": "uploads", "key": key}, **fields},
        defaults=DEFAULTS,
    )


def made(clients: Clients) -> list[str]:
    """Return the keys of everything that was written for later states."""
    return [item["Key"] for item in clients.s3.list_objects_v2(Bucket="artifacts").get("Contents", [])]


def names(refusal: pytest.ExceptionInfo[PermanentError]) -> list[str]:
    """Return the names of a refusal's problems."""
    return [problem.error for problem in refusal.value.problems]


# -------------------------------------------------------------------------- good


def test_a_good_archive_is_described(do: Task, buckets: Clients, good_archive: bytes) -> None:
    """The request with its defaults, the object as it was pinned, the model's header, and the evidence."""
    version = buckets.s3.put_object(Bucket="uploads", Key=KEY, Body=good_archive)["VersionId"]

    checked = check(do, buckets)

    assert checked["request"]["service"] == "harbour"
    assert checked["archive"]["version_id"] == version
    assert checked["archive"]["size"] == len(good_archive)
    assert checked["archive"]["format"] == "tar.gz"
    assert checked["archive"]["last_modified"].endswith("Z")
    assert (checked["model"]["path"], checked["model"]["architecture"]) == ("harbour.gguf", "llama")
    assert checked["model"]["context_length"] == 512
    assert checked["evidence"]["bytes_read"] > 0
    assert checked["assembly"]["bucket"] == "artifacts"
    assert made(buckets) == [checked["assembly"]["record"]]


def test_what_is_left_out_and_changed_is_noted(do: Task, buckets: Clients, tiny_model: Path) -> None:
    """As `sealift check` says it, within bounds and plain."""
    private = tarfile.TarInfo("model.gguf")
    private.mode = 0o600
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:gz") as archive:
        content = tiny_model.read_bytes()
        private.size = len(content)
        archive.addfile(private, io.BytesIO(content))
        junk = tarfile.TarInfo("._model.gguf")
        archive.addfile(junk)
    buckets.s3.put_object(Bucket="uploads", Key=KEY, Body=out.getvalue())

    left_out, mode = check(do, buckets)["evidence"]["notes"]

    assert "left out" in left_out
    assert "._model.gguf" in left_out
    assert mode.startswith("not readable by all: ")


def test_the_header_of_a_hostile_model_is_refused_before_it_fills_the_data(
    do: Task, buckets: Clients, tmp_path: Path
) -> None:
    """Long texts are cut, since nothing depends on them; figures by the thousand are refused."""
    path = tmp_path / "named.gguf"
    write_tiny_gguf(path, name="n" * 60_000)
    packed = tmp_path / "model.tar.gz"
    pack(path, packed, code=package_files.code())
    buckets.s3.put_object(Bucket="uploads", Key=KEY, Body=packed.read_bytes())

    model = check(do, buckets)["model"]

    assert model["name"].endswith("(60,000 characters in all)")
    with pytest.raises(InvalidArchive, match="a model whose header's figures take") as refusal:
        check_archive._bounded("s3://b/k", {"archive": {}, "model": {**model, "head_counts": [64] * 4096}})
    assert names(refusal) == ["TooManyFacts"]


def test_what_a_model_is_for_is_in_its_facts(do: Task, buckets: Clients, tmp_path: Path) -> None:
    """A base model and one for embeddings are accepted, and asked otherwise later."""
    base = write_tiny_gguf(tmp_path / "base.gguf", template=False)
    encoder = write_tiny_encoder(tmp_path / "encoder.gguf", embd=32)
    facts = []
    for path in (base, encoder):
        pack(path, tmp_path / "model.tar.gz", code=package_files.code())
        buckets.s3.put_object(Bucket="uploads", Key=KEY, Body=(tmp_path / "model.tar.gz").read_bytes())
        facts.append(check(do, buckets)["model"])

    assert [one["purpose"] for one in facts] == ["completion", "embedding"]
    assert facts[1]["embedding_size"] == 32


@pytest.mark.parametrize(
    ("container", "error"), [("llama-cpp", "EmbeddingsNotServed"), ("pytorch", None), ("custom", None)]
)
def test_embeddings_are_refused_where_the_container_has_none(
    do: Task, buckets: Clients, tmp_path: Path, container: str, error: str | None
) -> None:
    """AWS's llama.cpp image sends every call to its chat; this is said before anything is made."""
    encoder = write_tiny_encoder(tmp_path / "encoder.gguf")
    pack(encoder, tmp_path / "model.tar.gz", code=package_files.code())
    buckets.s3.put_object(Bucket="uploads", Key=KEY, Body=(tmp_path / "model.tar.gz").read_bytes())
    image = "123456789012.dkr.ecr.us-east-1.amazonaws.com/image:tag" if container == "custom" else None

    if error is None:
        assert check(do, buckets, container=container, image_uri=image)["model"]["purpose"] == "embedding"
        return
    with pytest.raises(InvalidArchive, match="container") as refusal:
        check(do, buckets, container=container)
    assert names(refusal) == [error]
    assert made(buckets) == []


def test_what_is_no_model_is_refused_by_its_name(do: Task, buckets: Clients, tmp_path: Path) -> None:
    """In an archive, and bare for an instance."""
    path = tmp_path / "imatrix.gguf"
    writer = gguf.GGUFWriter(path, "")
    writer.add_type("imatrix")
    writer.add_tensor("blk.0.attn_q.weight.in_sum2", np.zeros((1, 32), np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:gz") as archive:
        archive.add(path, "model.gguf")
    bare = "models/harbour/imatrix.gguf"
    buckets.s3.put_object(Bucket="uploads", Key=KEY, Body=out.getvalue())
    buckets.s3.put_object(Bucket="uploads", Key=bare, Body=path.read_bytes())

    for key, fields in ((KEY, {}), (bare, {"hosting": "instance"})):
        with pytest.raises(InvalidArchive, match="an importance matrix: it is for quantizing") as refusal:
            check(do, buckets, key, **fields)
        assert names(refusal) == ["GGUFNotALanguageModel"]


def test_a_model_of_hundreds_of_files_is_refused_before_it_fills_the_data() -> None:
    """Each file is pinned by its version and its ETag."""
    part = {"key": "k" * 80, "version_id": "v" * 32, "etag": "e" * 32, "size": 2**31}
    checked = {"archive": {"parts": [part] * 40}, "model": {}}

    assert check_archive._bounded("s3://b/k", checked) == checked
    with pytest.raises(InvalidArchive, match="a model of 90 files") as refusal:
        check_archive._bounded("s3://b/k", {"archive": {"parts": [part] * 90}, "model": {}})
    assert "merge some of them" in str(refusal.value)


def test_checking_twice_is_checking_once(do: Task, buckets: Clients, good_archive: bytes) -> None:
    """A retry says and writes the same."""
    buckets.s3.put_object(Bucket="uploads", Key=KEY, Body=good_archive)

    assert check(do, buckets) == check(do, buckets)
    assert len(made(buckets)) == 1


def test_the_version_of_the_input_is_the_one_that_is_checked(
    do: Task, buckets: Clients, good_archive: bytes
) -> None:
    """A newer upload, even a broken one, is another deployment's matter."""
    version = buckets.s3.put_object(Bucket="uploads", Key=KEY, Body=good_archive)["VersionId"]
    buckets.s3.put_object(Bucket="uploads", Key=KEY, Body=b"broken")
    event = {"archive": {"bucket": "uploads", "key": KEY, "version_id": version}}

    assert do("CheckArchive", buckets, input=event, defaults=DEFAULTS)["archive"]["version_id"] == version


def test_the_settings_beside_the_archive_hold(do: Task, buckets: Clients, good_archive: bytes) -> None:
    """deployment.json goes before the defaults, and the input before it."""
    buckets.s3.put_object(Bucket="uploads", Key=KEY, Body=good_archive)
    settings = {"max_concurrency": 2, "inference": {"n_ctx": 256}, "service": "pier"}
    buckets.s3.put_object(
        Bucket="uploads", Key="models/harbour/deployment.json", Body=json.dumps(settings).encode()
    )

    request = check(do, buckets, service="quay")["request"]

    assert (request["service"], request["max_concurrency"], request["inference"]["n_ctx"]) == ("quay", 2, 256)


def test_a_model_in_a_directory_is_taken_when_moving_it_is_asked_for(
    do: Task, buckets: Clients, nested_archive: bytes
) -> None:
    """The request says so, the check accepts it as a model, and the assembly is told to move it."""
    buckets.s3.put_object(Bucket="uploads", Key=KEY, Body=nested_archive)

    checked = check(do, buckets, relocate_model=True)

    assert checked["model"]["path"] == "exports/harbour.gguf"
    assert (checked["assembly"]["way"], checked["assembly"]["relocate_model"]) == ("transcode", True)
    assert checked["assembly"]["reason"] == "'exports/harbour.gguf' moves to the root"


def test_a_model_in_a_directory_is_refused_otherwise(
    do: Task, buckets: Clients, nested_archive: bytes
) -> None:
    """The refusal names the path, and moving it as one of the ways out."""
    buckets.s3.put_object(Bucket="uploads", Key=KEY, Body=nested_archive)

    with pytest.raises(InvalidArchive) as refusal:
        check(do, buckets)

    (problem,) = refusal.value.problems
    assert problem.error == "ModelNotAtRoot"
    assert "'exports/harbour.gguf'" in problem.seen
    assert '"relocate_model": true' in problem.fix


# --------------------------------------------------------------------------- bad


def tar_gz(members: Mapping[str, bytes] | list[tarfile.TarInfo]) -> bytes:
    """Return a tar.gz of files, or of headers without data."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        if isinstance(members, list):
            for info in members:
                archive.addfile(info)
        else:
            for name, data in members.items():
                info = tarfile.TarInfo(name)
                info.size = len(data)
                archive.addfile(info, io.BytesIO(data))
    return gzip.compress(out.getvalue(), 1)


def zipped(members: Mapping[str, bytes]) -> bytes:
    """Return a zip of files."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return out.getvalue()


def link(name: str) -> tarfile.TarInfo:
    """Return a symbolic link."""
    info = tarfile.TarInfo(name)
    info.type, info.linkname = tarfile.SYMTYPE, "/etc/passwd"
    return info


@pytest.fixture(scope="module")
def bad(tiny_model: Path, good_archive: bytes) -> dict[str, tuple[bytes, str]]:
    """Archives that cannot become an endpoint, each with a word of the refusal."""
    model = tiny_model.read_bytes()
    wrong_magic = b"GGML" + model[4:]
    wrong_version = model[:4] + struct.pack("<I", 99) + model[8:]
    return {
        "not a gzip": (b"hello " * 100, "wanted a tar.gz"),
        "a zip by the name of tar.gz": (zipped({"model.gguf": model}), "zip"),
        "cut short": (good_archive[: len(good_archive) // 2], "cut short"),
        "cut at the trailer": (good_archive[:-4], "cut short"),
        "damaged": (good_archive[:-8] + b"\x00\x00\x00\x00" + good_archive[-4:], "CRC"),
        "a bare GGUF": (model, "GGUF"),
        "no GGUF": (tar_gz({"readme.txt": b"hello"}), "gguf"),
        "two GGUFs": (tar_gz({"a.gguf": model, "b.gguf": model}), "a.gguf"),
        "GGUF in a folder": (tar_gz({"models/model.gguf": model}), "models/model.gguf"),
        "wrong magic": (tar_gz({"model.gguf": wrong_magic}), "GGML"),
        "wrong version": (tar_gz({"model.gguf": wrong_version}), "99"),
        "a symbolic link": (tar_gz([link("model.gguf")]), "link"),
        "an absolute path": (tar_gz({"/model.gguf": model}), "/model.gguf"),
        "a path that leaves": (tar_gz({"../model.gguf": model}), "../model.gguf"),
        "empty": (b"", "empty"),
    }


@pytest.mark.parametrize(
    "case",
    [
        "not a gzip",
        "a zip by the name of tar.gz",
        "cut short",
        "cut at the trailer",
        "damaged",
        "a bare GGUF",
        "no GGUF",
        "two GGUFs",
        "GGUF in a folder",
        "wrong magic",
        "wrong version",
        "a symbolic link",
        "an absolute path",
        "a path that leaves",
        "empty",
    ],
)
def test_a_bad_archive_is_refused_by_name(
    do: Task, buckets: Clients, bad: dict[str, tuple[bytes, str]], case: str
) -> None:
    """Each problem says what was seen, what was wanted and what to do; nothing is written."""
    body, word = bad[case]
    buckets.s3.put_object(Bucket="uploads", Key=KEY, Body=body)

    with pytest.raises(InvalidArchive) as refusal:
        check(do, buckets)

    assert word.lower() in str(refusal.value).lower()
    assert f"s3://uploads/{KEY}" in str(refusal.value)
    assert all(problem.seen and problem.wanted and problem.fix for problem in refusal.value.problems)
    assert made(buckets) == []


def test_a_tar_gz_by_the_name_of_zip_is_refused(do: Task, buckets: Clients, good_archive: bytes) -> None:
    """One of the two was a mistake, and it is not guessed which."""
    buckets.s3.put_object(Bucket="uploads", Key="models/harbour/model.zip", Body=good_archive)

    with pytest.raises(InvalidArchive, match=r"model\.tar\.gz") as refusal:
        check(do, buckets, "models/harbour/model.zip")

    assert len(refusal.value.problems) == 1


@pytest.mark.parametrize(
    ("bucket", "key"),
    [
        pytest.param("uploads", "models/harbour/absent.tar.gz", id="no object"),
        pytest.param("nobodys-bucket", KEY, id="no bucket"),
    ],
)
def test_a_missing_archive_is_not_found(do: Task, buckets: Clients, bucket: str, key: str) -> None:
    """The whole address is in the message, and the next step too."""
    with pytest.raises(ArchiveNotFound, match=f"s3://{bucket}/{key}"):
        do("CheckArchive", buckets, input={"archive": {"bucket": bucket, "key": key}}, defaults=DEFAULTS)


def test_a_missing_version_is_not_found(do: Task, buckets: Clients, good_archive: bytes) -> None:
    """The object is there and the version is not."""
    buckets.s3.put_object(Bucket="uploads", Key=KEY, Body=good_archive)
    event = {
        "archive": {"bucket": "uploads", "key": KEY, "version_id": "9b2cf535-0000-4000-8000-000000000000"}
    }

    with pytest.raises(ArchiveNotFound, match="version"):
        do("CheckArchive", buckets, input=event, defaults=DEFAULTS)


def test_a_denied_archive_names_the_permission(do: Task, script: Script) -> None:
    """HeadObject has no body, so the message is ours."""
    script.refuses("s3", "get_object", "NoSuchKey", status=404)
    script.refuses("s3", "head_object", "403", "Forbidden", status=403)

    with pytest.raises(AccessDenied, match=f"s3:GetObject on arn:aws:s3:::uploads/{KEY}"):
        check(do, script.clients)


# ----------------------------------------------------------------- settings, input


@pytest.mark.parametrize(
    ("body", "error", "told"),
    [
        pytest.param(b"{", "NotJson", "no JSON", id="not JSON"),
        pytest.param(b"\xff\xfe{", "NotJson", "no JSON", id="not text"),
        pytest.param(b"[" * 60_000, "NotJson", "no JSON", id="nothing but brackets"),
        pytest.param(b"[]", "WrongValue", "deployment.json: the document is []", id="no object"),
        pytest.param(b" " * 65_537, "TooLarge", "more than 65536 bytes", id="too large"),
        pytest.param(b'{"memory": 1}', "UnknownField", "'memory_mb'", id="unknown field"),
        pytest.param(
            b'{"archive": {}}', "UnknownField", "deployment.json: unknown field 'archive'", id="an archive"
        ),
    ],
)
def test_bad_settings_beside_the_archive_are_refused(
    *, do: Task, buckets: Clients, good_archive: bytes, body: bytes, error: str, told: str
) -> None:
    """The file is named; the archive itself is not even looked at."""
    buckets.s3.put_object(Bucket="uploads", Key=KEY, Body=good_archive)
    buckets.s3.put_object(Bucket="uploads", Key="models/harbour/deployment.json", Body=body)

    with pytest.raises(InvalidInput) as refusal:
        check(do, buckets)

    assert names(refusal) == [error]
    assert told in str(refusal.value)
    assert "deployment.json" in str(refusal.value)


def test_all_mistakes_of_input_and_settings_are_one_message(do: Task, buckets: Clients) -> None:
    """Nobody corrects one mistake to be told the next."""
    buckets.s3.put_object(Bucket="uploads", Key="models/harbour/deployment.json", Body=b'{"timeout_s": 999}')

    with pytest.raises(InvalidInput) as refusal:
        check(do, buckets, memory_mb=5, inference={"n_ctx": "many"}, memroy_mb=1024)

    assert sorted(names(refusal)) == ["UnknownField", "WrongValue", "WrongValue", "WrongValue"]


def test_an_input_without_an_archive_asks_nobody(do: Task, script: Script) -> None:
    """There is nothing to look at, and all that is wrong is told."""
    with pytest.raises(InvalidInput, match="no 'archive'"):
        do("CheckArchive", script.clients, input={"memory_mb": 5}, defaults=DEFAULTS)
