"""What people have in hand in place of a model: reported as what it is, with the command that gets the real file.

Owns the recognition by the first bytes and by names: pointers, pages that a browser saved, downloads that ended early,
files of other programs. It refuses to judge a GGUF: that is the census's.
"""

from __future__ import annotations

import codecs
import json
import re
import shlex
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from inference import sealift_models as models
from pipeline.archive.formats.detect import described
from pipeline.errors import Problem
from pipeline.gguf.header import MAGIC, MAX_TENSOR_NAME

if TYPE_CHECKING:
    from pathlib import Path

HEAD_BYTES: Final = 1024
"""Enough to know each of them by."""

_LFS: Final = re.compile(rb"version https://(?:git-lfs|hawser)\.github\.com/spec/")
_LFS_SIZE: Final = re.compile(rb"^size (\d{1,18})\r?$", re.MULTILINE)
_HTML: Final = re.compile(
    rb"<(?:!doctype\s+html|html|head|body|title|meta|script|center|h1)[\s>/]", re.IGNORECASE
)
_MARKUP_BEFORE: Final = re.compile(rb"\s*(?:<!--.*?(?:-->|\Z)\s*|<\?xml.*?(?:\?>|\Z)\s*)*", re.DOTALL)
_S3_ERROR: Final = re.compile(rb"<Error>.*?<Code>(\w{1,40})</Code>", re.DOTALL)
_OLLAMA_LAYER: Final = re.compile(
    rb'"mediaType":\s*"application/vnd\.ollama\.image\.model",\s*"digest":\s*"sha256:([0-9a-f]{64})"'
)
_OLLAMA_BLOB: Final = re.compile(r"sha256[-:][0-9a-f]{64}")
_HUB_BLOB: Final = re.compile(r"[0-9a-f]{64}|[0-9a-f]{40}")
_UNFINISHED: Final = (
    *(".part", ".partial", "-partial", ".crdownload", ".download", ".opdownload", ".incomplete", ".filepart"),
    *(".aria2", ".!qb", ".!ut", ".fdmdownload", ".unfinished", ".tmp", ".temp"),
)
"""How browsers, curl's and wget's front ends, the Hub's client, Ollama and others name what is still coming."""
_ENDINGS: Final = (models.SUFFIX, ".bin", ".ggml", ".model", ".dat", ".txt")
"""What a model's own ending takes the place of."""
_OLD_GGML: Final = (b"lmgg", b"fmgg", b"tjgg", b"GGML")
_OLD_ADAPTER: Final = b"algg"
_SESSIONS: Final = (b"nsgg", b"qsgg")
"""llama.h: LLAMA_FILE_MAGIC_GGLA, LLAMA_FILE_MAGIC_GGSN and _GGSQ, little endian."""
_WHISPER_VOCABULARIES: Final = range(51_864, 51_867)
"""whisper.cpp: the figure after the magic, of English-only, multilingual and large-v3 models."""
_OLD_IMATRIX: Final = re.compile(rb"(?:blk\.\d{1,4}\.[a-z_]{1,40}|output|token_embd)\.weight")
_MOST_MATRICES: Final = 100_000
"""Entries of an importance matrix: a tensor of a model each."""
_MOST_HEADER: Final = 100_000_000
"""safetensors: the longest header that its reader takes."""

_HUB: Final = "hf download OWNER/REPOSITORY {name} --local-dir ."
_FETCH: Final = (
    f"get the file itself: {_HUB}, or curl -fL -o {{name}} LINK, the link with /resolve/ and not /blob/ in it"
)
_CONVERT: Final = (
    "look for a GGUF of the same model, or convert its whole folder: python convert_hf_to_gguf.py FOLDER --outfile "
    "model.gguf (of llama.cpp)"
)


@dataclass(frozen=True, slots=True)
class Content:
    """What some first bytes are."""

    what: str
    fix: str | None = None
    """How to get the real file, as far as they tell."""


