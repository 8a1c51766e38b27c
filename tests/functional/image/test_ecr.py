"""ECR by its own API, with answers as AWS gives them."""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from botocore.stub import Stubber

from pipeline.aws.clients import Clients
from pipeline.errors import (
    AccessDenied,
    ImageNotFound,
    RegistryRefused,
    SealiftError,
    ServiceUnavailable,
    Throttled,
    WrongDigest,
)
from pipeline.image.base import Reference
from pipeline.image.ecr import EcrRepository, LayerUpload
from pipeline.image.manifest import (
    ACCEPTED,
    DOCKER_CONFIG,
    DOCKER_LAYER,
    DOCKER_MANIFEST,
    OCI_MANIFEST,
    Descriptor,
    Manifest,
    digest_of,
)
from pipeline.image.transport import Http, Patience
from pipeline.image.unfinished import UploadFiles
from pipeline.limits import LAYER_PART
from tests.fake_registry import FakeRegistry, Fault, running

PART = LAYER_PART.value
WHERE = {"registryId": "123456789012", "repositoryName": "sealift"}
REFERENCE = Reference("123456789012.dkr.ecr.us-east-1.amazonaws.com", "sealift")
CONTENT = bytes(2 * PART) + b"the rest"
"""Three parts."""


def described(content: bytes) -> Descriptor:
    """Return the descriptor of a blob."""
    return Descriptor(DOCKER_LAYER, f"sha256:{hashlib.sha256(content).hexdigest()}", len(content))


BLOB = described(CONTENT)
MANIFEST = Manifest(Descriptor(DOCKER_CONFIG, described(b"{}").digest, 2), (BLOB,)).render()


class Ecr:
    """The API, whose answers are given in order, and a repository that speaks to it."""

    def __init__(self, folder: Path) -> None:
        clients = Clients(region="us-east-1")
        self._stubber = Stubber(clients.registry)  # type: ignore[arg-type]
        self.folder = folder
        self.told: list[int] = []
        self.slept: list[float] = []
        http = Http(Patience(self.slept.append), local=True)
        self.repository = EcrRepository(REFERENCE, clients.registry, http, UploadFiles(folder))
        self._stubber.activate()

    def answer(self, operation: str, answer: dict[str, Any], **request: Any) -> None:
        """Expect a call, and answer it."""
        self._stubber.add_response(operation, answer, {**WHERE, **request})

    def refuse(self, operation: str, code: str, text: str = "as ECR says", **fields: Any) -> None:
        """Expect a call, and refuse it."""
        self._stubber.add_client_error(operation, code, text, modeled_fields=fields or None)

    def absent(self, *blobs: Descriptor) -> None:
        """Expect the question which layers are there: none of these."""
        self.answer("batch_check_layer_availability", {"layers": []}, layerDigests=[b.digest for b in blobs])

    def begins(self, upload: str, part: int = PART) -> None:
        """Expect that an upload is begun."""
        self.answer("initiate_layer_upload", {"uploadId": upload, "partSize": part})

    def takes(self, upload: str, first: int, last: int, received: int | None = None) -> None:
        """Expect a part."""
        self.answer(
            "upload_layer_part",
            {"lastByteReceived": last if received is None else received},
            uploadId=upload,
            partFirstByte=first,
            partLastByte=last,
            layerPartBlob=CONTENT[first : last + 1],
        )

    def completes(self, upload: str) -> None:
        """Expect that it is completed."""
        answer = {"uploadId": upload, "layerDigest": BLOB.digest}
        self.answer("complete_layer_upload", answer, uploadId=upload, layerDigests=[BLOB.digest])

    def upload(self) -> None:
        """Upload the blob."""
        self.repository.upload(BLOB, partial(io.BytesIO, CONTENT), self.told.append)

    def done(self) -> None:
        """Look whether all that was expected was asked."""
        self._stubber.assert_no_pending_responses()


@pytest.fixture
def api(tmp_path: Path) -> Iterator[Ecr]:
    """ECR; all that is expected of it must be asked."""
    api = Ecr(tmp_path / "uploads")
    yield api
    api.done()


