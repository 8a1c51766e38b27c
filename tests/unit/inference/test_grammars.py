"""Grammars of a request's own: what is read, what becomes of it, and what llama.cpp is not given."""

from __future__ import annotations

import re
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sealift_grammar import (
    MOST_CHARACTERS,
    MOST_CHOICES,
    MOST_DEPTH,
    MOST_ELEMENTS,
    MOST_LETTERS,
    MOST_REPEATS,
    GrammarError,
    joined,
    of_choices,
    of_pattern,
    of_text,
    others,
)
from sealift_request import BadRequest, parse_request

JSON = r"""
# JSON, as llama.cpp's own grammars/json.gbnf has it
root   ::= object
value  ::= object | array | string | number | ("true" | "false" | "null") ws

object ::=
  "{" ws (
            string ":" ws value
    ("," ws string ":" ws value)*
  )? "}" ws

array  ::=
  "[" ws (
            value
    ("," ws value)*
  )? "]" ws

string ::=
  "\"" (
    [^"\\\x7F\x00-\x1F] |
    "\\" (["\\bfnrt] | "u" [0-9a-fA-F]{4}) # escapes
  )* "\"" ws

number ::= ("-"? ([0-9] | [1-9] [0-9]{0,15})) ("." [0-9]+)? ([eE] [-+]? [0-9] [1-9]{0,15})? ws

# Optional space: by convention, applied in this grammar after literal chars when allowed
ws ::= | " " | "\n" [ \t]{0,20}
"""


def expression(grammar: str) -> re.Pattern[str]:
    """Return a regular expression of what a grammar without recursion allows, as it is written for llama.cpp."""
    rules = dict(line.split(" ::= ", 1) for line in grammar.split("\n"))

    def of(text: str) -> str:
        text = re.sub(r'""', "(?:)", text)
        text = re.sub(r"\b[rp]\d+\b", lambda name: f"(?:{of(rules[name[0]])})", text)
        return text.replace(" ", "")

    return re.compile(re.sub(r"\\U([0-9A-F]{8})", r"\\U\1", of(rules["root"])), re.DOTALL)


@pytest.mark.parametrize(
    ("text", "right", "wrong"),
    [
        pytest.param('root ::= "yes" | "no"', ["yes", "no"], ["yesno", ""], id="choices"),
        pytest.param('root ::= "a" "b"? [c-e]+', ["ac", "abed"], ["a", "abf"], id="row"),
        pytest.param("root ::= [^a-c\\n]{2,3}", ["xy", "xyz"], ["x", "xa", "x\n"], id="others"),
        pytest.param('root ::= "ab"{2}', ["abab"], ["abb", "ab"], id="a-literal-repeats-as-a-whole"),
        pytest.param('root ::= "a"{1,}', ["a", "aaa"], [""], id="at-least"),
        pytest.param('root ::= ("a" | "b" "c")* "."', [".", "abc."], ["c."], id="group"),
        pytest.param('root ::= item ("," item)*\nitem ::= [0-9]', ["1", "1,2"], ["1,"], id="rules"),
        pytest.param('root ::= "a" . "b"', ["axb", "a\nb"], ["ab"], id="any"),
        pytest.param(
            r'root ::= "\"\\\n\x41\u00e4\U0001F6A2"', ['"\\\nA\u00e4\U0001f6a2'], ["x"], id="escapes"
        ),
        pytest.param(r"root ::= [\]\-x]+", ["]-x"], ["\\"], id="escapes-in-a-set"),
        pytest.param('root ::=\n  "a" |\n  "b" # or\n\nx ::= "unused"\n', ["a", "b"], ["x"], id="lines"),
        pytest.param('root ::= "" | "a"', ["", "a"], ["b"], id="empty-literal"),
        pytest.param('root ::= "a"{0} "b"', ["b"], ["ab"], id="not-at-all"),
    ],
)
def test_a_grammar_is_read_and_written_anew(text: str, right: list[str], wrong: list[str]) -> None:
    """What it allows stays what it was; what is not used is gone."""
    written = expression(of_text(text))

    assert [written.fullmatch(one) is not None for one in (*right, *wrong)] == [True] * len(right) + [
        False
    ] * len(wrong)