def recognize(head: bytes, name: str) -> Content:
    """Return what begins with these bytes.

    Args:
        head: the first bytes; `HEAD_BYTES` are enough.
        name: what it is called, for the command that gets the real one.
    """
    name = shlex.quote(_wanted_name(name))
    fetch = _FETCH.format(name=name)
    text = _plain(head)
    if _LFS.match(text):
        size = _LFS_SIZE.search(text)
        stands = f" of {int(size[1]):,} bytes" if size else ""
        fix = f"git lfs install && git lfs pull --include {name}, in the clone; or {_HUB.format(name=name)}"
        return Content(f"a Git LFS pointer, which stands for a file{stands}, not the file itself", fix)
    if text.startswith(b"# xet version"):
        return Content("a Xet pointer, not the file itself", fetch)
    if text.startswith((b"/annex/objects/", b"../.git/annex/")):
        return Content("a git-annex pointer, not the file itself", f"git annex get {name}")
    markup = text[_end(_MARKUP_BEFORE, text) :]
    if _HTML.match(markup):
        return Content(
            "an HTML page (a log-in, an error, the page about the file), not the file itself", fetch
        )
    if text.startswith((b"<?xml", b"<Error>")):
        code = _S3_ERROR.search(text)
        return Content(
            f"S3's refusal of a download ({code[1].decode()})" if code else "an XML document", fetch
        )
    return _of_programs(head, name) or _of_text(text, fetch) or Content(described(head))


def _of_programs(head: bytes, name: str) -> Content | None:
    if head.startswith(b"\0\5\x16\7"):
        return Content(
            "macOS's notes about another file (AppleDouble)", "use the file of that name without '._'"
        )
    if head[8:9] == b"{" and 2 <= int.from_bytes(head[:8], "little") <= _MOST_HEADER:
        return Content("a safetensors file, whose weights llama.cpp does not read", _CONVERT)
    if head.startswith(b"PK\3\4") and b"data.pkl" in head[:256]:
        return Content("a PyTorch checkpoint, whose weights llama.cpp does not read", _CONVERT)
    if head[:1] == b"\x80" and head[1:2] in {b"\2", b"\3", b"\4", b"\5"}:
        return Content("a Python pickle (a PyTorch checkpoint?), which llama.cpp does not read", _CONVERT)
    return _of_ggml(head) or _of_others(head, name)


def _of_ggml(head: bytes) -> Content | None:
    """Return what the programs around ggml wrote before they wrote GGUF."""
    begins, follows = (int.from_bytes(head[at : at + 4], "little") for at in (0, 4))
    if head.startswith(_OLD_ADAPTER):
        fix = "make it anew with convert_lora_to_gguf.py of llama.cpp, and merge it: llama-export-lora"
        return Content("an adapter (LoRA) in the format before GGUF, which changes another model", fix)
    if head.startswith(_SESSIONS):
        fix = "deploy the model's own GGUF"
        return Content("what llama.cpp has kept of a conversation (a prompt cache), not a model", fix)
    if head.startswith(b"lmgg") and follows in _WHISPER_VOCABULARIES:
        fix = "serve it with whisper.cpp, or deploy a language model: nothing here takes sound"
        return Content("a speech recognition model of whisper.cpp", fix)
    # Of an importance matrix: how many entries, and the first one's name with its length.
    name = head[8 : 8 + follows] if follows <= MAX_TENSOR_NAME else b""
    if 0 < begins <= _MOST_MATRICES and _OLD_IMATRIX.fullmatch(name):
        fix = "deploy the model itself; llama-quantize --imatrix uses the matrix when it makes one"
        return Content("an importance matrix: it is for quantizing, and answers nothing", fix)
    return None


