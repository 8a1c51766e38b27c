"""Slots: what each takes, how many an instance is given, and how many more may wait."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks import shapes
from pipeline.errors import ModelDoesNotFit
from pipeline.limits import GiB, MiB
from pipeline.planning import plan
from pipeline.sizing import fit, instance_choice, instance_types, llama_memory
from pipeline.sizing.fit import Fit
from pipeline.sizing.instance_choice import HOST_RESERVE, MOST_SLOTS
from pipeline.sizing.instance_types import Instance
from pipeline.sizing.layers import Layer
from pipeline.sizing.llama_memory import Shape
from pipeline.sizing.serving import CHECKPOINTS, LLAMA_SERVER, PREBUILT
from tests.unit.sizing.test_fit import shape_of

PLAIN = Shape(
    tensor_bytes=100 * MiB,
    layers=(Layer(heads=8, kv_heads=2, key=64, value=64),) * 4,
    embedding_length=512,
    feed_forward_length=1024,
    vocabulary_size=1000,
)
SLIDING = replace(PLAIN, layers=(replace(PLAIN.layers[0], slides=True),) * 3 + PLAIN.layers[:1], window=600)
RECURRENT = replace(PLAIN, layers=(Layer(heads=0, kv_heads=0, key=0, value=0, state=5000),) * 4)
EACH = pytest.mark.parametrize(
    "shape",
    [
        pytest.param(PLAIN, id="plain"),
        pytest.param(SLIDING, id="windows"),
        pytest.param(RECURRENT, id="recurrent"),
    ],
)


def lines(shape: Shape, n_parallel: int = 1, *, n_ctx: int = 2048, checkpoints: int = 0) -> dict[str, int]:
    """Return the bytes of each line."""
    found = llama_memory.footprint(
        shape, n_ctx=n_ctx, n_batch=512, n_parallel=n_parallel, checkpoints=checkpoints
    )
    return {line.name: line.bytes for line in found}


def needs(shape: Shape, *, n_ctx: int = 2048) -> Fit:
    """Return what a model behind llama-server needs with one slot."""
    size = shape.tensor_bytes
    return fit.fit(
        shape,
        archive_bytes=size,
        extracted_bytes=size,
        n_ctx=n_ctx,
        n_batch=512,
        serving=LLAMA_SERVER,
        bare=True,
    )


def an_instance(
    memory_gib: float, *, vcpus: int = 4, name: str = "ml.m5.own", bandwidth: float = 10
) -> Instance:
    """Return a type of the request's own."""
    return Instance(name, vcpus, memory_gib, 0.1, bandwidth)


def chosen(needed: Fit, *table: Instance, n_parallel: int | None = None, asked: str | None = None) -> Fit:
    """Return what is planned."""
    return instance_choice.choose_slots("model.gguf", needed, table, asked, n_parallel)[0]


# ----------------------------------------------------------------------- what a slot takes


@EACH
@pytest.mark.parametrize("n", [2, 3, 8])
def test_each_slot_has_caches_and_states_of_its_own(shape: Shape, n: int) -> None:
    """llama-server's sequences share the weights and what is computed with, and nothing that is kept."""
    one, several = lines(shape, checkpoints=1), lines(shape, n, checkpoints=1)

    for name in ("kv cache", "state", "checkpoints"):
        assert several.get(name, 0) == n * one.get(name, 0)
    for name in ("weights", "vocabulary", "llama.cpp"):
        assert several[name] == one[name]
    logits_and_states = llama_memory.SAMPLING_BYTES * shape.vocabulary_size + 4 * max(
        layer.state for layer in shape.layers
    )
    assert several["compute"] - one["compute"] == (n - 1) * logits_and_states


def test_a_context_that_is_no_multiple_is_padded_for_each_slot() -> None:
    """llama.cpp divides the whole, and rounds the share up: 3 times 1000 tokens are 3 times 1024 cells."""
    assert lines(PLAIN, 3, n_ctx=1000)["kv cache"] == 3 * 4 * 2 * 128 * 2 * 1024


