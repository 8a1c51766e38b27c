"""A repository of Amazon ECR, spoken to by ECR's own API.

Owns the parts of a layer, and which of ECR's refusals mean that the work is done. ECR has no call that ends an upload:
what is not completed expires by itself (assumed; no call lists it, and no bill names it). Refuses other accounts'
words for its own errors: they become ours here.

Source: botocore's service model of ecr; docs.aws.amazon.com/AmazonECR/latest/userguide/service-quotas.html.
"""

from __future__ import annotations

import json
import re
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from botocore.exceptions import ClientError

from pipeline.aws import service_errors
from pipeline.errors import (
    ImageNotFound,
    Problem,
    RegistryRefused,
    SealiftError,
    ServiceUnavailable,
    WrongDigest,
)
from pipeline.image import parts
from pipeline.image.manifest import ACCEPTED, digest_of, is_digest
from pipeline.image.unfinished import Forgetful
from pipeline.limits import LEAST_LAYER_PART

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from pipeline.aws.clients import ECRClient
    from pipeline.image.base import Reference
    from pipeline.image.manifest import Descriptor
    from pipeline.image.registry import Content, Progress
    from pipeline.image.transport import Http, HttpAnswer
    from pipeline.image.unfinished import Unfinished

_BATCH: Final = 100
"""Digests of one BatchCheckLayerAvailability (service model, BatchedOperationLayerDigestList)."""
_BEGINNINGS: Final = 3
_SETBACKS: Final = 3
"""How often ECR may say of an upload that it has less than it had."""
_HOST: Final = re.compile(
    r"(?P<account>\d{12})\.dkr[.-]ecr(?:-fips)?\.(?P<region>[a-z0-9-]+)\.(?:amazonaws\.com(?:\.cn)?|on\.aws)"
)


@dataclass(frozen=True, slots=True)
class EcrHost:
    """Whose registry a host is, and where."""

    account: str
    region: str


def host(name: str) -> EcrHost | None:
    """Return whose registry a host is; None for one that is not ECR's."""
    found = _HOST.fullmatch(name)
    return EcrHost(found["account"], found["region"]) if found else None


@dataclass(frozen=True, slots=True)
class LayerUpload:
    """An upload of a layer that was begun."""

    upload_id: str
    part: int
    """Bytes of every part but the last."""
    at: int = 0
    """How many bytes ECR has, as far as is known here."""


