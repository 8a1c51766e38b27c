"""ECR's operations on layers and images: a request in, its answer out.

Owns which operation asks what of `repositories`, and how answers look. What repositories are beside what they hold
(settings, policies, tags) is moto's, and such calls are handed on. Refuses to know who may call: that is IAM, in front
of it; but another account's repository is nobody's to change, and of those there are only AWS's own images.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
import secrets
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from moto.ecr.models import ecr_backends

from local_cloud.calls import service_model
from local_cloud.ecr import manifests, repositories, requests, texts
from local_cloud.ecr.blobs import Blobs, NoRoom
from local_cloud.ecr.downloads import Downloads
from local_cloud.ecr.refusals import JSON, EcrRefused, invalid
from local_cloud.ecr.repositories import PART_BYTES, EcrQuotas
from local_cloud.faults import REQUEST_ID, Response

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from local_cloud.calls import AwsCall
    from local_cloud.ecr.repositories import RepositoryContents, RepositoryImage

BLOB_BYTES: Final = 20_971_520
"""The most that the service model takes as a part."""
TOKEN_S: Final = 43_200
_PAGE: Final = 100
"""Rows of a listing that names no number of its own (API reference of DescribeImages, ListImages)."""
_READABLE: Final = frozenset(
    {
        "BatchCheckLayerAvailability",
        "BatchGetImage",
        "DescribeImages",
        "GetDownloadUrlForLayer",
        "ListImages",
    }
)
"""What AWS lets everybody do with the images that it publishes; of the listings this is assumed."""
_DIGEST: Final = re.compile(r"sha256:[0-9a-f]{64}")
_LAYER: Final = "application/vnd.docker.image.rootfs.diff.tar.gzip"


@dataclass(frozen=True, slots=True)
class EcrRequest:
    """A request, and the repository that it is about."""

    call: AwsCall
    host: str
    parameters: Mapping[str, Any]
    registry: str

    @property
    def name(self) -> str:
        """Return the repository's name."""
        return str(self.parameters["repositoryName"])

    @property
    def region(self) -> str:
        """Return the region that is asked."""
        return self.call.region


@dataclass(slots=True)
class Ecr:
    """ECR as the calls of one account see it.

    Args:
        account_id: of the account.
        quotas: of the account.
        clock: returns seconds since 1970.
        blobs: where layers lie.
    """

    account_id: str
    quotas: EcrQuotas = field(default_factory=EcrQuotas)
    clock: Callable[[], float] = time.time
    blobs: Blobs = field(default_factory=Blobs)
    downloads: Downloads = field(init=False)

    def __post_init__(self) -> None:
        self.downloads = Downloads(self.clock)

    def close(self) -> None:
        """Take every layer off the disk."""
        self.blobs.close()

    def answer(
        self,
        call: AwsCall,
        environ: Mapping[str, Any],
        body: bytes,
        ask_moto: Callable[[], Response],
    ) -> Response:
        """Return the answer to a call of ECR's; `ask_moto` lets moto answer it."""
        if call.operation not in service_model("ecr").operation_names:
            return ask_moto()
        handler = _HANDLERS.get(call.operation)
        try:
            parameters = requests.read(call.operation, body)
            registry = str(parameters.get("registryId", self.account_id))
            asked = EcrRequest(call, str(environ.get("HTTP_HOST", "127.0.0.1")), parameters, registry)
            self._refuse_foreign(asked)
            if handler is None:
                response = ask_moto()
                return _paged(response, parameters) if call.operation == "DescribeRepositories" else response
            return _rendered(handler(self, asked))
        except EcrRefused as refused:
            return refused.response()
        except NoRoom as full:
            return EcrRefused("InsufficientStorage", str(full)).response()

    def contents(self, asked: EcrRequest) -> RepositoryContents:
        """Return what the repository of a request holds; raise RepositoryNotFoundException."""
        found = repositories.find(asked.registry, asked.region, asked.name)
        if found is None:
            raise EcrRefused("RepositoryNotFoundException", texts.no_repository(asked.name, asked.registry))
        found.expire(self.clock())
        return found

    def _refuse_foreign(self, asked: EcrRequest) -> None:
        operation, name = asked.call.operation, asked.parameters.get("repositoryName", "*")
        if asked.registry == self.account_id:
            return
        there = repositories.find(asked.registry, asked.region, name) is not None
        if not there or operation not in _READABLE:
            arn = f"arn:aws:ecr:{asked.region}:{asked.registry}:repository/{name}"
            who = f"arn:aws:iam::{self.account_id}:root"
            raise EcrRefused("AccessDeniedException", texts.not_authorized(who, f"ecr:{operation}", arn))


