"""Archives that are made to cost time or memory: what they cost grows with their bytes, and no faster.

Clocks are not asked: the work is counted, in lines of Python that are run and in bytes that are copied.
"""

from __future__ import annotations

import gzip
import io
import random
import sys
import tracemalloc
import zipfile
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.archive.build.transcode import kept
from pipeline.archive.checks.inspect import inspect
from pipeline.archive.checks.report import Unreadable
from pipeline.archive.checks.rules import Rules
from pipeline.archive.checks.verify import verify
from pipeline.archive.formats import deflate
from pipeline.archive.formats.gzips import GzipDecoder
from pipeline.archive.s3.sources import BytesSource

if TYPE_CHECKING:
    from collections.abc import Callable

    from .conftest import Forge

RULES = Rules(zip_deployable=True)
EMPTY = gzip.compress(b"", mtime=0)


def calls(work: Callable[[], object]) -> int:
    """Return how many functions are called, in Python and in C."""
    count = 0

    def note(_frame: Any, event: str, _argument: Any) -> None:
        nonlocal count
        count += event in {"call", "c_call"}

    before = sys.getprofile()
    sys.setprofile(note)
    try:
        work()
    finally:
        sys.setprofile(before)
    return count


def test_a_short_gzip_member_is_not_given_a_long_piece(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a member does not use is copied out of the decoder: with a quarter of a MiB each, 9 MB took a minute."""
    given = 0
    inflate = deflate.inflate

    def counting(decoder: deflate.Inflater, data: deflate.Buffer, most: int) -> bytes:
        nonlocal given
        given += len(data)
        return inflate(decoder, data, most)

    monkeypatch.setattr(deflate, "inflate", counting)
    decoder = GzipDecoder(RULES)

    list(decoder.feed(EMPTY * 4000))
    decoder.finish()

    assert decoder.members == 4000
    assert given <= 4000 * 2048


@pytest.mark.parametrize(
    ("member", "count", "refused"),
    [
        pytest.param(EMPTY, 4096, False, id="some empty ones"),
        pytest.param(EMPTY, 4300, True, id="too many empty ones"),
        pytest.param(gzip.compress(random.Random(1).randbytes(600)), 6000, False, id="many short ones"),
    ],
)
def test_gzip_members_are_bounded_by_their_bytes(member: bytes, count: int, *, refused: bool) -> None:
    """Each costs a decoder; tools that write several write them of 64 KiB and more."""
    decoder = GzipDecoder(RULES)
    error = None
    try:
        list(decoder.feed(member * count))
    except Unreadable as stop:
        error = stop.problem.error

    assert error == ("GzipTooManyMembers" if refused else None)


@given(
    sizes=st.lists(st.sampled_from([0, 1, 2047, 2048, 70_000, 1 << 20, (1 << 20) + 1, 3 << 20]), max_size=5),
    pieces=st.sampled_from([1, 7, 1000, 1 << 18, 1 << 20]),
    random_bytes=st.booleans(),
)
def test_members_of_any_length_in_pieces_of_any_length_give_their_content(
    sizes: list[int], pieces: int, *, random_bytes: bool
) -> None:
    """Also where one ends just when the output is full."""
    contents = [random.Random(size).randbytes(size) if random_bytes else bytes(size) for size in sizes]
    data = b"".join(gzip.compress(content, 1) for content in contents)
    pieces = max(pieces, len(data) // 2000)
    decoder = GzipDecoder(Rules(max_ratio=2000))

    plain = b"".join(
        part for at in range(0, len(data), pieces) for part in decoder.feed(data[at : at + pieces])
    )

    assert plain == b"".join(contents)
    assert decoder.members == len(sizes)
    if sizes:
        decoder.finish()


def members(forge: Forge, count: int, name: str) -> bytes:
    """Return a tar.gz of empty members."""
    return forge.tar_gz({name.format(number): b"" for number in range(count)})


def zipped(_forge: Forge, count: int, name: str) -> bytes:
    """Return a zip of empty members."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for number in range(count):
            archive.writestr(name.format(number), b"")
    return out.getvalue()


@pytest.mark.parametrize("make", [members, zipped])
@pytest.mark.parametrize(
    "name",
    [
        pytest.param("{:05}.gguf", id="models"),
        pytest.param("code/{:05}.py", id="code"),
        pytest.param("{:05}/" + "d/" * 30 + "x", id="folders"),
        pytest.param("{:05}/" + "d/" * 900 + "x", id="folders without end"),
        pytest.param("é" * 100 + "{:05}", id="names"),
    ],
)
@pytest.mark.parametrize("look", [inspect, verify])
def test_the_work_for_members_grows_with_their_number(
    look: Callable[..., object], name: str, make: Callable[[Forge, int, str], bytes], forge: Forge
) -> None:
    """Four times as many take at most five times the calls."""
    ending = "zip" if make is zipped else "tar.gz"
    few, many = (BytesSource(make(forge, count, name), f"m.{ending}") for count in (100, 400))

    work = [calls(lambda source=source: look(source, rules=RULES)) for source in (few, many)]

    assert work[1] < 5 * work[0]


def test_folders_in_folders_cost_no_more_memory_than_their_names(forge: Forge) -> None:
    """Every prefix of every path, kept whole, would be gigabytes for an archive of a few hundred kilobytes."""
    deep = forge.tar_gz({f"{number:05}/" + "d/" * 900 + "n": b"" for number in range(1000)})
    tracemalloc.start()
    try:
        report = verify(BytesSource(deep))
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert report.problems[0].error == "MemberTooDeep"
    assert peak < 64 << 20


@pytest.mark.parametrize(("depth", "errors"), [(31, []), (32, []), (33, ["MemberTooDeep"])])
def test_folders_are_bounded(forge: Forge, depth: int, errors: list[str]) -> None:
    """Python's packages nest eight deep."""
    report = verify(BytesSource(forge.tar_gz({"d/" * depth + "x": b"", **forge.good()})))

    assert [problem.error for problem in report.problems] == errors


def test_where_files_go_is_decided_in_linear_time(forge: Forge) -> None:
    """Ten thousand of them are compared with those before by their names, not one by one."""
    reports = [verify(BytesSource(members(forge, count, "{:05}"))) for count in (200, 800)]

    few, many = (calls(lambda report=report: kept(report)) for report in reports)

    assert many < 5 * few


@given(
    st.lists(
        st.sampled_from(["a", "a/", "a/b", "a/b/", "a/b/c", "b", "b/c", "ab", "a/bc"]),
        unique=True,
        max_size=5,
    )
)
def test_no_path_is_a_file_and_a_folder(forge: Forge, names: list[str]) -> None:
    """In whatever order they come: compared with what a file system would say."""
    pairs = [forge.link(name, "", b"5") if name.endswith("/") else forge.file(name, b"") for name in names]
    plain = [name.rstrip("/") for name in names]
    files = [name for name in names if not name.endswith("/")]
    wrong = len(set(plain)) < len(plain) or any(
        other.startswith(f"{file}/") for file in files for other in names
    )

    report = verify(BytesSource(forge.tar_gz([*pairs, *(forge.file(*one) for one in forge.good().items())])))

    assert {problem.error for problem in report.problems} <= {"MemberUnderFile", "DuplicateMember"}
    assert bool(report.problems) == wrong
