"""Images and tags in a repository of the local cloud, by ECR's own API."""

from __future__ import annotations

import gzip
import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from botocore.exceptions import ClientError

from local_cloud.ecr import pulls
from local_cloud.ecr.manifests import MOST_LAYERS
from local_cloud.ecr.repositories import EcrQuotas
from pipeline.image.manifest import DOCKER_INDEX, DOCKER_MANIFEST, OCI_INDEX, OCI_MANIFEST, digest_of
from tests import pushed
from tests.ecr_site import ACCOUNT, REGION, REPOSITORY, EcrSite, ecr_site

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

URI = f"{ACCOUNT}.dkr.ecr.{REGION}.amazonaws.com/{REPOSITORY}"
HERE = f"within the repository with name 'sealift' in the registry with id '{ACCOUNT}'"
ONE = pushed.image()
OTHER = pushed.image(pushed.layer(other=b"file"))
SHARING = pushed.image(*ONE.layers, pushed.layer(second=b"layer"))


@pytest.fixture
def site(tmp_path: Path) -> Iterator[EcrSite]:
    """A registry with an empty repository."""
    with ecr_site(tmp_path) as site:
        yield site


def refused(call: Callable[[], object]) -> tuple[str, str]:
    """Return code and message of a refusal."""
    with pytest.raises(ClientError) as error:
        call()
    told = error.value.response["Error"]
    return told["Code"], told["Message"]


def put(site: EcrSite, manifest: str, tag: str | None = "1", **more: Any) -> dict[str, Any]:
    """Put a manifest; return what is told of the image."""
    tagged = {} if tag is None else {"imageTag": tag}
    answer = site.client.put_image(repositoryName=REPOSITORY, imageManifest=manifest, **tagged, **more)
    return dict(answer["image"])


def upload(site: EcrSite, image: pushed.Image) -> None:
    """Upload what an image is made of, as far as it is not there."""
    blobs = {digest_of(one): one for one in (image.config, *image.layers)}
    found = site.client.batch_check_layer_availability(repositoryName=REPOSITORY, layerDigests=list(blobs))[
        "layers"
    ]
    for one in found:
        if one["layerAvailability"] == "UNAVAILABLE":
            pushed.upload(site.client, REPOSITORY, blobs[one["layerDigest"]])


def described(site: EcrSite, **more: Any) -> list[dict[str, Any]]:
    """Return what DescribeImages tells."""
    return [
        dict(one) for one in site.client.describe_images(repositoryName=REPOSITORY, **more)["imageDetails"]
    ]


def tags(site: EcrSite) -> dict[str, list[str]]:
    """Return the tags of each image."""
    return {one["imageDigest"]: one.get("imageTags", []) for one in described(site)}


def index(*images: pushed.Image, media_type: str = DOCKER_INDEX) -> str:
    """Return a list of manifests."""
    rows = [
        {
            "mediaType": one.media_type,
            "digest": one.digest,
            "size": len(one.manifest),
            "platform": {"architecture": "amd64", "os": "linux"},
        }
        for one in images
    ]
    return json.dumps({"schemaVersion": 2, "mediaType": media_type, "manifests": rows})


# ---------------------------------------------------------------------------------- PutImage


def test_an_image_is_what_was_put(site: EcrSite) -> None:
    """Its digest is that of the manifest's bytes, and those come back as they were."""
    upload(site, ONE)

    told = put(site, ONE.manifest)

    assert told == {
        "registryId": ACCOUNT,
        "repositoryName": REPOSITORY,
        "imageId": {"imageDigest": ONE.digest, "imageTag": "1"},
        "imageManifest": ONE.manifest,
        "imageManifestMediaType": DOCKER_MANIFEST,
    }
    assert (
        described(site)[0].items()
        >= {
            "registryId": ACCOUNT,
            "repositoryName": REPOSITORY,
            "imageDigest": ONE.digest,
            "imageTags": ["1"],
            "imageSizeInBytes": len(ONE.config) + sum(map(len, ONE.layers)),
            "imageManifestMediaType": DOCKER_MANIFEST,
            "artifactMediaType": "application/vnd.docker.container.image.v1+json",
            "imageStatus": "ACTIVE",
        }.items()
    )
    assert described(site)[0]["imagePushedAt"].timestamp() == site.now[0]


