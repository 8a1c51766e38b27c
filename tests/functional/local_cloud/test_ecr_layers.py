"""Layers on their way into a repository of the local cloud and out of it, by ECR's own API."""

from __future__ import annotations

import http.client
import resource
import urllib.error
import urllib.request
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import pytest
from botocore.exceptions import ClientError, ConnectionClosedError

from local_cloud.ecr.blobs import Blobs
from local_cloud.ecr.repositories import KEPT_S, PART_BYTES, EcrQuotas
from local_cloud.faults import Fault
from pipeline.image.manifest import digest_of
from tests import pushed
from tests.ecr_site import ACCOUNT, REPOSITORY, EcrSite, ecr_site

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

MIB = 1 << 20
NO_UPLOAD = "01234567-89ab-cdef-0123-456789abcdef"


@pytest.fixture
def site(tmp_path: Path) -> Iterator[EcrSite]:
    """A registry with an empty repository."""
    with ecr_site(tmp_path) as site:
        yield site


def begun(site: EcrSite) -> str:
    """Return a new upload."""
    return site.client.initiate_layer_upload(repositoryName=REPOSITORY)["uploadId"]


def send(site: EcrSite, upload: str, first: int, data: bytes, **other: Any) -> int:
    """Send a part; return the last byte that ECR has."""
    answer = site.client.upload_layer_part(
        **{
            "repositoryName": REPOSITORY,
            "uploadId": upload,
            "partFirstByte": first,
            "partLastByte": first + len(data) - 1,
            "layerPartBlob": data,
            **other,
        }
    )
    return answer["lastByteReceived"]


def complete(site: EcrSite, upload: str, *digests: str) -> str:
    """Complete an upload; return the layer's digest."""
    answer = site.client.complete_layer_upload(
        repositoryName=REPOSITORY, uploadId=upload, layerDigests=list(digests)
    )
    return answer["layerDigest"]


def refused(call: Callable[[], object]) -> tuple[str, str, dict[str, Any]]:
    """Return code, message and the whole answer of a refusal."""
    with pytest.raises(ClientError) as error:
        call()
    answer: dict[str, Any] = dict(error.value.response)
    return answer["Error"]["Code"], answer["Error"]["Message"], answer


# -------------------------------------------------------------------------------- uploads


def test_a_layer_arrives_in_parts(site: EcrSite) -> None:
    """ECR proposes the parts' size, tells how far it is, and knows the layer then."""
    first, second = b"a" * 5 * MIB, b"end"
    answer = site.client.initiate_layer_upload(repositoryName=REPOSITORY)
    upload = answer["uploadId"]

    assert answer["partSize"] == PART_BYTES == 10_485_760
    assert send(site, upload, 0, first) == 5 * MIB - 1
    assert send(site, upload, 5 * MIB, second) == 5 * MIB + 2
    digest = digest_of(first + second)
    assert complete(site, upload, digest) == digest
    found = site.client.batch_check_layer_availability(repositoryName=REPOSITORY, layerDigests=[digest])
    assert found["layers"] == [
        {
            "layerDigest": digest,
            "layerAvailability": "AVAILABLE",
            "layerSize": 5 * MIB + 3,
            "mediaType": "application/vnd.docker.image.rootfs.diff.tar.gzip",
        }
    ]


@pytest.mark.parametrize(
    ("first", "data", "other"),
    [
        pytest.param(0, b"again", {}, id="sent twice"),
        pytest.param(6, b"gap", {}, id="a gap"),
        pytest.param(4, b"over", {}, id="an overlap"),
        pytest.param(5, b"four", {"partLastByte": 9}, id="fewer bytes than it says"),
        pytest.param(5, b"four", {"partLastByte": 7}, id="more bytes than it says"),
        pytest.param(5, b"", {"partLastByte": 5}, id="nothing"),
        pytest.param(5, bytes(PART_BYTES + 1), {}, id="more than the quota"),
    ],
)
def test_a_part_has_to_follow_the_last_one(
    site: EcrSite, first: int, data: bytes, other: dict[str, int]
) -> None:
    """The refusal tells the last byte that is there, from where an upload can go on, and changes nothing."""
    upload = begun(site)
    send(site, upload, 0, b"first")

    code, message, answer = refused(lambda: send(site, upload, first, data, **other))

    assert code == "InvalidLayerPartException"
    assert upload in message
    assert answer["lastValidByteReceived"] == 4
    assert (answer["registryId"], answer["repositoryName"]) == (ACCOUNT, REPOSITORY)
    assert answer["uploadId"] == upload
    assert send(site, upload, 5, b"second") == 10


