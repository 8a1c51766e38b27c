"""The wheel, installed into an environment of its own that knows nothing of the repository."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import sysconfig
import zipfile
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

import pytest

from pipeline import __version__, package_files
from pipeline.stack import bundles, template

TOP = Path(__file__).resolve().parents[3]
OTHERS = ("pipeline", "tasks", "inference", "state_machine", "local_cloud")
"""What lies beside `sealift` in the repository."""
FAST = ("--time-scale", "0.02")
PROGRAMS = ("llama_server", "keeper")
"""Modules that are run and not imported."""
OF_USERS = ("openai_client",)
"""Modules that are imported where a user has their package."""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build the wheel, as `make wheel` does."""
    folder = tmp_path_factory.mktemp("wheel")
    pip = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation", "--no-index"]
    subprocess.run([*pip, "--wheel-dir", str(folder), str(TOP)], check=True, timeout=120)
    (path,) = folder.glob("sealift-*.whl")
    return path


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Install it beside the packages that it needs, which are this environment's; return the folder of programs."""
    environment = tmp_path_factory.mktemp("environment")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(environment)], check=True, timeout=60)
    python = environment / "bin" / "python"
    pip = [
        sys.executable,
        "-m",
        "pip",
        "--python",
        str(python),
        "install",
        "--quiet",
        "--no-deps",
        "--no-index",
    ]
    subprocess.run([*pip, str(wheel)], check=True, timeout=60)
    (site,) = environment.glob("lib/python*/site-packages")
    # A path only: what makes the repository importable there is a .pth file of its own, which is not read.
    (site / "needs.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return environment / "bin"


def run(program: Path, *arguments: str, folder: Path) -> str:
    """Return what a program prints, run somewhere else."""
    done = subprocess.run(
        [str(program), *arguments], cwd=folder, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_it_carries_what_a_deployment_needs(wheel: Path) -> None:
    """Template, definition, tasks, inference code, runtime, lock, the report's page, the example consumer; no tests."""
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())

    assert {
        "sealift/pipeline/data/template.yaml",
        "sealift/pipeline/data/requirements/lambda.lock",
        "sealift/pipeline/data/examples/consumer/handler.py",
        "sealift/pipeline/data/runtime/llama_cpp/__init__.py",
        "sealift/pipeline/data/state_machine/deploy.asl.json",
        "sealift/pipeline/data/tasks/check_archive.py",
        "sealift/pipeline/data/inference/inference.py",
        "sealift/pipeline/data/inference/config.json",
        "sealift/pipeline/report/templates/report.html.j2",
        "sealift/pipeline/report/templates/style.css",
        "sealift/local_cloud/README.md",
        "sealift/py.typed",
    } <= names
    assert not {"tests", "tools", "benchmarks"} & {part for name in names for part in Path(name).parts}


def test_it_puts_one_package_into_an_environment(wheel: Path) -> None:
    """A `pipeline` or `tasks` of whoever installs it is not in its way, nor it in theirs."""
    with zipfile.ZipFile(wheel) as archive:
        tops = {name.partition("/")[0] for name in archive.namelist()}

    assert tops == {"sealift", f"sealift-{__version__}.dist-info"}


def test_its_modules_are_imported_by_their_names_in_it(installed: Path, tmp_path: Path) -> None:
    """All of them, with those that have a repository's names kept away: no import was left as it is there."""
    names = [
        f"sealift.{'.'.join(path.relative_to(TOP).with_suffix('').parts).removesuffix('.__init__')}"
        for package in ("pipeline", "local_cloud")
        for path in sorted((TOP / package).rglob("*.py"))
        if path.stem not in PROGRAMS + OF_USERS
    ]
    script = (
        f"import importlib, sys; sys.modules |= dict.fromkeys({OTHERS}); "
        f"[importlib.import_module(one) for one in {names}]"
    )

    run(installed / "python", "-W", "ignore", "-c", script, folder=tmp_path)
    assert len(names) > 150


def test_python_can_use_it(installed: Path, tmp_path: Path) -> None:
    """`import sealift`: pack, check and plan, whose result is the command's."""
    (tmp_path / "models").mkdir()
    model = tmp_path / "models" / "demo.gguf"
    model.write_bytes((TOP / "examples" / "demo_model" / "sealift-demo.gguf").read_bytes())
    script = """
import json, sealift
packed = sealift.pack("models/demo.gguf", "models/model.tar.gz")
plan = sealift.plan("models/model.tar.gz", {"memory_mb": 2048})
print(json.dumps([sealift.__version__, packed.size, sealift.check(packed.path).verdict, plan.to_json()]))
"""
    version, size, verdict, plan = json.loads(run(installed / "python", "-c", script, folder=tmp_path))

    assert (version, verdict) == (__version__, "accepted")
    assert size == (tmp_path / "models" / "model.tar.gz").stat().st_size
    command = ("plan", "models/model.tar.gz", "--memory-mb", "2048", "--json")
    printed = json.loads(run(installed / "sealift", *command, folder=tmp_path))
    assert plan == {name: value for name, value in printed.items() if name != "seconds"}
    assert plan["memory_mb"] == 2048


def test_without_its_extra_it_says_what_installs_it(installed: Path, tmp_path: Path) -> None:
    """`sealift local` needs packages that a plain installation has not; the other commands do without."""
    (site,) = installed.parent.glob("lib/python*/site-packages")
    (plain := tmp_path / "plain").mkdir()
    for one in needed(
        "boto3", "isal", "Jinja2", "PyYAML", "click", "rich", "markdown-it-py", "mdurl", "Pygments"
    ):
        (plain / one.name).symlink_to(one)
    everything = (site / "needs.pth").read_text()
    (site / "needs.pth").write_text(f"{plain}\n")
    try:
        for arguments in (["local", "up", "--port", "0"], ["local", "run", "model.tar.gz"]):
            done = subprocess.run(
                [str(installed / "sealift"), *arguments],
                cwd=tmp_path,
                capture_output=True,
                text=True,
                timeout=60,
                check=False,
            )

            assert done.returncode == 1
            assert "aws-sam-translator, gguf, llama-cpp-python, moto, psutil, werkzeug" in done.stderr
            assert "pip install 'sealift[local]'" in done.stderr
            assert "Traceback" not in done.stderr
        assert "stack" in run(installed / "sealift", "settings", folder=tmp_path)
    finally:
        (site / "needs.pth").write_text(everything)


def needed(*names: str) -> set[Path]:
    """Return what is installed of packages and of all that they need, as it lies in this environment."""
    found: set[Path] = set()
    asked = list(names)
    for name in asked:
        one = metadata.distribution(name)
        wanted = [part for part in one.requires or () if "extra ==" not in part]
        asked += [re.split(r"[^A-Za-z0-9._-]", part)[0] for part in wanted]
        found |= {
            Path(str(one.locate_file(path.parts[0]))) for path in one.files or () if path.parts[0] != ".."
        }
    return found


def test_its_commands_run(installed: Path, tmp_path: Path) -> None:
    """As `sealift` and as `python -m sealift`, and it is the wheel's code that runs."""
    assert run(installed / "sealift", "--version", folder=tmp_path) == f"sealift {__version__}\n"
    assert (
        run(installed / "python", "-m", "sealift", "--version", folder=tmp_path) == f"sealift {__version__}\n"
    )
    where = run(installed / "python", "-c", "import sealift; print(sealift.__file__)", folder=tmp_path)
    assert where.startswith(str(installed.parent))


def test_it_deploys_on_a_local_cloud_of_its_own(installed: Path, tmp_path: Path) -> None:
    """With its own template, tasks, model server and runtime; the other container's server is in it as well."""
    model = str(TOP / "examples" / "demo_model" / "sealift-demo.gguf")
    run(installed / "sealift", "pack", model, "--output", "model.tar.gz", folder=tmp_path)

    printed = run(installed / "sealift", "local", "run", "model.tar.gz", "--json", *FAST, folder=tmp_path)

    assert json.loads(printed)["status"] == "SUCCEEDED"
    script = (
        "from sealift.local_cloud.hosting import HostingSettings; "
        "print(HostingSettings().command[1], HostingSettings().llama_server[-1])"
    )
    own, other = run(installed / "python", "-W", "ignore", "-c", script, folder=tmp_path).split()
    assert own.startswith(str(installed.parent))
    assert other.startswith(str(installed.parent))
    refused = tell([str(installed / "python"), own, "nothing"], tmp_path)
    assert "wanted 'serve'" in refused.stdout, refused.stderr
    if package_files.llama_server() is None:
        refused = tell([str(installed / "python"), other, "nothing"], tmp_path)
        assert "wanted 'serve'" in refused.stdout, refused.stderr
    else:
        # The wheel has the real one, for images, and it can be run.
        assert tell([other, "--version"], tmp_path).returncode == 0


def tell(command: list[str], folder: Path) -> subprocess.CompletedProcess[str]:
    """Run a command that ends by itself, however it does."""
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=60, check=False)