def test_a_layer_is_sent_in_parts(api: Ecr) -> None:
    """Each follows the one before; the last is as small as it is."""
    api.absent(BLOB)
    api.begins("u1")
    api.takes("u1", 0, PART - 1)
    api.takes("u1", PART, 2 * PART - 1)
    api.takes("u1", 2 * PART, len(CONTENT) - 1)
    api.completes("u1")

    api.upload()

    assert api.told == [0, PART, 2 * PART, len(CONTENT)]
    assert list(api.folder.iterdir()) == []


def test_a_layer_that_is_there_is_not_sent(api: Ecr) -> None:
    """One question."""
    layer = {"layerDigest": BLOB.digest, "layerAvailability": "AVAILABLE"}
    api.answer("batch_check_layer_availability", {"layers": [layer]}, layerDigests=[BLOB.digest])

    api.upload()

    assert api.told == [len(CONTENT)]


def test_layers_that_are_missing_are_named(api: Ecr) -> None:
    """A hundred are asked about at a time; what was archived is missing as well."""
    digests = [described(str(n).encode()).digest for n in range(101)]
    layers = [{"layerDigest": one, "layerAvailability": "AVAILABLE"} for one in digests[1:99]]
    layers.append({"layerDigest": digests[99], "layerAvailability": "UNAVAILABLE"})
    failures = [{"layerDigest": digests[0], "failureCode": "MissingLayerDigest", "failureReason": "no"}]
    api.answer(
        "batch_check_layer_availability", {"layers": layers, "failures": failures}, layerDigests=digests[:100]
    )
    api.answer("batch_check_layer_availability", {"layers": []}, layerDigests=digests[100:])

    assert api.repository.missing([*digests, digests[0]]) == {digests[0], digests[99], digests[100]}


@pytest.mark.parametrize(
    ("last", "goes_on"),
    [
        pytest.param(2 * PART - 1, 2 * PART, id="further"),
        pytest.param(0, 0, id="nothing"),
    ],
)
def test_a_part_that_does_not_follow_leads_to_where_ecr_is(api: Ecr, last: int, goes_on: int) -> None:
    """ECR says what it has; that is gone on from."""
    api.absent(BLOB)
    api.begins("u1")
    api.takes("u1", 0, PART - 1)
    api.refuse("upload_layer_part", "InvalidLayerPartException", lastValidByteReceived=last)
    if goes_on == 0:
        api.takes("u1", 0, PART - 1)
        api.takes("u1", PART, 2 * PART - 1)
    api.takes("u1", 2 * PART, len(CONTENT) - 1)
    api.completes("u1")

    api.upload()

    assert goes_on in api.told


def test_a_part_that_is_refused_for_itself_is_told_of(api: Ecr) -> None:
    """It begins where ECR is, and still is not taken: nothing is sent without end."""
    api.absent(BLOB)
    api.begins("u1")
    api.takes("u1", 0, PART - 1)
    api.refuse("upload_layer_part", "InvalidLayerPartException", lastValidByteReceived=PART - 1)

    with pytest.raises(RegistryRefused, match="InvalidLayerPartException"):
        api.upload()


def test_a_registry_that_gets_nowhere_is_told_of(api: Ecr) -> None:
    """However often it takes a part and then says that it has nothing: the fourth time is the last."""
    api.absent(BLOB)
    api.begins("u1")
    for _ in range(4):
        api.takes("u1", 0, PART - 1)
        api.refuse("upload_layer_part", "InvalidLayerPartException", lastValidByteReceived=0)

    with pytest.raises(RegistryRefused, match="0 bytes received after byte"):
        api.upload()


def test_a_registry_that_has_more_than_there_is_is_told_of(api: Ecr) -> None:
    """Whose bytes those are nobody knows."""
    api.absent(BLOB)
    api.begins("u1")
    api.takes("u1", 0, PART - 1, received=len(CONTENT))

    with pytest.raises(RegistryRefused, match=f"{len(CONTENT) + 1} bytes received"):
        api.upload()


def test_an_upload_that_ecr_forgot_is_begun_anew(api: Ecr) -> None:
    """Whether a part or the completion finds it out."""
    api.absent(BLOB)
    api.begins("u1")
    api.refuse("upload_layer_part", "UploadNotFoundException")
    api.begins("u2")
    for first, last in ((0, PART - 1), (PART, 2 * PART - 1), (2 * PART, len(CONTENT) - 1)):
        api.takes("u2", first, last)
    api.refuse("complete_layer_upload", "UploadNotFoundException")
    api.absent(BLOB)
    api.begins("u3")
    for first, last in ((0, PART - 1), (PART, 2 * PART - 1), (2 * PART, len(CONTENT) - 1)):
        api.takes("u3", first, last)
    api.completes("u3")

    api.upload()


