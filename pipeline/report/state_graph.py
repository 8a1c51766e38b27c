"""The state graph, laid out: a row and a column for each state, a way for each arrow, and which of them were taken.

Pure: takes a state machine's definition and the names that were visited, returns places in points. The layout is a
layered one in which every chain of states keeps a column of its own, as histories of revisions are drawn: the chain
of a deployment that goes well is the first column, and whatever leaves it stands further right. Arrows run in the
gaps between rows and columns, so they cross no state. Refuses to draw: that is the templates'.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from itertools import pairwise
from typing import TYPE_CHECKING, Any, ClassVar, Final, Literal

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from pipeline.report.timeline import Timeline, Visit

Appearance = Literal["unvisited", "succeeded", "failed", "running"]

WIDTH: Final = 136
HEIGHT: Final = 30
ROW: Final = 56
GUTTER: Final = 26
"""Between two columns; the arrows' lanes are in it."""
LANE: Final = 5
LANES: Final = 4
MARGIN: Final = 28

CROWD: Final = 3
"""States whose failures lead to one place from which those arrows are drawn only where they were taken."""


@dataclass(frozen=True, slots=True)
class Node:
    """One state, placed."""

    name: str
    kind: str
    comment: str
    x: int
    y: int
    appearance: Appearance
    visits: int = 0
    retries: int = 0
    seconds: float = 0.0
    first_visit: int | None = None
    """The number of the first visit."""

    width: ClassVar[int] = WIDTH
    height: ClassVar[int] = HEIGHT


@dataclass(frozen=True, slots=True)
class Arrow:
    """One way from state to state."""

    source: str
    target: str
    points: tuple[tuple[int, int], ...]
    caught: bool
    """Whether it is what follows a failure."""
    taken: int
    """How often."""

    @property
    def line(self) -> tuple[tuple[int, int], ...]:
        """The corners of its line, which ends where the head begins."""
        (x, y), (dx, dy) = self.points[-1], self._towards
        return (*self.points[:-1], (x - 6 * dx, y - 6 * dy))

    @property
    def head(self) -> tuple[tuple[int, int], ...]:
        """The three corners of its head, the tip first."""
        (x, y), (dx, dy) = self.points[-1], self._towards
        return (
            (x, y),
            (x - 7 * dx - 4 * dy, y - 7 * dy - 4 * dx),
            (x - 7 * dx + 4 * dy, y - 7 * dy + 4 * dx),
        )

    @property
    def _towards(self) -> tuple[int, int]:
        (x1, y1), (x2, y2) = self.points[-2:]
        return (x2 > x1) - (x2 < x1), (y2 > y1) - (y2 < y1)


@dataclass(frozen=True, slots=True)
class Graph:
    """A laid-out state machine."""

    nodes: tuple[Node, ...]
    arrows: tuple[Arrow, ...]
    width: int
    height: int
    hidden: Mapping[str, int]
    """Of how many states the failures lead to a state without an arrow that is drawn."""


@dataclass(frozen=True, slots=True)
class _Edge:
    source: str
    target: str
    caught: bool


def layout(definition: Mapping[str, Any], timeline: Timeline) -> Graph:
    """Return the graph of a definition with the path that was taken."""
    states: Mapping[str, Mapping[str, Any]] = definition["States"]
    start = str(definition["StartAt"])
    names = [visit.state for visit in timeline.visits if visit.state in states]
    taken = Counter(pairwise(names))
    edges, hidden = _edges(states, taken)
    order = _reachable(start, states, edges)
    back = _back_edges(start, edges)
    rows = _rows(order, [edge for edge in edges if edge not in back])
    columns = _columns(start, order, states, edges, rows)
    places = {name: (rows[name], columns[name]) for name in order}
    router = _Router(places)
    looks = _looks(timeline.visits)
    nodes = tuple(_node(name, states[name], router, looks) for name in order)
    arrows = tuple(
        Arrow(
            edge.source, edge.target, router.way(edge), edge.caught, taken.get((edge.source, edge.target), 0)
        )
        for edge in edges
        if edge.source in places and edge.target in places
    )
    width = max((x for arrow in arrows for x, _ in arrow.points), default=0)
    right = max(router.left(column) + WIDTH for _, column in places.values())
    below = max(router.top(row) + HEIGHT for row, _ in places.values())
    return Graph(nodes, arrows, max(width, right) + MARGIN, below + MARGIN, hidden)


# ------------------------------------------------------------------------ what there is


