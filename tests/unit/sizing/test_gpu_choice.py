"""Types with GPUs among those that a plan chooses from."""

from __future__ import annotations

from dataclasses import replace

import pytest

from benchmarks import shapes
from benchmarks.shapes import ModelShape
from pipeline.errors import ModelDoesNotFit, Problem
from pipeline.limits import GiB, MiB
from pipeline.sizing import fit, gpu_fit, instance_choice, instance_types
from pipeline.sizing.companion_memory import Beside, Projector
from pipeline.sizing.fit import Fit
from pipeline.sizing.instance_types import CUDA, PLATFORMS, X86_64, Instance
from pipeline.sizing.preference import FASTEST, NOTHING_ASKED, Wish
from pipeline.sizing.serving import LLAMA_SERVER
from pipeline.state_data.plan_types import Offer
from tests.unit.sizing.test_fit import shape_of
from tests.unit.sizing.test_gpu_fit import LLAMA_70B

ALL = instance_types.table(platforms=PLATFORMS)


def needs(model: ModelShape, n_ctx: int = 2048, **how: object) -> Fit:
    """Return what a model needs behind llama-server."""
    shape = shape_of(model)
    return fit.fit(
        shape,
        archive_bytes=shape.tensor_bytes,
        extracted_bytes=shape.tensor_bytes,
        n_ctx=n_ctx,
        n_batch=512,
        serving=LLAMA_SERVER,
        bare=True,
        **how,  # type: ignore[arg-type]
    )


def named(name: str) -> Instance:
    """Return a type by its name."""
    found = instance_types.find(name, ALL)
    assert found is not None
    return found


def chosen(
    model: ModelShape, asked: str | None = None, wish: Wish = NOTHING_ASKED, **how: object
) -> tuple[Offer, ...]:
    """Return what is offered for a model."""
    return instance_choice.choose("m.gguf", needs(model, **how), ALL, asked, wish)  # type: ignore[arg-type]


def refused(model: ModelShape, asked: str | None) -> Problem:
    """Return why a type is refused."""
    with pytest.raises(ModelDoesNotFit) as refusal:
        instance_choice.choose_slots("m.gguf", needs(model), ALL, asked, None)
    (problem,) = refusal.value.problems
    return problem


@pytest.mark.parametrize(
    ("model", "wish", "names"),
    [
        pytest.param(
            shapes.GEMMA_27B,
            Wish(),
            ["ml.g6.xlarge", "ml.g5.xlarge", "ml.g6e.xlarge"],
            id="no CPU is in time",
        ),
        pytest.param(
            shapes.GEMMA_27B,
            Wish(min_tokens_per_s=10),
            ["ml.g6.xlarge", "ml.g5.xlarge", "ml.g6e.xlarge"],
            id="nor as fast as is required",
        ),
        pytest.param(shapes.GEMMA_27B, Wish(min_tokens_per_s=60), ["ml.g7e.2xlarge"], id="the fastest"),
        pytest.param(
            LLAMA_70B, Wish(), ["ml.g6e.xlarge", "ml.g7e.2xlarge"], id="two GPUs' worth on a large one"
        ),
    ],
)
def test_what_cpus_cannot_do_goes_to_gpus(model: ModelShape, wish: Wish, names: list[str]) -> None:
    """The cheapest that answers in time, then dearer and faster ones; each with all of its layers there."""
    found = chosen(model, wish=wish)

    assert [one.name for one in found] == names
    assert {one.platform for one in found} == {CUDA}
    assert {one.gpu_layers for one in found} == {gpu_fit.whole(shape_of(model))}
    assert all(one.first_token_s and one.memory.endswith("(computed, not measured)") for one in found)


def test_a_small_model_stays_on_cpus() -> None:
    """The first offer decides the platform: a GPU that is dearer and faster is not among those to step to."""
    found = chosen(shapes.LLAMA_1B)

    assert {one.platform for one in found} == {X86_64}
    assert {one.gpu_layers for one in found} == {None}
    assert {one.platform for one in chosen(shapes.LLAMA_1B, wish=Wish(FASTEST))} == {CUDA}


def test_several_gpus_share_the_layers() -> None:
    """A 70B on four of 24 GB, as the arithmetic says; it takes turns, and is no faster than one."""
    (offer,) = chosen(LLAMA_70B, "ml.g5.12xlarge")

    assert offer.memory.startswith("81 of 81 layers on 4 x A10G; the fullest: weights ")
    assert offer.tokens_per_s == pytest.approx(0.75 * 600 / 42.5, rel=0.05)


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        pytest.param("ml.g5.xlarge", "MiB of 22,559 MiB; host: ", id="one GPU of 24 GB"),
        pytest.param("ml.g4dn.xlarge", "MiB of 14,909 MiB; host: ", id="one of 16 GB"),
    ],
)
def test_what_the_gpus_do_not_hold_is_refused_with_the_arithmetic(asked: str, said: str) -> None:
    """And with a type that does."""
    problem = refused(LLAMA_70B, asked)

    assert problem.error == "InstanceTooSmall"
    assert problem.seen.startswith(f"instance_type {asked!r}: 81 of 81 layers on 1 x ")
    assert said in problem.seen
    assert problem.fix == "set instance_type to 'ml.g6e.xlarge'"


