"""How the portable runtime is made: what goes in, which CPUs it serves, and every flag.

Owns the recipe as data, and its digest: the same digest stands for the same bytes. Refuses to touch a file or to
start a process; `__main__` does.

One build must run in an image with glibc 2.31 on a CPU that nobody names beforehand. So it is linked against glibc
2.17, and its CPU backend exists in several variants (llama.cpp's GGML_BACKEND_DL), of which the best that the machine
can run is loaded when it starts.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

GLIBC = "2.17"
"""What is linked against; the newest that a symbol may need is `NEWEST_GLIBC`."""
NEWEST_GLIBC = (2, 31)
"""Of Ubuntu 20.04, which AWS's prebuilt PyTorch 2.0 image is made from."""


@dataclass(frozen=True, slots=True)
class Variant:
    """One build of the CPU backend."""

    name: str
    """As in ggml/src/CMakeLists.txt."""
    flags: frozenset[str]
    """What /proc/cpuinfo must list for it to be chosen."""
    features: frozenset[str]
    """What `llama_print_system_info` must then say is 1."""


_AVX2 = frozenset({"avx2", "fma", "f16c", "bmi2"})
_HASWELL = frozenset({"AVX", "AVX2", "F16C", "FMA", "BMI2"})
VARIANTS = {
    # Nothing that runs serverless is without AVX2. AVX-512 with VNNI (every server CPU since 2019 but AMD's before
    # Zen 4) evaluates prompts half as fast again. Each further variant costs 30 s of compiling on one core; the kernels
    # have nothing for VBMI, BF16 matters to BF16 weights only, and AMX crashes on many CPUs (inference.py).
    "x86_64": (
        Variant("haswell", _AVX2, _HASWELL),
        Variant(
            "cascadelake",
            _AVX2 | {"avx512f", "avx512cd", "avx512vl", "avx512dq", "avx512bw", "avx512_vnni"},
            _HASWELL | {"AVX512", "AVX512_VNNI"},
        ),
    ),
    # For a developer's own machine, and for images on Graviton instances. Serverless has x86-64 only.
    "aarch64": (
        Variant("armv8.0_1", frozenset(), frozenset({"NEON"})),
        Variant(
            "armv8.2_2",
            frozenset({"asimddp", "asimdhp"}),
            frozenset({"NEON", "DOTPROD", "FP16_VA"}),
        ),
    ),
}
"""By machine, the plainest first."""

