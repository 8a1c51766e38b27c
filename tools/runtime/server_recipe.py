"""How llama.cpp's own server is made: one program for each CPU variant, and a launcher that takes the best one.

Owns what differs from the runtime's recipe, as data, and its digest. Refuses to touch a file or to start a process;
`server` does.

The runtime's way, in which the CPU backend is a library that is loaded at start, does not carry over: each library that
zig links has a C++ library of its own, and llama-server, which hands C++ objects from one to the other, crashes while
it loads. So all of llama.cpp is linked into the program, and only glibc is not. What is compiled once serves every
variant: only the CPU backend is compiled again.

Two things are otherwise in the server itself (`EDITS`): it looks often whether its caller is still there, and a stream
may be asked to say less often what it has.
"""

from __future__ import annotations

import hashlib
import json
import re

import recipe
from recipe import Pin, RecipeError, Variant

NAME = "llama-server"
SOURCE = "llama-cpp-python"
"""The requirement whose sources have llama.cpp in them."""

CMAKE = {
    "BUILD_SHARED_LIBS": "OFF",
    "GGML_BACKEND_DL": "OFF",
    "GGML_CPU_ALL_VARIANTS": "OFF",
    "LLAMA_BUILD_COMMON": "ON",
    "LLAMA_BUILD_TOOLS": "ON",
    "LLAMA_BUILD_SERVER": "ON",
    # The pages for a browser would be downloaded while it builds.
    "LLAMA_BUILD_UI": "OFF",
    "LLAMA_USE_PREBUILT_UI": "OFF",
    # Nothing that an endpoint is asked for needs another process, and none can then be started by asking.
    "LLAMA_SUBPROCESS": "OFF",
    "CMAKE_EXE_LINKER_FLAGS": recipe.LINK,
}
"""What is otherwise than in `recipe.CMAKE`."""
AFTER_PROJECT = """\
# -Os for what is not computing: the quickest to compile of those that answer within milliseconds.
function(sealift_after)
  target_compile_options(llama PRIVATE -O2)
  foreach(each cpp-httplib llama-common llama-common-base llama-server llama-server-impl mtmd server-context)
    target_compile_options(${each} PRIVATE -Os)
  endforeach()
endfunction()
if(CMAKE_CURRENT_SOURCE_DIR STREQUAL CMAKE_SOURCE_DIR)
  cmake_language(DEFER DIRECTORY ${CMAKE_SOURCE_DIR} CALL sealift_after)
endif()
"""
"""Included by CMake after each `project()`."""
LOOK_MS = 50
"""Milliseconds between two looks after a caller."""
EDITS = {
    # It looks after its caller once in a second without any news, and what comes for another request is news: among
    # others that stream, an answer is generated to its end for nobody. Now the time runs from the wait's beginning.
    "server-queue.cpp": (
        (
            r"^(server_task_result_ptr server_response::recv_with_timeout\(.*, int timeout\) \{)$",
            (
                r"\1 const auto until = std::chrono::steady_clock::now() + "
                rf"std::chrono::milliseconds({LOOK_MS}) * timeout;"
            ),
        ),
        (
            r"condition_results\.wait_for\(lock, std::chrono::seconds\(timeout\)\)",
            r"condition_results.wait_until(lock, until)",
        ),
    ),
    # `t_hold_ms` of a request: its stream tells the text of so many milliseconds together. Each event costs whoever
    # writes and reads it more than a small model's token.
    "server-task.h": (
        (
            r"^(    int64_t t_max_predict_ms = -1;.*)$",
            r"\1\n    int64_t t_hold_ms = 0; // if positive, a stream tells the text of so long together",
        ),
    ),
    "server-schema.cpp": (
        (
            r'^(    add\(\(new field_num\("t_max_predict_ms", params\.t_max_predict_ms\)\))$',
            (
                r'    add((new field_num("t_hold_ms", params.t_hold_ms))\n        ->set_hard_limits(0, 60000)\n'
                r'        ->set_desc("Tell the text of so many milliseconds together, '
                r'where the answer is a stream"));\n\n\1'
            ),
        ),
    ),
    "server-context.cpp": (
        (r"^(    size_t n_sent_text = 0;.*)$", r"\1\n    int64_t t_told = 0; // when text was told, in us"),
        (r"^(        n_sent_text    = 0;)$", r"\1\n        t_told         = 0;"),
        # Held back as the beginning of a stop is: what is told next begins where the last did end.
        (
            r"^( +send_text = stop_pos == std::string::npos)(;)$",
            r"\1 && ggml_time_us() - slot.t_told >= 1000 * slot.task->params.t_hold_ms\2",
        ),
        (
            r"^( +if \(slot\.task->params\.stream)(\) \{)(\n +send_partial_response\(slot, result, false\);)$",
            r"\1 && (send_text || slot.task->params.t_hold_ms == 0)\2\n                slot.t_told = ggml_time_us();\3",
        ),
        # What is held back when a limit ends the answer comes with its end.
        (
            r'^(            res->content     = )"";$',
            (
                r'\1slot.task->params.t_hold_ms == 0 ? "" :\n'
                r"                slot.generated_text.substr(std::min(slot.n_sent_text, slot.generated_text.size()));"
            ),
        ),
    ),
}
"""What is changed in the server, by its file in `tools/server`: each pattern must be there once."""


def machine_of(name: str, system: str) -> str:
    """Return the machine as `recipe.VARIANTS` names it.

    Raises:
        RecipeError: there is none.
    """
    return recipe.machine_of(name, system)


