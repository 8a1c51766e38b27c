"""The Lambdas' zips: for each function the modules of ours that its handler imports, however indirectly, and no others.

Owns what is in a zip, and its key; what a module reads, and what a library imports, stand in tables here. Imports are
followed without importing anything, by the text alone; TYPE_CHECKING blocks are left out, since no Lambda has what they
name. Refuses an import that a Lambda could not satisfy.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import re
import sys
import zipfile
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final

from pipeline import package_files
from pipeline.errors import InvalidInput, Problem

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

OURS: Final = ("pipeline", "tasks", "inference")
"""Our packages of which functions are made."""
IN_LAMBDA: Final = frozenset({"boto3", "botocore", "urllib3"})
"""What Lambda's Python has beside the standard library: boto3, and what it is made of."""
LIBRARIES: Final = MappingProxyType({"isal": (), "jinja2": ("markupsafe",), "markupsafe": ()})
"""Packages that tasks import and Lambda's Python has not, with those that each imports itself; requirements/lambda.lock
has their hashes."""
BESIDE: Final = MappingProxyType(
    {
        "pipeline/client/snippets.py": "pipeline/client/templates",
        "pipeline/report/page.py": "pipeline/report/templates",
    }
)
"""Folders that a module of ours reads from when it runs, by the module: they go wherever it goes."""
READ: Final = frozenset({".css", ".j2", ".txt"})
"""Endings of what they read there."""

FUNCTION: Final = "AWS::Serverless::Function"
PLAIN, WITH_CODE = ".build/lambda", ".build/lambda-archive"
"""The template's CodeUri of the tasks, and of those that put code/ into archives: these carry the runtime too."""
RUNTIME: Final = "pipeline/data/runtime"
"""Where those find it (`pipeline.package_files`)."""

SMALLEST, QUICKEST = 9, 1
"""Levels of deflate: for what is uploaded over a network, and for the local cloud, which zips whenever it starts."""

_EPOCH = (1980, 1, 1, 0, 0, 0)
"""Of every zip entry, so that the same code gives the same bytes."""

_TYPES_ONLY = re.compile(r"^if TYPE_CHECKING:\n(?:[ \t]+.*\n|\n)+", re.MULTILINE)
_COMMENT = re.compile(r"#.*")
_IMPORT = re.compile(
    r"^[ \t]*(?:from[ \t]+([\w.]+)[ \t]+import[ \t]+(\([^)]*\)|.+)|import[ \t]+(.+))", re.MULTILINE
)
"""An import as the formatter lays it out; a test compares with what Python's own parser finds, file by file."""


@dataclass(frozen=True, slots=True)
class Code:
    """A function's code as a zip."""

    body: bytes
    digest: str
    """Of what is in it, whatever deflate has made of that: another zlib does not make another function."""

    @property
    def key(self) -> str:
        """A key that changes when the content does."""
        return f"lambda/{self.digest[:32]}.zip"


@dataclass(frozen=True, slots=True)
class Needs:
    """What a function needs beside Lambda's Python."""

    modules: frozenset[str]
    """Files of ours, by their path from the folder in which our packages are; what modules read is among them."""
    libraries: frozenset[str]
    """Names of packages."""


def code_of(files: Mapping[str, bytes], *, level: int = QUICKEST, carried: Code | None = None) -> Code:
    """Return a zip of `files`, the same for the same content.

    Args:
        files: contents by name.
        level: of deflate.
        carried: a zip whose entries come first, deflated already.
    """
    buffer = BytesIO(carried.body if carried else b"")
    digest = hashlib.sha256(carried.digest.encode() if carried else b"")
    with zipfile.ZipFile(buffer, "a" if carried else "w", zipfile.ZIP_DEFLATED) as archive:
        for name in sorted(files):
            entry = zipfile.ZipInfo(name, _EPOCH)
            entry.external_attr = 0o644 << 16
            entry.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(entry, files[name], compresslevel=level)
            digest.update(f"{name}\0{len(files[name])}\0".encode() + files[name])
    return Code(buffer.getvalue(), digest.hexdigest())


def libraries_here() -> dict[str, bytes]:
    """Return the files of `LIBRARIES` as they are installed: for a Python like this one, on a machine like this one."""
    files = {}
    for name in LIBRARIES:
        for file in importlib.metadata.files(name) or []:
            if file.parts[0] == name and "__pycache__" not in file.parts and travels(file.name):
                files[file.as_posix()] = Path(str(file.locate())).read_bytes()
    return files


def travels(name: str) -> bool:
    """Return whether a library's file is of use where it runs: no C, and nothing for the type checker."""
    return not name.endswith((".c", ".pyi", "py.typed"))