# ----------------------------------------------------------------------------- layers


def _initiate(ecr: Ecr, asked: EcrRequest) -> dict[str, Any]:
    held = ecr.contents(asked)
    upload = ecr.blobs.begin(ecr.clock())
    held.uploads[upload.identity] = upload
    return {"uploadId": upload.identity, "partSize": PART_BYTES}


def _upload_part(ecr: Ecr, asked: EcrRequest) -> dict[str, Any]:
    given = asked.parameters
    held = ecr.contents(asked)
    try:
        data = base64.b64decode(given["layerPartBlob"], validate=True)
    except binascii.Error as error:
        raise EcrRefused("SerializationException", f"layerPartBlob is no base64: {error}") from error
    if len(data) > BLOB_BYTES:
        raise invalid(
            texts.constraint("layerPartBlob", f"Member must have length less than or equal to {BLOB_BYTES}")
        )
    last = held.append(
        ecr.blobs,
        given["uploadId"],
        given["partFirstByte"],
        given["partLastByte"],
        data,
        most=ecr.quotas.layer_parts,
    )
    return {**_of(asked), "uploadId": given["uploadId"], "lastByteReceived": last}


def _complete(ecr: Ecr, asked: EcrRequest) -> dict[str, Any]:
    upload = asked.parameters["uploadId"]
    digest = ecr.contents(asked).complete(ecr.blobs, upload, asked.parameters["layerDigests"], ecr.clock())
    return {**_of(asked), "uploadId": upload, "layerDigest": digest}


def _check_layers(ecr: Ecr, asked: EcrRequest) -> dict[str, Any]:
    held = ecr.contents(asked)
    layers: list[dict[str, Any]] = []
    failures: list[dict[str, Any]] = []
    for digest in asked.parameters["layerDigests"]:
        layer = held.layers.get(digest)
        if layer is not None:
            there = {"layerAvailability": "AVAILABLE", "layerSize": layer.blob.size, "mediaType": _LAYER}
            layers.append({"layerDigest": digest, **there})
        elif _DIGEST.fullmatch(digest):
            # A failure it is not: containerd's resolver, by ECR's own makers, could push no new layer otherwise.
            layers.append({"layerDigest": digest, "layerAvailability": "UNAVAILABLE"})
        else:
            reason = texts.bad_layer_digest(digest)
            failures.append(
                {"layerDigest": digest, "failureCode": "InvalidLayerDigest", "failureReason": reason}
            )
    return {"layers": layers, "failures": failures}


def _address(ecr: Ecr, asked: EcrRequest) -> dict[str, Any]:
    held, digest = ecr.contents(asked), asked.parameters["layerDigest"]
    if digest not in held.layers:
        raise EcrRefused("LayersNotFoundException", texts.no_layer(digest, held.name, held.registry))
    if not held.used(digest):
        message = texts.layer_inaccessible(digest, held.name, held.registry)
        raise EcrRefused("LayerInaccessibleException", message)
    url = ecr.downloads.address(asked.host, asked.region, held.registry, held.name, digest)
    return {"downloadUrl": url, "layerDigest": digest}