def _edges(
    states: Mapping[str, Mapping[str, Any]], taken: Mapping[tuple[str, str], int]
) -> tuple[list[_Edge], dict[str, int]]:
    """Return the arrows that are drawn, and how many are not by the state that they lead to."""
    plain: dict[tuple[str, str], _Edge] = {}
    caught: dict[tuple[str, str], _Edge] = {}
    for name, state in states.items():
        for target in _following(state):
            plain.setdefault((name, target), _Edge(name, target, caught=False))
        for one in state.get("Catch", ()):
            if (name, one["Next"]) not in plain:
                caught.setdefault((name, one["Next"]), _Edge(name, one["Next"], caught=True))
    crowd = Counter(target for _, target in caught)
    drawn = [edge for edge in caught.values() if crowd[edge.target] <= CROWD or _was(edge, taken)]
    hidden = Counter(edge.target for edge in caught.values() if edge not in drawn)
    return [*plain.values(), *drawn], dict(sorted(hidden.items()))


def _was(edge: _Edge, taken: Mapping[tuple[str, str], int]) -> bool:
    return taken.get((edge.source, edge.target), 0) > 0


def _following(state: Mapping[str, Any]) -> list[str]:
    """Return what follows a state that does not fail; what is told first is what it mostly goes to."""
    found = [str(one["Next"]) for one in state.get("Choices", ())]
    found += [str(state[key]) for key in ("Next", "Default") if key in state]
    return list(dict.fromkeys(found))


def _reachable(start: str, states: Mapping[str, Any], edges: Sequence[_Edge]) -> list[str]:
    """Return the states that the arrows lead to, in the definition's order, the first one first."""
    reached = {start}
    waiting = [start]
    while waiting:
        name = waiting.pop()
        for edge in edges:
            if edge.source == name and edge.target in states and edge.target not in reached:
                reached.add(edge.target)
                waiting.append(edge.target)
    return [start, *(name for name in states if name in reached and name != start)]


def _back_edges(start: str, edges: Sequence[_Edge]) -> set[_Edge]:
    """Return the arrows that close a loop, as a walk from the start finds them."""
    leaving: dict[str, list[_Edge]] = {}
    for edge in edges:
        leaving.setdefault(edge.source, []).append(edge)
    back: set[_Edge] = set()
    done: set[str] = set()
    on_path = {start}
    stack = [(start, iter(leaving.get(start, ())))]
    while stack:
        name, rest = stack[-1]
        ahead = next(rest, None)
        if ahead is None:
            stack.pop()
            on_path.discard(name)
            done.add(name)
        elif ahead.target in on_path:
            back.add(ahead)
        elif ahead.target not in done:
            on_path.add(ahead.target)
            stack.append((ahead.target, iter(leaving.get(ahead.target, ()))))
    return back


# --------------------------------------------------------------------------- where it is


def _rows(order: Sequence[str], forward: Sequence[_Edge]) -> dict[str, int]:
    """Return each state's row: below whatever leads to it."""
    rows = dict.fromkeys(order, 0)
    for _ in order:
        changed = False
        for edge in forward:
            if edge.source in rows and edge.target in rows and rows[edge.target] <= rows[edge.source]:
                rows[edge.target] = rows[edge.source] + 1
                changed = True
        if not changed:
            break
    return rows


def _columns(
    start: str,
    order: Sequence[str],
    states: Mapping[str, Mapping[str, Any]],
    edges: Sequence[_Edge],
    rows: Mapping[str, int],
) -> dict[str, int]:
    """Return each state's column: one for a chain, the first that is free as long as the chain is."""
    columns: dict[str, int] = {}
    held: dict[int, list[tuple[int, int]]] = {}
    heads = [start, *sorted((name for name in order if name != start), key=lambda name: rows[name])]
    for head in heads:
        if head in columns:
            continue
        chain, until = _chain(head, states, columns, rows)
        sources = [columns[edge.source] for edge in edges if edge.target == head and edge.source in columns]
        column = min(sources) + 1 if sources else 0
        while any(first <= until and rows[head] <= last for first, last in held.get(column, ())):
            column += 1
        held.setdefault(column, []).append((rows[head], until))
        columns.update(dict.fromkeys(chain, column))
    return columns


def _chain(
    head: str,
    states: Mapping[str, Mapping[str, Any]],
    columns: Mapping[str, int],
    rows: Mapping[str, int],
) -> tuple[list[str], int]:
    """Return the states that follow one another from here on, and the last row that they need."""
    chain = [head]
    while True:
        ahead = [
            name for name in _following(states[chain[-1]]) if name in rows and rows[name] > rows[chain[-1]]
        ]
        if not ahead:
            return chain, rows[chain[-1]]
        if ahead[0] in columns or ahead[0] in chain:
            # Down to the row above the state that it joins: the arrow to it starts in this column.
            return chain, max(rows[chain[-1]], rows[ahead[0]] - 1)
        chain.append(ahead[0])


