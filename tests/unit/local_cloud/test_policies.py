"""IAM's evaluation: wildcards, conditions, and who wins."""

from __future__ import annotations

import fnmatch
import json
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from local_cloud.iam import policies
from local_cloud.iam.policies import (
    Context,
    PolicyRequest,
    PolicyVerdict,
    UnsupportedPolicyError,
)

MODEL = "arn:aws:sagemaker:us-east-1:123456789012:model/harbour"
TEXT = st.text("ab:/*?[].", max_size=12)


def statement(**more: Any) -> dict[str, Any]:
    """Return a statement that allows one action on every model."""
    return {
        "Effect": "Allow",
        "Action": "sagemaker:DescribeModel",
        "Resource": "arn:aws:sagemaker:us-east-1:123456789012:model/*",
        **more,
    }


def judged(*statements: dict[str, Any], context: Context = (), **request: str) -> PolicyVerdict:
    """Return what a policy of these statements says to DescribeModel, or to another request."""
    policy = policies.parse(json.dumps({"Version": "2012-10-17", "Statement": statements}))
    asked = PolicyRequest(
        **{"action": "sagemaker:DescribeModel", "resource": MODEL, **request}, context=context
    )
    return policies.judge(policy, asked)


def holds(operator: str, values: Any, context: Context) -> bool:
    """Return whether a condition on the key `k` holds."""
    return judged(statement(Condition={operator: {"k": values}}), context=context) is PolicyVerdict.ALLOWED


# ------------------------------------------------------------------------ wildcards


@given(TEXT)
def test_a_text_without_wildcards_matches_itself_alone(text: str) -> None:
    """Whatever else means something in a regular expression or in a shell."""
    plain = text.replace("*", "").replace("?", "")

    assert policies.matches(plain, plain)
    assert not policies.matches(plain, plain + "a")
    assert not policies.matches(plain + "a", plain)


@given(before=TEXT, between=TEXT, after=TEXT)
def test_a_star_stands_for_anything_and_for_nothing(before: str, between: str, after: str) -> None:
    """Slashes and colons too, unlike in a shell."""
    plain_before, plain_after = (re.sub(r"[*?]", "x", part) for part in (before, after))

    assert policies.matches(f"{plain_before}*{plain_after}", plain_before + between + plain_after)
    assert policies.matches("*", between)


@given(pattern=st.text("ab*?", max_size=8), text=st.text("ab", max_size=8))
def test_wildcards_are_the_shells_where_both_have_them(pattern: str, text: str) -> None:
    """Another implementation comes to the same."""
    assert policies.matches(pattern, text) == fnmatch.fnmatchcase(text, pattern)


@given(pattern=st.text("ab*?", max_size=8), text=st.text("ab", max_size=8), at=st.integers(0, 8))
def test_a_wider_pattern_never_matches_less(pattern: str, text: str, at: int) -> None:
    """A star put in anywhere takes nothing away."""
    wider = f"{pattern[:at]}*{pattern[at:]}"

    assert policies.matches(wider, text) or not policies.matches(pattern, text)


# ------------------------------------------------------------------------ statements


@pytest.mark.parametrize(
    ("request_", "verdict"),
    [
        pytest.param({}, PolicyVerdict.ALLOWED, id="as written"),
        pytest.param({"action": "SageMaker:describemodel"}, PolicyVerdict.ALLOWED, id="actions have no case"),
        pytest.param({"action": "sagemaker:DeleteModel"}, PolicyVerdict.NOT_ALLOWED, id="another action"),
        pytest.param(
            {"resource": MODEL.replace("model/", "endpoint/")}, PolicyVerdict.NOT_ALLOWED, id="another kind"
        ),
        pytest.param(
            {"resource": MODEL.replace("model/", "Model/")}, PolicyVerdict.NOT_ALLOWED, id="ARNs have case"
        ),
        pytest.param(
            {"resource": MODEL.replace("us-east-1", "eu-west-1")}, PolicyVerdict.NOT_ALLOWED, id="region"
        ),
        pytest.param(
            {"resource": MODEL.replace("123456789012", "999999999999")},
            PolicyVerdict.NOT_ALLOWED,
            id="account",
        ),
        pytest.param({"resource": "*"}, PolicyVerdict.NOT_ALLOWED, id="all is more than some"),
    ],
)
def test_a_statement_allows_what_it_names(request_: dict[str, str], verdict: PolicyVerdict) -> None:
    """And nothing beside it."""
    assert judged(statement(), **request_) is verdict


