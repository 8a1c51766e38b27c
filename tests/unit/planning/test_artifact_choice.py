"""In what a model reaches its endpoint: an archive, or a layer of the endpoint's own image."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from benchmarks import shapes
from pipeline import limits
from pipeline.archive.checks.inspect import inspect
from pipeline.archive.s3.sources import FileSource
from pipeline.errors import ImageNotFound, InvalidInput, ModelDoesNotFit
from pipeline.hosting import INSTANCE, SERVERLESS
from pipeline.limits import GiB, MiB
from pipeline.planning import archive_rules, artifact_choice, deployment_request, plan, plan_notes
from pipeline.planning.artifact_choice import BaseImage
from pipeline.sizing.fit import Stage
from pipeline.sizing.serving import MemoryLine

if TYPE_CHECKING:
    from pathlib import Path

    from pipeline.state_data.request_types import StackDefaults
    from tests.unit.conftest import FactsMaker, Requests

REPOSITORY = "123456789012.dkr.ecr.us-east-1.amazonaws.com/sealift-images"
OWN = f"{REPOSITORY}@sha256:{'ab' * 32}"
BASE = BaseImage(REPOSITORY, f"sha256:{'ab' * 32}", 150_000_000)


@pytest.fixture(scope="module")
def llama_8b(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The model part of the report of Llama 3.1 8B in Q4_K_M, by a header of its shape."""
    return _read(replace(shapes.LLAMA_8B, quantization="Q4_K_M"), tmp_path_factory.mktemp("8b"))


def _read(shape: shapes.ModelShape, folder: Path) -> dict[str, Any]:
    with FileSource(shapes.sparse(shape, folder / "model.gguf")) as source:
        report = inspect(source, rules=shapes_rules())
    assert report.model
    return {**report.model.to_json(), "path": report.model.path, "file_bytes": source.size}


def shapes_rules() -> Any:
    """Return the rules of a bare model."""
    return archive_rules.archive_rules("sealift", hosting=INSTANCE)


def sized(model: dict[str, Any], *, bare: bool = False) -> dict[str, Any]:
    """Return an archive as large as a model, stored."""
    size = model["file_bytes"]
    return {"size": size + MiB, "extracted_bytes": size, "parts": [{"key": "m.gguf"}] if bare else []}


def chosen(request: Any, model: dict[str, Any], base: BaseImage | None = BASE, **how: Any) -> Any:
    """Return what is chosen for a model on this base."""
    return plan.choose(request, sized(model, **how), model, artifact_choice.below(request, base))


@pytest.fixture
def ours(request_with: Requests) -> Any:
    """Make a request whose container is our own image in the stack's repository."""
    return lambda **fields: request_with(container="custom", image_uri=OWN, **fields)


def test_llama_3_1_8b_becomes_possible_on_6144_mb_in_the_image(ours: Any, llama_8b: dict[str, Any]) -> None:
    """Its archive breaks the disk, whatever the memory size; in the image it fits the largest one."""
    packed = chosen(ours(memory_mb=6144, artifact="archive"), llama_8b)
    imaged = chosen(ours(memory_mb=6144), llama_8b)

    assert "TooMuchDisk" in [one.error for one in packed.decision.problems]
    assert not packed.in_image
    assert (imaged.in_image, imaged.hosting, imaged.decision.memory_mb) == (True, SERVERLESS, 6144)
    assert [line.name for line in imaged.needed.disk] == ["temporary files"]
    assert [stage.name for stage in imaged.needed.startup] == ["server", "load"]
    assert "assumed" in imaged.needed.warnings[0]
    # As it is stored, and not as it is counted: the image below is compressed there.
    stored = llama_8b["file_bytes"] + BASE.bytes
    assert artifact_choice.stored_bytes(imaged.needed) == pytest.approx(stored, rel=0.01)
    (price,) = plan_notes.image_notes(imaged.needed)
    assert "takes 5.07 GB in ECR, $0.51 a month" in price
    assert plan_notes.image_notes(packed.needed) == ()


