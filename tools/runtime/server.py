"""Build llama.cpp's own server, for the local cloud and for images.

    python tools/runtime/server.py      .build/llama-server: the launcher `llama-server`, a program for each CPU variant
    python tools/runtime/server.py --source     .build/llama-source: what it is made from, for inference/Dockerfile.cuda

Builds once for each digest (`server_recipe.digest`) and keeps the result in the user's cache, as the runtime. It takes
minutes, and nothing else waits for it: the local cloud imitates the server where it has not been built.
"""

import argparse
import json
import platform
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import elf
import recipe
import server_recipe
import tree
import workshop
from recipe import Pin, RecipeError
from server_recipe import NAME
from workshop import REQUIREMENTS, TOP

WORK = TOP / ".cache" / NAME
OUTPUT = TOP / ".build" / NAME
SOURCE = TOP / ".build" / "llama-source"
LLAMA = "vendor/llama.cpp/"
NOT_NEEDED = ("docs", "models", "examples", "tests", "benches", "media", "gguf-py", "app")
"""Folders of llama.cpp that no target of ours is made from."""


def main() -> int:
    """Build, or take what was built; say what is wrong in one line."""
    parser = argparse.ArgumentParser(prog="tools/runtime/server.py")
    parser.add_argument(
        "--machine", default=platform.machine(), help="x86_64 or aarch64; this one's by default"
    )
    parser.add_argument("--output", type=Path, help="the folder to make")
    parser.add_argument("--source", action="store_true", help="make the source's folder, and compile nothing")
    parser.add_argument("--afresh", action="store_true", help="compile even what was compiled before")
    given = parser.parse_args()
    try:
        if given.source:
            _deliver_source(given.output or SOURCE)
            return 0
        machine = server_recipe.machine_of(given.machine, platform.system())
        _build(given.output or OUTPUT, machine, afresh=given.afresh)
    except (RecipeError, subprocess.CalledProcessError) as error:
        print(f"ERROR {NAME}: {error}", file=sys.stderr)
        return 1
    return 0


def _build(output: Path, machine: str, *, afresh: bool) -> None:
    requirements = recipe.pins(REQUIREMENTS.read_text())
    digest = server_recipe.digest(machine=machine, requirements=requirements, tools=workshop.tools())
    kept = workshop.kept(NAME, digest)
    if afresh or not workshop.is_whole(kept / NAME, digest):
        _compile(kept, requirements[server_recipe.SOURCE], machine, digest)
    else:
        print(f"{NAME} {digest[:12]} was built before", flush=True)
    workshop.deliver(kept / NAME, output, digest)


def _deliver_source(output: Path) -> None:
    workshop.fresh(WORK)
    llama = _source(recipe.pins(REQUIREMENTS.read_text())[server_recipe.SOURCE])
    shutil.rmtree(output, ignore_errors=True)
    shutil.copytree(llama, output)
    shutil.rmtree(WORK)


def _source(pin: Pin) -> Path:
    """Return the folder of llama.cpp's source with our changes of its server."""
    llama = workshop.extract(WORK, workshop.download(WORK, [pin]), _is_source) / LLAMA
    for name in server_recipe.EDITS:
        path = llama / "tools/server" / name
        path.write_text(server_recipe.edited(name, path.read_text()))
    return llama


def _compile(kept: Path, pin: Pin, machine: str, digest: str) -> None:
    workshop.fresh(WORK)
    compilers = workshop.write_compilers(WORK, machine)
    environment = workshop.environment()
    llama = _source(pin)
    made = WORK / NAME
    made.mkdir()
    for variant in _programs(llama, compilers, machine, environment):
        shutil.copyfile(WORK / "build" / "bin" / NAME, made / server_recipe.program(variant))
    (made / NAME).write_text(server_recipe.launcher(machine))
    for path in made.iterdir():
        path.chmod(0o755)
    shutil.copyfile(llama / "LICENSE", made / "LICENSE")
    if found := list(_problems(made, machine)):
        raise RecipeError("built and not usable: " + "; ".join(found))
    manifest = {"digest": digest, "machine": machine, "version": pin.version, "files": tree.listing(made)}
    workshop.manifest(made).write_text(json.dumps(manifest, indent=1) + "\n")

    def lay_out(new: Path) -> None:
        shutil.copytree(made, new / NAME)
        shutil.copyfile(workshop.manifest(made), workshop.manifest(new / NAME))

    workshop.keep(kept, lay_out)
    shutil.rmtree(WORK)


def _is_source(path: str) -> bool:
    unneeded = tuple(f"{LLAMA}{name}/" for name in NOT_NEEDED)
    return path.startswith(LLAMA) and not path.startswith(unneeded)


def _programs(llama: Path, compilers: Path, machine: str, environment: dict[str, str]) -> Iterator[str]:
    """Build one variant after the other in the same folder; yield the name of each when it is there."""
    by_variant = server_recipe.features((llama / "ggml/src/CMakeLists.txt").read_text(), machine)
    include = WORK / "after.cmake"
    include.write_text(server_recipe.AFTER_PROJECT)
    arguments = recipe.cmake_arguments(
        compilers=str(compilers),
        include=str(include),
        source=str(llama),
        machine=machine,
        host=workshop.this_machine(),
        changed=server_recipe.CMAKE,
    )
    build = WORK / "build"
    for name in by_variant:
        own = server_recipe.variant_arguments(name, by_variant, machine)
        workshop.configure(llama, build, [*arguments, *own], environment)
        workshop.make(build, [NAME], environment)
        yield name


def _problems(folder: Path, machine: str) -> Iterator[str]:
    """Yield what is wrong with the programs: what they need of a machine, and whether the one for this CPU starts."""
    for variant in recipe.VARIANTS[machine]:
        path = folder / server_recipe.program(variant.name)
        program = elf.read(path)
        if program.newest_glibc() > recipe.NEWEST_GLIBC:
            yield f"{path}: needs glibc {program.newest_glibc()}; wanted at most {recipe.NEWEST_GLIBC}"
        if strangers := sorted(set(program.needed) - tree.SYSTEM_LIBRARIES):
            yield f"{path}: needs {', '.join(strangers)}; wanted only glibc's libraries"
    if machine != workshop.this_machine():
        return
    started = subprocess.run(
        [str(folder / NAME), "--version"], capture_output=True, text=True, timeout=60, check=False
    )
    if started.returncode:
        yield f"{folder / NAME} --version ended with {started.returncode}: {started.stderr.strip()[-500:]}"


if __name__ == "__main__":
    sys.exit(main())
