"""The files that travel with Sealift beside its modules: template, definition, inference code, runtime, consumer.

In a checkout and in a Lambda they lie at the top, beside `pipeline`. A wheel has one package, `sealift`, in which the
modules have other names; what goes into a Lambda or an archive it has as the checkout has it, below `pipeline/data`.
"""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.errors import InvalidInput, Problem

if TYPE_CHECKING:
    from pipeline.state_data.checked_types import Code

_DATA = Path(__file__).resolve().parent / "data"
_TOP = _DATA if (_DATA / "template.yaml").is_file() else _DATA.parents[1]

CODE = (
    "inference.py",
    "sealift_answers.py",
    "sealift_chat.py",
    "sealift_conformity.py",
    "sealift_cpus.py",
    "sealift_embeddings.py",
    "sealift_engine.py",
    "sealift_fields.py",
    "sealift_grammar.py",
    "sealift_folder.py",
    "sealift_log.py",
    "sealift_messages.py",
    "sealift_models.py",
    "sealift_native.py",
    "sealift_purpose.py",
    "sealift_ranking.py",
    "sealift_request.py",
    "sealift_responses.py",
    "sealift_schema.py",
    "sealift_settings.py",
    "sealift_shortcoming.py",
    "sealift_template.py",
    "sealift_threads.py",
    "sealift_triggers.py",
    "config.json",
)
"""What of `inference/` an archive carries in `code/`.

requirements.txt stays behind: the prebuilt image would install it, which compiles, at every cold start.
"""


def template() -> Path:
    """Return the path of the stack's SAM template."""
    return _TOP / "template.yaml"


def definition() -> Path:
    """Return the path of the rendered state machine."""
    return _TOP / "state_machine" / "deploy.asl.json"


IMAGE_CODE = (*CODE, "server.py", "sealift_contract.py")
"""What of `inference/` the image has beside the adapter."""


def image_code() -> dict[str, Path]:
    """Return the inference code of the image, by its path below /opt/sealift."""
    adapter = inference() / "adapter"
    found = {
        f"adapter/{path.relative_to(adapter).as_posix()}": path for path in sorted(adapter.rglob("*.py"))
    }
    return found | {name: inference() / name for name in IMAGE_CODE}


def lock() -> Path:
    """Return the path of the list of what travels with the tasks, with hashes."""
    return _TOP / "requirements" / "lambda.lock"


def inference() -> Path:
    """Return the folder of the code that runs in an endpoint."""
    return _TOP / "inference"


def tasks() -> Path:
    """Return the folder of the Lambda tasks."""
    return _TOP / "tasks"


def consumer() -> Path:
    """Return the folder of the example consumer Lambda."""
    return _TOP / "examples" / "consumer"


def runtime() -> Path:
    """Return the folder of the portable llama-cpp-python that travels in archives.

    Raises:
        InvalidInput: it has not been built.
    """
    built = _TOP / ".build" / "runtime"
    return require_runtime(built if built.exists() else _DATA / "runtime")


def llama_server() -> Path | None:
    """Return the path of llama.cpp's own server; None where `make llama-server` has not built it."""
    for folder in (_TOP / ".build" / "llama-server", _DATA / "llama-server"):
        if (folder / "llama-server").is_file():
            return folder / "llama-server"
    return None


def commit(top: Path = _TOP) -> str:
    """Return the commit that a checkout is at, with `-dirty` where files were changed; empty where there is none."""
    if not (top / ".git").exists() or (git := shutil.which("git")) is None:
        return ""
    command = [git, "-C", str(top), "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return done.stdout.strip() if done.returncode == 0 else ""


def image_lock() -> Path:
    """Return the path of the list of what the image has beside the runtime, with hashes."""
    return _TOP / "requirements" / "image.lock"


def built_for(name: str, architecture: str, *, top: Path = _TOP, data: Path = _DATA) -> Path:
    """Return the folder where a part of the image is built, `runtime` or `llama-server`, for a machine.

    One of another machine than the one it was built on has the machine's name behind it: ``.build/runtime-arm64``.
    Whether anything is there, and for that machine, whoever uses it looks.
    """
    for folder in (top / ".build" / f"{name}-{architecture}", top / ".build" / name):
        if folder.is_dir():
            return folder
    return data / name


def require_runtime(folder: Path) -> Path:
    """Return the folder; raise InvalidInput when no runtime is in it."""
    if not (folder / "llama_cpp" / "__init__.py").is_file():
        seen, wanted = (
            f"no llama_cpp in {str(folder)!r}",
            "the runtime, without which no endpoint can load a model",
        )
        raise InvalidInput("code/", [Problem("RuntimeMissing", seen, wanted, "run `make runtime`")])
    return folder


def code() -> dict[str, Path]:
    """Return what an archive carries in `code/`, by archive path: the inference code, its settings, its runtime.

    Raises:
        InvalidInput: the runtime has not been built.
    """
    own = {f"code/{name}": inference() / name for name in CODE}
    return own | {f"code/{name}": path for name, path in runtime_files(runtime()).items()}


def runtime_files(folder: Path) -> dict[str, Path]:
    """Return the files of a runtime, by their path in it."""
    # Python may have been run from there and have left its bytecode.
    found = (path for path in folder.rglob("*") if path.is_file() and "__pycache__" not in path.parts)
    return {path.relative_to(folder).as_posix(): path for path in sorted(found)}


def code_contents() -> dict[str, bytes]:
    """Return the same with the files' contents."""
    return {name: path.read_bytes() for name, path in code().items()}


def code_for(kind: Code) -> dict[str, bytes] | None:
    """Return what `code/` must hold, by archive path; None for the code that the archive brings."""
    if kind == "archive":
        return None
    return code_contents() if kind == "sealift" else {}