def test_without_a_size_the_larger_quota_is_what_is_advised(ours: Any, llama_8b: dict[str, Any]) -> None:
    """An ordinary account allows 3072 MB: what stands in the way is said of the image, not of the archive's disk."""
    found = chosen(ours(), llama_8b)

    assert found.in_image
    assert [one.error for one in found.decision.problems] == ["AboveQuota"]
    assert "quota" in [one.kind for one in found.decision.alternatives]


def test_auto_stays_with_an_archive_that_fits(ours: Any, llama_1b: dict[str, Any]) -> None:
    """Nothing is gained by an image where the archive breaks no limit."""
    found = chosen(ours(), {**llama_1b, "file_bytes": llama_1b["size"]})

    assert not found.in_image
    assert found.decision.memory_mb


def test_auto_stays_with_the_archive_where_an_image_would_not_help(
    ours: Any, llama_8b: dict[str, Any]
) -> None:
    """A model whose memory no size holds is refused as an archive, with all that is wrong with it."""
    model = {**llama_8b, "tensor_bytes": 9 * GiB, "file_bytes": 9 * GiB}
    found = chosen(ours(memory_mb=6144), model)

    assert not found.in_image
    assert {"TooMuchMemory", "TooMuchDisk"} <= {one.error for one in found.decision.problems}


def test_a_slow_start_alone_is_reason_enough(ours: Any, llama_1b: dict[str, Any]) -> None:
    """Either limit that an archive breaks and an image has not is a reason, and none of the others is."""
    model = {**llama_1b, "file_bytes": llama_1b["size"]}
    packed, imaged = (
        chosen(ours(artifact="archive"), model).needed,
        chosen(ours(artifact="image"), model).needed,
    )
    slow = replace(packed, startup=(Stage("download", 180.1, "told"),))
    in_time = replace(packed, startup=(Stage("download", 180.0, "told"),))
    crowded = replace(packed, lines=(MemoryLine("weights", 9 * GiB, "told"),))

    assert artifact_choice.takes_image(ours(), slow, imaged)
    assert not artifact_choice.takes_image(ours(), in_time, imaged)
    assert not artifact_choice.takes_image(ours(), crowded, imaged)
    assert not artifact_choice.takes_image(ours(), slow, replace(imaged, lines=crowded.lines))


@pytest.mark.parametrize("artifact", ["auto", "image"])
def test_a_bare_gguf_on_serverless_comes_in_the_image(
    ours: Any, llama_1b: dict[str, Any], artifact: str
) -> None:
    """A serverless endpoint takes no bare GGUF from S3, and an image needs no archive."""
    model = {**llama_1b, "file_bytes": llama_1b["size"]}
    found = chosen(ours(artifact=artifact), model, bare=True)

    assert (found.in_image, found.hosting) == (True, SERVERLESS)


def test_a_bare_gguf_without_an_image_says_how_to_push_one(ours: Any, llama_1b: dict[str, Any]) -> None:
    """The one clear error names the command."""
    model = {**llama_1b, "file_bytes": llama_1b["size"]}
    found = chosen(ours(), model, None, bare=True)

    with pytest.raises(ImageNotFound, match="sealift image push"):
        found.require("m.gguf")


def test_an_image_that_was_asked_for_and_is_impossible_says_why(ours: Any, llama_1b: dict[str, Any]) -> None:
    """Without a base there is nothing to lay the model on."""
    model = {**llama_1b, "file_bytes": llama_1b["size"]}

    with pytest.raises(ImageNotFound, match="sealift image push"):
        chosen(ours(artifact="image"), model, None).require("m.gguf")