@pytest.mark.parametrize("missing", ["a layer", "the configuration"])
def test_all_that_a_manifest_names_has_to_be_there(site: EcrSite, missing: str) -> None:
    """In AWS's words, with all of what is missing; no tag is left behind."""
    blob = ONE.layers[0] if missing == "the configuration" else ONE.config
    lacking = ONE.config if missing == "the configuration" else ONE.layers[0]
    pushed.upload(site.client, REPOSITORY, blob)

    assert refused(lambda: put(site, ONE.manifest)) == (
        "LayersNotFoundException",
        (
            f"Layers with digests '[{digest_of(lacking)}]' required for pushing image into repository with name "
            f"'sealift' in the registry with id '{ACCOUNT}' do not exist"
        ),
    )
    assert described(site) == []


@pytest.mark.parametrize(
    ("manifest", "rule"),
    [
        pytest.param("{", "Invalid JSON syntax", id="no JSON"),
        pytest.param("[]", "Invalid JSON syntax", id="no object"),
        pytest.param('{"schemaVersion": 2}', "Invalid JSON syntax", id="no media type"),
        pytest.param(
            '{"schemaVersion": 2, "mediaType": "text/plain"}',
            "Unsupported manifest media type text/plain",
            id="another media type",
        ),
        pytest.param(
            json.dumps({"schemaVersion": 2, "mediaType": DOCKER_MANIFEST}),
            "layers is missing or no list",
            id="no layers",
        ),
        pytest.param(
            json.dumps({"schemaVersion": 2, "mediaType": DOCKER_MANIFEST, "layers": []}),
            "A descriptor needs mediaType, digest and size",
            id="no configuration",
        ),
        pytest.param(
            replace(ONE, layers=ONE.layers * (MOST_LAYERS + 1)).manifest,
            "Limit on number of layers per image exceeded",
            id="too many layers",
        ),
    ],
)
def test_what_is_no_manifest_is_refused(site: EcrSite, manifest: str, rule: str) -> None:
    """As a parameter of the request."""
    assert refused(lambda: put(site, manifest)) == (
        "InvalidParameterException",
        f"Invalid parameter at 'ImageManifest' failed to satisfy constraint: '{rule}'",
    )


def test_as_many_layers_as_may_be_are_taken(site: EcrSite) -> None:
    """Just the limit is not over it."""
    many = replace(ONE, layers=ONE.layers * MOST_LAYERS)
    upload(site, many)

    assert put(site, many.manifest)["imageId"]["imageDigest"] == many.digest


def test_the_request_may_name_the_media_type(site: EcrSite) -> None:
    """It has to when the manifest does not, and must not contradict it."""
    upload(site, ONE)
    document = json.loads(ONE.manifest)
    del document["mediaType"]
    bare = json.dumps(document)

    told = put(site, bare, imageManifestMediaType=OCI_MANIFEST)

    assert told["imageManifestMediaType"] == OCI_MANIFEST
    code, _ = refused(lambda: put(site, ONE.manifest, imageManifestMediaType=OCI_MANIFEST))
    assert code == "InvalidParameterException"


def test_a_digest_that_is_given_has_to_be_the_manifests(site: EcrSite) -> None:
    """In AWS's words; the right one is taken."""
    upload(site, ONE)
    wrong = digest_of(b"other")

    assert refused(lambda: put(site, ONE.manifest, imageDigest=wrong)) == (
        "ImageDigestDoesNotMatchException",
        (
            f"The image with digest '{wrong}' in repository 'sealift' and registry ID '{ACCOUNT}' does not match the "
            "image digest that Amazon ECR has calculated."
        ),
    )
    assert put(site, ONE.manifest, imageDigest=ONE.digest)["imageId"]["imageDigest"] == ONE.digest