def test_the_largest_part_is_taken(site: EcrSite) -> None:
    """Just the quota is no more than the quota."""
    assert send(site, begun(site), 0, bytes(PART_BYTES)) == PART_BYTES - 1


def test_more_than_the_model_allows_is_no_part_at_all(site: EcrSite) -> None:
    """The service model's bound is AWS's own parameter check."""
    upload = begun(site)

    code, message, _ = refused(lambda: send(site, upload, 0, bytes(20_971_521)))

    assert code == "InvalidParameterException"
    assert message == (
        "Invalid parameter at 'layerPartBlob' failed to satisfy constraint: "
        "'Member must have length less than or equal to 20971520'"
    )


def test_a_layer_may_have_so_many_parts(site: EcrSite) -> None:
    """AWS's quota, here a smaller one."""
    site.another(EcrQuotas(layer_parts=2))
    upload = begun(site)
    for first in (0, 5 * MIB):
        send(site, upload, first, bytes(5 * MIB))

    code, _, _ = refused(lambda: send(site, upload, 10 * MIB, b"third"))

    assert code == "LimitExceededException"
    assert complete(site, upload, digest_of(bytes(10 * MIB)))


def test_only_the_last_part_may_be_small(site: EcrSite) -> None:
    """It is told when the layer is completed, as AWS's log of calls has it."""
    upload = begun(site)
    send(site, upload, 0, bytes(5 * MIB - 1))
    send(site, upload, 5 * MIB - 1, bytes(5 * MIB))
    digest = digest_of(bytes(10 * MIB - 1))

    assert refused(lambda: complete(site, upload, digest))[:2] == (
        "LayerPartTooSmallException",
        "All layer parts except the last part should be at least 5MB",
    )


def test_a_part_of_five_mebibytes_is_not_small(site: EcrSite) -> None:
    """Nor is the only one of a layer, whatever its size."""
    upload = begun(site)
    send(site, upload, 0, bytes(5 * MIB))
    send(site, upload, 5 * MIB, b"x")
    assert complete(site, upload, digest_of(bytes(5 * MIB) + b"x"))

    assert pushed.upload(site.client, REPOSITORY, b"tiny") == digest_of(b"tiny")


def test_a_layer_is_what_its_digest_says(site: EcrSite) -> None:
    """Whoever names another digest, or none of the right ones, gets no layer."""
    upload = begun(site)
    send(site, upload, 0, b"layer")

    code, message, _ = refused(lambda: complete(site, upload, digest_of(b"other")))

    assert code == "InvalidLayerException"
    assert digest_of(b"layer") in message
    found = site.client.batch_check_layer_availability(
        repositoryName=REPOSITORY, layerDigests=[digest_of(b"layer")]
    )
    assert found["layers"][0]["layerAvailability"] == "UNAVAILABLE"
    assert complete(site, upload, digest_of(b"other"), digest_of(b"layer")) == digest_of(b"layer")


def test_a_layer_that_is_there_is_not_completed_again(site: EcrSite) -> None:
    """A push that was repeated learns that it is done."""
    pushed.upload(site.client, REPOSITORY, b"layer")
    upload = begun(site)
    send(site, upload, 0, b"layer")

    code, message, _ = refused(lambda: complete(site, upload, digest_of(b"layer")))

    assert code == "LayerAlreadyExistsException"
    assert digest_of(b"layer") in message


def test_nothing_is_no_layer(site: EcrSite) -> None:
    """In the words of AWS's own log of calls."""
    upload = begun(site)

    assert refused(lambda: complete(site, upload, digest_of(b"")))[:2] == (
        "EmptyUploadException",
        (
            f"The upload with id '{upload}' in the repository with name 'sealift' in registry with id '{ACCOUNT}' "
            "cannot be completed because it does not have any parts"
        ),
    )