GATHERED = """
import hashlib, json
from sealift.pipeline import package_files
from sealift.pipeline.image import contents
made = contents.runtime_files(package_files.built_for("runtime", "x86_64"), "x86_64")
if package_files.llama_server():
    made |= contents.server_files(package_files.built_for("llama-server", "x86_64"), "x86_64")
paths = {path: file.content for path, file in made.items()} | package_files.image_code()
digests = {path: hashlib.sha256(file.read_bytes()).hexdigest() for path, file in paths.items()}
modes = {path: file.mode for path, file in made.items()}
print(json.dumps([digests, modes, package_files.image_lock().read_text(), package_files.commit()]))
"""


def test_it_gathers_an_image_as_the_repository_does(installed: Path, tmp_path: Path) -> None:
    """Byte for byte the same files of ours: runtime, llama-server and code; wheels are fetched by the same lock."""
    wheel = json.loads(run(installed / "python", "-c", GATHERED, folder=tmp_path))

    here = json.loads(
        run(Path(sys.executable), "-c", GATHERED.replace("sealift.pipeline", "pipeline"), folder=TOP)
    )
    assert wheel[:3] == here[:3]
    assert len(wheel[0]) > 60
    assert wheel[3] == ""


def test_it_packages_the_functions_as_the_repository_does(installed: Path, tmp_path: Path) -> None:
    """Byte for byte the same content, so that a stack is unchanged whoever deploys it."""
    script = (
        "import json; from sealift.pipeline import package_files, wheels; "
        "from sealift.pipeline.stack import bundles, template; "
        "source = template.load(package_files.template()); assert wheels.locked(package_files.lock().read_text()); "
        "json.loads(package_files.definition().read_text()); "
        "made = bundles.packages(source, bundles.libraries_here()); "
        "print(json.dumps({name: code.key for name, code in made.items()}))"
    )
    keys = json.loads(run(installed / "python", "-c", script, folder=tmp_path))

    here = bundles.packages(template.load(package_files.template()), bundles.libraries_here())
    assert keys == {name: code.key for name, code in here.items()}


def test_a_deployment_from_it_fails_only_for_want_of_an_account(
    installed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`sealift deploy --dry-run` gets as far as AWS, and ends in one message where there is none."""
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    done = subprocess.run(
        [str(installed / "sealift"), "deploy", "--dry-run"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )

    assert done.returncode == 1
    assert "no answer from AWS" in done.stderr
    assert "Traceback" not in done.stderr