def test_the_same_again_is_told(site: EcrSite) -> None:
    """With its tag; without one, whatever tags it has."""
    pushed.push(site.client, REPOSITORY, "1", ONE)

    for tag in ("1", None):
        code, message = refused(lambda tag=tag: put(site, ONE.manifest, tag))
        assert code == "ImageAlreadyExistsException"
        assert message == (
            f"Image with digest '{ONE.digest}' and tag '{tag or 'null'}' already exists in the repository with name "
            f"'sealift' in registry with id '{ACCOUNT}'"
        )


def test_a_tag_moves(site: EcrSite) -> None:
    """What it named stays, without it, and a second tag is one more."""
    pushed.push(site.client, REPOSITORY, "latest", ONE)
    pushed.push(site.client, REPOSITORY, "latest", OTHER)
    pushed.push(site.client, REPOSITORY, "2", OTHER)

    assert tags(site) == {ONE.digest: [], OTHER.digest: ["latest", "2"]}


@pytest.mark.parametrize(
    ("mutability", "filters", "tag", "taken"),
    [
        pytest.param("MUTABLE", [], "1", True, id="mutable"),
        pytest.param("IMMUTABLE", [], "1", False, id="immutable"),
        pytest.param("IMMUTABLE_WITH_EXCLUSION", ["dev*"], "1", False, id="not excluded"),
        pytest.param("IMMUTABLE_WITH_EXCLUSION", ["dev*"], "dev-1", True, id="excluded"),
        pytest.param("MUTABLE_WITH_EXCLUSION", ["v*"], "v1", False, id="excluded from mutability"),
        pytest.param("MUTABLE_WITH_EXCLUSION", ["v*"], "1", True, id="not excluded from mutability"),
    ],
)
def test_a_tag_that_may_not_move_stays(
    site: EcrSite, mutability: str, filters: list[str], tag: str, taken: bool
) -> None:
    """In AWS's words; a new tag is taken whatever the repository says."""
    more: dict[str, Any] = {}
    if filters:
        more["imageTagMutabilityExclusionFilters"] = [
            {"filterType": "WILDCARD", "filter": one} for one in filters
        ]
    site.client.put_image_tag_mutability(repositoryName=REPOSITORY, imageTagMutability=mutability, **more)
    pushed.push(site.client, REPOSITORY, tag, ONE)
    upload(site, OTHER)

    if taken:
        assert put(site, OTHER.manifest, tag)
        return
    assert refused(lambda: put(site, OTHER.manifest, tag)) == (
        "ImageTagAlreadyExistsException",
        (
            f"The image tag '{tag}' already exists in the 'sealift' repository and cannot be overwritten because the "
            "repository is immutable."
        ),
    )
    assert tags(site) == {ONE.digest: [tag]}


def test_quotas_are_kept(site: EcrSite) -> None:
    """AWS's, here smaller ones: images of a repository, and tags of an image."""
    site.another(EcrQuotas(images=1, tags=1))
    pushed.push(site.client, REPOSITORY, "1", ONE)
    upload(site, OTHER)

    assert refused(lambda: put(site, OTHER.manifest, "2"))[0] == "LimitExceededException"
    assert refused(lambda: put(site, ONE.manifest, "2"))[0] == "LimitExceededException"
    assert tags(site) == {ONE.digest: ["1"]}