def test_llama_cpps_own_grammar_of_json_is_taken() -> None:
    """It is recursive, and the next character always tells how to go on."""
    assert of_text(JSON).startswith("root ::= ")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        pytest.param("", "wanted one of the name 'root'", id="empty"),
        pytest.param('a ::= "b"', "wanted one of the name 'root'", id="no-root"),
        pytest.param("root", "wanted '::='", id="a-name"),
        pytest.param("root ::= b", "'b', which is no rule", id="no-such-rule"),
        pytest.param('root ::= "a"\nroot ::= "b"', "there twice", id="twice"),
        pytest.param('root ::= "a', "wanted '\"'", id="open-literal"),
        pytest.param("root ::= [a", "wanted ']'", id="open-set"),
        pytest.param('root ::= ("a"', "wanted ')'", id="open-group"),
        pytest.param('root ::= "a")', "the end of the line", id="closed-group"),
        pytest.param("root ::= [b-a]", "no character in it", id="range"),
        pytest.param("root ::= []", "a set of characters with one in it", id="empty-set"),
        pytest.param(r'root ::= "\q"', "an escape that there is", id="escape"),
        pytest.param(r'root ::= "\ud800"', "digits of a character", id="half-a-character"),
        pytest.param(r'root ::= "\U00110000"', "digits of a character", id="no-character"),
        pytest.param('root ::= "a\nb"', "an escape for a line's end", id="line"),
        pytest.param('root ::= "a"**', "one repetition", id="repetitions"),
        pytest.param('root ::= "a"{2,1}', "the lower bound first", id="crossed"),
        pytest.param(f'root ::= "a"{{{MOST_REPEATS + 1}}}', f"at most {MOST_REPEATS}", id="many"),
        pytest.param('root ::= "a"{1000000000}', "a repetition as", id="huge"),
        pytest.param('root ::= "a"{,3}', "a repetition as", id="no-lower-bound"),
        pytest.param("root ::= <[1000]>", "tokens in their place", id="tokens"),
        pytest.param('root ::= root "a" | "b"', "may begin with itself", id="left"),
        pytest.param('root ::= a? root\na ::= "b"', "may begin with itself", id="left-behind-nothing"),
        pytest.param("root ::= a\na ::= b\nb ::= a", "may begin with itself", id="left-in-a-circle"),
        pytest.param('root ::= ("a"*)*', "repeats what may be nothing", id="nothing-again"),
        pytest.param('root ::= ("a"+)? ("b"?)?', None, id="groups-that-repeat"),
        pytest.param('root ::= ("a" | "a" "b"){85} "c"', None, id="as-many-ways-as-there-may-be"),
        pytest.param('root ::= ("a" | "a" "b"){86} "c"', "begin alike", id="more-ways-than-there-may-be"),
        pytest.param('root ::= ("a" | )+', "repeats what may be nothing", id="nothing-or"),
        pytest.param('root ::= "x" root "y" | "x" root "z" | "x"', "begin alike", id="two-stacks-for-each"),
        pytest.param('root ::= a "," root "y" | "z"\na ::= "a" | "ab"', None, id="a-choice-that-is-over"),
        pytest.param(
            'root ::= a root "y" | "b" root "z" | "q"\na ::= "a" | "ab"', "begin alike", id="over-or-not"
        ),
        pytest.param('root ::= "(" root ")" | [a-z]* [a-c]', "go on or end", id="when-to-end"),
        pytest.param('root ::= "(" root? ")" | "[" root? "]"', None, id="brackets"),
        pytest.param(f"root ::= {'(' * (MOST_DEPTH + 1)}", f"more than {MOST_DEPTH} deep", id="deep"),
        pytest.param('root ::= a{500}\na ::= "b"{500}', None, id="large-and-plain"),
        pytest.param('root ::= a{500} "b"\na ::= "b"{1,9}', "recursive or large", id="large-and-not-plain"),
        pytest.param(f'root ::= ("a"{{100}} "b"){{{MOST_ELEMENTS // 100}}}', "elements", id="large"),
        pytest.param(
            "root ::= r0\n"
            + "".join(f'r{n} ::= "x" r{n + 1} "y" | "x" r{n + 1} "z"\n' for n in range(40))
            + 'r40 ::= "q"',
            "begin alike",
            id="ways-that-double",
        ),
    ],
)  # fmt: skip
def test_what_llama_cpp_may_not_be_given_is_told(text: str, words: str | None) -> None:
    """Each by its rule or line, and by what is wrong; their neighbors are taken."""
    if words is None:
        assert of_text(text)
        return
    with pytest.raises(GrammarError) as caught:
        of_text(text)
    assert words in str(caught.value)
    assert len(str(caught.value)) < 400


def test_a_text_that_is_too_long_is_refused() -> None:
    """One character more than is read."""
    literal = 'root ::= "a"'
    assert of_text(literal + " " * (MOST_CHARACTERS - len(literal)))
    with pytest.raises(GrammarError, match="at most"):
        of_text(literal + " " * (MOST_CHARACTERS - len(literal) + 1))


@given(st.text(alphabet='rot:=|"[]()*+?{}1,-^\\.# \nab<>!', max_size=60))
def test_any_text_is_taken_or_refused(text: str) -> None:
    """Nothing ends in anything but its own error."""
    for one in (text, f"root ::= {text}"):
        try:
            written = of_text(one)
        except GrammarError:
            continue
        assert written.startswith("root ::= ")


@given(st.lists(st.text(min_size=1, max_size=6), min_size=1, max_size=8))
def test_choices_are_those_texts_and_no_others(choices: list[str]) -> None:
    """Whatever stands in them."""
    written = expression(of_choices(choices))

    assert all(written.fullmatch(choice) for choice in choices)
    assert bool(written.fullmatch("no")) == ("no" in choices)


