"""llama.cpp's own server as it is built: what its recipe says, and the launcher that takes the program for a CPU."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

TOP = Path(__file__).resolve().parents[3]
sys.path.insert(0, str(TOP / "tools" / "runtime"))

import recipe  # noqa: E402
import server_recipe  # noqa: E402

PINS = recipe.pins((TOP / "inference" / "requirements.txt").read_text(encoding="utf-8"))
TOOLS = {"ziglang": "1", "cmake": "2", "ninja": "3"}
CMAKE = """\
    if (GGML_SYSTEM_ARCH STREQUAL "x86")
        ggml_add_cpu_backend_variant(x64)
        ggml_add_cpu_backend_variant(haswell            SSE42 AVX F16C FMA AVX2 BMI2)
        ggml_add_cpu_backend_variant(cascadelake        SSE42 AVX F16C FMA AVX2 BMI2 AVX512 AVX512_VNNI)
            ggml_add_cpu_backend_variant(zen4           SSE42 AVX512 AVX512_BF16)
    endif()
"""
FLAGS = {variant.name: variant.flags for variant in recipe.VARIANTS["x86_64"]}
BOTH = FLAGS["cascadelake"]


def launched(folder: Path, flags: frozenset[str], *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the launcher on a machine with these flags, and programs that tell their name and their arguments."""
    cpuinfo = folder / "cpuinfo"
    cpuinfo.write_text(
        f"processor\t: 0\nmodel name\t: flags: avx2\nflags\t\t: fpu {' '.join(sorted(flags))} ht\nbugs\t: none\n"
    )
    for name in FLAGS:
        program = folder / server_recipe.program(name)
        program.write_text(f'#!/bin/sh\necho {name} "$#" "$@"\n')
        program.chmod(0o755)
    launcher = folder / server_recipe.NAME
    launcher.write_text(server_recipe.launcher("x86_64", str(cpuinfo)))
    launcher.chmod(0o755)
    beside = folder / "elsewhere"
    beside.symlink_to(launcher)
    return subprocess.run([str(beside), *arguments], capture_output=True, text=True, timeout=30, check=False)


def test_the_best_variant_for_the_cpu_runs(tmp_path: Path) -> None:
    """With the arguments as they were given, also by a link from another folder."""
    assert launched(tmp_path, BOTH, "--alias", "a b", "").stdout == "cascadelake 3 --alias a b \n"


@pytest.mark.parametrize("missing", sorted(BOTH - FLAGS["haswell"]))
def test_without_one_flag_of_the_best_the_next_one_runs(tmp_path: Path, missing: str) -> None:
    """Any of them would end the program in the middle of a prompt."""
    assert launched(tmp_path, BOTH - {missing}).stdout == "haswell 0\n"


@pytest.mark.parametrize("missing", sorted(FLAGS["haswell"]))
def test_a_cpu_that_no_variant_runs_on_is_told(tmp_path: Path, missing: str) -> None:
    """What there is, what would be wanted, and what to do."""
    done = launched(tmp_path, BOTH - {missing})

    assert done.returncode == 1
    assert done.stdout == ""
    assert done.stderr == (
        "ERROR llama-server: no variant runs on this CPU: built were haswell, cascadelake; "
        "wanted avx2, bmi2, f16c, fma; take another machine\n"
    )


def test_a_flag_is_a_whole_word(tmp_path: Path) -> None:
    """`avx512_vnni` has `avx512` in it, and `xfma` would have `fma`."""
    assert launched(tmp_path, (BOTH - {"avx512f"}) | {"avx512fp16", "xavx512f"}).stdout == "haswell 0\n"