def test_nothing_is_allowed_without_a_statement() -> None:
    """The default is no."""
    assert judged() is PolicyVerdict.NOT_ALLOWED


@pytest.mark.parametrize("first", [True, False])
def test_a_denial_wins_wherever_it_stands(first: bool) -> None:
    """Over any number of statements that allow it."""
    deny = statement(Effect="Deny", Action="sagemaker:*")
    order = (deny, statement()) if first else (statement(), deny)

    assert judged(*order) is PolicyVerdict.FORBIDDEN


def test_a_denial_whose_condition_does_not_hold_is_none() -> None:
    """As if it were not there."""
    deny = statement(Effect="Deny", Condition={"StringEquals": {"k": "a"}})

    assert judged(statement(), deny, context=(("k", ("b",)),)) is PolicyVerdict.ALLOWED


# ------------------------------------------------------------------------ conditions

HERE, ELSEWHERE, NOWHERE = (("K", ("a",)),), (("K", ("z",)),), ()


@pytest.mark.parametrize(
    ("operator", "values", "expected"),
    [
        pytest.param("StringEquals", "a", (True, False, False), id="equals"),
        pytest.param("StringEquals", ["a", "z"], (True, True, False), id="one of several"),
        pytest.param("StringEquals", "*", (False, False, False), id="equals knows no wildcard"),
        pytest.param("StringEqualsIfExists", "a", (True, False, True), id="if it exists"),
        pytest.param("StringNotEquals", "a", (False, True, True), id="not equals"),
        pytest.param("StringNotEquals", ["a", "z"], (False, False, True), id="none of several"),
        pytest.param("StringLike", "?", (True, True, False), id="like"),
        pytest.param("StringNotLike", "a*", (False, True, True), id="not like"),
        pytest.param("ArnLike", "a", (True, False, False), id="ARN"),
        pytest.param("ArnNotLike", "a", (False, True, True), id="not the ARN"),
        pytest.param("Null", "false", (True, True, False), id="there"),
        pytest.param("Null", "true", (False, False, True), id="not there"),
        pytest.param("ForAllValues:StringEquals", "a", (True, False, True), id="all, also of none"),
        pytest.param("ForAnyValue:StringEquals", "a", (True, False, False), id="any, not of none"),
    ],
)
def test_each_operator_judges_a_value_another_and_none(
    operator: str, values: Any, expected: tuple[bool, bool, bool]
) -> None:
    """A key that is missing is what the operators differ in; keys have no case."""
    assert tuple(holds(operator, values, context) for context in (HERE, ELSEWHERE, NOWHERE)) == expected


@pytest.mark.parametrize("written", [False, "false", "False"])
def test_a_boolean_is_the_same_in_quotation_marks(written: object) -> None:
    """Both are in use."""
    assert holds("Bool", written, (("k", ("false",)),))
    assert not holds("Bool", written, (("k", ("true",)),))
    assert not holds("Bool", written, ())
    assert holds("BoolIfExists", written, ())


def test_all_conditions_must_hold() -> None:
    """Of one operator and of several."""
    both = statement(Condition={"StringEquals": {"k": "a", "l": "b"}, "Null": {"m": "true"}})

    assert judged(both, context=(("k", ("a",)), ("l", ("b",)))) is PolicyVerdict.ALLOWED
    assert judged(both, context=(("k", ("a",)), ("l", ("x",)))) is PolicyVerdict.NOT_ALLOWED
    assert judged(both, context=(("k", ("a",)), ("l", ("b",)), ("m", ("c",)))) is PolicyVerdict.NOT_ALLOWED


