"""The numbers of a function's versions: moto counts those that there are, and so gives one again after a deletion.

In AWS a number is never given twice (https://docs.aws.amazon.com/lambda/latest/dg/configuration-versions.html). Two
versions with one number would mean that an alias, or the trial of a new version, calls another one's configuration.
"""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING

from moto.awslambda.models import LambdaStorage

if TYPE_CHECKING:
    from moto.awslambda.models import LambdaFunction

_LAST = "sealift_last_version"


def install() -> None:
    """Let versions be numbered as in AWS."""
    LambdaStorage.publish_version = _publish_version


def _publish_version(
    storage: LambdaStorage, name_or_arn: str, description: str = ""
) -> LambdaFunction | None:
    """Publish what is new of $LATEST, under the next number that was never given."""
    latest = storage.get_function_by_name_or_arn_forbid_qualifier(name_or_arn)
    known = storage._functions[latest.function_name]["versions"]  # noqa: SLF001 moto has no other way in
    if known and not latest.code_or_config_updated:
        return known[-1]
    latest.code_or_config_updated = False
    number = max(getattr(latest, _LAST, 0), *(int(one.version) for one in known), 0) + 1
    setattr(latest, _LAST, number)
    published = copy.copy(latest)
    published.set_version(number)
    published.description = description or latest.description
    known.append(published)
    storage._arns[published.function_arn] = published  # noqa: SLF001
    return published