def test_slots_fill_a_batch_together() -> None:
    """No batch is longer than the context of all slots: so of short ones several are computed at a time."""
    one, two = (lines(PLAIN, n, n_ctx=256)["compute"] for n in (1, 2))
    logits = llama_memory.SAMPLING_BYTES * PLAIN.vocabulary_size

    assert two - logits > 1.5 * one


@pytest.mark.parametrize(
    ("shape", "size"),
    [
        pytest.param(PLAIN, 0, id="a whole context rolls back by itself"),
        pytest.param(SLIDING, 3 * 2 * 128 * 2 * 600, id="of windows what a token yet to come sees"),
        pytest.param(replace(SLIDING, window=5000), 3 * 2 * 128 * 2 * 2048, id="of long ones the context"),
        pytest.param(RECURRENT, 4 * 5000 * 4, id="states whole"),
    ],
)  # fmt: skip
def test_a_checkpoint_holds_what_cannot_be_rolled_back(shape: Shape, size: int) -> None:
    """As many of each slot as its server keeps, and none where it keeps none."""
    assert lines(shape, 3, checkpoints=2).get("checkpoints", 0) == 3 * 2 * size
    assert "checkpoints" not in lines(shape, 3)


def test_the_checkpoints_are_in_the_fit_of_a_server_that_keeps_them() -> None:
    """TorchServe's functions have none."""
    with_them = needs(RECURRENT)
    without = fit.fit(
        RECURRENT, archive_bytes=1, extracted_bytes=1, n_ctx=2048, n_batch=512, serving=PREBUILT
    )

    assert [line.bytes for line in with_them.lines if line.name == "checkpoints"] == [CHECKPOINTS * 80_000]
    assert "checkpoints" not in {line.name for line in without.lines}
    assert needs(PLAIN).without_checkpoints().warnings == ()


@EACH
def test_the_arithmetic_says_of_how_many_slots_it_is(shape: Shape) -> None:
    """One slot reads as before there were any."""
    kept = [
        line for line in needs(shape).with_slots(4).lines if line.name in ("kv cache", "state", "checkpoints")
    ]

    assert all(line.how.startswith("4 slots x ") for line in kept if line.bytes)
    assert not any("slots" in line.how for line in needs(shape).lines)


# ----------------------------------------------------------------------- how many


def exactly(shape: Shape, slots: int, *, spare_bytes: int = 0) -> float:
    """Return the GiB of a type that holds a model with so many slots, and so many bytes."""
    return (needs(shape).with_slots(slots).memory_bytes + HOST_RESERVE + spare_bytes) / GiB


@pytest.mark.parametrize(
    ("spare_bytes", "slots"),
    [pytest.param(0, 3, id="just enough"), pytest.param(-1, 2, id="a byte too little")],
)
def test_as_many_slots_as_memory_holds(spare_bytes: int, slots: int) -> None:
    """To the byte."""
    memory = exactly(PLAIN, 3, spare_bytes=spare_bytes)

    assert chosen(needs(PLAIN), an_instance(memory)).demand.n_parallel == slots


@pytest.mark.parametrize(("vcpus", "slots"), [(1, 2), (2, 4), (3, 6), (4, 8), (64, 8)])
def test_more_slots_than_the_cpus_can_use_are_not_planned(vcpus: int, slots: int) -> None:
    """Two of each CPU, and eight at most, however much memory there is."""
    assert chosen(needs(PLAIN), an_instance(512, vcpus=vcpus)).demand.n_parallel == slots


def test_one_slot_is_planned_where_there_is_room_for_no_more() -> None:
    """The model that fits a type with one slot keeps it: slots decide no type."""
    small, large = (
        an_instance(exactly(PLAIN, 1)),
        replace(an_instance(64), name="ml.m5.large", usd_per_hour=9),
    )
    needed, offers = instance_choice.choose_slots("model.gguf", needs(PLAIN), (small, large), None, None)

    assert needed.demand.n_parallel == 1
    assert offers[0].name == small.name