# ----------------------------------------------------------------------------- images


def _put_image(ecr: Ecr, asked: EcrRequest) -> dict[str, Any]:
    given, held = asked.parameters, ecr.contents(asked)
    manifest = manifests.read(given["imageManifest"], given.get("imageManifestMediaType"))
    stated, tag = given.get("imageDigest"), given.get("imageTag")
    if stated not in (None, manifest.digest):
        raise EcrRefused(
            "ImageDigestDoesNotMatchException", texts.wrong_image(stated, held.name, held.registry)
        )
    settings = _mutability(asked)
    fixed = tag is not None and repositories.fixes(settings, tag)
    image = held.put(manifest, tag, ecr.clock(), ecr.quotas, fixed=fixed)
    if _scans(asked):
        image.scanned = ecr.clock()
    return {"image": _image(asked, image, tag)}


def _get_images(ecr: Ecr, asked: EcrRequest) -> dict[str, Any]:
    held, accepted = ecr.contents(asked), asked.parameters.get("acceptedMediaTypes")
    images, failures = [], []
    for one in asked.parameters["imageIds"]:
        failure = _failure(held, one)
        image = held.find(one.get("imageDigest"), one.get("imageTag"))
        if failure is None and image is not None:
            if accepted is None or image.manifest.media_type in accepted:
                image.pulled = ecr.clock()
                images.append(_image(asked, image, one.get("imageTag")))
                continue
            failure = ("ImageNotFound", texts.IMAGE_NOT_FOUND)
        if failure is not None:
            failures.append(_failed(one, failure))
    return {"images": images, "failures": failures}


def _delete_images(ecr: Ecr, asked: EcrRequest) -> dict[str, Any]:
    held = ecr.contents(asked)
    gone, failures = [], []
    for one in asked.parameters["imageIds"]:
        with held.lock:
            failure = _failure(held, one)
            digest, tag = one.get("imageDigest"), one.get("imageTag")
            image = held.find(digest, tag)
            if failure is None and image is not None:
                last = tag is None or len(held.tags_of(image.manifest.digest)) == 1
                listed = held.listed_by(image.manifest.digest) if last else None
                if listed is not None:
                    failure = ("ImageReferencedByManifestList", texts.REFERENCED.format(listed))
            if failure is not None or image is None:
                failures.append(_failed(one, failure or ("ImageNotFound", texts.IMAGE_NOT_FOUND)))
                continue
            own = image.manifest.digest
            tags = held.tags_of(own) if tag is None else [tag]
            gone += [{"imageDigest": own, "imageTag": name} for name in tags] or [{"imageDigest": own}]
            if tag is None:
                held.remove(own)
            else:
                held.untag(tag)
    return {"imageIds": gone, "failures": failures}


def _describe_images(ecr: Ecr, asked: EcrRequest) -> dict[str, Any]:
    held, wanted = ecr.contents(asked), asked.parameters.get("imageIds")
    with held.lock:
        if wanted is None:
            found = list(_filtered(held, asked))
        else:
            found = list(dict.fromkeys(_described(held, one) for one in wanted))
        rows = [_detail(held, held.images[digest]) for digest in found]
    return _cut("imageDetails", rows, asked.parameters)


def _list_images(ecr: Ecr, asked: EcrRequest) -> dict[str, Any]:
    held = ecr.contents(asked)
    rows = []
    with held.lock:
        for digest in _filtered(held, asked):
            tags = held.tags_of(digest)
            rows += [{"imageDigest": digest, "imageTag": tag} for tag in tags] or [{"imageDigest": digest}]
    return _cut("imageIds", rows, asked.parameters)


def _filtered(held: RepositoryContents, asked: EcrRequest) -> Iterable[str]:
    wanted = asked.parameters.get("filter", {})
    status = wanted.get("tagStatus", "ANY")
    if wanted.get("imageStatus", "ACTIVE") not in ("ACTIVE", "ANY"):
        return []
    return [
        digest
        for digest in held.images
        if status == "ANY" or (status == "TAGGED") == bool(held.tags_of(digest))
    ]