def test_an_unknown_upload_is_refused(site: EcrSite) -> None:
    """Also one that was completed: it is none any more."""
    upload = begun(site)
    send(site, upload, 0, b"layer")
    complete(site, upload, digest_of(b"layer"))

    for one in (NO_UPLOAD, upload):
        assert refused(lambda one=one: send(site, one, 0, b"x"))[0] == "UploadNotFoundException"
        assert (
            refused(lambda one=one: complete(site, one, digest_of(b"layer")))[0] == "UploadNotFoundException"
        )


def test_an_upload_is_of_its_repository(site: EcrSite) -> None:
    """Another repository does not know it."""
    site.client.create_repository(repositoryName="other")
    upload = site.client.initiate_layer_upload(repositoryName="other")["uploadId"]

    assert refused(lambda: send(site, upload, 0, b"x"))[0] == "UploadNotFoundException"


def test_an_upload_expires(site: EcrSite) -> None:
    """With its file; that it lasts a day is assumed."""
    upload = begun(site)
    send(site, upload, 0, b"x")
    site.now[0] += KEPT_S - 1
    assert send(site, upload, 1, b"y") == 1

    site.now[0] += 1

    assert refused(lambda: send(site, upload, 2, b"z"))[0] == "UploadNotFoundException"
    assert site.files() == []


@pytest.mark.parametrize("operation", ["InitiateLayerUpload", "UploadLayerPart", "CompleteLayerUpload"])
def test_a_repository_that_is_not_there_takes_nothing(site: EcrSite, operation: str) -> None:
    """By its name and its registry."""
    name = {"repositoryName": "none"}
    calls: dict[str, Callable[[], object]] = {
        "InitiateLayerUpload": lambda: site.client.initiate_layer_upload(**name),
        "UploadLayerPart": lambda: send(site, NO_UPLOAD, 0, b"x", **name),
        "CompleteLayerUpload": lambda: site.client.complete_layer_upload(
            **name, uploadId=NO_UPLOAD, layerDigests=[digest_of(b"x")]
        ),
    }

    assert refused(calls[operation])[:2] == (
        "RepositoryNotFoundException",
        f"The repository with name 'none' does not exist in the registry with id '{ACCOUNT}'",
    )


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        pytest.param({"repositoryName": "Upper"}, "must satisfy regular expression", id="a name"),
        pytest.param({"uploadId": "x"}, "must satisfy regular expression", id="an upload"),
        pytest.param({"registryId": "1"}, "must satisfy regular expression", id="a registry"),
    ],
)
def test_a_parameter_is_checked_by_the_service_model(
    site: EcrSite, parameters: dict[str, Any], message: str
) -> None:
    """The SDK leaves patterns to AWS."""
    code, told, _ = refused(lambda: send(site, NO_UPLOAD, 0, b"x", **parameters))

    assert code == "InvalidParameterException"
    assert f"Invalid parameter at '{next(iter(parameters))}'" in told
    assert message in told


def test_a_full_disk_refuses_a_part_and_keeps_what_is_there(tmp_path: Path) -> None:
    """By a code that no SDK tries again; the upload goes on when there is room."""
    room = [1 << 40]
    with ecr_site(tmp_path, free=lambda _folder: room[0]) as site:
        upload = begun(site)
        send(site, upload, 0, b"first")
        room[0] = 256 * MIB

        code, message, _ = refused(lambda: send(site, upload, 5, b"second"))

        assert code == "InsufficientStorage"
        assert str(tmp_path) in message
        room[0] = 1 << 40
        assert send(site, upload, 5, b"second") == 10


def test_a_large_layer_is_never_in_memory(site: EcrSite) -> None:
    """What the process has grown by is far less than the layer; its file has all of it."""
    part = bytes(PART_BYTES)
    upload = begun(site)
    send(site, upload, 0, part)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for number in range(1, 24):
        send(site, upload, number * PART_BYTES, part)
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before

    assert grown * 1024 < 12 * PART_BYTES
    assert [file.stat().st_size for file in site.files()] == [24 * PART_BYTES]


# ------------------------------------------------------------------------------ availability


def test_availability_tells_of_each_digest(site: EcrSite) -> None:
    """One that is well formed and not there is unavailable, which is no failure."""
    there = pushed.upload(site.client, REPOSITORY, b"layer")
    missing = digest_of(b"missing")

    found = site.client.batch_check_layer_availability(
        repositoryName=REPOSITORY, layerDigests=[there, missing, "sha256:short"]
    )

    assert [(one["layerDigest"], one["layerAvailability"]) for one in found["layers"]] == [
        (there, "AVAILABLE"),
        (missing, "UNAVAILABLE"),
    ]
    assert [(one["layerDigest"], one["failureCode"]) for one in found["failures"]] == [
        ("sha256:short", "InvalidLayerDigest")
    ]


