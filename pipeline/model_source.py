"""Where a model's container finds the model, in CreateModel's words: an archive, a file as it is, a prefix, its image.

Owns ModelDataUrl and ModelDataSource, written into a plan before anything is assembled, and compared with what was
assembled before a model is made of it. Pure: facts in, parameters or `StackChanged` out.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NotRequired, TypedDict

from pipeline.errors import Problem, StackChanged

if TYPE_CHECKING:
    from collections.abc import Mapping

ARCHIVE_FORM: Final = "archive"
OBJECT_FORM: Final = "object"
PREFIX_FORM: Final = "prefix"
"""What is handed over: a tar.gz, one model file as it is, or all files below a prefix."""


class AssembledModel(TypedDict):
    """What AssembleArchive or AssembleImage wrote, as far as a model is made of it."""

    bucket: NotRequired[str]
    key: NotRequired[str]
    etag: NotRequired[str | None]
    """Of the one model file that is handed over as it is."""
    image: NotRequired[str | None]
    """The image that holds the model, by its tag; with it there is neither bucket nor key."""
    digest: NotRequired[str | None]
    """Of that image."""


def model_data(assembly: Mapping[str, Any]) -> dict[str, Any]:
    """Return where a container's model lies: an archive, one file as it is, or all files below a prefix.

    Args:
        assembly: bucket and key of what is deployed, and its `form`.
    """
    where = f"s3://{assembly['bucket']}/{assembly['key']}"
    form = assembly.get("form", ARCHIVE_FORM)
    if form == ARCHIVE_FORM:
        return {"ModelDataUrl": where}
    source = {
        "S3Uri": where,
        "S3DataType": "S3Prefix" if form == PREFIX_FORM else "S3Object",
        "CompressionType": "None",
    }
    return {"ModelDataSource": {"S3DataSource": source}}


def pinned(request: Mapping[str, Any], assembled: AssembledModel) -> dict[str, Any]:
    """Return CreateModel's parameters with what is known once it has been made: a file's ETag, an image's digest.

    Raises:
        StackChanged: when they name something else than what was assembled.
    """
    require_assembled(request, assembled)
    container = request["PrimaryContainer"]
    if image := assembled.get("image"):
        # A tag may come to name another image; what was asked for is what was made.
        by_digest = f"{image.rpartition(':')[0]}@{assembled.get('digest')}"
        return {**request, "PrimaryContainer": {**container, "Image": by_digest}}
    source = container.get("ModelDataSource", {}).get("S3DataSource")
    if source is None or source["S3DataType"] != "S3Object" or not assembled.get("etag"):
        return dict(request)
    source = {**source, "ETag": assembled["etag"]}
    return {**request, "PrimaryContainer": {**container, "ModelDataSource": {"S3DataSource": source}}}


def require_assembled(request: Mapping[str, Any], assembled: Mapping[str, Any]) -> None:
    """Refuse to make a model of anything but what was assembled.

    Args:
        request: CreateModel's parameters.
        assembled: bucket and key of what AssembleArchive wrote or found written; the image that AssembleImage did.

    Raises:
        StackChanged: when the request names something else.
    """
    container = request["PrimaryContainer"]
    source = container.get("ModelDataSource", {}).get("S3DataSource", {})
    named = container.get("ModelDataUrl") or source.get("S3Uri") or container.get("Image")
    made = assembled.get("image") or url(assembled)
    if named != made:
        raise StackChanged(
            f"model {request['ModelName']}",
            [
                Problem(
                    "StackChanged",
                    f"the plan names {named}, and what was assembled is {made}",
                    "one release of the stack for a whole execution",
                    "start the deployment again: `sealift start --archive s3://BUCKET/KEY`",
                )
            ],
        )


def url(place: Mapping[str, Any]) -> str:
    """Return the S3 URL of a bucket and a key."""
    return f"s3://{place.get('bucket')}/{place.get('key')}"