@pytest.mark.parametrize("media_type", [DOCKER_INDEX, OCI_INDEX])
def test_a_list_of_manifests_names_images_that_are_there(site: EcrSite, media_type: str) -> None:
    """Its size is that of its largest image, and its images stay as long as it does."""
    pushed.push(site.client, REPOSITORY, "1", ONE)
    pushed.push(site.client, REPOSITORY, "2", SHARING)
    manifest = index(ONE, SHARING, media_type=media_type)

    assert refused(lambda: put(site, index(OTHER, media_type=media_type), "list")) == (
        "ReferencedImagesNotFoundException",
        (
            f"Images with digests '[{OTHER.digest}]' required for pushing image into repository with name 'sealift' "
            f"in the registry with id '{ACCOUNT}' do not exist"
        ),
    )
    put(site, manifest, "list")
    (detail,) = described(site, imageIds=[{"imageTag": "list"}])
    assert detail["imageSizeInBytes"] == len(SHARING.config) + sum(map(len, SHARING.layers))
    answer = site.client.batch_delete_image(
        repositoryName=REPOSITORY, imageIds=[{"imageDigest": ONE.digest}, {"imageTag": "2"}]
    )
    assert [one["failureCode"] for one in answer["failures"]] == ["ImageReferencedByManifestList"] * 2
    assert pulls.pull(ACCOUNT, REGION, f"{URI}:list") is None


# -------------------------------------------------------------------------------- BatchGetImage


@pytest.mark.parametrize(
    ("identity", "code"),
    [
        pytest.param({"imageTag": "none"}, "ImageNotFound", id="tag"),
        pytest.param({"imageDigest": digest_of(b"none")}, "ImageNotFound", id="digest"),
        pytest.param({"imageDigest": "sha256:short"}, "InvalidImageDigest", id="no digest"),
        pytest.param(
            {"imageDigest": digest_of(b"none"), "imageTag": "1"}, "ImageTagDoesNotMatchDigest", id="both"
        ),
        pytest.param({}, "MissingDigestAndTag", id="neither"),
    ],
)
def test_what_is_not_there_is_a_failure_among_the_rest(
    site: EcrSite, identity: dict[str, str], code: str
) -> None:
    """The answer is a success, for reading and for deleting."""
    pushed.push(site.client, REPOSITORY, "1", ONE)
    pushed.push(site.client, REPOSITORY, "2", OTHER)

    got = site.client.batch_get_image(
        repositoryName=REPOSITORY,
        imageIds=[identity, {"imageTag": "1"}],  # type: ignore[list-item]
    )
    gone = site.client.batch_delete_image(
        repositoryName=REPOSITORY,
        imageIds=[identity, {"imageTag": "2"}],  # type: ignore[list-item]
    )

    for answer in (got, gone):
        assert [one["failureCode"] for one in answer["failures"]] == [code]
        assert answer["failures"][0]["imageId"] == identity
    assert [one["imageId"]["imageDigest"] for one in got["images"]] == [ONE.digest]
    assert gone["imageIds"] == [{"imageDigest": OTHER.digest, "imageTag": "2"}]


@pytest.mark.parametrize(
    "identity",
    [
        pytest.param({"imageTag": "1"}, id="tag"),
        pytest.param({"imageDigest": ONE.digest}, id="digest"),
        pytest.param({"imageDigest": ONE.digest, "imageTag": "1"}, id="both"),
    ],
)
def test_an_image_is_found_by_tag_and_by_digest(site: EcrSite, identity: dict[str, str]) -> None:
    """The answer names it as it was asked for, and when it was read is written down."""
    pushed.push(site.client, REPOSITORY, "1", ONE)
    site.now[0] += 60

    (found,) = site.client.batch_get_image(
        repositoryName=REPOSITORY,
        imageIds=[identity],  # type: ignore[list-item]
    )["images"]

    assert found["imageManifest"] == ONE.manifest
    assert found["imageId"] == {"imageDigest": ONE.digest, **identity}
    assert described(site)[0]["lastRecordedPullTime"].timestamp() == site.now[0]