def test_what_nothing_holds_says_it_of_gpus_as_well() -> None:
    """The largest of each kind."""
    problem = refused(replace(shapes.GEMMA_27B, feed_forward=21_504 * 64), None)

    assert problem.error == "TooMuchMemory"
    assert "; on GPUs ml.g6e.12xlarge: 63 of 63 layers" in problem.seen
    assert "what ml.r5.24xlarge has" in problem.wanted


def test_a_split_is_for_whoever_names_the_type() -> None:
    """As many layers as fit, and the rest on the host; unasked, a GPU of 16 GB is no type for 16.5 GB."""
    assert not instance_choice.holds(needs(shapes.GEMMA_27B), named("ml.g4dn.2xlarge"))

    needed, (offer,) = instance_choice.choose_slots(
        "m.gguf", needs(shapes.GEMMA_27B), ALL, "ml.g4dn.2xlarge", None
    )

    assert offer.gpu_layers == needed.demand.n_gpu_layers
    assert 40 < (offer.gpu_layers or 0) < 63
    assert f"{63 - (offer.gpu_layers or 0)} of them on the host" in offer.memory
    assert offer.first_token_s is None
    assert needed.demand.n_parallel == 1


def test_layers_that_are_asked_for_are_those() -> None:
    """Fewer than would fit, on any type; more than there are is all of them."""
    asked = needs(shapes.GEMMA_27B, n_gpu_layers=20)
    found = instance_choice.choose("m.gguf", asked, ALL, "ml.g5.2xlarge")
    assert [one.gpu_layers for one in found] == [20]
    assert "20 of 63 layers" in found[0].memory

    every = instance_choice.choose("m.gguf", needs(shapes.GEMMA_27B, n_gpu_layers=999), ALL, "ml.g5.xlarge")
    assert every[0].gpu_layers == 63


def test_slots_follow_from_the_memory_of_the_gpu_that_is_taken() -> None:
    """Eight at most, whatever CPUs there are; with less room fewer, and the caches' numbers make more of it."""
    few, offered = instance_choice.choose_slots("m.gguf", needs(shapes.GEMMA_27B), ALL, None, None)
    small, _ = instance_choice.choose_slots("m.gguf", needs(shapes.LLAMA_1B), ALL, "ml.g4dn.xlarge", None)
    more, _ = instance_choice.choose_slots(
        "m.gguf", needs(shapes.GEMMA_27B, cache_type="q8_0"), ALL, None, None
    )

    assert few.demand.n_parallel == 6
    assert not instance_choice.holds(needs(shapes.GEMMA_27B).with_slots(7), named(offered[0].name))
    assert small.demand.n_parallel == instance_choice.MOST_SLOTS
    assert more.demand.n_parallel == instance_choice.MOST_SLOTS


def test_the_host_holds_what_the_server_keeps_for_each_slot() -> None:
    """Checkpoints and saved prompts lie in its memory, wherever the layers do."""
    needed = needs(shapes.GEMMA_27B)
    (offer,) = instance_choice.choose("m.gguf", needed, ALL, "ml.g5.xlarge")
    own = sum(line.bytes for line in needed.lines if line.name in {"server", "checkpoints", "saved prompts"})
    laid = gpu_fit.place(needed.demand.shape, named("ml.g5.xlarge"), gpu_fit.GpuSettings(2048))
    assert laid is not None
    host = (laid.host_bytes + own) / MiB

    assert f"host: {host:,.0f} MiB + 2,048 MiB of 16,384 MiB" in offer.memory
    exact = (laid.host_bytes + own + instance_choice.HOST_RESERVE) / GiB
    assert instance_choice.holds(needed, replace(named("ml.g5.xlarge"), memory_gib=exact))
    assert not instance_choice.holds(needed, replace(named("ml.g5.xlarge"), memory_gib=exact - 0.001))


def test_what_lies_beside_the_model_counts_on_the_gpu() -> None:
    """llama.cpp does not say on which one it will lie."""
    beside = Beside(projector=Projector(tensor_bytes=GiB))
    (plain,) = chosen(shapes.GEMMA_27B, "ml.g5.xlarge")
    (offer,) = chosen(shapes.GEMMA_27B, "ml.g5.xlarge", beside=beside)

    assert "projector 1,024" in offer.memory
    assert "projector" not in plain.memory


def test_a_type_whose_price_nobody_told_is_not_unknown() -> None:
    """It says how a price is had."""
    problem = refused(shapes.GEMMA_27B, "ml.m8g.4xlarge")

    assert problem.error == "PriceUnknown"
    assert "sealift prices --refresh" in problem.fix
    assert refused(shapes.GEMMA_27B, "ml.m99.4xlarge").error == "UnknownInstanceType"
