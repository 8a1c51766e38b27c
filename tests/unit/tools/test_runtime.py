"""The recipe of the portable runtime, and what is checked of what it made."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline import package_files

TOP = Path(__file__).resolve().parents[3]
sys.path.insert(0, str(TOP / "tools" / "runtime"))

import elf  # noqa: E402
import recipe  # noqa: E402
import tree  # noqa: E402

RUNTIME = package_files.runtime()
LIBRARY = RUNTIME / "llama_cpp" / "lib" / "libllama.so"
MACHINE = elf.read(LIBRARY).machine
WHOLE = LIBRARY.read_bytes()
TOOLS = {"ziglang": "1", "cmake": "2", "ninja": "3"}
PINS = recipe.pins((TOP / "inference" / "requirements.txt").read_text(encoding="utf-8"))
CMAKE = """\
    if (GGML_SYSTEM_ARCH STREQUAL "x86")
        ggml_add_cpu_backend_variant(x64)
        ggml_add_cpu_backend_variant(haswell            SSE42 AVX F16C FMA AVX2 BMI2)
            ggml_add_cpu_backend_variant(zen4           SSE42 AVX512_BF16)
        ggml_add_cpu_backend_variant(cascadelake        SSE42 AVX512 AVX512_VNNI)
    endif()
"""


def digest(**changed: object) -> str:
    """Return the digest of a build, but for what is changed."""
    given = {"machine": "x86_64", "requirements": PINS, "tools": TOOLS, "chat": {"a.cpp": "1"}, **changed}
    return recipe.digest(**given)  # type: ignore[arg-type]


def test_the_built_runtime_may_travel() -> None:
    """No symbol is newer than the image's glibc, no library is a stranger's, no file is a link or unreadable."""
    assert tree.problems(RUNTIME, MACHINE) == []


def test_all_python_that_travels_is_python_3_10() -> None:
    """In the runtime as in the inference code."""
    sources = [path for path in package_files.code().values() if path.suffix == ".py"]

    assert len(sources) > 20
    assert list(tree.syntax(sources)) == []


@pytest.fixture
def spoilt(tmp_path: Path) -> Callable[[Callable[[Path], object]], list[str]]:
    """Return a function that spoils a copy of the runtime and returns what is said of it."""
    copy = tmp_path / "runtime"
    shutil.copytree(RUNTIME, copy)

    def judge(spoil: Callable[[Path], object]) -> list[str]:
        spoil(copy)
        return tree.problems(copy, MACHINE)

    return judge


def changed(old: bytes, new: bytes) -> Callable[[Path], object]:
    """Return what changes a text in libllama.so."""
    assert old in WHOLE
    return lambda copy: (copy / "llama_cpp/lib/libllama.so").write_bytes(WHOLE.replace(old, new))


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        pytest.param(changed(b"\0GLIBC_2.17\0", b"\0GLIBC_2.32\0"), "needs glibc (2, 32)", id="newer glibc"),
        pytest.param(changed(b"\0libc.so.6\0", b"\0libx.so.6\0"), "needs libx.so.6", id="another library"),
        pytest.param(changed(b"\0$ORIGIN\0", b"\0/usrlib\0"), "run path '/usrlib'", id="run path"),
        pytest.param(
            lambda copy: (copy / "llama_cpp/lib/libggml.so").write_text("x"),
            "64-bit little-endian ELF",
            id="no ELF",
        ),
        pytest.param(
            lambda copy: (copy / "llama_cpp/lib/libomp.so").write_bytes(WHOLE),
            "libomp.so",
            id="one library more",
        ),
        pytest.param(
            lambda copy: (copy / "llama_cpp/a.so.1").symlink_to("lib/libggml.so"), "symbolic link", id="link"
        ),
        pytest.param(lambda copy: (copy / "llama_cpp/llama.py").chmod(0o600), "readable by all", id="mode"),
        pytest.param(
            lambda copy: (copy / "diskcache/new.py").write_text("type X = int\n"),
            "wanted Python 3.10",
            id="syntax",
        ),
    ],
)
def test_what_must_not_travel_is_told(
    spoilt: Callable[[Callable[[Path], object]], list[str]], spoil: Callable[[Path], object], words: str
) -> None:
    """Each of them would break an endpoint, or every archive."""
    told = spoilt(spoil)

    assert len(told) == 1
    assert words in told[0]


@given(st.integers(0, 4096) | st.integers(0, len(WHOLE) - 1))
def test_a_library_cut_short_is_no_library(length: int) -> None:
    """However short, it is refused in words."""
    with pytest.raises(elf.NotElf, match="libllama"):
        elf.parse(WHOLE[:length], "libllama.so")


SMALL = (RUNTIME / "llama_cpp" / "lib" / "libggml.so").read_bytes()


@given(st.dictionaries(st.integers(6, 200) | st.integers(-4000, -1), st.integers(0, 255), max_size=8))
def test_a_damaged_library_is_read_or_refused(bytes_at: dict[int, int]) -> None:
    """Whatever its headers say: its facts, or words."""
    damaged = bytearray(SMALL)
    for at, value in bytes_at.items():
        damaged[at] = value

    with suppress(elf.NotElf):
        elf.parse(bytes(damaged), "libggml.so")


def test_a_library_without_its_sections_is_not_one_that_needs_nothing() -> None:
    """Its glibc could be any."""
    bare = bytearray(SMALL)
    bare[40:48] = bytes(8)  # e_shoff
    bare[60:64] = bytes(4)  # e_shnum, e_shstrndx

    with pytest.raises(elf.NotElf, match=r"libggml.so.* no dynamic section"):
        elf.parse(bytes(bare), "libggml.so")


@pytest.mark.parametrize("machine", list(recipe.VARIANTS))
def test_only_our_variants_are_built(machine: str) -> None:
    """The others' lines go, and nothing else does."""
    lines = "".join(f"    ggml_add_cpu_backend_variant({one.name} A)\n" for one in recipe.VARIANTS[machine])
    other = "    ggml_add_cpu_backend_variant(other A B)\n"

    assert recipe.cut_variants(f"if\n{other}{lines}{other}endif\n", machine) == f"if\n{lines}endif\n"


