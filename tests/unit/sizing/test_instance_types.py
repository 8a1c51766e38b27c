"""The table of instance types, what is offered of it, and what it costs."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import botocore.session
import pytest

from benchmarks import shapes
from benchmarks.shapes import ModelShape
from pipeline.errors import ModelDoesNotFit
from pipeline.limits import GB, GiB
from pipeline.sizing import fit, hourly_costs, instance_choice, instance_types
from pipeline.sizing.preference import FASTEST, Wish
from tests.unit.sizing.test_fit import shape_of

OWN = instance_types.Instance(
    "ml.r9x.xlarge", 4, 32, 0.25, 30.0, how="as the request says", source="as the request says"
)

HUGE = replace(shapes.GEMMA_27B, feed_forward=21_504 * 64, embedding=5376)
"""More weights than any instance of the table has memory."""


def needs(model: ModelShape, *, bare: bool = True) -> fit.Fit:
    """Return what a model needs."""
    shape = shape_of(model)
    size = shape.tensor_bytes
    return fit.fit(shape, archive_bytes=size, extracted_bytes=size, n_ctx=2048, n_batch=512, bare=bare)


def test_the_types_are_ones_that_sagemaker_has() -> None:
    """The service model names them; each once, those to choose from cheapest first, with figures that make sense."""
    service = botocore.session.get_session().get_service_model("sagemaker")
    known = service.shape_for("ProductionVariantInstanceType").metadata["enum"]
    names = [one.name for one in instance_types.TYPES]

    assert set(names) <= set(known)
    assert len(set(names)) == len(names)
    assert instance_types.LISTED.keys() <= set(names)
    assert {one.name for one in instance_types.TABLE} <= instance_types.LISTED.keys()
    assert [one.usd_per_hour for one in instance_types.TABLE] == sorted(
        one.usd_per_hour for one in instance_types.TABLE
    )
    for one in instance_types.TABLE:
        assert 0 < one.bandwidth_gb_s <= 307.2
        assert one.memory_gib >= one.vcpus * 2
        assert one.source
        assert one.how


def test_the_data_agree_with_each_other() -> None:
    """GPUs are counted where there is one, with less memory than its name-plate; a disk is known by the name too."""
    for one in instance_types.TYPES:
        assert (one.gpu is None) == (one.gpus == 0)
        assert (one.disk_gb is not None) == instance_types.has_own_disk(one.name)
        assert one.gpu is None or one.gpu.usable_gib < one.gpu.memory_gib
    a10g = instance_types.facts("ml.g5.48xlarge")
    assert a10g is not None
    assert (a10g.gpus, a10g.vcpus, a10g.memory_gib, a10g.disk_gb) == (8, 192, 768, 7600)
    assert instance_types.facts("ml.none.large") is None


def test_what_has_no_price_or_nothing_planned_for_it_is_not_chosen() -> None:
    """Without an image for them, GPUs and Graviton are none; a price that AWS told makes a type one of the choice."""
    names = {one.name for one in instance_types.TABLE}
    assert "ml.g5.xlarge" in instance_types.LISTED
    assert not names & {"ml.g5.xlarge", "ml.c7g.large", "ml.c6i.large"}

    said = instance_types.ListedPrice(0.05, "AWS")
    read = dict.fromkeys(["ml.c6i.large", "ml.c7g.large", "ml.r5.large", "ml.unknown.large"], said)
    table = instance_types.table(prices=read)
    assert {one.name for one in table} == {*names, "ml.c6i.large"}
    every = instance_types.table(prices=read, platforms=instance_types.PLATFORMS)
    assert {"ml.c7g.large", "ml.g5.xlarge"} <= {one.name for one in every}
    assert [(one.name, one.source) for one in table[:2]] == [("ml.c6i.large", "AWS"), ("ml.r5.large", "AWS")]


def test_a_type_may_be_added_or_corrected() -> None:
    """Another region's price takes the place of the known one; a new type is sorted in."""
    dearer = replace(OWN, name="ml.r5.xlarge", usd_per_hour=0.4)

    table = instance_types.table([OWN, dearer])

    assert [one.usd_per_hour for one in table] == sorted(one.usd_per_hour for one in table)
    assert len(table) == len(instance_types.TABLE) + 1
    corrected = instance_types.find("ml.r5.xlarge", table)
    assert corrected is not None
    assert (corrected.usd_per_hour, corrected.source) == (0.4, "as the request says")
    assert instance_types.find("ml.r9x.xlarge") is None