def test_a_type_that_may_be_stepped_to_has_the_slots_that_it_holds() -> None:
    """The first type has what suits it; another one has as many, or fewer where its memory is smaller."""
    first = an_instance(64, name="ml.m5.first", vcpus=4)
    second = replace(an_instance(exactly(PLAIN, 5), name="ml.c5.second", bandwidth=20), usd_per_hour=0.2)
    third = replace(an_instance(256, name="ml.r5.third", vcpus=64, bandwidth=30), usd_per_hour=0.3)
    needed, offers = instance_choice.choose_slots(
        "model.gguf", needs(PLAIN), (first, second, third), None, None
    )

    assert [(one.name, one.slots) for one in offers] == [(first.name, 8), (second.name, 5), (third.name, 8)]
    assert needed.demand.n_parallel == 8
    held = f"{needs(PLAIN).with_slots(5).memory_bytes / MiB:,.0f} MiB needed"
    assert offers[1].memory.startswith(held)


def test_a_model_for_embeddings_has_one_slot() -> None:
    """A text of its keeps all CPUs busy; who asks for more gets them."""
    embeds = replace(PLAIN, embeds=True)

    assert chosen(needs(embeds), an_instance(64)).demand.n_parallel == 1
    assert chosen(needs(embeds), an_instance(64), n_parallel=3).demand.n_parallel == 3


@pytest.mark.parametrize("asked", [1, 12, 64])
def test_the_slots_of_a_request_win(asked: int) -> None:
    """Also above what would be planned, and below."""
    assert chosen(needs(PLAIN), an_instance(512), n_parallel=asked).demand.n_parallel == asked


def test_slots_of_a_request_may_need_a_larger_type() -> None:
    """They are wanted, so the cheapest type that holds them is taken."""
    small, large = (
        an_instance(exactly(PLAIN, 3)),
        replace(an_instance(64), name="ml.m5.large", usd_per_hour=9),
    )
    offers = [
        instance_choice.choose_slots("model.gguf", needs(PLAIN), (small, large), None, n)[1][0].name
        for n in (3, 4)
    ]

    assert offers == [small.name, large.name]


@pytest.mark.parametrize("named", [True, False], ids=["a type that was requested", "any type"])
def test_slots_that_fit_no_type_are_refused_with_the_arithmetic(named: bool) -> None:
    """What the caches take, and how many slots there is memory for."""
    table = (an_instance(exactly(PLAIN, 3)),)
    asked = table[0].name if named else None
    with pytest.raises(ModelDoesNotFit) as refusal:
        instance_choice.choose_slots("model.gguf", needs(PLAIN), table, asked, 4)

    (problem,) = refusal.value.problems
    assert "kv cache 16 MiB" in str(refusal.value)
    assert "with n_parallel 4" in problem.seen
    assert problem.fix.endswith("; or set n_parallel to 3")


def test_a_model_that_one_slot_is_too_much_for_is_advised_no_slots() -> None:
    """Fewer would not help."""
    with pytest.raises(ModelDoesNotFit) as refusal:
        instance_choice.choose_slots("model.gguf", needs(PLAIN), (an_instance(2),), None, 4)

    assert "set n_parallel" not in refusal.value.problems[0].fix


def test_an_answer_is_as_fast_whatever_the_slots() -> None:
    """It reads the cache of its own slot; so no type falls out of the offers for having many."""
    needed = needs(shape_of(shapes.LLAMA_1B), n_ctx=8192)
    one, eight = (instance_choice.offers(needed.with_slots(n), instance_types.TABLE[2:3])[0] for n in (1, 8))

    assert one.tokens_per_s == eight.tokens_per_s
    assert one.memory != eight.memory


SHAPES = st.builds(
    lambda layers, kv_heads, window, state, embeds, weights: replace(
        PLAIN,
        tensor_bytes=weights,
        layers=tuple(
            Layer(8, kv_heads, 64, 64, slides=bool(window) and n % 2 == 0, state=state) for n in range(layers)
        ),
        window=window,
        embeds=embeds,
    ),
    st.integers(1, 80),
    st.integers(0, 8),
    st.sampled_from((0, 128, 4096)),
    st.integers(0, 1_000_000),
    st.booleans(),
    st.integers(1, 60 * GiB),
)