def test_a_layer_is_of_its_repository_and_its_file_of_all(site: EcrSite) -> None:
    """Another repository has to upload it, and then shares the file."""
    site.client.create_repository(repositoryName="other")
    digest = pushed.upload(site.client, REPOSITORY, b"layer")

    found = site.client.batch_check_layer_availability(repositoryName="other", layerDigests=[digest])
    assert found["layers"][0]["layerAvailability"] == "UNAVAILABLE"
    pushed.upload(site.client, "other", b"layer")
    assert len(site.files()) == 1
    site.client.delete_repository(repositoryName=REPOSITORY, force=True)
    assert len(site.files()) == 1
    site.client.delete_repository(repositoryName="other", force=True)
    assert site.files() == []


def test_a_layer_without_an_image_goes_after_a_while(site: EcrSite) -> None:
    """One that an image has stays."""
    kept = pushed.image()
    pushed.push(site.client, REPOSITORY, "1", kept)
    lone = pushed.upload(site.client, REPOSITORY, b"lone")

    def availability() -> list[str]:
        found = site.client.batch_check_layer_availability(
            repositoryName=REPOSITORY, layerDigests=[lone, digest_of(kept.layers[0])]
        )
        return [one["layerAvailability"] for one in found["layers"]]

    site.now[0] += KEPT_S - 1
    assert availability() == ["AVAILABLE", "AVAILABLE"]
    site.now[0] += 1
    assert availability() == ["UNAVAILABLE", "AVAILABLE"]


# -------------------------------------------------------------------------------- downloads


def fetch(url: str, **headers: str) -> tuple[int, bytes, dict[str, str]]:
    """Return status, body and headers of a GET."""
    try:
        with urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=30) as answer:
            return answer.status, answer.read(), dict(answer.headers)
    except urllib.error.HTTPError as error:
        return error.code, error.read(), dict(error.headers)


@pytest.fixture
def address(site: EcrSite) -> str:
    """Where the layer of an image is."""
    image = pushed.image(pushed.layer(serve=b"0123456789"))
    pushed.push(site.client, REPOSITORY, "1", image)
    found = site.client.get_download_url_for_layer(
        repositoryName=REPOSITORY, layerDigest=digest_of(image.layers[0])
    )
    assert found["layerDigest"] == digest_of(image.layers[0])
    return found["downloadUrl"]


BODY = pushed.layer(serve=b"0123456789")


def test_a_layer_is_read_where_ecr_says(address: str) -> None:
    """Without a signature of the caller's: the address is all it takes."""
    assert fetch(address)[:2] == (200, BODY)


@pytest.mark.parametrize(
    ("wanted", "body", "content_range"),
    [
        pytest.param("bytes=0-0", BODY[:1], f"bytes 0-0/{len(BODY)}", id="first byte"),
        pytest.param("bytes=7-9", BODY[7:10], f"bytes 7-9/{len(BODY)}", id="middle"),
        pytest.param("bytes=7-", BODY[7:], f"bytes 7-{len(BODY) - 1}/{len(BODY)}", id="open end"),
        pytest.param("bytes=7-9999", BODY[7:], f"bytes 7-{len(BODY) - 1}/{len(BODY)}", id="beyond the end"),
        pytest.param(
            "bytes=-3",
            BODY[-3:],
            f"bytes {len(BODY) - 3}-{len(BODY) - 1}/{len(BODY)}",
            id="suffix",
        ),
    ],
)
def test_a_range_of_a_layer_is_just_these_bytes(
    address: str, wanted: str, body: bytes, content_range: str
) -> None:
    """A download that was cut off goes on where it was."""
    status, found, headers = fetch(address, Range=wanted)

    assert (status, found, headers["Content-Range"]) == (206, body, content_range)


def test_a_range_behind_the_end_is_refused(address: str) -> None:
    """As S3 does."""
    status, body, _ = fetch(address, Range=f"bytes={len(BODY)}-")

    assert status == 416
    assert b"InvalidRange" in body