@pytest.mark.parametrize(
    ("wanted", "values"),
    [
        pytest.param((True, True), ("a",), id="one"),
        pytest.param((False, True), ("a", "z"), id="one of two"),
        pytest.param((False, False), ("z",), id="none"),
    ],
)
def test_the_set_operators_look_at_every_value(wanted: tuple[bool, bool], values: tuple[str, ...]) -> None:
    """All of them, or any of them."""
    found = tuple(
        holds(f"{name}:StringEquals", ["a", "b"], (("k", values),))
        for name in ("ForAllValues", "ForAnyValue")
    )

    assert found == wanted


# ------------------------------------------------------------------------ strictness


@pytest.mark.parametrize(
    ("change", "said"),
    [
        pytest.param({"NotAction": "s3:*"}, "NotAction", id="NotAction"),
        pytest.param({"NotResource": "*"}, "NotResource", id="NotResource"),
        pytest.param({"NotPrincipal": "*"}, "NotPrincipal", id="NotPrincipal"),
        pytest.param({"Principal": {"AWS": "123456789012"}}, "Principal", id="a principal"),
        pytest.param({"Effect": "allow"}, "wanted Allow or Deny", id="Effect"),
        pytest.param({"Condition": {"NumericLessThan": {"k": 1}}}, "NumericLessThan", id="operator"),
        pytest.param({"Condition": {"ForAllValues:BoolIfExists": {"k": 1}}}, "ForAllValues", id="both"),
        pytest.param({"Condition": {"Null": {"k": "maybe"}}}, "Null of k", id="Null"),
        pytest.param({"Condition": {"StringLike": {"k": "${aws:userid}"}}}, "policy variable", id="variable"),
        pytest.param({"Resource": "arn:aws:s3:::b/${aws:username}"}, "policy variable", id="in a resource"),
    ],
)
def test_what_is_not_understood_is_refused_when_it_is_read(change: dict[str, Any], said: str) -> None:
    """A statement that is half understood would allow too much or too little."""
    with pytest.raises(UnsupportedPolicyError, match=said):
        policies.parse(json.dumps({"Statement": statement(**change)}))


def test_what_is_said_of_services_alone_is_nobodys_here() -> None:
    """A bucket's policy may let a service of AWS in: none of them calls, and for all others nothing is said."""
    services = statement(Effect="Deny", Principal={"Service": "serverlessrepo.amazonaws.com"})
    everybody = statement(Effect="Deny", Principal={"AWS": "*"})

    assert policies.parse(json.dumps({"Statement": [services]})) == ()
    assert len(policies.parse(json.dumps({"Statement": [services, everybody]}))) == 1


# ------------------------------------------------------------------------ removals


def test_each_action_and_each_resource_of_each_statement_is_left_out_once() -> None:
    """What another statement allows as well is not needed here."""
    other = MODEL.replace("harbour", "other")
    document = {
        "Statement": [
            statement(Action=["sagemaker:DescribeModel", "sagemaker:DeleteModel"], Resource=[MODEL, other]),
            statement(Action="sagemaker:DeleteModel", Resource="*"),
        ]
    }
    requests = [PolicyRequest(f"sagemaker:{verb}Model", MODEL) for verb in ("Describe", "Delete")]

    found = [
        (one.left_out, policies.needed(one, requests))
        for one in policies.removals(policies.parse(json.dumps(document)))
    ]

    assert found == [
        ("sagemaker:DescribeModel", True),
        ("sagemaker:DeleteModel", False),
        (MODEL, True),
        (other, False),
        ("sagemaker:DeleteModel", False),
    ]
