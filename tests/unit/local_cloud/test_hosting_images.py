"""What SageMaker says of a model's image: when the model is made, and when an endpoint is launched."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pytest

from local_cloud.hosting import Hosting, HostingSettings
from local_cloud.hosting.platform.images import ImageReference, architecture_of
from local_cloud.hosting.platform.resources import Capacity, Instances
from pipeline.image.manifest import DOCKER_INDEX, DOCKER_MANIFEST, OCI_MANIFEST
from pipeline.limits import IMAGE_BYTES
from tests.unit.local_cloud.test_hosting_service import (
    ACCOUNT,
    REGION,
    ROLE,
    World,
    capacity,
    config_request,
    model_request,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from local_cloud.hosting.platform.images import FoundImage

URI = f"{ACCOUNT}.dkr.ecr.{REGION}.amazonaws.com/sealift:1"
GONE = (
    "Please make sure all images included in the model for the production variant AllTraffic exist, and that the "
    "execution role used to create the model has permissions to access them."
)
CANNOT_START = (
    "CannotStartContainerError. Please ensure the model container for variant AllTraffic starts correctly when "
    "invoked with 'docker run <image> serve'."
)


@dataclass
class FakeImage:
    """An image as a registry tells of it."""

    media_type: str = DOCKER_MANIFEST
    architecture: str | None = "amd64"
    size: int = 1

    def unpacked_bytes(self) -> int:
        """Return the size that the test set."""
        return self.size


@dataclass
class FakeImages:
    """A registry with one image."""

    image: FakeImage | None = field(default_factory=FakeImage)
    name: str = "sealift:1"
    pullers: set[str] = field(default_factory=lambda: {ROLE})

    def may_pull(self, role_arn: str, reference: ImageReference) -> bool:
        """Return whether it is a role of the test's, and the account's own repository."""
        return role_arn in self.pullers and reference.account == ACCOUNT

    def find(self, reference: ImageReference) -> FoundImage | None:
        """Return the image."""
        return self.image if f"{reference.repository}:{reference.tag}" == self.name else None


class ImageWorld(World):
    """Hosting with a registry beside it."""

    def __init__(self) -> None:
        super().__init__()
        self.images = FakeImages()
        self.lines: list[tuple[str, str, str, str]] = []
        self.hosting = Hosting(
            region=REGION,
            account_id=ACCOUNT,
            fetch=self.fetch,
            log=lambda role, group, stream, _ms, line: self.lines.append((role, group, stream, line)),
            exists=lambda _role, _bucket, _key: True,
            settings=HostingSettings(startup_deadline_s=180.0),
            timing=self.time.timing(),
            background=self.jobs,
            launch=self.launch,
            images=self.images,
        )

    def launched(self, **variant: Any) -> dict[str, Any]:
        """Make a model and an endpoint; return what is told of the endpoint."""
        self.model(Image=URI)
        self.ask("CreateEndpointConfig", **config_request(**variant))
        self.endpoint()
        self.jobs.finish()
        return self.ask("DescribeEndpoint", EndpointName="e")


@pytest.fixture
def world() -> ImageWorld:
    """Return a fresh account."""
    return ImageWorld()


def on(type_: str) -> dict[str, Any]:
    """Return a variant on an instance."""
    return {
        "VariantName": "AllTraffic",
        "ModelName": "m",
        "InstanceType": type_,
        "InitialInstanceCount": 1,
    }


# ----------------------------------------------------------------------------- CreateModel


@pytest.mark.parametrize(
    ("uri", "message"),
    [
        pytest.param(
            "docker.io/library/sealift:1",
            'Using non-ECR image "docker.io/library/sealift:1" without Vpc repository access mode is not supported.',
            id="elsewhere",
        ),
        pytest.param(
            URI.replace(REGION, "us-east-1"),
            f'Region of "{URI.replace(REGION, "us-east-1")}" does not match expected region of {REGION}. '
            "Cross region ECR image pulls are not allowed.",
            id="another region",
        ),
        pytest.param(
            URI.replace(ACCOUNT, "210987654321"),
            f"Role {ROLE} cannot pull {URI.replace(ACCOUNT, '210987654321')}. Ensure that the role exists and the "
            "image was granted pull permission.",
            id="another account",
        ),
        pytest.param(
            URI.removesuffix(":1") + ":2",
            f"Requested image {URI.removesuffix(':1')}:2 not found.",
            id="another tag",
        ),
        pytest.param(
            URI.removesuffix(":1"), f"Requested image {URI.removesuffix(':1')} not found.", id="latest"
        ),
    ],
)
def test_a_model_needs_an_image_that_is_there(world: ImageWorld, uri: str, message: str) -> None:
    """In AWS's words, and no model is left behind."""
    error = world.refused("CreateModel", **model_request(Image=uri))

    assert (error.code, error.message) == ("ValidationException", message)
    assert world.ask("ListModels")["Models"] == []


