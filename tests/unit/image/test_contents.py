"""What the image holds beyond its base: the Dockerfile's tree, and parts that are not there."""

from __future__ import annotations

import hashlib
import zipfile
from functools import partial
from pathlib import Path

import pytest

from pipeline import package_files
from pipeline.errors import InvalidInput
from pipeline.image import contents, layers
from pipeline.image.layers import Opened, TreeFile

LIB = "opt/sealift/lib"


def read(file: TreeFile) -> bytes:
    """Return a file's bytes."""
    assert isinstance(file.content, Opened)
    with file.content.open() as opened:
        return opened.read()


def elf(machine: int) -> bytes:
    """Return the head of a program for a machine."""
    return b"\x7fELF" + bytes(14) + machine.to_bytes(2, "little") + bytes(100)


def wheel(folder: Path, name: str, files: dict[str, bytes], *, runnable: str = "") -> Path:
    """Write a wheel."""
    path = folder / f"{name}-1.2.3-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        for inner, content in files.items():
            info = zipfile.ZipInfo(inner)
            info.external_attr = (0o100755 if inner == runnable else 0o100644) << 16
            archive.writestr(info, content)
    return path


def test_a_wheel_is_unpacked_as_pip_would(tmp_path: Path) -> None:
    """Without what pip writes of its own, and without programs; the license and the version stay."""
    made = wheel(
        tmp_path,
        "foo",
        {
            "foo/__init__.py": b"1",
            "foo/": b"",
            "foo/fast.so": b"2",
            "foo-1.2.3.dist-info/METADATA": b"3",
            "foo-1.2.3.dist-info/licenses/LICENSE": b"4",
            "foo-1.2.3.dist-info/RECORD": b"5",
            "foo-1.2.3.data/purelib/bar.py": b"6",
            "foo-1.2.3.data/scripts/foo": b"7",
            "foo-1.2.3.data/headers/foo.h": b"8",
        },
        runnable="foo/fast.so",
    )

    found = contents.wheel_files(made)

    assert {path: (read(file), file.mode) for path, file in found.items()} == {
        f"{LIB}/foo/__init__.py": (b"1", layers.READABLE),
        f"{LIB}/foo/fast.so": (b"2", layers.RUNNABLE),
        f"{LIB}/foo-1.2.3.dist-info/METADATA": (b"3", layers.READABLE),
        f"{LIB}/foo-1.2.3.dist-info/licenses/LICENSE": (b"4", layers.READABLE),
        f"{LIB}/bar.py": (b"6", layers.READABLE),
    }


@pytest.fixture
def built(tmp_path: Path) -> Path:
    """Return a folder with a runtime and a llama-server for x86_64."""
    files = {
        "runtime/llama_cpp/__init__.py": b'__version__ = "0.3.36"\n',
        "runtime/llama_cpp/lib/libllama.so": elf(62),
        "runtime/llama_cpp/__pycache__/x.pyc": b"",
        "llama-server/llama-server": b"#!/bin/sh\n",
        "llama-server/llama-server-haswell": elf(62),
        "llama-server/LICENSE": b"MIT",
        "llama-server/.hidden": b"",
    }
    for name, content in files.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return tmp_path


def test_what_was_built_lies_where_the_dockerfile_has_it(built: Path) -> None:
    """Modes are said here, whatever the disk has; bytecode that Python left stays out."""
    (built / "llama-server" / "llama-server").chmod(0o600)

    server = contents.server_files(built / "llama-server", "x86_64")
    runtime = contents.runtime_files(built / "runtime", "x86_64")

    assert {path.removeprefix("opt/sealift/"): file.mode for path, file in server.items()} == {
        "llama-server/LICENSE": 0o444,
        "llama-server/llama-server": 0o555,
        "llama-server/llama-server-haswell": 0o555,
    }
    assert set(runtime) == {f"{LIB}/llama_cpp/__init__.py", f"{LIB}/llama_cpp/lib/libllama.so"}