class EcrRepository:
    """A `Registry` by ECR's own API.

    Args:
        reference: host and repository; a tag or digest is not looked at.
        client: of the region that the host names.
        http: reads layers from where ECR says that they lie.
        unfinished: remembers uploads.

    Raises:
        RegistryRefused: the host is not ECR's.
    """

    def __init__(
        self, reference: Reference, client: ECRClient, http: Http, unfinished: Unfinished | None = None
    ) -> None:
        found = host(reference.host)
        if found is None:
            problem = Problem(
                "NotEcr", reference.host, "ACCOUNT.dkr.ecr.REGION.amazonaws.com", "correct the address"
            )
            raise RegistryRefused(str(reference), [problem])
        self.name = f"{reference.host}/{reference.repository}"
        self.host = found
        self._client = client
        self._http = http
        self._unfinished = unfinished or Forgetful()
        self._where = {"registryId": found.account, "repositoryName": reference.repository}

    def manifest(self, reference: str) -> tuple[str, bytes] | None:
        """Return the media type and the bytes behind a tag or a digest; None where there is none.

        Raises:
            ImageNotFound: there is no such repository.
            WrongDigest: the bytes are not what the digest says.
        """
        which = {"imageDigest" if is_digest(reference) else "imageTag": reference}
        with self._translated():
            answer = self._client.batch_get_image(
                **self._where, imageIds=[which], acceptedMediaTypes=list(ACCEPTED)
            )
        if not answer.get("images"):
            self._check_absent(reference, answer.get("failures") or [])
            return None
        image = answer["images"][0]
        content = str(image["imageManifest"]).encode()
        wanted = reference if is_digest(reference) else str(image["imageId"].get("imageDigest", ""))
        if digest_of(content) != wanted:
            raise WrongDigest(
                f"{self.name}: the manifest {reference!r} has the digest {digest_of(content)}; wanted {wanted}; "
                f"{WrongDigest.fix}"
            )
        return str(image.get("imageManifestMediaType") or _own_type(content)), content

    def missing(self, digests: Sequence[str]) -> set[str]:
        """Return which of these blobs are not there."""
        missing, every = set(), list(dict.fromkeys(digests))
        for start in range(0, len(every), _BATCH):
            some = every[start : start + _BATCH]
            with self._translated():
                answer = self._client.batch_check_layer_availability(**self._where, layerDigests=some)
            there = {
                str(one["layerDigest"])
                for one in answer.get("layers", ())
                if one.get("layerAvailability") == "AVAILABLE"
            }
            missing |= set(some) - there
        return missing

    def read(self, blob: Descriptor) -> Iterator[bytes]:
        """Give a blob piece by piece, going on where it is cut off.

        Raises:
            ImageNotFound: it is not there.
            WrongDigest: at the end, when it was not what its digest says.
        """

        def locate() -> tuple[str, Mapping[str, str]]:
            with self._translated():
                answer = self._client.get_download_url_for_layer(**self._where, layerDigest=blob.digest)
            return str(answer["downloadUrl"]), {}

        def check(answer: HttpAnswer) -> bool:
            if answer.status == 404:
                raise self._no_layer(f"{blob.digest} is not where ECR says")
            # 403: the address was good for a while; the next one is another.
            return False

        return self._http.download(blob, self.name, locate, check)

    def mount(self, blob: Descriptor, origin: str) -> bool:  # noqa: ARG002 as every registry is asked
        """Return False: ECR's API knows no such call."""
        return False

    def upload(self, blob: Descriptor, content: Content, progress: Progress) -> None:
        """Send a blob in parts, going on where an earlier upload stopped; nothing where it is.

        Raises:
            ImageNotFound: there is no such repository.
            RegistryRefused, AccessDenied: ECR does not take it, or not from whoever asks.
            ImageTooLarge: no layer may be so large.
            WrongDigest: what arrived is not what the digest says.
        """
        if not self.missing([blob.digest]):
            progress(blob.size)
            return
        with parts.BlobReader(blob, content) as reader:
            for _ in range(_BEGINNINGS):
                recalled = self._recalled(blob)
                begun = recalled or self.begin(blob)
                try:
                    done = self._send(begun, blob, reader, progress) and self.complete(begun, blob)
                except (WrongDigest, RegistryRefused):
                    # What an earlier command left may be of another mind; what was sent now is not.
                    self._unfinished.forget(self.name, blob.digest)
                    if recalled is None:
                        raise
                    continue
                self._unfinished.forget(self.name, blob.digest)
                if done:
                    return
        raise ServiceUnavailable(
            f"{self.name}: ECR forgot the upload of {blob.digest} {_BEGINNINGS} times; wanted it kept until it is "
            "complete; try again"
        )

    def begin(self, blob: Descriptor) -> LayerUpload:
        """Begin an upload.

        Raises:
            ImageNotFound: there is no such repository.
            ImageTooLarge: the blob has more bytes than a layer may have.
        """
        with self._translated():
            answer = self._client.initiate_layer_upload(**self._where)
        return LayerUpload(
            str(answer["uploadId"]), parts.ecr_part(blob.size, int(answer.get("partSize") or 0))
        )

    def send_part(self, upload_id: str, at: int, body: bytes | bytearray) -> int | None:
        """Send a part; return how many bytes of the layer ECR has now, None when it does not know the upload any more.

        Safe to repeat: of a part that ECR has already it answers how far it is.

        Args:
            upload_id: of `begin`.
            at: where the part begins in the layer.
            body: at least 5 MiB, unless it is the last one.
        """
        try:
            with self._translated():
                answer = self._client.upload_layer_part(
                    **self._where,
                    uploadId=upload_id,
                    partFirstByte=at,
                    partLastByte=at + len(body) - 1,
                    layerPartBlob=body,
                )
        except SealiftError as error:
            refused = error.__cause__
            if not isinstance(refused, ClientError):
                raise
            if service_errors.code(refused) == "UploadNotFoundException":
                return None
            last: Any = refused.response.get("lastValidByteReceived")
            if service_errors.code(refused) != "InvalidLayerPartException" or last is None:
                raise
            # Of nothing at all a last byte can hardly be told: 0 is taken for it, since no part has a single byte.
            have = int(last) + 1 if int(last) > 0 else 0
            if have == at:
                raise
            return have
        return int(answer["lastByteReceived"]) + 1

    def complete(self, upload: LayerUpload, blob: Descriptor) -> bool:
        """Make a layer of what was sent; return False when ECR does not know the upload any more.

        Safe to repeat.

        Raises:
            WrongDigest: the parts are not what the digest says.
        """
        try:
            with self._translated():
                self._client.complete_layer_upload(
                    **self._where, uploadId=upload.upload_id, layerDigests=[blob.digest]
                )
        except SealiftError as error:
            name = _code(error)
            if name == "LayerAlreadyExistsException":
                return True
            if name in {"UploadNotFoundException", "EmptyUploadException"}:
                # Completed by a call whose answer was lost, or gone.
                return not self.missing([blob.digest])
            raise
        return True

    def put_manifest(self, manifest: bytes, media_type: str, tag: str) -> None:
        """Store a manifest and let the tag name it; all that it names must be there.

        Raises:
            RegistryRefused: a layer is missing, or the tag names another image for good.
        """
        digest = digest_of(manifest)
        try:
            with self._translated():
                self._client.put_image(
                    **self._where,
                    imageManifest=manifest.decode(),
                    imageManifestMediaType=media_type,
                    imageTag=tag,
                    imageDigest=digest,
                )
        except SealiftError as error:
            if _code(error) not in {"ImageAlreadyExistsException", "ImageTagAlreadyExistsException"}:
                raise
            found = self.manifest(tag)
            if found is None or digest_of(found[1]) != digest:
                raise

    def _send(
        self, begun: LayerUpload, blob: Descriptor, reader: parts.BlobReader, progress: Progress
    ) -> bool:
        """Send all parts that ECR does not have; return False when it does not know the upload any more."""
        at, setbacks = begun.at, 0
        progress(at)
        while at < blob.size:
            end = min(at + begun.part, blob.size)
            have = self.send_part(begun.upload_id, at, reader.read(at, end))
            if have is None:
                return False
            setbacks += have <= at
            if have > blob.size or setbacks > _SETBACKS:
                problem = Problem(
                    "StrangeAnswer", f"{have} bytes received after byte {end}", f"{end}", "push again"
                )
                raise RegistryRefused(self.name, [problem])
            at = have
            document = {"upload": begun.upload_id, "part": begun.part, "at": at}
            self._unfinished.write(self.name, blob.digest, json.dumps(document))
            progress(at)
        return True

    def _recalled(self, blob: Descriptor) -> LayerUpload | None:
        """Return an upload that an earlier command began; what ECR has of it, it says to the first part."""
        text = self._unfinished.recall(self.name, blob.digest)
        if text is None:
            return None
        try:
            document = json.loads(text)
            begun = LayerUpload(str(document["upload"]), int(document["part"]), int(document["at"]))
        except (ValueError, TypeError, KeyError):
            return None
        return begun if 0 <= begun.at <= blob.size and begun.part > 0 else None

    def _check_absent(self, reference: str, failures: Sequence[Mapping[str, Any]]) -> None:
        code = str(failures[0].get("failureCode", "")) if failures else "ImageNotFound"
        if code in {"ImageNotFound", "ImageTagDoesNotMatchDigest"}:
            return
        said = str(failures[0].get("failureReason", ""))
        if code.startswith("Upstream") and code != "UpstreamAccessDenied":
            raise ServiceUnavailable(f"{self.name}:{reference}: {code}: {said}; wanted the image; try again")
        problem = Problem("Rejected", f"{code}: {said}", "the image", "see ECR's words")
        raise RegistryRefused(f"{self.name}:{reference}", [problem])

    def _no_layer(self, seen: str) -> ImageNotFound:
        fix = "the image was deleted or replaced: name a base that is there with --base, build and push again"
        return ImageNotFound(
            self.name, [Problem("NoLayer", seen, "all that the image's manifest names", fix)]
        )

    @contextmanager
    def _translated(self) -> Iterator[None]:
        """Raise our error for ECR's; its own stays the cause."""
        try:
            with service_errors.translated():
                yield
        except SealiftError as error:
            refused = error.__cause__
            if not isinstance(refused, ClientError):
                raise
            raise self._known(refused) or error from refused

    def _known(self, refused: ClientError) -> SealiftError | None:
        """Return the error for what only ECR says; None for what every service does."""
        name = service_errors.code(refused)
        said = f"{refused.operation_name}: {name}: {service_errors.text(refused)}"
        if name == "RepositoryNotFoundException":
            fix = (
                "correct the address, its account and its region; `sealift deploy` makes the stack's own repository, "
                f"`aws ecr create-repository --repository-name {self._where['repositoryName']}` any other"
            )
            problem = Problem("NoRepository", said, "a repository that is there", fix)
            return ImageNotFound(self.name, [problem])
        if name == "LayersNotFoundException" and refused.operation_name == "GetDownloadUrlForLayer":
            return self._no_layer(said)
        if name in {"InvalidLayerException", "ImageDigestDoesNotMatchException"}:
            return WrongDigest(
                f"{self.name}: {said}; wanted the bytes that the digest names; {WrongDigest.fix}"
            )
        if name in _REFUSALS:
            error, wanted, fix = _REFUSALS[name]
            return RegistryRefused(self.name, [Problem(error, said, wanted, fix)])
        return None