@given(shape=SHAPES, n_ctx=st.integers(64, 131_072), asked=st.none() | st.integers(1, 64))
def test_no_plan_exceeds_a_types_memory(shape: Shape, n_ctx: int, asked: int | None) -> None:
    """Every type of a plan holds its slots; and unasked there are as many as the bounds and the first type allow."""
    needed = needs(shape, n_ctx=n_ctx)
    try:
        slotted, offers = instance_choice.choose_slots("m.gguf", needed, instance_types.TABLE, None, asked)
    except ModelDoesNotFit:
        assert not instance_choice.offers(needed.with_slots(asked or 1), instance_types.TABLE)
        return
    slots = slotted.demand.n_parallel
    memory = [offer.memory_gib * GiB - HOST_RESERVE for offer in offers]

    for offer, room in zip(offers, memory, strict=True):
        own = offer.slots or 0
        assert 1 <= own <= slots
        assert needed.with_slots(own).memory_bytes <= room
        assert own == slots or needed.with_slots(own + 1).memory_bytes > room
    assert offers[0].slots == slots
    if asked is not None:
        assert {offer.slots for offer in offers} == {asked}
    elif shape.embeds:
        assert slots == 1
    else:
        most = min(MOST_SLOTS, 2 * offers[0].vcpus)
        assert 1 <= slots <= most
        assert slots == most or needed.with_slots(slots + 1).memory_bytes > memory[0]


# ----------------------------------------------------------------------- who may wait


@pytest.mark.parametrize(
    ("tokens_per_s", "slots", "waiting"),
    [
        pytest.param(1.0, 8, 4, id="slow: what an image allows by default"),
        pytest.param(20.0, 4, 4, id="8 answers in time, 4 of them in the slots"),
        pytest.param(22.5, 4, 5, id="9 in time"),
        pytest.param(50.0, 4, 16, id="20 in time"),
        pytest.param(10_000.0, 1, 64, id="a bound on all queues"),
    ],
)
def test_as_many_wait_as_are_answered_in_time(tokens_per_s: float, slots: int, waiting: int) -> None:
    """By the type's speed, for answers of 150 tokens within 60 s."""
    (offer,) = instance_choice.offers(needs(PLAIN), (an_instance(64),))
    fast: Any = replace(offer, tokens_per_s=tokens_per_s)

    assert instance_choice.waiting(fast, slots, tokens=150, timeout_s=60) == waiting


# ----------------------------------------------------------------------- checkpoints on serverless


@pytest.mark.parametrize(
    ("spare_bytes", "kept"),
    [
        pytest.param(0, 1, id="they fit the size that is taken anyway"),
        pytest.param(1, 0, id="they would cost the next size"),
    ],
)
def test_checkpoints_are_kept_where_they_cost_no_larger_size(spare_bytes: int, kept: int) -> None:
    """To the byte: a chat's next turn is cheaper with them, and no size is paid for that."""
    bare = needs(RECURRENT)
    room = (1024 * MiB - bare.memory_bytes + spare_bytes) / (1 + fit.RESERVE)
    filled = replace(RECURRENT, tensor_bytes=RECURRENT.tensor_bytes + int(room) + 2 * spare_bytes)
    needed, decision = plan.serverless_size(needs(filled), None, ())

    assert decision.memory_mb == 1024
    assert needed.demand.checkpoints_kept == kept
    assert any("no checkpoint is kept" in warning for warning in needed.warnings) is not bool(kept)


@pytest.mark.parametrize(("asked_mb", "kept"), [(1024, 0), (2048, 1)])
def test_of_a_size_that_was_requested_checkpoints_take_what_is_left(asked_mb: int, kept: int) -> None:
    """A size that holds the model without them is not refused for them."""
    room = 1024 * MiB - needs(RECURRENT).without_checkpoints().memory_bytes
    filled = replace(RECURRENT, tensor_bytes=RECURRENT.tensor_bytes + int(room / (1 + fit.RESERVE)))
    needed, decision = plan.serverless_size(needs(filled), asked_mb, ())

    assert decision.memory_mb == asked_mb
    assert needed.demand.checkpoints_kept == kept
    assert not decision.problems


def test_what_fits_no_size_is_refused_without_checkpoints_in_the_sum() -> None:
    """They are the first to go, so what is advised is advised without them."""
    needed, decision = plan.serverless_size(needs(replace(RECURRENT, tensor_bytes=9 * GiB)), None, ())

    assert decision.memory_mb is None
    assert needed.demand.checkpoints_kept == 0
