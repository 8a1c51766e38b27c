"""Archives and models made of bytes, so that each can be made wrong in one place."""

from __future__ import annotations

import gzip
import io
import struct
import tarfile
import zipfile
from typing import TYPE_CHECKING

import pytest

from pipeline.archive.checks.report import Findings
from pipeline.gguf.header import TENSOR_TYPES
from pipeline.gguf.hyperparameters import BY_ARCHITECTURE, COMMON

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

CODE = {"code/inference.py": b"def model_fn(model_dir): ...\n"}


class Signed(int):
    """A number that is written with a sign."""


class Forge:
    """Makes small models and archives, good and bad."""

    code: Mapping[str, bytes] = CODE

    def string(self, text: str) -> bytes:
        """Return a GGUF string."""
        raw = text.encode()
        return struct.pack("<Q", len(raw)) + raw

    def entry(self, key: str, value: object) -> bytes:
        """Return one metadata entry; integers become uint32, but where llama.cpp wants another type."""
        if isinstance(value, str):
            return self.string(key) + struct.pack("<I", 8) + self.string(value)
        if isinstance(value, list):
            return (
                self.string(key) + struct.pack("<IIQ", 9, 8, len(value)) + b"".join(map(self.string, value))
            )
        kind, code = (
            (6, "f") if isinstance(value, float) else (7, "?") if isinstance(value, bool) else (4, "I")
        )
        kind, code = {"split.count": (2, "H"), "split.no": (2, "H"), "split.tensors.count": (5, "i")}.get(
            key, (5, "i") if isinstance(value, Signed) else (kind, code)
        )
        return self.string(key) + struct.pack("<I" + code, kind, value)

    def needed(self, architecture: str) -> dict[str, object]:
        """Return the least metadata that llama.cpp loads a model of this architecture by."""
        values = {"uint32": 1, "int32": Signed(1), "float32": 1.0, "bool": True, "string": "none"}
        keys = [key for key in (*COMMON, *BY_ARCHITECTURE.get(architecture, ())) if key.required and key.kind]
        found = {key.name.replace("%s", architecture): values[key.kind] for key in keys}
        return {**found, "tokenizer.ggml.model": "llama", "tokenizer.ggml.tokens": ["a", "b", "c", "d"]}

    def model(
        self,
        *,
        metadata: Mapping[str, object] | None = None,
        tensors: Iterable[tuple[str, tuple[int, ...], int]] = (("token_embd.weight", (32, 4), 0),),
        version: int = 3,
        cut: int = 0,
        fill: bytes = b"\x01",
        whole: bool = True,
    ) -> bytes:
        """Return a GGUF whose tensors are (name, shape, ggml type); `cut` bytes are missing at its end.

        What llama.cpp loads its architecture by is put beside the metadata given, unless it is not to be whole.
        """
        entries = {"general.architecture": "llama", "llama.block_count": 1} if metadata is None else metadata
        if whole and entries.get("general.architecture") in BY_ARCHITECTURE:
            entries = {**self.needed(str(entries["general.architecture"])), **entries}
        infos = []
        offset = 0
        for name, shape, kind in tensors:
            infos.append(
                self.string(name) + struct.pack(f"<I{len(shape)}QIQ", len(shape), *shape, kind, offset)
            )
            elements = 1
            for dimension in shape:
                elements *= dimension
            size = elements // TENSOR_TYPES[kind].block * TENSOR_TYPES[kind].size
            offset += -(-size // 32) * 32
        head = b"GGUF" + struct.pack("<IQQ", version, len(infos), len(entries))
        head += b"".join(self.entry(key, value) for key, value in entries.items()) + b"".join(infos)
        head += bytes(-len(head) % 32)
        whole = head + fill * offset
        return whole[: len(whole) - cut]

    def shards(self, count: int, change: Mapping[str, object] | None = None) -> dict[str, bytes]:
        """Return a model of a tensor for each of its shards; `change` is made to the metadata, None taking a key out.

        The places and the count are changed in the last shard, the number of tensors in the first; `tensor` names the
        last shard's.
        """
        change = dict(change or {})
        files = {}
        for number in range(count):
            first, last = number == 0, number == count - 1
            metadata: dict[str, object] = {"general.architecture": "llama"} if first else {}
            metadata |= {"split.no": number, "split.count": count, "split.tensors.count": count}
            for key in ("split.no", "split.count") if last else ("split.tensors.count",) if first else ():
                metadata[key] = change.get(key, metadata[key])
            kept = {key: value for key, value in metadata.items() if value is not None}
            name = str(change.get("tensor", f"blk.{number}.weight")) if last else f"blk.{number}.weight"
            tensors = ((name, (32, 4), 0),)
            files[f"m-{number + 1:05}-of-{count:05}.gguf"] = self.model(metadata=kept, tensors=tensors)
        return files

    def tar(
        self,
        members: Mapping[str, bytes] | Iterable[tuple[tarfile.TarInfo, bytes]],
        *,
        form: int = tarfile.PAX_FORMAT,
    ) -> bytes:
        """Return a tar of names and contents, or of ready headers and contents."""
        if not isinstance(members, dict):
            pairs = list(members)  # type: ignore[arg-type]
        else:
            pairs = [(tarfile.TarInfo(name), data) for name, data in members.items()]
        out = io.BytesIO()
        with tarfile.open(fileobj=out, mode="w", format=form) as archive:
            for info, data in pairs:
                info.size = info.size or len(data)
                archive.addfile(info, io.BytesIO(data))
        return out.getvalue()

    def tar_gz(self, members: Mapping[str, bytes] | Iterable[tuple[tarfile.TarInfo, bytes]]) -> bytes:
        """Return the same as a tar.gz."""
        return gzip.compress(self.tar(members), 6, mtime=0)

    def link(self, name: str, target: str, kind: bytes = tarfile.SYMTYPE) -> tuple[tarfile.TarInfo, bytes]:
        """Return a member without data: a link, a device, a pipe."""
        info = tarfile.TarInfo(name)
        info.type = kind
        info.linkname = target
        return info, b""

    def file(self, name: str, data: bytes) -> tuple[tarfile.TarInfo, bytes]:
        """Return a plain member."""
        return tarfile.TarInfo(name), data

    def zip(
        self, members: Mapping[str, bytes], *, method: int = zipfile.ZIP_DEFLATED, extra: bytes = b""
    ) -> bytes:
        """Return a zip of names and contents, each entry with this extra field."""
        out = io.BytesIO()
        with zipfile.ZipFile(out, "w", method) as archive:
            for name, data in members.items():
                info = zipfile.ZipInfo(name)
                info.compress_type = method
                info.extra = extra
                archive.writestr(info, data)
        return out.getvalue()

    def good(self) -> dict[str, bytes]:
        """Return the members of an archive that deploys."""
        return {**CODE, "model.gguf": self.model()}


@pytest.fixture(scope="session")
def forge() -> Forge:
    """Makes small models and archives."""
    return Forge()


@pytest.fixture
def findings() -> Findings:
    """An empty collection of problems."""
    return Findings()