_REFUSALS: Final = {
    "LayersNotFoundException": (
        "LayersMissing",
        "all layers that the manifest names",
        "push again: what is missing is sent; nothing was tagged",
    ),
    "LayerInaccessibleException": (
        "LayersMissing",
        "a layer that an image of the repository has",
        "push the image again that has it",
    ),
    "ReferencedImagesNotFoundException": (
        "LayersMissing",
        "all images that the index names",
        "push those first",
    ),
    "LayerPartTooSmallException": (
        "PartTooSmall",
        f"parts of at least {LEAST_LAYER_PART.value} bytes",
        "push again; the upload is begun anew",
    ),
    "InvalidLayerPartException": (
        "WrongPart",
        "a part that follows those that ECR has",
        "push again; if it stays so, tell the authors",
    ),
    "EmptyUploadException": ("EmptyUpload", "at least one part", "push again"),
    "LimitExceededException": (
        "RegistryQuota",
        "room in ECR's quotas",
        "delete images that are no longer used, or ask AWS for a higher quota",
    ),
    "ImageTagAlreadyExistsException": (
        "TagTaken",
        "a tag that is free, or may be changed",
        "name another tag with --tag, or make the repository's tags mutable",
    ),
    "ImageAlreadyExistsException": ("TagTaken", "a tag that is free", "name another tag with --tag"),
    "KmsException": (
        "KeyRefused",
        "that the repository's KMS key can be used",
        "let the key's policy allow it; see KMS's words",
    ),
    "InvalidParameterException": ("Rejected", "a request that ECR takes", "see ECR's words"),
    "UploadNotFoundException": (
        "UploadForgotten",
        "the upload that was begun",
        "push again; it is begun anew",
    ),
}
"""What ECR says no to, with what is wanted and what to do."""


def _code(error: SealiftError) -> str:
    return service_errors.code(error.__cause__) if isinstance(error.__cause__, ClientError) else ""


def _own_type(content: bytes) -> str:
    try:
        return str(json.loads(content).get("mediaType", ""))
    except (ValueError, AttributeError, RecursionError):
        return ""
