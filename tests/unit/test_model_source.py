"""Where a container finds the model: written into a plan, and compared with what was assembled."""

from __future__ import annotations

from typing import Any

import pytest

from pipeline import model_source
from pipeline.errors import StackChanged

FORMS = (model_source.ARCHIVE_FORM, model_source.OBJECT_FORM, model_source.PREFIX_FORM)


def assembled(form: str, **changed: Any) -> dict[str, Any]:
    """Return what AssembleArchive wrote."""
    return {"bucket": "artifacts", "key": "archives/0a1b/model", "form": form, "etag": "9b2c"} | changed


def request(form: str) -> dict[str, Any]:
    """Return CreateModel's parameters of a plan."""
    return {"ModelName": "harbour-1", "PrimaryContainer": model_source.model_data(assembled(form))}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("etag", [None, "", "9b2c"])
def test_only_the_one_file_is_pinned_and_only_by_an_etag_that_is_known(form: str, etag: str | None) -> None:
    """SageMaker refuses an empty one, and takes none with an archive or a prefix."""
    pinned = model_source.pinned(request(form), assembled(form, etag=etag))

    source = pinned["PrimaryContainer"].get("ModelDataSource", {}).get("S3DataSource", {})
    assert source.pop("ETag", None) == ("9b2c" if form == model_source.OBJECT_FORM and etag else None)
    assert pinned == request(form)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("changed", [{"bucket": "others"}, {"key": "archives/2c3d/model"}, {"key": None}])
def test_what_is_elsewhere_than_planned_is_no_model(form: str, changed: dict[str, Any]) -> None:
    """Another release of the stack would lead elsewhere; both places are told."""
    with pytest.raises(StackChanged, match=r"s3://artifacts/archives/0a1b/model.* is s3://") as refusal:
        model_source.pinned(request(form), assembled(form, **changed))

    assert model_source.url(assembled(form, **changed)) in str(refusal.value)


def test_an_older_releases_assembly_is_an_archive() -> None:
    """It told no form."""
    place = {"bucket": "artifacts", "key": "archives/0a1b.tar.gz"}

    assert model_source.model_data(place) == {"ModelDataUrl": "s3://artifacts/archives/0a1b.tar.gz"}


# ------------------------------------------------------------------ an image that holds the model

HELD: dict[str, Any] = {
    "ModelName": "harbour-0",
    "PrimaryContainer": {"Image": "repository:model-0a", "Environment": {}},
}


def test_an_image_is_pinned_by_its_digest() -> None:
    """A tag may come to name another one; whatever else was asked for stays."""
    made: Any = {"image": "repository:model-0a", "digest": "sha256:0b", "way": "image"}
    container = model_source.pinned(HELD, made)["PrimaryContainer"]

    assert container == {"Image": "repository@sha256:0b", "Environment": {}}
    assert HELD["PrimaryContainer"]["Image"] == "repository:model-0a"


@pytest.mark.parametrize(
    "made",
    [
        pytest.param({"image": "repository:model-0c", "digest": "sha256:0b"}, id="another image"),
        pytest.param({"bucket": "artifacts", "key": "archives/0"}, id="an archive"),
    ],
)
def test_an_image_that_was_not_planned_is_refused(made: dict[str, Any]) -> None:
    """One release of the stack for a whole execution."""
    with pytest.raises(StackChanged, match="the plan names repository:model-0a"):
        model_source.pinned(HELD, made)  # type: ignore[arg-type]