def test_the_cheapest_that_holds_comes_first_and_then_faster_ones() -> None:
    """Of those in time: cheaper ones take minutes for an answer. The alternative is dearer and faster."""
    found = instance_choice.offers(needs(shapes.GEMMA_27B), instance_types.TABLE)

    assert [one.name for one in found] == ["ml.c7i.8xlarge", "ml.c5.9xlarge"]
    assert [one.usd_per_hour for one in found] == sorted(one.usd_per_hour for one in found)
    assert [one.tokens_per_s for one in found] == sorted({one.tokens_per_s for one in found})


def test_every_offer_shows_its_arithmetic() -> None:
    """Memory against the instance's own less the host's; bandwidth over what is read for each token."""
    needed = needs(shapes.GEMMA_27B)
    (first, *_) = instance_choice.offers(needed, instance_types.TABLE)
    cache = next(line.bytes for line in needed.lines if line.name == "kv cache")
    read = needed.demand.shape.tensor_bytes + cache

    assert (
        first.memory
        == f"{needed.memory_bytes / 2**20:,.0f} MiB needed + 2,048 MiB for the host of 65,536 MiB"
    )
    assert "75% of 102.4 GB/s (the share of its CPUs" in first.speed
    assert f"/ {read / GB:.2f} GB read for each token" in first.speed
    assert first.tokens_per_s == pytest.approx(0.75 * 102.4 * GB / read, rel=0.05)


@pytest.mark.parametrize(
    ("wish", "asked", "names"),
    [
        pytest.param(Wish(min_tokens_per_s=5), None, ["ml.c5.9xlarge"], id="a least speed"),
        pytest.param(
            Wish(FASTEST), None, ["ml.c5.9xlarge", "ml.m5.12xlarge", "ml.r5.12xlarge"], id="fastest"
        ),
        pytest.param(Wish(), "ml.r5.xlarge", ["ml.r5.xlarge"], id="by name, slow as it is"),
    ],
)
def test_what_is_wished_is_taken(wish: Wish, asked: str | None, names: list[str]) -> None:
    """By speed, and only what is as fast as is required."""
    found = instance_choice.choose("gemma.gguf", needs(shapes.GEMMA_27B), instance_types.TABLE, asked, wish)

    assert [one.name for one in found] == names


@pytest.mark.parametrize(
    ("asked", "seen"),
    [
        pytest.param(
            None, "5.5 tokens/s on ml.c5.9xlarge, the fastest at $1.836 an hour: 75% of 127.9 GB/s", id="any"
        ),
        pytest.param(
            "ml.r5.xlarge", "0.46 tokens/s on ml.r5.xlarge, at $0.302 an hour: 75% of 10.7 GB/s", id="by name"
        ),
    ],
)
def test_a_speed_that_no_type_has_is_refused_with_the_arithmetic(asked: str | None, seen: str) -> None:
    """And with what is the fastest."""
    with pytest.raises(ModelDoesNotFit) as refusal:
        instance_choice.choose(
            "gemma.gguf", needs(shapes.GEMMA_27B), instance_types.TABLE, asked, Wish(min_tokens_per_s=10)
        )

    (problem,) = refusal.value.problems
    assert problem.error == "TooSlow"
    assert problem.seen.startswith(seen)
    assert problem.wanted == "10 tokens/s, for min_tokens_per_s 10"


