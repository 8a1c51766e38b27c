"""What lies beside a model takes: each of its lines, the disk that it fills, and what is made of it in a plan."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from pipeline.gguf import companions
from pipeline.gguf.header import GGUFHeader
from pipeline.limits import MiB
from pipeline.sizing import companion_memory, fit, instance_choice, instance_types
from pipeline.sizing.companion_memory import GUESSES, IMAGE_BYTES, PHOTO_BYTES, PIXEL_BYTES, Beside
from pipeline.sizing.llama_memory import LLAMA_CPP, Shape, footprint

if TYPE_CHECKING:
    from pipeline.sizing.serving import MemoryLine

MODEL: dict[str, Any] = {
    "architecture": "llama",
    "tensor_bytes": 1000 * MiB,
    "n_tensors": 100,
    "block_count": 8,
    "embedding_length": 1024,
    "head_counts": 16,
    "head_counts_kv": 4,
    "key_length": 64,
    "value_length": 64,
    "feed_forward_length": 4096,
    "vocabulary_size": 32_000,
    "parameter_count": 10**9,
    "purpose": "chat",
}
IMAGE = {"patches": 1024, "pixels": 448 * 448, "width": 768, "feed_forward": 3072}
PROJECTOR = {
    "kind": "mmproj",
    "path": "mmproj.gguf",
    "tensor_bytes": 86 * MiB,
    "n_tensors": 9,
    "image": IMAGE,
}
ADAPTER = {"kind": "lora", "path": "lora.gguf", "tensor_bytes": 20 * MiB, "n_tensors": 64}
DRAFT = {**MODEL, "kind": "draft", "path": "draft.gguf", "tensor_bytes": 100 * MiB, "block_count": 2}


def lines(*beside: dict[str, Any], n_ctx: int = 2048, n_parallel: int = 1) -> dict[str, MemoryLine]:
    """Return the lines of what lies beside a model, by name."""
    found = companion_memory.lines(
        Beside.from_json(beside), vocabulary=32_000, n_ctx=n_ctx, n_batch=512, n_parallel=n_parallel
    )
    return {line.name: line for line in found}


def test_a_model_alone_has_no_line() -> None:
    """Its arithmetic is what it was."""
    assert lines() == {}
    assert Beside.from_json(()).tensor_bytes == 0


def test_a_projector_is_weights_scratch_and_an_image() -> None:
    """Scratch memory as clip.cpp reports it for this one (21 MiB), conversions, and the image on its way."""
    line = lines(PROJECTOR)["projector"]

    scratch, converted = 21 * MiB, 1024 * 2 * 3072
    assert line.bytes == 86 * MiB + scratch + converted + PIXEL_BYTES * 448**2 + IMAGE_BYTES + PHOTO_BYTES


def test_what_hears_and_does_not_see_is_weights_alone() -> None:
    """Sound takes nothing that depends on an image."""
    assert lines({**PROJECTOR, "image": None})["projector"].bytes == 86 * MiB


def test_adapters_are_their_tensors_and_a_graph() -> None:
    """Two take twice what one does, whatever the context."""
    one, two = lines(ADAPTER)["adapters"].bytes, lines(ADAPTER, ADAPTER, n_ctx=8192)["adapters"].bytes

    assert two == 2 * one
    assert 20 * MiB < one < 21 * MiB


def test_a_draft_is_a_model_with_a_cache_of_its_own() -> None:
    """As a model's arithmetic, but for what a process has once, and with the logits of its guesses."""
    alone = footprint(Shape.from_json(DRAFT), n_ctx=4096, n_batch=512, n_parallel=3)
    expected = sum(line.bytes for line in alone if line.name != LLAMA_CPP) + 4 * GUESSES * 32_000 * 3

    found = lines(DRAFT, n_ctx=4096, n_parallel=3)["draft model"]

    assert found.bytes == expected
    assert "kv cache" in found.how
    assert lines(DRAFT, n_ctx=4096)["draft model"].bytes < found.bytes


def fitted(*beside: dict[str, Any]) -> fit.Fit:
    """Return the fit of the model."""
    return fit.fit(
        Shape.from_json(MODEL),
        archive_bytes=1300 * MiB,
        extracted_bytes=1300 * MiB,
        n_ctx=2048,
        n_batch=512,
        beside=Beside.from_json(beside),
    )


def test_a_fit_counts_them() -> None:
    """In memory with the reserve, and in the time that loading takes."""
    alone, with_all = fitted(), fitted(PROJECTOR, ADAPTER, DRAFT)

    extra = sum(line.bytes for line in lines(PROJECTOR, ADAPTER, DRAFT).values())
    assert with_all.memory_bytes - alone.memory_bytes == pytest.approx(extra * (1 + fit.RESERVE), abs=2)
    load = [next(one for one in found.startup if one.name == "load").seconds for found in (alone, with_all)]
    assert load[1] - load[0] == pytest.approx((86 + 20 + 100) * MiB / fit.LOAD.bytes_per_s)
    assert "draft model" in with_all.arithmetic
    assert with_all.sizes_mb[0] > alone.sizes_mb[0]


def test_more_slots_are_more_of_a_drafts_cache() -> None:
    """As of the model's own."""
    one, four = fitted(DRAFT), fitted(DRAFT).with_slots(4)

    found = [next(line for line in each.lines if line.name == "draft model").bytes for each in (one, four)]
    assert found[1] - found[0] > 3 * 2 * 2048 * 2 * 4 * 64 * 2


def test_an_adapter_is_read_for_each_token_and_a_draft_may_help() -> None:
    """So the former makes an answer slower by its size, and the latter nothing that is known."""
    table = instance_types.TABLE
    speeds = [
        instance_choice.choose("m", fitted(*beside), table, "ml.m5.2xlarge")[0].tokens_per_s
        for beside in ((), (DRAFT,), ({**ADAPTER, "tensor_bytes": 1000 * MiB},))
    ]

    assert speeds[0] == speeds[1]
    assert speeds[2] < speeds[0]


# -- what a header says of images


def header(**facts: Any) -> GGUFHeader:
    """Return a projector's header."""
    named = {f"clip.vision.{name}": value for name, value in facts.items() if name != "kind"}
    kind = {"clip.projector_type": facts["kind"]} if "kind" in facts else {}
    return GGUFHeader(3, {"general.architecture": "clip", **named, **kind}, (), 32, 0)


VISION = {"image_size": 448, "patch_size": 14, "embedding_length": 768, "feed_forward_length": 3072}


@pytest.mark.parametrize(
    ("facts", "patches"),
    [
        pytest.param({**VISION, "kind": "gemma3"}, 1024, id="one size"),
        pytest.param({**VISION, "kind": "qwen2.5vl_merger"}, 16_384, id="any size, up to so many tokens"),
        pytest.param({**VISION, "kind": "internvl"}, 4096, id="tiles of one size"),
        pytest.param({**VISION, "image_size": 1792, "kind": "lfm2"}, 16_384, id="larger than its bound"),
    ],
)
def test_the_largest_image_counts(facts: dict[str, Any], patches: int) -> None:
    """An image of any size takes as much as the projector looks at."""
    assert companions.image(header(**facts)) == {
        "patches": patches,
        "pixels": patches * 14 * 14,
        "width": 768,
        "feed_forward": 3072,
    }


@pytest.mark.parametrize("missing", ["image_size", "patch_size", "embedding_length"])
def test_what_looks_at_no_images_has_none(missing: str) -> None:
    """A projector of sounds, or one whose header lacks what llama.cpp wants."""
    facts = {name: value for name, value in VISION.items() if name != missing}

    assert companions.image(header(**facts)) is None