def test_an_ecr_that_always_forgets_is_told_of(api: Ecr) -> None:
    """After three beginnings."""
    api.absent(BLOB)
    for n in range(3):
        api.begins(f"u{n}")
        api.refuse("upload_layer_part", "UploadNotFoundException")

    with pytest.raises(ServiceUnavailable, match=r"forgot the upload .* 3 times"):
        api.upload()


@pytest.mark.parametrize("lost", ["LayerAlreadyExistsException", "UploadNotFoundException"])
def test_a_completion_whose_answer_was_lost_is_done(api: Ecr, lost: str) -> None:
    """The layer is there, whoever has completed it."""
    api.refuse("complete_layer_upload", lost)
    if lost == "UploadNotFoundException":
        layer = {"layerDigest": BLOB.digest, "layerAvailability": "AVAILABLE"}
        api.answer("batch_check_layer_availability", {"layers": [layer]}, layerDigests=[BLOB.digest])

    assert api.repository.complete(LayerUpload("u1", PART), BLOB)


def test_the_next_command_goes_on_with_what_this_one_has_sent(api: Ecr) -> None:
    """By the upload's identifier and what ECR had."""
    api.absent(BLOB)
    api.begins("u1")
    api.takes("u1", 0, PART - 1)
    api.refuse("upload_layer_part", "ThrottlingException", "Rate exceeded")
    with pytest.raises(Throttled):
        api.upload()
    api.told.clear()

    api.absent(BLOB)
    api.takes("u1", PART, 2 * PART - 1)
    api.takes("u1", 2 * PART, len(CONTENT) - 1)
    api.completes("u1")
    api.upload()

    assert api.told[0] == PART
    assert list(api.folder.iterdir()) == []


@pytest.mark.parametrize(
    "written",
    [
        "",
        "{",
        "[]",
        "{}",
        json.dumps({"upload": "u0", "part": 0, "at": 0}),
        json.dumps({"upload": "u0", "part": PART, "at": -1}),
        json.dumps({"upload": "u0", "part": PART, "at": len(CONTENT) + 1}),
    ],
)
def test_a_memory_that_is_damaged_is_none(api: Ecr, written: str) -> None:
    """The upload is begun anew."""
    UploadFiles(api.folder).write(api.repository.name, BLOB.digest, written)
    api.absent(BLOB)
    api.begins("u1")
    api.takes("u1", 0, PART - 1, received=len(CONTENT) - 1)
    api.completes("u1")

    api.upload()


def test_a_resumed_upload_of_other_bytes_is_begun_anew(api: Ecr) -> None:
    """Once; what was sent from the beginning is told of."""
    document = {"upload": "u0", "part": PART, "at": 2 * PART}
    UploadFiles(api.folder).write(api.repository.name, BLOB.digest, json.dumps(document))
    api.absent(BLOB)
    api.takes("u0", 2 * PART, len(CONTENT) - 1)
    api.refuse("complete_layer_upload", "InvalidLayerException")
    api.begins("u1")
    api.takes("u1", 0, PART - 1, received=len(CONTENT) - 1)
    api.refuse("complete_layer_upload", "InvalidLayerException", "the digests differ")

    with pytest.raises(WrongDigest, match="the digests differ"):
        api.upload()
    assert list(api.folder.iterdir()) == []


def test_a_remembered_upload_that_ecr_does_not_take_is_begun_anew(api: Ecr) -> None:
    """Else no command could ever push that layer again."""
    document = {"upload": "u0", "part": PART, "at": PART}
    UploadFiles(api.folder).write(api.repository.name, BLOB.digest, json.dumps(document))
    api.absent(BLOB)
    api.refuse("upload_layer_part", "InvalidParameterException")
    api.begins("u1")
    api.takes("u1", 0, PART - 1, received=len(CONTENT) - 1)
    api.completes("u1")

    api.upload()