def test_a_role_has_to_be_allowed_to_pull(world: ImageWorld) -> None:
    """Before it is looked whether there is anything to pull."""
    world.images.pullers.clear()
    world.images.image = None

    error = world.refused("CreateModel", **model_request(Image=URI))

    assert error.message == (
        f"Role {ROLE} cannot pull {URI}. Ensure that the role exists and the image was granted pull permission."
    )


@pytest.mark.parametrize("media_type", [OCI_MANIFEST, DOCKER_INDEX])
def test_a_manifest_has_to_be_dockers(world: ImageWorld, media_type: str) -> None:
    """SageMaker takes no OCI manifest and no list of manifests."""
    world.images.image = FakeImage(media_type)

    error = world.refused("CreateModel", **model_request(Image=URI))

    assert error.message == (
        f"Unsupported manifest media type {media_type} for image {URI}. "
        "Ensure that valid manifest media type is used for specified image."
    )


def test_size_and_architecture_do_not_matter_yet(world: ImageWorld) -> None:
    """They are seen when an endpoint is launched."""
    world.images.image = FakeImage(architecture="arm64", size=IMAGE_BYTES.value + 1)

    assert world.model(Image=URI)["ModelArn"]


# ---------------------------------------------------------------------------- an endpoint


def test_an_image_that_fits_runs(world: ImageWorld) -> None:
    """On serverless, just at the limit of its size."""
    world.images.image = FakeImage(size=IMAGE_BYTES.value)

    assert world.launched(ServerlessConfig=capacity())["EndpointStatus"] == "InService"


def test_an_image_that_is_too_large_fails_on_serverless(world: ImageWorld) -> None:
    """In AWS's words; the deployment learns it minutes after the create."""
    world.images.image = FakeImage(size=IMAGE_BYTES.value + 1)

    told = world.launched(ServerlessConfig=capacity())

    assert told["EndpointStatus"] == "Failed"
    assert told["FailureReason"] == "Image size 10737418241 is greater than supported size 10737418240"
    assert world.containers == []


def test_instances_take_images_of_any_size(world: ImageWorld) -> None:
    """The limit is that of serverless."""
    world.images.image = FakeImage(size=IMAGE_BYTES.value + 1)

    request = {"EndpointConfigName": "c", "ProductionVariants": [on("ml.m5.xlarge")]}
    world.model(Image=URI)
    world.ask("CreateEndpointConfig", **request)
    world.endpoint()
    world.jobs.finish()

    assert world.status() == "InService"


@pytest.mark.parametrize(
    ("architecture", "type_", "runs"),
    [
        pytest.param("amd64", "ml.m5.xlarge", True, id="x86-64 where it belongs"),
        pytest.param("arm64", "ml.m5.xlarge", False, id="ARM on x86-64"),
        pytest.param("arm64", "ml.c7g.xlarge", True, id="ARM where it belongs"),
        pytest.param("amd64", "ml.c7g.xlarge", False, id="x86-64 on ARM"),
        pytest.param(None, "ml.c7g.xlarge", True, id="one that does not say"),
    ],
)
def test_an_image_runs_on_its_own_architecture(
    world: ImageWorld, architecture: str | None, type_: str, runs: bool
) -> None:
    """On another its program cannot be started, which the container's log says."""
    world.images.image = FakeImage(architecture=architecture)
    world.model(Image=URI)
    world.ask("CreateEndpointConfig", EndpointConfigName="c", ProductionVariants=[on(type_)])
    world.endpoint()
    world.jobs.finish()

    told = world.ask("DescribeEndpoint", EndpointName="e")
    assert told["EndpointStatus"] == ("InService" if runs else "Failed")
    assert told.get("FailureReason") == (None if runs else CANNOT_START)
    assert [line for *_, line in world.lines] == ([] if runs else ["exec /usr/bin/serve: exec format error"])


