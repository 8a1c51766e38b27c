"""AWS::ECR::Repository, of which moto's CloudFormation has the name, the tags and little more.

* A lifecycle, a repository policy and EmptyOnDelete are left out. Here they are in force.
* Its properties are kept as CloudFormation spells them, so that ECR's own API does not find them.
* A repository without a name gets one in upper case, which ECR refuses, and is made anew with every update.
* What is replaced is deleted first. Here the new one comes first, and the old one stays where ECR refuses to delete it.

Source: https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/aws-resource-ecr-repository.html
"""

from __future__ import annotations

import contextlib
import json
from typing import TYPE_CHECKING, Any, Final

from moto.core.exceptions import ServiceException
from moto.ecr.models import Repository, ecr_backends
from moto.ecr.policy_validation import EcrLifecyclePolicyValidator

if TYPE_CHECKING:
    from collections.abc import Mapping

_EMPTIED: Final = "sealift_empty_on_delete"
"""Where moto's record of a repository keeps that its images go with it."""
_create: Final[Any] = Repository.create_from_cloudformation_json.__func__
_update: Final[Any] = Repository.update_from_cloudformation_json.__func__


def install() -> None:
    """Let moto's CloudFormation make, change and delete repositories as AWS's does."""
    Repository.create_from_cloudformation_json = classmethod(_created)
    Repository.update_from_cloudformation_json = classmethod(_updated)
    Repository.delete = _deleted


def _created(
    cls: Any, /, name: str, resource: Mapping[str, Any], account: str, region: str, **more: Any
) -> Repository:
    properties = resource["Properties"]
    if lifecycle := _lifecycle(properties):
        # Before anything is made: moto makes nothing undone.
        EcrLifecyclePolicyValidator(lifecycle).validate()
    given = name if "RepositoryName" in properties else name.lower()
    made: Repository = _create(
        cls, given, {**resource, "Properties": _spelled(properties)}, account, region, **more
    )
    try:
        _settle(made, properties)
    except ServiceException:
        made.delete(account, region)
        raise
    return made


def _updated(
    cls: Any,
    /,
    *,
    original_resource: Repository,
    new_resource_name: str,
    cloudformation_json: Mapping[str, Any],
    account_id: str,
    region_name: str,
) -> Repository:
    properties = cloudformation_json["Properties"]
    named = "RepositoryName" in properties
    spelled = _spelled(properties)
    encrypted = spelled.get("EncryptionConfiguration", {"encryptionType": "AES256"})
    old = original_resource.encryption_configuration
    same = encrypted["encryptionType"] == old["encryptionType"] and encrypted.get("kmsKey") in (
        None,
        old.get("kmsKey"),
    )
    if not same or (named and new_resource_name != original_resource.name):
        made = _created(cls, new_resource_name, cloudformation_json, account_id, region_name)
        with contextlib.suppress(ServiceException):
            original_resource.delete(account_id, region_name)
        return made
    if lifecycle := _lifecycle(properties):
        EcrLifecyclePolicyValidator(lifecycle).validate()
    changed: Repository = _update(
        cls,
        original_resource=original_resource,
        new_resource_name=original_resource.name,
        cloudformation_json={
            **cloudformation_json,
            "Properties": {
                "ImageTagMutability": "MUTABLE",
                "ImageScanningConfiguration": {"scanOnPush": False},
                **spelled,
                "EncryptionConfiguration": old,
            },
        },
        account_id=account_id,
        region_name=region_name,
    )
    backend = ecr_backends[account_id][region_name]
    kept = {tag["Key"] for tag in properties.get("Tags", ())}
    gone = [
        one["Key"] for one in backend.list_tags_for_resource(changed.arn)["tags"] if one["Key"] not in kept
    ]
    backend.untag_resource(changed.arn, gone)
    _settle(changed, properties)
    return changed


def _deleted(self: Repository, account_id: str, region_name: str) -> None:
    backend = ecr_backends[account_id][region_name]
    # What somebody else has deleted is gone, which is all that CloudFormation wants.
    if self.name in backend.repositories:
        backend.delete_repository(self.name, force=bool(vars(self).get(_EMPTIED)))


def _settle(repository: Repository, properties: Mapping[str, Any]) -> None:
    """Put in force what moto leaves out."""
    backend = ecr_backends[repository.account_id][repository.region_name]
    lifecycle, policy = _lifecycle(properties), properties.get("RepositoryPolicyText")
    if lifecycle:
        backend.put_lifecycle_policy(str(repository.registry_id), repository.name, lifecycle)
    else:
        repository.lifecycle_policy = None
    if policy:
        text = policy if isinstance(policy, str) else json.dumps(policy)
        backend.set_repository_policy(str(repository.registry_id), repository.name, text)
    else:
        repository.policy = None
    vars(repository)[_EMPTIED] = _true(properties.get("EmptyOnDelete", False))


def _lifecycle(properties: Mapping[str, Any]) -> str:
    text: str = properties.get("LifecyclePolicy", {}).get("LifecyclePolicyText", "")
    return text


def _spelled(properties: Mapping[str, Any]) -> dict[str, Any]:
    """Return the properties with ECR's own spelling of what is in them."""
    found = dict(properties)
    if "ImageScanningConfiguration" in found:
        scans = _true(found["ImageScanningConfiguration"].get("ScanOnPush", False))
        found["ImageScanningConfiguration"] = {"scanOnPush": scans}
    if "EncryptionConfiguration" in found:
        given = {
            f"{key[0].lower()}{key[1:]}": value for key, value in found["EncryptionConfiguration"].items()
        }
        found["EncryptionConfiguration"] = given
    return found


def _true(value: Any) -> bool:
    # A template may have it as a text.
    return value is True or str(value).lower() == "true"
