"""Account quotas, listings and settings of hosting."""

from __future__ import annotations

import re
from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from local_cloud.hosting import AwsError, HostingSettings, Quotas
from local_cloud.hosting.control_plane.listings import (
    cut,
    page,
)
from local_cloud.hosting.platform.quotas import (
    QuotaDemand,
    check,
)

ORDINARY = Quotas()


def demand(
    *,
    memory_mb: int = 3072,
    used_concurrency: int = 0,
    concurrency_delta: int = 10,
    used_endpoints: int = 0,
    endpoints_delta: int = 1,
) -> QuotaDemand:
    """Return what the first endpoint of an ordinary account may ask for, but for the arguments."""
    return QuotaDemand(memory_mb, used_concurrency, concurrency_delta, used_endpoints, endpoints_delta)


def test_the_memory_quota_speaks_word_for_word() -> None:
    """The message is the one that real accounts report, numbers included."""
    with pytest.raises(AwsError) as caught:
        check(ORDINARY, demand(memory_mb=4096))

    assert caught.value.code == "ResourceLimitExceeded"
    assert caught.value.message == (
        "The account-level service limit 'Memory size in MB per serverless endpoint' is 3072 MBs, with "
        "current utilization of 0 MBs and a request delta of 4096 MBs. Please use AWS Service Quotas to request an "
        "increase for this quota. If AWS Service Quotas is not available, contact AWS support to request an "
        "increase for this quota."
    )


@pytest.mark.parametrize(
    ("asked", "quota", "numbers"),
    [
        pytest.param(
            demand(memory_mb=6144, concurrency_delta=50),
            "Memory size",
            ("3072", "0", "6144"),
            id="memory first",
        ),
        pytest.param(
            demand(used_concurrency=6, concurrency_delta=5),
            "Maximum total concurrency",
            ("10", "6", "5"),
            id="concurrency",
        ),
        pytest.param(
            demand(used_endpoints=5, concurrency_delta=1),
            "Maximum number of serverless endpoints",
            ("5", "5", "1"),
            id="endpoints",
        ),
    ],
)
def test_the_first_exceeded_quota_gives_limit_use_and_delta(
    asked: QuotaDemand, quota: str, numbers: tuple[str, str, str]
) -> None:
    """A client can read the three numbers from the message, as the capacity ladder does."""
    with pytest.raises(AwsError) as caught:
        check(ORDINARY, asked)

    found = re.search(
        r"limit '(?P<quota>[^']+)' is (\d+) \w+, with current utilization of (\d+) \w+ "
        r"and a request delta of (\d+) \w+\. ",
        caught.value.message or "",
    )
    assert found is not None
    assert found["quota"].startswith(quota)
    assert found.groups()[1:] == numbers


@pytest.mark.parametrize(
    "asked",
    [
        pytest.param(demand(), id="exactly the quota"),
        pytest.param(demand(used_concurrency=12, concurrency_delta=-2), id="going down from above the quota"),
        pytest.param(demand(used_concurrency=12, concurrency_delta=0), id="an update that adds nothing"),
        pytest.param(
            demand(used_endpoints=9, endpoints_delta=0, concurrency_delta=0), id="no further endpoint"
        ),
    ],
)
def test_what_adds_nothing_beyond_the_quota_passes(asked: QuotaDemand) -> None:
    """A quota stops growth, not what exists."""
    check(ORDINARY, asked)


@dataclass(frozen=True)
class Record:
    """A row with the least that a listing needs."""

    name: str
    created: float
    arn: str = "arn"


@given(st.lists(st.integers(0, 5), max_size=30), st.integers(1, 7))
def test_pages_put_together_are_the_whole_list(times: list[int], size: int) -> None:
    """Following the tokens gives every record once, newest first."""
    records = [Record(f"n{index}", float(time)) for index, time in enumerate(times)]
    request = {"MaxResults": size}
    rows, token = page(records, request)
    while token is not None:
        more, token = page(records, {**request, "NextToken": token})
        rows += more

    assert sorted(row.name for row in rows) == sorted(record.name for record in records)
    assert [row.created for row in rows] == sorted((r.created for r in records), reverse=True)


@pytest.mark.parametrize(
    ("request_", "names"),
    [
        pytest.param({}, ["c", "b", "a"], id="newest first"),
        pytest.param({"SortOrder": "Ascending"}, ["a", "b", "c"], id="oldest first"),
        pytest.param({"SortBy": "Name", "SortOrder": "Descending"}, ["c", "b", "a"], id="by name"),
        pytest.param({"NameContains": "b"}, ["b"], id="name"),
        pytest.param({"CreationTimeAfter": 2.0}, ["c", "b"], id="after is inclusive"),
        pytest.param({"CreationTimeBefore": 2.0}, ["a"], id="before is exclusive"),
    ],
)
def test_listings_filter_and_sort(request_: dict[str, object], names: list[str]) -> None:
    """Each parameter does what the service model says."""
    records = [Record("a", 1.0), Record("b", 2.0), Record("c", 3.0)]

    rows, token = page(records, request_)

    assert ([row.name for row in rows], token) == (names, None)


@pytest.mark.parametrize("token", ["x", "####", "b2Zmc2V0Oi0x", "b2Zmc2V0OsKy", "\u2603"])
def test_a_token_of_nobody_is_refused(token: str) -> None:
    """A token that no listing gave out is the caller's mistake, not a crash."""
    with pytest.raises(AwsError, match="NextToken"):
        cut([1, 2, 3], token, 2)


def test_settings_refuse_what_cannot_work() -> None:
    """Wrong settings are named where they are made."""
    with pytest.raises(ValueError, match="startup_deadline_s"):
        HostingSettings(startup_deadline_s=-1)
    with pytest.raises(ValueError, match="command"):
        HostingSettings(command=())
