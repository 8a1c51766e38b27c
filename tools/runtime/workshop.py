"""What every build of llama.cpp does alike: zig as the compiler, the pinned source, cmake and ninja, the cache.

Owns the processes and the folders of a build. Refuses to know what is built: `__main__` makes the runtime, `server`
llama-server.
"""

from __future__ import annotations

import importlib.metadata
import json
import os
import platform
import shutil
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Callable, Iterable
from pathlib import Path

import recipe
import tree

TOP = Path(__file__).resolve().parents[2]
REQUIREMENTS = TOP / "inference" / "requirements.txt"
ZIG_CACHE = TOP / ".cache" / "zig"
TOOLS = ("ziglang", "cmake", "ninja")


# ------------------------------------------------------------------------------ what was built before


def kept(kind: str, digest: str) -> Path:
    """Return the folder in the user's cache for what a digest stands for; "runtime" is one kind of it."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "sealift" / kind / digest[:32]


def manifest(folder: Path) -> Path:
    """Return the path of a folder's manifest."""
    return folder.with_name(folder.name + ".json")


def is_whole(folder: Path, digest: str) -> bool:
    """Return whether a tree is the one of this digest, every byte of it."""
    try:
        told = json.loads(manifest(folder).read_bytes())
        return bool(told["digest"] == digest and told["files"] == tree.listing(folder))
    except (OSError, ValueError, KeyError):
        return False


def deliver(kept: Path, output: Path, digest: str) -> bool:
    """Copy what the cache has of this digest to where it is used, with its manifest; return whether there was need."""
    if is_whole(output, digest):
        return False
    shutil.rmtree(output, ignore_errors=True)
    shutil.copytree(kept, output)
    shutil.copyfile(manifest(kept), manifest(output))
    return True


def keep(folder: Path, lay_out: Callable[[Path], object]) -> None:
    """Let something lay out a new folder and put it in the place of one in the cache.

    Whole or not at all: another checkout may be reading, or making the same.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent) as beside:
        new = Path(beside) / "new"
        new.mkdir()
        lay_out(new)
        if folder.exists():
            folder.rename(Path(beside) / "old")
        new.rename(folder)


# ------------------------------------------------------------------------------ tools


def tools() -> dict[str, str]:
    """Return the versions of the tools that compile."""
    return {name: importlib.metadata.version(name) for name in TOOLS}


def environment() -> dict[str, str]:
    """Return the environment of a build, without what would change its bytes."""
    given = {
        **os.environ,
        "ZIG_GLOBAL_CACHE_DIR": str(ZIG_CACHE),
        "ZIG_LOCAL_CACHE_DIR": str(ZIG_CACHE),
        "GIT_DIR": os.devnull,
        "CLICOLOR_FORCE": "0",
    }
    for name in ("SOURCE_DATE_EPOCH", "CFLAGS", "CXXFLAGS", "CPPFLAGS", "LDFLAGS", "CMAKE_ARGS"):
        given.pop(name, None)  # ggml leaves AVX out for the first; the others would change the bytes
    return given


def write_compilers(work: Path, machine: str) -> Path:
    """Write the scripts that are a compiler to CMake; return their folder."""
    import ziglang  # type: ignore[import-untyped]

    zig = Path(str(ziglang.__file__)).with_name("zig")
    folder = work / "compilers"
    folder.mkdir()
    for mode in ("cc", "c++", "ar", "ranlib"):
        script = folder / mode
        script.write_text(recipe.compiler(str(zig), mode, machine))
        script.chmod(0o755)
    return folder


def warm_up(work: Path, compilers: Path, environment: dict[str, str]) -> subprocess.Popen[bytes]:
    """Start what lets zig compile its C++ library, which takes half a minute on one core; only linking waits for it."""
    source = work / "warm.cpp"
    source.write_text("#include <string>\nstd::string f(std::string s) { return s + s; }\n")
    command = [str(compilers / "c++"), *recipe.COMPILE.split(), recipe.LINK, "-shared", "-fPIC"]
    return subprocess.Popen([*command, str(source), "-o", str(work / "warm.so")], env=environment)


def run(command: list[str], environment: dict[str, str]) -> None:
    """Run a command and print it before."""
    print("+", " ".join(command), flush=True)
    subprocess.run(command, env=environment, check=True)


def jobs() -> str:
    """Return how many processes compile at a time."""
    return os.environ.get("CMAKE_BUILD_PARALLEL_LEVEL") or str(len(os.sched_getaffinity(0)))


# ------------------------------------------------------------------------------ source and build


def download(work: Path, pins: Iterable[recipe.Pin]) -> Path:
    """Download packages, llama-cpp-python as its source; return the folder that they are in."""
    wanted = work / "wanted.txt"
    wanted.write_text("".join(pin.line + "\n" for pin in pins))
    downloads = work / "downloads"
    # Without isolation: pip prepares the source's metadata, with the locked tools that are here.
    checked = ("--require-hashes", "--no-deps", "--no-build-isolation", "--no-binary", "llama-cpp-python")
    place = ("--dest", str(downloads), "--requirement", str(wanted))
    run([sys.executable, "-m", "pip", "download", *checked, *place], dict(os.environ))
    return downloads


def extract(work: Path, downloads: Path, wanted: Callable[[str], bool]) -> Path:
    """Extract llama-cpp-python's source, but only what is wanted by its path in it; return its folder."""
    (archive,) = downloads.glob("*.tar.gz")
    with tarfile.open(archive) as opened:
        members = [one for one in opened if one.isfile() and wanted(one.name.partition("/")[2])]
        opened.extractall(work / "source", members=members, filter="data")
    (source,) = (work / "source").iterdir()
    return source


def configure(llama: Path, build: Path, arguments: Iterable[str], environment: dict[str, str]) -> None:
    """Let CMake write or rewrite a build folder for llama.cpp's source."""
    beside = Path(sys.executable).parent
    command = [str(beside / "cmake"), "-S", str(llama), "-B", str(build), "-G", "Ninja"]
    given = {**environment, "SEALIFT_NO_LINK": "1"}
    run([*command, f"-DCMAKE_MAKE_PROGRAM={beside / 'ninja'}", *arguments], given)


def make(build: Path, targets: Iterable[str], environment: dict[str, str]) -> None:
    """Compile and link targets."""
    ninja = str(Path(sys.executable).parent / "ninja")
    run([ninja, "-C", str(build), "-j", jobs(), *targets], environment)


def this_machine() -> str:
    """Return what `recipe` calls this machine."""
    return recipe.machine_of(platform.machine(), platform.system())


def fresh(folder: Path) -> Path:
    """Return a folder with nothing in it."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    return folder
