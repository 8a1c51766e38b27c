"""The documents: what they link to exists, what they call parses, what is generated can be generated."""

from __future__ import annotations

import ast
import json
import re
from dataclasses import replace
from math import prod
from pathlib import Path

import gguf
import pytest

from benchmarks import shapes
from pipeline import errors, package_files
from pipeline.cli import program
from pipeline.operations import diagnosis
from pipeline.planning import request_fields
from pipeline.schema import Integer
from tools import docs, pages, reference

PAGES = [pytest.param(path, id=str(path.relative_to(pages.TOP))) for path in pages.pages()]


def lines() -> list[str]:
    """Return every command line of every document."""
    return [line for path in pages.pages() for line in pages.command_lines(path.read_text())]


@pytest.mark.parametrize("path", PAGES)
def test_what_a_page_links_to_exists(path: Path) -> None:
    """Every link to a file here leads to one, and to a heading in it."""
    broken = []
    for name, anchor in pages.links(path.read_text()):
        target = (path.parent / name).resolve() if name else path
        if not target.exists():
            broken.append(name)
        elif anchor and anchor not in pages.anchors(target.read_text()):
            broken.append(f"{name}#{anchor}")

    assert broken == []


def linked(page: str) -> set[Path]:
    """Return the files that a page links to."""
    path = pages.TOP / page
    return {(path.parent / name).resolve() for name, _ in pages.links(path.read_text()) if name}


def test_every_page_is_linked_from_the_index() -> None:
    """Nobody has to know that a page is there, and the README leads to the index."""
    assert pages.TOP / "docs" / "README.md" in linked("README.md")
    assert set((pages.TOP / "docs").glob("*.md")) - {pages.TOP / "docs" / "README.md"} <= linked(
        "docs/README.md"
    )


RECORDS = sorted((pages.TOP / "docs" / "adr").glob("[0-9]*.md"))


def test_every_decision_is_in_its_index() -> None:
    """Under the title that it has itself; the numbers leave none out."""
    index = (pages.TOP / "docs" / "adr" / "README.md").read_text()
    titles = [path.read_text().partition("\n")[0].removeprefix("# ") for path in RECORDS]

    assert [path.name[:4] for path in RECORDS] == [f"{number:04}" for number in range(1, len(RECORDS) + 1)]
    listed = re.findall(r"^- \[(.+)\]\((.+)\)$", index, re.MULTILINE)  # by what they are about
    assert sorted(listed, key=lambda one: str(one[1])) == [
        (title, path.name) for title, path in zip(titles, RECORDS, strict=True)
    ]


@pytest.mark.parametrize("path", [pytest.param(path, id=path.name) for path in RECORDS])
def test_a_decision_has_context_decision_and_consequence(path: Path) -> None:
    """On one page."""
    text = path.read_text()

    assert text.startswith(f"# {int(path.name[:4])}. ")
    assert re.findall(r"^## (.+)$", text, re.MULTILINE) == ["Context", "Decision", "Consequence"]
    assert all(piece.strip() for piece in re.split(r"^## .+$", text, flags=re.MULTILINE))
    assert text.count("\n") <= 60


PLACES = (
    "benchmarks",
    "docs",
    "examples",
    "inference",
    "local_cloud",
    "pipeline",
    "state_machine",
    "tasks",
    "tests",
    "tools",
)
_PLACE = re.compile(rf"`((?:{'|'.join(PLACES)})/[\w./-]*)`")
INVENTED = {"tasks/time_endpoint.py"}
"""What `docs/extending.md` tells the reader to make."""


@pytest.mark.parametrize("path", PAGES)
def test_a_place_in_the_code_that_a_page_names_exists(path: Path) -> None:
    """A module that was moved is not looked for where it was."""
    named = set(_PLACE.findall(path.read_text())) - INVENTED

    assert {name for name in named if not (pages.TOP / name).exists()} == set()


