"""The image of a model as SageMaker looks at it: where its URI says it is, and what it finds there.

Owns the URI's form and what hosting asks a registry. Refuses to know how a registry keeps images.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Protocol, Self

from pipeline.image.manifest import DOCKER_MANIFEST
from pipeline.sizing.instance_types import ARM64, CUDA, X86_64

if TYPE_CHECKING:
    from local_cloud.hosting.platform.resources import Capacity, Instances

_URI: Final = re.compile(
    r"(?P<account>\d{12})\.dkr\.ecr\.(?P<region>[a-z0-9-]+)\.amazonaws\.com(?:\.cn)?/"
    r"(?P<repository>[^:@]+)(?::(?P<tag>[^:@]+))?(?:@(?P<digest>[^@]+))?"
)
_GRAVITON: Final = re.compile(r"ml\.[a-z]+\d+g[a-z]*\.")
"""AWS's own processors have a `g` behind the generation: ml.c7g, ml.r7gd, ml.m6gn
(https://docs.aws.amazon.com/ec2/latest/instancetypes/instance-type-names.html)."""
_LLAMA_CPP: Final = re.compile(r"/llama-cpp(?P<arm>-arm64)?:(?P<tag>[^:@]+)")
MEDIA_TYPE: Final = DOCKER_MANIFEST
"""What SageMaker takes as a manifest (seen: aws/amazon-sagemaker-feedback 180)."""


@dataclass(frozen=True, slots=True)
class ImageReference:
    """Which image of which repository of ECR."""

    uri: str
    account: str
    region: str
    repository: str
    tag: str | None
    digest: str | None

    @classmethod
    def parse(cls, uri: str) -> Self | None:
        """Return what a URI says; None when it is none of ECR's. Without tag and digest it is `latest`."""
        match = _URI.fullmatch(uri)
        if match is None:
            return None
        tag = match["tag"] or (None if match["digest"] else "latest")
        return cls(uri, match["account"], match["region"], match["repository"], tag, match["digest"])

    @property
    def arn(self) -> str:
        """Return the repository's ARN."""
        return f"arn:aws:ecr:{self.region}:{self.account}:repository/{self.repository}"


def llama_cpp_platform(uri: str) -> str | None:
    """Return for what an image of AWS's llama.cpp is: one of `instance_types.PLATFORMS`; None for any other image."""
    found = _LLAMA_CPP.search(uri)
    if found is None:
        return None
    return ARM64 if found["arm"] else CUDA if "cuda" in found["tag"] else X86_64


class FoundImage(Protocol):
    """An image that is in a registry."""

    @property
    def media_type(self) -> str:
        """Return the media type of its manifest."""

    @property
    def architecture(self) -> str | None:
        """Return `amd64` or `arm64`, as its configuration says; None where it says nothing."""

    def unpacked_bytes(self) -> int:
        """Return how large its layers are unpacked; reads them."""


class Images(Protocol):
    """What hosting asks of a registry."""

    def may_pull(self, role_arn: str, reference: ImageReference) -> bool:
        """Return whether a role may pull from a repository."""

    def find(self, reference: ImageReference) -> FoundImage | None:
        """Return an image; None when there is none."""


def architecture_of(capacity: Capacity | Instances) -> str:
    """Return the architecture that a variant runs on, as images name it; serverless is x86-64 alone (assumed)."""
    return "arm64" if _GRAVITON.match(getattr(capacity, "type", "")) else "amd64"