@pytest.mark.parametrize(
    ("name", "type_", "runs"),
    [
        pytest.param("llama-cpp-arm64:server-sagemaker-cpu-v1", "ml.c7g.xlarge", True, id="ARM"),
        pytest.param("llama-cpp-arm64:server-sagemaker-cpu-v1", "ml.m5.xlarge", False, id="ARM on x86-64"),
        pytest.param("llama-cpp:server-sagemaker-cpu-v1", "ml.c7g.xlarge", False, id="x86-64 on ARM"),
        pytest.param("llama-cpp:server-sagemaker-cuda-v1", "ml.c7g.xlarge", False, id="CUDA on ARM"),
        pytest.param(
            "llama-cpp:server-sagemaker-cuda-v1", "ml.m5.xlarge", True, id="CUDA, which finds no GPU later"
        ),
    ],
)
def test_an_image_of_awss_is_for_what_its_name_says(
    world: ImageWorld, name: str, type_: str, runs: bool
) -> None:
    """Nothing else of it is here."""
    world.images.image, world.images.name = FakeImage(architecture=None), name
    world.model(Image=URI.replace("sealift:1", name))
    world.ask("CreateEndpointConfig", EndpointConfigName="c", ProductionVariants=[on(type_)])
    world.endpoint()
    world.jobs.finish()

    assert world.status() == ("InService" if runs else "Failed")


def test_serverless_runs_no_arm(world: ImageWorld) -> None:
    """It has x86-64 alone, which is assumed."""
    world.images.image = FakeImage(architecture="arm64")

    assert world.launched(ServerlessConfig=capacity())["FailureReason"] == CANNOT_START


def no_image(images: FakeImages) -> None:
    """Delete the image."""
    images.image = None


def no_permission(images: FakeImages) -> None:
    """Take the role's permission away."""
    images.pullers.clear()


@pytest.mark.parametrize("loss", [no_image, no_permission])
def test_an_image_that_was_lost_fails_the_endpoint(
    world: ImageWorld, loss: Callable[[FakeImages], None]
) -> None:
    """After the model was made, before the endpoint was."""
    world.model(Image=URI)
    world.config()
    loss(world.images)
    world.endpoint()
    world.jobs.finish()

    assert world.ask("DescribeEndpoint", EndpointName="e")["FailureReason"] == GONE


@pytest.mark.parametrize("loss", [no_image, no_permission])
def test_an_endpoint_outlives_its_image(world: ImageWorld, loss: Callable[[FakeImages], None]) -> None:
    """SageMaker keeps a copy: a container that is lost starts again. A new endpoint does not."""
    world.launched(ServerlessConfig=capacity())
    loss(world.images)
    launch = world.hosting._fleet._launch
    deployment = world.containers[0].deployment

    assert launch("e", deployment, cancelled=lambda: False)
    world.endpoint("other")
    world.jobs.finish()
    assert world.ask("DescribeEndpoint", EndpointName="other")["FailureReason"] == GONE


# ------------------------------------------------------------------------------- what it reads


@pytest.mark.parametrize(
    ("uri", "tag", "digest"),
    [
        pytest.param(URI, "1", None, id="tag"),
        pytest.param(URI.removesuffix(":1"), "latest", None, id="none"),
        pytest.param(URI.replace(":1", "@sha256:ab"), None, "sha256:ab", id="digest"),
        pytest.param(URI + "@sha256:ab", "1", "sha256:ab", id="both"),
        pytest.param(URI.replace(".com", ".com.cn"), "1", None, id="China"),
    ],
)
def test_a_uri_names_an_image(uri: str, tag: str | None, digest: str | None) -> None:
    """By account, region and repository."""
    found = ImageReference.parse(uri)

    assert found is not None
    assert (found.account, found.region, found.repository) == (ACCOUNT, REGION, "sealift")
    assert (found.tag, found.digest) == (tag, digest)
    assert found.arn == f"arn:aws:ecr:{REGION}:{ACCOUNT}:repository/sealift"


@pytest.mark.parametrize(
    ("type_", "architecture"),
    [
        ("ml.m5.xlarge", "amd64"),
        ("ml.g5.xlarge", "amd64"),
        ("ml.g4dn.xlarge", "amd64"),
        ("ml.c6i.large", "amd64"),
        ("ml.c7g.large", "arm64"),
        ("ml.r7gd.large", "arm64"),
        ("ml.c6gn.large", "arm64"),
    ],
)
def test_a_g_behind_the_generation_is_aws_own_processor(type_: str, architecture: str) -> None:
    """By AWS's naming of instance types."""
    assert architecture_of(Instances(type_, 1, None, None, None)) == architecture


def test_serverless_is_x86() -> None:
    """Assumed: nothing says otherwise."""
    assert architecture_of(Capacity(2048, 1)) == "amd64"