def test_a_model_for_embeddings_has_no_speed_to_require() -> None:
    """It answers in no tokens."""
    needed = needs(shapes.GEMMA_27B)
    embeds = replace(needed, demand=replace(needed.demand, shape=replace(needed.demand.shape, embeds=True)))
    found = instance_choice.choose("e.gguf", embeds, instance_types.TABLE, None, Wish(min_tokens_per_s=1000))

    assert found[0].name == "ml.r5.xlarge"


def test_the_host_needs_memory_too() -> None:
    """A type that has just what the model needs does not hold it."""
    needed = needs(shapes.LLAMA_1B)
    exact = replace(
        instance_types.TABLE[0],
        memory_gib=(needed.memory_bytes + instance_choice.HOST_RESERVE) / GiB,
        name="ml.c5.exact",
    )

    assert instance_choice.holds(needed, exact)
    assert not instance_choice.holds(needed, replace(exact, memory_gib=exact.memory_gib - 0.001))


@pytest.mark.parametrize(
    ("model", "asked", "error"),
    [
        pytest.param(shapes.GEMMA_27B, "ml.m5.large", "InstanceTooSmall", id="too small"),
        pytest.param(shapes.GEMMA_27B, "ml.r9x.xlarge", "UnknownInstanceType", id="not known"),
        pytest.param(HUGE, None, "TooMuchMemory", id="held by none"),
    ],
)
def test_what_cannot_be_is_refused_by_name(model: ModelShape, asked: str | None, error: str) -> None:
    """With the arithmetic, and what would do."""
    with pytest.raises(ModelDoesNotFit) as refusal:
        instance_choice.choose("gemma.gguf", needs(model), instance_types.TABLE, asked)

    (problem,) = refusal.value.problems
    assert problem.error == error
    assert "weights" in str(refusal.value)
    if error == "UnknownInstanceType":
        assert problem.fix.startswith("did you mean 'ml.")
    if error == "InstanceTooSmall":
        assert problem.fix == "set instance_type to 'ml.c7i.8xlarge'"


def test_a_type_that_is_asked_for_is_the_only_offer() -> None:
    """Nothing else is stepped to."""
    found = instance_choice.choose(
        "gemma.gguf", needs(shapes.GEMMA_27B), instance_types.TABLE, "ml.m5.4xlarge"
    )

    assert [one.name for one in found] == ["ml.m5.4xlarge"]


def test_the_volume_and_the_time_outs_follow_the_model() -> None:
    """An archive lies beside what is extracted, and is extracted within the time-out of the download."""
    bare, packed = (instance_choice.settings(needs(shapes.GEMMA_27B, bare=bare)) for bare in (True, False))
    small = instance_choice.settings(needs(shapes.LLAMA_1B))

    assert bare.volume_gb == 19
    assert packed.volume_gb == 37
    assert packed.download_s > bare.download_s
    assert (small.volume_gb, small.download_s, small.startup_s) == (8, 600, 600)


@pytest.mark.parametrize(
    ("name", "own"),
    [
        pytest.param("ml.m5.xlarge", False, id="m5"),
        pytest.param("ml.r7i.2xlarge", False, id="r7i"),
        pytest.param("ml.g4dn.xlarge", True, id="g4dn"),
        pytest.param("ml.g5.12xlarge", True, id="g5"),
        pytest.param("ml.g6.xlarge", True, id="g6"),
        pytest.param("ml.g6e.2xlarge", True, id="g6e"),
        pytest.param("ml.m5d.large", True, id="m5d"),
        pytest.param("ml.m6id.large", True, id="m6id"),
        pytest.param("ml.r5dn.large", True, id="r5dn"),
        pytest.param("ml.p4de.24xlarge", True, id="p4de"),
        pytest.param("ml.p3.2xlarge", False, id="p3"),
        pytest.param("ml.inf2.xlarge", False, id="inf2"),
    ],
)
def test_a_type_with_a_disk_of_its_own_is_known_by_its_name(name: str, own: bool) -> None:
    """SageMaker refuses a volume's size for it."""
    assert instance_types.has_own_disk(name) is own


