"""The layout of the state graph: no state on another, no arrow through a state, the path that was taken."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.operations.state_order import ORDER
from pipeline.report import state_graph, timeline
from pipeline.report.state_graph import HEIGHT, WIDTH, Arrow, Graph
from tests.unit.report.conftest import DEFINITION

if TYPE_CHECKING:
    from pipeline.report.document import ReportFacts

NOTHING = timeline.Timeline((), 0.0)


def drawn(facts: ReportFacts) -> Graph:
    """Return the graph of an execution."""
    return state_graph.layout(DEFINITION, timeline.read(facts.events, ended=True))


def crossings(laid: Graph) -> list[str]:
    """Return where an arrow runs through a state that is neither its source nor its target."""
    found = []
    for arrow in laid.arrows:
        for (x1, y1), (x2, y2) in pairwise(arrow.points):
            for node in laid.nodes:
                inside = (
                    max(x1, x2) > node.x
                    and min(x1, x2) < node.x + WIDTH
                    and max(y1, y2) > node.y
                    and min(y1, y2) < node.y + HEIGHT
                )
                if inside and node.name not in (arrow.source, arrow.target):
                    found.append(f"{arrow.source} -> {arrow.target} through {node.name}")
    return found


def test_every_state_has_a_place_of_its_own_inside_the_picture() -> None:
    """All states of the workflow are there, and none covers another."""
    laid = state_graph.layout(DEFINITION, NOTHING)

    assert {node.name for node in laid.nodes} == set(DEFINITION["States"])
    assert len({(node.x, node.y) for node in laid.nodes}) == len(laid.nodes)
    assert all(node.x >= 0 and node.x + WIDTH <= laid.width for node in laid.nodes)
    assert all(node.y >= 0 and node.y + HEIGHT <= laid.height for node in laid.nodes)
    assert all(0 <= x <= laid.width and 0 <= y <= laid.height for one in laid.arrows for x, y in one.points)


def test_no_arrow_of_the_workflow_runs_through_a_state(failed: ReportFacts) -> None:
    """They run in the gaps: whoever follows one comes to the state that it means."""
    assert crossings(state_graph.layout(DEFINITION, NOTHING)) == []
    assert crossings(drawn(failed)) == []


@pytest.mark.parametrize(
    ("towards", "base"),
    [
        pytest.param((50, 90), {(46, 83), (54, 83)}, id="down"),
        pytest.param((50, 10), {(46, 17), (54, 17)}, id="up"),
        pytest.param((90, 50), {(83, 46), (83, 54)}, id="right"),
        pytest.param((10, 50), {(17, 46), (17, 54)}, id="left"),
    ],
)
def test_a_head_points_where_its_arrow_leads(towards: tuple[int, int], base: set[tuple[int, int]]) -> None:
    """Its tip is the arrow's end, its base behind it; the line goes as far as into the head."""
    arrow = Arrow("a", "b", ((50, 50), towards), caught=False, taken=0)
    (start, end), (tip, *others) = arrow.line, arrow.head

    assert (start, tip) == ((50, 50), towards)
    assert set(others) == base
    assert abs(end[0] - tip[0]) + abs(end[1] - tip[1]) == 6
    assert min(tip, others[0]) < end < max(tip, others[0])


def test_the_states_of_a_good_deployment_stand_in_the_first_column() -> None:
    """What a reader looks for first is one straight line."""
    laid = state_graph.layout(DEFINITION, NOTHING)
    first = min(node.x for node in laid.nodes)
    column = {node.name for node in laid.nodes if node.x == first}

    assert {"CheckArchive", "CreateEndpoint", "SmokeTest", "RetirePrevious", "DeploymentSucceeded"} <= column
    assert not {"Diagnose", "DeploymentFailed", "StepDown"} & column


def test_the_path_taken_is_counted(succeeded: ReportFacts) -> None:
    """An arrow knows how often it was taken, a state how often it was visited and tried again."""
    laid = drawn(succeeded)
    taken = {(arrow.source, arrow.target): arrow.taken for arrow in laid.arrows}
    nodes = {node.name: node for node in laid.nodes}

    assert taken["EndpointReady", "WaitForEndpoint"] == 4
    assert taken["EndpointReady", "SmokeTest"] == 1
    assert taken["InPlace", "UpdateEndpoint"] == 0
    assert (nodes["PollEndpoint"].visits, nodes["CreateEndpoint"].retries) == (5, 2)
    assert nodes["DeploymentSucceeded"].appearance == "succeeded"
    assert nodes["Diagnose"].appearance == "unvisited"


def test_the_way_of_a_failure_is_drawn_where_it_was_taken(failed: ReportFacts) -> None:
    """An arrow of each task to Diagnose would hide the graph: only the one taken is drawn, others are counted."""
    laid = drawn(failed)
    to_diagnose = {arrow.source: arrow.taken for arrow in laid.arrows if arrow.target == "Diagnose"}

    assert to_diagnose == {"EndpointTimedOut": 0, "SmokeTest": 1}
    assert laid.hidden == {"Diagnose": len({*ORDER, "step_down"}) - 1}
    assert {node.name for node in laid.nodes if node.appearance == "failed"} == {
        "SmokeTest",
        "DeploymentFailed",
    }


NAMES = [f"S{n}" for n in range(8)]


@given(st.data())
@settings(max_examples=60, deadline=None)
def test_any_definition_gets_a_layout(data: st.DataObject) -> None:
    """Loops, dead ends and catches of any kind: every state that can be reached has a place, and it is its own."""
    name = st.sampled_from(NAMES)
    states: dict[str, Any] = {}
    for one in NAMES:
        kind = data.draw(st.sampled_from(["Task", "Choice", "Succeed"]))
        state: dict[str, Any] = {"Type": kind}
        if kind == "Task":
            state["Next"] = data.draw(name)
            state["Catch"] = [{"Next": data.draw(name)} for _ in range(data.draw(st.integers(0, 2)))]
        if kind == "Choice":
            state["Choices"] = [{"Next": data.draw(name)}]
            state["Default"] = data.draw(name)
        states[one] = state

    laid = state_graph.layout({"StartAt": "S0", "States": states}, NOTHING)

    assert laid.nodes[0].name == "S0"
    assert len({(node.x, node.y) for node in laid.nodes}) == len(laid.nodes)
    reached = {node.name for node in laid.nodes}
    assert {arrow.source for arrow in laid.arrows} | {arrow.target for arrow in laid.arrows} <= reached
