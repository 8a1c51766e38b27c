"""llama.cpp's own loader as a referee: how far it comes with a GGUF, and what it says where it ends.

Owns a process that has the runtime's library and forks for each file, since a bad header may abort llama.cpp. Refuses
to judge: it tells the stage and the words.

    with Referee() as referee:
        referee.load(path)     Outcome("hyperparameters", "key not found in model: llama.context_length")
"""

from __future__ import annotations

import json
import os
import re
import resource
import signal
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Self

if TYPE_CHECKING:
    from types import TracebackType

STAGES: Final = ("header", "architecture", "hyperparameters", "vocabulary", "tensors", "loaded")
"""In this order llama.cpp comes through a file; an outcome names the one where it ended."""
SECONDS: Final = 10
MEMORY: Final = 4 << 30
BEFORE_TENSORS: Final = "print_info: arch "
"""A line that llama.cpp logs once metadata and vocabulary are read, and before any tensor is."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """How far llama.cpp came with a file."""

    stage: str
    """One of `STAGES`."""
    said: str
    """The last complaint in the log; empty when it loaded."""

    @property
    def took_metadata(self) -> bool:
        """Tell whether header, hyperparameters and vocabulary are as llama.cpp wants them."""
        return STAGES.index(self.stage) >= STAGES.index("tensors")


def outcome(log: str, status: int, *, loaded: bool) -> Outcome:
    """Return what a log and an exit status (0, or minus a signal) tell."""
    if loaded:
        return Outcome("loaded", "")
    complaints = [
        line for line in log.splitlines() if re.search(r"error|fail|ASSERT|invalid|terminate|what", line)
    ]
    wrong = re.search(
        r"error loading model: (?:error loading model (hyperparameters|vocabulary): )?(.*)", log
    )
    if wrong is None:
        # It ended without a word of its own, or with an assertion: by what had been logged before, it is known where.
        said = (complaints or [f"status {status}"])[-1]
        if BEFORE_TENSORS in log:
            return Outcome("tensors", said)
        return Outcome("hyperparameters" if "loaded meta data with" in log else "header", said)
    if "failed to load model from" in wrong[2]:
        return Outcome("header", (complaints or [wrong[2]])[0])
    if wrong[1]:
        return Outcome(wrong[1], wrong[2])
    if re.search(r"un(known|supported) model architecture|CLIP cannot", wrong[2]):
        return Outcome("architecture", wrong[2])
    return Outcome("tensors" if BEFORE_TENSORS in log else "header", wrong[2])


class Referee:
    """A process of its own that loads files when asked; to be used in a with statement."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, __file__],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "GGML_NO_BACKTRACE": "1"},
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        self._process.wait(SECONDS)
        self._process.stdout.close()

    def load(self, path: Path) -> Outcome:
        """Return how far llama.cpp comes with this file."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(str(path)) + "\n")
        self._process.stdin.flush()
        answer = json.loads(self._process.stdout.readline())
        return outcome(answer["log"], answer["status"], loaded=answer["loaded"])


# ------------------------------------------------------------------------------ the other process


def _serve() -> None:
    import llama_cpp

    with Path(os.devnull).open("w") as nothing, tempfile.TemporaryFile() as log:
        os.dup2(nothing.fileno(), 2)
        # Without a callback of llama-cpp-python's, llama.cpp writes to its standard error.
        llama_cpp.llama_log_set(llama_cpp.llama_log_callback(0), None)
        llama_cpp.llama_backend_init()
        for line in sys.stdin:
            log.seek(0)
            log.truncate()
            child = os.fork()
            if not child:
                _load(llama_cpp, os.fsencode(json.loads(line)), log.fileno())
            _, status = os.waitpid(child, 0)
            log.seek(0)
            code = os.waitstatus_to_exitcode(status)
            text = log.read().decode("utf-8", "replace")
            print(json.dumps({"loaded": code == 0, "status": code, "log": text}), flush=True)  # noqa: T201 the protocol


def _load(llama_cpp: Any, path: bytes, log: int) -> None:
    """Load in a process that ends with it: 0 when it loads, 1 when not, a signal when llama.cpp aborts."""
    os.dup2(log, 2)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    signal.alarm(SECONDS)
    model = llama_cpp.llama_model_load_from_file(path, llama_cpp.llama_model_default_params())
    os._exit(0 if model else 1)


if __name__ == "__main__":
    _serve()