# ------------------------------------------------------------------------ how it is reached


@dataclass(slots=True)
class _Router:
    """Finds ways for arrows through the gaps; each gap between columns has a few lanes, taken in turn."""

    places: Mapping[str, tuple[int, int]]
    _lanes: Counter[int] = field(default_factory=Counter)

    def left(self, column: int) -> int:
        """Return where a column begins."""
        return MARGIN + column * (WIDTH + GUTTER)

    def top(self, row: int) -> int:
        """Return where a row begins."""
        return MARGIN // 2 + row * ROW

    def way(self, edge: _Edge) -> tuple[tuple[int, int], ...]:
        """Return the corners of an arrow, its ends among them."""
        (row, column), (to_row, to_column) = self.places[edge.source], self.places[edge.target]
        x, to_x = self.left(column) + WIDTH // 2, self.left(to_column) + WIDTH // 2
        bottom, to_top = self.top(row) + HEIGHT, self.top(to_row)
        if to_row <= row:
            return self._upwards(row, column, to_row, to_column)
        if column == to_column and self._free(column, row + 1, to_row - 1):
            return ((x, bottom), (to_x, to_top))
        if to_row == row + 1:
            middle = (bottom + to_top) // 2
            return ((x, bottom), (x, middle), (to_x, middle), (to_x, to_top))
        if to_column > column:
            # Straight out to the lane before the target's column, and down.
            side, centre = self.left(column) + WIDTH, self.top(row) + HEIGHT // 2
            if all(self._free(one, row, row) for one in range(column + 1, to_column)):
                lane, above = self._lane(to_column), to_top - (ROW - HEIGHT) // 2
                return ((side, centre), (lane, centre), (lane, above), (to_x, above), (to_x, to_top))
        if to_column < column and self._free(column, row + 1, to_row - 1):
            # Down in the own column, which is kept free, and across in the gap above the target.
            above = to_top - (ROW - HEIGHT) // 2
            return ((x, bottom), (x, above), (to_x, above), (to_x, to_top))
        below, above = bottom + (ROW - HEIGHT) // 2, to_top - (ROW - HEIGHT) // 2
        lane = self._lane(max(column, to_column) if to_column != column else column + 1)
        return ((x, bottom), (x, below), (lane, below), (lane, above), (to_x, above), (to_x, to_top))

    def _upwards(self, row: int, column: int, to_row: int, to_column: int) -> tuple[tuple[int, int], ...]:
        centre, to_centre = self.top(row) + HEIGHT // 2, self.top(to_row) + HEIGHT // 2
        if to_column < column:
            lane = self._lane(to_column + 1)
            if not all(self._free(one, row, row) for one in range(to_column + 1, column)):
                x, below = self.left(column) + WIDTH // 2, self.top(row) + HEIGHT + (ROW - HEIGHT) // 2
                return (
                    (x, self.top(row) + HEIGHT),
                    (x, below),
                    (lane, below),
                    (lane, to_centre),
                    (self.left(to_column) + WIDTH, to_centre),
                )
            return (
                (self.left(column), centre),
                (lane, centre),
                (lane, to_centre),
                (self.left(to_column) + WIDTH, to_centre),
            )
        lane = self._lane(column)
        return (
            (self.left(column), centre),
            (lane, centre),
            (lane, to_centre),
            (self.left(to_column), to_centre),
        )

    def _lane(self, column: int) -> int:
        """Return the next lane in the gap before a column."""
        number = self._lanes[column] % LANES
        self._lanes[column] += 1
        return self.left(column) - GUTTER // 2 + (number - LANES // 2) * LANE

    def _free(self, column: int, first: int, last: int) -> bool:
        return not any(at == column and first <= row <= last for row, at in self.places.values())


# --------------------------------------------------------------------------- what it did


def _looks(visits: Sequence[Visit]) -> dict[str, list[Visit]]:
    found: dict[str, list[Visit]] = {}
    for visit in visits:
        found.setdefault(visit.state, []).append(visit)
    return found


def _node(
    name: str, state: Mapping[str, Any], router: _Router, visited: Mapping[str, Sequence[Visit]]
) -> Node:
    row, column = router.places[name]
    visits = visited.get(name, ())
    appearance: Appearance = visits[-1].outcome if visits else "unvisited"
    return Node(
        name=name,
        kind=str(state.get("Type", "")),
        comment=str(state.get("Comment", "")),
        x=router.left(column),
        y=router.top(row),
        appearance=appearance,
        visits=len(visits),
        retries=sum(visit.retries for visit in visits),
        seconds=sum(visit.seconds for visit in visits),
        first_visit=visits[0].number if visits else None,
    )
