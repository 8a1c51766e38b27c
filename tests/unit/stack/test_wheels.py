"""The libraries that travel: fetched by pip for Lambda's platform, and held against the lock each time."""

from __future__ import annotations

import hashlib
import subprocess
import zipfile
from io import BytesIO
from typing import TYPE_CHECKING

import pytest

from pipeline import package_files
from pipeline import wheels as locked_wheels
from pipeline.errors import InvalidInput, ServiceUnavailable
from pipeline.stack import template, wheels
from pipeline.wheels import Platform

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

LAMBDA = Platform("3.13", "x86_64")
NAME = "isal-1.9.1-cp313-cp313-manylinux2014_x86_64.manylinux_2_17_x86_64.whl"
FILES = {
    "isal/__init__.py": b"",
    "isal/zlib.cpython-313-x86_64-linux-gnu.so": b"\x7fELF",
    "isal/zlib.pyi": b"",
    "isal/py.typed": b"",
    "isal/_speedups.c": b"",
    "isal-1.9.1.dist-info/RECORD": b"",
}


def wheel() -> bytes:
    """Return a wheel."""
    buffer = BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, content in FILES.items():
            archive.writestr(name, content)
    return buffer.getvalue()


class Pip:
    """Stands in for pip: lays a wheel into the folder that it is told, or fails."""

    def __init__(self, body: bytes = b"", *, said: str = "", name: str = NAME) -> None:
        self.commands: list[Sequence[str]] = []
        self._body, self._said, self._name = body, said, name

    def __call__(self, command: Sequence[str]) -> subprocess.CompletedProcess[str]:
        """Run."""
        from pathlib import Path

        self.commands.append(command)
        if self._said:
            return subprocess.CompletedProcess(list(command), 1, "", self._said)
        (Path(command[-1]) / self._name).write_bytes(self._body)
        return subprocess.CompletedProcess(list(command), 0, "", "")


@pytest.fixture
def lock(tmp_path: Path) -> Path:
    """Return a lock that has the wheel's hash."""
    path = tmp_path / "lambda.lock"
    digest = hashlib.sha256(wheel()).hexdigest()
    path.write_text(f"isal==1.9.1 \\\n    --hash=sha256:{'0' * 64} \\\n    --hash=sha256:{digest}\n")
    return path


def test_only_what_is_of_use_where_it_runs_travels(lock: Path, tmp_path: Path) -> None:
    """No metadata, no C, no types; and pip is told Lambda's platform, the hashes and nothing of ours."""
    pip = Pip(wheel())

    files = wheels.libraries(lock, LAMBDA, tmp_path / "cache", run=pip)

    assert files == {name: FILES[name] for name in list(FILES)[:2]}
    command = " ".join(pip.commands[0])
    for part in (
        "download",
        "--require-hashes",
        "--no-deps",
        "--only-binary :all:",
        "--platform manylinux2014_x86_64",
        "--python-version 3.13",
        str(lock),
    ):
        assert part in command


def test_a_wheel_that_is_there_is_not_fetched_again(lock: Path, tmp_path: Path) -> None:
    """So that a second deployment needs no network."""
    pip = Pip(wheel())
    first = wheels.libraries(lock, LAMBDA, tmp_path / "cache", run=pip)

    assert wheels.libraries(lock, LAMBDA, tmp_path / "cache", run=pip) == first
    assert len(pip.commands) == 1


def test_a_wheel_that_was_changed_is_fetched_again(lock: Path, tmp_path: Path) -> None:
    """Its hash is looked at each time."""
    pip = Pip(wheel())
    first = wheels.libraries(lock, LAMBDA, tmp_path / "cache", run=pip)
    (tmp_path / "cache" / NAME).write_bytes(wheel() + b"more")

    assert wheels.libraries(lock, LAMBDA, tmp_path / "cache", run=pip) == first
    assert len(pip.commands) == 2


@pytest.mark.parametrize(
    "pip",
    [
        pytest.param(Pip(b"something else"), id="another content"),
        pytest.param(Pip(wheel(), name=NAME.replace("313", "311")), id="another Python"),
        pytest.param(Pip(wheel(), name=NAME.replace("x86_64", "aarch64")), id="another machine"),
    ],
)
def test_what_is_not_as_locked_is_refused(lock: Path, tmp_path: Path, pip: Pip) -> None:
    """Whatever pip says: it would end in a Lambda that cannot start, or in somebody else's code."""
    with pytest.raises(InvalidInput, match=r"no wheel of isal .* with a hash that the lock has"):
        wheels.libraries(lock, LAMBDA, tmp_path / "cache", run=pip)