def test_a_llama_cpp_without_our_variants_is_refused() -> None:
    """A new release may rename them: then somebody must look."""
    assert "zen4" not in recipe.cut_variants(CMAKE, "x86_64")
    with pytest.raises(recipe.RecipeError, match="adds no variant haswell"):
        recipe.cut_variants(CMAKE.replace("haswell", "nehalem"), "x86_64")


@pytest.mark.parametrize(
    ("name", "source", "changed"),
    [
        (
            "jinja/parser.cpp",
            "    statement_ptr parse_any() {\n        return parse_any();\n    }\n",
            "    statement_ptr parse_any() { sealift_guard();\n        return parse_any();\n    }\n",
        ),
        (
            "json.cpp",
            "common_json common_json::parse(const std::string & text) {\n",
            "common_json common_json::parse(const std::string & text) { sealift_guard_nesting(text);\n",
        ),
        ("chat.cpp", "        throw e;\n", "        throw;\n"),
    ],
)
def test_what_calls_itself_asks_first(name: str, source: str, changed: str) -> None:
    """A new release may name it otherwise: then somebody must look."""
    assert recipe.edited(name, source) == changed
    with pytest.raises(recipe.RecipeError, match="adapt CHAT_EDITS"):
        recipe.edited(name, "int main() {}\n")


def test_a_package_that_looks_otherwise_is_refused() -> None:
    """The loading of backends is put after the import that silences llama.cpp's log."""
    hooked = recipe.hooked("from .llama_cpp import *\nfrom .llama import *\n")

    assert hooked.splitlines()[2].startswith("from . import _backends")
    with pytest.raises(recipe.RecipeError, match="adapt"):
        recipe.hooked("from .llama_cpp import *\n")


def test_the_digest_changes_with_what_is_built(monkeypatch: pytest.MonkeyPatch) -> None:
    """Version, tools, machine, our own C++, variants, flags and changes; and with nothing else."""
    newer = dict(PINS)
    newer["llama-cpp-python"] = recipe.Pin("llama-cpp-python", "9", "llama-cpp-python==9")
    first = digest()
    numpy = {**PINS, "numpy": recipe.Pin("numpy", "2", "numpy==2")}

    assert first == digest(requirements=numpy)
    digests = {
        first,
        digest(requirements=newer),
        digest(tools={**TOOLS, "cmake": "9"}),
        digest(machine="aarch64"),
        digest(chat={"a.cpp": "2"}),
    }
    monkeypatch.setitem(recipe.VARIANTS, "x86_64", recipe.VARIANTS["x86_64"][:1])
    digests.add(digest())
    monkeypatch.setitem(recipe.CMAKE, "GGML_OPENMP", "ON")
    digests.add(digest())
    monkeypatch.setitem(recipe.CHAT_EDITS, "chat.cpp", ("a", "b"))
    digests.add(digest())
    assert len(digests) == 8


@pytest.mark.parametrize("line", ["numpy", "numpy>=1", "numpy==1.26.4", "numpy==1.26.4 --hash=md5:0"])
def test_a_requirement_without_version_and_hash_is_refused(line: str) -> None:
    """What is built must be what was meant."""
    with pytest.raises(recipe.RecipeError, match="pin it"):
        recipe.pins(f"# comment\n{line}\n")


@pytest.mark.parametrize(
    ("name", "system"),
    [("x86_64", "Darwin"), ("riscv64", "Linux")],
    ids=["another system", "another machine"],
)
def test_a_machine_that_cannot_build_it_is_told(name: str, system: str) -> None:
    """One sentence, with what would do."""
    with pytest.raises(recipe.RecipeError, match="wanted Linux on x86_64 or aarch64"):
        recipe.machine_of(name, system)


@pytest.mark.parametrize(("name", "machine"), [("AMD64", "x86_64"), ("arm64", "aarch64")])
def test_a_machine_is_known_by_its_other_name(name: str, machine: str) -> None:
    """As other systems' tools call it."""
    assert recipe.machine_of(name, "Linux") == machine


@pytest.mark.parametrize(
    ("flags", "name"),
    [
        pytest.param("avx2 fma f16c bmi2", "haswell", id="AVX2"),
        pytest.param("avx2 fma f16c bmi2 avx512f", "haswell", id="AVX-512 without VNNI"),
        pytest.param(
            "avx2 fma f16c bmi2 avx512f avx512cd avx512vl avx512dq avx512bw avx512_vnni",
            "cascadelake",
            id="VNNI",
        ),
        pytest.param("sse4_2", None, id="neither"),
    ],
)
def test_the_best_variant_that_a_cpu_can_run_is_wanted(flags: str, name: str | None) -> None:
    """By the flags that Linux lists."""
    best = tree.best_variant("x86_64", frozenset(flags.split()))

    assert (best.name if best else None) == name