def unknown(code: str) -> set[str]:
    """Return the names of Sealift's that an example uses and the code has not: classes, and what modules have."""
    modules = {path.stem: path for path in (pages.TOP / "pipeline").rglob("*.py") if path.stem != "__init__"}
    classes = {
        name
        for path in modules.values()
        for name in re.findall(r"^class (\w+)", path.read_text(), re.MULTILINE)
    }
    missing = set()
    for node in ast.walk(ast.parse(code)):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id[0].isupper():
            missing |= {node.func.id} - classes
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            module = modules.get(node.value.id)
            if module is None or not re.search(
                rf"^(def |class )?{node.attr}\b", module.read_text(), re.MULTILINE
            ):
                missing.add(f"{node.value.id}.{node.attr}")
    return missing


def test_examples_use_names_that_the_code_has() -> None:
    """Whoever pastes one, and changes what is particular, has something that runs."""
    examples = [
        block.body
        for block in pages.blocks((pages.TOP / "docs" / "extending.md").read_text())
        if block.language == "python"
    ]

    assert len(examples) == 4
    assert set().union(*map(unknown, examples)) == set()
    assert unknown("DiagnosisRule(Rule())\naws.task\nserving.LLAMA_SERVER\nserving.SERVER") == {
        "Rule",
        "aws.task",
        "serving.SERVER",
    }


def test_pages_name_places_in_the_code() -> None:
    """The test before this one looks at something."""
    assert sum(len(_PLACE.findall(path.read_text())) for path in pages.pages()) > 100


