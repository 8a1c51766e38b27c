"""Build the portable runtime, and check it.

    python tools/runtime build      .build/runtime, its manifest, a wheel of the same files, and llama.cpp's templates
    python tools/runtime check      exit with 1 and say why when it must not travel in an archive

Builds once for each digest (`recipe.digest`) and keeps the result where pip keeps its own, in the user's cache folder;
what comes from there is compared with its manifest, file by file. `--afresh` compiles all the same.
"""

import argparse
import base64
import csv
import hashlib
import io
import json
import os
import platform
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import recipe
import tree
import workshop
from recipe import Pin, RecipeError
from workshop import REQUIREMENTS, TOP

WORK = TOP / ".cache" / "runtime"
OUTPUT = TOP / ".build" / "runtime"
CHAT = Path(__file__).parent / "chat"
TEMPLATES = "vendor/llama.cpp/models/templates/"
"""llama.cpp's collection of chat templates: the tests' alone, and so kept beside the runtime, not in it."""
SOURCES = ("vendor/llama.cpp/", "llama_cpp/", "PKG-INFO", "LICENSE.md")
NOT_NEEDED = ("docs", "models", "tools", "examples", "tests", "benches", "media", "gguf-py", "app")
"""Folders of llama.cpp that no target of ours is made from; its root CMakeLists.txt enters none of them."""
EPOCH = (1980, 1, 1, 0, 0, 0)


def main() -> int:
    """Run one command; say what is wrong in one line."""
    parser = argparse.ArgumentParser(prog="tools/runtime")
    parser.add_argument("command", choices=("build", "check"))
    parser.add_argument(
        "--machine", default=platform.machine(), help="x86_64 or aarch64; this one's by default"
    )
    parser.add_argument("--output", type=Path, default=OUTPUT, help="the folder to make or to check")
    parser.add_argument("--afresh", action="store_true", help="compile even what was compiled before")
    given = parser.parse_args()
    try:
        machine = recipe.machine_of(given.machine, platform.system())
        if given.command == "check":
            return _check(given.output, machine)
        _build(given.output, machine, afresh=given.afresh)
    except (RecipeError, subprocess.CalledProcessError) as error:
        print(f"ERROR runtime: {error}", file=sys.stderr)
        return 1
    return 0


# ------------------------------------------------------------------------------ build


def _build(output: Path, machine: str, *, afresh: bool) -> None:
    requirements = recipe.pins(REQUIREMENTS.read_text())
    chat = {path.name: path.read_text() for path in sorted(CHAT.iterdir())}
    digest = recipe.digest(machine=machine, requirements=requirements, tools=workshop.tools(), chat=chat)
    kept = workshop.kept("runtime", digest)
    if afresh or not workshop.is_whole(kept / "runtime", digest):
        _compile(kept, requirements, machine, digest)
    else:
        print(f"runtime {digest[:12]} was built before", flush=True)
    if workshop.deliver(kept / "runtime", output, digest):
        shutil.copytree(kept / "templates", output.with_name("templates"), dirs_exist_ok=True)
    wheels = output.parent / "wheels"
    shutil.rmtree(wheels, ignore_errors=True)
    wheels.mkdir(parents=True)
    _write_wheel(output, wheels, (kept / "PKG-INFO").read_bytes(), requirements, machine)


def _compile(kept: Path, requirements: dict[str, Pin], machine: str, digest: str) -> None:
    workshop.fresh(WORK)
    compilers = workshop.write_compilers(WORK, machine)
    environment = workshop.environment()
    warming = workshop.warm_up(WORK, compilers, environment)
    try:
        source, diskcache = _fetch(requirements)
        build = _configure_and_make(source, compilers, machine, environment)
    finally:
        warming.wait()
    made = WORK / "runtime"
    _lay_out(made, source, diskcache, build / "bin")
    problems = tree.problems(made, machine)
    if problems:
        raise RecipeError("built and not usable: " + "; ".join(problems))
    manifest = {
        "digest": digest,
        "machine": machine,
        "version": requirements["llama-cpp-python"].version,
        "variants": [variant.name for variant in recipe.VARIANTS[machine]],
        "files": tree.listing(made),
    }
    workshop.manifest(made).write_text(json.dumps(manifest, indent=1) + "\n")

    def lay_out(new: Path) -> None:
        shutil.copytree(made, new / "runtime")
        shutil.copyfile(workshop.manifest(made), new / "runtime.json")
        shutil.copyfile(source / "PKG-INFO", new / "PKG-INFO")
        shutil.copytree(source / TEMPLATES, new / "templates")

    workshop.keep(kept, lay_out)
    shutil.rmtree(WORK)