def _of_others(head: bytes, name: str) -> Content | None:
    if head.startswith(_OLD_GGML):
        fix = "look for a GGUF of the same model, or convert it: convert_llama_ggml_to_gguf.py of llama.cpp"
        return Content("a GGML file, the format before GGUF", fix)
    if head.startswith((b"MZqFpD", b"\x7fELF", b"MZ")):
        return Content("a program (a llamafile?)", f"take the GGUF out of a llamafile: unzip {name} '*.gguf'")
    if len(head) >= HEAD_BYTES // 2 and not head.strip(b"\0"):
        fix = "start the same download again: it resumes where it stopped"
        return Content("nothing but zeros at its beginning: a download that has reserved its space", fix)
    return None


def _of_text(text: bytes, fetch: str) -> Content | None:
    layer = _OLLAMA_LAYER.search(text)
    if layer:
        blob = f"~/.ollama/models/blobs/sha256-{layer[1].decode()}"
        return Content("an Ollama manifest, which names the model's blob", f"cp {blob} model.gguf")
    if text[:1] in {b"{", b"["} and text[1:].lstrip()[:1] in {b'"', b"{", b"[", b"}", b"]"}:
        if b'"weight_map"' in text:
            return Content("the index of a split safetensors model", _CONVERT)
        return Content(f"a JSON document that begins with {_shown(text)}", fetch)
    if text.startswith(b"[InternetShortcut]"):
        return Content("a shortcut to a page, not the file itself", fetch)
    if text and _is_text(text):
        return Content(f"text that begins with {_shown(text)}", fetch)
    return None


def misnamed(name: str, head: bytes, size: int) -> Problem:
    """Return what is wrong with a file that is to be a model and is not called like one."""
    whole = _wanted_name(name)
    lower = name.lower()
    if lower.endswith(_UNFINISHED):
        return Problem(
            "DownloadUnfinished",
            f"{name!r}, {size:,} bytes: what a download is called until it is complete",
            f"the whole file, {whole!r}",
            "start the same download again: hf download and curl -C - go on where it stopped",
        )
    if not head.startswith(MAGIC):
        content = recognize(head, name)
        archive = head.startswith((b"\x1f\x8b", b"PK\3\4"))
        as_it_is = f"it is checked and deployed as it is: sealift check {shlex.quote(name)}"
        return Problem(
            "NotGGUF",
            f"{name!r} is {content.what}",
            "a GGUF file",
            content.fix or (as_it_is if archive else _CONVERT),
        )
    if _OLLAMA_BLOB.fullmatch(name) or _HUB_BLOB.fullmatch(name):
        owner = "Ollama's" if _OLLAMA_BLOB.fullmatch(name) else "the Hub's cache"
        what = f"{name!r}, a blob of {owner}: a GGUF under another name"
    elif name.startswith("."):
        what = f"{name!r}, a hidden file: the endpoint passes over names that begin with a dot"
    else:
        what = f"a GGUF called {name!r}"
    whole = _model_name(name)
    pack = f"sealift pack {shlex.quote(whole)} --output model.tar.gz"
    return Problem(
        "GGUFMisnamed",
        what,
        "a name that ends in '.gguf', in lower case",
        f"cp {shlex.quote(name)} {shlex.quote(whole)}, then {pack}",
    )


def named_like(paths: list[str]) -> tuple[str, str] | None:
    """Return what the files of an archive without a model are, by their names, and what to do; None when unknown."""
    for path in paths:
        name = path.rpartition("/")[2]
        lower = name.lower()
        whole = shlex.quote(_wanted_name(name))
        if lower.endswith(_UNFINISHED) and models.SUFFIX in lower:
            return (
                f"{path!r}, a download that is not complete",
                f"start the same download again, then sealift pack {whole} --output model.tar.gz",
            )
        if _OLLAMA_BLOB.fullmatch(name):
            return (
                f"{path!r}, a blob of Ollama's",
                f"cp {shlex.quote(name)} model.gguf, then sealift pack model.gguf --output model.tar.gz",
            )
        if lower.endswith(
            (".safetensors", ".safetensors.index.json", "pytorch_model.bin", ".pth", ".ckpt", ".onnx")
        ):
            return f"{path!r}, weights that llama.cpp does not read", _CONVERT
    return None


