"""What people have in hand in place of a model is told as what it is, with the command that gets the real file."""

from __future__ import annotations

import codecs
import gzip
import json
import struct
import tarfile
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.archive.build.pack import pack
from pipeline.archive.checks.inspect import inspect
from pipeline.archive.checks.lookalikes import HEAD_BYTES, folder, misnamed, recognize
from pipeline.archive.checks.rules import Rules
from pipeline.archive.checks.verify import verify
from pipeline.archive.s3 import bare
from pipeline.archive.s3.sources import BytesSource
from pipeline.errors import ArchiveNotFound, InvalidArchive

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from pipeline.errors import Problem

    from .conftest import Forge

RULES = Rules(zip_deployable=True, code_required=False)
LFS = b"version https://git-lfs.github.com/spec/v1\noid sha256:%s\nsize 4920739232\n" % (b"4d" * 32)
PAGE = b'<!DOCTYPE html>\n<html lang="en">\n<head><title>model.gguf</title></head></html>\n'
SAFETENSORS = struct.pack("<Q", 40) + b'{"w":{"dtype":"F32","shape":[1]}}       ' + bytes(4)
MANIFEST = json.dumps(
    {
        "schemaVersion": 2,
        "layers": [
            {"mediaType": "application/vnd.ollama.image.model", "digest": f"sha256:{'ab' * 32}", "size": 1}
        ],
    }
).encode()
KINDS = [
    pytest.param(LFS, ["Git LFS pointer", "4,920,739,232 bytes"], "git lfs pull --include", id="lfs"),
    pytest.param(LFS.replace(b"\n", b"\r\n"), ["Git LFS", "4,920"], "git lfs pull", id="lfs-crlf"),
    pytest.param(
        LFS.replace(b"git-lfs", b"hawser"), ["Git LFS pointer"], "git lfs pull", id="lfs-of-its-first-name"
    ),
    pytest.param(codecs.BOM_UTF8 + LFS, ["Git LFS pointer"], "git lfs pull", id="lfs-with-a-mark"),
    pytest.param(b"# xet version 0\nfilesize = 12\n", ["Xet pointer"], "hf download", id="xet"),
    pytest.param(b"/annex/objects/SHA256E-s1--ab.gguf\n", ["git-annex"], "git annex get", id="annex"),
    pytest.param(PAGE, ["HTML page"], "/resolve/", id="html"),
    pytest.param(PAGE.lower(), ["HTML page"], "/resolve/", id="html-lower"),
    pytest.param(PAGE.upper(), ["HTML page"], "curl -fL", id="html-upper"),
    pytest.param(codecs.BOM_UTF8 + PAGE, ["HTML page"], "curl -fL", id="html-with-a-mark"),
    pytest.param(
        codecs.BOM_UTF16_LE + PAGE.decode().encode("utf-16-le"), ["HTML"], "curl -fL", id="html-utf-16"
    ),
    pytest.param(b"\r\n\t  " + PAGE, ["HTML page"], "curl -fL", id="html-after-blanks"),
    pytest.param(b"<!-- saved -->\n" + PAGE, ["HTML page"], "curl -fL", id="html-after-a-comment"),
    pytest.param(b'<?xml version="1.0"?>\n' + PAGE, ["HTML page"], "curl -fL", id="xhtml"),
    pytest.param(b"<html>\r\n<head><title>502", ["HTML page"], "curl -fL", id="html-of-a-proxy"),
    pytest.param(
        b'<?xml version="1.0"?>\n<Error><Code>AccessDenied</Code></Error>', ["AccessDenied"], "curl", id="s3"
    ),
    pytest.param(b'{"error":"Repository not found"}', ["JSON", "not found"], "hf download", id="json"),
    pytest.param(b"Entry not found", ["Entry not found"], "hf download", id="text"),
    pytest.param(SAFETENSORS, ["safetensors"], "convert_hf_to_gguf.py", id="safetensors"),
    pytest.param(b"\x80\x02}q\x00.", ["pickle"], "convert_hf_to_gguf.py", id="pickle"),
    pytest.param(b"tjgg" + bytes(60), ["before GGUF"], "GGUF of the same model", id="ggml"),
    pytest.param(b"algg\1\0\0\0" + bytes(60), ["adapter (LoRA)"], "llama-export-lora", id="old adapter"),
    pytest.param(b"nsgg\t\0\0\0" + bytes(60), ["prompt cache"], "own GGUF", id="session"),
    pytest.param(b"qsgg\2\0\0\0" + bytes(60), ["prompt cache"], "own GGUF", id="sequence"),
    *(
        pytest.param(
            b"lmgg" + struct.pack("<ii", size, 1500) + bytes(60),
            ["speech"],
            "whisper.cpp",
            id=f"whisper {size}",
        )
        for size in (51864, 51865, 51866)
    ),
    pytest.param(
        b"lmgg" + struct.pack("<ii", 51867, 1500) + bytes(60), ["before GGUF"], "same model", id="no whisper"
    ),
    pytest.param(
        struct.pack("<ii", 291, 22) + b"blk.0.attn_norm.weight" + bytes(60),
        ["importance matrix"],
        "--imatrix",
        id="old imatrix",
    ),
    pytest.param(
        struct.pack("<ii", 100_001, 22) + b"blk.0.attn_norm.weight" + bytes(60),
        ["data that begins"],
        "",
        id="no imatrix",
    ),
    pytest.param(MANIFEST, ["Ollama manifest"], f"blobs/sha256-{'ab' * 32}", id="ollama-manifest"),
    pytest.param(bytes(4096), ["zeros"], "same download again", id="reserved"),
    pytest.param(b"\0\5\x16\7\0\2\0\0Mac OS X", ["AppleDouble"], "without '._'", id="apple-double"),
]