@pytest.mark.parametrize(
    ("name", "architecture"),
    [
        pytest.param(None, "x86_64", id="serverless"),
        pytest.param("ml.m5.large", "x86_64", id="m5"),
        pytest.param("ml.g5.xlarge", "x86_64", id="a family that is called g"),
        pytest.param("ml.g4dn.xlarge", "x86_64", id="g4dn"),
        pytest.param("ml.c7i.large", "x86_64", id="c7i"),
        pytest.param("ml.m6g.large", "arm64", id="m6g"),
        pytest.param("ml.c7gn.large", "arm64", id="c7gn"),
        pytest.param("ml.r6gd.large", "arm64", id="r6gd"),
        pytest.param("ml.im4gn.large", "arm64", id="im4gn"),
        pytest.param("ml.g5g.xlarge", "arm64", id="g5g"),
    ],
)
def test_the_cpus_of_a_type_are_known_by_its_name(name: str | None, architecture: str) -> None:
    """A `g` behind the generation, and no other."""
    assert instance_types.image_architecture(name) == architecture


def test_every_known_type_has_the_cpus_of_the_images_that_there_are() -> None:
    """AWS's prebuilt images are for x86-64 alone."""
    assert {instance_types.image_architecture(one.name) for one in instance_types.TABLE} == {"x86_64"}


OWN_DISK = replace(OWN, name="ml.g5.xlarge", memory_gib=64, bandwidth_gb_s=60)


@pytest.mark.parametrize(
    ("local_disk_gb", "taken", "told"),
    [
        pytest.param(19, True, "19 GB of the 19 GB of its own NVMe disk", id="just"),
        pytest.param(18.9, False, "", id="too small"),
        pytest.param(
            None, True, "19 GB; assumed to fit on its own NVMe disk, whose size is not known", id="unknown"
        ),
    ],
)
def test_what_has_a_disk_of_its_own_must_hold_the_model_on_it(
    local_disk_gb: float | None, taken: bool, told: str
) -> None:
    """There is no volume to ask for; what is not known is assumed, and said."""
    own = replace(OWN_DISK, usd_per_hour=0.01, local_disk_gb=local_disk_gb)
    offers_ = instance_choice.offers(needs(shapes.GEMMA_27B), instance_types.table([own]))

    assert (offers_[0].name == "ml.g5.xlarge") is taken
    assert not taken or offers_[0].disk.startswith(told)
    assert offers_[-1].disk == "a volume of 19 GB"


def test_a_disk_that_is_too_small_refuses_what_is_asked_for() -> None:
    """The message says how much is needed, and that no volume can be had."""
    table = instance_types.table([replace(OWN_DISK, local_disk_gb=18)])

    with pytest.raises(ModelDoesNotFit) as refusal:
        instance_choice.choose("gemma.gguf", needs(shapes.GEMMA_27B), table, "ml.g5.xlarge")

    (problem,) = refusal.value.problems
    assert problem.error == "TooMuchDisk"
    assert problem.seen == "19 GB needed on the disk of ml.g5.xlarge"
    assert (
        problem.wanted == "at most 18 GB, what its own NVMe disk has; SageMaker gives such a type no volume"
    )


def test_what_an_endpoint_costs_is_the_sum_of_its_instances() -> None:
    """How many run now is the endpoint's to say, of which type its configuration's."""
    described = [{"VariantName": "AllTraffic", "CurrentInstanceCount": 2}]
    configured = [{"VariantName": "AllTraffic", "InstanceType": "ml.r5.xlarge", "InitialInstanceCount": 1}]

    assert hourly_costs.per_hour(described, configured) == hourly_costs.Cost(
        0.604, "2 x ml.r5.xlarge at $0.302"
    )
    assert hourly_costs.per_hour(configured).usd_per_hour == 0.302