def folder(path: Path) -> Problem:
    """Return what a folder is, where a file was requested, by what lies in it and two folders deep."""
    found = sorted(
        one
        for pattern in ("*", "*/*", "*/*/*")
        for one in path.glob(pattern)
        if models.is_model(one.name) and not models.companion_kind(one.name) and one.is_file()
    )[:100]
    what = "a clone of a repository" if (path / ".git").exists() else "a folder"
    real = [one for one in found if _head(one).startswith(MAGIC)]
    firsts = [group[0] for group in models.models(str(one) for one in real)]
    wanted = "one file: a GGUF, or an archive"
    if firsts:
        named = f"with {len(firsts)} models" if len(firsts) > 1 else "with a model"
        fix = f"name the file: sealift pack {shlex.quote(firsts[0])} --output model.tar.gz"
        shown = ", ".join(repr(str(one)) for one in firsts[:5])
        return Problem("FolderGiven", f"{str(path)!r} is {what} {named}: {shown}", wanted, fix)
    if found:
        content = recognize(_head(found[0]), found[0].name)
        name = shlex.quote(found[0].relative_to(path).as_posix())
        fix = content.fix or "get the files themselves"
        if "LFS" in content.what:
            fix = f"git -C {shlex.quote(str(path))} lfs pull --include {name}"
        return Problem(
            "FolderGiven",
            f"{str(path)!r} is {what} in which {str(found[0])!r} is {content.what}",
            wanted,
            f"{fix}, then sealift pack {shlex.quote(str(found[0]))} --output model.tar.gz",
        )
    names = sorted(one.relative_to(path).as_posix() for one in path.glob("*") if one.is_file())
    like = named_like(names)
    seen, fix = like or ("no GGUF", "check the path's spelling, or name a GGUF file")
    return Problem("FolderGiven", f"{str(path)!r} is {what} with {seen}", wanted, fix)


def _head(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(HEAD_BYTES)


def _plain(head: bytes) -> bytes:
    """Return text without its byte order mark, in UTF-8, and without the blanks before it."""
    for mark, encoding in ((codecs.BOM_UTF16_LE, "utf-16-le"), (codecs.BOM_UTF16_BE, "utf-16-be")):
        if head.startswith(mark):
            return head[2:].decode(encoding, "ignore").encode("utf-8", "ignore").lstrip()
    return head.removeprefix(codecs.BOM_UTF8).lstrip()


def _end(pattern: re.Pattern[bytes], text: bytes) -> int:
    match = pattern.match(text)
    return match.end() if match else 0


def _is_text(text: bytes) -> bool:
    # The last character may be cut.
    decoded = codecs.getincrementaldecoder("utf-8")("replace").decode(text)
    return "\ufffd" not in decoded and all(one.isprintable() or one in "\r\n\t" for one in decoded)


def _shown(text: bytes) -> str:
    return json.dumps(text[:60].decode("utf-8", "replace"))


def _wanted_name(name: str) -> str:
    """Return what the file is called once it is complete."""
    name = name.rpartition("/")[2]
    ending = next((one for one in _UNFINISHED if name.lower().endswith(one)), "")
    return name.removesuffix(name[len(name) - len(ending) :]) or name


def _model_name(name: str) -> str:
    """Return what the file would be called as a model."""
    name = _wanted_name(name).lstrip(".")
    ending = next((one for one in _ENDINGS if name.lower().endswith(one)), "")
    stem = name[: len(name) - len(ending)]
    named = (
        stem and stem.lower() != "gguf" and not _OLLAMA_BLOB.fullmatch(stem) and not _HUB_BLOB.fullmatch(stem)
    )
    return f"{stem if named else 'model'}{models.SUFFIX}"