def test_parts_are_as_large_as_ecr_proposes_within_its_quota(api: Ecr) -> None:
    """Twenty mebibytes are the model's bound, ten the quota's."""
    api.begins("u1", 2 * PART)
    api.begins("u2", 6 << 20)
    api.begins("u3", 1)

    assert [api.repository.begin(BLOB).part for _ in range(3)] == [PART, 6 << 20, 5 << 20]


IMAGE = {
    "imageId": {"imageDigest": digest_of(MANIFEST), "imageTag": "v1"},
    "imageManifest": MANIFEST.decode(),
    "imageManifestMediaType": DOCKER_MANIFEST,
}


def test_a_manifest_is_read_by_tag_and_by_digest(api: Ecr) -> None:
    """The very bytes."""
    for name in ({"imageTag": "v1"}, {"imageDigest": digest_of(MANIFEST)}):
        api.answer("batch_get_image", {"images": [IMAGE]}, imageIds=[name], acceptedMediaTypes=list(ACCEPTED))

    assert api.repository.manifest("v1") == (DOCKER_MANIFEST, MANIFEST)
    assert api.repository.manifest(digest_of(MANIFEST)) == (DOCKER_MANIFEST, MANIFEST)


def found(api: Ecr, answer: dict[str, Any]) -> None:
    """Expect the question for the tag."""
    api.answer("batch_get_image", answer, imageIds=[{"imageTag": "v1"}], acceptedMediaTypes=list(ACCEPTED))


def test_a_manifest_says_its_own_type_where_ecr_does_not(api: Ecr) -> None:
    """As the specification wants it written."""
    own = json.dumps({"mediaType": OCI_MANIFEST})
    found(api, {"images": [{"imageId": {"imageDigest": digest_of(own.encode())}, "imageManifest": own}]})

    assert api.repository.manifest("v1") == (OCI_MANIFEST, own.encode())


def test_a_manifest_that_is_not_there_is_none(api: Ecr) -> None:
    """A tag of none, and an answer without a word."""
    failure = {"imageId": {"imageTag": "v1"}, "failureCode": "ImageNotFound", "failureReason": "no"}
    found(api, {"images": [], "failures": [failure]})
    found(api, {"images": []})

    assert api.repository.manifest("v1") is None
    assert api.repository.manifest("v1") is None


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        pytest.param("KmsError", RegistryRefused, id="key"),
        pytest.param("UpstreamAccessDenied", RegistryRefused, id="upstream's permission"),
        pytest.param("UpstreamUnavailable", ServiceUnavailable, id="upstream"),
        pytest.param("UpstreamTooManyRequests", ServiceUnavailable, id="upstream's throttle"),
    ],
)
def test_a_manifest_that_cannot_be_had_is_told_of(api: Ecr, code: str, kind: type[SealiftError]) -> None:
    """It is not as if there were none."""
    found(api, {"images": [], "failures": [{"failureCode": code, "failureReason": "because"}]})

    with pytest.raises(kind, match=f"{code}: because"):
        api.repository.manifest("v1")


def test_a_manifest_that_is_not_what_its_digest_says_is_refused(api: Ecr) -> None:
    """ECR names it itself."""
    found(api, {"images": [{**IMAGE, "imageManifest": MANIFEST.decode() + " "}]})

    with pytest.raises(WrongDigest, match=f"wanted {digest_of(MANIFEST)}"):
        api.repository.manifest("v1")


def put(api: Ecr) -> None:
    """Put the manifest."""
    api.repository.put_manifest(MANIFEST, DOCKER_MANIFEST, "v1")


def test_a_manifest_is_put_with_its_digest(api: Ecr) -> None:
    """So that ECR compares."""
    api.answer(
        "put_image",
        {"image": {}},
        imageManifest=MANIFEST.decode(),
        imageManifestMediaType=DOCKER_MANIFEST,
        imageTag="v1",
        imageDigest=digest_of(MANIFEST),
    )

    put(api)


@pytest.mark.parametrize("code", ["ImageAlreadyExistsException", "ImageTagAlreadyExistsException"])
def test_an_image_that_is_there_is_done(api: Ecr, code: str) -> None:
    """Where the tag names it."""
    api.refuse("put_image", code)
    found(api, {"images": [IMAGE]})

    put(api)