CMAKE = {
    "CMAKE_BUILD_TYPE": "Release",
    "BUILD_SHARED_LIBS": "ON",
    "GGML_BACKEND_DL": "ON",
    "GGML_CPU_ALL_VARIANTS": "ON",
    "GGML_NATIVE": "OFF",
    "GGML_OPENMP": "OFF",  # its library is not in the image, and llama.cpp's own threads are as fast
    "GGML_CCACHE": "OFF",
    "GGML_ALL_WARNINGS": "OFF",
    "LLAMA_ALL_WARNINGS": "OFF",
    "LLAMA_BUILD_COMMON": "OFF",
    "LLAMA_BUILD_TOOLS": "OFF",
    "LLAMA_BUILD_EXAMPLES": "OFF",
    "LLAMA_BUILD_TESTS": "OFF",
    "LLAMA_BUILD_SERVER": "OFF",
    "LLAMA_BUILD_APP": "OFF",
    "LLAMA_OPENSSL": "OFF",
    # Versioned names are symlinks, which archives may not have; two copies would be two registries of backends.
    "CMAKE_PLATFORM_NO_VERSIONED_SONAME": "ON",
    "CMAKE_BUILD_WITH_INSTALL_RPATH": "ON",
    "CMAKE_INSTALL_RPATH": "$ORIGIN",
    # Nothing is linked while CMake looks around: the linking waits for zig to compile the C++ library, half a minute.
    "CMAKE_TRY_COMPILE_TARGET_TYPE": "STATIC_LIBRARY",
    # The commit of whatever repository this lies in is none of llama.cpp's.
    "CMAKE_DISABLE_FIND_PACKAGE_Git": "ON",
}
COMPILE = "-O3 -DNDEBUG -g0"
LINK = "-s"
LAYOUT = 2
"""To be raised when the code changes that puts the tree together, here or in `__main__`: it is part of the digest."""
CHAT = "sealift_chat"
"""The folder in llama.cpp's that gets the sources of `chat/`, and the library that they make."""
TARGETS = ("llama", "ggml", CHAT)
AFTER_PROJECT = f"""\
# -O2 for what is not computing: a tenth less to compile, and no slower.
function(sealift_after)
  target_compile_options(llama PRIVATE -O2)
endfunction()
cmake_language(DEFER DIRECTORY ${{CMAKE_SOURCE_DIR}} CALL sealift_after)
if(CMAKE_CURRENT_SOURCE_DIR STREQUAL CMAKE_SOURCE_DIR)
  add_subdirectory({CHAT})
endif()
"""
"""Included by CMake after each `project()`, ggml's too, so that no source is edited for it."""
_CALL = r"\1 sealift_guard();"
CHAT_EDITS = {
    "chat.cpp": (
        r"^(        throw) e;$",
        r"\1;",
    ),  # a copy of the base has lost what is wrong with the template
    "jinja/parser.cpp": (r"^(    statement_ptr parse_\w+\(.*\) {)", _CALL),
    "jinja/runtime.cpp": (r"^(value statement::execute\(context & ctx\) const {)", _CALL),
    "jinja/runtime.h": (r"^(static void gather_string_parts_recursive\(.*\) {)", _CALL),
    "jinja/value.cpp": (
        r"^(.* (?:value_to_json_internal|value_to_string_repr|value_compare|value_t::stats_t::mark_used)\(.*\) {)",
        _CALL,
    ),
    "jinja/value.h": (r"^(    virtual bool operator==\(const value_t & other\) const {)", _CALL),
    "json.cpp": (
        r"^(common_json common_json::parse\w*\(const std::string & text\) {)",
        r"\1 sealift_guard_nesting(text);",
    ),
    "json-schema.cpp": (r"^(    common_chat_schema_ptr build_\w+\(.*\) {)", _CALL),
    "json-schema-to-grammar.cpp": (r"^(    std::string visit\(.*\) {)", _CALL),
    "peg-parser.cpp": (
        r"^(common_peg_parse_result common_peg_arena::parse\(common_peg_parser_id id, .*\) const {)",
        _CALL,
    ),
}
"""What is changed in llama.cpp's chat layer, by its file in `common`. Its functions call themselves as deep as a
template, a schema or an answer wants, until the stack ends and the process with it: each first asks whether it may."""

PACKAGES = ("llama-cpp-python", "diskcache")
"""Of requirements.txt. The image has the others, and what lies in code/ would hide the image's own."""

HOOK_NAME = "_backends.py"
HOOK = '''\
"""Loads the CPU backend that suits this machine. Added by Sealift's build, in which backends are libraries."""

import ctypes
import os

from llama_cpp import _logger
from llama_cpp._ggml import libggml, libggml_base_path

_count = libggml.ggml_backend_reg_count
_count.restype = ctypes.c_size_t
_load_all = libggml.ggml_backend_load_all_from_path
_load_all.argtypes = [ctypes.c_char_p]
_load_all.restype = None

if not _count():
    # It would tell on stderr which one it found: whoever imports a module did not ask.
    _level = _logger.logger.level
    _logger.set_verbose(False)
    _load_all(os.fsencode(libggml_base_path))
    _logger.logger.setLevel(_level)
if not _count():
    _built = sorted(p.name[len("libggml-cpu-"):-len(".so")] for p in libggml_base_path.glob("libggml-cpu-*.so"))
    raise RuntimeError(
        "no CPU backend of llama.cpp runs on this machine: built were %s; wanted one of them; "
        "on x86-64 that means AVX2, FMA, F16C and BMI2" % (", ".join(_built) or "none")
    )
'''
_HOOKED = "from .llama import *\n"