def test_an_image_of_another_media_type_is_not_what_was_asked_for(site: EcrSite) -> None:
    """ECR converts none (assumed)."""
    pushed.push(site.client, REPOSITORY, "1", ONE)

    def found(*accepted: str) -> int:
        answer = site.client.batch_get_image(
            repositoryName=REPOSITORY, imageIds=[{"imageTag": "1"}], acceptedMediaTypes=list(accepted)
        )
        return len(answer["images"])

    assert (found(OCI_MANIFEST), found(OCI_MANIFEST, DOCKER_MANIFEST)) == (0, 1)


# ------------------------------------------------------------------------------------ listings


def test_images_are_listed_by_their_tags(site: EcrSite) -> None:
    """One row a tag, one for an image without."""
    pushed.push(site.client, REPOSITORY, "1", ONE)
    pushed.push(site.client, REPOSITORY, "1", OTHER)
    pushed.push(site.client, REPOSITORY, "2", OTHER)

    def listed(status: str) -> list[dict[str, Any]]:
        answer = site.client.list_images(
            repositoryName=REPOSITORY,
            filter={"tagStatus": status},  # type: ignore[typeddict-item]
        )
        return [dict(one) for one in answer["imageIds"]]

    tagged = [{"imageDigest": OTHER.digest, "imageTag": tag} for tag in "12"]
    assert listed("TAGGED") == tagged
    assert listed("UNTAGGED") == [{"imageDigest": ONE.digest}]
    assert listed("ANY") == [{"imageDigest": ONE.digest}, *tagged]
    assert [one["imageDigest"] for one in described(site, filter={"tagStatus": "UNTAGGED"})] == [ONE.digest]
    assert described(site, filter={"imageStatus": "ARCHIVED"}) == []


def test_listings_come_in_pages(site: EcrSite) -> None:
    """Of images, of their details, and of repositories; a token that nobody gave is refused."""
    for number in range(3):
        pushed.push(site.client, REPOSITORY, str(number), ONE)
        pushed.push(site.client, f"other-{number}", "1", ONE)
    size = {"PaginationConfig": {"PageSize": 2}}

    pages = list(site.client.get_paginator("list_images").paginate(repositoryName=REPOSITORY, **size))  # type: ignore[arg-type]
    assert [len(page["imageIds"]) for page in pages] == [2, 1]
    repositories = list(site.client.get_paginator("describe_repositories").paginate(**size))  # type: ignore[arg-type]
    assert [len(page["repositories"]) for page in repositories] == [2, 2]
    code, _ = refused(lambda: site.client.list_images(repositoryName=REPOSITORY, nextToken="stranger"))
    assert code == "InvalidParameterException"


@pytest.mark.parametrize(
    ("identity", "named"),
    [
        pytest.param({"imageTag": "none"}, "{imageDigest:'null', imageTag:'none'}", id="tag"),
        pytest.param(
            {"imageDigest": digest_of(b"")},
            f"{{imageDigest:'{digest_of(b'')}', imageTag:'null'}}",
            id="digest",
        ),
    ],
)
def test_details_of_an_image_that_is_not_there_are_refused(
    site: EcrSite, identity: dict[str, str], named: str
) -> None:
    """The whole call, other than BatchGetImage."""
    assert refused(lambda: described(site, imageIds=[identity])) == (
        "ImageNotFoundException",
        f"The image with imageId {named} does not exist {HERE}",
    )


# ------------------------------------------------------------------------------------ deletion