def functions(template: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    """Return the properties of the template's functions by logical id, those that all have in common among them."""
    common = template.get("Globals", {}).get("Function", {})
    return {
        name: {**common, **resource["Properties"]}
        for name, resource in template["Resources"].items()
        if resource["Type"] == FUNCTION
    }


def packages(
    template: Mapping[str, Any], libraries: Mapping[str, bytes], *, level: int = QUICKEST
) -> dict[str, Code]:
    """Return each function's zip, by its logical id in the template.

    Args:
        template: as loaded.
        libraries: the files of `LIBRARIES`, for the Python that runs the tasks.
        level: of deflate.

    Raises:
        InvalidInput: the runtime has not been built, or a task imports what a Lambda has not.
    """
    imports = Imports(package_files.tasks().parent)
    carried: Code | None = None
    data: dict[str, bytes] = {}
    made = {}
    for name, properties in functions(template).items():
        needs = imports.needs(properties["Handler"].rpartition(".")[0])
        files = {module: imports.read(module) for module in needs.modules}
        files |= {
            file: content for file, content in libraries.items() if file.partition("/")[0] in needs.libraries
        }
        carries = properties["CodeUri"] == WITH_CODE
        if carries and carried is None:
            data = carried_files()
            carried = code_of(data, level=level)
        if carries:
            # What it imports of the inference code is there already, as what it puts into archives.
            files = {file: content for file, content in files.items() if file not in data}
        made[name] = code_of(files, level=level, carried=carried if carries else None)
    return made


def carried_files() -> dict[str, bytes]:
    """Return what goes into archives' `code/`, as the tasks that put it there find it.

    Raises:
        InvalidInput: the runtime has not been built.
    """
    own = {f"inference/{name}": package_files.inference() / name for name in package_files.CODE}
    runtime = package_files.runtime_files(package_files.runtime())
    data = own | {f"{RUNTIME}/{name}": path for name, path in runtime.items()}
    return {name: path.read_bytes() for name, path in data.items()}


def folders(template: Mapping[str, Any]) -> dict[str, dict[str, bytes]]:
    """Return the files of each CodeUri of the template, which `sam deploy` zips: all that its functions need.

    The libraries come beside them (`libraries_of`), for Lambda's Python and not for this one: `make package` installs
    them.
    """
    imports = Imports(package_files.tasks().parent)
    made: dict[str, dict[str, bytes]] = {}
    for properties in functions(template).values():
        needs = imports.needs(properties["Handler"].rpartition(".")[0])
        files = made.setdefault(properties["CodeUri"], {})
        files |= {module: imports.read(module) for module in needs.modules}
    made[WITH_CODE] |= carried_files()
    return made


def libraries_of(template: Mapping[str, Any]) -> dict[str, frozenset[str]]:
    """Return the names of the libraries that the functions of each CodeUri of the template need."""
    imports = Imports(package_files.tasks().parent)
    made: dict[str, frozenset[str]] = {}
    for properties in functions(template).values():
        needs = imports.needs(properties["Handler"].rpartition(".")[0])
        made[properties["CodeUri"]] = made.get(properties["CodeUri"], frozenset()) | needs.libraries
    return made


class Imports:
    """The imports of our modules, each file read once.

    Args:
        top: the folder in which our packages are.
    """

    def __init__(self, top: Path) -> None:
        self._top = top
        self._contents: dict[str, bytes] = {}
        self._named: dict[str, tuple[str, ...]] = {}
        self._found: dict[str, tuple[str, ...]] = {}

    def read(self, module: str) -> bytes:
        """Return the content of a file by its path from the top."""
        if module not in self._contents:
            self._contents[module] = (self._top / module).read_bytes()
        return self._contents[module]

    def needs(self, handler: str) -> Needs:
        """Return what a handler's module needs.

        Args:
            handler: the module's name, ``tasks.check_archive``.

        Raises:
            InvalidInput: something of it is neither ours nor Lambda's nor one of `LIBRARIES`.
        """
        modules: set[str] = set()
        libraries: set[str] = set()
        waiting = [handler]
        while waiting:
            name = waiting.pop()
            package = name.partition(".")[0]
            if package not in OURS:
                self._check(package, handler)
                if package in LIBRARIES:
                    libraries.add(package)
                    waiting.extend(LIBRARIES[package])
                continue
            for file in self._files(name):
                if file not in modules:
                    modules.add(file)
                    modules.update(self._beside(file))
                    waiting.extend(self._imports(file))
        return Needs(frozenset(modules), frozenset(libraries))

    def _files(self, name: str) -> tuple[str, ...]:
        """Return the files that importing a module runs: its packages' own, and its file, if it is one."""
        if name not in self._found:
            package = name.rpartition(".")[0]
            path = name.replace(".", "/")
            own = [one for one in (f"{path}.py", f"{path}/__init__.py") if (self._top / one).is_file()]
            self._found[name] = (*(self._files(package) if package else ()), *own)
        return self._found[name]

    def _imports(self, file: str) -> tuple[str, ...]:
        if file not in self._named:
            self._named[file] = tuple(imported(self.read(file).decode()))
        return self._named[file]

    def _beside(self, file: str) -> Iterator[str]:
        """Yield the files that a module reads when it runs; what an editor left there has another ending."""
        if file in BESIDE:
            for path in (self._top / BESIDE[file]).rglob("*"):
                if path.suffix in READ:
                    yield path.relative_to(self._top).as_posix()

    def _check(self, package: str, handler: str) -> None:
        if package in sys.stdlib_module_names or package in IN_LAMBDA or package in LIBRARIES:
            return
        seen = f"an import of {package!r}"
        wanted = "the standard library, boto3, or a library that travels with the tasks"
        fix = "import it elsewhere, or add it to bundles.LIBRARIES and requirements/lambda.in"
        raise InvalidInput(handler, [Problem("ForeignImport", seen, wanted, fix)])


def imported(text: str) -> Iterator[str]:
    """Yield the names that a module's text imports when it runs, at its top or in a function.

    What is imported from a package may be a module of it: both names are yielded.
    """
    # A comment may have a parenthesis; a string may have what looks like a comment, which is harmless.
    code = _COMMENT.sub("", _TYPES_ONLY.sub("", text))
    for package, names, modules in _IMPORT.findall(code):
        if package:
            yield package
            yield from (f"{package}.{name}" for name in _names(names))
        else:
            yield from _names(modules)


def _names(listed: str) -> Iterable[str]:
    pieces = listed.strip("() \n").split(",")
    return [piece.split()[0] for piece in pieces if piece.strip()]