def test_each_variant_says_every_instruction_set() -> None:
    """The second is made in the folder of the first, whose options would stay."""
    found = server_recipe.features(CMAKE, "x86_64")

    shared = {f"-DGGML_{name}=ON" for name in ("SSE42", "AVX", "F16C", "FMA", "AVX2", "BMI2")}
    assert set(server_recipe.variant_arguments("haswell", found, "x86_64")) == {
        *shared,
        "-DGGML_AVX512=OFF",
        "-DGGML_AVX512_VNNI=OFF",
    }
    assert set(server_recipe.variant_arguments("cascadelake", found, "x86_64")) == {
        *shared,
        "-DGGML_AVX512=ON",
        "-DGGML_AVX512_VNNI=ON",
    }


@pytest.mark.parametrize(
    "changed",
    [CMAKE.replace("haswell ", "hazwell "), CMAKE.replace("SSE42 AVX F16C FMA AVX2 BMI2)", ")"), ""],
)
def test_another_layout_of_the_source_is_refused(changed: str) -> None:
    """A variant without its instruction sets would be built, and be ten times slower."""
    with pytest.raises(recipe.RecipeError, match=r"adds no variant .*haswell"):
        server_recipe.features(changed, "x86_64")


SOURCES = {
    "server-queue.cpp": """\
server_task_result_ptr server_response::recv_with_timeout(const std::unordered_set<int> & id_tasks, int timeout) {
        std::cv_status cr_res = condition_results.wait_for(lock, std::chrono::seconds(timeout));
""",
    "server-task.h": "    int64_t t_max_predict_ms = -1; // a limit\n",
    "server-schema.cpp": '    add((new field_num("t_max_predict_ms", params.t_max_predict_ms))\n',
    "server-context.cpp": """\
    size_t n_sent_text = 0; // sent
        n_sent_text    = 0;
                send_text = stop_pos == std::string::npos;
            if (slot.task->params.stream) {
                send_partial_response(slot, result, false);
            }
        if (slot.task->params.stream) {
            res->content     = "";
""",
}
"""The places that are changed, and one that looks like one of them."""


def test_each_place_that_is_changed_is_in_a_source() -> None:
    """The names of the files are those of llama.cpp."""
    assert set(SOURCES) == set(server_recipe.EDITS)


@pytest.mark.parametrize("name", SOURCES)
def test_each_change_is_made_once_or_the_build_stops(name: str) -> None:
    """A new release may look otherwise: an answer for nobody, or a text twice, would be found by no compiler."""
    source = SOURCES[name]

    assert server_recipe.edited(name, source) != source
    for pattern, _ in server_recipe.EDITS[name]:
        (found,) = re.finditer(pattern, source, re.MULTILINE)
        for other in (source.replace(found[0], "x"), source + found[0] + "\n"):
            with pytest.raises(recipe.RecipeError, match="adapt EDITS"):
                server_recipe.edited(name, other)


def test_a_look_after_the_caller_is_no_second_away() -> None:
    """The unit of the server's own seconds; and the wait ends then, whatever came for others."""
    changed = server_recipe.edited("server-queue.cpp", SOURCES["server-queue.cpp"])

    assert "std::chrono::milliseconds(50) * timeout;" in changed
    assert "wait_until(lock, until)" in changed


def test_it_is_built_for_linux_on_two_machines() -> None:
    """Graviton's among them; whoever builds may have another one."""
    assert server_recipe.machine_of("AMD64", "Linux") == "x86_64"
    assert server_recipe.machine_of("arm64", "Linux") == "aarch64"
    with pytest.raises(recipe.RecipeError, match="wanted Linux"):
        server_recipe.machine_of("x86_64", "Darwin")


ARM = """\
    elseif (GGML_SYSTEM_ARCH STREQUAL "ARM")
        ggml_add_cpu_backend_variant(armv8.0_1)
        ggml_add_cpu_backend_variant(armv8.2_1    DOTPROD)
        ggml_add_cpu_backend_variant(armv8.2_2    DOTPROD FP16_VECTOR_ARITHMETIC)
"""