def test_without_a_network_it_says_what_can_be_done(lock: Path, tmp_path: Path) -> None:
    """The last of pip's errors, the platform, and the two ways out."""
    pip = Pip(
        said="WARNING: Retrying\nERROR: Could not find a version\nERROR: No matching distribution for isal"
    )

    with pytest.raises(ServiceUnavailable) as failure:
        wheels.libraries(lock, LAMBDA, tmp_path / "cache", run=pip)

    for part in (
        "Python 3.13 on x86_64",
        ": No matching distribution for isal; wanted",
        "PIP_INDEX_URL",
        "cache",
    ):
        assert part in str(failure.value)


@pytest.mark.parametrize(
    ("has", "there", "command"),
    [
        pytest.param({"pip"}, {"uv"}, "-m pip", id="this Python's"),
        pytest.param(
            set(), {"uv", "pip3"}, "/bin/uv tool run pip", id="uv's, as in an environment of uv tool"
        ),
        pytest.param(set(), {"pip"}, "/bin/pip", id="the path's"),
    ],
)
def test_pip_is_found_where_there_is_one(has: set[str], there: set[str], command: str) -> None:
    """An environment that uv made has none of its own."""
    found = locked_wheels.pip(
        lambda name: name in has or None, lambda name: f"/bin/{name}" if name in there else None
    )

    assert " ".join(found).endswith(command)


def test_without_any_pip_it_says_so() -> None:
    """Not a traceback of subprocess."""
    with pytest.raises(InvalidInput, match=r"neither pip nor uv; wanted .*; install pip or uv"):
        locked_wheels.pip(lambda _name: None, lambda _name: None)


def test_the_lock_is_read_project_by_project() -> None:
    """Names as wheels spell them, every hash of each; comments and markers do not matter."""
    text = (
        "# a comment\nfoo-bar==1.0 ; python_version >= '3' \\\n"
        f"    --hash=sha256:{'a' * 64} \\\n    --hash=sha256:{'b' * 64}\nbaz==2 \\\n    --hash=sha256:{'c' * 64}\n"
    )

    assert locked_wheels.locked(text) == {"foo_bar": {"a" * 64, "b" * 64}, "baz": {"c" * 64}}
    assert locked_wheels.part(text, {"baz"}) == text[text.index("baz") :]
    assert locked_wheels.part(text, {"foo_bar"}) == text[text.index("foo-bar") : text.index("baz")]
    assert len(locked_wheels.locked(package_files.lock().read_text())["isal"]) > 10


def test_the_platform_is_the_templates() -> None:
    """Python and machine of its functions, which are the same for all."""
    source = template.load(package_files.template())

    assert wheels.platform(source) == LAMBDA
    source["Resources"]["Sweep"]["Properties"]["Runtime"] = "python3.12"
    with pytest.raises(InvalidInput, match=r"python3.12.*wanted one"):
        wheels.platform(source)


@pytest.mark.parametrize(
    ("name", "fits"),
    [
        pytest.param(NAME, True, id="ours"),
        pytest.param("foo-1-py3-none-any.whl", True, id="no machine's"),
        pytest.param("isal-1.9.1-cp313-cp313-manylinux_2_28_aarch64.whl", False, id="arm64"),
        pytest.param("isal-1.9.1-cp312-cp312-manylinux2014_x86_64.whl", False, id="3.12"),
        pytest.param("isal-1.9.1-cp313-cp313-macosx_11_0_x86_64.whl", False, id="macOS"),
    ],
)
def test_a_wheel_fits_by_its_name(name: str, fits: bool) -> None:
    """Cached ones of other platforms are left alone."""
    assert LAMBDA.fits(name) is fits


def test_a_wheel_of_another_lock_stays(lock: Path, tmp_path: Path) -> None:
    """The image's lock and the Lambdas' may have a project in two versions: neither fetches anew for the other."""
    cache = tmp_path / "cache"
    cache.mkdir()
    other = cache / NAME.replace("1.9.1", "1.8.0")
    other.write_bytes(b"the image's")

    wheels.libraries(lock, LAMBDA, cache, run=Pip(wheel()))

    assert other.read_bytes() == b"the image's"