def features(cmake_lists: str, machine: str) -> dict[str, frozenset[str]]:
    """Return the instruction sets of each of our variants, in the names that ggml/src/CMakeLists.txt has for them.

    Raises:
        RecipeError: the file does not look as it did when this was written.
    """
    listed = {
        match[1]: frozenset(match[2].split())
        for match in re.finditer(
            r"^ *ggml_add_cpu_backend_variant\(([\w.]+)([^)\n]*)\)", cmake_lists, re.MULTILINE
        )
    }
    wanted = [variant.name for variant in recipe.VARIANTS[machine]]
    # The plainest of ARM's has no instruction set of its own.
    plain = {variant.name for variant in recipe.VARIANTS[machine] if not variant.flags}
    if missing := [
        name for name in wanted if not listed.get(name) and not (name in plain and name in listed)
    ]:
        raise RecipeError(
            f"ggml/src/CMakeLists.txt adds no variant {', '.join(missing)} with its instruction sets; wanted those of "
            "tools/runtime/recipe.py; adapt them to this llama.cpp"
        )
    return {name: listed[name] for name in wanted}


def edited(name: str, source: str) -> str:
    """Return a source of the server with its changes of `EDITS`.

    Raises:
        RecipeError: it does not look as it did when this was written.
    """
    for pattern, replacement in EDITS[name]:
        source, count = re.subn(pattern, replacement, source, flags=re.MULTILINE)
        if count != 1:
            raise RecipeError(
                f"tools/server/{name} has {pattern!r} {count} times; wanted it once; look how a stream and the wait "
                "for it go now, and adapt EDITS in tools/runtime/server_recipe.py to this llama.cpp"
            )
    return source


_ARM = {"DOTPROD": "dotprod", "FP16_VECTOR_ARITHMETIC": "fp16"}
"""The instruction sets of ARM's variants, in the names that the compiler has for them."""


def variant_arguments(name: str, by_variant: dict[str, frozenset[str]], machine: str) -> list[str]:
    """Return CMake's definitions that make the CPU backend one variant.

    On x86 each instruction set is on or off by name; on ARM they are the architecture that is compiled for, spelled as
    ggml spells it for its own variants.

    Args:
        name: of the variant.
        by_variant: the instruction sets of each.
        machine: as `recipe.VARIANTS` names it.

    Raises:
        RecipeError: an instruction set is not known here.
    """
    if machine == "aarch64":
        sets = by_variant[name]
        if strange := sets - _ARM.keys():
            raise RecipeError(
                f"{name} has {', '.join(sorted(strange))}; wanted {', '.join(_ARM)}; see "
                "ggml/src/ggml-cpu/CMakeLists.txt and adapt _ARM"
            )
        extensions = "".join(f"+{_ARM[each]}" for each in sorted(sets))
        return [f"-DGGML_CPU_ARM_ARCH=armv8{'.2' if sets else ''}-a{extensions}"]
    known = frozenset().union(*by_variant.values())
    return [f"-DGGML_{each}={'ON' if each in by_variant[name] else 'OFF'}" for each in sorted(known)]


_LISTS = {"x86_64": "flags", "aarch64": "Features"}
"""The line of /proc/cpuinfo that lists a CPU's instruction sets."""


def launcher(machine: str, cpuinfo: str = "/proc/cpuinfo") -> str:
    """Return the program of that name: a script for any POSIX shell that becomes the best variant for its CPU.

    Args:
        machine: as `recipe.VARIANTS` names it.
        cpuinfo: where the machine tells the flags of its CPUs.
    """
    variants = recipe.VARIANTS[machine]
    choices = "\n".join(_choice(variant) for variant in reversed(variants))
    built = ", ".join(variant.name for variant in variants)
    wanted = ", ".join(sorted(variants[0].flags)) or "any"
    return f"""\
#!/bin/sh
# Becomes the {NAME} that was built for this CPU. Written by tools/runtime/server_recipe.py.
here=$(dirname -- "$(readlink -f -- "$0")")
flags=
while read -r name rest; do
  case $name in {_LISTS[machine]}*) flags=" ${{rest#:}} "; break ;; esac
done <{cpuinfo}
has() {{
  for flag; do case $flags in *" $flag "*) ;; *) return 1 ;; esac; done
}}
{choices}
echo "ERROR {NAME}: no variant runs on this CPU: built were {built}; wanted {wanted}; take another machine" >&2
exit 1
"""


def _choice(variant: Variant) -> str:
    flags = " ".join(sorted(variant.flags))
    return f'if has {flags}; then exec "$here/{program(variant.name)}" "$@"; fi'


def program(variant: str) -> str:
    """Return the name of a variant's program, beside the launcher."""
    return f"{NAME}-{variant}"


def digest(*, machine: str, requirements: dict[str, Pin], tools: dict[str, str]) -> str:
    """Return what changes whenever the built bytes may: source, recipe, variants, tools."""
    arguments = recipe.cmake_arguments(
        compilers="", include="", source="", machine=machine, host=machine, changed=CMAKE
    )
    ingredients: dict[str, object] = {
        "input": requirements[SOURCE].line,
        "recipe": [*arguments, AFTER_PROJECT, launcher(machine), recipe.compiler("", "cc", machine)],
        "edits": EDITS,
        "tools": tools,
    }
    if machine == "aarch64":
        ingredients["arm"] = _ARM
    return hashlib.sha256(json.dumps(ingredients, sort_keys=True).encode()).hexdigest()
