"""What hosting asks of the account's VPCs and keys, for endpoints on instances.

Owns the two questions. Refuses to know how VPCs and keys are kept.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping


class Networks(Protocol):
    """What hosting asks of EC2 and KMS."""

    def vpc_problem(self, role_arn: str, config: Mapping[str, Any]) -> str:
        """Return why a role can have no network interfaces by a VpcConfig; empty when it can."""

    def key_problem(self, key: str) -> str:
        """Return why a key encrypts no volume; empty when it does."""