class RecipeError(ValueError):
    """What is to be built is not what this recipe was written for."""


@dataclass(frozen=True, slots=True)
class Pin:
    """One requirement: exactly one version, and what its file must hash to."""

    name: str
    version: str
    line: str
    """As pip reads it, hashes and all, in one line."""


def pins(requirements: str) -> dict[str, Pin]:
    """Return the requirements by name, of the text of a requirements file."""
    joined = re.sub(r"\\\n\s*", "", requirements)
    found = {}
    for line in joined.splitlines():
        match = re.match(r"([\w.-]+)==(\S+)(?: +--hash=sha256:[0-9a-f]{64})+ *$", line)
        if match:
            found[match[1]] = Pin(match[1], match[2], line.strip())
        elif line.strip() and not line.startswith("#"):
            raise RecipeError(f"requirement {line!r}; wanted name==version with --hash=sha256:...; pin it")
    return found


def machine_of(name: str, system: str) -> str:
    """Return the machine as `VARIANTS` names it."""
    known = {"amd64": "x86_64", "arm64": "aarch64"}.get(name.lower(), name.lower())
    if system != "Linux" or known not in VARIANTS:
        raise RecipeError(
            f"a runtime for {system} on {name}; wanted Linux on {' or '.join(VARIANTS)}; work in a Linux container"
        )
    return known


def cut_variants(cmake_lists: str, machine: str) -> str:
    """Return ggml/src/CMakeLists.txt with only our variants of this machine; upstream has no option for that.

    Raises:
        RecipeError: it does not look as it did when this was written.
    """
    wanted = {variant.name for variant in VARIANTS[machine]}
    seen = set()

    def kept(match: re.Match[str]) -> str:
        if match[1] not in wanted:
            return ""
        seen.add(match[1])
        return match[0]

    # Android's and Apple's variants have other names than Linux's.
    cut = re.sub(
        r"^ *ggml_add_cpu_backend_variant\(([\w.]+)[^)\n]*\)\n", kept, cmake_lists, flags=re.MULTILINE
    )
    if seen != wanted:
        raise RecipeError(
            f"ggml/src/CMakeLists.txt adds no variant {', '.join(sorted(wanted - seen))}; wanted those of "
            "tools/runtime/recipe.py; adapt them to this llama.cpp"
        )
    return cut


def edited(name: str, source: str) -> str:
    """Return a source of `common` with its change of `CHAT_EDITS`.

    Raises:
        RecipeError: it does not look as it did when this was written.
    """
    pattern, replacement = CHAT_EDITS[name]
    changed, count = re.subn(pattern, replacement, source, flags=re.MULTILINE)
    if not count:
        raise RecipeError(
            f"common/{name} has no {pattern!r}; look for what calls itself there, and adapt CHAT_EDITS in "
            "tools/runtime/recipe.py to this llama.cpp"
        )
    return changed


def hooked(init: str) -> str:
    """Return llama_cpp/__init__.py with the loading of backends in it.

    After the other imports, which give llama.cpp's log to Python's.

    Raises:
        RecipeError: it does not look as it did when this was written.
    """
    if init.count(_HOOKED) != 1:
        raise RecipeError(
            f"llama_cpp/__init__.py without one line {_HOOKED!r}; adapt tools/runtime/recipe.py to this release"
        )
    module = HOOK_NAME.removesuffix(".py")
    return init.replace(_HOOKED, f"{_HOOKED}from . import {module} as {module}  # added by Sealift's build\n")