def test_a_tag_that_names_another_image_for_good_is_told_of(api: Ecr) -> None:
    """It stays what it was."""
    other = '{"schemaVersion": 2}'
    api.refuse("put_image", "ImageTagAlreadyExistsException", "tag v1 already exists")
    found(api, {"images": [{"imageId": {"imageDigest": digest_of(other.encode())}, "imageManifest": other}]})

    with pytest.raises(RegistryRefused, match=r"tag v1 already exists.*--tag") as refusal:
        put(api)
    assert refusal.value.problems[0].error == "TagTaken"


DENIED = (
    "User: arn:aws:iam::123456789012:user/dev is not authorized to perform: ecr:PutImage on resource: "
    "arn:aws:ecr:us-east-1:123456789012:repository/sealift because no identity-based policy allows the "
    "ecr:PutImage action"
)


@pytest.mark.parametrize(
    ("code", "text", "kind", "says"),
    [
        pytest.param("LayersNotFoundException", "no", RegistryRefused, "nothing was tagged", id="half"),
        pytest.param("ImageDigestDoesNotMatchException", "no", WrongDigest, "wanted the bytes", id="digest"),
        pytest.param(
            "RepositoryNotFoundException", "no", ImageNotFound, "create-repository", id="repository"
        ),
        pytest.param("LimitExceededException", "no", RegistryRefused, "higher quota", id="quota"),
        pytest.param("KmsException", "no", RegistryRefused, "KMS key", id="key"),
        pytest.param(
            "InvalidParameterException", "no", RegistryRefused, "a request that ECR takes", id="wrong"
        ),
        pytest.param("AccessDeniedException", DENIED, AccessDenied, "add ecr:PutImage", id="permission"),
        pytest.param("ThrottlingException", "no", Throttled, "fewer calls", id="throttle"),
    ],
)
def test_what_ecr_refuses_is_one_clear_error(
    api: Ecr, code: str, text: str, kind: type[SealiftError], says: str
) -> None:
    """What was seen, what was wanted, what to do."""
    api.refuse("put_image", code, text)

    with pytest.raises(kind, match=says):
        put(api)


@pytest.mark.parametrize("code", ["LayersNotFoundException", "LayerInaccessibleException"])
def test_a_layer_that_vanished_is_told_of(api: Ecr, code: str) -> None:
    """ECR removes what no image has."""
    api.refuse("get_download_url_for_layer", code)

    with pytest.raises(SealiftError, match=code):
        list(api.repository.read(BLOB))


def test_a_layer_is_read_from_where_ecr_says(api: Ecr) -> None:
    """Asked again when it is cut off or its address has expired, and gone on."""
    with running(FakeRegistry()) as store:
        store.put("sealift", CONTENT)
        url = f"http://{store.store}/sealift/{BLOB.digest}?signed"
        for _ in range(3):
            answer = {"downloadUrl": url, "layerDigest": BLOB.digest}
            api.answer("get_download_url_for_layer", answer, layerDigest=BLOB.digest)
        store.fail(Fault("GET", "", cut_answer=PART), Fault("GET", "", status=403))

        assert b"".join(api.repository.read(BLOB)) == CONTENT
    assert store.asked()[2].headers["range"] == f"bytes={PART}-"


def test_a_layer_that_is_not_where_ecr_says_is_told_of(api: Ecr) -> None:
    """With what to do."""
    with running(FakeRegistry()) as store:
        store.fail(Fault("GET", "", status=404))
        answer = {"downloadUrl": f"http://{store.store}/gone", "layerDigest": BLOB.digest}
        api.answer("get_download_url_for_layer", answer, layerDigest=BLOB.digest)

        with pytest.raises(ImageNotFound, match="not where ECR says"):
            list(api.repository.read(BLOB))


def test_ecr_mounts_nothing(api: Ecr) -> None:
    """And is asked nothing."""
    assert not api.repository.mount(BLOB, f"{REFERENCE.host}/other")


def test_a_host_that_is_not_ecrs_is_refused() -> None:
    """By its form."""
    with pytest.raises(RegistryRefused, match=r"registry\.example"):
        EcrRepository(
            Reference("registry.example", "a"), Clients(region="us-east-1").registry, Http(Patience())
        )