@pytest.mark.parametrize(
    ("described", "cost"),
    [
        pytest.param(
            {"InstancePools": [("ml.r5.xlarge", 0), ("ml.c5.4xlarge", 2)], "CurrentInstanceCount": 2},
            hourly_costs.Cost(1.632, "2 x ml.c5.4xlarge at $0.816"),
            id="the type that runs",
        ),
        pytest.param(
            {"InstancePools": [("ml.r5.xlarge", 1), ("ml.c5.4xlarge", 1)], "CurrentInstanceCount": 2},
            hourly_costs.Cost(1.118, "1 x ml.r5.xlarge at $0.302 + 1 x ml.c5.4xlarge at $0.816"),
            id="a mixed fleet",
        ),
        pytest.param(
            {"InstancePools": [("ml.r5.xlarge", 1), ("ml.p5.48xlarge", 1)], "CurrentInstanceCount": 2},
            hourly_costs.Cost(None, "1 x ml.r5.xlarge at $0.302 + 1 x ml.p5.48xlarge, price not known"),
            id="one whose price is not known",
        ),
        pytest.param(
            {"InstancePools": [("ml.c5.4xlarge", 0), ("ml.r5.xlarge", 0)], "CurrentInstanceCount": 0},
            hourly_costs.Cost(0, "0 x ml.r5.xlarge at $0.302"),
            id="none runs",
        ),
        pytest.param(
            {"CurrentInstanceCount": 3},
            hourly_costs.Cost(0.906, "3 x ml.r5.xlarge at $0.302"),
            id="not told",
        ),
    ],
)
def test_a_pool_costs_what_runs_of_it(described: dict[str, Any], cost: hourly_costs.Cost) -> None:
    """DescribeEndpoint tells how many of each type; where it tells none, the first of the configuration's counts."""
    pools = [
        {"InstanceType": "ml.c5.4xlarge", "Priority": 2},
        {"InstanceType": "ml.r5.xlarge", "Priority": 1},
    ]
    configured = {"VariantName": "AllTraffic", "InstancePools": pools, "InitialInstanceCount": 1}
    pool = described.get("InstancePools", ())
    told = {"InstancePools": [{"InstanceType": name, "CurrentInstanceCount": n} for name, n in pool]}
    variant = {"VariantName": "AllTraffic", **described, **(told if pool else {})}

    assert hourly_costs.per_hour([variant], [configured]) == cost
    assert hourly_costs.per_hour([configured]).usd_per_hour == 0.302


@pytest.mark.parametrize(
    ("variant", "usd", "told"),
    [
        pytest.param(
            {"CurrentServerlessConfig": {"MemorySizeInMB": 2048, "MaxConcurrency": 10}},
            0,
            "serverless, nothing while nobody calls",
            id="serverless",
        ),
        pytest.param(
            {"ServerlessConfig": {"MaxConcurrency": 10, "ProvisionedConcurrency": 2}},
            None,
            "2 provisioned invocations, price not known",
            id="provisioned",
        ),
        pytest.param(
            {"InstanceType": "ml.p5.48xlarge", "InitialInstanceCount": 3},
            None,
            "3 x ml.p5.48xlarge, price not known",
            id="a type that is not known",
        ),
    ],
)
def test_a_price_that_is_not_known_is_none(variant: dict[str, object], usd: float | None, told: str) -> None:
    """Never a guess."""
    assert hourly_costs.per_hour([{"VariantName": "AllTraffic", **variant}]) == hourly_costs.Cost(usd, told)


def test_nothing_costs_nothing() -> None:
    """An endpoint that is Creating has no variants yet."""
    assert hourly_costs.per_hour([]) == hourly_costs.Cost(0, "nothing runs yet")
