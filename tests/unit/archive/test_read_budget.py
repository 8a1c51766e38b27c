"""Headers that lie beyond the first megabytes: read as far as they go, within a bound that is told."""

from __future__ import annotations

import random
import struct
import tracemalloc
import zipfile
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from pipeline import limits
from pipeline.archive.checks.inspect import inspect
from pipeline.archive.checks.read_budget import ReadBudget
from pipeline.archive.checks.rules import Rules
from pipeline.archive.checks.verify import verify
from pipeline.archive.s3 import bare
from pipeline.archive.s3.sources import BytesSource
from pipeline.limits import KiB, MiB

if TYPE_CHECKING:
    from collections.abc import Callable

    from pipeline.archive.checks.report import ArchiveReport
    from tests.unit.archive.conftest import Forge

LOW = Rules(zip_deployable=True, inspect_bytes=512 * KiB)
"""A first look that ends early, so that small files stand for large ones."""
LONG = 3 * MiB


def long_model(forge: Forge, size: int = LONG) -> bytes:
    """Return a model with a metadata entry of `size` bytes that is walked over, as a vocabulary is."""
    short = forge.model()
    version, n_tensors, n_metadata = struct.unpack_from("<IQQ", short, 4)
    key = b"long".ljust(40, b"x")
    pieces = [random.Random(n).randbytes(16 * KiB) for n in range(size // (64 * KiB) * 4)]
    entry = struct.pack("<Q", len(key)) + key + struct.pack("<IIQ", 9, 8, len(pieces))
    entry += b"".join(struct.pack("<Q", len(piece)) + piece for piece in pieces)
    assert len(entry) % 32 == 0  # the data section stays aligned
    return b"GGUF" + struct.pack("<IQQ", version, n_tensors, n_metadata + 1) + entry + short[24:]


def by_bare(data: bytes, rules: Rules) -> ArchiveReport:
    """Return what is found of a model that is an object by itself."""
    return bare.check([BytesSource(data, "model.gguf")], rules=replace(rules, code_required=False))


def by_inspect(data: bytes, rules: Rules) -> ArchiveReport:
    """Return what a first look at the same tells."""
    return inspect(BytesSource(data, "model.gguf"), rules=rules)


def by_verify(data: bytes, rules: Rules) -> ArchiveReport:
    """Return what a whole pass over the same tells."""
    return verify(BytesSource(data, "model.gguf"), rules=rules)


LOOKS = pytest.mark.parametrize("look", [by_bare, by_inspect, by_verify])


@LOOKS
def test_a_bare_models_header_is_read_as_far_as_it_goes(
    look: Callable[[bytes, Rules], ArchiveReport], forge: Forge
) -> None:
    """However long: Gemma 4's vocabulary alone is longer than what a first look reads."""
    report = look(long_model(forge), LOW)

    assert report.model is not None
    assert report.model.header is not None
    assert {problem.error for problem in report.problems} <= {"BareGGUF"}


@LOOKS
@pytest.mark.parametrize(
    "rules",
    [
        pytest.param(replace(LOW, header_bytes=2 * MiB), id="bytes"),
        pytest.param(replace(LOW, header_s=0), id="seconds"),
    ],
)
def test_what_was_not_read_is_not_told_as_cut_short(
    look: Callable[[bytes, Rules], ArchiveReport], rules: Rules, forge: Forge
) -> None:
    """A bound that is reached says so, with both of its figures."""
    report = look(long_model(forge), rules)

    (problem,) = report.problems
    assert problem.error == "HeaderNotReached"
    assert f"within {rules.header_bytes // MiB:,} MiB and {rules.header_s} s" in problem.wanted
    assert report.bytes_read <= rules.header_bytes


@LOOKS
@pytest.mark.parametrize("kept", [100, 600 * KiB, 2 * MiB])
def test_a_header_that_ends_early_is_told_by_where_it_ends(
    look: Callable[[bytes, Rules], ArchiveReport], kept: int, forge: Forge
) -> None:
    """The file's own end, before the first megabytes are over and after them."""
    report = look(long_model(forge)[:kept], LOW)

    (problem,) = report.problems
    assert problem.error == "GGUFCutShort"
    assert f"after {kept} bytes" in problem.seen


def archives(forge: Forge, members: dict[str, bytes]) -> list[BytesSource]:
    """Return the same members in each kind of archive."""
    return [
        BytesSource(forge.tar_gz(members)),
        BytesSource(forge.zip(members), "model.zip"),
        BytesSource(forge.zip(members, method=zipfile.ZIP_STORED), "model.zip"),
    ]


@pytest.mark.parametrize("kind", range(3), ids=["tar.gz", "deflated zip", "stored zip"])
def test_a_header_that_has_begun_is_read_to_its_end(kind: int, forge: Forge) -> None:
    """In every archive, without being asked to look for one."""
    source = archives(forge, {**forge.code, "model.gguf": long_model(forge)})[kind]

    report = inspect(source, rules=LOW)

    assert report.verdict == "accepted"
    assert report.model is not None
    assert report.model.header is not None


@pytest.mark.parametrize("kind", range(3), ids=["tar.gz", "deflated zip", "stored zip"])
def test_a_model_behind_a_large_member_is_found_where_it_is_looked_for(kind: int, forge: Forge) -> None:
    """Whatever lies before it passes by, and no more than a few pieces of it are held."""
    noise = random.Random(0).randbytes(24 * MiB)
    source = archives(forge, {"noise": noise, **forge.code, "model.gguf": long_model(forge)})[kind]

    tracemalloc.start()
    try:
        report = inspect(source, rules=LOW, seek=True)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert report.verdict == "accepted"
    assert report.model is not None
    assert report.model.header is not None
    assert report.unreached is None
    assert peak < 16 * MiB


@pytest.mark.parametrize(
    "rules",
    [
        pytest.param(replace(LOW, header_bytes=2 * MiB), id="bytes"),
        pytest.param(replace(LOW, header_s=0), id="seconds"),
    ],
)
@pytest.mark.parametrize("first", ["noise", "model"])
def test_a_search_that_ends_early_says_how_far_it_came(first: str, rules: Rules, forge: Forge) -> None:
    """It is no problem of the archive: a whole pass may find the model."""
    members = {"noise": random.Random(0).randbytes(LONG)} if first == "noise" else {}
    source = BytesSource(forge.tar_gz({**members, **forge.code, "model.gguf": long_model(forge)}))

    report = inspect(source, rules=rules, seek=True)

    assert report.problems == ()
    assert report.unreached is not None
    assert report.unreached.error == "HeaderNotReached"
    assert ("no model among 1 members" if first == "noise" else "inside the header") in report.unreached.seen
    assert report.bytes_read <= rules.header_bytes
    whole = verify(source, rules=rules)
    assert whole.verdict == "accepted"
    assert whole.unreached is None


def test_nobody_looks_for_a_model_in_what_is_refused(forge: Forge) -> None:
    """What is wrong is told at once."""
    members = {"../x": b"x", "noise": random.Random(0).randbytes(LONG), **forge.good()}
    source = BytesSource(forge.tar_gz(members))

    report = inspect(source, rules=LOW, seek=True)

    assert [problem.error for problem in report.problems] == ["MemberEscapes"]
    assert report.unreached is None
    assert report.bytes_read <= LOW.inspect_bytes


def test_the_time_counts_from_the_beginning() -> None:
    """A clock that is just below the bound reads on, one that has reached it does not."""
    now = 5.0
    budget = ReadBudget(replace(LOW, header_s=60), lambda: LOW.inspect_bytes, lambda: now)

    now = 64.9
    assert budget.next(wanted=True) > 0
    assert not budget.spent
    now = 65.0
    assert budget.next(wanted=True) == 0
    assert budget.spent


def test_the_bytes_are_read_to_the_last() -> None:
    """The bound itself, and nothing behind it; the first megabytes count in any case, and for nobody after them."""
    read = 0
    budget = ReadBudget(replace(LOW, header_bytes=2 * MiB), lambda: read)

    assert budget.next(wanted=False) == LOW.inspect_bytes
    read = LOW.inspect_bytes
    assert budget.next(wanted=False) == 0
    assert not budget.spent
    while step := budget.next(wanted=True):
        read += step
    assert read == 2 * MiB
    assert budget.spent


def test_the_bound_is_the_one_that_is_told() -> None:
    """The rules take it from where all figures stand."""
    assert (Rules().header_bytes, Rules().header_s) == (limits.HEADER_READ.value, limits.HEADER_READ_S.value)
