"""Whose turn it is, decided without a clock."""

from __future__ import annotations

from itertools import pairwise

import pytest
from adapter.turns import MOST_RETRY_S, Refused, Ticket, Turns
from hypothesis import given
from hypothesis import strategies as st


def entered(turns: Turns, caller: str | None, now: float = 0.0) -> Ticket:
    """Return the place of a request that is let in."""
    place = turns.enter(caller, now)
    assert isinstance(place, Ticket)
    return place


def served(turns: Turns, ticket: Ticket) -> list[str]:
    """Let one after the other leave; return their callers in the order of their turns."""
    order = []
    while True:
        order.append(str(ticket.caller))
        granted = turns.leave(ticket, 0.0)
        if not granted:
            return order
        (ticket,) = granted


def test_as_many_at_once_as_there_are_slots() -> None:
    """The next one waits, until one of them leaves."""
    turns = Turns(slots=2, max_waiting=1)
    first, second, third = (entered(turns, None, float(n)) for n in range(3))

    assert (first.granted_at, second.granted_at, third.granted_at) == (0.0, 1.0, None)
    assert (turns.running, turns.waiting) == (2, 1)
    assert turns.leave(second, 5.0) == [third]
    assert third.granted_at == 5.0
    assert (turns.running, turns.waiting) == (2, 0)


def test_one_too_many_is_refused_and_told_how_many_are_inside() -> None:
    """The bound is of those that wait; with none allowed, a free slot is taken all the same."""
    turns = Turns(slots=1, max_waiting=1)
    entered(turns, None)
    entered(turns, None)
    refused = turns.enter("another", 0.0)

    assert refused == Refused(2, retry_after_s=1)
    assert turns.waiting == 1
    assert isinstance(Turns(slots=1, max_waiting=0).enter(None, 0.0), Ticket)


def test_callers_come_around_whatever_each_of_them_has_sent() -> None:
    """Who has sent many gets one turn for each turn of another that waits."""
    turns = Turns(slots=1, max_waiting=100)
    ticket = entered(turns, "many")
    for caller in ("many", "many", "many", "few", "few", "one"):
        entered(turns, caller)

    assert served(turns, ticket) == ["many", "many", "few", "one", "many", "few", "many"]


def test_one_caller_is_served_in_its_order() -> None:
    """Without a name, all are one caller."""
    turns = Turns(slots=1, max_waiting=100)
    now, *later = (entered(turns, None) for _ in range(5))

    for after in later:
        assert turns.leave(now, 0.0) == [after]
        now = after


def test_nobody_overtakes_those_that_wait() -> None:
    """A slot that is free only because nobody has been told yet is not for who comes then."""
    turns = Turns(slots=1, max_waiting=5)
    entered(turns, "a")
    entered(turns, "b")
    turns.slots = 2

    assert entered(turns, "c").granted_at is None
    assert turns.spare("a", 0.0) is None


def test_who_gives_up_leaves_no_gap() -> None:
    """Whether it waited or had just got its turn; who has left twice changes nothing."""
    turns = Turns(slots=1, max_waiting=5)
    first, second, third = (entered(turns, caller) for caller in "abc")

    assert turns.leave(second, 0.0) == []
    assert turns.leave(second, 0.0) == []
    assert turns.leave(first, 0.0) == [third]
    assert turns.leave(third, 0.0) == []
    assert (turns.running, turns.waiting) == (0, 0)


def test_a_spare_slot_is_given_only_where_nobody_waits() -> None:
    """It counts as a turn as long as it is held."""
    turns = Turns(slots=2, max_waiting=5)
    entered(turns, "a")
    spare = turns.spare("a", 0.0)

    assert spare is not None
    assert turns.spare("a", 0.0) is None
    waiting = entered(turns, "b")
    assert waiting.granted_at is None
    assert turns.leave(spare, 1.0) == [waiting]


def test_retry_after_follows_from_how_long_turns_last() -> None:
    """A second as long as nothing is known; else the mean of one, for all that wait before, over the slots."""
    turns = Turns(slots=2, max_waiting=3)
    assert turns.retry_after_s() == 1
    first, second = entered(turns, None, 0.0), entered(turns, None, 0.0)
    turns.leave(first, 10.0)
    assert turns.retry_after_s() == 5
    for _ in range(3):
        entered(turns, None, 10.0)
    assert turns.waiting == 2
    assert turns.retry_after_s() == 15
    turns.leave(second, 20.0)  # 0.8 * 10 + 0.2 * 20 = 12
    assert turns.retry_after_s() == 12


def test_retry_after_is_bounded() -> None:
    """However long the queue is, a client looks again within a minute; and never at once."""
    turns = Turns(slots=1, max_waiting=1000)
    turns.leave(entered(turns, None, 0.0), 100.0)
    assert turns.retry_after_s() == MOST_RETRY_S

    quick = Turns(slots=1, max_waiting=1)
    quick.leave(entered(quick, None, 0.0), 0.001)
    assert quick.retry_after_s() == 1


@given(st.lists(st.sampled_from("abcd"), max_size=30), st.integers(1, 4))
def test_everybody_gets_a_turn_and_nobody_two_before_another_has_one(callers: list[str], slots: int) -> None:
    """Between two turns of one caller, each other one that waited all the time has had one."""
    turns = Turns(slots=slots, max_waiting=100)
    running = [entered(turns, "before") for _ in range(slots)]
    for caller in callers:
        entered(turns, caller)
    order = []
    while running:
        granted = turns.leave(running.pop(0), 0.0)
        order += [str(ticket.caller) for ticket in granted]
        running += granted

    assert sorted(order) == sorted(callers)
    assert (turns.running, turns.waiting) == (0, 0)
    for caller in set(callers):
        places = [n for n, one in enumerate(order) if one == caller]
        for one, after in pairwise(places):
            assert set(order[after:]) - {caller} <= set(order[one:after])


@pytest.mark.parametrize("slots", [1, 3])
def test_more_slots_let_more_in(slots: int) -> None:
    """The number is known only once the model has been loaded."""
    turns = Turns(slots=1, max_waiting=9)
    turns.slots = slots

    assert [entered(turns, None).granted_at is None for _ in range(4)] == [False] * slots + [True] * (
        4 - slots
    )