def test_an_image_over_10_gib_is_refused_with_its_arithmetic(ours: Any, llama_1b: dict[str, Any]) -> None:
    """The limit is of the whole image, the server's part included."""
    most = limits.IMAGE_BYTES.value - BASE.unpacked
    model = {**llama_1b, "file_bytes": most + 1}
    found = chosen(ours(artifact="image"), model)

    assert [one.error for one in found.decision.problems] == ["ImageTooLarge"]
    with pytest.raises(ModelDoesNotFit, match="450,000,000"):
        found.require("m.gguf")
    assert not chosen(ours(artifact="image"), {**model, "file_bytes": most}).decision.problems


def test_with_hosting_auto_an_image_comes_before_an_instance(ours: Any, llama_8b: dict[str, Any]) -> None:
    """An instance costs money while nobody calls: it is taken where no image helps."""
    found = chosen(ours(hosting="auto", memory_mb=6144, allow_instances=True), llama_8b)
    larger = chosen(ours(hosting="auto", allow_instances=True), {**llama_8b, "tensor_bytes": 9 * GiB})

    assert (found.hosting, found.in_image) == (SERVERLESS, True)
    assert (larger.hosting, larger.in_image) == (INSTANCE, False)


@pytest.mark.parametrize(
    ("fields", "error"),
    [
        pytest.param({"hosting": "instance"}, "ImageOnInstance", id="on instances"),
        pytest.param({"container": "pytorch"}, "ImageOfAws", id="an image of AWS's"),
        pytest.param({"container": "custom", "image_uri": OWN, "code": "archive"}, "ImageOfCode", id="code"),
    ],
)
def test_what_speaks_against_an_image_is_said_before_anything_is_read(
    defaults: StackDefaults, fields: dict[str, Any], error: str
) -> None:
    """Contradictions within a request are the request's mistakes."""
    archive = {"bucket": "uploads", "key": "models/harbour/model.tar.gz"}
    given = {"archive": archive, "artifact": "image", "container": "custom", "image_uri": OWN, **fields}
    if fields.get("container") == "pytorch":
        del given["image_uri"]
    with pytest.raises(InvalidInput) as refusal:
        deployment_request.request(given, None, {**defaults, "allow_archive_code": "true"})

    assert error in [one.error for one in refusal.value.problems]


def imaged_facts(facts_with: FactsMaker, base: BaseImage = BASE, content: str = "0a1b", **fields: Any) -> Any:
    """Return the facts of a model that is to come in the image."""
    facts = facts_with(container="custom", image_uri=OWN, artifact="image", **fields)
    return replace(facts, base=base, assembly={**facts.assembly, "content": content})


def test_the_plan_names_the_image_and_no_archive(facts_with: FactsMaker) -> None:
    """CreateModel gets the image by its tag, which AssembleImage makes; it is pinned by digest once it is made."""
    made = plan.plan(imaged_facts(facts_with))
    container = made.requests.create_model["PrimaryContainer"]

    assert made.image
    assert made.image.base == BASE.digest
    assert made.image.tag.startswith("model-")
    assert len(made.image.tag) == len("model-") + 32
    assert container["Image"] == made.image_uri == f"{REPOSITORY}:{made.image.tag}"
    assert not {"ModelDataUrl", "ModelDataSource"} & set(container)
    assert made.fit["image"][0]["bytes"] == BASE.unpacked


def test_the_tag_stands_for_the_base_and_the_model_alone(facts_with: FactsMaker) -> None:
    """Two services with one model share an image; another base or another upload makes another one."""

    def tag(**how: Any) -> str:
        image = plan.plan(imaged_facts(facts_with, **how)).image
        assert image
        return image.tag

    other = replace(BASE, digest=f"sha256:{'cd' * 32}")

    assert tag() == tag(service="pier", memory_mb=3072)
    assert len({tag(), tag(base=other), tag(content="2c3d")}) == 3


def test_an_archive_is_planned_as_before(facts_with: FactsMaker) -> None:
    """Where the repository has an image and the archive fits, nothing of the plan changes."""
    facts = facts_with(container="custom", image_uri=OWN)

    assert plan.plan(replace(facts, base=BASE)) == plan.plan(facts)
    assert plan.plan(facts).image is None