def test_a_head_tells_the_size(address: str) -> None:
    """And has no body."""
    parts = urlsplit(address)
    connection = http.client.HTTPConnection(parts.netloc, timeout=10)
    connection.request("HEAD", f"{parts.path}?{parts.query}")
    answer = connection.getresponse()

    assert (answer.status, answer.getheader("Content-Length")) == (200, str(len(BODY)))
    assert answer.read() == b""
    connection.close()


def test_an_address_expires(site: EcrSite, address: str) -> None:
    """After an hour, which is assumed."""
    site.now[0] += 3599
    assert fetch(address)[0] == 200

    site.now[0] += 1

    status, body, _ = fetch(address)
    assert (status, b"Request has expired" in body) == (403, True)


@pytest.mark.parametrize(
    "forged",
    [
        pytest.param(lambda url: url.partition("?")[0], id="no signature"),
        pytest.param(lambda url: url.replace("sha256:", "sha256:0", 1), id="another layer"),
        pytest.param(lambda url: url.replace("sealift-until=", "sealift-until=9"), id="another time"),
    ],
)
def test_nobody_makes_an_address_of_their_own(address: str, forged: Callable[[str], str]) -> None:
    """It is signed as a whole."""
    status, body, _ = fetch(forged(address))

    assert (status, b"AccessDenied" in body) == (403, True)


def test_an_address_of_a_layer_that_is_gone_leads_nowhere(site: EcrSite, address: str) -> None:
    """As for any key of S3 that is not there."""
    site.client.batch_delete_image(repositoryName=REPOSITORY, imageIds=[{"imageTag": "1"}])

    status, body, _ = fetch(address)
    assert (status, b"NoSuchKey" in body) == (404, True)


def test_a_layer_that_no_image_has_has_no_address(site: EcrSite) -> None:
    """Nor has one that is not there, which is another refusal."""
    lone, missing = pushed.upload(site.client, REPOSITORY, b"lone"), digest_of(b"missing")

    code, _, _ = refused(
        lambda: site.client.get_download_url_for_layer(repositoryName=REPOSITORY, layerDigest=lone)
    )
    assert code == "LayerInaccessibleException"
    assert refused(
        lambda: site.client.get_download_url_for_layer(repositoryName=REPOSITORY, layerDigest=missing)
    )[:2] == (
        "LayersNotFoundException",
        (
            f"The layer with digest {missing} does not exist within the repository with name 'sealift' "
            f"in the registry with id '{ACCOUNT}'"
        ),
    )


# ----------------------------------------------------------------------------------- faults


def test_a_call_of_ecrs_fails_on_demand(site: EcrSite) -> None:
    """As any other, with AWS's status for its own trouble."""
    site.faults.replace([Fault.parse("ecr.UploadLayerPart=ServerException:1")])
    upload = begun(site)

    code, _, answer = refused(lambda: send(site, upload, 0, b"x"))

    assert (code, answer["ResponseMetadata"]["HTTPStatusCode"]) == ("ServerException", 500)
    assert send(site, upload, 0, b"x") == 0


def test_a_part_whose_answer_was_lost_is_there(site: EcrSite) -> None:
    """Whoever sends it again, as SDKs may by themselves, learns how far ECR is."""
    site.faults.replace([Fault.parse("ecr.UploadLayerPart=AnswerLost:1")])
    upload = begun(site)
    with pytest.raises(ConnectionClosedError):
        send(site, upload, 0, b"part")

    code, _, answer = refused(lambda: send(site, upload, 0, b"part"))

    assert (code, answer["lastValidByteReceived"]) == ("InvalidLayerPartException", 3)


def test_reading_a_layer_is_a_call_of_s3s(site: EcrSite, address: str) -> None:
    """So it fails as that does."""
    site.faults.replace([Fault.parse("s3.GetObject=SlowDown:1")])

    assert fetch(address)[0] == 503
    assert fetch(address)[:2] == (200, BODY)


def test_nothing_is_left_of_a_registry_that_nobody_closed(tmp_path: Path) -> None:
    """Its folder goes with it."""
    blobs = Blobs(str(tmp_path))
    blobs.append(blobs.begin(0.0), b"part")
    assert [path.name[:12] for path in tmp_path.iterdir()] == ["sealift-ecr-"]

    del blobs

    assert list(tmp_path.iterdir()) == []