def _described(held: RepositoryContents, identity: Mapping[str, str]) -> str:
    digest, tag = identity.get("imageDigest"), identity.get("imageTag")
    if digest is None and tag is None:
        raise invalid(texts.constraint("imageIds", texts.NEITHER))
    found = held.find(digest, tag)
    if found is None:
        raise EcrRefused("ImageNotFoundException", texts.no_image(digest, tag, held.name, held.registry))
    return found.manifest.digest


def _detail(held: RepositoryContents, image: RepositoryImage) -> dict[str, Any]:
    manifest = image.manifest
    row: dict[str, Any] = {
        "registryId": held.registry,
        "repositoryName": held.name,
        "imageDigest": manifest.digest,
        "imageSizeInBytes": held.size(image),
        "imagePushedAt": image.pushed,
        "imageManifestMediaType": manifest.media_type,
        "imageStatus": "ACTIVE",
    }
    if tags := held.tags_of(manifest.digest):
        row["imageTags"] = tags
    if manifest.config is not None:
        row["artifactMediaType"] = manifest.config.media_type
    if image.pulled is not None:
        row["lastRecordedPullTime"] = image.pulled
    if image.scanned is not None:
        row["imageScanStatus"] = _SCANNED
        row["imageScanFindingsSummary"] = {
            "imageScanCompletedAt": image.scanned,
            "findingSeverityCounts": {},
        }
    return row


# ------------------------------------------------------------------------------ scans

_SCANNED: Final = {"status": "COMPLETE", "description": "The scan was completed successfully."}


def _scan(ecr: Ecr, asked: EcrRequest) -> dict[str, Any]:
    _, image = _scannable(ecr, asked)
    image.scanned = ecr.clock()
    identity = _identity(image, asked.parameters["imageId"].get("imageTag"))
    return {**_of(asked), "imageId": identity, "imageScanStatus": {"status": "IN_PROGRESS"}}


def _findings(ecr: Ecr, asked: EcrRequest) -> dict[str, Any]:
    held, image = _scannable(ecr, asked)
    wanted = asked.parameters["imageId"]
    if image.scanned is None:
        message = texts.no_scan(wanted.get("imageDigest"), wanted.get("imageTag"), held.name, held.registry)
        raise EcrRefused("ScanNotFoundException", message)
    return {
        **_of(asked),
        "imageId": _identity(image, wanted.get("imageTag")),
        "imageScanStatus": _SCANNED,
        "imageScanFindings": {
            "imageScanCompletedAt": image.scanned,
            "vulnerabilitySourceUpdatedAt": image.scanned,
            "findings": [],
            "findingSeverityCounts": {},
        },
    }


def _scannable(ecr: Ecr, asked: EcrRequest) -> tuple[RepositoryContents, RepositoryImage]:
    held = ecr.contents(asked)
    return held, held.images[_described(held, asked.parameters["imageId"])]


# ------------------------------------------------------------- registries and repositories


def _authorize(ecr: Ecr, asked: EcrRequest) -> dict[str, Any]:
    rows = []
    for registry in asked.parameters.get("registryIds") or [ecr.account_id]:
        token = base64.b64encode(f"AWS:{secrets.token_urlsafe(24)}".encode()).decode()
        endpoint = f"https://{registry}.dkr.ecr.{asked.region}.amazonaws.com"
        rows.append(
            {
                "authorizationToken": token,
                "expiresAt": ecr.clock() + TOKEN_S,
                "proxyEndpoint": endpoint,
            }
        )
    return {"authorizationData": rows}


def _mutability(asked: EcrRequest) -> dict[str, Any]:
    found = ecr_backends[asked.registry][asked.region].repositories[asked.name]
    filters = [one["filter"] for one in found.image_tag_mutability_exclusion_filters or ()]
    mutability = getattr(found.image_tag_mutability, "value", found.image_tag_mutability)
    return {"mutability": mutability, "filters": filters}