def test_parts_for_another_machine_are_refused(built: Path) -> None:
    """It would push well and never start."""
    with pytest.raises(
        InvalidInput,
        match=r"which is for x86_64; wanted one for arm64; run `make llama-server.*--machine aarch64",
    ):
        contents.server_files(built / "llama-server", "arm64")
    with pytest.raises(InvalidInput, match=r"which is for x86_64; wanted one for arm64; .*--machine aarch64"):
        contents.runtime_files(built / "runtime", "arm64")
    (built / "llama-server" / "llama-server-haswell").write_bytes(elf(183))
    assert contents.server_files(built / "llama-server", "arm64")
    with pytest.raises(InvalidInput, match="for arm64; wanted one for x86_64"):
        contents.server_files(built / "llama-server", "x86_64")


def test_parts_that_were_not_built_are_told_with_the_command(tmp_path: Path) -> None:
    """Before anything is fetched."""
    with pytest.raises(InvalidInput, match=r"no llama-server in .*; run `make llama-server` in a checkout"):
        contents.server_files(tmp_path, "x86_64")
    with pytest.raises(InvalidInput, match=r"no llama_cpp in .*; run `make runtime`"):
        contents.runtime_files(tmp_path, "x86_64")


def test_the_image_has_the_code_that_the_dockerfile_copies() -> None:
    """The servers, the adapter, what an archive carries; nothing of `inference/` else."""
    code = package_files.image_code()

    assert {"server.py", "sealift_contract.py", "config.json", "adapter/__main__.py"} <= set(code)
    assert set(package_files.CODE) <= set(code)
    assert "requirements.txt" not in code
    assert not any("__pycache__" in path for path in code)
    top = package_files.inference()
    assert all(path == top / name for name, path in code.items())


def test_the_part_of_another_machine_has_its_name(tmp_path: Path) -> None:
    """So that both can be there at once."""
    built_for = partial(package_files.built_for, top=tmp_path, data=tmp_path / "data")
    assert built_for("runtime", "arm64") == tmp_path / "data" / "runtime"

    (tmp_path / ".build" / "runtime").mkdir(parents=True)
    assert built_for("runtime", "arm64") == tmp_path / ".build" / "runtime"

    (tmp_path / ".build" / "runtime-arm64").mkdir()
    assert built_for("runtime", "arm64") == tmp_path / ".build" / "runtime-arm64"
    assert built_for("runtime", "x86_64") == tmp_path / ".build" / "runtime"


def test_everything_is_gathered_in_layers_by_how_often_it_changes(built: Path, tmp_path: Path) -> None:
    """Libraries below, code above; no path in two of them; the packages are told with their versions."""
    cache = tmp_path / "cache"
    cache.mkdir()
    made = wheel(cache, "foo", {"foo/__init__.py": b"1"})
    lock = tmp_path / "image.lock"
    lock.write_text(f"foo==1.2.3 \\\n    --hash=sha256:{hashlib.sha256(made.read_bytes()).hexdigest()}\n")

    found = contents.gather("x86_64", cache, built_for=lambda name, _: built / name, lock=lock)

    assert [part.title for part in found.parts] == [
        "libraries and the runtime",
        "llama-server",
        "inference code",
    ]
    assert found.packages == {"foo": "1.2.3", "llama-cpp-python": "0.3.36"}
    for name in ("runtime/llama_cpp/lib/libllama.so", "llama-server/llama-server-haswell"):
        (built / name).write_bytes(elf(183))
    arm = contents.gather("arm64", cache, built_for=lambda name, _: built / name, lock=lock)
    assert [part.title for part in arm.parts] == [part.title for part in found.parts]
    paths = [path for part in found.parts for path in part.files]
    assert len(paths) == len(set(paths))
    assert f"{LIB}/foo/__init__.py" in found.parts[0].files
    assert "opt/sealift/adapter/__main__.py" in found.parts[2].files