@pytest.fixture
def model_in(forge: Forge, tmp_path: Path) -> Callable[[str], Path]:
    """Writes a model under a name."""

    def write(name: str) -> Path:
        (tmp_path / name).write_bytes(forge.model())
        return tmp_path / name

    return write


def one_problem(data: bytes, name: str) -> Problem:
    """Return the one thing that both looks say of an archive."""
    (quick,), (thorough,) = (
        look(BytesSource(data, name), rules=RULES).problems for look in (inspect, verify)
    )
    assert quick == thorough
    return thorough


@pytest.mark.parametrize(("content", "words", "fix"), KINDS)
def test_each_is_told_as_what_it_is_wherever_it_is(
    content: bytes, words: list[str], fix: str, forge: Forge, tmp_path: Path
) -> None:
    """Bare, in a tar, in a zip, compressed by itself, for an instance, and when it is to be packed."""
    file = tmp_path / "model.gguf"
    file.write_bytes(content)
    with pytest.raises(InvalidArchive) as refusal:
        pack(file, tmp_path / "model.tar.gz", code={}, rules=RULES)
    told = [
        one_problem(content, "model.gguf"),
        one_problem(content, "model.tar.gz"),
        one_problem(forge.tar_gz({"model.gguf": content}), "model.tar.gz"),
        one_problem(forge.zip({"model.gguf": content}), "model.zip"),
        *bare.check([BytesSource(content, "model.gguf")], rules=RULES).problems,
        *refusal.value.problems,
    ]

    if content.strip(b"\0"):  # zeros are an empty tar
        told += [one_problem(gzip.compress(content), name) for name in ("model.gguf", "model.tar.gz")]

    assert len(told) >= 6
    for problem in told:
        assert all(word in problem.seen for word in words), problem
        assert fix in problem.fix, problem


@pytest.mark.parametrize(
    ("name", "error", "words", "fix"),
    [
        *(
            pytest.param(f"model.gguf{ending}", "DownloadUnfinished", ["'model.gguf'"], "again", id=ending)
            for ending in (".part", ".crdownload", ".PART", ".incomplete", ".aria2", "-partial", ".download")
        ),
        pytest.param(f"sha256-{'0a' * 32}", "GGUFMisnamed", ["Ollama"], "cp sha256-0a", id="ollama"),
        pytest.param(f"sha256:{'0a' * 32}", "GGUFMisnamed", ["Ollama"], "model.gguf", id="ollama-before"),
        pytest.param(
            f"sha256-{'0a' * 32}-partial", "DownloadUnfinished", ["sha256-0a"], "again", id="ollama-partial"
        ),
        pytest.param("0a" * 32, "GGUFMisnamed", ["Hub"], "pack model.gguf", id="hub's cache"),
        pytest.param("Model.GGUF", "GGUFMisnamed", ["Model.GGUF"], "Model.gguf", id="upper case"),
        pytest.param(
            "my model.bin", "GGUFMisnamed", ["my model.bin"], "'my model.gguf'", id="another ending"
        ),
        pytest.param(".model.gguf", "GGUFMisnamed", ["hidden"], "cp .model.gguf model.gguf", id="hidden"),
        pytest.param(".gguf", "GGUFMisnamed", ["hidden"], "model.gguf", id="nothing but the ending"),
    ],
)
def test_a_gguf_under_another_name_gets_the_command_that_names_it(
    name: str, error: str, words: list[str], fix: str, model_in: Callable[[str], Path]
) -> None:
    """It is not said that there is no GGUF, nor is it advised to pack what is not complete."""
    path = model_in(name)
    with pytest.raises(InvalidArchive) as refusal:
        pack(path, path.with_name("model.tar.gz"), code={}, rules=RULES)

    for problem in (one_problem(path.read_bytes(), name), *refusal.value.problems):
        assert problem.error == error
        assert all(word in problem.seen + problem.wanted for word in words), problem
        assert fix in problem.fix, problem