def _fetch(requirements: dict[str, Pin]) -> tuple[Path, Path]:
    """Return the folders of llama-cpp-python's source and of diskcache."""
    downloads = workshop.download(WORK, [requirements[name] for name in recipe.PACKAGES])
    (wheel,) = downloads.glob("diskcache-*.whl")
    with zipfile.ZipFile(wheel) as opened_wheel:
        opened_wheel.extractall(WORK / "diskcache")
    return workshop.extract(WORK, downloads, _is_source), WORK / "diskcache"


def _is_source(path: str) -> bool:
    unneeded = path.startswith(tuple(f"vendor/llama.cpp/{name}/" for name in NOT_NEEDED))
    return path.startswith(SOURCES) and (not unneeded or path.startswith(TEMPLATES))


def _configure_and_make(source: Path, compilers: Path, machine: str, environment: dict[str, str]) -> Path:
    llama = source / "vendor" / "llama.cpp"
    lists = llama / "ggml" / "src" / "CMakeLists.txt"
    lists.write_text(recipe.cut_variants(lists.read_text(), machine))
    for name in recipe.CHAT_EDITS:
        path = llama / "common" / name
        path.write_text(recipe.edited(name, path.read_text()))
    shutil.copytree(CHAT, llama / recipe.CHAT)
    include = WORK / "after.cmake"
    include.write_text(recipe.AFTER_PROJECT)
    build = WORK / "build"
    arguments = recipe.cmake_arguments(
        compilers=str(compilers),
        include=str(include),
        source=str(llama),
        machine=machine,
        host=workshop.this_machine(),
    )
    workshop.configure(llama, build, arguments, environment)
    workshop.make(build, recipe.TARGETS, environment)
    return build


def _lay_out(made: Path, source: Path, diskcache: Path, libraries: Path) -> None:
    """Put the tree together: Python files, libraries, licences; every file readable by all."""
    package = made / "llama_cpp"
    shutil.copytree(source / "llama_cpp", package, ignore=shutil.ignore_patterns("__pycache__", "lib"))
    (package / recipe.HOOK_NAME).write_text(recipe.HOOK)
    init = package / "__init__.py"
    init.write_text(recipe.hooked(init.read_text()))
    (package / "lib").mkdir()
    for library in sorted(libraries.glob("*.so")):
        shutil.copyfile(library, package / "lib" / library.name)
    shutil.copyfile(source / "LICENSE.md", package / "LICENSE.md")
    shutil.copyfile(source / "vendor" / "llama.cpp" / "LICENSE", package / "lib" / "LICENSE")
    shutil.copytree(diskcache / "diskcache", made / "diskcache")
    (licence,) = [path for path in diskcache.rglob("LICENSE*") if path.is_file()]
    shutil.copyfile(licence, made / "diskcache" / "LICENSE")
    for path in [made, *made.rglob("*")]:
        path.chmod(0o755 if path.is_dir() else 0o644)


# ------------------------------------------------------------------------------ wheel


def _write_wheel(
    folder: Path, wheels: Path, metadata: bytes, requirements: dict[str, Pin], machine: str
) -> None:
    """Write llama_cpp as a wheel, so that what is installed here is what travels."""
    version = requirements["llama-cpp-python"].version
    stem = f"llama_cpp_python-{version}"
    tag = f"py3-none-manylinux_{recipe.GLIBC.replace('.', '_')}_{machine}"
    about = f"Wheel-Version: 1.0\nGenerator: sealift\nRoot-Is-Purelib: false\nTag: {tag}\n"
    contents = {
        f"llama_cpp/{name}": (folder / "llama_cpp" / name).read_bytes()
        for name in tree.listing(folder / "llama_cpp")
    }
    contents[f"{stem}.dist-info/METADATA"] = metadata
    contents[f"{stem}.dist-info/WHEEL"] = about.encode()
    record = io.StringIO()
    rows = csv.writer(record, lineterminator="\n")
    for name, content in contents.items():
        digest = base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=").decode()
        rows.writerow([name, f"sha256={digest}", len(content)])
    rows.writerow([f"{stem}.dist-info/RECORD", "", ""])
    contents[f"{stem}.dist-info/RECORD"] = record.getvalue().encode()
    with zipfile.ZipFile(wheels / f"{stem}-{tag}.whl", "w", zipfile.ZIP_DEFLATED, compresslevel=1) as wheel:
        for name, content in contents.items():
            entry = zipfile.ZipInfo(name, EPOCH)
            entry.external_attr = 0o644 << 16
            wheel.writestr(entry, content, zipfile.ZIP_DEFLATED)