def test_the_last_tag_takes_the_image_along(site: EcrSite) -> None:
    """An earlier one goes alone; by its digest an image goes with all tags."""
    for tag in "12":
        pushed.push(site.client, REPOSITORY, tag, ONE)
    for tag in "34":
        pushed.push(site.client, REPOSITORY, tag, OTHER)

    def delete(**identity: str) -> list[dict[str, str]]:
        answer = site.client.batch_delete_image(repositoryName=REPOSITORY, imageIds=[identity])  # type: ignore[list-item]
        return [dict(one) for one in answer["imageIds"]]  # type: ignore[misc]

    assert delete(imageTag="1") == [{"imageDigest": ONE.digest, "imageTag": "1"}]
    assert tags(site)[ONE.digest] == ["2"]
    assert delete(imageTag="2") == [{"imageDigest": ONE.digest, "imageTag": "2"}]
    assert delete(imageDigest=OTHER.digest) == [
        {"imageDigest": OTHER.digest, "imageTag": tag} for tag in "34"
    ]
    assert tags(site) == {}


def test_layers_stay_as_long_as_an_image_has_them(site: EcrSite) -> None:
    """And their files go with the last one."""
    pushed.push(site.client, REPOSITORY, "1", ONE)
    pushed.push(site.client, REPOSITORY, "2", SHARING)
    assert len(site.files()) == 4

    site.client.batch_delete_image(repositoryName=REPOSITORY, imageIds=[{"imageTag": "2"}])
    assert len(site.files()) == 2
    found = site.client.batch_check_layer_availability(
        repositoryName=REPOSITORY, layerDigests=[digest_of(one) for one in SHARING.layers]
    )
    assert [one["layerAvailability"] for one in found["layers"]] == ["AVAILABLE", "UNAVAILABLE"]
    site.client.batch_delete_image(repositoryName=REPOSITORY, imageIds=[{"imageTag": "1"}])
    assert site.files() == []


def test_a_repository_with_images_is_deleted_by_force_alone(site: EcrSite) -> None:
    """In AWS's words."""
    pushed.push(site.client, REPOSITORY, "1", ONE)

    assert refused(lambda: site.client.delete_repository(repositoryName=REPOSITORY)) == (
        "RepositoryNotEmptyException",
        (
            f"The repository with name 'sealift' in registry with id '{ACCOUNT}' cannot be deleted because it still "
            "contains images"
        ),
    )
    site.client.delete_repository(repositoryName=REPOSITORY, force=True)
    assert site.files() == []


def test_an_empty_repository_is_deleted_with_what_was_begun(site: EcrSite) -> None:
    """Layers that no image has are nothing that it contains."""
    pushed.upload(site.client, REPOSITORY, b"lone")
    site.client.initiate_layer_upload(repositoryName=REPOSITORY)
    assert len(site.files()) == 2

    site.client.delete_repository(repositoryName=REPOSITORY)

    assert site.files() == []


# ----------------------------------------------------------------------------- scans and tokens


def test_an_image_is_scanned_on_push(site: EcrSite) -> None:
    """Nothing is found here; a repository that does not ask for it has none scanned."""
    pushed.push(site.client, REPOSITORY, "1", ONE)
    wanted = {"repositoryName": REPOSITORY, "imageId": {"imageTag": "2"}}
    assert "imageScanStatus" not in described(site)[0]
    site.client.put_image_scanning_configuration(
        repositoryName=REPOSITORY, imageScanningConfiguration={"scanOnPush": True}
    )
    pushed.push(site.client, REPOSITORY, "2", OTHER)

    found = site.client.describe_image_scan_findings(**wanted)  # type: ignore[arg-type]
    assert found["imageScanStatus"]["status"] == "COMPLETE"
    assert found["imageScanFindings"]["findings"] == []
    code, _ = refused(
        lambda: site.client.describe_image_scan_findings(repositoryName=REPOSITORY, imageId={"imageTag": "1"})
    )
    assert code == "ScanNotFoundException"
    site.client.start_image_scan(repositoryName=REPOSITORY, imageId={"imageTag": "1"})
    assert described(site, imageIds=[{"imageTag": "1"}])[0]["imageScanStatus"]["status"] == "COMPLETE"


