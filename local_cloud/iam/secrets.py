"""The secret keys that the local cloud knows: those that its STS and its IAM gave, and its own.

Whoever calls with another key brings it from elsewhere. The local cloud takes such a caller for the account's
administrator, and can check no signature of theirs.
"""

from __future__ import annotations

from datetime import UTC
from typing import TYPE_CHECKING, Final

from moto.iam.models import iam_backends
from moto.sts.models import sts_backends

from local_cloud.bearer_tokens import SecretKey

if TYPE_CHECKING:
    from collections.abc import Mapping


TEMPORARY: Final = "ASIA"
"""How the access keys of temporary credentials begin: only STS gives such."""


def find(access_key: str, account_id: str, own: Mapping[str, str]) -> SecretKey | None:
    """Return the secret side of an access key, None when it is not known; one of no use where STS gave no such key.

    Args:
        access_key: its public side.
        account_id: of the account whose users are looked at; sessions of roles are found wherever they are.
        own: secret keys of the local cloud's own, by their public side.
    """
    if access_key in own:
        return SecretKey(own[access_key])
    for backends in tuple(sts_backends.values()):
        for one in tuple(backends["aws"].assumed_roles):
            if one.access_key_id == access_key:
                return SecretKey(one.secret_access_key, one.session_token, one.expiration.replace(tzinfo=UTC))
    for user in tuple(iam_backends[account_id]["aws"].users.values()):
        for key in tuple(user.access_keys):
            if key.access_key_id == access_key:
                return SecretKey(key.secret_access_key, active=key.status == "Active")
    return SecretKey("", active=False) if access_key.startswith(TEMPORARY) else None