_ARM_SPELLED = """\
for each; do
  shift
  case $each in
    -march=armv8-a) each=-mcpu=generic ;;
    -march=armv8.2-a+dotprod+fp16) each=-mcpu=generic+v8_2a+dotprod+fullfp16 ;;
    -march=*) echo "ERROR $each: wanted one of the variants of tools/runtime/recipe.py" >&2; exit 1 ;;
  esac
  set -- "$@" "$each"
done
"""
"""zig has other names for ARM's architectures than the compilers that ggml knows, and calls those unknown CPUs."""


def compiler(zig: str, mode: str, machine: str) -> str:
    """Return a shell script that is a compiler (`cc`, `c++`) or an archiver (`ar`, `ranlib`) to CMake."""
    if mode in ("ar", "ranlib"):
        return f'#!/bin/sh\nexec "{zig}" {mode} "$@"\n'
    target = f"-target {machine}-linux-gnu.{GLIBC}" + (" -mcpu=x86_64" if machine == "x86_64" else "")
    spelled = _ARM_SPELLED if machine == "aarch64" else ""
    # CMake links a program to learn which compiler this is; see CMAKE_TRY_COMPILE_TARGET_TYPE.
    return f"""\
#!/bin/sh
if [ -n "$SEALIFT_NO_LINK" ]; then
  case " $* " in *" -c "*|*" -E "*|*" -v "*|*" --version "*) ;; *) set -- "$@" -c ;; esac
fi
{spelled}exec "{zig}" {mode} {target} "$@"
"""


def cmake_arguments(
    *,
    compilers: str,
    include: str,
    source: str,
    machine: str,
    host: str,
    changed: Mapping[str, str] = MappingProxyType({}),
) -> list[str]:
    """Return CMake's definitions; folders are absolute, and none of them gets into the result.

    Args:
        compilers: the folder of the compilers' scripts.
        include: what CMake includes after each `project()`.
        source: llama.cpp's folder.
        machine: what is built for.
        host: what it is built on.
        changed: what is otherwise than in `CMAKE`.
    """
    compile_flags = f"{COMPILE} -ffile-prefix-map={source}=llama.cpp"
    given = {
        **CMAKE,
        "CMAKE_C_COMPILER": f"{compilers}/cc",
        "CMAKE_CXX_COMPILER": f"{compilers}/c++",
        "CMAKE_AR": f"{compilers}/ar",
        "CMAKE_RANLIB": f"{compilers}/ranlib",
        "CMAKE_C_FLAGS_RELEASE": compile_flags,
        "CMAKE_CXX_FLAGS_RELEASE": compile_flags,
        "CMAKE_SHARED_LINKER_FLAGS": LINK,
        "CMAKE_MODULE_LINKER_FLAGS": LINK,
        "CMAKE_PROJECT_INCLUDE": include,
        **changed,
    }
    if machine != host:
        # Only then: ggml takes it as a reason to leave AVX out of all but the variants.
        given |= {"CMAKE_SYSTEM_NAME": "Linux", "CMAKE_SYSTEM_PROCESSOR": machine}
    return [f"-D{name}={value}" for name, value in given.items()]


def digest(*, machine: str, requirements: dict[str, Pin], tools: dict[str, str], chat: dict[str, str]) -> str:
    """Return what changes whenever the built bytes may: inputs, recipe, variants, tools and our own C++ (`chat`)."""
    variants = [variant.name for variant in VARIANTS[machine]]
    arguments = cmake_arguments(compilers="", include="", source="", machine=machine, host=machine)
    ingredients = {
        "inputs": [requirements[name].line for name in PACKAGES],
        "layout": LAYOUT,
        "variants": variants,
        "recipe": [*arguments, LINK, AFTER_PROJECT, HOOK, compiler("", "cc", machine)],
        "chat": [chat, CHAT_EDITS],
        "tools": tools,
    }
    return hashlib.sha256(json.dumps(ingredients, sort_keys=True).encode()).hexdigest()