def test_what_aria2_is_still_writing_is_not_packed(forge: Forge, tmp_path: Path) -> None:
    """It reserves the whole length at once, so nothing else tells."""
    (tmp_path / "m.gguf").write_bytes(forge.model())
    (tmp_path / "m.gguf.aria2").write_bytes(b"")

    with pytest.raises(InvalidArchive, match="until it is complete"):
        pack(tmp_path / "m.gguf", tmp_path / "model.tar.gz", code={}, rules=RULES)


@pytest.mark.parametrize("name", ["model.tar.gz", "model.zip"])
def test_an_archive_is_not_packed_again(name: str, forge: Forge, tmp_path: Path) -> None:
    """It can be checked as it is."""
    data = forge.zip(forge.good()) if name.endswith("zip") else forge.tar_gz(forge.good())
    (tmp_path / name).write_bytes(data)

    with pytest.raises(InvalidArchive, match=f"sealift check {name}"):
        pack(tmp_path / name, tmp_path / "out.tar.gz", code={})


@pytest.mark.parametrize(
    ("name", "words"),
    [
        pytest.param("model.gguf.part", "not complete", id="part"),
        pytest.param(f"sha256-{'0a' * 32}", "Ollama", id="blob"),
        pytest.param("model.safetensors", "convert_hf_to_gguf.py", id="safetensors"),
    ],
)
def test_an_archive_of_something_else_is_told_by_its_files_names(name: str, words: str, forge: Forge) -> None:
    """In place of "no GGUF among"."""
    problem = one_problem(forge.tar_gz({name: forge.model()}), "model.tar.gz")

    assert problem.error == "NoModel"
    assert words in problem.seen + problem.fix


# -- folders


def files(top: Path, **contents: bytes) -> Path:
    """Write files, `__` in their names standing for a slash."""
    for name, content in contents.items():
        path = top / name.replace("__", "/").replace("_gguf", ".gguf").replace("_safe", ".safetensors")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return top


def test_a_folder_with_a_model_gets_the_command_that_packs_it(forge: Forge, tmp_path: Path) -> None:
    """The newcomer who names the clone has the model already."""
    top = files(tmp_path / "my clone", m_gguf=forge.model(), mmproj_gguf=b"GGUF", **{".git__config": b""})

    problem = folder(top)

    assert "clone" in problem.seen
    assert problem.fix == f"name the file: sealift pack '{top}/m.gguf' --output model.tar.gz"
    for act in (lambda: pack(top, tmp_path / "o.tar.gz", code={}), lambda: bare_source(top)):
        with pytest.raises(ArchiveNotFound) as refusal:
            act()
        assert refusal.value.problems[0].error == "FolderGiven"


def bare_source(path: Path) -> object:
    """Open a path as an archive."""
    from pipeline.archive.s3.sources import FileSource

    return FileSource(path)


@pytest.mark.parametrize(
    ("contents", "words", "fix"),
    [
        pytest.param({"m_gguf": LFS}, ["Git LFS pointer"], "lfs pull --include m.gguf", id="pointers"),
        pytest.param({"a__m_gguf": LFS}, ["Git LFS"], "lfs pull --include a/m.gguf", id="pointers-below"),
        pytest.param({"a_gguf": b"GGUF", "b_gguf": b"GGUF"}, ["2 models"], "a.gguf", id="two"),
        pytest.param({"a_gguf": LFS, "b_gguf": b"GGUF"}, ["a model"], "b.gguf", id="one-was-pulled"),
        pytest.param({"model_safe": SAFETENSORS}, ["weights"], "convert_hf_to_gguf.py", id="safetensors"),
        pytest.param({}, ["no GGUF"], "spelling", id="empty"),
    ],
)
def test_a_folder_is_told_by_what_lies_in_it(
    contents: dict[str, bytes], words: list[str], fix: str, tmp_path: Path
) -> None:
    """With the command that comes next."""
    tmp_path.joinpath("clone").mkdir()

    problem = folder(files(tmp_path / "clone", **contents))

    assert all(word in problem.seen for word in words), problem
    assert fix in problem.fix, problem