# ------------------------------------------------------------------------------ check


def _check(folder: Path, machine: str) -> int:
    if not workshop.manifest(folder).is_file():
        print(f"ERROR no runtime in {folder}; run `make runtime`", file=sys.stderr)
        return 1
    manifest = json.loads(workshop.manifest(folder).read_bytes())
    problems = tree.problems(folder, machine)
    if manifest["files"] != tree.listing(folder):
        problems.append(f"{folder}: files are not those of its manifest; run `make runtime` again")
    sources = [*tree.files(folder), *sorted((TOP / "inference").glob("*.py"))]
    problems += tree.syntax([path for path in sources if path.suffix == ".py"])
    problems += _older_python([path for path in sources if path.suffix == ".py"])
    if machine == workshop.this_machine():
        problems += _features(folder, machine)
    for problem in problems:
        print(f"ERROR {problem}", file=sys.stderr)
    print(f"{folder}: {len(manifest['files'])} files, {len(problems)} problems")
    return 1 if problems else 0


def _older_python(sources: list[Path]) -> list[str]:
    """Return what a real Python 3.10 says of the sources, where there is one, and what ruff says in its place."""
    wanted = f"{tree.PYTHON[0]}.{tree.PYTHON[1]}"
    names = [str(path) for path in sources]
    target = f"py{wanted.replace('.', '')}"
    ruff = [
        shutil.which("ruff", path=str(Path(sys.executable).parent)) or "ruff",
        "check",
        "--isolated",
        "--no-cache",
    ]
    commands = {"ruff": [*ruff, "--quiet", "--select", "F7", "--target-version", target, *names]}
    python = shutil.which(f"python{wanted}")
    # A version manager's stand-in is found even where it has no such version.
    if python and subprocess.run([python, "-c", ""], capture_output=True, check=False).returncode == 0:
        compile_all = "import sys\nfor name in sys.argv[1:]: compile(open(name, 'rb').read(), name, 'exec')"
        commands[f"python{wanted}"] = [python, "-c", compile_all, *names]
    problems = []
    for title, command in commands.items():
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            problems.append(f"{title}: {(done.stdout + done.stderr).strip()[-2000:]}")
    return problems


_REPORT = """
import json, llama_cpp
loaded = {line.split()[-1] for line in open("/proc/self/maps") if "libggml-cpu-" in line}
info = llama_cpp.llama_print_system_info().decode()
print(json.dumps({"path": llama_cpp.__file__, "loaded": sorted(loaded), "info": info}))
"""


def _features(folder: Path, machine: str) -> list[str]:
    """Return what is wrong with the backend that this very machine gets."""
    environment = {**os.environ, "PYTHONPATH": str(folder), "PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run(
        [sys.executable, "-c", _REPORT], env=environment, capture_output=True, text=True, check=False
    )
    if done.returncode:
        return [f"{folder}: llama_cpp cannot be imported: {done.stderr.strip()[-1000:]}"]
    report = json.loads(done.stdout.splitlines()[-1])
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    flags = next((line.partition(":")[2] for line in lines if line.startswith(("flags", "Features"))), "")
    best = tree.best_variant(machine, frozenset(flags.split()))
    if best is None:
        return [f"{folder}: no variant for this CPU"]
    problems = []
    wanted = str((folder / "llama_cpp" / "lib" / f"libggml-cpu-{best.name}.so").resolve())
    if report["loaded"] != [wanted]:
        problems.append(f"loaded {report['loaded']}; wanted {wanted} on this CPU")
    missing = sorted(name for name in best.features if f" {name} = 1" not in f" {report['info']}")
    if missing:
        problems.append(f"{', '.join(missing)} off in {report['info']!r}; wanted on in {best.name}")
    print(f"{report['path']}: {best.name}, {report['info'].strip()}")
    return problems


if __name__ == "__main__":
    sys.exit(main())
