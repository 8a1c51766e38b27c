"""What a release needs: a section with a date, a free tag, nothing that is not committed."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from packaging.version import Version

from pipeline import __version__
from tools import release

CHANGELOG = """\
# Changelog

## Unreleased

## 1.2.0 - 2026-03-01

### Added

- A thing.

## [1.1.0] - 2026-02-01

- An older thing.

[1.1.0]: https://example.com/1.1.0
"""
TREE = release.Tree("1.2.0", CHANGELOG, changed=(), tags=("v1.1.0",), today=date(2026, 3, 1))


def changed(old: str, new: str) -> release.Tree:
    """Return the tree with another changelog."""
    assert old in CHANGELOG
    return replace(TREE, changelog=CHANGELOG.replace(old, new))


def test_a_tree_that_may_be_released_has_no_problem() -> None:
    """Also on the day after its date."""
    assert list(release.problems(TREE)) == []
    assert list(release.problems(replace(TREE, today=date(2026, 3, 2)))) == []


@pytest.mark.parametrize(
    ("tree", "told"),
    [
        pytest.param(
            replace(TREE, version="1.2"), "version '1.2' is not of the form 1.2.3 or", id="two numbers"
        ),
        pytest.param(replace(TREE, version="1.2.0.dev1"), "is not of the form", id="no release"),
        pytest.param(replace(TREE, changed=[" M a"]), "has 1 changes (M a); commit or", id="not committed"),
        pytest.param(replace(TREE, changed=list("abc")), "3 changes (a, b, c);", id="as much as is told"),
        pytest.param(
            replace(TREE, changed=list("abcd")), "4 changes (a, b, c, ...)", id="much is not committed"
        ),
        pytest.param(replace(TREE, tags=["v1.2.0"]), "tag v1.2.0 is taken; raise", id="tag taken"),
        pytest.param(
            replace(TREE, version="1.3.0"), "no section for 1.3.0; give the section 'Unr", id="no section"
        ),
        pytest.param(
            changed("1.2.0 - 2026-03-01", "1.2.0"),
            "is '1.2.0'; it must be '1.2.0 - 2026-03-01'",
            id="no date",
        ),
        pytest.param(changed("2026-03-01", "2026-02-30"), "it must be '1.2.0 - 2026", id="no such day"),
        pytest.param(changed("2026-03-01", "1 March 2026"), "it must be '1.2.0 - 2026", id="another form"),
        pytest.param(changed("2026-03-01", "2026-03-02"), "2026-03-02, which is after today", id="tomorrow"),
        pytest.param(
            changed("### Added\n\n- A thing.\n\n", ""), "1.2.0 in CHANGELOG.md is empty", id="empty"
        ),
        pytest.param(
            changed("## Unreleased\n", "## Unreleased\n\n- New.\n"), "under 'Unreleased'; move", id="left out"
        ),
        pytest.param(changed("1.1.0]", "1.10.0]"), "'[1.10.0] - 2026-02-01', which is no lower", id="order"),
        pytest.param(changed("[1.1.0]", "[1.2.0]"), "which is no lower version", id="twice"),
        pytest.param(changed("[1.1.0]", "[older]"), "which is no lower version", id="no version below"),
    ],
)
def test_one_thing_that_is_wrong_is_one_problem(tree: release.Tree, told: str) -> None:
    """With what was seen, and what to do."""
    (problem,) = release.problems(tree)

    assert told in problem


def test_all_that_is_wrong_is_told_at_once() -> None:
    """Nobody comes back for the next reason."""
    tree = replace(TREE, changed=["?? a"], tags=["v1.2.0"], changelog="# Changelog\n")

    with pytest.raises(release.ReleaseError) as wrong:
        release.check(tree)

    assert [line.split()[0:3] for line in str(wrong.value).splitlines()] == [
        ["the", "work", "tree"],
        ["the", "tag", "v1.2.0"],
        ["CHANGELOG.md", "has", "no"],
    ]


def test_notes_are_the_section_and_nothing_of_its_neighbors() -> None:
    """The links at the end of the file belong to no section."""
    assert release.notes(CHANGELOG, "1.2.0") == "# Sealift 1.2.0\n\n### Added\n\n- A thing.\n"
    assert release.notes(CHANGELOG, "1.1.0") == "# Sealift 1.1.0\n\n- An older thing.\n"
    with pytest.raises(release.ReleaseError, match=r"no section '## 2\.0\.0 - YYYY-MM-DD'"):
        release.notes(CHANGELOG, "2.0.0")


LINES = st.text(st.characters(exclude_categories=("C", "Z")), min_size=1).map(lambda text: f"- {text}")
VERSIONS = st.tuples(*[st.integers(0, 30)] * 3).map(lambda numbers: ".".join(map(str, numbers)))


@given(st.dictionaries(VERSIONS, st.lists(LINES, min_size=1), min_size=1))
def test_every_section_of_a_changelog_is_found_whole(written: dict[str, list[str]]) -> None:
    """In the order in which they stand; the newest of them may be released, and only that one."""
    newest_first = sorted(written, key=Version, reverse=True)
    text = "# Changelog\n\n## Unreleased\n\n" + "".join(
        f"## {version} - 2026-01-01\n\n" + "".join(f"{line}\n" for line in written[version]) + "\n"
        for version in newest_first
    )

    assert [one.version for one in release.sections(text)] == [None, *newest_first]
    for version, lines in written.items():
        assert release.notes(text, version) == "\n".join([f"# Sealift {version}", "", *lines, ""])
        wrong = list(release.problems(replace(TREE, version=version, changelog=text, tags=[])))
        assert bool(wrong) == (version != newest_first[0])


@given(st.text())
def test_any_text_is_read_as_a_changelog(text: str) -> None:
    """It may have no section that is wanted; it never ends in a traceback."""
    assert list(release.problems(replace(TREE, changelog=text, version="9.9.9")))


def test_a_heading_in_code_begins_no_section() -> None:
    """An entry may show Markdown."""
    text = CHANGELOG.replace(
        "- A thing.", "- A thing:\n\n  ```\n  ## 9.9.9 - 2026-01-01\n  ```\n\n~~~\n## x\n~~~"
    )

    assert [one.version for one in release.sections(text)] == [None, "1.2.0", "1.1.0"]
    assert "## 9.9.9" in release.notes(text, "1.2.0")


def test_a_tag_keeps_the_headings_of_the_notes() -> None:
    """Git would take them for comments; test_release.py of the functional tests asks git itself."""
    annotate, push = release.commands("1.2.0", Path("notes.md"))

    assert "--cleanup=whitespace" in annotate
    assert annotate[-1] == push[-1] == "v1.2.0"


def test_the_changelog_keeps_its_form() -> None:
    """Versions with a date, the newest first, below what is not released; parts have one of the six names."""
    found = release.sections((release.TOP / release.CHANGELOG).read_text(encoding="utf-8"))
    versions = [one.version for one in found if one.heading != release.UNRELEASED]
    parts = {
        line.removeprefix("### ") for one in found for line in one.body.splitlines() if line.startswith("#")
    }

    assert found
    assert release.UNRELEASED not in [one.heading for one in found[1:]]
    assert None not in [one.released for one in found if one.heading != release.UNRELEASED]
    assert versions == sorted(versions, key=lambda one: Version(str(one)), reverse=True)
    assert len(set(versions)) == len(versions)
    assert parts <= set(release.KINDS)


def test_this_version_has_the_form_of_a_release() -> None:
    """What the command line says of itself is what a tag is made of."""
    assert not any(
        "not of the form" in problem for problem in release.problems(replace(TREE, version=__version__))
    )
