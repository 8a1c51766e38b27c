"""Which image an endpoint runs, and whether its repository has a newer one of Sealift's.

`of` reads what DescribeEndpoint says of a variant; `compare` is pure; `look` asks ECR, of images in the account's own
repositories alone. Refuses to know who calls an endpoint.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from pipeline import __version__, naming
from pipeline.image import ecr, stored_images
from pipeline.sizing import images, instance_types

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pipeline.aws.clients import ECRClient

_SHOWN: int = len("sha256:") + 12
"""Of a digest, for people."""


@dataclass(frozen=True, slots=True)
class EndpointImage:
    """The image that an endpoint's containers are made of."""

    uri: str
    """As the model names it: by tag or by digest."""
    digest: str | None = None
    """`sha256:` and its digits; None where only a tag is known."""
    container: str | None = None
    """Which of Sealift's containers it is; None for an image that only its owner knows."""
    newer: str = ""
    """The tag of an image of Sealift's in the same repository that was pushed later; empty where there is none."""

    @property
    def repository(self) -> str:
        """Its repository, with the registry's host."""
        return self.uri.partition("@")[0] if "@" in self.uri else self.uri.rpartition(":")[0]

    @property
    def short(self) -> str:
        """The image for people: without the registry's host, and with the beginning of a digest."""
        name = self.uri.partition("/")[2]
        return name[: name.index("@") + 1 + _SHOWN] if "@" in name else name


def of(variant: Mapping[str, Any]) -> EndpointImage | None:
    """Return the image of a variant as DescribeEndpoint has it; None where it tells none, as before InService."""
    deployed: Mapping[str, Any] = next(iter(variant.get("DeployedImages") or ()), {})
    uri = deployed.get("SpecifiedImage") or deployed.get("ResolvedImage")
    if not uri:
        return None
    named = (str(deployed.get(name) or "") for name in ("SpecifiedImage", "ResolvedImage"))
    digest = next((one.partition("@")[2] for one in named if "@" in one), None)
    profile = images.of_aws(uri)
    return EndpointImage(uri, digest, profile.name if profile else None)


def look(client: ECRClient, image: EndpointImage, architecture: str = instance_types.X86_64) -> EndpointImage:
    """Return an image with what its repository tells of it.

    Args:
        client: of ECR, in the endpoint's region.
        image: as `of` returns it.
        architecture: of the CPUs that it is for.

    Raises:
        ClientError: ECR refuses to tell.
    """
    host, _, _ = image.repository.partition("/")
    if image.container is not None or ecr.host(host) is None:
        return image  # AWS's own, which only AWS renews.
    tag = naming.image_tag(__version__, architecture)
    ours = stored_images.describe(client, image.repository, tag)
    if ours is None:
        return image
    which = image.digest or image.uri.rpartition(":")[2]
    return compare(image, tag, ours, stored_images.describe(client, image.repository, which))


def compare(
    image: EndpointImage, tag: str, ours: Mapping[str, Any], its: Mapping[str, Any] | None
) -> EndpointImage:
    """Return an image of a repository that has Sealift's, with its digest, and the newer one's tag.

    By the time of the push, since an image that holds a model is another one than the plain one that it was made of.

    Args:
        image: the endpoint's.
        tag: of Sealift's image of this version.
        ours: that image, as DescribeImages has it.
        its: the endpoint's image, as DescribeImages has it; None where it is gone.
    """
    known = replace(
        image, container=images.CUSTOM.name, digest=image.digest or (its["imageDigest"] if its else None)
    )
    if known.digest == ours["imageDigest"]:
        return known
    newer = its is None or its["imagePushedAt"] < ours["imagePushedAt"]
    return replace(known, newer=tag) if newer else known