def _scans(asked: EcrRequest) -> bool:
    settings = (
        ecr_backends[asked.registry][asked.region].repositories[asked.name].image_scanning_configuration
    )
    # CloudFormation's properties begin in upper case, and moto keeps them as they are.
    return bool({key.lower(): value for key, value in dict(settings).items()}.get("scanonpush"))


def _paged(response: Response, parameters: Mapping[str, Any]) -> Response:
    """Return a page of moto's list of repositories, which has all of them."""
    if response.status != 200 or "repositoryNames" in parameters:
        return response
    answer = json.loads(response.body)
    return _rendered(_cut("repositories", answer["repositories"], parameters))


# ----------------------------------------------------------------------------- answers


def _of(asked: EcrRequest) -> dict[str, Any]:
    return {"registryId": asked.registry, "repositoryName": asked.name}


def _identity(image: RepositoryImage, tag: str | None) -> dict[str, str]:
    identity = {"imageDigest": image.manifest.digest}
    return identity if tag is None else {**identity, "imageTag": tag}


def _image(asked: EcrRequest, image: RepositoryImage, tag: str | None) -> dict[str, Any]:
    return {
        **_of(asked),
        "imageId": _identity(image, tag),
        "imageManifest": image.manifest.text,
        "imageManifestMediaType": image.manifest.media_type,
    }


def _failure(held: RepositoryContents, identity: Mapping[str, str]) -> tuple[str, str] | None:
    """Return code and reason of why an identifier of an image finds none; None when it finds one."""
    digest, tag = identity.get("imageDigest"), identity.get("imageTag")
    if digest is None and tag is None:
        return "MissingDigestAndTag", texts.NEITHER
    if digest is not None and not _DIGEST.fullmatch(digest):
        return "InvalidImageDigest", texts.BAD_DIGEST
    if held.find(digest, tag) is not None:
        return None
    if digest is not None and tag in held.tags:
        return "ImageTagDoesNotMatchDigest", texts.TAG_MISMATCH
    return "ImageNotFound", texts.IMAGE_NOT_FOUND


def _failed(identity: Mapping[str, str], failure: tuple[str, str]) -> dict[str, Any]:
    return {"imageId": dict(identity), "failureCode": failure[0], "failureReason": failure[1]}


def _cut(member: str, rows: list[dict[str, Any]], parameters: Mapping[str, Any]) -> dict[str, Any]:
    """Return a page of rows, with the token of the next one where there is one."""
    token = str(parameters.get("nextToken", "0"))
    if not token.isdigit() or int(token) > len(rows):
        raise invalid(texts.constraint("nextToken", "The token is not valid"))
    end = int(token) + int(parameters.get("maxResults", _PAGE))
    page = {member: rows[int(token) : end]}
    return {**page, "nextToken": str(end)} if end < len(rows) else page


def _rendered(answer: Mapping[str, Any]) -> Response:
    return Response(200, {"Content-Type": JSON, "x-amzn-RequestId": REQUEST_ID}, json.dumps(answer).encode())


_HANDLERS: dict[str, Callable[[Ecr, EcrRequest], dict[str, Any]]] = {
    "BatchCheckLayerAvailability": _check_layers,
    "BatchDeleteImage": _delete_images,
    "BatchGetImage": _get_images,
    "CompleteLayerUpload": _complete,
    "DescribeImageScanFindings": _findings,
    "DescribeImages": _describe_images,
    "GetAuthorizationToken": _authorize,
    "GetDownloadUrlForLayer": _address,
    "InitiateLayerUpload": _initiate,
    "ListImages": _list_images,
    "PutImage": _put_image,
    "StartImageScan": _scan,
    "UploadLayerPart": _upload_part,
}