@pytest.mark.parametrize(
    "line",
    [pytest.param(line, id=line) for line in dict.fromkeys(lines()) if not pages.is_synopsis(line)],
)
def test_a_command_line_parses(line: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Whoever types what is written there is not told that it is wrong."""
    words = pages.words(line)
    ended = 0
    try:
        program.read(words)
    except program.HelpShown as end:  # --help and --version end with 0
        ended = end.status

    assert ended == 0, capsys.readouterr().err


def test_most_command_lines_are_no_synopses() -> None:
    """The test before this one looks at something."""
    assert sum(not pages.is_synopsis(line) for line in lines()) > 30


@pytest.mark.parametrize("path", PAGES)
def test_a_generated_part_has_something_that_makes_it(path: Path) -> None:
    """A misspelt part would never be written, and never be missed."""
    text = path.read_text()
    begun, ended = (re.findall(rf"<!-- {word} (\w+) -->", text) for word in ("begin", "end"))

    assert begun == ended
    assert set(begun) <= docs.PARTS.keys()


def test_every_part_stands_somewhere() -> None:
    """What nobody reads need not be made."""
    text = "".join(path.read_text() for path in pages.pages())

    assert {name for name in docs.PARTS if f"<!-- begin {name} -->" not in text} == set()


def test_transitions_are_counted_along_the_way_that_a_good_deployment_takes() -> None:
    """A look at the endpoint is three states: the wait, the task and the decision."""
    states = json.loads(package_files.definition().read_text())["States"]

    loop = reference.shortest(states, "WaitForEndpoint", "WaitForEndpoint")
    switched = reference.shortest(states, "CheckArchive", "UpdateConsumer")

    assert loop == ["PollEndpoint", "EndpointReady", "WaitForEndpoint"]
    assert {"CreateEndpoint", *loop, "SmokeTest", "MonitorEndpoint", "ReadConsumer"} <= set(switched)
    assert not {"StepDown", "ShiftConsumer", "UpdateEndpoint"} & set(switched)
    assert "| 10 min | 40 |" in reference.transitions()


def test_a_way_that_is_not_there_is_no_number() -> None:
    """Better no table than a wrong one."""
    with pytest.raises(ValueError, match="no way from A to B"):
        reference.shortest({"A": {"Type": "Succeed"}, "B": {"Type": "Succeed"}}, "A", "B")


def test_every_field_of_an_input_is_listed() -> None:
    """Also those of objects in lists, by their path, with bounds and default."""
    listed = reference.inputs()

    for name in request_fields.EXECUTION_INPUT.fields:
        assert f"| `{name}` |" in listed
    assert "| `consumer.canary.weight` |" in listed
    context = request_fields.INFERENCE.fields["n_ctx"]
    assert isinstance(context.check, Integer)
    assert f"| {context.check.wanted} | `{context.default}` |" in listed


def test_every_error_and_every_cause_is_listed() -> None:
    """A name that a person sees is found in the document."""
    listed = docs.failures() + reference.causes() + reference.fallbacks()

    for name in (*errors.names(), *diagnosis.FALLBACK, *(rule.cause for rule in diagnosis.RULES)):
        assert f"| `{name}` |" in listed


def test_problems_are_read_off_the_code() -> None:
    """The words are the code's; what it fills in is left open, and a text that has a name is the function's own."""
    listed = reference.problems()

    assert (
        "| `NoService` | a key of the form models/<service>/model.tar.gz, or the field 'service' |" in listed
    )
    assert "| `MemoryTooSmall` | at least … | set memory_mb to … |" in listed
    assert (
        "| `QuotaTooSmall` | a request delta of at most … | ask for at most …, or ask AWS to raise '…' |"
        in listed
    )


STATES = json.loads(package_files.definition().read_text())["States"]


def followers(part: object) -> set[str]:
    """Return every state that a state, or a part of one, names as what follows."""
    if isinstance(part, dict):
        named = {part[key] for key in ("Next", "Default") if isinstance(part.get(key), str)}
        return named.union(*map(followers, part.values()))
    return set().union(*map(followers, part)) if isinstance(part, list) else set()


def test_every_way_out_of_every_state_is_drawn_and_no_other() -> None:
    """Catches and loops too; those that a note lists instead have no arrow."""
    drawn, failing = docs.arrows(STATES)
    wanted = {(name, target) for name, state in STATES.items() for target in followers(state)}
    ends = {(name, "[*]") for name, state in STATES.items() if not followers(state)}

    assert drawn.keys() | {(name, docs.NOTED) for name in failing} == wanted | ends
    assert ends == {("DeploymentFailed", "[*]"), ("DeploymentSucceeded", "[*]")}


@pytest.mark.parametrize(
    ("ends", "label"),
    [
        pytest.param(("CreateEndpoint", "PlanDeployment"), "EndpointMoved", id="planned anew"),
        pytest.param(("UpdateConsumer", "ReadConsumer"), "ConsumerMoved", id="read anew"),
        pytest.param(("CreateEndpoint", "StepDown"), "quota", id="stepped down"),
        pytest.param(("EndpointReady", "WaitForEndpoint"), "verdict is wait", id="looked at again"),
        pytest.param(("ConsumerBaked", "BakeConsumer"), "left above 0", id="watched again"),
        pytest.param(("RollBack", "RollBackFailed"), "any failure", id="not undone"),
        pytest.param(("NotifyFailure", "DeploymentFailed"), "done, or any failure", id="one arrow, two ways"),
        pytest.param(("EndpointReady", "EndpointTimedOut"), "the deadline is over, or otherwise", id="late"),
        pytest.param(("CheckArchive", "PlanDeployment"), "", id="simply next"),
        pytest.param(("EndpointTimedOut", "Diagnose"), "", id="no failure, so no note"),
    ],
)
def test_an_arrow_says_when_it_is_taken(ends: tuple[str, str], label: str) -> None:
    """In the words of the errors and of the fields that are compared."""
    name, target = ends

    assert docs.arrows(STATES)[0][ends] == label
    assert f"    {name} --> {target}{': ' if label else ''}{label}\n" in docs.workflow()


def test_a_failure_that_has_no_arrow_is_noted() -> None:
    """Each task is either there or has an arrow of its own for any failure."""
    drawn, failing = docs.arrows(STATES)
    note = docs.workflow().partition(f"note right of {docs.NOTED}\n")[2].partition("end note")[0]
    noted = set(re.findall(r"\b[A-Z]\w+", note))
    tasks = {name for name, state in STATES.items() if state["Type"] == "Task"}

    assert noted == set(failing)
    assert tasks - noted == {name for (name, _), label in drawn.items() if docs.ANY_FAILURE in label}


def test_a_comparison_without_words_is_no_empty_label() -> None:
    """Whoever adds one to the definition is told by the documents' check."""
    choice = {"Variable": "$.a.b", "StringMatches": "*", "Next": "There"}

    with pytest.raises(KeyError, match="StringMatches"):
        docs.arrows({"Here": {"Type": "Choice", "Choices": [choice], "Default": "There"}})


def test_the_picture_has_every_task_and_nothing_else() -> None:
    """Waits and choices are ways between tasks; both strategies and both ends are there."""
    drawn = set(re.findall(r"\b[A-Z]\w+", reference.path()))

    assert {"CheckArchive", "CreateEndpoint", "UpdateEndpoint", "StepDown", "RollBack"} <= drawn
    assert not {"WaitForEndpoint", "EndpointReady", "DeploymentSucceeded"} & drawn
    assert "MakeRoom --> UpdateEndpoint" in reference.path()
    assert "PollEndpoint --> PollEndpoint" not in reference.path()


@pytest.mark.parametrize(
    ("line", "words"),
    [
        pytest.param("sealift sweep  # look", ["sweep"], id="comment"),
        pytest.param("sealift sweep --json | head", ["sweep", "--json"], id="pipe"),
        pytest.param("sealift sweep || true", ["sweep"], id="or"),
        pytest.param("sealift completion zsh > file", ["completion", "zsh"], id="redirection"),
        pytest.param('.venv/bin/sealift x --prompt "a b"', ["x", "--prompt", "a b"], id="quotes"),
    ],
)
def test_words_are_what_a_shell_passes(line: str, words: list[str]) -> None:
    """Up to the first thing that is the shell's own."""
    assert pages.words(line) == words


def test_anchors_are_githubs() -> None:
    """Lower case, hyphens for spaces, no punctuation, a number when it is there already."""
    text = "# A title, with `code`\n## Same\n## Same\n```\n# no heading\n```\n"

    assert pages.anchors(text) == {"a-title-with-code", "same", "same-1"}


def test_a_page_is_read_as_markdown_has_it() -> None:
    """Any fence, a heading by underlining, a link by reference; and nothing of what stands in code."""
    text = """\
Title
=====

1. step

   ~~~python title="a file"
   code [no](link.md)
   ~~~

See [one](a.md#b), [two][ref], [web](https://example.com) and `[no](code.md)`.

    # no heading [no](indented.md)

[ref]: c.md
"""

    assert [(one.language, one.body) for one in pages.blocks(text)] == [("python", "code [no](link.md)\n")]
    assert list(pages.links(text)) == [("a.md", "b"), ("c.md", "")]
    assert pages.anchors(text) == {"title"}


def test_only_a_block_right_after_the_mark_is_run() -> None:
    """The mark is for one block."""
    text = f"{pages.RUN}\n```\none\n```\n\n```\ntwo\n```\n"

    assert [(block.body, block.run) for block in pages.blocks(text)] == [("one\n", True), ("two\n", False)]


@pytest.mark.parametrize(
    ("shape", "quantization", "published"),
    [
        pytest.param(shapes.LLAMA_1B, "Q4_K_M", 0.81e9, id="Llama 3.2 1B"),
        pytest.param(shapes.LLAMA_3B, "Q4_K_M", 2_019_377_696, id="Llama 3.2 3B"),
        pytest.param(shapes.GEMMA_4B, "Q4_K_M", 2.49e9, id="Gemma 3 4B"),
        pytest.param(shapes.LLAMA_8B, "Q4_K_M", 4.9e9, id="Llama 3.1 8B"),
        pytest.param(shapes.GEMMA_27B, "Q4_K_M", 16.5e9, id="Gemma 3 27B"),
        pytest.param(shapes.GEMMA_27B, "Q8_0", 28.7e9, id="Gemma 3 27B, Q8_0"),
    ],
)
def test_the_models_that_are_listed_are_as_large_as_the_published_ones(
    shape: shapes.ModelShape, quantization: str, published: float
) -> None:
    """A wrong figure of a shape would be a wrong memory size in the document."""
    blocks = (
        (prod(dimensions), *gguf.GGML_QUANT_SIZES[kind])
        for _, kind, dimensions in replace(shape, quantization=quantization).tensors()
    )
    size = sum(count // block * each for count, block, each in blocks)

    assert size == pytest.approx(published, rel=0.02)
