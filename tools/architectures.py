"""Write pipeline/architectures.py: which architectures the runtime loads, read off the runtime's own source.

    python tools/architectures.py              rewrite it
    python tools/architectures.py --check      exit with 1 when it is not what the source says

The source is llama-cpp-python's, as inference/requirements.txt pins it; pip downloads it and compares its hash. Owns
how llama.cpp's C++ is read: tables and switches that name architectures. Refuses to guess: a source that is laid out in
another way ends this with an error, never with a shorter list.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Final

TOP: Final = Path(__file__).resolve().parents[1]
REQUIREMENTS: Final = TOP / "inference" / "requirements.txt"
OUTPUT: Final = TOP / "pipeline" / "architectures.py"
PACKAGE: Final = "llama-cpp-python"

SETS: Final = {
    "RECURRENT": (
        "llama-arch.cpp",
        "bool llm_arch_is_recurrent(",
        "Which keep a state in place of a KV cache.",
    ),
    "HYBRID": (
        "llama-arch.cpp",
        "bool llm_arch_is_hybrid(",
        "Which keep a state in some layers, a KV cache in others.",
    ),
    "DIFFUSION": (
        "llama-arch.cpp",
        "bool llm_arch_is_diffusion(",
        "Which fill in masked text; nothing here asks them so.",
    ),
    "ENCODERS": (
        "llama-model.cpp",
        "bool llama_model_has_encoder(",
        "Which have an encoder that must run before the decoder does, or have nothing else.",
    ),
}
"""Functions that answer for the architectures that they name: the name here, the file, how it begins, what it tells."""


class SourceError(Exception):
    """What was looked for in the source and not found."""


# ------------------------------------------------------------------------------ reading C++


def body(source: str, beginning: str) -> str:
    """Return what stands between the braces of the function that begins with this text."""
    start = source.find(beginning)
    opening = source.find("{", start)
    if start < 0 or opening < 0:
        raise SourceError(f"no {beginning!r}; wanted llama.cpp's function of that name")
    depth = 0
    for at in range(opening, len(source)):
        depth += {"{": 1, "}": -1}.get(source[at], 0)
        if not depth:
            return source[opening + 1 : at]
    raise SourceError(f"{beginning!r} does not end")


def names(source: str) -> dict[str, str]:
    """Return the name in a GGUF of each `LLM_ARCH_...` of llama-arch.cpp, "(unknown)" aside."""
    table = body(source, "LLM_ARCH_NAMES = {")
    found = dict(re.findall(r'\{\s*(LLM_ARCH_\w+)\s*,\s*"([^"]*)"\s*\}', table))
    if found.pop("LLM_ARCH_UNKNOWN", None) is None or len(found) != table.count("LLM_ARCH_") - 1:
        raise SourceError('LLM_ARCH_NAMES has lines that are not read; wanted { LLM_ARCH_X, "x" } alone')
    return found


def cases(text: str) -> list[str]:
    """Return each `LLM_ARCH_...` that a case of this text is for."""
    return re.findall(r"case\s+(LLM_ARCH_\w+)\s*:", text)


def answered(text: str, answer: str) -> list[str]:
    """Return the architectures for which a switch gives this answer: the cases that fall to it."""
    found: list[str] = []
    waiting: list[str] = []
    for piece in re.split(r"(return\s+\w+\s*;|\bbreak\s*;)", text):
        waiting += cases(piece)
        if re.match(r"return|break", piece) or answer in piece:
            if answer in piece:
                found += waiting
            waiting = []
    if not found:
        raise SourceError(f"no case gives {answer!r}; wanted at least one")
    return found


# ------------------------------------------------------------------------------ the module


def render(files: Mapping[str, str], runtime: str) -> str:
    """Return the module's text, of the sources by name and the runtime's version."""
    called = names(files["llama-arch.cpp"])
    model = files["llama-model.cpp"]
    mapped = cases(body(model, "llama_model * llama_model_mapping("))
    without_cache = answered(body(model, "llama_model::create_memory("), "res = nullptr")
    sets = {
        name: (told, answered(body(files[file], beginning), "return true"))
        for name, (file, beginning, told) in SETS.items()
    }
    pieces = [
        f'''\
"""The architectures that the runtime loads. Generated from llama.cpp's source by tools/architectures.py: do not edit.

Owns names, as they stand in `general.architecture`. What of it that Sealift serves is said elsewhere.
"""

from __future__ import annotations

from typing import Final

RUNTIME: Final = "llama-cpp-python {runtime}"
"""The release whose llama.cpp this is read off: the one that inference/requirements.txt pins."""
''',
        _set(
            "KNOWN",
            "That the runtime has a model for (llama_model_mapping; clip goes with another); others are refused.",
            mapped,
            called,
        ),
        _set(
            "NAMED_ONLY",
            "That it has a name and no model for: refused as well.",
            set(called) - set(mapped),
            called,
        ),
        *(_set(name, told, members, called) for name, (told, members) in sets.items()),
        _set(
            "WITHOUT_CACHE",
            "That never remember what they read: encoders, diffusion, a vocoder (create_memory).",
            without_cache,
            called,
        ),
    ]
    return "\n".join(pieces)


def _set(name: str, told: str, members: Iterable[str], called: Mapping[str, str]) -> str:
    lines = [f"{name}: Final = frozenset("]
    lines += [
        "    {",
        *(f'        "{each}",' for each in sorted(called[member] for member in members)),
        "    }",
        ")",
    ]
    return "\n".join([*lines, f'"""{told}"""', ""])


# ------------------------------------------------------------------------------ the source


def sources(folder: Path) -> tuple[dict[str, str], str]:
    """Return the text of llama.cpp's files by name, downloaded into this folder, and the release's version."""
    sys.path.insert(0, str(TOP / "tools" / "runtime"))
    import recipe

    pin = recipe.pins(REQUIREMENTS.read_text(encoding="utf-8"))[PACKAGE]
    wanted = folder / "wanted.txt"
    wanted.write_text(pin.line + "\n", encoding="utf-8")
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--require-hashes", "--no-deps"]
    command += [
        "--no-build-isolation",
        "--no-binary",
        PACKAGE,
        "--dest",
        str(folder),
        "--requirement",
        str(wanted),
    ]
    subprocess.run(command, check=True)
    (archive,) = folder.glob("*.tar.gz")
    with tarfile.open(archive) as opened:
        files = {}
        for member in opened:
            path = member.name.partition("/vendor/llama.cpp/src/")[2]
            content = opened.extractfile(member) if path.endswith((".cpp", ".h")) else None
            if content is not None:
                files[path] = content.read().decode()
    return files, pin.version


def main() -> int:
    """Write the module, or compare it."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else "")
    parser.add_argument(
        "--check", action="store_true", help="write nothing; exit with 1 when it would change"
    )
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        text = render(*sources(Path(folder)))
    if not given.check:
        OUTPUT.write_text(text, encoding="utf-8")
    elif OUTPUT.read_text(encoding="utf-8") != text:
        print(
            f"ERROR {OUTPUT.relative_to(TOP)} is not what the runtime's source says: run `make architectures`"
        )
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