# -- anything


@given(st.binary(max_size=2 * HEAD_BYTES), st.text(max_size=20))
def test_any_bytes_are_told_in_one_printable_line(head: bytes, name: str) -> None:
    """Nothing raises, and nothing of the file reaches a terminal as it is."""
    for text in (recognize(head, "m.gguf").what, misnamed("m", head, len(head)).seen):
        assert text.isprintable()
    assert misnamed(name, head, 1).fix


# -- one reason


def wrong_name(forge: Forge, name: str, **fields: object) -> bytes:
    """Return an archive whose model has this name."""
    info = tarfile.TarInfo(name)
    for field, value in fields.items():
        setattr(info, field, value)
    data = forge.model() if info.isfile() else b""
    return forge.tar_gz([(info, data), *(forge.file(*one) for one in forge.code.items())])


@pytest.mark.parametrize(
    ("name", "fields", "error"),
    [
        pytest.param("mod\udce8le.gguf", {}, "MemberNameEncoding", id="latin-1"),
        pytest.param("n" * 300 + ".gguf", {}, "MemberNameTooLong", id="too long"),
        pytest.param("d/" * 2100 + "m.gguf", {}, "MemberPathTooLong", id="path too long"),
        pytest.param("models\\m.gguf", {}, "MemberHasBackslash", id="backslash"),
        pytest.param("/m.gguf", {}, "MemberIsAbsolute", id="absolute"),
        pytest.param("../m.gguf", {}, "MemberEscapes", id="escaping"),
        pytest.param("m\n.gguf", {}, "MemberNameUnprintable", id="unprintable"),
        pytest.param("m.gguf", {"type": tarfile.SYMTYPE, "linkname": "x"}, "MemberIsSymlink", id="symlink"),
        pytest.param(
            "m.gguf", {"type": tarfile.LNKTYPE, "linkname": "x"}, "MemberIsHardlink", id="hard link"
        ),
        pytest.param("x/m.gguf", {}, "ModelNotAtRoot", id="in a folder"),
    ],
)
def test_a_model_that_is_refused_is_not_missing_as_well(
    forge: Forge, name: str, fields: dict[str, object], error: str
) -> None:
    """Its own reason is the only one."""
    rules = Rules()

    for look in (inspect, verify):
        report = look(BytesSource(wrong_name(forge, name, **fields)), rules=rules)
        assert [problem.error for problem in report.problems] == [error]


def test_code_that_is_refused_is_not_missing_as_well(forge: Forge) -> None:
    """A Windows tool wrote the whole archive so."""
    report = verify(BytesSource(forge.tar_gz({"code\\inference.py": b"", "m.gguf": forge.model()})))

    assert [problem.error for problem in report.problems] == ["MemberHasBackslash"]


@pytest.mark.parametrize(
    ("kind", "name", "words"),
    [
        pytest.param(tarfile.LNKTYPE, "latest.gguf", "leave it out", id="model"),
        pytest.param(tarfile.LNKTYPE, "notes", "--hard-dereference", id="other"),
    ],
)
def test_who_used_tar_h_is_not_advised_to_use_it(forge: Forge, kind: bytes, name: str, words: str) -> None:
    """GNU tar -h itself writes a file's second name as a hard link; a second model would be refused next."""
    pairs = [forge.file(*one) for one in forge.good().items()]
    (problem,) = verify(BytesSource(forge.tar_gz([*pairs, forge.link(name, "model.gguf", kind)]))).problems

    assert problem.error == "MemberIsHardlink"
    assert words in problem.fix
    assert "tar -h" not in problem.fix
    assert ("--hard-dereference" in problem.fix) == (name == "notes")


@pytest.mark.parametrize("count", [1, 2])
def test_an_incomplete_set_of_shards_does_not_disagree(forge: Forge, count: int) -> None:
    """What is missing is missing; what is there has nothing wrong."""
    shards = dict(list(forge.shards(3).items())[:count])

    report = verify(BytesSource(forge.tar_gz({**forge.code, **shards})))

    assert [problem.error for problem in report.problems] == ["ShardsIncomplete"]


def test_a_bare_model_that_is_cut_is_not_to_be_packed(forge: Forge) -> None:
    """Packing it would come to the same refusal."""
    assert one_problem(forge.model(cut=1), "m.gguf").error == "ModelCutShort"
