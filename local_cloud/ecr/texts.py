"""Every sentence that ECR says here, with where it was seen.

Owns wording only. Sources: MODEL = botocore's service model; SEEN = public logs and issues of real accounts, as named;
MOTO = moto's, which says that it has them from AWS; OURS = no real text is known, so the sentence is this project's,
and nothing may match on it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable


def constraint(parameter: str, rule: str) -> str:
    """Return the refusal of a parameter. SEEN (openai/tart 890)."""
    return f"Invalid parameter at '{parameter}' failed to satisfy constraint: '{rule}'"


def not_authorized(who: str, action: str, arn: str) -> str:
    """Return the refusal of a call on another account's repository. SEEN (aws/sagemaker-python-sdk 4064)."""
    return (
        f"User: {who} is not authorized to perform: {action} on resource: {arn} "
        f"because no resource-based policy allows the {action} action"
    )


def no_repository(name: str, registry: str) -> str:
    """Return the refusal of an unknown repository. SEEN."""
    return f"The repository with name '{name}' does not exist in the registry with id '{registry}'"


def no_upload(upload: str, name: str, registry: str) -> str:
    """Return the refusal of an unknown upload. MOTO."""
    return (
        f"Upload with id '{upload}' could not be found for the repository with name '{name}' "
        f"in the registry with id '{registry}'"
    )


def invalid_part(upload: str, name: str, registry: str, why: str) -> str:
    """Return the refusal of a part that does not follow the last one, or has a bad size. OURS; the rule is MODEL's."""
    return (
        f"Invalid layer part for the upload with id '{upload}' in the repository with name '{name}' "
        f"in the registry with id '{registry}': {why}"
    )


def too_many_parts(upload: str, most: int) -> str:
    """Return the refusal of one part more than the quota. OURS; the quota is the user guide's."""
    return f"The upload with id '{upload}' has {most} layer parts, which is the maximum."


PART_TOO_SMALL = "All layer parts except the last part should be at least 5MB"
"""SEEN (dotnet/sdk-container-builds 424), at CompleteLayerUpload."""


def no_parts(upload: str, name: str, registry: str) -> str:
    """Return the refusal to complete an upload of nothing. SEEN (devcontainers/cli 814)."""
    return (
        f"The upload with id '{upload}' in the repository with name '{name}' in registry with id '{registry}' "
        "cannot be completed because it does not have any parts"
    )


def wrong_layer(given: Iterable[str], found: str) -> str:
    """Return the refusal of a layer with another digest. OURS; the rule is MODEL's."""
    return f"The layer digests '[{', '.join(given)}]' do not match the digest '{found}' that was calculated"


def layer_exists(digest: str, name: str, registry: str) -> str:
    """Return the refusal of a layer that is there. OURS; the rule is MODEL's."""
    return (
        f"The layer with digest '{digest}' already exists in the repository with name '{name}' "
        f"in the registry with id '{registry}'"
    )


def no_layer(digest: str, name: str, registry: str) -> str:
    """Return the refusal of the address of an unknown layer. SEEN (monken/aws-ecr-public 11)."""
    return (
        f"The layer with digest {digest} does not exist within the repository with name '{name}' "
        f"in the registry with id '{registry}'"
    )


def layer_inaccessible(digest: str, name: str, registry: str) -> str:
    """Return the refusal of the address of a layer that no image has. OURS; the rule is MODEL's."""
    return (
        f"The layer with digest '{digest}' in the repository with name '{name}' in the registry with id '{registry}' "
        "is not associated with an image"
    )


def required(kind: str, digests: Iterable[str], name: str, registry: str) -> str:
    """Return the refusal of a manifest whose Layers, or Images, are missing. SEEN (docker-manifest-create 63)."""
    return (
        f"{kind} with digests '[{', '.join(digests)}]' required for pushing image into repository with name '{name}' "
        f"in the registry with id '{registry}' do not exist"
    )


def image_exists(digest: str, tag: str | None, name: str, registry: str) -> str:
    """Return the refusal of an image that is there with its tag. MOTO."""
    return (
        f"Image with digest '{digest}' and tag '{tag or 'null'}' already exists in the repository with name '{name}' "
        f"in registry with id '{registry}'"
    )


def tag_exists(tag: str, name: str) -> str:
    """Return the refusal to move a tag. SEEN (aws/containers-roadmap 862)."""
    return (
        f"The image tag '{tag}' already exists in the '{name}' repository and cannot be overwritten "
        "because the repository is immutable."
    )


def wrong_image(digest: str, name: str, registry: str) -> str:
    """Return the refusal of a manifest with another digest. SEEN (google/go-containerregistry 1568)."""
    return (
        f"The image with digest '{digest}' in repository '{name}' and registry ID '{registry}' does not match the "
        "image digest that Amazon ECR has calculated."
    )


def no_image(digest: str | None, tag: str | None, name: str, registry: str) -> str:
    """Return the refusal of an unknown image. MOTO."""
    return (
        f"The image with imageId {{imageDigest:'{digest or 'null'}', imageTag:'{tag or 'null'}'}} does not exist "
        f"within the repository with name '{name}' in the registry with id '{registry}'"
    )


def too_many(what: str, name: str, most: int) -> str:
    """Return the refusal of one image or tag more than the quota. OURS; the quotas are the user guide's."""
    return f"The repository with name '{name}' has {most} {what}, which is the maximum."


IMAGE_NOT_FOUND = "Requested image not found"
"""SEEN, as the reason of a failure in BatchGetImage and BatchDeleteImage."""
TAG_MISMATCH = "Requested image tag does not match the requested digest"
"""OURS, as the reason of ImageTagDoesNotMatchDigest."""
NEITHER = "Invalid request parameters: both tag and digest cannot be null"
"""MOTO, as the reason of MissingDigestAndTag."""
BAD_DIGEST = (
    "Invalid request parameters: image digest should satisfy the regex '[a-zA-Z0-9-_+.]+:[a-fA-F0-9]+'"
)
"""MOTO, as the reason of InvalidImageDigest."""
REFERENCED = "Requested image referenced by manifest list: {}"
"""OURS, as the reason of ImageReferencedByManifestList, with the digest of the list."""


def bad_layer_digest(digest: str) -> str:
    """Return the reason of InvalidLayerDigest. MOTO."""
    return f"Invalid layer digest '{digest}'"


def no_scan(digest: str | None, tag: str | None, name: str, registry: str) -> str:
    """Return the refusal of the findings of an image that was not scanned. MOTO."""
    return (
        f"Image scan does not exist for the image with '{{imageDigest:'{digest or 'null'}', "
        f"imageTag:'{tag or 'null'}'}}' in the repository with name '{name}' in the registry with id '{registry}'"
    )


INVALID_JSON = "Invalid JSON syntax"
"""SEEN (containers/image 584): also of a manifest that names no media type anywhere."""
TOO_MANY_LAYERS = "Limit on number of layers per image exceeded"
"""SEEN (openai/tart 890)."""