def test_a_token_lasts_twelve_hours(site: EcrSite) -> None:
    """For the registry of the account."""
    (told,) = site.client.get_authorization_token()["authorizationData"]

    assert told["expiresAt"].timestamp() == site.now[0] + 43_200
    assert told["proxyEndpoint"] == f"https://{ACCOUNT}.dkr.ecr.{REGION}.amazonaws.com"


def test_another_accounts_repository_is_nobodys(site: EcrSite) -> None:
    """What its own policy would have to allow is not allowed."""
    code, message = refused(
        lambda: site.client.initiate_layer_upload(registryId="210987654321", repositoryName="theirs")
    )

    assert code == "AccessDeniedException"
    arn = "arn:aws:ecr:us-east-1:210987654321:repository/theirs"
    assert f"is not authorized to perform: ecr:InitiateLayerUpload on resource: {arn}" in message


# --------------------------------------------------------------------------------------- pulls


@pytest.mark.parametrize("reference", [":1", f"@{ONE.digest}", f":1@{ONE.digest}"])
def test_an_image_is_pulled_as_files(site: EcrSite, reference: str) -> None:
    """Its configuration read, its layers in order, its size unpacked."""
    pushed.push(site.client, REPOSITORY, "1", SHARING)
    pushed.push(site.client, REPOSITORY, "1", ONE)
    pushed.push(site.client, REPOSITORY, "2", SHARING)

    found = pulls.pull(ACCOUNT, REGION, URI + reference)

    assert found is not None
    assert (found.digest, found.manifest, found.architecture) == (ONE.digest, ONE.manifest.encode(), "amd64")
    assert found.config["config"] == {"Entrypoint": ["/serve"]}
    assert [path.read_bytes() for path in found.layers] == list(ONE.layers)
    assert found.unpacked_bytes() == 10_240


def test_files_that_were_pulled_stay(site: EcrSite) -> None:
    """Though the image is deleted; they go with whoever pulled them."""
    pushed.push(site.client, REPOSITORY, "1", SHARING)
    found = pulls.pull(ACCOUNT, REGION, f"{URI}:1")
    assert found is not None

    site.client.delete_repository(repositoryName=REPOSITORY, force=True)

    assert [path.read_bytes() for path in found.layers] == list(SHARING.layers)
    del found
    assert site.files() == []


@pytest.mark.parametrize(
    "uri",
    [
        pytest.param(f"{URI}:none", id="tag"),
        pytest.param(URI, id="latest"),
        pytest.param(f"{URI}-other:1", id="repository"),
        pytest.param(URI.replace(REGION, "eu-west-1") + ":1", id="region"),
        pytest.param(URI.replace(ACCOUNT, "210987654321") + ":1", id="account"),
        pytest.param("docker.io/library/sealift:1", id="elsewhere"),
    ],
)
def test_an_image_that_is_not_there_is_none(site: EcrSite, uri: str) -> None:
    """Whatever of its address is wrong."""
    pushed.push(site.client, REPOSITORY, "1", ONE)

    assert pulls.pull(ACCOUNT, REGION, uri) is None


@pytest.mark.parametrize(
    ("blob", "size"),
    [
        pytest.param(gzip.compress(b"a" * 5000) + gzip.compress(b"b" * 7), 5007, id="two members"),
        pytest.param(b"plain", 5, id="not gzip"),
        pytest.param(gzip.compress(b"a" * 5000)[:-9], 0, id="cut off"),
        pytest.param(gzip.compress(bytes(1))[:10] + b"\xff" * 20, 0, id="damaged"),
    ],
)
def test_a_layers_size_unpacked_is_counted(site: EcrSite, blob: bytes, size: int) -> None:
    """However it is made; of what is damaged no more than can be read, a mebibyte at a time."""
    image = replace(ONE, layers=(blob,))
    pushed.push(site.client, REPOSITORY, "1", image)
    found = pulls.pull(ACCOUNT, REGION, f"{URI}:1")

    assert found is not None
    assert found.unpacked_bytes() == size