@pytest.mark.parametrize(
    ("choices", "right"),
    [
        (["a"] * MOST_CHOICES, True),
        (["a"] * (MOST_CHOICES + 1), False),
        (["a" * MOST_LETTERS], True),
        (["a" * (MOST_LETTERS + 1)], False),
        (["a" * n for n in range(1, MOST_DEPTH)], True),
    ],
)
def test_choices_are_bounded(choices: list[str], *, right: bool) -> None:
    """By their number and their letters."""
    if right:
        assert of_choices(choices)
    else:
        with pytest.raises(GrammarError, match="wanted at most"):
            of_choices(choices)


@pytest.mark.parametrize(
    ("pattern", "right", "wrong"),
    [
        pytest.param(r"\d{3}-\d{4}", ["555-1234"], ["555-12345", "x"], id="digits"),
        pytest.param(r"^(yes|no)$", ["yes", "no"], ["yes!"], id="anchors"),
        pytest.param(r"[A-Z][a-z]*( [A-Z]\.)?", ["Ann", "Ann B."], ["ann"], id="name"),
        pytest.param(r"a.c", ["abc"], ["a\nc"], id="any"),
        pytest.param(r"[^\s,]+(, [^\s,]+)*", ["a, b"], ["a,b"], id="list"),
        pytest.param(r"(?:a|b){2,}?", ["ab"], ["a"], id="lazy"),
        pytest.param(r'"[^"]*"', ['"a"'], ["a"], id="quotes"),
        pytest.param(r"\w+@\w+\.(com|org)", ["a_1@b.org"], ["a@b.net"], id="address"),
    ],
)
def test_a_pattern_is_what_a_whole_answer_matches(pattern: str, right: list[str], wrong: list[str]) -> None:
    """By the same words that Python has for it."""
    written = expression(of_pattern(pattern))

    for text in right:
        assert written.fullmatch(text)
        assert re.fullmatch(pattern, text)
    for text in wrong:
        assert not written.fullmatch(text)


@pytest.mark.parametrize(
    ("pattern", "words"),
    [
        ("(", "no regular expression"),
        (r"a\b", "anchor within"),
        ("a$b", "anchor within"),
        (r"(a)\1", "groupref"),
        ("(?=a)b", "assert"),
        ("(?i)a", "flags"),
        ("(?i:a)", "subpattern"),
        ("a{501}", "repeats more than"),
        ("(a*)*", "may be nothing"),
        ("((((a{100}){100}){100}))", "elements"),
        ("(" * (MOST_DEPTH + 2) + "a" + ")" * (MOST_DEPTH + 2), "deep"),
        ("a" * (MOST_CHARACTERS + 1), "at most"),
    ],
)
def test_a_pattern_that_no_grammar_holds_is_told(pattern: str, words: str) -> None:
    """Also one that is too large."""
    with pytest.raises(GrammarError, match=re.escape(words)):
        of_pattern(pattern)


@given(st.lists(st.tuples(st.integers(0, 60), st.integers(0, 60)).map(sorted), max_size=6))
def test_sets_of_characters_are_sets(ranges: list[Any]) -> None:
    """Runs that touch are one, and what is in neither is in the others."""
    held = {code for low, high in ranges for code in range(low, high + 1)}
    made, rest = joined(map(tuple, ranges)), others(map(tuple, ranges))

    assert {code for low, high in made for code in range(low, high + 1)} == held
    assert {code for code in range(70) if any(low <= code <= high for low, high in rest)} == set(
        range(70)
    ) - held
    assert all(one[1] + 1 < other[0] for one, other in pairwise(made))


ASKED = {"prompt": "a"}


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({"guided_choice": ["yes", "no"]}, None),
        ({"guided_regex": "a+"}, None),
        ({"grammar": 'root ::= "a"'}, None),
        ({"guided_grammar": 'root ::= "a"'}, None),
        ({"grammar": {"type": "regex", "value": "a+"}}, None),
        ({"guided_choice": []}, "a list of texts"),
        ({"guided_choice": [1]}, "a list of texts"),
        ({"guided_regex": "("}, "'guided_regex': '(' is no regular expression"),
        ({"grammar": "x"}, "'grammar': line 1"),
        ({"grammar": {"type": "xml"}}, "wanted a grammar"),
        ({"grammar": 'root ::= "a"', "guided_regex": "a"}, "'grammar' and 'guided_regex' are both there"),
        ({"grammar": 'root ::= "a"', "json_schema": {}}, "are both there"),
    ],
)
def test_a_request_may_bring_one(more: dict[str, Any], words: str | None) -> None:
    """By the names of llama-server, vLLM and text-generation-inference; one at a time."""
    if words is None:
        request = parse_request({**ASKED, **more})
        assert (request.grammar or "").startswith("root ::= ")
        assert request.constrained
        return
    with pytest.raises(BadRequest) as caught:
        parse_request({**ASKED, **more})
    assert words in caught.value.reason


def test_a_grammar_and_tools_are_two_things() -> None:
    """A call is no such answer."""
    tool = {"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}

    with pytest.raises(BadRequest, match="'tools' and a grammar"):
        parse_request(
            {"messages": [{"role": "user", "content": "a"}], "tools": [tool], "guided_choice": ["a"]}
        )
