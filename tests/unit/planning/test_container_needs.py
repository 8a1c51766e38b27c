"""What a model needs in each container, and what our own image saves."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from pipeline.limits import MiB
from pipeline.planning import container_needs, plan
from pipeline.planning.container_needs import ContainerNeed

if TYPE_CHECKING:
    from tests.unit.conftest import FactsMaker


ADAPTER = {"kind": "lora", "path": "lora.gguf", "tensor_bytes": 1, "n_tensors": 1}


def need(container: str, memory_mb: int | None, mib: int = 1000) -> ContainerNeed:
    """Return what a model needs in a container."""
    return ContainerNeed(container, mib * MiB, memory_mb, "" if memory_mb else "too much, wanted less")


@pytest.mark.parametrize(
    ("ours", "theirs", "said"),
    [
        pytest.param(3072, 4096, "it saves raising the quota to 4096 MB", id="a quota"),
        pytest.param(2048, 3072, "it saves 1024 MB of each container", id="a size"),
        pytest.param(4096, 6144, "it saves 2048 MB of each container", id="a size beyond the quota"),
        pytest.param(6144, None, "it is what makes it fit at all", id="all"),
        pytest.param(2048, 2048, "", id="nothing"),
        pytest.param(None, None, "", id="nothing, as it fits nowhere"),
    ],
)
def test_what_our_image_saves_is_said(ours: int | None, theirs: int | None, said: str) -> None:
    """A raised quota first, which somebody has to ask for and wait."""
    advice = container_needs.saving((need("custom", ours), need("pytorch", theirs)))

    assert (said in advice) if said else (advice == "")
    assert advice == "" or "`sealift deploy`" in advice


def test_where_one_of_the_two_cannot_serve_nothing_is_saved() -> None:
    """There is nothing to compare."""
    assert container_needs.saving((need("custom", 1024),)) == ""
    assert container_needs.saving((need("pytorch", 1024),)) == ""


@pytest.mark.parametrize(
    ("one", "words"),
    [
        (need("custom", 3072), "1,000 MiB, so 3072 MB"),
        (need("custom", 4096), "1,000 MiB, so 4096 MB, above the 3072 of an ordinary account"),
        (need("custom", None), "1,000 MiB; too much, wanted less"),
    ],
)
def test_a_need_is_told_with_its_size(one: ContainerNeed, words: str) -> None:
    """And whether an ordinary account may have it."""
    assert str(one) == words


def test_the_smallest_comes_first_and_each_is_reckoned_with_its_own_server(facts_with: FactsMaker) -> None:
    """Whichever the request names."""
    facts = facts_with()

    found = container_needs.compare(facts.request, facts.archive, facts.model)

    by_name = {one.container: one.memory_bytes for one in found}
    assert set(by_name) == {"pytorch", "llama-cpp", "custom"}
    assert [one.memory_bytes for one in found] == sorted(by_name.values())
    # What one server takes more than the other, and the reserve of that.
    assert by_name["pytorch"] - by_name["custom"] == pytest.approx((464 - 72) * 1.03 * MiB, abs=2)
    other = replace(facts.request, container="llama-cpp")
    assert container_needs.compare(other, facts.archive, facts.model) == found


@pytest.mark.parametrize(
    ("model", "left"),
    [
        pytest.param({"purpose": "embedding"}, {"pytorch", "custom"}, id="for embeddings"),
        pytest.param({"companions": (ADAPTER,)}, {"llama-cpp", "custom"}, id="an adapter beside it"),
    ],
)
def test_what_cannot_serve_the_model_is_left_out(
    facts_with: FactsMaker, model: dict[str, Any], left: set[str]
) -> None:
    """A container that would refuse it is no advice."""
    facts = facts_with()

    found = container_needs.compare(facts.request, facts.archive, {**facts.model, **model})

    assert {one.container for one in found} == left


@pytest.mark.parametrize(
    ("fields", "offered"),
    [
        pytest.param({}, ["custom"], id="the prebuilt image with our code"),
        pytest.param({"container": "llama-cpp"}, [], id="another image"),
        pytest.param({"code": "archive"}, [], id="an archive's code"),
        pytest.param({"image_uri": "1.dkr.ecr.us-east-1.amazonaws.com/a:1"}, [], id="an image that is named"),
    ],
)
def test_ours_is_offered_in_the_place_of_the_prebuilt_image_alone(
    facts_with: FactsMaker, fields: dict[str, Any], offered: list[str]
) -> None:
    """Code of an archive's own may need what that has."""
    request = replace(facts_with().request, container="pytorch")

    found = container_needs.lighter(replace(request, **fields))

    assert [one.container for one in found] == offered


def test_a_model_that_fits_only_with_ours_is_refused_with_that_first(facts_with: FactsMaker) -> None:
    """It costs nothing, where every other way out costs money or quality."""
    facts = facts_with()
    model = {**facts.model, "tensor_bytes": 2_500 * MiB}
    archive: Any = {**facts.archive, "size": 2_500 * MiB, "extracted_bytes": 2_500 * MiB}

    refused = plan.choose(facts.request, archive, model)
    ours = plan.choose(replace(facts.request, container="custom"), archive, model)

    assert (refused.decision.memory_mb, ours.decision.memory_mb) == (None, 3072)
    first = refused.decision.alternatives[0]
    assert (first.kind, first.value) == ("container", "custom")
    assert refused.decision.problems[0].fix.startswith('set container to "custom", Sealift\'s own image')
    assert f"{ours.needed.without_checkpoints().memory_bytes / MiB:,.0f} MiB" in first.text