def test_arms_variants_are_architectures() -> None:
    """As ggml spells them for its own; the plainest has no instruction set to be named."""
    found = server_recipe.features(ARM, "aarch64")

    assert [server_recipe.variant_arguments(name, found, "aarch64") for name in found] == [
        ["-DGGML_CPU_ARM_ARCH=armv8-a"],
        ["-DGGML_CPU_ARM_ARCH=armv8.2-a+dotprod+fp16"],
    ]
    with pytest.raises(recipe.RecipeError, match="adapt _ARM"):
        server_recipe.variant_arguments("x", {"x": frozenset({"SME"})}, "aarch64")
    with pytest.raises(recipe.RecipeError, match=r"armv8\.2_2"):
        server_recipe.features(ARM.replace("DOTPROD FP16_VECTOR_ARITHMETIC", ""), "aarch64")


@pytest.mark.parametrize(
    ("features", "variant"),
    [("fp asimd", "armv8.0_1"), ("fp asimd asimdhp", "armv8.0_1"), ("fp asimdhp asimddp lrcpc", "armv8.2_2")],
)
def test_the_launcher_reads_arms_features(tmp_path: Path, features: str, variant: str) -> None:
    """Which /proc/cpuinfo calls otherwise there."""
    cpuinfo = tmp_path / "cpuinfo"
    cpuinfo.write_text(f"processor\t: 0\nBogoMIPS\t: 243.75\nFeatures\t: {features}\nCPU part\t: 0xd40\n")
    for one in recipe.VARIANTS["aarch64"]:
        program = tmp_path / server_recipe.program(one.name)
        program.write_text(f"#!/bin/sh\necho {one.name}\n")
        program.chmod(0o755)
    launcher = tmp_path / server_recipe.NAME
    launcher.write_text(server_recipe.launcher("aarch64", str(cpuinfo)))
    launcher.chmod(0o755)

    assert (
        subprocess.run([launcher], capture_output=True, text=True, check=True, timeout=30).stdout
        == f"{variant}\n"
    )


def test_what_changes_the_bytes_changes_the_digest(monkeypatch: pytest.MonkeyPatch) -> None:
    """Source, tools and changes of it; not the other packages of the runtime. And it is not the runtime's own."""

    def digest(requirements: dict[str, recipe.Pin] = PINS, tools: dict[str, str] = TOOLS) -> str:
        return server_recipe.digest(machine="x86_64", requirements=requirements, tools=tools)

    pin = PINS["llama-cpp-python"]
    newer = {**PINS, "llama-cpp-python": recipe.Pin(pin.name, "9", pin.line.replace(pin.version, "9"))}
    without = {name: pin for name, pin in PINS.items() if name != "diskcache"}
    assert digest() == digest(without)
    assert len({digest(), digest(newer), digest(tools={**TOOLS, "cmake": "3"})}) == 3
    first = digest()
    monkeypatch.setattr(server_recipe, "EDITS", {})
    assert digest() != first
    assert digest() != recipe.digest(machine="x86_64", requirements=PINS, tools=TOOLS, chat={})


@pytest.mark.parametrize("target", ["setup", "demo", "test", "wheel", "deploy"])
def test_what_everyone_runs_does_not_wait_for_it(target: str) -> None:
    """It takes minutes: whoever wants it, or all checks, says so."""
    needed = _needed(target)

    assert "$(VENV)/.ready" in needed
    assert not {"llama-server", "$(SERVER).json"} & needed


def test_all_checks_have_it() -> None:
    """What runs llama-server is tested in every check, and not where somebody happens to have built it."""
    assert "$(SERVER).json" in _needed("check")


def _needed(target: str) -> set[str]:
    """Return what make brings about before a target, by the names in the Makefile."""
    makefile = (TOP / "Makefile").read_text(encoding="utf-8")
    rules: dict[str, set[str]] = {}
    for line in makefile.splitlines():
        name, colon, rest = line.partition(":")
        if colon and not rest.startswith("=") and not line.startswith(("\t", "#", ".")):
            rules.setdefault(name, set()).update(rest.partition("##")[0].replace("|", " ").split())
    found: set[str] = set()
    left = {target}
    while left:
        found |= left
        left = set().union(*(rules.get(one, set()) for one in left)) - found
    return found
