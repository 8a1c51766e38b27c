"""The names of functions: their forms, and which of them a stack's pattern allows."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.planning import function_names
from pipeline.planning.function_names import FunctionName, Reach

ACCOUNT, REGION = "123456789012", "us-east-1"
NAMES = st.text("abc-_A1", min_size=1, max_size=12)
PATTERNS = st.text("abc-_A1*", min_size=1, max_size=12)


def reach(pattern: str = "sealift-consumer*", stack: str = "sealift") -> Reach:
    """Return what a stack with a pattern may switch."""
    return Reach(pattern, ACCOUNT, REGION, stack)


@pytest.mark.parametrize(
    ("text", "function"),
    [
        pytest.param("billing", FunctionName("billing"), id="name"),
        pytest.param("billing:live", FunctionName("billing", qualifier="live"), id="name with alias"),
        pytest.param("function:billing", FunctionName("billing"), id="end of an ARN"),
        pytest.param(f"{ACCOUNT}:function:billing", FunctionName("billing", None, ACCOUNT), id="partial ARN"),
        pytest.param(
            f"arn:aws:lambda:eu-west-1:{ACCOUNT}:function:billing",
            FunctionName("billing", "eu-west-1", ACCOUNT),
            id="ARN",
        ),
        pytest.param(
            f"arn:aws-us-gov:lambda:us-gov-west-1:{ACCOUNT}:function:billing:7",
            FunctionName("billing", "us-gov-west-1", ACCOUNT, "7"),
            id="ARN with version, another partition",
        ),
        pytest.param("a:b:c:d", None, id="nothing"),
        pytest.param("", None, id="empty"),
    ],
)
def test_every_form_of_a_function_is_read(text: str, function: FunctionName | None) -> None:
    """Lambda takes a name, an ARN or the end of one, each with or without a qualifier."""
    assert function_names.parse(text) == function
    assert function_names.name_of(text) == (function.name if function else text)


@pytest.mark.parametrize(
    ("pattern", "name", "covered"),
    [
        pytest.param("sealift-consumer*", "sealift-consumer", True, id="nothing behind"),
        pytest.param("sealift-consumer*", "sealift-consumer-2", True, id="something behind"),
        pytest.param("sealift-consumer*", "my-sealift-consumer", False, id="something before"),
        pytest.param("billing", "billing", True, id="no star"),
        pytest.param("billing", "billing-2", False, id="no star, more behind"),
        pytest.param("*", "billing", True, id="all"),
        pytest.param("team-*-api", "team-a-api", True, id="in the middle"),
        pytest.param("team-*-api", "team-a", False, id="in the middle, another end"),
        pytest.param("Billing", "billing", False, id="letter case counts"),
    ],
)
def test_a_pattern_covers_what_iam_would_allow(pattern: str, name: str, *, covered: bool) -> None:
    """A star stands for any characters, none too; all else for itself."""
    assert function_names.covers(pattern, name) is covered


@pytest.mark.parametrize(
    ("pattern", "name", "wide"),
    [
        pytest.param("sealift-consumer*", "sealift-prod", "sealift-*", id="the same beginning"),
        pytest.param("billing-api", "orders-api", "*-api", id="the same end"),
        pytest.param("team-a-api", "team-b-api", "team-*-api", id="both"),
        pytest.param("sealift-consumer*", "billing", "*", id="nothing in common"),
        pytest.param("aa", "aaa", "aa*", id="shared letters are counted once"),
        pytest.param("billing*", "billing-2", "billing*", id="covered already"),
    ],
)
def test_a_pattern_is_widened_no_more_than_is_needed(pattern: str, name: str, wide: str) -> None:
    """What both names have in common stays."""
    assert function_names.widened(pattern, name) == wide


@given(pattern=PATTERNS, name=NAMES, within=NAMES)
def test_a_widened_pattern_covers_both(pattern: str, name: str, within: str) -> None:
    """The new function, and every one that was allowed before."""
    wide = function_names.widened(pattern, name)

    assert function_names.covers(wide, name)
    assert function_names.covers(wide, pattern.replace("*", within))


def test_what_the_pattern_covers_may_be_switched() -> None:
    """By its name, and by its ARN in the stack's own account and region."""
    arn = f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:sealift-consumer-2"

    assert reach().problem("sealift-consumer") is None
    assert reach().problem(arn) is None


def test_a_function_outside_the_pattern_is_refused_with_the_command_that_lets_it_in() -> None:
    """Function, pattern, stack, and the very command, which names the stack where it is not the usual one."""
    here, there = reach().problem("sealift-prod"), reach(stack="two").problem("sealift-prod")

    assert here is not None
    assert there is not None
    assert here.error == "ConsumerOutsidePattern"
    assert "function 'sealift-prod' is outside the pattern 'sealift-consumer*'" in here.seen
    assert "`sealift deploy --parameter 'ConsumerFunctionPattern=sealift-*'`" in here.fix
    assert "`sealift deploy --parameter 'ConsumerFunctionPattern=sealift-*' --stack two`" in there.fix


@pytest.mark.parametrize(
    ("name", "ways"),
    [
        pytest.param("sea", 1, id="three letters in common"),
        pytest.param("se-prod", 2, id="two letters"),
    ],
)
def test_a_pattern_that_means_next_to_nothing_is_not_the_only_way(name: str, ways: int) -> None:
    """What begins with two letters may be anybody's."""
    problem = reach("sea*").problem(name) if ways == 2 else reach("seal*").problem(name)

    assert problem is not None
    assert problem.fix.count("sealift deploy") == ways


def test_names_that_share_nothing_get_the_narrow_command_first() -> None:
    """A pattern for both would allow every function of the account: that is said, and not the only way."""
    problem = reach().problem("billing")

    assert problem is not None
    assert problem.fix == (
        "run `sealift deploy --parameter ConsumerFunctionPattern=billing` if the stack switches no other function, "
        "or `sealift deploy --parameter 'ConsumerFunctionPattern=*'` for every function of the account"
    )


@pytest.mark.parametrize(
    ("text", "error", "told"),
    [
        pytest.param(
            f"arn:aws:lambda:eu-west-1:{ACCOUNT}:function:sealift-consumer",
            "ConsumerElsewhere",
            "in account 123456789012, eu-west-1",
            id="another region",
        ),
        pytest.param(
            "999999999999:function:sealift-consumer",
            "ConsumerElsewhere",
            "in account 999999999999, us-east-1",
            id="another account",
        ),
        pytest.param(
            "sealift-consumer:live", "ConsumerQualified", '"alias": "live"', id="an alias in the name"
        ),
        pytest.param(
            "sealift-consumer:7",
            "ConsumerQualified",
            '"function_name": "sealift-consumer"',
            id="a version in the name",
        ),
        pytest.param("a:b:c:d", "ConsumerName", "'a:b:c:d'", id="no name"),
    ],
)
def test_what_no_pattern_can_let_in_is_refused_for_what_it_is(text: str, error: str, told: str) -> None:
    """Another account, another region, a qualifier: each has a fix of its own."""
    problem = reach("*").problem(text)

    assert problem is not None
    assert problem.error == error
    assert told in str(problem)
